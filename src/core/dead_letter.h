/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dead letters: what could not be decoded or delivered, kept for people as JSON lines with reason,
 * position and the raw bytes in base64. Each worker has a handle of its own; lines are gathered in
 * memory (at most DEAD_LETTER_PENDING_MAX) and are on disk before the batch they belong to is
 * committed. Where they cannot be written they are counted lost, said at error level, and the
 * stream goes on; with `required: true` reading stops instead, until they can be.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "config/option.h"
#include "flow/flow.h"

enum { DEAD_LETTER_PENDING_MAX = 4 << 20 };

struct dead_letter_conf {
    char *path; /* NULL: none are kept, only counted */
    bool required;
};

extern const struct option dead_letter_options[];

struct dead_letter;

struct dead_letter_counts {
    uint64_t written, lost;
};

/* A handle that appends to conf->path (opened at the first line, 0600, whole lines by O_APPEND).
   conf outlives it. Never fails. */
struct dead_letter *dead_letter_open(const struct dead_letter_conf *conf);

/* Adds one. `record` may be NULL where the origin is no longer known; `message`: what no receiver
   could take, already encoded. Raw bytes beyond 64 KiB are cut, and the line says so. */
void dead_letter_add(struct dead_letter *dead, enum bad_reason reason, const struct record *record,
                     uint32_t line_number, struct span bytes);

/* Everything added so far to disk (write, fdatasync). 0; -1 when that fails and `required` asks the
   caller to stop reading and try again; without `required` the lines are counted lost: 0. */
int dead_letter_flush(struct dead_letter *dead, struct err *err);

struct dead_letter_counts dead_letter_counts(const struct dead_letter *dead);

/* Flushes and closes. */
void dead_letter_close(struct dead_letter *dead);
