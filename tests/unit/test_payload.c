/* SPDX-License-Identifier: Apache-2.0 */
/* Records of every kind through the decoder: what comes out, in which order, what is counted. */
#include "decode/payload.h"

#include <jansson.h>
#include <zlib.h>

#include "base/base64.h"
#include "data_file.h"
#include "flow/line.h"
#include "unit.h"

#define LINE_A                                                                            \
    "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 22 6 20 4249 " \
    "1418530010 1418530070 ACCEPT OK"
#define LINE_B                                                                           \
    "2 123456789010 eni-1235b8ca123456789 172.31.9.69 172.31.9.12 49761 3389 6 20 4249 " \
    "1418530010 1418530070 REJECT OK"
#define NODATA "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA"
#define SKIPDATA \
    "2 123456789010 eni-11111111aaaaaaaaa - - - - - - - 1431280876 1431280934 - SKIPDATA"
#define HEADER "interface-id srcaddr dstaddr"
#define ENVELOPE(type, events)                                                              \
    "{\"messageType\":\"" type "\",\"owner\":\"1\",\"logGroup\":\"g\",\"logStream\":\"s\"," \
    "\"subscriptionFilters\":[\"one\",\"two\"],\"logEvents\":[" events "]}"
#define EVENT(id, line) "{\"id\":\"" id "\",\"timestamp\":1700000000000,\"message\":\"" line "\"}"

enum { SEEN_MAX = 400 };

/* What is kept of a flow to look at it after its record. */
struct seen {
    enum bad_reason bad;
    uint32_t line_number, event_line;
    char line[300], src[64], group[64], id[64], filters[32];
    size_t line_len, filters_len, columns;
    int64_t event_ms;
    bool plain;
};

static struct format *formats[2];
static struct decode_conf conf;
static void *decoder;
static const struct decode_counts *counts;
static struct seen seen[SEEN_MAX];
static size_t seen_count;
static size_t at_once;

static void setup(void) {
    format_parse(SPAN("default"), &formats[0], NULL);
    format_parse(SPAN("tgw-default"), &formats[1], NULL);
    conf = (struct decode_conf){
        .formats = (const struct format *const *)formats, .format_count = 2, .send_skipdata = true};
    decoder = payload_decoder.open(&conf);
    counts = payload_decoder.counts(decoder);
    at_once = 32;
}

static void teardown(void) {
    payload_decoder.close(decoder);
    format_free(formats[0]);
    format_free(formats[1]);
}

static void copy_span(char *to, size_t size, struct span from) {
    snprintf(to, size, "%.*s", SPAN_ARG(from));
}

static void copy_bytes(char *to, struct span from) {
    if (from.len > 0) {
        memcpy(to, from.p, from.len);
    }
}

static void keep(const struct flow *flow, const struct record *record) {
    struct seen *one = &seen[seen_count++];
    *one = (struct seen){
        .bad = flow->bad, .line_number = flow->line_number, .line_len = flow->line.len};
    copy_span(one->line, sizeof(one->line), flow->line);
    ck_assert_ptr_eq(flow->record, record);
    if (flow->bad != BAD_NONE) {
        return;
    }
    one->columns = flow->format->count;
    one->plain = flow->plain;
    one->event_ms = flow->event_ms;
    one->event_line = flow->event_line;
    copy_span(one->src, sizeof(one->src), flow_column(flow, FIELD_SRCADDR));
    copy_span(one->id, sizeof(one->id), flow->event_id);
    if (flow->envelope) {
        copy_span(one->group, sizeof(one->group), flow->envelope->log_group);
        one->filters_len = flow->envelope->filters.len;
        ck_assert_uint_lt(one->filters_len, sizeof(one->filters));
        copy_bytes(one->filters, flow->envelope->filters);
    }
}

