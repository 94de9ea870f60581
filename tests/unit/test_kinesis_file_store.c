/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file store: where shards begin, what survives a life, a disk that fails, files that are not
 * ours, and threads that put, flush and sync at once.
 */
#include <check.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "input/kinesis_store.h"
#include "unit.h"

static const struct kinesis_store_type *const type = &kinesis_file_store;
static const int64_t start_ms = 1700000000000;

static char folder[] = "/tmp/flowgelf-kinesis-XXXXXX";
static char table[64];
static struct kinesis_store_conf conf;
static void *store;
static struct kinesis_shards shards;
static struct kinesis_claim claims[64];
static atomic_bool stopping;
static struct err err;

static void set_up(void) {
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(table, sizeof(table), "%s/flow.json", folder);
    conf = (struct kinesis_store_conf){
        .stream = "flow",
        .region = "eu-west-1",
        .path = table,
        .start = {.kind = POSITION_TIME, .time_ms = start_ms},
    };
    store = NULL;
}

static void tear_down(void) {
    char fresh[80];
    if (store) {
        type->close(store);
    }
    kinesis_shards_done(&shards);
    snprintf(fresh, sizeof(fresh), "%s.new", table);
    rmdir(fresh);
    unlink(table);
    rmdir(folder);
}

static void begin(void) {
    ck_assert_msg(type->open(&conf, &store, &err) == 0, "%s", err.text);
}

static void end(void) {
    type->close(store);
    store = NULL;
}

static void list(const char *id, const char *parent) {
    struct kinesis_shard shard = {.is_open = true};
    snprintf(shard.id, sizeof(shard.id), "%s", id);
    snprintf(shard.parent, sizeof(shard.parent), "%s", parent);
    ck_assert_int_eq(kinesis_shards_add(&shards, &shard, &err), 0);
    kinesis_shards_finish(&shards);
}

static int sync_now(bool is_fresh) {
    int64_t pause_ms = 0;
    memset(claims, 0x5A, sizeof(claims));
    int result = type->sync(store, &shards, is_fresh, &stopping, claims, &pause_ms, &err);
    ck_assert_int_gt(pause_ms, 0);
    return result;
}

static void synced(void) {
    ck_assert_msg(sync_now(true) == 0, "%s", err.text);
}

static struct kinesis_position sequence(const char *digits, int64_t sub) {
    struct kinesis_position position = {.kind = POSITION_SEQUENCE, .sub = sub};
    ck_assert(kinesis_sequence_set(position.sequence, span_str(digits)));
    return position;
}

static void put(const char *id, struct kinesis_position position) {
    type->put(store, id, &position);
}

static void claim_is(int i, enum kinesis_position_kind kind, bool was_new) {
    ck_assert_int_eq(claims[i].position.kind, kind);
    ck_assert_int_eq(claims[i].position.time_ms, kind == POSITION_TIME ? start_ms : 0);
    ck_assert_int_eq(claims[i].was_new, was_new);
    ck_assert(claims[i].is_ours);
    ck_assert_str_eq(claims[i].owner, "");
}

START_TEST(the_first_start_is_stored_before_sync_returns) {
    struct stat st;
    ck_assert(!type->waits_for_stored_parents);
    list("a", "gone");
    list("b", "");
    list("b-child", "b");
    begin();
    ck_assert_int_ne(access(table, F_OK), 0);
    synced();
    claim_is(0, POSITION_TIME, true);
    claim_is(1, POSITION_TIME, true);
    claim_is(2, POSITION_TIME, true);
    ck_assert_int_eq(stat(table, &st), 0);
    ck_assert_int_eq(st.st_mode & 07777, 0600);
    synced();
    claim_is(0, POSITION_TIME, false);

    void *other; /* as a life behind a kill -9 */
    ck_assert_int_eq(type->open(&conf, &other, &err), 0);
    end();
    store = other;
    conf.start.time_ms = 5;
    synced();
    claim_is(0, POSITION_TIME, false);
    claim_is(1, POSITION_TIME, false);
    claim_is(2, POSITION_TIME, false);
}
END_TEST

START_TEST(later_shards_begin_at_their_oldest_record) {
    list("a", "");
    begin();
    synced();
    list("b", "a");
    list("c", "");
    ck_assert_int_eq(sync_now(false), 0);
    claim_is(0, POSITION_TIME, false);
    claim_is(1, POSITION_TRIM_HORIZON, true);
    claim_is(2, POSITION_TRIM_HORIZON, true);
    end();
    begin();
    list("d", "");
    synced();
    claim_is(2, POSITION_TRIM_HORIZON, false);
    claim_is(3, POSITION_TRIM_HORIZON, true);
}
END_TEST

