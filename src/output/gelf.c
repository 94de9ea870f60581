/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See gelf.h. For each format a plan is made once: which columns are sent, in which order, and the
 * bytes that stand before each. Encoding a flow then adds up an upper bound of its size, makes that
 * much room at once, and copies: the plan's keys, the line's own digits and text, the dossiers'
 * bytes. A bound that does not fit the room that is left is no reason to refuse a message that
 * might: that one is written aside first, and copied if it fits.
 */
#include "output/gelf.h"

#include <assert.h>
#include <stdlib.h>

#include "base/num.h"
#include "base/xalloc.h"
#include "output/gelf_put.h"

enum {
    PLANS_MAX = 64,
    ASIDE_MIN = 32 << 10,
    ASIDE_MAX = 8 << 20, /* largest message that is tried at all */
    FIXED_ROOM = 512,    /* braces, version, timestamp, level, the short message's own bytes */
    NEAR_BLOCK = 16,     /* columns are copied by so much, addresses and numbers at once */
};

static const char default_host[] = "aws-flowlogs";

/* Times above are no times but nonsense: receivers would file the message in the year 10000. */
static const int64_t time_end_s = 253402300800;

/* A column that is sent. */
struct piece {
    uint32_t key; /* where its key begins in the plan's text */
    uint16_t key_len;
    uint16_t column; /* where its span is in a flow, in bytes */
    bool quoted;
};

/* What is known of a flow's line while its columns are copied. */
struct line {
    uintptr_t start;
    size_t near; /* a column that begins before this offset has a block's bytes to be read */
    bool plain;  /* no column needs escaping */
};

struct plan {
    uint64_t format_id;
    size_t room; /* for what all messages of the format have: keys, quotes, what is fixed */
    size_t count;
    struct piece pieces[FORMAT_COLUMNS_MAX];
    char *keys; /* PUT_BLOCK bytes longer than the keys */
};

struct gelf_encoder {
    const struct message_conf *message;
    size_t style;
    struct span end;
    struct template host, short_message;
    char *head; /* up to short_message's text, where no field is in the host; else NULL */
    size_t head_len;
    struct key side_keys[SIDE_COUNT];
    struct note_form forms[NOTE_COUNT];
    struct plan *plans[PLANS_MAX]; /* slot: format's id modulo PLANS_MAX */
    struct origin_writer origin;
    char *aside;
    size_t aside_size;
};

static bool is_number(uint8_t type) {
    return type == FIELD_NUMBER || type == FIELD_PORT || type == FIELD_BYTE;
}

static bool is_side_address(uint8_t field) {
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        if (gelf_side_fields[side] == field) {
            return true;
        }
    }
    return false;
}

static bool is_column_sent(const struct message_conf *message, const struct column *column) {
    if (column->field == FIELD_UNKNOWN) {
        return message_sends_column(message, column->key);
    }
    return message->send_field[column->field] && !is_side_address(column->field);
}

/* Key of a column with comma, underscore and colon, and the quote that begins a text. */
static size_t plan_key(char *out, const struct column *column, bool quoted) {
    char *end = put_text(out, SPAN(",\"_"));
    end = put_text(end, column->key);
    end = put_text(end, quoted ? SPAN("\":\"") : SPAN("\":"));
    return (size_t)(end - out);
}

static struct plan *plan_make(const struct gelf_encoder *encoder, const struct format *format) {
    struct plan *plan = xcalloc(1, sizeof(*plan));
    size_t room = PUT_BLOCK;
    for (size_t i = 0; i < format->count; i++) {
        room += format->columns[i].key.len + PUT_BLOCK;
    }
    plan->format_id = format->id;
    plan->keys = xcalloc(room, 1);
    plan->room = FIXED_ROOM + encoder->head_len + encoder->end.len +
                 SIDE_COUNT * (KEY_MAX + IPADDR_TEXT_MAX) + PUT_BLOCK;
    size_t used = 0;
    for (size_t i = 0; i < format->count; i++) {
        const struct column *column = &format->columns[i];
        if (!is_column_sent(encoder->message, column)) {
            continue;
        }
        struct piece *piece = &plan->pieces[plan->count++];
        piece->column = (uint16_t)(offsetof(struct flow, column) + i * sizeof(struct span));
        piece->quoted = !is_number(column->type);
        piece->key = (uint32_t)used;
        piece->key_len = (uint16_t)plan_key(plan->keys + used, column, piece->quoted);
        used += piece->key_len;
        plan->room += piece->key_len + (size_t)piece->quoted;
    }
    return plan;
}

