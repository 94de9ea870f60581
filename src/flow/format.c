/* SPDX-License-Identifier: Apache-2.0 */
/* See format.h. A format string and a list of names differ only in how a name is written; from the
   names on both are compiled alike. */
#include "flow/format.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/xalloc.h"
#include "flow/flow.h"
#include "flow/note.h"

enum { NAMES_BYTES_MAX = 16384, NAME_BYTES_MAX = 256 };

/* The names that stand for AWS's default formats. */
static const struct {
    const char *name, *columns;
} named_formats[] = {
    {"default",
     "version account-id interface-id srcaddr dstaddr srcport dstport protocol packets bytes "
     "start end action log-status"},
    {"tgw-default",
     "version resource-type account-id tgw-id tgw-attachment-id tgw-src-vpc-account-id "
     "tgw-dst-vpc-account-id tgw-src-vpc-id tgw-dst-vpc-id tgw-src-subnet-id tgw-dst-subnet-id "
     "tgw-src-eni tgw-dst-eni tgw-src-az-id tgw-dst-az-id tgw-pair-attachment-id srcaddr dstaddr "
     "srcport dstport protocol packets bytes start end log-status type packets-lost-no-route "
     "packets-lost-blackhole packets-lost-mtu-exceeded packets-lost-ttl-expired tcp-flags region "
     "flow-direction pkt-src-aws-service pkt-dst-aws-service"},
};

static bool is_name_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* The next word; false when there is none left. */
static bool next_word(struct span *rest, struct span *word) {
    size_t skip = 0, len = 0;
    while (skip < rest->len && (rest->p[skip] == ' ' || rest->p[skip] == '\t')) {
        skip++;
    }
    *rest = span_skip(*rest, skip);
    while (len < rest->len && rest->p[len] != ' ' && rest->p[len] != '\t') {
        len++;
    }
    *word = span_of(rest->p, len);
    *rest = span_skip(*rest, len);
    return len > 0;
}

/* Whether a message has, or may get, another field of that name: one that Graylog or GELF reserve,
   a known field's, or a note's. */
static bool is_taken(struct span key) {
    static const char *const reserved[] = {"id",       "source", "message",      "timestamp",
                                           "host",     "level",  "full_message", "short_message",
                                           "facility", "version"};
    for (size_t i = 0; i < sizeof(reserved) / sizeof(reserved[0]); i++) {
        if (span_eq(key, span_str(reserved[i]))) {
            return true;
        }
    }
    for (int i = 0; i < FIELD_COUNT; i++) {
        if (span_eq(key, fields[i].name)) {
            return true;
        }
    }
    for (int i = 0; i < NOTE_COUNT; i++) {
        if (note_kinds[i].about != NOTE_ABOUT_ADDRESS && span_eq(key, note_kinds[i].name)) {
            return true;
        }
    }
    for (int i = 0; i < SIDE_COUNT; i++) {
        if (span_starts(key, flow_side_names[i])) {
            return true;
        }
    }
    return span_starts(key, SPAN("gl2_"));
}

/* Appends what an unknown name is called in a message: receivers take letters, digits and `_`, and
   strip or refuse an underscore in front. */
static void add_key(struct buf *out, struct span name) {
    while (name.len > 0 && !is_name_char(name.p[0] == '_' ? '-' : name.p[0])) {
        name = span_skip(name, 1);
    }
    char key[NAME_BYTES_MAX];
    for (size_t i = 0; i < name.len; i++) {
        key[i] = is_name_char(name.p[i]) ? name.p[i] : '_';
    }
    struct span clean = span_of(key, name.len);
    if (is_taken(clean) || clean.len == 0) {
        buf_add(out, SPAN("aws_"));
    }
    if (span_eq(clean, SPAN("source"))) {
        buf_add(out, SPAN("aws_")); /* aws_source is a note's name already */
    }
    buf_add(out, clean);
}

static bool is_named_twice(const struct format *format, size_t index) {
    for (size_t i = 0; i < index; i++) {
        if (span_eq(format->columns[i].key, format->columns[index].key)) {
            return true;
        }
    }
    return false;
}

static void set_known(struct column *column, enum field_id id) {
    column->field = (uint8_t)id;
    column->type = (uint8_t)fields[id].type;
    column->name = fields[id].aws_name;
    column->key = fields[id].name;
}

