/* SPDX-License-Identifier: Apache-2.0 */
/* The sample of the demo: always the same, well-formed, true to the files that it was made of. */
#include "cmd/demo_sample.h"

#include <stdio.h>
#include <stdlib.h>

#include <jansson.h>

#include "base/buf.h"
#include "base/inflate.h"
#include "cmd/demo_company.h"
#include "unit.h"

enum { NOW_S = 1790000000, TEXT_MAX = 1 << 20, FIELDS_V2 = 14, SECONDS_DIGITS = 10 };

static const char *const constructed[] = {
    "eni-web 203.0.113.5 10.0.1.10 50000 443 6",   "eni-web 10.0.0.20 10.0.1.10 34000 80 6",
    "eni-web 10.0.1.10 10.0.0.20 80 34000 6",      "eni-rds 10.0.2.30 203.0.113.9 3306 40000 6",
    "eni-rds 10.0.2.30 10.0.1.10 3306 41000 6",    "eni-web 10.0.1.10 198.51.100.7 45000 6667 6",
    "eni-web 198.51.100.7 10.0.1.10 6667 45000 6", "eni-web 203.0.113.5 10.0.1.10 50001 22 6",
    "eni-nat 203.0.113.66 10.0.0.40 40000 23 6",   "eni-web 54.10.0.40 10.0.1.10 40000 443 6",
    "eni-nat 203.0.113.66 10.0.0.40 40000 22 6",   "eni-web 10.0.1.10 198.51.100.7 443 50000 6",
};

enum { CONSTRUCTED = sizeof(constructed) / sizeof(constructed[0]) };

static size_t count_fields(struct span line) {
    struct span field;
    size_t count = 0;
    while (span_cut(&line, ' ', &field)) {
        count += field.len > 0;
    }
    return count;
}

static bool contains(struct span text, const char *part) {
    return memmem(text.p, text.len, part, strlen(part)) != NULL;
}

START_TEST(hour_has_its_flows_and_the_constructed_ones) {
    struct company company;
    struct buf line;
    size_t flows = 0, lines = 0, messages, found[CONSTRUCTED] = {0}, rejected_twin = 0;
    buf_init(&line, COMPANY_LINE_MAX);
    company_init(&company);
    while (buf_clear(&line), company_next(&company, &line, &messages)) {
        ck_assert(!line.overflow);
        ck_assert_uint_eq(count_fields(buf_span(&line)), FIELDS_V2);
        ck_assert_int_eq(contains(buf_span(&line), " NODATA"), messages == 0);
        lines++;
        flows += messages;
        for (size_t i = 0; i < CONSTRUCTED; i++) {
            found[i] += contains(buf_span(&line), constructed[i]);
        }
        rejected_twin +=
            contains(buf_span(&line), constructed[0]) && contains(buf_span(&line), " REJECT ");
    }
    ck_assert_uint_eq(lines, COMPANY_LINES);
    ck_assert_uint_eq(flows, COMPANY_FLOWS);
    ck_assert_uint_eq(rejected_twin, 1);
    for (size_t i = 0; i < CONSTRUCTED; i++) {
        ck_assert_msg(found[i] == (i == 0 ? 2 : 1), "%s: %zu times", constructed[i], found[i]);
    }
    buf_done(&line);
}
END_TEST

/* A sum over all bytes of a round, and how many records and messages it has. */
static void sum_round(struct demo_sample *sample, size_t *records, size_t *messages,
                      uint64_t *sum) {
    struct demo_record record;
    *records = *messages = 0;
    *sum = 14695981039346656037u;
    while (demo_sample_next(sample, 0, &record)) {
        (*records)++;
        *messages += record.messages;
        for (size_t i = 0; i < record.data.len; i++) {
            *sum = (*sum ^ (unsigned char)record.data.p[i]) * 1099511628211u;
        }
    }
}

START_TEST(every_round_is_the_same) {
    struct demo_sample *sample = demo_sample_open();
    size_t records, messages, records_again, messages_again;
    uint64_t sum, sum_again;
    sum_round(sample, &records, &messages, &sum);
    sum_round(sample, &records_again, &messages_again, &sum_again);
    ck_assert_uint_gt(records, COMPANY_LINES);
    ck_assert_uint_gt(messages, COMPANY_FLOWS);
    ck_assert_uint_eq(records, records_again);
    ck_assert_uint_eq(messages, messages_again);
    ck_assert(sum == sum_again);
    demo_sample_close(sample);
}
END_TEST