static void plan_free(struct plan *plan) {
    if (plan) {
        free(plan->keys);
        free(plan);
    }
}

static const struct plan *plan_of(struct gelf_encoder *encoder, const struct format *format) {
    struct plan **slot = &encoder->plans[format->id % PLANS_MAX];
    if (__builtin_expect(!*slot || (*slot)->format_id != format->id, 0)) {
        plan_free(*slot);
        *slot = plan_make(encoder, format);
    }
    return *slot;
}

static const struct note *find_note(const struct flow *flow, int id) {
    for (size_t i = 0; i < flow->note_count; i++) {
        if (flow->notes[i].id == id) {
            return &flow->notes[i];
        }
    }
    return NULL;
}

/* Text of a template's part, a list's members separated by NUL bytes; `digits` (NUM_DIGITS_MAX)
   holds a number. Where a line lacks a field, a note of its name stands in. */
static struct span part_text(const struct gelf_encoder *encoder, const struct template_part *part,
                             const struct flow *flow, char *digits) {
    if (part->kind == TEMPLATE_TEXT) {
        return part->text;
    }
    int id = part->id;
    if (part->kind == TEMPLATE_FIELD) {
        struct span text = flow_column(flow, (enum field_id)id);
        for (id = 0; id < NOTE_COUNT && (int)encoder->forms[id].field != part->id; id++) {
        }
        if (text.len > 0 || id == NOTE_COUNT) {
            return text;
        }
    }
    const struct note *note = find_note(flow, id);
    if (!note) {
        return span_of(NULL, 0);
    }
    switch (note_kinds[id].type) {
    case NOTE_NUMBER:
        return span_of(digits,
                       num_format_u64(note->number > 0 ? (uint64_t)note->number : 0, digits));
    case NOTE_TRUTH:
    case NOTE_TRUE_ONLY:
        return note->truth ? SPAN("true") : SPAN("false");
    case NOTE_TEXT:
    case NOTE_LIST:
    case NOTE_POINT:
        break;
    }
    return note->text;
}

/* Most bytes of a template; *complete when every part has a text, *blank when none shows. */
static size_t template_bound(const struct gelf_encoder *encoder, const struct template *template,
                             const struct flow *flow, bool *complete, bool *blank) {
    size_t bound = 0;
    *complete = true;
    *blank = true;
    for (size_t i = 0; i < template->count; i++) {
        char digits[NUM_DIGITS_MAX];
        struct span text = part_text(encoder, &template->parts[i], flow, digits);
        bound += json_bound(text.len);
        *complete &= text.len > 0;
        *blank &= is_blank(text);
    }
    return bound;
}

static char *put_template(char *out, const struct gelf_encoder *encoder,
                          const struct template *template, const struct flow *flow) {
    for (size_t i = 0; i < template->count; i++) {
        char digits[NUM_DIGITS_MAX];
        struct span text = part_text(encoder, &template->parts[i], flow, digits);
        bool is_list = text.len > 0 && memchr(text.p, '\0', text.len);
        out = is_list ? put_members(out, text, SPAN(",")) : json_put(out, text);
    }
    return out;
}

static char *put_host(char *out, const struct gelf_encoder *encoder, const struct flow *flow) {
    bool complete, blank;
    template_bound(encoder, &encoder->host, flow, &complete, &blank);
    if (!complete || blank) {
        return put_text(out, SPAN(default_host));
    }
    return put_template(out, encoder, &encoder->host, flow);
}

/* From the brace to the short message's first quote. */
static char *put_head(char *out, const struct gelf_encoder *encoder, const struct flow *flow) {
    if (encoder->head) {
        return put_blocks(out, encoder->head, encoder->head_len);
    }
    out = put_text(out, SPAN("{\"version\":\"1.1\",\"host\":\""));
    out = put_host(out, encoder, flow);
    return put_text(out, SPAN("\",\"short_message\":\""));
}

/* What the flow was recorded on: a regional NAT gateway has no interface and is named itself. */
static struct span recorder_of(const struct flow *flow) {
    struct span interface = flow_column(flow, FIELD_INTERFACE_ID);
    struct span resource = flow_column(flow, FIELD_RESOURCE_ID);
    return interface.len == 0 && span_starts(resource, SPAN("nat-")) ? resource : interface;
}

