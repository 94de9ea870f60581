/* SPDX-License-Identifier: Apache-2.0 */
/* Base64 against the vectors of RFC 4648 section 10, and what must be refused. */
#include "base/base64.h"

#include "unit.h"

static const struct {
    const char *bytes, *text;
} vectors[] = {
    {"", ""},
    {"f", "Zg=="},
    {"fo", "Zm8="},
    {"foo", "Zm9v"},
    {"foob", "Zm9vYg=="},
    {"fooba", "Zm9vYmE="},
    {"foobar", "Zm9vYmFy"},
    {"\xfb\xff\xbf", "+/+/"},
};

START_TEST(vectors_go_both_ways) {
    struct buf out;
    buf_init(&out, 64);
    buf_add(&out, SPAN("x"));
    base64_encode(span_str(vectors[_i].bytes), &out);
    ck_assert(span_eq(span_skip(buf_span(&out), 1), span_str(vectors[_i].text)));
    char back[16];
    ssize_t len = base64_decode(span_str(vectors[_i].text), back);
    ck_assert_int_eq(len, (ssize_t)strlen(vectors[_i].bytes));
    ck_assert(span_eq(span_of(back, (size_t)len), span_str(vectors[_i].bytes)));
    buf_done(&out);
}
END_TEST

START_TEST(all_bytes_survive_in_place) {
    char bytes[256 + 1], text[400];
    for (size_t len = 0; len <= 256; len++) {
        for (size_t i = 0; i < len; i++) {
            bytes[i] = (char)(i * 7 + len);
        }
        struct buf out;
        buf_over(&out, text, sizeof(text));
        base64_encode(span_of(bytes, len), &out);
        ck_assert_uint_eq(out.len, (len + 2) / 3 * 4);
        ck_assert_int_eq(base64_decode(buf_span(&out), text), (ssize_t)len);
        ck_assert(span_eq(span_of(text, len), span_of(bytes, len)));
    }
}
END_TEST

/* Elsewhere than in place, nothing behind the bytes is touched. */
START_TEST(writes_no_more_than_the_bytes) {
    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        size_t len = strlen(vectors[i].bytes);
        char out[16];
        memset(out, '#', sizeof(out));
        ck_assert_int_eq(base64_decode(span_str(vectors[i].text), out), (ssize_t)len);
        for (size_t j = len; j < sizeof(out); j++) {
            ck_assert_int_eq(out[j], '#');
        }
    }
}
END_TEST

/* Each character in each place of a group at the beginning, in the middle and at the end. */
START_TEST(refuses_every_character_outside_of_the_alphabet) {
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int c = 0; c < 256; c++) {
        bool known = c != 0 && strchr(alphabet, c) != NULL;
        for (size_t at = 0; at < 12; at++) {
            char text[] = "AAAAAAAAAAAA", out[9];
            text[at] = (char)c;
            ssize_t wanted = known ? 9 : c == '=' && at == 11 ? 8 : -1;
            ck_assert_msg(base64_decode(span_of(text, 12), out) == wanted, "%d at %zu", c, at);
        }
    }
}
END_TEST

START_TEST(refuses_what_no_encoder_writes) {
    static const char *const wrong[] = {"Zg",   "Zg=",  "Zg==Zg==", "Z===",   "====",
                                        "Zh==", "Zm9=", "Z g=",     "Zm9v\n", "Zm-v",
                                        "Zm_v", "=m9v", "Zm9\xff"};
    char out[16];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_msg(base64_decode(span_str(wrong[i]), out) == -1, "%s", wrong[i]);
    }
}
END_TEST

START_TEST(does_not_write_beyond_a_ceiling) {
    struct buf out;
    buf_init(&out, 7);
    base64_encode(SPAN("foob"), &out);
    ck_assert(out.overflow);
    ck_assert_uint_eq(out.len, 0);
    buf_done(&out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("base64");
    TCase *tests = tcase_create("base64");
    tcase_add_loop_test(tests, vectors_go_both_ways, 0, sizeof(vectors) / sizeof(vectors[0]));
    tcase_add_test(tests, all_bytes_survive_in_place);
    tcase_add_test(tests, writes_no_more_than_the_bytes);
    tcase_add_test(tests, refuses_every_character_outside_of_the_alphabet);
    tcase_add_test(tests, refuses_what_no_encoder_writes);
    tcase_add_test(tests, does_not_write_beyond_a_ceiling);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
