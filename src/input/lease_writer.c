/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See lease_writer.h. A slot is one call in flight. A write that is refused is followed by reading
 * the row again in the same slot, because the row says whether the lease is lost or an earlier try
 * had worked. Writes are not repeated here: the rules give them out again.
 */
#include "input/lease_writer.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

enum {
    SLOTS = 24,
    REPLY_MAX = 1 << 20, /* an item has at most 400 KB */
    CALL_MIN_MS = 250,
    CALL_MAX_MS = 5000,
    IDLE_MS = 1000,
};

struct slot {
    struct aws_call *call;
    bool is_used, reads_again;
    struct lease_write write;
    struct buf body;
    char access_id[AWS_ACCESS_ID_MAX]; /* of the keys it was signed with */
};

struct lease_writer {
    struct lease_writer_conf conf;
    struct lease_table table; /* without a client: for bodies and texts */
    struct http *http;
    struct slot slots[SLOTS];
    int event_fd;
    pthread_t thread;
    atomic_bool is_leaving;
    int64_t leave_ms; /* until when; set before is_leaving */
    struct log_limit limit, lost_limit;
    struct aws_keys keys;
};

void lease_writer_report(const struct lease_writer_conf *conf) {
    char key[KINESIS_ID_SIZE];
    for (;;) {
        pthread_mutex_lock(conf->lock);
        bool found = leases_next_lost(conf->leases, key);
        pthread_mutex_unlock(conf->lock);
        if (!found) {
            return;
        }
        conf->lost(conf->context, key);
    }
}

static void say(struct lease_writer *writer, const char *text) {
    uint64_t suppressed;
    if (log_limit_allows(&writer->limit, clock_monotonic_ms(), &suppressed)) {
        log_warning("%s; it is tried again (%llu such lines left out)", text,
                    (unsigned long long)suppressed);
    }
}

/* ---- calls ---- */

/* Two tries fit into what is left of a lease after the first renewal was missed. */
static int64_t call_ms(const struct lease_writer *writer) {
    int64_t ms = writer->conf.leases->failover_ms / 4;
    return ms < CALL_MIN_MS ? CALL_MIN_MS : ms > CALL_MAX_MS ? CALL_MAX_MS : ms;
}

static int start_call(struct lease_writer *writer, struct slot *slot, struct err *err) {
    const char *operation = "GetItem";
    struct aws_keys *keys = writer->conf.credentials ? &writer->keys : NULL;
    buf_clear(&slot->body);
    if (slot->reads_again) {
        lease_table_format_get(&writer->table, slot->write.row.key, &slot->body);
    } else {
        operation = lease_table_format(&writer->table, &slot->write, clock_wall_ms(), &slot->body);
    }
    if (slot->body.overflow) {
        return err_set(err, ERR_CONFIG, "lease table %s: a name is too long", writer->table.name);
    }
    if (keys && aws_credentials_get(writer->conf.credentials, keys, err) != 0) {
        return -1;
    }
    memcpy(slot->access_id, writer->keys.access_id, sizeof(slot->access_id));
    int result =
        aws_call_start(slot->call, keys, operation, buf_span(&slot->body), call_ms(writer), err);
    aws_keys_wipe(&writer->keys);
    return result;
}

static void finish(struct lease_writer *writer, struct slot *slot, enum lease_outcome outcome,
                   const struct lease_row *current) {
    aws_call_release(slot->call);
    slot->is_used = slot->reads_again = false;
    pthread_mutex_lock(writer->conf.lock);
    leases_written(writer->conf.leases, &slot->write, outcome, current, clock_monotonic_ms());
    pthread_cond_broadcast(writer->conf.progress);
    pthread_mutex_unlock(writer->conf.lock);
}

static void begin(struct lease_writer *writer, struct slot *slot) {
    struct err err;
    slot->is_used = true;
    if (start_call(writer, slot, &err) != 0) {
        say(writer, err.text);
        finish(writer, slot, LEASE_UNKNOWN, NULL);
    }
}

