/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One flow-log line to the columns and values of a flow: the hottest code there is. A line is split
 * once and then held against one format after the other. Nothing is copied: columns stay spans of
 * the line, which must live as long as the flow. Called by the decoder only; knows nothing of
 * records, headers or what is done with a line that fits nothing.
 */
#pragma once

#include <stddef.h>

#include "base/span.h"
#include "flow/flow.h"
#include "flow/format.h"

enum { LINE_BYTES_MAX = 64 << 10 };

/*
 * Splits at runs of blanks and tabs into flow->column; a column that is `-` becomes empty. Sets
 * flow->plain. Returns how many columns there are; -1 when they are more than FORMAT_COLUMNS_MAX.
 * The line holds no '\n'.
 */
int line_split(struct span line, struct flow *flow);

/*
 * Whether the `count` columns that line_split (or whoever else) left in the flow fit the format: as
 * many of them, and each of its type or empty. Sets flow->format, `has` and the values. Returns 0;
 * -1 when they do not fit: columns are then as before, values and `has` undefined.
 */
int line_fit(const struct format *format, size_t count, struct flow *flow);

/* line_split and line_fit. */
int line_parse(const struct format *format, struct span line, struct flow *flow);

/* Whether no byte of `text` needs escaping in JSON or is beyond ASCII. */
bool line_is_plain(struct span text);
