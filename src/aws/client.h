/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS calls for those who may wait (jobs, the lease thread, commands): one API in one region with
 * its own connections, signed with the keys in use, tried again by class of error with full jitter
 * until a deadline. One thread at a time.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

#include "aws/call.h"
#include "aws/credentials.h"

struct aws_client;

struct aws_client_conf {
    struct aws_target *target;           /* both outlive the client */
    struct aws_credentials *credentials; /* NULL: not signed */
    const char *proxy, *ca_file;         /* as http_conf */
    size_t reply_max;
    uint64_t seed; /* of the pauses' randomness, for tests; 0: the system's */
};

/* How long to pause before the next attempt after the `failures`-th one (from 1) of this class:
   random * min(20 s, base * 2^(failures - 1)), by `random` (all of its values equally likely). */
int64_t aws_client_pause_ms(enum aws_class class, int failures, uint32_t random);

struct aws_client *aws_client_open(const struct aws_client_conf *conf);

/*
 * One operation. Tries again: transient errors and throttling (pause rand(0, 1) * min(20 s, base *
 * 2^n), base 50 ms and 1 s), AWS_KEYS once after asking the credentials to renew (for at most 3 s;
 * somebody else's aws_credentials_refresh does it), AWS_SKEW once; no longer than `deadline_ms` in
 * all, and not at all after *stopping (may be NULL). As long as there are no keys at all it waits
 * for them. 0 and the reply (valid until the next call); -1 with the last error's text: ERR_RETRY
 * what may pass, ERR_CONFIG what a person must change. *reply is then also filled (class, code),
 * but for its body; without keys it is AWS_KEYS with no code.
 */
int aws_client_call(struct aws_client *client, const char *operation, struct span body,
                    int64_t deadline_ms, const atomic_bool *stopping,
                    const struct aws_reply **reply, struct err *err);

void aws_client_close(struct aws_client *client);
