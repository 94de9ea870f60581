/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The life of a batch in a worker: an input that follows a script, a decoder that makes one flow
 * of each record, and an output that delivers when the test says so. What is committed, and when,
 * is what these stories are about.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "core/dead_letter.h"
#include "core/refresh.h"
#include "core/worker.h"
#include "unit.h"

enum { PARCEL = 64 << 10, RING = 4 * PARCEL, SCRIPT_MAX = 64, RECORDS_MAX = 512, WAIT_MS = 5000 };

/* A step of the script: what the next read with room returns. */
struct step {
    enum input_result result;
    size_t records; /* of a batch */
};

static struct {
    struct step script[SCRIPT_MAX];
    atomic_size_t at, open;     /* steps from `open` on wait */
    atomic_int drain_at_room_0; /* the next read without room says INPUT_DRAIN */
    uint64_t batch;
    atomic_uint_fast64_t committed, final_commits;
    atomic_uint_fast64_t stall_from; /* parcels from this number on are not delivered */
    uint64_t parcels, confirmed;
    atomic_size_t messages;
    size_t message_bytes;
    bool bad;           /* every record is a bad line */
    size_t refused;     /* of the messages that come next, as too large */
    atomic_bool broken; /* the output can never go on */
    atomic_int ended;
} fake;

static struct record records[RECORDS_MAX];
static char format_text[] = "test";
static struct format format = {.text = format_text};

static int input_open(void *conf, const struct input_place *place, void **handle, struct err *err) {
    (void)conf;
    (void)place;
    (void)err;
    *handle = &fake;
    return 0;
}

static int input_read(void *handle, size_t room, struct batch *batch, struct err *err) {
    (void)handle;
    (void)err;
    if (room == 0) {
        return atomic_exchange(&fake.drain_at_room_0, 0) ? INPUT_DRAIN : INPUT_IDLE;
    }
    struct step step = fake.at < fake.open ? fake.script[fake.at] : (struct step){INPUT_IDLE, 0};
    if (step.result != INPUT_END && step.result != INPUT_IDLE) {
        fake.at++;
    }
    if (step.result == INPUT_BATCH) {
        *batch = (struct batch){++fake.batch, step.records, records};
    }
    return step.result;
}

static int input_commit(void *handle, uint64_t number, bool final, struct err *err) {
    (void)handle;
    (void)err;
    ck_assert_uint_ge(number, fake.committed);
    fake.committed = number;
    fake.final_commits += final;
    return 0;
}

static void input_describe(void *handle, struct buf *out) {
    (void)handle;
    (void)out;
}

static void fake_close(void *handle) {
    (void)handle;
}

static const struct input_type input = {.name = "script",
                                        .open = input_open,
                                        .read = input_read,
                                        .commit = input_commit,
                                        .describe = input_describe,
                                        .close = fake_close};

struct decoder {
    const struct record *record;
    struct flow flow;
    struct decode_counts counts;
};

static void *decoder_open(const struct decode_conf *conf) {
    (void)conf;
    return calloc(1, sizeof(struct decoder));
}

static void decoder_begin(void *handle, const struct record *record) {
    ((struct decoder *)handle)->record = record;
    ((struct decoder *)handle)->counts.records++;
}

static size_t decoder_next(void *handle, size_t max, struct flow **flows) {
    struct decoder *decoder = handle;
    (void)max;
    if (!decoder->record) {
        return 0;
    }
    decoder->flow.record = decoder->record;
    decoder->flow.bad = fake.bad ? BAD_FORMAT : BAD_NONE;
    decoder->flow.line = SPAN("a line");
    decoder->flow.format = &format;
    decoder->record = NULL;
    *flows = &decoder->flow;
    return 1;
}

static const struct decode_counts *decoder_counts(const void *handle) {
    return &((const struct decoder *)handle)->counts;
}

static const struct decoder_type decoder = {"one",        decoder_open,   decoder_begin,
                                            decoder_next, decoder_counts, free};

