/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A span borrows bytes that somebody else owns: pointer and length, no terminator. It is passed by
 * value. Whoever hands one out says how long it stays valid. A span without bytes is {NULL, 0} or
 * any pointer with length 0; both are "empty".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
    const char *p;
    size_t len;
};

/* A span over a string literal; the length is known to the compiler. */
#define SPAN(literal) ((struct span){(literal), sizeof(literal) - 1})

/* What printf("%.*s") takes for a span. */
#define SPAN_ARG(s) (int)(s).len, (s).p

static inline struct span span_of(const char *p, size_t len) {
    return (struct span){p, len};
}

/* A span over a NUL-terminated string (which may be NULL: an empty span). */
static inline struct span span_str(const char *text) {
    return (struct span){text, text ? strlen(text) : 0};
}

static inline bool span_eq(struct span a, struct span b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.p, b.p, a.len) == 0);
}

static inline bool span_starts(struct span s, struct span prefix) {
    return s.len >= prefix.len && (prefix.len == 0 || memcmp(s.p, prefix.p, prefix.len) == 0);
}

/* The rest of `s` behind its first `n` bytes; n must not exceed s.len. (Adding 0 to NULL is
   undefined in C, and an empty span may be NULL.) */
static inline struct span span_skip(struct span s, size_t n) {
    return (struct span){s.p ? s.p + n : s.p, s.len - n};
}

/* `s` without blanks, tabs, CR and LF at both ends. */
static inline struct span span_trim(struct span s) {
    while (s.len > 0 && (s.p[0] == ' ' || (s.p[0] >= '\t' && s.p[0] <= '\r'))) {
        s = span_skip(s, 1);
    }
    while (s.len > 0 &&
           (s.p[s.len - 1] == ' ' || (s.p[s.len - 1] >= '\t' && s.p[s.len - 1] <= '\r'))) {
        s.len--;
    }
    return s;
}

/*
 * Cuts the next part off `rest`: everything up to the first `sep` (or the end), which is removed
 * together with it. False when `rest` was empty. A trailing separator gives no further empty part.
 */
static inline bool span_cut(struct span *rest, char sep, struct span *part) {
    if (rest->len == 0) {
        return false;
    }
    const char *hit = memchr(rest->p, sep, rest->len);
    size_t len = hit ? (size_t)(hit - rest->p) : rest->len;
    *part = span_of(rest->p, len);
    *rest = span_skip(*rest, hit ? len + 1 : len);
    return true;
}
