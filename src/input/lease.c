/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See lease.h. What the table shows, and the leases that are ours: renewing, storing positions,
 * giving up. One write at a time is under way for each lease, so that a write of ours never meets
 * another of ours; a try whose answer was lost is repeated with the same counter, and when that is
 * refused the row says whether the first one had worked.
 */
#include "input/lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

void leases_init(struct leases *leases, const char *owner, int64_t failover_ms,
                 const struct kinesis_position *start, uint64_t seed) {
    *leases = (struct leases){.failover_ms = failover_ms, .start = *start, .random = seed};
    snprintf(leases->owner, sizeof(leases->owner), "%s", owner);
}

void leases_done(struct leases *leases) {
    free(leases->items);
    leases->items = NULL;
    leases->count = leases->room = 0;
}

void lease_writes_done(struct lease_writes *writes) {
    free(writes->items);
    *writes = (struct lease_writes){0};
}

struct lease_write *lease_writes_add(struct lease_writes *writes) {
    if (writes->count == writes->room) {
        writes->room = writes->room ? writes->room * 2 : 16;
        writes->items = xreallocarray(writes->items, writes->room, sizeof(*writes->items));
    }
    struct lease_write *write = &writes->items[writes->count++];
    memset(write, 0, sizeof(*write));
    return write;
}

/* Where a key is, or where it belongs. */
static size_t place_of(const struct leases *leases, const char *key, bool *found) {
    size_t low = 0, high = leases->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(leases->items[middle].row.key, key) < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *found = low < leases->count && strcmp(leases->items[low].row.key, key) == 0;
    return low;
}

struct lease *leases_find(const struct leases *leases, const char *key) {
    bool found;
    size_t at = place_of(leases, key, &found);
    return found ? &leases->items[at] : NULL;
}

static struct lease *insert(struct leases *leases, const struct lease_row *row, int64_t now_ms) {
    bool found;
    size_t at = place_of(leases, row->key, &found);
    if (leases->count == leases->room) {
        leases->room = leases->room ? leases->room * 2 : 16;
        leases->items = xreallocarray(leases->items, leases->room, sizeof(*leases->items));
    }
    memmove(leases->items + at + 1, leases->items + at,
            (leases->count - at) * sizeof(*leases->items));
    leases->count++;
    leases->items[at] = (struct lease){
        .row = *row, .changed_ms = now_ms, .is_listed = true, .is_seen = true, .tried_ms = -1};
    return &leases->items[at];
}

/* Not ours any more; what was delivered and not stored is read again by the next owner. */
static void lose(struct lease *lease) {
    lease->is_lost |= lease->is_held;
    lease->is_held = false;
    lease->done.kind = POSITION_NONE;
    lease->flush = lease->is_urgent = false;
    lease->is_ended = lease->end_is_ready = false;
    lease->tried_ms = -1;
}

/* ---- what the table shows ---- */

void leases_begin_scan(struct leases *leases) {
    for (size_t i = 0; i < leases->count; i++) {
        leases->items[i].is_seen = false;
    }
}

static bool is_mine(const struct leases *leases, const struct lease_row *row) {
    return strcmp(row->owner, leases->owner) == 0;
}

static void count_renewal(struct lease *lease, int64_t begun_ms, int64_t now_ms) {
    lease->renewed_ms = begun_ms;
    lease->changed_ms = now_ms;
    lease->tried_ms = -1;
    lease->retry_ms = 0;
    backoff_reset(&lease->backoff);
}

/* A position that was stored need not be stored again. */
static void forget_stored(struct lease *lease) {
    if (lease->done.kind != POSITION_NONE &&
        kinesis_position_compare(&lease->done, &lease->row.position) <= 0) {
        lease->done.kind = POSITION_NONE;
        lease->flush = lease->is_urgent = false;
        lease->unstored = 0;
    }
}

