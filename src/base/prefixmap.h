/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Longest-prefix map: address prefixes of both families to numbers. Collected in a builder, then
 * immutable, so that any number of threads may ask it at once.
 *
 * Memory: 8 bytes for an IPv4 prefix that stands alone or next to others of its value, 16 at most
 * where prefixes nest, and 1/127 of that for the index; 20 and 40 for IPv6. A look-up reads one
 * block per level of a search tree of 128 keys a block: four dependent reads (three levels and
 * the value) for up to two million lone IPv4 prefixes, of which all but the last two stay in the
 * processor's cache.
 */
#pragma once

#include <stdint.h>

#include "base/ipaddr.h"

/* Values are 0 to PREFIXMAP_VALUE_MAX; a look-up that finds nothing gives PREFIXMAP_NONE. */
enum { PREFIXMAP_NONE = (1 << 25) - 1, PREFIXMAP_VALUE_MAX = PREFIXMAP_NONE - 1 };

struct prefixmap;
struct prefixmap_builder;

/*
 * What an address gets for which two prefixes were added, one inside the other (`outer` is what
 * holds around `inner`, itself already combined) or the same one twice (then in ascending order of
 * their values). Called while a map is built.
 */
typedef uint32_t (*prefixmap_combine)(void *context, uint32_t outer, uint32_t inner);

/* An empty builder. `combine` NULL: the inner one (the greater of two for the same prefix) wins. */
struct prefixmap_builder *prefixmap_begin(prefixmap_combine combine, void *context);

/* Adds a prefix, at most 2^32 - 1 of a family. */
void prefixmap_add(struct prefixmap_builder *builder, const struct cidr *prefix, uint32_t value);

/* The map of all that was added; the builder is gone. The map is the caller's (prefixmap_free). */
struct prefixmap *prefixmap_finish(struct prefixmap_builder *builder);

/* NULL is fine. */
void prefixmap_free(struct prefixmap *map);

/* The value at an address, PREFIXMAP_NONE when no prefix holds it. Families never mix. */
uint32_t prefixmap_find(const struct prefixmap *map, const struct ipaddr *addr);
