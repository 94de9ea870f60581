/* SPDX-License-Identifier: Apache-2.0 */
#include "core/dead_letter.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/base64.h"
#include "unit.h"

static char folder[] = "/tmp/flowgelf-test-XXXXXX", path[64], other_path[64];
static struct dead_letter_conf conf;
static struct dead_letter *dead;
static struct err err;

static const struct record record = {
    .arrival_ms = 1700000000123,
    .origin = {.input = {"kafka", 5},
               .stream = {"vpc \"flow\"\n", 11},
               .shard = {"3", 1},
               .number = 42},
};

static void setup(void) {
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/dead.jsonl", folder);
    snprintf(other_path, sizeof other_path, "%s/dead.1", folder);
    conf = (struct dead_letter_conf){.path = path};
    dead = dead_letter_open(&conf);
}

static void teardown(void) {
    dead_letter_close(dead);
    unlink(path);
    unlink(other_path);
    rmdir(folder);
}

/* Line `number` of the file as JSON, NULL behind the last. */
static json_t *read_line(const char *name, int number) {
    static char line[200000];
    FILE *file = fopen(name, "r");
    bool found = file != NULL;
    for (int i = 0; found && i <= number; i++) {
        found = fgets(line, sizeof line, file) != NULL;
    }
    if (file) {
        fclose(file);
    }
    json_t *json = found ? json_loads(line, JSON_REJECT_DUPLICATES, NULL) : NULL;
    ck_assert(json || !found);
    return json;
}

static const char *text_of(const json_t *json, const char *name) {
    const char *text = json_string_value(json_object_get(json, name));
    return text ? text : "";
}

static int64_t number_of(const json_t *json, const char *name) {
    return json_integer_value(json_object_get(json, name));
}

START_TEST(a_line_says_what_where_and_why) {
    dead_letter_add(dead, BAD_FORMAT, &record, 7, span_of("a\0\xff", 3));
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    json_t *json = read_line(path, 0);
    ck_assert_str_eq(text_of(json, "reason"), "format");
    ck_assert_str_eq(text_of(json, "input"), "kafka");
    ck_assert_str_eq(text_of(json, "stream"), "vpc \"flow\"\n");
    ck_assert_str_eq(text_of(json, "shard"), "3");
    ck_assert_int_eq(number_of(json, "position"), 42);
    ck_assert_int_eq(number_of(json, "line"), 8);
    ck_assert_str_eq(text_of(json, "arrival"), "2023-11-14T22:13:20.123Z");
    ck_assert_str_eq(text_of(json, "raw"), "YQD/");
    ck_assert_int_eq(number_of(json, "size"), 3);
    json_decref(json);
    ck_assert_uint_eq(dead_letter_counts(dead).written, 1);
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_uint_eq(status.st_mode & 0777, 0600);
}
END_TEST

START_TEST(an_unknown_origin_is_left_out) {
    dead_letter_add(dead, BAD_MESSAGE_TOO_LARGE, NULL, 0, SPAN("{}"));
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    json_t *json = read_line(path, 0);
    ck_assert_str_eq(text_of(json, "reason"), "message_too_large");
    ck_assert_ptr_null(json_object_get(json, "input"));
    json_decref(json);
}
END_TEST

START_TEST(long_ones_are_cut_and_say_so) {
    static char bytes[100000];
    static char raw[100000];
    memset(bytes, 'y', sizeof bytes);
    dead_letter_add(dead, BAD_JSON, &record, 0, span_of(bytes, sizeof bytes));
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    json_t *json = read_line(path, 0);
    ck_assert(json_is_true(json_object_get(json, "cut")));
    ck_assert_int_eq(number_of(json, "size"), 100000);
    ck_assert_int_eq(base64_decode(span_str(text_of(json, "raw")), raw), 64 << 10);
    json_decref(json);
}
END_TEST

START_TEST(nothing_is_on_disk_before_the_flush_and_all_after_it) {
    for (uint32_t i = 0; i < 100; i++) {
        dead_letter_add(dead, BAD_FORMAT, &record, i, SPAN("bad"));
    }
    ck_assert_ptr_null(read_line(path, 0));
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    json_t *json = read_line(path, 99);
    ck_assert_int_eq(number_of(json, "line"), 100);
    json_decref(json);
    ck_assert_ptr_null(read_line(path, 100));
}
END_TEST

