/* SPDX-License-Identifier: Apache-2.0 */
/* When to fetch keys next, as functions of the time; see credentials_source.h. And waiting. */
#include <poll.h>

#include "aws/credentials_source.h"
#include "base/clock.h"

enum {
    LEAD_MS = 15 * 60 * 1000,    /* before expiry */
    URGENT_MS = 10 * 60 * 1000,  /* less than this is left: failures are tried again sooner */
    SAME_MS = 60 * 1000,         /* a source that has no newer keys yet */
    EXTENDED_MS = 5 * 60 * 1000, /* keys that came expired: AWS keeps them going in an outage */
    LEAST_MS = 5000,
    FAILURE_FIRST_MS = 1000,
    FAILURE_LAST_MS = 60 * 1000,
    FAILURE_LAST_URGENT_MS = 30 * 1000,
    FAILURE_STEPS = 6,
    LOOK_MS = 50,
};

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

int64_t source_pause_after_keys(int64_t now_ms, int64_t expires_ms, bool are_same) {
    if (expires_ms == INT64_MAX) {
        return INT64_MAX;
    }
    int64_t life = expires_ms - now_ms;
    if (life <= 0) {
        return EXTENDED_MS;
    }
    int64_t pause = life - least(LEAD_MS, life / 4);
    if (are_same) {
        pause = least(pause, SAME_MS);
    }
    return pause > LEAST_MS ? pause : LEAST_MS;
}

int64_t source_pause_after_failure(int64_t now_ms, int64_t expires_ms, int failures,
                                   uint32_t random) {
    bool is_urgent = expires_ms != INT64_MAX && expires_ms - now_ms < URGENT_MS;
    int steps = failures < 1 ? 0 : failures - 1;
    int64_t step = (int64_t)FAILURE_FIRST_MS << (steps < FAILURE_STEPS ? steps : FAILURE_STEPS);
    step = least(step, is_urgent ? FAILURE_LAST_URGENT_MS : FAILURE_LAST_MS);
    return step / 2 + step / 2 * random / UINT32_MAX;
}

bool source_is_stopping(const atomic_bool *stopping) {
    return stopping && atomic_load(stopping);
}

bool source_pause(int64_t pause_ms, const atomic_bool *stopping) {
    int64_t until_ms = clock_monotonic_ms() + pause_ms, left_ms;
    while (!source_is_stopping(stopping) && (left_ms = until_ms - clock_monotonic_ms()) > 0) {
        poll(NULL, 0, (int)least(left_ms, LOOK_MS));
    }
    return !source_is_stopping(stopping);
}
