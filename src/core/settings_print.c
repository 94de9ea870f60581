/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commented sample configuration and the reference chapter, printed from the tables of the top
 * level and of all modules. Called by tools/print-docs, whose output is compared with what is
 * checked in.
 */
#include "core/settings.h"

#include <stdio.h>
#include <string.h>

enum { MODULE_INDENT = 6, TEXT_MAX = 1 << 20 };

/* Prints a block; commented out unless `live`. */
static void print_block(struct span text, bool live, struct buf *out) {
    struct span line;
    while (span_cut(&text, '\n', &line)) {
        if (!live && line.len > 0) {
            size_t blanks = 0;
            while (blanks < line.len && line.p[blanks] == ' ') {
                blanks++;
            }
            /* What is a comment already stays as it is. */
            buf_add(out, span_of(line.p, blanks));
            buf_add(out, blanks < line.len && line.p[blanks] == '#' ? SPAN("") : SPAN("#"));
            line = span_skip(line, blanks);
        }
        buf_add(out, line);
        buf_char(out, '\n');
    }
}

/* One module, as `- name:` of a list or `name:` of a map, with its settings. */
static void print_module(const char *lead, const char *name, const char *help,
                         const struct option *options, const char *sample, bool live,
                         struct buf *out) {
    struct buf block;
    buf_init(&block, TEXT_MAX);
    buf_char(out, '\n');
    option_print_comment(span_str(help), 2, out);
    buf_printf(&block, "  %s%s:\n", lead, name);
    if (options) {
        option_print_sample(options, MODULE_INDENT, &block);
    } else {
        buf_printf(&block, "%*s%s\n", MODULE_INDENT, "", sample);
    }
    print_block(buf_span(&block), live, out);
    buf_done(&block);
}

static void print_inputs(const struct modules *modules, struct buf *out) {
    for (size_t i = 0; modules->inputs[i]; i++) {
        const struct input_type *type = modules->inputs[i];
        print_module("- ", type->name, type->help, type->options, NULL, i == 0, out);
    }
}

static void print_outputs(const struct modules *modules, struct buf *out) {
    for (size_t i = 0; modules->outputs[i]; i++) {
        const struct output_type *type = modules->outputs[i];
        print_module("- ", type->name, type->help, type->options, NULL, i == 0, out);
    }
}

static void print_enrichers(const struct modules *modules, struct buf *out) {
    for (size_t i = 0; modules->enrichers[i]; i++) {
        const struct enricher_type *type = modules->enrichers[i];
        print_module("", type->name, type->help, type->options, type->sample, false, out);
    }
}

static void print_node(const struct option *option, const struct modules *modules,
                       struct buf *out) {
    bool live = strcmp(option->name, "inputs") == 0 || strcmp(option->name, "outputs") == 0;
    buf_char(out, '\n');
    option_print_comment(span_str(option->help), 0, out);
    buf_printf(out, "%s%s:\n", live ? "" : "#", option->name);
    if (strcmp(option->name, "inputs") == 0) {
        print_inputs(modules, out);
    } else if (strcmp(option->name, "outputs") == 0) {
        print_outputs(modules, out);
    } else if (strcmp(option->name, "enrich") == 0) {
        print_enrichers(modules, out);
    } else {
        option_print_sample(message_options, 2, out);
    }
}

void settings_print_sample(const struct modules *modules, struct buf *out) {
    option_print_comment(SPAN("Configuration of flowgelf. Lines that begin with `#name:` show a "
                              "setting with its default or an example; take the `#` away to set "
                              "it. `flowgelf check -c FILE` says whether it would run."),
                         0, out);
    for (const struct option *option = settings_options; option->name; option++) {
        struct option one[] = {*option, OPTION_END};
        if (option->later) {
            continue;
        }
        if (option->type == OPTION_NODE) {
            print_node(option, modules, out);
        } else {
            buf_char(out, '\n');
            option_print_sample(one, 0, out);
        }
    }
}

static void reference_head(const char *title, const char *help, struct buf *out) {
    buf_printf(out, "\n## %s\n\n%s\n\n| setting | value | default | meaning |\n|---|---|---|---|\n",
               title, help);
}

static void reference_module(const char *where, const char *name, const char *help,
                             const struct option *options, struct buf *out) {
    char title[80];
    snprintf(title, sizeof(title), "%s: %s", where, name);
    reference_head(title, help, out);
    if (options) {
        option_print_reference(options, name, out);
    }
}

void settings_print_reference(const struct modules *modules, struct buf *out) {
    buf_add(out, SPAN("# Settings\n\nMade from the tables in the source; do not edit.\n"));
    reference_head("Top level", "One YAML file, by default `/etc/flowgelf/flowgelf.yaml`.", out);
    option_print_reference(settings_options, "", out);
    reference_head("messages", "At the top level, and repeated in an output.", out);
    option_print_reference(message_options, "messages", out);
    for (size_t i = 0; modules->inputs[i]; i++) {
        const struct input_type *type = modules->inputs[i];
        reference_module("inputs", type->name, type->help, type->options, out);
    }
    for (size_t i = 0; modules->enrichers[i]; i++) {
        const struct enricher_type *type = modules->enrichers[i];
        reference_module("enrich", type->name, type->help, type->options, out);
    }
    for (size_t i = 0; modules->outputs[i]; i++) {
        const struct output_type *type = modules->outputs[i];
        reference_module("outputs", type->name, type->help, type->options, out);
    }
}
