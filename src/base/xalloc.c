/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See xalloc.h. The message is written without allocating, then the process aborts, so that a
 * supervisor restarts it and the source hands out again what was not committed.
 */
#include "base/xalloc.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static void *check(void *memory) {
    if (!memory) {
        static const char text[] = "flowgelf: out of memory, aborting\n";
        ssize_t ignored = write(STDERR_FILENO, text, sizeof(text) - 1);
        (void)ignored;
        abort();
    }
    return memory;
}

void *xmalloc(size_t size) {
    return check(malloc(size ? size : 1));
}

void *xcalloc(size_t count, size_t size) {
    return check(calloc(count ? count : 1, size ? size : 1));
}

void *xreallocarray(void *old, size_t count, size_t size) {
    return check(reallocarray(old, count ? count : 1, size ? size : 1));
}

char *xstrdup(const char *text) {
    return check(strdup(text));
}

char *xstrdup_span(struct span text) {
    char *copy = xmalloc(text.len + 1);
    if (text.len > 0) {
        memcpy(copy, text.p, text.len);
    }
    copy[text.len] = '\0';
    return copy;
}

char *xasprintf(const char *format, ...) {
    va_list args;
    char *text = NULL;
    va_start(args, format);
    int len = vasprintf(&text, format, args);
    va_end(args);
    return check(len < 0 ? NULL : text);
}
