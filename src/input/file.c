/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file input: files, patterns and standard input, each read once to its end, or followed as
 * `tail -F` does. A piece of text is a record, and a batch holds one. This file numbers pieces and
 * keeps what was delivered in the table of positions; file_paths.c says whose a file is,
 * file_source.c reads it.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "core/input.h"
#include "input/file_paths.h"
#include "input/file_source.h"
#include "input/inputs.h"

enum {
    SAVE_MS = 1000,
    TAKE_MS = 1000,        /* a busy worker that follows looks for further files this often */
    IDLE_MS = 5000,        /* a followed file without news is closed, and looked at once a second */
    TRIES_MAX = 1024,      /* files looked at in one call of read */
    PENDING_MAX = 1 << 18, /* pieces on their way */
    DESCRIBE_MAX = 20,
};

struct file_conf {
    struct string_list paths;
    bool follow;
    struct file_paths *shared;
};

/* A piece on its way: once batch `number` is delivered, the file has been up to `position`. */
struct pending {
    uint64_t number;
    struct file_source *source;
    struct position position;
    bool is_last; /* nothing of the source comes behind it */
};

struct file_handle {
    const struct file_conf *conf;
    int worker;
    struct file_source **sources; /* being read */
    size_t count, room;
    size_t at;   /* whose turn it is */
    size_t idle; /* how many in a row had nothing */
    int64_t took_ms, saved_ms;
    uint64_t number, delivered;
    struct source_text text;
    struct record record;
    struct pending *pending; /* a ring of pending_room, a power of two */
    size_t pending_room, pending_head, pending_tail;
};

static void file_init(void *conf_, struct option_context *context, const struct yaml_node *node,
                      const char *path) {
    struct file_conf *conf = conf_;
    for (size_t i = 0; i < conf->paths.count; i++) {
        char *given = conf->paths.items[i];
        if (strcmp(given, "-") != 0) {
            conf->paths.items[i] = option_read_path(context, given);
            free(given);
        } else if (conf->follow) {
            option_error(context, node, path,
                         "standard input (-) cannot be followed; leave out `follow: true`");
        }
    }
    conf->shared = file_paths_new(&conf->paths, conf->follow);
}

static void file_done(void *conf_) {
    struct file_conf *conf = conf_;
    file_paths_free(conf->shared);
    conf->shared = NULL;
}

static int file_check(const void *conf_, bool online, struct buf *report, struct err *err) {
    const struct file_conf *conf = conf_;
    (void)online;
    return file_paths_check(&conf->paths, conf->follow, report, err);
}

static int file_open(void *conf_, const struct input_place *place, void **handle, struct err *err) {
    struct file_conf *conf = conf_;
    bool keeps = place->state && !place->look_only;
    char *table = keeps ? xasprintf("%s/files.json", place->state) : NULL;
    int result = file_paths_start(conf->shared, table, err);
    free(table);
    if (result != 0) {
        return -1;
    }
    struct file_handle *file = xcalloc(1, sizeof(*file));
    file->conf = conf;
    file->worker = place->worker;
    file->saved_ms = clock_monotonic_ms();
    file->pending_room = 64;
    file->pending = xcalloc(file->pending_room, sizeof(*file->pending));
    source_text_init(&file->text);
    *handle = file;
    return 0;
}

/* Nothing of the source is being read or on its way any more. */
static void let_go(struct file_handle *file, struct file_source *source, enum file_state state) {
    if (file->text.owner == source) {
        file->text.owner = NULL;
    }
    file_paths_give(file->conf->shared, source->entry, state, source->position.size_bytes,
                    source->modified_ns);
    file_source_close(source);
}

static void apply(struct file_handle *file, const struct pending *piece) {
    struct file_source *source = piece->source;
    if (!source->entry->is_stream) {
        positions_put(file_paths_positions(file->conf->shared), &piece->position, source->path);
    }
    source->pending--;
    if (piece->is_last) {
        let_go(file, source, FILE_DONE);
    }
}

static void apply_delivered(struct file_handle *file) {
    while (file->pending_tail != file->pending_head) {
        struct pending *piece = &file->pending[file->pending_tail & (file->pending_room - 1)];
        if (piece->number > file->delivered) {
            break;
        }
        apply(file, piece);
        file->pending_tail++;
    }
}

