/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A condition variable whose timed waits go by the monotonic clock, which no one steps.
 */
#pragma once

#include <pthread.h>
#include <time.h>

static inline void cond_init(pthread_cond_t *cond) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attributes);
    pthread_condattr_destroy(&attributes);
}
