/* SPDX-License-Identifier: Apache-2.0 */
/* enrich/internal: what counts as one's own. */
#include "enrich_help.h"

static const struct {
    const char *addr;
    bool by_default, configured;
} addresses[] = {
    {"10.0.0.0", true, true},
    {"10.255.255.255", true, true},
    {"9.255.255.255", false, false},
    {"11.0.0.0", false, false},
    {"172.16.0.0", true, true},
    {"172.31.255.255", true, true},
    {"172.15.255.255", false, false},
    {"172.32.0.0", false, false},
    {"192.168.255.255", true, true},
    {"192.169.0.0", false, false},
    {"169.254.169.254", true, true},
    {"127.0.0.1", true, true},
    {"100.64.0.1", false, true},
    {"192.0.2.1", false, false},
    {"203.0.113.5", false, true},
    {"0.0.0.0", false, false},
    {"224.0.0.1", false, false},
    {"255.255.255.255", false, false},
    {"fc00::", true, true},
    {"fdff:ffff::1", true, true},
    {"fe00::", false, false},
    {"fe80::1", true, true},
    {"febf::1", true, true},
    {"fec0::1", false, false},
    {"::1", true, true},
    {"::2", false, false},
    {"2001:db8::1", false, true},
    {"2001:db9::1", false, false},
    {"::ffff:10.0.0.1", false, false},
    {"2600:1f00::1", false, false},
};

static void check_all(const char *yaml, bool configured) {
    struct asked asked;
    ck_assert_int_eq(asked_open(&asked, &enrich_internal_type, yaml, "/nowhere"), 0);
    for (size_t i = 0; i < sizeof(addresses) / sizeof(addresses[0]); i++) {
        bool expected = configured ? addresses[i].configured : addresses[i].by_default;
        const struct dossier *dossier = describe(&asked, addresses[i].addr, 0);
        const struct note *note = dossier_find(dossier, NOTE_INTERNAL);
        ck_assert_msg(note != NULL && note->truth == expected, "%s", addresses[i].addr);
        ck_assert_uint_eq(dossier->facts, expected ? FACT_INTERNAL : 0);
    }
    asked_close(&asked);
}

START_TEST(test_defaults) {
    check_all("", false);
}
END_TEST

START_TEST(test_configured) {
    check_all("networks: [100.64.0.0/10, 203.0.113.5, \"2001:db8::/32\"]", true);
}
END_TEST

START_TEST(test_never_the_whole_internet) {
    ck_assert(is_refused(&enrich_internal_type, "networks: [10.0.0.0/8, 0.0.0.0/0]", "1:24"));
    ck_assert(is_refused(&enrich_internal_type, "networks: \"::/0\"", "whole Internet"));
    ck_assert(is_refused(&enrich_internal_type, "networks: [10.0.0.1/8]", "10.0.0.0/8"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("internal");
    TCase *tcase = tcase_create("internal");
    tcase_add_test(tcase, test_defaults);
    tcase_add_test(tcase, test_configured);
    tcase_add_test(tcase, test_never_the_whole_internet);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
