/* SPDX-License-Identifier: Apache-2.0 */
/* Hash keys, sequence numbers, the order of positions, and lists of shards. */
#include "input/kinesis_types.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "unit.h"

#define HASH_MAX "340282366920938463463374607431768211455"

static void same_hash(const char *digits) {
    unsigned __int128 hash = 7;
    char text[KINESIS_HASH_SIZE];
    ck_assert(kinesis_hash_parse(span_str(digits), &hash));
    kinesis_hash_format(hash, text);
    ck_assert_str_eq(text, digits);
}

START_TEST(a_hash_is_128_bits_and_no_more) {
    unsigned __int128 hash = 7;
    same_hash("0");
    same_hash("9");
    same_hash("18446744073709551616");
    same_hash("170141183460469231731687303715884105728");
    same_hash(HASH_MAX);
    ck_assert(kinesis_hash_parse(SPAN("00012"), &hash));
    ck_assert(hash == 12);
    ck_assert(kinesis_hash_parse(SPAN(HASH_MAX), &hash));
    ck_assert(hash == ~(unsigned __int128)0);
    hash = 7;
    ck_assert(!kinesis_hash_parse(SPAN("340282366920938463463374607431768211456"), &hash));
    ck_assert(!kinesis_hash_parse(SPAN("3402823669209384634633746074317682114550"), &hash));
    ck_assert(!kinesis_hash_parse(SPAN(""), &hash));
    ck_assert(!kinesis_hash_parse(SPAN("-1"), &hash));
    ck_assert(!kinesis_hash_parse(SPAN("12a"), &hash));
    ck_assert(hash == 7);
}
END_TEST

static struct kinesis_position at(enum kinesis_position_kind kind, const char *sequence,
                                  int64_t number) {
    struct kinesis_position position = {.kind = kind};
    if (kind == POSITION_SEQUENCE) {
        ck_assert(kinesis_sequence_set(position.sequence, span_str(sequence)));
        position.sub = number;
    } else {
        position.time_ms = number;
    }
    return position;
}

START_TEST(positions_have_one_order) {
    struct kinesis_position order[] = {
        at(POSITION_NONE, "", 0),
        at(POSITION_TIME, "", 1000),
        at(POSITION_TIME, "", 2000),
        at(POSITION_TRIM_HORIZON, "", 0),
        at(POSITION_LATEST, "", 0),
        at(POSITION_SEQUENCE, "0", 0),
        at(POSITION_SEQUENCE, "9", 0),
        at(POSITION_SEQUENCE, "010", 0),
        at(POSITION_SEQUENCE, "49654408065041167856344494471019467136263915229111386114", 0),
        at(POSITION_SEQUENCE, "49654408065041167856344494471019467136263915229111386114", 2),
        at(POSITION_SEQUENCE, "49654408065041167856344494471019467136263915229111386114", 10),
        at(POSITION_SEQUENCE, "49654408065041167856344494471019467136263915229111386115", 0),
        at(POSITION_SEQUENCE, "149654408065041167856344494471019467136263915229111386114", 0),
        at(POSITION_SHARD_END, "", 0),
    };
    int count = sizeof(order) / sizeof(order[0]);
    for (int i = 0; i < count; i++) {
        for (int j = 0; j < count; j++) {
            int sign = kinesis_position_compare(&order[i], &order[j]);
            ck_assert_int_eq((sign > 0) - (sign < 0), (i > j) - (i < j));
        }
    }
    struct kinesis_position zeros = at(POSITION_SEQUENCE, "000", 0);
    ck_assert_int_eq(kinesis_position_compare(&zeros, &order[5]), 0);
}
END_TEST

static void shown_as(struct kinesis_position position, const char *expected) {
    struct buf out;
    buf_init(&out, 1000);
    kinesis_position_format(&position, &out);
    ck_assert_str_eq(buf_cstr(&out), expected);
    buf_done(&out);
}

START_TEST(positions_are_shown_for_people) {
    shown_as(at(POSITION_NONE, "", 0), "none");
    shown_as(at(POSITION_TIME, "", 1700000000123), "AT_TIMESTAMP 2023-11-14T22:13:20.123Z");
    shown_as(at(POSITION_TIME, "", -1), "AT_TIMESTAMP 1969-12-31T23:59:59.999Z");
    shown_as(at(POSITION_TIME, "", INT64_MAX), "AT_TIMESTAMP 292278994-08-17T07:12:55.807Z");
    shown_as(at(POSITION_TRIM_HORIZON, "", 0), "TRIM_HORIZON");
    shown_as(at(POSITION_LATEST, "", 0), "LATEST");
    shown_as(at(POSITION_SEQUENCE, "4958", 0), "4958");
    shown_as(at(POSITION_SEQUENCE, "4958", 3), "4958:3");
    shown_as(at(POSITION_SHARD_END, "", 0), "SHARD_END");
}
END_TEST

