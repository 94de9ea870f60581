/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Getting a connected socket to a target without ever waiting: the name is resolved anew for each
 * attempt, its addresses are tried one after the other, with TLS up to the end of the handshake,
 * and after a failure the next attempt waits by core/backoff. Used by outputs over TCP; what becomes
 * of the socket is theirs.
 */
#pragma once

#include <poll.h>
#include <stdint.h>

#include "base/err.h"
#include "base/tls.h"
#include "config/option.h"

struct dial;

/* For one target; `target` and `tls` (NULL: none is spoken) outlive it, and it outlives the
   connections that it gave. */
struct dial *dial_open(const struct hostport *target, struct tls_client *tls);
void dial_close(struct dial *dial);

/*
 * Goes on with connecting, which it begins when the time for it has come. 1: connected, *fd and
 * *tls (NULL where none is spoken) are the caller's; 0: under way; -1: an attempt failed (ERR_RETRY,
 * the text names the target), it will go on by itself.
 */
int dial_turn(struct dial *dial, int64_t now_ms, int *fd, struct tls **tls, struct err *err);

/* What to wait for: fills at most one entry, returns how many, lowers *wait_ms. */
int dial_poll(const struct dial *dial, int64_t now_ms, struct pollfd *fds, int *wait_ms);

/* The connection that it gave was lost: the next attempt waits, for the first step of the back-off
   when that connection had worked. */
void dial_lost(struct dial *dial, bool worked, int64_t now_ms);

/* One of "resolving", "connecting", "in the TLS handshake", "waiting to connect again", "not connected". */
const char *dial_state(const struct dial *dial, int64_t now_ms);
