/* SPDX-License-Identifier: Apache-2.0 */
/* Bufs, spans and errors: ceilings hold, nothing half-written, texts are cut and never overrun. */
#include <errno.h>
#include <stdio.h>

#include "base/buf.h"
#include "base/err.h"
#include "unit.h"

START_TEST(a_ceiling_holds_and_nothing_is_half_written) {
    struct buf buf;
    buf_init(&buf, 1000);
    for (int i = 0; i < 33; i++) {
        buf_add(&buf, SPAN("thirty bytes of text, as it is"));
    }
    ck_assert_uint_eq(buf.len, 990);
    ck_assert(!buf.overflow);
    buf_add(&buf, SPAN("eleven byte"));
    ck_assert(buf.overflow);
    ck_assert_uint_eq(buf.len, 990);
    buf_add(&buf, SPAN("ten bytes."));
    ck_assert_uint_eq(buf.len, 1000);
    buf_char(&buf, 'x');
    ck_assert_uint_eq(buf.len, 1000);
    ck_assert_str_eq(buf_cstr(&buf), "");
    buf_clear(&buf);
    ck_assert(!buf.overflow);
    buf_done(&buf);
}
END_TEST

START_TEST(foreign_memory_never_grows) {
    char memory[16];
    struct buf buf;
    buf_over(&buf, memory, sizeof(memory));
    buf_printf(&buf, "%s", "0123456789");
    buf_u64(&buf, 1);
    ck_assert(buf.overflow); /* a number asks for the room of the longest one */
    ck_assert(span_eq(buf_span(&buf), SPAN("0123456789")));
    ck_assert_str_eq(buf_cstr(&buf), "0123456789");
    buf_done(&buf);
}
END_TEST

START_TEST(numbers) {
    struct buf buf;
    buf_init(&buf, 100);
    buf_i64(&buf, INT64_MIN);
    buf_char(&buf, ' ');
    buf_i64(&buf, INT64_MAX);
    ck_assert_str_eq(buf_cstr(&buf), "-9223372036854775808 9223372036854775807");
    buf_done(&buf);
}
END_TEST

START_TEST(spans_are_cut) {
    struct span rest = SPAN("a,,b,"), part;
    ck_assert(span_cut(&rest, ',', &part) && span_eq(part, SPAN("a")));
    ck_assert(span_cut(&rest, ',', &part) && part.len == 0);
    ck_assert(span_cut(&rest, ',', &part) && span_eq(part, SPAN("b")));
    ck_assert(!span_cut(&rest, ',', &part));
    ck_assert(span_eq(span_trim(SPAN(" \t x y\r\n")), SPAN("x y")));
    ck_assert_uint_eq(span_trim(SPAN(" \r\n")).len, 0);
    ck_assert(span_eq(span_of(NULL, 0), SPAN("")));
}
END_TEST

START_TEST(errors_grow_on_the_way_up) {
    struct err err;
    errno = ENOENT;
    ck_assert_int_eq(err_sys(&err, ERR_CONFIG, "%s", "file.txt"), -1);
    ck_assert_int_eq(err.sys, ENOENT);
    ck_assert_int_eq(err_wrap(&err, "enrich.%s", "geo"), -1);
    ck_assert_str_eq(err.text, "enrich.geo: file.txt: No such file or directory");
    ck_assert_int_eq(err.kind, ERR_CONFIG);
}
END_TEST

START_TEST(long_errors_are_cut) {
    struct err err;
    char text[3 * sizeof(err.text)];
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    err_set(&err, ERR_DATA, "%s", text);
    err_wrap(&err, "%s", text);
    errno = EIO;
    err_sys(&err, ERR_RETRY, "%s", text);
    ck_assert_uint_eq(strlen(err.text), sizeof(err.text) - 1);
    ck_assert_int_eq(err_set(NULL, ERR_DATA, "nobody asks"), -1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("buf");
    TCase *cases = tcase_create("bufs, spans, errors");
    tcase_add_test(cases, a_ceiling_holds_and_nothing_is_half_written);
    tcase_add_test(cases, foreign_memory_never_grows);
    tcase_add_test(cases, numbers);
    tcase_add_test(cases, spans_are_cut);
    tcase_add_test(cases, errors_grow_on_the_way_up);
    tcase_add_test(cases, long_errors_are_cut);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