static inline struct line line_of(const struct flow *flow, bool plain) {
    size_t len = flow->line.len;
    return (struct line){(uintptr_t)flow->line.p, len >= NEAR_BLOCK ? len - NEAR_BLOCK + 1 : 0,
                         plain};
}

static inline char *put_plain(char *out, struct line line, struct span text) {
    if (text.len <= NEAR_BLOCK && (uintptr_t)text.p - line.start < line.near) {
        memcpy(out, text.p, NEAR_BLOCK);
        return out + text.len;
    }
    return put_text(out, text);
}

static inline char *put_column(char *out, struct line line, struct span text) {
    return line.plain ? put_plain(out, line, text) : json_put(out, text);
}

static inline char *put_word(char *out, struct line line, struct span text) {
    return text.len == 0 ? out : put_char(put_column(out, line, text), ' ');
}

static inline char *put_end(char *out, const struct flow *flow, struct line line,
                            enum flow_side side, enum field_id port) {
    out = put_column(out, line, flow_column(flow, gelf_side_fields[side]));
    struct span digits = flow_column(flow, port);
    return digits.len == 0 ? out : put_plain(put_char(out, ':'), line, digits);
}

/*
 * As Graylog's AWS plugin has it: "<interface> <action> <PROTOCOL> <src>:<port> -> <dst>:<port>".
 * An absent part goes with its separator, a port with its address.
 */
static inline char *put_plugin_text(char *out, const struct flow *flow, struct line line) {
    if (!(flow->has & (HAS_SRC | HAS_DST))) {
        struct span status = flow_column(flow, FIELD_LOG_STATUS);
        out = put_text(out, SPAN("flow log"));
        return status.len == 0 ? out : put_column(put_char(out, ' '), line, status);
    }
    const struct note *protocol = find_note(flow, NOTE_PROTOCOL);
    out = put_word(out, line, recorder_of(flow));
    out = put_word(out, line, flow_column(flow, FIELD_ACTION));
    if (protocol && protocol->text.len > 0) {
        out = put_char(put_note_text(out, protocol), ' ');
    }
    if (flow->has & HAS_SRC) {
        out = put_end(out, flow, line, SIDE_SRC, FIELD_SRCPORT);
        if (flow->has & HAS_DST) {
            out = put_text(out, SPAN(" -> "));
        }
    }
    return flow->has & HAS_DST ? put_end(out, flow, line, SIDE_DST, FIELD_DSTPORT) : out;
}

static inline char *put_short_message(char *out, const struct gelf_encoder *encoder,
                                      const struct flow *flow, struct line line) {
    if (__builtin_expect(encoder->message->short_message != NULL, 0)) {
        bool complete, blank;
        template_bound(encoder, &encoder->short_message, flow, &complete, &blank);
        if (!blank) {
            return put_template(out, encoder, &encoder->short_message, flow);
        }
    }
    return put_plugin_text(out, flow, line);
}

/* Milliseconds of one kind of time; 0 when the flow has none. */
static int64_t time_ms(const struct flow *flow, enum message_time kind) {
    int64_t ms = 0;
    switch (kind) {
    case TIME_EVENT:
        ms = flow->event_ms;
        break;
    case TIME_START:
        ms = flow->has & HAS_START && flow->start < time_end_s ? flow->start * 1000 : 0;
        break;
    case TIME_END:
        ms = flow->has & HAS_END && flow->end < time_end_s ? flow->end * 1000 : 0;
        break;
    case TIME_ARRIVAL:
        ms = flow->record->arrival_ms;
        break;
    }
    return ms > 0 && ms < time_end_s * 1000 ? ms : 0;
}

/* Seconds with three decimals: the time that is asked for, else the first of the others. */
static char *put_timestamp(char *out, const struct flow *flow, enum message_time kind) {
    int64_t ms = time_ms(flow, kind);
    for (int other = TIME_EVENT; ms == 0 && other <= TIME_ARRIVAL; other++) {
        ms = time_ms(flow, (enum message_time)other);
    }
    out += num_format_u64((uint64_t)ms / 1000, out);
    unsigned rest = (unsigned)((uint64_t)ms % 1000);
    out[0] = '.';
    out[1] = (char)('0' + rest / 100);
    out[2] = (char)('0' + rest / 10 % 10);
    out[3] = (char)('0' + rest % 10);
    return out + 4;
}

