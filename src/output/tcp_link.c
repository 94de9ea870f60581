/* SPDX-License-Identifier: Apache-2.0 */
/* See tcp_link.h. */
#include "output/tcp_link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/net.h"

void tcp_link_open(struct tcp_link *link, int fd, struct tls *tls, struct confirm_entry *entries,
                   size_t capacity) {
    *link = (struct tcp_link){.state = TCP_LINK_OPEN, .fd = fd, .tls = tls};
    confirm_init(&link->confirm, entries, capacity);
}

static size_t write_some(struct tcp_link *link, struct iovec *parts, size_t count) {
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = count};
    ssize_t sent;
    do {
        sent = sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
    } while (sent < 0 && errno == EINTR);
    if (sent >= 0) {
        return (size_t)sent;
    }
    if (errno != EAGAIN) {
        link->error = errno;
    }
    return 0;
}

/* The kernel took `taken` bytes from `rest`; returns how many it took behind that. */
static size_t advance(struct tcp_link *link, size_t taken) {
    size_t of_rest = taken < link->rest.len ? taken : link->rest.len;
    confirm_wrote(&link->confirm, of_rest);
    link->rest = span_skip(link->rest, of_rest);
    if (of_rest > 0 && link->rest.len == 0) {
        confirm_end(&link->confirm);
    }
    return taken - of_rest;
}

static void begin_parcel(struct tcp_link *link, const struct parcel *parcel) {
    confirm_begin(&link->confirm, parcel->number);
    link->rest = parcel->bytes;
}

/* What became of a record: `result` as of tls_write. */
static void take_result(struct tcp_link *link, int result, const struct err *err) {
    if (result < 0) {
        link->error = err->sys ? err->sys : EPROTO;
        return;
    }
    confirm_wrote(&link->confirm, tls_written(link->tls) - link->confirm.written);
    link->kept = result == 0;
    while (result > 0 && link->kept_ends > 0) {
        confirm_end(&link->confirm);
        link->kept_ends--;
    }
}

/* One record, as full as can be: of the rest alone where that fills it, else of copies of the rest
   and of parcels behind it. Nothing to write is fine. */
static void write_record(struct tcp_link *link, const struct parcel *const *parcels, size_t count,
                         size_t *begun) {
    char copies[TLS_RECORD_MAX];
    struct span record = span_of(copies, 0);
    struct err err;
    while (record.len < TLS_RECORD_MAX && (link->rest.len > 0 || *begun < count)) {
        if (link->rest.len == 0) {
            begin_parcel(link, parcels[(*begun)++]);
        }
        size_t room = TLS_RECORD_MAX - record.len;
        size_t part = link->rest.len < room ? link->rest.len : room;
        if (part == TLS_RECORD_MAX) {
            record.p = link->rest.p;
        } else {
            memcpy(copies + record.len, link->rest.p, part);
        }
        record.len += part;
        link->rest = span_skip(link->rest, part);
        link->kept_ends += link->rest.len == 0;
    }
    if (record.len > 0) {
        take_result(link, tls_write(link->tls, record, &err), &err);
    }
}

static size_t write_records(struct tcp_link *link, const struct parcel *const *parcels,
                            size_t count) {
    size_t begun = 0;
    struct err err;
    if (link->kept && !link->error) {
        take_result(link, tls_push(link->tls, &err), &err);
    }
    while (!link->kept && !link->error && (link->rest.len > 0 || begun < count)) {
        write_record(link, parcels, count, &begun);
    }
    return begun;
}

size_t tcp_link_write(struct tcp_link *link, const struct parcel *const *parcels, size_t count) {
    struct iovec parts[TCP_LINK_PARCELS_MAX + 1];
    size_t part_count = 0, begun = 0;
    if (link->tls) {
        return write_records(link, parcels, link->state == TCP_LINK_OPEN ? count : 0);
    }
    if (link->rest.len > 0) {
        parts[part_count++] = (struct iovec){(void *)link->rest.p, link->rest.len};
    }
    for (size_t i = 0; i < count && link->state == TCP_LINK_OPEN; i++) {
        struct span bytes = parcels[i]->bytes;
        parts[part_count++] = (struct iovec){(void *)bytes.p, bytes.len};
    }
    if (part_count == 0 || link->error) {
        return 0;
    }
    size_t taken = advance(link, write_some(link, parts, part_count));
    while (taken > 0) {
        begin_parcel(link, parcels[begun++]);
        taken = advance(link, taken);
    }
    return begun;
}

