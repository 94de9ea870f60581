/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Kafka input against librdkafka's mock cluster, in this process: what is read, what is stored,
 * what is read again, and that a stall and a rebalance lose and double nothing. Each story waits
 * for events with a limit, never for a time.
 */
#include <check.h>
#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "config/option.h"
#include "config/yaml.h"
#include "input/inputs.h"
#include "input/kafka_group.h"
#include "unit.h"

/* The mock lets a group wait for its session timeout, less a second, when its members change, and
   for 3 s at first, which must be less. */
#define FAST_GROUP "properties: {session.timeout.ms: 5000, heartbeat.interval.ms: 200}\n"

/* Requests by their number in the protocol, for errors of the mock's. */
enum { OFFSET_COMMIT = 8, OFFSET_FETCH = 9, HEARTBEAT = 12 };

enum { LIMIT_MS = 30000, PARTS = 4, OFFSETS = 4096 };

static rd_kafka_t *producer;
static rd_kafka_mock_cluster_t *cluster;
static struct option_context context;
static struct yaml_node *root;
static void *conf;

static void set_up(void) {
    rd_kafka_conf_t *made = rd_kafka_conf_new();
    char text[512];
    producer = rd_kafka_new(RD_KAFKA_PRODUCER, made, text, sizeof(text));
    cluster = rd_kafka_mock_cluster_new(producer, 1);
    rd_kafka_mock_topic_create(cluster, "flows", PARTS, 1);
    rd_kafka_mock_topic_create(cluster, "single", 1, 1);
}

static void free_conf(void) {
    if (conf) {
        option_free(input_kafka_type.options, conf);
        free(conf);
        conf = NULL;
    }
    yaml_unload(root);
    root = NULL;
    buf_done(&context.errors);
}

static void tear_down(void) {
    free_conf();
    rd_kafka_mock_cluster_destroy(cluster);
    rd_kafka_destroy(producer);
}

/* A conf from settings; how many errors there are. `brokers` NULL: the mock cluster's. */
static int configure(const char *brokers, const char *more) {
    struct err err;
    char text[2048];
    free_conf();
    snprintf(text, sizeof(text), "brokers: ['%s']\n%s\n",
             brokers ? brokers : rd_kafka_mock_cluster_bootstraps(cluster), more);
    ck_assert_int_eq(yaml_parse(span_str(text), "test", &root, &err), 0);
    context = (struct option_context){.file = "test", .read_dir = "/", .write_dir = "/"};
    buf_init(&context.errors, 1 << 16);
    conf = calloc(1, input_kafka_type.conf_size);
    if (option_parse(&context, input_kafka_type.options, root, "inputs[0].kafka", conf) == 0) {
        input_kafka_type.init(conf, &context, root, "inputs[0].kafka");
    }
    return context.error_count;
}

static struct kafka *open_worker(int worker, int workers, bool look_only) {
    struct input_place place = {.worker = worker, .workers = workers, .look_only = look_only};
    struct err err;
    void *handle;
    ck_assert_msg(input_kafka_type.open(conf, &place, &handle, &err) == 0, "%s", err.text);
    return handle;
}

static struct kafka *open_one(const char *topic, const char *more) {
    char text[512];
    snprintf(text, sizeof(text), "topics: [%s]\n" FAST_GROUP "%s", topic, more);
    ck_assert_msg(configure(NULL, text) == 0, "%s", buf_cstr(&context.errors));
    return open_worker(0, 1, false);
}

static rd_kafka_t *new_sender(void) {
    rd_kafka_conf_t *made = rd_kafka_conf_new();
    char text[512];
    rd_kafka_conf_set(made, "bootstrap.servers", rd_kafka_mock_cluster_bootstraps(cluster), text,
                      sizeof(text));
    return rd_kafka_new(RD_KAFKA_PRODUCER, made, text, sizeof(text));
}

