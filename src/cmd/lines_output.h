/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An output for commands: hands each message, as one line of JSON, to a function of the command
 * (which may print it: stdout is flushed once a turn) instead of sending it. So `enrich` and `peek`
 * run the very pipeline that `run` runs.
 */
#pragma once

#include "core/output.h"

/* The conf of lines_output_type, made by the command with xcalloc. `message` is called in the
   worker's thread with one message without its newline; -1 stops the pipeline with the error. */
struct lines_output_conf {
    struct output_common common;
    int (*message)(void *context, struct span line, struct err *err);
    void *context;
};

extern const struct output_type lines_output_type;
