/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets for those who must never wait: names are looked up by a thread of this file, connecting
 * goes on by itself, and all descriptors are non-blocking and close-on-exec. Also what TCP on Linux
 * tells of a connection beyond POSIX: how much the peer has not acknowledged yet. Knows nothing of
 * what goes over a socket.
 */
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/err.h"

enum { NET_ADDRESSES_MAX = 8, NET_TEXT_MAX = 64 };

struct net_address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
    socklen_t len;
};

/* What a name stands for, in the order in which the system would try the addresses. */
struct net_answer {
    struct net_address addresses[NET_ADDRESSES_MAX];
    size_t count; /* at least 1 in an answer */
};

struct net_lookup;

/*
 * A question that can be asked again and again: which addresses has `host` (a name or an address;
 * copied), to be used with `port` and SOCK_STREAM or SOCK_DGRAM. Belongs to one thread.
 */
struct net_lookup *net_lookup_open(const char *host, uint16_t port, int socktype);

/* Asks. Returns at once; asking while an answer is under way does nothing. */
void net_lookup_start(struct net_lookup *lookup);

/* Readable (POLLIN) from when an answer is there until net_lookup_poll has taken it. */
int net_lookup_fd(const struct net_lookup *lookup);

/* 1: *answer is filled; 0: not yet, or nothing was asked; -1: the name cannot be resolved now
   (ERR_RETRY). After 1 and -1 it may be asked again. Never blocks. */
int net_lookup_poll(struct net_lookup *lookup, struct net_answer *answer, struct err *err);

/* Gives the question up, answered or not, without waiting. NULL is fine. */
void net_lookup_close(struct net_lookup *lookup);

/* Begins a TCP connection and returns its descriptor, or -1 with ERR_RETRY. POLLOUT tells when
   net_connected is worth asking. */
int net_connect(const struct net_address *address, struct err *err);

/* 1: connected; 0: still under way; -1: it failed (ERR_RETRY), the descriptor is to be closed. */
int net_connected(int fd, struct err *err);

/* A datagram socket whose peer is `address`; -1 with ERR_RETRY. */
int net_connect_datagram(const struct net_address *address, struct err *err);

/*
 * Settings of a connection that only sends: no delay, TCP_USER_TIMEOUT of `dead_after_ms` (it holds
 * for unacknowledged bytes and, on Linux, for a closed window), and keepalive, by which a host that
 * vanished is found in less than half of that where nothing is unacknowledged and
 * net_trust_keepalive was called. 0, or -1 with ERR_RETRY.
 */
int net_set_sender(int fd, int64_t dead_after_ms, struct err *err);

/* From now on keepalive alone decides whether the peer lives: Linux would else wait for the whole
   TCP_USER_TIMEOUT. For when all is acknowledged and only the peer's FIN is to come. */
void net_trust_keepalive(int fd);

/* Bytes written that the peer's TCP has not acknowledged (SIOCOUTQ), our own FIN counting as one
   once it is queued; -1 when the kernel does not say. */
int64_t net_unacknowledged(int fd);

/* The error pending on a socket (which is then cleared), 0 for none. */
int net_pending_error(int fd);

/* Whether the peer's FIN surely came before ours. To be asked right after our own shutdown(2), as
   it cannot be told any more once the peer has acknowledged that. */
bool net_peer_closed_first(int fd);

enum net_drained { NET_OPEN, NET_FIN, NET_LOST };

/* Reads what the peer sent and throws it away, some of it if there is very much. NET_LOST leaves
   the reason in errno. */
enum net_drained net_drain(int fd);

/* "192.0.2.1:12201", "[2001:db8::1]:12201" into out[NET_TEXT_MAX], terminated; returns out. */
const char *net_format(const struct net_address *address, char *out);

/* For `check --online`: resolves and connects, waiting at most timeout_ms for each address (the
   resolver has its own limits). 0 with the address that worked, or -1 with ERR_RETRY. */
int net_try(const char *host, uint16_t port, int socktype, int timeout_ms,
            struct net_address *address, struct err *err);
