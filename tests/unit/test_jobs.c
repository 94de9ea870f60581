/* SPDX-License-Identifier: Apache-2.0 */
/* Jobs that count their runs and wait for what the test does; no test depends on how fast. */
#include "core/jobs.h"

#include <pthread.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit.h"

enum { TICK_US = 1000, LONG_MS = 3600000, THREADS = 3, MANY = 50 };

struct work {
    atomic_int runs, inside, most;
    atomic_bool hold; /* stay in the run until it is false, or told to stop */
    atomic_bool was_stopped;
    int64_t pause_ms;
    int64_t last_ms; /* read when no run is under way */
};

static int64_t work_run(void *context, const atomic_bool *stopping) {
    struct work *work = context;
    int inside = atomic_fetch_add(&work->inside, 1) + 1;
    if (inside > atomic_load(&work->most)) {
        atomic_store(&work->most, inside);
    }
    work->last_ms = clock_monotonic_ms();
    atomic_fetch_add(&work->runs, 1);
    while (atomic_load(&work->hold) && !atomic_load(stopping)) {
        usleep(TICK_US);
    }
    if (atomic_load(stopping)) {
        atomic_store(&work->was_stopped, true);
    }
    atomic_fetch_sub(&work->inside, 1);
    return work->pause_ms;
}

static void wait_for_runs(struct work *work, int runs) {
    while (atomic_load(&work->runs) < runs) {
        usleep(TICK_US); /* Check's own limit bounds this */
    }
}

START_TEST(a_job_runs_again_after_its_pause) {
    struct jobs *jobs = jobs_open(1);
    struct work work = {.pause_ms = 5};
    int64_t start_ms = clock_monotonic_ms();
    jobs_add(jobs, work_run, &work, 10);
    wait_for_runs(&work, 4);
    jobs_close(jobs);
    ck_assert_int_ge(work.last_ms - start_ms, 10 + 3 * 5);
}
END_TEST

START_TEST(a_job_waits_for_its_first_run) {
    struct jobs *jobs = jobs_open(2);
    struct work late = {.pause_ms = LONG_MS}, never = {.pause_ms = LONG_MS}, soon = {.pause_ms = 1};
    jobs_add(jobs, work_run, &late, LONG_MS);
    jobs_add(jobs, work_run, &never, INT64_MAX);
    jobs_add(jobs, work_run, &soon, 0);
    wait_for_runs(&soon, 20);
    jobs_close(jobs);
    ck_assert_int_eq(late.runs, 0);
    ck_assert_int_eq(never.runs, 0);
}
END_TEST

START_TEST(a_job_can_be_woken) {
    struct jobs *jobs = jobs_open(1);
    struct work work = {.pause_ms = INT64_MAX};
    struct job *job = jobs_add(jobs, work_run, &work, INT64_MAX);
    for (int i = 1; i <= MANY; i++) {
        job_wake(job);
        wait_for_runs(&work, i);
    }
    jobs_close(jobs);
    ck_assert_int_ge(work.runs, MANY);
}
END_TEST

START_TEST(a_running_job_that_is_woken_runs_once_more) {
    struct jobs *jobs = jobs_open(THREADS);
    struct work work = {.pause_ms = INT64_MAX, .hold = true};
    struct job *job = jobs_add(jobs, work_run, &work, 0);
    wait_for_runs(&work, 1);
    job_wake(job);
    job_wake(job);
    ck_assert_int_eq(atomic_load(&work.runs), 1);
    atomic_store(&work.hold, false);
    wait_for_runs(&work, 2);
    job_remove(job);
    ck_assert_int_eq(work.runs, 2);
    ck_assert_int_eq(work.most, 1);
    jobs_close(jobs);
}
END_TEST

