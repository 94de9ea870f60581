/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Graylog's search language over one message. A query is parsed once and asked of many messages;
 * it is immutable, so threads may share it. For `enrich --query` and for filters.
 *
 *   word  "two words"            in short_message or full_message, whatever the case
 *   field:value                  names as users write them, without GELF's underscore; `message` is
 *   field:"a value"              short_message and `source` is host, as in Graylog
 *   field:(a OR b)               the field holds for all inside
 *   field:[10 TO 20] field:{10 TO *]   from, to; {} leave the bound itself out, * is no bound
 *   field:>10  >=10  <10  <=10
 *   _exists_:field  field:*      the field is there
 *   *  ?                         any text, any one character; a backslash takes a character's
 *                                meaning away
 *   AND && OR || NOT !  ( )      NOT binds before AND, AND before OR; in capitals
 *   a b                          side by side means OR, as is Graylog's default; +a must match, and
 *                                -a, !a, NOT a side by side with others must not
 *
 * Texts match whole, case included, and are never cut into words, but for short_message and
 * full_message; host matches in any case. Numbers match by value. Addresses are texts: a prefix is
 * asked for with `*`. An array matches when one of its members does. Not there, and errors: regular
 * expressions, `~`, `^`, wildcards in names of fields.
 * Source of the language: docs.graylog.org, "Write search queries", and Apache Lucene's classic
 * query parser, where the former is silent.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

enum { QUERY_BYTES_MAX = 16 << 10, QUERY_NODES_MAX = 1024, QUERY_DEPTH_MAX = 32 };

struct query;

/*
 * Parses a query; *query is the caller's (query_free). ERR_CONFIG names the position, counted in
 * bytes from 1. Longer, larger or deeper than the limits above is an error too; an empty query
 * matches everything.
 */
int query_parse(struct span text, struct query **query, struct err *err);

/* Calls `found` with each name of a field that the query asks for, as messages have it without the
   underscore, once for each time that it stands there. Not those behind a NOT: a message without
   the field is what is asked for then. Spans live as long as the query. */
void query_fields(const struct query *query, void (*found)(void *context, struct span name),
                  void *context);

/* As query_fields, but all of them, also behind a NOT, and `short_message` for words without a
   field. */
void query_names(const struct query *query, void (*found)(void *context, struct span name),
                 void *context);

/* Whether the query was empty. */
bool query_is_blank(const struct query *query);

/* NULL is fine. */
void query_free(struct query *query);

enum { VIEW_FIELDS_MAX = 512 };

enum view_type { VIEW_TEXT, VIEW_NUMBER, VIEW_WORD }; /* WORD: true, false, null */

struct view_field {
    struct span name;  /* without the underscore in front */
    struct span value; /* unescaped; of a number its digits */
    enum view_type type;
};

/* A message as a query sees it; an array is one field per member. Reused for many messages. */
struct message_view {
    size_t count;
    struct view_field fields[VIEW_FIELDS_MAX];
    struct buf text; /* a copy of the message, into which the fields point */
};

/* An empty view that takes messages of up to `max_bytes`. */
void message_view_init(struct message_view *view, size_t max_bytes);
void message_view_done(struct message_view *view);

/*
 * Takes a message: one flat JSON object, as encoders write it, whatever stands behind it apart. The
 * fields stay valid until the next one. ERR_DATA: no such object, an object inside it, or too many
 * fields.
 */
int message_view_parse(struct message_view *view, struct span json, struct err *err);

/* Adds a field by hand, for who knows the message without its text; view->count = 0 begins. False:
   too many. */
bool message_view_add(struct message_view *view, struct span name, struct span value,
                      enum view_type type);

/*
 * Adds fields as they stand inside an object, each behind a comma (`,"_a":"x","_b":1`). False: not
 * of this simplest form (escapes, arrays, too many), and the view is good for nothing then.
 */
bool message_view_add_plain(struct message_view *view, struct span pieces);

/* Whether a message matches. Allocates nothing. */
bool query_matches(const struct query *query, const struct message_view *view);
