/* SPDX-License-Identifier: Apache-2.0 */
/* Messages byte for byte, and what receivers demand of every message. */
#include "output/gelf.h"

#include <jansson.h>
#include <stdio.h>

#include "base/json_write.h"
#include "message_fixture.h"
#include "unit.h"

/* The record of AWS's own documentation, and others that differ from it. */
static const char ssh[] = "2 123456789010 eni-1235b8ca123456789 172.31.16.139 172.31.16.21 20641 "
                          "22 6 20 4249 1418530010 1418530070 ACCEPT OK";
static const char no_data[] = "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 "
                              "1431280934 - NODATA";
static const char ipv6[] = "2 123456789010 eni-1235b8ca123456789 2001:db8:1234:0:8d22:d5e2:0:1 "
                           "2001:DB8::0:2 34892 22 6 54 8855 1477913708 1477913820 ACCEPT OK";

static char memory[1 << 20];

/* The message of a line with a TCP note, without its NUL. */
static struct span message_of(struct fixture *fixture, const struct message_conf *conf) {
    struct buf out;
    buf_over(&out, memory, sizeof(memory));
    fixture_encode(fixture, conf, &out);
    ck_assert(out.data[out.len - 1] == '\0');
    return span_of(out.data, out.len - 1);
}

static void expect_text(struct fixture *fixture, const struct message_conf *conf,
                        const char *wanted) {
    struct span message = message_of(fixture, conf);
    ck_assert_msg(span_eq(message, span_str(wanted)), "%.*s", SPAN_ARG(message));
}

static json_t *json_of(struct fixture *fixture, const struct message_conf *conf) {
    struct span message = message_of(fixture, conf);
    json_error_t error;
    json_t *json = json_loadb(message.p, message.len, JSON_REJECT_DUPLICATES, &error);
    ck_assert_msg(json != NULL, "%s: %.*s", error.text, SPAN_ARG(message));
    return json;
}

/* The value of a field as text, NULL when it is absent; valid until the next call. */
static const char *field_of(struct fixture *fixture, const struct message_conf *conf,
                            const char *name) {
    static char text[512];
    json_t *json = json_of(fixture, conf);
    json_t *value = json_object_get(json, name);
    if (value) {
        char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(15));
        snprintf(text, sizeof(text), "%s", json_is_string(value) ? json_string_value(value) : dump);
        free(dump);
    }
    json_decref(json);
    return value ? text : NULL;
}

static void expect_field(struct fixture *fixture, const struct message_conf *conf, const char *name,
                         const char *wanted) {
    const char *found = field_of(fixture, conf, name);
    if (wanted) {
        ck_assert_msg(found != NULL, "%s is absent", name);
        ck_assert_str_eq(found, wanted);
    } else {
        ck_assert_msg(found == NULL, "%s is %s", name, found ? found : "");
    }
}

/* Opens a line, asks for one field, closes. */
static void expect_of_line(const char *format, const char *line, enum field_set set,
                           const char *name, const char *wanted) {
    struct message_conf conf = {0};
    fixture_conf(&conf, set);
    struct fixture *fixture = fixture_open(format, line);
    flow_note_text(&fixture->flow, NOTE_PROTOCOL, SPAN("TCP"));
    expect_field(fixture, &conf, name, wanted);
    fixture_close(fixture);
}

START_TEST(plugin_set_byte_for_byte) {
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_PLUGIN);
    struct fixture *fixture = fixture_open("default", ssh);
    struct envelope envelope = {.log_group = SPAN("/flow/logs"),
                                .owner = SPAN("123456789010"),
                                .log_stream = SPAN("eni-1235b8ca123456789-all")};
    fixture->flow.envelope = &envelope;
    fixture->flow.event_ms = 1418530010000;
    flow_note_text(&fixture->flow, NOTE_PROTOCOL, SPAN("TCP"));
    flow_note_number(&fixture->flow, NOTE_CAPTURE_WINDOW, 60);
    expect_text(
        fixture, &conf,
        "{\"version\":\"1.1\",\"host\":\"aws-flowlogs\",\"short_message\":\"eni-1235b8ca123456789 "
        "ACCEPT TCP 172.31.16.139:20641 -> 172.31.16.21:22\",\"timestamp\":1418530010.000,"
        "\"level\":6,\"_account_id\":\"123456789010\",\"_interface_id\":\"eni-1235b8ca123456789\","
        "\"_src_port\":20641,\"_dst_port\":22,\"_protocol_number\":6,\"_packets\":20,"
        "\"_bytes\":4249,\"_action\":\"ACCEPT\",\"_log_status\":\"OK\","
        "\"_src_addr\":\"172.31.16.139\",\"_dst_addr\":\"172.31.16.21\",\"_protocol\":\"TCP\","
        "\"_capture_window_duration_seconds\":60,\"_aws_source\":\"true\","
        "\"_aws_log_group\":\"/flow/logs\"}");
    fixture_close(fixture);
}
END_TEST

