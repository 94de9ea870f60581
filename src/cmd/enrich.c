/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `flowgelf enrich`: lines, payloads or gzip in, one GELF message per line out, through the very
 * pipeline that `run` runs, without the network and without keeping positions.
 */
#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/json_write.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "cmd/cmd.h"
#include "cmd/lines_output.h"
#include "cmd/sizes.h"
#include "core/pipeline.h"
#include "flow/format.h"
#include "flow/message.h"
#include "flow/query.h"

enum { TEXT_MAX = 16 << 20, MESSAGE_MAX = 4 << 20 };

struct enrich_args {
    const char *config, *format, *query;
    bool sizes;
    char **paths; /* NULL-terminated; none: stdin */
};

/* What happens to each message. */
struct sink {
    const struct query *query;
    struct message_view view;
    struct sizes *sizes; /* NULL: print */
};

static int take_message(void *context, struct span line, struct err *err) {
    struct sink *sink = context;
    if (sink->query || sink->sizes) {
        if (message_view_parse(&sink->view, line, err) != 0) {
            return -1;
        }
        if (sink->query && !query_matches(sink->query, &sink->view)) {
            return 0;
        }
    }
    if (sink->sizes) {
        sizes_add(sink->sizes, line, &sink->view);
        return 0;
    }
    if (fwrite(line.p, 1, line.len, stdout) != line.len || putchar('\n') == EOF) {
        return err_sys(err, ERR_STOP, "stdout");
    }
    return 0;
}

static void add_quoted(struct buf *yaml, const char *text) {
    buf_char(yaml, '"');
    json_add(yaml, span_str(text));
    buf_char(yaml, '"');
}

/* Paths on the command line are relative to the working directory, also with -c. */
static void add_path(struct buf *yaml, const char *path) {
    char directory[PATH_MAX] = "";
    if (path[0] != '/' && strcmp(path, "-") != 0 && getcwd(directory, sizeof(directory))) {
        strncat(directory, "/", sizeof(directory) - strlen(directory) - 1);
    }
    char *full = xasprintf("%s%s", directory, path);
    add_quoted(yaml, full);
    free(full);
}

/* The settings behind the command line, as a configuration: file input, formats, field set. */
static int load_arguments(const struct enrich_args *args, struct settings **settings) {
    struct buf yaml;
    buf_init(&yaml, TEXT_MAX);
    buf_add(&yaml, SPAN("inputs: [{file: {paths: ["));
    for (char **path = args->paths; *path; path++) {
        buf_add(&yaml, path == args->paths ? SPAN("") : SPAN(", "));
        add_path(&yaml, *path);
    }
    if (!args->paths[0]) {
        buf_add(&yaml, SPAN("\"-\""));
    }
    buf_printf(&yaml, "]}}]\nmessages: {fields: {set: %s}}\n", args->sizes ? "standard" : "all");
    if (args->format) {
        buf_add(&yaml, SPAN("flow_logs: {formats: ["));
        add_quoted(&yaml, args->format);
        buf_add(&yaml, SPAN("]}\n"));
    }
    int result = cmd_load_text(buf_span(&yaml), "(arguments)", settings);
    buf_done(&yaml);
    return result;
}

/* *settings is what runs; *arguments what it took its inputs from (NULL without -c). */
static int load_settings(const struct enrich_args *args, struct settings **settings,
                         struct settings **arguments) {
    int result = load_arguments(args, arguments);
    if (result != EXIT_FINE || !args->config) {
        *settings = *arguments;
        *arguments = NULL;
        return result;
    }
    result = cmd_load(args->config, settings);
    if (result != EXIT_FINE) {
        settings_free(*arguments);
        return result;
    }
    settings_take_inputs(*settings, *arguments);
    if (args->format) {
        settings_take_formats(*settings, *arguments);
    }
    return EXIT_FINE;
}

static void print_bad(const struct stats *stats) {
    for (int i = BAD_NONE + 1; i < BAD_COUNT; i++) {
        if (stats->bad[i]) {
            fprintf(stderr, "flowgelf enrich: %ju bad line%s, reason %s: %s\n",
                    (uintmax_t)stats->bad[i], stats->bad[i] == 1 ? "" : "s", bad_names[i],
                    bad_helps[i]);
        }
    }
}

static int run_to_end(const struct settings *settings, struct err *err) {
    static const struct pipeline_options options = {.look_only = true};
    struct pipeline *pipeline;
    struct stats stats;
    struct buf describe;
    buf_init(&describe, TEXT_MAX);
    int result = pipeline_open(settings, &flowgelf_modules, &options, &pipeline, NULL, err);
    if (result == 0) {
        result = pipeline_start(pipeline, err);
        while (result == 0 && !pipeline_wait(pipeline, 1000)) {
        }
        result = result == 0 ? pipeline_join(pipeline, err) : result;
        pipeline_stats(pipeline, &stats, &describe);
        print_bad(&stats);
        pipeline_close(pipeline);
    }
    buf_done(&describe);
    return result;
}

