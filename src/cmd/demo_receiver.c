/* SPDX-License-Identifier: Apache-2.0 */
/* See demo_receiver.h. One poll(2) loop over an eventfd that ends it, the listener, and the
   connections, each with the begin of a message that is not whole yet. */
#include "cmd/demo_receiver.h"

#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/xalloc.h"

enum { CONNECTIONS_MAX = 64, READ_BYTES = 256 << 10 };

/* What poll(2) looks at, in this order. */
enum { FD_WAKE, FD_LISTENER, FD_FIRST, FDS_MAX = FD_FIRST + CONNECTIONS_MAX };

struct demo_receiver {
    demo_take take;
    void *context;
    uint16_t port;
    pthread_t thread;
    atomic_uint_fast64_t count;
    size_t fd_count;
    struct pollfd fds[FDS_MAX];
    struct buf pending[FDS_MAX];
    char read[READ_BYTES];
};

static void add_fd(struct demo_receiver *receiver, int fd) {
    receiver->fds[receiver->fd_count] = (struct pollfd){.fd = fd, .events = POLLIN};
    buf_init(&receiver->pending[receiver->fd_count], DEMO_MESSAGE_MAX);
    receiver->fd_count++;
}

/* Closes one and moves the last into its place. */
static void remove_fd(struct demo_receiver *receiver, size_t at) {
    size_t last = --receiver->fd_count;
    close(receiver->fds[at].fd);
    buf_done(&receiver->pending[at]);
    receiver->fds[at] = receiver->fds[last];
    receiver->pending[at] = receiver->pending[last];
}

static void accept_one(struct demo_receiver *receiver) {
    int fd = accept4(receiver->fds[FD_LISTENER].fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    if (receiver->fd_count == FDS_MAX) {
        close(fd);
        return;
    }
    add_fd(receiver, fd);
}

static void take_bytes(struct demo_receiver *receiver, struct buf *pending, struct span bytes) {
    const char *end;
    while (bytes.len > 0 && (end = memchr(bytes.p, '\0', bytes.len))) {
        struct span message = span_of(bytes.p, (size_t)(end - bytes.p));
        if (pending->len > 0) {
            buf_add(pending, message);
            message = buf_span(pending);
        }
        receiver->take(receiver->context, message);
        atomic_fetch_add(&receiver->count, 1);
        buf_clear(pending);
        bytes = span_skip(bytes, (size_t)(end - bytes.p) + 1);
    }
    buf_add(pending, bytes);
}

/* Reads once from a connection; at its end, or when it breaks, closes it. */
static void serve(struct demo_receiver *receiver, size_t at) {
    ssize_t len = read(receiver->fds[at].fd, receiver->read, READ_BYTES);
    if (len > 0) {
        take_bytes(receiver, &receiver->pending[at], span_of(receiver->read, (size_t)len));
    } else if (len == 0 || errno != EINTR) {
        remove_fd(receiver, at);
    }
}

static void *receive(void *argument) {
    struct demo_receiver *receiver = argument;
    for (;;) {
        if (poll(receiver->fds, receiver->fd_count, -1) < 0) {
            continue; /* EINTR */
        }
        if (receiver->fds[FD_WAKE].revents) {
            return NULL;
        }
        /* From the end, because an entry may go and the last take its place. */
        for (size_t at = receiver->fd_count; at-- > FD_FIRST;) {
            if (receiver->fds[at].revents) {
                serve(receiver, at);
            }
        }
        if (receiver->fds[FD_LISTENER].revents) {
            accept_one(receiver);
        }
    }
}

static int listen_loopback(uint16_t *port, struct err *err) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return err_sys(err, ERR_STOP, "a socket for the receiver");
    }
    if (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, CONNECTIONS_MAX) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        err_sys(err, ERR_STOP, "listening on a loopback port");
        close(fd);
        return -1;
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static void free_receiver(struct demo_receiver *receiver) {
    while (receiver->fd_count > 0) {
        remove_fd(receiver, receiver->fd_count - 1);
    }
    free(receiver);
}

int demo_receiver_open(demo_take take, void *context, struct demo_receiver **out, struct err *err) {
    uint16_t port = 0;
    int listener = listen_loopback(&port, err);
    if (listener < 0) {
        return -1;
    }
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0) {
        close(listener);
        return err_sys(err, ERR_STOP, "eventfd");
    }
    struct demo_receiver *receiver = xcalloc(1, sizeof(*receiver));
    receiver->take = take;
    receiver->context = context;
    receiver->port = port;
    add_fd(receiver, wake);
    add_fd(receiver, listener);
    errno = pthread_create(&receiver->thread, NULL, receive, receiver);
    if (errno != 0) {
        err_sys(err, ERR_STOP, "a thread for the receiver");
        free_receiver(receiver);
        return -1;
    }
    *out = receiver;
    return 0;
}

uint16_t demo_receiver_port(const struct demo_receiver *receiver) {
    return receiver->port;
}

uint64_t demo_receiver_count(const struct demo_receiver *receiver) {
    return atomic_load(&receiver->count);
}

void demo_receiver_close(struct demo_receiver *receiver) {
    if (!receiver) {
        return;
    }
    eventfd_write(receiver->fds[FD_WAKE].fd, 1);
    pthread_join(receiver->thread, NULL);
    free_receiver(receiver);
}
