/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See positions.h. Rows are sorted by (device, inode). The list of open tables is the one piece of
 * state of the process in here: two inputs of one daemon must not write over each other's rows.
 */
#include "core/positions.h"

#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/xalloc.h"

enum { POSITIONS_VERSION = 1, POSITIONS_FILE_MAX = 64 << 20 };

struct row {
    struct position position;
    char *path;
    int64_t put_s; /* wall clock */
};

struct positions {
    pthread_mutex_t lock;
    char *path; /* NULL: kept nowhere */
    struct row *rows;
    size_t count, room;
    bool changed;
    int users; /* under tables_lock, as next */
    struct positions *next;
};

static pthread_mutex_t tables_lock = PTHREAD_MUTEX_INITIALIZER;
static struct positions *tables;

/* Where the row of a file is, or where it belongs. */
static size_t find_row(const struct positions *positions, uint64_t device, uint64_t inode,
                       bool *found) {
    size_t low = 0, high = positions->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct position *at = &positions->rows[middle].position;
        if (at->device < device || (at->device == device && at->inode < inode)) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < positions->count && positions->rows[low].position.device == device &&
             positions->rows[low].position.inode == inode;
    return low;
}

static void drop_oldest(struct positions *positions) {
    size_t oldest = 0;
    for (size_t i = 1; i < positions->count; i++) {
        if (positions->rows[i].put_s < positions->rows[oldest].put_s) {
            oldest = i;
        }
    }
    free(positions->rows[oldest].path);
    memmove(positions->rows + oldest, positions->rows + oldest + 1,
            (positions->count - oldest - 1) * sizeof(*positions->rows));
    positions->count--;
}

static void put_row(struct positions *positions, const struct position *position, const char *path,
                    int64_t put_s) {
    bool found;
    size_t at = find_row(positions, position->device, position->inode, &found);
    if (!found && positions->count == POSITIONS_MAX) {
        drop_oldest(positions);
        at = find_row(positions, position->device, position->inode, &found);
    }
    if (!found) {
        if (positions->count == positions->room) {
            positions->room = positions->room ? positions->room * 2 : 16;
            positions->rows =
                xreallocarray(positions->rows, positions->room, sizeof(*positions->rows));
        }
        memmove(positions->rows + at + 1, positions->rows + at,
                (positions->count - at) * sizeof(*positions->rows));
        positions->count++;
        positions->rows[at].path = NULL;
    }
    struct row *row = &positions->rows[at];
    if (!row->path || strcmp(row->path, path) != 0) {
        free(row->path);
        row->path = xstrdup(path);
    }
    row->position = *position;
    row->put_s = put_s;
}

static int add_from_json(struct positions *positions, json_t *item) {
    struct position position = {0};
    json_int_t device, inode, mark_bytes, text_bytes, size_bytes, put_s;
    const char *mark, *path;
    int finished;
    if (json_unpack(item, "{s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:b, s:I}", "path", &path, "device",
                    &device, "inode", &inode, "mark", &mark, "mark_bytes", &mark_bytes, "position",
                    &text_bytes, "size", &size_bytes, "finished", &finished, "put", &put_s) != 0 ||
        mark_bytes < 0 || text_bytes < 0) {
        return -1;
    }
    position.device = (uint64_t)device;
    position.inode = (uint64_t)inode;
    position.mark = strtoull(mark, NULL, 16);
    position.mark_bytes = mark_bytes;
    position.text_bytes = text_bytes;
    position.size_bytes = size_bytes;
    position.finished = finished;
    put_row(positions, &position, path, put_s);
    return 0;
}

static int load_rows(struct positions *positions, struct span text, struct err *err) {
    json_error_t where;
    json_t *root = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, &where);
    int result = 0;
    if (!root) {
        result = err_set(err, ERR_CONFIG, "%s:%d: %s; remove it to read all files from the start",
                         positions->path, where.line, where.text);
    } else if (json_integer_value(json_object_get(root, "version")) != POSITIONS_VERSION) {
        result = err_set(err, ERR_CONFIG, "%s: not a table of positions of version %d",
                         positions->path, POSITIONS_VERSION);
    }
    json_t *files = json_object_get(root, "files");
    for (size_t i = 0; result == 0 && i < json_array_size(files); i++) {
        if (add_from_json(positions, json_array_get(files, i)) != 0) {
            result = err_set(err, ERR_CONFIG, "%s: row %zu is not as this version writes it",
                             positions->path, i + 1);
        }
    }
    json_decref(root);
    return result;
}

