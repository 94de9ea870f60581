/* SPDX-License-Identifier: Apache-2.0 */
/* See url.h. */
#include "aws/url.h"

#include <ctype.h>
#include <stdio.h>

#include "base/ipaddr.h"
#include "base/num.h"

static int refuse(const char *what, struct err *err) {
    return err_set(err, ERR_CONFIG, "a URL %s; expected http://HOST[:PORT][/PATH] or https://...",
                   what);
}

static bool is_name(struct span host) {
    for (size_t i = 0; i < host.len; i++) {
        if (!isalnum((unsigned char)host.p[i]) && !strchr("-._", host.p[i])) {
            return false;
        }
    }
    return host.len > 0;
}

/* "name", "name:port", "[address]:port" */
static int parse_authority(struct span text, struct url *url, struct err *err) {
    struct ipaddr addr;
    uint64_t port;
    struct span rest = {NULL, 0};
    if (text.len > 0 && text.p[0] == '[') {
        const char *end = memchr(text.p, ']', text.len);
        if (!end) {
            return refuse("lacks a closing bracket", err);
        }
        url->host = span_of(text.p + 1, (size_t)(end - text.p) - 1);
        rest = span_skip(text, url->host.len + 2);
        if (!ipaddr_parse(url->host, &addr) || addr.family != IPADDR_V6) {
            return refuse("has no IPv6 address between its brackets", err);
        }
    } else {
        const char *colon = text.len > 0 ? memchr(text.p, ':', text.len) : NULL;
        url->host = span_of(text.p, colon ? (size_t)(colon - text.p) : text.len);
        rest = span_skip(text, url->host.len);
        if (!is_name(url->host)) {
            return refuse("has no good host name", err);
        }
    }
    if (rest.len > 0 &&
        (rest.p[0] != ':' || !num_parse_u64(span_skip(rest, 1), 65535, &port) || port == 0)) {
        return refuse("has a bad port", err);
    }
    return 0;
}

int url_parse(const char *text, struct url *url, struct err *err) {
    struct span rest = span_str(text);
    for (size_t i = 0; i < rest.len; i++) {
        if (rest.p[i] <= ' ' || rest.p[i] > '~' || strchr("\\\"<>^`{|}#", rest.p[i])) {
            return refuse("has a character that no URL may have", err);
        }
    }
    url->is_https = span_starts(rest, SPAN("https://"));
    if (!url->is_https && !span_starts(rest, SPAN("http://"))) {
        return refuse("begins with neither http:// nor https://", err);
    }
    rest = span_skip(rest, url->is_https ? 8 : 7);
    size_t len = 0;
    while (len < rest.len && rest.p[len] != '/' && rest.p[len] != '?') {
        len++;
    }
    url->path = span_skip(rest, len);
    return parse_authority(span_of(rest.p, len), url, err);
}

int url_take(const char *text, char *out, size_t size, struct err *err) {
    struct url url;
    if (url_parse(text, &url, err) != 0) {
        return -1;
    }
    if (url.path.len > 0 && memchr(url.path.p, '?', url.path.len)) {
        return refuse("has a query", err);
    }
    bool has_slash = url.path.len > 0 && url.path.p[url.path.len - 1] == '/';
    int len = snprintf(out, size, "%s%s", text, has_slash ? "" : "/");
    return len < 0 || (size_t)len >= size ? refuse("is too long", err) : 0;
}

bool url_is_loopback(const struct url *url) {
    static const uint8_t v6[16] = {[15] = 1};
    struct ipaddr addr;
    if (!ipaddr_parse(url->host, &addr)) {
        return span_eq(url->host, SPAN("localhost"));
    }
    return addr.family == IPADDR_V4 ? addr.bytes[12] == 127
                                    : memcmp(addr.bytes, v6, sizeof(v6)) == 0;
}
