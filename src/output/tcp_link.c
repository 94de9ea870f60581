/* SPDX-License-Identifier: Apache-2.0 */
/* See tcp_link.h. */
#include "output/tcp_link.h"

#include <errno.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/net.h"

void tcp_link_open(struct tcp_link *link, int fd, struct confirm_entry *entries, size_t capacity) {
    *link = (struct tcp_link){.state = TCP_LINK_OPEN, .fd = fd};
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
    return taken - of_rest;
}

size_t tcp_link_write(struct tcp_link *link, const struct parcel *const *parcels, size_t count) {
    struct iovec parts[TCP_LINK_PARCELS_MAX + 1];
    size_t part_count = 0, begun = 0;
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
        const struct parcel *parcel = parcels[begun++];
        confirm_begin(&link->confirm, parcel->number, parcel->bytes.len);
        link->rest = parcel->bytes;
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

/* A FIN of the peer that is here already is no answer to ours. */
static enum tcp_link_event half_close(struct tcp_link *link, int64_t now_ms, struct err *err) {
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
    if (link->error) {
        return lose(link->error, err);
    }
    enum net_drained drained = net_drain(link->fd);
    if (drained == NET_LOST) {
        return lose(errno, err);
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
    if (link->state == TCP_LINK_ENDING && link->rest.len == 0) {
        return half_close(link, now_ms, err);
    }
    return TCP_LINK_FINE;
}

void tcp_link_close(struct tcp_link *link) {
    close(link->fd);
    link->state = TCP_LINK_NONE;
}
