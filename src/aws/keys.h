/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A set of AWS credentials, as a value. Whoever holds one wipes it after use (aws_keys_wipe) and
 * never logs it; `access_id` and `source` alone may be shown to people.
 */
#pragma once

#include <openssl/crypto.h>
#include <stdint.h>

enum { AWS_ACCESS_ID_MAX = 160, AWS_SECRET_MAX = 256, AWS_TOKEN_MAX = 16384 };

struct aws_keys {
    char access_id[AWS_ACCESS_ID_MAX];
    char secret[AWS_SECRET_MAX];
    char token[AWS_TOKEN_MAX]; /* of the session; "" for long-lived keys */
    int64_t expires_ms;        /* wall clock; INT64_MAX: never */
};

static inline void aws_keys_wipe(struct aws_keys *keys) {
    OPENSSL_cleanse(keys, sizeof(*keys));
}
