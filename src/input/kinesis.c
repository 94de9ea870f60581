/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kinesis input: each worker reads its share of the stream's shards, with a call in flight for
 * each that is due, on one set of connections. Whatever reply is complete first is handed out
 * first, so that a slow shard delays no other. This file keeps the contract and its share of the
 * shards; kinesis_calls.c makes the calls, kinesis_out.c hands out what they bring,
 * kinesis_reader.c decides what each shard does next, kinesis_keeper.c which shards there are, and
 * a store keeps positions.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/xalloc.h"
#include "input/inputs.h"
#include "input/kinesis_check.h"
#include "input/kinesis_handle.h"

enum { FLUSH_WAIT_MS = 5000 }; /* for positions at the end */

/* ---- which shards are ours ---- */

static struct shard *open_shard(const struct kinesis_seat *seat, int64_t now_ms) {
    struct shard *shard = xcalloc(1, sizeof(*shard));
    reader_init(&shard->reader, &seat->shard, &seat->position, now_ms);
    shard->track = kinesis_track_make(seat->shard.id, seat->tenure);
    return shard;
}

static void close_shard(struct kinesis *kinesis, struct shard *shard) {
    if (shard->is_held) {
        kinesis_drop_held(kinesis, shard->slot);
    }
    if (shard->slot) {
        kinesis_free_slot(kinesis, shard->slot);
    }
    kinesis_track_release(shard->track);
    free(shard);
}

/* Both lists are sorted by id: shards that stay are taken over, others closed and opened. */
static void take_seats(struct kinesis *kinesis, int64_t now_ms) {
    unsigned version = kinesis_keeper_version(kinesis->shared);
    if (version == kinesis->seats_version) {
        return;
    }
    kinesis->seats_version = version;
    struct kinesis_seat *seats;
    size_t count = kinesis_keeper_seats(kinesis->shared, kinesis->worker, &seats), old = 0;
    struct shard **shards = xcalloc(count + 1, sizeof(*shards));
    for (size_t i = 0; i < count; i++) {
        int order = -1;
        while (old < kinesis->shard_count &&
               (order = strcmp(kinesis->shards[old]->reader.id, seats[i].shard.id)) < 0) {
            close_shard(kinesis, kinesis->shards[old++]);
        }
        bool is_same = old < kinesis->shard_count && order == 0 &&
                       kinesis->shards[old]->track->tenure == seats[i].tenure;
        shards[i] = is_same ? kinesis->shards[old++] : open_shard(&seats[i], now_ms);
    }
    while (old < kinesis->shard_count) {
        close_shard(kinesis, kinesis->shards[old++]);
    }
    free(seats);
    free(kinesis->shards);
    kinesis->shards = shards;
    kinesis->shard_count = count;
    kinesis->due_ms = xreallocarray(kinesis->due_ms, count + 1, sizeof(*kinesis->due_ms));
    for (size_t i = 0; i < count; i++) {
        kinesis_schedule(kinesis, shards[i]);
    }
}

/* What is delivered is put to the store, also what no batch had to carry. */
static void settle(struct kinesis *kinesis, uint64_t number) {
    struct kinesis_step step;
    while (kinesis_steps_pop(&kinesis->steps, number, &step)) {
        kinesis_keeper_put(kinesis->shared, step.track->id, step.track->tenure, &step.position);
        kinesis_track_release(step.track);
        kinesis->has_news = true;
    }
}

/* Stores what was put, once per interval. */
static int flush(struct kinesis *kinesis, bool final, struct err *err) {
    int64_t now_ms = clock_monotonic_ms();
    bool is_due =
        kinesis->has_news && now_ms - kinesis->flushed_ms >= kinesis->conf->checkpoint.interval_ms;
    if (!is_due && !final) {
        return 0;
    }
    kinesis->flushed_ms = now_ms;
    if (kinesis_keeper_flush(kinesis->shared, final ? FLUSH_WAIT_MS : 0, err) != 0) {
        return err_wrap(err, "%s", kinesis->conf->name);
    }
    kinesis->has_news = false;
    return 0;
}

static int kinesis_read(void *handle, size_t room, struct batch *batch, struct err *err) {
    struct kinesis *kinesis = handle;
    int64_t now_ms = clock_monotonic_ms();
    http_turn(kinesis->http);
    kinesis_take_done(kinesis);
    if (kinesis->has_trouble) {
        kinesis->has_trouble = false;
        *err = kinesis->trouble;
        return -1;
    }
    if (room == 0) {
        return INPUT_IDLE;
    }
    if (kinesis->must_confirm) {
        kinesis->must_confirm = false;
        return INPUT_CONFIRM;
    }
    kinesis_release_given(kinesis);
    take_seats(kinesis, now_ms);
    size_t count = kinesis_hand_out(kinesis, room);
    kinesis_start_due(kinesis, now_ms);
    settle(kinesis, kinesis->delivered);
    if (count == 0) {
        /* The core commits batches; an empty shard's end comes without one. */
        return flush(kinesis, false, err) == 0 ? INPUT_IDLE : -1;
    }
    *batch =
        (struct batch){.number = ++kinesis->number, .count = count, .records = kinesis->records};
    return INPUT_BATCH;
}

