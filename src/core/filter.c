/* SPDX-License-Identifier: Apache-2.0 */
/* See filter.h. */
#include "core/filter.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_write.h"
#include "base/num.h"
#include "base/xalloc.h"
#include "config/option.h"

enum { MESSAGE_MAX = 8 << 20, NAME_MAX_BYTES = 256, NAMES_MAX = 2048 };

/* A field that searches name and that is taken from the flow as it is: a column or, where the line
   has none of that name, a note. */
struct pick {
    struct span name;
    int column; /* enum field_id, FIELD_UNKNOWN: none */
    int note;   /* enum note_id, NOTE_COUNT: none */
};

struct filter {
    const struct filter_conf *conf;
    const struct encoder_type *type; /* NULL: nothing but `sample` */
    void *encoder;
    size_t style;
    bool can_pick; /* nothing is asked for that only the encoder knows */
    size_t pick_count;
    struct pick picks[FIELD_COUNT + NOTE_COUNT];
    struct buf message;
    struct message_view view;
};

/* ---- settings ---- */

int filter_parse_sample(struct span text, uint64_t *one_in, struct err *err) {
    uint64_t number = 0;
    if (!span_starts(text, SPAN("1/")) || !num_parse_u64(span_skip(text, 2), UINT32_MAX, &number) ||
        number == 0) {
        return err_set(err, ERR_CONFIG,
                       "\"%.*s\" is no share; write 1/N, with N from 1 to %u: 1/10 sends one flow "
                       "in ten",
                       SPAN_ARG(text), UINT32_MAX);
    }
    *one_in = number;
    return 0;
}

/* Fields of every message, which stand in no table. */
static const char *const base_names[] = {
    "version", "host", "short_message", "full_message", "timestamp", "level", NULL};

static bool is_base_name(struct span name) {
    for (size_t i = 0; base_names[i]; i++) {
        if (span_eq(name, span_str(base_names[i]))) {
            return true;
        }
    }
    return false;
}

/* Calls `found` with every name that a message can have, but those with a feed's name and of
   columns that AWS added, until it returns true. */
static bool each_name(bool (*found)(void *context, const char *name), void *context) {
    char name[NAME_MAX_BYTES];
    bool done = false;
    for (size_t i = 0; !done && base_names[i]; i++) {
        done = found(context, base_names[i]);
    }
    for (size_t i = 0; !done && i < FIELD_COUNT; i++) {
        snprintf(name, sizeof(name), "%.*s", SPAN_ARG(fields[i].name));
        done = fields[i].set != SET_NEVER && found(context, name);
    }
    for (size_t i = 0; !done && i < NOTE_COUNT; i++) {
        struct span kind = note_kinds[i].name;
        if (note_kinds[i].about != NOTE_ABOUT_ADDRESS) {
            snprintf(name, sizeof(name), "%.*s", SPAN_ARG(kind));
            done = found(context, name);
            continue;
        }
        for (size_t side = 0; !done && i != NOTE_THREAT_FEED && side < SIDE_COUNT; side++) {
            snprintf(name, sizeof(name), "%.*s_%.*s", SPAN_ARG(flow_side_names[side]),
                     SPAN_ARG(kind));
            done = found(context, name);
        }
    }
    return done;
}

static bool is_same_name(void *context, const char *name) {
    const struct span *wanted = context;
    return span_eq(*wanted, span_str(name));
}

/* What a name says behind an address's name; empty: it begins with none. */
static struct span behind_side(struct span name) {
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        struct span prefix = flow_side_names[side];
        if (name.len > prefix.len + 1 && span_starts(name, prefix) && name.p[prefix.len] == '_') {
            return span_skip(name, prefix.len + 1);
        }
    }
    return span_of(NULL, 0);
}

/* `<address>_threat_indicated_<feed>`: the names of feeds are the user's. */
static bool is_feed_name(struct span name) {
    struct span rest = behind_side(name), kind = note_kinds[NOTE_THREAT_FEED].name;
    return rest.len > kind.len + 1 && span_starts(rest, kind) && rest.p[kind.len] == '_';
}

struct names {
    size_t count;
    char *items[NAMES_MAX + 1];
};

static bool add_name(void *context, const char *name) {
    struct names *names = context;
    names->items[names->count++] = xstrdup(name);
    return names->count == NAMES_MAX;
}

