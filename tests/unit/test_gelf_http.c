/* SPDX-License-Identifier: Apache-2.0 */
/*
 * GELF over HTTP against a server on loopback that answers as each story wants: what arrives, how
 * often, what is given up, and when parcels count as delivered. Each story waits for events with a
 * limit, never for a time.
 */
#include <check.h>
#include <unistd.h>

#include "base/inflate.h"
#include "config/option.h"
#include "config/yaml.h"
#include "http_server.h"
#include "output/gelf_http_batch.h"
#include "output/gelf_http_conf.h"
#include "output/outputs.h"
#include "parcels.h"
#include "unit.h"

enum { LIMIT_MS = 30000, MESSAGES_MAX = 20000, NONE = -1 };

/* Does what follows the condition until that holds; the limit only ends a test that has failed. */
#define UNTIL(condition, ...)                                                                  \
    do {                                                                                       \
        int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;                                      \
        while (!(condition)) {                                                                 \
            __VA_ARGS__;                                                                       \
            ck_assert_msg(clock_monotonic_ms() < end_ms, "waited in vain for %s", #condition); \
        }                                                                                      \
    } while (0)

enum deed { ANSWER, RESET, HANG };

/* How the server behaves, and what it has taken. */
static struct {
    pthread_mutex_t lock;
    int status;        /* of the next `spoilt` requests, if deed is ANSWER */
    enum deed deed;    /* RESET: after the request was read and taken */
    int spoilt;        /* requests to be answered badly; the others 202 */
    const char *extra; /* headers of bad answers */
    size_t body_max;   /* larger ones: 413; 0: none */
    int poison;        /* a body with this message: 400 */
    const char *wants; /* a line that must stand in the head, else 401 */
    char head[4096];   /* of the last request */
    char method[16];
    int times[MESSAGES_MAX];
    size_t taken, requests, refused, largest_body;
    int running, running_max;
    atomic_int met;  /* requests there were at once, */
    atomic_int meet; /* and before so many none is answered */
} peer;

static struct http_server *server;
static struct option_context context;
static struct yaml_node *root;
static struct gelf_http_conf *conf;
static struct shipment shipment;
static char dead_path[64];
static struct dead_letter_conf dead_conf;
static struct dead_letter *dead;

static bool has_poison(struct span body) {
    struct span line;
    bool found = false;
    while (span_cut(&body, '\n', &line)) {
        found = found || (line.len >= 8 && atoi(line.p) == peer.poison);
    }
    return found;
}

static void take(struct span body) {
    struct span line;
    while (span_cut(&body, '\n', &line)) {
        int number = atoi(line.p);
        ck_assert_uint_ge(line.len, 8);
        ck_assert_int_lt(number, MESSAGES_MAX);
        peer.times[number]++;
        peer.taken++;
    }
}

/* As answers are decided by a server: who asks, how large it is, what stands in it. */
static int status_of(const struct http_server_request *request, struct span body) {
    if (peer.wants && !strstr(request->head, peer.wants)) {
        return 401;
    }
    if (peer.spoilt > 0 && peer.deed == ANSWER) {
        peer.spoilt--;
        return peer.status;
    }
    if (peer.body_max > 0 && body.len > peer.body_max) {
        return 413;
    }
    return peer.poison != NONE && has_poison(body) ? 400 : 202;
}

static void answer(struct http_server_request *request, void *unused) {
    (void)unused;
    struct buf plain;
    struct span body = span_of(request->body, request->body_len);
    buf_init(&plain, 4 << 20);
    if (inflate_is_gzip(body)) {
        struct inflater *inflater = inflater_open();
        ck_assert(strstr(request->head, "Content-Encoding: gzip") != NULL);
        ck_assert_int_eq(inflater_run(inflater, body, &plain), INFLATE_OK);
        inflater_close(inflater);
        body = buf_span(&plain);
    }
    pthread_mutex_lock(&peer.lock);
    peer.requests++;
    peer.running++;
    peer.running_max = peer.running > peer.running_max ? peer.running : peer.running_max;
    atomic_store(&peer.met, peer.running_max);
    peer.largest_body = body.len > peer.largest_body ? body.len : peer.largest_body;
    snprintf(peer.head, sizeof peer.head, "%s", request->head);
    snprintf(peer.method, sizeof peer.method, "%s", request->method);
    enum deed deed = peer.spoilt > 0 ? peer.deed : ANSWER;
    int status = status_of(request, body);
    bool is_spoilt = status != 202;
    if (deed != ANSWER) {
        peer.spoilt--;
    }
    if (status == 202 && deed != HANG && body.len > 0) {
        take(body);
    }
    peer.refused += is_spoilt;
    pthread_mutex_unlock(&peer.lock);
    while (atomic_load(&peer.met) < atomic_load(&peer.meet) && !atomic_load(&server->stopping)) {
        usleep(HTTP_SERVER_TICK_US);
    }
    if (deed == RESET) {
        http_server_reset(request);
    } else if (deed == HANG) {
        http_server_wait(request, NULL);
    } else {
        http_server_reply(request, status, is_spoilt && peer.extra ? peer.extra : "", "", 0);
    }
    pthread_mutex_lock(&peer.lock);
    peer.running--;
    pthread_mutex_unlock(&peer.lock);
    buf_done(&plain);
}

static void set_up(void) {
    memset(&peer, 0, sizeof peer);
    pthread_mutex_init(&peer.lock, NULL);
    peer.poison = NONE;
    server = http_server_open(answer, NULL);
    snprintf(dead_path, sizeof dead_path, "/tmp/flowgelf-test-%d.jsonl", (int)getpid());
    dead_conf.path = dead_path;
    dead = dead_letter_open(&dead_conf);
}

static void free_conf(void) {
    if (conf) {
        output_gelf_http_type.done(conf);
        option_free(output_gelf_http_type.options, conf);
        free(conf);
        conf = NULL;
    }
    yaml_unload(root);
    root = NULL;
    buf_done(&context.errors);
}

static void tear_down(void) {
    if (shipment.handle) {
        shipment_close(&shipment);
        shipment.handle = NULL;
    }
    if (server) {
        http_server_close(server);
    }
    dead_letter_close(dead);
    unlink(dead_path);
    free_conf();
}

/* A conf from settings; how many errors there are. */
static int configure(const char *more) {
    static const struct message_conf messages;
    struct err err;
    char text[2048];
    free_conf();
    if (strstr(more, "url:")) {
        snprintf(text, sizeof text, "%s\n", more);
    } else {
        snprintf(text, sizeof text, "url: http://127.0.0.1:%d/gelf\n%s\n", server->port, more);
    }
    ck_assert_int_eq(yaml_parse(span_str(text), "test", &root, &err), 0);
    context = (struct option_context){.file = "test", .read_dir = "/", .write_dir = "/"};
    buf_init(&context.errors, 1 << 16);
    conf = calloc(1, output_gelf_http_type.conf_size);
    option_parse(&context, output_gelf_http_type.options, root, "outputs[0].gelf_http", conf);
    output_gelf_http_type.init(conf, &messages, &context, root, "outputs[0].gelf_http");
    return context.error_count;
}

static void start(const char *settings) {
    ck_assert_msg(configure(settings) == 0, "%s", buf_cstr(&context.errors));
    shipment_open(&shipment, &output_gelf_http_type, conf, dead);
}

static void until_delivered(void) {
    UNTIL(shipment_delivered(&shipment) == shipment.last, shipment_turn(&shipment, 20),
          shipment.skipped_ms += 20);
}

static const struct output_counts *counts(void) {
    return output_gelf_http_type.counts(shipment.handle);
}

static size_t count_dead(void) {
    struct err err;
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    return dead_letter_counts(dead).written;
}

/* All but `lacking` arrived, and at most so many twice. */
static void arrived(int lacking, size_t twice_max) {
    size_t twice = 0;
    pthread_mutex_lock(&peer.lock);
    for (size_t i = 0; i < shipment.messages; i++) {
        int wanted = (int)i == lacking ? 0 : 1;
        ck_assert_msg(peer.times[i] >= wanted && (wanted || peer.times[i] == 0),
                      "message %zu arrived %d times", i, peer.times[i]);
        twice += peer.times[i] > 1 ? (size_t)peer.times[i] - 1 : 0;
    }
    pthread_mutex_unlock(&peer.lock);
    ck_assert_uint_le(twice, twice_max);
}

static void spoil(enum deed deed, int status, int requests) {
    pthread_mutex_lock(&peer.lock);
    peer.deed = deed;
    peer.status = status;
    peer.spoilt = requests;
    pthread_mutex_unlock(&peer.lock);
}

static void said(const char *text) {
    ck_assert_msg(strstr(shipment.err.text, text) != NULL, "not said: %s, but: %s", text,
                  shipment.err.text);
}

/* A number of the server's, whose threads go on counting. */
static size_t seen(const size_t *number) {
    pthread_mutex_lock(&peer.lock);
    size_t value = *number;
    pthread_mutex_unlock(&peer.lock);
    return value;
}

static void want(const char *line) {
    pthread_mutex_lock(&peer.lock);
    peer.wants = line;
    pthread_mutex_unlock(&peer.lock);
}

START_TEST(bodies_are_cut_between_messages) {
    struct span three = SPAN("aaaa\nbb\ncccccc\n");
    ck_assert_uint_eq(gelf_http_cut(three, 0), 5);
    ck_assert_uint_eq(gelf_http_cut(three, 3), 5);
    ck_assert_uint_eq(gelf_http_cut(three, 6), 5);
    ck_assert_uint_eq(gelf_http_cut(three, 7), 8);
    ck_assert_uint_eq(gelf_http_cut(three, 13), 8);
    ck_assert_uint_eq(gelf_http_cut(three, 14), 15);
    ck_assert_uint_eq(gelf_http_cut(three, 1000), 15);
    ck_assert_uint_eq(gelf_http_halve(three), 5);
    ck_assert_uint_eq(gelf_http_halve(SPAN("a\nbbbbbbbbbb\n")), 2);
    ck_assert_uint_eq(gelf_http_halve(SPAN("bbbbbbbbbb\na\n")), 11);
    ck_assert_uint_eq(gelf_http_halve(SPAN("aaaa\n")), 5);
    ck_assert_uint_eq(gelf_http_count(three), 3);
    ck_assert_uint_eq(gelf_http_count(span_of(NULL, 0)), 0);
}
END_TEST

START_TEST(a_status_says_what_to_do) {
    static const struct {
        int status;
        enum gelf_http_verdict verdict;
    } wanted[] = {
        {200, GELF_HTTP_TAKEN}, {202, GELF_HTTP_TAKEN},   {204, GELF_HTTP_TAKEN},
        {301, GELF_HTTP_MEND},  {400, GELF_HTTP_REFUSED}, {401, GELF_HTTP_MEND},
        {403, GELF_HTTP_MEND},  {404, GELF_HTTP_MEND},    {405, GELF_HTTP_MEND},
        {408, GELF_HTTP_BUSY},  {415, GELF_HTTP_MEND},    {413, GELF_HTTP_TOO_LARGE},
        {418, GELF_HTTP_MEND},  {429, GELF_HTTP_BUSY},    {500, GELF_HTTP_BUSY},
        {503, GELF_HTTP_BUSY},  {504, GELF_HTTP_BUSY},    {0, GELF_HTTP_MEND},
    };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        ck_assert_int_eq(gelf_http_judge(wanted[i].status), wanted[i].verdict);
    }
    ck_assert_ptr_nonnull(strstr(gelf_http_remedy(401), "password"));
    ck_assert_ptr_nonnull(strstr(gelf_http_remedy(404), "/gelf"));
    ck_assert_ptr_nonnull(strstr(gelf_http_remedy(302), "redirects"));
    ck_assert_str_eq(gelf_http_remedy(418), "");
}
END_TEST

