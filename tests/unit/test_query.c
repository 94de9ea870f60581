/* SPDX-License-Identifier: Apache-2.0 */
/* Graylog's search language: the searches that must work word for word, over messages that the
   encoder made, and each part of the language over small ones. */
#include "flow/query.h"

#include <stdio.h>

#include "message_fixture.h"
#include "unit.h"

static const char q1[] =
    "dst_addr_entity_aws_type:EC2 AND src_addr_internal:false AND (dst_port:80 "
    "OR dst_port:443)";
static const char q2[] = "src_addr_entity_aws_type:RDS AND dst_addr_internal:false";
static const char q3[] = "dst_addr_threat_indicated:true";
static const char q4[] = "src_addr_entity_aws_type:ELB";
static const char q5[] = "src_addr_entity:\"ec2:i-42e0d1ca\" AND dst_addr_entity_aws_type:ELB";
static const char a1[] = "action:ACCEPT AND src_addr_internal:false AND dst_addr_internal:true AND "
                         "dst_port:(22 OR 3389)";
static const char s[] = "inbound_public:true AND suspicious:true";
static const char alert[] = " AND action:ACCEPT AND NOT flow_role:reply AND NOT "
                            "nat_gateway_accept:true";

static struct message_view view;

static void setup(void) {
    message_view_init(&view, 1 << 20);
}

static void teardown(void) {
    message_view_done(&view);
}

static bool asks(const char *text, const char *json) {
    struct query *query = NULL;
    struct err err;
    ck_assert_msg(query_parse(span_str(text), &query, &err) == 0, "%s: %s", text, err.text);
    ck_assert_msg(message_view_parse(&view, span_str(json), &err) == 0, "%s", err.text);
    bool matches = query_matches(query, &view);
    query_free(query);
    return matches;
}

static void expect(const char *text, const char *json, bool wanted) {
    ck_assert_msg(asks(text, json) == wanted, "%s should %smatch %s", text, wanted ? "" : "not ",
                  json);
}

static void expect_error(const char *text, const char *wanted) {
    struct query *query = NULL;
    struct err err;
    ck_assert_msg(query_parse(span_str(text), &query, &err) == -1, "%s", text);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, wanted) != NULL, "%s: %s", text, err.text);
}

/* A constructed flow; more fields of the message may be put behind it. */
struct constructed {
    const char *ends; /* "<src> <dst> <sport> <dport>" */
    const char *action;
    bool src_internal, dst_internal, src_threat, dst_threat;
    const char *more; /* fields that need an inventory, as they stand in a message */
    const char *matches;
};

/* Near misses of each search among them: Q1 has rejected flows too, as it was published. */
static const struct constructed flows[] = {
    {"203.0.113.5 10.0.1.10 50000 443", "ACCEPT", false, true, false, false,
     ",\"_dst_addr_entity_aws_type\":\"EC2\",\"_inbound_public\":\"true\","
     "\"_suspicious\":\"false\"",
     "Q1 "},
    {"10.0.0.20 10.0.1.10 34000 80", "ACCEPT", true, true, false, false,
     ",\"_src_addr_entity_aws_type\":\"ELB\",\"_dst_addr_entity_aws_type\":\"EC2\"", "Q4 "},
    {"10.0.1.10 10.0.0.20 80 34000", "ACCEPT", true, true, false, false,
     ",\"_src_addr_entity\":\"ec2:i-42e0d1ca\",\"_dst_addr_entity_aws_type\":\"ELB\"", "Q5 "},
    {"10.0.2.30 203.0.113.9 3306 40000", "ACCEPT", true, false, false, false,
     ",\"_src_addr_entity_aws_type\":\"RDS\"", "Q2 "},
    {"10.0.2.30 10.0.1.10 3306 41000", "ACCEPT", true, true, false, false,
     ",\"_src_addr_entity_aws_type\":\"RDS\",\"_dst_addr_entity_aws_type\":\"EC2\"", ""},
    {"10.0.1.10 198.51.100.7 45000 6667", "ACCEPT", true, false, false, true,
     ",\"_src_addr_entity_aws_type\":\"EC2\"", "Q3 "},
    {"198.51.100.7 10.0.1.10 6667 45000", "ACCEPT", false, true, true, false,
     ",\"_dst_addr_entity_aws_type\":\"EC2\",\"_inbound_public\":\"false\"", ""},
    {"203.0.113.5 10.0.1.10 50001 22", "ACCEPT", false, true, false, false,
     ",\"_dst_addr_entity_aws_type\":\"EC2\",\"_inbound_public\":\"true\",\"_suspicious\":\"true\"",
     "A1 S "},
    {"203.0.113.5 10.0.1.10 50000 443", "REJECT", false, true, false, false,
     ",\"_dst_addr_entity_aws_type\":\"EC2\"", "Q1 "},
    {"203.0.113.66 10.0.0.40 40000 23", "ACCEPT", false, true, false, false,
     ",\"_dst_addr_entity_aws_type\":\"NAT\",\"_nat_gateway_accept\":\"true\"", ""},
    {"54.10.0.40 10.0.1.10 40000 443", "ACCEPT", true, true, false, false,
     ",\"_src_addr_entity_aws_type\":\"NAT\",\"_dst_addr_entity_aws_type\":\"EC2\"", ""},
    {"203.0.113.66 10.0.0.40 40000 22", "ACCEPT", false, true, false, false,
     ",\"_dst_addr_entity_aws_type\":\"NAT\",\"_nat_gateway_accept\":\"true\"", "A1 "},
    {"10.0.1.10 198.51.100.7 443 50000", "ACCEPT", true, false, false, true,
     ",\"_src_addr_entity_aws_type\":\"EC2\",\"_flow_role\":\"reply\"", "Q3 "},
};

