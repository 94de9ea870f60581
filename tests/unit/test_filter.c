/* SPDX-License-Identifier: Apache-2.0 */
/* drop, keep and sample: what is read, which flows are chosen, and that a search sees in the few
   fields that are written for it what it would see in the whole message. */
#include "core/filter.h"

#include <stdio.h>

#include "core/settings.h"
#include "message_fixture.h"
#include "modules.h"
#include "unit.h"

static const char v5[] =
    "${version} ${vpc-id} ${subnet-id} ${instance-id} ${interface-id} ${account-id} ${type} "
    "${srcaddr} ${dstaddr} ${srcport} ${dstport} ${pkt-srcaddr} ${pkt-dstaddr} ${protocol} "
    "${bytes} ${packets} ${start} ${end} ${action} ${tcp-flags} ${log-status} ${flow-direction} "
    "${new-column}";

static const char v3[] =
    "${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr} ${srcport} ${dstport} "
    "${protocol} ${packets} ${bytes} ${start} ${end} ${action} ${log-status} ${flow-direction}";

static const struct {
    const char *format, *line;
} lines[] = {
    {v5, "5 vpc-1 subnet-1 i-1 eni-1 123456789012 IPv4 10.0.0.1 198.51.100.7 40000 443 10.0.0.1 "
         "198.51.100.7 6 1000 10 1600000000 1600000060 ACCEPT 3 OK egress x"},
    {v5, "5 vpc-1 subnet-1 - eni-2 123456789012 IPv4 198.51.100.7 10.0.0.1 22 50000 198.51.100.7 "
         "10.0.9.9 17 40 1 1600000000 1600000060 REJECT 2 OK ingress -"},
    {v5, "5 vpc-2 subnet-2 i-2 eni-3 123456789012 IPv6 2001:DB8::1 2001:db8:0:0::2 0 0 - - 58 0 0 "
         "1600000000 1600000000 ACCEPT - OK - y"},
    {v5, "5 vpc-2 subnet-2 - eni-3 123456789012 - - - - - - - - - - 1600000000 1600000060 - - "
         "SKIPDATA - -"},
    {v3, "3 123456789012 eni-1 10.0.0.1 198.51.100.7 40000 443 6 10 1000 1600000000 1600000060 "
         "ACCEPT OK egress"},
    {v3, "3 123456789012 eni-1 2001:DB8::1 2001:db8:0:0::2 22 3389 17 1 40 1600000000 1600000060 "
         "REJECT OK -"},
    {v3, "3 12345\"\\9012 eni-1 10.0.0.1 198.51.100.7 40000 443 6 10 1000 1600000000 1600000060 "
         "ACCEPT \xC3\xBC\xFF egress"},
};

enum { LINES = sizeof(lines) / sizeof(lines[0]), ROUNDS = 300 };

static struct err err;

/* ---- sample ---- */

START_TEST(a_share_is_one_in_so_many) {
    static const char *const wrong[] = {"",    "10",  "1/",   "1/0",   "2/10", "1/-1",
                                        "1/x", "0.1", "1/ 2", "1/010", "10%",  "1/4294967296"};
    uint64_t one_in = 0;
    ck_assert_int_eq(filter_parse_sample(SPAN("1/10"), &one_in, &err), 0);
    ck_assert_uint_eq(one_in, 10);
    ck_assert_int_eq(filter_parse_sample(SPAN("1/4294967295"), &one_in, &err), 0);
    ck_assert_uint_eq(one_in, UINT32_MAX);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        ck_assert_int_eq(filter_parse_sample(span_str(wrong[i]), &one_in, &err), -1);
        ck_assert_int_eq(err.kind, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, "1/10 sends one flow in ten"), "%s", err.text);
    }
}
END_TEST

static struct flow make_flow(const char *src, const char *dst, int src_port, int dst_port,
                             int protocol) {
    struct flow flow = {.has = HAS_SRC | HAS_DST | HAS_PROTOCOL};
    ck_assert(ipaddr_parse(span_str(src), &flow.addr[SIDE_SRC]));
    ck_assert(ipaddr_parse(span_str(dst), &flow.addr[SIDE_DST]));
    flow.protocol = (uint8_t)protocol;
    flow.src_port = (uint16_t)src_port;
    flow.dst_port = (uint16_t)dst_port;
    flow.has |= src_port > 0 ? HAS_SRC_PORT | HAS_DST_PORT : 0;
    return flow;
}

static uint64_t hash(const char *src, const char *dst, int src_port, int dst_port, int protocol) {
    struct flow flow = make_flow(src, dst, src_port, dst_port, protocol);
    return filter_flow_hash(&flow);
}

