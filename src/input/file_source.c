/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See file_source.h. Plain files are read by pread at text_bytes plus what is in the buffer, so
 * nothing is lost when the buffer serves another file in between: the unfinished line is read
 * again.
 */
#include "input/file_source.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/xalloc.h"

enum {
    MARK_BYTES = 1024,
    RAW_BYTES = 128 << 10,
    INFLATE_BYTES = 64 << 10,
    STEPS_MAX = 64, /* bounds how long one call takes while text is passed over */
};

/* The kind of a file is in its first bytes, never in its name. */
static enum source_kind kind_of(struct span start, enum source_kind otherwise) {
    return inflate_is_gzip(start) ? SOURCE_GZIP : otherwise;
}

static uint64_t hash_start(int fd, int64_t bytes, int64_t *got) {
    char start[MARK_BYTES];
    ssize_t count = pread(fd, start, (size_t)bytes, 0);
    *got = count < 0 ? 0 : count;
    return XXH3_64bits(start, (size_t)*got);
}

static void make_mark(struct file_source *source) {
    struct position *position = &source->position;
    if (!source->entry->is_stream && position->mark_bytes < MARK_BYTES) {
        position->mark = hash_start(source->fd, MARK_BYTES, &position->mark_bytes);
    }
}

static bool is_marked(int fd, const struct position *position) {
    int64_t got;
    return position->mark_bytes <= MARK_BYTES &&
           hash_start(fd, position->mark_bytes, &got) == position->mark &&
           got == position->mark_bytes;
}

bool file_source_is_other(const struct file_source *source) {
    return !is_marked(source->fd, &source->position);
}

static void take_up(struct file_source *source, struct positions *positions) {
    struct position *mine = &source->position, old;
    if (!positions_find(positions, mine->device, mine->inode, &old) ||
        !is_marked(source->fd, &old)) {
        return;
    }
    if (source->kind == SOURCE_GZIP) {
        mine->finished = old.finished && old.size_bytes == mine->size_bytes;
        source->skip_bytes = old.text_bytes;
    } else if (old.text_bytes <= mine->size_bytes) {
        mine->text_bytes = old.text_bytes;
    }
}

static void look_at(struct file_source *source, const struct stat *st,
                    struct positions *positions) {
    char magic[2];
    source->position.device = st->st_dev;
    source->position.inode = st->st_ino;
    source->position.size_bytes = st->st_size;
    source->modified_ns = (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
    if (source->entry->is_stream) {
        return;
    }
    ssize_t count = pread(source->fd, magic, sizeof(magic), 0);
    if (count == (ssize_t)sizeof(magic)) {
        source->kind = kind_of(span_of(magic, sizeof(magic)), SOURCE_PLAIN);
    }
    take_up(source, positions);
    make_mark(source);
}

struct file_source *file_source_open(struct file_entry *entry, char *path,
                                     struct positions *positions, struct err *err) {
    struct stat st;
    bool is_stdin = span_eq(span_str(path), SPAN("-"));
    int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &st) != 0) {
        err_sys(err, ERR_CONFIG, "cannot read %s", path);
        free(path);
        return NULL;
    }
    struct file_source *source = xcalloc(1, sizeof(*source));
    source->entry = entry;
    source->path = path;
    source->fd = fd;
    look_at(source, &st, positions);
    return source;
}

void file_source_end(struct file_source *source) {
    if (source->fd > STDIN_FILENO) {
        close(source->fd);
    }
    source->fd = -1;
}

void file_source_close(struct file_source *source) {
    file_source_end(source);
    free(source->path);
    free(source->head);
    free(source);
}

void file_source_look(struct file_source *source) {
    struct stat st;
    if (fstat(source->fd, &st) == 0) {
        source->position.size_bytes = st.st_size;
        source->modified_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
    }
}

bool file_source_has_name(const struct file_source *source) {
    struct stat st;
    return stat(source->path, &st) == 0 && st.st_ino == source->position.inode &&
           st.st_dev == source->position.device;
}

void file_source_rewind(struct file_source *source, struct source_text *text) {
    source->kind = SOURCE_UNKNOWN;
    source->position.text_bytes = source->position.mark_bytes = 0;
    source->has_head = false;
    free(source->head);
    source->head = NULL;
    source->head_len = 0;
    text->owner = NULL;
    make_mark(source);
}

void source_text_init(struct source_text *text) {
    *text = (struct source_text){.raw = xmalloc(RAW_BYTES)};
}

void source_text_done(struct source_text *text) {
    if (text->is_inflating) {
        inflate_stream_done(&text->inflate);
    }
    free(text->raw);
    free(text->bytes);
}

