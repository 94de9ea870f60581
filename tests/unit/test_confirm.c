/* SPDX-License-Identifier: Apache-2.0 */
#include "output/confirm.h"

#include "unit.h"

static const struct confirm_policy policy = {
    .peer_buffer_bytes = 1000,
    .confirm_after_ms = 15000,
    .settle_delay_ms = 2000,
    .dead_after_ms = 300000,
};

static struct confirm_entry entries[16];
static struct confirm confirm;
static struct confirm_peer peer;

static void setup(void) {
    confirm_init(&confirm, entries, 16);
    peer = (struct confirm_peer){0};
}

static void write_parcel(uint64_t number, size_t size_bytes) {
    confirm_begin(&confirm, number);
    confirm_wrote(&confirm, size_bytes);
    confirm_end(&confirm);
}

/* How many parcels are taken as delivered, the last one's number in *last. */
static int take(int64_t now_ms, uint64_t *last) {
    int count = 0;
    while (confirm_take(&confirm, &policy, &peer, now_ms, last)) {
        count++;
    }
    return count;
}

START_TEST(acknowledged_is_not_delivered) {
    uint64_t number;
    write_parcel(1, 100);
    confirm_unacknowledged(&confirm, 0, 10);
    ck_assert_int_eq(take(10, &number), 0);
    ck_assert_int_eq(take(1000000, &number), 0);
}
END_TEST

START_TEST(peer_buffer_further_bytes_deliver_and_not_one_less) {
    uint64_t number = 0;
    write_parcel(1, 100);
    write_parcel(2, 1000);
    confirm_unacknowledged(&confirm, 1, 10);
    ck_assert_int_eq(take(10, &number), 0);
    confirm_unacknowledged(&confirm, 0, 11);
    ck_assert_int_eq(take(11, &number), 1);
    ck_assert_uint_eq(number, 1);
    ck_assert_uint_eq(confirm.count, 1);
}
END_TEST

START_TEST(only_what_the_kernel_took_can_be_acknowledged) {
    uint64_t number;
    confirm_begin(&confirm, 1);
    confirm_wrote(&confirm, 200);
    confirm_unacknowledged(&confirm, 0, 10);
    ck_assert_uint_eq(confirm.acked, 200);
    ck_assert(!confirm_is_due(&confirm, &policy, 10 + 15000));
    confirm_wrote(&confirm, 300);
    confirm_end(&confirm);
    confirm_unacknowledged(&confirm, 0, 20);
    ck_assert(!confirm_is_due(&confirm, &policy, 20 + 14999));
    ck_assert(confirm_is_due(&confirm, &policy, 20 + 15000));
    ck_assert_int_eq(take(20 + 15000, &number), 0);
}
END_TEST

/* As records of TLS are: several parcels end in one, which is begun before it is written, and there
   are bytes on the wire that belong to none. */
START_TEST(parcels_that_end_together_are_acknowledged_together) {
    uint64_t number = 0;
    for (uint64_t n = 1; n <= 3; n++) {
        confirm_begin(&confirm, n);
    }
    confirm_wrote(&confirm, 300);
    confirm_unacknowledged(&confirm, 0, 10);
    ck_assert(!confirm_is_due(&confirm, &policy, 1000000));
    ck_assert(!confirm_is_expecting(&confirm, &policy));
    confirm_wrote(&confirm, 22);
    confirm_end(&confirm);
    confirm_end(&confirm);
    confirm_wrote(&confirm, 1000);
    confirm_unacknowledged(&confirm, 1001, 20);
    ck_assert(!confirm_is_due(&confirm, &policy, 1000000));
    confirm_unacknowledged(&confirm, 1, 30);
    ck_assert(confirm_is_due(&confirm, &policy, 30 + 15000));
    ck_assert_int_eq(take(30, &number), 0);
    confirm_unacknowledged(&confirm, 0, 40);
    ck_assert_int_eq(take(40, &number), 2);
    ck_assert_uint_eq(number, 2);
    ck_assert_uint_eq(confirm.open, 3);
    confirm_end(&confirm);
    confirm_wrote(&confirm, 24); /* the last record's word that it is the last */
    confirm_half_close(&confirm, 50);
    confirm_unacknowledged(&confirm, 0, 60);
    ck_assert(confirm_fin(&confirm, &peer));
    ck_assert_int_eq(take(60, &number), 1);
}
END_TEST

