/* SPDX-License-Identifier: Apache-2.0 */
/* One line of text to a flow: header lines, the configured formats in their order, and what becomes
   of a line that says there was nothing to log. */
#include "decode/parts.h"
#include "flow/line.h"

/* The first format that fits, or -1. A header's format is the only one for the lines below it. */
static int fit_line(const struct decode *decode, size_t count, struct flow *flow) {
    if (decode->header) {
        return line_fit(decode->header, count, flow);
    }
    for (size_t i = 0; i < decode->conf->format_count; i++) {
        if (line_fit(decode->conf->formats[i], count, flow) == 0) {
            return 0;
        }
    }
    return -1;
}

void decode_fitting(struct decode *decode, struct flow *flow) {
    bool keep = true;
    if (flow->status == STATUS_NODATA) {
        decode->counts.nodata++;
        keep = decode->conf->send_nodata;
    } else if (flow->status == STATUS_SKIPDATA) {
        decode->counts.skipdata++;
        keep = decode->conf->send_skipdata;
    }
    /* With addresses it tells of a flow, whatever its status. */
    if (keep || (flow->has & (HAS_SRC | HAS_DST | HAS_PKT_SRC | HAS_PKT_DST))) {
        decode_keep(decode);
    } else {
        decode->line_number++;
    }
}

static void take_header(struct decode *decode, struct span line) {
    decode->header = names_find(&decode->names, line, decode->counts.records);
    if (!decode->header) {
        decode_bad(decode, BAD_FORMAT, line);
        return;
    }
    decode->counts.headers++;
    decode->line_number++;
}

void decode_line(struct decode *decode, struct span line, const struct event *event) {
    line = span_trim(line);
    if (line.len == 0) {
        return;
    }
    if (line.p[0] >= 'a' && line.p[0] <= 'z' && line.len <= LINE_BYTES_MAX &&
        format_is_header(line)) {
        take_header(decode, line);
        return;
    }
    decode->counts.lines++;
    struct flow *flow = decode_flow(decode);
    if (event) {
        flow->envelope = &decode->envelopes[decode->envelope];
        flow->event_id = event->id;
        flow->event_ms = event->time_ms;
        flow->event_line = decode->event_line;
    }
    if (line.len > LINE_BYTES_MAX) {
        decode_bad(decode, BAD_LINE_TOO_LONG, line);
        return;
    }
    flow->line = line;
    int count = line_split(line, flow);
    if (count <= 0 || fit_line(decode, (size_t)count, flow) < 0) {
        decode_bad(decode, BAD_FORMAT, line);
        return;
    }
    decode_fitting(decode, flow);
}

void decode_message(struct decode *decode, struct span message, const struct event *event) {
    decode->message = message;
    decode->has_event = event != NULL;
    if (event) {
        decode->event = *event;
    }
    decode->event_line = 0;
}

void decode_message_line(struct decode *decode) {
    struct span line;
    span_cut(&decode->message, '\n', &line);
    line = span_trim(line);
    if (line.len > 0) {
        decode_line(decode, line, decode->has_event ? &decode->event : NULL);
        decode->event_line++;
    }
}
