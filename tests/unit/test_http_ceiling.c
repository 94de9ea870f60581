/* SPDX-License-Identifier: Apache-2.0 */
/* The ceiling that all replies of a set share: kept in every case, used to its end, and no call
   suffers from having been paused by it (http_scene.h). */
#include "base/http.h"

#include "http_scene.h"

/* Bytes of the replies that are done and not given back. */
static size_t held_by_done(struct http_call *const *calls) {
    size_t sum = 0;
    for (int i = 0; i < MANY; i++) {
        sum += http_call_state(calls[i]) == HTTP_DONE ? http_call_reply(calls[i])->len : 0;
    }
    return sum;
}

/* Steps until the set is silent, or for some time. */
static void step_until_silent(struct http_call *const *calls, size_t held_max) {
    struct pollfd poll_fd = {.fd = http_fd(http), .events = POLLIN};
    while (poll(&poll_fd, 1, 20) == 1) {
        http_turn(http);
        ck_assert_uint_le(held_by_done(calls), held_max);
        ck_assert_uint_le(http->held, held_max);
    }
}

/* Twenty replies of a MiB under 4 MiB, given back one by one. */
static void run_ceiling(const char *path) {
    struct http_conf conf = {.proxy = "", .held_max = 4 * MIB};
    open_set(&conf);
    struct http_call *calls[MANY];
    for (int i = 0; i < MANY; i++) {
        calls[i] = http_call_open(http, MIB);
        start_within(calls[i], path, 1000 * WAIT_MS, true);
    }
    int done = 0, rounds = 0;
    bool seen[MANY] = {false};
    while (done < MANY) {
        ck_assert_int_lt(rounds++, 100000);
        step_until_silent(calls, conf.held_max);
        int i = 0;
        while (i < MANY && (http_call_state(calls[i]) != HTTP_DONE || seen[i])) {
            ck_assert_int_ne(http_call_state(calls[i]), HTTP_FAILED);
            i++;
        }
        if (i == MANY) {
            continue; /* a busy machine: nothing has come yet */
        }
        ck_assert_uint_eq(http_call_reply(calls[i])->len, MIB);
        ck_assert(is_pattern(http_call_reply(calls[i])->body, MIB));
        http_call_release(calls[i]);
        seen[i] = true;
        done++;
    }
    ck_assert_uint_eq(http->held, 0);
    ck_assert_uint_eq(http->paused, 0);
    ck_assert_ptr_null(http->privileged);
    for (int i = 0; i < MANY; i++) {
        http_call_close(calls[i]);
    }
}

START_TEST(all_replies_share_a_ceiling) {
    static const char *const paths[] = {"/size/1048576", "/chunked/1048576", "/gzip/1048576"};
    run_ceiling(paths[_i]);
}
END_TEST

START_TEST(the_ceiling_is_used_to_its_end) {
    struct http_conf conf = {.proxy = "", .held_max = 4 * MIB};
    open_set(&conf);
    struct http_call *calls[MANY];
    for (int i = 0; i < MANY; i++) {
        calls[i] = http_call_open(http, MIB);
        start_within(calls[i], "/size/1048576", WAIT_MS, false);
    }
    while (held_by_done(calls) < conf.held_max) {
        step();
    }
    for (int i = 0; i < 50; i++) {
        http_turn(http);
    }
    ck_assert_uint_eq(held_by_done(calls), conf.held_max);
    for (int i = 0; i < MANY; i++) {
        http_call_close(calls[i]); /* those that run or are paused as well */
    }
    ck_assert_uint_eq(http->held, 0);
    ck_assert_uint_eq(http->paused, 0);
}
END_TEST

START_TEST(a_pause_takes_no_time_from_a_call) {
    struct http_conf conf = {.proxy = "", .held_max = 2 * MIB};
    open_set(&conf);
    struct http_call *calls[3];
    for (int i = 0; i < 3; i++) {
        calls[i] = http_call_open(http, MIB);
    }
    for (int i = 0; i < 2; i++) {
        ck_assert_uint_eq(expect_done(calls[i], "/size/1048576")->len, MIB);
    }
    start_within(calls[2], "/size/1048576", 2000, false);
    while (!calls[2]->paused) {
        step();
    }
    calls[2]->deadline_ms -= 2000; /* as if it had been paused for as long */
    calls[2]->paused_ms -= 2000;
    http_turn(http);
    ck_assert_int_eq(http_call_state(calls[2]), HTTP_RUNNING);
    http_call_release(calls[0]);
    ck_assert_int_eq(finish(calls[2]), HTTP_DONE);
    ck_assert(is_pattern(http_call_reply(calls[2])->body, MIB));
    /* Who waits for a call for which nobody can make room would wait for ever. */
    start_within(calls[0], "/size/1048576", WAIT_MS, false);
    ck_assert_int_eq(http_run(http, calls[0], NULL), HTTP_FAILED);
    ck_assert_ptr_nonnull(strstr(http_call_reply(calls[0])->err.text, "no room"));
    for (int i = 0; i < 3; i++) {
        http_call_close(calls[i]);
    }
}
END_TEST

START_TEST(a_reply_may_turn_out_bad_after_its_pause) {
    static const char *const paths[] = {"/gzip/2000000", "/gzip-cut/900000"};
    static const char *const texts[] = {"larger than", "not good gzip"};
    struct http_conf conf = {.proxy = "", .held_max = 2 * MIB};
    open_set(&conf);
    struct http_call *calls[3];
    for (int i = 0; i < 3; i++) {
        calls[i] = http_call_open(http, MIB);
    }
    for (int i = 0; i < 2; i++) {
        expect_done(calls[0], "/size/1048576");
        expect_done(calls[1], "/size/1048576");
        start(calls[2], paths[i]);
        while (!calls[2]->paused) {
            step();
        }
        http_call_release(calls[0]);
        http_call_release(calls[1]);
        ck_assert_int_eq(finish(calls[2]), HTTP_FAILED);
        const char *text = http_call_reply(calls[2])->err.text;
        ck_assert_msg(strstr(text, texts[i]) != NULL, "%s", text);
        ck_assert_uint_eq(http->held, 0);
        ck_assert_ptr_null(http->privileged);
    }
    for (int i = 0; i < 3; i++) {
        http_call_close(calls[i]);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http_ceiling");
    TCase *tcase = tcase_create("http_ceiling");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_loop_test(tcase, all_replies_share_a_ceiling, 0, 3);
    tcase_add_test(tcase, the_ceiling_is_used_to_its_end);
    tcase_add_test(tcase, a_pause_takes_no_time_from_a_call);
    tcase_add_test(tcase, a_reply_may_turn_out_bad_after_its_pause);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