/*
 * A row with our name and the counter that our last write was to give it: only we write our name,
 * so a try whose answer we never got had worked. Others count from then: from the first try.
 */
static bool adopt(const struct leases *leases, struct lease *lease, const struct lease_row *row,
                  int64_t now_ms) {
    if (!lease->is_held || lease->tried_ms < 0 || !is_mine(leases, row) ||
        row->checkpoint_owner[0] || row->counter != lease->row.counter + 1) {
        return false;
    }
    lease->row = *row;
    count_renewal(lease, lease->tried_ms, now_ms);
    forget_stored(lease);
    if (row->position.kind == POSITION_SHARD_END) {
        lease->is_held = lease->is_ended = lease->end_is_ready = false;
    }
    return true;
}

/*
 * The counter is all that tells whether the owner lives: a row with the counter that we saw before
 * keeps its time. An owner that changes without it (a leader hands a lease over) is taken as seen.
 */
void leases_see(struct leases *leases, const struct lease_row *row, int64_t now_ms) {
    struct lease *lease = leases_find(leases, row->key);
    if (!lease) {
        insert(leases, row, now_ms);
        return;
    }
    lease->is_seen = true;
    if (lease->is_busy || (lease->is_held && row->counter <= lease->row.counter) ||
        adopt(leases, lease, row, now_ms)) {
        return; /* our own writes tell more; a counter behind ours was read before them */
    }
    if (lease->is_held || row->counter != lease->row.counter) {
        lease->changed_ms = now_ms;
    }
    lose(lease);
    lease->row = *row;
    lease->hands_over = lease->hands_over && strcmp(row->checkpoint_owner, leases->owner) == 0;
}

void leases_end_scan(struct leases *leases) {
    size_t kept = 0;
    for (size_t i = 0; i < leases->count; i++) {
        struct lease *lease = &leases->items[i];
        if (!lease->is_seen && !lease->is_busy) {
            lose(lease);
            lease->row.position.kind = POSITION_NONE; /* kept until its loss is told */
        }
        if (lease->is_seen || lease->is_busy || lease->is_lost) {
            leases->items[kept++] = *lease;
        }
    }
    leases->count = kept;
}

/* ---- outcomes ---- */

static void written_ours(struct lease *lease, const struct lease_write *write, int64_t now_ms) {
    if (lease->is_held) {
        count_renewal(lease, write->begun_ms, now_ms);
    }
    lease->row = write->row;
    lease->changed_ms = now_ms;
    lease->unstored = lease->put > lease->writing ? lease->writing + 1 : 0;
    switch (write->kind) {
    case LEASE_TAKE:
        lease->is_held = true;
        lease->stored_ms = now_ms - LEASE_STORE_EVERY_MS;
        count_renewal(lease, write->begun_ms, now_ms);
        break;
    case LEASE_EVICT:
        lease->is_held = false;
        break;
    case LEASE_HAND_OVER:
        lease->hands_over = false;
        break;
    default:
        break;
    }
    if (write->row.position.kind == POSITION_SHARD_END) {
        lease->is_held = false; /* done with: nobody needs to renew it */
        lease->is_ended = lease->end_is_ready = false;
    }
    if (write->has_position) {
        lease->stored_ms = write->begun_ms;
    }
    forget_stored(lease);
}

static void refused_ours(struct leases *leases, struct lease *lease,
                         const struct lease_write *write, const struct lease_row *current,
                         int64_t now_ms) {
    bool mine = is_mine(leases, current) && current->checkpoint_owner[0] == '\0';
    if (adopt(leases, lease, current, now_ms)) {
        return;
    }
    if (lease->is_held && mine && current->counter == write->expected) {
        return; /* refused and yet unchanged: tried again */
    }
    struct kinesis_position done = lease->done;
    bool hands_over = lease->is_held && strcmp(current->checkpoint_owner, leases->owner) == 0;
    lose(lease);
    lease->hands_over = hands_over;
    if (hands_over && done.kind == POSITION_SEQUENCE) {
        lease->done = done; /* stored with the last write */
    }
    if (current->counter != lease->row.counter) {
        lease->changed_ms = now_ms;
    }
    lease->row = *current;
}

