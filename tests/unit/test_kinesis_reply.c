/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies as AWS and the emulators write them, and all that a reply may not be. Each text is parsed
 * on the heap in exactly as many bytes, so that reading past it is seen.
 */
#include "input/kinesis_reply.h"

#include <check.h>
#include <stdio.h>
#include <string.h>

#include "base/base64.h"
#include "base/xalloc.h"
#include "unit.h"

static struct kinesis_reply reply;
static struct kinesis_shards shards;
static struct buf next;
static struct err err;
static char *text;

static void set_up(void) {
    buf_init(&next, 64);
    text = NULL;
}

static void tear_down(void) {
    kinesis_reply_done(&reply);
    kinesis_shards_done(&shards);
    buf_done(&next);
    free(text);
}

static size_t hold(struct span json) {
    free(text);
    text = xmalloc(json.len ? json.len : 1);
    memcpy(text, json.p, json.len);
    return json.len;
}

static int parse(const char *json) {
    size_t len = hold(span_str(json));
    return kinesis_reply_parse(text, len, &reply, &err);
}

static void good(const char *json) {
    ck_assert_msg(parse(json) == 0, "%s: %s", json, err.text);
}

static void bad(const char *json, const char *what) {
    ck_assert_msg(parse(json) == -1, "taken: %s", json);
    ck_assert_int_eq(err.kind, ERR_DATA);
    ck_assert_msg(strstr(err.text, what) != NULL, "\"%s\" is not in \"%s\"", what, err.text);
}

#define RECORD(members) "{\"Records\":[{\"SequenceNumber\":\"1\"," members "}]}"

START_TEST(a_reply_is_read) {
    good(
        "{\"Records\":[{\"SequenceNumber\":\"4958\",\"ApproximateArrivalTimestamp\":1.441215410867E9"
        ",\"Data\":\"aGVsbG8=\",\"PartitionKey\":\"k\\u00e9y\",\"EncryptionType\":\"KMS\"},"
        "{\"Data\":\"\",\"PartitionKey\":\"\",\"SequenceNumber\":\"4959\"}],"
        "\"NextShardIterator\":\"AAAA\\/+==\",\"MillisBehindLatest\":86400000}");
    ck_assert_uint_eq(reply.count, 2);
    ck_assert(span_eq(reply.records[0].data, SPAN("hello")));
    ck_assert(span_eq(reply.records[0].sequence, SPAN("4958")));
    ck_assert(span_eq(reply.records[0].partition_key, SPAN("k\u00e9y")));
    ck_assert_int_eq(reply.records[0].arrival_ms, 1441215410867);
    ck_assert_uint_eq(reply.records[1].data.len, 0);
    ck_assert_int_eq(reply.records[1].arrival_ms, -1);
    ck_assert(span_eq(reply.next_iterator, SPAN("AAAA/+==")));
    ck_assert_int_eq(reply.behind_ms, 86400000);
    ck_assert(!reply.has_children);

    good("{\"Records\":[]}"); /* nothing of the one before is left */
    ck_assert_uint_eq(reply.count, 0);
    ck_assert_uint_eq(reply.next_iterator.len, 0);
    ck_assert_int_eq(reply.behind_ms, -1);
}
END_TEST

START_TEST(the_end_of_a_shard_says_that_others_go_on) {
    good("{\"NextShardIterator\":null,\"ChildShards\":[{\"ShardId\":\"s-3\",\"ParentShards\":"
         "[\"s-1\"],\"HashKeyRange\":{\"StartingHashKey\":\"0\",\"EndingHashKey\":\"9\"}},{}],"
         "\"Records\":[],\"MillisBehindLatest\":0}");
    ck_assert_uint_eq(reply.next_iterator.len, 0);
    ck_assert(reply.has_children);
    good("{\"Records\":[],\"ChildShards\":[]}");
    ck_assert(!reply.has_children);
}
END_TEST

START_TEST(nulls_and_unknown_members_are_passed_over) {
    good(
        " {\"ChildShards\":null,\"NextShardIterator\":\"x\",\"MillisBehindLatest\":null,"
        "\"Later\":[{\"Records\":[1]},[],{}],\"Records\":[{\"EncryptionType\":null,\"SequenceNumber\""
        ":\"1\",\"ApproximateArrivalTimestamp\":null,\"Data\":\"YQ==\",\"PartitionKey\":null,"
        "\"Later\":{\"Data\":\"Yg==\"}}]} \n");
    ck_assert_uint_eq(reply.count, 1);
    ck_assert(span_eq(reply.records[0].data, SPAN("a")));
    ck_assert_uint_eq(reply.records[0].partition_key.len, 0);
    ck_assert_int_eq(reply.records[0].arrival_ms, -1);
    ck_assert_int_eq(reply.behind_ms, -1);
}
END_TEST

