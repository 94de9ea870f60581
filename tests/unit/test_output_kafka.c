/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka output against librdkafka's mock cluster, in this process: what the topic holds in the
 * end, when parcels count as delivered, and that errors of every kind lose nothing. Each story
 * waits for events with a limit, never for a time.
 */
#include <check.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <unistd.h>

#include "config/option.h"
#include "config/yaml.h"
#include "message_fixture.h"
#include "output/kafka_frame.h"
#include "output/kafka_out_conf.h"
#include "output/outputs.h"
#include "parcels.h"
#include "unit.h"

enum { LIMIT_MS = 30000, PARTS = 4, FLOWS_MAX = 20000 };

/* A request by its number in the protocol, for errors of the mock's. */
enum { PRODUCE = 0 };

/* Does what follows the condition until that holds; the limit only ends a test that has failed. */
#define UNTIL(condition, ...)                                                                  \
    do {                                                                                       \
        int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;                                      \
        while (!(condition)) {                                                                 \
            __VA_ARGS__;                                                                       \
            ck_assert_msg(clock_monotonic_ms() < end_ms, "waited in vain for %s", #condition); \
        }                                                                                      \
    } while (0)

static rd_kafka_t *owner;
static rd_kafka_mock_cluster_t *cluster;
static struct option_context context;
static struct yaml_node *root;
static struct kafka_out_conf *conf;
static struct shipment shipment;
static char dead_path[64];
static struct dead_letter_conf dead_conf;
static struct dead_letter *dead;

/* What the topic holds: how often each flow, and the highest of each partition in its order. */
static int times[FLOWS_MAX];
static size_t stored;
static bool in_order;
static char last_key[64];

static void set_up(void) {
    char text[512];
    owner = rd_kafka_new(RD_KAFKA_PRODUCER, rd_kafka_conf_new(), text, sizeof text);
    cluster = rd_kafka_mock_cluster_new(owner, 2);
    rd_kafka_mock_topic_create(cluster, "single", 1, 1);
    rd_kafka_mock_topic_create(cluster, "flows", PARTS, 1);
    for (int i = 0; i < PARTS; i++) {
        rd_kafka_mock_partition_set_leader(cluster, "flows", i, 1 + i % 2);
    }
    rd_kafka_mock_partition_set_leader(cluster, "single", 0, 1);
    snprintf(dead_path, sizeof dead_path, "/tmp/flowgelf-test-%d.jsonl", (int)getpid());
    dead_conf.path = dead_path;
    dead = dead_letter_open(&dead_conf);
}

static void free_conf(void) {
    if (conf) {
        option_free(output_kafka_type.options, conf);
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
    dead_letter_close(dead);
    unlink(dead_path);
    free_conf();
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(owner);
}

/* A conf from settings; how many errors there are. `brokers` NULL: the mock cluster's. */
static int configure(const char *brokers, const char *more) {
    struct err err;
    char text[2048];
    free_conf();
    snprintf(text, sizeof text, "brokers: [%s]\n%s\n",
             brokers ? brokers : rd_kafka_mock_cluster_bootstraps(cluster), more);
    ck_assert_int_eq(yaml_parse(span_str(text), "test", &root, &err), 0);
    context = (struct option_context){.file = "test", .read_dir = "/", .write_dir = "/"};
    buf_init(&context.errors, 1 << 16);
    conf = calloc(1, output_kafka_type.conf_size);
    if (option_parse(&context, output_kafka_type.options, root, "outputs[0].kafka", conf) == 0) {
        output_kafka_type.init(conf, NULL, &context, root, "outputs[0].kafka");
    }
    return context.error_count;
}

static void start(const char *settings) {
    ck_assert_msg(configure(NULL, settings) == 0, "%s", buf_cstr(&context.errors));
    shipment_open(&shipment, &output_kafka_type, conf, dead);
}

static const char *line_of(size_t number, char *line, size_t size) {
    snprintf(line, size,
             "2 123456789010 eni-%zu 10.0.%zu.%zu 203.0.113.5 %zu 443 6 20 4249 1418530010 "
             "1418530070 ACCEPT OK",
             number, number / 200 % 200, number % 200 + 1, 1024 + number % 50000);
    return line;
}

/* Appends the frame of a line, whose message is made longer by its host. */
static void encode(const char *line, const char *host, struct buf *out) {
    static struct message_conf message;
    message = (struct message_conf){.host = (char *)host};
    fixture_conf(&message, SET_PLUGIN);
    struct fixture *fixture = fixture_open("default", line);
    void *encoder = kafka_encoder.open(&message, 0, span_of(NULL, 0));
    ck_assert_int_eq(kafka_encoder.encode(encoder, &fixture->flow, out), 0);
    kafka_encoder.close(encoder);
    fixture_close(fixture);
}

/* Hands over a parcel of `count` flows, whose hosts are `padding` long. */
static void send_flows(size_t count, size_t padding) {
    struct buf out;
    char line[256];
    char *host = xcalloc(padding + 2, 1);
    memset(host, 'h', padding + 1);
    buf_init(&out, 64 << 20);
    for (size_t i = 0; i < count; i++) {
        encode(line_of(shipment.messages++, line, sizeof line), host, &out);
    }
    shipment_send_bytes(&shipment, buf_span(&out), count);
    buf_done(&out);
    free(host);
}

static uint64_t delivered(void) {
    return shipment_delivered(&shipment);
}

static void until_delivered(void) {
    UNTIL(delivered() == shipment.last, shipment_turn(&shipment, 20));
}

static void note(const rd_kafka_message_t *message, size_t *before) {
    static const char field[] = "\"_interface_id\":\"eni-";
    char *text = strndup(message->payload, message->len);
    const char *found = strstr(text, field);
    ck_assert_msg(found != NULL, "%s", text);
    ck_assert_int_eq(text[0], '{');
    ck_assert_int_eq(text[message->len - 1], '}');
    size_t number = strtoul(found + sizeof field - 1, NULL, 10);
    ck_assert_uint_lt(number, FLOWS_MAX);
    in_order = in_order && (*before == SIZE_MAX || number > *before);
    *before = number;
    times[number]++;
    stored++;
    snprintf(last_key, sizeof last_key, "%.*s", (int)message->key_len, (const char *)message->key);
    free(text);
}

static void read_partition(rd_kafka_topic_t *topic, int partition) {
    size_t before = SIZE_MAX;
    bool at_end = false;
    ck_assert_int_eq(rd_kafka_consume_start(topic, partition, RD_KAFKA_OFFSET_BEGINNING), 0);
    while (!at_end) {
        rd_kafka_message_t *message = rd_kafka_consume(topic, partition, LIMIT_MS);
        ck_assert_ptr_nonnull(message);
        at_end = message->err == RD_KAFKA_RESP_ERR__PARTITION_EOF;
        ck_assert(at_end || message->err == 0);
        if (!at_end) {
            note(message, &before);
        }
        rd_kafka_message_destroy(message);
    }
    rd_kafka_consume_stop(topic, partition);
}

/* Reads all that the topic holds. */
static void read_topic(const char *name, int partitions) {
    rd_kafka_conf_t *made = rd_kafka_conf_new();
    char text[512];
    rd_kafka_conf_set(made, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster), text,
                      sizeof text);
    rd_kafka_conf_set(made, "enable.partition.eof", "true", text, sizeof text);
    rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_CONSUMER, made, text, sizeof text);
    rd_kafka_topic_t *topic = rd_kafka_topic_new(rk, name, NULL);
    memset(times, 0, sizeof times);
    stored = 0;
    in_order = true;
    for (int i = 0; i < partitions; i++) {
        read_partition(topic, i);
    }
    rd_kafka_topic_destroy(topic);
    rd_kafka_destroy(rk);
}

