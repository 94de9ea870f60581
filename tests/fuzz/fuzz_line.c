/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a line against the default formats, and as a format string or a header. */
#include <assert.h>
#include <stdint.h>

#include "flow/line.h"

static struct format *formats[2];

/* What a splitter must have kept: words of the line, in order, without blanks. */
static void judge_columns(const struct flow *flow, size_t count, struct span line) {
    const char *behind = line.p;
    for (size_t i = 0; i < count; i++) {
        struct span word = flow->column[i];
        assert(word.p >= behind && word.p + word.len <= line.p + line.len);
        for (size_t k = 0; k < word.len; k++) {
            assert(word.p[k] != ' ' && word.p[k] != '\t');
            assert(!flow->plain || (word.p[k] >= 0x20 && word.p[k] != '"' && word.p[k] != '\\'));
        }
        behind = word.p + word.len;
    }
}

static void try_format(struct span text) {
    struct format *format, *again;
    if (format_parse(text, &format, NULL) == 0) {
        assert(format_parse(span_str(format->text), &again, NULL) == 0);
        assert(again->count == format->count && again->id != format->id);
        format_free(again);
        format_free(format);
    }
    if (format_is_header(text) && format_from_names(text, &format, NULL) == 0) {
        static struct flow flow;
        assert(line_parse(format, text, &flow) < 0 || format->count > 1);
        format_free(format);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static struct flow flow;
    if (!formats[0]) {
        format_parse(SPAN("default"), &formats[0], NULL);
        format_parse(SPAN("${srcaddr} ${brand-new} ${interface-id} ${bytes}"), &formats[1], NULL);
    }
    struct span line = span_of((const char *)data, size);
    int count = line_split(line, &flow);
    assert(count <= FORMAT_COLUMNS_MAX);
    judge_columns(&flow, count > 0 ? (size_t)count : 0, line);
    for (int i = 0; i < 2; i++) {
        if (count > 0 && line_fit(formats[i], (size_t)count, &flow) == 0) {
            assert(flow.format == formats[i] && (size_t)count == formats[i]->count);
        }
    }
    try_format(line);
    return 0;
}
