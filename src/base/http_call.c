/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See http.h. One call: the request as libcurl wants it, the reply's headers, and how it ends. The
 * libcurl handle and all buffers stay with the call from one request to the next.
 */
#include "base/http_call.h"

#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

#include "base/clock.h"
#include "base/xalloc.h"

enum {
    CONNECTIONS_KEPT = 8,     /* at least; idle ones, else one for each call */
    UPLOAD_BUFFER = 16 << 10, /* libcurl's least; bodies of requests are small */
    DATE_MIN = 24,            /* asctime's form is the shortest of the three */
    DATE_MAX = 40,
};

static bool starts_as(struct span text, const char *start) {
    size_t len = strlen(start);
    return text.len >= len && strncasecmp(text.p, start, len) == 0;
}

/* libcurl's header callback: one line at a time, those of interim replies first. */
static size_t on_header(char *data, size_t size, size_t count, void *context) {
    struct http_call *call = context;
    struct span line = span_of(data, size * count);
    if (starts_as(line, "HTTP/")) {
        buf_clear(&call->fields);
    } else {
        buf_add(&call->fields, line);
    }
    return line.len;
}

/* NULL is libcurl's own preset for each. */
static void set_tls(CURL *easy, const struct http_conf *conf) {
    curl_easy_setopt(easy, CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2); /* at least */
    if (conf->ca_file) {
        curl_easy_setopt(easy, CURLOPT_CAINFO, conf->ca_file);
    }
    curl_easy_setopt(easy, CURLOPT_SSLCERT, conf->cert_file);
    curl_easy_setopt(easy, CURLOPT_SSLKEY, conf->key_file);
    curl_easy_setopt(easy, CURLOPT_KEYPASSWD, conf->key_password);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, conf->unverified ? 0L : 1L);
    curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, conf->unverified ? 0L : 2L);
}

struct http_call *http_call_open(struct http *http, size_t reply_max) {
    struct http_call *call = xcalloc(1, sizeof(*call));
    call->http = http;
    call->reply_max = reply_max;
    buf_init(&call->lines, HTTP_LINES_MAX);
    buf_init(&call->fields, HTTP_FIELDS_MAX);
    buf_init(&call->body, reply_max + 1);
    call->easy = curl_easy_init();
    if (!call->easy) {
        abort(); /* out of memory */
    }
    CURL *easy = call->easy;
    curl_easy_setopt(easy, CURLOPT_PRIVATE, call);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(easy, CURLOPT_PATH_AS_IS, 1L); /* the path may be signed as it is */
    curl_easy_setopt(easy, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(easy, CURLOPT_UPLOAD_BUFFERSIZE, (long)UPLOAD_BUFFER);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, call);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, http_body_write);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, call);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, call->detail);
    if (http->conf.proxy) {
        curl_easy_setopt(easy, CURLOPT_PROXY, http->conf.proxy);
    }
    set_tls(easy, &http->conf);
    http->open_calls++;
    /* Else libcurl would keep few connections when few calls are running, and close the others. */
    long kept = http->open_calls > CONNECTIONS_KEPT ? (long)http->open_calls : CONNECTIONS_KEPT;
    curl_multi_setopt(http->multi, CURLMOPT_MAXCONNECTS, kept);
    http->largest = reply_max > http->largest ? reply_max : http->largest;
    return call;
}

static void running_add(struct http_call *call) {
    struct http *http = call->http;
    call->next = NULL;
    call->previous = http->last;
    *(http->last ? &http->last->next : &http->first) = call;
    http->last = call;
}

/* Out of libcurl's hands and out of the list of those that run. */
static void running_remove(struct http_call *call) {
    struct http *http = call->http;
    *(call->previous ? &call->previous->next : &http->first) = call->next;
    *(call->next ? &call->next->previous : &http->last) = call->previous;
    http->paused -= call->paused;
    call->paused = false;
    curl_multi_remove_handle(http->multi, call->easy);
}

static bool is_clean(struct span text) {
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.p[i];
        if ((c < ' ' && c != '\t') || c == 0x7F) {
            return false;
        }
    }
    return true;
}

/* A line of the request: "Name: value", for libcurl "Name;" without a value. False for one that
   would be read as something else. */
