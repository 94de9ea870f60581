/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GELF in datagrams: each message of a parcel by itself, in chunks where it is larger than `mtu`,
 * compressed where that is wanted or saves a datagram. Delivered means handed to the kernel, no
 * faster than `rate`, as nobody acknowledges a datagram.
 *
 * Datagrams are gathered in a batch that only holds whole messages and is handed over by sendmmsg;
 * what the kernel does not take stays in it for the next turn. Plain messages are sent straight
 * from the ring, compressed ones from the arena. Nothing here waits or allocates after open.
 */
#include <errno.h>
#include <libdeflate.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/net.h"
#include "base/xalloc.h"
#include "core/backoff.h"
#include "output/chunk.h"
#include "output/common.h"
#include "output/gelf.h"
#include "output/gelf_udp.h"
#include "output/outputs.h"

enum {
    BATCH_MAX = 256, /* datagrams; at least CHUNK_COUNT_MAX */
    GZIP_LEVEL = 1,
    RESOLVE_MS = 60000,     /* how often the name is asked for anew */
    RESOLVE_SOON_MS = 1000, /* and after errors, at most so often */
    REFUSED_IN_A_ROW = 3,
    BURSTS_PER_SECOND = 100, /* a worker may be away for as long between turns */
    NO_MEMORY_PAUSE_MS = 10,
};

struct datagram {
    uint8_t header[CHUNK_HEADER_BYTES];
    struct iovec parts[2];
    size_t index;       /* of the chunk in its message */
    uint64_t completes; /* number of the parcel of which it is the last; 0: of none */
};

/* A message that is ready but not yet in the batch. */
struct payload {
    struct span bytes;
    size_t chunks; /* 0: there is none */
};

struct gelf_udp {
    const struct gelf_udp_conf *conf;
    struct parcels parcels;
    uint64_t reading; /* number of the parcel from which messages are taken */
    size_t offset;    /* of the next message in it */
    struct payload payload;
    struct libdeflate_compressor *compressor;
    char *arena; /* compressed messages of the batch */
    size_t arena_len, arena_max, message_max;
    char *trial; /* message_max bytes, to find out whether a message can be made small enough */

    struct datagram datagrams[BATCH_MAX];
    struct mmsghdr headers[BATCH_MAX];
    size_t count, sent;
    struct chunk_ids ids;

    int64_t rate;               /* datagrams a second; 0: unlimited */
    int64_t credit, credit_max; /* thousandths of a datagram */
    int64_t credit_ms;

    int fd; /* -1: none yet */
    bool blocked, asking, refused;
    int64_t paused_until_ms; /* the kernel has no memory to send with, which no poll tells */
    struct net_lookup *lookup;
    struct net_address address;
    int64_t asked_ms, ask_at_ms;
    struct backoff backoff;
};

static const char *const compress_names[] = {"auto", "gzip", "none", NULL};

static const struct option gelf_udp_options[] = {
    OUTPUT_COMMON_OPTIONS,
    {.name = "hosts",
     .type = OPTION_HOSTPORT,
     .list = true,
     .required = true,
     .offset = offsetof(struct gelf_udp_conf, hosts),
     .sample = "[graylog:12201]",
     .help = "Receiver, as host:port or [v6]:port. Exactly one for now; its name is resolved anew "
             "every minute and after errors"},
    {.name = "mtu",
     .type = OPTION_INTEGER,
     .min = 576,
     .max = 8192,
     .preset = "1420",
     .offset = offsetof(struct gelf_udp_conf, mtu_bytes),
     .help = "Bytes of GELF in a datagram, chunk header included; Logstash takes at most 8192"},
    {.name = "compress",
     .type = OPTION_CHOICE,
     .choices = compress_names,
     .preset = "auto",
     .offset = offsetof(struct gelf_udp_conf, compress),
     .help = "`auto` compresses a message only where that saves a datagram"},
    {.name = "rate",
     .type = OPTION_RATE,
     .min = 1,
     .max = 100000000,
     .preset = "20000",
     .offset = offsetof(struct gelf_udp_conf, rate),
     .help = "Datagrams a second, all workers together, or `unlimited`; a backlog would else flood "
             "the receiver's buffer"},
    OPTION_END,
};

