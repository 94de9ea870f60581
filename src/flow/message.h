/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What messages are to look like: the `messages` settings, at the top level and repeated in an
 * output. Encoders read this; two outputs with equal settings share one style.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "config/option.h"
#include "flow/flow.h"

enum message_schema { SCHEMA_GRAYLOG };
enum message_booleans { BOOLEANS_STRING, BOOLEANS_NATIVE };
enum message_lists { LISTS_JOINED, LISTS_NATIVE };
enum message_false { FALSE_SEND, FALSE_OMIT };
enum message_time { TIME_EVENT, TIME_START, TIME_END, TIME_ARRIVAL };

struct message_fields {
    int set;                      /* enum field_set: plugin, standard, all */
    struct string_list add, omit; /* also of fields that no table has: see message_sends_... */
};

struct message_conf {
    int schema; /* enum message_schema */
    struct message_fields fields;
    int booleans;        /* enum message_booleans */
    int lists;           /* enum message_lists */
    int false_values;    /* enum message_false */
    int timestamp;       /* enum message_time */
    char *host;          /* text with "${field}" in it */
    char *short_message; /* the same, NULL: the plugin's form */
    bool full_message;
    bool whois_names;

    /* Computed by message_init: what is sent. */
    bool send_field[FIELD_COUNT];
    bool send_unknown;                      /* columns that AWS added later */
    bool send_note[NOTE_COUNT][SIDE_COUNT]; /* notes not about an address: [..][0] */
    bool event_uid;
};

extern const struct option message_options[];

/*
 * Computes what is sent from set, add and omit, and looks through the templates. Unknown names are
 * errors at their place in `node` (the map of the settings, NULL without one).
 */
void message_init(struct message_conf *conf, struct option_context *context,
                  const struct yaml_node *node, const char *path);

/* For the gelf_* outputs, after message_init: what GELF has no form for is an error at `node`. */
void message_check_gelf(const struct message_conf *conf, struct option_context *context,
                        const struct yaml_node *node, const char *path);

/* Whether a column is sent of which only the name in messages is known. For plans: not fast. */
bool message_sends_column(const struct message_conf *conf, struct span key);

/* Whether `<side>_threat_indicated_<feed>` is sent. For dossiers: not fast. */
bool message_sends_feed(const struct message_conf *conf, enum flow_side side, struct span feed);

/* What a field of the reference needs that this version lacks ("an inventory"); NULL for a name
   that is none of these. Static text. */
const char *message_field_needs(struct span name);

/* Whether two settings give the same bytes. */
bool message_equal(const struct message_conf *a, const struct message_conf *b);

/*
 * A template: text with "${name}" for a field of the line (by its name in a message or AWS's) or a
 * note about the flow. A dollar sign without a brace is text.
 */
enum { TEMPLATE_PARTS_MAX = 32 };

enum template_kind { TEMPLATE_TEXT, TEMPLATE_FIELD, TEMPLATE_NOTE };

struct template_part {
    enum template_kind kind;
    struct span text; /* TEMPLATE_TEXT: borrowed from the template's text */
    int id;           /* enum field_id or enum note_id */
};

struct template {
    size_t count;
    struct template_part parts[TEMPLATE_PARTS_MAX];
};

/* -1 with ERR_CONFIG: a name that is none, a brace that does not close, too many parts. */
int template_parse(struct span text, struct template *template, struct err *err);
