/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flow: one decoded flow-log line and what enrichment found out about it. Decoders fill it,
 * enrichers read it and add notes, encoders read all. Its spans point into the decoder's text and
 * are valid until the decoder's next begin; nothing in here is freed by anyone.
 */
#pragma once

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/ipaddr.h"
#include "base/span.h"
#include "flow/format.h"
#include "flow/note.h"

/* The up to four addresses of a flow; also the prefixes of their fields, in this order. */
enum flow_side { SIDE_SRC, SIDE_DST, SIDE_PKT_SRC, SIDE_PKT_DST, SIDE_COUNT };

extern const struct span flow_side_names[SIDE_COUNT]; /* "src_addr", "dst_addr", ... */

/* Bits of flow.has: the value was given and not `-`. */
enum flow_has {
    HAS_SRC = 1 << SIDE_SRC,
    HAS_DST = 1 << SIDE_DST,
    HAS_PKT_SRC = 1 << SIDE_PKT_SRC,
    HAS_PKT_DST = 1 << SIDE_PKT_DST,
    HAS_SRC_PORT = 1 << 4,
    HAS_DST_PORT = 1 << 5,
    HAS_PROTOCOL = 1 << 6,
    HAS_START = 1 << 7,
    HAS_END = 1 << 8,
    HAS_TCP_FLAGS = 1 << 9,
};

enum flow_action { ACTION_NONE, ACTION_ACCEPT, ACTION_REJECT };
enum flow_status { STATUS_NONE, STATUS_OK, STATUS_NODATA, STATUS_SKIPDATA, STATUS_OTHER };
enum flow_direction { DIRECTION_NONE, DIRECTION_INGRESS, DIRECTION_EGRESS };
enum flow_role { ROLE_NONE, ROLE_REQUEST, ROLE_REPLY };

/* Why a piece of a record is no flow; names and remedies in bad.def. */
#define BAD(id, name, help) BAD_##id,
enum bad_reason {
    BAD_NONE,
#include "flow/bad.def"
    BAD_COUNT,
};
#undef BAD

extern const char *const bad_names[BAD_COUNT]; /* [BAD_NONE] is "" */
extern const char *const bad_helps[BAD_COUNT];

/* Where a record came from. Spans are valid as long as the record. Empty: does not apply. */
struct origin {
    struct span input;    /* name of the input's type: "kafka" */
    struct span stream;   /* stream, topic or path */
    struct span shard;    /* shard or partition */
    struct span sequence; /* position as text where it is no number (Kinesis) */
    int64_t number;       /* offset in the partition, or byte position in the inflated text */
    int64_t sub;          /* sub-sequence number, else 0 */
};

/* Raw bytes as an input hands them over. */
struct record {
    struct span data;
    int64_t arrival_ms; /* wall clock when flowgelf got it */
    struct origin origin;
    struct span head; /* first line of the file that `data` is a piece of; else empty */
};

/* What a CloudWatch Logs envelope says of all its events; valid as long as the flow. */
struct envelope {
    struct span message_type, owner, log_group, log_stream;
    struct span filters; /* names of the subscription filters separated by NUL bytes */
};

/* What an inventory knows of the recording interface; NULL in a flow without one. */
struct iface {
    const struct ipaddr *addrs; /* private, secondary, public, Elastic */
    size_t addr_count;
};

/* A dossier as flow enrichers and encoders see it (core/dossier.h makes them). */
enum dossier_fact {
    FACT_INTERNAL = 1 << 0,
    FACT_TRUSTED = 1 << 1,
    FACT_THREAT = 1 << 2,       /* a feed lists it */
    FACT_THREAT_KNOWN = 1 << 3, /* at least one feed is loaded */
    FACT_GEO = 1 << 4,
    FACT_ENTITY = 1 << 5,
};

struct dossier_view {
    uint32_t facts;             /* enum dossier_fact */
    const struct span *encoded; /* one per style: the fields of this address, ready to be copied */
};

enum { FLOW_NOTES_MAX = 24, FLOW_SCRATCH_MAX = 512 };

struct flow {
    enum bad_reason bad;  /* not BAD_NONE: only bad, record, line and line_number count */
    uint32_t line_number; /* of its record, from 0; with record.origin it is unique */
    struct span line;     /* the raw line, or the piece that is bad */
    const struct record *record;
    const struct envelope *envelope; /* NULL without one */
    struct span event_id;            /* CloudWatch event id, empty without one */
    int64_t event_ms;                /* CloudWatch event time, -1 without one */
    uint32_t event_line;             /* in the event's message, from 0; 0 without one */

    const struct format *format;
    bool plain; /* no byte of any column needs escaping in JSON */
    uint16_t has;
    uint8_t protocol, tcp_flags, action, status, direction, role;
    uint16_t src_port, dst_port;
    int64_t start, end; /* seconds since 1970 */
    struct ipaddr addr[SIDE_COUNT];

    const struct iface *iface;
    struct dossier_view side[SIDE_COUNT];
    size_t note_count;
    struct note notes[FLOW_NOTES_MAX];
    size_t scratch_len;
    char scratch[FLOW_SCRATCH_MAX]; /* text of notes that is made for this flow */

    struct span column[FORMAT_COLUMNS_MAX]; /* as format->columns; `-` is empty */
};
_Static_assert(sizeof(struct flow) <= UINT16_MAX, "formats and plans keep places as uint16_t");

/* Adds a note about the flow. More than FLOW_NOTES_MAX is a programming error (asserted). */
static inline struct note *flow_note(struct flow *flow, enum note_id id) {
    assert(flow->note_count < FLOW_NOTES_MAX);
    struct note *note = &flow->notes[flow->note_count++];
    *note = (struct note){.id = (uint8_t)id};
    return note;
}

static inline void flow_note_text(struct flow *flow, enum note_id id, struct span text) {
    flow_note(flow, id)->text = text;
}

/* As flow_note_text, for a text of our own making: printable ASCII without quote and backslash,
   neither blank nor longer than a string may be. */
static inline void flow_note_word(struct flow *flow, enum note_id id, struct span text) {
    struct note *note = flow_note(flow, id);
    note->text = text;
    note->plain = true;
}

static inline void flow_note_number(struct flow *flow, enum note_id id, int64_t number) {
    flow_note(flow, id)->number = number;
}

static inline void flow_note_truth(struct flow *flow, enum note_id id, bool truth) {
    flow_note(flow, id)->truth = truth;
}

/* The column of a field, empty when the format lacks it or the value is `-`. */
static inline struct span flow_column(const struct flow *flow, enum field_id field) {
    int column = flow->format->column_of[field];
    return column < 0 ? span_of(NULL, 0) : flow->column[column];
}