static void time_is(const char *number, int64_t expected_ms) {
    char json[400];
    snprintf(json, sizeof(json), RECORD("\"ApproximateArrivalTimestamp\":%s"), number);
    good(json);
    ck_assert_msg(reply.records[0].arrival_ms == expected_ms, "%s is %lld", number,
                  (long long)reply.records[0].arrival_ms);
}

START_TEST(times_come_in_every_notation) {
    time_is("1700000000", 1700000000000);
    time_is("1700000000.5", 1700000000500);
    time_is("1700000000.123456789", 1700000000123);
    time_is("1700000000.12345678901234567890", 1700000000123);
    time_is("1.7E9", 1700000000000);
    time_is("1.441215410867E9", 1441215410867);
    time_is("17e+8", 1700000000000);
    time_is("170000000000000e-5", 1700000000000);
    time_is("0.0000", 0);
    time_is("0", 0);
    time_is("-0", 0);
    time_is("1e-400", 0);
    time_is("9223372036854775", 9223372036854775000);
    time_is("9223372036854776", -1);
    time_is("1e99999999999999999999", -1);
    time_is("99999999999999999999999999999999", -1);
    time_is("-1", -1);
}
END_TEST

/* A record with this Data is parsed, and its data must be `expected`. */
static void data_is(struct span data, struct span expected) {
    struct buf json;
    buf_init(&json, 16 << 20);
    buf_add(&json, SPAN("{\"Records\":[{\"Data\":\""));
    buf_add(&json, data);
    buf_add(&json, SPAN("\",\"SequenceNumber\":\"1\"}]}"));
    size_t len = hold(buf_span(&json));
    ck_assert_int_eq(kinesis_reply_parse(text, len, &reply, &err), 0);
    ck_assert_uint_eq(reply.records[0].data.len, expected.len);
    ck_assert(span_eq(reply.records[0].data, expected));
    ck_assert(span_eq(reply.records[0].sequence, SPAN("1")));
    buf_done(&json);
}

START_TEST(data_of_every_length_is_decoded_in_place) {
    static char bytes[20000];
    struct buf encoded;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        bytes[i] = (char)(i * 2654435761u >> 13);
    }
    buf_init(&encoded, 1 << 20);
    for (size_t len = 0; len <= sizeof(bytes); len += len < 3100 && len > 3000 ? 1 : 61) {
        buf_clear(&encoded);
        base64_encode(span_of(bytes, len), &encoded);
        data_is(buf_span(&encoded), span_of(bytes, len));
    }
    buf_done(&encoded);
}
END_TEST

START_TEST(data_that_is_no_base64_stays_as_it_came) {
    static char odd[20000];
    data_is(SPAN("2 1234 eni-1"), SPAN("2 1234 eni-1"));
    data_is(SPAN("abc"), SPAN("abc"));
    data_is(SPAN("YQ==YQ=="), SPAN("YQ==YQ=="));
    data_is(SPAN("Zm9v\\/"), SPAN("Zm9v/"));
    data_is(SPAN("Zm9\\/"), SPAN("fo\x7f"));
    for (size_t at = 0; at < sizeof(odd); at += 397) { /* in each piece of it */
        for (size_t i = 0; i < sizeof(odd); i++) {
            odd[i] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdef"[i * 7 % 32];
        }
        odd[at] = at % 2 ? '-' : '=';
        data_is(span_of(odd, sizeof(odd)), span_of(odd, sizeof(odd)));
    }
}
END_TEST

START_TEST(a_partition_key_may_hold_any_character) {
    good(RECORD("\"PartitionKey\":\"a\\u0000\\ud83d\\ude00\\n\""));
    ck_assert(span_eq(reply.records[0].partition_key, SPAN("a\0\xF0\x9F\x98\x80\n")));
}
END_TEST

START_TEST(what_is_no_reply_is_refused) {
    bad("", "not what belongs there");
    bad("[]", "not what belongs there");
    bad("null", "not what belongs there");
    bad("<html>", "no value");
    bad("{}", "has no Records");
    bad("{\"__type\":\"ExpiredIteratorException\",\"message\":\"x\"}", "has no Records");
    bad("{\"Records\":null}", "has no Records");
    bad("{\"Records\":{}}", "not what belongs there");
    bad("{\"Records\":[1]}", "not what belongs there");
    bad("{\"Records\":[]}{}", "more behind its end");
    bad("{\"Records\":[{}]}", "without a sequence number");
    bad("{\"Records\":[{\"SequenceNumber\":\"\"}]}", "without a sequence number");
    bad("{\"Records\":[{\"SequenceNumber\":\"x\"}]}", "without a sequence number");
    bad("{\"Records\":[{\"SequenceNumber\":null}]}", "without a sequence number");
    bad("{\"Records\":[{\"SequenceNumber\":17}]}", "should be a text");
    bad(RECORD("\"Data\":17"), "should be a text");
    bad(RECORD("\"Data\":[]"), "should be a text");
    bad(RECORD("\"ApproximateArrivalTimestamp\":\"17\""), "should be a number");
    bad("{\"Records\":[],\"MillisBehindLatest\":{}}", "should be a number");
    bad("{\"Records\":[],\"NextShardIterator\":\"\"}", "an iterator that is empty");
    bad("{\"Records\":[],\"NextShardIterator\":\"a\\u0000\"}", "holds a NUL");
}
END_TEST

