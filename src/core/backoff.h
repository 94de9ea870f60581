/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long to wait before the next attempt at something that failed: 100 ms, then twice as long
 * each time up to 5 s, each time somewhere in the upper half of that, so that many clients of one
 * restarted server do not come back in step. Pure: the random number is an argument.
 */
#pragma once

#include <stdint.h>

enum { BACKOFF_FIRST_MS = 100, BACKOFF_LAST_MS = 5000 };

/* Zeros are a valid start. */
struct backoff {
    int failures; /* since the last reset */
};

/* Counts a failure and returns for how many milliseconds to wait: from half of the present step to
   all of it, by `random` (all of its values equally likely). */
int64_t backoff_next(struct backoff *backoff, uint32_t random);

/* It worked: the next failure waits for the first step again. */
void backoff_reset(struct backoff *backoff);