static void *encoder_open(const struct message_conf *message, size_t style, struct span end) {
    (void)message;
    (void)style;
    (void)end;
    return &fake;
}

static int encoder_encode(void *encoder, const struct flow *flow, struct buf *out) {
    (void)encoder;
    (void)flow;
    if (!buf_reserve(out, fake.message_bytes)) {
        return -1;
    }
    memset(out->data + out->len, 'm', fake.message_bytes);
    out->len += fake.message_bytes;
    return 0;
}

static const struct encoder_type encoder = {
    .open = encoder_open, .encode = encoder_encode, .close = fake_close};

static size_t output_ring_bytes(const void *conf) {
    (void)conf;
    return RING;
}

static int output_open(void *conf, const struct output_place *place, void **handle,
                       struct err *err) {
    (void)conf;
    (void)place;
    (void)err;
    *handle = &fake;
    return 0;
}

static bool output_takes(void *handle, struct span message) {
    (void)handle;
    ck_assert_uint_eq(message.len, fake.message_bytes);
    if (fake.refused > 0) {
        fake.refused--;
        return false;
    }
    return true;
}

static void output_send(void *handle, const struct parcel *parcel) {
    (void)handle;
    fake.parcels = parcel->number;
    fake.messages += parcel->messages;
}

static int output_turn(void *handle, int64_t now_ms, struct err *err) {
    (void)handle;
    (void)now_ms;
    return fake.broken ? err_set(err, ERR_STOP, "broken for good") : 0;
}

static int output_poll_fds(void *handle, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    (void)handle;
    (void)now_ms;
    (void)fds;
    *wait_ms = 1;
    return 0;
}

static void output_confirm(void *handle, int64_t now_ms) {
    (void)handle;
    (void)now_ms;
    fake.confirmed++;
}

static uint64_t output_delivered(void *handle) {
    (void)handle;
    return fake.parcels < fake.stall_from ? fake.parcels : fake.stall_from - 1;
}

static const struct output_counts *output_counts(const void *handle) {
    static const struct output_counts none;
    (void)handle;
    return &none;
}

static void output_describe(void *handle, int64_t now_ms, struct buf *out) {
    (void)handle;
    (void)now_ms;
    (void)out;
}

static const struct output_type output = {.name = "fake",
                                          .encoder = &encoder,
                                          .ring_bytes = output_ring_bytes,
                                          .open = output_open,
                                          .takes = output_takes,
                                          .send = output_send,
                                          .turn = output_turn,
                                          .poll_fds = output_poll_fds,
                                          .confirm = output_confirm,
                                          .delivered = output_delivered,
                                          .counts = output_counts,
                                          .describe = output_describe,
                                          .close = fake_close};

static bool output_takes_nothing(void *handle, struct span message) {
    (void)handle;
    (void)message;
    return false;
}

static uint64_t output_delivered_nothing(void *handle) {
    (void)handle;
    return 0;
}

static int table_load(const void *conf, struct buf *report, void **table, struct err *err) {
    (void)conf;
    (void)report;
    (void)err;
    *table = &fake;
    return 0;
}

static const struct enricher_type enricher = {
    .name = "none", .load = table_load, .unload = fake_close};

static struct input_use input_use = {.type = &input};
static struct output_use output_use = {.type = &output};
static struct enricher_use enricher_use = {.type = &enricher};
static struct settings settings;
static struct worker_env env;
static struct refresh *refresh;
static struct worker *worker;
static struct err err;

static void wake(void *context) {
    (void)context;
    fake.ended = 1;
}

static void setup(void) {
    static const size_t style = 0;
    memset(&fake, 0, sizeof(fake));
    fake.stall_from = UINT64_MAX;
    fake.open = SCRIPT_MAX;
    fake.message_bytes = 100;
    settings = (struct settings){.workers = 1,
                                 .parcel_bytes = PARCEL,
                                 .dossier_bytes = 4 << 20,
                                 .shutdown_grace_ms = 200,
                                 .revoke_grace_ms = 200,
                                 .input_count = 1,
                                 .inputs = &input_use,
                                 .output_count = 1,
                                 .outputs = &output_use,
                                 .enricher_count = 1,
                                 .enrichers = &enricher_use};
    ck_assert_int_eq(refresh_open(&settings, &refresh, NULL, &err), 0);
    env = (struct worker_env){.settings = &settings,
                              .decoder = &decoder,
                              .snapshots = refresh_snapshots(refresh),
                              .output_style = &style,
                              .wake = wake};
}

