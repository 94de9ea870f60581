/* SPDX-License-Identifier: Apache-2.0 */
#include "core/backoff.h"

#include "unit.h"

START_TEST(doubles_from_the_first_step_to_the_last) {
    const int64_t steps_ms[] = {100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000};
    struct backoff backoff = {0};
    for (size_t i = 0; i < sizeof steps_ms / sizeof *steps_ms; i++) {
        ck_assert_int_eq(backoff_next(&backoff, UINT32_MAX), steps_ms[i]);
    }
}
END_TEST

START_TEST(jitter_takes_away_half_at_most) {
    struct backoff backoff = {0};
    ck_assert_int_eq(backoff_next(&backoff, 0), 50);
    ck_assert_int_eq(backoff_next(&backoff, UINT32_MAX / 2), 150);
    ck_assert_int_eq(backoff_next(&backoff, 0), 200);
}
END_TEST

START_TEST(a_success_starts_anew) {
    struct backoff backoff = {0};
    for (int i = 0; i < 1000; i++) {
        backoff_next(&backoff, 1);
    }
    backoff_reset(&backoff);
    ck_assert_int_eq(backoff_next(&backoff, UINT32_MAX), 100);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("backoff");
    TCase *steps = tcase_create("steps");
    tcase_add_test(steps, doubles_from_the_first_step_to_the_last);
    tcase_add_test(steps, jitter_takes_away_half_at_most);
    tcase_add_test(steps, a_success_starts_anew);
    suite_add_tcase(suite, steps);
    return run_suite(suite);
}
