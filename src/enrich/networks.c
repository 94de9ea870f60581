/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for networks and hosts, from the configuration alone: P_name is the name of the longest
 * prefix, P_trusted tells whether any network around the address is marked trusted. Names are the
 * keys of the settings, so this module reads its settings itself.
 */
#include <stdlib.h>

#include "base/prefixmap.h"
#include "base/xalloc.h"
#include "enrich/enrichers.h"

enum { NAME_MAX_BYTES = 256, NETWORKS_MAX = PREFIXMAP_VALUE_MAX / 2 };

struct network {
    char *name;
    struct cidr_list cidrs;
    bool trusted;
};

struct networks_conf {
    size_t count;
    struct network *networks;
};

/* The map's values are twice the index of a network, plus 1 inside a trusted one. */
struct networks_table {
    struct prefixmap *map;
    bool any_trusted;
    struct span *names; /* of the configuration, which outlives every table */
};

static const struct option network_options[] = {
    {.name = "cidrs",
     .type = OPTION_CIDR,
     .list = true,
     .required = true,
     .offset = offsetof(struct network, cidrs),
     .help = "Prefixes, or addresses of hosts."},
    {.name = "trusted",
     .type = OPTION_BOOLEAN,
     .preset = "false",
     .offset = offsetof(struct network, trusted),
     .help = "P_trusted is true inside."},
    OPTION_END,
};

/* One prefix and where it stands, to find those that stand twice. */
struct claim {
    const struct cidr *cidr;
    const struct network *network;
    size_t order;
};

static int compare_claims(const void *left, const void *right) {
    const struct claim *a = left, *b = right;
    int order = memcmp(a->cidr->addr.bytes, b->cidr->addr.bytes, sizeof(a->cidr->addr.bytes));
    order = order ? order : (int)a->cidr->addr.family - (int)b->cidr->addr.family;
    order = order ? order : (int)a->cidr->bits - (int)b->cidr->bits;
    return order ? order : (a->order > b->order) - (a->order < b->order);
}

static void check_claims(const struct networks_conf *conf, struct option_context *context,
                         const struct yaml_node *node, const char *path) {
    size_t count = 0;
    for (size_t i = 0; i < conf->count; i++) {
        count += conf->networks[i].cidrs.count;
    }
    struct claim *claims = xcalloc(count + 1, sizeof(*claims));
    count = 0;
    for (size_t i = 0; i < conf->count; i++) {
        for (size_t k = 0; k < conf->networks[i].cidrs.count; k++, count++) {
            claims[count] =
                (struct claim){&conf->networks[i].cidrs.items[k], &conf->networks[i], count};
        }
    }
    qsort(claims, count, sizeof(*claims), compare_claims);
    for (size_t i = 1; i < count; i++) {
        const struct cidr *a = claims[i - 1].cidr, *b = claims[i].cidr;
        if (ipaddr_eq(&a->addr, &b->addr) && a->bits == b->bits) {
            char text[IPADDR_TEXT_MAX + 4];
            size_t len = cidr_format(b, text);
            option_error(context, node->items[claims[i].network - conf->networks], path,
                         "%s: %.*s is already in %s; a prefix has one name",
                         claims[i].network->name, (int)len, text, claims[i - 1].network->name);
        }
    }
    free(claims);
}

/* `name: [10.0.0.0/8]` is short for `name: {cidrs: [10.0.0.0/8]}`. */
static int parse_network(struct option_context *context, const struct yaml_node *value,
                         const char *path, struct network *network) {
    struct yaml_node key = {.kind = YAML_SCALAR, .line = value->line, .column = value->column};
    struct yaml_node *keys[] = {&key}, *items[] = {(struct yaml_node *)value};
    struct yaml_node map = {.kind = YAML_MAP,
                            .line = value->line,
                            .column = value->column,
                            .count = 1,
                            .items = items,
                            .keys = keys};
    char cidrs[] = "cidrs";
    key.text = cidrs;
    return option_parse(context, network_options, value->kind == YAML_MAP ? value : &map, path,
                        network);
}

