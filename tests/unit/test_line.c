/* SPDX-License-Identifier: Apache-2.0 */
/* One line to a flow: types, blanks, both twins of the splitter, and real lines of all versions
   with the values that other parsers' tests expect. */
#include "flow/line.h"

#include <jansson.h>
#include <time.h>

#include "data_file.h"
#include "unit.h"

/* The scalar twin, whatever this machine has. */
#undef __SSE2__
#define line_split    scalar_line_split
#define line_fit      scalar_line_fit
#define line_parse    scalar_line_parse
#define line_is_plain scalar_line_is_plain
int line_split(struct span line, struct flow *flow);
int line_fit(const struct format *format, size_t count, struct flow *flow);
int line_parse(const struct format *format, struct span line, struct flow *flow);
bool line_is_plain(struct span text);
#include "flow/line.c"
#undef line_split
#undef line_fit
#undef line_parse
#undef line_is_plain

static struct flow flow;

static struct format *format_of(const char *names) {
    struct format *format;
    struct err err;
    ck_assert_msg(format_from_names(span_str(names), &format, &err) == 0, "%s: %s", names,
                  err.text);
    return format;
}

/* Whether one value stands in a column of that name. */
static bool fits(const char *name, const char *value) {
    struct format *format = format_of(name);
    bool fit = line_parse(format, span_str(value), &flow) == 0;
    format_free(format);
    return fit;
}

START_TEST(default_line_gives_all_values) {
    struct format *format;
    ck_assert_int_eq(format_parse(SPAN("default"), &format, NULL), 0);
    ck_assert_int_eq(line_parse(format,
                                SPAN("2 012345678901 eni-1235b8ca 172.31.16.139 2001:db8::1 20641 "
                                     "22 6 20 4249 1418530010 1418530070 ACCEPT OK"),
                                &flow),
                     0);
    ck_assert_uint_eq(flow.has, HAS_SRC | HAS_DST | HAS_SRC_PORT | HAS_DST_PORT | HAS_PROTOCOL |
                                    HAS_START | HAS_END);
    ck_assert_uint_eq(flow.src_port, 20641);
    ck_assert_uint_eq(flow.dst_port, 22);
    ck_assert_uint_eq(flow.protocol, 6);
    ck_assert_int_eq(flow.start, 1418530010);
    ck_assert_int_eq(flow.end, 1418530070);
    ck_assert_uint_eq(flow.action, ACTION_ACCEPT);
    ck_assert_uint_eq(flow.status, STATUS_OK);
    struct ipaddr addr;
    ck_assert(ipaddr_parse(SPAN("172.31.16.139"), &addr));
    ck_assert(ipaddr_eq(&flow.addr[SIDE_SRC], &addr));
    ck_assert(ipaddr_parse(SPAN("2001:db8::1"), &addr));
    ck_assert(ipaddr_eq(&flow.addr[SIDE_DST], &addr));
    ck_assert(flow.plain);
    ck_assert(span_eq(flow_column(&flow, FIELD_ACCOUNT_ID), SPAN("012345678901")));
    ck_assert(span_eq(flow_column(&flow, FIELD_VPC_ID), SPAN("")));
    format_free(format);
}
END_TEST

START_TEST(times_of_ten_digits_are_exact) {
    struct format *format = format_of("start end");
    ck_assert_int_eq(line_parse(format, SPAN("1234567890 9876543210"), &flow), 0);
    ck_assert_int_eq(flow.start, 1234567890);
    ck_assert_int_eq(flow.end, 9876543210);
    format_free(format);
}
END_TEST

START_TEST(hyphen_is_absent_in_every_column) {
    struct format *format;
    ck_assert_int_eq(format_parse(SPAN("default"), &format, NULL), 0);
    ck_assert_int_eq(line_parse(format, SPAN("- - - - - - - - - - - - - -"), &flow), 0);
    ck_assert_uint_eq(flow.has, 0);
    ck_assert_uint_eq(flow.action, ACTION_NONE);
    ck_assert_uint_eq(flow.status, STATUS_NONE);
    for (size_t i = 0; i < format->count; i++) {
        ck_assert_uint_eq(flow.column[i].len, 0);
    }
    format_free(format);
}
END_TEST

