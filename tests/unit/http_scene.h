/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of HTTP calls share: a server that answers well and badly, by path, and a set that
 * is driven as the daemon drives it: poll on the one descriptor, then http_turn. A descriptor that
 * stays silent when there is something to do shows as a poll that runs into its limit.
 */
#pragma once

#include <poll.h>
#include <zlib.h>

#include "base/clock.h"
#include "base/http_call.h"
#include "http_server.h"
#include "unit.h"

enum { MIB = 1 << 20, WAIT_MS = 30000, MANY = 20 };

struct scene {
    atomic_bool go;       /* what waits goes on */
    atomic_int waiting;   /* requests at /meet */
    atomic_int meet;      /* how many of them are needed */
    atomic_bool stopping; /* set by /stop */
};

static struct scene scene;
static struct http_server *server;
static struct http *http;

static inline void open_set(const struct http_conf *conf) {
    static const struct http_conf plain = {.proxy = ""};
    http = http_open(conf ? conf : &plain);
}

/* `kind` of the form "/name/NUMBER". */
static inline bool is_at(const struct http_server_request *request, const char *name,
                         size_t *number) {
    size_t len = strlen(name);
    *number = strtoul(request->path + len, NULL, 10);
    return strncmp(request->path, name, len) == 0;
}

static inline char *pattern(size_t len) {
    char *bytes = malloc(len + 1);
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)('a' + i * 7 % 23);
    }
    return bytes;
}

static inline bool is_pattern(const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] != (char)('a' + i * 7 % 23)) {
            return false;
        }
    }
    return bytes[len] == '\0';
}

static inline char *compress_gzip(const char *bytes, size_t len, size_t *out_len) {
    z_stream z = {0};
    size_t room = len + len / 100 + 1024;
    char *out = malloc(room);
    deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY);
    z.next_in = (Bytef *)(uintptr_t)bytes;
    z.avail_in = (uInt)len;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    deflate(&z, Z_FINISH);
    *out_len = z.total_out;
    deflateEnd(&z);
    return out;
}

static inline void reply_gzip(struct http_server_request *request, size_t len, size_t less,
                              int members) {
    char *bytes = pattern(len);
    size_t gzip_len;
    char *gzip = compress_gzip(bytes, len, &gzip_len);
    char *all = malloc(gzip_len * (size_t)members);
    for (int i = 0; i < members; i++) {
        memcpy(all + gzip_len * (size_t)i, gzip, gzip_len);
    }
    http_server_reply(request, 200, "Content-Encoding: gzip\r\n", all,
                      gzip_len * (size_t)members - less);
    free(all);
    free(gzip);
    free(bytes);
}