/* Order is another matter: what a broker refuses comes behind what it took meanwhile. */
static void each_once(const char *topic, int partitions) {
    read_topic(topic, partitions);
    for (size_t i = 0; i < shipment.messages; i++) {
        ck_assert_msg(times[i] == 1, "flow %zu is there %d times", i, times[i]);
    }
    ck_assert_uint_eq(stored, shipment.messages);
}

static const struct output_counts *counts(void) {
    return output_kafka_type.counts(shipment.handle);
}

static void fail_produce(rd_kafka_resp_err_t code, int requests) {
    for (int i = 0; i < requests; i++) {
        rd_kafka_mock_push_request_errors(cluster, PRODUCE, 1, code);
    }
}

START_TEST(all_are_stored_once_and_in_order) {
    start("topic: flows");
    for (int i = 0; i < 20; i++) {
        send_flows(100, 0);
    }
    until_delivered();
    each_once("flows", PARTS);
    ck_assert(in_order);
    ck_assert_uint_eq(counts()->delivered_messages, 2000);
    ck_assert_uint_eq(counts()->resent_messages, 0);
    ck_assert_uint_eq(counts()->connects, 1);
    ck_assert_int_eq(shipment.failures, 0);
}
END_TEST

/* The frame of a line, in memory that stays until the next call. */
static struct kafka_frame frame_of(const char *line, enum kafka_key key) {
    static char memory[8192];
    static struct kafka_frame frame;
    struct buf out;
    buf_over(&out, memory, sizeof memory);
    encode(line, "host", &out);
    kafka_frame_read(buf_span(&out), key, &frame);
    ck_assert_uint_eq(frame.bytes, out.len);
    return frame;
}

