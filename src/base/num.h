/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decimal numbers as text. Parsing takes the whole span or nothing, in any locale: no sign for
 * unsigned, no blanks, no leading zeros (JSON has none and digits are copied to the output as they
 * stand), no overflow.
 */
#pragma once

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { NUM_DIGITS_MAX = 20 };

/* The number of eight digits, the first in the lowest byte of `text`, all at once: neighbours are
   joined to two, four, eight digits. False when one of them is no digit. */
static inline bool num_eight_digits(uint64_t text, uint64_t *number) {
    /* '0' to '9' are 0x30 to 0x39: the high half is 3, also with 6 added. */
    if (((text & (text + 0x0606060606060606)) & 0xF0F0F0F0F0F0F0F0) != 0x3030303030303030) {
        return false;
    }
    text -= 0x3030303030303030;
    text = text * 10 + (text >> 8);
    *number = ((text & 0x000000FF000000FF) * (100 + (1000000ull << 32)) +
               ((text >> 16) & 0x000000FF000000FF) * (1 + (10000ull << 32))) >>
              32;
    return true;
}

static inline uint64_t num_load_eight(const char *p) {
    uint64_t text;
    memcpy(&text, p, sizeof(text));
    return le64toh(text);
}

/* Four to seven bytes behind zeros ('0') that make them eight, the first in the lowest byte: what
   overlaps is read twice and is the same. */
static inline uint64_t num_load_padded(const char *p, size_t len) {
    uint32_t head, tail;
    memcpy(&head, p, sizeof(head));
    memcpy(&tail, p + len - 4, sizeof(tail));
    return (uint64_t)le32toh(head) << (64 - 8 * len) | (uint64_t)le32toh(tail) << 32 |
           0x3030303030303030 >> 8 * len;
}

/* "0" or digits without leading zero, at most `max`. False leaves *value alone. */
static inline bool num_parse_u64(struct span text, uint64_t max, uint64_t *value) {
    if (text.len == 0 || text.len > 19 || (text.p[0] == '0' && text.len > 1)) {
        return false;
    }
    uint64_t sum = 0;
    size_t done = 0; /* up to three digits, and those behind eight, are taken one by one */
    if (text.len >= 4) {
        done = text.len < 8 ? text.len : 8;
        if (!num_eight_digits(done < 8 ? num_load_padded(text.p, done) : num_load_eight(text.p),
                              &sum)) {
            return false;
        }
    }
    for (size_t i = done; i < text.len; i++) {
        unsigned digit = (unsigned char)text.p[i] - '0';
        if (digit > 9) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    if (sum > max) {
        return false;
    }
    *value = sum;
    return true;
}

/* As above with an optional '-'; any value of 64 bits whose digits number at most 19. */
bool num_parse_i64(struct span text, int64_t *value);

/* Writes the digits of `value` (no terminator), at most NUM_DIGITS_MAX bytes; returns how many. */
size_t num_format_u64(uint64_t value, char *out);