static void init_network(struct option_context *context, const struct yaml_node *key,
                         const struct yaml_node *value, const char *path, struct network *network) {
    char *place = xasprintf("%s.%s", path, key->text);
    network->name = xstrdup(key->text);
    if (key->text[0] == '\0' || strlen(key->text) > NAME_MAX_BYTES) {
        option_error(context, key, path, "the name of a network has 1 to %d bytes", NAME_MAX_BYTES);
    }
    parse_network(context, value, place, network);
    for (size_t i = 0; network->trusted && i < network->cidrs.count; i++) {
        if (network->cidrs.items[i].bits == 0) {
            option_error(context, value, place, "the whole Internet cannot be trusted");
        }
    }
    free(place);
}

static void networks_init(void *memory, struct option_context *context,
                          const struct yaml_node *node, const char *path) {
    struct networks_conf *conf = memory;
    if (yaml_is_null(node)) {
        return;
    }
    if (node->kind != YAML_MAP || node->count > NETWORKS_MAX) {
        option_error(context, node, path,
                     "must be a map of names, such as my_office: [203.0.113.0/24]");
        return;
    }
    conf->networks = xcalloc(node->count + 1, sizeof(*conf->networks));
    for (; conf->count < node->count; conf->count++) {
        init_network(context, node->keys[conf->count], node->items[conf->count], path,
                     &conf->networks[conf->count]);
    }
    check_claims(conf, context, node, path);
}

static void networks_done(void *memory) {
    struct networks_conf *conf = memory;
    for (size_t i = 0; i < conf->count; i++) {
        free(conf->networks[i].name);
        option_free(network_options, &conf->networks[i]);
    }
    free(conf->networks);
}

/* The inner network gives the name; trust is inherited. */
static uint32_t combine(void *context, uint32_t outer, uint32_t inner) {
    (void)context;
    return inner | (outer & 1);
}

static int networks_load(const void *memory, struct buf *report, void **out, struct err *err) {
    const struct networks_conf *conf = memory;
    (void)err;
    struct networks_table *table = xcalloc(1, sizeof(*table));
    struct prefixmap_builder *builder = prefixmap_begin(combine, NULL);
    size_t prefixes = 0;
    table->names = xcalloc(conf->count + 1, sizeof(*table->names));
    for (size_t i = 0; i < conf->count; i++) {
        const struct network *network = &conf->networks[i];
        table->names[i] = span_str(network->name);
        table->any_trusted |= network->trusted;
        for (size_t k = 0; k < network->cidrs.count; k++, prefixes++) {
            prefixmap_add(builder, &network->cidrs.items[k], (uint32_t)(i * 2 + network->trusted));
        }
    }
    table->map = prefixmap_finish(builder);
    buf_printf(report, "networks: %zu names for %zu prefixes\n", conf->count, prefixes);
    *out = table;
    return 0;
}

static void networks_unload(void *memory) {
    struct networks_table *table = memory;
    prefixmap_free(table->map);
    free(table->names);
    free(table);
}

static void networks_describe(const void *memory, uint64_t scope, const struct ipaddr *addr,
                              int64_t time_s, struct dossier *dossier) {
    const struct networks_table *table = memory;
    (void)scope;
    (void)time_s;
    uint32_t value = prefixmap_find(table->map, addr);
    bool is_known = value != PREFIXMAP_NONE, is_trusted = is_known && value % 2 == 1;
    if (is_known) {
        dossier_text(dossier, NOTE_NAME, table->names[value / 2]);
    }
    if (table->any_trusted) {
        dossier->facts |= is_trusted ? FACT_TRUSTED : 0;
        dossier_truth(dossier, NOTE_TRUSTED, span_of(NULL, 0), is_trusted);
    }
}

const struct enricher_type enrich_networks_type = {
    .name = "networks",
    .help = "Names for your networks and hosts, IPv4 and IPv6: a map of names to prefixes, "
            "`my_office: [203.0.113.0/24]` or `vpn: {cidrs: [2001:db8::/32], trusted: true}`. "
            "P_name is the name of the longest prefix; P_trusted is there as soon as one network "
            "is trusted, and true inside any trusted one.",
    .sample = "my_office: [203.0.113.0/24]",
    .conf_size = sizeof(struct networks_conf),
    .init = networks_init,
    .done = networks_done,
    .load = networks_load,
    .unload = networks_unload,
    .describe = networks_describe,
};
