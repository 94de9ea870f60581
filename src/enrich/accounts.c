/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for AWS accounts, from the configuration alone. Account ids are the keys of the settings,
 * so this module reads its settings itself.
 */
#include <ctype.h>
#include <stdlib.h>

#include "base/intern.h"
#include "base/xalloc.h"
#include "enrich/enrichers.h"

enum { ACCOUNT_DIGITS = 12, NAME_MAX_BYTES = 256 };

struct accounts_conf {
    struct string_map names;
};

struct accounts_table {
    struct intern *ids;
    struct span *names; /* by number of the id; of the configuration, which outlives the table */
};

static bool is_account_id(const char *text) {
    size_t digits = 0;
    while (isdigit((unsigned char)text[digits])) {
        digits++;
    }
    return digits == ACCOUNT_DIGITS && text[digits] == '\0';
}

static void init_account(struct string_map *map, struct option_context *context,
                         const struct yaml_node *key, const struct yaml_node *value,
                         const char *path) {
    if (!is_account_id(key->text)) {
        option_error(context, key, path, "\"%s\" is not an account id, which has %d digits",
                     key->text, ACCOUNT_DIGITS);
    } else if (value->kind != YAML_SCALAR || yaml_is_null(value) ||
               strlen(value->text) > NAME_MAX_BYTES) {
        option_error(context, value, path, "the name of account %s must be a text of 1 to %d bytes",
                     key->text, NAME_MAX_BYTES);
    } else {
        map->keys[map->count] = xstrdup(key->text);
        map->values[map->count++] = xstrdup(value->text);
    }
}

static void accounts_init(void *memory, struct option_context *context,
                          const struct yaml_node *node, const char *path) {
    struct accounts_conf *conf = memory;
    if (yaml_is_null(node)) {
        return;
    }
    if (node->kind != YAML_MAP) {
        option_error(context, node, path,
                     "must be a map of account ids to names, such as \"123456789012\": production");
        return;
    }
    conf->names.keys = xcalloc(node->count + 1, sizeof(char *));
    conf->names.values = xcalloc(node->count + 1, sizeof(char *));
    for (size_t i = 0; i < node->count; i++) {
        init_account(&conf->names, context, node->keys[i], node->items[i], path);
    }
}

static void accounts_done(void *memory) {
    struct accounts_conf *conf = memory;
    for (size_t i = 0; i < conf->names.count; i++) {
        free(conf->names.keys[i]);
        free(conf->names.values[i]);
    }
    free(conf->names.keys);
    free(conf->names.values);
}

static int accounts_load(const void *memory, struct buf *report, void **out, struct err *err) {
    const struct accounts_conf *conf = memory;
    struct accounts_table *table = xcalloc(1, sizeof(*table));
    (void)err;
    table->ids = intern_open();
    table->names = xcalloc(conf->names.count + 1, sizeof(*table->names));
    for (size_t i = 0; i < conf->names.count; i++) {
        uint32_t id = intern_add(table->ids, span_str(conf->names.keys[i]));
        table->names[id] = span_str(conf->names.values[i]);
    }
    buf_printf(report, "accounts: %zu names\n", conf->names.count);
    *out = table;
    return 0;
}

static void accounts_unload(void *memory) {
    struct accounts_table *table = memory;
    intern_close(table->ids);
    free(table->names);
    free(table);
}

static void accounts_apply(const void *memory, struct flow *flow) {
    const struct accounts_table *table = memory;
    struct span account = flow_column(flow, FIELD_ACCOUNT_ID);
    if (account.len == ACCOUNT_DIGITS) {
        uint32_t id = intern_find(table->ids, account);
        if (id != INTERN_NONE) {
            flow_note_text(flow, NOTE_ACCOUNT_NAME, table->names[id]);
        }
    }
}

const struct enricher_type enrich_accounts_type = {
    .name = "accounts",
    .help = "Names for AWS accounts: a map such as `\"123456789012\": production`. Adds "
            "account_name.",
    .sample = "\"123456789012\": production",
    .conf_size = sizeof(struct accounts_conf),
    .init = accounts_init,
    .done = accounts_done,
    .load = accounts_load,
    .unload = accounts_unload,
    .apply = accounts_apply,
};
