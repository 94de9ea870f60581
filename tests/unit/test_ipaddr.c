/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses and prefixes: what is taken, what is refused, and that text comes back canonical. */
#include <arpa/inet.h>
#include <stdio.h>

#include "base/ipaddr.h"
#include "unit.h"

static void assert_text(const char *text, const char *canonical) {
    struct ipaddr addr;
    char out[IPADDR_TEXT_MAX];
    ck_assert_msg(ipaddr_parse(span_str(text), &addr), "%s", text);
    size_t len = ipaddr_format(&addr, out);
    ck_assert_msg(span_eq(span_of(out, len), span_str(canonical)), "%s -> %.*s", text, (int)len,
                  out);
}

START_TEST(text_comes_back_canonical) {
    assert_text("0.0.0.0", "0.0.0.0");
    assert_text("255.255.255.255", "255.255.255.255");
    assert_text("10.20.30.40", "10.20.30.40");
    assert_text("2001:DB8:0:0:0:0:0:1", "2001:db8::1");
    assert_text("::", "::");
    assert_text("2001:db8:0:0:1:0:0:1", "2001:db8::1:0:0:1");
    assert_text("2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1");
    assert_text("64:ff9b::192.0.2.33", "64:ff9b::c000:221");
    assert_text("::ffff:10.0.0.1", "::ffff:10.0.0.1");
}
END_TEST

START_TEST(what_is_no_address_is_refused) {
    static const char *const texts[] = {
        "",
        "-",
        "1.2.3",
        "1.2.3.4.5",
        "1.2.3.256",
        "01.2.3.4",
        "1.2.3.04",
        "1..3.4",
        ".1.2.3",
        "1.2.3.",
        "1.2.3.4 ",
        " 1.2.3.4",
        "1.2.3.4/8",
        "a.b.c.d",
        "1.2.3.1000",
        "0x1.2.3.4",
        ":",
        ":::",
        "1::2::3",
        "12345::1",
        "fe80::1%eth0",
        "g::1",
        "1:2:3:4:5:6:7",
        "+1.2.3.4",
        "1:2:3:4:5:6:7:8:9",
        "00.0.0.0",
        "1.2.3.-4",
    };
    struct ipaddr addr;
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        ck_assert_msg(!ipaddr_parse(span_str(texts[i]), &addr), "\"%s\"", texts[i]);
    }
    ck_assert(!ipaddr_parse(span_of("::1\0", 4), &addr));
    ck_assert(!ipaddr_parse(span_of("1.2.3.4\0", 8), &addr));
}
END_TEST

/* Every address of a pseudo-random walk, against the C library in both directions. */
START_TEST(agrees_with_the_c_library) {
    uint32_t random = 1;
    for (int i = 0; i < 200000; i++) {
        random = random * 1664525 + 1013904223;
        struct in_addr wanted = {htonl(random)};
        struct ipaddr addr, made = ipaddr_v4(random);
        char text[INET_ADDRSTRLEN], out[IPADDR_TEXT_MAX];
        inet_ntop(AF_INET, &wanted, text, sizeof(text));
        ck_assert(ipaddr_parse(span_str(text), &addr));
        ck_assert(ipaddr_eq(&addr, &made));
        ck_assert_int_eq(addr.family, IPADDR_V4);
        ck_assert(span_eq(span_of(out, ipaddr_format(&addr, out)), span_str(text)));
    }
}
END_TEST

START_TEST(v6_agrees_with_the_c_library) {
    uint32_t random = 7;
    for (int i = 0; i < 50000; i++) {
        struct ipaddr addr;
        uint8_t wanted[16];
        char text[INET6_ADDRSTRLEN];
        for (int k = 0; k < 16; k++) {
            random = random * 1664525 + 1013904223;
            /* Runs of zeros, so that "::" stands in all places. */
            wanted[k] = random >> 30 ? (uint8_t)0 : (uint8_t)(random >> 16);
        }
        inet_ntop(AF_INET6, wanted, text, sizeof(text));
        ck_assert_msg(ipaddr_parse(span_str(text), &addr), "%s", text);
        ck_assert_msg(memcmp(addr.bytes, wanted, 16) == 0, "%s", text);
        ck_assert_int_eq(addr.family, IPADDR_V6);
    }
}
END_TEST

START_TEST(families_do_not_mix) {
    struct ipaddr v4, v6;
    ck_assert(ipaddr_parse(SPAN("10.0.0.1"), &v4));
    ck_assert(ipaddr_parse(SPAN("::ffff:10.0.0.1"), &v6));
    ck_assert(!ipaddr_eq(&v4, &v6));
}
END_TEST

START_TEST(prefixes) {
    struct cidr cidr;
    char out[IPADDR_TEXT_MAX + 4];
    ck_assert_int_eq(cidr_parse(SPAN("10.128.0.0/9"), &cidr, NULL), 0);
    ck_assert(span_eq(span_of(out, cidr_format(&cidr, out)), SPAN("10.128.0.0/9")));
    ck_assert_int_eq(cidr_parse(SPAN("2001:db8::1"), &cidr, NULL), 0);
    ck_assert_int_eq(cidr.bits, 128);
    ck_assert_int_eq(cidr_parse(SPAN("2001:db8::/33"), &cidr, NULL), 0);
    ck_assert(span_eq(span_of(out, cidr_format(&cidr, out)), SPAN("2001:db8::/33")));
}
END_TEST

START_TEST(bad_prefixes_say_what_was_meant) {
    struct cidr cidr;
    struct err err;
    ck_assert_int_eq(cidr_parse(SPAN("10.1.2.3/8"), &cidr, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "10.0.0.0/8"));
    ck_assert_int_eq(cidr_parse(SPAN("10.0.0.0/33"), &cidr, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "0 to 32"));
    ck_assert_int_eq(cidr_parse(SPAN("::/129"), &cidr, &err), -1);
    ck_assert_int_eq(cidr_parse(SPAN("10.0.0.0/"), &cidr, &err), -1);
    ck_assert_int_eq(cidr_parse(SPAN("/8"), &cidr, &err), -1);
    ck_assert_int_eq(cidr_parse(SPAN(""), &cidr, &err), -1);
    ck_assert_int_eq(err.kind, ERR_DATA);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("ipaddr");
    TCase *cases = tcase_create("addresses");
    tcase_add_test(cases, text_comes_back_canonical);
    tcase_add_test(cases, what_is_no_address_is_refused);
    tcase_add_test(cases, agrees_with_the_c_library);
    tcase_add_test(cases, v6_agrees_with_the_c_library);
    tcase_add_test(cases, families_do_not_mix);
    tcase_add_test(cases, prefixes);
    tcase_add_test(cases, bad_prefixes_say_what_was_meant);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
