/* SPDX-License-Identifier: Apache-2.0 */
/* The lease rules one by one; how they work together under weather is test_lease_simulation.c. */
#include "input/lease.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

enum { FAILOVER_MS = 10000, WALL_MS = 1700000000 };

static struct leases leases;
static struct kinesis_shards shards;
static struct lease_writes writes;
static const struct kinesis_position oldest = {.kind = POSITION_TRIM_HORIZON};

static void set_up(void) {
    leases_init(&leases, "me", FAILOVER_MS, &oldest, 1);
    shards = (struct kinesis_shards){0};
}

static void tear_down(void) {
    leases_done(&leases);
    kinesis_shards_done(&shards);
    lease_writes_done(&writes);
}

/* ---- rows and shards ---- */

static struct lease_row row_of(const char *key, const char *owner, int64_t counter) {
    struct lease_row row = {.counter = counter, .position = {.kind = POSITION_SEQUENCE}};
    snprintf(row.key, sizeof(row.key), "%s", key);
    snprintf(row.owner, sizeof(row.owner), "%s", owner);
    strcpy(row.position.sequence, "100");
    return row;
}

static void see(const struct lease_row *rows, size_t count, int64_t now_ms) {
    leases_begin_scan(&leases);
    for (size_t i = 0; i < count; i++) {
        leases_see(&leases, &rows[i], now_ms);
    }
    leases_end_scan(&leases);
}

static void add_shard(const char *id, const char *parent, const char *adjacent, bool is_open) {
    struct kinesis_shard shard = {.is_open = is_open};
    struct err err;
    snprintf(shard.id, sizeof(shard.id), "%s", id);
    snprintf(shard.parent, sizeof(shard.parent), "%s", parent);
    snprintf(shard.adjacent, sizeof(shard.adjacent), "%s", adjacent);
    ck_assert_int_eq(kinesis_shards_add(&shards, &shard, &err), 0);
    kinesis_shards_finish(&shards);
}

static size_t plan_taking(int64_t now_ms) {
    lease_writes_done(&writes);
    leases_plan_taking(&leases, now_ms, WALL_MS, &writes);
    return writes.count;
}

static size_t plan_rows(int64_t wall_ms) {
    lease_writes_done(&writes);
    leases_plan_rows(&leases, &shards, 0, wall_ms, &writes);
    return writes.count;
}

static size_t plan_cleaning(int64_t now_ms) {
    lease_writes_done(&writes);
    leases_plan_cleaning(&leases, &shards, now_ms, &writes);
    return writes.count;
}

static void write_all(enum lease_outcome outcome, int64_t now_ms) {
    for (size_t i = 0; i < writes.count; i++) {
        leases_written(&leases, &writes.items[i], outcome, NULL, now_ms);
    }
}

/* A lease of ours with this key, at sequence number 100, taken at `now_ms`. */
static struct lease *hold(const char *key, int64_t now_ms) {
    struct lease_row row = row_of(key, "", 5);
    leases_see(&leases, &row, now_ms);
    ck_assert_uint_eq(plan_taking(now_ms), 1);
    write_all(LEASE_DONE, now_ms);
    ck_assert(leases_find(&leases, key)->is_held);
    return leases_find(&leases, key);
}

static void put(const char *key, const char *sequence) {
    struct kinesis_position position = {.kind = sequence ? POSITION_SEQUENCE : POSITION_SHARD_END};
    snprintf(position.sequence, sizeof(position.sequence), "%s", sequence ? sequence : "");
    leases_put(&leases, key, &position);
}

static struct lease_write next(int64_t now_ms) {
    struct lease_write write;
    ck_assert(leases_next_write(&leases, now_ms, &write));
    return write;
}

static bool is_quiet(int64_t now_ms) {
    struct lease_write write;
    return !leases_next_write(&leases, now_ms, &write);
}

static bool lost(const char *key) {
    char found[KINESIS_ID_SIZE];
    return leases_next_lost(&leases, found) && strcmp(found, key) == 0;
}

/* ---- taking ---- */

