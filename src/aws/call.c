/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See call.h. A request is put together on the stack and in two buffers that a call keeps; keys are
 * used and forgotten, but for the day's signing key. What a reply means is found out when it is
 * first asked for.
 */
#include "aws/call.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/fault.h"
#include "aws/sigv4.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

enum {
    CONNECT_MS = 5000,
    FORM_MAX = 1 << 20,     /* of a Query request */
    SIGNING_MAX = 64 << 10, /* a canonical request with the longest token has room in it */
    HOST_MAX = 272,
    OPERATION_MAX = 64,
    CALL_HEADERS = 8,
};

/* The target's URL taken apart. */
struct place {
    char host[HOST_MAX]; /* as it is signed and sent: lower case, without the usual port */
    struct span path, query;
};

struct aws_call {
    struct http *http;
    struct aws_target *target;
    struct http_call *http_call;
    struct place place;
    struct buf form;    /* body of a Query request, until the call is done */
    struct buf signing; /* value of the Authorization header */
    struct sigv4_key key;
    char operation[OPERATION_MAX];
    int64_t started_ms; /* by our clock */
    int64_t skew_ms;    /* that the request was dated with */
    bool is_judged;     /* `reply` is of this call's reply */
    struct aws_reply reply;
    char no_body[1];
};

/* ---- open and close ---- */

static struct span cut_scheme(struct span url, struct span *port) {
    bool is_tls = span_starts(url, SPAN("https://"));
    *port = is_tls ? SPAN(":443") : SPAN(":80");
    return span_skip(url, is_tls ? 8 : span_starts(url, SPAN("http://")) ? 7 : 0);
}

static void set_host(char out[HOST_MAX], struct span host) {
    size_t len = 0;
    while (len < host.len && len < HOST_MAX - 1) {
        char c = host.p[len];
        out[len++] = c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c;
    }
    out[len] = '\0';
}

static void read_place(struct place *place, const char *url) {
    struct span port, rest = cut_scheme(span_str(url), &port);
    size_t len = 0;
    while (len < rest.len && rest.p[len] != '/' && rest.p[len] != '?') {
        len++;
    }
    struct span host = span_of(rest.p, len);
    if (host.len > port.len && span_eq(span_skip(host, host.len - port.len), port)) {
        host.len -= port.len;
    }
    set_host(place->host, host);
    rest = span_skip(rest, len);
    const char *mark = rest.len ? memchr(rest.p, '?', rest.len) : NULL;
    place->path = span_of(rest.p, mark ? (size_t)(mark - rest.p) : rest.len);
    place->query = span_skip(rest, mark ? place->path.len + 1 : rest.len);
}

struct aws_call *aws_call_open(struct http *http, struct aws_target *target, size_t reply_max) {
    struct aws_call *call = xcalloc(1, sizeof(*call));
    call->http = http;
    call->target = target;
    call->http_call = http_call_open(http, reply_max);
    buf_init(&call->form, FORM_MAX);
    buf_init(&call->signing, SIGNING_MAX);
    read_place(&call->place, target->url);
    return call;
}

void aws_call_release(struct aws_call *call) {
    http_call_release(call->http_call);
    call->is_judged = false;
}

void aws_call_close(struct aws_call *call) {
    if (!call) {
        return;
    }
    http_call_close(call->http_call);
    sigv4_key_wipe(&call->key);
    buf_done(&call->form);
    buf_done(&call->signing);
    free(call);
}

/* ---- a request ---- */

/* The headers of a request, and the memory of their values. */
struct wire {
    struct http_header headers[CALL_HEADERS];
    size_t count;
    char date[SIGV4_DATE_SIZE];
    char target[160];
};

static void add_header(struct wire *wire, struct span name, const char *value) {
    wire->headers[wire->count++] = (struct http_header){name, span_str(value)};
}

static const char *content_type(enum aws_protocol protocol) {
    switch (protocol) {
    case AWS_JSON_1_0:
        return "application/x-amz-json-1.0";
    case AWS_JSON_1_1:
        return "application/x-amz-json-1.1";
    case AWS_QUERY:
        break;
    }
    return "application/x-www-form-urlencoded; charset=utf-8";
}

static void add_headers(const struct aws_call *call, struct wire *wire) {
    const struct aws_service *service = call->target->service;
    add_header(wire, SPAN("Host"), call->place.host);
    add_header(wire, SPAN("Content-Type"), content_type(service->protocol));
    if (service->protocol != AWS_QUERY) {
        snprintf(wire->target, sizeof(wire->target), "%s.%s", service->version, call->operation);
        add_header(wire, SPAN("X-Amz-Target"), wire->target);
    }
    add_header(wire, SPAN("User-Agent"), "flowgelf/" FLOWGELF_VERSION);
}

