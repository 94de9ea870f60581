/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The rules by which processes share a stream's shards through a table of leases, one row a shard:
 * who may read, renew, take, steal, give up, store a position. Those of Amazon's client library
 * (KCL 1.x and 2.x), so that its workers and ours can take turns in one table. Pure: takes scans of
 * the table, the stream's shards, the time (monotonic ms, unless it says wall) and the outcome of
 * writes, and says which conditional writes are to be made; makes no call and takes no lock. Every
 * write raises the row's counter under the condition that nobody else did. lease.c: the leases that
 * are ours; lease_take.c: whose they are to be; lease_shards.c: rows and shards.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/backoff.h"
#include "input/kinesis_types.h"

enum { LEASE_OWNER_SIZE = 256, LEASE_KIN = 2, LEASE_EPSILON_MS = 25, LEASE_STORE_EVERY_MS = 1000 };

/* POSITION_TIME of a row that another program wrote: KCL does not store which time it means. */
#define LEASE_TIME_UNKNOWN INT64_MIN

/* A row of the table, as far as the rules look at it. */
struct lease_row {
    char key[KINESIS_ID_SIZE];    /* the shard's id */
    char owner[LEASE_OWNER_SIZE]; /* "": nobody */
    char checkpoint_owner
        [LEASE_OWNER_SIZE]; /* who still reads it while it is handed over; "": none */
    int64_t counter;
    int64_t switches;                 /* of owners, since a position was stored */
    struct kinesis_position position; /* POSITION_NONE: not understood; such a row is left alone */
    int64_t stored_ms;                /* wall clock when one of us stored it; 0: not known */
    char parents[LEASE_KIN][KINESIS_ID_SIZE];
    bool has_range;
    struct kinesis_range range;
};

enum lease_write_kind {
    LEASE_RENEW,      /* counter */
    LEASE_CHECKPOINT, /* position, children at the end; counter */
    LEASE_EVICT,      /* no owner, and the position if there is one to store; counter */
    LEASE_HAND_OVER,  /* no checkpoint owner, and the position; counter if there is a position */
    LEASE_TAKE,       /* owner, position if it is made anew; counter */
    LEASE_CREATE,     /* the whole row, if there is none */
    LEASE_DELETE,
};

/*
 * One conditional write. The condition: row.counter is still `expected`; for RENEW and CHECKPOINT
 * also that we own it and nobody is its checkpoint owner; for EVICT that we own it; for HAND_OVER
 * that we are its checkpoint owner. CREATE: there is no such row.
 */
struct lease_write {
    enum lease_write_kind kind;
    int64_t expected;
    int64_t begun_ms;
    struct lease_row row;                      /* as it is to be */
    bool has_position;                         /* the position is part of the write */
    char children[LEASE_KIN][KINESIS_ID_SIZE]; /* part of a CHECKPOINT at SHARD_END */
};

enum lease_outcome {
    LEASE_DONE,
    LEASE_REFUSED, /* the condition did not hold */
    LEASE_UNKNOWN, /* no answer, or an error: it may have been made or not */
};

/* What is known of one row. */
struct lease {
    struct lease_row row; /* as last seen, or as we wrote it */
    int64_t changed_ms;   /* when we last saw its counter change */
    bool is_held;         /* ours */
    bool is_busy;         /* a write of ours is under way */
    bool is_lost;         /* to be reported by leases_next_lost */
    bool is_seen;         /* in the present scan */
    bool is_listed;       /* its shard is in the list; true until there is one */
    int missing;          /* fresh lists in a row without it */
    bool hands_over;      /* we are the checkpoint owner, and to let go */
    bool was_new;         /* its position was made by us and not yet told */

    /* While held. */
    int64_t
        renewed_ms;   /* begin of the last write that raised the counter: others count from later */
    int64_t tried_ms; /* begin of the first write for the present counter; -1: none */
    int64_t stored_ms; /* begin of the last write of a position */
    int64_t retry_ms;  /* not before, after a failure */
    struct backoff backoff;
    struct kinesis_position done; /* delivered up to here; POSITION_NONE: nothing new */
    uint64_t put, unstored;       /* of leases.puts: the last one; the first not stored, 0: none */
    uint64_t writing;             /* `put` when the write under way was made */
    bool flush, is_urgent;        /* store it; without regard to LEASE_STORE_EVERY_MS */
    bool is_ended;                /* all of the shard is delivered */
    bool end_is_ready;            /* and its children's rows are there */
    uint64_t ended_at;            /* the round (leases.rounds) when it was said */
    char children[LEASE_KIN][KINESIS_ID_SIZE];
};

/* All rows of a table, sorted by key, as one process sees them. */
struct leases {
    char owner[LEASE_OWNER_SIZE]; /* we */
    int64_t failover_ms;
    struct kinesis_position start; /* where a table without rows begins */
    uint64_t random;               /* state; any seed */
    uint64_t puts;                 /* positions put, ever */
    uint64_t rounds;               /* calls of leases_see_shards */
    uint64_t fresh_round;          /* the last one with a fresh list */
    bool is_leaving;               /* at close: everything is given up */
    struct lease *items;
    size_t count, room;
};

