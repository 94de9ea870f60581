/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small GELF receiver over TCP on a loopback port, in a thread of its own: it takes any number of
 * connections, cuts what comes at NUL bytes, and answers the end of a connection with its own, as
 * receivers do. For the demo, which is its own Graylog.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

enum { DEMO_MESSAGE_MAX = 1 << 20 };

/* Called in the receiver's thread for each message, without its NUL. */
typedef void (*demo_take)(void *context, struct span message);

struct demo_receiver;

/* Listens and starts the thread. ERR_STOP when that fails. */
int demo_receiver_open(demo_take take, void *context, struct demo_receiver **receiver,
                       struct err *err);

uint16_t demo_receiver_port(const struct demo_receiver *receiver);

/* Messages taken so far; from any thread. */
uint64_t demo_receiver_count(const struct demo_receiver *receiver);

/* Ends the thread; no message is taken after this. NULL is fine. */
void demo_receiver_close(struct demo_receiver *receiver);