static bool add_line(struct buf *lines, struct span name, struct span value) {
    if (!is_clean(name) || !is_clean(value) || name.len == 0 || memchr(name.p, ':', name.len)) {
        return false;
    }
    buf_add(lines, name);
    buf_add(lines, value.len > 0 ? SPAN(": ") : SPAN(";"));
    buf_add(lines, value);
    buf_char(lines, '\0');
    return true;
}

/* Of headers that libcurl puts in by itself, "Name:" takes out those that nobody asked for. */
static size_t add_own_lines(struct http_call *call, const struct http_request *request) {
    size_t count = 1;
    bool typed = false;
    for (size_t i = 0; i < request->header_count; i++) {
        typed |= request->headers[i].name.len == strlen("Content-Type") &&
                 starts_as(request->headers[i].name, "Content-Type");
    }
    buf_add(&call->lines, SPAN("Expect:\0"));
    if (!typed) {
        buf_add(&call->lines, SPAN("Content-Type:\0"));
        count++;
    }
    if (request->accept_gzip) {
        buf_add(&call->lines, SPAN("Accept-Encoding: gzip\0"));
        count++;
    }
    return count;
}

/* Makes libcurl's list of headers in memory of the call, behind the URL; libcurl only reads it. */
static bool set_headers(struct http_call *call, const struct http_request *request) {
    buf_clear(&call->lines);
    call->url_len = strlen(request->url);
    buf_add(&call->lines, span_of(request->url, call->url_len + 1));
    if (request->header_count > HTTP_HEADERS_MAX) {
        return false;
    }
    size_t count = add_own_lines(call, request) + request->header_count;
    for (size_t i = 0; i < request->header_count; i++) {
        if (!add_line(&call->lines, request->headers[i].name, request->headers[i].value)) {
            return false;
        }
    }
    if (call->lines.overflow) {
        return false;
    }
    char *line = call->lines.data + call->url_len + 1;
    for (size_t i = 0; i < count; i++) {
        call->headers[i].data = line;
        call->headers[i].next = i + 1 < count ? &call->headers[i + 1] : NULL;
        line += strlen(line) + 1;
    }
    curl_easy_setopt(call->easy, CURLOPT_HTTPHEADER, call->headers);
    return true;
}

static void set_body(CURL *easy, const struct http_request *request) {
    if (strcmp(request->method, "GET") == 0) {
        curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, NULL);
        curl_easy_setopt(easy, CURLOPT_HTTPGET, 1L);
        return;
    }
    bool is_post = strcmp(request->method, "POST") == 0;
    curl_easy_setopt(easy, CURLOPT_POST, 1L);
    curl_easy_setopt(easy, CURLOPT_CUSTOMREQUEST, is_post ? NULL : request->method);
    curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body.len > 0 ? request->body.p : "");
    curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.len);
}

static void forget_reply(struct http_call *call) {
    buf_clear(&call->fields);
    call->reply = (struct http_reply){.body = call->empty, .date_ms = -1};
    call->detail[0] = '\0';
    call->broken = HTTP_WHOLE;
    call->coding = HTTP_UNKNOWN;
    call->announced = 0;
}

void http_call_start(struct http_call *call, const struct http_request *request) {
    struct http *http = call->http;
    struct span url = span_str(request->url);
    http_call_release(call);
    forget_reply(call);
    call->state = HTTP_RUNNING;
    call->accept_gzip = request->accept_gzip;
    call->connect_ms = request->connect_ms;
    call->timeout_ms = request->timeout_ms;
    call->started_ms = clock_monotonic_ms();
    call->deadline_ms = call->started_ms + request->timeout_ms;
    curl_easy_setopt(call->easy, CURLOPT_URL, request->url);
    curl_easy_setopt(call->easy, CURLOPT_CONNECTTIMEOUT_MS, (long)request->connect_ms);
    set_body(call->easy, request);
    bool headers_fit = set_headers(call, request);
    running_add(call);
    if (!headers_fit) {
        http_call_fail(call, "headers that cannot be sent: too many, too long, or with line ends");
    } else if (!starts_as(url, "http://") && !starts_as(url, "https://")) {
        http_call_fail(call, "the URL does not begin with http:// or https://");
    } else if (curl_multi_add_handle(http->multi, call->easy) != CURLM_OK) {
        http_call_fail(call, "libcurl does not take the call");
    }
    http->deadline_ms =
        call->deadline_ms < http->deadline_ms ? call->deadline_ms : http->deadline_ms;
    http_arm(http);
}

