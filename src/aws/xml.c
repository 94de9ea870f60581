/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See xml.h. expat reads, and each element becomes a node in one list of blocks, with its text and
 * its name behind each other in the same blocks: a reply of a million elements costs a few hundred
 * allocations, and one walk frees it. Names repeat, so the last ones seen are kept at hand and
 * stored once.
 */
#include "aws/xml.h"

#include <assert.h>
#include <expat.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/xalloc.h"

enum { BLOCK_SIZE = 64 << 10, NAMES_AT_HAND = 256 };

struct xml_element {
    const char *name, *text;
    struct xml_element *first, *next;
};

struct block {
    struct block *before;
    size_t used, size;
    char bytes[] __attribute__((aligned(16)));
};

struct xml {
    struct block *blocks; /* the one in use first */
    struct xml_element *root;
};

/* An element that is not yet closed. */
struct level {
    struct xml_element *element, *last; /* and its last child so far */
};

struct reader {
    struct xml *xml;
    XML_Parser parser;
    struct level levels[XML_DEPTH_MAX];
    int depth;
    size_t elements;
    struct buf text;    /* of the innermost element, until a child begins */
    const char *reason; /* why we stopped, NULL: we did not */
    unsigned long line, column;
    const char *names[NAMES_AT_HAND];
};

/* ---- memory ---- */

static void *take(struct xml *xml, size_t size) {
    struct block *block = xml->blocks;
    size_t used = block ? (block->used + 7) & ~(size_t)7 : 0;
    if (!block || used > block->size || size > block->size - used) {
        size_t room = size > BLOCK_SIZE ? size : BLOCK_SIZE;
        block = xmalloc(sizeof(*block) + room);
        *block = (struct block){.before = xml->blocks, .size = room};
        xml->blocks = block;
        used = 0;
    }
    block->used = used + size;
    return block->bytes + used;
}

static const char *keep_text(struct xml *xml, struct span text) {
    if (text.len == 0) {
        return "";
    }
    char *copy = take(xml, text.len + 1);
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    return copy;
}

static const char *keep_name(struct reader *reader, const char *name) {
    uint32_t hash = 2166136261u;
    for (const char *p = name; *p; p++) {
        hash = (hash ^ (unsigned char)*p) * 16777619u;
    }
    const char **slot = &reader->names[(hash ^ hash >> 16) % NAMES_AT_HAND];
    if (!*slot || strcmp(*slot, name) != 0) {
        *slot = keep_text(reader->xml, span_str(name));
    }
    return *slot;
}

/* ---- what expat calls ---- */

/* The first reason holds, with the place where it arose. */
static void stop(struct reader *reader, const char *reason) {
    if (!reader->reason) {
        reader->reason = reason;
        reader->line = XML_GetCurrentLineNumber(reader->parser);
        reader->column = XML_GetCurrentColumnNumber(reader->parser);
        XML_StopParser(reader->parser, XML_FALSE);
    }
}

static void link_element(struct reader *reader, struct xml_element *element) {
    if (reader->depth == 0) {
        reader->xml->root = element;
        return;
    }
    struct level *parent = &reader->levels[reader->depth - 1];
    if (parent->last) {
        parent->last->next = element;
    } else {
        parent->element->first = element;
    }
    parent->last = element;
}

static void on_start(void *data, const XML_Char *name, const XML_Char **attributes) {
    struct reader *reader = data;
    (void)attributes;
    if (reader->reason) {
        return;
    }
    if (reader->depth == XML_DEPTH_MAX) {
        stop(reader, "elements are nested too deep");
        return;
    }
    if (reader->elements++ == XML_ELEMENTS_MAX) {
        stop(reader, "too many elements");
        return;
    }
    const char *colon = strrchr(name, ':');
    struct xml_element *element = take(reader->xml, sizeof(*element));
    *element = (struct xml_element){
        .name = keep_name(reader, colon ? colon + 1 : name),
        .text = "",
    };
    link_element(reader, element);
    reader->levels[reader->depth++] = (struct level){.element = element};
    buf_clear(&reader->text);
}

