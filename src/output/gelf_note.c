/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes as fields of a message: keys, values by type, and the dossier of an address, which is
 * written once per style and then copied into each message that has the address. Called by the
 * encoder and, through it, by the dossier cache.
 */
#include "output/gelf_put.h"

#include <stdlib.h>

#include "base/xalloc.h"

const enum field_id gelf_side_fields[SIDE_COUNT] = {FIELD_SRCADDR, FIELD_DSTADDR, FIELD_PKT_SRCADDR,
                                                    FIELD_PKT_DSTADDR};

void key_make(struct key *key, struct span prefix, struct span name) {
    enum { NAME_MAX_BYTES = KEY_MAX - PUT_BLOCK - 8 };
    char clean[NAME_MAX_BYTES];
    size_t len = 0;
    struct span parts[] = {prefix, prefix.len > 0 ? SPAN("_") : prefix, name};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        for (size_t k = 0; k < parts[i].len && len < sizeof(clean); k++) {
            char c = parts[i].p[k];
            bool is_word =
                (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
            clean[len++] = is_word ? c : '_';
        }
    }
    *key = (struct key){.len = 0};
    char *end = put_text(key->text, SPAN(",\"_"));
    end = put_text(end, span_of(clean, len));
    end = put_text(end, SPAN("\":"));
    key->len = (size_t)(end - key->text);
}

bool note_is_sent(const struct message_conf *message, const struct note *note) {
    switch (note_kinds[note->id].type) {
    case NOTE_NUMBER:
        return true;
    case NOTE_TRUE_ONLY:
        return note->truth;
    case NOTE_TRUTH:
        return note->truth || message->false_values == FALSE_SEND || note->id == NOTE_INTERNAL ||
               note->id == NOTE_TRUSTED;
    case NOTE_TEXT:
    case NOTE_LIST:
    case NOTE_POINT:
        break;
    }
    return !is_blank(note->text);
}

char *put_truth(char *out, const struct message_conf *message, bool truth) {
    if (message->booleans == BOOLEANS_NATIVE) {
        return put_text(out, truth ? SPAN("true") : SPAN("false"));
    }
    return put_text(out, truth ? SPAN("\"true\"") : SPAN("\"false\""));
}

char *put_members(char *out, struct span members, struct span between) {
    struct span member;
    bool any = false;
    /* Joined they are one string, in which a bad byte counts for three. */
    if (members.len > JSON_STRING_MAX / 3) {
        members.len = JSON_STRING_MAX / 3;
    }
    while (span_cut(&members, '\0', &member)) {
        if (!is_blank(member)) {
            out = put_text(out, any ? between : span_of(NULL, 0));
            out = json_put(out, member);
            any = true;
        }
    }
    return out;
}

char *put_list(char *out, const struct message_conf *message, struct span members) {
    bool native = message->lists == LISTS_NATIVE;
    out = put_text(out, native ? SPAN("[\"") : SPAN("\""));
    out = put_members(out, members, native ? SPAN("\",\"") : SPAN(","));
    return put_text(out, native ? SPAN("\"]") : SPAN("\""));
}

char *put_note_value(char *out, const struct message_conf *message, const struct note *note) {
    switch (note_kinds[note->id].type) {
    case NOTE_NUMBER:
        return put_number(out, note->number);
    case NOTE_TRUTH:
    case NOTE_TRUE_ONLY:
        return put_truth(out, message, note->truth);
    case NOTE_LIST:
        return put_list(out, message, note->text);
    case NOTE_TEXT:
    case NOTE_POINT:
        break;
    }
    return put_quoted(out, note->text);
}

static enum field_id field_named(struct span name) {
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (fields[i].set != SET_NEVER && span_eq(fields[i].name, name)) {
            return (enum field_id)i;
        }
    }
    return FIELD_UNKNOWN;
}

static void make_truth(struct note_form *form, const struct message_conf *message,
                       const struct note *note) {
    if (note_is_sent(message, note)) {
        struct key *key = &form->truths[note->truth];
        *key = form->key;
        key->len = (size_t)(put_truth(key->text + key->len, message, note->truth) - key->text);
    }
}