START_TEST(columns_take_their_type_only) {
    static const struct {
        const char *name, *good[6], *bad[6];
    } types[] = {
        {"srcport", {"0", "65535"}, {"65536", "-1", "+1", "080", "80a", "0x50"}},
        {"start",
         {"1418530010", "9999999999", "1000000000", "987654321", "12345678901"},
         {"141853001x", "14185300x0", "1x18530010", "0418530010", "14185300:0", "/418530010"}},
        {"protocol", {"0", "255"}, {"256", "TCP", "00", "6.0"}},
        {"bytes",
         {"0", "9223372036854775807"},
         {"9223372036854775808", "1e3", "99999999999999999999"}},
        {"srcaddr",
         {"10.0.0.1", "::", "2001:db8::1", "::ffff:1.2.3.4"},
         {"10.0.0", "010.0.0.1", "10.0.0.256", "10.0.0.1:80", "fe80::1%eth0", "1.2.3.4.5"}},
        {"action", {"ACCEPT", "REJECT"}, {"accept", "ACCEPTED", "REJEC", "DENY"}},
        {"interface-id",
         {"eni-1235b8ca", "eni-069xxxxxb7a490", "eni-89.160.20.1561aaaaaaaaa", "eni-a-b"},
         {"eni-", "eni", "i-0123", "ENI-1", "eni-a_b", "eni-a/b"}},
        {"account-id", {"unknown", "000000000000", "\xc3\xa9"}, {NULL}},
        {"something-new", {"any,thing:{}", "0"}, {NULL}},
    };
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        for (size_t k = 0; k < 6 && types[i].good[k]; k++) {
            ck_assert_msg(fits(types[i].name, types[i].good[k]), "%s %s", types[i].name,
                          types[i].good[k]);
        }
        for (size_t k = 0; k < 6 && types[i].bad[k]; k++) {
            ck_assert_msg(!fits(types[i].name, types[i].bad[k]), "%s %s", types[i].name,
                          types[i].bad[k]);
        }
    }
}
END_TEST

START_TEST(number_of_columns_must_agree) {
    struct format *format = format_of("version srcaddr dstaddr");
    ck_assert_int_eq(line_parse(format, SPAN("2 10.0.0.1"), &flow), -1);
    ck_assert_int_eq(line_parse(format, SPAN("2 10.0.0.1 10.0.0.2 -"), &flow), -1);
    ck_assert_int_eq(line_parse(format, SPAN(""), &flow), -1);
    ck_assert_int_eq(line_parse(format, SPAN("  \t "), &flow), -1);
    ck_assert_int_eq(line_parse(format, SPAN("2 10.0.0.1 10.0.0.2"), &flow), 0);
    format_free(format);
    char line[FORMAT_COLUMNS_MAX * 2 + 2];
    for (size_t i = 0; i < sizeof(line); i++) {
        line[i] = i % 2 ? ' ' : 'a';
    }
    ck_assert_int_eq(line_split(span_of(line, FORMAT_COLUMNS_MAX * 2), &flow), FORMAT_COLUMNS_MAX);
    ck_assert_int_eq(line_split(span_of(line, sizeof(line)), &flow), -1);
}
END_TEST

START_TEST(runs_of_blanks_and_tabs_are_one) {
    ck_assert_int_eq(line_split(SPAN("  a\t\tb   -\t c "), &flow), 4);
    ck_assert(span_eq(flow.column[0], SPAN("a")));
    ck_assert(span_eq(flow.column[1], SPAN("b")));
    ck_assert(span_eq(flow.column[2], SPAN("")));
    ck_assert(span_eq(flow.column[3], SPAN("c")));
    ck_assert(flow.plain);
}
END_TEST

