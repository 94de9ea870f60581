/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as items of a lease table: bodies of writes, and items as KCL 1.x to 3.x write them. */
#include <jansson.h>
#include <string.h>

#include "data_file.h"
#include "input/lease_table.h"
#include "unit.h"

static const struct lease_table table = {.name = "app", .owner = "me\"1"};

static json_t *items_file;

static void load_items(void) {
    struct span text = data_read("kinesis/kcl_lease_items.json");
    items_file = json_loadb(text.p, text.len, 0, NULL);
    ck_assert_ptr_nonnull(items_file);
    free((void *)text.p);
}

static void free_items(void) {
    json_decref(items_file);
}

static int parse(size_t at, struct lease_row *row, struct err *err) {
    return lease_table_parse_item(json_array_get(json_object_get(items_file, "Items"), at), row,
                                  err);
}

static int parse_text(const char *text, struct lease_row *row, struct err *err) {
    json_t *item = json_loads(text, 0, NULL);
    ck_assert_msg(item != NULL, "%s", text);
    int result = lease_table_parse_item(item, row, err);
    json_decref(item);
    return result;
}

START_TEST(reads_items_of_1_x) {
    struct lease_row row;
    struct err err;
    ck_assert_int_eq(parse(0, &row, &err), 1);
    ck_assert_str_eq(row.key, "shardId-000000000000");
    ck_assert_str_eq(row.owner, "ip-192-0-2-10.example.com:5b1f6f0e-0b0c-4f0e-9a43-0f8d7e3c1a01");
    ck_assert_int_eq(row.counter, 81234);
    ck_assert_int_eq(row.position.kind, POSITION_SEQUENCE);
    ck_assert_str_eq(row.position.sequence,
                     "49590338271490256608559692538361571095921575989136588898");
    ck_assert_str_eq(row.parents[0], "");
    ck_assert(!row.has_range);
    ck_assert_int_eq(parse(1, &row, &err), 1);
    ck_assert_str_eq(row.owner, "");
    ck_assert_int_eq(row.position.kind, POSITION_LATEST);
    ck_assert_int_eq(row.switches, 3);
}
END_TEST

START_TEST(reads_items_of_2_x_and_3_x) {
    struct lease_row row;
    struct err err;
    ck_assert_int_eq(parse(2, &row, &err), 1);
    ck_assert_int_eq(row.position.sub, 17);
    ck_assert_str_eq(row.parents[0], "shardId-000000000000");
    ck_assert_str_eq(row.parents[1], "shardId-000000000001");
    ck_assert(row.has_range && row.range.first == 0);
    ck_assert(row.range.last == ~(unsigned __int128)0);
    ck_assert_int_eq(parse(3, &row, &err), 1);
    ck_assert_int_eq(row.position.kind, POSITION_SHARD_END);
    ck_assert_int_eq(parse(4, &row, &err), 1);
    ck_assert_str_eq(row.checkpoint_owner,
                     "ip-192-0-2-11.example.com:9c3e0c55-2a1e-4a9c-8a3c-1d2f55b0aa02");
    ck_assert_int_eq(parse(5, &row, &err), 1);
    ck_assert_int_eq(row.position.kind, POSITION_TIME);
    ck_assert(row.position.time_ms == LEASE_TIME_UNKNOWN);
}
END_TEST

START_TEST(passes_over_what_is_no_lease_of_this_stream) {
    struct lease_row row;
    struct err err;
    for (size_t i = 6; i < json_array_size(json_object_get(items_file, "Items")); i++) {
        ck_assert_int_eq(parse(i, &row, &err), 0);
    }
}
END_TEST

/* Items that are not as they should be, and what is said of them. */
static const struct {
    const char *text, *said;
} odd[] = {
    {"{}", "leaseKey"},
    {"{\"leaseKey\": {\"N\": \"1\"}}", "leaseKey"},
    {"{\"leaseKey\": {\"S\": \"\"}}", "leaseKey"},
    {"{\"leaseKey\": \"s\"}", "leaseKey"},
    {"{\"leaseKey\": {\"S\": \"s\"}}", "lease s: attribute leaseCounter"},
    {"{\"leaseKey\": {\"S\": \"s\"}, \"leaseCounter\": {\"N\": \"1.5\"}}", "leaseCounter"},
    {"{\"leaseKey\": {\"S\": \"s\"}, \"leaseCounter\": {\"S\": \"1\"}}", "leaseCounter"},
    {"{\"leaseKey\": {\"S\": \"s\"}, \"leaseCounter\": {\"N\": \"9223372036854775807\"}}",
     "leaseCounter"},
    {"{\"leaseKey\": {\"S\": \"s\"}, \"leaseCounter\": {\"N\": \"1\"}}", "checkpoint"},
    {"{\"leaseKey\": {\"S\": \"s\"}, \"leaseCounter\": {\"N\": \"1\"}, "
     "\"checkpoint\": {\"S\": \"soon\"}}",
     "checkpoint"},
    {"{\"leaseKey\": {\"S\": \"s\"}, \"leaseCounter\": {\"N\": \"1\"}, "
     "\"checkpoint\": {\"S\": \"12\"}, \"checkpointSubSequenceNumber\": {\"N\": \"-1\"}}",
     "checkpoint"},
    {"{\"leaseKey\": {\"S\": \"s\"}, \"leaseCounter\": {\"N\": \"1\"}, "
     "\"checkpoint\": {\"S\": \"12\"}, \"parentShardId\": {\"SS\": [\"a\", \"b\", \"c\"]}}",
     "parentShardId"},
};

