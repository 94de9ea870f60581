/* SPDX-License-Identifier: Apache-2.0 */
/* Calls, one and many, that go well and badly (http_scene.h). */
#include "base/http.h"

#include "http_scene.h"

START_TEST(connections_and_buffers_are_kept) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    const struct http_reply *reply = expect_done(call, "/size/50000");
    expect_done(call, "/gzip/40000");
    const char *body = call->body.data, *lines = call->lines.data, *fields = call->fields.data;
    for (int i = 0; i < 50; i++) {
        reply = expect_done(call, i % 2 ? "/size/50000" : "/gzip/40000");
        ck_assert_int_eq(reply->status, 200);
        ck_assert_uint_eq(reply->len, i % 2 ? 50000 : 40000);
        ck_assert(is_pattern(reply->body, reply->len));
        http_call_release(call);
    }
    ck_assert_int_eq(atomic_load(&server->connections), 1);
    ck_assert_ptr_eq(call->body.data, body);
    ck_assert_ptr_eq(call->lines.data, lines);
    ck_assert_ptr_eq(call->fields.data, fields);
    http_call_close(call);
}
END_TEST

START_TEST(a_connection_closed_meanwhile_is_replaced) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    for (int i = 0; i < 3; i++) {
        ck_assert_str_eq(expect_done(call, "/hang-up")->body, "bye");
    }
    ck_assert_int_eq(atomic_load(&server->connections), 3);
    http_call_close(call);
}
END_TEST

START_TEST(requests_are_sent_as_given) {
    static const char *const methods[] = {"GET", "POST", "PUT", "POST"};
    static const char *const bodies[] = {"", "{\"a\":1}", "", ""};
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    char url[128], line[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/a/../b?c=d", server->port);
    for (size_t i = 0; i < 4; i++) {
        struct http_header headers[] = {{SPAN("X-Amz-Date"), SPAN("20260101T000000Z")},
                                        {SPAN("X-Empty"), SPAN("")},
                                        {SPAN("content-type"), SPAN("application/x-amz-json-1.1")}};
        struct http_request request = {.method = methods[i],
                                       .url = url,
                                       .headers = headers,
                                       .header_count = i == 3 ? 2 : 3,
                                       .body = span_str(bodies[i]),
                                       .connect_ms = WAIT_MS,
                                       .timeout_ms = WAIT_MS};
        http_call_start(call, &request);
        memset(headers, 0, sizeof(headers)); /* they were borrowed for the start only */
        ck_assert_int_eq(http_run(http, call, NULL), HTTP_DONE);
        const char *head = http_call_reply(call)->body;
        snprintf(line, sizeof(line), "%s /a/../b?c=d HTTP/1.1\r\n", methods[i]);
        ck_assert_msg(strncmp(head, line, strlen(line)) == 0, "%s", head);
        ck_assert_ptr_nonnull(strstr(head, "X-Amz-Date: 20260101T000000Z\r\n"));
        ck_assert_ptr_nonnull(strstr(head, "X-Empty:\r\n"));
        ck_assert_int_eq(strstr(head, "application/x-amz-json-1.1\r\n") != NULL, i != 3);
        ck_assert_ptr_null(strstr(head, "x-www-form-urlencoded"));
        ck_assert_ptr_null(strstr(head, "Expect"));
        ck_assert_ptr_null(strstr(head, "Accept-Encoding"));
        snprintf(line, sizeof(line), "Content-Length: %zu\r\n", strlen(bodies[i]));
        ck_assert_int_eq(strstr(head, line) != NULL, i > 0);
    }
    http_call_close(call);
}
END_TEST

START_TEST(a_large_body_is_sent_whole) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    char url[128], *body = pattern(3 * MIB);
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/head", server->port);
    struct http_request request = {.method = "POST",
                                   .url = url,
                                   .body = span_of(body, 3 * MIB),
                                   .connect_ms = WAIT_MS,
                                   .timeout_ms = WAIT_MS};
    http_call_start(call, &request);
    ck_assert_int_eq(finish(call), HTTP_DONE);
    ck_assert_ptr_nonnull(strstr(http_call_reply(call)->body, "Content-Length: 3145728\r\n"));
    ck_assert_int_eq(atomic_load(&server->requests), 1);
    http_call_close(call);
    free(body);
}
END_TEST

