/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregates of others with the user records that their own readers saw, aggregates built here by
 * hand for what nobody sends, and every way of damaging one.
 */
#include "input/kpl.h"

#include <check.h>
#include <jansson.h>
#include <openssl/evp.h>
#include <string.h>

#include "base/base64.h"
#include "data_file.h"
#include "unit.h"

static const struct kinesis_range everything = {.first = 0, .last = ~(unsigned __int128)0};

/* ---- building aggregates ---- */

static void add_varint(struct buf *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
        buf_char(out, (char)(value | 0x80));
    }
    buf_char(out, (char)value);
}

static void add_bytes(struct buf *out, unsigned number, struct span bytes) {
    add_varint(out, number << 3 | 2);
    add_varint(out, bytes.len);
    buf_add(out, bytes);
}

static void add_number(struct buf *out, unsigned number, uint64_t value) {
    add_varint(out, number << 3);
    add_varint(out, value);
}

static void add_record(struct buf *out, uint64_t key, int64_t hash_key, struct span data) {
    struct buf record;
    buf_init(&record, 1 << 20);
    add_number(&record, 1, key);
    if (hash_key >= 0) {
        add_number(&record, 2, (uint64_t)hash_key);
    }
    add_bytes(&record, 3, data);
    add_bytes(out, 3, buf_span(&record));
    buf_done(&record);
}

/* Puts the frame around a message, on the heap in exactly as many bytes; frees the message. */
static struct span frame(struct buf *message) {
    size_t len = 4 + message->len + 16;
    char *bytes = malloc(len);
    unsigned size;
    memcpy(bytes, "\xF3\x89\x9A\xC2", 4);
    if (message->len > 0) {
        memcpy(bytes + 4, message->data, message->len);
    }
    ck_assert_int_eq(EVP_Digest(bytes + 4, message->len, (unsigned char *)bytes + 4 + message->len,
                                &size, EVP_md5(), NULL),
                     1);
    buf_done(message);
    return span_of(bytes, len);
}

static struct buf start(void) {
    struct buf message;
    buf_init(&message, 16 << 20);
    return message;
}

static void refused(struct buf *message) {
    struct kpl kpl;
    struct span data = frame(message);
    ck_assert(!kpl_open(&kpl, data));
    free((char *)data.p);
}

/* ---- aggregates of others ---- */

static struct span text_of(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return span_of(json_string_value(value), json_string_length(value));
}

static void check_record(const json_t *expected, const struct kpl_record *record, size_t index) {
    char data[4096];
    ssize_t size = base64_decode(text_of(expected, "data_base64"), data);
    ck_assert_int_ge(size, 0);
    ck_assert(span_eq(record->data, span_of(data, (size_t)size)));
    ck_assert(span_eq(record->partition_key, text_of(expected, "partition_key")));
    ck_assert(span_eq(record->hash_key, text_of(expected, "explicit_hash_key")));
    ck_assert_int_eq(record->hash_key.p != NULL,
                     json_is_string(json_object_get(expected, "explicit_hash_key")));
    ck_assert_int_eq(record->sub, (int64_t)index);
    ck_assert(kpl_is_in_range(record, &everything));
}

static void check_vector(const json_t *vector) {
    struct span text = text_of(vector, "base64");
    const json_t *records = json_object_get(vector, "user_records");
    char *data = malloc(text.len);
    struct kpl kpl;
    struct kpl_record record;
    ssize_t size = base64_decode(text, data);
    ck_assert_int_eq(size, json_integer_value(json_object_get(vector, "bytes")));
    ck_assert(kpl_open(&kpl, span_of(data, (size_t)size)));
    for (size_t i = 0; i < json_array_size(records); i++) {
        ck_assert(kpl_next(&kpl, &record));
        check_record(json_array_get(records, i), &record, i);
    }
    ck_assert(!kpl_next(&kpl, &record));
    ck_assert(!kpl_next(&kpl, &record));
    free(data);
}

static size_t check_vectors(struct span text) {
    json_t *vectors = json_loadb(text.p, text.len, 0, NULL);
    size_t count = json_array_size(vectors);
    for (size_t i = 0; i < count; i++) {
        check_vector(json_array_get(vectors, i));
    }
    json_decref(vectors);
    free((char *)text.p);
    return count;
}

START_TEST(aggregates_of_the_library_are_taken_apart) {
    ck_assert_uint_eq(check_vectors(data_read("kinesis/kpl_awslabs.json")), 1);
}
END_TEST

START_TEST(aggregates_of_other_writers_are_taken_apart) {
    struct span text = data_read_shared("kinesis/kpl_vectors.json");
    if (text.p) {
        ck_assert_uint_eq(check_vectors(text), 5);
    }
}
END_TEST

/* ---- what nobody sends ---- */

