/* SPDX-License-Identifier: Apache-2.0 */
/* See feed.h. */
#include "enrich/feed.h"

#include <jansson.h>
#include <stdbool.h>

#include "base/num.h"

enum { QUOTED_MAX = 256 };

enum line_kind {
    LINE_NOTHING, /* a comment, a heading, metadata */
    LINE_ENTRY,
    LINE_BELOW,
    LINE_BAD,
};

/* What a parser of lines has to hand. */
struct line_work {
    const struct feed_rules *rules;
    uint64_t number;
    char text[QUOTED_MAX]; /* for what has to be unquoted */
};

/* Looks at one line, which is trimmed and not empty. */
typedef enum line_kind (*line_parse)(struct line_work *work, struct span line,
                                     struct feed_entry *entry);

static bool is_comment(struct span line) {
    return line.p[0] == '#' || line.p[0] == ';' || span_starts(line, SPAN("//"));
}

static bool is_blank(char c) {
    return c == ' ' || c == '\t';
}

/* The first word: up to a blank or one of `stops`. */
static struct span first_word(struct span text, const char *stops) {
    size_t len = 0;
    while (len < text.len && !is_blank(text.p[len]) && text.p[len] != '\0' &&
           !strchr(stops, text.p[len])) {
        len++;
    }
    return span_of(text.p, len);
}

static void add_name(struct feed_entry *entry, struct span name) {
    name = span_trim(name);
    if (name.len > 0 && entry->name_count < FEED_NAMES_MAX && !memchr(name.p, '\0', name.len)) {
        entry->names[entry->name_count++] = name;
    }
}

static enum line_kind parse_prefix(struct span text, struct cidr *prefix) {
    if (!cidr_parse_masked(text, prefix)) {
        return LINE_BAD;
    }
    int least = prefix->addr.family == IPADDR_V4 ? FEED_V4_BITS_MIN : FEED_V6_BITS_MIN;
    return prefix->bits < least ? LINE_BAD : LINE_ENTRY;
}

/* An address or prefix; whatever follows behind a blank (a count, a date) or a comment sign does
   not matter. */
static enum line_kind parse_plain(struct line_work *work, struct span line,
                                  struct feed_entry *entry) {
    (void)work;
    return is_comment(line) ? LINE_NOTHING : parse_prefix(first_word(line, "#;"), &entry->prefix);
}

/* "1.10.16.0/20 ; SBL256894" */
static enum line_kind parse_spamhaus(struct line_work *work, struct span line,
                                     struct feed_entry *entry) {
    (void)work;
    if (is_comment(line)) {
        return LINE_NOTHING;
    }
    const char *sign = memchr(line.p, ';', line.len);
    if (sign) {
        add_name(entry, span_skip(line, (size_t)(sign - line.p) + 1));
    }
    return parse_prefix(first_word(line, ";"), &entry->prefix);
}

/* A string of an object, copied because the object goes; empty when it is none or too long. */
static struct span json_text(const json_t *object, const char *key, char *copy, size_t room) {
    const json_t *value = json_object_get(object, key);
    size_t len = json_string_length(value);
    if (!json_is_string(value) || len > room) {
        return span_of(NULL, 0);
    }
    memcpy(copy, json_string_value(value), len);
    return span_of(copy, len);
}

/* {"cidr":"1.10.16.0/20","sblid":"SBL256894","rir":"apnic"}; the last is {"type":"metadata"} */
static enum line_kind parse_spamhaus_json(struct line_work *work, struct span line,
                                          struct feed_entry *entry) {
    json_t *object = json_loadb(line.p, line.len, JSON_REJECT_DUPLICATES, NULL);
    char cidr[IPADDR_TEXT_MAX + 4];
    struct span prefix = json_text(object, "cidr", cidr, sizeof(cidr));
    bool is_metadata = prefix.len == 0 && json_is_string(json_object_get(object, "type"));
    add_name(entry, json_text(object, "sblid", work->text, sizeof(work->text)));
    json_decref(object);
    return is_metadata ? LINE_NOTHING : parse_prefix(prefix, &entry->prefix);
}

