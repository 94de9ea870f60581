/* SPDX-License-Identifier: Apache-2.0 */
/* See ini.h. */
#include "aws/ini.h"

#include <ctype.h>

#include "base/buf.h"

/* Where the reader is: the section, and the last name at the section's own indent. */
struct ini_work {
    const char *name; /* of the file */
    size_t number;
    char section_text[INI_NAME_MAX], key_text[INI_NAME_MAX];
    struct buf section, key;
    size_t key_len;                         /* of the name without a nested one behind it */
    size_t key_indent;                      /* of the line with the name */
    bool has_section, has_key, key_is_open; /* open: it had no value, so nested ones may follow */
    ini_take *take;
    void *context;
};

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f';
}

static int refuse(const struct ini_work *work, const char *what, struct err *err) {
    return err_set(err, ERR_CONFIG, "%s:%zu: %s", work->name, work->number, what);
}

/* Up to a comment: a sign with a blank before it, as in AWS' own readers. */
static struct span without_comment(struct span value) {
    for (size_t i = 1; i < value.len; i++) {
        if ((value.p[i] == '#' || value.p[i] == ';') && is_blank(value.p[i - 1])) {
            return span_trim(span_of(value.p, i));
        }
    }
    return value.len > 0 && (value.p[0] == '#' || value.p[0] == ';') ? span_of(NULL, 0) : value;
}

/* Copies a section's name: quotes go, several blanks become one. */
static void add_section_name(struct buf *out, struct span name) {
    char quote = '\0';
    bool blank = false;
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        if (quote ? c == quote : c == '"' || c == '\'') {
            quote = quote ? '\0' : c;
        } else if (!quote && is_blank(c)) {
            blank = out->len > 0;
        } else {
            if (blank) {
                buf_char(out, ' ');
            }
            blank = false;
            buf_char(out, c);
        }
    }
}

static int begin_section(struct ini_work *work, struct span line, struct err *err) {
    const char *end = memchr(line.p, ']', line.len);
    if (!end) {
        return refuse(work, "a section needs a closing bracket, as in [profile NAME]", err);
    }
    struct span rest = span_trim(span_skip(line, (size_t)(end - line.p) + 1));
    if (rest.len > 0 && rest.p[0] != '#' && rest.p[0] != ';') {
        return refuse(work, "nothing but a comment may stand behind a section's bracket", err);
    }
    buf_clear(&work->section);
    add_section_name(&work->section, span_of(line.p + 1, (size_t)(end - line.p) - 1));
    if (work->section.len == 0 || work->section.overflow) {
        return refuse(work, "a section's name is empty or too long", err);
    }
    work->has_section = true;
    work->has_key = false;
    struct ini_line head = {.section = buf_span(&work->section), .number = work->number};
    work->take(work->context, &head);
    return 0;
}

/* Takes "name = value", or "name: value", apart; the name goes to the end of work->key. */
static bool cut_pair(struct ini_work *work, struct span line, struct span *value) {
    size_t len = 0;
    while (len < line.len && line.p[len] != '=' && line.p[len] != ':') {
        len++;
    }
    struct span key = span_trim(span_of(line.p, len));
    if (len == line.len || key.len == 0) {
        return false;
    }
    for (size_t i = 0; i < key.len; i++) {
        buf_char(&work->key, (char)tolower((unsigned char)key.p[i]));
    }
    *value = without_comment(span_trim(span_skip(line, len + 1)));
    return !work->key.overflow;
}

static void say(const struct ini_work *work, struct span value) {
    struct ini_line line = {.section = buf_span(&work->section),
                            .key = buf_span(&work->key),
                            .value = value,
                            .number = work->number};
    work->take(work->context, &line);
}

/* A line indented deeper than the name above it belongs to that name. */
static int read_nested(struct ini_work *work, struct span line, struct err *err) {
    struct span value;
    if (!work->key_is_open) {
        return refuse(work, "values of several lines are not supported", err);
    }
    work->key.len = work->key_len;
    buf_char(&work->key, '.');
    if (!cut_pair(work, line, &value)) {
        return refuse(work, "expected name = value", err);
    }
    say(work, value);
    return 0;
}

static int read_pair(struct ini_work *work, size_t indent, struct span line, struct err *err) {
    struct span value;
    if (!work->has_section) {
        return refuse(work, "a value stands before the first section; expected [profile NAME]",
                      err);
    }
    if (work->has_key && indent > work->key_indent) {
        return read_nested(work, line, err);
    }
    buf_clear(&work->key);
    if (!cut_pair(work, line, &value)) {
        return refuse(work, "expected name = value", err);
    }
    work->has_key = true;
    work->key_len = work->key.len;
    work->key_indent = indent;
    work->key_is_open = value.len == 0;
    say(work, value);
    return 0;
}

static int read_line(struct ini_work *work, struct span line, struct err *err) {
    size_t indent = 0;
    if (line.len > 0 && memchr(line.p, '\0', line.len)) {
        return refuse(work, "a NUL byte: this is no text file", err);
    }
    while (indent < line.len && is_blank(line.p[indent])) {
        indent++;
    }
    line = span_trim(line);
    if (line.len == 0 || line.p[0] == '#' || line.p[0] == ';') {
        return 0;
    }
    return line.p[0] == '[' ? begin_section(work, line, err) : read_pair(work, indent, line, err);
}

int ini_parse(struct span text, const char *name, ini_take *take, void *context, struct err *err) {
    struct ini_work work = {.name = name, .take = take, .context = context};
    struct span line;
    buf_over(&work.section, work.section_text, sizeof(work.section_text));
    buf_over(&work.key, work.key_text, sizeof(work.key_text));
    if (span_starts(text, SPAN("\xEF\xBB\xBF"))) {
        text = span_skip(text, 3);
    }
    while (span_cut(&text, '\n', &line)) {
        work.number++;
        if (read_line(&work, line, err) != 0) {
            return -1;
        }
    }
    return 0;
}
