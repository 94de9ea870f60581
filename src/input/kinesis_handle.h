/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One worker's Kinesis handle, and what the files of this input that work on it have for each
 * other: kinesis.c (the contract, shards that come and go), kinesis_calls.c (calls under way) and
 * kinesis_out.c (replies that become records). All of it is touched by the worker's thread only.
 */
#pragma once

#include "core/input.h"
#include "input/kinesis_keeper.h"
#include "input/kinesis_reader.h"
#include "input/kinesis_steps.h"
#include "input/kpl.h"

enum {
    CALLS_MAX = 64,       /* in flight or held */
    HELD_MAX = 64 << 20,  /* bytes of replies */
    REPLY_MAX = 24 << 20, /* 10 MB in Base64, and what is around 10,000 records */
    BODY_MAX = 6 * KINESIS_ITERATOR_SIZE + 4096,
};

/* A call of ours and the shard that it is for. */
struct slot {
    struct aws_call *call;
    struct buf body;
    char memory[BODY_MAX];
    struct shard *shard; /* NULL: free */
    char access_id[AWS_ACCESS_ID_MAX];
};

struct shard {
    struct kinesis_reader reader;
    struct kinesis_track *track;
    struct slot *slot; /* of the call under way or the reply held */
    bool is_held;      /* its reply is complete and waits to be handed out */
};

struct kinesis {
    const struct kinesis_conf *conf;
    struct kinesis_shared *shared;
    int worker;
    struct kinesis_pace pace;
    struct http *http;

    struct slot slots[CALLS_MAX];
    struct slot *free[CALLS_MAX];
    size_t free_count;
    struct slot *held[CALLS_MAX]; /* complete replies, the first one first: a ring */
    size_t held_head, held_tail;
    struct slot *given[CALLS_MAX]; /* whose records are in the last batch */
    size_t given_count;

    unsigned seats_version;
    size_t shard_count;
    struct shard **shards; /* sorted by id */
    int64_t *due_ms;       /* of each; INT64_MAX: a call is under way, or none is to be made */

    /* The reply that is being handed out: that of the first held slot. */
    bool is_open;
    struct kinesis_reply reply;
    size_t at;         /* record of it */
    bool in_aggregate; /* `kpl` stands in that record */
    struct kpl kpl;

    uint64_t number;    /* of the last batch */
    uint64_t delivered; /* the last batch that was */
    struct record records[BATCH_RECORDS_MAX];
    struct kinesis_steps steps;
    bool must_confirm; /* a shard's end is handed out, and others wait for it to be stored */
    bool has_news;     /* positions were put and not flushed */
    int64_t flushed_ms;

    bool has_trouble; /* to be said by the next read */
    struct err trouble;
};

/* ---- kinesis_calls.c ---- */

void kinesis_calls_open(struct kinesis *kinesis);
void kinesis_calls_close(struct kinesis *kinesis);

/* An error for the next read to say; of several the first. */
void kinesis_note(struct kinesis *kinesis, const struct err *err);

/* Starts what is due, the longest due first, as far as there are slots, and wakes for the rest. */
void kinesis_start_due(struct kinesis *kinesis, int64_t now_ms);

/* Takes in calls that are done: replies with records are held in the order in which they came. */
void kinesis_take_done(struct kinesis *kinesis);

/* A call failed, or its reply is of no use. */
void kinesis_take_failure(struct kinesis *kinesis, struct slot *slot, enum aws_class class,
                          const char *code, const struct err *err);

/* Breaks a call off, or throws its reply away. */
void kinesis_free_slot(struct kinesis *kinesis, struct slot *slot);

/* Notes when a shard's next call is due, if it wants to make one. */
void kinesis_schedule(struct kinesis *kinesis, const struct shard *shard);

/* ---- kinesis_out.c ---- */

/* Fills at most `room` records from the replies held, the first one first, and notes the positions
   reached by the batch that they make. Returns how many. */
size_t kinesis_hand_out(struct kinesis *kinesis, size_t room);

/* Gives the memory of the last batch's records back. */
void kinesis_release_given(struct kinesis *kinesis);

/* Throws away a reply that is held. */
void kinesis_drop_held(struct kinesis *kinesis, const struct slot *slot);
