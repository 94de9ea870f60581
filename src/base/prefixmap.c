/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See prefixmap.h. Prefixes form a forest; walking it in order gives boundaries: addresses at which
 * the value changes. A boundary whose value ends after a power of two of addresses, with nothing
 * behind it, says so itself (its `reach`) and saves a second boundary: that is every lone prefix.
 * Boundaries stand sorted under a static search tree; level n + 1 holds the first key of each
 * block of level n.
 */
#include "base/prefixmap.h"

#include <arpa/inet.h>
#include <assert.h>
#include <endian.h>
#include <stdbool.h>
#include <stdlib.h>

#include "base/xalloc.h"

/* An address of either family as a number. */
__extension__ typedef unsigned __int128 wide_key;

enum {
    NARROW_BLOCK = 128, /* keys of 4 bytes in a block */
    NARROW_LINE = 16,   /* and in a cache line */
    WIDE_BLOCK = 16,    /* keys of 16 bytes in a block */
    LEVELS_MAX = 9,     /* 16^9 is more than 2^33 boundaries */
    NESTING_MAX = 129,
    VALUE_BITS = 25,
    REACH_OPEN = 127, /* up to the next boundary */
    ROOM_FIRST = 64,
};

struct narrow_item {
    uint32_t start, value;
    uint8_t bits;
};

struct wide_item {
    uint64_t high, low;
    uint32_t value;
    uint8_t bits;
};

/* The prefixes of one family as they came. */
struct items {
    void *data; /* of struct narrow_item or struct wide_item */
    size_t count, room;
};

struct prefixmap_builder {
    prefixmap_combine combine;
    void *context;
    struct items narrow, wide;
};

struct tree {
    bool is_wide;
    int depth;
    size_t count[LEVELS_MAX];
    void *keys[LEVELS_MAX]; /* uint32_t or wide_key, padded to whole blocks; [0] has all */
    uint32_t *values;       /* of level 0: value, and reach in the bits above */
    size_t room;            /* while it is built */
};

struct prefixmap {
    struct tree narrow, wide;
};

struct prefixmap_builder *prefixmap_begin(prefixmap_combine combine, void *context) {
    struct prefixmap_builder *builder = xcalloc(1, sizeof(*builder));
    builder->combine = combine;
    builder->context = context;
    return builder;
}

static void *items_next(struct items *items, size_t item_bytes) {
    if (items->count == items->room) {
        items->room = items->room ? items->room * 2 : ROOM_FIRST;
        items->data = xreallocarray(items->data, items->room, item_bytes);
    }
    return (char *)items->data + item_bytes * items->count++;
}

void prefixmap_add(struct prefixmap_builder *builder, const struct cidr *prefix, uint32_t value) {
    assert(value <= PREFIXMAP_VALUE_MAX);
    if (prefix->addr.family == IPADDR_V4) {
        struct narrow_item *item = items_next(&builder->narrow, sizeof(*item));
        *item = (struct narrow_item){ntohl(prefix->addr.words[3]), value, prefix->bits};
    } else {
        struct wide_item *item = items_next(&builder->wide, sizeof(*item));
        *item = (struct wide_item){be64toh(prefix->addr.halves[0]), be64toh(prefix->addr.halves[1]),
                                   value, prefix->bits};
    }
}

/* Outer before inner: by address, then the shorter prefix, then the value. */
#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_narrow(const void *left, const void *right) {
    const struct narrow_item *a = left, *b = right;
    int order = COMPARE(a->start, b->start);
    order = order ? order : COMPARE(a->bits, b->bits);
    return order ? order : COMPARE(a->value, b->value);
}

static int compare_wide(const void *left, const void *right) {
    const struct wide_item *a = left, *b = right;
    int order = COMPARE(a->high, b->high);
    order = order ? order : COMPARE(a->low, b->low);
    order = order ? order : COMPARE(a->bits, b->bits);
    return order ? order : COMPARE(a->value, b->value);
}

static wide_key key_at(const struct tree *tree, size_t index) {
    return tree->is_wide ? ((const wide_key *)tree->keys[0])[index]
                         : ((const uint32_t *)tree->keys[0])[index];
}

/* The value of a boundary `distance` addresses behind it. */
static inline uint32_t value_at_distance(uint32_t packed, wide_key distance) {
    unsigned reach = packed >> VALUE_BITS;
    return reach != REACH_OPEN && distance >> reach != 0 ? PREFIXMAP_NONE : packed & PREFIXMAP_NONE;
}