START_TEST(one_message_a_request_over_few_connections) {
    start("in_flight: 4");
    atomic_store(&peer.meet, 4);
    for (int i = 0; i < 10; i++) {
        shipment_send(&shipment, 50, 300);
    }
    until_delivered();
    arrived(NONE, 0);
    ck_assert_uint_eq(seen(&peer.requests), 500);
    ck_assert_uint_eq(seen(&peer.largest_body), 299);
    ck_assert_str_eq(peer.method, "POST");
    ck_assert_ptr_nonnull(strstr(peer.head, "POST /gelf HTTP/1.1\r\n"));
    ck_assert_ptr_nonnull(strstr(peer.head, "Content-Type: application/json\r\n"));
    ck_assert_int_le(atomic_load(&server->connections), 4);
    ck_assert_int_eq(peer.running_max, 4);
    ck_assert_uint_eq(counts()->connects, (uint64_t)atomic_load(&server->connections));
    ck_assert_uint_eq(counts()->delivered_messages, 500);
    ck_assert_uint_eq(counts()->resent_messages, 0);
    ck_assert_int_eq(shipment.failures, 0);
}
END_TEST

START_TEST(bulk_bodies_are_as_large_as_they_may) {
    start(_i == 0 ? "bulk: true\nmax_body: 4KiB" : "bulk: true\nmax_body: 4KiB\ngzip: true");
    shipment_send(&shipment, 200, 100);
    shipment_send(&shipment, 1, 100);
    until_delivered();
    arrived(NONE, 0);
    ck_assert_uint_eq(seen(&peer.largest_body), 3999);
    ck_assert_uint_eq(seen(&peer.requests), 6);
    ck_assert_uint_eq(counts()->delivered_messages, 201);
}
END_TEST

