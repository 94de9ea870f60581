/* SPDX-License-Identifier: Apache-2.0 */
/* Prefixes by plain means, for tests that judge what the program makes of them. */
#pragma once

#include "base/ipaddr.h"

/* Whether the address lies in the prefix, bit by bit; never across families. */
static inline bool prefix_holds(const struct cidr *prefix, const struct ipaddr *addr) {
    unsigned first = prefix->addr.family == IPADDR_V4 ? 96 : 0;
    for (unsigned bit = first; bit < first + prefix->bits; bit++) {
        if (((prefix->addr.bytes[bit / 8] ^ addr->bytes[bit / 8]) & (0x80 >> bit % 8)) != 0) {
            return false;
        }
    }
    return prefix->addr.family == addr->family;
}
