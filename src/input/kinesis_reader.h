/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reading of one shard as a state machine: when which call is due, and what follows from its
 * answer. Pure: takes the time (monotonic ms) and a random number; makes no calls. Reactions to
 * errors: Kinesis API reference and what Amazon's own client library does. Used by kinesis.c.
 */
#pragma once

#include "aws/call.h"
#include "input/kinesis_reply.h"

/* AWS' limits for one shard. */
enum { KINESIS_SHARD_BYTES_A_SECOND = 2000000 };

enum reader_state {
    READER_NEEDS_ITERATOR, /* GetShardIterator at due_ms */
    READER_ASKS_ITERATOR,
    READER_READY, /* GetRecords at due_ms */
    READER_ASKS_RECORDS,
    READER_HOLDS, /* a reply that is not handed out yet, or not all of it */
    READER_ENDED, /* the shard is read to its end */
};

struct kinesis_pace {
    int64_t call_ms; /* between two calls at least */
    int64_t poll_ms; /* between two calls at the tip */
};

struct kinesis_reader {
    char id[KINESIS_ID_SIZE];
    struct kinesis_range range;
    enum reader_state state;
    int64_t due_ms; /* monotonic */
    int64_t asked_ms;
    struct kinesis_position position; /* up to here all was handed out, or where it begins */
    bool is_whole; /* the record of `position` is done as a whole; else user records of it up to
                      `position` are, and are passed over */
    char last[KINESIS_SEQUENCE_SIZE]; /* sequence number of the last record of the reply held */
    bool ends;                        /* the reply held is the last one */
    unsigned failures;                /* in a row */
    unsigned ends_said;               /* replies in a row without an iterator or ChildShards */
    char iterator[KINESIS_ITERATOR_SIZE];

    size_t limit;        /* records to ask for at most */
    int64_t behind_ms;   /* by the last reply; -1: not known */
    int64_t answered_ms; /* when that came */
    uint64_t records, bytes, calls, throttles, renewals;
};

/* What the owner of the reader is to do about an error; the reader tries again by itself. */
enum reader_advice {
    ADVICE_NONE,
    ADVICE_SAY,  /* a person should know */
    ADVICE_LOSS, /* the position is no longer there: it goes on at the oldest record kept */
    ADVICE_LIST, /* the shard may be gone: list shards */
    ADVICE_KEYS, /* the keys were refused: have them renewed */
};

void reader_init(struct kinesis_reader *reader, const struct kinesis_shard *shard,
                 const struct kinesis_position *position, int64_t now_ms);

/* The members of a GetShardIterator body behind the stream: `,"ShardId":...`. */
void reader_put_position(const struct kinesis_reader *reader, struct buf *body);

/* A call was started. */
void reader_asked(struct kinesis_reader *reader, int64_t now_ms);

/* GetShardIterator answered; the iterator is in place. */
void reader_got_iterator(struct kinesis_reader *reader, int64_t now_ms);

/* GetRecords answered. The reply is held until reader_handed_out. */
void reader_got_records(struct kinesis_reader *reader, const struct kinesis_reply *reply,
                        int64_t now_ms, const struct kinesis_pace *pace);

/* GetRecords brought more than a reply may hold: half as many records are asked for. */
void reader_got_too_much(struct kinesis_reader *reader, int64_t now_ms);

/* All of the reply was handed out: READY (with the time of the next call) or ENDED. */
void reader_handed_out(struct kinesis_reader *reader);

/* The call under way failed with an error of this class and code ("" where AWS gave none, also for
   a reply that could not be read). */
enum reader_advice reader_failed(struct kinesis_reader *reader, enum aws_class class,
                                 const char *code, int64_t now_ms, uint32_t random);

/* Whether a user record of the reply held was done before, in an earlier life of the reader. */
static inline bool reader_is_done(const struct kinesis_reader *reader, struct span sequence,
                                  int64_t sub) {
    return !reader->is_whole && sub <= reader->position.sub &&
           span_eq(sequence, span_str(reader->position.sequence));
}