START_TEST(takes_what_nobody_has_at_first_sight_and_the_rest_when_it_stands_still) {
    struct lease_row rows[2] = {row_of("a", "", 3), row_of("b", "other", 3)};
    see(rows, 2, 0);
    ck_assert_uint_eq(plan_taking(0), 1);
    ck_assert_str_eq(writes.items[0].row.key, "a");
    ck_assert_str_eq(writes.items[0].row.owner, "me");
    ck_assert_int_eq(writes.items[0].expected, 3);
    ck_assert_int_eq(writes.items[0].row.counter, 4);
    ck_assert_int_eq(writes.items[0].row.switches, 1);
    write_all(LEASE_DONE, 0);
    rows[0] = leases_find(&leases, "a")->row;
    rows[1].counter = 4; /* it lives */
    see(rows, 2, 9000);
    see(rows, 2, 19000);
    ck_assert_uint_eq(plan_taking(19000), 0);
    leases_find(&leases, "a")->renewed_ms = 19000;
    see(rows, 2, 19001);
    ck_assert_uint_eq(plan_taking(19001), 1);
    ck_assert_str_eq(writes.items[0].row.key, "b");
}
END_TEST

START_TEST(takes_its_share_and_steals_one_at_a_time) {
    struct lease_row rows[9];
    for (int i = 0; i < 9; i++) {
        char key[2] = {(char)('a' + i), 0};
        rows[i] = row_of(key, i < 6 ? "big" : "small", 1);
    }
    see(rows, 9, 0);
    ck_assert_uint_eq(plan_taking(0), 1);
    ck_assert_msg(writes.items[0].row.key[0] < 'g', "stolen from the one that has most");
    write_all(LEASE_UNKNOWN, 0);
    rows[0].owner[0] = rows[1].owner[0] = '\0';
    see(rows, 9, 1);
    ck_assert_uint_eq(plan_taking(1), 2); /* free ones first: a share is 9 / 3 */
    write_all(LEASE_DONE, 1);
    ck_assert_uint_eq(plan_taking(1), 1); /* big has 4 by now, we 2: one more */
}
END_TEST

START_TEST(steals_at_even_shares_only_when_two_are_lacking) {
    struct lease_row rows[4];
    for (int i = 0; i < 4; i++) {
        char key[2] = {(char)('a' + i), 0};
        rows[i] = row_of(key, i < 2 ? "one" : "two", 1);
    }
    see(rows, 4, 0);
    ck_assert_uint_eq(plan_taking(0), 1); /* a share of 2, we have none */
    write_all(LEASE_DONE, 0);
    ck_assert_uint_eq(plan_taking(0), 0); /* 1, 1 or 2, 1 or 2 */
}
END_TEST

START_TEST(takes_very_old_ones_whatever_its_share) {
    struct lease_row rows[6] = {row_of("a", "", 1),  row_of("b", "", 1),  row_of("c", "dead", 1),
                                row_of("d", "x", 1), row_of("e", "x", 1), row_of("f", "y", 1)};
    see(rows, 6, 0);
    ck_assert_uint_eq(plan_taking(0), 2); /* a share of 2 among me, dead, x, y */
    write_all(LEASE_DONE, 0);
    for (int64_t now_ms = 5000; now_ms <= 30000; now_ms += 5000) {
        for (int i = 0; i < 6; i++) {
            rows[i].counter += i > 2;
            rows[i] = i < 2 ? leases_find(&leases, rows[i].key)->row : rows[i];
        }
        see(rows, 6, now_ms);
    }
    ck_assert_uint_eq(plan_taking(30000), 0); /* y's, which did not see it yet */
    ck_assert_uint_eq(plan_taking(30001), 1);
    ck_assert_str_eq(writes.items[0].row.key, "c");
}
END_TEST

