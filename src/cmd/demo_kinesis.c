/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See demo_kinesis.h. Requests and replies: the service model of Kinesis, version 20131202;
 * aggregates: the format of the Kinesis Producer Library (KPL), as its documentation has it.
 */
#include "cmd/demo_kinesis.h"

#include <jansson.h>
#include <openssl/evp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/session.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/xalloc.h"
#include "cmd/demo_emulator.h"
#include "input/kinesis_reply.h"

enum {
    PUT_RECORDS_MAX = 500,   /* of a PutRecords call */
    PUT_BYTES_MAX = 5000000, /* the same; ours are in Base64 here, which is on the safe side */
    REPLY_MAX = 1 << 20,
    SMALL_MAX = 512,
    ENDPOINT_MAX = 32,
    LOOK_CALL_MS = 500,
    CALL_MS = 30000,
    PUT_TRIES = 100,
    PUT_PAUSE_MS = 100, /* a shard takes so much a second */
    START_MS = 60000,
};

/* The emulator takes ever longer with the records of a shard, so lines share them. */
enum { USERS_MAX = 20, USER_BYTES_MAX = 1000, AGGREGATE_MAX = 64 << 10, MD5_BYTES = 16 };

/* A protobuf message between these and its MD5. */
#define MAGIC SPAN("\xF3\x89\x9A\xC2")

/* The key of a field: its number, and that a length and bytes follow or (third) a number. */
enum { TABLE_OF_KEYS = 0x0A, TABLE_OF_HASH_KEYS = 0x12, RECORD = 0x1A };
enum { RECORD_KEY = 0x08, RECORD_HASH_KEY = 0x10, RECORD_DATA = 0x1A };

struct demo_kinesis {
    const char *stream;
    struct demo_emulator *emulator;
    struct aws_session *session;
    struct aws_target target;
    struct aws_client *client;
    char endpoint[ENDPOINT_MAX];
    bool is_created;
    int64_t until_ms;     /* it must answer */
    struct buf aggregate; /* the message that is under way */
    size_t users;         /* records in it */
    uint64_t number;      /* of entries made, which go to one shard after the other */
    struct buf entries, body;
    size_t ends[PUT_RECORDS_MAX]; /* of the entries */
    size_t count;
};

void demo_kinesis_set_environment(void) {
    static const char *const unset[] = {
        "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_WEB_IDENTITY_TOKEN_FILE",
        "AWS_ROLE_ARN",      "AWS_REGION",  "AWS_DEFAULT_REGION",  "AWS_CA_BUNDLE",
    };
    static const char *const set[][2] = {
        {"AWS_ACCESS_KEY_ID", "123456789010"}, /* the emulator's account number comes of it */
        {"AWS_SECRET_ACCESS_KEY", "of-nobody"},
        {"AWS_CONFIG_FILE", "/dev/null"},
        {"AWS_SHARED_CREDENTIALS_FILE", "/dev/null"},
        {"AWS_EC2_METADATA_DISABLED", "true"},
        {"no_proxy", "127.0.0.1"},
        {"NO_PROXY", "127.0.0.1"},
    };
    for (size_t i = 0; i < sizeof(unset) / sizeof(unset[0]); i++) {
        unsetenv(unset[i]);
    }
    for (size_t i = 0; i < sizeof(set) / sizeof(set[0]); i++) {
        setenv(set[i][0], set[i][1], 1);
    }
}

static int open_client(struct demo_kinesis *kinesis, struct err *err) {
    char region[] = DEMO_KINESIS_REGION;
    struct aws_settings settings = {.region = region};
    snprintf(kinesis->endpoint, sizeof(kinesis->endpoint), "http://127.0.0.1:%u",
             (unsigned)demo_emulator_port(kinesis->emulator));
    if (aws_session_open(&settings, NULL, NULL, &kinesis->session, err) != 0 ||
        aws_session_refresh(kinesis->session, err) != 0 ||
        aws_session_target(kinesis->session, &aws_kinesis, kinesis->endpoint, &kinesis->target,
                           err) != 0) {
        return -1;
    }
    kinesis->client = aws_session_client(kinesis->session, &kinesis->target, REPLY_MAX);
    return 0;
}

int demo_kinesis_open(const char *stream, const char *folder, struct demo_kinesis **out,
                      struct err *err) {
    struct demo_kinesis *kinesis = xcalloc(1, sizeof(*kinesis));
    kinesis->stream = stream;
    kinesis->until_ms = clock_monotonic_ms() + START_MS;
    buf_init(&kinesis->aggregate, AGGREGATE_MAX);
    buf_init(&kinesis->entries, PUT_BYTES_MAX);
    buf_init(&kinesis->body, PUT_BYTES_MAX + PUT_RECORDS_MAX + SMALL_MAX);
    if (demo_emulator_open(folder, &kinesis->emulator, err) != 0 ||
        open_client(kinesis, err) != 0) {
        demo_kinesis_close(kinesis);
        return -1;
    }
    *out = kinesis;
    return 0;
}