static void take_failure(struct lease_writer *writer, struct slot *slot,
                         const struct aws_reply *reply) {
    struct err err;
    const char *operation = slot->reads_again ? "GetItem" : "UpdateItem";
    lease_table_error(&writer->table, operation, reply, &err);
    if (reply->class == AWS_KEYS && writer->conf.credentials) {
        aws_credentials_distrust(writer->conf.credentials, slot->access_id);
    }
    say(writer, err.text);
    finish(writer, slot, LEASE_UNKNOWN, NULL);
}

static void take_row(struct lease_writer *writer, struct slot *slot,
                     const struct aws_reply *reply) {
    struct lease_row row;
    struct err err;
    int result = lease_table_parse_get(reply->body, reply->len, &row, &err);
    if (result < 0) {
        say(writer, err.text);
        finish(writer, slot, LEASE_UNKNOWN, NULL);
    } else {
        finish(writer, slot, LEASE_REFUSED, result > 0 ? &row : NULL);
    }
}

static void take_reply(struct lease_writer *writer, struct slot *slot) {
    const struct aws_reply *reply = aws_call_reply(slot->call);
    enum lease_outcome outcome = lease_table_outcome(reply);
    if (outcome == LEASE_REFUSED) {
        slot->reads_again = true;
        begin(writer, slot);
    } else if (outcome == LEASE_UNKNOWN) {
        take_failure(writer, slot, reply);
    } else if (slot->reads_again) {
        take_row(writer, slot, reply);
    } else {
        finish(writer, slot, LEASE_DONE, NULL);
    }
}

/* ---- the thread ---- */

/* What was lost before, somebody else has; what is lost now, we could not renew. */
static void expire(struct lease_writer *writer) {
    const struct lease_writer_conf *conf = &writer->conf;
    char key[KINESIS_ID_SIZE];
    lease_writer_report(conf);
    pthread_mutex_lock(conf->lock);
    leases_expire(conf->leases, clock_monotonic_ms());
    bool found = leases_next_lost(conf->leases, key);
    pthread_mutex_unlock(conf->lock);
    if (!found) {
        return;
    }
    uint64_t suppressed;
    if (log_limit_allows(&writer->lost_limit, clock_monotonic_ms(), &suppressed)) {
        log_warning("lease table %s: the lease of %s (and perhaps of more) could not be renewed "
                    "for %lld ms, so that another process may have it: reading it stops",
                    conf->table, key, (long long)conf->leases->failover_ms);
    }
    conf->lost(conf->context, key);
    lease_writer_report(conf);
}

static bool give_out(struct lease_writer *writer, struct slot *slot) {
    const struct lease_writer_conf *conf = &writer->conf;
    pthread_mutex_lock(conf->lock);
    bool is_due = leases_next_write(conf->leases, clock_monotonic_ms(), &slot->write);
    pthread_mutex_unlock(conf->lock);
    if (is_due) {
        begin(writer, slot);
    }
    return is_due;
}

static void give_out_all(struct lease_writer *writer) {
    bool is_due = true;
    for (int i = 0; i < SLOTS && is_due; i++) {
        is_due = writer->slots[i].is_used || give_out(writer, &writer->slots[i]);
    }
}

static bool has_free_slot(const struct lease_writer *writer) {
    for (int i = 0; i < SLOTS; i++) {
        if (!writer->slots[i].is_used) {
            return true;
        }
    }
    return false;
}

/* With all slots in use nothing but a reply brings anything new. */
static int pause_ms(struct lease_writer *writer) {
    int64_t now_ms = clock_monotonic_ms();
    pthread_mutex_lock(writer->conf.lock);
    int64_t due_ms = leases_next_due_ms(writer->conf.leases);
    pthread_mutex_unlock(writer->conf.lock);
    int64_t wait_ms = due_ms > now_ms + IDLE_MS ? IDLE_MS : due_ms > now_ms ? due_ms - now_ms : 0;
    return has_free_slot(writer) || wait_ms > 0 ? (int)wait_ms : CALL_MIN_MS;
}

