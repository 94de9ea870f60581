/* SPDX-License-Identifier: Apache-2.0 */
/* See ipaddr.h. IPv4 is parsed here, because every flow has two; IPv6 by the C library. */
#include "base/ipaddr.h"

#include <arpa/inet.h>
#include <endian.h>
#include <string.h>

#include "base/num.h"

static void set_v4(struct ipaddr *addr, uint32_t network_order) {
    addr->halves[0] = 0;
    addr->words[2] = htonl(0xffff);
    addr->words[3] = network_order;
    addr->family = IPADDR_V4;
}

struct ipaddr ipaddr_v4(uint32_t host_order) {
    struct ipaddr addr;
    set_v4(&addr, htonl(host_order));
    return addr;
}

/* Bit i for byte i (the lowest is 0) that is a dot. False when one is neither dot nor digit. */
static inline bool find_dots(uint64_t text, unsigned *dots) {
    const uint64_t ones = UINT64_MAX / 255, highs = ones * 0x80;
    /* No byte carries into the next as long as all are below 0x80, which is seen to first. A high
       bit is then clear for a dot, for what lies below '0', for what lies below ':'. */
    uint64_t not_dot = (text ^ ones * '.') + ones * 0x7F;
    uint64_t from_zero = text + ones * (0x80 - '0');
    uint64_t from_colon = text + ones * (0x80 - ':');
    *dots = (unsigned)(((~not_dot & highs) >> 7) * 0x0102040810204080 >> 56);
    return ((text | (not_dot & (~from_zero | from_colon))) & highs) == 0;
}

/* The number that stands in bytes `start` to `end` of digits; more than 255 when it is none that an
   octet may be, such as one with a leading zero, which some read as octal. */
static inline unsigned read_octet(const char *p, unsigned start, unsigned end) {
    /* By count of digits: what the first and the middle one are worth, the least that is written
       so, and what '0' adds for being no 0. A missing middle digit is one of the others read twice,
       at no value: that is quicker than to guess the count. */
    static const struct {
        uint16_t first, middle, least, zeros;
    } worth[4] = {{0, 0, 0, 0}, {0, 0, 0, '0'}, {10, 0, 10, 11 * '0'}, {100, 10, 100, 111 * '0'}};
    unsigned count = end - start;
    if (count - 1 > 2) {
        return 256;
    }
    unsigned octet = (unsigned char)p[start] * worth[count].first +
                     (unsigned char)p[start + count / 2] * worth[count].middle +
                     (unsigned char)p[end - 1] - worth[count].zeros;
    return octet < worth[count].least ? 256 : octet;
}

/* Bit i for byte i that is a dot, as find_dots, of a text of seven to 15 bytes. */
static inline bool find_all_dots(struct span text, unsigned *dots) {
    unsigned tail_dots;
    uint64_t head = UINT64_MAX / 255 * '0';
    if (text.len < 8) {
        memcpy(&head, text.p, 7);
        return find_dots(le64toh(head), dots);
    }
    if (!find_dots(num_load_eight(text.p), dots) ||
        !find_dots(num_load_eight(text.p + text.len - 8), &tail_dots)) {
        return false;
    }
    *dots |= tail_dots << (text.len - 8);
    return true;
}

/* Dots are found eight bytes at a time, then each octet is read without a look at its length. */
static bool parse_v4(struct span text, struct ipaddr *addr) {
    unsigned dots;
    if (text.len < 7 || text.len > 15 || !find_all_dots(text, &dots)) {
        return false;
    }
    unsigned but_one = dots & (dots - 1), but_two = but_one & (but_one - 1);
    if (but_two == 0 || (but_two & (but_two - 1)) != 0) {
        return false;
    }
    unsigned first = (unsigned)__builtin_ctz(dots), second = (unsigned)__builtin_ctz(but_one);
    unsigned third = (unsigned)__builtin_ctz(but_two);
    unsigned a = read_octet(text.p, 0, first), b = read_octet(text.p, first + 1, second);
    unsigned c = read_octet(text.p, second + 1, third);
    unsigned d = read_octet(text.p, third + 1, (unsigned)text.len);
    if ((a | b | c | d) > 255) {
        return false;
    }
    set_v4(addr, htonl(a << 24 | b << 16 | c << 8 | d));
    return true;
}