START_TEST(says_of_odd_items_what_is_wrong) {
    struct lease_row row;
    struct err err;
    ck_assert_int_eq(parse_text(odd[_i].text, &row, &err), -1);
    ck_assert_int_eq(row.position.kind, POSITION_NONE);
    ck_assert_msg(strstr(err.text, odd[_i].said) != NULL, "%s", err.text);
}
END_TEST

START_TEST(a_time_counts_for_the_position_that_it_is_of) {
    static const char form[] = "{\"leaseKey\": {\"S\": \"s\"}, \"leaseCounter\": {\"N\": \"4\"}, "
                               "\"checkpoint\": {\"S\": \"%s\"}, "
                               "\"flowgelfStored\": {\"S\": \"%s\"}}";
    static const struct {
        const char *checkpoint, *stored;
        int64_t stored_ms;
    } rows[] = {
        {"4959", "1700000000456 4959", 1700000000456},
        {"SHARD_END", "1700000000456 SHARD_END", 1700000000456},
        {"4960", "1700000000456 4959", 0}, /* stored since by a KCL worker */
        {"4959", "", 0},
        {"4959", "soon 4959", 0},
        {"4959", "1700000000456", 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[512];
        struct lease_row row;
        struct err err;
        snprintf(text, sizeof(text), form, rows[i].checkpoint, rows[i].stored);
        ck_assert_int_eq(parse_text(text, &row, &err), 1);
        ck_assert_int_eq(row.stored_ms, rows[i].stored_ms);
    }
}
END_TEST

START_TEST(reads_the_answer_of_get) {
    static const char item[] = "{\"Item\": {\"leaseKey\": {\"S\": \"s\"}, \"leaseCounter\": "
                               "{\"N\": \"4\"}, \"checkpoint\": {\"S\": \"AT_TIMESTAMP\"}, "
                               "\"flowgelfTimestamp\": {\"N\": \"1700000000123\"}}}";
    struct lease_row row;
    struct err err;
    ck_assert_int_eq(lease_table_parse_get(item, strlen(item), &row, &err), 1);
    ck_assert_int_eq(row.position.time_ms, 1700000000123);
    ck_assert_int_eq(lease_table_parse_get("{}", 2, &row, &err), 0);
    ck_assert_int_eq(lease_table_parse_get("[]", 2, &row, &err), -1);
    ck_assert_int_eq(lease_table_parse_get("{\"It", 4, &row, &err), -1);
}
END_TEST

/* A lease as a write wants it. */
static struct lease_write sample(enum lease_write_kind kind) {
    struct lease_write write = {.kind = kind, .expected = 7};
    strcpy(write.row.key, "shard\"1");
    write.row.counter = 8;
    write.row.switches = 2;
    write.row.position = (struct kinesis_position){.kind = POSITION_SEQUENCE, .sub = 3};
    strcpy(write.row.position.sequence, "4959");
    return write;
}

/* The body of a write; it must be JSON. */
static json_t *body_of(const struct lease_write *write, const char *operation) {
    struct buf body;
    buf_init(&body, LEASE_TABLE_BODY_MAX);
    ck_assert_str_eq(lease_table_format(&table, write, 1700000000456, &body), operation);
    ck_assert(!body.overflow);
    json_error_t where;
    json_t *root = json_loadb(body.data, body.len, JSON_REJECT_DUPLICATES, &where);
    ck_assert_msg(root != NULL, "%s: %.*s", where.text, (int)body.len, body.data);
    ck_assert_str_eq(json_string_value(json_object_get(root, "TableName")), "app");
    buf_done(&body);
    return root;
}

static const char *text_at(const json_t *root, const char *name) {
    const char *text = json_string_value(json_object_get(root, name));
    return text ? text : "";
}

static const char *value_at(const json_t *root, const char *name, const char *type) {
    const json_t *values = json_object_get(root, "ExpressionAttributeValues");
    const char *text = json_string_value(json_object_get(json_object_get(values, name), type));
    return text ? text : "";
}

/* DynamoDB refuses values that no expression names, and names without a value. */
static void check_names(const json_t *root) {
    const char *name;
    json_t *value;
    size_t colons = 0, used = 0;
    const char *texts[2] = {text_at(root, "UpdateExpression"),
                            text_at(root, "ConditionExpression")};
    json_object_foreach(json_object_get(root, "ExpressionAttributeValues"), name, value) {
        bool found = false;
        for (int i = 0; i < 2; i++) {
            for (const char *at = texts[i]; (at = strstr(at, name)); at++) {
                found = true;
                used++;
            }
        }
        ck_assert_msg(found, "%s is not used", name);
    }
    for (int i = 0; i < 2; i++) {
        for (const char *at = texts[i]; (at = strchr(at, ':')); at++) {
            colons++;
        }
    }
    ck_assert_uint_eq(colons, used);
    ck_assert(!strstr(texts[0], "#at") == !json_object_get(root, "ExpressionAttributeNames"));
}

START_TEST(renews_under_the_counter) {
    struct lease_write write = sample(LEASE_RENEW);
    json_t *root = body_of(&write, "UpdateItem");
    check_names(root);
    ck_assert_str_eq(text_at(root, "UpdateExpression"), " SET leaseCounter=:next");
    ck_assert_str_eq(text_at(root, "ConditionExpression"),
                     "leaseCounter=:seen AND leaseOwner=:me AND "
                     "attribute_not_exists(checkpointOwner)");
    ck_assert_str_eq(value_at(root, ":seen", "N"), "7");
    ck_assert_str_eq(value_at(root, ":next", "N"), "8");
    ck_assert_str_eq(value_at(root, ":me", "S"), "me\"1");
    json_t *key = json_object_get(json_object_get(root, "Key"), "leaseKey");
    ck_assert_str_eq(text_at(key, "S"), "shard\"1");
    json_decref(root);
}
END_TEST

START_TEST(takes) {
    struct lease_write write = sample(LEASE_TAKE);
    json_t *root = body_of(&write, "UpdateItem");
    check_names(root);
    ck_assert_str_eq(text_at(root, "UpdateExpression"),
                     " SET leaseCounter=:next,leaseOwner=:me,ownerSwitchesSinceCheckpoint="
                     ":switches REMOVE checkpointOwner");
    ck_assert_str_eq(text_at(root, "ConditionExpression"), "leaseCounter=:seen");
    json_decref(root);
    write.row.position = (struct kinesis_position){.kind = POSITION_TIME, .time_ms = 99};
    write.has_position = true;
    root = body_of(&write, "UpdateItem");
    check_names(root);
    ck_assert_str_eq(value_at(root, ":at", "S"), "AT_TIMESTAMP");
    ck_assert_str_eq(value_at(root, ":time", "N"), "99");
    json_decref(root);
}
END_TEST

START_TEST(stores_positions) {
    struct lease_write write = sample(LEASE_CHECKPOINT);
    write.has_position = true;
    write.row.switches = 0;
    json_t *root = body_of(&write, "UpdateItem");
    check_names(root);
    ck_assert_str_eq(
        text_at(root, "UpdateExpression"),
        " SET leaseCounter=:next,#at=:at,checkpointSubSequenceNumber=:sub,"
        "flowgelfStored=:stored,ownerSwitchesSinceCheckpoint=:switches REMOVE pendingCheckpoint,"
        "pendingCheckpointSubSequenceNumber,pendingCheckpointState,"
        "flowgelfTimestamp");
    ck_assert_str_eq(value_at(root, ":at", "S"), "4959");
    ck_assert_str_eq(value_at(root, ":sub", "N"), "3");
    ck_assert_str_eq(value_at(root, ":stored", "S"), "1700000000456 4959");
    json_decref(root);
    write.row.position.kind = POSITION_SHARD_END;
    strcpy(write.children[0], "a");
    strcpy(write.children[1], "b");
    root = body_of(&write, "UpdateItem");
    check_names(root);
    ck_assert_str_eq(value_at(root, ":at", "S"), "SHARD_END");
    ck_assert_str_eq(value_at(root, ":sub", "N"), "0");
    json_t *set = json_object_get(
        json_object_get(json_object_get(root, "ExpressionAttributeValues"), ":children"), "SS");
    ck_assert_uint_eq(json_array_size(set), 2);
    json_decref(root);
}
END_TEST

START_TEST(gives_up_and_hands_over) {
    struct lease_write write = sample(LEASE_EVICT);
    json_t *root = body_of(&write, "UpdateItem");
    check_names(root);
    ck_assert_str_eq(text_at(root, "UpdateExpression"),
                     " SET leaseCounter=:next REMOVE leaseOwner");
    ck_assert_str_eq(text_at(root, "ConditionExpression"), "leaseCounter=:seen AND leaseOwner=:me");
    json_decref(root);
    write = sample(LEASE_HAND_OVER);
    write.row.counter = write.expected;
    root = body_of(&write, "UpdateItem");
    check_names(root);
    ck_assert_str_eq(text_at(root, "UpdateExpression"), " REMOVE checkpointOwner");
    ck_assert_str_eq(text_at(root, "ConditionExpression"),
                     "leaseCounter=:seen AND checkpointOwner=:me");
    json_decref(root);
    write = sample(LEASE_EVICT);
    write.has_position = true;
    root = body_of(&write, "UpdateItem");
    check_names(root);
    ck_assert_ptr_nonnull(strstr(text_at(root, "UpdateExpression"), ",leaseOwner"));
    json_decref(root);
    write = sample(LEASE_DELETE);
    root = body_of(&write, "DeleteItem");
    check_names(root);
    ck_assert_str_eq(text_at(root, "ConditionExpression"), "leaseCounter=:seen");
    json_decref(root);
}
END_TEST

/* What is created is read back as it was. */
START_TEST(creates_what_it_reads) {
    struct lease_write write = sample(LEASE_CREATE);
    write.row.has_range = true;
    write.row.range = (struct kinesis_range){5, ~(unsigned __int128)0};
    strcpy(write.row.parents[0], "p");
    strcpy(write.row.parents[1], "q");
    write.row.position = (struct kinesis_position){.kind = POSITION_TIME, .time_ms = 1234};
    json_t *root = body_of(&write, "PutItem");
    ck_assert_str_eq(text_at(root, "ConditionExpression"), "attribute_not_exists(leaseKey)");
    struct lease_row row;
    struct err err;
    ck_assert_int_eq(lease_table_parse_item(json_object_get(root, "Item"), &row, &err), 1);
    ck_assert_str_eq(row.key, write.row.key);
    ck_assert_str_eq(row.owner, "");
    ck_assert_int_eq(row.counter, 8);
    ck_assert_int_eq(row.position.kind, POSITION_TIME);
    ck_assert_int_eq(row.position.time_ms, 1234);
    ck_assert_str_eq(row.parents[0], "p");
    ck_assert_str_eq(row.parents[1], "q");
    ck_assert(row.has_range && row.range.first == 5 && row.range.last == ~(unsigned __int128)0);
    json_decref(root);
}
END_TEST

START_TEST(tells_refusals_from_failures) {
    struct aws_reply reply = {.class = AWS_FINE};
    struct err err;
    ck_assert_int_eq(lease_table_outcome(&reply), LEASE_DONE);
    reply.class = AWS_REFUSED;
    strcpy(reply.code, "ConditionalCheckFailedException");
    ck_assert_int_eq(lease_table_outcome(&reply), LEASE_REFUSED);
    strcpy(reply.code, "ResourceNotFoundException");
    ck_assert_int_eq(lease_table_outcome(&reply), LEASE_UNKNOWN);
    err_set(&reply.err, ERR_CONFIG, "dynamodb Scan: gone");
    lease_table_error(&table, "Scan", &reply, &err);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(
        strstr(err.text, "lease table app: dynamodb Scan: gone; it was never made"));
    reply = (struct aws_reply){.class = AWS_TRANSIENT};
    ck_assert_int_eq(lease_table_outcome(&reply), LEASE_UNKNOWN);
    lease_table_error(&table, "Scan", &reply, &err);
    ck_assert_int_eq(err.kind, ERR_RETRY);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("lease table");
    TCase *items = tcase_create("items");
    tcase_add_checked_fixture(items, load_items, free_items);
    tcase_add_test(items, reads_items_of_1_x);
    tcase_add_test(items, reads_items_of_2_x_and_3_x);
    tcase_add_test(items, passes_over_what_is_no_lease_of_this_stream);
    tcase_add_loop_test(items, says_of_odd_items_what_is_wrong, 0,
                        (int)(sizeof(odd) / sizeof(*odd)));
    tcase_add_test(items, a_time_counts_for_the_position_that_it_is_of);
    tcase_add_test(items, reads_the_answer_of_get);
    suite_add_tcase(suite, items);
    TCase *writes = tcase_create("writes");
    tcase_add_test(writes, renews_under_the_counter);
    tcase_add_test(writes, takes);
    tcase_add_test(writes, stores_positions);
    tcase_add_test(writes, gives_up_and_hands_over);
    tcase_add_test(writes, creates_what_it_reads);
    tcase_add_test(writes, tells_refusals_from_failures);
    suite_add_tcase(suite, writes);
    return run_suite(suite);
}
