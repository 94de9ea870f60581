/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON reader by itself, and beside jansson on small texts and on every corpus file. */
#include "base/json_read.h"

#include <dirent.h>

#include "../fuzz/json_judge.h"
#include "data_file.h"
#include "unit.h"

/* The scalar twin, whatever this machine has. */
#undef __SSE2__
#define json_read_init scalar_json_read_init
#define json_key       scalar_json_key
#define json_text      scalar_json_text
#define json_next      scalar_json_next
#define json_skip      scalar_json_skip
void json_read_init(struct json_read *read, char *text, size_t len);
struct span json_key(struct json_read *read);
struct span json_text(struct json_read *read);
enum json_token json_next(struct json_read *read);
bool json_skip(struct json_read *read, enum json_token token);
#include "base/json_read.c"
#undef json_read_init
#undef json_key
#undef json_text
#undef json_next
#undef json_skip

START_TEST(members_come_one_by_one) {
    char text[] = " {\"a\" : [1, \"x\\ny\"], \"b\\u00e9\":{}, \"c\":null}{\"d\":-0.5e3}true ";
    struct json_read read;
    json_read_init(&read, text, sizeof(text) - 1);
    ck_assert_int_eq(json_next(&read), TOKEN_OBJECT);
    ck_assert_int_eq(json_next(&read), TOKEN_ARRAY);
    ck_assert(span_eq(json_key(&read), SPAN("a")));
    ck_assert_int_eq(json_next(&read), TOKEN_NUMBER);
    ck_assert(span_eq(json_text(&read), SPAN("1")));
    ck_assert_int_eq(json_next(&read), TOKEN_STRING);
    ck_assert(span_eq(json_text(&read), SPAN("x\ny")));
    ck_assert(span_eq(json_text(&read), SPAN("x\ny")));
    ck_assert_int_eq(json_next(&read), TOKEN_ARRAY_END);
    ck_assert_int_eq(json_next(&read), TOKEN_OBJECT);
    ck_assert(span_eq(json_key(&read), SPAN("b\xc3\xa9")));
    ck_assert_int_eq(json_next(&read), TOKEN_OBJECT_END);
    ck_assert_int_eq(json_next(&read), TOKEN_NULL);
    ck_assert_int_eq(json_next(&read), TOKEN_OBJECT_END);
    ck_assert_int_eq(read.depth, 0);
    ck_assert_int_eq(json_next(&read), TOKEN_OBJECT);
    ck_assert_int_eq(json_next(&read), TOKEN_NUMBER);
    ck_assert(span_eq(json_text(&read), SPAN("-0.5e3")));
    ck_assert_int_eq(json_next(&read), TOKEN_OBJECT_END);
    ck_assert_int_eq(json_next(&read), TOKEN_TRUE);
    ck_assert_int_eq(json_next(&read), TOKEN_END);
    ck_assert_int_eq(json_next(&read), TOKEN_END);
}
END_TEST

START_TEST(skipping_leaves_strings_for_a_bookmark) {
    char text[] = "[{\"a\":[\"\\\\\\\"\",{\"b\":1}]},2]";
    struct json_read read;
    json_read_init(&read, text, sizeof(text) - 1);
    ck_assert_int_eq(json_next(&read), TOKEN_ARRAY);
    enum json_token token = json_next(&read);
    struct json_read bookmark = read;
    ck_assert(json_skip(&read, token));
    ck_assert_int_eq(json_next(&read), TOKEN_NUMBER);
    ck_assert_int_eq(json_next(&bookmark), TOKEN_ARRAY);
    ck_assert_int_eq(json_next(&bookmark), TOKEN_STRING);
    ck_assert(span_eq(json_text(&bookmark), SPAN("\\\"")));
    ck_assert_int_eq(json_next(&read), TOKEN_ARRAY_END);
    ck_assert(!json_skip(&read, json_next(&bookmark) == TOKEN_OBJECT ? TOKEN_ERROR : TOKEN_NULL));
}
END_TEST

