/* SPDX-License-Identifier: Apache-2.0 */
#include "base/net.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include "unit.h"

static int wait_for(struct net_lookup *lookup, struct net_answer *answer, struct err *err) {
    struct pollfd poll_fd = {.fd = net_lookup_fd(lookup), .events = POLLIN};
    ck_assert_int_eq(poll(&poll_fd, 1, 30000), 1);
    return net_lookup_poll(lookup, answer, err);
}

static int listen_on_loopback(struct net_address *address) {
    *address = (struct net_address){.len = sizeof address->v4};
    address->v4.sin_family = AF_INET;
    address->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(fd, &address->any, address->len), 0);
    ck_assert_int_eq(listen(fd, 8), 0);
    ck_assert_int_eq(getsockname(fd, &address->any, &address->len), 0);
    return fd;
}

/* A connected pair: *peer is the accepted end. */
static int connect_pair(int *peer) {
    struct net_address address;
    struct err err;
    int listener = listen_on_loopback(&address);
    int fd = net_connect(&address, &err);
    ck_assert_int_ge(fd, 0);
    *peer = accept(listener, NULL, NULL);
    poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 30000);
    ck_assert_int_eq(net_connected(fd, &err), 1);
    close(listener);
    return fd;
}

START_TEST(addresses_need_no_resolver) {
    const struct {
        const char *host, *text;
    } cases[] = {{"192.0.2.1", "192.0.2.1:12201"}, {"2001:db8::1", "[2001:db8::1]:12201"}};
    for (size_t i = 0; i < 2; i++) {
        struct net_lookup *lookup = net_lookup_open(cases[i].host, 12201, SOCK_DGRAM);
        struct net_answer answer;
        struct err err;
        char text[NET_TEXT_MAX];
        ck_assert_int_eq(net_lookup_poll(lookup, &answer, &err), 0);
        net_lookup_start(lookup);
        ck_assert_int_eq(net_lookup_poll(lookup, &answer, &err), 1);
        ck_assert_uint_eq(answer.count, 1);
        ck_assert_str_eq(net_format(&answer.addresses[0], text), cases[i].text);
        net_lookup_close(lookup);
    }
}
END_TEST

START_TEST(names_are_resolved_again_and_again) {
    struct net_lookup *lookup = net_lookup_open("localhost", 80, SOCK_STREAM);
    for (int i = 0; i < 3; i++) {
        struct net_answer answer;
        struct err err;
        net_lookup_start(lookup);
        net_lookup_start(lookup); /* once is enough */
        ck_assert_int_eq(wait_for(lookup, &answer, &err), 1);
        ck_assert_uint_ge(answer.count, 1);
        ck_assert_int_eq(net_lookup_poll(lookup, &answer, &err), 0);
    }
    net_lookup_close(lookup);
}
END_TEST

START_TEST(an_unknown_name_is_an_error_with_the_name) {
    struct net_lookup *lookup = net_lookup_open("nobody.invalid", 80, SOCK_STREAM);
    struct net_answer answer;
    struct err err;
    net_lookup_start(lookup);
    ck_assert_int_eq(wait_for(lookup, &answer, &err), -1);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_ptr_nonnull(strstr(err.text, "nobody.invalid"));
    net_lookup_close(lookup);
}
END_TEST

START_TEST(a_question_may_be_given_up_at_any_moment) {
    for (int i = 0; i < 50; i++) {
        struct net_lookup *lookups[4];
        for (int j = 0; j < 4; j++) {
            lookups[j] = net_lookup_open("localhost", 80, SOCK_STREAM);
            net_lookup_start(lookups[j]);
        }
        for (int j = 3; j >= 0; j--) {
            net_lookup_close(lookups[j]);
        }
    }
    struct net_lookup *last = net_lookup_open("localhost", 80, SOCK_STREAM);
    struct net_answer answer;
    struct err err;
    net_lookup_start(last);
    ck_assert_int_eq(wait_for(last, &answer, &err), 1);
    net_lookup_close(last);
}
END_TEST

