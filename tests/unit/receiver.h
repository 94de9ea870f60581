/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A GELF TCP receiver on loopback, played by the test itself in steps: it reads as much as it is
 * told, answers half-closes or not, and resets connections. It knows which messages it has read, so
 * a test can hold what counts as delivered against what a program really got. With a context it
 * speaks TLS.
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { RECEIVER_LINKS_MAX = 64, RECEIVER_MESSAGES_MAX = 200000, RECEIVER_PIECE = 64 << 10 };

enum receiver_answer {
    RECEIVER_ANSWERS, /* a FIN with a FIN */
    RECEIVER_SILENT,
    RECEIVER_RESETS, /* a FIN with a reset */
};

struct receiver_link {
    int fd;      /* -1: closed */
    SSL *ssl;    /* NULL: no TLS */
    bool closed; /* the sender's close_notify was read */
    bool ended;  /* the sender's FIN was read */
    char frame[16];
    size_t frame_len; /* of the frame in the making, all of it counted */
    size_t cut;       /* bytes of a frame that never ended */
};

struct receiver {
    int listen_fd;
    uint16_t port;
    size_t read_max; /* bytes a step and connection; 0: hangs */
    enum receiver_answer answer;
    SSL_CTX *tls;  /* of those who come from now on; the test's; NULL: none */
    bool is_mute;  /* lets handshakes stall */
    bool is_brief; /* answers without close_notify */
    struct receiver_link links[RECEIVER_LINKS_MAX];
    size_t link_count;
    uint8_t seen[RECEIVER_MESSAGES_MAX]; /* how often, up to 255 */
    size_t messages, fins;
    size_t resumed; /* handshakes shortened by a ticket */
};

/* Listens; `buffer_bytes` for the receive buffer of its connections, 0: the system's default. */
static inline void receiver_open(struct receiver *receiver, int buffer_bytes) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof address;
    memset(receiver, 0, sizeof *receiver);
    receiver->read_max = SIZE_MAX;
    receiver->listen_fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    ck_assert_int_ge(receiver->listen_fd, 0);
    if (buffer_bytes > 0) {
        setsockopt(receiver->listen_fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof buffer_bytes);
    }
    ck_assert_int_eq(bind(receiver->listen_fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(receiver->listen_fd, 64), 0);
    ck_assert_int_eq(getsockname(receiver->listen_fd, (struct sockaddr *)&address, &len), 0);
    receiver->port = ntohs(address.sin_port);
}

static inline void receiver_accept(struct receiver *receiver) {
    int fd;
    while ((fd = accept4(receiver->listen_fd, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        ck_assert_uint_lt(receiver->link_count, RECEIVER_LINKS_MAX);
        struct receiver_link *link = &receiver->links[receiver->link_count++];
        *link = (struct receiver_link){.fd = fd};
        if (receiver->tls) {
            link->ssl = SSL_new(receiver->tls);
            SSL_set_fd(link->ssl, fd);
        }
    }
}

static inline void receiver_take_frame(struct receiver *receiver, struct receiver_link *link) {
    char digits[9] = {0};
    memcpy(digits, link->frame, 8);
    size_t id = strtoul(digits, NULL, 10);
    ck_assert_uint_ge(link->frame_len, 8);
    ck_assert_uint_lt(id, RECEIVER_MESSAGES_MAX);
    receiver->messages += receiver->seen[id] == 0;
    receiver->seen[id] += receiver->seen[id] < UINT8_MAX;
    link->frame_len = 0;
}

static inline void receiver_take(struct receiver *receiver, struct receiver_link *link,
                                 const char *bytes, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (bytes[i] == '\0') {
            receiver_take_frame(receiver, link);
        } else if (link->frame_len++ < sizeof link->frame) {
            link->frame[link->frame_len - 1] = bytes[i];
        }
    }
}

/* Ends a connection; with a reset, or with a FIN unless something is unread. */
static inline void receiver_end(struct receiver_link *link, bool reset) {
    if (reset) {
        struct linger linger = {.l_onoff = 1};
        setsockopt(link->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger);
    }
    link->cut = link->frame_len;
    SSL_free(link->ssl);
    link->ssl = NULL;
    close(link->fd);
    link->fd = -1;
}

/* recv, for TLS: what is behind a close_notify is the FIN alone. */
static inline ssize_t receiver_recv_tls(struct receiver_link *link, char *bytes, size_t len) {
    ERR_clear_error();
    int got = link->closed ? 0 : SSL_read(link->ssl, bytes, (int)len);
    int why = SSL_get_error(link->ssl, got);
    if (got > 0) {
        return got;
    }
    if (link->closed || why == SSL_ERROR_ZERO_RETURN) {
        link->closed = true;
        return recv(link->fd, bytes, len, 0);
    }
    errno = why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE ? EAGAIN : EPROTO;
    return -1;
}

/* Whether the handshake is over; it is with whom it fails, and then reading fails. */
static inline bool receiver_shake_hands(struct receiver *receiver, struct receiver_link *link) {
    if (!link->ssl || SSL_is_init_finished(link->ssl)) {
        return true;
    }
    if (receiver->is_mute) {
        return false;
    }
    ERR_clear_error();
    int result = SSL_accept(link->ssl);
    if (result == 1) {
        receiver->resumed += SSL_session_reused(link->ssl) == 1;
        return true;
    }
    if (SSL_get_error(link->ssl, result) != SSL_ERROR_WANT_READ) {
        receiver_end(link, false);
    }
    return false;
}

static inline void receiver_read(struct receiver *receiver, struct receiver_link *link) {
    static char piece[RECEIVER_PIECE];
    size_t left = receiver->read_max;
    while (left > 0 && link->fd >= 0 && !link->ended) {
        size_t wanted = left < sizeof piece ? left : sizeof piece;
        ssize_t got =
            link->ssl ? receiver_recv_tls(link, piece, wanted) : recv(link->fd, piece, wanted, 0);
        if (got < 0) {
            if (errno != EAGAIN) {
                receiver_end(link, false);
            }
            return;
        }
        if (got == 0) {
            link->ended = true;
            receiver->fins++;
        }
        receiver_take(receiver, link, piece, (size_t)got);
        left -= (size_t)got;
    }
}

static inline void receiver_step(struct receiver *receiver) {
    receiver_accept(receiver);
    for (size_t i = 0; i < receiver->link_count; i++) {
        struct receiver_link *link = &receiver->links[i];
        if (link->fd >= 0 && receiver_shake_hands(receiver, link)) {
            receiver_read(receiver, link);
        }
        if (link->fd >= 0 && link->ended && receiver->answer == RECEIVER_ANSWERS && link->ssl &&
            !receiver->is_brief) {
            SSL_shutdown(link->ssl);
        }
        if (link->fd >= 0 && link->ended && receiver->answer != RECEIVER_SILENT) {
            receiver_end(link, receiver->answer == RECEIVER_RESETS);
        }
    }
}

/* Ends all connections, as the kernel does for a program that is killed: with a reset where
   something is unread. */
static inline void receiver_die(struct receiver *receiver, bool reset) {
    receiver_accept(receiver);
    for (size_t i = 0; i < receiver->link_count; i++) {
        if (receiver->links[i].fd >= 0) {
            receiver_end(&receiver->links[i], reset);
        }
    }
}

static inline void receiver_close(struct receiver *receiver) {
    receiver_die(receiver, false);
    if (receiver->listen_fd >= 0) {
        close(receiver->listen_fd);
    }
}
