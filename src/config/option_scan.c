/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The texts of single settings: numbers, sizes, durations, times, hosts, URLs. Pure functions from
 * text to value; each says, where it can guess, what was probably meant. What is allowed is added
 * by option_value.c.
 */
#include <stdlib.h>
#include <time.h>

#include "base/num.h"
#include "base/xalloc.h"
#include "config/option_value.h"

enum { HOST_MAX = 253, LABEL_MAX = 63 };

struct unit {
    const char *name;
    int64_t factor;
};

static const struct unit size_units[] = {
    {"", 1}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {NULL, 0}};

static const struct unit duration_units[] = {{"ms", 1},      {"s", 1000},     {"m", 60000},
                                             {"h", 3600000}, {"d", 86400000}, {NULL, 0}};

static int refuse(struct err *why, const char *reason) {
    return err_set(why, ERR_CONFIG, "%s", reason);
}

int option_scan_integer(const char *text, int64_t *value, struct err *why) {
    return num_parse_i64(span_str(text), value) ? 0 : refuse(why, "");
}

static bool is_one_of(const char *text, const char *const *words) {
    for (; *words; words++) {
        if (strcasecmp(text, *words) == 0) {
            return true;
        }
    }
    return false;
}

int option_scan_boolean(const char *text, bool *value, struct err *why) {
    static const char *const like_true[] = {"yes", "on", "y", "1", "true", NULL};
    static const char *const like_false[] = {"no", "off", "n", "0", "false", NULL};
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0) {
        *value = text[0] == 't';
        return 0;
    }
    return refuse(why, is_one_of(text, like_true)    ? "write true"
                       : is_one_of(text, like_false) ? "write false"
                                                     : "");
}

/* Digits and a unit: 0 and the value, or the reason in words. `unit` is what follows the digits. */
static int scan_with_unit(const char *text, const struct unit *units, int64_t *value,
                          const char **unit, struct err *why) {
    size_t digits = strspn(text, "0123456789");
    uint64_t number;
    *unit = text + digits;
    if (digits == 0) {
        return refuse(why, text[0] == '-' ? "it cannot be negative" : "");
    }
    if (!num_parse_u64(span_of(text, digits), INT64_MAX, &number)) {
        return refuse(why, text[0] == '0' ? "no leading zeros" : "that is too large");
    }
    for (; units->name; units++) {
        if (strcmp(units->name, *unit) == 0) {
            return __builtin_mul_overflow((int64_t)number, units->factor, value)
                       ? refuse(why, "that is too large")
                       : 0;
        }
    }
    return 1;
}

int option_scan_size(const char *text, int64_t *bytes, struct err *why) {
    const char *unit;
    int result = scan_with_unit(text, size_units, bytes, &unit, why);
    if (result <= 0) {
        return result;
    }
    size_t blanks = strspn(unit, " ");
    if (unit[0] == '.' || unit[0] == ',') {
        return refuse(why, "whole numbers only; take the next smaller unit");
    }
    if (unit[blanks] != '\0' && strchr("kKmMgG", unit[blanks])) {
        char letter = unit[blanks];
        return err_set(why, ERR_CONFIG, "write %.*s%ciB", (int)(unit - text), text,
                       letter >= 'a' ? letter - 'a' + 'A' : letter);
    }
    return refuse(why, unit[blanks] == 'B' || unit[blanks] == 'b' ? "bytes have no unit" : "");
}

int option_scan_duration(const char *text, int64_t *ms, struct err *why) {
    const char *unit;
    if (strcmp(text, "0") == 0) {
        *ms = 0;
        return 0;
    }
    int result = scan_with_unit(text, duration_units, ms, &unit, why);
    if (result <= 0) {
        return result;
    }
    if (unit[0] == '\0') {
        return refuse(why, "the unit is missing");
    }
    if (unit[0] == '.' || unit[0] == ',') {
        return refuse(why, "whole numbers only; take the next smaller unit");
    }
    if (strpbrk(unit, "0123456789")) {
        return refuse(why, "one number and one unit only");
    }
    return refuse(why, unit[0] == ' ' ? "no blank before the unit" : "no such unit");
}

int option_scan_rate(const char *text, int64_t *per_second, struct err *why) {
    if (strcmp(text, "unlimited") == 0) {
        *per_second = 0;
        return 0;
    }
    uint64_t number;
    if (!num_parse_u64(span_str(text), INT64_MAX, &number)) {
        return refuse(why, strchr(text, '/') ? "the number alone; it is per second" : "");
    }
    if (number == 0) {
        return refuse(why, "for no limit write unlimited");
    }
    *per_second = (int64_t)number;
    return 0;
}

/* Exactly `count` digits at *at, which moves behind them. */
static bool take_digits(const char **at, int count, int *value) {
    *value = 0;
    for (; count > 0; count--, (*at)++) {
        if (**at < '0' || **at > '9') {
            return false;
        }
        *value = *value * 10 + (**at - '0');
    }
    return true;
}

static bool take_char(const char **at, const char *set) {
    if (**at == '\0' || !strchr(set, **at)) {
        return false;
    }
    (*at)++;
    return true;
}

/* "Z" or "+hh:mm", to the end of the text. */
static bool take_zone(const char **at, int *minutes) {
    int hours, rest, sign = **at == '-' ? -1 : 1;
    *minutes = 0;
    if (take_char(at, "zZ")) {
        return **at == '\0';
    }
    if (!take_char(at, "+-") || !take_digits(at, 2, &hours) || !take_char(at, ":") ||
        !take_digits(at, 2, &rest) || hours > 23 || rest > 59) {
        return false;
    }
    *minutes = sign * (hours * 60 + rest);
    return **at == '\0';
}