static int enrich(const struct enrich_args *args, struct sink *sink) {
    struct settings *settings, *arguments;
    struct err err;
    int result = load_settings(args, &settings, &arguments);
    if (result != EXIT_FINE) {
        return result;
    }
    struct lines_output_conf *conf = xcalloc(1, sizeof(*conf));
    conf->message = take_message;
    conf->context = sink;
    settings_use_output(settings, &lines_output_type, conf);
    settings->workers = 1; /* messages come out in the order of the input */
    result = EXIT_FINE;
    if (run_to_end(settings, &err) != 0) {
        result = cmd_fail(&cmd_enrich, &err);
    } else if (sink->sizes) {
        sizes_print(sink->sizes, stdout);
    }
    if (fflush(stdout) != 0 && result == EXIT_FINE) {
        fprintf(stderr, "flowgelf enrich: stdout: %s\n", strerror(errno));
        result = EXIT_RUN;
    }
    settings_free(settings);
    settings_free(arguments);
    return result;
}

/* A mistake in an argument is wrong usage, and not one of a configuration that nobody sees. */
static int check_format(const char *text, struct err *err) {
    struct format *format;
    if (format_parse(span_str(text), &format, err) != 0) {
        return -1;
    }
    format_free(format);
    return 0;
}

/* Files named on the command line are meant literally; what is wrong with one is said by its
   name. */
static int check_paths(char **paths, struct err *err) {
    for (; *paths; paths++) {
        if (strcmp(*paths, "-") != 0 && access(*paths, R_OK) != 0) {
            return err_sys(err, ERR_STOP, "%s", *paths);
        }
    }
    return 0;
}

/* The arguments; ARGS_END, or what cmd_flag_exit takes. */
static int parse_arguments(int argc, char **argv, struct enrich_args *args) {
    static const struct args_flag flags[] = {
        {"config", 'c', true},
        {"format", 'f', true},
        {"query", 'q', true},
        {"sizes", 's', false},
        {0},
    };
    const char *value;
    int letter, rest;
    while ((letter = cmd_flag(&cmd_enrich, argc, argv, flags, &value, &rest)) >= 0) {
        switch (letter) {
        case 'c':
            args->config = value;
            break;
        case 'f':
            args->format = value;
            break;
        case 'q':
            args->query = value;
            break;
        default:
            args->sizes = true;
        }
    }
    args->paths = argv + rest;
    return letter;
}

static int run_sink(const struct enrich_args *args, const struct query *query) {
    struct sink sink = {.query = query, .sizes = args->sizes ? sizes_new() : NULL};
    message_view_init(&sink.view, MESSAGE_MAX);
    /* As in any pipe: when the reader goes, so do we, quietly. */
    signal(SIGPIPE, SIG_DFL);
    log_setup(LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    int result = enrich(args, &sink);
    message_view_done(&sink.view);
    sizes_free(sink.sizes);
    return result;
}

/* Remembers the first field that no message of this version can have. */
static void find_missing(void *context, struct span name) {
    struct span *missing = context;
    if (missing->len == 0 && message_field_needs(name)) {
        *missing = name;
    }
}

/* A search for what can never be there finds nothing, which would look like an answer. */
static int check_query(const struct query *query, struct err *err) {
    struct span missing = {NULL, 0};
    query_fields(query, find_missing, &missing);
    if (missing.len > 0) {
        return err_set(err, ERR_CONFIG, "`%.*s` needs %s, which is not in this version",
                       SPAN_ARG(missing), message_field_needs(missing));
    }
    return 0;
}

static int main_enrich(int argc, char **argv) {
    struct enrich_args args = {0};
    struct query *query = NULL;
    struct err err;
    int letter = parse_arguments(argc, argv, &args);
    if (letter != ARGS_END) {
        return cmd_flag_exit(letter);
    }
    if (args.format && check_format(args.format, &err) != 0) {
        return cmd_usage(&cmd_enrich, "--format: %s", err.text);
    }
    if (args.query && query_parse(span_str(args.query), &query, &err) != 0) {
        return cmd_usage(&cmd_enrich, "--query: %s", err.text);
    }
    if (query && check_query(query, &err) != 0) {
        query_free(query);
        return cmd_usage(&cmd_enrich, "--query: %s", err.text);
    }
    int result =
        check_paths(args.paths, &err) == 0 ? run_sink(&args, query) : cmd_fail(&cmd_enrich, &err);
    query_free(query);
    return result;
}

const struct command cmd_enrich = {
    .name = "enrich",
    .summary = "turn lines or files into GELF on stdout",
    .help =
        "Usage: flowgelf enrich [-c FILE] [--format F] [--query Q] [--sizes] [FILE|-]...\n\n"
        "Reads flow logs (lines, CloudWatch envelopes, gzip) from files or stdin and prints one\n"
        "GELF message per line, in the order of the input, through the whole pipeline but the\n"
        "network. Keeps no positions. Bad lines are summed up on stderr.\n\n"
        "  -c, --config FILE  formats, enrichers and messages from this configuration; without it\n"
        "                     the defaults and the field set `all`; no default file is read\n"
        "  -f, --format F     the format of the lines: default, tgw-default or\n"
        "                     '${version} ${account-id} ...' as AWS writes it\n"
        "  -q, --query Q      only messages that match, in Graylog's search language\n"
        "  -s, --sizes        instead of messages: bytes per field, the mean, and GB per day at\n"
        "                     the rate of the input (set `standard` without -c)\n",
    .run = main_enrich,
};
