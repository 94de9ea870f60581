/* SPDX-License-Identifier: Apache-2.0 */
#include <netdb.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/wait.h>

#include "base/net.h"
#include "output/gelf_tcp.h"
#include "output/outputs.h"
#include "output/tcp_link.h"
#include "parcels.h"
#include "receiver.h"
#include "tls_peer.h"
#include "unit.h"

/*
 * One handle and one receiver in one thread, step by step. At every step what counts as delivered
 * must have been read by the receiver, unless the test is about a receiver that proves nothing.
 */

enum {
    SMALL_BUFFER = 16 << 10, /* of the receiver; far below peer_buffer */
    PEER_BUFFER = 256 << 10,
    PATIENCE_MS = 30000, /* for what must happen at all */
    NEVER_MS = 3000000,
    LONG_MS = 3600000,
};

static struct receiver receiver;
static struct shipment shipment;
static char loopback[] = "127.0.0.1";
static char known_name[] = "receiver.test", unknown_name[] = "nobody.test";
static struct hostport target;
static struct gelf_tcp_conf conf;
static bool proves_reading;

/* Of those tests that go over TLS; else NULL. */
static SSL_CTX *server_context;
static struct peer_identity authority;
static char ca_path[PEER_PATH_MAX];
static struct buf text;

/* The name service of this test: "receiver.test" is loopback, and questions are counted. */
static int lookups;

int getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
                struct addrinfo **list) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)atoi(service))};
    if (strcmp(node, known_name) == 0 && !(hints->ai_flags & AI_NUMERICHOST)) {
        __atomic_add_fetch(&lookups, 1, __ATOMIC_SEQ_CST);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    } else if (inet_pton(AF_INET, node, &address.sin_addr) != 1) {
        return EAI_NONAME;
    }
    *list = xcalloc(1, sizeof **list);
    (*list)->ai_addr = xmalloc(sizeof address);
    memcpy((*list)->ai_addr, &address, sizeof address);
    (*list)->ai_addrlen = sizeof address;
    (*list)->ai_family = AF_INET;
    return 0;
}

void freeaddrinfo(struct addrinfo *list) {
    free(list->ai_addr);
    free(list);
}

static void setup(void) {
    receiver_open(&receiver, SMALL_BUFFER);
    target = (struct hostport){.host = loopback, .port = receiver.port};
    conf = (struct gelf_tcp_conf){
        .common.required = true,
        .hosts = {.items = &target, .count = 1},
        .dead_after_ms = LONG_MS,
        .confirm_after_ms = NEVER_MS,
        .settle_delay_ms = 2000,
        .peer_buffer_bytes = PEER_BUFFER,
    };
    proves_reading = true;
    buf_init(&text, 4096);
}

static void offer_tls(const char *names, int until_days, int version) {
    struct peer_identity own = peer_make("graylog", names, -10, until_days, &authority);
    SSL_CTX_free(server_context);
    server_context = peer_context(&own, version);
    receiver.tls = server_context;
    peer_free(&own);
}

static void setup_tls(int version) {
    setup();
    authority = peer_make("authority", NULL, -1, 30, NULL);
    strcpy(ca_path, "/tmp/test_gelf_tcp_XXXXXX");
    close(mkstemp(ca_path));
    peer_write_certificate(ca_path, &authority);
    conf.tls_given = true;
    conf.tls = (struct tls_conf){.enabled = true, .settings = {.ca = ca_path, .verify = true}};
    offer_tls("IP:127.0.0.1", 20, version);
}

static void setup_tls_1_2(void) {
    setup_tls(TLS1_2_VERSION);
}

static void setup_tls_1_3(void) {
    setup_tls(TLS1_3_VERSION);
}

/* A receiver with another buffer in the place of the first. */
static void replace_receiver(int buffer_bytes) {
    receiver_close(&receiver);
    receiver_open(&receiver, buffer_bytes);
    receiver.tls = server_context;
    target.port = receiver.port;
}

static void teardown(void) {
    shipment_close(&shipment);
    receiver_close(&receiver);
    if (server_context) {
        SSL_CTX_free(server_context);
        server_context = NULL;
        peer_free(&authority);
        unlink(ca_path);
    }
    buf_done(&text);
}

static void start(void) {
    shipment_open(&shipment, &output_gelf_tcp_type, &conf, NULL);
}

static size_t messages_of_delivered(void) {
    size_t messages = 0;
    for (uint64_t i = 1; i <= shipment_delivered(&shipment); i++) {
        messages += shipment.parcels[i].messages;
    }
    return messages;
}

static void check_delivered_was_read(void) {
    static size_t checked;
    size_t messages = messages_of_delivered();
    for (size_t i = checked < messages ? checked : 0; i < messages && proves_reading; i++) {
        ck_assert_msg(receiver.seen[i] > 0, "message %zu counts as delivered and was not read", i);
    }
    checked = messages;
}

static void step(void) {
    shipment_turn(&shipment, 5);
    check_delivered_was_read();
    receiver_step(&receiver);
}

