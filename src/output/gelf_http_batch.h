/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bodies and verdicts of GELF over HTTP: which messages of a parcel make a body, how a body that
 * was refused is halved, and what a status means for it. Messages end with a newline, which GELF's
 * JSON never has inside. Pure.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* Bytes of the whole messages at the start of `bytes` that make a body of at most `max` bytes (the
   newline behind the last is not in the body, but counted here); at least one message. */
size_t gelf_http_cut(struct span bytes, size_t max);

/* Bytes of about the first half of these messages; all of them when there is one only. */
size_t gelf_http_halve(struct span bytes);

/* How many messages there are. */
size_t gelf_http_count(struct span bytes);

enum gelf_http_verdict {
    GELF_HTTP_TAKEN,
    GELF_HTTP_TOO_LARGE, /* the body is */
    GELF_HTTP_REFUSED,   /* the body is not what the receiver wants; in halves it may be */
    GELF_HTTP_BUSY,      /* passes by itself */
    GELF_HTTP_MEND,      /* passes when a person has done something */
};

enum gelf_http_verdict gelf_http_judge(int status);

/* What a person can do about a status, as "; ..."; "" where there is nothing. */
const char *gelf_http_remedy(int status);
