/* SPDX-License-Identifier: Apache-2.0 */
/* See num.h. Formatting goes two digits at a time through a table, as most fast printers do. */
#include "base/num.h"

#include <string.h>

bool num_parse_i64(struct span text, int64_t *value) {
    bool minus = text.len > 1 && text.p[0] == '-';
    uint64_t size;
    if (!num_parse_u64(minus ? span_skip(text, 1) : text, INT64_MAX, &size)) {
        return false;
    }
    *value = minus ? -(int64_t)size : (int64_t)size;
    return true;
}

static const char pairs[] = "00010203040506070809101112131415161718192021222324252627282930313233"
                            "34353637383940414243444546474849505152535455565758596061626364656667"
                            "6869707172737475767778798081828384858687888990919293949596979899";

/* The power of ten with as many zeros; the first is such that 0 has one digit. */
static const uint64_t powers[NUM_DIGITS_MAX] = {
    0,
    10,
    100,
    1000,
    10000,
    100000,
    1000000,
    10000000,
    100000000,
    1000000000,
    10000000000,
    100000000000,
    1000000000000,
    10000000000000,
    100000000000000,
    1000000000000000,
    10000000000000000,
    100000000000000000,
    1000000000000000000,
    10000000000000000000u,
};

/* From the number of bits: 1233 / 4096 is log 2 closely enough to be at most one too high. */
static size_t digit_count(uint64_t value) {
    unsigned bits = 64 - (unsigned)__builtin_clzll(value | 1);
    unsigned zeros = bits * 1233 >> 12;
    return zeros + (value >= powers[zeros]);
}

size_t num_format_u64(uint64_t value, char *out) {
    size_t len = digit_count(value);
    char *p = out + len;
    while (value >= 100) {
        p -= 2;
        memcpy(p, pairs + value % 100 * 2, 2);
        value /= 100;
    }
    if (value >= 10) {
        p -= 2;
        memcpy(p, pairs + value * 2, 2);
    } else {
        *--p = (char)('0' + value);
    }
    return len;
}
