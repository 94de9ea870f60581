/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threat feeds: which lists hold an address, and what they say of it. All feeds together are one
 * longest-prefix map whose values are numbers of verdicts; a verdict is the set of feeds and names
 * that hold at an address, so an address inside listed prefixes of several feeds gets them all.
 * Lines that cannot be read are counted and named in the report; a file of which no line can be
 * read is not what the format says, and keeps the last good table.
 */
#include <ctype.h>
#include <stdlib.h>

#include "base/file.h"
#include "base/intern.h"
#include "base/prefixmap.h"
#include "base/xalloc.h"
#include "enrich/enrichers.h"
#include "enrich/feed.h"

enum {
    FEEDS_MAX = 64,         /* bits of a verdict */
    VERDICT_NAMES_MAX = 16, /* further names are left out */
    NAME_BYTES_MAX = 200,   /* of a name in a feed; longer ones are cut */
    FEED_NAME_MAX = 64,
    FILE_MAX_BYTES = 512 << 20,
};

struct feed {
    char *name; /* cleaned: [a-z0-9_] */
    char *file;
    int format;
    int64_t column, threshold;
};

struct threat_conf {
    const struct yaml_node *node; /* of `feeds`; only valid while the configuration is read */
    size_t feed_count;
    struct feed *feeds;
};

/* What holds at an address. Kept in an intern table as bytes, as long as its names. */
struct verdict {
    uint64_t feeds; /* bit i: feed i lists it */
    uint32_t name_count;
    uint32_t names[VERDICT_NAMES_MAX];
};

struct threat_table {
    struct prefixmap *map; /* to numbers of verdicts */
    struct intern *verdicts;
    struct intern *names;
    size_t feed_count;
    struct span feed_names[FEEDS_MAX]; /* of the configuration, which outlives every table */
};

static const struct option feed_options[] = {
    {.name = "file",
     .type = OPTION_READ_PATH,
     .required = true,
     .offset = offsetof(struct feed, file),
     .help = "The list; it is read again when it changes."},
    {.name = "format",
     .type = OPTION_CHOICE,
     .preset = "plain",
     .choices = feed_format_names,
     .offset = offsetof(struct feed, format),
     .help = "What its lines look like."},
    {.name = "column",
     .type = OPTION_INTEGER,
     .preset = "1",
     .min = 1,
     .max = 1000,
     .offset = offsetof(struct feed, column),
     .help = "csv: the column of the address, from 1."},
    {.name = "threshold",
     .type = OPTION_INTEGER,
     .preset = "1",
     .min = 1,
     .max = 10,
     .offset = offsetof(struct feed, threshold),
     .help = "otx: entries count whose reliability and risk are both at least this."},
    OPTION_END,
};

/* A feed's name becomes the end of a field's name. */
static char *clean_name(const char *name) {
    char *clean = xstrdup(name);
    for (char *p = clean; *p; p++) {
        bool is_ascii = (unsigned char)*p < 128;
        *p = is_ascii && isalnum((unsigned char)*p) ? (char)tolower((unsigned char)*p) : '_';
    }
    return clean;
}

static void init_feed(struct threat_conf *conf, struct option_context *context,
                      const struct yaml_node *key, const struct yaml_node *value,
                      const char *path) {
    struct feed *feed = &conf->feeds[conf->feed_count++];
    char *place = xasprintf("%s.feeds.%s", path, key->text);
    feed->name = clean_name(key->text);
    if (feed->name[0] == '\0' || strlen(feed->name) > FEED_NAME_MAX) {
        option_error(context, key, place, "the name of a feed has 1 to %d bytes", FEED_NAME_MAX);
    }
    for (size_t i = 0; i + 1 < conf->feed_count; i++) {
        if (strcmp(conf->feeds[i].name, feed->name) == 0) {
            option_error(context, key, place, "two feeds would both be called \"%s\" in messages",
                         feed->name);
        }
    }
    option_parse(context, feed_options, value, place, feed);
    free(place);
}

static void threat_init(void *memory, struct option_context *context, const struct yaml_node *node,
                        const char *path) {
    struct threat_conf *conf = memory;
    const struct yaml_node *feeds = conf->node;
    (void)node;
    conf->node = NULL;
    if (yaml_is_null(feeds)) {
        return;
    }
    if (feeds->kind != YAML_MAP || feeds->count > FEEDS_MAX) {
        option_error(context, feeds, path,
                     "feeds must be a map of at most %d names, such as "
                     "spamhaus: {file: drop.txt, format: spamhaus}",
                     FEEDS_MAX);
        return;
    }
    conf->feeds = xcalloc(feeds->count + 1, sizeof(*conf->feeds));
    for (size_t i = 0; i < feeds->count; i++) {
        init_feed(conf, context, feeds->keys[i], feeds->items[i], path);
    }
}