/* Written down, as another version must choose the same flows. */
START_TEST(the_hash_stays_what_it_is) {
    ck_assert_uint_eq(hash("10.0.0.1", "198.51.100.7", 40000, 443, 6),
                      UINT64_C(14814443027788152864));
    ck_assert_uint_eq(hash("2001:db8::1", "2001:db8::2", 0, 0, 58), UINT64_C(3289322251439199758));
}
END_TEST

START_TEST(both_directions_fall_together_and_nothing_else) {
    uint64_t there = hash("10.0.0.1", "198.51.100.7", 40000, 443, 6);
    ck_assert_uint_eq(there, hash("198.51.100.7", "10.0.0.1", 443, 40000, 6));
    ck_assert_uint_ne(there, hash("10.0.0.1", "198.51.100.7", 443, 40000, 6));
    ck_assert_uint_ne(there, hash("10.0.0.1", "198.51.100.7", 40001, 443, 6));
    ck_assert_uint_ne(there, hash("10.0.0.1", "198.51.100.7", 40000, 443, 17));
    ck_assert_uint_ne(there, hash("10.0.0.1", "198.51.100.8", 40000, 443, 6));
    ck_assert_uint_ne(hash("10.0.0.1", "10.0.0.2", 0, 0, 1),
                      hash("::ffff:10.0.0.1", "10.0.0.3", 0, 0, 1));
    ck_assert_uint_eq(hash("10.0.0.1", "10.0.0.1", 7, 7, 6), hash("10.0.0.1", "10.0.0.1", 7, 7, 6));
}
END_TEST

/* Of many flows that differ little about a tenth is chosen, and of each the way back too. */
START_TEST(a_tenth_is_about_a_tenth) {
    struct filter_conf conf = {.sample = 10};
    struct filter *filter = filter_open(&conf, NULL, 0);
    size_t passed = 0;
    for (int i = 0; i < 20000; i++) {
        char src[32];
        snprintf(src, sizeof(src), "10.0.%d.%d", i / 250 % 250, i % 250);
        struct flow there = make_flow(src, "10.1.0.1", 1024 + i / 3, 443, 6);
        struct flow back = make_flow("10.1.0.1", src, 443, 1024 + i / 3, 6);
        enum filter_verdict verdict = filter_decide(filter, &there);
        ck_assert_int_eq(filter_decide(filter, &back), verdict);
        ck_assert(verdict == FILTER_PASS || verdict == FILTER_SAMPLED_OUT);
        passed += verdict == FILTER_PASS;
    }
    ck_assert_uint_gt(passed, 1850);
    ck_assert_uint_lt(passed, 2150);
    struct flow gap = {.status = STATUS_SKIPDATA};
    ck_assert_int_eq(filter_decide(filter, &gap), FILTER_PASS);
    filter_close(filter);
}
END_TEST

/* ---- searches ---- */

static void refused(const char *text, const char *why) {
    struct query *query = NULL;
    ck_assert_msg(filter_parse_query(span_str(text), &query, &err) == -1, "%s", text);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, why) != NULL, "%s: %s", text, err.text);
    ck_assert_ptr_null(query);
}

START_TEST(searches_that_lose_messages_in_silence_are_refused) {
    static const char *const good[] = {
        "action:REJECT",
        "*",
        "ssh",
        "src_addr_internal:true AND NOT dst_addr_threat_indicated:true",
        "src_addr_threat_indicated_my_feed:true",
        "source:aws-flowlogs AND message:10.0.0.1",
        "_exists_:a_column_that_aws_may_add",
        "timestamp:>0 level:6 _dst_port:[1 TO 1023]",
        "aws_log_group:\\/x* OR event_uid:0*",
        "tcp_flags_names:*SYN*"};
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct query *query = NULL;
        ck_assert_msg(filter_parse_query(span_str(good[i]), &query, &err) == 0, "%s: %s", good[i],
                      err.text);
        query_free(query);
    }
    refused("", "empty");
    refused("  ", "empty");
    refused("action:(", "position 9");
    refused("acton:ACCEPT", "no message has a field `acton`; did you mean `action`?");
    refused("x AND NOT acton:ACCEPT", "did you mean `action`?");
    refused("src_addr_intrenal:true", "did you mean `src_addr_internal`?");
    refused("src_addr_nonsense_of_all_kinds:true", "no message has a field");
    refused("NOT src_addr_entity:x", "needs an inventory");
}
END_TEST

static void full_view(struct fixture *fixture, struct message_view *view) {
    static struct message_conf conf;
    struct buf message;
    conf = (struct message_conf){0};
    fixture_conf(&conf, SET_ALL);
    buf_init(&message, 1 << 16);
    fixture_encode(fixture, &conf, &message);
    ck_assert_msg(message_view_parse(view, span_of(message.data, message.len - 1), &err) == 0, "%s",
                  err.text);
    buf_done(&message);
}

