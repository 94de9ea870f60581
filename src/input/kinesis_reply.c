/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See kinesis_reply.h. Each kind of object has a function that takes one member of it; what walks
 * over objects and arrays is written once. Replies may be large and come from a network, so nothing
 * in here looks at a byte more than twice, and every number and name is checked where it is read.
 */
#include "input/kinesis_reply.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/json_read.h"
#include "base/xalloc.h"

struct reader {
    struct json_read json;
    const char *start;
    const char *operation; /* what this is a reply to, for errors */
    struct err *err;
};

/* Takes one member (or, with an empty key, one item) that begins with `token`: all of its value. */
typedef int take_fn(struct reader *reader, struct span key, enum json_token token, void *to);

static int refuse(const struct reader *reader, const char *what) {
    return err_set(reader->err, ERR_DATA, "the reply to %s, byte %zu: %s", reader->operation,
                   (size_t)(reader->json.p - reader->start), what);
}

static int refuse_json(const struct reader *reader) {
    return refuse(reader, reader->json.error ? reader->json.error : "not what belongs there");
}

static int skip(struct reader *reader, enum json_token token) {
    return json_skip(&reader->json, token) ? 0 : refuse_json(reader);
}

static int take_members(struct reader *reader, enum json_token token, take_fn *take, void *to) {
    if (token != TOKEN_OBJECT) {
        return refuse_json(reader);
    }
    for (;;) {
        token = json_next(&reader->json);
        if (token == TOKEN_OBJECT_END) {
            return 0;
        }
        if (token == TOKEN_ERROR) {
            return refuse_json(reader);
        }
        if (take(reader, json_key(&reader->json), token, to) != 0) {
            return -1;
        }
    }
}

/* Null is an array without items: some peers write all members that there are. */
static int take_items(struct reader *reader, enum json_token token, take_fn *take, void *to) {
    if (token == TOKEN_NULL) {
        return 0;
    }
    if (token != TOKEN_ARRAY) {
        return refuse_json(reader);
    }
    for (;;) {
        token = json_next(&reader->json);
        if (token == TOKEN_ARRAY_END) {
            return 0;
        }
        if (token == TOKEN_ERROR) {
            return refuse_json(reader);
        }
        if (take(reader, span_of(NULL, 0), token, to) != 0) {
            return -1;
        }
    }
}

/* The whole reply: one object. */
static int read_reply(const char *operation, char *text, size_t len, take_fn *take, void *to,
                      struct err *err) {
    struct reader reader = {.start = text, .operation = operation, .err = err};
    json_read_init(&reader.json, text, len);
    /* A partition key may hold any character, and how large a number is, is seen where it is used. */
    reader.json.values_as_they_are = true;
    if (take_members(&reader, json_next(&reader.json), take, to) != 0) {
        return -1;
    }
    return json_next(&reader.json) == TOKEN_END ? 0 : refuse(&reader, "more behind its end");
}

/* Null leaves the text empty, with p NULL. */
static int take_text(struct reader *reader, enum json_token token, struct span *text) {
    *text = span_of(NULL, 0);
    if (token == TOKEN_STRING) {
        *text = json_text(&reader->json);
        return 0;
    }
    return token == TOKEN_NULL ? 0 : refuse(reader, "a member that should be a text is none");
}

/* The digits of a JSON number: *number times ten to the power of *scale, cut behind 18 digits. */
static void read_digits(struct span text, uint64_t *number, long *scale) {
    bool is_fraction = false;
    long exponent = 0, sign = 1;
    size_t i = text.p[0] == '-' ? 1 : 0;
    *number = 0;
    *scale = 0;
    for (; i < text.len && (text.p[i] | 0x20) != 'e'; i++) {
        bool is_point = text.p[i] == '.', has_room = *number < 100000000000000000;
        if (!is_point && has_room) {
            *number = *number * 10 + (uint64_t)(text.p[i] - '0');
        }
        if (!is_point && has_room == is_fraction) {
            *scale += is_fraction ? -1 : 1;
        }
        is_fraction = is_fraction || is_point;
    }
    for (i++; i < text.len; i++) {
        sign = text.p[i] == '-' ? -1 : sign;
        if (text.p[i] >= '0' && exponent < 100000) {
            exponent = exponent * 10 + (text.p[i] - '0');
        }
    }
    *scale += sign * exponent;
}

/* A JSON number times ten to the power of `shift`, the rest cut off; -1 below 0 or when it is out
   of range. Exact where a double is not: times come as 1.7E9, 1700000000.123 or 1700000000. */
