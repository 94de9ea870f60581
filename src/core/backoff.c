/* SPDX-License-Identifier: Apache-2.0 */
/* See backoff.h. */
#include "core/backoff.h"

int64_t backoff_next(struct backoff *backoff, uint32_t random) {
    int64_t step_ms = BACKOFF_FIRST_MS;
    for (int i = 0; i < backoff->failures && step_ms < BACKOFF_LAST_MS; i++) {
        step_ms *= 2;
    }
    if (step_ms >= BACKOFF_LAST_MS) {
        step_ms = BACKOFF_LAST_MS;
    } else {
        backoff->failures++;
    }
    int64_t half_ms = step_ms / 2;
    return step_ms - half_ms + (int64_t)(((uint64_t)random * (uint64_t)(half_ms + 1)) >> 32);
}

void backoff_reset(struct backoff *backoff) {
    backoff->failures = 0;
}
