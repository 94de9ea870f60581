/* SPDX-License-Identifier: Apache-2.0 */
/* See pipeline.h. */
#include "core/pipeline.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/cond.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "core/refresh.h"
#include "core/worker.h"

enum { JOB_THREADS = 4 };

struct pipeline {
    const struct settings *settings;
    struct jobs *jobs;
    struct refresh *refresh;
    struct worker_env env;
    struct dossier_style *styles;
    size_t *output_style;
    size_t worker_count;
    struct worker **workers;
    int lock_fd; /* of the state directory, -1 without */
    pthread_mutex_t lock;
    pthread_cond_t ended;
};

/* Searches see addresses in a style of their own, with the few fields that they name. */
static int assign_filter_style(struct pipeline *pipeline, struct err *err) {
    const struct settings *settings = pipeline->settings;
    struct worker_env *env = &pipeline->env;
    if (!settings->filter.writes || settings->output_count == 0) {
        return 0;
    }
    if (env->style_count == DOSSIER_STYLES_MAX) {
        return err_set(err, ERR_CONFIG,
                       "outputs: at most %d different `messages` settings beside drop, keep and "
                       "filters",
                       DOSSIER_STYLES_MAX - 1);
    }
    env->filter_style = env->style_count++;
    pipeline->styles[env->filter_style] =
        (struct dossier_style){.encode = settings->outputs[0].type->encoder->encode_dossier,
                               .conf = &settings->filter.message};
    return 0;
}

/* Outputs with the same encoder and equal message settings share one style. */
static int assign_styles(struct pipeline *pipeline, struct err *err) {
    const struct settings *settings = pipeline->settings;
    struct worker_env *env = &pipeline->env;
    pipeline->styles = xcalloc(settings->output_count + 1, sizeof(struct dossier_style));
    pipeline->output_style = xcalloc(settings->output_count, sizeof(size_t));
    for (size_t i = 0; i < settings->output_count; i++) {
        const struct output_use *use = &settings->outputs[i];
        dossier_encode encode = use->type->encoder->encode_dossier;
        size_t style = 0;
        while (style < env->style_count &&
               !(pipeline->styles[style].encode == encode &&
                 message_equal(pipeline->styles[style].conf, &use->messages))) {
            style++;
        }
        if (style == DOSSIER_STYLES_MAX) {
            return err_set(err, ERR_CONFIG, "outputs: at most %d different `messages` settings",
                           DOSSIER_STYLES_MAX);
        }
        if (style == env->style_count) {
            pipeline->styles[env->style_count++] =
                (struct dossier_style){.encode = encode, .conf = &use->messages};
        }
        pipeline->output_style[i] = style;
    }
    env->styles = pipeline->styles;
    env->output_style = pipeline->output_style;
    return assign_filter_style(pipeline, err);
}

static void wake(void *context) {
    struct pipeline *pipeline = context;
    pthread_mutex_lock(&pipeline->lock);
    pthread_cond_signal(&pipeline->ended);
    pthread_mutex_unlock(&pipeline->lock);
}

static int open_workers(struct pipeline *pipeline, const struct pipeline_options *options,
                        struct err *err) {
    const struct settings *settings = pipeline->settings;
    int per_input = (int)settings->workers;
    pipeline->workers = xcalloc(settings->input_count * (size_t)per_input, sizeof(struct worker *));
    for (size_t i = 0; i < settings->input_count; i++) {
        for (int w = 0; w < per_input; w++) {
            struct input_place place = {
                .worker = w,
                .workers = per_input,
                .state = options->keep_state ? settings->state : NULL,
                .look_only = options->look_only,
                .jobs = pipeline->jobs,
            };
            if (worker_open(&pipeline->env, &settings->inputs[i], &place,
                            &pipeline->workers[pipeline->worker_count], err) != 0) {
                return err_wrap(err, "inputs[%zu].%s", i, settings->inputs[i].type->name);
            }
            pipeline->worker_count++;
        }
    }
    return 0;
}

/* A second daemon on the same state would read and commit the same positions. */
static int lock_state(struct pipeline *pipeline, struct err *err) {
    const char *state = pipeline->settings->state;
    if (file_make_dirs(state, 0750, err) != 0) {
        return err_wrap(err, "state");
    }
    char *path = xasprintf("%s/lock", state);
    pipeline->lock_fd = file_lock(path, err);
    free(path);
    return pipeline->lock_fd < 0 ? err_wrap(err, "state") : 0;
}

