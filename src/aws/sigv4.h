/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AWS Signature Version 4 (AWS4-HMAC-SHA256, in the Authorization header). Pure: takes the time,
 * the bytes and the keys, gives the headers. Source of the rules: "Signing AWS API requests" of
 * AWS' General Reference; tested with the published test suites.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "aws/keys.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/http.h"

struct sigv4_scope {
    const char *region;
    const char *service; /* signing name: "kinesis", "dynamodb", "sts", "elasticloadbalancing" */
};

enum sigv4_path {
    SIGV4_PATH_NORMAL, /* normalised, and percent-encoded once more: all services but S3 */
    SIGV4_PATH_AS_IS,  /* S3 */
};

/* What is to be signed, as it goes over the wire. */
struct sigv4_request {
    const char *method;
    struct span path;  /* "/" at least */
    struct span query; /* behind the ?, which may be missing */
    enum sigv4_path path_style;
    const struct http_header *headers; /* Host and X-Amz-Date among them; those that the rules leave
                                          out of a signature (User-Agent ...) are left out */
    size_t header_count;
    struct span body;
};

/* "20150830T123600Z" of a time, terminated. */
enum { SIGV4_DATE_SIZE = 17 };
void sigv4_format_date(int64_t unix_seconds, char out[SIGV4_DATE_SIZE]);

/*
 * A signing key, which holds for a day, a region, a service and a secret: kept between calls by whom
 * it pleases, it saves four of five HMACs. Zeros are a valid start; wiped by sigv4_key_wipe. One
 * thread at a time.
 */
enum { SIGV4_SCOPE_MAX = 64 };
struct sigv4_key {
    char day[9];
    char region[SIGV4_SCOPE_MAX], service[SIGV4_SCOPE_MAX];
    char secret[AWS_SECRET_MAX];
    unsigned char key[32];
};

static inline void sigv4_key_wipe(struct sigv4_key *key) {
    explicit_bzero(key, sizeof(*key));
}

/*
 * Appends the value of the Authorization header to `out`. The date is read from the X-Amz-Date
 * header; an X-Amz-Content-Sha256 header stands for the body's hash. The canonical request is made
 * behind the end of `out`, and wiped: its ceiling must have room for that (all headers, path and
 * query, and 1 KiB). `kept` is the key of the last call, or NULL. -1 with ERR_CONFIG (no date, too
 * many headers or query parameters, no room, a scope too long) or ERR_STOP (OpenSSL). For tests:
 * sigv4_canonical and sigv4_string_to_sign give the steps in between.
 */
int sigv4_authorize_kept(const struct sigv4_request *request, const struct sigv4_scope *scope,
                         const struct aws_keys *keys, struct sigv4_key *kept, struct buf *out,
                         struct err *err);
int sigv4_authorize(const struct sigv4_request *request, const struct sigv4_scope *scope,
                    const struct aws_keys *keys, struct buf *out, struct err *err);
int sigv4_canonical(const struct sigv4_request *request, struct buf *out, struct err *err);
int sigv4_string_to_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
                         struct buf *out, struct err *err);
