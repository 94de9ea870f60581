/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka input: each worker is one consumer, a member of the group, which spreads partitions
 * over workers and hosts. This file moves messages; kafka_group.c handles partitions and positions,
 * kafka_conf.c the settings. Messages are librdkafka's and are borrowed until the next read.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"
#include "core/input.h"
#include "input/inputs.h"
#include "input/kafka_group.h"

enum {
    COMMIT_WAIT_MS = 2000, /* for the answer to a final commit */
    PAUSE_AFTER_MS = 1000, /* pausing throws fetched messages away: not for a short stall */
    CHECK_WAIT_MS = 10000,
    BATCH_MAX = 1024, /* messages handed out at once, and held besides: envelopes are large */
    WAKE_MIN = 4096,  /* messages; a shorter full queue holds large ones, and lasts */
    QUEUE_BACKOFF_VERSION = 0x020200ff, /* from here on fetch.queue.backoff.ms is known */
};

static const char *remedy(rd_kafka_resp_err_t code) {
    switch (code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        return "; look at `topics`, it is tried again";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return "; the user needs READ and DESCRIBE on the topic";
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        return "; the user needs READ on the group";
    default:
        return NULL;
    }
}

static void error_cb(rd_kafka_t *rk, int code, const char *reason, void *opaque) {
    struct kafka *kafka = opaque;
    kafka_trouble_error(&kafka->trouble, rk, code, reason);
}

static int say_trouble(struct kafka *kafka, struct err *err) {
    return kafka_trouble_say(&kafka->trouble, err) ? -1 : INPUT_IDLE;
}

static int new_consumer(const struct kafka_conf *conf, struct kafka *kafka, rd_kafka_t **rk,
                        struct err *err) {
    char text[512];
    rd_kafka_conf_t *made;
    if (kafka_conf_make(conf, &made, err) != 0) {
        return -1;
    }
    if (kafka) {
        rd_kafka_conf_set_opaque(made, kafka);
        rd_kafka_conf_set_error_cb(made, error_cb);
        rd_kafka_conf_set_rebalance_cb(made, kafka_group_rebalance);
    }
    *rk = rd_kafka_new(RD_KAFKA_CONSUMER, made, text, sizeof(text));
    if (!*rk) {
        rd_kafka_conf_destroy(made);
        return err_set(err, ERR_CONFIG, "%s", text);
    }
    return 0;
}

static int report_topics(rd_kafka_t *rk, const struct kafka_conf *conf, struct buf *report,
                         struct err *err) {
    const struct rd_kafka_metadata *all;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 1, NULL, &all, CHECK_WAIT_MS);
    if (code) {
        return err_set(err, ERR_RETRY, "kafka: no answer from the brokers: %s",
                       rd_kafka_err2str(code));
    }
    buf_printf(report, "kafka: %d brokers, %d topics\n", all->broker_cnt, all->topic_cnt);
    int result = 0;
    for (size_t i = 0; i < conf->topics.count; i++) {
        const char *wanted = conf->topics.items[i];
        bool found = wanted[0] == '^';
        for (int j = 0; j < all->topic_cnt && !found; j++) {
            found = strcmp(all->topics[j].topic, wanted) == 0 && all->topics[j].partition_cnt > 0;
        }
        if (!found) {
            result =
                err_set(err, ERR_CONFIG, "kafka: there is no topic %s that we may see", wanted);
        }
    }
    rd_kafka_metadata_destroy(all);
    return result;
}

static int kafka_check(const void *conf_, bool online, struct buf *report, struct err *err) {
    const struct kafka_conf *conf = conf_;
    rd_kafka_t *rk;
    if (!online) {
        rd_kafka_conf_t *made;
        if (kafka_conf_make(conf, &made, err) != 0) {
            return -1;
        }
        rd_kafka_conf_destroy(made);
        buf_printf(report, "kafka: group %s, %zu topics\n", conf->group, conf->topics.count);
        return 0;
    }
    if (new_consumer(conf, NULL, &rk, err) != 0) {
        return -1;
    }
    int result = report_topics(rk, conf, report, err);
    rd_kafka_destroy(rk);
    return result;
}

