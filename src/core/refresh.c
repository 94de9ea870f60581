/* SPDX-License-Identifier: Apache-2.0 */
/* See refresh.h. */
#include "core/refresh.h"

#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/xalloc.h"

enum { REPORT_MAX = 64 << 10 };

/* One enricher's table and the state of its files when it was last looked at. */
struct loader {
    const struct enricher_use *use;
    size_t file_count;
    struct file_mark *seen;
};

struct refresh {
    struct snapshots *snapshots;
    size_t loader_count;
    struct loader *loaders;
    struct job *job;
    int interval_ms;
};

static const char *loader_file(const struct loader *loader, size_t index) {
    const struct enricher_use *use = loader->use;
    return use->type->file ? use->type->file(use->conf, index) : NULL;
}

/* Notes the present state of the loader's files; whether one differs from what was seen last. */
static bool files_changed(struct loader *loader) {
    bool changed = false;
    const char *path;
    for (size_t i = 0; (path = loader_file(loader, i)); i++) {
        if (i == loader->file_count) {
            loader->seen = xreallocarray(loader->seen, ++loader->file_count, sizeof(*loader->seen));
            loader->seen[i] = (struct file_mark){0};
        }
        struct file_mark now = {0}; /* of a file that is not there just now */
        file_mark(path, &now, NULL);
        changed |= !file_mark_eq(&now, &loader->seen[i]);
        loader->seen[i] = now;
    }
    return changed;
}

static int load_table(struct refresh *refresh, size_t index, struct buf *report, struct err *err) {
    struct loader *loader = &refresh->loaders[index];
    const struct enricher_type *type = loader->use->type;
    void *table;
    files_changed(loader);
    if (type->load(loader->use->conf, report, &table, err) != 0) {
        return err_wrap(err, "enrich.%s", type->name);
    }
    snapshots_publish(refresh->snapshots, index, type, table);
    return 0;
}

int refresh_open(const struct settings *settings, struct refresh **out, struct buf *report,
                 struct err *err) {
    struct refresh *refresh = xcalloc(1, sizeof(*refresh));
    struct buf unread;
    buf_init(&unread, REPORT_MAX);
    refresh->loader_count = settings->enricher_count;
    refresh->loaders = xcalloc(refresh->loader_count, sizeof(struct loader));
    refresh->snapshots = snapshots_open(refresh->loader_count);
    int result = 0;
    for (size_t i = 0; i < refresh->loader_count && result == 0; i++) {
        refresh->loaders[i].use = &settings->enrichers[i];
        result = load_table(refresh, i, report ? report : &unread, err);
    }
    buf_done(&unread);
    if (result != 0) {
        refresh_close(refresh);
        return -1;
    }
    *out = refresh;
    return 0;
}

static void refresh_changed(struct refresh *refresh, const atomic_bool *stopping) {
    struct buf report;
    buf_init(&report, REPORT_MAX);
    for (size_t i = 0; i < refresh->loader_count && !atomic_load(stopping); i++) {
        struct err err;
        if (!files_changed(&refresh->loaders[i])) {
            continue;
        }
        buf_clear(&report);
        if (load_table(refresh, i, &report, &err) == 0) {
            log_info("loaded anew: %s", buf_cstr(&report));
        } else {
            log_error("%s; the table loaded before stays in use", err.text);
        }
    }
    buf_done(&report);
}

static int64_t refresh_job(void *context, const atomic_bool *stopping) {
    struct refresh *refresh = context;
    refresh_changed(refresh, stopping);
    return refresh->interval_ms;
}

void refresh_start(struct refresh *refresh, struct jobs *jobs, int interval_ms) {
    refresh->interval_ms = interval_ms;
    refresh->job = jobs_add(jobs, refresh_job, refresh, interval_ms);
}

struct snapshots *refresh_snapshots(struct refresh *refresh) {
    return refresh->snapshots;
}

void refresh_close(struct refresh *refresh) {
    if (!refresh) {
        return;
    }
    job_remove(refresh->job);
    snapshots_close(refresh->snapshots);
    for (size_t i = 0; i < refresh->loader_count; i++) {
        free(refresh->loaders[i].seen);
    }
    free(refresh->loaders);
    free(refresh);
}
