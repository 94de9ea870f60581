/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The receiver of the benchmark: takes GELF over TCP on a free port of the loopback, counts
 * messages and checks each: NUL behind it, braces around it, its number (flowgen.h) not seen
 * before; and every CHECK_EVERY-th byte by byte for what JSON asks of strings and nesting. Used by
 * tests/bench/run.
 *
 * bench_sink WANT: says "port N", then "enough" when WANT messages are there, and at TERM one JSON
 * line with what it saw. Seconds are from the first byte that came to the last.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "flowgen.h"

enum { PEERS_MAX = 64, READ_BYTES = 1 << 20, CHECK_EVERY = 1024, IDS_MAX = 1 << 28, NEAR = 48 };

struct peer {
    int fd;
    char *bytes; /* READ_BYTES */
    size_t len;
};

struct tally {
    uint64_t messages, bytes, connections;
    uint64_t malformed, unfinished; /* braces, strings; connections that ended inside a message */
    uint64_t without_id, duplicates, distinct;
    uint64_t highest_id;
    double first_s, last_s;
};

static volatile sig_atomic_t stopping;
static struct tally tally;
static uint64_t seen[IDS_MAX / 64];
static size_t id_hint; /* where the number stood in the message before */

static double now_s(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Strings that end, brackets that close, no control bytes. */
static bool is_json(const char *text, size_t len) {
    int depth = 0;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        if (c < ' ') {
            return false;
        }
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else {
            depth += (c == '{' || c == '[') - (c == '}' || c == ']');
        }
    }
    return depth == 0 && !in_string;
}

/* Messages are alike, so the field is looked for first where it was last. */
static const char *find_id(const char *text, size_t len) {
    static const char key[] = "\"_bytes\":";
    size_t from = id_hint > NEAR ? id_hint - NEAR : 0;
    const char *hit = NULL;
    if (id_hint + 2 * NEAR < len) {
        hit = memmem(text + from, 2 * NEAR, key, sizeof(key) - 1);
    }
    if (!hit) {
        hit = memmem(text, len, key, sizeof(key) - 1);
    }
    if (!hit) {
        return NULL;
    }
    id_hint = (size_t)(hit - text);
    hit += sizeof(key) - 1;
    return *hit == '"' ? hit + 1 : hit; /* syslog-ng and rsyslog write numbers as they come */
}

static void take_id(const char *text, size_t len) {
    const char *digits = find_id(text, len);
    if (!digits || *digits < '0' || *digits > '9') {
        tally.without_id++;
        return;
    }
    uint64_t id = 0;
    while (*digits >= '0' && *digits <= '9') {
        id = id * 10 + (uint64_t)(*digits++ - '0');
    }
    id -= FLOWGEN_FIRST_ID;
    if (id >= IDS_MAX) {
        tally.malformed++;
    } else if (seen[id / 64] & UINT64_C(1) << id % 64) {
        tally.duplicates++;
    } else {
        seen[id / 64] |= UINT64_C(1) << id % 64;
        tally.distinct++;
        tally.highest_id = id > tally.highest_id ? id : tally.highest_id;
    }
}

static void take_message(const char *text, size_t len, uint64_t want) {
    if (len > 0 && text[len - 1] == '\n') { /* syslog-ng ends its lines by itself */
        len--;
    }
    if (len < 2 || text[0] != '{' || text[len - 1] != '}' ||
        (tally.messages % CHECK_EVERY == 0 && !is_json(text, len))) {
        tally.malformed++;
    }
    take_id(text, len);
    if (++tally.messages == want) {
        puts("enough");
        fflush(stdout);
    }
}

/* Takes what came; false when the peer is gone. */
static bool take_bytes(struct peer *peer, uint64_t want) {
    ssize_t got = read(peer->fd, peer->bytes + peer->len, READ_BYTES - peer->len);
    if (got <= 0) {
        tally.unfinished += peer->len > 0;
        return false;
    }
    tally.first_s = tally.first_s > 0 ? tally.first_s : now_s();
    tally.bytes += (uint64_t)got;
    const char *at = peer->bytes, *end = at + peer->len + (size_t)got;
    const char *nul = memchr(at + peer->len, 0, (size_t)got);
    while (nul) {
        take_message(at, (size_t)(nul - at), want);
        at = nul + 1;
        nul = memchr(at, 0, (size_t)(end - at));
    }
    peer->len = (size_t)(end - at);
    memmove(peer->bytes, at, peer->len);
    tally.last_s = now_s();
    if (peer->len == READ_BYTES) {
        tally.malformed++;
        peer->len = 0;
    }
    return true;
}

static void accept_peer(int listener, struct peer *peers, struct pollfd *fds, nfds_t *count) {
    int fd = accept(listener, NULL, NULL);
    if (fd < 0 || *count > PEERS_MAX) {
        return;
    }
    struct peer *peer = &peers[*count];
    peer->fd = fd;
    peer->len = 0;
    if (!peer->bytes && !(peer->bytes = malloc(READ_BYTES))) {
        abort();
    }
    fds[(*count)++] = (struct pollfd){.fd = fd, .events = POLLIN};
    tally.connections++;
}

static void drop_peer(struct peer *peers, struct pollfd *fds, nfds_t *count, nfds_t index) {
    nfds_t last = --*count;
    struct peer gone = peers[index];
    close(gone.fd);
    peers[index] = peers[last];
    fds[index] = fds[last];
    peers[last] = gone;
}

static void serve(int listener, uint64_t want) {
    static struct peer peers[PEERS_MAX + 1];
    struct pollfd fds[PEERS_MAX + 1] = {{.fd = listener, .events = POLLIN}};
    nfds_t count = 1;
    while (!stopping) {
        if (poll(fds, count, 200) <= 0) {
            continue;
        }
        for (nfds_t i = count - 1; i > 0; i--) {
            if (fds[i].revents && !take_bytes(&peers[i], want)) {
                drop_peer(peers, fds, &count, i);
            }
        }
        if (fds[0].revents) {
            accept_peer(listener, peers, fds, &count);
        }
    }
}

static int listen_anywhere(void) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, PEERS_MAX) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        perror("bench_sink");
        exit(1);
    }
    printf("port %d\n", ntohs(address.sin_port));
    fflush(stdout);
    return fd;
}

static void stop(int number) {
    (void)number;
    stopping = 1;
}

int main(int argc, char **argv) {
    struct sigaction action = {.sa_handler = stop};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    serve(listen_anywhere(), argc > 1 ? strtoull(argv[1], NULL, 10) : 0);
    uint64_t missing = tally.distinct > 0 ? tally.highest_id + 1 - tally.distinct : 0;
    printf("{\"messages\": %llu, \"bytes\": %llu, \"seconds\": %.6f, \"connections\": %llu, "
           "\"malformed\": %llu, \"unfinished\": %llu, \"without_id\": %llu, \"duplicates\": %llu, "
           "\"distinct\": %llu, \"missing\": %llu}\n",
           (unsigned long long)tally.messages, (unsigned long long)tally.bytes,
           tally.last_s - tally.first_s, (unsigned long long)tally.connections,
           (unsigned long long)tally.malformed, (unsigned long long)tally.unfinished,
           (unsigned long long)tally.without_id, (unsigned long long)tally.duplicates,
           (unsigned long long)tally.distinct, (unsigned long long)missing);
    return 0;
}