static rd_kafka_resp_err_t subscribe(struct kafka *kafka) {
    rd_kafka_topic_partition_list_t *topics = rd_kafka_topic_partition_list_new(4);
    for (size_t i = 0; i < kafka->conf->topics.count; i++) {
        rd_kafka_topic_partition_list_add(topics, kafka->conf->topics.items[i],
                                          RD_KAFKA_PARTITION_UA);
    }
    rd_kafka_resp_err_t code = rd_kafka_subscribe(kafka->rk, topics);
    rd_kafka_topic_partition_list_destroy(topics);
    return code;
}

static void set_up(struct kafka *kafka) {
    static const uint64_t one = 1;
    rd_kafka_poll_set_consumer(kafka->rk);
    kafka->queue = rd_kafka_queue_get_consumer(kafka->rk);
    kafka->replies = rd_kafka_queue_new(kafka->rk);
    kafka->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    rd_kafka_queue_io_event_enable(kafka->queue, kafka->event_fd, &one, sizeof(one));
    kafka_offsets_init(&kafka->offsets);
    kafka->committed_ms = clock_monotonic_ms();
}

static void kafka_close(void *handle);

static int kafka_open(void *conf, const struct input_place *place, void **handle, struct err *err) {
    struct kafka *kafka = xcalloc(1, sizeof(*kafka));
    kafka->conf = conf;
    kafka->trouble.remedy = remedy;
    kafka->worker = place->worker;
    kafka->workers = place->workers;
    kafka->look_only = place->look_only;
    if (new_consumer(kafka->conf, kafka, &kafka->rk, err) != 0) {
        free(kafka);
        return -1;
    }
    set_up(kafka);
    if (place->look_only) {
        kafka_group_look(kafka);
    } else {
        rd_kafka_resp_err_t code = subscribe(kafka);
        if (code) {
            err_set(err, ERR_CONFIG, "topics: %s", rd_kafka_err2str(code));
            kafka_close(kafka);
            return -1;
        }
    }
    *handle = kafka;
    return 0;
}

static void release_messages(struct kafka *kafka) {
    for (size_t i = 0; i < kafka->message_count; i++) {
        rd_kafka_message_destroy(kafka->messages[i]);
    }
    kafka->message_count = 0;
}

/* Behind what is held; callbacks are served on the way, which touch neither what is held nor what
   is handed out. Never waits. */
static void fetch(struct kafka *kafka, size_t room) {
    if (kafka->held_count < room) {
        ssize_t count = rd_kafka_consume_batch_queue(
            kafka->queue, 0, kafka->held + kafka->held_count, room - kafka->held_count);
        kafka->held_count += count > 0 ? (size_t)count : 0;
    }
}

/*
 * Before librdkafka 2.2 a broker's thread that found the queue full looks again after up to a
 * second, however fast we empty it, unless something wakes it. A question to the broker does; its
 * answer is not waited for. Asked when the queue has shrunk to half of its longest.
 */
static void wake_fetcher(struct kafka *kafka) {
    size_t waiting = rd_kafka_queue_length(kafka->queue);
    kafka->queue_peak = waiting > kafka->queue_peak ? waiting : kafka->queue_peak;
    if (rd_kafka_version() >= QUEUE_BACKOFF_VERSION || kafka->queue_peak < WAKE_MIN ||
        waiting > kafka->queue_peak / 2) {
        return;
    }
    kafka->queue_peak = waiting;
    rd_kafka_topic_partition_list_t *parts = NULL;
    if (rd_kafka_assignment(kafka->rk, &parts) == RD_KAFKA_RESP_ERR_NO_ERROR) {
        for (int i = 0; i < parts->cnt; i++) {
            parts->elems[i].offset = RD_KAFKA_OFFSET_END;
        }
        rd_kafka_offsets_for_times(kafka->rk, parts, 0);
        rd_kafka_topic_partition_list_destroy(parts);
    }
}

/* There is no room: the group must still see us poll. Positions of paused partitions stay. */
static void stall(struct kafka *kafka) {
    int64_t now_ms = clock_monotonic_ms();
    if (kafka->stalled_ms == 0) {
        kafka->stalled_ms = now_ms;
    }
    if (now_ms - kafka->stalled_ms < PAUSE_AFTER_MS) {
        return;
    }
    if (!kafka->is_paused) {
        kafka_group_pause(kafka, true);
    }
    fetch(kafka, BATCH_MAX);
}

