/* SPDX-License-Identifier: Apache-2.0 */
/*
 * aws/client against a service on loopback, with credentials played by the test: what is tried
 * again and how often, what is not, and that deadlines and stopping hold.
 */
#include "aws/client.h"

#include <string.h>

#include "aws_peer.h"
#include "unit.h"

enum { REPLY_MAX = 16 << 10, DEADLINE_MS = 30000, SEED = 7 };

/* ---- credentials, as aws/credentials.h says, renewed as soon as one distrusts them ---- */

struct aws_credentials {
    struct aws_keys now, next; /* next: without an id, there are no others */
    int missing;               /* times that there are no keys yet */
    int distrusted;
    char distrusted_id[AWS_ACCESS_ID_MAX];
};

int aws_credentials_get(struct aws_credentials *credentials, struct aws_keys *keys,
                        struct err *err) {
    if (credentials->missing > 0) {
        credentials->missing--;
        return err_set(err, ERR_RETRY, "no credentials: nobody gave any");
    }
    *keys = credentials->now;
    return 0;
}

void aws_credentials_distrust(struct aws_credentials *credentials, const char *access_id) {
    credentials->distrusted++;
    strcpy(credentials->distrusted_id, access_id);
    if (credentials->next.access_id[0]) {
        credentials->now = credentials->next;
    }
}

/* ---- the client under test ---- */

static const struct aws_keys good = {
    .access_id = "AKIAGOOD",
    .secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    .expires_ms = INT64_MAX,
};
static const struct aws_keys old = {
    .access_id = "AKIAOLD",
    .secret = "another",
    .expires_ms = INT64_MAX,
};

static struct peer *peer;
static struct aws_target target;
static struct aws_credentials credentials;
static struct aws_client *client;
static const struct aws_reply *reply;
static struct err err;

static void set_up(void) {
    peer = peer_new();
    peer->keys[0] = &good;
    credentials = (struct aws_credentials){.now = good};
}

static void start(void) {
    if (peer->reply_count == 0) {
        peer_add(peer, (struct peer_reply){.status = 200, .body = "{}"});
    }
    peer_start(peer, &aws_dynamodb, &target);
    client = aws_client_open(&(struct aws_client_conf){
        .target = &target,
        .credentials = &credentials,
        .proxy = "",
        .reply_max = REPLY_MAX,
        .seed = SEED,
    });
}

static int ask(int64_t deadline_ms, const atomic_bool *stopping) {
    memset(&err, 0, sizeof err);
    return aws_client_call(client, "GetItem", SPAN("{\"x\":1}"), deadline_ms, stopping, &reply,
                           &err);
}

static void stop(void) {
    aws_client_close(client);
    peer_stop(peer);
}

START_TEST(test_fine) {
    start();
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), 0);
    ck_assert_str_eq(reply->body, "{}");
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), 0);
    ck_assert_uint_eq(peer_requests(peer), 2);
    ck_assert_uint_eq(peer_connections(peer), 1);
    ck_assert_uint_eq(peer_bad_signatures(peer), 0);
    stop();
    aws_client_close(NULL);
}
END_TEST

START_TEST(test_unsigned) {
    start();
    aws_client_close(client);
    client = aws_client_open(
        &(struct aws_client_conf){.target = &target, .proxy = "", .reply_max = REPLY_MAX});
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), 0);
    char *text = peer_request(peer, 0);
    ck_assert_ptr_null(strstr(text, "Authorization"));
    free(text);
    stop();
}
END_TEST