static const char there[] = "2 1 eni-1 10.0.0.1 10.0.0.2 1000 443 6 1 1 1418530010 1418530070 "
                            "ACCEPT OK";
static const char back[] = "2 1 eni-2 10.0.0.2 10.0.0.1 443 1000 6 1 1 1418530010 1418530070 "
                           "ACCEPT OK";
static const char udp[] = "2 1 eni-1 10.0.0.1 10.0.0.2 1000 443 17 1 1 1418530010 1418530070 "
                          "ACCEPT OK";
static const char no_data[] = "2 1 eni-1 - - - - - - - 1418530010 1418530070 - NODATA";
static const char nothing[] = "2 1 - - - - - - - - 1418530010 1418530070 - NODATA";

START_TEST(a_key_is_of_the_conversation_or_the_interface) {
    char first[17] = {0};
    struct kafka_frame frame = frame_of(there, KAFKA_KEY_FLOW);
    ck_assert_uint_eq(frame.key.len, 16);
    memcpy(first, frame.digits, 16);
    ck_assert_uint_eq(strspn(first, "0123456789abcdef"), 16);
    frame = frame_of(back, KAFKA_KEY_FLOW);
    ck_assert_int_eq(memcmp(frame.digits, first, 16), 0);
    frame = frame_of(udp, KAFKA_KEY_FLOW);
    ck_assert_int_ne(memcmp(frame.digits, first, 16), 0);
    ck_assert(span_eq(frame_of(there, KAFKA_KEY_INTERFACE).key, SPAN("eni-1")));
    ck_assert(span_eq(frame_of(no_data, KAFKA_KEY_FLOW).key, SPAN("eni-1")));
    ck_assert_uint_eq(frame_of(nothing, KAFKA_KEY_FLOW).key.len, 0);
}
END_TEST

START_TEST(a_key_reaches_the_broker) {
    start("topic: single\nkey: interface");
    send_flows(8, 0);
    until_delivered();
    each_once("single", 1);
    ck_assert_str_eq(last_key, "eni-7");
}
END_TEST

static bool has_uid(struct message_conf *message) {
    char memory[8192];
    struct buf out;
    struct fixture *fixture = fixture_open("default", there);
    void *encoder = kafka_encoder.open(message, 0, span_of(NULL, 0));
    buf_over(&out, memory, sizeof memory - 1);
    ck_assert_int_eq(kafka_encoder.encode(encoder, &fixture->flow, &out), 0);
    kafka_encoder.close(encoder);
    fixture_close(fixture);
    return memmem(out.data, out.len, "\"_event_uid\":", 13) != NULL;
}

START_TEST(event_uid_is_there_unless_omitted) {
    struct message_conf message = {0};
    fixture_conf(&message, SET_PLUGIN);
    ck_assert(has_uid(&message));
    char *omitted[] = {(char *)"event_uid"};
    message.fields.omit = (struct string_list){.items = omitted, .count = 1};
    ck_assert(!has_uid(&message));
}
END_TEST

START_TEST(a_message_that_does_not_fit_leaves_no_trace) {
    struct message_conf message = {0};
    char memory[300];
    struct buf out;
    fixture_conf(&message, SET_PLUGIN);
    void *encoder = kafka_encoder.open(&message, 0, span_of(NULL, 0));
    struct fixture *fixture = fixture_open("default", there);
    for (size_t room = 2; room < sizeof memory; room += 40) {
        buf_over(&out, memory, room);
        out.len = 2;
        ck_assert_int_eq(kafka_encoder.encode(encoder, &fixture->flow, &out), -1);
        ck_assert_uint_eq(out.len, 2);
        ck_assert(out.overflow);
    }
    fixture_close(fixture);
    kafka_encoder.close(encoder);
}
END_TEST