/* Steps until the condition holds, which must happen. */
#define STEP_UNTIL(condition)                                                              \
    do {                                                                                   \
        int64_t patience_ms = clock_monotonic_ms() + PATIENCE_MS;                          \
        while (!(condition)) {                                                             \
            ck_assert_msg(clock_monotonic_ms() < patience_ms, "waited in vain for %s; %s", \
                          #condition, shipment_describe(&shipment, &text));                \
            step();                                                                        \
        }                                                                                  \
    } while (0)

static void step_for_ms(int64_t ms) {
    int64_t until_ms = clock_monotonic_ms() + ms;
    while (clock_monotonic_ms() < until_ms) {
        step();
    }
}

static bool all_delivered(void) {
    return shipment_delivered(&shipment) == shipment.last;
}

static void confirm_now(void) {
    shipment.type->confirm(shipment.handle, shipment_now_ms(&shipment));
}

static const struct output_counts *counts(void) {
    return shipment.type->counts(shipment.handle);
}

/* Bytes that lie unread in the receiver's sockets are at least so many. */
static size_t unacknowledged(void) {
    struct pollfd fds[OUTPUT_POLL_MAX];
    int wait_ms = 0;
    int count = shipment.type->poll_fds(shipment.handle, shipment_now_ms(&shipment), fds, &wait_ms);
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        int64_t one = net_unacknowledged(fds[i].fd);
        bytes += one > 0 ? (size_t)one : 0;
    }
    return bytes;
}

static void check_all_read(size_t messages) {
    ck_assert_uint_eq(receiver.messages, messages);
    ck_assert_uint_eq(counts()->delivered_messages, messages);
}

START_TEST(a_flood_is_confirmed_by_the_bytes_behind_it) {
    start();
    for (int i = 0; i < 200; i++) {
        shipment_send(&shipment, 20, 1000);
        step();
    }
    STEP_UNTIL(receiver.messages == 4000);
    uint64_t least = (4000 * 1000 - PEER_BUFFER) / 20000 - 1;
    STEP_UNTIL(shipment_delivered(&shipment) >= least);
    ck_assert(!all_delivered());
    ck_assert_uint_eq(counts()->connects, 1);
    ck_assert_uint_eq(receiver.fins, 0);
    confirm_now();
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(receiver.fins, 1);
    ck_assert_uint_eq(counts()->connections_lost, 0);
    ck_assert_uint_eq(counts()->resent_messages, 0);
    check_all_read(4000);
}
END_TEST

START_TEST(a_quiet_stream_is_confirmed_by_a_half_close) {
    conf.confirm_after_ms = 100;
    start();
    shipment_send(&shipment, 3, 100);
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(receiver.fins, 1);
    shipment_send(&shipment, 3, 100);
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(counts()->connects, 2);
    ck_assert_uint_eq(counts()->connections_lost, 0);
    check_all_read(6);
    ck_assert_ptr_nonnull(strstr(shipment_describe(&shipment, &text), "level read"));
}
END_TEST

START_TEST(a_dripping_stream_is_confirmed_too) {
    conf.confirm_after_ms = 150;
    start();
    int64_t until_ms = clock_monotonic_ms() + 1000;
    while (clock_monotonic_ms() < until_ms) {
        shipment_send(&shipment, 1, 50);
        step_for_ms(10);
    }
    ck_assert_uint_gt(shipment_delivered(&shipment), 0);
    ck_assert_uint_ge(receiver.fins, 2);
    confirm_now();
    STEP_UNTIL(all_delivered());
    check_all_read(shipment.messages);
}
END_TEST

START_TEST(confirm_does_not_wait) {
    start();
    confirm_now(); /* of nothing is nothing */
    shipment_send(&shipment, 5, 1000);
    confirm_now();
    STEP_UNTIL(all_delivered());
    check_all_read(5);
}
END_TEST

START_TEST(a_reset_with_megabytes_unread_loses_nothing) {
    replace_receiver(8 << 20);
    conf.peer_buffer_bytes = 64 << 20;
    receiver.read_max = 0;
    start();
    for (int i = 0; i < 20; i++) {
        shipment_send(&shipment, 200, 1000);
        step();
    }
    for (int round = 0; round < 3; round++) {
        STEP_UNTIL(counts()->connects > (uint64_t)round && unacknowledged() < 3 << 20);
        receiver_die(&receiver, true);
        STEP_UNTIL(counts()->connections_lost > (uint64_t)round);
        ck_assert_uint_eq(shipment_delivered(&shipment), 0);
    }
    receiver.read_max = SIZE_MAX;
    STEP_UNTIL(receiver.messages == 4000);
    confirm_now();
    STEP_UNTIL(all_delivered());
    check_all_read(4000);
    ck_assert_uint_ge(counts()->resent_messages, 3 * 200);
    ck_assert_int_eq(shipment.err.kind, ERR_RETRY);
}
END_TEST

START_TEST(a_receiver_killed_with_unread_bytes_loses_nothing) {
    conf.confirm_after_ms = 50;
    pid_t child = fork();
    ck_assert_int_ge(child, 0);
    if (child == 0) {
        int fd;
        do {
            poll(&(struct pollfd){.fd = receiver.listen_fd, .events = POLLIN}, 1, -1);
            fd = accept(receiver.listen_fd, NULL, NULL);
        } while (fd < 0);
        for (;;) {
            pause();
        }
    }
    start();
    shipment_send(&shipment, 10, 1000);
    /* The child takes the connection, so the test's receiver must not look before it is gone. */
    int64_t until_ms = clock_monotonic_ms() + 500;
    while (clock_monotonic_ms() < until_ms) {
        shipment_turn(&shipment, 5);
    }
    ck_assert_uint_eq(shipment_delivered(&shipment), 0);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    STEP_UNTIL(all_delivered());
    ck_assert_uint_ge(counts()->connections_lost, 1);
    check_all_read(10);
}
END_TEST

