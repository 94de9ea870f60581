/* SPDX-License-Identifier: Apache-2.0 */
/* See kafka_out_conf.h. Order: our presets, what the person passed through, then what must hold. */
#include "output/kafka_out_conf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "output/common.h"
#include "output/kafka_frame.h"

enum { LINGER_MAX_MS = 1000, TOPIC_NAME_MAX = 249 };

static const char *const keys[] = {"flow", "interface", NULL};

#define AT(member) .offset = offsetof(struct kafka_out_conf, member)

const struct option kafka_out_options[] = {
    OUTPUT_COMMON_OPTIONS,
    KAFKA_BROKERS_OPTION(struct kafka_out_conf),
    {.name = "topic",
     .type = OPTION_STRING,
     .required = true,
     AT(topic),
     .sample = "vpc-flow-gelf",
     .help = "Topic to write, one JSON object a message, with event_uid unless that is omitted."},
    {.name = "key",
     .type = OPTION_CHOICE,
     .preset = "flow",
     .choices = keys,
     AT(key),
     .help = "What decides the partition: both directions of a conversation together (flow: a hash "
             "of protocol, addresses and ports, which spreads evenly), or all of a network "
             "interface (interface: its id). Lines without addresses go by their interface."},
    KAFKA_CLIENT_OPTIONS(struct kafka_out_conf),
    OPTION_END,
};

/* Besides what no client passes through. */
#define UNACKNOWLEDGED "it would count messages as delivered that are not, or lose them"
#define BY_RING        "it is decided by the ring"

static const struct kafka_refused refused[] = {
    {"acks", UNACKNOWLEDGED},
    {"request.required.acks", UNACKNOWLEDGED},
    {"enable.idempotence", "retries would store messages twice"},
    {"enable.gapless.guarantee", "one message that is refused would end the producer"},
    {"transactional.id", "nobody would commit the transactions"},
    {"message.timeout.ms", "messages are never given up"},
    {"delivery.timeout.ms", "messages are never given up"},
    {"retries", "messages are never given up"},
    {"message.send.max.retries", "messages are never given up"},
    {"max.in.flight", "it is decided by enable.idempotence"},
    {"max.in.flight.requests.per.connection", "it is decided by enable.idempotence"},
    {"queuing.strategy", "it is decided by enable.idempotence"},
    {"delivery.report.only.error", UNACKNOWLEDGED},
    {"dr_cb", UNACKNOWLEDGED},
    {"dr_msg_cb", UNACKNOWLEDGED},
    {"queue.buffering.max.messages", BY_RING},
    {"queue.buffering.max.kbytes", BY_RING},
    {"queue.buffering.max.ms", "it is an old name of linger.ms"},
    {"queue.buffering.backpressure.threshold", BY_RING},
    {NULL, NULL},
};

/* What a person may overrule. An unknown topic is asked for again by us, so it need not be waited
   for long; the partitioner is that of Java's clients, so that keys of both lie together. */
static int set_presets(rd_kafka_conf_t *made, struct err *err) {
    static const char *const presets[][2] = {
        {"client.id", "flowgelf"},
        {"linger.ms", "5"},
        {"compression.codec", "lz4"},
        {"partitioner", "murmur2_random"},
        {"topic.metadata.propagation.max.ms", "3000"},
        {"reconnect.backoff.max.ms", "5000"},
    };
    for (size_t i = 0; i < sizeof presets / sizeof presets[0]; i++) {
        if (kafka_client_set(made, presets[i][0], presets[i][1], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int set_number(rd_kafka_conf_t *made, const char *name, size_t number, struct err *err) {
    char text[24];
    snprintf(text, sizeof text, "%zu", number);
    return kafka_client_set(made, name, text, err);
}

/* The ring is the one limit of bytes: what librdkafka counts, keys included, is at most twice
   that. */
static int set_delivery(const struct kafka_out_room *room, rd_kafka_conf_t *made, struct err *err) {
    if (room->batch_bytes > 0 && set_number(made, "batch.size", room->batch_bytes, err) < 0) {
        return -1;
    }
    return kafka_client_set(made, "enable.idempotence", "true", err) < 0 ||
                   kafka_client_set(made, "acks", "all", err) < 0 ||
                   kafka_client_set(made, "message.timeout.ms", "0", err) < 0 ||
                   set_number(made, "queue.buffering.max.messages", room->messages, err) < 0 ||
                   set_number(made, "queue.buffering.max.kbytes", room->bytes / 512 + 1, err) < 0
               ? -1
               : 0;
}

int kafka_out_conf_make(const struct kafka_out_conf *conf, const struct kafka_out_room *room,
                        rd_kafka_conf_t **made, struct err *err) {
    rd_kafka_conf_t *new = rd_kafka_conf_new();
    if (set_presets(new, err) < 0 || kafka_client_apply(&conf->client, new, err) < 0 ||
        set_delivery(room, new, err) < 0) {
        rd_kafka_conf_destroy(new);
        return -1;
    }
    *made = new;
    return 0;
}

size_t kafka_out_conf_number(const rd_kafka_conf_t *made, const char *name) {
    char text[64];
    size_t size = sizeof text;
    return rd_kafka_conf_get(made, name, text, &size) == RD_KAFKA_CONF_OK ? strtoul(text, NULL, 10)
                                                                          : 0;
}

/* What waits for company is delivered late, and nothing makes librdkafka send it without waiting
   for that ourselves. */
static void check_linger(const struct kafka_out_conf *conf, struct option_context *context,
                         const struct yaml_node *node, const char *path) {
    for (size_t i = 0; i < conf->client.properties.count; i++) {
        if (strcmp(conf->client.properties.keys[i], "linger.ms") == 0 &&
            strtod(conf->client.properties.values[i], NULL) > LINGER_MAX_MS) {
            option_error(context, node, path, "properties: linger.ms must be at most %d",
                         LINGER_MAX_MS);
        }
    }
}

/* Brokers would answer each metadata request with an error. */
static void check_topic(const char *topic, struct option_context *context,
                        const struct yaml_node *node, const char *path) {
    static const char allowed[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";
    size_t len = topic ? strlen(topic) : 0;
    if (len > TOPIC_NAME_MAX || (topic && strspn(topic, allowed) != len) ||
        (topic && (strcmp(topic, ".") == 0 || strcmp(topic, "..") == 0))) {
        option_error(context, node, path,
                     "topic: %s is no name of a topic: at most %d of A-Z a-z 0-9 . _ -", topic,
                     TOPIC_NAME_MAX);
    }
}

void kafka_out_conf_init(void *conf_, const struct message_conf *messages,
                         struct option_context *context, const struct yaml_node *node,
                         const char *path) {
    (void)messages;
    const struct kafka_out_conf *conf = conf_;
    const struct yaml_node *properties = yaml_get(node, "properties");
    check_topic(conf->topic, context, yaml_get(node, "topic"), path);
    check_linger(conf, context, properties ? properties : node, path);
    kafka_client_init(&conf->client, refused, context, node, path);
}
