/* SPDX-License-Identifier: Apache-2.0 */
/* See common.h. */
#include "output/common.h"

#include <stdlib.h>

#include "base/net.h"
#include "base/xalloc.h"

enum { CHECK_TIMEOUT_MS = 5000 };

void output_init_gelf(const struct output_common *common, const struct hostport_list *hosts,
                      const struct message_conf *messages, struct option_context *context,
                      const struct yaml_node *node, const char *path) {
    if (hosts->count > 1) {
        option_error(context, node, path,
                     "hosts: several targets are not possible yet; name exactly one");
    }
    char *messages_path = xasprintf("%s.messages", path);
    message_check_gelf(messages, context, common->messages ? common->messages : node,
                       messages_path);
    free(messages_path);
}

int output_check_host(const struct hostport *target, int socktype, bool online, struct buf *report,
                      struct err *err) {
    const char *what = socktype == SOCK_STREAM ? "tcp" : "udp";
    if (!online) {
        buf_printf(report, "%s to %s port %u, not tried\n", what, target->host, target->port);
        return 0;
    }
    char text[NET_TEXT_MAX];
    struct net_address address;
    if (net_try(target->host, target->port, socktype, CHECK_TIMEOUT_MS, &address, err) != 0) {
        return -1;
    }
    buf_printf(report, "%s to %s port %u: %s %s\n", what, target->host, target->port,
               net_format(&address, text),
               socktype == SOCK_STREAM ? "accepts connections" : "has a route");
    return 0;
}

size_t output_ring_bytes(const void *conf) {
    (void)conf;
    return OUTPUT_RING_BYTES;
}

void parcels_init(struct parcels *parcels, size_t ring_bytes) {
    *parcels = (struct parcels){.capacity = output_parcels_max(ring_bytes)};
    parcels->items = xcalloc(parcels->capacity, sizeof *parcels->items);
}

void parcels_done(struct parcels *parcels) {
    free(parcels->items);
}

void parcels_add(struct parcels *parcels, const struct parcel *parcel) {
    assert(parcel->number == parcels->last + 1);
    assert(parcel->number - parcels->delivered <= parcels->capacity);
    parcels->items[parcel->number % parcels->capacity] = parcel;
    parcels->last = parcel->number;
    parcels->counts.parcels++;
    parcels->counts.messages += parcel->messages;
    parcels->counts.bytes += parcel->bytes.len;
}

void parcels_deliver(struct parcels *parcels, uint64_t number) {
    assert(number <= parcels->last);
    while (parcels->delivered < number) {
        parcels->delivered++;
        parcels->counts.delivered_messages += parcels_at(parcels, parcels->delivered)->messages;
    }
}
