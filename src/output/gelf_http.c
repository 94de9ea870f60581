/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GELF over HTTP. A worker's handle has `in_flight` lanes, each with one libcurl call that is made
 * again and again. A lane takes a piece (one message, or with `bulk` several of one parcel) and
 * keeps it until every message of it is taken by the receiver or a dead letter: what fails is sent
 * again by the same lane, in smaller parts if need be, so there is no queue and nothing is copied:
 * bodies are the ring's bytes. A parcel is delivered when none of its bytes is left.
 *
 * While there is trouble one request at a time tries whether it is over, by lanes in turn, so that
 * no single message can stand for all.
 */
#include <libdeflate.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/num.h"
#include "base/random.h"
#include "base/xalloc.h"
#include "core/backoff.h"
#include "output/common.h"
#include "output/gelf.h"
#include "output/gelf_http_batch.h"
#include "output/gelf_http_conf.h"
#include "output/outputs.h"

enum {
    REPLY_MAX = 256 << 10, /* an error page; nothing of it is read */
    GZIP_LEVEL = 1,
    TURN_ROUNDS = 4,
    MEND_MS = 5000,         /* between attempts when a person must do something */
    ASKED_MAX_S = 60,       /* of Retry-After */
    LOST_BEFORE_HALVES = 3, /* replies to one part that did not come, before it is halved */
    /* So many refused messages may follow each other. Beyond, or before the first message that was
       taken, it may be the wrong place that refuses all: then a message is tried so often. */
    REFUSED_IN_A_ROW = 16,
    REFUSED_BEFORE_DEAD = 5,
};

struct lane {
    struct http_call *call;
    char *packed; /* room for a compressed body; NULL without gzip */
    bool running;
    uint64_t parcel;   /* of the piece */
    struct span rest;  /* what is left of the piece; empty: the lane is free */
    size_t part;       /* bytes of it that go next, or are on their way */
    size_t again;      /* bytes at the start of `rest` that may have been taken before */
    int lost, refused; /* times in a row, for this part */
};

/* What is not done of a parcel. */
struct left {
    size_t bytes, messages;
};

struct gelf_http {
    const struct gelf_http_conf *conf;
    struct parcels parcels;
    struct left *left; /* of parcel n: at n % parcels.capacity */
    struct dead_letter *dead;
    struct http *http;
    struct libdeflate_compressor *compressor;
    size_t packed_max;
    struct lane *lanes;
    size_t lane_count, running;
    size_t next_lane; /* the first to be asked */

    uint64_t reading; /* the next piece is in this parcel, */
    size_t offset;    /* here */
    size_t body_max;  /* max_body, or less when the receiver found that too large */

    bool in_trouble;
    bool has_news; /* *err below is to be said */
    struct err err;
    struct backoff backoff;
    int64_t retry_ms; /* nothing goes out before */
    int credit;       /* refused messages that may be buried at once */
};

static void gelf_http_close(void *handle) {
    struct gelf_http *out = handle;
    for (size_t i = 0; i < out->lane_count; i++) {
        http_call_close(out->lanes[i].call);
        free(out->lanes[i].packed);
    }
    http_close(out->http);
    libdeflate_free_compressor(out->compressor);
    parcels_done(&out->parcels);
    free(out->lanes);
    free(out->left);
    free(out);
}

static int gelf_http_open(void *conf_, const struct output_place *place, void **handle,
                          struct err *err) {
    const struct gelf_http_conf *conf = conf_;
    struct gelf_http *out = xcalloc(1, sizeof *out);
    (void)err;
    out->conf = conf;
    out->dead = place->dead;
    out->reading = 1;
    out->body_max = (size_t)conf->max_body_bytes;
    parcels_init(&out->parcels, place->ring_bytes);
    out->left = xcalloc(out->parcels.capacity, sizeof *out->left);
    out->http = gelf_http_conf_open(conf);
    out->lane_count = (size_t)conf->in_flight;
    out->lanes = xcalloc(out->lane_count, sizeof *out->lanes);
    if (conf->gzip) {
        out->compressor = libdeflate_alloc_compressor(GZIP_LEVEL);
        if (!out->compressor) {
            abort(); /* out of memory */
        }
        out->packed_max = libdeflate_gzip_compress_bound(out->compressor, out->body_max);
    }
    for (size_t i = 0; i < out->lane_count; i++) {
        out->lanes[i].call = http_call_open(out->http, REPLY_MAX);
        out->lanes[i].packed = conf->gzip ? xmalloc(out->packed_max) : NULL;
    }
    *handle = out;
    return 0;
}

static bool gelf_http_takes(void *handle, struct span message) {
    const struct gelf_http *out = handle;
    return message.len - 1 <= (size_t)out->conf->max_body_bytes; /* without the newline */
}