START_TEST(takes_its_own_again_but_not_in_the_middle_of_a_handover) {
    struct lease_row rows[2] = {row_of("a", "me", 9), row_of("b", "me", 9)};
    strcpy(rows[1].checkpoint_owner, "old");
    see(rows, 2, 0);
    ck_assert_uint_eq(plan_taking(0), 1);
    ck_assert_str_eq(writes.items[0].row.key, "a");
    ck_assert_int_eq(writes.items[0].row.switches, 0);
    write_all(LEASE_DONE, 0);
    rows[0] = leases_find(&leases, "a")->row;
    rows[1].checkpoint_owner[0] = '\0';
    rows[1].counter++;
    see(rows, 2, 100);
    ck_assert_uint_eq(plan_taking(100), 1);
    ck_assert_str_eq(writes.items[0].row.key, "b");
}
END_TEST

START_TEST(leaves_ended_broken_and_unlisted_rows_alone) {
    struct lease_row rows[3] = {row_of("a", "", 1), row_of("b", "", 1), row_of("c", "", 1)};
    rows[0].position.kind = POSITION_SHARD_END;
    rows[1].position.kind = POSITION_NONE;
    see(rows, 3, 0);
    add_shard("a", "", "", false);
    add_shard("b", "", "", true);
    leases_see_shards(&leases, &shards, true);
    ck_assert_uint_eq(plan_taking(0), 0);
}
END_TEST

START_TEST(makes_latest_a_time_when_it_takes) {
    struct lease_row rows[2] = {row_of("a", "", 1), row_of("b", "", 1)};
    rows[0].position = (struct kinesis_position){.kind = POSITION_LATEST};
    rows[1].position =
        (struct kinesis_position){.kind = POSITION_TIME, .time_ms = LEASE_TIME_UNKNOWN};
    see(rows, 2, 0);
    ck_assert_uint_eq(plan_taking(0), 2);
    for (size_t i = 0; i < 2; i++) {
        bool was_latest = writes.items[i].row.key[0] == 'a';
        ck_assert(writes.items[i].has_position);
        ck_assert_int_eq(writes.items[i].row.position.kind,
                         was_latest ? POSITION_TIME : POSITION_TRIM_HORIZON);
        ck_assert_int_eq(writes.items[i].row.position.time_ms, was_latest ? WALL_MS : 0);
    }
}
END_TEST

/* ---- holding ---- */

START_TEST(renews_at_a_third_of_the_failover_time) {
    hold("a", 1000);
    ck_assert_int_eq(leases_next_due_ms(&leases), 1000 + 3308);
    ck_assert(is_quiet(4307));
    struct lease_write write = next(4308);
    ck_assert_int_eq(write.kind, LEASE_RENEW);
    ck_assert_int_eq(write.expected, 6);
    ck_assert_int_eq(write.row.counter, 7);
    ck_assert_msg(is_quiet(20000), "one write at a time");
    leases_written(&leases, &write, LEASE_DONE, NULL, 4500);
    ck_assert_int_eq(leases_next_due_ms(&leases), 4308 + 3308); /* from its begin */
}
END_TEST

START_TEST(repeats_a_lost_try_with_the_same_counter_and_knows_its_own_success) {
    hold("a", 0);
    struct lease_write write = next(4000);
    leases_written(&leases, &write, LEASE_UNKNOWN, NULL, 5000);
    ck_assert(is_quiet(5000));
    struct lease_write again = next(5200);
    ck_assert_int_eq(again.expected, write.expected);
    leases_written(&leases, &again, LEASE_REFUSED, &write.row, 5300);
    ck_assert(leases_find(&leases, "a")->is_held);
    ck_assert_msg(leases_find(&leases, "a")->renewed_ms == 4000, "as of the first try");
}
END_TEST

START_TEST(a_scan_shows_that_a_lost_try_had_worked) {
    hold("a", 0);
    struct lease_write write = next(4000);
    leases_written(&leases, &write, LEASE_UNKNOWN, NULL, 5000);
    leases_see(&leases, &write.row, 5050);
    ck_assert(leases_find(&leases, "a")->is_held);
    ck_assert_int_eq(leases_find(&leases, "a")->row.counter, write.row.counter);
}
END_TEST