void note_form_make(struct note_form *form, const struct message_conf *message, enum note_id id) {
    const struct note_kind *kind = &note_kinds[id];
    *form = (struct note_form){
        .is_sent = message->send_note[id][0],
        .type = kind->type,
        .field = kind->about == NOTE_ABOUT_FLOW ? field_named(kind->name) : FIELD_UNKNOWN,
    };
    key_make(&form->key, span_of(NULL, 0), kind->name);
    if (kind->type == NOTE_TRUTH || kind->type == NOTE_TRUE_ONLY) {
        make_truth(form, message, &(struct note){.id = (uint8_t)id, .truth = false});
        make_truth(form, message, &(struct note){.id = (uint8_t)id, .truth = true});
    } else if (kind->type == NOTE_TEXT || kind->type == NOTE_POINT) {
        form->key.text[form->key.len++] = '"';
    }
}

/* Adds one whole field or nothing: half a field would spoil every message with this address. */
static void add_field(struct buf *out, const struct key *key, const struct message_conf *message,
                      const struct note *note) {
    char value[256];
    char *bytes = value;
    size_t bound = note_bound(note);
    if (bound > sizeof(value)) {
        bytes = xmalloc(bound);
    }
    size_t len = (size_t)(put_note_value(bytes, message, note) - bytes);
    if (buf_reserve(out, key->len + len)) {
        buf_add(out, span_of(key->text, key->len));
        buf_add(out, span_of(bytes, len));
    }
    if (bytes != value) {
        free(bytes);
    }
}

/* The name behind the address's own; a feed's is its table's with the feed's name. */
static void note_key(struct key *key, enum flow_side side, const struct note *note) {
    struct span kind = note_kinds[note->id].name;
    char name[KEY_MAX];
    size_t len = kind.len;
    memcpy(name, kind.p, kind.len);
    if (note->name.len > 0) {
        size_t room = sizeof(name) - len - 1;
        size_t tail = note->name.len < room ? note->name.len : room;
        name[len++] = '_';
        memcpy(name + len, note->name.p, tail);
        len += tail;
    }
    key_make(key, flow_side_names[side], span_of(name, len));
}

/* A second answer to the same question would be a second field of one name. */
static bool is_repeated(const struct dossier *dossier, size_t at, const struct key *key) {
    for (size_t i = 0; i < at; i++) {
        if (dossier->notes[i].id == dossier->notes[at].id) {
            struct key other;
            note_key(&other, dossier->side, &dossier->notes[i]);
            if (other.len == key->len && memcmp(other.text, key->text, key->len) == 0) {
                return true;
            }
        }
    }
    return false;
}

/* Graylog's whois look-ups have names of their own for two notes. */
static void add_whois(struct buf *out, const struct message_conf *message,
                      const struct dossier *dossier, const struct note *note) {
    struct span name = note->id == NOTE_AS_ORG         ? SPAN("whois_organization")
                       : note->id == NOTE_COUNTRY_CODE ? SPAN("whois_country_code")
                                                       : span_of(NULL, 0);
    if (message->whois_names && name.len > 0) {
        struct key key;
        key_make(&key, flow_side_names[dossier->side], name);
        add_field(out, &key, message, note);
    }
}

static void add_address(struct buf *out, const struct dossier *dossier) {
    struct key key;
    key_make(&key, span_of(NULL, 0), fields[gelf_side_fields[dossier->side]].name);
    if (buf_reserve(out, key.len + dossier->addr_text_len + 2)) {
        buf_add(out, span_of(key.text, key.len));
        buf_char(out, '"');
        buf_add(out, span_of(dossier->addr_text, dossier->addr_text_len));
        buf_char(out, '"');
    }
}

void gelf_encode_dossier(const void *conf, const struct dossier *dossier, struct buf *out) {
    const struct message_conf *message = conf;
    if (message->send_field[gelf_side_fields[dossier->side]]) {
        add_address(out, dossier);
    }
    for (size_t i = 0; i < dossier->note_count; i++) {
        const struct note *note = &dossier->notes[i];
        bool is_chosen =
            note->id == NOTE_THREAT_FEED
                ? note->name.len > 0 && message_sends_feed(message, dossier->side, note->name)
                : message->send_note[note->id][dossier->side];
        if (!is_chosen || !note_is_sent(message, note)) {
            continue;
        }
        struct key key;
        note_key(&key, dossier->side, note);
        if (!is_repeated(dossier, i, &key)) {
            add_field(out, &key, message, note);
            add_whois(out, message, dossier, note);
        }
    }
}
