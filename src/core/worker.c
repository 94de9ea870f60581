/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See worker.h. worker_main is the life of a batch: settle what outputs have delivered, read, and
 * for each record decode, enrich, encode and ship. The worker waits in wait_turn only. Everything
 * below it is a step of that life, in the order in which it happens.
 */
#include "core/worker.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "base/xalloc.h"
#include "core/dead_letter.h"
#include "core/enrich.h"
#include "core/filter.h"

enum {
    WAIT_MS = 100, /* longest wait of a turn */
    FLOWS_AT_ONCE = 32,
    PUBLISH_MS = 1000, /* how often counters are published */
    DESCRIBE_MAX = 64 << 10,
};

struct worker {
    const struct worker_env *env;
    const struct input_use *use;
    struct input_place place;
    void *input, *decoder;
    struct dossier_cache *dossiers;
    struct dead_letter *dead;
    struct ship *ships;
    size_t ship_count;
    struct filter *filter;         /* NULL: every flow goes to every output */
    const struct snapshot *tables; /* acquired, for the length of a batch */
    uint64_t tables_version;
    uint64_t committed; /* number of the last batch that was delivered by all */
    bool dead_stalled;  /* a required dead letter cannot be written: read nothing */
    struct log_limit output_log, input_log, bad_log, drop_log;
    uint64_t dropped;    /* messages dropped for want of room, as last said */
    struct stats counts; /* what the worker itself counts */
    int64_t published_ms;

    pthread_t thread;
    bool started;
    atomic_bool done;
    atomic_bool failed;
    struct err err; /* why, when failed */
    pthread_mutex_t publish_lock;
    struct stats published;
    struct buf published_describe, describe;
};

enum step { STEP_ON, STEP_GIVE_UP };

static void settle(struct worker *worker, bool final);
static bool has_room(const struct worker *worker);
static void wait_turn(struct worker *worker, int wait_ms);
static enum input_result read_batch(struct worker *worker, size_t room, struct batch *batch);
static enum step process_batch(struct worker *worker, const struct batch *batch);
static void confirm_outputs(struct worker *worker);
static void drain(struct worker *worker, int64_t grace_ms);
static void part(struct worker *worker, int64_t until_ms);

static bool is_stopping(const struct worker *worker) {
    return worker->failed || atomic_load(&worker->env->stopping);
}

static void *worker_main(void *argument) {
    struct worker *worker = argument;
    const struct settings *settings = worker->env->settings;
    enum input_result result = INPUT_IDLE;
    struct batch batch = {0};
    while (!is_stopping(worker) && result != INPUT_END) {
        settle(worker, false);
        /* Without room the input is asked all the same: that keeps it alive. */
        result = read_batch(worker, has_room(worker) ? BATCH_RECORDS_MAX : 0, &batch);
        if (result == INPUT_BATCH && process_batch(worker, &batch) == STEP_GIVE_UP) {
            result = INPUT_DRAIN;
        }
        if (result == INPUT_DRAIN && !is_stopping(worker)) {
            drain(worker, settings->revoke_grace_ms);
        }
        if (result == INPUT_CONFIRM) {
            confirm_outputs(worker);
        }
        if (result == INPUT_IDLE) {
            wait_turn(worker, WAIT_MS);
        }
    }
    int64_t ended_ms = clock_monotonic_ms();
    drain(worker, result == INPUT_END ? INT64_MAX : settings->shutdown_grace_ms);
    part(worker, ended_ms + settings->shutdown_grace_ms);
    atomic_store(&worker->done, true);
    worker->env->wake(worker->env->context);
    return NULL;
}

static bool is_required(const struct ship *ship) {
    return !ship->use->optional;
}

/* The lowest batch number that all required outputs have delivered. */
static uint64_t delivered_batch(const struct worker *worker) {
    uint64_t lowest = UINT64_MAX;
    for (size_t i = 0; i < worker->ship_count; i++) {
        const struct ship *ship = &worker->ships[i];
        uint64_t delivered = is_required(ship) ? ship_delivered(ship) : UINT64_MAX;
        lowest = delivered < lowest ? delivered : lowest;
    }
    return lowest;
}

