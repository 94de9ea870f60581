/* SPDX-License-Identifier: Apache-2.0 */
/*
 * jansson as the judge of base/json_read: both read the same bytes, and must agree on what is JSON
 * and on every value in it. For the unit test and the fuzz target.
 */
#pragma once

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_read.h"
#include "base/num.h"

/* The rest of the value that `token` began as jansson would have built it; NULL on an error. */
static inline json_t *json_judge_build(struct json_read *read, enum json_token token) {
    struct span text = token == TOKEN_STRING ? json_text(read) : read->text;
    char *copy = NULL;
    json_t *made = NULL;
    int64_t number;
    switch (token) {
    case TOKEN_STRING:
        return json_stringn(text.p, text.len);
    case TOKEN_NUMBER:
        if (text.len < 20 && num_parse_i64(text, &number)) {
            return json_integer(number);
        }
        copy = strndup(text.p, text.len);
        made = strpbrk(copy, ".eE") ? json_real(strtod(copy, NULL))
                                    : json_integer(strtoll(copy, NULL, 10));
        free(copy);
        return made;
    case TOKEN_TRUE:
    case TOKEN_FALSE:
        return json_boolean(token == TOKEN_TRUE);
    case TOKEN_NULL:
        return json_null();
    case TOKEN_OBJECT:
    case TOKEN_ARRAY:
        break;
    default:
        return NULL;
    }
    made = token == TOKEN_OBJECT ? json_object() : json_array();
    for (;;) {
        enum json_token next = json_next(read);
        if (next == TOKEN_OBJECT_END || next == TOKEN_ARRAY_END) {
            return made;
        }
        struct span key =
            token == TOKEN_OBJECT && next != TOKEN_ERROR ? json_key(read) : span_of("", 0);
        json_t *value = json_judge_build(read, next);
        if (!value) {
            json_decref(made);
            return NULL;
        }
        if (token == TOKEN_OBJECT) {
            json_object_setn_new(made, key.p, key.len, value);
        } else {
            json_array_append_new(made, value);
        }
    }
}

/* Whether we may refuse what jansson takes: our limits are narrower on purpose, and jansson passes
   over a NUL byte behind a number. */
static inline bool json_judge_limit(const char *error, struct span text) {
    return memchr(text.p, '\0', text.len) || strcmp(error, "nested too deep") == 0 ||
           strcmp(error, "a number is too large") == 0;
}

/* Reads all top-level values of `text` by both. NULL when they agree, else where they do not. */
static inline const char *json_judge(struct span text) {
    char *copy = malloc(text.len + 1);
    memcpy(copy, text.p, text.len);
    struct json_read read;
    json_read_init(&read, copy, text.len);
    const char *verdict = NULL;
    bool more = true;
    while (more && !verdict) {
        size_t start = (size_t)(read.p - copy);
        enum json_token token = json_next(&read);
        if (token == TOKEN_END) {
            break;
        }
        json_t *ours = json_judge_build(&read, token);
        size_t flags = JSON_DECODE_ANY | JSON_DISABLE_EOF_CHECK;
        json_error_t error;
        json_t *theirs = json_loadb(text.p + start, text.len - start, flags, &error);
        if (ours && !theirs) {
            verdict = "we take what jansson refuses";
        } else if (!ours && theirs && !json_judge_limit(read.error, text)) {
            verdict = "we refuse what jansson takes";
        } else if (ours && theirs && !json_equal(ours, theirs)) {
            verdict = "the values differ";
        }
        more = ours != NULL;
        json_decref(ours);
        json_decref(theirs);
    }
    free(copy);
    return verdict;
}
