/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sample of `flowgelf demo`, record after record: first real flow logs from public repositories
 * (src/cmd/sample), as CloudWatch envelopes, files and lines; then the hour of demo_company, a
 * line a record. Makes bytes and nothing else: no clock, no network.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

/* How a file of the sample becomes records. */
enum demo_use {
    DEMO_LINES,    /* a record for each line */
    DEMO_ENVELOPE, /* all lines as events of one CloudWatch Logs envelope, gzip */
    DEMO_WHOLE,    /* one record, as it is */
    DEMO_GZIP,     /* the same, gzip */
};

struct demo_file {
    const char *name;
    enum demo_use use;
    size_t messages; /* that come of it */
    const char *text;
};

extern const struct demo_file demo_files[]; /* ends with name NULL */

struct demo_record {
    struct span data; /* valid until the next one */
    size_t messages;  /* that come of it */
};

struct demo_sample;

struct demo_sample *demo_sample_open(void);

/*
 * The next record; false behind the last one, and then the sample starts anew. `now_ms`: the times
 * of each line are moved so that it ends now; 0 leaves them alone.
 */
bool demo_sample_next(struct demo_sample *sample, int64_t now_ms, struct demo_record *record);

/* NULL is fine. */
void demo_sample_close(struct demo_sample *sample);

/* Moves the times in a text of the sample, in place: numbers of ten digits are seconds, and the
   latest of each line becomes now; numbers of thirteen digits are milliseconds, and become now. */
void demo_move_times(char *text, size_t len, int64_t now_ms);