static void set_head(struct file_source *source, struct span start) {
    struct span line;
    source->has_head = true;
    if (span_cut(&start, '\n', &line) && line.len <= SOURCE_HEAD_MAX) {
        line = span_trim(line);
        source->head = xstrdup_span(line);
        source->head_len = line.len;
    }
}

/* The first line of a file that is taken up in its middle. */
static void read_head(struct file_source *source) {
    char *raw = xmalloc(SOURCE_HEAD_MAX + 1);
    ssize_t count = pread(source->fd, raw, SOURCE_HEAD_MAX + 1, 0);
    struct span start = span_of(raw, count < 0 ? 0 : (size_t)count);
    if (source->kind == SOURCE_GZIP) {
        struct inflate_stream inflate;
        struct span piece = span_of(NULL, 0);
        struct err ignored;
        inflate_stream_init(&inflate, SOURCE_HEAD_MAX + 1);
        inflate_stream_feed(&inflate, &start, &piece, &ignored);
        set_head(source, piece);
        inflate_stream_done(&inflate);
    } else {
        set_head(source, start);
    }
    free(raw);
}

/* Makes the buffer serve this source, from where it stands. */
static void adopt(struct source_text *text, struct file_source *source) {
    if (text->owner == source) {
        return;
    }
    text->owner = source;
    text->start = text->end = 0;
    text->cut = (struct file_cut){0};
    text->raw_left = span_of(text->raw, 0);
    text->has_more = false;
    source->raw_bytes = 0;
    if (source->kind == SOURCE_GZIP) {
        source->position.text_bytes = 0;
    }
    if (text->is_inflating) {
        inflate_stream_done(&text->inflate);
        text->is_inflating = false;
    }
}

/* Free space for one read behind the text. What was handed out before it is overwritten. */
static void make_room(struct source_text *text) {
    size_t held = text->end - text->start;
    if (text->start > 0) {
        memmove(text->bytes, text->bytes + text->start, held);
        text->start = 0;
        text->end = held;
    }
    if (text->cap < held + SOURCE_READ_BYTES) {
        text->cap = text->cap ? text->cap * 2 : 2 * SOURCE_READ_BYTES;
        text->bytes = xreallocarray(text->bytes, text->cap, 1);
    }
}

/* The fillers below return bytes added, 0 at the end, -1 when there is nothing now. */

static int64_t fill_plain(struct file_source *source, struct source_text *text,
                          struct file_paths *shared) {
    int64_t at = source->position.text_bytes + (int64_t)(text->end - text->start);
    ssize_t count = pread(source->fd, text->bytes + text->end, SOURCE_READ_BYTES, at);
    if (count < 0) {
        err_sys(&source->failure, ERR_RETRY, "cannot read on at byte %lld", (long long)at);
        return 0;
    }
    text->end += (size_t)count;
    file_paths_add_read(shared, count);
    return count;
}

/* Raw bytes of a gzip file, or of a pipe, behind those that are left in text->raw. */
static int64_t read_raw(struct file_source *source, struct source_text *text,
                        struct file_paths *shared) {
    size_t held = text->raw_left.len; /* one byte, while two are needed to tell the kind */
    ssize_t count;
    if (source->entry->is_stream) {
        struct pollfd poll_fd = {.fd = source->fd, .events = POLLIN};
        if (poll(&poll_fd, 1, 0) <= 0) {
            return -1;
        }
        count = read(source->fd, text->raw + held, RAW_BYTES - held);
    } else {
        count = pread(source->fd, text->raw, RAW_BYTES, source->raw_bytes);
    }
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) {
        return -1;
    }
    if (count < 0) {
        err_sys(&source->failure, ERR_RETRY, "cannot read on at byte %lld",
                (long long)source->raw_bytes);
        return 0;
    }
    text->raw_left = span_of(text->raw, held + (size_t)count);
    source->raw_bytes += count;
    file_paths_add_read(shared, count);
    return count;
}

/* Appends inflated text, but for what was delivered in an earlier life. */
static size_t append(struct file_source *source, struct source_text *text, struct span piece) {
    if (source->skip_bytes > 0) {
        size_t skip =
            piece.len < (size_t)source->skip_bytes ? piece.len : (size_t)source->skip_bytes;
        source->skip_bytes -= (int64_t)skip;
        source->position.text_bytes += (int64_t)skip;
        piece = span_skip(piece, skip);
    }
    if (piece.len > 0) {
        memcpy(text->bytes + text->end, piece.p, piece.len);
        text->end += piece.len;
    }
    return piece.len;
}

