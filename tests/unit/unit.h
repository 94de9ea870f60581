/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The end of every unit test's main: runs a Check suite and turns its result into the exit code
 * that automake's test driver reads. Check's own environment variables hold: CK_FORK=no for a
 * debugger, CK_VERBOSITY, CK_RUN_CASE, CK_TIMEOUT_MULTIPLIER and the others.
 */
#pragma once

#include <check.h>
#include <stdbool.h>
#include <stdlib.h>

/* Runs the suite and frees it. EXIT_SUCCESS, or EXIT_FAILURE when a test failed or none ran. */
static inline int run_suite(Suite *suite) {
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    bool passed = srunner_ntests_run(runner) > 0 && srunner_ntests_failed(runner) == 0;
    srunner_free(runner);
    return passed ? EXIT_SUCCESS : EXIT_FAILURE;
}
