/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See lease_table.h. Bodies are written by hand, because they are few and fixed in form; replies
 * are read by jansson. The write's kind says which attributes it sets, and its condition.
 */
#include "input/lease_table.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/num.h"

enum { LOOK_AGAIN_MS = 100, DESCRIBE_EVERY_MS = 1000 };

/* ---- bodies ---- */

static void put_string(struct buf *body, const char *text) {
    buf_char(body, '"');
    json_add(body, span_str(text));
    buf_char(body, '"');
}

static void put_s(struct buf *body, const char *name, const char *text) {
    buf_printf(body, "%s\"%s\":{\"S\":", body->len && body->data[body->len - 1] == '{' ? "" : ",",
               name);
    put_string(body, text);
    buf_char(body, '}');
}

static void put_n(struct buf *body, const char *name, int64_t number) {
    buf_printf(body, "%s\"%s\":{\"N\":\"%" PRId64 "\"}",
               body->len && body->data[body->len - 1] == '{' ? "" : ",", name, number);
}

static void put_set(struct buf *body, const char *name, const char texts[][KINESIS_ID_SIZE]) {
    buf_printf(body, "%s\"%s\":{\"SS\":[", body->data[body->len - 1] == '{' ? "" : ",", name);
    for (int i = 0; i < LEASE_KIN && texts[i][0]; i++) {
        if (i > 0 && strcmp(texts[i], texts[0]) == 0) {
            break; /* a set has each once */
        }
        buf_printf(body, "%s", i > 0 ? "," : "");
        put_string(body, texts[i]);
    }
    buf_printf(body, "]}");
}

static const char *position_text(const struct kinesis_position *position) {
    switch (position->kind) {
    case POSITION_TIME:
        return "AT_TIMESTAMP";
    case POSITION_LATEST:
        return "LATEST";
    case POSITION_SEQUENCE:
        return position->sequence;
    case POSITION_SHARD_END:
        return "SHARD_END";
    default:
        return "TRIM_HORIZON";
    }
}

static int64_t position_sub(const struct kinesis_position *position) {
    return position->kind == POSITION_SEQUENCE ? position->sub : 0;
}

static void put_key(const struct lease_table *table, const char *key, struct buf *body) {
    buf_printf(body, "{\"TableName\":");
    put_string(body, table->name);
    buf_printf(body, ",\"Key\":{");
    put_s(body, "leaseKey", key);
    buf_printf(body, "}");
}

/* "1700000000123 4959...": when which position was stored. */
static void put_stored(struct buf *body, const char *name, int64_t wall_ms,
                       const struct kinesis_position *position) {
    char text[NUM_DIGITS_MAX + 2 + KINESIS_SEQUENCE_SIZE];
    snprintf(text, sizeof(text), "%jd %s", (intmax_t)wall_ms, position_text(position));
    put_s(body, name, text);
}

static void put_create(const struct lease_table *table, const struct lease_row *row,
                       int64_t wall_ms, struct buf *body) {
    char hash[KINESIS_HASH_SIZE];
    buf_printf(body, "{\"TableName\":");
    put_string(body, table->name);
    buf_printf(body, ",\"Item\":{");
    put_s(body, "leaseKey", row->key);
    put_n(body, "leaseCounter", row->counter);
    put_n(body, "ownerSwitchesSinceCheckpoint", row->switches);
    put_s(body, "checkpoint", position_text(&row->position));
    put_n(body, "checkpointSubSequenceNumber", position_sub(&row->position));
    put_stored(body, "flowgelfStored", wall_ms, &row->position);
    if (row->position.kind == POSITION_TIME) {
        put_n(body, "flowgelfTimestamp", row->position.time_ms);
    }
    if (row->parents[0][0]) {
        put_set(body, "parentShardId", row->parents);
    }
    if (row->has_range) {
        kinesis_hash_format(row->range.first, hash);
        put_s(body, "startingHashKey", hash);
        kinesis_hash_format(row->range.last, hash);
        put_s(body, "endingHashKey", hash);
    }
    buf_printf(body, "},\"ConditionExpression\":\"attribute_not_exists(leaseKey)\"}");
}

