/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which flows are sent at all (`drop`, `keep`, `sample`), and which messages an output gets
 * (`filter`). Searches are asked of the message as `schema: graylog` with the field set `all` and
 * every other setting at its default writes it, whatever the outputs send: after enrichment and
 * before anything is masked.
 *
 * A flow's message is made once for all searches, and only with the fields that some search names:
 * what a field holds does not depend on the others, so a search cannot tell the difference. Columns,
 * texts and the bytes of dossiers are taken as they are; for what only the encoder knows the message
 * is written into scratch. A worker without any search and without `sample` has no filter.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "core/output.h"
#include "flow/flow.h"
#include "flow/message.h"
#include "flow/query.h"

/* What is decided once per flow, before any output's filter. */
struct filter_conf {
    struct query *drop, *keep;   /* NULL: not asked */
    uint64_t sample;             /* one flow in so many; 0 and 1: all */
    bool writes;                 /* some search is to be asked, be it an output's alone */
    bool reads_base;             /* and names a field that every message has */
    struct message_conf message; /* what searches see; see filter_narrow */
};

/* Whether anything is to be decided per flow. */
static inline bool filter_is_needed(const struct filter_conf *conf) {
    return conf->writes || conf->sample > 1;
}

/* Parses "1/10", the share of flows that is sent. ERR_CONFIG. */
int filter_parse_sample(struct span text, uint64_t *one_in, struct err *err);

/*
 * Parses a search for a filter. More is refused than by query_parse, as a filter that never
 * matches, or always, loses messages in silence: an empty one, and a field that no message has or
 * that this version lacks, also behind a NOT. ERR_CONFIG. *query is the caller's.
 */
int filter_parse_query(struct span text, struct query **query, struct err *err);

/* Leaves in conf->message (computed by message_init for the set `all`) only the fields that one of
   the searches names; NULLs among them are passed over. */
void filter_narrow(struct filter_conf *conf, const struct query *const *queries, size_t count);

/*
 * The number by which `sample` chooses: of both addresses, both ports and the protocol, the same
 * for both directions of a connection, in every worker, after every restart and on every machine.
 * Flows without ports (ICMP) go by the rest.
 */
uint64_t filter_flow_hash(const struct flow *flow);

enum filter_verdict {
    FILTER_PASS,
    FILTER_SAMPLED_OUT,
    FILTER_DROPPED,
    FILTER_NOT_KEPT,
    FILTER_TOO_LARGE, /* no search can be asked of it: a dead letter */
};

struct filter;

/* Scratch of one worker; conf and encoder outlive it. Dossiers' fields are taken from style number
   `style`. */
struct filter *filter_open(const struct filter_conf *conf, const struct encoder_type *encoder,
                           size_t style);
void filter_close(struct filter *filter);

/*
 * Decides for all outputs. `sample` is asked first, as it costs least, then `drop`, then `keep`:
 * the same flows are sent whatever the order, but the counts are those of this one. Flows without
 * addresses (NODATA, SKIPDATA) are never sampled out: each says something that no other does.
 * Allocates nothing once it has seen its largest message.
 */
enum filter_verdict filter_decide(struct filter *filter, const struct flow *flow);

/* Whether an output's filter matches the flow of the last filter_decide, which passed. */
bool filter_matches(const struct filter *filter, const struct query *query);
