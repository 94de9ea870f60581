/* SPDX-License-Identifier: Apache-2.0 */
/* The names of the TCP flags that a flow's packets had, for all 256 sets made once. */
#include <stdlib.h>

#include "base/xalloc.h"
#include "enrich/bare.h"
#include "enrich/enrichers.h"

enum { FLAGS = 8, SETS = 1 << FLAGS, SET_TEXT_MAX = FLAGS * 4 };

/* In the order of their bits (RFC 9293 3.1). */
static const char flag_names[FLAGS][4] = {"FIN", "SYN", "RST", "PSH", "ACK", "URG", "ECE", "CWR"};

/* The members of each set as a list: separated by NUL bytes. */
struct flags_table {
    struct span names[SETS];
    char text[SETS][SET_TEXT_MAX];
};

static int flags_load(const void *conf, struct buf *report, void **out, struct err *err) {
    struct flags_table *table = xcalloc(1, sizeof(*table));
    (void)conf;
    (void)report;
    (void)err;
    for (unsigned set = 0; set < SETS; set++) {
        size_t len = 0;
        for (unsigned flag = 0; flag < FLAGS; flag++) {
            if (set >> flag & 1) {
                memcpy(table->text[set] + len, flag_names[flag], sizeof(flag_names[flag]));
                len += sizeof(flag_names[flag]);
            }
        }
        /* Without the NUL behind the last. */
        table->names[set] = span_of(table->text[set], len ? len - 1 : 0);
    }
    *out = table;
    return 0;
}

static void flags_apply(const void *memory, struct flow *flow) {
    const struct flags_table *table = memory;
    if ((flow->has & HAS_TCP_FLAGS) && flow->tcp_flags != 0) {
        flow_note_text(flow, NOTE_TCP_FLAGS_NAMES, table->names[flow->tcp_flags]);
    }
}

const struct enricher_type enrich_tcp_flags_type = {
    .name = "tcp_flags",
    .help = "Adds tcp_flags_names, a list such as SYN,ACK, where the format has tcp-flags.",
    .options = bare_options,
    .by_default = true,
    .load = flags_load,
    .unload = free,
    .apply = flags_apply,
};