START_TEST(names_that_are_none_change_nothing) {
    char sequence[KINESIS_SEQUENCE_SIZE] = "1", id[KINESIS_ID_SIZE] = "a", longest[200];
    memset(longest, '7', sizeof(longest));
    ck_assert(!kinesis_sequence_set(sequence, SPAN("")));
    ck_assert(!kinesis_sequence_set(sequence, SPAN("12 ")));
    ck_assert(!kinesis_sequence_set(sequence, SPAN("TRIM_HORIZON")));
    ck_assert(!kinesis_sequence_set(sequence, span_of(longest, KINESIS_SEQUENCE_SIZE)));
    ck_assert_str_eq(sequence, "1");
    ck_assert(kinesis_sequence_set(sequence, span_of(longest, KINESIS_SEQUENCE_SIZE - 1)));
    ck_assert_uint_eq(strlen(sequence), KINESIS_SEQUENCE_SIZE - 1);
    ck_assert(!kinesis_id_set(id, SPAN("")));
    ck_assert(!kinesis_id_set(id, SPAN("a\"b")));
    ck_assert(!kinesis_id_set(id, SPAN("a\0b")));
    ck_assert(!kinesis_id_set(id, span_of(longest, KINESIS_ID_SIZE)));
    ck_assert_str_eq(id, "a");
    ck_assert(kinesis_id_set(id, SPAN("shardId-000000000000_A.z")));
    ck_assert_str_eq(id, "shardId-000000000000_A.z");
}
END_TEST

static void add(struct kinesis_shards *shards, int number, bool is_open) {
    struct kinesis_shard shard = {.is_open = is_open};
    struct err err;
    snprintf(shard.id, sizeof(shard.id), "shardId-%012d", number);
    ck_assert_int_eq(kinesis_shards_add(shards, &shard, &err), 0);
}

START_TEST(a_list_is_sorted_and_has_each_shard_once) {
    struct kinesis_shards shards = {0};
    kinesis_shards_finish(&shards);
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 100; i++) {
            add(&shards, i * 37 % 100, round == 1);
        }
    }
    kinesis_shards_finish(&shards);
    ck_assert_uint_eq(shards.count, 100);
    for (size_t i = 0; i < shards.count; i++) {
        char id[40];
        snprintf(id, sizeof(id), "shardId-%012d", (int)i);
        ck_assert_str_eq(shards.items[i].id, id);
        ck_assert(shards.items[i].is_open); /* the copy that came last */
        ck_assert_ptr_eq(kinesis_shards_find(&shards, id), &shards.items[i]);
    }
    ck_assert_ptr_null(kinesis_shards_find(&shards, ""));
    ck_assert_ptr_null(kinesis_shards_find(&shards, "shardId-000000000100"));
    add(&shards, 100, true); /* in order already */
    kinesis_shards_finish(&shards);
    ck_assert_uint_eq(shards.count, 101);
    kinesis_shards_done(&shards);
    ck_assert_uint_eq(shards.count, 0);
}
END_TEST

START_TEST(a_list_has_a_ceiling) {
    struct kinesis_shards shards = {0};
    struct kinesis_shard one_more = {.id = "z"};
    struct err err;
    for (int i = 0; i < KINESIS_SHARDS_MAX; i++) {
        add(&shards, i, true);
    }
    ck_assert_int_eq(kinesis_shards_add(&shards, &one_more, &err), -1);
    ck_assert_int_eq(err.kind, ERR_DATA);
    ck_assert_uint_eq(shards.count, KINESIS_SHARDS_MAX);
    kinesis_shards_done(&shards);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kinesis_types");
    TCase *tcase = tcase_create("kinesis_types");
    tcase_add_test(tcase, a_hash_is_128_bits_and_no_more);
    tcase_add_test(tcase, positions_have_one_order);
    tcase_add_test(tcase, positions_are_shown_for_people);
    tcase_add_test(tcase, names_that_are_none_change_nothing);
    tcase_add_test(tcase, a_list_is_sorted_and_has_each_shard_once);
    tcase_add_test(tcase, a_list_has_a_ceiling);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
