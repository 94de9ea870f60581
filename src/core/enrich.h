/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Enriches one flow: looks up the dossiers of its addresses and lets the flow enrichers add their
 * notes, by the tables of one snapshot. Used by the worker for every flow.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/dossier.h"
#include "core/snapshot.h"
#include "flow/flow.h"

/* Enriches `flow`; `now_ms` is monotonic. Allocates nothing, cannot fail. */
void enrich_flow(struct dossier_cache *cache, const struct snapshot *snapshot, int64_t now_ms,
                 struct flow *flow);

/* Lets the processor fetch what enrich_flow will look up for each of the flows. */
void enrich_prefetch(const struct dossier_cache *cache, const struct flow *flows, size_t count);
