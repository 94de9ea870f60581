/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One output of one worker: the ring with its parcels that are not yet delivered, the encoder that
 * writes into it, and the output's handle that sends from it. Nothing is copied in between.
 *
 * The ring is a circle of bytes. A parcel is begun where a whole parcel_size stands free in one
 * piece and takes only what was written, so small batches use little. The ring is full when that is
 * not to be had, or when output_parcels_max parcels are out.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/output.h"
#include "core/settings.h"

struct ship {
    const struct output_use *use;
    void *handle, *encoder;
    char *ring;
    size_t ring_bytes, parcel_bytes;
    size_t head;            /* where the next parcel begins */
    struct parcel *parcels; /* number n stands at n % parcels_max */
    size_t parcels_max;
    uint64_t first, next; /* oldest undelivered number, next number to give */
    struct buf open;      /* the parcel in the making; open.data NULL: none */
    size_t open_messages;
    uint64_t closed_batch; /* the last batch of which all is encoded */
    uint64_t messages;     /* encoded in all */
};

enum ship_result {
    SHIP_TAKEN,
    SHIP_FULL,      /* no room in the ring: wait and try again */
    SHIP_TOO_LARGE, /* for an empty parcel or for the output: dead-letter it */
};

/* Opens handle, encoder and ring for `use`; `style` is the number of its dossier style. */
int ship_open(struct ship *ship, const struct output_use *use, const struct output_place *place,
              size_t style, size_t parcel_bytes, struct err *err);
void ship_close(struct ship *ship);

/* Bytes of ring for one worker of an output: what the output asks for, and whole parcels. */
size_t ship_ring_bytes(const struct output_use *use, size_t parcel_bytes);

/* Whether a parcel can be begun (or is): then a whole batch may be started. */
bool ship_has_room(const struct ship *ship);

/* Encodes a flow of batch `batch` into the present parcel, sending it when it is full. */
enum ship_result ship_flow(struct ship *ship, uint64_t batch, const struct flow *flow);

/* All flows of `batch` are encoded: sends what is begun. */
void ship_batch_end(struct ship *ship, uint64_t batch);

/* The batch in the making is given up: what stands in the present parcel is dropped. */
void ship_abandon(struct ship *ship);

/* A turn of the output; then takes delivered parcels out of the ring. As output_type.turn. */
int ship_turn(struct ship *ship, int64_t now_ms, struct err *err);

/* The highest batch such that it and all before it are delivered. */
uint64_t ship_delivered(const struct ship *ship);

/* Whether everything handed over is delivered. */
bool ship_is_empty(const struct ship *ship);
