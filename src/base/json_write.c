/* SPDX-License-Identifier: Apache-2.0 */
/* See json_write.h. Runs of plain bytes are found eight at a time and copied whole. */
#include "base/json_write.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/put.h"
#include "base/utf8.h"
#include "base/xalloc.h"

static const char replacement[3] = {'\xEF', '\xBF', '\xBD'};

static bool is_plain_byte(unsigned char c) {
    return c >= 0x20 && c < 0x80 && c != '"' && c != '\\';
}

/* A high bit in each byte of `word` that is not plain; bits above the lowest hit may be wrong. */
static inline uint64_t special_bits(uint64_t word) {
    const uint64_t ones = 0x0101010101010101u;
    uint64_t quote = word ^ (ones * '"');
    uint64_t backslash = word ^ (ones * '\\');
    return (word | (word - ones * 0x20) | (quote - ones) | (backslash - ones)) & (ones * 0x80);
}

static inline uint64_t load(const char *p, size_t len) {
    uint64_t word = 0;
    memcpy(&word, p, len);
    return word;
}

/* Whether a text of fewer than 16 bytes is plain: two overlapping words see all of it, of the
   shortest the first, the middle and the last byte, with plain ones to fill the word. */
static inline bool is_plain_short(const char *p, size_t len) {
    if (len >= 8) {
        return (special_bits(load(p, 8)) | special_bits(load(p + len - 8, 8))) == 0;
    }
    if (len >= 4) {
        return special_bits(load(p, 4) | load(p + len - 4, 4) << 32) == 0;
    }
    if (len == 0) {
        return true;
    }
    uint64_t fill = 0x2020202020000000u;
    return special_bits(fill | load(p, 1) | load(p + len / 2, 1) << 8 |
                        load(p + len - 1, 1) << 16) == 0;
}

/* How many of the first bytes at `p` are plain. */
static size_t plain_run(const char *p, size_t len) {
    size_t at = 0;
    while (len - at >= 16 && special_bits(load(p + at, 8)) == 0) {
        at += 8;
    }
    if (len - at < 16 && is_plain_short(p + at, len - at)) {
        return len;
    }
    while (at < len && is_plain_byte((unsigned char)p[at])) {
        at++;
    }
    return at;
}

bool json_is_plain(struct span text) {
    return plain_run(text.p, text.len) == text.len;
}

/* One byte below 0x80 that is not plain. */
static char *put_escape(char *out, unsigned char c) {
    static const char hex[] = "0123456789abcdef";
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";
    for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
        if ((unsigned char)shorts[i] == c) {
            *out++ = '\\';
            *out++ = shorts[i + 1];
            return out;
        }
    }
    memcpy(out, "\\u00", 4);
    out[4] = hex[c >> 4];
    out[5] = hex[c & 15];
    return out + 6;
}

/* One character at *p that is not plain; moves *p behind it and takes its bytes, as the receiver
   counts them, off *left. NULL when it does not fit there. */
static char *put_special(char *out, const char **p, const char *end, size_t *left) {
    size_t len = **p == '\0' ? 0 : utf8_char(*p, (size_t)(end - *p));
    size_t counts = len > 0 ? len : sizeof(replacement);
    if (counts > *left) {
        return NULL;
    }
    *left -= counts;
    if (len == 1) {
        out = put_escape(out, (unsigned char)**p);
    } else {
        memcpy(out, len > 0 ? *p : replacement, counts);
        out += counts;
    }
    *p += len > 0 ? len : 1;
    return out;
}

/* Any text; json_put has the one that most often comes. */
static __attribute__((noinline)) char *put_any(char *out, struct span text) {
    const char *p = text.p;
    const char *end = text.len > 0 ? p + text.len : p;
    size_t left = JSON_STRING_MAX;
    while (p != end) {
        size_t room = (size_t)(end - p) < left ? (size_t)(end - p) : left;
        size_t run = plain_run(p, room);
        out = put_text(out, span_of(p, run));
        p += run;
        left -= run;
        if (p < end) {
            char *behind = left > 0 ? put_special(out, &p, end, &left) : NULL;
            if (!behind) {
                return out;
            }
            out = behind;
        }
    }
    return out;
}

char *json_put(char *out, struct span text) {
    if (text.len < 16 && is_plain_short(text.p, text.len)) {
        return put_text(out, text);
    }
    return put_any(out, text);
}

void json_add(struct buf *buf, struct span text) {
    size_t bound = json_bound(text.len);
    if (bound <= buf->max - buf->len && buf_reserve(buf, bound)) {
        buf->len = (size_t)(json_put(buf->data + buf->len, text) - buf->data);
        return;
    }
    /* Near the ceiling the bound is too careful: only the escaped text itself tells. */
    char *aside = xmalloc(bound);
    buf_add(buf, span_of(aside, (size_t)(json_put(aside, text) - aside)));
    free(aside);
}