/* What enrichment would find. */
static void enrich(struct fixture *fixture, size_t line) {
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        struct dossier *dossier = &fixture->dossiers[side];
        dossier_truth(dossier, NOTE_INTERNAL, SPAN(""), side % 2 == line % 2);
        dossier_text(dossier, NOTE_NAME, SPAN("an \"odd\" name"));
        dossier_truth(dossier, NOTE_THREAT_FEED, SPAN("tor"), line == 1);
        dossier_truth(dossier, NOTE_THREAT_INDICATED_SIDE, SPAN(""), line == 1);
        dossier_number(dossier, NOTE_ASN, 64512);
    }
    flow_note_word(&fixture->flow, NOTE_PROTOCOL, line == 1 ? SPAN("UDP") : SPAN("TCP"));
    flow_note_text(&fixture->flow, NOTE_TCP_FLAGS_NAMES, span_of("SYN\0ACK", 7));
    flow_note_word(&fixture->flow, NOTE_FLOW_DIRECTION, SPAN("ingress"));
    flow_note_number(&fixture->flow, NOTE_CAPTURE_WINDOW, 60);
}

static const char *const terms[] = {"action:ACCEPT",
                                    "action:REJECT",
                                    "src_addr_internal:true",
                                    "dst_addr_internal:true",
                                    "NOT dst_addr_internal:true",
                                    "src_addr:10.0.0.1",
                                    "dst_addr:\"2001:db8::2\"",
                                    "src_port:>1024",
                                    "protocol:TCP",
                                    "protocol_number:17",
                                    "bytes:[100 TO 2000]",
                                    "_exists_:new_column",
                                    "new_column:x",
                                    "flow_direction:egress",
                                    "flow_direction:ingress",
                                    "tcp_flags_names:SYN*",
                                    "src_addr_threat_indicated_tor:true",
                                    "src_addr_threat_indicated:true",
                                    "pkt_dst_addr:10.0.9.9",
                                    "dst_addr_name:\"an \\\"odd\\\" name\"",
                                    "src_addr_asn:64512",
                                    "eni",
                                    "UDP",
                                    "source:aws*",
                                    "level:6",
                                    "timestamp:>1600000001",
                                    "capture_window_duration_seconds:<60",
                                    "vpc_id:vpc-1",
                                    "log_status:SKIPDATA",
                                    "log_status:\"\xC3\xBC\xEF\xBF\xBD\"",
                                    "NOT _exists_:src_addr",
                                    "event_uid:0*",
                                    "instance_id:*"};

enum { TERMS = sizeof(terms) / sizeof(terms[0]) };

static void *stiff_open(const struct message_conf *message, size_t style, struct span end) {
    (void)message;
    (void)style;
    (void)end;
    return &err;
}

static int stiff_encode(void *encoder, const struct flow *flow, struct buf *out) {
    (void)encoder;
    (void)flow;
    out->overflow = true;
    return -1;
}

static void stiff_close(void *encoder) {
    (void)encoder;
}

/* An encoder that never writes. */
static const struct encoder_type stiff = {
    .open = stiff_open, .encode = stiff_encode, .close = stiff_close};

static enum filter_verdict decide(const struct settings *settings,
                                  const struct encoder_type *encoder, const struct flow *flow) {
    struct filter *filter = filter_open(&settings->filter, encoder, 0);
    enum filter_verdict verdict = filter_decide(filter, flow);
    filter_close(filter);
    return verdict;
}

/* A configuration's `keep`, asked of a flow as a worker asks it; where it can be answered without
   the encoder, the answer is the same. *quick counts those. */
static bool is_kept(const char *search, struct fixture *fixture, size_t *quick) {
    struct settings *settings;
    struct buf text, errors, unused;
    buf_init(&text, 1 << 12);
    buf_init(&errors, 1 << 12);
    buf_init(&unused, 1 << 16);
    buf_printf(&text, "keep: '%s'\noutputs: [{stdout: {}}]\n", search);
    ck_assert_msg(settings_load_text(buf_span(&text), "t", &flowgelf_modules, &settings, &errors) ==
                      0,
                  "%s", buf_cstr(&errors));
    fixture_encode(fixture, &settings->filter.message, &unused);
    enum filter_verdict verdict = decide(settings, &gelf_encoder, &fixture->flow);
    enum filter_verdict without = decide(settings, &stiff, &fixture->flow);
    ck_assert(verdict == FILTER_PASS || verdict == FILTER_NOT_KEPT);
    ck_assert(without == verdict || without == FILTER_TOO_LARGE);
    *quick += without == verdict;
    settings_free(settings);
    buf_done(&unused);
    buf_done(&errors);
    buf_done(&text);
    return verdict == FILTER_PASS;
}