static void threat_done(void *memory) {
    struct threat_conf *conf = memory;
    for (size_t i = 0; i < conf->feed_count; i++) {
        free(conf->feeds[i].name);
        option_free(feed_options, &conf->feeds[i]);
    }
    free(conf->feeds);
}

static struct verdict get_verdict(const struct intern *verdicts, uint32_t id) {
    struct verdict verdict = {0};
    struct span bytes = intern_get(verdicts, id);
    memcpy(&verdict, bytes.p, bytes.len);
    return verdict;
}

/* The number of a verdict; `otherwise` when the map has no number left for a new one. */
static uint32_t add_verdict(struct intern *verdicts, const struct verdict *verdict,
                            uint32_t otherwise) {
    size_t len = offsetof(struct verdict, names) + verdict->name_count * sizeof(uint32_t);
    struct span bytes = span_of((const char *)verdict, len);
    if (intern_count(verdicts) > PREFIXMAP_VALUE_MAX) {
        uint32_t id = intern_find(verdicts, bytes);
        return id == INTERN_NONE ? otherwise : id;
    }
    return intern_add(verdicts, bytes);
}

static void add_name(struct verdict *verdict, uint32_t name) {
    for (uint32_t i = 0; i < verdict->name_count; i++) {
        if (verdict->names[i] == name) {
            return;
        }
    }
    if (verdict->name_count < VERDICT_NAMES_MAX) {
        verdict->names[verdict->name_count++] = name;
    }
}

/* Everything that holds around an address holds at it. */
static uint32_t combine(void *context, uint32_t outer, uint32_t inner) {
    struct intern *verdicts = context;
    if (outer == inner) {
        return outer;
    }
    struct verdict both = get_verdict(verdicts, outer), more = get_verdict(verdicts, inner);
    both.feeds |= more.feeds;
    for (uint32_t i = 0; i < more.name_count; i++) {
        add_name(&both, more.names[i]);
    }
    return add_verdict(verdicts, &both, outer);
}

struct loading {
    struct threat_table *table;
    struct prefixmap_builder *builder;
    size_t feed;
    uint32_t nameless; /* verdict of an entry of this feed without names */
};

/* At most NAME_BYTES_MAX bytes, not cut within a UTF-8 sequence. */
static struct span cut_name(struct span name) {
    if (name.len > NAME_BYTES_MAX) {
        name.len = NAME_BYTES_MAX;
        while (name.len > 0 && ((unsigned char)name.p[name.len] & 0xc0) == 0x80) {
            name.len--;
        }
    }
    return name;
}

static void add_entry(void *context, const struct feed_entry *entry) {
    struct loading *loading = context;
    struct verdict verdict = {.feeds = (uint64_t)1 << loading->feed};
    for (size_t i = 0; i < entry->name_count; i++) {
        add_name(&verdict, intern_add(loading->table->names, cut_name(entry->names[i])));
    }
    prefixmap_add(loading->builder, &entry->prefix,
                  add_verdict(loading->table->verdicts, &verdict, loading->nameless));
}

static void report_feed(const struct feed *feed, const struct feed_result *result,
                        struct buf *report) {
    buf_printf(report, "threat: %s: %llu entries from %s", feed->name,
               (unsigned long long)result->entries, feed->file);
    if (result->below > 0) {
        buf_printf(report, ", %llu below the threshold", (unsigned long long)result->below);
    }
    if (result->bad > 0) {
        buf_printf(report, ", %llu bad line%s:", (unsigned long long)result->bad,
                   result->bad == 1 ? "" : "s");
        for (uint64_t i = 0; i < result->bad && i < FEED_BAD_SHOWN; i++) {
            buf_printf(report, " %llu", (unsigned long long)result->bad_line[i]);
        }
        buf_add(report, result->bad > FEED_BAD_SHOWN ? SPAN(" ...") : SPAN(""));
    }
    buf_char(report, '\n');
}

static int load_feed(struct loading *loading, const struct feed *feed, struct buf *report,
                     struct err *err) {
    struct buf text;
    struct feed_result result;
    struct feed_rules rules = {feed->format, feed->column, feed->threshold};
    struct verdict nameless = {.feeds = (uint64_t)1 << loading->feed};
    loading->nameless = add_verdict(loading->table->verdicts, &nameless, 0);
    buf_init(&text, FILE_MAX_BYTES);
    int outcome = file_read(feed->file, &text, err);
    if (outcome == 0) {
        feed_parse(&rules, buf_span(&text), add_entry, loading, &result);
        report_feed(feed, &result, report);
        if (result.bad > 0 && result.entries + result.below == 0) {
            outcome = err_set(err, ERR_CONFIG,
                              "%s: no line is what the format %s says; "
                              "the first is line %llu",
                              feed->file, feed_format_names[feed->format],
                              (unsigned long long)result.bad_line[0]);
        }
    }
    buf_done(&text);
    return outcome == 0 ? 0 : err_wrap(err, "feed %s", feed->name);
}

