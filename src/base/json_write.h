/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Text into JSON strings (RFC 8259, section 7) that every receiver takes: control characters are
 * escaped, what is no UTF-8 becomes U+FFFD byte by byte, and so does NUL, which many a parser
 * refuses even escaped. A string is cut at JSON_STRING_MAX bytes, at a character's end, because
 * Elasticsearch and OpenSearch reject a whole document for one longer keyword. Called by encoders
 * and by whatever else writes JSON; the quotes are the caller's.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/buf.h"
#include "base/span.h"

/* Bytes of a string's value (as the receiver sees it, not as it is written). */
enum { JSON_STRING_MAX = 32765 };

/* Whether `text` may stand between quotes as it is: printable ASCII but quote and backslash. Says
   nothing about length. */
bool json_is_plain(struct span text);

/* The most bytes that json_put writes for a text of `len` bytes: six for each that counts. */
static inline size_t json_bound(size_t len) {
    return 6 * (len < JSON_STRING_MAX ? len : (size_t)JSON_STRING_MAX);
}

/* Writes `text` escaped at `out`, which has room for json_bound(text.len); returns the end. */
char *json_put(char *out, struct span text);

/* The same at the end of a buf; nothing and overflow when it does not fit. */
void json_add(struct buf *buf, struct span text);