static void decode_record(const struct record *record) {
    struct flow *flows;
    size_t count;
    seen_count = 0;
    payload_decoder.begin(decoder, record);
    while ((count = payload_decoder.next(decoder, at_once, &flows)) > 0) {
        ck_assert_uint_le(count, at_once);
        for (size_t i = 0; i < count && seen_count < SEEN_MAX; i++) {
            keep(&flows[i], record);
        }
    }
    ck_assert_uint_eq(payload_decoder.next(decoder, at_once, &flows), 0);
}

/* Decodes a copy of exactly these bytes, so that reading past them is seen, and which must be as it
   was afterwards: a record is not the decoder's to write to. */
static void decode_bytes(struct span bytes) {
    char *copy = malloc(bytes.len > 0 ? bytes.len : 1);
    copy_bytes(copy, bytes);
    struct record record = {.data = span_of(copy, bytes.len)};
    decode_record(&record);
    ck_assert(memcmp(copy, bytes.p, bytes.len) == 0);
    free(copy);
}

static void decode_text(const char *text) {
    decode_bytes(span_str(text));
}

static struct span gzip_of(struct span plain) {
    static char out[1 << 20];
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)plain.p;
    z.avail_in = (uInt)plain.len;
    z.next_out = (Bytef *)out;
    z.avail_out = sizeof(out);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return span_of(out, z.total_out);
}

static void assert_good(size_t index, const char *line) {
    ck_assert_uint_lt(index, seen_count);
    ck_assert_msg(seen[index].bad == BAD_NONE, "%s: %s", bad_names[seen[index].bad],
                  seen[index].line);
    ck_assert_str_eq(seen[index].line, line);
}

static void assert_bad(size_t index, enum bad_reason bad, const char *line) {
    ck_assert_uint_lt(index, seen_count);
    ck_assert_str_eq(bad_names[seen[index].bad], bad_names[bad]);
    if (line) {
        ck_assert_str_eq(seen[index].line, line);
    }
}

START_TEST(lines_with_any_ends) {
    decode_text("\r\n" LINE_A "\r\n\n  \t\r\n  " LINE_B "  \nbogus line\n" LINE_A);
    ck_assert_uint_eq(seen_count, 4);
    assert_good(0, LINE_A);
    assert_good(1, LINE_B);
    assert_bad(2, BAD_FORMAT, "bogus line");
    assert_good(3, LINE_A);
    ck_assert_uint_eq(counts->lines, 4);
    ck_assert_uint_eq(counts->bad[BAD_FORMAT], 1);
    ck_assert_uint_lt(seen[0].line_number, seen[1].line_number);
    decode_text("");
    ck_assert_uint_eq(seen_count, 0);
}
END_TEST

START_TEST(no_data_is_counted_and_sent_when_asked_for) {
    decode_text(NODATA "\n" SKIPDATA "\n" LINE_A);
    ck_assert_uint_eq(seen_count, 2);
    assert_good(0, SKIPDATA);
    ck_assert_uint_eq(seen[0].line_number, 1);
    ck_assert_uint_eq(counts->nodata, 1);
    ck_assert_uint_eq(counts->skipdata, 1);
    conf.send_nodata = true;
    conf.send_skipdata = false;
    decode_text(NODATA "\n" SKIPDATA);
    ck_assert_uint_eq(seen_count, 1);
    assert_good(0, NODATA);
    conf.send_nodata = false;
    /* With addresses it is a flow. */
    decode_text("2 1 eni-1 10.0.0.1 10.0.0.2 80 100 6 - - 1 2 - NODATA");
    ck_assert_uint_eq(seen_count, 1);
}
END_TEST