START_TEST(what_cannot_be_sent_fails_at_once) {
    static const struct {
        const char *url, *value, *text;
    } cases[] = {
        {"ftp://host/x?secret", "v", "http:// or https://"},
        {"file:///etc/passwd", "v", "http:// or https://"},
        {"http://[::1?secret", "v", ""},
        {"http://127.0.0.1:1/x?secret", "a\r\nsecret: b", "127.0.0.1:1: headers"},
    };
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    for (size_t i = 0; i < 4; i++) {
        struct http_header header = {SPAN("Name"), span_str(cases[i].value)};
        struct http_request request = {.method = "GET",
                                       .url = cases[i].url,
                                       .headers = &header,
                                       .header_count = 1,
                                       .connect_ms = WAIT_MS,
                                       .timeout_ms = WAIT_MS};
        http_call_start(call, &request);
        step(); /* also then the descriptor is readable, or nobody would look */
        ck_assert_int_eq(finish(call), HTTP_FAILED);
        const char *text = http_call_reply(call)->err.text;
        ck_assert_msg(strstr(text, cases[i].text) && strlen(text) > 0, "%s", text);
        ck_assert_msg(!strstr(text, "secret"), "%s", text);
    }
    http_call_close(call);
}
END_TEST

START_TEST(any_status_is_a_reply_and_redirects_are_not_followed) {
    static const int statuses[] = {200, 301, 307, 400, 404, 500, 503};
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        char path[32];
        snprintf(path, sizeof(path), "/status/%d", statuses[i]);
        const struct http_reply *reply = expect_done(call, path);
        ck_assert_int_eq(reply->status, statuses[i]);
        ck_assert_str_eq(reply->body, "why");
    }
    http_call_close(call);
}
END_TEST

START_TEST(headers_are_found) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    const struct http_reply *reply = expect_done(call, "/headers");
    ck_assert_int_eq(reply->date_ms, 784111777000);
    ck_assert(span_eq(http_call_header(call, "X-One"), SPAN("second")));
    ck_assert(span_eq(http_call_header(call, "content-LENGTH"), SPAN("2")));
    ck_assert(span_eq(http_call_header(call, "x-on"), SPAN("other")));
    ck_assert_uint_eq(http_call_header(call, "X-Empty").len, 0);
    ck_assert_uint_eq(http_call_header(call, "X").len, 0);
    reply = expect_done(call, "/hints");
    ck_assert_int_eq(reply->date_ms, -1);
    ck_assert_uint_eq(http_call_header(call, "X-Early").len, 0);
    ck_assert_uint_eq(http_call_header(call, "X-One").len, 0);
    ck_assert(span_eq(http_call_header(call, "X-Late"), SPAN("2")));
    reply = expect_done(call, "/many-headers");
    ck_assert_int_eq(reply->date_ms, -1);
    ck_assert_uint_eq(http_call_header(call, "X-100").len, 100);
    ck_assert_uint_eq(http_call_header(call, "X-199").len, 0);
    http_call_close(call);
}
END_TEST

START_TEST(many_are_in_flight_at_once) {
    open_set(NULL);
    struct http_call *calls[MANY];
    for (int i = 0; i < MANY; i++) {
        calls[i] = http_call_open(http, MIB);
    }
    for (int round = 1; round <= 3; round++) {
        scene.meet = round * MANY; /* no reply before all have arrived */
        for (int i = 0; i < MANY; i++) {
            start(calls[i], "/meet");
        }
        for (int i = 0; i < MANY; i++) {
            ck_assert_int_eq(finish(calls[i]), HTTP_DONE);
        }
    }
    ck_assert_int_eq(atomic_load(&server->connections), MANY);
    for (int i = 0; i < MANY; i++) {
        http_call_close(calls[i]);
    }
}
END_TEST

START_TEST(a_slow_one_delays_no_other) {
    open_set(NULL);
    struct http_call *calls[10];
    for (int i = 0; i < 10; i++) {
        calls[i] = http_call_open(http, MIB);
        start(calls[i], i == 0 ? "/hold" : "/size/100000");
    }
    for (int i = 1; i < 10; i++) {
        ck_assert_int_eq(finish(calls[i]), HTTP_DONE);
        ck_assert_uint_eq(http_call_reply(calls[i])->len, 100000);
    }
    ck_assert_int_eq(http_call_state(calls[0]), HTTP_RUNNING);
    atomic_store(&scene.go, true);
    ck_assert_int_eq(finish(calls[0]), HTTP_DONE);
    for (int i = 0; i < 10; i++) {
        http_call_close(calls[i]);
    }
}
END_TEST

