/* SPDX-License-Identifier: Apache-2.0 */
/* See kafka_conf.h. Order: our presets, what the person passed through, then what must hold. */
#include "input/kafka_conf.h"

#include <regex.h>
#include <string.h>

#include "base/buf.h"

enum {
    BROKERS_TEXT_MAX = 64 << 10,
    COOPERATIVE_VERSION = 0x020a0000, /* 2.10.0: librdkafka issue 4059 */
};

static const char *const assignments[] = {"eager", "cooperative", NULL};
static const char *const strategies[] = {"range,roundrobin", "cooperative-sticky"};
static const char *const starts[] = {"earliest", "latest", NULL};
static const char *const mechanisms[] = {
    "none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI", NULL};

#define TLS(member) .offset = offsetof(struct kafka_tls, member)

static const struct option tls_options[] = {
    {.name = "enabled",
     .type = OPTION_BOOLEAN,
     TLS(enabled),
     .preset = "false",
     .help = "Speak TLS to the brokers; any other setting here implies it."},
    {.name = "ca",
     .type = OPTION_READ_PATH,
     TLS(ca),
     .sample = "ca.pem",
     .help = "Certificates that sign the brokers'; without it, those that the system trusts."},
    {.name = "cert",
     .type = OPTION_READ_PATH,
     TLS(cert),
     .sample = "client.pem",
     .help = "Our own certificate, where brokers ask for one."},
    {.name = "key",
     .type = OPTION_READ_PATH,
     TLS(key),
     .sample = "client.key",
     .help = "Its private key."},
    {.name = "key_password",
     .type = OPTION_SECRET,
     TLS(key_password),
     .sample = "file:/etc/flowgelf/key-password",
     .help = "Password of the private key."},
    OPTION_END,
};

#define SASL(member) .offset = offsetof(struct kafka_sasl, member)

static const struct option sasl_options[] = {
    {.name = "mechanism",
     .type = OPTION_CHOICE,
     SASL(mechanism),
     .preset = "none",
     .choices = mechanisms,
     .help = "How we prove who we are."},
    {.name = "username",
     .type = OPTION_STRING,
     SASL(username),
     .sample = "flowgelf",
     .help = "Name for PLAIN and SCRAM."},
    {.name = "password",
     .type = OPTION_SECRET,
     SASL(password),
     .sample = "file:/etc/flowgelf/kafka-password",
     .help = "Password for PLAIN and SCRAM."},
    OPTION_END,
};

#define AT(member) .offset = offsetof(struct kafka_conf, member)

const struct option kafka_options[] = {
    {.name = "brokers",
     .type = OPTION_HOSTPORT,
     .list = true,
     .required = true,
     AT(brokers),
     .sample = "[kafka1:9092, kafka2:9092]",
     .help = "Some of the cluster's brokers; the others are learnt from them."},
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
    {.name = "tls",
     .type = OPTION_GROUP,
     AT(tls),
     .group = tls_options,
     .help = "TLS to the brokers."},
    {.name = "sasl",
     .type = OPTION_GROUP,
     AT(sasl),
     .group = sasl_options,
     .help = "Authentication."},
    {.name = "properties",
     .type = OPTION_STRINGS,
     AT(properties),
     .sample = "{}",
     .help = "Further properties of librdkafka (its CONFIGURATION.md), by name. Those on which "
             "delivery depends are refused."},
    OPTION_END,
};

/* Properties that are not for passing through, and why. */
static const struct {
    const char *name, *why;
} refused[] = {
    {"bootstrap.servers", "it is set by `brokers`"},
    {"metadata.broker.list", "it is set by `brokers`"},
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
    {"enabled_events", "the input serves librdkafka's events itself"},
    {"plugin.library.paths", "foreign code could commit or change records unseen"},
    {"security.protocol", "it is set by `tls` and `sasl`"},
    {"sasl.mechanism", "it is set by `sasl: {mechanism}`"},
    {"sasl.mechanisms", "it is set by `sasl: {mechanism}`"},
    {"sasl.username", "it is set by `sasl: {username}`"},
    {"sasl.password",
     "it would stand readable in the configuration; use `sasl: {password: file:...}`"},
    {"ssl.key.password", "it would stand readable in the configuration; use `tls: {key_password}`"},
    {"ssl.ca.location", "it is set by `tls: {ca}`"},
    {"ssl.certificate.location", "it is set by `tls: {cert}`"},
    {"ssl.key.location", "it is set by `tls: {key}`"},
};

static const char *why_refused(const char *name) {
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        if (strcmp(name, refused[i].name) == 0) {
            return refused[i].why;
        }
    }
    return NULL;
}

