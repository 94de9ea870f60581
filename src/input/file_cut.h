/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the text of a file may be cut into pieces: only between lines, or between top-level JSON
 * objects where the text is JSON (a CloudWatch export spans lines as it likes). Pure: bytes in, a
 * length out. Called by the file input for each piece; does not check JSON, the decoder does.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>

#include "base/span.h"

/* How far a piece has been looked at; all zero at the start of each piece. */
struct file_cut {
    size_t seen;  /* bytes looked at */
    size_t whole; /* the piece may end behind this many bytes */
    int depth;    /* open braces and brackets */
    bool is_json; /* known once a byte other than a blank was seen */
    bool is_known;
    bool in_string, in_word; /* in_word: bytes outside of JSON, up to the next line */
};

/*
 * Looks on in `text`, which begins where the piece begins and has grown at its end since the last
 * call. Returns how many bytes make up the longest piece that can be cut now, 0: more is needed.
 */
size_t file_cut(struct file_cut *cut, struct span text);
