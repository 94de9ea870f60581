/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Gzip (RFC 1952), of one or many members, unpacked in two ways: a payload that is held whole
 * (libdeflate, twice as fast) and a stream that comes in pieces (zlib), for files. Both have a
 * ceiling for what they hand out; neither writes a log or knows what the bytes mean.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include <zlib.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/span.h"

enum inflate_result {
    INFLATE_OK,
    INFLATE_CUT,       /* ends in the middle of a member: out holds all that stood before */
    INFLATE_BAD,       /* damaged, or followed by something else: out holds the members before */
    INFLATE_TOO_LARGE, /* does not fit below the ceiling of `out`; out is then undefined */
};

/* Whether the bytes begin as gzip does. */
static inline bool inflate_is_gzip(struct span bytes) {
    return bytes.len >= 2 && bytes.p[0] == '\x1f' && bytes.p[1] == '\x8b';
}

struct inflater;

/* A handle for whole payloads, for one thread; does not fail. */
struct inflater *inflater_open(void);
void inflater_close(struct inflater *inflater);

/* Unpacks all members of `gzip` into `out`, which is emptied first and grows as it must up to its
   own ceiling. Zero bytes behind the last member are padding. */
enum inflate_result inflater_run(struct inflater *inflater, struct span gzip, struct buf *out);

/* A stream of gzip members. */
struct inflate_stream {
    z_stream zlib;
    char *out;
    size_t out_size;
    bool in_member;
    bool padding; /* zero bytes came behind a member: nothing else may follow */
};

/* `piece_bytes`: how much is handed out at once at most. */
void inflate_stream_init(struct inflate_stream *stream, size_t piece_bytes);
void inflate_stream_done(struct inflate_stream *stream);

/*
 * Takes bytes off the front of *in and hands over the next piece of text, which is valid until the
 * next call. Returns 1 with a piece (call again, also when *in is empty by now), 0 when more input
 * is needed, -1 with ERR_DATA when the stream is damaged; it is then of no further use.
 */
int inflate_stream_feed(struct inflate_stream *stream, struct span *in, struct span *piece,
                        struct err *err);

/* Says whether the stream may end here: 0, or -1 with ERR_DATA in the middle of a member. */
int inflate_stream_end(const struct inflate_stream *stream, struct err *err);
