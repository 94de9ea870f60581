/* SPDX-License-Identifier: Apache-2.0 */
/* The file input: pieces, gzip, positions across lives, sharing between workers, following. */
#include <check.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "base/buf.h"
#include "base/clock.h"
#include "config/option.h"
#include "config/yaml.h"
#include "input/inputs.h"
#include "unit.h"

enum { LIMIT_MS = 20000, TEXT_MAX = 64 << 20 };

static char folder[64];
static struct option_context context;
static struct yaml_node *root;
static void *conf, *handle;
static struct buf got; /* all text that was read since set_up or the last begin */
static struct batch batch;

static const char *in(const char *name) {
    static char path[4][256];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof(path[turn]), "%s/%s", folder, name);
    return path[turn];
}

static void configure(const char *text) {
    struct err err;
    ck_assert_int_eq(yaml_parse(span_str(text), "test", &root, &err), 0);
    context = (struct option_context){.file = "test", .read_dir = folder, .write_dir = folder};
    buf_init(&context.errors, 1 << 16);
    conf = calloc(1, input_file_type.conf_size);
    ck_assert_int_eq(option_parse(&context, input_file_type.options, root, "file", conf), 0);
    input_file_type.init(conf, &context, root, "file");
}

static void release_conf(void) {
    if (conf) {
        input_file_type.done(conf);
        option_free(input_file_type.options, conf);
        free(conf);
        conf = NULL;
        yaml_unload(root);
        buf_done(&context.errors);
    }
}

static int try_open(bool look_only, void **made, struct err *err) {
    struct input_place place = {.workers = 1, .state = folder, .look_only = look_only};
    return input_file_type.open(conf, &place, made, err);
}

/* A life: settings and a handle. */
static void begin(const char *text) {
    struct err err;
    configure(text);
    ck_assert_msg(try_open(false, &handle, &err) == 0, "%s", err.text);
    buf_clear(&got);
}

static void end(void) {
    input_file_type.close(handle);
    handle = NULL;
    release_conf();
}

static void set_up(void) {
    strcpy(folder, "/tmp/flowgelf-input-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    buf_init(&got, TEXT_MAX);
}

static void tear_down(void) {
    char command[128];
    if (handle) {
        end();
    }
    release_conf();
    buf_done(&got);
    snprintf(command, sizeof(command), "rm -r %s", folder);
    ck_assert_int_eq(system(command), 0);
}

static void write_file(const char *name, const char *mode, struct span text) {
    FILE *file = fopen(in(name), mode);
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text.p, 1, text.len, file), text.len);
    fclose(file);
}

static void put(const char *name, const char *text) {
    write_file(name, "w", span_str(text));
}

static void append_to(const char *name, const char *text) {
    write_file(name, "a", span_str(text));
}

static void put_gzip(const char *name, const char *mode, struct span text) {
    gzFile file = gzopen(in(name), mode);
    ck_assert_int_eq(gzwrite(file, text.p, (unsigned)text.len), (int)text.len);
    gzclose(file);
}

static int read_once(void) {
    struct err err;
    int result = input_file_type.read(handle, BATCH_RECORDS_MAX, &batch, &err);
    if (result == INPUT_BATCH) {
        for (size_t i = 0; i < batch.count; i++) {
            buf_add(&got, batch.records[i].data);
        }
    }
    return result;
}

static void read_all(void) {
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    while (read_once() != INPUT_END) {
        ck_assert(clock_monotonic_ms() < end_ms);
    }
}

static void commit(uint64_t number) {
    struct err err;
    ck_assert_msg(input_file_type.commit(handle, number, true, &err) == 0, "%s", err.text);
}

static void check_got(const char *text) {
    ck_assert_msg(span_eq(buf_span(&got), span_str(text)), "got \"%s\"", buf_cstr(&got));
}

/* Lines "<n> ....\n" until `size` bytes are there. */
static struct buf many_lines(size_t size) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    for (unsigned i = 0; text.len < size; i++) {
        buf_printf(&text, "%u 123456789010 eni-1235b8ca123456789 172.31.16.139\n", i);
    }
    return text;
}

