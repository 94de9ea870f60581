/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which leases to take: see lease.h. The shares come out by everybody counting the same table: the
 * number of leases by the number of processes that renew some, rounded up. Rows at SHARD_END, and
 * those of shards that are gone, are nobody's work and do not count.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "input/lease.h"

/* Free for so many failover times: somebody should have taken it; shares do not matter then. */
enum { VERY_OLD = 3 };

/* Whoever has most, and everybody's share. */
struct shares {
    size_t leases, workers, mine, target;
    size_t most;
    const char *most_owner;
};

/* Candidates, as indexes into leases->items. */
struct picks {
    size_t *at;
    size_t count;
};

/* splitmix64 (Steele, Lea, Flood). */
static uint64_t next_random(struct leases *leases) {
    uint64_t mixed = leases->random += UINT64_C(0x9E3779B97F4A7C15);
    mixed = (mixed ^ (mixed >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    mixed = (mixed ^ (mixed >> 27)) * UINT64_C(0x94D049BB133111EB);
    return mixed ^ (mixed >> 31);
}

static bool is_work(const struct lease *lease) {
    return lease->is_listed && lease->row.position.kind != POSITION_NONE &&
           lease->row.position.kind != POSITION_SHARD_END;
}

/* A lease with our name that we do not hold: of an earlier life, or of a take without an answer. */
static bool is_mine_again(const struct leases *leases, const struct lease *lease) {
    return !lease->is_held && lease->row.checkpoint_owner[0] == '\0' &&
           strcmp(lease->row.owner, leases->owner) == 0;
}

static bool is_unowned(const struct lease *lease) {
    return lease->row.owner[0] == '\0' && lease->row.checkpoint_owner[0] == '\0';
}

static bool is_free(const struct leases *leases, const struct lease *lease, int64_t now_ms) {
    return !lease->is_held &&
           (is_unowned(lease) || now_ms - lease->changed_ms > leases->failover_ms);
}

static int compare_owners(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Counts the leases of each other owner in a sorted list of their names. */
static void count_owners(struct shares *shares, const char **owners, size_t count) {
    qsort(owners, count, sizeof(*owners), compare_owners);
    for (size_t i = 0, run = 0; i < count; i++) {
        run = i > 0 && strcmp(owners[i], owners[i - 1]) == 0 ? run + 1 : 1;
        shares->workers += run == 1;
        if (run > shares->most) {
            shares->most = run;
            shares->most_owner = owners[i];
        }
    }
}

static struct shares count_shares(const struct leases *leases, int64_t now_ms) {
    struct shares shares = {.workers = 1};
    const char **owners = xcalloc(leases->count + 1, sizeof(*owners));
    size_t owner_count = 0;
    for (size_t i = 0; i < leases->count; i++) {
        const struct lease *lease = &leases->items[i];
        if (!is_work(lease)) {
            continue;
        }
        shares.leases++;
        if (lease->is_held || is_mine_again(leases, lease)) {
            shares.mine++;
        } else if (!is_free(leases, lease, now_ms)) {
            owners[owner_count++] = lease->row.owner;
        }
    }
    count_owners(&shares, owners, owner_count);
    free(owners);
    shares.target =
        shares.workers >= shares.leases ? 1 : (shares.leases + shares.workers - 1) / shares.workers;
    return shares;
}

static void take(const struct leases *leases, struct lease *lease, int64_t now_ms, int64_t wall_ms,
                 struct lease_writes *writes) {
    struct lease_write *write = lease_writes_add(writes);
    write->kind = LEASE_TAKE;
    write->expected = lease->row.counter;
    write->begun_ms = now_ms;
    write->row = lease->row;
    write->row.counter++;
    write->row.switches += strcmp(lease->row.owner, leases->owner) != 0;
    memcpy(write->row.owner, leases->owner, sizeof(write->row.owner));
    write->row.checkpoint_owner[0] = '\0';
    struct kinesis_position *position = &write->row.position;
    if (position->kind == POSITION_LATEST) {
        /* Were it left so, a crash before the first delivery would skip what came in meanwhile. */
        *position = (struct kinesis_position){.kind = POSITION_TIME, .time_ms = wall_ms};
        write->has_position = true;
    } else if (position->kind == POSITION_TIME && position->time_ms == LEASE_TIME_UNKNOWN) {
        const struct kinesis_position oldest = {.kind = POSITION_TRIM_HORIZON};
        *position = leases->start.kind == POSITION_TIME ? leases->start : oldest;
        write->has_position = true;
    }
    lease->was_new |= write->has_position;
    lease->is_busy = true;
}

/* Takes `wanted` of the candidates, each with the same chance. */
static size_t take_some(struct leases *leases, struct picks *picks, size_t wanted, int64_t now_ms,
                        int64_t wall_ms, struct lease_writes *writes) {
    size_t taken = 0;
    for (; taken < wanted && picks->count > 0; taken++) {
        size_t pick = (size_t)(next_random(leases) % picks->count);
        take(leases, &leases->items[picks->at[pick]], now_ms, wall_ms, writes);
        picks->at[pick] = picks->at[--picks->count];
    }
    return taken;
}

enum wanted { WANTED_AGAIN, WANTED_VERY_OLD, WANTED_FREE, WANTED_OF_OWNER };

static bool is_wanted(const struct leases *leases, const struct lease *lease, enum wanted wanted,
                      const char *owner, int64_t now_ms) {
    if (lease->is_busy || lease->is_held || lease->is_lost || !is_work(lease)) {
        return false;
    }
    switch (wanted) {
    case WANTED_AGAIN:
        return is_mine_again(leases, lease);
    case WANTED_VERY_OLD:
        return is_free(leases, lease, now_ms) &&
               now_ms - lease->changed_ms > VERY_OLD * leases->failover_ms;
    case WANTED_FREE:
        return is_free(leases, lease, now_ms);
    case WANTED_OF_OWNER:
        /* Not in the middle of a handover. */
        return strcmp(lease->row.owner, owner) == 0 && lease->row.checkpoint_owner[0] == '\0' &&
               !is_free(leases, lease, now_ms);
    }
    return false;
}

static void pick(const struct leases *leases, enum wanted wanted, const char *owner, int64_t now_ms,
                 struct picks *picks) {
    picks->count = 0;
    for (size_t i = 0; i < leases->count; i++) {
        if (is_wanted(leases, &leases->items[i], wanted, owner, now_ms)) {
            picks->at[picks->count++] = i;
        }
    }
}

/*
 * From the one that has most: if it has more than its share, or if it has just that while we lack
 * two. One at a time: a lease that changes hands costs duplicates.
 */
static bool may_steal(const struct shares *shares, size_t needed) {
    return shares->most_owner &&
           (shares->most > shares->target || (needed > 1 && shares->most == shares->target));
}

void leases_plan_taking(struct leases *leases, int64_t now_ms, int64_t wall_ms,
                        struct lease_writes *writes) {
    if (leases->is_leaving) {
        return;
    }
    struct shares shares = count_shares(leases, now_ms);
    struct picks picks = {.at = xcalloc(leases->count + 1, sizeof(*picks.at))};
    pick(leases, WANTED_AGAIN, NULL, now_ms, &picks);
    take_some(leases, &picks, picks.count, now_ms, wall_ms, writes);
    pick(leases, WANTED_VERY_OLD, NULL, now_ms, &picks);
    shares.mine += take_some(leases, &picks, picks.count, now_ms, wall_ms, writes);
    size_t needed = shares.target > shares.mine ? shares.target - shares.mine : 0;
    pick(leases, WANTED_FREE, NULL, now_ms, &picks);
    if (picks.count > 0) {
        take_some(leases, &picks, needed, now_ms, wall_ms, writes);
    } else if (needed > 0 && may_steal(&shares, needed)) {
        pick(leases, WANTED_OF_OWNER, shares.most_owner, now_ms, &picks);
        take_some(leases, &picks, 1, now_ms, wall_ms, writes);
    }
    free(picks.at);
}
