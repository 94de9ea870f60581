/* SPDX-License-Identifier: Apache-2.0 */
/* See dial.h. */
#include "output/dial.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "base/log.h"
#include "base/net.h"
#include "base/xalloc.h"
#include "core/backoff.h"

enum { CONNECT_TIMEOUT_MS = 10000, HANDSHAKE_TIMEOUT_MS = 10000 };

enum dial_step { DIAL_IDLE, DIAL_RESOLVING, DIAL_CONNECTING, DIAL_HANDSHAKE };

struct dial {
    const struct hostport *target;
    struct net_lookup *lookup;
    enum dial_step step;
    struct net_answer answer;
    size_t next_address;
    int fd; /* while connecting and in the handshake */
    struct tls_client *client;
    struct tls_ticket ticket;
    struct tls *tls;       /* in the handshake */
    int64_t deadline_ms;   /* of this address */
    int64_t not_before_ms; /* of the next attempt */
    struct backoff backoff;
    uint64_t random;
};

struct dial *dial_open(const struct hostport *target, struct tls_client *tls) {
    struct dial *dial = xcalloc(1, sizeof *dial);
    dial->target = target;
    dial->client = tls;
    dial->lookup = net_lookup_open(target->host, target->port, SOCK_STREAM);
    dial->fd = -1;
    dial->not_before_ms = INT64_MIN;
    if (getrandom(&dial->random, sizeof dial->random, 0) < 0) {
        dial->random = (uint64_t)(uintptr_t)dial; /* jitter need not be secret */
    }
    dial->random |= 1;
    return dial;
}

static void hang_up(struct dial *dial) {
    tls_close(dial->tls);
    dial->tls = NULL;
    if (dial->fd >= 0) {
        close(dial->fd);
        dial->fd = -1;
    }
}

void dial_close(struct dial *dial) {
    if (!dial) {
        return;
    }
    net_lookup_close(dial->lookup);
    hang_up(dial);
    tls_ticket_done(&dial->ticket);
    free(dial);
}

/* xorshift64: good enough to keep clients out of step. */
static uint32_t next_random(struct dial *dial) {
    dial->random ^= dial->random << 13;
    dial->random ^= dial->random >> 7;
    dial->random ^= dial->random << 17;
    return (uint32_t)(dial->random >> 32);
}

static void back_off(struct dial *dial, int64_t now_ms) {
    dial->step = DIAL_IDLE;
    dial->not_before_ms = now_ms + backoff_next(&dial->backoff, next_random(dial));
}

void dial_lost(struct dial *dial, bool worked, int64_t now_ms) {
    if (worked) {
        backoff_reset(&dial->backoff);
    }
    back_off(dial, now_ms);
}

/* Puts the address and the target before an error, but for what it names already: where the target
   is an address they are the same. */
static void name_target(const struct dial *dial, const char *address, struct err *err) {
    const char *host = dial->target->host;
    char target[sizeof err->text];
    snprintf(target, sizeof target, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host,
             dial->target->port);
    if (!strstr(err->text, address)) {
        err_wrap(err, "%s", address);
    }
    if (!strstr(err->text, target)) {
        err_wrap(err, "%s", target);
    }
}

/* Begins with the next address; when none is left the attempt has failed with *err as it is. */
static int next_address(struct dial *dial, int64_t now_ms, struct err *err) {
    while (dial->next_address < dial->answer.count) {
        const struct net_address *address = &dial->answer.addresses[dial->next_address++];
        char text[NET_TEXT_MAX];
        dial->fd = net_connect(address, err);
        if (dial->fd >= 0) {
            dial->step = DIAL_CONNECTING;
            dial->deadline_ms = now_ms + CONNECT_TIMEOUT_MS;
            return 0;
        }
        name_target(dial, net_format(address, text), err);
    }
    back_off(dial, now_ms);
    return -1;
}

static int turn_resolving(struct dial *dial, int64_t now_ms, struct err *err) {
    int result = net_lookup_poll(dial->lookup, &dial->answer, err);
    if (result < 0) {
        back_off(dial, now_ms);
        return -1;
    }
    dial->next_address = 0;
    return result == 0 ? 0 : next_address(dial, now_ms, err);
}

/* The address tried last is of no use. */
static int give_up_address(struct dial *dial, int64_t now_ms, struct err *err) {
    char text[NET_TEXT_MAX];
    name_target(dial, net_format(&dial->answer.addresses[dial->next_address - 1], text), err);
    hang_up(dial);
    return next_address(dial, now_ms, err);
}

