/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Log lines to stderr: plain text with a time for people, "<n>" priorities where systemd's journal
 * reads (JOURNAL_STREAM), or one JSON object a line. Set up once by main; any thread may log. A
 * line is one write(2). Sites that may repeat fast carry a log_limit of their own.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>

/* The numbers are syslog's. */
enum log_level {
    LOG_LEVEL_ERROR = 3,
    LOG_LEVEL_WARNING = 4,
    LOG_LEVEL_INFO = 6,
    LOG_LEVEL_DEBUG = 7
};

enum log_format { LOG_FORMAT_AUTO, LOG_FORMAT_TEXT, LOG_FORMAT_JOURNAL, LOG_FORMAT_JSON };

/* AUTO becomes JOURNAL where stderr is the journal's stream, else TEXT. Lines above `level` are
   dropped. Call before threads start; without it: TEXT at INFO. */
void log_setup(enum log_format format, enum log_level level);

/* One line; control characters in it are shown escaped, so that no data can forge a line. */
void log_line(enum log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define log_error(...)   log_line(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_warning(...) log_line(LOG_LEVEL_WARNING, __VA_ARGS__)
#define log_info(...)    log_line(LOG_LEVEL_INFO, __VA_ARGS__)
#define log_debug(...)   log_line(LOG_LEVEL_DEBUG, __VA_ARGS__)

/*
 * A token bucket for one site and one thread: `burst` lines at once, then one every `every_ms`.
 * {.burst = 5, .every_ms = 10000} and zeros is a valid start.
 */
struct log_limit {
    int burst;
    int64_t every_ms;
    int64_t used; /* tokens taken and not yet given back */
    int64_t since_ms;
    uint64_t suppressed; /* lines not written since the last one that was */
};

/* Whether a line may be written now; `now_ms` is monotonic. On true, *suppressed is how many were
   left out before it (and the count starts anew). */
bool log_limit_allows(struct log_limit *limit, int64_t now_ms, uint64_t *suppressed);
