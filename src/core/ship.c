/* SPDX-License-Identifier: Apache-2.0 */
/* See ship.h. */
#include "core/ship.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/xalloc.h"

size_t ship_ring_bytes(const struct output_use *use, size_t parcel_bytes) {
    size_t bytes = use->type->ring_bytes(use->conf);
    /* Two parcels are lost at most to the circle's end and to the rule that head never meets
       tail. */
    size_t least = 4 * parcel_bytes;
    return bytes > least ? bytes : least;
}

int ship_open(struct ship *ship, const struct output_use *use, const struct output_place *place,
              size_t style, size_t parcel_bytes, struct err *err) {
    *ship = (struct ship){.use = use, .parcel_bytes = parcel_bytes, .first = 1, .next = 1};
    if (use->type->open(use->conf, place, &ship->handle, err) != 0) {
        return err_wrap(err, "output %s", use->type->name);
    }
    ship->encoder = use->type->encoder->open(&use->messages, style, use->type->end);
    ship->ring_bytes = ship_ring_bytes(use, parcel_bytes);
    ship->ring = mmap(NULL, ship->ring_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ship->ring == MAP_FAILED) {
        abort();
    }
    ship->parcels_max = output_parcels_max(ship->ring_bytes);
    ship->parcels = xcalloc(ship->parcels_max, sizeof(*ship->parcels));
    return 0;
}

void ship_close(struct ship *ship) {
    if (ship->ring) {
        ship->use->type->close(ship->handle);
        ship->use->type->encoder->close(ship->encoder);
        munmap(ship->ring, ship->ring_bytes);
        free(ship->parcels);
        *ship = (struct ship){0};
    }
}

static struct parcel *parcel_at(const struct ship *ship, uint64_t number) {
    return &ship->parcels[number % ship->parcels_max];
}

/* Finds a place for a parcel: *at is where it begins. Head never meets tail while parcels are out,
   so equal means empty. */
static bool find_room(const struct ship *ship, size_t *at) {
    *at = ship->head;
    if (ship->next - ship->first == ship->parcels_max) {
        return false;
    }
    if (ship->first == ship->next) {
        *at = 0;
        return true;
    }
    size_t tail = (size_t)(parcel_at(ship, ship->first)->bytes.p - ship->ring);
    if (ship->head < tail) {
        return tail - ship->head > ship->parcel_bytes;
    }
    if (ship->ring_bytes - ship->head >= ship->parcel_bytes) {
        return true;
    }
    *at = 0;
    return tail > ship->parcel_bytes;
}

bool ship_has_room(const struct ship *ship) {
    size_t at;
    return ship->open.data || (!ship->shut && find_room(ship, &at));
}

static bool begin_parcel(struct ship *ship) {
    size_t at;
    if (ship->shut || !find_room(ship, &at)) {
        return false;
    }
    ship->head = at;
    ship->open_messages = 0;
    buf_over(&ship->open, ship->ring + at, ship->parcel_bytes);
    return true;
}

static void send_parcel(struct ship *ship, uint64_t batch) {
    struct parcel *parcel = parcel_at(ship, ship->next);
    *parcel = (struct parcel){
        .number = ship->next++,
        .batch = batch,
        .messages = ship->open_messages,
        .bytes = buf_span(&ship->open),
    };
    ship->head += ship->open.len;
    ship->messages += ship->open_messages;
    ship->open.data = NULL;
    ship->use->type->send(ship->handle, parcel);
}

/* The message from `start` on is encoded: it stays in the parcel unless the output refuses it. */
static enum ship_result take_message(struct ship *ship, size_t start) {
    const struct output_type *type = ship->use->type;
    if (type->takes && !type->takes(ship->handle, span_skip(buf_span(&ship->open), start))) {
        ship->open.len = start;
        return SHIP_TOO_LARGE;
    }
    ship->open_messages++;
    return SHIP_TAKEN;
}