/* Says an error that may pass, at a limited rate; ends the worker on one that cannot. */
static void take_error(struct worker *worker, struct log_limit *limit, const char *who,
                       const struct err *err) {
    uint64_t suppressed;
    if (err->kind == ERR_STOP || err->kind == ERR_CONFIG) {
        if (!worker->failed) {
            err_set(&worker->err, err->kind, "%s: %s", who, err->text);
            atomic_store(&worker->failed, true);
            worker->env->wake(worker->env->context);
        }
    } else if (log_limit_allows(limit, clock_monotonic_ms(), &suppressed)) {
        log_warning("%s: %s%s", who, err->text, suppressed ? " (and others before)" : "");
    }
}

static void turn_outputs(struct worker *worker) {
    int64_t now_ms = clock_monotonic_ms();
    struct err err;
    for (size_t i = 0; i < worker->ship_count; i++) {
        if (ship_turn(&worker->ships[i], now_ms, &err) != 0) {
            take_error(worker, &worker->output_log, worker->ships[i].use->type->name, &err);
        }
    }
}

/* Dead letters are on disk before the batch that they belong to is committed. */
static bool flush_dead_letters(struct worker *worker) {
    struct err err;
    bool stalled = dead_letter_flush(worker->dead, &err) != 0;
    if (stalled && err.kind == ERR_STOP) {
        take_error(worker, &worker->output_log, "dead_letter", &err);
    } else if (stalled && !worker->dead_stalled) {
        log_error("%s; reading stops until dead letters can be written", err.text);
    }
    worker->dead_stalled = stalled;
    return !stalled;
}

static void publish(struct worker *worker);

static void settle(struct worker *worker, bool final) {
    struct err err;
    turn_outputs(worker);
    uint64_t delivered = delivered_batch(worker);
    bool is_new = delivered > worker->committed;
    if ((is_new || final || worker->dead_stalled) && flush_dead_letters(worker)) {
        worker->committed = delivered;
    }
    /* Each turn, as the input stores a position that it put off when its interval is over. */
    if (worker->committed > 0 &&
        worker->use->type->commit(worker->input, worker->committed, final, &err) != 0) {
        take_error(worker, &worker->input_log, worker->use->type->name, &err);
    }
    publish(worker);
}

static bool has_room(const struct worker *worker) {
    for (size_t i = 0; i < worker->ship_count; i++) {
        if (is_required(&worker->ships[i]) && !ship_has_room(&worker->ships[i])) {
            return false;
        }
    }
    return !worker->dead_stalled;
}

static void wait_turn(struct worker *worker, int wait_ms) {
    struct pollfd fds[worker->ship_count * OUTPUT_POLL_MAX + 1];
    int64_t now_ms = clock_monotonic_ms();
    nfds_t count = 0;
    for (size_t i = 0; i < worker->ship_count; i++) {
        const struct output_type *type = worker->ships[i].use->type;
        count += (nfds_t)type->poll_fds(worker->ships[i].handle, now_ms, fds + count, &wait_ms);
    }
    int input_fd = worker->use->type->poll_fd ? worker->use->type->poll_fd(worker->input) : -1;
    if (input_fd >= 0 && has_room(worker)) {
        fds[count++] = (struct pollfd){.fd = input_fd, .events = POLLIN};
    }
    if (poll(fds, count, wait_ms) < 0 && errno != EINTR) {
        struct err err;
        err_sys(&err, ERR_STOP, "poll");
        take_error(worker, &worker->input_log, "worker", &err);
    }
}

static enum input_result read_batch(struct worker *worker, size_t room, struct batch *batch) {
    struct err err;
    int result = worker->use->type->read(worker->input, room, batch, &err);
    if (result < 0) {
        take_error(worker, &worker->input_log, worker->use->type->name, &err);
        return INPUT_IDLE;
    }
    return (enum input_result)result;
}

