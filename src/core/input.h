/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of an input. An input hands records over in numbered batches and is told the number
 * up to which all is delivered; only the input knows what a position is.
 *
 * Life of a handle, all in one worker's thread: open, then read (with room or without) and commit
 * in any order, then close. Each worker has a handle of its own; what handles of one input must
 * share (which file is whose, say) they share through conf's `shared` object, under a lock off the
 * data path.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/option.h"
#include "core/jobs.h"
#include "flow/flow.h"

enum { BATCH_RECORDS_MAX = 4096 };

/* What an input hands over at once. Records are borrowed, valid until the next read with room. */
struct batch {
    uint64_t number; /* from 1, one more for each batch that has records */
    size_t count;
    struct record *records; /* memory of the input */
};

enum input_result {
    INPUT_IDLE,  /* nothing now */
    INPUT_BATCH, /* *batch is filled, count > 0 */
    INPUT_DRAIN, /* partitions or leases are about to go: settle, commit, and call read again, which
                    lets them go. If it comes in the middle of a batch, the rest of that batch is
                    given up and the batch never committed. */
    INPUT_CONFIRM, /* somebody waits for what was handed out to be delivered: have the outputs confirm
                      it without delay, and go on */
    INPUT_END,     /* a finite input is read to its end; every further read says so again */
};

/* What a handle is told at birth. */
struct input_place {
    int worker;        /* 0 to workers - 1 */
    int workers;       /* threads of this input */
    const char *state; /* absolute path of the state directory, NULL: keep nothing (peek) */
    bool look_only;    /* peek: no group, no lease, commit nothing, store nothing */
    struct jobs *jobs; /* for what may wait; outlives the handle. NULL only in tests of inputs that
                          need none */
};

struct input_type {
    const char *name; /* key in the configuration, "kafka" */
    const char *help; /* one line */
    const struct option *options;
    size_t conf_size;

    /*
     * Completes and checks a parsed conf: what the table cannot say. Adds its errors to the
     * context at `node` under `path` (option_error). Touches nothing outside the process. May
     * allocate what handles share; `done` frees it. Called once, before any open; also when some
     * settings were wrong (they are zero then), so that all mistakes show at once: it says only
     * what is wrong for sure.
     */
    void (*init)(void *conf, struct option_context *context, const struct yaml_node *node,
                 const char *path);
    void (*done)(void *conf);

    /* Opens what conf names, to see whether it could be read: files, or (online) the network, for
       `flowgelf check`. Changes nothing. One line per thing to `report`; -1: it would not run. */
    int (*check)(const void *conf, bool online, struct buf *report, struct err *err);

    /*
     * For `flowgelf leases`: a line for each partition or shard: who reads it, the position that is
     * stored, its age. Changes nothing; may wait. NULL: `flowgelf leases` does not speak of this
     * input.
     */
    int (*leases)(const void *conf, struct buf *out, struct err *err);

    /* A handle. ERR_CONFIG or ERR_STOP when it can never work; what may pass is retried in read. */
    int (*open)(void *conf, const struct input_place *place, void **handle, struct err *err);

    /*
     * Hands over at most `room` records (at most BATCH_RECORDS_MAX). Room 0 keeps the last batch
     * valid and does only what keeps the input alive. Never waits: the worker does, on poll_fd.
     * Returns an input_result; -1 with ERR_RETRY (said, at a limited rate, then tried again) or
     * ERR_STOP. What is not committed when read is called after INPUT_DRAIN is given up: the input
     * forgets those batches and reads them again where it still may.
     */
    int (*read)(void *handle, size_t room, struct batch *batch, struct err *err);

    /* A descriptor that becomes readable when read may have something; -1: there is none, and the
       worker asks again after a while. NULL as member means -1. */
    int (*poll_fd)(void *handle);

    /*
     * All batches up to `number` are delivered: store the position, at most once per interval
     * unless `final` (drain, shutdown): then now, and -1 with the reason when that fails.
     */
    int (*commit)(void *handle, uint64_t number, bool final, struct err *err);

    /* One line per partition, shard or file of this handle: what it is, how far behind. */
    void (*describe)(void *handle, struct buf *out);

    /* Gives everything back; what was not committed will be read again. */
    void (*close)(void *handle);
};
