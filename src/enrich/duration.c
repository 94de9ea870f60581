/* SPDX-License-Identifier: Apache-2.0 */
/* The length of the capture window of a flow: `end` minus `start`, in seconds. */
#include "enrich/bare.h"
#include "enrich/enrichers.h"

static void duration_apply(const void *table, struct flow *flow) {
    (void)table;
    if ((flow->has & HAS_START) && (flow->has & HAS_END)) {
        flow_note_number(flow, NOTE_CAPTURE_WINDOW, flow->end - flow->start);
    }
}

const struct enricher_type enrich_duration_type = {
    .name = "duration",
    .help = "Adds capture_window_duration_seconds, which is end minus start.",
    .options = bare_options,
    .by_default = true,
    .load = bare_load,
    .unload = bare_unload,
    .apply = duration_apply,
};