START_TEST(what_is_larger_than_a_body_is_not_taken) {
    start("max_body: 1KiB");
    char *bytes = xcalloc(2000, 1);
    ck_assert(output_gelf_http_type.takes(shipment.handle, span_of(bytes, 1025)));
    ck_assert(!output_gelf_http_type.takes(shipment.handle, span_of(bytes, 1026)));
    free(bytes);
}
END_TEST

START_TEST(a_busy_receiver_is_asked_again) {
    static const int statuses[] = {503, 429, 500, 408};
    start("in_flight: 4");
    spoil(ANSWER, statuses[_i], 9);
    shipment_send(&shipment, 40, 200);
    until_delivered();
    arrived(NONE, 0);
    ck_assert_uint_gt(shipment.failures, 0);
    ck_assert_int_eq(shipment.err.kind, ERR_RETRY);
    said(statuses[_i] == 429 ? "HTTP 429" : "it is tried again");
    said("127.0.0.1");
    ck_assert_uint_eq(counts()->resent_messages, 9);
    ck_assert_uint_eq(counts()->dropped_messages, 0);
}
END_TEST

/* One request at a time asks whether it is over. */
START_TEST(a_receiver_in_trouble_is_not_stormed) {
    start("in_flight: 8");
    spoil(ANSWER, 503, 1000);
    shipment_send(&shipment, 40, 200);
    UNTIL(shipment.failures >= 5, shipment_turn(&shipment, 20), shipment.skipped_ms += 100);
    ck_assert_uint_le(seen(&peer.requests), 8 + 4);
    ck_assert_uint_eq(shipment_delivered(&shipment), 0);
    struct buf text;
    buf_init(&text, 4096);
    ck_assert_ptr_nonnull(strstr(shipment_describe(&shipment, &text), "in trouble"));
    buf_done(&text);
    spoil(ANSWER, 503, 0);
    UNTIL(shipment_delivered(&shipment) == 1, shipment_turn(&shipment, 20),
          shipment.skipped_ms += 100);
    arrived(NONE, 0);
}
END_TEST