START_TEST(reads_files_in_order_and_ends) {
    put("a.log", "one\ntwo");
    put("b.log", "three\n");
    begin("paths: [b.log, 'a*']");
    read_all();
    check_got("three\none\ntwo");
    ck_assert_int_eq(read_once(), INPUT_END);
}
END_TEST

START_TEST(tells_where_a_piece_comes_from) {
    struct buf text = many_lines(1 << 20);
    write_file("a.log", "w", buf_span(&text));
    begin("paths: a.log");
    size_t at = 0;
    for (int count = 0; read_once() == INPUT_BATCH; count++) {
        const struct record *record = &batch.records[0];
        ck_assert_uint_eq(batch.number, (uint64_t)count + 1);
        ck_assert(span_eq(record->origin.input, SPAN("file")));
        ck_assert(span_eq(record->origin.stream, span_str(in("a.log"))));
        ck_assert_int_eq(record->origin.number, (int64_t)at);
        ck_assert_int_eq(record->data.p[record->data.len - 1], '\n');
        ck_assert(
            span_eq(record->head, SPAN("0 123456789010 eni-1235b8ca123456789 172.31.16.139")));
        at += record->data.len;
    }
    ck_assert(span_eq(buf_span(&got), buf_span(&text)));
    buf_done(&text);
}
END_TEST

START_TEST(gzip_is_known_by_its_bytes) {
    struct buf text = many_lines(3 << 20);
    put_gzip("a.txt", "w", span_of(text.data, 100));
    put_gzip("a.txt", "a", span_of(text.data + 100, text.len - 100));
    put("b.gz", "not gzip at all\n");
    begin("paths: a.txt");
    read_all();
    ck_assert(span_eq(buf_span(&got), buf_span(&text)));
    end();
    begin("paths: b.gz");
    read_all();
    check_got("not gzip at all\n");
    buf_done(&text);
}
END_TEST

START_TEST(objects_stay_whole_across_pieces) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    for (int i = 0; text.len < 2 << 20; i++) {
        buf_printf(&text, "{\"logEvents\": [\n{\"id\": \"%d\", \"message\": \"}{\"}\n]}%s", i,
                   i % 3 ? "\n" : "");
    }
    write_file("a.json", "w", buf_span(&text));
    begin("paths: a.json");
    while (read_once() == INPUT_BATCH) {
        struct span piece = span_trim(batch.records[0].data);
        ck_assert(span_starts(piece, SPAN("{\"logEvents\"")));
        ck_assert(span_eq(span_skip(piece, piece.len - 3), SPAN("\n]}")));
    }
    ck_assert(span_eq(buf_span(&got), buf_span(&text)));
    buf_done(&text);
}
END_TEST

START_TEST(what_has_no_end_is_handed_out_at_a_ceiling) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    buf_reserve(&text, 20 << 20);
    memset(text.data, 'x', 20 << 20);
    text.len = 20 << 20;
    write_file("a.log", "w", buf_span(&text));
    begin("paths: a.log");
    ck_assert_int_eq(read_once(), INPUT_BATCH);
    ck_assert_uint_eq(batch.records[0].data.len, 16 << 20);
    ck_assert_uint_eq(batch.records[0].head.len, 0);
    read_all();
    ck_assert(span_eq(buf_span(&got), buf_span(&text)));
    buf_done(&text);
}
END_TEST

START_TEST(a_finished_file_is_not_read_again_and_one_that_grew_is_continued) {
    put("a.log", "head\none\n");
    put_gzip("b.gz", "w", SPAN("packed\n"));
    begin("paths: ['*.log', '*.gz']");
    read_all();
    check_got("head\none\npacked\n");
    commit(batch.number);
    end();

    begin("paths: ['*.log', '*.gz']");
    read_all();
    check_got("");
    end();

    append_to("a.log", "two\n");
    begin("paths: ['*.log', '*.gz']");
    read_all();
    check_got("two\n");
    ck_assert(span_eq(batch.records[0].head, SPAN("head")));
    ck_assert_int_eq(batch.records[0].origin.number, 9);
    commit(batch.number);
    end();

    put("a.log", "quite another file, longer than before\n");
    begin("paths: ['*.log', '*.gz']");
    read_all();
    check_got("quite another file, longer than before\n");
}
END_TEST

