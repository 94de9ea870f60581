/* SPDX-License-Identifier: Apache-2.0 */
/* See buf.h. Growth doubles, so appending n bytes costs O(n) in all. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/num.h"
#include "base/xalloc.h"

enum { BUF_FIRST = 256 };

void buf_init(struct buf *buf, size_t max) {
    *buf = (struct buf){.max = max};
}

void buf_over(struct buf *buf, char *memory, size_t cap) {
    *buf = (struct buf){.data = memory, .cap = cap, .max = cap, .foreign = true};
}

void buf_done(struct buf *buf) {
    if (!buf->foreign) {
        free(buf->data);
    }
    *buf = (struct buf){.max = buf->max};
}

bool buf_grow(struct buf *buf, size_t more) {
    if (more > buf->max - buf->len) {
        buf->overflow = true;
        return false;
    }
    size_t cap = buf->cap ? buf->cap : BUF_FIRST;
    while (cap < buf->len + more) {
        cap *= 2;
    }
    buf->cap = cap < buf->max ? cap : buf->max;
    buf->data = xreallocarray(buf->data, buf->cap, 1);
    return true;
}

void buf_printf(struct buf *buf, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int len = vsnprintf(NULL, 0, format, args);
    /* One byte more for the NUL that vsnprintf writes. */
    if (len >= 0 && buf_reserve(buf, (size_t)len + 1)) {
        vsnprintf(buf->data + buf->len, (size_t)len + 1, format, again);
        buf->len += (size_t)len;
    }
    va_end(again);
    va_end(args);
}

void buf_u64(struct buf *buf, uint64_t value) {
    if (buf_reserve(buf, NUM_DIGITS_MAX)) {
        buf->len += num_format_u64(value, buf->data + buf->len);
    }
}

void buf_i64(struct buf *buf, int64_t value) {
    if (value < 0) {
        buf_char(buf, '-');
    }
    buf_u64(buf, value < 0 ? -(uint64_t)value : (uint64_t)value);
}

const char *buf_cstr(struct buf *buf) {
    if (!buf_reserve(buf, 1)) {
        return "";
    }
    buf->data[buf->len] = '\0';
    return buf->data;
}
