/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Positions of one stream in one small JSON file on this host: the simplest store of
 * kinesis_store.h. All shards are ours; whoever runs a second host on the stream needs the lease
 * table. The file is replaced as a whole, so that a crash leaves the old rows or the new ones.
 * Workers put while the disk is written to: rows are under `lock`, held for as long as it takes to
 * copy them, and those who write stand in line at `writing` (taken before `lock`).
 */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "input/kinesis_store.h"

enum {
    STORE_VERSION = 1,
    STORE_FILE_MAX = 64 << 20,
    STORE_PAUSE_MS = 30000,
    STORE_MISSING_MAX = 2, /* lists in a row without a shard before its row goes */
};

struct row {
    char id[KINESIS_ID_SIZE];
    struct kinesis_position position;
    int64_t changed_ms; /* wall clock */
    int missing;        /* lists in a row that did not have it */
    bool is_new;        /* no sync has said so yet */
    bool is_from_file;  /* of an earlier run, and not yet held against a list */
};

struct file_store {
    char *path, *stream, *region;
    struct kinesis_position start;
    pthread_mutex_t lock; /* of what follows, up to `added` */
    struct row *rows;     /* sorted by id */
    size_t count, room;
    uint64_t changes; /* so many times a row changed */
    uint64_t stored;  /* of `changes`: on disk */
    uint64_t added;   /* `changes` when a row was added last */
    pthread_mutex_t writing;
    struct buf text; /* what is being written */
};

static int compare_rows(const void *a, const void *b) {
    const struct row *one = a, *other = b;
    return strcmp(one->id, other->id);
}

