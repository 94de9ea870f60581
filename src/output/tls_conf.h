/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The `tls` settings of outputs: their table, what must hold between them, and the part of
 * `flowgelf check` that looks at the files and tries a handshake.
 */
#pragma once

#include "base/tls.h"
#include "config/option.h"

/* `tls: {...}`, also `tls: {}`, switches TLS on unless it says `enabled: false`. */
struct tls_conf {
    bool enabled;
    struct tls_settings settings;
};

/* Table of the group; offsets are those in struct tls_conf. The outer table's row names a bool as
   its `given`. */
extern const struct option tls_conf_options[];

/* Adds errors for what the table cannot say. */
void tls_conf_init(const struct tls_conf *conf, struct option_context *context,
                   const struct yaml_node *node, const char *path);

/*
 * The part of output_type.check for one target over TLS, which may wait: reads the files; online
 * connects, shakes hands and ends the connection, as the peer may refuse us only then. A line to
 * `report` for each; -1: it would not work (ERR_CONFIG, ERR_RETRY).
 */
int tls_conf_check(const struct tls_conf *conf, const struct hostport *target, bool online,
                   struct buf *report, struct err *err);
