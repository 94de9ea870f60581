/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An AWS service on loopback, in a thread of the test: it answers requests as a script says, keeps
 * what it was sent, and recomputes the signature of each request from the bytes that arrived. One
 * that is wrong, or too old by its own clock, it refuses as AWS does, with the whole canonical
 * request in the message.
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "aws/call.h"
#include "aws/sigv4.h"

enum {
    PEER_LINKS_MAX = 16,
    PEER_REQUESTS_MAX = 64,
    PEER_REPLIES_MAX = 32,
    PEER_REQUEST_SIZE = 64 << 10,
    PEER_REPLY_SIZE = 64 << 10,
    PEER_TOLERANCE_S = 300,
};

enum peer_act {
    PEER_ANSWERS,
    PEER_HANGS,  /* never answers */
    PEER_BREAKS, /* closes the connection in the middle of the body */
};

struct peer_reply {
    int status;
    const char *headers; /* lines ending in \r\n; NULL: none */
    const char *body;
    enum peer_act act;
};

struct peer_link {
    int fd; /* 0: none */
    char text[PEER_REQUEST_SIZE];
    size_t len;
};

struct peer {
    int listen_fd;
    uint16_t port;
    pthread_t thread;
    atomic_bool stopping;
    /* Set before the thread starts. */
    struct peer_reply replies[PEER_REPLIES_MAX]; /* the last one again and again */
    size_t reply_count;
    const struct aws_keys *keys[2]; /* those that are known */
    int64_t clock_s;                /* its clock minus ours */
    bool has_no_date;
    struct peer_link links[PEER_LINKS_MAX];
    pthread_mutex_t lock; /* of what is below */
    char *requests[PEER_REQUESTS_MAX];
    size_t request_count, connection_count, bad_signatures;
};

/* ---- the signature ---- */

struct peer_parsed {
    struct sigv4_request request;
    struct http_header headers[HTTP_HEADERS_MAX];
    size_t count;
    char method[16], region[64], service[64], access_id[AWS_ACCESS_ID_MAX];
    struct span authorization, date;
};

static inline struct span peer_between(struct span text, const char *from, const char *to) {
    const char *start = text.p ? memmem(text.p, text.len, from, strlen(from)) : NULL;
    if (!start) {
        return span_of(NULL, 0);
    }
    struct span rest = span_skip(text, (size_t)(start - text.p) + strlen(from));
    const char *end = memmem(rest.p, rest.len, to, strlen(to));
    return span_of(rest.p, end ? (size_t)(end - rest.p) : rest.len);
}

static inline bool peer_is_listed(struct span names, struct span name) {
    struct span one;
    while (span_cut(&names, ';', &one)) {
        if (one.len == name.len && strncasecmp(one.p, name.p, name.len) == 0) {
            return true;
        }
    }
    return false;
}

/* Of the headers only those that the request says are signed. */
static inline void peer_parse(struct span head, struct span body, struct peer_parsed *parsed) {
    struct span line = SPAN(""), method = SPAN(""), target = SPAN(""), name, all = head;
    memset(parsed, 0, sizeof *parsed);
    span_cut(&head, '\n', &line);
    span_cut(&line, ' ', &method);
    span_cut(&line, ' ', &target);
    snprintf(parsed->method, sizeof parsed->method, "%.*s", SPAN_ARG(method));
    parsed->request = (struct sigv4_request){.method = parsed->method, .body = body};
    span_cut(&target, '?', &parsed->request.path);
    parsed->request.query = target;
    parsed->authorization = peer_between(all, "\r\nAuthorization: ", "\r\n");
    struct span names = peer_between(parsed->authorization, "SignedHeaders=", ",");
    while (span_cut(&head, '\n', &line) && line.len > 1) {
        struct span value = line;
        span_cut(&value, ':', &name);
        if (peer_is_listed(names, name) && parsed->count < HTTP_HEADERS_MAX) {
            parsed->headers[parsed->count++] = (struct http_header){name, value};
        }
    }
    parsed->request.headers = parsed->headers;
    parsed->request.header_count = parsed->count;
    parsed->date = peer_between(all, "\r\nX-Amz-Date: ", "\r\n");
    struct span scope = peer_between(parsed->authorization, "Credential=", ","), part;
    char *outs[] = {parsed->access_id, NULL, parsed->region, parsed->service};
    for (int i = 0; i < 4 && span_cut(&scope, '/', &part); i++) {
        if (outs[i]) {
            snprintf(outs[i], 64, "%.*s", SPAN_ARG(part));
        }
    }
}

