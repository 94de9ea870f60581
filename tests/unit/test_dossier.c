/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The dossier cache: what counts as a hit, what is forgotten, and that a view stays good while one
 * flow is worked on, however small the ring.
 */
#include <stdio.h>

#include "core/dossier.h"
#include "core/enricher.h"
#include "unit.h"

enum { RING = 4 << 20, NOW_MS = 1000, TIME_S = 1700000000 };

static int described;
static int64_t from_s = INT64_MIN, until_s = INT64_MAX, expires_ms = INT64_MAX;
static size_t padding;

/* Says of an address how often anything was described, so that a test sees a hit from a miss. */
static void describe(const void *table, uint64_t scope, const struct ipaddr *addr, int64_t time_s,
                     struct dossier *dossier) {
    (void)addr;
    (void)time_s;
    ck_assert_ptr_eq(table, &described);
    dossier_number(dossier, NOTE_ASN, ++described);
    dossier_number(dossier, NOTE_ASN, (int64_t)scope);
    dossier->facts |= FACT_INTERNAL;
    dossier->valid_from_s = from_s;
    dossier->valid_until_s = until_s;
    dossier->expires_ms = expires_ms;
}

static const struct enricher_type type = {.name = "test", .describe = describe};
static const struct dossier_source sources[] = {{&type, &described}};

static void encode(const void *conf, const struct dossier *dossier, struct buf *out) {
    buf_printf(out, "%s:%d:%.*s:%jd", (const char *)conf, (int)dossier->side,
               (int)dossier->addr_text_len, dossier->addr_text,
               (intmax_t)dossier_find(dossier, NOTE_ASN)->number);
    for (size_t i = 0; i < padding; i++) {
        buf_char(out, 'x');
    }
}

static const struct dossier_style styles[] = {{encode, "a"}, {encode, "b"}};

static struct dossier_cache *cache;

static void setup(void) {
    described = 0;
    padding = 0;
    from_s = INT64_MIN;
    until_s = expires_ms = INT64_MAX;
    cache = dossier_cache_open(RING, styles, 2);
}

static void teardown(void) {
    dossier_cache_close(cache);
}

static struct dossier_view look(enum flow_side side, uint64_t scope, uint32_t addr, int64_t time_s,
                                int64_t now_ms) {
    struct dossier_view view;
    struct ipaddr ip = ipaddr_v4(addr);
    dossier_look_up(cache, side, scope, &ip, time_s, now_ms, sources, 1, &view);
    return view;
}

static void assert_encoded(const struct dossier_view *view, size_t style, const char *text) {
    ck_assert_msg(span_eq(view->encoded[style], span_str(text)), "\"%.*s\" is not \"%s\"",
                  SPAN_ARG(view->encoded[style]), text);
}

START_TEST(second_look_is_a_hit) {
    look(SIDE_SRC, 0, 0x0a000001, TIME_S, NOW_MS);
    struct dossier_view view = look(SIDE_SRC, 0, 0x0a000001, TIME_S, NOW_MS);
    assert_encoded(&view, 0, "a:0:10.0.0.1:1");
    assert_encoded(&view, 1, "b:0:10.0.0.1:1");
    ck_assert_uint_eq(view.facts, FACT_INTERNAL);
    ck_assert_uint_eq(dossier_cache_counts(cache).hits, 1);
    ck_assert_uint_eq(dossier_cache_counts(cache).misses, 1);
}
END_TEST

START_TEST(side_scope_and_family_are_part_of_the_key) {
    struct dossier_view view;
    struct ipaddr mapped;
    look(SIDE_SRC, 0, 0x0a000001, TIME_S, NOW_MS);
    view = look(SIDE_DST, 0, 0x0a000001, TIME_S, NOW_MS);
    assert_encoded(&view, 0, "a:1:10.0.0.1:2");
    view = look(SIDE_SRC, 7, 0x0a000001, TIME_S, NOW_MS);
    assert_encoded(&view, 0, "a:0:10.0.0.1:3");
    ck_assert(ipaddr_parse(SPAN("::ffff:10.0.0.1"), &mapped));
    dossier_look_up(cache, SIDE_SRC, 0, &mapped, TIME_S, NOW_MS, sources, 1, &view);
    assert_encoded(&view, 0, "a:0:::ffff:10.0.0.1:4");
}
END_TEST

START_TEST(hit_only_inside_its_times) {
    from_s = TIME_S;
    until_s = TIME_S + 10;
    look(SIDE_SRC, 0, 1, TIME_S, NOW_MS);
    look(SIDE_SRC, 0, 1, TIME_S, NOW_MS);
    look(SIDE_SRC, 0, 1, TIME_S + 10, NOW_MS);
    ck_assert_int_eq(described, 1);
    look(SIDE_SRC, 0, 1, TIME_S + 11, NOW_MS);
    ck_assert_int_eq(described, 2);
    look(SIDE_SRC, 0, 1, TIME_S - 1, NOW_MS);
    ck_assert_int_eq(described, 3);
}
END_TEST