const char *demo_kinesis_endpoint(const struct demo_kinesis *kinesis) {
    return kinesis->endpoint;
}

/* ---- the stream ---- */

static int call_small(struct demo_kinesis *kinesis, const char *operation, int64_t deadline_ms,
                      const struct aws_reply **reply, struct err *err) {
    char memory[SMALL_MAX];
    struct buf body;
    buf_over(&body, memory, sizeof(memory));
    buf_printf(&body, "{\"StreamName\":\"%s\"", kinesis->stream);
    if (strcmp(operation, "CreateStream") == 0) {
        buf_printf(&body, ",\"ShardCount\":%d", DEMO_KINESIS_SHARDS);
    }
    buf_char(&body, '}');
    return aws_client_call(kinesis->client, operation, buf_span(&body), deadline_ms, NULL, reply,
                           err);
}

/* A call that is tried again may find the stream made by the one before. */
static bool create(struct demo_kinesis *kinesis, struct err *err) {
    const struct aws_reply *reply;
    return call_small(kinesis, "CreateStream", LOOK_CALL_MS, &reply, err) == 0 ||
           strcmp(reply->code, "ResourceInUseException") == 0;
}

static bool is_active(struct demo_kinesis *kinesis, struct err *err) {
    const struct aws_reply *reply;
    struct kinesis_summary summary;
    if (call_small(kinesis, "DescribeStreamSummary", LOOK_CALL_MS, &reply, err) != 0 ||
        kinesis_summary_parse(reply->body, reply->len, &summary, err) != 0) {
        return false;
    }
    err_set(err, ERR_STOP, "the stream is %s", summary.status);
    return strcmp(summary.status, "ACTIVE") == 0;
}

int demo_kinesis_ready(struct demo_kinesis *kinesis, struct err *err) {
    if (demo_emulator_check(kinesis->emulator, err) != 0) {
        return -1;
    }
    kinesis->is_created = kinesis->is_created || create(kinesis, err);
    if (kinesis->is_created && is_active(kinesis, err)) {
        return 1;
    }
    if (clock_monotonic_ms() < kinesis->until_ms) {
        poll(NULL, 0, PUT_PAUSE_MS);
        return 0;
    }
    err->kind = ERR_STOP;
    return err_wrap(err, "the emulator gave no stream within %d s", START_MS / 1000);
}

/* ---- records ---- */

static struct span entry_at(const struct demo_kinesis *kinesis, size_t at) {
    size_t begin = at > 0 ? kinesis->ends[at - 1] : 0;
    return span_of(kinesis->entries.data + begin, kinesis->ends[at] - begin);
}

static void make_body(struct demo_kinesis *kinesis) {
    buf_clear(&kinesis->body);
    buf_printf(&kinesis->body, "{\"StreamName\":\"%s\",\"Records\":[", kinesis->stream);
    for (size_t i = 0; i < kinesis->count; i++) {
        buf_add(&kinesis->body, i > 0 ? SPAN(",") : SPAN(""));
        buf_add(&kinesis->body, entry_at(kinesis, i));
    }
    buf_add(&kinesis->body, SPAN("]}"));
}

/* Moves an entry that was not taken to the front of those that stay. */
static void keep(struct demo_kinesis *kinesis, size_t at, size_t kept) {
    struct span entry = entry_at(kinesis, at);
    size_t begin = kept > 0 ? kinesis->ends[kept - 1] : 0;
    memmove(kinesis->entries.data + begin, entry.p, entry.len);
    kinesis->ends[kept] = begin + entry.len;
}

/* Each record is taken or refused by itself: those refused stay, and *err has the last reason. */
static int take_results(struct demo_kinesis *kinesis, const struct aws_reply *reply,
                        struct err *err) {
    json_t *root = json_loadb(reply->body, reply->len, 0, NULL);
    const json_t *results = json_object_get(root, "Records");
    size_t kept = 0;
    if (json_array_size(results) != kinesis->count) {
        json_decref(root);
        return err_set(err, ERR_STOP, "PutRecords: a reply without a result for each record");
    }
    for (size_t i = 0; i < kinesis->count; i++) {
        const char *code =
            json_string_value(json_object_get(json_array_get(results, i), "ErrorCode"));
        if (code) {
            err_set(err, ERR_STOP, "PutRecords: %s", code);
            keep(kinesis, i, kept++);
        }
    }
    kinesis->count = kept;
    kinesis->entries.len = kept > 0 ? kinesis->ends[kept - 1] : 0;
    json_decref(root);
    return 0;
}