static void start(const struct step *script, size_t count) {
    static const struct input_place place = {.workers = 1};
    memcpy(fake.script, script, count * sizeof(*script));
    ck_assert_int_eq(worker_open(&env, &input_use, &place, &worker, &err), 0);
    ck_assert_int_eq(worker_start(worker, &err), 0);
}

static void teardown(void) {
    worker_close(worker);
    refresh_close(refresh);
}

/* Waits until a value has been reached; the bound only ends a test that has failed. */
#define WAIT_FOR(condition)                             \
    do {                                                \
        int waited_ms = 0;                              \
        while (!(condition) && waited_ms++ < WAIT_MS) { \
            usleep(1000);                               \
        }                                               \
        ck_assert(condition);                           \
    } while (0)

static void stop_and_join(void) {
    atomic_store(&env.stopping, true);
    ck_assert_int_eq(worker_join(worker, &err), 0);
    ck_assert(fake.ended);
}

START_TEST(all_is_committed_at_the_end_of_a_finite_input) {
    static const struct step script[] = {{INPUT_BATCH, 3}, {INPUT_BATCH, 2}, {INPUT_END, 0}};
    start(script, 3);
    ck_assert_int_eq(worker_join(worker, &err), 0);
    ck_assert_uint_eq(fake.committed, 2);
    ck_assert_uint_eq(fake.messages, 5);
    ck_assert_uint_eq(fake.final_commits, 1);
    ck_assert_uint_eq(fake.confirmed, 1);
}
END_TEST

START_TEST(what_is_not_delivered_is_not_committed) {
    static const struct step script[] = {{INPUT_BATCH, 1}, {INPUT_BATCH, 1}, {INPUT_IDLE, 0}};
    fake.stall_from = 2;
    start(script, 3);
    WAIT_FOR(fake.at == 2 && fake.committed == 1);
    usleep(50000);
    ck_assert_uint_eq(fake.committed, 1);
    fake.stall_from = UINT64_MAX;
    WAIT_FOR(fake.committed == 2);
    stop_and_join();
}
END_TEST

/* The end of an input has no time limit: the output comes back long after the grace. */
START_TEST(the_end_waits_for_delivery) {
    static const struct step script[] = {{INPUT_BATCH, 1}, {INPUT_END, 0}};
    fake.stall_from = 1;
    start(script, 2);
    usleep(500000);
    ck_assert(!worker_is_done(worker));
    fake.stall_from = UINT64_MAX;
    ck_assert_int_eq(worker_join(worker, &err), 0);
    ck_assert_uint_eq(fake.committed, 1);
}
END_TEST

/* A stop does have one, and commits only what was delivered. */
START_TEST(a_stop_ends_within_its_grace) {
    static const struct step script[] = {{INPUT_BATCH, 1}, {INPUT_BATCH, 1}, {INPUT_END, 0}};
    fake.stall_from = 2;
    start(script, 3);
    WAIT_FOR(fake.at == 2);
    stop_and_join();
    ck_assert_uint_eq(fake.committed, 1);
}
END_TEST

START_TEST(reading_stops_while_the_ring_is_full) {
    static const struct step script[] = {{INPUT_BATCH, 1}, {INPUT_BATCH, 1}, {INPUT_BATCH, 1},
                                         {INPUT_BATCH, 1}, {INPUT_BATCH, 1}, {INPUT_BATCH, 1},
                                         {INPUT_IDLE, 0}};
    fake.message_bytes = PARCEL - 1;
    fake.stall_from = 1;
    start(script, 7);
    WAIT_FOR(fake.at >= 3);
    usleep(50000);
    ck_assert_uint_lt(fake.at, 6);
    fake.stall_from = UINT64_MAX;
    WAIT_FOR(fake.committed == 6);
    stop_and_join();
}
END_TEST