START_TEST(hit_only_before_its_expiry) {
    expires_ms = NOW_MS + 5;
    look(SIDE_SRC, 0, 1, TIME_S, NOW_MS);
    look(SIDE_SRC, 0, 1, TIME_S, NOW_MS + 4);
    ck_assert_int_eq(described, 1);
    look(SIDE_SRC, 0, 1, TIME_S, NOW_MS + 5);
    ck_assert_int_eq(described, 2);
}
END_TEST

START_TEST(drop_forgets_everything) {
    look(SIDE_SRC, 0, 1, TIME_S, NOW_MS);
    dossier_cache_drop(cache);
    struct dossier_view view = look(SIDE_SRC, 0, 1, TIME_S, NOW_MS);
    assert_encoded(&view, 0, "a:0:0.0.0.1:2");
    look(SIDE_SRC, 0, 1, TIME_S, NOW_MS);
    ck_assert_int_eq(described, 2);
}
END_TEST

/* Many times more addresses than the ring holds: each answer is right, and the four views of one
   flow stay good until the flow is done. */
START_TEST(overwritten_entries_are_never_handed_out) {
    padding = 500;
    for (uint32_t i = 0; i < 60000; i++) {
        struct dossier_view views[SIDE_COUNT];
        uint32_t addrs[SIDE_COUNT] = {i, i / 2, i % 1000, i * 7919};
        for (int side = 0; side < SIDE_COUNT; side++) {
            views[side] = look((enum flow_side)side, 0, addrs[side], TIME_S, NOW_MS);
        }
        for (int side = 0; side < SIDE_COUNT; side++) {
            char head[64], text[IPADDR_TEXT_MAX];
            struct ipaddr ip = ipaddr_v4(addrs[side]);
            int len = (int)ipaddr_format(&ip, text);
            snprintf(head, sizeof(head), "b:%d:%.*s:", side, len, text);
            ck_assert(span_starts(views[side].encoded[1], span_str(head)));
        }
    }
    struct dossier_cache_counts counts = dossier_cache_counts(cache);
    ck_assert_uint_eq(counts.hits + counts.misses, 240000);
    ck_assert_uint_gt(counts.hits, 0);
    ck_assert_uint_gt(counts.misses, 60000);
}
END_TEST

/* An entry that is larger than there may be is cut by its ceiling, and others are unharmed. */
START_TEST(huge_entries_are_bounded) {
    padding = 200000;
    look(SIDE_SRC, 0, 1, TIME_S, NOW_MS);
    padding = 0;
    struct dossier_view view = look(SIDE_SRC, 0, 2, TIME_S, NOW_MS);
    assert_encoded(&view, 0, "a:0:0.0.0.2:2");
}
END_TEST

START_TEST(notes_beyond_the_ceilings_are_left_out) {
    static struct dossier dossier;
    struct ipaddr addr = ipaddr_v4(1);
    char long_text[DOSSIER_TEXT_MAX] = {'x'};
    dossier_make(&dossier, SIDE_SRC, 0, &addr, TIME_S, sources, 0);
    dossier_text(&dossier, NOTE_NAME, SPAN("short"));
    dossier_text(&dossier, NOTE_CITY_NAME, span_of(long_text, sizeof(long_text)));
    dossier_text(&dossier, NOTE_AS_ORG, SPAN(""));
    ck_assert_uint_eq(dossier.note_count, 1);
    for (int i = 0; i < 2 * DOSSIER_NOTES_MAX; i++) {
        dossier_number(&dossier, NOTE_ASN, i);
    }
    ck_assert_uint_eq(dossier.note_count, DOSSIER_NOTES_MAX);
    ck_assert(span_eq(dossier_find(&dossier, NOTE_NAME)->text, SPAN("short")));
    ck_assert_ptr_null(dossier_find(&dossier, NOTE_CITY_NAME));
}
END_TEST

int main(void) {
    Suite *suite = suite_create("dossier");
    TCase *cases = tcase_create("cache");
    tcase_add_checked_fixture(cases, setup, teardown);
    tcase_add_test(cases, second_look_is_a_hit);
    tcase_add_test(cases, side_scope_and_family_are_part_of_the_key);
    tcase_add_test(cases, hit_only_inside_its_times);
    tcase_add_test(cases, hit_only_before_its_expiry);
    tcase_add_test(cases, drop_forgets_everything);
    tcase_add_test(cases, overwritten_entries_are_never_handed_out);
    tcase_add_test(cases, huge_entries_are_bounded);
    tcase_add_test(cases, notes_beyond_the_ceilings_are_left_out);
    tcase_set_timeout(cases, 60);
    suite_add_tcase(suite, cases);
    return run_suite(suite);
}
