/* SPDX-License-Identifier: Apache-2.0 */
#include "output/chunk.h"

#include <stdlib.h>

#include "unit.h"

enum { MTU = 1420, ROOM = MTU - CHUNK_HEADER_BYTES };

START_TEST(counts_datagrams_at_every_edge) {
    ck_assert_uint_eq(chunk_count(1, MTU), 1);
    ck_assert_uint_eq(chunk_count(MTU, MTU), 1);
    ck_assert_uint_eq(chunk_count(MTU + 1, MTU), 2);
    ck_assert_uint_eq(chunk_count(2 * ROOM, MTU), 2);
    ck_assert_uint_eq(chunk_count(2 * ROOM + 1, MTU), 3);
    ck_assert_uint_eq(chunk_count(128 * ROOM, MTU), 128);
    ck_assert_uint_eq(chunk_count(128 * ROOM + 1, MTU), 129);
}
END_TEST

START_TEST(chunks_cover_the_payload_without_gap) {
    const size_t sizes[] = {MTU + 1, 2 * ROOM, 2 * ROOM + 1, 100000, 128 * ROOM};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        size_t end = 0, count = chunk_count(sizes[i], MTU);
        for (size_t index = 0; index < count; index++) {
            size_t size = chunk_size(sizes[i], index, MTU);
            ck_assert_uint_eq(chunk_offset(index, MTU), end);
            ck_assert_uint_gt(size, 0);
            ck_assert_uint_le(size + CHUNK_HEADER_BYTES, MTU);
            end += size;
        }
        ck_assert_uint_eq(end, sizes[i]);
    }
}
END_TEST

START_TEST(the_header_is_as_the_specification_has_it) {
    uint8_t header[CHUNK_HEADER_BYTES];
    uint64_t id;
    memcpy(&id, "\x01\x02\x03\x04\x05\x06\x07\x08", 8);
    chunk_header(id, 2, 128, header);
    ck_assert_mem_eq(header, "\x1e\x0f\x01\x02\x03\x04\x05\x06\x07\x08\x02\x80", 12);
}
END_TEST

static int compare_ids(const void *a, const void *b) {
    const uint64_t *x = a, *y = b;
    return (*x > *y) - (*x < *y);
}

START_TEST(ids_differ_within_a_sender_and_between_two) {
    enum { EACH = 50000 };
    static uint64_t ids[2 * EACH];
    struct chunk_ids one = {.seed = 1}, other = {.seed = 2};
    for (size_t i = 0; i < EACH; i++) {
        ids[2 * i] = chunk_next_id(&one);
        ids[2 * i + 1] = chunk_next_id(&other);
    }
    qsort(ids, 2 * EACH, sizeof *ids, compare_ids);
    for (size_t i = 1; i < 2 * EACH; i++) {
        ck_assert_uint_ne(ids[i - 1], ids[i]);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("chunk");
    TCase *chunks = tcase_create("chunks");
    tcase_add_test(chunks, counts_datagrams_at_every_edge);
    tcase_add_test(chunks, chunks_cover_the_payload_without_gap);
    tcase_add_test(chunks, the_header_is_as_the_specification_has_it);
    tcase_add_test(chunks, ids_differ_within_a_sender_and_between_two);
    suite_add_tcase(suite, chunks);
    return run_suite(suite);
}
