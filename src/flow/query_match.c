/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Messages as queries see them, and whether one matches; see query.h. Without locale and without
 * allocation once a view has seen its largest message. Comparisons follow what Graylog's index does
 * with its default mapping: keywords whole, the messages themselves by words, numbers by value.
 */
#include "base/json_read.h"
#include "base/utf8.h"
#include "flow/query.h"
#include "flow/query_tree.h"

void message_view_init(struct message_view *view, size_t max_bytes) {
    view->count = 0;
    buf_init(&view->text, max_bytes);
}

void message_view_done(struct message_view *view) {
    view->count = 0;
    buf_done(&view->text);
}

static int view_add(struct message_view *view, struct span key, struct span value,
                    enum view_type type, struct err *err) {
    if (view->count == VIEW_FIELDS_MAX) {
        return err_set(err, ERR_DATA, "a message of more than %d fields", VIEW_FIELDS_MAX);
    }
    bool has_underscore = key.len > 1 && key.p[0] == '_';
    view->fields[view->count++] = (struct view_field){
        .name = has_underscore ? span_skip(key, 1) : key, .value = value, .type = type};
    return 0;
}

bool message_view_add(struct message_view *view, struct span name, struct span value,
                      enum view_type type) {
    if (view->count == VIEW_FIELDS_MAX) {
        return false;
    }
    view->fields[view->count++] = (struct view_field){name, value, type};
    return true;
}

/* Cuts a quoted text without escapes off `rest`. */
static bool cut_plain_text(struct span *rest, struct span *text) {
    const char *end =
        rest->len > 1 && rest->p[0] == '"' ? memchr(rest->p + 1, '"', rest->len - 1) : NULL;
    if (!end) {
        return false;
    }
    *text = span_of(rest->p + 1, (size_t)(end - rest->p) - 1);
    *rest = span_skip(*rest, text->len + 2);
    return !memchr(text->p, '\\', text->len);
}

/* Cuts digits with sign and point off `rest`. */
static bool cut_plain_number(struct span *rest, struct span *number) {
    size_t len = 0;
    while (len < rest->len && rest->p[len] != ',') {
        char c = rest->p[len++];
        if (!((c >= '0' && c <= '9') || c == '-' || c == '.')) {
            return false;
        }
    }
    *number = span_of(rest->p, len);
    *rest = span_skip(*rest, len);
    return len > 0;
}

bool message_view_add_plain(struct message_view *view, struct span pieces) {
    while (pieces.len > 0) {
        struct span name, value;
        if (pieces.p[0] != ',') {
            return false;
        }
        pieces = span_skip(pieces, 1);
        if (!cut_plain_text(&pieces, &name) || name.len < 2 || name.p[0] != '_' ||
            pieces.len == 0 || pieces.p[0] != ':') {
            return false;
        }
        pieces = span_skip(pieces, 1);
        bool is_text = pieces.len > 0 && pieces.p[0] == '"';
        if (!(is_text ? cut_plain_text(&pieces, &value) : cut_plain_number(&pieces, &value)) ||
            !message_view_add(view, span_skip(name, 1), value, is_text ? VIEW_TEXT : VIEW_NUMBER)) {
            return false;
        }
    }
    return true;
}

static int view_value(struct message_view *view, struct json_read *read, enum json_token token,
                      struct span key, struct err *err) {
    switch (token) {
    case TOKEN_STRING:
        return view_add(view, key, json_text(read), VIEW_TEXT, err);
    case TOKEN_NUMBER:
        return view_add(view, key, read->text, VIEW_NUMBER, err);
    case TOKEN_TRUE:
    case TOKEN_FALSE:
    case TOKEN_NULL:
        return view_add(view, key, read->text, VIEW_WORD, err);
    case TOKEN_ERROR:
    case TOKEN_END:
        return err_set(err, ERR_DATA, "a message that is no JSON: %s",
                       read->error ? read->error : "it ends too early");
    case TOKEN_OBJECT:
    case TOKEN_OBJECT_END:
    case TOKEN_ARRAY:
    case TOKEN_ARRAY_END:
        break;
    }
    return err_set(err, ERR_DATA, "a message that is not flat");
}