static int load(struct positions *positions, struct err *err) {
    struct file_mark mark;
    struct buf text;
    struct err absent;
    if (file_mark(positions->path, &mark, &absent) != 0 && absent.sys == ENOENT) {
        return 0;
    }
    buf_init(&text, POSITIONS_FILE_MAX);
    int result = file_read(positions->path, &text, err);
    if (result == 0) {
        result = load_rows(positions, buf_span(&text), err);
    }
    buf_done(&text);
    return result;
}

static void free_table(struct positions *positions) {
    for (size_t i = 0; i < positions->count; i++) {
        free(positions->rows[i].path);
    }
    free(positions->rows);
    free(positions->path);
    pthread_mutex_destroy(&positions->lock);
    free(positions);
}

static struct positions *new_table(const char *path) {
    struct positions *positions = xcalloc(1, sizeof(*positions));
    pthread_mutex_init(&positions->lock, NULL);
    positions->path = path ? xstrdup(path) : NULL;
    positions->users = 1;
    return positions;
}

static int open_shared(const char *path, struct positions **positions, struct err *err) {
    for (struct positions *table = tables; table; table = table->next) {
        if (strcmp(table->path, path) == 0) {
            table->users++;
            *positions = table;
            return 0;
        }
    }
    struct positions *table = new_table(path);
    if (load(table, err) != 0) {
        free_table(table);
        return -1;
    }
    table->next = tables;
    tables = table;
    *positions = table;
    return 0;
}

int positions_open(const char *path, struct positions **positions, struct err *err) {
    if (!path) {
        *positions = new_table(NULL);
        return 0;
    }
    pthread_mutex_lock(&tables_lock);
    int result = open_shared(path, positions, err);
    pthread_mutex_unlock(&tables_lock);
    return result;
}

void positions_close(struct positions *positions) {
    pthread_mutex_lock(&tables_lock);
    bool last = --positions->users == 0;
    for (struct positions **link = &tables; last && *link; link = &(*link)->next) {
        if (*link == positions) {
            *link = positions->next;
            break;
        }
    }
    pthread_mutex_unlock(&tables_lock);
    if (last) {
        free_table(positions);
    }
}

bool positions_find(struct positions *positions, uint64_t device, uint64_t inode,
                    struct position *position) {
    bool found;
    pthread_mutex_lock(&positions->lock);
    size_t at = find_row(positions, device, inode, &found);
    if (found) {
        *position = positions->rows[at].position;
    }
    pthread_mutex_unlock(&positions->lock);
    return found;
}

void positions_put(struct positions *positions, const struct position *position, const char *path) {
    pthread_mutex_lock(&positions->lock);
    put_row(positions, position, path, clock_wall_ms() / 1000);
    positions->changed = true;
    pthread_mutex_unlock(&positions->lock);
}

static json_t *row_to_json(const struct row *row) {
    char mark[17];
    const struct position *at = &row->position;
    snprintf(mark, sizeof(mark), "%016" PRIx64, at->mark);
    /* A name that is no UTF-8 cannot stand in JSON, and nobody but people reads it. */
    json_t *path = json_string(row->path);
    return json_pack("{s:o, s:I, s:I, s:s, s:I, s:I, s:I, s:b, s:I}", "path",
                     path ? path : json_string("?"), "device", (json_int_t)at->device, "inode",
                     (json_int_t)at->inode, "mark", mark, "mark_bytes", (json_int_t)at->mark_bytes,
                     "position", (json_int_t)at->text_bytes, "size", (json_int_t)at->size_bytes,
                     "finished", at->finished, "put", (json_int_t)row->put_s);
}

static char *table_to_text(const struct positions *positions) {
    json_t *files = json_array();
    for (size_t i = 0; i < positions->count; i++) {
        json_array_append_new(files, row_to_json(&positions->rows[i]));
    }
    json_t *root = json_pack("{s:i, s:o}", "version", POSITIONS_VERSION, "files", files);
    char *text = json_dumps(root, JSON_INDENT(1));
    json_decref(root);
    return text;
}

/* The lock is held while writing: `<path>.new` is for one at a time, and rows may not go back. */
int positions_save(struct positions *positions, struct err *err) {
    int result = 0;
    pthread_mutex_lock(&positions->lock);
    if (positions->path && positions->changed) {
        char *text = table_to_text(positions);
        result = file_write(positions->path, span_str(text), 0600, err);
        positions->changed = result != 0;
        free(text);
    }
    pthread_mutex_unlock(&positions->lock);
    return result;
}
