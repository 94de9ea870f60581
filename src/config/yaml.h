/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A YAML file as a tree that remembers where each value stood. Built from libyaml's events; block
 * and flow style, comments, quotes and anchors as YAML has them, but: one document, keys are
 * scalars and unique, no tags, no merge keys, aliases refused (they make bombs), at most
 * YAML_DEPTH_MAX levels and YAML_NODES_MAX nodes, file at most 4 MiB. Knows nothing of settings.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/span.h"

enum { YAML_DEPTH_MAX = 32, YAML_NODES_MAX = 100000 };

enum yaml_kind { YAML_SCALAR, YAML_LIST, YAML_MAP };

struct yaml_node {
    enum yaml_kind kind;
    int line, column;         /* from 1 */
    char *text;               /* scalar: its text, NUL-terminated; no NUL inside */
    bool plain;               /* scalar without quotes: `~`, `null` and nothing mean "not given" */
    size_t count;             /* list: items; map: pairs */
    struct yaml_node **items; /* list: items; map: values */
    struct yaml_node **keys;  /* map only: scalars */
};

/*
 * Parses `text`; the tree is the caller's (yaml_unload). Errors are ERR_CONFIG, text
 * "<name>:<line>:<column>: ...", one line for each ('\n' between them). Where the text is YAML and
 * only we refuse it (a key that stands twice, an alias, a tag), *root is set all the same, so that
 * its settings can be looked at and all errors be shown at once; else -1 leaves it NULL. So:
 * yaml_unload in both cases.
 */
int yaml_parse(struct span text, const char *name, struct yaml_node **root, struct err *err);

/* As yaml_parse on a file. */
int yaml_load(const char *path, struct yaml_node **root, struct err *err);

/* The value of `key` in a map, NULL when it is not there or `map` is no map. */
struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);

/* Whether a value counts as not given: NULL, or a plain scalar `~`, `null` or "". */
bool yaml_is_null(const struct yaml_node *node);

/* Frees a tree; NULL is fine. (Not yaml_free: libyaml exports that name and would call ours.) */
void yaml_unload(struct yaml_node *root);
