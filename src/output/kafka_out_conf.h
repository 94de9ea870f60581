/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of the Kafka output and how they become librdkafka's properties, but for what all
 * clients of Kafka have in common (core/kafka_client). Used by kafka.c.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stddef.h>

#include "core/kafka_client.h"
#include "core/output.h"

struct kafka_out_conf {
    struct output_common common;
    struct kafka_client client;
    char *topic;
    int key; /* enum kafka_key */
};

extern const struct option kafka_out_options[];

/* output_type.init: checks what the table cannot say. Messages may be whatever JSON has. */
void kafka_out_conf_init(void *conf, const struct message_conf *messages,
                         struct option_context *context, const struct yaml_node *node,
                         const char *path);

/* What a producer takes on at most: all messages of a ring. */
struct kafka_out_room {
    size_t messages, bytes;
    size_t batch_bytes; /* batch.size; 0: as it is set or preset */
};

/* All properties for a producer, the caller's. ERR_CONFIG names the setting that cannot be. */
int kafka_out_conf_make(const struct kafka_out_conf *conf, const struct kafka_out_room *room,
                        rd_kafka_conf_t **made, struct err *err);

/* The value of a property that is a number. */
size_t kafka_out_conf_number(const rd_kafka_conf_t *made, const char *name);
