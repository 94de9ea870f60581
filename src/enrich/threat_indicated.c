/* SPDX-License-Identifier: Apache-2.0 */
/* Does any feed list any address of the flow? Absent while no feed is loaded. */
#include "enrich/bare.h"
#include "enrich/enrichers.h"

static void threat_indicated_apply(const void *table, struct flow *flow) {
    uint32_t facts = 0;
    (void)table;
    for (int side = 0; side < SIDE_COUNT; side++) {
        facts |= flow->side[side].facts;
    }
    if (facts & FACT_THREAT_KNOWN) {
        flow_note_truth(flow, NOTE_THREAT_INDICATED, facts & FACT_THREAT);
    }
}

const struct enricher_type enrich_threat_indicated_type = {
    .name = "threat_indicated",
    .help = "Adds threat_indicated: whether a feed lists any address of the flow.",
    .options = bare_options,
    .by_default = true,
    .load = bare_load,
    .unload = bare_unload,
    .apply = threat_indicated_apply,
};
