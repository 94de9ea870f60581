/* SPDX-License-Identifier: Apache-2.0 */
/* See refresh.h. */
#include "core/refresh.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/log.h"
#include "base/xalloc.h"

enum { REPORT_MAX = 64 << 10 };

/* One enricher's table and the state of its files when it was last looked at. */
struct job {
    const struct enricher_use *use;
    size_t file_count;
    struct file_mark *seen;
};

struct refresh {
    struct snapshots *snapshots;
    size_t job_count;
    struct job *jobs;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running, stopping;
    int interval_ms;
};

static const char *job_file(const struct job *job, size_t index) {
    return job->use->type->file ? job->use->type->file(job->use->conf, index) : NULL;
}

/* Notes the present state of the job's files; whether one differs from what was seen last. */
static bool files_changed(struct job *job) {
    bool changed = false;
    const char *path;
    for (size_t i = 0; (path = job_file(job, i)); i++) {
        if (i == job->file_count) {
            job->seen = xreallocarray(job->seen, ++job->file_count, sizeof(*job->seen));
            job->seen[i] = (struct file_mark){0};
        }
        struct file_mark now = {0}; /* of a file that is not there just now */
        file_mark(path, &now, NULL);
        changed |= !file_mark_eq(&now, &job->seen[i]);
        job->seen[i] = now;
    }
    return changed;
}

static int load_table(struct refresh *refresh, size_t index, struct buf *report, struct err *err) {
    struct job *job = &refresh->jobs[index];
    const struct enricher_type *type = job->use->type;
    void *table;
    files_changed(job);
    if (type->load(job->use->conf, report, &table, err) != 0) {
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
    pthread_mutex_init(&refresh->lock, NULL);
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&refresh->wake, &attributes);
    pthread_condattr_destroy(&attributes);
    refresh->job_count = settings->enricher_count;
    refresh->jobs = xcalloc(refresh->job_count, sizeof(struct job));
    refresh->snapshots = snapshots_open(refresh->job_count);
    int result = 0;
    for (size_t i = 0; i < refresh->job_count && result == 0; i++) {
        refresh->jobs[i].use = &settings->enrichers[i];
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

static void refresh_changed(struct refresh *refresh) {
    struct buf report;
    buf_init(&report, REPORT_MAX);
    for (size_t i = 0; i < refresh->job_count; i++) {
        struct err err;
        if (!files_changed(&refresh->jobs[i])) {
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

/* Waits for the interval; false when it is time to stop. */
static bool wait_interval(struct refresh *refresh) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += refresh->interval_ms / 1000;
    until.tv_nsec += refresh->interval_ms % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&refresh->lock);
    int result = 0;
    while (!refresh->stopping && result == 0) {
        result = pthread_cond_timedwait(&refresh->wake, &refresh->lock, &until);
    }
    bool go_on = !refresh->stopping;
    pthread_mutex_unlock(&refresh->lock);
    return go_on;
}

static void *refresh_main(void *argument) {
    struct refresh *refresh = argument;
    while (wait_interval(refresh)) {
        refresh_changed(refresh);
    }
    return NULL;
}

void refresh_start(struct refresh *refresh, int interval_ms) {
    refresh->interval_ms = interval_ms;
    refresh->running = pthread_create(&refresh->thread, NULL, refresh_main, refresh) == 0;
    if (!refresh->running) {
        log_error("no thread for the refresher: changed tables are not picked up");
    }
}

struct snapshots *refresh_snapshots(struct refresh *refresh) {
    return refresh->snapshots;
}

void refresh_close(struct refresh *refresh) {
    if (!refresh) {
        return;
    }
    if (refresh->running) {
        pthread_mutex_lock(&refresh->lock);
        refresh->stopping = true;
        pthread_cond_signal(&refresh->wake);
        pthread_mutex_unlock(&refresh->lock);
        pthread_join(refresh->thread, NULL);
    }
    snapshots_close(refresh->snapshots);
    for (size_t i = 0; i < refresh->job_count; i++) {
        free(refresh->jobs[i].seen);
    }
    free(refresh->jobs);
    pthread_cond_destroy(&refresh->wake);
    pthread_mutex_destroy(&refresh->lock);
    free(refresh);
}
