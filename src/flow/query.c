/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The parser of Graylog's search language; see query.h. Recursive descent, one function per level
 * of binding: sequence (side by side, OR), conjunction (AND), clause (+ - ! NOT), and what a clause
 * is about. Depth, nodes and bytes have limits, as a filter may come over a socket.
 */
#include "flow/query.h"

#include <stdlib.h>

#include "base/utf8.h"
#include "base/xalloc.h"
#include "flow/query_tree.h"

struct parser {
    struct query *query;
    struct span rest;
    const char *start;
    int depth;
    struct span field; /* of the group that we are in, else empty */
    struct err *err;
};

/* A clause's sign counts where clauses stand side by side. */
enum sign { SIGN_NONE, SIGN_MUST, SIGN_MUST_NOT };

/* Children in order. */
struct chain {
    uint16_t first, last;
};

static uint16_t parse_sequence(struct parser *parser);

/* Every parse_ function returns a node, or 0 after this. */
static uint16_t fail(struct parser *parser, const char *at, const char *what) {
    err_set(parser->err, ERR_CONFIG, "query, position %zu: %s", (size_t)(at - parser->start) + 1,
            what);
    return 0;
}

static uint16_t new_node(struct parser *parser, enum query_kind kind) {
    struct query *query = parser->query;
    if (query->count == QUERY_NODES_MAX) {
        return fail(parser, parser->rest.p, "more terms than a query may have");
    }
    query->nodes[query->count] = (struct query_node){.kind = kind};
    return query->count++;
}

static void chain_add(struct query *query, struct chain *chain, uint16_t node) {
    if (chain->first == 0) {
        chain->first = node;
    } else {
        query->nodes[chain->last].next = node;
    }
    chain->last = node;
}

/* A node over children; a single one stands for itself. */
static uint16_t join(struct parser *parser, enum query_kind kind, const struct chain *chain) {
    if (chain->first == chain->last && kind != QUERY_NOT) {
        return chain->first;
    }
    uint16_t node = new_node(parser, kind);
    if (node != 0) {
        parser->query->nodes[node].child = chain->first;
    }
    return node;
}