START_TEST(fields_may_come_in_any_order_with_others_between) {
    struct buf message = start(), record = start();
    struct kpl kpl;
    struct kpl_record found;
    add_bytes(&record, 3, SPAN("not this one"));
    add_number(&record, 1, 7);
    add_bytes(&record, 4, SPAN("\x0A\x01k\x12\x01v")); /* a tag */
    add_number(&record, 9, UINT64_MAX);
    add_bytes(&record, 3, SPAN(""));
    add_number(&record, 1, 1);
    add_bytes(&message, 3, buf_span(&record));
    buf_done(&record);
    add_varint(&message, 5 << 3 | 1);
    buf_add(&message, SPAN("8 bytes."));
    add_varint(&message, 6 << 3 | 5);
    buf_add(&message, SPAN("4 of"));
    add_number(&message, 1, 3); /* a field of the table's number that is no text */
    add_bytes(&message, 1, SPAN("a"));
    add_record(&message, 0, 0, SPAN("data"));
    add_bytes(&message, 2, SPAN("12"));
    add_bytes(&message, 1, SPAN("b"));
    struct span data = frame(&message);
    ck_assert(kpl_open(&kpl, data));
    ck_assert(kpl_next(&kpl, &found));
    ck_assert_uint_eq(found.data.len, 0);
    ck_assert(span_eq(found.partition_key, SPAN("b")));
    ck_assert_ptr_null(found.hash_key.p);
    ck_assert_int_eq(found.sub, 0);
    ck_assert(kpl_next(&kpl, &found));
    ck_assert(span_eq(found.data, SPAN("data")));
    ck_assert(span_eq(found.partition_key, SPAN("a")));
    ck_assert(span_eq(found.hash_key, SPAN("12")));
    ck_assert_int_eq(found.sub, 1);
    ck_assert(!kpl_next(&kpl, &found));
    free((char *)data.p);
}
END_TEST

static void check_table(int keys) {
    struct buf message = start();
    char key[16];
    for (int i = 0; i < keys; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        add_bytes(&message, 1, span_str(key));
        add_number(&message, 15, 1); /* entries need not stand side by side */
    }
    for (int i = 0; i < keys; i++) {
        add_record(&message, (uint64_t)i * 7919 % (uint64_t)keys, -1, SPAN("x"));
    }
    struct span data = frame(&message);
    struct kpl kpl;
    struct kpl_record record;
    ck_assert(kpl_open(&kpl, data));
    for (int i = 0; i < keys; i++) {
        snprintf(key, sizeof(key), "key%d", (int)((int64_t)i * 7919 % keys));
        ck_assert(kpl_next(&kpl, &record));
        ck_assert(span_eq(record.partition_key, span_str(key)));
    }
    ck_assert(!kpl_next(&kpl, &record));
    free((char *)data.p);
}

START_TEST(every_entry_of_a_large_table_is_found) {
    check_table(1);
    check_table(KPL_MARKS - 1);
    check_table(KPL_MARKS);
    check_table(KPL_MARKS + 1);
    check_table(2 * KPL_MARKS + 1);
    check_table(20011);
}
END_TEST

START_TEST(keys_that_take_too_long_to_find_make_a_plain_record) {
    enum { KEYS = 400000, RECORDS = 100000 };
    for (int jumbled = 0; jumbled < 2; jumbled++) {
        struct buf message = start();
        struct kpl kpl;
        struct kpl_record record;
        int count = 0;
        for (int i = 0; i < KEYS; i++) {
            add_bytes(&message, 1, SPAN(""));
        }
        for (int i = 0; i < RECORDS; i++) {
            add_record(&message, (uint64_t)(jumbled ? i % 2 ? 511 : 1023 : i), -1, SPAN(""));
        }
        struct span data = frame(&message);
        ck_assert_int_eq(kpl_open(&kpl, data), !jumbled);
        while (!jumbled && kpl_next(&kpl, &record)) {
            count++;
        }
        ck_assert_int_eq(count, jumbled ? 0 : RECORDS);
        free((char *)data.p);
    }
}
END_TEST

START_TEST(damaged_ones_are_no_aggregates) {
    struct buf message = start();
    add_bytes(&message, 1, SPAN("key"));
    add_record(&message, 0, -1, SPAN("data"));
    struct span good = frame(&message);
    struct kpl kpl;
    ck_assert(kpl_open(&kpl, good));
    for (size_t len = 0; len < good.len; len++) {
        char *cut = malloc(len + 1);
        memcpy(cut, good.p, len);
        ck_assert(!kpl_open(&kpl, span_of(cut, len)));
        free(cut);
    }
    for (size_t i = 0; i < good.len; i++) {
        ((char *)good.p)[i] ^= 0x10;
        ck_assert(!kpl_open(&kpl, good));
        ((char *)good.p)[i] ^= 0x10;
    }
    ck_assert(kpl_open(&kpl, good));
    free((char *)good.p);
}
END_TEST

