/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The events of a CloudWatch Logs subscription envelope (Amazon CloudWatch Logs user guide, "Using
 * subscription filters"): {"messageType", "owner", "logGroup", "logStream", "subscriptionFilters",
 * "logEvents": [{"id", "timestamp", "message"}]}. objects.c reads what stands around them.
 */
#include "base/num.h"
#include "decode/parts.h"

void decode_envelope(struct decode *decode, const struct envelope *envelope) {
    decode->counts.envelopes++;
    if (decode->envelope_used) {
        decode->envelope++;
        decode->envelope_used = false;
    }
    decode->envelopes[decode->envelope] = *envelope;
    decode->state = DECODE_EVENTS;
    decode->json_start = decode->json.p;
}

/* Behind the last event: the members that follow it say nothing that is wanted. */
static void end_envelope(struct decode *decode) {
    struct json_read *json = &decode->json;
    if (decode->read_ahead) {
        *json = decode->after;
        decode->read_ahead = false;
        if (json->error) {
            decode_json_broken(decode);
            return;
        }
    } else {
        enum json_token token;
        while ((token = json_next(json)) != TOKEN_OBJECT_END) {
            if (!json_skip(json, token)) {
                decode_json_broken(decode);
                return;
            }
        }
    }
    decode->state = json->depth > 0 ? DECODE_ARRAY : DECODE_PIECES;
}

static void take_member(struct json_read *json, enum json_token token, struct event *event,
                        struct span *message) {
    struct span key = json_key(json);
    if (token == TOKEN_STRING && span_eq(key, SPAN("message"))) {
        *message = json_text(json);
    } else if (token == TOKEN_STRING && span_eq(key, SPAN("id"))) {
        event->id = json_text(json);
    } else if (token == TOKEN_NUMBER && span_eq(key, SPAN("timestamp")) &&
               !num_parse_i64(json->text, &event->time_ms)) {
        event->time_ms = -1;
    }
}

/* Reads an event whose '{' was read. False when it is not well-formed. */
static bool read_event(struct json_read *json, struct event *event, struct span *message) {
    for (;;) {
        enum json_token token = json_next(json);
        if (token == TOKEN_OBJECT_END) {
            return true;
        }
        if (token == TOKEN_OBJECT || token == TOKEN_ARRAY || token == TOKEN_ERROR) {
            if (!json_skip(json, token)) {
                return false;
            }
        } else {
            take_member(json, token, event, message);
        }
    }
}

void decode_event(struct decode *decode) {
    struct json_read *json = &decode->json;
    struct event event = {.time_ms = -1};
    struct span message = {NULL, 0};
    enum json_token token = json_next(json);
    if (token == TOKEN_ARRAY_END) {
        end_envelope(decode);
        return;
    }
    decode->json_start = json->value;
    if (token == TOKEN_OBJECT ? !read_event(json, &event, &message) : !json_skip(json, token)) {
        decode_json_broken(decode);
        return;
    }
    if (!message.p) {
        decode->counts.lines++;
        decode_bad(decode, BAD_ENVELOPE, decode_json_piece(decode, decode->json_start));
        return;
    }
    decode_message(decode, message, &event);
}
