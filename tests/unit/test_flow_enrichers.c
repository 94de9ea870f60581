/* SPDX-License-Identifier: Apache-2.0 */
/* enrich/: what follows for a flow from its columns, its interface and its dossiers. */
#include "enrich_help.h"

static struct format *format;
static struct flow flow;
static struct asked asked;

static void set_up(void) {
    struct err err;
    ck_assert_int_eq(format_parse(SPAN("${account-id} ${flow-direction}"), &format, &err), 0);
    memset(&flow, 0, sizeof(flow));
    flow.format = format;
}

static void tear_down(void) {
    format_free(format);
    asked_close(&asked);
}

static void with(const struct enricher_type *type, const char *yaml) {
    ck_assert_int_eq(asked_open(&asked, type, yaml, "/nowhere"), 0);
}

/* Runs the enricher; the note, NULL when it is absent. */
static const struct note *applied(enum note_id id) {
    flow.note_count = flow.scratch_len = 0;
    asked.type->apply(asked.table, &flow);
    for (size_t i = 0; i < flow.note_count; i++) {
        if (flow.notes[i].id == id) {
            return &flow.notes[i];
        }
    }
    return NULL;
}

#define ck_note(id, expected) ck_assert_str_eq(note_text(applied(id)), expected)

/* Names that Graylog's plugin gives, unlike IANA in some. */
START_TEST(test_protocol) {
    static const struct {
        uint8_t number;
        const char *name;
    } known[] = {{0, "IP"},        {1, "ICMP"},       {4, "IP-ENCAP"},  {6, "TCP"},
                 {17, "UDP"},      {41, "IPV6"},      {47, "GRE"},      {50, "ESP"},
                 {51, "AH"},       {58, "IPV6-ICMP"}, {89, "OSPFIGP"},  {103, "PIM"},
                 {112, "VRRP"},    {115, "2TP"},      {132, "SCTP"},    {136, "UDPLite"},
                 {142, "ROHC"},    {254, "DIVERT"},   {61, "UNKNOWN"},  {63, "UNKNOWN"},
                 {68, "UNKNOWN"},  {99, "UNKNOWN"},   {114, "UNKNOWN"}, {134, "UNKNOWN"},
                 {135, "UNKNOWN"}, {143, "UNKNOWN"},  {253, "UNKNOWN"}, {255, "UNKNOWN"}};
    with(&enrich_protocol_type, "");
    ck_note(NOTE_PROTOCOL, "-");
    flow.has = HAS_PROTOCOL;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        flow.protocol = known[i].number;
        ck_note(NOTE_PROTOCOL, known[i].name);
    }
    int named = 0;
    for (int number = 0; number < 256; number++) {
        flow.protocol = (uint8_t)number;
        named += strcmp(note_text(applied(NOTE_PROTOCOL)), "UNKNOWN") != 0;
    }
    ck_assert_int_eq(named, 137);
}
END_TEST

START_TEST(test_duration) {
    with(&enrich_duration_type, "");
    flow.start = 1418530010;
    flow.end = 1418530070;
    ck_note(NOTE_CAPTURE_WINDOW, "-");
    flow.has = HAS_START;
    ck_note(NOTE_CAPTURE_WINDOW, "-");
    flow.has |= HAS_END;
    ck_note(NOTE_CAPTURE_WINDOW, "60");
}
END_TEST

START_TEST(test_tcp_flags) {
    with(&enrich_tcp_flags_type, "");
    flow.tcp_flags = 2;
    ck_note(NOTE_TCP_FLAGS_NAMES, "-");
    flow.has = HAS_TCP_FLAGS;
    ck_note(NOTE_TCP_FLAGS_NAMES, "SYN");
    flow.tcp_flags = 19;
    ck_note(NOTE_TCP_FLAGS_NAMES, "FIN|SYN|ACK");
    flow.tcp_flags = 255;
    ck_note(NOTE_TCP_FLAGS_NAMES, "FIN|SYN|RST|PSH|ACK|URG|ECE|CWR");
    flow.tcp_flags = 0;
    ck_note(NOTE_TCP_FLAGS_NAMES, "-");
}
END_TEST

