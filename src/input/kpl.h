/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Aggregated records of Amazon's Kinesis Producer Library: several user records in one. Format:
 * "KPL Aggregated Record Format" of the library (magic, protobuf AggregatedRecord, MD5). Pure and
 * without allocation: everything points into the record.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "input/kinesis_types.h"

enum {
    KPL_MARKS = 1024,
    KPL_STEPS_MAX = 16, /* for each byte of the message, to find all keys */
};

/* One of the two tables of keys: where some of its entries stand, so that none is far to seek. */
struct kpl_table {
    uint64_t count;
    uint64_t step;             /* every so many entries have a mark */
    uint64_t last;             /* the entry found last */
    size_t last_at;            /* where its field begins in the message */
    uint32_t marks[KPL_MARKS]; /* where each marked one begins */
};

/* A place in an aggregate. */
struct kpl {
    struct span message; /* the protobuf */
    size_t at;           /* of the next field to look at */
    int64_t sub;         /* index of the next user record */
    struct kpl_table partition_keys, hash_keys;
};

struct kpl_record {
    struct span data;
    struct span partition_key;
    struct span hash_key; /* explicit, decimal; p is NULL: none */
    int64_t sub;          /* index in the aggregate, from 0 */
};

/* Begins. False: not an aggregate, or a malformed one (too short, other magic, wrong MD5, bad
   protobuf, an index outside its table, no record): the whole is one plain record. So is one with
   hundreds of thousands of keys, jumbled so that finding them would take seconds. All of it is
   checked here, so that kpl_next cannot fail later. */
bool kpl_open(struct kpl *kpl, struct span data);

/* The next user record; false: there is none. */
bool kpl_next(struct kpl *kpl, struct kpl_record *record);

/* Whether the record belongs to a shard with this range: by its explicit hash key, else by the MD5
   of its partition key. A hash key that is no number counts as inside (nothing is lost). */
bool kpl_is_in_range(const struct kpl_record *record, const struct kinesis_range *range);
