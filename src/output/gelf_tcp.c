/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GELF over TCP: messages ended by NUL bytes, a parcel per write, and delivery that is proved by
 * the receiver's reading (output/confirm). A handle has one current connection, which takes new
 * parcels, and up to CLOSING_MAX predecessors that were half-closed and wait for the receiver's
 * FIN; while there are as many, the current one is not half-closed.
 *
 * Everything that a lost connection had not delivered waits to be sent again, oldest number first,
 * over whatever connection is current then. Nothing here waits, and nothing allocates after open
 * but the making of a connection over TLS.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/net.h"
#include "base/xalloc.h"
#include "output/common.h"
#include "output/dial.h"
#include "output/gelf.h"
#include "output/gelf_tcp.h"
#include "output/outputs.h"
#include "output/tcp_link.h"

enum {
    CLOSING_MAX = 4,
    LINKS_MAX = CLOSING_MAX + 1,
    EXPECTING_WAIT_MS = 1, /* acknowledgements wake nobody */
};

_Static_assert((int)LINKS_MAX + 1 <= (int)OUTPUT_POLL_MAX, "all connections and the dial fit");

enum parcel_state { PARCEL_WAITING, PARCEL_SENT, PARCEL_DELIVERED };

struct gelf_tcp {
    const struct hostport *target;
    struct confirm_policy policy;
    struct parcels parcels;
    uint8_t *states; /* enum parcel_state; number n at n % capacity, as entries */
    struct confirm_entry *entries;
    uint64_t next_waiting;    /* no number below it is waiting */
    uint64_t confirm_through; /* parcels up to here are to be delivered without delay */
    struct tcp_link links[LINKS_MAX];
    struct tcp_link *current; /* NULL: none */
    bool dialing;             /* a current connection is wanted */
    bool unseen;              /* bytes were written since the links were last watched */
    struct tls_client *tls;   /* NULL: none is spoken */
    struct dial *dial;
    struct confirm_peer peer;
    int64_t tried_ms; /* when a half-close was last tried, or found to prove nothing */
};

static const struct option gelf_tcp_options[] = {
    OUTPUT_COMMON_OPTIONS,
    {.name = "hosts",
     .type = OPTION_HOSTPORT,
     .list = true,
     .required = true,
     .offset = offsetof(struct gelf_tcp_conf, hosts),
     .sample = "[graylog:12201]",
     .help = "Receiver, as host:port or [v6]:port. Exactly one for now; its name is resolved anew "
             "for each connection"},
    {.name = "dead_after",
     .type = OPTION_DURATION,
     .min = 1000,
     .max = 3600000,
     .preset = "5m",
     .offset = offsetof(struct gelf_tcp_conf, dead_after_ms),
     .help = "A connection on which nothing is acknowledged for so long is given up; must exceed "
             "any pause of the receiver, as a closed window counts too"},
    {.name = "peer_buffer",
     .type = OPTION_SIZE,
     .min = 64 << 10,
     .max = 1 << 30,
     .preset = "32MiB",
     .offset = offsetof(struct gelf_tcp_conf, peer_buffer_bytes),
     .help = "At least the receiver's largest receive buffer (net.ipv4.tcp_rmem): bytes behind "
             "which as many others were acknowledged have been read"},
    {.name = "confirm_after",
     .type = OPTION_DURATION,
     .min = 100,
     .max = 600000,
     .preset = "15s",
     .offset = offsetof(struct gelf_tcp_conf, confirm_after_ms),
     .help = "Messages acknowledged for so long, and not followed by peer_buffer others, are "
             "confirmed by ending the connection and going on over a new one"},
    {.name = "settle_delay",
     .type = OPTION_DURATION,
     .min = 0,
     .max = 600000,
     .preset = "2s",
     .offset = offsetof(struct gelf_tcp_conf, settle_delay_ms),
     .help = "With a receiver that never answers the end of a connection: how long messages must "
             "be acknowledged to count as delivered"},
    {.name = "tls",
     .type = OPTION_GROUP,
     .offset = offsetof(struct gelf_tcp_conf, tls),
     .given = offsetof(struct gelf_tcp_conf, tls_given),
     .group = tls_conf_options,
     .help = "TLS to the receiver."},
    {.name = "balance",
     .type = OPTION_STRING,
     .offset = offsetof(struct gelf_tcp_conf, balance),
     .help = "How several hosts share the load",
     .later = "several hosts are not possible yet"},
    OPTION_END,
};

