/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aws/call against a service on loopback that recomputes the signature of what arrives: the
 * requests of both protocols, what each reply counts as, the clock, and that nothing secret is said.
 */
#include "aws/call.h"

#include <fcntl.h>
#include <string.h>

#include "aws/fault.h"
#include "aws_peer.h"
#include "base/clock.h"
#include "unit.h"

enum { REPLY_MAX = 16 << 10, TIMEOUT_MS = 20000 };

static struct aws_keys keys = {
    .access_id = "ASIAEXAMPLE123456789",
    .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    .expires_ms = INT64_MAX,
};

static struct http *http;
static struct peer *peer;
static struct aws_target target;
static struct aws_call *call;

static void start(const struct aws_service *service) {
    memset(keys.token, 'T', 400);
    peer->keys[0] = &keys;
    if (peer->reply_count == 0) {
        peer_add(peer, (struct peer_reply){.status = 200, .body = "{\"a\":1}"});
    }
    peer_start(peer, service, &target);
    http = http_open(&(struct http_conf){.proxy = ""});
    call = aws_call_open(http, &target, REPLY_MAX);
}

static void stop(void) {
    aws_call_close(call);
    http_close(http);
    peer_stop(peer);
}

static void set_up(void) {
    peer = peer_new();
}

static const struct aws_reply *ask(const struct aws_keys *with, const char *operation,
                                   struct span body) {
    struct err err = {0};
    ck_assert_msg(aws_call_start(call, with, operation, body, TIMEOUT_MS, &err) == 0, "%s",
                  err.text);
    return aws_call_wait(call, NULL);
}

static void check_request(size_t number, const char *const *there, const char *const *not_there) {
    char *text = peer_request(peer, number);
    ck_assert_ptr_nonnull(text);
    for (; *there; there++) {
        ck_assert_msg(strstr(text, *there) != NULL, "%s is not in\n%s", *there, text);
    }
    for (; *not_there; not_there++) {
        ck_assert_msg(strcasestr(text, *not_there) == NULL, "%s is in\n%s", *not_there, text);
    }
    free(text);
}

/* ---- requests ---- */

START_TEST(test_json_request) {
    char host[64];
    start(&aws_kinesis);
    const struct aws_reply *reply = ask(&keys, "GetRecords", SPAN("{\"Limit\":5}"));
    ck_assert_int_eq(reply->class, AWS_FINE);
    ck_assert_int_eq(reply->status, 200);
    ck_assert_str_eq(reply->body, "{\"a\":1}");
    ck_assert_uint_eq(reply->len, 7);
    ck_assert_str_eq(reply->code, "");
    ck_assert_int_eq(aws_call_state(call), HTTP_DONE);
    snprintf(host, sizeof host, "\r\nHost: 127.0.0.1:%u\r\n", peer->port);
    check_request(0,
                  (const char *[]){
                      "POST / HTTP/1.1\r\n",
                      host,
                      "\r\nContent-Type: application/x-amz-json-1.1\r\n",
                      "\r\nX-Amz-Target: Kinesis_20131202.GetRecords\r\n",
                      "\r\nX-Amz-Security-Token: TTTT",
                      "\r\nUser-Agent: flowgelf/" FLOWGELF_VERSION "\r\n",
                      "Credential=ASIAEXAMPLE123456789/",
                      "/eu-west-1/kinesis/aws4_request, ",
                      "SignedHeaders=content-type;host;x-amz-date;x-amz-security-token;"
                      "x-amz-target, Signature=",
                      "\r\n\r\n{\"Limit\":5}",
                      NULL,
                  },
                  (const char *[]){"Accept-Encoding", "Expect", NULL});
    aws_call_release(call);
    ck_assert_int_eq(aws_call_state(call), HTTP_IDLE);
    /* Again, with the kept key and the kept connection; nothing to say is an empty object. */
    ck_assert_int_eq(ask(&keys, "ListShards", span_of(NULL, 0))->class, AWS_FINE);
    check_request(1, (const char *[]){"\r\n\r\n{}", NULL}, (const char *[]){NULL});
    ck_assert_uint_eq(peer_connections(peer), 1);
    ck_assert_uint_eq(peer_bad_signatures(peer), 0);
    stop();
}
END_TEST