START_TEST(what_is_not_delivered_is_read_again) {
    struct buf text = many_lines(1 << 20);
    write_file("a.log", "w", buf_span(&text));
    put_gzip("b.gz", "w", buf_span(&text));
    for (int i = 0; i < 2; i++) {
        const char *paths = i == 0 ? "paths: a.log" : "paths: b.gz";
        begin(paths);
        ck_assert_int_eq(read_once(), INPUT_BATCH);
        size_t delivered = batch.records[0].data.len;
        ck_assert_int_eq(read_once(), INPUT_BATCH);
        commit(1);
        end();
        begin(paths);
        read_all();
        ck_assert(span_eq(buf_span(&got), span_skip(buf_span(&text), delivered)));
        ck_assert(span_starts(batch.records[0].head, SPAN("0 123456789010 eni-")));
        end();
    }
    buf_done(&text);
}
END_TEST

START_TEST(damaged_gzip_gives_what_it_held_and_is_done) {
    struct buf text = many_lines(1 << 20);
    put_gzip("a.gz", "w", buf_span(&text));
    struct stat st;
    stat(in("a.gz"), &st);
    ck_assert_int_eq(truncate(in("a.gz"), st.st_size / 2), 0);
    begin("paths: a.gz");
    read_all();
    ck_assert_uint_gt(got.len, 1000);
    ck_assert(span_starts(buf_span(&text), buf_span(&got)));
    commit(batch.number);
    end();
    begin("paths: a.gz");
    read_all();
    check_got("");
    buf_done(&text);
}
END_TEST

START_TEST(looking_keeps_nothing) {
    struct err err;
    put("a.log", "one\n");
    for (int i = 0; i < 2; i++) {
        configure("paths: a.log");
        ck_assert_int_eq(try_open(true, &handle, &err), 0);
        buf_clear(&got);
        read_all();
        check_got("one\n");
        commit(batch.number);
        end();
    }
    ck_assert_int_ne(access(in("files.json"), F_OK), 0);
}
END_TEST

START_TEST(workers_share_files_and_read_each_once) {
    void *other;
    struct err err;
    for (int i = 0; i < 20; i++) {
        char name[16], text[16];
        snprintf(name, sizeof(name), "%02d.log", i);
        snprintf(text, sizeof(text), "%02d\n", i);
        put(name, text);
    }
    begin("paths: '*.log'");
    ck_assert_int_eq(try_open(false, &other, &err), 0);
    int seen[20] = {0}, ended = 0;
    void *both[2] = {handle, other};
    while (ended < 2) {
        ended = 0;
        for (int i = 0; i < 2; i++) {
            int result = input_file_type.read(both[i], 1, &batch, &err);
            ended += result == INPUT_END;
            if (result == INPUT_BATCH) {
                seen[atoi(batch.records[0].data.p)]++;
            }
        }
    }
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(seen[i], 1);
    }
    input_file_type.close(other);
}
END_TEST

START_TEST(a_missing_file_is_an_error_and_an_empty_pattern_is_not) {
    struct err err;
    struct buf report;
    buf_init(&report, 1 << 16);
    configure("paths: absent.log");
    ck_assert_int_eq(input_file_type.check(conf, false, &report, &err), -1);
    ck_assert_int_eq(try_open(false, &handle, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "absent.log"));
    release_conf();
    configure("paths: 'absent*'");
    ck_assert_int_eq(input_file_type.check(conf, false, &report, &err), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&report), "nothing matches"));
    ck_assert_int_eq(try_open(false, &handle, &err), 0);
    ck_assert_int_eq(read_once(), INPUT_END);
    buf_done(&report);
}
END_TEST