START_TEST(every_byte_that_needs_escaping_is_seen_wherever_it_stands) {
    for (int byte = 0; byte < 256; byte++) {
        bool odd = (byte < 0x20 && byte != '\t') || byte == '"' || byte == '\\' || byte >= 0x80;
        for (size_t len = 1; len < 150; len += 13) {
            char *line = malloc(len); /* exactly as long, so that reading past it is seen */
            memset(line, 'x', len);
            line[len - 1] = (char)byte;
            line_split(span_of(line, len), &flow);
            ck_assert_msg(flow.plain == !odd, "byte %d at %zu", byte, len - 1);
            ck_assert(line_is_plain(span_of(line, len)) == !odd);
            free(line);
        }
    }
}
END_TEST

START_TEST(twins_agree) {
    static struct flow other;
    static const char bytes[] = "ab1-  \t\"\\\x01\x80.";
    unsigned state = 7;
    for (int round = 0; round < 3000; round++) {
        size_t len = (size_t)round % 300;
        char *line = malloc(len > 0 ? len : 1);
        for (size_t i = 0; i < len; i++) {
            state = state * 1103515245 + 12345;
            /* Mostly letters, so that lines have not only short words. */
            line[i] = (state >> 24) % 3 ? 'w' : bytes[(state >> 16) % (sizeof(bytes) - 1)];
        }
        struct span span = span_of(line, len);
        int count = line_split(span, &flow);
        ck_assert_int_eq(count, scalar_line_split(span, &other));
        ck_assert(line_is_plain(span) == scalar_line_is_plain(span));
        for (int i = 0; i < count; i++) {
            ck_assert_ptr_eq(flow.column[i].p, other.column[i].p);
            ck_assert_uint_eq(flow.column[i].len, other.column[i].len);
        }
        ck_assert(count < 0 || flow.plain == other.plain);
        free(line);
    }
}
END_TEST

/* The text that an expected value has in a line; "" for null. */
static const char *expected_text(const json_t *value, char *out, size_t size) {
    if (json_is_integer(value)) {
        snprintf(out, size, "%lld", (long long)json_integer_value(value));
    } else {
        snprintf(out, size, "%s", json_is_string(value) ? json_string_value(value) : "");
    }
    struct tm when = {0};
    if (strptime(out, "%Y-%m-%dT%H:%M:%SZ", &when)) {
        snprintf(out, size, "%lld", (long long)timegm(&when));
    }
    return out;
}

/* Every member of the expected object is a column of the flow, and every other column is empty. */
static void assert_values(const json_t *expected, const char *where) {
    const char *name;
    json_t *value;
    char text[256];
    size_t given = 0, present = 0;
    json_object_foreach((json_t *)expected, name, value) {
        enum field_id id = field_find(span_str(name));
        ck_assert_msg(id != FIELD_UNKNOWN, "%s: %s", where, name);
        struct span column = flow_column(&flow, id);
        expected_text(value, text, sizeof(text));
        ck_assert_msg(span_eq(column, span_str(text)), "%s: %s is \"%.*s\", not \"%s\"", where,
                      name, SPAN_ARG(column), text);
        given += text[0] != '\0';
    }
    for (size_t i = 0; i < flow.format->count; i++) {
        present += flow.column[i].len > 0;
    }
    ck_assert_msg(present == given, "%s: %zu columns, %zu expected", where, present, given);
}

static void check_file_with_header(const char *log, const char *expected_json) {
    struct span text = data_read(log), rest = text, line, json = data_read(expected_json);
    json_t *expected = json_loadb(json.p, json.len, 0, NULL);
    ck_assert_ptr_nonnull(expected);
    ck_assert(span_cut(&rest, '\n', &line));
    ck_assert(format_is_header(line));
    struct format *format;
    ck_assert_int_eq(format_from_names(line, &format, NULL), 0);
    size_t count = 0;
    while (span_cut(&rest, '\n', &line)) {
        if (line_parse(format, line, &flow) == 0) {
            assert_values(json_array_get(expected, count++), log);
        }
    }
    ck_assert_uint_eq(count, json_array_size(expected));
    json_decref(expected);
    format_free(format);
    free((char *)text.p);
    free((char *)json.p);
}

