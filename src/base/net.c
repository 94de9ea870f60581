/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See net.h. One thread for the whole process resolves names, one after the other; it starts with
 * the first question and never ends. A lookup that is closed while the thread works on it is freed
 * by the thread.
 */
#include "base/net.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/ipaddr.h"
#include "base/log.h"
#include "base/xalloc.h"

enum { DRAIN_ROUNDS = 16, DRAIN_BYTES = 1 << 20, KEEPALIVE_PROBES = 3 };

enum lookup_state { LOOKUP_IDLE, LOOKUP_QUEUED, LOOKUP_RUNNING, LOOKUP_DONE };

struct net_lookup {
    char *host;
    char port[8];
    int socktype;
    int fd; /* eventfd */
    /* Under resolver.lock from here on, but for what `state` gives to one side. */
    enum lookup_state state;
    bool abandoned;
    int status; /* of getaddrinfo */
    int status_errno;
    struct net_answer answer;
    struct net_lookup *next;
};

static struct {
    pthread_mutex_t lock;
    pthread_cond_t wake;
    bool running;
    struct net_lookup *first, **last;
} resolver = {
    .lock = PTHREAD_MUTEX_INITIALIZER, .wake = PTHREAD_COND_INITIALIZER, .last = &resolver.first};

static void answer_fill(struct net_answer *answer, const struct addrinfo *list) {
    answer->count = 0;
    for (; list && answer->count < NET_ADDRESSES_MAX; list = list->ai_next) {
        struct net_address *address = &answer->addresses[answer->count];
        if (list->ai_addrlen <= sizeof address->v6) {
            memcpy(&address->any, list->ai_addr, list->ai_addrlen);
            address->len = list->ai_addrlen;
            answer->count++;
        }
    }
}

/* Blocks, unless flags ask for numeric addresses only. */
static int resolve(const char *host, const char *port, int socktype, int flags,
                   struct net_answer *answer) {
    struct addrinfo hints = {.ai_socktype = socktype, .ai_flags = AI_NUMERICSERV | flags};
    struct addrinfo *list = NULL;
    int status = getaddrinfo(host, port, &hints, &list);
    if (status != 0) {
        return status;
    }
    answer_fill(answer, list);
    freeaddrinfo(list);
    return answer->count > 0 ? 0 : EAI_NONAME;
}

static int resolve_error(const char *host, int status, int sys, struct err *err) {
    if (status == EAI_SYSTEM) {
        errno = sys;
        return err_sys(err, ERR_RETRY, "cannot resolve %s", host);
    }
    return err_set(err, ERR_RETRY, "cannot resolve %s: %s", host, gai_strerror(status));
}

static void lookup_free(struct net_lookup *lookup) {
    close(lookup->fd);
    free(lookup->host);
    free(lookup);
}

static void lookup_tell(struct net_lookup *lookup) {
    lookup->state = LOOKUP_DONE;
    eventfd_write(lookup->fd, 1);
}

static void *resolver_main(void *unused) {
    (void)unused;
    pthread_mutex_lock(&resolver.lock);
    for (;;) {
        while (!resolver.first) {
            pthread_cond_wait(&resolver.wake, &resolver.lock);
        }
        struct net_lookup *lookup = resolver.first;
        resolver.first = lookup->next;
        if (!resolver.first) {
            resolver.last = &resolver.first;
        }
        lookup->state = LOOKUP_RUNNING;
        pthread_mutex_unlock(&resolver.lock);
        lookup->status = resolve(lookup->host, lookup->port, lookup->socktype, 0, &lookup->answer);
        lookup->status_errno = errno;
        pthread_mutex_lock(&resolver.lock);
        if (lookup->abandoned) {
            lookup_free(lookup);
        } else {
            lookup_tell(lookup);
        }
    }
    return NULL;
}

/* Under the lock. Signals are for the main thread. */
static void resolver_start(void) {
    if (resolver.running) {
        return;
    }
    sigset_t all, before;
    sigfillset(&all);
    pthread_t thread;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int failed = pthread_create(&thread, NULL, resolver_main, NULL);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        log_error("cannot start the thread that resolves names: %s", strerror(failed));
        abort();
    }
    pthread_detach(thread);
    resolver.running = true;
}