static int refuse_name(struct span name, const char *near, struct err *err) {
    return err_set(err, ERR_CONFIG, "no message has a field `%.*s`%s%s%s", SPAN_ARG(name),
                   near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
}

/* A name that no table has may be that of a column that AWS added later, unless it is near a known
   one, which is taken for a mistake, or speaks of an address, which columns do not. */
static int check_unknown(struct span name, struct err *err) {
    struct names *names = xcalloc(1, sizeof(*names));
    char *text = xstrdup_span(name);
    each_name(add_name, names);
    const char *near = option_nearest(text, (const char *const *)names->items);
    int result = near || behind_side(name).len > 0 ? refuse_name(name, near, err) : 0;
    while (names->count > 0) {
        free(names->items[--names->count]);
    }
    free(names);
    free(text);
    return result;
}

/* The first field of a search that is wrong. */
struct field_check {
    struct err *err;
    int result;
};

static void check_field(void *context, struct span name) {
    struct field_check *check = context;
    if (check->result != 0 || each_name(is_same_name, &name) || is_feed_name(name)) {
        return;
    }
    const char *needs = message_field_needs(name);
    check->result =
        needs ? err_set(check->err, ERR_CONFIG, "`%.*s` needs %s, which is not in this version",
                        SPAN_ARG(name), needs)
              : check_unknown(name, check->err);
}

int filter_parse_query(struct span text, struct query **query, struct err *err) {
    struct field_check check = {.err = err};
    if (query_parse(text, query, err) != 0) {
        return -1;
    }
    if (query_is_blank(*query)) {
        check.result = err_set(err, ERR_CONFIG,
                               "an empty search matches every message; leave the setting out");
    }
    query_names(*query, check_field, &check);
    if (check.result != 0) {
        query_free(*query);
        *query = NULL;
    }
    return check.result;
}

/* ---- which fields are written for searches ---- */

static void want_name(void *context, struct span name) {
    struct filter_conf *conf = context;
    struct message_conf *wanted = &conf->message;
    bool known = is_base_name(name);
    conf->reads_base |= known;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (span_eq(fields[i].name, name)) {
            wanted->send_field[i] = known = true;
        }
    }
    for (size_t i = 0; i < NOTE_COUNT; i++) {
        bool is_of_address = note_kinds[i].about == NOTE_ABOUT_ADDRESS;
        for (size_t side = 0; side < (is_of_address ? SIDE_COUNT : 1); side++) {
            struct span prefix = flow_side_names[side];
            bool is_it = is_of_address ? span_starts(name, prefix) &&
                                             span_eq(behind_side(name), note_kinds[i].name)
                                       : span_eq(name, note_kinds[i].name);
            if (i == NOTE_THREAT_FEED ? is_feed_name(name) : is_it) {
                wanted->send_note[i][side] = known = true;
            }
        }
    }
    wanted->send_unknown |= !known;
}

void filter_narrow(struct filter_conf *conf, const struct query *const *queries, size_t count) {
    struct message_conf *message = &conf->message;
    struct filter_conf all = {0}; /* what counts is what its message sends */
    const struct message_conf *wanted = &all.message;
    for (size_t i = 0; i < count; i++) {
        if (queries[i]) {
            query_names(queries[i], want_name, &all);
        }
    }
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        message->send_field[i] &= wanted->send_field[i];
    }
    for (size_t i = 0; i < NOTE_COUNT; i++) {
        for (size_t side = 0; side < SIDE_COUNT; side++) {
            message->send_note[i][side] &= wanted->send_note[i][side];
        }
    }
    message->send_unknown &= wanted->send_unknown;
    message->event_uid &= wanted->send_note[NOTE_EVENT_UID][0];
    conf->reads_base = all.reads_base;
}

/* ---- sample ---- */

/* The finishing steps of a well-known mixer (splitmix64): every bit of the input moves half of the
   bits of the output. */
static uint64_t mix(uint64_t value) {
    value ^= value >> 30;
    value *= UINT64_C(0xbf58476d1ce4e5b9);
    value ^= value >> 27;
    value *= UINT64_C(0x94d049bb133111eb);
    return value ^ value >> 31;
}

/* Bytes in network order as a number, so that the machine's own order does not matter. */
static uint64_t load(const uint8_t *bytes) {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static uint64_t endpoint_hash(const struct ipaddr *addr, uint16_t port) {
    uint64_t hash = mix(load(addr->bytes) + UINT64_C(0x9e3779b97f4a7c15));
    hash = mix(hash ^ load(addr->bytes + 8));
    return mix(hash + port);
}

uint64_t filter_flow_hash(const struct flow *flow) {
    static const struct ipaddr none;
    bool has_src = flow->has & HAS_SRC, has_dst = flow->has & HAS_DST;
    uint64_t src = endpoint_hash(has_src ? &flow->addr[SIDE_SRC] : &none,
                                 flow->has & HAS_SRC_PORT ? flow->src_port : 0);
    uint64_t dst = endpoint_hash(has_dst ? &flow->addr[SIDE_DST] : &none,
                                 flow->has & HAS_DST_PORT ? flow->dst_port : 0);
    uint64_t low = src < dst ? src : dst, high = src < dst ? dst : src;
    uint64_t protocol = flow->has & HAS_PROTOCOL ? flow->protocol : 256;
    return mix(mix(low + protocol) ^ high);
}

static bool is_sampled_out(const struct filter_conf *conf, const struct flow *flow) {
    return conf->sample > 1 && flow->has & (HAS_SRC | HAS_DST) &&
           filter_flow_hash(flow) % conf->sample != 0;
}

/* ---- at run time ---- */

static bool is_side_address(size_t field) {
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        if (span_eq(fields[field].name, flow_side_names[side])) {
            return true;
        }
    }
    return false;
}

