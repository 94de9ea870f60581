/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See settings.h. The top level is an option table like those of the modules; the four keys whose
 * shape depends on modules (inputs, enrich, messages, outputs) are read here, module by module.
 */
#include "core/settings.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "core/settings_filter.h"
#include "core/ship.h"

enum { ERRORS_MAX = 1 << 20 };

static const char *const line_choices[] = {"drop", "send", NULL};

static const struct option flow_log_options[] = {
    {.name = "formats",
     .type = OPTION_STRING,
     .list = true,
     .offset = offsetof(struct flow_log_settings, formats),
     .preset = "[default, tgw-default]",
     .sample = "[default, \"${version} ${account-id} ${interface-id} ${srcaddr} ${dstaddr}\"]",
     .help = "Formats of flow-log lines, as AWS writes them, or `default` (version 2) and "
             "`tgw-default` (Transit Gateway). The first one that fits a line is taken; lines "
             "behind a header line need none."},
    {.name = "no_data",
     .type = OPTION_CHOICE,
     .choices = line_choices,
     .preset = "drop",
     .offset = offsetof(struct flow_log_settings, no_data),
     .help = "NODATA lines (no traffic in the window) are counted; `send` also sends them."},
    {.name = "skip_data",
     .type = OPTION_CHOICE,
     .choices = line_choices,
     .preset = "send",
     .offset = offsetof(struct flow_log_settings, skip_data),
     .help = "SKIPDATA lines (AWS could not record) are gaps in what can be seen: counted and "
             "sent."},
    OPTION_END,
};

#define LATER(key) \
    { .name = key, .type = OPTION_NODE, .later = "not in this version" }

const struct option settings_options[] = {
    {.name = "state",
     .type = OPTION_STRING,
     .preset = "/var/lib/flowgelf",
     .offset = offsetof(struct settings, state),
     .help = "Directory for positions and everything else that is written, unless a setting says "
             "otherwise. Its owner is the user that the service runs as; a second flowgelf on it "
             "does not start."},
    {.name = "workers",
     .type = OPTION_INTEGER,
     .min = 1,
     .max = 256,
     .preset = "2",
     .offset = offsetof(struct settings, workers),
     .help = "Threads per input, at most the cores of the machine. Each has its own connections."},
    {.name = "memory",
     .type = OPTION_SIZE,
     .min = 16 << 20,
     .max = INT64_C(1) << 40,
     .preset = "512MiB",
     .offset = offsetof(struct settings, memory_bytes),
     .help = "Ceiling of all rings together (messages sent and not yet delivered): inputs x "
             "workers x outputs x (peer_buffer + 8 MiB)."},
    {.name = "inputs",
     .type = OPTION_NODE,
     .offset = offsetof(struct settings, nodes[NODE_INPUTS]),
     .help = "Where flow logs are read from: a list, each item one input."},
    {.name = "flow_logs",
     .type = OPTION_GROUP,
     .group = flow_log_options,
     .offset = offsetof(struct settings, flow_logs),
     .help = "What the lines look like."},
    {.name = "enrich",
     .type = OPTION_NODE,
     .offset = offsetof(struct settings, nodes[NODE_ENRICH]),
     .help = "What is found out about each address and each flow. Enrichers that need no data run "
             "unless `false` is written behind their name."},
    {.name = "messages",
     .type = OPTION_NODE,
     .offset = offsetof(struct settings, nodes[NODE_MESSAGES]),
     .help = "What messages look like; may be repeated in an output."},
    {.name = "outputs",
     .type = OPTION_NODE,
     .offset = offsetof(struct settings, nodes[NODE_OUTPUTS]),
     .help =
         "Where messages go: a list; each output gets every message that its filter lets pass."},
    {.name = "drop",
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, drop),
     .sample = "\"src_addr_internal:true AND dst_addr_internal:true AND action:ACCEPT\"",
     .help = "Flows that match this search, in Graylog's search language, are sent to no output. "
             "It sees messages as an output's `filter` does. Accepted east-west traffic, as in the "
             "example, is most of the volume; searches and alerts about it then find nothing."},
    {.name = "keep",
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, keep),
     .sample = "\"action:REJECT OR src_addr_internal:false OR dst_addr_internal:false\"",
     .help = "Only flows that match this search, and not that of `drop`, are sent at all."},
    {.name = "sample",
     .type = OPTION_STRING,
     .offset = offsetof(struct settings, sample),
     .sample = "1/10",
     .help = "The share of flows that is sent: 1/N. It goes by addresses, ports and protocol, so "
             "that of a connection all flows of both directions are sent or none is, and the same "
             "ones after every restart. NODATA and SKIPDATA lines are not sampled."},
    {.name = "dead_letter",
     .type = OPTION_GROUP,
     .group = dead_letter_options,
     .offset = offsetof(struct settings, dead_letter),
     .help = "What could not be decoded or delivered, kept for people."},
    {.name = "shutdown_grace",
     .type = OPTION_DURATION,
     .preset = "10s",
     .max = 3600000,
     .offset = offsetof(struct settings, shutdown_grace_ms),
     .help = "At a stop: how long outputs may take to deliver what was read. What is not delivered "
             "then is read again at the next start."},
    {.name = "revoke_grace",
     .type = OPTION_DURATION,
     .preset = "5s",
     .max = 60000,
     .offset = offsetof(struct settings, revoke_grace_ms),
     .help = "The same when partitions go to another consumer."},
    {.name = "parcel_size",
     .type = OPTION_SIZE,
     .min = 64 << 10,
     .max = 4 << 20,
     .preset = "256KiB",
     .offset = offsetof(struct settings, parcel_bytes),
     .help = "Messages are handed to outputs in parcels of at most this size."},
    {.name = "dossier_cache",
     .type = OPTION_SIZE,
     .min = 4 << 20,
     .max = INT64_C(1) << 34,
     .preset = "24MiB",
     .offset = offsetof(struct settings, dossier_bytes),
     .help = "Memory of each worker for what is known about addresses."},
    LATER("metrics"),
    LATER("control"),
    OPTION_END,
};