START_TEST(a_slow_receiver_is_waited_for) {
    conf.confirm_after_ms = 50;
    receiver.read_max = 2000;
    start();
    for (int i = 0; i < 50; i++) {
        shipment_send(&shipment, 10, 1000);
    }
    confirm_now();
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(counts()->resent_messages, 0);
    check_all_read(500);
}
END_TEST

START_TEST(a_hung_receiver_that_is_killed_got_nothing) {
    conf.confirm_after_ms = 50;
    receiver.read_max = 0;
    start();
    shipment_send(&shipment, 10, 100);
    step_for_ms(300);
    ck_assert_ptr_nonnull(strstr(shipment_describe(&shipment, &text), "not yet answered"));
    ck_assert_uint_eq(shipment_delivered(&shipment), 0);
    receiver_die(&receiver, false); /* unread bytes make it a reset */
    receiver.read_max = SIZE_MAX;
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(counts()->connections_lost, 1);
    ck_assert_ptr_nonnull(strstr(shipment_describe(&shipment, &text), "level read"));
    check_all_read(10);
}
END_TEST

START_TEST(at_most_four_connections_wait_for_an_answer) {
    conf.confirm_after_ms = 20;
    receiver.read_max = 0;
    start();
    for (int i = 0; i < 20; i++) {
        shipment_send(&shipment, 1, 100);
        step_for_ms(50);
    }
    ck_assert_uint_eq(counts()->connects, 5);
    ck_assert_ptr_nonnull(strstr(shipment_describe(&shipment, &text), "4 connections ended"));
    receiver.read_max = SIZE_MAX;
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(counts()->resent_messages, 0);
    check_all_read(20);
}
END_TEST

/* Runs `action` and returns what was logged meanwhile, in `text`. */
static const char *logged_while(void (*action)(void)) {
    FILE *log = tmpfile();
    int saved = dup(STDERR_FILENO);
    dup2(fileno(log), STDERR_FILENO);
    action();
    dup2(saved, STDERR_FILENO);
    close(saved);
    char bytes[2000];
    rewind(log);
    size_t len = fread(bytes, 1, sizeof bytes, log);
    fclose(log);
    buf_clear(&text);
    buf_add(&text, span_of(bytes, len));
    return buf_cstr(&text);
}

static void wait_for_delivery(void) {
    struct buf line;
    buf_init(&line, 4096);
    STEP_UNTIL(strstr(shipment_describe(&shipment, &line), "level acknowledged"));
    STEP_UNTIL(all_delivered());
    buf_done(&line);
}

START_TEST(a_half_close_never_answered_falls_back_to_the_delay) {
    conf.confirm_after_ms = 50;
    conf.settle_delay_ms = 200;
    receiver.answer = RECEIVER_SILENT;
    start();
    shipment_send(&shipment, 10, 100);
    STEP_UNTIL(receiver.fins == 1);
    step_for_ms(300);
    ck_assert_uint_eq(shipment_delivered(&shipment), 0);
    shipment.skipped_ms = LONG_MS;
    const char *log = logged_while(wait_for_delivery);
    ck_assert_ptr_nonnull(strstr(log, "level \"acknowledged\""));
    ck_assert_uint_eq(counts()->resent_messages, 0);

    /* From now on acknowledged and settle_delay are enough ... */
    shipment_send(&shipment, 10, 100);
    confirm_now();
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(receiver.fins, 1);

    /* ... until it answers. */
    receiver.answer = RECEIVER_ANSWERS;
    shipment.skipped_ms += LONG_MS;
    STEP_UNTIL(strstr(shipment_describe(&shipment, &text), "level read"));
}
END_TEST

START_TEST(three_resets_in_answer_to_half_closes_fall_back_too) {
    conf.confirm_after_ms = 50;
    conf.settle_delay_ms = 200;
    receiver.answer = RECEIVER_RESETS;
    start();
    shipment_send(&shipment, 10, 100);
    const char *log = logged_while(wait_for_delivery);
    ck_assert_ptr_nonnull(strstr(log, "with a reset"));
    ck_assert_uint_eq(receiver.fins, 3);
    ck_assert_uint_eq(counts()->connections_lost, 3);
    ck_assert_uint_eq(counts()->resent_messages, 30);
}
END_TEST

START_TEST(a_fin_before_ours_is_a_lost_connection) {
    start();
    shipment_send(&shipment, 10, 100);
    STEP_UNTIL(receiver.messages == 10);
    receiver_die(&receiver, false); /* all is read: a FIN */
    STEP_UNTIL(counts()->connections_lost == 1);
    ck_assert_uint_eq(shipment_delivered(&shipment), 0);
    STEP_UNTIL(receiver.seen[9] == 2);
    confirm_now();
    STEP_UNTIL(all_delivered());
}
END_TEST

START_TEST(parcels_begun_are_written_to_their_end_before_the_half_close) {
    receiver.read_max = 3000;
    start();
    STEP_UNTIL(receiver.link_count == 1);
    for (int i = 0; i < 8; i++) {
        shipment_send(&shipment, 1000, 1000);
    }
    confirm_now();
    step_for_ms(100);
    receiver.read_max = 300000;
    STEP_UNTIL(all_delivered());
    for (size_t i = 0; i < receiver.link_count; i++) {
        ck_assert_uint_eq(receiver.links[i].cut, 0);
    }
    check_all_read(8000);
}
END_TEST