START_TEST(a_full_memory_is_written_out) {
    static char bytes[60000];
    memset(bytes, 'z', sizeof bytes);
    for (uint32_t i = 0; i < 200; i++) {
        dead_letter_add(dead, BAD_FORMAT, &record, i, span_of(bytes, sizeof bytes));
    }
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    ck_assert_uint_eq(dead_letter_counts(dead).written, 200);
    ck_assert_uint_eq(dead_letter_counts(dead).lost, 0);
    json_t *json = read_line(path, 199);
    ck_assert_int_eq(number_of(json, "line"), 200);
    json_decref(json);
}
END_TEST

START_TEST(a_renamed_file_is_opened_anew) {
    dead_letter_add(dead, BAD_FORMAT, &record, 1, SPAN("one"));
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    ck_assert_int_eq(rename(path, other_path), 0);
    dead_letter_add(dead, BAD_FORMAT, &record, 2, SPAN("two"));
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    json_t *json = read_line(path, 0);
    ck_assert_int_eq(number_of(json, "line"), 3);
    json_decref(json);
}
END_TEST

static void limit_files(rlim_t bytes) {
    struct rlimit limit = {.rlim_cur = bytes, .rlim_max = RLIM_INFINITY};
    signal(SIGXFSZ, SIG_IGN);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

START_TEST(what_cannot_be_written_is_counted_lost) {
    dead_letter_add(dead, BAD_FORMAT, &record, 1, SPAN("one"));
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    limit_files(10);
    dead_letter_add(dead, BAD_FORMAT, &record, 2, SPAN("two"));
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    ck_assert_uint_eq(dead_letter_counts(dead).lost, 1);
    ck_assert_uint_eq(dead_letter_counts(dead).written, 1);
}
END_TEST

START_TEST(required_ones_wait_until_they_can_be_written) {
    conf.required = true;
    limit_files(10);
    dead_letter_add(dead, BAD_FORMAT, &record, 1, SPAN("one"));
    ck_assert_int_eq(dead_letter_flush(dead, &err), -1);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_int_eq(dead_letter_flush(dead, &err), -1);
    limit_files(RLIM_INFINITY);
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    ck_assert_uint_eq(dead_letter_counts(dead).written, 1);
    ck_assert_uint_eq(dead_letter_counts(dead).lost, 0);
    json_t *json = read_line(path, 0);
    ck_assert_int_eq(number_of(json, "line"), 2);
    json_decref(json);
}
END_TEST

START_TEST(required_ones_that_memory_cannot_keep_stop_the_program) {
    static char bytes[60000];
    conf.required = true;
    limit_files(10);
    for (uint32_t i = 0; i < 200; i++) {
        dead_letter_add(dead, BAD_FORMAT, &record, i, span_of(bytes, sizeof bytes));
    }
    limit_files(RLIM_INFINITY);
    ck_assert_int_eq(dead_letter_flush(dead, &err), -1);
    ck_assert_int_eq(err.kind, ERR_STOP);
}
END_TEST

START_TEST(without_a_path_nothing_is_kept) {
    conf.path = NULL;
    dead_letter_add(dead, BAD_FORMAT, &record, 1, SPAN("one"));
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    ck_assert_uint_eq(dead_letter_counts(dead).lost, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("dead_letter");
    TCase *lines = tcase_create("lines");
    tcase_add_checked_fixture(lines, setup, teardown);
    tcase_add_test(lines, a_line_says_what_where_and_why);
    tcase_add_test(lines, an_unknown_origin_is_left_out);
    tcase_add_test(lines, long_ones_are_cut_and_say_so);
    tcase_add_test(lines, nothing_is_on_disk_before_the_flush_and_all_after_it);
    tcase_add_test(lines, a_full_memory_is_written_out);
    tcase_add_test(lines, a_renamed_file_is_opened_anew);
    tcase_add_test(lines, without_a_path_nothing_is_kept);
    suite_add_tcase(suite, lines);
    TCase *trouble = tcase_create("trouble");
    tcase_add_checked_fixture(trouble, setup, teardown);
    tcase_add_test(trouble, what_cannot_be_written_is_counted_lost);
    tcase_add_test(trouble, required_ones_wait_until_they_can_be_written);
    tcase_add_test(trouble, required_ones_that_memory_cannot_keep_stop_the_program);
    suite_add_tcase(suite, trouble);
    return run_suite(suite);
}