struct lease_writes {
    struct lease_write *items;
    size_t count, room;
};

void leases_init(struct leases *leases, const char *owner, int64_t failover_ms,
                 const struct kinesis_position *start, uint64_t seed);
void leases_done(struct leases *leases);

static inline int64_t leases_renew_ms(const struct leases *leases) {
    int64_t renew_ms = leases->failover_ms / 3 - LEASE_EPSILON_MS;
    return renew_ms > 1 ? renew_ms : 1;
}

static inline int64_t leases_take_ms(const struct leases *leases) {
    return 2 * (leases->failover_ms + LEASE_EPSILON_MS);
}

/* NULL: no such row. Valid until rows are added or removed. */
struct lease *leases_find(const struct leases *leases, const char *key);

/* ---- what the table shows ---- */

/* A scan: begin, see for each row, end (rows that were not seen are gone). A row of ours that shows
   another owner, or is gone, is lost; one that is older than what we know is passed over. */
void leases_begin_scan(struct leases *leases);
void leases_see(struct leases *leases, const struct lease_row *row, int64_t now_ms);
void leases_end_scan(struct leases *leases);

/*
 * The outcome of a write that was given out below. LEASE_REFUSED: `current` is the row read again
 * (consistently), NULL when it is gone: it shows whether an earlier try had worked after all.
 */
void leases_written(struct leases *leases, const struct lease_write *write,
                    enum lease_outcome outcome, const struct lease_row *current, int64_t now_ms);

/* ---- what is ours ---- */

/* Ours that we could not renew for longer than the failover time are lost: to be called before
   anything else after a pause, however long it was. */
void leases_expire(struct leases *leases, int64_t now_ms);

/* The key of a lease that was lost, each once; false: no more. */
bool leases_next_lost(struct leases *leases, char key[KINESIS_ID_SIZE]);

/* Delivered up to `position`; passed over when it is not ours, or no step forward. */
void leases_put(struct leases *leases, const char *key, const struct kinesis_position *position);

/* What was put is to be stored; urgent: at once. Returns a mark for leases_has_unstored. */
uint64_t leases_flush(struct leases *leases, bool is_urgent);

/* Whether something that was put before this mark was taken, and could be stored, is not. Ends that
   wait for the list do not count. */
bool leases_has_unstored(const struct leases *leases, uint64_t mark);

/* The most overdue write of what is ours (RENEW, CHECKPOINT, EVICT, HAND_OVER); false: none is due.
   To be answered by leases_written. */
bool leases_next_write(struct leases *leases, int64_t now_ms, struct lease_write *write);

/* When leases_next_write or leases_expire will have something; INT64_MAX: not by time alone. */
int64_t leases_next_due_ms(const struct leases *leases);

/* From now on leases_next_write gives everything up. True when nothing is left to be given up. */
bool leases_leave(struct leases *leases);

/* ---- whose they are to be (after a scan) ---- */

/*
 * Which leases to take: those that bear our name, those that nobody takes, then up to our share of
 * the free ones, else one of the process that has most. `wall_ms`: what "latest" in such a row
 * becomes. Adds to `writes`, each to be answered by leases_written.
 */
void leases_plan_taking(struct leases *leases, int64_t now_ms, int64_t wall_ms,
                        struct lease_writes *writes);

/* ---- rows and shards ---- */

/* Notes which rows have a shard in the list; to be called once in each round, before the others. */
void leases_see_shards(struct leases *leases, const struct kinesis_shards *shards, bool is_fresh);

/*
 * Rows to be made, parents before children: for an empty table by `start`, else for children of
 * shards that have rows, and for shards that nobody knew. Only with a fresh list. Make them in this
 * order, and none behind one whose outcome is unknown.
 */
void leases_plan_rows(struct leases *leases, const struct kinesis_shards *shards, int64_t now_ms,
                      int64_t wall_ms, struct lease_writes *writes);

/* After the rows were made: ended shards whose children's rows are there may store their end. */
void leases_ready_ends(struct leases *leases, const struct kinesis_shards *shards);

/* Rows that nobody needs any more: SHARD_END with children begun, or of shards that are gone. Only
   with a fresh list. */
void leases_plan_cleaning(struct leases *leases, const struct kinesis_shards *shards,
                          int64_t now_ms, struct lease_writes *writes);

/* Whether a shard's parents all are read to their end, by the rows: gone or SHARD_END. */
bool leases_may_begin(const struct leases *leases, const struct kinesis_shards *shards,
                      const struct kinesis_shard *shard);

/* Whether one of ours waits for something that the next round can bring. */
bool leases_are_waiting(const struct leases *leases);

/* Empty and as new. */
void lease_writes_done(struct lease_writes *writes);
struct lease_write *lease_writes_add(struct lease_writes *writes);
