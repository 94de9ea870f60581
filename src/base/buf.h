/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A buf owns bytes and has a ceiling given at birth. Appending beyond the ceiling appends nothing
 * and sets `overflow`, which stays set until buf_clear: a writer checks once, at the end. A buf may
 * also write into memory that somebody else owns (buf_over): it then never grows.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

struct buf {
    char *data;
    size_t len;
    size_t cap; /* bytes at data that may be used */
    size_t max; /* ceiling of cap; equal to cap over foreign memory */
    bool overflow;
    bool foreign; /* data belongs to somebody else */
};

/* An empty buf that grows up to `max` bytes; the first memory comes with the first byte. */
void buf_init(struct buf *buf, size_t max);

/* A buf over `cap` bytes at `memory`, which stays the caller's. */
void buf_over(struct buf *buf, char *memory, size_t cap);

/* Frees owned memory; the buf is then empty with the same ceiling. */
void buf_done(struct buf *buf);

/* Makes room for `more` bytes behind the end. False, with overflow set, beyond the ceiling. */
bool buf_grow(struct buf *buf, size_t more);

/* printf at the end; nothing and overflow when it does not fit. */
void buf_printf(struct buf *buf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A decimal number at the end. */
void buf_u64(struct buf *buf, uint64_t value);
void buf_i64(struct buf *buf, int64_t value);

/* Puts a NUL behind the end (not counted in len) and returns data; "" when it does not fit. */
const char *buf_cstr(struct buf *buf);

static inline bool buf_reserve(struct buf *buf, size_t more) {
    return __builtin_expect(more <= buf->cap - buf->len, 1) || buf_grow(buf, more);
}

static inline void buf_clear(struct buf *buf) {
    buf->len = 0;
    buf->overflow = false;
}

static inline struct span buf_span(const struct buf *buf) {
    return span_of(buf->data, buf->len);
}

static inline void buf_add(struct buf *buf, struct span text) {
    if (text.len > 0 && buf_reserve(buf, text.len)) {
        memcpy(buf->data + buf->len, text.p, text.len);
        buf->len += text.len;
    }
}

static inline void buf_char(struct buf *buf, char c) {
    if (buf_reserve(buf, 1)) {
        buf->data[buf->len++] = c;
    }
}
