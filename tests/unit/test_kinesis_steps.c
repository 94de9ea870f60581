/* SPDX-License-Identifier: Apache-2.0 */
/* Which position is reached when which batch is delivered. */
#include "input/kinesis_steps.h"

#include "unit.h"

static struct kinesis_steps steps;
static struct kinesis_step step;

static void push(uint64_t number, struct kinesis_track *track, int64_t sub) {
    struct kinesis_position position = {.kind = POSITION_SEQUENCE, .sub = sub};
    kinesis_steps_push(&steps, number, track, &position);
}

START_TEST(a_step_comes_out_when_its_batch_is_delivered) {
    struct kinesis_track *a = kinesis_track_make("a", 1), *b = kinesis_track_make("b", 2);
    push(1, a, 10);
    push(2, b, 20);
    push(2, a, 11);
    ck_assert(!kinesis_steps_pop(&steps, 0, &step));
    ck_assert(kinesis_steps_pop(&steps, 1, &step));
    ck_assert_str_eq(step.track->id, "a");
    ck_assert_int_eq(step.position.sub, 10);
    kinesis_track_release(step.track);
    ck_assert(!kinesis_steps_pop(&steps, 1, &step));
    ck_assert(kinesis_steps_pop(&steps, 7, &step));
    ck_assert_uint_eq(step.track->tenure, 2);
    kinesis_track_release(step.track);
    ck_assert(kinesis_steps_pop(&steps, 7, &step));
    ck_assert_int_eq(step.position.sub, 11);
    kinesis_track_release(step.track);
    ck_assert(!kinesis_steps_pop(&steps, UINT64_MAX, &step));
    kinesis_track_release(a);
    kinesis_track_release(b);
    kinesis_steps_done(&steps);
}
END_TEST

START_TEST(within_a_batch_the_last_position_of_a_shard_counts) {
    struct kinesis_track *a = kinesis_track_make("a", 1);
    push(5, a, 1);
    push(5, a, 2);
    ck_assert(kinesis_steps_pop(&steps, 5, &step));
    ck_assert_int_eq(step.position.sub, 2);
    kinesis_track_release(step.track);
    ck_assert(!kinesis_steps_pop(&steps, 5, &step));
    kinesis_track_release(a);
    kinesis_steps_done(&steps);
}
END_TEST

START_TEST(a_track_outlives_its_reader) {
    struct kinesis_track *a = kinesis_track_make("a", 1);
    push(1, a, 1);
    kinesis_track_release(a); /* the reader's */
    ck_assert(kinesis_steps_pop(&steps, 1, &step));
    ck_assert_str_eq(step.track->id, "a");
    kinesis_track_release(step.track);
    kinesis_steps_done(&steps);
}
END_TEST

START_TEST(it_grows_up_to_its_ceiling) {
    struct kinesis_track *a = kinesis_track_make("a", 1), *b = kinesis_track_make("b", 2);
    uint64_t number = 0;
    push(++number, a, 1); /* the ring's beginning lies in its middle */
    ck_assert(kinesis_steps_pop(&steps, number, &step));
    kinesis_track_release(step.track);
    while (kinesis_steps_have_room(&steps)) {
        number++;
        push(number, number % 2 ? b : a, (int64_t)number);
    }
    ck_assert_uint_eq(number, KINESIS_STEPS_MAX + 1);
    for (uint64_t i = 2; i <= number; i++) {
        ck_assert(kinesis_steps_pop(&steps, i, &step));
        ck_assert_int_eq(step.position.sub, (int64_t)i);
        kinesis_track_release(step.track);
    }
    ck_assert(kinesis_steps_have_room(&steps));
    kinesis_track_release(a);
    kinesis_track_release(b);
    kinesis_steps_done(&steps);
}
END_TEST

static void setup(void) {
    steps = (struct kinesis_steps){0};
}

int main(void) {
    Suite *suite = suite_create("kinesis_steps");
    TCase *tcase = tcase_create("all");
    tcase_add_checked_fixture(tcase, setup, NULL);
    tcase_add_test(tcase, a_step_comes_out_when_its_batch_is_delivered);
    tcase_add_test(tcase, within_a_batch_the_last_position_of_a_shard_counts);
    tcase_add_test(tcase, a_track_outlives_its_reader);
    tcase_add_test(tcase, it_grows_up_to_its_ceiling);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
