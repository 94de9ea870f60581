/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON lines to standard output, for pipes and for looking. All workers share the one descriptor,
 * so a parcel that is begun is written to its end before another worker's begins: whoever writes
 * owns it. Delivered when written. Never blocks on a pipe: poll(2) promises room for PIPE_BUF bytes
 * and no more is written at once. (Making the descriptor non-blocking would change it for all
 * processes that share it.)
 */
#include <errno.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "output/common.h"
#include "output/gelf.h"
#include "output/outputs.h"
#include "output/stdout.h"

enum { BUSY_WAIT_MS = 1, RETRY_MS = 1000 };

struct stdout_output {
    struct parcels parcels;
    size_t offset; /* written of the parcel behind the last one delivered */
    bool is_file;
    bool blocked; /* the reader of the pipe is slow */
    int64_t retry_ms;
};

/* The handle that is in the middle of a parcel, NULL: none. */
static _Atomic(struct stdout_output *) stdout_owner;

static const struct option stdout_options[] = {
    OUTPUT_COMMON_OPTIONS,
    OPTION_END,
};

static int stdout_check(const void *conf, bool online, struct buf *report, struct err *err) {
    (void)conf;
    (void)online;
    (void)err;
    buf_printf(report, "standard output, of the running program\n");
    return 0;
}

static int stdout_open(void *conf, const struct output_place *place, void **handle,
                       struct err *err) {
    (void)conf;
    struct stat status;
    if (fstat(STDOUT_FILENO, &status) < 0) {
        return err_sys(err, ERR_STOP, "standard output");
    }
    struct stdout_output *out = xcalloc(1, sizeof *out);
    out->is_file = S_ISREG(status.st_mode);
    parcels_init(&out->parcels, place->ring_bytes);
    *handle = out;
    return 0;
}

static void stdout_send(void *handle, const struct parcel *parcel) {
    struct stdout_output *out = handle;
    parcels_add(&out->parcels, parcel);
}

static bool own(struct stdout_output *out) {
    struct stdout_output *nobody = NULL;
    return atomic_compare_exchange_strong(&stdout_owner, &nobody, out) || nobody == out;
}

static void disown(struct stdout_output *out) {
    struct stdout_output *owner = out;
    atomic_compare_exchange_strong(&stdout_owner, &owner, NULL);
}

static bool has_room(const struct stdout_output *out) {
    struct pollfd poll_fd = {.fd = STDOUT_FILENO, .events = POLLOUT};
    return out->is_file || poll(&poll_fd, 1, 0) > 0;
}

/* A piece of the parcel; 1: written, 0: no room now, -1. */
static int write_piece(struct stdout_output *out, const struct parcel *parcel, int64_t now_ms,
                       struct err *err) {
    struct span rest = span_skip(parcel->bytes, out->offset);
    if (!has_room(out)) {
        out->blocked = true;
        return 0;
    }
    size_t len = out->is_file || rest.len < PIPE_BUF ? rest.len : PIPE_BUF;
    ssize_t written = write(STDOUT_FILENO, rest.p, len);
    if (written >= 0) {
        out->offset += (size_t)written;
        return 1;
    }
    if (errno == EPIPE) {
        return err_sys(err, ERR_STOP, "standard output");
    }
    if (errno == EAGAIN || errno == EINTR) {
        out->blocked = errno == EAGAIN;
        return errno == EINTR;
    }
    out->retry_ms = now_ms + RETRY_MS;
    return err_sys(err, ERR_RETRY, "standard output");
}

static int stdout_turn(void *handle, int64_t now_ms, struct err *err) {
    struct stdout_output *out = handle;
    out->blocked = false;
    while (out->parcels.delivered < out->parcels.last && now_ms >= out->retry_ms && own(out)) {
        uint64_t number = out->parcels.delivered + 1;
        const struct parcel *parcel = parcels_at(&out->parcels, number);
        int result = write_piece(out, parcel, now_ms, err);
        if (result <= 0) {
            return result;
        }
        if (out->offset == parcel->bytes.len) {
            out->offset = 0;
            disown(out);
            parcels_deliver(&out->parcels, number);
        }
    }
    return 0;
}

static int stdout_poll_fds(void *handle, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    const struct stdout_output *out = handle;
    if (out->parcels.delivered == out->parcels.last) {
        return 0;
    }
    if (out->blocked) {
        *fds = (struct pollfd){.fd = STDOUT_FILENO, .events = POLLOUT};
        return 1;
    }
    struct stdout_output *owner = atomic_load(&stdout_owner);
    bool is_busy = owner && owner != out;
    output_wait_until(is_busy ? now_ms + BUSY_WAIT_MS : out->retry_ms, now_ms, wait_ms);
    return 0;
}

static void stdout_confirm(void *handle, int64_t now_ms) {
    (void)handle; /* what can be written has been */
    (void)now_ms;
}

static uint64_t stdout_delivered(void *handle) {
    const struct stdout_output *out = handle;
    return out->parcels.delivered;
}

static const struct output_counts *stdout_counts(const void *handle) {
    const struct stdout_output *out = handle;
    return &out->parcels.counts;
}

static void stdout_describe(void *handle, int64_t now_ms, struct buf *text) {
    (void)now_ms;
    const struct stdout_output *out = handle;
    buf_printf(text, "stdout: %ju parcels not written, level sent\n",
               (uintmax_t)(out->parcels.last - out->parcels.delivered));
}

static void stdout_close(void *handle) {
    struct stdout_output *out = handle;
    disown(out);
    parcels_done(&out->parcels);
    free(out);
}

const struct output_type output_stdout_type = {
    .name = "stdout",
    .help = "JSON lines to standard output; delivered when written",
    .options = stdout_options,
    .conf_size = sizeof(struct stdout_conf),
    .encoder = &gelf_encoder,
    .end = {"\n", 1},
    .check = stdout_check,
    .ring_bytes = output_ring_bytes,
    .open = stdout_open,
    .send = stdout_send,
    .turn = stdout_turn,
    .poll_fds = stdout_poll_fds,
    .confirm = stdout_confirm,
    .delivered = stdout_delivered,
    .counts = stdout_counts,
    .describe = stdout_describe,
    .close = stdout_close,
};
