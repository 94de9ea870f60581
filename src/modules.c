/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See modules.h. A new module is a file of its own, a line here, its rows in the tables and a test.
 * Enrichers run in this order: what is known about an address first (internal before geo and
 * threat, which ask for it), then what follows for the flow.
 */
#include "modules.h"

#include "decode/payload.h"
#include "enrich/enrichers.h"
#include "input/inputs.h"
#include "output/outputs.h"

static const struct input_type *const inputs[] = {
    &input_kafka_type,
    &input_kinesis_type,
    &input_file_type,
    NULL,
};

static const struct enricher_type *const enrichers[] = {
    &enrich_internal_type,
    &enrich_networks_type,
    &enrich_threat_type,
    &enrich_geo_type,
    &enrich_accounts_type,
    &enrich_protocol_type,
    &enrich_duration_type,
    &enrich_tcp_flags_type,
    &enrich_direction_type,
    &enrich_role_type,
    &enrich_threat_indicated_type,
    &enrich_community_id_type,
    NULL,
};

static const struct output_type *const outputs[] = {
    &output_gelf_tcp_type,
    &output_gelf_udp_type,
    &output_gelf_http_type,
    &output_file_type,
    &output_stdout_type,
    &output_kafka_type,
    NULL,
};

const struct modules flowgelf_modules = {
    .inputs = inputs,
    .decoder = &payload_decoder,
    .enrichers = enrichers,
    .outputs = outputs,
};
