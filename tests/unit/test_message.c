/* SPDX-License-Identifier: Apache-2.0 */
/* The `messages` settings: what is sent, by set and by name, and how wrong names are reported. */
#include "flow/message.h"

#include <stdio.h>

#include "unit.h"

static struct option_context context;
static struct message_conf conf;
static struct yaml_node *root;

static void setup(void) {
    context = (struct option_context){.file = "f.yaml", .read_dir = "/", .write_dir = "/"};
    buf_init(&context.errors, 1 << 16);
    memset(&conf, 0, sizeof(conf));
    root = NULL;
}

static void forget(void) {
    option_free(message_options, &conf);
    memset(&conf, 0, sizeof(conf));
    yaml_unload(root);
    root = NULL;
}

static void teardown(void) {
    forget();
    buf_done(&context.errors);
}

/* Settings as from a file; returns how many errors there are. */
static int init(const char *yaml) {
    struct err err;
    forget();
    buf_clear(&context.errors);
    context.error_count = 0;
    ck_assert_msg(yaml_parse(span_str(yaml), "f.yaml", &root, &err) == 0, "%s", err.text);
    option_parse(&context, message_options, root, "messages", &conf);
    message_init(&conf, &context, root, "messages");
    return context.error_count;
}

static void expect_error(const char *yaml, const char *wanted) {
    ck_assert_int_eq(init(yaml), 1);
    const char *text = buf_cstr(&context.errors);
    ck_assert_msg(strstr(text, wanted) != NULL, "%s", text);
}

START_TEST(presets) {
    ck_assert_int_eq(init("{}"), 0);
    ck_assert_int_eq(conf.fields.set, SET_STANDARD);
    ck_assert_str_eq(conf.host, "aws-flowlogs");
    ck_assert_ptr_null(conf.short_message);
    ck_assert(conf.timestamp == TIME_EVENT && conf.booleans == BOOLEANS_STRING);
    ck_assert(conf.send_field[FIELD_VPC_ID] && !conf.send_field[FIELD_START]);
    ck_assert(!conf.send_field[FIELD_VERSION] && conf.send_unknown && !conf.event_uid);
    ck_assert(conf.send_note[NOTE_INTERNAL][SIDE_PKT_DST]);
    ck_assert(!conf.send_note[NOTE_COUNTRY_NAME][SIDE_SRC]);
}
END_TEST

START_TEST(sets_contain_each_other) {
    ck_assert_int_eq(init("fields: {set: plugin}"), 0);
    ck_assert(conf.send_field[FIELD_ACTION] && !conf.send_field[FIELD_TCP_FLAGS]);
    ck_assert(!conf.send_unknown && !conf.send_note[NOTE_INTERNAL][SIDE_SRC]);
    ck_assert(conf.send_note[NOTE_PROTOCOL][0]);
    ck_assert_int_eq(init("fields: {set: all}"), 0);
    ck_assert(conf.send_field[FIELD_START] && conf.event_uid && !conf.send_field[FIELD_VERSION]);
}
END_TEST

START_TEST(names_add_and_omit) {
    ck_assert_int_eq(init("fields: {set: plugin, add: [tcp_flags, dst_addr_city_name, P_asn, "
                          "flow_direction, event_uid], omit: [src_addr, aws_source]}"),
                     0);
    ck_assert(conf.send_field[FIELD_TCP_FLAGS] && !conf.send_field[FIELD_SRCADDR]);
    ck_assert(conf.send_note[NOTE_CITY_NAME][SIDE_DST]);
    ck_assert(!conf.send_note[NOTE_CITY_NAME][SIDE_SRC]);
    ck_assert(!conf.send_note[NOTE_CITY_NAME][SIDE_PKT_DST]);
    for (int side = 0; side < SIDE_COUNT; side++) {
        ck_assert(conf.send_note[NOTE_ASN][side]);
    }
    ck_assert(conf.send_field[FIELD_FLOW_DIRECTION] && conf.send_note[NOTE_FLOW_DIRECTION][0]);
    ck_assert(conf.event_uid && !conf.send_note[NOTE_AWS_SOURCE][0]);
}
END_TEST

