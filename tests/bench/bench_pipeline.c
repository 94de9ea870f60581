/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The pipeline without its ends: decode, enrich and encode into memory, in one thread, on flow logs
 * that flowgen.h makes up. Used by tests/bench/run, which gives it a configuration whose `enrich`
 * and first output count; prints one JSON line.
 *
 * bench_pipeline CONF lines|single|fresh|envelopes COUNT REPEATS: flows per second. `lines` hands
 * over pieces as the file input does, `single` a record per line, `fresh` as `lines` but every
 * tenth flow from an address never seen, `envelopes` gzipped ones of 200 events. bench_pipeline
 * CONF enrichers COUNT REPEATS: what each enricher costs with a warm cache.
 *
 * Time is the thread's processor time, so that other programs on the machine disturb less.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/buf.h"
#include "base/xalloc.h"
#include "core/enrich.h"
#include "core/enricher.h"
#include "core/refresh.h"
#include "core/settings.h"
#include "flowgen.h"
#include "modules.h"

enum {
    PIECE_BYTES = 256 << 10,
    PARCEL_BYTES = 256 << 10,
    RING_BYTES = 8 << 20,
    FLOWS_AT_ONCE = 32,
    FRESH_EVERY = 10,
    TEXT_MAX = 64 << 10,
};

struct corpus {
    char *text; /* of all lines; NULL for envelopes, which own their data */
    struct record *records;
    size_t count;
    uint64_t flows;
};

/* One way to enrich: the tables, and the dossiers made from them. */
struct way {
    const struct snapshot *tables;
    struct dossier_cache *dossiers;
};

struct bench {
    struct settings *settings;
    struct refresh *refresh;
    struct decode_conf decode;
    struct dossier_style style;
    const struct encoder_type *encoder_type;
    void *decoder, *encoder;
    char *ring;
    size_t ring_at;
    uint64_t flows, bad, bytes; /* since the start */
};

static struct flowgen gen;

static double thread_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static void give_up(const char *what) {
    fprintf(stderr, "bench_pipeline: %s\n", what);
    exit(1);
}

/* ---- what is read ---- */

static struct record make_record(const char *data, size_t len, size_t number) {
    return (struct record){
        .data = span_of(data, len),
        .arrival_ms = 1700000000000,
        .origin = {.input = SPAN("file"), .stream = SPAN("flows.log"), .number = (int64_t)number},
    };
}

/* A record per `piece_bytes` of whole lines; 0: per line, without its line feed. */
static void make_lines(struct corpus *corpus, size_t count, size_t piece_bytes) {
    uint64_t flows = gen.flows;
    size_t len = 0, start = 0;
    if (!corpus->text) {
        corpus->text = xmalloc(count * FLOWGEN_LINE_MAX);
        corpus->records = xcalloc(count, sizeof(struct record));
    }
    corpus->count = 0;
    for (size_t i = 0; i < count; i++) {
        len += flowgen_line(&gen, corpus->text + len);
        if (len - start >= piece_bytes || i + 1 == count) {
            size_t whole = piece_bytes == 0 ? len - start - 1 : len - start;
            corpus->records[corpus->count++] = make_record(corpus->text + start, whole, start);
            start = len;
        }
    }
    corpus->flows = gen.flows - flows;
}

static void make_envelopes(struct corpus *corpus, size_t count) {
    uint64_t flows = gen.flows;
    corpus->count = count / FLOWGEN_EVENTS;
    corpus->records = xcalloc(corpus->count, sizeof(struct record));
    for (size_t i = 0; i < corpus->count; i++) {
        char *data;
        size_t len = flowgen_envelope(&gen, FLOWGEN_EVENTS, &data);
        corpus->records[i] = make_record(data, len, i);
    }
    corpus->flows = gen.flows - flows;
}

/* ---- the pipeline ---- */