static void gelf_udp_init(void *conf, const struct message_conf *messages,
                          struct option_context *context, const struct yaml_node *node,
                          const char *path) {
    const struct gelf_udp_conf *udp = conf;
    output_init_gelf(&udp->common, &udp->hosts, messages, context, node, path);
}

static void gelf_udp_done(void *conf) {
    (void)conf;
}

static int gelf_udp_check(const void *conf, bool online, struct buf *report, struct err *err) {
    const struct gelf_udp_conf *udp = conf;
    return output_check_host(&udp->hosts.items[0], SOCK_DGRAM, online, report, err);
}

static void set_rate(struct gelf_udp *udp, int64_t rate, int sharers) {
    if (rate == 0) {
        return;
    }
    udp->rate = rate > sharers ? rate / sharers : 1;
    int64_t burst = udp->rate / BURSTS_PER_SECOND;
    udp->credit_max = 1000 * (burst > CHUNK_COUNT_MAX ? burst : CHUNK_COUNT_MAX);
}

static int gelf_udp_open(void *conf, const struct output_place *place, void **handle,
                         struct err *err) {
    const struct gelf_udp_conf *settings = conf;
    const struct hostport *target = &settings->hosts.items[0];
    struct gelf_udp *udp = xcalloc(1, sizeof *udp);
    udp->conf = settings;
    udp->reading = 1;
    udp->fd = -1;
    udp->ask_at_ms = INT64_MIN;
    udp->message_max = CHUNK_COUNT_MAX * ((size_t)settings->mtu_bytes - CHUNK_HEADER_BYTES);
    udp->arena_max = 2 * udp->message_max;
    udp->arena = xmalloc(udp->arena_max);
    udp->trial = xmalloc(udp->message_max);
    udp->compressor = libdeflate_alloc_compressor(GZIP_LEVEL);
    udp->lookup = net_lookup_open(target->host, target->port, SOCK_DGRAM);
    parcels_init(&udp->parcels, place->ring_bytes);
    set_rate(udp, settings->rate, place->sharers);
    *handle = udp;
    if (!udp->compressor || getrandom(&udp->ids.seed, sizeof udp->ids.seed, 0) < 0) {
        output_gelf_udp_type.close(udp);
        return err_sys(err, ERR_STOP, "gelf_udp cannot be set up");
    }
    return 0;
}

/* Plain where that fits, as compress_message falls back to it; else by what compressing really
   makes of it, which prepare will make again: both come to the same bytes. */
static bool gelf_udp_takes(void *handle, struct span message) {
    struct gelf_udp *udp = handle;
    size_t len = message.len - 1, max = udp->message_max; /* without the NUL */
    if (len <= max || udp->conf->compress == COMPRESS_NONE) {
        return len <= max;
    }
    return libdeflate_gzip_compress(udp->compressor, message.p, len, udp->trial, max) > 0;
}

static void gelf_udp_send(void *handle, const struct parcel *parcel) {
    struct gelf_udp *udp = handle;
    parcels_add(&udp->parcels, parcel);
}

/* All up to the present parcel's number is done once the batch is out. */
static void complete(struct gelf_udp *udp, uint64_t number) {
    if (udp->count > udp->sent) {
        udp->datagrams[udp->count - 1].completes = number;
    } else {
        parcels_deliver(&udp->parcels, number);
    }
}

static void step_over(struct gelf_udp *udp, size_t message_len) {
    udp->offset += message_len + 1;
    if (udp->offset >= parcels_at(&udp->parcels, udp->reading)->bytes.len) {
        complete(udp, udp->reading);
        udp->reading++;
        udp->offset = 0;
    }
}

/* The next message, without the NUL that ends it; false: there is none. */
static bool peek_message(const struct gelf_udp *udp, struct span *message) {
    if (udp->reading > udp->parcels.last) {
        return false;
    }
    struct span rest = span_skip(parcels_at(&udp->parcels, udp->reading)->bytes, udp->offset);
    const char *end = memchr(rest.p, '\0', rest.len);
    *message = span_of(rest.p, end ? (size_t)(end - rest.p) : rest.len);
    return true;
}

