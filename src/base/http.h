/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP calls over libcurl for those who must not wait, and for those who may: a set of calls that
 * one thread drives, many in flight, connections kept between them. Knows nothing of who is called
 * and why: no retries, no signatures. Redirects are not followed. The replies of a set share one
 * ceiling; a reply that finds it reached is paused, not broken off, and goes on when others were
 * given back.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

enum { HTTP_HEADERS_MAX = 24 };

/* Strings are the caller's and outlive the set. */
struct http_conf {
    const char *proxy;      /* URL; "": none; NULL: as https_proxy, http_proxy and no_proxy say */
    const char *ca_file;    /* PEM of the authorities to trust; NULL: the system's */
    const char *ca_setting; /* what the configuration calls ca_file, for errors; NULL: "ca_file" */
    const char *cert_file, *key_file; /* PEM of our own certificate and its key; NULL: none */
    const char *key_password;         /* of that key; NULL: none */
    bool unverified;                  /* the peer's certificate is not looked at */
    size_t held_max; /* bytes of all replies together, running and not given back; 0: no limit.
                            At least twice the largest reply_max */
};

/* A set. Belongs to one thread. */
struct http;

struct http *http_open(const struct http_conf *conf);

/* All calls must be closed. NULL is fine. */
void http_close(struct http *http);

/* Readable (POLLIN) when http_turn has something to do, or when the moment of http_wake_at came. */
int http_fd(const struct http *http);

/* Makes http_fd readable no later than at this moment (clock_monotonic_ms); INT64_MAX: not by
   itself. A later call replaces it; http_turn forgets a moment that has come. */
void http_wake_at(struct http *http, int64_t monotonic_ms);

/* Lets every call go on as far as it can. Never waits. */
void http_turn(struct http *http);

struct http_header {
    struct span name, value;
};

/* All borrowed for the length of http_call_start, but for `body`: until the call is done. */
struct http_request {
    const char *method; /* "GET", "PUT", "POST" */
    const char *url;
    const struct http_header *headers; /* at most HTTP_HEADERS_MAX */
    size_t header_count;
    struct span body;
    int64_t connect_ms; /* longest time to connect, TLS included */
    int64_t timeout_ms; /* longest time for all of it, without that paused by held_max */
    bool accept_gzip;   /* ask for gzip and inflate the reply */
};

enum http_state {
    HTTP_IDLE,
    HTTP_RUNNING,
    HTTP_DONE,   /* there is a reply, whatever its status */
    HTTP_FAILED, /* none, or not all of it: reply.err says why (ERR_RETRY) */
};

/* Valid until the call is started anew, released or closed. */
struct http_reply {
    int status;
    char *body; /* may be written to; body[len] is a NUL */
    size_t len;
    bool timed_out;  /* HTTP_FAILED by connect_ms or timeout_ms */
    bool too_large;  /* HTTP_FAILED by reply_max */
    bool sent;       /* something of the request went out: the peer may have taken it */
    int connects;    /* connections made for it: 0 when one was at hand */
    int64_t date_ms; /* of the Date header, -1 without a good one */
    int64_t elapsed_ms;
    struct err err;
};

/* A call, made again and again, one at a time. Its buffers are kept between calls. */
struct http_call;

/* `reply_max`: ceiling of the (inflated) body of a reply. */
struct http_call *http_call_open(struct http *http, size_t reply_max);

/* Starts; the call must not be running. A reply not yet released is released. */
void http_call_start(struct http_call *call, const struct http_request *request);

enum http_state http_call_state(const struct http_call *call);

/* Of a call that is done or failed. */
const struct http_reply *http_call_reply(const struct http_call *call);

/* The value of a header of the reply, without blanks around it; the last one if there are several;
   empty if there is none. Names compare without case. At most 16 KiB of headers are kept. */
struct span http_call_header(const struct http_call *call, const char *name);

/* Breaks a running call off, gives the reply's bytes back to the set's ceiling: HTTP_IDLE. Memory
   of an unusually large reply is freed. */
void http_call_release(struct http_call *call);

/* NULL is fine. */
void http_call_close(struct http_call *call);

/* For those who may wait: drives the set until this call is done or failed, or (HTTP_FAILED, text
   "stopped") until *stopping is set, which is looked at every 50 ms. NULL: nobody stops it. Fails
   as well when the call waits for room that only the caller could make. */
enum http_state http_run(struct http *http, struct http_call *call, const atomic_bool *stopping);
