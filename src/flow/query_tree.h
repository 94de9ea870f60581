/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A query after parsing, for query.c, which makes it, and query_match.c, which asks it of messages.
 * Nodes stand in one array and name each other by index; 0 is nobody's child, so it means none.
 */
#pragma once

#include "flow/query.h"

enum query_kind {
    QUERY_ALL,    /* always true */
    QUERY_AND,    /* every child */
    QUERY_OR,     /* one child */
    QUERY_NOT,    /* not its only child */
    QUERY_EXISTS, /* the field is there */
    QUERY_TEXT,   /* the field's value is, or contains as words, the pattern */
    QUERY_RANGE,  /* the field's value lies between low and high */
};

/* In patterns, bytes that no UTF-8 text has stand for the unescaped * and ?. */
#define QUERY_ANY_TEXT '\xFF'
#define QUERY_ANY_CHAR '\xFE'

/* One end of a range; without text: none. */
struct query_bound {
    struct span text;
    bool inclusive;
};

struct query_node {
    enum query_kind kind;
    uint16_t child, next;         /* first child; next sibling */
    struct span field;            /* empty: short_message and full_message */
    struct span pattern;          /* QUERY_TEXT */
    struct query_bound low, high; /* QUERY_RANGE */
};

struct query {
    uint16_t root;
    uint16_t count;
    bool is_blank; /* nothing but blanks was written */
    struct query_node nodes[QUERY_NODES_MAX];
    struct buf text; /* names and patterns; never larger than twice the query */
};
