/* SPDX-License-Identifier: Apache-2.0 */
/* See enrich.h. */
#include "core/enrich.h"

#include <xxhash.h>

/* The VPC that a side's address belongs to: Transit Gateway records have one for each side. */
static const enum field_id side_vpc[SIDE_COUNT] = {
    [SIDE_SRC] = FIELD_TGW_SRC_VPC_ID,
    [SIDE_DST] = FIELD_TGW_DST_VPC_ID,
    [SIDE_PKT_SRC] = FIELD_TGW_SRC_VPC_ID,
    [SIDE_PKT_DST] = FIELD_TGW_DST_VPC_ID,
};

/* 0 where the record names no VPC. */
static uint64_t side_scope(const struct flow *flow, enum flow_side side) {
    struct span vpc = flow_column(flow, FIELD_VPC_ID);
    if (vpc.len == 0) {
        vpc = flow_column(flow, side_vpc[side]);
    }
    return vpc.len == 0 ? 0 : XXH3_64bits(vpc.p, vpc.len);
}

/* Whether a side has an address that needs a dossier of its own: a packet's address that equals
   the record's has nothing to add. */
static bool needs_dossier(const struct flow *flow, enum flow_side side) {
    if (!(flow->has & 1 << side)) {
        return false;
    }
    enum flow_side twin = side == SIDE_PKT_SRC ? SIDE_SRC : SIDE_DST;
    return side < SIDE_PKT_SRC || !(flow->has & 1 << twin) ||
           !ipaddr_eq(&flow->addr[side], &flow->addr[twin]);
}

/* The time that decides who had an address: the flow's end, else its start, else now. */
static int64_t flow_time_s(const struct flow *flow) {
    if (flow->has & HAS_END) {
        return flow->end;
    }
    return flow->has & HAS_START ? flow->start : flow->record->arrival_ms / 1000;
}

void enrich_flow(struct dossier_cache *cache, const struct snapshot *snapshot, int64_t now_ms,
                 struct flow *flow) {
    int64_t time_s = flow_time_s(flow);
    for (enum flow_side side = 0; side < SIDE_COUNT; side++) {
        if (needs_dossier(flow, side)) {
            dossier_look_up(cache, side, side_scope(flow, side), &flow->addr[side], time_s, now_ms,
                            snapshot->sources, snapshot->count, &flow->side[side]);
        } else {
            flow->side[side] = (struct dossier_view){0};
        }
    }
    for (size_t i = 0; i < snapshot->count; i++) {
        if (snapshot->sources[i].type->apply) {
            snapshot->sources[i].type->apply(snapshot->sources[i].table, flow);
        }
    }
}

typedef void (*prefetch)(const struct dossier_cache *cache, enum flow_side side, uint64_t scope,
                         const struct ipaddr *addr);

static inline void prefetch_all(const struct dossier_cache *cache, const struct flow *flows,
                                size_t count, prefetch fetch) {
    for (size_t i = 0; i < count; i++) {
        for (enum flow_side side = SIDE_SRC; side <= SIDE_DST; side++) {
            if (flows[i].bad == BAD_NONE && flows[i].has & 1 << side) {
                fetch(cache, side, side_scope(&flows[i], side), &flows[i].addr[side]);
            }
        }
    }
}

void enrich_prefetch(const struct dossier_cache *cache, const struct flow *flows, size_t count) {
    prefetch_all(cache, flows, count, dossier_prefetch_bucket);
    prefetch_all(cache, flows, count, dossier_prefetch_entry);
}