static inline char *put_columns(char *out, const struct plan *plan, const struct flow *flow,
                                struct line line) {
    const struct piece *end = plan->pieces + plan->count;
    for (const struct piece *piece = plan->pieces; piece != end; piece++) {
        struct span text = *(const struct span *)((const char *)flow + piece->column);
        if (text.len == 0 || (!line.plain && piece->quoted && is_blank(text))) {
            continue;
        }
        out = put_blocks(out, plan->keys + piece->key, piece->key_len);
        out = line.plain || !piece->quoted ? put_plain(out, line, text) : json_put(out, text);
        *out = '"';
        out += piece->quoted;
    }
    return out;
}

/* An address that nobody was asked about. IPv4 has one way to be written, IPv6 many. */
static char *put_address(char *out, const struct gelf_encoder *encoder, const struct flow *flow,
                         size_t side) {
    if (!encoder->message->send_field[gelf_side_fields[side]]) {
        return out;
    }
    out = put_key(out, &encoder->side_keys[side]);
    out = put_char(out, '"');
    out += ipaddr_format(&flow->addr[side], out);
    return put_char(out, '"');
}

static char *put_sides(char *out, const struct gelf_encoder *encoder, const struct flow *flow) {
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        if (!(flow->has & (1u << side))) {
            continue;
        }
        const struct span *encoded = flow->side[side].encoded;
        out = encoded ? put_text(out, encoded[encoder->style])
                      : put_address(out, encoder, flow, side);
    }
    return out;
}

/* Whether the line itself has a value of the note's name: that one wins. */
static inline bool is_in_line(const struct note_form *form, const struct flow *flow) {
    return form->field != FIELD_UNKNOWN && flow_column(flow, form->field).len > 0;
}

static inline char *put_note(char *out, const struct gelf_encoder *encoder,
                             const struct note_form *form, const struct note *note) {
    switch (form->type) {
    case NOTE_TRUTH:
    case NOTE_TRUE_ONLY:
        return put_key(out, &form->truths[note->truth]);
    case NOTE_NUMBER:
        return put_number(put_key(out, &form->key), note->number);
    case NOTE_TEXT:
    case NOTE_LIST:
    case NOTE_POINT:
        break;
    }
    if (!note->plain && is_blank(note->text)) {
        return out;
    }
    out = put_key(out, &form->key);
    return form->type == NOTE_LIST ? put_list(out, encoder->message, note->text)
                                   : put_char(put_note_text(out, note), '"');
}

static char *put_notes(char *out, const struct gelf_encoder *encoder, const struct flow *flow) {
    for (size_t i = 0; i < flow->note_count; i++) {
        const struct note *note = &flow->notes[i];
        const struct note_form *form = &encoder->forms[note->id];
        if (form->is_sent && !is_in_line(form, flow)) {
            out = put_note(out, encoder, form, note);
        }
    }
    return out;
}

/* Compiled twice, for lines that are plain and others. */
static inline __attribute__((always_inline)) char *
put_message(char *out, struct gelf_encoder *encoder, const struct plan *plan,
            const struct flow *flow, bool plain) {
    const struct message_conf *message = encoder->message;
    struct line line = line_of(flow, plain);
    out = put_head(out, encoder, flow);
    out = put_short_message(out, encoder, flow, line);
    out = put_text(out, SPAN("\",\"timestamp\":"));
    out = put_timestamp(out, flow, (enum message_time)message->timestamp);
    out = put_text(out, SPAN(",\"level\":6"));
    if (message->full_message && !is_blank(flow->line)) {
        out = put_text(out, SPAN(",\"full_message\":\""));
        out = put_char(json_put(out, flow->line), '"');
    }
    out = put_columns(out, plan, flow, line);
    out = put_sides(out, encoder, flow);
    out = put_notes(out, encoder, flow);
    out = put_origin(out, &encoder->origin, flow);
    out = put_char(out, '}');
    return put_text(out, encoder->end);
}

/* All columns together: no column is longer, and none counts more than twice (short_message). */
static size_t column_bytes(const struct flow *flow) {
    size_t bytes = 0;
    const struct span *end = flow->column + flow->format->count;
    for (const struct span *column = flow->column; column != end; column++) {
        bytes += column->len;
    }
    return bytes;
}

static size_t template_bounds(const struct gelf_encoder *encoder, const struct flow *flow) {
    bool complete, blank;
    size_t bound = 0;
    if (!encoder->head) {
        bound += template_bound(encoder, &encoder->host, flow, &complete, &blank);
    }
    if (encoder->short_message.count > 0) {
        bound += template_bound(encoder, &encoder->short_message, flow, &complete, &blank);
    }
    return bound;
}

