/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See http_call.h. What a failed call says: host and port, what happened, and the remedy where
 * there is one. Never the rest of a URL, a header or a body, nor the URL of a proxy: each of them
 * may have a secret in it.
 */
#include <stdlib.h>
#include <string.h>

#include "base/http_call.h"

void http_error_locate(struct http_call *call) {
    char *host = NULL, *port = NULL;
    CURLU *url = curl_url();
    if (url && call->lines.len > call->url_len &&
        curl_url_set(url, CURLUPART_URL, call->lines.data, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_HOST, &host, 0) == CURLUE_OK &&
        curl_url_get(url, CURLUPART_PORT, &port, CURLU_DEFAULT_PORT) == CURLUE_OK) {
        err_wrap(&call->reply.err, "%s:%s", host, port);
    }
    curl_free(host);
    curl_free(port);
    curl_url_cleanup(url);
}

/* Where a connection failed it may have been the one to a proxy, which the user has to know. */
static const char *proxy_hint(const struct http_call *call) {
    static const char *const names[] = {"https_proxy", "HTTPS_PROXY", "http_proxy", "all_proxy",
                                        "ALL_PROXY"};
    const char *set = call->http->conf.proxy;
    if (set) {
        return *set ? "; the proxy of the configuration is in use" : "";
    }
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const char *value = getenv(names[i]);
        if (value && *value) {
            return "; a proxy is set by https_proxy, http_proxy or all_proxy";
        }
    }
    return "";
}

/* What libcurl says of the case, without characters that do not belong into a log. */
static const char *detail(struct http_call *call, CURLcode result) {
    for (char *p = call->detail; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7F) {
            *p = ' ';
        }
    }
    return call->detail[0] ? call->detail : curl_easy_strerror(result);
}

static void say_broken(struct http_call *call) {
    static const char *const whats[] = {
        [HTTP_BAD_GZIP] = "the reply is not good gzip, or cut short",
        [HTTP_BAD_CODING] = "the reply has a Content-Encoding that was not asked for",
    };
    if (call->broken == HTTP_TOO_LARGE) {
        err_set(&call->reply.err, ERR_RETRY, "the reply is larger than %zu bytes", call->reply_max);
    } else {
        err_set(&call->reply.err, ERR_RETRY, "%s", whats[call->broken]);
    }
}

static const char *ca_setting(const struct http_call *call) {
    const char *setting = call->http->conf.ca_setting;
    return setting ? setting : "ca_file";
}

static void say_certificate(struct http_call *call, CURLcode result) {
    const char *file = call->http->conf.ca_file, *setting = ca_setting(call);
    if (file) {
        err_set(&call->reply.err, ERR_RETRY, "%s; trusted are the authorities in %s %s",
                detail(call, result), setting, file);
    } else {
        err_set(&call->reply.err, ERR_RETRY,
                "%s; if an authority of your own signed it, name its PEM as %s",
                detail(call, result), setting);
    }
}

/* A proxy that does not let us through answers for the server. */
static bool say_proxy_refusal(struct http_call *call) {
    long status = 0;
    curl_easy_getinfo(call->easy, CURLINFO_HTTP_CONNECTCODE, &status);
    if (status < 300) {
        return false;
    }
    err_set(&call->reply.err, ERR_RETRY, "the proxy does not connect us: HTTP %ld%s", status,
            status == 407 ? "; its URL needs a user and a password" : "");
    return true;
}

static void say_connect(struct http_call *call, const char *what) {
    long sys = 0;
    char reason[128];
    curl_easy_getinfo(call->easy, CURLINFO_OS_ERRNO, &sys);
    err_set(&call->reply.err, ERR_RETRY, "%s%s%s%s", what, sys ? ": " : "",
            sys ? strerror_r((int)sys, reason, sizeof(reason)) : "", proxy_hint(call));
    call->reply.err.sys = (int)sys;
}

static void say_other(struct http_call *call, CURLcode result) {
    struct err *err = &call->reply.err;
    if (call->fields.len > 0 && (result == CURLE_PARTIAL_FILE || result == CURLE_RECV_ERROR)) {
        err_set(err, ERR_RETRY, "the reply broke off after %zu bytes of its body: %s",
                call->body.len, detail(call, result));
    } else if (!say_proxy_refusal(call)) {
        err_set(err, ERR_RETRY, "%s", detail(call, result));
    }
}

void http_error_say(struct http_call *call, CURLcode result) {
    struct err *err = &call->reply.err;
    if (call->broken != HTTP_WHOLE) {
        say_broken(call);
        return;
    }
    switch (result) {
    case CURLE_COULDNT_RESOLVE_HOST:
        err_set(err, ERR_RETRY, "cannot resolve the name; is it right, and is no proxy needed?");
        break;
    case CURLE_COULDNT_RESOLVE_PROXY:
        err_set(err, ERR_RETRY, "cannot resolve the name of the proxy%s", proxy_hint(call));
        break;
    case CURLE_COULDNT_CONNECT:
        say_connect(call, "cannot connect");
        break;
    case CURLE_OPERATION_TIMEDOUT:
        err_set(err, ERR_RETRY, "no connection within %.3g s%s", (double)call->connect_ms / 1000,
                proxy_hint(call));
        break;
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_ISSUER_ERROR:
        say_certificate(call, result);
        break;
    case CURLE_SSL_CACERT_BADFILE:
        err_set(err, ERR_RETRY, "cannot read the authorities in %s %s", ca_setting(call),
                call->http->conf.ca_file ? call->http->conf.ca_file : "of the system");
        break;
    case CURLE_GOT_NOTHING:
        err_set(err, ERR_RETRY, "the connection was closed before the reply");
        break;
    default:
        say_other(call, result);
        break;
    }
}