static void gelf_tcp_init(void *conf, const struct message_conf *messages,
                          struct option_context *context, const struct yaml_node *node,
                          const char *path) {
    const struct gelf_tcp_conf *tcp = conf;
    output_init_gelf(&tcp->common, &tcp->hosts, messages, context, node, path);
    tls_conf_init(&tcp->tls, context, node, path);
    if (tcp->dead_after_ms > 0 && (tcp->settle_delay_ms >= tcp->dead_after_ms ||
                                   tcp->confirm_after_ms >= tcp->dead_after_ms)) {
        option_error(context, node, path,
                     "confirm_after and settle_delay must be shorter than dead_after");
    }
}

static void gelf_tcp_done(void *conf) {
    (void)conf;
}

static bool speaks_tls(const struct gelf_tcp_conf *conf) {
    return conf->tls_given && conf->tls.enabled;
}

static int gelf_tcp_check(const void *conf, bool online, struct buf *report, struct err *err) {
    const struct gelf_tcp_conf *tcp = conf;
    if (speaks_tls(tcp)) {
        return tls_conf_check(&tcp->tls, &tcp->hosts.items[0], online, report, err);
    }
    return output_check_host(&tcp->hosts.items[0], SOCK_STREAM, online, report, err);
}

static size_t gelf_tcp_ring_bytes(const void *conf) {
    const struct gelf_tcp_conf *tcp = conf;
    return (size_t)tcp->peer_buffer_bytes + OUTPUT_RING_BYTES;
}

static int gelf_tcp_open(void *conf, const struct output_place *place, void **handle,
                         struct err *err) {
    const struct gelf_tcp_conf *settings = conf;
    struct tls_client *tls = NULL;
    if (speaks_tls(settings) && tls_client_open(&settings->tls.settings, &tls, err) != 0) {
        return -1;
    }
    struct gelf_tcp *tcp = xcalloc(1, sizeof *tcp);
    tcp->tls = tls;
    tcp->target = &settings->hosts.items[0];
    tcp->policy = (struct confirm_policy){
        .peer_buffer_bytes = (uint64_t)settings->peer_buffer_bytes,
        .confirm_after_ms = settings->confirm_after_ms,
        .settle_delay_ms = settings->settle_delay_ms,
        .dead_after_ms = settings->dead_after_ms,
    };
    parcels_init(&tcp->parcels, place->ring_bytes);
    tcp->states = xcalloc(tcp->parcels.capacity, sizeof *tcp->states);
    tcp->entries = xcalloc(tcp->parcels.capacity, sizeof *tcp->entries);
    tcp->next_waiting = 1;
    tcp->dial = dial_open(tcp->target, tls);
    tcp->dialing = true; /* so that a wrong target shows before there is anything to send */
    *handle = tcp;
    return 0;
}

static uint8_t *state_at(struct gelf_tcp *tcp, uint64_t number) {
    return &tcp->states[number % tcp->parcels.capacity];
}

/* The lowest waiting number from `from` on; behind the last: none is. */
static uint64_t find_waiting(struct gelf_tcp *tcp, uint64_t from) {
    while (from <= tcp->parcels.last && *state_at(tcp, from) != PARCEL_WAITING) {
        from++;
    }
    return from;
}

static bool has_waiting(struct gelf_tcp *tcp) {
    tcp->next_waiting = find_waiting(tcp, tcp->next_waiting);
    return tcp->next_waiting <= tcp->parcels.last;
}

/* One write of the rest and of some waiting parcels; false when the kernel takes no more. */
static bool write_current(struct gelf_tcp *tcp) {
    const struct parcel *parcels[TCP_LINK_PARCELS_MAX];
    size_t count = 0;
    for (uint64_t number = find_waiting(tcp, tcp->next_waiting);
         number <= tcp->parcels.last && count < TCP_LINK_PARCELS_MAX;
         number = find_waiting(tcp, number + 1)) {
        parcels[count++] = parcels_at(&tcp->parcels, number);
    }
    size_t begun = tcp_link_write(tcp->current, parcels, count);
    for (size_t i = 0; i < begun; i++) {
        *state_at(tcp, parcels[i]->number) = PARCEL_SENT;
        tcp->next_waiting = parcels[i]->number + 1;
    }
    return begun > 0 && begun == count && !tcp_link_is_behind(tcp->current);
}