static void wait_for_news(struct lease_writer *writer) {
    struct pollfd fds[2] = {{.fd = http_fd(writer->http), .events = POLLIN},
                            {.fd = writer->event_fd, .events = POLLIN}};
    uint64_t count;
    poll(fds, 2, pause_ms(writer));
    if (fds[1].revents && read(writer->event_fd, &count, sizeof(count)) < 0) {
        return; /* somebody woke us, that is all it says */
    }
    http_turn(writer->http);
}

/* Whether all is given up, or the time for it is over. */
static bool has_left(struct lease_writer *writer) {
    if (!atomic_load(&writer->is_leaving)) {
        return false;
    }
    pthread_mutex_lock(writer->conf.lock);
    bool all = leases_leave(writer->conf.leases);
    pthread_mutex_unlock(writer->conf.lock);
    if (!all && clock_monotonic_ms() >= writer->leave_ms) {
        log_warning("lease table %s: not all leases could be given up in time; others take them "
                    "after %lld ms",
                    writer->conf.table, (long long)writer->conf.leases->failover_ms);
        return true;
    }
    return all;
}

/* Replies that came while the process slept are heard first: they may be refusals. */
static void hear_replies(struct lease_writer *writer) {
    for (int i = 0; i < SLOTS; i++) {
        if (writer->slots[i].is_used && aws_call_state(writer->slots[i].call) == HTTP_DONE) {
            take_reply(writer, &writer->slots[i]);
        }
    }
}

static void *writer_main(void *argument) {
    struct lease_writer *writer = argument;
    for (;;) {
        hear_replies(writer);
        expire(writer);
        if (has_left(writer)) {
            return NULL;
        }
        give_out_all(writer);
        wait_for_news(writer);
    }
}

static void free_writer(struct lease_writer *writer) {
    for (int i = 0; i < SLOTS; i++) {
        aws_call_close(writer->slots[i].call);
        buf_done(&writer->slots[i].body);
    }
    http_close(writer->http);
    if (writer->event_fd >= 0) {
        close(writer->event_fd);
    }
    free(writer);
}

int lease_writer_start(const struct lease_writer_conf *conf, struct lease_writer **out,
                       struct err *err) {
    struct lease_writer *writer = xcalloc(1, sizeof(*writer));
    writer->conf = *conf;
    writer->table = (struct lease_table){.name = conf->table, .owner = conf->owner};
    writer->limit = (struct log_limit){.burst = 3, .every_ms = 60000};
    writer->lost_limit = (struct log_limit){.burst = 1, .every_ms = 10000};
    writer->http = http_open(&(struct http_conf){.proxy = conf->proxy, .ca_file = conf->ca_file});
    for (int i = 0; i < SLOTS; i++) {
        writer->slots[i].call = aws_call_open(writer->http, conf->target, REPLY_MAX);
        buf_init(&writer->slots[i].body, LEASE_TABLE_BODY_MAX);
    }
    writer->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    int result =
        writer->event_fd < 0 ? -1 : pthread_create(&writer->thread, NULL, writer_main, writer);
    if (result != 0) {
        free_writer(writer);
        return err_set(err, ERR_STOP, "lease table %s: no thread for renewing leases", conf->table);
    }
    *out = writer;
    return 0;
}

void lease_writer_wake(struct lease_writer *writer) {
    const uint64_t one = 1;
    if (write(writer->event_fd, &one, sizeof(one)) < 0) {
        return; /* it is full: the thread will wake */
    }
}

void lease_writer_stop(struct lease_writer *writer, int64_t wait_ms) {
    writer->leave_ms = clock_monotonic_ms() + wait_ms;
    atomic_store(&writer->is_leaving, true);
    lease_writer_wake(writer);
    pthread_join(writer->thread, NULL);
    free_writer(writer);
}