START_TEST(loses_what_another_took) {
    hold("a", 0);
    struct lease_write write = next(4000);
    struct lease_row taken = row_of("a", "other", 7);
    leases_written(&leases, &write, LEASE_REFUSED, &taken, 4100);
    ck_assert(lost("a"));
    ck_assert(!lost("a"));
    put("a", "500");
    ck_assert(is_quiet(50000));
    leases_done(&leases);
    leases_init(&leases, "me", FAILOVER_MS, &oldest, 1);
    hold("b", 0);
    taken = row_of("b", "me", 12); /* our name, but not our write */
    write = next(4000);
    leases_written(&leases, &write, LEASE_REFUSED, &taken, 4100);
    ck_assert(lost("b"));
}
END_TEST

START_TEST(loses_what_is_gone_and_what_a_scan_shows_with_another) {
    hold("a", 0);
    see(NULL, 0, 10);
    ck_assert(lost("a"));
    hold("b", 20);
    struct lease_row taken = row_of("b", "other", 7);
    see(&taken, 1, 30);
    ck_assert(lost("b"));
    hold("c", 40);
    struct lease_row old = row_of("c", "before", 5); /* read before we took it */
    see(&old, 1, 50);
    ck_assert(!lost("c"));
}
END_TEST

START_TEST(loses_what_it_could_not_renew_by_its_own_clock) {
    hold("a", 0);
    struct lease_write write = next(4000);
    leases_expire(&leases, 10000);
    ck_assert(!lost("a"));
    leases_expire(&leases, 10001);
    ck_assert(lost("a"));
    leases_written(&leases, &write, LEASE_DONE, NULL, 30000); /* too late */
    ck_assert(!leases_find(&leases, "a")->is_held);
    ck_assert_uint_eq(plan_taking(30000), 1); /* but nobody else has it: from its stored position */
    write_all(LEASE_DONE, 30000);
    write = next(34000);
    leases_written(&leases, &write, LEASE_DONE, NULL, 60000); /* stopped for long meanwhile */
    leases_expire(&leases, 60000);
    ck_assert_msg(lost("a"), "a renewal counts from when it was begun");
}
END_TEST

/* ---- positions ---- */

START_TEST(stores_at_most_once_a_second_when_asked) {
    hold("a", 0);
    put("a", "90"); /* behind what is stored */
    leases_flush(&leases, true);
    ck_assert(is_quiet(0));
    put("a", "101");
    put("a", "102");
    put("a", "99");
    ck_assert_msg(is_quiet(10), "nobody asked");
    leases_flush(&leases, false);
    struct lease_write write = next(20);
    ck_assert_int_eq(write.kind, LEASE_CHECKPOINT);
    ck_assert(write.has_position);
    ck_assert_str_eq(write.row.position.sequence, "102");
    ck_assert_int_eq(write.row.switches, 0);
    put("a", "103");
    leases_written(&leases, &write, LEASE_DONE, NULL, 30);
    leases_flush(&leases, false);
    ck_assert(is_quiet(1019));
    uint64_t mark = leases_flush(&leases, true);
    ck_assert(leases_has_unstored(&leases, mark));
    write = next(40);
    put("a", "104"); /* does not keep the flush waiting */
    leases_written(&leases, &write, LEASE_DONE, NULL, 50);
    ck_assert(!leases_has_unstored(&leases, mark));
    ck_assert(leases_has_unstored(&leases, leases_flush(&leases, false)));
}
END_TEST

START_TEST(keeps_a_position_that_could_not_be_stored) {
    hold("a", 0);
    put("a", "101");
    leases_flush(&leases, true);
    struct lease_write write = next(0);
    leases_written(&leases, &write, LEASE_UNKNOWN, NULL, 100);
    write = next(2000);
    ck_assert_str_eq(write.row.position.sequence, "101");
    leases_written(&leases, &write, LEASE_REFUSED, &write.row, 2100);
    ck_assert(!leases_has_unstored(&leases, UINT64_MAX));
}
END_TEST

