/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of GELF over HTTP, the headers that follow from them, and `flowgelf check` of them.
 * Used by gelf_http.c.
 */
#pragma once

#include "base/http.h"
#include "core/output.h"

struct gelf_http_tls {
    bool given;
    char *ca, *cert, *key, *key_password;
    bool verify;
};

struct gelf_http_conf {
    struct output_common common;
    char *url;
    bool bulk, gzip;
    int64_t max_body_bytes, in_flight, timeout_ms;
    struct gelf_http_tls tls;
    char *username, *password, *token;
    struct string_map headers;
    char *proxy;

    /* Made by init. */
    char *shown;                               /* the URL without what may be secret */
    char *authorization;                       /* value of the header; NULL: none */
    char **values;                             /* of `headers`, secrets read; as many */
    struct http_header sent[HTTP_HEADERS_MAX]; /* with each request */
    size_t sent_count;
};

extern const struct option gelf_http_options[];

/* output_type.init and done. */
void gelf_http_conf_init(void *conf, const struct message_conf *messages,
                         struct option_context *context, const struct yaml_node *node,
                         const char *path);
void gelf_http_conf_done(void *conf);

/* A set of calls as the settings want it. */
struct http *gelf_http_conf_open(const struct gelf_http_conf *conf);

/* The longest time to connect, ms. */
int64_t gelf_http_conf_connect_ms(const struct gelf_http_conf *conf);

/* output_type.check. Online it asks with GET, which changes nothing anywhere. */
int gelf_http_conf_check(const void *conf, bool online, struct buf *report, struct err *err);