START_TEST(test_json_1_0_request) {
    start(&aws_dynamodb);
    ck_assert_int_eq(ask(&keys, "Scan", SPAN("{}"))->class, AWS_FINE);
    check_request(0,
                  (const char *[]){"application/x-amz-json-1.0", "DynamoDB_20120810.Scan",
                                   "Accept-Encoding: gzip", NULL},
                  (const char *[]){NULL});
    ck_assert_uint_eq(peer_bad_signatures(peer), 0);
    stop();
}
END_TEST

START_TEST(test_query_request) {
    struct buf form;
    buf_init(&form, 1024);
    aws_form_add(&form, "Filter.1.Name", SPAN("private-ip address"));
    aws_form_add(&form, "Token", SPAN("a+/=&~\xc3\xa4"));
    start(&aws_elbv2);
    ck_assert_int_eq(ask(&keys, "DescribeLoadBalancers", buf_span(&form))->class, AWS_FINE);
    check_request(0,
                  (const char *[]){
                      "Content-Type: application/x-www-form-urlencoded; charset=utf-8\r\n",
                      "/eu-west-1/elasticloadbalancing/aws4_request",
                      "\r\n\r\nAction=DescribeLoadBalancers&Version=2015-12-01"
                      "&Filter.1.Name=private-ip%20address&Token=a%2B%2F%3D%26~%C3%A4",
                      NULL,
                  },
                  (const char *[]){"X-Amz-Target", NULL});
    ck_assert_uint_eq(peer_bad_signatures(peer), 0);
    buf_done(&form);
    stop();
}
END_TEST

START_TEST(test_unsigned_request) {
    start(&aws_sts);
    ck_assert_int_eq(ask(NULL, "AssumeRoleWithWebIdentity", SPAN("&RoleArn=x"))->class, AWS_FINE);
    check_request(0, (const char *[]){"Action=AssumeRoleWithWebIdentity", NULL},
                  (const char *[]){"Authorization", "X-Amz-Date", "X-Amz-Security-Token", NULL});
    stop();
}
END_TEST

/* Path and query of an endpoint are signed as they are sent. */
START_TEST(test_endpoint_with_path) {
    start(&aws_kinesis);
    aws_call_close(call);
    size_t len = strlen(target.url);
    snprintf(target.url + len, sizeof target.url - len, "%s", "vpce/a%20b/?z=1&a=%2f");
    call = aws_call_open(http, &target, REPLY_MAX);
    ck_assert_int_eq(ask(&keys, "GetRecords", SPAN("{}"))->class, AWS_FINE);
    check_request(0, (const char *[]){"POST /vpce/a%20b/?z=1&a=%2f HTTP/1.1\r\n", NULL},
                  (const char *[]){NULL});
    ck_assert_uint_eq(peer_bad_signatures(peer), 0);
    stop();
}
END_TEST

START_TEST(test_keys_that_cannot_be_sent) {
    static const struct {
        const char *access_id, *secret, *token, *expected;
    } rows[] = {
        {"", "s", "", "no access key id"},        {"a", "", "", "no secret key"},
        {"a\r\nX: y", "s", "", "access key id"},  {"a", "s", "t\nX: y", "session token"},
        {"a", "s", "t\xc3\xa4", "session token"},
    };
    start(&aws_kinesis);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct aws_keys bad = {.expires_ms = INT64_MAX};
        struct err err = {0};
        strcpy(bad.access_id, rows[i].access_id);
        strcpy(bad.secret, rows[i].secret);
        strcpy(bad.token, rows[i].token);
        ck_assert_int_eq(aws_call_start(call, &bad, "GetRecords", SPAN("{}"), TIMEOUT_MS, &err),
                         -1);
        ck_assert_int_eq(err.kind, ERR_CONFIG);
        ck_assert_msg(strstr(err.text, rows[i].expected) != NULL, "%s", err.text);
        ck_assert_ptr_null(strstr(err.text, "X: y"));
        ck_assert_int_eq(aws_call_state(call), HTTP_IDLE);
    }
    ck_assert_uint_eq(peer_requests(peer), 0);
    stop();
}
END_TEST

