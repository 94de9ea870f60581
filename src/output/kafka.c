/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GELF to a Kafka topic, a message each. Delivered means that all in-sync replicas have it. A
 * worker's handle is one idempotent producer of librdkafka, which borrows messages from the ring
 * and tries for ever; what it is handed stands in `tickets`, in the order of the parcels, until it
 * reports each. kafka_frame.c says what stands in a parcel, kafka_out_conf.c has the settings.
 *
 * A producer that librdkafka gives up (a fatal error) is replaced, and so is one whose batches are
 * too large for the topic; only what was not acknowledged is then sent again. All callbacks are
 * served by our own polls, so nothing here is shared between threads. Nothing waits but the end of
 * a producer, for librdkafka's threads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/xalloc.h"
#include "core/backoff.h"
#include "output/common.h"
#include "output/kafka_frame.h"
#include "output/kafka_out_conf.h"
#include "output/outputs.h"

enum {
    TICKET_EVERY_BYTES = 256, /* of ring there is a ticket: few messages are shorter */
    OVERHEAD_MAX = 128,       /* bytes of a message in Kafka's format besides key and value */
    STALL_MS = 30000,
    CHECK_WAIT_MS = 10000,
};

enum ticket_state { TICKET_SENT, TICKET_FAILED, TICKET_DONE };

struct ticket {
    enum ticket_state state;
    struct span frame;  /* and all behind it in its parcel */
    uint64_t completes; /* the parcel whose last message this is, else 0 */
};

struct kafka_output {
    const struct kafka_out_conf *conf;
    struct parcels parcels;
    struct dead_letter *dead;
    struct kafka_out_room room;
    size_t batch_bytes, message_bytes_max; /* of the present producer */

    rd_kafka_t *rk; /* NULL: to be opened at retry_ms */
    rd_kafka_topic_t *topic;
    rd_kafka_queue_t *queue; /* reports and callbacks */
    int event_fd;

    struct ticket *tickets; /* message number n stands at n % room.messages */
    uint64_t first, next;   /* oldest number not done, next number to give */
    size_t sent, failed;    /* tickets of these states */
    uint64_t reading;       /* the next message is in this parcel, */
    size_t offset;          /* here */

    bool full;      /* librdkafka takes no more before it reports something */
    bool shrinking; /* batches must become smaller: nothing more is sent before all is reported */
    struct backoff backoff;
    int64_t retry_ms;
    int64_t answered_ms;         /* when something was last acknowledged, or nothing was to be */
    bool has_stored, has_failed; /* something since the last look */
    struct kafka_trouble trouble;
};

static const char *remedy(rd_kafka_resp_err_t code) {
    switch (code) {
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
        return "; look at `topic` or create it, it is tried again";
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return "; the user needs WRITE and DESCRIBE on the topic, it is tried again";
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return "; the user needs IDEMPOTENT_WRITE on the cluster, it is tried again";
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
        return "; look at the topic's max.message.bytes";
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        return "; the broker does not take such messages: look at the topic's settings (compacted "
               "topics need keys), it is tried again";
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
        return "; look whether the topic's partitions have leaders, and enough replicas in sync "
               "for its min.insync.replicas";
    default:
        return NULL;
    }
}

static void note_trouble(struct kafka_output *out, rd_kafka_resp_err_t code, const char *what) {
    char text[600];
    snprintf(text, sizeof text, "topic %s: %s", out->conf->topic, what);
    kafka_trouble_note(&out->trouble, code, text);
}

/* Fatal errors are looked for by turn. */
static void error_cb(rd_kafka_t *rk, int code, const char *reason, void *opaque) {
    struct kafka_output *out = opaque;
    if (code != RD_KAFKA_RESP_ERR__FATAL) {
        kafka_trouble_error(&out->trouble, rk, code, reason);
    }
}

/* Nobody takes this message. */
static void bury(struct kafka_output *out, struct ticket *ticket, const struct kafka_frame *frame) {
    dead_letter_add(out->dead, BAD_MESSAGE_TOO_LARGE, NULL, 0, frame->message);
    out->parcels.counts.dropped_messages++;
    ticket->state = TICKET_DONE;
}

