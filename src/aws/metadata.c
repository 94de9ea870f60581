/* SPDX-License-Identifier: Apache-2.0 */
/* See metadata.h. */
#include "aws/metadata.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "aws/url.h"
#include "base/http.h"
#include "base/xalloc.h"

enum { URL_MAX = 600, TOKEN_MAX = 1024, REPLY_MAX = 64 << 10, TIMEOUT_MS = 1000 };

static const char data_path[] = "latest/meta-data/", token_path[] = "latest/api/token";

struct metadata {
    struct http *http;
    struct http_call *call;
    char base[URL_MAX]; /* ends with a slash */
    bool has_asked;     /* for a token */
    bool is_v1_off;
    char token[TOKEN_MAX]; /* "": version 1 */
};

static const char *find_setting(const struct aws_profiles *profiles, const char *variable,
                                const char *key) {
    const char *value = aws_environment(variable);
    return value ? value : aws_profiles_get(profiles, aws_profiles_current(profiles), key);
}

static int find_base(const struct aws_profiles *profiles, char base[URL_MAX], struct err *err) {
    const char *url = find_setting(profiles, "AWS_EC2_METADATA_SERVICE_ENDPOINT",
                                   "ec2_metadata_service_endpoint");
    const char *mode = find_setting(profiles, "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
                                    "ec2_metadata_service_endpoint_mode");
    bool is_v6 = mode && strcasecmp(mode, "ipv6") == 0;
    if (mode && !is_v6 && strcasecmp(mode, "ipv4") != 0) {
        return err_set(err, ERR_CONFIG,
                       "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE must be IPv4 or IPv6");
    }
    if (!url) {
        url = is_v6 ? "http://[fd00:ec2::254]/" : "http://169.254.169.254/";
    }
    if (url_take(url, base, URL_MAX, err) != 0) {
        return err_wrap(err, "AWS_EC2_METADATA_SERVICE_ENDPOINT");
    }
    return 0;
}

int metadata_open(const struct aws_profiles *profiles, struct metadata **out, struct err *err) {
    bool is_off, is_v1_off;
    char base[URL_MAX];
    if (aws_profiles_switch(profiles, "AWS_EC2_METADATA_DISABLED", NULL, &is_off, err) != 0 ||
        aws_profiles_switch(profiles, "AWS_EC2_METADATA_V1_DISABLED", "ec2_metadata_v1_disabled",
                            &is_v1_off, err) != 0) {
        return -1;
    }
    if (is_off) {
        return err_set(err, ERR_CONFIG, "switched off by AWS_EC2_METADATA_DISABLED");
    }
    if (find_base(profiles, base, err) != 0) {
        return -1;
    }
    struct metadata *metadata = xcalloc(1, sizeof(*metadata));
    memcpy(metadata->base, base, sizeof(base));
    metadata->is_v1_off = is_v1_off;
    metadata->http = http_open(&(struct http_conf){.proxy = ""});
    metadata->call = http_call_open(metadata->http, REPLY_MAX);
    *out = metadata;
    return 0;
}

void metadata_close(struct metadata *metadata) {
    if (metadata) {
        http_call_close(metadata->call);
        http_close(metadata->http);
        explicit_bzero(metadata->token, sizeof(metadata->token));
        free(metadata);
    }
}

/* Sends a request; HTTP_DONE or HTTP_FAILED. */
static const struct http_reply *ask(struct metadata *metadata, const char *method, const char *root,
                                    const char *path, struct http_header header,
                                    const atomic_bool *stopping) {
    char url[2 * URL_MAX];
    snprintf(url, sizeof(url), "%s%s%s", metadata->base, root, path);
    struct http_request request = {.method = method,
                                   .url = url,
                                   .headers = &header,
                                   .header_count = header.value.len > 0,
                                   .connect_ms = TIMEOUT_MS,
                                   .timeout_ms = TIMEOUT_MS};
    http_call_start(metadata->call, &request);
    http_run(metadata->http, metadata->call, stopping);
    return http_call_reply(metadata->call);
}

