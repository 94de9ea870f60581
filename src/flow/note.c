/* SPDX-License-Identifier: Apache-2.0 */
/* The tables behind notes and flows: names, kinds and reasons. */
#include "flow/flow.h"

#define SPAN_INIT(literal) \
    { (literal), sizeof(literal) - 1 }
#define NOTE(id, name, about, type, set) {SPAN_INIT(name), about, type, set},
const struct note_kind note_kinds[NOTE_COUNT] = {
#include "flow/notes.def"
};
#undef NOTE

const struct span flow_side_names[SIDE_COUNT] = {
    [SIDE_SRC] = SPAN_INIT("src_addr"),
    [SIDE_DST] = SPAN_INIT("dst_addr"),
    [SIDE_PKT_SRC] = SPAN_INIT("pkt_src_addr"),
    [SIDE_PKT_DST] = SPAN_INIT("pkt_dst_addr"),
};
#undef SPAN_INIT

#define BAD(id, name, help) name,
const char *const bad_names[BAD_COUNT] = {
    "",
#include "flow/bad.def"
};
#undef BAD

#define BAD(id, name, help) help,
const char *const bad_helps[BAD_COUNT] = {
    "",
#include "flow/bad.def"
};
#undef BAD
