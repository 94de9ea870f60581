/* SPDX-License-Identifier: Apache-2.0 */
/* Where text may be cut: between lines, or between top-level JSON objects. */
#include "input/file_cut.h"

#include <check.h>

#include "unit.h"

/* What is cut off when the text comes at once, and that it is the same when it comes byte by byte.
   */
static size_t whole(const char *text) {
    struct span all = span_str(text);
    struct file_cut at_once = {0}, by_bytes = {0};
    size_t size = file_cut(&at_once, all), last = 0;
    for (size_t len = 1; len <= all.len; len++) {
        last = file_cut(&by_bytes, span_of(all.p, len));
    }
    ck_assert_uint_eq(last, size);
    return size;
}

START_TEST(lines) {
    ck_assert_uint_eq(whole(""), 0);
    ck_assert_uint_eq(whole("2 123 eni-1"), 0);
    ck_assert_uint_eq(whole("one\n"), 4);
    ck_assert_uint_eq(whole("one\ntwo\nthr"), 8);
    ck_assert_uint_eq(whole("one {\ntwo"), 6);
    ck_assert_uint_eq(whole(" \n\n"), 0);
}
END_TEST

START_TEST(objects_stay_whole) {
    ck_assert_uint_eq(whole("{\"a\": [1,\n{\"b\": 2}]\n"), 0);
    ck_assert_uint_eq(whole("{\"a\":\n1}{\"b\":"), 8);
    ck_assert_uint_eq(whole("{\"a\":\n1}\n{\"b\":"), 9);
    ck_assert_uint_eq(whole("\n [1]\n[2"), 6);
    ck_assert_uint_eq(whole("{\"a\":1}{\"b\":2}"), 14);
}
END_TEST

START_TEST(strings_hide_braces) {
    ck_assert_uint_eq(whole("{\"}\": \"\\\"}\""), 0);
    ck_assert_uint_eq(whole("{\"}\": \"\\\"}\"}x"), 12);
    ck_assert_uint_eq(whole("{\"a\\\\\": 1} "), 10);
}
END_TEST

START_TEST(a_torn_object_ends_with_its_line) {
    ck_assert_uint_eq(whole("{\"message\": \"torn\n{\"a\": 1}\n{"), 27);
}
END_TEST

START_TEST(bare_lines_among_objects) {
    ck_assert_uint_eq(whole("{\"a\":1}\n2 123 [eni {\n3 4"), 21);
    ck_assert_uint_eq(whole("{}\n}\n]\n{\"a\":"), 7);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("file_cut");
    TCase *tcase = tcase_create("file_cut");
    tcase_add_test(tcase, lines);
    tcase_add_test(tcase, objects_stay_whole);
    tcase_add_test(tcase, strings_hide_braces);
    tcase_add_test(tcase, a_torn_object_ends_with_its_line);
    tcase_add_test(tcase, bare_lines_among_objects);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
