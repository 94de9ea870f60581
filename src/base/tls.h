/* SPDX-License-Identifier: Apache-2.0 */
/*
 * TLS over a connected socket for those who must never wait, by OpenSSL: the handshake goes on a
 * step at a time, records are written until the kernel takes no more, and what the peer sends is
 * thrown away. A client (struct tls_client) is the settings with their files read; a connection
 * (struct tls) is made from it. Both belong to one thread. Knows nothing of what is sent.
 *
 * SIGPIPE must be ignored. We take memory when a connection is made and none while it is used;
 * OpenSSL takes and gives back a little with each record.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/net.h"
#include "base/span.h"

enum { TLS_RECORD_MAX = 16384 }; /* bytes in one record: RFC 8446, 5.1 */

enum tls_version { TLS_AT_LEAST_1_2, TLS_AT_LEAST_1_3 };

/* Texts are NULL when not given. Files are PEM. */
struct tls_settings {
    char *ca;         /* who may sign the peer's certificate; NULL: whom the system trusts */
    char *cert, *key; /* our own certificate with those that lead to its authority; both or none */
    char *key_password; /* of the key */
    char *server_name;  /* name or address that must stand in the peer's certificate; NULL: host */
    bool verify;
    int min_version; /* enum tls_version */
};

struct tls_client;
struct tls;

/* What a target left for the next connection to it, which is then made with less work; in TLS 1.3
   for one connection, which brings another. One per target; zeros are a valid start; outlives all connections that were opened with it. */
struct tls_ticket {
    struct ssl_session_st *session;
    uint64_t version; /* of the client's files */
};

void tls_ticket_done(struct tls_ticket *ticket);

/* Reads the files; ERR_CONFIG names the file and what is wrong with it. `settings` outlive it. May
   wait for the disk. */
int tls_client_open(const struct tls_settings *settings, struct tls_client **out, struct err *err);

/* All connections are closed before. NULL is fine. */
void tls_client_close(struct tls_client *client);

/*
 * Reads the files again when one of them changed: 1: connections from now on use the new ones; 0:
 * none changed; -1: one is broken and those read before stay in use, told once per change. Looks at
 * the files' marks, and waits for the disk only when one changed.
 */
int tls_client_refresh(struct tls_client *client, struct err *err);

/* One line about our own certificate, without its end: "certificate SUBJECT, 29 days left (until
   2026-12-20)", or "no certificate of our own". */
void tls_client_describe(const struct tls_client *client, struct buf *out);

/* A connection over a connected non-blocking socket, which stays the caller's; `host` (copied) is
   the target as a person wrote it. Does nothing on the socket yet. */
struct tls *tls_open(struct tls_client *client, int fd, const char *host,
                     struct tls_ticket *ticket);

/* Gives it back without a word to the peer. NULL is fine. */
void tls_close(struct tls *tls);

/*
 * A step of the handshake. 1: done; 0: under way, worth calling again when the socket has what
 * tls_wants says (POLLIN or POLLOUT); -1: it failed (ERR_RETRY); the text names the remedy where
 * one is known.
 */
int tls_handshake(struct tls *tls, struct err *err);
short tls_wants(const struct tls *tls);

/* Whether the handshake was shortened by a ticket. */
bool tls_is_resumed(const struct tls *tls);

/* "TLSv1.3". */
const char *tls_version_name(const struct tls *tls);

/* Protocol, cipher, the peer's certificate: subject, issuer, days left. No end of line. */
void tls_describe(const struct tls *tls, struct buf *out);

/*
 * Writes `bytes` (1 to TLS_RECORD_MAX) as one record. 1: the kernel took it; 0: it took a part or
 * nothing, and tls_push must take the rest of it before anything else is written (the bytes are not
 * needed any more); -1: the connection is lost (ERR_RETRY, err->sys as errno said).
 */
int tls_write(struct tls *tls, struct span bytes, struct err *err);
int tls_push(struct tls *tls, struct err *err);

/* Bytes that the kernel took since the handshake, as they went over the wire. */
uint64_t tls_written(const struct tls *tls);

/*
 * Reads what the peer sent and throws it away, as net_drain. NET_LOST: err->sys is errno of a
 * broken connection, 0 when TLS is the reason (an alert). NET_FIN: the peer's FIN, or its
 * close_notify before ours; behind ours only the FIN counts.
 */
enum net_drained tls_drain(struct tls *tls, struct err *err);

/* Says that nothing more comes (close_notify), in one segment with the FIN, which must follow at
   once, so that no answer can come before it. 1: said; 0: again when the kernel takes more; -1. */
int tls_end(struct tls *tls, struct err *err);