/* Modules of the plan that a person may try, and that this version does not have, by kind. */
static const char *const later_inputs[] = {"s3", "firehose", NULL};
static const char *const later_enrichers[] = {"inventory", "suspicious", "service",
                                              "rdns",      "mask",       NULL};
static const char *const later_outputs[] = {"elasticsearch", NULL};

/* One kind of modules, where settings are concerned. Each type begins with its name. */
struct kind {
    const char *what;
    const void *const *types; /* NULL-terminated */
    const char *const *later;
};

enum { MODULES_MAX = 32 };

static const char *module_name(const void *type) {
    return *(const char *const *)type;
}

static const void *find_module(const struct kind *kind, const char *name) {
    for (const void *const *type = kind->types; *type; type++) {
        if (strcmp(module_name(*type), name) == 0) {
            return *type;
        }
    }
    return NULL;
}

static void unknown_module(struct option_context *context, const struct kind *kind,
                           const struct yaml_node *key, const char *path) {
    const char *names[MODULES_MAX + 1];
    struct buf known;
    size_t count = 0;
    for (size_t i = 0; kind->later[i]; i++) {
        if (strcmp(kind->later[i], key->text) == 0) {
            option_error(context, key, path, "%s \"%s\" is not in this version", kind->what,
                         key->text);
            return;
        }
    }
    buf_init(&known, 4096);
    for (; kind->types[count] && count < MODULES_MAX; count++) {
        names[count] = module_name(kind->types[count]);
        buf_printf(&known, "%s%s", count ? ", " : "", names[count]);
    }
    names[count] = NULL;
    const char *nearest = option_nearest(key->text, names);
    option_error(context, key, path, "unknown %s \"%s\"%s%s%s; there are: %s", kind->what,
                 key->text, nearest ? "; did you mean \"" : "", nearest ? nearest : "",
                 nearest ? "\"?" : "", buf_cstr(&known));
    buf_done(&known);
}

