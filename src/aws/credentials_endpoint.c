/* SPDX-License-Identifier: Apache-2.0 */
/* Keys from services beside the machine that we run on: the container's credentials endpoint (ECS,
   EKS Pod Identity, Greengrass) and the instance metadata service of EC2. Never through a proxy.
   Source: "Container credential provider" of the AWS SDKs and Tools Reference Guide. */
#include <ctype.h>
#include <stdio.h>

#include "aws/credentials_source.h"
#include "aws/metadata.h"
#include "aws/url.h"
#include "base/file.h"
#include "base/http.h"
#include "base/ipaddr.h"

enum {
    TRIES_MAX = 3,
    TRY_MS = 2000,
    PAUSE_MS = 200,
    URL_MAX = 2048,
    TOKEN_MAX = 32 << 10,
    REPLY_MAX = 64 << 10,
    ROLE_MAX = 100,
};

static const char relative_variable[] = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
static const char full_variable[] = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
static const char token_variable[] = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
static const char token_file_variable[] = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

/* Without TLS the answer must not leave the machine: its own addresses, and those that AWS gives to
   the agents beside it. */
static bool is_near(const struct url *url) {
    static const struct span agents[] = {SPAN("169.254.170.2"), SPAN("169.254.170.23"),
                                         SPAN("fd00:ec2::23")};
    struct ipaddr addr, agent;
    if (url_is_loopback(url)) {
        return true;
    }
    for (size_t i = 0; i < sizeof(agents) / sizeof(agents[0]); i++) {
        if (ipaddr_parse(url->host, &addr) && ipaddr_parse(agents[i], &agent) &&
            ipaddr_eq(&addr, &agent)) {
            return true;
        }
    }
    return false;
}

/* The path of the relative form is known to this container alone, so no message shows it. */
static int find_container(char out[URL_MAX], const char **variable, struct err *err) {
    const char *relative = aws_environment(relative_variable);
    const char *full = aws_environment(full_variable);
    struct url url;
    *variable = relative ? relative_variable : full_variable;
    if (relative && relative[0] != '/') {
        return err_set(err, ERR_CONFIG, "%s must begin with /", *variable);
    }
    int len = relative ? snprintf(out, URL_MAX, "http://169.254.170.2%s", relative)
                       : snprintf(out, URL_MAX, "%s", full ? full : "");
    if (len < 0 || len >= URL_MAX) {
        return err_set(err, ERR_CONFIG, "%s is too long", *variable);
    }
    if (url_parse(out, &url, err) != 0) {
        return err_wrap(err, "%s", *variable);
    }
    if (!url.is_https && !is_near(&url)) {
        return err_set(err, ERR_CONFIG,
                       "%s: host %.*s is not allowed: without https the host must be localhost, a "
                       "loopback address, 169.254.170.2, 169.254.170.23 or [fd00:ec2::23]",
                       *variable, SPAN_ARG(url.host));
    }
    return 0;
}

/* The Authorization header, if there is one: the file is read each time, for it changes. */
static int find_token(struct buf *token, struct err *err) {
    const char *path = aws_environment(token_file_variable), *variable = token_file_variable;
    if (path && file_read(path, token, err) != 0) {
        return err_wrap(err, "%s", token_file_variable);
    }
    if (!path) {
        variable = token_variable;
        buf_add(token, span_str(aws_environment(token_variable)));
    }
    if (token->overflow || !source_is_header(buf_span(token))) {
        return err_set(err, ERR_CONFIG,
                       "%s: the token is too long or has line ends or other control characters, "
                       "which no header may have",
                       variable);
    }
    return 0;
}

static int take_reply(const struct http_reply *reply, struct aws_keys *keys, struct err *err) {
    int result;
    if (reply->status == 200) {
        result = keys_parse_json(reply->body, reply->len, KEYS_OF_ENDPOINT, keys, err);
    } else {
        result = err_set(err, ERR_RETRY, "HTTP %d", reply->status);
    }
    if (reply->len > 0) {
        explicit_bzero(reply->body, reply->len);
    }
    return result;
}

/* 1: again; 0: keys; -1: an error that does not pass by itself soon. */
static int try_container(struct http *http, struct http_call *call,
                         const struct http_request *request, const struct source_work *work,
                         struct aws_keys *keys, struct err *err) {
    http_call_start(call, request);
    enum http_state state = http_run(http, call, work->stopping);
    const struct http_reply *reply = http_call_reply(call);
    if (state != HTTP_DONE) {
        err_set(err, ERR_RETRY, "%s", reply->err.text);
        return 1;
    }
    bool may_pass = reply->status >= 500 || reply->status == 429;
    int result = take_reply(reply, keys, err);
    http_call_release(call);
    return may_pass ? 1 : result;
}