/* Keeps the names of an unknown column in `storage`, which has room for them. */
static void set_unknown(struct column *column, struct span name, struct buf *storage) {
    column->field = FIELD_UNKNOWN;
    column->type = FIELD_TEXT;
    size_t start = storage->len;
    buf_add(storage, name);
    column->name = span_of(storage->data + start, name.len);
    size_t key_start = storage->len;
    add_key(storage, name);
    column->key = span_of(storage->data + key_start, storage->len - key_start);
}

/* The fields whose values flows keep beside the text; all ports, bytes and addresses are such. */
#define KEPT(kind, bit, member) \
    { kind, bit, offsetof(struct flow, member) }
static const struct {
    enum check_kind kind;
    uint16_t has, offset;
} kept[FIELD_COUNT] = {
    [FIELD_SRCADDR] = KEPT(CHECK_ADDRESS, HAS_SRC, addr[SIDE_SRC]),
    [FIELD_DSTADDR] = KEPT(CHECK_ADDRESS, HAS_DST, addr[SIDE_DST]),
    [FIELD_PKT_SRCADDR] = KEPT(CHECK_ADDRESS, HAS_PKT_SRC, addr[SIDE_PKT_SRC]),
    [FIELD_PKT_DSTADDR] = KEPT(CHECK_ADDRESS, HAS_PKT_DST, addr[SIDE_PKT_DST]),
    [FIELD_SRCPORT] = KEPT(CHECK_PORT, HAS_SRC_PORT, src_port),
    [FIELD_DSTPORT] = KEPT(CHECK_PORT, HAS_DST_PORT, dst_port),
    [FIELD_PROTOCOL] = KEPT(CHECK_BYTE, HAS_PROTOCOL, protocol),
    [FIELD_TCP_FLAGS] = KEPT(CHECK_BYTE, HAS_TCP_FLAGS, tcp_flags),
    [FIELD_START] = KEPT(CHECK_TIME, HAS_START, start),
    [FIELD_END] = KEPT(CHECK_TIME, HAS_END, end),
    [FIELD_LOG_STATUS] = KEPT(CHECK_STATUS, 0, status),
    [FIELD_FLOW_DIRECTION] = KEPT(CHECK_DIRECTION, 0, direction),
    [FIELD_ACTION] = KEPT(CHECK_VERDICT, 0, action),
};
#undef KEPT

/* Adds what is to be checked of a column of a known field. */
static void add_check(struct format *format, size_t column, enum field_id id) {
    struct check check = {.column = (uint16_t)offsetof(struct flow, column[column])};
    if (kept[id].offset > 0) {
        check.kind = (uint8_t)kept[id].kind;
        check.has = kept[id].has;
        check.offset = kept[id].offset;
    } else if (fields[id].type == FIELD_NUMBER) {
        check.kind = CHECK_NUMBER;
    } else if (fields[id].type == FIELD_INTERFACE) {
        check.kind = CHECK_INTERFACE;
    } else {
        assert(fields[id].type == FIELD_TEXT);
        return;
    }
    format->checks[format->check_count++] = check;
    format->has |= check.has;
}

static int add_column(struct format *format, struct span name, struct buf *storage,
                      enum err_kind kind, struct err *err) {
    size_t index = format->count;
    if (index == FORMAT_COLUMNS_MAX) {
        return err_set(err, kind, "more than %d columns", FORMAT_COLUMNS_MAX);
    }
    if (name.len == 0 || name.len > NAME_BYTES_MAX) {
        return err_set(err, kind, "column %zu: a name has 1 to %d characters", index + 1,
                       NAME_BYTES_MAX);
    }
    enum field_id id = field_find(name);
    if (id == FIELD_UNKNOWN) {
        set_unknown(&format->columns[index], name, storage);
    } else {
        set_known(&format->columns[index], id);
        format->column_of[id] = (int8_t)index;
        add_check(format, index, id);
    }
    if (is_named_twice(format, index)) {
        return err_set(err, kind, "column %zu: \"%.*s\" is there twice", index + 1, SPAN_ARG(name));
    }
    format->count++;
    return 0;
}