static int64_t parse_date(struct span value) {
    char text[DATE_MAX + 1];
    if (value.len < DATE_MIN || value.len > DATE_MAX) {
        return -1;
    }
    snprintf(text, sizeof(text), "%.*s", SPAN_ARG(value));
    time_t seconds = curl_getdate(text, NULL);
    return seconds < 0 ? -1 : (int64_t)seconds * 1000;
}

/* What is known of the reply, however it ended, and out of libcurl's hands. */
static void end_running(struct http_call *call) {
    long status = 0, connects = 0, sent_bytes = 0;
    curl_easy_getinfo(call->easy, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(call->easy, CURLINFO_NUM_CONNECTS, &connects);
    curl_easy_getinfo(call->easy, CURLINFO_REQUEST_SIZE, &sent_bytes);
    call->reply.status = (int)status;
    call->reply.connects = (int)connects;
    call->reply.sent = sent_bytes > 0;
    call->reply.date_ms = parse_date(http_call_header(call, "Date"));
    call->reply.elapsed_ms = clock_monotonic_ms() - call->started_ms;
    running_remove(call);
    call->http->due = true; /* so that whoever polls comes to see the end */
    http_arm(call->http);
}

static void end_failed(struct http_call *call) {
    end_running(call);
    http_error_locate(call);
    call->state = HTTP_FAILED;
    http_body_drop(call);
}

void http_call_fail(struct http_call *call, const char *format, ...) {
    va_list args;
    char text[256];
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    err_set(&call->reply.err, ERR_RETRY, "%s", text);
    end_failed(call);
}

void http_call_end_late(struct http_call *call) {
    call->reply.timed_out = true;
    double seconds = (double)call->timeout_ms / 1000;
    if (call->fields.len == 0) {
        http_call_fail(call, "no reply within %.3g s", seconds);
    } else {
        http_call_fail(call, "the reply was not complete after %.3g s (%zu bytes of its body)",
                       seconds, call->body.len);
    }
}

void http_call_end(struct http_call *call, CURLcode result) {
    if (result != CURLE_OK || !http_body_complete(call)) {
        call->reply.timed_out = result == CURLE_OPERATION_TIMEDOUT;
        call->reply.too_large = call->broken == HTTP_TOO_LARGE;
        http_error_say(call, result);
        end_failed(call);
        return;
    }
    end_running(call);
    call->state = HTTP_DONE;
    http_body_settle(call);
    if (buf_reserve(&call->body, 1)) { /* there is room: its ceiling is reply_max + 1 */
        call->body.data[call->body.len] = '\0';
        call->reply.body = call->body.data;
        call->reply.len = call->body.len;
    }
}

enum http_state http_call_state(const struct http_call *call) {
    return call->state;
}

const struct http_reply *http_call_reply(const struct http_call *call) {
    return &call->reply;
}

struct span http_call_header(const struct http_call *call, const char *name) {
    size_t len = strlen(name);
    struct span rest = buf_span(&call->fields), line, found = {NULL, 0};
    while (span_cut(&rest, '\n', &line)) {
        if (line.len > len && line.p[len] == ':' && starts_as(line, name)) {
            found = span_trim(span_skip(line, len + 1));
        }
    }
    return found;
}

void http_call_release(struct http_call *call) {
    bool was_running = call->state == HTTP_RUNNING;
    call->state = HTTP_IDLE;
    if (was_running) {
        running_remove(call);
    }
    http_body_drop(call);
}

void http_call_close(struct http_call *call) {
    if (!call) {
        return;
    }
    http_call_release(call);
    curl_easy_cleanup(call->easy);
    if (call->gzip_open) {
        inflateEnd(&call->gzip);
    }
    buf_done(&call->lines);
    buf_done(&call->fields);
    buf_done(&call->body);
    call->http->open_calls--;
    free(call);
}
