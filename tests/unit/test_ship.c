/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The ring: parcels in order, nothing overwritten before it is delivered, and which batch counts
 * as delivered. The output is a fake whose deliveries the test decides.
 */
#include <stdio.h>

#include "core/ship.h"
#include "unit.h"

enum { PARCEL = 64 << 10, RING = 1 << 20, SENT_MAX = 20000 };

static struct {
    uint64_t delivered;
    size_t count, turns;
    bool half_written; /* the oldest cannot be given up */
    const struct parcel *sent[SENT_MAX];
    char first[SENT_MAX]; /* first byte of each parcel when it was sent */
} fake;

static size_t fake_ring_bytes(const void *conf) {
    (void)conf;
    return RING;
}

static int fake_open(void *conf, const struct output_place *place, void **handle, struct err *err) {
    (void)conf;
    (void)place;
    (void)err;
    *handle = &fake;
    return 0;
}

static void fake_send(void *handle, const struct parcel *parcel) {
    (void)handle;
    fake.first[fake.count] = parcel->bytes.p[0];
    fake.sent[fake.count++] = parcel;
    ck_assert_uint_eq(parcel->number, fake.count);
}

static int fake_turn(void *handle, int64_t now_ms, struct err *err) {
    (void)handle;
    (void)now_ms;
    (void)err;
    fake.turns++;
    return 0;
}

static bool fake_drop(void *handle, uint64_t number) {
    (void)handle;
    ck_assert_uint_eq(number, fake.delivered + 1);
    fake.delivered += !fake.half_written;
    return !fake.half_written;
}

static uint64_t fake_delivered(void *handle) {
    (void)handle;
    return fake.delivered;
}

static void fake_close(void *handle) {
    (void)handle;
}

static void *encoder_open(const struct message_conf *message, size_t style, struct span end) {
    (void)message;
    (void)style;
    (void)end;
    return &fake;
}

/* A "message" is as many bytes as the flow's line is long, all of its first byte. */
static int encoder_encode(void *encoder, const struct flow *flow, struct buf *out) {
    (void)encoder;
    if (!buf_reserve(out, flow->line.len)) {
        return -1;
    }
    memset(out->data + out->len, flow->line.p[0], flow->line.len);
    out->len += flow->line.len;
    return 0;
}

/* What begins with '!' is refused. */
static bool fake_takes(void *handle, struct span message) {
    (void)handle;
    return message.p[0] != '!';
}

static const struct encoder_type encoder = {
    .open = encoder_open, .encode = encoder_encode, .close = fake_close};

static struct output_type output = {
    .name = "fake",
    .encoder = &encoder,
    .ring_bytes = fake_ring_bytes,
    .open = fake_open,
    .send = fake_send,
    .turn = fake_turn,
    .delivered = fake_delivered,
    .close = fake_close,
};

static struct output_use use = {.type = &output};
static struct ship ship;
static struct err err;

static void setup(void) {
    struct output_place place = {0};
    memset(&fake, 0, sizeof(fake));
    output.takes = NULL;
    output.drop = NULL;
    use.optional = false;
    ck_assert_int_eq(ship_open(&ship, &use, &place, 0, PARCEL, &err), 0);
}

static void teardown(void) {
    ship_close(&ship);
}

static enum ship_result put(uint64_t batch, char byte, size_t len) {
    static struct flow flow;
    static char text[2 * PARCEL];
    memset(text, byte, len);
    flow.line = span_of(text, len);
    return ship_flow(&ship, batch, &flow);
}

static void deliver(uint64_t number) {
    fake.delivered = number;
    ck_assert_int_eq(ship_turn(&ship, 0, &err), 0);
}

START_TEST(a_batch_is_delivered_with_its_last_parcel) {
    ck_assert_int_eq(put(1, 'a', PARCEL), SHIP_TAKEN);
    ck_assert_int_eq(put(1, 'b', 10), SHIP_TAKEN);
    ck_assert_uint_eq(fake.count, 1);
    ship_batch_end(&ship, 1);
    ck_assert_uint_eq(fake.count, 2);
    ck_assert_uint_eq(ship_delivered(&ship), 0);
    deliver(1);
    ck_assert_uint_eq(ship_delivered(&ship), 0);
    deliver(2);
    ck_assert_uint_eq(ship_delivered(&ship), 1);
    ck_assert(ship_is_empty(&ship));
}
END_TEST