START_TEST(values_as_they_are) {
    char text[] = "{\"a\\u0000b\":\"\\u0000c\",\"n\":9223372036854775808,\"r\":1e999}";
    struct json_read read;
    json_read_init(&read, text, sizeof(text) - 1);
    read.values_as_they_are = true;
    ck_assert_int_eq(json_next(&read), TOKEN_OBJECT);
    ck_assert_int_eq(json_next(&read), TOKEN_STRING);
    ck_assert(span_eq(json_key(&read), SPAN("a\0b")));
    ck_assert(span_eq(json_text(&read), SPAN("\0c")));
    ck_assert_int_eq(json_next(&read), TOKEN_NUMBER);
    ck_assert(span_eq(json_text(&read), SPAN("9223372036854775808")));
    ck_assert_int_eq(json_next(&read), TOKEN_NUMBER);
    ck_assert(span_eq(json_text(&read), SPAN("1e999")));
    ck_assert_int_eq(json_next(&read), TOKEN_OBJECT_END);
    ck_assert_int_eq(json_next(&read), TOKEN_END);
    char lone[] = "\"\\ud800\"";
    json_read_init(&read, lone, sizeof(lone) - 1);
    read.values_as_they_are = true;
    ck_assert_int_eq(json_next(&read), TOKEN_ERROR);
}
END_TEST

START_TEST(errors_stay) {
    char text[] = "{\"a\":tru}";
    struct json_read read;
    json_read_init(&read, text, sizeof(text) - 1);
    ck_assert_int_eq(json_next(&read), TOKEN_OBJECT);
    ck_assert_int_eq(json_next(&read), TOKEN_ERROR);
    ck_assert_ptr_nonnull(read.error);
    ck_assert_int_eq(json_next(&read), TOKEN_ERROR);
}
END_TEST

START_TEST(depth_is_bounded) {
    char text[JSON_DEPTH_MAX + 1];
    memset(text, '[', sizeof(text));
    struct json_read read;
    json_read_init(&read, text, sizeof(text));
    for (int i = 0; i < JSON_DEPTH_MAX; i++) {
        ck_assert_int_eq(json_next(&read), TOKEN_ARRAY);
    }
    ck_assert_int_eq(json_next(&read), TOKEN_ERROR);
    ck_assert_str_eq(read.error, "nested too deep");
}
END_TEST

static const char *const texts[] = {
    "",
    " ",
    "{}",
    "[]",
    "{}{}[] 1 2",
    "[1,]",
    "[,1]",
    "{\"a\":1,}",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{a:1}",
    "{'a':1}",
    "[1 2]",
    "{\"a\":1 \"b\":2}",
    "]",
    "}",
    "[}",
    "{]",
    "[1",
    "{\"a\":1",
    "\"abc",
    "\"a\\\"",
    "nul",
    "nulll",
    "truefalse",
    "true false",
    "[true1]",
    "+1",
    "-",
    "-0",
    "-01",
    "01",
    "0",
    "1.",
    ".5",
    "1.5.3",
    "1e",
    "1e+",
    "1E-2",
    "0e999",
    "0.0e999",
    "1e999",
    "-1e999",
    "1e307",
    "0.00001e312",
    "123456789012345678901234567890.5",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "-9223372036854775809",
    "1e-999",
    "\"\\u0041\\u00e9\\u20ac\\ud83d\\ude00\"",
    "\"\\u0000\"",
    "\"\\ud83d\"",
    "\"\\ude00\"",
    "\"\\ud83d\\u0041\"",
    "\"\\ud83dx\"",
    "\"\\u12\"",
    "\"\\u12G4\"",
    "\"\\x\"",
    "\"\\/\\b\\f\\n\\r\\t\\\\\"",
    "\"\x01\"",
    "\"\t\"",
    "\"\n\"",
    "\"\x7f\"",
    "\"\xc3\xa9\"",
    "\"\xc3\"",
    "\"\xc0\xaf\"",
    "\"\xed\xa0\x80\"",
    "\"\xf4\x90\x80\x80\"",
    "\"\xf0\x9f\x98\x80\"",
    "\"\xff\"",
    "\xc3\xa9",
    "\xef\xbb\xbf{}",
    "{\"a\":1,\"a\":2}",
    "{\"\":0}",
    "{\"\\u0000\":0}",
    "// no\n1",
    "NaN",
    "Infinity",
    "[\"0123456789abcdef0123456789abcde\\n0123456789abcdef\xc3\xa9 0123456789abcdef\"]",
};

