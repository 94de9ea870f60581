/* SPDX-License-Identifier: Apache-2.0 */
/* See kinesis_steps.h. */
#include "input/kinesis_steps.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/xalloc.h"

enum { ROOM_FIRST = 256 };

struct kinesis_track *kinesis_track_make(const char *id, uint64_t tenure) {
    struct kinesis_track *track = xcalloc(1, sizeof(*track));
    snprintf(track->id, sizeof(track->id), "%s", id);
    track->tenure = tenure;
    track->users = 1;
    return track;
}

void kinesis_track_release(struct kinesis_track *track) {
    if (--track->users == 0) {
        free(track);
    }
}

static struct kinesis_step *step_at(const struct kinesis_steps *steps, size_t at) {
    return &steps->items[at & (steps->room - 1)];
}

void kinesis_steps_done(struct kinesis_steps *steps) {
    struct kinesis_step step;
    while (kinesis_steps_pop(steps, UINT64_MAX, &step)) {
        kinesis_track_release(step.track);
    }
    free(steps->items);
}

bool kinesis_steps_have_room(const struct kinesis_steps *steps) {
    return steps->head - steps->tail < KINESIS_STEPS_MAX;
}

static void widen(struct kinesis_steps *steps) {
    size_t held = steps->head - steps->tail;
    size_t room = steps->room ? steps->room * 2 : ROOM_FIRST;
    struct kinesis_step *wider = xcalloc(room, sizeof(*wider));
    for (size_t i = 0; i < held; i++) {
        wider[i] = *step_at(steps, steps->tail + i);
    }
    free(steps->items);
    *steps = (struct kinesis_steps){.items = wider, .room = room, .head = held};
}

/* A later position of the same shard in the same batch takes the place of the one before. */
void kinesis_steps_push(struct kinesis_steps *steps, uint64_t number, struct kinesis_track *track,
                        const struct kinesis_position *position) {
    size_t held = steps->head - steps->tail;
    struct kinesis_step *last = held > 0 ? step_at(steps, steps->head - 1) : NULL;
    assert(!last || last->number <= number);
    if (last && last->number == number && last->track == track) {
        last->position = *position;
        return;
    }
    if (held == steps->room) {
        widen(steps);
    }
    track->users++;
    *step_at(steps, steps->head++) =
        (struct kinesis_step){.number = number, .track = track, .position = *position};
}

bool kinesis_steps_pop(struct kinesis_steps *steps, uint64_t number, struct kinesis_step *step) {
    if (steps->head == steps->tail || step_at(steps, steps->tail)->number > number) {
        return false;
    }
    *step = *step_at(steps, steps->tail++);
    return true;
}