/* The pending position of a prepared checkpoint is void once another position is stored. */
static const char PENDING[] =
    "pendingCheckpoint,pendingCheckpointSubSequenceNumber,pendingCheckpointState";

static void put_expression(const struct lease_write *write, struct buf *body) {
    const struct lease_row *row = &write->row;
    bool has_time = row->position.kind == POSITION_TIME;
    const char *separator = " SET ";
    buf_printf(body, ",\"UpdateExpression\":\"");
    if (row->counter != write->expected) {
        buf_printf(body, "%sleaseCounter=:next", separator);
        separator = ",";
    }
    if (write->kind == LEASE_TAKE) {
        buf_printf(body, "%sleaseOwner=:me,ownerSwitchesSinceCheckpoint=:switches", separator);
        separator = ",";
    }
    if (write->has_position) {
        buf_printf(body, "%s#at=:at,checkpointSubSequenceNumber=:sub,flowgelfStored=:stored%s%s%s",
                   separator,
                   write->kind == LEASE_TAKE ? "" : ",ownerSwitchesSinceCheckpoint=:switches",
                   has_time ? ",flowgelfTimestamp=:time" : "",
                   write->children[0][0] ? ",childShardIds=:children" : "");
    }
    separator = " REMOVE ";
    if (write->has_position) {
        buf_printf(body, "%s%s%s", separator, PENDING, has_time ? "" : ",flowgelfTimestamp");
        separator = ",";
    }
    if (write->kind == LEASE_TAKE || write->kind == LEASE_HAND_OVER) {
        buf_printf(body, "%scheckpointOwner", separator);
    } else if (write->kind == LEASE_EVICT) {
        buf_printf(body, "%sleaseOwner", separator);
    }
    buf_printf(body, "\"");
}

static const char *condition_of(enum lease_write_kind kind) {
    switch (kind) {
    case LEASE_RENEW:
    case LEASE_CHECKPOINT:
        return "leaseCounter=:seen AND leaseOwner=:me AND "
               "attribute_not_exists(checkpointOwner)";
    case LEASE_EVICT:
        return "leaseCounter=:seen AND leaseOwner=:me";
    case LEASE_HAND_OVER:
        return "leaseCounter=:seen AND checkpointOwner=:me";
    default:
        return "leaseCounter=:seen";
    }
}

static void put_values(const struct lease_table *table, const struct lease_write *write,
                       int64_t wall_ms, struct buf *body) {
    const struct lease_row *row = &write->row;
    buf_printf(body, ",\"ConditionExpression\":\"%s\",\"ExpressionAttributeValues\":{",
               condition_of(write->kind));
    put_n(body, ":seen", write->expected);
    if (write->kind != LEASE_DELETE) {
        put_s(body, ":me", table->owner);
        if (row->counter != write->expected) {
            put_n(body, ":next", row->counter);
        }
    }
    if (write->has_position || write->kind == LEASE_TAKE) {
        put_n(body, ":switches", row->switches);
    }
    if (write->has_position) {
        put_s(body, ":at", position_text(&row->position));
        put_n(body, ":sub", position_sub(&row->position));
        put_stored(body, ":stored", wall_ms, &row->position);
        if (row->position.kind == POSITION_TIME) {
            put_n(body, ":time", row->position.time_ms);
        }
        if (write->children[0][0]) {
            put_set(body, ":children", write->children);
        }
    }
    buf_printf(body, "}%s}",
               write->has_position ? ",\"ExpressionAttributeNames\":{\"#at\":\"checkpoint\"}" : "");
}

const char *lease_table_format(const struct lease_table *table, const struct lease_write *write,
                               int64_t wall_ms, struct buf *body) {
    if (write->kind == LEASE_CREATE) {
        put_create(table, &write->row, wall_ms, body);
        return "PutItem";
    }
    put_key(table, write->row.key, body);
    if (write->kind != LEASE_DELETE) {
        put_expression(write, body);
    }
    put_values(table, write, wall_ms, body);
    return write->kind == LEASE_DELETE ? "DeleteItem" : "UpdateItem";
}

