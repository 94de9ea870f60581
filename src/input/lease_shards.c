/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows and shards: see lease.h. A shard without a row is either not known yet, or done: its row was
 * cleaned away, or it was closed before the table began. It is done when something that came of it
 * has a row, because children's rows are made before their parents' end is stored, and parents'
 * rows before their children's.
 */
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "input/lease.h"

/* A start so near to the present takes in open shards, and their parents, which may have been
   closed between the start and the list; an older one takes in all that is kept. */
enum { RECENT_MS = 10000 };

/* A single list without a shard is not believed. */
enum { MISSING_LISTS = 2 };

/* Rows stay for so many failover times after their end: a process that planned to make one, and was
   stopped before it did, must find it there, or the shard would be read once more. Longer than a
   round may take. */
enum { CLEAN_AFTER = 10 };

/* What is known of each shard of the list, by its index. */
struct plan {
    const struct leases *leases;
    const struct kinesis_shards *shards;
    size_t *order, ordered; /* parents before children */
    size_t *stack;          /* room for all, and a little more */
    bool *is_below;         /* something that came of it has a row */
    bool *is_behind;        /* something that it came of has a row, or is to have one */
    bool *is_visited;
    bool *starts;  /* belongs to the first rows of a table */
    bool is_begun; /* something was read already, by whomever */
};

static const char *parent_of(const struct kinesis_shard *shard, int which) {
    return which == 0 ? shard->parent : shard->adjacent;
}

/* The index of a parent in the list, or -1: there is none, or it is past its retention. */
static ptrdiff_t parent_at(const struct kinesis_shards *shards, const struct kinesis_shard *shard,
                           int which) {
    const char *id = parent_of(shard, which);
    const struct kinesis_shard *parent = id[0] ? kinesis_shards_find(shards, id) : NULL;
    return parent ? parent - shards->items : -1;
}

/* Marks a shard and all it came of. Each is visited once: the stack never holds more than the two
   parents of each. */
static void mark_ancestors(struct plan *plan, size_t at) {
    size_t depth = 0;
    plan->stack[depth++] = at;
    while (depth > 0) {
        size_t top = plan->stack[--depth];
        for (int which = 0; which < LEASE_KIN; which++) {
            ptrdiff_t up = parent_at(plan->shards, &plan->shards->items[top], which);
            if (up >= 0 && !plan->is_below[up]) {
                plan->is_below[up] = true;
                plan->stack[depth++] = (size_t)up;
            }
        }
    }
}

static void mark_below(struct plan *plan) {
    const struct leases *leases = plan->leases;
    for (size_t i = 0; i < leases->count; i++) {
        const struct lease_row *row = &leases->items[i].row;
        const struct kinesis_shard *shard = kinesis_shards_find(plan->shards, row->key);
        plan->is_begun |= row->position.kind >= POSITION_SEQUENCE;
        if (shard) {
            mark_ancestors(plan, (size_t)(shard - plan->shards->items));
        }
        for (int which = 0; which < LEASE_KIN; which++) {
            const char *id = row->parents[which];
            const struct kinesis_shard *parent = kinesis_shards_find(plan->shards, id);
            if (parent && !plan->is_below[parent - plan->shards->items]) {
                plan->is_below[parent - plan->shards->items] = true;
                mark_ancestors(plan, (size_t)(parent - plan->shards->items));
            }
        }
    }
}

/* Puts a shard behind its parents. A list in which shards descend from themselves ends too. */
static void put_in_order(struct plan *plan, size_t at) {
    size_t depth = 0;
    plan->is_visited[at] = true;
    plan->stack[depth++] = at;
    while (depth > 0) {
        size_t top = plan->stack[depth - 1];
        bool waits = false;
        for (int which = 0; which < LEASE_KIN && !waits; which++) {
            ptrdiff_t up = parent_at(plan->shards, &plan->shards->items[top], which);
            if (up >= 0 && !plan->is_visited[up]) {
                plan->is_visited[up] = waits = true;
                plan->stack[depth++] = (size_t)up;
            }
        }
        if (!waits) {
            plan->order[plan->ordered++] = top;
            depth--;
        }
    }
}

static void mark_starts(struct plan *plan, int64_t wall_ms) {
    const struct kinesis_position *start = &plan->leases->start;
    bool is_recent = start->kind == POSITION_TIME && start->time_ms + RECENT_MS >= wall_ms;
    for (size_t i = 0; i < plan->shards->count; i++) {
        const struct kinesis_shard *shard = &plan->shards->items[i];
        plan->starts[i] |= !is_recent || shard->is_open;
        for (int which = 0; which < LEASE_KIN && shard->is_open; which++) {
            ptrdiff_t up = parent_at(plan->shards, shard, which);
            if (up >= 0) {
                plan->starts[up] = true;
            }
        }
    }
}