static int open_parts(struct pipeline *pipeline, const struct modules *modules,
                      const struct pipeline_options *options, struct buf *tables, struct err *err) {
    const struct settings *settings = pipeline->settings;
    if (options->keep_state && lock_state(pipeline, err) != 0) {
        return -1;
    }
    if (refresh_open(settings, &pipeline->refresh, tables, err) != 0) {
        return -1;
    }
    pipeline->env = (struct worker_env){
        .settings = settings,
        .decoder = modules->decoder,
        .decode = {.formats = (const struct format *const *)settings->formats,
                   .format_count = settings->format_count,
                   .send_nodata = settings->flow_logs.no_data == LINES_SEND,
                   .send_skipdata = settings->flow_logs.skip_data == LINES_SEND},
        .snapshots = refresh_snapshots(pipeline->refresh),
        .wake = wake,
        .context = pipeline,
    };
    if (assign_styles(pipeline, err) != 0 || open_workers(pipeline, options, err) != 0) {
        return -1;
    }
    if (options->refresh_ms > 0) {
        refresh_start(pipeline->refresh, pipeline->jobs, options->refresh_ms);
    }
    return 0;
}

int pipeline_open(const struct settings *settings, const struct modules *modules,
                  const struct pipeline_options *options, struct pipeline **out, struct buf *tables,
                  struct err *err) {
    struct pipeline *pipeline = xcalloc(1, sizeof(*pipeline));
    pipeline->settings = settings;
    pipeline->lock_fd = -1;
    pipeline->jobs = jobs_open(JOB_THREADS);
    pthread_mutex_init(&pipeline->lock, NULL);
    cond_init(&pipeline->ended);
    if (open_parts(pipeline, modules, options, tables, err) != 0) {
        pipeline_close(pipeline);
        return -1;
    }
    *out = pipeline;
    return 0;
}

int pipeline_start(struct pipeline *pipeline, struct err *err) {
    for (size_t i = 0; i < pipeline->worker_count; i++) {
        if (worker_start(pipeline->workers[i], err) != 0) {
            pipeline_stop(pipeline);
            return -1;
        }
    }
    return 0;
}

void pipeline_stop(struct pipeline *pipeline) {
    atomic_store(&pipeline->env.stopping, true);
}

static bool all_done(const struct pipeline *pipeline) {
    bool all = true;
    for (size_t i = 0; i < pipeline->worker_count; i++) {
        all = all && worker_is_done(pipeline->workers[i]);
    }
    return all;
}

/* One that failed leaves its share unread, so the others stop too, and a supervisor starts anew. */
static void stop_on_failure(struct pipeline *pipeline) {
    for (size_t i = 0; i < pipeline->worker_count; i++) {
        if (worker_has_failed(pipeline->workers[i])) {
            pipeline_stop(pipeline);
        }
    }
}

bool pipeline_wait(struct pipeline *pipeline, int wait_ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += wait_ms % 1000 * 1000000L;
    until.tv_sec += wait_ms / 1000 + until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    pthread_mutex_lock(&pipeline->lock);
    int result = 0;
    while (!all_done(pipeline) && result == 0) {
        result = pthread_cond_timedwait(&pipeline->ended, &pipeline->lock, &until);
        stop_on_failure(pipeline);
    }
    bool done = all_done(pipeline);
    pthread_mutex_unlock(&pipeline->lock);
    return done;
}

int pipeline_join(struct pipeline *pipeline, struct err *err) {
    int result = 0;
    pipeline_stop(pipeline);
    for (size_t i = 0; i < pipeline->worker_count; i++) {
        struct err this;
        if (worker_join(pipeline->workers[i], &this) != 0 && result == 0) {
            *err = this;
            result = -1;
        }
    }
    return result;
}

void pipeline_stats(struct pipeline *pipeline, struct stats *stats, struct buf *describe) {
    *stats = (struct stats){0};
    for (size_t i = 0; i < pipeline->worker_count; i++) {
        struct stats one;
        worker_stats(pipeline->workers[i], &one, describe);
        stats_add(stats, &one);
    }
}

void pipeline_close(struct pipeline *pipeline) {
    if (!pipeline) {
        return;
    }
    struct err ignored;
    pipeline_join(pipeline, &ignored);
    for (size_t i = 0; i < pipeline->worker_count; i++) {
        worker_close(pipeline->workers[i]);
    }
    refresh_close(pipeline->refresh);
    jobs_close(pipeline->jobs);
    if (pipeline->lock_fd >= 0) {
        close(pipeline->lock_fd);
    }
    pthread_cond_destroy(&pipeline->ended);
    pthread_mutex_destroy(&pipeline->lock);
    free(pipeline->workers);
    free(pipeline->styles);
    free(pipeline->output_style);
    free(pipeline);
}
