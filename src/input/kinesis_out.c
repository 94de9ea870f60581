/* SPDX-License-Identifier: Apache-2.0 */
/* See kinesis_handle.h: replies of the Kinesis input become records, batches and positions. */
#include "base/clock.h"
#include "input/kinesis_handle.h"

static void fill_record(const struct kinesis *kinesis, const struct shard *shard,
                        struct record *record, const struct kinesis_record *from, struct span data,
                        int64_t sub, int64_t now_ms) {
    *record = (struct record){
        .data = data,
        .arrival_ms = now_ms,
        .origin = {.input = SPAN("kinesis"),
                   .stream = span_str(kinesis->conf->name),
                   .shard = span_str(shard->reader.id),
                   .sequence = from->sequence,
                   .sub = sub},
    };
}

/* Hands out of the record at hand what is ours of it; false when room ran out before its end. */
static bool fill_aggregate(struct kinesis *kinesis, const struct shard *shard, size_t room,
                           size_t *count, int64_t now_ms) {
    const struct kinesis_record *from = &kinesis->reply.records[kinesis->at];
    struct kpl_record user;
    while (*count < room) {
        if (!kpl_next(&kinesis->kpl, &user)) {
            kinesis->in_aggregate = false;
            return true;
        }
        if (kpl_is_in_range(&user, &shard->reader.range) &&
            !reader_is_done(&shard->reader, from->sequence, user.sub)) {
            fill_record(kinesis, shard, &kinesis->records[(*count)++], from, user.data, user.sub,
                        now_ms);
        }
    }
    return false;
}

/* As much of the open reply as there is room for; false when something of it is left. */
static bool fill(struct kinesis *kinesis, const struct shard *shard, size_t room, size_t *count,
                 int64_t now_ms) {
    for (; kinesis->at < kinesis->reply.count; kinesis->at++) {
        const struct kinesis_record *from = &kinesis->reply.records[kinesis->at];
        if (*count == room) {
            return false;
        }
        if (!kinesis->in_aggregate) {
            kinesis->in_aggregate = kpl_open(&kinesis->kpl, from->data);
        }
        if (kinesis->in_aggregate) {
            if (!fill_aggregate(kinesis, shard, room, count, now_ms)) {
                return false;
            }
            continue;
        }
        kinesis->kpl.sub = 0;
        if (!reader_is_done(&shard->reader, from->sequence, 0)) {
            fill_record(kinesis, shard, &kinesis->records[(*count)++], from, from->data, 0, now_ms);
        }
    }
    return true;
}

/* Up to where the open reply is handed out. */
static bool reached(const struct kinesis *kinesis, struct kinesis_position *position) {
    bool is_inside = kinesis->in_aggregate && kinesis->kpl.sub > 0;
    size_t done = kinesis->at + (is_inside ? 1 : 0);
    if (done == 0) {
        return false;
    }
    *position = (struct kinesis_position){
        .kind = POSITION_SEQUENCE,
        .sub = kinesis->kpl.sub > 0 ? kinesis->kpl.sub - 1 : 0,
    };
    return kinesis_sequence_set(position->sequence, kinesis->reply.records[done - 1].sequence);
}

static void push_step(struct kinesis *kinesis, const struct shard *shard, bool in_batch,
                      const struct kinesis_position *position) {
    kinesis_steps_push(&kinesis->steps, kinesis->number + (in_batch ? 1 : 0), shard->track,
                       position);
}

/* The open reply is handed out as a whole; its memory is kept until the next read. */
static void finish_reply(struct kinesis *kinesis, struct slot *slot, bool in_batch) {
    static const struct kinesis_position end = {.kind = POSITION_SHARD_END};
    struct shard *shard = slot->shard;
    kinesis->is_open = false;
    kinesis->held_tail++;
    shard->is_held = false;
    reader_handed_out(&shard->reader);
    kinesis_schedule(kinesis, shard);
    kinesis->given[kinesis->given_count++] = slot;
    shard->slot = NULL;
    slot->shard = NULL;
    if (shard->reader.state == READER_ENDED) {
        push_step(kinesis, shard, in_batch, &end);
        kinesis_keeper_at_end(kinesis->shared, shard->reader.id, shard->track->tenure);
        kinesis->must_confirm |= kinesis_keeper_waits_for_ends(kinesis->shared);
    }
}

/* Reads the first complete reply; false: it is of no use and is asked for again. */
static bool open_reply(struct kinesis *kinesis, struct slot *slot, int64_t now_ms) {
    const struct aws_reply *reply = aws_call_reply(slot->call);
    struct err err;
    if (kinesis->is_open) {
        return true;
    }
    if (kinesis_reply_parse(reply->body, reply->len, &kinesis->reply, &err) != 0) {
        kinesis->held_tail++;
        slot->shard->is_held = false;
        err_wrap(&err, "a reply that cannot be read is asked for again");
        kinesis_take_failure(kinesis, slot, AWS_TRANSIENT, "", &err);
        return false;
    }
    reader_got_records(&slot->shard->reader, &kinesis->reply, now_ms, &kinesis->pace);
    kinesis->is_open = true;
    kinesis->in_aggregate = false;
    kinesis->at = 0;
    return true;
}

size_t kinesis_hand_out(struct kinesis *kinesis, size_t room) {
    int64_t now_ms = clock_monotonic_ms(), wall_ms = clock_wall_ms();
    size_t count = 0;
    bool is_whole = true;
    while (is_whole && count < room && kinesis->held_tail != kinesis->held_head &&
           kinesis_steps_have_room(&kinesis->steps)) {
        struct slot *slot = kinesis->held[kinesis->held_tail % CALLS_MAX];
        struct kinesis_position position;
        if (!open_reply(kinesis, slot, now_ms)) {
            continue;
        }
        is_whole = fill(kinesis, slot->shard, room, &count, wall_ms);
        if (reached(kinesis, &position)) {
            push_step(kinesis, slot->shard, count > 0, &position);
        }
        if (is_whole) {
            finish_reply(kinesis, slot, count > 0);
        }
    }
    return count;
}

void kinesis_release_given(struct kinesis *kinesis) {
    for (size_t i = 0; i < kinesis->given_count; i++) {
        aws_call_release(kinesis->given[i]->call);
        kinesis->free[kinesis->free_count++] = kinesis->given[i];
    }
    kinesis->given_count = 0;
}

void kinesis_drop_held(struct kinesis *kinesis, const struct slot *slot) {
    size_t kept = kinesis->held_tail;
    if (kinesis->held[kept % CALLS_MAX] == slot) {
        kinesis->is_open = false;
    }
    for (size_t at = kinesis->held_tail; at != kinesis->held_head; at++) {
        if (kinesis->held[at % CALLS_MAX] != slot) {
            kinesis->held[kept++ % CALLS_MAX] = kinesis->held[at % CALLS_MAX];
        }
    }
    kinesis->held_head = kept;
}