static struct left *left_of(const struct gelf_http *out, uint64_t number) {
    return &out->left[number % out->parcels.capacity];
}

static void gelf_http_send(void *handle, const struct parcel *parcel) {
    struct gelf_http *out = handle;
    parcels_add(&out->parcels, parcel);
    *left_of(out, parcel->number) =
        (struct left){.bytes = parcel->bytes.len, .messages = parcel->messages};
}

static void deliver(struct gelf_http *out) {
    while (out->parcels.delivered < out->parcels.last &&
           left_of(out, out->parcels.delivered + 1)->bytes == 0) {
        parcels_deliver(&out->parcels, out->parcels.delivered + 1);
    }
}

static bool has_new(const struct gelf_http *out) {
    return out->reading <= out->parcels.last;
}

/* The next piece, for a free lane. */
static void take_piece(struct gelf_http *out, struct lane *lane) {
    struct span bytes = parcels_at(&out->parcels, out->reading)->bytes;
    struct span rest = span_skip(bytes, out->offset);
    size_t len = gelf_http_cut(rest, out->conf->bulk ? out->body_max : 0);
    lane->parcel = out->reading;
    lane->rest = span_of(rest.p, len);
    lane->part = len;
    lane->again = 0;
    lane->lost = lane->refused = 0;
    out->offset += len;
    if (out->offset == bytes.len) {
        out->reading++;
        out->offset = 0;
    }
}

static struct span part_of(const struct lane *lane) {
    return span_of(lane->rest.p, lane->part);
}

/* The part is taken or buried; what is left of the piece is to be sent. */
static void step_over(struct gelf_http *out, struct lane *lane) {
    struct left *left = left_of(out, lane->parcel);
    left->bytes -= lane->part;
    left->messages -= gelf_http_count(part_of(lane));
    lane->rest = span_skip(lane->rest, lane->part);
    lane->again -= lane->again < lane->part ? lane->again : lane->part;
    lane->part = lane->rest.len > 0 ? gelf_http_cut(lane->rest, out->body_max) : 0;
    lane->lost = lane->refused = 0;
}

/* The part may have been taken, though nobody says so. */
static void note_sent(struct lane *lane) {
    lane->again = lane->again > lane->part ? lane->again : lane->part;
}

static void start(struct gelf_http *out, struct lane *lane) {
    /* What was cut before the receiver found such bodies too large is cut anew. */
    lane->part = gelf_http_cut(part_of(lane), out->body_max);
    struct span body = span_of(lane->rest.p, lane->part - 1);
    size_t again = lane->again < lane->part ? lane->again : lane->part;
    out->parcels.counts.resent_messages += gelf_http_count(span_of(lane->rest.p, again));
    if (lane->packed) {
        body.len = libdeflate_gzip_compress(out->compressor, body.p, body.len, lane->packed,
                                            out->packed_max);
        body.p = lane->packed;
    }
    lane->running = true;
    out->running++;
    http_call_start(lane->call, &(struct http_request){
                                    .method = "POST",
                                    .url = out->conf->url,
                                    .headers = out->conf->sent,
                                    .header_count = out->conf->sent_count,
                                    .body = body,
                                    .connect_ms = gelf_http_conf_connect_ms(out->conf),
                                    .timeout_ms = out->conf->timeout_ms,
                                });
}

/* Keeps what is to be said; text of a kind that lasts is limited by the worker. */
static void say(struct gelf_http *out, const struct err *err) {
    out->err = *err;
    out->has_news = true;
}

static void say_status(struct gelf_http *out, int status, const char *what) {
    struct err err;
    err_set(&err, ERR_RETRY, "%s: HTTP %d%s%s", out->conf->shown, status, what,
            gelf_http_remedy(status));
    say(out, &err);
}

/* Waits before the next attempt, once for all the lanes that failed meanwhile. */
static void back_off(struct gelf_http *out, int64_t now_ms, int64_t least_ms) {
    out->in_trouble = true;
    if (now_ms >= out->retry_ms) {
        out->retry_ms = now_ms + backoff_next(&out->backoff, random_u32());
    }
    if (out->retry_ms < now_ms + least_ms) {
        out->retry_ms = now_ms + least_ms;
    }
}

/* What a busy receiver asks for, if it is a number of seconds. */
static int64_t asked_ms(const struct lane *lane) {
    uint64_t seconds;
    struct span value = http_call_header(lane->call, "Retry-After");
    return num_parse_u64(value, ASKED_MAX_S, &seconds) ? (int64_t)seconds * 1000 : 0;
}

