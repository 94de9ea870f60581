/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole configuration of a daemon: top-level settings, the modules that it uses with their
 * confs, and what is computed from them. Loaded once, then only read; everything at run time is
 * opened from it.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "config/option.h"
#include "core/filter.h"
#include "core/module.h"

struct input_use {
    const struct input_type *type;
    void *conf;
};

struct enricher_use {
    const struct enricher_type *type;
    void *conf;
};

struct output_use {
    const struct output_type *type;
    void *conf;
    struct message_conf messages; /* the top-level ones with the output's own on top */
    struct query *filter;         /* NULL: it gets every message */
    bool optional;                /* `required: false`: nothing waits for it */
};

/* NODATA and SKIPDATA lines: `drop` counts them only. */
enum settings_lines { LINES_DROP, LINES_SEND };

struct flow_log_settings {
    struct string_list formats;
    int no_data, skip_data; /* enum settings_lines */
};

/* Top-level keys whose shape depends on modules; read module by module. */
enum settings_node { NODE_INPUTS, NODE_ENRICH, NODE_MESSAGES, NODE_OUTPUTS, NODE_COUNT };

struct settings {
    char *file;  /* path of the configuration file, NULL without one */
    char *state; /* absolute */
    int64_t workers, memory_bytes, parcel_bytes, dossier_bytes;
    int64_t shutdown_grace_ms, revoke_grace_ms;
    struct flow_log_settings flow_logs;
    struct dead_letter_conf dead_letter;
    const struct yaml_node *nodes[NODE_COUNT]; /* in `root` */
    char *drop, *keep, *sample;                /* as they were written */

    struct message_conf messages; /* top level */
    size_t input_count, enricher_count, output_count;
    struct input_use *inputs;
    struct enricher_use *enrichers; /* in the order in which they run */
    struct output_use *outputs;
    struct filter_conf filter;

    size_t format_count;
    struct format **formats; /* compiled flow_logs.formats */
    struct yaml_node *root;
};

/* The table of the top level. */
extern const struct option settings_options[];

/*
 * Loads `path`. Returns 0 and the settings, or -1 with every error of the file in `errors`, a line
 * each. settings_load_text does the same with a text of a command's own; paths in it are relative
 * to the working directory, and `name` stands in messages.
 */
int settings_load(const char *path, const struct modules *modules, struct settings **settings,
                  struct buf *errors);
int settings_load_text(struct span text, const char *name, const struct modules *modules,
                       struct settings **settings, struct buf *errors);

/* For commands that read or write something else than what the file says: the inputs of `from`
   (which outlives `settings`) replace its own, and likewise its formats; one output of a
   command's own type, whose conf was made with malloc and is taken over, replaces its outputs
   and writes its `messages`. `drop`, `keep` and `sample` go on deciding; the filters of the
   replaced outputs go with them. */
void settings_take_inputs(struct settings *settings, struct settings *from);
void settings_take_formats(struct settings *settings, struct settings *from);
void settings_use_output(struct settings *settings, const struct output_type *type, void *conf);

/* NULL is fine. */
void settings_free(struct settings *settings);

/* The sum of all rings, and the text that says how it comes about. */
size_t settings_ring_bytes(const struct settings *settings, struct buf *explain);

/* The commented sample configuration and the reference chapter, from the tables. */
void settings_print_sample(const struct modules *modules, struct buf *out);
void settings_print_reference(const struct modules *modules, struct buf *out);