static void add_pending(struct file_handle *file, struct file_source *source, bool is_last) {
    size_t held = file->pending_head - file->pending_tail;
    if (held == file->pending_room) {
        struct pending *wider = xcalloc(held * 2, sizeof(*wider));
        for (size_t i = 0; i < held; i++) {
            wider[i] = file->pending[(file->pending_tail + i) & (held - 1)];
        }
        free(file->pending);
        file->pending = wider;
        file->pending_room = held * 2;
        file->pending_tail = 0;
        file->pending_head = held;
    }
    file->pending[file->pending_head++ & (file->pending_room - 1)] = (struct pending){
        .number = file->number, .source = source, .position = source->position, .is_last = is_last};
    source->pending++;
}

static void forget(struct file_handle *file, size_t at) {
    file->sources[at] = file->sources[--file->count];
    file->idle = 0;
}

/* Read to its end: what is to be kept goes behind the pieces that are on their way. */
static void finish(struct file_handle *file, size_t at) {
    struct file_source *source = file->sources[at];
    if (source->is_cut && source->failure.kind == ERR_NONE) {
        err_set(&source->failure, ERR_DATA, "the gzip data is cut short");
    }
    if (source->failure.kind != ERR_NONE) {
        log_error("file: %s: %s; the rest of it is given up", source->path, source->failure.text);
    }
    /* What the system would not let us read is tried again at the next start. */
    source->position.finished = source->kind == SOURCE_GZIP && source->failure.kind != ERR_RETRY;
    forget(file, at);
    file_source_look(source);
    file_source_end(source);
    add_pending(file, source, true);
    apply_delivered(file);
}

/* Takes over the next file, if there is one; whether. */
static bool take(struct file_handle *file, int64_t now_ms) {
    struct file_paths *shared = file->conf->shared;
    struct err err;
    char *path;
    file->took_ms = now_ms;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        struct file_entry *entry = file_paths_take(shared, now_ms, &path);
        if (!entry) {
            return false;
        }
        struct file_source *source =
            file_source_open(entry, path, file_paths_positions(shared), &err);
        if (!source) {
            log_error("file: %s", err.text);
            file_paths_give(shared, entry, FILE_DONE, entry->size_bytes, entry->modified_ns);
            continue;
        }
        file_paths_add_skipped(shared, source->position.text_bytes);
        if (source->position.finished) {
            file_paths_add_skipped(shared, source->position.size_bytes);
            let_go(file, source, FILE_DONE);
            continue;
        }
        source->flush = !file->conf->follow;
        if (file->count == file->room) {
            file->room = file->room ? file->room * 2 : 4;
            file->sources = xreallocarray(file->sources, file->room, sizeof(*file->sources));
        }
        file->sources[file->count++] = source;
        return true;
    }
    return false;
}

/* Whose turn it is; false when nobody has anything. */
static bool choose(struct file_handle *file, int64_t now_ms, size_t *at) {
    for (size_t i = 0; i < file->count; i++) {
        /* A stream cannot be left before its end. */
        if (file->sources[i] == file->text.owner && file_source_is_stream(file->sources[i])) {
            *at = i;
            return file->idle == 0;
        }
    }
    bool all_idle = file->idle >= file->count;
    bool looks_on = file->conf->follow && now_ms - file->took_ms >= TAKE_MS;
    if ((all_idle || looks_on) && (file->conf->follow || file->count == 0) && take(file, now_ms)) {
        *at = file->count - 1;
        return true;
    }
    *at = file->count > 0 ? file->at++ % file->count : 0;
    return !all_idle;
}

/* A followed file has nothing new: renamed, cut short, or merely quiet? */
static void follow_end(struct file_handle *file, size_t at, int64_t now_ms) {
    struct file_source *source = file->sources[at];
    file_source_look(source);
    int64_t size = source->position.size_bytes;
    bool grew = size != source->seen_bytes;
    if (source->kind == SOURCE_PLAIN &&
        (size < source->position.text_bytes || (grew && file_source_is_other(source)))) {
        log_info("file: %s was cut or written anew; reading from its start", source->path);
        file_source_rewind(source, &file->text);
    }
    if (grew || source->seen_ms == 0) {
        source->seen_bytes = size;
        source->seen_ms = now_ms;
    } else if (now_ms - source->seen_ms < IDLE_MS) {
        return;
    } else if (source->flush || source->kind == SOURCE_GZIP) {
        finish(file, at);
    } else if (!file_source_has_name(source)) {
        source->flush = true; /* rotated away: its last line may lack the line feed */
    } else if (source->pending == 0) {
        forget(file, at);
        let_go(file, source, FILE_DONE);
    }
}

static void hand_out(struct file_handle *file, struct file_source *source, struct span piece,
                     struct batch *batch) {
    file->idle = 0;
    file->number++;
    file->record = (struct record){
        .data = piece,
        .arrival_ms = clock_wall_ms(),
        .origin = {.input = SPAN("file"),
                   .stream = span_str(source->path),
                   .number = source->position.text_bytes - (int64_t)piece.len},
        .head = span_of(source->head, source->head_len),
    };
    add_pending(file, source, false);
    *batch = (struct batch){.number = file->number, .count = 1, .records = &file->record};
}