START_TEST(wrong_names_are_errors_at_their_place) {
    expect_error("fields:\n  add: [tcp_flags,\n        src_addr_asm]\n", "f.yaml:3:9");
    ck_assert_ptr_nonnull(strstr(buf_cstr(&context.errors), "`src_addr_asn`"));
    expect_error("fields: {omit: [P_cty_name]}", "`P_city_name`");
    expect_error("fields: {add: [srcaddr]}", "`src_addr`");
    expect_error("fields: {add: [version]}", "messages.fields.add");
    expect_error("host: \"${interface_idd}\"", "`interface_id`");
    expect_error("short_message: \"${action} ${\"", "messages.short_message");
    expect_error("short_message: \"${src_addr_asn}\"", "no field of the line");
    expect_error("schema: ecs", "graylog");
}
END_TEST

/* What each feed says is chosen by the feed's name, apart from the verdict. */
START_TEST(feeds_are_chosen_by_name) {
    ck_assert_int_eq(init("fields: {omit: [P_threat_indicated, "
                          "src_addr_threat_indicated_tor]}"),
                     0);
    ck_assert(!conf.send_note[NOTE_THREAT_INDICATED_SIDE][SIDE_SRC]);
    ck_assert(!message_sends_feed(&conf, SIDE_SRC, SPAN("tor")));
    ck_assert(message_sends_feed(&conf, SIDE_DST, SPAN("tor")));
    ck_assert(message_sends_feed(&conf, SIDE_SRC, SPAN("to")));
    ck_assert_int_eq(init("fields: {set: plugin, add: [P_threat_indicated_f_1]}"), 0);
    ck_assert(!conf.send_note[NOTE_THREAT_INDICATED_SIDE][SIDE_SRC]);
    ck_assert(message_sends_feed(&conf, SIDE_PKT_DST, SPAN("f_1")));
    ck_assert(!message_sends_feed(&conf, SIDE_PKT_DST, SPAN("f")));
    expect_error("fields: {add: [P_threat_indicated_]}", "no field is named");
}
END_TEST

/* Columns that AWS added after this version was made. */
START_TEST(columns_without_a_table_are_chosen_by_name) {
    ck_assert_int_eq(init("fields: {omit: [brand_new_column]}"), 0);
    ck_assert(!message_sends_column(&conf, SPAN("brand_new_column")));
    ck_assert(message_sends_column(&conf, SPAN("another")));
    ck_assert_int_eq(init("fields: {set: plugin, add: [brand_new_column]}"), 0);
    ck_assert(message_sends_column(&conf, SPAN("brand_new_column")));
    ck_assert(!message_sends_column(&conf, SPAN("another")));
    expect_error("fields: {add: [brand-new-column]}", "no field is named");
    expect_error("fields: {add: [src_addr_brand_new]}", "no field is named");
    expect_error("fields: {add: [P_brand_new_column]}", "no field is named");
    expect_error("fields: {add: [\"\"]}", "messages.fields.add");
}
END_TEST

START_TEST(fields_of_later_versions_say_what_they_need) {
    static const char *const names[] = {
        "P_entity",       "dst_addr_entity_aws_type", "src_addr_tag_env", "P_lb_scheme",
        "inbound_public", "sg_current_allows",        "interface_sg_ids", "inventory_age_seconds"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char yaml[200], wanted[200];
        snprintf(yaml, sizeof(yaml), "fields: {omit: [%s]}", names[i]);
        snprintf(wanted, sizeof(wanted), "`%s` needs an inventory, which is not in this version",
                 names[i]);
        expect_error(yaml, wanted);
    }
    expect_error("fields: {add: [P_rdns]}", "needs reverse DNS");
    expect_error("fields: {add: [s3_key]}", "needs the input s3");
    ck_assert_ptr_null(message_field_needs(SPAN("interface_id")));
    ck_assert_ptr_null(message_field_needs(SPAN("entity")));
    ck_assert_ptr_null(message_field_needs(SPAN("src_addr_suspicious")));
}
END_TEST