START_TEST(header_lines_hold_to_the_end_of_their_record) {
    decode_text(LINE_A "\n" HEADER "\r\neni-1 10.0.0.1 ::1\n" LINE_A "\n"
                       "srcaddr vpc-id\n10.0.0.9 vpc-1\n");
    ck_assert_uint_eq(seen_count, 4);
    assert_good(0, LINE_A);
    assert_good(1, "eni-1 10.0.0.1 ::1");
    assert_bad(2, BAD_FORMAT, LINE_A);
    assert_good(3, "10.0.0.9 vpc-1");
    ck_assert_uint_eq(counts->headers, 2);
    decode_text("eni-1 10.0.0.1 ::1");
    assert_bad(0, BAD_FORMAT, NULL);
}
END_TEST

START_TEST(head_of_a_file_holds_for_its_pieces) {
    struct record piece = {.data = SPAN("eni-1 10.0.0.1 ::1"), .head = SPAN(HEADER "\r")};
    decode_record(&piece);
    assert_good(0, "eni-1 10.0.0.1 ::1");
    piece.head = SPAN("srcaddr dstaddr interface-id");
    decode_record(&piece);
    assert_bad(0, BAD_FORMAT, NULL);
    piece.head = SPAN(LINE_A);
    decode_record(&piece);
    assert_bad(0, BAD_FORMAT, NULL);
    piece.data = SPAN(LINE_A);
    decode_record(&piece);
    assert_good(0, LINE_A);
}
END_TEST

START_TEST(envelope_gives_its_events) {
    decode_text(ENVELOPE(
        "DATA_MESSAGE",
        EVENT("id\\u0031", LINE_A) "," EVENT(
            "id2", NODATA) ","
                           "{\"id\":\"3\",\"timestamp\":1.5,\"extractedFields\":{\"a\":[1]},"
                           "\"message\":\"" LINE_B "\\n\"}"));
    ck_assert_uint_eq(seen_count, 2);
    assert_good(0, LINE_A);
    ck_assert_str_eq(seen[0].id, "id1");
    ck_assert_str_eq(seen[0].group, "g");
    ck_assert_int_eq(seen[0].event_ms, 1700000000000);
    ck_assert_uint_eq(seen[0].filters_len, 7);
    ck_assert(memcmp(seen[0].filters, "one\0two", 7) == 0);
    assert_good(1, LINE_B);
    ck_assert_int_eq(seen[1].event_ms, -1);
    ck_assert_uint_eq(counts->envelopes, 1);
}
END_TEST

START_TEST(members_of_an_envelope_come_in_any_order) {
    decode_text("{\"logEvents\":[" EVENT(
        "1", LINE_A) "],\"x\":{\"logGroup\":\"no\"},"
                     "\"logGroup\":\"late\",\"messageType\":\"DATA_MESSAGE\"}" LINE_B);
    ck_assert_uint_eq(seen_count, 2);
    assert_good(0, LINE_A);
    ck_assert_str_eq(seen[0].group, "late");
    assert_good(1, LINE_B);
    decode_text("{\"logEvents\":[" EVENT(
        "", "CWL CONTROL MESSAGE: Checking") "],"
                                             "\"messageType\":\"CONTROL_MESSAGE\"}");
    ck_assert_uint_eq(seen_count, 0);
    ck_assert_uint_eq(counts->control_messages, 1);
}
END_TEST

START_TEST(envelopes_follow_each_other_with_and_without_blanks) {
    at_once = 1 + (size_t)_i;
    decode_text(ENVELOPE("DATA_MESSAGE", EVENT("1", LINE_A) "," EVENT("2", LINE_B)) ENVELOPE(
        "CONTROL_MESSAGE",
        EVENT(
            "",
            "CWL CONTROL MESSAGE")) "\n "
                                    "{\"messageType\":\"DATA_MESSAGE\",\"logGroup\":\"other\",\"logEvents\":[" EVENT(
                                        "3", LINE_A) "]}" ENVELOPE("DATA_MESSAGE", "")
                                        ENVELOPE("DATA_MESSAGE", EVENT("4", LINE_B)));
    ck_assert_uint_eq(seen_count, 4);
    static const char *const ids[] = {"1", "2", "3", "4"}, *const groups[] = {"g", "g", "other",
                                                                              "g"};
    for (size_t i = 0; i < 4; i++) {
        ck_assert_int_eq(seen[i].bad, BAD_NONE);
        ck_assert_str_eq(seen[i].id, ids[i]);
        ck_assert_str_eq(seen[i].group, groups[i]);
    }
    ck_assert_uint_eq(counts->envelopes, 5);
    ck_assert_uint_eq(counts->control_messages, 1);
}
END_TEST

