/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The values that the parts of the Kinesis input pass to each other: shards, hash ranges, positions
 * and lists of shards. Plain data and pure functions; the formats are those of the Kinesis API
 * (2013-12-02) and, for positions, of the lease tables of Amazon's client library (KCL).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

enum {
    KINESIS_ID_SIZE = 129,       /* of a shard's id, terminated */
    KINESIS_SEQUENCE_SIZE = 130, /* of a sequence number (decimal digits), terminated */
    KINESIS_HASH_SIZE = 40,      /* of a hash key (decimal digits), terminated */
    KINESIS_SHARDS_MAX = 100000,
};

/* Partition keys hash to 0 .. 2^128 - 1; both ends belong to the range. */
struct kinesis_range {
    unsigned __int128 first, last;
};

/* Decimal digits to a number; false when they are none or too large. */
bool kinesis_hash_parse(struct span digits, unsigned __int128 *hash);
void kinesis_hash_format(unsigned __int128 hash, char out[KINESIS_HASH_SIZE]);

/* In the order in which one position stands before another (KCL's). */
enum kinesis_position_kind {
    POSITION_NONE,
    POSITION_TIME,         /* records that arrived at time_ms or later (AT_TIMESTAMP) */
    POSITION_TRIM_HORIZON, /* the oldest record kept */
    POSITION_LATEST,
    POSITION_SEQUENCE,  /* all up to (sequence, sub) is done */
    POSITION_SHARD_END, /* all is done */
};

struct kinesis_position {
    enum kinesis_position_kind kind;
    int64_t time_ms; /* wall clock, of POSITION_TIME */
    char sequence[KINESIS_SEQUENCE_SIZE];
    int64_t sub; /* index of the last user record done within an aggregate; 0 for a plain record */
};

/* Below, equal or above 0. Sequence numbers compare as the big integers that they are. */
int kinesis_position_compare(const struct kinesis_position *a, const struct kinesis_position *b);

/* For people and logs: "TRIM_HORIZON", "AT_TIMESTAMP 2026-...Z", "4958...:3", "SHARD_END". */
void kinesis_position_format(const struct kinesis_position *position, struct buf *out);

/* Whether these are the digits of a sequence number, at most KINESIS_SEQUENCE_SIZE - 1. */
bool kinesis_is_sequence(struct span digits);

/* Copies digits; false (nothing changed) when they are no sequence number. */
bool kinesis_sequence_set(char out[KINESIS_SEQUENCE_SIZE], struct span digits);

/* Copies a shard's id; false (nothing changed) when it is none: 1 to 128 of A-Z a-z 0-9 _ . - */
bool kinesis_id_set(char out[KINESIS_ID_SIZE], struct span id);

struct kinesis_shard {
    char id[KINESIS_ID_SIZE];
    char parent[KINESIS_ID_SIZE];   /* "": none */
    char adjacent[KINESIS_ID_SIZE]; /* second parent of a merge; "": none */
    struct kinesis_range range;
    bool is_open; /* records still come in */
};

/* The shards of a stream, sorted by id, each once. */
struct kinesis_shards {
    struct kinesis_shard *items;
    size_t count, room;
};

/* Adds or replaces; -1 with ERR_DATA beyond KINESIS_SHARDS_MAX. */
int kinesis_shards_add(struct kinesis_shards *shards, const struct kinesis_shard *shard,
                       struct err *err);
/* Sorts and drops copies; to be called when all were added. */
void kinesis_shards_finish(struct kinesis_shards *shards);
const struct kinesis_shard *kinesis_shards_find(const struct kinesis_shards *shards,
                                                const char *id);
void kinesis_shards_done(struct kinesis_shards *shards);
