/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See message.h. Names of fields stand nowhere here: they are made from the tables of fields and
 * notes, and from the names of the addresses.
 */
#include "flow/message.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/xalloc.h"

static const char *const set_names[] = {"plugin", "standard", "all", NULL};
static const char *const schema_names[] = {"graylog", NULL};
static const char *const boolean_names[] = {"string", "native", NULL};
static const char *const list_names[] = {"joined", "native", NULL};
static const char *const false_names[] = {"send", "omit", NULL};
static const char *const time_names[] = {"event", "start", "end", "arrival", NULL};

static const struct option fields_options[] = {
    {.name = "set",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct message_fields, set),
     .preset = "standard",
     .choices = set_names,
     .help = "The fields to start from: those of Graylog's AWS plugin, what searches and alerts "
             "need besides, or all."},
    {.name = "add",
     .type = OPTION_STRING,
     .list = true,
     .offset = offsetof(struct message_fields, add),
     .sample = "[tcp_flags_names]",
     .help = "Fields to send besides, by their names in messages; `P_city_name` stands for that "
             "field of every address, `P_threat_indicated_tor` for what the feed `tor` says (apart "
             "from `P_threat_indicated`, the verdict of all feeds). Columns that this version does "
             "not know are named too, with `_` for `-`."},
    {.name = "omit",
     .type = OPTION_STRING,
     .list = true,
     .offset = offsetof(struct message_fields, omit),
     .sample = "[P_geolocation]",
     .help = "Fields not to send, written as in `add`."},
    OPTION_END,
};

const struct option message_options[] = {
    {.name = "schema",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct message_conf, schema),
     .preset = "graylog",
     .choices = schema_names,
     .help = "The names of the fields: `graylog` has those of Graylog's AWS and threat plugins."},
    {.name = "fields",
     .type = OPTION_GROUP,
     .offset = offsetof(struct message_conf, fields),
     .group = fields_options,
     .help = "Which fields messages have."},
    {.name = "booleans",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct message_conf, booleans),
     .preset = "string",
     .choices = boolean_names,
     .help = "Truth values as the strings \"true\" and \"false\", or as JSON booleans. Graylog "
             "drops JSON booleans; Logstash, Kafka and Elasticsearch take them."},
    {.name = "lists",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct message_conf, lists),
     .preset = "joined",
     .choices = list_names,
     .help = "Lists joined by commas, or as JSON arrays (kafka, elasticsearch, file, stdout)."},
    {.name = "false_values",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct message_conf, false_values),
     .preset = "send",
     .choices = false_names,
     .help = "`omit` leaves out every \"false\" but those of `internal` and `trusted`, for whoever "
             "pays by the byte."},
    {.name = "host",
     .type = OPTION_STRING,
     .offset = offsetof(struct message_conf, host),
     .preset = "aws-flowlogs",
     .help = "The message's host (Graylog's source). May name a field, as `${interface_id}`; a "
             "flow without it has `aws-flowlogs`."},
    {.name = "timestamp",
     .type = OPTION_CHOICE,
     .offset = offsetof(struct message_conf, timestamp),
     .preset = "event",
     .choices = time_names,
     .help = "The message's time: the CloudWatch event's, the flow's start or end, or when the "
             "record was read (`start` and `end` are then always sent). A time that a record does "
             "not have is replaced by the next of event, start, end, arrival."},
    {.name = "short_message",
     .type = OPTION_STRING,
     .offset = offsetof(struct message_conf, short_message),
     .sample = "\"${action} ${src_addr} -> ${dst_addr}:${dst_port}\"",
     .help = "A template with `${field}` for fields of the line and of the flow. Without it: "
             "interface, action, protocol and the addresses, as Graylog's AWS plugin writes them."},
    {.name = "full_message",
     .type = OPTION_BOOLEAN,
     .offset = offsetof(struct message_conf, full_message),
     .preset = "false",
     .help = "Sends the raw line too. Logstash then shows it in place of the short message."},
    {.name = "whois_names",
     .type = OPTION_BOOLEAN,
     .offset = offsetof(struct message_conf, whois_names),
     .preset = "false",
     .help = "Sends an address's organisation and country also under the names of Graylog's "
             "whois look-ups, `whois_organization` and `whois_country_code`."},
    OPTION_END,
};

/* Takes `prefix` and the underscore behind it off `name`. */
static bool cut_prefix(struct span name, struct span prefix, struct span *rest) {
    if (name.len <= prefix.len || !span_starts(name, prefix) || name.p[prefix.len] != '_') {
        return false;
    }
    *rest = span_skip(name, prefix.len + 1);
    return true;
}

/* Takes the name of an address, or the P_ that stands for all, off a field's name; the
   sides as bits, 0 for other names. */
