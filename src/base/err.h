/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a function says what went wrong: it returns -1 and fills the caller's `struct err`. The kind
 * is what the caller can do about it; the text is for people and grows on the way up by err_wrap.
 * An error is logged once, by the worker, the refresher or main, never where it arises.
 */
#pragma once

#include <stdarg.h>

enum err_kind {
    ERR_NONE,   /* nothing happened yet */
    ERR_RETRY,  /* the world's fault and it may pass: try again later */
    ERR_DATA,   /* these bytes are not what they should be: count, dead-letter, go on */
    ERR_CONFIG, /* a person must change the configuration or what it names */
    ERR_STOP,   /* cannot go on at all */
};

struct err {
    enum err_kind kind;
    int sys;         /* errno at the time, 0 when the system had no part in it */
    char text[1000]; /* always terminated; cut when longer */
};

/* Sets kind and text; returns -1, so that `return err_set(...)` reads well. `err` may be NULL. */
int err_set(struct err *err, enum err_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, and adds ": <strerror(errno)>", keeping errno in err->sys. */
int err_sys(struct err *err, enum err_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " in front of what is there, kind and sys kept; returns -1. */
int err_wrap(struct err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));