/* Offsets below the broker's first one are gone; other gaps are transactions and compaction. */
static void say_gap(struct kafka *kafka, const struct kafka_part *part, int64_t gap) {
    int64_t low = 0, high = 0, first = part->next - 1 - gap;
    rd_kafka_get_watermark_offsets(kafka->rk, part->topic, part->partition, &low, &high);
    if (low > first) {
        log_warning("kafka: %s [%d]: offsets %lld to %lld are no longer on the broker and are "
                    "skipped",
                    part->topic, (int)part->partition, (long long)first,
                    (long long)(low < part->next - 1 ? low - 1 : part->next - 2));
    }
}

/* Partitions come in runs, so the one before is mostly the one again. */
static int find_part(struct kafka *kafka, const rd_kafka_message_t *message,
                     const rd_kafka_message_t *before, int known) {
    if (before && before->rkt == message->rkt && before->partition == message->partition) {
        return known;
    }
    return kafka_offsets_find(&kafka->offsets, rd_kafka_topic_name(message->rkt),
                              message->partition);
}

static void fill_record(struct record *record, const struct kafka_part *part,
                        const rd_kafka_message_t *message, int64_t now_ms) {
    *record = (struct record){
        .data = span_of(message->payload, message->len),
        .arrival_ms = now_ms,
        .origin = {.input = SPAN("kafka"),
                   .stream = span_str(part->topic),
                   .shard = span_str(part->shard),
                   .number = message->offset},
    };
}

/* Turns held messages into records. A message that is an error, or of a partition that is no longer
   ours, is dropped; one without a value is an empty record. */
static size_t hand_out(struct kafka *kafka, size_t room) {
    const rd_kafka_message_t *before = NULL;
    int64_t now_ms = clock_wall_ms();
    size_t count = 0, taken = 0;
    int part = -1;
    for (; taken < kafka->held_count && count < room; taken++) {
        rd_kafka_message_t *message = kafka->held[taken];
        if (message->err) {
            kafka->message_errors++;
            kafka_trouble_note(&kafka->trouble, message->err, rd_kafka_message_errstr(message));
            rd_kafka_message_destroy(message);
            continue;
        }
        int at = find_part(kafka, message, before, part);
        if (at < 0) {
            rd_kafka_message_destroy(message);
            continue;
        }
        part = at;
        int64_t gap = kafka_offsets_hand_out(&kafka->offsets, kafka->number + 1, (size_t)part,
                                             message->offset);
        if (gap > 0) {
            say_gap(kafka, kafka->offsets.parts[part], gap);
        }
        fill_record(&kafka->records[count], kafka->offsets.parts[part], message, now_ms);
        kafka->messages[count++] = message;
        before = message;
    }
    kafka->held_count -= taken;
    memmove(kafka->held, kafka->held + taken, kafka->held_count * sizeof(kafka->held[0]));
    return count;
}

static int tell_drain(struct kafka *kafka) {
    kafka->told_drain = true;
    return INPUT_DRAIN;
}

static int read_on(struct kafka *kafka, size_t room, struct batch *batch, struct err *err) {
    release_messages(kafka);
    kafka->stalled_ms = 0;
    if (kafka->is_paused) {
        kafka_group_pause(kafka, false);
    }
    fetch(kafka, room);
    if (kafka->leaving) {
        return tell_drain(kafka);
    }
    wake_fetcher(kafka);
    if (kafka->trouble.is_new) {
        return say_trouble(kafka, err); /* what was fetched is handed out by the next read */
    }
    size_t count = hand_out(kafka, room);
    if (count == 0) {
        return say_trouble(kafka, err);
    }
    if (kafka_trouble_pass(&kafka->trouble)) {
        log_info("kafka: records arrive again");
    }
    kafka->message_count = count;
    *batch = (struct batch){.number = ++kafka->number, .count = count, .records = kafka->records};
    return INPUT_BATCH;
}