/* The column wins and is not noted again; the encoder sends it as it stands. */
START_TEST(test_direction_of_the_record) {
    with(&enrich_direction_type, "");
    flow.column[1] = SPAN("ingress");
    ck_note(NOTE_FLOW_DIRECTION, "-");
    ck_assert_int_eq(flow.direction, DIRECTION_INGRESS);
    flow.column[1] = SPAN("egress");
    ck_note(NOTE_FLOW_DIRECTION, "-");
    ck_assert_int_eq(flow.direction, DIRECTION_EGRESS);
    flow.column[1] = SPAN("sideways");
    ck_note(NOTE_FLOW_DIRECTION, "-");
    ck_assert_int_eq(flow.direction, DIRECTION_NONE);
}
END_TEST

START_TEST(test_direction_of_the_interface) {
    struct ipaddr own[] = {address("10.0.0.5"), address("2001:db8::5")};
    struct iface iface = {own, 2};
    with(&enrich_direction_type, "");
    flow.has = HAS_SRC | HAS_DST;
    flow.addr[SIDE_SRC] = address("198.51.100.7");
    flow.addr[SIDE_DST] = own[0];
    ck_note(NOTE_FLOW_DIRECTION, "-");
    flow.iface = &iface;
    ck_note(NOTE_FLOW_DIRECTION, "ingress");
    ck_assert_int_eq(flow.direction, DIRECTION_INGRESS);
    flow.addr[SIDE_SRC] = own[1];
    ck_note(NOTE_FLOW_DIRECTION, "-");
    ck_assert_int_eq(flow.direction, DIRECTION_NONE);
    flow.addr[SIDE_DST] = address("198.51.100.7");
    ck_note(NOTE_FLOW_DIRECTION, "egress");
    ck_assert_int_eq(flow.direction, DIRECTION_EGRESS);
    flow.addr[SIDE_SRC] = address("10.0.0.6");
    ck_note(NOTE_FLOW_DIRECTION, "-");
}
END_TEST

START_TEST(test_role) {
    static const struct {
        int protocol, flags; /* -1: the format lacks it */
        uint16_t src, dst;
        const char *role;
    } flows[] = {
        {6, 2, 40000, 50000, "request"},
        {6, 3, 80, 50000, "request"},
        {6, 18, 40000, 80, "reply"},
        {6, 19, 50000, 50001, "reply"},
        {6, 0, 40000, 443, "request"},
        {6, 4, 443, 40000, "reply"},
        {17, -1, 53, 1024, "reply"},
        {17, -1, 5000, 123, "request"},
        {17, -1, 123, 123, "-"},
        {6, -1, 40000, 8080, "request"},
        {6, -1, 8080, 40000, "reply"},
        {6, -1, 8080, 9090, "-"},
        {6, -1, 40000, 50000, "-"},
        {6, -1, 32767, 32768, "reply"},
        {1, -1, 0, 0, "-"},
        {47, -1, 0, 40000, "-"},
        {-1, -1, 443, 40000, "reply"},
        {132, -1, 2905, 40000, "reply"},
    };
    with(&enrich_role_type, "");
    for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
        flow.has = HAS_SRC_PORT | HAS_DST_PORT;
        flow.has |= flows[i].protocol >= 0 ? HAS_PROTOCOL : 0;
        flow.has |= flows[i].flags >= 0 ? HAS_TCP_FLAGS : 0;
        flow.protocol = (uint8_t)flows[i].protocol;
        flow.tcp_flags = flows[i].flags >= 0 ? (uint8_t)flows[i].flags : 0;
        flow.src_port = flows[i].src;
        flow.dst_port = flows[i].dst;
        const char *role = note_text(applied(NOTE_FLOW_ROLE));
        ck_assert_msg(strcmp(role, flows[i].role) == 0, "%zu: %s", i, role);
        ck_assert_int_eq(flow.role, role[0] == '-'   ? ROLE_NONE
                                    : role[2] == 'q' ? ROLE_REQUEST
                                                     : ROLE_REPLY);
    }
    flow.has = HAS_PROTOCOL | HAS_SRC_PORT;
    ck_note(NOTE_FLOW_ROLE, "-");
}
END_TEST

START_TEST(test_role_ephemeral_from) {
    with(&enrich_role_type, "ephemeral_from: 49152");
    flow.has = HAS_SRC_PORT | HAS_DST_PORT;
    flow.src_port = 33000;
    flow.dst_port = 8080;
    ck_note(NOTE_FLOW_ROLE, "-");
    flow.dst_port = 50000;
    ck_note(NOTE_FLOW_ROLE, "reply");
    ck_assert(is_refused(&enrich_role_type, "ephemeral_from: 80", "1024"));
}
END_TEST

