/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See jobs.h. A list of jobs under one lock, and threads that each take the one that is due
 * longest. One condition serves all: jobs are few and change seldom, so nobody minds being woken
 * for nothing.
 */
#include "core/jobs.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/cond.h"
#include "base/log.h"
#include "base/xalloc.h"

struct job {
    struct jobs *jobs;
    struct job *next;
    job_run *run;
    void *context;
    atomic_bool stopping; /* also: not to be started any more */
    /* Under the lock. */
    int64_t due_ms; /* clock_monotonic_ms; INT64_MAX: only when woken */
    bool running, again;
};

struct jobs {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct job *first;
    bool stopping;
    int thread_max, thread_count;
    pthread_t threads[];
};

struct jobs *jobs_open(int threads) {
    assert(threads > 0);
    struct jobs *jobs = xcalloc(1, sizeof(*jobs) + (size_t)threads * sizeof(pthread_t));
    pthread_mutex_init(&jobs->lock, NULL);
    cond_init(&jobs->changed);
    jobs->thread_max = threads;
    return jobs;
}

static int64_t moment_in(int64_t pause_ms) {
    int64_t now_ms = clock_monotonic_ms();
    if (pause_ms >= INT64_MAX - now_ms) {
        return INT64_MAX;
    }
    return now_ms + (pause_ms > 0 ? pause_ms : 0);
}

/* The job whose turn is next, whether or not it is due yet; NULL when there is none. */
static struct job *next_job(const struct jobs *jobs) {
    struct job *best = NULL;
    for (struct job *job = jobs->first; job; job = job->next) {
        if (!job->running && !atomic_load(&job->stopping) &&
            (!best || job->due_ms < best->due_ms)) {
            best = job;
        }
    }
    return best;
}

static void wait_for_change(struct jobs *jobs, int64_t until_ms) {
    if (until_ms == INT64_MAX) {
        pthread_cond_wait(&jobs->changed, &jobs->lock);
        return;
    }
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = until_ms % 1000 * 1000000};
    pthread_cond_timedwait(&jobs->changed, &jobs->lock, &until);
}

/* Under the lock, but for the run itself. */
static void run_job(struct jobs *jobs, struct job *job) {
    job->running = true;
    job->again = false;
    pthread_mutex_unlock(&jobs->lock);
    int64_t pause_ms = job->run(job->context, &job->stopping);
    pthread_mutex_lock(&jobs->lock);
    job->running = false;
    job->due_ms = moment_in(job->again ? 0 : pause_ms);
    pthread_cond_broadcast(&jobs->changed);
}

static void *jobs_main(void *argument) {
    struct jobs *jobs = argument;
    pthread_mutex_lock(&jobs->lock);
    while (!jobs->stopping) {
        struct job *job = next_job(jobs);
        if (job && job->due_ms <= clock_monotonic_ms()) {
            run_job(jobs, job);
        } else {
            wait_for_change(jobs, job ? job->due_ms : INT64_MAX);
        }
    }
    pthread_mutex_unlock(&jobs->lock);
    return NULL;
}

/* Under the lock. Signals are for the main thread. */
static void start_threads(struct jobs *jobs) {
    sigset_t all, before;
    sigfillset(&all);
    int failed = 0;
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (jobs->thread_count < jobs->thread_max && !failed) {
        failed = pthread_create(&jobs->threads[jobs->thread_count], NULL, jobs_main, jobs);
        jobs->thread_count += !failed;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (failed) {
        log_error("cannot start more than %d of %d threads for jobs: %s", jobs->thread_count,
                  jobs->thread_max, strerror(failed));
    }
    if (jobs->thread_count == 0) {
        abort();
    }
    jobs->thread_max = jobs->thread_count;
}

struct job *jobs_add(struct jobs *jobs, job_run *run, void *context, int64_t pause_ms) {
    struct job *job = xcalloc(1, sizeof(*job));
    job->jobs = jobs;
    job->run = run;
    job->context = context;
    job->due_ms = moment_in(pause_ms);
    pthread_mutex_lock(&jobs->lock);
    job->next = jobs->first;
    jobs->first = job;
    start_threads(jobs);
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    return job;
}

void job_wake(struct job *job) {
    struct jobs *jobs = job->jobs;
    pthread_mutex_lock(&jobs->lock);
    if (job->running) {
        job->again = true;
    } else {
        int64_t now_ms = moment_in(0);
        job->due_ms = job->due_ms < now_ms ? job->due_ms : now_ms;
    }
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
}

void job_remove(struct job *job) {
    if (!job) {
        return;
    }
    struct jobs *jobs = job->jobs;
    pthread_mutex_lock(&jobs->lock);
    atomic_store(&job->stopping, true);
    while (job->running) {
        pthread_cond_wait(&jobs->changed, &jobs->lock);
    }
    struct job **link = &jobs->first;
    while (*link != job) {
        link = &(*link)->next;
    }
    *link = job->next;
    pthread_mutex_unlock(&jobs->lock);
    free(job);
}

void jobs_close(struct jobs *jobs) {
    if (!jobs) {
        return;
    }
    pthread_mutex_lock(&jobs->lock);
    jobs->stopping = true;
    for (struct job *job = jobs->first; job; job = job->next) {
        atomic_store(&job->stopping, true);
    }
    pthread_cond_broadcast(&jobs->changed);
    pthread_mutex_unlock(&jobs->lock);
    for (int i = 0; i < jobs->thread_count; i++) {
        pthread_join(jobs->threads[i], NULL);
    }
    while (jobs->first) {
        struct job *job = jobs->first;
        jobs->first = job->next;
        free(job);
    }
    pthread_cond_destroy(&jobs->changed);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}
