/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threat feeds as text: one parser per format, line by line, from one table. The text comes from
 * strangers, so nothing in it is trusted: a line that is not what the format says is counted and
 * left out, and so is a prefix that would cover a large part of the Internet.
 *
 * Formats: spamhaus.org/drop (text and JSON lines), check.torproject.org (exit-addresses and the
 * bulk list), AlienVault reputation.data, and lists of addresses and prefixes as everybody writes.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/ipaddr.h"
#include "base/span.h"

enum {
    FEED_NAMES_MAX = 8,   /* names of one entry; the rest is left out */
    FEED_BAD_SHOWN = 5,   /* line numbers kept of bad lines */
    FEED_V4_BITS_MIN = 8, /* shorter prefixes are bad lines */
    FEED_V6_BITS_MIN = 16,
};

/* Names of formats, for a setting; NULL behind the last. */
extern const char *const feed_format_names[];

struct feed_rules {
    int format;        /* index into feed_format_names */
    int64_t column;    /* csv: where the address stands, from 1 */
    int64_t threshold; /* otx: least reliability and risk, 1 to 10 */
};

/* One prefix and what the feed says of it; valid during the call. */
struct feed_entry {
    struct cidr prefix;
    size_t name_count;
    struct span names[FEED_NAMES_MAX];
};

struct feed_result {
    uint64_t entries;
    uint64_t below;                    /* entries under the threshold, left out */
    uint64_t bad;                      /* lines */
    uint64_t bad_line[FEED_BAD_SHOWN]; /* numbers of the first, from 1 */
};

typedef void (*feed_found)(void *context, const struct feed_entry *entry);

/* Calls `found` for each entry of `text`, in order, and counts. */
void feed_parse(const struct feed_rules *rules, struct span text, feed_found found, void *context,
                struct feed_result *result);