START_TEST(a_reply_cut_anywhere_is_refused) {
    const char *whole = RECORD("\"Data\":\"aGVsbG8=\",\"ApproximateArrivalTimestamp\":1.5E9,"
                               "\"PartitionKey\":\"k\\n\"");
    for (size_t len = 0; len < strlen(whole); len++) {
        hold(span_of(whole, len));
        ck_assert_int_eq(kinesis_reply_parse(text, len, &reply, &err), -1);
        ck_assert_int_eq(err.kind, ERR_DATA);
    }
    good(whole);
}
END_TEST

START_TEST(the_largest_reply_is_read_and_no_larger_one) {
    struct buf json;
    buf_init(&json, 16 << 20);
    buf_add(&json, SPAN("{\"Records\":["));
    for (int i = 0; i < KINESIS_RECORDS_MAX; i++) {
        buf_printf(&json, "%s{\"SequenceNumber\":\"%d\",\"Data\":\"YQ==\"}", i ? "," : "", i);
    }
    size_t before = json.len;
    buf_add(&json, SPAN("]}"));
    size_t len = hold(buf_span(&json));
    ck_assert_int_eq(kinesis_reply_parse(text, len, &reply, &err), 0);
    ck_assert_uint_eq(reply.count, KINESIS_RECORDS_MAX);
    ck_assert(span_eq(reply.records[9999].sequence, SPAN("9999")));
    json.len = before;
    buf_add(&json, SPAN(",{\"SequenceNumber\":\"1\"}]}"));
    len = hold(buf_span(&json));
    ck_assert_int_eq(kinesis_reply_parse(text, len, &reply, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "more records"));
    buf_done(&json);
}
END_TEST

static int list(const char *json) {
    size_t len = hold(span_str(json));
    return kinesis_list_parse(text, len, &shards, &next, &err);
}

#define SHARD(id, more)                                                                        \
    "{\"ShardId\":\"" id "\",\"HashKeyRange\":{\"StartingHashKey\":\"0\",\"EndingHashKey\":\"" \
    "340282366920938463463374607431768211455\"}" more "}"
#define SEQUENCES(end) ",\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"4959\"" end "}"

START_TEST(pages_of_shards_are_joined) {
    ck_assert_int_eq(
        list("{\"Shards\":[" SHARD(
            "s-0",
            SEQUENCES(
                ",\"EndingSequenceNumber\":"
                "\"9223372036854775807\"")) "," SHARD("s-1",
                                                      SEQUENCES(
                                                          ",\"EndingSequenceNumber\":null") ",\"ParentShardId\":null,\"AdjacentParentShardId\":null") "],\"NextToken\":\"more\\/\"}"),
        0);
    ck_assert(span_eq(buf_span(&next), SPAN("more/")));
    ck_assert_int_eq(
        list("{\"NextToken\":null,\"Shards\":[" SHARD(
            "s-2",
            SEQUENCES("") ",\"ParentShardId\":\"s-0\",\"AdjacentParentShardId\":\"s-1\"") "]}"),
        0);
    ck_assert_uint_eq(next.len, 0);
    kinesis_shards_finish(&shards);
    ck_assert_uint_eq(shards.count, 3);
    ck_assert(!shards.items[0].is_open);
    ck_assert(shards.items[1].is_open);
    ck_assert_str_eq(shards.items[1].parent, "");
    ck_assert(shards.items[2].is_open);
    ck_assert_str_eq(shards.items[2].parent, "s-0");
    ck_assert_str_eq(shards.items[2].adjacent, "s-1");
    ck_assert(shards.items[2].range.first == 0);
    ck_assert(shards.items[2].range.last == ~(unsigned __int128)0);
    ck_assert_int_eq(list("{\"Shards\":[]}"), 0);
    ck_assert_uint_eq(shards.count, 3);
}
END_TEST