START_TEST(events_without_a_message_are_bad_alone) {
    decode_text(ENVELOPE("DATA_MESSAGE", "{\"id\":\"1\"},{\"message\":5},7," EVENT("2", LINE_A)));
    ck_assert_uint_eq(seen_count, 4);
    assert_bad(0, BAD_ENVELOPE, "{\"id\":\"1\"}");
    assert_bad(1, BAD_ENVELOPE, "{\"message\":5}");
    assert_bad(2, BAD_ENVELOPE, "7");
    assert_good(3, LINE_A);
}
END_TEST

START_TEST(broken_json_costs_no_more_than_it_must) {
    decode_text(
        ENVELOPE("DATA_MESSAGE", EVENT("1", LINE_A) ",{\"id\":tru}") "\n{\"message\":\"" LINE_B
                                                                     "\"}\n" LINE_A);
    ck_assert_uint_eq(seen_count, 4);
    assert_good(0, LINE_A);
    assert_bad(1, BAD_JSON, "{\"id\":tru}]}\n");
    assert_good(2, LINE_B);
    assert_good(3, LINE_A);
    /* Read ahead, because what the events need stands behind them. */
    decode_text("{\"logEvents\":[" EVENT("1", LINE_A) "],\"owner\":\"\\q\"}");
    ck_assert_uint_eq(seen_count, 2);
    assert_good(0, LINE_A);
    assert_bad(1, BAD_JSON, NULL);
    decode_text("{\"a\":");
    assert_bad(0, BAD_JSON, "{\"a\":");
    ck_assert_uint_eq(seen_count, 1);
}
END_TEST

START_TEST(objects_with_a_message) {
    decode_text("{\"message\":\"" LINE_A "\\n\",\"x\":{\"message\":1}}{\"message\":5}\n"
                "{\"other\":\"\\\"\"}[{\"message\":\"" LINE_B "\"},[2],\"x\"]");
    ck_assert_uint_eq(seen_count, 6);
    assert_good(0, LINE_A);
    assert_bad(1, BAD_ENVELOPE, "{\"message\":5}");
    assert_bad(2, BAD_ENVELOPE, "{\"other\":\"\\\"\"}");
    assert_good(3, LINE_B);
    assert_bad(4, BAD_ENVELOPE, "[2]");
    assert_bad(5, BAD_ENVELOPE, "\"x\"");
    ck_assert_uint_eq(counts->message_objects, 2);
}
END_TEST

START_TEST(objects_keyed_by_field_names) {
    decode_text(
        "{\"version\":2,\"account_id\":\"012\",\"srcaddr\":\"10.0.0.1\",\"dst-port\":\"x\\\"\","
        "\"srcport\":\"80\",\"dstport\":443,\"action\":null,\"log-status\":\"OK\",\"deep\":{}}"
        "[{\"srcaddr\":\"10.0.0.2\",\"bytes\":12},{\"srcaddr\":\"10.0.0\",\"bytes\":1},"
        "{\"srcaddr\":\"10.0.0.2\",\"bytes\":1,\"srcaddr\":\"10.0.0.3\"}]");
    ck_assert_uint_eq(seen_count, 4);
    ck_assert_int_eq(seen[0].bad, BAD_NONE);
    ck_assert_str_eq(seen[0].src, "10.0.0.1");
    ck_assert_uint_eq(seen[0].columns, 9);
    ck_assert(!seen[0].plain);
    ck_assert_int_eq(seen[1].bad, BAD_NONE);
    ck_assert(seen[1].plain);
    assert_bad(2, BAD_FORMAT, "{\"srcaddr\":\"10.0.0\",\"bytes\":1}");
    assert_bad(3, BAD_FORMAT, NULL);
    ck_assert_uint_eq(counts->field_objects, 4);
    /* Some words that flow logs have too do not make a flow. */
    decode_text("{\"version\":\"0\",\"region\":\"eu-west-1\",\"account\":\"1\",\"detail\":{}}");
    assert_bad(0, BAD_ENVELOPE, NULL);
}
END_TEST

