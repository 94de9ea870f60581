/* SPDX-License-Identifier: Apache-2.0 */
/* See kinesis_reader.h. */
#include "input/kinesis_reader.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    FULL_BYTES = 1 << 20, /* a reply of so much is not the tip, whatever it says */
    DOUBT_AFTER = 3,      /* failures in a row, after which the iterator itself is doubted */
    SAY_AFTER = 2,        /* one alone is no news */
    SAY_THROTTLE_AFTER = 5,
};

void reader_init(struct kinesis_reader *reader, const struct kinesis_shard *shard,
                 const struct kinesis_position *position, int64_t now_ms) {
    *reader = (struct kinesis_reader){
        .range = shard->range,
        .state = READER_NEEDS_ITERATOR,
        .due_ms = now_ms,
        .position = *position,
        .is_whole = position->kind != POSITION_SEQUENCE,
        .limit = KINESIS_RECORDS_MAX,
        .behind_ms = -1,
    };
    memcpy(reader->id, shard->id, sizeof(reader->id));
}

/* AT, not AFTER, for a record of which user records may be left: where none is, one record is read
   in vain. */
void reader_put_position(const struct kinesis_reader *reader, struct buf *body) {
    const struct kinesis_position *position = &reader->position;
    buf_printf(body, ",\"ShardId\":\"%s\",\"ShardIteratorType\":", reader->id);
    switch (position->kind) {
    case POSITION_SEQUENCE:
        buf_printf(body, "\"%s_SEQUENCE_NUMBER\",\"StartingSequenceNumber\":\"%s\"",
                   reader->is_whole ? "AFTER" : "AT", position->sequence);
        break;
    case POSITION_TIME:
        buf_printf(body, "\"AT_TIMESTAMP\",\"Timestamp\":%jd.%03d",
                   (intmax_t)(position->time_ms / 1000), (int)(position->time_ms % 1000));
        break;
    case POSITION_LATEST:
        buf_printf(body, "\"LATEST\"");
        break;
    default:
        buf_printf(body, "\"TRIM_HORIZON\"");
    }
}

void reader_asked(struct kinesis_reader *reader, int64_t now_ms) {
    bool for_records = reader->state == READER_READY;
    assert(for_records || reader->state == READER_NEEDS_ITERATOR);
    reader->state = for_records ? READER_ASKS_RECORDS : READER_ASKS_ITERATOR;
    reader->asked_ms = now_ms;
    reader->calls += for_records;
}

void reader_got_iterator(struct kinesis_reader *reader, int64_t now_ms) {
    reader->state = READER_READY;
    reader->due_ms = now_ms;
}

static size_t data_bytes(const struct kinesis_reply *reply) {
    size_t sum = 0;
    for (size_t i = 0; i < reply->count; i++) {
        sum += reply->records[i].data.len;
    }
    return sum;
}

/* When the next call may be made: within AWS' limits, and at the tip not before the poll interval. */
static int64_t next_call(const struct kinesis_reader *reader, const struct kinesis_reply *reply,
                         size_t bytes, int64_t now_ms, const struct kinesis_pace *pace) {
    bool is_full = reply->count >= KINESIS_RECORDS_MAX || bytes >= FULL_BYTES;
    bool at_tip = reply->behind_ms == 0 || (reply->behind_ms < 0 && reply->count == 0);
    int64_t by_bytes = (int64_t)bytes * 1000 / KINESIS_SHARD_BYTES_A_SECOND;
    int64_t pause_ms = by_bytes > pace->call_ms ? by_bytes : pace->call_ms;
    int64_t due_ms = reader->asked_ms + pause_ms;
    return at_tip && !is_full && due_ms < now_ms + pace->poll_ms ? now_ms + pace->poll_ms : due_ms;
}

/* None, or one longer than any that AWS makes: another is asked for. */
static void keep_iterator(struct kinesis_reader *reader, struct span iterator) {
    size_t len = iterator.len < sizeof(reader->iterator) ? iterator.len : 0;
    if (len > 0) {
        memcpy(reader->iterator, iterator.p, len);
    }
    reader->iterator[len] = '\0';
}

/* No iterator is the end. Without ChildShards it must be said twice in a row: an end that is none
   would be stored, and the shard never be read again. */
static bool is_end(struct kinesis_reader *reader, const struct kinesis_reply *reply) {
    if (reply->next_iterator.len > 0) {
        reader->ends_said = 0;
        return false;
    }
    return reply->has_children || ++reader->ends_said >= 2;
}

void reader_got_records(struct kinesis_reader *reader, const struct kinesis_reply *reply,
                        int64_t now_ms, const struct kinesis_pace *pace) {
    size_t bytes = data_bytes(reply);
    reader->state = READER_HOLDS;
    reader->failures = 0;
    reader->answered_ms = now_ms;
    reader->limit =
        reader->limit * 2 < KINESIS_RECORDS_MAX ? reader->limit * 2 : KINESIS_RECORDS_MAX;
    reader->records += reply->count;
    reader->bytes += bytes;
    reader->behind_ms = reply->behind_ms;
    reader->due_ms = next_call(reader, reply, bytes, now_ms, pace);
    reader->ends = is_end(reader, reply);
    keep_iterator(reader, reply->next_iterator);
    reader->last[0] = '\0';
    if (reply->count > 0) {
        kinesis_sequence_set(reader->last, reply->records[reply->count - 1].sequence);
    }
}

void reader_handed_out(struct kinesis_reader *reader) {
    if (reader->last[0]) {
        reader->position = (struct kinesis_position){.kind = POSITION_SEQUENCE};
        memcpy(reader->position.sequence, reader->last, sizeof(reader->last));
        reader->is_whole = true;
    }
    if (reader->ends) {
        reader->state = READER_ENDED;
    } else {
        reader->state = reader->iterator[0] ? READER_READY : READER_NEEDS_ITERATOR;
    }
}

