/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads the text of a shared configuration file of AWS' tools: sections in brackets, `name = value`
 * lines below them, and indented `name = value` lines below a name without a value. Knows the shape
 * of the file and not what the names mean. Values may be secrets, so no message ever quotes a line.
 * Format: "Configuration and credential file settings" of the AWS CLI manual.
 */
#pragma once

#include "base/err.h"
#include "base/span.h"

enum { INI_NAME_MAX = 512 };

/* One line that says something. All spans are valid during the call only. */
struct ini_line {
    struct span section; /* what stands between the brackets, quotes and needless blanks gone:
                            "default", "profile prod", "services my services" */
    struct span key;     /* in lower case, nested ones as "kinesis.endpoint_url"; empty: this line
                            begins the section */
    struct span value;   /* without a comment and blanks around it */
    size_t number;       /* counts from 1 */
};

typedef void ini_take(void *context, const struct ini_line *line);

/* Reads a text; `name` (a path) stands in messages. 0, or -1 with ERR_CONFIG and name:line. */
int ini_parse(struct span text, const char *name, ini_take *take, void *context, struct err *err);