/* As much as the kernel takes. */
static void write_waiting(struct gelf_tcp *tcp) {
    if (tcp->current) {
        uint64_t before = tcp->current->confirm.written;
        while (write_current(tcp)) {
        }
        tcp->unseen = tcp->unseen || tcp->current->confirm.written > before;
    }
}

static void gelf_tcp_send(void *handle, const struct parcel *parcel) {
    struct gelf_tcp *tcp = handle;
    assert(parcel->bytes.len > 0);
    bool is_behind = has_waiting(tcp) || (tcp->current && tcp_link_is_behind(tcp->current));
    parcels_add(&tcp->parcels, parcel);
    *state_at(tcp, parcel->number) = PARCEL_WAITING;
    /* When others wait, the kernel took no more: the next turn tries again. */
    if (!is_behind) {
        write_waiting(tcp);
    }
}

static struct tcp_link *find_link(struct gelf_tcp *tcp, enum tcp_link_state state) {
    for (size_t i = 0; i < LINKS_MAX; i++) {
        if (tcp->links[i].state == state) {
            return &tcp->links[i];
        }
    }
    return NULL;
}

static size_t count_closing(const struct gelf_tcp *tcp) {
    size_t count = 0;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        count += tcp->links[i].state >= TCP_LINK_ENDING;
    }
    return count;
}

static void say_level(struct gelf_tcp *tcp, int64_t now_ms, const char *why) {
    tcp->tried_ms = now_ms;
    log_warning("gelf_tcp: %s:%u %s; from now on messages count as delivered when acknowledged for "
                "%g s (level \"acknowledged\"), until it answers the end of a connection",
                tcp->target->host, tcp->target->port, why,
                (double)tcp->policy.settle_delay_ms / 1000);
}

static void close_link(struct gelf_tcp *tcp, struct tcp_link *link) {
    tcp_link_close(link);
    if (link == tcp->current) {
        tcp->current = NULL;
    }
}

/* Everything that it did not deliver waits again. */
static int lose_link(struct gelf_tcp *tcp, struct tcp_link *link, int64_t now_ms, struct err *err) {
    struct output_counts *counts = &tcp->parcels.counts;
    size_t lost = link->confirm.count;
    uint64_t number;
    while (confirm_drop(&link->confirm, &number)) {
        *state_at(tcp, number) = PARCEL_WAITING;
        counts->resent_messages += parcels_at(&tcp->parcels, number)->messages;
        tcp->next_waiting = number < tcp->next_waiting ? number : tcp->next_waiting;
    }
    counts->connections_lost++;
    if (link == tcp->current) {
        dial_lost(tcp->dial, link->confirm.acked > 0 && !link->refused, now_ms);
    }
    bool refused = link->refused;
    close_link(tcp, link);
    if (lost > 0) {
        return err_wrap(err, "%s:%u: %zu parcels are sent again", tcp->target->host,
                        tcp->target->port, lost);
    }
    /* A peer may end a connection on which it owes us nothing; one that refuses us is trouble. */
    return refused ? err_wrap(err, "%s:%u", tcp->target->host, tcp->target->port) : 0;
}

static void collect(struct gelf_tcp *tcp, struct tcp_link *link, int64_t now_ms) {
    uint64_t number;
    while (confirm_take(&link->confirm, &tcp->policy, &tcp->peer, now_ms, &number)) {
        *state_at(tcp, number) = PARCEL_DELIVERED;
    }
}

static void end_answered(struct gelf_tcp *tcp, struct tcp_link *link, enum confirm_level before,
                         int64_t now_ms) {
    if (before != tcp->peer.level) {
        log_info("gelf_tcp: %s:%u answered the end of a connection: messages count as delivered "
                 "when read again",
                 tcp->target->host, tcp->target->port);
    }
    collect(tcp, link, now_ms);
    close_link(tcp, link);
}

/* The peer's kernel took all and its program does not answer: at the lower level, all that this
   connection carried is delivered, as it was acknowledged for longer than settle_delay. */
static void end_unanswered(struct gelf_tcp *tcp, struct tcp_link *link, int64_t now_ms) {
    if (confirm_peer_silent(&tcp->peer)) {
        say_level(tcp, now_ms, "acknowledged the end of a connection and did not answer it");
    }
    collect(tcp, link, now_ms);
    close_link(tcp, link);
}