static int set(rd_kafka_conf_t *made, const char *name, const char *value, struct err *err) {
    char text[512];
    if (rd_kafka_conf_set(made, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        return err_set(err, ERR_CONFIG, "%s", text);
    }
    return 0;
}

/* What a person may overrule. fetch.queue.backoff.ms is not known before librdkafka 2.2, where a
   full queue makes it wait for a second. A message costs librdkafka some 400 bytes besides its
   data, which queued.max.messages.kbytes does not count: where each is one line, 100000 of them,
   its own preset, take 40 MB a partition. */
static int set_presets(rd_kafka_conf_t *made, struct err *err) {
    char text[128];
    rd_kafka_conf_set(made, "fetch.queue.backoff.ms", "20", text, sizeof(text));
    return set(made, "client.id", "flowgelf", err) < 0 ||
                   set(made, "queued.max.messages.kbytes", "8192", err) < 0 ||
                   set(made, "queued.min.messages", "20000", err) < 0
               ? -1
               : 0;
}

static int set_properties(const struct kafka_conf *conf, rd_kafka_conf_t *made, struct err *err) {
    for (size_t i = 0; i < conf->properties.count; i++) {
        if (set(made, conf->properties.keys[i], conf->properties.values[i], err) < 0) {
            return -1;
        }
    }
    return 0;
}

static int set_brokers(const struct kafka_conf *conf, rd_kafka_conf_t *made, struct err *err) {
    struct buf text;
    buf_init(&text, BROKERS_TEXT_MAX);
    for (size_t i = 0; i < conf->brokers.count; i++) {
        const struct hostport *broker = &conf->brokers.items[i];
        bool is_v6 = strchr(broker->host, ':');
        buf_printf(&text, "%s%s%s%s:%u", i > 0 ? "," : "", is_v6 ? "[" : "", broker->host,
                   is_v6 ? "]" : "", (unsigned)broker->port);
    }
    int result = set(made, "bootstrap.servers", buf_cstr(&text), err);
    buf_done(&text);
    return result;
}

static bool has_tls(const struct kafka_tls *tls) {
    return tls->enabled || tls->ca || tls->cert || tls->key;
}

static int set_if(rd_kafka_conf_t *made, const char *name, const char *value, struct err *err) {
    return value ? set(made, name, value, err) : 0;
}

static int set_security(const struct kafka_conf *conf, rd_kafka_conf_t *made, struct err *err) {
    static const char *const protocols[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"};
    const struct kafka_tls *tls = &conf->tls;
    const struct kafka_sasl *sasl = &conf->sasl;
    int protocol = (has_tls(tls) ? 1 : 0) + (sasl->mechanism > 0 ? 2 : 0);
    if (set(made, "security.protocol", protocols[protocol], err) < 0 ||
        set_if(made, "ssl.ca.location", tls->ca, err) < 0 ||
        set_if(made, "ssl.certificate.location", tls->cert, err) < 0 ||
        set_if(made, "ssl.key.location", tls->key, err) < 0 ||
        set_if(made, "ssl.key.password", tls->key_password, err) < 0) {
        return -1;
    }
    if (sasl->mechanism == 0) {
        return 0;
    }
    return set(made, "sasl.mechanism", mechanisms[sasl->mechanism], err) < 0 ||
                   set_if(made, "sasl.username", sasl->username, err) < 0 ||
                   set_if(made, "sasl.password", sasl->password, err) < 0
               ? -1
               : 0;
}

/* auto.offset.reset is for positions that the broker no longer has: what is left of the partition
   is read, whatever `start` says, because that skips least. */
static int set_delivery(const struct kafka_conf *conf, rd_kafka_conf_t *made, struct err *err) {
    return set(made, "group.id", conf->group, err) < 0 ||
                   set(made, "enable.auto.commit", "false", err) < 0 ||
                   set(made, "enable.auto.offset.store", "false", err) < 0 ||
                   set(made, "auto.offset.reset", "earliest", err) < 0 ||
                   set(made, "partition.assignment.strategy", strategies[conf->assignment], err) < 0
               ? -1
               : 0;
}

int kafka_conf_make(const struct kafka_conf *conf, rd_kafka_conf_t **made, struct err *err) {
    rd_kafka_conf_t *new = rd_kafka_conf_new();
    if (set_presets(new, err) < 0 || set_properties(conf, new, err) < 0 ||
        set_brokers(conf, new, err) < 0 || set_security(conf, new, err) < 0 ||
        set_delivery(conf, new, err) < 0) {
        rd_kafka_conf_destroy(new);
        return -1;
    }
    *made = new;
    return 0;
}

static void check_properties(const struct kafka_conf *conf, struct option_context *context,
                             const struct yaml_node *node, const char *path) {
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    struct err err;
    for (size_t i = 0; i < conf->properties.count; i++) {
        const char *name = conf->properties.keys[i];
        const char *why = why_refused(name);
        if (why) {
            option_error(context, node, path, "properties: %s is refused: %s", name, why);
        } else if (set(scratch, name, conf->properties.values[i], &err) < 0) {
            option_error(context, node, path, "properties: %s", err.text);
        }
    }
    rd_kafka_conf_destroy(scratch);
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
    const struct kafka_sasl *sasl = &conf->sasl;
    const struct yaml_node *properties = yaml_get(node, "properties");
    check_topics(conf, context, yaml_get(node, "topics"), path);
    check_properties(conf, context, properties ? properties : node, path);
    if (conf->assignment == KAFKA_ASSIGN_COOPERATIVE && rd_kafka_version() < COOPERATIVE_VERSION) {
        option_error(context, yaml_get(node, "assignment"), path,
                     "assignment: cooperative needs librdkafka 2.10, which is %s here: before, it "
                     "rebalances without end when positions are committed by hand; use eager",
                     rd_kafka_version_str());
    }
    bool by_password = sasl->mechanism >= 1 && sasl->mechanism <= 3;
    const struct yaml_node *given = yaml_get(node, "sasl");
    if (by_password && (!yaml_get(given, "username") || !yaml_get(given, "password"))) {
        option_error(context, given, path, "sasl: %s needs username and password",
                     mechanisms[sasl->mechanism]);
    }
    if (!conf->tls.cert != !conf->tls.key) {
        option_error(context, yaml_get(node, "tls"), path, "tls: cert and key belong together");
    }
}
