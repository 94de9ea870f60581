/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads JSON (RFC 8259) one value at a time, without building a tree and without allocating. The
 * text is the caller's and is written to: a string with escapes is unescaped where it stands, when
 * it is asked for. Top-level values may follow each other with or without white space. Strict:
 * bad UTF-8, control characters, lone surrogates, \u0000, integers beyond 64 bits and whatever else
 * jansson refuses are refused here too, unless `values_as_they_are` is set. Used by decoders and by
 * readers of feeds and replies.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { JSON_DEPTH_MAX = 64 };

enum json_token {
    TOKEN_ERROR, /* see json_read.error; every further call says so again */
    TOKEN_END,   /* no further top-level value */
    TOKEN_OBJECT,
    TOKEN_OBJECT_END,
    TOKEN_ARRAY,
    TOKEN_ARRAY_END,
    TOKEN_STRING,
    TOKEN_NUMBER,
    TOKEN_TRUE,
    TOKEN_FALSE,
    TOKEN_NULL,
};

/* A place in a text. A copy of the struct is a bookmark: reading can go on from it, as long as only
   strings that were not yet asked for stand behind it. */
struct json_read {
    char *p, *end;
    int depth;               /* open objects and arrays */
    uint64_t is_object;      /* bit depth-1: the innermost is an object */
    bool first;              /* nothing was read yet in the innermost */
    bool values_as_they_are; /* set behind init: \u0000 is a NUL byte in a text and a number is as
                                large as it likes; whoever uses the value looks at it */
    bool key_escaped, text_escaped;
    struct span key;   /* the member's name when the innermost is an object; raw, see json_key */
    struct span text;  /* of a string (raw, see json_text) or number; and of true, false, null */
    const char *value; /* where the last value begins */
    const char *error; /* what is wrong at p, NULL while all is well */
};

/* Starts on `len` bytes at `text`, which stay the caller's and may be changed. */
void json_read_init(struct json_read *read, char *text, size_t len);

/* The next token. Inside an object it is a member's value, with its name in `key`. After
   TOKEN_OBJECT or TOKEN_ARRAY the members follow, then the END of it. */
enum json_token json_next(struct json_read *read);

/* The name of the member, or the text of the string, last read; unescaped in place when needed, and
   valid as long as the text. Each may be called any number of times. */
struct span json_key(struct json_read *read);
struct span json_text(struct json_read *read);

/* Passes over the rest of the value that `token` began; anything but objects and arrays is whole
   already. False when it is not well-formed. */
bool json_skip(struct json_read *read, enum json_token token);
