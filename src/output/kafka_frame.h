/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A message of the Kafka output as it stands in a parcel: a short head, the name of the recording
 * interface, then the message. The head holds the length and what a key is made of, as the encoder
 * does not know the output's settings and the output no longer knows the flow. Everything stays
 * where it is until delivered, as librdkafka borrows messages and copies only keys.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"
#include "core/output.h"

enum kafka_key { KAFKA_KEY_FLOW, KAFKA_KEY_INTERFACE };

/* Longest key: 16 hexadecimal digits, or the name of an interface as far as the head can count. */
enum { KAFKA_KEY_MAX = 255 };

struct kafka_frame {
    struct span key;     /* the flow's stands in `digits`; empty: none is known */
    struct span message; /* JSON, without anything that closes it */
    size_t bytes;        /* of all; the next frame begins there */
    char digits[16];
};

/*
 * Reads the frame at the start of `bytes`, which the encoder below has written. The key of a flow
 * is a hash of its protocol and of both ends' addresses and ports, the same for both directions;
 * that of a line without them, and on wish of every line, is the name of the interface.
 */
void kafka_frame_read(struct span bytes, enum kafka_key key, struct kafka_frame *frame);

/* Frames around GELF messages. event_uid is in them unless `fields: {omit}` names it. */
extern const struct encoder_type kafka_encoder;