/* A token goes into a header, so nothing but printable characters. */
static bool is_token(struct span text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] <= ' ' || text.p[i] > '~') {
            return false;
        }
    }
    return text.len > 0 && text.len < TOKEN_MAX;
}

static int take_token(struct metadata *metadata, const struct http_reply *reply, struct err *err) {
    struct span token = span_trim(span_of(reply->body, reply->len));
    if (!is_token(token)) {
        return err_set(err, ERR_RETRY, "instance metadata at %s: a malformed session token",
                       metadata->base);
    }
    memcpy(metadata->token, token.p, token.len);
    metadata->token[token.len] = '\0';
    return 0;
}

/* Without a token version 1 is tried: where the service is older than tokens, or where the token
   does not reach us (from a container, over one hop more than the service allows). */
static int fetch_token(struct metadata *metadata, const atomic_bool *stopping, struct err *err) {
    struct http_header lifetime = {SPAN("x-aws-ec2-metadata-token-ttl-seconds"), SPAN("21600")};
    const struct http_reply *reply = ask(metadata, "PUT", token_path, "", lifetime, stopping);
    enum http_state state = http_call_state(metadata->call);
    if (state == HTTP_DONE && reply->status == 200) {
        return take_token(metadata, reply, err);
    }
    if (stopping && atomic_load(stopping)) {
        return err_set(err, ERR_RETRY, "stopped");
    }
    bool is_unsupported = state == HTTP_DONE &&
                          (reply->status == 403 || reply->status == 404 || reply->status == 405);
    if (state == HTTP_FAILED && !reply->timed_out) {
        return err_set(err, ERR_RETRY, "instance metadata: %s", reply->err.text);
    }
    if (state == HTTP_DONE && !is_unsupported) {
        return err_set(err, ERR_RETRY, "instance metadata at %s: no session token (HTTP %d)",
                       metadata->base, reply->status);
    }
    if (metadata->is_v1_off) {
        return err_set(
            err, ERR_RETRY,
            "instance metadata at %s: no session token, and version 1 is switched off by "
            "AWS_EC2_METADATA_V1_DISABLED; in a container the instance's metadata hop "
            "limit must be 2",
            metadata->base);
    }
    return 0;
}

static int check_reply(struct metadata *metadata, const struct http_reply *reply, const char *path,
                       struct err *err) {
    if (http_call_state(metadata->call) != HTTP_DONE) {
        return err_set(err, ERR_RETRY, "instance metadata: %s", reply->err.text);
    }
    if (reply->status != 200) {
        err_set(err, ERR_RETRY, "instance metadata at %s%s%s: HTTP %d", metadata->base, data_path,
                path, reply->status);
        if (err) {
            err->sys = reply->status == 404 ? ENOENT : 0;
        }
        return -1;
    }
    return 0;
}

int metadata_get(struct metadata *metadata, const char *path, const atomic_bool *stopping,
                 struct buf *out, struct err *err) {
    if (!metadata->has_asked && fetch_token(metadata, stopping, err) != 0) {
        return -1;
    }
    metadata->has_asked = true;
    struct http_header token = {SPAN("x-aws-ec2-metadata-token"), span_str(metadata->token)};
    const struct http_reply *reply = ask(metadata, "GET", data_path, path, token, stopping);
    int result = check_reply(metadata, reply, path, err);
    if (result == 0) {
        buf_add(out, span_of(reply->body, reply->len));
        if (reply->len > 0) {
            explicit_bzero(reply->body, reply->len);
        }
    }
    if (result == 0 && out->overflow) {
        result = err_set(err, ERR_RETRY, "instance metadata at %s%s%s: the reply is too large",
                         metadata->base, data_path, path);
    }
    http_call_release(metadata->call);
    return result;
}
