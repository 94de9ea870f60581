/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files behind http.h share: http.c drives a set, http_call.c makes requests and takes
 * replies, http_body.c stores and inflates bodies under the set's ceiling, http_error.c says what
 * went wrong. Not for users of http.h.
 *
 * The ceiling: all replies but that of one privileged call stay below `held_max` less the largest
 * reply_max, so there is always room for the whole of the privileged one, whatever its size. It is
 * the first call for which the common part is too small; the others pause until it was given back.
 * So the sum stays below held_max, and there is always one call that can come to its end.
 */
#pragma once

#include <curl/curl.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/http.h"

enum {
    HTTP_FIELDS_MAX = 16 << 10, /* of a reply's headers */
    HTTP_LINES_MAX = 64 << 10,  /* of a request's headers */
    HTTP_OWN_HEADERS = 3,       /* that we put in ourselves */
    HTTP_BODY_KEPT = 1 << 20,   /* memory of a body kept from call to call */
};

struct http {
    struct http_conf conf;
    CURLM *multi;
    int epoll_fd;
    int timer_fd; /* watched by epoll_fd, as the sockets are */
    /* Moments by clock_monotonic_ms; INT64_MAX: none. */
    int64_t curl_ms;                /* libcurl wants to be called */
    int64_t wake_ms;                /* http_wake_at */
    int64_t deadline_ms;            /* of the call that has least time left, or earlier */
    int64_t armed_ms;               /* what the timer is set to */
    bool due;                       /* http_turn has something to do at once */
    bool turning;                   /* in http_turn, which sets the timer at its end */
    struct http_call *first, *last; /* running, in order of their start */
    size_t open_calls;
    size_t held;                  /* sum of the calls' `charge` */
    size_t largest;               /* reply_max of all calls */
    size_t paused;                /* calls */
    struct http_call *privileged; /* NULL: none */
};

/* Why we ourselves broke a reply off. */
enum http_break { HTTP_WHOLE, HTTP_TOO_LARGE, HTTP_BAD_GZIP, HTTP_BAD_CODING };

enum http_coding { HTTP_UNKNOWN, HTTP_PLAIN, HTTP_GZIP };

struct http_call {
    struct http *http;
    CURL *easy;
    enum http_state state;
    struct http_call *next, *previous;
    /* The request. */
    struct buf lines; /* its URL and its headers, each with a NUL */
    size_t url_len;
    struct curl_slist headers[HTTP_HEADERS_MAX + HTTP_OWN_HEADERS];
    bool accept_gzip;
    int64_t started_ms, deadline_ms, connect_ms, timeout_ms;
    /* The reply. */
    struct buf fields; /* its header lines as they came */
    struct buf body;   /* ceiling: reply_max and a NUL */
    size_t reply_max;
    size_t charge; /* what the body takes of the set's ceiling; at least body.len */
    size_t want;   /* of a paused call: the charge with which it can go on */
    bool paused;
    int64_t paused_ms; /* since when */
    enum http_break broken;
    enum http_coding coding; /* known from the first byte of the body on */
    size_t announced;        /* length of the body as Content-Length says, 0: unknown */
    z_stream gzip;
    bool gzip_open, gzip_ended;
    size_t gzip_taken; /* of the bytes that libcurl will bring once more after the pause */
    char empty[1];
    char detail[CURL_ERROR_SIZE];
    struct http_reply reply;
};

/* Sets the timer to the earliest of the set's moments; http_turn does so itself at its end. */
void http_arm(struct http *http);

/* Ends a running call as libcurl says: done or failed. */
void http_call_end(struct http_call *call, CURLcode result);

/* Ends a running call whose time is over. */
void http_call_end_late(struct http_call *call);

/* Ends a running call: HTTP_FAILED with "host:port: " and this text. */
void http_call_fail(struct http_call *call, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* libcurl's write callback. */
size_t http_body_write(char *data, size_t size, size_t count, void *context);

/* Whether the body that libcurl took for complete is one; else sets `broken`. */
bool http_body_complete(struct http_call *call);

/* Lets those paused calls go on for which there is room. Not from within libcurl's callbacks. */
void http_body_resume(struct http *http);

/* Makes what the call takes of the ceiling no more than its body's length. */
void http_body_settle(struct http_call *call);

/* Forgets the body and gives its bytes back. */
void http_body_drop(struct http_call *call);

/* Writes into reply.err what `result` means, with the remedy where there is one. */
void http_error_say(struct http_call *call, CURLcode result);

/* Puts "host:port: " in front of reply.err. */
void http_error_locate(struct http_call *call);