START_TEST(short_message_leaves_absent_parts_out) {
    static const char *const cases[][3] = {
        {"default", no_data, "flow log NODATA"},
        {"default", ipv6,
         "eni-1235b8ca123456789 ACCEPT TCP 2001:db8:1234:0:8d22:d5e2:0:1:34892 -> "
         "2001:DB8::0:2:22"},
        {"${srcaddr} ${dstaddr} ${srcport} ${dstport}", "10.0.0.1 10.0.0.2 1 2",
         "TCP 10.0.0.1:1 -> 10.0.0.2:2"},
        {"${srcaddr} ${dstaddr} ${action}", "10.0.0.1 10.0.0.2 REJECT",
         "REJECT TCP 10.0.0.1 -> 10.0.0.2"},
        {"${interface-id} ${srcaddr} ${srcport}", "eni-1 10.0.0.1 5", "eni-1 TCP 10.0.0.1:5"},
        {"${interface-id} ${dstaddr} ${dstport}", "eni-1 10.0.0.1 5", "eni-1 TCP 10.0.0.1:5"},
        {"${interface-id} ${srcaddr} ${dstaddr} ${resource-id}",
         "- 10.0.0.1 10.0.0.2 nat-0123456789", "nat-0123456789 TCP 10.0.0.1 -> 10.0.0.2"},
        {"${interface-id} ${srcaddr} ${dstaddr} ${resource-id}", "- 10.0.0.1 10.0.0.2 tgw-1",
         "TCP 10.0.0.1 -> 10.0.0.2"},
        {"${version} ${vpc-id}", "3 vpc-1", "flow log"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_of_line(cases[i][0], cases[i][1], SET_ALL, "short_message", cases[i][2]);
    }
}
END_TEST

START_TEST(columns_have_names_and_types) {
    static const char format[] = "${vpc-id} ${tcp-flags} ${type} ${flow-direction} ${traffic-path} "
                                 "${brand-new} ${source} ${pkt-srcaddr}";
    static const char line[] = "vpc-1 3 IPv4 egress 8 x\xC3\xBC\" y 10.9.8.7";
    expect_of_line(format, line, SET_STANDARD, "_vpc_id", "vpc-1");
    expect_of_line(format, line, SET_STANDARD, "_tcp_flags", "3");
    expect_of_line(format, line, SET_STANDARD, "_traffic_type", NULL);
    expect_of_line(format, line, SET_ALL, "_traffic_type", "IPv4");
    expect_of_line(format, line, SET_ALL, "_traffic_path", "8");
    expect_of_line(format, line, SET_STANDARD, "_brand_new", "x\xC3\xBC\"");
    expect_of_line(format, line, SET_PLUGIN, "_brand_new", NULL);
    expect_of_line(format, line, SET_STANDARD, "_aws_aws_source", "y");
    expect_of_line(format, line, SET_STANDARD, "_aws_source", "true");
    expect_of_line(format, line, SET_STANDARD, "_pkt_src_addr", "10.9.8.7");
    expect_of_line(format, line, SET_PLUGIN, "_pkt_src_addr", NULL);
    expect_of_line("default", no_data, SET_ALL, "_src_addr", NULL);
    expect_of_line("default", no_data, SET_ALL, "_packets", NULL);
    expect_of_line("default", no_data, SET_ALL, "_version", NULL);
    expect_of_line("default", ipv6, SET_PLUGIN, "_dst_addr", "2001:db8::2");
}
END_TEST

static void expect_time(int kind, int64_t event_ms, const char *times, const char *wanted) {
    struct message_conf conf = {.timestamp = kind};
    fixture_conf(&conf, SET_PLUGIN);
    struct fixture *fixture = fixture_open("${start} ${end}", times);
    fixture->flow.event_ms = event_ms;
    expect_field(fixture, &conf, "timestamp", wanted);
    expect_field(fixture, &conf, "_start", kind == TIME_ARRIVAL ? "1418530010" : NULL);
    fixture_close(fixture);
}

START_TEST(timestamp_falls_back) {
    static const char both[] = "1418530010 1418530070";
    expect_time(TIME_EVENT, 1418530080007, both, "1418530080.007");
    expect_time(TIME_EVENT, -1, both, "1418530010.0");
    expect_time(TIME_EVENT, -1, "- 1418530070", "1418530070.0");
    expect_time(TIME_EVENT, -1, "- -", "1600000000.123");
    expect_time(TIME_EVENT, 0, "0 9223372036854775807", "1600000000.123");
    expect_time(TIME_START, 1418530080007, both, "1418530010.0");
    expect_time(TIME_START, 1418530080007, "- -", "1418530080.007");
    expect_time(TIME_END, 1418530080007, both, "1418530070.0");
    expect_time(TIME_ARRIVAL, 1418530080007, both, "1600000000.123");
}
END_TEST

START_TEST(templates_name_fields) {
    struct message_conf conf = {.host = (char *)"fw-${interface_id}",
                                .short_message = (char *)"$5 ${protocol} ${dst_port}/${vpc-id} "
                                                         "${flow_direction}"};
    fixture_conf(&conf, SET_STANDARD);
    struct fixture *fixture = fixture_open("default", ssh);
    flow_note_text(&fixture->flow, NOTE_PROTOCOL, SPAN("TCP"));
    flow_note_text(&fixture->flow, NOTE_FLOW_DIRECTION, SPAN("egress"));
    expect_field(fixture, &conf, "host", "fw-eni-1235b8ca123456789");
    expect_field(fixture, &conf, "short_message", "$5 TCP 22/ egress");
    fixture_close(fixture);
    fixture = fixture_open("${vpc-id} ${log-status}", "- OK");
    expect_field(fixture, &conf, "host", "aws-flowlogs");
    conf.short_message = (char *)"${vpc-id} ";
    expect_field(fixture, &conf, "short_message", "flow log OK");
    fixture_close(fixture);
}
END_TEST

/* Dossiers and notes of all types. */
static struct fixture *enriched(const char *format, const char *line) {
    struct fixture *fixture = fixture_open(format, line);
    struct dossier *src = &fixture->dossiers[SIDE_SRC], *dst = &fixture->dossiers[SIDE_DST];
    dossier_truth(src, NOTE_INTERNAL, SPAN(""), false);
    dossier_text(src, NOTE_NAME, SPAN("office \"M\xC3\xBCnchen\""));
    dossier_text(src, NOTE_NAME, SPAN("a second answer"));
    dossier_truth(src, NOTE_THREAT_INDICATED_SIDE, SPAN(""), true);
    dossier_truth(src, NOTE_THREAT_FEED, SPAN("tor-exit"), true);
    dossier_truth(src, NOTE_THREAT_FEED, SPAN("otx"), true);
    dossier_text(src, NOTE_THREAT_NAME, SPAN("SBL1\0pulse"));
    dossier_text(src, NOTE_GEOLOCATION, SPAN("48.1,11.6"));
    dossier_text(src, NOTE_COUNTRY_CODE, SPAN("DE"));
    dossier_text(src, NOTE_COUNTRY_NAME, SPAN("Germany"));
    dossier_number(src, NOTE_ASN, 3320);
    dossier_text(src, NOTE_AS_ORG, SPAN("Deutsche Telekom AG"));
    dossier_text(src, NOTE_CITY_NAME, SPAN(" "));
    dossier_truth(dst, NOTE_INTERNAL, SPAN(""), true);
    dossier_truth(dst, NOTE_THREAT_INDICATED_SIDE, SPAN(""), false);
    flow_note_text(&fixture->flow, NOTE_PROTOCOL, SPAN("TCP"));
    flow_note_text(&fixture->flow, NOTE_TCP_FLAGS_NAMES, SPAN("SYN\0ACK"));
    flow_note_truth(&fixture->flow, NOTE_THREAT_INDICATED, false);
    flow_note_text(&fixture->flow, NOTE_FLOW_DIRECTION, SPAN("ingress"));
    return fixture;
}

START_TEST(dossiers_become_fields) {
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_STANDARD);
    struct fixture *fixture = enriched("default", ssh);
    expect_field(fixture, &conf, "_src_addr_internal", "false");
    expect_field(fixture, &conf, "_src_addr_name", "office \"M\xC3\xBCnchen\"");
    expect_field(fixture, &conf, "_src_addr_threat_indicated", "true");
    expect_field(fixture, &conf, "_src_addr_threat_indicated_tor_exit", "true");
    expect_field(fixture, &conf, "_src_addr_threat_indicated_otx", "true");
    expect_field(fixture, &conf, "_src_addr_threat_name", "SBL1,pulse");
    expect_field(fixture, &conf, "_src_addr_geolocation", "48.1,11.6");
    expect_field(fixture, &conf, "_src_addr_asn", "3320");
    expect_field(fixture, &conf, "_src_addr_country_name", NULL);
    expect_field(fixture, &conf, "_src_addr_city_name", NULL);
    expect_field(fixture, &conf, "_src_addr_whois_organization", NULL);
    expect_field(fixture, &conf, "_dst_addr_internal", "true");
    expect_field(fixture, &conf, "_dst_addr_threat_indicated", "false");
    expect_field(fixture, &conf, "_threat_indicated", "false");
    expect_field(fixture, &conf, "_tcp_flags_names", NULL);
    expect_field(fixture, &conf, "_flow_direction", "ingress");
    fixture_close(fixture);
}
END_TEST