/* The encoder's message of a constructed flow with the further fields put before its brace. */
static void make_message(const struct constructed *flow, char *json, size_t size) {
    char line[256], memory[8192];
    snprintf(line, sizeof(line), "2 123456789010 eni-web %s 6 1 40 1418530010 1418530070 %s OK",
             flow->ends, flow->action);
    struct fixture *fixture = fixture_open("default", line);
    struct dossier *src = &fixture->dossiers[SIDE_SRC], *dst = &fixture->dossiers[SIDE_DST];
    dossier_truth(src, NOTE_INTERNAL, SPAN(""), flow->src_internal);
    dossier_truth(dst, NOTE_INTERNAL, SPAN(""), flow->dst_internal);
    dossier_truth(src, NOTE_THREAT_INDICATED_SIDE, SPAN(""), flow->src_threat);
    dossier_truth(dst, NOTE_THREAT_INDICATED_SIDE, SPAN(""), flow->dst_threat);
    flow_note_text(&fixture->flow, NOTE_PROTOCOL, SPAN("TCP"));
    struct message_conf conf = {0};
    fixture_conf(&conf, SET_STANDARD);
    struct buf out;
    buf_over(&out, memory, sizeof(memory));
    fixture_encode(fixture, &conf, &out);
    snprintf(json, size, "%.*s%s}", (int)out.len - 2, out.data, flow->more);
    fixture_close(fixture);
}

START_TEST(searches_match_word_for_word) {
    static const struct {
        const char *name, *text;
    } searches[] = {{"Q1 ", q1}, {"Q2 ", q2}, {"Q3 ", q3}, {"Q4 ", q4},
                    {"Q5 ", q5}, {"A1 ", a1}, {"S ", s}};
    for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
        char json[8192];
        make_message(&flows[i], json, sizeof(json));
        for (size_t k = 0; k < sizeof(searches) / sizeof(searches[0]); k++) {
            expect(searches[k].text, json, strstr(flows[i].matches, searches[k].name) != NULL);
        }
    }
}
END_TEST

START_TEST(alerts_are_narrower_than_searches) {
    for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
        char json[8192], text[1024];
        make_message(&flows[i], json, sizeof(json));
        snprintf(text, sizeof(text), "%s%s", q1, alert);
        expect(text, json, i == 0);
        snprintf(text, sizeof(text), "%s%s", a1, alert);
        expect(text, json, i == 7);
        snprintf(text, sizeof(text), "%s%s", q3, alert);
        expect(text, json, i == 5);
    }
}
END_TEST

static const char sample[] =
    "{\"version\":\"1.1\",\"host\":\"aws-flowlogs\",\"short_message\":\"eni-1 ACCEPT TCP "
    "10.0.0.1:80 -> 10.0.0.2:443\",\"timestamp\":1418530010.500,\"level\":6,\"_bytes\":"
    "9223372036854775807,\"_action\":\"ACCEPT\",\"_src_addr\":\"2001:db8::1\",\"_port\":80,"
    "\"_name\":\"M\\u00fcnchen (HQ)\",\"_flags\":[\"SYN\",\"ACK\"],\"_inside\":true,"
    "\"_zero\":0,\"_account_id\":\"0123\"}";

