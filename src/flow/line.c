/* SPDX-License-Identifier: Apache-2.0 */
/* See line.h. One pass finds the blanks and the bytes that need escaping, 64 bytes at a time as two
   bit masks; words are then cut at the bits. */
#include "flow/line.h"

#include <stdint.h>

#include "base/num.h"

#if defined(__SSE2__)
#    include <emmintrin.h>
#endif

enum { BLOCK = 64 };

struct block {
    uint64_t blanks; /* bit i: byte i is ' ' or tab */
    bool odd;        /* any is below 0x20 but no tab, '"', '\\', 0x80 or above */
};

/* Looks at BLOCK bytes. */
#if defined(__SSE2__)
/* Looks at 16 bytes: tells the blanks and adds to *odd. */
static inline uint64_t look_at_part(const char *p, __m128i *odd) {
    const __m128i blank = _mm_set1_epi8(' '), tab = _mm_set1_epi8('\t');
    const __m128i quote = _mm_set1_epi8('"'), escape = _mm_set1_epi8('\\');
    __m128i bytes = _mm_loadu_si128((const __m128i *)p);
    __m128i tabs = _mm_cmpeq_epi8(bytes, tab);
    /* As signed numbers, bytes of 0x80 and more lie below the blank too. */
    __m128i low = _mm_andnot_si128(tabs, _mm_cmpgt_epi8(blank, bytes));
    __m128i marks = _mm_or_si128(_mm_cmpeq_epi8(bytes, quote), _mm_cmpeq_epi8(bytes, escape));
    *odd = _mm_or_si128(*odd, _mm_or_si128(low, marks));
    return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_cmpeq_epi8(bytes, blank), tabs));
}

static inline struct block look_at_block(const char *p) {
    __m128i odd = _mm_setzero_si128();
    uint64_t blanks = look_at_part(p, &odd);
    blanks |= look_at_part(p + 16, &odd) << 16;
    blanks |= look_at_part(p + 32, &odd) << 32;
    blanks |= look_at_part(p + 48, &odd) << 48;
    return (struct block){blanks, _mm_movemask_epi8(odd) != 0};
}
#else
static inline struct block look_at_block(const char *p) {
    struct block block = {0, false};
    for (int i = 0; i < BLOCK; i++) {
        unsigned char c = (unsigned char)p[i];
        bool blank = c == ' ' || c == '\t';
        block.odd |= !blank && (c < 0x20 || c >= 0x80 || c == '"' || c == '\\');
        block.blanks |= (uint64_t)blank << i;
    }
    return block;
}
#endif

/* The last block of a text, which may be short: nothing behind the text is read. Where there is
   enough in front of it, that is read again and shifted out. */
static inline struct block look_at_rest(struct span text, size_t at) {
    size_t len = text.len - at;
    struct block block;
    if (text.len >= BLOCK) {
        block = look_at_block(text.p + text.len - BLOCK);
        block.blanks >>= BLOCK - len;
        return block;
    }
    char padded[BLOCK];
    memset(padded, ' ', sizeof(padded));
    memcpy(padded, text.p, len);
    block = look_at_block(padded);
    block.blanks &= (1ull << len) - 1;
    return block;
}

static inline struct block look_at(struct span text, size_t at) {
    return text.len - at >= BLOCK ? look_at_block(text.p + at) : look_at_rest(text, at);
}

/* Takes over the word in front of a blank, if there is one. */
static inline bool add_word(struct flow *flow, size_t *count, const char *start, const char *end) {
    size_t len = (size_t)(end - start);
    if (len == 0) {
        return true;
    }
    if (*count == FORMAT_COLUMNS_MAX) {
        return false;
    }
    flow->column[(*count)++] = span_of(start, len == 1 && *start == '-' ? 0 : len);
    return true;
}

int line_split(struct span line, struct flow *flow) {
    const char *start = line.p;
    size_t count = 0;
    bool odd = false;
    for (size_t at = 0; at < line.len; at += BLOCK) {
        struct block block = look_at(line, at);
        odd |= block.odd;
        for (uint64_t blanks = block.blanks; blanks != 0; blanks &= blanks - 1) {
            const char *blank = line.p + at + __builtin_ctzll(blanks);
            if (!add_word(flow, &count, start, blank)) {
                return -1;
            }
            start = blank + 1;
        }
    }
    flow->plain = !odd;
    return line.len == 0 || add_word(flow, &count, start, line.p + line.len) ? (int)count : -1;
}

