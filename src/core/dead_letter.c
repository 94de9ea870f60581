/* SPDX-License-Identifier: Apache-2.0 */
/* See dead_letter.h. Called by workers, and by outputs for messages that no receiver could take. */
#include "core/dead_letter.h"

#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "base/append.h"
#include "base/base64.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/log.h"
#include "base/xalloc.h"

enum {
    RAW_MAX = 64 << 10,
    /* Raw bytes in base64 and origin's texts, each escaped at most. */
    LINE_MAX_BYTES = RAW_MAX / 3 * 4 + 4 * 6 * JSON_STRING_MAX + 1024,
    DEAD_LETTER_MODE = 0600,
};

struct dead_letter {
    const struct dead_letter_conf *conf;
    int fd;             /* -1: not open */
    struct buf pending; /* whole lines that are not in the file yet */
    uint64_t pending_lines;
    uint64_t unsynced_lines; /* in the file, not yet on disk */
    bool overflowed;         /* required, and a line had no room: only reading again helps */
    struct buf line;
    struct dead_letter_counts counts;
    struct log_limit log;
};

const struct option dead_letter_options[] = {
    {.name = "path",
     .type = OPTION_WRITE_PATH,
     .offset = offsetof(struct dead_letter_conf, path),
     .sample = "dead-letter.jsonl",
     .help = "File that gets what could not be decoded or delivered, as JSON lines; without it "
             "such pieces are only counted and logged"},
    {.name = "required",
     .type = OPTION_BOOLEAN,
     .offset = offsetof(struct dead_letter_conf, required),
     .preset = "false",
     .help = "Whether reading stops while dead letters cannot be written"},
    OPTION_END,
};

struct dead_letter *dead_letter_open(const struct dead_letter_conf *conf) {
    struct dead_letter *dead = xcalloc(1, sizeof *dead);
    dead->conf = conf;
    dead->fd = -1;
    dead->log = (struct log_limit){.burst = 5, .every_ms = 10000};
    buf_init(&dead->pending, DEAD_LETTER_PENDING_MAX);
    buf_init(&dead->line, LINE_MAX_BYTES);
    return dead;
}

static void add_text(struct buf *line, const char *name, struct span text) {
    if (text.len > 0) {
        buf_printf(line, ",\"%s\":\"", name);
        json_add(line, text);
        buf_char(line, '"');
    }
}

static void add_time(struct buf *line, const char *name, int64_t wall_ms) {
    time_t seconds = (time_t)(wall_ms / 1000);
    struct tm parts;
    gmtime_r(&seconds, &parts);
    buf_printf(line, "\"%s\":\"%04d-%02d-%02dT%02d:%02d:%02d.%03dZ\"", name, parts.tm_year + 1900,
               parts.tm_mon + 1, parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec,
               (int)(wall_ms % 1000));
}

static void add_origin(struct buf *line, const struct record *record, uint32_t line_number) {
    const struct origin *origin = &record->origin;
    add_text(line, "input", origin->input);
    add_text(line, "stream", origin->stream);
    add_text(line, "shard", origin->shard);
    if (origin->sequence.len > 0) {
        add_text(line, "position", origin->sequence);
    } else {
        buf_printf(line, ",\"position\":%jd", (intmax_t)origin->number);
    }
    if (origin->sub != 0) {
        buf_printf(line, ",\"sub\":%jd", (intmax_t)origin->sub);
    }
    buf_printf(line, ",\"line\":%u,", line_number + 1);
    add_time(line, "arrival", record->arrival_ms);
}

static void format_line(struct buf *line, enum bad_reason reason, const struct record *record,
                        uint32_t line_number, struct span bytes) {
    buf_clear(line);
    buf_char(line, '{');
    add_time(line, "time", clock_wall_ms());
    add_text(line, "reason", span_str(bad_names[reason]));
    if (record) {
        add_origin(line, record, line_number);
    }
    buf_printf(line, ",\"size\":%zu", bytes.len);
    if (bytes.len > RAW_MAX) {
        buf_add(line, SPAN(",\"cut\":true"));
        bytes.len = RAW_MAX;
    }
    buf_add(line, SPAN(",\"raw\":\""));
    base64_encode(bytes, line);
    buf_add(line, SPAN("\"}\n"));
}