START_TEST(arrival_needs_the_flows_times) {
    ck_assert_int_eq(init("{timestamp: arrival, fields: {set: plugin, omit: [start]}}"), 0);
    ck_assert(conf.send_field[FIELD_START] && conf.send_field[FIELD_END]);
}
END_TEST

START_TEST(gelf_has_no_arrays) {
    ck_assert_int_eq(init("{lists: native, booleans: native}"), 0);
    message_check_gelf(&conf, &context, root, "outputs[0].gelf_tcp.messages");
    ck_assert_int_eq(context.error_count, 1);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&context.errors), "gelf_tcp.messages.lists"));
    ck_assert_int_eq(init("{lists: joined}"), 0);
    message_check_gelf(&conf, &context, root, "x");
    ck_assert_int_eq(context.error_count, 0);
}
END_TEST

/* Equal settings, however they are written, share one style. */
START_TEST(equality_is_of_the_bytes) {
    static const char *const others[] = {"fields: {set: all}",
                                         "fields: {omit: [region]}",
                                         "booleans: native",
                                         "lists: native",
                                         "false_values: omit",
                                         "host: x",
                                         "timestamp: end",
                                         "short_message: x",
                                         "full_message: true",
                                         "whois_names: true",
                                         "fields: {omit: [brand_new_column]}",
                                         "fields: {omit: [P_threat_indicated_tor]}"};
    struct message_conf standard;
    ck_assert_int_eq(init("fields: {add: [tcp_flags], omit: []}"), 0);
    standard = conf;
    standard.host = (char *)"aws-flowlogs";
    standard.fields.add = standard.fields.omit = (struct string_list){0};
    ck_assert_int_eq(init("fields: {set: standard}"), 0);
    ck_assert(message_equal(&standard, &conf));
    ck_assert_int_eq(init("fields: {add: [brand_new_column, P_threat_indicated_tor]}"), 0);
    ck_assert(message_equal(&standard, &conf)); /* sent without being named */
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        ck_assert_int_eq(init(others[i]), 0);
        ck_assert_msg(!message_equal(&standard, &conf), "%s", others[i]);
        ck_assert_msg(!message_equal(&conf, &standard), "%s", others[i]);
    }
}
END_TEST

START_TEST(templates_are_cut_into_parts) {
    struct template template;
    struct err err;
    ck_assert_int_eq(template_parse(SPAN("a$b ${srcaddr}${protocol}"), &template, &err), 0);
    ck_assert_uint_eq(template.count, 3);
    ck_assert(span_eq(template.parts[0].text, SPAN("a$b ")));
    ck_assert_int_eq(template.parts[1].kind, TEMPLATE_FIELD);
    ck_assert_int_eq(template.parts[1].id, FIELD_SRCADDR);
    ck_assert_int_eq(template.parts[2].kind, TEMPLATE_NOTE);
    ck_assert_int_eq(template.parts[2].id, NOTE_PROTOCOL);
    ck_assert_int_eq(template_parse(SPAN(""), &template, &err), 0);
    ck_assert_uint_eq(template.count, 0);
    ck_assert_int_eq(template_parse(SPAN("${}"), &template, &err), -1);
    char many[TEMPLATE_PARTS_MAX * 4 + 80] = "";
    for (int i = 0; i <= TEMPLATE_PARTS_MAX; i++) {
        strcat(many, i % 2 ? "x" : "${end}");
    }
    ck_assert_int_eq(template_parse(span_str(many), &template, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("message");
    TCase *tcase = tcase_create("message");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_add_test(tcase, presets);
    tcase_add_test(tcase, sets_contain_each_other);
    tcase_add_test(tcase, names_add_and_omit);
    tcase_add_test(tcase, wrong_names_are_errors_at_their_place);
    tcase_add_test(tcase, feeds_are_chosen_by_name);
    tcase_add_test(tcase, columns_without_a_table_are_chosen_by_name);
    tcase_add_test(tcase, fields_of_later_versions_say_what_they_need);
    tcase_add_test(tcase, arrival_needs_the_flows_times);
    tcase_add_test(tcase, gelf_has_no_arrays);
    tcase_add_test(tcase, equality_is_of_the_bytes);
    tcase_add_test(tcase, templates_are_cut_into_parts);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