static int file_read_batch(void *handle, size_t room, struct batch *batch, struct err *err) {
    struct file_handle *file = handle;
    struct span piece;
    size_t at;
    (void)err;
    if (room == 0 || file->pending_head - file->pending_tail >= PENDING_MAX) {
        return INPUT_IDLE;
    }
    file->idle = 0;
    for (int tries = 0; tries < TRIES_MAX; tries++) {
        int64_t now_ms = clock_monotonic_ms();
        if (!choose(file, now_ms, &at)) {
            return !file->conf->follow && file->count == 0 ? INPUT_END : INPUT_IDLE;
        }
        struct file_source *source = file->sources[at];
        switch (file_source_next(source, &file->text, file->conf->shared, &piece)) {
        case SOURCE_PIECE:
            hand_out(file, source, piece, batch);
            return INPUT_BATCH;
        case SOURCE_WAIT:
            return INPUT_IDLE;
        case SOURCE_END:
            file->idle++;
            if (file->conf->follow && source->failure.kind == ERR_NONE &&
                (source->kind != SOURCE_GZIP || source->is_cut)) {
                follow_end(file, at, now_ms);
            } else {
                finish(file, at);
            }
        }
    }
    return INPUT_IDLE;
}

/* Only a pipe can be waited for. A regular file is always readable: said while text that was
   delivered earlier is passed over, so that this goes on at once. */
static int file_poll_fd(void *handle) {
    const struct file_handle *file = handle;
    const struct file_source *source = file->text.owner;
    bool waits = source && (source->entry->is_stream || source->skip_bytes > 0);
    return waits ? source->fd : -1;
}

static int file_commit(void *handle, uint64_t number, bool final, struct err *err) {
    struct file_handle *file = handle;
    int64_t now_ms = clock_monotonic_ms();
    file->delivered = number;
    apply_delivered(file);
    if (!final && now_ms - file->saved_ms < SAVE_MS) {
        return 0;
    }
    file->saved_ms = now_ms;
    return positions_save(file_paths_positions(file->conf->shared), err);
}

static void file_describe(void *handle, struct buf *out) {
    const struct file_handle *file = handle;
    if (file->worker == 0) {
        file_paths_progress(file->conf->shared, clock_monotonic_ms(), out);
    }
    for (size_t i = 0; i < file->count && i < DESCRIBE_MAX; i++) {
        const struct file_source *source = file->sources[i];
        buf_printf(out, "%s: byte %lld of its text, %zu pieces on their way\n", source->path,
                   (long long)source->position.text_bytes, source->pending);
    }
}

/* What was read and not delivered is free again: another handle begins where the table says. */
static void file_close(void *handle) {
    struct file_handle *file = handle;
    struct err err;
    for (size_t i = 0; i < file->count; i++) {
        let_go(file, file->sources[i], FILE_FREE);
    }
    for (; file->pending_tail != file->pending_head; file->pending_tail++) {
        struct pending *piece = &file->pending[file->pending_tail & (file->pending_room - 1)];
        if (piece->is_last) {
            let_go(file, piece->source, FILE_FREE);
        }
    }
    if (positions_save(file_paths_positions(file->conf->shared), &err) != 0) {
        log_error("file: %s", err.text);
    }
    source_text_done(&file->text);
    free(file->sources);
    free(file->pending);
    free(file);
}

#define AT(member) .offset = offsetof(struct file_conf, member)

static const struct option file_options[] = {
    {.name = "paths",
     .type = OPTION_STRING,
     .list = true,
     .required = true,
     AT(paths),
     .sample = "[/var/log/flow/*.gz]",
     .help =
         "Files and patterns (*, ?, [...]), relative to the configuration file; `-` is standard "
         "input. Gzip is found out by looking."},
    {.name = "follow",
     .type = OPTION_BOOLEAN,
     AT(follow),
     .preset = "false",
     .help = "Go on with what is appended, as `tail -F` does: also across rotation, and with new "
             "files that match."},
    OPTION_END,
};

const struct input_type input_file_type = {
    .name = "file",
    .help = "Reads flow logs from files, once to their end or following them.",
    .options = file_options,
    .conf_size = sizeof(struct file_conf),
    .init = file_init,
    .done = file_done,
    .check = file_check,
    .open = file_open,
    .read = file_read_batch,
    .poll_fd = file_poll_fd,
    .commit = file_commit,
    .describe = file_describe,
    .close = file_close,
};
