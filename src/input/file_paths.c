/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See file_paths.h. Entries stay where they are until file_paths_free, because workers hold
 * pointers to them while pieces are on their way; one whose file is gone serves the next new file.
 */
#include "input/file_paths.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

enum { RESCAN_MS = 1000 };

struct file_paths {
    pthread_mutex_t lock;
    const struct string_list *paths;
    bool follow, started;
    int64_t scanned_ms, started_ms;
    int64_t read_bytes, skipped_bytes; /* atomic */
    struct positions *positions;
    struct file_entry **entries;
    size_t count;
    size_t next; /* entries before it are not free */
    size_t hint; /* where find_entry looks first: files are seen in the same order each time */
};

static bool is_pattern(const char *path) {
    return strpbrk(path, "*?[") && access(path, F_OK) != 0;
}

static int64_t modified_ns(const struct stat *st) {
    return (int64_t)st->st_mtim.tv_sec * 1000000000 + st->st_mtim.tv_nsec;
}

struct file_paths *file_paths_new(const struct string_list *paths, bool follow) {
    struct file_paths *shared = xcalloc(1, sizeof(*shared));
    pthread_mutex_init(&shared->lock, NULL);
    shared->paths = paths;
    shared->follow = follow;
    return shared;
}

void file_paths_free(struct file_paths *shared) {
    if (!shared) {
        return;
    }
    for (size_t i = 0; i < shared->count; i++) {
        free(shared->entries[i]->path);
        free(shared->entries[i]);
    }
    free(shared->entries);
    if (shared->positions) {
        positions_close(shared->positions);
    }
    pthread_mutex_destroy(&shared->lock);
    free(shared);
}

static struct file_entry *find_entry(struct file_paths *shared, const struct stat *st) {
    for (size_t i = 0; i < shared->count; i++) {
        size_t at = (shared->hint + i) % shared->count;
        struct file_entry *entry = shared->entries[at];
        if (entry->inode == st->st_ino && entry->device == st->st_dev) {
            shared->hint = at + 1;
            return entry;
        }
    }
    return NULL;
}

/* A done entry whose file has no name any more, so that a long life with rotation is bounded. */
static struct file_entry *find_unused(struct file_paths *shared) {
    struct stat st;
    for (size_t i = 0; shared->follow && i < shared->count; i++) {
        struct file_entry *entry = shared->entries[i];
        if (entry->state == FILE_DONE &&
            (stat(entry->path, &st) != 0 || st.st_ino != entry->inode)) {
            return entry;
        }
    }
    return NULL;
}

static void add_entry(struct file_paths *shared, const char *path, const struct stat *st) {
    struct file_entry *entry = find_unused(shared);
    if (!entry) {
        entry = xcalloc(1, sizeof(*entry));
        shared->entries =
            xreallocarray(shared->entries, shared->count + 1, sizeof(*shared->entries));
        shared->entries[shared->count++] = entry;
    }
    free(entry->path);
    entry->path = xstrdup(path);
    entry->device = st->st_dev;
    entry->inode = st->st_ino;
    entry->is_stream = !S_ISREG(st->st_mode);
    entry->size_bytes = entry->is_stream ? 0 : st->st_size;
    entry->modified_ns = modified_ns(st);
    entry->state = FILE_FREE;
}

static void see_path(struct file_paths *shared, const char *path, const struct stat *st) {
    struct file_entry *entry = find_entry(shared, st);
    if (!entry) {
        add_entry(shared, path, st);
        shared->next = 0;
        return;
    }
    if (strcmp(entry->path, path) != 0) {
        free(entry->path);
        entry->path = xstrdup(path);
    }
    if (entry->state == FILE_DONE &&
        (entry->size_bytes != st->st_size || entry->modified_ns != modified_ns(st))) {
        entry->state = FILE_FREE;
        shared->next = 0;
    }
}

/* Sees all regular files that match; how many. */
static size_t see_pattern(struct file_paths *shared, const char *pattern) {
    glob_t found = {0};
    size_t count = 0;
    struct stat st;
    if (glob(pattern, 0, NULL, &found) == 0) {
        for (size_t i = 0; i < found.gl_pathc; i++) {
            if (stat(found.gl_pathv[i], &st) == 0 && S_ISREG(st.st_mode)) {
                see_path(shared, found.gl_pathv[i], &st);
                count++;
            }
        }
    }
    globfree(&found);
    return count;
}

static int see_named(struct file_paths *shared, const char *path, struct err *err) {
    struct stat st;
    if (stat(path, &st) != 0) {
        return err_sys(err, ERR_CONFIG, "cannot read %s", path);
    }
    if (S_ISDIR(st.st_mode)) {
        return err_set(err, ERR_CONFIG, "%s is a folder; name the files in it, as %s/*", path,
                       path);
    }
    see_path(shared, path, &st);
    return 0;
}

static int see_one(struct file_paths *shared, const char *path, bool first, struct err *err) {
    if (strcmp(path, "-") == 0) {
        struct stat st = {0}; /* like a pipe, also where a file stands behind it */
        if (first) {
            add_entry(shared, path, &st);
        }
        return 0;
    }
    if (is_pattern(path)) {
        if (see_pattern(shared, path) == 0 && first) {
            log_warning("file: nothing matches %s%s", path, shared->follow ? " yet" : "");
        }
        return 0;
    }
    if (see_named(shared, path, err) == 0) {
        return 0;
    }
    if (shared->follow && err->sys == ENOENT) {
        if (first) {
            log_warning("file: %s is not there yet", path);
        }
        return 0;
    }
    return first ? -1 : 0;
}