/* An aggregate with one good key and, as its record, these bytes. */
static void record_refused(struct span bytes) {
    struct buf message = start();
    add_bytes(&message, 1, SPAN("key"));
    add_bytes(&message, 3, bytes);
    refused(&message);
}

START_TEST(bad_protobuf_under_a_good_checksum_is_no_aggregate) {
    struct buf message = start();
    refused(&message); /* nothing in it */
    message = start();
    add_bytes(&message, 1, SPAN("key"));
    refused(&message); /* no record */
    message = start();
    add_record(&message, 0, -1, SPAN("x"));
    refused(&message); /* no table */
    message = start();
    add_bytes(&message, 1, SPAN("key"));
    add_record(&message, 1, -1, SPAN("x"));
    refused(&message); /* outside of the table */
    message = start();
    add_bytes(&message, 1, SPAN("key"));
    add_record(&message, 0, 0, SPAN("x"));
    refused(&message); /* no table of hash keys */
    message = start();
    add_bytes(&message, 1, SPAN("key"));
    add_record(&message, 0, -1, SPAN("x"));
    add_record(&message, UINT64_MAX, -1, SPAN("x"));
    refused(&message); /* the first is good, the second not */
    message = start();
    buf_add(&message, SPAN("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"));
    refused(&message); /* a length of 2^64 - 1 */
    message = start();
    buf_add(&message, SPAN("\x0A\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01"));
    refused(&message); /* a varint of eleven bytes */
    record_refused(SPAN(""));
    record_refused(SPAN("\x08\x00"));                              /* no data */
    record_refused(SPAN("\x1A\x01x"));                             /* no key */
    record_refused(SPAN("\x08\x00\x1A\x02x"));                     /* cut off */
    record_refused(SPAN("\x08\x00\x1A\x01x\x80"));                 /* a tag that has no end */
    record_refused(SPAN("\x08\x00\x1A\x01x\x02\x00"));             /* field 0 */
    record_refused(SPAN("\x08\x00\x1A\x01x\x2B\x2C"));             /* a group */
    record_refused(SPAN("\x08\x00\x1A\x01x\x2E"));                 /* wire type 6 */
    record_refused(SPAN("\x08\x00\x1A\x01x\x22\x03\x12\x01v"));    /* a tag without a key */
    record_refused(SPAN("\x08\x00\x1A\x01x\x22\x02\x0A\x05"));     /* a tag that is cut off */
    record_refused(SPAN("\x08\x00\x1A\x01x\x29\x01\x02\x03\x04")); /* half of 64 bits */
}
END_TEST

/* ---- ranges ---- */

static bool is_inside(const char *key, const char *hash_key, const char *first, const char *last) {
    struct kpl_record record = {.partition_key = span_str(key), .hash_key = span_str(hash_key)};
    struct kinesis_range range;
    ck_assert(kinesis_hash_parse(span_str(first), &range.first));
    ck_assert(kinesis_hash_parse(span_str(last), &range.last));
    return kpl_is_in_range(&record, &range);
}

START_TEST(a_record_belongs_to_the_shard_of_its_hash) {
    /* MD5("abc") = 900150983cd24fb0d6963f7d28e17f72 */
    const char *hash = "191415658344158766168031473277922803570";
    ck_assert(is_inside("abc", NULL, hash, hash));
    ck_assert(!is_inside("abc", NULL, "0", "191415658344158766168031473277922803569"));
    ck_assert(!is_inside("abc", NULL, "191415658344158766168031473277922803571",
                         "340282366920938463463374607431768211455"));
    ck_assert(is_inside("abc", "5", "5", "5"));
    ck_assert(!is_inside("abc", "5", "6", "340282366920938463463374607431768211455"));
    ck_assert(!is_inside("abc", "5", hash, hash));
    ck_assert(is_inside("abc", "not a number", "5", "5"));
    ck_assert(is_inside("abc", "", "5", "5"));
    ck_assert(is_inside("abc", "340282366920938463463374607431768211456", "5", "5"));
    /* MD5("") = d41d8cd98f00b204e9800998ecf8427e */
    ck_assert(is_inside("", NULL, "281949768489412648962353822266799178366",
                        "281949768489412648962353822266799178366"));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("kpl");
    TCase *tcase = tcase_create("kpl");
    tcase_add_test(tcase, aggregates_of_the_library_are_taken_apart);
    tcase_add_test(tcase, aggregates_of_other_writers_are_taken_apart);
    tcase_add_test(tcase, fields_may_come_in_any_order_with_others_between);
    tcase_add_test(tcase, every_entry_of_a_large_table_is_found);
    tcase_add_test(tcase, keys_that_take_too_long_to_find_make_a_plain_record);
    tcase_add_test(tcase, damaged_ones_are_no_aggregates);
    tcase_add_test(tcase, bad_protobuf_under_a_good_checksum_is_no_aggregate);
    tcase_add_test(tcase, a_record_belongs_to_the_shard_of_its_hash);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