static uint16_t negate(struct parser *parser, uint16_t child) {
    return join(parser, QUERY_NOT, &(struct chain){child, child});
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void skip_spaces(struct parser *parser) {
    while (parser->rest.len > 0 && is_space(parser->rest.p[0])) {
        parser->rest = span_skip(parser->rest, 1);
    }
}

static bool is_at(const struct parser *parser, char c) {
    return parser->rest.len > 0 && parser->rest.p[0] == c;
}

static bool take(struct parser *parser, struct span text) {
    if (!span_starts(parser->rest, text)) {
        return false;
    }
    parser->rest = span_skip(parser->rest, text.len);
    return true;
}

/* A word such as AND, with a boundary behind it. */
static bool take_word(struct parser *parser, struct span word) {
    struct span rest = parser->rest;
    if (!span_starts(rest, word) ||
        (rest.len > word.len && !is_space(rest.p[word.len]) && !strchr("()", rest.p[word.len]))) {
        return false;
    }
    parser->rest = span_skip(rest, word.len);
    return true;
}

/* A character that ends a bare word unless a backslash stands before it. */
static bool ends_word(char c) {
    return is_space(c) || strchr("()[]{}\":^~", c) != NULL;
}

static void keep(struct parser *parser, char c) {
    buf_char(&parser->query->text, c);
}

/* What was kept since `start`; the buffer never moves, as its size was reserved at birth. */
static struct span kept_since(const struct parser *parser, size_t start) {
    const struct buf *text = &parser->query->text;
    return span_of(text->data + start, text->len - start);
}

/* Takes the character behind a backslash as it is. */
static bool take_escaped(struct parser *parser) {
    if (parser->rest.len == 0) {
        fail(parser, parser->rest.p - 1, "a backslash with nothing behind it");
        return false;
    }
    keep(parser, parser->rest.p[0]);
    parser->rest = span_skip(parser->rest, 1);
    return true;
}

/* "...": only \" and \\ and the like have a meaning, wildcards have none. False: not closed. */
static bool take_quoted(struct parser *parser, struct span *text) {
    const char *open = parser->rest.p;
    size_t start = parser->query->text.len;
    parser->rest = span_skip(parser->rest, 1);
    while (!is_at(parser, '"')) {
        if (parser->rest.len == 0) {
            fail(parser, open, "a quote that does not end");
            return false;
        }
        if (take(parser, SPAN("\\"))) {
            if (!take_escaped(parser)) {
                return false;
            }
            continue;
        }
        keep(parser, parser->rest.p[0]);
        parser->rest = span_skip(parser->rest, 1);
    }
    parser->rest = span_skip(parser->rest, 1);
    *text = kept_since(parser, start);
    return true;
}

static bool take_bare(struct parser *parser, struct span *text) {
    const char *begin = parser->rest.p;
    size_t start = parser->query->text.len;
    while (parser->rest.len > 0 && !ends_word(parser->rest.p[0])) {
        char c = parser->rest.p[0];
        parser->rest = span_skip(parser->rest, 1);
        if (c == '\\') {
            if (!take_escaped(parser)) {
                return false;
            }
            continue;
        }
        keep(parser, c == '*' ? QUERY_ANY_TEXT : c == '?' ? QUERY_ANY_CHAR : c);
    }
    *text = kept_since(parser, start);
    if (parser->rest.p == begin) {
        fail(parser, begin,
             parser->rest.len == 0 ? "a value is missing"
             : begin[0] == ':'     ? "a colon too many; a value with a colon in it needs quotes"
                                   : "a value was expected");
        return false;
    }
    if (begin[0] == '/') {
        fail(parser, begin, "regular expressions are not known; for a slash write \\/");
        return false;
    }
    if (is_at(parser, '~') || is_at(parser, '^')) {
        fail(parser, parser->rest.p, "`~` and `^` are not known; put a backslash before it");
        return false;
    }
    return true;
}

static bool take_value(struct parser *parser, struct span *text) {
    return is_at(parser, '"') ? take_quoted(parser, text) : take_bare(parser, text);
}

static bool is_any(struct span pattern) {
    return pattern.len == 1 && pattern.p[0] == QUERY_ANY_TEXT;
}

static bool has_wildcard(struct span pattern) {
    return memchr(pattern.p, QUERY_ANY_TEXT, pattern.len) ||
           memchr(pattern.p, QUERY_ANY_CHAR, pattern.len);
}

/* Names as in Graylog, which has two of its own. */
static struct span field_name(struct span written) {
    if (written.len > 1 && written.p[0] == '_') {
        written = span_skip(written, 1);
    }
    if (span_eq(written, SPAN("message"))) {
        return SPAN("short_message");
    }
    return span_eq(written, SPAN("source")) ? SPAN("host") : written;
}

static bool take_bound(struct parser *parser, struct query_bound *bound) {
    const char *begin = parser->rest.p;
    if (!take_value(parser, &bound->text)) {
        return false;
    }
    if (is_any(bound->text)) {
        bound->text = span_of(NULL, 0);
    } else if (bound->text.len == 0 || has_wildcard(bound->text)) {
        fail(parser, begin, "an end of a range is a value or *");
        return false;
    }
    return true;
}

/* [a TO b], with { or } for an end that is left out. */
static uint16_t parse_range(struct parser *parser) {
    struct query_bound low = {.inclusive = is_at(parser, '[')}, high = {.inclusive = false};
    parser->rest = span_skip(parser->rest, 1);
    skip_spaces(parser);
    if (!take_bound(parser, &low)) {
        return 0;
    }
    skip_spaces(parser);
    if (!take_word(parser, SPAN("TO"))) {
        return fail(parser, parser->rest.p, "a range is written [a TO b]");
    }
    skip_spaces(parser);
    if (!take_bound(parser, &high)) {
        return 0;
    }
    skip_spaces(parser);
    high.inclusive = is_at(parser, ']');
    if (!take(parser, SPAN("]")) && !take(parser, SPAN("}"))) {
        return fail(parser, parser->rest.p, "a range ends with ] or }");
    }
    uint16_t node = new_node(parser, QUERY_RANGE);
    parser->query->nodes[node].low = low;
    parser->query->nodes[node].high = high;
    return node;
}

/* >n and its like. */
static uint16_t parse_comparison(struct parser *parser) {
    bool is_low = take(parser, SPAN(">"));
    if (!is_low) {
        take(parser, SPAN("<"));
    }
    struct query_bound bound = {.inclusive = take(parser, SPAN("="))};
    skip_spaces(parser);
    if (!take_bound(parser, &bound)) {
        return 0;
    }
    uint16_t node = new_node(parser, QUERY_RANGE);
    *(is_low ? &parser->query->nodes[node].low : &parser->query->nodes[node].high) = bound;
    return node;
}

/* The inside of ( ), behind the opening one. */
static uint16_t parse_group(struct parser *parser, const char *open) {
    if (parser->depth == QUERY_DEPTH_MAX) {
        return fail(parser, open, "more levels than a query may have");
    }
    parser->depth++;
    uint16_t node = parse_sequence(parser);
    parser->depth--;
    if (node != 0 && !take(parser, SPAN(")"))) {
        return fail(parser, open, "a parenthesis that does not close");
    }
    return node;
}

/* `parser->field` about a range, a comparison or a value. */
static uint16_t parse_value(struct parser *parser, bool quoted, struct span text) {
    enum query_kind kind = !quoted && is_any(text) ? QUERY_EXISTS : QUERY_TEXT;
    if (kind == QUERY_EXISTS && parser->field.len == 0) {
        return new_node(parser, QUERY_ALL);
    }
    uint16_t node = new_node(parser, kind);
    parser->query->nodes[node].field = parser->field;
    parser->query->nodes[node].pattern = text;
    return node;
}

/* What stands where a value may stand: behind `field:`, or inside its group. */
static uint16_t parse_about_field(struct parser *parser) {
    const char *begin = parser->rest.p;
    char c = parser->rest.len > 0 ? parser->rest.p[0] : '\0';
    if (take(parser, SPAN("("))) {
        return parse_group(parser, begin);
    }
    if (c == '[' || c == '{' || c == '<' || c == '>') {
        if (parser->field.len == 0) {
            return fail(parser, begin, "a range needs a field before it: bytes:>1000");
        }
        uint16_t node = c == '[' || c == '{' ? parse_range(parser) : parse_comparison(parser);
        parser->query->nodes[node].field = parser->field;
        return node;
    }
    struct span text;
    return take_value(parser, &text) ? parse_value(parser, c == '"', text) : 0;
}

/* Behind a name and a colon. */
static uint16_t parse_field(struct parser *parser, struct span name, const char *begin) {
    if (parser->field.len > 0) {
        return fail(parser, begin,
                    "a field inside another one's group; if the colon belongs to "
                    "the value, quote it");
    }
    skip_spaces(parser);
    struct span text;
    if (span_eq(name, SPAN("_exists_"))) {
        if (!take_value(parser, &text)) {
            return 0;
        }
        uint16_t node = new_node(parser, QUERY_EXISTS);
        parser->query->nodes[node].field = field_name(text);
        return has_wildcard(text) || text.len == 0
                   ? fail(parser, begin, "_exists_ needs the name of one field")
                   : node;
    }
    if (is_any(name)) {
        return take_value(parser, &text) && is_any(text)
                   ? new_node(parser, QUERY_ALL)
                   : fail(parser, begin, "the only query about all fields is *:*");
    }
    if (has_wildcard(name)) {
        return fail(parser, begin, "a name of a field has no wildcards");
    }
    parser->field = field_name(name);
    uint16_t node = parse_about_field(parser);
    parser->field = span_of(NULL, 0);
    return node;
}

static bool take_and(struct parser *parser) {
    skip_spaces(parser);
    return take_word(parser, SPAN("AND")) || take(parser, SPAN("&&"));
}

static bool take_or(struct parser *parser) {
    skip_spaces(parser);
    return take_word(parser, SPAN("OR")) || take(parser, SPAN("||"));
}

static uint16_t parse_term(struct parser *parser) {
    const char *begin = parser->rest.p;
    if (parser->rest.len == 0 || strchr("([{<>\"", begin[0])) {
        return parse_about_field(parser);
    }
    if (take_and(parser) || take_or(parser)) {
        return fail(parser, begin, "AND and OR stand between two terms");
    }
    struct span text;
    if (!take_bare(parser, &text)) {
        return 0;
    }
    if (take(parser, SPAN(":"))) {
        return parse_field(parser, text, begin);
    }
    return parse_value(parser, false, text);
}

static enum sign take_sign(struct parser *parser) {
    if (take(parser, SPAN("+"))) {
        return SIGN_MUST;
    }
    bool is_not =
        take(parser, SPAN("-")) || take(parser, SPAN("!")) || take_word(parser, SPAN("NOT"));
    return is_not ? SIGN_MUST_NOT : SIGN_NONE;
}

/* A term behind its signs, which are told apart from it; two times not is nothing. */
static uint16_t parse_clause(struct parser *parser, enum sign *sign) {
    *sign = SIGN_NONE;
    for (;;) {
        skip_spaces(parser);
        enum sign next = take_sign(parser);
        if (next == SIGN_NONE) {
            break;
        }
        bool is_even = next == SIGN_MUST_NOT && *sign == SIGN_MUST_NOT;
        *sign = is_even ? SIGN_NONE : next == SIGN_MUST && *sign == SIGN_MUST_NOT ? *sign : next;
    }
    return parse_term(parser);
}

static bool is_at_or(const struct parser *parser) {
    struct parser ahead = *parser;
    return take_or(&ahead);
}

/* Clauses with AND between them; *sign is that of a clause that stands alone. */
static uint16_t parse_conjunction(struct parser *parser, enum sign *sign) {
    struct chain chain = {0, 0};
    do {
        uint16_t node = parse_clause(parser, sign);
        if (node == 0) {
            return 0;
        }
        bool goes_on = take_and(parser);
        if (*sign == SIGN_MUST_NOT && (chain.first != 0 || goes_on)) {
            node = negate(parser, node);
            if (node == 0) {
                return 0;
            }
        }
        chain_add(parser->query, &chain, node);
        if (!goes_on) {
            break;
        }
    } while (true);
    if (chain.first != chain.last) {
        *sign = SIGN_NONE;
    }
    return join(parser, QUERY_AND, &chain);
}

static bool is_end(struct parser *parser) {
    skip_spaces(parser);
    return parser->rest.len == 0 || is_at(parser, ')');
}

/*
 * Conjunctions side by side, up to an OR or the end. Where one carries a sign: all that must match,
 * none that must not, and, where none must, one of the others if there are others.
 */
static uint16_t parse_side_by_side(struct parser *parser) {
    struct chain all = {0, 0}, any = {0, 0};
    bool has_must = false;
    do {
        enum sign sign;
        uint16_t node = parse_conjunction(parser, &sign);
        if (node == 0) {
            return 0;
        }
        if (sign == SIGN_MUST_NOT) {
            node = negate(parser, node);
            if (node == 0) {
                return 0;
            }
        }
        has_must |= sign == SIGN_MUST;
        chain_add(parser->query, sign == SIGN_NONE ? &any : &all, node);
        skip_spaces(parser);
    } while (!is_end(parser) && !is_at_or(parser));
    if (any.first != 0 && !has_must) {
        uint16_t one = join(parser, QUERY_OR, &any);
        if (one == 0) {
            return 0;
        }
        chain_add(parser->query, &all, one);
    }
    return join(parser, QUERY_AND, &all);
}

static uint16_t parse_sequence(struct parser *parser) {
    struct chain chain = {0, 0};
    do {
        uint16_t node = parse_side_by_side(parser);
        if (node == 0) {
            return 0;
        }
        chain_add(parser->query, &chain, node);
    } while (take_or(parser));
    return join(parser, QUERY_OR, &chain);
}

/* Bytes that mark wildcards in patterns must not come from outside, nor ones that are no text. */
static int check_text(struct span text, struct err *err) {
    if (text.len > QUERY_BYTES_MAX) {
        return err_set(err, ERR_CONFIG, "query: longer than %d bytes", QUERY_BYTES_MAX);
    }
    for (size_t at = 0; at < text.len;) {
        size_t len = utf8_char(text.p + at, text.len - at);
        if (len == 0 || text.p[at] == '\0') {
            return err_set(err, ERR_CONFIG, "query, position %zu: not UTF-8", at + 1);
        }
        at += len;
    }
    return 0;
}

int query_parse(struct span text, struct query **out, struct err *err) {
    if (check_text(text, err) != 0) {
        return -1;
    }
    struct query *query = xcalloc(1, sizeof(*query));
    buf_init(&query->text, text.len + 1);
    buf_reserve(&query->text, text.len + 1);
    query->count = 1; /* 0 means none */
    struct parser parser = {.query = query, .rest = text, .start = text.p, .err = err};
    skip_spaces(&parser);
    query->is_blank = parser.rest.len == 0;
    query->root = query->is_blank ? new_node(&parser, QUERY_ALL) : parse_sequence(&parser);
    if (query->root != 0 && parser.rest.len > 0) {
        query->root = fail(&parser, parser.rest.p, "a closing parenthesis that none opened");
    }
    if (query->root == 0) {
        query_free(query);
        return -1;
    }
    *out = query;
    return 0;
}

/* Goes as deep as the query does, which has a limit. */
static void list_fields(const struct query *query, uint16_t index,
                        void (*found)(void *context, struct span name), void *context) {
    const struct query_node *node = &query->nodes[index];
    if (node->kind == QUERY_NOT) {
        return;
    }
    if (node->field.len > 0) {
        found(context, node->field);
    }
    for (uint16_t child = node->child; child != 0; child = query->nodes[child].next) {
        list_fields(query, child, found, context);
    }
}

void query_fields(const struct query *query, void (*found)(void *context, struct span name),
                  void *context) {
    list_fields(query, query->root, found, context);
}

void query_names(const struct query *query, void (*found)(void *context, struct span name),
                 void *context) {
    for (uint16_t i = 1; i < query->count; i++) {
        const struct query_node *node = &query->nodes[i];
        if (node->field.len > 0) {
            found(context, node->field);
        } else if (node->kind == QUERY_TEXT) {
            found(context, SPAN("short_message"));
        }
    }
}

bool query_is_blank(const struct query *query) {
    return query->is_blank;
}

void query_free(struct query *query) {
    if (query) {
        buf_done(&query->text);
        free(query);
    }
}