START_TEST(retry_after_is_heeded) {
    start("in_flight: 1");
    peer.extra = "Retry-After: 40\r\n";
    spoil(ANSWER, 503, 1);
    shipment_send(&shipment, 1, 200);
    UNTIL(shipment.failures > 0, shipment_turn(&shipment, 20));
    for (int i = 0; i < 30; i++) {
        shipment.skipped_ms += 1000;
        shipment_turn(&shipment, 0);
    }
    ck_assert_uint_eq(seen(&peer.requests), 1);
    shipment.skipped_ms += 11000;
    until_delivered();
    ck_assert_uint_eq(seen(&peer.requests), 2);
}
END_TEST

START_TEST(a_reset_after_reading_repeats_only_what_was_on_its_way) {
    start(_i == 0 ? "in_flight: 3" : "in_flight: 3\nbulk: true\nmax_body: 2KiB");
    shipment_send(&shipment, 100, 100);
    spoil(RESET, 0, 3);
    until_delivered();
    arrived(NONE, _i == 0 ? 3 : 60);
    ck_assert_uint_gt(counts()->resent_messages, 0);
    ck_assert_uint_gt(counts()->connections_lost, 0);
    ck_assert_uint_eq(counts()->delivered_messages, 100);
}
END_TEST

/* libcurl itself tries once more when a connection that was kept is gone. */
START_TEST(a_silent_receiver_runs_into_the_timeout) {
    start("in_flight: 2\ntimeout: 200ms");
    spoil(HANG, 0, 2);
    shipment_send(&shipment, 10, 100);
    until_delivered();
    arrived(NONE, 0);
    said("no reply within 0.2 s");
    ck_assert_uint_eq(counts()->resent_messages, 2);
    ck_assert_uint_eq(counts()->connections_lost, 2);
}
END_TEST