/* The tables of this moment; a cache made from others is dropped. */
static void acquire_tables(struct worker *worker) {
    worker->tables = snapshots_acquire(worker->env->snapshots);
    if (worker->tables->version != worker->tables_version) {
        dossier_cache_drop(worker->dossiers);
        worker->tables_version = worker->tables->version;
    }
}

static void release_tables(struct worker *worker) {
    snapshots_release(worker->env->snapshots, worker->tables);
    worker->tables = NULL;
}

/* In the middle of a batch: waits until a ship has room. The input is kept alive meanwhile; when it
   must let go, or the worker is told to stop, the rest of the batch is given up. */
static enum step wait_for_room(struct worker *worker, struct ship *ship) {
    while (!ship_has_room(ship)) {
        struct batch same;
        if (is_stopping(worker) || read_batch(worker, 0, &same) == INPUT_DRAIN) {
            return STEP_GIVE_UP;
        }
        wait_turn(worker, WAIT_MS);
        settle(worker, false);
    }
    return STEP_ON;
}

/* A ship has no room for a message. Where the output is required that is waited for; else room is
   made, or the message is not for it (*dropped). */
static enum step get_room(struct worker *worker, struct ship *ship, bool *dropped) {
    struct err err;
    if (is_required(ship)) {
        return wait_for_room(worker, ship);
    }
    *dropped = !ship_squeeze(ship, clock_monotonic_ms(), &err);
    if (err.text[0] != '\0') {
        take_error(worker, &worker->output_log, ship->use->type->name, &err);
    }
    return STEP_ON;
}

static void log_bad(struct worker *worker, enum bad_reason reason, const struct flow *flow) {
    static const size_t quoted_max = 120;
    const struct origin *origin = &flow->record->origin;
    struct span line = flow->line, position = origin->sequence;
    char number[NUM_DIGITS_MAX + 2];
    uint64_t suppressed;
    if (!log_limit_allows(&worker->bad_log, clock_monotonic_ms(), &suppressed)) {
        return;
    }
    if (position.len == 0) {
        position = span_of(number, (size_t)sprintf(number, "%jd", (intmax_t)origin->number));
    }
    size_t quoted = line.len < quoted_max ? line.len : quoted_max;
    log_warning("bad line (%s: %s), %.*s %.*s %.*s %.*s line %u: \"%.*s\"%s%s", bad_names[reason],
                bad_helps[reason], SPAN_ARG(origin->input), SPAN_ARG(origin->stream),
                SPAN_ARG(origin->shard), SPAN_ARG(position), flow->line_number + 1, (int)quoted,
                line.p, quoted < line.len ? " ..." : "",
                suppressed ? "; more were not logged" : "");
}

static void bury(struct worker *worker, enum bad_reason reason, const struct flow *flow) {
    worker->counts.bad[reason]++;
    dead_letter_add(worker->dead, reason, flow->record, flow->line_number, flow->line);
    log_bad(worker, reason, flow);
}

/* Whether the flow is sent to anybody at all. */
static bool is_sent(struct worker *worker, const struct flow *flow) {
    static const enum counter_id counter_of[] = {[FILTER_SAMPLED_OUT] = COUNTER_FLOWS_SAMPLED_OUT,
                                                 [FILTER_DROPPED] = COUNTER_FLOWS_DROPPED,
                                                 [FILTER_NOT_KEPT] = COUNTER_FLOWS_NOT_KEPT};
    enum filter_verdict verdict = filter_decide(worker->filter, flow);
    if (verdict == FILTER_TOO_LARGE) {
        bury(worker, BAD_MESSAGE_TOO_LARGE, flow);
    } else if (verdict != FILTER_PASS) {
        worker->counts.counter[counter_of[verdict]]++;
    }
    return verdict == FILTER_PASS;
}

