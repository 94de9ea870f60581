/* SPDX-License-Identifier: Apache-2.0 */
/* aws/xml: the tree of a reply, the shapes of AWS' lists and errors, and everything refused. */
#include "aws/xml.h"

#include <glob.h>
#include <string.h>

#include "base/buf.h"
#include "data_file.h"
#include "unit.h"

static struct xml *parse(const char *text) {
    struct xml *xml;
    struct err err = {0};
    ck_assert_msg(xml_parse(span_str(text), &xml, &err) == 0, "%s", err.text);
    ck_assert_ptr_nonnull(xml_root(xml));
    return xml;
}

static void refuse(struct span text, const char *expected) {
    struct xml *xml = NULL;
    struct err err = {0};
    ck_assert_int_eq(xml_parse(text, &xml, &err), -1);
    ck_assert_int_eq(err.kind, ERR_DATA);
    ck_assert_ptr_null(xml);
    ck_assert_msg(strstr(err.text, expected) != NULL, "\"%s\" and not \"%s\"", err.text, expected);
}

START_TEST(test_list) {
    struct xml *xml = parse(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
        "<DescribeNetworkInterfacesResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15/\">\n"
        "  <requestId>ab-1</requestId>\n"
        "  <networkInterfaceSet>\n"
        "    <item><networkInterfaceId>eni-1</networkInterfaceId><description/></item>\n"
        "    <!-- a remark -->\n"
        "    <item><networkInterfaceId>eni-2</networkInterfaceId>\n"
        "      <description> a &amp; b\n</description>"
        "<association><publicIp>192.0.2.1</publicIp></association></item>\n"
        "  </networkInterfaceSet>\n"
        "  <tagSet/>\n"
        "</DescribeNetworkInterfacesResponse>\n");
    const struct xml_element *root = xml_root(xml);
    ck_assert_str_eq(xml_name(root), "DescribeNetworkInterfacesResponse");
    ck_assert_str_eq(xml_text(root, "requestId"), "ab-1");
    ck_assert_str_eq(xml_text(root, ""), "");
    const struct xml_element *item = xml_first(xml_child(root, "networkInterfaceSet"));
    ck_assert_str_eq(xml_name(item), "item");
    ck_assert_str_eq(xml_text(item, "networkInterfaceId"), "eni-1");
    ck_assert_str_eq(xml_text(item, "description"), "");
    ck_assert_str_eq(xml_text(item, "association/publicIp"), "");
    item = xml_next(item);
    ck_assert_str_eq(xml_text(item, "networkInterfaceId"), "eni-2");
    ck_assert_str_eq(xml_text(item, "description"), "a & b");
    ck_assert_str_eq(xml_text(item, "association/publicIp"), "192.0.2.1");
    ck_assert_ptr_null(xml_next(item));
    ck_assert_ptr_null(xml_first(xml_child(root, "tagSet")));
    ck_assert_ptr_null(xml_child(root, "networkInterfaceSet/item/nothing/deeper"));
    ck_assert_ptr_null(xml_child(NULL, "a"));
    ck_assert_ptr_null(xml_first(NULL));
    ck_assert_ptr_null(xml_next(NULL));
    ck_assert_str_eq(xml_text(NULL, "a"), "");
    xml_free(xml);
}
END_TEST

START_TEST(test_namespaces_and_texts) {
    struct xml *xml =
        parse("<s:a xmlns:s=\"urn:x\" s:b=\"c\"><s:b>1<![CDATA[<&]]>2</s:b>"
              "<c>&lt;&gt;&quot;&apos;&#65;&#x20ac;</c><d>mixed<e>in</e>text</d></s:a>");
    const struct xml_element *root = xml_root(xml);
    ck_assert_str_eq(xml_name(root), "a");
    ck_assert_str_eq(xml_text(root, "b"), "1<&2");
    ck_assert_str_eq(xml_text(root, "c"), "<>\"'A\xe2\x82\xac");
    ck_assert_str_eq(xml_text(root, "d"), "");
    ck_assert_str_eq(xml_text(root, "d/e"), "in");
    xml_free(xml);
    xml = parse("<?xml version='1.0' encoding='ISO-8859-1'?><a>\xe4\xe4\xe4\xe4\xe4</a>");
    ck_assert_str_eq(xml_text(xml_root(xml), ""), "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4");
    xml_free(xml);
    xml_free(NULL);
}
END_TEST

START_TEST(test_refusals) {
    refuse(SPAN(""), "line 1, column 1: no element found");
    refuse(SPAN("  \n "), "no element found");
    refuse(SPAN("{\"a\": 1}"), "line 1, column 1: not well-formed");
    refuse(SPAN("<a>\n  <b></a>"), "line 2, column 8: mismatched tag");
    refuse(SPAN("<a><b>"), "no element found");
    refuse(SPAN("<a/><a/>"), "junk after document element");
    refuse(SPAN("<a>&nbsp;</a>"), "undefined entity");
    refuse(SPAN("<a>\xff</a>"), "not well-formed");
    refuse(span_of("<a>\0</a>", 8), "not well-formed");
    refuse(SPAN("<a b='1' b='2'/>"), "duplicate attribute");
    refuse(SPAN("<?xml version='1.0' encoding='EBCDIC'?><a/>"), "encoding");
}
END_TEST