/* A value that no field can have costs its object, not the record. */
START_TEST(values_that_cannot_be_are_bad_alone) {
    decode_text("{\"srcaddr\":\"10.0.0.1\",\"bytes\":9223372036854775808}\n"
                "{\"srcaddr\":\"10.0.0.\\u0000\",\"bytes\":1}\n"
                "{\"srcaddr\":\"10.0.0.1\",\"bytes\":1,\"new\":18446744073709551616}\n"
                "[{\"message\":\"\\u0000\"},1e999,{\"message\":\"" LINE_A "\"}]\n" LINE_B);
    ck_assert_uint_eq(seen_count, 7);
    assert_bad(0, BAD_FORMAT, NULL);
    assert_bad(1, BAD_FORMAT, NULL);
    ck_assert_int_eq(seen[2].bad, BAD_NONE);
    ck_assert_str_eq(seen[2].src, "10.0.0.1");
    assert_bad(3, BAD_FORMAT, NULL);
    assert_bad(4, BAD_ENVELOPE, "1e999");
    assert_good(5, LINE_A);
    assert_good(6, LINE_B);
    decode_text("{\"\\u0000\":0,\"message\":\"" LINE_A "\"}");
    ck_assert_uint_eq(seen_count, 1);
    assert_good(0, LINE_A);
}
END_TEST

START_TEST(messages_of_several_lines) {
    decode_text("{\"message\":\"" LINE_A "\\r\\n\\n" LINE_B "\\nno flow\"}{\"message\":\"" LINE_A
                "\"}");
    ck_assert_uint_eq(seen_count, 4);
    assert_good(0, LINE_A);
    assert_good(1, LINE_B);
    assert_bad(2, BAD_FORMAT, "no flow");
    assert_good(3, LINE_A);
    decode_text(ENVELOPE("DATA_MESSAGE",
                         EVENT("7", "\\n" LINE_A "\\n" LINE_B "\\n") "," EVENT("8", LINE_B)));
    ck_assert_uint_eq(seen_count, 3);
    assert_good(0, LINE_A);
    assert_good(1, LINE_B);
    assert_good(2, LINE_B);
    ck_assert_str_eq(seen[1].id, "7");
    ck_assert_str_eq(seen[1].group, "g");
    ck_assert_str_eq(seen[2].id, "8");
    ck_assert_uint_eq(seen[0].event_line, 0);
    ck_assert_uint_eq(seen[1].event_line, 1);
    ck_assert_uint_eq(seen[2].event_line, 0);
}
END_TEST

/* More lines than a call hands over. */
START_TEST(message_of_many_lines) {
    static char text[200 * 140 + 100];
    size_t len = (size_t)sprintf(text, "{\"message\":\"");
    for (int i = 0; i < 200; i++) {
        len += (size_t)sprintf(text + len, "%s", i % 2 ? LINE_B "\\n" : LINE_A "\\n");
    }
    strcpy(text + len, "\"}");
    decode_text(text);
    ck_assert_uint_eq(seen_count, 200);
    for (size_t i = 0; i < 200; i++) {
        assert_good(i, i % 2 ? LINE_B : LINE_A);
        ck_assert_uint_eq(seen[i].line_number, i);
    }
}
END_TEST

