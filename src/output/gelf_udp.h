/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of gelf_udp as its table fills them, for gelf_udp.c and for what opens one without a
 * configuration file (the demo, tests).
 */
#pragma once

#include "core/output.h"

enum gelf_udp_compress { COMPRESS_AUTO, COMPRESS_GZIP, COMPRESS_NONE };

struct gelf_udp_conf {
    struct output_common common;
    struct hostport_list hosts; /* exactly one for now */
    int64_t mtu_bytes;          /* of a datagram's payload, chunk header included */
    int compress;               /* enum gelf_udp_compress */
    int64_t rate;               /* datagrams a second over all handles; 0: unlimited */
};
