/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Formats that records bring along: header lines and the key sets of JSON objects. Each is compiled
 * once and kept, at most NAMES_MAX of them; the one not used for longest makes room for a new one,
 * but none that the present record uses, since its flows point to it. For the decoder only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "flow/format.h"

enum { NAMES_MAX = 64 };

struct names_entry {
    uint64_t hash;
    uint64_t used; /* number of the record that used it last */
    char *text;
    size_t text_len;
    struct format *format;
};

struct names {
    size_t count;
    struct names_entry entries[NAMES_MAX];
};

/* The format of names separated by blanks, for record number `record` (counted from 1). NULL when
   they are no format, or when the record uses NAMES_MAX others. */
const struct format *names_find(struct names *names, struct span text, uint64_t record);

void names_done(struct names *names);
