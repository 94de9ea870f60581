/* SPDX-License-Identifier: Apache-2.0 */
/*
 * UTF-8 as RFC 3629 has it: no overlong forms, no surrogates, nothing above U+10FFFF. For whoever
 * must not pass on bytes that are no text. No locale takes part.
 */
#pragma once

#include <stddef.h>

/* Bytes of the well-formed character at `p`, of which `len` bytes may be read; 0: none is there. */
static inline size_t utf8_char(const char *p, size_t len) {
    const unsigned char *u = (const unsigned char *)p;
    if (len == 0 || u[0] < 0x80) {
        return len > 0;
    }
    size_t need = u[0] >= 0xF0 ? 4 : u[0] >= 0xE0 ? 3 : 2;
    if (u[0] < 0xC2 || u[0] > 0xF4 || len < need) {
        return 0;
    }
    /* Only the second byte has a range of its own: E0 and F0 forbid overlong forms, ED surrogates,
       F4 what lies behind Unicode's end. */
    unsigned low = u[0] == 0xE0 ? 0xA0 : u[0] == 0xF0 ? 0x90 : 0x80;
    unsigned high = u[0] == 0xED ? 0x9F : u[0] == 0xF4 ? 0x8F : 0xBF;
    if (u[1] < low || u[1] > high) {
        return 0;
    }
    for (size_t i = 2; i < need; i++) {
        if ((u[i] & 0xC0) != 0x80) {
            return 0;
        }
    }
    return need;
}