/* The ship had no room for a flow: tries until it has, or until the flow is dropped for it. */
static enum step ship_later(struct worker *worker, struct ship *ship, uint64_t batch,
                            const struct flow *flow, enum ship_result *result) {
    bool dropped = false;
    while (*result == SHIP_FULL && !dropped) {
        if (get_room(worker, ship, &dropped) == STEP_GIVE_UP) {
            return STEP_GIVE_UP;
        }
        *result = dropped ? SHIP_FULL : ship_flow(ship, batch, flow);
    }
    return STEP_ON;
}

/* A flow that is too large is one dead letter, however many outputs refuse it. */
static enum step ship_one(struct worker *worker, const struct batch *batch,
                          const struct flow *flow) {
    bool too_large = false;
    for (size_t i = 0; i < worker->ship_count; i++) {
        struct ship *ship = &worker->ships[i];
        if (ship->use->filter && !filter_matches(worker->filter, ship->use->filter)) {
            ship->filtered++;
            continue;
        }
        enum ship_result result = ship_flow(ship, batch->number, flow);
        if (result == SHIP_FULL &&
            ship_later(worker, ship, batch->number, flow, &result) == STEP_GIVE_UP) {
            return STEP_GIVE_UP;
        }
        too_large |= result == SHIP_TOO_LARGE;
    }
    if (too_large) {
        bury(worker, BAD_MESSAGE_TOO_LARGE, flow);
    }
    return STEP_ON;
}

static enum step process_record(struct worker *worker, const struct batch *batch,
                                const struct record *record, int64_t now_ms) {
    const struct decoder_type *decoder = worker->env->decoder;
    struct flow *flows;
    size_t count;
    decoder->begin(worker->decoder, record);
    while ((count = decoder->next(worker->decoder, FLOWS_AT_ONCE, &flows)) > 0) {
        enrich_prefetch(worker->dossiers, flows, count);
        for (size_t i = 0; i < count; i++) {
            if (flows[i].bad != BAD_NONE) {
                bury(worker, flows[i].bad, &flows[i]);
                continue;
            }
            enrich_flow(worker->dossiers, worker->tables, now_ms, &flows[i]);
            worker->counts.counter[COUNTER_FLOWS]++;
            if (worker->filter && !is_sent(worker, &flows[i])) {
                continue;
            }
            if (ship_one(worker, batch, &flows[i]) == STEP_GIVE_UP) {
                return STEP_GIVE_UP;
            }
        }
    }
    return STEP_ON;
}

static enum step process_batch(struct worker *worker, const struct batch *batch) {
    int64_t now_ms = clock_monotonic_ms();
    acquire_tables(worker);
    for (size_t i = 0; i < batch->count; i++) {
        worker->counts.counter[COUNTER_RECORD_BYTES] += batch->records[i].data.len;
        if (process_record(worker, batch, &batch->records[i], now_ms) == STEP_GIVE_UP) {
            release_tables(worker);
            return STEP_GIVE_UP;
        }
    }
    release_tables(worker);
    for (size_t i = 0; i < worker->ship_count; i++) {
        ship_batch_end(&worker->ships[i], batch->number);
    }
    return STEP_ON;
}

/* By the required outputs, or by the others. */
static bool all_delivered(const struct worker *worker, bool required) {
    for (size_t i = 0; i < worker->ship_count; i++) {
        const struct ship *ship = &worker->ships[i];
        if (is_required(ship) == required && !ship_is_empty(ship)) {
            return false;
        }
    }
    return true;
}

/* What is pending is delivered as soon as can be; does not wait for it. */
static void confirm_outputs(struct worker *worker) {
    int64_t now_ms = clock_monotonic_ms();
    for (size_t i = 0; i < worker->ship_count; i++) {
        worker->ships[i].use->type->confirm(worker->ships[i].handle, now_ms);
    }
}

/*
 * Settles for good, because partitions go, the input ended or the worker stops: outputs confirm at
 * once, and what is delivered within `grace_ms` is committed. A stop ends a drain without limit.
 * Nothing waits for outputs that are not required.
 */
