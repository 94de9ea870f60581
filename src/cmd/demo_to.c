/* SPDX-License-Identifier: Apache-2.0 */
/* See demo_to.h. The flows take the same way as all others: into Kafka, out of the pipeline. */
#include "cmd/demo_to.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "cmd/cmd.h"
#include "cmd/demo_report.h"
#include "cmd/demo_sample.h"
#include "cmd/demo_stage.h"

enum {
    FLOWS_PER_SECOND = 200,
    DURATION_MS = 300000,
    STEP_MS = 50,
    SHOW_TERMINAL_MS = 1000,
    SHOW_FILE_MS = 30000,
    READ_MS = 15000,
    OUTPUT_MAX = 1024,
};

struct stream {
    struct demo_stage stage;
    struct demo_sample *sample;
    const char *target;
    uint64_t produced; /* messages that come of what went into Kafka */
    int64_t start_ms, shown_ms;
    bool terminal;
};

static void show(struct stream *stream, int64_t now_ms) {
    int64_t every_ms = stream->terminal ? SHOW_TERMINAL_MS : SHOW_FILE_MS;
    if (now_ms - stream->shown_ms < every_ms) {
        return;
    }
    stream->shown_ms = now_ms;
    fprintf(stderr, "%s%3jd s: %ju flows made, %ju sent, %ju delivered, %ju connections%s",
            stream->terminal ? "\r\033[K" : "", (intmax_t)((now_ms - stream->start_ms) / 1000),
            (uintmax_t)stream->produced,
            (uintmax_t)demo_stage_counter(&stream->stage, COUNTER_MESSAGES),
            (uintmax_t)demo_stage_counter(&stream->stage, COUNTER_DELIVERED),
            (uintmax_t)demo_stage_counter(&stream->stage, COUNTER_CONNECTS),
            stream->terminal ? "" : "\n");
}

/* Makes the flows that are due; the sample begins again behind its end. */
static int produce_due(struct stream *stream, int64_t now_ms, struct err *err) {
    uint64_t due = (uint64_t)(now_ms - stream->start_ms) * FLOWS_PER_SECOND / 1000;
    struct demo_record record;
    while (stream->produced < due) {
        if (!demo_sample_next(stream->sample, clock_wall_ms(), &record)) {
            continue;
        }
        if (demo_stage_put(&stream->stage, record.data, err) != 0) {
            return -1;
        }
        stream->produced += record.messages;
    }
    return 0;
}

/* Until the time is over, somebody wants the end, or the pipeline fails. */
static int produce_all(struct stream *stream, struct err *err) {
    int64_t now_ms = stream->start_ms;
    while (now_ms - stream->start_ms < DURATION_MS && !demo_stage_interrupted(&stream->stage)) {
        if (produce_due(stream, now_ms, err) != 0) {
            return -1;
        }
        show(stream, now_ms);
        if (pipeline_wait(stream->stage.pipeline, STEP_MS)) {
            break;
        }
        now_ms = clock_monotonic_ms();
    }
    return demo_stage_flush(&stream->stage, err);
}

/* What is in Kafka is to be read before the pipeline is told to stop. */
static void wait_read(struct stream *stream) {
    int64_t end_ms = clock_monotonic_ms() + READ_MS;
    while (demo_stage_counter(&stream->stage, COUNTER_MESSAGES) < stream->produced &&
           clock_monotonic_ms() < end_ms && !demo_stage_interrupted(&stream->stage) &&
           !pipeline_wait(stream->stage.pipeline, STEP_MS)) {
        show(stream, clock_monotonic_ms());
    }
}

static int run(struct stream *stream, struct err *err) {
    if (pipeline_start(stream->stage.pipeline, err) != 0) {
        return -1;
    }
    stream->start_ms = stream->shown_ms = clock_monotonic_ms();
    int result = produce_all(stream, err);
    if (result == 0) {
        wait_read(stream);
        result = pipeline_join(stream->stage.pipeline, err);
    }
    if (stream->terminal) {
        fputs("\r\033[K", stderr);
    }
    return result;
}

static int tell_end(const struct stream *stream) {
    uint64_t delivered = demo_stage_counter(&stream->stage, COUNTER_DELIVERED);
    printf("%ju flows made, %ju delivered to %s\n", (uintmax_t)stream->produced,
           (uintmax_t)delivered, stream->target);
    if (delivered < stream->produced) {
        fprintf(stderr,
                "flowgelf demo: %ju messages were not delivered; is there a GELF input on "
                "%s?\n",
                (uintmax_t)(stream->produced - delivered), stream->target);
        return EXIT_RUN;
    }
    puts("\nIn Graylog, over the last 15 minutes (in Kibana, aws_source:true finds them too):\n\n"
         "  all of them\n      aws_source:true");
    demo_report_print_searches(stdout);
    return EXIT_FINE;
}

static void put_output(const char *target, bool udp, struct buf *out) {
    buf_printf(out, "gelf_%s: {hosts: [\"", udp ? "udp" : "tcp");
    json_add(out, span_str(target));
    buf_add(out, SPAN("\"]}"));
}

int demo_to(const char *target, bool udp) {
    char memory[OUTPUT_MAX];
    struct buf output;
    struct err err;
    struct stream stream = {.target = target, .terminal = isatty(STDERR_FILENO)};
    demo_stage_init(&stream.stage, DEMO_KAFKA);
    buf_over(&output, memory, sizeof(memory));
    put_output(target, udp, &output);
    stream.sample = demo_sample_open();
    int result = demo_stage_open(&stream.stage, buf_span(&output));
    if (result == EXIT_FINE) {
        printf("%d flows a second go to %s over %s for %d minutes; Ctrl-C ends it.\n",
               FLOWS_PER_SECOND, target, udp ? "UDP" : "TCP", DURATION_MS / 60000);
        fflush(stdout);
        result = run(&stream, &err) == 0 ? tell_end(&stream) : cmd_fail(&cmd_demo, &err);
    }
    demo_stage_close(&stream.stage);
    demo_sample_close(stream.sample);
    return result;
}
