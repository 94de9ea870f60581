/* SPDX-License-Identifier: Apache-2.0 */
/* enrich/feed: each format on its own samples and on real feeds. */
#include "enrich/feed.h"

#include <string.h>

#include "base/buf.h"
#include "data_file.h"
#include "unit.h"

enum { PLAIN, CIDR, SPAMHAUS, SPAMHAUS_JSON, TOR, OTX, CSV };

static struct buf seen; /* "1.2.3.0/24 name|name\n" for each entry */
static struct feed_result result;

static void note_entry(void *context, const struct feed_entry *entry) {
    char text[IPADDR_TEXT_MAX + 4];
    (void)context;
    buf_add(&seen, span_of(text, cidr_format(&entry->prefix, text)));
    for (size_t i = 0; i < entry->name_count; i++) {
        buf_char(&seen, i ? '|' : ' ');
        buf_add(&seen, entry->names[i]);
    }
    buf_char(&seen, '\n');
}

static void parse(int format, int64_t number, struct span text) {
    struct feed_rules rules = {.format = format, .column = number, .threshold = number};
    /* On the heap in its own size, so that a read behind its end is seen. */
    char *copy = malloc(text.len + 1);
    memcpy(copy, text.p, text.len);
    copy = realloc(copy, text.len ? text.len : 1);
    buf_clear(&seen);
    feed_parse(&rules, span_of(copy, text.len), note_entry, NULL, &result);
    free(copy);
}

static void set_up(void) {
    buf_init(&seen, 32 << 20);
}

static void tear_down(void) {
    buf_done(&seen);
}

#define ck_seen(expected) ck_assert_str_eq(buf_cstr(&seen), expected)

START_TEST(test_plain) {
    parse(PLAIN, 1,
          SPAN("\xef\xbb\xbf# list\r\n1.2.3.4\r\n\r\n  5.6.7.0/24 # why\n; c\n// c\n"
               "2001:db8::1\n9.9.9.9\t7\n1.2.3.4/16;x\nexample.com\n1.2.3\n"
               "0.0.0.0/0\n10.0.0.0/7\n2000::/15\n2000::/16\n1.2.3.4-1.2.3.9\n8.8.8.8"));
    ck_seen("1.2.3.4/32\n5.6.7.0/24\n2001:db8::1/128\n9.9.9.9/32\n1.2.0.0/16\n2000::/16\n"
            "8.8.8.8/32\n");
    ck_assert_uint_eq(result.entries, 7);
    ck_assert_uint_eq(result.bad, 6);
    ck_assert_uint_eq(result.bad_line[0], 10);
    ck_assert_uint_eq(result.bad_line[1], 11);
    ck_assert_uint_eq(result.bad_line[4], 14);
    parse(CIDR, 1, SPAN("1.2.3.4\n1.2.3.0/30"));
    ck_seen("1.2.3.4/32\n1.2.3.0/30\n");
}
END_TEST

START_TEST(test_nothing) {
    for (int format = PLAIN; format <= CSV; format++) {
        parse(format, 1, SPAN(""));
        ck_assert_uint_eq(result.entries + result.bad, 0);
        parse(format, 1, SPAN("\n\r\n \t\n"));
        ck_assert_uint_eq(result.entries + result.bad, 0);
    }
}
END_TEST

START_TEST(test_spamhaus) {
    parse(SPAMHAUS, 1,
          SPAN("; Spamhaus DROP\n1.10.16.0/20 ; SBL256894\n1.19.0.0/16;SBL434604\n"
               "2.56.192.0/22 \n2a12:2640::/29 ; SBL1\n; x\nSBL1 ; 1.2.3.4\n"));
    ck_seen("1.10.16.0/20 SBL256894\n1.19.0.0/16 SBL434604\n2.56.192.0/22\n2a12:2640::/29 SBL1\n");
    ck_assert_uint_eq(result.bad, 1);
    ck_assert_uint_eq(result.bad_line[0], 7);
}
END_TEST

START_TEST(test_spamhaus_json) {
    parse(SPAMHAUS_JSON, 1,
          SPAN("{\"cidr\":\"1.10.16.0/20\",\"sblid\":\"SBL256894\",\"rir\":\"apnic\"}\n"
               "{\"cidr\":\"1.19.0.0/16\",\"sblid\":7}\n"
               "{\"type\":\"metadata\",\"timestamp\":1744682874}\n"
               "{\"asn\":932}\n{\"cidr\":\"0.0.0.0/0\"}\n[]\n{\"cidr\":\n"
               "{\"cidr\":\"1.\\u0000\"}\n"));
    ck_seen("1.10.16.0/20 SBL256894\n1.19.0.0/16\n");
    ck_assert_uint_eq(result.bad, 5);
}
END_TEST

