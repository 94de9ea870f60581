/* SPDX-License-Identifier: Apache-2.0 */
/* Format strings, header lines, and what unknown names become. */
#include "flow/format.h"

#include <stdio.h>

#include "unit.h"

static struct format *parsed(const char *text) {
    struct err err;
    struct format *format;
    ck_assert_msg(format_parse(span_str(text), &format, &err) == 0, "%s", err.text);
    return format;
}

static void assert_key(const char *name, const char *key) {
    struct format *format;
    ck_assert_int_eq(format_from_names(span_str(name), &format, NULL), 0);
    ck_assert_msg(span_eq(format->columns[0].key, span_str(key)), "%s becomes %.*s, not %s", name,
                  SPAN_ARG(format->columns[0].key), key);
    format_free(format);
}

START_TEST(default_formats_have_their_columns) {
    struct format *v2 = parsed("default"), *tgw = parsed(" tgw-default\n");
    ck_assert_uint_eq(v2->count, 14);
    ck_assert_uint_eq(tgw->count, 36);
    ck_assert_int_eq(v2->column_of[FIELD_LOG_STATUS], 13);
    ck_assert_int_eq(v2->column_of[FIELD_VPC_ID], -1);
    ck_assert_int_eq(tgw->column_of[FIELD_SRCADDR], 16);
    ck_assert_int_eq(tgw->column_of[FIELD_ACTION], -1);
    ck_assert_uint_ne(v2->id, tgw->id);
    format_free(v2);
    format_free(tgw);
}
END_TEST

START_TEST(format_string_keeps_its_order_and_text) {
    struct format *format = parsed("${srcaddr}  ${brand-new} ${tcp-flags}\t${type}");
    ck_assert_uint_eq(format->count, 4);
    ck_assert_str_eq(format->text, "${srcaddr} ${brand-new} ${tcp-flags} ${type}");
    ck_assert_int_eq(format->columns[1].field, FIELD_UNKNOWN);
    ck_assert(span_eq(format->columns[1].name, SPAN("brand-new")));
    ck_assert(span_eq(format->columns[1].key, SPAN("brand_new")));
    ck_assert(span_eq(format->columns[3].key, SPAN("traffic_type")));
    format_free(format);
}
END_TEST

START_TEST(wrong_format_strings_are_told_apart) {
    static const struct {
        const char *text, *told;
    } wrong[] = {
        {"", "without columns"},
        {"${version} srcaddr", "column 2: \"srcaddr\" is not written as ${name}"},
        {"${version} ${}", "column 2"},
        {"${version}${srcaddr}", "column 1"},
        {"${srcaddr} ${dstaddr} ${srcaddr}", "column 3: \"srcaddr\" is there twice"},
        {"${a-b} ${a_b}", "column 2: \"a_b\" is there twice"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct err err;
        struct format *format;
        ck_assert_int_eq(format_parse(span_str(wrong[i].text), &format, &err), -1);
        ck_assert_int_eq(err.kind, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, wrong[i].told), "%s: %s", wrong[i].text, err.text);
        ck_assert_ptr_null(format);
    }
}
END_TEST

START_TEST(columns_are_bounded) {
    char names[FORMAT_COLUMNS_MAX * 8 + 16];
    size_t len = 0;
    struct err err;
    struct format *format;
    for (int i = 0; i < FORMAT_COLUMNS_MAX; i++) {
        len += (size_t)sprintf(names + len, "f%d ", i);
    }
    ck_assert_int_eq(format_from_names(span_of(names, len), &format, &err), 0);
    format_free(format);
    len += (size_t)sprintf(names + len, "more");
    ck_assert_int_eq(format_from_names(span_of(names, len), &format, &err), -1);
    ck_assert_int_eq(err.kind, ERR_DATA);
}
END_TEST

START_TEST(unknown_names_become_keys_that_receivers_take) {
    assert_key("new-field", "new_field");
    assert_key("id", "aws_id");
    assert_key("_id", "aws_id");
    assert_key("source", "aws_aws_source"); /* aws_source is a note */
    assert_key("message", "aws_message");
    assert_key("timestamp", "aws_timestamp");
    assert_key("host", "aws_host");
    assert_key("level", "aws_level");
    assert_key("event.kind", "event_kind");
    assert_key("caf\xc3\xa9", "caf__");
    assert_key("--", "aws_");
    /* What we write ourselves is not ours to give away. */
    assert_key("src-addr-internal", "aws_src_addr_internal");
    assert_key("traffic-type", "aws_traffic_type");
    assert_key("threat-indicated", "aws_threat_indicated");
}
END_TEST

START_TEST(headers_are_known_from_data) {
    static const char *const headers[] = {
        ("version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes "
         "start end action log-status\r"),
        "instance-id interface-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr",
        "account-id action az-id bytes dstaddr new-in-version-99 start end",
        "vpc_id subnet_id",
    };
    static const char *const data[] = {
        "",
        "srcaddr",
        "bogus line",
        "start end action type region", /* words that a tag may hold */
        "2 123456789010 eni-1235b8ca123456789 - - - - - - - 1431280876 1431280934 - NODATA",
        "- eni-1235b8ca123456789 10.0.1.5 10.0.0.220 10.0.1.5 203.0.113.5",
        "i-01234567890123456 eni-1111aaaa2222bbbb3 10.0.1.5 203.0.113.5 10.0.1.5 203.0.113.5",
        "vpc-0461a061 subnet-089e7569",
        "srcaddr one two three",
        "srcaddr dstaddr IPv4",
    };
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        ck_assert_msg(format_is_header(span_str(headers[i])), "%s", headers[i]);
    }
    for (size_t i = 0; i < sizeof(data) / sizeof(data[0]); i++) {
        ck_assert_msg(!format_is_header(span_str(data[i])), "%s", data[i]);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("format");
    TCase *tests = tcase_create("format");
    tcase_add_test(tests, default_formats_have_their_columns);
    tcase_add_test(tests, format_string_keeps_its_order_and_text);
    tcase_add_test(tests, wrong_format_strings_are_told_apart);
    tcase_add_test(tests, columns_are_bounded);
    tcase_add_test(tests, unknown_names_become_keys_that_receivers_take);
    tcase_add_test(tests, headers_are_known_from_data);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