static int watch_link(struct gelf_tcp *tcp, struct tcp_link *link, int64_t now_ms,
                      struct err *err) {
    enum confirm_level before = tcp->peer.level;
    bool was_half_closed = link->state == TCP_LINK_HALF_CLOSED;
    if (link->state == TCP_LINK_ENDING) {
        tcp_link_write(link, NULL, 0);
    }
    switch (tcp_link_watch(link, &tcp->peer, now_ms, err)) {
    case TCP_LINK_FINE:
        collect(tcp, link, now_ms);
        if (confirm_is_unanswered(&link->confirm, &tcp->policy, now_ms)) {
            end_unanswered(tcp, link, now_ms);
        }
        return 0;
    case TCP_LINK_ANSWERED:
        end_answered(tcp, link, before, now_ms);
        return 0;
    case TCP_LINK_RESET:
        if (was_half_closed &&
            confirm_peer_reset(&tcp->peer, link->confirm.half_closed_ms, now_ms)) {
            say_level(tcp, now_ms, "answers the end of a connection with a reset, time after time");
        }
        break;
    case TCP_LINK_LOST:
        break;
    }
    return lose_link(tcp, link, now_ms, err);
}

static int watch_links(struct gelf_tcp *tcp, int64_t now_ms, struct err *err) {
    int result = 0;
    struct err one;
    tcp->unseen = false;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        if (tcp->links[i].state != TCP_LINK_NONE &&
            watch_link(tcp, &tcp->links[i], now_ms, &one) != 0) {
            *err = one;
            result = -1;
        }
    }
    uint64_t delivered = tcp->parcels.delivered;
    while (delivered < tcp->parcels.last && *state_at(tcp, delivered + 1) == PARCEL_DELIVERED) {
        delivered++;
    }
    parcels_deliver(&tcp->parcels, delivered);
    return result;
}

static int connect_current(struct gelf_tcp *tcp, int64_t now_ms, struct err *err) {
    int fd;
    struct tls *tls;
    int result = dial_turn(tcp->dial, now_ms, &fd, &tls, err);
    if (result <= 0) {
        return result;
    }
    if (net_set_sender(fd, tcp->policy.dead_after_ms, err) != 0) {
        tls_close(tls);
        close(fd);
        dial_lost(tcp->dial, false, now_ms);
        return err_wrap(err, "%s:%u", tcp->target->host, tcp->target->port);
    }
    tcp->current = find_link(tcp, TCP_LINK_NONE);
    tcp_link_open(tcp->current, fd, tls, tcp->entries, tcp->parcels.capacity);
    tcp->dialing = false;
    tcp->parcels.counts.connects++;
    return 0;
}

/* Whether settling for good asks for it: what is to be confirmed is all written, and some of it on
   the current connection. */
static bool must_confirm(struct gelf_tcp *tcp) {
    return tcp->confirm_through > tcp->parcels.delivered &&
           tcp->current->confirm.first <= tcp->confirm_through &&
           find_waiting(tcp, tcp->next_waiting) > tcp->confirm_through;
}

/* Whether undelivered parcels are so many, and so small, that their number fills the ring. */
static bool is_crowded(const struct gelf_tcp *tcp) {
    return tcp->parcels.last - tcp->parcels.delivered > tcp->parcels.capacity / 4 * 3;
}

/* At the lower level a half-close confirms nothing (and a peer that answers it with a reset would
   never let settle_delay pass): it is then only tried now and again, as perhaps it is answered. */
static bool should_half_close(struct gelf_tcp *tcp, int64_t now_ms) {
    const struct confirm *confirm = &tcp->current->confirm;
    size_t closing = count_closing(tcp);
    if (closing == CLOSING_MAX || confirm->acked == 0) {
        return false;
    }
    if (tcp->peer.level == CONFIRM_ACKNOWLEDGED) {
        return now_ms - tcp->tried_ms >= tcp->policy.dead_after_ms;
    }
    return confirm->count > 0 && (confirm_is_due(confirm, &tcp->policy, now_ms) ||
                                  must_confirm(tcp) || (is_crowded(tcp) && closing == 0));
}

static int gelf_tcp_turn(void *handle, int64_t now_ms, struct err *err) {
    struct gelf_tcp *tcp = handle;
    int result = watch_links(tcp, now_ms, err);
    if (!tcp->current && (tcp->dialing || has_waiting(tcp))) {
        tcp->dialing = true;
        struct err dial_err;
        if (connect_current(tcp, now_ms, &dial_err) != 0) {
            *err = dial_err;
            result = -1;
        }
    }
    write_waiting(tcp);
    if (tcp->current && should_half_close(tcp, now_ms)) {
        tcp->tried_ms = now_ms;
        tcp_link_end(tcp->current);
        tcp->current = NULL;
    }
    return result;
}

