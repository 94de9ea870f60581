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

enum { TEXT_MAX = 16 << 10, STATS_MAX = 1 << 20, REMOVE_FDS = 8 };

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

/* The configuration of a daemon, as people write it. */
static void put_settings(const struct demo_stage *stage, struct span output, struct buf *out) {
    buf_add(out, SPAN("state: "));
    put_path(stage, "state", out);
    buf_printf(out,
               "\nworkers: 2\n"
               "inputs:\n"
               "  - kafka: {brokers: [\"%s\"], topics: [" TOPIC "], group: flowgelf-demo}\n"
               "flow_logs:\n"
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
               "  threat: {feeds: {test: {format: cidr, file: ",
               demo_kafka_brokers(stage->kafka));
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

void demo_stage_init(struct demo_stage *stage) {
    *stage = (struct demo_stage){0};
    cmd_block_signals(&stage->signals);
}

int demo_stage_open(struct demo_stage *stage, struct span output) {
    static const struct pipeline_options options = {.keep_state = true};
    struct err err;
    if (make_folder(stage, &err) != 0 || write_feed(stage, &err) != 0 ||
        demo_kafka_open(TOPIC, &stage->kafka, &err) != 0) {
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
    if (stage->folder[0]) {
        nftw(stage->folder, remove_one, REMOVE_FDS, FTW_DEPTH | FTW_PHYS);
    }
}
