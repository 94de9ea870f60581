/* SPDX-License-Identifier: Apache-2.0 */
/* The reading of one shard: what it asks for, when, and what it does about each error. */
#include "input/kinesis_reader.h"

#include <stdio.h>
#include <string.h>

#include "unit.h"

enum { NOW = 1000000 };

static const struct kinesis_pace pace = {.call_ms = 200, .poll_ms = 1000};
static struct kinesis_reader reader;
static struct kinesis_record some[3];
static bool has_children;

static void begin(enum kinesis_position_kind kind) {
    struct kinesis_shard shard = {.id = "shardId-000000000007"};
    struct kinesis_position position = {
        .kind = kind, .sequence = "495", .sub = 3, .time_ms = 1700000000042};
    reader_init(&reader, &shard, &position, NOW);
}

/* The members that ask for an iterator. */
static void expect_asked(const char *members) {
    char memory[1000];
    struct buf body;
    buf_over(&body, memory, sizeof(memory));
    reader_put_position(&reader, &body);
    ck_assert_str_eq(buf_cstr(&body), members);
}

static void get_iterator(void) {
    reader_asked(&reader, NOW);
    snprintf(reader.iterator, sizeof(reader.iterator), "it-1");
    reader_got_iterator(&reader, NOW);
}

/* A reply of `count` records of `bytes` each, `behind_ms` from the tip, answered at NOW + 50. */
static void get_records(size_t count, size_t bytes, int64_t behind_ms, const char *next) {
    static char data[2 << 20];
    static const char *const sequences[] = {"496", "497", "498"};
    for (size_t i = 0; i < count; i++) {
        some[i] = (struct kinesis_record){.data = span_of(data, bytes),
                                          .sequence = span_str(sequences[i])};
    }
    struct kinesis_reply reply = {.records = some,
                                  .count = count,
                                  .behind_ms = behind_ms,
                                  .has_children = has_children,
                                  .next_iterator = span_str(next)};
    reader_asked(&reader, NOW);
    reader_got_records(&reader, &reply, NOW + 50, &pace);
}

START_TEST(it_begins_where_it_is_told) {
    begin(POSITION_TRIM_HORIZON);
    ck_assert_int_eq(reader.state, READER_NEEDS_ITERATOR);
    ck_assert_int_eq(reader.due_ms, NOW);
    expect_asked(",\"ShardId\":\"shardId-000000000007\",\"ShardIteratorType\":\"TRIM_HORIZON\"");
    begin(POSITION_LATEST);
    expect_asked(",\"ShardId\":\"shardId-000000000007\",\"ShardIteratorType\":\"LATEST\"");
    begin(POSITION_TIME);
    expect_asked(",\"ShardId\":\"shardId-000000000007\",\"ShardIteratorType\":\"AT_TIMESTAMP\","
                 "\"Timestamp\":1700000000.042");
}
END_TEST

START_TEST(a_stored_position_is_read_again_and_passed_over) {
    begin(POSITION_SEQUENCE);
    expect_asked(",\"ShardId\":\"shardId-000000000007\",\"ShardIteratorType\":"
                 "\"AT_SEQUENCE_NUMBER\",\"StartingSequenceNumber\":\"495\"");
    ck_assert(reader_is_done(&reader, SPAN("495"), 0));
    ck_assert(reader_is_done(&reader, SPAN("495"), 3));
    ck_assert(!reader_is_done(&reader, SPAN("495"), 4));
    ck_assert(!reader_is_done(&reader, SPAN("496"), 0));
}
END_TEST

START_TEST(what_was_handed_out_is_not_asked_for_again) {
    begin(POSITION_SEQUENCE);
    get_iterator();
    get_records(2, 10, 500, "it-2");
    ck_assert_int_eq(reader.state, READER_HOLDS);
    ck_assert_str_eq(reader.position.sequence, "495"); /* until it is handed out */
    reader_handed_out(&reader);
    ck_assert_int_eq(reader.state, READER_READY);
    ck_assert_str_eq(reader.iterator, "it-2");
    expect_asked(",\"ShardId\":\"shardId-000000000007\",\"ShardIteratorType\":"
                 "\"AFTER_SEQUENCE_NUMBER\",\"StartingSequenceNumber\":\"497\"");
    ck_assert(!reader_is_done(&reader, SPAN("497"), 0));
}
END_TEST

