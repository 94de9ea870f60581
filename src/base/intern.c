/* SPDX-License-Identifier: Apache-2.0 */
/* See intern.h: all keys in one piece of memory, and a hash table of their numbers with linear
   probing, at most half full. */
#include "base/intern.h"

#include <assert.h>
#include <stdlib.h>
#include <xxhash.h>

#include "base/xalloc.h"

enum { SLOTS_FIRST = 64, TEXT_FIRST = 1024 };

struct intern {
    char *text;
    size_t text_len, text_room;
    uint32_t *ends; /* of key i in text; it begins where the one before ends */
    uint32_t count;
    uint32_t *slots;     /* number of a key plus 1, 0 for a free slot */
    uint32_t slot_count; /* a power of two; `ends` has half as many */
};

struct intern *intern_open(void) {
    struct intern *intern = xcalloc(1, sizeof(*intern));
    intern->slot_count = SLOTS_FIRST;
    intern->slots = xcalloc(SLOTS_FIRST, sizeof(uint32_t));
    intern->ends = xcalloc(SLOTS_FIRST / 2, sizeof(uint32_t));
    intern->text_room = TEXT_FIRST;
    intern->text = xmalloc(TEXT_FIRST);
    return intern;
}

void intern_close(struct intern *intern) {
    if (intern) {
        free(intern->slots);
        free(intern->ends);
        free(intern->text);
        free(intern);
    }
}

struct span intern_get(const struct intern *intern, uint32_t id) {
    uint32_t start = id ? intern->ends[id - 1] : 0;
    return span_of(intern->text + start, intern->ends[id] - start);
}

uint32_t intern_count(const struct intern *intern) {
    return intern->count;
}

/* The slot that holds `key`, or the free one where it belongs. */
static uint32_t *find_slot(const struct intern *intern, struct span key) {
    uint32_t mask = intern->slot_count - 1;
    uint32_t at = (uint32_t)XXH3_64bits(key.p, key.len) & mask;
    while (intern->slots[at] && !span_eq(intern_get(intern, intern->slots[at] - 1), key)) {
        at = (at + 1) & mask;
    }
    return &intern->slots[at];
}

uint32_t intern_find(const struct intern *intern, struct span key) {
    uint32_t slot = *find_slot(intern, key);
    return slot ? slot - 1 : INTERN_NONE;
}

static void grow_slots(struct intern *intern) {
    assert(intern->slot_count <= UINT32_MAX / 4);
    intern->slot_count *= 2;
    free(intern->slots);
    intern->slots = xcalloc(intern->slot_count, sizeof(uint32_t));
    intern->ends = xreallocarray(intern->ends, intern->slot_count / 2, sizeof(uint32_t));
    for (uint32_t id = 0; id < intern->count; id++) {
        *find_slot(intern, intern_get(intern, id)) = id + 1;
    }
}

uint32_t intern_add(struct intern *intern, struct span key) {
    uint32_t *slot = find_slot(intern, key);
    if (*slot) {
        return *slot - 1;
    }
    if (intern->count == intern->slot_count / 2) {
        grow_slots(intern);
        slot = find_slot(intern, key);
    }
    assert(key.len <= UINT32_MAX - intern->text_len);
    while (intern->text_room - intern->text_len < key.len) {
        intern->text_room *= 2;
        intern->text = xreallocarray(intern->text, intern->text_room, 1);
    }
    if (key.len > 0) {
        memcpy(intern->text + intern->text_len, key.p, key.len);
    }
    intern->text_len += key.len;
    intern->ends[intern->count] = (uint32_t)intern->text_len;
    *slot = ++intern->count;
    return intern->count - 1;
}
