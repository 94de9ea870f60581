/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See option.h. The walk over a YAML map by a table: the file's order first, so that errors come
 * in the order of its lines, then what it does not name. An error is written down and the walk
 * goes on.
 */
#include "config/option.h"

#include <assert.h>
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/xalloc.h"
#include "config/option_value.h"

enum { TEXT_MAX = 4096, NAME_MAX_LEN = 64, NEAR_MAX = 3 };

/* One table being filled: what the functions of the walk share. */
struct walk {
    struct option_context *context;
    const struct option *table;
    const char *path; /* of the map itself */
    char *conf;
    bool enforced; /* a group that is not there misses nothing */
};

void option_error(struct option_context *context, const struct yaml_node *node, const char *path,
                  const char *format, ...) {
    va_list args;
    char *text = NULL;
    va_start(args, format);
    if (vasprintf(&text, format, args) < 0) {
        text = xstrdup(format);
    }
    va_end(args);
    buf_add(&context->errors, span_str(context->file));
    if (node) {
        buf_printf(&context->errors, ":%d:%d", node->line, node->column);
    }
    buf_printf(&context->errors, ": %s%s%s\n", path, path[0] ? ": " : "", text);
    context->error_count++;
    free(text);
}

/* Letters of both cases are the same, and so are "-" and "_". */
static int folded(char c) {
    return c == '-' ? '_' : tolower((unsigned char)c);
}

/* Optimal string alignment: insertions, deletions, changes, swaps of neighbours. Both texts are
   shorter than NAME_MAX_LEN. */
static int edit_distance(const char *a, size_t a_len, const char *b, size_t b_len) {
    int rows[3][NAME_MAX_LEN + 1];
    int *before = rows[0], *above = rows[1], *row = rows[2];
    for (size_t j = 0; j <= b_len; j++) {
        above[j] = (int)j;
    }
    for (size_t i = 1; i <= a_len; i++) {
        row[0] = (int)i;
        for (size_t j = 1; j <= b_len; j++) {
            int best = above[j - 1] + (folded(a[i - 1]) != folded(b[j - 1]));
            best = above[j] + 1 < best ? above[j] + 1 : best;
            best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
            bool swapped = i > 1 && j > 1 && folded(a[i - 1]) == folded(b[j - 2]) &&
                           folded(a[i - 2]) == folded(b[j - 1]);
            row[j] = swapped && before[j - 2] + 1 < best ? before[j - 2] + 1 : best;
        }
        int *free_row = before;
        before = above;
        above = row;
        row = free_row;
    }
    return above[b_len];
}

const char *option_nearest(const char *name, const char *const *names) {
    size_t len = strlen(name);
    const char *nearest = NULL;
    /* A third of the letters may be wrong; beyond that a guess only confuses. */
    int best = (int)(len + 2) / 3 < NEAR_MAX ? (int)(len + 2) / 3 : NEAR_MAX;
    if (len == 0 || len > NAME_MAX_LEN) {
        return NULL;
    }
    for (; *names; names++) {
        size_t other = strlen(*names);
        int distance = other > NAME_MAX_LEN ? INT32_MAX : edit_distance(name, len, *names, other);
        if (distance <= best && distance < (int)other) {
            nearest = *names;
            best = distance - 1;
        }
    }
    return nearest;
}

static size_t table_size(const struct option *table) {
    size_t count = 0;
    while (table[count].name) {
        count++;
    }
    return count;
}

static char *join(const char *path, const char *name) {
    return xasprintf("%s%s%s", path, path[0] ? "." : "", name);
}

static void unknown_key(const struct walk *walk, const struct yaml_node *key) {
    size_t count = table_size(walk->table);
    const char **names = xcalloc(count + 1, sizeof(*names));
    struct buf text;
    buf_init(&text, TEXT_MAX);
    buf_add(&text, SPAN("unknown setting "));
    option_value_quote(key->text, &text);
    for (size_t i = 0; i < count; i++) {
        names[i] = walk->table[i].name;
    }
    const char *nearest = option_nearest(key->text, names);
    if (nearest) {
        buf_printf(&text, "; did you mean \"%s\"?", nearest);
    }
    buf_add(&text, count > 0 ? SPAN("; allowed here: ") : SPAN("; nothing can be set here"));
    for (size_t i = 0; i < count; i++) {
        buf_printf(&text, "%s%s", i > 0 ? ", " : "", names[i]);
    }
    option_error(walk->context, key, walk->path, "%s", buf_cstr(&text));
    buf_done(&text);
    free(names);
}

