/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the text of an envelope, with jansson as the judge: where jansson reads an envelope,
   good flows are its events in their order, each with its id and the envelope's names. */
#include <stdint.h>
#include <stdlib.h>

#include <jansson.h>

#include "flow_judge.h"

static struct format *format;
static struct decode_conf conf = {.formats = (const struct format *const *)&format,
                                  .format_count = 1,
                                  .send_nodata = true,
                                  .send_skipdata = true};

static struct span text_of(const json_t *object, const char *name) {
    const json_t *value = json_object_get(object, name);
    return span_of(json_string_value(value), json_string_length(value));
}

/* Whether the object is an envelope. Names that are there twice are left out: which one counts is
   nobody's business. */
static bool is_judged(const json_t *root, struct span text) {
    json_t *again = json_loadb(text.p, text.len, JSON_REJECT_DUPLICATES, NULL);
    bool judged = again && json_is_array(json_object_get(root, "logEvents"));
    json_decref(again);
    return judged;
}

static void judge_flow(const json_t *root, const json_t *event, const struct flow *flow) {
    assert(flow->bad == BAD_NONE && flow->envelope);
    assert(span_eq(flow->envelope->log_group, text_of(root, "logGroup")));
    assert(span_eq(flow->envelope->log_stream, text_of(root, "logStream")));
    assert(span_eq(flow->envelope->owner, text_of(root, "owner")));
    assert(span_eq(flow->event_id, text_of(event, "id")));
    assert(span_eq(flow->line, span_trim(text_of(event, "message"))));
}

/* The event of the next flow that is good: flows without data are sent too, so each good flow has
   the next event whose message is its line. */
static void judge(const json_t *root, void *decoder, const struct record *record) {
    const json_t *events = json_object_get(root, "logEvents");
    size_t index = 0, count;
    struct flow *flows;
    payload_decoder.begin(decoder, record);
    while ((count = payload_decoder.next(decoder, 8, &flows)) > 0) {
        for (size_t i = 0; i < count; i++) {
            flow_judge(&flows[i]);
            while (flows[i].bad == BAD_NONE && index < json_array_size(events) &&
                   !span_eq(flows[i].line,
                            span_trim(text_of(json_array_get(events, index), "message")))) {
                index++;
            }
            if (flows[i].bad == BAD_NONE) {
                judge_flow(root, json_array_get(events, index++), &flows[i]);
            }
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void *decoder;
    if (!decoder) {
        format_parse(SPAN("default"), &format, NULL);
        decoder = payload_decoder.open(&conf);
    }
    struct span text = span_of((const char *)data, size);
    if (size == 0 || data[0] != '{') {
        return 0;
    }
    struct record record = {.data = text};
    json_t *root = json_loadb(text.p, text.len, 0, NULL);
    if (root && is_judged(root, text)) {
        judge(root, decoder, &record);
    } else {
        flow_judge_record(decoder, &record, 8);
    }
    json_decref(root);
    return 0;
}