START_TEST(gives_up_with_the_last_position) {
    hold("a", 0);
    put("a", "101");
    put("a", NULL); /* its children are not known: the end is not stored */
    ck_assert(!leases_leave(&leases));
    struct lease_write write = next(1);
    ck_assert_int_eq(write.kind, LEASE_EVICT);
    ck_assert_str_eq(write.row.owner, "");
    ck_assert_str_eq(write.row.position.sequence, "101");
    ck_assert_int_eq(write.row.counter, write.expected + 1);
    leases_written(&leases, &write, LEASE_DONE, NULL, 2);
    ck_assert(leases_leave(&leases));
    ck_assert(!lost("a"));
    ck_assert_uint_eq(plan_taking(100000), 0);
}
END_TEST

START_TEST(hands_over_what_a_leader_gave_to_another) {
    hold("a", 0);
    put("a", "101");
    struct lease_write write = next(4000);
    struct lease_row handed = write.row;
    handed.counter = write.expected;
    strcpy(handed.owner, "new");
    strcpy(handed.checkpoint_owner, "me");
    strcpy(handed.position.sequence, "100");
    leases_written(&leases, &write, LEASE_REFUSED, &handed, 4100);
    ck_assert(lost("a"));
    write = next(4200);
    ck_assert_int_eq(write.kind, LEASE_HAND_OVER);
    ck_assert_str_eq(write.row.checkpoint_owner, "");
    ck_assert_str_eq(write.row.owner, "new");
    ck_assert_str_eq(write.row.position.sequence, "101");
    leases_written(&leases, &write, LEASE_DONE, NULL, 4300);
    ck_assert(is_quiet(100000));
    ck_assert(!leases_find(&leases, "a")->is_held);
}
END_TEST

/* ---- shards ---- */

START_TEST(an_empty_table_begins_at_the_start_parents_first) {
    add_shard("a", "c", "", false);
    add_shard("b", "a", "", true);
    add_shard("c", "gone", "", false);
    ck_assert_uint_eq(plan_rows(WALL_MS), 3);
    ck_assert_str_eq(writes.items[0].row.key, "c");
    ck_assert_str_eq(writes.items[0].row.parents[0], "gone");
    ck_assert_str_eq(writes.items[1].row.key, "a");
    ck_assert_str_eq(writes.items[2].row.key, "b");
    ck_assert_int_eq(writes.items[2].row.position.kind, POSITION_TRIM_HORIZON);
    ck_assert_int_eq(writes.items[2].row.counter, 0);
}
END_TEST

START_TEST(a_start_at_now_needs_open_shards_and_their_parents) {
    leases.start = (struct kinesis_position){.kind = POSITION_TIME, .time_ms = WALL_MS};
    add_shard("a", "", "", false);
    add_shard("b", "a", "", false);
    add_shard("c", "b", "", true);
    ck_assert_uint_eq(plan_rows(WALL_MS + 500), 2);
    ck_assert_str_eq(writes.items[0].row.key, "b");
    ck_assert_str_eq(writes.items[1].row.key, "c");
    ck_assert_int_eq(writes.items[1].row.position.time_ms, WALL_MS);
    ck_assert_uint_eq(plan_rows(WALL_MS + 3600000), 3);
}
END_TEST

START_TEST(children_of_known_shards_begin_at_their_oldest) {
    leases.start = (struct kinesis_position){.kind = POSITION_TIME, .time_ms = WALL_MS};
    struct lease_row rows[2] = {row_of("a", "other", 1), row_of("gone", "", 1)};
    see(rows, 2, 0);
    add_shard("a", "old", "", false);
    add_shard("b", "a", "", false);
    add_shard("c", "b", "d", true);
    add_shard("d", "gone", "", false); /* its parent is not listed, but has a row */
    add_shard("old", "", "", false);   /* done: something that came of it has a row */
    ck_assert_uint_eq(plan_rows(WALL_MS), 3);
    for (size_t i = 0; i < 3; i++) {
        ck_assert_int_eq(writes.items[i].row.position.kind, POSITION_TRIM_HORIZON);
    }
    ck_assert_str_eq(writes.items[2].row.key, "c");
    ck_assert_str_eq(writes.items[2].row.parents[0], "b");
    ck_assert_str_eq(writes.items[2].row.parents[1], "d");
}
END_TEST

