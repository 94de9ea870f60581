/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both forms of `flowgelf demo` stand on: a temporary folder with a threat feed and the state,
 * the Kafka cluster inside, and the ordinary pipeline from there to one output. Signals are taken
 * here, so that the folder goes in any case.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "cmd/demo_kafka.h"
#include "core/pipeline.h"

enum { DEMO_FOLDER_MAX = 512 };

struct demo_stage {
    char folder[DEMO_FOLDER_MAX]; /* "": not made yet */
    struct demo_kafka *kafka;
    struct settings *settings;
    struct pipeline *pipeline;
    sigset_t signals;
};

/* An empty stage that takes INT and TERM: before any thread is made, which inherits that. */
void demo_stage_init(struct demo_stage *stage);

/* Opens everything; `output` is the item of `outputs:` in YAML flow style. Returns an exit_code
   after having said what failed; demo_stage_close either way. */
int demo_stage_open(struct demo_stage *stage, struct span output);

/* Whether INT or TERM came since. */
bool demo_stage_interrupted(const struct demo_stage *stage);

/* The sum of one counter over all workers, at most a second old. */
uint64_t demo_stage_counter(const struct demo_stage *stage, enum counter_id id);

/* Ends the pipeline and the cluster and removes the folder. */
void demo_stage_close(struct demo_stage *stage);
