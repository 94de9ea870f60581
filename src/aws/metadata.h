/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The instance metadata service of EC2: IMDSv2 (a token fetched with PUT goes along with each GET),
 * and version 1 where the token is not to be had. Never through a proxy. For those who may wait:
 * a second for each request at most. Source: "Use the Instance Metadata Service to access instance
 * metadata" of the EC2 User Guide.
 */
#pragma once

#include <stdatomic.h>

#include "aws/profile.h"
#include "base/buf.h"

struct metadata;

/*
 * Opens the service that environment and profile name, without asking it anything yet. -1: switched
 * off by AWS_EC2_METADATA_DISABLED, or a bad AWS_EC2_METADATA_SERVICE_ENDPOINT (ERR_CONFIG).
 */
int metadata_open(const struct aws_profiles *profiles, struct metadata **metadata, struct err *err);

/*
 * Appends what is at `path` ("placement/region", below /latest/meta-data/). -1 with ERR_RETRY: no
 * answer, or (err->sys ENOENT) there is nothing at that path; "stopped" when *stopping is set.
 */
int metadata_get(struct metadata *metadata, const char *path, const atomic_bool *stopping,
                 struct buf *out, struct err *err);

/* NULL is fine. */
void metadata_close(struct metadata *metadata);
