/* SPDX-License-Identifier: Apache-2.0 */
/* Text into JSON strings: jansson must read back what was meant. */
#include "base/json_write.h"

#include <jansson.h>
#include <stdio.h>

#include "unit.h"

static void expect(struct span text, struct span written) {
    char memory[256];
    struct buf out;
    buf_over(&out, memory, sizeof(memory));
    json_add(&out, text);
    ck_assert_msg(span_eq(buf_span(&out), written), "%.*s", SPAN_ARG(buf_span(&out)));
}

START_TEST(plain_text_stays) {
    expect(SPAN("eni-0123456789abcdef0 ACCEPT"), SPAN("eni-0123456789abcdef0 ACCEPT"));
    expect(SPAN("\x7F"), SPAN("\x7F"));
    expect(SPAN(""), SPAN(""));
    ck_assert(json_is_plain(SPAN("10.0.0.1 ok ~!")));
    ck_assert(json_is_plain(SPAN("")));
}
END_TEST

START_TEST(every_special_byte_is_seen_at_every_place) {
    for (int c = 0; c < 256; c++) {
        for (size_t at = 0; at < 20; at++) {
            char text[20];
            memset(text, 'a', sizeof(text));
            text[at] = (char)c;
            bool special = c < 0x20 || c >= 0x80 || c == '"' || c == '\\';
            ck_assert_msg(json_is_plain(span_of(text, sizeof(text))) == !special, "%d at %zu", c,
                          at);
        }
    }
}
END_TEST

START_TEST(control_characters_are_escaped) {
    expect(SPAN("a\"b\\c"), SPAN("a\\\"b\\\\c"));
    expect(SPAN("\b\f\n\r\t"), SPAN("\\b\\f\\n\\r\\t"));
    expect(SPAN("\x01\x1F"), SPAN("\\u0001\\u001f"));
}
END_TEST

START_TEST(what_is_no_text_is_replaced) {
    expect(SPAN("a\0b"), SPAN("a\xEF\xBF\xBD"
                              "b"));
    expect(SPAN("\xC0\xAF"), SPAN("\xEF\xBF\xBD\xEF\xBF\xBD"));                 /* overlong */
    expect(SPAN("\xED\xA0\x80"), SPAN("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")); /* surrogate */
    expect(SPAN("\xF4\x90\x80\x80"),
           SPAN("\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD")); /* behind U+10FFFF */
    expect(SPAN("\xE2\x82"), SPAN("\xEF\xBF\xBD\xEF\xBF\xBD"));       /* cut short */
    expect(SPAN("M\xC3\xBCnchen \xE2\x82\xAC \xF0\x9F\x98\x80"),
           SPAN("M\xC3\xBCnchen \xE2\x82\xAC \xF0\x9F\x98\x80"));
}
END_TEST

/* Writes `text` between quotes and has jansson read it. */
static json_t *read_back(const char *text, size_t len) {
    struct buf out;
    buf_init(&out, 1 << 20);
    buf_char(&out, '"');
    json_add(&out, span_of(text, len));
    buf_char(&out, '"');
    json_t *value = json_loadb(out.data, out.len, JSON_DECODE_ANY, NULL);
    buf_done(&out);
    ck_assert_ptr_nonnull(value);
    return value;
}

/* Every pair of bytes between two letters is a string that a receiver takes. */
START_TEST(any_two_bytes_are_a_string) {
    for (int i = 0; i < 65536; i++) {
        char text[4] = {'x', (char)(i >> 8), (char)i, 'y'};
        json_t *value = read_back(text, sizeof(text));
        size_t len = json_string_length(value);
        ck_assert(json_string_value(value)[0] == 'x' && json_string_value(value)[len - 1] == 'y');
        json_decref(value);
    }
}
END_TEST

START_TEST(long_text_is_cut_between_characters) {
    enum { LONG = 40000 };
    static char text[LONG];
    memset(text, 'a', LONG);
    json_t *value = read_back(text, LONG);
    ck_assert_uint_eq(json_string_length(value), JSON_STRING_MAX);
    json_decref(value);
    for (size_t i = 0; i + 1 < LONG; i += 2) {
        memcpy(text + i, "\xC3\xBC", 2);
    }
    value = read_back(text, LONG);
    ck_assert_uint_eq(json_string_length(value), JSON_STRING_MAX - 1);
    json_decref(value);
    memset(text, 0, LONG); /* each byte counts for the three that it becomes */
    value = read_back(text, LONG);
    ck_assert_uint_eq(json_string_length(value), JSON_STRING_MAX / 3 * 3);
    json_decref(value);
}
END_TEST

START_TEST(small_room_is_used_to_its_end) {
    char memory[4];
    struct buf out;
    buf_over(&out, memory, sizeof(memory));
    json_add(&out, SPAN("abcd"));
    ck_assert(span_eq(buf_span(&out), SPAN("abcd")) && !out.overflow);
    buf_clear(&out);
    json_add(&out, SPAN("abc\""));
    ck_assert(out.len == 0 && out.overflow);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json_write");
    TCase *tcase = tcase_create("json_write");
    tcase_add_test(tcase, plain_text_stays);
    tcase_add_test(tcase, every_special_byte_is_seen_at_every_place);
    tcase_add_test(tcase, control_characters_are_escaped);
    tcase_add_test(tcase, what_is_no_text_is_replaced);
    tcase_add_test(tcase, any_two_bytes_are_a_string);
    tcase_add_test(tcase, long_text_is_cut_between_characters);
    tcase_add_test(tcase, small_room_is_used_to_its_end);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