/* NULL when the signature is right, else the code of the error. */
static inline const char *peer_judge(const struct peer *peer, const struct peer_parsed *parsed) {
    const struct aws_keys *keys = NULL;
    char early[SIGV4_DATE_SIZE], late[SIGV4_DATE_SIZE], date[SIGV4_DATE_SIZE];
    int64_t now = time(NULL) + peer->clock_s;
    for (int i = 0; i < 2; i++) {
        if (peer->keys[i] && strcmp(peer->keys[i]->access_id, parsed->access_id) == 0) {
            keys = peer->keys[i];
        }
    }
    if (!keys) {
        return "UnrecognizedClientException";
    }
    sigv4_format_date(now - PEER_TOLERANCE_S, early);
    sigv4_format_date(now + PEER_TOLERANCE_S, late);
    snprintf(date, sizeof date, "%.*s", SPAN_ARG(parsed->date));
    if (strcmp(date, early) < 0 || strcmp(date, late) > 0) {
        return "InvalidSignatureException";
    }
    struct sigv4_scope scope = {parsed->region, parsed->service};
    struct buf ours;
    struct err err;
    buf_init(&ours, PEER_REQUEST_SIZE);
    bool is_right = sigv4_authorize(&parsed->request, &scope, keys, &ours, &err) == 0 &&
                    span_eq(buf_span(&ours), parsed->authorization);
    buf_done(&ours);
    return is_right ? NULL : "SignatureDoesNotMatch";
}

/* ---- replies ---- */