START_TEST(files_of_flowlogs_reader) {
    check_file_with_header("vpcflow/flowlogs-reader/v3_file.log",
                           "vpcflow/flowlogs-reader/v3_file-expected.json");
    check_file_with_header("vpcflow/flowlogs-reader/v5_file.log",
                           "vpcflow/flowlogs-reader/v5_file-expected.json");
}
END_TEST

START_TEST(records_of_flowlogs_reader) {
    struct span json = data_read("vpcflow/flowlogs-reader/v2-and-misc-expected.json");
    struct span text = data_read("vpcflow/flowlogs-reader/v2_records.log"), rest = text, line;
    json_t *all = json_loadb(json.p, json.len, 0, NULL);
    struct format *format;
    ck_assert_int_eq(format_parse(SPAN("default"), &format, NULL), 0);
    for (int i = 0; span_cut(&rest, '\n', &line); i++) {
        ck_assert_int_eq(line_parse(format, line, &flow), 0);
        if (i == 0) {
            assert_values(json_object_get(all, "FlowRecordTestCase.test_parse"), "first");
        } else if (i == 2) {
            assert_values(json_object_get(all, "FlowRecordTestCase.test_to_dict"), "third");
        } else if (i == 3) {
            ck_assert_uint_eq(flow.status, STATUS_NODATA);
        }
    }
    json_decref(all);
    format_free(format);
    free((char *)text.p);
    free((char *)json.p);
}
END_TEST

START_TEST(bodies_of_the_opensearch_sample) {
    struct span json = data_read("vpcflow/opensearch/amazon_vpc_flow_sample.json");
    json_t *all = json_loadb(json.p, json.len, 0, NULL), *sample;
    struct format *format;
    size_t index;
    ck_assert_int_eq(format_parse(SPAN("default"), &format, NULL), 0);
    ck_assert_uint_gt(json_array_size(all), 20);
    json_array_foreach(all, index, sample) {
        struct span line = span_str(json_string_value(json_object_get(sample, "body")));
        ck_assert_msg(line_parse(format, line, &flow) == 0, "%s", line.p);
        /* The parsed fields beside it agree with the first body only. */
        const json_t *vpc = json_object_get(json_object_get(sample, "aws"), "vpc");
        for (size_t i = 0; i < format->count && index == 0; i++) {
            char text[64], name[64];
            snprintf(name, sizeof(name), "%.*s", SPAN_ARG(format->columns[i].name));
            expected_text(json_object_get(vpc, name), text, sizeof(text));
            ck_assert_msg(span_eq(flow.column[i], span_str(text)), "%s", name);
        }
    }
    json_decref(all);
    format_free(format);
    free((char *)json.p);
}
END_TEST

/* Lines with their formats, which their licence keeps out of the project. */
START_TEST(lines_of_other_parsers) {
    struct span json = data_read_shared("vpcflow/vrl/vrl_tests.json");
    if (!json.p) {
        return;
    }
    json_t *all = json_loadb(json.p, json.len, 0, NULL), *test;
    const char *usual = json_string_value(json_object_get(all, "default_format"));
    static const char *const lists[] = {"must_parse", "exact"};
    size_t index, count = 0;
    for (int list = 0; list < 2; list++) {
        json_array_foreach(json_object_get(all, lists[list]), index, test) {
            const char *names = json_string_value(json_object_get(test, "format"));
            const char *line = json_string_value(json_object_get(test, "line"));
            struct format *format = format_of(names ? names : usual);
            ck_assert_msg(line_parse(format, span_str(line), &flow) == 0, "%s", line);
            if (list == 1) {
                assert_values(json_object_get(test, "expected"), line);
            }
            format_free(format);
            count++;
        }
    }
    ck_assert_uint_gt(count, 30);
    json_decref(all);
    free((char *)json.p);
}
END_TEST