void lease_table_format_get(const struct lease_table *table, const char *key, struct buf *body) {
    put_key(table, key, body);
    buf_printf(body, ",\"ConsistentRead\":true}");
}

/* ---- items ---- */

/* The value of an attribute of this type ("S", "N", "SS"); NULL: absent, or of another type. */
static const json_t *attribute(const json_t *item, const char *name, const char *type) {
    return json_object_get(json_object_get(item, name), type);
}

static bool has_attribute(const json_t *item, const char *name) {
    const json_t *value = json_object_get(item, name);
    return value && !json_is_true(json_object_get(value, "NULL"));
}

static bool copy_text(const json_t *value, char *out, size_t size) {
    size_t len = json_string_length(value);
    if (!json_is_string(value) || len >= size || strlen(json_string_value(value)) != len) {
        return false;
    }
    memcpy(out, json_string_value(value), len + 1);
    return true;
}

static bool read_number(const json_t *item, const char *name, int64_t *number) {
    const char *digits = json_string_value(attribute(item, name, "N"));
    return digits && num_parse_i64(span_str(digits), number);
}

/* An owner's name is only compared; one of ours never is as long as what is cut here. */
static void read_owner(const json_t *item, const char *name, char out[LEASE_OWNER_SIZE]) {
    const json_t *value = attribute(item, name, "S");
    size_t len = json_string_length(value);
    len = len < LEASE_OWNER_SIZE ? len : LEASE_OWNER_SIZE - 1;
    if (len > 0) {
        memcpy(out, json_string_value(value), len);
    }
    out[len] = '\0';
}

static bool read_position(const json_t *item, struct kinesis_position *position) {
    static const struct {
        const char *text;
        enum kinesis_position_kind kind;
    } words[] = {{"AT_TIMESTAMP", POSITION_TIME},
                 {"TRIM_HORIZON", POSITION_TRIM_HORIZON},
                 {"LATEST", POSITION_LATEST},
                 {"SHARD_END", POSITION_SHARD_END}};
    const json_t *value = attribute(item, "checkpoint", "S");
    const char *text = json_string_value(value);
    *position = (struct kinesis_position){.kind = POSITION_NONE};
    for (size_t i = 0; text && i < sizeof(words) / sizeof(*words); i++) {
        if (strcmp(text, words[i].text) == 0) {
            position->kind = words[i].kind;
        }
    }
    if (position->kind == POSITION_TIME &&
        !read_number(item, "flowgelfTimestamp", &position->time_ms)) {
        position->time_ms = LEASE_TIME_UNKNOWN;
    }
    if (text && position->kind == POSITION_NONE &&
        kinesis_sequence_set(position->sequence, span_of(text, json_string_length(value)))) {
        position->kind = POSITION_SEQUENCE;
        if (has_attribute(item, "checkpointSubSequenceNumber") &&
            (!read_number(item, "checkpointSubSequenceNumber", &position->sub) ||
             position->sub < 0)) {
            position->kind = POSITION_NONE;
        }
    }
    return position->kind != POSITION_NONE;
}

/* Left by one of us, and still of the position that stands; a KCL worker stores without it. */
static int64_t read_stored(const json_t *item, const struct kinesis_position *position) {
    const char *value = json_string_value(attribute(item, "flowgelfStored", "S"));
    struct span rest = span_str(value), digits;
    int64_t stored_ms;
    return span_cut(&rest, ' ', &digits) && num_parse_i64(digits, &stored_ms) && stored_ms > 0 &&
                   span_eq(rest, span_str(position_text(position)))
               ? stored_ms
               : 0;
}

static bool read_parents(const json_t *item, struct lease_row *row) {
    const json_t *set = attribute(item, "parentShardId", "SS");
    if (json_array_size(set) > LEASE_KIN) {
        return false;
    }
    for (size_t i = 0; i < json_array_size(set); i++) {
        if (!copy_text(json_array_get(set, i), row->parents[i], sizeof(row->parents[i]))) {
            return false;
        }
    }
    return true;
}

