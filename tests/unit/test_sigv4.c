/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aws/sigv4 against both published test suites: canonical request, string to sign and Authorization
 * header of every case. The suites' presigned URLs are not something we make; their canonical
 * requests are still held against ours, because the rules for the query are the same.
 */
#include "aws/sigv4.h"

#include <glob.h>
#include <jansson.h>
#include <string.h>

#include "data_file.h"
#include "unit.h"

enum { OUT_MAX = 64 << 10 };

/* A request as the suites write it: a line, headers, a blank line, a body. */
struct vector {
    struct sigv4_request request;
    struct http_header headers[HTTP_HEADERS_MAX];
    char method[8], token[2048];
    char authorization[1024]; /* taken out of the headers */
};

static const struct aws_keys keys = {
    .access_id = "AKIDEXAMPLE",
    .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    .expires_ms = INT64_MAX,
};
static const struct sigv4_scope scope = {.region = "us-east-1", .service = "service"};

static void add_header(struct vector *vector, struct span name, struct span value) {
    ck_assert_uint_lt(vector->request.header_count, HTTP_HEADERS_MAX);
    vector->headers[vector->request.header_count++] = (struct http_header){name, value};
}

static void read_first_line(struct vector *vector, struct span line) {
    struct span method;
    ck_assert(span_cut(&line, ' ', &method));
    snprintf(vector->method, sizeof vector->method, "%.*s", SPAN_ARG(method));
    const char *last = memrchr(line.p, ' ', line.len);
    struct span target = span_of(line.p, (size_t)(last - line.p));
    const char *mark = memchr(target.p, '?', target.len);
    vector->request.path = span_of(target.p, mark ? (size_t)(mark - target.p) : target.len);
    if (mark) {
        vector->request.query = span_skip(target, vector->request.path.len + 1);
    }
}

/* A line that begins with a blank goes on with the value above. */
static void read_header(struct vector *vector, struct span line) {
    struct span name, value = line;
    if (line.p[0] == ' ') {
        struct http_header *last = &vector->headers[vector->request.header_count - 1];
        last->value.len = (size_t)(line.p + line.len - last->value.p);
        return;
    }
    ck_assert(span_cut(&value, ':', &name));
    if (span_eq(name, SPAN("Authorization"))) {
        snprintf(vector->authorization, sizeof vector->authorization, "%.*s",
                 SPAN_ARG(span_trim(value)));
    } else {
        add_header(vector, name, value);
    }
}

static void read_request(struct vector *vector, struct span text) {
    struct span line;
    memset(vector, 0, sizeof *vector);
    vector->request.method = vector->method;
    vector->request.headers = vector->headers;
    ck_assert(span_cut(&text, '\n', &line));
    read_first_line(vector, line);
    while (span_cut(&text, '\n', &line) && line.len > 0) {
        read_header(vector, line);
    }
    vector->request.body = text;
}

/* Texts that the cases of a test read, freed together at its end. */
static void *texts[512];
static size_t text_count;

static struct span read_beside(const char *path, const char *suffix) {
    char name[4096];
    snprintf(name, sizeof name, "%s%s", path, suffix);
    struct span text = data_read_path(name);
    ck_assert_uint_lt(text_count, sizeof texts / sizeof texts[0]);
    texts[text_count++] = (void *)text.p;
    return span_trim(text);
}

static void free_texts(void) {
    while (text_count > 0) {
        free(texts[--text_count]);
    }
}

static void check_step(const char *path, const char *step, struct buf *out, struct span expected) {
    ck_assert_msg(span_eq(buf_span(out), expected), "%s: %s is\n%.*s\nand not\n%.*s", path, step,
                  SPAN_ARG(buf_span(out)), SPAN_ARG(expected));
    buf_clear(out);
}

struct expected {
    struct span canonical, to_sign, authorization;
};

