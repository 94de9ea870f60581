/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GELF's own fragments for datagrams: "chunked GELF" of the GELF specification, which all receivers
 * put together from a header of 12 bytes: 1e 0f, message id (8), sequence number (1), count (1).
 * Pure; used by gelf_udp.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum { CHUNK_HEADER_BYTES = 12, CHUNK_COUNT_MAX = 128 };

/* How many datagrams of at most `mtu` bytes a payload of `size` bytes takes: 1 without a header, or
   as many chunks. More than CHUNK_COUNT_MAX: it cannot be sent. */
size_t chunk_count(size_t size, size_t mtu);

/* Where chunk `index` of `size` bytes begins, and how long it is. */
size_t chunk_offset(size_t index, size_t mtu);
size_t chunk_size(size_t size, size_t index, size_t mtu);

/* Writes the header of chunk `index` of `count` (at most CHUNK_COUNT_MAX). */
void chunk_header(uint64_t id, size_t index, size_t count, uint8_t header[CHUNK_HEADER_BYTES]);

/* Message ids: every one of a sender differs from all its others, and senders (and restarts) begin
   at random places, which the seed must be. */
struct chunk_ids {
    uint64_t seed, count;
};

uint64_t chunk_next_id(struct chunk_ids *ids);
