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

/* Does what follows the condition until that holds; the limit only ends a test that has failed. */
#define UNTIL(condition, ...)                                                                  \
    do {                                                                                       \
        int64_t end_ms = clock_monotonic_ms() + LIMIT_MS;                                      \
        while (!(condition)) {                                                                 \
            __VA_ARGS__;                                                                       \
            ck_assert_msg(clock_monotonic_ms() < end_ms, "waited in vain for %s", #condition); \
        }                                                                                      \
    } while (0)

/* Which offsets came, per partition, and that they came in order. */
struct seen {
    int times[PARTS][OFFSETS];
    int64_t last[PARTS];
    size_t count;
    uint64_t number;
    bool drained;
};

static rd_kafka_t *producer;
static rd_kafka_mock_cluster_t *cluster;
static struct option_context context;
static struct yaml_node *root;
static void *conf;
static struct kafka *kafka;     /* the worker whose life a story tells; NULL: none */
static struct seen seen, later; /* by it, and by its next life or the other one of two */

static void clear_seen(struct seen *seen_by) {
    memset(seen_by, 0, sizeof(*seen_by));
    memset(seen_by->last, -1, sizeof(seen_by->last));
}

static void set_up(void) {
    clear_seen(&seen);
    clear_seen(&later);
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

static void end_life(void) {
    input_kafka_type.close(kafka);
    kafka = NULL;
}

static void tear_down(void) {
    if (kafka) {
        end_life();
    }
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

/* A first life, as the only worker of its group. */
static void begin_life(const char *topic, const char *more) {
    char text[512];
    snprintf(text, sizeof(text), "topics: [%s]\n" FAST_GROUP "%s", topic, more);
    ck_assert_msg(configure(NULL, text) == 0, "%s", buf_cstr(&context.errors));
    kafka = open_worker(0, 1, false);
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

static void produce_single(int from, int count) {
    produce("single", 0, from, count, 50);
}

static void produce_everywhere(int from, int count) {
    for (int i = 0; i < PARTS; i++) {
        produce("flows", i, from, count, 50);
    }
}

static void take(struct seen *by, const struct batch *batch) {
    ck_assert_uint_gt(batch->number, by->number);
    by->number = batch->number;
    for (size_t i = 0; i < batch->count; i++) {
        const struct origin *origin = &batch->records[i].origin;
        int partition = origin->shard.p[0] - '0';
        char wanted[32];
        ck_assert(origin->number < OFFSETS);
        ck_assert_int_gt(origin->number, by->last[partition]);
        by->last[partition] = origin->number;
        by->times[partition][origin->number]++;
        int len = snprintf(wanted, sizeof(wanted), "%d/%d ", partition, (int)origin->number);
        if (batch->records[i].data.len > 0) {
            ck_assert(span_starts(batch->records[i].data, span_of(wanted, (size_t)len)));
        }
        by->count++;
    }
}

/* One turn of a worker, as the core does it. */
static void turn(struct kafka *worker, size_t room, struct seen *by) {
    struct batch batch;
    struct err err;
    int result = input_kafka_type.read(worker, room, &batch, &err);
    if (result == INPUT_BATCH) {
        take(by, &batch);
    } else if (result == INPUT_DRAIN) {
        /* The next assignment begins at what was committed, which may be earlier. */
        by->drained = true;
        memset(by->last, -1, sizeof(by->last));
    } else {
        struct pollfd fd = {.fd = input_kafka_type.poll_fd(worker), .events = POLLIN};
        poll(&fd, 1, 20);
    }
}

static void read_until(struct kafka *worker, struct seen *by, size_t count) {
    UNTIL(by->count >= count, turn(worker, BATCH_RECORDS_MAX, by));
}

static void commit(uint64_t number) {
    struct err err;
    ck_assert_msg(input_kafka_type.commit(kafka, number, true, &err) == 0, "%s", err.text);
}

static void wait_assigned(void) {
    UNTIL(kafka->offsets.part_count > 0, turn(kafka, BATCH_RECORDS_MAX, &seen));
}

static void each_once(const struct seen *by, int partition, int from, int to) {
    for (int i = from; i < to; i++) {
        ck_assert_msg(by->times[partition][i] == 1, "%d/%d came %d times", partition, i,
                      by->times[partition][i]);
    }
}

/* Ten records, and a first life that reads them. */
static void read_ten(const char *more) {
    produce_single(0, 10);
    begin_life("single", more);
    read_until(kafka, &seen, 10);
}

/* The next life, with `count` new records numbered from `from`, reads just these. */
static void next_life_reads(int from, int count) {
    end_life();
    produce_single(from, count);
    kafka = open_worker(0, 1, false);
    read_until(kafka, &later, (size_t)count);
    each_once(&later, 0, from, from + count);
    ck_assert_uint_eq(later.count, (size_t)count);
}

START_TEST(reads_all_and_goes_on_where_it_stopped) {
    produce_everywhere(0, 100);
    begin_life("flows", "");
    read_until(kafka, &seen, PARTS * 100);
    for (int i = 0; i < PARTS; i++) {
        each_once(&seen, i, 0, 100);
    }
    commit(seen.number);
    struct buf text;
    buf_init(&text, 4096);
    input_kafka_type.describe(kafka, &text);
    ck_assert_ptr_nonnull(
        strstr(buf_cstr(&text), "flows [2]: read up to 100, delivered up to 100"));
    buf_done(&text);
    end_life();

    produce("flows", 1, 100, 10, 50);
    kafka = open_worker(0, 1, false);
    read_until(kafka, &later, 10);
    each_once(&later, 1, 100, 110);
}
END_TEST

START_TEST(what_is_not_committed_is_read_again) {
    read_ten("");
    end_life();
    kafka = open_worker(0, 1, false);
    read_until(kafka, &later, 10);
    each_once(&later, 0, 0, 10);
}
END_TEST

START_TEST(latest_is_stored_before_the_first_read) {
    produce_single(0, 20);
    begin_life("single", "start: latest");
    wait_assigned(); /* and a crash before anything was delivered */
    next_life_reads(20, 5);
}
END_TEST

START_TEST(a_stall_loses_and_doubles_nothing) {
    produce("single", 0, 0, 1000, 100);
    begin_life("single", "");
    UNTIL(seen.count > 0, turn(kafka, 10, &seen));
    UNTIL(kafka->is_paused, turn(kafka, 0, &seen));
    produce("single", 0, 1000, 1000, 100);
    for (int i = 0; i < 20; i++) {
        turn(kafka, 0, &seen);
    }
    ck_assert_uint_le(seen.count, 10);
    read_until(kafka, &seen, 2000);
    each_once(&seen, 0, 0, 2000);
}
END_TEST

/* A turn of each of two workers. */
static void turn_both(size_t room, struct kafka *other) {
    turn(kafka, room, &seen);
    turn(other, BATCH_RECORDS_MAX, &later);
}

/* How many different records both have seen together. */
static size_t distinct(void) {
    size_t count = 0;
    for (int i = 0; i < PARTS; i++) {
        for (int j = 0; j < OFFSETS; j++) {
            count += seen.times[i][j] + later.times[i][j] > 0;
        }
    }
    return count;
}

START_TEST(a_rebalance_drains_and_hands_over) {
    produce_everywhere(0, 100);
    begin_life("flows", "");
    read_until(kafka, &seen, PARTS * 100);
    commit(seen.number); /* the mock, unlike a broker, refuses it during a rebalance */
    struct kafka *other = open_worker(1, 2, false);
    UNTIL(seen.drained, turn_both(BATCH_RECORDS_MAX, other));
    commit(seen.number);
    produce_everywhere(100, 50);
    UNTIL(distinct() == PARTS * 150, turn_both(BATCH_RECORDS_MAX, other));
    ck_assert_uint_gt(later.count, 0);
    /* What was committed before comes once; what was on its way may come again. */
    for (int i = 0; i < PARTS; i++) {
        for (int j = 0; j < 150; j++) {
            int times = seen.times[i][j] + later.times[i][j];
            ck_assert_int_ge(times, 1);
            ck_assert_int_le(times, j < 100 ? 1 : 2);
        }
    }
    end_life();
    input_kafka_type.close(other);
}
END_TEST

START_TEST(what_is_on_its_way_at_a_rebalance_is_not_stored) {
    read_ten("");
    uint64_t delivered = seen.number;
    commit(delivered);
    produce_single(10, 10);
    read_until(kafka, &seen, 20);
    struct kafka *other = open_worker(1, 2, false);
    UNTIL(seen.drained, turn_both(0, other));
    commit(delivered); /* the second batch is late */
    turn(kafka, 0, &seen);
    commit(seen.number); /* delivered after all, but no longer ours */
    end_life();
    read_until(other, &later, 10);
    each_once(&later, 0, 10, 20);
    ck_assert_int_eq(later.times[0][9], 0);
    input_kafka_type.close(other);
}
END_TEST

/* The group throws us out: the mock no longer knows us at the next heartbeat. */
static void lose_assignment(void) {
    rd_kafka_mock_push_request_errors(cluster, HEARTBEAT, 1, RD_KAFKA_RESP_ERR_UNKNOWN_MEMBER_ID);
}

START_TEST(a_lost_assignment_drains_before_it_lets_go) {
    struct batch batch = {0};
    struct err err;
    produce_single(0, 10);
    begin_life("single", "");
    UNTIL(input_kafka_type.read(kafka, BATCH_RECORDS_MAX, &batch, &err) == INPUT_BATCH,
          poll(NULL, 0, 10));
    take(&seen, &batch);
    int64_t stored = kafka->offsets.parts[0]->stored;
    lose_assignment();
    UNTIL(seen.drained, turn(kafka, 0, &seen));
    for (size_t i = 0; i < batch.count; i++) {
        ck_assert(span_eq(batch.records[i].origin.stream, SPAN("single")));
        ck_assert(span_eq(batch.records[i].origin.shard, SPAN("0")));
    }
    commit(seen.number); /* too late: it belongs to others */
    ck_assert_int_eq(kafka->offsets.parts[0]->stored, stored);
    read_until(kafka, &seen, batch.count + 10);
    ck_assert_int_eq(seen.times[0][9], 2);
}
END_TEST

START_TEST(a_full_account_still_serves_the_group) {
    read_ten("");
    for (int i = 0; kafka_offsets_have_room(&kafka->offsets, 1); i++) {
        kafka_offsets_hand_out(&kafka->offsets, ++kafka->number, 0, 10 + i);
    }
    lose_assignment();
    UNTIL(seen.drained, turn(kafka, BATCH_RECORDS_MAX, &seen));
    seen.number = kafka->number;
    read_until(kafka, &seen, 20);
    ck_assert_int_eq(seen.times[0][9], 2);
}
END_TEST

/* Reads until it says `text`. */
static void read_until_said(const char *text) {
    struct err err = {.text = ""};
    struct batch batch;
    UNTIL(strstr(err.text, text), input_kafka_type.read(kafka, BATCH_RECORDS_MAX, &batch, &err);
          poll(NULL, 0, 10));
    ck_assert_int_eq(err.kind, ERR_RETRY);
}

START_TEST(a_refused_position_is_said_and_stored_again) {
    struct err err;
    read_ten("commit_interval: 100ms");
    poll(NULL, 0, 150); /* the interval */
    rd_kafka_mock_push_request_errors(cluster, OFFSET_COMMIT, 1,
                                      RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED);
    ck_assert_int_eq(input_kafka_type.commit(kafka, seen.number, false, &err), 0);
    produce_single(10, 10);
    read_until_said("positions were not stored");
    read_until(kafka, &seen, 20);
    commit(seen.number);
    next_life_reads(20, 1);
}
END_TEST

/* Ten records, and a life that cannot find out where to begin. */
static void be_refused(int times) {
    produce_single(0, 10);
    begin_life("single", "");
    for (int i = 0; i < times; i++) {
        rd_kafka_mock_push_request_errors(cluster, OFFSET_FETCH, 1,
                                          RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED);
    }
    read_until_said("where to begin in the partitions is not known yet");
}

START_TEST(a_refused_join_is_said_and_tried_again) {
    be_refused(20);
    read_until(kafka, &seen, 10);
    each_once(&seen, 0, 0, 10);
}
END_TEST

/* librdkafka waits for our answer to a rebalance when it closes. */
START_TEST(closing_in_the_middle_of_a_rebalance_ends) {
    be_refused(1000);
    end_life();
    rd_kafka_mock_clear_request_errors(cluster, OFFSET_FETCH);
    kafka = open_worker(0, 1, false);
    read_until(kafka, &seen, 10);
    lose_assignment();
    UNTIL(seen.drained, turn(kafka, BATCH_RECORDS_MAX, &seen));
}
END_TEST

START_TEST(a_broker_may_be_far) {
    produce_single(0, 10);
    rd_kafka_mock_broker_set_rtt(cluster, 1, 250);
    begin_life("single", "start: latest");
    wait_assigned();
    rd_kafka_mock_broker_set_rtt(cluster, 1, 0);
    produce_single(10, 5);
    read_until(kafka, &seen, 5);
    each_once(&seen, 0, 10, 15);
}
END_TEST

START_TEST(looking_stores_nothing_and_joins_nothing) {
    produce_everywhere(0, 25);
    ck_assert_int_eq(configure(NULL, "topics: ['^flo']\n" FAST_GROUP), 0);
    kafka = open_worker(0, 1, true);
    read_until(kafka, &seen, PARTS * 25);
    commit(seen.number);
    end_life();
    kafka = open_worker(0, 1, false);
    read_until(kafka, &later, PARTS * 25);
}
END_TEST

START_TEST(records_without_a_value_advance) {
    produce_single(0, 3);
    produce("single", 0, 3, 2, 0);
    begin_life("single", "");
    read_until(kafka, &seen, 5);
    commit(seen.number);
    next_life_reads(5, 1);
}
END_TEST

/* The mock keeps about 5 MB a partition. */
START_TEST(what_the_broker_dropped_is_passed_over) {
    read_ten("");
    commit(seen.number);
    end_life();
    produce("single", 0, 10, 200, 100000);
    kafka = open_worker(0, 1, false);
    UNTIL(later.last[0] == 209, turn(kafka, BATCH_RECORDS_MAX, &later));
    ck_assert_int_eq(later.times[0][10], 0);
}
END_TEST

/* What the next read says of brokers: 0 or 1 times. */
static int reads_trouble(void) {
    struct batch batch;
    struct err err;
    poll(NULL, 0, 10);
    if (input_kafka_type.read(kafka, 10, &batch, &err) != -1) {
        return 0;
    }
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_ptr_nonnull(strstr(err.text, "brokers"));
    return 1;
}

START_TEST(absent_brokers_are_said_once) {
    int said = 0;
    ck_assert_int_eq(configure("127.0.0.1:1", "topics: [flows]"), 0);
    kafka = open_worker(0, 1, false);
    UNTIL(said > 0, said += reads_trouble());
    for (int i = 0; i < 100; i++) {
        said += reads_trouble();
    }
    ck_assert_int_eq(said, 1);
}
END_TEST

START_TEST(the_backlog_is_bounded_unless_overruled) {
    static const char *const settings[] = {"topics: [flows]",
                                           "topics: [flows]\nproperties: {queued.min.messages: 7}"};
    static const char *const wanted[] = {"10000", "7"};
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