START_TEST(what_was_lost_goes_again_in_order) {
    receiver.read_max = 0;
    start();
    for (int i = 0; i < 100; i++) {
        shipment_send(&shipment, 1, 1000);
    }
    STEP_UNTIL(counts()->connects == 1);
    step_for_ms(50);
    receiver_die(&receiver, true);
    STEP_UNTIL(counts()->connections_lost == 1);
    receiver.read_max = 1000; /* one message a step */
    size_t before = 0;
    while (receiver.messages < 100) {
        step();
        for (size_t i = before; i < receiver.messages; i++) {
            ck_assert_uint_eq(receiver.seen[i], 1);
        }
        before = receiver.messages;
    }
    confirm_now();
    STEP_UNTIL(all_delivered());
}
END_TEST

/* What is said names an address once, a name with the address that it stands for. */
START_TEST(an_absent_receiver_is_waited_for) {
    static char *const hosts[] = {loopback, known_name};
    char wanted[128], name[64] = "";
    target.host = hosts[_i];
    if (_i > 0) {
        snprintf(name, sizeof name, "%s:%u: ", target.host, target.port);
    }
    snprintf(wanted, sizeof wanted, "%s127.0.0.1:%u: cannot connect: Connection refused", name,
             target.port);
    close(receiver.listen_fd);
    receiver.listen_fd = -1;
    start();
    shipment_send(&shipment, 10, 100);
    int64_t until_ms = clock_monotonic_ms() + 400;
    while (clock_monotonic_ms() < until_ms) {
        shipment_turn(&shipment, 5);
    }
    ck_assert_int_ge(shipment.failures, 1);
    ck_assert_int_le(shipment.failures, 5); /* it backs off */
    ck_assert_str_eq(shipment.err.text, wanted);
    receiver_open(&receiver, SMALL_BUFFER);
    target.port = receiver.port;
    shipment_close(&shipment);
    start();
    shipment_send(&shipment, 10, 100);
    confirm_now();
    STEP_UNTIL(all_delivered());
}
END_TEST

START_TEST(the_name_is_asked_for_at_each_connect) {
    target.host = known_name;
    start();
    for (int i = 1; i <= 3; i++) {
        shipment_send(&shipment, 1, 100);
        confirm_now();
        STEP_UNTIL(all_delivered());
        ck_assert_int_eq(__atomic_load_n(&lookups, __ATOMIC_SEQ_CST), i);
    }
}
END_TEST

START_TEST(a_name_that_does_not_resolve_is_trouble_that_may_pass) {
    target.host = unknown_name;
    start();
    STEP_UNTIL(shipment.failures > 0);
    ck_assert_int_eq(shipment.err.kind, ERR_RETRY);
    ck_assert_ptr_nonnull(strstr(shipment.err.text, "cannot resolve nobody.test"));
    ck_assert_ptr_null(strstr(strstr(shipment.err.text, "nobody.test") + 1, "nobody.test"));
}
END_TEST

START_TEST(the_socket_has_its_timeouts) {
    conf.dead_after_ms = 300000;
    start();
    STEP_UNTIL(counts()->connects == 1);
    struct pollfd fds[OUTPUT_POLL_MAX];
    int wait_ms = 100, value = 0;
    socklen_t len = sizeof value;
    ck_assert_int_eq(shipment.type->poll_fds(shipment.handle, 0, fds, &wait_ms), 1);
    getsockopt(fds[0].fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &value, &len);
    ck_assert_int_eq(value, 300000);
    getsockopt(fds[0].fd, SOL_SOCKET, SO_KEEPALIVE, &value, &len);
    ck_assert_int_eq(value, 1);
    int idle_s, interval_s, probes;
    getsockopt(fds[0].fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle_s, &len);
    getsockopt(fds[0].fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval_s, &len);
    getsockopt(fds[0].fd, IPPROTO_TCP, TCP_KEEPCNT, &probes, &len);
    ck_assert_int_lt(idle_s + interval_s * probes, 300 / 2);
}
END_TEST

START_TEST(what_the_receiver_sends_is_thrown_away) {
    start();
    STEP_UNTIL(receiver.link_count == 1);
    for (int i = 0; i < 100; i++) {
        static const char noise[10000];
        (void)!send(receiver.links[0].fd, noise, sizeof noise, MSG_NOSIGNAL);
        shipment_send(&shipment, 1, 100);
        step();
    }
    confirm_now();
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(counts()->connections_lost, 0);
}
END_TEST

START_TEST(its_ring_holds_the_peers_buffer_and_more) {
    start();
    ck_assert_uint_eq(output_gelf_tcp_type.ring_bytes(&conf), PEER_BUFFER + (8 << 20));
}
END_TEST

START_TEST(check_tries_the_target_only_when_online) {
    struct err err;
    start();
    ck_assert_int_eq(output_gelf_tcp_type.check(&conf, false, &text, &err), 0);
    ck_assert_int_eq(output_gelf_tcp_type.check(&conf, true, &text, &err), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "accepts connections"));
    receiver_close(&receiver);
    receiver.listen_fd = -1;
    ck_assert_int_eq(output_gelf_tcp_type.check(&conf, true, &text, &err), -1);
}
END_TEST

