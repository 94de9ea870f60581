/* SPDX-License-Identifier: Apache-2.0 */
/* See append.h. */
#include "base/append.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"

static int write_all(int fd, struct span bytes) {
    while (bytes.len > 0) {
        ssize_t written = write(fd, bytes.p, bytes.len);
        if (written >= 0) {
            bytes = span_skip(bytes, (size_t)written);
        } else if (errno != EINTR) {
            return -1;
        }
    }
    return 0;
}

static void lock(int fd) {
    while (flock(fd, LOCK_EX) < 0 && errno == EINTR) {
    }
}

int append_write(int fd, struct span bytes, struct err *err) {
    lock(fd);
    struct stat before = {0};
    int result = fstat(fd, &before) < 0 ? -1 : write_all(fd, bytes);
    if (result < 0) {
        err_sys(err, ERR_RETRY, "cannot write");
        if (S_ISREG(before.st_mode) && ftruncate(fd, before.st_size) < 0) {
            err_sys(err, ERR_RETRY, "cannot take back a half line");
        }
    }
    flock(fd, LOCK_UN);
    return result;
}

static int end_half_line(int fd, off_t size_bytes, struct err *err) {
    char last;
    if (size_bytes == 0 || pread(fd, &last, 1, size_bytes - 1) != 1 || last == '\n') {
        return 0;
    }
    return append_write(fd, SPAN("\n"), err);
}

int append_open(const char *path, mode_t mode, struct err *err) {
    struct stat status;
    int fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, mode);
    if (fd < 0 || fstat(fd, &status) < 0) {
        err_sys(err, ERR_RETRY, "cannot open %s", path);
    } else if (!S_ISREG(status.st_mode) && !S_ISCHR(status.st_mode)) {
        err_set(err, ERR_CONFIG, "%s is not a regular file", path);
    } else if (S_ISCHR(status.st_mode) || end_half_line(fd, status.st_size, err) == 0) {
        return fd;
    }
    if (fd >= 0) {
        close(fd);
    }
    return -1;
}

int append_sync(int fd, struct err *err) {
    /* A device has nothing to sync. */
    if (fdatasync(fd) < 0 && errno != EINVAL && errno != EROFS) {
        return err_sys(err, ERR_RETRY, "cannot write to disk");
    }
    return 0;
}

bool append_is_moved(int fd, const char *path) {
    struct stat ours, named;
    return stat(path, &named) < 0 ||
           (fstat(fd, &ours) == 0 && (ours.st_dev != named.st_dev || ours.st_ino != named.st_ino));
}

int append_check(const char *path, struct err *err) {
    if (access(path, W_OK) == 0) {
        return 0;
    }
    if (errno != ENOENT) {
        return err_sys(err, ERR_CONFIG, "%s", path);
    }
    const char *slash = strrchr(path, '/');
    char *folder = slash ? xstrdup_span(span_of(path, (size_t)(slash - path) + 1)) : xstrdup(".");
    int result = access(folder, W_OK | X_OK);
    if (result < 0) {
        err_sys(err, ERR_CONFIG, "%s", folder);
    }
    free(folder);
    return result;
}