/* The body as it is sent; into `form` for Query. */
static int make_body(struct aws_call *call, struct span given, struct span *body, struct err *err) {
    const struct aws_service *service = call->target->service;
    if (service->protocol != AWS_QUERY) {
        *body = given.len > 0 ? given : SPAN("{}");
        return 0;
    }
    buf_clear(&call->form);
    buf_add(&call->form, SPAN("Action="));
    buf_add(&call->form, span_str(call->operation));
    buf_add(&call->form, SPAN("&Version="));
    buf_add(&call->form, span_str(service->version));
    buf_add(&call->form, given);
    *body = buf_span(&call->form);
    if (call->form.overflow) {
        return err_set(err, ERR_CONFIG, "%s %s: the request has more than %d bytes", service->id,
                       call->operation, FORM_MAX);
    }
    return 0;
}

/* Anything else could end the header and begin another one. */
static bool is_sendable(const char *text) {
    for (; *text; text++) {
        if (*text <= ' ' || *text > '~') {
            return false;
        }
    }
    return true;
}

static int check_keys(const struct aws_keys *keys, struct err *err) {
    if (!keys->access_id[0] || !keys->secret[0]) {
        return err_set(err, ERR_CONFIG, "the AWS credentials have no %s",
                       keys->access_id[0] ? "secret key" : "access key id");
    }
    if (!is_sendable(keys->access_id) || !is_sendable(keys->token)) {
        return err_set(err, ERR_CONFIG,
                       "the %s of the AWS credentials has a blank or another character that no "
                       "header can carry: correct it where it comes from",
                       is_sendable(keys->token) ? "access key id" : "session token");
    }
    return 0;
}

static int sign(struct aws_call *call, const struct aws_keys *keys, struct span body,
                struct wire *wire, struct err *err) {
    const struct sigv4_scope scope = {call->target->region, call->target->service->signing};
    if (check_keys(keys, err) < 0) {
        return -1;
    }
    sigv4_format_date((call->started_ms + call->skew_ms) / 1000, wire->date);
    add_header(wire, SPAN("X-Amz-Date"), wire->date);
    if (keys->token[0]) {
        add_header(wire, SPAN("X-Amz-Security-Token"), keys->token);
    }
    struct sigv4_request request = {
        .method = "POST",
        .path = call->place.path,
        .query = call->place.query,
        .headers = wire->headers,
        .header_count = wire->count,
        .body = body,
    };
    buf_clear(&call->signing);
    if (sigv4_authorize_kept(&request, &scope, keys, &call->key, &call->signing, err) < 0) {
        return -1;
    }
    wire->headers[wire->count++] =
        (struct http_header){SPAN("Authorization"), buf_span(&call->signing)};
    return 0;
}

int aws_call_start(struct aws_call *call, const struct aws_keys *keys, const char *operation,
                   struct span body, int64_t timeout_ms, struct err *err) {
    const struct aws_service *service = call->target->service;
    struct wire wire;
    struct span sent;
    wire.count = 0;
    aws_call_release(call);
    snprintf(call->operation, sizeof(call->operation), "%s", operation);
    call->started_ms = clock_wall_ms();
    call->skew_ms = atomic_load(&call->target->skew_ms);
    if (make_body(call, body, &sent, err) < 0) {
        return -1;
    }
    add_headers(call, &wire);
    if (keys && sign(call, keys, sent, &wire, err) < 0) {
        return err_wrap(err, "%s %s", service->id, call->operation);
    }
    struct http_request request = {
        .method = "POST",
        .url = call->target->url,
        .headers = wire.headers,
        .header_count = wire.count,
        .body = sent,
        .connect_ms = timeout_ms < CONNECT_MS ? timeout_ms : CONNECT_MS,
        .timeout_ms = timeout_ms,
        /* Records are compressed already, and their readers take the body as it comes. */
        .accept_gzip = service != &aws_kinesis,
    };
    http_call_start(call->http_call, &request);
    return 0;
}

/* ---- a reply ---- */

enum http_state aws_call_state(const struct aws_call *call) {
    enum http_state state = http_call_state(call->http_call);
    return state == HTTP_FAILED ? HTTP_DONE : state;
}

/* A reply that is too large is too large again; everything else may pass. */
static void judge_failure(struct aws_call *call, const struct http_reply *http) {
    struct aws_reply *reply = &call->reply;
    reply->class = http->too_large ? AWS_REFUSED : AWS_TRANSIENT;
    reply->too_large = http->too_large;
    reply->err = http->err;
    reply->err.kind = http->too_large ? ERR_CONFIG : ERR_RETRY;
    err_wrap(&reply->err, "%s %s", call->target->service->id, call->operation);
}

/* The server's clock minus the one that the request was dated with; 0: its reply had no date. */
static int64_t clock_apart_ms(const struct aws_call *call, const struct http_reply *http) {
    int64_t ours_ms = call->started_ms + call->skew_ms + http->elapsed_ms;
    return http->date_ms < 0 ? 0 : http->date_ms - ours_ms;
}

