/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Random numbers from the kernel, for jitter and names: rare, and no secret depends on them.
 */
#pragma once

#include <stdint.h>
#include <sys/random.h>
#include <time.h>

/* All values equally likely; where the kernel gives none (very early at boot), the clock's. */
static inline uint32_t random_u32(void) {
    uint32_t number;
    if (getrandom(&number, sizeof(number), GRND_NONBLOCK) != sizeof(number)) {
        struct timespec now;
        clock_gettime(CLOCK_MONOTONIC, &now);
        number = (uint32_t)now.tv_nsec * UINT32_C(2654435761);
    }
    return number;
}
