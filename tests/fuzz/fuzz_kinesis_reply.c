/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as each of the replies of the Kinesis API, with jansson as the judge of GetRecords: what
 * we take is JSON, each record says what jansson reads there, and what by the API's rules is a reply
 * is not refused. Names that are there twice, and numbers that jansson does not hold, are left out.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "base/base64.h"
#include "base/json_read.h"
#include "input/kinesis_reply.h"

static char *copy_of(struct span text) {
    char *copy = malloc(text.len ? text.len : 1);
    memcpy(copy, text.p, text.len);
    return copy;
}

static struct span text_of(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return span_of(json_string_value(value), json_string_length(value));
}

static bool is_text_or_null(const json_t *value) {
    return !value || json_is_null(value) || json_is_string(value);
}

static bool is_number_or_null(const json_t *value) {
    return !value || json_is_null(value) || json_is_number(value);
}

static bool is_record(const json_t *record) {
    return json_is_object(record) && kinesis_is_sequence(text_of(record, "SequenceNumber")) &&
           is_text_or_null(json_object_get(record, "Data")) &&
           is_text_or_null(json_object_get(record, "PartitionKey")) &&
           is_number_or_null(json_object_get(record, "ApproximateArrivalTimestamp"));
}

/* Without ChildShards, whose rules are not told twice. */
static bool is_reply(const json_t *root) {
    const json_t *records = json_object_get(root, "Records");
    const json_t *iterator = json_object_get(root, "NextShardIterator");
    struct span text = text_of(root, "NextShardIterator");
    if (!json_is_array(records) || json_array_size(records) > KINESIS_RECORDS_MAX ||
        json_object_get(root, "ChildShards") || !is_text_or_null(iterator) ||
        !is_number_or_null(json_object_get(root, "MillisBehindLatest"))) {
        return false;
    }
    if (json_is_string(iterator) &&
        (text.len == 0 || text.len >= KINESIS_ITERATOR_SIZE || memchr(text.p, 0, text.len))) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(records); i++) {
        if (!is_record(json_array_get(records, i))) {
            return false;
        }
    }
    return true;
}

static void judge_data(struct span encoded, struct span data) {
    char *decoded = malloc(encoded.len + 1);
    ssize_t size = base64_decode(encoded, decoded);
    assert(span_eq(data, size < 0 ? encoded : span_of(decoded, (size_t)size)));
    free(decoded);
}

static void judge_record(const json_t *expected, const struct kinesis_record *record) {
    assert(span_eq(record->sequence, text_of(expected, "SequenceNumber")));
    assert(span_eq(record->partition_key, text_of(expected, "PartitionKey")));
    judge_data(text_of(expected, "Data"), record->data);
    const json_t *time = json_object_get(expected, "ApproximateArrivalTimestamp");
    if (json_is_integer(time) && json_integer_value(time) < INT64_MAX / 1000) {
        json_int_t seconds = json_integer_value(time);
        assert(record->arrival_ms == (seconds < 0 ? -1 : seconds * 1000));
    } else if (!json_is_number(time)) {
        assert(record->arrival_ms == -1);
    }
}

static void judge(const json_t *root, const struct kinesis_reply *reply) {
    const json_t *records = json_object_get(root, "Records");
    const json_t *behind = json_object_get(root, "MillisBehindLatest");
    assert(json_array_size(records) == reply->count);
    for (size_t i = 0; i < reply->count; i++) {
        judge_record(json_array_get(records, i), &reply->records[i]);
    }
    assert(span_eq(reply->next_iterator, text_of(root, "NextShardIterator")));
    if (json_is_integer(behind) && json_integer_value(behind) < 100000000000000000) {
        assert(reply->behind_ms ==
               (json_integer_value(behind) < 0 ? -1 : json_integer_value(behind)));
    }
}

static void try_records(struct span text) {
    struct kinesis_reply reply = {0};
    struct err err = {0};
    char *copy = copy_of(text);
    int result = kinesis_reply_parse(copy, text.len, &reply, &err);
    assert(result == 0 || err.kind == ERR_DATA);
    json_error_t error;
    json_t *root = json_loadb(text.p, text.len, JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, &error);
    if (root && result == 0) {
        judge(root, &reply);
    } else if (root && !memchr(text.p, '\0', text.len)) {
        assert(!is_reply(root) || strstr(err.text, "nested too deep"));
    } else if (!root && result == 0) {
        assert(json_error_code(&error) == json_error_duplicate_key ||
               json_error_code(&error) == json_error_null_byte_in_key ||
               json_error_code(&error) == json_error_numeric_overflow);
    }
    json_decref(root);
    kinesis_reply_done(&reply);
    free(copy);
}

static void try_list(struct span text) {
    struct kinesis_shards shards = {0};
    struct buf next;
    struct err err = {0};
    buf_init(&next, 4096);
    char *copy = copy_of(text);
    if (kinesis_list_parse(copy, text.len, &shards, &next, &err) == 0) {
        kinesis_shards_finish(&shards);
        for (size_t i = 0; i < shards.count; i++) {
            const struct kinesis_shard *shard = &shards.items[i];
            assert(shard->id[0] && shard->range.first <= shard->range.last);
            assert(kinesis_shards_find(&shards, shard->id) == shard);
        }
    } else {
        assert(err.kind == ERR_DATA && shards.count == 0 && next.len == 0);
    }
    free(copy);
    buf_done(&next);
    kinesis_shards_done(&shards);
}

static void try_others(struct span text) {
    struct kinesis_summary summary;
    struct err err = {0};
    char iterator[KINESIS_ITERATOR_SIZE];
    char *copy = copy_of(text);
    if (kinesis_iterator_parse(copy, text.len, iterator, &err) == 0) {
        assert(strlen(iterator) > 0);
    }
    free(copy);
    copy = copy_of(text);
    if (kinesis_summary_parse(copy, text.len, &summary, &err) == 0) {
        assert(summary.retention_hours >= 0 && summary.created_ms >= -1);
    }
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span text = span_of((const char *)data, size);
    try_records(text);
    try_list(text);
    try_others(text);
    return 0;
}