START_TEST(test_threat_indicated) {
    with(&enrich_threat_indicated_type, "");
    ck_note(NOTE_THREAT_INDICATED, "-");
    flow.side[SIDE_SRC].facts = flow.side[SIDE_DST].facts = FACT_THREAT_KNOWN;
    ck_note(NOTE_THREAT_INDICATED, "false");
    flow.side[SIDE_PKT_DST].facts = FACT_THREAT_KNOWN | FACT_THREAT;
    ck_note(NOTE_THREAT_INDICATED, "true");
}
END_TEST

START_TEST(test_accounts) {
    with(&enrich_accounts_type, "{\"123456789012\": production, 000000000001: \"first, old\"}");
    ck_note(NOTE_ACCOUNT_NAME, "-");
    flow.column[0] = SPAN("123456789012");
    ck_note(NOTE_ACCOUNT_NAME, "production");
    flow.column[0] = SPAN("000000000001");
    ck_note(NOTE_ACCOUNT_NAME, "first, old");
    flow.column[0] = SPAN("123456789013");
    ck_note(NOTE_ACCOUNT_NAME, "-");
    flow.column[0] = SPAN("unknown");
    ck_note(NOTE_ACCOUNT_NAME, "-");
    ck_assert(is_refused(&enrich_accounts_type, "{12345: x}", "12 digits"));
    ck_assert(is_refused(&enrich_accounts_type, "{123456789012: [x]}", "t.yaml:1:16"));
    ck_assert(is_refused(&enrich_accounts_type, "{123456789012: }", "123456789012"));
    ck_assert(is_refused(&enrich_accounts_type, "[production]", "map of account ids"));
}
END_TEST

/* Values of the specification's baseline (seed 0, base64). */
START_TEST(test_community_id) {
    static const struct {
        uint8_t protocol;
        const char *src, *dst;
        uint16_t src_port, dst_port;
        const char *id;
    } flows[] = {
        {6, "128.232.110.120", "66.35.250.204", 34855, 80, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
        {6, "66.35.250.204", "128.232.110.120", 80, 34855, "1:LQU9qZlK+B5F3KDmev6m5PMibrg="},
        {17, "192.168.1.52", "8.8.8.8", 54585, 53, "1:d/FP5EW3wiY1vCndhwleRRKHowQ="},
        {132, "192.168.170.8", "192.168.170.56", 7, 7, "1:MP2EtRCAUIZvTw6MxJHLV7N7JDs="},
        {46, "10.1.24.4", "10.1.12.1", 0, 0, "1:/nQI4Rh/TtY3mf0R2gJFBkVlgS4="},
        {6, "2001:470:e5bf:dead:4957:2174:e82c:4887", "2607:f8b0:400c:c03::1a", 63943, 25,
         "1:/qFaeAR+gFe1KYjMzVDsMv+wgU4="},
        {1, "192.168.0.89", "192.168.0.1", 8, 0, "-"},
        {58, "fe80::1", "fe80::2", 135, 0, "-"},
    };
    with(&enrich_community_id_type, "");
    for (size_t i = 0; i < sizeof(flows) / sizeof(flows[0]); i++) {
        flow.has = HAS_SRC | HAS_DST | HAS_PROTOCOL | HAS_SRC_PORT | HAS_DST_PORT;
        flow.protocol = flows[i].protocol;
        flow.addr[SIDE_SRC] = address(flows[i].src);
        flow.addr[SIDE_DST] = address(flows[i].dst);
        flow.src_port = flows[i].src_port;
        flow.dst_port = flows[i].dst_port;
        ck_note(NOTE_COMMUNITY_ID, flows[i].id);
    }
    flow.protocol = 6;
    flow.has &= (uint16_t)~HAS_SRC_PORT;
    ck_note(NOTE_COMMUNITY_ID, "-");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("flow_enrichers");
    TCase *tcase = tcase_create("flow_enrichers");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_protocol);
    tcase_add_test(tcase, test_duration);
    tcase_add_test(tcase, test_tcp_flags);
    tcase_add_test(tcase, test_direction_of_the_record);
    tcase_add_test(tcase, test_direction_of_the_interface);
    tcase_add_test(tcase, test_role);
    tcase_add_test(tcase, test_role_ephemeral_from);
    tcase_add_test(tcase, test_threat_indicated);
    tcase_add_test(tcase, test_accounts);
    tcase_add_test(tcase, test_community_id);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