/* Reads one `- name: {...}` of a list of inputs or outputs. NULL when it is none (said). */
static const void *list_item(struct option_context *context, const struct kind *kind,
                             const struct yaml_node *item, const char *path,
                             const struct yaml_node **node) {
    if (item->kind != YAML_MAP || item->count != 1) {
        option_error(context, item, path, "expected one %s, such as `- %s: {...}`", kind->what,
                     module_name(kind->types[0]));
        return NULL;
    }
    const void *type = find_module(kind, item->keys[0]->text);
    if (!type) {
        unknown_module(context, kind, item->keys[0], path);
    }
    *node = item->items[0];
    return type;
}

static bool is_list(struct option_context *context, const struct yaml_node *node,
                    const char *path) {
    if (yaml_is_null(node)) {
        return false;
    }
    if (node->kind != YAML_LIST) {
        option_error(context, node, path, "expected a list");
        return false;
    }
    return true;
}

static void load_inputs(struct settings *settings, const struct modules *modules,
                        struct option_context *context) {
    const struct kind kind = {"input", (const void *const *)modules->inputs, later_inputs};
    const struct yaml_node *list = settings->nodes[NODE_INPUTS];
    if (!is_list(context, list, "inputs")) {
        return;
    }
    settings->inputs = xcalloc(list->count, sizeof(struct input_use));
    for (size_t i = 0; i < list->count; i++) {
        char path[64];
        const struct yaml_node *node;
        snprintf(path, sizeof(path), "inputs[%zu]", i);
        const struct input_type *type = list_item(context, &kind, list->items[i], path, &node);
        if (!type) {
            continue;
        }
        struct input_use *use = &settings->inputs[settings->input_count++];
        *use = (struct input_use){.type = type, .conf = xcalloc(1, type->conf_size)};
        snprintf(path, sizeof(path), "inputs[%zu].%s", i, type->name);
        option_parse(context, type->options, node, path, use->conf);
        if (type->init) {
            type->init(use->conf, context, node, path);
        }
    }
}

/* `name: false` switches an enricher off that runs by default. */
static bool is_switched_off(const struct yaml_node *node) {
    return node && node->kind == YAML_SCALAR && node->plain && strcmp(node->text, "false") == 0;
}

/* `name: true` and `name:` switch it on with its defaults. */
static const struct yaml_node *enricher_node(const struct yaml_node *node) {
    bool on = node && node->kind == YAML_SCALAR && node->plain && strcmp(node->text, "true") == 0;
    return on ? NULL : node;
}

static void load_enrichers(struct settings *settings, const struct modules *modules,
                           struct option_context *context) {
    const struct yaml_node *map = settings->nodes[NODE_ENRICH];
    const struct kind kind = {"enricher", (const void *const *)modules->enrichers, later_enrichers};
    if (!yaml_is_null(map) && map->kind != YAML_MAP) {
        option_error(context, map, "enrich", "expected a map of enrichers");
        map = NULL;
    }
    for (size_t i = 0; map && map->kind == YAML_MAP && i < map->count; i++) {
        if (!find_module(&kind, map->keys[i]->text)) {
            unknown_module(context, &kind, map->keys[i], "enrich");
        }
    }
    settings->enrichers = xcalloc(MODULES_MAX, sizeof(struct enricher_use));
    for (size_t i = 0; modules->enrichers[i]; i++) {
        const struct enricher_type *type = modules->enrichers[i];
        const struct yaml_node *node = map ? yaml_get(map, type->name) : NULL;
        if (is_switched_off(node) || (!node && !type->by_default)) {
            continue;
        }
        char path[64];
        struct enricher_use *use = &settings->enrichers[settings->enricher_count++];
        *use = (struct enricher_use){.type = type, .conf = xcalloc(1, type->conf_size + 1)};
        snprintf(path, sizeof(path), "enrich.%s", type->name);
        node = enricher_node(node);
        if (type->options) {
            option_parse(context, type->options, node, path, use->conf);
        }
        if (type->init) {
            type->init(use->conf, context, node, path);
        }
    }
}

