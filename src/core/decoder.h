/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The contract of a decoder: from a record's raw bytes to flows. A handle belongs to one worker and
 * owns all memory that its flows point into.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "flow/flow.h"

/* What decoding found besides flows; counts only grow. */
struct decode_counts {
    uint64_t records, gzip, envelopes, control_messages, message_objects, field_objects, lines,
        headers, nodata, skipdata;
    uint64_t inflated_bytes;
    uint64_t bad[BAD_COUNT];
};

struct decode_conf {
    const struct format *const *formats; /* in the order in which they are tried */
    size_t format_count;
    bool send_nodata, send_skipdata; /* else counted only */
};

struct decoder_type {
    const char *name;

    /* A handle; conf lives longer than it. Does not fail. */
    void *(*open)(const struct decode_conf *conf);

    /*
     * Starts on a record: looks what it is and unwraps it (gzip, envelope). The record and its
     * data stay valid until the next begin. Never fails as a call: what is bad comes out of next
     * as a flow with `bad` set, and the good parts of the same record come as well.
     */
    void (*begin)(void *handle, const struct record *record);

    /*
     * Hands over up to `max` flows, good and bad, in the record's order; 0: the record is done.
     * *flows points to memory of the handle. Flows and all their spans are valid until the next
     * begin; the flow structs themselves until the next call of next.
     */
    size_t (*next)(void *handle, size_t max, struct flow **flows);

    const struct decode_counts *(*counts)(const void *handle);

    void (*close)(void *handle);
};
