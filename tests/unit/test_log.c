/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines as they leave the process, in each format, and the limit of a site that repeats. */
#include <jansson.h>
#include <stdio.h>
#include <unistd.h>

#include "base/log.h"
#include "unit.h"

/* What `level: text` looks like on stderr. */
static const char *logged(enum log_format format, enum log_level max, enum log_level level,
                          const char *text) {
    static char line[16384];
    int pipe_fds[2], saved = dup(STDERR_FILENO);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    dup2(pipe_fds[1], STDERR_FILENO);
    close(pipe_fds[1]);
    log_setup(format, max);
    log_line(level, "%s", text);
    dup2(saved, STDERR_FILENO);
    close(saved);
    ssize_t len = read(pipe_fds[0], line, sizeof(line) - 1);
    close(pipe_fds[0]);
    line[len > 0 ? len : 0] = '\0';
    return line;
}

START_TEST(text_has_time_and_level) {
    const char *line = logged(LOG_FORMAT_TEXT, LOG_LEVEL_INFO, LOG_LEVEL_WARNING, "hello");
    ck_assert_uint_eq(strspn(line, "0123456789-T:.Z"), strlen("2026-01-31T10:00:00.000Z"));
    ck_assert_ptr_nonnull(strstr(line, " warning hello\n"));
}
END_TEST

START_TEST(journal_has_priorities) {
    ck_assert_str_eq(logged(LOG_FORMAT_JOURNAL, LOG_LEVEL_INFO, LOG_LEVEL_ERROR, "x"), "<3>x\n");
    ck_assert_str_eq(logged(LOG_FORMAT_JOURNAL, LOG_LEVEL_DEBUG, LOG_LEVEL_DEBUG, "x"), "<7>x\n");
}
END_TEST

START_TEST(lines_above_the_level_are_left_out) {
    ck_assert_str_eq(logged(LOG_FORMAT_TEXT, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, "x"), "");
}
END_TEST

START_TEST(no_data_forges_a_line) {
    ck_assert_str_eq(logged(LOG_FORMAT_JOURNAL, LOG_LEVEL_INFO, LOG_LEVEL_INFO, "a\n<0>b\x1b[1m"),
                     "<6>a\\x0a<0>b\\x1b[1m\n");
}
END_TEST

START_TEST(json_is_one_object_a_line) {
    char text[4000];
    memset(text, '"', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    const char *cases[] = {"plain", "a \"quote\", a \\ and a\nnewline \x01", text};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        const char *line = logged(LOG_FORMAT_JSON, LOG_LEVEL_INFO, LOG_LEVEL_INFO, cases[i]);
        json_t *json = json_loads(line, 0, NULL);
        ck_assert_msg(json != NULL, "%s", line);
        ck_assert_str_eq(json_string_value(json_object_get(json, "level")), "info");
        const char *message = json_string_value(json_object_get(json, "message"));
        ck_assert_int_eq(strncmp(message, cases[i], strlen(message)), 0);
        json_decref(json);
    }
}
END_TEST

START_TEST(a_limit_lets_a_burst_through_and_then_one_at_a_time) {
    struct log_limit limit = {.burst = 3, .every_ms = 1000};
    uint64_t suppressed = 99;
    for (int i = 0; i < 3; i++) {
        ck_assert(log_limit_allows(&limit, 5000, &suppressed));
        ck_assert_uint_eq(suppressed, 0);
    }
    ck_assert(!log_limit_allows(&limit, 5001, &suppressed));
    ck_assert(!log_limit_allows(&limit, 5999, &suppressed));
    ck_assert(log_limit_allows(&limit, 6000, &suppressed));
    ck_assert_uint_eq(suppressed, 2);
    ck_assert(!log_limit_allows(&limit, 6500, &suppressed));
    ck_assert(log_limit_allows(&limit, 60000, &suppressed));
    ck_assert_uint_eq(suppressed, 1);
    ck_assert(log_limit_allows(&limit, 60000, &suppressed));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("log");
    TCase *cases = tcase_create("lines");
    tcase_add_test(cases, text_has_time_and_level);
    tcase_add_test(cases, journal_has_priorities);
    tcase_add_test(cases, lines_above_the_level_are_left_out);
    tcase_add_test(cases, no_data_forges_a_line);
    tcase_add_test(cases, json_is_one_object_a_line);
    tcase_add_test(cases, a_limit_lets_a_burst_through_and_then_one_at_a_time);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
