/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flowgelf run`: the daemon, in the foreground. Opens the pipeline, watches signals, prints
 * statistics once a minute and progress on a terminal, and ends when told to or when all inputs are
 * finite and delivered.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "core/pipeline.h"

enum {
    STATS_MS = 60000,
    PROGRESS_MS = 1000,
    REFRESH_MS = 10000,
    TEXT_MAX = 1 << 20,
};

static const char *const log_formats[] = {"auto", "text", "journal", "json", NULL};

/* What run_loop remembers between its rounds. */
struct watch {
    struct pipeline *pipeline;
    struct buf text, describe;
    int64_t stats_ms, progress_ms;
    bool terminal;
    bool stopping;
};

static void log_lines(struct span text) {
    struct span line;
    while (span_cut(&text, '\n', &line)) {
        log_info("%.*s", SPAN_ARG(line));
    }
}

static void log_stats(struct watch *watch) {
    struct stats stats;
    buf_clear(&watch->text);
    buf_clear(&watch->describe);
    pipeline_stats(watch->pipeline, &stats, &watch->describe);
    stats_print(&stats, &watch->text);
    log_info("%s", buf_cstr(&watch->text));
    log_lines(buf_span(&watch->describe));
}

/* One line that is written over and over; the inputs' own lines say how far they are. */
static void print_progress(struct watch *watch) {
    struct stats stats;
    buf_clear(&watch->text);
    buf_clear(&watch->describe);
    pipeline_stats(watch->pipeline, &stats, &watch->describe);
    struct span rest = buf_span(&watch->describe), line;
    while (span_cut(&rest, '\n', &line)) {
        buf_printf(&watch->text, " | %.*s", SPAN_ARG(line));
    }
    fprintf(stderr, "\r\033[K%ju records, %ju delivered%.120s",
            (uintmax_t)stats.counter[COUNTER_RECORDS], (uintmax_t)stats.counter[COUNTER_DELIVERED],
            buf_cstr(&watch->text));
}

static void take_signal(struct watch *watch, int number) {
    if (watch->stopping) {
        log_warning("second signal: ending at once; what is not committed is read again");
        _exit(EXIT_RUN);
    }
    log_info("%s: stopping; delivering what was read", strsignal(number));
    watch->stopping = true;
    pipeline_stop(watch->pipeline);
}

static void run_loop(struct watch *watch, const sigset_t *signals) {
    static const struct timespec now = {0};
    while (!pipeline_wait(watch->pipeline, 100)) {
        int number = sigtimedwait(signals, NULL, &now);
        if (number > 0) {
            take_signal(watch, number);
        }
        int64_t now_ms = clock_monotonic_ms();
        if (now_ms - watch->stats_ms >= STATS_MS) {
            log_stats(watch);
            watch->stats_ms = now_ms;
        }
        if (watch->terminal && now_ms - watch->progress_ms >= PROGRESS_MS) {
            print_progress(watch);
            watch->progress_ms = now_ms;
        }
    }
    if (watch->terminal) {
        fputs("\r\033[K", stderr);
    }
}

/* Signals are taken by run_loop; once that has ended they do what they do by default, so that a
   signal ends a close that takes long. */
static int run_pipeline(struct pipeline *pipeline, const sigset_t *signals, struct err *err) {
    int64_t now_ms = clock_monotonic_ms();
    struct watch watch = {.pipeline = pipeline,
                          .stats_ms = now_ms,
                          .progress_ms = now_ms,
                          .terminal = isatty(STDERR_FILENO)};
    buf_init(&watch.text, TEXT_MAX);
    buf_init(&watch.describe, TEXT_MAX);
    int result = pipeline_start(pipeline, err);
    if (result == 0) {
        run_loop(&watch, signals);
        pthread_sigmask(SIG_UNBLOCK, signals, NULL);
        result = pipeline_join(pipeline, err);
        log_stats(&watch);
    }
    buf_done(&watch.text);
    buf_done(&watch.describe);
    return result;
}

static int run_settings(const struct settings *settings) {
    static const struct pipeline_options options = {.keep_state = true, .refresh_ms = REFRESH_MS};
    struct pipeline *pipeline;
    struct buf tables;
    struct err err;
    sigset_t signals;
    if (settings->input_count == 0 || settings->output_count == 0) {
        log_error("%s: nothing to do: it names no %s", settings->file,
                  settings->input_count == 0 ? "inputs" : "outputs");
        return EXIT_CONFIG;
    }
    cmd_block_signals(&signals);
    buf_init(&tables, TEXT_MAX);
    int result = pipeline_open(settings, &flowgelf_modules, &options, &pipeline, &tables, &err);
    log_lines(buf_span(&tables));
    buf_done(&tables);
    if (result == 0) {
        log_info("flowgelf %s: %zu inputs, %zu outputs, %jd workers per input", FLOWGELF_VERSION,
                 settings->input_count, settings->output_count, (intmax_t)settings->workers);
        result = run_pipeline(pipeline, &signals, &err);
        pipeline_close(pipeline);
    }
    if (result != 0) {
        log_error("%s", err.text);
        return err.kind == ERR_CONFIG ? EXIT_CONFIG : EXIT_RUN;
    }
    return EXIT_FINE;
}

static int parse_log_format(const char *text) {
    for (int i = 0; log_formats[i]; i++) {
        if (strcmp(log_formats[i], text) == 0) {
            return i;
        }
    }
    return -1;
}

static int main_run(int argc, char **argv) {
    static const struct args_flag flags[] = {
        {"config", 'c', true}, {"log-format", 'f', true}, {"verbose", 'v', false}, {0}};
    const char *path = CMD_DEFAULT_CONFIG, *value;
    int letter, rest, format = LOG_FORMAT_AUTO;
    enum log_level level = LOG_LEVEL_INFO;
    while ((letter = cmd_flag(&cmd_run, argc, argv, flags, &value, &rest)) >= 0) {
        if (letter == 'c') {
            path = value;
        } else if (letter == 'v') {
            level = LOG_LEVEL_DEBUG;
        } else if ((format = parse_log_format(value)) < 0) {
            return cmd_usage(&cmd_run, "--log-format is auto, text, journal or json, not \"%s\"",
                             value);
        }
    }
    if (letter != ARGS_END) {
        return cmd_flag_exit(letter);
    }
    if (rest < argc) {
        return cmd_usage(&cmd_run, "unexpected \"%s\"", argv[rest]);
    }
    struct settings *settings;
    int result = cmd_load(path, &settings);
    if (result != EXIT_FINE) {
        return result;
    }
    log_setup((enum log_format)format, level);
    result = run_settings(settings);
    settings_free(settings);
    return result;
}

const struct command cmd_run = {
    .name = "run",
    .summary = "run the daemon in the foreground",
    .help =
        "Usage: flowgelf run [-c FILE] [--log-format FORMAT] [--verbose]\n\n"
        "Reads all inputs, enriches every flow, and sends it to all outputs, until it gets TERM\n"
        "or INT, or until all inputs are finite (files) and everything is delivered.\n\n"
        "  -c, --config FILE      the configuration (" CMD_DEFAULT_CONFIG ")\n"
        "  -f, --log-format WHAT  auto, text, journal or json; auto: journal under systemd\n"
        "  -v, --verbose          debug lines too\n\n"
        "On TERM or INT it stops reading, delivers what was read for at most `shutdown_grace`,\n"
        "stores the positions and exits 0. A second signal ends it at once.\n",
    .run = main_run,
};
