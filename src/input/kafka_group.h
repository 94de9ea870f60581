/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How partitions come, go and get their positions stored: the slow side of the Kafka input, which
 * runs at rebalances and commits, while kafka.c moves messages. One `struct kafka` is one worker's
 * consumer; everything in it is touched by that worker's thread only, librdkafka's callbacks
 * included, because they are served by our own polls.
 */
#pragma once

#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdint.h>

#include "core/input.h"
#include "input/kafka_conf.h"
#include "input/kafka_offsets.h"

#define KAFKA_NOT_STORED "positions were not stored"

/* What is between being told of partitions and reading them. */
enum kafka_join {
    KAFKA_JOIN_NONE,
    KAFKA_JOIN_LIST,   /* look_only: learn which partitions there are */
    KAFKA_JOIN_STORED, /* ask for what the group has stored */
    KAFKA_JOIN_START,  /* find the start of those without */
    KAFKA_JOIN_STORE,  /* store that start, so that a crash skips nothing */
    KAFKA_JOIN_WAIT,   /* until the broker confirms it */
    KAFKA_JOIN_ASSIGN,
};

struct kafka {
    const struct kafka_conf *conf;
    int worker, workers;
    bool look_only;
    rd_kafka_t *rk;
    rd_kafka_queue_t *queue;   /* messages and callbacks */
    rd_kafka_queue_t *replies; /* to requests to store positions */
    int event_fd;

    struct kafka_offsets offsets;
    uint64_t number;                                 /* of the last batch */
    rd_kafka_message_t *messages[BATCH_RECORDS_MAX]; /* of the last batch */
    size_t message_count;
    rd_kafka_message_t *held[BATCH_RECORDS_MAX]; /* fetched, not handed out yet */
    size_t held_count;
    size_t queue_peak; /* longest queue since the fetcher was last woken */
    struct record records[BATCH_RECORDS_MAX];
    uint64_t message_errors;

    bool is_paused;
    int64_t stalled_ms; /* since when there has been no room; 0: there is */

    enum kafka_join join;
    int join_wait_ms;    /* how long a read may wait for answers of the join */
    int64_t join_end_ms; /* when this read's wait is over */
    rd_kafka_topic_partition_list_t *joining;
    rd_kafka_topic_partition_list_t *leaving; /* to be let go at the read after INPUT_DRAIN */
    bool told_drain, is_closing;
    bool is_lost;      /* others have what is leaving: no position of it may be stored */
    bool must_go_back; /* fetching is to go back to what is delivered, and nothing is read before */

    bool in_flight; /* a request to store is not answered */
    int64_t committed_ms;
    rd_kafka_resp_err_t commit_err; /* of the last answer */

    struct kafka_trouble trouble;
};

/* librdkafka's callback: notes what comes and what is to go; only while closing it lets go at once,
   as no record is borrowed any more. `opaque` is the struct kafka. */
void kafka_group_rebalance(rd_kafka_t *rk, rd_kafka_resp_err_t event,
                           rd_kafka_topic_partition_list_t *parts, void *opaque);

/* Begins to look at all partitions without a group. */
void kafka_group_look(struct kafka *kafka);

/* On the way from being told of partitions to reading them, as far as it goes in join_wait_ms, the
   longest that it waits for the broker: librdkafka has no other way to ask. Not 0: why it goes no
   further; tried again at the next call. Keeps what records point to. */
rd_kafka_resp_err_t kafka_group_join(struct kafka *kafka);

/* Lets go of what is leaving: frees what its records point to. What was on its way is forgotten,
   and read again where it is kept, once kafka_group_go_back is through. Does not wait. */
void kafka_group_leave(struct kafka *kafka);

/* Where it must, takes fetching back to what is delivered; waits for 100 ms at most. Not 0: not
   done, tried again at the next call. */
rd_kafka_resp_err_t kafka_group_go_back(struct kafka *kafka);

/* Answers what librdkafka still waits for, so that the consumer can be closed. */
void kafka_group_close(struct kafka *kafka);

/* Takes in the answers to requests to store, without waiting. Not 0: why one was refused. */
rd_kafka_resp_err_t kafka_group_answers(struct kafka *kafka);

/* Stores what is delivered; `wait_ms` > 0: waits for the answer that long. */
int kafka_group_commit(struct kafka *kafka, int wait_ms, struct err *err);

/* Drops what was fetched and not handed out. */
void kafka_group_drop_held(struct kafka *kafka);

/* Stops or resumes fetching of all partitions. */
void kafka_group_pause(struct kafka *kafka, bool pause);

/* Gives back the lists, after the consumer is closed. */
void kafka_group_drop(struct kafka *kafka);