/*
 * The `messages` of an output: the top-level ones, and the output's own keys on top. Both are
 * parsed into a fresh conf from a map that has the keys of both.
 */
static void load_messages(const struct settings *settings, struct option_context *context,
                          const struct yaml_node *own, const char *path,
                          struct message_conf *conf) {
    const struct yaml_node *top = settings->nodes[NODE_MESSAGES];
    struct yaml_node merged = {.kind = YAML_MAP};
    size_t top_count = !yaml_is_null(top) && top->kind == YAML_MAP ? top->count : 0;
    size_t own_count = !yaml_is_null(own) && own->kind == YAML_MAP ? own->count : 0;
    merged.keys = xcalloc(top_count + own_count, sizeof(struct yaml_node *));
    merged.items = xcalloc(top_count + own_count, sizeof(struct yaml_node *));
    for (size_t i = 0; i < top_count + own_count; i++) {
        const struct yaml_node *from = i < own_count ? own : top;
        size_t at = i < own_count ? i : i - own_count;
        if (i >= own_count && own_count > 0 && yaml_get(own, from->keys[at]->text)) {
            continue;
        }
        merged.keys[merged.count] = from->keys[at];
        merged.items[merged.count++] = from->items[at];
    }
    const struct yaml_node *place = own ? own : top;
    merged.line = place ? place->line : 1;
    merged.column = place ? place->column : 1;
    if (option_parse(context, message_options, &merged, path, conf) == 0) {
        message_init(conf, context, &merged, path);
    }
    free(merged.keys);
    free(merged.items);
}

static void load_outputs(struct settings *settings, const struct modules *modules,
                         struct option_context *context) {
    const struct kind kind = {"output", (const void *const *)modules->outputs, later_outputs};
    const struct yaml_node *list = settings->nodes[NODE_OUTPUTS];
    if (!is_list(context, list, "outputs")) {
        return;
    }
    settings->outputs = xcalloc(list->count, sizeof(struct output_use));
    for (size_t i = 0; i < list->count; i++) {
        char path[64], messages_path[80];
        const struct yaml_node *node;
        snprintf(path, sizeof(path), "outputs[%zu]", i);
        const struct output_type *type = list_item(context, &kind, list->items[i], path, &node);
        if (!type) {
            continue;
        }
        struct output_use *use = &settings->outputs[settings->output_count++];
        *use = (struct output_use){.type = type, .conf = xcalloc(1, type->conf_size)};
        snprintf(path, sizeof(path), "outputs[%zu].%s", i, type->name);
        snprintf(messages_path, sizeof(messages_path), "%s.messages", path);
        option_parse(context, type->options, node, path, use->conf);
        const struct output_common *common = use->conf;
        load_messages(settings, context, common->messages, messages_path, &use->messages);
        settings_load_output_filter(use, context, node, path);
        if (type->init) {
            type->init(use->conf, &use->messages, context, node, path);
        }
    }
}

static void load_formats(struct settings *settings, struct option_context *context) {
    const struct string_list *texts = &settings->flow_logs.formats;
    const struct yaml_node *node = yaml_get(settings->root, "flow_logs");
    const struct yaml_node *list = node ? yaml_get(node, "formats") : NULL;
    settings->formats = xcalloc(texts->count, sizeof(struct format *));
    for (size_t i = 0; i < texts->count; i++) {
        struct err err;
        if (format_parse(span_str(texts->items[i]), &settings->formats[settings->format_count],
                         &err) == 0) {
            settings->format_count++;
        } else {
            bool is_item = list && list->kind == YAML_LIST && i < list->count;
            option_error(context, is_item ? list->items[i] : list, "flow_logs.formats", "%s",
                         err.text);
        }
    }
}