static void read_range(const json_t *item, struct lease_row *row) {
    const char *first = json_string_value(attribute(item, "startingHashKey", "S"));
    const char *last = json_string_value(attribute(item, "endingHashKey", "S"));
    row->has_range = first && last && kinesis_hash_parse(span_str(first), &row->range.first) &&
                     kinesis_hash_parse(span_str(last), &row->range.last);
}

/* Leases of an application that reads several streams carry the stream's name. */
static bool is_other(const json_t *item, const char *key) {
    const char *entity = json_string_value(attribute(item, "entityType", "S"));
    return (entity && strcmp(entity, "LEASE") != 0) || has_attribute(item, "streamName") ||
           strchr(key, ':');
}

static int complain(struct lease_row *row, const char *attribute_name, struct err *err) {
    row->position.kind = POSITION_NONE;
    return err_set(err, ERR_DATA,
                   "lease %s: attribute %s is not as KCL writes it; the lease is left alone: "
                   "correct the item, or delete it to have the shard read from its oldest record",
                   row->key, attribute_name);
}

int lease_table_parse_item(const void *json, struct lease_row *row, struct err *err) {
    const json_t *item = json;
    const json_t *key = attribute(item, "leaseKey", "S");
    *row = (struct lease_row){.position = {.kind = POSITION_NONE}};
    if (!json_is_string(key)) {
        return err_set(err, ERR_DATA, "an item without a leaseKey of type S");
    }
    if (is_other(item, json_string_value(key))) {
        return 0;
    }
    if (!copy_text(key, row->key, sizeof(row->key)) || row->key[0] == '\0') {
        row->key[0] = '\0';
        return err_set(err, ERR_DATA, "an item whose leaseKey is no shard id");
    }
    read_owner(item, "leaseOwner", row->owner);
    read_owner(item, "checkpointOwner", row->checkpoint_owner);
    read_range(item, row);
    if (!read_number(item, "leaseCounter", &row->counter) || row->counter == INT64_MAX) {
        return complain(row, "leaseCounter", err);
    }
    if (has_attribute(item, "ownerSwitchesSinceCheckpoint") &&
        (!read_number(item, "ownerSwitchesSinceCheckpoint", &row->switches) ||
         row->switches >= INT64_MAX / 2)) {
        return complain(row, "ownerSwitchesSinceCheckpoint", err);
    }
    if (!read_parents(item, row)) {
        return complain(row, "parentShardId", err);
    }
    if (!read_position(item, &row->position)) {
        return complain(row, "checkpoint", err);
    }
    row->stored_ms = read_stored(item, &row->position);
    return 1;
}

static json_t *load(const char *operation, const char *body, size_t len, struct err *err) {
    json_error_t where;
    json_t *root = json_loadb(body, len, JSON_ALLOW_NUL, &where);
    if (!json_is_object(root)) {
        err_set(err, ERR_RETRY, "%s: the reply is no JSON object: %s", operation,
                root ? "something else" : where.text);
        json_decref(root);
        return NULL;
    }
    return root;
}

int lease_table_parse_get(const char *body, size_t len, struct lease_row *row, struct err *err) {
    json_t *root = load("GetItem", body, len, err);
    if (!root) {
        return -1;
    }
    const json_t *item = json_object_get(root, "Item");
    int result = json_is_object(item) ? lease_table_parse_item(item, row, err) : 0;
    json_decref(root);
    return result;
}

/* ---- errors ---- */

enum lease_outcome lease_table_outcome(const struct aws_reply *reply) {
    if (reply->class == AWS_FINE) {
        return LEASE_DONE;
    }
    return strcmp(reply->code, "ConditionalCheckFailedException") == 0 ? LEASE_REFUSED
                                                                       : LEASE_UNKNOWN;
}

