/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The encoder's own parts: how bytes are put behind each other, and the pieces that stand in files
 * of their own. Every put_ function writes at `out`, where the caller has made room, and returns
 * the end. For output/gelf*.c only.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/buf.h"
#include "base/json_write.h"
#include "base/num.h"
#include "base/put.h"
#include "base/span.h"
#include "core/dossier.h"
#include "flow/flow.h"
#include "flow/message.h"

/* Short copies move whole blocks; room and literals have that much to spare behind their end. Keys
   go by PUT_BLOCK, which is longer than nearly all of them. */
enum { PUT_BLOCK = 32 };

/* A key as it stands in a message, `,"_src_port":`, with PUT_BLOCK readable bytes behind it. */
enum { KEY_MAX = 96 };

struct key {
    size_t len;
    char text[KEY_MAX];
};

/* The field that holds the address of a side. */
extern const enum field_id gelf_side_fields[SIDE_COUNT];

/* Copies text that has PUT_BLOCK readable bytes behind its end, most likely no more than that. */
static inline char *put_blocks(char *out, const char *text, size_t len) {
    memcpy(out, text, PUT_BLOCK);
    for (size_t at = PUT_BLOCK; __builtin_expect(at < len, 0); at += PUT_BLOCK) {
        memcpy(out + at, text + at, PUT_BLOCK);
    }
    return out + len;
}

static inline char *put_key(char *out, const struct key *key) {
    return put_blocks(out, key->text, key->len);
}

/* Receivers trim strings and drop what is then empty: such a value counts as absent. */
static inline bool is_blank(struct span text) {
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.p[i] > ' ') {
            return false;
        }
    }
    return true;
}

/* `,"_<prefix>_<name>":`, without prefix when that is empty; of what is no letter or digit `_` is
   made. Names that are too long are cut. */
void key_make(struct key *key, struct span prefix, struct span name);

/* Bytes that put_note_value writes at most. A list as an array has three bytes more per member,
   which its NUL bytes and quotes pay. */
static inline size_t note_bound(const struct note *note) {
    return json_bound(note->text.len) + NUM_DIGITS_MAX + 2 * PUT_BLOCK;
}

/* Whether a note is to be sent at all: not empty, and no "false" that the settings leave out. */
bool note_is_sent(const struct message_conf *message, const struct note *note);

/* A text, which is not blank, with its quotes. */
static inline char *put_quoted(char *out, struct span text) {
    return put_char(json_put(put_char(out, '"'), text), '"');
}

static inline char *put_number(char *out, int64_t number) {
    if (number < 0) {
        out = put_char(out, '-');
    }
    return out + num_format_u64(number < 0 ? -(uint64_t)number : (uint64_t)number, out);
}

/* The value of a note of any type. */
char *put_note_value(char *out, const struct message_conf *message, const struct note *note);

/* A note about a flow, as far as it is the same in all messages. */
struct note_form {
    bool is_sent;
    enum note_type type;
    enum field_id field;  /* the field of the same name, else FIELD_UNKNOWN */
    struct key key;       /* of a text with the first quote */
    struct key truths[2]; /* key and value; empty when that is not sent */
};

/* What messages with these settings have of the note `id`. */
void note_form_make(struct note_form *form, const struct message_conf *message, enum note_id id);

/* The text of a note, without quotes. */
static inline char *put_note_text(char *out, const struct note *note) {
    return note->plain ? put_text(out, note->text) : json_put(out, note->text);
}

/* A truth value as the settings want it. */
char *put_truth(char *out, const struct message_conf *message, bool truth);

/* Members separated by NUL bytes, escaped, with other text between them. */
char *put_members(char *out, struct span members, struct span between);

/* The same as a value, as the settings want lists. */
char *put_list(char *out, const struct message_conf *message, struct span members);

/* Where flows come from. What all flows of an envelope or a partition have in common is written
   once and kept, until one comes with something else. */
enum { ORIGIN_FIELDS_MAX = 9, ORIGIN_COPIES_MAX = 2048 };

struct origin_writer {
    const struct message_conf *message;
    size_t field_count;
    uint8_t fields[ORIGIN_FIELDS_MAX];    /* that are sent: rows of a table in gelf_origin.c */
    struct span known[ORIGIN_FIELDS_MAX]; /* their texts, of which `text` was made */
    char copies[ORIGIN_COPIES_MAX];       /* what `known` points to */
    bool is_known;
    struct buf text;
    struct buf parts; /* what event_uid is made of */
};

/* `message` outlives it. */
void origin_writer_init(struct origin_writer *writer, const struct message_conf *message);
void origin_writer_done(struct origin_writer *writer);

/* Takes a flow's origin in; returns the most bytes that put_origin then writes for it. */
size_t origin_prepare(struct origin_writer *writer, const struct flow *flow);

/* Where the flow came from: source, log group, position, event_uid. */
char *put_origin(char *out, struct origin_writer *writer, const struct flow *flow);

/* dossier_encode of the encoder; see core/dossier.h. */
void gelf_encode_dossier(const void *conf, const struct dossier *dossier, struct buf *out);