static void check_vector(const char *path, const struct vector *vector,
                         const struct expected *expected) {
    struct buf out;
    struct err err;
    buf_init(&out, OUT_MAX);
    ck_assert_int_eq(sigv4_canonical(&vector->request, &out, &err), 0);
    check_step(path, "the canonical request", &out, expected->canonical);
    ck_assert_int_eq(sigv4_string_to_sign(&vector->request, &scope, &out, &err), 0);
    check_step(path, "the string to sign", &out, expected->to_sign);
    ck_assert_int_eq(sigv4_authorize(&vector->request, &scope, &keys, &out, &err), 0);
    check_step(path, "the header", &out, expected->authorization);
    struct sigv4_key kept = {0};
    for (int i = 0; i < 2; i++) {
        int made = sigv4_authorize_kept(&vector->request, &scope, &keys, &kept, &out, &err);
        ck_assert_int_eq(made, 0);
        check_step(path, "the header with a kept key", &out, expected->authorization);
    }
    buf_done(&out);
}

static void find_vectors(const char *pattern, glob_t *found) {
    char path[4096];
    snprintf(path, sizeof path, "%s/tests/data/sigv4/%s", data_source_folder(), pattern);
    ck_assert_msg(glob(path, 0, NULL, found) == 0, "nothing at %s", path);
}

/* The newer suite: context.json says whether the path is normalised, and the token. */
static void read_context(const char *folder, struct vector *vector) {
    struct span text = read_beside(folder, "/context.json");
    json_error_t error;
    json_t *context = json_loadb(text.p, text.len, 0, &error);
    ck_assert_ptr_nonnull(context);
    json_t *given = json_object_get(context, "credentials");
    const char *token = json_string_value(json_object_get(given, "token"));
    ck_assert_str_eq(json_string_value(json_object_get(given, "secret_access_key")), keys.secret);
    ck_assert_str_eq(json_string_value(json_object_get(context, "service")), scope.service);
    ck_assert_str_eq(json_string_value(json_object_get(context, "timestamp")),
                     "2015-08-30T12:36:00Z");
    if (json_is_false(json_object_get(context, "normalize"))) {
        vector->request.path_style = SIGV4_PATH_AS_IS;
    }
    add_header(vector, SPAN("X-Amz-Date"), SPAN("20150830T123600Z"));
    if (token && !json_is_true(json_object_get(context, "omit_session_token"))) {
        snprintf(vector->token, sizeof vector->token, "%s", token);
        add_header(vector, SPAN("X-Amz-Security-Token"), span_str(vector->token));
    }
    json_decref(context);
}

START_TEST(test_newer_suite) {
    glob_t found;
    find_vectors("aws-c-auth-v4/*", &found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *folder = found.gl_pathv[i];
        struct vector vector, signed_vector;
        struct span text = read_beside(folder, "/request.txt");
        struct span signed_text = read_beside(folder, "/header-signed-request.txt");
        read_request(&vector, text);
        read_context(folder, &vector);
        read_request(&signed_vector, signed_text);
        check_vector(folder, &vector,
                     &(struct expected){
                         read_beside(folder, "/header-canonical-request.txt"),
                         read_beside(folder, "/header-string-to-sign.txt"),
                         span_str(signed_vector.authorization),
                     });
    }
    ck_assert_uint_eq(found.gl_pathc, 29);
    globfree(&found);
}
END_TEST

/* The suite's files beside each other, `x.req` and so on. A token that the canonical request names
   is not in the request but in the signed one, of which nothing else is used: it repeats .authz, in
   one case with a signature that is not that of the request. */
static void check_older(const char *path) {
    char stem[4096];
    struct vector vector, signed_vector;
    snprintf(stem, sizeof stem, "%.*s", (int)(strlen(path) - strlen(".req")), path);
    struct expected expected = {
        read_beside(stem, ".creq"),
        read_beside(stem, ".sts"),
        read_beside(stem, ".authz"),
    };
    read_request(&vector, read_beside(stem, ".req"));
    read_request(&signed_vector, read_beside(stem, ".sreq"));
    for (size_t i = 0; i < signed_vector.request.header_count; i++) {
        const struct http_header *header = &signed_vector.headers[i];
        if (span_eq(header->name, SPAN("X-Amz-Security-Token")) &&
            memmem(expected.canonical.p, expected.canonical.len, "security-token", 14)) {
            add_header(&vector, header->name, header->value);
        }
    }
    check_vector(path, &vector, &expected);
}

