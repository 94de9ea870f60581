/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See option_value.h and, for the single values that checks of modules read, option.h. Every
 * refusal has the same three parts: what was found, why it is wrong, what is allowed.
 */
#include "config/option_value.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"

enum { SHOWN_MAX = 100, ALLOWED_MAX = 4096, SECRET_MAX = 65536 };

static const char *const phrases[] = {
    [OPTION_STRING] = "a text",
    [OPTION_INTEGER] = "a whole number",
    [OPTION_BOOLEAN] = "true or false",
    [OPTION_SIZE] = "a size (a whole number of bytes, or with KiB, MiB or GiB)",
    [OPTION_DURATION] = "a duration (a whole number with ms, s, m, h or d)",
    [OPTION_CIDR] = "an address or a prefix (10.0.0.0/8, 2001:db8::/32)",
    [OPTION_HOSTPORT] = "host:port, or [IPv6 address]:port",
    [OPTION_URL] = "a URL (http:// or https:// with a host)",
    [OPTION_READ_PATH] = "a path, absolute or relative to the configuration file",
    [OPTION_WRITE_PATH] = "a path, absolute or relative to `state`",
    [OPTION_SECRET] = "file:/path of a file that holds the secret",
    [OPTION_CHOICE] = "",
    [OPTION_TIME] = "a time (2026-01-31T06:00:00Z)",
    [OPTION_RATE] = "a whole number (per second) or unlimited",
    [OPTION_STRINGS] = "a map of names to texts",
    [OPTION_NODE] = "a list or a map as the text says",
    [OPTION_GROUP] = "a map of settings",
};

void option_value_quote(const char *text, struct buf *out) {
    buf_char(out, '"');
    for (size_t i = 0; text[i] != '\0'; i++) {
        /* Cut before a character, never inside its UTF-8 sequence. */
        if (i >= SHOWN_MAX && ((unsigned char)text[i] & 0xc0) != 0x80) {
            buf_add(out, SPAN("..."));
            break;
        }
        buf_char(out, (unsigned char)text[i] < ' ' || text[i] == 0x7f ? '?' : text[i]);
    }
    buf_char(out, '"');
}

/* In the largest unit that shows the value without a remainder. */
static void print_in_units(int64_t value, const int64_t *factors, const char *const *names,
                           struct buf *out) {
    while (*factors > 1 && (value == 0 || value % *factors != 0)) {
        factors++;
        names++;
    }
    buf_i64(out, value / *factors);
    buf_add(out, span_str(*names));
}

static void print_number(enum option_type type, int64_t value, struct buf *out) {
    static const int64_t sizes[] = {1 << 30, 1 << 20, 1 << 10, 1};
    static const char *const size_names[] = {"GiB", "MiB", "KiB", ""};
    static const int64_t durations[] = {86400000, 3600000, 60000, 1000, 1};
    static const char *const duration_names[] = {"d", "h", "m", "s", "ms"};
    if (type == OPTION_SIZE) {
        print_in_units(value, sizes, size_names, out);
    } else if (type == OPTION_DURATION && value > 0) {
        print_in_units(value, durations, duration_names, out);
    } else {
        buf_i64(out, value);
    }
}

static bool is_number(enum option_type type) {
    return type == OPTION_INTEGER || type == OPTION_SIZE || type == OPTION_DURATION ||
           type == OPTION_RATE;
}

/* "earliest, latest or ": the last one joined by `or` when nothing else follows. */
static void describe_choices(const struct option *option, struct buf *out) {
    for (size_t i = 0; option->choices[i]; i++) {
        bool last = option->choices[i + 1] == NULL && option->type == OPTION_CHOICE;
        buf_printf(out, "%s%s", i == 0 ? "" : last ? " or " : ", ", option->choices[i]);
    }
    if (option->type == OPTION_TIME) {
        buf_add(out, SPAN(" or "));
    }
}

void option_value_describe(const struct option *option, struct buf *out) {
    if (option->list) {
        buf_add(out, SPAN("a list; each item: "));
    }
    if (option->choices) {
        describe_choices(option, out);
    }
    buf_add(out, span_str(phrases[option->type]));
    if (!is_number(option->type) || (option->min == 0 && option->max == 0)) {
        return;
    }
    buf_add(out, SPAN(" from "));
    print_number(option->type, option->min, out);
    if (option->max != 0) {
        buf_add(out, SPAN(" to "));
        print_number(option->type, option->max, out);
    }
}

