/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of an enricher. Address enrichers answer "what is this address?", once per address;
 * flow enrichers answer "what is this flow?", once per flow, from its columns and dossiers. Both
 * read an immutable table that the refresher loads and swaps in whole.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "config/option.h"
#include "core/dossier.h"
#include "flow/flow.h"

struct enricher_type {
    const char *name; /* key under `enrich:` */
    const char *help;
    const struct option *options; /* NULL: a map of free names, which init reads itself */
    const char *sample;           /* an entry of such a map, for the sample configuration */
    size_t conf_size;
    bool by_default; /* runs also when the configuration does not name it */

    /* As input_type.init and done. */
    void (*init)(void *conf, struct option_context *context, const struct yaml_node *node,
                 const char *path);
    void (*done)(void *conf);

    /*
     * Builds a table from conf and the files it names. Slow; may allocate and fail: ERR_CONFIG
     * names the file and what is wrong. Bad lines of a feed are no failure: they are counted and
     * told in `report`, which gets one line on what was loaded from where ("geo: City 2024-01-02,
     * 12 MB").
     */
    int (*load)(const void *conf, struct buf *report, void **table, struct err *err);
    void (*unload)(void *table);

    /* Paths of the files that load reads, one call per index from 0; NULL behind the last. The
       refresher loads anew when one of them changes. NULL as member: there are none. */
    const char *(*file)(const void *conf, size_t index);

    /*
     * Address enrichers only (else NULL): adds to the dossier of `addr` in `scope` (a hash of the
     * VPC, 0 when not known) at record time `time_s`. Neither fails, blocks, locks nor allocates.
     */
    void (*describe)(const void *table, uint64_t scope, const struct ipaddr *addr, int64_t time_s,
                     struct dossier *dossier);

    /* Flow enrichers only (else NULL): adds notes to the flow. Same promises. */
    void (*apply)(const void *table, struct flow *flow);
};