START_TEST(an_empty_batch_counts_once_all_before_it_are_delivered) {
    put(1, 'a', 10);
    ship_batch_end(&ship, 1);
    ship_batch_end(&ship, 2);
    ck_assert_uint_eq(ship_delivered(&ship), 0);
    deliver(1);
    ck_assert_uint_eq(ship_delivered(&ship), 2);
    ship_batch_end(&ship, 3);
    ck_assert_uint_eq(ship_delivered(&ship), 3);
}
END_TEST

/* All its parcels so far are delivered, but the batch goes on. */
START_TEST(a_batch_in_the_making_is_not_delivered) {
    put(1, 'a', 10);
    ship_batch_end(&ship, 1);
    put(2, 'b', PARCEL);
    put(2, 'c', 10);
    deliver(2);
    ck_assert_uint_eq(ship_delivered(&ship), 1);
    ship_abandon(&ship);
    ck_assert_uint_eq(ship_delivered(&ship), 1);
    ck_assert(ship_is_empty(&ship));
}
END_TEST

START_TEST(too_large_for_a_parcel) {
    ck_assert_int_eq(put(1, 'a', PARCEL + 1), SHIP_TOO_LARGE);
    ck_assert_int_eq(put(1, 'b', 10), SHIP_TAKEN);
    ck_assert_int_eq(put(1, 'a', PARCEL + 1), SHIP_TOO_LARGE);
    ship_batch_end(&ship, 1);
    ck_assert_uint_eq(fake.sent[0]->bytes.len, 10);
    ck_assert_uint_eq(fake.sent[0]->messages, 1);
}
END_TEST

START_TEST(what_the_output_refuses_is_in_no_parcel) {
    output.takes = fake_takes;
    ck_assert_int_eq(put(1, '!', 10), SHIP_TOO_LARGE);
    ship_batch_end(&ship, 1);
    ck_assert_uint_eq(fake.count, 0);
    ck_assert_uint_eq(ship_delivered(&ship), 1);
    ck_assert_int_eq(put(2, 'a', 10), SHIP_TAKEN);
    ck_assert_int_eq(put(2, '!', 10), SHIP_TOO_LARGE);
    ck_assert_int_eq(put(2, 'b', PARCEL - 15), SHIP_TAKEN);
    ck_assert_int_eq(put(2, '!', 10), SHIP_TOO_LARGE); /* first in a new parcel */
    ck_assert_int_eq(put(2, 'c', 5), SHIP_TAKEN);
    ship_batch_end(&ship, 2);
    ck_assert_uint_eq(fake.count, 2);
    ck_assert_uint_eq(fake.sent[0]->messages, 2);
    ck_assert_uint_eq(fake.sent[0]->bytes.len, PARCEL - 5);
    ck_assert_int_eq(fake.sent[0]->bytes.p[10], 'b');
    ck_assert_uint_eq(fake.sent[1]->messages, 1);
    ck_assert_uint_eq(fake.sent[1]->bytes.len, 5);
}
END_TEST

/* Sizes of all kinds, deliveries late and in jumps: what is out is never overwritten. */
START_TEST(undelivered_bytes_are_never_overwritten) {
    uint64_t batch = 1;
    unsigned random = 1;
    while (fake.count < SENT_MAX - 2) {
        random = random * 1103515245 + 12345;
        size_t len = 1 + random / 65536 % (random % 3 ? 2000 : PARCEL);
        if (put(batch, (char)('a' + batch % 26), len) == SHIP_FULL) {
            ck_assert_uint_gt(fake.count, fake.delivered);
            uint64_t out = fake.count - fake.delivered;
            deliver(fake.delivered + 1 + random / 7 % out);
        } else {
            ship_batch_end(&ship, batch++);
        }
        for (uint64_t n = fake.delivered; n < fake.count; n++) {
            const struct span bytes = fake.sent[n]->bytes;
            ck_assert_int_eq(bytes.p[0], fake.first[n]);
            ck_assert_int_eq(bytes.p[bytes.len - 1], fake.first[n]);
        }
    }
}
END_TEST

START_TEST(many_small_parcels_fill_it_by_number) {
    size_t taken = 0;
    while (ship_has_room(&ship)) {
        ck_assert_int_eq(put(taken + 1, 'a', 1), SHIP_TAKEN);
        ship_batch_end(&ship, ++taken);
    }
    ck_assert_uint_eq(taken, output_parcels_max(RING));
    deliver(taken);
    ck_assert(ship_has_room(&ship));
    ck_assert_uint_eq(ship_delivered(&ship), taken);
}
END_TEST

