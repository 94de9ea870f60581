/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How far files have been read and delivered: a small table, one row a file, kept as versioned JSON
 * under `state` and replaced at once, so that a crash leaves the old rows or the new ones. A file
 * is known by device and inode; whether it is still the same one, the caller sees by the mark, a
 * hash of its first bytes. All handles of a process that name the same path share one table; every
 * call locks. Used by inputs off the data path; knows nothing of batches.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Rows beyond this drop the one that was put longest ago. */
enum { POSITIONS_MAX = 65536 };

struct position {
    uint64_t device, inode;
    uint64_t mark;      /* hash of the first mark_bytes bytes of the file as it lies on disk */
    int64_t mark_bytes; /* 0: the file was empty */
    int64_t text_bytes; /* delivered, counted in the text, which is inflated where it was gzip */
    int64_t size_bytes; /* of the file on disk, when it was put */
    bool finished;      /* gzip: read to its end */
};

struct positions;

/*
 * The table kept in the file `path`, which need not exist; NULL: a table of this caller's own that
 * is kept nowhere. ERR_CONFIG when the file cannot be read or is no such table; reads the disk.
 */
int positions_open(const char *path, struct positions **positions, struct err *err);

/* Lets go; the last one frees. Saves nothing. */
void positions_close(struct positions *positions);

/* The row of a file; false when there is none. */
bool positions_find(struct positions *positions, uint64_t device, uint64_t inode,
                    struct position *position);

/* Adds or replaces a row. `path` is for people who read the table. */
void positions_put(struct positions *positions, const struct position *position, const char *path);

/* Writes the table when it has changed since; waits for the disk. -1: it is not on disk. */
int positions_save(struct positions *positions, struct err *err);
