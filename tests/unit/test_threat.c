/* SPDX-License-Identifier: Apache-2.0 */
/* enrich/threat: several feeds as one table, verdicts of nested prefixes, reports of bad lines. */
#include "enrich_help.h"

#include <unistd.h>

#include "base/file.h"

static char dir[64];
static struct asked asked;

static void write_feed(const char *name, struct span text) {
    char path[128];
    struct err err;
    snprintf(path, sizeof(path), "%s/%s", dir, name);
    ck_assert_int_eq(file_write(path, text, 0644, &err), 0);
}

static void set_up(void) {
    strcpy(dir, "/tmp/flowgelf-threat-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    write_feed("drop.txt", SPAN("; DROP\n198.51.0.0/16 ; SBL1\n198.51.100.0/24 ; SBL2\n"));
    write_feed("tor.txt", SPAN("ExitAddress 198.51.100.7 2026-08-21 13:07:26\n10.0.0.1\n"));
    write_feed("otx.data", SPAN("198.51.100.7#4#2#Scanning Host;SBL2#KR##1,1#3\n"
                                "203.0.113.9#4#2#Malicious Host#KR##1,1#3\n"
                                "203.0.113.10#1#2#Malicious Host#KR##1,1#3\n"));
}

static void tear_down(void) {
    char command[100];
    asked_close(&asked);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

/* "name=value" of each note about the feeds, in order. */
static const char *verdict(const char *addr, uint32_t facts) {
    static char text[4096];
    const struct dossier *dossier = describe(&asked, addr, facts);
    text[0] = '\0';
    for (size_t i = 0; i < dossier->note_count; i++) {
        const struct note *note = &dossier->notes[i];
        size_t len = strlen(text);
        snprintf(text + len, sizeof(text) - len, "%s%.*s%s=%s", i ? " " : "", SPAN_ARG(note->name),
                 note->id == NOTE_THREAT_NAME ? "name" : "", note_text(note));
    }
    return text;
}

static const char three_feeds[] = "feeds:\n"
                                  "  Spam-Haus: {file: drop.txt, format: spamhaus}\n"
                                  "  tor: {file: tor.txt, format: tor}\n"
                                  "  otx: {file: otx.data, format: otx, threshold: 2}\n";

START_TEST(test_verdicts) {
    ck_assert_int_eq(asked_open(&asked, &enrich_threat_type, three_feeds, dir), 0);
    ck_assert_str_eq(verdict("198.51.1.1", 0), "=true spam_haus=true name=SBL1");
    ck_assert_str_eq(verdict("198.51.100.8", 0), "=true spam_haus=true name=SBL1|SBL2");
    ck_assert_str_eq(verdict("198.51.100.7", 0),
                     "=true spam_haus=true tor=true otx=true name=SBL1|SBL2|Scanning Host");
    ck_assert_str_eq(verdict("203.0.113.9", 0), "=true otx=true name=Malicious Host");
    ck_assert_str_eq(verdict("203.0.113.10", 0), "=false");
    ck_assert_str_eq(verdict("2001:db8::1", 0), "=false");
    ck_assert_uint_eq(describe(&asked, "198.51.1.1", 0)->facts, FACT_THREAT | FACT_THREAT_KNOWN);
    ck_assert_uint_eq(describe(&asked, "203.0.113.10", 0)->facts, FACT_THREAT_KNOWN);
}
END_TEST

/* Ours is no threat, whatever a list says. */
START_TEST(test_internal) {
    ck_assert_int_eq(asked_open(&asked, &enrich_threat_type, three_feeds, dir), 0);
    ck_assert_str_eq(verdict("10.0.0.1", 0), "=true tor=true");
    ck_assert_str_eq(verdict("10.0.0.1", FACT_INTERNAL), "=false");
    ck_assert_uint_eq(describe(&asked, "10.0.0.1", FACT_INTERNAL)->facts,
                      FACT_INTERNAL | FACT_THREAT_KNOWN);
}
END_TEST

START_TEST(test_no_feed_says_nothing) {
    ck_assert_int_eq(asked_open(&asked, &enrich_threat_type, "", dir), 0);
    ck_assert_str_eq(verdict("198.51.1.1", 0), "");
    ck_assert_uint_eq(describe(&asked, "198.51.1.1", 0)->facts, 0);
    ck_assert_ptr_null(enrich_threat_type.file(asked.conf, 0));
}
END_TEST

START_TEST(test_report_and_files) {
    write_feed("tor.txt", SPAN("1.2.3.4\nx\ny\n\nz\n5.6.7.8\na\nb\nc\n"));
    ck_assert_int_eq(asked_open(&asked, &enrich_threat_type, three_feeds, dir), 0);
    const char *report = buf_cstr(&asked.report);
    ck_assert_ptr_nonnull(strstr(report, "threat: spam_haus: 2 entries from "));
    ck_assert_ptr_nonnull(strstr(report, "tor: 2 entries"));
    ck_assert_ptr_nonnull(strstr(report, ", 6 bad lines: 2 3 5 7 8 ...\n"));
    ck_assert_ptr_nonnull(strstr(report, "otx.data, 1 below the threshold\n"));
    ck_assert_ptr_nonnull(strstr(enrich_threat_type.file(asked.conf, 2), "/otx.data"));
    ck_assert_ptr_null(enrich_threat_type.file(asked.conf, 3));
}
END_TEST

/* An error page instead of a list must not empty the table. */
START_TEST(test_wrong_content) {
    write_feed("tor.txt", SPAN("<html>\n<body>503</body>\n</html>\n"));
    ck_assert_int_eq(asked_open(&asked, &enrich_threat_type, three_feeds, dir), -1);
    ck_assert_int_eq(asked.err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(asked.err.text, "tor.txt"));
    ck_assert_ptr_nonnull(strstr(asked.err.text, "line 1"));
}
END_TEST

START_TEST(test_missing_file) {
    ck_assert_int_eq(asked_open(&asked, &enrich_threat_type, "feeds: {a: {file: none.txt}}", dir),
                     -1);
    ck_assert_int_eq(asked.err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(asked.err.text, "none.txt: No such file"));
}
END_TEST

/* One address with more names than a verdict keeps, long ones among them. */
START_TEST(test_many_names) {
    struct buf text;
    buf_init(&text, 1 << 20);
    for (int i = 0; i < 100; i++) {
        buf_printf(&text, "192.0.2.1 ; name%02d %0300d\n", i, 0);
    }
    write_feed("drop.txt", buf_span(&text));
    buf_done(&text);
    ck_assert_int_eq(asked_open(&asked, &enrich_threat_type, three_feeds, dir), 0);
    const struct note *note = dossier_find(describe(&asked, "192.0.2.1", 0), NOTE_THREAT_NAME);
    ck_assert_ptr_nonnull(note);
    ck_assert_uint_eq(note->text.len, 16 * 201 - 1);
}
END_TEST

START_TEST(test_mistakes) {
    const struct enricher_type *type = &enrich_threat_type;
    ck_assert_int_eq(asked_configure(&asked, type, "", dir), 0);
    ck_assert(is_refused(type, "feeds: [a]", "map"));
    ck_assert(is_refused(type, "feeds: {a-b: {file: x}, A_B: {file: y}}", "a_b"));
    ck_assert(is_refused(type, "feeds: {a: {format: plain}}", "file"));
    ck_assert(is_refused(type, "feeds: {a: {file: x, format: spamhous}}", "spamhaus"));
    ck_assert(is_refused(type, "feeds: {a: {file: x, threshold: 11}}", "10"));
    ck_assert(is_refused(type, "feeds: {a: {file: x, column: 0}}", "column"));
    ck_assert(is_refused(type, "feeds: {\"\": {file: x}}", "name of a feed"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("threat");
    TCase *tcase = tcase_create("threat");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_verdicts);
    tcase_add_test(tcase, test_internal);
    tcase_add_test(tcase, test_no_feed_says_nothing);
    tcase_add_test(tcase, test_report_and_files);
    tcase_add_test(tcase, test_wrong_content);
    tcase_add_test(tcase, test_missing_file);
    tcase_add_test(tcase, test_many_names);
    tcase_add_test(tcase, test_mistakes);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