/* "ExitAddress 1.2.3.4 2026-08-22 03:00:29" among other lines, or addresses alone. */
static enum line_kind parse_tor(struct line_work *work, struct span line,
                                struct feed_entry *entry) {
    static const struct span others[] = {{"ExitNode ", 9}, {"Published ", 10}, {"LastStatus ", 11}};
    struct span sign = SPAN("ExitAddress ");
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (span_starts(line, others[i])) {
            return LINE_NOTHING;
        }
    }
    return parse_plain(work, span_starts(line, sign) ? span_trim(span_skip(line, sign.len)) : line,
                       entry);
}

/* "IP#reliability#risk#type;type#country#city#lat,lon#n" */
static enum line_kind parse_otx(struct line_work *work, struct span line,
                                struct feed_entry *entry) {
    enum { RELIABILITY = 1, RISK, TYPES, PARTS };
    struct span part[PARTS] = {{NULL, 0}};
    uint64_t reliability, risk;
    if (is_comment(line)) {
        return LINE_NOTHING;
    }
    for (size_t i = 0; i < PARTS && span_cut(&line, '#', &part[i]); i++) {
    }
    if (!num_parse_u64(part[RELIABILITY], 10, &reliability) ||
        !num_parse_u64(part[RISK], 10, &risk)) {
        return LINE_BAD;
    }
    struct span name;
    while (span_cut(&part[TYPES], ';', &name)) {
        add_name(entry, name);
    }
    enum line_kind kind = parse_prefix(part[0], &entry->prefix);
    uint64_t least = (uint64_t)work->rules->threshold;
    return kind == LINE_ENTRY && (reliability < least || risk < least) ? LINE_BELOW : kind;
}

/* Cuts the next cell off a CSV line (RFC 4180). A quoted one is copied without its quotes; what
   does not fit is no address anyhow and is cut. False at the end of the line. */
static bool csv_cell(struct span *rest, char *copy, struct span *cell) {
    if (rest->len == 0 || rest->p[0] != '"') {
        return span_cut(rest, ',', cell);
    }
    size_t len = 0, at = 1;
    for (; at < rest->len; at++) {
        if (rest->p[at] == '"' && (++at == rest->len || rest->p[at] != '"')) {
            break;
        }
        if (len < QUOTED_MAX) {
            copy[len++] = rest->p[at];
        }
    }
    *rest = span_skip(*rest, at < rest->len ? at : rest->len);
    struct span tail;
    span_cut(rest, ',', &tail);
    *cell = span_of(copy, len);
    return true;
}

static enum line_kind parse_csv(struct line_work *work, struct span line,
                                struct feed_entry *entry) {
    struct span cell = {NULL, 0};
    if (is_comment(line)) {
        return LINE_NOTHING;
    }
    for (int64_t i = 0; i < work->rules->column; i++) {
        /* Blanks behind a comma are common, though no part of the format. */
        line = span_trim(line);
        if (!csv_cell(&line, work->text, &cell)) {
            cell = span_of(NULL, 0);
            break;
        }
    }
    enum line_kind kind = parse_prefix(span_trim(cell), &entry->prefix);
    /* The first line may be a heading. */
    return kind == LINE_BAD && work->number == 1 ? LINE_NOTHING : kind;
}

const char *const feed_format_names[] = {"plain", "cidr", "spamhaus", "spamhaus_json",
                                         "tor",   "otx",  "csv",      NULL};

/* `cidr` is what people look for who have a list of prefixes; it is read as `plain` is. */
static const line_parse parsers[] = {parse_plain, parse_plain, parse_spamhaus, parse_spamhaus_json,
                                     parse_tor,   parse_otx,   parse_csv};

void feed_parse(const struct feed_rules *rules, struct span text, feed_found found, void *context,
                struct feed_result *result) {
    struct line_work work = {.rules = rules};
    struct span line, mark = SPAN("\xef\xbb\xbf");
    *result = (struct feed_result){0};
    if (span_starts(text, mark)) {
        text = span_skip(text, mark.len);
    }
    while (span_cut(&text, '\n', &line)) {
        struct feed_entry entry = {.name_count = 0};
        work.number++;
        line = span_trim(line);
        enum line_kind kind = line.len ? parsers[rules->format](&work, line, &entry) : LINE_NOTHING;
        if (kind == LINE_ENTRY) {
            result->entries++;
            found(context, &entry);
        } else if (kind == LINE_BELOW) {
            result->below++;
        } else if (kind == LINE_BAD) {
            if (result->bad < FEED_BAD_SHOWN) {
                result->bad_line[result->bad] = work.number;
            }
            result->bad++;
        }
    }
}
