/* SPDX-License-Identifier: Apache-2.0 */
/*
 * URLs that people and environments give: http or https, a host and a path, nothing else. Strict,
 * so that what is checked here is what libcurl will call: no user names, no backslashes, no
 * characters that end one part early.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/span.h"

struct url {
    bool is_https;
    struct span host; /* without the brackets of an IPv6 address */
    struct span path; /* with the query; may be empty */
};

/* Takes a URL apart; the parts point into it. 0, or -1 with ERR_CONFIG, which does not quote it (it
   may carry a secret). */
int url_parse(const char *text, struct url *url, struct err *err);

/* Checks a base URL, which has no query, and copies it to `out`, a slash at its end. -1 with
   ERR_CONFIG, also when `size` bytes are too few. */
int url_take(const char *text, char *out, size_t size, struct err *err);

/* Whether the host is this machine itself: "localhost" or a loopback address. */
bool url_is_loopback(const struct url *url);