START_TEST(what_was_put_is_there_in_the_next_life) {
    struct kinesis_position found = sequence("49654408065041167856344494471019467136263915", 7);
    list("a", "");
    list("b", "");
    list("c", "");
    begin();
    synced();
    put("a", found);
    put("b", (struct kinesis_position){.kind = POSITION_SHARD_END});
    put("not ours", sequence("1", 0));
    ck_assert_int_eq(type->flush(store, 0, &err), 0);
    put("c", sequence("0", 0)); /* stored by close */
    end();
    shards.items[1].is_open = false;
    begin();
    synced();
    ck_assert_int_eq(kinesis_position_compare(&claims[0].position, &found), 0);
    claim_is(1, POSITION_SHARD_END, false);
    ck_assert_str_eq(claims[2].position.sequence, "0");
}
END_TEST

START_TEST(an_open_shard_was_not_read_to_its_end) {
    list("a", ""); /* of a stream that was deleted, and made anew under its name */
    begin();
    synced();
    put("a", (struct kinesis_position){.kind = POSITION_SHARD_END});
    synced(); /* in the same life the list may be older than the end */
    claim_is(0, POSITION_SHARD_END, false);
    end();
    begin();
    synced();
    claim_is(0, POSITION_TRIM_HORIZON, false);
}
END_TEST

START_TEST(a_flush_without_news_writes_nothing) {
    list("a", "");
    begin();
    synced();
    ck_assert_int_eq(unlink(table), 0);
    ck_assert_int_eq(type->flush(store, 0, &err), 0);
    ck_assert_int_ne(access(table, F_OK), 0);
    put("a", sequence("1", 0));
    ck_assert_int_eq(type->flush(store, 1000, &err), 0);
    ck_assert_int_eq(access(table, F_OK), 0);
    ck_assert_int_eq(unlink(table), 0);
    put("a", sequence("1", 0)); /* it is there already */
    ck_assert_int_eq(type->flush(store, 0, &err), 0);
    ck_assert_int_ne(access(table, F_OK), 0);
}
END_TEST

START_TEST(a_shard_that_is_gone_is_dropped_at_the_second_list) {
    struct kinesis_shards none = {0};
    int64_t pause_ms;
    list("a", "");
    list("b", "");
    begin();
    synced();
    put("a", sequence("1", 0));
    shards.items[0] = shards.items[1]; /* only b */
    shards.count = 1;
    ck_assert_int_eq(sync_now(false), 0);
    ck_assert_int_eq(sync_now(false), 0);
    synced();
    /* An empty list says nothing. */
    ck_assert_int_eq(type->sync(store, &none, true, &stopping, claims, &pause_ms, &err), 0);
    list("a", "");
    synced();
    ck_assert_str_eq(claims[0].position.sequence, "1"); /* missing in one list only */
    shards.items[0] = shards.items[1];
    shards.count = 1;
    synced();
    synced();
    put("a", sequence("2", 0)); /* nobody's now */
    list("a", "");
    synced();
    claim_is(0, POSITION_TRIM_HORIZON, true);
    claim_is(1, POSITION_TIME, false);
}
END_TEST

/* Nobody but root may make a file where a folder stands either, so this holds for root too. */
static void block(bool is_blocked) {
    char fresh[80];
    snprintf(fresh, sizeof(fresh), "%s.new", table);
    ck_assert_int_eq(is_blocked ? mkdir(fresh, 0700) : rmdir(fresh), 0);
}

static char *content(void) {
    static char bytes[4096];
    FILE *file = fopen(table, "r");
    ck_assert_ptr_nonnull(file);
    bytes[fread(bytes, 1, sizeof(bytes) - 1, file)] = '\0';
    fclose(file);
    return bytes;
}

START_TEST(a_write_that_fails_leaves_the_old_file_and_is_made_up_for) {
    char before[4096];
    list("a", "");
    begin();
    synced();
    strcpy(before, content());
    put("a", sequence("17", 0));
    block(true);
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(type->flush(store, 0, &err), -1);
        ck_assert_int_eq(err.kind, ERR_RETRY);
        ck_assert_ptr_nonnull(strstr(err.text, table));
        ck_assert_ptr_nonnull(strstr(err.text, "Is a directory"));
        ck_assert_str_eq(content(), before);
    }
    synced(); /* nothing new: the disk does not matter */
    list("b", "a");
    ck_assert_int_eq(sync_now(true), -1);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_str_eq(content(), before);
    block(false);
    synced();
    ck_assert_str_eq(claims[0].position.sequence, "17");
    claim_is(1, POSITION_TRIM_HORIZON, true); /* is still said to be new, once */
    ck_assert_ptr_nonnull(strstr(content(), "\"17\""));
    synced();
    claim_is(1, POSITION_TRIM_HORIZON, false);
}
END_TEST