/* Half of the partitions are on a broker that is away: parcels that are not whole do not count. */
START_TEST(a_broker_that_is_away_delays_and_loses_nothing) {
    start("topic: flows");
    send_flows(100, 0);
    until_delivered();
    rd_kafka_mock_broker_set_down(cluster, 1);
    for (int i = 0; i < 10; i++) {
        send_flows(100, 0);
    }
    struct buf text;
    buf_init(&text, 4096);
    size_t left = SIZE_MAX;
    /* What is on the other broker's partitions is reported. */
    UNTIL(left < 900, shipment_turn(&shipment, 20);
          sscanf(shipment_describe(&shipment, &text), "kafka topic flows: %zu", &left));
    ck_assert_uint_gt(left, 0);
    ck_assert_uint_eq(delivered(), 1);
    rd_kafka_mock_broker_set_up(cluster, 1);
    until_delivered();
    each_once("flows", PARTS);
    ck_assert(in_order);
    buf_done(&text);
}
END_TEST

START_TEST(what_librdkafka_has_no_room_for_waits) {
    start("topic: flows");
    rd_kafka_mock_broker_set_down(cluster, 1);
    rd_kafka_mock_broker_set_down(cluster, 2);
    for (int i = 0; i < 110; i++) {
        send_flows(100, 250);
        shipment_turn(&shipment, 0);
    }
    struct buf text;
    size_t sent = 0;
    buf_init(&text, 4096);
    sscanf(shipment_describe(&shipment, &text), "kafka topic flows: %zu", &sent);
    ck_assert_uint_gt(sent, 2000);
    ck_assert_uint_lt(sent, shipment.messages);
    ck_assert_uint_eq(delivered(), 0);
    rd_kafka_mock_broker_set_up(cluster, 1);
    rd_kafka_mock_broker_set_up(cluster, 2);
    until_delivered();
    each_once("flows", PARTS);
    ck_assert(in_order);
    buf_done(&text);
}
END_TEST

START_TEST(no_more_is_sent_than_there_are_tickets_for) {
    start("topic: flows");
    rd_kafka_mock_broker_set_down(cluster, 1);
    rd_kafka_mock_broker_set_down(cluster, 2);
    for (int i = 0; i < 90; i++) {
        send_flows(100, 0);
        shipment_turn(&shipment, 0);
    }
    struct buf text;
    size_t sent = 0;
    buf_init(&text, 4096);
    sscanf(shipment_describe(&shipment, &text), "kafka topic flows: %zu", &sent);
    ck_assert_uint_eq(sent, SHIPMENT_RING_BYTES / 256);
    rd_kafka_mock_broker_set_up(cluster, 1);
    rd_kafka_mock_broker_set_up(cluster, 2);
    until_delivered();
    each_once("flows", PARTS);
    buf_done(&text);
}
END_TEST

START_TEST(errors_that_pass_are_not_even_said) {
    start("topic: single\nproperties: {retry.backoff.ms: 10}");
    fail_produce(RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION, 1);
    fail_produce(RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT, 1);
    fail_produce(RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS, 3);
    for (int i = 0; i < 5; i++) {
        send_flows(50, 0);
        shipment_turn(&shipment, 20);
    }
    until_delivered();
    each_once("single", 1);
    ck_assert(in_order);
    ck_assert_int_eq(shipment.failures, 0);
    ck_assert_uint_eq(counts()->resent_messages, 0);
}
END_TEST

START_TEST(a_refused_user_is_told_and_everything_sent_again) {
    start("topic: single");
    fail_produce(RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED, 3);
    send_flows(50, 0);
    UNTIL(shipment.failures > 0, shipment_turn(&shipment, 20));
    ck_assert_int_eq(shipment.err.kind, ERR_RETRY);
    ck_assert_msg(strstr(shipment.err.text, "topic single") != NULL, "%s", shipment.err.text);
    ck_assert_msg(strstr(shipment.err.text, "WRITE") != NULL, "%s", shipment.err.text);
    until_delivered();
    each_once("single", 1);
    ck_assert_uint_gt(counts()->resent_messages, 0);
    ck_assert_int_eq(shipment.failures, 1);
}
END_TEST

