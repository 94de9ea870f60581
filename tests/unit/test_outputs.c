/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A worker with several outputs, each with a search of its own, some not required, that stall as
 * they like: by a seed, so that a failure can be seen again. Whatever they do, a required output
 * gets exactly the flows that it should, in their order; one that is not required misses only
 * what was counted as dropped; no memory of a ring changes before it is delivered or dropped; and
 * nothing is committed that a required output has not delivered.
 */
#include <stdio.h>
#include <stdlib.h>

#include "core/refresh.h"
#include "core/worker.h"
#include "unit.h"

enum {
    PARCEL = 64 << 10,
    RING = 4 * PARCEL,
    BATCHES = 160,
    BATCH_MAX = 150,
    FLOWS_MAX = BATCHES * BATCH_MAX,
    OUTPUTS_MAX = 5,
    OUT_MAX = 4096, /* parcels not yet delivered, of one output */
    SEEDS = 24,
};

struct out {
    struct output_counts counts;
    const struct parcel *parcels[OUT_MAX]; /* number n at n % OUT_MAX */
    uint64_t sums[OUT_MAX];
    uint64_t sent, delivered;
    int stalled_turns, never; /* never: it delivers nothing at all */
    bool can_drop;
    unsigned random;
    size_t got_count, delivered_count; /* ids as sent; of these, delivered ones in order */
    int got[FLOWS_MAX];
};

static const char *const searches[] = {
    NULL, "a:1", "b:(0 OR 3) AND NOT a:2", "c:none", "a:0 b:4",
};

static struct {
    unsigned random;
    size_t batch, flows;
    size_t ends[BATCHES + 1]; /* flows of all batches up to one */
    uint64_t committed;
    size_t opened;
    struct out outs[OUTPUTS_MAX];
} fake;

static struct record records[BATCH_MAX];
static char format_text[] = "test";
static struct format format = {.text = format_text};
static struct settings settings;
static struct output_use uses[OUTPUTS_MAX];

static unsigned pick(unsigned *state, unsigned below) {
    *state = *state * 1103515245 + 12345;
    return *state / 65536 % below;
}

/* ---- what is read: flows that are numbered ---- */

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
        return INPUT_IDLE;
    }
    if (fake.batch == BATCHES) {
        return INPUT_END;
    }
    unsigned chance = pick(&fake.random, 40);
    if (chance < 3) {
        return chance == 0 ? INPUT_DRAIN : chance == 1 ? INPUT_CONFIRM : INPUT_IDLE;
    }
    size_t count = pick(&fake.random, BATCH_MAX);
    for (size_t i = 0; i < count; i++) {
        records[i].origin.number = (int64_t)fake.flows++;
    }
    fake.ends[++fake.batch] = fake.flows;
    *batch = (struct batch){fake.batch, count, records};
    return INPUT_BATCH;
}

/* Whether a flow goes to an output, in our own words. */
static bool is_for(size_t search, int id) {
    int a = id % 3, b = id % 5;
    bool dropped = id % 7 == 0, kept = id % 11 != 0;
    bool matches[] = {true, a == 1, (b == 0 || b == 3) && a != 2, false, a == 0 || b == 4};
    return !dropped && kept && matches[search];
}

static size_t wanted_of(size_t search, size_t flows) {
    size_t count = 0;
    for (size_t id = 0; id < flows; id++) {
        count += is_for(search, (int)id);
    }
    return count;
}

static size_t search_of(const struct output_use *use) {
    return *(const size_t *)use->conf;
}

static int input_commit(void *handle, uint64_t number, bool final, struct err *err) {
    (void)handle;
    (void) final;
    (void)err;
    ck_assert_uint_ge(number, fake.committed);
    ck_assert_uint_le(number, BATCHES);
    for (size_t i = 0; number > fake.committed && i < settings.output_count; i++) {
        if (!uses[i].optional) {
            ck_assert_uint_ge(fake.outs[i].delivered_count,
                              wanted_of(search_of(&uses[i]), fake.ends[number]));
        }
    }
    fake.committed = number;
    return 0;
}

static void describe_nothing(void *handle, struct buf *out) {
    (void)handle;
    (void)out;
}

static void close_nothing(void *handle) {
    (void)handle;
}

