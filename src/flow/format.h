/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A flow-log format compiled: which field stands in which column. Format strings are written as AWS
 * shows them, "${version} ${account-id} ...", or by name: `default` (version 2) and `tgw-default`
 * (version 6, Transit Gateway). A header line ("version account-id ...") is a format too.
 * Sources: VPC and Transit Gateway user guides, "flow log records".
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"
#include "flow/field.h"

enum { FORMAT_COLUMNS_MAX = 96 };

struct column {
    uint8_t field;    /* enum field_id, FIELD_UNKNOWN for a new one */
    uint8_t type;     /* enum field_type */
    struct span name; /* AWS's name; for unknown ones owned by the format */
    struct span key;  /* name in a message: cleaned of what receivers refuse; owned by the format */
};

/* What a column's text must be, and what is kept of it in the flow. */
enum check_kind {
    CHECK_NUMBER, /* kept nowhere */
    CHECK_TIME,   /* a number, kept */
    CHECK_PORT,
    CHECK_BYTE,
    CHECK_ADDRESS,
    CHECK_VERDICT,
    CHECK_INTERFACE,
    CHECK_STATUS, /* any text, as the next */
    CHECK_DIRECTION,
};

/* A column that must be looked at; others take any text. All that the line parser reads of a
   format, line by line, is a list of these. */
struct check {
    uint8_t kind;    /* enum check_kind */
    uint16_t column; /* where in struct flow the column stands */
    uint16_t has;    /* bit of flow.has that says there is a value, 0 without one */
    uint16_t offset; /* where in struct flow the value is kept */
};

struct format {
    uint64_t id; /* different for every format made in this process, never reused */
    char *text;  /* as "${a} ${b}" */
    char *names; /* storage of the columns' names and keys */
    size_t count;
    struct column columns[FORMAT_COLUMNS_MAX];
    int8_t column_of[FIELD_COUNT]; /* -1: not in this format */
    uint16_t has;                  /* flow.has of a line in which nothing is absent */
    size_t check_count;
    struct check checks[FORMAT_COLUMNS_MAX]; /* in the order of the columns */
};

/* Compiles `default`, `tgw-default` or a format string; *format is the caller's (format_free).
   ERR_CONFIG names the column that is wrong. A field named twice is an error. */
int format_parse(struct span text, struct format **format, struct err *err);

/* Compiles a list of bare names separated by blanks (a header line, the keys of an object).
   ERR_DATA when a name is no name, is there twice or there are too many. */
int format_from_names(struct span names, struct format **format, struct err *err);

/*
 * Whether a line is a header: at least two words of small letters, digits, '-' and '_'; at least
 * half of them known AWS field names, one of which is no plain word ("srcaddr", "account-id", not
 * "start"), so that no data line is taken for one. Names that AWS adds later may be among them.
 */
bool format_is_header(struct span line);

/* NULL is fine. */
void format_free(struct format *format);
