/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Kinesis stream on the emulator of demo_emulator.h, and a producer that fills it by signed calls.
 * For the demo alone; cold path, may wait.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/span.h"

enum { DEMO_KINESIS_SHARDS = 4 };

#define DEMO_KINESIS_REGION "eu-west-1"

struct demo_kinesis;

/* Gives this process AWS credentials of nobody, and hides all that it may find in the environment and
   in files: the emulator looks at no signature, and real keys have no business here. Before any
   thread is made. */
void demo_kinesis_set_environment(void);

/* Starts the emulator, which keeps its log in `folder`. The stream is there when
   demo_kinesis_ready says so. ERR_STOP: see demo_emulator_open. */
int demo_kinesis_open(const char *stream, const char *folder, struct demo_kinesis **kinesis,
                      struct err *err);

/* Goes on for at most half a second. 1: the stream is there, with its shards; 0: not yet; -1: it
   will not be (ERR_STOP), which is found out after a minute at the latest. */
int demo_kinesis_ready(struct demo_kinesis *kinesis, struct err *err);

/* "http://127.0.0.1:port"; valid until closed. */
const char *demo_kinesis_endpoint(const struct demo_kinesis *kinesis);

/* Copies `record`: as a record of the stream, or, when it is small, as one of several in an aggregate
   such as the Kinesis Producer Library makes. As many as fit into one call are sent together.
   ERR_STOP when they cannot be. */
int demo_kinesis_put(struct demo_kinesis *kinesis, struct span record, struct err *err);

/* Sends what is left. */
int demo_kinesis_flush(struct demo_kinesis *kinesis, struct err *err);

/* Ends the emulator. NULL is fine. */
void demo_kinesis_close(struct demo_kinesis *kinesis);
