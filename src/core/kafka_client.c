/* SPDX-License-Identifier: Apache-2.0 */
/* See kafka_client.h. */
#include "core/kafka_client.h"

#include <pthread.h>
#include <string.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/log.h"

enum { BROKERS_TEXT_MAX = 64 << 10 };

static const char *const mechanisms[] = {
    "none", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER", "GSSAPI", NULL};

#define TLS(member) .offset = offsetof(struct kafka_tls, member)

const struct option kafka_tls_options[] = {
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

const struct option kafka_sasl_options[] = {
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

static const struct kafka_refused refused[] = {
    {"bootstrap.servers", "it is set by `brokers`"},
    {"metadata.broker.list", "it is set by `brokers`"},
    {"enabled_events", "librdkafka's events are served by us"},
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
    {NULL, NULL},
};

static const char *why_refused(const struct kafka_refused *list, const char *name) {
    for (; list->name; list++) {
        if (strcmp(name, list->name) == 0) {
            return list->why;
        }
    }
    return NULL;
}

static void check_properties(const struct kafka_client *client, const struct kafka_refused *own,
                             struct option_context *context, const struct yaml_node *node,
                             const char *path) {
    rd_kafka_conf_t *scratch = rd_kafka_conf_new();
    struct err err;
    for (size_t i = 0; i < client->properties.count; i++) {
        const char *name = client->properties.keys[i];
        const char *why = why_refused(own, name);
        why = why ? why : why_refused(refused, name);
        if (why) {
            option_error(context, node, path, "properties: %s is refused: %s", name, why);
        } else if (kafka_client_set(scratch, name, client->properties.values[i], &err) < 0) {
            option_error(context, node, path, "properties: %s", err.text);
        }
    }
    rd_kafka_conf_destroy(scratch);
}

void kafka_client_init(const struct kafka_client *client, const struct kafka_refused *own,
                       struct option_context *context, const struct yaml_node *node,
                       const char *path) {
    const struct kafka_sasl *sasl = &client->sasl;
    const struct yaml_node *properties = yaml_get(node, "properties");
    check_properties(client, own, context, properties ? properties : node, path);
    bool by_password = sasl->mechanism >= 1 && sasl->mechanism <= 3;
    const struct yaml_node *given = yaml_get(node, "sasl");
    if (by_password && (!yaml_get(given, "username") || !yaml_get(given, "password"))) {
        option_error(context, given, path, "sasl: %s needs username and password",
                     mechanisms[sasl->mechanism]);
    }
    if (!client->tls.cert != !client->tls.key) {
        option_error(context, yaml_get(node, "tls"), path, "tls: cert and key belong together");
    }
}

int kafka_client_set(rd_kafka_conf_t *made, const char *name, const char *value, struct err *err) {
    char text[512];
    if (rd_kafka_conf_set(made, name, value, text, sizeof(text)) != RD_KAFKA_CONF_OK) {
        return err_set(err, ERR_CONFIG, "%s", text);
    }
    return 0;
}

static int set_properties(const struct kafka_client *client, rd_kafka_conf_t *made,
                          struct err *err) {
    for (size_t i = 0; i < client->properties.count; i++) {
        if (kafka_client_set(made, client->properties.keys[i], client->properties.values[i], err) <
            0) {
            return -1;
        }
    }
    return 0;
}

static int set_brokers(const struct kafka_client *client, rd_kafka_conf_t *made, struct err *err) {
    struct buf text;
    buf_init(&text, BROKERS_TEXT_MAX);
    for (size_t i = 0; i < client->brokers.count; i++) {
        const struct hostport *broker = &client->brokers.items[i];
        bool is_v6 = strchr(broker->host, ':');
        buf_printf(&text, "%s%s%s%s:%u", i > 0 ? "," : "", is_v6 ? "[" : "", broker->host,
                   is_v6 ? "]" : "", (unsigned)broker->port);
    }
    int result = kafka_client_set(made, "bootstrap.servers", buf_cstr(&text), err);
    buf_done(&text);
    return result;
}

static bool has_tls(const struct kafka_tls *tls) {
    return tls->enabled || tls->ca || tls->cert || tls->key;
}

static int set_if(rd_kafka_conf_t *made, const char *name, const char *value, struct err *err) {
    return value ? kafka_client_set(made, name, value, err) : 0;
}

static int set_security(const struct kafka_client *client, rd_kafka_conf_t *made, struct err *err) {
    static const char *const protocols[] = {"plaintext", "ssl", "sasl_plaintext", "sasl_ssl"};
    const struct kafka_tls *tls = &client->tls;
    const struct kafka_sasl *sasl = &client->sasl;
    int protocol = (has_tls(tls) ? 1 : 0) + (sasl->mechanism > 0 ? 2 : 0);
    if (kafka_client_set(made, "security.protocol", protocols[protocol], err) < 0 ||
        set_if(made, "ssl.ca.location", tls->ca, err) < 0 ||
        set_if(made, "ssl.certificate.location", tls->cert, err) < 0 ||
        set_if(made, "ssl.key.location", tls->key, err) < 0 ||
        set_if(made, "ssl.key.password", tls->key_password, err) < 0) {
        return -1;
    }
    if (sasl->mechanism == 0) {
        return 0;
    }
    return kafka_client_set(made, "sasl.mechanism", mechanisms[sasl->mechanism], err) < 0 ||
                   set_if(made, "sasl.username", sasl->username, err) < 0 ||
                   set_if(made, "sasl.password", sasl->password, err) < 0
               ? -1
               : 0;
}

/* librdkafka's threads log; what it says again through error_cb is left to that, and that a producer
   ends with messages to those who still have them. */
static void log_cb(const rd_kafka_t *rk, int level, const char *facility, const char *text) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct log_limit limit = {.burst = 10, .every_ms = 5000};
    uint64_t suppressed = 0;
    (void)rk;
    bool is_said = strcmp(facility, "FAIL") == 0 || strcmp(facility, "ERROR") == 0 ||
                   strcmp(facility, "TERMINATE") == 0;
    if (level > LOG_LEVEL_WARNING || is_said) {
        log_debug("kafka: %s: %s", facility, text);
        return;
    }
    pthread_mutex_lock(&lock);
    bool allowed = log_limit_allows(&limit, clock_monotonic_ms(), &suppressed);
    pthread_mutex_unlock(&lock);
    if (allowed) {
        log_warning("kafka: %s: %s", facility, text);
    }
}

int kafka_client_apply(const struct kafka_client *client, rd_kafka_conf_t *made, struct err *err) {
    rd_kafka_conf_set_log_cb(made, log_cb);
    return set_properties(client, made, err) < 0 || set_brokers(client, made, err) < 0 ||
                   set_security(client, made, err) < 0
               ? -1
               : 0;
}

const char *kafka_client_remedy(rd_kafka_resp_err_t code) {
    switch (code) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        return "; look at `sasl` and whether the broker's listener wants this mechanism";
    case RD_KAFKA_RESP_ERR__SSL:
        return "; look at `tls` and whether the broker's port speaks TLS";
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
        return "; look at `brokers`, it is tried again";
    default:
        return "";
    }
}

static bool is_authentication(rd_kafka_resp_err_t code) {
    return code == RD_KAFKA_RESP_ERR__AUTHENTICATION || code == RD_KAFKA_RESP_ERR__SSL ||
           code == RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED;
}

void kafka_trouble_note(struct kafka_trouble *trouble, rd_kafka_resp_err_t code, const char *text) {
    bool is_less = code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN && is_authentication(trouble->code);
    if (code == trouble->code || is_less) {
        return;
    }
    const char *remedy = trouble->remedy ? trouble->remedy(code) : NULL;
    trouble->code = code;
    trouble->is_new = true;
    err_set(&trouble->err, ERR_RETRY, "%s%s", text, remedy ? remedy : kafka_client_remedy(code));
}

void kafka_trouble_error(struct kafka_trouble *trouble, rd_kafka_t *rk, int code,
                         const char *reason) {
    char text[512];
    if (code == RD_KAFKA_RESP_ERR__FATAL) {
        rd_kafka_fatal_error(rk, text, sizeof(text));
        kafka_trouble_note(trouble, RD_KAFKA_RESP_ERR__FATAL, text);
        trouble->err.kind = ERR_STOP;
    } else if (code == RD_KAFKA_RESP_ERR__TRANSPORT || code == RD_KAFKA_RESP_ERR__RESOLVE ||
               code == RD_KAFKA_RESP_ERR__TIMED_OUT) {
        log_debug("kafka: %s", reason);
    } else {
        kafka_trouble_note(trouble, (rd_kafka_resp_err_t)code, reason);
    }
}

bool kafka_trouble_say(struct kafka_trouble *trouble, struct err *err) {
    if (!trouble->is_new) {
        return false;
    }
    trouble->is_new = false;
    *err = trouble->err;
    return true;
}

bool kafka_trouble_pass(struct kafka_trouble *trouble) {
    if (!trouble->code || trouble->is_new) {
        return false;
    }
    trouble->code = RD_KAFKA_RESP_ERR_NO_ERROR;
    return true;
}
