/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See payload.h. A record becomes a text (inflated, or as it is), the text becomes pieces: a piece
 * that begins with '{' or '[' is a JSON value, any other is a line. JSON is unescaped in place, so
 * a record that is not ours to write to is copied first; lines are read where they are.
 */
#include "decode/payload.h"

#include <stdlib.h>

#include <xxhash.h>

#include "base/xalloc.h"
#include "decode/parts.h"

struct flow *decode_flow(struct decode *decode) {
    struct flow *flow = &decode->flows[decode->flow_count];
    flow->bad = BAD_NONE;
    flow->line_number = decode->line_number;
    flow->record = decode->record;
    flow->envelope = NULL;
    flow->event_id = span_of(NULL, 0);
    flow->event_ms = -1;
    flow->event_line = 0;
    flow->iface = NULL;
    flow->note_count = 0;
    flow->scratch_len = 0;
    memset(flow->side, 0, sizeof(flow->side));
    return flow;
}

void decode_keep(struct decode *decode) {
    if (decode->flows[decode->flow_count].envelope) {
        decode->envelope_used = true;
    }
    decode->flow_count++;
    decode->line_number++;
}

void decode_bad(struct decode *decode, enum bad_reason reason, struct span piece) {
    struct flow *flow = decode_flow(decode);
    flow->bad = reason;
    flow->line = piece;
    decode->counts.bad[reason]++;
    decode_keep(decode);
}

struct span decode_json_piece(const struct decode *decode, const char *start) {
    const char *from = decode->raw ? decode->raw + (start - decode->text.data) : start;
    return span_of(from, (size_t)(decode->json.p - start));
}

/* The first line behind `text`'s first byte that begins a JSON value as top-level ones do; the end
   of the text without one. */
static char *find_value(char *p, char *end) {
    while (p < end && (p = memchr(p, '\n', (size_t)(end - p)))) {
        p++;
        if (p < end && (*p == '{' || *p == '[')) {
            return p;
        }
    }
    return end;
}

static uint64_t hash_of_stream(const struct record *record) {
    return XXH3_64bits(record->origin.stream.p, record->origin.stream.len);
}

static bool is_of_file(const struct record *record) {
    return span_eq(record->origin.input, SPAN("file"));
}

/* Inputs cut what is larger than a record may be where the room ends: the pieces that follow are
   the rest of the same value. */
static bool is_torn(struct decode *decode) {
    const struct record *record = decode->record;
    if (!is_of_file(record) || record->data.len < RECORD_BYTES_MAX) {
        return false;
    }
    decode->torn_stream = hash_of_stream(record);
    decode->torn_end = record->origin.number + (int64_t)record->data.len;
    return true;
}

/* Passes over the rest of a value that was told already; it reaches to the end of its line. */
static void skip_torn(struct decode *decode) {
    const struct record *record = decode->record;
    if (decode->torn_end < 0 || !is_of_file(record) || record->origin.number != decode->torn_end ||
        hash_of_stream(record) != decode->torn_stream) {
        return;
    }
    const char *end = memchr(decode->rest.p, '\n', decode->rest.len);
    size_t len = end ? (size_t)(end - decode->rest.p) : decode->rest.len;
    decode->rest = span_skip(decode->rest, len);
    decode->torn_end = end ? -1 : decode->torn_end + (int64_t)len;
}

void decode_json_broken(struct decode *decode) {
    struct json_read *json = &decode->json;
    bool unfinished = json->p == json->end;
    json->p = find_value(json->p, json->end);
    /* What is missing because the gzip data was cut is told once, at the end. */
    if (!(unfinished && decode->cut)) {
        enum bad_reason reason = unfinished && is_torn(decode) ? BAD_RECORD_TOO_LARGE : BAD_JSON;
        decode_bad(decode, reason, decode_json_piece(decode, decode->json_start));
    }
    decode->state = DECODE_PIECES;
}

/* The text of the record from here on as memory that may be written to. */
static void make_writable(struct decode *decode) {
    if (!decode->writable) {
        decode->raw = decode->rest.p;
        buf_clear(&decode->text);
        buf_add(&decode->text, decode->rest);
        decode->rest = buf_span(&decode->text);
        decode->writable = true;
    }
}

/* A JSON value begins: an object is read, an array entered. */
static void start_value(struct decode *decode) {
    make_writable(decode);
    json_read_init(&decode->json, (char *)decode->rest.p, decode->rest.len);
    decode->json.values_as_they_are = true;
    enum json_token token = json_next(&decode->json);
    if (token == TOKEN_ARRAY) {
        decode->state = DECODE_ARRAY;
    } else {
        decode_object(decode);
    }
}

/* The next element of a top-level array. */
static void next_element(struct decode *decode) {
    struct json_read *json = &decode->json;
    enum json_token token = json_next(json);
    decode->json_start = json->value;
    if (token == TOKEN_OBJECT) {
        decode_object(decode);
    } else if (token == TOKEN_ARRAY_END) {
        decode->state = DECODE_PIECES;
    } else if (json_skip(json, token)) {
        decode_bad(decode, BAD_ENVELOPE, decode_json_piece(decode, decode->json_start));
    } else {
        decode_json_broken(decode);
    }
}

