/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See log.h. The format is chosen before threads start and then only read; a line is put together
 * on the stack and written at once, so lines of different threads do not mix.
 */
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"

static enum log_format log_format = LOG_FORMAT_TEXT;
static enum log_level log_max = LOG_LEVEL_INFO;

/* systemd sets JOURNAL_STREAM to "device:inode" of the stream it reads (sd-daemon(3)). */
static bool is_journal(void) {
    const char *stream = getenv("JOURNAL_STREAM");
    struct stat st;
    char mine[64];
    if (!stream || fstat(STDERR_FILENO, &st) != 0) {
        return false;
    }
    snprintf(mine, sizeof(mine), "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    return strcmp(stream, mine) == 0;
}

void log_setup(enum log_format format, enum log_level level) {
    if (format == LOG_FORMAT_AUTO) {
        format = is_journal() ? LOG_FORMAT_JOURNAL : LOG_FORMAT_TEXT;
    }
    log_format = format;
    log_max = level;
}

static const char *level_name(enum log_level level) {
    switch (level) {
    case LOG_LEVEL_ERROR:
        return "error";
    case LOG_LEVEL_WARNING:
        return "warning";
    case LOG_LEVEL_INFO:
        return "info";
    case LOG_LEVEL_DEBUG:
        return "debug";
    }
    return "?";
}

static void add_time(struct buf *line) {
    int64_t now = clock_wall_ms();
    time_t seconds = now / 1000;
    struct tm tm;
    char text[32];
    gmtime_r(&seconds, &tm);
    strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &tm);
    buf_printf(line, "%s.%03dZ", text, (int)(now % 1000));
}

/* Control characters (and, in JSON, what JSON must escape) never reach the line as they are. */
static void add_escaped(struct buf *line, const char *text, bool json) {
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c < 0x20 || c == 0x7f) {
            buf_printf(line, json ? "\\u%04x" : "\\x%02x", c);
        } else if (json && (c == '"' || c == '\\')) {
            buf_printf(line, "\\%c", c);
        } else {
            buf_char(line, (char)c);
        }
    }
}

void log_line(enum log_level level, const char *format, ...) {
    if (level > log_max) {
        return;
    }
    char text[2048], memory[8192];
    struct buf line;
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    /* Room for the closing bytes is kept back, so that a cut line still ends as a line. */
    buf_over(&line, memory, sizeof(memory) - 4);
    if (log_format == LOG_FORMAT_JSON) {
        buf_add(&line, SPAN("{\"time\":\""));
        add_time(&line);
        buf_printf(&line, "\",\"level\":\"%s\",\"message\":\"", level_name(level));
        add_escaped(&line, text, true);
        memcpy(line.data + line.len, "\"}", 2);
        line.len += 2;
    } else if (log_format == LOG_FORMAT_JOURNAL) {
        buf_printf(&line, "<%d>", (int)level);
        add_escaped(&line, text, false);
    } else {
        add_time(&line);
        buf_printf(&line, " %-7s ", level_name(level));
        add_escaped(&line, text, false);
    }
    line.data[line.len++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line.data, line.len);
    (void)ignored;
}

bool log_limit_allows(struct log_limit *limit, int64_t now_ms, uint64_t *suppressed) {
    int64_t returned = (now_ms - limit->since_ms) / limit->every_ms;
    if (limit->since_ms == 0 || returned >= limit->used) {
        limit->used = 0;
        limit->since_ms = now_ms;
    } else {
        limit->used -= returned;
        limit->since_ms += returned * limit->every_ms;
    }
    if (limit->used >= limit->burst) {
        limit->suppressed++;
        return false;
    }
    limit->used++;
    *suppressed = limit->suppressed;
    limit->suppressed = 0;
    return true;
}