START_TEST(envelope_is_one_that_cloudwatch_would_write) {
    struct demo_sample *sample = demo_sample_open();
    struct inflater *inflater = inflater_open();
    struct demo_record record;
    struct buf text;
    buf_init(&text, TEXT_MAX);
    ck_assert(demo_sample_next(sample, 0, &record));
    ck_assert_int_eq(inflater_run(inflater, record.data, &text), INFLATE_OK);
    json_t *envelope = json_loadb(text.data, text.len, 0, NULL);
    ck_assert_ptr_nonnull(envelope);
    ck_assert_str_eq(json_string_value(json_object_get(envelope, "messageType")), "DATA_MESSAGE");
    const json_t *events = json_object_get(envelope, "logEvents");
    ck_assert_uint_eq(json_array_size(events), 60);
    const json_t *event = json_array_get(events, 0);
    ck_assert_int_eq(json_integer_value(json_object_get(event, "timestamp")), 1418530010000);
    ck_assert_str_eq(json_string_value(json_object_get(event, "message")),
                     "2 123456789010 eni-abc123de 172.31.16.139 172.31.16.21 20641 22 6 20 4249 "
                     "1418530010 1418530070 ACCEPT OK");
    json_decref(envelope);
    buf_done(&text);
    inflater_close(inflater);
    demo_sample_close(sample);
}
END_TEST

/* How far the times of a line end before now, and that none is later. */
static int64_t latest_time(struct span line) {
    int64_t latest = 0;
    for (size_t i = 0; i < line.len;) {
        size_t len = 0;
        while (i + len < line.len && line.p[i + len] >= '0' && line.p[i + len] <= '9') {
            len++;
        }
        if (len == SECONDS_DIGITS && line.p[i] != '0') {
            int64_t time = strtoll(line.p + i, NULL, 10);
            latest = time > latest ? time : latest;
        }
        i += len > 0 ? len : 1;
    }
    return latest;
}

START_TEST(moved_flows_end_now) {
    struct demo_sample *sample = demo_sample_open();
    struct demo_record record;
    while (demo_sample_next(sample, (int64_t)NOW_S * 1000, &record)) {
        struct span rest = record.data, line;
        while (!inflate_is_gzip(record.data) && span_cut(&rest, '\n', &line)) {
            int64_t latest = latest_time(line);
            ck_assert_msg(latest == 0 || latest == NOW_S, "%.*s", SPAN_ARG(line));
        }
    }
    demo_sample_close(sample);
}
END_TEST

START_TEST(moving_leaves_all_else_alone) {
    char text[] = "2 123456789010 eni-0123456789 10.0.0.1 - 1418530010 1418530070\n"
                  "{\"timestamp\": 1548934870000} 1000000000 999999999\n";
    demo_move_times(text, strlen(text), (int64_t)NOW_S * 1000 + 7);
    ck_assert_str_eq(text, "2 123456789010 eni-0123456789 10.0.0.1 - 1789999940 1790000000\n"
                           "{\"timestamp\": 1790000000007} 1790000000 999999999\n");
}
END_TEST

/* What is compiled in is what stands in src/cmd/sample. */
START_TEST(real_records_are_as_they_were_found) {
    const char *root = getenv("FLOWGELF_SRCDIR");
    struct inflater *inflater = inflater_open();
    for (const struct demo_file *file = demo_files; file->name; file++) {
        char path[4096];
        static char bytes[1 << 16];
        struct buf text;
        buf_init(&text, TEXT_MAX);
        snprintf(path, sizeof(path), "%s/src/cmd/sample/%s", root ? root : ".", file->name);
        FILE *in = fopen(path, "rb");
        ck_assert_msg(in != NULL, "%s", path);
        struct span found = span_of(bytes, fread(bytes, 1, sizeof(bytes), in));
        fclose(in);
        if (inflate_is_gzip(found)) {
            ck_assert_int_eq(inflater_run(inflater, found, &text), INFLATE_OK);
            found = buf_span(&text);
        }
        ck_assert_msg(span_eq(found, span_str(file->text)), "%s", path);
        buf_done(&text);
    }
    inflater_close(inflater);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("demo_sample");
    TCase *tests = tcase_create("demo_sample");
    tcase_set_timeout(tests, 60);
    tcase_add_test(tests, hour_has_its_flows_and_the_constructed_ones);
    tcase_add_test(tests, every_round_is_the_same);
    tcase_add_test(tests, envelope_is_one_that_cloudwatch_would_write);
    tcase_add_test(tests, moved_flows_end_now);
    tcase_add_test(tests, moving_leaves_all_else_alone);
    tcase_add_test(tests, real_records_are_as_they_were_found);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