static const struct input_type input = {.name = "numbers",
                                        .open = input_open,
                                        .read = input_read,
                                        .commit = input_commit,
                                        .describe = describe_nothing,
                                        .close = close_nothing};

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
}

static size_t decoder_next(void *handle, size_t max, struct flow **flows) {
    struct decoder *decoder = handle;
    (void)max;
    size_t count = decoder->record != NULL;
    decoder->flow.record = count ? decoder->record : decoder->flow.record;
    decoder->flow.line = SPAN("a line");
    decoder->flow.format = &format;
    decoder->record = NULL;
    *flows = &decoder->flow;
    return count;
}

static const struct decode_counts *decoder_counts(const void *handle) {
    return &((const struct decoder *)handle)->counts;
}

static const struct decoder_type decoder = {"one",        decoder_open,   decoder_begin,
                                            decoder_next, decoder_counts, free};

/* ---- what is sent: small objects of different lengths ---- */

static void *encoder_open(const struct message_conf *message, size_t style, struct span end) {
    (void)message;
    (void)style;
    (void)end;
    return &fake;
}

static int encoder_encode(void *encoder, const struct flow *flow, struct buf *out) {
    (void)encoder;
    char text[1024];
    int id = (int)flow->record->origin.number;
    int len =
        snprintf(text, sizeof(text),
                 "{\"id\":%d,\"_a\":\"%d\",\"_b\":%d,\"_d\":%d,\"_k\":%d,\"_pad\":\"%0*d\"}\n", id,
                 id % 3, id % 5, id % 7, id % 11, 1 + id * 31 % 600, 0);
    if (!buf_reserve(out, (size_t)len)) {
        return -1;
    }
    buf_add(out, span_of(text, (size_t)len));
    return 0;
}

static const struct encoder_type encoder = {
    .open = encoder_open, .encode = encoder_encode, .close = close_nothing};

/* ---- outputs with moods ---- */

static size_t out_ring_bytes(const void *conf) {
    (void)conf;
    return RING;
}

static int out_open(void *conf, const struct output_place *place, void **handle, struct err *err) {
    (void)conf;
    (void)place;
    (void)err;
    *handle = &fake.outs[fake.opened++];
    return 0;
}

static uint64_t sum_of(struct span bytes) {
    uint64_t sum = 14695981039346656037u;
    for (size_t i = 0; i < bytes.len; i++) {
        sum = (sum ^ (unsigned char)bytes.p[i]) * 1099511628211u;
    }
    return sum;
}

static void out_send(void *handle, const struct parcel *parcel) {
    struct out *out = handle;
    struct span rest = parcel->bytes, line;
    size_t lines = 0;
    ck_assert_uint_eq(parcel->number, ++out->sent);
    ck_assert_uint_lt(out->sent - out->delivered, OUT_MAX);
    out->parcels[parcel->number % OUT_MAX] = parcel;
    out->sums[parcel->number % OUT_MAX] = sum_of(parcel->bytes);
    for (; span_cut(&rest, '\n', &line); lines++) {
        int id = -1;
        ck_assert_int_eq(sscanf(line.p, "{\"id\":%d,", &id), 1);
        out->got[out->got_count++] = id;
    }
    ck_assert_uint_eq(lines, parcel->messages);
}

/* Everything that is out still stands where it stood. */
static void look_at_ring(const struct out *out) {
    for (uint64_t n = out->delivered + 1; n <= out->sent; n++) {
        ck_assert_uint_eq(sum_of(out->parcels[n % OUT_MAX]->bytes), out->sums[n % OUT_MAX]);
    }
}

static int out_turn(void *handle, int64_t now_ms, struct err *err) {
    struct out *out = handle;
    (void)now_ms;
    (void)err;
    if (out->stalled_turns > 0 || out->never) {
        out->stalled_turns--;
        return 0;
    }
    if (pick(&out->random, 8) == 0) {
        look_at_ring(out);
        out->stalled_turns = (int)pick(&out->random, 40);
    }
    for (unsigned n = pick(&out->random, 6); n > 0 && out->delivered < out->sent; n--) {
        out->delivered_count += out->parcels[++out->delivered % OUT_MAX]->messages;
    }
    out->counts.delivered_messages = out->delivered_count;
    return 0;
}