static int view_array(struct message_view *view, struct json_read *read, struct span key,
                      struct err *err) {
    for (;;) {
        enum json_token token = json_next(read);
        if (token == TOKEN_ARRAY_END) {
            return 0;
        }
        if (view_value(view, read, token, key, err) != 0) {
            return -1;
        }
    }
}

int message_view_parse(struct message_view *view, struct span json, struct err *err) {
    view->count = 0;
    buf_clear(&view->text);
    buf_add(&view->text, json);
    if (view->text.overflow) {
        return err_set(err, ERR_DATA, "a message of %zu bytes", json.len);
    }
    struct json_read read;
    json_read_init(&read, view->text.data, view->text.len);
    if (json_next(&read) != TOKEN_OBJECT) {
        return err_set(err, ERR_DATA, "a message that is no JSON object");
    }
    for (;;) {
        enum json_token token = json_next(&read);
        if (token == TOKEN_OBJECT_END) {
            return 0;
        }
        bool has_key = token != TOKEN_ERROR && token != TOKEN_END;
        struct span key = has_key ? json_key(&read) : span_of(NULL, 0);
        if ((token == TOKEN_ARRAY ? view_array(view, &read, key, err)
                                  : view_value(view, &read, token, key, err)) != 0) {
            return -1;
        }
    }
}