START_TEST(test_transient_and_throttled) {
    peer_add(peer, (struct peer_reply){.status = 500, .body = ""});
    peer_add(peer, (struct peer_reply){.status = 200, .body = "{\"a\":1}", .act = PEER_BREAKS});
    peer_add(peer,
             (struct peer_reply){.status = 400, .body = "{\"__type\":\"ThrottlingException\"}"});
    peer_add(peer, (struct peer_reply){.status = 503, .body = ""});
    peer_add(peer, (struct peer_reply){.status = 200, .body = "{\"b\":2}"});
    start();
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), 0);
    ck_assert_str_eq(reply->body, "{\"b\":2}");
    ck_assert_uint_eq(peer_requests(peer), 5);
    for (size_t i = 0; i < 5; i++) {
        char *text = peer_request(peer, i);
        ck_assert_ptr_nonnull(strstr(text, "\r\n\r\n{\"x\":1}"));
        free(text);
    }
    stop();
}
END_TEST

static void check_final(const char *body, enum aws_class class, enum err_kind kind) {
    peer_add(peer, (struct peer_reply){.status = 400, .body = body});
    start();
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), -1);
    ck_assert_int_eq(reply->class, class);
    ck_assert_int_eq(err.kind, kind);
    ck_assert_str_eq(err.text, reply->err.text);
    ck_assert_uint_eq(peer_requests(peer), 1);
    ck_assert_int_eq(credentials.distrusted, 0);
    stop();
}

START_TEST(test_refused) {
    check_final("{\"__type\":\"ConditionalCheckFailedException\"}", AWS_REFUSED, ERR_CONFIG);
}
END_TEST

START_TEST(test_denied) {
    check_final("{\"__type\":\"AccessDeniedException\"}", AWS_DENIED, ERR_CONFIG);
}
END_TEST

START_TEST(test_busy) {
    check_final("{\"__type\":\"ResourceInUseException\"}", AWS_REFUSED, ERR_RETRY);
}
END_TEST

START_TEST(test_keys_renewed) {
    credentials.now = old;
    credentials.next = good;
    start();
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), 0);
    ck_assert_int_eq(credentials.distrusted, 1);
    ck_assert_str_eq(credentials.distrusted_id, "AKIAOLD");
    ck_assert_uint_eq(peer_requests(peer), 2);
    stop();
}
END_TEST

/* Nobody renews them: waits a while, tries once more, gives up. */
START_TEST(test_keys_not_renewed) {
    credentials.now = old;
    start();
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), -1);
    ck_assert_int_eq(reply->class, AWS_KEYS);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_int_eq(credentials.distrusted, 1);
    ck_assert_uint_eq(peer_requests(peer), 2);
    stop();
}
END_TEST

START_TEST(test_no_keys_yet) {
    credentials.missing = 3;
    credentials.now = old; /* which are refused later, and still renewed */
    credentials.next = good;
    start();
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), 0);
    ck_assert_int_eq(credentials.missing, 0);
    ck_assert_uint_eq(peer_requests(peer), 2);
    stop();
}
END_TEST

START_TEST(test_no_keys_at_all) {
    credentials.missing = 1000000;
    start();
    ck_assert_int_eq(ask(200, NULL), -1);
    ck_assert_int_eq(reply->class, AWS_KEYS);
    ck_assert_str_eq(reply->code, "");
    ck_assert_str_eq(reply->body, "");
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_ptr_nonnull(strstr(err.text, "nobody gave any"));
    ck_assert_uint_eq(peer_requests(peer), 0);
    stop();
}
END_TEST

START_TEST(test_keys_that_cannot_sign) {
    credentials.now.secret[0] = '\0';
    start();
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), -1);
    ck_assert_int_eq(reply->class, AWS_REFUSED);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_uint_eq(peer_requests(peer), 0);
    stop();
}
END_TEST

START_TEST(test_clock_learnt) {
    peer->clock_s = 7200;
    start();
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), 0);
    ck_assert_uint_eq(peer_requests(peer), 2);
    ck_assert_int_eq(ask(DEADLINE_MS, NULL), 0); /* once for all */
    ck_assert_uint_eq(peer_requests(peer), 3);
    stop();
}
END_TEST

/* The deadline ends it, whatever the attempts would still like to wait for. */
START_TEST(test_deadline) {
    peer_add(peer, (struct peer_reply){.status = 200, .body = "{}", .act = PEER_HANGS});
    start();
    ck_assert_int_eq(ask(300, NULL), -1);
    ck_assert_int_eq(reply->class, AWS_TRANSIENT);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    stop();
}
END_TEST