START_TEST(broken_replies_fail) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    const struct http_reply *reply =
        expect_failed(call, "/truncated?secret", "broke off after 10 bytes");
    ck_assert(!strstr(reply->err.text, "secret"));
    ck_assert(!reply->timed_out && !reply->too_large);
    ck_assert_int_eq(reply->status, 200);
    reply = expect_failed(call, "/garbage", "");
    ck_assert_msg(!strstr(reply->err.text, "secret"), "%s", reply->err.text);
    expect_failed(call, "/nothing", "closed before the reply");
    ck_assert_str_eq(expect_done(call, "/status/200")->body, "why");
    http_call_close(call);
}
END_TEST

START_TEST(a_reset_in_the_middle_fails) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    start(call, "/reset");
    while (call->body.len < 5) {
        step();
    }
    atomic_store(&scene.go, true);
    ck_assert_int_eq(finish(call), HTTP_FAILED);
    const char *text = http_call_reply(call)->err.text;
    ck_assert_msg(strstr(text, "broke off after 5 bytes") != NULL, "%s", text);
    http_call_close(call);
}
END_TEST

START_TEST(time_runs_out) {
    static const char *const paths[] = {"/hold", "/drip"};
    static const char *const texts[] = {"no reply within 0.05 s", "not complete after 0.05 s"};
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    for (int i = 0; i < 2; i++) {
        start_within(call, paths[i], 50, false);
        ck_assert_int_eq(finish(call), HTTP_FAILED);
        const struct http_reply *reply = http_call_reply(call);
        ck_assert(reply->timed_out);
        ck_assert_int_ge(reply->elapsed_ms, 50);
        /* A busy machine may not even have got to the reply's first bytes. */
        ck_assert_msg(strstr(reply->err.text, texts[i]) || strstr(reply->err.text, texts[0]), "%s",
                      reply->err.text);
    }
    ck_assert(!expect_done(call, "/status/200")->timed_out);
    http_call_close(call);
}
END_TEST

/* A port whose queue of connections is full: the kernel does not answer. */
START_TEST(connecting_runs_out_of_time) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fds[3];
    for (int i = 0; i < 3; i++) {
        fds[i] = socket(AF_INET, SOCK_STREAM | (i > 0 ? SOCK_NONBLOCK : 0), 0);
        if (i == 0) {
            ck_assert_int_eq(bind(fds[0], (struct sockaddr *)&address, len), 0);
            ck_assert_int_eq(listen(fds[0], 0), 0);
            ck_assert_int_eq(getsockname(fds[0], (struct sockaddr *)&address, &len), 0);
        } else {
            (void)!connect(fds[i], (struct sockaddr *)&address, len);
        }
    }
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    char url[64];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/", ntohs(address.sin_port));
    struct http_request request = {
        .method = "GET", .url = url, .connect_ms = 50, .timeout_ms = WAIT_MS};
    http_call_start(call, &request);
    ck_assert_int_eq(finish(call), HTTP_FAILED);
    const struct http_reply *reply = http_call_reply(call);
    ck_assert(reply->timed_out);
    ck_assert_msg(strstr(reply->err.text, "no connection within 0.05 s"), "%s", reply->err.text);
    http_call_close(call);
    for (int i = 0; i < 3; i++) {
        close(fds[i]);
    }
}
END_TEST

START_TEST(nobody_listens) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0); /* bound, but it does not listen */
    ck_assert_int_eq(bind(fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(fd, (struct sockaddr *)&address, &len), 0);
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    char url[64], text[96];
    snprintf(url, sizeof(url), "http://127.0.0.1:%u/?secret", ntohs(address.sin_port));
    snprintf(text, sizeof(text), "127.0.0.1:%u: cannot connect: Connection refused",
             ntohs(address.sin_port));
    struct http_request request = {
        .method = "GET", .url = url, .connect_ms = WAIT_MS, .timeout_ms = WAIT_MS};
    http_call_start(call, &request);
    ck_assert_int_eq(finish(call), HTTP_FAILED);
    ck_assert_str_eq(http_call_reply(call)->err.text, text);
    ck_assert(!http_call_reply(call)->timed_out);
    http_call_close(call);
    close(fd);
}
END_TEST

