/* SPDX-License-Identifier: Apache-2.0 */
/* See gelf_http_batch.h. */
#include "output/gelf_http_batch.h"

#include <assert.h>
#include <string.h>

/* Behind the first newline. */
static size_t first_message(struct span bytes) {
    const char *end = memchr(bytes.p, '\n', bytes.len);
    assert(end);
    return (size_t)(end - bytes.p) + 1;
}

/* Behind the last newline within the first `len` bytes; 0: there is none. */
static size_t messages_within(struct span bytes, size_t len) {
    const char *end = memrchr(bytes.p, '\n', len);
    return end ? (size_t)(end - bytes.p) + 1 : 0;
}

size_t gelf_http_cut(struct span bytes, size_t max) {
    size_t len = messages_within(bytes, max < bytes.len ? max + 1 : bytes.len);
    return len > 0 ? len : first_message(bytes);
}

size_t gelf_http_halve(struct span bytes) {
    size_t len = messages_within(bytes, bytes.len / 2);
    return len > 0 ? len : first_message(bytes);
}

size_t gelf_http_count(struct span bytes) {
    size_t count = 0;
    while (bytes.len > 0) {
        bytes = span_skip(bytes, first_message(bytes));
        count++;
    }
    return count;
}

enum gelf_http_verdict gelf_http_judge(int status) {
    if (status >= 200 && status < 300) {
        return GELF_HTTP_TAKEN;
    }
    switch (status) {
    case 400:
        return GELF_HTTP_REFUSED;
    case 413:
        return GELF_HTTP_TOO_LARGE;
    case 408:
    case 429:
        return GELF_HTTP_BUSY;
    default:
        return status >= 500 ? GELF_HTTP_BUSY : GELF_HTTP_MEND;
    }
}

const char *gelf_http_remedy(int status) {
    switch (status) {
    case 400:
        return "; is `url` that of a GELF input, with the right scheme (http, https)?";
    case 401:
        return "; look at `username` and `password`, `token` or `headers`, and at what the "
               "receiver asks for";
    case 403:
        return "; the user, or our address, is not allowed to write there";
    case 404:
        return "; look at `url`: the path of a Graylog input is /gelf";
    case 405:
        return "; look at `url`: POST is not taken there";
    case 407:
        return "; the proxy asks for a user and a password";
    case 413:
        return "; look at `max_body`, and at the largest body that the receiver and what is "
               "before it take (Graylog: max_chunk_size)";
    case 415:
        return "; the receiver does not take application/json, or no gzip (`gzip: false`)";
    case 429:
        return "; the receiver asks for fewer messages";
    case 500:
    case 502:
    case 503:
    case 504:
        return "; look at the receiver and what is before it";
    default:
        return status >= 300 && status < 400
                   ? "; redirects are not followed: name the place itself as `url`"
                   : "";
    }
}