/* A file's pieces of one object that is larger than a record may be. */
START_TEST(torn_object_is_bad_once) {
    size_t size = 16 << 20;
    char *text = malloc(size);
    memset(text, 'a', size);
    memcpy(text, "{\"message\":\"", 12);
    struct record record = {.data = span_of(text, size),
                            .origin = {.input = SPAN("file"), .stream = SPAN("/x"), .number = 5}};
    decode_record(&record);
    ck_assert_uint_eq(seen_count, 1);
    assert_bad(0, BAD_RECORD_TOO_LARGE, NULL);
    memset(text, 'a', 12);
    record.origin.number += (int64_t)size;
    decode_record(&record);
    ck_assert_uint_eq(seen_count, 0);
    struct record other = {.data = SPAN("aa"),
                           .origin = {.input = SPAN("file"), .stream = SPAN("/y")}};
    other.origin.number = record.origin.number + (int64_t)size;
    decode_record(&other);
    ck_assert_uint_eq(seen_count, 1);
    record.origin.number += (int64_t)size;
    record.data = SPAN("aaa\"}\n" LINE_A "\n");
    decode_record(&record);
    ck_assert_uint_eq(seen_count, 1);
    assert_good(0, LINE_A);
    record.origin.number += (int64_t)record.data.len;
    decode_record(&record);
    ck_assert_uint_eq(seen_count, 2);
    free(text);
}
END_TEST

START_TEST(many_key_sets_stay_bounded) {
    char text[256];
    for (int i = 0; i < 300; i++) {
        snprintf(text, sizeof(text), "{\"srcaddr\":\"10.0.0.1\",\"bytes\":1,\"key%d\":1}", i);
        decode_text(text);
        ck_assert_int_eq(seen[0].bad, BAD_NONE);
    }
    /* In one record there is no more room than that: its flows need their formats. */
    static char all[100 * 60];
    size_t len = 0;
    for (int i = 0; i < 100; i++) {
        len += (size_t)snprintf(all + len, sizeof(all) - len,
                                "{\"srcaddr\":\"10.0.0.1\",\"bytes\":1,\"k%d\":1}", i);
    }
    decode_bytes(span_of(all, len));
    ck_assert_uint_eq(seen_count, 100);
    size_t good = 0;
    for (size_t i = 0; i < seen_count; i++) {
        good += seen[i].bad == BAD_NONE;
    }
    ck_assert_uint_eq(good, 64);
}
END_TEST

START_TEST(gzip_of_all_kinds) {
    static char two[1 << 16];
    struct span member = gzip_of(SPAN(LINE_A "\n"));
    memcpy(two, member.p, member.len);
    size_t len = member.len;
    member = gzip_of(SPAN(ENVELOPE("DATA_MESSAGE", EVENT("1", LINE_B))));
    memcpy(two + len, member.p, member.len);
    decode_bytes(span_of(two, len + member.len));
    ck_assert_uint_eq(seen_count, 2);
    assert_good(0, LINE_A);
    assert_good(1, LINE_B);
    ck_assert_uint_eq(counts->gzip, 1);
    two[len + member.len - 6] ^= 1;
    decode_bytes(span_of(two, len + member.len));
    ck_assert_uint_eq(seen_count, 2);
    assert_good(0, LINE_A);
    assert_bad(1, BAD_GZIP, NULL);
    ck_assert_uint_eq(seen[1].line_len, len + member.len);
}
END_TEST

