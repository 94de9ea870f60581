/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Positions in a lease table of DynamoDB (see kinesis_store.h), shared with other hosts and with
 * workers of Amazon's client library. The rules are in lease.h. What is ours is written by the
 * thread of lease_writer.h alone; sync, on the keeper's thread, scans, makes and takes rows. The
 * lock is never held during a call.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/random.h"
#include "base/xalloc.h"
#include "input/kinesis_store.h"
#include "input/lease_writer.h"

enum {
    SYNC_MS = 28000,
    READY_MS = 8000, /* until it is said that the table cannot be reached */
    CLOSE_MS = 5000,
    WAITING_MS = 1000,  /* until the next round, while an end waits for the children's rows */
    BLOCKED_MS = 10000, /* while one of ours waits for parents that others read */
};

struct store {
    struct kinesis_store_conf conf;
    pthread_mutex_t lock; /* over leases */
    pthread_cond_t progress;
    struct leases leases;
    struct lease_writer_conf writer_conf;
    struct lease_writer *writer;

    /* Of sync's thread. */
    struct lease_table table;
    bool is_ready; /* the table is there */
    bool is_fresh; /* a list came that no round has worked on yet */
    int64_t next_take_ms;
    char broken[sizeof(((struct err *)0)->text)]; /* said of an item last */
};

static void lock(struct store *store) {
    pthread_mutex_lock(&store->lock);
}

static void unlock(struct store *store) {
    pthread_mutex_unlock(&store->lock);
}

static int64_t at_most(int64_t ms, int64_t limit_ms) {
    return ms < limit_ms ? ms : limit_ms;
}

/* ---- opening and closing ---- */

static void free_store(struct store *store) {
    aws_client_close(store->table.client);
    leases_done(&store->leases);
    pthread_cond_destroy(&store->progress);
    pthread_mutex_destroy(&store->lock);
    free(store);
}

static int lease_store_open(const struct kinesis_store_conf *conf, void **out, struct err *err) {
    struct store *store = xcalloc(1, sizeof(*store));
    store->conf = *conf;
    pthread_mutex_init(&store->lock, NULL);
    cond_init(&store->progress);
    leases_init(&store->leases, conf->owner, conf->failover_ms, &conf->start,
                (uint64_t)random_u32() << 32 | random_u32());
    store->table = (struct lease_table){
        .name = conf->table,
        .owner = store->leases.owner,
        .client = aws_client_open(&(struct aws_client_conf){.target = conf->target,
                                                            .credentials = conf->credentials,
                                                            .proxy = conf->proxy,
                                                            .ca_file = conf->ca_file,
                                                            .reply_max = LEASE_TABLE_REPLY_MAX}),
    };
    store->writer_conf = (struct lease_writer_conf){
        .leases = &store->leases,
        .lock = &store->lock,
        .progress = &store->progress,
        .table = conf->table,
        .owner = store->leases.owner,
        .target = conf->target,
        .credentials = conf->credentials,
        .proxy = conf->proxy,
        .ca_file = conf->ca_file,
        .lost = conf->lost,
        .context = conf->context,
    };
    if (lease_writer_start(&store->writer_conf, &store->writer, err) != 0) {
        free_store(store);
        return -1;
    }
    *out = store;
    return 0;
}

static void lease_store_close(void *context) {
    struct store *store = context;
    lease_writer_stop(store->writer, CLOSE_MS);
    free_store(store);
}

/* ---- a round ---- */

/* One call of sync. */
struct round {
    struct store *store;
    const struct kinesis_shards *shards;
    const atomic_bool *stopping;
    int64_t deadline_ms;
};

/* The rows of a scan, gathered while pages come in and taken over at once. */
struct scan {
    struct lease_row *rows;
    size_t count, room;
};

static void gather(void *context, const struct lease_row *row) {
    struct scan *scan = context;
    if (scan->count == scan->room) {
        scan->room = scan->room ? scan->room * 2 : 64;
        scan->rows = xreallocarray(scan->rows, scan->room, sizeof(*scan->rows));
    }
    scan->rows[scan->count++] = *row;
}

static void say_broken(struct store *store, const struct err *broken) {
    if (broken->kind != ERR_NONE && strcmp(store->broken, broken->text) != 0) {
        snprintf(store->broken, sizeof(store->broken), "%s", broken->text);
        log_warning("lease table %s: %s", store->conf.table, broken->text);
    }
}

/*
 * Rows count as seen when the scan ended: a counter then seems to stand still for a little shorter
 * than it did, never longer. One that is renewed meanwhile makes a take be refused.
 */
static int scan_rows(const struct round *round, struct err *err) {
    struct store *store = round->store;
    struct scan scan = {0};
    struct err broken;
    int result = lease_table_scan(&store->table, round->deadline_ms, round->stopping, gather, &scan,
                                  &broken, err);
    if (result == 0) {
        lock(store);
        int64_t now_ms = clock_monotonic_ms();
        leases_begin_scan(&store->leases);
        for (size_t i = 0; i < scan.count; i++) {
            leases_see(&store->leases, &scan.rows[i], now_ms);
        }
        leases_end_scan(&store->leases);
        unlock(store);
        lease_writer_report(&store->writer_conf);
        say_broken(store, &broken);
    }
    free(scan.rows);
    return result;
}

