/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dossiers: all that is known about one address, and the cache of them that each worker has.
 *
 * On a miss the address enrichers fill a scratch dossier; it is then encoded once per style (a kind
 * of message that some output writes) and kept as bytes, so that a hit costs one probe, and its use
 * one copy. The key is (side, scope, address), as the bytes carry the side's name.
 *
 * The cache is a ring of bytes: new entries overwrite the oldest, so it never frees, never grows
 * and forgets at once when dropped. A hit counts only inside the entry's span of record times and
 * before its expiry, both narrowed by whoever contributed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "flow/flow.h"

enum { DOSSIER_NOTES_MAX = 96, DOSSIER_TEXT_MAX = 8192, DOSSIER_STYLES_MAX = 16 };

/* A dossier while it is being made. Texts are copied into it. */
struct dossier {
    struct ipaddr addr;
    enum flow_side side;
    uint32_t facts;       /* enum dossier_fact, set by enrichers */
    int64_t valid_from_s; /* record times for which it holds; start as wide as can be */
    int64_t valid_until_s;
    int64_t expires_ms; /* monotonic; INT64_MAX: when the tables are swapped */
    char addr_text[IPADDR_TEXT_MAX];
    size_t addr_text_len;
    size_t note_count;
    struct note notes[DOSSIER_NOTES_MAX];
    size_t text_len;
    char text[DOSSIER_TEXT_MAX];
};

/* Add a note; what does not fit is left out and the dossier stays usable. Empty text adds nothing.
   `name` is the tail for NOTE_THREAT_FEED (a feed's name) and empty otherwise. */
void dossier_text(struct dossier *dossier, enum note_id id, struct span text);
void dossier_number(struct dossier *dossier, enum note_id id, int64_t number);
void dossier_truth(struct dossier *dossier, enum note_id id, struct span name, bool truth);

/* The first note with that id, NULL when there is none. */
const struct note *dossier_find(const struct dossier *dossier, enum note_id id);

struct enricher_type;

/* An enricher and its table, as acquired for the batch. */
struct dossier_source {
    const struct enricher_type *type;
    const void *table;
};

/* Makes a dossier by asking each source about the address, without any cache; `dossier` is the
   caller's. For `flowgelf lookup` and for a miss. */
void dossier_make(struct dossier *dossier, enum flow_side side, uint64_t scope,
                  const struct ipaddr *addr, int64_t time_s, const struct dossier_source *sources,
                  size_t source_count);

/* Writes the fields of one dossier as they stand in a message; pure. `out` has a ceiling. */
typedef void (*dossier_encode)(const void *conf, const struct dossier *dossier, struct buf *out);

/* One style: how to write, with the settings of whoever wants it so. */
struct dossier_style {
    dossier_encode encode;
    const void *conf;
};

struct dossier_cache;

/* A cache of `size_bytes` (4 MiB to 32 GiB) for `style_count` styles; the array stays the caller's
   and must outlive the cache. */
struct dossier_cache *dossier_cache_open(size_t size_bytes, const struct dossier_style *styles,
                                         size_t style_count);
void dossier_cache_close(struct dossier_cache *cache);

/* Forgets everything, because a table was swapped. */
void dossier_cache_drop(struct dossier_cache *cache);

struct dossier_cache_counts {
    uint64_t hits, misses;
};
struct dossier_cache_counts dossier_cache_counts(const struct dossier_cache *cache);

/*
 * The dossier of an address. *view points into the cache and stays valid for the next
 * SIDE_COUNT - 1 look-ups (so, while one flow is worked on).
 */
void dossier_look_up(struct dossier_cache *cache, enum flow_side side, uint64_t scope,
                     const struct ipaddr *addr, int64_t time_s, int64_t now_ms,
                     const struct dossier_source *sources, size_t source_count,
                     struct dossier_view *view);

/* Ask the processor to fetch what a look-up will read, for a group of flows ahead of their use: the
   bucket, and later, when that is there, the entry. */
void dossier_prefetch_bucket(const struct dossier_cache *cache, enum flow_side side, uint64_t scope,
                             const struct ipaddr *addr);
void dossier_prefetch_entry(const struct dossier_cache *cache, enum flow_side side, uint64_t scope,
                            const struct ipaddr *addr);