START_TEST(cut_gzip_gives_what_stood_before_the_cut) {
    struct span lines = gzip_of(SPAN(LINE_A "\n" LINE_B "\n" LINE_A "\n"));
    for (size_t len = 18; len < lines.len; len++) {
        decode_bytes(span_of(lines.p, len));
        ck_assert_uint_ge(seen_count, 1);
        for (size_t i = 0; i + 1 < seen_count; i++) {
            assert_good(i, i == 1 ? LINE_B : LINE_A); /* never a part of a line */
        }
        assert_bad(seen_count - 1, BAD_GZIP, NULL);
    }
    ck_assert_uint_eq(seen_count, 4);
    struct span envelope =
        gzip_of(SPAN(ENVELOPE("DATA_MESSAGE", EVENT("1", LINE_A) "," EVENT("2", LINE_B))));
    for (size_t len = 18; len < envelope.len; len++) {
        decode_bytes(span_of(envelope.p, len));
        ck_assert_uint_ge(seen_count, 1);
        ck_assert_uint_le(seen_count, 3);
        assert_bad(seen_count - 1, BAD_GZIP, NULL);
    }
    ck_assert_uint_eq(seen_count, 3);
    ck_assert_uint_eq(counts->bad[BAD_JSON], 0);
}
END_TEST

START_TEST(ceilings_are_bad_flows) {
    size_t size = (16 << 20) + 1;
    char *big = malloc(size);
    memset(big, 'a', size);
    struct record record = {.data = span_of(big, size)};
    decode_record(&record);
    ck_assert_uint_eq(seen_count, 1);
    assert_bad(0, BAD_RECORD_TOO_LARGE, NULL);
    record.data.len = size - 1;
    big[LINE_BYTES_MAX + 1] = '\n';
    big[2 * LINE_BYTES_MAX + 2] = '\n';
    decode_record(&record);
    ck_assert_uint_eq(seen_count, 3);
    assert_bad(0, BAD_LINE_TOO_LONG, NULL);
    assert_bad(1, BAD_FORMAT, NULL);
    assert_bad(2, BAD_LINE_TOO_LONG, NULL);
    free(big);
    size = (64 << 20) + 1;
    big = calloc(1, size);
    memset(big, '\n', size);
    decode_bytes(gzip_of(span_of(big, size)));
    ck_assert_uint_eq(seen_count, 1);
    assert_bad(0, BAD_INFLATED_TOO_LARGE, NULL);
    decode_bytes(gzip_of(span_of(big, size - 1)));
    ck_assert_uint_eq(seen_count, 0);
    free(big);
}
END_TEST

START_TEST(real_files) {
    static const struct {
        const char *name;
        size_t good, bad;
    } files[] = {
        {"vpcflow/flowlogs-reader/v2_records.log", 4, 0},
        {"vpcflow/flowlogs-reader/v3_file.log", 2, 0},
        {"vpcflow/flowlogs-reader/v5_file.log", 2, 1},
        {"vpcflow/otel-contrib/2025-04-valid_vpc_flow_log.log", 0, 0},
        {"vpcflow/otel-contrib/2025-04-vpc_flow_log_too_few_fields.log", 0, 1},
        {"vpcflow/otel-contrib/2025-04-vpc_flow_log_too_many_fields.log", 0, 1},
        {"vpcflow/otel-contrib/valid_tgw_flow_log.log", 1, 0},
        {"vpcflow/otel-contrib/valid_vpc_flow_log_multi.log", 2, 0},
        {"vpcflow/shippers/grafana-vpcflowlog.log.gz", 3, 0},
        {"vpcflow/shippers/newrelic-entry_vpc_flow_logs.json", 0, 0},
        {"vpcflow/small/slatesuraj-sample_vpc_flow_log.txt", 8, 0},
        {"kinesis/otel-firehose/cwlog/testdata/multiple_resources", 0, 6},
        {"kinesis/otel-firehose/cwlog/testdata/some_invalid_records", 0, 3},
        {"kinesis/otel-firehose/cwlog/testdata/invalid_records", 0, 4},
        {"kinesis/otel-firehose-2025-04/awsfirehoseinternal/unmarshaler/cwlog/testdata/only_control",
         0, 0},
    };
    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        struct span bytes = data_read(files[i].name);
        decode_bytes(bytes);
        size_t good = 0;
        for (size_t k = 0; k < seen_count; k++) {
            good += seen[k].bad == BAD_NONE;
        }
        ck_assert_msg(good == files[i].good && seen_count - good == files[i].bad,
                      "%s: %zu good, %zu bad", files[i].name, good, seen_count - good);
        free((char *)bytes.p);
    }
}
END_TEST