START_TEST(a_parcel_not_written_to_its_end_is_dropped_with_the_others) {
    uint64_t number;
    write_parcel(1, 10);
    confirm_begin(&confirm, 2);
    confirm_begin(&confirm, 3);
    for (uint64_t n = 1; n <= 3; n++) {
        ck_assert(confirm_drop(&confirm, &number));
        ck_assert_uint_eq(number, n);
    }
    ck_assert_uint_eq(confirm.open, 0);
    ck_assert_uint_eq(confirm.unacked, 0);
}
END_TEST

START_TEST(due_is_the_oldest_that_is_not_delivered_also_in_a_flow) {
    uint64_t number;
    write_parcel(1, 100);
    confirm_unacknowledged(&confirm, 0, 0);
    write_parcel(2, 100);
    confirm_unacknowledged(&confirm, 0, 14000);
    ck_assert(confirm_is_due(&confirm, &policy, 15000));
    write_parcel(3, 950);
    confirm_unacknowledged(&confirm, 0, 15000);
    ck_assert_int_eq(take(15000, &number), 1);
    ck_assert(!confirm_is_due(&confirm, &policy, 15000));
    ck_assert(confirm_is_due(&confirm, &policy, 29000));
}
END_TEST

START_TEST(an_answered_half_close_delivers_all) {
    uint64_t number = 0;
    write_parcel(7, 100);
    write_parcel(3, 100);
    confirm_half_close(&confirm, 50);
    confirm_unacknowledged(&confirm, 0, 60);
    ck_assert(confirm_fin(&confirm, &peer));
    ck_assert_int_eq(take(60, &number), 2);
    ck_assert_uint_eq(number, 3);
    ck_assert(peer.answered);
}
END_TEST

START_TEST(our_fin_counts_as_one_unacknowledged_byte) {
    write_parcel(1, 100);
    confirm_half_close(&confirm, 50);
    confirm_unacknowledged(&confirm, 1, 60);
    ck_assert_uint_eq(confirm.acked, 100);
    ck_assert(!confirm.fin_acked);
    ck_assert(!confirm_fin(&confirm, &peer)); /* it closed before it knew of ours */
    confirm_unacknowledged(&confirm, 0, 70);
    ck_assert(confirm.fin_acked);
    ck_assert_int_eq(confirm.fin_acked_ms, 70);
}
END_TEST

START_TEST(a_fin_before_our_half_close_is_no_answer) {
    uint64_t number;
    write_parcel(1, 100);
    confirm_unacknowledged(&confirm, 0, 10);
    ck_assert(!confirm_fin(&confirm, &peer));
    ck_assert_int_eq(take(1000000, &number), 0);
    ck_assert(confirm_drop(&confirm, &number));
    ck_assert_uint_eq(number, 1);
    ck_assert(!confirm_drop(&confirm, &number));
}
END_TEST

START_TEST(unanswered_counts_from_the_acknowledged_fin) {
    write_parcel(1, 100);
    confirm_half_close(&confirm, 0);
    confirm_unacknowledged(&confirm, 50, 400000);
    ck_assert(!confirm_is_unanswered(&confirm, &policy, 400000));
    confirm_unacknowledged(&confirm, 0, 400000);
    ck_assert(!confirm_is_unanswered(&confirm, &policy, 699999));
    ck_assert(confirm_is_unanswered(&confirm, &policy, 700000));
}
END_TEST

START_TEST(a_silent_peer_is_settled_by_delay_until_it_answers) {
    uint64_t number;
    ck_assert(confirm_peer_silent(&peer));
    ck_assert(!confirm_peer_silent(&peer)); /* no news */
    write_parcel(1, 100);
    write_parcel(2, 100);
    confirm_unacknowledged(&confirm, 100, 1000);
    ck_assert_int_eq(take(2999, &number), 0);
    ck_assert_int_eq(take(3000, &number), 1); /* the second is not acknowledged */
    confirm_half_close(&confirm, 3000);
    confirm_unacknowledged(&confirm, 0, 3001);
    ck_assert(confirm_fin(&confirm, &peer));
    ck_assert_int_eq(peer.level, CONFIRM_READ);
}
END_TEST