static bool is_expecting(const struct gelf_tcp *tcp) {
    for (size_t i = 0; i < LINKS_MAX; i++) {
        const struct tcp_link *link = &tcp->links[i];
        if (link->state != TCP_LINK_NONE && confirm_is_expecting(&link->confirm, &tcp->policy)) {
            return true;
        }
    }
    return false;
}

static int gelf_tcp_poll_fds(void *handle, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    struct gelf_tcp *tcp = handle;
    int count = 0;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        const struct tcp_link *link = &tcp->links[i];
        if (link->state == TCP_LINK_NONE) {
            continue;
        }
        bool wants_out = tcp_link_is_behind(link) || link->saying_end ||
                         (link == tcp->current && has_waiting(tcp));
        fds[count++] = (struct pollfd){
            .fd = link->fd,
            .events = (short)(wants_out ? POLLIN | POLLOUT : POLLIN),
        };
        if (link->state == TCP_LINK_ENDING && !wants_out) {
            *wait_ms = 0;
        }
    }
    if (!tcp->current && (tcp->dialing || has_waiting(tcp))) {
        count += dial_poll(tcp->dial, now_ms, fds + count, wait_ms);
    }
    if (is_expecting(tcp)) {
        output_wait_until(now_ms + (tcp->unseen ? 0 : EXPECTING_WAIT_MS), now_ms, wait_ms);
    }
    return count;
}

static void gelf_tcp_confirm(void *handle, int64_t now_ms) {
    (void)now_ms;
    struct gelf_tcp *tcp = handle;
    tcp->confirm_through = tcp->parcels.last;
}

static uint64_t gelf_tcp_delivered(void *handle) {
    const struct gelf_tcp *tcp = handle;
    return tcp->parcels.delivered;
}

static const struct output_counts *gelf_tcp_counts(const void *handle) {
    const struct gelf_tcp *tcp = handle;
    return &tcp->parcels.counts;
}

static void gelf_tcp_describe(void *handle, int64_t now_ms, struct buf *out) {
    const struct gelf_tcp *tcp = handle;
    size_t closing = count_closing(tcp);
    buf_printf(out, "gelf_tcp %s:%u: %s, %ju parcels not delivered, level %s", tcp->target->host,
               tcp->target->port, tcp->current ? "connected" : dial_state(tcp->dial, now_ms),
               (uintmax_t)(tcp->parcels.last - tcp->parcels.delivered),
               tcp->peer.level == CONFIRM_READ ? "read" : "acknowledged");
    if (closing > 0) {
        buf_printf(out, ", %zu connections ended and not yet answered", closing);
    }
    buf_char(out, '\n');
}

static void gelf_tcp_close(void *handle) {
    struct gelf_tcp *tcp = handle;
    for (size_t i = 0; i < LINKS_MAX; i++) {
        if (tcp->links[i].state != TCP_LINK_NONE) {
            tcp_link_close(&tcp->links[i]);
        }
    }
    dial_close(tcp->dial);
    tls_client_close(tcp->tls);
    parcels_done(&tcp->parcels);
    free(tcp->states);
    free(tcp->entries);
    free(tcp);
}

const struct output_type output_gelf_tcp_type = {
    .name = "gelf_tcp",
    .help = "GELF over TCP, to Graylog, Logstash and whatever else reads messages ended by NUL; "
            "delivered when the receiver has read it",
    .options = gelf_tcp_options,
    .conf_size = sizeof(struct gelf_tcp_conf),
    .encoder = &gelf_encoder,
    .end = {"\0", 1},
    .init = gelf_tcp_init,
    .done = gelf_tcp_done,
    .check = gelf_tcp_check,
    .ring_bytes = gelf_tcp_ring_bytes,
    .open = gelf_tcp_open,
    .send = gelf_tcp_send,
    .turn = gelf_tcp_turn,
    .poll_fds = gelf_tcp_poll_fds,
    .confirm = gelf_tcp_confirm,
    .delivered = gelf_tcp_delivered,
    .counts = gelf_tcp_counts,
    .describe = gelf_tcp_describe,
    .close = gelf_tcp_close,
};
