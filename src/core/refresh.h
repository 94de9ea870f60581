/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The refresher: loads all tables at start and, as a job, loads anew those whose files changed. A table that fails to load later keeps its last good version, and the log says so
 * once per change of the file.
 */
#pragma once

#include "core/jobs.h"
#include "core/settings.h"
#include "core/snapshot.h"

struct refresh;

/*
 * Loads every table once; a report line per table goes to `report` (which may be NULL). -1 with
 * ERR_CONFIG when one cannot be loaded: at start that stops the daemon. The settings outlive it.
 */
int refresh_open(const struct settings *settings, struct refresh **refresh, struct buf *report,
                 struct err *err);

/* Adds the job that looks at the files every `interval_ms`; the jobs outlive the refresher. */
void refresh_start(struct refresh *refresh, struct jobs *jobs, int interval_ms);

struct snapshots *refresh_snapshots(struct refresh *refresh);

/* Takes the job out and unloads the tables; users must have released theirs. NULL is fine. */
void refresh_close(struct refresh *refresh);
