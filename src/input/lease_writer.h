/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that keeps leases alive: it renews, stores positions and gives up what is ours, with
 * up to a few dozen calls in flight, and depends on nobody, so that leases live on while outputs
 * stall. All writes of held leases are made here and nowhere else. Used by kinesis_lease_store.c.
 */
#pragma once

#include <pthread.h>

#include "aws/credentials.h"
#include "input/lease_table.h"

/* What a store and its thread share; all of it outlives the thread. */
struct lease_writer_conf {
    struct leases *leases; /* under lock, which is never held during a call or a callback */
    pthread_mutex_t *lock;
    pthread_cond_t *progress; /* broadcast after each outcome */
    const char *table, *owner;
    struct aws_target *target;
    struct aws_credentials *credentials;
    const char *proxy, *ca_file;
    void (*lost)(void *context, const char *shard_id);
    void *context;
};

struct lease_writer;

/* ERR_STOP: no thread. */
int lease_writer_start(const struct lease_writer_conf *conf, struct lease_writer **writer,
                       struct err *err);

/* There may be something to do. From any thread; never waits. */
void lease_writer_wake(struct lease_writer *writer);

/* Gives up all leases, storing what was put, for at most `wait_ms`; ends the thread and frees. */
void lease_writer_stop(struct lease_writer *writer, int64_t wait_ms);

/* Calls lost() for each lease that was lost since the last call, without the lock. */
void lease_writer_report(const struct lease_writer_conf *conf);
