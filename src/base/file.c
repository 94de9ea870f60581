/* SPDX-License-Identifier: Apache-2.0 */
/* See file.h. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "base/xalloc.h"

enum { READ_STEP = 64 * 1024 };

/* errno as a person or a retry would mend it. */
static enum err_kind kind_of_errno(void) {
    switch (errno) {
    case ENOENT:
    case ENOTDIR:
    case EISDIR:
    case EACCES:
    case EPERM:
    case EROFS:
    case ELOOP:
    case ENAMETOOLONG:
    case EEXIST:
        return ERR_CONFIG;
    default:
        return ERR_RETRY;
    }
}

static int fail(struct err *err, const char *what, const char *path) {
    return err_sys(err, kind_of_errno(), "cannot %s %s", what, path);
}

/* Where to read to: what is left under the ceiling, or one byte that shows there is more. */
static ssize_t read_some(int fd, struct buf *out) {
    size_t left = out->max - out->len;
    char extra;
    if (left == 0) {
        return read(fd, &extra, 1);
    }
    buf_reserve(out, left < READ_STEP ? left : READ_STEP);
    ssize_t got = read(fd, out->data + out->len, out->cap - out->len);
    if (got > 0) {
        out->len += (size_t)got;
    }
    return got;
}

static int read_all(int fd, const char *path, struct buf *out, struct err *err) {
    struct stat st;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0 &&
        (uint64_t)st.st_size < out->max - out->len) {
        /* In one piece where the size is known; the byte more is where the end shows. */
        buf_reserve(out, (size_t)st.st_size + 1);
    }
    for (;;) {
        bool full = out->len == out->max;
        ssize_t got = read_some(fd, out);
        if (got == 0) {
            return 0;
        }
        if (got < 0 && errno != EINTR) {
            return fail(err, "read", path);
        }
        if (got > 0 && full) {
            return err_set(err, ERR_DATA, "%s is larger than %zu bytes", path, out->max);
        }
    }
}

int file_read(const char *path, struct buf *out, struct err *err) {
    size_t before = out->len;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return fail(err, "open", path);
    }
    int result = read_all(fd, path, out, err);
    if (result < 0) {
        out->len = before;
    }
    close(fd);
    return result;
}

static int write_all(int fd, struct span content) {
    while (content.len > 0) {
        ssize_t put = write(fd, content.p, content.len);
        if (put < 0 && errno != EINTR) {
            return -1;
        }
        if (put > 0) {
            content = span_skip(content, (size_t)put);
        }
    }
    return 0;
}

/* A file of that name with that content, on the disk. */
static int write_new(const char *path, struct span content, mode_t mode, struct err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0) {
        return fail(err, "create", path);
    }
    int result = 0;
    if (write_all(fd, content) < 0 || fsync(fd) < 0) {
        result = fail(err, "write", path);
    }
    if (close(fd) < 0 && result == 0) {
        result = fail(err, "write", path);
    }
    return result;
}

int file_write(const char *path, struct span content, mode_t mode, struct err *err) {
    /* On the stack, because positions are written this way while a stream flows. */
    char fresh[PATH_MAX];
    if (snprintf(fresh, sizeof(fresh), "%s.new", path) >= (int)sizeof(fresh)) {
        errno = ENAMETOOLONG;
        return fail(err, "write", path);
    }
    int result = write_new(fresh, content, mode, err);
    if (result == 0 && rename(fresh, path) < 0) {
        result = fail(err, "replace", path);
    }
    if (result < 0) {
        unlink(fresh);
    } else {
        result = file_sync_dir(path, err);
    }
    return result;
}

int file_sync_dir(const char *path, struct err *err) {
    const char *slash = strrchr(path, '/');
    char dir[PATH_MAX] = ".";
    if (slash) {
        size_t len = slash > path ? (size_t)(slash - path) : 1;
        if (len >= sizeof(dir)) {
            errno = ENAMETOOLONG;
            return fail(err, "sync", path);
        }
        memcpy(dir, path, len);
        dir[len] = '\0';
    }
    int result = 0;
    int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    /* Some network file systems cannot sync a directory and say EINVAL: no more can be done. */
    if (fd < 0 || (fsync(fd) < 0 && errno != EINVAL)) {
        result = fail(err, "sync", dir);
    }
    if (fd >= 0) {
        close(fd);
    }
    return result;
}

static int make_dir(const char *path, mode_t mode, struct err *err) {
    struct stat st;
    if (mkdir(path, mode) == 0) {
        return 0;
    }
    int sys = errno;
    if (stat(path, &st) == 0) {
        if (S_ISDIR(st.st_mode)) {
            return 0;
        }
        sys = ENOTDIR;
    }
    errno = sys;
    return fail(err, "make directory", path);
}

int file_make_dirs(const char *path, mode_t mode, struct err *err) {
    char *work = xstrdup(path);
    int result = 0;
    for (char *p = work + 1; work[0] != '\0' && result == 0; p++) {
        if (*p == '/' || *p == '\0') {
            char cut = *p;
            *p = '\0';
            result = make_dir(work, mode, err);
            *p = cut;
        }
        if (*p == '\0') {
            break;
        }
    }
    free(work);
    return result;
}

/* Says who holds the lock, as far as the file tells. */
static int fail_locked(int fd, const char *path, struct err *err) {
    char pid[NUM_DIGITS_MAX];
    ssize_t got = pread(fd, pid, sizeof(pid), 0);
    struct span text = span_trim(span_of(pid, got > 0 ? (size_t)got : 0));
    if (text.len == 0) {
        return err_set(err, ERR_STOP, "%s is locked by another process", path);
    }
    return err_set(err, ERR_STOP, "%s is locked by another process (%.*s)", path, SPAN_ARG(text));
}

int file_lock(const char *path, struct err *err) {
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0) {
        return fail(err, "open", path);
    }
    int result = 0;
    char pid[NUM_DIGITS_MAX + 1];
    size_t len = num_format_u64((uint64_t)getpid(), pid);
    pid[len++] = '\n';
    if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
        result = errno == EWOULDBLOCK ? fail_locked(fd, path, err) : fail(err, "lock", path);
    } else if (ftruncate(fd, 0) < 0 || write_all(fd, span_of(pid, len)) < 0) {
        result = fail(err, "write", path);
    }
    if (result < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

int file_mark(const char *path, struct file_mark *mark, struct err *err) {
    struct stat st;
    if (stat(path, &st) < 0) {
        return fail(err, "look at", path);
    }
    *mark = (struct file_mark){
        .dev = st.st_dev,
        .ino = st.st_ino,
        .size_bytes = st.st_size,
        .mtime_ns = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec,
    };
    return 0;
}