START_TEST(an_empty_reply_moves_nothing) {
    begin(POSITION_SEQUENCE);
    get_iterator();
    get_records(0, 0, 0, "it-2");
    reader_handed_out(&reader);
    ck_assert(reader_is_done(&reader, SPAN("495"), 3));
    expect_asked(",\"ShardId\":\"shardId-000000000007\",\"ShardIteratorType\":"
                 "\"AT_SEQUENCE_NUMBER\",\"StartingSequenceNumber\":\"495\"");
}
END_TEST

START_TEST(while_behind_only_the_limits_pause) {
    begin(POSITION_TRIM_HORIZON);
    get_iterator();
    get_records(2, 10, 500, "it-2");
    ck_assert_int_eq(reader.due_ms, NOW + 200); /* five calls a second */
    reader_handed_out(&reader);
    get_records(2, 1000000, 500, "it-3");
    ck_assert_int_eq(reader.due_ms, NOW + 1000); /* two megabytes a second */
}
END_TEST

START_TEST(at_the_tip_it_polls) {
    begin(POSITION_TRIM_HORIZON);
    get_iterator();
    get_records(1, 10, 0, "it-2");
    ck_assert_int_eq(reader.due_ms, NOW + 50 + 1000);
    reader_handed_out(&reader);
    get_records(0, 0, -1, "it-3"); /* not said: nothing there counts as the tip */
    ck_assert_int_eq(reader.due_ms, NOW + 50 + 1000);
    reader_handed_out(&reader);
    get_records(2, 1 << 20, 0, "it-4"); /* a full reply is not the tip, whatever it says */
    ck_assert_int_eq(reader.due_ms, NOW + (2 << 20) / 2000);
}
END_TEST

START_TEST(no_further_iterator_is_the_end) {
    begin(POSITION_TRIM_HORIZON);
    get_iterator();
    get_records(1, 10, 0, NULL);
    ck_assert_int_eq(reader.state, READER_HOLDS);
    reader_handed_out(&reader);
    ck_assert_int_eq(reader.state, READER_NEEDS_ITERATOR); /* said once it may be a mistake */
    get_iterator();
    get_records(0, 0, 0, NULL);
    reader_handed_out(&reader);
    ck_assert_int_eq(reader.state, READER_ENDED);
    begin(POSITION_TRIM_HORIZON);
    get_iterator();
    has_children = true;
    get_records(1, 10, 0, NULL);
    has_children = false;
    reader_handed_out(&reader);
    ck_assert_int_eq(reader.state, READER_ENDED);
}
END_TEST

static enum reader_advice fail_records(enum aws_class class, const char *code) {
    reader.state = READER_READY;
    reader_asked(&reader, NOW);
    return reader_failed(&reader, class, code, NOW, 0);
}

START_TEST(an_expired_iterator_is_renewed_at_once) {
    begin(POSITION_SEQUENCE);
    get_iterator();
    get_records(1, 10, 0, "it-2");
    reader_handed_out(&reader);
    ck_assert_int_eq(fail_records(AWS_REFUSED, "ExpiredIteratorException"), ADVICE_NONE);
    ck_assert_int_eq(reader.state, READER_NEEDS_ITERATOR);
    ck_assert_int_eq(reader.due_ms, NOW);
    ck_assert_uint_eq(reader.renewals, 1);
    expect_asked(",\"ShardId\":\"shardId-000000000007\",\"ShardIteratorType\":"
                 "\"AFTER_SEQUENCE_NUMBER\",\"StartingSequenceNumber\":\"496\"");
}
END_TEST

