/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole files: read with a ceiling, written so that a crash leaves the old or the new content and
 * never a piece, directories, locks, and a mark by which a change is noticed. Everything in here
 * may wait for the disk, so it is for start, the refresher and positions, not for the data path.
 *
 * Kinds of error: ERR_CONFIG when a person must act (it is not there, no permission, a directory,
 * a read-only file system), ERR_RETRY otherwise (disk full, input/output error). Every text names
 * the path.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

/*
 * Appends the content of a file to `out`. A file that does not fit under the ceiling of `out` is
 * ERR_DATA, and `out` is as it was before the call (as after every failure).
 */
int file_read(const char *path, struct buf *out, struct err *err);

/*
 * Replaces the content of `path` at once: writes `<path>.new` (which one caller at a time may use),
 * fsync, rename, fsync of the directory. On success the content survives a power cut. On failure
 * the old content stands. `mode` as for open(2), for example 0644.
 */
int file_write(const char *path, struct span content, mode_t mode, struct err *err);

/* fsync of the directory that holds `path`, so that a file just made or renamed there stays. */
int file_sync_dir(const char *path, struct err *err);

/* mkdir -p. A directory that is there already is fine, whatever its mode. */
int file_make_dirs(const char *path, mode_t mode, struct err *err);

/*
 * Makes and locks `path` for as long as the descriptor that it returns is open (at most until the
 * process ends, however it ends) and writes our process id into it. ERR_STOP when another process
 * holds it, with its id. Never waits for the lock. The file is left in place by the last holder.
 */
int file_lock(const char *path, struct err *err);

/* What tells one content of a path from another without reading it. */
struct file_mark {
    uint64_t dev, ino;
    int64_t size_bytes;
    int64_t mtime_ns; /* since 1970 */
};

/* The mark of what `path` (links followed) is now. */
int file_mark(const char *path, struct file_mark *mark, struct err *err);

static inline bool file_mark_eq(const struct file_mark *a, const struct file_mark *b) {
    return a->dev == b->dev && a->ino == b->ino && a->size_bytes == b->size_bytes &&
           a->mtime_ns == b->mtime_ns;
}