static bool out_drop(void *handle, uint64_t number) {
    struct out *out = handle;
    ck_assert_uint_le(number, out->sent);
    ck_assert_uint_gt(number, out->delivered);
    if (!out->can_drop || pick(&out->random, 10) == 0) {
        return false;
    }
    while (out->delivered < number) {
        out->counts.dropped_messages += out->parcels[++out->delivered % OUT_MAX]->messages;
    }
    return true;
}

static int out_poll_fds(void *handle, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    (void)handle;
    (void)now_ms;
    (void)fds;
    *wait_ms = 0;
    return 0;
}

static void out_confirm(void *handle, int64_t now_ms) {
    (void)handle;
    (void)now_ms;
}

static uint64_t out_delivered(void *handle) {
    return ((struct out *)handle)->delivered;
}

static const struct output_counts *out_counts(const void *handle) {
    return &((const struct out *)handle)->counts;
}

static void out_describe(void *handle, int64_t now_ms, struct buf *text) {
    (void)handle;
    (void)now_ms;
    buf_add(text, SPAN("moody\n"));
}

static const struct output_type moody = {.name = "moody",
                                         .encoder = &encoder,
                                         .ring_bytes = out_ring_bytes,
                                         .open = out_open,
                                         .send = out_send,
                                         .drop = out_drop,
                                         .turn = out_turn,
                                         .poll_fds = out_poll_fds,
                                         .confirm = out_confirm,
                                         .delivered = out_delivered,
                                         .counts = out_counts,
                                         .describe = out_describe,
                                         .close = close_nothing};

static int table_load(const void *conf, struct buf *report, void **table, struct err *error) {
    (void)conf;
    (void)report;
    (void)error;
    *table = &fake;
    return 0;
}

static const struct enricher_type enricher = {
    .name = "none", .load = table_load, .unload = close_nothing};

/* ---- the stories ---- */

static size_t search_numbers[OUTPUTS_MAX];
static struct input_use input_use = {.type = &input};
static struct enricher_use enricher_use = {.type = &enricher};
static struct refresh *refresh;
static struct err err;

static struct query *parse(const char *text) {
    struct query *query = NULL;
    ck_assert_msg(!text || query_parse(span_str(text), &query, &err) == 0, "%s", err.text);
    return query;
}

static void wake(void *context) {
    (void)context;
}

/* Output 0 is required; the others as the seed has it. */
static void set_up(unsigned seed) {
    memset(&fake, 0, sizeof(fake));
    fake.random = seed * 2654435761u + 1;
    settings = (struct settings){.workers = 1,
                                 .parcel_bytes = PARCEL,
                                 .dossier_bytes = 4 << 20,
                                 .shutdown_grace_ms = 50,
                                 .revoke_grace_ms = 5,
                                 .input_count = 1,
                                 .inputs = &input_use,
                                 .output_count = 1 + pick(&fake.random, OUTPUTS_MAX),
                                 .outputs = uses,
                                 .enricher_count = 1,
                                 .enrichers = &enricher_use};
    settings.filter =
        (struct filter_conf){.drop = parse("d:0"), .keep = parse("NOT k:0"), .writes = true};
    for (size_t i = 0; i < settings.output_count; i++) {
        search_numbers[i] = pick(&fake.random, sizeof(searches) / sizeof(searches[0]));
        uses[i] = (struct output_use){.type = &moody,
                                      .conf = &search_numbers[i],
                                      .filter = parse(searches[search_numbers[i]]),
                                      .optional = i > 0 && pick(&fake.random, 2)};
        fake.outs[i].random = seed + (unsigned)i * 77;
        fake.outs[i].can_drop = pick(&fake.random, 2);
        fake.outs[i].never = uses[i].optional && pick(&fake.random, 3) == 0;
    }
    ck_assert_int_eq(refresh_open(&settings, &refresh, NULL, &err), 0);
}

