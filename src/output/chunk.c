/* SPDX-License-Identifier: Apache-2.0 */
/* See chunk.h. */
#include "output/chunk.h"

#include <string.h>

size_t chunk_count(size_t size, size_t mtu) {
    size_t room = mtu - CHUNK_HEADER_BYTES;
    return size <= mtu ? 1 : (size + room - 1) / room;
}

size_t chunk_offset(size_t index, size_t mtu) {
    return index * (mtu - CHUNK_HEADER_BYTES);
}

size_t chunk_size(size_t size, size_t index, size_t mtu) {
    size_t left = size - chunk_offset(index, mtu);
    size_t room = mtu - CHUNK_HEADER_BYTES;
    return left < room ? left : room;
}

void chunk_header(uint64_t id, size_t index, size_t count, uint8_t header[CHUNK_HEADER_BYTES]) {
    header[0] = 0x1e;
    header[1] = 0x0f;
    memcpy(header + 2, &id, sizeof id);
    header[10] = (uint8_t)index;
    header[11] = (uint8_t)count;
}

/* The finalizer of splitmix64 maps different numbers to different numbers; steps of an odd constant
   visit all 2^64 of them. So ids repeat only after as many messages. */
uint64_t chunk_next_id(struct chunk_ids *ids) {
    uint64_t id = ids->seed + ++ids->count * UINT64_C(0x9e3779b97f4a7c15);
    id = (id ^ (id >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    id = (id ^ (id >> 27)) * UINT64_C(0x94d049bb133111eb);
    return id ^ (id >> 31);
}
