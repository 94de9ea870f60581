/* SPDX-License-Identifier: Apache-2.0 */
/* Gzip in both ways: many members, cut anywhere, damaged, padded, too large. */
#include "base/inflate.h"

#include "data_file.h"
#include "unit.h"

enum { TEXT_BYTES = 20000 };

static char text[TEXT_BYTES];

/* Appends a gzip member of `plain` to `out`. */
static void add_member(struct buf *out, struct span plain) {
    z_stream z = {0};
    ck_assert_int_eq(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    ck_assert(buf_reserve(out, deflateBound(&z, plain.len)));
    z.next_in = (Bytef *)plain.p;
    z.avail_in = (uInt)plain.len;
    z.next_out = (Bytef *)out->data + out->len;
    z.avail_out = (uInt)(out->cap - out->len);
    ck_assert_int_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    out->len += z.total_out;
    deflateEnd(&z);
}

static void make_text(void) {
    unsigned state = 1;
    for (size_t i = 0; i < TEXT_BYTES; i++) {
        state = state * 1103515245 + 12345;
        text[i] = i % 7 == 6 ? '\n' : (char)('a' + (state >> 16) % 16);
    }
}

static struct buf gzip, out;
static struct inflater *inflater;

static void setup(void) {
    make_text();
    buf_init(&gzip, 1 << 20);
    buf_init(&out, 1 << 20);
    inflater = inflater_open();
}

static void teardown(void) {
    inflater_close(inflater);
    buf_done(&gzip);
    buf_done(&out);
}

static void assert_text(size_t len) {
    ck_assert_uint_eq(out.len, len);
    ck_assert(memcmp(out.data, text, len) == 0);
}

START_TEST(members_are_one_text) {
    add_member(&gzip, span_of(text, 5000));
    add_member(&gzip, span_of(text, 0));
    add_member(&gzip, span_of(text + 5000, TEXT_BYTES - 5000));
    ck_assert(inflate_is_gzip(buf_span(&gzip)));
    ck_assert_int_eq(inflater_run(inflater, buf_span(&gzip), &out), INFLATE_OK);
    assert_text(TEXT_BYTES);
    buf_add(&gzip, span_of("\0\0\0", 3));
    ck_assert_int_eq(inflater_run(inflater, buf_span(&gzip), &out), INFLATE_OK);
    assert_text(TEXT_BYTES);
}
END_TEST

START_TEST(cut_anywhere_keeps_what_stood_before) {
    add_member(&gzip, span_of(text, 3000));
    size_t first = gzip.len;
    add_member(&gzip, span_of(text + 3000, 9000));
    size_t last = 0;
    for (size_t len = 18; len < gzip.len; len++) {
        if (len == first) {
            continue;
        }
        enum inflate_result result = inflater_run(inflater, span_of(gzip.data, len), &out);
        /* One byte of a second member is no member: it is something behind the first. */
        ck_assert_int_eq(result, len == first + 1 ? INFLATE_BAD : INFLATE_CUT);
        ck_assert_uint_ge(out.len, last);
        assert_text(out.len);
        last = out.len;
    }
    ck_assert_uint_eq(last, 12000);
}
END_TEST

START_TEST(damage_costs_its_member_only) {
    add_member(&gzip, span_of(text, 3000));
    size_t first = gzip.len;
    add_member(&gzip, span_of(text + 3000, 9000));
    gzip.data[gzip.len - 6] ^= 1; /* checksum */
    ck_assert_int_eq(inflater_run(inflater, buf_span(&gzip), &out), INFLATE_BAD);
    assert_text(3000);
    gzip.len = first;
    buf_add(&gzip, SPAN("and so on"));
    ck_assert_int_eq(inflater_run(inflater, buf_span(&gzip), &out), INFLATE_BAD);
    assert_text(3000);
    ck_assert_int_eq(inflater_run(inflater, SPAN("\x1f\x8b\x07nonsense of some length"), &out),
                     INFLATE_BAD);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

START_TEST(ceiling_holds) {
    add_member(&gzip, span_of(text, TEXT_BYTES));
    struct buf small;
    buf_init(&small, TEXT_BYTES - 1);
    ck_assert_int_eq(inflater_run(inflater, buf_span(&gzip), &small), INFLATE_TOO_LARGE);
    buf_done(&small);
    buf_init(&small, TEXT_BYTES);
    ck_assert_int_eq(inflater_run(inflater, buf_span(&gzip), &small), INFLATE_OK);
    ck_assert_uint_eq(small.len, TEXT_BYTES);
    buf_done(&small);
}
END_TEST

/* Feeds `bytes` in pieces of `step`; what comes out is added to `out`. Returns the last result. */
static int feed_all(struct inflate_stream *stream, struct span bytes, size_t step) {
    while (bytes.len > 0) {
        struct span in = span_of(bytes.p, bytes.len < step ? bytes.len : step), piece;
        bytes = span_skip(bytes, in.len);
        int result;
        while ((result = inflate_stream_feed(stream, &in, &piece, NULL)) == 1) {
            ck_assert_uint_gt(piece.len, 0);
            buf_add(&out, piece);
        }
        if (result < 0) {
            return result;
        }
        ck_assert_uint_eq(in.len, 0);
    }
    return 0;
}

START_TEST(stream_gives_the_same_in_any_steps) {
    static const size_t steps[] = {1, 2, 17, 1000, 100000};
    add_member(&gzip, span_of(text, 5000));
    add_member(&gzip, span_of(text + 5000, TEXT_BYTES - 5000));
    buf_add(&gzip, span_of("\0\0", 2));
    struct inflate_stream stream;
    inflate_stream_init(&stream, 777);
    buf_clear(&out);
    ck_assert_int_eq(feed_all(&stream, buf_span(&gzip), steps[_i]), 0);
    ck_assert_int_eq(inflate_stream_end(&stream, NULL), 0);
    assert_text(TEXT_BYTES);
    inflate_stream_done(&stream);
}
END_TEST

START_TEST(stream_says_what_is_wrong) {
    struct err err;
    struct inflate_stream stream;
    add_member(&gzip, span_of(text, 5000));
    size_t whole = gzip.len;
    buf_add(&gzip, SPAN("garbage"));
    inflate_stream_init(&stream, 4096);
    ck_assert_int_eq(feed_all(&stream, span_of(gzip.data, whole - 1), 100), 0);
    ck_assert_int_eq(inflate_stream_end(&stream, &err), -1);
    ck_assert_int_eq(err.kind, ERR_DATA);
    inflate_stream_done(&stream);
    inflate_stream_init(&stream, 4096);
    ck_assert_int_eq(feed_all(&stream, buf_span(&gzip), 100), -1);
    inflate_stream_done(&stream);
    gzip.data[whole] = '\0';
    inflate_stream_init(&stream, 4096);
    ck_assert_int_eq(feed_all(&stream, buf_span(&gzip), 100), -1);
    inflate_stream_done(&stream);
}
END_TEST

START_TEST(real_file_inflates_both_ways) {
    struct span file = data_read("vpcflow/shippers/grafana-vpcflowlog.log.gz");
    ck_assert_int_eq(inflater_run(inflater, file, &out), INFLATE_OK);
    ck_assert(span_starts(buf_span(&out), SPAN("version account-id interface-id")));
    size_t len = out.len;
    struct inflate_stream stream;
    inflate_stream_init(&stream, 64);
    buf_clear(&out);
    ck_assert_int_eq(feed_all(&stream, file, 10), 0);
    ck_assert_uint_eq(out.len, len);
    inflate_stream_done(&stream);
    free((char *)file.p);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("inflate");
    TCase *tests = tcase_create("inflate");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, members_are_one_text);
    tcase_add_test(tests, cut_anywhere_keeps_what_stood_before);
    tcase_add_test(tests, damage_costs_its_member_only);
    tcase_add_test(tests, ceiling_holds);
    tcase_add_loop_test(tests, stream_gives_the_same_in_any_steps, 0, 5);
    tcase_add_test(tests, stream_says_what_is_wrong);
    tcase_add_test(tests, real_file_inflates_both_ways);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