static void failed(struct lease *lease, const struct lease_write *write, int64_t now_ms) {
    /* The step of the row's own name and counter is random enough to spread retries of many. */
    uint32_t random = (uint32_t)((uint64_t)(now_ms ^ lease->row.counter) * 2654435761u);
    if (write->kind != LEASE_TAKE) {
        lease->retry_ms = now_ms + backoff_next(&lease->backoff, random);
        lease->flush |= lease->is_held && write->has_position;
    }
}

void leases_written(struct leases *leases, const struct lease_write *write,
                    enum lease_outcome outcome, const struct lease_row *current, int64_t now_ms) {
    struct lease *lease = leases_find(leases, write->row.key);
    if (write->kind == LEASE_CREATE) {
        const struct lease_row *row = outcome == LEASE_DONE ? &write->row : current;
        if (outcome != LEASE_UNKNOWN && row && !lease) {
            lease = insert(leases, row, now_ms);
            lease->was_new = outcome == LEASE_DONE && write->has_position;
        }
        return;
    }
    if (!lease) {
        return;
    }
    lease->is_busy = false;
    if (outcome == LEASE_UNKNOWN) {
        failed(lease, write, now_ms);
    } else if ((outcome == LEASE_DONE && write->kind == LEASE_DELETE) ||
               (outcome == LEASE_REFUSED && !current)) {
        lose(lease);
        lease->row.position.kind = POSITION_NONE; /* the next scan takes it out */
    } else if (outcome == LEASE_REFUSED) {
        refused_ours(leases, lease, write, current, now_ms);
    } else {
        written_ours(lease, write, now_ms);
    }
}

/* ---- what is ours ---- */

void leases_expire(struct leases *leases, int64_t now_ms) {
    for (size_t i = 0; i < leases->count; i++) {
        struct lease *lease = &leases->items[i];
        if (lease->is_held && now_ms - lease->renewed_ms > leases->failover_ms) {
            lose(lease);
        }
    }
}

bool leases_next_lost(struct leases *leases, char key[KINESIS_ID_SIZE]) {
    for (size_t i = 0; i < leases->count; i++) {
        if (leases->items[i].is_lost) {
            leases->items[i].is_lost = false;
            memcpy(key, leases->items[i].row.key, KINESIS_ID_SIZE);
            return true;
        }
    }
    return false;
}

void leases_put(struct leases *leases, const char *key, const struct kinesis_position *position) {
    struct lease *lease = leases_find(leases, key);
    if (!lease || !lease->is_held || lease->is_ended) {
        return;
    }
    if (position->kind == POSITION_SHARD_END) {
        lease->is_ended = true;
        lease->ended_at = leases->rounds;
    } else if (position->kind == POSITION_SEQUENCE &&
               kinesis_position_compare(position, &lease->row.position) > 0 &&
               (lease->done.kind == POSITION_NONE ||
                kinesis_position_compare(position, &lease->done) > 0)) {
        lease->done = *position;
        lease->put = ++leases->puts;
        lease->unstored = lease->unstored ? lease->unstored : lease->put;
    }
}

/* Whether something is not stored that was put up to `mark`. */
static bool has_unstored(const struct lease *lease, uint64_t mark) {
    bool has_position = lease->done.kind != POSITION_NONE && lease->unstored <= mark;
    return (lease->is_held || lease->hands_over) && (has_position || lease->end_is_ready);
}

uint64_t leases_flush(struct leases *leases, bool is_urgent) {
    for (size_t i = 0; i < leases->count; i++) {
        struct lease *lease = &leases->items[i];
        if (has_unstored(lease, leases->puts)) {
            lease->flush = true;
            lease->is_urgent |= is_urgent;
        }
    }
    return leases->puts;
}

