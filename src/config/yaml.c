/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See yaml.h. libyaml's events become a tree by recursion, whose depth is bounded. What libyaml
 * itself refuses ends the parse; what only we refuse (keys that stand twice, aliases, tags) is
 * noted and the parse goes on, so that a person sees all of it at once.
 */
#include "config/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
#include <yaml.h>

#include "base/buf.h"
#include "base/xalloc.h"

enum { FILE_MAX = 4 * 1024 * 1024, FAULTS_MAX = 4096, KEY_SHOWN_MAX = 60 };

struct builder {
    yaml_parser_t parser;
    struct span text;
    const char *name;
    size_t nodes;
    struct buf faults; /* one line each, '\n' between them */
};

/* What libyaml's terse problems mostly come from. */
static const struct {
    const char *problem;
    const char *advice;
} advices[] = {
    {"did not find expected key", "is this line indented as the ones around it?"},
    {"did not find expected '-' indicator", "is this line indented as the items around it?"},
    {"mapping values are not allowed in this context",
     "a second \": \" in one line, a \":\" missing in the line before, or wrong indentation; a "
     "text that holds \": \" needs quotes"},
    {"block sequence entries are not allowed in this context",
     "a \"- \" starts a list item on a line of its own"},
    {"could not find expected ':'", "every line of a map is \"name: value\""},
    {"did not find expected ',' or '}'", "is a } or a comma missing before this?"},
    {"did not find expected ',' or ']'", "is a ] or a comma missing before this?"},
    {"found unexpected end of stream", "is a closing quote missing?"},
    {"did not find expected alphabetic or numeric character",
     "put a value that starts with * or & into quotes"},
    {"found unknown escape character",
     "a backslash in \"double quotes\" starts an escape; 'single quotes' take it as it is"},
    {"found character that cannot start any token",
     "put a value that starts with @, ` or % into quotes"},
};

static void fault_at(struct builder *builder, yaml_mark_t mark, const char *text) {
    buf_printf(&builder->faults, "%s%s:%zu:%zu: %s", builder->faults.len > 0 ? "\n" : "",
               builder->name, mark.line + 1, mark.column + 1, text);
}

/* Whether the indentation of a line (from 0) holds a tab, the most frequent mistake of all. */
static bool is_indented_by_tab(struct span text, size_t line) {
    struct span part = {0};
    for (size_t i = 0; i <= line; i++) {
        if (!span_cut(&text, '\n', &part)) {
            return false;
        }
    }
    size_t blanks = 0;
    while (blanks < part.len && part.p[blanks] == ' ') {
        blanks++;
    }
    return blanks < part.len && part.p[blanks] == '\t';
}

static const char *advice_for(const struct builder *builder) {
    const yaml_parser_t *parser = &builder->parser;
    if (is_indented_by_tab(builder->text, parser->problem_mark.line)) {
        return "this line is indented with a tab; YAML takes blanks only";
    }
    for (size_t i = 0; i < sizeof(advices) / sizeof(advices[0]); i++) {
        if (strcmp(parser->problem, advices[i].problem) == 0) {
            return advices[i].advice;
        }
    }
    return NULL;
}

/* The place of a byte that libyaml's reader refused (it gives an offset, no mark). */
static yaml_mark_t mark_of_offset(struct span text, size_t offset) {
    yaml_mark_t mark = {.index = offset};
    for (size_t i = 0; i < offset && i < text.len; i++) {
        mark.column = text.p[i] == '\n' ? 0 : mark.column + 1;
        mark.line += text.p[i] == '\n';
    }
    return mark;
}

