/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What outputs have in common: checks of settings, the parcels handed to a handle, and counts. A
 * handle keeps its undelivered parcels in a struct parcels whose size is that of the ring, so that
 * taking one over never allocates and never fails.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "core/output.h"

/* Ring of an output that needs no room for a peer's buffer. */
enum { OUTPUT_RING_BYTES = 8 << 20 };

/* The part of output_type.init of outputs that send GELF over the network: exactly one target for
   now, and messages for which GELF has a form. */
void output_init_gelf(const struct output_common *common, const struct hostport_list *hosts,
                      const struct message_conf *messages, struct option_context *context,
                      const struct yaml_node *node, const char *path);

/* The part of output_type.check for one target: says it, and online resolves and connects. */
int output_check_host(const struct hostport *target, int socktype, bool online, struct buf *report,
                      struct err *err);

/* output_type.ring_bytes of such an output. */
size_t output_ring_bytes(const void *conf);

/* Undelivered parcels by number, and the counts that come from handing over and delivering. */
struct parcels {
    const struct parcel **items; /* number n stands at n % capacity */
    size_t capacity;
    uint64_t delivered; /* highest number such that it and all before it are delivered */
    uint64_t last;      /* highest number handed over */
    struct output_counts counts;
};

void parcels_init(struct parcels *parcels, size_t ring_bytes);
void parcels_done(struct parcels *parcels);

/* Takes one over; its number is one more than the last. */
void parcels_add(struct parcels *parcels, const struct parcel *parcel);

/* All up to `number` are delivered. */
void parcels_deliver(struct parcels *parcels, uint64_t number);

static inline const struct parcel *parcels_at(const struct parcels *parcels, uint64_t number) {
    return parcels->items[number % parcels->capacity];
}

/* Lowers *wait_ms to the time until `until_ms`. */
static inline void output_wait_until(int64_t until_ms, int64_t now_ms, int *wait_ms) {
    int64_t left_ms = until_ms > now_ms ? until_ms - now_ms : 0;
    if (left_ms < *wait_ms) {
        *wait_ms = (int)left_ms;
    }
}
