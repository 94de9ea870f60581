/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `flowgelf demo` learns from the messages that arrive, and how it tells: three of them for
 * reading, the searches of the field reference with their hits, the speed. Messages are taken in
 * the receiver's thread; printing comes after that thread has ended.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/span.h"
#include "flow/query.h"

enum { DEMO_SEARCHES = 7, DEMO_PICKS = 3 };

struct demo_report {
    const char *source, *peer; /* "Kafka", and what hands its records out; set behind init */
    struct query *searches[DEMO_SEARCHES];
    uint64_t hits[DEMO_SEARCHES];
    struct query *picks[DEMO_PICKS];
    struct message_view picked[DEMO_PICKS]; /* count 0: none came yet */
    struct message_view view;
    uint64_t messages, bytes;
    uint64_t unreadable; /* not one flat JSON object */
    int64_t first_us, last_us;
};

void demo_report_init(struct demo_report *report);
void demo_report_done(struct demo_report *report);

/* A demo_take: counts the message and asks every search of it. */
void demo_report_take(void *report, struct span message);

/* From the first message to the last, never 0. */
double demo_report_seconds(const struct demo_report *report);

/* The three messages, then the table. `records` is how many went into the source; a search that needs an
   inventory has no number without one. */
void demo_report_print(const struct demo_report *report, uint64_t records, bool has_inventory,
                       FILE *out);

/* One JSON object on one line. */
void demo_report_print_json(const struct demo_report *report, uint64_t records, bool has_inventory,
                            FILE *out);

/* What to try next, with searches to paste; also for people who watch their own receiver. */
void demo_report_print_searches(FILE *out);
