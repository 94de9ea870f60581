/* SPDX-License-Identifier: Apache-2.0 */
/* See settings_filter.h. */
#include "core/settings_filter.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/xalloc.h"

enum { PATH_BYTES = 96, ERRORS_MAX = 64 << 10 };

/* The place of a setting in a map, for an error about its value. */
static const struct yaml_node *place_of(const struct yaml_node *map, const char *key) {
    bool is_map = map && map->kind == YAML_MAP;
    const struct yaml_node *value = is_map ? yaml_get(map, key) : NULL;
    return value ? value : map;
}

/* NULL when there is no such search, or a wrong one (said). */
static struct query *load_query(const char *text, struct option_context *context,
                                const struct yaml_node *place, const char *path) {
    struct query *query = NULL;
    struct err err;
    if (text && filter_parse_query(span_str(text), &query, &err) != 0) {
        option_error(context, place, path, "%s", err.text);
    }
    return query;
}

void settings_load_output_filter(struct output_use *use, struct option_context *context,
                                 const struct yaml_node *node, const char *path) {
    const struct output_common *common = use->conf;
    char setting[PATH_BYTES];
    snprintf(setting, sizeof(setting), "%s.filter", path);
    use->filter = load_query(common->filter, context, place_of(node, "filter"), setting);
    use->optional = !common->required;
}

/* The last required output decides what is committed, so there must be one. */
static void check_required(const struct settings *settings, struct option_context *context) {
    for (size_t i = 0; i < settings->output_count; i++) {
        if (!settings->outputs[i].optional) {
            return;
        }
    }
    if (settings->output_count > 0) {
        option_error(context, settings->nodes[NODE_OUTPUTS], "outputs",
                     "every output has `required: false`, so none says what is delivered and may "
                     "be committed; at least one must be required");
    }
}

/* The standard form, of which searches in every configuration are asked. */
static void load_standard_form(struct message_conf *message) {
    static const char text[] = "fields: {set: all}";
    struct option_context context = {.file = "filter", .read_dir = "/", .write_dir = "/"};
    struct yaml_node *root;
    struct err err;
    buf_init(&context.errors, ERRORS_MAX);
    int result = yaml_parse(SPAN(text), "filter", &root, &err);
    assert(result == 0);
    (void)result;
    option_parse(&context, message_options, root, "filter", message);
    message_init(message, &context, root, "filter");
    assert(context.error_count == 0);
    yaml_unload(root);
    buf_done(&context.errors);
}

void settings_refit_filters(struct settings *settings) {
    struct filter_conf *filter = &settings->filter;
    const struct query **queries = xcalloc(settings->output_count + 2, sizeof(*queries));
    queries[0] = filter->drop;
    queries[1] = filter->keep;
    filter->writes = filter->drop || filter->keep;
    for (size_t i = 0; i < settings->output_count; i++) {
        queries[i + 2] = settings->outputs[i].filter;
        filter->writes |= settings->outputs[i].filter != NULL;
    }
    option_free(message_options, &filter->message);
    filter->message = (struct message_conf){0};
    load_standard_form(&filter->message);
    filter_narrow(filter, queries, settings->output_count + 2);
    free(queries);
}

void settings_load_filters(struct settings *settings, struct option_context *context) {
    const struct yaml_node *root = settings->root;
    struct filter_conf *filter = &settings->filter;
    struct err err;
    filter->drop = load_query(settings->drop, context, place_of(root, "drop"), "drop");
    filter->keep = load_query(settings->keep, context, place_of(root, "keep"), "keep");
    if (settings->sample &&
        filter_parse_sample(span_str(settings->sample), &filter->sample, &err) != 0) {
        option_error(context, place_of(root, "sample"), "sample", "%s", err.text);
    }
    check_required(settings, context);
    settings_refit_filters(settings);
}

void settings_free_filters(struct settings *settings) {
    query_free(settings->filter.drop);
    query_free(settings->filter.keep);
    option_free(message_options, &settings->filter.message);
}
