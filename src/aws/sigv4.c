/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See sigv4.h. The canonical request is written behind the end of the caller's buffer, hashed and
 * taken away again, so that signing needs no memory of its own. Nothing is decoded into a copy:
 * paths and queries are re-encoded byte by byte while they are compared and written.
 */
#include "aws/sigv4.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdbool.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define ALGORITHM "AWS4-HMAC-SHA256"

enum { PARAMETERS_MAX = 64, DIGEST_SIZE = 32, DAY_LEN = 8, DATE_LEN = SIGV4_DATE_SIZE - 1 };

struct parameter {
    struct span name, value;
};

struct digest {
    unsigned char bytes[DIGEST_SIZE];
};

void sigv4_format_date(int64_t unix_seconds, char out[SIGV4_DATE_SIZE]) {
    time_t seconds = unix_seconds;
    struct tm tm;
    memset(&tm, 0, sizeof(tm));
    gmtime_r(&seconds, &tm);
    if (strftime(out, SIGV4_DATE_SIZE, "%Y%m%dT%H%M%SZ", &tm) == 0) {
        out[0] = '\0';
    }
}

/* ---- percent-encoding ---- */

/* Gives the bytes of a text as they stand in a canonical request. */
struct encoder {
    struct span rest;
    bool decodes;    /* %41 in the text stands for 'A': it is encoded anew, not once more */
    bool keeps_path; /* a slash is one */
    int left;        /* digits of the last byte still to come */
    unsigned char byte;
};

static bool is_unreserved(unsigned char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '_' || c == '.' || c == '~';
}

