/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all forms of `flowgelf demo` stand on: a temporary folder with a threat feed and the state,
 * the Kafka cluster inside or a Kinesis emulator, and the ordinary pipeline from there to one
 * output. Signals are taken here, so that folder and emulator go in any case.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"
#include "cmd/demo_kafka.h"
#include "cmd/demo_kinesis.h"
#include "core/pipeline.h"

enum { DEMO_FOLDER_MAX = 512 };

/* Where the pipeline reads from. */
enum demo_source { DEMO_KAFKA, DEMO_KINESIS };

struct demo_stage {
    enum demo_source source;
    char folder[DEMO_FOLDER_MAX]; /* "": not made yet */
    struct demo_kafka *kafka;     /* one of the two is there */
    struct demo_kinesis *kinesis;
    struct settings *settings;
    struct pipeline *pipeline;
    sigset_t signals;
};

/* An empty stage that takes INT and TERM, and with Kinesis changes the environment: before any
   thread is made. */
void demo_stage_init(struct demo_stage *stage, enum demo_source source);

/* Opens everything; `output` is the item of `outputs:` in YAML flow style. Returns an exit_code
   after having said what failed; demo_stage_close either way. */
int demo_stage_open(struct demo_stage *stage, struct span output);

/* One record more for the source, and the last of them: see demo_kafka.h and demo_kinesis.h. May
   wait; flush returns when all are stored. */
int demo_stage_put(struct demo_stage *stage, struct span record, struct err *err);
int demo_stage_flush(struct demo_stage *stage, struct err *err);

/* Whether INT or TERM came since. */
bool demo_stage_interrupted(const struct demo_stage *stage);

/* The sum of one counter over all workers, at most a second old. */
uint64_t demo_stage_counter(const struct demo_stage *stage, enum counter_id id);

/* Ends the pipeline and its source and removes the folder. */
void demo_stage_close(struct demo_stage *stage);