START_TEST(custom_format_of_a_real_envelope) {
    struct format *custom;
    ck_assert_int_eq(
        format_parse(SPAN("${version} ${interface-id} ${srcaddr} ${dstaddr}"), &custom, NULL), 0);
    const struct format *list[] = {formats[0], custom};
    conf.formats = list;
    struct span bytes = data_read("vpcflow/otel-contrib/valid_vpc_flow_cw_custom.json");
    decode_bytes(bytes);
    ck_assert_uint_eq(seen_count, 2);
    assert_good(0, "2 eni-1235b8ca123456789 172.31.16.139 172.31.16.21");
    ck_assert_str_eq(seen[1].src, "172.31.9.69");
    ck_assert_str_eq(seen[1].group, "/aws/vpc/flowlogs");
    ck_assert_int_eq(seen[1].event_ms, 1733430001000);
    format_free(custom);
    free((char *)bytes.p);
}
END_TEST

/* Kinesis records as AWS sends them: gzip in Base64, of other logs than ours. */
START_TEST(real_kinesis_records) {
    struct span bytes = data_read("kinesis/powertools/kinesisStreamCloudWatchLogsEvent.json");
    json_t *all = json_loadb(bytes.p, bytes.len, 0, NULL), *one;
    size_t index, envelopes = 0;
    json_array_foreach(json_object_get(all, "Records"), index, one) {
        json_t *data = json_object_get(json_object_get(one, "kinesis"), "data");
        char *text = strdup(json_string_value(data));
        ssize_t len = base64_decode(span_str(text), text);
        ck_assert_int_gt(len, 0);
        decode_bytes(span_of(text, (size_t)len));
        ck_assert_uint_gt(seen_count, 0);
        for (size_t i = 0; i < seen_count; i++) {
            assert_bad(i, BAD_FORMAT, NULL);
        }
        free(text);
        envelopes++;
    }
    ck_assert_uint_gt(envelopes, 0);
    ck_assert_uint_eq(counts->envelopes, envelopes);
    json_decref(all);
    free((char *)bytes.p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("payload");
    TCase *tests = tcase_create("payload");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, lines_with_any_ends);
    tcase_add_test(tests, no_data_is_counted_and_sent_when_asked_for);
    tcase_add_test(tests, header_lines_hold_to_the_end_of_their_record);
    tcase_add_test(tests, head_of_a_file_holds_for_its_pieces);
    tcase_add_test(tests, envelope_gives_its_events);
    tcase_add_test(tests, members_of_an_envelope_come_in_any_order);
    tcase_add_loop_test(tests, envelopes_follow_each_other_with_and_without_blanks, 0, 5);
    tcase_add_test(tests, events_without_a_message_are_bad_alone);
    tcase_add_test(tests, broken_json_costs_no_more_than_it_must);
    tcase_add_test(tests, objects_with_a_message);
    tcase_add_test(tests, objects_keyed_by_field_names);
    tcase_add_test(tests, values_that_cannot_be_are_bad_alone);
    tcase_add_test(tests, messages_of_several_lines);
    tcase_add_test(tests, message_of_many_lines);
    tcase_add_test(tests, torn_object_is_bad_once);
    tcase_add_test(tests, many_key_sets_stay_bounded);
    tcase_add_test(tests, gzip_of_all_kinds);
    tcase_add_test(tests, cut_gzip_gives_what_stood_before_the_cut);
    tcase_add_test(tests, ceilings_are_bad_flows);
    tcase_add_test(tests, real_files);
    tcase_add_test(tests, custom_format_of_a_real_envelope);
    tcase_add_test(tests, real_kinesis_records);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