static inline void reply_chunked(struct http_server_request *request, size_t len) {
    char *bytes = pattern(len), head[32];
    http_server_send_text(request, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (size_t at = 0; at < len && !request->close;) {
        size_t part = len - at < 50000 ? len - at : 50000;
        snprintf(head, sizeof(head), "%zx\r\n", part);
        http_server_send_text(request, head);
        http_server_send(request, bytes + at, part);
        http_server_send_text(request, "\r\n");
        at += part;
    }
    http_server_send_text(request, "0\r\n\r\n");
    free(bytes);
}

static inline void reply_pattern(struct http_server_request *request, size_t len) {
    char *bytes = pattern(len);
    http_server_reply(request, 200, "", bytes, len);
    free(bytes);
}

static inline void reply_headers(struct http_server_request *request) {
    http_server_reply(request, 200,
                      "X-One:  first  \r\nx-ONE: second\t\r\nX-On: other\r\nX-Empty:\r\n"
                      "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n",
                      "ok", 2);
}

static inline void reply_many_headers(struct http_server_request *request) {
    char lines[24 << 10];
    size_t len = 0;
    for (int i = 0; i < 200; i++) {
        len += (size_t)snprintf(lines + len, sizeof(lines) - len, "X-%d: %0100d\r\n", i, i);
    }
    http_server_reply(request, 200, lines, "ok", 2);
}

/* Answers that break off, or that should not be. */
static inline bool answer_badly(struct http_server_request *request) {
    if (strncmp(request->path, "/truncated", 10) == 0) {
        http_server_send_text(request, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n1234567890");
        request->close = true;
    } else if (strcmp(request->path, "/reset") == 0) {
        http_server_send_text(request, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345");
        http_server_wait(request, &scene.go);
        http_server_reset(request);
    } else if (strcmp(request->path, "/nothing") == 0) {
        request->close = true;
    } else if (strcmp(request->path, "/garbage") == 0) {
        http_server_send_text(request, "SSH-2.0-secret\r\n\r\n");
        request->close = true;
    } else if (strcmp(request->path, "/gzip-bad") == 0) {
        http_server_reply(request, 200, "Content-Encoding: gzip\r\n", "not gzip at all", 15);
    } else if (strcmp(request->path, "/brotli") == 0) {
        http_server_reply(request, 200, "Content-Encoding: br\r\n", "??", 2);
    } else if (strcmp(request->path, "/endless") == 0) {
        http_server_send_text(request, "HTTP/1.1 200 OK\r\n\r\n");
        char block[4096] = {0};
        while (http_server_send(request, block, sizeof(block))) {
        }
    } else {
        return false;
    }
    return true;
}

static inline bool answer_late(struct http_server_request *request) {
    if (strcmp(request->path, "/meet") == 0) {
        atomic_fetch_add(&scene.waiting, 1);
        while (atomic_load(&scene.waiting) < atomic_load(&scene.meet) &&
               !atomic_load(&server->stopping)) {
            usleep(HTTP_SERVER_TICK_US);
        }
    } else if (strcmp(request->path, "/hold") == 0) {
        http_server_wait(request, &scene.go);
    } else if (strcmp(request->path, "/stop") == 0) {
        atomic_store(&scene.stopping, true);
        http_server_wait(request, NULL);
        return true;
    } else if (strcmp(request->path, "/drip") == 0) {
        http_server_send_text(request, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n12345");
        http_server_wait(request, NULL);
        return true;
    } else {
        return false;
    }
    http_server_reply(request, 200, "", request->path, strlen(request->path));
    return true;
}

static inline void answer(struct http_server_request *request, void *context) {
    (void)context;
    size_t n;
    if (answer_badly(request) || answer_late(request)) {
        return;
    }
    if (is_at(request, "/size/", &n)) {
        reply_pattern(request, n);
    } else if (is_at(request, "/chunked/", &n)) {
        reply_chunked(request, n);
    } else if (is_at(request, "/gzip/", &n)) {
        reply_gzip(request, n, 0, 1);
    } else if (is_at(request, "/gzip-cut/", &n)) {
        reply_gzip(request, n, 9, 1);
    } else if (is_at(request, "/gzip-twice/", &n)) {
        reply_gzip(request, n, 0, 2);
    } else if (is_at(request, "/status/", &n)) {
        http_server_reply(request, (int)n, "Location: /size/1\r\n", "why", 3);
    } else if (strcmp(request->path, "/headers") == 0) {
        reply_headers(request);
    } else if (strcmp(request->path, "/many-headers") == 0) {
        reply_many_headers(request);
    } else if (strcmp(request->path, "/hints") == 0) {
        http_server_send_text(request, "HTTP/1.1 103 Early\r\nX-Early: 1\r\n\r\n");
        http_server_reply(request, 200, "X-Late: 2\r\nDate: soon\r\n", "", 0);
    } else if (strcmp(request->path, "/hang-up") == 0) {
        http_server_reply(request, 200, "", "bye", 3);
        request->close = true;
    } else if (strcmp(request->method, "CONNECT") == 0) {
        http_server_reply(request, 407, "Proxy-Authenticate: Basic realm=x\r\n", "", 0);
    } else {
        http_server_reply(request, 200, "", request->head, strlen(request->head));
    }
}

static inline void setup(void) {
    memset(&scene, 0, sizeof(scene));
    server = http_server_open(answer, NULL);
    http = NULL;
}

static inline void teardown(void) {
    http_close(http);
    http_server_close(server);
}

/* Starts a GET of a path of the server. */
static inline void start_within(struct http_call *call, const char *path, int64_t timeout_ms,
                                bool gzip) {
    char url[256];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", server->port, path);
    struct http_request request = {.method = "GET",
                                   .url = url,
                                   .connect_ms = WAIT_MS,
                                   .timeout_ms = timeout_ms,
                                   .accept_gzip = gzip};
    http_call_start(call, &request);
}

static inline void start(struct http_call *call, const char *path) {
    start_within(call, path, WAIT_MS, true);
}

/* One step as a worker takes it: nothing is done before the descriptor says so. */
static inline void step(void) {
    struct pollfd poll_fd = {.fd = http_fd(http), .events = POLLIN};
    ck_assert_int_eq(poll(&poll_fd, 1, WAIT_MS), 1);
    http_turn(http);
}

static inline enum http_state finish(struct http_call *call) {
    while (http_call_state(call) == HTTP_RUNNING) {
        step();
    }
    return http_call_state(call);
}

static inline const struct http_reply *expect_done(struct http_call *call, const char *path) {
    start(call, path);
    ck_assert_int_eq(finish(call), HTTP_DONE);
    ck_assert_int_eq(http_call_reply(call)->err.kind, ERR_NONE);
    return http_call_reply(call);
}

static inline const struct http_reply *expect_failed(struct http_call *call, const char *path,
                                                     const char *text) {
    char place[32];
    snprintf(place, sizeof(place), "127.0.0.1:%u: ", server->port);
    start(call, path);
    ck_assert_int_eq(finish(call), HTTP_FAILED);
    const struct http_reply *reply = http_call_reply(call);
    ck_assert_int_eq(reply->err.kind, ERR_RETRY);
    ck_assert_msg(strncmp(reply->err.text, place, strlen(place)) == 0, "%s", reply->err.text);
    ck_assert_msg(strstr(reply->err.text, text) != NULL, "%s", reply->err.text);
    ck_assert_uint_eq(reply->len, 0);
    ck_assert_str_eq(reply->body, "");
    return reply;
}