/* Only an element without children has a text: what stands between children is for the eye. */
static void on_end(void *data, const XML_Char *name) {
    struct reader *reader = data;
    (void)name;
    if (reader->reason) {
        return;
    }
    struct xml_element *element = reader->levels[--reader->depth].element;
    if (!element->first) {
        element->text = keep_text(reader->xml, span_trim(buf_span(&reader->text)));
    }
    buf_clear(&reader->text);
}

static void on_text(void *data, const XML_Char *text, int len) {
    struct reader *reader = data;
    buf_add(&reader->text, span_of(text, (size_t)len));
}

/* Before its first entity could be declared, let alone used. */
static void on_doctype(void *data, const XML_Char *name, const XML_Char *system_id,
                       const XML_Char *public_id, int has_internal_subset) {
    (void)name;
    (void)system_id;
    (void)public_id;
    (void)has_internal_subset;
    stop(data, "a document type is not accepted");
}

/* ---- the outside ---- */

static int say_error(struct reader *reader, struct err *err) {
    stop(reader, XML_ErrorString(XML_GetErrorCode(reader->parser)));
    return err_set(err, ERR_DATA, "XML, line %lu, column %lu: %s", reader->line, reader->column + 1,
                   reader->reason);
}

static int read_all(struct reader *reader, struct span text, struct err *err) {
    XML_SetUserData(reader->parser, reader);
    XML_SetElementHandler(reader->parser, on_start, on_end);
    XML_SetCharacterDataHandler(reader->parser, on_text);
    XML_SetStartDoctypeDeclHandler(reader->parser, on_doctype);
    if (XML_Parse(reader->parser, text.len ? text.p : "", (int)text.len, 1) != XML_STATUS_OK ||
        reader->reason) {
        return say_error(reader, err);
    }
    return 0;
}

int xml_parse(struct span text, struct xml **xml, struct err *err) {
    *xml = NULL;
    if (text.len > INT_MAX) {
        return err_set(err, ERR_DATA, "XML of %zu bytes is too large", text.len);
    }
    struct reader *reader = xcalloc(1, sizeof(*reader));
    reader->xml = xcalloc(1, sizeof(*reader->xml));
    reader->parser = XML_ParserCreate(NULL);
    assert(reader->parser);
    /* No element's text is longer than the document, but for Latin-1 ones that grow as UTF-8. */
    buf_init(&reader->text, 2 * text.len + 1);
    int done = read_all(reader, text, err);
    XML_ParserFree(reader->parser);
    buf_done(&reader->text);
    if (done == 0) {
        *xml = reader->xml;
    } else {
        xml_free(reader->xml);
    }
    free(reader);
    return done;
}

void xml_free(struct xml *xml) {
    if (!xml) {
        return;
    }
    for (struct block *block = xml->blocks, *before; block; block = before) {
        before = block->before;
        free(block);
    }
    free(xml);
}

const struct xml_element *xml_root(const struct xml *xml) {
    return xml->root;
}

const struct xml_element *xml_child(const struct xml_element *element, const char *path) {
    struct span rest = span_str(path), name;
    while (element && span_cut(&rest, '/', &name)) {
        element = element->first;
        while (element && !span_eq(span_str(element->name), name)) {
            element = element->next;
        }
    }
    return element;
}

const struct xml_element *xml_first(const struct xml_element *element) {
    return element ? element->first : NULL;
}

const struct xml_element *xml_next(const struct xml_element *element) {
    return element ? element->next : NULL;
}

const char *xml_name(const struct xml_element *element) {
    return element->name;
}

const char *xml_text(const struct xml_element *element, const char *path) {
    const struct xml_element *found = xml_child(element, path);
    return found ? found->text : "";
}