static int ask_container(const struct http_request *request, const struct source_work *work,
                         struct aws_keys *keys, struct err *err) {
    struct http_conf conf = {.proxy = "", .ca_file = aws_ca_file(work->profiles, work->ca_file)};
    struct http *http = http_open(&conf);
    struct http_call *call = http_call_open(http, REPLY_MAX);
    int result = 1;
    for (int try = 0; try < TRIES_MAX && result == 1; try++) {
        if (try > 0 && !source_pause(PAUSE_MS << (try - 1), work->stopping)) {
            break;
        }
        result = try_container(http, call, request, work, keys, err);
    }
    if (source_is_stopping(work->stopping) && result == 1) {
        err_set(err, ERR_RETRY, "stopped");
    }
    http_call_close(call);
    http_close(http);
    return result == 0 ? 0 : -1;
}

int source_fetch_container(struct source *source, const struct source_work *work,
                           struct aws_keys *keys, struct err *err) {
    char url[URL_MAX];
    const char *variable;
    struct buf token;
    (void)source;
    buf_init(&token, TOKEN_MAX);
    buf_reserve(&token, TOKEN_MAX);
    int result = find_container(url, &variable, err);
    if (result == 0) {
        result = find_token(&token, err);
    }
    if (result == 0) {
        struct http_header headers[] = {{SPAN("Accept"), SPAN("application/json")},
                                        {SPAN("Authorization"), buf_span(&token)}};
        struct http_request request = {.method = "GET",
                                       .url = url,
                                       .headers = headers,
                                       .header_count = token.len > 0 ? 2 : 1,
                                       .connect_ms = TRY_MS,
                                       .timeout_ms = TRY_MS};
        result = ask_container(&request, work, keys, err);
        result = result == 0 ? 0 : err_wrap(err, "container endpoint (%s)", variable);
    }
    explicit_bzero(token.data, token.cap);
    buf_done(&token);
    return result;
}

/* The role's name, first line of the list: it becomes a part of a URL. */
static int find_instance_role(struct metadata *metadata, const struct source_work *work,
                              char role[ROLE_MAX], struct err *err) {
    char text[1024];
    struct buf list;
    struct err reason = {ERR_NONE, 0, ""};
    struct span rest, name = {NULL, 0};
    buf_over(&list, text, sizeof(text));
    if (metadata_get(metadata, "iam/security-credentials/", work->stopping, &list, &reason) != 0) {
        return err_set(err, reason.kind, "%s%s", reason.text,
                       reason.sys != 0 ? ": no role is attached to this instance" : "");
    }
    rest = span_trim(buf_span(&list));
    span_cut(&rest, '\n', &name);
    name = span_trim(name);
    bool is_good = name.len > 0 && name.len < ROLE_MAX;
    for (size_t i = 0; i < name.len && is_good; i++) {
        is_good = isalnum((unsigned char)name.p[i]) || (name.p[i] && strchr("+=,.@-_", name.p[i]));
    }
    if (!is_good) {
        return err_set(err, ERR_RETRY, "instance metadata: no good role name");
    }
    memcpy(role, name.p, name.len);
    role[name.len] = '\0';
    return 0;
}

static int fetch_from_instance(struct metadata *metadata, const struct source_work *work,
                               char role[ROLE_MAX], struct aws_keys *keys, struct err *err) {
    char path[ROLE_MAX + 32];
    struct buf answer;
    if (find_instance_role(metadata, work, role, err) != 0) {
        return -1;
    }
    snprintf(path, sizeof(path), "iam/security-credentials/%s", role);
    buf_init(&answer, REPLY_MAX);
    buf_reserve(&answer, REPLY_MAX);
    int result = metadata_get(metadata, path, work->stopping, &answer, err);
    if (result == 0 && keys_parse_json(answer.data, answer.len, KEYS_OF_ENDPOINT, keys, err) != 0) {
        result = err_wrap(err, "instance metadata, role %s", role);
    }
    if (result == 0 && keys->expires_ms == INT64_MAX) {
        result = err_set(err, ERR_RETRY, "instance metadata, role %s: Expiration is missing", role);
    }
    explicit_bzero(answer.data, answer.cap);
    buf_done(&answer);
    return result;
}

int source_fetch_metadata(struct source *source, const struct source_work *work,
                          struct aws_keys *keys, struct err *err) {
    struct metadata *metadata;
    char role[ROLE_MAX];
    if (metadata_open(work->profiles, &metadata, err) != 0) {
        return err_wrap(err, "instance metadata");
    }
    int result = fetch_from_instance(metadata, work, role, keys, err);
    if (result == 0) {
        snprintf(source->detail, sizeof(source->detail), "role %s", role);
    }
    metadata_close(metadata);
    return result;
}