struct net_lookup *net_lookup_open(const char *host, uint16_t port, int socktype) {
    struct net_lookup *lookup = xcalloc(1, sizeof *lookup);
    lookup->host = xstrdup(host);
    snprintf(lookup->port, sizeof lookup->port, "%u", port);
    lookup->socktype = socktype;
    lookup->fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (lookup->fd < 0) {
        log_error("cannot make an eventfd: %s", strerror(errno));
        abort();
    }
    return lookup;
}

void net_lookup_start(struct net_lookup *lookup) {
    pthread_mutex_lock(&resolver.lock);
    if (lookup->state == LOOKUP_IDLE) {
        lookup->status =
            resolve(lookup->host, lookup->port, lookup->socktype, AI_NUMERICHOST, &lookup->answer);
        if (lookup->status == 0) {
            lookup_tell(lookup);
        } else {
            resolver_start();
            lookup->state = LOOKUP_QUEUED;
            lookup->next = NULL;
            *resolver.last = lookup;
            resolver.last = &lookup->next;
            pthread_cond_signal(&resolver.wake);
        }
    }
    pthread_mutex_unlock(&resolver.lock);
}

int net_lookup_fd(const struct net_lookup *lookup) {
    return lookup->fd;
}

int net_lookup_poll(struct net_lookup *lookup, struct net_answer *answer, struct err *err) {
    pthread_mutex_lock(&resolver.lock);
    bool done = lookup->state == LOOKUP_DONE;
    if (done) {
        lookup->state = LOOKUP_IDLE;
    }
    pthread_mutex_unlock(&resolver.lock);
    if (!done) {
        return 0;
    }
    eventfd_t count;
    eventfd_read(lookup->fd, &count);
    if (lookup->status != 0) {
        return resolve_error(lookup->host, lookup->status, lookup->status_errno, err);
    }
    *answer = lookup->answer;
    return 1;
}

/* Under the lock. */
static void resolver_forget(struct net_lookup *lookup) {
    struct net_lookup **link = &resolver.first;
    while (*link != lookup) {
        link = &(*link)->next;
    }
    *link = lookup->next;
    if (resolver.last == &lookup->next) {
        resolver.last = link;
    }
}

void net_lookup_close(struct net_lookup *lookup) {
    if (!lookup) {
        return;
    }
    pthread_mutex_lock(&resolver.lock);
    if (lookup->state == LOOKUP_QUEUED) {
        resolver_forget(lookup);
    }
    bool running = lookup->state == LOOKUP_RUNNING;
    lookup->abandoned = true;
    pthread_mutex_unlock(&resolver.lock);
    if (!running) {
        lookup_free(lookup);
    }
}

static int connect_socket(const struct net_address *address, int socktype, struct err *err) {
    char text[NET_TEXT_MAX];
    int fd = socket(address->any.sa_family, socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return err_sys(err, ERR_RETRY, "cannot make a socket");
    }
    if (connect(fd, &address->any, address->len) < 0 && errno != EINPROGRESS) {
        err_sys(err, ERR_RETRY, "cannot connect to %s", net_format(address, text));
        close(fd);
        return -1;
    }
    return fd;
}

int net_connect(const struct net_address *address, struct err *err) {
    return connect_socket(address, SOCK_STREAM, err);
}

int net_connect_datagram(const struct net_address *address, struct err *err) {
    return connect_socket(address, SOCK_DGRAM, err);
}

int net_connected(int fd, struct err *err) {
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    if (poll(&poll_fd, 1, 0) <= 0) {
        return 0;
    }
    errno = net_pending_error(fd);
    return errno ? err_sys(err, ERR_RETRY, "cannot connect") : 1;
}

static int seconds_of(int64_t ms) {
    return ms < 1000 ? 1 : ms > 3600000 ? 3600 : (int)(ms / 1000);
}