START_TEST(test_older_suite) {
    static const char *const patterns[] = {"aws4_testsuite/*/*.req", "aws4_testsuite/*/*/*.req"};
    size_t count = 0;
    for (int i = 0; i < 2; i++) {
        glob_t found;
        find_vectors(patterns[i], &found);
        for (size_t k = 0; k < found.gl_pathc; k++) {
            check_older(found.gl_pathv[k]);
        }
        count += found.gl_pathc;
        globfree(&found);
    }
    ck_assert_uint_eq(count, 26);
}
END_TEST

/* Presigned: the signature itself is the one parameter that is not part of it. */
START_TEST(test_presigned_canonical) {
    glob_t found;
    find_vectors("aws-c-auth-v4/*", &found);
    for (size_t i = 0; i < found.gl_pathc; i++) {
        const char *folder = found.gl_pathv[i];
        struct vector context, vector;
        struct buf out;
        struct err err;
        read_request(&context, read_beside(folder, "/request.txt"));
        read_context(folder, &context);
        read_request(&vector, read_beside(folder, "/query-signed-request.txt"));
        vector.request.path_style = context.request.path_style;
        struct span *query = &vector.request.query;
        const char *signature = memmem(query->p, query->len, "&X-Amz-Signature=", 17);
        ck_assert_ptr_nonnull(signature);
        query->len = (size_t)(signature - query->p);
        /* In this one case the token goes into the URL behind the signature, unsigned. */
        buf_init(&out, OUT_MAX);
        struct span expected = read_beside(folder, "/query-canonical-request.txt");
        const char *token = memmem(query->p, query->len, "&X-Amz-Security-Token=", 22);
        if (token && !memmem(expected.p, expected.len, "X-Amz-Security-Token", 20)) {
            query->len = (size_t)(token - query->p);
        }
        ck_assert_int_eq(sigv4_canonical(&vector.request, &out, &err), 0);
        check_step(folder, "the canonical request of the URL", &out, expected);
        buf_done(&out);
    }
    globfree(&found);
}
END_TEST

START_TEST(test_date) {
    char date[SIGV4_DATE_SIZE];
    sigv4_format_date(1440938160, date);
    ck_assert_str_eq(date, "20150830T123600Z");
    sigv4_format_date(0, date);
    ck_assert_str_eq(date, "19700101T000000Z");
    sigv4_format_date(951782399, date);
    ck_assert_str_eq(date, "20000228T235959Z");
    sigv4_format_date(INT64_MAX, date);
    ck_assert_str_eq(date, "");
}
END_TEST

static const struct http_header plain[] = {
    {{"Host", 4}, {"h", 1}},
    {{"X-Amz-Date", 10}, {"20150830T123600Z", 16}},
};

static struct sigv4_request plain_request(void) {
    return (struct sigv4_request){
        .method = "GET", .path = SPAN("/"), .headers = plain, .header_count = 2};
}

static void check_line(const struct sigv4_request *request, int line, const char *expected) {
    struct buf out;
    struct err err;
    struct span rest, part = {NULL, 0};
    buf_init(&out, OUT_MAX);
    ck_assert_int_eq(sigv4_canonical(request, &out, &err), 0);
    rest = buf_span(&out);
    for (int i = 0; i <= line; i++) {
        ck_assert(span_cut(&rest, '\n', &part));
    }
    ck_assert_msg(span_eq(part, span_str(expected)), "%.*s and not %s", SPAN_ARG(part), expected);
    buf_done(&out);
}

