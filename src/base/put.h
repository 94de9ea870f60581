/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes behind each other where room was made before, for code that is too hot for a check (and a
 * call of memcpy) per piece. Every put_ function writes at `out` and returns the end.
 */
#pragma once

#include "base/span.h"

/* Two moves that may overlap, for at least `size` bytes and at most twice as many. */
static inline void put_ends(char *out, struct span text, size_t size) {
    memcpy(out, text.p, size);
    memcpy(out + text.len - size, text.p + text.len - size, size);
}

/* Copies text; short ones without libc, whose copy costs more than that. */
static inline char *put_text(char *out, struct span text) {
    if (text.len > 32) {
        memcpy(out, text.p, text.len);
    } else if (text.len >= 16) {
        put_ends(out, text, 16);
    } else if (text.len >= 8) {
        put_ends(out, text, 8);
    } else if (text.len >= 4) {
        put_ends(out, text, 4);
    } else if (text.len > 0) {
        out[0] = text.p[0];
        out[text.len / 2] = text.p[text.len / 2];
        out[text.len - 1] = text.p[text.len - 1];
    }
    return out + text.len;
}

static inline char *put_char(char *out, char c) {
    *out = c;
    return out + 1;
}