/* The most bytes that put_message writes or touches. */
static size_t message_bound(struct gelf_encoder *encoder, const struct plan *plan,
                            const struct flow *flow, size_t columns, bool plain) {
    size_t bound = plan->room + origin_prepare(&encoder->origin, flow) + (plain ? 2 : 12) * columns;
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        const struct span *encoded = flow->side[side].encoded;
        bound += encoded ? encoded[encoder->style].len : 0;
    }
    for (size_t i = 0; i < flow->note_count; i++) {
        bound += KEY_MAX + 2 * note_bound(&flow->notes[i]);
    }
    if (encoder->message->full_message) {
        bound += json_bound(flow->line.len);
    }
    return bound + template_bounds(encoder, flow);
}

/* With so much to spare at first, and later, that it is made once: few messages come near. */
static char *aside_room(struct gelf_encoder *encoder, size_t size) {
    if (size > encoder->aside_size) {
        free(encoder->aside);
        encoder->aside_size = 2 * size > ASIDE_MIN ? 2 * size : ASIDE_MIN;
        encoder->aside = xmalloc(encoder->aside_size);
    }
    return encoder->aside;
}

static int gelf_encode(void *handle, const struct flow *flow, struct buf *out) {
    struct gelf_encoder *encoder = handle;
    const struct plan *plan = plan_of(encoder, flow->format);
    size_t columns = column_bytes(flow);
    /* Text that is plain still must not be longer than a string may be. */
    bool plain = flow->plain && columns <= JSON_STRING_MAX;
    size_t bound = message_bound(encoder, plan, flow, columns, plain);
    bool fits = bound <= out->max - out->len && buf_reserve(out, bound);
    if (!fits && bound > ASIDE_MAX) {
        out->overflow = true;
        return -1;
    }
    char *start = fits ? out->data + out->len : aside_room(encoder, bound);
    char *end = plain ? put_message(start, encoder, plan, flow, true)
                      : put_message(start, encoder, plan, flow, false);
    struct span message = span_of(start, (size_t)(end - start));
    assert(message.len <= bound);
    if (fits) {
        out->len += message.len;
        return 0;
    }
    if (!buf_reserve(out, message.len)) {
        return -1;
    }
    buf_add(out, message);
    return 0;
}

/* message_init has looked through the templates, so that they parse. */
static void compile_template(struct template *template, const char *text) {
    struct err err;
    int failed = template_parse(span_str(text), template, &err);
    assert(failed == 0);
    (void)failed;
}

/* A host of text alone is the same for all flows, none of which is then looked at. */
static void make_head(struct gelf_encoder *encoder) {
    const struct template *host = &encoder->host;
    if (host->count == 1 && host->parts[0].kind == TEMPLATE_TEXT) {
        char *head = xcalloc(json_bound(host->parts[0].text.len) + FIXED_ROOM, 1);
        encoder->head_len = (size_t)(put_head(head, encoder, NULL) - head);
        encoder->head = head;
    }
}

static void *gelf_open(const struct message_conf *message, size_t style, struct span end) {
    struct gelf_encoder *encoder = xcalloc(1, sizeof(*encoder));
    encoder->message = message;
    encoder->style = style;
    encoder->end = end;
    compile_template(&encoder->host, message->host ? message->host : default_host);
    compile_template(&encoder->short_message, message->short_message);
    make_head(encoder);
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        key_make(&encoder->side_keys[side], span_of(NULL, 0), fields[gelf_side_fields[side]].name);
    }
    for (int i = 0; i < NOTE_COUNT; i++) {
        note_form_make(&encoder->forms[i], message, (enum note_id)i);
    }
    origin_writer_init(&encoder->origin, message);
    return encoder;
}

static void gelf_close(void *handle) {
    struct gelf_encoder *encoder = handle;
    for (size_t i = 0; i < PLANS_MAX; i++) {
        plan_free(encoder->plans[i]);
    }
    origin_writer_done(&encoder->origin);
    free(encoder->aside);
    free(encoder->head);
    free(encoder);
}

const struct encoder_type gelf_encoder = {
    .open = gelf_open,
    .encode = gelf_encode,
    .encode_dossier = gelf_encode_dossier,
    .close = gelf_close,
};
