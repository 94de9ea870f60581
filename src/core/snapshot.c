/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See snapshot.h. One mutex guards the present snapshot and all counts; it is held for a few
 * instructions, and unloading happens outside of it.
 */
#include "core/snapshot.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

#include "base/xalloc.h"

/* A table and how many snapshots hold it. */
struct holder {
    const struct enricher_type *type;
    void *table;
    size_t refs;
};

/* What stands around a snapshot. */
struct edition {
    size_t refs; /* users, and one for being the present one */
    struct holder **holders;
    struct snapshot snapshot; /* last: its sources follow */
};

struct snapshots {
    pthread_mutex_t lock;
    size_t count;
    struct holder **latest; /* per enricher, NULL until published */
    struct edition *present;
    uint64_t version;
};

struct snapshots *snapshots_open(size_t count) {
    struct snapshots *snapshots = xcalloc(1, sizeof(*snapshots));
    pthread_mutex_init(&snapshots->lock, NULL);
    snapshots->count = count;
    snapshots->latest = xcalloc(count, sizeof(struct holder *));
    return snapshots;
}

static struct edition *edition_of(const struct snapshot *snapshot) {
    return (struct edition *)((char *)snapshot - offsetof(struct edition, snapshot));
}

/* Takes one reference back under the lock; what nobody holds any more is put into `garbage`. */
static size_t edition_release(struct snapshots *snapshots, struct edition *edition,
                              struct holder **garbage) {
    size_t unused = 0;
    if (edition && --edition->refs == 0) {
        for (size_t i = 0; i < snapshots->count; i++) {
            if (--edition->holders[i]->refs == 0) {
                garbage[unused++] = edition->holders[i];
            }
        }
        free(edition->holders);
        free(edition);
    }
    return unused;
}

static void unload_all(struct holder **garbage, size_t count) {
    for (size_t i = 0; i < count; i++) {
        garbage[i]->type->unload(garbage[i]->table);
        free(garbage[i]);
    }
}

static struct edition *edition_new(struct snapshots *snapshots) {
    size_t count = snapshots->count;
    struct edition *edition = xcalloc(1, sizeof(*edition) + count * sizeof(struct dossier_source));
    edition->refs = 1;
    edition->holders = xcalloc(count, sizeof(struct holder *));
    edition->snapshot.version = ++snapshots->version;
    edition->snapshot.count = count;
    for (size_t i = 0; i < count; i++) {
        struct holder *holder = edition->holders[i] = snapshots->latest[i];
        holder->refs++;
        edition->snapshot.sources[i] =
            (struct dossier_source){.type = holder->type, .table = holder->table};
    }
    return edition;
}

static bool is_complete(const struct snapshots *snapshots) {
    for (size_t i = 0; i < snapshots->count; i++) {
        if (!snapshots->latest[i]) {
            return false;
        }
    }
    return true;
}

void snapshots_publish(struct snapshots *snapshots, size_t index, const struct enricher_type *type,
                       void *table) {
    struct holder *holder = xcalloc(1, sizeof(*holder));
    struct holder *garbage[snapshots->count];
    size_t unused = 0;
    *holder = (struct holder){.type = type, .table = table};
    pthread_mutex_lock(&snapshots->lock);
    snapshots->latest[index] = holder;
    if (is_complete(snapshots)) {
        struct edition *old = snapshots->present;
        snapshots->present = edition_new(snapshots);
        unused = edition_release(snapshots, old, garbage);
    }
    pthread_mutex_unlock(&snapshots->lock);
    unload_all(garbage, unused);
}

const struct snapshot *snapshots_acquire(struct snapshots *snapshots) {
    pthread_mutex_lock(&snapshots->lock);
    struct edition *edition = snapshots->present;
    assert(edition);
    edition->refs++;
    pthread_mutex_unlock(&snapshots->lock);
    return &edition->snapshot;
}

void snapshots_release(struct snapshots *snapshots, const struct snapshot *snapshot) {
    struct holder *garbage[snapshots->count];
    pthread_mutex_lock(&snapshots->lock);
    size_t unused = edition_release(snapshots, edition_of(snapshot), garbage);
    pthread_mutex_unlock(&snapshots->lock);
    unload_all(garbage, unused);
}

void snapshots_close(struct snapshots *snapshots) {
    if (!snapshots) {
        return;
    }
    if (snapshots->present) {
        assert(snapshots->present->refs == 1);
        snapshots_release(snapshots, &snapshots->present->snapshot);
    } else {
        /* The first load failed: nothing but the tables loaded so far. */
        for (size_t i = 0; i < snapshots->count; i++) {
            if (snapshots->latest[i]) {
                unload_all(&snapshots->latest[i], 1);
            }
        }
    }
    pthread_mutex_destroy(&snapshots->lock);
    free(snapshots->latest);
    free(snapshots);
}