START_TEST(many_small_parcels_share_records) {
    start();
    STEP_UNTIL(counts()->connects == 1);
    receiver.read_max = 0;
    for (int i = 0; i < 3000; i++) {
        shipment_send(&shipment, 1, 100);
        if (i % 100 == 0) {
            step();
        }
    }
    receiver.read_max = 7000;
    confirm_now();
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(counts()->resent_messages, 0);
    check_all_read(3000);
}
END_TEST

START_TEST(an_answer_without_close_notify_is_one) {
    receiver.is_brief = true;
    start();
    shipment_send(&shipment, 10, 1000);
    confirm_now();
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(counts()->connections_lost, 0);
    ck_assert_ptr_nonnull(strstr(shipment_describe(&shipment, &text), "level read"));
    check_all_read(10);
}
END_TEST

/* It may come before the receiver has read what it was sent. */
START_TEST(a_close_notify_before_ours_is_a_lost_connection) {
    start();
    shipment_send(&shipment, 10, 100);
    STEP_UNTIL(receiver.messages == 10);
    SSL_shutdown(receiver.links[0].ssl);
    STEP_UNTIL(counts()->connections_lost == 1);
    ck_assert_uint_eq(shipment_delivered(&shipment), 0);
    confirm_now();
    STEP_UNTIL(all_delivered());
    ck_assert_uint_eq(receiver.seen[9], 2);
}
END_TEST

START_TEST(later_connections_resume_the_first) {
    start();
    for (size_t i = 0; i < 4; i++) {
        ck_assert_uint_eq(receiver.resumed, i > 0 ? i - 1 : 0);
        shipment_send(&shipment, 1, 100);
        confirm_now();
        STEP_UNTIL(all_delivered());
    }
    ck_assert_uint_eq(receiver.resumed, 3);
}
END_TEST

/* The receiver gets half a record, and the others lie unread. */
START_TEST(a_reset_in_a_record_loses_nothing) {
    char half[10000];
    start();
    STEP_UNTIL(receiver.link_count == 1 && counts()->connects == 1);
    receiver.read_max = 0;
    for (int i = 0; i < 10; i++) {
        shipment_send(&shipment, 100, 1000);
        step();
    }
    ck_assert_int_gt(recv(receiver.links[0].fd, half, sizeof half, 0), 0);
    receiver_die(&receiver, true);
    STEP_UNTIL(counts()->connections_lost == 1);
    ck_assert_uint_eq(shipment_delivered(&shipment), 0);
    receiver.read_max = SIZE_MAX;
    confirm_now();
    STEP_UNTIL(all_delivered());
    check_all_read(1000);
}
END_TEST

START_TEST(a_stalled_handshake_is_given_up_and_tried_again) {
    receiver.is_mute = true;
    start();
    shipment_send(&shipment, 10, 100);
    STEP_UNTIL(strstr(shipment_describe(&shipment, &text), "in the TLS handshake"));
    step_for_ms(50);
    ck_assert_int_eq(shipment.failures, 0);
    shipment.skipped_ms += 10000;
    STEP_UNTIL(shipment.failures == 1);
    ck_assert_ptr_nonnull(strstr(shipment.err.text, "did not end within 10 s"));
    ck_assert_ptr_nonnull(strstr(shipment_describe(&shipment, &text), "waiting to connect again"));
    receiver.is_mute = false;
    confirm_now();
    STEP_UNTIL(all_delivered());
    check_all_read(10);
}
END_TEST

static const char *failure(void) {
    int before = shipment.failures;
    STEP_UNTIL(shipment.failures > before);
    ck_assert_int_eq(shipment.err.kind, ERR_RETRY);
    return shipment.err.text;
}

START_TEST(a_bad_certificate_is_waited_out) {
    offer_tls("IP:127.0.0.1", -1, TLS1_3_VERSION);
    start();
    shipment_send(&shipment, 10, 100);
    ck_assert_ptr_nonnull(strstr(failure(), "(CN=graylog) expired on "));
    offer_tls("IP:127.0.0.2", 20, TLS1_3_VERSION);
    failure(); /* perhaps of a connection that met the certificate before */
    ck_assert_ptr_nonnull(strstr(failure(), "is for 127.0.0.2 and not for 127.0.0.1"));
    ck_assert_ptr_nonnull(strstr(shipment.err.text, "127.0.0.1:")); /* the target */
    ck_assert_uint_eq(counts()->connects, 0);
    ck_assert_uint_eq(receiver.messages, 0);
    offer_tls("IP:127.0.0.1", 20, TLS1_3_VERSION);
    confirm_now();
    STEP_UNTIL(all_delivered());
    check_all_read(10);
}
END_TEST

/* In TLS 1.3 the refusal comes when we believe that we are connected. */
START_TEST(a_refusal_behind_the_handshake_is_said_and_backs_off) {
    peer_demand_certificate(server_context, &authority);
    start();
    ck_assert_ptr_nonnull(strstr(failure(), "tls: {cert: FILE, key: FILE}"));
    ck_assert_uint_eq(counts()->connections_lost, 1);
    shipment_send(&shipment, 10, 100);
    confirm_now();
    step_for_ms(1500);
    ck_assert_uint_le(counts()->connections_lost, 6);
    ck_assert_uint_eq(shipment_delivered(&shipment), 0);
    ck_assert_ptr_nonnull(strstr(shipment_describe(&shipment, &text), "level read"));
    ck_assert_ptr_nonnull(strstr(shipment.err.text, "tls: {cert: FILE, key: FILE}"));
}
END_TEST

