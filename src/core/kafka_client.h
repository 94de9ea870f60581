/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What all clients of Kafka have in common, those that read and those that write: the settings of
 * how brokers are reached, the properties that a person passes through, what librdkafka logs, and
 * how trouble becomes one line with a remedy. Properties are checked by librdkafka's own parser for
 * name and value, and against lists of those that would take delivery out of our hands, each with
 * the reason. Used by input/kafka and output/kafka.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>

#include "base/err.h"
#include "config/option.h"

struct kafka_tls {
    bool enabled;
    char *ca, *cert, *key, *key_password;
};

struct kafka_sasl {
    int mechanism; /* 0: none */
    char *username, *password;
};

/* Part of the conf of a module. */
struct kafka_client {
    struct hostport_list brokers;
    struct kafka_tls tls;
    struct kafka_sasl sasl;
    struct string_map properties;
};

extern const struct option kafka_tls_options[], kafka_sasl_options[];

/* Rows for the table of a module whose conf is a `conf_type` with a struct kafka_client `client`. */
#define KAFKA_BROKERS_OPTION(conf_type)                                                        \
    {                                                                                          \
        .name = "brokers", .type = OPTION_HOSTPORT, .list = true, .required = true,            \
        .offset = offsetof(conf_type, client.brokers), .sample = "[kafka1:9092, kafka2:9092]", \
        .help = "Some of the cluster's brokers; the others are learnt from them."              \
    }

#define KAFKA_CLIENT_OPTIONS(conf_type)                                                         \
    {.name = "tls",                                                                             \
     .type = OPTION_GROUP,                                                                      \
     .offset = offsetof(conf_type, client.tls),                                                 \
     .group = kafka_tls_options,                                                                \
     .help = "TLS to the brokers."},                                                            \
        {.name = "sasl",                                                                        \
         .type = OPTION_GROUP,                                                                  \
         .offset = offsetof(conf_type, client.sasl),                                            \
         .group = kafka_sasl_options,                                                           \
         .help = "Authentication."},                                                            \
    {                                                                                           \
        .name = "properties", .type = OPTION_STRINGS,                                           \
        .offset = offsetof(conf_type, client.properties), .sample = "{}",                       \
        .help =                                                                                 \
            "Further properties of librdkafka (its CONFIGURATION.md), by name. Those on which " \
            "delivery depends are refused."                                                     \
    }

/* A property that is not for passing through; a list of them ends with name NULL. */
struct kafka_refused {
    const char *name, *why;
};

/* The part of a module's init that is about the client; `own` is what the module refuses besides
   what all do. */
void kafka_client_init(const struct kafka_client *client, const struct kafka_refused *own,
                       struct option_context *context, const struct yaml_node *node,
                       const char *path);

/* Sets one property. ERR_CONFIG: librdkafka's words. */
int kafka_client_set(rd_kafka_conf_t *made, const char *name, const char *value, struct err *err);

/* Puts into `made`, which holds the module's presets: what the person passed through, then brokers,
   TLS and authentication, and the log. What must hold in any case is to be set behind it. */
int kafka_client_apply(const struct kafka_client *client, rd_kafka_conf_t *made, struct err *err);

/* Trouble with brokers: what was said last and has not passed. Zeros but for `remedy` are a valid
   start; touched by the module's thread only. */
struct kafka_trouble {
    rd_kafka_resp_err_t code;
    bool is_new;
    struct err err;
    /* What a person can do where it depends on the module; NULL for what it does not know. */
    const char *(*remedy)(rd_kafka_resp_err_t code);
};

/* Keeps trouble to be said, once per change, with its remedy, as ERR_RETRY. Brokers that refuse us
   are also "all down", which is not said then. */
void kafka_trouble_note(struct kafka_trouble *trouble, rd_kafka_resp_err_t code, const char *text);

/* The same for what librdkafka's error_cb hands over: fatal errors with their own text and ERR_STOP;
   one broker of several that is away is no trouble yet. */
void kafka_trouble_error(struct kafka_trouble *trouble, rd_kafka_t *rk, int code,
                         const char *reason);

/* Whether there is something to say, which is then in *err. */
bool kafka_trouble_say(struct kafka_trouble *trouble, struct err *err);

/* It works again: whether there was trouble that had been said. */
bool kafka_trouble_pass(struct kafka_trouble *trouble);

/* What a person can do about an error of any client, as "; ..."; "" where there is nothing. */
const char *kafka_client_remedy(rd_kafka_resp_err_t code);
