/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of the Kafka input and how they become librdkafka's properties, but for what all
 * clients of Kafka have in common (core/kafka_client). Used by kafka.c.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "base/err.h"
#include "config/option.h"
#include "core/kafka_client.h"

enum { KAFKA_START_EARLIEST = -1, KAFKA_START_LATEST = -2 }; /* else ms since 1970 */
enum { KAFKA_ASSIGN_EAGER, KAFKA_ASSIGN_COOPERATIVE };

struct kafka_conf {
    struct kafka_client client;
    struct string_list topics;
    char *group;
    int64_t start;
    int assignment;
    int64_t commit_interval_ms;
};

extern const struct option kafka_options[];

/* input_type.init: checks what the table cannot say, properties by librdkafka's own parser. */
void kafka_conf_init(void *conf, struct option_context *context, const struct yaml_node *node,
                     const char *path);

/* All properties for a consumer, the caller's. ERR_CONFIG names the setting that cannot be. */
int kafka_conf_make(const struct kafka_conf *conf, rd_kafka_conf_t **made, struct err *err);