START_TEST(settings_change_fields) {
    struct message_conf conf = {.whois_names = true,
                                .false_values = FALSE_OMIT,
                                .booleans = BOOLEANS_NATIVE,
                                .lists = LISTS_NATIVE,
                                .full_message = true};
    fixture_conf(&conf, SET_ALL);
    struct fixture *fixture = enriched("default", ssh);
    expect_field(fixture, &conf, "_src_addr_internal", "false");
    expect_field(fixture, &conf, "_dst_addr_threat_indicated", NULL);
    expect_field(fixture, &conf, "_threat_indicated", NULL);
    expect_field(fixture, &conf, "_src_addr_threat_name", "[\"SBL1\",\"pulse\"]");
    expect_field(fixture, &conf, "_tcp_flags_names", "[\"SYN\",\"ACK\"]");
    expect_field(fixture, &conf, "_src_addr_whois_organization", "Deutsche Telekom AG");
    expect_field(fixture, &conf, "_src_addr_whois_country_code", "DE");
    expect_field(fixture, &conf, "full_message", ssh);
    json_t *json = json_of(fixture, &conf);
    ck_assert(json_is_true(json_object_get(json, "_aws_source")));
    ck_assert(json_is_false(json_object_get(json, "_src_addr_internal")));
    ck_assert(json_is_integer(json_object_get(json, "_bytes")));
    ck_assert(json_is_string(json_object_get(json, "_account_id")));
    json_decref(json);
    fixture_close(fixture);
}
END_TEST