static void take_success(struct gelf_http *out, struct lane *lane) {
    step_over(out, lane);
    out->credit = REFUSED_IN_A_ROW;
    if (out->in_trouble) {
        out->in_trouble = false;
        out->retry_ms = 0;
        backoff_reset(&out->backoff);
        log_info("gelf_http: %s: messages are taken again", out->conf->shown);
    }
}

/* A message of its own is refused, or its body too large. */
static void take_refused_one(struct gelf_http *out, struct lane *lane, int status, int64_t now_ms) {
    bool is_sure = out->credit > 0 || ++lane->refused >= REFUSED_BEFORE_DEAD;
    if (!is_sure) {
        say_status(
            out, status,
            ", and no other message was taken since; it is tried again before it is given up "
            "as a dead letter");
        back_off(out, now_ms, 0);
        return;
    }
    struct span message = span_of(lane->rest.p, lane->part - 1);
    dead_letter_add(out->dead, status == 413 ? BAD_MESSAGE_TOO_LARGE : BAD_MESSAGE_REFUSED, NULL, 0,
                    message);
    out->parcels.counts.dropped_messages++;
    if (out->credit > 0) {
        out->credit--;
    } else {
        back_off(out, now_ms, 0);
    }
    say_status(out, status, " for a single message, which is now a dead letter");
    step_over(out, lane);
}

static void take_refused(struct gelf_http *out, struct lane *lane, int status, int64_t now_ms) {
    size_t half = gelf_http_halve(part_of(lane));
    char what[128];
    if (half == lane->part) {
        take_refused_one(out, lane, status, now_ms);
        return;
    }
    snprintf(what, sizeof what, " for a body of %zu bytes, which is sent in halves", lane->part);
    say_status(out, status, what);
    if (status == 413 && out->body_max > lane->part / 2) {
        out->body_max = lane->part / 2;
    }
    lane->part = half;
}

static void take_lost(struct gelf_http *out, struct lane *lane, const struct http_reply *reply,
                      int64_t now_ms) {
    struct err err = reply->err;
    err_wrap(&err, "%s", out->conf->shown);
    say(out, &err);
    back_off(out, now_ms, 0);
    if (reply->sent) {
        note_sent(lane);
        out->parcels.counts.connections_lost++;
        /* A body that is too large, or too slow to get through, may look like this as well. */
        if (++lane->lost >= LOST_BEFORE_HALVES) {
            lane->lost = 0;
            lane->part = gelf_http_halve(part_of(lane));
        }
    }
}

static void take_status(struct gelf_http *out, struct lane *lane, int status, int64_t now_ms) {
    switch (gelf_http_judge(status)) {
    case GELF_HTTP_TAKEN:
        take_success(out, lane);
        break;
    case GELF_HTTP_TOO_LARGE:
    case GELF_HTTP_REFUSED:
        take_refused(out, lane, status, now_ms);
        break;
    case GELF_HTTP_BUSY:
        note_sent(lane);
        say_status(out, status, ", it is tried again");
        back_off(out, now_ms, asked_ms(lane));
        break;
    case GELF_HTTP_MEND:
        say_status(out, status, ", it is tried again");
        back_off(out, now_ms, MEND_MS);
        break;
    }
}

/* What has ended. */
static void take_replies(struct gelf_http *out, int64_t now_ms) {
    for (size_t i = 0; i < out->lane_count && out->running > 0; i++) {
        struct lane *lane = &out->lanes[i];
        if (!lane->running || http_call_state(lane->call) == HTTP_RUNNING) {
            continue;
        }
        const struct http_reply *reply = http_call_reply(lane->call);
        lane->running = false;
        out->running--;
        out->parcels.counts.connects += (uint64_t)reply->connects;
        if (http_call_state(lane->call) == HTTP_DONE || reply->too_large) {
            take_status(out, lane, reply->status, now_ms);
        } else {
            take_lost(out, lane, reply, now_ms);
        }
        http_call_release(lane->call);
    }
    deliver(out);
}

static bool may_start(const struct gelf_http *out, int64_t now_ms) {
    return now_ms >= out->retry_ms && out->running < (out->in_trouble ? 1 : out->lane_count);
}

/* Whether there is anything that no lane has on its way. */
static bool has_waiting(const struct gelf_http *out) {
    bool waits = has_new(out);
    for (size_t i = 0; i < out->lane_count && !waits; i++) {
        waits = out->lanes[i].rest.len > 0 && !out->lanes[i].running;
    }
    return waits;
}