int lease_table_error(const struct lease_table *table, const char *operation,
                      const struct aws_reply *reply, struct err *err) {
    const char *remedy = ""; /* a denied call's text names the missing action already */
    if (strcmp(reply->code, "ResourceNotFoundException") == 0) {
        remedy = "; it was never made, or deleted: a start of the input makes it, and reading "
                 "then begins as `start` says";
    } else if (strcmp(reply->code, "ProvisionedThroughputExceededException") == 0) {
        remedy = "; the table's capacity is too small: switch it to on-demand";
    }
    return err_set(err, reply->err.kind == ERR_NONE ? ERR_RETRY : reply->err.kind,
                   "lease table %s: %s%s", table->name,
                   reply->err.text[0] ? reply->err.text : operation, remedy);
}

/* ---- calls ---- */

static int call(const struct lease_table *table, const char *operation, const struct buf *body,
                int64_t deadline_ms, const atomic_bool *stopping, const struct aws_reply **reply,
                struct err *err) {
    static const struct aws_reply none = {.class = AWS_TRANSIENT};
    int64_t left_ms = deadline_ms - clock_monotonic_ms();
    *reply = &none;
    if (body->overflow || left_ms <= 0) {
        return err_set(err, ERR_RETRY, "lease table %s: %s: %s", table->name, operation,
                       body->overflow ? "a name is too long" : "no time left");
    }
    if (aws_client_call(table->client, operation, buf_span(body), left_ms, stopping, reply, err) ==
        0) {
        return 0;
    }
    if (!*reply || (*reply)->class == AWS_FINE) {
        *reply = &none;
    }
    struct aws_reply said = **reply;
    said.err = *err;
    return lease_table_error(table, operation, &said, err);
}

static void start_body(const struct lease_table *table, struct buf *body) {
    buf_init(body, LEASE_TABLE_BODY_MAX);
    buf_printf(body, "{\"TableName\":");
    put_string(body, table->name);
}

static int make(const struct lease_table *table, int64_t deadline_ms, const atomic_bool *stopping,
                bool *made, struct err *err) {
    struct buf body;
    const struct aws_reply *reply;
    start_body(table, &body);
    buf_printf(&body, ",\"AttributeDefinitions\":[{\"AttributeName\":\"leaseKey\","
                      "\"AttributeType\":\"S\"}],\"KeySchema\":[{\"AttributeName\":\"leaseKey\","
                      "\"KeyType\":\"HASH\"}],\"BillingMode\":\"PAY_PER_REQUEST\"}");
    int result = call(table, "CreateTable", &body, deadline_ms, stopping, &reply, err);
    buf_done(&body);
    *made |= result == 0;
    /* Another process of ours was faster. */
    return strcmp(reply->code, "ResourceInUseException") == 0 ? 0 : result;
}

/* 1: ready, 0: not yet. */
static int judge_table(const struct lease_table *table, const struct aws_reply *reply,
                       struct err *err) {
    json_t *root = load("DescribeTable", reply->body, reply->len, err);
    if (!root) {
        return err_wrap(err, "lease table %s", table->name);
    }
    const json_t *about = json_object_get(root, "Table");
    const char *status = json_string_value(json_object_get(about, "TableStatus"));
    const json_t *keys = json_object_get(about, "KeySchema");
    const char *key = json_string_value(json_object_get(json_array_get(keys, 0), "AttributeName"));
    int result = status && (strcmp(status, "ACTIVE") == 0 || strcmp(status, "UPDATING") == 0);
    if (result == 1 && (json_array_size(keys) != 1 || !key || strcmp(key, "leaseKey") != 0)) {
        result = err_set(err, ERR_CONFIG,
                         "lease table %s: it is no lease table (its key is not leaseKey alone); "
                         "name another one, or one that does not exist yet",
                         table->name);
    }
    json_decref(root);
    return result;
}

/* 1: it is there, 0: it is not there yet, -1. *absent: it does not exist. */
static int look(const struct lease_table *table, int64_t deadline_ms, const atomic_bool *stopping,
                bool *absent, struct err *err) {
    struct buf body;
    const struct aws_reply *reply;
    start_body(table, &body);
    buf_char(&body, '}');
    int result = call(table, "DescribeTable", &body, deadline_ms, stopping, &reply, err);
    buf_done(&body);
    *absent = result != 0 && strcmp(reply->code, "ResourceNotFoundException") == 0;
    return result == 0 ? judge_table(table, reply, err) : -1;
}