START_TEST(a_refused_iterator_is_renewed_once_and_then_reported) {
    begin(POSITION_TRIM_HORIZON);
    ck_assert_int_eq(fail_records(AWS_REFUSED, "InvalidArgumentException"), ADVICE_NONE);
    ck_assert_int_eq(reader.state, READER_NEEDS_ITERATOR);
    ck_assert_int_eq(reader.due_ms, NOW);
    ck_assert_int_eq(fail_records(AWS_REFUSED, "InvalidArgumentException"), ADVICE_SAY);
    ck_assert_int_ge(reader.due_ms, NOW + 5000);
}
END_TEST

START_TEST(a_position_that_is_gone_is_a_loss) {
    begin(POSITION_SEQUENCE);
    reader_asked(&reader, NOW);
    ck_assert_int_eq(reader_failed(&reader, AWS_REFUSED, "InvalidArgumentException", NOW, 0),
                     ADVICE_LOSS);
    ck_assert_int_eq(reader.due_ms, NOW);
    expect_asked(",\"ShardId\":\"shardId-000000000007\",\"ShardIteratorType\":\"TRIM_HORIZON\"");
    ck_assert(!reader_is_done(&reader, SPAN("495"), 0));
    reader_asked(&reader, NOW); /* and where that is refused too, nothing more is given up */
    ck_assert_int_eq(reader_failed(&reader, AWS_REFUSED, "InvalidArgumentException", NOW, 0),
                     ADVICE_SAY);
    ck_assert_int_ge(reader.due_ms, NOW + 5000);
}
END_TEST

START_TEST(a_time_is_never_too_old) {
    begin(POSITION_TIME); /* but AWS may find that it is still to come */
    for (int i = 0; i < 3; i++) {
        reader_asked(&reader, NOW);
        ck_assert_int_eq(reader_failed(&reader, AWS_REFUSED, "InvalidArgumentException", NOW, 0),
                         i == 0 ? ADVICE_NONE : ADVICE_SAY);
        ck_assert_int_gt(reader.due_ms, NOW);
        ck_assert_int_eq(reader.position.kind, POSITION_TIME);
    }
}
END_TEST

START_TEST(too_large_a_reply_is_asked_for_in_halves) {
    begin(POSITION_TRIM_HORIZON);
    get_iterator();
    ck_assert_uint_eq(reader.limit, KINESIS_RECORDS_MAX);
    for (size_t limit = KINESIS_RECORDS_MAX / 2; limit > 1; limit /= 2) {
        reader_asked(&reader, NOW);
        reader_got_too_much(&reader, NOW);
        ck_assert_int_eq(reader.state, READER_READY);
        ck_assert_uint_eq(reader.limit, limit);
    }
    get_records(1, 10, 500, "it-2");
    reader_handed_out(&reader);
    ck_assert_uint_lt(reader.limit, KINESIS_RECORDS_MAX);
    for (int i = 0; i < 14; i++) {
        get_records(1, 10, 500, "it-3");
        reader_handed_out(&reader);
    }
    ck_assert_uint_eq(reader.limit, KINESIS_RECORDS_MAX);
}
END_TEST

START_TEST(throttling_waits_for_a_second_and_more) {
    begin(POSITION_TRIM_HORIZON);
    int64_t before = 0;
    for (int i = 1; i <= 4; i++) {
        ck_assert_int_eq(fail_records(AWS_THROTTLED, "ProvisionedThroughputExceededException"),
                         ADVICE_NONE);
        ck_assert_int_eq(reader.state, READER_READY); /* the iterator is kept */
        ck_assert_int_ge(reader.due_ms - NOW, 1000);
        ck_assert_int_ge(reader.due_ms, before);
        before = reader.due_ms;
    }
    ck_assert_int_le(before - NOW, 10000);
    ck_assert_int_eq(fail_records(AWS_THROTTLED, "ProvisionedThroughputExceededException"),
                     ADVICE_SAY);
    ck_assert_uint_eq(reader.throttles, 5);
}
END_TEST