bool line_is_plain(struct span text) {
    bool odd = false;
    for (size_t at = 0; at < text.len; at += BLOCK) {
        odd |= look_at(text, at).odd;
    }
    return !odd;
}

/* A part of the flow, by the offset that a check tells. */
static inline void *place_of(struct flow *flow, size_t offset) {
    return (char *)flow + offset;
}

static enum flow_status status_of(struct span text) {
    return span_eq(text, SPAN("OK"))         ? STATUS_OK
           : span_eq(text, SPAN("NODATA"))   ? STATUS_NODATA
           : span_eq(text, SPAN("SKIPDATA")) ? STATUS_SKIPDATA
                                             : STATUS_OTHER;
}

static enum flow_direction direction_of(struct span text) {
    return span_eq(text, SPAN("ingress"))  ? DIRECTION_INGRESS
           : span_eq(text, SPAN("egress")) ? DIRECTION_EGRESS
                                           : DIRECTION_NONE;
}

static enum flow_action action_of(struct span text) {
    return span_eq(text, SPAN("ACCEPT"))   ? ACTION_ACCEPT
           : span_eq(text, SPAN("REJECT")) ? ACTION_REJECT
                                           : ACTION_NONE;
}

static inline bool is_interface(struct span text) {
    static const uint8_t is_id_char[256] = {
        ['0' ... '9'] = 1, ['A' ... 'Z'] = 1, ['a' ... 'z'] = 1, ['-'] = 1, ['.'] = 1};
    if (text.len < 5 || memcmp(text.p, "eni-", 4) != 0) {
        return false;
    }
    uint8_t all = 1;
    for (size_t i = 4; i < text.len; i++) {
        all &= is_id_char[(uint8_t)text.p[i]];
    }
    return all;
}

static inline bool take_value(struct flow *flow, const struct check *check, struct span text) {
    uint64_t number = 0;
    bool fits = true;
    switch ((enum check_kind)check->kind) {
    case CHECK_NUMBER:
        return num_parse_u64(text, INT64_MAX, &number);
    case CHECK_TIME:
        fits = num_parse_u64(text, INT64_MAX, &number);
        *(int64_t *)place_of(flow, check->offset) = (int64_t)number;
        return fits;
    case CHECK_PORT:
        fits = num_parse_u64(text, UINT16_MAX, &number);
        *(uint16_t *)place_of(flow, check->offset) = (uint16_t)number;
        return fits;
    case CHECK_BYTE:
        fits = num_parse_u64(text, UINT8_MAX, &number);
        *(uint8_t *)place_of(flow, check->offset) = (uint8_t)number;
        return fits;
    case CHECK_ADDRESS:
        return ipaddr_parse(text, place_of(flow, check->offset));
    case CHECK_VERDICT:
        flow->action = action_of(text);
        return flow->action != ACTION_NONE;
    case CHECK_INTERFACE:
        return is_interface(text);
    case CHECK_STATUS:
        flow->status = status_of(text);
        return true;
    case CHECK_DIRECTION:
        flow->direction = direction_of(text);
        return true;
    }
    return false;
}

int line_fit(const struct format *format, size_t count, struct flow *flow) {
    if (count != format->count) {
        return -1;
    }
    unsigned has = format->has;
    flow->action = flow->status = flow->direction = flow->role = 0;
    const struct check *end = format->checks + format->check_count;
    for (const struct check *check = format->checks; check < end; check++) {
        const struct span *text = place_of(flow, check->column);
        if (text->len == 0) {
            has &= ~(unsigned)check->has;
        } else if (!take_value(flow, check, *text)) {
            return -1;
        }
    }
    flow->has = (uint16_t)has;
    flow->format = format;
    return 0;
}

int line_parse(const struct format *format, struct span line, struct flow *flow) {
    int count = line_split(line, flow);
    return count > 0 ? line_fit(format, (size_t)count, flow) : -1;
}