START_TEST(column_wins_over_note) {
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_STANDARD);
    struct fixture *fixture = enriched("${srcaddr} ${flow-direction}", "10.0.0.1 egress");
    expect_field(fixture, &conf, "_flow_direction", "egress");
    fixture_close(fixture);
    fixture = enriched("${srcaddr} ${flow-direction}", "10.0.0.1 -");
    expect_field(fixture, &conf, "_flow_direction", "ingress");
    fixture_close(fixture);
}
END_TEST

START_TEST(origin_of_kafka) {
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_ALL);
    struct envelope envelope = {.message_type = SPAN("DATA_MESSAGE"),
                                .owner = SPAN("1234"),
                                .log_group = SPAN("g"),
                                .log_stream = SPAN("s"),
                                .filters = SPAN("a\0b")};
    struct fixture *fixture = fixture_open("default", ssh);
    fixture->flow.envelope = &envelope;
    fixture->record.origin = (struct origin){.input = SPAN("kafka"),
                                             .stream = SPAN("vpc-flow"),
                                             .shard = SPAN("3"),
                                             .number = 1234567890123};
    expect_field(fixture, &conf, "_kafka_topic", "vpc-flow");
    expect_field(fixture, &conf, "_kafka_partition", "3");
    expect_field(fixture, &conf, "_kafka_offset", "1234567890123");
    expect_field(fixture, &conf, "_aws_owner", "1234");
    expect_field(fixture, &conf, "_aws_log_stream", "s");
    expect_field(fixture, &conf, "_aws_kinesis_message_type", "DATA_MESSAGE");
    expect_field(fixture, &conf, "_aws_subscription_filters", "a,b");
    fixture->record.origin.input = SPAN("file");
    expect_field(fixture, &conf, "_kafka_topic", NULL);
    fixture_close(fixture);
}
END_TEST