static int64_t number_of(struct span text, int shift) {
    uint64_t number;
    long scale;
    read_digits(text, &number, &scale);
    for (scale += shift; scale < 0 && number > 0; scale++) {
        number /= 10;
    }
    for (; scale > 0 && number > 0; scale--) {
        if (number > INT64_MAX / 10) {
            return -1;
        }
        number *= 10;
    }
    return text.p[0] == '-' && number > 0 ? -1 : (int64_t)number;
}

static int take_number(struct reader *reader, enum json_token token, int shift, int64_t *number) {
    *number = -1;
    if (token == TOKEN_NUMBER) {
        *number = number_of(reader->json.text, shift);
        return 0;
    }
    return token == TOKEN_NULL ? 0 : refuse(reader, "a member that should be a number is none");
}

/* Epoch seconds to ms. */
static int take_time(struct reader *reader, enum json_token token, int64_t *time_ms) {
    return take_number(reader, token, 3, time_ms);
}

/* Base64 is decoded in place, a piece at a time with a copy of it at hand: so the text can be given
   back as it came when it turns out to be none. */
enum { PIECE_TEXT = 4096, PIECE_DATA = PIECE_TEXT / 4 * 3 };

/* Writes the text of `pieces` decoded pieces back to where it was, the last piece first: what is
   written lies behind what is still to be read. */
static void encode_back(char *text, size_t pieces) {
    char piece[PIECE_DATA];
    for (size_t i = pieces; i-- > 0;) {
        struct buf out;
        memcpy(piece, text + i * PIECE_DATA, PIECE_DATA);
        buf_over(&out, text + i * PIECE_TEXT, PIECE_TEXT);
        base64_encode(span_of(piece, PIECE_DATA), &out);
    }
}

static struct span decode_data(struct span text) {
    char piece[PIECE_TEXT];
    char *to = (char *)text.p;
    for (size_t done = 0; done < text.len; done += PIECE_TEXT) {
        bool is_last = text.len - done <= PIECE_TEXT;
        size_t len = is_last ? text.len - done : PIECE_TEXT;
        memcpy(piece, text.p + done, len);
        ssize_t size = base64_decode(span_of(piece, len), to);
        if (size < 0 || (!is_last && size != PIECE_DATA)) {
            memcpy((char *)text.p + done, piece, len);
            encode_back((char *)text.p, done / PIECE_TEXT);
            return text;
        }
        to += size;
    }
    return span_of(text.p, (size_t)(to - text.p));
}

static int take_record_member(struct reader *reader, struct span key, enum json_token token,
                              void *to) {
    struct kinesis_record *record = to;
    if (span_eq(key, SPAN("Data"))) {
        int result = take_text(reader, token, &record->data);
        record->data = result == 0 ? decode_data(record->data) : record->data;
        return result;
    }
    if (span_eq(key, SPAN("SequenceNumber"))) {
        return take_text(reader, token, &record->sequence);
    }
    if (span_eq(key, SPAN("PartitionKey"))) {
        return take_text(reader, token, &record->partition_key);
    }
    if (span_eq(key, SPAN("ApproximateArrivalTimestamp"))) {
        return take_time(reader, token, &record->arrival_ms);
    }
    return skip(reader, token);
}

static struct kinesis_record *add_record(struct kinesis_reply *reply) {
    if (reply->count == reply->room) {
        reply->room = reply->room ? reply->room * 2 : 64;
        reply->records = xreallocarray(reply->records, reply->room, sizeof(*reply->records));
    }
    struct kinesis_record *record = &reply->records[reply->count++];
    *record = (struct kinesis_record){.arrival_ms = -1};
    return record;
}

static int take_record(struct reader *reader, struct span key, enum json_token token, void *to) {
    struct kinesis_reply *reply = to;
    (void)key;
    if (reply->count == KINESIS_RECORDS_MAX) {
        return refuse(reader, "more records than a reply may have");
    }
    struct kinesis_record *record = add_record(reply);
    if (take_members(reader, token, take_record_member, record) != 0) {
        return -1;
    }
    return kinesis_is_sequence(record->sequence)
               ? 0
               : refuse(reader, "a record without a sequence number");
}

/* A shard as ListShards writes it. */
struct shard_seen {
    struct kinesis_shard shard;
    bool has_first, has_last;
};

