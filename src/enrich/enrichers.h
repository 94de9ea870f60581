/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The enrichers that are built in; what each does stands at the head of its file and in its help.
 * For modules.c and tests only.
 */
#pragma once

#include "core/enricher.h"

/* About an address. */
extern const struct enricher_type enrich_internal_type;
extern const struct enricher_type enrich_networks_type;
extern const struct enricher_type enrich_threat_type;
extern const struct enricher_type enrich_geo_type;

/* About a flow. */
extern const struct enricher_type enrich_accounts_type;
extern const struct enricher_type enrich_protocol_type;
extern const struct enricher_type enrich_duration_type;
extern const struct enricher_type enrich_tcp_flags_type;
extern const struct enricher_type enrich_direction_type;
extern const struct enricher_type enrich_role_type;
extern const struct enricher_type enrich_threat_indicated_type;
extern const struct enricher_type enrich_community_id_type;
