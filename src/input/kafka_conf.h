/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of the Kafka input and how they become librdkafka's properties. Properties that a
 * person passes through are checked here: by librdkafka for name and value, and against a list of
 * those that would take delivery out of our hands, each with the reason. Used by kafka.c.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdint.h>

#include "base/err.h"
#include "config/option.h"

enum { KAFKA_START_EARLIEST = -1, KAFKA_START_LATEST = -2 }; /* else ms since 1970 */
enum { KAFKA_ASSIGN_EAGER, KAFKA_ASSIGN_COOPERATIVE };

struct kafka_tls {
    bool enabled;
    char *ca, *cert, *key, *key_password;
};

struct kafka_sasl {
    int mechanism; /* 0: none */
    char *username, *password;
};

struct kafka_conf {
    struct hostport_list brokers;
    struct string_list topics;
    char *group;
    int64_t start;
    int assignment;
    int64_t commit_interval_ms;
    struct kafka_tls tls;
    struct kafka_sasl sasl;
    struct string_map properties;
};

extern const struct option kafka_options[];

/* input_type.init: checks what the table cannot say, properties by librdkafka's own parser. */
void kafka_conf_init(void *conf, struct option_context *context, const struct yaml_node *node,
                     const char *path);

/* All properties for a consumer, the caller's. ERR_CONFIG names the setting that cannot be. */
int kafka_conf_make(const struct kafka_conf *conf, rd_kafka_conf_t **made, struct err *err);
