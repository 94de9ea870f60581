/* SPDX-License-Identifier: Apache-2.0 */
#include <arpa/inet.h>
#include <errno.h>
#include <libdeflate.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "output/chunk.h"
#include "output/gelf_udp.h"
#include "output/outputs.h"
#include "parcels.h"
#include "unit.h"

/* A handle and a receiver on loopback that puts chunks together and inflates, as receivers do. */

enum {
    MTU = 1420,
    PATIENCE_MS = 30000,
    MESSAGE_BYTES_MAX = 400000,
    FITS = 128 * (MTU - CHUNK_HEADER_BYTES), /* bytes that 128 chunks hold */
};

static int receiver_fd;
static char loopback[] = "127.0.0.1";
static struct hostport target;
static struct gelf_udp_conf conf;
static struct dead_letter_conf dead_conf;
static struct dead_letter *dead;
static struct shipment shipment;
static size_t datagrams, largest;
static bool saw_gzip;

/* The kernel's answer, but for the first calls after `out_of_memory` was set. */
static int out_of_memory, send_calls;

int sendmmsg(int fd, struct mmsghdr *headers, unsigned count, int flags) {
    send_calls++;
    if (out_of_memory > 0) {
        out_of_memory--;
        errno = ENOBUFS;
        return -1;
    }
    return (int)syscall(SYS_sendmmsg, fd, headers, count, flags);
}

