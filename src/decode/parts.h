/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the files of the decoder share: its handle, and how each kind of content hands over a flow.
 * payload.c unwraps records and finds the next piece; lines.c, objects.c and cloudwatch.c make
 * flows of it. Nobody outside src/decode includes this.
 */
#pragma once

#include "base/buf.h"
#include "base/inflate.h"
#include "base/json_read.h"
#include "core/decoder.h"
#include "decode/names.h"
#include "flow/flow.h"

enum {
    RECORD_BYTES_MAX = 16 << 20,
    INFLATED_BYTES_MAX = 64 << 20,
    DECODE_FLOWS_MAX = 64, /* handed over at once */
    KEYS_BYTES_MAX = 8192, /* names of an object's members in all */
};

/* Where in the record's text reading goes on. */
enum decode_state {
    DECODE_PIECES, /* between lines and top-level JSON values */
    DECODE_ARRAY,  /* inside a top-level JSON array */
    DECODE_EVENTS, /* inside the logEvents of an envelope */
    DECODE_DONE,
};

/* A CloudWatch event, but for its message. */
struct event {
    struct span id;
    int64_t time_ms; /* -1 without one */
};

struct decode {
    const struct decode_conf *conf;
    struct decode_counts counts;
    struct inflater *inflater;
    struct names names;
    char *keys; /* KEYS_BYTES_MAX, for the names of one object's members */

    const struct record *record;
    enum decode_state state;
    enum bad_reason last;        /* of a bad flow that ends the record, BAD_NONE for none */
    bool cut;                    /* the gzip data was cut short: an unfinished end is no piece */
    struct span rest;            /* text not yet read, but for what `json` reads */
    struct buf text;             /* inflated, or copied so that JSON can be unescaped in place */
    bool writable;               /* rest lies in text */
    const char *raw;             /* copied: where in the record text.data stands; else NULL */
    const struct format *header; /* set by a header line, NULL without one */
    uint32_t line_number;

    struct json_read json;
    struct json_read after; /* DECODE_EVENTS: behind an envelope that was read ahead */
    bool read_ahead;        /* `after` is set */
    const char *json_start; /* of what is told as bad when `json` fails */
    struct span message;    /* lines of an event's or an object's message that are still to come */
    struct event event;     /* that they stand in */
    bool has_event;
    uint32_t event_line; /* of the next one */
    size_t envelope;     /* index of the present one */
    bool envelope_used;  /* by a flow of the present call of next */
    struct envelope envelopes[DECODE_FLOWS_MAX + 1];

    uint64_t torn_stream; /* hash of the file in which an object was torn as it is too large */
    int64_t torn_end;     /* where the piece with its beginning ended, -1 without one */

    size_t flow_count;
    struct flow *flows; /* DECODE_FLOWS_MAX */
};

/* The next flow, prepared but without content. It is handed over once decode_keep or decode_bad is
   called; else the next call gives the same. */
struct flow *decode_flow(struct decode *decode);

/* Hands over the flow that decode_flow gave. */
void decode_keep(struct decode *decode);

/* Hands over a bad flow: the reason, and the piece as it stood in the record. */
void decode_bad(struct decode *decode, enum bad_reason reason, struct span piece);

/* What JSON was read from `start` up to now. */
struct span decode_json_piece(const struct decode *decode, const char *start);

/* Ends a JSON value that is broken: a bad flow, and on with the next line that begins a value. */
void decode_json_broken(struct decode *decode);

/* One flow-log or header line; `line` may have blanks, CR and LF at its ends. `event` tells the
   CloudWatch event that it stands in, NULL for none. */
void decode_line(struct decode *decode, struct span line, const struct event *event);

/* A message of one line or more, which the next steps take one by one. `event` as above. */
void decode_message(struct decode *decode, struct span message, const struct event *event);

/* The next line of that message. */
void decode_message_line(struct decode *decode);

/* Hands the flow over unless it says that there is no data and nobody wants to know. */
void decode_fitting(struct decode *decode, struct flow *flow);

/* An object has begun in decode->json: reads it, or up to its events. */
void decode_object(struct decode *decode);

/* Begins on the events of an envelope; json stands behind the '[' of logEvents. */
void decode_envelope(struct decode *decode, const struct envelope *envelope);

/* The next event, or the end of the envelope. */
void decode_event(struct decode *decode);