static unsigned cut_side(struct span name, struct span *rest) {
    if (cut_prefix(name, SPAN("P"), rest)) {
        return (1u << SIDE_COUNT) - 1;
    }
    for (unsigned side = 0; side < SIDE_COUNT; side++) {
        if (cut_prefix(name, flow_side_names[side], rest)) {
            return 1u << side;
        }
    }
    return 0;
}

/* The sides whose notes of a kind a name speaks of. */
static unsigned sides_of(struct span name, struct span kind) {
    struct span rest;
    unsigned sides = cut_side(name, &rest);
    return sides && span_eq(rest, kind) ? sides : 0;
}

/* A name may be that of a field and of a note at once (flow_direction). False: of neither. What
   each feed says of an address goes by names with the feed's name: see cut_feed. */
static bool select_name(struct message_conf *conf, struct span name, bool send) {
    bool known = false;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].set != SET_NEVER && span_eq(fields[i].name, name)) {
            conf->send_field[i] = send;
            known = true;
        }
    }
    for (size_t i = 0; i < NOTE_COUNT; i++) {
        const struct note_kind *kind = &note_kinds[i];
        if (i == NOTE_THREAT_FEED) {
            continue;
        }
        unsigned sides = kind->about == NOTE_ABOUT_ADDRESS ? sides_of(name, kind->name)
                                                           : span_eq(name, kind->name);
        for (unsigned side = 0; side < SIDE_COUNT; side++) {
            if (sides & 1u << side) {
                conf->send_note[i][side] = send;
                known = true;
            }
        }
    }
    return known;
}

/* The sides of a name `<side>_threat_indicated_<feed>`; 0 for other names. */
static unsigned cut_feed(struct span name, struct span *feed) {
    struct span rest;
    unsigned sides = cut_side(name, &rest);
    bool is_feed = sides && cut_prefix(rest, note_kinds[NOTE_THREAT_FEED].name, feed);
    return is_feed && feed->len > 0 ? sides : 0;
}

static bool is_clean(struct span name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
              c == '_')) {
            return false;
        }
    }
    return name.len > 0;
}

/* What of the reference comes with later versions. A name that ends with '_' stands for all that
   begin with it. */
static const struct {
    const char *needs;
    const char *const *flow, *const *address; /* names about the flow; behind an address's */
} later[] = {
    {"an inventory",
     (const char *const[]){"inbound_public", "inbound_via", "nat_gateway_accept", "suspicious",
                           "sg_rule", "sg_rule_open_world", "sg_would_allow", "sg_current_allows",
                           "public_interface", "vpc_peering_id", "interface_description",
                           "interface_az", "interface_sg_ids", "interface_sg_names",
                           "interface_private_ip", "inventory_version", "inventory_age_seconds",
                           NULL},
     (const char *const[]){"entity", "entity_", "load_balancer", "lb_scheme", "rds_encrypted",
                           "rds_public", "sg_egress_open", "tag_", NULL}},
    {"reverse DNS", (const char *const[]){NULL}, (const char *const[]){"rdns", NULL}},
    {"AWS's list of address ranges", (const char *const[]){NULL},
     (const char *const[]){"aws_service", "aws_region", NULL}},
    {"the input s3", (const char *const[]){"s3_bucket", "s3_key", NULL},
     (const char *const[]){NULL}},
};

static bool is_among(struct span name, const char *const *names) {
    for (; *names; names++) {
        struct span one = span_str(*names);
        bool is_start = one.p[one.len - 1] == '_';
        if (is_start ? span_starts(name, one) : span_eq(name, one)) {
            return true;
        }
    }
    return false;
}

const char *message_field_needs(struct span name) {
    struct span rest;
    bool is_of_address = cut_side(name, &rest) != 0;
    for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++) {
        if (is_of_address ? is_among(rest, later[i].address) : is_among(name, later[i].flow)) {
            return later[i].needs;
        }
    }
    return NULL;
}

static void select_set(struct message_conf *conf) {
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        conf->send_field[i] = (int)fields[i].set <= conf->fields.set;
    }
    for (size_t i = 0; i < NOTE_COUNT; i++) {
        for (size_t side = 0; side < SIDE_COUNT; side++) {
            conf->send_note[i][side] = (int)note_kinds[i].set <= conf->fields.set;
        }
    }
    conf->send_unknown = conf->fields.set >= SET_STANDARD;
}