void tcp_link_end(struct tcp_link *link) {
    link->state = TCP_LINK_ENDING;
}

static enum tcp_link_event lose(int why, struct err *err) {
    if (why == 0) {
        err_set(err, ERR_RETRY, "the peer closed the connection");
        return TCP_LINK_LOST;
    }
    errno = why;
    err_sys(err, ERR_RETRY, "connection lost");
    return why == ECONNRESET || why == EPIPE ? TCP_LINK_RESET : TCP_LINK_LOST;
}

static enum tcp_link_event lose_tls(struct tcp_link *link, struct err *err) {
    if (err->sys != 0) {
        return lose(err->sys, err);
    }
    link->refused = true;
    return TCP_LINK_LOST;
}

/* Whether the peer's TLS is told; -1: the connection is lost. */
static int say_end(struct tcp_link *link, struct err *err) {
    int result = tls_end(link->tls, err);
    link->saying_end = result == 0;
    confirm_wrote(&link->confirm, tls_written(link->tls) - link->confirm.written);
    return result;
}

/* A FIN of the peer that is here already is no answer to ours. */
static enum tcp_link_event half_close(struct tcp_link *link, int64_t now_ms, struct err *err) {
    int said = link->tls ? say_end(link, err) : 1;
    if (said <= 0) {
        return said < 0 ? lose_tls(link, err) : TCP_LINK_FINE;
    }
    if (shutdown(link->fd, SHUT_WR) < 0) {
        return lose(errno, err);
    }
    if (net_peer_closed_first(link->fd)) {
        return lose(0, err);
    }
    link->state = TCP_LINK_HALF_CLOSED;
    confirm_half_close(&link->confirm, now_ms);
    return TCP_LINK_FINE;
}

/* The peer's FIN has come. A reset behind it shows only as a pending error. */
static enum tcp_link_event take_fin(struct tcp_link *link, struct confirm_peer *peer,
                                    struct err *err) {
    int error = net_pending_error(link->fd);
    if (error == 0 && confirm_fin(&link->confirm, peer)) {
        return TCP_LINK_ANSWERED;
    }
    return lose(error, err);
}

enum tcp_link_event tcp_link_watch(struct tcp_link *link, struct confirm_peer *peer, int64_t now_ms,
                                   struct err *err) {
    if (link->error && !link->tls) {
        return lose(link->error, err);
    }
    enum net_drained drained = link->tls ? tls_drain(link->tls, err) : net_drain(link->fd);
    if (drained == NET_LOST) {
        return link->tls ? lose_tls(link, err) : lose(errno, err);
    }
    if (link->error) { /* with TLS an alert, which says more, would have come first */
        return lose(link->error, err);
    }
    int64_t unacknowledged = net_unacknowledged(link->fd);
    if (unacknowledged < 0) {
        return lose(errno, err);
    }
    bool was_acked = link->confirm.fin_acked;
    confirm_unacknowledged(&link->confirm, (uint64_t)unacknowledged, now_ms);
    if (drained == NET_FIN) {
        return take_fin(link, peer, err);
    }
    if (link->confirm.fin_acked && !was_acked) {
        net_trust_keepalive(link->fd);
    }
    if (link->state == TCP_LINK_ENDING && !tcp_link_is_behind(link)) {
        return half_close(link, now_ms, err);
    }
    return TCP_LINK_FINE;
}

void tcp_link_close(struct tcp_link *link) {
    tls_close(link->tls);
    close(link->fd);
    link->state = TCP_LINK_NONE;
}
