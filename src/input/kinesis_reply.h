/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies of the Kinesis API, read in one pass without a tree. Members come in any order, unknown
 * ones are passed over, and an optional one may be absent or null. The text is the caller's, is
 * written to (strings and data are unescaped and decoded in place) and must outlive what is read.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "input/kinesis_types.h"

enum { KINESIS_RECORDS_MAX = 10000, KINESIS_ITERATOR_SIZE = 2048 };

struct kinesis_record {
    struct span data; /* decoded; the text as it came where it is no Base64 */
    struct span sequence, partition_key;
    int64_t arrival_ms; /* ApproximateArrivalTimestamp; -1: not said */
};

/* A GetRecords reply. `records` is kept between replies. */
struct kinesis_reply {
    struct kinesis_record *records;
    size_t count, room;
    struct span next_iterator; /* empty: there is none */
    int64_t behind_ms;         /* MillisBehindLatest; -1: not said */
    bool has_children;         /* others go on: the shard ends here */
};

/* Reads a reply of GetRecords. ERR_DATA: not such a reply, or not all of it (a record without a
   sequence number, more than KINESIS_RECORDS_MAX, cut off): nothing of it may be used. */
int kinesis_reply_parse(char *text, size_t len, struct kinesis_reply *reply, struct err *err);
void kinesis_reply_done(struct kinesis_reply *reply);

/* The iterator of a GetShardIterator reply, terminated. */
int kinesis_iterator_parse(char *text, size_t len, char out[KINESIS_ITERATOR_SIZE],
                           struct err *err);

/* One page of ListShards: adds to `shards`; the token of the next page into `next` (a buf),
   empty on the last. */
int kinesis_list_parse(char *text, size_t len, struct kinesis_shards *shards, struct buf *next,
                       struct err *err);

struct kinesis_summary {
    char status[16];         /* "ACTIVE" ... */
    int64_t retention_hours; /* 0: not said */
    int64_t created_ms;      /* -1: not said */
    int64_t open_shards;     /* -1: not said */
};

/* A DescribeStreamSummary reply. */
int kinesis_summary_parse(char *text, size_t len, struct kinesis_summary *summary, struct err *err);
