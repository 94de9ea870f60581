/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the workers of one Kinesis input share: who we are, which shards the stream has, which of
 * them are ours, and which worker reads which. A job lists shards and asks the store; a shard that
 * may be read is given to the worker that has fewest and stays with it. Workers look at the version
 * and fetch their seats when it has changed. Every call locks for a moment, none waits, but for
 * those that say so.
 */
#pragma once

#include <stdint.h>

#include "core/input.h"
#include "input/kinesis_conf.h"

struct kinesis_shared;

/* Made with the conf, before anything is opened; NULL is fine for free. */
struct kinesis_shared *kinesis_shared_make(void);
void kinesis_shared_free(struct kinesis_shared *shared);

/* A worker comes: the first one opens session, store and job. ERR_CONFIG, ERR_STOP: no use trying
   again. May read files, and ask the machine for its region. */
int kinesis_keeper_join(const struct kinesis_conf *conf, const struct input_place *place,
                        struct err *err);

/* A worker goes; with the last one the store gives up what is ours, which may take 5 s. */
void kinesis_keeper_leave(struct kinesis_shared *shared);

/* A shard that a worker is to read. */
struct kinesis_seat {
    struct kinesis_shard shard;
    struct kinesis_position position; /* to begin with */
    uint64_t tenure; /* another one each time that the shard is given to a worker */
};

/* Changes with the seats of any worker. */
unsigned kinesis_keeper_version(const struct kinesis_shared *shared);

/* Copies a worker's seats, sorted by shard id; *seats is the caller's to free. Returns how many. */
size_t kinesis_keeper_seats(struct kinesis_shared *shared, int worker, struct kinesis_seat **seats);

/* A shard was read to its end, and all of it handed out: its children may begin, or (lease table)
   begin when put says that the end is delivered. */
void kinesis_keeper_at_end(struct kinesis_shared *shared, const char *shard_id, uint64_t tenure);

/* As the store's put, for a shard of this tenure; that of another is passed over. */
void kinesis_keeper_put(struct kinesis_shared *shared, const char *shard_id, uint64_t tenure,
                        const struct kinesis_position *position);

/* As the store's flush: may wait. Positions of all workers. */
int kinesis_keeper_flush(struct kinesis_shared *shared, int64_t wait_ms, struct err *err);

/* Has the shards listed soon: one may be gone. */
void kinesis_keeper_list(struct kinesis_shared *shared);

/* Whether the end of a shard must be stored before its children may begin. */
bool kinesis_keeper_waits_for_ends(const struct kinesis_shared *shared);

struct aws_session *kinesis_keeper_session(struct kinesis_shared *shared);
struct aws_target *kinesis_keeper_target(struct kinesis_shared *shared);

/* Our name in the lease table; NULL without one. */
const char *kinesis_keeper_owner(const struct kinesis_shared *shared);

/* How long the stream keeps records; 0: not known (yet). */
int64_t kinesis_keeper_retention_ms(const struct kinesis_shared *shared);
