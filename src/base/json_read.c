/* SPDX-License-Identifier: Apache-2.0 */
/* See json_read.h. Most of the bytes of a payload stand in strings without escapes, so those are
   passed over 16 at a time; all else is read byte by byte. */
#include "base/json_read.h"

#include "base/num.h"
#include "base/utf8.h"

#if defined(__SSE2__)
#    include <emmintrin.h>
#endif

void json_read_init(struct json_read *read, char *text, size_t len) {
    /* No text may be NULL, to which C adds nothing. */
    *read = (struct json_read){.p = text, .end = len > 0 ? text + len : text, .value = text};
}

static enum json_token refuse(struct json_read *read, const char *what) {
    read->error = what;
    return TOKEN_ERROR;
}

static inline void skip_blanks(struct json_read *read) {
    char *p = read->p;
    while (p < read->end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) {
        p++;
    }
    read->p = p;
}

static bool is_plain(signed char c) {
    return c >= 0x20 && c != '"' && c != '\\';
}

/* Where in a string the first byte stands that does not stand for itself; `end` without one. */
static inline char *find_odd_byte(char *p, char *end) {
    while (p < end && is_plain((signed char)*p)) {
        p++;
    }
    return p;
}

#if defined(__SSE2__)
static inline char *find_odd(char *p, char *end) {
    const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\');
    const __m128i blank = _mm_set1_epi8(' ');
    for (; end - p >= 16; p += 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)p);
        /* As signed numbers, bytes of 0x80 and more lie below the blank too. */
        __m128i odd =
            _mm_or_si128(_mm_cmpgt_epi8(blank, bytes),
                         _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, escape)));
        unsigned mask = (unsigned)_mm_movemask_epi8(odd);
        if (mask) {
            return p + __builtin_ctz(mask);
        }
    }
    return find_odd_byte(p, end);
}
#else
static inline char *find_odd(char *p, char *end) {
    return find_odd_byte(p, end);
}
#endif

