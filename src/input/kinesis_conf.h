/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of the Kinesis input. Used by kinesis*.c.
 */
#pragma once

#include <stdint.h>

#include "aws/session.h"
#include "input/kinesis_store.h"

enum { KINESIS_START_LATEST = -1, KINESIS_START_TRIM_HORIZON = -2 }; /* else ms since 1970 */

/* Where positions are kept: a file, unless a table is named. */
struct kinesis_checkpoint {
    char *file;
    char *dynamodb; /* the table */
    char *endpoint; /* DynamoDB's URL */
    char *owner;
    int64_t failover_ms;
    int64_t interval_ms;
};

struct kinesis_conf {
    char *stream, *arn;
    struct aws_settings aws;
    int64_t start;
    struct kinesis_checkpoint checkpoint;
    int64_t max_calls; /* GetRecords a second and shard */
    int64_t poll_interval_ms;

    /* Made by kinesis_conf_init. */
    char *name;                    /* of the stream, also when an ARN is given */
    char *arn_region, *account;    /* NULL without an ARN */
    char *file;                    /* absolute; NULL with a table */
    struct kinesis_shared *shared; /* of all workers, kinesis_keeper.c */
};

extern const struct option kinesis_options[];

/* input_type.init and .done. */
void kinesis_conf_init(void *conf, struct option_context *context, const struct yaml_node *node,
                       const char *path);
void kinesis_conf_done(void *conf);

/* `"StreamARN":"...",` or `"StreamName":"...",`, the first member of a call's body; appended. */
void kinesis_conf_put_stream(const struct kinesis_conf *conf, struct buf *body);

/* The position of a shard without one, when it is `now_ms` (wall clock). */
struct kinesis_position kinesis_conf_start(const struct kinesis_conf *conf, int64_t now_ms);
