/* SPDX-License-Identifier: Apache-2.0 */
/* See field.h. Names are looked up when a format is compiled and when a line may be a header, so a
   plain search by length and bytes does. */
#include "flow/field.h"

#define FIELD(id, aws_name, name, type, set) {SPAN_INIT(aws_name), SPAN_INIT(name), type, set},
#define SPAN_INIT(literal) \
    { (literal), sizeof(literal) - 1 }
const struct field fields[FIELD_COUNT] = {
#include "flow/fields.def"
};
#undef SPAN_INIT
#undef FIELD

static bool same_name(struct span known, struct span name) {
    for (size_t i = 0; i < known.len; i++) {
        if (known.p[i] != (name.p[i] == '_' ? '-' : name.p[i])) {
            return false;
        }
    }
    return true;
}

enum field_id field_find(struct span aws_name) {
    for (int id = 0; id < FIELD_COUNT; id++) {
        if (fields[id].aws_name.len == aws_name.len && same_name(fields[id].aws_name, aws_name)) {
            return (enum field_id)id;
        }
    }
    return FIELD_UNKNOWN;
}
