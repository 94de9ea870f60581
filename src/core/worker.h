/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker: one thread with an input handle, a decoder, its dossier cache and a ship per output. It
 * runs the life of a batch from read to commit; workers share nothing but settings and snapshots.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "core/settings.h"
#include "core/ship.h"
#include "core/snapshot.h"
#include "core/stats.h"

/* What all workers of a pipeline are told; lives longer than they. */
struct worker_env {
    const struct settings *settings;
    const struct decoder_type *decoder;
    struct decode_conf decode;
    struct snapshots *snapshots;
    const struct dossier_style *styles;
    size_t style_count;
    const size_t *output_style;  /* per output: the number of its style */
    size_t filter_style;         /* what searches see; only where settings->filter.writes */
    atomic_bool stopping;        /* stop reading, drain, commit, end */
    void (*wake)(void *context); /* a worker ended or failed */
    void *context;
};

struct worker;

/* Opens everything a worker needs, in the calling thread; then worker_start runs it. */
int worker_open(const struct worker_env *env, const struct input_use *use,
                const struct input_place *place, struct worker **worker, struct err *err);
int worker_start(struct worker *worker, struct err *err);

/* Whether it met an error that ends it; worker_join says which. */
bool worker_has_failed(const struct worker *worker);

/* Whether the thread has ended. */
bool worker_is_done(const struct worker *worker);

/* Waits for the thread; 0, or -1 with what made it stop early. */
int worker_join(struct worker *worker, struct err *err);

/* A copy of the counters (at most a second old while it runs), and a line per partition or file. */
void worker_stats(struct worker *worker, struct stats *stats, struct buf *describe);

/* After worker_join, or when never started. NULL is fine. */
void worker_close(struct worker *worker);
