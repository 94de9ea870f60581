/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as XML. A tree that comes of them is within its limits, and written out as XML and read
 * again it is the same tree.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "aws/xml.h"
#include "base/buf.h"

enum { WRITTEN_MAX = 64 << 20 };

static void require(int holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "%s\n", what);
        abort();
    }
}

static void write_text(struct buf *out, const char *text) {
    for (; *text; text++) {
        if (strchr("<>&\r", *text)) {
            buf_printf(out, "&#%d;", *text);
        } else {
            buf_char(out, *text);
        }
    }
}

static size_t write_element(struct buf *out, const struct xml_element *element, int depth) {
    const struct xml_element *child = xml_first(element);
    const char *text = xml_text(element, "");
    size_t count = 1;
    require(depth < XML_DEPTH_MAX, "the tree is too deep");
    require(!child || text[0] == '\0', "an element with children has a text");
    require(strlen(text) == span_trim(span_str(text)).len, "a text has blanks around it");
    require(!strchr(xml_name(element), ':'), "a name has a namespace");
    buf_printf(out, "<%s>", xml_name(element));
    write_text(out, text);
    for (; child; child = xml_next(child)) {
        require(xml_child(element, xml_name(child)) != NULL, "a child is not found by its name");
        count += write_element(out, child, depth + 1);
    }
    buf_printf(out, "</%s>", xml_name(element));
    return count;
}

static void require_same(const struct xml_element *a, const struct xml_element *b) {
    for (; a && b; a = xml_next(a), b = xml_next(b)) {
        require(strcmp(xml_name(a), xml_name(b)) == 0, "a name is another one when read again");
        require(strcmp(xml_text(a, ""), xml_text(b, "")) == 0, "a text is another one");
        require_same(xml_first(a), xml_first(b));
    }
    require(!a && !b, "there are more or fewer elements when read again");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct xml *xml, *again;
    struct buf written;
    struct err err;
    if (xml_parse(span_of((const char *)data, size), &xml, &err) < 0) {
        require(err.kind == ERR_DATA && !xml, "a refusal is no data error");
        return 0;
    }
    buf_init(&written, WRITTEN_MAX);
    size_t count = write_element(&written, xml_root(xml), 0);
    require(count <= XML_ELEMENTS_MAX, "there are too many elements");
    /* A name behind a colon may begin with what no name begins with ("a:1"). */
    if (xml_parse(buf_span(&written), &again, &err) == 0) {
        require_same(xml_root(xml), xml_root(again));
        xml_free(again);
    }
    buf_done(&written);
    xml_free(xml);
    return 0;
}
