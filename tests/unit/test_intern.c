/* SPDX-License-Identifier: Apache-2.0 */
/* base/intern: the same bytes give the same number, through growth. */
#include "base/intern.h"

#include <stdio.h>

#include "unit.h"

START_TEST(test_numbers_are_dense_and_stay) {
    struct intern *intern = intern_open();
    char text[32];
    for (uint32_t i = 0; i < 20000; i++) {
        int len = snprintf(text, sizeof(text), "key %u", i);
        ck_assert_uint_eq(intern_add(intern, span_of(text, (size_t)len)), i);
    }
    ck_assert_uint_eq(intern_count(intern), 20000);
    for (uint32_t i = 0; i < 20000; i++) {
        int len = snprintf(text, sizeof(text), "key %u", i);
        ck_assert_uint_eq(intern_add(intern, span_of(text, (size_t)len)), i);
        ck_assert_uint_eq(intern_find(intern, span_of(text, (size_t)len)), i);
        ck_assert(span_eq(intern_get(intern, i), span_of(text, (size_t)len)));
    }
    ck_assert_uint_eq(intern_find(intern, SPAN("key 20000")), INTERN_NONE);
    ck_assert_uint_eq(intern_count(intern), 20000);
    intern_close(intern);
    intern_close(NULL);
}
END_TEST

/* Bytes count, not C strings. */
START_TEST(test_any_bytes) {
    struct intern *intern = intern_open();
    ck_assert_uint_eq(intern_find(intern, SPAN("")), INTERN_NONE);
    ck_assert_uint_eq(intern_add(intern, SPAN("a\0b")), 0);
    ck_assert_uint_eq(intern_add(intern, span_of(NULL, 0)), 1);
    ck_assert_uint_eq(intern_add(intern, SPAN("a\0c")), 2);
    ck_assert_uint_eq(intern_add(intern, SPAN("a")), 3);
    ck_assert_uint_eq(intern_add(intern, SPAN("")), 1);
    ck_assert(span_eq(intern_get(intern, 2), SPAN("a\0c")));
    ck_assert_uint_eq(intern_get(intern, 1).len, 0);
    intern_close(intern);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("intern");
    TCase *tcase = tcase_create("intern");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_numbers_are_dense_and_stay);
    tcase_add_test(tcase, test_any_bytes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