/* The message as it is to be sent, in the arena if compressed. */
static struct span compress_message(struct gelf_udp *udp, struct span message) {
    size_t mtu = (size_t)udp->conf->mtu_bytes;
    size_t plain_count = chunk_count(message.len, mtu);
    if (udp->conf->compress == COMPRESS_NONE ||
        (udp->conf->compress == COMPRESS_AUTO && plain_count == 1)) {
        return message;
    }
    char *out = udp->arena + udp->arena_len;
    size_t size =
        libdeflate_gzip_compress(udp->compressor, message.p, message.len, out, udp->message_max);
    if (size == 0 ||
        (udp->conf->compress == COMPRESS_AUTO && chunk_count(size, mtu) >= plain_count)) {
        return message;
    }
    udp->arena_len += size;
    return span_of(out, size);
}

/* Makes the next message ready. False: there is none, or the arena must be emptied first. */
static bool prepare(struct gelf_udp *udp) {
    struct span message;
    while (udp->payload.chunks == 0 && udp->arena_max - udp->arena_len >= udp->message_max &&
           peek_message(udp, &message)) {
        struct span bytes = compress_message(udp, message);
        size_t chunks = chunk_count(bytes.len, (size_t)udp->conf->mtu_bytes);
        assert(chunks <= CHUNK_COUNT_MAX); /* by gelf_udp_takes */
        if (bytes.len == 0) {
            step_over(udp, 0);
        } else {
            udp->payload = (struct payload){bytes, chunks};
        }
    }
    return udp->payload.chunks > 0;
}

static void add_datagram(struct gelf_udp *udp, uint64_t id, size_t index) {
    const struct payload *payload = &udp->payload;
    size_t mtu = (size_t)udp->conf->mtu_bytes;
    struct datagram *datagram = &udp->datagrams[udp->count];
    size_t parts = 0;
    *datagram = (struct datagram){.index = index};
    struct span bytes = payload->bytes;
    if (payload->chunks > 1) {
        chunk_header(id, index, payload->chunks, datagram->header);
        datagram->parts[parts++] = (struct iovec){datagram->header, CHUNK_HEADER_BYTES};
        bytes = span_of(bytes.p + chunk_offset(index, mtu), chunk_size(bytes.len, index, mtu));
    }
    datagram->parts[parts++] = (struct iovec){(void *)bytes.p, bytes.len};
    udp->headers[udp->count++] = (struct mmsghdr){
        .msg_hdr = {.msg_iov = datagram->parts, .msg_iovlen = parts},
    };
}

/* Puts the ready message into the batch; false: no room, or not yet by `rate`. */
static bool add_payload(struct gelf_udp *udp) {
    size_t chunks = udp->payload.chunks;
    int64_t cost = 1000 * (int64_t)chunks;
    struct span message;
    if (BATCH_MAX - udp->count < chunks || (udp->rate > 0 && udp->credit < cost)) {
        return false;
    }
    udp->credit -= udp->rate > 0 ? cost : 0;
    uint64_t id = chunks > 1 ? chunk_next_id(&udp->ids) : 0;
    for (size_t i = 0; i < chunks; i++) {
        add_datagram(udp, id, i);
    }
    peek_message(udp, &message);
    udp->payload.chunks = 0;
    step_over(udp, message.len);
    return true;
}

static void refill(struct gelf_udp *udp, int64_t now_ms) {
    if (udp->credit_ms == 0) {
        udp->credit = udp->credit_max;
    } else if (now_ms > udp->credit_ms) {
        int64_t passed_ms = now_ms - udp->credit_ms;
        int64_t most_ms = udp->rate > 0 ? udp->credit_max / udp->rate + 1 : 0;
        udp->credit += udp->rate * (passed_ms < most_ms ? passed_ms : most_ms);
        udp->credit = udp->credit < udp->credit_max ? udp->credit : udp->credit_max;
    }
    udp->credit_ms = now_ms;
}

static void take_sent(struct gelf_udp *udp, size_t sent) {
    udp->parcels.counts.datagrams += sent;
    for (size_t i = 0; i < sent; i++) {
        uint64_t completes = udp->datagrams[udp->sent++].completes;
        if (completes > 0) {
            parcels_deliver(&udp->parcels, completes);
        }
    }
}

/* Ids are random enough for the jitter. */
static void ask_later(struct gelf_udp *udp, int64_t now_ms) {
    uint32_t random = (uint32_t)chunk_next_id(&udp->ids);
    udp->ask_at_ms = now_ms + backoff_next(&udp->backoff, random);
}

