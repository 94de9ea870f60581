/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See dossier.h. The index is an array of buckets of four slots, one cache line each: a probe reads
 * one line, and the entry behind a matching tag. Entries stand in a ring of bytes; a slot holds
 * where an entry is and how many bytes had been written before it, so one that was overwritten is
 * recognised by its age alone and nothing has to be unlinked.
 */
#include "core/dossier.h"

#include <assert.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "base/xalloc.h"
#include "core/enricher.h"

enum {
    ENTRY_MAX = 60 << 10, /* bytes of one entry, all styles together */
    ENTRY_MEAN = 320,     /* typical, for the number of buckets */
    ENTRY_ALIGN = 8,
    BUCKET_SLOTS = 4,
    CACHE_MIN = 4 << 20,
    CACHE_LINE = 64,
};

/* An entry of the ring; the encoded styles follow. */
struct entry {
    uint64_t addr[2]; /* as ipaddr.halves */
    uint64_t scope;
    int64_t valid_from_s, valid_until_s, expires_ms;
    uint32_t facts;
    uint8_t family, side;
    uint16_t style_end[]; /* of style i, from the first byte behind the array */
};

struct slot {
    uint64_t written; /* bytes written to the ring before the entry, plus 1; 0: free */
    uint32_t place;   /* in the ring, in units of ENTRY_ALIGN */
    uint32_t tag;     /* upper half of the hash */
};

struct bucket {
    struct slot slots[BUCKET_SLOTS];
};

struct dossier_cache {
    const struct dossier_style *styles;
    size_t style_count;
    char *ring;
    size_t ring_bytes, head; /* head: where the next entry goes */
    uint64_t written;        /* bytes ever written to the ring, its end skipped included */
    uint64_t dropped;        /* entries written before this are forgotten */
    struct bucket *buckets;
    size_t bucket_mask;
    struct dossier_cache_counts counts;
    struct span encoded[SIDE_COUNT][DOSSIER_STYLES_MAX]; /* what the last views point to */
    struct dossier scratch;
};

static bool dossier_add(struct dossier *dossier, enum note_id id, struct note **note) {
    if (dossier->note_count == DOSSIER_NOTES_MAX) {
        return false;
    }
    *note = &dossier->notes[dossier->note_count++];
    **note = (struct note){.id = (uint8_t)id};
    return true;
}

static bool keep_text(struct dossier *dossier, struct span *text) {
    if (text->len > sizeof(dossier->text) - dossier->text_len) {
        return false;
    }
    if (text->len > 0) {
        char *copy = memcpy(dossier->text + dossier->text_len, text->p, text->len);
        dossier->text_len += text->len;
        *text = span_of(copy, text->len);
    }
    return true;
}

void dossier_text(struct dossier *dossier, enum note_id id, struct span text) {
    struct note *note;
    if (text.len > 0 && keep_text(dossier, &text) && dossier_add(dossier, id, &note)) {
        note->text = text;
    }
}

void dossier_number(struct dossier *dossier, enum note_id id, int64_t number) {
    struct note *note;
    if (dossier_add(dossier, id, &note)) {
        note->number = number;
    }
}

void dossier_truth(struct dossier *dossier, enum note_id id, struct span name, bool truth) {
    struct note *note;
    if (keep_text(dossier, &name) && dossier_add(dossier, id, &note)) {
        note->name = name;
        note->truth = truth;
    }
}

const struct note *dossier_find(const struct dossier *dossier, enum note_id id) {
    for (size_t i = 0; i < dossier->note_count; i++) {
        if (dossier->notes[i].id == id) {
            return &dossier->notes[i];
        }
    }
    return NULL;
}

void dossier_make(struct dossier *dossier, enum flow_side side, uint64_t scope,
                  const struct ipaddr *addr, int64_t time_s, const struct dossier_source *sources,
                  size_t source_count) {
    dossier->addr = *addr;
    dossier->side = side;
    dossier->facts = 0;
    dossier->valid_from_s = INT64_MIN;
    dossier->valid_until_s = INT64_MAX;
    dossier->expires_ms = INT64_MAX;
    dossier->note_count = dossier->text_len = 0;
    dossier->addr_text_len = ipaddr_format(addr, dossier->addr_text);
    for (size_t i = 0; i < source_count; i++) {
        if (sources[i].type->describe) {
            sources[i].type->describe(sources[i].table, scope, addr, time_s, dossier);
        }
    }
}

