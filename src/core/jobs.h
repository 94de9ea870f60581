/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Jobs: work that may wait for disks and networks, done by a few threads beside the workers: tables
 * loaded anew, credentials renewed, shards listed. Each job runs again after a pause that it names
 * itself, and never twice at the same time, so that one that hangs delays no other as long as there
 * are threads.
 */
#pragma once

#include <stdatomic.h>
#include <stdint.h>

struct jobs;
struct job;

/*
 * What a job does. May block, but looks at *stopping at least every 100 ms while it does and
 * returns soon when it is set. Returns the pause in ms until it wants to run again. Says its own
 * errors in the log.
 */
typedef int64_t job_run(void *context, const atomic_bool *stopping);

/* Threads start with the first job. */
struct jobs *jobs_open(int threads);

/* Adds a job, to be run for the first time after `pause_ms`. `context` outlives the job. */
struct job *jobs_add(struct jobs *jobs, job_run *run, void *context, int64_t pause_ms);

/* Has the job run as soon as a thread is free; once more if it is running now. From any thread. */
void job_wake(struct job *job);

/* Takes the job out. If it is running it is told to stop, and waited for: not to be called by the
   job itself. NULL is fine. */
void job_remove(struct job *job);

/* Stops all that is left, waits for it and ends the threads. NULL is fine. */
void jobs_close(struct jobs *jobs);
