/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Community ID version 1 with seed 0 (github.com/corelight/community-id-spec): a hash of the flow's
 * addresses, protocol and ports that other tools compute alike, from either side. The text goes
 * into the flow's scratch. ICMP has none: flow logs do not carry the type and code that it needs.
 */
#include <arpa/inet.h>
#include <netinet/in.h>

#include "base/base64.h"
#include "enrich/bare.h"
#include "enrich/enrichers.h"

enum {
    SHA1_BLOCK = 64,
    SHA1_BYTES = 20,
    SHA1_ROUNDS = 80,
    INPUT_MAX = 40, /* seed, two addresses, protocol, padding, two ports */
    ID_TEXT = 30,   /* "1:" and 28 characters of base64 */
};

static inline uint32_t rotate(uint32_t word, int bits) {
    return word << bits | word >> (32 - bits);
}

static inline uint32_t choose(uint32_t b, uint32_t c, uint32_t d) {
    return d ^ (b & (c ^ d));
}

static inline uint32_t parity(uint32_t b, uint32_t c, uint32_t d) {
    return b ^ c ^ d;
}

static inline uint32_t majority(uint32_t b, uint32_t c, uint32_t d) {
    return (b & c) | (d & (b | c));
}

typedef uint32_t (*sha1_mix)(uint32_t b, uint32_t c, uint32_t d);

/* One round but for the words' change of places, which is in the order of the arguments. */
static inline void sha1_round(uint32_t a, uint32_t *b, uint32_t *e, uint32_t mixed, uint32_t word) {
    *e += rotate(a, 5) + mixed + word;
    *b = rotate(*b, 30);
}

/* The word of a round; makes the one that is needed 16 rounds later, so that neither waits. */
static inline uint32_t sha1_word(uint32_t *w) {
    w[16] = rotate(w[13] ^ w[8] ^ w[2] ^ w[0], 1);
    return w[0];
}

/* A quarter of the rounds, each with its word of `w`. Inlined, so that `mix` is no call. */
static inline __attribute__((always_inline)) void sha1_quarter(uint32_t h[5], uint32_t *w,
                                                               uint32_t constant, sha1_mix mix) {
    uint32_t a = h[0], b = h[1], c = h[2], d = h[3], e = h[4];
    for (int i = 0; i < SHA1_ROUNDS / 4; i += 5) {
        sha1_round(a, &b, &e, mix(b, c, d), constant + sha1_word(w + i));
        sha1_round(e, &a, &d, mix(a, b, c), constant + sha1_word(w + i + 1));
        sha1_round(d, &e, &c, mix(e, a, b), constant + sha1_word(w + i + 2));
        sha1_round(c, &d, &b, mix(d, e, a), constant + sha1_word(w + i + 3));
        sha1_round(b, &c, &a, mix(c, d, e), constant + sha1_word(w + i + 4));
    }
    h[0] = a;
    h[1] = b;
    h[2] = c;
    h[3] = d;
    h[4] = e;
}

/*
 * SHA-1 (FIPS 180-4 6.1.2) of at most 55 bytes, which with their padding are one block. Written out
 * because the library's one-shot function allocates, which a flow must not.
 */
static void sha1_short(const uint8_t *input, size_t len, uint8_t digest[SHA1_BYTES]) {
    static const uint32_t start[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
    uint8_t block[SHA1_BLOCK] = {0};
    uint32_t w[SHA1_ROUNDS + 16], h[5];
    memcpy(block, input, len);
    block[len] = 0x80;
    block[SHA1_BLOCK - 2] = (uint8_t)(len * 8 >> 8);
    block[SHA1_BLOCK - 1] = (uint8_t)(len * 8);
    memcpy(w, block, sizeof(block));
    memcpy(h, start, sizeof(h));
    for (int i = 0; i < 16; i++) {
        w[i] = ntohl(w[i]);
    }
    sha1_quarter(h, w, 0x5a827999, choose);
    sha1_quarter(h, w + 20, 0x6ed9eba1, parity);
    sha1_quarter(h, w + 40, 0x8f1bbcdc, majority);
    sha1_quarter(h, w + 60, 0xca62c1d6, parity);
    for (int i = 0; i < 5; i++) {
        uint32_t word = htonl(h[i] + start[i]);
        memcpy(digest + i * 4, &word, sizeof(word));
    }
}

static bool has_ports(uint8_t protocol) {
    return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP || protocol == IPPROTO_SCTP;
}

static bool is_identifiable(const struct flow *flow) {
    uint16_t needed = HAS_SRC | HAS_DST | HAS_PROTOCOL;
    if (has_ports(flow->protocol)) {
        needed |= HAS_SRC_PORT | HAS_DST_PORT;
    }
    return (flow->has & needed) == needed && flow->protocol != IPPROTO_ICMP &&
           flow->protocol != IPPROTO_ICMPV6 &&
           flow->addr[SIDE_SRC].family == flow->addr[SIDE_DST].family;
}

/* The smaller end first, so that both directions give the same; returns the length. */
static size_t write_input(const struct flow *flow, uint8_t input[INPUT_MAX]) {
    size_t width = flow->addr[SIDE_SRC].family == IPADDR_V4 ? 4 : 16;
    const uint8_t *ends[2] = {flow->addr[SIDE_SRC].bytes + 16 - width,
                              flow->addr[SIDE_DST].bytes + 16 - width};
    uint16_t ports[2] = {htons(flow->src_port), htons(flow->dst_port)};
    bool is_ported = has_ports(flow->protocol);
    int order = memcmp(ends[0], ends[1], width);
    int first = order > 0 || (order == 0 && is_ported && flow->src_port > flow->dst_port);
    uint8_t *p = input;
    *p++ = 0; /* the seed, 16 bits */
    *p++ = 0;
    for (int i = 0; i < 2; i++, p += width) {
        memcpy(p, ends[i ^ first], width);
    }
    *p++ = flow->protocol;
    *p++ = 0;
    for (int i = 0; i < 2 && is_ported; i++, p += sizeof(ports[0])) {
        memcpy(p, &ports[i ^ first], sizeof(ports[0]));
    }
    return (size_t)(p - input);
}

static void community_id_apply(const void *table, struct flow *flow) {
    uint8_t input[INPUT_MAX], digest[SHA1_BYTES];
    (void)table;
    if (!is_identifiable(flow) || sizeof(flow->scratch) - flow->scratch_len < ID_TEXT) {
        return;
    }
    sha1_short(input, write_input(flow, input), digest);
    struct buf text;
    buf_over(&text, flow->scratch + flow->scratch_len, ID_TEXT);
    buf_add(&text, SPAN("1:"));
    base64_encode(span_of((const char *)digest, sizeof(digest)), &text);
    flow->scratch_len += text.len;
    flow_note_word(flow, NOTE_COMMUNITY_ID, buf_span(&text));
}

const struct enricher_type enrich_community_id_type = {
    .name = "community_id",
    .help = "Adds community_id (version 1, seed 0), by which Zeek, Suricata and others name the "
            "same flow. None for ICMP. Off unless named.",
    .options = bare_options,
    .load = bare_load,
    .unload = bare_unload,
    .apply = community_id_apply,
};