/* The n-th step doubles from `base_ms` up to `max_ms`; somewhere in its upper half. */
static int64_t pause_for(unsigned failures, int64_t base_ms, int64_t max_ms, uint32_t random) {
    int64_t step_ms = base_ms << (failures < 10 ? failures : 10);
    step_ms = step_ms < max_ms ? step_ms : max_ms;
    return step_ms / 2 + random % (step_ms / 2 + 1);
}

void reader_got_too_much(struct kinesis_reader *reader, int64_t now_ms) {
    assert(reader->state == READER_ASKS_RECORDS);
    reader->state = READER_READY;
    reader->limit = reader->limit > 1 ? reader->limit / 2 : 1;
    reader->due_ms = now_ms + 1000;
}

enum reaction {
    REACT_RENEW,   /* the iterator is of no use: another, at once */
    REACT_DOUBT,   /* the same where it was the iterator; where it was the position, that is lost */
    REACT_BACKOFF, /* the world's fault */
    REACT_SLOW,    /* a person's fault: say it, try seldom */
    REACT_GONE,
};

/* What is not here goes by its class. */
static const struct {
    const char *code;
    enum reaction reaction;
} reactions[] = {
    {"ExpiredIteratorException", REACT_RENEW}, {"InvalidArgumentException", REACT_DOUBT},
    {"ResourceNotFoundException", REACT_GONE}, {"ResourceInUseException", REACT_BACKOFF},
    {"KMSThrottlingException", REACT_BACKOFF},
};

static enum reaction reaction_to(enum aws_class class, const char *code) {
    for (size_t i = 0; i < sizeof(reactions) / sizeof(reactions[0]); i++) {
        if (strcmp(reactions[i].code, code) == 0) {
            return reactions[i].reaction;
        }
    }
    return class == AWS_DENIED || class == AWS_REFUSED ? REACT_SLOW : REACT_BACKOFF;
}

/* A position older than what the stream keeps, or of another stream. A time is never too old: AWS
   refuses one that is still to come by its clock, which ours may be ahead of; it comes. */
static enum reader_advice lose_position(struct kinesis_reader *reader, int64_t now_ms,
                                        uint32_t random) {
    if (reader->position.kind == POSITION_TIME) {
        reader->due_ms = now_ms + pause_for(reader->failures, 500, 60000, random);
        return reader->failures >= SAY_AFTER ? ADVICE_SAY : ADVICE_NONE;
    }
    if (reader->position.kind == POSITION_TRIM_HORIZON) {
        reader->due_ms = now_ms + pause_for(reader->failures, 5000, 60000, random);
        return ADVICE_SAY;
    }
    reader->position = (struct kinesis_position){.kind = POSITION_TRIM_HORIZON};
    reader->is_whole = true;
    reader->due_ms = now_ms;
    return ADVICE_LOSS;
}

static enum reader_advice doubt(struct kinesis_reader *reader, bool was_iterator, int64_t now_ms,
                                uint32_t random) {
    if (was_iterator) {
        return lose_position(reader, now_ms, random);
    }
    reader->renewals++;
    reader->state = READER_NEEDS_ITERATOR;
    reader->due_ms =
        reader->failures == 1 ? now_ms : now_ms + pause_for(reader->failures, 5000, 60000, random);
    return reader->failures == 1 ? ADVICE_NONE : ADVICE_SAY;
}

static enum reader_advice back_off(struct kinesis_reader *reader, enum aws_class class,
                                   int64_t now_ms, uint32_t random) {
    unsigned failures = reader->failures;
    switch (class) {
    case AWS_SKEW:
        reader->due_ms = now_ms;
        return ADVICE_NONE;
    case AWS_KEYS:
        reader->due_ms = now_ms + pause_for(failures, 500, 30000, random);
        return ADVICE_KEYS;
    case AWS_THROTTLED:
        reader->throttles++;
        reader->due_ms = now_ms + pause_for(failures, 1000, 10000, random);
        return failures == SAY_THROTTLE_AFTER ? ADVICE_SAY : ADVICE_NONE;
    default:
        if (failures % DOUBT_AFTER == 0) {
            reader->renewals++;
            reader->state = READER_NEEDS_ITERATOR;
        }
        reader->due_ms = now_ms + pause_for(failures, 100, 10000, random);
        return failures >= SAY_AFTER ? ADVICE_SAY : ADVICE_NONE;
    }
}

enum reader_advice reader_failed(struct kinesis_reader *reader, enum aws_class class,
                                 const char *code, int64_t now_ms, uint32_t random) {
    bool was_iterator = reader->state == READER_ASKS_ITERATOR;
    assert(was_iterator || reader->state == READER_ASKS_RECORDS);
    reader->state = was_iterator ? READER_NEEDS_ITERATOR : READER_READY;
    reader->failures++;
    switch (reaction_to(class, code)) {
    case REACT_RENEW:
        reader->renewals++;
        reader->state = READER_NEEDS_ITERATOR;
        reader->due_ms = now_ms + (reader->failures > 1 ? 1000 : 0);
        return ADVICE_NONE;
    case REACT_DOUBT:
        return doubt(reader, was_iterator, now_ms, random);
    case REACT_GONE:
        reader->due_ms = now_ms + pause_for(reader->failures, 2000, 60000, random);
        return ADVICE_LIST;
    case REACT_SLOW:
        reader->due_ms = now_ms + pause_for(reader->failures, 5000, 60000, random);
        return ADVICE_SAY;
    case REACT_BACKOFF:
        return back_off(reader, class, now_ms, random);
    }
    return ADVICE_NONE;
}