START_TEST(a_bad_page_adds_nothing) {
    ck_assert_int_eq(list("{\"Shards\":[" SHARD("s-0", "") "]}"), 0);
    ck_assert_int_eq(list("{\"Shards\":[" SHARD("s-1", "") ",{}]}"), -1);
    ck_assert_uint_eq(shards.count, 1);
    ck_assert_int_eq(list("{}"), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "ListShards"));
    ck_assert_int_eq(list("{\"Shards\":[" SHARD(
                         "s-1", "") "],\"NextToken\":\"12345678901234567890123"
                                    "456789012345678901234567890123456789012345678901234567890\"}"),
                     -1);
    ck_assert_ptr_nonnull(strstr(err.text, "NextToken"));
    ck_assert_uint_eq(shards.count, 1);
    ck_assert_uint_eq(next.len, 0);
    ck_assert(!next.overflow);
}
END_TEST

START_TEST(an_iterator_is_read) {
    char out[KINESIS_ITERATOR_SIZE], longest[KINESIS_ITERATOR_SIZE + 40];
    size_t len = hold(SPAN("{\"ShardIterator\":\"AAAA\\/\\n=\"}"));
    ck_assert_int_eq(kinesis_iterator_parse(text, len, out, &err), 0);
    ck_assert_str_eq(out, "AAAA/\n=");
    len = hold(SPAN("{\"ShardIterator\":null}"));
    ck_assert_int_eq(kinesis_iterator_parse(text, len, out, &err), -1);
    len = hold(SPAN("{\"ShardIterator\":\"\"}"));
    ck_assert_int_eq(kinesis_iterator_parse(text, len, out, &err), -1);
    for (int more = 0; more < 2; more++) {
        int size = snprintf(longest, sizeof(longest), "{\"ShardIterator\":\"%0*d\"}",
                            KINESIS_ITERATOR_SIZE - 1 + more, 7);
        len = hold(span_of(longest, (size_t)size));
        ck_assert_int_eq(kinesis_iterator_parse(text, len, out, &err), -more);
    }
    ck_assert_uint_eq(strlen(out), KINESIS_ITERATOR_SIZE - 1);
}
END_TEST

static int summarize(const char *json, struct kinesis_summary *summary) {
    size_t len = hold(span_str(json));
    return kinesis_summary_parse(text, len, summary, &err);
}

START_TEST(a_summary_is_read) {
    struct kinesis_summary summary;
    ck_assert_int_eq(
        summarize(
            "{\"StreamDescriptionSummary\":{\"StreamName\":\"x\",\"StreamStatus\":\"ACTIVE\","
            "\"RetentionPeriodHours\":24,\"StreamCreationTimestamp\":1.5728E9,\"OpenShardCount\""
            ":4,\"EnhancedMonitoring\":[{\"ShardLevelMetrics\":[]}],\"KeyId\":null}}",
            &summary),
        0);
    ck_assert_str_eq(summary.status, "ACTIVE");
    ck_assert_int_eq(summary.retention_hours, 24);
    ck_assert_int_eq(summary.created_ms, 1572800000000);
    ck_assert_int_eq(summary.open_shards, 4);
    ck_assert_int_eq(
        summarize("{\"StreamDescriptionSummary\":{\"StreamStatus\":\"CREATING\",\"OpenShardCount\":"
                  "null,\"RetentionPeriodHours\":null}}",
                  &summary),
        0);
    ck_assert_int_eq(summary.retention_hours, 0);
    ck_assert_int_eq(summary.created_ms, -1);
    ck_assert_int_eq(summary.open_shards, -1);
    ck_assert_int_eq(summarize("{\"StreamDescription\":{\"StreamStatus\":\"ACTIVE\"}}", &summary),
                     -1);
    ck_assert_int_eq(summarize("{\"StreamDescriptionSummary\":null}", &summary), -1);
    ck_assert_int_eq(summarize("{\"StreamDescriptionSummary\":{\"StreamStatus\":"
                               "\"A-STATUS-THAT-IS-NONE\"}}",
                               &summary),
                     -1);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kinesis_reply");
    TCase *tcase = tcase_create("kinesis_reply");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, a_reply_is_read);
    tcase_add_test(tcase, the_end_of_a_shard_says_that_others_go_on);
    tcase_add_test(tcase, nulls_and_unknown_members_are_passed_over);
    tcase_add_test(tcase, times_come_in_every_notation);
    tcase_add_test(tcase, data_of_every_length_is_decoded_in_place);
    tcase_add_test(tcase, data_that_is_no_base64_stays_as_it_came);
    tcase_add_test(tcase, a_partition_key_may_hold_any_character);
    tcase_add_test(tcase, what_is_no_reply_is_refused);
    tcase_add_test(tcase, a_reply_cut_anywhere_is_refused);
    tcase_add_test(tcase, the_largest_reply_is_read_and_no_larger_one);
    tcase_add_test(tcase, pages_of_shards_are_joined);
    tcase_add_test(tcase, a_bad_page_adds_nothing);
    tcase_add_test(tcase, an_iterator_is_read);
    tcase_add_test(tcase, a_summary_is_read);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
