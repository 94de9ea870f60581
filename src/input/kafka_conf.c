/* SPDX-License-Identifier: Apache-2.0 */
/* See kafka_conf.h. Order: our presets, what the person passed through, then what must hold. */
#include "input/kafka_conf.h"

#include <regex.h>
#include <string.h>

enum { COOPERATIVE_VERSION = 0x020a0000 }; /* 2.10.0: librdkafka issue 4059 */

static const char *const assignments[] = {"eager", "cooperative", NULL};
static const char *const strategies[] = {"range,roundrobin", "cooperative-sticky"};
static const char *const starts[] = {"earliest", "latest", NULL};

#define AT(member) .offset = offsetof(struct kafka_conf, member)

const struct option kafka_options[] = {
    KAFKA_BROKERS_OPTION(struct kafka_conf),
    {.name = "topics",
     .type = OPTION_STRING,
     .list = true,
     .required = true,
     AT(topics),
     .sample = "[vpc-flow-logs]",
     .help = "Topics to read. One that begins with ^ is a regular expression over all topics."},
    {.name = "group",
     .type = OPTION_STRING,
     AT(group),
     .preset = "flowgelf",
     .help = "Consumer group: partitions are spread over its members, which are the workers of all "
             "processes with the same group, and positions are stored under it."},
    {.name = "start",
     .type = OPTION_TIME,
     AT(start),
     .preset = "earliest",
     .choices = starts,
     .help = "Where to begin in a partition for which the group has no position: earliest, latest, "
             "or a time such as 2026-01-31T00:00:00Z."},
    {.name = "assignment",
     .type = OPTION_CHOICE,
     AT(assignment),
     .preset = "eager",
     .choices = assignments,
     .help =
         "How partitions move when members come and go: all at once (eager), or only those that "
         "change hands (cooperative; needs librdkafka 2.10)."},
    {.name = "commit_interval",
     .type = OPTION_DURATION,
     AT(commit_interval_ms),
     .preset = "5s",
     .min = 100,
     .max = 600000,
     .help = "How often positions are stored at most."},
    KAFKA_CLIENT_OPTIONS(struct kafka_conf),
    OPTION_END,
};

/* Besides what no client passes through. */
static const struct kafka_refused refused[] = {
    {"group.id", "it is set by `group`"},
    {"group.instance.id",
     "it would give all workers one identity, and they would throw each other out"},
    {"group.protocol", "it changes how partitions are handed over, on which commits rely"},
    {"group.protocol.type", "it changes how partitions are handed over, on which commits rely"},
    {"group.remote.assignor", "it changes how partitions are handed over, on which commits rely"},
    {"partition.assignment.strategy", "it is set by `assignment`"},
    {"enable.auto.commit", "it would store positions of records that are not delivered yet"},
    {"auto.commit.enable", "it would store positions of records that are not delivered yet"},
    {"auto.commit.interval.ms", "it has no effect here; see `commit_interval`"},
    {"enable.auto.offset.store", "it would store positions of records that are not delivered yet"},
    {"auto.offset.reset", "it is decided by `start`"},
    {"offset.store.method", "positions are stored in the group"},
    {"offset.store.path", "positions are stored in the group"},
    {"enable.partition.eof", "ends of partitions are of no use to a stream"},
    {NULL, NULL},
};

/* What a person may overrule. fetch.queue.backoff.ms is not known before librdkafka 2.2, where a
   full queue makes it wait for a second. A message costs librdkafka some 400 bytes besides its
   data, which queued.max.messages.kbytes does not count: where each is one line, 100000 of them,
   its own preset, take 40 MB a partition. */
static int set_presets(rd_kafka_conf_t *made, struct err *err) {
    char text[128];
    rd_kafka_conf_set(made, "fetch.queue.backoff.ms", "20", text, sizeof(text));
    return kafka_client_set(made, "client.id", "flowgelf", err) < 0 ||
                   kafka_client_set(made, "queued.max.messages.kbytes", "8192", err) < 0 ||
                   kafka_client_set(made, "queued.min.messages", "10000", err) < 0
               ? -1
               : 0;
}

/* auto.offset.reset is for positions that the broker no longer has: what is left of the partition
   is read, whatever `start` says, because that skips least. */
static int set_delivery(const struct kafka_conf *conf, rd_kafka_conf_t *made, struct err *err) {
    return kafka_client_set(made, "group.id", conf->group, err) < 0 ||
                   kafka_client_set(made, "enable.auto.commit", "false", err) < 0 ||
                   kafka_client_set(made, "enable.auto.offset.store", "false", err) < 0 ||
                   kafka_client_set(made, "auto.offset.reset", "earliest", err) < 0 ||
                   kafka_client_set(made, "partition.assignment.strategy",
                                    strategies[conf->assignment], err) < 0
               ? -1
               : 0;
}

int kafka_conf_make(const struct kafka_conf *conf, rd_kafka_conf_t **made, struct err *err) {
    rd_kafka_conf_t *new = rd_kafka_conf_new();
    if (set_presets(new, err) < 0 || kafka_client_apply(&conf->client, new, err) < 0 ||
        set_delivery(conf, new, err) < 0) {
        rd_kafka_conf_destroy(new);
        return -1;
    }
    *made = new;
    return 0;
}

/* librdkafka would say so only when it subscribes. */
static void check_topics(const struct kafka_conf *conf, struct option_context *context,
                         const struct yaml_node *node, const char *path) {
    for (size_t i = 0; i < conf->topics.count; i++) {
        const char *topic = conf->topics.items[i];
        char text[256];
        regex_t regex;
        int code = topic[0] == '^' ? regcomp(&regex, topic, REG_EXTENDED | REG_NOSUB) : 0;
        if (code != 0) {
            regerror(code, &regex, text, sizeof(text));
            option_error(context, node, path, "topics: %s is no regular expression: %s", topic,
                         text);
        } else if (topic[0] == '^') {
            regfree(&regex);
        }
    }
}

void kafka_conf_init(void *conf_, struct option_context *context, const struct yaml_node *node,
                     const char *path) {
    const struct kafka_conf *conf = conf_;
    check_topics(conf, context, yaml_get(node, "topics"), path);
    kafka_client_init(&conf->client, refused, context, node, path);
    if (conf->assignment == KAFKA_ASSIGN_COOPERATIVE && rd_kafka_version() < COOPERATIVE_VERSION) {
        option_error(context, yaml_get(node, "assignment"), path,
                     "assignment: cooperative needs librdkafka 2.10, which is %s here: before, it "
                     "rebalances without end when positions are committed by hand; use eager",
                     rd_kafka_version_str());
    }
}
