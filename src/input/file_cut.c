/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See file_cut.h. A line feed can stand neither in a JSON string nor matter elsewhere, so one that
 * comes inside a string tells that the object was torn: the text is taken up anew behind it, which
 * keeps one broken line from swallowing all that follow.
 */
#include "input/file_cut.h"

static void look_for_kind(struct file_cut *cut, struct span text) {
    while (!cut->is_known && cut->seen < text.len) {
        char c = text.p[cut->seen];
        if (c == ' ' || (c >= '\t' && c <= '\r')) {
            cut->seen++;
            continue;
        }
        cut->is_json = c == '{' || c == '[';
        cut->is_known = true;
    }
}

static size_t cut_lines(struct file_cut *cut, struct span text) {
    const char *hit = memrchr(text.p + cut->seen, '\n', text.len - cut->seen);
    cut->seen = text.len;
    if (hit) {
        cut->whole = (size_t)(hit - text.p) + 1;
    }
    return cut->whole;
}

/* A quote is part of the string behind an odd number of backslashes. */
static bool is_escaped(struct span text, size_t at) {
    size_t from = at;
    while (from > 0 && text.p[from - 1] == '\\') {
        from--;
    }
    return (at - from) % 2 == 1;
}

/* Goes to the end of the string, or of the text; where that is. */
static size_t pass_string(struct file_cut *cut, struct span text, size_t at) {
    const char *quote = memchr(text.p + at, '"', text.len - at);
    size_t end = quote ? (size_t)(quote - text.p) : text.len;
    const char *torn = memchr(text.p + at, '\n', end - at);
    if (torn) {
        cut->in_string = false;
        cut->depth = 0;
        cut->whole = (size_t)(torn - text.p) + 1;
        return cut->whole;
    }
    cut->in_string = !quote || is_escaped(text, end);
    return quote ? end + 1 : end;
}

static void in_object(struct file_cut *cut, char c, size_t at) {
    if (c == '"') {
        cut->in_string = true;
    } else if (c == '{' || c == '[') {
        cut->depth++;
    } else if ((c == '}' || c == ']') && --cut->depth == 0) {
        cut->whole = at + 1;
    }
}

/* Bare lines may stand among objects; their brackets open nothing. */
static void between_objects(struct file_cut *cut, char c, size_t at) {
    if (c == '\n') {
        cut->in_word = false;
        cut->whole = at + 1;
    } else if ((c == '{' || c == '[') && !cut->in_word) {
        cut->depth = 1;
    } else if (c != ' ' && c != '\t' && c != '\r') {
        cut->in_word = true;
    }
}

static size_t cut_json(struct file_cut *cut, struct span text) {
    struct file_cut at = *cut; /* a local copy, so that the compiler keeps it in registers */
    for (size_t i = at.seen; i < text.len;) {
        if (at.in_string) {
            i = pass_string(&at, text, i);
        } else if (at.depth > 0) {
            in_object(&at, text.p[i], i);
            i++;
        } else {
            between_objects(&at, text.p[i], i);
            i++;
        }
    }
    at.seen = text.len;
    *cut = at;
    return at.whole;
}

size_t file_cut(struct file_cut *cut, struct span text) {
    look_for_kind(cut, text);
    if (!cut->is_known) {
        return 0;
    }
    return cut->is_json ? cut_json(cut, text) : cut_lines(cut, text);
}