/* The known name nearest to a wrong one, NULL without; the caller's. */
static char *nearest_name(const char *wrong) {
    char *names[FIELD_COUNT + NOTE_COUNT * (SIDE_COUNT + 1) + 1];
    size_t count = 0;
    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].set != SET_NEVER) {
            names[count++] = xstrdup_span(fields[i].name);
        }
    }
    for (size_t i = 0; i < NOTE_COUNT; i++) {
        struct span kind = note_kinds[i].name;
        if (note_kinds[i].about != NOTE_ABOUT_ADDRESS) {
            names[count++] = xstrdup_span(kind);
            continue;
        }
        names[count++] = xasprintf("P_%.*s", SPAN_ARG(kind));
        for (size_t side = 0; side < SIDE_COUNT; side++) {
            names[count++] =
                xasprintf("%.*s_%.*s", SPAN_ARG(flow_side_names[side]), SPAN_ARG(kind));
        }
    }
    names[count] = NULL;
    const char *near = option_nearest(wrong, (const char *const *)names);
    char *copy = near ? xstrdup(near) : NULL;
    while (count > 0) {
        free(names[--count]);
    }
    return copy;
}

/* Names that no table has, but messages may: of what a feed says, and of columns that AWS added. A
   name near a known one is taken for a mistake. */
static bool is_open_name(struct span name, const char *near) {
    struct span rest;
    if (!is_clean(name)) {
        return false;
    }
    return cut_side(name, &rest) ? cut_feed(name, &rest) != 0
                                 : !near && field_find(name) == FIELD_UNKNOWN;
}

static void refuse_name(struct option_context *context, const struct yaml_node *place,
                        const char *setting, const char *name, const char *near) {
    const char *needs = message_field_needs(span_str(name));
    if (needs) {
        option_error(context, place, setting, "`%s` needs %s, which is not in this version", name,
                     needs);
        return;
    }
    option_error(context, place, setting, "no field is named `%s`%s%s%s", name,
                 near ? "; did you mean `" : "", near ? near : "", near ? "`?" : "");
}

static void select_list(struct message_conf *conf, const struct string_list *list, bool send,
                        struct option_context *context, const struct yaml_node *node,
                        const char *path) {
    const char *key = send ? "add" : "omit";
    const struct yaml_node *place = yaml_get(yaml_get(node, "fields"), key);
    for (size_t i = 0; i < list->count; i++) {
        struct span name = span_str(list->items[i]);
        if (select_name(conf, name, send)) {
            continue;
        }
        char *near = nearest_name(list->items[i]);
        if (!message_field_needs(name) && is_open_name(name, near)) {
            free(near);
            continue;
        }
        bool is_list = place && place->kind == YAML_LIST && i < place->count;
        char *setting = xasprintf("%s.fields.%s", path, key);
        refuse_name(context,
                    is_list ? place->items[i]
                    : place ? place
                            : node,
                    setting, list->items[i], near);
        free(near);
        free(setting);
    }
}

static void check_template(const char *text, const char *key, struct option_context *context,
                           const struct yaml_node *node, const char *path) {
    struct template template;
    struct err err;
    if (text && template_parse(span_str(text), &template, &err) != 0) {
        const struct yaml_node *place = yaml_get(node, key);
        char *setting = xasprintf("%s.%s", path, key);
        option_error(context, place ? place : node, setting, "%s", err.text);
        free(setting);
    }
}

void message_init(struct message_conf *conf, struct option_context *context,
                  const struct yaml_node *node, const char *path) {
    select_set(conf);
    select_list(conf, &conf->fields.add, true, context, node, path);
    select_list(conf, &conf->fields.omit, false, context, node, path);
    if (conf->timestamp == TIME_ARRIVAL) {
        conf->send_field[FIELD_START] = true;
        conf->send_field[FIELD_END] = true;
    }
    conf->event_uid = conf->send_note[NOTE_EVENT_UID][0];
    check_template(conf->host, "host", context, node, path);
    check_template(conf->short_message, "short_message", context, node, path);
}

void message_check_gelf(const struct message_conf *conf, struct option_context *context,
                        const struct yaml_node *node, const char *path) {
    if (conf->lists == LISTS_NATIVE) {
        const struct yaml_node *place = yaml_get(node, "lists");
        char *setting = xasprintf("%s.lists", path);
        option_error(context, place ? place : node, setting,
                     "`native` is not for GELF, which has no arrays; allowed here: joined");
        free(setting);
    }
}

/* Whether a list names the column. */
static bool names_column(const struct string_list *list, struct span key) {
    for (size_t i = 0; i < list->count; i++) {
        if (span_eq(span_str(list->items[i]), key)) {
            return true;
        }
    }
    return false;
}

/* Of what is left out nothing is sent, be it added or not. */
bool message_sends_column(const struct message_conf *conf, struct span key) {
    return !names_column(&conf->fields.omit, key) &&
           (conf->send_unknown || names_column(&conf->fields.add, key));
}