START_TEST(replies_have_a_ceiling) {
    static const char *const exact[] = {"/size/100000", "/chunked/100000", "/gzip/100000"};
    static const char *const over[] = {"/size/100001", "/chunked/100001", "/gzip/100001",
                                       "/gzip/50000000", "/endless"};
    open_set(NULL);
    struct http_call *call = http_call_open(http, 100000);
    for (int i = 0; i < 3; i++) {
        const struct http_reply *reply = expect_done(call, exact[i]);
        ck_assert_uint_eq(reply->len, 100000);
        ck_assert(is_pattern(reply->body, reply->len));
    }
    for (int i = 0; i < 5; i++) {
        ck_assert(expect_failed(call, over[i], "larger than 100000 bytes")->too_large);
        ck_assert_uint_eq(http->held, 0);
    }
    http_call_close(call);
}
END_TEST

START_TEST(gzip_is_inflated) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, 8 * MIB);
    const struct http_reply *reply = expect_done(call, "/gzip/3000000");
    ck_assert_uint_eq(reply->len, 3000000);
    ck_assert(is_pattern(reply->body, reply->len));
    ck_assert_uint_eq(expect_done(call, "/gzip/0")->len, 0);
    ck_assert_uint_eq(expect_done(call, "/gzip-twice/23000")->len, 46000);
    ck_assert(is_pattern(call->reply.body, 46000)); /* 23 divides the length */
    expect_failed(call, "/gzip-cut/300000", "not good gzip");
    expect_failed(call, "/gzip-bad", "not good gzip");
    expect_failed(call, "/brotli", "not asked for");
    start_within(call, "/gzip-bad", WAIT_MS, false); /* not asked for: as it is */
    ck_assert_int_eq(finish(call), HTTP_DONE);
    ck_assert_str_eq(http_call_reply(call)->body, "not gzip at all");
    ck_assert_ptr_nonnull(strstr(expect_done(call, "/head")->body, "Accept-Encoding: gzip\r\n"));
    http_call_close(call);
}
END_TEST

START_TEST(memory_of_large_replies_is_freed) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, 8 * MIB);
    expect_done(call, "/chunked/5000000");
    ck_assert(is_pattern(call->reply.body, 5000000));
    http_call_release(call);
    ck_assert_int_eq(http_call_state(call), HTTP_IDLE);
    ck_assert_uint_eq(call->body.cap, 0);
    expect_done(call, "/size/500000");
    http_call_release(call);
    ck_assert_uint_ge(call->body.cap, 500000);
    ck_assert_uint_eq(http->held, 0);
    http_call_close(call);
}
END_TEST

START_TEST(a_running_call_can_be_broken_off) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    start(call, "/drip");
    while (call->body.len < 5) {
        step();
    }
    http_call_release(call);
    ck_assert_int_eq(http_call_state(call), HTTP_IDLE);
    ck_assert_uint_eq(http->held, 0);
    ck_assert_str_eq(expect_done(call, "/status/404")->body, "why");
    start(call, "/drip");
    http_call_close(call);
}
END_TEST

START_TEST(whoever_waits_can_be_stopped) {
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    start(call, "/stop");
    ck_assert_int_eq(http_run(http, call, &scene.stopping), HTTP_FAILED);
    ck_assert_ptr_nonnull(strstr(http_call_reply(call)->err.text, ": stopped"));
    ck_assert(!http_call_reply(call)->timed_out);
    start(call, "/size/1000");
    ck_assert_int_eq(http_run(http, call, NULL), HTTP_DONE);
    http_call_close(call);
}
END_TEST

START_TEST(the_descriptor_wakes_at_a_moment) {
    open_set(NULL);
    struct pollfd poll_fd = {.fd = http_fd(http), .events = POLLIN};
    ck_assert_int_eq(poll(&poll_fd, 1, 0), 0);
    http_wake_at(http, clock_monotonic_ms() + 3600000);
    ck_assert_int_eq(poll(&poll_fd, 1, 0), 0);
    int64_t moment = clock_monotonic_ms() + 20;
    http_wake_at(http, moment);
    ck_assert_int_eq(poll(&poll_fd, 1, WAIT_MS), 1);
    ck_assert_int_ge(clock_monotonic_ms(), moment);
    http_turn(http);
    ck_assert_int_eq(poll(&poll_fd, 1, 0), 0);
    http_wake_at(http, 0); /* long ago */
    ck_assert_int_eq(poll(&poll_fd, 1, WAIT_MS), 1);
    http_wake_at(http, INT64_MAX);
    ck_assert_int_eq(poll(&poll_fd, 1, 0), 0);
}
END_TEST