START_TEST(three_resets_in_a_row_without_any_answer) {
    ck_assert(!confirm_peer_reset(&peer, 0, 100));
    ck_assert(!confirm_peer_reset(&peer, 200, 300));
    ck_assert_int_eq(peer.level, CONFIRM_READ);
    ck_assert(confirm_peer_reset(&peer, 400, 500));
    ck_assert_int_eq(peer.level, CONFIRM_ACKNOWLEDGED);
}
END_TEST

START_TEST(resets_of_one_kill_are_one) {
    for (int i = 0; i < 4; i++) {
        ck_assert(!confirm_peer_reset(&peer, 10 + i, 100));
    }
    ck_assert_int_eq(peer.resets, 1);
}
END_TEST

START_TEST(who_answered_once_is_never_taken_for_one_that_cannot) {
    write_parcel(1, 10);
    confirm_half_close(&confirm, 0);
    confirm_unacknowledged(&confirm, 0, 1);
    ck_assert(confirm_fin(&confirm, &peer));
    for (int i = 0; i < 5; i++) {
        ck_assert(!confirm_peer_reset(&peer, 1000 * i, 1000 * i + 500));
    }
    ck_assert_int_eq(peer.level, CONFIRM_READ);
}
END_TEST

START_TEST(numbers_wrap_around_the_array) {
    uint64_t number = 0;
    for (uint64_t n = 1; n <= 100; n++) {
        write_parcel(n, 500);
        confirm_unacknowledged(&confirm, 0, (int64_t)n);
        ck_assert_int_eq(take((int64_t)n, &number), n > 2 ? 1 : 0);
        ck_assert_uint_eq(number, n > 2 ? n - 2 : 0);
    }
    ck_assert_uint_eq(confirm.count, 2);
}
END_TEST

START_TEST(expecting_is_when_an_acknowledgement_would_deliver) {
    write_parcel(1, 100);
    write_parcel(2, 999);
    confirm_unacknowledged(&confirm, 1099, 0);
    ck_assert(!confirm_is_expecting(&confirm, &policy));
    write_parcel(3, 1);
    ck_assert(confirm_is_expecting(&confirm, &policy));
    confirm_unacknowledged(&confirm, 0, 0);
    ck_assert(!confirm_is_expecting(&confirm, &policy));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("confirm");
    TCase *connection = tcase_create("connection");
    tcase_add_checked_fixture(connection, setup, NULL);
    tcase_add_test(connection, acknowledged_is_not_delivered);
    tcase_add_test(connection, peer_buffer_further_bytes_deliver_and_not_one_less);
    tcase_add_test(connection, only_what_the_kernel_took_can_be_acknowledged);
    tcase_add_test(connection, parcels_that_end_together_are_acknowledged_together);
    tcase_add_test(connection, a_parcel_not_written_to_its_end_is_dropped_with_the_others);
    tcase_add_test(connection, due_is_the_oldest_that_is_not_delivered_also_in_a_flow);
    tcase_add_test(connection, an_answered_half_close_delivers_all);
    tcase_add_test(connection, our_fin_counts_as_one_unacknowledged_byte);
    tcase_add_test(connection, a_fin_before_our_half_close_is_no_answer);
    tcase_add_test(connection, unanswered_counts_from_the_acknowledged_fin);
    tcase_add_test(connection, numbers_wrap_around_the_array);
    tcase_add_test(connection, expecting_is_when_an_acknowledgement_would_deliver);
    suite_add_tcase(suite, connection);
    TCase *manners = tcase_create("manners");
    tcase_add_checked_fixture(manners, setup, NULL);
    tcase_add_test(manners, a_silent_peer_is_settled_by_delay_until_it_answers);
    tcase_add_test(manners, three_resets_in_a_row_without_any_answer);
    tcase_add_test(manners, resets_of_one_kill_are_one);
    tcase_add_test(manners, who_answered_once_is_never_taken_for_one_that_cannot);
    suite_add_tcase(suite, manners);
    return run_suite(suite);
}