/* One batch larger than the ring, the output stalled in its middle, and then the partitions go:
   the rest is given up and the batch never committed, but the next one is. */
START_TEST(a_drain_in_the_middle_gives_the_batch_up) {
    static const struct step script[] = {
        {INPUT_BATCH, 1}, {INPUT_BATCH, 8}, {INPUT_BATCH, 1}, {INPUT_IDLE, 0}};
    fake.open = 2;
    fake.message_bytes = PARCEL - 1;
    fake.stall_from = 2;
    start(script, 4);
    WAIT_FOR(fake.at == 2 && fake.committed == 1);
    fake.drain_at_room_0 = 1;
    WAIT_FOR(fake.final_commits == 1);
    ck_assert_uint_eq(fake.committed, 1);
    ck_assert_uint_lt(fake.messages, 9);
    fake.stall_from = UINT64_MAX;
    fake.open = SCRIPT_MAX;
    WAIT_FOR(fake.committed == 3);
    stop_and_join();
}
END_TEST

START_TEST(a_drain_settles_and_commits_first) {
    static const struct step script[] = {
        {INPUT_BATCH, 2}, {INPUT_DRAIN, 0}, {INPUT_BATCH, 1}, {INPUT_END, 0}};
    start(script, 4);
    ck_assert_int_eq(worker_join(worker, &err), 0);
    ck_assert_uint_eq(fake.committed, 2);
    ck_assert_uint_eq(fake.final_commits, 2);
    ck_assert_uint_eq(fake.confirmed, 2);
}
END_TEST

/* Whoever waits is woken at once, and what was delivered before is committed. */
START_TEST(an_output_that_cannot_go_on_ends_the_worker) {
    static const struct step script[] = {{INPUT_BATCH, 1}, {INPUT_IDLE, 0}};
    start(script, 2);
    WAIT_FOR(fake.committed == 1);
    ck_assert(!worker_has_failed(worker));
    fake.broken = true;
    WAIT_FOR(fake.ended);
    ck_assert(worker_has_failed(worker));
    ck_assert_int_eq(worker_join(worker, &err), -1);
    ck_assert_int_eq(err.kind, ERR_STOP);
    ck_assert_str_eq(err.text, "fake: broken for good");
    ck_assert_uint_eq(fake.committed, 1);
}
END_TEST

START_TEST(bad_lines_are_counted_and_committed_past) {
    static const struct step script[] = {{INPUT_BATCH, 4}, {INPUT_END, 0}};
    struct stats stats;
    struct buf describe;
    fake.bad = true;
    buf_init(&describe, 1 << 16);
    start(script, 2);
    ck_assert_int_eq(worker_join(worker, &err), 0);
    worker_stats(worker, &stats, &describe);
    buf_done(&describe);
    ck_assert_uint_eq(stats.bad[BAD_FORMAT], 4);
    ck_assert_uint_eq(stats.counter[COUNTER_BAD], 4);
    ck_assert_uint_eq(stats.counter[COUNTER_FLOWS], 0);
    ck_assert_uint_eq(fake.messages, 0);
    ck_assert_uint_eq(fake.committed, 1);
}
END_TEST

static void read_text(const char *path, struct buf *text) {
    ck_assert_int_eq(file_read(path, text, &err), 0);
    ck_assert_int_eq(unlink(path), 0);
}

static size_t count_of(const char *text, const char *what) {
    size_t count = 0;
    while ((text = strstr(text, what)) != NULL) {
        text += strlen(what);
        count++;
    }
    return count;
}