START_TEST(an_absent_receiver_is_waited_for) {
    uint16_t port = server->port;
    char text[64];
    http_server_close(server);
    server = NULL;
    snprintf(text, sizeof text, "url: http://127.0.0.1:%u/gelf", port);
    start(text);
    shipment_send(&shipment, 10, 100);
    UNTIL(shipment.failures >= 3, shipment_turn(&shipment, 20), shipment.skipped_ms += 100);
    said("Connection refused");
    ck_assert_uint_eq(counts()->resent_messages, 0);
    ck_assert_uint_eq(counts()->connections_lost, 0);
    ck_assert_uint_eq(shipment_delivered(&shipment), 0);
}
END_TEST

START_TEST(bodies_that_are_too_large_become_smaller) {
    start("bulk: true\nmax_body: 60KiB\nin_flight: 2");
    peer.body_max = 5000;
    for (int i = 0; i < 4; i++) {
        shipment_send(&shipment, 500, 100);
    }
    until_delivered();
    arrived(NONE, 0);
    ck_assert_uint_eq(count_dead(), 0);
    ck_assert_uint_eq(counts()->dropped_messages, 0);
    ck_assert_uint_eq(counts()->resent_messages, 0);
    /* 50,000 bytes are halved four times, at most once for each lane; then it is known. */
    ck_assert_uint_le(seen(&peer.refused), 8);
    struct buf text;
    buf_init(&text, 4096);
    ck_assert_ptr_nonnull(strstr(shipment_describe(&shipment, &text), "larger ones were refused"));
    buf_done(&text);
}
END_TEST

START_TEST(a_poisonous_message_is_found_and_given_up_alone) {
    static const char *const settings[] = {"in_flight: 2", "bulk: true\nin_flight: 2",
                                           "bulk: true\nin_flight: 1\ngzip: true"};
    start(settings[_i]);
    peer.poison = 333;
    for (int i = 0; i < 4; i++) {
        shipment_send(&shipment, 200, 100);
    }
    until_delivered();
    arrived(333, 0);
    ck_assert_uint_eq(count_dead(), 1);
    ck_assert_uint_eq(counts()->dropped_messages, 1);
    said("dead letter");
    ck_assert_uint_le(seen(&peer.refused), 2 * 10);
}
END_TEST

START_TEST(a_message_too_large_for_the_receiver_is_a_dead_letter) {
    start("bulk: true");
    peer.body_max = 1000;
    shipment_send(&shipment, 20, 100);
    until_delivered();
    shipment_send(&shipment, 1, 2000);
    shipment_send(&shipment, 20, 100);
    until_delivered();
    arrived(20, 0);
    ck_assert_uint_eq(count_dead(), 1);
    said("max_body");
}
END_TEST

/* Nothing was taken yet, so others are tried first. */
START_TEST(a_first_message_that_is_refused_waits_for_another_to_be_taken) {
    start("in_flight: 2");
    peer.poison = 0;
    shipment_send(&shipment, 1, 100);
    UNTIL(shipment.failures > 0, shipment_turn(&shipment, 20));
    said("no other message was taken");
    ck_assert_uint_eq(count_dead(), 0);
    shipment_send(&shipment, 9, 100);
    until_delivered();
    arrived(0, 0);
    ck_assert_uint_eq(count_dead(), 1);
}
END_TEST