/* The socket is no good. A new one will begin with the message in whose middle this one ended. */
static int drop_socket(struct gelf_udp *udp, int64_t now_ms, struct err *err) {
    const struct hostport *target = &udp->conf->hosts.items[0];
    err_sys(err, ERR_RETRY, "cannot send to %s:%u", target->host, target->port);
    close(udp->fd);
    udp->fd = -1;
    ask_later(udp, now_ms);
    while (udp->sent < udp->count && udp->datagrams[udp->sent].index > 0) {
        udp->sent--;
    }
    return -1;
}

/* A datagram sent before was refused by the receiver's host, the present one was not sent. */
static int take_refused(struct gelf_udp *udp, struct err *err) {
    const struct hostport *target = &udp->conf->hosts.items[0];
    udp->parcels.counts.datagrams_refused++;
    udp->refused = true;
    int64_t soon_ms = udp->asked_ms + RESOLVE_SOON_MS;
    udp->ask_at_ms = soon_ms < udp->ask_at_ms ? soon_ms : udp->ask_at_ms;
    return err_set(err, ERR_RETRY, "%s:%u refuses datagrams: nobody listens there", target->host,
                   target->port);
}

/* The kernel takes nothing more in this turn. */
static bool is_stuck(const struct gelf_udp *udp, int64_t now_ms) {
    return udp->blocked || now_ms < udp->paused_until_ms;
}

/* Hands the batch to the kernel. *result becomes -1, with *err, for trouble worth telling. */
static void flush(struct gelf_udp *udp, int64_t now_ms, int *result, struct err *err) {
    int refused = 0;
    while (udp->sent < udp->count && udp->fd >= 0 && !is_stuck(udp, now_ms)) {
        int sent = sendmmsg(udp->fd, udp->headers + udp->sent, (unsigned)(udp->count - udp->sent),
                            MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            take_sent(udp, (size_t)sent);
            refused = 0;
            backoff_reset(&udp->backoff);
        } else if (errno == EAGAIN) {
            udp->blocked = true;
        } else if (errno == ENOBUFS) {
            udp->paused_until_ms = now_ms + NO_MEMORY_PAUSE_MS;
        } else if (errno == ECONNREFUSED && refused++ < REFUSED_IN_A_ROW) {
            *result = take_refused(udp, err);
        } else if (errno != EINTR) {
            *result = drop_socket(udp, now_ms, err);
        }
    }
    if (udp->sent == udp->count) {
        udp->sent = udp->count = 0;
        udp->arena_len = udp->payload.chunks > 0 ? udp->arena_len : 0;
    }
}

static bool same_address(const struct net_address *a, const struct net_address *b) {
    return a->len == b->len && memcmp(&a->any, &b->any, a->len) == 0;
}

/* The present address while it is among the answers; after a refusal the one behind it. */
static const struct net_address *choose_address(const struct gelf_udp *udp,
                                                const struct net_answer *answer) {
    for (size_t i = 0; i < answer->count; i++) {
        if (same_address(&answer->addresses[i], &udp->address)) {
            return &answer->addresses[(i + udp->refused) % answer->count];
        }
    }
    return &answer->addresses[0];
}

static int use_answer(struct gelf_udp *udp, const struct net_answer *answer, struct err *err) {
    const struct net_address *address = choose_address(udp, answer);
    udp->refused = false;
    if (udp->fd >= 0 && same_address(address, &udp->address)) {
        return 0;
    }
    int fd = net_connect_datagram(address, err);
    if (fd < 0) {
        return -1;
    }
    if (udp->fd >= 0) {
        close(udp->fd);
    }
    udp->fd = fd;
    udp->blocked = false;
    udp->address = *address;
    udp->parcels.counts.connects++;
    return 0;
}

/* Asks for the name's addresses when it is time, and uses them. Only between batches, as all chunks
   of a message go to one receiver; where there is no socket a message begins anew. */
static int turn_name(struct gelf_udp *udp, int64_t now_ms, struct err *err) {
    struct net_answer answer;
    if (!udp->asking && now_ms >= udp->ask_at_ms) {
        net_lookup_start(udp->lookup);
        udp->asking = true;
        udp->asked_ms = now_ms;
    }
    if (!udp->asking || (udp->count > udp->sent && udp->fd >= 0)) {
        return 0;
    }
    int result = net_lookup_poll(udp->lookup, &answer, err);
    if (result == 0) {
        return 0;
    }
    udp->asking = false;
    udp->ask_at_ms = now_ms + RESOLVE_MS;
    if (result < 0 || use_answer(udp, &answer, err) != 0) {
        ask_later(udp, now_ms);
        return -1;
    }
    return 0;
}