static int hex_value(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that an escape at the start of `text` stands for; -1 when there is none. */
static int unescape(struct span text) {
    if (text.len < 3 || text.p[0] != '%') {
        return -1;
    }
    int high = hex_value(text.p[1]), low = hex_value(text.p[2]);
    return high < 0 || low < 0 ? -1 : high << 4 | low;
}

/* The next byte, -1 behind the last. */
static int encoder_next(struct encoder *encoder) {
    static const char digits[] = "0123456789ABCDEF";
    if (encoder->left > 0) {
        encoder->left--;
        return digits[encoder->left == 1 ? encoder->byte >> 4 : encoder->byte & 15];
    }
    if (encoder->rest.len == 0) {
        return -1;
    }
    int escaped = encoder->decodes ? unescape(encoder->rest) : -1;
    unsigned char c = escaped < 0 ? (unsigned char)encoder->rest.p[0] : (unsigned char)escaped;
    encoder->rest = span_skip(encoder->rest, escaped < 0 ? 1 : 3);
    if (is_unreserved(c) || (c == '/' && encoder->keeps_path && escaped < 0)) {
        return c;
    }
    encoder->byte = c;
    encoder->left = 2;
    return '%';
}

static void add_encoded(struct buf *out, struct encoder encoder) {
    for (int c = encoder_next(&encoder); c >= 0; c = encoder_next(&encoder)) {
        buf_char(out, (char)c);
    }
}

static struct encoder query_encoder(struct span text) {
    return (struct encoder){.rest = text, .decodes = true};
}

/* Order of the encoded forms, which is not that of the bytes they stand for. */
static int compare_encoded(struct span left, struct span right) {
    struct encoder a = query_encoder(left), b = query_encoder(right);
    int c, d;
    do {
        c = encoder_next(&a);
        d = encoder_next(&b);
    } while (c == d && c >= 0);
    return c - d;
}

/* ---- the canonical request ---- */

/* Goes back to the parent of what was written behind `start`. */
static void drop_segment(struct buf *out, size_t start) {
    while (out->len > start && out->data[--out->len] != '/') {
    }
}

/* Without empty and dot segments; a slash at the end stays one. */
static void add_normal_path(struct buf *out, struct span path) {
    size_t start = out->len;
    struct span rest = path, segment;
    while (span_cut(&rest, '/', &segment)) {
        if (span_eq(segment, SPAN(".."))) {
            drop_segment(out, start);
        } else if (segment.len > 0 && !span_eq(segment, SPAN("."))) {
            buf_char(out, '/');
            add_encoded(out, (struct encoder){.rest = segment});
        }
    }
    if (out->len == start || (path.len > 0 && path.p[path.len - 1] == '/')) {
        buf_char(out, '/');
    }
}

static void add_path(struct buf *out, const struct sigv4_request *request) {
    if (request->path_style == SIGV4_PATH_NORMAL) {
        add_normal_path(out, request->path);
    } else if (request->path.len == 0) {
        buf_char(out, '/');
    } else {
        struct encoder encoder = {.rest = request->path, .decodes = true, .keeps_path = true};
        add_encoded(out, encoder);
    }
}

static int compare_parameters(const struct parameter *a, const struct parameter *b) {
    int names = compare_encoded(a->name, b->name);
    return names ? names : compare_encoded(a->value, b->value);
}

static int add_query(struct buf *out, struct span query, struct err *err) {
    struct parameter sorted[PARAMETERS_MAX];
    size_t count = 0;
    struct span rest = query, part;
    while (span_cut(&rest, '&', &part)) {
        struct parameter one = {.value = part};
        if (part.len == 0) {
            continue;
        }
        if (count == PARAMETERS_MAX) {
            return err_set(err, ERR_CONFIG, "more than %d query parameters to sign",
                           PARAMETERS_MAX);
        }
        one.name = one.value;
        const char *equals = memchr(part.p, '=', part.len);
        one.name.len = equals ? (size_t)(equals - part.p) : part.len;
        one.value = span_skip(part, equals ? one.name.len + 1 : part.len);
        size_t at = count++;
        for (; at > 0 && compare_parameters(&sorted[at - 1], &one) > 0; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = one;
    }
    for (size_t i = 0; i < count; i++) {
        if (i > 0) {
            buf_char(out, '&');
        }
        add_encoded(out, query_encoder(sorted[i].name));
        buf_char(out, '=');
        add_encoded(out, query_encoder(sorted[i].value));
    }
    return 0;
}

static bool is_name(struct span name, const char *other) {
    return name.len == strlen(other) && strncasecmp(name.p, other, name.len) == 0;
}

/* Those that a proxy or the transport may change or add are not signed. */
static bool is_signed(struct span name) {
    static const char *const left_out[] = {
        "authorization", "connection",        "expect",  "keep-alive", "te",
        "trailer",       "transfer-encoding", "upgrade", "user-agent", "x-amzn-trace-id",
    };
    for (size_t i = 0; i < sizeof(left_out) / sizeof(left_out[0]); i++) {
        if (is_name(name, left_out[i])) {
            return false;
        }
    }
    return name.len < 6 || strncasecmp(name.p, "proxy-", 6) != 0;
}

static int compare_names(struct span a, struct span b) {
    int order = strncasecmp(a.p, b.p, a.len < b.len ? a.len : b.len);
    return order ? order : (a.len > b.len) - (a.len < b.len);
}

/* The signed headers by name; those of one name stay in their order. How many, or -1. */
static int sort_headers(const struct sigv4_request *request,
                        const struct http_header *sorted[HTTP_HEADERS_MAX], struct err *err) {
    int count = 0;
    for (size_t i = 0; i < request->header_count; i++) {
        const struct http_header *header = &request->headers[i];
        if (header->name.len == 0 || !is_signed(header->name)) {
            continue;
        }
        if (count == HTTP_HEADERS_MAX) {
            return err_set(err, ERR_CONFIG, "more than %d headers to sign", HTTP_HEADERS_MAX);
        }
        int at = count++;
        for (; at > 0 && compare_names(sorted[at - 1]->name, header->name) > 0; at--) {
            sorted[at] = sorted[at - 1];
        }
        sorted[at] = header;
    }
    return count;
}

static void add_lower(struct buf *out, struct span name) {
    for (size_t i = 0; i < name.len; i++) {
        char c = name.p[i];
        buf_char(out, c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c);
    }
}

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* Runs of blanks, also those of a folded line, become one. */
static void add_value(struct buf *out, struct span value) {
    struct span rest = span_trim(value);
    while (rest.len > 0) {
        size_t word = 0, blanks = 0;
        while (word < rest.len && !is_blank(rest.p[word])) {
            word++;
        }
        while (word + blanks < rest.len && is_blank(rest.p[word + blanks])) {
            blanks++;
        }
        buf_add(out, span_of(rest.p, word));
        buf_add(out, blanks > 0 ? SPAN(" ") : SPAN(""));
        rest = span_skip(rest, word + blanks);
    }
}

static void add_headers(struct buf *out, const struct http_header *const *sorted, int count) {
    for (int i = 0; i < count; i++) {
        bool repeats = i > 0 && compare_names(sorted[i - 1]->name, sorted[i]->name) == 0;
        if (repeats) {
            buf_char(out, ',');
        } else {
            buf_add(out, i > 0 ? SPAN("\n") : SPAN(""));
            add_lower(out, sorted[i]->name);
            buf_char(out, ':');
        }
        add_value(out, sorted[i]->value);
    }
    buf_char(out, '\n');
}

static void add_names(struct buf *out, const struct http_header *const *sorted, int count) {
    for (int i = 0; i < count; i++) {
        if (i > 0 && compare_names(sorted[i - 1]->name, sorted[i]->name) == 0) {
            continue;
        }
        buf_add(out, i > 0 ? SPAN(";") : SPAN(""));
        add_lower(out, sorted[i]->name);
    }
}

static void add_hex(struct buf *out, const struct digest *digest) {
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < DIGEST_SIZE; i++) {
        buf_char(out, digits[digest->bytes[i] >> 4]);
        buf_char(out, digits[digest->bytes[i] & 15]);
    }
}

static int hash(struct span text, struct digest *digest, struct err *err) {
    if (EVP_Digest(text.len ? text.p : "", text.len, digest->bytes, NULL, EVP_sha256(), NULL) !=
        1) {
        return err_set(err, ERR_STOP, "OpenSSL has no SHA-256");
    }
    return 0;
}

static struct span find_header(const struct sigv4_request *request, const char *name) {
    for (size_t i = 0; i < request->header_count; i++) {
        if (is_name(request->headers[i].name, name)) {
            return span_trim(request->headers[i].value);
        }
    }
    return span_of(NULL, 0);
}

static int add_body_hash(struct buf *out, const struct sigv4_request *request, struct err *err) {
    struct span given = find_header(request, "x-amz-content-sha256");
    struct digest digest;
    if (given.len > 0) {
        buf_add(out, given);
        return 0;
    }
    if (hash(request->body, &digest, err) < 0) {
        return -1;
    }
    add_hex(out, &digest);
    return 0;
}

static int no_room(struct err *err) {
    return err_set(err, ERR_CONFIG, "the request is too large to be signed");
}

int sigv4_canonical(const struct sigv4_request *request, struct buf *out, struct err *err) {
    const struct http_header *sorted[HTTP_HEADERS_MAX];
    int count = sort_headers(request, sorted, err);
    if (count < 0) {
        return -1;
    }
    buf_add(out, span_str(request->method));
    buf_char(out, '\n');
    add_path(out, request);
    buf_char(out, '\n');
    if (add_query(out, request->query, err) < 0) {
        return -1;
    }
    buf_char(out, '\n');
    add_headers(out, sorted, count);
    buf_char(out, '\n');
    add_names(out, sorted, count);
    buf_char(out, '\n');
    if (add_body_hash(out, request, err) < 0) {
        return -1;
    }
    return out->overflow ? no_room(err) : 0;
}

/* ---- the signature ---- */

/* Takes away what was written behind `start`: it may hold a session token. */
static void drop(struct buf *out, size_t start) {
    if (out->len > start) {
        explicit_bzero(out->data + start, out->len - start);
        out->len = start;
    }
}

static int find_date(const struct sigv4_request *request, struct span *date, struct err *err) {
    *date = find_header(request, "x-amz-date");
    if (date->len != DATE_LEN || date->p[DAY_LEN] != 'T' || date->p[DATE_LEN - 1] != 'Z') {
        return err_set(err, ERR_CONFIG, "a request to be signed has no good X-Amz-Date");
    }
    return 0;
}

static void add_scope(struct buf *out, struct span date, const struct sigv4_scope *scope) {
    buf_add(out, span_of(date.p, DAY_LEN));
    buf_char(out, '/');
    buf_add(out, span_str(scope->region));
    buf_char(out, '/');
    buf_add(out, span_str(scope->service));
    buf_add(out, SPAN("/aws4_request"));
}

static int canonical_hash(const struct sigv4_request *request, struct buf *scratch,
                          struct digest *digest, struct err *err) {
    size_t start = scratch->len;
    int made = sigv4_canonical(request, scratch, err);
    if (made == 0) {
        struct span text = span_of(scratch->data + start, scratch->len - start);
        made = hash(text, digest, err);
    }
    drop(scratch, start);
    return made;
}

int sigv4_string_to_sign(const struct sigv4_request *request, const struct sigv4_scope *scope,
                         struct buf *out, struct err *err) {
    struct span date;
    struct digest digest;
    if (find_date(request, &date, err) < 0 || canonical_hash(request, out, &digest, err) < 0) {
        return -1;
    }
    buf_add(out, SPAN(ALGORITHM "\n"));
    buf_add(out, date);
    buf_char(out, '\n');
    add_scope(out, date, scope);
    buf_char(out, '\n');
    add_hex(out, &digest);
    return out->overflow ? no_room(err) : 0;
}

static int keyed_hash(struct span key, struct span text, unsigned char out[DIGEST_SIZE],
                      struct err *err) {
    unsigned len = DIGEST_SIZE;
    if (!HMAC(EVP_sha256(), key.p, (int)key.len, (const unsigned char *)(text.len ? text.p : ""),
              text.len, out, &len)) {
        return err_set(err, ERR_STOP, "OpenSSL has no HMAC with SHA-256");
    }
    return 0;
}

static struct span key_span(const unsigned char *key) {
    return span_of((const char *)key, DIGEST_SIZE);
}

static bool is_kept(const struct sigv4_key *kept, struct span day, const struct sigv4_scope *scope,
                    const struct aws_keys *keys) {
    return memcmp(kept->day, day.p, DAY_LEN) == 0 && strcmp(kept->secret, keys->secret) == 0 &&
           strcmp(kept->region, scope->region) == 0 && strcmp(kept->service, scope->service) == 0;
}

/* Fills `kept` with the key of this day, scope and secret unless it is that already. */
static int derive_key(struct span day, const struct sigv4_scope *scope, const struct aws_keys *keys,
                      struct sigv4_key *kept, struct err *err) {
    char first[4 + AWS_SECRET_MAX] = "AWS4";
    unsigned char next[DIGEST_SIZE] = {0};
    if (is_kept(kept, day, scope, keys)) {
        return 0;
    }
    sigv4_key_wipe(kept);
    if (strlen(scope->region) >= SIGV4_SCOPE_MAX || strlen(scope->service) >= SIGV4_SCOPE_MAX) {
        return err_set(err, ERR_CONFIG, "the region %.80s is too long", scope->region);
    }
    strcpy(first + 4, keys->secret);
    struct span steps[] = {
        span_of(day.p, DAY_LEN),
        span_str(scope->region),
        span_str(scope->service),
        SPAN("aws4_request"),
    };
    int made = 0;
    for (int i = 0; i < 4 && made == 0; i++) {
        struct span key = i == 0 ? span_str(first) : key_span(kept->key);
        made = keyed_hash(key, steps[i], next, err);
        memcpy(kept->key, next, DIGEST_SIZE);
    }
    explicit_bzero(first, sizeof(first));
    explicit_bzero(next, sizeof(next));
    if (made < 0) {
        return -1;
    }
    memcpy(kept->day, day.p, DAY_LEN);
    strcpy(kept->region, scope->region);
    strcpy(kept->service, scope->service);
    strcpy(kept->secret, keys->secret);
    return 0;
}

static int add_authorization(const struct sigv4_request *request, const struct sigv4_scope *scope,
                             const char *access_id, const struct digest *signature, struct buf *out,
                             struct err *err) {
    const struct http_header *sorted[HTTP_HEADERS_MAX];
    int count = sort_headers(request, sorted, err);
    buf_add(out, SPAN(ALGORITHM " Credential="));
    buf_add(out, span_str(access_id));
    buf_char(out, '/');
    add_scope(out, find_header(request, "x-amz-date"), scope);
    buf_add(out, SPAN(", SignedHeaders="));
    add_names(out, sorted, count);
    buf_add(out, SPAN(", Signature="));
    add_hex(out, signature);
    return out->overflow ? no_room(err) : 0;
}

int sigv4_authorize_kept(const struct sigv4_request *request, const struct sigv4_scope *scope,
                         const struct aws_keys *keys, struct sigv4_key *kept, struct buf *out,
                         struct err *err) {
    struct sigv4_key own = {0};
    struct sigv4_key *key = kept ? kept : &own;
    struct span date;
    struct digest signature;
    size_t start = out->len;
    int made = sigv4_string_to_sign(request, scope, out, err);
    if (made == 0 && (made = find_date(request, &date, err)) == 0 &&
        (made = derive_key(date, scope, keys, key, err)) == 0) {
        struct span text = span_of(out->data + start, out->len - start);
        made = keyed_hash(key_span(key->key), text, signature.bytes, err);
    }
    drop(out, start);
    sigv4_key_wipe(&own);
    return made < 0 ? -1 : add_authorization(request, scope, keys->access_id, &signature, out, err);
}

int sigv4_authorize(const struct sigv4_request *request, const struct sigv4_scope *scope,
                    const struct aws_keys *keys, struct buf *out, struct err *err) {
    return sigv4_authorize_kept(request, scope, keys, NULL, out, err);
}
