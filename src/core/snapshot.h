/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: the immutable tables of all enrichers at one moment. The refresher publishes a new
 * snapshot when a table was loaded anew; workers acquire the present one per batch. A table is
 * unloaded when the last snapshot that holds it was released by its last user.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "core/dossier.h"
#include "core/enricher.h"

struct snapshot {
    uint64_t version; /* grows by one with each publication */
    size_t count;
    struct dossier_source sources[]; /* in the order in which enrichers run */
};

struct snapshots;

/* Holds tables for `count` enrichers; no snapshot exists until each has been published once. */
struct snapshots *snapshots_open(size_t count);

/* Publishes a table for enricher `index`; takes it over. */
void snapshots_publish(struct snapshots *snapshots, size_t index, const struct enricher_type *type,
                       void *table);

/* The present snapshot; release it. The only lock on the data path, once per batch. */
const struct snapshot *snapshots_acquire(struct snapshots *snapshots);
void snapshots_release(struct snapshots *snapshots, const struct snapshot *snapshot);

/* All users must have released. */
void snapshots_close(struct snapshots *snapshots);