START_TEST(a_search_sees_the_whole_message) {
    static struct message_view view;
    unsigned random = 7;
    size_t kept = 0, quick = 0;
    struct fixture *fixture = fixture_open(lines[_i].format, lines[_i].line);
    enrich(fixture, (size_t)_i);
    message_view_init(&view, 1 << 16);
    for (int round = 0; round < ROUNDS; round++) {
        char search[512];
        unsigned one = (random = random * 1103515245 + 12345) / 65536 % TERMS;
        unsigned two = (random = random * 1103515245 + 12345) / 65536 % TERMS;
        const char *join = round % 3 == 0 ? "AND" : "OR";
        snprintf(search, sizeof(search), round < TERMS ? "%s" : "%s %s %s",
                 terms[round < TERMS ? round : (int)one], join, terms[two]);
        struct query *query;
        ck_assert_msg(query_parse(span_str(search), &query, &err) == 0, "%s", err.text);
        full_view(fixture, &view);
        bool wanted = query_matches(query, &view);
        query_free(query);
        ck_assert_msg(is_kept(search, fixture, &quick) == wanted, "%s: %d wanted", search, wanted);
        kept += wanted;
    }
    ck_assert_uint_gt(kept, ROUNDS / 10);
    ck_assert_uint_lt(kept, ROUNDS);
    bool is_simple = lines[_i].format == v3 && fixture->flow.plain;
    ck_assert(is_simple ? quick > ROUNDS / 4 : quick < ROUNDS);
    message_view_done(&view);
    fixture_close(fixture);
}
END_TEST

/* drop before keep, and an output's filter of what is left; other settings change nothing. */
START_TEST(one_message_serves_all_searches) {
    static const char text[] =
        "messages: {fields: {set: plugin, omit: [action]}, booleans: native, host: other}\n"
        "drop: 'dst_port:443'\nkeep: 'action:REJECT OR dst_port:443'\n"
        "outputs:\n"
        "  - stdout: {filter: 'source:aws-flowlogs AND src_addr_internal:false'}\n"
        "  - stdout: {filter: 'source:other'}\n"
        "  - stdout: {}\n";
    static const enum filter_verdict wanted[LINES] = {
        FILTER_DROPPED, FILTER_PASS, FILTER_NOT_KEPT, FILTER_NOT_KEPT,
        FILTER_DROPPED, FILTER_PASS, FILTER_DROPPED};
    struct settings *settings;
    struct buf errors;
    buf_init(&errors, 1 << 12);
    ck_assert_msg(settings_load_text(span_str(text), "t", &flowgelf_modules, &settings, &errors) ==
                      0,
                  "%s", buf_cstr(&errors));
    struct filter *filter = filter_open(&settings->filter, &gelf_encoder, 0);
    for (size_t i = 0; i < LINES; i++) {
        struct fixture *fixture = fixture_open(lines[i].format, lines[i].line);
        struct buf unused;
        buf_init(&unused, 1 << 16);
        enrich(fixture, i);
        fixture_encode(fixture, &settings->filter.message, &unused);
        ck_assert_int_eq(filter_decide(filter, &fixture->flow), wanted[i]);
        if (wanted[i] == FILTER_PASS) {
            ck_assert(filter_matches(filter, settings->outputs[0].filter));
            ck_assert(!filter_matches(filter, settings->outputs[1].filter));
        }
        buf_done(&unused);
        fixture_close(fixture);
    }
    ck_assert_ptr_null(settings->outputs[2].filter);
    filter_close(filter);
    settings_free(settings);
    buf_done(&errors);
}
END_TEST

START_TEST(what_cannot_be_written_is_not_decided) {
    struct filter_conf conf = {.writes = true, .reads_base = true};
    struct flow flow = {.bad = BAD_NONE};
    struct filter *filter = filter_open(&conf, &stiff, 0);
    ck_assert_int_eq(filter_decide(filter, &flow), FILTER_TOO_LARGE);
    ck_assert_int_eq(filter_decide(filter, &flow), FILTER_TOO_LARGE);
    filter_close(filter);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("filter");
    TCase *cases = tcase_create("sample");
    tcase_add_test(cases, a_share_is_one_in_so_many);
    tcase_add_test(cases, the_hash_stays_what_it_is);
    tcase_add_test(cases, both_directions_fall_together_and_nothing_else);
    tcase_add_test(cases, a_tenth_is_about_a_tenth);
    suite_add_tcase(suite, cases);
    cases = tcase_create("searches");
    tcase_add_test(cases, searches_that_lose_messages_in_silence_are_refused);
    tcase_add_loop_test(cases, a_search_sees_the_whole_message, 0, LINES);
    tcase_add_test(cases, one_message_serves_all_searches);
    tcase_add_test(cases, what_cannot_be_written_is_not_decided);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
