/* SPDX-License-Identifier: Apache-2.0 */
/* See demo_stage.h. */
#include "cmd/demo_stage.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"
#include "base/json_write.h"
#include "cmd/cmd.h"

enum { TEXT_MAX = 16 << 10, STATS_MAX = 1 << 20, REMOVE_FDS = 8, STORE_MS = 10000 };

#define TOPIC "vpc-flow-logs"

static int make_folder(struct demo_stage *stage, struct err *err) {
    const char *parent = getenv("TMPDIR");
    char *folder = stage->folder;
    int len = snprintf(folder, DEMO_FOLDER_MAX, "%s/flowgelf-demo-XXXXXX",
                       parent && *parent ? parent : "/tmp");
    if (len >= DEMO_FOLDER_MAX) {
        folder[0] = '\0';
        return err_set(err, ERR_STOP, "TMPDIR is too long");
    }
    if (!mkdtemp(folder)) {
        err_sys(err, ERR_STOP, "making %s", folder);
        folder[0] = '\0';
        return -1;
    }
    return 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *walk) {
    (void)status;
    (void)kind;
    (void)walk;
    return remove(path);
}

/* A path in the folder, quoted: a JSON string is one of YAML too. */
static void put_path(const struct demo_stage *stage, const char *name, struct buf *out) {
    buf_char(out, '"');
    json_add(out, span_str(stage->folder));
    buf_printf(out, "/%s\"", name);
}

static int write_feed(const struct demo_stage *stage, struct err *err) {
    char path[DEMO_FOLDER_MAX + 16];
    snprintf(path, sizeof(path), "%s/threat.txt", stage->folder);
    return file_write(path,
                      SPAN("# A feed for the demo: one network, of documents (RFC 5737).\n"
                           "198.51.100.0/24\n"),
                      0600, err);
}

static void put_input(const struct demo_stage *stage, struct buf *out) {
    if (stage->source == DEMO_KAFKA) {
        buf_printf(out, "kafka: {brokers: [\"%s\"], topics: [" TOPIC "], group: flowgelf-demo}",
                   demo_kafka_brokers(stage->kafka));
    } else {
        buf_printf(out,
                   "kinesis: {stream: " TOPIC ", region: " DEMO_KINESIS_REGION
                   ", endpoint: \"%s\", start: trim_horizon}",
                   demo_kinesis_endpoint(stage->kinesis));
    }
}

/* The configuration of a daemon, as people write it. */
static void put_settings(const struct demo_stage *stage, struct span output, struct buf *out) {
    buf_add(out, SPAN("state: "));
    put_path(stage, "state", out);
    buf_add(out, SPAN("\nworkers: 2\ninputs:\n  - "));
    put_input(stage, out);
    buf_add(out, SPAN("\nflow_logs:\n"
                      "  formats:\n"
                      "    - default\n"
                      "    - tgw-default\n"
                      "    - ${version} ${interface-id} ${srcaddr} ${dstaddr}\n"
                      "enrich:\n"
                      "  internal: {networks: [\"2001:db8:10::/56\"]}\n"
                      "  networks:\n"
                      "    office: {cidrs: [203.0.113.200/29], trusted: true}\n"
                      "    web: [10.0.1.0/24]\n"
                      "    databases: [10.0.2.0/24]\n"
                      "    applications: [10.0.3.0/24]\n"
                      "  threat: {feeds: {test: {format: cidr, file: "));
    put_path(stage, "threat.txt", out);
    buf_add(out, SPAN("}}}\noutputs:\n  - "));
    buf_add(out, output);
    buf_char(out, '\n');
}

static int open_settings(struct demo_stage *stage, struct span output) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    put_settings(stage, output, &text);
    int result = cmd_load_text(buf_span(&text), "demo", &stage->settings);
    buf_done(&text);
    return result;
}

void demo_stage_init(struct demo_stage *stage, enum demo_source source) {
    *stage = (struct demo_stage){.source = source};
    cmd_block_signals(&stage->signals);
    if (source == DEMO_KINESIS) {
        demo_kinesis_set_environment();
    }
}

static int open_source(struct demo_stage *stage, struct err *err) {
    int ready = 0;
    if (stage->source == DEMO_KAFKA) {
        return demo_kafka_open(TOPIC, &stage->kafka, err);
    }
    if (demo_kinesis_open(TOPIC, stage->folder, &stage->kinesis, err) != 0) {
        return -1;
    }
    while (ready == 0) {
        if (demo_stage_interrupted(stage)) {
            return err_set(err, ERR_STOP, "interrupted");
        }
        ready = demo_kinesis_ready(stage->kinesis, err);
    }
    return ready > 0 ? 0 : -1;
}

int demo_stage_open(struct demo_stage *stage, struct span output) {
    static const struct pipeline_options options = {.keep_state = true};
    struct err err;
    if (make_folder(stage, &err) != 0 || write_feed(stage, &err) != 0 ||
        open_source(stage, &err) != 0) {
        return cmd_fail(&cmd_demo, &err);
    }
    int result = open_settings(stage, output);
    if (result != EXIT_FINE) {
        return result;
    }
    struct buf tables;
    buf_init(&tables, TEXT_MAX);
    int opened = pipeline_open(stage->settings, &flowgelf_modules, &options, &stage->pipeline,
                               &tables, &err);
    buf_done(&tables);
    return opened == 0 ? EXIT_FINE : cmd_fail(&cmd_demo, &err);
}

int demo_stage_put(struct demo_stage *stage, struct span record, struct err *err) {
    return stage->source == DEMO_KAFKA ? demo_kafka_produce(stage->kafka, record, err)
                                       : demo_kinesis_put(stage->kinesis, record, err);
}

int demo_stage_flush(struct demo_stage *stage, struct err *err) {
    return stage->source == DEMO_KAFKA ? demo_kafka_flush(stage->kafka, STORE_MS, err)
                                       : demo_kinesis_flush(stage->kinesis, err);
}

bool demo_stage_interrupted(const struct demo_stage *stage) {
    static const struct timespec now = {0};
    return sigtimedwait(&stage->signals, NULL, &now) > 0;
}

uint64_t demo_stage_counter(const struct demo_stage *stage, enum counter_id id) {
    struct stats stats;
    struct buf describe;
    buf_init(&describe, STATS_MAX);
    pipeline_stats(stage->pipeline, &stats, &describe);
    buf_done(&describe);
    return stats.counter[id];
}

void demo_stage_close(struct demo_stage *stage) {
    pipeline_close(stage->pipeline);
    settings_free(stage->settings);
    demo_kafka_close(stage->kafka);
    demo_kinesis_close(stage->kinesis);
    if (stage->folder[0]) {
        nftw(stage->folder, remove_one, REMOVE_FDS, FTW_DEPTH | FTW_PHYS);
    }
}
