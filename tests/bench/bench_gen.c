/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_gen lines COUNT [FRESH_EVERY]: flow-log lines to stdout.
 * bench_gen kafka BROKER TOPIC COUNT lines|envelopes: the same into a topic, a message per line or
 * per envelope of FLOWGEN_EVENTS lines, spread over its partitions.
 * Then one line on stderr: how many flows, which is how many messages a receiver must see. Used by
 * tests/bench/run.
 */
#include <librdkafka/rdkafka.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flowgen.h"

static struct flowgen gen;

static int write_lines(uint64_t count) {
    char line[FLOWGEN_LINE_MAX];
    setvbuf(stdout, NULL, _IOFBF, 1 << 20);
    for (uint64_t i = 0; i < count; i++) {
        size_t len = flowgen_line(&gen, line);
        if (fwrite(line, 1, len, stdout) != len) {
            perror("stdout");
            return 1;
        }
    }
    return fflush(stdout) == 0 ? 0 : 1;
}

static rd_kafka_t *open_producer(const char *broker) {
    static const char *const properties[][2] = {
        {"linger.ms", "50"}, {"batch.size", "1000000"}, {"queue.buffering.max.messages", "500000"},
        {"acks", "1"},       {"partitioner", "random"}, {"sticky.partitioning.linger.ms", "20"},
    };
    char text[512];
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool fine = rd_kafka_conf_set(conf, "bootstrap.servers", broker, text, sizeof(text)) == 0;
    for (size_t i = 0; fine && i < sizeof(properties) / sizeof(properties[0]); i++) {
        fine = rd_kafka_conf_set(conf, properties[i][0], properties[i][1], text, sizeof(text)) == 0;
    }
    rd_kafka_t *producer = NULL;
    if (fine) {
        producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof(text));
    }
    if (!producer) {
        fprintf(stderr, "kafka: %s\n", text);
    }
    return producer;
}

/* Waits for room in the producer's queue. The value is copied, or freed by it where `owned`. */
static int produce(rd_kafka_t *producer, const char *topic, char *value, size_t len, bool owned) {
    rd_kafka_resp_err_t err;
    do {
        err = rd_kafka_producev(
            producer, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_VALUE(value, len),
            RD_KAFKA_V_MSGFLAGS(owned ? RD_KAFKA_MSG_F_FREE : RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
        rd_kafka_poll(producer, err == RD_KAFKA_RESP_ERR__QUEUE_FULL ? 10 : 0);
    } while (err == RD_KAFKA_RESP_ERR__QUEUE_FULL);
    if (err != RD_KAFKA_RESP_ERR_NO_ERROR) {
        fprintf(stderr, "kafka: %s\n", rd_kafka_err2str(err));
        return 1;
    }
    return 0;
}

static int write_kafka(const char *broker, const char *topic, uint64_t count, bool envelopes) {
    rd_kafka_t *producer = open_producer(broker);
    int result = producer ? 0 : 1;
    char line[FLOWGEN_LINE_MAX];
    for (uint64_t done = 0; result == 0 && done < count;) {
        if (envelopes) {
            char *value;
            uint64_t left = count - done;
            size_t events = left < FLOWGEN_EVENTS ? (size_t)left : FLOWGEN_EVENTS;
            size_t len = flowgen_envelope(&gen, events, &value);
            result = produce(producer, topic, value, len, true);
            done += events;
        } else {
            size_t len = flowgen_line(&gen, line) - 1;
            result = produce(producer, topic, line, len, false);
            done++;
        }
    }
    if (producer) {
        if (rd_kafka_flush(producer, 60000) != RD_KAFKA_RESP_ERR_NO_ERROR) {
            fputs("kafka: not all could be produced\n", stderr);
            result = 1;
        }
        rd_kafka_destroy(producer);
    }
    return result;
}

int main(int argc, char **argv) {
    int result = 2;
    bool is_lines = argc >= 3 && strcmp(argv[1], "lines") == 0;
    flowgen_init(&gen, 1, is_lines && argc > 3 ? (uint32_t)atol(argv[3]) : 0);
    if (is_lines) {
        result = write_lines(strtoull(argv[2], NULL, 10));
    } else if (argc == 6 && strcmp(argv[1], "kafka") == 0) {
        result = write_kafka(argv[2], argv[3], strtoull(argv[4], NULL, 10),
                             strcmp(argv[5], "envelopes") == 0);
    } else {
        fputs("usage: bench_gen lines COUNT [FRESH_EVERY]\n"
              "       bench_gen kafka BROKER TOPIC COUNT lines|envelopes\n",
              stderr);
    }
    if (result == 0) {
        fprintf(stderr, "%llu flows\n", (unsigned long long)gen.flows);
    }
    return result;
}
