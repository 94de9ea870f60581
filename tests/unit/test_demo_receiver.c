/* SPDX-License-Identifier: Apache-2.0 */
/* The demo's receiver: cuts messages wherever their bytes were cut, answers an end by its own. */
#include "cmd/demo_receiver.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "unit.h"

enum { MESSAGES = 500, MESSAGE_BYTES = 700, TEXT_MAX = 1 << 20 };

static void collect(void *context, struct span message) {
    struct buf *text = context;
    buf_add(text, message);
    buf_char(text, '|');
}

static int connect_to(const struct demo_receiver *receiver) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons(demo_receiver_port(receiver))};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_ge(fd, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* Half-closes and waits for the receiver's FIN: it then has taken everything. */
static void end(int fd) {
    char byte;
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    ck_assert_int_eq(read(fd, &byte, 1), 0);
    close(fd);
}

static void put(int fd, struct span bytes) {
    ck_assert_int_eq(write(fd, bytes.p, bytes.len), (ssize_t)bytes.len);
}

START_TEST(messages_are_cut_at_nul_bytes) {
    struct demo_receiver *receiver;
    struct buf text;
    struct err err;
    buf_init(&text, TEXT_MAX);
    ck_assert_int_eq(demo_receiver_open(collect, &text, &receiver, &err), 0);
    int fd = connect_to(receiver);
    put(fd, SPAN("{\"a\":1}\0{\"b\""));
    put(fd, SPAN(":2}"));
    put(fd, SPAN("\0{}\0without an end"));
    end(fd);
    ck_assert_uint_eq(demo_receiver_count(receiver), 3);
    demo_receiver_close(receiver);
    ck_assert_str_eq(buf_cstr(&text), "{\"a\":1}|{\"b\":2}|{}|");
    buf_done(&text);
}
END_TEST

static void count_bytes(void *context, struct span message) {
    *(uint64_t *)context += message.len;
}

START_TEST(connections_do_not_mix) {
    struct demo_receiver *receiver;
    struct err err;
    uint64_t bytes = 0;
    char message[MESSAGE_BYTES];
    ck_assert_int_eq(demo_receiver_open(count_bytes, &bytes, &receiver, &err), 0);
    int one = connect_to(receiver), two = connect_to(receiver);
    memset(message, 'x', sizeof(message));
    message[MESSAGE_BYTES - 1] = '\0';
    for (int i = 0; i < MESSAGES; i++) {
        put(one, span_of(message, 100));
        put(two, span_of(message, MESSAGE_BYTES));
        put(one, span_of(message + 100, MESSAGE_BYTES - 100));
    }
    end(two);
    end(one);
    ck_assert_uint_eq(demo_receiver_count(receiver), 2 * MESSAGES);
    demo_receiver_close(receiver);
    ck_assert_uint_eq(bytes, (uint64_t)2 * MESSAGES * (MESSAGE_BYTES - 1));
}
END_TEST

START_TEST(closing_does_not_wait_for_peers) {
    struct demo_receiver *receiver;
    struct err err;
    uint64_t bytes = 0;
    ck_assert_int_eq(demo_receiver_open(count_bytes, &bytes, &receiver, &err), 0);
    int fd = connect_to(receiver);
    demo_receiver_close(receiver);
    close(fd);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("demo_receiver");
    TCase *tests = tcase_create("demo_receiver");
    tcase_add_test(tests, messages_are_cut_at_nul_bytes);
    tcase_add_test(tests, connections_do_not_mix);
    tcase_add_test(tests, closing_does_not_wait_for_peers);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
