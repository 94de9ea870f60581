/* SPDX-License-Identifier: Apache-2.0 */
/* See kinesis_handle.h: the calls of the Kinesis input, from when one is due to its reply. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/random.h"
#include "input/kinesis_handle.h"

enum { CALL_MS = 30000 };

void kinesis_note(struct kinesis *kinesis, const struct err *err) {
    if (!kinesis->has_trouble) {
        kinesis->has_trouble = true;
        kinesis->trouble = *err;
        kinesis->trouble.kind = ERR_RETRY;
        err_wrap(&kinesis->trouble, "%s", kinesis->conf->name);
    }
}

void kinesis_free_slot(struct kinesis *kinesis, struct slot *slot) {
    aws_call_release(slot->call);
    slot->shard->slot = NULL;
    slot->shard = NULL;
    kinesis->free[kinesis->free_count++] = slot;
}

static void write_body(const struct kinesis *kinesis, const struct kinesis_reader *reader,
                       struct buf *body) {
    buf_clear(body);
    buf_char(body, '{');
    if (reader->state == READER_READY) {
        buf_add(body, SPAN("\"ShardIterator\":\""));
        json_add(body, span_str(reader->iterator));
        buf_printf(body, "\",\"Limit\":%zu", reader->limit);
        if (kinesis->conf->arn) {
            buf_char(body, ',');
            kinesis_conf_put_stream(kinesis->conf, body);
        }
    } else {
        kinesis_conf_put_stream(kinesis->conf, body);
        reader_put_position(reader, body);
    }
    buf_char(body, '}');
    assert(!body->overflow);
}

/* Takes a free slot for the call that a shard wants to make. -1: it cannot be made now. */
static int start_call(struct kinesis *kinesis, struct shard *shard, const struct aws_keys *keys,
                      int64_t now_ms, struct err *err) {
    struct slot *slot = kinesis->free[--kinesis->free_count];
    bool for_records = shard->reader.state == READER_READY;
    slot->shard = shard;
    shard->slot = slot;
    memcpy(slot->access_id, keys->access_id, sizeof(slot->access_id));
    write_body(kinesis, &shard->reader, &slot->body);
    if (aws_call_start(slot->call, keys, for_records ? "GetRecords" : "GetShardIterator",
                       buf_span(&slot->body), CALL_MS, err) != 0) {
        kinesis_free_slot(kinesis, slot);
        return -1;
    }
    reader_asked(&shard->reader, now_ms);
    return 0;
}

static size_t earliest(const struct kinesis *kinesis) {
    size_t best = 0;
    for (size_t i = 1; i < kinesis->shard_count; i++) {
        best = kinesis->due_ms[i] < kinesis->due_ms[best] ? i : best;
    }
    return best;
}

/* Starts what is due, the longest due first, as far as there are slots, and wakes for the rest. */
void kinesis_start_due(struct kinesis *kinesis, int64_t now_ms) {
    struct aws_keys keys;
    struct err err;
    bool has_keys = false;
    int64_t next_ms = INT64_MAX;
    while (kinesis->shard_count > 0 && kinesis->free_count > 0) {
        size_t at = earliest(kinesis);
        next_ms = kinesis->due_ms[at];
        if (next_ms > now_ms) {
            break;
        }
        if ((!has_keys &&
             aws_credentials_get(aws_session_credentials(kinesis_keeper_session(kinesis->shared)),
                                 &keys, &err) != 0) ||
            start_call(kinesis, kinesis->shards[at], &keys, now_ms, &err) != 0) {
            kinesis_note(kinesis, &err);
            next_ms = now_ms + 1000;
            break;
        }
        has_keys = true;
        kinesis->due_ms[at] = INT64_MAX;
    }
    if (has_keys) {
        aws_keys_wipe(&keys);
    }
    http_wake_at(kinesis->http, next_ms);
}

static size_t index_of(const struct kinesis *kinesis, const struct shard *shard) {
    size_t low = 0, high = kinesis->shard_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(kinesis->shards[middle]->reader.id, shard->reader.id);
        low = order < 0 ? middle + 1 : low;
        high = order < 0 ? high : middle;
    }
    return low;
}