static int syntax_error(struct builder *builder) {
    const yaml_parser_t *parser = &builder->parser;
    bool reader = parser->error == YAML_READER_ERROR;
    yaml_mark_t mark =
        reader ? mark_of_offset(builder->text, parser->problem_offset) : parser->problem_mark;
    const char *problem = parser->problem ? parser->problem : "cannot be read as YAML";
    const char *advice = reader            ? "a byte or character that may not stand in UTF-8 text"
                         : parser->problem ? advice_for(builder)
                                           : NULL;
    struct buf text;
    buf_init(&text, FAULTS_MAX);
    buf_printf(&text, "not valid YAML: %s", problem);
    if (parser->context && !reader) {
        buf_printf(&text, " %s", parser->context);
    }
    if (parser->context && !reader && parser->context_mark.line != mark.line) {
        buf_printf(&text, ", begun in line %zu", parser->context_mark.line + 1);
    }
    if (advice) {
        buf_printf(&text, " (%s)", advice);
    }
    fault_at(builder, mark, buf_cstr(&text));
    buf_done(&text);
    return -1;
}

static int next_event(struct builder *builder, yaml_event_t *event) {
    return yaml_parser_parse(&builder->parser, event) ? 0 : syntax_error(builder);
}

static void refuse_tag(struct builder *builder, const yaml_event_t *event) {
    const yaml_char_t *tag = NULL;
    if (event->type == YAML_SCALAR_EVENT) {
        tag = event->data.scalar.tag;
    } else if (event->type == YAML_SEQUENCE_START_EVENT) {
        tag = event->data.sequence_start.tag;
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        tag = event->data.mapping_start.tag;
    }
    if (tag) {
        fault_at(builder, event->start_mark, "YAML tags (\"!...\") are not allowed here");
    }
}

static struct yaml_node *new_node(enum yaml_kind kind, yaml_mark_t mark) {
    struct yaml_node *node = xcalloc(1, sizeof(*node));
    node->kind = kind;
    node->line = (int)mark.line + 1;
    node->column = (int)mark.column + 1;
    return node;
}

static struct yaml_node *new_scalar(struct builder *builder, const yaml_event_t *event) {
    struct yaml_node *node = new_node(YAML_SCALAR, event->start_mark);
    if (event->type == YAML_ALIAS_EVENT) {
        fault_at(builder, event->start_mark,
                 "YAML aliases (\"*name\") are not allowed; write the "
                 "value again, or put it into quotes");
        node->text = xstrdup("");
        node->plain = true;
        return node;
    }
    struct span text = span_of((const char *)event->data.scalar.value, event->data.scalar.length);
    if (text.len > 0 && memchr(text.p, '\0', text.len)) {
        fault_at(builder, event->start_mark, "a NUL character (\\0) is not allowed in a text");
    }
    node->text = xstrdup_span(text);
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    return node;
}

static int build(struct builder *builder, const yaml_event_t *event, int depth,
                 struct yaml_node **node);

/* Reads on to the next child of a list or map. 1 with *child, 0 at the end, -1. */
static int next_child(struct builder *builder, int depth, struct yaml_node **child) {
    yaml_event_t event;
    *child = NULL;
    if (next_event(builder, &event) < 0) {
        return -1;
    }
    bool end = event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT;
    int result = end ? 0 : build(builder, &event, depth, child) < 0 ? -1 : 1;
    yaml_event_delete(&event);
    return result;
}

/* Room for one more in items (and keys); the power of two is found again from the count. */
static void grow(struct yaml_node *node) {
    size_t count = node->count;
    if ((count & (count - 1)) != 0) {
        return;
    }
    size_t room = count ? count * 2 : 1;
    node->items = xreallocarray(node->items, room, sizeof(struct yaml_node *));
    if (node->kind == YAML_MAP) {
        node->keys = xreallocarray(node->keys, room, sizeof(struct yaml_node *));
    }
}

static int build_list(struct builder *builder, int depth, struct yaml_node *list) {
    struct yaml_node *item;
    int more;
    while ((more = next_child(builder, depth, &item)) > 0) {
        grow(list);
        list->items[list->count++] = item;
    }
    return more;
}