/* "<what is wrong>; allowed: <what the option takes>" */
static void refuse(const struct walk *walk, const struct option *option,
                   const struct yaml_node *node, const char *path, const char *wrong) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    buf_printf(&text, "%s; allowed: ", wrong);
    option_value_describe(option, &text);
    option_error(walk->context, node, path, "%s", buf_cstr(&text));
    buf_done(&text);
}

static void refuse_kind(const struct walk *walk, const struct option *option,
                        const struct yaml_node *node, const char *path) {
    refuse(walk, option, node, path,
           node->kind == YAML_LIST  ? "found a list"
           : node->kind == YAML_MAP ? "found a map"
                                    : "found a single value");
}

static void parse_scalar(const struct walk *walk, const struct option *option,
                         const struct yaml_node *node, const char *path, void *slot) {
    struct err err = {0};
    if (node->kind != YAML_SCALAR) {
        refuse_kind(walk, option, node, path);
    } else if (yaml_is_null(node)) {
        refuse(walk, option, node, path, "found nothing");
    } else if (option_value_parse(walk->context, option, node->text, slot, &err) < 0) {
        option_error(walk->context, node, path, "%s", err.text);
    }
}

/* Room for `count` items in the list of the option's type, all zero; returns the first and the
   distance between two. */
static char *make_items(const struct option *option, size_t count, void *slot, size_t *stride) {
    if (option->type == OPTION_CIDR) {
        struct cidr_list *list = slot;
        *stride = sizeof(*list->items);
        *list = (struct cidr_list){xcalloc(count, *stride), count};
        return (char *)list->items;
    }
    if (option->type == OPTION_HOSTPORT) {
        struct hostport_list *list = slot;
        *stride = sizeof(*list->items);
        *list = (struct hostport_list){xcalloc(count, *stride), count};
        return (char *)list->items;
    }
    struct string_list *list = slot;
    *stride = sizeof(*list->items);
    *list = (struct string_list){xcalloc(count, *stride), count};
    return (char *)list->items;
}

static void parse_list(const struct walk *walk, const struct option *option,
                       const struct yaml_node *node, const char *path, void *slot) {
    size_t stride;
    struct option item = *option;
    item.list = false;
    if (node->kind == YAML_SCALAR) {
        parse_scalar(walk, &item, node, path, make_items(option, 1, slot, &stride));
        return;
    }
    if (node->kind == YAML_MAP) {
        refuse_kind(walk, option, node, path);
        return;
    }
    if (node->count == 0) {
        if (option->required) {
            refuse(walk, option, node, path, "the list is empty");
        }
        return;
    }
    char *items = make_items(option, node->count, slot, &stride);
    for (size_t i = 0; i < node->count; i++) {
        char *place = xasprintf("%s[%zu]", path, i);
        parse_scalar(walk, &item, node->items[i], place, items + i * stride);
        free(place);
    }
}

static void parse_strings(const struct walk *walk, const struct option *option,
                          const struct yaml_node *node, const char *path, struct string_map *map) {
    if (node->kind != YAML_MAP) {
        refuse_kind(walk, option, node, path);
        return;
    }
    if (node->count == 0) {
        return;
    }
    map->keys = xcalloc(node->count, sizeof(*map->keys));
    map->values = xcalloc(node->count, sizeof(*map->values));
    for (size_t i = 0; i < node->count; i++) {
        const struct yaml_node *value = node->items[i];
        char *place = join(path, node->keys[i]->text);
        if (value->kind != YAML_SCALAR) {
            refuse_kind(walk, &(struct option){.type = OPTION_STRING}, value, place);
        } else if (yaml_is_null(value)) {
            option_error(walk->context, value, place,
                         "found nothing; allowed: a text (\"\" for "
                         "an empty one)");
        } else {
            map->keys[map->count] = xstrdup(node->keys[i]->text);
            map->values[map->count++] = xstrdup(value->text);
        }
        free(place);
    }
}

static void parse_table(const struct walk *walk, const struct yaml_node *node,
                        const struct yaml_node *place);

static void parse_group(const struct walk *walk, const struct option *option,
                        const struct yaml_node *node, const char *path) {
    bool wrong = node && node->kind != YAML_MAP;
    const struct walk inner = {
        .context = walk->context,
        .table = option->group,
        .path = path,
        .conf = walk->conf + option->offset,
        .enforced = node ? !wrong : walk->enforced && option->required,
    };
    if (wrong) {
        refuse_kind(walk, option, node, path);
    }
    parse_table(&inner, wrong ? NULL : node, node);
}

static void parse_value(const struct walk *walk, const struct option *option,
                        const struct yaml_node *node, const char *path) {
    void *slot = walk->conf + option->offset;
    if (option->type == OPTION_GROUP) {
        parse_group(walk, option, node, path);
    } else if (option->type == OPTION_NODE) {
        *(const struct yaml_node **)slot = node;
    } else if (option->type == OPTION_STRINGS) {
        parse_strings(walk, option, node, path, slot);
    } else if (option->list) {
        parse_list(walk, option, node, path, slot);
    } else {
        parse_scalar(walk, option, node, path, slot);
    }
}