/* The uid of a flow, in `uid`. */
static void uid_of(struct fixture *fixture, char uid[33]) {
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_ALL);
    const char *found = field_of(fixture, &conf, "_event_uid");
    ck_assert_ptr_nonnull(found);
    ck_assert_uint_eq(strlen(found), 32);
    memcpy(uid, found, 33);
}

START_TEST(event_uid_is_of_the_place) {
    struct fixture *fixture = fixture_open("default", ssh);
    struct envelope envelope = {.log_group = SPAN("group"), .log_stream = SPAN("stream")};
    char first[33], second[33];
    fixture->record.origin = (struct origin){
        .input = SPAN("kafka"), .stream = SPAN("topic"), .shard = SPAN("0"), .number = 7};
    uid_of(fixture, first);
    uid_of(fixture, second);
    ck_assert_str_eq(first, second);
    fixture->flow.line_number = 1;
    uid_of(fixture, second);
    ck_assert_str_ne(first, second);
    fixture->record.origin =
        (struct origin){.input = SPAN("kafka"), .stream = SPAN("topic0"), .number = 7};
    uid_of(fixture, second);
    ck_assert_str_ne(first, second);
    /* An event is itself wherever it was read. */
    fixture->flow.envelope = &envelope;
    fixture->flow.event_id = SPAN("31953106606966983378809025079804211143289615424298221568");
    uid_of(fixture, first);
    fixture->record.origin.number = 8;
    fixture->flow.line_number = 5;
    uid_of(fixture, second);
    ck_assert_str_eq(first, second);
    /* Resends after an upgrade must agree with those before. */
    ck_assert_str_eq(first, "8df0a6585bf84e44a52b7f1235c6da72");
    /* Of several lines in an event the first goes by the event alone. */
    fixture->flow.event_line = 1;
    uid_of(fixture, second);
    ck_assert_str_ne(first, second);
    fixture->flow.event_line = 2;
    uid_of(fixture, first);
    ck_assert_str_ne(first, second);
    fixture_close(fixture);
}
END_TEST

/* However an input cuts a file into pieces, a line in it is the same event. */
START_TEST(event_uid_of_a_file_is_of_the_byte) {
    struct fixture *fixture = fixture_open("default", ssh);
    char first[33], second[33];
    fixture->record.origin =
        (struct origin){.input = SPAN("file"), .stream = SPAN("/a"), .number = 1000};
    uid_of(fixture, first);
    char *piece = malloc(100 + sizeof(ssh));
    memcpy(piece + 100, ssh, sizeof(ssh));
    fixture->record.data = span_of(piece, 100 + sizeof(ssh));
    fixture->flow.line = span_of(piece + 100, sizeof(ssh) - 1);
    fixture->record.origin.number = 900;
    fixture->flow.line_number = 1;
    uid_of(fixture, second);
    ck_assert_str_eq(first, second);
    free(piece);
    fixture_close(fixture);
}
END_TEST

START_TEST(both_paths_give_the_same_bytes) {
    static const char *const lines[] = {ssh, no_data, ipv6};
    for (int set = SET_PLUGIN; set <= SET_ALL; set++) {
        struct message_conf conf = {0};
        fixture_conf(&conf, (enum field_set)set);
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
            struct fixture *fixture = enriched("default", lines[i]);
            ck_assert(fixture->flow.plain);
            struct span fast = message_of(fixture, &conf);
            char *kept = strndup(fast.p, fast.len);
            fixture->flow.plain = false;
            expect_text(fixture, &conf, kept);
            free(kept);
            fixture_close(fixture);
        }
    }
}
END_TEST