START_TEST(values_match_whole) {
    expect("action:ACCEPT", sample, true);
    expect("action:accept", sample, false);
    expect("action:ACC", sample, false);
    expect("_action:ACCEPT", sample, true);
    expect("action:\"ACCEPT\"", sample, true);
    expect("action: ACCEPT", sample, true);
    expect("missing:ACCEPT", sample, false);
    expect("src_addr:\"2001:db8::1\"", sample, true);
    expect("src_addr:2001\\:db8\\:\\:1", sample, true);
    expect("name:\"M\xC3\xBCnchen (HQ)\"", sample, true);
    expect("name:M\xC3\xBCnchen\\ \\(HQ\\)", sample, true);
    expect("source:AWS-flowlogs", sample, true);
    expect("inside:true", sample, true);
    expect("inside:false", sample, false);
    expect("flags:ACK", sample, true);
    expect("flags:RST", sample, false);
}
END_TEST

START_TEST(numbers_match_by_value) {
    expect("port:80", sample, true);
    expect("port:080.0", sample, true);
    expect("port:\"80\"", sample, true);
    expect("port:8", sample, false);
    expect("port:8*", sample, false);
    expect("zero:-0", sample, true);
    expect("account_id:123", sample, false);
    expect("account_id:0123", sample, true);
    expect("bytes:9223372036854775807", sample, true);
    expect("bytes:9223372036854775806", sample, false);
    expect("timestamp:1418530010.5", sample, true);
}
END_TEST

START_TEST(ranges_and_comparisons) {
    expect("port:[80 TO 81]", sample, true);
    expect("port:{80 TO 81]", sample, false);
    expect("port:[79 TO 80}", sample, false);
    expect("port:[9 TO 100]", sample, true);
    expect("port:[* TO 80]", sample, true);
    expect("port:{80 TO *]", sample, false);
    expect("port:>79", sample, true);
    expect("port:>80", sample, false);
    expect("port:>=80", sample, true);
    expect("port:<80", sample, false);
    expect("port:<= 80", sample, true);
    expect("port:(>10 AND <100)", sample, true);
    expect("bytes:>9223372036854775806", sample, true);
    expect("port:[a TO z]", sample, false);
    expect("action:[A TO B]", sample, true);
    expect("action:[B TO C]", sample, false);
    expect("missing:[* TO *]", sample, false);
    expect("port:[* TO *]", sample, true);
    expect("zero:>-1", sample, true);
    expect("zero:<-1", sample, false);
}
END_TEST

START_TEST(wildcards) {
    expect("action:A*", sample, true);
    expect("action:*PT", sample, true);
    expect("action:A*C*T", sample, true);
    expect("action:A?CEPT", sample, true);
    expect("action:A?EPT", sample, false);
    expect("name:M?nchen*", sample, true);
    expect("action:A\\*", sample, false);
    expect("action:\"A*\"", sample, false);
    expect("action:*", sample, true);
    expect("port:*", sample, true);
    expect("missing:*", sample, false);
    expect("*", sample, true);
    expect("*:*", sample, true);
    expect("", sample, true);
    expect("src_addr:2001\\:db8*", sample, true);
}
END_TEST

START_TEST(existence) {
    expect("_exists_:action", sample, true);
    expect("_exists_:missing", sample, false);
    expect("NOT _exists_:missing", sample, true);
    expect("_exists_:_action", sample, true);
}
END_TEST

START_TEST(words_without_field) {
    expect("accept", sample, true);
    expect("ACC", sample, false);
    expect("acc*", sample, true);
    expect("10.0.0.1", sample, true);
    expect("10.0.0.3", sample, false);
    expect("10.0.*", sample, true);
    expect("\"accept tcp\"", sample, true);
    expect("\"tcp accept\"", sample, false);
    expect("eni-1", sample, true);
    expect("message:tcp", sample, true);
    expect("short_message:udp", sample, false);
    expect("aws", sample, false);
}
END_TEST

START_TEST(operators_bind) {
    expect("action:ACCEPT AND port:81", sample, false);
    expect("action:ACCEPT && port:80", sample, true);
    expect("port:81 OR port:80", sample, true);
    expect("port:81 || port:82", sample, false);
    expect("port:81 port:80", sample, true); /* side by side: OR */
    expect("port:81 AND port:80 OR action:ACCEPT", sample, true);
    expect("action:ACCEPT OR port:80 AND port:81", sample, true);
    expect("(action:ACCEPT OR port:80) AND port:81", sample, false);
    expect("NOT port:81 AND port:80", sample, true);
    expect("NOT (port:81 OR port:80)", sample, false);
    expect("NOT NOT port:80", sample, true);
    expect("!port:81", sample, true);
    expect("-port:80", sample, false);
    expect("action:ACCEPT -port:80", sample, false);
    expect("action:ACCEPT NOT port:80", sample, false);
    expect("action:ACCEPT OR NOT port:80", sample, true);
    expect("port:81 +action:ACCEPT", sample, true);
    expect("+port:81 action:ACCEPT", sample, false);
    expect("port:(81 OR 80)", sample, true);
    expect("port:(81 82)", sample, false);
    expect("port:(NOT 80)", sample, false);
    expect("port:((80 OR 81) AND NOT 81)", sample, true);
    expect("action:(\"ACCEPT\" OR REJECT) AND port:80", sample, true);
    expect("action:(A* AND *T)", sample, true);
}
END_TEST