START_TEST(test_long_token) {
    start(&aws_kinesis);
    memset(keys.token, 'L', AWS_TOKEN_MAX - 1);
    ck_assert_int_eq(ask(&keys, "GetRecords", SPAN("{}"))->class, AWS_FINE);
    ck_assert_uint_eq(peer_bad_signatures(peer), 0);
    memset(keys.token, 0, sizeof keys.token);
    stop();
}
END_TEST

START_TEST(test_form_too_large) {
    static char large[(1 << 20) + 1];
    struct err err = {0};
    memset(large, 'x', sizeof large);
    start(&aws_ec2);
    struct span body = span_of(large, sizeof large);
    ck_assert_int_eq(aws_call_start(call, &keys, "Describe", body, TIMEOUT_MS, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    stop();
}
END_TEST

/* ---- replies ---- */

struct judged {
    struct peer_reply reply;
    enum aws_class class;
    enum err_kind kind;
    const char *code, *text;
};

static void check_judged(const struct aws_service *service, const char *operation,
                         const struct judged *rows, size_t count) {
    for (size_t i = 0; i < count; i++) {
        peer_add(peer, rows[i].reply);
    }
    start(service);
    for (size_t i = 0; i < count; i++) {
        const struct aws_reply *reply = ask(&keys, operation, span_of(NULL, 0));
        ck_assert_msg(reply->class == rows[i].class, "%zu: class %d: %s", i, reply->class,
                      reply->err.text);
        ck_assert_int_eq(reply->status, rows[i].reply.status);
        ck_assert_str_eq(reply->code, rows[i].code);
        ck_assert_str_eq(reply->err.text, rows[i].text);
        ck_assert_int_eq(reply->err.kind, rows[i].kind);
        ck_assert_str_eq(reply->body, rows[i].reply.body);
    }
    ck_assert_int_eq(atomic_load(&target.skew_ms), 0);
    stop();
}

START_TEST(test_json_errors) {
    static const struct judged rows[] = {
        {{400, "x-amzn-RequestId: r-1\r\n",
          "{\"__type\":\"ExpiredIteratorException\",\"message\":\"Iterator \\\"x\\\"\\n expired\"}",
          0},
         AWS_REFUSED,
         ERR_CONFIG,
         "ExpiredIteratorException",
         "kinesis GetRecords: ExpiredIteratorException: Iterator \"x\" (HTTP 400, request r-1)"},
        {{400, NULL,
          "{\"Message\":\"Rate exceeded\",\"x\":[{\"message\":\"no\"}],"
          "\"__type\":\"com.amazonaws.kinesis.v20131202#ProvisionedThroughputExceededException\"}",
          0},
         AWS_THROTTLED,
         ERR_RETRY,
         "ProvisionedThroughputExceededException",
         "kinesis GetRecords: ProvisionedThroughputExceededException: Rate exceeded (HTTP 400)"},
        {{500, "x-amzn-ErrorType: InternalFailure:http://internal.amazon.com/coral/\r\n", "", 0},
         AWS_TRANSIENT,
         ERR_RETRY,
         "InternalFailure",
         "kinesis GetRecords: InternalFailure (HTTP 500)"},
        {{400, "x-amzn-ErrorType: LimitExceededException\r\n", "{\"message\":null}", 0},
         AWS_THROTTLED,
         ERR_RETRY,
         "LimitExceededException",
         "kinesis GetRecords: LimitExceededException (HTTP 400)"},
        {{400, NULL, "{\"__type\":\"AccessDeniedException\",\"Message\":\"no\"}", 0},
         AWS_DENIED,
         ERR_CONFIG,
         "AccessDeniedException",
         "kinesis GetRecords: AccessDeniedException: no (HTTP 400); the caller's IAM policy must "
         "allow kinesis:GetRecords"},
        {{400, NULL, "{\"__type\":\"KMSAccessDeniedException\",\"message\":\"no\"}", 0},
         AWS_DENIED,
         ERR_CONFIG,
         "KMSAccessDeniedException",
         "kinesis GetRecords: KMSAccessDeniedException: no (HTTP 400); the key's and the caller's "
         "policies must allow kms:Decrypt"},
        {{400, NULL, "{\"__type\":\"KMSThrottlingException\"}", 0},
         AWS_THROTTLED,
         ERR_RETRY,
         "KMSThrottlingException",
         "kinesis GetRecords: KMSThrottlingException (HTTP 400)"},
        {{400, NULL, "{\"__type\":\"KMSDisabledException\"}", 0},
         AWS_REFUSED,
         ERR_CONFIG,
         "KMSDisabledException",
         "kinesis GetRecords: KMSDisabledException (HTTP 400)"},
        {{400, NULL, "{\"__type\":\"ResourceInUseException\"}", 0},
         AWS_REFUSED,
         ERR_RETRY,
         "ResourceInUseException",
         "kinesis GetRecords: ResourceInUseException (HTTP 400)"},
        {{403, NULL, "{\"__type\":\"ExpiredTokenException\",\"message\":\"expired\"}", 0},
         AWS_KEYS,
         ERR_RETRY,
         "ExpiredTokenException",
         "kinesis GetRecords: ExpiredTokenException: expired (HTTP 403)"},
        {{408, NULL, "{\"__type\":\"RequestTimeoutException\"}", 0},
         AWS_TRANSIENT,
         ERR_RETRY,
         "RequestTimeoutException",
         "kinesis GetRecords: RequestTimeoutException (HTTP 408)"},
        {{503, NULL, "<html>overloaded</html>", 0},
         AWS_TRANSIENT,
         ERR_RETRY,
         "",
         "kinesis GetRecords: a reply without an error code of AWS (HTTP 503)"},
        {{429, NULL, "{\"a", 0},
         AWS_THROTTLED,
         ERR_RETRY,
         "",
         "kinesis GetRecords: a reply without an error code of AWS (HTTP 429)"},
        {{403, NULL, "Blocked by your proxy", 0},
         AWS_REFUSED,
         ERR_CONFIG,
         "",
         "kinesis GetRecords: a reply without an error code of AWS (HTTP 403)"},
        {{302, "Location: http://192.0.2.1/\r\n", "", 0},
         AWS_REFUSED,
         ERR_CONFIG,
         "",
         "kinesis GetRecords: a reply without an error code of AWS (HTTP 302)"},
        {{404, NULL, "<UnknownOperationException/>", 0},
         AWS_REFUSED,
         ERR_CONFIG,
         "UnknownOperationException",
         "kinesis GetRecords: UnknownOperationException (HTTP 404)"},
        /* With the clocks in step it is the secret. */
        {{400, NULL, "{\"__type\":\"InvalidSignatureException\",\"message\":\"does not match\"}",
          0},
         AWS_DENIED,
         ERR_CONFIG,
         "InvalidSignatureException",
         "kinesis GetRecords: InvalidSignatureException: does not match (HTTP 400); the secret key "
         "is not that of the access key id"},
        {{400, NULL, "{\"__type\":\"RequestTimeTooSkewed\"}", 0},
         AWS_REFUSED,
         ERR_CONFIG,
         "RequestTimeTooSkewed",
         "kinesis GetRecords: RequestTimeTooSkewed (HTTP 400)"},
    };
    check_judged(&aws_kinesis, "GetRecords", rows, sizeof rows / sizeof rows[0]);
}
END_TEST

START_TEST(test_xml_errors) {
    static const struct judged rows[] = {
        {{403, NULL,
          "<ErrorResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><Error><Type>Sender"
          "</Type><Code>AccessDenied</Code><Message>not you</Message></Error>"
          "<RequestId>r-9</RequestId></ErrorResponse>",
          0},
         AWS_DENIED,
         ERR_CONFIG,
         "AccessDenied",
         "ec2 DescribeInstances: AccessDenied: not you (HTTP 403, request r-9); the caller's IAM "
         "policy must allow ec2:DescribeInstances"},
        {{503, NULL,
          "<?xml version=\"1.0\"?>\n<Response><Errors><Error><Code>RequestLimitExceeded</Code>"
          "<Message>Request limit exceeded.</Message></Error></Errors><RequestID>r-2</RequestID>"
          "</Response>",
          0},
         AWS_THROTTLED,
         ERR_RETRY,
         "RequestLimitExceeded",
         "ec2 DescribeInstances: RequestLimitExceeded: Request limit exceeded. (HTTP 503, request "
         "r-2)"},
        {{401, NULL,
          "<Response><Errors><Error><Code>AuthFailure</Code><Message>no</Message></Error></Errors>"
          "</Response>",
          0},
         AWS_KEYS,
         ERR_RETRY,
         "AuthFailure",
         "ec2 DescribeInstances: AuthFailure: no (HTTP 401)"},
        {{400, NULL, "<Error><Code>A B</Code></Error>", 0},
         AWS_REFUSED,
         ERR_CONFIG,
         "A",
         "ec2 DescribeInstances: A (HTTP 400)"},
        {{502, NULL, "<Response><Errors>", 0},
         AWS_TRANSIENT,
         ERR_RETRY,
         "",
         "ec2 DescribeInstances: a reply without an error code of AWS (HTTP 502)"},
    };
    check_judged(&aws_ec2, "DescribeInstances", rows, sizeof rows / sizeof rows[0]);
}
END_TEST

START_TEST(test_no_reply) {
    peer_add(peer, (struct peer_reply){.status = 200, .body = "{\"a\":1}", .act = PEER_BREAKS});
    peer_add(peer, (struct peer_reply){.status = 200, .body = "{}", .act = PEER_HANGS});
    start(&aws_kinesis);
    const struct aws_reply *reply = ask(&keys, "GetRecords", SPAN("{}"));
    ck_assert_int_eq(reply->class, AWS_TRANSIENT);
    ck_assert_int_eq(reply->status, 0);
    ck_assert_int_eq(reply->err.kind, ERR_RETRY);
    ck_assert_str_eq(reply->body, "");
    ck_assert_msg(strncmp(reply->err.text, "kinesis GetRecords: 127.0.0.1:", 30) == 0, "%s",
                  reply->err.text);
    struct err err;
    ck_assert_int_eq(aws_call_start(call, &keys, "GetRecords", SPAN("{}"), 200, &err), 0);
    ck_assert_int_eq(aws_call_state(call), HTTP_RUNNING);
    reply = aws_call_wait(call, NULL);
    ck_assert_int_eq(reply->class, AWS_TRANSIENT);
    ck_assert_int_eq(aws_call_state(call), HTTP_DONE);
    const atomic_bool stopping = true;
    ck_assert_int_eq(aws_call_start(call, &keys, "GetRecords", SPAN("{}"), TIMEOUT_MS, &err), 0);
    reply = aws_call_wait(call, &stopping);
    ck_assert_int_eq(reply->class, AWS_TRANSIENT);
    ck_assert_ptr_nonnull(strstr(reply->err.text, "stopped"));
    stop();
}
END_TEST

START_TEST(test_too_large) {
    static char large[REPLY_MAX + 2];
    memset(large, ' ', sizeof large - 1);
    peer_add(peer, (struct peer_reply){.status = 200, .body = large});
    start(&aws_kinesis);
    const struct aws_reply *reply = ask(&keys, "GetRecords", SPAN("{}"));
    ck_assert_int_eq(reply->class, AWS_REFUSED);
    ck_assert_int_eq(reply->err.kind, ERR_CONFIG);
    stop();
}
END_TEST

/* ---- the clock, and what is said ---- */

/* What was written to stderr while it was redirected; the caller frees it. */
static int stderr_kept;

static void redirect(FILE *to) {
    stderr_kept = dup(STDERR_FILENO);
    dup2(fileno(to), STDERR_FILENO);
}

static int restore(FILE *from, const char *needle) {
    char line[4096];
    int count = 0;
    dup2(stderr_kept, STDERR_FILENO);
    close(stderr_kept);
    rewind(from);
    while (fgets(line, sizeof line, from)) {
        count += strstr(line, needle) != NULL;
    }
    return count;
}

static void check_skew(int64_t clock_s, const char *direction) {
    FILE *log = tmpfile();
    ck_assert_ptr_nonnull(log);
    peer->clock_s = clock_s;
    start(&aws_kinesis);
    struct aws_call *other = aws_call_open(http, &target, REPLY_MAX);
    struct err err;
    ck_assert_int_eq(aws_call_start(other, &keys, "ListShards", SPAN("{}"), TIMEOUT_MS, &err), 0);
    redirect(log);
    const struct aws_reply *reply = ask(&keys, "GetRecords", SPAN("{}"));
    enum aws_class class = reply->class, other_class = aws_call_wait(other, NULL)->class;
    enum aws_class again = ask(&keys, "GetRecords", SPAN("{}"))->class;
    int said = restore(log, "our clock"), in_words = 0;
    rewind(log);
    in_words += restore(log, direction);
    ck_assert_int_eq(class, AWS_SKEW);
    ck_assert_int_eq(other_class, AWS_SKEW); /* dated before the first one was answered */
    ck_assert_int_eq(again, AWS_FINE);
    ck_assert_int_eq(said, 1);
    ck_assert_int_eq(in_words, 1);
    int64_t off_ms = llabs((int64_t)atomic_load(&target.skew_ms) - clock_s * 1000);
    ck_assert_int_lt(off_ms, 60000);
    aws_call_close(other);
    fclose(log);
    stop();
}

START_TEST(test_clock_behind) {
    check_skew(3600, "s behind that");
}
END_TEST

START_TEST(test_clock_ahead) {
    check_skew(-86400, "s ahead of that");
}
END_TEST

/* A date cannot be learnt from a reply without one. */
START_TEST(test_clock_unknown) {
    peer->clock_s = 3600;
    peer->has_no_date = true;
    start(&aws_kinesis);
    ck_assert_int_eq(ask(&keys, "GetRecords", SPAN("{}"))->class, AWS_DENIED);
    ck_assert_int_eq(atomic_load(&target.skew_ms), 0);
    stop();
}
END_TEST

/* The peer repeats the request with token and signature in its message. */
START_TEST(test_wrong_secret_says_no_secret) {
    start(&aws_kinesis);
    struct aws_keys wrong = keys;
    strcpy(wrong.secret, "ANOTHERSECRET/K7MDENG+bPxRfiCYEXAMPLEKEY");
    const struct aws_reply *reply = ask(&wrong, "GetRecords", SPAN("{\"body\":\"inside\"}"));
    ck_assert_int_eq(reply->class, AWS_DENIED);
    ck_assert_str_eq(reply->code, "SignatureDoesNotMatch");
    ck_assert_ptr_nonnull(strstr(reply->body, "TTTTTTTT")); /* or this would show nothing */
    ck_assert_str_eq(reply->err.text,
                     "kinesis GetRecords: SignatureDoesNotMatch: The request signature we "
                     "calculated does not match. (HTTP 400); the secret key is not that of the "
                     "access key id");
    struct aws_keys unknown = keys;
    strcpy(unknown.access_id, "AKIAUNKNOWN");
    reply = ask(&unknown, "GetRecords", SPAN("{}"));
    ck_assert_int_eq(reply->class, AWS_KEYS);
    ck_assert_ptr_null(strstr(reply->err.text, "TTTT"));
    stop();
}
END_TEST

static void check_quote(const char *json, const char *expected) {
    struct aws_fault fault;
    struct aws_fault_headers headers = {.error_type = SPAN("")};
    aws_fault_read(span_str(json), &headers, &fault);
    ck_assert_str_eq(fault.message, expected);
}

START_TEST(test_messages) {
    char json[2000], expected[400];
    check_quote("{\"message\":\"a\\u001b[31m b\\tc\"}", "a [31m b c");
    check_quote("{\"message\":\"User: arn:aws:sts::123456789012:assumed-role/"
                "AWSReservedSSO_AdministratorAccessOfEverythingEverywhere0123456789/me is not\"}",
                "User: arn:aws:sts::123456789012:assumed-role/"
                "AWSReservedSSO_AdministratorAccessOfEverythingEverywhere0123456789/me is not");
    check_quote("{\"message\":\"number 49590338271490256608559692538361571095921575989136588898\"}",
                "number 49590338271490256608559692538361571095921575989136588898");
    check_quote(
        "{\"message\":\"'Signature=0123456789abcdef0123456789abcdef0123456789abcdef0123456789"
        "abcdef' is bad\"}",
        "'[...]' is bad");
    check_quote(
        "{\"message\":\"x-amz-security-token:IQoJb3JpZ2luX2VjEJr+/+EXAMPLEEXAMPLEEXAMPLE== x\"}",
        "[...] x");
    check_quote("{\"message\":\"token eyJhbGciOi.J9.e30\"}", "token [...]");
    check_quote("{\"message\":\"secret wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY\"}",
                "secret [...]");
    check_quote("{\"message\":\"wrong. The Canonical String for this\"}", "wrong.");
    check_quote("{\"message\":7}", "");
    /* 298 bytes, then a character of three: it is left out as a whole. */
    memset(json, 0, sizeof json);
    strcpy(json, "{\"message\":\"");
    for (int i = 0; i < 149; i++) {
        strcat(json, "a ");
        expected[2 * i] = 'a';
        expected[2 * i + 1] = ' ';
    }
    strcpy(expected + 298, "...");
    strcat(json, "\xe2\x82\xac and more\"}");
    check_quote(json, expected);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("aws_call");
    TCase *tcase = tcase_create("aws_call");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, test_json_request);
    tcase_add_test(tcase, test_json_1_0_request);
    tcase_add_test(tcase, test_query_request);
    tcase_add_test(tcase, test_unsigned_request);
    tcase_add_test(tcase, test_endpoint_with_path);
    tcase_add_test(tcase, test_keys_that_cannot_be_sent);
    tcase_add_test(tcase, test_long_token);
    tcase_add_test(tcase, test_form_too_large);
    tcase_add_test(tcase, test_json_errors);
    tcase_add_test(tcase, test_xml_errors);
    tcase_add_test(tcase, test_no_reply);
    tcase_add_test(tcase, test_too_large);
    tcase_add_test(tcase, test_clock_behind);
    tcase_add_test(tcase, test_clock_ahead);
    tcase_add_test(tcase, test_clock_unknown);
    tcase_add_test(tcase, test_wrong_secret_says_no_secret);
    tcase_add_test(tcase, test_messages);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