static int scan(struct file_paths *shared, bool first, struct err *err) {
    int result = 0;
    for (size_t i = 0; result == 0 && i < shared->paths->count; i++) {
        result = see_one(shared, shared->paths->items[i], first, err);
    }
    return result;
}

int file_paths_start(struct file_paths *shared, const char *table, struct err *err) {
    int result = 0;
    pthread_mutex_lock(&shared->lock);
    if (!shared->started) {
        result = scan(shared, true, err);
        if (result == 0 && !shared->positions) {
            result = positions_open(table, &shared->positions, err);
        }
        shared->started = result == 0;
        shared->started_ms = shared->scanned_ms = clock_monotonic_ms();
    }
    pthread_mutex_unlock(&shared->lock);
    return result;
}

struct file_entry *file_paths_take(struct file_paths *shared, int64_t now_ms, char **path) {
    struct file_entry *taken = NULL;
    struct err ignored;
    pthread_mutex_lock(&shared->lock);
    if (shared->follow && now_ms - shared->scanned_ms >= RESCAN_MS) {
        scan(shared, false, &ignored);
        shared->scanned_ms = now_ms;
    }
    for (; shared->next < shared->count && !taken; shared->next++) {
        struct file_entry *entry = shared->entries[shared->next];
        if (entry->state == FILE_FREE) {
            entry->state = FILE_TAKEN;
            *path = xstrdup(entry->path);
            taken = entry;
        }
    }
    pthread_mutex_unlock(&shared->lock);
    return taken;
}

void file_paths_give(struct file_paths *shared, struct file_entry *entry, enum file_state state,
                     int64_t size_bytes, int64_t modified) {
    pthread_mutex_lock(&shared->lock);
    entry->state = state;
    entry->size_bytes = size_bytes;
    entry->modified_ns = modified;
    if (state == FILE_FREE) {
        shared->next = 0;
    }
    pthread_mutex_unlock(&shared->lock);
}

struct positions *file_paths_positions(struct file_paths *shared) {
    return shared->positions;
}

void file_paths_add_read(struct file_paths *shared, int64_t bytes) {
    __atomic_fetch_add(&shared->read_bytes, bytes, __ATOMIC_RELAXED);
}

void file_paths_add_skipped(struct file_paths *shared, int64_t bytes) {
    __atomic_fetch_add(&shared->skipped_bytes, bytes, __ATOMIC_RELAXED);
}

void file_paths_progress(struct file_paths *shared, int64_t now_ms, struct buf *out) {
    size_t done = 0;
    bool is_known = true; /* how much a stream will bring is not */
    int64_t total = -__atomic_load_n(&shared->skipped_bytes, __ATOMIC_RELAXED);
    int64_t read_bytes = __atomic_load_n(&shared->read_bytes, __ATOMIC_RELAXED);
    pthread_mutex_lock(&shared->lock);
    for (size_t i = 0; i < shared->count; i++) {
        done += shared->entries[i]->state == FILE_DONE;
        is_known &= !shared->entries[i]->is_stream;
        total += shared->entries[i]->size_bytes;
    }
    size_t count = shared->count;
    double seconds = (double)(now_ms - shared->started_ms) / 1000;
    pthread_mutex_unlock(&shared->lock);
    double rate = seconds > 0 ? (double)read_bytes / seconds : 0;
    buf_printf(out, "files: %zu of %zu read, %.1f ", done, count, (double)read_bytes / 1e6);
    if (is_known) {
        buf_printf(out, "of %.1f ", (double)total / 1e6);
    }
    buf_printf(out, "MB, %.1f MB/s", rate / 1e6);
    if (is_known && rate > 0 && total > read_bytes && !shared->follow) {
        buf_printf(out, ", %.0f s to go", (double)(total - read_bytes) / rate);
    }
    buf_char(out, '\n');
}

static int check_one(const char *path, bool follow, struct buf *report, struct err *err) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat st = {0};
    if (fd < 0 && errno == ENOENT && follow) {
        buf_printf(report, "file: %s is not there yet\n", path);
        return 0;
    }
    if (fd < 0) {
        return err_sys(err, ERR_CONFIG, "cannot read %s", path);
    }
    fstat(fd, &st);
    close(fd);
    if (S_ISDIR(st.st_mode)) {
        return err_set(err, ERR_CONFIG, "%s is a folder; name the files in it, as %s/*", path,
                       path);
    }
    buf_printf(report, "file: %s can be read, %.1f MB\n", path, (double)st.st_size / 1e6);
    return 0;
}

static int check_pattern(const char *pattern, struct buf *report, struct err *err) {
    glob_t found = {0};
    int result = 0;
    if (glob(pattern, 0, NULL, &found) != 0) {
        buf_printf(report, "warning: file: nothing matches %s\n", pattern);
    }
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct stat st;
        if (stat(found.gl_pathv[i], &st) == 0 && S_ISREG(st.st_mode) &&
            check_one(found.gl_pathv[i], true, report, err) != 0) {
            result = -1;
        }
    }
    globfree(&found);
    return result;
}

int file_paths_check(const struct string_list *paths, bool follow, struct buf *report,
                     struct err *err) {
    int result = 0;
    for (size_t i = 0; i < paths->count; i++) {
        const char *path = paths->items[i];
        int one = 0;
        if (strcmp(path, "-") == 0) {
            buf_add(report, SPAN("file: reads standard input\n"));
        } else if (is_pattern(path)) {
            one = check_pattern(path, report, err);
        } else {
            one = check_one(path, follow, report, err);
        }
        result = one < 0 ? -1 : result;
    }
    return result;
}