/* Compares what Filebeat's golden event says of a flow, where it says it. */
static void assert_ecs(const json_t *event, const char *line) {
    static const struct {
        enum field_id field;
        const char *path[3];
    } names[] = {
        {FIELD_SRCADDR, {"source", "address"}},
        {FIELD_DSTADDR, {"destination", "address"}},
        {FIELD_SRCPORT, {"source", "port"}},
        {FIELD_DSTPORT, {"destination", "port"}},
        {FIELD_PROTOCOL, {"network", "iana_number"}},
        {FIELD_BYTES, {"source", "bytes"}},
        {FIELD_PACKETS, {"source", "packets"}},
        {FIELD_START, {"event", "start"}},
        {FIELD_END, {"event", "end"}},
        {FIELD_ACCOUNT_ID, {"cloud", "account", "id"}},
        {FIELD_LOG_STATUS, {"aws", "vpcflow", "log_status"}},
        {FIELD_TCP_FLAGS, {"aws", "vpcflow", "tcp_flags"}},
        {FIELD_VPC_ID, {"aws", "vpcflow", "vpc_id"}},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        const json_t *value = event;
        for (int k = 0; k < 3 && names[i].path[k]; k++) {
            value = json_object_get(value, names[i].path[k]);
        }
        char text[256];
        struct span column = flow_column(&flow, names[i].field);
        if (value && flow.format->column_of[names[i].field] >= 0) {
            expected_text(value, text, sizeof(text));
            ck_assert_msg(span_eq(column, span_str(text)), "%s: %s.%s is \"%.*s\", not \"%s\"",
                          line, names[i].path[0], names[i].path[1], SPAN_ARG(column), text);
        }
    }
}

START_TEST(golden_events_of_filebeat) {
    static const struct {
        const char *file, *names;
    } golden[] = {
        {"default-v2-format", "version account-id interface-id srcaddr dstaddr srcport dstport "
                              "protocol packets bytes start end action log-status"},
        {"tcp-flag-sequence",
         "version vpc-id subnet-id instance-id interface-id account-id type srcaddr dstaddr "
         "srcport dstport pkt-srcaddr pkt-dstaddr protocol bytes packets start end action "
         "tcp-flags log-status"},
        {"transit-gateway",
         "version interface-id account-id vpc-id subnet-id instance-id srcaddr dstaddr srcport "
         "dstport protocol tcp-flags type pkt-srcaddr pkt-dstaddr action log-status"},
        {"custom-nat-gateway", "instance-id interface-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr"},
    };
    for (size_t i = 0; i < sizeof(golden) / sizeof(golden[0]); i++) {
        char path[256];
        snprintf(path, sizeof(path), "vpcflow/beats-processor/%s.golden.json", golden[i].file);
        struct span json = data_read_shared(path);
        if (!json.p) {
            return;
        }
        json_t *all = json_loadb(json.p, json.len, 0, NULL), *event;
        struct format *format = format_of(golden[i].names);
        size_t index;
        ck_assert_uint_gt(json_array_size(all), 0);
        json_array_foreach(all, index, event) {
            const char *line = json_string_value(json_object_get(event, "message"));
            ck_assert_msg(line_parse(format, span_str(line), &flow) == 0, "%s", line);
            assert_ecs(event, line);
        }
        json_decref(all);
        format_free(format);
        free((char *)json.p);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("line");
    TCase *tests = tcase_create("line");
    tcase_add_test(tests, default_line_gives_all_values);
    tcase_add_test(tests, times_of_ten_digits_are_exact);
    tcase_add_test(tests, hyphen_is_absent_in_every_column);
    tcase_add_test(tests, columns_take_their_type_only);
    tcase_add_test(tests, number_of_columns_must_agree);
    tcase_add_test(tests, runs_of_blanks_and_tabs_are_one);
    tcase_add_test(tests, every_byte_that_needs_escaping_is_seen_wherever_it_stands);
    tcase_add_test(tests, twins_agree);
    tcase_add_test(tests, files_of_flowlogs_reader);
    tcase_add_test(tests, records_of_flowlogs_reader);
    tcase_add_test(tests, bodies_of_the_opensearch_sample);
    tcase_add_test(tests, lines_of_other_parsers);
    tcase_add_test(tests, golden_events_of_filebeat);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
