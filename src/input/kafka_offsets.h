/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bookkeeping of positions of one Kafka consumer: which partitions it has, up to where each was
 * handed out, delivered and stored, and what belongs to which batch that is still on its way. Pure:
 * offsets in, offsets out; nothing in here talks to a broker. Used by kafka.c alone.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    KAFKA_OFFSETS_MAX = 1 << 18, /* steps on their way at most */
    KAFKA_SHARD_TEXT_MAX = 12,
};

/* Offsets are those of the next message; negative: not known yet (also a logical one). */
struct kafka_part {
    char *topic; /* NULL: the slot is free */
    int32_t partition;
    char shard[KAFKA_SHARD_TEXT_MAX]; /* the partition as text */
    int64_t next;                     /* handed out up to */
    int64_t settled;                  /* delivered up to, without gaps */
    int64_t sent;                     /* in the last request to store */
    int64_t stored;                   /* what the broker confirmed */
};

/* In batch `number`, partition `part` was handed out up to `next`. */
struct kafka_step {
    uint64_t number;
    int64_t next;
    uint32_t part;
    bool is_void; /* the partition went */
};

struct kafka_offsets {
    struct kafka_part **parts; /* each on its own: records point into them */
    size_t part_count;
    struct kafka_step *steps; /* a ring of step_room, a power of two */
    size_t step_room, head, tail;
};

void kafka_offsets_init(struct kafka_offsets *offsets);
void kafka_offsets_done(struct kafka_offsets *offsets);

/* A partition is ours from offset `start` (>= 0, or negative when only the broker knows). `stored`:
   what the group has stored, negative for nothing. One that was ours already begins anew and keeps
   its texts, to which records may point. Returns its index. */
size_t kafka_offsets_add(struct kafka_offsets *offsets, const char *topic, int32_t partition,
                         int64_t start, int64_t stored);

/* The index of a partition of ours, -1 when it is not. */
int kafka_offsets_find(const struct kafka_offsets *offsets, const char *topic, int32_t partition);

/* A partition is ours no longer: nothing of it is ever stored again. Its texts are freed. */
void kafka_offsets_remove(struct kafka_offsets *offsets, size_t part);

/* Whether `count` more messages can be kept account of. */
bool kafka_offsets_have_room(const struct kafka_offsets *offsets, size_t count);

/* Message `offset` of a partition is handed out in batch `number`, which never goes down. Returns
   how many offsets were passed over since the one before it, 0 where that is not known. */
int64_t kafka_offsets_hand_out(struct kafka_offsets *offsets, uint64_t number, size_t part,
                               int64_t offset);

/* All batches up to `number` are delivered. */
void kafka_offsets_deliver(struct kafka_offsets *offsets, uint64_t number);

/* What is to be stored for a partition now, -1: nothing new. */
int64_t kafka_offsets_due(const struct kafka_part *part);

/* The answer to a request to store: confirmed up to `offset`, or (-1) refused: due again. */
void kafka_offsets_answer(struct kafka_part *part, int64_t offset);

/* What is on its way will be read again: every partition goes back to what was delivered. */
void kafka_offsets_forget(struct kafka_offsets *offsets);
