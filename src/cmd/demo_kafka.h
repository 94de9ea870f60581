/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Kafka cluster inside the process (librdkafka's mock) with one topic, and a producer that fills
 * it. It keeps about 5 MB of each partition, so whoever fills it must have it read meanwhile or
 * stay below. For the demo alone; cold path, may wait.
 */
#pragma once

#include <stddef.h>

#include "base/err.h"
#include "base/span.h"

enum { DEMO_KAFKA_PARTITIONS = 4 };

struct demo_kafka;

/* A cluster of one broker on a loopback port, with `topic`. ERR_STOP when it cannot be had. */
int demo_kafka_open(const char *topic, struct demo_kafka **kafka, struct err *err);

/* "127.0.0.1:port"; valid until closed. */
const char *demo_kafka_brokers(const struct demo_kafka *kafka);

/* Queues a copy of `record` for the next partition in turn. Waits while the queue is full. */
int demo_kafka_produce(struct demo_kafka *kafka, struct span record, struct err *err);

/* Waits up to `wait_ms` until all records are stored; -1 when one is not. */
int demo_kafka_flush(struct demo_kafka *kafka, int wait_ms, struct err *err);

/* Ends producer and cluster. NULL is fine. */
void demo_kafka_close(struct demo_kafka *kafka);