static inline void peer_send(const struct peer *peer, int fd, const struct peer_reply *reply) {
    char date[64], *text = malloc(PEER_REPLY_SIZE);
    time_t now = time(NULL) + peer->clock_s;
    struct tm tm;
    gmtime_r(&now, &tm);
    strftime(date, sizeof date, "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
    int len = snprintf(text, PEER_REPLY_SIZE, "HTTP/1.1 %d X\r\n%s%sContent-Length: %zu\r\n\r\n%s",
                       reply->status, peer->has_no_date ? "" : date,
                       reply->headers ? reply->headers : "", strlen(reply->body), reply->body);
    len -= reply->act == PEER_BREAKS ? (int)strlen(reply->body) / 2 + 1 : 0;
    for (int sent = 0; sent < len;) {
        ssize_t put = send(fd, text + sent, (size_t)(len - sent), MSG_NOSIGNAL);
        if (put <= 0) {
            break;
        }
        sent += (int)put;
    }
    free(text);
}

/* What AWS says to a bad signature repeats the request, token and all. */
static inline void peer_refuse(const struct peer *peer, int fd, const char *code,
                               struct peer_parsed *parsed) {
    static char body[PEER_REPLY_SIZE / 2];
    struct buf out;
    struct err err;
    bool is_old = strcmp(code, "InvalidSignatureException") == 0;
    buf_over(&out, body, sizeof body);
    buf_printf(&out, "{\"__type\":\"com.amazon.coral.service#%s\",\"message\":\"%s", code,
               is_old ? "Signature expired: 20150830T123600Z is now earlier than "
                        "20150830T124600Z (20150830T125100Z - 5 min.)"
                      : "The request signature we calculated does not match. ");
    size_t start = out.len;
    buf_printf(&out, "  The Canonical String should have been ");
    sigv4_canonical(&parsed->request, &out, &err);
    buf_printf(&out, " and the header was %.*s", SPAN_ARG(parsed->authorization));
    for (size_t i = start; i < out.len; i++) {
        out.data[i] = out.data[i] == '\n' || out.data[i] == '"' ? ' ' : out.data[i];
    }
    buf_printf(&out, "\"}");
    struct peer_reply reply = {.status = 400, .body = buf_cstr(&out)};
    peer_send(peer, fd, &reply);
}

static inline bool peer_answer(struct peer *peer, struct peer_link *link, struct span head,
                               struct span body) {
    struct peer_parsed parsed;
    peer_parse(head, body, &parsed);
    const char *code = parsed.authorization.len > 0 ? peer_judge(peer, &parsed) : NULL;
    pthread_mutex_lock(&peer->lock);
    size_t number = peer->request_count;
    if (number < PEER_REQUESTS_MAX) {
        peer->requests[number] = strndup(head.p, head.len + body.len);
        peer->request_count++;
    }
    peer->bad_signatures += code != NULL;
    size_t refused = peer->bad_signatures;
    pthread_mutex_unlock(&peer->lock);
    if (code) {
        peer_refuse(peer, link->fd, code, &parsed);
        return true;
    }
    number -= refused; /* a refusal takes nothing from the script */
    const struct peer_reply *reply =
        &peer->replies[number < peer->reply_count ? number : peer->reply_count - 1];
    if (reply->act != PEER_HANGS) {
        peer_send(peer, link->fd, reply);
    }
    return reply->act != PEER_BREAKS;
}

/* ---- the thread ---- */

static inline void peer_end(struct peer_link *link) {
    close(link->fd);
    link->fd = 0;
    link->len = 0;
}

static inline void peer_read(struct peer *peer, struct peer_link *link) {
    ssize_t got = recv(link->fd, link->text + link->len, sizeof link->text - link->len, 0);
    if (got <= 0) {
        peer_end(link);
        return;
    }
    link->len += (size_t)got;
    struct span all = span_of(link->text, link->len);
    const char *end = memmem(all.p, all.len, "\r\n\r\n", 4);
    struct span length = peer_between(all, "Content-Length: ", "\r\n");
    if (end) {
        struct span head = span_of(all.p, (size_t)(end - all.p) + 4);
        size_t body_len = length.len ? strtoul(length.p, NULL, 10) : 0;
        if (all.len < head.len + body_len) {
            return;
        }
        link->len = 0;
        if (!peer_answer(peer, link, head, span_of(end + 4, body_len))) {
            peer_end(link);
        }
    }
}

static inline void peer_accept(struct peer *peer) {
    int fd = accept(peer->listen_fd, NULL, NULL);
    for (int i = 0; fd >= 0 && i < PEER_LINKS_MAX; i++) {
        if (peer->links[i].fd == 0) {
            peer->links[i].fd = fd;
            fd = -1;
            pthread_mutex_lock(&peer->lock);
            peer->connection_count++;
            pthread_mutex_unlock(&peer->lock);
        }
    }
    if (fd >= 0) {
        close(fd);
    }
}

static inline void *peer_run(void *context) {
    struct peer *peer = context;
    while (!atomic_load(&peer->stopping)) {
        struct pollfd fds[PEER_LINKS_MAX + 1] = {{.fd = peer->listen_fd, .events = POLLIN}};
        for (int i = 0; i < PEER_LINKS_MAX; i++) {
            int fd = peer->links[i].fd;
            fds[i + 1] = (struct pollfd){.fd = fd > 0 ? fd : -1, .events = POLLIN};
        }
        poll(fds, PEER_LINKS_MAX + 1, 10);
        for (int i = 0; i < PEER_LINKS_MAX; i++) {
            if (fds[i + 1].revents) {
                peer_read(peer, &peer->links[i]);
            }
        }
        if (fds[0].revents) {
            peer_accept(peer);
        }
    }
    return NULL;
}

/* An empty one, for the fields that are set before peer_start. */
static inline struct peer *peer_new(void) {
    struct peer *peer = calloc(1, sizeof *peer);
    pthread_mutex_init(&peer->lock, NULL);
    return peer;
}

static inline void peer_add(struct peer *peer, struct peer_reply reply) {
    ck_assert_uint_lt(peer->reply_count, PEER_REPLIES_MAX);
    peer->replies[peer->reply_count++] = reply;
}

/* Listens, and fills the target of a service that is called here. */
static inline void peer_start(struct peer *peer, const struct aws_service *service,
                              struct aws_target *target) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    peer->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_ge(peer->listen_fd, 0);
    ck_assert_int_eq(bind(peer->listen_fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(peer->listen_fd, 16), 0);
    ck_assert_int_eq(getsockname(peer->listen_fd, (struct sockaddr *)&address, &len), 0);
    peer->port = ntohs(address.sin_port);
    memset(target, 0, sizeof *target);
    target->service = service;
    snprintf(target->region, sizeof target->region, "eu-west-1");
    snprintf(target->url, sizeof target->url, "http://127.0.0.1:%u/", peer->port);
    ck_assert_int_eq(pthread_create(&peer->thread, NULL, peer_run, peer), 0);
}

/* A copy of a request's text; the caller frees it. NULL: there were fewer. */
static inline char *peer_request(struct peer *peer, size_t number) {
    pthread_mutex_lock(&peer->lock);
    char *copy = number < peer->request_count ? strdup(peer->requests[number]) : NULL;
    pthread_mutex_unlock(&peer->lock);
    return copy;
}

static inline size_t peer_requests(struct peer *peer) {
    pthread_mutex_lock(&peer->lock);
    size_t count = peer->request_count;
    pthread_mutex_unlock(&peer->lock);
    return count;
}

static inline size_t peer_bad_signatures(struct peer *peer) {
    pthread_mutex_lock(&peer->lock);
    size_t count = peer->bad_signatures;
    pthread_mutex_unlock(&peer->lock);
    return count;
}

static inline size_t peer_connections(struct peer *peer) {
    pthread_mutex_lock(&peer->lock);
    size_t count = peer->connection_count;
    pthread_mutex_unlock(&peer->lock);
    return count;
}

static inline void peer_stop(struct peer *peer) {
    atomic_store(&peer->stopping, true);
    pthread_join(peer->thread, NULL);
    for (int i = 0; i < PEER_LINKS_MAX; i++) {
        if (peer->links[i].fd > 0) {
            peer_end(&peer->links[i]);
        }
    }
    for (size_t i = 0; i < peer->request_count; i++) {
        free(peer->requests[i]);
    }
    close(peer->listen_fd);
    pthread_mutex_destroy(&peer->lock);
    free(peer);
}
