/* SPDX-License-Identifier: Apache-2.0 */
/* The field table: complete, without two of a name, and found by both spellings. */
#include "flow/field.h"

#include <jansson.h>

#include "data_file.h"
#include "flow/flow.h"
#include "unit.h"

START_TEST(finds_every_field_by_both_spellings) {
    for (int id = 0; id < FIELD_COUNT; id++) {
        char name[64];
        size_t len = fields[id].aws_name.len;
        for (size_t i = 0; i < len; i++) {
            name[i] = fields[id].aws_name.p[i] == '-' ? '_' : fields[id].aws_name.p[i];
        }
        ck_assert_int_eq(field_find(fields[id].aws_name), id);
        ck_assert_int_eq(field_find(span_of(name, len)), id);
    }
}
END_TEST

START_TEST(does_not_find_what_is_no_field) {
    ck_assert_int_eq(field_find(SPAN("src_addr")), FIELD_UNKNOWN);
    ck_assert_int_eq(field_find(SPAN("srcaddr ")), FIELD_UNKNOWN);
    ck_assert_int_eq(field_find(SPAN("")), FIELD_UNKNOWN);
}
END_TEST

START_TEST(names_in_messages_differ) {
    for (int i = 0; i < FIELD_COUNT; i++) {
        for (int j = 0; j < i; j++) {
            ck_assert(!span_eq(fields[i].name, fields[j].name));
        }
        ck_assert_ptr_null(memchr(fields[i].name.p, '-', fields[i].name.len));
    }
}
END_TEST

START_TEST(sides_are_named_as_their_fields) {
    ck_assert(span_eq(flow_side_names[SIDE_SRC], fields[FIELD_SRCADDR].name));
    ck_assert(span_eq(flow_side_names[SIDE_DST], fields[FIELD_DSTADDR].name));
    ck_assert(span_eq(flow_side_names[SIDE_PKT_SRC], fields[FIELD_PKT_SRCADDR].name));
    ck_assert(span_eq(flow_side_names[SIDE_PKT_DST], fields[FIELD_PKT_DSTADDR].name));
}
END_TEST

START_TEST(reasons_have_names_and_help) {
    ck_assert_str_eq(bad_names[BAD_NONE], "");
    for (int i = BAD_NONE + 1; i < BAD_COUNT; i++) {
        ck_assert_int_gt(strlen(bad_names[i]), 0);
        ck_assert_int_gt(strlen(bad_helps[i]), 0);
    }
}
END_TEST

START_TEST(knows_all_fields_of_the_shared_table) {
    struct span text = data_read_shared("vpcflow/fields-by-version.json");
    if (!text.p) {
        return;
    }
    json_t *versions = json_loadb(text.p, text.len, 0, NULL), *names, *name;
    const char *version;
    size_t index, found = 0;
    json_object_foreach(versions, version, names) {
        json_array_foreach(names, index, name) {
            struct span field = span_str(json_string_value(name));
            if (strcmp(version, "notes") != 0) {
                ck_assert_msg(field_find(field) != FIELD_UNKNOWN, "%s", field.p);
                found++;
            }
        }
    }
    ck_assert_uint_eq(found, FIELD_COUNT);
    json_decref(versions);
    free((char *)text.p);
}
END_TEST

START_TEST(notes_keep_what_was_said) {
    static struct flow flow;
    flow_note_text(&flow, NOTE_PROTOCOL, SPAN("TCP"));
    flow_note_number(&flow, NOTE_CAPTURE_WINDOW, 60);
    flow_note_truth(&flow, NOTE_THREAT_INDICATED, true);
    ck_assert_uint_eq(flow.note_count, 3);
    ck_assert(span_eq(flow.notes[0].text, SPAN("TCP")));
    ck_assert_int_eq(flow.notes[1].number, 60);
    ck_assert_int_eq(flow.notes[1].id, NOTE_CAPTURE_WINDOW);
    ck_assert(flow.notes[2].truth);
    ck_assert(span_eq(note_kinds[NOTE_PROTOCOL].name, SPAN("protocol")));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("field");
    TCase *tests = tcase_create("field");
    tcase_add_test(tests, finds_every_field_by_both_spellings);
    tcase_add_test(tests, does_not_find_what_is_no_field);
    tcase_add_test(tests, names_in_messages_differ);
    tcase_add_test(tests, sides_are_named_as_their_fields);
    tcase_add_test(tests, reasons_have_names_and_help);
    tcase_add_test(tests, knows_all_fields_of_the_shared_table);
    tcase_add_test(tests, notes_keep_what_was_said);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