static int take_range_member(struct reader *reader, struct span key, enum json_token token,
                             void *to) {
    struct shard_seen *seen = to;
    bool is_first = span_eq(key, SPAN("StartingHashKey"));
    struct span digits;
    if (!is_first && !span_eq(key, SPAN("EndingHashKey"))) {
        return skip(reader, token);
    }
    if (take_text(reader, token, &digits) != 0) {
        return -1;
    }
    struct kinesis_range *range = &seen->shard.range;
    bool is_good = kinesis_hash_parse(digits, is_first ? &range->first : &range->last);
    if (is_first) {
        seen->has_first = is_good;
    } else {
        seen->has_last = is_good;
    }
    return 0;
}

static int take_sequences_member(struct reader *reader, struct span key, enum json_token token,
                                 void *to) {
    struct shard_seen *seen = to;
    if (span_eq(key, SPAN("EndingSequenceNumber"))) {
        seen->shard.is_open = token == TOKEN_NULL;
    }
    return skip(reader, token);
}

/* Null and an empty text stand for no shard. */
static int take_id(struct reader *reader, enum json_token token, char out[KINESIS_ID_SIZE]) {
    struct span id;
    out[0] = '\0';
    if (take_text(reader, token, &id) != 0) {
        return -1;
    }
    return id.len == 0 || kinesis_id_set(out, id) ? 0 : refuse(reader, "a shard id that is none");
}

static int take_shard_member(struct reader *reader, struct span key, enum json_token token,
                             void *to) {
    struct shard_seen *seen = to;
    struct kinesis_shard *shard = &seen->shard;
    if (span_eq(key, SPAN("ShardId"))) {
        return take_id(reader, token, shard->id);
    }
    if (span_eq(key, SPAN("ParentShardId"))) {
        return take_id(reader, token, shard->parent);
    }
    if (span_eq(key, SPAN("AdjacentParentShardId"))) {
        return take_id(reader, token, shard->adjacent);
    }
    if (span_eq(key, SPAN("HashKeyRange"))) {
        return take_members(reader, token, take_range_member, seen);
    }
    if (span_eq(key, SPAN("SequenceNumberRange")) && token == TOKEN_OBJECT) {
        return take_members(reader, token, take_sequences_member, seen);
    }
    return skip(reader, token);
}

static int take_shard(struct reader *reader, struct span key, enum json_token token, void *to) {
    struct shard_seen seen = {.shard = {.is_open = true}};
    (void)key;
    if (take_members(reader, token, take_shard_member, &seen) != 0) {
        return -1;
    }
    if (!seen.shard.id[0]) {
        return refuse(reader, "a shard without an id");
    }
    if (!seen.has_first || !seen.has_last || seen.shard.range.first > seen.shard.range.last) {
        return refuse(reader, "a shard without a range of hash keys");
    }
    return kinesis_shards_add(to, &seen.shard, reader->err);
}

struct records_seen {
    struct kinesis_reply *reply;
    bool has_records;
};

static int take_iterator(struct reader *reader, enum json_token token, struct span *iterator) {
    if (take_text(reader, token, iterator) != 0) {
        return -1;
    }
    if (iterator->p && (iterator->len == 0 || iterator->len >= KINESIS_ITERATOR_SIZE ||
                        memchr(iterator->p, '\0', iterator->len))) {
        return refuse(reader, "an iterator that is empty, too long or holds a NUL");
    }
    return 0;
}

/* What the children are ListShards says; that there are some is all that is asked here. */
static int note_child(struct reader *reader, struct span key, enum json_token token, void *to) {
    bool *has_children = to;
    (void)key;
    *has_children = true;
    return skip(reader, token);
}

static int take_records_member(struct reader *reader, struct span key, enum json_token token,
                               void *to) {
    struct records_seen *seen = to;
    struct kinesis_reply *reply = seen->reply;
    if (span_eq(key, SPAN("Records"))) {
        seen->has_records = token == TOKEN_ARRAY;
        reply->count = 0;
        return take_items(reader, token, take_record, reply);
    }
    if (span_eq(key, SPAN("NextShardIterator"))) {
        return take_iterator(reader, token, &reply->next_iterator);
    }
    if (span_eq(key, SPAN("MillisBehindLatest"))) {
        return take_number(reader, token, 0, &reply->behind_ms);
    }
    if (span_eq(key, SPAN("ChildShards"))) {
        return take_items(reader, token, note_child, &reply->has_children);
    }
    return skip(reader, token);
}

static int refuse_other(const char *operation, const char *member, struct err *err) {
    return err_set(err, ERR_DATA, "the reply to %s has no %s: is this endpoint Kinesis?", operation,
                   member);
}

