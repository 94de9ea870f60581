/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Replies of AWS' Query APIs, read by expat into a small tree that is walked by element names.
 * Namespaces are dropped. No DTD, no entities but the five of XML, depth and size are bounded.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/span.h"

struct xml;
struct xml_element;

enum { XML_DEPTH_MAX = 32, XML_ELEMENTS_MAX = 2000000 };

/* Reads a whole document; copies what it keeps. ERR_DATA with line and column. */
int xml_parse(struct span text, struct xml **xml, struct err *err);
void xml_free(struct xml *xml);

const struct xml_element *xml_root(const struct xml *xml);

/* The first child of that name, or NULL; NULL of NULL is NULL. `path` may be "a/b/c". */
const struct xml_element *xml_child(const struct xml_element *element, const char *path);

/* The first child, and the one behind, whatever the names; NULL: none. For <item> lists. */
const struct xml_element *xml_first(const struct xml_element *element);
const struct xml_element *xml_next(const struct xml_element *element);

const char *xml_name(const struct xml_element *element);

/* The text of the element, or of the element at `path` below it ("": itself), blanks around it cut;
   "" when it is not there. */
const char *xml_text(const struct xml_element *element, const char *path);