/* One step of inflating what is in raw_left; bytes added. */
static size_t inflate_some(struct file_source *source, struct source_text *text) {
    struct span piece = span_of(NULL, 0);
    if (!text->is_inflating) {
        inflate_stream_init(&text->inflate, INFLATE_BYTES);
        text->is_inflating = true;
    }
    int result = inflate_stream_feed(&text->inflate, &text->raw_left, &piece, &source->failure);
    text->has_more = result == 1; /* zlib may hold more than one piece of what it was given */
    if (result != 1) {
        text->raw_left.len = 0;
    }
    return append(source, text, piece);
}

static int64_t end_of_stream(struct file_source *source, struct source_text *text) {
    struct err cut;
    if (source->kind == SOURCE_GZIP && text->is_inflating && source->failure.kind == ERR_NONE) {
        source->is_cut = inflate_stream_end(&text->inflate, &cut) != 0;
    }
    return 0;
}

/* One step of turning raw bytes into text; bytes added. */
static size_t add_some(struct file_source *source, struct source_text *text) {
    if (source->kind == SOURCE_UNKNOWN) {
        source->kind = kind_of(text->raw_left, SOURCE_PIPE);
    }
    if (source->kind == SOURCE_GZIP) {
        return inflate_some(source, text);
    }
    size_t take = text->raw_left.len < INFLATE_BYTES ? text->raw_left.len : INFLATE_BYTES;
    append(source, text, span_of(text->raw_left.p, take));
    text->raw_left = span_skip(text->raw_left, take);
    return take;
}

static bool needs_raw(const struct file_source *source, const struct source_text *text) {
    size_t least = source->kind == SOURCE_UNKNOWN ? 2 : 1;
    return text->raw_left.len < least && !text->has_more;
}

static int64_t fill_stream(struct file_source *source, struct source_text *text,
                           struct file_paths *shared) {
    size_t added = 0;
    for (int steps = 0; steps < STEPS_MAX && added + INFLATE_BYTES <= SOURCE_READ_BYTES; steps++) {
        if (source->failure.kind != ERR_NONE) {
            return (int64_t)added;
        }
        int64_t count = 1;
        if (needs_raw(source, text)) {
            count = read_raw(source, text, shared);
        }
        if (count < 0 || (count == 0 && text->raw_left.len == 0)) {
            return added > 0 ? (int64_t)added : count < 0 ? -1 : end_of_stream(source, text);
        }
        if (count > 0 && needs_raw(source, text)) {
            continue;
        }
        added += add_some(source, text);
    }
    return added > 0 ? (int64_t)added : -1;
}

static int64_t fill(struct file_source *source, struct source_text *text,
                    struct file_paths *shared) {
    char magic[2];
    make_room(text);
    if (source->kind == SOURCE_UNKNOWN && !source->entry->is_stream) {
        ssize_t count = pread(source->fd, magic, sizeof(magic), 0);
        if (count < 2 && !source->flush) {
            return 0; /* too short to be told: looked at again when it has grown */
        }
        source->kind = kind_of(span_of(magic, count < 0 ? 0 : (size_t)count), SOURCE_PLAIN);
    }
    return source->kind == SOURCE_PLAIN ? fill_plain(source, text, shared)
                                        : fill_stream(source, text, shared);
}

static void hand_out(struct file_source *source, struct source_text *text, size_t len,
                     struct span *piece) {
    *piece = span_of(text->bytes + text->start, len);
    if (!source->has_head && source->position.text_bytes == 0) {
        set_head(source, *piece);
    } else if (!source->has_head) {
        read_head(source);
    }
    make_mark(source);
    text->start += len;
    text->cut = (struct file_cut){0};
    source->position.text_bytes += (int64_t)len;
}

/* What stands behind the last line feed, or in an object that is not closed. */
static size_t rest_of(struct file_source *source, struct source_text *text) {
    struct span rest = span_of(text->bytes + text->start, text->end - text->start);
    if (span_trim(rest).len == 0) {
        source->position.text_bytes += (int64_t)rest.len;
        text->start = text->end;
        return 0;
    }
    return rest.len;
}

enum source_result file_source_next(struct file_source *source, struct source_text *text,
                                    struct file_paths *shared, struct span *piece) {
    adopt(text, source);
    for (;;) {
        int64_t added = fill(source, text, shared);
        struct span held = span_of(text->bytes + text->start, text->end - text->start);
        size_t whole = file_cut(&text->cut, held);
        if (whole == 0 && held.len >= SOURCE_PIECE_MAX) {
            whole = SOURCE_PIECE_MAX;
        }
        if (whole == 0 && added == 0 && source->flush) {
            whole = rest_of(source, text);
        }
        if (whole > 0) {
            hand_out(source, text, whole, piece);
            return SOURCE_PIECE;
        }
        if (added <= 0) {
            return added < 0 ? SOURCE_WAIT : SOURCE_END;
        }
    }
}