/* Puts a refusal together. `why` may be empty; `text` NULL hides what was found. */
static int refuse(const struct option *option, const char *text, const char *why, struct err *err) {
    struct buf message;
    buf_init(&message, ALLOWED_MAX);
    if (text) {
        buf_add(&message, SPAN("found "));
        option_value_quote(text, &message);
    }
    buf_printf(&message, "%s%s; allowed: ", text && why[0] ? ": " : "", why);
    option_value_describe(option, &message);
    err_set(err, ERR_CONFIG, "%s", buf_cstr(&message));
    buf_done(&message);
    return -1;
}

static int read_secret(const char *path, char **secret, struct err *why) {
    char text[SECRET_MAX];
    struct stat status;
    /* O_NONBLOCK so that a FIFO cannot hold us up before it is refused. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        return err_sys(why, ERR_CONFIG, "the secret's file %s cannot be opened", path);
    }
    bool regular = fstat(fd, &status) == 0 && S_ISREG(status.st_mode);
    ssize_t len = regular ? read(fd, text, sizeof(text)) : 0;
    int sys = errno;
    close(fd);
    if (!regular) {
        return err_set(why, ERR_CONFIG, "the secret's file %s is not a regular file", path);
    }
    if (len < 0) {
        errno = sys;
        return err_sys(why, ERR_CONFIG, "the secret's file %s cannot be read", path);
    }
    size_t size = (size_t)len;
    size -= size > 0 && text[size - 1] == '\n';
    size -= size > 0 && size < (size_t)len && text[size - 1] == '\r';
    int result = 0;
    if (size == 0 || len == SECRET_MAX || memchr(text, '\0', size)) {
        result = err_set(why, ERR_CONFIG, "the secret's file %s is %s", path,
                         size == 0           ? "empty"
                         : len == SECRET_MAX ? "larger than 64 KiB"
                                             : "not text: it holds a NUL byte");
    } else {
        *secret = xstrdup_span(span_of(text, size));
    }
    explicit_bzero(text, sizeof(text));
    return result;
}

static int scan_secret(const struct option_context *context, const char *text, char **secret,
                       struct err *why) {
    if (strncmp(text, "file:", 5) != 0 || text[5] == '\0') {
        return err_set(why, ERR_CONFIG,
                       "a secret is not written into the configuration (what stands here is not "
                       "shown): put it into a file that only the service may read and name that");
    }
    char *path = option_read_path(context, text + 5);
    int result = read_secret(path, secret, why);
    free(path);
    return result;
}

static int scan_choice(const struct option *option, const char *text, int *index, struct err *why) {
    for (int i = 0; option->choices && option->choices[i]; i++) {
        if (strcmp(option->choices[i], text) == 0) {
            *index = i;
            return 0;
        }
    }
    const char *near = option->choices ? option_nearest(text, option->choices) : NULL;
    return near ? err_set(why, ERR_CONFIG, "did you mean \"%s\"?", near)
                : err_set(why, ERR_CONFIG, "%s", "");
}

static int scan_number(const struct option *option, const char *text, int64_t *number,
                       struct err *why) {
    int64_t value = 0;
    int result = option->type == OPTION_SIZE       ? option_scan_size(text, &value, why)
                 : option->type == OPTION_DURATION ? option_scan_duration(text, &value, why)
                 : option->type == OPTION_RATE     ? option_scan_rate(text, &value, why)
                                                   : option_scan_integer(text, &value, why);
    if (result < 0) {
        return -1;
    }
    bool unlimited = option->type == OPTION_RATE && value == 0;
    if (!unlimited && (value < option->min || (option->max != 0 && value > option->max))) {
        return err_set(why, ERR_CONFIG, value < option->min ? "too small" : "too large");
    }
    *number = value;
    return 0;
}

static int scan_cidr(const char *text, struct cidr *cidr, struct err *why) {
    if (strlen(text) > SHOWN_MAX) {
        return err_set(why, ERR_CONFIG, "much too long for an address");
    }
    if (cidr_parse(span_str(text), cidr, why) != 0) {
        *cidr = (struct cidr){0}; /* no family: what was wrong is no prefix of any kind */
        return -1;
    }
    return 0;
}

