/* SPDX-License-Identifier: Apache-2.0 */
/* base/prefixmap, judged by a linear search over the same prefixes. */
#include "base/prefixmap.h"

#include <arpa/inet.h>
#include <malloc.h>
#include <string.h>

#include "base/xalloc.h"
#include "prefixes.h"
#include "unit.h"

static struct cidr cidr(const char *text) {
    struct cidr prefix;
    struct err err;
    ck_assert_msg(cidr_parse(span_str(text), &prefix, &err) == 0, "%s", text);
    return prefix;
}

static uint32_t find(const struct prefixmap *map, const char *text) {
    struct ipaddr addr;
    ck_assert(ipaddr_parse(span_str(text), &addr));
    return prefixmap_find(map, &addr);
}

static uint32_t sum(void *context, uint32_t outer, uint32_t inner) {
    ++*(int *)context;
    return outer + inner;
}

START_TEST(test_empty) {
    struct prefixmap *map = prefixmap_finish(prefixmap_begin(NULL, NULL));
    ck_assert_uint_eq(find(map, "0.0.0.0"), PREFIXMAP_NONE);
    ck_assert_uint_eq(find(map, "255.255.255.255"), PREFIXMAP_NONE);
    ck_assert_uint_eq(find(map, "::"), PREFIXMAP_NONE);
    ck_assert_uint_eq(find(map, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), PREFIXMAP_NONE);
    prefixmap_free(map);
    prefixmap_free(NULL);
}
END_TEST

START_TEST(test_longest_wins_and_families_are_apart) {
    static const char *const texts[] = {
        "10.0.0.0/8",      "10.1.0.0/16",   "10.1.1.0/24", "10.1.1.255/32", "2001:db8::/32",
        "2001:db8:1::/48", "::ffff:0:0/96", "0.0.0.0/0",   "ffff::/16",     "255.255.255.255"};
    struct prefixmap_builder *builder = prefixmap_begin(NULL, NULL);
    for (uint32_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct cidr prefix = cidr(texts[i]);
        prefixmap_add(builder, &prefix, i);
    }
    struct prefixmap *map = prefixmap_finish(builder);
    ck_assert_uint_eq(find(map, "10.255.255.255"), 0);
    ck_assert_uint_eq(find(map, "10.1.2.0"), 1);
    ck_assert_uint_eq(find(map, "10.1.1.254"), 2);
    ck_assert_uint_eq(find(map, "10.1.1.255"), 3);
    ck_assert_uint_eq(find(map, "9.255.255.255"), 7);
    ck_assert_uint_eq(find(map, "11.0.0.0"), 7);
    ck_assert_uint_eq(find(map, "255.255.255.254"), 7);
    ck_assert_uint_eq(find(map, "255.255.255.255"), 9);
    ck_assert_uint_eq(find(map, "2001:db8:1:ffff::"), 5);
    ck_assert_uint_eq(find(map, "2001:db8:2::"), 4);
    ck_assert_uint_eq(find(map, "2001:db9::"), PREFIXMAP_NONE);
    ck_assert_uint_eq(find(map, "::ffff:10.1.1.1"), 6);
    ck_assert_uint_eq(find(map, "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"), 8);
    prefixmap_free(map);
}
END_TEST

/* The rule sees nested prefixes and the same one twice, with what holds around them. */
START_TEST(test_combine) {
    int calls = 0;
    struct prefixmap_builder *builder = prefixmap_begin(sum, &calls);
    static const struct {
        const char *text;
        uint32_t value;
    } entries[] = {{"10.1.1.1/32", 100}, {"10.0.0.0/8", 1}, {"10.0.0.0/8", 2}, {"10.1.0.0/16", 10}};
    for (size_t i = 0; i < 4; i++) {
        struct cidr prefix = cidr(entries[i].text);
        prefixmap_add(builder, &prefix, entries[i].value);
    }
    struct prefixmap *map = prefixmap_finish(builder);
    ck_assert_uint_eq(find(map, "10.2.0.0"), 3);
    ck_assert_uint_eq(find(map, "10.1.0.0"), 13);
    ck_assert_uint_eq(find(map, "10.1.1.1"), 113);
    ck_assert_uint_eq(find(map, "10.1.1.2"), 13);
    ck_assert_int_eq(calls, 3);
    prefixmap_free(map);
}
END_TEST

