/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which way a flow goes at the recording interface: what the record says (the encoder sends that
 * column itself), else what the interface's addresses say. Sets flow->direction, on which role and
 * others rely.
 */
#include "enrich/bare.h"
#include "enrich/enrichers.h"

static bool is_own(const struct iface *iface, const struct ipaddr *addr) {
    for (size_t i = 0; i < iface->addr_count; i++) {
        if (ipaddr_eq(&iface->addrs[i], addr)) {
            return true;
        }
    }
    return false;
}

static enum flow_direction direction_of_column(struct span text) {
    if (span_eq(text, SPAN("ingress"))) {
        return DIRECTION_INGRESS;
    }
    return span_eq(text, SPAN("egress")) ? DIRECTION_EGRESS : DIRECTION_NONE;
}

/* None where both ends are the interface's own, or neither is (a NAT gateway, a middlebox). */
static enum flow_direction direction_of_iface(const struct flow *flow) {
    bool from_own = flow->has & HAS_SRC && is_own(flow->iface, &flow->addr[SIDE_SRC]);
    bool to_own = flow->has & HAS_DST && is_own(flow->iface, &flow->addr[SIDE_DST]);
    if (from_own == to_own) {
        return DIRECTION_NONE;
    }
    return to_own ? DIRECTION_INGRESS : DIRECTION_EGRESS;
}

static void direction_apply(const void *table, struct flow *flow) {
    (void)table;
    struct span column = flow_column(flow, FIELD_FLOW_DIRECTION);
    if (column.len > 0) {
        flow->direction = direction_of_column(column);
        return;
    }
    flow->direction = flow->iface ? direction_of_iface(flow) : DIRECTION_NONE;
    if (flow->direction != DIRECTION_NONE) {
        flow_note_word(flow, NOTE_FLOW_DIRECTION,
                       flow->direction == DIRECTION_INGRESS ? SPAN("ingress") : SPAN("egress"));
    }
}

const struct enricher_type enrich_direction_type = {
    .name = "direction",
    .help = "Adds flow_direction (ingress or egress) where the record lacks it and the addresses "
            "of the recording interface tell.",
    .options = bare_options,
    .by_default = true,
    .load = bare_load,
    .unload = bare_unload,
    .apply = direction_apply,
};
