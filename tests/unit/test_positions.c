/* SPDX-License-Identifier: Apache-2.0 */
/* The table of positions: kept across lives, shared in the process, refused when damaged. */
#include "core/positions.h"

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "unit.h"

static char folder[] = "/tmp/flowgelf-positions-XXXXXX";
static char table[64];

static void set_up(void) {
    strcpy(folder + strlen(folder) - 6, "XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(table, sizeof(table), "%s/files.json", folder);
}

static void tear_down(void) {
    unlink(table);
    rmdir(folder);
}

static struct position row(uint64_t inode, int64_t text_bytes) {
    return (struct position){.device = 7,
                             .inode = inode,
                             .mark = 0xfedcba9876543210,
                             .mark_bytes = 1024,
                             .text_bytes = text_bytes,
                             .size_bytes = 5000,
                             .finished = inode == 2};
}

START_TEST(what_is_saved_is_found_in_the_next_life) {
    struct positions *positions;
    struct position found, first = row(1, 100), second = row(2, 200);
    struct err err;
    ck_assert_int_eq(positions_open(table, &positions, &err), 0);
    ck_assert(!positions_find(positions, 7, 1, &found));
    positions_put(positions, &second, "/var/b.gz");
    positions_put(positions, &first, "/var/\xff.log");
    ck_assert_int_eq(positions_save(positions, &err), 0);
    positions_close(positions);

    ck_assert_int_eq(positions_open(table, &positions, &err), 0);
    ck_assert(positions_find(positions, 7, 1, &found));
    ck_assert_int_eq(found.text_bytes, 100);
    ck_assert(!found.finished);
    ck_assert(positions_find(positions, 7, 2, &found));
    ck_assert_uint_eq(found.mark, 0xfedcba9876543210);
    ck_assert_int_eq(found.mark_bytes, 1024);
    ck_assert_int_eq(found.size_bytes, 5000);
    ck_assert(found.finished);
    ck_assert(!positions_find(positions, 8, 2, &found));
    positions_close(positions);
}
END_TEST

START_TEST(a_row_is_replaced_not_doubled) {
    struct positions *positions;
    struct position found, old = row(1, 100), new = row(1, 300);
    struct err err;
    ck_assert_int_eq(positions_open(NULL, &positions, &err), 0);
    positions_put(positions, &old, "/a");
    positions_put(positions, &new, "/a.1");
    ck_assert(positions_find(positions, 7, 1, &found));
    ck_assert_int_eq(found.text_bytes, 300);
    ck_assert_int_eq(positions_save(positions, &err), 0); /* kept nowhere: nothing to do */
    positions_close(positions);
}
END_TEST

START_TEST(two_inputs_of_a_process_share_a_table) {
    struct positions *one, *other;
    struct position found, mine = row(1, 1);
    struct err err;
    ck_assert_int_eq(positions_open(table, &one, &err), 0);
    ck_assert_int_eq(positions_open(table, &other, &err), 0);
    positions_put(one, &mine, "/a");
    ck_assert(positions_find(other, 7, 1, &found));
    positions_close(one);
    ck_assert(positions_find(other, 7, 1, &found));
    positions_close(other);
}
END_TEST

START_TEST(a_full_table_drops_a_row_only_for_a_new_one) {
    struct positions *positions;
    struct position found, again = row(POSITIONS_MAX, 9), one_more = row(POSITIONS_MAX + 1, 1);
    struct err err;
    ck_assert_int_eq(positions_open(NULL, &positions, &err), 0);
    for (uint64_t inode = 1; inode <= POSITIONS_MAX; inode++) {
        struct position each = row(inode, 1);
        positions_put(positions, &each, "/a");
    }
    positions_put(positions, &again, "/a");
    ck_assert(positions_find(positions, 7, 1, &found));
    ck_assert(positions_find(positions, 7, POSITIONS_MAX, &found));
    ck_assert_int_eq(found.text_bytes, 9);
    positions_put(positions, &one_more, "/a");
    ck_assert(positions_find(positions, 7, POSITIONS_MAX + 1, &found));
    ck_assert(!positions_find(positions, 7, 1, &found));
    positions_close(positions);
}
END_TEST

static void refuse(const char *text) {
    struct positions *positions;
    struct err err;
    FILE *file = fopen(table, "w");
    fputs(text, file);
    fclose(file);
    ck_assert_int_eq(positions_open(table, &positions, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, table));
}

START_TEST(a_damaged_table_is_refused) {
    refuse("{\"version\": 1, \"files\": [");
    refuse("{\"version\": 2, \"files\": []}");
    refuse("{\"version\": 1, \"files\": [{\"path\": 3}]}");
    refuse("[]");
}
END_TEST

START_TEST(a_table_that_cannot_be_written_stays_due) {
    struct positions *positions;
    struct position mine = row(1, 1);
    struct err err;
    char blocked[80];
    snprintf(blocked, sizeof(blocked), "%s/none/files.json", folder);
    ck_assert_int_eq(positions_open(blocked, &positions, &err), 0);
    positions_put(positions, &mine, "/a");
    ck_assert_int_eq(positions_save(positions, &err), -1);
    ck_assert_int_eq(positions_save(positions, &err), -1);
    positions_close(positions);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("positions");
    TCase *tcase = tcase_create("positions");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, what_is_saved_is_found_in_the_next_life);
    tcase_add_test(tcase, a_row_is_replaced_not_doubled);
    tcase_add_test(tcase, two_inputs_of_a_process_share_a_table);
    tcase_add_test(tcase, a_full_table_drops_a_row_only_for_a_new_one);
    tcase_add_test(tcase, a_damaged_table_is_refused);
    tcase_add_test(tcase, a_table_that_cannot_be_written_stays_due);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