static void note_code(struct kafka *kafka, const char *what, rd_kafka_resp_err_t code) {
    char text[512];
    if (code) {
        snprintf(text, sizeof(text), "%s: %s", what, rd_kafka_err2str(code));
        kafka_trouble_note(&kafka->trouble, code, text);
    }
}

/* What does not succeed is noted and tried again by the next read: we must poll in any case, or the
   group throws us out. */
static void serve_group(struct kafka *kafka) {
    if (kafka->told_drain) {
        kafka_group_leave(kafka);
    }
    note_code(kafka, KAFKA_NOT_STORED, kafka_group_answers(kafka));
    note_code(kafka, "cannot go back to what is delivered yet", kafka_group_go_back(kafka));
    note_code(kafka, "where to begin in the partitions is not known yet", kafka_group_join(kafka));
}

static int kafka_read(void *handle, size_t room, struct batch *batch, struct err *err) {
    struct kafka *kafka = handle;
    uint64_t events;
    ssize_t ignored = read(kafka->event_fd, &events, sizeof(events));
    (void)ignored;
    serve_group(kafka);
    bool can_read = !kafka->must_go_back && kafka_offsets_have_room(&kafka->offsets, BATCH_MAX);
    if (room > 0 && can_read) {
        return read_on(kafka, room < BATCH_MAX ? room : BATCH_MAX, batch, err);
    }
    stall(kafka);
    return kafka->leaving ? tell_drain(kafka) : say_trouble(kafka, err);
}

static int kafka_poll_fd(void *handle) {
    const struct kafka *kafka = handle;
    return kafka->event_fd;
}

static int kafka_commit(void *handle, uint64_t number, bool final, struct err *err) {
    struct kafka *kafka = handle;
    int64_t now_ms = clock_monotonic_ms();
    kafka_offsets_deliver(&kafka->offsets, number);
    if (kafka->look_only || kafka->is_lost ||
        (!final && now_ms - kafka->committed_ms < kafka->conf->commit_interval_ms)) {
        return 0;
    }
    kafka->committed_ms = now_ms;
    return kafka_group_commit(kafka, final ? COMMIT_WAIT_MS : 0, err);
}

static void kafka_describe(void *handle, struct buf *out) {
    const struct kafka *kafka = handle;
    for (size_t i = 0; i < kafka->offsets.part_count; i++) {
        const struct kafka_part *part = kafka->offsets.parts[i];
        int64_t low = 0, high = -1;
        if (!part->topic) {
            continue;
        }
        buf_printf(out, "%s [%s]: read up to %lld, delivered up to %lld", part->topic, part->shard,
                   (long long)part->next, (long long)part->settled);
        rd_kafka_get_watermark_offsets(kafka->rk, part->topic, part->partition, &low, &high);
        if (high >= 0 && part->settled >= 0) {
            buf_printf(out, ", %lld behind", (long long)(high - part->settled));
        }
        buf_char(out, '\n');
    }
    if (kafka->message_errors > 0) {
        buf_printf(out, "%llu errors instead of messages\n",
                   (unsigned long long)kafka->message_errors);
    }
}

static void kafka_close(void *handle) {
    struct kafka *kafka = handle;
    kafka->is_closing = true;
    release_messages(kafka);
    kafka_group_drop_held(kafka);
    rd_kafka_queue_io_event_enable(kafka->queue, -1, NULL, 0);
    kafka_group_close(kafka);
    rd_kafka_queue_destroy(kafka->replies);
    rd_kafka_queue_destroy(kafka->queue);
    rd_kafka_consumer_close(kafka->rk);
    kafka_group_drop(kafka);
    rd_kafka_destroy(kafka->rk);
    close(kafka->event_fd);
    kafka_offsets_done(&kafka->offsets);
    free(kafka);
}

const struct input_type input_kafka_type = {
    .name = "kafka",
    .help = "Reads flow logs from Kafka topics as a member of a consumer group.",
    .options = kafka_options,
    .conf_size = sizeof(struct kafka_conf),
    .init = kafka_conf_init,
    .check = kafka_check,
    .open = kafka_open,
    .read = kafka_read,
    .poll_fd = kafka_poll_fd,
    .commit = kafka_commit,
    .describe = kafka_describe,
    .close = kafka_close,
};
