/* SPDX-License-Identifier: Apache-2.0 */
/* See names.h. Few are ever in use, so they are searched one by one. */
#include "decode/names.h"

#include <stdlib.h>

#include <xxhash.h>

#include "base/xalloc.h"

static void drop_entry(struct names_entry *entry) {
    format_free(entry->format);
    free(entry->text);
    *entry = (struct names_entry){0};
}

/* A free entry, or the one not used for longest; NULL when the record uses all. */
static struct names_entry *find_room(struct names *names, uint64_t record) {
    if (names->count < NAMES_MAX) {
        return &names->entries[names->count++];
    }
    struct names_entry *oldest = &names->entries[0];
    for (size_t i = 1; i < NAMES_MAX; i++) {
        if (names->entries[i].used < oldest->used) {
            oldest = &names->entries[i];
        }
    }
    if (oldest->used >= record) {
        return NULL;
    }
    drop_entry(oldest);
    return oldest;
}

const struct format *names_find(struct names *names, struct span text, uint64_t record) {
    uint64_t hash = XXH3_64bits(text.p, text.len);
    for (size_t i = 0; i < names->count; i++) {
        struct names_entry *entry = &names->entries[i];
        if (entry->hash == hash && span_eq(span_of(entry->text, entry->text_len), text)) {
            entry->used = record;
            return entry->format;
        }
    }
    struct format *format;
    if (format_from_names(text, &format, NULL) < 0) {
        return NULL;
    }
    struct names_entry *entry = find_room(names, record);
    if (!entry) {
        format_free(format);
        return NULL;
    }
    *entry = (struct names_entry){.hash = hash,
                                  .used = record,
                                  .text = xstrdup_span(text),
                                  .text_len = text.len,
                                  .format = format};
    return format;
}

void names_done(struct names *names) {
    for (size_t i = 0; i < names->count; i++) {
        drop_entry(&names->entries[i]);
    }
    names->count = 0;
}
