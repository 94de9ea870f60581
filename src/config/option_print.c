/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The documents that are made from setting tables: the commented sample configuration and the rows
 * of the reference chapter. Called by the tool that writes conf/ and docs/, and by --help texts.
 */
#include "config/option.h"
#include "config/option_value.h"

enum { COLUMNS = 90, TEXT_MAX = 16384, GROUP_INDENT = 2 };

static void print_blanks(int count, struct buf *out) {
    buf_printf(out, "%*s", count, "");
}

/* Words behind "# ", broken before COLUMNS. */
void option_print_comment(struct span text, int indent, struct buf *out) {
    struct span word;
    size_t column = 0;
    while (span_cut(&text, ' ', &word)) {
        if (word.len == 0) {
            continue;
        }
        if (column > 0 && column + 1 + word.len > COLUMNS) {
            buf_char(out, '\n');
            column = 0;
        }
        if (column == 0) {
            print_blanks(indent, out);
            buf_char(out, '#');
            column = (size_t)indent + 1;
        }
        buf_char(out, ' ');
        buf_add(out, word);
        column += 1 + word.len;
    }
    if (column > 0) {
        buf_char(out, '\n');
    }
}

/* "Allowed: ...; default: ..." in the words of the error messages. */
static void describe(const struct option *option, struct buf *out) {
    option_value_describe(option, out);
    if (option->required) {
        buf_add(out, SPAN("; required"));
    } else if (option->preset) {
        buf_printf(out, "; default: %s", option->preset);
    }
}

static void print_help(const struct option *option, int indent, struct buf *out) {
    struct buf text;
    buf_init(&text, TEXT_MAX);
    buf_add(&text, span_str(option->help));
    if (option->type != OPTION_GROUP && option->type != OPTION_NODE) {
        buf_add(&text, option->help ? SPAN(" Allowed: ") : SPAN("Allowed: "));
        describe(option, &text);
        buf_char(&text, '.');
    }
    option_print_comment(buf_span(&text), indent, out);
    buf_done(&text);
}

/* `commented`: the group around is commented out, and so all that is in it. */
static void print_sample(const struct option *table, int indent, bool commented, struct buf *out) {
    for (; table->name; table++) {
        if (table->later) {
            continue;
        }
        bool active = !commented && table->required;
        const char *value = table->sample ? table->sample : table->preset;
        print_help(table, indent, out);
        print_blanks(indent, out);
        buf_printf(out, "%s%s:", active ? "" : "#", table->name);
        if (table->type == OPTION_GROUP) {
            buf_char(out, '\n');
            print_sample(table->group, indent + GROUP_INDENT, !active, out);
        } else {
            buf_printf(out, "%s%s\n", value ? " " : "", value ? value : "");
        }
    }
}

void option_print_sample(const struct option *table, int indent, struct buf *out) {
    print_sample(table, indent, false, out);
}

/* A table's cell: "|" would end it. */
static void print_cell(struct span text, struct buf *out) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] == '|') {
            buf_char(out, '\\');
        }
        buf_char(out, text.p[i] == '\n' ? ' ' : text.p[i]);
    }
}

static void print_row(const struct option *option, const char *name, struct buf *out) {
    struct buf type;
    buf_init(&type, TEXT_MAX);
    option_value_describe(option, &type);
    buf_printf(out, "| `%s` | ", name);
    print_cell(buf_span(&type), out);
    buf_add(out, SPAN(" | "));
    if (option->required) {
        buf_add(out, SPAN("required"));
    } else if (option->preset) {
        buf_char(out, '`');
        print_cell(span_str(option->preset), out);
        buf_char(out, '`');
    }
    buf_add(out, SPAN(" | "));
    print_cell(span_str(option->help), out);
    if (option->later) {
        buf_printf(out, "%s(%s)", option->help ? " " : "", option->later);
    }
    buf_add(out, SPAN(" |\n"));
    buf_done(&type);
}

void option_print_reference(const struct option *table, const char *path, struct buf *out) {
    for (; table->name; table++) {
        struct buf name;
        buf_init(&name, TEXT_MAX);
        buf_printf(&name, "%s%s%s", path, path[0] ? "." : "", table->name);
        print_row(table, buf_cstr(&name), out);
        if (table->type == OPTION_GROUP && !table->later) {
            option_print_reference(table->group, buf_cstr(&name), out);
        }
        buf_done(&name);
    }
}