/* A power of two, so that a hash is mapped by a mask; about twice as many slots as entries. */
static size_t bucket_count(size_t ring_bytes) {
    size_t count = 1;
    while (count * BUCKET_SLOTS < ring_bytes / ENTRY_MEAN * 2) {
        count *= 2;
    }
    return count;
}

/* Fresh pages from the system: zero, and resident only where they are used. */
static void *map_pages(size_t bytes) {
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) {
        abort();
    }
    return memory;
}

struct dossier_cache *dossier_cache_open(size_t size_bytes, const struct dossier_style *styles,
                                         size_t style_count) {
    assert(size_bytes >= CACHE_MIN && style_count <= DOSSIER_STYLES_MAX);
    struct dossier_cache *cache = xcalloc(1, sizeof(*cache));
    cache->styles = styles;
    cache->style_count = style_count;
    cache->ring_bytes = size_bytes / ENTRY_ALIGN * ENTRY_ALIGN;
    cache->ring = map_pages(cache->ring_bytes);
    cache->bucket_mask = bucket_count(cache->ring_bytes) - 1;
    cache->buckets = map_pages((cache->bucket_mask + 1) * sizeof(struct bucket));
    return cache;
}

void dossier_cache_close(struct dossier_cache *cache) {
    if (cache) {
        munmap(cache->ring, cache->ring_bytes);
        munmap(cache->buckets, (cache->bucket_mask + 1) * sizeof(struct bucket));
        free(cache);
    }
}

void dossier_cache_drop(struct dossier_cache *cache) {
    cache->dropped = cache->written;
}

struct dossier_cache_counts dossier_cache_counts(const struct dossier_cache *cache) {
    return cache->counts;
}

