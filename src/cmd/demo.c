/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flowgelf demo`: everything in one process, from a Kafka cluster that is filled with real flow
 * logs and an hour of a small company's, through the ordinary pipeline, to a GELF receiver that
 * shows what came and what the searches find. `--kinesis` has a stream of an emulator in the
 * cluster's place; `--to` (demo_to.c) sends to a receiver of one's own.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/log.h"
#include "cmd/cmd.h"
#include "cmd/demo_receiver.h"
#include "cmd/demo_report.h"
#include "cmd/demo_sample.h"
#include "cmd/demo_stage.h"
#include "cmd/demo_to.h"

enum { STEP_MS = 10, STANDSTILL_MS = 30000, OUTPUT_MAX = 64 };

/* What is said of each source. */
static const struct {
    const char *name, *peer, *intro;
} sources[] = {
    [DEMO_KAFKA] =
        {"Kafka", "the Kafka inside",
         "A Kafka cluster inside this process is filled with real flow logs and an hour of a small\n"
         "company's; two workers read it as one consumer group (it forms in a few seconds), enrich\n"
         "every flow, and send GELF over TCP to a receiver inside."},
    [DEMO_KINESIS] =
        {"Kinesis", "kinesis-local",
         "A Kinesis stream of four shards, in the emulator kinesis-local, is filled with real flow\n"
         "logs and an hour of a small company's (lines in aggregates, as Amazon's producer library\n"
         "makes them); two workers read two shards each, enrich every flow, and send GELF over TCP\n"
         "to a receiver inside."},
};

/* A run of the demo without --to. */
struct show {
    struct demo_stage stage;
    struct demo_receiver *receiver;
    struct demo_report report;
    uint64_t records, messages; /* that went into the source, and that must come of them */
};

static int fill(struct show *show, struct err *err) {
    struct demo_sample *sample = demo_sample_open();
    struct demo_record record;
    int result = 0;
    while (result == 0 && demo_sample_next(sample, 0, &record)) {
        result = demo_stage_interrupted(&show->stage)
                     ? err_set(err, ERR_STOP, "interrupted")
                     : demo_stage_put(&show->stage, record.data, err);
        show->records++;
        show->messages += record.messages;
    }
    demo_sample_close(sample);
    return result == 0 ? demo_stage_flush(&show->stage, err) : -1;
}

/* Until all messages came. -1: interrupted, a failure of the pipeline, or nothing came for long. */
static int wait_all(const struct show *show, struct err *err) {
    uint64_t count = 0, before;
    int64_t since_ms = clock_monotonic_ms();
    while ((before = count, count = demo_receiver_count(show->receiver)) < show->messages) {
        if (count != before) {
            since_ms = clock_monotonic_ms();
        }
        if (demo_stage_interrupted(&show->stage)) {
            return err_set(err, ERR_STOP, "interrupted");
        }
        if (pipeline_wait(show->stage.pipeline, STEP_MS)) {
            return pipeline_join(show->stage.pipeline, err) != 0
                       ? -1
                       : err_set(err, ERR_STOP, "the pipeline ended too early");
        }
        if (clock_monotonic_ms() - since_ms > STANDSTILL_MS) {
            return err_set(err, ERR_STOP, "%ju of %ju messages came, then none for %d s",
                           (uintmax_t)count, (uintmax_t)show->messages, STANDSTILL_MS / 1000);
        }
    }
    return 0;
}

/* Ends the pipeline first, so that what it may send twice is counted too. */
static int finish(struct show *show, struct err *err) {
    if (pipeline_join(show->stage.pipeline, err) != 0) {
        return -1;
    }
    demo_receiver_close(show->receiver);
    show->receiver = NULL;
    if (show->report.messages != show->messages || show->report.unreadable > 0) {
        return err_set(err, ERR_STOP, "%ju messages were to come; %ju came, %ju of them unreadable",
                       (uintmax_t)show->messages, (uintmax_t)show->report.messages,
                       (uintmax_t)show->report.unreadable);
    }
    return 0;
}

static int run_show(struct show *show, struct err *err) {
    puts(sources[show->stage.source].intro);
    fflush(stdout);
    if (fill(show, err) != 0 || pipeline_start(show->stage.pipeline, err) != 0 ||
        wait_all(show, err) != 0) {
        return -1;
    }
    return finish(show, err);
}

static bool has_inventory(const struct settings *settings) {
    for (size_t i = 0; i < settings->enricher_count; i++) {
        if (strcmp(settings->enrichers[i].type->name, "inventory") == 0) {
            return true;
        }
    }
    return false;
}

static void tell(const struct show *show, bool json) {
    bool inventory = has_inventory(show->stage.settings);
    demo_report_print(&show->report, show->records, inventory, stdout);
    puts(
        "\nTry next:\n"
        "  flowgelf demo --to HOST:12201     the same flows, live, into your Graylog or Logstash\n"
        "  flowgelf enrich FILE              your own flow logs, enriched, one JSON object a line\n"
        "  flowgelf run -c FILE              the daemon; conf/flowgelf.yaml is a sample to edit");
    if (json) {
        demo_report_print_json(&show->report, show->records, inventory, stdout);
    }
}

static int show_open(struct show *show) {
    char output[OUTPUT_MAX];
    struct err err;
    if (demo_receiver_open(demo_report_take, &show->report, &show->receiver, &err) != 0) {
        return cmd_fail(&cmd_demo, &err);
    }
    snprintf(output, sizeof(output), "gelf_tcp: {hosts: [\"127.0.0.1:%u\"]}",
             (unsigned)demo_receiver_port(show->receiver));
    return demo_stage_open(&show->stage, span_str(output));
}

static int demo_here(enum demo_source source, bool json) {
    struct show show = {0};
    struct err err;
    demo_stage_init(&show.stage, source);
    demo_report_init(&show.report);
    show.report.source = sources[source].name;
    show.report.peer = sources[source].peer;
    int result = show_open(&show);
    if (result == EXIT_FINE && run_show(&show, &err) != 0) {
        result = cmd_fail(&cmd_demo, &err);
    } else if (result == EXIT_FINE) {
        tell(&show, json);
    }
    demo_stage_close(&show.stage);
    demo_receiver_close(show.receiver);
    demo_report_done(&show.report);
    return result;
}

static int check_target(const char *target) {
    struct hostport place;
    struct err err;
    if (option_parse_hostport(target, &place, &err) != 0) {
        return cmd_usage(&cmd_demo, "--to: %s", err.text);
    }
    free(place.host);
    return EXIT_FINE;
}

static int main_demo(int argc, char **argv) {
    static const struct args_flag flags[] = {
        {"kinesis", 'k', false}, {"to", 't', true}, {"udp", 'u', false}, {"json", 'j', false}, {0}};
    const char *target = NULL, *value;
    bool kinesis = false, udp = false, json = false;
    int letter, rest;
    while ((letter = cmd_flag(&cmd_demo, argc, argv, flags, &value, &rest)) >= 0) {
        target = letter == 't' ? value : target;
        kinesis = kinesis || letter == 'k';
        udp = udp || letter == 'u';
        json = json || letter == 'j';
    }
    if (letter != ARGS_END) {
        return cmd_flag_exit(letter);
    }
    if (rest < argc) {
        return cmd_usage(&cmd_demo, "unexpected \"%s\"", argv[rest]);
    }
    if (target && kinesis) {
        return cmd_usage(&cmd_demo, "--kinesis does not go with --to");
    }
    if (target ? json : udp) {
        return cmd_usage(&cmd_demo, target ? "--json does not go with --to" : "--udp needs --to");
    }
    if (target && check_target(target) != EXIT_FINE) {
        return EXIT_USAGE;
    }
    log_setup(LOG_FORMAT_AUTO, LOG_LEVEL_WARNING);
    return target ? demo_to(target, udp) : demo_here(kinesis ? DEMO_KINESIS : DEMO_KAFKA, json);
}

const struct command cmd_demo = {
    .name = "demo",
    .summary = "show all of it at work, without any other machine",
    .help =
        "Usage: flowgelf demo [--kinesis] [--json]\n"
        "       flowgelf demo --to HOST:PORT [--udp]\n\n"
        "Fills a Kafka cluster inside the process with real flow logs and a generated hour of a\n"
        "small company's (20,000 flows), reads it with two workers, and sends GELF over TCP to a\n"
        "receiver inside, which shows three messages and what the searches find. Needs no network\n"
        "but loopback, and leaves nothing behind.\n\n"
        "  -k, --kinesis       the same from a Kinesis stream of the emulator kinesis-local, which\n"
        "                      must be on PATH: npm install --global kinesis-local@0.6.2\n"
        "  -t, --to HOST:PORT  the same flows as if they happened now, 200 a second for five\n"
        "                      minutes, to a GELF input of Graylog or Logstash; Ctrl-C ends it\n"
        "  -u, --udp           over UDP instead of TCP\n"
        "  -j, --json          the numbers as one JSON object on the last line:\n"
        "                      {\"records\": n, \"messages\": n, \"seconds\": s, \"searches\": "
        "{\"Q1\": n}}\n"
        "                      seconds: from the first message to the last; a search is null\n"
        "                      while it needs an inventory that is not there\n",
    .run = main_demo,
};