size_t settings_ring_bytes(const struct settings *settings, struct buf *explain) {
    size_t workers = settings->input_count * (size_t)settings->workers, sum = 0;
    for (size_t i = 0; i < settings->output_count; i++) {
        const struct output_use *use = &settings->outputs[i];
        size_t bytes = ship_ring_bytes(use, (size_t)settings->parcel_bytes);
        sum += workers * bytes;
        buf_printf(explain, "%s%s %zu MiB", i ? " + " : "", use->type->name, bytes >> 20);
    }
    buf_printf(explain, ", times %zu inputs x %jd workers = %zu MiB", settings->input_count,
               (intmax_t)settings->workers, sum >> 20);
    return sum;
}

static void check_memory(struct settings *settings, struct option_context *context) {
    struct buf explain;
    buf_init(&explain, 4096);
    size_t sum = settings_ring_bytes(settings, &explain);
    if (sum > (size_t)settings->memory_bytes) {
        const struct yaml_node *node = yaml_get(settings->root, "memory");
        option_error(context, node ? node : settings->root, "memory",
                     "the rings need more than these %jd MiB: %s; raise memory, or lower workers "
                     "or peer_buffer",
                     (intmax_t)settings->memory_bytes >> 20, buf_cstr(&explain));
    }
    buf_done(&explain);
}

/* Directory part of the configuration's path, absolute. */
static char *directory_of(const char *path) {
    char *full = realpath(path, NULL);
    char *slash = full ? strrchr(full, '/') : NULL;
    if (!slash) {
        free(full);
        return xstrdup("/");
    }
    slash[slash == full ? 1 : 0] = '\0';
    return full;
}

static void check_state(struct settings *settings, struct option_context *context) {
    if (settings->state[0] != '/') {
        option_error(context, yaml_get(settings->root, "state"), "state",
                     "\"%s\" must be an absolute path", settings->state);
    }
}

static void load_all(struct settings *settings, const struct modules *modules,
                     struct option_context *context) {
    const struct yaml_node *state = yaml_get(settings->root, "state");
    context->write_dir = state && state->kind == YAML_SCALAR ? state->text : "/var/lib/flowgelf";
    option_parse(context, settings_options, settings->root, "", settings);
    if (settings->state) {
        check_state(settings, context);
    }
    load_inputs(settings, modules, context);
    load_enrichers(settings, modules, context);
    int before = context->error_count;
    load_messages(settings, context, NULL, "messages", &settings->messages);
    if (context->error_count > before) {
        settings->nodes[NODE_MESSAGES] = NULL; /* said; not again for each output */
    }
    load_outputs(settings, modules, context);
    settings_load_filters(settings, context);
    load_formats(settings, context);
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    settings->workers = settings->workers > cores ? cores : settings->workers;
    if (context->error_count == 0) {
        check_memory(settings, context);
    }
}

static void done_module(void (*done)(void *), const struct option *options, void *conf) {
    if (done) {
        done(conf);
    }
    if (options) {
        option_free(options, conf);
    }
    free(conf);
}

/* Takes a tree over, with `yaml_failed` when only its syntax could be kept: then both kinds of
   errors are shown at once. */
static int load_tree(struct settings *settings, const struct modules *modules, const char *name,
                     const char *read_dir, bool yaml_failed, struct buf *errors) {
    struct option_context context = {.file = name, .read_dir = read_dir};
    buf_init(&context.errors, ERRORS_MAX);
    load_all(settings, modules, &context);
    buf_add(errors, buf_span(&context.errors));
    buf_done(&context.errors);
    return yaml_failed || context.error_count > 0 ? -1 : 0;
}

static int finish_load(struct settings *settings, int result, struct settings **out) {
    if (result != 0) {
        settings_free(settings);
        return -1;
    }
    *out = settings;
    return 0;
}

