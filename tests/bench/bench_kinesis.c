/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_kinesis SHARDS COUNT: a Kinesis stream on a free loopback port, served over HTTP from
 * replies that are prepared beforehand: COUNT flow-log lines in gzip envelopes of FLOWGEN_EVENTS,
 * ENVELOPES_A_REPLY of them in a reply, spread over SHARDS; then each shard is at its tip. No limits
 * and no signatures: it shows what the reader can do. Prints `PORT FLOWS` when it listens; on
 * SIGTERM one line of JSON: how many GetRecords calls there were, and the fewest and most of a shard.
 * Used by tests/bench/run.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/xalloc.h"
#include "flowgen.h"

enum {
    ENVELOPES_A_REPLY = 40, /* 300 KB, what five calls a second get of 2 MB/s at most */
    SHARDS_MAX = 2000,
    CONNECTIONS_MAX = 512,
    REQUEST_MAX = 16 << 10,
    REPLY_MAX = 64 << 20,
    HEAD_MAX = 256,
    SEQUENCE_FIRST = 10000000, /* one width, so that text order is the order */
};

struct shard {
    size_t reply_count;
    struct buf *replies;
    uint64_t calls;
};

/* A request that is coming in, then the reply that is going out. */
struct connection {
    int fd;
    char request[REQUEST_MAX];
    size_t have;
    char head[HEAD_MAX];
    struct span head_left, body_left;
    struct buf small; /* of replies that are made for the request */
};

static struct shard shards[SHARDS_MAX];
static size_t shard_count;
static uint64_t sequence;
static volatile sig_atomic_t stopping;

static void on_signal(int number) {
    (void)number;
    stopping = 1;
}

static void add_record(struct buf *reply, size_t at, char *envelope, size_t len) {
    buf_printf(reply,
               "%s{\"SequenceNumber\":\"%ju\",\"ApproximateArrivalTimestamp\":1.7e9,\"Data\":\"",
               at > 0 ? "," : "", (uintmax_t)(SEQUENCE_FIRST + sequence++));
    base64_encode(span_of(envelope, len), reply);
    buf_printf(reply, "\",\"PartitionKey\":\"%zu\"}", at);
}

/* One more reply for a shard, of at most `lines` lines. */
static void prepare_reply(struct flowgen *gen, size_t index, uint64_t lines) {
    struct shard *shard = &shards[index];
    shard->replies = xreallocarray(shard->replies, shard->reply_count + 1, sizeof(*shard->replies));
    struct buf *reply = &shard->replies[shard->reply_count++];
    buf_init(reply, REPLY_MAX);
    buf_printf(reply, "{\"Records\":[");
    for (size_t i = 0; i < ENVELOPES_A_REPLY && lines > 0; i++) {
        size_t events = lines < FLOWGEN_EVENTS ? lines : FLOWGEN_EVENTS;
        char *envelope;
        size_t len = flowgen_envelope(gen, events, &envelope);
        add_record(reply, i, envelope, len);
        free(envelope);
        lines -= events;
    }
    buf_printf(reply, "],\"NextShardIterator\":\"%zu-%zu\",\"MillisBehindLatest\":1000}", index,
               shard->reply_count);
}

static uint64_t prepare(uint64_t lines) {
    static struct flowgen gen;
    flowgen_init(&gen, 1, 0);
    for (size_t i = 0; gen.lines < lines; i = (i + 1) % shard_count) {
        prepare_reply(&gen, i, lines - gen.lines);
    }
    return gen.flows;
}

static void list_shards(struct buf *out) {
    buf_printf(out, "{\"Shards\":[");
    for (size_t i = 0; i < shard_count; i++) {
        buf_printf(
            out,
            "%s{\"ShardId\":\"shardId-%012zu\",\"HashKeyRange\":{\"StartingHashKey\":\"%zu\","
            "\"EndingHashKey\":\"%zu\"},\"SequenceNumberRange\":{\"StartingSequenceNumber\":"
            "\"1\"}}",
            i > 0 ? "," : "", i, i * 10, i * 10 + 9);
    }
    buf_printf(out, "]}");
}

static size_t number_behind(const char *request, const char *what) {
    const char *hit = strstr(request, what);
    return hit ? strtoul(hit + strlen(what), NULL, 10) : 0;
}

/* The body of the answer; `small` is its memory when it is made on the spot. */
static struct span answer(const char *request, struct buf *small) {
    buf_clear(small);
    if (strstr(request, ".ListShards\r\n")) {
        list_shards(small);
    } else if (strstr(request, ".GetShardIterator\r\n")) {
        buf_printf(small, "{\"ShardIterator\":\"%zu-0\"}",
                   number_behind(request, "\"ShardId\":\"shardId-"));
    } else if (strstr(request, ".GetRecords\r\n")) {
        size_t index = number_behind(request, "\"ShardIterator\":\"") % shard_count;
        const char *dash = strchr(strstr(request, "\"ShardIterator\":\""), '-');
        size_t at = dash ? strtoul(dash + 1, NULL, 10) : 0;
        shards[index].calls++;
        if (at < shards[index].reply_count) {
            return buf_span(&shards[index].replies[at]);
        }
        buf_printf(small,
                   "{\"Records\":[],\"NextShardIterator\":\"%zu-%zu\",\"MillisBehindLatest\":0}",
                   index, at);
    } else {
        buf_printf(small, "{\"StreamDescriptionSummary\":{\"StreamStatus\":\"ACTIVE\","
                          "\"RetentionPeriodHours\":24}}");
    }
    return buf_span(small);
}

