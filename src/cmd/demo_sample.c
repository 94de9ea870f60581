/* SPDX-License-Identifier: Apache-2.0 */
/* See demo_sample.h. */
#include "cmd/demo_sample.h"

#include <assert.h>
#include <libdeflate.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/json_write.h"
#include "base/num.h"
#include "base/xalloc.h"
#include "cmd/demo_company.h"

enum { RECORD_MAX = 1 << 20, SECONDS_DIGITS = 10, MS_DIGITS = 13 };

const struct demo_file demo_files[] = {
#include "cmd/demo_records.inc"
    {0},
};

struct demo_sample {
    const struct demo_file *file; /* name NULL: the company's hour */
    struct span rest;             /* of a file that is given out by lines */
    struct company company;
    struct libdeflate_compressor *compressor;
    struct buf text, envelope, gzip;
};

static void start_file(struct demo_sample *sample, const struct demo_file *file) {
    sample->file = file;
    sample->rest = span_str(file->text);
}

struct demo_sample *demo_sample_open(void) {
    struct demo_sample *sample = xcalloc(1, sizeof(*sample));
    buf_init(&sample->text, RECORD_MAX);
    buf_init(&sample->envelope, RECORD_MAX);
    buf_init(&sample->gzip, RECORD_MAX);
    sample->compressor = libdeflate_alloc_compressor(6);
    assert(sample->compressor);
    company_init(&sample->company);
    start_file(sample, demo_files);
    return sample;
}

void demo_sample_close(struct demo_sample *sample) {
    if (sample) {
        libdeflate_free_compressor(sample->compressor);
        buf_done(&sample->text);
        buf_done(&sample->envelope);
        buf_done(&sample->gzip);
        free(sample);
    }
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

/* The next run of digits in *rest, which then stands behind it; false when there is none. */
static bool next_number(struct span *rest, struct span *digits) {
    while (rest->len > 0 && !is_digit(rest->p[0])) {
        *rest = span_skip(*rest, 1);
    }
    *digits = span_of(rest->p, 0);
    while (rest->len > 0 && is_digit(rest->p[0])) {
        *rest = span_skip(*rest, 1);
        digits->len++;
    }
    return digits->len > 0;
}

static void write_digits(char *at, size_t len, int64_t value) {
    char digits[NUM_DIGITS_MAX];
    if (num_format_u64((uint64_t)value, digits) == len) {
        memcpy(at, digits, len);
    }
}

static void move_line(char *line, size_t len, int64_t now_ms) {
    struct span rest = span_of(line, len), digits;
    uint64_t last = 0, value;
    while (next_number(&rest, &digits)) {
        if (digits.len == SECONDS_DIGITS && num_parse_u64(digits, INT64_MAX, &value)) {
            last = value > last ? value : last;
        }
    }
    rest = span_of(line, len);
    while (next_number(&rest, &digits)) {
        char *at = line + (digits.p - line);
        if (digits.len == SECONDS_DIGITS && num_parse_u64(digits, INT64_MAX, &value)) {
            write_digits(at, digits.len, now_ms / 1000 - (int64_t)(last - value));
        } else if (digits.len == MS_DIGITS) {
            write_digits(at, digits.len, now_ms);
        }
    }
}

void demo_move_times(char *text, size_t len, int64_t now_ms) {
    struct span rest = span_of(text, len), line;
    while (span_cut(&rest, '\n', &line)) {
        move_line(text + (line.p - text), line.len, now_ms);
    }
}

/* CloudWatch stamps an event with the flow's start: the first number of ten digits. */
static int64_t event_ms(struct span line) {
    struct span digits;
    uint64_t start;
    while (next_number(&line, &digits)) {
        if (digits.len == SECONDS_DIGITS && num_parse_u64(digits, INT64_MAX, &start)) {
            return (int64_t)start * 1000;
        }
    }
    return 0;
}

/* The envelope that a subscription filter of CloudWatch Logs makes of lines. */
static void wrap_lines(struct span lines, struct buf *out) {
    struct span line;
    unsigned number = 0;
    buf_add(out, SPAN("{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"123456789010\","
                      "\"logGroup\":\"/vpc/flow-logs\",\"logStream\":\"eni-abc123de-all\","
                      "\"subscriptionFilters\":[\"flowgelf-demo\"],\"logEvents\":["));
    while (span_cut(&lines, '\n', &line)) {
        int64_t ms = event_ms(line);
        buf_printf(out, "%s{\"id\":\"%056u\",\"timestamp\":%jd,\"message\":\"", number ? "," : "",
                   number, (intmax_t)ms);
        json_add(out, line);
        buf_add(out, SPAN("\"}"));
        number++;
    }
    buf_add(out, SPAN("]}"));
}

static struct span compress(struct demo_sample *sample, struct span text) {
    struct buf *gzip = &sample->gzip;
    buf_clear(gzip);
    bool is_room = buf_reserve(gzip, libdeflate_gzip_compress_bound(sample->compressor, text.len));
    assert(is_room);
    gzip->len =
        libdeflate_gzip_compress(sample->compressor, text.p, text.len, gzip->data, gzip->cap);
    return buf_span(gzip);
}

/* Puts the next text into sample->text: a file or a line of it. */
static void take_text(struct demo_sample *sample, struct demo_record *record) {
    struct span part = sample->rest;
    if (sample->file->use == DEMO_LINES) {
        span_cut(&sample->rest, '\n', &part);
        record->messages = !memmem(part.p, part.len, "NODATA", 6);
    } else {
        sample->rest = span_of(NULL, 0);
        record->messages = sample->file->messages;
    }
    buf_add(&sample->text, part);
}

/* The bytes of the record whose text stands in sample->text. */
static struct span finish(struct demo_sample *sample, enum demo_use use) {
    struct span text = buf_span(&sample->text);
    if (use == DEMO_ENVELOPE) {
        buf_clear(&sample->envelope);
        wrap_lines(text, &sample->envelope);
        text = buf_span(&sample->envelope);
    }
    return use == DEMO_ENVELOPE || use == DEMO_GZIP ? compress(sample, text) : text;
}

bool demo_sample_next(struct demo_sample *sample, int64_t now_ms, struct demo_record *record) {
    const struct demo_file *file = sample->file;
    buf_clear(&sample->text);
    if (file->name) {
        take_text(sample, record);
    } else if (!company_next(&sample->company, &sample->text, &record->messages)) {
        company_init(&sample->company);
        start_file(sample, demo_files);
        return false;
    }
    if (now_ms > 0) {
        demo_move_times(sample->text.data, sample->text.len, now_ms);
    }
    record->data = finish(sample, file->name ? file->use : DEMO_LINES);
    assert(!sample->text.overflow && !sample->envelope.overflow);
    if (file->name && sample->rest.len == 0) {
        start_file(sample, file + 1);
    }
    return true;
}