START_TEST(a_broken_ca_is_no_start) {
    struct err err;
    start();
    FILE *file = fopen(ca_path, "w");
    fclose(file);
    void *handle;
    struct output_place place = {.sharers = 1, .ring_bytes = SHIPMENT_RING_BYTES};
    ck_assert_int_eq(output_gelf_tcp_type.open(&conf, &place, &handle, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_int_eq(output_gelf_tcp_type.check(&conf, false, &text, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "holds no certificate"));
}
END_TEST

/* A new authority on disk: the receiver's new certificate is known without a start. */
START_TEST(a_changed_ca_is_picked_up) {
    start();
    shipment_send(&shipment, 1, 100);
    confirm_now();
    STEP_UNTIL(all_delivered());
    peer_free(&authority);
    authority = peer_make("second", NULL, -1, 30, NULL);
    offer_tls("IP:127.0.0.1", 20, TLS1_3_VERSION);
    shipment_send(&shipment, 1, 100);
    ck_assert_ptr_nonnull(strstr(failure(), "not trusted here (CN=second)"));
    peer_write_certificate(ca_path, &authority);
    confirm_now();
    STEP_UNTIL(all_delivered());
    check_all_read(2);
}
END_TEST

/* What the settings come to; returns what is wrong with them. */
static const char *parse(const char *yaml, struct gelf_tcp_conf *out) {
    struct option_context context = {.file = "t.yaml", .read_dir = "/etc", .write_dir = "/var"};
    struct message_conf messages = {0};
    struct yaml_node *node;
    struct err err;
    *out = (struct gelf_tcp_conf){0};
    buf_init(&context.errors, 4096);
    ck_assert_int_eq(yaml_parse(span_str(yaml), "t.yaml", &node, &err), 0);
    if (option_parse(&context, output_gelf_tcp_type.options, node, "gelf_tcp", out) == 0) {
        output_gelf_tcp_type.init(out, &messages, &context, node, "gelf_tcp");
    }
    buf_clear(&text);
    buf_add(&text, buf_span(&context.errors));
    buf_done(&context.errors);
    yaml_unload(node);
    return buf_cstr(&text);
}

static void forget(struct gelf_tcp_conf *parsed) {
    option_free(output_gelf_tcp_type.options, parsed);
}

START_TEST(tls_is_on_when_it_is_named) {
    static const struct {
        const char *yaml;
        bool given, enabled;
    } cases[] = {
        {"hosts: [a:1]", false, true},
        {"{hosts: [a:1], tls: {}}", true, true},
        {"{hosts: [a:1], tls: {enabled: false, ca: ca.pem}}", true, false},
    };
    struct gelf_tcp_conf parsed;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        ck_assert_str_eq(parse(cases[i].yaml, &parsed), "");
        ck_assert_int_eq(parsed.tls_given, cases[i].given);
        ck_assert_int_eq(parsed.tls.enabled, cases[i].enabled);
        ck_assert(parsed.tls.settings.verify);
        ck_assert_int_eq(parsed.tls.settings.min_version, TLS_AT_LEAST_1_2);
        forget(&parsed);
    }
    start();
}
END_TEST

START_TEST(tls_settings_that_cannot_be_are_refused) {
    struct gelf_tcp_conf parsed;
    ck_assert_ptr_nonnull(strstr(parse("{hosts: [a:1], tls: {cert: c.pem}}", &parsed),
                                 "t.yaml:1:21: gelf_tcp: tls: cert and key belong together"));
    forget(&parsed);
    ck_assert_ptr_nonnull(strstr(parse("{hosts: [a:1], tls: {min_version: 1.1}}", &parsed),
                                 "gelf_tcp.tls.min_version"));
    forget(&parsed);
    ck_assert_ptr_nonnull(
        strstr(parse("{hosts: [a:1], tls: {server_name: \"\"}}", &parsed), "must have 1 to 253"));
    forget(&parsed);
    ck_assert_str_eq(
        parse("{hosts: [a:1], tls: {cert: c.pem, key: k.pem, min_version: 1.3}}", &parsed), "");
    ck_assert_str_eq(parsed.tls.settings.cert, "/etc/c.pem");
    ck_assert_int_eq(parsed.tls.settings.min_version, TLS_AT_LEAST_1_3);
    forget(&parsed);
    start();
}
END_TEST

/* A connection of the test's own beside the handle, to look at its link from both sides. */
static struct {
    struct tls_client *client;
    struct tls_ticket ticket;
    struct tcp_link link;
    struct confirm_entry entries[64];
    SSL *server;
    uint64_t handshake; /* bytes of it */
    size_t decrypted;   /* bytes of parcels that the receiver has read */
    size_t number, end; /* of the parcel that it reads: its end in those */
    uint64_t ends[64];  /* how many bytes went over the wire up to it, as the receiver counts */
} bench;

static void open_bench(int send_buffer) {
    struct net_address address = {.v4 = {.sin_family = AF_INET,
                                         .sin_port = htons(receiver.port),
                                         .sin_addr.s_addr = htonl(INADDR_LOOPBACK)},
                                  .len = sizeof(struct sockaddr_in)};
    struct err err;
    ck_assert_int_eq(tls_client_open(&conf.tls.settings, &bench.client, &err), 0);
    STEP_UNTIL(receiver.link_count == 1 && counts()->connects == 1);
    int fd = net_connect(&address, &err);
    STEP_UNTIL(receiver.link_count == 2);
    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &send_buffer, sizeof send_buffer);
    struct tls *tls = tls_open(bench.client, fd, loopback, &bench.ticket);
    bench.server = receiver.links[1].ssl;
    while (tls_handshake(tls, &err) == 0 || !SSL_is_init_finished(bench.server)) {
        receiver_step(&receiver);
    }
    bench.handshake = BIO_number_read(SSL_get_rbio(bench.server));
    tcp_link_open(&bench.link, fd, tls, bench.entries, 64);
}