int settings_load(const char *path, const struct modules *modules, struct settings **out,
                  struct buf *errors) {
    struct settings *settings = xcalloc(1, sizeof(*settings));
    struct err err;
    int result = yaml_load(path, &settings->root, &err);
    settings->file = xstrdup(path);
    if (result != 0) {
        buf_printf(errors, "%s\n", err.text);
    }
    if (settings->root) {
        char *read_dir = directory_of(path);
        result = load_tree(settings, modules, path, read_dir, result != 0, errors);
        free(read_dir);
    }
    return finish_load(settings, result, out);
}

int settings_load_text(struct span text, const char *name, const struct modules *modules,
                       struct settings **out, struct buf *errors) {
    struct settings *settings = xcalloc(1, sizeof(*settings));
    struct err err;
    int result = yaml_parse(text, name, &settings->root, &err);
    if (result != 0) {
        buf_printf(errors, "%s\n", err.text);
    }
    if (settings->root) {
        char *read_dir = realpath(".", NULL);
        result = load_tree(settings, modules, name, read_dir ? read_dir : "/", result != 0, errors);
        free(read_dir);
    }
    return finish_load(settings, result, out);
}

static void free_inputs(struct settings *settings) {
    for (size_t i = 0; i < settings->input_count; i++) {
        const struct input_type *type = settings->inputs[i].type;
        done_module(type->done, type->options, settings->inputs[i].conf);
    }
    free(settings->inputs);
    settings->inputs = NULL;
    settings->input_count = 0;
}

static void free_outputs(struct settings *settings) {
    for (size_t i = 0; i < settings->output_count; i++) {
        const struct output_type *type = settings->outputs[i].type;
        option_free(message_options, &settings->outputs[i].messages);
        query_free(settings->outputs[i].filter);
        done_module(type->done, type->options, settings->outputs[i].conf);
    }
    free(settings->outputs);
    settings->outputs = NULL;
    settings->output_count = 0;
}

void settings_take_inputs(struct settings *settings, struct settings *from) {
    free_inputs(settings);
    settings->inputs = from->inputs;
    settings->input_count = from->input_count;
    from->inputs = NULL;
    from->input_count = 0;
}

static void free_formats(struct settings *settings) {
    for (size_t i = 0; i < settings->format_count; i++) {
        format_free(settings->formats[i]);
    }
    free(settings->formats);
    settings->formats = NULL;
    settings->format_count = 0;
}

void settings_take_formats(struct settings *settings, struct settings *from) {
    free_formats(settings);
    settings->formats = from->formats;
    settings->format_count = from->format_count;
    from->formats = NULL;
    from->format_count = 0;
}

void settings_use_output(struct settings *settings, const struct output_type *type, void *conf) {
    struct option_context context = {.file = settings->file, .read_dir = "/", .write_dir = "/"};
    buf_init(&context.errors, ERRORS_MAX);
    free_outputs(settings);
    settings->outputs = xcalloc(1, sizeof(struct output_use));
    settings->output_count = 1;
    settings->outputs[0] = (struct output_use){.type = type, .conf = conf};
    load_messages(settings, &context, NULL, "messages", &settings->outputs[0].messages);
    /* The same text was read without an error when the settings were loaded. */
    assert(context.error_count == 0);
    buf_done(&context.errors);
    settings_refit_filters(settings);
}

void settings_free(struct settings *settings) {
    if (!settings) {
        return;
    }
    free_inputs(settings);
    free_outputs(settings);
    for (size_t i = 0; i < settings->enricher_count; i++) {
        const struct enricher_type *type = settings->enrichers[i].type;
        done_module(type->done, type->options, settings->enrichers[i].conf);
    }
    free_formats(settings);
    settings_free_filters(settings);
    option_free(message_options, &settings->messages);
    option_free(settings_options, settings);
    free(settings->enrichers);
    free(settings->file);
    yaml_unload(settings->root);
    free(settings);
}
