/* SPDX-License-Identifier: Apache-2.0 */
/* See flowgen.h. */
#include "flowgen.h"

#include <libdeflate.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GZIP_LEVEL = 6, EVENT_MAX = FLOWGEN_LINE_MAX + 128, HEAD_MAX = 512 };

static const int first_octets[] = {3,  13, 18, 34,  35,  44,  52,  54,  62,
                                   81, 89, 91, 104, 142, 151, 185, 193, 203};
static const int services[] = {443, 80, 22, 3306, 5432, 53, 123, 6379, 9092, 8080};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* splitmix64: small, and good enough for traffic. */
static uint64_t next_random(struct flowgen *gen) {
    uint64_t z = gen->random += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static uint32_t below(struct flowgen *gen, uint32_t limit) {
    return (uint32_t)((next_random(gen) >> 32) * limit >> 32);
}

static int address_below(struct flowgen *gen, uint32_t limit) {
    return (int)below(gen, limit);
}

void flowgen_init(struct flowgen *gen, uint64_t seed, uint32_t fresh_every) {
    *gen = (struct flowgen){
        .random = seed, .fresh_every = fresh_every, .time_s = 1700000000, .only_interface = -1};
    for (int i = 0; i < FLOWGEN_ACCOUNTS; i++) {
        snprintf(gen->account[i], sizeof(gen->account[i]), "%06d%06d",
                 100000 + address_below(gen, 900000), address_below(gen, 1000000));
    }
    for (int i = 0; i < FLOWGEN_INTERFACES; i++) {
        snprintf(gen->interface[i], sizeof(gen->interface[i]), "eni-0%016llx",
                 (unsigned long long)next_random(gen));
    }
    for (int i = 0; i < FLOWGEN_PRIVATE; i++) {
        snprintf(gen->private_addr[i], sizeof(gen->private_addr[i]), "10.%d.%d.%d",
                 address_below(gen, 4), address_below(gen, 256), 1 + address_below(gen, 254));
    }
    for (int i = 0; i < FLOWGEN_PUBLIC; i++) {
        snprintf(gen->public_addr[i], sizeof(gen->public_addr[i]), "%d.%d.%d.%d",
                 first_octets[below(gen, COUNT_OF(first_octets))], address_below(gen, 256),
                 address_below(gen, 256), 1 + address_below(gen, 254));
    }
    for (int i = 0; i < FLOWGEN_V6; i++) {
        snprintf(gen->v6_addr[i], sizeof(gen->v6_addr[i]), "2600:1f18:%x:%x::%x", below(gen, 65536),
                 below(gen, 65536), 1 + below(gen, 65535));
    }
}

/* Counts upwards, so that none comes twice; within 100.0.0.0/8 and up, where no others are. */
static const char *fresh_address(struct flowgen *gen, char *text) {
    uint32_t number = gen->fresh++;
    snprintf(text, 16, "%u.%u.%u.%u", 110 + (number >> 24) % 16, number >> 16 & 255,
             number >> 8 & 255, number & 255);
    return text;
}

static void choose_addresses(struct flowgen *gen, char *fresh, const char **src, const char **dst) {
    uint32_t x = below(gen, 99);
    const char *near = gen->private_addr[below(gen, FLOWGEN_PRIVATE)];
    const char *far = gen->public_addr[below(gen, FLOWGEN_PUBLIC)];
    if (x < 3) {
        *src = gen->v6_addr[below(gen, FLOWGEN_V6)];
        *dst = gen->v6_addr[below(gen, FLOWGEN_V6)];
    } else if (x < 54) {
        *src = near;
        *dst = gen->private_addr[below(gen, FLOWGEN_PRIVATE)];
    } else if (x < 79) {
        *src = far;
        *dst = near;
    } else {
        *src = near;
        *dst = far;
    }
    if (gen->fresh_every > 0 && gen->flows % gen->fresh_every == 0) {
        *src = fresh_address(gen, fresh);
        *dst = near;
    }
}

static void choose_ports(struct flowgen *gen, int *protocol, int *src_port, int *dst_port) {
    uint32_t x = below(gen, 1000);
    *protocol = x < 850 ? 6 : x < 985 ? 17 : 1;
    *src_port = *dst_port = 0;
    if (*protocol == 1) {
        return;
    }
    int client = 1024 + address_below(gen, 65536 - 1024);
    int service = services[below(gen, COUNT_OF(services))];
    bool is_reply = below(gen, 2) == 1;
    *src_port = is_reply ? service : client;
    *dst_port = is_reply ? client : service;
}

/* A geometric distribution with a mean of about 20, as of the packets of a flow. */
static uint32_t choose_packets(struct flowgen *gen) {
    uint32_t packets = 1;
    while (below(gen, 20) != 0 && packets < 400) {
        packets++;
    }
    return packets;
}

size_t flowgen_line(struct flowgen *gen, char *out) {
    const char *account = gen->account[gen->lines % FLOWGEN_ACCOUNTS];
    int interface = address_below(gen, FLOWGEN_INTERFACES);
    if (gen->only_interface >= 0) {
        interface = gen->only_interface;
        account = gen->account[interface % FLOWGEN_ACCOUNTS];
    }
    const char *eni = gen->interface[interface];
    gen->time_s += gen->lines++ % 1024 == 0;
    if (below(gen, 100) == 0) {
        return (size_t)snprintf(out, FLOWGEN_LINE_MAX, "2 %s %s - - - - - - - %lld %lld - NODATA\n",
                                account, eni, (long long)gen->time_s, (long long)gen->time_s + 60);
    }
    char fresh[16];
    const char *src, *dst;
    int protocol, src_port, dst_port;
    choose_addresses(gen, fresh, &src, &dst);
    choose_ports(gen, &protocol, &src_port, &dst_port);
    uint32_t packets = choose_packets(gen);
    return (size_t)snprintf(
        out, FLOWGEN_LINE_MAX, "2 %s %s %s %s %d %d %d %u %llu %lld %lld %s OK\n", account, eni,
        src, dst, src_port, dst_port, protocol, packets,
        (unsigned long long)gen->flows++ + FLOWGEN_FIRST_ID, (long long)gen->time_s,
        (long long)gen->time_s + 60, below(gen, 100) < 12 ? "REJECT" : "ACCEPT");
}

static size_t write_envelope(struct flowgen *gen, size_t events, char *out) {
    gen->only_interface = address_below(gen, FLOWGEN_INTERFACES);
    size_t len = (size_t)snprintf(
        out, HEAD_MAX,
        "{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"%s\",\"logGroup\":\"/vpc/flow-logs\","
        "\"logStream\":\"%s-all\",\"subscriptionFilters\":[\"to-stream\"],\"logEvents\":[",
        gen->account[gen->only_interface % FLOWGEN_ACCOUNTS], gen->interface[gen->only_interface]);
    for (size_t i = 0; i < events; i++) {
        char line[FLOWGEN_LINE_MAX];
        size_t line_len = flowgen_line(gen, line) - 1; /* the line feed stays behind */
        len += (size_t)snprintf(out + len, EVENT_MAX,
                                "%s{\"id\":\"3%018llu%037llu\",\"timestamp\":%lld000,"
                                "\"message\":\"%.*s\"}",
                                i == 0 ? "" : ",", (unsigned long long)gen->time_s,
                                (unsigned long long)gen->lines, (long long)gen->time_s,
                                (int)line_len, line);
    }
    gen->only_interface = -1;
    memcpy(out + len, "]}", 2);
    return len + 2;
}

size_t flowgen_envelope(struct flowgen *gen, size_t events, char **out) {
    static char text[HEAD_MAX + FLOWGEN_EVENTS * EVENT_MAX];
    size_t len = write_envelope(gen, events < FLOWGEN_EVENTS ? events : FLOWGEN_EVENTS, text);
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(GZIP_LEVEL);
    size_t bound = libdeflate_gzip_compress_bound(compressor, len);
    *out = malloc(bound);
    if (!*out) {
        abort();
    }
    size_t packed = libdeflate_gzip_compress(compressor, text, len, *out, bound);
    libdeflate_free_compressor(compressor);
    return packed;
}