/* `count` records of `size` bytes to a partition, numbered from `from`; size 0: without a value. */
static void produce(const char *topic, int partition, int from, int count, size_t size) {
    rd_kafka_t *sender = new_sender();
    char *value = calloc(1, size + 32);
    for (int i = from; i < from + count; i++) {
        memset(value, '.', size);
        snprintf(value, 32, "%d/%d ", partition, i);
        rd_kafka_resp_err_t code =
            rd_kafka_producev(sender, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(partition),
                              RD_KAFKA_V_VALUE(size ? value : NULL, size ? size : 0),
                              RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        ck_assert_int_eq(code, 0);
    }
    ck_assert_int_eq(rd_kafka_flush(sender, LIMIT_MS), 0);
    free(value);
    rd_kafka_destroy(sender);
}

/* Which offsets came, per partition, and that they came in order. */
struct seen {
    int times[PARTS][OFFSETS];
    int64_t last[PARTS];
    size_t count;
    uint64_t number;
    bool drained;
};

static struct seen *new_seen(void) {
    struct seen *seen = calloc(1, sizeof(*seen));
    for (int i = 0; i < PARTS; i++) {
        seen->last[i] = -1;
    }
    return seen;
}

static void take(struct seen *seen, const struct batch *batch) {
    ck_assert_uint_gt(batch->number, seen->number);
    seen->number = batch->number;
    for (size_t i = 0; i < batch->count; i++) {
        const struct origin *origin = &batch->records[i].origin;
        int partition = origin->shard.p[0] - '0';
        char wanted[32];
        ck_assert(origin->number < OFFSETS);
        ck_assert_int_gt(origin->number, seen->last[partition]);
        seen->last[partition] = origin->number;
        seen->times[partition][origin->number]++;
        int len = snprintf(wanted, sizeof(wanted), "%d/%d ", partition, (int)origin->number);
        if (batch->records[i].data.len > 0) {
            ck_assert(span_starts(batch->records[i].data, span_of(wanted, (size_t)len)));
        }
        seen->count++;
    }
}

/* One turn of a worker, as the core does it; the result of read. */
static int turn(struct kafka *kafka, size_t room, struct seen *seen) {
    struct batch batch;
    struct err err;
    int result = input_kafka_type.read(kafka, room, &batch, &err);
    if (result == INPUT_BATCH) {
        take(seen, &batch);
    } else if (result == INPUT_DRAIN) {
        /* The next assignment begins at what was committed, which may be earlier. */
        seen->drained = true;
        memset(seen->last, -1, sizeof(seen->last));
    } else {
        struct pollfd fd = {.fd = input_kafka_type.poll_fd(kafka), .events = POLLIN};
        poll(&fd, 1, 20);
    }
    return result;
}

static void read_until(struct kafka *kafka, struct seen *seen, size_t count) {
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    while (seen->count < count) {
        turn(kafka, BATCH_RECORDS_MAX, seen);
        ck_assert_msg(clock_monotonic_ms() < end_ms, "%zu of %zu came", seen->count, count);
    }
}

static void commit(struct kafka *kafka, uint64_t number) {
    struct err err;
    ck_assert_msg(input_kafka_type.commit(kafka, number, true, &err) == 0, "%s", err.text);
}

static void wait_assigned(struct kafka *kafka) {
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    struct seen *seen = new_seen();
    while (kafka->offsets.part_count == 0) {
        turn(kafka, BATCH_RECORDS_MAX, seen);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
    free(seen);
}

static void each_once(const struct seen *seen, int partition, int from, int to) {
    for (int i = from; i < to; i++) {
        ck_assert_msg(seen->times[partition][i] == 1, "%d/%d came %d times", partition, i,
                      seen->times[partition][i]);
    }
}

START_TEST(reads_all_and_goes_on_where_it_stopped) {
    struct seen *seen = new_seen(), *later = new_seen();
    for (int i = 0; i < PARTS; i++) {
        produce("flows", i, 0, 100, 50);
    }
    struct kafka *kafka = open_one("flows", "");
    read_until(kafka, seen, PARTS * 100);
    for (int i = 0; i < PARTS; i++) {
        each_once(seen, i, 0, 100);
    }
    commit(kafka, seen->number);
    struct buf text;
    buf_init(&text, 4096);
    input_kafka_type.describe(kafka, &text);
    ck_assert_ptr_nonnull(
        strstr(buf_cstr(&text), "flows [2]: read up to 100, delivered up to 100"));
    buf_done(&text);
    input_kafka_type.close(kafka);

    produce("flows", 1, 100, 10, 50);
    kafka = open_worker(0, 1, false);
    read_until(kafka, later, 10);
    each_once(later, 1, 100, 110);
    input_kafka_type.close(kafka);
    free(seen);
    free(later);
}
END_TEST

START_TEST(what_is_not_committed_is_read_again) {
    struct seen *seen = new_seen(), *later = new_seen();
    produce("single", 0, 0, 50, 50);
    struct kafka *kafka = open_one("single", "");
    read_until(kafka, seen, 50);
    input_kafka_type.close(kafka);
    kafka = open_worker(0, 1, false);
    read_until(kafka, later, 50);
    each_once(later, 0, 0, 50);
    input_kafka_type.close(kafka);
    free(seen);
    free(later);
}
END_TEST

START_TEST(latest_is_stored_before_the_first_read) {
    struct seen *seen = new_seen();
    produce("single", 0, 0, 20, 50);
    struct kafka *kafka = open_one("single", "start: latest");
    wait_assigned(kafka);
    input_kafka_type.close(kafka); /* a crash before anything was delivered */
    produce("single", 0, 20, 5, 50);
    kafka = open_worker(0, 1, false);
    read_until(kafka, seen, 5);
    each_once(seen, 0, 20, 25);
    input_kafka_type.close(kafka);
    free(seen);
}
END_TEST

START_TEST(a_stall_loses_and_doubles_nothing) {
    struct seen *seen = new_seen();
    produce("single", 0, 0, 1000, 100);
    struct kafka *kafka = open_one("single", "");
    while (seen->count == 0) {
        turn(kafka, 10, seen);
    }
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    while (!kafka->is_paused) {
        turn(kafka, 0, seen);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
    produce("single", 0, 1000, 1000, 100);
    for (int i = 0; i < 20; i++) {
        turn(kafka, 0, seen);
    }
    ck_assert_uint_le(seen->count, 10);
    read_until(kafka, seen, 2000);
    each_once(seen, 0, 0, 2000);
    input_kafka_type.close(kafka);
    free(seen);
}
END_TEST

/* How many different records two consumers have seen together. */
static size_t distinct(const struct seen *a, const struct seen *b) {
    size_t count = 0;
    for (int i = 0; i < PARTS; i++) {
        for (int j = 0; j < OFFSETS; j++) {
            count += a->times[i][j] + b->times[i][j] > 0;
        }
    }
    return count;
}

START_TEST(a_rebalance_drains_and_hands_over) {
    struct seen *first = new_seen(), *second = new_seen();
    for (int i = 0; i < PARTS; i++) {
        produce("flows", i, 0, 100, 50);
    }
    struct kafka *one = open_one("flows", "");
    read_until(one, first, PARTS * 100);
    commit(one, first->number); /* the mock, unlike a broker, refuses it during a rebalance */
    struct kafka *two = open_worker(1, 2, false);
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    while (!first->drained) {
        turn(one, BATCH_RECORDS_MAX, first);
        turn(two, BATCH_RECORDS_MAX, second);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
    commit(one, first->number);
    for (int i = 0; i < PARTS; i++) {
        produce("flows", i, 100, 50, 50);
    }
    while (distinct(first, second) < PARTS * 150) {
        turn(one, BATCH_RECORDS_MAX, first);
        turn(two, BATCH_RECORDS_MAX, second);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
    ck_assert_uint_gt(second->count, 0);
    /* What was committed before comes once; what was on its way may come again. */
    for (int i = 0; i < PARTS; i++) {
        for (int j = 0; j < 150; j++) {
            int times = first->times[i][j] + second->times[i][j];
            ck_assert_int_ge(times, 1);
            ck_assert_int_le(times, j < 100 ? 1 : 2);
        }
    }
    input_kafka_type.close(one);
    input_kafka_type.close(two);
    free(first);
    free(second);
}
END_TEST

START_TEST(what_is_on_its_way_at_a_rebalance_is_not_stored) {
    struct seen *first = new_seen(), *second = new_seen();
    produce("single", 0, 0, 10, 50);
    struct kafka *one = open_one("single", "");
    read_until(one, first, 10);
    uint64_t delivered = first->number;
    commit(one, delivered);
    produce("single", 0, 10, 10, 50);
    read_until(one, first, 20);
    struct kafka *two = open_worker(1, 2, false);
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    while (!first->drained) {
        turn(one, 0, first);
        turn(two, BATCH_RECORDS_MAX, second);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
    commit(one, delivered); /* the second batch is late */
    turn(one, 0, first);
    commit(one, first->number); /* delivered after all, but no longer ours */
    input_kafka_type.close(one);
    read_until(two, second, 10);
    each_once(second, 0, 10, 20);
    ck_assert_int_eq(second->times[0][9], 0);
    input_kafka_type.close(two);
    free(first);
    free(second);
}
END_TEST

/* The group throws us out: the mock no longer knows us at the next heartbeat. */
static void lose_assignment(void) {
    rd_kafka_mock_push_request_errors(cluster, HEARTBEAT, 1, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
}

static void turn_until_drained(struct kafka *kafka, size_t room, struct seen *seen) {
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    while (!seen->drained) {
        turn(kafka, room, seen);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
}

START_TEST(a_lost_assignment_drains_before_it_lets_go) {
    struct seen *seen = new_seen();
    struct batch batch = {0};
    struct err err;
    produce("single", 0, 0, 10, 50);
    struct kafka *kafka = open_one("single", "");
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    while (input_kafka_type.read(kafka, BATCH_RECORDS_MAX, &batch, &err) != INPUT_BATCH) {
        poll(NULL, 0, 10);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
    take(seen, &batch);
    int64_t stored = kafka->offsets.parts[0]->stored;
    lose_assignment();
    turn_until_drained(kafka, 0, seen);
    for (size_t i = 0; i < batch.count; i++) {
        ck_assert(span_eq(batch.records[i].origin.stream, SPAN("single")));
        ck_assert(span_eq(batch.records[i].origin.shard, SPAN("0")));
    }
    commit(kafka, seen->number); /* too late: it belongs to others */
    ck_assert_int_eq(kafka->offsets.parts[0]->stored, stored);
    read_until(kafka, seen, batch.count + 10);
    ck_assert_int_eq(seen->times[0][9], 2);
    input_kafka_type.close(kafka);
    free(seen);
}
END_TEST

START_TEST(a_full_account_still_serves_the_group) {
    struct seen *seen = new_seen();
    produce("single", 0, 0, 10, 50);
    struct kafka *kafka = open_one("single", "");
    read_until(kafka, seen, 10);
    for (int i = 0; kafka_offsets_have_room(&kafka->offsets, 1); i++) {
        kafka_offsets_hand_out(&kafka->offsets, ++kafka->number, 0, 10 + i);
    }
    lose_assignment();
    turn_until_drained(kafka, BATCH_RECORDS_MAX, seen);
    seen->number = kafka->number;
    read_until(kafka, seen, 20);
    ck_assert_int_eq(seen->times[0][9], 2);
    input_kafka_type.close(kafka);
    free(seen);
}
END_TEST

/* Reads until it says `text`. */
static void read_until_said(struct kafka *kafka, const char *text) {
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    struct err err = {.text = ""};
    struct batch batch;
    while (!strstr(err.text, text)) {
        input_kafka_type.read(kafka, BATCH_RECORDS_MAX, &batch, &err);
        poll(NULL, 0, 10);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
    ck_assert_int_eq(err.kind, ERR_RETRY);
}

START_TEST(a_refused_position_is_said_and_stored_again) {
    struct seen *seen = new_seen(), *later = new_seen();
    struct err err;
    produce("single", 0, 0, 10, 50);
    struct kafka *kafka = open_one("single", "commit_interval: 100ms");
    read_until(kafka, seen, 10);
    poll(NULL, 0, 150); /* the interval */
    rd_kafka_mock_push_request_errors(cluster, OFFSET_COMMIT, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    ck_assert_int_eq(input_kafka_type.commit(kafka, seen->number, false, &err), 0);
    produce("single", 0, 10, 10, 50);
    read_until_said(kafka, "positions were not stored");
    read_until(kafka, seen, 20);
    commit(kafka, seen->number);
    input_kafka_type.close(kafka);
    produce("single", 0, 20, 1, 50);
    kafka = open_worker(0, 1, false);
    read_until(kafka, later, 1);
    ck_assert_int_eq(later->times[0][20], 1);
    input_kafka_type.close(kafka);
    free(seen);
    free(later);
}
END_TEST

static void refuse_offset_fetches(int count) {
    for (int i = 0; i < count; i++) {
        rd_kafka_mock_push_request_errors(cluster, OFFSET_FETCH, 1,
                                          RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    }
}

START_TEST(a_refused_join_is_said_and_tried_again) {
    struct seen *seen = new_seen();
    produce("single", 0, 0, 10, 50);
    struct kafka *kafka = open_one("single", "");
    refuse_offset_fetches(20);
    read_until_said(kafka, "where to begin in the partitions is not known yet");
    read_until(kafka, seen, 10);
    each_once(seen, 0, 0, 10);
    input_kafka_type.close(kafka);
    free(seen);
}
END_TEST

/* librdkafka waits for our answer to a rebalance when it closes. */
START_TEST(closing_in_the_middle_of_a_rebalance_ends) {
    struct seen *seen = new_seen();
    produce("single", 0, 0, 10, 50);
    struct kafka *kafka = open_one("single", "");
    refuse_offset_fetches(1000);
    read_until_said(kafka, "where to begin in the partitions is not known yet");
    input_kafka_type.close(kafka);
    rd_kafka_mock_clear_request_errors(cluster, OFFSET_FETCH);
    kafka = open_worker(0, 1, false);
    read_until(kafka, seen, 10);
    lose_assignment();
    turn_until_drained(kafka, BATCH_RECORDS_MAX, seen);
    input_kafka_type.close(kafka);
    free(seen);
}
END_TEST

START_TEST(a_broker_may_be_far) {
    struct seen *seen = new_seen();
    produce("single", 0, 0, 10, 50);
    rd_kafka_mock_broker_set_rtt(cluster, 1, 250);
    struct kafka *kafka = open_one("single", "start: latest");
    wait_assigned(kafka);
    rd_kafka_mock_broker_set_rtt(cluster, 1, 0);
    produce("single", 0, 10, 5, 50);
    read_until(kafka, seen, 5);
    each_once(seen, 0, 10, 15);
    input_kafka_type.close(kafka);
    free(seen);
}
END_TEST

START_TEST(looking_stores_nothing_and_joins_nothing) {
    struct seen *seen = new_seen(), *later = new_seen();
    for (int i = 0; i < PARTS; i++) {
        produce("flows", i, 0, 25, 50);
    }
    ck_assert_int_eq(configure(NULL, "topics: ['^flo']\n" FAST_GROUP), 0);
    struct kafka *kafka = open_worker(0, 1, true);
    read_until(kafka, seen, PARTS * 25);
    commit(kafka, seen->number);
    input_kafka_type.close(kafka);
    kafka = open_worker(0, 1, false);
    read_until(kafka, later, PARTS * 25);
    input_kafka_type.close(kafka);
    free(seen);
    free(later);
}
END_TEST

START_TEST(records_without_a_value_advance) {
    struct seen *seen = new_seen(), *later = new_seen();
    produce("single", 0, 0, 3, 50);
    produce("single", 0, 3, 2, 0);
    struct kafka *kafka = open_one("single", "");
    read_until(kafka, seen, 5);
    commit(kafka, seen->number);
    input_kafka_type.close(kafka);
    produce("single", 0, 5, 1, 50);
    kafka = open_worker(0, 1, false);
    read_until(kafka, later, 1);
    ck_assert_int_eq(later->times[0][5], 1);
    input_kafka_type.close(kafka);
    free(seen);
    free(later);
}
END_TEST

/* The mock keeps about 5 MB a partition. */
START_TEST(what_the_broker_dropped_is_passed_over) {
    struct seen *seen = new_seen(), *later = new_seen();
    produce("single", 0, 0, 10, 50);
    struct kafka *kafka = open_one("single", "");
    read_until(kafka, seen, 10);
    commit(kafka, seen->number);
    input_kafka_type.close(kafka);
    produce("single", 0, 10, 200, 100000);
    kafka = open_worker(0, 1, false);
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    while (later->last[0] != 209) {
        turn(kafka, BATCH_RECORDS_MAX, later);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
    ck_assert_int_eq(later->times[0][10], 0);
    input_kafka_type.close(kafka);
    free(seen);
    free(later);
}
END_TEST

START_TEST(absent_brokers_are_said_once) {
    struct batch batch;
    struct err err;
    ck_assert_int_eq(configure("127.0.0.1:1", "topics: [flows]"), 0);
    struct kafka *kafka = open_worker(0, 1, false);
    int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;
    int said = 0;
    for (int i = 0; said == 0 || i < 100; i++) {
        if (input_kafka_type.read(kafka, 10, &batch, &err) == -1) {
            ck_assert_int_eq(err.kind, ERR_RETRY);
            ck_assert_ptr_nonnull(strstr(err.text, "brokers"));
            said++;
        }
        poll(NULL, 0, 10);
        ck_assert(clock_monotonic_ms() < end_ms);
    }
    ck_assert_int_eq(said, 1);
    input_kafka_type.close(kafka);
}
END_TEST

START_TEST(the_backlog_is_bounded_unless_overruled) {
    static const char *const settings[] = {"topics: [flows]",
                                           "topics: [flows]\nproperties: {queued.min.messages: 7}"};
    static const char *const wanted[] = {"20000", "7"};
    for (int i = 0; i < 2; i++) {
        rd_kafka_conf_t *made;
        struct err err;
        char text[32];
        size_t size = sizeof(text);
        ck_assert_int_eq(configure(NULL, settings[i]), 0);
        ck_assert_int_eq(kafka_conf_make(conf, &made, &err), 0);
        ck_assert_int_eq(rd_kafka_conf_get(made, "queued.min.messages", text, &size), 0);
        ck_assert_str_eq(text, wanted[i]);
        rd_kafka_conf_destroy(made);
    }
}
END_TEST

START_TEST(a_topic_that_is_no_regular_expression_is_refused) {
    ck_assert_int_eq(configure(NULL, "topics: [flows, '^[', '[']"), 1);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&context.errors), "topics: ^[ is no regular expression"));
    ck_assert_int_eq(configure(NULL, "topics: ['^flow-(a|b)$']"), 0);
}
END_TEST

static void refused(const char *more, const char *said) {
    char text[512];
    snprintf(text, sizeof(text), "topics: [flows]\n%s", more);
    ck_assert_int_eq(configure(NULL, text), 1);
    ck_assert_msg(strstr(buf_cstr(&context.errors), said) != NULL, "%s", context.errors.data);
}

START_TEST(settings_that_would_break_delivery_are_refused) {
    refused("properties: {enable.auto.commit: 'true'}", "not delivered yet");
    refused("properties: {group.instance.id: one}", "one identity");
    refused("properties: {no.such.thing: 1}", "no.such.thing");
    refused("properties: {fetch.wait.max.ms: soon}", "fetch.wait.max.ms");
    refused("sasl: {mechanism: PLAIN, username: me}", "password");
    refused("tls: {cert: /tmp/a.pem}", "belong together");
    ck_assert_int_eq(configure(NULL, "topics: [flows]\nproperties: {fetch.wait.max.ms: 50}"), 0);
}
END_TEST

START_TEST(cooperative_needs_a_librdkafka_that_can) {
    int wanted = rd_kafka_version() < 0x020a0000 ? 1 : 0;
    ck_assert_int_eq(configure(NULL, "topics: [flows]\nassignment: cooperative"), wanted);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("input_kafka");
    TCase *tcase = tcase_create("mock cluster");
    tcase_set_timeout(tcase, 60);
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, reads_all_and_goes_on_where_it_stopped);
    tcase_add_test(tcase, what_is_not_committed_is_read_again);
    tcase_add_test(tcase, latest_is_stored_before_the_first_read);
    tcase_add_test(tcase, a_stall_loses_and_doubles_nothing);
    tcase_add_test(tcase, a_rebalance_drains_and_hands_over);
    tcase_add_test(tcase, what_is_on_its_way_at_a_rebalance_is_not_stored);
    tcase_add_test(tcase, a_lost_assignment_drains_before_it_lets_go);
    tcase_add_test(tcase, a_full_account_still_serves_the_group);
    tcase_add_test(tcase, a_refused_position_is_said_and_stored_again);
    tcase_add_test(tcase, a_refused_join_is_said_and_tried_again);
    tcase_add_test(tcase, closing_in_the_middle_of_a_rebalance_ends);
    tcase_add_test(tcase, a_broker_may_be_far);
    tcase_add_test(tcase, looking_stores_nothing_and_joins_nothing);
    tcase_add_test(tcase, records_without_a_value_advance);
    tcase_add_test(tcase, what_the_broker_dropped_is_passed_over);
    tcase_add_test(tcase, absent_brokers_are_said_once);
    tcase_add_test(tcase, the_backlog_is_bounded_unless_overruled);
    tcase_add_test(tcase, a_topic_that_is_no_regular_expression_is_refused);
    tcase_add_test(tcase, settings_that_would_break_delivery_are_refused);
    tcase_add_test(tcase, cooperative_needs_a_librdkafka_that_can);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
