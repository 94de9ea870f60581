/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One output of one worker: the ring with its parcels that are not yet delivered, the encoder that
 * writes into it, and the output's handle that sends from it. Nothing is copied in between.
 *
 * The ring is a circle of bytes. A parcel is begun where a whole parcel_size stands free in one
 * piece and takes only what was written, so small batches use little. The ring is full when that is
 * not to be had, or when output_parcels_max parcels are out.
 *
 * A full ring of a required output stops reading. One that is not required drops instead: its
 * oldest parcels, where the output can give them up (output_type.drop), else the messages that find
 * no room, up to its next turn, which it gets at once and then every millisecond. Only whole
 * messages are ever dropped, and each is counted.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/output.h"
#include "core/settings.h"
#include "core/stats.h"

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
    int64_t turned_ms;     /* when the output had its last turn */
    bool shut;             /* not required, and full: what comes is dropped up to the next turn */
    uint64_t dropped;      /* messages that found no room */
    uint64_t filtered;     /* messages that its filter kept back; counted by the worker */
};

enum ship_result {
    SHIP_TAKEN,
    SHIP_FULL,      /* no room in the ring: wait (ship_squeeze: if it is not required) */
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

/*
 * For an output that is not required and is full: makes room for a parcel, by a turn of the output
 * if it had none in this millisecond, else by dropping the oldest. False: there is none, and the
 * message that needs it is counted as dropped. *err is set as by ship_turn, and err->text empty
 * without a turn that failed.
 */
bool ship_squeeze(struct ship *ship, int64_t now_ms, struct err *err);

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

/* Adds what the output and its ring did to the counters. */
void ship_gather(const struct ship *ship, struct stats *stats);

/* Lines on its state, for people, each behind "worker <worker>: "; `number` is its place in
   `outputs`. */
void ship_describe(const struct ship *ship, int worker, size_t number, int64_t now_ms,
                   struct buf *out);

/* At the end, for an output that is not required: what it has not delivered counts as dropped, as
   positions behind it are committed. The handle is only to be closed then. */
void ship_give_up(struct ship *ship);