START_TEST(shards_that_nobody_knew_are_read_whole_once_reading_has_begun) {
    leases.start = (struct kinesis_position){.kind = POSITION_TIME, .time_ms = WALL_MS};
    struct lease_row row = row_of("a", "", 1);
    row.position = leases.start;
    see(&row, 1, 0);
    add_shard("a", "", "", true);
    add_shard("b", "", "", true);
    ck_assert_uint_eq(plan_rows(WALL_MS), 1);
    ck_assert_msg(writes.items[0].row.position.kind == POSITION_TIME, "another one was as fast");
    row = row_of("a", "", 2);
    see(&row, 1, 1);
    ck_assert_uint_eq(plan_rows(WALL_MS), 1);
    ck_assert_int_eq(writes.items[0].row.position.kind, POSITION_TRIM_HORIZON);
}
END_TEST

START_TEST(shards_that_descend_from_themselves_do_no_harm) {
    add_shard("a", "b", "", true);
    add_shard("b", "a", "b", false);
    ck_assert_uint_eq(plan_rows(WALL_MS), 2);
    struct lease_row row = row_of("a", "", 1);
    see(&row, 1, 0);
    ck_assert_uint_le(plan_rows(WALL_MS), 1);
}
END_TEST

START_TEST(an_end_waits_for_the_childrens_rows) {
    struct lease *lease = hold("a", 0);
    add_shard("a", "", "", false);
    put("a", "150");
    put("a", NULL);
    leases_see_shards(&leases, &shards, true);
    leases_ready_ends(&leases, &shards);
    ck_assert_msg(!lease->end_is_ready, "this list may have been fetched before");
    ck_assert(leases_are_waiting(&leases));
    add_shard("b", "a", "", true);
    add_shard("c", "a", "", true);
    leases_see_shards(&leases, &shards, true);
    ck_assert_uint_eq(plan_rows(WALL_MS), 2);
    leases_ready_ends(&leases, &shards);
    ck_assert(!leases_find(&leases, "a")->end_is_ready);
    write_all(LEASE_DONE, 10);
    ck_assert(!leases_may_begin(&leases, &shards, kinesis_shards_find(&shards, "b")));
    leases_ready_ends(&leases, &shards);
    struct lease_write write = next(20);
    ck_assert_int_eq(write.kind, LEASE_CHECKPOINT);
    ck_assert_int_eq(write.row.position.kind, POSITION_SHARD_END);
    ck_assert_str_eq(write.children[0], "b");
    ck_assert_str_eq(write.children[1], "c");
    leases_written(&leases, &write, LEASE_DONE, NULL, 30);
    ck_assert(!leases_find(&leases, "a")->is_held);
    ck_assert_msg(!lost("a"), "it is done, not lost");
    ck_assert(leases_may_begin(&leases, &shards, kinesis_shards_find(&shards, "b")));
}
END_TEST

START_TEST(an_end_without_children_needs_a_later_list) {
    hold("a", 0);
    add_shard("a", "", "", true);
    leases_see_shards(&leases, &shards, true);
    put("a", NULL);
    for (int i = 0; i < 4; i++) { /* fetched before or after, and stale: it is open still */
        leases_see_shards(&leases, &shards, true);
        leases_ready_ends(&leases, &shards);
        ck_assert(!leases_find(&leases, "a")->end_is_ready);
    }
    shards.items[0].is_open = false;
    leases_ready_ends(&leases, &shards);
    ck_assert(leases_find(&leases, "a")->end_is_ready);
}
END_TEST