START_TEST(agrees_with_jansson_on_small_texts) {
    const char *verdict = json_judge(span_str(texts[_i]));
    ck_assert_msg(!verdict, "%s: %s", texts[_i], verdict);
}
END_TEST

START_TEST(twins_agree) {
    char one[256], two[256];
    size_t len = strlen(texts[_i]);
    memcpy(one, texts[_i], len);
    memcpy(two, texts[_i], len);
    struct json_read read, scalar;
    json_read_init(&read, one, len);
    scalar_json_read_init(&scalar, two, len);
    enum json_token token;
    do {
        token = json_next(&read);
        ck_assert_int_eq(token, scalar_json_next(&scalar));
        ck_assert_int_eq(read.p - one, scalar.p - two);
        if (token == TOKEN_STRING) {
            ck_assert(span_eq(json_text(&read), scalar_json_text(&scalar)));
        }
    } while (token != TOKEN_ERROR && token != TOKEN_END);
}
END_TEST

START_TEST(agrees_with_jansson_on_every_corpus_file) {
    static const char *const corpora[] = {"payload", "envelope", "json"};
    size_t count = 0;
    for (size_t i = 0; i < sizeof(corpora) / sizeof(corpora[0]); i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/tests/fuzz/corpus/%s", data_source_folder(), corpora[i]);
        DIR *folder = opendir(path);
        ck_assert_msg(folder != NULL, "%s", path);
        for (struct dirent *entry; (entry = readdir(folder));) {
            if (entry->d_name[0] == '.') {
                continue;
            }
            char file[8192];
            snprintf(file, sizeof(file), "%s/%s", path, entry->d_name);
            struct span text = data_read_path(file);
            const char *verdict = json_judge(text);
            ck_assert_msg(!verdict, "%s: %s", file, verdict);
            free((char *)text.p);
            count++;
        }
        closedir(folder);
    }
    ck_assert_uint_gt(count, 10);
}
END_TEST

START_TEST(agrees_with_jansson_on_real_files) {
    static const char *const files[] = {
        "vpcflow/opensearch/amazon_vpc_flow_sample.json",
        "vpcflow/shippers/newrelic-entry_vpc_flow_logs.json",
        "kinesis/powertools/kinesisStreamCloudWatchLogsEvent.json",
        "kinesis/otel-firehose/cwlog/testdata/multiple_resources",
        "kinesis/otel-firehose/cwlog/testdata/some_invalid_records",
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct span text = data_read(files[i]);
        const char *verdict = json_judge(text);
        ck_assert_msg(!verdict, "%s: %s", files[i], verdict);
        free((char *)text.p);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("json_read");
    TCase *tests = tcase_create("json_read");
    int count = (int)(sizeof(texts) / sizeof(texts[0]));
    tcase_add_test(tests, members_come_one_by_one);
    tcase_add_test(tests, skipping_leaves_strings_for_a_bookmark);
    tcase_add_test(tests, errors_stay);
    tcase_add_test(tests, values_as_they_are);
    tcase_add_test(tests, depth_is_bounded);
    tcase_add_loop_test(tests, agrees_with_jansson_on_small_texts, 0, count);
    tcase_add_loop_test(tests, twins_agree, 0, count);
    tcase_add_test(tests, agrees_with_jansson_on_every_corpus_file);
    tcase_add_test(tests, agrees_with_jansson_on_real_files);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
