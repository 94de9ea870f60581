/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flowgelf leases`: who reads which shard of the Kinesis inputs, and up to where that is stored.
 * Asks AWS and changes nothing.
 */
#include <stdio.h>

#include "base/log.h"
#include "cmd/cmd.h"

enum { TEXT_MAX = 64 << 20 };

static int print_leases(const struct settings *settings) {
    int shown = 0, result = EXIT_FINE;
    struct buf text;
    struct err err;
    buf_init(&text, TEXT_MAX);
    for (size_t i = 0; i < settings->input_count; i++) {
        const struct input_use *use = &settings->inputs[i];
        if (!use->type->leases) {
            continue;
        }
        shown++;
        buf_clear(&text);
        if (use->type->leases(use->conf, &text, &err) != 0) {
            result = cmd_fail(&cmd_leases, &err);
        }
        fwrite(text.data, 1, text.len, stdout);
    }
    buf_done(&text);
    if (shown == 0) {
        fprintf(stderr, "flowgelf leases: %s has no input with leases (kinesis)\n", settings->file);
        return EXIT_CONFIG;
    }
    return result;
}

static int main_leases(int argc, char **argv) {
    static const struct args_flag flags[] = {{"config", 'c', true}, {0}};
    const char *path = CMD_DEFAULT_CONFIG, *value;
    int letter, rest;
    while ((letter = cmd_flag(&cmd_leases, argc, argv, flags, &value, &rest)) >= 0) {
        path = letter == 'c' ? value : path;
    }
    if (letter != ARGS_END) {
        return cmd_flag_exit(letter);
    }
    if (rest < argc) {
        return cmd_usage(&cmd_leases, "unexpected \"%s\"", argv[rest]);
    }
    struct settings *settings;
    int result = cmd_load(path, &settings);
    if (result != EXIT_FINE) {
        return result;
    }
    log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    result = print_leases(settings);
    settings_free(settings);
    return result;
}

const struct command cmd_leases = {
    .name = "leases",
    .summary = "who reads which shard of a stream, and up to where",
    .help = "Usage: flowgelf leases [-c FILE]\n\n"
            "Shows, for each Kinesis input of the configuration, each shard with its owner (lease\n"
            "table only), the position that is stored and how old that is. Changes nothing.\n\n"
            "  -c, --config FILE  the configuration (" CMD_DEFAULT_CONFIG ")\n\n"
            "Exit codes: 0 fine, 1 AWS or a file could not be asked, 78 bad configuration.\n",
    .run = main_leases,
};
