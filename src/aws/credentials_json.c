/* SPDX-License-Identifier: Apache-2.0 */
/* What credential_process, container and instance metadata answer: a small JSON object. Its bytes
   are secrets, so messages name fields and never show them. */
#include <time.h>

#include "aws/credentials_source.h"
#include "base/json_read.h"

enum { CODE_MAX = 64 };

bool source_is_header(struct span text) {
    for (size_t i = 0; i < text.len; i++) {
        if ((unsigned char)text.p[i] < ' ' || text.p[i] == '\x7F') {
            return false;
        }
    }
    return true;
}

int keys_set_part(char *out, size_t size, struct span part, const char *what, struct err *err) {
    if (part.len == 0) {
        return err_set(err, ERR_RETRY, "%s is missing or empty", what);
    }
    if (part.len >= size) {
        return err_set(err, ERR_RETRY, "%s is longer than %zu bytes", what, size - 1);
    }
    if (!source_is_header(part)) {
        return err_set(err, ERR_RETRY, "%s has control characters", what);
    }
    memcpy(out, part.p, part.len);
    out[part.len] = '\0';
    return 0;
}

/* Exactly `count` digits at the start of *text, which are cut off. */
static bool take_digits(struct span *text, size_t count, int *number) {
    *number = 0;
    if (text->len < count) {
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (text->p[i] < '0' || text->p[i] > '9') {
            return false;
        }
        *number = *number * 10 + (text->p[i] - '0');
    }
    *text = span_skip(*text, count);
    return true;
}

static bool take_char(struct span *text, const char *allowed) {
    if (text->len == 0 || text->p[0] == '\0' || !strchr(allowed, text->p[0])) {
        return false;
    }
    *text = span_skip(*text, 1);
    return true;
}

/* ".5", to the millisecond. */
static bool take_fraction(struct span *text, int *millis) {
    int digit, unit = 100;
    *millis = 0;
    if (!take_char(text, ".,")) {
        return true;
    }
    if (!take_digits(text, 1, &digit)) {
        return false;
    }
    do {
        *millis += unit * digit;
        unit /= 10;
    } while (take_digits(text, 1, &digit));
    return true;
}

/* "Z", "+01:00", "-0130" */
static bool take_zone(struct span *text, int *minutes) {
    int hours, rest;
    *minutes = 0;
    if (take_char(text, "Zz")) {
        return true;
    }
    bool is_west = text->len > 0 && text->p[0] == '-';
    if (!take_char(text, "+-") || !take_digits(text, 2, &hours)) {
        return false;
    }
    take_char(text, ":");
    if (!take_digits(text, 2, &rest) || hours > 14 || rest > 59) {
        return false;
    }
    *minutes = (is_west ? -1 : 1) * (60 * hours + rest);
    return true;
}

/* Seconds since 1970, if there is such a moment. */
static bool to_seconds(struct tm tm, int64_t *seconds) {
    struct tm same = tm;
    if (tm.tm_sec == 60) {
        same.tm_sec = tm.tm_sec = 59; /* a leap second */
    }
    *seconds = timegm(&same); /* which turns a 31st of April into the 1st of May */
    return same.tm_mday == tm.tm_mday && same.tm_mon == tm.tm_mon && same.tm_hour == tm.tm_hour &&
           same.tm_min == tm.tm_min && same.tm_sec == tm.tm_sec;
}

bool keys_parse_time(struct span text, int64_t *ms) {
    struct tm tm = {0};
    int millis, minutes;
    int64_t seconds;
    text = span_trim(text);
    if (!take_digits(&text, 4, &tm.tm_year) || !take_char(&text, "-") ||
        !take_digits(&text, 2, &tm.tm_mon) || !take_char(&text, "-") ||
        !take_digits(&text, 2, &tm.tm_mday) || !take_char(&text, "Tt ") ||
        !take_digits(&text, 2, &tm.tm_hour) || !take_char(&text, ":") ||
        !take_digits(&text, 2, &tm.tm_min) || !take_char(&text, ":") ||
        !take_digits(&text, 2, &tm.tm_sec) || !take_fraction(&text, &millis) ||
        !take_zone(&text, &minutes) || text.len > 0) {
        return false;
    }
    tm.tm_year -= 1900;
    tm.tm_mon -= 1;
    if (tm.tm_mon < 0 || !to_seconds(tm, &seconds)) {
        return false;
    }
    *ms = (seconds - 60 * minutes) * 1000 + millis;
    return true;
}

