/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Internet addresses and prefixes. An address is 16 bytes in network order; IPv4 stands there as
 * ::ffff:a.b.c.d (RFC 4291 2.5.5.2) and remembers that it was IPv4, so the two families share
 * one table where that helps and never mix where it matters.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/span.h"

enum { IPADDR_TEXT_MAX = 46, IPADDR_MAPPED_BITS = 96 };

enum ipaddr_family { IPADDR_NONE = 0, IPADDR_V4 = 4, IPADDR_V6 = 6 };

struct ipaddr {
    union {
        uint8_t bytes[16];
        uint32_t words[4]; /* network order */
        uint64_t halves[2];
    };
    uint8_t family; /* enum ipaddr_family */
};

/* A prefix: the first `bits` of addr (0 to 32 for IPv4, 0 to 128 for IPv6), the rest zero. */
struct cidr {
    struct ipaddr addr;
    uint8_t bits;
};

/*
 * Strict dotted quad (four decimal numbers of 0 to 255, no leading zeros) or RFC 4291 text, also
 * with an IPv4 tail; no zone, no blanks. An IPv6 text of a mapped address stays IPv6. False leaves
 * *addr undefined.
 */
bool ipaddr_parse(struct span text, struct ipaddr *addr);

/* Canonical text: dotted quad, or RFC 5952. At most IPADDR_TEXT_MAX bytes, no terminator; returns
   how many. */
size_t ipaddr_format(const struct ipaddr *addr, char *out);

/*
 * "10.0.0.0/8", "2001:db8::/32", or an address alone, which is its own prefix. Bits set behind the
 * prefix are an error (ERR_DATA), said with the prefix that was probably meant.
 */
int cidr_parse(struct span text, struct cidr *cidr, struct err *err);

/* As cidr_parse, but bits set behind the prefix are cleared: for lists that others write. False
   leaves *cidr undefined. */
bool cidr_parse_masked(struct span text, struct cidr *cidr);

/* Canonical text of a prefix, always with "/bits"; at most IPADDR_TEXT_MAX + 4 bytes. */
size_t cidr_format(const struct cidr *cidr, char *out);

/* An IPv4 address from its number in host order. */
struct ipaddr ipaddr_v4(uint32_t host_order);

static inline bool ipaddr_eq(const struct ipaddr *a, const struct ipaddr *b) {
    return a->halves[0] == b->halves[0] && a->halves[1] == b->halves[1] && a->family == b->family;
}