START_TEST(a_folder_that_may_not_be_written_to_keeps_the_old_file) {
    char before[4096];
    if (geteuid() == 0) {
        fprintf(stderr, "NOT RUN: permissions do not hold root back\n");
        return;
    }
    list("a", "");
    begin();
    synced();
    strcpy(before, content());
    put("a", sequence("17", 0));
    ck_assert_int_eq(chmod(folder, 0500), 0);
    ck_assert_int_eq(type->flush(store, 0, &err), -1);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_ptr_nonnull(strstr(err.text, "Permission denied"));
    ck_assert_str_eq(content(), before);
    ck_assert_int_eq(chmod(folder, 0700), 0);
    ck_assert_int_eq(type->flush(store, 0, &err), 0);
    ck_assert_ptr_nonnull(strstr(content(), "\"17\""));
}
END_TEST

START_TEST(a_first_start_that_is_not_stored_claims_nothing) {
    char gone[80];
    snprintf(gone, sizeof(gone), "%s/none/flow.json", folder);
    conf.path = gone;
    list("a", "");
    begin();
    ck_assert_int_eq(sync_now(true), -1);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_ptr_nonnull(strstr(err.text, gone));
    ck_assert_int_eq(claims[0].owner[0], 0x5A); /* untouched */
}
END_TEST

static void hold(const char *text) {
    FILE *file = fopen(table, "w");
    fputs(text, file);
    fclose(file);
}

static void refuse(const char *text, const char *what) {
    hold(text);
    ck_assert_int_eq(type->open(&conf, &store, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, table) && strstr(err.text, what), "%s", err.text);
    ck_assert_str_eq(content(), text);
}

#define HEAD   "{\"version\": 1, \"stream\": \"flow\", \"region\": \"eu-west-1\", \"shards\": {"
#define ROW(m) HEAD "\"s\": {\"changed_ms\": 1" m "}}}"

START_TEST(a_file_that_is_not_ours_is_refused_and_left) {
    refuse("", "remove it");
    refuse(HEAD, "remove it");
    refuse("[]", "not a table");
    refuse("{\"version\": 2, \"stream\": \"flow\", \"region\": \"eu-west-1\", \"shards\": {}}",
           "version 1");
    refuse("{\"version\": 1, \"files\": []}", "not a table");
    refuse("{\"version\": 1, \"stream\": \"other\", \"region\": \"eu-west-1\", \"shards\": {}}",
           "stream other in eu-west-1, but the input reads flow in eu-west-1");
    refuse("{\"version\": 1, \"stream\": \"flow\", \"region\": \"us-east-1\", \"shards\": {}}",
           "stream flow in us-east-1, but the input reads flow in eu-west-1");
    refuse(ROW(""), "shard s");
    refuse(ROW(", \"position\": \"LATEST\""), "shard s");
    refuse(ROW(", \"position\": \"\""), "shard s");
    refuse(ROW(", \"position\": \"17\", \"sub\": -1"), "shard s");
    refuse(ROW(", \"position\": \"AT_TIMESTAMP\", \"time_ms\": \"1\""), "shard s");
    refuse(HEAD "\"s\": 3}}", "shard s");
    refuse(HEAD "\"a b\": {\"changed_ms\": 1, \"position\": \"1\"}}}", "shard a b");
    refuse(HEAD "\"s\": {}, \"s\": {}}}", "duplicate");
}
END_TEST

START_TEST(rows_in_any_order_are_found) {
    hold(HEAD "\"c\": {\"changed_ms\": 1, \"position\": \"3\"}, \"a\": {\"changed_ms\": 1, "
              "\"position\": \"1\", \"sub\": 5}, \"b\": {\"changed_ms\": 1, \"later\": {}, "
              "\"position\": \"AT_TIMESTAMP\", \"time_ms\": 1700000000000}}}");
    list("a", "");
    list("b", "");
    list("c", "");
    begin();
    synced();
    ck_assert_str_eq(claims[0].position.sequence, "1");
    ck_assert_int_eq(claims[0].position.sub, 5);
    claim_is(1, POSITION_TIME, false);
    ck_assert_str_eq(claims[2].position.sequence, "3");
}
END_TEST

