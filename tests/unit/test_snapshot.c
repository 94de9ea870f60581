/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots and the refresher: a table lives as long as somebody holds it, a changed file gives a
 * new one, and a file that became bad leaves the last good table in use.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "core/refresh.h"
#include "unit.h"

enum { WAIT_MS = 5000, SWAPS = 300 };

static char directory[] = "/tmp/flowgelf-test-XXXXXX";
static char path[64];
static atomic_int alive, unloaded;

/* A table is the number in a file; "bad" is none. */
static int load(const void *conf, struct buf *report, void **table, struct err *err) {
    struct buf text;
    (void)conf;
    buf_init(&text, 100);
    int result = file_read(path, &text, err);
    int value = atoi(buf_cstr(&text));
    buf_done(&text);
    if (result != 0 || value == 0) {
        return result != 0 ? -1 : err_set(err, ERR_CONFIG, "%s: not a number", path);
    }
    buf_printf(report, "test: %d\n", value);
    alive++;
    *table = malloc(sizeof(value));
    *(int *)*table = value;
    return 0;
}

static void unload(void *table) {
    alive--;
    unloaded++;
    *(int *)table = -1;
    free(table);
}

static const char *file(const void *conf, size_t index) {
    (void)conf;
    return index == 0 ? path : NULL;
}

static const struct enricher_type type = {
    .name = "test", .load = load, .unload = unload, .file = file};
static struct enricher_use use = {.type = &type};
static struct settings settings = {.enricher_count = 1, .enrichers = &use};
static struct err err;

static void write_value(const char *text) {
    ck_assert_int_eq(file_write(path, span_str(text), 0600, &err), 0);
}

static void setup(void) {
    snprintf(directory, sizeof(directory), "/tmp/flowgelf-test-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/table", directory);
    write_value("1");
}

static void teardown(void) {
    unlink(path);
    rmdir(directory);
    ck_assert_int_eq(alive, 0);
}

static int value_now(struct refresh *refresh) {
    const struct snapshot *snapshot = snapshots_acquire(refresh_snapshots(refresh));
    int value = *(const int *)snapshot->sources[0].table;
    snapshots_release(refresh_snapshots(refresh), snapshot);
    return value;
}

static void wait_for_value(struct refresh *refresh, int value) {
    int waited_ms = 0;
    while (value_now(refresh) != value && waited_ms++ < WAIT_MS) {
        usleep(1000);
    }
    ck_assert_int_eq(value_now(refresh), value);
}

START_TEST(a_changed_file_is_loaded_anew) {
    struct refresh *refresh;
    ck_assert_int_eq(refresh_open(&settings, &refresh, NULL, &err), 0);
    struct jobs *jobs = jobs_open(1);
    refresh_start(refresh, jobs, 5);
    ck_assert_int_eq(value_now(refresh), 1);
    write_value("2");
    wait_for_value(refresh, 2);
    ck_assert_int_eq(unloaded, 1);
    refresh_close(refresh);
    jobs_close(jobs);
}
END_TEST

START_TEST(the_last_good_one_is_kept) {
    struct refresh *refresh;
    ck_assert_int_eq(refresh_open(&settings, &refresh, NULL, &err), 0);
    struct jobs *jobs = jobs_open(1);
    refresh_start(refresh, jobs, 5);
    write_value("bad");
    usleep(50000);
    ck_assert_int_eq(value_now(refresh), 1);
    unlink(path);
    usleep(50000);
    ck_assert_int_eq(value_now(refresh), 1);
    write_value("3");
    wait_for_value(refresh, 3);
    refresh_close(refresh);
    jobs_close(jobs);
}
END_TEST

START_TEST(a_bad_table_at_the_start_is_an_error) {
    struct refresh *refresh = NULL;
    write_value("bad");
    ck_assert_int_eq(refresh_open(&settings, &refresh, NULL, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "enrich.test: "));
    ck_assert_ptr_nonnull(strstr(err.text, path));
    ck_assert_ptr_null(refresh);
}
END_TEST

START_TEST(a_holder_keeps_its_table) {
    struct snapshots *snapshots = snapshots_open(1);
    struct buf report;
    void *table;
    buf_init(&report, 1000);
    ck_assert_int_eq(load(NULL, &report, &table, &err), 0);
    snapshots_publish(snapshots, 0, &type, table);
    const struct snapshot *old = snapshots_acquire(snapshots);
    write_value("2");
    ck_assert_int_eq(load(NULL, &report, &table, &err), 0);
    snapshots_publish(snapshots, 0, &type, table);
    const struct snapshot *new = snapshots_acquire(snapshots);
    ck_assert_uint_gt(new->version, old->version);
    ck_assert_int_eq(*(const int *)old->sources[0].table, 1);
    ck_assert_int_eq(*(const int *)new->sources[0].table, 2);
    ck_assert_int_eq(alive, 2);
    snapshots_release(snapshots, old);
    ck_assert_int_eq(alive, 1);
    snapshots_release(snapshots, new);
    snapshots_close(snapshots);
    buf_done(&report);
}
END_TEST

static void *reader(void *argument) {
    struct snapshots *snapshots = argument;
    int last = 0;
    while (last < SWAPS) {
        const struct snapshot *snapshot = snapshots_acquire(snapshots);
        int value = *(const int *)snapshot->sources[0].table;
        snapshots_release(snapshots, snapshot);
        ck_assert_int_ge(value, last);
        last = value;
    }
    return NULL;
}

/* Under ASan a table used after its unload, and under TSan a race, would show. */
START_TEST(tables_are_swapped_under_readers) {
    struct snapshots *snapshots = snapshots_open(1);
    pthread_t threads[2];
    for (int value = 1; value <= SWAPS; value++) {
        int *table = malloc(sizeof(*table));
        *table = value;
        alive++;
        snapshots_publish(snapshots, 0, &type, table);
        if (value == 1) {
            pthread_create(&threads[0], NULL, reader, snapshots);
            pthread_create(&threads[1], NULL, reader, snapshots);
        }
    }
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
    ck_assert_int_eq(alive, 1);
    snapshots_close(snapshots);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("snapshot");
    TCase *cases = tcase_create("tables");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, a_changed_file_is_loaded_anew);
    tcase_add_test(cases, the_last_good_one_is_kept);
    tcase_add_test(cases, a_bad_table_at_the_start_is_an_error);
    tcase_add_test(cases, a_holder_keeps_its_table);
    tcase_add_test(cases, tables_are_swapped_under_readers);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