bool leases_has_unstored(const struct leases *leases, uint64_t mark) {
    for (size_t i = 0; i < leases->count; i++) {
        if (has_unstored(&leases->items[i], mark)) {
            return true;
        }
    }
    return false;
}

static int64_t later(int64_t a, int64_t b) {
    return a > b ? a : b;
}

/* When a write is due; INT64_MAX: none. Ends are stored without being asked for: others wait. */
static int64_t due_ms(const struct leases *leases, const struct lease *lease) {
    if (lease->is_busy || (!lease->is_held && !lease->hands_over)) {
        return INT64_MAX;
    }
    int64_t due = INT64_MIN;
    if (lease->is_held && !leases->is_leaving && !lease->end_is_ready) {
        due = lease->renewed_ms + leases_renew_ms(leases);
        if (lease->flush && lease->done.kind != POSITION_NONE) {
            int64_t store_ms =
                lease->is_urgent ? INT64_MIN : lease->stored_ms + LEASE_STORE_EVERY_MS;
            due = store_ms < due ? store_ms : due;
        }
    }
    return later(due, lease->retry_ms);
}

static void set_position(struct lease_write *write, const struct kinesis_position *position) {
    write->row.position = *position;
    write->row.switches = 0;
    write->has_position = true;
}

static void make_write(const struct leases *leases, struct lease *lease, int64_t now_ms,
                       struct lease_write *write) {
    *write = (struct lease_write){
        .kind = LEASE_RENEW, .expected = lease->row.counter, .begun_ms = now_ms, .row = lease->row};
    write->row.counter++;
    if (lease->done.kind != POSITION_NONE) {
        write->kind = LEASE_CHECKPOINT;
        set_position(write, &lease->done);
        lease->flush = lease->is_urgent = false; /* asked for anew by whoever puts more */
    }
    lease->writing = lease->put;
    if (lease->hands_over) {
        write->kind = LEASE_HAND_OVER;
        write->row.checkpoint_owner[0] = '\0';
        write->row.counter = write->expected + write->has_position;
    } else if (lease->end_is_ready) {
        const struct kinesis_position end = {.kind = POSITION_SHARD_END};
        write->kind = LEASE_CHECKPOINT;
        set_position(write, &end);
        memcpy(write->children, lease->children, sizeof(write->children));
    } else if (leases->is_leaving) {
        write->kind = LEASE_EVICT;
        write->row.owner[0] = '\0';
    }
}

bool leases_next_write(struct leases *leases, int64_t now_ms, struct lease_write *write) {
    struct lease *first = NULL;
    int64_t first_ms = INT64_MAX;
    for (size_t i = 0; i < leases->count; i++) {
        int64_t due = due_ms(leases, &leases->items[i]);
        if (due < first_ms) {
            first = &leases->items[i];
            first_ms = due;
        }
    }
    if (!first || first_ms > now_ms) {
        return false;
    }
    make_write(leases, first, now_ms, write);
    first->is_busy = true;
    first->tried_ms = first->tried_ms < 0 ? now_ms : first->tried_ms;
    return true;
}

int64_t leases_next_due_ms(const struct leases *leases) {
    int64_t next_ms = INT64_MAX;
    for (size_t i = 0; i < leases->count; i++) {
        const struct lease *lease = &leases->items[i];
        int64_t due = due_ms(leases, lease);
        if (lease->is_held && lease->renewed_ms + leases->failover_ms + 1 < due) {
            due = lease->renewed_ms + leases->failover_ms + 1;
        }
        next_ms = due < next_ms ? due : next_ms;
    }
    return next_ms;
}

bool leases_leave(struct leases *leases) {
    leases->is_leaving = true;
    for (size_t i = 0; i < leases->count; i++) {
        const struct lease *lease = &leases->items[i];
        if (lease->is_held || lease->hands_over || lease->is_busy) {
            return false;
        }
    }
    return true;
}
