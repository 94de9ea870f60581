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

/* How many characters `size` bytes become. */
static inline size_t base64_encoded_len(size_t size) {
    return (size + 2) / 3 * 4;
}

/* How many bytes `len` characters become at most. */
static inline size_t base64_decoded_max(size_t len) {
    return len / 4 * 3;
}

/* Appends the text of `bytes`; all of it, or nothing with out->overflow set. */
void base64_encode(struct span bytes, struct buf *out);

/* Writes at most base64_decoded_max(text.len) bytes to `out`, which may be the text's own memory.
   Returns how many; -1 when the text is not Base64 (out is then undefined). */
ssize_t base64_decode(struct span text, char *out);
