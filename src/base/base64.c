/* SPDX-License-Identifier: Apache-2.0 */
/* See base64.h. Both ways go three bytes or four characters at a time, front to back. Decoding may
   overwrite its own input: after n times four characters at most 3n + 1 bytes are written. */
#include "base/base64.h"

#include <endian.h>
#include <stdint.h>
#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* VALID with the value of a character, 0 for what is not in the alphabet. */
enum { VALID = 64 };
#define RANGE4(c, v)                                                                   \
    [(c)] = VALID | (v), [(c) + 1] = VALID | ((v) + 1), [(c) + 2] = VALID | ((v) + 2), \
    [(c) + 3] = VALID | ((v) + 3)
#define RANGE13(c, v)                                                 \
    RANGE4(c, v), RANGE4((c) + 4, (v) + 4), RANGE4((c) + 8, (v) + 8), \
        [(c) + 12] = VALID | ((v) + 12)
static const uint8_t codes[256] = {
    RANGE13('A', 0), RANGE13('N', 13),   RANGE13('a', 26),   RANGE13('n', 39),   RANGE4('0', 52),
    RANGE4('4', 56), ['8'] = VALID | 60, ['9'] = VALID | 61, ['+'] = VALID | 62, ['/'] = VALID | 63,
};

static void encode_three(const uint8_t *in, char *out) {
    uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
    out[0] = alphabet[bits >> 18];
    out[1] = alphabet[bits >> 12 & 63];
    out[2] = alphabet[bits >> 6 & 63];
    out[3] = alphabet[bits & 63];
}

void base64_encode(struct span bytes, struct buf *out) {
    size_t len = (bytes.len + 2) / 3 * 4;
    if (len == 0 || !buf_reserve(out, len)) {
        return;
    }
    const uint8_t *in = (const uint8_t *)bytes.p;
    char *to = out->data + out->len;
    size_t i = 0;
    for (; i + 3 <= bytes.len; i += 3, to += 4) {
        encode_three(in + i, to);
    }
    if (i < bytes.len) {
        uint8_t last[3] = {in[i], i + 1 < bytes.len ? in[i + 1] : 0, 0};
        encode_three(last, to);
        to[3] = '=';
        if (i + 1 == bytes.len) {
            to[2] = '=';
        }
    }
    out->len += len;
}

/* Four characters to 24 bits; false when one is not in the alphabet. */
static inline bool join_four(const char *in, uint32_t *bits) {
    uint32_t a = codes[(uint8_t)in[0]], b = codes[(uint8_t)in[1]];
    uint32_t c = codes[(uint8_t)in[2]], d = codes[(uint8_t)in[3]];
    *bits = (a ^ VALID) << 18 | (b ^ VALID) << 12 | (c ^ VALID) << 6 | (d ^ VALID);
    return (a & b & c & d) >= VALID;
}

/* The last four, which alone may be padded. Bits that say nothing must be zero. */
static ssize_t decode_last(const char *in, char *out) {
    char four[4];
    uint32_t bits;
    memcpy(four, in, 4);
    size_t padding = four[3] != '=' ? 0 : four[2] != '=' ? 1 : 2;
    memset(four + 4 - padding, 'A', padding);
    if (!join_four(four, &bits) || (bits & ((UINT32_C(1) << 8 * padding) - 1)) != 0) {
        return -1;
    }
    bits = htobe32(bits << 8);
    memcpy(out, &bits, 3 - padding);
    return (ssize_t)(3 - padding);
}

ssize_t base64_decode(struct span text, char *out) {
    if (text.len % 4 != 0) {
        return -1;
    }
    if (text.len == 0) {
        return 0;
    }
    const char *in = text.p, *last = text.p + text.len - 4;
    char *to = out;
    for (; in < last; in += 4, to += 3) {
        uint32_t bits;
        if (!join_four(in, &bits)) {
            return -1;
        }
        bits = htobe32(bits << 8);
        memcpy(to, &bits, 4); /* one byte too many: the next four characters overwrite it */
    }
    ssize_t rest = decode_last(in, to);
    return rest < 0 ? -1 : to - out + rest;
}
