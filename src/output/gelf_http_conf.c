/* SPDX-License-Identifier: Apache-2.0 */
/* See gelf_http_conf.h. */
#include "output/gelf_http_conf.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/xalloc.h"
#include "config/option_value.h"
#include "output/common.h"
#include "output/gelf_http_batch.h"

enum {
    CONNECT_MS = 10000,
    CHECK_MS = 10000,
    OWN_HEADERS = 3, /* Content-Type, Content-Encoding, Authorization */
    GIVEN_HEADERS_MAX = HTTP_HEADERS_MAX - OWN_HEADERS,
    SECRET_MAX = 16 << 10,
    CHECK_REPLY_MAX = 1 << 20,
};

#define AT(member)  .offset = offsetof(struct gelf_http_conf, member)
#define TLS(member) .offset = offsetof(struct gelf_http_tls, member)

static const struct option tls_options[] = {
    {.name = "ca",
     .type = OPTION_READ_PATH,
     TLS(ca),
     .sample = "ca.pem",
     .help = "Certificates (PEM) of those who may sign the receiver's, or that itself; without it, "
             "those that the system trusts."},
    {.name = "cert",
     .type = OPTION_READ_PATH,
     TLS(cert),
     .sample = "client.pem",
     .help = "Our own certificate (PEM), where the receiver asks for one."},
    {.name = "key",
     .type = OPTION_READ_PATH,
     TLS(key),
     .sample = "client.key",
     .help = "Its private key (PEM)."},
    {.name = "key_password",
     .type = OPTION_SECRET,
     TLS(key_password),
     .sample = "file:/etc/flowgelf/key-password",
     .help = "Password of the private key."},
    {.name = "verify",
     .type = OPTION_BOOLEAN,
     TLS(verify),
     .preset = "true",
     .help = "Whether the receiver's certificate is looked at; without that anybody on the way can "
             "read and change the messages, and read the passwords."},
    OPTION_END,
};

const struct option gelf_http_options[] = {
    OUTPUT_COMMON_OPTIONS,
    {.name = "url",
     .type = OPTION_URL,
     .required = true,
     AT(url),
     .sample = "http://graylog:12201/gelf",
     .help = "Where messages are posted, http or https; the path of a Graylog input is /gelf."},
    {.name = "bulk",
     .type = OPTION_BOOLEAN,
     .preset = "false",
     AT(bulk),
     .help =
         "Many messages in one request, a line each, which costs far less. Only for a receiver "
         "of which you know that it takes them: a Graylog input needs its enable_bulk_receiving "
         "switched on. Without that Graylog keeps the first message of each request, loses all "
         "others, and answers 202 as if it had them."},
    {.name = "max_body",
     .type = OPTION_SIZE,
     .preset = "60KiB",
     .min = 1 << 10,
     .max = 1 << 20,
     AT(max_body_bytes),
     .help =
         "Largest body of a request, before gzip. A Graylog input takes 64 KiB unless its "
         "max_chunk_size says more; a body that the receiver finds too large is sent in parts."},
    {.name = "in_flight",
     .type = OPTION_INTEGER,
     .preset = "8",
     .min = 1,
     .max = 64,
     AT(in_flight),
     .help =
         "Requests on their way at once, each on a connection of its own, per worker. Their "
         "messages may arrive in another order, and are what may come twice after an incident."},
    {.name = "gzip",
     .type = OPTION_BOOLEAN,
     .preset = "false",
     AT(gzip),
     .help = "Whether bodies are compressed (Content-Encoding: gzip), which Graylog understands."},
    {.name = "timeout",
     .type = OPTION_DURATION,
     .preset = "30s",
     .min = 100,
     .max = 600000,
     AT(timeout_ms),
     .help = "A request without a complete reply after this time is sent again."},
    {.name = "tls",
     .type = OPTION_GROUP,
     AT(tls),
     .given = offsetof(struct gelf_http_conf, tls.given),
     .group = tls_options,
     .help = "TLS, for an https URL; version 1.2 at least."},
    {.name = "username",
     .type = OPTION_STRING,
     AT(username),
     .sample = "flowgelf",
     .help =
         "User for basic authentication, with password. Over http both can be read on the way."},
    {.name = "password",
     .type = OPTION_SECRET,
     AT(password),
     .sample = "file:/etc/flowgelf/http-password",
     .help = "Password of that user."},
    {.name = "token",
     .type = OPTION_SECRET,
     AT(token),
     .sample = "file:/etc/flowgelf/http-token",
     .help = "Token that goes as `Authorization: Bearer` instead."},
    {.name = "headers",
     .type = OPTION_STRINGS,
     AT(headers),
     .sample = "{X-Api-Key: \"file:/etc/flowgelf/http-key\"}",
     .help = "Further headers of each request; a value of the form file:/path is the content of "
             "that file."},
    {.name = "proxy",
     .type = OPTION_URL,
     AT(proxy),
     .sample = "http://proxy:3128",
     .help = "HTTP proxy; without it, as https_proxy, http_proxy and no_proxy of the environment "
             "say."},
    OPTION_END,
};