/* AddressSanitizer has an allocator of its own. */
extern size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t allocated_bytes(void) {
    if (__sanitizer_get_current_allocated_bytes) {
        return __sanitizer_get_current_allocated_bytes();
    }
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

/* A million addresses by themselves, none next to another: the ceiling of the header holds. */
START_TEST(test_memory_of_a_million) {
    size_t before = allocated_bytes();
    struct prefixmap_builder *builder = prefixmap_begin(NULL, NULL);
    for (uint32_t i = 0; i < 1000000; i++) {
        struct cidr prefix = {ipaddr_v4(i * 4001), 32};
        prefixmap_add(builder, &prefix, i % 1000);
    }
    struct prefixmap *map = prefixmap_finish(builder);
    ck_assert_uint_gt(allocated_bytes(), before + 7900000);
    ck_assert_uint_lt(allocated_bytes(), before + 8100000);
    for (uint32_t i = 0; i < 1000000; i += 7) {
        struct ipaddr addr = ipaddr_v4(i * 4001), next = ipaddr_v4(i * 4001 + 1);
        ck_assert_uint_eq(prefixmap_find(map, &addr), i % 1000);
        ck_assert_uint_eq(prefixmap_find(map, &next), PREFIXMAP_NONE);
    }
    prefixmap_free(map);
    /* The same value side by side becomes one boundary, whatever the pieces. */
    builder = prefixmap_begin(NULL, NULL);
    for (uint32_t i = 0; i < 1000000; i++) {
        struct cidr prefix = {ipaddr_v4(0x0a000000 + i), 32};
        prefixmap_add(builder, &prefix, 5);
    }
    map = prefixmap_finish(builder);
    ck_assert_uint_lt(allocated_bytes(), before + 64000); /* the allocator keeps some */
    ck_assert_uint_eq(find(map, "10.0.0.0"), 5);
    ck_assert_uint_eq(find(map, "10.15.66.63"), 5);
    ck_assert_uint_eq(find(map, "10.15.66.64"), PREFIXMAP_NONE);
    prefixmap_free(map);
}
END_TEST

static uint64_t random_state;

static uint32_t random_u32(void) {
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(random_state >> 33);
}

/* An address out of a small corner, so that prefixes meet, nest and touch, or the space's end. */
static struct ipaddr random_addr(bool v4) {
    uint32_t low = random_u32() % 4 == 0 ? UINT32_MAX - random_u32() % 8 : random_u32() % 512;
    if (v4) {
        return ipaddr_v4(low);
    }
    struct ipaddr addr = {.family = IPADDR_V6};
    uint32_t fill = low > 512 ? UINT32_MAX : random_u32() % 8 ? 0 : random_u32() % 4;
    addr.words[0] = addr.words[1] = addr.words[2] = htonl(fill);
    addr.words[3] = htonl(low);
    return addr;
}

static struct cidr random_cidr(bool v4) {
    struct cidr prefix = {random_addr(v4), 0};
    unsigned width = v4 ? 32 : 128;
    unsigned back = random_u32() % 16 == 0 ? random_u32() % (width + 1) : random_u32() % 11;
    prefix.bits = (uint8_t)(width - back);
    for (unsigned bit = prefix.bits + 128u - width; bit < 128; bit++) {
        prefix.addr.bytes[bit / 8] &= (uint8_t) ~(0x80 >> bit % 8);
    }
    return prefix;
}

static uint32_t keep_higher(void *context, uint32_t outer, uint32_t inner) {
    (void)context;
    return outer > inner ? outer : inner;
}

/* What the map must say, by looking at every prefix. */
static uint32_t expected(const struct cidr *prefixes, size_t count, const struct ipaddr *addr,
                         bool combined) {
    uint32_t best = PREFIXMAP_NONE;
    int best_bits = -1;
    for (size_t i = 0; i < count; i++) {
        if (!prefix_holds(&prefixes[i], addr)) {
            continue;
        }
        if (combined) {
            best = best == PREFIXMAP_NONE || i > best ? (uint32_t)i : best;
        } else if (prefixes[i].bits >= best_bits) {
            best = (uint32_t)i;
            best_bits = prefixes[i].bits;
        }
    }
    return best;
}

START_TEST(test_against_linear_search) {
    random_state = (uint64_t)_i;
    bool v4 = _i % 2, combined = _i % 4 / 2;
    struct cidr prefixes[400];
    for (int round = 0; round < 40; round++) {
        size_t count = random_u32() % (round % 4 ? 20 : 400);
        struct prefixmap_builder *builder = prefixmap_begin(combined ? keep_higher : NULL, NULL);
        for (size_t i = 0; i < count; i++) {
            prefixes[i] = random_cidr(v4);
            prefixmap_add(builder, &prefixes[i], (uint32_t)i);
        }
        struct prefixmap *map = prefixmap_finish(builder);
        for (int probe = 0; probe < 700; probe++) {
            struct ipaddr addr = random_addr(v4);
            ck_assert_uint_eq(prefixmap_find(map, &addr),
                              expected(prefixes, count, &addr, combined));
        }
        prefixmap_free(map);
    }
}
END_TEST

/* Deep trees: as many IPv6 prefixes that every level is in use. */
START_TEST(test_deep) {
    struct prefixmap_builder *builder = prefixmap_begin(NULL, NULL);
    for (uint32_t i = 0; i < 100000; i++) {
        struct ipaddr addr = {.words = {htonl(0x20010000 + i), htonl(i * 3)}, .family = IPADDR_V6};
        struct cidr prefix = {addr, 64};
        prefixmap_add(builder, &prefix, i);
    }
    struct prefixmap *map = prefixmap_finish(builder);
    for (uint32_t i = 0; i < 100000; i++) {
        struct ipaddr addr = {.words = {htonl(0x20010000 + i), htonl(i * 3), 7, 7},
                              .family = IPADDR_V6};
        ck_assert_uint_eq(prefixmap_find(map, &addr), i);
        addr.words[1] = htonl(i * 3 + 1);
        ck_assert_uint_eq(prefixmap_find(map, &addr), PREFIXMAP_NONE);
    }
    prefixmap_free(map);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("prefixmap");
    TCase *tcase = tcase_create("prefixmap");
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, test_empty);
    tcase_add_test(tcase, test_longest_wins_and_families_are_apart);
    tcase_add_test(tcase, test_combine);
    tcase_add_test(tcase, test_memory_of_a_million);
    tcase_add_loop_test(tcase, test_against_linear_search, 0, 16);
    tcase_add_test(tcase, test_deep);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