START_TEST(what_a_person_must_mend_is_said_and_tried_seldom) {
    static const struct {
        enum aws_class class;
        const char *code;
        enum reader_advice advice;
        int64_t least_ms;
    } rows[] = {
        {AWS_DENIED, "AccessDeniedException", ADVICE_SAY, 5000},
        {AWS_REFUSED, "KMSDisabledException", ADVICE_SAY, 5000},
        {AWS_REFUSED, "KMSInvalidStateException", ADVICE_SAY, 5000},
        {AWS_DENIED, "KMSAccessDeniedException", ADVICE_SAY, 5000},
        {AWS_REFUSED, "UnknownOperationException", ADVICE_SAY, 5000},
        {AWS_REFUSED, "ResourceNotFoundException", ADVICE_LIST, 2000},
        {AWS_KEYS, "ExpiredTokenException", ADVICE_KEYS, 500},
        {AWS_SKEW, "InvalidSignatureException", ADVICE_NONE, 0},
        {AWS_THROTTLED, "KMSThrottlingException", ADVICE_NONE, 1000},
        {AWS_TRANSIENT, "InternalFailureException", ADVICE_NONE, 100},
        {AWS_TRANSIENT, "", ADVICE_NONE, 100},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        begin(POSITION_SEQUENCE);
        ck_assert_int_eq(fail_records(rows[i].class, rows[i].code), rows[i].advice);
        ck_assert_int_ge(reader.due_ms - NOW, rows[i].least_ms);
        ck_assert_int_le(reader.due_ms - NOW, 60000);
        ck_assert_int_eq(reader.state, READER_READY);
        ck_assert_str_eq(reader.position.sequence, "495"); /* nothing is given up */
    }
}
END_TEST

START_TEST(failures_in_a_row_are_said_and_the_iterator_doubted) {
    begin(POSITION_SEQUENCE);
    ck_assert_int_eq(fail_records(AWS_TRANSIENT, ""), ADVICE_NONE);
    ck_assert_int_eq(fail_records(AWS_TRANSIENT, ""), ADVICE_SAY);
    ck_assert_int_eq(reader.state, READER_READY);
    ck_assert_int_eq(fail_records(AWS_TRANSIENT, ""), ADVICE_SAY);
    ck_assert_int_eq(reader.state, READER_NEEDS_ITERATOR);
    get_iterator();
    get_records(0, 0, 0, "it-2");
    reader_handed_out(&reader);
    ck_assert_int_eq(fail_records(AWS_TRANSIENT, ""), ADVICE_NONE); /* a reply begins anew */
}
END_TEST

START_TEST(an_iterator_longer_than_any_is_asked_for_anew) {
    static char longer[KINESIS_ITERATOR_SIZE + 1];
    memset(longer, 'x', sizeof(longer) - 1);
    begin(POSITION_TRIM_HORIZON);
    get_iterator();
    get_records(1, 10, 0, longer);
    reader_handed_out(&reader);
    ck_assert_int_eq(reader.state, READER_NEEDS_ITERATOR);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kinesis_reader");
    TCase *tcase = tcase_create("all");
    tcase_add_test(tcase, it_begins_where_it_is_told);
    tcase_add_test(tcase, a_stored_position_is_read_again_and_passed_over);
    tcase_add_test(tcase, what_was_handed_out_is_not_asked_for_again);
    tcase_add_test(tcase, an_empty_reply_moves_nothing);
    tcase_add_test(tcase, while_behind_only_the_limits_pause);
    tcase_add_test(tcase, at_the_tip_it_polls);
    tcase_add_test(tcase, no_further_iterator_is_the_end);
    tcase_add_test(tcase, an_expired_iterator_is_renewed_at_once);
    tcase_add_test(tcase, a_refused_iterator_is_renewed_once_and_then_reported);
    tcase_add_test(tcase, a_position_that_is_gone_is_a_loss);
    tcase_add_test(tcase, a_time_is_never_too_old);
    tcase_add_test(tcase, too_large_a_reply_is_asked_for_in_halves);
    tcase_add_test(tcase, throttling_waits_for_a_second_and_more);
    tcase_add_test(tcase, what_a_person_must_mend_is_said_and_tried_seldom);
    tcase_add_test(tcase, failures_in_a_row_are_said_and_the_iterator_doubted);
    tcase_add_test(tcase, an_iterator_longer_than_any_is_asked_for_anew);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