int kinesis_reply_parse(char *text, size_t len, struct kinesis_reply *reply, struct err *err) {
    struct records_seen seen = {.reply = reply};
    reply->count = 0;
    reply->next_iterator = span_of(NULL, 0);
    reply->behind_ms = -1;
    reply->has_children = false;
    if (read_reply("GetRecords", text, len, take_records_member, &seen, err) != 0) {
        return -1;
    }
    if (!seen.has_records) {
        return refuse_other("GetRecords", "Records", err);
    }
    return 0;
}

void kinesis_reply_done(struct kinesis_reply *reply) {
    free(reply->records);
    *reply = (struct kinesis_reply){0};
}

static int take_new_iterator(struct reader *reader, struct span key, enum json_token token,
                             void *to) {
    return span_eq(key, SPAN("ShardIterator")) ? take_iterator(reader, token, to)
                                               : skip(reader, token);
}

int kinesis_iterator_parse(char *text, size_t len, char out[KINESIS_ITERATOR_SIZE],
                           struct err *err) {
    struct span iterator = {NULL, 0};
    if (read_reply("GetShardIterator", text, len, take_new_iterator, &iterator, err) != 0) {
        return -1;
    }
    if (iterator.len == 0) {
        return refuse_other("GetShardIterator", "ShardIterator", err);
    }
    memcpy(out, iterator.p, iterator.len);
    out[iterator.len] = '\0';
    return 0;
}

struct list_seen {
    struct kinesis_shards *shards;
    struct span next;
    bool has_shards;
};

static int take_list_member(struct reader *reader, struct span key, enum json_token token,
                            void *to) {
    struct list_seen *seen = to;
    if (span_eq(key, SPAN("Shards"))) {
        seen->has_shards = token == TOKEN_ARRAY;
        return take_items(reader, token, take_shard, seen->shards);
    }
    if (span_eq(key, SPAN("NextToken"))) {
        return take_text(reader, token, &seen->next);
    }
    return skip(reader, token);
}

int kinesis_list_parse(char *text, size_t len, struct kinesis_shards *shards, struct buf *next,
                       struct err *err) {
    struct list_seen seen = {.shards = shards};
    size_t before = shards->count;
    buf_clear(next);
    int result = read_reply("ListShards", text, len, take_list_member, &seen, err);
    if (result == 0 && !seen.has_shards) {
        result = refuse_other("ListShards", "Shards", err);
    }
    if (result == 0) {
        buf_add(next, seen.next);
        if (next->overflow) {
            result = err_set(err, ERR_DATA, "the reply to ListShards: a NextToken of %zu bytes",
                             seen.next.len);
            buf_clear(next);
        }
    }
    if (result != 0) {
        shards->count = before;
    }
    return result;
}

static int take_status(struct reader *reader, enum json_token token,
                       struct kinesis_summary *summary) {
    struct span status;
    if (take_text(reader, token, &status) != 0) {
        return -1;
    }
    if (status.len >= sizeof(summary->status)) {
        return refuse(reader, "a StreamStatus that is none");
    }
    snprintf(summary->status, sizeof(summary->status), "%.*s", SPAN_ARG(status));
    return 0;
}

static int take_summary_member(struct reader *reader, struct span key, enum json_token token,
                               void *to) {
    struct kinesis_summary *summary = to;
    if (span_eq(key, SPAN("StreamStatus"))) {
        return take_status(reader, token, summary);
    }
    if (span_eq(key, SPAN("RetentionPeriodHours"))) {
        return take_number(reader, token, 0, &summary->retention_hours);
    }
    if (span_eq(key, SPAN("StreamCreationTimestamp"))) {
        return take_time(reader, token, &summary->created_ms);
    }
    if (span_eq(key, SPAN("OpenShardCount"))) {
        return take_number(reader, token, 0, &summary->open_shards);
    }
    return skip(reader, token);
}

static int take_summary(struct reader *reader, struct span key, enum json_token token, void *to) {
    return span_eq(key, SPAN("StreamDescriptionSummary"))
               ? take_members(reader, token, take_summary_member, to)
               : skip(reader, token);
}

int kinesis_summary_parse(char *text, size_t len, struct kinesis_summary *summary,
                          struct err *err) {
    *summary = (struct kinesis_summary){.created_ms = -1, .open_shards = -1};
    if (read_reply("DescribeStreamSummary", text, len, take_summary, summary, err) != 0) {
        return -1;
    }
    summary->retention_hours = summary->retention_hours < 0 ? 0 : summary->retention_hours;
    return summary->status[0] ? 0 : refuse_other("DescribeStreamSummary", "StreamStatus", err);
}