START_TEST(a_running_job_is_stopped_and_waited_for) {
    struct jobs *jobs = jobs_open(1);
    struct work work = {.pause_ms = 0, .hold = true};
    struct job *job = jobs_add(jobs, work_run, &work, 0);
    wait_for_runs(&work, 1);
    job_remove(job);
    ck_assert(work.was_stopped);
    ck_assert_int_eq(work.inside, 0);
    ck_assert_int_eq(work.runs, 1);
    /* The thread is free for others. */
    struct work next = {.pause_ms = 0};
    job = jobs_add(jobs, work_run, &next, 0);
    wait_for_runs(&next, 3);
    job_remove(job);
    job_remove(NULL);
    jobs_close(jobs);
}
END_TEST

START_TEST(a_job_that_hangs_delays_no_other) {
    struct jobs *jobs = jobs_open(2);
    struct work hangs = {.hold = true}, goes = {.pause_ms = 1};
    jobs_add(jobs, work_run, &hangs, 0);
    wait_for_runs(&hangs, 1);
    jobs_add(jobs, work_run, &goes, 0);
    wait_for_runs(&goes, 20);
    ck_assert_int_eq(atomic_load(&hangs.runs), 1);
    jobs_close(jobs);
    ck_assert(hangs.was_stopped);
    ck_assert_int_eq(hangs.inside, 0);
}
END_TEST

/* The thread that ended the first job takes the second; another one has to see to the first. */
START_TEST(a_pause_ends_while_the_thread_does_something_else) {
    struct jobs *jobs = jobs_open(2);
    struct work first = {.pause_ms = 10, .hold = true}, second = {.hold = true};
    struct job *job = jobs_add(jobs, work_run, &first, 0);
    wait_for_runs(&first, 1);
    jobs_add(jobs, work_run, &second, 0);
    wait_for_runs(&second, 1);
    atomic_store(&first.hold, false);
    wait_for_runs(&first, 5);
    job_wake(job);
    wait_for_runs(&first, 6);
    jobs_close(jobs);
    ck_assert_int_eq(second.runs, 1);
}
END_TEST

/* Works come and go, also while they run, and are woken from several threads. */
static void *churn(void *argument) {
    struct jobs *jobs = argument;
    for (int i = 0; i < MANY; i++) {
        struct work work = {.pause_ms = i % 3, .hold = i % 4 == 0};
        struct job *job = jobs_add(jobs, work_run, &work, i % 2);
        job_wake(job);
        if (i % 5 != 0) {
            wait_for_runs(&work, 1);
        }
        job_remove(job);
        ck_assert_int_eq(work.inside, 0);
        ck_assert_int_le(work.most, 1);
    }
    return NULL;
}

START_TEST(jobs_come_and_go_from_many_threads) {
    struct jobs *jobs = jobs_open(THREADS);
    pthread_t threads[THREADS];
    struct work work = {.pause_ms = 0};
    jobs_add(jobs, work_run, &work, 0);
    for (int i = 0; i < THREADS; i++) {
        ck_assert_int_eq(pthread_create(&threads[i], NULL, churn, jobs), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    wait_for_runs(&work, 1);
    jobs_close(jobs);
    ck_assert_int_eq(work.most, 1);
}
END_TEST

START_TEST(nothing_to_close) {
    jobs_close(NULL);
    jobs_close(jobs_open(4)); /* no job, no thread */
}
END_TEST

int main(void) {
    Suite *suite = suite_create("jobs");
    TCase *tcase = tcase_create("jobs");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, a_job_runs_again_after_its_pause);
    tcase_add_test(tcase, a_job_waits_for_its_first_run);
    tcase_add_test(tcase, a_job_can_be_woken);
    tcase_add_test(tcase, a_running_job_that_is_woken_runs_once_more);
    tcase_add_test(tcase, a_running_job_is_stopped_and_waited_for);
    tcase_add_test(tcase, a_job_that_hangs_delays_no_other);
    tcase_add_test(tcase, a_pause_ends_while_the_thread_does_something_else);
    tcase_add_test(tcase, jobs_come_and_go_from_many_threads);
    tcase_add_test(tcase, nothing_to_close);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
