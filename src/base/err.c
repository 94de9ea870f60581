/* SPDX-License-Identifier: Apache-2.0 */
/* See err.h. Texts are cut at the size of the buffer, never overrun. */
#include "base/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void format_text(struct err *err, const char *format, va_list args) {
    if (vsnprintf(err->text, sizeof(err->text), format, args) < 0) {
        err->text[0] = '\0';
    }
}

int err_set(struct err *err, enum err_kind kind, const char *format, ...) {
    if (err) {
        va_list args;
        va_start(args, format);
        format_text(err, format, args);
        va_end(args);
        err->kind = kind;
        err->sys = 0;
    }
    return -1;
}

int err_sys(struct err *err, enum err_kind kind, const char *format, ...) {
    int sys = errno;
    if (err) {
        char reason[128];
        va_list args;
        va_start(args, format);
        format_text(err, format, args);
        va_end(args);
        err->kind = kind;
        err->sys = sys;
        size_t len = strlen(err->text);
        snprintf(err->text + len, sizeof(err->text) - len, ": %s",
                 strerror_r(sys, reason, sizeof(reason)));
    }
    return -1;
}

int err_wrap(struct err *err, const char *format, ...) {
    if (err) {
        char old[sizeof(err->text)];
        memcpy(old, err->text, sizeof(old));
        va_list args;
        va_start(args, format);
        format_text(err, format, args);
        va_end(args);
        size_t len = strlen(err->text);
        snprintf(err->text + len, sizeof(err->text) - len, ": %s", old);
    }
    return -1;
}
