/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where positions in a stream are kept, and which of its shards are ours: the contract of the two
 * stores, a file on this host (all shards are ours) and a lease table in DynamoDB (hosts share
 * them). One store serves one input; a job (the keeper, kinesis_keeper.c) calls sync, workers call
 * put and flush, at the same time. Stores lock for themselves.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "aws/credentials.h"
#include "aws/profile.h"
#include "input/kinesis_types.h"

/* What the store says of one shard. */
struct kinesis_claim {
    struct kinesis_position position; /* stored, by whoever reads it; never POSITION_NONE or _LATEST
                                         when ours */
    bool is_ours;                     /* to be read by this process, from `position` on */
    bool was_new;                     /* had no position: it begins with this one now */
    char owner[256];                  /* who reads it, "" for nobody; "" in the file store */
};

struct kinesis_store_conf {
    const char *stream, *region;
    const char *path;              /* file store: absolute */
    const char *table;             /* lease table */
    const char *owner;             /* our name in it: unlike all others', at every start */
    int64_t failover_ms;           /* leases not renewed for so long are free to take */
    struct kinesis_position start; /* of shards without a position when there are none at all yet:
                                      POSITION_TIME or POSITION_TRIM_HORIZON */
    struct aws_target *target;     /* DynamoDB's; NULL for the file store */
    struct aws_credentials *credentials; /* outlive the store */
    const char *proxy, *ca_file;

    /* Called by a thread of the store when a shard is ours no longer; does not wait. */
    void (*lost)(void *context, const char *shard_id);
    void *context;
};

struct kinesis_store_type {
    const char *name;

    /* Touches disk or network only in the file store. ERR_CONFIG: a file that is no such table, or
       of another stream. */
    int (*open)(const struct kinesis_store_conf *conf, void **store, struct err *err);

    /*
     * Takes in the stream's shards and says of each what it is (claims[i] of shards->items[i]; the
     * shard's children count as new only behind a parent: they begin at TRIM_HORIZON). `is_fresh`:
     * the list was fetched since the last call. Positions of new shards are stored before it
     * returns; rows of shards that are gone are dropped. May wait, for at most 30 s. *pause_ms:
     * when it wants to be called again. -1: claims are not filled; what was ours stays so.
     */
    int (*sync)(void *store, const struct kinesis_shards *shards, bool is_fresh,
                const atomic_bool *stopping, struct kinesis_claim *claims, int64_t *pause_ms,
                struct err *err);

    /* Everything of the shard up to `position` is delivered (POSITION_SEQUENCE or _SHARD_END). Kept
       in memory until flush. A shard that is not ours is passed over. Never waits. */
    void (*put)(void *store, const char *shard_id, const struct kinesis_position *position);

    /* Stores what was put: waits at most `wait_ms` for it (0 of a lease table: only begins). 0: it
       is stored or, with 0, on its way; -1: not stored (ERR_RETRY), it is kept for the next. */
    int (*flush)(void *store, int64_t wait_ms, struct err *err);

    /* Whether a shard may be begun once its parents were only read to their end (file), or not
       before the parents' end is stored (lease table; sync then says so by the parents' claims). */
    bool waits_for_stored_parents;

    /* For `flowgelf leases`: fills claims for the shards as sync does, but changes nothing anywhere
       (no start is stored, nothing is taken). age_ms[i]: since the row last changed, -1 unknown. */
    int (*show)(void *store, const struct kinesis_shards *shards, struct kinesis_claim *claims,
                int64_t *age_ms, struct err *err);

    /* Gives up what is ours, storing what was put (waits 5 s at most), and ends. */
    void (*close)(void *store);
};

extern const struct kinesis_store_type kinesis_file_store, kinesis_lease_store;