/* The exponent of a power of two below 2^127, else REACH_OPEN. */
static unsigned reach_of(wide_key length) {
    uint64_t high = (uint64_t)(length >> 64), low = (uint64_t)length;
    if (length == 0 || (length & (length - 1)) != 0) {
        return REACH_OPEN;
    }
    return (unsigned)(high ? 64 + __builtin_ctzll(high) : __builtin_ctzll(low));
}

static uint32_t pack(uint32_t value, unsigned reach) {
    return value | (uint32_t)reach << VALUE_BITS;
}

static void tree_append(struct tree *tree, wide_key start, uint32_t value) {
    if (tree->count[0] == tree->room) {
        tree->room = tree->room ? tree->room * 2 : ROOM_FIRST;
        tree->keys[0] = xreallocarray(tree->keys[0], tree->room,
                                      tree->is_wide ? sizeof(wide_key) : sizeof(uint32_t));
        tree->values = xreallocarray(tree->values, tree->room, sizeof(uint32_t));
    }
    size_t at = tree->count[0]++;
    if (tree->is_wide) {
        ((wide_key *)tree->keys[0])[at] = start;
    } else {
        ((uint32_t *)tree->keys[0])[at] = (uint32_t)start;
    }
    tree->values[at] = pack(value, REACH_OPEN);
}

/* From `start`, which is not before any other so far, the value is `value`. */
static void tree_change(struct tree *tree, wide_key start, uint32_t value) {
    if (tree->count[0] > 0 && key_at(tree, tree->count[0] - 1) == start) {
        tree->count[0]--; /* said otherwise just before: an inner prefix begins or ends here too */
    }
    if (tree->count[0] == 0) {
        tree_append(tree, start, value);
        return;
    }
    uint32_t *last = &tree->values[tree->count[0] - 1];
    wide_key length = start - key_at(tree, tree->count[0] - 1);
    unsigned reach = reach_of(length);
    if (value_at_distance(*last, length) == value) {
        return;
    }
    if (value == PREFIXMAP_NONE && reach != REACH_OPEN) {
        *last = pack(*last & PREFIXMAP_NONE, reach);
    } else if (*last == pack(value, reach)) {
        *last = pack(value, REACH_OPEN); /* ended right here and goes on */
    } else {
        tree_append(tree, start, value);
    }
}

/* Prefixes that hold at the present point of the walk, outermost first. */
struct walk {
    const struct prefixmap_builder *builder;
    struct tree *tree;
    wide_key end; /* last address of the family */
    int depth;
    struct {
        wide_key start, last;
        uint32_t value;
    } open[NESTING_MAX];
};

/* Leaves the innermost prefix. */
static void walk_leave(struct walk *walk) {
    wide_key last = walk->open[--walk->depth].last;
    if (last != walk->end) {
        tree_change(walk->tree, last + 1,
                    walk->depth ? walk->open[walk->depth - 1].value : PREFIXMAP_NONE);
    }
}

static void walk_enter(struct walk *walk, wide_key start, unsigned host_bits, uint32_t value) {
    wide_key size_less_1 = host_bits == 128 ? ~(wide_key)0 : ((wide_key)1 << host_bits) - 1;
    wide_key last = start | size_less_1;
    while (walk->depth > 0 && walk->open[walk->depth - 1].last < start) {
        walk_leave(walk);
    }
    if (walk->depth > 0) {
        uint32_t outer = walk->open[walk->depth - 1].value;
        const struct prefixmap_builder *builder = walk->builder;
        value = builder->combine ? builder->combine(builder->context, outer, value) : value;
        assert(value <= PREFIXMAP_VALUE_MAX);
        /* The same prefix once more takes the place of the first. */
        walk->depth -=
            walk->open[walk->depth - 1].start == start && walk->open[walk->depth - 1].last == last;
    }
    walk->open[walk->depth].start = start;
    walk->open[walk->depth].last = last;
    walk->open[walk->depth++].value = value;
    tree_change(walk->tree, start, value);
}

static void walk_items(struct walk *walk, const struct items *items) {
    const struct narrow_item *narrow = items->data;
    const struct wide_item *wide = items->data;
    tree_change(walk->tree, 0, PREFIXMAP_NONE);
    for (size_t i = 0; i < items->count; i++) {
        if (walk->tree->is_wide) {
            walk_enter(walk, (wide_key)wide[i].high << 64 | wide[i].low, 128u - wide[i].bits,
                       wide[i].value);
        } else {
            walk_enter(walk, narrow[i].start, 32u - narrow[i].bits, narrow[i].value);
        }
    }
    while (walk->depth > 0) {
        walk_leave(walk);
    }
}

