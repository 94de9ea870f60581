/* SPDX-License-Identifier: Apache-2.0 */
/* See lines_output.h. A message counts as delivered when the command has had it. */
#include "cmd/lines_output.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/xalloc.h"
#include "output/gelf.h"

enum { RING_BYTES = 8 << 20 };

struct handle {
    const struct lines_output_conf *conf;
    struct output_counts counts;
    uint64_t delivered;
    struct err err;
    bool failed;
    bool unflushed; /* a reader behind a pipe waits for what was printed */
};

static size_t lines_ring_bytes(const void *conf) {
    (void)conf;
    return RING_BYTES;
}

static int lines_open(void *conf, const struct output_place *place, void **out, struct err *err) {
    (void)place;
    (void)err;
    struct handle *handle = xcalloc(1, sizeof(*handle));
    handle->conf = conf;
    *out = handle;
    return 0;
}

static void lines_send(void *context, const struct parcel *parcel) {
    struct handle *handle = context;
    struct span rest = parcel->bytes, line;
    while (!handle->failed && span_cut(&rest, '\n', &line)) {
        handle->failed = handle->conf->message(handle->conf->context, line, &handle->err) != 0;
    }
    handle->counts.parcels++;
    handle->counts.messages += parcel->messages;
    handle->counts.bytes += parcel->bytes.len;
    handle->unflushed = true;
    if (!handle->failed) {
        handle->counts.delivered_messages += parcel->messages;
        handle->delivered = parcel->number;
    }
}

static int lines_turn(void *context, int64_t now_ms, struct err *err) {
    (void)now_ms;
    struct handle *handle = context;
    if (handle->failed) {
        *err = handle->err;
        return -1;
    }
    if (handle->unflushed) {
        handle->unflushed = false;
        return fflush(stdout) == 0 ? 0 : err_sys(err, ERR_STOP, "stdout");
    }
    return 0;
}

static int lines_poll_fds(void *context, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    (void)context;
    (void)now_ms;
    (void)fds;
    (void)wait_ms;
    return 0;
}

static void lines_confirm(void *context, int64_t now_ms) {
    (void)context;
    (void)now_ms;
}

static uint64_t lines_delivered(void *context) {
    return ((struct handle *)context)->delivered;
}

static const struct output_counts *lines_counts(const void *context) {
    return &((const struct handle *)context)->counts;
}

static void lines_describe(void *context, int64_t now_ms, struct buf *out) {
    (void)context;
    (void)now_ms;
    (void)out;
}

static void lines_close(void *context) {
    free(context);
}

static const struct option no_options[] = {OPTION_END};

const struct output_type lines_output_type = {
    .name = "lines",
    .help = "hands messages to a command",
    .options = no_options,
    .conf_size = sizeof(struct lines_output_conf),
    .encoder = &gelf_encoder,
    .end = {"\n", 1},
    .ring_bytes = lines_ring_bytes,
    .open = lines_open,
    .send = lines_send,
    .turn = lines_turn,
    .poll_fds = lines_poll_fds,
    .confirm = lines_confirm,
    .delivered = lines_delivered,
    .counts = lines_counts,
    .describe = lines_describe,
    .close = lines_close,
};