int net_set_sender(int fd, int64_t dead_after_ms, struct err *err) {
    const struct {
        int level, name, value;
    } settings[] = {
        {IPPROTO_TCP, TCP_NODELAY, 1},
        {IPPROTO_TCP, TCP_USER_TIMEOUT, (int)dead_after_ms},
        {SOL_SOCKET, SO_KEEPALIVE, 1},
        {IPPROTO_TCP, TCP_KEEPIDLE, seconds_of(dead_after_ms / 6)},
        {IPPROTO_TCP, TCP_KEEPINTVL, seconds_of(dead_after_ms / 12)},
        {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_PROBES},
    };
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++) {
        if (setsockopt(fd, settings[i].level, settings[i].name, &settings[i].value,
                       sizeof settings[i].value) < 0) {
            return err_sys(err, ERR_RETRY, "cannot set a socket option");
        }
    }
    return 0;
}

void net_trust_keepalive(int fd) {
    int none = 0;
    setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &none, sizeof none);
}

int64_t net_unacknowledged(int fd) {
    int bytes;
    return ioctl(fd, SIOCOUTQ, &bytes) < 0 ? -1 : bytes;
}

int net_pending_error(int fd) {
    int error = 0;
    socklen_t len = sizeof error;
    return getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0 ? errno : error;
}

bool net_peer_closed_first(int fd) {
    struct tcp_info info;
    socklen_t len = sizeof info;
    return getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) == 0 &&
           info.tcpi_state == TCP_LAST_ACK;
}

enum net_drained net_drain(int fd) {
    for (int i = 0; i < DRAIN_ROUNDS; i++) {
        /* On TCP, MSG_TRUNC throws the bytes away instead of copying them (tcp(7)). */
        ssize_t got = recv(fd, NULL, DRAIN_BYTES, MSG_TRUNC | MSG_DONTWAIT);
        if (got == 0) {
            return NET_FIN;
        }
        if (got < 0 && errno != EINTR) {
            return errno == EAGAIN ? NET_OPEN : NET_LOST;
        }
    }
    return NET_OPEN;
}

const char *net_format(const struct net_address *address, char *out) {
    struct ipaddr addr;
    char text[IPADDR_TEXT_MAX];
    bool v6 = address->any.sa_family == AF_INET6;
    if (v6) {
        memcpy(addr.bytes, &address->v6.sin6_addr, 16);
        addr.family = IPADDR_V6;
    } else {
        addr = ipaddr_v4(ntohl(address->v4.sin_addr.s_addr));
    }
    int len = (int)ipaddr_format(&addr, text);
    snprintf(out, NET_TEXT_MAX, v6 ? "[%.*s]:%u" : "%.*s:%u", len, text,
             ntohs(v6 ? address->v6.sin6_port : address->v4.sin_port));
    return out;
}

static int try_address(const struct net_address *address, int socktype, int timeout_ms,
                       struct err *err) {
    char text[NET_TEXT_MAX];
    int fd = connect_socket(address, socktype, err);
    if (fd < 0) {
        return -1;
    }
    struct pollfd poll_fd = {.fd = fd, .events = POLLOUT};
    poll(&poll_fd, 1, timeout_ms);
    int result = net_connected(fd, err);
    close(fd);
    if (result == 0) {
        return err_set(err, ERR_RETRY, "%s does not answer within %d ms", net_format(address, text),
                       timeout_ms);
    }
    return result > 0 ? 0 : err_wrap(err, "%s", net_format(address, text));
}

int net_try(const char *host, uint16_t port, int socktype, int timeout_ms,
            struct net_address *address, struct err *err) {
    struct net_answer answer = {.count = 0};
    char port_text[8];
    snprintf(port_text, sizeof port_text, "%u", port);
    int status = resolve(host, port_text, socktype, 0, &answer);
    if (status != 0) {
        return resolve_error(host, status, errno, err);
    }
    for (size_t i = 0; i < answer.count; i++) {
        if (try_address(&answer.addresses[i], socktype, timeout_ms, err) == 0) {
            *address = answer.addresses[i];
            return 0;
        }
    }
    return -1;
}