START_TEST(a_refused_connection_says_so) {
    struct net_address address;
    struct err err;
    close(listen_on_loopback(&address));
    int fd = net_connect(&address, &err);
    if (fd >= 0) {
        poll(&(struct pollfd){.fd = fd, .events = POLLOUT}, 1, 30000);
        ck_assert_int_eq(net_connected(fd, &err), -1);
        close(fd);
    }
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_int_eq(err.sys, ECONNREFUSED);
}
END_TEST

/* Writes until the peer, which does not read, takes no more. */
static void fill(int fd, int peer) {
    static const char bytes[1 << 16];
    int small = 4096;
    setsockopt(peer, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0) {
    }
}

START_TEST(unacknowledged_counts_bytes_and_our_fin) {
    int peer, fd = connect_pair(&peer);
    ck_assert_int_eq(net_unacknowledged(fd), 0);
    fill(fd, peer);
    int64_t before = net_unacknowledged(fd);
    ck_assert_int_gt(before, 0);
    ck_assert_int_eq(shutdown(fd, SHUT_WR), 0);
    ck_assert_int_eq(net_unacknowledged(fd), before + 1);
    ck_assert(!net_peer_closed_first(fd));
    close(peer);
    close(fd);
}
END_TEST

START_TEST(who_closed_first_can_be_told) {
    int peer, fd = connect_pair(&peer);
    fill(fd, peer);
    shutdown(peer, SHUT_WR);
    poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 30000);
    shutdown(fd, SHUT_WR);
    ck_assert(net_peer_closed_first(fd));
    close(peer);
    close(fd);
}
END_TEST

START_TEST(draining_tells_open_from_fin_from_reset) {
    int peer, fd = connect_pair(&peer);
    ck_assert_int_eq(net_drain(fd), NET_OPEN);
    ck_assert_int_eq(send(peer, "noise", 5, 0), 5);
    poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 30000);
    ck_assert_int_eq(net_drain(fd), NET_OPEN);
    close(peer);
    poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 30000);
    ck_assert_int_eq(net_drain(fd), NET_FIN);
    close(fd);

    fd = connect_pair(&peer);
    struct linger linger = {.l_onoff = 1};
    setsockopt(peer, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    close(peer);
    poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, 30000);
    ck_assert_int_eq(net_drain(fd), NET_LOST);
    ck_assert_int_eq(errno, ECONNRESET);
    close(fd);
}
END_TEST

START_TEST(trying_a_target_waits_for_an_answer) {
    struct net_address address, found;
    struct err err;
    char text[NET_TEXT_MAX], found_text[NET_TEXT_MAX];
    int listener = listen_on_loopback(&address);
    uint16_t port = ntohs(address.v4.sin_port);
    ck_assert_int_eq(net_try("127.0.0.1", port, SOCK_STREAM, 5000, &found, &err), 0);
    ck_assert_str_eq(net_format(&found, found_text), net_format(&address, text));
    close(listener);
    ck_assert_int_eq(net_try("127.0.0.1", port, SOCK_STREAM, 5000, &found, &err), -1);
    ck_assert_int_eq(net_try("nobody.invalid", port, SOCK_STREAM, 5000, &found, &err), -1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("net");
    TCase *names = tcase_create("names");
    tcase_set_timeout(names, 60);
    tcase_add_test(names, addresses_need_no_resolver);
    tcase_add_test(names, names_are_resolved_again_and_again);
    tcase_add_test(names, an_unknown_name_is_an_error_with_the_name);
    tcase_add_test(names, a_question_may_be_given_up_at_any_moment);
    suite_add_tcase(suite, names);
    TCase *sockets = tcase_create("sockets");
    tcase_set_timeout(sockets, 60);
    tcase_add_test(sockets, a_refused_connection_says_so);
    tcase_add_test(sockets, unacknowledged_counts_bytes_and_our_fin);
    tcase_add_test(sockets, who_closed_first_can_be_told);
    tcase_add_test(sockets, draining_tells_open_from_fin_from_reset);
    tcase_add_test(sockets, trying_a_target_waits_for_an_answer);
    suite_add_tcase(suite, sockets);
    return run_suite(suite);
}