/* The number of four hexadecimal digits at p; -1 when they are none. */
static int hex4(const char *p, const char *end) {
    int value = 0;
    if (end - p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        char c = p[i];
        int digit = c >= '0' && c <= '9'   ? c - '0'
                    : c >= 'a' && c <= 'f' ? c - 'a' + 10
                    : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                           : -1;
        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

/* The character that the escape at p ("\n", "\u00e9", a surrogate pair) stands for, and its length
   in *size; -1 when it is none. */
static int32_t escape_at(const char *p, const char *end, size_t *size) {
    static const char names[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    *size = 2;
    if (end - p < 2) {
        return -1;
    }
    if (p[1] != 'u') {
        const char *name = p[1] ? strchr(names, p[1]) : NULL;
        return name ? meant[name - names] : -1;
    }
    *size = 6;
    int high = hex4(p + 2, end);
    if (high < 0xD800 || high > 0xDFFF) {
        return high;
    }
    *size = 12;
    bool paired = high < 0xDC00 && end - p >= 12 && p[6] == '\\' && p[7] == 'u';
    int low = paired ? hex4(p + 8, end) : -1;
    return low >= 0xDC00 && low <= 0xDFFF ? 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00) : -1;
}

/* Passes over one character that does not stand for itself, or needs a look. */
static bool skip_odd(struct json_read *read, bool *escaped) {
    size_t size = 0;
    if (*read->p == '\\') {
        *escaped = true;
        int32_t c = escape_at(read->p, read->end, &size);
        if (c < 0 || (c == 0 && !read->values_as_they_are)) {
            return false;
        }
    } else if ((unsigned char)*read->p >= 0x20) {
        size = utf8_char(read->p, (size_t)(read->end - read->p));
    }
    read->p += size;
    return size > 0;
}

/* Goes on with a string at its first byte that does not stand for itself. */
static bool read_odd_string(struct json_read *read, bool *escaped) {
    while (read->p < read->end && *read->p != '"') {
        if (!skip_odd(read, escaped)) {
            refuse(read, "a string holds what it may not: a bad escape, a control character, bytes "
                         "that are not UTF-8");
            return false;
        }
        read->p = find_odd(read->p, read->end);
    }
    if (read->p == read->end) {
        refuse(read, "a string has no end");
        return false;
    }
    return true;
}

/* Reads a string whose opening quote stands at p. */
static inline bool read_string(struct json_read *read, struct span *text, bool *escaped) {
    char *start = read->p + 1;
    *escaped = false;
    read->p = find_odd(start, read->end);
    if ((read->p == read->end || *read->p != '"') && !read_odd_string(read, escaped)) {
        return false;
    }
    *text = span_of(start, (size_t)(read->p - start));
    read->p++;
    return true;
}

static size_t put_utf8(int32_t c, char *out) {
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t more = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    for (size_t i = more; i > 0; i--, c >>= 6) {
        out[i] = (char)(0x80 | (c & 0x3F));
    }
    out[0] = (char)((0xFF00 >> (more + 1)) | c);
    return more + 1;
}

/* Unescapes a string that was read, so holds only good escapes. It never grows. */
static struct span unescape(struct span raw) {
    char *out = (char *)raw.p;
    const char *end = raw.p + raw.len;
    for (const char *p = raw.p; p < end;) {
        if (*p != '\\') {
            *out++ = *p++;
            continue;
        }
        size_t size;
        int32_t c = escape_at(p, end, &size);
        p += size;
        out += put_utf8(c, out);
    }
    return span_of(raw.p, (size_t)(out - raw.p));
}

struct span json_key(struct json_read *read) {
    if (read->key_escaped) {
        read->key = unescape(read->key);
        read->key_escaped = false;
    }
    return read->key;
}

struct span json_text(struct json_read *read) {
    if (read->text_escaped) {
        read->text = unescape(read->text);
        read->text_escaped = false;
    }
    return read->text;
}

static size_t count_digits(const struct json_read *read) {
    const char *p = read->p;
    uint64_t number;
    while (read->end - p >= 8 && num_eight_digits(num_load_eight(p), &number)) {
        p += 8;
    }
    while (p < read->end && *p >= '0' && *p <= '9') {
        p++;
    }
    return (size_t)(p - read->p);
}

/* The exponent behind a number, 0 without one; so large a one as no double has stays large. */
static bool read_exponent(struct json_read *read, long *exponent) {
    *exponent = 0;
    if (read->p == read->end || (*read->p != 'e' && *read->p != 'E')) {
        return true;
    }
    read->p++;
    bool negative = read->p < read->end && *read->p == '-';
    if (read->p < read->end && (*read->p == '-' || *read->p == '+')) {
        read->p++;
    }
    size_t digits = count_digits(read);
    for (size_t i = 0; i < digits; i++) {
        *exponent = *exponent < 100000000 ? *exponent * 10 + (read->p[i] - '0') : *exponent;
    }
    *exponent = negative ? -*exponent : *exponent;
    read->p += digits;
    return digits > 0;
}

/* Whether a number of these parts is 10^308 or more, about where doubles end. */
static bool is_too_large(struct span whole, struct span fraction, long exponent) {
    long position = (long)whole.len;
    struct span digits = whole;
    if (whole.p[0] == '0') {
        position = 0;
        digits = fraction;
    }
    while (digits.len > 0 && digits.p[0] == '0') {
        digits = span_skip(digits, 1);
        position--;
    }
    return digits.len > 0 && position + exponent > 308;
}

static enum json_token read_number(struct json_read *read) {
    char *start = read->p;
    read->p += *read->p == '-';
    struct span whole = span_of(read->p, count_digits(read)), fraction = {NULL, 0};
    if (whole.len == 0 || (whole.p[0] == '0' && whole.len > 1)) {
        return refuse(read, "a number is written wrongly");
    }
    read->p += whole.len;
    bool is_real = false;
    if (read->p < read->end && *read->p == '.') {
        is_real = true;
        read->p++;
        fraction = span_of(read->p, count_digits(read));
        read->p += fraction.len;
    }
    long exponent;
    const char *before = read->p;
    if ((is_real && fraction.len == 0) || !read_exponent(read, &exponent)) {
        return refuse(read, "a number is written wrongly");
    }
    is_real = is_real || read->p > before;
    read->text = span_of(start, (size_t)(read->p - start));
    int64_t number;
    if (read->values_as_they_are) {
        return TOKEN_NUMBER;
    }
    if (is_real ? is_too_large(whole, fraction, exponent)
                : whole.len > 18 && !num_parse_i64(read->text, &number)) {
        return refuse(read, "a number is too large");
    }
    return TOKEN_NUMBER;
}

static enum json_token read_word(struct json_read *read) {
    static const struct {
        struct span text;
        enum json_token token;
    } words[] = {{{"true", 4}, TOKEN_TRUE}, {{"false", 5}, TOKEN_FALSE}, {{"null", 4}, TOKEN_NULL}};
    size_t len = 0;
    while (len < (size_t)(read->end - read->p) &&
           ((read->p[len] | 0x20) >= 'a' && (read->p[len] | 0x20) <= 'z')) {
        len++;
    }
    read->text = span_of(read->p, len);
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (span_eq(read->text, words[i].text)) {
            read->p += len;
            return words[i].token;
        }
    }
    return refuse(read, "something that is no value");
}

static enum json_token open_nested(struct json_read *read, bool is_object) {
    if (read->depth == JSON_DEPTH_MAX) {
        return refuse(read, "nested too deep");
    }
    uint64_t bit = 1ull << read->depth++;
    read->is_object = is_object ? read->is_object | bit : read->is_object & ~bit;
    read->first = true;
    read->p++;
    return is_object ? TOKEN_OBJECT : TOKEN_ARRAY;
}

static enum json_token read_value(struct json_read *read) {
    read->text_escaped = false;
    read->value = read->p;
    if (read->p == read->end) {
        return refuse(read, "cut short");
    }
    switch (*read->p) {
    case '{':
        return open_nested(read, true);
    case '[':
        return open_nested(read, false);
    case '"':
        return read_string(read, &read->text, &read->text_escaped) ? TOKEN_STRING : TOKEN_ERROR;
    case '-':
    case '0':
    case '1' ... '9':
        return read_number(read);
    default:
        return read_word(read);
    }
}

/* Reads a member's name and the colon behind it. */
static bool read_key(struct json_read *read) {
    if (read->p == read->end || *read->p != '"') {
        refuse(read, "a member has no name");
        return false;
    }
    if (!read_string(read, &read->key, &read->key_escaped)) {
        return false;
    }
    skip_blanks(read);
    if (read->p == read->end || *read->p != ':') {
        refuse(read, "a colon is missing");
        return false;
    }
    read->p++;
    skip_blanks(read);
    return true;
}

enum json_token json_next(struct json_read *read) {
    if (read->error) {
        return TOKEN_ERROR;
    }
    skip_blanks(read);
    if (read->depth == 0) {
        return read->p == read->end ? TOKEN_END : read_value(read);
    }
    if (read->p == read->end) {
        return refuse(read, "cut short");
    }
    bool in_object = read->is_object >> (read->depth - 1) & 1;
    if (*read->p == (in_object ? '}' : ']')) {
        read->p++;
        read->depth--;
        read->first = false;
        return in_object ? TOKEN_OBJECT_END : TOKEN_ARRAY_END;
    }
    if (!read->first) {
        if (*read->p != ',') {
            return refuse(read, "a comma is missing");
        }
        read->p++;
        skip_blanks(read);
    }
    read->first = false;
    if (in_object && !read_key(read)) {
        return TOKEN_ERROR;
    }
    return read_value(read);
}

bool json_skip(struct json_read *read, enum json_token token) {
    if (token == TOKEN_OBJECT || token == TOKEN_ARRAY) {
        for (int outside = read->depth - 1; read->depth > outside;) {
            if (json_next(read) == TOKEN_ERROR) {
                return false;
            }
        }
    }
    return token != TOKEN_ERROR;
}
