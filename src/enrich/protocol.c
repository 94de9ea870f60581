/* SPDX-License-Identifier: Apache-2.0 */
/* The name of a flow's protocol: one read of a table made by the compiler from protocols.def. */
#include "enrich/bare.h"
#include "enrich/enrichers.h"

#define PROTOCOL(number, text) [number] = {text, sizeof(text) - 1},
static const struct span names[256] = {
#include "enrich/protocols.def"
};
#undef PROTOCOL

static void protocol_apply(const void *table, struct flow *flow) {
    (void)table;
    if (flow->has & HAS_PROTOCOL) {
        struct span name = names[flow->protocol];
        flow_note_word(flow, NOTE_PROTOCOL, name.len > 0 ? name : SPAN("UNKNOWN"));
    }
}

const struct enricher_type enrich_protocol_type = {
    .name = "protocol",
    .help = "Adds the protocol's name: TCP, UDP, ICMP, IPV6-ICMP ... or UNKNOWN.",
    .options = bare_options,
    .by_default = true,
    .load = bare_load,
    .unload = bare_unload,
    .apply = protocol_apply,
};
