/* SPDX-License-Identifier: Apache-2.0 */
/* See kafka_offsets.h. Slots of partitions are used again; steps refer to them by index. */
#include "input/kafka_offsets.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"

void kafka_offsets_init(struct kafka_offsets *offsets) {
    *offsets = (struct kafka_offsets){.step_room = 1024};
    offsets->steps = xcalloc(offsets->step_room, sizeof(*offsets->steps));
}

void kafka_offsets_done(struct kafka_offsets *offsets) {
    for (size_t i = 0; i < offsets->part_count; i++) {
        free(offsets->parts[i]->topic);
        free(offsets->parts[i]);
    }
    free(offsets->parts);
    free(offsets->steps);
}

int kafka_offsets_find(const struct kafka_offsets *offsets, const char *topic, int32_t partition) {
    for (size_t i = 0; i < offsets->part_count; i++) {
        const struct kafka_part *part = offsets->parts[i];
        if (part->topic && part->partition == partition && strcmp(part->topic, topic) == 0) {
            return (int)i;
        }
    }
    return -1;
}

static size_t free_slot(struct kafka_offsets *offsets) {
    for (size_t i = 0; i < offsets->part_count; i++) {
        if (!offsets->parts[i]->topic) {
            return i;
        }
    }
    offsets->parts =
        xreallocarray(offsets->parts, offsets->part_count + 1, sizeof(*offsets->parts));
    offsets->parts[offsets->part_count] = xcalloc(1, sizeof(**offsets->parts));
    return offsets->part_count++;
}

static struct kafka_step *step_at(const struct kafka_offsets *offsets, size_t at) {
    return &offsets->steps[at & (offsets->step_room - 1)];
}

static void void_steps(struct kafka_offsets *offsets, size_t part) {
    for (size_t at = offsets->tail; at != offsets->head; at++) {
        if (step_at(offsets, at)->part == part) {
            step_at(offsets, at)->is_void = true;
        }
    }
}

size_t kafka_offsets_add(struct kafka_offsets *offsets, const char *topic, int32_t partition,
                         int64_t start, int64_t stored) {
    int known = kafka_offsets_find(offsets, topic, partition);
    size_t at = known >= 0 ? (size_t)known : free_slot(offsets);
    struct kafka_part *part = offsets->parts[at];
    if (known >= 0) {
        void_steps(offsets, at);
    } else {
        part->topic = xstrdup(topic);
        part->partition = partition;
        snprintf(part->shard, sizeof(part->shard), "%d", (int)partition);
    }
    part->next = part->settled = start;
    part->sent = part->stored = stored;
    return at;
}

void kafka_offsets_remove(struct kafka_offsets *offsets, size_t part) {
    free(offsets->parts[part]->topic);
    offsets->parts[part]->topic = NULL;
    void_steps(offsets, part);
}

bool kafka_offsets_have_room(const struct kafka_offsets *offsets, size_t count) {
    return offsets->head - offsets->tail + count <= KAFKA_OFFSETS_MAX;
}

static void widen(struct kafka_offsets *offsets) {
    size_t held = offsets->head - offsets->tail;
    struct kafka_step *wider = xcalloc(offsets->step_room * 2, sizeof(*wider));
    for (size_t i = 0; i < held; i++) {
        wider[i] = *step_at(offsets, offsets->tail + i);
    }
    free(offsets->steps);
    offsets->steps = wider;
    offsets->step_room *= 2;
    offsets->tail = 0;
    offsets->head = held;
}

int64_t kafka_offsets_hand_out(struct kafka_offsets *offsets, uint64_t number, size_t index,
                               int64_t offset) {
    struct kafka_part *part = offsets->parts[index];
    int64_t gap = part->next >= 0 && offset > part->next ? offset - part->next : 0;
    part->next = offset + 1;
    if (offsets->head != offsets->tail) {
        struct kafka_step *last = step_at(offsets, offsets->head - 1);
        assert(last->number <= number);
        if (last->number == number && last->part == index && !last->is_void) {
            last->next = part->next;
            return gap;
        }
    }
    if (offsets->head - offsets->tail == offsets->step_room) {
        widen(offsets);
    }
    *step_at(offsets, offsets->head++) =
        (struct kafka_step){.number = number, .next = part->next, .part = (uint32_t)index};
    return gap;
}

void kafka_offsets_deliver(struct kafka_offsets *offsets, uint64_t number) {
    for (; offsets->tail != offsets->head; offsets->tail++) {
        const struct kafka_step *step = step_at(offsets, offsets->tail);
        if (step->number > number) {
            return;
        }
        if (!step->is_void) {
            offsets->parts[step->part]->settled = step->next;
        }
    }
}

/* Different, not greater: a topic that was made anew begins at lower offsets. */
int64_t kafka_offsets_due(const struct kafka_part *part) {
    return part->topic && part->settled >= 0 && part->settled != part->sent ? part->settled : -1;
}

void kafka_offsets_answer(struct kafka_part *part, int64_t offset) {
    if (offset >= 0) {
        part->stored = offset;
    } else {
        part->sent = part->stored;
    }
}

void kafka_offsets_forget(struct kafka_offsets *offsets) {
    offsets->tail = offsets->head;
    for (size_t i = 0; i < offsets->part_count; i++) {
        offsets->parts[i]->next = offsets->parts[i]->settled;
    }
}