START_TEST(a_batch_that_is_too_large_is_halved) {
    start("topic: single\nproperties: {linger.ms: 100}");
    fail_produce(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 1);
    send_flows(100, 0);
    until_delivered();
    each_once("single", 1);
    ck_assert_msg(strstr(shipment.err.text, "trying 500000") != NULL, "%s", shipment.err.text);
    ck_assert_uint_gt(counts()->resent_messages, 0);
    ck_assert_uint_eq(counts()->dropped_messages, 0);
    ck_assert_uint_eq(counts()->connects, 2);
}
END_TEST

static size_t count_dead(void) {
    struct err err;
    ck_assert_int_eq(dead_letter_flush(dead, &err), 0);
    return dead_letter_counts(dead).written;
}

START_TEST(a_message_that_no_batch_is_too_small_for_is_a_dead_letter) {
    start("topic: single\nproperties: {batch.size: 2000, linger.ms: 100}");
    fail_produce(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 2);
    send_flows(1, 2000);
    until_delivered();
    ck_assert_uint_eq(counts()->dropped_messages, 1);
    ck_assert_uint_eq(count_dead(), 1);
    rd_kafka_mock_clear_request_errors(cluster, PRODUCE);
    send_flows(10, 0);
    until_delivered();
    read_topic("single", 1);
    ck_assert_uint_eq(stored, 10);
    ck_assert_int_eq(times[0], 0);
}
END_TEST

START_TEST(a_topic_that_takes_nothing_ends_in_dead_letters) {
    start("topic: single\nproperties: {batch.size: 4000}");
    fail_produce(RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE, 100);
    send_flows(3, 0);
    until_delivered();
    ck_assert_uint_eq(counts()->dropped_messages, 3);
    ck_assert_uint_eq(count_dead(), 3);
    ck_assert_uint_lt(counts()->connects, 8);
}
END_TEST

/* Sequence numbers that the broker does not know end an idempotent producer. */
START_TEST(a_producer_that_is_given_up_is_replaced) {
    start("topic: single");
    send_flows(50, 0);
    until_delivered();
    fail_produce(RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER, 1);
    send_flows(50, 0);
    send_flows(50, 0);
    until_delivered();
    each_once("single", 1);
    ck_assert_uint_eq(counts()->connections_lost, 1);
    ck_assert_uint_eq(counts()->connects, 2);
    ck_assert_uint_gt(counts()->resent_messages, 0);
    ck_assert_uint_gt(shipment.failures, 0);
}
END_TEST

START_TEST(what_is_too_large_for_librdkafka_is_not_taken) {
    start("topic: single\nproperties: {message.max.bytes: 2000}");
    char *bytes = xcalloc(3000, 1);
    ck_assert(output_kafka_type.takes(shipment.handle, span_of(bytes, 1800)));
    ck_assert(!output_kafka_type.takes(shipment.handle, span_of(bytes, 1900)));
    free(bytes);
}
END_TEST

START_TEST(absent_brokers_are_said_once) {
    ck_assert_int_eq(configure("127.0.0.1:1", "topic: flows"), 0);
    shipment_open(&shipment, &output_kafka_type, conf, dead);
    send_flows(10, 0);
    UNTIL(shipment.failures > 0, shipment_turn(&shipment, 20));
    ck_assert_int_eq(shipment.err.kind, ERR_RETRY);
    ck_assert_msg(strstr(shipment.err.text, "look at `brokers`") != NULL, "%s", shipment.err.text);
    for (int i = 0; i < 100; i++) {
        shipment_turn(&shipment, 5);
    }
    ck_assert_int_eq(shipment.failures, 1);
    ck_assert_uint_eq(delivered(), 0);
}
END_TEST

START_TEST(silence_is_said) {
    start("topic: single");
    rd_kafka_mock_broker_set_rtt(cluster, 1, 20000);
    send_flows(10, 0);
    shipment_turn(&shipment, 0);
    shipment.skipped_ms = 31000;
    UNTIL(shipment.failures > 0, shipment_turn(&shipment, 20));
    ck_assert_msg(strstr(shipment.err.text, "min.insync.replicas") != NULL, "%s",
                  shipment.err.text);
    rd_kafka_mock_broker_set_rtt(cluster, 1, 0);
}
END_TEST

START_TEST(check_says_what_there_is) {
    struct err err;
    struct buf report;
    buf_init(&report, 4096);
    ck_assert_int_eq(configure(NULL, "topic: flows"), 0);
    ck_assert_int_eq(output_kafka_type.check(conf, false, &report, &err), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&report), "not tried"));
    ck_assert_int_eq(output_kafka_type.check(conf, true, &report, &err), 0);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&report), "topic flows has 4 partitions"));
    ck_assert_int_eq(configure(NULL, "topic: absent"), 0);
    ck_assert_int_eq(output_kafka_type.check(conf, true, &report, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "absent"));
    buf_done(&report);
}
END_TEST

