/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which position of which shard is reached when which batch is delivered: the bookkeeping between
 * the batches that the core counts and the positions that a store keeps. Pure. Used by kinesis.c.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "input/kinesis_types.h"

enum { KINESIS_STEPS_MAX = 1 << 16 };

/* A shard for the time that it is ours. Lives as long as its reader or a step needs it. */
struct kinesis_track {
    char id[KINESIS_ID_SIZE];
    uint64_t tenure;
    size_t users;
};

struct kinesis_track *kinesis_track_make(const char *id, uint64_t tenure);
void kinesis_track_release(struct kinesis_track *track);

struct kinesis_step {
    uint64_t number; /* of the batch */
    struct kinesis_track *track;
    struct kinesis_position position;
};

/* A ring, oldest first; zeros are an empty one. */
struct kinesis_steps {
    struct kinesis_step *items;
    size_t room, head, tail; /* room is a power of two */
};

void kinesis_steps_done(struct kinesis_steps *steps);

/* Whether one more push fits below the ceiling. */
bool kinesis_steps_have_room(const struct kinesis_steps *steps);

/* With batch `number`, which never goes down, `position` is reached. */
void kinesis_steps_push(struct kinesis_steps *steps, uint64_t number, struct kinesis_track *track,
                        const struct kinesis_position *position);

/* The oldest step of a batch up to `number`, taken out; its track is then the caller's to release.
   False: there is none. */
bool kinesis_steps_pop(struct kinesis_steps *steps, uint64_t number, struct kinesis_step *step);