/* Keys of one level, with the greatest key up to the end of the last block. */
static void *padded_keys(void *keys, size_t count, size_t block, size_t key_bytes) {
    size_t room = (count + block - 1) / block * block;
    keys = xreallocarray(keys, room, key_bytes);
    memset((char *)keys + count * key_bytes, 0xff, (room - count) * key_bytes);
    return keys;
}

static void build_levels(struct tree *tree) {
    size_t key_bytes = tree->is_wide ? sizeof(wide_key) : sizeof(uint32_t);
    size_t block = tree->is_wide ? WIDE_BLOCK : NARROW_BLOCK;
    tree->values = xreallocarray(tree->values, tree->count[0], sizeof(uint32_t));
    tree->keys[0] = padded_keys(tree->keys[0], tree->count[0], block, key_bytes);
    for (tree->depth = 1; tree->count[tree->depth - 1] > block; tree->depth++) {
        const char *below = tree->keys[tree->depth - 1];
        size_t count = (tree->count[tree->depth - 1] + block - 1) / block;
        char *keys = padded_keys(NULL, count, block, key_bytes);
        for (size_t i = 0; i < count; i++) {
            memcpy(keys + i * key_bytes, below + i * block * key_bytes, key_bytes);
        }
        tree->keys[tree->depth] = keys;
        tree->count[tree->depth] = count;
    }
}

static void build_tree(const struct prefixmap_builder *builder, struct items *items,
                       struct tree *tree) {
    struct walk walk = {.builder = builder, .tree = tree};
    walk.end = tree->is_wide ? ~(wide_key)0 : UINT32_MAX;
    if (items->count > 0) {
        qsort(items->data, items->count,
              tree->is_wide ? sizeof(struct wide_item) : sizeof(struct narrow_item),
              tree->is_wide ? compare_wide : compare_narrow);
    }
    walk_items(&walk, items);
    free(items->data);
    *items = (struct items){0};
    build_levels(tree);
}

struct prefixmap *prefixmap_finish(struct prefixmap_builder *builder) {
    struct prefixmap *map = xcalloc(1, sizeof(*map));
    map->wide.is_wide = true;
    build_tree(builder, &builder->narrow, &map->narrow);
    build_tree(builder, &builder->wide, &map->wide);
    free(builder);
    return map;
}

static void tree_done(struct tree *tree) {
    for (int level = 0; level < tree->depth; level++) {
        free(tree->keys[level]);
    }
    free(tree->values);
}

void prefixmap_free(struct prefixmap *map) {
    if (map) {
        tree_done(&map->narrow);
        tree_done(&map->wide);
        free(map);
    }
}

/*
 * How many keys of a block are not greater, given that the first is not. The first key of each
 * cache line finds the line; none of these reads waits for another, so a block costs one miss.
 */
static inline size_t count_narrow(const uint32_t *block, uint32_t key) {
    size_t line = 0, count = 0;
    for (int i = NARROW_LINE; i < NARROW_BLOCK; i += NARROW_LINE) {
        line += block[i] <= key;
    }
    block += line * NARROW_LINE;
    for (int i = 0; i < NARROW_LINE; i++) {
        count += block[i] <= key;
    }
    return line * NARROW_LINE + count;
}

static inline size_t count_wide(const wide_key *block, wide_key key) {
    size_t count = 0;
    for (int i = 0; i < WIDE_BLOCK; i++) {
        count += block[i] <= key;
    }
    return count;
}

/* Each level's first key is 0, so there is always one that is not greater. */
static inline uint32_t tree_find(const struct tree *tree, wide_key key, bool is_wide) {
    size_t at = 0;
    for (int level = tree->depth - 1; level >= 0; level--) {
        if (is_wide) {
            const wide_key *keys = tree->keys[level];
            at = at * WIDE_BLOCK + count_wide(keys + at * WIDE_BLOCK, key) - 1;
        } else {
            const uint32_t *keys = tree->keys[level];
            at = at * NARROW_BLOCK + count_narrow(keys + at * NARROW_BLOCK, (uint32_t)key) - 1;
        }
        /* The greatest address of all is equal to the padding. */
        at = at < tree->count[level] ? at : tree->count[level] - 1;
    }
    return value_at_distance(tree->values[at], key - key_at(tree, at));
}

uint32_t prefixmap_find(const struct prefixmap *map, const struct ipaddr *addr) {
    if (addr->family == IPADDR_V4) {
        return tree_find(&map->narrow, ntohl(addr->words[3]), false);
    }
    wide_key key = (wide_key)be64toh(addr->halves[0]) << 64 | be64toh(addr->halves[1]);
    return tree_find(&map->wide, key, true);
}