static void open_bench(struct bench *bench, const char *path) {
    struct buf text;
    struct err err;
    buf_init(&text, TEXT_MAX);
    *bench = (struct bench){0};
    if (settings_load(path, &flowgelf_modules, &bench->settings, &text) != 0) {
        give_up(buf_cstr(&text));
    }
    buf_done(&text);
    const struct settings *settings = bench->settings;
    if (refresh_open(settings, &bench->refresh, NULL, &err) != 0) {
        give_up(err.text);
    }
    const struct output_use *output = &settings->outputs[0];
    bench->encoder_type = output->type->encoder;
    bench->style = (struct dossier_style){.encode = bench->encoder_type->encode_dossier,
                                          .conf = &output->messages};
    bench->encoder = bench->encoder_type->open(&output->messages, 0, output->type->end);
    bench->decode = (struct decode_conf){
        .formats = (const struct format *const *)settings->formats,
        .format_count = settings->format_count,
    };
    bench->decoder = flowgelf_modules.decoder->open(&bench->decode);
    bench->ring = xcalloc(1, RING_BYTES);
}

static struct way make_way(struct bench *bench, const struct snapshot *tables) {
    return (struct way){
        .tables = tables,
        .dossiers = dossier_cache_open((size_t)bench->settings->dossier_bytes, &bench->style, 1),
    };
}

static void encode(struct bench *bench, const struct flow *flow, struct buf *parcel) {
    size_t before = parcel->len;
    while (bench->encoder_type->encode(bench->encoder, flow, parcel) != 0) {
        if (parcel->len == 0) {
            give_up("a message larger than a parcel");
        }
        bench->ring_at = (bench->ring_at + PARCEL_BYTES) % RING_BYTES;
        buf_over(parcel, bench->ring + bench->ring_at, PARCEL_BYTES);
        before = 0;
    }
    bench->bytes += parcel->len - before;
}

/* Works through a corpus once; returns the seconds that took. */
static double pass(struct bench *bench, const struct way *way, const struct corpus *corpus,
                   bool is_encoding) {
    const struct decoder_type *decoder = flowgelf_modules.decoder;
    struct buf parcel;
    double start_s = thread_s();
    buf_over(&parcel, bench->ring + bench->ring_at, PARCEL_BYTES);
    for (size_t i = 0; i < corpus->count; i++) {
        struct flow *flows;
        size_t count;
        decoder->begin(bench->decoder, &corpus->records[i]);
        while ((count = decoder->next(bench->decoder, FLOWS_AT_ONCE, &flows)) > 0) {
            enrich_prefetch(way->dossiers, flows, count);
            for (size_t j = 0; j < count; j++) {
                if (flows[j].bad != BAD_NONE) {
                    bench->bad++;
                    continue;
                }
                enrich_flow(way->dossiers, way->tables, 0, &flows[j]);
                bench->flows++;
                if (is_encoding) {
                    encode(bench, &flows[j], &parcel);
                }
            }
        }
    }
    return thread_s() - start_s;
}

static void check_counts(const struct bench *bench, uint64_t flows) {
    if (bench->bad > 0 || bench->flows != flows) {
        fprintf(stderr, "bench_pipeline: %llu flows and %llu bad lines of %llu flows\n",
                (unsigned long long)bench->flows, (unsigned long long)bench->bad,
                (unsigned long long)flows);
        exit(1);
    }
}

/* ---- what is measured ---- */

static void prepare(struct corpus *corpus, const char *mode, size_t count) {
    if (strcmp(mode, "envelopes") == 0) {
        make_envelopes(corpus, count);
    } else {
        make_lines(corpus, count, strcmp(mode, "single") == 0 ? 0 : PIECE_BYTES);
    }
}