/* A wrong place that refuses everything makes few dead letters; a lone bad message is no dead end. */
START_TEST(a_receiver_that_refuses_all_makes_few_dead_letters) {
    start("in_flight: 4");
    shipment_send(&shipment, 40, 100);
    until_delivered();
    spoil(ANSWER, 400, 1000000);
    shipment_send(&shipment, 100, 100);
    UNTIL(counts()->dropped_messages == 17, shipment_turn(&shipment, 20),
          shipment.skipped_ms += 2000);
    ck_assert_uint_ge(seen(&peer.refused), 16 + 5);
    ck_assert_uint_eq(count_dead(), 17);
    ck_assert_uint_eq(shipment_delivered(&shipment), 1);
    spoil(ANSWER, 400, 0);
    UNTIL(shipment_delivered(&shipment) == 2, shipment_turn(&shipment, 20),
          shipment.skipped_ms += 200);
    ck_assert_uint_eq(seen(&peer.taken), 140 - counts()->dropped_messages);
    ck_assert_uint_le(counts()->dropped_messages, 20);
}
END_TEST

static void write_file(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
}

static void start_with_secret(const char *format, const char *secret) {
    char path[64], text[512];
    snprintf(path, sizeof path, "/tmp/flowgelf-test-secret-%d", (int)getpid());
    write_file(path, secret);
    snprintf(text, sizeof text, format, path);
    start(text);
    unlink(path);
}

START_TEST(a_wrong_password_is_said_and_nothing_is_lost) {
    start_with_secret("in_flight: 4\nusername: me\npassword: file:%s", "secret\n");
    want("Authorization: Basic other");
    shipment_send(&shipment, 20, 100);
    UNTIL(shipment.failures >= 2, shipment_turn(&shipment, 20), shipment.skipped_ms += 1000);
    said("HTTP 401");
    said("`password`");
    ck_assert_ptr_null(strstr(shipment.err.text, "secret"));
    ck_assert_uint_eq(seen(&peer.taken), 0);
    ck_assert_uint_eq(count_dead(), 0);
    want("Authorization: Basic bWU6c2VjcmV0\r\n");
    UNTIL(shipment_delivered(&shipment) == 1, shipment_turn(&shipment, 20),
          shipment.skipped_ms += 1000);
    arrived(NONE, 0);
    ck_assert_uint_eq(counts()->resent_messages, 0);
}
END_TEST

START_TEST(a_token_and_headers_go_with_each_request) {
    start_with_secret("headers: {X-Key: 'file:%s', X-Tenant: blue}", "top secret\n");
    want("X-Key: top secret\r\nX-Tenant: blue\r\n");
    shipment_send(&shipment, 20, 100);
    until_delivered();
    ck_assert_int_eq(shipment.failures, 0);
    shipment_close(&shipment);
    start_with_secret("token: file:%s", "abc");
    want("Authorization: Bearer abc\r\n");
    shipment_send(&shipment, 20, 100);
    until_delivered();
    ck_assert_int_eq(shipment.failures, 0);
}
END_TEST

START_TEST(what_is_dropped_is_counted_and_the_rest_arrives) {
    start("in_flight: 2\nbulk: true\nmax_body: 1KiB");
    spoil(HANG, 0, 2);
    for (int i = 0; i < 3; i++) {
        shipment_send(&shipment, 30, 100);
    }
    UNTIL(seen(&peer.requests) >= 2, shipment_turn(&shipment, 20));
    ck_assert(output_gelf_http_type.drop(shipment.handle, 2));
    ck_assert_uint_eq(shipment_delivered(&shipment), 2);
    ck_assert_uint_eq(counts()->dropped_messages, 60);
    ck_assert_uint_eq(counts()->delivered_messages, 0);
    until_delivered();
    ck_assert_uint_eq(counts()->delivered_messages, 30);
    ck_assert_uint_eq(seen(&peer.taken), 30);
    for (int i = 60; i < 90; i++) {
        ck_assert_int_eq(peer.times[i], 1);
    }
}
END_TEST

START_TEST(it_can_be_closed_at_any_time) {
    start("in_flight: 2");
    spoil(HANG, 0, 100);
    shipment_send(&shipment, 30, 100);
    UNTIL(seen(&peer.requests) >= 2, shipment_turn(&shipment, 20));
    shipment_close(&shipment);
    shipment.handle = NULL;
}
END_TEST