/* "${name}" to its name. Empty when it is not written so. */
static struct span unwrap(struct span word) {
    bool wrapped = span_starts(word, SPAN("${")) && word.len > 3 && word.p[word.len - 1] == '}';
    struct span name = wrapped ? span_of(word.p + 2, word.len - 3) : span_of(NULL, 0);
    for (size_t i = 0; i < name.len; i++) {
        if (name.p[i] == '$' || name.p[i] == '{' || name.p[i] == '}') {
            return span_of(NULL, 0);
        }
    }
    return name;
}

static int add_columns(struct format *format, struct span text, bool wrapped, struct buf *storage,
                       struct err *err) {
    enum err_kind kind = wrapped ? ERR_CONFIG : ERR_DATA;
    struct span word;
    while (next_word(&text, &word)) {
        struct span name = wrapped ? unwrap(word) : word;
        if (name.len == 0) {
            return err_set(err, kind, "column %zu: \"%.*s\" is not written as ${name}",
                           format->count + 1, SPAN_ARG(word));
        }
        if (add_column(format, name, storage, kind, err) < 0) {
            return -1;
        }
    }
    return format->count > 0 ? 0 : err_set(err, kind, "a format without columns");
}

static char *make_text(const struct format *format) {
    struct buf text;
    buf_init(&text, NAMES_BYTES_MAX + 4 * FORMAT_COLUMNS_MAX);
    for (size_t i = 0; i < format->count; i++) {
        buf_printf(&text, "%s${%.*s}", i > 0 ? " " : "", SPAN_ARG(format->columns[i].name));
    }
    char *copy = xstrdup(buf_cstr(&text));
    buf_done(&text);
    return copy;
}

static int compile(struct span text, bool wrapped, struct format **format, struct err *err) {
    static uint64_t last_id; /* of this process; workers compile too */
    *format = NULL;
    if (text.len > NAMES_BYTES_MAX) {
        return err_set(err, wrapped ? ERR_CONFIG : ERR_DATA, "a format longer than %d bytes",
                       NAMES_BYTES_MAX);
    }
    struct format *made = xcalloc(1, sizeof(*made));
    made->id = __atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED);
    memset(made->column_of, -1, sizeof(made->column_of));
    size_t storage_bytes = 2 * text.len + 8 * FORMAT_COLUMNS_MAX;
    made->names = xmalloc(storage_bytes);
    struct buf storage;
    buf_over(&storage, made->names, storage_bytes);
    if (add_columns(made, text, wrapped, &storage, err) < 0) {
        format_free(made);
        return -1;
    }
    made->text = make_text(made);
    *format = made;
    return 0;
}

int format_parse(struct span text, struct format **format, struct err *err) {
    text = span_trim(text);
    for (size_t i = 0; i < sizeof(named_formats) / sizeof(named_formats[0]); i++) {
        if (span_eq(text, span_str(named_formats[i].name))) {
            return compile(span_str(named_formats[i].columns), false, format, err);
        }
    }
    return compile(text, true, format, err);
}

int format_from_names(struct span names, struct format **format, struct err *err) {
    return compile(span_trim(names), false, format, err);
}

/* Whether a known name could hardly be a value: it is no single word of English. */
static bool is_telling(enum field_id id) {
    struct span name = fields[id].aws_name;
    return memchr(name.p, '-', name.len) || id == FIELD_SRCADDR || id == FIELD_DSTADDR ||
           id == FIELD_SRCPORT || id == FIELD_DSTPORT;
}

/* Whether a line holds nothing but what names are made of. Nearly every data line that gets this
   far has a dot, a colon or a capital letter early on, so no name need be looked up. */
static bool is_all_names(struct span line) {
    for (size_t i = 0; i < line.len; i++) {
        char c = line.p[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9') && c != '-' && c != '_' &&
            c != ' ' && c != '\t') {
            return false;
        }
    }
    return true;
}

bool format_is_header(struct span line) {
    struct span rest = span_trim(line), word;
    if (rest.len == 0 || rest.p[0] < 'a' || rest.p[0] > 'z' || !is_all_names(rest)) {
        return false;
    }
    size_t words = 0, known = 0, telling = 0;
    while (next_word(&rest, &word)) {
        enum field_id id = field_find(word);
        words++;
        known += id != FIELD_UNKNOWN;
        telling += id != FIELD_UNKNOWN && is_telling(id);
    }
    return words >= 2 && telling > 0 && known * 2 >= words;
}

void format_free(struct format *format) {
    if (format) {
        free(format->names);
        free(format->text);
        free(format);
    }
}
