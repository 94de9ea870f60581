/* SPDX-License-Identifier: Apache-2.0 */
/* See demo_kafka.h. */
#include "cmd/demo_kafka.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <librdkafka/rdkafka.h>
#include <librdkafka/rdkafka_mock.h>

#include "base/xalloc.h"

enum { REASON_MAX = 256, QUEUE_WAIT_MS = 10, CLOSE_WAIT_MS = 1000, BROKER = 1 };

/* JoinGroup's number in the Kafka protocol. */
enum { API_JOIN_GROUP = 11, LEADER_WAIT_MS = 300 };

struct demo_kafka {
    rd_kafka_t *producer; /* holds the cluster */
    char *topic;
    uint64_t produced, stored;
    rd_kafka_resp_err_t failure; /* of the last record that was not stored */
};

/* Everything behind `test.mock.num.brokers` is the cluster; it needs no address of a real one. */
static const char *const properties[][2] = {
    {"test.mock.num.brokers", "1"},
    {"linger.ms", "50"},
    {"batch.num.messages", "10000"},
    {"acks", "all"},
    {"log_level", "2"},
};

static void on_report(rd_kafka_t *producer, const rd_kafka_message_t *message, void *context) {
    struct demo_kafka *kafka = context;
    (void)producer;
    if (message->err) {
        kafka->failure = message->err;
    } else {
        kafka->stored++;
    }
}

static int open_producer(struct demo_kafka *kafka, struct err *err) {
    char reason[REASON_MAX];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    for (size_t i = 0; i < sizeof(properties) / sizeof(properties[0]); i++) {
        if (rd_kafka_conf_set(conf, properties[i][0], properties[i][1], reason, sizeof(reason)) !=
            RD_KAFKA_CONF_OK) {
            rd_kafka_conf_destroy(conf);
            return err_set(err, ERR_STOP, "librdkafka: %s", reason);
        }
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_report);
    rd_kafka_conf_set_opaque(conf, kafka);
    kafka->producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, reason, sizeof(reason));
    if (!kafka->producer) {
        rd_kafka_conf_destroy(conf);
        return err_set(err, ERR_STOP, "librdkafka: %s", reason);
    }
    return 0;
}

/*
 * Makes the group form at the first try. The mock refuses a follower that asks for its assignment
 * after the leader has given it; all then join again, which takes the mock a session timeout. So
 * the first that joins, who becomes the leader, gets its answer later than the others.
 */
static rd_kafka_resp_err_t delay_leader(rd_kafka_mock_cluster_t *cluster) {
    return rd_kafka_mock_broker_push_request_error_rtts(cluster, BROKER, API_JOIN_GROUP, 1,
                                                        RD_KAFKA_RESP_ERR_NO_ERROR, LEADER_WAIT_MS);
}

int demo_kafka_open(const char *topic, struct demo_kafka **out, struct err *err) {
    struct demo_kafka *kafka = xcalloc(1, sizeof(*kafka));
    kafka->topic = xstrdup(topic);
    if (open_producer(kafka, err) != 0) {
        demo_kafka_close(kafka);
        return -1;
    }
    rd_kafka_mock_cluster_t *cluster = rd_kafka_handle_mock_cluster(kafka->producer);
    rd_kafka_resp_err_t result =
        rd_kafka_mock_topic_create(cluster, topic, DEMO_KAFKA_PARTITIONS, 1);
    if (result == RD_KAFKA_RESP_ERR_NO_ERROR) {
        result = delay_leader(cluster);
    }
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR) {
        err_set(err, ERR_STOP, "librdkafka's mock cluster: %s", rd_kafka_err2str(result));
        demo_kafka_close(kafka);
        return -1;
    }
    *out = kafka;
    return 0;
}

const char *demo_kafka_brokers(const struct demo_kafka *kafka) {
    return rd_kafka_mock_cluster_bootstraps(rd_kafka_handle_mock_cluster(kafka->producer));
}

int demo_kafka_produce(struct demo_kafka *kafka, struct span record, struct err *err) {
    rd_kafka_resp_err_t result;
    int partition = (int)(kafka->produced % DEMO_KAFKA_PARTITIONS);
    for (;;) {
        result = rd_kafka_producev(kafka->producer, RD_KAFKA_V_TOPIC(kafka->topic),
                                   RD_KAFKA_V_PARTITION(partition),
                                   RD_KAFKA_V_VALUE((void *)record.p, record.len),
                                   RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        if (result != RD_KAFKA_RESP_ERR__QUEUE_FULL) {
            break;
        }
        rd_kafka_poll(kafka->producer, QUEUE_WAIT_MS);
    }
    rd_kafka_poll(kafka->producer, 0);
    if (result != RD_KAFKA_RESP_ERR_NO_ERROR) {
        return err_set(err, ERR_STOP, "producing: %s", rd_kafka_err2str(result));
    }
    kafka->produced++;
    return 0;
}

int demo_kafka_flush(struct demo_kafka *kafka, int wait_ms, struct err *err) {
    rd_kafka_flush(kafka->producer, wait_ms);
    if (kafka->stored != kafka->produced) {
        return err_set(err, ERR_STOP, "the mock cluster stored %ju of %ju records%s%s",
                       (uintmax_t)kafka->stored, (uintmax_t)kafka->produced,
                       kafka->failure ? ": " : "",
                       kafka->failure ? rd_kafka_err2str(kafka->failure) : "");
    }
    return 0;
}

void demo_kafka_close(struct demo_kafka *kafka) {
    if (!kafka) {
        return;
    }
    if (kafka->producer) {
        rd_kafka_purge(kafka->producer, RD_KAFKA_PURGE_F_QUEUE | RD_KAFKA_PURGE_F_INFLIGHT);
        rd_kafka_flush(kafka->producer, CLOSE_WAIT_MS);
        rd_kafka_destroy(kafka->producer);
    }
    free(kafka->topic);
    free(kafka);
}
