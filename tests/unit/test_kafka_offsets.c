/* SPDX-License-Identifier: Apache-2.0 */
/* The bookkeeping of positions: nothing is due before it is delivered, nothing of what went. */
#include "input/kafka_offsets.h"

#include <check.h>

#include "unit.h"

static struct kafka_offsets offsets;
static size_t a, b;

static void set_up(void) {
    kafka_offsets_init(&offsets);
    a = kafka_offsets_add(&offsets, "flows", 0, 100, 100);
    b = kafka_offsets_add(&offsets, "flows", 1, -2, -2);
}

static void tear_down(void) {
    kafka_offsets_done(&offsets);
}

static int64_t due(size_t part) {
    return kafka_offsets_due(offsets.parts[part]);
}

START_TEST(only_what_is_delivered_is_due) {
    ck_assert_int_eq(due(a), -1);
    ck_assert_int_eq(due(b), -1);
    kafka_offsets_hand_out(&offsets, 1, a, 100);
    kafka_offsets_hand_out(&offsets, 1, a, 101);
    kafka_offsets_hand_out(&offsets, 1, b, 7);
    kafka_offsets_hand_out(&offsets, 2, a, 102);
    ck_assert_int_eq(due(a), -1);
    kafka_offsets_deliver(&offsets, 1);
    ck_assert_int_eq(due(a), 102);
    ck_assert_int_eq(due(b), 8);
    kafka_offsets_deliver(&offsets, 2);
    ck_assert_int_eq(due(a), 103);
}
END_TEST

START_TEST(a_refused_request_is_due_again) {
    kafka_offsets_hand_out(&offsets, 1, a, 100);
    kafka_offsets_deliver(&offsets, 1);
    offsets.parts[a]->sent = due(a);
    ck_assert_int_eq(due(a), -1);
    kafka_offsets_answer(offsets.parts[a], -1);
    ck_assert_int_eq(due(a), 101);
    offsets.parts[a]->sent = due(a);
    kafka_offsets_answer(offsets.parts[a], 101);
    ck_assert_int_eq(due(a), -1);
    ck_assert_int_eq(offsets.parts[a]->stored, 101);
}
END_TEST

START_TEST(what_went_is_never_stored) {
    kafka_offsets_hand_out(&offsets, 1, a, 100);
    kafka_offsets_hand_out(&offsets, 1, b, 5);
    kafka_offsets_remove(&offsets, a);
    size_t again = kafka_offsets_add(&offsets, "other", 9, 0, 0);
    ck_assert_uint_eq(again, a); /* the slot is used again, its old steps are not */
    kafka_offsets_deliver(&offsets, 1);
    ck_assert_int_eq(due(again), -1);
    ck_assert_int_eq(due(b), 6);
    ck_assert_int_eq(kafka_offsets_find(&offsets, "flows", 0), -1);
    ck_assert_int_eq(kafka_offsets_find(&offsets, "other", 9), (int)again);
}
END_TEST

START_TEST(forgetting_goes_back_to_what_is_delivered) {
    kafka_offsets_hand_out(&offsets, 1, a, 100);
    kafka_offsets_hand_out(&offsets, 2, a, 101);
    kafka_offsets_deliver(&offsets, 1);
    kafka_offsets_forget(&offsets);
    ck_assert_int_eq(offsets.parts[a]->next, 101);
    kafka_offsets_deliver(&offsets, 2);
    ck_assert_int_eq(due(a), 101);
}
END_TEST

START_TEST(gaps_are_told_where_the_place_is_known) {
    ck_assert_int_eq(kafka_offsets_hand_out(&offsets, 1, a, 100), 0);
    ck_assert_int_eq(kafka_offsets_hand_out(&offsets, 1, a, 105), 4);
    ck_assert_int_eq(kafka_offsets_hand_out(&offsets, 1, b, 50), 0);
    ck_assert_int_eq(kafka_offsets_hand_out(&offsets, 1, b, 51), 0);
}
END_TEST

START_TEST(a_topic_made_anew_stores_lower_offsets) {
    kafka_offsets_hand_out(&offsets, 1, a, 3);
    kafka_offsets_deliver(&offsets, 1);
    ck_assert_int_eq(due(a), 4);
}
END_TEST

START_TEST(what_records_point_to_stays) {
    const struct kafka_part *part = offsets.parts[a];
    const char *topic = part->topic;
    kafka_offsets_hand_out(&offsets, 1, a, 100);
    for (int i = 2; i < 1000; i++) {
        kafka_offsets_add(&offsets, "flows", i, 0, 0);
    }
    ck_assert_uint_eq(kafka_offsets_add(&offsets, "flows", 0, 50, 50), a);
    ck_assert_ptr_eq(offsets.parts[a], part);
    ck_assert_ptr_eq(part->topic, topic);
    ck_assert_str_eq(part->shard, "0");
    kafka_offsets_deliver(&offsets, 1); /* of its former life */
    ck_assert_int_eq(due(a), -1);
    ck_assert_int_eq(part->next, 50);
}
END_TEST

START_TEST(many_batches_on_their_way) {
    ck_assert(kafka_offsets_have_room(&offsets, 4096));
    for (uint64_t number = 1; number <= KAFKA_OFFSETS_MAX; number++) {
        kafka_offsets_hand_out(&offsets, number, a, 99 + (int64_t)number);
    }
    ck_assert(!kafka_offsets_have_room(&offsets, 1));
    kafka_offsets_deliver(&offsets, 5000);
    ck_assert_int_eq(due(a), 5100);
    ck_assert(kafka_offsets_have_room(&offsets, 4096));
    ck_assert(!kafka_offsets_have_room(&offsets, 5001));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kafka_offsets");
    TCase *tcase = tcase_create("kafka_offsets");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, only_what_is_delivered_is_due);
    tcase_add_test(tcase, a_refused_request_is_due_again);
    tcase_add_test(tcase, what_went_is_never_stored);
    tcase_add_test(tcase, forgetting_goes_back_to_what_is_delivered);
    tcase_add_test(tcase, gaps_are_told_where_the_place_is_known);
    tcase_add_test(tcase, a_topic_made_anew_stores_lower_offsets);
    tcase_add_test(tcase, what_records_point_to_stays);
    tcase_add_test(tcase, many_batches_on_their_way);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
