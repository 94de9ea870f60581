/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Base64 as of RFC 4648 section 4: the usual alphabet, padded, no line breaks. Decoding is strict
 * (what an encoder would not have written is refused), because what comes through here is handed on
 * as bytes and compared by hash.
 */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#include "base/buf.h"
#include "base/span.h"

/* Appends the text of `bytes`; all of it, or nothing with out->overflow set. */
void base64_encode(struct span bytes, struct buf *out);

/*
 * Writes at most text.len / 4 * 3 bytes to `out`, which may be text.p itself, so that a text can be
 * decoded in place. Returns how many; -1 when the text is not Base64: a length that is no multiple
 * of 4, a character outside of the alphabet, padding in the wrong place or over bits that are not
 * zero (out, and a text decoded in place, are then undefined). Never allocates.
 */
ssize_t base64_decode(struct span text, char *out);
