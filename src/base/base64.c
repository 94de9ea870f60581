/* SPDX-License-Identifier: Apache-2.0 */
/* See base64.h. Both ways go three bytes or four characters at a time, front to back, so decoding
   may overwrite its own input: what is written never passes what is read. */
#include "base/base64.h"

#include <stdint.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* Value of a character plus 1, so that what is not listed is 0. */
#define RANGE4(c, v) [(c)] = (v), [(c) + 1] = (v) + 1, [(c) + 2] = (v) + 2, [(c) + 3] = (v) + 3
#define RANGE13(c, v) \
    RANGE4(c, v), RANGE4((c) + 4, (v) + 4), RANGE4((c) + 8, (v) + 8), [(c) + 12] = (v) + 12
static const uint8_t value_plus_1[256] = {
    RANGE13('A', 1), RANGE13('N', 14), RANGE13('a', 27), RANGE13('n', 40), RANGE4('0', 53),
    RANGE4('4', 57), ['8'] = 61,       ['9'] = 62,       ['+'] = 63,       ['/'] = 64,
};

static void encode_three(const uint8_t *in, char *out) {
    uint32_t bits = (uint32_t)in[0] << 16 | (uint32_t)in[1] << 8 | in[2];
    out[0] = alphabet[bits >> 18];
    out[1] = alphabet[bits >> 12 & 63];
    out[2] = alphabet[bits >> 6 & 63];
    out[3] = alphabet[bits & 63];
}

void base64_encode(struct span bytes, struct buf *out) {
    size_t len = base64_encoded_len(bytes.len);
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

/* `count` characters (2 to 4) to count - 1 bytes. Bits that say nothing must be zero. */
static bool decode_some(const char *in, size_t count, char *out) {
    uint32_t bits = 0;
    for (size_t i = 0; i < 4; i++) {
        uint32_t value = i < count ? value_plus_1[(uint8_t)in[i]] : 1;
        if (value == 0) {
            return false;
        }
        bits = bits << 6 | (value - 1);
    }
    for (size_t i = 0; i + 1 < count; i++) {
        out[i] = (char)(bits >> 16);
        bits = bits << 8 & 0xffffff;
    }
    return bits == 0;
}

ssize_t base64_decode(struct span text, char *out) {
    if (text.len % 4 != 0) {
        return -1;
    }
    char *to = out;
    for (size_t i = 0; i < text.len; i += 4) {
        size_t count = 4;
        if (i + 4 == text.len) {
            count -= text.p[i + 3] == '=';
            count -= count == 3 && text.p[i + 2] == '=';
        }
        if (!decode_some(text.p + i, count, to)) {
            return -1;
        }
        to += count - 1;
    }
    return to - out;
}