START_TEST(names_are_written_so_that_they_are_read_again) {
    conf.stream = "a \"stream\" \\ of \xC3\xA9";
    list("a", "");
    begin();
    synced();
    end();
    begin();
    synced();
    claim_is(0, POSITION_TIME, false);
}
END_TEST

START_TEST(a_look_changes_nothing) {
    int64_t age_ms[2];
    list("a", "");
    list("b", "a");
    begin();
    ck_assert_int_eq(type->show(store, &shards, claims, age_ms, &err), 0);
    claim_is(0, POSITION_TIME, true);
    claim_is(1, POSITION_TIME, true);
    ck_assert_int_eq(age_ms[0], -1);
    end();
    ck_assert_int_ne(access(table, F_OK), 0);

    char text[200];
    snprintf(text, sizeof(text), HEAD "\"a\": {\"changed_ms\": %lld, \"position\": \"1\"}}}",
             (long long)clock_wall_ms() - 60000);
    hold(text);
    begin();
    ck_assert_int_eq(type->show(store, &shards, claims, age_ms, &err), 0);
    ck_assert_str_eq(claims[0].position.sequence, "1");
    ck_assert(!claims[0].was_new);
    ck_assert_int_ge(age_ms[0], 60000);
    claim_is(1, POSITION_TRIM_HORIZON, true);
    ck_assert_int_eq(age_ms[1], -1);
    end();
    ck_assert_str_eq(content(), text);
}
END_TEST

/* Many at once. */

enum { PUTTERS = 3, PUTS = 2000 };

static void *put_many(void *shard) {
    for (int i = 1; i <= PUTS; i++) {
        struct kinesis_position position = {.kind = POSITION_SEQUENCE, .sub = i};
        struct err failure;
        snprintf(position.sequence, sizeof(position.sequence), "%d", i);
        type->put(store, shard, &position);
        if (i % 200 == 0 && type->flush(store, 0, &failure) != 0) {
            return shard;
        }
    }
    return NULL;
}

static json_t *positions_on_disk(void) {
    json_t *root = json_load_file(table, 0, NULL);
    ck_assert_ptr_nonnull(root); /* never a piece of a file */
    return root;
}

START_TEST(threads_put_flush_and_sync_at_once) {
    static char ids[PUTTERS][8] = {"a", "b", "c"};
    pthread_t threads[PUTTERS];
    char id[20];
    list("a", "");
    list("b", "");
    list("c", "");
    begin();
    synced();
    for (int i = 0; i < PUTTERS; i++) {
        pthread_create(&threads[i], NULL, put_many, ids[i]);
    }
    for (int i = 0; i < 20; i++) {
        snprintf(id, sizeof(id), "new-%02d", i);
        list(id, "");
        synced();
        json_t *root = positions_on_disk();
        ck_assert_ptr_nonnull(json_object_get(json_object_get(root, "shards"), id));
        json_decref(root);
    }
    for (int i = 0; i < PUTTERS; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        ck_assert_ptr_null(failed);
    }
    json_t *root = positions_on_disk();
    for (int i = 0; i < PUTTERS; i++) {
        json_t *row = json_object_get(json_object_get(root, "shards"), ids[i]);
        ck_assert_int_eq(json_integer_value(json_object_get(row, "sub")), PUTS);
    }
    json_decref(root);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kinesis_file_store");
    TCase *tcase = tcase_create("kinesis_file_store");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, the_first_start_is_stored_before_sync_returns);
    tcase_add_test(tcase, later_shards_begin_at_their_oldest_record);
    tcase_add_test(tcase, what_was_put_is_there_in_the_next_life);
    tcase_add_test(tcase, an_open_shard_was_not_read_to_its_end);
    tcase_add_test(tcase, a_flush_without_news_writes_nothing);
    tcase_add_test(tcase, a_shard_that_is_gone_is_dropped_at_the_second_list);
    tcase_add_test(tcase, a_write_that_fails_leaves_the_old_file_and_is_made_up_for);
    tcase_add_test(tcase, a_folder_that_may_not_be_written_to_keeps_the_old_file);
    tcase_add_test(tcase, a_first_start_that_is_not_stored_claims_nothing);
    tcase_add_test(tcase, a_file_that_is_not_ours_is_refused_and_left);
    tcase_add_test(tcase, rows_in_any_order_are_found);
    tcase_add_test(tcase, names_are_written_so_that_they_are_read_again);
    tcase_add_test(tcase, a_look_changes_nothing);
    tcase_add_test(tcase, threads_put_flush_and_sync_at_once);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