enum ship_result ship_flow(struct ship *ship, uint64_t batch, const struct flow *flow) {
    if (!ship->open.data && !begin_parcel(ship)) {
        return SHIP_FULL;
    }
    const struct encoder_type *encoder = ship->use->type->encoder;
    size_t start = ship->open.len;
    if (encoder->encode(ship->encoder, flow, &ship->open) == 0) {
        return take_message(ship, start);
    }
    ship->open.overflow = false;
    if (ship->open.len == 0) {
        return SHIP_TOO_LARGE;
    }
    send_parcel(ship, batch);
    return ship_flow(ship, batch, flow);
}

void ship_batch_end(struct ship *ship, uint64_t batch) {
    if (ship->open.data && ship->open.len > 0) {
        send_parcel(ship, batch);
    }
    ship->open.data = NULL;
    ship->closed_batch = batch;
}

void ship_abandon(struct ship *ship) {
    ship->open.data = NULL;
}

int ship_turn(struct ship *ship, int64_t now_ms, struct err *err) {
    int result = ship->use->type->turn(ship->handle, now_ms, err);
    ship->first = ship->use->type->delivered(ship->handle) + 1;
    ship->turned_ms = now_ms;
    ship->shut = false;
    return result;
}

/* Takes the oldest parcels away from the output, one by one, until one can be begun. */
static bool drop_oldest(struct ship *ship) {
    const struct output_type *type = ship->use->type;
    while (type->drop && !ship_is_empty(ship) && type->drop(ship->handle, ship->first)) {
        ship->first++;
        if (ship_has_room(ship)) {
            return true;
        }
    }
    return false;
}

bool ship_squeeze(struct ship *ship, int64_t now_ms, struct err *err) {
    err->text[0] = '\0';
    if (now_ms != ship->turned_ms && ship_turn(ship, now_ms, err) == 0) {
        err->text[0] = '\0';
    }
    if (ship_has_room(ship) || (!ship->shut && drop_oldest(ship))) {
        return true;
    }
    ship->shut = true;
    ship->dropped++;
    return false;
}

uint64_t ship_delivered(const struct ship *ship) {
    return ship_is_empty(ship) ? ship->closed_batch : parcel_at(ship, ship->first)->batch - 1;
}

bool ship_is_empty(const struct ship *ship) {
    return ship->first == ship->next;
}

void ship_give_up(struct ship *ship) {
    for (; !ship_is_empty(ship); ship->first++) {
        ship->dropped += parcel_at(ship, ship->first)->messages;
    }
}

void ship_gather(const struct ship *ship, struct stats *stats) {
    const struct output_counts *counts = ship->use->type->counts(ship->handle);
    uint64_t *counter = stats->counter;
    counter[COUNTER_MESSAGES] += counts->messages;
    counter[COUNTER_MESSAGE_BYTES] += counts->bytes;
    counter[COUNTER_DELIVERED] += counts->delivered_messages;
    counter[COUNTER_RESENT] += counts->resent_messages;
    counter[COUNTER_CONNECTS] += counts->connects;
    counter[COUNTER_CONNECTIONS_LOST] += counts->connections_lost;
    counter[COUNTER_DATAGRAMS] += counts->datagrams;
    counter[COUNTER_DATAGRAMS_REFUSED] += counts->datagrams_refused;
    counter[COUNTER_DROPPED] += counts->dropped_messages + ship->dropped;
    counter[COUNTER_FILTERED] += ship->filtered;
}

void ship_describe(const struct ship *ship, int worker, size_t number, int64_t now_ms,
                   struct buf *out) {
    const struct output_type *type = ship->use->type;
    buf_printf(out, "worker %d: ", worker);
    type->describe(ship->handle, now_ms, out);
    if (ship->use->filter) {
        buf_printf(out, "worker %d: outputs[%zu].%s: %ju messages kept back by its filter\n",
                   worker, number, type->name, (uintmax_t)ship->filtered);
    }
    if (ship->use->optional) {
        buf_printf(out, "worker %d: outputs[%zu].%s: not required, %ju messages dropped\n", worker,
                   number, type->name,
                   (uintmax_t)(type->counts(ship->handle)->dropped_messages + ship->dropped));
    }
}
