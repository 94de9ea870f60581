/* SPDX-License-Identifier: Apache-2.0 */
/* enrich/networks: the longest prefix names, any trusted one around trusts. */
#include "enrich_help.h"

#define ck_is(addr, id, expected) ck_assert_str_eq(described(&asked, addr, id), expected)

START_TEST(test_names_and_trust) {
    struct asked asked;
    ck_assert_int_eq(asked_open(&asked, &enrich_networks_type,
                                "company: {cidrs: [198.51.100.0/24, \"2001:db8::/32\"],\n"
                                "          trusted: true}\n"
                                "printer: 198.51.100.7\n"
                                "lab: [\"2001:db8:1::/48\", 192.0.2.0/25]\n",
                                "/nowhere"),
                     0);
    ck_is("198.51.100.1", NOTE_NAME, "company");
    ck_is("198.51.100.1", NOTE_TRUSTED, "true");
    ck_is("198.51.100.7", NOTE_NAME, "printer");
    ck_is("198.51.100.7", NOTE_TRUSTED, "true");
    ck_is("2001:db8:1::9", NOTE_NAME, "lab");
    ck_is("2001:db8:1::9", NOTE_TRUSTED, "true");
    ck_is("192.0.2.127", NOTE_NAME, "lab");
    ck_is("192.0.2.127", NOTE_TRUSTED, "false");
    ck_is("192.0.2.128", NOTE_NAME, "-");
    ck_is("192.0.2.128", NOTE_TRUSTED, "false");
    ck_assert_uint_eq(describe(&asked, "198.51.100.7", FACT_INTERNAL)->facts,
                      FACT_INTERNAL | FACT_TRUSTED);
    ck_assert_uint_eq(describe(&asked, "192.0.2.1", 0)->facts, 0);
    asked_close(&asked);
}
END_TEST

START_TEST(test_no_trust_without_a_trusted_network) {
    struct asked asked;
    ck_assert_int_eq(asked_open(&asked, &enrich_networks_type, "all: 0.0.0.0/0", "/nowhere"), 0);
    ck_is("8.8.8.8", NOTE_NAME, "all");
    ck_is("8.8.8.8", NOTE_TRUSTED, "-");
    asked_close(&asked);
    ck_assert_int_eq(asked_open(&asked, &enrich_networks_type, "", "/nowhere"), 0);
    ck_assert_uint_eq(describe(&asked, "8.8.8.8", 0)->note_count, 0);
    asked_close(&asked);
}
END_TEST

START_TEST(test_mistakes) {
    const struct enricher_type *type = &enrich_networks_type;
    ck_assert(is_refused(type, "[10.0.0.0/8]", "map of names"));
    ck_assert(is_refused(type, "a: [10.0.0.0/8]\nb: [10.0.0.0/8]", "already in a"));
    ck_assert(is_refused(type, "a: [10.0.0.0/8]\nb: [10.0.0.0/8]", "t.yaml:2:4"));
    ck_assert(is_refused(type, "a: [10.0.0.0/8, 10.0.0.0/8]", "already in a"));
    ck_assert(is_refused(type, "a: [10.0.0.1/8]", "10.0.0.0/8"));
    ck_assert(is_refused(type, "a: {cidrs: [10.0.0.0/8], trustd: true}", "trusted"));
    ck_assert(is_refused(type, "a: {trusted: true}", "cidrs"));
    ck_assert(is_refused(type, "a: {cidrs: [], trusted: true}", "cidrs"));
    ck_assert(is_refused(type, "a: {cidrs: [\"::/0\"], trusted: true}", "cannot be trusted"));
    ck_assert(is_refused(type, "\"\": [10.0.0.0/8]", "1 to 256"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("networks");
    TCase *tcase = tcase_create("networks");
    tcase_add_test(tcase, test_names_and_trust);
    tcase_add_test(tcase, test_no_trust_without_a_trusted_network);
    tcase_add_test(tcase, test_mistakes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