static void fail(struct kafka_output *out, struct ticket *ticket) {
    ticket->state = TICKET_FAILED;
    out->failed++;
}

/*
 * The topic does not take so large a batch. Larger than a batch is a message that was in one alone.
 * Any other may be innocent: it is tried again in smaller batches, until it is alone in its own.
 */
static void take_too_large(struct kafka_output *out, struct ticket *ticket) {
    struct kafka_frame frame;
    char text[128];
    kafka_frame_read(ticket->frame, (enum kafka_key)out->conf->key, &frame);
    if (frame.message.len > out->batch_bytes) {
        snprintf(text, sizeof text, "a message of %zu bytes is too large for it",
                 frame.message.len);
        bury(out, ticket, &frame);
    } else {
        snprintf(text, sizeof text, "batches of %zu bytes are too large for it, trying %zu",
                 out->batch_bytes, out->batch_bytes / 2);
        out->shrinking = true;
        fail(out, ticket);
    }
    note_trouble(out, RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, text);
}

static void report_cb(rd_kafka_t *rk, const rd_kafka_message_t *message, void *opaque) {
    struct kafka_output *out = opaque;
    struct ticket *ticket = message->_private;
    (void)rk;
    out->sent--;
    out->full = false;
    if (message->err == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        take_too_large(out, ticket);
    } else if (message->err) {
        fail(out, ticket);
        out->has_failed = true;
        note_trouble(out, message->err, rd_kafka_err2str(message->err));
    } else {
        ticket->state = TICKET_DONE;
        out->has_stored = true;
    }
}