static void fill(void) {
    use.optional = true;
    for (uint64_t batch = 1; ship_has_room(&ship); batch++) {
        ck_assert_int_eq(put(batch, (char)('a' + batch % 26), PARCEL), SHIP_TAKEN);
        ship_batch_end(&ship, batch);
    }
}

/* Not required, and the output cannot give anything up: what comes is dropped, up to the next turn,
   of which there is one a millisecond at most, and what stands in the ring stays. */
START_TEST(without_drop_the_newest_are_dropped) {
    fill();
    size_t full = fake.count, turns = fake.turns;
    ck_assert_int_eq(put(100, 'x', 10), SHIP_FULL);
    ck_assert(!ship_squeeze(&ship, 1, &err));
    ck_assert_int_eq(put(100, 'x', 10), SHIP_FULL);
    fake.delivered = 2;
    ck_assert(!ship_squeeze(&ship, 1, &err));
    ck_assert_uint_eq(fake.turns, turns + 1);
    ck_assert_uint_eq(ship.dropped, 2);
    ck_assert(ship_squeeze(&ship, 2, &err));
    ck_assert_uint_eq(fake.turns, turns + 2);
    ck_assert_int_eq(put(100, 'x', 10), SHIP_TAKEN);
    ship_batch_end(&ship, 100);
    ck_assert_uint_eq(fake.count, full + 1);
    ck_assert_uint_eq(ship.dropped, 2);
    ck_assert_str_eq(err.text, "");
}
END_TEST

START_TEST(with_drop_the_oldest_go) {
    output.drop = fake_drop;
    fill();
    for (uint64_t batch = 100; batch < 200; batch++) {
        while (put(batch, (char)('a' + batch % 26), PARCEL) == SHIP_FULL) {
            ck_assert(ship_squeeze(&ship, 0, &err));
        }
        ship_batch_end(&ship, batch);
        for (uint64_t n = fake.delivered; n < fake.count; n++) {
            ck_assert_int_eq(fake.sent[n]->bytes.p[PARCEL - 1], fake.first[n]);
        }
    }
    ck_assert_uint_eq(ship.dropped, 0); /* the output counts what it gave up */
    ck_assert_uint_gt(fake.delivered, 90);
}
END_TEST

/* One that was begun must be written to its end, so it and all behind it stay. */
START_TEST(a_half_written_parcel_is_not_taken_away) {
    output.drop = fake_drop;
    fake.half_written = true;
    fill();
    ck_assert_int_eq(put(100, 'x', 10), SHIP_FULL);
    ck_assert(!ship_squeeze(&ship, 1, &err));
    ck_assert_uint_eq(ship.first, 1);
    ck_assert_uint_eq(ship.dropped, 1);
    fake.half_written = false;
    ck_assert(!ship_squeeze(&ship, 1, &err)); /* shut for this millisecond */
    ck_assert(ship_squeeze(&ship, 2, &err));
    ck_assert_uint_gt(ship.first, 1);
}
END_TEST

START_TEST(what_is_given_up_at_the_end_is_counted) {
    use.optional = true;
    put(1, 'a', 10);
    put(1, 'a', 10);
    ship_batch_end(&ship, 1);
    put(2, 'a', 10);
    ship_batch_end(&ship, 2);
    deliver(1);
    ship_give_up(&ship);
    ck_assert_uint_eq(ship.dropped, 1);
    ck_assert(ship_is_empty(&ship));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("ship");
    TCase *cases = tcase_create("ring");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, a_batch_is_delivered_with_its_last_parcel);
    tcase_add_test(cases, an_empty_batch_counts_once_all_before_it_are_delivered);
    tcase_add_test(cases, a_batch_in_the_making_is_not_delivered);
    tcase_add_test(cases, too_large_for_a_parcel);
    tcase_add_test(cases, what_the_output_refuses_is_in_no_parcel);
    tcase_add_test(cases, undelivered_bytes_are_never_overwritten);
    tcase_add_test(cases, many_small_parcels_fill_it_by_number);
    tcase_add_test(cases, without_drop_the_newest_are_dropped);
    tcase_add_test(cases, with_drop_the_oldest_go);
    tcase_add_test(cases, a_half_written_parcel_is_not_taken_away);
    tcase_add_test(cases, what_is_given_up_at_the_end_is_counted);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