/* Among the first `count`, which are sorted. */
static struct row *find_row(const struct file_store *store, const char *id, size_t count) {
    size_t low = 0, high = count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(store->rows[middle].id, id);
        if (order == 0) {
            return &store->rows[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

/* At the end; whoever adds sorts when all are there. */
static void add_row(struct file_store *store, const struct row *row) {
    if (store->count == store->room) {
        store->room = store->room ? store->room * 2 : 16;
        store->rows = xreallocarray(store->rows, store->room, sizeof(*store->rows));
    }
    store->rows[store->count++] = *row;
}

static void sort_rows(struct file_store *store) {
    if (store->count > 0) {
        qsort(store->rows, store->count, sizeof(*store->rows), compare_rows);
    }
}

/* Reading the file. */

static bool parse_position(const char *text, json_int_t time_ms, json_int_t sub,
                           struct kinesis_position *position) {
    if (strcmp(text, "TRIM_HORIZON") == 0) {
        position->kind = POSITION_TRIM_HORIZON;
    } else if (strcmp(text, "SHARD_END") == 0) {
        position->kind = POSITION_SHARD_END;
    } else if (strcmp(text, "AT_TIMESTAMP") == 0) {
        position->kind = POSITION_TIME;
        position->time_ms = time_ms;
    } else {
        position->kind = POSITION_SEQUENCE;
        position->sub = sub;
        return sub >= 0 && kinesis_sequence_set(position->sequence, span_str(text));
    }
    return time_ms >= 0;
}

static int add_from_json(struct file_store *store, const char *id, json_t *item) {
    struct row row = {0};
    const char *position;
    json_int_t time_ms = 0, sub = 0, changed_ms;
    if (!kinesis_id_set(row.id, span_str(id)) ||
        json_unpack(item, "{s:s, s?I, s?I, s:I}", "position", &position, "time_ms", &time_ms, "sub",
                    &sub, "changed_ms", &changed_ms) != 0 ||
        !parse_position(position, time_ms, sub, &row.position)) {
        return -1;
    }
    row.changed_ms = changed_ms;
    row.is_from_file = true;
    add_row(store, &row);
    return 0;
}

static int check_head(const struct file_store *store, json_t *root, struct err *err) {
    const char *stream, *region;
    if (json_integer_value(json_object_get(root, "version")) != STORE_VERSION ||
        !json_is_object(json_object_get(root, "shards")) ||
        json_unpack(root, "{s:s, s:s}", "stream", &stream, "region", &region) != 0) {
        return err_set(err, ERR_CONFIG,
                       "%s: not a table of Kinesis positions of version %d: give `checkpoint` "
                       "another file, or remove this one to begin the stream anew",
                       store->path, STORE_VERSION);
    }
    if (strcmp(stream, store->stream) != 0 || strcmp(region, store->region) != 0) {
        return err_set(err, ERR_CONFIG,
                       "%s keeps the positions of stream %s in %s, but the input reads %s in %s: "
                       "give each stream a `checkpoint` file of its own",
                       store->path, stream, region, store->stream, store->region);
    }
    return 0;
}

static int load_text(struct file_store *store, struct span text, struct err *err) {
    json_error_t where;
    json_t *root = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        return err_set(err, ERR_CONFIG,
                       "%s:%d: %s; put back a copy of it, or remove it to begin the stream anew",
                       store->path, where.line, where.text);
    }
    int result = check_head(store, root, err);
    const char *id;
    json_t *item, *shards = json_object_get(root, "shards");
    json_object_foreach(shards, id, item) {
        if (result == 0 && add_from_json(store, id, item) != 0) {
            result = err_set(err, ERR_CONFIG,
                             "%s: shard %s is not as this version writes it; put back a copy of "
                             "the file, or remove it to begin the stream anew",
                             store->path, id);
        }
    }
    sort_rows(store);
    json_decref(root);
    return result;
}

static int load(struct file_store *store, struct err *err) {
    struct err failure = {0};
    struct buf text;
    buf_init(&text, STORE_FILE_MAX);
    int result = file_read(store->path, &text, &failure);
    if (result == 0) {
        result = load_text(store, buf_span(&text), &failure);
    } else if (failure.sys == ENOENT) {
        result = 0; /* the first start */
    } else if (failure.kind == ERR_DATA) {
        failure.kind = ERR_CONFIG; /* too large to be what we wrote */
    }
    buf_done(&text);
    if (result != 0 && err) {
        *err = failure;
    }
    return result;
}

static void free_store(struct file_store *store) {
    pthread_mutex_destroy(&store->lock);
    pthread_mutex_destroy(&store->writing);
    buf_done(&store->text);
    free(store->rows);
    free(store->path);
    free(store->stream);
    free(store->region);
    free(store);
}

static int store_open(const struct kinesis_store_conf *conf, void **handle, struct err *err) {
    struct file_store *store = xcalloc(1, sizeof(*store));
    store->path = xstrdup(conf->path);
    store->stream = xstrdup(conf->stream);
    store->region = xstrdup(conf->region ? conf->region : "");
    store->start = conf->start;
    buf_init(&store->text, STORE_FILE_MAX);
    pthread_mutex_init(&store->lock, NULL);
    pthread_mutex_init(&store->writing, NULL);
    if (load(store, err) != 0) {
        free_store(store);
        return -1;
    }
    *handle = store;
    return 0;
}

/* Writing the file. */

static void add_member(struct buf *text, const char *name, const char *value) {
    buf_printf(text, " \"%s\": \"", name);
    json_add(text, span_str(value));
    buf_add(text, SPAN("\",\n"));
}

/* Ids and sequence numbers hold nothing that JSON escapes: they were checked when they came. */
static void add_row_text(struct buf *text, const struct row *row) {
    const struct kinesis_position *position = &row->position;
    buf_printf(text, "  \"%s\": {\"position\": \"", row->id);
    if (position->kind == POSITION_TIME) {
        buf_printf(text, "AT_TIMESTAMP\", \"time_ms\": %" PRId64, position->time_ms);
    } else if (position->kind == POSITION_SEQUENCE) {
        buf_printf(text, "%s\", \"sub\": %" PRId64, position->sequence, position->sub);
    } else {
        kinesis_position_format(position, text);
        buf_char(text, '"');
    }
    buf_printf(text, ", \"changed_ms\": %" PRId64 "}", row->changed_ms);
}

static void render(struct file_store *store) {
    struct buf *text = &store->text;
    buf_clear(text);
    buf_printf(text, "{\n \"version\": %d,\n", STORE_VERSION);
    add_member(text, "stream", store->stream);
    add_member(text, "region", store->region);
    buf_add(text, SPAN(" \"shards\": {\n"));
    for (size_t i = 0; i < store->count; i++) {
        add_row_text(text, &store->rows[i]);
        buf_add(text, i + 1 < store->count ? SPAN(",\n") : SPAN("\n"));
    }
    buf_add(text, SPAN(" }\n}\n"));
}

static int write_text(struct file_store *store, struct err *err) {
    int result = store->text.overflow ? err_set(err, ERR_RETRY, "%s would be larger than %d bytes",
                                                store->path, STORE_FILE_MAX)
                                      : file_write(store->path, buf_span(&store->text), 0600, err);
    if (result != 0 && err) {
        /* Also what a person must mend, for example permissions, is tried again until it is. */
        err->kind = ERR_RETRY;
        err_wrap(err, "positions in stream %s are not stored", store->stream);
    }
    return result;
}

/* Writes the rows when they changed since they were written last. */
static int write_rows(struct file_store *store, struct err *err) {
    int result = 0;
    pthread_mutex_lock(&store->writing);
    pthread_mutex_lock(&store->lock);
    uint64_t changes = store->changes;
    bool is_due = changes != store->stored;
    if (is_due) {
        render(store);
    }
    pthread_mutex_unlock(&store->lock);
    if (is_due) {
        result = write_text(store, err);
    }
    if (is_due && result == 0) {
        pthread_mutex_lock(&store->lock);
        store->stored = changes;
        pthread_mutex_unlock(&store->lock);
    }
    pthread_mutex_unlock(&store->writing);
    return result;
}

/* The contract. */

/* Where a shard begins: all of them at the start that was asked for while nothing is stored, later
   ones at their oldest record, as they continue shards that are read. */
static struct kinesis_position first_position(const struct file_store *store, bool is_first_start) {
    return is_first_start ? store->start : (struct kinesis_position){.kind = POSITION_TRIM_HORIZON};
}

static void add_new(struct file_store *store, const struct kinesis_shards *shards) {
    size_t before = store->count;
    for (size_t i = 0; i < shards->count; i++) {
        const struct kinesis_shard *shard = &shards->items[i];
        if (!find_row(store, shard->id, before)) {
            struct row row = {.changed_ms = clock_wall_ms(), .is_new = true};
            memcpy(row.id, shard->id, sizeof(row.id));
            row.position = first_position(store, before == 0);
            add_row(store, &row);
        }
    }
    if (store->count > before) {
        sort_rows(store);
        store->added = ++store->changes;
    }
}

/* An open shard cannot have been read to its end: another stream bears the name now, whose shards
   have the same ids. Only of an earlier run, as a list may be older than an end reached in this. */
static void mistrust_ends(struct file_store *store, const struct kinesis_shards *shards) {
    for (size_t i = 0; i < store->count; i++) {
        struct row *row = &store->rows[i];
        const struct kinesis_shard *shard = kinesis_shards_find(shards, row->id);
        if (row->is_from_file && shard && shard->is_open &&
            row->position.kind == POSITION_SHARD_END) {
            log_warning("kinesis %s: %s was read to its end by an earlier run, but it is open: the "
                        "stream was made anew; it is read from its oldest record",
                        store->stream, row->id);
            row->position = (struct kinesis_position){.kind = POSITION_TRIM_HORIZON};
            store->added = ++store->changes;
        }
        row->is_from_file = false;
    }
}

/* A shard that is gone is past its retention. A single list is not believed: a row dropped wrongly
   would be a shard read from its start again. */
static void drop_gone(struct file_store *store, const struct kinesis_shards *shards) {
    size_t kept = 0;
    for (size_t i = 0; i < store->count; i++) {
        struct row *row = &store->rows[i];
        row->missing = kinesis_shards_find(shards, row->id) ? 0 : row->missing + 1;
        if (row->missing < STORE_MISSING_MAX) {
            store->rows[kept++] = *row;
        }
    }
    store->changes += kept < store->count;
    store->count = kept;
}

static void fill_claims(struct file_store *store, const struct kinesis_shards *shards,
                        struct kinesis_claim *claims) {
    for (size_t i = 0; i < shards->count; i++) {
        struct row *row = find_row(store, shards->items[i].id, store->count);
        claims[i] = (struct kinesis_claim){
            .position = row->position, .is_ours = true, .was_new = row->is_new};
        row->is_new = false;
    }
}

static int store_sync(void *handle, const struct kinesis_shards *shards, bool is_fresh,
                      const atomic_bool *stopping, struct kinesis_claim *claims, int64_t *pause_ms,
                      struct err *err) {
    struct file_store *store = handle;
    (void)stopping;
    *pause_ms = STORE_PAUSE_MS;
    pthread_mutex_lock(&store->lock);
    add_new(store, shards);
    mistrust_ends(store, shards);
    if (is_fresh && shards->count > 0) {
        drop_gone(store, shards);
    }
    bool must_store = store->stored < store->added;
    pthread_mutex_unlock(&store->lock);
    if (must_store && write_rows(store, err) != 0) {
        return -1; /* what was added is still new at the next call */
    }
    pthread_mutex_lock(&store->lock);
    fill_claims(store, shards, claims);
    pthread_mutex_unlock(&store->lock);
    return 0;
}

static void store_put(void *handle, const char *shard_id, const struct kinesis_position *position) {
    struct file_store *store = handle;
    pthread_mutex_lock(&store->lock);
    struct row *row = find_row(store, shard_id, store->count);
    if (row && kinesis_position_compare(&row->position, position) != 0) {
        row->position = *position;
        row->changed_ms = clock_wall_ms();
        store->changes++;
    }
    pthread_mutex_unlock(&store->lock);
}

static int store_flush(void *handle, int64_t wait_ms, struct err *err) {
    (void)wait_ms;
    return write_rows(handle, err);
}

static int store_show(void *handle, const struct kinesis_shards *shards,
                      struct kinesis_claim *claims, int64_t *age_ms, struct err *err) {
    struct file_store *store = handle;
    int64_t now_ms = clock_wall_ms();
    (void)err;
    pthread_mutex_lock(&store->lock);
    for (size_t i = 0; i < shards->count; i++) {
        const struct kinesis_shard *shard = &shards->items[i];
        const struct row *row = find_row(store, shard->id, store->count);
        claims[i] = (struct kinesis_claim){.is_ours = true, .was_new = !row};
        claims[i].position = row ? row->position : first_position(store, store->count == 0);
        age_ms[i] = !row ? -1 : now_ms > row->changed_ms ? now_ms - row->changed_ms : 0;
    }
    pthread_mutex_unlock(&store->lock);
    return 0;
}

static void store_close(void *handle) {
    struct err err;
    if (write_rows(handle, &err) != 0) {
        log_warning("kinesis: %s; what was delivered since the last write is sent again at the "
                    "next start",
                    err.text);
    }
    free_store(handle);
}

const struct kinesis_store_type kinesis_file_store = {
    .name = "file",
    .open = store_open,
    .sync = store_sync,
    .put = store_put,
    .flush = store_flush,
    .waits_for_stored_parents = false,
    .show = store_show,
    .close = store_close,
};