static void close_file(struct dead_letter *dead) {
    if (dead->fd >= 0) {
        close(dead->fd);
        dead->fd = -1;
    }
}

/* Moves pending lines into the file, all or none. */
static int write_pending(struct dead_letter *dead, struct err *err) {
    if (dead->pending_lines == 0) {
        return 0;
    }
    if (dead->fd < 0) {
        dead->fd = append_open(dead->conf->path, DEAD_LETTER_MODE, err);
    }
    if (dead->fd < 0 || append_write(dead->fd, buf_span(&dead->pending), err) != 0) {
        return err_wrap(err, "dead letters, %s", dead->conf->path);
    }
    dead->unsynced_lines += dead->pending_lines;
    dead->pending_lines = 0;
    buf_clear(&dead->pending);
    return 0;
}

static void lose(struct dead_letter *dead, uint64_t lines, const char *why) {
    uint64_t suppressed;
    dead->counts.lost += lines;
    if (log_limit_allows(&dead->log, clock_monotonic_ms(), &suppressed)) {
        log_error("%s; %ju dead letters are lost, %ju so far", why, (uintmax_t)lines,
                  (uintmax_t)dead->counts.lost);
    }
}

static bool append_line(struct dead_letter *dead) {
    if (dead->line.len > dead->pending.max - dead->pending.len) {
        return false;
    }
    buf_add(&dead->pending, buf_span(&dead->line));
    dead->pending_lines++;
    return true;
}

void dead_letter_add(struct dead_letter *dead, enum bad_reason reason, const struct record *record,
                     uint32_t line_number, struct span bytes) {
    struct err err;
    if (!dead->conf->path) {
        return;
    }
    format_line(&dead->line, reason, record, line_number, bytes);
    if (append_line(dead) || (write_pending(dead, &err) == 0 && append_line(dead))) {
        return;
    }
    if (dead->conf->required) {
        dead->overflowed = true;
    } else {
        lose(dead, dead->pending_lines, err.text);
        dead->pending_lines = 0;
        buf_clear(&dead->pending);
        append_line(dead);
    }
}

/* Lines of a failed fdatasync may be gone, and are no longer here to be written again. */
static int sync_written(struct dead_letter *dead, struct err *err) {
    if (dead->unsynced_lines == 0) {
        return 0;
    }
    uint64_t lines = dead->unsynced_lines;
    dead->unsynced_lines = 0;
    if (append_sync(dead->fd, err) == 0) {
        dead->counts.written += lines;
        return 0;
    }
    close_file(dead);
    err_wrap(err, "dead letters, %s", dead->conf->path);
    if (dead->conf->required) {
        dead->overflowed = true;
        return -1;
    }
    lose(dead, lines, err->text);
    return 0;
}

static int flush_required(struct dead_letter *dead, struct err *err) {
    if (write_pending(dead, err) != 0 || sync_written(dead, err) != 0) {
        return -1;
    }
    if (dead->overflowed) {
        return err_set(err, ERR_STOP,
                       "dead letters, %s: some could neither be written nor kept in memory",
                       dead->conf->path);
    }
    return 0;
}

int dead_letter_flush(struct dead_letter *dead, struct err *err) {
    if (dead->pending_lines == 0 && dead->unsynced_lines == 0 && !dead->overflowed) {
        return 0;
    }
    if (dead->fd >= 0 && dead->unsynced_lines == 0 && append_is_moved(dead->fd, dead->conf->path)) {
        close_file(dead);
    }
    if (dead->conf->required) {
        return flush_required(dead, err);
    }
    if (write_pending(dead, err) != 0) {
        lose(dead, dead->pending_lines, err->text);
        dead->pending_lines = 0;
        buf_clear(&dead->pending);
    }
    return sync_written(dead, err);
}

struct dead_letter_counts dead_letter_counts(const struct dead_letter *dead) {
    return dead->counts;
}

void dead_letter_close(struct dead_letter *dead) {
    struct err err;
    if (!dead) {
        return;
    }
    if (dead_letter_flush(dead, &err) != 0) {
        log_error("%s", err.text);
    }
    close_file(dead);
    buf_done(&dead->pending);
    buf_done(&dead->line);
    free(dead);
}