static void drain(struct worker *worker, int64_t grace_ms) {
    int64_t start_ms = clock_monotonic_ms();
    for (size_t i = 0; i < worker->ship_count; i++) {
        ship_abandon(&worker->ships[i]);
    }
    confirm_outputs(worker);
    settle(worker, false);
    while (!worker->failed && (!all_delivered(worker, true) || worker->dead_stalled) &&
           clock_monotonic_ms() - start_ms < grace_ms) {
        if (grace_ms == INT64_MAX && is_stopping(worker)) {
            grace_ms = clock_monotonic_ms() - start_ms + worker->env->settings->shutdown_grace_ms;
        }
        wait_turn(worker, WAIT_MS);
        settle(worker, false);
    }
    settle(worker, true);
}

/* At the very end: outputs that are not required have the grace too, and it is the same one. What
   they have not delivered then is lost to them, and said. */
static void part(struct worker *worker, int64_t until_ms) {
    while (!worker->failed && !all_delivered(worker, false) && clock_monotonic_ms() < until_ms) {
        wait_turn(worker, WAIT_MS);
        settle(worker, false);
    }
    for (size_t i = 0; i < worker->ship_count; i++) {
        if (!is_required(&worker->ships[i])) {
            ship_give_up(&worker->ships[i]);
        }
    }
}

static void gather(struct worker *worker, struct stats *stats) {
    *stats = worker->counts;
    stats_set_decoder(stats, worker->env->decoder->counts(worker->decoder));
    for (size_t i = 0; i < worker->ship_count; i++) {
        ship_gather(&worker->ships[i], stats);
    }
    for (int i = 0; i < BAD_COUNT; i++) {
        stats->counter[COUNTER_BAD] += stats->bad[i];
    }
    struct dossier_cache_counts cache = dossier_cache_counts(worker->dossiers);
    stats->counter[COUNTER_DOSSIER_HITS] = cache.hits;
    stats->counter[COUNTER_DOSSIER_MISSES] = cache.misses;
    struct dead_letter_counts dead = dead_letter_counts(worker->dead);
    stats->counter[COUNTER_DEAD_WRITTEN] = dead.written;
    stats->counter[COUNTER_DEAD_LOST] = dead.lost;
}

static void describe(struct worker *worker, int64_t now_ms, struct buf *out) {
    buf_clear(out);
    worker->use->type->describe(worker->input, out);
    for (size_t i = 0; i < worker->ship_count; i++) {
        ship_describe(&worker->ships[i], worker->place.worker, i, now_ms, out);
    }
}

/* Outputs that are not required drop without stopping anything, so somebody has to say it. */
static void say_dropped(struct worker *worker, int64_t now_ms) {
    uint64_t dropped = 0, suppressed;
    for (size_t i = 0; i < worker->ship_count; i++) {
        dropped += worker->ships[i].dropped;
    }
    if (dropped > worker->dropped && log_limit_allows(&worker->drop_log, now_ms, &suppressed)) {
        log_warning("worker %d: %ju messages dropped for outputs with `required: false`",
                    worker->place.worker, (uintmax_t)(dropped - worker->dropped));
        worker->dropped = dropped;
    }
}

/* Once a second, into memory that is there already. */
static void publish_now(struct worker *worker, int64_t now_ms) {
    struct stats stats;
    gather(worker, &stats);
    describe(worker, now_ms, &worker->describe);
    pthread_mutex_lock(&worker->publish_lock);
    worker->published = stats;
    buf_clear(&worker->published_describe);
    buf_add(&worker->published_describe, buf_span(&worker->describe));
    pthread_mutex_unlock(&worker->publish_lock);
    worker->published_ms = now_ms;
    say_dropped(worker, now_ms);
}

static void publish(struct worker *worker) {
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms - worker->published_ms >= PUBLISH_MS) {
        publish_now(worker, now_ms);
    }
}