static int kinesis_poll_fd(void *handle) {
    return http_fd(((struct kinesis *)handle)->http);
}

static int kinesis_commit(void *handle, uint64_t number, bool final, struct err *err) {
    struct kinesis *kinesis = handle;
    kinesis->delivered = number;
    settle(kinesis, number);
    return flush(kinesis, final, err);
}

/* ---- life of a handle ---- */

/* How far behind a reader is now, by what its last reply said and how long ago that was. */
static int64_t behind_now_ms(const struct kinesis *kinesis, const struct kinesis_reader *reader,
                             int64_t now_ms) {
    int64_t silent_ms = now_ms - reader->answered_ms;
    bool is_late = silent_ms > 2 * kinesis->pace.poll_ms;
    return reader->behind_ms < 0 ? -1 : reader->behind_ms + (is_late ? silent_ms : 0);
}

static void describe_shard(const struct kinesis *kinesis, const struct kinesis_reader *reader,
                           struct buf *line) {
    int64_t retention_ms = kinesis_keeper_retention_ms(kinesis->shared);
    int64_t behind_ms = behind_now_ms(kinesis, reader, clock_monotonic_ms());
    const char *owner = kinesis_keeper_owner(kinesis->shared);
    buf_clear(line);
    buf_printf(line, "kinesis %s %s: ", kinesis->conf->name, reader->id);
    if (behind_ms >= 0) {
        buf_printf(line, "%jd ms behind, ", (intmax_t)behind_ms);
    }
    if (behind_ms >= 0 && retention_ms > 0) {
        buf_printf(line, "%jd s until loss, ", (intmax_t)(retention_ms - behind_ms) / 1000);
    }
    buf_printf(line, "%ju records, %ju bytes, %ju calls, %ju throttled, %ju iterators renewed",
               (uintmax_t)reader->records, (uintmax_t)reader->bytes, (uintmax_t)reader->calls,
               (uintmax_t)reader->throttles, (uintmax_t)reader->renewals);
    buf_printf(line, "%s%s\n", owner ? ", owner " : "", owner ? owner : "");
}

/* Whole lines, as many as `out` takes. */
static void kinesis_describe(void *handle, struct buf *out) {
    const struct kinesis *kinesis = handle;
    char memory[1024];
    struct buf line;
    buf_over(&line, memory, sizeof(memory));
    for (size_t i = 0; i < kinesis->shard_count; i++) {
        describe_shard(kinesis, &kinesis->shards[i]->reader, &line);
        buf_add(out, buf_span(&line));
    }
}

static void kinesis_close(void *handle) {
    struct kinesis *kinesis = handle;
    for (size_t i = 0; i < kinesis->shard_count; i++) {
        close_shard(kinesis, kinesis->shards[i]);
    }
    kinesis_calls_close(kinesis);
    kinesis_reply_done(&kinesis->reply);
    kinesis_steps_done(&kinesis->steps);
    kinesis_keeper_leave(kinesis->shared);
    free(kinesis->shards);
    free(kinesis->due_ms);
    free(kinesis);
}

static int kinesis_open(void *conf_, const struct input_place *place, void **handle,
                        struct err *err) {
    struct kinesis_conf *conf = conf_;
    if (kinesis_keeper_join(conf, place, err) != 0) {
        return -1;
    }
    struct kinesis *kinesis = xcalloc(1, sizeof(*kinesis));
    kinesis->conf = conf;
    kinesis->shared = conf->shared;
    kinesis->worker = place->worker;
    kinesis->pace = (struct kinesis_pace){
        .call_ms = (1000 + conf->max_calls - 1) / conf->max_calls,
        .poll_ms = conf->poll_interval_ms,
    };
    kinesis->flushed_ms = clock_monotonic_ms();
    kinesis_calls_open(kinesis);
    *handle = kinesis;
    return 0;
}

const struct input_type input_kinesis_type = {
    .name = "kinesis",
    .help = "Streams of AWS Kinesis Data Streams, to which CloudWatch Logs delivers.",
    .options = kinesis_options,
    .conf_size = sizeof(struct kinesis_conf),
    .init = kinesis_conf_init,
    .done = kinesis_conf_done,
    .check = kinesis_check,
    .leases = kinesis_leases,
    .open = kinesis_open,
    .read = kinesis_read,
    .poll_fd = kinesis_poll_fd,
    .commit = kinesis_commit,
    .describe = kinesis_describe,
    .close = kinesis_close,
};