/* Makes one write and takes in its outcome; a refused one is followed by reading the row. */
static enum lease_outcome make_write(const struct round *round, struct lease_write *write,
                                     struct err *err) {
    struct store *store = round->store;
    struct lease_row current;
    int found = 0;
    write->begun_ms = clock_monotonic_ms();
    /* A lease taken later than this could hardly be renewed in time. */
    int64_t late_ms = write->begun_ms + at_most(store->conf.failover_ms / 2 + 500, SYNC_MS);
    enum lease_outcome outcome = lease_table_write(
        &store->table, write, at_most(late_ms, round->deadline_ms), round->stopping, err);
    if (outcome == LEASE_REFUSED) {
        found = lease_table_get(&store->table, write->row.key, round->deadline_ms, round->stopping,
                                &current, err);
        outcome = found < 0 ? LEASE_UNKNOWN : LEASE_REFUSED;
        if (found > 0 && strcmp(current.owner, store->leases.owner) == 0) {
            store->next_take_ms = 0; /* a try whose answer was lost had worked: it is ours */
        }
    }
    lock(store);
    leases_written(&store->leases, write, outcome, found > 0 ? &current : NULL,
                   clock_monotonic_ms());
    unlock(store);
    return outcome;
}

/* Makes writes in their order; after one with an unknown outcome the rest is left for the next
   round. -1: that is so. Frees them. */
static int make_writes(const struct round *round, struct lease_writes *writes, struct err *err) {
    bool is_fine = true;
    for (size_t i = 0; i < writes->count; i++) {
        if (is_fine) {
            is_fine = make_write(round, &writes->items[i], err) != LEASE_UNKNOWN;
            continue;
        }
        lock(round->store);
        leases_written(&round->store->leases, &writes->items[i], LEASE_UNKNOWN, NULL,
                       clock_monotonic_ms());
        unlock(round->store);
    }
    lease_writes_done(writes);
    return is_fine ? 0 : -1;
}

static int make_rows(const struct round *round, struct err *err) {
    struct store *store = round->store;
    struct lease_writes writes = {0};
    lock(store);
    leases_see_shards(&store->leases, round->shards, store->is_fresh);
    if (store->is_fresh) {
        leases_plan_rows(&store->leases, round->shards, clock_monotonic_ms(), clock_wall_ms(),
                         &writes);
    }
    unlock(store);
    if (writes.count > 0) {
        log_info("lease table %s: %zu shards have no lease yet: they get one", store->conf.table,
                 writes.count);
        store->next_take_ms = 0;
    }
    return make_writes(round, &writes, err);
}

static int take_rows(const struct round *round, struct err *err) {
    struct store *store = round->store;
    struct lease_writes writes = {0};
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms < store->next_take_ms) {
        return 0;
    }
    store->next_take_ms = now_ms + leases_take_ms(&store->leases);
    lock(store);
    leases_plan_taking(&store->leases, now_ms, clock_wall_ms(), &writes);
    unlock(store);
    return make_writes(round, &writes, err);
}

/* Ends whose children's rows are there now, and rows that nobody needs. */
static void end_rows(const struct round *round) {
    struct store *store = round->store;
    struct lease_writes writes = {0};
    struct err err;
    lock(store);
    leases_ready_ends(&store->leases, round->shards);
    if (store->is_fresh) {
        leases_plan_cleaning(&store->leases, round->shards, clock_monotonic_ms(), &writes);
    }
    unlock(store);
    lease_writer_wake(store->writer);
    if (make_writes(round, &writes, &err) != 0) {
        log_info("%s; rows of shards that are done stay for now", err.text);
    }
}

/* A shard without a row: closed, it was read to its end long ago, or never to be read; open, its
   row is not made yet. */
static void claim_none(const struct kinesis_shard *shard, struct kinesis_claim *claim) {
    *claim = (struct kinesis_claim){.position.kind =
                                        shard->is_open ? POSITION_NONE : POSITION_SHARD_END};
}

static void claim_row(const struct leases *leases, const struct lease_row *row,
                      struct kinesis_claim *claim) {
    *claim = (struct kinesis_claim){.position = row->position};
    memcpy(claim->owner, row->owner, sizeof(claim->owner));
    if (row->position.kind == POSITION_TIME && row->position.time_ms == LEASE_TIME_UNKNOWN) {
        claim->position = leases->start; /* as it would be taken */
    }
}

/* Under the lock. Whether one of ours waits for its parents. */
static bool claim_all(struct store *store, const struct kinesis_shards *shards,
                      struct kinesis_claim *claims) {
    bool is_blocked = false;
    leases_expire(&store->leases, clock_monotonic_ms());
    for (size_t i = 0; i < shards->count; i++) {
        const struct kinesis_shard *shard = &shards->items[i];
        struct lease *lease = leases_find(&store->leases, shard->id);
        if (!lease) {
            claim_none(shard, &claims[i]);
            continue;
        }
        claim_row(&store->leases, &lease->row, &claims[i]);
        bool may_begin = leases_may_begin(&store->leases, shards, shard);
        is_blocked |= lease->is_held && !may_begin;
        claims[i].is_ours = lease->is_held && may_begin;
        claims[i].was_new = claims[i].is_ours && lease->was_new;
        lease->was_new = lease->was_new && !claims[i].is_ours;
    }
    return is_blocked;
}

