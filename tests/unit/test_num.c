/* SPDX-License-Identifier: Apache-2.0 */
/* Decimal numbers: all of a text or nothing, at every length and at the ends of the range. */
#include <inttypes.h>
#include <stdio.h>

#include "base/num.h"
#include "unit.h"

static bool parse(const char *text, uint64_t max, uint64_t *value) {
    return num_parse_u64(span_str(text), max, value);
}

START_TEST(numbers_come_back) {
    uint64_t value = 0;
    for (uint64_t n = 1; n < UINT64_MAX / 20; n = n * 3 + 1) {
        char text[32], out[NUM_DIGITS_MAX];
        snprintf(text, sizeof(text), "%" PRIu64, n);
        ck_assert_msg(parse(text, INT64_MAX, &value) && value == n, "%s", text);
        size_t len = num_format_u64(n, out);
        ck_assert(span_eq(span_of(out, len), span_str(text)));
    }
    char out[NUM_DIGITS_MAX];
    ck_assert(span_eq(span_of(out, num_format_u64(UINT64_MAX, out)), SPAN("18446744073709551615")));
    ck_assert(span_eq(span_of(out, num_format_u64(0, out)), SPAN("0")));
}
END_TEST

START_TEST(the_range_ends_where_it_ends) {
    uint64_t value = 7;
    ck_assert(parse("65535", 65535, &value) && value == 65535);
    value = 7;
    ck_assert(!parse("65536", 65535, &value));
    ck_assert(parse("9223372036854775807", INT64_MAX, &value));
    value = 7;
    ck_assert(!parse("9223372036854775808", INT64_MAX, &value));
    ck_assert(!parse("99999999999999999999", UINT64_MAX, &value));
    ck_assert_uint_eq(value, 7);
}
END_TEST

START_TEST(what_is_no_number_is_refused) {
    static const char *const texts[] = {"",    "-",     "-1",        "+1",      " 1", "1 ",
                                        "1.0", "1e3",   "0x1",       "00",      "01", "1a",
                                        "a1",  "1,000", "12345678x", "1234567/"};
    uint64_t value = 7;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        ck_assert_msg(!parse(texts[i], UINT64_MAX, &value), "\"%s\"", texts[i]);
    }
    ck_assert(!num_parse_u64(span_of("1\0", 2), UINT64_MAX, &value));
    ck_assert_uint_eq(value, 7);
}
END_TEST

START_TEST(signed_numbers) {
    int64_t value;
    ck_assert(num_parse_i64(SPAN("-9223372036854775807"), &value) && value == -INT64_MAX);
    ck_assert(num_parse_i64(SPAN("-0"), &value) && value == 0);
    ck_assert(num_parse_i64(SPAN("42"), &value) && value == 42);
    ck_assert(!num_parse_i64(SPAN("-"), &value));
    ck_assert(!num_parse_i64(SPAN("--1"), &value));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("num");
    TCase *cases = tcase_create("numbers");
    tcase_add_test(cases, numbers_come_back);
    tcase_add_test(cases, the_range_ends_where_it_ends);
    tcase_add_test(cases, what_is_no_number_is_refused);
    tcase_add_test(cases, signed_numbers);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
