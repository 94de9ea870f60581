/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a flow a request or a reply, seen from its source? The TCP flags tell where there are any that
 * do; else the ports: services stand on low ports, clients on ephemeral ones.
 */
#include <netinet/in.h>

#include "enrich/bare.h"
#include "enrich/enrichers.h"

enum { WELL_KNOWN_PORTS = 1024, FLAG_SYN = 2, FLAG_ACK = 16, PROTOCOL_UDP_LITE = 136 };

struct role_conf {
    int64_t ephemeral_from;
};

static enum flow_role role_of_flags(const struct flow *flow) {
    if (!(flow->has & HAS_TCP_FLAGS) || !(flow->tcp_flags & FLAG_SYN)) {
        return ROLE_NONE;
    }
    return flow->tcp_flags & FLAG_ACK ? ROLE_REPLY : ROLE_REQUEST;
}

/* Other protocols have no ports, and flow logs write 0 for them. */
static bool has_ports(const struct flow *flow) {
    if (!(flow->has & HAS_SRC_PORT) || !(flow->has & HAS_DST_PORT)) {
        return false;
    }
    return !(flow->has & HAS_PROTOCOL) || flow->protocol == IPPROTO_TCP ||
           flow->protocol == IPPROTO_UDP || flow->protocol == IPPROTO_SCTP ||
           flow->protocol == IPPROTO_DCCP || flow->protocol == PROTOCOL_UDP_LITE;
}

/* Whether a port is that of a service when `other` is at the far end. */
static bool is_service(uint16_t port, uint16_t other, uint16_t ephemeral_from) {
    return (port < WELL_KNOWN_PORTS && other >= WELL_KNOWN_PORTS) ||
           (port < ephemeral_from && other >= ephemeral_from);
}

static enum flow_role role_of_ports(const struct flow *flow, uint16_t ephemeral_from) {
    if (!has_ports(flow)) {
        return ROLE_NONE;
    }
    if (is_service(flow->dst_port, flow->src_port, ephemeral_from)) {
        return ROLE_REQUEST;
    }
    return is_service(flow->src_port, flow->dst_port, ephemeral_from) ? ROLE_REPLY : ROLE_NONE;
}

static void role_apply(const void *table, struct flow *flow) {
    const struct role_conf *conf = table;
    enum flow_role role = role_of_flags(flow);
    if (role == ROLE_NONE) {
        role = role_of_ports(flow, (uint16_t)conf->ephemeral_from);
    }
    flow->role = (uint8_t)role;
    if (role != ROLE_NONE) {
        flow_note_word(flow, NOTE_FLOW_ROLE,
                       role == ROLE_REQUEST ? SPAN("request") : SPAN("reply"));
    }
}

/* The table is the settings, which outlive it. */
static int role_load(const void *conf, struct buf *report, void **table, struct err *err) {
    (void)report;
    (void)err;
    *table = (void *)conf;
    return 0;
}

static const struct option options[] = {
    {.name = "ephemeral_from",
     .type = OPTION_INTEGER,
     .preset = "32768",
     .min = 1024,
     .max = 65535,
     .offset = offsetof(struct role_conf, ephemeral_from),
     .help = "The lowest port that clients use by themselves: 32768 for Linux, 49152 where all are "
             "Windows or BSD."},
    OPTION_END,
};

const struct enricher_type enrich_role_type = {
    .name = "role",
    .help = "Adds flow_role, request or reply, by the TCP flags or else the ports; absent where "
            "neither tells.",
    .options = options,
    .conf_size = sizeof(struct role_conf),
    .by_default = true,
    .load = role_load,
    .unload = bare_unload,
    .apply = role_apply,
};