static int send_entries(struct demo_kinesis *kinesis, struct err *err) {
    const struct aws_reply *reply;
    for (int tries = 0; kinesis->count > 0; tries++) {
        if (tries == PUT_TRIES) {
            return err_wrap(err, "%zu records were refused again and again", kinesis->count);
        }
        if (tries > 0) {
            poll(NULL, 0, PUT_PAUSE_MS);
        }
        make_body(kinesis);
        if (aws_client_call(kinesis->client, "PutRecords", buf_span(&kinesis->body), CALL_MS, NULL,
                            &reply, err) != 0) {
            /* A dead emulator says more than a connection that was refused. */
            demo_emulator_check(kinesis->emulator, err);
            err->kind = ERR_STOP;
            return -1;
        }
        if (take_results(kinesis, reply, err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* The first hash key of the shard that the next entry goes to. */
static void next_hash_key(const struct demo_kinesis *kinesis, char out[KINESIS_HASH_SIZE]) {
    const unsigned __int128 width = ~(unsigned __int128)0 / DEMO_KINESIS_SHARDS + 1;
    kinesis_hash_format(kinesis->number % DEMO_KINESIS_SHARDS * width, out);
}

static int add_entry(struct demo_kinesis *kinesis, struct span data, struct err *err) {
    struct buf *entries = &kinesis->entries;
    char hash_key[KINESIS_HASH_SIZE];
    size_t room = data.len / 3 * 4 + SMALL_MAX;
    if ((kinesis->count == PUT_RECORDS_MAX || entries->len + room > PUT_BYTES_MAX) &&
        send_entries(kinesis, err) != 0) {
        return -1;
    }
    next_hash_key(kinesis, hash_key);
    buf_add(entries, SPAN("{\"Data\":\""));
    base64_encode(data, entries);
    buf_printf(entries, "\",\"PartitionKey\":\"a\",\"ExplicitHashKey\":\"%s\"}", hash_key);
    if (entries->overflow) {
        return err_set(err, ERR_STOP, "a record of %zu bytes is too large for a stream", data.len);
    }
    kinesis->ends[kinesis->count++] = entries->len;
    kinesis->number++;
    return 0;
}

/* ---- aggregates ---- */

static void add_varint(struct buf *out, size_t value) {
    for (; value > 0x7F; value >>= 7) {
        buf_char(out, (char)(value | 0x80));
    }
    buf_char(out, (char)value);
}

static void add_bytes(struct buf *out, int field, struct span bytes) {
    buf_char(out, (char)field);
    add_varint(out, bytes.len);
    buf_add(out, bytes);
}

/* The tables, of one key each: all records of an aggregate go to the same shard. */
static void begin_aggregate(struct demo_kinesis *kinesis) {
    char hash_key[KINESIS_HASH_SIZE];
    next_hash_key(kinesis, hash_key);
    buf_clear(&kinesis->aggregate);
    buf_add(&kinesis->aggregate, MAGIC);
    add_bytes(&kinesis->aggregate, TABLE_OF_KEYS, SPAN("a"));
    add_bytes(&kinesis->aggregate, TABLE_OF_HASH_KEYS, span_str(hash_key));
}

static void add_user(struct demo_kinesis *kinesis, struct span data) {
    char memory[USER_BYTES_MAX + 16];
    struct buf record;
    buf_over(&record, memory, sizeof(memory));
    buf_char(&record, RECORD_KEY);
    add_varint(&record, 0);
    buf_char(&record, RECORD_HASH_KEY);
    add_varint(&record, 0);
    add_bytes(&record, RECORD_DATA, data);
    add_bytes(&kinesis->aggregate, RECORD, buf_span(&record));
    kinesis->users++;
}

static int end_aggregate(struct demo_kinesis *kinesis, struct err *err) {
    struct buf *aggregate = &kinesis->aggregate;
    struct span message = span_skip(buf_span(aggregate), MAGIC.len);
    unsigned char digest[EVP_MAX_MD_SIZE];
    if (kinesis->users == 0) {
        return 0;
    }
    kinesis->users = 0;
    if (EVP_Digest(message.p, message.len, digest, NULL, EVP_md5(), NULL) != 1) {
        return err_set(err, ERR_STOP, "OpenSSL makes no MD5 here, which aggregates need");
    }
    buf_add(aggregate, span_of((char *)digest, MD5_BYTES));
    return add_entry(kinesis, buf_span(aggregate), err);
}

int demo_kinesis_put(struct demo_kinesis *kinesis, struct span record, struct err *err) {
    bool is_gzip = span_starts(record, SPAN("\x1F\x8B")); /* as CloudWatch Logs sends */
    if (is_gzip || record.len > USER_BYTES_MAX) {
        return end_aggregate(kinesis, err) == 0 ? add_entry(kinesis, record, err) : -1;
    }
    if (kinesis->users == 0) {
        begin_aggregate(kinesis);
    }
    add_user(kinesis, record);
    return kinesis->users == USERS_MAX ? end_aggregate(kinesis, err) : 0;
}

int demo_kinesis_flush(struct demo_kinesis *kinesis, struct err *err) {
    return end_aggregate(kinesis, err) == 0 ? send_entries(kinesis, err) : -1;
}

void demo_kinesis_close(struct demo_kinesis *kinesis) {
    if (!kinesis) {
        return;
    }
    aws_client_close(kinesis->client);
    aws_session_close(kinesis->session);
    demo_emulator_close(kinesis->emulator);
    buf_done(&kinesis->aggregate);
    buf_done(&kinesis->entries);
    buf_done(&kinesis->body);
    free(kinesis);
}