START_TEST(cleans_up_when_children_have_begun) {
    struct lease_row rows[3] = {row_of("a", "x", 1), row_of("b", "x", 1), row_of("c", "x", 1)};
    rows[0].position.kind = POSITION_SHARD_END;
    rows[1].position.kind = POSITION_TRIM_HORIZON;
    strcpy(rows[1].parents[0], "a");
    strcpy(rows[2].parents[0], "a");
    add_shard("a", "", "", false);
    add_shard("b", "a", "", true);
    add_shard("c", "a", "", true);
    see(rows, 3, 0);
    leases_see_shards(&leases, &shards, true);
    ck_assert_uint_eq(plan_cleaning(200000), 0);
    rows[1] = row_of("b", "x", 2);
    see(rows, 3, 200000);
    ck_assert_uint_eq(plan_cleaning(200000), 1);
    ck_assert_int_eq(writes.items[0].kind, LEASE_DELETE);
    ck_assert_str_eq(writes.items[0].row.key, "a");
    write_all(LEASE_UNKNOWN, 200000);
    add_shard("d", "a", "", true); /* a child without a row */
    ck_assert_uint_eq(plan_cleaning(200000), 0);
}
END_TEST

START_TEST(cleans_up_shards_that_are_gone_only_if_they_were_of_this_stream) {
    struct lease_row rows[2] = {row_of("a", "", 1), row_of("z", "", 1)};
    add_shard("b", "a", "", true);
    see(rows, 2, 0);
    leases_see_shards(&leases, &shards, true);
    ck_assert_uint_eq(plan_cleaning(0), 0); /* its child has no row yet */
    ck_assert_uint_eq(plan_rows(WALL_MS), 1);
    write_all(LEASE_DONE, 0);
    ck_assert(leases_may_begin(&leases, &shards, &shards.items[0]));
    ck_assert_uint_eq(plan_cleaning(0), 1);
    ck_assert_str_eq(writes.items[0].row.key, "a");
}
END_TEST

static void add_tests(TCase *cases, const TTest *const *tests, size_t count) {
    tcase_add_checked_fixture(cases, set_up, tear_down);
    for (size_t i = 0; i < count; i++) {
        tcase_add_test(cases, tests[i]);
    }
}

int main(void) {
    Suite *suite = suite_create("lease");
    const TTest *const taking[] = {
        takes_what_nobody_has_at_first_sight_and_the_rest_when_it_stands_still,
        takes_its_share_and_steals_one_at_a_time,
        steals_at_even_shares_only_when_two_are_lacking,
        takes_very_old_ones_whatever_its_share,
        takes_its_own_again_but_not_in_the_middle_of_a_handover,
        leaves_ended_broken_and_unlisted_rows_alone,
        makes_latest_a_time_when_it_takes,
    };
    const TTest *const holding[] = {
        renews_at_a_third_of_the_failover_time,
        repeats_a_lost_try_with_the_same_counter_and_knows_its_own_success,
        a_scan_shows_that_a_lost_try_had_worked,
        loses_what_another_took,
        loses_what_is_gone_and_what_a_scan_shows_with_another,
        loses_what_it_could_not_renew_by_its_own_clock,
        stores_at_most_once_a_second_when_asked,
        keeps_a_position_that_could_not_be_stored,
        gives_up_with_the_last_position,
        hands_over_what_a_leader_gave_to_another,
    };
    const TTest *const of_shards[] = {
        an_empty_table_begins_at_the_start_parents_first,
        a_start_at_now_needs_open_shards_and_their_parents,
        children_of_known_shards_begin_at_their_oldest,
        shards_that_nobody_knew_are_read_whole_once_reading_has_begun,
        shards_that_descend_from_themselves_do_no_harm,
        an_end_waits_for_the_childrens_rows,
        an_end_without_children_needs_a_later_list,
        cleans_up_when_children_have_begun,
        cleans_up_shards_that_are_gone_only_if_they_were_of_this_stream,
    };
    TCase *cases = tcase_create("taking");
    add_tests(cases, taking, sizeof(taking) / sizeof(*taking));
    suite_add_tcase(suite, cases);
    cases = tcase_create("holding");
    add_tests(cases, holding, sizeof(holding) / sizeof(*holding));
    suite_add_tcase(suite, cases);
    cases = tcase_create("shards");
    add_tests(cases, of_shards, sizeof(of_shards) / sizeof(*of_shards));
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