/* The next piece between top-level values. */
static void next_piece(struct decode *decode) {
    struct span *rest = &decode->rest;
    while (rest->len > 0 && (rest->p[0] == ' ' || (rest->p[0] >= '\t' && rest->p[0] <= '\r'))) {
        *rest = span_skip(*rest, 1);
    }
    if (rest->len == 0) {
        decode->state = DECODE_DONE;
        if (decode->last != BAD_NONE) {
            decode_bad(decode, decode->last, decode->record->data);
        }
    } else if (rest->p[0] == '{' || rest->p[0] == '[') {
        start_value(decode);
    } else {
        struct span line;
        span_cut(rest, '\n', &line);
        bool unfinished = rest->p == line.p + line.len; /* no '\n' was removed with it */
        if (!(unfinished && decode->cut)) {
            decode_line(decode, line, NULL);
        }
    }
}

static void step(struct decode *decode) {
    if (decode->message.len > 0) {
        decode_message_line(decode);
        return;
    }
    switch (decode->state) {
    case DECODE_EVENTS:
        decode_event(decode);
        break;
    case DECODE_ARRAY:
        next_element(decode);
        break;
    default:
        next_piece(decode);
        break;
    }
    /* A JSON value is done: on with what stands behind it. */
    if (decode->state == DECODE_PIECES && decode->json.p) {
        decode->rest = span_of(decode->json.p, (size_t)(decode->json.end - decode->json.p));
        decode->json.p = NULL;
    }
}

/* The record's text is unpacked into decode->text. */
static void inflate_record(struct decode *decode) {
    decode->counts.gzip++;
    enum inflate_result result =
        inflater_run(decode->inflater, decode->record->data, &decode->text);
    decode->writable = true;
    if (result == INFLATE_TOO_LARGE) {
        decode->last = BAD_INFLATED_TOO_LARGE;
        buf_clear(&decode->text);
    } else if (result != INFLATE_OK) {
        decode->last = BAD_GZIP;
    }
    decode->cut = result == INFLATE_CUT;
    decode->counts.inflated_bytes += decode->text.len;
    decode->rest = buf_span(&decode->text);
}

static void payload_begin(void *handle, const struct record *record) {
    struct decode *decode = handle;
    decode->counts.records++;
    decode->record = record;
    decode->state = DECODE_PIECES;
    decode->last = BAD_NONE;
    decode->cut = decode->writable = decode->envelope_used = decode->read_ahead = false;
    decode->rest = record->data;
    decode->raw = NULL;
    decode->header = NULL;
    decode->line_number = 0;
    decode->envelope = 0;
    decode->json = (struct json_read){0};
    decode->message = span_of(NULL, 0);
    decode->event_line = 0;
    if (record->data.len > RECORD_BYTES_MAX) {
        decode->last = BAD_RECORD_TOO_LARGE;
        decode->rest.len = 0;
        return;
    }
    if (record->head.len > 0 && format_is_header(record->head)) {
        decode->header =
            names_find(&decode->names, span_trim(record->head), decode->counts.records);
    }
    skip_torn(decode);
    if (inflate_is_gzip(decode->rest)) {
        inflate_record(decode);
    }
    if (span_starts(decode->rest, SPAN("\xEF\xBB\xBF"))) {
        decode->rest = span_skip(decode->rest, 3);
    }
}

static size_t payload_next(void *handle, size_t max, struct flow **flows) {
    struct decode *decode = handle;
    size_t wanted = max < DECODE_FLOWS_MAX ? max : DECODE_FLOWS_MAX;
    /* Envelopes live as long as the flows: those of the last call are gone now. */
    decode->envelopes[0] = decode->envelopes[decode->envelope];
    decode->envelope = 0;
    decode->envelope_used = false;
    decode->flow_count = 0;
    while (decode->flow_count < wanted && decode->state != DECODE_DONE) {
        step(decode);
    }
    *flows = decode->flows;
    return decode->flow_count;
}

static const struct decode_counts *payload_counts(const void *handle) {
    const struct decode *decode = handle;
    return &decode->counts;
}

static void *payload_open(const struct decode_conf *conf) {
    struct decode *decode = xcalloc(1, sizeof(*decode));
    decode->conf = conf;
    decode->inflater = inflater_open();
    decode->keys = xmalloc(KEYS_BYTES_MAX);
    decode->flows = xcalloc(DECODE_FLOWS_MAX, sizeof(*decode->flows));
    buf_init(&decode->text, INFLATED_BYTES_MAX);
    decode->state = DECODE_DONE;
    decode->torn_end = -1;
    return decode;
}

static void payload_close(void *handle) {
    struct decode *decode = handle;
    inflater_close(decode->inflater);
    names_done(&decode->names);
    buf_done(&decode->text);
    free(decode->flows);
    free(decode->keys);
    free(decode);
}

const struct decoder_type payload_decoder = {
    .name = "payload",
    .open = payload_open,
    .begin = payload_begin,
    .next = payload_next,
    .counts = payload_counts,
    .close = payload_close,
};