/* Opens a producer; ERR_CONFIG: with these settings there is none. */
static int open_producer(struct kafka_output *out, struct err *err) {
    static const uint64_t one = 1;
    rd_kafka_conf_t *made;
    char text[512];
    if (kafka_out_conf_make(out->conf, &out->room, &made, err) != 0) {
        return -1;
    }
    rd_kafka_conf_set_opaque(made, out);
    rd_kafka_conf_set_error_cb(made, error_cb);
    rd_kafka_conf_set_dr_msg_cb(made, report_cb);
    out->batch_bytes = kafka_out_conf_number(made, "batch.size");
    out->message_bytes_max = kafka_out_conf_number(made, "message.max.bytes");
    out->rk = rd_kafka_new(RD_KAFKA_PRODUCER, made, text, sizeof text);
    if (!out->rk) {
        rd_kafka_conf_destroy(made);
        return err_set(err, ERR_CONFIG, "%s", text);
    }
    out->topic = rd_kafka_topic_new(out->rk, out->conf->topic, NULL);
    if (!out->topic) {
        err_set(err, ERR_CONFIG, "topic %s: %s", out->conf->topic,
                rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_destroy(out->rk);
        out->rk = NULL;
        return -1;
    }
    out->queue = rd_kafka_queue_get_main(out->rk);
    rd_kafka_queue_io_event_enable(out->queue, out->event_fd, &one, sizeof one);
    out->parcels.counts.connects++;
    return 0;
}

/* After this librdkafka no longer reads the ring. What it had not reported is as if it had failed. */
static void close_producer(struct kafka_output *out) {
    if (!out->rk) {
        return;
    }
    rd_kafka_queue_io_event_enable(out->queue, -1, NULL, 0);
    rd_kafka_queue_destroy(out->queue);
    rd_kafka_topic_destroy(out->topic);
    rd_kafka_destroy(out->rk);
    out->rk = NULL;
    for (uint64_t n = out->first; n < out->next; n++) {
        struct ticket *ticket = &out->tickets[n % out->room.messages];
        if (ticket->state == TICKET_SENT) {
            fail(out, ticket);
        }
    }
    out->sent = 0;
    out->full = out->shrinking = false;
}

static void kafka_close(void *handle) {
    struct kafka_output *out = handle;
    close_producer(out);
    if (out->event_fd >= 0) {
        close(out->event_fd);
    }
    parcels_done(&out->parcels);
    free(out->tickets);
    free(out);
}

static int kafka_open(void *conf, const struct output_place *place, void **handle,
                      struct err *err) {
    struct kafka_output *out = xcalloc(1, sizeof *out);
    out->conf = conf;
    out->dead = place->dead;
    out->room.messages = place->ring_bytes / TICKET_EVERY_BYTES;
    out->room.bytes = place->ring_bytes;
    out->tickets = xcalloc(out->room.messages, sizeof *out->tickets);
    out->reading = 1;
    out->trouble.remedy = remedy;
    parcels_init(&out->parcels, place->ring_bytes);
    out->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (out->event_fd < 0) {
        err_sys(err, ERR_STOP, "eventfd");
        kafka_close(out);
        return -1;
    }
    if (open_producer(out, err) != 0) {
        kafka_close(out);
        return -1;
    }
    *handle = out;
    return 0;
}

/* As librdkafka looks at it, so that it does not refuse a message where its flow is forgotten. */
static bool kafka_takes(void *handle, struct span message) {
    const struct kafka_output *out = handle;
    return message.len + OVERHEAD_MAX <= out->message_bytes_max;
}

static void kafka_send(void *handle, const struct parcel *parcel) {
    struct kafka_output *out = handle;
    parcels_add(&out->parcels, parcel);
}

/* Hands a message to librdkafka, which reports the ticket back. False: not now. */
static bool produce(struct kafka_output *out, struct ticket *ticket,
                    const struct kafka_frame *frame) {
    void *key = frame->key.len > 0 ? (void *)frame->key.p : NULL;
    if (rd_kafka_produce(out->topic, RD_KAFKA_PARTITION_UA, 0, (void *)frame->message.p,
                         frame->message.len, key, frame->key.len, ticket) == 0) {
        ticket->state = TICKET_SENT;
        out->sent++;
        return true;
    }
    rd_kafka_resp_err_t code = rd_kafka_last_error();
    if (code == RD_KAFKA_RESP_ERR__QUEUE_FULL) {
        out->full = true;
    } else if (code == RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE) {
        bury(out, ticket, frame);
        return true;
    } else if (code != RD_KAFKA_RESP_ERR__FATAL) {
        out->has_failed = true;
        note_trouble(out, code, rd_kafka_err2str(code));
    }
    return false;
}

/* What failed, oldest first. False: librdkafka takes no more now. */
static bool send_failed(struct kafka_output *out) {
    struct kafka_frame frame;
    for (uint64_t n = out->first; n < out->next && out->failed > 0; n++) {
        struct ticket *ticket = &out->tickets[n % out->room.messages];
        if (ticket->state == TICKET_FAILED) {
            kafka_frame_read(ticket->frame, (enum kafka_key)out->conf->key, &frame);
            if (!produce(out, ticket, &frame)) {
                return false;
            }
            out->failed--;
            out->parcels.counts.resent_messages++;
        }
    }
    return true;
}

static bool has_new(const struct kafka_output *out) {
    return out->reading <= out->parcels.last && out->next - out->first < out->room.messages;
}

static void send_new(struct kafka_output *out) {
    struct kafka_frame frame;
    while (has_new(out)) {
        struct span bytes = parcels_at(&out->parcels, out->reading)->bytes;
        struct ticket *ticket = &out->tickets[out->next % out->room.messages];
        *ticket = (struct ticket){.frame = span_skip(bytes, out->offset)};
        kafka_frame_read(ticket->frame, (enum kafka_key)out->conf->key, &frame);
        bool is_last = out->offset + frame.bytes == bytes.len;
        ticket->completes = is_last ? out->reading : 0;
        if (!produce(out, ticket, &frame)) {
            return;
        }
        out->next++;
        out->offset = is_last ? 0 : out->offset + frame.bytes;
        out->reading += is_last;
    }
}

/* Takes reports in; callbacks are called from here only. */
static void serve(struct kafka_output *out) {
    uint64_t events;
    ssize_t ignored = read(out->event_fd, &events, sizeof events);
    (void)ignored;
    while (out->rk && rd_kafka_poll(out->rk, 0) > 0) {
    }
    while (out->first < out->next) {
        const struct ticket *ticket = &out->tickets[out->first % out->room.messages];
        if (ticket->state != TICKET_DONE) {
            break;
        }
        if (ticket->completes > 0) {
            parcels_deliver(&out->parcels, ticket->completes);
        }
        out->first++;
    }
}

static void retry_later(struct kafka_output *out, int64_t now_ms) {
    uint32_t random = 0;
    ssize_t ignored = getrandom(&random, sizeof random, GRND_NONBLOCK);
    (void)ignored;
    out->retry_ms = now_ms + backoff_next(&out->backoff, random);
}

/* Looks at what reports have brought about. */
static void look(struct kafka_output *out, int64_t now_ms) {
    char text[128];
    if (out->has_failed) {
        retry_later(out, now_ms);
    } else if (out->has_stored) {
        backoff_reset(&out->backoff);
        if (kafka_trouble_pass(&out->trouble)) {
            log_info("kafka: topic %s: messages are stored again", out->conf->topic);
        }
    }
    if (out->has_stored || out->sent == 0) {
        out->answered_ms = now_ms;
    }
    if (now_ms - out->answered_ms >= STALL_MS && !out->trouble.code) {
        snprintf(text, sizeof text, "nothing of %zu messages was acknowledged for %d s", out->sent,
                 STALL_MS / 1000);
        note_trouble(out, RD_KAFKA_RESP_ERR__TIMED_OUT, text);
    }
    out->has_stored = out->has_failed = false;
}

/* Replaces the producer where it must be. -1: there is none. */
static int turn_producer(struct kafka_output *out, int64_t now_ms, struct err *err) {
    char text[512];
    rd_kafka_resp_err_t code = out->rk ? rd_kafka_fatal_error(out->rk, text, sizeof text) : 0;
    if (code) {
        note_trouble(out, code, text);
        close_producer(out);
        out->parcels.counts.connections_lost++;
        retry_later(out, now_ms);
    } else if (out->shrinking && out->sent == 0) {
        out->room.batch_bytes = out->batch_bytes > 1 ? out->batch_bytes / 2 : 1;
        close_producer(out);
    }
    if (out->rk || now_ms < out->retry_ms) {
        return 0;
    }
    if (open_producer(out, err) != 0) {
        err->kind = ERR_RETRY;
        retry_later(out, now_ms);
        return -1;
    }
    return 0;
}

static bool can_send(const struct kafka_output *out, int64_t now_ms) {
    return out->rk && !out->shrinking && !out->full && now_ms >= out->retry_ms;
}

static int kafka_turn(void *handle, int64_t now_ms, struct err *err) {
    struct kafka_output *out = handle;
    serve(out);
    look(out, now_ms);
    int result = turn_producer(out, now_ms, err);
    if (can_send(out, now_ms) && send_failed(out)) {
        send_new(out);
    }
    if (result == 0 && kafka_trouble_say(&out->trouble, err)) {
        result = -1;
    }
    return result;
}

static int kafka_poll_fds(void *handle, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    const struct kafka_output *out = handle;
    bool waits = !out->rk || has_new(out) || out->failed > 0;
    *fds = (struct pollfd){.fd = out->event_fd, .events = POLLIN};
    if (waits && !out->full && !out->shrinking) {
        output_wait_until(out->retry_ms, now_ms, wait_ms);
    }
    return 1;
}

/* What lingers does so for linger.ms, which is short. */
static void kafka_confirm(void *handle, int64_t now_ms) {
    (void)handle;
    (void)now_ms;
}

static uint64_t kafka_delivered(void *handle) {
    const struct kafka_output *out = handle;
    return out->parcels.delivered;
}

static const struct output_counts *kafka_counts(const void *handle) {
    const struct kafka_output *out = handle;
    return &out->parcels.counts;
}

static void kafka_describe(void *handle, int64_t now_ms, struct buf *text) {
    const struct kafka_output *out = handle;
    buf_printf(text, "kafka topic %s: %zu messages not acknowledged", out->conf->topic, out->sent);
    if (out->sent > 0) {
        buf_printf(text, " for %jd ms", (intmax_t)(now_ms - out->answered_ms));
    }
    if (out->failed > 0) {
        buf_printf(text, ", %zu to be sent again", out->failed);
    }
    if (out->parcels.counts.dropped_messages > 0) {
        buf_printf(text, ", %ju were too large for the topic",
                   (uintmax_t)out->parcels.counts.dropped_messages);
    }
    buf_printf(text, ", %ju parcels not stored%s, level stored\n",
               (uintmax_t)(out->parcels.last - out->parcels.delivered),
               out->trouble.code ? ", in trouble" : "");
}

/* All topics are asked for, as asking for one by name may create it. */
static int report_topic(rd_kafka_t *rk, const char *wanted, struct buf *report, struct err *err) {
    const struct rd_kafka_metadata *all;
    rd_kafka_resp_err_t code = rd_kafka_metadata(rk, 1, NULL, &all, CHECK_WAIT_MS);
    if (code) {
        return err_set(err, ERR_RETRY, "kafka: no answer from the brokers: %s%s",
                       rd_kafka_err2str(code), kafka_client_remedy(code));
    }
    int partitions = 0, without_leader = 0;
    for (int i = 0; i < all->topic_cnt; i++) {
        const struct rd_kafka_metadata_topic *topic = &all->topics[i];
        for (int j = 0; j < topic->partition_cnt && strcmp(topic->topic, wanted) == 0; j++) {
            partitions++;
            without_leader += topic->partitions[j].leader < 0;
        }
    }
    buf_printf(report, "kafka: %d brokers, topic %s has %d partitions, %d of them without leader\n",
               all->broker_cnt, wanted, partitions, without_leader);
    rd_kafka_metadata_destroy(all);
    return partitions > 0
               ? 0
               : err_set(err, ERR_CONFIG, "kafka: there is no topic %s that we may see", wanted);
}

/* A producer connects by itself, so without `online` there is none. */
static int kafka_check(const void *conf_, bool online, struct buf *report, struct err *err) {
    const struct kafka_out_conf *conf = conf_;
    const struct kafka_out_room room = {.messages = 1, .bytes = OUTPUT_RING_BYTES};
    rd_kafka_conf_t *made;
    char text[512];
    if (kafka_out_conf_make(conf, &room, &made, err) != 0) {
        return -1;
    }
    if (!online) {
        rd_kafka_conf_destroy(made);
        buf_printf(report, "kafka: topic %s, not tried\n", conf->topic);
        return 0;
    }
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, made, text, sizeof text);
    if (!rk) {
        rd_kafka_conf_destroy(made);
        return err_set(err, ERR_CONFIG, "kafka: %s", text);
    }
    int result = report_topic(rk, conf->topic, report, err);
    rd_kafka_destroy(rk);
    return result;
}

static void kafka_done(void *conf) {
    (void)conf;
}

const struct output_type output_kafka_type = {
    .name = "kafka",
    .help = "Messages to a Kafka topic; delivered when all in-sync replicas have them",
    .options = kafka_out_options,
    .conf_size = sizeof(struct kafka_out_conf),
    .encoder = &kafka_encoder,
    .init = kafka_out_conf_init,
    .done = kafka_done,
    .check = kafka_check,
    .ring_bytes = output_ring_bytes,
    .open = kafka_open,
    .takes = kafka_takes,
    .send = kafka_send,
    .turn = kafka_turn,
    .poll_fds = kafka_poll_fds,
    .confirm = kafka_confirm,
    .delivered = kafka_delivered,
    .counts = kafka_counts,
    .describe = kafka_describe,
    .close = kafka_close,
};
