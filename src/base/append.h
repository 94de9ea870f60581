/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files to which whole lines are appended, by several threads and processes at once, and which
 * others may rename at any time: dead letters and the file output. What is appended is there as a
 * whole or not at all, also when the disk runs full in the middle: writers take turns by flock(2).
 */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/span.h"

/*
 * Opens or makes a regular file (or a character device) for appending. A half line that a crash
 * left at its end gets its newline. Returns the descriptor, or -1: ERR_CONFIG when it is something
 * else, ERR_RETRY otherwise.
 */
int append_open(const char *path, mode_t mode, struct err *err);

/* Appends all of `bytes` or nothing; waits for other writers of the file. -1: ERR_RETRY. */
int append_write(int fd, struct span bytes, struct err *err);

/* fdatasync; 0, or -1 with ERR_RETRY: what was written since the last one may then be gone, even if
   a later one succeeds, and must be written again. */
int append_sync(int fd, struct err *err);

/* Whether `path` is no longer the file that is open: it was renamed or removed. */
bool append_is_moved(int fd, const char *path);

/* Whether the file could be appended to, or made, as things are; changes nothing. 0, or -1 with
   ERR_CONFIG. */
int append_check(const char *path, struct err *err);