static void measure_rate(struct bench *bench, const char *mode, size_t count, int repeats) {
    struct corpus corpus = {0};
    struct snapshots *snapshots = refresh_snapshots(bench->refresh);
    struct way way = make_way(bench, snapshots_acquire(snapshots));
    uint64_t wanted = 0;
    bool is_fresh = strcmp(mode, "fresh") == 0;
    struct dossier_cache_counts before = {0};
    printf("{\"mode\": \"%s\", \"rates\": [", mode);
    for (int i = 0; i <= repeats; i++) {
        if (i == 0 || is_fresh) {
            gen.fresh_every = is_fresh ? FRESH_EVERY : 0;
            prepare(&corpus, mode, count);
        }
        double seconds = pass(bench, &way, &corpus, true);
        wanted += corpus.flows;
        if (i == 0) { /* the first pass warms the cache up */
            before = dossier_cache_counts(way.dossiers);
        } else {
            printf("%s%.0f", i == 1 ? "" : ", ", (double)corpus.flows / seconds);
        }
    }
    check_counts(bench, wanted);
    struct dossier_cache_counts after = dossier_cache_counts(way.dossiers);
    printf("], \"message_bytes\": %.1f, \"misses_per_flow\": %.4f}\n",
           (double)bench->bytes / (double)bench->flows,
           (double)(after.misses - before.misses) / (double)(corpus.flows * (uint64_t)repeats));
    snapshots_release(snapshots, way.tables);
}

/* The tables but one; only pointers are copied. */
static struct snapshot *without(const struct snapshot *tables, size_t index) {
    struct snapshot *rest =
        xcalloc(1, sizeof(*rest) + tables->count * sizeof(struct dossier_source));
    rest->version = tables->version;
    for (size_t i = 0; i < tables->count; i++) {
        if (i != index) {
            rest->sources[rest->count++] = tables->sources[i];
        }
    }
    return rest;
}

/* Prints pairs of [with, without] in seconds for one enricher; which of the two goes first
   alternates. */
static void measure_pairs(struct bench *bench, const struct corpus *corpus, const struct way *all,
                          const struct way *rest, bool is_encoding, int repeats) {
    for (int i = -1; i < repeats; i++) { /* the first pair warms up */
        double seconds[2];
        for (int j = 0; j < 2; j++) {
            int which = (i + j) & 1;
            seconds[which] = pass(bench, which == 0 ? all : rest, corpus, is_encoding);
        }
        if (i >= 0) {
            printf("%s[%.6f, %.6f]", i == 0 ? "" : ", ", seconds[0], seconds[1]);
        }
    }
}

static void measure_enrichers(struct bench *bench, size_t count, int repeats) {
    struct corpus corpus = {0};
    struct snapshots *snapshots = refresh_snapshots(bench->refresh);
    const struct snapshot *tables = snapshots_acquire(snapshots);
    struct way all = make_way(bench, tables);
    prepare(&corpus, "lines", count);
    printf("{\"mode\": \"enrichers\", \"enrichers\": {");
    for (size_t i = 0; i < tables->count; i++) {
        struct snapshot *but_one = without(tables, i);
        struct way rest = make_way(bench, but_one);
        printf("%s\"%s\": {\"compute\": [", i == 0 ? "" : ", ", tables->sources[i].type->name);
        measure_pairs(bench, &corpus, &all, &rest, false, repeats);
        printf("], \"whole\": [");
        measure_pairs(bench, &corpus, &all, &rest, true, repeats);
        printf("]}");
        fflush(stdout);
        dossier_cache_close(rest.dossiers);
        free(but_one);
    }
    printf("}}\n");
    check_counts(bench, corpus.flows * (uint64_t)(repeats + 1) * 4 * tables->count);
    snapshots_release(snapshots, tables);
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fputs("usage: bench_pipeline CONF lines|single|fresh|envelopes|enrichers COUNT REPEATS\n",
              stderr);
        return 2;
    }
    struct bench bench;
    size_t count = strtoull(argv[3], NULL, 10);
    flowgen_init(&gen, 1, 0);
    open_bench(&bench, argv[1]);
    if (strcmp(argv[2], "enrichers") == 0) {
        measure_enrichers(&bench, count, atoi(argv[4]));
    } else {
        measure_rate(&bench, argv[2], count, atoi(argv[4]));
    }
    return 0;
}
