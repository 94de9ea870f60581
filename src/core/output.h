/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of an output. The worker has each flow encoded into the output's present parcel and
 * hands over full parcels; the output says, by number, up to where parcels are delivered. The ring
 * that holds undelivered parcels belongs to the core (core/ship.h), so an output sends again from
 * it and copies nothing.
 *
 * Life of a handle, all in one worker's thread: open, then send, turn, confirm, delivered in any
 * order, then close. None of them waits, ever.
 */
#pragma once

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/option.h"
#include "core/dead_letter.h"
#include "core/dossier.h"
#include "flow/flow.h"
#include "flow/message.h"

enum { OUTPUT_POLL_MAX = 8 };

/* At most parcel_size encoded bytes of one batch for one output. */
struct parcel {
    uint64_t number; /* from 1, without gaps, per handle */
    uint64_t batch;
    size_t messages;
    struct span bytes; /* memory of the ring; stays until the parcel is delivered */
};

/* The number of undelivered parcels that a ring of so many bytes can hold. */
static inline size_t output_parcels_max(size_t ring_bytes) {
    return ring_bytes / 512;
}

/* What an output did so far; counts only grow. */
struct output_counts {
    uint64_t parcels, messages, bytes; /* handed over by send */
    uint64_t delivered_messages;
    uint64_t resent_messages; /* sent again after a lost connection */
    uint64_t connects, connections_lost;
    uint64_t datagrams, datagrams_refused, dropped_messages;
};

struct output_place {
    int sharers;              /* handles of this conf in the process: a rate is divided by it */
    size_t ring_bytes;        /* of the handle's ring: see output_parcels_max */
    struct dead_letter *dead; /* the worker's, for messages that no receiver could take */
};

/* How an output type turns flows into bytes; shared by all that write GELF or JSON lines. */
struct encoder_type {
    /* Scratch of one worker for one message style; `message` outlives it, and whatever its schema
       is, any encoder writes it (searches of filters are asked of `graylog`). `end` is what closes a
       message in a parcel: a NUL byte for GELF (datagrams are cut apart by it), "\n" for lines.
       Dossiers' fields are taken from style number `style` of a flow's sides. */
    void *(*open)(const struct message_conf *message, size_t style, struct span end);

    /*
     * Appends one message to `out`. Pure but for the handle's scratch: no clock, no I/O. Returns
     * 0, or -1 when it did not fit (out is then as before and out->overflow is set): the caller
     * ships what is there and tries with an empty parcel.
     */
    int (*encode)(void *encoder, const struct flow *flow, struct buf *out);

    /* Writes an address's fields; see core/dossier.h. conf is a struct message_conf. */
    dossier_encode encode_dossier;

    void (*close)(void *encoder);
};

/* First member of every output's conf: the settings that all outputs have. */
struct output_common {
    const struct yaml_node *messages; /* read by core/settings; NULL: as at the top level */
    char *filter;
    bool required;
};

/* Their rows, first in every output's table. */
#define OUTPUT_COMMON_OPTIONS                                                                      \
    {.name = "messages",                                                                           \
     .type = OPTION_NODE,                                                                          \
     .offset = offsetof(struct output_common, messages),                                           \
     .help = "Settings of the top-level `messages` that differ for this output"},                  \
        {.name = "filter",                                                                         \
         .type = OPTION_STRING,                                                                    \
         .offset = offsetof(struct output_common, filter),                                         \
         .sample = "\"action:REJECT\"",                                                            \
         .help = "Only messages that match this search, in Graylog's search language, are sent. "  \
                 "It is asked of the message as `schema: graylog` with the field set `all` and "   \
                 "otherwise default settings writes it, whatever this output sends."},             \
    {                                                                                              \
        .name = "required", .type = OPTION_BOOLEAN,                                                \
        .offset = offsetof(struct output_common, required), .preset = "true",                      \
        .help = "`true`: reading stops while this output does not deliver, and nothing is lost. "  \
                "`false`: positions are committed without it, and when its ring is full messages " \
                "are dropped for it, with a count. At least one output must be required."          \
    }

struct output_type {
    const char *name;
    const char *help;
    const struct option *options;
    size_t conf_size;
    const struct encoder_type *encoder;
    struct span end; /* given to encoder->open */

    /* As input_type.init and done. `messages` is what its messages will look like, for outputs
       whose receivers do not take everything. */
    void (*init)(void *conf, const struct message_conf *messages, struct option_context *context,
                 const struct yaml_node *node, const char *path);
    void (*done)(void *conf);

    /* As input_type.check. */
    int (*check)(const void *conf, bool online, struct buf *report, struct err *err);

    /* Bytes of ring that a handle needs (peer_buffer + 8 MiB for gelf_tcp, 8 MiB otherwise). */
    size_t (*ring_bytes)(const void *conf);

    /* A handle. Fails only with ERR_CONFIG or ERR_STOP; an absent peer is no failure. */
    int (*open)(void *conf, const struct output_place *place, void **handle, struct err *err);

    /* Whether a message can be sent at all, with what closes it: asked once for each as soon as it
       is encoded, as only then its flow is known. What is refused becomes a dead letter and never
       stands in a parcel. NULL: all that fit a parcel can. */
    bool (*takes)(void *handle, struct span message);

    /* Takes a parcel over; numbers follow each other. Never refuses: room is the ring's matter. The
       parcel struct itself stays valid until delivered. */
    void (*send)(void *handle, const struct parcel *parcel);

    /*
     * Only for outputs that are not required, when their ring is full: gives up the undelivered
     * parcels up to `number`, delivered or not, sent or not, so that `delivered` covers them and
     * their memory may be reused at once. What it gives up counts in dropped_messages. False, and
     * nothing is changed, while one of them has been begun and not written to its end: a receiver
     * never gets half a message followed by something else. NULL: the output cannot; the messages
     * that find no room are dropped then, and what is in the ring stays.
     */
    bool (*drop)(void *handle, uint64_t number);

    /*
     * Does what can be done now: connect, write, read acknowledgements, send again. `now_ms` is
     * monotonic. Returns 0; -1 with ERR_RETRY for trouble worth a line in the log (the output goes
     * on by itself; the worker limits the rate), ERR_STOP when it never can.
     */
    int (*turn)(void *handle, int64_t now_ms, struct err *err);

    /* What to wait for: fills at most OUTPUT_POLL_MAX entries, returns how many, and lowers
       *wait_ms to when it wants a turn in any case. */
    int (*poll_fds)(void *handle, int64_t now_ms, struct pollfd *fds, int *wait_ms);

    /* Deliver what is pending without further delay: no more parcels come for now. */
    void (*confirm)(void *handle, int64_t now_ms);

    /* The highest parcel number such that it and all before it are delivered. */
    uint64_t (*delivered)(void *handle);

    const struct output_counts *(*counts)(const void *handle);

    /* One line on the state of the connection, for people. */
    void (*describe)(void *handle, int64_t now_ms, struct buf *out);

    /* Gives everything back at once; what is not delivered then is the input's to read again. */
    void (*close)(void *handle);
};