static void refused(const char *more, const char *said) {
    char text[512];
    snprintf(text, sizeof text, "topic: flows\n%s", more);
    ck_assert_int_eq(configure(NULL, text), 1);
    ck_assert_msg(strstr(buf_cstr(&context.errors), said) != NULL, "%s", context.errors.data);
}

START_TEST(settings_that_would_break_delivery_are_refused) {
    refused("properties: {acks: 1}", "not, or lose them");
    refused("properties: {enable.idempotence: 'false'}", "twice");
    refused("properties: {message.timeout.ms: 1000}", "never given up");
    refused("properties: {delivery.timeout.ms: 1000}", "never given up");
    refused("properties: {retries: 1}", "never given up");
    refused("properties: {max.in.flight: 9}", "idempotence");
    refused("properties: {queue.buffering.max.messages: 1}", "ring");
    refused("properties: {queue.buffering.max.ms: 1}", "linger.ms");
    refused("properties: {linger.ms: 5000}", "at most 1000");
    refused("properties: {bootstrap.servers: 'a:1'}", "`brokers`");
    refused("properties: {compression.codec: best}", "compression.codec");
    refused("sasl: {mechanism: PLAIN, username: me}", "password");
    ck_assert_int_eq(configure(NULL, "topic: 'a b'"), 1);
    ck_assert_int_eq(configure(NULL, "topic: flows\nproperties: {linger.ms: 50, acks: all}"), 1);
    ck_assert_int_eq(configure(NULL, "topic: flows\nproperties: {compression.type: zstd}"), 0);
}
END_TEST

START_TEST(what_must_hold_does) {
    static const char *const wanted[][2] = {
        {"enable.idempotence", "true"},
        {"acks", "-1"},
        {"message.timeout.ms", "0"},
        {"linger.ms", "5"},
        {"queue.buffering.max.messages", "77"},
        {"batch.size", "1000000"},
    };
    const struct kafka_out_room room = {.messages = 77, .bytes = 1 << 20};
    rd_kafka_conf_t *made;
    struct err err;
    ck_assert_int_eq(configure(NULL, "topic: flows"), 0);
    ck_assert_int_eq(kafka_out_conf_make(conf, &room, &made, &err), 0);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char text[64];
        size_t size = sizeof text;
        ck_assert_int_eq(rd_kafka_conf_get(made, wanted[i][0], text, &size), 0);
        ck_assert_msg(strcmp(text, wanted[i][1]) == 0, "%s is %s", wanted[i][0], text);
    }
    rd_kafka_conf_destroy(made);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("output_kafka");
    TCase *tcase = tcase_create("mock cluster");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, all_are_stored_once_and_in_order);
    tcase_add_test(tcase, a_key_is_of_the_conversation_or_the_interface);
    tcase_add_test(tcase, a_key_reaches_the_broker);
    tcase_add_test(tcase, event_uid_is_there_unless_omitted);
    tcase_add_test(tcase, a_message_that_does_not_fit_leaves_no_trace);
    tcase_add_test(tcase, a_broker_that_is_away_delays_and_loses_nothing);
    tcase_add_test(tcase, what_librdkafka_has_no_room_for_waits);
    tcase_add_test(tcase, no_more_is_sent_than_there_are_tickets_for);
    tcase_add_test(tcase, errors_that_pass_are_not_even_said);
    tcase_add_test(tcase, a_refused_user_is_told_and_everything_sent_again);
    tcase_add_test(tcase, a_batch_that_is_too_large_is_halved);
    tcase_add_test(tcase, a_message_that_no_batch_is_too_small_for_is_a_dead_letter);
    tcase_add_test(tcase, a_topic_that_takes_nothing_ends_in_dead_letters);
    tcase_add_test(tcase, a_producer_that_is_given_up_is_replaced);
    tcase_add_test(tcase, what_is_too_large_for_librdkafka_is_not_taken);
    tcase_add_test(tcase, absent_brokers_are_said_once);
    tcase_add_test(tcase, silence_is_said);
    tcase_add_test(tcase, check_says_what_there_is);
    tcase_add_test(tcase, settings_that_would_break_delivery_are_refused);
    tcase_add_test(tcase, what_must_hold_does);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