static void threat_unload(void *memory) {
    struct threat_table *table = memory;
    prefixmap_free(table->map);
    intern_close(table->verdicts);
    intern_close(table->names);
    free(table);
}

static int threat_load(const void *memory, struct buf *report, void **out, struct err *err) {
    const struct threat_conf *conf = memory;
    struct threat_table *table = xcalloc(1, sizeof(*table));
    table->verdicts = intern_open();
    table->names = intern_open();
    struct loading loading = {.table = table, .builder = prefixmap_begin(combine, table->verdicts)};
    int result = 0;
    for (; loading.feed < conf->feed_count && result == 0; loading.feed++) {
        table->feed_names[loading.feed] = span_str(conf->feeds[loading.feed].name);
        table->feed_count++;
        result = load_feed(&loading, &conf->feeds[loading.feed], report, err);
    }
    table->map = prefixmap_finish(loading.builder);
    if (result < 0) {
        threat_unload(table);
        return -1;
    }
    *out = table;
    return 0;
}

static const char *threat_file(const void *memory, size_t index) {
    const struct threat_conf *conf = memory;
    return index < conf->feed_count ? conf->feeds[index].file : NULL;
}

static void describe_verdict(const struct threat_table *table, const struct verdict *verdict,
                             struct dossier *dossier) {
    char text[VERDICT_NAMES_MAX * (NAME_BYTES_MAX + 1)];
    struct buf names;
    for (size_t i = 0; i < table->feed_count; i++) {
        if (verdict->feeds >> i & 1) {
            dossier_truth(dossier, NOTE_THREAT_FEED, table->feed_names[i], true);
        }
    }
    buf_over(&names, text, sizeof(text));
    for (uint32_t i = 0; i < verdict->name_count; i++) {
        if (i > 0) {
            buf_char(&names, '\0');
        }
        buf_add(&names, intern_get(table->names, verdict->names[i]));
    }
    dossier_text(dossier, NOTE_THREAT_NAME, buf_span(&names));
}

static void threat_describe(const void *memory, uint64_t scope, const struct ipaddr *addr,
                            int64_t time_s, struct dossier *dossier) {
    const struct threat_table *table = memory;
    (void)scope;
    (void)time_s;
    if (table->feed_count == 0) {
        return;
    }
    /* Lists of bogons name private ranges too; what is ours is no threat by that. */
    uint32_t id =
        dossier->facts & FACT_INTERNAL ? PREFIXMAP_NONE : prefixmap_find(table->map, addr);
    dossier->facts |= FACT_THREAT_KNOWN;
    dossier_truth(dossier, NOTE_THREAT_INDICATED_SIDE, span_of(NULL, 0), id != PREFIXMAP_NONE);
    if (id != PREFIXMAP_NONE) {
        struct verdict verdict = get_verdict(table->verdicts, id);
        dossier->facts |= FACT_THREAT;
        describe_verdict(table, &verdict, dossier);
    }
}

static const struct option options[] = {
    {.name = "feeds",
     .type = OPTION_NODE,
     .offset = offsetof(struct threat_conf, node),
     .sample = "{spamhaus: {file: drop.txt, format: spamhaus}, tor: {file: tor.txt, format: tor}}",
     .help = "A map of feed names to `{file: PATH, format: FORMAT}`; a name becomes the end of "
             "P_threat_indicated_NAME. Formats: plain and cidr (an address or prefix a line, "
             "comments with # ; //), spamhaus (DROP text), spamhaus_json (DROP as JSON lines), tor "
             "(exit-addresses or bulk list), otx (reputation data; with `threshold: 1..10`, the "
             "least reliability and risk), csv (with `column: N`, from 1). Prefixes shorter than "
             "/8 (IPv6: /16) are bad lines; bad lines are counted and reported."},
    OPTION_END,
};

const struct enricher_type enrich_threat_type = {
    .name = "threat",
    .help = "Looks addresses up in lists of known bad ones: P_threat_indicated, one field for "
            "each feed that lists it, and the names it gives.",
    .options = options,
    .conf_size = sizeof(struct threat_conf),
    .init = threat_init,
    .done = threat_done,
    .load = threat_load,
    .unload = threat_unload,
    .file = threat_file,
    .describe = threat_describe,
};