static void plan_open(struct plan *plan, const struct leases *leases,
                      const struct kinesis_shards *shards, int64_t wall_ms) {
    size_t room = shards->count + 1;
    *plan = (struct plan){
        .leases = leases,
        .shards = shards,
        .order = xcalloc(room, sizeof(*plan->order)),
        .stack = xcalloc(room * LEASE_KIN, sizeof(*plan->stack)),
        .is_below = xcalloc(room, sizeof(bool)),
        .is_behind = xcalloc(room, sizeof(bool)),
        .is_visited = xcalloc(room, sizeof(bool)),
        .starts = xcalloc(room, sizeof(bool)),
    };
    mark_below(plan);
    mark_starts(plan, wall_ms);
    for (size_t i = 0; i < shards->count; i++) {
        if (!plan->is_visited[i]) {
            put_in_order(plan, i);
        }
    }
}

static void plan_close(struct plan *plan) {
    free(plan->order);
    free(plan->stack);
    free(plan->is_below);
    free(plan->is_behind);
    free(plan->is_visited);
    free(plan->starts);
}

static void create(const struct kinesis_shard *shard, const struct kinesis_position *position,
                   bool is_start, int64_t now_ms, struct lease_writes *writes) {
    struct lease_write *write = lease_writes_add(writes);
    write->kind = LEASE_CREATE;
    write->begun_ms = now_ms;
    write->has_position = is_start;
    write->row.position = *position;
    write->row.has_range = true;
    write->row.range = shard->range;
    memcpy(write->row.key, shard->id, sizeof(write->row.key));
    for (int which = 0, at = 0; which < LEASE_KIN; which++) {
        if (parent_of(shard, which)[0]) {
            memcpy(write->row.parents[at++], parent_of(shard, which), KINESIS_ID_SIZE);
        }
    }
}

/* A parent counts by its row, also when it is no longer in the list. */
static bool is_behind(const struct plan *plan, const struct kinesis_shard *shard) {
    bool behind = false;
    for (int which = 0; which < LEASE_KIN; which++) {
        const char *id = parent_of(shard, which);
        ptrdiff_t up = parent_at(plan->shards, shard, which);
        behind |= (id[0] && leases_find(plan->leases, id)) || (up >= 0 && plan->is_behind[up]);
    }
    return behind;
}

void leases_plan_rows(struct leases *leases, const struct kinesis_shards *shards, int64_t now_ms,
                      int64_t wall_ms, struct lease_writes *writes) {
    const struct kinesis_position oldest = {.kind = POSITION_TRIM_HORIZON};
    struct plan plan;
    if (leases->is_leaving) {
        return;
    }
    plan_open(&plan, leases, shards, wall_ms);
    for (size_t i = 0; i < plan.ordered; i++) {
        size_t at = plan.order[i];
        const struct kinesis_shard *shard = &shards->items[at];
        bool has_row = leases_find(leases, shard->id);
        plan.is_behind[at] = has_row || is_behind(&plan, shard);
        if (has_row || plan.is_below[at]) {
            continue;
        }
        if (plan.is_behind[at]) {
            create(shard, &oldest, false, now_ms, writes);
        } else if (plan.is_begun) {
            /* A lost row, or all that it came of is past its retention: nothing may be skipped. */
            create(shard, &oldest, true, now_ms, writes);
        } else if (plan.starts[at]) {
            create(shard, &leases->start, true, now_ms, writes);
        }
    }
    plan_close(&plan);
}

void leases_see_shards(struct leases *leases, const struct kinesis_shards *shards, bool is_fresh) {
    leases->rounds++;
    if (is_fresh) {
        leases->fresh_round = leases->rounds;
    }
    for (size_t i = 0; i < leases->count; i++) {
        struct lease *lease = &leases->items[i];
        lease->is_listed = kinesis_shards_find(shards, lease->row.key) != NULL;
        lease->missing = lease->is_listed ? 0 : lease->missing + is_fresh;
        if (lease->missing >= MISSING_LISTS && lease->is_held && !lease->is_ended) {
            lease->is_ended = true; /* past its retention: nobody can read the rest */
            lease->ended_at = leases->rounds;
        }
    }
}

static bool is_child_of(const struct kinesis_shard *shard, const char *parent) {
    return strcmp(shard->parent, parent) == 0 || strcmp(shard->adjacent, parent) == 0;
}

/*
 * Children that the list shows, and whether all of them have rows. None: then there are none only
 * if the list was fetched after the end was reached (in the second round after it, the first one
 * may have begun before) and knows that the shard is closed.
 */
static bool are_children_ready(const struct leases *leases, struct lease *lease,
                               const struct kinesis_shards *shards) {
    size_t count = 0;
    bool have_rows = true;
    memset(lease->children, 0, sizeof(lease->children));
    for (size_t i = 0; i < shards->count; i++) {
        const struct kinesis_shard *shard = &shards->items[i];
        if (!is_child_of(shard, lease->row.key)) {
            continue;
        }
        have_rows = have_rows && leases_find(leases, shard->id);
        if (count < LEASE_KIN) {
            memcpy(lease->children[count], shard->id, sizeof(shard->id));
        }
        count++;
    }
    if (count > 0) {
        return have_rows;
    }
    const struct kinesis_shard *own = kinesis_shards_find(shards, lease->row.key);
    return leases->fresh_round >= lease->ended_at + 2 && !(own && own->is_open);
}