static void add_pick(struct filter *filter, struct span name, int column, int note) {
    for (size_t i = 0; i < filter->pick_count; i++) {
        if (span_eq(filter->picks[i].name, name)) {
            filter->picks[i].note = note;
            return;
        }
    }
    filter->picks[filter->pick_count++] = (struct pick){name, column, note};
}

/* What of the message is the encoder's alone: the fields that every message has, what it makes from
   the record's origin, notes that are no texts, and columns that no table has. */
static void plan_picks(struct filter *filter) {
    const struct message_conf *message = &filter->conf->message;
    filter->can_pick = !message->send_unknown && !filter->conf->reads_base;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (message->send_field[i] && !is_side_address(i)) {
            add_pick(filter, fields[i].name, (int)i, NOTE_COUNT);
        }
    }
    for (size_t i = 0; i < NOTE_COUNT; i++) {
        const struct note_kind *kind = &note_kinds[i];
        if (!message->send_note[i][0] || kind->about == NOTE_ABOUT_ADDRESS) {
            continue;
        }
        filter->can_pick &= kind->about == NOTE_ABOUT_FLOW && kind->type == NOTE_TEXT;
        add_pick(filter, kind->name, FIELD_UNKNOWN, (int)i);
    }
}

struct filter *filter_open(const struct filter_conf *conf, const struct encoder_type *encoder,
                           size_t style) {
    struct filter *filter = xcalloc(1, sizeof(*filter));
    filter->conf = conf;
    if (conf->writes) {
        filter->type = encoder;
        filter->encoder = encoder->open(&conf->message, style, SPAN("\n"));
        filter->style = style;
        plan_picks(filter);
    }
    buf_init(&filter->message, MESSAGE_MAX);
    message_view_init(&filter->view, MESSAGE_MAX);
    return filter;
}

void filter_close(struct filter *filter) {
    if (!filter) {
        return;
    }
    if (filter->type) {
        filter->type->close(filter->encoder);
    }
    buf_done(&filter->message);
    message_view_done(&filter->view);
    free(filter);
}

static struct span note_text(const struct flow *flow, int id, bool *plain) {
    for (size_t i = 0; i < flow->note_count; i++) {
        if (flow->notes[i].id == id) {
            *plain &= flow->notes[i].plain;
            return flow->notes[i].text;
        }
    }
    return span_of(NULL, 0);
}

static bool pick_field(struct filter *filter, const struct pick *pick, const struct flow *flow) {
    bool plain = true;
    struct span value = span_of(NULL, 0);
    bool is_number = false;
    if (pick->column != FIELD_UNKNOWN) {
        enum field_type type = fields[pick->column].type;
        is_number = type == FIELD_NUMBER || type == FIELD_PORT || type == FIELD_BYTE;
        value = flow_column(flow, (enum field_id)pick->column);
    }
    if (value.len == 0 && pick->note != NOTE_COUNT) {
        is_number = false;
        value = note_text(flow, pick->note, &plain);
    }
    return plain && (value.len == 0 || message_view_add(&filter->view, pick->name, value,
                                                        is_number ? VIEW_NUMBER : VIEW_TEXT));
}

/*
 * The short way, which most searches can go: fields as they stand in the line, in notes and in the
 * bytes of the dossiers. False where a text would not stand in the message just as it is.
 */
static bool pick_view(struct filter *filter, const struct flow *flow) {
    filter->view.count = 0;
    if (!filter->can_pick || !flow->plain || flow->line.len > JSON_STRING_MAX) {
        return false;
    }
    for (size_t i = 0; i < filter->pick_count; i++) {
        if (!pick_field(filter, &filter->picks[i], flow)) {
            return false;
        }
    }
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        const struct span *encoded = flow->side[side].encoded;
        if (flow->has & (1u << side) &&
            (!encoded || !message_view_add_plain(&filter->view, encoded[filter->style]))) {
            return false;
        }
    }
    return true;
}

/* What searches see of the flow. */
static bool make_view(struct filter *filter, const struct flow *flow) {
    struct err err;
    if (pick_view(filter, flow)) {
        return true;
    }
    buf_clear(&filter->message);
    return filter->type->encode(filter->encoder, flow, &filter->message) == 0 &&
           message_view_parse(&filter->view, buf_span(&filter->message), &err) == 0;
}

enum filter_verdict filter_decide(struct filter *filter, const struct flow *flow) {
    const struct filter_conf *conf = filter->conf;
    if (is_sampled_out(conf, flow)) {
        return FILTER_SAMPLED_OUT;
    }
    if (!filter->type) {
        return FILTER_PASS;
    }
    if (!make_view(filter, flow)) {
        return FILTER_TOO_LARGE;
    }
    if (conf->drop && query_matches(conf->drop, &filter->view)) {
        return FILTER_DROPPED;
    }
    return conf->keep && !query_matches(conf->keep, &filter->view) ? FILTER_NOT_KEPT : FILTER_PASS;
}

bool filter_matches(const struct filter *filter, const struct query *query) {
    return query_matches(query, &filter->view);
}