static int prepare(const struct round *round, struct err *err) {
    struct store *store = round->store;
    bool made;
    if (store->is_ready) {
        return 0;
    }
    int64_t deadline_ms = clock_monotonic_ms() + READY_MS;
    if (lease_table_ready(&store->table, true,
                          deadline_ms < round->deadline_ms ? deadline_ms : round->deadline_ms,
                          round->stopping, &made, err) != 0) {
        return -1;
    }
    if (made) {
        log_info("lease table %s: it did not exist and was made, paid by request",
                 store->conf.table);
    }
    store->is_ready = true;
    return 0;
}

static int lease_store_sync(void *context, const struct kinesis_shards *shards, bool is_fresh,
                            const atomic_bool *stopping, struct kinesis_claim *claims,
                            int64_t *pause_ms, struct err *err) {
    struct store *store = context;
    const struct round round = {.store = store,
                                .shards = shards,
                                .stopping = stopping,
                                .deadline_ms = clock_monotonic_ms() + SYNC_MS};
    store->is_fresh |= is_fresh;
    *pause_ms = WAITING_MS;
    if (prepare(&round, err) != 0 || scan_rows(&round, err) != 0 || make_rows(&round, err) != 0) {
        return -1;
    }
    /* What was taken is taken, though one may have failed; the others are tried next time. */
    struct err take_err;
    if (take_rows(&round, &take_err) != 0) {
        log_warning("%s; the lease is tried again", take_err.text);
        store->next_take_ms = 0;
    }
    end_rows(&round);
    store->is_fresh = false;
    lock(store);
    bool is_blocked = claim_all(store, shards, claims);
    bool is_waiting = leases_are_waiting(&store->leases);
    unlock(store);
    int64_t until_ms = store->next_take_ms - clock_monotonic_ms();
    *pause_ms = until_ms > WAITING_MS ? until_ms : WAITING_MS;
    *pause_ms = is_waiting ? WAITING_MS : is_blocked ? at_most(*pause_ms, BLOCKED_MS) : *pause_ms;
    return 0;
}

/* ---- positions ---- */

static void lease_store_put(void *context, const char *shard_id,
                            const struct kinesis_position *position) {
    struct store *store = context;
    lock(store);
    leases_put(&store->leases, shard_id, position);
    unlock(store);
}

static struct timespec moment_in(int64_t ms) {
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / 1000;
    until.tv_nsec += ms % 1000 * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000L;
    until.tv_nsec %= 1000000000L;
    return until;
}

static int lease_store_flush(void *context, int64_t wait_ms, struct err *err) {
    struct store *store = context;
    const struct timespec until = moment_in(wait_ms);
    int waited = 0;
    lock(store);
    uint64_t mark = leases_flush(&store->leases, wait_ms > 0);
    unlock(store);
    lease_writer_wake(store->writer);
    if (wait_ms <= 0) {
        return 0;
    }
    lock(store);
    while (waited == 0 && leases_has_unstored(&store->leases, mark)) {
        waited = pthread_cond_timedwait(&store->progress, &store->lock, &until);
    }
    bool is_stored = !leases_has_unstored(&store->leases, mark);
    unlock(store);
    return is_stored ? 0
                     : err_set(err, ERR_RETRY,
                               "lease table %s: positions could not be stored within %lld ms",
                               store->conf.table, (long long)wait_ms);
}

/* ---- for people ---- */

static int lease_store_show(void *context, const struct kinesis_shards *shards,
                            struct kinesis_claim *claims, int64_t *age_ms, struct err *err) {
    struct store *store = context;
    const struct round round = {
        .store = store, .shards = shards, .deadline_ms = clock_monotonic_ms() + SYNC_MS};
    if (scan_rows(&round, err) != 0) {
        return -1;
    }
    lock(store);
    for (size_t i = 0; i < shards->count; i++) {
        const struct lease *lease = leases_find(&store->leases, shards->items[i].id);
        age_ms[i] = -1;
        if (!lease) {
            claim_none(&shards->items[i], &claims[i]);
            continue;
        }
        claim_row(&store->leases, &lease->row, &claims[i]);
        if (lease->row.stored_ms > 0) {
            age_ms[i] = clock_wall_ms() - lease->row.stored_ms;
        }
        claims[i].is_ours = strcmp(lease->row.owner, store->leases.owner) == 0;
    }
    unlock(store);
    return 0;
}

const struct kinesis_store_type kinesis_lease_store = {
    .name = "dynamodb",
    .open = lease_store_open,
    .sync = lease_store_sync,
    .put = lease_store_put,
    .flush = lease_store_flush,
    .waits_for_stored_parents = true,
    .show = lease_store_show,
    .close = lease_store_close,
};
