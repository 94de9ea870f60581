/* SPDX-License-Identifier: Apache-2.0 */
/* See stats.h. */
#include "core/stats.h"

#define COUNTER(id, name, help) [COUNTER_##id] = {name, help},
const struct counter counters[COUNTER_COUNT] = {
#include "core/counters.def"
};
#undef COUNTER

void stats_add(struct stats *sum, const struct stats *more) {
    for (int i = 0; i < COUNTER_COUNT; i++) {
        sum->counter[i] += more->counter[i];
    }
    for (int i = 0; i < BAD_COUNT; i++) {
        sum->bad[i] += more->bad[i];
    }
}

void stats_set_decoder(struct stats *stats, const struct decode_counts *counts) {
    uint64_t *counter = stats->counter;
    counter[COUNTER_RECORDS] = counts->records;
    counter[COUNTER_INFLATED_BYTES] = counts->inflated_bytes;
    counter[COUNTER_GZIP] = counts->gzip;
    counter[COUNTER_ENVELOPES] = counts->envelopes;
    counter[COUNTER_CONTROL_MESSAGES] = counts->control_messages;
    counter[COUNTER_MESSAGE_OBJECTS] = counts->message_objects;
    counter[COUNTER_FIELD_OBJECTS] = counts->field_objects;
    counter[COUNTER_LINES] = counts->lines;
    counter[COUNTER_HEADERS] = counts->headers;
    counter[COUNTER_NODATA] = counts->nodata;
    counter[COUNTER_SKIPDATA] = counts->skipdata;
}

static bool is_always_shown(int id) {
    return id == COUNTER_RECORDS || id == COUNTER_FLOWS || id == COUNTER_MESSAGES ||
           id == COUNTER_DELIVERED;
}

static void print_one(const char *prefix, const char *name, uint64_t value, struct buf *out) {
    buf_printf(out, "%s%s%s=%ju", out->len ? " " : "", prefix, name, (uintmax_t)value);
}

void stats_print(const struct stats *stats, struct buf *out) {
    for (int i = 0; i < COUNTER_COUNT; i++) {
        if (stats->counter[i] || is_always_shown(i)) {
            print_one("", counters[i].name, stats->counter[i], out);
        }
    }
    for (int i = BAD_NONE + 1; i < BAD_COUNT; i++) {
        if (stats->bad[i]) {
            print_one("bad_", bad_names[i], stats->bad[i], out);
        }
    }
}
