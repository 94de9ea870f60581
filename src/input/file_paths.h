/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which files there are, and whose each one is: what the workers of one file input share. Patterns
 * are expanded once, or about once a second when following; a file is known by device and inode, so
 * that one which is renamed stays the same one. Each file is taken by one worker at a time. Every
 * call locks; none is on the data path. Opens no file.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/option.h"
#include "core/positions.h"

struct file_paths;

enum file_state {
    FILE_FREE,  /* to be read, by whoever takes it */
    FILE_TAKEN, /* some worker reads it */
    FILE_DONE,  /* read to its end, for now */
};

/* One file; under the lock of the paths, but for what never changes while it is taken. */
struct file_entry {
    char *path; /* the name under which it was seen last; "-" is standard input */
    uint64_t device, inode;
    enum file_state state;
    bool is_stream;     /* not a regular file: has no position */
    int64_t size_bytes; /* when it was seen or given back last */
    int64_t modified_ns;
};

/* Paths and patterns as absolute names; `paths` outlives the result. Touches no file. */
struct file_paths *file_paths_new(const struct string_list *paths, bool follow);

/* NULL is fine. All entries go with it. */
void file_paths_free(struct file_paths *shared);

/*
 * Looks for the files and opens the table of positions `table` (NULL: kept nowhere), once: further
 * calls do nothing. ERR_CONFIG when a file that is named is not there (unless following) or the
 * table is damaged. A pattern without matches is a warning.
 */
int file_paths_start(struct file_paths *shared, const char *table, struct err *err);

/* The next file that nobody reads, now the caller's, and its name (the caller's to free); NULL:
   there is none. Looks for new ones when following. */
struct file_entry *file_paths_take(struct file_paths *shared, int64_t now_ms, char **path);

/* Gives a file back as FREE or DONE, when nothing of it is on its way any more. A done one is free
   again when its size or time change. */
void file_paths_give(struct file_paths *shared, struct file_entry *entry, enum file_state state,
                     int64_t size_bytes, int64_t modified_ns);

/* The table of positions; after file_paths_start. */
struct positions *file_paths_positions(struct file_paths *shared);

/* Adds to what was read, in bytes on disk; safe from any thread. */
void file_paths_add_read(struct file_paths *shared, int64_t bytes);

/* Takes bytes out of what is still to be read, because they were delivered in an earlier life. */
void file_paths_add_skipped(struct file_paths *shared, int64_t bytes);

/* One line on how far all files together are: count, MB, rate, and unless one of them is a stream,
   of how many MB and the time to go. */
void file_paths_progress(struct file_paths *shared, int64_t now_ms, struct buf *out);

/* Looks whether everything could be read, for `check`: a line each; -1 when a named file cannot. */
int file_paths_check(const struct string_list *paths, bool follow, struct buf *report,
                     struct err *err);
