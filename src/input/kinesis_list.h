/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shards of a stream, as ListShards tells them page by page. Used by the keeper and by
 * `flowgelf check` and `leases`.
 */
#pragma once

#include "input/kinesis_conf.h"

/* All pages into `shards`, which is empty. Waits, at most 5 s a page. -1: not all of them; what
   is there may not be used. */
int kinesis_list_shards(const struct kinesis_conf *conf, struct aws_client *client,
                        const atomic_bool *stopping, struct kinesis_shards *shards,
                        struct err *err);