static bool is_clean(const char *value) {
    for (; *value; value++) {
        if ((unsigned char)*value < ' ' || *value == 0x7F) {
            return false;
        }
    }
    return true;
}

static bool is_name(const char *name) {
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                                  "!#$%&'*+-.^_`|~";
    return name[0] != '\0' && strspn(name, allowed) == strlen(name);
}

/* What would make another request of it, or is ours to say. */
static bool is_own(const char *name) {
    static const char *const own[] = {"Content-Type", "Content-Encoding",  "Content-Length",
                                      "Host",         "Transfer-Encoding", "Connection",
                                      "Expect"};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++) {
        if (strcasecmp(name, own[i]) == 0) {
            return true;
        }
    }
    return false;
}

static void add_header(struct gelf_http_conf *conf, const char *name, const char *value) {
    if (conf->sent_count < HTTP_HEADERS_MAX) {
        conf->sent[conf->sent_count++] =
            (struct http_header){.name = span_str(name), .value = span_str(value)};
    }
}

static void check_header(const struct gelf_http_conf *conf, const char *name, const char *value,
                         struct option_context *context, const struct yaml_node *node,
                         const char *path) {
    bool is_authorization = strcasecmp(name, "Authorization") == 0;
    if (!is_name(name) || is_own(name)) {
        option_error(context, node, path, "headers: %s is not a header that can be set here", name);
    } else if (!is_clean(value)) {
        option_error(context, node, path,
                     "headers: the value of %s has line ends or other control characters", name);
    } else if (is_authorization && conf->authorization) {
        option_error(context, node, path,
                     "headers: Authorization is already made of username or token");
    }
}

/* A value, or that of the file that it names; NULL with an error added. */
static char *read_value(const char *name, const char *text, struct option_context *context,
                        const struct yaml_node *node, const char *path) {
    static const struct option secret = {.name = "headers", .type = OPTION_SECRET};
    struct err err;
    char *value = NULL;
    if (strncmp(text, "file:", 5) != 0) {
        return xstrdup(text);
    }
    if (option_value_parse(context, &secret, text, &value, &err) != 0) {
        option_error(context, node, path, "headers: %s: %s", name, err.text);
        return NULL;
    }
    return value;
}

static void init_headers(struct gelf_http_conf *conf, struct option_context *context,
                         const struct yaml_node *node, const char *path) {
    const struct string_map *headers = &conf->headers;
    const struct yaml_node *place = yaml_get(node, "headers");
    if (headers->count > GIVEN_HEADERS_MAX) {
        option_error(context, place, path, "headers: at most %d are possible", GIVEN_HEADERS_MAX);
        return;
    }
    conf->values = headers->count > 0 ? xcalloc(headers->count, sizeof *conf->values) : NULL;
    for (size_t i = 0; i < headers->count; i++) {
        const char *name = headers->keys[i];
        char *value = read_value(name, headers->values[i], context, place, path);
        conf->values[i] = value;
        if (value) {
            check_header(conf, name, value, context, place, path);
            add_header(conf, name, value);
        }
    }
}

static char *basic(const struct gelf_http_conf *conf) {
    struct buf text;
    char *pair = xasprintf("%s:%s", conf->username, conf->password);
    buf_init(&text, 4 * SECRET_MAX);
    buf_add(&text, SPAN("Basic "));
    base64_encode(span_str(pair), &text);
    char *value = xstrdup(buf_cstr(&text));
    explicit_bzero(pair, strlen(pair));
    free(pair);
    buf_done(&text);
    return value;
}

static void init_authorization(struct gelf_http_conf *conf, struct option_context *context,
                               const struct yaml_node *node, const char *path) {
    if (!conf->username != !conf->password) {
        option_error(context, node, path, "username and password belong together");
    } else if (conf->username && conf->token) {
        option_error(context, node, path, "token and username exclude each other");
    } else if (conf->username && strchr(conf->username, ':')) {
        option_error(context, yaml_get(node, "username"), path, "username: no colon is possible");
    } else if (conf->token && !is_clean(conf->token)) {
        option_error(context, yaml_get(node, "token"), path,
                     "token: the file has line ends or other control characters in it");
    } else if (conf->username) {
        conf->authorization = basic(conf);
    } else if (conf->token) {
        conf->authorization = xasprintf("Bearer %s", conf->token);
    }
}

static void init_tls(const struct gelf_http_conf *conf, struct option_context *context,
                     const struct yaml_node *node, const char *path) {
    const struct yaml_node *place = yaml_get(node, "tls");
    if (conf->tls.given && conf->url && strncasecmp(conf->url, "https:", 6) != 0) {
        option_error(context, place, path, "tls: the URL must begin with https:// to speak TLS");
    }
    if (!conf->tls.cert != !conf->tls.key) {
        option_error(context, place, path, "tls: cert and key belong together");
    }
    if (conf->tls.key_password && !conf->tls.key) {
        option_error(context, place, path, "tls: key_password is for a key, which is not given");
    }
}