static void open_receiver(void) {
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(target.port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    int size = 8 << 20;
    receiver_fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    setsockopt(receiver_fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
    ck_assert_int_eq(bind(receiver_fd, (struct sockaddr *)&address, len), 0);
    getsockname(receiver_fd, (struct sockaddr *)&address, &len);
    target.port = ntohs(address.sin_port);
}

static void setup(void) {
    target = (struct hostport){.host = loopback};
    open_receiver();
    conf = (struct gelf_udp_conf){
        .common.required = true,
        .hosts = {.items = &target, .count = 1},
        .mtu_bytes = MTU,
        .compress = COMPRESS_NONE,
        .rate = 0,
    };
    dead_conf = (struct dead_letter_conf){0};
    dead = dead_letter_open(&dead_conf);
    datagrams = largest = 0;
    saw_gzip = false;
    out_of_memory = send_calls = 0;
}

static void teardown(void) {
    shipment_close(&shipment);
    dead_letter_close(dead);
    close(receiver_fd);
}

static void start(void) {
    shipment_open(&shipment, &output_gelf_udp_type, &conf, dead);
}

static const struct output_counts *counts(void) {
    return shipment.type->counts(shipment.handle);
}

/* One datagram; false when there is none for a while. */
static bool receive(char *bytes, size_t *len) {
    struct pollfd poll_fd = {.fd = receiver_fd, .events = POLLIN};
    if (poll(&poll_fd, 1, 200) <= 0) {
        return false;
    }
    ssize_t got = recv(receiver_fd, bytes, 65536, 0);
    ck_assert_int_gt(got, 0);
    *len = (size_t)got;
    datagrams++;
    largest = *len > largest ? *len : largest;
    return true;
}

/* Chunks come in order on loopback, and those of a message back to back. */
static bool receive_payload(char *payload, size_t *len) {
    static char bytes[65536];
    size_t got, total = 0, count = 1;
    char id[8] = {0};
    for (size_t i = 0; i < count; i++) {
        if (!receive(bytes, &got)) {
            ck_assert_uint_eq(i, 0);
            return false;
        }
        bool chunked = got > CHUNK_HEADER_BYTES && memcmp(bytes, "\x1e\x0f", 2) == 0;
        size_t header = chunked ? CHUNK_HEADER_BYTES : 0;
        if (chunked && i == 0) {
            count = (unsigned char)bytes[11];
            memcpy(id, bytes + 2, 8);
        }
        if (chunked) {
            ck_assert_mem_eq(bytes + 2, id, 8);
            ck_assert_uint_eq((unsigned char)bytes[10], i);
            ck_assert_uint_eq((unsigned char)bytes[11], count);
        }
        memcpy(payload + total, bytes + header, got - header);
        total += got - header;
    }
    *len = total;
    return true;
}

static bool receive_message(char *message, size_t *len) {
    static char payload[MESSAGE_BYTES_MAX];
    if (!receive_payload(payload, len)) {
        return false;
    }
    if (*len > 2 && memcmp(payload, "\x1f\x8b", 2) == 0) {
        saw_gzip = true;
        struct libdeflate_decompressor *inflate = libdeflate_alloc_decompressor();
        ck_assert_int_eq(
            libdeflate_gzip_decompress(inflate, payload, *len, message, MESSAGE_BYTES_MAX, len), 0);
        libdeflate_free_decompressor(inflate);
    } else {
        memcpy(message, payload, *len);
    }
    return true;
}

static void check_message(size_t number, size_t size_bytes) {
    static char message[MESSAGE_BYTES_MAX];
    char digits[9];
    size_t len;
    ck_assert_msg(receive_message(message, &len), "message %zu did not come", number);
    snprintf(digits, sizeof digits, "%08zu", number);
    ck_assert_mem_eq(message, digits, 8);
    ck_assert_uint_eq(len, size_bytes - 1); /* without the NUL */
}

static void turn_until_delivered(void) {
    int64_t until_ms = clock_monotonic_ms() + PATIENCE_MS;
    while (shipment_delivered(&shipment) < shipment.last) {
        ck_assert_int_lt(clock_monotonic_ms(), until_ms);
        shipment_turn(&shipment, 5);
    }
}

START_TEST(each_message_is_a_datagram) {
    start();
    shipment_send(&shipment, 50, 1000);
    shipment_send(&shipment, 1, 20);
    turn_until_delivered();
    for (size_t i = 0; i < 50; i++) {
        check_message(i, 1000);
    }
    check_message(50, 20);
    ck_assert_uint_eq(counts()->datagrams, 51);
    ck_assert_uint_eq(counts()->delivered_messages, 51);
}
END_TEST

START_TEST(large_messages_come_in_chunks_within_mtu) {
    start();
    shipment_send(&shipment, 10, MTU + 2);
    shipment_send(&shipment, 1, FITS + 1);
    turn_until_delivered();
    for (size_t i = 0; i < 10; i++) {
        check_message(i, MTU + 2);
    }
    check_message(10, FITS + 1);
    ck_assert_uint_eq(datagrams, 10 * 2 + 128);
    ck_assert_uint_eq(largest, MTU);
}
END_TEST

/* A message of `len` bytes, of which the first `noise` cannot be compressed, and its NUL. */
static struct span make_message(size_t len, size_t noise) {
    static char bytes[MESSAGE_BYTES_MAX];
    uint64_t random = 88172645463325252;
    memset(bytes, 'x', len);
    for (size_t i = 0; i < noise; i++) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        bytes[i] = (char)(1 + random % 255);
    }
    bytes[len] = '\0';
    return span_of(bytes, len + 1);
}

static bool takes(size_t len, size_t noise) {
    return shipment.type->takes(shipment.handle, make_message(len, noise));
}

static void check_arrives(size_t len, size_t noise) {
    static char got[MESSAGE_BYTES_MAX];
    size_t got_len;
    shipment_send_bytes(&shipment, make_message(len, noise), 1);
    turn_until_delivered();
    ck_assert(receive_message(got, &got_len));
    ck_assert_uint_eq(got_len, len);
    ck_assert_mem_eq(got, make_message(len, noise).p, len);
}

START_TEST(plain_what_does_not_fit_128_chunks_is_refused) {
    start();
    ck_assert(takes(FITS, 0));
    ck_assert(!takes(FITS + 1, 0));
}
END_TEST

/* By either setting a message is sent compressed if that fits, plain if that does: what is taken
   can be sent, to the last byte. */
START_TEST(compressed_what_does_not_fit_128_chunks_is_refused) {
    conf.compress = _i;
    start();
    ck_assert(takes(FITS, FITS));
    check_arrives(FITS, FITS);
    ck_assert(!saw_gzip);
    ck_assert(!takes(FITS + 1, FITS + 1));
    ck_assert(takes(2 * FITS, 0));
    size_t low = 0, high = FITS + 1; /* bytes of noise with which it is taken, and is not */
    while (high - low > 1) {
        size_t middle = (low + high) / 2;
        *(takes(FITS + 1000, middle) ? &low : &high) = middle;
    }
    ck_assert_uint_gt(low, FITS / 100 * 99);
    check_arrives(FITS + 1000, low);
    ck_assert(saw_gzip);
    ck_assert(!takes(FITS + 1000, high));
}
END_TEST

/* Asking does not disturb what waits, compressed, to be sent. */
START_TEST(asking_leaves_what_waits_alone) {
    conf.compress = COMPRESS_GZIP;
    conf.rate = 1;
    start();
    shipment_send(&shipment, 200, 1000);
    while (counts()->datagrams == 0) {
        shipment_turn(&shipment, 5);
    }
    ck_assert_int_lt(shipment_delivered(&shipment), shipment.last);
    ck_assert(takes(FITS + 1000, 1000));
    shipment.skipped_ms += 1000000;
    turn_until_delivered();
    for (size_t i = 0; i < 200; i++) {
        check_message(i, 1000);
    }
}
END_TEST

START_TEST(auto_compresses_only_what_saves_a_datagram) {
    conf.compress = COMPRESS_AUTO;
    start();
    shipment_send(&shipment, 10, 1400);
    turn_until_delivered();
    for (size_t i = 0; i < 10; i++) {
        check_message(i, 1400);
    }
    ck_assert(!saw_gzip);
    shipment_send(&shipment, 10, 5000);
    shipment_send(&shipment, 1, 300000);
    turn_until_delivered();
    for (size_t i = 10; i < 20; i++) {
        check_message(i, 5000);
    }
    check_message(20, 300000);
    ck_assert(saw_gzip);
    ck_assert_uint_eq(datagrams, 21);
}
END_TEST

START_TEST(auto_leaves_alone_what_does_not_shrink) {
    conf.compress = COMPRESS_AUTO;
    start();
    check_arrives(3000, 3000);
    ck_assert(!saw_gzip);
}
END_TEST

START_TEST(gzip_compresses_all) {
    conf.compress = COMPRESS_GZIP;
    start();
    shipment_send(&shipment, 1, 200);
    turn_until_delivered();
    check_message(0, 200);
    ck_assert(saw_gzip);
}
END_TEST

START_TEST(no_more_than_rate_is_sent) {
    conf.rate = 1000;
    start();
    shipment_send(&shipment, 2000, 100);
    while (counts()->datagrams == 0) {
        shipment_turn(&shipment, 5);
    }
    struct err err;
    int64_t now_ms = shipment_now_ms(&shipment) + 5000;
    ck_assert_int_eq(shipment.type->turn(shipment.handle, now_ms, &err), 0);
    uint64_t before = counts()->datagrams;
    ck_assert_int_eq(shipment.type->turn(shipment.handle, now_ms, &err), 0);
    ck_assert_uint_eq(counts()->datagrams, before);
    for (int ms = 10; ms <= 1000; ms += 10) {
        ck_assert_int_eq(shipment.type->turn(shipment.handle, now_ms + ms, &err), 0);
    }
    ck_assert_uint_eq(counts()->datagrams, before + 1000);
    int wait_ms = 100;
    struct pollfd fds[OUTPUT_POLL_MAX];
    shipment.type->poll_fds(shipment.handle, now_ms + 1000, fds, &wait_ms);
    ck_assert_int_eq(wait_ms, 1);
}
END_TEST

START_TEST(a_refusal_is_counted_and_the_present_datagram_sent_again) {
    close(receiver_fd);
    start();
    shipment_send(&shipment, 1, 100);
    turn_until_delivered(); /* to nobody */
    open_receiver();
    shipment_send(&shipment, 10, 100);
    turn_until_delivered();
    ck_assert_uint_eq(counts()->datagrams_refused, 1);
    ck_assert_int_eq(shipment.err.kind, ERR_RETRY);
    for (size_t i = 1; i <= 10; i++) {
        check_message(i, 100);
    }
}
END_TEST

START_TEST(a_kernel_without_memory_is_asked_again_after_a_pause) {
    struct pollfd fds[OUTPUT_POLL_MAX];
    struct err err;
    int wait_ms = 1000;
    start();
    while (counts()->connects == 0) {
        shipment_turn(&shipment, 5);
    }
    int64_t now_ms = shipment_now_ms(&shipment);
    out_of_memory = 1;
    shipment_send(&shipment, 3, 100);
    ck_assert_int_eq(shipment.type->turn(shipment.handle, now_ms, &err), 0);
    ck_assert_int_eq(shipment.type->poll_fds(shipment.handle, now_ms, fds, &wait_ms), 0);
    ck_assert_int_gt(wait_ms, 0);
    ck_assert_int_lt(wait_ms, 100);
    ck_assert_int_eq(shipment.type->turn(shipment.handle, now_ms + wait_ms - 1, &err), 0);
    ck_assert_int_eq(send_calls, 1);
    ck_assert_int_eq(shipment.type->turn(shipment.handle, now_ms + wait_ms, &err), 0);
    ck_assert_uint_eq(shipment_delivered(&shipment), shipment.last);
    for (size_t i = 0; i < 3; i++) {
        check_message(i, 100);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gelf_udp");
    TCase *datagram = tcase_create("datagrams");
    tcase_set_timeout(datagram, 60);
    tcase_add_checked_fixture(datagram, setup, teardown);
    tcase_add_test(datagram, each_message_is_a_datagram);
    tcase_add_test(datagram, large_messages_come_in_chunks_within_mtu);
    tcase_add_test(datagram, plain_what_does_not_fit_128_chunks_is_refused);
    tcase_add_loop_test(datagram, compressed_what_does_not_fit_128_chunks_is_refused, COMPRESS_AUTO,
                        COMPRESS_GZIP + 1);
    tcase_add_test(datagram, asking_leaves_what_waits_alone);
    tcase_add_test(datagram, auto_compresses_only_what_saves_a_datagram);
    tcase_add_test(datagram, auto_leaves_alone_what_does_not_shrink);
    tcase_add_test(datagram, gzip_compresses_all);
    suite_add_tcase(suite, datagram);
    TCase *flow = tcase_create("flow");
    tcase_set_timeout(flow, 60);
    tcase_add_checked_fixture(flow, setup, teardown);
    tcase_add_test(flow, no_more_than_rate_is_sent);
    tcase_add_test(flow, a_kernel_without_memory_is_asked_again_after_a_pause);
    tcase_add_test(flow, a_refusal_is_counted_and_the_present_datagram_sent_again);
    suite_add_tcase(suite, flow);
    return run_suite(suite);
}