START_TEST(test_document_types) {
    refuse(SPAN("<!DOCTYPE a><a/>"), "a document type is not accepted");
    refuse(SPAN("<!DOCTYPE a SYSTEM 'file:///etc/passwd'><a/>"), "a document type");
    refuse(SPAN("<!DOCTYPE l [<!ENTITY l0 'ha'><!ENTITY l1 '&l0;&l0;&l0;&l0;'>"
                "<!ENTITY l2 '&l1;&l1;&l1;&l1;'>]><l>&l2;</l>"),
           "a document type");
    refuse(SPAN("<!DOCTYPE a [<!ENTITY x SYSTEM 'http://192.0.2.1/'>]><a>&x;</a>"),
           "a document type");
}
END_TEST

static void nest(struct buf *out, int depth) {
    buf_clear(out);
    for (int i = 0; i < depth; i++) {
        buf_add(out, SPAN("<a>"));
    }
    for (int i = 0; i < depth; i++) {
        buf_add(out, SPAN("</a>"));
    }
}

START_TEST(test_depth) {
    struct buf text;
    struct xml *xml;
    struct err err;
    buf_init(&text, 1 << 20);
    nest(&text, XML_DEPTH_MAX);
    ck_assert_int_eq(xml_parse(buf_span(&text), &xml, &err), 0);
    xml_free(xml);
    nest(&text, XML_DEPTH_MAX + 1);
    refuse(buf_span(&text), "column 97: elements are nested too deep");
    nest(&text, 10000);
    refuse(buf_span(&text), "elements are nested too deep");
    buf_done(&text);
}
END_TEST

START_TEST(test_many) {
    struct buf text;
    struct xml *xml;
    struct err err;
    buf_init(&text, 32 << 20);
    buf_add(&text, SPAN("<r>"));
    for (int i = 1; i < XML_ELEMENTS_MAX; i++) {
        buf_add(&text, i % 2 ? SPAN("<a/>") : SPAN("<b>1</b>"));
    }
    size_t all = text.len;
    buf_add(&text, SPAN("</r>"));
    ck_assert(!text.overflow);
    ck_assert_int_eq(xml_parse(buf_span(&text), &xml, &err), 0);
    int count = 1, wrong = 0;
    const struct xml_element *at = xml_first(xml_root(xml));
    for (; at; at = xml_next(at), count++) {
        wrong += xml_name(at)[0] != (count % 2 ? 'a' : 'b');
    }
    ck_assert_int_eq(count, XML_ELEMENTS_MAX);
    ck_assert_int_eq(wrong, 0);
    xml_free(xml);
    text.len = all;
    buf_add(&text, SPAN("<a/></r>"));
    refuse(buf_span(&text), "too many elements");
    buf_done(&text);
}
END_TEST

/* A text larger than a block, many different names, and texts of every length around 8. */
START_TEST(test_memory) {
    struct buf text;
    struct xml *xml;
    struct err err;
    buf_init(&text, 4 << 20);
    buf_add(&text, SPAN("<r><long>"));
    for (int i = 0; i < 300000; i++) {
        buf_char(&text, (char)('a' + i % 26));
    }
    buf_add(&text, SPAN("</long>"));
    for (int i = 0; i < 5000; i++) {
        buf_printf(&text, "<n%d>%.*s</n%d>", i, i % 40, "0123456789012345678901234567890123456789",
                   i);
    }
    buf_add(&text, SPAN("</r>"));
    ck_assert_int_eq(xml_parse(buf_span(&text), &xml, &err), 0);
    ck_assert_uint_eq(strlen(xml_text(xml_root(xml), "long")), 300000);
    for (int i = 0; i < 5000; i += 37) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        ck_assert_uint_eq(strlen(xml_text(xml_root(xml), name)), (size_t)(i % 40));
    }
    xml_free(xml);
    buf_done(&text);
}
END_TEST

/* Whatever others have recorded of AWS parses, but what is no document. */
START_TEST(test_recorded) {
    char pattern[4096];
    glob_t found;
    data_shared_path("awsapi/*/*.xml", pattern, sizeof pattern);
    if (glob(pattern, 0, NULL, &found) != 0) {
        fprintf(stderr, "NOT RUN: %s is not there (see FLOWGELF_SHARED_DATA)\n", pattern);
        return;
    }
    size_t parsed = 0;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        struct xml *xml;
        struct err err;
        struct span text = data_read_path(found.gl_pathv[i]);
        if (xml_parse(text, &xml, &err) == 0) {
            parsed++;
            xml_free(xml);
        } else {
            fprintf(stderr, "%s: %s\n", found.gl_pathv[i], err.text);
        }
        free((char *)text.p);
    }
    ck_assert_uint_gt(parsed * 10, found.gl_pathc * 9);
    globfree(&found);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("xml");
    TCase *tcase = tcase_create("xml");
    tcase_set_timeout(tcase, 60);
    tcase_add_test(tcase, test_list);
    tcase_add_test(tcase, test_namespaces_and_texts);
    tcase_add_test(tcase, test_refusals);
    tcase_add_test(tcase, test_document_types);
    tcase_add_test(tcase, test_depth);
    tcase_add_test(tcase, test_many);
    tcase_add_test(tcase, test_memory);
    tcase_add_test(tcase, test_recorded);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