static void close_bench(void) {
    tcp_link_close(&bench.link);
    tls_ticket_done(&bench.ticket);
    tls_client_close(bench.client);
}

/* The receiver reads a little, and notes which parcels end in that. */
static void read_bench(const struct parcel *parcels) {
    static char bytes[5000];
    ERR_clear_error();
    int got = SSL_read(bench.server, bytes, sizeof bytes);
    bench.decrypted += got > 0 ? (size_t)got : 0;
    while (got > 0 && bench.end + parcels[bench.number].bytes.len <= bench.decrypted) {
        bench.end += parcels[bench.number].bytes.len;
        bench.ends[++bench.number] = BIO_number_read(SSL_get_rbio(bench.server)) - bench.handshake;
    }
}

/* Where parcels end on the wire is known to the byte, also where records hold the ends of several
   and the kernel takes records in pieces: the receiver's own count says the same. */
START_TEST(parcels_end_where_their_records_end) {
    enum { PARCELS = 48, BATCH = 8 };
    static char bytes[PARCELS * 50000];
    struct parcel parcels[PARCELS + 1] = {0};
    const struct parcel *list[PARCELS];
    struct confirm_peer peer = {0};
    struct err err;
    size_t len = 0, begun = 0, kept = 0;
    start();
    open_bench(8 << 10);
    for (size_t i = 0; i < PARCELS; i++) {
        size_t size = i % 5 == 0 ? 45000 : 100 + 900 * (i % 3);
        parcels[i] = (struct parcel){.number = i + 1, .bytes = span_of(bytes + len, size)};
        list[i] = &parcels[i];
        len += size;
    }
    parcels[PARCELS].bytes.len = SIZE_MAX / 2;
    while (bench.number < PARCELS) {
        size_t left = PARCELS - begun;
        begun += tcp_link_write(&bench.link, list + begun, left < BATCH ? left : BATCH);
        ck_assert_int_eq(tcp_link_watch(&bench.link, &peer, 0, &err), TCP_LINK_FINE);
        if (bench.link.kept_ends > 0) {
            kept++;
            ck_assert_uint_eq(bench.entries[begun].end, CONFIRM_OPEN);
            ck_assert_uint_ne(bench.link.confirm.open, 0);
        }
        read_bench(parcels);
    }
    ck_assert_uint_gt(kept, 0);
    for (size_t number = 1; number <= PARCELS; number++) {
        ck_assert_uint_eq(bench.entries[number].end, bench.ends[number]);
    }
    tcp_link_end(&bench.link);
    ck_assert_int_eq(tcp_link_watch(&bench.link, &peer, 0, &err), TCP_LINK_FINE);
    ck_assert_int_eq(bench.link.state, TCP_LINK_HALF_CLOSED);
    while (tcp_link_watch(&bench.link, &peer, 1, &err) == TCP_LINK_FINE) {
        receiver_step(&receiver);
    }
    ck_assert(bench.link.confirm.answered);
    ck_assert_uint_gt(bench.link.confirm.written, bench.ends[PARCELS]);
    ck_assert_uint_eq(bench.link.confirm.acked, bench.link.confirm.written);
    close_bench();
}
END_TEST

/* What is small shares records; what is large fills them. */
START_TEST(records_are_full) {
    static char bytes[256 << 10];
    struct parcel parcels[TCP_LINK_PARCELS_MAX];
    const struct parcel *list[TCP_LINK_PARCELS_MAX];
    start();
    open_bench(1 << 20);
    memset(bytes, 'x', sizeof bytes);
    for (size_t i = 0; i < TCP_LINK_PARCELS_MAX; i++) {
        parcels[i] = (struct parcel){.number = i + 1, .bytes = span_of(bytes, 1000)};
        list[i] = &parcels[i];
    }
    ck_assert_uint_eq(tcp_link_write(&bench.link, list, 16), 16);
    ck_assert_uint_lt(bench.link.confirm.written, 16000 + 40);
    parcels[0].number = 17;
    parcels[0].bytes = span_of(bytes, sizeof bytes);
    uint64_t before = bench.link.confirm.written;
    size_t begun = tcp_link_write(&bench.link, list, 1);
    for (int i = 0; i < 1000000 && tcp_link_is_behind(&bench.link); i++) {
        receiver_step(&receiver);
        tcp_link_write(&bench.link, NULL, 0);
    }
    ck_assert_uint_eq(begun, 1);
    ck_assert_uint_le(bench.link.confirm.written - before, sizeof bytes + 16 * 40);
    close_bench();
}
END_TEST

