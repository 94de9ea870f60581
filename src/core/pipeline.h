/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A running flowgelf: the tables, and the workers of all inputs. Commands open one from settings,
 * start it, wait, and close it; they differ only in the inputs and outputs that the settings name.
 */
#pragma once

#include <stdbool.h>

#include "core/settings.h"
#include "core/stats.h"

struct pipeline;

struct pipeline_options {
    bool look_only;  /* read without group or lease, commit and store nothing */
    bool keep_state; /* lock the state directory and keep positions in it */
    int refresh_ms;  /* how often files of tables are looked at; 0: never */
};

/* Loads tables and opens all workers. `tables` (may be NULL) gets a line on each table loaded. The
   settings outlive the pipeline. */
int pipeline_open(const struct settings *settings, const struct modules *modules,
                  const struct pipeline_options *options, struct pipeline **pipeline,
                  struct buf *tables, struct err *err);

int pipeline_start(struct pipeline *pipeline, struct err *err);

/* Tells the workers to stop reading, drain and end. From any thread, not from a signal handler. */
void pipeline_stop(struct pipeline *pipeline);

/* Waits up to `wait_ms` for the end of all workers; whether they ended. One that failed stops the
   others. */
bool pipeline_wait(struct pipeline *pipeline, int wait_ms);

/* Joins the workers (which ended, or are told to stop now). -1 with what made the first one
   fail. */
int pipeline_join(struct pipeline *pipeline, struct err *err);

/* The sum of all counters, and a line per partition, file and connection. */
void pipeline_stats(struct pipeline *pipeline, struct stats *stats, struct buf *describe);

/* NULL is fine. */
void pipeline_close(struct pipeline *pipeline);
