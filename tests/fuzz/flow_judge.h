/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What must hold of whatever the decoder hands over, for the fuzz targets that feed it: every byte
 * of every span can be read, and a good flow has a format and only values that were given.
 */
#pragma once

#include <assert.h>

#include "decode/payload.h"

/* Reads every byte, so that a sanitizer sees a span that points astray. */
static inline unsigned flow_judge_read(struct span text) {
    unsigned sum = 0;
    for (size_t i = 0; i < text.len; i++) {
        sum = sum * 31 + (unsigned char)text.p[i];
    }
    return sum;
}

static inline unsigned flow_judge(const struct flow *flow) {
    unsigned sum = flow_judge_read(flow->line);
    assert(flow->bad < BAD_COUNT && flow->record);
    if (flow->bad != BAD_NONE) {
        return sum;
    }
    assert(flow->format && flow->format->count <= FORMAT_COLUMNS_MAX);
    for (size_t i = 0; i < flow->format->count; i++) {
        sum += flow_judge_read(flow->column[i]);
    }
    assert(!(flow->has & HAS_SRC) || flow_column(flow, FIELD_SRCADDR).len > 0);
    assert(!(flow->has & HAS_START) || flow->start >= 0);
    if (flow->envelope) {
        sum += flow_judge_read(flow->envelope->message_type) +
               flow_judge_read(flow->envelope->log_group) +
               flow_judge_read(flow->envelope->log_stream) +
               flow_judge_read(flow->envelope->owner) + flow_judge_read(flow->envelope->filters);
    }
    return sum + flow_judge_read(flow->event_id);
}

/* Decodes one record, `at_once` flows a call. Returns how many flows came. */
static inline size_t flow_judge_record(void *decoder, const struct record *record, size_t at_once) {
    struct flow *flows;
    size_t count, all = 0;
    payload_decoder.begin(decoder, record);
    while ((count = payload_decoder.next(decoder, at_once, &flows)) > 0) {
        assert(count <= at_once);
        for (size_t i = 0; i < count; i++) {
            flow_judge(&flows[i]);
        }
        all += count;
    }
    return all;
}