/* What a key may not be. Says so and returns false when it cannot stand in a tree. */
static bool key_is_fit(struct builder *builder, const struct yaml_node *key) {
    yaml_mark_t mark = {.line = (size_t)key->line - 1, .column = (size_t)key->column - 1};
    if (key->kind != YAML_SCALAR) {
        fault_at(builder, mark,
                 "the name of a setting must be a text, not a list or a map "
                 "(a value that starts with { or [ needs quotes)");
        return false;
    }
    if (key->plain && strcmp(key->text, "<<") == 0) {
        fault_at(builder, mark, "YAML merge keys (\"<<\") are not allowed");
        return false;
    }
    return true;
}

static int build_map(struct builder *builder, int depth, struct yaml_node *map) {
    struct yaml_node *key, *value;
    int more;
    while ((more = next_child(builder, depth, &key)) > 0) {
        if (next_child(builder, depth, &value) < 0) {
            yaml_unload(key);
            return -1;
        }
        if (!key_is_fit(builder, key)) {
            yaml_unload(key);
            yaml_unload(value);
            continue;
        }
        grow(map);
        map->keys[map->count] = key;
        map->items[map->count++] = value;
    }
    return more;
}

static int compare_keys(const void *a, const void *b) {
    const struct yaml_node *left = *(struct yaml_node *const *)a;
    const struct yaml_node *right = *(struct yaml_node *const *)b;
    int order = strcmp(left->text, right->text);
    if (order != 0) {
        return order;
    }
    return left->line != right->line ? left->line - right->line : left->column - right->column;
}

/* Sorted, because a map of a hundred thousand keys must not take a minute. */
static void find_repeated_keys(struct builder *builder, const struct yaml_node *map) {
    if (map->count < 2) {
        return;
    }
    struct yaml_node **sorted = xreallocarray(NULL, map->count, sizeof(*sorted));
    memcpy(sorted, map->keys, map->count * sizeof(*sorted));
    qsort(sorted, map->count, sizeof(*sorted), compare_keys);
    for (size_t i = 1; i < map->count; i++) {
        if (strcmp(sorted[i - 1]->text, sorted[i]->text) != 0) {
            continue;
        }
        char text[KEY_SHOWN_MAX + 80];
        snprintf(text, sizeof(text), "\"%.*s\" is set twice: in line %d and again in line %d",
                 KEY_SHOWN_MAX, sorted[i]->text, sorted[i - 1]->line, sorted[i]->line);
        fault_at(builder,
                 (yaml_mark_t){.line = (size_t)sorted[i]->line - 1,
                               .column = (size_t)sorted[i]->column - 1},
                 text);
    }
    free(sorted);
}

static int check_ceilings(struct builder *builder, const yaml_event_t *event, int depth) {
    char text[80];
    if (depth > YAML_DEPTH_MAX) {
        snprintf(text, sizeof(text), "nested deeper than %d levels", YAML_DEPTH_MAX);
    } else if (++builder->nodes > YAML_NODES_MAX) {
        snprintf(text, sizeof(text), "more than %d values in one file", YAML_NODES_MAX);
    } else {
        return 0;
    }
    fault_at(builder, event->start_mark, text);
    return -1;
}

static int build(struct builder *builder, const yaml_event_t *event, int depth,
                 struct yaml_node **node) {
    int result = 0;
    *node = NULL;
    if (check_ceilings(builder, event, depth) < 0) {
        return -1;
    }
    refuse_tag(builder, event);
    if (event->type == YAML_SEQUENCE_START_EVENT) {
        *node = new_node(YAML_LIST, event->start_mark);
        result = build_list(builder, depth + 1, *node);
    } else if (event->type == YAML_MAPPING_START_EVENT) {
        *node = new_node(YAML_MAP, event->start_mark);
        result = build_map(builder, depth + 1, *node);
        find_repeated_keys(builder, *node);
    } else {
        *node = new_scalar(builder, event);
    }
    if (result < 0) {
        yaml_unload(*node);
        *node = NULL;
    }
    return result;
}