static void run_to_end(struct stats *stats) {
    static const struct input_place place = {.workers = 1};
    static const size_t styles[OUTPUTS_MAX];
    struct worker_env env = {.settings = &settings,
                             .decoder = &decoder,
                             .snapshots = refresh_snapshots(refresh),
                             .output_style = styles,
                             .wake = wake};
    struct worker *worker;
    struct buf describe;
    buf_init(&describe, 1 << 16);
    ck_assert_int_eq(worker_open(&env, &input_use, &place, &worker, &err), 0);
    ck_assert_int_eq(worker_start(worker, &err), 0);
    ck_assert_msg(worker_join(worker, &err) == 0, "%s", err.text);
    worker_stats(worker, stats, &describe);
    worker_close(worker);
    buf_done(&describe);
    refresh_close(refresh);
}

static void tear_down(void) {
    query_free(settings.filter.drop);
    query_free(settings.filter.keep);
    for (size_t i = 0; i < settings.output_count; i++) {
        query_free(uses[i].filter);
    }
}

/* In order, each once, and only what is for it; all of it where the output is required. */
static void check_got(size_t i) {
    const struct out *out = &fake.outs[i];
    int last = -1;
    for (size_t k = 0; k < out->got_count; k++) {
        ck_assert_int_gt(out->got[k], last);
        last = out->got[k];
        ck_assert(is_for(search_of(&uses[i]), last));
    }
    if (!uses[i].optional) {
        ck_assert_uint_eq(out->got_count, wanted_of(search_of(&uses[i]), fake.flows));
        ck_assert_uint_eq(out->delivered_count, out->got_count);
    }
}

START_TEST(each_gets_its_own_and_commits_wait_for_the_required) {
    struct stats stats;
    set_up((unsigned)_i);
    run_to_end(&stats);
    size_t passed = wanted_of(0, fake.flows), missing = 0, filtered = 0;
    ck_assert_uint_eq(fake.committed, BATCHES);
    for (size_t i = 0; i < settings.output_count; i++) {
        size_t wanted = wanted_of(search_of(&uses[i]), fake.flows);
        check_got(i);
        missing += wanted - fake.outs[i].delivered_count;
        filtered += passed - wanted;
    }
    ck_assert_uint_eq(stats.counter[COUNTER_FLOWS], fake.flows);
    ck_assert_uint_eq(stats.counter[COUNTER_DROPPED], missing);
    ck_assert_uint_eq(stats.counter[COUNTER_FILTERED], filtered);
    ck_assert_uint_eq(stats.counter[COUNTER_FLOWS_DROPPED], (fake.flows + 6) / 7);
    ck_assert_uint_eq(stats.counter[COUNTER_FLOWS_NOT_KEPT],
                      fake.flows - (fake.flows + 6) / 7 - passed);
    tear_down();
}
END_TEST

/* One that is dead and not required costs nobody anything; what it misses is all counted. */
START_TEST(a_dead_output_that_is_not_required_stops_nothing) {
    struct stats stats;
    set_up(1);
    tear_down();
    settings.output_count = 2;
    for (size_t i = 0; i < 2; i++) {
        search_numbers[i] = 0;
        uses[i] =
            (struct output_use){.type = &moody, .conf = &search_numbers[i], .optional = i == 1};
        fake.outs[i].never = i == 1;
        fake.outs[i].can_drop = _i;
    }
    settings.filter =
        (struct filter_conf){.drop = parse("d:0"), .keep = parse("NOT k:0"), .writes = true};
    run_to_end(&stats);
    check_got(0);
    check_got(1);
    ck_assert_uint_eq(fake.committed, BATCHES);
    ck_assert_uint_eq(stats.counter[COUNTER_DROPPED], wanted_of(0, fake.flows));
    /* With `drop` the newest are handed over, without it the oldest stay where they are. */
    const struct out *dead = &fake.outs[1];
    ck_assert(_i ? dead->got[dead->got_count - 1] > (int)fake.flows - BATCH_MAX * 4
                 : dead->got_count < fake.flows / 2);
    tear_down();
}
END_TEST

int main(void) {
    Suite *suite = suite_create("outputs");
    TCase *cases = tcase_create("several");
    tcase_add_loop_test(cases, each_gets_its_own_and_commits_wait_for_the_required, 0, SEEDS);
    tcase_add_loop_test(cases, a_dead_output_that_is_not_required_stops_nothing, 0, 2);
    tcase_set_timeout(cases, 120);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
