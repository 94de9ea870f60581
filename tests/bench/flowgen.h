/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flow logs for the benchmark, as many as one likes: lines of the default format between 51,000
 * addresses (800 private, 50,000 public, 200 of IPv6), 1 % NODATA, 12 % REJECT, a few services. The
 * same seed gives the same lines on every machine. Used by the programs of this folder only.
 *
 * Each line that is a flow carries a number of its own, from 0 without gaps, in its `bytes` column
 * (FLOWGEN_FIRST_ID more than it): by it the receiver sees what is missing and what came twice.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

enum {
    FLOWGEN_LINE_MAX = 256,
    FLOWGEN_ACCOUNTS = 4,
    FLOWGEN_INTERFACES = 400,
    FLOWGEN_PRIVATE = 800,
    FLOWGEN_PUBLIC = 50000,
    FLOWGEN_V6 = 200,
    FLOWGEN_FIRST_ID = 10000,
    FLOWGEN_EVENTS = 200, /* lines in one envelope */
};

struct flowgen {
    uint64_t random;
    uint64_t lines, flows; /* given so far */
    uint32_t fresh_every;  /* each such flow comes from an address never seen; 0: none does */
    uint32_t fresh;        /* how many of those there were */
    int64_t time_s;
    int only_interface; /* -1: any */
    char account[FLOWGEN_ACCOUNTS][16];
    char interface[FLOWGEN_INTERFACES][24];
    char private_addr[FLOWGEN_PRIVATE][16];
    char public_addr[FLOWGEN_PUBLIC][16];
    char v6_addr[FLOWGEN_V6][40];
};

void flowgen_init(struct flowgen *gen, uint64_t seed, uint32_t fresh_every);

/* Writes the next line, its line feed included, to `out` of FLOWGEN_LINE_MAX bytes; returns its
   length. */
size_t flowgen_line(struct flowgen *gen, char *out);

/*
 * Writes the next `events` lines (at most FLOWGEN_EVENTS), all of one interface, as the gzipped
 * CloudWatch Logs envelope that a subscription filter delivers. *out is malloc'ed anew each time
 * and the caller's. Returns its length.
 */
size_t flowgen_envelope(struct flowgen *gen, size_t events, char **out);