void worker_stats(struct worker *worker, struct stats *stats, struct buf *describe) {
    pthread_mutex_lock(&worker->publish_lock);
    *stats = worker->published;
    buf_add(describe, buf_span(&worker->published_describe));
    pthread_mutex_unlock(&worker->publish_lock);
}

static int open_ships(struct worker *worker, struct err *err) {
    const struct settings *settings = worker->env->settings;
    worker->ships = xcalloc(settings->output_count, sizeof(struct ship));
    for (size_t i = 0; i < settings->output_count; i++) {
        const struct output_use *use = &settings->outputs[i];
        struct output_place place = {
            .sharers = worker->place.workers * (int)settings->input_count,
            .ring_bytes = ship_ring_bytes(use, (size_t)settings->parcel_bytes),
            .dead = worker->dead,
        };
        if (ship_open(&worker->ships[i], use, &place, worker->env->output_style[i],
                      (size_t)settings->parcel_bytes, err) != 0) {
            return -1;
        }
        worker->ship_count++;
    }
    return 0;
}

static void open_filter(struct worker *worker, const struct settings *settings) {
    if (settings->output_count > 0 && filter_is_needed(&settings->filter)) {
        worker->filter = filter_open(&settings->filter, settings->outputs[0].type->encoder,
                                     worker->env->filter_style);
    }
}

int worker_open(const struct worker_env *env, const struct input_use *use,
                const struct input_place *place, struct worker **out, struct err *err) {
    struct worker *worker = xcalloc(1, sizeof(*worker));
    *worker = (struct worker){
        .env = env,
        .use = use,
        .place = *place,
        .output_log = {.burst = 5, .every_ms = 10000},
        .input_log = {.burst = 5, .every_ms = 10000},
        .bad_log = {.burst = 10, .every_ms = 5000},
        .drop_log = {.burst = 2, .every_ms = 30000},
    };
    pthread_mutex_init(&worker->publish_lock, NULL);
    buf_init(&worker->describe, DESCRIBE_MAX);
    buf_init(&worker->published_describe, DESCRIBE_MAX);
    worker->decoder = env->decoder->open(&env->decode);
    worker->dead = dead_letter_open(&env->settings->dead_letter);
    worker->dossiers =
        dossier_cache_open((size_t)env->settings->dossier_bytes, env->styles, env->style_count);
    open_filter(worker, env->settings);
    if (open_ships(worker, err) != 0 ||
        use->type->open(use->conf, place, &worker->input, err) != 0) {
        worker_close(worker);
        return -1;
    }
    *out = worker;
    return 0;
}

int worker_start(struct worker *worker, struct err *err) {
    int result = pthread_create(&worker->thread, NULL, worker_main, worker);
    if (result != 0) {
        errno = result;
        return err_sys(err, ERR_STOP, "a thread for input %s", worker->use->type->name);
    }
    worker->started = true;
    return 0;
}

bool worker_has_failed(const struct worker *worker) {
    return atomic_load(&worker->failed);
}

bool worker_is_done(const struct worker *worker) {
    return !worker->started || atomic_load(&worker->done);
}

int worker_join(struct worker *worker, struct err *err) {
    if (!worker->started) {
        return 0;
    }
    pthread_join(worker->thread, NULL);
    worker->started = false;
    publish_now(worker, clock_monotonic_ms());
    if (worker->failed) {
        *err = worker->err;
        return -1;
    }
    return 0;
}

void worker_close(struct worker *worker) {
    if (!worker) {
        return;
    }
    if (worker->input) {
        worker->use->type->close(worker->input);
    }
    for (size_t i = 0; i < worker->ship_count; i++) {
        ship_close(&worker->ships[i]);
    }
    free(worker->ships);
    filter_close(worker->filter);
    dead_letter_close(worker->dead);
    dossier_cache_close(worker->dossiers);
    worker->env->decoder->close(worker->decoder);
    buf_done(&worker->describe);
    buf_done(&worker->published_describe);
    pthread_mutex_destroy(&worker->publish_lock);
    free(worker);
}