START_TEST(errors_say_where) {
    expect_error("action:", "position 8: a value is missing");
    expect_error("action:ACCEPT AND", "position 18");
    expect_error("AND action:ACCEPT", "position 1: AND and OR");
    expect_error("a OR OR b", "position 6");
    expect_error("a OR", "position 5");
    expect_error("(a", "position 1: a parenthesis");
    expect_error("a)", "position 2");
    expect_error("()", "position 2");
    expect_error("name:\"x", "position 6: a quote");
    expect_error("src_addr:2001:db8::1", "position 14: a colon");
    expect_error("port:[1 TO 2", "position 13");
    expect_error("port:[1 2]", "position 9: a range is written");
    expect_error("port:[a* TO b]", "position 7");
    expect_error("[1 TO 2]", "position 1: a range needs a field");
    expect_error(">5", "position 1");
    expect_error("name:/re/", "position 6: regular");
    expect_error("name:fuzzy~2", "position 11");
    expect_error("name:x^2", "position 7");
    expect_error("na*:x", "position 1: a name");
    expect_error("a:(b:c)", "position 4");
    expect_error("_exists_:*", "position 1");
    expect_error("a\\", "position 2");
    expect_error("a:\xFF", "position 3: not UTF-8");
}
END_TEST

START_TEST(limits_hold) {
    char text[QUERY_BYTES_MAX + 2];
    memset(text, '(', 64);
    text[64] = '\0';
    expect_error(text, "more levels");
    memset(text, 'a', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    expect_error(text, "longer than");
    for (size_t i = 0; i < sizeof(text) - 3; i += 2) {
        memcpy(text + i, "a ", 3);
    }
    expect_error(text, "more terms");
    memset(text, '-', 1001); /* an odd number of NOTs needs no depth */
    strcpy(text + 1001, "tcp");
    expect(text, sample, false);
}
END_TEST

START_TEST(views_refuse_what_is_not_flat) {
    static const char *const bad[] = {
        "", "[]", "{", "{\"a\":{}}", "{\"a\":[[1]]}", "{\"a\":1", "{\"a\":\"\\u0000\"}"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct err err;
        ck_assert_msg(message_view_parse(&view, span_str(bad[i]), &err) == -1, "%s", bad[i]);
        ck_assert_int_eq(err.kind, ERR_DATA);
    }
    expect("a:1", "{\"_a\":1}\nrest", true);
}
END_TEST

static void add_name(void *context, struct span name) {
    char *names = context;
    sprintf(names + strlen(names), "%.*s ", SPAN_ARG(name));
}

START_TEST(fields_of_a_query) {
    struct query *query;
    struct err err;
    char names[200] = "";
    struct span text = SPAN("a:1 AND (word OR _b:[1 TO 2]) NOT _exists_:c OR message:x d:(p OR q)");
    ck_assert_int_eq(query_parse(text, &query, &err), 0);
    query_fields(query, add_name, names);
    ck_assert_str_eq(names, "a b short_message d d ");
    /* All of them, in no order that matters. */
    names[0] = '\0';
    query_names(query, add_name, names);
    ck_assert_uint_eq(strlen(names), strlen("a b short_message d d c short_message "));
    ck_assert_ptr_nonnull(strstr(names, "c "));
    ck_assert(!query_is_blank(query));
    query_free(query);
    ck_assert_int_eq(query_parse(SPAN(" \t"), &query, &err), 0);
    ck_assert(query_is_blank(query));
    query_free(query);
    ck_assert_int_eq(query_parse(SPAN("*"), &query, &err), 0);
    ck_assert(!query_is_blank(query));
    query_free(query);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("query");
    TCase *tcase = tcase_create("query");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, searches_match_word_for_word);
    tcase_add_test(tcase, alerts_are_narrower_than_searches);
    tcase_add_test(tcase, values_match_whole);
    tcase_add_test(tcase, numbers_match_by_value);
    tcase_add_test(tcase, ranges_and_comparisons);
    tcase_add_test(tcase, wildcards);
    tcase_add_test(tcase, existence);
    tcase_add_test(tcase, words_without_field);
    tcase_add_test(tcase, operators_bind);
    tcase_add_test(tcase, errors_say_where);
    tcase_add_test(tcase, limits_hold);
    tcase_add_test(tcase, views_refuse_what_is_not_flat);
    tcase_add_test(tcase, fields_of_a_query);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
