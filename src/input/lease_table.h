/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A lease table in DynamoDB: rows as items with the attribute names and types of Amazon's client
 * library (KCL; LeaseSerializer of its 1.x to 3.x), and the calls on it (DynamoDB API 2012-08-10,
 * JSON 1.0). Attributes that are not named here are never touched, so that its workers find theirs
 * again. Two attributes are our own: flowgelfTimestamp (N, ms since 1970), the time that AT_TIMESTAMP
 * means, and flowgelfStored (S, "<ms since 1970> <checkpoint>"), when which position was stored, for
 * people; it counts only while that position still stands. Formatting and parsing are pure; the
 * calls wait.
 */
#pragma once

#include <stdatomic.h>

#include "aws/client.h"
#include "base/buf.h"
#include "input/lease.h"

enum { LEASE_TABLE_BODY_MAX = 64 << 10, LEASE_TABLE_REPLY_MAX = 4 << 20 };

/* A table and the client that calls it. Strings are the caller's. */
struct lease_table {
    struct aws_client *client;
    const char *name;
    const char *owner; /* our name in conditions */
};

/* ---- pure ---- */

/* The operation ("UpdateItem") that makes a write at `wall_ms`, its JSON body appended to `body`
   (which should have LEASE_TABLE_BODY_MAX; overflow otherwise). */
const char *lease_table_format(const struct lease_table *table, const struct lease_write *write,
                               int64_t wall_ms, struct buf *body);

/* The body of the GetItem that reads a row again, consistently. */
void lease_table_format_get(const struct lease_table *table, const char *key, struct buf *body);

/*
 * An item (a JSON object of attribute values) as a row. 1; 0: no lease of this stream (another
 * entityType, a lease of a multi-stream application); -1 with ERR_DATA naming lease and attribute:
 * the row then has its key, if that could be read ("" otherwise), and POSITION_NONE.
 */
int lease_table_parse_item(const void *json, struct lease_row *row, struct err *err);

/* The reply of GetItem. 1, or 0: there is no such item; -1: ERR_DATA. */
int lease_table_parse_get(const char *body, size_t len, struct lease_row *row, struct err *err);

/* What a call's error means for this table: adds table and remedy to the text of reply->err. */
int lease_table_error(const struct lease_table *table, const char *operation,
                      const struct aws_reply *reply, struct err *err);

/* What a reply to a write means. REFUSED: ConditionalCheckFailedException. */
enum lease_outcome lease_table_outcome(const struct aws_reply *reply);

/* ---- calls ---- */

/* Sees to it that the table is there and ready: makes it, paid by request, if `may_make` and it is
   not. *made: it was. Waits until deadline_ms (monotonic). ERR_CONFIG: it is no lease table, or we
   may not. */
int lease_table_ready(const struct lease_table *table, bool may_make, int64_t deadline_ms,
                      const atomic_bool *stopping, bool *made, struct err *err);

/* Reads all items, consistently, page by page; `see` for each lease. Items that are not understood
   are handed on with POSITION_NONE, and *broken says of the last one why (kind ERR_NONE: none). */
int lease_table_scan(const struct lease_table *table, int64_t deadline_ms,
                     const atomic_bool *stopping,
                     void (*see)(void *context, const struct lease_row *row), void *context,
                     struct err *broken, struct err *err);

/* Reads one row. 1, 0: there is none, -1. */
int lease_table_get(const struct lease_table *table, const char *key, int64_t deadline_ms,
                    const atomic_bool *stopping, struct lease_row *row, struct err *err);

/* Makes a write. REFUSED: the condition did not hold; UNKNOWN: *err says why. */
enum lease_outcome lease_table_write(const struct lease_table *table,
                                     const struct lease_write *write, int64_t deadline_ms,
                                     const atomic_bool *stopping, struct err *err);
