/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a record, and as the message of an aggregate whose frame is right. What is taken is
 * taken apart to its end, and each record has the keys that a plain walk over the message finds.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "input/kpl.h"

static uint64_t varint(struct span *rest) {
    uint64_t value = 0;
    for (int shift = 0;; shift += 7) {
        assert(rest->len > 0 && shift < 70);
        uint8_t byte = (uint8_t)rest->p[0];
        *rest = span_skip(*rest, 1);
        value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
}

/* The n-th bytes field of that number in a message that was found good; p is NULL: no such. */
static struct span nth(struct span rest, uint64_t number, uint64_t n) {
    while (rest.len > 0) {
        uint64_t tag = varint(&rest);
        uint64_t size = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : 0;
        if ((tag & 7) == 0) {
            varint(&rest);
        } else if ((tag & 7) == 2) {
            size = varint(&rest);
        }
        assert(size <= rest.len);
        if (tag == (number << 3 | 2) && n-- == 0) {
            return span_of(rest.p, size);
        }
        rest = span_skip(rest, size);
    }
    return span_of(NULL, 0);
}

/* The last value of a number field; `none` without one. */
static uint64_t last_number(struct span rest, uint64_t number, uint64_t none) {
    while (rest.len > 0) {
        uint64_t tag = varint(&rest), value = 0;
        uint64_t size = (tag & 7) == 1 ? 8 : (tag & 7) == 5 ? 4 : 0;
        if ((tag & 7) == 0) {
            value = varint(&rest);
            none = tag == number << 3 ? value : none;
        } else if ((tag & 7) == 2) {
            size = varint(&rest);
        }
        rest = span_skip(rest, size);
    }
    return none;
}

static void judge_range(const struct kpl_record *record) {
    const unsigned __int128 middle = (unsigned __int128)1 << 127;
    struct kinesis_range low = {0, middle - 1}, high = {middle, ~(unsigned __int128)0};
    unsigned __int128 hash;
    bool is_number = !record->hash_key.p || kinesis_hash_parse(record->hash_key, &hash);
    bool in_low = kpl_is_in_range(record, &low), in_high = kpl_is_in_range(record, &high);
    assert(is_number ? in_low != in_high : in_low && in_high);
}

static void judge(struct kpl *kpl, struct span message) {
    struct kpl_record record;
    int64_t count = 0;
    while (kpl_next(kpl, &record)) {
        struct span raw = nth(message, 3, (uint64_t)count);
        uint64_t hash_key = last_number(raw, 2, UINT64_MAX);
        assert(record.sub == count++);
        assert(record.data.p >= raw.p && record.data.p + record.data.len <= raw.p + raw.len);
        struct span key = nth(message, 1, last_number(raw, 1, UINT64_MAX));
        assert(key.p && key.p == record.partition_key.p && key.len == record.partition_key.len);
        key = nth(message, 2, hash_key);
        assert(key.p == record.hash_key.p && key.len == record.hash_key.len);
        judge_range(&record);
    }
    assert(count > 0 && !nth(message, 3, (uint64_t)count).p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct kpl kpl;
    struct kpl_record record;
    if (kpl_open(&kpl, span_of((const char *)data, size))) {
        while (kpl_next(&kpl, &record)) {
            judge_range(&record);
        }
    }
    char *framed = malloc(4 + size + 16);
    memcpy(framed, "\xF3\x89\x9A\xC2", 4);
    memcpy(framed + 4, data, size);
    EVP_Digest(data, size, (unsigned char *)framed + 4 + size, NULL, EVP_md5(), NULL);
    if (kpl_open(&kpl, span_of(framed, 4 + size + 16))) {
        judge(&kpl, span_of(framed + 4, size));
    }
    free(framed);
    return 0;
}