/* Takes over the server's clock if ours explains the error. */
static bool learn_clock(struct aws_call *call, const struct http_reply *http,
                        const struct aws_fault *fault) {
    struct aws_target *target = call->target;
    int64_t apart_ms = clock_apart_ms(call, http), least_ms = aws_fault_clock_ms(fault);
    if (least_ms == INT64_MAX || llabs(apart_ms) <= least_ms) {
        return false;
    }
    int64_t skew_ms = call->skew_ms + apart_ms;
    atomic_store(&target->skew_ms, skew_ms);
    if (!atomic_exchange(&target->skew_is_said, true)) {
        log_warning("%s: our clock is %lld s %s that of AWS, which refused a request for it; "
                    "requests now bear its time, but set the clock (NTP)",
                    target->service->id, (long long)llabs(skew_ms) / 1000,
                    skew_ms > 0 ? "behind" : "ahead of");
    }
    return true;
}

/* What a person can do about it; "" when the message says it all. */
static void add_remedy(const struct aws_call *call, struct buf *text) {
    const char *code = call->reply.code;
    if (call->reply.class != AWS_DENIED) {
        return;
    }
    if (strcmp(code, "KMSAccessDeniedException") == 0) {
        buf_printf(text, "; the key's and the caller's policies must allow kms:Decrypt");
    } else if (strcmp(code, "SignatureDoesNotMatch") == 0 ||
               strcmp(code, "InvalidSignatureException") == 0) {
        buf_printf(text, "; the secret key is not that of the access key id");
    } else if (strncmp(code, "MissingAuthentication", 21) == 0) {
        buf_printf(text, "; the call needs credentials");
    } else {
        buf_printf(text, "; the caller's IAM policy must allow %s:%s",
                   call->target->service->signing, call->operation);
    }
}

static void say_fault(struct aws_call *call, const struct aws_fault *fault, bool passes) {
    struct aws_reply *reply = &call->reply;
    char memory[sizeof(reply->err.text)];
    struct buf text;
    buf_over(&text, memory, sizeof(memory));
    buf_printf(&text, "%s %s: %s%s%s (HTTP %d", call->target->service->id, call->operation,
               fault->code[0] ? fault->code : "a reply without an error code of AWS",
               fault->message[0] ? ": " : "", fault->message, reply->status);
    if (fault->request_id[0]) {
        buf_printf(&text, ", request %s", fault->request_id);
    }
    buf_char(&text, ')');
    add_remedy(call, &text);
    bool is_final = reply->class == AWS_DENIED || (reply->class == AWS_REFUSED && !passes);
    err_set(&reply->err, is_final ? ERR_CONFIG : ERR_RETRY, "%s", buf_cstr(&text));
}

static struct span find_request_id(const struct http_call *call) {
    static const char *const names[] = {"x-amzn-requestid", "x-amz-request-id",
                                        "x-amzn-request-id"};
    struct span id = {NULL, 0};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && id.len == 0; i++) {
        id = http_call_header(call, names[i]);
    }
    return id;
}

static void judge_reply(struct aws_call *call, const struct http_reply *http) {
    struct aws_reply *reply = &call->reply;
    struct aws_fault fault;
    bool passes;
    reply->body = http->body;
    reply->len = http->len;
    reply->class = aws_fault_class(http->status, "", &passes);
    if (reply->class == AWS_FINE) {
        return;
    }
    struct aws_fault_headers headers = {
        .error_type = http_call_header(call->http_call, "x-amzn-errortype"),
        .request_id = find_request_id(call->http_call),
    };
    aws_fault_read(span_of(http->body, http->len), &headers, &fault);
    memcpy(reply->code, fault.code, sizeof(fault.code));
    reply->class = aws_fault_class(http->status, fault.code, &passes);
    if (learn_clock(call, http, &fault)) {
        reply->class = AWS_SKEW;
    }
    say_fault(call, &fault, passes);
}

const struct aws_reply *aws_call_reply(struct aws_call *call) {
    assert(aws_call_state(call) == HTTP_DONE);
    if (!call->is_judged) {
        const struct http_reply *http = http_call_reply(call->http_call);
        bool is_there = http_call_state(call->http_call) == HTTP_DONE;
        call->is_judged = true;
        call->reply = (struct aws_reply){.body = call->no_body};
        call->reply.status = is_there ? http->status : 0;
        if (is_there) {
            judge_reply(call, http);
        } else {
            judge_failure(call, http);
        }
    }
    return &call->reply;
}

const struct aws_reply *aws_call_wait(struct aws_call *call, const atomic_bool *stopping) {
    http_run(call->http, call->http_call, stopping);
    return aws_call_reply(call);
}

/* ---- forms ---- */

static void add_encoded(struct buf *form, struct span text) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
            c == '-' || c == '_' || c == '.' || c == '~') {
            buf_char(form, (char)c);
        } else {
            buf_char(form, '%');
            buf_char(form, digits[c >> 4]);
            buf_char(form, digits[c & 15]);
        }
    }
}

void aws_form_add(struct buf *form, const char *name, struct span value) {
    buf_char(form, '&');
    add_encoded(form, span_str(name));
    buf_char(form, '=');
    add_encoded(form, value);
}