START_TEST(check_says_what_there_is) {
    struct err err;
    struct buf report;
    buf_init(&report, 4096);
    ck_assert_int_eq(configure(""), 0);
    ck_assert_int_eq(output_gelf_http_type.check(conf, false, &report, &err), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&report), "not tried"));
    ck_assert_uint_eq(seen(&peer.requests), 0);
    spoil(ANSWER, 405, 1);
    ck_assert_int_eq(output_gelf_http_type.check(conf, true, &report, &err), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&report), "answers GET with 405"));
    ck_assert_str_eq(peer.method, "GET");
    spoil(ANSWER, 401, 1);
    ck_assert_int_eq(output_gelf_http_type.check(conf, true, &report, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "password"));
    spoil(ANSWER, 503, 1);
    ck_assert_int_eq(output_gelf_http_type.check(conf, true, &report, &err), -1);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_uint_eq(seen(&peer.taken), 0);
    ck_assert_int_eq(configure("url: https://127.0.0.1:1/gelf\ntls: {ca: /nonexistent/ca}"), 0);
    ck_assert_int_eq(output_gelf_http_type.check(conf, false, &report, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "/nonexistent/ca"));
    buf_done(&report);
}
END_TEST

static void refused(const char *settings, const char *text) {
    ck_assert_msg(configure(settings) > 0, "%s", settings);
    ck_assert_msg(strstr(buf_cstr(&context.errors), text) != NULL, "%s", context.errors.data);
}

START_TEST(settings_that_cannot_be_are_refused) {
    refused("tls: {}", "https://");
    refused("url: https://a/gelf\ntls: {cert: a.pem}", "belong together");
    refused("url: https://a/gelf\ntls: {key_password: file:/dev/null}", "key_password");
    refused("url: ftp://a/gelf", "http");
    refused("username: me", "belong together");
    refused("headers: {Host: a}", "Host");
    refused("headers: {content-length: 1}", "content-length");
    refused("headers: {'a b': 1}", "a b");
    refused("headers: {X-A: \"a\\r\\nb\"}", "control");
    refused("headers: {X-A: file:/nonexistent}", "/nonexistent");
    refused("in_flight: 0", "in_flight");
    refused("max_body: 100", "max_body");
    ck_assert_int_eq(configure("url: http://a/gelf?token=abc"), 0);
    ck_assert_str_eq(conf->shown, "http://a/gelf");
    ck_assert_int_eq(configure("url: https://a/gelf\ntls: {verify: false}"), 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("gelf_http");
    TCase *tcase = tcase_create("loopback");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, bodies_are_cut_between_messages);
    tcase_add_test(tcase, a_status_says_what_to_do);
    tcase_add_test(tcase, one_message_a_request_over_few_connections);
    tcase_add_loop_test(tcase, bulk_bodies_are_as_large_as_they_may, 0, 2);
    tcase_add_test(tcase, what_is_larger_than_a_body_is_not_taken);
    tcase_add_loop_test(tcase, a_busy_receiver_is_asked_again, 0, 4);
    tcase_add_test(tcase, a_receiver_in_trouble_is_not_stormed);
    tcase_add_test(tcase, retry_after_is_heeded);
    tcase_add_loop_test(tcase, a_reset_after_reading_repeats_only_what_was_on_its_way, 0, 2);
    tcase_add_test(tcase, a_silent_receiver_runs_into_the_timeout);
    tcase_add_test(tcase, an_absent_receiver_is_waited_for);
    tcase_add_test(tcase, bodies_that_are_too_large_become_smaller);
    tcase_add_loop_test(tcase, a_poisonous_message_is_found_and_given_up_alone, 0, 3);
    tcase_add_test(tcase, a_message_too_large_for_the_receiver_is_a_dead_letter);
    tcase_add_test(tcase, a_first_message_that_is_refused_waits_for_another_to_be_taken);
    tcase_add_test(tcase, a_receiver_that_refuses_all_makes_few_dead_letters);
    tcase_add_test(tcase, a_wrong_password_is_said_and_nothing_is_lost);
    tcase_add_test(tcase, a_token_and_headers_go_with_each_request);
    tcase_add_test(tcase, what_is_dropped_is_counted_and_the_rest_arrives);
    tcase_add_test(tcase, it_can_be_closed_at_any_time);
    tcase_add_test(tcase, check_says_what_there_is);
    tcase_add_test(tcase, settings_that_cannot_be_are_refused);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