static int gelf_udp_turn(void *handle, int64_t now_ms, struct err *err) {
    struct gelf_udp *udp = handle;
    int result = turn_name(udp, now_ms, err);
    udp->blocked = false;
    refill(udp, now_ms);
    bool progress = true;
    while (udp->fd >= 0 && !is_stuck(udp, now_ms) && progress) {
        progress = false;
        while (prepare(udp) && add_payload(udp)) {
            progress = true;
        }
        flush(udp, now_ms, &result, err);
    }
    return result;
}

static int gelf_udp_poll_fds(void *handle, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    struct gelf_udp *udp = handle;
    int count = 0;
    if (udp->asking) {
        fds[count++] = (struct pollfd){.fd = net_lookup_fd(udp->lookup), .events = POLLIN};
    } else {
        output_wait_until(udp->ask_at_ms, now_ms, wait_ms);
    }
    if (udp->fd < 0 || (udp->reading > udp->parcels.last && udp->count == udp->sent)) {
        return count;
    }
    int64_t missing = 1000 * (int64_t)udp->payload.chunks - udp->credit;
    if (now_ms < udp->paused_until_ms) {
        output_wait_until(udp->paused_until_ms, now_ms, wait_ms);
    } else if (udp->blocked) {
        fds[count++] = (struct pollfd){.fd = udp->fd, .events = POLLOUT};
    } else if (udp->rate > 0 && missing > 0) {
        output_wait_until(now_ms + (missing + udp->rate - 1) / udp->rate, now_ms, wait_ms);
    } else {
        *wait_ms = 0;
    }
    return count;
}

static void gelf_udp_confirm(void *handle, int64_t now_ms) {
    (void)handle; /* what can be sent has been */
    (void)now_ms;
}

static uint64_t gelf_udp_delivered(void *handle) {
    const struct gelf_udp *udp = handle;
    return udp->parcels.delivered;
}

static const struct output_counts *gelf_udp_counts(const void *handle) {
    const struct gelf_udp *udp = handle;
    return &udp->parcels.counts;
}

static void gelf_udp_describe(void *handle, int64_t now_ms, struct buf *out) {
    (void)now_ms;
    const struct gelf_udp *udp = handle;
    const struct hostport *target = &udp->conf->hosts.items[0];
    char text[NET_TEXT_MAX];
    buf_printf(out, "gelf_udp %s:%u: %s, %ju parcels not sent, level sent\n", target->host,
               target->port, udp->fd >= 0 ? net_format(&udp->address, text) : "resolving",
               (uintmax_t)(udp->parcels.last - udp->parcels.delivered));
}

static void gelf_udp_close(void *handle) {
    struct gelf_udp *udp = handle;
    if (udp->fd >= 0) {
        close(udp->fd);
    }
    net_lookup_close(udp->lookup);
    libdeflate_free_compressor(udp->compressor);
    parcels_done(&udp->parcels);
    free(udp->arena);
    free(udp->trial);
    free(udp);
}

const struct output_type output_gelf_udp_type = {
    .name = "gelf_udp",
    .help = "GELF in datagrams, chunked and compressed as receivers know it; delivered when handed "
            "to the kernel",
    .options = gelf_udp_options,
    .conf_size = sizeof(struct gelf_udp_conf),
    .encoder = &gelf_encoder,
    .end = {"\0", 1},
    .init = gelf_udp_init,
    .done = gelf_udp_done,
    .check = gelf_udp_check,
    .ring_bytes = output_ring_bytes,
    .open = gelf_udp_open,
    .takes = gelf_udp_takes,
    .send = gelf_udp_send,
    .turn = gelf_udp_turn,
    .poll_fds = gelf_udp_poll_fds,
    .confirm = gelf_udp_confirm,
    .delivered = gelf_udp_delivered,
    .counts = gelf_udp_counts,
    .describe = gelf_udp_describe,
    .close = gelf_udp_close,
};
