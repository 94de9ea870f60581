/* SPDX-License-Identifier: Apache-2.0 */
/* For tests of enrichers: one enricher with settings given as YAML, asked without the daemon. */
#pragma once

#include <stdio.h>
#include <string.h>

#include "base/xalloc.h"
#include "enrich/enrichers.h"
#include "unit.h"

struct asked {
    const struct enricher_type *type;
    struct yaml_node *root;
    void *conf, *table;
    struct option_context context; /* errors in here */
    struct buf report;
    struct err err;
};

/* Parses the settings; how many errors there are. */
static inline int asked_configure(struct asked *asked, const struct enricher_type *type,
                                  const char *yaml, const char *read_dir) {
    *asked = (struct asked){.type = type};
    asked->context =
        (struct option_context){.file = "t.yaml", .read_dir = read_dir, .write_dir = "/nowhere"};
    buf_init(&asked->context.errors, 1 << 16);
    buf_init(&asked->report, 1 << 16);
    asked->conf = xcalloc(1, type->conf_size + 1);
    ck_assert_int_eq(yaml_parse(span_str(yaml), "t.yaml", &asked->root, &asked->err), 0);
    int errors = type->options
                     ? option_parse(&asked->context, type->options, asked->root, "e", asked->conf)
                     : 0;
    if (errors == 0 && type->init) {
        type->init(asked->conf, &asked->context, asked->root, "e");
    }
    return asked->context.error_count;
}

/* Also loads the table; 0 or -1 as load says. Configuration errors fail the test. */
static inline int asked_open(struct asked *asked, const struct enricher_type *type,
                             const char *yaml, const char *read_dir) {
    int errors = asked_configure(asked, type, yaml, read_dir);
    ck_assert_msg(errors == 0, "%s", buf_cstr(&asked->context.errors));
    return type->load(asked->conf, &asked->report, &asked->table, &asked->err);
}

static inline void asked_close(struct asked *asked) {
    if (asked->table) {
        asked->type->unload(asked->table);
    }
    if (asked->type->done) {
        asked->type->done(asked->conf);
    }
    if (asked->type->options) {
        option_free(asked->type->options, asked->conf);
    }
    free(asked->conf);
    yaml_unload(asked->root);
    buf_done(&asked->context.errors);
    buf_done(&asked->report);
}

static inline struct ipaddr address(const char *text) {
    struct ipaddr addr;
    ck_assert_msg(ipaddr_parse(span_str(text), &addr), "%s", text);
    return addr;
}

/* The dossier of an address, with facts that enrichers before this one found. */
static inline const struct dossier *describe(const struct asked *asked, const char *text,
                                             uint32_t facts) {
    static struct dossier dossier;
    struct ipaddr addr = address(text);
    dossier.facts = facts;
    dossier.note_count = dossier.text_len = 0;
    asked->type->describe(asked->table, 0, &addr, 0, &dossier);
    return &dossier;
}

/* A note's text with '|' for NUL, a number, "true", "false", or "-" when it is absent. */
static inline const char *note_text(const struct note *note) {
    static char text[4][512];
    static unsigned turn;
    char *out = text[turn++ % 4];
    strcpy(out, "-");
    if (!note) {
        return out;
    }
    switch (note_kinds[note->id].type) {
    case NOTE_NUMBER:
        snprintf(out, sizeof(text[0]), "%lld", (long long)note->number);
        break;
    case NOTE_TRUTH:
    case NOTE_TRUE_ONLY:
        strcpy(out, note->truth ? "true" : "false");
        break;
    default:
        ck_assert_uint_lt(note->text.len, sizeof(text[0]));
        memcpy(out, note->text.p, note->text.len);
        out[note->text.len] = '\0';
        for (size_t i = 0; i < note->text.len; i++) {
            out[i] = out[i] == '\0' ? '|' : out[i];
        }
    }
    return out;
}

static inline const char *described(const struct asked *asked, const char *addr, enum note_id id) {
    return note_text(dossier_find(describe(asked, addr, 0), id));
}

/* Whether the settings are refused with a text that holds `needle`. */
static inline bool is_refused(const struct enricher_type *type, const char *yaml,
                              const char *needle) {
    struct asked asked;
    int errors = asked_configure(&asked, type, yaml, "/nowhere");
    bool found = strstr(buf_cstr(&asked.context.errors), needle) != NULL;
    if (!found) {
        fprintf(stderr, "%d errors: %s\n", errors, buf_cstr(&asked.context.errors));
    }
    asked_close(&asked);
    return errors > 0 && found;
}
