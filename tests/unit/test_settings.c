/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whole configurations: what is taken, and that every mistake of a file is said at once, each with
 * its place and the remedy.
 */
#include <stdio.h>

#include "core/settings.h"
#include "modules.h"
#include "unit.h"

static struct settings *settings;
static struct buf errors;

static int load(const char *text) {
    settings = NULL;
    buf_init(&errors, 1 << 20);
    return settings_load_text(span_str(text), "t.yaml", &flowgelf_modules, &settings, &errors);
}

static void done(void) {
    settings_free(settings);
    buf_done(&errors);
}

static void assert_good(const char *text) {
    ck_assert_msg(load(text) == 0, "%s", buf_cstr(&errors));
    ck_assert_uint_eq(errors.len, 0);
}

/* The text is refused, and each of the pieces (NULL behind the last) stands in the errors. */
static void assert_errors(const char *text, const char *const *pieces) {
    ck_assert_int_eq(load(text), -1);
    const char *all = buf_cstr(&errors);
    for (; *pieces; pieces++) {
        ck_assert_msg(strstr(all, *pieces) != NULL, "\"%s\" is not in:\n%s", *pieces, all);
    }
    done();
}

#define ASSERT_ERRORS(text, ...) assert_errors(text, (const char *const[]){__VA_ARGS__, NULL})

START_TEST(defaults) {
    assert_good("{}");
    ck_assert_str_eq(settings->state, "/var/lib/flowgelf");
    ck_assert_int_eq(settings->memory_bytes, 512 << 20);
    ck_assert_int_eq(settings->parcel_bytes, 256 << 10);
    ck_assert_int_eq(settings->shutdown_grace_ms, 10000);
    ck_assert_uint_eq(settings->format_count, 2);
    ck_assert_uint_gt(settings->enricher_count, 3);
    done();
}
END_TEST

START_TEST(the_shape_of_the_plan_is_taken) {
    assert_good(
        "state: /tmp/x\nworkers: 1\nmemory: 128MiB\n"
        "inputs:\n"
        "  - kafka: {brokers: [\"kafka1:9092\"], topics: [vpc-flow-logs], group: flowgelf,\n"
        "            start: earliest, properties: {}}\n"
        "  - file: {paths: [/var/log/flow/*.gz]}\n"
        "flow_logs: {formats: [default, \"${version} ${srcaddr}\"], no_data: drop,\n"
        "            skip_data: send}\n"
        "enrich:\n"
        "  internal: {networks: [198.18.0.0/15]}\n"
        "  networks: {my_office: [203.0.113.0/24], vpn: {cidrs: [2001:db8::/32],\n"
        "             trusted: true}}\n"
        "  accounts: {\"123456789012\": production}\n"
        "messages: {schema: graylog, fields: {set: standard}, booleans: string,\n"
        "           host: aws-flowlogs, timestamp: event}\n"
        "outputs:\n"
        "  - gelf_tcp: {hosts: [\"graylog:12201\"]}\n"
        "  - gelf_udp: {hosts: [\"graylog:12201\"], compress: auto, rate: 20000}\n"
        "dead_letter: {path: dead-letter.jsonl}\n");
    ck_assert_uint_eq(settings->input_count, 2);
    ck_assert_uint_eq(settings->output_count, 2);
    ck_assert_str_eq(settings->dead_letter.path, "/tmp/x/dead-letter.jsonl");
    done();
}
END_TEST

START_TEST(an_output_has_its_own_messages_on_top) {
    assert_good("messages: {fields: {set: plugin}, booleans: native}\n"
                "outputs:\n"
                "  - stdout: {messages: {fields: {set: all}}}\n"
                "  - stdout: {}\n");
    ck_assert_int_eq(settings->outputs[0].messages.fields.set, SET_ALL);
    ck_assert_int_eq(settings->outputs[0].messages.booleans, BOOLEANS_NATIVE);
    ck_assert_int_eq(settings->outputs[1].messages.fields.set, SET_PLUGIN);
    ck_assert(!message_equal(&settings->outputs[0].messages, &settings->outputs[1].messages));
    done();
}
END_TEST

START_TEST(enrichers_are_switched) {
    assert_good("enrich: {role: false, community_id: true}\n");
    bool role = false, community_id = false;
    for (size_t i = 0; i < settings->enricher_count; i++) {
        role |= strcmp(settings->enrichers[i].type->name, "role") == 0;
        community_id |= strcmp(settings->enrichers[i].type->name, "community_id") == 0;
    }
    ck_assert(!role);
    ck_assert(community_id);
    done();
}
END_TEST

START_TEST(all_errors_are_shown_at_once) {
    ASSERT_ERRORS("stat: /x\n"
                  "workers: many\n"
                  "inputs:\n"
                  "  - kafak: {}\n"
                  "  - kafka: {brokrs: [a:1]}\n"
                  "outputs:\n"
                  "  - gelf_tcp: {hosts: [\"graylog\"]}\n"
                  "flow_logs: {formats: [\"${srcaddr} ${srcaddr}\"]}\n"
                  "enrich: {jeo: {}}\n",
                  "t.yaml:1:1: ", "did you mean \"state\"?",
                  "t.yaml:2:10: workers: ", "t.yaml:4:5: inputs[0]: ", "did you mean \"kafka\"?",
                  "t.yaml:5:13: ", "did you mean \"brokers\"?",
                  "t.yaml:7:", "outputs[0].gelf_tcp.hosts", "t.yaml:8:", "flow_logs.formats",
                  "srcaddr", "t.yaml:9:", "did you mean \"geo\"?");
}
END_TEST