/* The one document of the stream. A stream without any is a document that says nothing. */
static int build_document(struct builder *builder, struct yaml_node **root) {
    yaml_event_t event = {0};
    bool end = false;
    int result = 0;
    while (result == 0 && !end) {
        if (next_event(builder, &event) < 0) {
            return -1;
        }
        end = event.type == YAML_STREAM_END_EVENT;
        if (event.type == YAML_DOCUMENT_START_EVENT && *root) {
            fault_at(builder, event.start_mark, "a second document (\"---\") is not allowed");
            result = -1;
        } else if (event.type != YAML_STREAM_START_EVENT && !end &&
                   event.type != YAML_DOCUMENT_START_EVENT &&
                   event.type != YAML_DOCUMENT_END_EVENT) {
            result = build(builder, &event, 1, root);
        }
        yaml_event_delete(&event);
    }
    if (result == 0 && !*root) {
        *root = new_node(YAML_SCALAR, (yaml_mark_t){0});
        (*root)->text = xstrdup("");
        (*root)->plain = true;
    }
    return result;
}

int yaml_parse(struct span text, const char *name, struct yaml_node **root, struct err *err) {
    struct builder builder = {.text = text, .name = name};
    *root = NULL;
    if (text.len > FILE_MAX) {
        return err_set(err, ERR_CONFIG, "%s:1:1: larger than 4 MiB", name);
    }
    if (!yaml_parser_initialize(&builder.parser)) {
        return err_set(err, ERR_STOP, "%s: libyaml cannot be started", name);
    }
    buf_init(&builder.faults, FAULTS_MAX);
    yaml_parser_set_input_string(&builder.parser, (const unsigned char *)text.p, text.len);
    if (build_document(&builder, root) < 0) {
        yaml_unload(*root);
        *root = NULL;
    }
    yaml_parser_delete(&builder.parser);
    int result = 0;
    if (builder.faults.len > 0 || builder.faults.overflow) {
        result = err_set(err, ERR_CONFIG, "%s", buf_cstr(&builder.faults));
    }
    buf_done(&builder.faults);
    return result;
}

int yaml_load(const char *path, struct yaml_node **root, struct err *err) {
    *root = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return err_sys(err, ERR_CONFIG, "%s: cannot be opened", path);
    }
    struct buf text;
    buf_init(&text, FILE_MAX + 1);
    ssize_t got = 1;
    while (got > 0 && text.len <= FILE_MAX) {
        /* A file that fills the ceiling to its last byte is refused by yaml_parse. */
        size_t want = FILE_MAX + 1 - text.len < 65536 ? FILE_MAX + 1 - text.len : 65536;
        buf_reserve(&text, want);
        got = read(fd, text.data + text.len, want);
        text.len += got > 0 ? (size_t)got : 0;
    }
    int result = got < 0 ? err_sys(err, ERR_CONFIG, "%s: cannot be read", path)
                         : yaml_parse(buf_span(&text), path, root, err);
    close(fd);
    buf_done(&text);
    return result;
}

struct yaml_node *yaml_get(const struct yaml_node *map, const char *key) {
    if (!map || map->kind != YAML_MAP) {
        return NULL;
    }
    for (size_t i = 0; i < map->count; i++) {
        if (strcmp(map->keys[i]->text, key) == 0) {
            return map->items[i];
        }
    }
    return NULL;
}

bool yaml_is_null(const struct yaml_node *node) {
    if (!node) {
        return true;
    }
    return node->kind == YAML_SCALAR && node->plain &&
           (strcmp(node->text, "") == 0 || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}

void yaml_unload(struct yaml_node *root) {
    if (!root) {
        return;
    }
    for (size_t i = 0; i < root->count; i++) {
        yaml_unload(root->items[i]);
        if (root->keys) {
            yaml_unload(root->keys[i]);
        }
    }
    free(root->items);
    free(root->keys);
    free(root->text);
    free(root);
}
