/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notes: results of enrichment, as one table (notes.def): name, what they speak of, the type and
 * the smallest field set. Notes about an address are suffixes: `_country_code` becomes
 * `src_addr_country_code`, `dst_addr_country_code` and so on.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/span.h"
#include "flow/field.h"

enum note_about { NOTE_ABOUT_ADDRESS, NOTE_ABOUT_FLOW, NOTE_ABOUT_ORIGIN };

/* LIST is text whose members are joined by commas (or an array with `lists: native`); POINT is
   "lat,lon"; TRUE_ONLY is a truth value that is never sent as false. */
enum note_type { NOTE_TEXT, NOTE_LIST, NOTE_NUMBER, NOTE_TRUTH, NOTE_TRUE_ONLY, NOTE_POINT };

#define NOTE(id, name, about, type, set) NOTE_##id,
enum note_id {
#include "flow/notes.def"
    NOTE_COUNT,
};
#undef NOTE

struct note_kind {
    struct span name; /* without underscore in front, without the address's prefix */
    enum note_about about;
    enum note_type type;
    enum field_set set;
};

extern const struct note_kind note_kinds[NOTE_COUNT];

/* One result. For NOTE_LIST, text holds the members separated by NUL bytes. */
struct note {
    uint8_t id;       /* enum note_id */
    bool truth;       /* NOTE_TRUTH, NOTE_TRUE_ONLY */
    bool plain;       /* text is not blank and needs no escaping in JSON; false: not known */
    struct span name; /* tail of the name: a feed's name, else empty */
    struct span text; /* NOTE_TEXT, NOTE_LIST, NOTE_POINT */
    int64_t number;   /* NOTE_NUMBER */
};
