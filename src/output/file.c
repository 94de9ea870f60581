/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON lines appended to a file, a parcel per write (base/append: whole or not at all, so all
 * workers may share it). Delivered when it is on disk: fdatasync at the settle interval, when half
 * of the ring waits for it, or when asked to confirm. The file is opened anew when it was renamed
 * or removed. Writing to a disk may wait for it, which this output alone is allowed to do.
 */
#include <stdlib.h>
#include <unistd.h>

#include "base/append.h"
#include "base/xalloc.h"
#include "output/common.h"
#include "output/file.h"
#include "output/gelf.h"
#include "output/outputs.h"

enum { SETTLE_MS = 1000, LOOK_MS = 1000, RETRY_MS = 1000, FILE_MODE = 0640 };

struct file_output {
    const struct file_conf *conf;
    struct parcels parcels;
    int fd;           /* -1: not open */
    uint64_t written; /* parcels up to here are in the file, not all on disk */
    size_t unsynced_bytes;
    bool confirming;
    int64_t synced_ms, looked_ms, retry_ms;
};

static const struct option file_options[] = {
    OUTPUT_COMMON_OPTIONS,
    {.name = "path",
     .type = OPTION_WRITE_PATH,
     .required = true,
     .offset = offsetof(struct file_conf, path),
     .sample = "flows.jsonl",
     .help = "File to which messages are appended, one JSON object a line; opened anew when it was "
             "renamed or removed"},
    OPTION_END,
};

static int file_check(const void *conf, bool online, struct buf *report, struct err *err) {
    (void)online;
    const struct file_conf *file = conf;
    if (append_check(file->path, err) != 0) {
        return -1;
    }
    buf_printf(report, "%s can be written\n", file->path);
    return 0;
}

static int file_open(void *conf, const struct output_place *place, void **handle, struct err *err) {
    (void)err;
    struct file_output *file = xcalloc(1, sizeof *file);
    file->conf = conf;
    file->fd = -1;
    parcels_init(&file->parcels, place->ring_bytes);
    *handle = file;
    return 0;
}

static void file_send(void *handle, const struct parcel *parcel) {
    struct file_output *file = handle;
    parcels_add(&file->parcels, parcel);
}

static void close_file(struct file_output *file) {
    if (file->fd >= 0) {
        close(file->fd);
        file->fd = -1;
    }
}

/* After a failed sync nobody knows which of the bytes are on disk: all are written again, into the
   file opened anew. */
static int sync_file(struct file_output *file, int64_t now_ms, struct err *err) {
    file->synced_ms = now_ms;
    file->unsynced_bytes = 0;
    if (append_sync(file->fd, err) != 0) {
        for (uint64_t n = file->parcels.delivered + 1; n <= file->written; n++) {
            file->parcels.counts.resent_messages += parcels_at(&file->parcels, n)->messages;
        }
        file->written = file->parcels.delivered;
        close_file(file);
        return -1;
    }
    parcels_deliver(&file->parcels, file->written);
    return 0;
}

/* Once a second: still the file of that name? */
static int look_at_name(struct file_output *file, int64_t now_ms, struct err *err) {
    int result = 0;
    if (file->fd >= 0 && now_ms - file->looked_ms >= LOOK_MS) {
        file->looked_ms = now_ms;
        if (append_is_moved(file->fd, file->conf->path)) {
            result = sync_file(file, now_ms, err);
            close_file(file);
        }
    }
    if (result == 0 && file->fd < 0) {
        file->fd = append_open(file->conf->path, FILE_MODE, err);
        file->looked_ms = now_ms;
        file->parcels.counts.connects += file->fd >= 0;
    }
    return file->fd >= 0 ? result : -1;
}

static int write_waiting(struct file_output *file, struct err *err) {
    while (file->written < file->parcels.last) {
        const struct parcel *parcel = parcels_at(&file->parcels, file->written + 1);
        if (append_write(file->fd, parcel->bytes, err) != 0) {
            return -1;
        }
        file->written++;
        file->unsynced_bytes += parcel->bytes.len;
    }
    return 0;
}

static bool should_sync(const struct file_output *file, int64_t now_ms) {
    return file->fd >= 0 && file->written > file->parcels.delivered &&
           (file->confirming || now_ms - file->synced_ms >= SETTLE_MS ||
            file->unsynced_bytes >= OUTPUT_RING_BYTES / 2);
}

static int file_turn(void *handle, int64_t now_ms, struct err *err) {
    struct file_output *file = handle;
    int result = 0;
    if (file->written < file->parcels.last && now_ms >= file->retry_ms) {
        result = look_at_name(file, now_ms, err);
        if (result == 0) {
            result = write_waiting(file, err);
        }
    }
    if (result == 0 && should_sync(file, now_ms)) {
        result = sync_file(file, now_ms, err);
    }
    if (result != 0) {
        file->retry_ms = now_ms + RETRY_MS;
        return err_wrap(err, "%s", file->conf->path);
    }
    if (file->parcels.delivered == file->parcels.last) {
        file->confirming = false;
    }
    return 0;
}

static int file_poll_fds(void *handle, int64_t now_ms, struct pollfd *fds, int *wait_ms) {
    (void)fds;
    const struct file_output *file = handle;
    if (file->written < file->parcels.last) {
        output_wait_until(file->retry_ms, now_ms, wait_ms);
    } else if (file->written > file->parcels.delivered) {
        output_wait_until(file->confirming ? now_ms : file->synced_ms + SETTLE_MS, now_ms, wait_ms);
    }
    return 0;
}

static void file_confirm(void *handle, int64_t now_ms) {
    (void)now_ms;
    struct file_output *file = handle;
    file->confirming = true;
}

static uint64_t file_delivered(void *handle) {
    const struct file_output *file = handle;
    return file->parcels.delivered;
}

static const struct output_counts *file_counts(const void *handle) {
    const struct file_output *file = handle;
    return &file->parcels.counts;
}

static void file_describe(void *handle, int64_t now_ms, struct buf *out) {
    (void)now_ms;
    const struct file_output *file = handle;
    buf_printf(out, "file %s: %s, %ju parcels not on disk, level stored\n", file->conf->path,
               file->fd >= 0 ? "open" : "not open",
               (uintmax_t)(file->parcels.last - file->parcels.delivered));
}

static void file_close(void *handle) {
    struct file_output *file = handle;
    close_file(file);
    parcels_done(&file->parcels);
    free(file);
}

const struct output_type output_file_type = {
    .name = "file",
    .help = "JSON lines appended to a file; delivered when they are on disk",
    .options = file_options,
    .conf_size = sizeof(struct file_conf),
    .encoder = &gelf_encoder,
    .end = {"\n", 1},
    .check = file_check,
    .ring_bytes = output_ring_bytes,
    .open = file_open,
    .send = file_send,
    .turn = file_turn,
    .poll_fds = file_poll_fds,
    .confirm = file_confirm,
    .delivered = file_delivered,
    .counts = file_counts,
    .describe = file_describe,
    .close = file_close,
};