static int scan_time(const struct option *option, const char *text, int64_t *ms, struct err *why) {
    struct err no_choice;
    int choice;
    if (scan_choice(option, text, &choice, &no_choice) == 0) {
        *ms = -(int64_t)(choice + 1);
        return 0;
    }
    if (option_scan_time(text, ms, why) < 0) {
        return why->text[0] == '\0' ? err_set(why, ERR_CONFIG, "%s", no_choice.text) : -1;
    }
    return 0;
}

/* Texts, which are kept as they stand or as a path. */
static int scan_text(const struct option_context *context, const struct option *option,
                     const char *text, char **out, struct err *why) {
    if (option->type == OPTION_STRING && (text[0] != '\0' || !option->required)) {
        *out = xstrdup(text);
        return 0;
    }
    if (text[0] == '\0') {
        return err_set(why, ERR_CONFIG, "it must not be empty");
    }
    if (option->type == OPTION_URL && option_scan_url(text, why) < 0) {
        return -1;
    }
    *out = option->type == OPTION_READ_PATH    ? option_read_path(context, text)
           : option->type == OPTION_WRITE_PATH ? option_write_path(context, text)
                                               : xstrdup(text);
    return 0;
}

static int scan(const struct option_context *context, const struct option *option, const char *text,
                void *slot, struct err *why) {
    switch (option->type) {
    case OPTION_STRING:
    case OPTION_URL:
    case OPTION_READ_PATH:
    case OPTION_WRITE_PATH:
        return scan_text(context, option, text, slot, why);
    case OPTION_INTEGER:
    case OPTION_SIZE:
    case OPTION_DURATION:
    case OPTION_RATE:
        return scan_number(option, text, slot, why);
    case OPTION_BOOLEAN:
        return option_scan_boolean(text, slot, why);
    case OPTION_CIDR:
        return scan_cidr(text, slot, why);
    case OPTION_HOSTPORT:
        return option_scan_hostport(text, slot, why);
    case OPTION_SECRET:
        return scan_secret(context, text, slot, why);
    case OPTION_CHOICE:
        return scan_choice(option, text, slot, why);
    case OPTION_TIME:
        return scan_time(option, text, slot, why);
    case OPTION_STRINGS:
    case OPTION_NODE:
    case OPTION_GROUP:
        break; /* no scalars: the walk over the tables never asks */
    }
    return err_set(why, ERR_CONFIG, "a single text");
}

int option_value_parse(const struct option_context *context, const struct option *option,
                       const char *text, void *slot, struct err *err) {
    struct err why = {0};
    if (scan(context, option, text, slot, &why) == 0) {
        return 0;
    }
    /* A password in a URL is a secret as well; cidr_parse quotes the text in its reason. */
    bool hidden = option->type == OPTION_SECRET || option->type == OPTION_CIDR ||
                  (option->type == OPTION_URL && strchr(text, '@') != NULL);
    return refuse(option, hidden ? NULL : text, why.text, err);
}

void option_value_free(enum option_type type, void *slot) {
    char **text = slot;
    switch (type) {
    case OPTION_SECRET:
        if (*text) {
            explicit_bzero(*text, strlen(*text));
        }
        /* fall through */
    case OPTION_STRING:
    case OPTION_URL:
    case OPTION_READ_PATH:
    case OPTION_WRITE_PATH:
        free(*text);
        *text = NULL;
        break;
    case OPTION_HOSTPORT:
        free(((struct hostport *)slot)->host);
        ((struct hostport *)slot)->host = NULL;
        break;
    default:
        break;
    }
}

static int parse_plain(enum option_type type, const char *text, void *slot, struct err *err) {
    const struct option option = {.type = type};
    return option_value_parse(NULL, &option, text, slot, err);
}

int option_parse_size(const char *text, int64_t *bytes, struct err *err) {
    return parse_plain(OPTION_SIZE, text, bytes, err);
}

int option_parse_hostport(const char *text, struct hostport *out, struct err *err) {
    return parse_plain(OPTION_HOSTPORT, text, out, err);
}

int option_parse_time(const char *text, int64_t *ms, struct err *err) {
    return parse_plain(OPTION_TIME, text, ms, err);
}

static char *absolute(const char *dir, const char *path) {
    return path[0] == '/' || !dir ? xstrdup(path) : xasprintf("%s/%s", dir, path);
}

char *option_read_path(const struct option_context *context, const char *path) {
    return strcmp(path, "-") == 0 ? xstrdup(path) : absolute(context->read_dir, path);
}

char *option_write_path(const struct option_context *context, const char *path) {
    return absolute(context->write_dir, path);
}
