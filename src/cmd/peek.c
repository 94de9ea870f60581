/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flowgelf peek`: what would come out, from the real inputs, without taking anything away: no
 * group, no lease, no position. Prints some messages and then a summary of what was seen.
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/num.h"
#include "base/xalloc.h"
#include "cmd/cmd.h"
#include "cmd/lines_output.h"
#include "core/pipeline.h"
#include "output/gelf.h"

enum { TEXT_MAX = 1 << 20, FORMATS_SEEN_MAX = 16, QUIET_MS = 10000, LIMIT_DEFAULT = 20 };

/* One kind of fact about addresses, and how many had it. */
static const struct {
    const char *name;
    enum dossier_fact fact;
} shares[] = {
    {"internal", FACT_INTERNAL}, {"with geo", FACT_GEO},       {"threat", FACT_THREAT},
    {"trusted", FACT_TRUSTED},   {"with entity", FACT_ENTITY},
};

enum { SHARE_COUNT = sizeof(shares) / sizeof(*shares) };

/* What was seen. One for the process, as an encoder is told nothing about who uses it. */
static struct peek {
    uint64_t limit, printed;
    atomic_bool enough;
    uint64_t addresses, share[SHARE_COUNT];
    size_t format_count;
    char *formats[FORMATS_SEEN_MAX];
    uint64_t format_flows[FORMATS_SEEN_MAX];
    uint64_t aged;
    int64_t age_min_s, age_max_s, age_sum_s;
    atomic_int_fast64_t last_ms; /* when the last message came, monotonic */
} peek;

static void count_format(const char *text) {
    size_t i = 0;
    while (i < peek.format_count && strcmp(peek.formats[i], text) != 0) {
        i++;
    }
    if (i == peek.format_count && i < FORMATS_SEEN_MAX) {
        peek.formats[peek.format_count++] = xstrdup(text);
    }
    if (i < FORMATS_SEEN_MAX) {
        peek.format_flows[i]++;
    }
}

static void count_addresses(const struct flow *flow) {
    for (int side = SIDE_SRC; side <= SIDE_DST; side++) {
        if (flow->has & 1 << side) {
            peek.addresses++;
            for (int i = 0; i < SHARE_COUNT; i++) {
                peek.share[i] += (flow->side[side].facts & shares[i].fact) != 0;
            }
        }
    }
}

static void count_age(const struct flow *flow) {
    if (!(flow->has & HAS_END)) {
        return;
    }
    int64_t age_s = flow->record->arrival_ms / 1000 - flow->end;
    peek.age_min_s = peek.aged == 0 || age_s < peek.age_min_s ? age_s : peek.age_min_s;
    peek.age_max_s = peek.aged == 0 || age_s > peek.age_max_s ? age_s : peek.age_max_s;
    peek.age_sum_s += age_s;
    peek.aged++;
}

static void *encoder_open(const struct message_conf *message, size_t style, struct span end) {
    return gelf_encoder.open(message, style, end);
}

/* As the encoder of GELF, and looks at the flow on the way. */
static int encoder_encode(void *encoder, const struct flow *flow, struct buf *out) {
    if (gelf_encoder.encode(encoder, flow, out) != 0) {
        return -1;
    }
    count_format(flow->format->text);
    count_addresses(flow);
    count_age(flow);
    return 0;
}

static void encoder_encode_dossier(const void *conf, const struct dossier *dossier,
                                   struct buf *out) {
    gelf_encoder.encode_dossier(conf, dossier, out);
}

static void encoder_close(void *encoder) {
    gelf_encoder.close(encoder);
}

static const struct encoder_type peek_encoder = {
    .open = encoder_open,
    .encode = encoder_encode,
    .encode_dossier = encoder_encode_dossier,
    .close = encoder_close,
};

static int print_message(void *context, struct span line, struct err *err) {
    (void)context;
    atomic_store(&peek.last_ms, clock_monotonic_ms());
    if (peek.printed == peek.limit) {
        atomic_store(&peek.enough, true);
        return 0;
    }
    peek.printed++;
    if (fwrite(line.p, 1, line.len, stdout) != line.len || putchar('\n') == EOF) {
        return err_sys(err, ERR_STOP, "stdout");
    }
    return 0;
}

static void print_kinds(const struct stats *stats) {
    static const enum counter_id kinds[] = {
        COUNTER_RECORDS,         COUNTER_GZIP,          COUNTER_ENVELOPES, COUNTER_CONTROL_MESSAGES,
        COUNTER_MESSAGE_OBJECTS, COUNTER_FIELD_OBJECTS, COUNTER_LINES,     COUNTER_HEADERS,
        COUNTER_NODATA,          COUNTER_SKIPDATA,      COUNTER_FLOWS,
    };
    puts("\nSeen:");
    for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
        printf("  %-18s %10ju  %s\n", counters[kinds[i]].name, (uintmax_t)stats->counter[kinds[i]],
               counters[kinds[i]].help);
    }
}

static void print_bad(const struct stats *stats) {
    printf("Bad lines: %ju\n", (uintmax_t)stats->counter[COUNTER_BAD]);
    for (int i = BAD_NONE + 1; i < BAD_COUNT; i++) {
        if (stats->bad[i]) {
            printf("  %-18s %10ju  %s\n", bad_names[i], (uintmax_t)stats->bad[i], bad_helps[i]);
        }
    }
}

static void print_summary(const struct stats *stats) {
    print_kinds(stats);
    print_bad(stats);
    puts("Formats:");
    for (size_t i = 0; i < peek.format_count; i++) {
        printf("  %10ju  %s\n", (uintmax_t)peek.format_flows[i], peek.formats[i]);
        free(peek.formats[i]);
    }
    printf("Addresses: %ju\n", (uintmax_t)peek.addresses);
    for (int i = 0; i < SHARE_COUNT; i++) {
        printf("  %-18s %9.1f%%\n", shares[i].name,
               100.0 * (double)peek.share[i] / (double)(peek.addresses ? peek.addresses : 1));
    }
    if (peek.aged) {
        printf("Age of the records: %jd s to %jd s, mean %jd s\n", (intmax_t)peek.age_min_s,
               (intmax_t)peek.age_max_s, (intmax_t)(peek.age_sum_s / (int64_t)peek.aged));
    }
}

/* Until the limit, the end of the inputs, a signal, or nothing new for a while. */
static void wait_for_enough(struct pipeline *pipeline, const sigset_t *signals) {
    static const struct timespec now = {0};
    while (!pipeline_wait(pipeline, 100) && !atomic_load(&peek.enough)) {
        if (sigtimedwait(signals, NULL, &now) > 0) {
            return;
        }
        if (clock_monotonic_ms() - atomic_load(&peek.last_ms) > QUIET_MS) {
            fputs("flowgelf peek: nothing new for 10 seconds\n", stderr);
            return;
        }
    }
}

static int look(const struct settings *settings, struct err *err) {
    static const struct pipeline_options options = {.look_only = true};
    struct pipeline *pipeline;
    struct stats stats;
    struct buf describe;
    sigset_t signals;
    cmd_block_signals(&signals);
    if (pipeline_open(settings, &flowgelf_modules, &options, &pipeline, NULL, err) != 0) {
        return -1;
    }
    buf_init(&describe, TEXT_MAX);
    int result = pipeline_start(pipeline, err);
    if (result == 0) {
        wait_for_enough(pipeline, &signals);
        result = pipeline_join(pipeline, err);
        pipeline_stats(pipeline, &stats, &describe);
    }
    pipeline_close(pipeline);
    buf_done(&describe);
    if (result == 0) {
        print_summary(&stats);
    }
    return result;
}

static int peek_at(const char *path) {
    static struct output_type output;
    struct settings *settings;
    struct err err;
    int result = cmd_load(path, &settings);
    if (result != EXIT_FINE) {
        return result;
    }
    struct lines_output_conf *conf = xcalloc(1, sizeof(*conf));
    conf->message = print_message;
    output = lines_output_type;
    output.encoder = &peek_encoder;
    settings_use_output(settings, &output, conf);
    settings->workers = 1; /* one reader sees every partition */
    if (settings->input_count == 0) {
        err_set(&err, ERR_CONFIG, "%s names no inputs", path);
        result = cmd_fail(&cmd_peek, &err);
    } else if (look(settings, &err) != 0) {
        result = cmd_fail(&cmd_peek, &err);
    }
    settings_free(settings);
    return result;
}

static int main_peek(int argc, char **argv) {
    static const struct args_flag flags[] = {{"config", 'c', true}, {"limit", 'n', true}, {0}};
    const char *path = CMD_DEFAULT_CONFIG, *value;
    int letter, rest;
    peek.limit = LIMIT_DEFAULT;
    peek.last_ms = clock_monotonic_ms();
    while ((letter = cmd_flag(&cmd_peek, argc, argv, flags, &value, &rest)) >= 0) {
        if (letter == 'c') {
            path = value;
        } else if (!num_parse_u64(span_str(value), INT64_MAX, &peek.limit)) {
            return cmd_usage(&cmd_peek, "--limit is a number, not \"%s\"", value);
        }
    }
    if (letter != ARGS_END) {
        return cmd_flag_exit(letter);
    }
    if (rest < argc) {
        return cmd_usage(&cmd_peek, "unexpected \"%s\"", argv[rest]);
    }
    log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_WARNING);
    return peek_at(path);
}

const struct command cmd_peek = {
    .name = "peek",
    .summary = "show what the inputs hold, without taking it",
    .help =
        "Usage: flowgelf peek [-c FILE] [--limit N]\n\n"
        "Reads the real inputs without a group or a lease, commits and sends nothing. Prints\n"
        "enriched messages, then a summary: kinds of payload, formats, bad lines by reason, what\n"
        "is known about the addresses, and the age of the records. Ends after N messages, at the\n"
        "end of files, on INT, or when nothing new came for 10 seconds.\n\n"
        "  -c, --config FILE  the configuration (" CMD_DEFAULT_CONFIG ")\n"
        "  -n, --limit N      messages to print (20)\n",
    .run = main_peek,
};