static bool parse_v6(struct span text, struct ipaddr *addr) {
    char copy[IPADDR_TEXT_MAX];
    if (text.len >= sizeof(copy) || memchr(text.p, '\0', text.len)) {
        return false;
    }
    memcpy(copy, text.p, text.len);
    copy[text.len] = '\0';
    addr->family = IPADDR_V6;
    return inet_pton(AF_INET6, copy, addr->bytes) == 1;
}

bool ipaddr_parse(struct span text, struct ipaddr *addr) {
    if (text.len < 2) {
        return false;
    }
    if (parse_v4(text, addr)) {
        return true;
    }
    return memchr(text.p, ':', text.len) && parse_v6(text, addr);
}

static size_t format_v4(const uint8_t *octets, char *out) {
    char *p = out;
    for (int i = 0; i < 4; i++) {
        if (i > 0) {
            *p++ = '.';
        }
        p += num_format_u64(octets[i], p);
    }
    return (size_t)(p - out);
}

size_t ipaddr_format(const struct ipaddr *addr, char *out) {
    if (addr->family == IPADDR_V4) {
        return format_v4(addr->bytes + 12, out);
    }
    char text[INET6_ADDRSTRLEN];
    inet_ntop(AF_INET6, addr->bytes, text, sizeof(text));
    size_t len = strlen(text);
    memcpy(out, text, len);
    return len;
}

/* How many of the 128 bits count, whatever the family. */
static unsigned significant_bits(const struct cidr *cidr) {
    return cidr->bits + (cidr->addr.family == IPADDR_V4 ? IPADDR_MAPPED_BITS : 0);
}

static void clear_behind(struct ipaddr *addr, unsigned bits) {
    for (unsigned i = 0; i < 16; i++) {
        unsigned kept = bits > i * 8 ? bits - i * 8 : 0;
        if (kept < 8) {
            addr->bytes[i] &= (uint8_t)(0xff00 >> kept);
        }
    }
}

/* Address and length, whatever stands behind the prefix. */
static int parse_parts(struct span text, struct cidr *cidr, struct err *err) {
    const char *slash = text.len ? memchr(text.p, '/', text.len) : NULL;
    struct span head = slash ? span_of(text.p, (size_t)(slash - text.p)) : text;
    if (!ipaddr_parse(head, &cidr->addr)) {
        return err_set(err, ERR_DATA, "\"%.*s\" is not an address or prefix such as 10.0.0.0/8",
                       SPAN_ARG(text));
    }
    uint64_t bits = cidr->addr.family == IPADDR_V4 ? 32 : 128;
    if (slash && !num_parse_u64(span_skip(text, head.len + 1), bits, &bits)) {
        return err_set(err, ERR_DATA, "\"%.*s\": the prefix length must be 0 to %d", SPAN_ARG(text),
                       (int)bits);
    }
    cidr->bits = (uint8_t)bits;
    return 0;
}

int cidr_parse(struct span text, struct cidr *cidr, struct err *err) {
    if (parse_parts(text, cidr, err) != 0) {
        return -1;
    }
    struct cidr meant = *cidr;
    clear_behind(&meant.addr, significant_bits(&meant));
    if (!ipaddr_eq(&meant.addr, &cidr->addr)) {
        char suggestion[IPADDR_TEXT_MAX + 4];
        size_t len = cidr_format(&meant, suggestion);
        return err_set(err, ERR_DATA, "\"%.*s\" has bits set behind its prefix; %.*s?",
                       SPAN_ARG(text), (int)len, suggestion);
    }
    return 0;
}

bool cidr_parse_masked(struct span text, struct cidr *cidr) {
    if (parse_parts(text, cidr, NULL) != 0) {
        return false;
    }
    clear_behind(&cidr->addr, significant_bits(cidr));
    return true;
}

size_t cidr_format(const struct cidr *cidr, char *out) {
    size_t len = ipaddr_format(&cidr->addr, out);
    out[len++] = '/';
    return len + num_format_u64(cidr->bits, out + len);
}