static enum http_state run_url(struct http_call *call, const char *url) {
    struct http_request request = {
        .method = "GET", .url = url, .connect_ms = WAIT_MS, .timeout_ms = WAIT_MS};
    http_call_start(call, &request);
    return http_run(http, call, NULL);
}

START_TEST(proxies_are_used_as_told) {
    char proxy[96], dead[96];
    snprintf(proxy, sizeof(proxy), "http://user:secret@127.0.0.1:%u", server->port);
    snprintf(dead, sizeof(dead), "http://user:secret@127.0.0.1:%u/size/10", server->port);
    struct http_conf conf = {.proxy = proxy};
    open_set(&conf);
    struct http_call *call = http_call_open(http, MIB);
    ck_assert_int_eq(run_url(call, "http://example.invalid/x"), HTTP_DONE);
    ck_assert_ptr_nonnull(
        strstr(http_call_reply(call)->body, "GET http://example.invalid/x HTTP/1.1\r\n"));
    ck_assert_int_eq(run_url(call, "https://example.invalid/x?query"), HTTP_FAILED);
    const char *text = http_call_reply(call)->err.text;
    ck_assert_msg(strstr(text, "example.invalid:443: ") == text, "%s", text);
    ck_assert_msg(strstr(text, "HTTP 407") && !strstr(text, "secret") && !strstr(text, "query"),
                  "%s", text);
    http_call_close(call);
    http_close(http);
    /* The environment counts, unless the configuration says that there is none. */
    setenv("http_proxy", proxy, 1);
    open_set(&(struct http_conf){.proxy = NULL});
    call = http_call_open(http, MIB);
    ck_assert_int_eq(run_url(call, "http://example.invalid/x"), HTTP_DONE);
    http_call_close(call);
    http_close(http);
    setenv("http_proxy", "http://127.0.0.1:1", 1);
    open_set(NULL);
    call = http_call_open(http, MIB);
    ck_assert_int_eq(run_url(call, dead), HTTP_DONE);
    http_call_close(call);
}
END_TEST

START_TEST(names_that_cannot_be_resolved) {
    /* A label of more than 63 characters asks no name server. */
    static const char url[] =
        "http://a0123456789012345678901234567890123456789012345678901234567890123456789:8080/?q";
    open_set(NULL);
    struct http_call *call = http_call_open(http, MIB);
    ck_assert_int_eq(run_url(call, url), HTTP_FAILED);
    const char *text = http_call_reply(call)->err.text;
    ck_assert_msg(strstr(text, ":8080: cannot resolve the name") && !strstr(text, "?q"), "%s",
                  text);
    http_call_close(call);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http");
    TCase *tcase = tcase_create("http");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, connections_and_buffers_are_kept);
    tcase_add_test(tcase, a_connection_closed_meanwhile_is_replaced);
    tcase_add_test(tcase, requests_are_sent_as_given);
    tcase_add_test(tcase, a_large_body_is_sent_whole);
    tcase_add_test(tcase, what_cannot_be_sent_fails_at_once);
    tcase_add_test(tcase, any_status_is_a_reply_and_redirects_are_not_followed);
    tcase_add_test(tcase, headers_are_found);
    tcase_add_test(tcase, many_are_in_flight_at_once);
    tcase_add_test(tcase, a_slow_one_delays_no_other);
    tcase_add_test(tcase, broken_replies_fail);
    tcase_add_test(tcase, a_reset_in_the_middle_fails);
    tcase_add_test(tcase, time_runs_out);
    tcase_add_test(tcase, connecting_runs_out_of_time);
    tcase_add_test(tcase, nobody_listens);
    tcase_add_test(tcase, replies_have_a_ceiling);
    tcase_add_test(tcase, gzip_is_inflated);
    tcase_add_test(tcase, memory_of_large_replies_is_freed);
    tcase_add_test(tcase, a_running_call_can_be_broken_off);
    tcase_add_test(tcase, whoever_waits_can_be_stopped);
    tcase_add_test(tcase, the_descriptor_wakes_at_a_moment);
    tcase_add_test(tcase, proxies_are_used_as_told);
    tcase_add_test(tcase, names_that_cannot_be_resolved);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