/* A whole request is in: prepares the reply. False: not whole yet. */
static bool take_request(struct connection *connection) {
    connection->request[connection->have] = '\0';
    char *end = strstr(connection->request, "\r\n\r\n");
    if (!end) {
        return false;
    }
    size_t length = number_behind(connection->request, "Content-Length: ");
    size_t whole = (size_t)(end - connection->request) + 4 + length;
    if (connection->have < whole) {
        return false;
    }
    connection->body_left = answer(connection->request, &connection->small);
    int len = snprintf(connection->head, HEAD_MAX,
                       "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.1\r\n"
                       "Content-Length: %zu\r\n\r\n",
                       connection->body_left.len);
    connection->head_left = span_of(connection->head, (size_t)len);
    connection->have -= whole;
    memmove(connection->request, connection->request + whole, connection->have);
    return true;
}

static size_t cut(struct span *span, size_t count) {
    size_t taken = count < span->len ? count : span->len;
    *span = span_skip(*span, taken);
    return count - taken;
}

/* 1: all is written, 0: not yet, -1: the peer is gone. */
static int write_on(struct connection *connection) {
    while (connection->head_left.len + connection->body_left.len > 0) {
        struct iovec parts[2] = {
            {.iov_base = (void *)connection->head_left.p, .iov_len = connection->head_left.len},
            {.iov_base = (void *)connection->body_left.p, .iov_len = connection->body_left.len},
        };
        ssize_t count = writev(connection->fd, parts, 2);
        if (count < 0) {
            return errno == EAGAIN ? 0 : -1;
        }
        cut(&connection->body_left, cut(&connection->head_left, (size_t)count));
    }
    return 1;
}

/* False: the connection is over. */
static bool turn(struct connection *connection) {
    ssize_t count = read(connection->fd, connection->request + connection->have,
                         REQUEST_MAX - 1 - connection->have);
    if (count == 0 || (count < 0 && errno != EAGAIN)) {
        return false;
    }
    connection->have += count > 0 ? (size_t)count : 0;
    int written = write_on(connection);
    while (written == 1 && take_request(connection)) {
        written = write_on(connection);
    }
    return written >= 0;
}

static void accept_one(int listener, int epoll) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        return;
    }
    struct connection *connection = xcalloc(1, sizeof(*connection));
    connection->fd = fd;
    buf_init(&connection->small, 1 << 20);
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = connection};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

static void serve(int listener) {
    struct epoll_event events[64], event = {.events = EPOLLIN, .data.ptr = NULL};
    int epoll = epoll_create1(EPOLL_CLOEXEC);
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    while (!stopping) {
        int count = epoll_wait(epoll, events, 64, 100);
        for (int i = 0; i < count; i++) {
            struct connection *connection = events[i].data.ptr;
            if (!connection) {
                accept_one(listener, epoll);
            } else if (!turn(connection)) {
                close(connection->fd);
                buf_done(&connection->small);
                free(connection);
            }
        }
    }
    close(epoll);
}

static int listen_anywhere(uint16_t *port) {
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t len = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(fd, (struct sockaddr *)&address, len) != 0 || listen(fd, CONNECTIONS_MAX) != 0 ||
        getsockname(fd, (struct sockaddr *)&address, &len) != 0) {
        perror("listen");
        exit(1);
    }
    *port = ntohs(address.sin_port);
    return fd;
}

static void report(void) {
    uint64_t sum = 0, fewest = UINT64_MAX, most = 0;
    for (size_t i = 0; i < shard_count; i++) {
        uint64_t calls = shards[i].calls;
        sum += calls;
        fewest = calls < fewest ? calls : fewest;
        most = calls > most ? calls : most;
    }
    printf("{\"calls\": %ju, \"fewest\": %ju, \"most\": %ju}\n", (uintmax_t)sum, (uintmax_t)fewest,
           (uintmax_t)most);
}

int main(int argc, char **argv) {
    uint16_t port;
    if (argc != 3 || (shard_count = strtoul(argv[1], NULL, 10)) < 1 || shard_count > SHARDS_MAX) {
        fprintf(stderr, "usage: bench_kinesis SHARDS COUNT\n");
        return 2;
    }
    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    uint64_t flows = prepare(strtoull(argv[2], NULL, 10));
    int listener = listen_anywhere(&port);
    printf("%u %ju\n", (unsigned)port, (uintmax_t)flows);
    fflush(stdout);
    serve(listener);
    report();
    return 0;
}
