/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP connection that carries parcels, from connected to closed: writing, watching what the
 * peer acknowledges and answers, ending it by a half-close. Used by gelf_tcp, which decides when;
 * what counts as delivered is decided in output/confirm.
 *
 * With TLS a parcel ends where the record ends in which its last byte stands; bytes are counted as
 * they go over the wire. The kernel may take less than a record: then base/tls keeps the rest, and
 * the parcels in it are begun.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/tls.h"
#include "core/output.h"
#include "output/confirm.h"

enum tcp_link_state {
    TCP_LINK_NONE,
    TCP_LINK_OPEN,
    TCP_LINK_ENDING,      /* the parcel begun is written to its end, then comes the half-close */
    TCP_LINK_HALF_CLOSED, /* until the peer's FIN */
};

enum tcp_link_event {
    TCP_LINK_FINE,
    TCP_LINK_ANSWERED, /* the peer's FIN behind our half-close: all is delivered, close it */
    TCP_LINK_LOST,     /* close it and send again what is not delivered; *err says why */
    TCP_LINK_RESET,    /* the same, by a reset from the peer */
};

enum { TCP_LINK_PARCELS_MAX = 16 };

struct tcp_link {
    enum tcp_link_state state;
    int fd;
    struct tls *tls;  /* NULL: none */
    int error;        /* errno of a write that failed, for the next watch */
    struct span rest; /* of the parcel begun: what neither the kernel nor TLS has taken yet */
    bool kept;        /* TLS keeps a record that the kernel has not taken as a whole */
    size_t kept_ends; /* parcels whose last byte stands in it */
    bool saying_end;  /* the kernel has not taken the close_notify */
    bool refused;     /* lost by an alert: it will not be better at once */
    struct confirm confirm;
};

/* Takes over a connected descriptor and what speaks TLS on it (NULL: nothing does); `entries` as
   for confirm_init. */
void tcp_link_open(struct tcp_link *link, int fd, struct tls *tls, struct confirm_entry *entries,
                   size_t capacity);

/*
 * Writes the rest of the parcel begun and then, if the link is open, up to `count` (at most
 * TCP_LINK_PARCELS_MAX) further ones, by one system call or, with TLS, one for each full record.
 * Returns how many of these are begun; when fewer than `count`, or the link is behind, the kernel
 * takes no more now.
 */
size_t tcp_link_write(struct tcp_link *link, const struct parcel *const *parcels, size_t count);

/* Whether something of the parcels begun is not with the kernel yet. */
static inline bool tcp_link_is_behind(const struct tcp_link *link) {
    return link->rest.len > 0 || link->kept;
}

/* No further parcels: tcp_link_watch half-closes as soon as what is begun is written. */
void tcp_link_end(struct tcp_link *link);

/* Reads and throws away what the peer sends, asks what it acknowledged, half-closes when that is
   due, and says what became of the connection. */
enum tcp_link_event tcp_link_watch(struct tcp_link *link, struct confirm_peer *peer, int64_t now_ms,
                                   struct err *err);

/* Closes the descriptor; the chain of parcels stays for confirm_drop. */
void tcp_link_close(struct tcp_link *link);
