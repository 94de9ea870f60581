/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One file (or pipe) as a sequence of pieces of text: plain files are read at their position, gzip
 * and pipes as streams. The buffer that pieces lie in belongs to the worker and serves one source
 * at a time; only a plain file can be left and taken up again, so a stream is read to its end
 * first.
 * Used by file.c alone; knows nothing of batches and of what is delivered.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/inflate.h"
#include "base/span.h"
#include "core/positions.h"
#include "input/file_cut.h"
#include "input/file_paths.h"

enum {
    SOURCE_READ_BYTES = 256 << 10, /* about the size of a piece */
    SOURCE_PIECE_MAX = 16 << 20,   /* beyond, text is handed out uncut and counted bad further on */
    SOURCE_HEAD_MAX = 64 << 10,
};

enum source_kind { SOURCE_UNKNOWN, SOURCE_PLAIN, SOURCE_GZIP, SOURCE_PIPE };

struct file_source {
    struct file_entry *entry;
    char *path;
    int fd; /* -1 when read to its end */
    enum source_kind kind;
    struct position position; /* text_bytes: up to where pieces were handed out */
    int64_t raw_bytes;        /* read of a gzip file as it lies on disk */
    int64_t skip_bytes;       /* of inflated text, that were delivered in an earlier life */
    char *head;               /* first line; NULL until the first piece, or too long */
    size_t head_len;
    bool has_head;
    bool flush;         /* text behind the last line feed is a line too: nothing more will come */
    bool is_cut;        /* the gzip stream ended in the middle */
    struct err failure; /* kind ERR_NONE: none */
    int64_t modified_ns;
    size_t pending;              /* pieces handed out and not delivered; file.c counts */
    int64_t seen_bytes, seen_ms; /* size when it changed last, and when; file.c follows by it */
};

/* The buffer of a worker. */
struct source_text {
    char *bytes;
    size_t start, end, cap;
    struct file_cut cut;
    const struct file_source *owner;
    char *raw;
    struct span raw_left;
    struct inflate_stream inflate;
    bool is_inflating, has_more;
};

enum source_result {
    SOURCE_PIECE, /* *piece is filled, valid until the next call on the same text */
    SOURCE_WAIT,  /* call again: a pipe has nothing now, or text is still being passed over */
    SOURCE_END,   /* nothing more now; source->failure and is_cut say whether it ended well */
};

/*
 * Opens what an entry names and finds the place to go on by the table. `path` is the source's from
 * now on, also on failure. NULL when it cannot be read: *err says why.
 */
struct file_source *file_source_open(struct file_entry *entry, char *path,
                                     struct positions *positions, struct err *err);

/* Frees; gives nothing back to the paths. */
void file_source_close(struct file_source *source);

/* Whether it can only be read from its start to its end. */
static inline bool file_source_is_stream(const struct file_source *source) {
    return source->entry->is_stream || source->kind == SOURCE_GZIP;
}

/* Closes the descriptor; the rest stays until file_source_close. */
void file_source_end(struct file_source *source);

/* Notes size and time of the file as they are now. */
void file_source_look(struct file_source *source);

/* Whether the file still stands under the name that it was opened by. */
bool file_source_has_name(const struct file_source *source);

/* The next piece. Never waits for a pipe. Adds the bytes read to `shared`. */
enum source_result file_source_next(struct file_source *source, struct source_text *text,
                                    struct file_paths *shared, struct span *piece);

/* Starts again at the first byte, because the file was cut or written anew. */
void file_source_rewind(struct file_source *source, struct source_text *text);

/* Whether the first bytes of the file are no longer those that its mark was made of. */
bool file_source_is_other(const struct file_source *source);

void source_text_init(struct source_text *text);
void source_text_done(struct source_text *text);