static uint64_t hash_key(enum flow_side side, uint64_t scope, const struct ipaddr *addr) {
    uint64_t a = addr->halves[0] ^ (scope + side) * 0x9e3779b97f4a7c15u;
    uint64_t b = addr->halves[1] ^ (uint64_t)addr->family << 56;
    __uint128_t product = (__uint128_t)(a ^ 0xa0761d6478bd642fu) * (b ^ 0xe7037ed1a0b428dbu);
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/*
 * The entry of a slot, NULL when it is free, forgotten or too old. The oldest SIDE_COUNT *
 * ENTRY_MAX bytes count as gone already, because the next look-ups of the same flow may overwrite
 * them while views still point there.
 */
static struct entry *slot_entry(const struct dossier_cache *cache, const struct slot *slot) {
    uint64_t start = slot->written - 1;
    uint64_t kept = cache->ring_bytes - (SIDE_COUNT + 1) * ENTRY_MAX;
    if (slot->written == 0 || start < cache->dropped || cache->written - start > kept) {
        return NULL;
    }
    return (struct entry *)(cache->ring + (size_t)slot->place * ENTRY_ALIGN);
}

static char *entry_bytes(const struct dossier_cache *cache, struct entry *entry) {
    return (char *)&entry->style_end[cache->style_count];
}

static void fill_view(struct dossier_cache *cache, struct entry *entry, struct dossier_view *view) {
    char *bytes = entry_bytes(cache, entry);
    struct span *encoded = cache->encoded[entry->side];
    size_t start = 0;
    for (size_t i = 0; i < cache->style_count; i++) {
        encoded[i] = span_of(bytes + start, entry->style_end[i] - start);
        start = entry->style_end[i];
    }
    view->facts = entry->facts;
    view->encoded = encoded;
}

/* Room for the largest entry in one piece; where the ring's end is too near, it starts over. */
static struct slot ring_room(struct dossier_cache *cache, uint32_t tag) {
    if (cache->ring_bytes - cache->head < ENTRY_MAX) {
        cache->written += cache->ring_bytes - cache->head;
        cache->head = 0;
    }
    return (struct slot){
        .written = cache->written + 1, .place = (uint32_t)(cache->head / ENTRY_ALIGN), .tag = tag};
}

/* Writes the entry at the head and moves that on. */
static struct entry *write_entry(struct dossier_cache *cache, const struct dossier *dossier,
                                 uint64_t scope) {
    struct entry *entry = (struct entry *)(cache->ring + cache->head);
    char *bytes = entry_bytes(cache, entry);
    struct buf out;
    buf_over(&out, bytes, ENTRY_MAX - (size_t)(bytes - (char *)entry) - ENTRY_ALIGN);
    *entry = (struct entry){
        .addr = {dossier->addr.halves[0], dossier->addr.halves[1]},
        .family = dossier->addr.family,
        .side = (uint8_t)dossier->side,
        .facts = dossier->facts,
        .scope = scope,
        .valid_from_s = dossier->valid_from_s,
        .valid_until_s = dossier->valid_until_s,
        .expires_ms = dossier->expires_ms,
    };
    for (size_t i = 0; i < cache->style_count; i++) {
        cache->styles[i].encode(cache->styles[i].conf, dossier, &out);
        entry->style_end[i] = (uint16_t)out.len;
    }
    size_t size = (size_t)(bytes - (char *)entry) + out.len;
    size = (size + ENTRY_ALIGN - 1) / ENTRY_ALIGN * ENTRY_ALIGN;
    cache->head += size;
    cache->written += size;
    return entry;
}

static bool entry_matches(const struct entry *entry, enum flow_side side, uint64_t scope,
                          const struct ipaddr *addr) {
    return entry->addr[1] == addr->halves[1] && entry->addr[0] == addr->halves[0] &&
           entry->scope == scope && entry->side == side && entry->family == addr->family;
}

/* The slot to write to: the one of the same key, a free or forgotten one, else the oldest. */
static struct slot *victim(const struct dossier_cache *cache, struct bucket *bucket, uint32_t tag) {
    struct slot *oldest = &bucket->slots[0];
    for (size_t i = 0; i < BUCKET_SLOTS; i++) {
        struct slot *slot = &bucket->slots[i];
        if (slot->tag == tag || !slot_entry(cache, slot)) {
            return slot;
        }
        if (slot->written < oldest->written) {
            oldest = slot;
        }
    }
    return oldest;
}

void dossier_look_up(struct dossier_cache *cache, enum flow_side side, uint64_t scope,
                     const struct ipaddr *addr, int64_t time_s, int64_t now_ms,
                     const struct dossier_source *sources, size_t source_count,
                     struct dossier_view *view) {
    uint64_t hash = hash_key(side, scope, addr);
    uint32_t tag = (uint32_t)(hash >> 32);
    struct bucket *bucket = &cache->buckets[hash & cache->bucket_mask];
    for (size_t i = 0; i < BUCKET_SLOTS; i++) {
        struct slot *slot = &bucket->slots[i];
        struct entry *entry = slot->tag == tag ? slot_entry(cache, slot) : NULL;
        if (entry && entry_matches(entry, side, scope, addr) && time_s >= entry->valid_from_s &&
            time_s <= entry->valid_until_s && now_ms < entry->expires_ms) {
            cache->counts.hits++;
            fill_view(cache, entry, view);
            return;
        }
    }
    cache->counts.misses++;
    struct slot *slot = victim(cache, bucket, tag);
    dossier_make(&cache->scratch, side, scope, addr, time_s, sources, source_count);
    *slot = ring_room(cache, tag);
    fill_view(cache, write_entry(cache, &cache->scratch, scope), view);
}

void dossier_prefetch_bucket(const struct dossier_cache *cache, enum flow_side side, uint64_t scope,
                             const struct ipaddr *addr) {
    __builtin_prefetch(&cache->buckets[hash_key(side, scope, addr) & cache->bucket_mask]);
}

void dossier_prefetch_entry(const struct dossier_cache *cache, enum flow_side side, uint64_t scope,
                            const struct ipaddr *addr) {
    uint64_t hash = hash_key(side, scope, addr);
    const struct bucket *bucket = &cache->buckets[hash & cache->bucket_mask];
    for (size_t i = 0; i < BUCKET_SLOTS; i++) {
        if (bucket->slots[i].tag == (uint32_t)(hash >> 32)) {
            const char *entry = cache->ring + (size_t)bucket->slots[i].place * ENTRY_ALIGN;
            for (size_t line = 0; line < ENTRY_MEAN; line += CACHE_LINE) {
                __builtin_prefetch(entry + line);
            }
            return;
        }
    }
}