START_TEST(room_is_used_to_its_end) {
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_STANDARD);
    struct fixture *fixture = enriched("default", ssh);
    struct span wanted = message_of(fixture, &conf);
    size_t size = wanted.len + 1;
    char *exact = malloc(2 * size);
    void *encoder = gelf_encoder.open(&conf, 0, span_of("", 1));
    struct buf out;
    buf_over(&out, exact, 2 * size - 1);
    ck_assert_int_eq(gelf_encoder.encode(encoder, &fixture->flow, &out), 0);
    ck_assert(out.len == size && memcmp(exact, wanted.p, size) == 0);
    ck_assert_int_eq(gelf_encoder.encode(encoder, &fixture->flow, &out), -1);
    ck_assert(out.overflow && out.len == size);
    buf_over(&out, exact, 2 * size);
    ck_assert_int_eq(gelf_encoder.encode(encoder, &fixture->flow, &out), 0);
    ck_assert_int_eq(gelf_encoder.encode(encoder, &fixture->flow, &out), 0);
    ck_assert(out.len == 2 * size && !out.overflow && memcmp(exact + size, exact, size) == 0);
    gelf_encoder.close(encoder);
    free(exact);
    fixture_close(fixture);
}
END_TEST

START_TEST(long_values_are_cut) {
    enum { LONG = 60000 };
    char *line = malloc(LONG + 1);
    memset(line, 'x', LONG);
    line[LONG] = '\0';
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_STANDARD);
    struct fixture *fixture = fixture_open("${vpc-id} ${az-id}", "a b");
    fixture->flow.column[0] = span_of(line, LONG);
    json_t *json = json_of(fixture, &conf);
    ck_assert_uint_eq(json_string_length(json_object_get(json, "_vpc_id")), JSON_STRING_MAX);
    json_decref(json);
    fixture_close(fixture);
    free(line);
}
END_TEST

/* A dossier that does not fit loses whole fields, never halves of one. */
START_TEST(full_dossier_stays_json) {
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_ALL);
    struct fixture *fixture = enriched("default", ssh);
    for (size_t room = 0; room < 700; room++) {
        char bytes[704] = "{\"x\":0";
        struct buf out;
        buf_over(&out, bytes + 6, room);
        gelf_encoder.encode_dossier(&conf, &fixture->dossiers[SIDE_SRC], &out);
        bytes[6 + out.len] = '}';
        json_t *json = json_loadb(bytes, 7 + out.len, JSON_REJECT_DUPLICATES, NULL);
        ck_assert_msg(json != NULL, "%s", bytes);
        json_decref(json);
    }
    fixture_close(fixture);
}
END_TEST

/* More formats than plans are kept, in turn. */
START_TEST(formats_take_turns) {
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_STANDARD);
    void *encoder = gelf_encoder.open(&conf, 0, SPAN("\n"));
    for (int i = 0; i < 200; i++) {
        char format[64], wanted[32];
        snprintf(format, sizeof(format), "${vpc-id} ${new-%d}", i);
        snprintf(wanted, sizeof(wanted), "\"_new_%d\":\"b\"", i);
        struct fixture *fixture = fixture_open(format, "a b");
        struct buf out;
        buf_over(&out, memory, sizeof(memory));
        ck_assert_int_eq(gelf_encoder.encode(encoder, &fixture->flow, &out), 0);
        ck_assert_ptr_nonnull(strstr(buf_cstr(&out), wanted));
        fixture_close(fixture);
    }
    gelf_encoder.close(encoder);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gelf");
    TCase *tcase = tcase_create("gelf");
    tcase_add_test(tcase, plugin_set_byte_for_byte);
    tcase_add_test(tcase, short_message_leaves_absent_parts_out);
    tcase_add_test(tcase, columns_have_names_and_types);
    tcase_add_test(tcase, timestamp_falls_back);
    tcase_add_test(tcase, templates_name_fields);
    tcase_add_test(tcase, dossiers_become_fields);
    tcase_add_test(tcase, settings_change_fields);
    tcase_add_test(tcase, column_wins_over_note);
    tcase_add_test(tcase, origin_of_kafka);
    tcase_add_test(tcase, event_uid_is_of_the_place);
    tcase_add_test(tcase, event_uid_of_a_file_is_of_the_byte);
    tcase_add_test(tcase, both_paths_give_the_same_bytes);
    tcase_add_test(tcase, room_is_used_to_its_end);
    tcase_add_test(tcase, long_values_are_cut);
    tcase_add_test(tcase, full_dossier_stays_json);
    tcase_add_test(tcase, formats_take_turns);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