static char lower(char c) {
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool same_char(char a, char b, bool fold) {
    return a == b || (fold && lower(a) == lower(b));
}

/* Whether the whole text is as the pattern says. Falling back to the last * alone is enough. */
static bool glob(struct span pattern, struct span text, bool fold) {
    size_t p = 0, t = 0, star = SIZE_MAX, resume = 0;
    while (t < text.len) {
        if (p < pattern.len && pattern.p[p] == QUERY_ANY_TEXT) {
            star = p++;
            resume = t;
        } else if (p < pattern.len && pattern.p[p] == QUERY_ANY_CHAR) {
            size_t len = utf8_char(text.p + t, text.len - t);
            t += len > 0 ? len : 1;
            p++;
        } else if (p < pattern.len && same_char(pattern.p[p], text.p[t], fold)) {
            t++;
            p++;
        } else if (star != SIZE_MAX) {
            p = star + 1;
            t = ++resume;
        } else {
            return false;
        }
    }
    while (p < pattern.len && pattern.p[p] == QUERY_ANY_TEXT) {
        p++;
    }
    return p == pattern.len;
}

static bool is_word_char(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
           (unsigned char)c >= 0x80;
}

/* Cuts the next word off; a dot inside belongs to it, so an IPv4 address is one word. */
static bool next_word(struct span *rest, struct span *word) {
    while (rest->len > 0 && !is_word_char(rest->p[0])) {
        *rest = span_skip(*rest, 1);
    }
    size_t len = 0;
    while (len < rest->len &&
           (is_word_char(rest->p[len]) ||
            (rest->p[len] == '.' && len + 1 < rest->len && is_word_char(rest->p[len + 1])))) {
        len++;
    }
    *word = span_of(rest->p, len);
    *rest = span_skip(*rest, len);
    return len > 0;
}

/* Whether the text begins with the words of the pattern. */
static bool begins_with_words(struct span text, struct span pattern) {
    struct span wanted, word;
    while (next_word(&pattern, &wanted)) {
        if (!next_word(&text, &word) || !glob(wanted, word, true)) {
            return false;
        }
    }
    return true;
}

/* Whether the pattern's words stand in the text behind each other. */
static bool has_words(struct span text, struct span pattern) {
    struct span word, rest = pattern;
    if (!next_word(&rest, &word)) {
        return false;
    }
    while (text.len > 0) {
        if (begins_with_words(text, pattern)) {
            return true;
        }
        if (!next_word(&text, &word)) {
            return false;
        }
    }
    return false;
}

/* A number as it is written, taken apart; compared so, no digit is lost. */
struct decimal {
    bool negative;
    struct span whole;    /* without leading zeros */
    struct span fraction; /* without trailing zeros */
};

static struct span take_digits(struct span *rest) {
    size_t len = 0;
    while (len < rest->len && rest->p[len] >= '0' && rest->p[len] <= '9') {
        len++;
    }
    struct span digits = span_of(rest->p, len);
    *rest = span_skip(*rest, len);
    return digits;
}

static bool decimal_parse(struct span text, struct decimal *decimal) {
    decimal->negative = text.len > 0 && text.p[0] == '-';
    text = span_skip(text, decimal->negative);
    struct span whole = take_digits(&text), fraction = span_of(NULL, 0);
    if (whole.len == 0) {
        return false;
    }
    if (text.len > 1 && text.p[0] == '.') {
        text = span_skip(text, 1);
        fraction = take_digits(&text);
    }
    while (whole.len > 0 && whole.p[0] == '0') {
        whole = span_skip(whole, 1);
    }
    while (fraction.len > 0 && fraction.p[fraction.len - 1] == '0') {
        fraction.len--;
    }
    decimal->whole = whole;
    decimal->fraction = fraction;
    decimal->negative &= whole.len > 0 || fraction.len > 0;
    return text.len == 0;
}

static int compare_bytes(struct span a, struct span b) {
    size_t len = a.len < b.len ? a.len : b.len;
    int order = len > 0 ? memcmp(a.p, b.p, len) : 0;
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int decimal_compare(const struct decimal *a, const struct decimal *b) {
    if (a->negative != b->negative) {
        return a->negative ? -1 : 1;
    }
    int order = (a->whole.len > b->whole.len) - (a->whole.len < b->whole.len);
    if (order == 0) {
        order = compare_bytes(a->whole, b->whole);
    }
    if (order == 0) {
        order = compare_bytes(a->fraction, b->fraction);
    }
    return a->negative ? -order : order;
}

/* False when they cannot be compared: one is a number, the other is none. */
static bool compare(const struct view_field *field, struct span wanted, int *order) {
    struct decimal a, b;
    if (field->type != VIEW_NUMBER) {
        *order = compare_bytes(field->value, wanted);
        return true;
    }
    if (!decimal_parse(field->value, &a) || !decimal_parse(wanted, &b)) {
        return false;
    }
    *order = decimal_compare(&a, &b);
    return true;
}

static bool is_in_range(const struct query_node *node, const struct view_field *field) {
    int order;
    if (node->low.text.len > 0 &&
        (!compare(field, node->low.text, &order) || order < (node->low.inclusive ? 0 : 1))) {
        return false;
    }
    return node->high.text.len == 0 ||
           (compare(field, node->high.text, &order) && order <= (node->high.inclusive ? 0 : -1));
}

static bool is_text(struct span name) {
    return span_eq(name, SPAN("short_message")) || span_eq(name, SPAN("full_message"));
}

static bool is_value(const struct query_node *node, const struct view_field *field) {
    if (field->type == VIEW_NUMBER) {
        int order;
        return compare(field, node->pattern, &order) && order == 0;
    }
    if (is_text(field->name)) {
        return has_words(field->value, node->pattern);
    }
    return glob(node->pattern, field->value, span_eq(field->name, SPAN("host")));
}

static bool matches_field(const struct query_node *node, const struct view_field *field) {
    if (node->field.len > 0 ? !span_eq(node->field, field->name) : !is_text(field->name)) {
        return false;
    }
    return node->kind == QUERY_EXISTS ||
           (node->kind == QUERY_RANGE ? is_in_range(node, field) : is_value(node, field));
}

static bool matches(const struct query *query, uint16_t index, const struct message_view *view) {
    const struct query_node *node = &query->nodes[index];
    switch (node->kind) {
    case QUERY_ALL:
        return true;
    case QUERY_NOT:
        return !matches(query, node->child, view);
    case QUERY_AND:
    case QUERY_OR:
        for (uint16_t child = node->child; child != 0; child = query->nodes[child].next) {
            if (matches(query, child, view) == (node->kind == QUERY_OR)) {
                return node->kind == QUERY_OR;
            }
        }
        return node->kind == QUERY_AND;
    case QUERY_EXISTS:
    case QUERY_TEXT:
    case QUERY_RANGE:
        break;
    }
    for (size_t i = 0; i < view->count; i++) {
        if (matches_field(node, &view->fields[i])) {
            return true;
        }
    }
    return false;
}

bool query_matches(const struct query *query, const struct message_view *view) {
    return matches(query, query->root, view);
}
