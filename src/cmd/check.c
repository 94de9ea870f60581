/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flowgelf check`: whether a configuration would run. Reads it, opens every file that it names,
 * loads every table and says so; with --online it also tries brokers and receivers. Changes
 * nothing, so it may stand in front of every start.
 */
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/append.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "cmd/cmd.h"
#include "core/refresh.h"

enum { TEXT_MAX = 1 << 20, FLAG_ONLINE = 256 };

/* What a part reported, printed line by line, with its error as the last one. */
struct report {
    const struct settings *settings;
    struct buf text;
    int failures;
};

/* What is missing only because it lies below a state directory that `run` will make. */
static bool is_made_by_run(const struct settings *settings, const struct err *err) {
    return err->sys == ENOENT && access(settings->state, F_OK) != 0 &&
           strncmp(err->text, settings->state, strlen(settings->state)) == 0;
}

static void print_part(struct report *report, const char *what, int result, const struct err *err) {
    struct span rest = buf_span(&report->text), line;
    while (span_cut(&rest, '\n', &line)) {
        printf("%-14s %.*s\n", what, SPAN_ARG(line));
    }
    if (result != 0 && is_made_by_run(report->settings, err)) {
        printf("%-14s %s; `flowgelf run` makes it\n", what, err->text);
    } else if (result != 0) {
        printf("%-14s FAILED: %s\n", what, err->text);
        report->failures++;
    }
    buf_clear(&report->text);
}

static void check_inputs(const struct settings *settings, bool online, struct report *report) {
    for (size_t i = 0; i < settings->input_count; i++) {
        const struct input_use *use = &settings->inputs[i];
        struct err err = {0};
        int result =
            use->type->check ? use->type->check(use->conf, online, &report->text, &err) : 0;
        print_part(report, use->type->name, result, &err);
    }
}

static void check_outputs(const struct settings *settings, bool online, struct report *report) {
    for (size_t i = 0; i < settings->output_count; i++) {
        const struct output_use *use = &settings->outputs[i];
        struct err err = {0};
        int result =
            use->type->check ? use->type->check(use->conf, online, &report->text, &err) : 0;
        print_part(report, use->type->name, result, &err);
    }
}

static void check_tables(const struct settings *settings, struct report *report) {
    struct refresh *refresh;
    struct err err = {0};
    int result = refresh_open(settings, &refresh, &report->text, &err);
    print_part(report, "enrich", result, &err);
    if (result == 0) {
        refresh_close(refresh);
    }
}

static void user_name(uid_t uid, char *out, size_t size) {
    const struct passwd *entry = getpwuid(uid);
    snprintf(out, size, "%s", entry ? entry->pw_name : "");
    if (!entry) {
        snprintf(out, size, "%ju", (uintmax_t)uid);
    }
}

/* Files that root may read say little about the service, which runs as the owner of `state`. */
static void check_user(const struct settings *settings) {
    struct stat st;
    char owner[64], me[64];
    if (stat(settings->state, &st) != 0) {
        printf("%-14s %s is not there (%s); `flowgelf run` makes it\n", "state", settings->state,
               strerror(errno));
        return;
    }
    user_name(st.st_uid, owner, sizeof(owner));
    user_name(geteuid(), me, sizeof(me));
    printf("%-14s %s, owner %s\n", "state", settings->state, owner);
    if (st.st_uid != geteuid()) {
        printf("%-14s this check runs as %s, the service as %s: what one may read the other may "
               "not; run it as %s to be sure\n",
               "state", me, owner, owner);
    }
}

static void print_memory(const struct settings *settings) {
    struct buf explain;
    if (settings->input_count == 0 || settings->output_count == 0) {
        return;
    }
    buf_init(&explain, TEXT_MAX);
    settings_ring_bytes(settings, &explain);
    printf("%-14s rings: %s, of %jd MiB; address caches: %jd MiB per worker\n", "memory",
           buf_cstr(&explain), (intmax_t)settings->memory_bytes >> 20,
           (intmax_t)settings->dossier_bytes >> 20);
    buf_done(&explain);
}

static void check_dead_letter(const struct settings *settings, struct report *report) {
    const char *path = settings->dead_letter.path;
    struct err err = {0};
    if (path) {
        int result = append_check(path, &err);
        if (result == 0) {
            buf_printf(&report->text, "%s can be written\n", path);
        }
        print_part(report, "dead_letter", result, &err);
    }
}

/* A name that AWS may have added later is fine, and may as well be a slip. */
static void print_format(const struct format *format) {
    const char *names[FIELD_COUNT + 1];
    for (int i = 0; i < FIELD_COUNT; i++) {
        names[i] = fields[i].aws_name.p;
    }
    names[FIELD_COUNT] = NULL;
    printf("%-14s %s\n", "format", format->text);
    for (size_t i = 0; i < format->count; i++) {
        const struct column *column = &format->columns[i];
        if (column->field == FIELD_UNKNOWN) {
            char *name = xasprintf("%.*s", SPAN_ARG(column->name));
            const char *near = option_nearest(name, names);
            printf("%-14s ${%s} is no field that is known here and is sent as it is%s%s%s\n",
                   "format", name, near ? "; did you mean ${" : "", near ? near : "",
                   near ? "}?" : "");
            free(name);
        }
    }
}

static int check_settings(const struct settings *settings, bool online) {
    struct report report = {.settings = settings};
    buf_init(&report.text, TEXT_MAX);
    check_user(settings);
    print_memory(settings);
    for (size_t i = 0; i < settings->format_count; i++) {
        print_format(settings->formats[i]);
    }
    check_tables(settings, &report);
    check_inputs(settings, online, &report);
    check_outputs(settings, online, &report);
    check_dead_letter(settings, &report);
    if (settings->input_count == 0 || settings->output_count == 0) {
        printf("%-14s FAILED: no %s: `flowgelf run` would have nothing to do\n", "configuration",
               settings->input_count == 0 ? "inputs" : "outputs");
        report.failures++;
    }
    buf_done(&report.text);
    printf("%s: %s\n", settings->file, report.failures ? "would not run" : "fine");
    return report.failures ? EXIT_CONFIG : EXIT_FINE;
}

static int main_check(int argc, char **argv) {
    static const struct args_flag flags[] = {
        {"config", 'c', true}, {"online", FLAG_ONLINE, false}, {0}};
    const char *path = CMD_DEFAULT_CONFIG, *value;
    bool online = false;
    int letter, rest;
    while ((letter = cmd_flag(&cmd_check, argc, argv, flags, &value, &rest)) >= 0) {
        path = letter == 'c' ? value : path;
        online |= letter == FLAG_ONLINE;
    }
    if (letter != ARGS_END) {
        return cmd_flag_exit(letter);
    }
    if (rest < argc) {
        return cmd_usage(&cmd_check, "unexpected \"%s\"", argv[rest]);
    }
    struct settings *settings;
    int result = cmd_load(path, &settings);
    if (result != EXIT_FINE) {
        return result;
    }
    log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    result = check_settings(settings, online);
    settings_free(settings);
    return result;
}

const struct command cmd_check = {
    .name = "check",
    .summary = "see whether a configuration would run",
    .help = "Usage: flowgelf check [-c FILE] [--online]\n\n"
            "Reads the configuration, shows every error with its place, opens every file that it\n"
            "names and loads every table. Changes nothing and, without --online, never leaves the\n"
            "machine, so it is fit for ExecStartPre.\n\n"
            "  -c, --config FILE  the configuration (" CMD_DEFAULT_CONFIG ")\n"
            "      --online       also try brokers, AWS with its permissions, and receivers\n\n"
            "Exit codes: 0 fine, 78 the configuration would not run.\n",
    .run = main_check,
};
