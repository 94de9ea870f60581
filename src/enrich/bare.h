/* SPDX-License-Identifier: Apache-2.0 */
/* For enrichers that need no data: they have no settings, and their table is nothing. */
#pragma once

#include "core/enricher.h"

/* An empty table of options. */
extern const struct option bare_options[];

/* Sets *table to NULL; cannot fail and reports nothing. */
int bare_load(const void *conf, struct buf *report, void **table, struct err *err);

/* Does nothing. */
void bare_unload(void *table);