START_TEST(test_paths) {
    static const struct {
        const char *path;
        enum sigv4_path style;
        const char *expected;
    } rows[] = {
        {"", SIGV4_PATH_NORMAL, "/"},
        {"", SIGV4_PATH_AS_IS, "/"},
        {"/../..", SIGV4_PATH_NORMAL, "/"},
        {"/a/b/../c/.", SIGV4_PATH_NORMAL, "/a/c"},
        {"/a//./b/", SIGV4_PATH_NORMAL, "/a/b/"},
        {"/a%20b", SIGV4_PATH_NORMAL, "/a%2520b"},
        {"/a%20b/%2f//x=1:2", SIGV4_PATH_AS_IS, "/a%20b/%2F//x%3D1%3A2"},
        {"/100%/%4", SIGV4_PATH_AS_IS, "/100%25/%254"},
        {"/%41", SIGV4_PATH_AS_IS, "/A"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sigv4_request request = plain_request();
        request.path = span_str(rows[i].path);
        request.path_style = rows[i].style;
        check_line(&request, 1, rows[i].expected);
    }
}
END_TEST

START_TEST(test_queries) {
    static const struct {
        const char *query, *expected;
    } rows[] = {
        {"b&a", "a=&b="},
        {"a=2&a=10&a", "a=&a=10&a=2"},
        {"prefix=x%2fy&delimiter=/", "delimiter=%2F&prefix=x%2Fy"},
        {"&&a=b=c&", "a=b%3Dc"},
        {"A~=1&A%25=2&AA=3", "A%25=2&AA=3&A~=1"}, /* by the encoded form */
        {"a=%zz", "a=%25zz"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct sigv4_request request = plain_request();
        request.query = span_str(rows[i].query);
        check_line(&request, 2, rows[i].expected);
    }
}
END_TEST

START_TEST(test_left_out_and_given_hash) {
    const struct http_header headers[] = {
        {SPAN("User-Agent"), SPAN("x")},
        {SPAN("Proxy-Connection"), SPAN("x")},
        {SPAN("Expect"), SPAN("x")},
        {SPAN("x-amz-date"), SPAN("20150830T123600Z")},
        {SPAN("X-AMZ-Content-SHA256"), SPAN("UNSIGNED-PAYLOAD")},
        {SPAN("HOST"), SPAN("h")},
    };
    struct sigv4_request request = plain_request();
    request.headers = headers;
    request.header_count = sizeof headers / sizeof headers[0];
    request.body = SPAN("not hashed");
    struct buf out;
    struct err err;
    buf_init(&out, OUT_MAX);
    ck_assert_int_eq(sigv4_canonical(&request, &out, &err), 0);
    check_step("left out", "the canonical request", &out,
               SPAN("GET\n/\n\nhost:h\nx-amz-content-sha256:UNSIGNED-PAYLOAD\n"
                    "x-amz-date:20150830T123600Z\n\nhost;x-amz-content-sha256;x-amz-date\n"
                    "UNSIGNED-PAYLOAD"));
    buf_done(&out);
}
END_TEST

/* A call as we make it. The signature was computed with another implementation of HMAC and by hand
   of the rules. */
START_TEST(test_kinesis_call) {
    static struct aws_keys session;
    char body[300];
    session = keys;
    strcpy(session.access_id, "ASIAEXAMPLE123456789");
    memset(session.token, 'T', 900);
    memset(body, 'i', sizeof body);
    const struct http_header headers[] = {
        {SPAN("Host"), SPAN("kinesis.eu-west-1.amazonaws.com")},
        {SPAN("Content-Type"), SPAN("application/x-amz-json-1.1")},
        {SPAN("X-Amz-Target"), SPAN("Kinesis_20131202.GetRecords")},
        {SPAN("User-Agent"), SPAN("flowgelf/1")},
        {SPAN("X-Amz-Date"), SPAN("20150830T123600Z")},
        {SPAN("X-Amz-Security-Token"), span_str(session.token)},
    };
    const struct sigv4_request request = {
        .method = "POST",
        .path = SPAN("/"),
        .headers = headers,
        .header_count = sizeof headers / sizeof headers[0],
        .body = span_of(body, sizeof body),
    };
    const struct sigv4_scope kinesis = {"eu-west-1", "kinesis"};
    struct buf out;
    struct err err;
    buf_init(&out, OUT_MAX);
    ck_assert_int_eq(sigv4_authorize(&request, &kinesis, &session, &out, &err), 0);
    check_step("kinesis", "the header", &out,
               SPAN("AWS4-HMAC-SHA256 "
                    "Credential=ASIAEXAMPLE123456789/20150830/eu-west-1/kinesis/aws4_request, "
                    "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;x-amz-target, "
                    "Signature=3e5bc3668d780c1786a9ba76d7f9830b4514d1015e33c6b471817df19c9fae21"));
    buf_done(&out);
}
END_TEST

/* A kept key is another one as soon as day, region, service or secret is. */
START_TEST(test_kept_key_follows) {
    struct http_header headers[2] = {plain[0], plain[1]};
    struct sigv4_request request = plain_request();
    struct aws_keys other = keys;
    const struct sigv4_scope scopes[] = {scope, {"eu-west-1", "service"}, {"us-east-1", "kinesis"}};
    struct sigv4_key kept = {0};
    struct buf fresh, out;
    struct err err;
    request.headers = headers;
    buf_init(&fresh, OUT_MAX);
    buf_init(&out, OUT_MAX);
    strcpy(other.secret, "another");
    for (int i = 0; i < 12; i++) {
        const struct sigv4_scope *now = &scopes[i % 3];
        const struct aws_keys *with = i % 2 ? &other : &keys;
        headers[1].value = i < 6 ? SPAN("20150830T123600Z") : SPAN("20150831T123600Z");
        ck_assert_int_eq(sigv4_authorize(&request, now, with, &fresh, &err), 0);
        ck_assert_int_eq(sigv4_authorize_kept(&request, now, with, &kept, &out, &err), 0);
        check_step("kept", "the header", &out, buf_span(&fresh));
        buf_clear(&fresh);
    }
    buf_done(&fresh);
    buf_done(&out);
}
END_TEST

START_TEST(test_refusals) {
    struct http_header many[HTTP_HEADERS_MAX + 1];
    struct sigv4_request request = plain_request();
    struct buf out;
    struct err err;
    char memory[64], query[400] = "";
    buf_init(&out, OUT_MAX);
    request.header_count = 1;
    ck_assert_int_eq(sigv4_authorize(&request, &scope, &keys, &out, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    for (int i = 0; i <= HTTP_HEADERS_MAX; i++) {
        many[i] = plain[1];
    }
    request.headers = many;
    request.header_count = HTTP_HEADERS_MAX + 1;
    ck_assert_int_eq(sigv4_authorize(&request, &scope, &keys, &out, &err), -1);
    request = plain_request();
    for (int i = 0; i < 65; i++) {
        strcat(query, "a=1&");
    }
    request.query = span_str(query);
    ck_assert_int_eq(sigv4_authorize(&request, &scope, &keys, &out, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_uint_eq(out.len, 0);
    request = plain_request();
    buf_done(&out);
    buf_over(&out, memory, sizeof memory);
    ck_assert_int_eq(sigv4_authorize(&request, &scope, &keys, &out, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    struct sigv4_scope far = {.region = NULL, .service = "service"};
    char region[SIGV4_SCOPE_MAX + 1];
    memset(region, 'r', sizeof region);
    region[SIGV4_SCOPE_MAX] = '\0';
    far.region = region;
    buf_init(&out, OUT_MAX);
    ck_assert_int_eq(sigv4_authorize(&request, &far, &keys, &out, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    buf_done(&out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("sigv4");
    TCase *tcase = tcase_create("sigv4");
    tcase_add_checked_fixture(tcase, NULL, free_texts);
    tcase_add_test(tcase, test_newer_suite);
    tcase_add_test(tcase, test_older_suite);
    tcase_add_test(tcase, test_presigned_canonical);
    tcase_add_test(tcase, test_date);
    tcase_add_test(tcase, test_paths);
    tcase_add_test(tcase, test_queries);
    tcase_add_test(tcase, test_left_out_and_given_hash);
    tcase_add_test(tcase, test_kinesis_call);
    tcase_add_test(tcase, test_kept_key_follows);
    tcase_add_test(tcase, test_refusals);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