void gelf_http_conf_init(void *conf_, const struct message_conf *messages,
                         struct option_context *context, const struct yaml_node *node,
                         const char *path) {
    struct gelf_http_conf *conf = conf_;
    char *messages_path = xasprintf("%s.messages", path);
    message_check_gelf(messages, context, conf->common.messages ? conf->common.messages : node,
                       messages_path);
    free(messages_path);
    if (conf->url) {
        conf->shown = xstrdup_span(span_of(conf->url, strcspn(conf->url, "?#")));
    }
    add_header(conf, "Content-Type", "application/json");
    if (conf->gzip) {
        add_header(conf, "Content-Encoding", "gzip");
    }
    init_authorization(conf, context, node, path);
    if (conf->authorization) {
        add_header(conf, "Authorization", conf->authorization);
    }
    init_headers(conf, context, node, path);
    init_tls(conf, context, node, path);
}

static void forget(char *secret) {
    if (secret) {
        explicit_bzero(secret, strlen(secret));
        free(secret);
    }
}

void gelf_http_conf_done(void *conf_) {
    struct gelf_http_conf *conf = conf_;
    free(conf->shown);
    forget(conf->authorization);
    for (size_t i = 0; conf->values && i < conf->headers.count; i++) {
        forget(conf->values[i]);
    }
    free(conf->values);
}

struct http *gelf_http_conf_open(const struct gelf_http_conf *conf) {
    return http_open(&(struct http_conf){
        .proxy = conf->proxy,
        .ca_file = conf->tls.ca,
        .ca_setting = "tls: {ca}",
        .cert_file = conf->tls.cert,
        .key_file = conf->tls.key,
        .key_password = conf->tls.key_password,
        .unverified = conf->tls.given && !conf->tls.verify,
    });
}

int64_t gelf_http_conf_connect_ms(const struct gelf_http_conf *conf) {
    return conf->timeout_ms < CONNECT_MS ? conf->timeout_ms : CONNECT_MS;
}

static int check_file(const char *path, const char *what, struct err *err) {
    return !path || access(path, R_OK) == 0
               ? 0
               : err_sys(err, ERR_CONFIG, "gelf_http: tls: %s %s cannot be read", what, path);
}

/* Graylog answers a GET at the right place with 405, after it has looked at the authorization. */
static int judge_answer(const struct gelf_http_conf *conf, int status, struct buf *report,
                        struct err *err) {
    switch (status) {
    case 401:
    case 403:
    case 404:
    case 407:
        return err_set(err, ERR_CONFIG, "gelf_http: %s answers %d%s", conf->shown, status,
                       gelf_http_remedy(status));
    default:
        if (status >= 500) {
            return err_set(err, ERR_RETRY, "gelf_http: %s answers %d%s", conf->shown, status,
                           gelf_http_remedy(status));
        }
        buf_printf(
            report,
            "gelf_http: %s answers GET with %d: it is there and lets us in; whether it takes "
            "messages only a message shows\n",
            conf->shown, status);
        return 0;
    }
}

static int check_online(const struct gelf_http_conf *conf, struct buf *report, struct err *err) {
    struct http *http = gelf_http_conf_open(conf);
    struct http_call *call = http_call_open(http, CHECK_REPLY_MAX);
    /* Without what describes a body: there is none. */
    size_t skipped = conf->gzip ? 2 : 1;
    http_call_start(call,
                    &(struct http_request){
                        .method = "GET",
                        .url = conf->url,
                        .headers = conf->sent + skipped,
                        .header_count = conf->sent_count - skipped,
                        .connect_ms = gelf_http_conf_connect_ms(conf),
                        .timeout_ms = conf->timeout_ms < CHECK_MS ? conf->timeout_ms : CHECK_MS,
                    });
    enum http_state state = http_run(http, call, NULL);
    const struct http_reply *reply = http_call_reply(call);
    int result;
    if (state == HTTP_DONE || reply->too_large) {
        result = judge_answer(conf, reply->status, report, err);
    } else {
        *err = reply->err;
        result = err_wrap(err, "gelf_http: %s", conf->shown);
    }
    http_call_close(call);
    http_close(http);
    return result;
}

int gelf_http_conf_check(const void *conf_, bool online, struct buf *report, struct err *err) {
    const struct gelf_http_conf *conf = conf_;
    if (check_file(conf->tls.ca, "ca", err) != 0 || check_file(conf->tls.cert, "cert", err) != 0 ||
        check_file(conf->tls.key, "key", err) != 0) {
        return -1;
    }
    if (online) {
        return check_online(conf, report, err);
    }
    buf_printf(report, "gelf_http: %s, not tried\n", conf->shown);
    return 0;
}
