/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Counters of a worker, from one table (counters.def, and bad.def for bad lines by reason). A
 * worker gathers them from its parts once a second and publishes a copy under a lock; whoever
 * prints adds the copies up.
 */
#pragma once

#include <stdint.h>

#include "base/buf.h"
#include "core/decoder.h"
#include "flow/flow.h"

#define COUNTER(id, name, help) COUNTER_##id,
enum counter_id {
#include "core/counters.def"
    COUNTER_COUNT,
};
#undef COUNTER

struct counter {
    const char *name, *help;
};

extern const struct counter counters[COUNTER_COUNT];

struct stats {
    uint64_t counter[COUNTER_COUNT];
    uint64_t bad[BAD_COUNT];
};

/* Puts what a decoder counted in its place. */
void stats_set_decoder(struct stats *stats, const struct decode_counts *counts);

/* Adds `more` to `sum`. */
void stats_add(struct stats *sum, const struct stats *more);

/* One line: "records=12 flows=10 ..."; counters that are 0 are left out, but the first ones. */
void stats_print(const struct stats *stats, struct buf *out);
