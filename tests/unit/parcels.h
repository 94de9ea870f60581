/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parcels for tests of outputs, and the core's part of the contract: memory that stays until the
 * parcel is delivered. Message n is the text of n in eight digits and padding, so that a receiver
 * can tell which ones it has got.
 */
#pragma once

#include <check.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "core/output.h"

enum { SHIPMENT_PARCELS_MAX = 4096, SHIPMENT_RING_BYTES = SHIPMENT_PARCELS_MAX * 512 };

struct shipment {
    const struct output_type *type;
    void *handle;
    struct parcel parcels[SHIPMENT_PARCELS_MAX + 1]; /* by number */
    uint64_t last;                                   /* parcel */
    size_t messages;
    int64_t skipped_ms; /* added to the clock */
    struct err err;     /* of the last turn that failed */
    int failures;
};

static inline void shipment_open(struct shipment *shipment, const struct output_type *type,
                                 void *conf, struct dead_letter *dead) {
    struct output_place place = {.sharers = 1, .ring_bytes = SHIPMENT_RING_BYTES, .dead = dead};
    *shipment = (struct shipment){.type = type};
    ck_assert_int_eq(type->open(conf, &place, &shipment->handle, &shipment->err), 0);
}

static inline void shipment_close(struct shipment *shipment) {
    shipment->type->close(shipment->handle);
    for (uint64_t i = 1; i <= shipment->last; i++) {
        free((char *)shipment->parcels[i].bytes.p);
    }
}

/* Hands over bytes as they are. */
static inline void shipment_send_bytes(struct shipment *shipment, struct span bytes,
                                       size_t messages) {
    ck_assert_uint_lt(shipment->last, SHIPMENT_PARCELS_MAX);
    char *copy = xmalloc(bytes.len);
    memcpy(copy, bytes.p, bytes.len);
    struct parcel *parcel = &shipment->parcels[++shipment->last];
    *parcel = (struct parcel){.number = shipment->last,
                              .batch = shipment->last,
                              .messages = messages,
                              .bytes = span_of(copy, bytes.len)};
    shipment->type->send(shipment->handle, parcel);
}

/* Hands over a parcel of `count` messages of `size_bytes` (at least 9) each, its end included. */
static inline void shipment_send(struct shipment *shipment, size_t count, size_t size_bytes) {
    size_t len = count * size_bytes;
    char *bytes = xmalloc(len + 1);
    memset(bytes, 'x', len);
    for (size_t i = 0; i < count; i++) {
        char *message = bytes + i * size_bytes;
        snprintf(message, 9, "%08zu", shipment->messages++);
        message[8] = 'x';
        message[size_bytes - 1] = shipment->type->end.p[0];
    }
    shipment_send_bytes(shipment, span_of(bytes, len), count);
    free(bytes);
}

static inline int64_t shipment_now_ms(const struct shipment *shipment) {
    return clock_monotonic_ms() + shipment->skipped_ms;
}

static inline uint64_t shipment_delivered(const struct shipment *shipment) {
    return shipment->type->delivered(shipment->handle);
}

/* A turn, and the wait behind it (at most max_wait_ms). */
static inline void shipment_turn(struct shipment *shipment, int max_wait_ms) {
    struct pollfd fds[OUTPUT_POLL_MAX];
    int wait_ms = max_wait_ms;
    struct err err;
    if (shipment->type->turn(shipment->handle, shipment_now_ms(shipment), &err) != 0) {
        shipment->err = err;
        shipment->failures++;
    }
    int count =
        shipment->type->poll_fds(shipment->handle, shipment_now_ms(shipment), fds, &wait_ms);
    ck_assert_int_le(count, OUTPUT_POLL_MAX);
    poll(fds, (nfds_t)count, wait_ms);
}

static inline const char *shipment_describe(struct shipment *shipment, struct buf *out) {
    buf_clear(out);
    shipment->type->describe(shipment->handle, shipment_now_ms(shipment), out);
    return buf_cstr(out);
}
