/* SPDX-License-Identifier: Apache-2.0 */
/* See kinesis_types.h. */
#include "input/kinesis_types.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/xalloc.h"

bool kinesis_hash_parse(struct span digits, unsigned __int128 *hash) {
    const unsigned __int128 max = ~(unsigned __int128)0;
    unsigned __int128 sum = 0;
    for (size_t i = 0; i < digits.len; i++) {
        unsigned digit = (unsigned char)digits.p[i] - '0';
        if (digit > 9 || sum > max / 10 || sum * 10 > max - digit) {
            return false;
        }
        sum = sum * 10 + digit;
    }
    if (digits.len > 0) {
        *hash = sum;
    }
    return digits.len > 0;
}

void kinesis_hash_format(unsigned __int128 hash, char out[KINESIS_HASH_SIZE]) {
    char digits[KINESIS_HASH_SIZE];
    size_t at = sizeof(digits) - 1;
    digits[at] = '\0';
    do {
        digits[--at] = (char)('0' + (int)(hash % 10));
        hash /= 10;
    } while (hash > 0);
    memcpy(out, digits + at, sizeof(digits) - at);
}

/* Big integers: the one with more digits is larger, leading zeros aside. */
static int compare_digits(const char *a, const char *b) {
    a += strspn(a, "0");
    b += strspn(b, "0");
    size_t a_len = strlen(a), b_len = strlen(b);
    if (a_len != b_len) {
        return a_len < b_len ? -1 : 1;
    }
    return strcmp(a, b);
}

static int compare_i64(int64_t a, int64_t b) {
    return (a > b) - (a < b);
}

int kinesis_position_compare(const struct kinesis_position *a, const struct kinesis_position *b) {
    if (a->kind != b->kind) {
        return a->kind < b->kind ? -1 : 1;
    }
    if (a->kind == POSITION_TIME) {
        return compare_i64(a->time_ms, b->time_ms);
    }
    if (a->kind != POSITION_SEQUENCE) {
        return 0;
    }
    int order = compare_digits(a->sequence, b->sequence);
    return order != 0 ? order : compare_i64(a->sub, b->sub);
}

static void format_time(int64_t time_ms, struct buf *out) {
    int part_ms = (int)((time_ms % 1000 + 1000) % 1000);
    time_t seconds = (time_t)(time_ms / 1000 - (time_ms % 1000 < 0));
    struct tm tm = {0};
    char text[40];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(out, "%s.%03dZ", text, part_ms);
}

void kinesis_position_format(const struct kinesis_position *position, struct buf *out) {
    switch (position->kind) {
    case POSITION_NONE:
        buf_add(out, SPAN("none"));
        break;
    case POSITION_TIME:
        buf_add(out, SPAN("AT_TIMESTAMP "));
        format_time(position->time_ms, out);
        break;
    case POSITION_TRIM_HORIZON:
        buf_add(out, SPAN("TRIM_HORIZON"));
        break;
    case POSITION_LATEST:
        buf_add(out, SPAN("LATEST"));
        break;
    case POSITION_SEQUENCE:
        buf_add(out, span_str(position->sequence));
        if (position->sub > 0) {
            buf_char(out, ':');
            buf_i64(out, position->sub);
        }
        break;
    case POSITION_SHARD_END:
        buf_add(out, SPAN("SHARD_END"));
        break;
    }
}

bool kinesis_is_sequence(struct span digits) {
    if (digits.len == 0 || digits.len >= KINESIS_SEQUENCE_SIZE) {
        return false;
    }
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9') {
            return false;
        }
    }
    return true;
}

bool kinesis_sequence_set(char out[KINESIS_SEQUENCE_SIZE], struct span digits) {
    if (!kinesis_is_sequence(digits)) {
        return false;
    }
    memcpy(out, digits.p, digits.len);
    out[digits.len] = '\0';
    return true;
}

bool kinesis_id_set(char out[KINESIS_ID_SIZE], struct span id) {
    if (id.len == 0 || id.len >= KINESIS_ID_SIZE) {
        return false;
    }
    for (size_t i = 0; i < id.len; i++) {
        char c = id.p[i];
        bool is_good = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') ||
                       c == '_' || c == '.' || c == '-';
        if (!is_good) {
            return false;
        }
    }
    memcpy(out, id.p, id.len);
    out[id.len] = '\0';
    return true;
}

int kinesis_shards_add(struct kinesis_shards *shards, const struct kinesis_shard *shard,
                       struct err *err) {
    if (shards->count == KINESIS_SHARDS_MAX) {
        return err_set(err, ERR_DATA, "a list of more than %d shards", KINESIS_SHARDS_MAX);
    }
    if (shards->count == shards->room) {
        shards->room = shards->room ? shards->room * 2 : 8;
        shards->items = xreallocarray(shards->items, shards->room, sizeof(*shards->items));
    }
    shards->items[shards->count++] = *shard;
    return 0;
}

/* By id; of two with the same one, the one that was added first (they lie in that order). */
static int compare_shards(const void *a, const void *b) {
    const struct kinesis_shard *const *one = a, *const *other = b;
    int order = strcmp((*one)->id, (*other)->id);
    return order != 0 ? order : (*one > *other) - (*one < *other);
}

static bool is_finished(const struct kinesis_shards *shards) {
    for (size_t i = 1; i < shards->count; i++) {
        if (strcmp(shards->items[i - 1].id, shards->items[i].id) >= 0) {
            return false;
        }
    }
    return true;
}

void kinesis_shards_finish(struct kinesis_shards *shards) {
    if (is_finished(shards)) {
        return; /* the service lists them in this order */
    }
    const struct kinesis_shard **order = xreallocarray(NULL, shards->count, sizeof(*order));
    for (size_t i = 0; i < shards->count; i++) {
        order[i] = &shards->items[i];
    }
    qsort(order, shards->count, sizeof(*order), compare_shards);
    struct kinesis_shard *sorted = xreallocarray(NULL, shards->room, sizeof(*sorted));
    size_t count = 0;
    for (size_t i = 0; i < shards->count; i++) {
        bool is_copy = count > 0 && strcmp(sorted[count - 1].id, order[i]->id) == 0;
        sorted[count - (is_copy ? 1 : 0)] = *order[i]; /* the last one said is what holds */
        count += is_copy ? 0 : 1;
    }
    free(order);
    free(shards->items);
    shards->items = sorted;
    shards->count = count;
}

const struct kinesis_shard *kinesis_shards_find(const struct kinesis_shards *shards,
                                                const char *id) {
    size_t low = 0, high = shards->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(shards->items[middle].id, id);
        if (order == 0) {
            return &shards->items[middle];
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return NULL;
}

void kinesis_shards_done(struct kinesis_shards *shards) {
    free(shards->items);
    *shards = (struct kinesis_shards){0};
}