/* One dead letter with position and line for each flow, also where a second output refuses it. */
START_TEST(what_an_output_refuses_is_one_dead_letter) {
    static const struct step script[] = {{INPUT_BATCH, 3}, {INPUT_END, 0}};
    static const uint64_t wanted[] = {1, 3};
    static const size_t styles[] = {0, 0};
    static struct output_type nothing;
    static struct output_use uses[] = {{.type = &output}, {.type = &nothing}};
    static char path[32];
    struct stats stats;
    struct buf text;
    nothing = output;
    nothing.takes = output_takes_nothing;
    nothing.delivered = output_delivered_nothing;
    strcpy(path, "/tmp/flowgelf-test-XXXXXX");
    close(mkstemp(path));
    settings.dead_letter = (struct dead_letter_conf){.path = path};
    settings.outputs = uses;
    settings.output_count = 1 + (size_t)_i;
    env.output_style = styles;
    for (int i = 0; i < 3; i++) {
        records[i].origin = (struct origin){.input = SPAN("script"), .number = 41 + i};
    }
    fake.refused = 1;
    start(script, 2);
    ck_assert_int_eq(worker_join(worker, &err), 0);
    buf_init(&text, 1 << 16);
    worker_stats(worker, &stats, &text);
    ck_assert_uint_eq(stats.bad[BAD_MESSAGE_TOO_LARGE], wanted[_i]);
    ck_assert_uint_eq(stats.counter[COUNTER_BAD], wanted[_i]);
    ck_assert_uint_eq(stats.counter[COUNTER_DEAD_WRITTEN], wanted[_i]);
    ck_assert_uint_eq(stats.counter[COUNTER_FLOWS], 3);
    ck_assert_uint_eq(fake.messages, 2);
    ck_assert_uint_eq(fake.committed, 1);
    buf_clear(&text);
    read_text(path, &text);
    ck_assert_uint_eq(count_of(buf_cstr(&text), "\"reason\":\"message_too_large\""), wanted[_i]);
    ck_assert_uint_eq(count_of(buf_cstr(&text), "\"raw\":\"YSBsaW5l\""), wanted[_i]);
    ck_assert_uint_eq(count_of(buf_cstr(&text), "\"position\":41,\"line\":1"), 1);
    buf_done(&text);
}
END_TEST

/* With required dead letters that cannot be written nothing more is read or committed. */
START_TEST(required_dead_letters_hold_the_commit) {
    static const struct step script[] = {{INPUT_BATCH, 1}, {INPUT_BATCH, 1}, {INPUT_IDLE, 0}};
    char directory[] = "/tmp/flowgelf-test-XXXXXX";
    char path[128], parent[64];
    ck_assert_ptr_nonnull(mkdtemp(directory));
    snprintf(parent, sizeof(parent), "%s/no", directory);
    snprintf(path, sizeof(path), "%s/dead.jsonl", parent);
    settings.dead_letter = (struct dead_letter_conf){.path = path, .required = true};
    fake.bad = true;
    start(script, 3);
    usleep(300000);
    ck_assert_uint_eq(fake.committed, 0);
    ck_assert_uint_le(fake.at, 2);
    ck_assert_int_eq(mkdir(parent, 0700), 0);
    WAIT_FOR(fake.committed == 2);
    stop_and_join();
    unlink(path);
    rmdir(parent);
    rmdir(directory);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("worker");
    TCase *cases = tcase_create("life of a batch");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, all_is_committed_at_the_end_of_a_finite_input);
    tcase_add_test(cases, what_is_not_delivered_is_not_committed);
    tcase_add_test(cases, the_end_waits_for_delivery);
    tcase_add_test(cases, a_stop_ends_within_its_grace);
    tcase_add_test(cases, reading_stops_while_the_ring_is_full);
    tcase_add_test(cases, a_drain_in_the_middle_gives_the_batch_up);
    tcase_add_test(cases, a_drain_settles_and_commits_first);
    tcase_add_test(cases, an_output_that_cannot_go_on_ends_the_worker);
    tcase_add_test(cases, bad_lines_are_counted_and_committed_past);
    tcase_add_loop_test(cases, what_an_output_refuses_is_one_dead_letter, 0, 2);
    tcase_add_test(cases, required_dead_letters_hold_the_commit);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