/* What holds for plain connections holds over TLS. */
static void add_tls_tests(Suite *suite, const char *name, void (*set)(void)) {
    TCase *same = tcase_create(name);
    tcase_set_timeout(same, 60);
    tcase_add_checked_fixture(same, set, teardown);
    tcase_add_test(same, a_flood_is_confirmed_by_the_bytes_behind_it);
    tcase_add_test(same, a_quiet_stream_is_confirmed_by_a_half_close);
    tcase_add_test(same, a_dripping_stream_is_confirmed_too);
    tcase_add_test(same, confirm_does_not_wait);
    tcase_add_test(same, a_slow_receiver_is_waited_for);
    tcase_add_test(same, at_most_four_connections_wait_for_an_answer);
    tcase_add_test(same, parcels_begun_are_written_to_their_end_before_the_half_close);
    tcase_add_test(same, a_reset_with_megabytes_unread_loses_nothing);
    tcase_add_test(same, a_hung_receiver_that_is_killed_got_nothing);
    tcase_add_test(same, a_fin_before_ours_is_a_lost_connection);
    tcase_add_test(same, what_was_lost_goes_again_in_order);
    tcase_add_test(same, a_half_close_never_answered_falls_back_to_the_delay);
    tcase_add_test(same, three_resets_in_answer_to_half_closes_fall_back_too);
    tcase_add_test(same, many_small_parcels_share_records);
    tcase_add_test(same, an_answer_without_close_notify_is_one);
    tcase_add_test(same, a_close_notify_before_ours_is_a_lost_connection);
    tcase_add_test(same, later_connections_resume_the_first);
    tcase_add_test(same, a_reset_in_a_record_loses_nothing);
    tcase_add_test(same, a_stalled_handshake_is_given_up_and_tried_again);
    tcase_add_test(same, parcels_end_where_their_records_end);
    tcase_add_test(same, records_are_full);
    suite_add_tcase(suite, same);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    Suite *suite = suite_create("gelf_tcp");
    TCase *delivery = tcase_create("delivery");
    tcase_set_timeout(delivery, 60);
    tcase_add_checked_fixture(delivery, setup, teardown);
    tcase_add_test(delivery, a_flood_is_confirmed_by_the_bytes_behind_it);
    tcase_add_test(delivery, a_quiet_stream_is_confirmed_by_a_half_close);
    tcase_add_test(delivery, a_dripping_stream_is_confirmed_too);
    tcase_add_test(delivery, confirm_does_not_wait);
    tcase_add_test(delivery, a_slow_receiver_is_waited_for);
    tcase_add_test(delivery, at_most_four_connections_wait_for_an_answer);
    tcase_add_test(delivery, parcels_begun_are_written_to_their_end_before_the_half_close);
    suite_add_tcase(suite, delivery);
    TCase *loss = tcase_create("loss");
    tcase_set_timeout(loss, 60);
    tcase_add_checked_fixture(loss, setup, teardown);
    tcase_add_test(loss, a_reset_with_megabytes_unread_loses_nothing);
    tcase_add_test(loss, a_receiver_killed_with_unread_bytes_loses_nothing);
    tcase_add_test(loss, a_hung_receiver_that_is_killed_got_nothing);
    tcase_add_test(loss, a_fin_before_ours_is_a_lost_connection);
    tcase_add_test(loss, what_was_lost_goes_again_in_order);
    suite_add_tcase(suite, loss);
    TCase *manners = tcase_create("manners");
    tcase_set_timeout(manners, 60);
    tcase_add_checked_fixture(manners, setup, teardown);
    tcase_add_test(manners, a_half_close_never_answered_falls_back_to_the_delay);
    tcase_add_test(manners, three_resets_in_answer_to_half_closes_fall_back_too);
    suite_add_tcase(suite, manners);
    TCase *connecting = tcase_create("connecting");
    tcase_set_timeout(connecting, 60);
    tcase_add_checked_fixture(connecting, setup, teardown);
    tcase_add_loop_test(connecting, an_absent_receiver_is_waited_for, 0, 2);
    tcase_add_test(connecting, the_name_is_asked_for_at_each_connect);
    tcase_add_test(connecting, a_name_that_does_not_resolve_is_trouble_that_may_pass);
    tcase_add_test(connecting, the_socket_has_its_timeouts);
    tcase_add_test(connecting, what_the_receiver_sends_is_thrown_away);
    tcase_add_test(connecting, its_ring_holds_the_peers_buffer_and_more);
    tcase_add_test(connecting, tls_is_on_when_it_is_named);
    tcase_add_test(connecting, tls_settings_that_cannot_be_are_refused);
    tcase_add_test(connecting, check_tries_the_target_only_when_online);
    suite_add_tcase(suite, connecting);
    add_tls_tests(suite, "tls_1_2", setup_tls_1_2);
    add_tls_tests(suite, "tls_1_3", setup_tls_1_3);
    TCase *trust = tcase_create("trust");
    tcase_set_timeout(trust, 60);
    tcase_add_checked_fixture(trust, setup_tls_1_3, teardown);
    tcase_add_test(trust, a_bad_certificate_is_waited_out);
    tcase_add_test(trust, a_refusal_behind_the_handshake_is_said_and_backs_off);
    tcase_add_test(trust, a_broken_ca_is_no_start);
    tcase_add_test(trust, a_changed_ca_is_picked_up);
    suite_add_tcase(suite, trust);
    return run_suite(suite);
}
