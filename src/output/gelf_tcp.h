/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of gelf_tcp as its table fills them, for gelf_tcp.c and for what opens one without a
 * configuration file (the demo, tests).
 */
#pragma once

#include "core/output.h"
#include "output/tls_conf.h"

struct gelf_tcp_conf {
    struct output_common common;
    struct hostport_list hosts; /* exactly one for now */
    int64_t dead_after_ms, confirm_after_ms, settle_delay_ms, peer_buffer_bytes;
    bool tls_given; /* then tls.enabled says whether it is spoken */
    struct tls_conf tls;
    char *balance; /* not yet */
};