/* The reader says when its next call is due, if it wants to make one. */
void kinesis_schedule(struct kinesis *kinesis, const struct shard *shard) {
    bool wants =
        shard->reader.state == READER_READY || shard->reader.state == READER_NEEDS_ITERATOR;
    kinesis->due_ms[index_of(kinesis, shard)] = wants ? shard->reader.due_ms : INT64_MAX;
}

/* The shard's call is over; its next one is noted. */
static void give_up_slot(struct kinesis *kinesis, struct slot *slot) {
    const struct shard *shard = slot->shard;
    kinesis_free_slot(kinesis, slot);
    kinesis_schedule(kinesis, shard);
}

/* A call failed, or its reply is of no use. */
void kinesis_take_failure(struct kinesis *kinesis, struct slot *slot, enum aws_class class,
                          const char *code, const struct err *err) {
    struct shard *shard = slot->shard;
    int64_t now_ms = clock_monotonic_ms();
    struct err said = *err;
    err_wrap(&said, "%s", shard->reader.id);
    switch (reader_failed(&shard->reader, class, code, now_ms, random_u32())) {
    case ADVICE_NONE:
        log_debug("kinesis: %s: %s", kinesis->conf->name, said.text);
        break;
    case ADVICE_LOSS:
        /* Not left to the next read, which says one error of several: a loss is always said. */
        log_warning("kinesis %s: %s: its position is no longer in the stream: records between it "
                    "and the oldest one kept are lost, and reading goes on there (%s)",
                    kinesis->conf->name, shard->reader.id, err->text);
        break;
    case ADVICE_LIST:
        kinesis_keeper_list(kinesis->shared);
        kinesis_note(kinesis, &said);
        break;
    case ADVICE_KEYS:
        aws_session_distrust(kinesis_keeper_session(kinesis->shared), slot->access_id);
        kinesis_note(kinesis, &said);
        break;
    case ADVICE_SAY:
        kinesis_note(kinesis, &said);
    }
    give_up_slot(kinesis, slot);
}

static void take_iterator(struct kinesis *kinesis, struct slot *slot,
                          const struct aws_reply *reply) {
    struct shard *shard = slot->shard;
    struct err err;
    if (kinesis_iterator_parse(reply->body, reply->len, shard->reader.iterator, &err) != 0) {
        kinesis_take_failure(kinesis, slot, AWS_TRANSIENT, "", &err);
        return;
    }
    reader_got_iterator(&shard->reader, clock_monotonic_ms());
    give_up_slot(kinesis, slot);
}

/* Replies with records wait in the order in which they came. */
void kinesis_take_done(struct kinesis *kinesis) {
    for (size_t i = 0; i < CALLS_MAX; i++) {
        struct slot *slot = &kinesis->slots[i];
        if (!slot->shard || slot->shard->is_held || aws_call_state(slot->call) == HTTP_RUNNING) {
            continue;
        }
        const struct aws_reply *reply = aws_call_reply(slot->call);
        if (reply->too_large) {
            reader_got_too_much(&slot->shard->reader, clock_monotonic_ms());
            give_up_slot(kinesis, slot);
        } else if (reply->class != AWS_FINE) {
            kinesis_take_failure(kinesis, slot, reply->class, reply->code, &reply->err);
        } else if (slot->shard->reader.state == READER_ASKS_ITERATOR) {
            take_iterator(kinesis, slot, reply);
        } else {
            slot->shard->is_held = true;
            kinesis->held[kinesis->held_head++ % CALLS_MAX] = slot;
        }
    }
}

void kinesis_calls_open(struct kinesis *kinesis) {
    struct aws_session *session = kinesis_keeper_session(kinesis->shared);
    struct http_conf conf = {
        .proxy = aws_session_proxy(session),
        .ca_file = aws_session_ca(session),
        .held_max = HELD_MAX,
    };
    kinesis->http = http_open(&conf);
    for (size_t i = 0; i < CALLS_MAX; i++) {
        struct slot *slot = &kinesis->slots[i];
        slot->call =
            aws_call_open(kinesis->http, kinesis_keeper_target(kinesis->shared), REPLY_MAX);
        buf_over(&slot->body, slot->memory, sizeof(slot->memory));
        kinesis->free[kinesis->free_count++] = slot;
    }
}

void kinesis_calls_close(struct kinesis *kinesis) {
    for (size_t i = 0; i < CALLS_MAX; i++) {
        aws_call_close(kinesis->slots[i].call);
    }
    http_close(kinesis->http);
}