/* Fractions of a second, of which milliseconds are kept. */
static bool take_fraction(const char **at, int *ms) {
    int factor = 100;
    *ms = 0;
    if (!take_char(at, ".")) {
        return true;
    }
    size_t digits = strspn(*at, "0123456789");
    for (size_t i = 0; i < digits; i++, factor /= 10) {
        *ms += ((*at)[i] - '0') * factor;
    }
    *at += digits;
    return digits > 0;
}

/* RFC 3339 section 5.6, date-time; no leap second, for no flow needs one. */
int option_scan_time(const char *text, int64_t *ms, struct err *why) {
    struct tm tm = {0};
    int fraction, zone;
    const char *at = text;
    if (!take_digits(&at, 4, &tm.tm_year) || !take_char(&at, "-") ||
        !take_digits(&at, 2, &tm.tm_mon) || !take_char(&at, "-") ||
        !take_digits(&at, 2, &tm.tm_mday)) {
        return refuse(why, "");
    }
    if (!take_char(&at, "Tt ") || !take_digits(&at, 2, &tm.tm_hour) || !take_char(&at, ":") ||
        !take_digits(&at, 2, &tm.tm_min) || !take_char(&at, ":") ||
        !take_digits(&at, 2, &tm.tm_sec) || !take_fraction(&at, &fraction) ||
        !take_zone(&at, &zone)) {
        return refuse(why, "a day, a time and a zone (Z or +01:00) are needed");
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    struct tm same = tm;
    int64_t seconds = timegm(&same); /* which turns a 31st of April into the 1st of May */
    if (same.tm_mon != tm.tm_mon || same.tm_mday != tm.tm_mday || same.tm_hour != tm.tm_hour ||
        same.tm_min != tm.tm_min || same.tm_sec != tm.tm_sec) {
        return refuse(why, "there is no such day or time");
    }
    if (seconds - zone * 60 < 0) {
        return refuse(why, "nothing before 1970");
    }
    *ms = (seconds - zone * 60) * 1000 + fraction;
    return 0;
}

static bool is_host_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_';
}

/* A name by the rules of DNS (and the underscore that people use), or an IPv4 address. */
static bool is_host_name(struct span host) {
    struct ipaddr addr;
    struct span rest = host, label;
    bool numeric = true;
    if (host.len == 0 || host.len > HOST_MAX) {
        return false;
    }
    while (span_cut(&rest, '.', &label)) {
        if (label.len == 0 || label.len > LABEL_MAX) {
            return false;
        }
        for (size_t i = 0; i < label.len; i++) {
            if (!is_host_char(label.p[i])) {
                return false;
            }
            numeric = numeric && label.p[i] >= '0' && label.p[i] <= '9';
        }
    }
    return !numeric || ipaddr_parse(host, &addr);
}

/* Cuts the host off *rest, without the brackets of an IPv6 address. */
static int cut_host(struct span *rest, struct span *host, struct err *why) {
    struct ipaddr addr;
    if (rest->len > 0 && rest->p[0] == '[') {
        const char *end = memchr(rest->p, ']', rest->len);
        *host = end ? span_of(rest->p + 1, (size_t)(end - rest->p) - 1) : span_of(NULL, 0);
        if (!end || !ipaddr_parse(*host, &addr) || addr.family != IPADDR_V6) {
            return refuse(why, "the brackets must hold an IPv6 address");
        }
        *rest = span_skip(*rest, host->len + 2);
        return 0;
    }
    const char *colon = memchr(rest->p, ':', rest->len);
    *host = span_of(rest->p, colon ? (size_t)(colon - rest->p) : rest->len);
    if (colon && memchr(colon + 1, ':', rest->len - host->len - 1)) {
        return refuse(why, "an IPv6 address stands in brackets: [2001:db8::1]:12201");
    }
    if (host->len == 0) {
        return refuse(why, "the host is missing");
    }
    *rest = span_skip(*rest, host->len);
    return is_host_name(*host) ? 0 : refuse(why, "that is no host name and no address");
}

/* ":port" and nothing behind it. */
static int scan_port(struct span rest, uint64_t *port, struct err *why) {
    if (rest.len < 2 || rest.p[0] != ':') {
        return refuse(why, "the port is missing");
    }
    if (!num_parse_u64(span_skip(rest, 1), UINT16_MAX, port) || *port == 0) {
        return refuse(why, "a port is a number from 1 to 65535");
    }
    return 0;
}

int option_scan_hostport(const char *text, struct hostport *out, struct err *why) {
    struct span rest = span_str(text), host;
    uint64_t port;
    if (strstr(text, "://")) {
        return refuse(why, "host and port only, without a scheme");
    }
    if (cut_host(&rest, &host, why) < 0 || scan_port(rest, &port, why) < 0) {
        return -1;
    }
    out->host = xstrdup_span(host);
    out->port = (uint16_t)port;
    return 0;
}

int option_scan_url(const char *text, struct err *why) {
    size_t scheme = strncmp(text, "http://", 7) == 0 ? 7 : 0;
    scheme = strncmp(text, "https://", 8) == 0 ? 8 : scheme;
    if (scheme == 0) {
        return refuse(why, "http:// or https:// is missing");
    }
    for (const char *c = text; *c; c++) {
        if ((unsigned char)*c <= ' ' || *c == 0x7f) {
            return refuse(why, "no blanks and no control characters");
        }
    }
    struct span rest = span_of(text + scheme, strcspn(text + scheme, "/?#")), host;
    uint64_t port;
    if (memchr(rest.p, '@', rest.len)) {
        return refuse(why, "no user and no password in a URL; there are settings for them");
    }
    if (cut_host(&rest, &host, why) < 0) {
        return -1;
    }
    return rest.len > 0 ? scan_port(rest, &port, why) : 0;
}