static bool names_feed(const struct string_list *list, enum flow_side side, struct span feed) {
    struct span name;
    for (size_t i = 0; i < list->count; i++) {
        if (cut_feed(span_str(list->items[i]), &name) & 1u << side && span_eq(name, feed)) {
            return true;
        }
    }
    return false;
}

bool message_sends_feed(const struct message_conf *conf, enum flow_side side, struct span feed) {
    return !names_feed(&conf->fields.omit, side, feed) &&
           (conf->send_note[NOTE_THREAT_FEED][side] || names_feed(&conf->fields.add, side, feed));
}

/* Whether what the lists of `one` say of names that no table has is the same in `other`. */
static bool same_open_names(const struct message_conf *one, const struct message_conf *other) {
    const struct string_list *lists[] = {&one->fields.add, &one->fields.omit};
    struct message_conf known = {0};
    for (size_t i = 0; i < 2; i++) {
        for (size_t k = 0; k < lists[i]->count; k++) {
            struct span name = span_str(lists[i]->items[k]), feed;
            unsigned sides = cut_feed(name, &feed);
            for (unsigned side = 0; side < SIDE_COUNT; side++) {
                if (sides & 1u << side &&
                    message_sends_feed(one, (enum flow_side)side, feed) !=
                        message_sends_feed(other, (enum flow_side)side, feed)) {
                    return false;
                }
            }
            if (sides == 0 && !select_name(&known, name, true) &&
                message_sends_column(one, name) != message_sends_column(other, name)) {
                return false;
            }
        }
    }
    return true;
}

static bool same_text(const char *a, const char *b) {
    return a && b ? strcmp(a, b) == 0 : a == b;
}

bool message_equal(const struct message_conf *a, const struct message_conf *b) {
    return a->schema == b->schema && a->booleans == b->booleans && a->lists == b->lists &&
           a->false_values == b->false_values && a->timestamp == b->timestamp &&
           same_text(a->host, b->host) && same_text(a->short_message, b->short_message) &&
           a->full_message == b->full_message && a->whois_names == b->whois_names &&
           memcmp(a->send_field, b->send_field, sizeof(a->send_field)) == 0 &&
           a->send_unknown == b->send_unknown &&
           memcmp(a->send_note, b->send_note, sizeof(a->send_note)) == 0 &&
           a->event_uid == b->event_uid && same_open_names(a, b) && same_open_names(b, a);
}

/* Names in messages come before AWS's: `${protocol}` is TCP, as in a message, and not 6. */
static bool template_name(struct span name, struct template_part *part) {
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (span_eq(fields[i].name, name)) {
            *part = (struct template_part){.kind = TEMPLATE_FIELD, .id = i};
            return true;
        }
    }
    for (int i = 0; i < NOTE_COUNT; i++) {
        if (note_kinds[i].about == NOTE_ABOUT_FLOW && span_eq(note_kinds[i].name, name)) {
            *part = (struct template_part){.kind = TEMPLATE_NOTE, .id = i};
            return true;
        }
    }
    enum field_id field = field_find(name);
    *part = (struct template_part){.kind = TEMPLATE_FIELD, .id = (int)field};
    return field != FIELD_UNKNOWN;
}

/* Cuts the next part off `rest`. */
static int template_next(struct span *rest, struct template_part *part, struct err *err) {
    if (!span_starts(*rest, SPAN("${"))) {
        const char *hit = rest->len > 0 ? memmem(rest->p, rest->len, "${", 2) : NULL;
        size_t len = hit ? (size_t)(hit - rest->p) : rest->len;
        *part = (struct template_part){.kind = TEMPLATE_TEXT, .text = span_of(rest->p, len)};
        *rest = span_skip(*rest, len);
        return 0;
    }
    const char *close = memchr(rest->p, '}', rest->len);
    if (!close) {
        return err_set(err, ERR_CONFIG, "`${` without `}` behind it");
    }
    struct span name = span_of(rest->p + 2, (size_t)(close - rest->p) - 2);
    *rest = span_skip(*rest, name.len + 3);
    if (!template_name(name, part)) {
        char *text = xstrdup_span(name);
        char *near = nearest_name(text);
        err_set(err, ERR_CONFIG, "`${%s}` names no field of the line or of the flow%s%s%s", text,
                near ? "; the nearest field is `" : "", near ? near : "", near ? "`" : "");
        free(near);
        free(text);
        return -1;
    }
    return 0;
}

int template_parse(struct span text, struct template *template, struct err *err) {
    template->count = 0;
    while (text.len > 0) {
        if (template->count == TEMPLATE_PARTS_MAX) {
            return err_set(err, ERR_CONFIG, "more than %d parts", TEMPLATE_PARTS_MAX);
        }
        if (template_next(&text, &template->parts[template->count++], err) != 0) {
            return -1;
        }
    }
    return 0;
}