static void pause_looking(const atomic_bool *stopping) {
    const struct timespec step = {.tv_nsec = LOOK_AGAIN_MS * 1000000L};
    for (int i = 0; i < DESCRIBE_EVERY_MS / LOOK_AGAIN_MS; i++) {
        if (stopping && atomic_load(stopping)) {
            return;
        }
        nanosleep(&step, NULL);
    }
}

int lease_table_ready(const struct lease_table *table, bool may_make, int64_t deadline_ms,
                      const atomic_bool *stopping, bool *made, struct err *err) {
    *made = false;
    bool was_asked = false;
    for (;;) {
        bool absent;
        int there = look(table, deadline_ms, stopping, &absent, err);
        if (there > 0) {
            return 0;
        }
        /* One that was just made may not be known everywhere yet. */
        if (there < 0 && !(absent && may_make)) {
            return -1;
        }
        if (absent && !was_asked && make(table, deadline_ms, stopping, made, err) != 0) {
            return -1;
        }
        was_asked |= absent;
        pause_looking(stopping);
        if ((stopping && atomic_load(stopping)) || clock_monotonic_ms() >= deadline_ms) {
            return err_set(err, ERR_RETRY, "lease table %s: it is being made and not ready yet",
                           table->name);
        }
    }
}

static void see_items(const json_t *items, void (*see)(void *, const struct lease_row *),
                      void *context, struct err *broken) {
    for (size_t i = 0; i < json_array_size(items); i++) {
        struct lease_row row;
        int result = lease_table_parse_item(json_array_get(items, i), &row, broken);
        if (result != 0 && row.key[0]) {
            see(context, &row);
        }
    }
}

int lease_table_scan(const struct lease_table *table, int64_t deadline_ms,
                     const atomic_bool *stopping,
                     void (*see)(void *context, const struct lease_row *row), void *context,
                     struct err *broken, struct err *err) {
    char *next = NULL;
    int result = 0;
    broken->kind = ERR_NONE;
    do {
        struct buf body;
        const struct aws_reply *reply;
        start_body(table, &body);
        buf_printf(&body, ",\"ConsistentRead\":true%s%s}", next ? ",\"ExclusiveStartKey\":" : "",
                   next ? next : "");
        free(next);
        next = NULL;
        result = call(table, "Scan", &body, deadline_ms, stopping, &reply, err);
        buf_done(&body);
        json_t *root = result == 0 ? load("Scan", reply->body, reply->len, err) : NULL;
        if (!root) {
            return result == 0 ? err_wrap(err, "lease table %s", table->name) : -1;
        }
        see_items(json_object_get(root, "Items"), see, context, broken);
        const json_t *last = json_object_get(root, "LastEvaluatedKey");
        next = json_object_size(last) > 0 ? json_dumps(last, JSON_COMPACT) : NULL;
        json_decref(root);
    } while (next);
    return 0;
}

int lease_table_get(const struct lease_table *table, const char *key, int64_t deadline_ms,
                    const atomic_bool *stopping, struct lease_row *row, struct err *err) {
    struct buf body;
    const struct aws_reply *reply;
    buf_init(&body, LEASE_TABLE_BODY_MAX);
    lease_table_format_get(table, key, &body);
    int result = call(table, "GetItem", &body, deadline_ms, stopping, &reply, err);
    buf_done(&body);
    return result == 0 ? lease_table_parse_get(reply->body, reply->len, row, err) : -1;
}

enum lease_outcome lease_table_write(const struct lease_table *table,
                                     const struct lease_write *write, int64_t deadline_ms,
                                     const atomic_bool *stopping, struct err *err) {
    struct buf body;
    const struct aws_reply *reply;
    buf_init(&body, LEASE_TABLE_BODY_MAX);
    const char *operation = lease_table_format(table, write, clock_wall_ms(), &body);
    int result = call(table, operation, &body, deadline_ms, stopping, &reply, err);
    buf_done(&body);
    return result == 0 ? LEASE_DONE : lease_table_outcome(reply);
}