/* The members that count, of any of the shapes. */
struct parts {
    struct span access_id, secret, token, expiration, code;
    bool has_version_1;
};

static void take_member(struct json_read *read, enum json_token token, enum keys_shape shape,
                        struct parts *parts) {
    const struct {
        struct span key, *value;
    } texts[] = {
        {SPAN("AccessKeyId"), &parts->access_id},
        {SPAN("SecretAccessKey"), &parts->secret},
        {shape == KEYS_OF_PROCESS ? SPAN("SessionToken") : SPAN("Token"), &parts->token},
        {SPAN("Expiration"), &parts->expiration},
        {SPAN("Code"), &parts->code},
    };
    struct span key = json_key(read);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]) && token == TOKEN_STRING; i++) {
        if (span_eq(key, texts[i].key)) {
            *texts[i].value = json_text(read);
        }
    }
    if (token == TOKEN_NUMBER && span_eq(key, SPAN("Version"))) {
        parts->has_version_1 = span_eq(read->text, SPAN("1"));
    }
}

static int read_parts(char *text, size_t len, enum keys_shape shape, struct parts *parts,
                      struct err *err) {
    struct json_read read;
    json_read_init(&read, text, len);
    if (json_next(&read) != TOKEN_OBJECT) {
        return err_set(err, ERR_RETRY, "the answer is no JSON object");
    }
    enum json_token token;
    while ((token = json_next(&read)) != TOKEN_OBJECT_END) {
        if (token == TOKEN_ERROR) {
            return err_set(err, ERR_RETRY, "the answer is no good JSON: %s", read.error);
        }
        take_member(&read, token, shape, parts);
        if (!json_skip(&read, token)) {
            return err_set(err, ERR_RETRY, "the answer is no good JSON: %s", read.error);
        }
    }
    if (json_next(&read) != TOKEN_END) {
        return err_set(err, ERR_RETRY, "the answer has something behind its JSON object");
    }
    return 0;
}

/* A code other than Success, shown only if it looks like one. */
static int refuse_code(struct span code, struct err *err) {
    for (size_t i = 0; i < code.len; i++) {
        char c = code.p[i] | 0x20;
        if (code.len > CODE_MAX || c < 'a' || c > 'z') {
            return err_set(err, ERR_RETRY, "the answer's Code is not Success");
        }
    }
    return err_set(err, ERR_RETRY, "the answer's Code is %.*s", SPAN_ARG(code));
}

static int take_parts(const struct parts *parts, struct aws_keys *keys, struct err *err) {
    keys->token[0] = '\0';
    keys->expires_ms = INT64_MAX;
    if (keys_set_part(keys->access_id, sizeof(keys->access_id), parts->access_id, "AccessKeyId",
                      err) != 0 ||
        keys_set_part(keys->secret, sizeof(keys->secret), parts->secret, "SecretAccessKey", err) !=
            0) {
        return -1;
    }
    if (parts->token.len > 0 && keys_set_part(keys->token, sizeof(keys->token), parts->token,
                                              "the session token", err) != 0) {
        return -1;
    }
    if (parts->expiration.len > 0 && !keys_parse_time(parts->expiration, &keys->expires_ms)) {
        return err_set(err, ERR_RETRY, "Expiration is no time of ISO 8601");
    }
    return 0;
}

int keys_parse_json(char *text, size_t len, enum keys_shape shape, struct aws_keys *keys,
                    struct err *err) {
    struct parts parts = {0};
    if (read_parts(text, len, shape, &parts, err) != 0) {
        return -1;
    }
    if (shape == KEYS_OF_PROCESS && !parts.has_version_1) {
        return err_set(err, ERR_RETRY, "the answer's Version is not 1");
    }
    if (shape == KEYS_OF_ENDPOINT && parts.code.len > 0 && !span_eq(parts.code, SPAN("Success"))) {
        return refuse_code(parts.code, err);
    }
    return take_parts(&parts, keys, err);
}