START_TEST(what_comes_later_says_so) {
    ASSERT_ERRORS("control: {}\nmetrics: {listen: \"127.0.0.1:1\"}\n"
                  "inputs: [{s3: {}}]\n"
                  "enrich: {inventory: {}, suspicious: {}}\n"
                  "outputs:\n"
                  "  - elasticsearch: {}\n"
                  "  - gelf_tcp: {hosts: [\"a:1\", \"b:2\"]}\n",
                  "t.yaml:1:1: control: not in this version",
                  "t.yaml:2:1: metrics: not in this version", "input \"s3\" is not in this version",
                  "enricher \"inventory\" is not in this version",
                  "enricher \"suspicious\" is not in this version",
                  "output \"elasticsearch\" is not in this version", "t.yaml:7:");
}
END_TEST

START_TEST(filters_are_read) {
    assert_good("drop: \"src_addr_internal:true AND action:ACCEPT\"\n"
                "keep: \"dst_port:(22 OR 3389)\"\n"
                "sample: 1/10\n"
                "outputs:\n"
                "  - stdout: {}\n"
                "  - stdout: {filter: \"action:REJECT\", required: false}\n");
    ck_assert_ptr_nonnull(settings->filter.drop);
    ck_assert_ptr_nonnull(settings->filter.keep);
    ck_assert_uint_eq(settings->filter.sample, 10);
    ck_assert(settings->filter.writes);
    ck_assert_ptr_null(settings->outputs[0].filter);
    ck_assert(!settings->outputs[0].optional);
    ck_assert_ptr_nonnull(settings->outputs[1].filter);
    ck_assert(settings->outputs[1].optional);
    /* Of the message only what searches name is written for them. */
    const struct message_conf *message = &settings->filter.message;
    ck_assert(message->send_field[FIELD_DSTPORT] && message->send_field[FIELD_ACTION]);
    ck_assert(!message->send_field[FIELD_SRCPORT] && !message->send_unknown);
    ck_assert(message->send_note[NOTE_INTERNAL][SIDE_SRC]);
    ck_assert(!message->send_note[NOTE_INTERNAL][SIDE_DST] && !message->event_uid);
    done();
    assert_good("sample: 1/2\noutputs: [{stdout: {}}]\n");
    ck_assert(!settings->filter.writes && filter_is_needed(&settings->filter));
    done();
    assert_good("outputs: [{stdout: {}}]\n");
    ck_assert(!filter_is_needed(&settings->filter));
    done();
}
END_TEST

/* The place in the file, the place in the search, and what would be right. */
START_TEST(errors_in_filters_say_where) {
    ASSERT_ERRORS("drop: \"acton:ACCEPT\"\n"
                  "keep: \"action:(REJECT AND\"\n"
                  "sample: 10%\n"
                  "outputs:\n"
                  "  - stdout:\n"
                  "      filter: \"NOT src_addr_entity:x\"\n"
                  "  - stdout: {filter: \"\"}\n",
                  "t.yaml:1:7: drop: no message has a field `acton`; did you mean `action`?\n",
                  "t.yaml:2:7: keep: query, position 19: a value is missing\n",
                  "t.yaml:3:9: sample: \"10%\" is no share; write 1/N",
                  "t.yaml:6:15: outputs[0].stdout.filter: `src_addr_entity` needs an inventory",
                  "t.yaml:7:22: outputs[1].stdout.filter: an empty search matches every message");
}
END_TEST

START_TEST(one_output_must_be_required) {
    ASSERT_ERRORS("outputs:\n"
                  "  - stdout: {required: false}\n"
                  "  - stdout: {required: false}\n",
                  "t.yaml:2:3: outputs: every output has `required: false`",
                  "at least one must be required");
}
END_TEST

START_TEST(the_rings_must_fit_the_memory) {
    ASSERT_ERRORS("memory: 64MiB\nworkers: 2\n"
                  "inputs: [{file: {paths: [/a]}}, {file: {paths: [/b]}}]\n"
                  "outputs: [{gelf_tcp: {hosts: [\"a:1\"]}}]\n",
                  "t.yaml:1:", "memory: ", "gelf_tcp 40 MiB", "times 2 inputs");
}
END_TEST

START_TEST(shapes_that_are_none) {
    ASSERT_ERRORS("inputs: {kafka: {}}\noutputs: [gelf_tcp]\nenrich: [geo]\n",
                  "t.yaml:1:", "expected a list", "t.yaml:2:", "such as `- gelf_tcp: {...}`",
                  "t.yaml:3:", "expected a map of enrichers");
    ASSERT_ERRORS("state: relative\n", "t.yaml:1:8: state: ", "absolute");
    ASSERT_ERRORS("a: [1\n", "t.yaml:");
}
END_TEST

START_TEST(gelf_takes_no_native_lists) {
    ASSERT_ERRORS("messages: {lists: native}\noutputs: [{gelf_tcp: {hosts: [\"a:1\"]}}]\n",
                  "lists");
    assert_good("messages: {lists: native}\noutputs: [{stdout: {}}]\n");
    done();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("settings");
    TCase *cases = tcase_create("configurations");
    tcase_add_test(cases, defaults);
    tcase_add_test(cases, the_shape_of_the_plan_is_taken);
    tcase_add_test(cases, an_output_has_its_own_messages_on_top);
    tcase_add_test(cases, enrichers_are_switched);
    tcase_add_test(cases, all_errors_are_shown_at_once);
    tcase_add_test(cases, what_comes_later_says_so);
    tcase_add_test(cases, filters_are_read);
    tcase_add_test(cases, errors_in_filters_say_where);
    tcase_add_test(cases, one_output_must_be_required);
    tcase_add_test(cases, the_rings_must_fit_the_memory);
    tcase_add_test(cases, shapes_that_are_none);
    tcase_add_test(cases, gelf_takes_no_native_lists);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