void leases_ready_ends(struct leases *leases, const struct kinesis_shards *shards) {
    for (size_t i = 0; i < leases->count; i++) {
        struct lease *lease = &leases->items[i];
        if (lease->is_held && lease->is_ended && !lease->end_is_ready) {
            lease->end_is_ready = are_children_ready(leases, lease, shards);
        }
    }
}

bool leases_are_waiting(const struct leases *leases) {
    for (size_t i = 0; i < leases->count; i++) {
        if (leases->items[i].is_held && leases->items[i].is_ended) {
            return true;
        }
    }
    return false;
}

bool leases_may_begin(const struct leases *leases, const struct kinesis_shards *shards,
                      const struct kinesis_shard *shard) {
    for (int which = 0; which < LEASE_KIN; which++) {
        ptrdiff_t up = parent_at(shards, shard, which);
        const struct lease *parent = up >= 0 ? leases_find(leases, parent_of(shard, which)) : NULL;
        if (parent && parent->row.position.kind != POSITION_SHARD_END) {
            return false;
        }
    }
    return true;
}

/* ---- cleaning ---- */

/* What is known of a row's children, from the list and from the rows that name it. */
struct offspring {
    size_t count, begun;
    bool is_whole; /* all that the list shows have rows */
};

static bool is_begun(const struct lease *lease) {
    return lease->row.position.kind >= POSITION_SEQUENCE;
}

static struct offspring offspring_of(const struct leases *leases,
                                     const struct kinesis_shards *shards, const char *key) {
    struct offspring found = {.is_whole = true};
    for (size_t i = 0; i < shards->count; i++) {
        if (is_child_of(&shards->items[i], key) && !leases_find(leases, shards->items[i].id)) {
            found.is_whole = false;
        }
    }
    for (size_t i = 0; i < leases->count; i++) {
        const struct lease *lease = &leases->items[i];
        const struct kinesis_shard *shard = kinesis_shards_find(shards, lease->row.key);
        if (strcmp(lease->row.parents[0], key) == 0 || strcmp(lease->row.parents[1], key) == 0 ||
            (shard && is_child_of(shard, key))) {
            found.count++;
            found.begun += is_begun(lease);
        }
    }
    return found;
}

static bool has_parent_rows(const struct leases *leases, const struct lease *lease,
                            const struct kinesis_shards *shards) {
    const struct kinesis_shard *shard = kinesis_shards_find(shards, lease->row.key);
    for (int which = 0; which < LEASE_KIN; which++) {
        const char *listed = shard ? parent_of(shard, which) : "";
        const char *named = lease->row.parents[which];
        if ((listed[0] && leases_find(leases, listed)) ||
            (named[0] && leases_find(leases, named))) {
            return true;
        }
    }
    return false;
}

/*
 * Read to its end and its children begun: they will never look back. Of a shard that is gone from
 * the stream nothing can be read any more, whoever has it; but it must be one that has children
 * here, or the table would be another stream's.
 */
static bool is_needless(const struct leases *leases, const struct lease *lease,
                        const struct kinesis_shards *shards, int64_t now_ms) {
    struct offspring offspring = offspring_of(leases, shards, lease->row.key);
    if (!offspring.is_whole || offspring.count == 0) {
        return false;
    }
    if (!lease->is_listed) {
        return lease->row.position.kind == POSITION_SHARD_END || lease->row.owner[0] == '\0' ||
               now_ms - lease->changed_ms > leases->failover_ms;
    }
    return lease->row.position.kind == POSITION_SHARD_END && offspring.begun == offspring.count &&
           now_ms - lease->changed_ms > CLEAN_AFTER * leases->failover_ms &&
           !has_parent_rows(leases, lease, shards);
}

/* Rows with children are few at any time: those of the last reshards. */
static bool is_candidate(const struct lease *lease) {
    return !lease->is_held && !lease->is_busy && !lease->hands_over &&
           lease->row.position.kind != POSITION_NONE &&
           (lease->row.position.kind == POSITION_SHARD_END || !lease->is_listed);
}

void leases_plan_cleaning(struct leases *leases, const struct kinesis_shards *shards,
                          int64_t now_ms, struct lease_writes *writes) {
    for (size_t i = 0; i < leases->count && !leases->is_leaving; i++) {
        struct lease *lease = &leases->items[i];
        if (is_candidate(lease) && is_needless(leases, lease, shards, now_ms)) {
            struct lease_write *write = lease_writes_add(writes);
            write->kind = LEASE_DELETE;
            write->expected = lease->row.counter;
            write->begun_ms = now_ms;
            write->row = lease->row;
            lease->is_busy = true;
        }
    }
}
