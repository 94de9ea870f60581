/* SPDX-License-Identifier: Apache-2.0 */
/* See bare.h. */
#include "enrich/bare.h"

const struct option bare_options[] = {OPTION_END};

int bare_load(const void *conf, struct buf *report, void **table, struct err *err) {
    (void)conf;
    (void)report;
    (void)err;
    *table = NULL;
    return 0;
}

void bare_unload(void *table) {
    (void)table;
}