START_TEST(test_deadline_of_failures) {
    peer_add(peer, (struct peer_reply){.status = 500, .body = ""});
    start();
    ck_assert_int_eq(ask(3000, NULL), -1);
    ck_assert_int_eq(reply->class, AWS_TRANSIENT);
    ck_assert_int_eq(reply->status, 500);
    ck_assert_uint_gt(peer_requests(peer), 1);
    stop();
}
END_TEST

static atomic_bool stopping;

static void *stop_soon(void *context) {
    (void)context;
    usleep(100000);
    atomic_store(&stopping, true);
    return NULL;
}

static void check_stopped(struct peer_reply first) {
    pthread_t thread;
    peer_add(peer, first);
    start();
    ck_assert_int_eq(pthread_create(&thread, NULL, stop_soon, NULL), 0);
    /* Without stopping it would take longer than the test may. */
    ck_assert_int_eq(ask(INT32_MAX, &stopping), -1);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_uint_gt(peer_requests(peer), 0);
    pthread_join(thread, NULL);
    size_t before = peer_requests(peer);
    ck_assert_int_eq(ask(INT32_MAX, &stopping), -1);
    ck_assert_uint_le(peer_requests(peer), before + 1);
    stop();
}

START_TEST(test_stopped_waiting) {
    check_stopped((struct peer_reply){.status = 200, .body = "{}", .act = PEER_HANGS});
}
END_TEST

START_TEST(test_stopped_pausing) {
    check_stopped(
        (struct peer_reply){.status = 400, .body = "{\"__type\":\"ThrottlingException\"}"});
}
END_TEST

START_TEST(test_pauses) {
    static const struct {
        enum aws_class class;
        int failures;
        int64_t most_ms;
    } rows[] = {
        {AWS_TRANSIENT, 1, 50},    {AWS_TRANSIENT, 2, 100},    {AWS_TRANSIENT, 5, 800},
        {AWS_TRANSIENT, 9, 12800}, {AWS_TRANSIENT, 10, 20000}, {AWS_TRANSIENT, 1000000, 20000},
        {AWS_THROTTLED, 1, 1000},  {AWS_THROTTLED, 4, 8000},   {AWS_THROTTLED, 6, 20000},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum aws_class class = rows[i].class;
        ck_assert_int_eq(aws_client_pause_ms(class, rows[i].failures, 0), 0);
        int64_t most_ms = aws_client_pause_ms(class, rows[i].failures, UINT32_MAX);
        int64_t half_ms = aws_client_pause_ms(class, rows[i].failures, 1u << 31);
        ck_assert_int_eq(most_ms, rows[i].most_ms);
        ck_assert_int_eq(half_ms, rows[i].most_ms / 2);
    }
}
END_TEST

int main(void) {
    Suite *suite = suite_create("aws_client");
    TCase *tcase = tcase_create("aws_client");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, NULL);
    tcase_add_test(tcase, test_fine);
    tcase_add_test(tcase, test_unsigned);
    tcase_add_test(tcase, test_transient_and_throttled);
    tcase_add_test(tcase, test_refused);
    tcase_add_test(tcase, test_denied);
    tcase_add_test(tcase, test_busy);
    tcase_add_test(tcase, test_keys_renewed);
    tcase_add_test(tcase, test_keys_not_renewed);
    tcase_add_test(tcase, test_no_keys_yet);
    tcase_add_test(tcase, test_no_keys_at_all);
    tcase_add_test(tcase, test_keys_that_cannot_sign);
    tcase_add_test(tcase, test_clock_learnt);
    tcase_add_test(tcase, test_deadline);
    tcase_add_test(tcase, test_deadline_of_failures);
    tcase_add_test(tcase, test_stopped_waiting);
    tcase_add_test(tcase, test_stopped_pausing);
    tcase_add_test(tcase, test_pauses);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