START_TEST(standard_input_may_be_gzip) {
    int ends[2];
    ck_assert_int_eq(pipe(ends), 0);
    ck_assert_int_eq(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    put_gzip("a.gz", "w", SPAN("one\ntwo\n"));
    begin("paths: '-'");
    ck_assert_int_eq(read_once(), INPUT_IDLE);
    char bytes[256];
    int file = open(in("a.gz"), O_RDONLY);
    ssize_t count = read(file, bytes, sizeof(bytes));
    close(file);
    ck_assert_int_eq(write(ends[1], bytes, 1), 1);
    ck_assert_int_eq(read_once(), INPUT_IDLE);
    ck_assert_int_eq(write(ends[1], bytes + 1, (size_t)count - 1), count - 1);
    close(ends[1]);
    read_all();
    check_got("one\ntwo\n");
}
END_TEST

static void follow_until(const char *text) {
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    while (got.len < strlen(text)) {
        if (read_once() != INPUT_BATCH) {
            usleep(5000);
        }
        ck_assert_msg(clock_monotonic_ms() < end_ms, "got \"%s\"", buf_cstr(&got));
    }
    check_got(text);
}

START_TEST(follows_across_growth_rotation_truncation_and_new_files) {
    put("a.log", "one\npart");
    begin("{paths: ['*.log'], follow: true}");
    follow_until("one\n");
    append_to("a.log", "ial\n");
    follow_until("one\npartial\n");

    append_to("a.log", "late\n");
    ck_assert_int_eq(rename(in("a.log"), in("a.log.1")), 0);
    put("a.log", "fresh\n");
    follow_until("one\npartial\nlate\nfresh\n");
    put("b.log", "new\n");
    follow_until("one\npartial\nlate\nfresh\nnew\n");

    ck_assert_int_eq(truncate(in("b.log"), 0), 0);
    ck_assert_int_eq(read_once(), INPUT_IDLE);
    append_to("b.log", "x\n");
    follow_until("one\npartial\nlate\nfresh\nnew\nx\n");
    commit(batch.number);
}
END_TEST

START_TEST(without_room_nothing_moves) {
    struct err err;
    struct buf text = many_lines(1 << 20);
    write_file("a.log", "w", buf_span(&text));
    begin("paths: a.log");
    ck_assert_int_eq(read_once(), INPUT_BATCH);
    struct span piece = batch.records[0].data;
    ck_assert_int_eq(input_file_type.read(handle, 0, &batch, &err), INPUT_IDLE);
    ck_assert(span_starts(buf_span(&text), piece));
    read_all();
    ck_assert(span_eq(buf_span(&got), buf_span(&text)));
    buf_done(&text);
}
END_TEST

static void check_progress(const char *wanted) {
    struct buf text;
    buf_init(&text, 4096);
    input_file_type.describe(handle, &text);
    ck_assert_msg(span_starts(buf_span(&text), span_str(wanted)), "%s", buf_cstr(&text));
    buf_done(&text);
}

/* How much will come over a pipe nobody knows. */
START_TEST(progress_says_only_what_is_known) {
    put("a.log", "one\n");
    begin("paths: [a.log]\n");
    check_progress("files: 0 of 1 read, 0.0 of 0.0 MB, 0.0 MB/s\n");
    end();
    begin("paths: [a.log, '-']\n");
    check_progress("files: 0 of 2 read, 0.0 MB, 0.0 MB/s\n");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("input_file");
    TCase *tcase = tcase_create("file");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, reads_files_in_order_and_ends);
    tcase_add_test(tcase, tells_where_a_piece_comes_from);
    tcase_add_test(tcase, gzip_is_known_by_its_bytes);
    tcase_add_test(tcase, objects_stay_whole_across_pieces);
    tcase_add_test(tcase, what_has_no_end_is_handed_out_at_a_ceiling);
    tcase_add_test(tcase, a_finished_file_is_not_read_again_and_one_that_grew_is_continued);
    tcase_add_test(tcase, what_is_not_delivered_is_read_again);
    tcase_add_test(tcase, damaged_gzip_gives_what_it_held_and_is_done);
    tcase_add_test(tcase, looking_keeps_nothing);
    tcase_add_test(tcase, workers_share_files_and_read_each_once);
    tcase_add_test(tcase, a_missing_file_is_an_error_and_an_empty_pattern_is_not);
    tcase_add_test(tcase, standard_input_may_be_gzip);
    tcase_add_test(tcase, follows_across_growth_rotation_truncation_and_new_files);
    tcase_add_test(tcase, without_room_nothing_moves);
    tcase_add_test(tcase, progress_says_only_what_is_known);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
