/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A JSON object that is a piece of a record: an envelope (up to its events, which cloudwatch.c
 * takes), {"message": "<line>"}, or a flow keyed by AWS's field names, with `-` or `_`.
 */
#include "decode/parts.h"
#include "flow/line.h"

/* What is read of an object, from its first member to its last. */
struct object {
    struct envelope envelope;
    unsigned seen; /* bit i: envelope member i */
    bool has_events;
    struct json_read events; /* bookmark behind the '[' of logEvents */
    struct span message;     /* p is NULL without a string of that name */
    size_t known, telling;   /* members that are fields of flow logs; that hardly are of others */
    size_t count;
    bool too_many;   /* members, or their names are too long */
    size_t keys_len; /* names in decode->keys, each followed by a blank */
    struct span values[FORMAT_COLUMNS_MAX];
};

enum { SEEN_TYPE, SEEN_OWNER, SEEN_GROUP, SEEN_STREAM, SEEN_FILTERS, SEEN_ALL = 31 };

static void count_known(struct object *object, struct span key) {
    switch (field_find(key)) {
    case FIELD_UNKNOWN:
        return;
    case FIELD_SRCADDR:
    case FIELD_DSTADDR:
    case FIELD_PKT_SRCADDR:
    case FIELD_PKT_DSTADDR:
    case FIELD_INTERFACE_ID:
    case FIELD_LOG_STATUS:
    case FIELD_TGW_ID:
    case FIELD_TGW_ATTACHMENT_ID:
        object->telling++;
        break;
    default:
        break;
    }
    object->known++;
}

/* A member for the case that this is a flow keyed by field names. */
static void add_member(struct decode *decode, struct object *object, struct span key,
                       struct span value) {
    if (object->count == FORMAT_COLUMNS_MAX || key.len == 0 ||
        key.len >= KEYS_BYTES_MAX - object->keys_len) {
        object->too_many = true;
        return;
    }
    char *to = decode->keys + object->keys_len;
    for (size_t i = 0; i < key.len; i++) {
        /* Blanks separate names; a name with blanks goes on with underscores. */
        to[i] = (unsigned char)key.p[i] <= ' ' ? '_' : key.p[i];
    }
    to[key.len] = ' ';
    object->keys_len += key.len + 1;
    value = span_trim(value);
    bool absent = value.len == 1 && value.p[0] == '-';
    object->values[object->count++] = absent ? span_of(value.p, 0) : value;
    count_known(object, key);
}

/* Names of subscription filters: moved together where they stand, a NUL between two. */
static bool read_filters(struct json_read *json, struct span *filters) {
    char *start = json->p, *to = start;
    enum json_token token;
    while ((token = json_next(json)) != TOKEN_ARRAY_END) {
        if (token != TOKEN_STRING) {
            if (!json_skip(json, token)) {
                return false;
            }
            continue;
        }
        struct span name = json_text(json);
        if (to > start) {
            *to++ = '\0';
        }
        memmove(to, name.p, name.len);
        to += name.len;
    }
    *filters = span_of(start, (size_t)(to - start));
    return true;
}

static bool is_control(const struct object *object) {
    return span_eq(object->envelope.message_type, SPAN("CONTROL_MESSAGE"));
}

/* The text of a member that an envelope has, NULL for other names. */
static struct span *envelope_text(struct object *object, struct span key) {
    struct envelope *envelope = &object->envelope;
    static const struct span names[] = {
        {"messageType", 11}, {"owner", 5}, {"logGroup", 8}, {"logStream", 9}};
    struct span *const texts[] = {&envelope->message_type, &envelope->owner, &envelope->log_group,
                                  &envelope->log_stream};
    for (size_t i = 0; i < 4; i++) {
        if (span_eq(key, names[i])) {
            object->seen |= 1u << i;
            return texts[i];
        }
    }
    return NULL;
}

