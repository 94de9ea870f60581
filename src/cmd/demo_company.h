/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A generated hour of a small company's flow logs, always the same: visitors, a load balancer, web
 * servers, a database, name service, backups, scans, and among them the constructed flows that the
 * searches of the field reference are tried with. Called by demo_sample; knows only lines of text.
 * Everybody outside has an address that is set apart for documents or measurements (RFC 5737, RFC
 * 2544, RFC 3849), so no real party is named.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

enum {
    COMPANY_FLOWS = 20000, /* lines with addresses: a message each */
    COMPANY_NODATA = 200,  /* lines without: none */
    COMPANY_LINES = COMPANY_FLOWS + COMPANY_NODATA,
    COMPANY_START = 1767258000, /* 2026-01-01 09:00:00 UTC */
    COMPANY_LINE_MAX = 256,
};

struct company_flow {
    const char *interface;
    char src[48], dst[48];
    unsigned src_port, dst_port, protocol;
    uint64_t packets, bytes;
    bool rejected;
};

struct company {
    uint64_t random;
    size_t number;      /* of the next line */
    size_t constructed; /* given out so far */
    bool has_reply;
    struct company_flow reply; /* the other half of the conversation last begun */
};

/* Starts the hour anew. */
void company_init(struct company *company);

/* Appends the next line, in the default format and without a newline; false behind the last one.
   *messages is 1 for a flow, 0 for NODATA. */
bool company_next(struct company *company, struct buf *line, size_t *messages);
