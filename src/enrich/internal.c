/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is an address one of ours? True for what nobody routes on the Internet (RFC 1918, unique local,
 * link-local, loopback) and for configured networks. The other enrichers rely on the fact that is
 * set here, so this one runs first.
 */
#include "base/prefixmap.h"
#include "enrich/enrichers.h"

#include <assert.h>

struct internal_conf {
    struct cidr_list networks;
};

/* RFC 1918, RFC 4193, RFC 3927, RFC 4291 2.5.6, RFC 1122 3.2.1.3, RFC 4291 2.5.3. */
static const char *const always[] = {"10.0.0.0/8",  "172.16.0.0/12",  "192.168.0.0/16",
                                     "fc00::/7",    "169.254.0.0/16", "fe80::/10",
                                     "127.0.0.0/8", "::1/128"};

static void internal_init(void *memory, struct option_context *context,
                          const struct yaml_node *node, const char *path) {
    const struct internal_conf *conf = memory;
    const struct yaml_node *list = yaml_get(node, "networks");
    for (size_t i = 0; i < conf->networks.count; i++) {
        const struct cidr *cidr = &conf->networks.items[i];
        if (cidr->addr.family != IPADDR_NONE && cidr->bits == 0) {
            const struct yaml_node *item = list->kind == YAML_LIST ? list->items[i] : list;
            option_error(context, item, path,
                         "networks: the whole Internet cannot be internal; name your own networks");
        }
    }
}

static int internal_load(const void *memory, struct buf *report, void **table, struct err *err) {
    const struct internal_conf *conf = memory;
    (void)err;
    struct prefixmap_builder *builder = prefixmap_begin(NULL, NULL);
    for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
        struct cidr prefix;
        int result = cidr_parse(span_str(always[i]), &prefix, NULL);
        assert(result == 0);
        prefixmap_add(builder, &prefix, 0);
    }
    for (size_t i = 0; i < conf->networks.count; i++) {
        prefixmap_add(builder, &conf->networks.items[i], 0);
    }
    *table = prefixmap_finish(builder);
    buf_printf(report, "internal: private ranges and %zu configured network%s\n",
               conf->networks.count, conf->networks.count == 1 ? "" : "s");
    return 0;
}

static void internal_unload(void *table) {
    prefixmap_free(table);
}

static void internal_describe(const void *table, uint64_t scope, const struct ipaddr *addr,
                              int64_t time_s, struct dossier *dossier) {
    (void)scope;
    (void)time_s;
    bool is_internal = prefixmap_find(table, addr) != PREFIXMAP_NONE;
    dossier->facts |= is_internal ? FACT_INTERNAL : 0;
    dossier_truth(dossier, NOTE_INTERNAL, span_of(NULL, 0), is_internal);
}

static const struct option options[] = {
    {.name = "networks",
     .type = OPTION_CIDR,
     .list = true,
     .offset = offsetof(struct internal_conf, networks),
     .sample = "[198.18.0.0/15, 2001:db8:100::/40]",
     .help = "Networks of yours besides RFC 1918, unique local (fc00::/7), link-local and "
             "loopback: public ranges you own, or 100.64.0.0/10 where you use it."},
    OPTION_END,
};

const struct enricher_type enrich_internal_type = {
    .name = "internal",
    .help = "Tells your own addresses from those of others: P_internal is true or false.",
    .options = options,
    .conf_size = sizeof(struct internal_conf),
    .by_default = true,
    .init = internal_init,
    .load = internal_load,
    .unload = internal_unload,
    .describe = internal_describe,
};