static void parse_given(const struct walk *walk, const struct option *option,
                        const struct yaml_node *key, const struct yaml_node *value) {
    char *path = join(walk->path, option->name);
    if (option->later) {
        option_error(walk->context, key, path, "%s", option->later);
    } else {
        if (option->given) {
            *(bool *)(walk->conf + option->given) = true;
        }
        parse_value(walk, option, value, path);
    }
    free(path);
}

/* A preset goes the way of a text in the file, so that there is one way only; that it passes is
   the table's duty. */
static void parse_preset(const struct walk *walk, const struct option *option, const char *path) {
    struct yaml_node *node;
    struct err err;
    assert(option->type != OPTION_NODE); /* which would point into a tree that is gone */
    if (yaml_parse(span_str(option->preset), "preset", &node, &err) < 0) {
        option_error(walk->context, NULL, path, "%s", err.text);
    } else {
        parse_value(walk, option, node, path);
    }
    yaml_unload(node);
}

static void parse_missing(const struct walk *walk, const struct option *option,
                          const struct yaml_node *place) {
    char *path = join(walk->path, option->name);
    if (option->later) {
        /* stays zero */
    } else if (option->type == OPTION_GROUP) {
        parse_group(walk, option, NULL, path);
    } else if (option->required && walk->enforced) {
        refuse(walk, option, place, path, "is required and missing");
    } else if (option->preset) {
        parse_preset(walk, option, path);
    }
    free(path);
}

static const struct option *find(const struct option *table, const char *name) {
    for (; table->name; table++) {
        if (strcmp(table->name, name) == 0) {
            return table;
        }
    }
    return NULL;
}

/* `node` is a map or NULL; `place` is where what is missing is said to be missing. */
static void parse_table(const struct walk *walk, const struct yaml_node *node,
                        const struct yaml_node *place) {
    size_t count = table_size(walk->table);
    bool *seen = xcalloc(count, sizeof(*seen));
    for (size_t i = 0; node && i < node->count; i++) {
        const struct option *option = find(walk->table, node->keys[i]->text);
        if (!option) {
            unknown_key(walk, node->keys[i]);
            continue;
        }
        /* A second one has been refused by yaml_parse. */
        if (!seen[option - walk->table] && !yaml_is_null(node->items[i])) {
            seen[option - walk->table] = true;
            parse_given(walk, option, node->keys[i], node->items[i]);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!seen[i]) {
            parse_missing(walk, &walk->table[i], place);
        }
    }
    free(seen);
}

int option_parse(struct option_context *context, const struct option *table,
                 const struct yaml_node *node, const char *path, void *conf) {
    int before = context->error_count;
    const struct walk walk = {
        .context = context, .table = table, .path = path, .conf = conf, .enforced = true};
    bool null = yaml_is_null(node);
    if (!null && node->kind != YAML_MAP) {
        refuse_kind(&walk, &(struct option){.type = OPTION_GROUP}, node, path);
    } else {
        parse_table(&walk, null ? NULL : node, node);
    }
    return context->error_count - before;
}

static void free_list(const struct option *option, void *slot) {
    if (option->type == OPTION_CIDR) {
        struct cidr_list *list = slot;
        free(list->items);
        *list = (struct cidr_list){0};
        return;
    }
    if (option->type == OPTION_HOSTPORT) {
        struct hostport_list *list = slot;
        for (size_t i = 0; i < list->count; i++) {
            free(list->items[i].host);
        }
        free(list->items);
        *list = (struct hostport_list){0};
        return;
    }
    struct string_list *list = slot;
    for (size_t i = 0; i < list->count; i++) {
        option_value_free(option->type, &list->items[i]);
    }
    free(list->items);
    *list = (struct string_list){0};
}

static void free_strings(struct string_map *map) {
    for (size_t i = 0; i < map->count; i++) {
        free(map->keys[i]);
        free(map->values[i]);
    }
    free(map->keys);
    free(map->values);
    *map = (struct string_map){0};
}

void option_free(const struct option *table, void *conf) {
    for (; table->name; table++) {
        void *slot = (char *)conf + table->offset;
        if (table->later) {
            continue;
        }
        if (table->type == OPTION_GROUP) {
            option_free(table->group, slot);
        } else if (table->type == OPTION_STRINGS) {
            free_strings(slot);
        } else if (table->list) {
            free_list(table, slot);
        } else {
            option_value_free(table->type, slot);
        }
    }
}
