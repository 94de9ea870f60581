/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a threat feed: the first byte picks the format, column and threshold, the rest is
   the file. Every entry must be a prefix that is allowed, with names that are not empty and hold no
   NUL, and the counts must add up to no more than the lines. */

#include <assert.h>
#include <stdlib.h>

#include "enrich/feed.h"

static uint64_t found_count, name_bytes;

static void look_at(void *context, const struct feed_entry *entry) {
    char text[IPADDR_TEXT_MAX + 4];
    struct cidr again;
    (void)context;
    size_t len = cidr_format(&entry->prefix, text);
    assert(cidr_parse(span_of(text, len), &again, NULL) == 0);
    assert(ipaddr_eq(&again.addr, &entry->prefix.addr) && again.bits == entry->prefix.bits);
    assert(again.bits >= (again.addr.family == IPADDR_V4 ? FEED_V4_BITS_MIN : FEED_V6_BITS_MIN));
    assert(entry->name_count <= FEED_NAMES_MAX);
    for (size_t i = 0; i < entry->name_count; i++) {
        assert(entry->names[i].len > 0);
        for (size_t k = 0; k < entry->names[i].len; k++) {
            assert(entry->names[i].p[k] != '\0');
            name_bytes++;
        }
    }
    found_count++;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    size_t formats = 0, lines = 1;
    struct feed_result result;
    if (size == 0) {
        return 0;
    }
    while (feed_format_names[formats]) {
        formats++;
    }
    struct feed_rules rules = {.format = (int)(data[0] % formats),
                               .column = 1 + data[0] / formats % 4,
                               .threshold = 1 + data[0] / formats % 10};
    struct span text = span_of((const char *)data + 1, size - 1);
    for (size_t i = 0; i < text.len; i++) {
        lines += text.p[i] == '\n';
    }
    found_count = 0;
    feed_parse(&rules, text, look_at, NULL, &result);
    assert(result.entries == found_count);
    assert(result.entries + result.below + result.bad <= lines);
    return 0;
}
