/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fields of a flow-log line, as one table (fields.def): AWS's name, the name in a message, the
 * type, and the smallest field set that holds it. Formats, line parser, encoders, checks and the
 * reference are made from it.
 */
#pragma once

#include <stdint.h>

#include "base/span.h"

/* What a value must look like; `-` fits every type and means absent. */
enum field_type {
    FIELD_TEXT,      /* anything without blanks */
    FIELD_NUMBER,    /* 0 to 2^63-1 */
    FIELD_PORT,      /* 0 to 65535 */
    FIELD_BYTE,      /* 0 to 255 */
    FIELD_ADDRESS,   /* IPv4 or IPv6 */
    FIELD_VERDICT,   /* ACCEPT or REJECT */
    FIELD_INTERFACE, /* "eni-" and then letters, digits, '.', '-' */
};

/* Field sets; each contains those before it. NEVER: not sent as itself. */
enum field_set { SET_PLUGIN, SET_STANDARD, SET_ALL, SET_NEVER };

#define FIELD(id, aws_name, name, type, set) FIELD_##id,
enum field_id {
#include "flow/fields.def"
    FIELD_COUNT,
    FIELD_UNKNOWN = FIELD_COUNT, /* a name that AWS added after this version was made */
};
#undef FIELD

struct field {
    struct span aws_name; /* "srcaddr" */
    struct span name;     /* "src_addr", without underscore in front */
    enum field_type type;
    enum field_set set;
};

extern const struct field fields[FIELD_COUNT];

/* The field with that AWS name, FIELD_UNKNOWN when there is none. `_` may stand for `-`. */
enum field_id field_find(struct span aws_name);
