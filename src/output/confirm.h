/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When bytes that went over a TCP connection count as read by the receiving program: the state of
 * one connection (struct confirm) and what is known of the peer's manners (struct confirm_peer).
 * Called by gelf_tcp, which owns the sockets. Pure: times and numbers of bytes are arguments, there
 * is no clock and no socket in here.
 *
 * Acknowledged bytes lie in the peer's receive buffer and die with it. Reading is proved by
 * peer_buffer further bytes acknowledged on the same connection, as they did not fit beside unread
 * ones, or by the peer's FIN in answer to ours, which a program sends only at end of input.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct confirm_policy {
    uint64_t peer_buffer_bytes;
    int64_t confirm_after_ms, settle_delay_ms, dead_after_ms;
};

/* What counts as delivery: reading, or (for a peer that never proves it) acknowledgement. */
enum confirm_level { CONFIRM_READ, CONFIRM_ACKNOWLEDGED };

enum { CONFIRM_RESETS_MAX = 3 };

/* Zeros are a valid start. */
struct confirm_peer {
    enum confirm_level level;
    bool answered;         /* it answered a half-close with FIN at least once */
    int resets;            /* half-closes in a row that it answered with a reset */
    int64_t last_reset_ms; /* when the last of them came */
};

/* The end of a parcel that is not written to its end. */
#define CONFIRM_OPEN UINT64_MAX

/* A parcel on its way. Entries of all connections of a handle stand in one array, that of number n
   at n % capacity; a connection chains its own. */
struct confirm_entry {
    uint64_t end; /* bytes written on its connection up to its end; CONFIRM_OPEN: not there yet */
    int64_t acked_ms; /* when it was seen to be acknowledged as a whole */
    uint64_t next;    /* number of the parcel behind it on its connection, 0: none */
};

struct confirm {
    struct confirm_entry *entries;
    size_t capacity;
    uint64_t first, last; /* numbers, in the order of writing; 0: none */
    uint64_t unacked;     /* number of the first that is not acknowledged; 0: none */
    uint64_t open;        /* number of the first that is not written to its end; 0: none */
    size_t count;
    uint64_t written; /* bytes that the kernel took, as they go over the wire */
    uint64_t acked;   /* of these, acknowledged by the peer's TCP */
    bool half_closed, fin_acked, answered;
    int64_t half_closed_ms, fin_acked_ms;
};

/* A new connection; the array stays the caller's. */
void confirm_init(struct confirm *confirm, struct confirm_entry *entries, size_t capacity);

/* A parcel is begun on this connection. */
void confirm_begin(struct confirm *confirm, uint64_t number);

/* The kernel took bytes: of a parcel begun, or of what stands around it on the wire. */
void confirm_wrote(struct confirm *confirm, size_t size_bytes);

/* The oldest parcel that was not written to its end now is: the last byte that the kernel took is
   its last, or stands behind that. */
void confirm_end(struct confirm *confirm);

/* We half-closed: nothing is written from here on, and all parcels begun are written. */
void confirm_half_close(struct confirm *confirm, int64_t now_ms);

/* What the kernel says is unacknowledged: bytes, and our FIN as one more when half-closed. */
void confirm_unacknowledged(struct confirm *confirm, uint64_t bytes, int64_t now_ms);

/* The peer's FIN came and nothing is unacknowledged. True when it is an answer (it came behind our
   half-close): all is delivered. False: the connection is lost. */
bool confirm_fin(struct confirm *confirm, struct confirm_peer *peer);

/* Takes the oldest parcel off the connection if it is delivered; false: it is not, or there is
   none. */
bool confirm_take(struct confirm *confirm, const struct confirm_policy *policy,
                  const struct confirm_peer *peer, int64_t now_ms, uint64_t *number);

/* Takes the oldest parcel off, delivered or not: the connection is lost. False: none is left. */
bool confirm_drop(struct confirm *confirm, uint64_t *number);

/* Whether the oldest parcel has been acknowledged, and not delivered, for confirm_after. */
bool confirm_is_due(const struct confirm *confirm, const struct confirm_policy *policy,
                    int64_t now_ms);

/* Whether acknowledgements that are still to come would deliver something. */
bool confirm_is_expecting(const struct confirm *confirm, const struct confirm_policy *policy);

/* Whether the peer's TCP acknowledged our FIN and its program has not answered for dead_after. */
bool confirm_is_unanswered(const struct confirm *confirm, const struct confirm_policy *policy,
                           int64_t now_ms);

/*
 * The peer did not prove reading: it left a half-close unanswered, or answered it with a reset
 * (several resets at once, of connections that were half-closed before the first of them, are one:
 * a receiver that was killed). True when it is from now on taken at level CONFIRM_ACKNOWLEDGED,
 * which is worth a word to people.
 */
bool confirm_peer_silent(struct confirm_peer *peer);
bool confirm_peer_reset(struct confirm_peer *peer, int64_t half_closed_ms, int64_t now_ms);