START_TEST(test_tor) {
    parse(TOR, 1,
          SPAN("ExitNode 0011BD2485AD45D984EC4159C88FC066E5E3300E\n"
               "Published 2026-08-21 12:03:29\nLastStatus 2026-08-21 13:00:00\n"
               "ExitAddress 162.247.74.201 2026-08-21 13:07:26\n"
               "ExitAddress 2001:db8::5 2026-08-21 13:07:26\nExitAddress\n1.2.3.4\n"));
    ck_seen("162.247.74.201/32\n2001:db8::5/128\n1.2.3.4/32\n");
    ck_assert_uint_eq(result.bad, 1);
}
END_TEST

START_TEST(test_otx) {
    struct span text = SPAN("49.143.32.6#4#2#Malicious Host#KR##37.5,126.9#3\n"
                            "1.2.3.4#9#5#Scanning Host;Malicious Host#US#LA#1,2#3;11\n"
                            "5.6.7.8#1#1##US##1,2#3\n# c\n1.1.1.1\n1.1.1.1#x#2#a\n"
                            "1.1.1.1#11#2#a\n");
    parse(OTX, 1, text);
    ck_seen("49.143.32.6/32 Malicious Host\n1.2.3.4/32 Scanning Host|Malicious Host\n5.6.7.8/32\n");
    ck_assert_uint_eq(result.bad, 3);
    ck_assert_uint_eq(result.below, 0);
    parse(OTX, 3, text);
    ck_seen("1.2.3.4/32 Scanning Host|Malicious Host\n");
    ck_assert_uint_eq(result.below, 2);
    parse(OTX, 6, text);
    ck_assert_uint_eq(result.entries, 0);
    ck_assert_uint_eq(result.below, 3);
}
END_TEST

START_TEST(test_csv) {
    struct span text = SPAN("\"first seen\",\"dst, ip\",port\n# c\n"
                            "\"2021-01-17 07:30:05\",\"67.213.75.205\",443\n"
                            "2021,\"a \"\"b\"\"\", 192.73.238.101\nx, 51.178.161.32 ,1\ny\n"
                            "z,\"1.2.3.4\n"
                            "\"u\"trash,5.6.7.8\n,,\n");
    parse(CSV, 2, text);
    ck_seen("67.213.75.205/32\n51.178.161.32/32\n1.2.3.4/32\n5.6.7.8/32\n");
    ck_assert_uint_eq(result.bad, 3);
    parse(CSV, 3, text);
    ck_seen("192.73.238.101/32\n");
    parse(CSV, 1, SPAN("1.2.3.4,x\n5.6.7.8\n"));
    ck_seen("1.2.3.4/32\n5.6.7.8/32\n");
}
END_TEST

/* Real feeds: nothing in them is left out. */
START_TEST(test_real) {
    static const struct {
        const char *name;
        uint64_t entries;
    } feeds[] = {{"threatintel/cps/alienvault.txt", 609},
                 {"threatintel/cps/cobaltstrike_ips.txt", 2087},
                 {"threatintel/ipsum/levels/6.txt", 318}};
    for (size_t i = 0; i < sizeof(feeds) / sizeof(feeds[0]); i++) {
        struct span text = data_read(feeds[i].name);
        parse(PLAIN, 1, text);
        ck_assert_uint_eq(result.bad, 0);
        ck_assert_uint_eq(result.entries, feeds[i].entries);
        free((char *)text.p);
    }
}
END_TEST

START_TEST(test_real_shared) {
    static const struct {
        const char *name;
        int format;
        uint64_t entries, bad;
    } feeds[] = {{"threatintel/spamhaus/2025-04-drop_v4.json", SPAMHAUS_JSON, 1406, 0},
                 {"threatintel/spamhaus/drop.txt", SPAMHAUS, 0, 0},
                 {"threatintel/spamhaus/drop_ipv6.txt", SPAMHAUS, 0, 0},
                 {"threatintel/ipsum/ipsum.txt", PLAIN, 0, 0},
                 {"threatintel/tor/tor-exit-nodes.lst", TOR, 0, 0},
                 {"threatintel/firehol/firehol_level1.netset", PLAIN, 0, 1},
                 {"threatintel/spamhaus/asn_drop.json", SPAMHAUS_JSON, 0, 201}};
    for (size_t i = 0; i < sizeof(feeds) / sizeof(feeds[0]); i++) {
        struct span text = data_read_shared(feeds[i].name);
        if (text.p) {
            parse(feeds[i].format, 1, text);
            ck_assert_msg(result.bad == feeds[i].bad, "%s: %d bad", feeds[i].name, (int)result.bad);
            if (feeds[i].entries) {
                ck_assert_uint_eq(result.entries, feeds[i].entries);
            } else if (feeds[i].format != SPAMHAUS_JSON) {
                ck_assert_uint_gt(result.entries, 10);
            }
            free((char *)text.p);
        }
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("feed");
    TCase *tcase = tcase_create("feed");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_plain);
    tcase_add_test(tcase, test_nothing);
    tcase_add_test(tcase, test_spamhaus);
    tcase_add_test(tcase, test_spamhaus_json);
    tcase_add_test(tcase, test_tor);
    tcase_add_test(tcase, test_otx);
    tcase_add_test(tcase, test_csv);
    tcase_add_test(tcase, test_real);
    tcase_add_test(tcase, test_real_shared);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