/* A member whose value is an array or an object. */
static bool read_nested(struct decode *decode, struct object *object, struct span key,
                        enum json_token token) {
    struct json_read *json = &decode->json;
    if (token == TOKEN_ARRAY && span_eq(key, SPAN("subscriptionFilters"))) {
        object->seen |= 1u << SEEN_FILTERS;
        return read_filters(json, &object->envelope.filters);
    }
    if (token == TOKEN_ARRAY && span_eq(key, SPAN("logEvents"))) {
        object->has_events = true;
        object->events = *json;
        if (object->seen == SEEN_ALL && !is_control(object)) {
            return true; /* nothing that comes later matters: no need to read the events twice */
        }
    }
    add_member(decode, object, key, span_of(NULL, 0));
    return json_skip(json, token);
}

static bool read_member(struct decode *decode, struct object *object, enum json_token token) {
    struct json_read *json = &decode->json;
    struct span key = json_key(json);
    if (token == TOKEN_OBJECT || token == TOKEN_ARRAY) {
        return read_nested(decode, object, key, token);
    }
    struct span value = token == TOKEN_NULL ? span_of(NULL, 0) : json_text(json);
    if (token == TOKEN_STRING) {
        struct span *text = envelope_text(object, key);
        if (text) {
            *text = value;
        }
        if (span_eq(key, SPAN("message"))) {
            object->message = value;
        }
    }
    add_member(decode, object, key, value);
    return true;
}

/* Reads members up to the end of the object, or into the events of an envelope. */
static bool read_members(struct decode *decode, struct object *object) {
    for (;;) {
        enum json_token token = json_next(&decode->json);
        if (token == TOKEN_ERROR) {
            return false;
        }
        if (token == TOKEN_OBJECT_END) {
            decode->read_ahead = object->has_events;
            return true;
        }
        if (!read_member(decode, object, token)) {
            return false;
        }
        if (object->has_events && decode->json.p == object->events.p) {
            return true;
        }
    }
}

static void take_fields(struct decode *decode, const struct object *object, struct span piece) {
    struct span names = span_of(decode->keys, object->keys_len);
    const struct format *format =
        object->too_many ? NULL : names_find(&decode->names, names, decode->counts.records);
    decode->counts.field_objects++;
    struct flow *flow = decode_flow(decode);
    flow->line = piece;
    flow->plain = true;
    for (size_t i = 0; i < object->count; i++) {
        flow->column[i] = object->values[i];
        flow->plain = flow->plain && line_is_plain(object->values[i]);
    }
    if (!format || line_fit(format, object->count, flow) < 0) {
        decode_bad(decode, BAD_FORMAT, piece);
        return;
    }
    decode_fitting(decode, flow);
}

/* What an object is, now that its end or its events were reached. */
static void take_object(struct decode *decode, const struct object *object) {
    struct span piece = decode_json_piece(decode, decode->json_start);
    if (object->has_events && is_control(object)) {
        decode->counts.envelopes++;
        decode->counts.control_messages++;
        decode->read_ahead = false;
    } else if (object->has_events) {
        if (decode->read_ahead) {
            decode->after = decode->json;
            decode->json = object->events;
        }
        decode_envelope(decode, &object->envelope);
    } else if (object->known >= 2 && object->telling > 0) {
        take_fields(decode, object, piece);
    } else if (object->message.p) {
        decode->counts.message_objects++;
        decode_message(decode, object->message, NULL);
    } else {
        decode_bad(decode, BAD_ENVELOPE, piece);
    }
}

void decode_object(struct decode *decode) {
    struct object object;
    memset(&object, 0, offsetof(struct object, values));
    decode->read_ahead = false;
    decode->json_start = decode->json.value;
    /* Where an object ends decides what comes next; an envelope sets the state to its events. */
    decode->state = decode->json.depth > 1 ? DECODE_ARRAY : DECODE_PIECES;
    if (!read_members(decode, &object)) {
        if (!object.has_events || is_control(&object)) {
            decode_json_broken(decode);
            return;
        }
        /* The events in front of what is broken are good; then it is told. */
        decode->read_ahead = true;
    }
    take_object(decode, &object);
}