static int hand_over(struct dial *dial, int *fd, struct tls **tls) {
    *fd = dial->fd;
    *tls = dial->tls;
    dial->fd = -1;
    dial->tls = NULL;
    dial->step = DIAL_IDLE;
    return 1;
}

/* Each connection uses the certificates as they are on disk when it is made. */
static void begin_handshake(struct dial *dial, int64_t now_ms) {
    struct err err;
    int result = tls_client_refresh(dial->client, &err);
    if (result > 0) {
        log_info("certificates for %s:%u changed and are read again", dial->target->host,
                 dial->target->port);
    } else if (result < 0) {
        log_warning("%s; for %s:%u what was read before stays in use", err.text, dial->target->host,
                    dial->target->port);
    }
    dial->tls = tls_open(dial->client, dial->fd, dial->target->host, &dial->ticket);
    dial->step = DIAL_HANDSHAKE;
    dial->deadline_ms = now_ms + HANDSHAKE_TIMEOUT_MS;
}

static int turn_connecting(struct dial *dial, int64_t now_ms, int *fd, struct tls **tls,
                           struct err *err) {
    int result = net_connected(dial->fd, err);
    if (result == 0 && now_ms < dial->deadline_ms) {
        return 0;
    }
    if (result > 0 && !dial->client) {
        return hand_over(dial, fd, tls);
    }
    if (result > 0) {
        begin_handshake(dial, now_ms);
        return 0;
    }
    if (result == 0) {
        err_set(err, ERR_RETRY, "no answer within %d s", CONNECT_TIMEOUT_MS / 1000);
    }
    return give_up_address(dial, now_ms, err);
}

static int turn_handshake(struct dial *dial, int64_t now_ms, int *fd, struct tls **tls,
                          struct err *err) {
    int result = tls_handshake(dial->tls, err);
    if (result > 0) {
        return hand_over(dial, fd, tls);
    }
    if (result == 0 && now_ms < dial->deadline_ms) {
        return 0;
    }
    if (result == 0) {
        err_set(err, ERR_RETRY,
                "the TLS handshake did not end within %d s: does the receiver speak TLS on this "
                "port, and is it busy?",
                HANDSHAKE_TIMEOUT_MS / 1000);
    }
    return give_up_address(dial, now_ms, err);
}

int dial_turn(struct dial *dial, int64_t now_ms, int *fd, struct tls **tls, struct err *err) {
    int result = 0;
    if (dial->step == DIAL_IDLE && now_ms >= dial->not_before_ms) {
        net_lookup_start(dial->lookup);
        dial->step = DIAL_RESOLVING;
    }
    if (dial->step == DIAL_RESOLVING) {
        result = turn_resolving(dial, now_ms, err);
    }
    if (dial->step == DIAL_CONNECTING) {
        result = turn_connecting(dial, now_ms, fd, tls, err);
    }
    if (dial->step == DIAL_HANDSHAKE) {
        result = turn_handshake(dial, now_ms, fd, tls, err);
    }
    return result;
}

int dial_poll(const struct dial *dial, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    int64_t until_ms = dial->step == DIAL_IDLE        ? dial->not_before_ms
                       : dial->step == DIAL_RESOLVING ? INT64_MAX
                                                      : dial->deadline_ms;
    if (until_ms <= now_ms) {
        *wait_ms = 0;
    } else if (until_ms - now_ms < *wait_ms) {
        *wait_ms = (int)(until_ms - now_ms);
    }
    if (dial->step == DIAL_IDLE) {
        return 0;
    }
    bool resolving = dial->step == DIAL_RESOLVING;
    *fds = (struct pollfd){.fd = resolving ? net_lookup_fd(dial->lookup) : dial->fd,
                           .events = resolving                      ? POLLIN
                                     : dial->step == DIAL_HANDSHAKE ? tls_wants(dial->tls)
                                                                    : POLLOUT};
    return 1;
}

const char *dial_state(const struct dial *dial, int64_t now_ms) {
    switch (dial->step) {
    case DIAL_RESOLVING:
        return "resolving";
    case DIAL_CONNECTING:
        return "connecting";
    case DIAL_HANDSHAKE:
        return "in the TLS handshake";
    case DIAL_IDLE:
        break;
    }
    return now_ms < dial->not_before_ms ? "waiting to connect again" : "not connected";
}