/* False: nothing was started. */
static bool start_lanes(struct gelf_http *out, int64_t now_ms) {
    bool started = false;
    for (size_t i = 0; i < out->lane_count && may_start(out, now_ms); i++) {
        struct lane *lane = &out->lanes[out->next_lane];
        out->next_lane = (out->next_lane + 1) % out->lane_count;
        if (lane->running) {
            continue;
        }
        if (lane->rest.len == 0 && has_new(out)) {
            take_piece(out, lane);
        }
        if (lane->rest.len > 0) {
            start(out, lane);
            started = true;
        }
    }
    return started;
}

static int gelf_http_turn(void *handle, int64_t now_ms, struct err *err) {
    struct gelf_http *out = handle;
    for (int round = 0; round < TURN_ROUNDS; round++) {
        http_turn(out->http);
        take_replies(out, now_ms);
        if (!start_lanes(out, now_ms)) {
            break;
        }
    }
    if (out->has_news) {
        out->has_news = false;
        *err = out->err;
        return -1;
    }
    return 0;
}

static int gelf_http_poll_fds(void *handle, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    const struct gelf_http *out = handle;
    *fds = (struct pollfd){.fd = http_fd(out->http), .events = POLLIN};
    if (out->running < (out->in_trouble ? 1 : out->lane_count) && has_waiting(out)) {
        output_wait_until(out->retry_ms, now_ms, wait_ms);
    }
    return 1;
}

/* Nothing lingers. */
static void gelf_http_confirm(void *handle, int64_t now_ms) {
    (void)handle;
    (void)now_ms;
}

/* A request that is broken off is no whole request for its receiver. */
static bool gelf_http_drop(void *handle, uint64_t number) {
    struct gelf_http *out = handle;
    for (size_t i = 0; i < out->lane_count; i++) {
        struct lane *lane = &out->lanes[i];
        if (lane->rest.len > 0 && lane->parcel <= number) {
            http_call_release(lane->call);
            out->running -= lane->running;
            lane->running = false;
            lane->rest.len = 0;
        }
    }
    if (out->reading <= number) {
        out->reading = number + 1;
        out->offset = 0;
    }
    while (out->parcels.delivered < number) {
        const struct left *left = left_of(out, out->parcels.delivered + 1);
        parcels_deliver(&out->parcels, out->parcels.delivered + 1);
        out->parcels.counts.delivered_messages -= left->messages;
        out->parcels.counts.dropped_messages += left->messages;
    }
    deliver(out);
    return true;
}

static uint64_t gelf_http_delivered(void *handle) {
    const struct gelf_http *out = handle;
    return out->parcels.delivered;
}

static const struct output_counts *gelf_http_counts(const void *handle) {
    const struct gelf_http *out = handle;
    return &out->parcels.counts;
}

static void gelf_http_describe(void *handle, int64_t now_ms, struct buf *text) {
    const struct gelf_http *out = handle;
    size_t waiting = 0;
    for (size_t i = 0; i < out->lane_count; i++) {
        waiting += out->lanes[i].rest.len > 0 && !out->lanes[i].running;
    }
    buf_printf(text, "gelf_http %s: %zu of %zu requests on their way", out->conf->shown,
               out->running, out->lane_count);
    if (waiting > 0) {
        buf_printf(text, ", %zu to be sent again", waiting);
    }
    if (out->in_trouble) {
        buf_printf(text, ", in trouble, next attempt in %jd ms",
                   (intmax_t)(out->retry_ms > now_ms ? out->retry_ms - now_ms : 0));
    }
    if (out->body_max < (size_t)out->conf->max_body_bytes) {
        buf_printf(text, ", bodies of at most %zu bytes as larger ones were refused",
                   out->body_max);
    }
    if (out->parcels.counts.dropped_messages > 0) {
        buf_printf(text, ", %ju messages given up",
                   (uintmax_t)out->parcels.counts.dropped_messages);
    }
    buf_printf(text, ", %ju parcels not delivered, level received\n",
               (uintmax_t)(out->parcels.last - out->parcels.delivered));
}

const struct output_type output_gelf_http_type = {
    .name = "gelf_http",
    .help = "GELF messages by POST to an HTTP input; delivered when it has answered 2xx",
    .options = gelf_http_options,
    .conf_size = sizeof(struct gelf_http_conf),
    .encoder = &gelf_encoder,
    .end = {"\n", 1},
    .init = gelf_http_conf_init,
    .done = gelf_http_conf_done,
    .check = gelf_http_conf_check,
    .ring_bytes = output_ring_bytes,
    .open = gelf_http_open,
    .takes = gelf_http_takes,
    .send = gelf_http_send,
    .drop = gelf_http_drop,
    .turn = gelf_http_turn,
    .poll_fds = gelf_http_poll_fds,
    .confirm = gelf_http_confirm,
    .delivered = gelf_http_delivered,
    .counts = gelf_http_counts,
    .describe = gelf_http_describe,
    .close = gelf_http_close,
};
