/* SPDX-License-Identifier: Apache-2.0 */
/* See kafka_frame.h. Pure, as every encoder. */
#include "output/kafka_frame.h"

#include <assert.h>
#include <endian.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/xalloc.h"
#include "output/gelf.h"

struct head {
    uint32_t message_bytes;
    uint8_t interface_bytes;
    uint8_t has_hash;
    uint8_t hash[8]; /* most significant byte first */
};

struct kafka_encoder {
    struct message_conf message; /* lists and texts are the settings' */
    void *gelf;
};

static bool is_omitted(const struct message_conf *message, struct span name) {
    for (size_t i = 0; i < message->fields.omit.count; i++) {
        if (span_eq(span_str(message->fields.omit.items[i]), name)) {
            return true;
        }
    }
    return false;
}

/* event_uid is no matter of dossiers, so the style of the settings remains right. */
static void *kafka_encoder_open(const struct message_conf *message, size_t style, struct span end) {
    struct kafka_encoder *encoder = xcalloc(1, sizeof *encoder);
    encoder->message = *message;
    encoder->message.event_uid = !is_omitted(message, SPAN("event_uid"));
    encoder->gelf = gelf_encoder.open(&encoder->message, style, end);
    return encoder;
}

static void kafka_encoder_close(void *handle) {
    struct kafka_encoder *encoder = handle;
    gelf_encoder.close(encoder->gelf);
    free(encoder);
}

/* One end of a flow: address and port, most significant byte first. */
enum { END_BYTES = 18 };

static void put_end(uint8_t *out, const struct ipaddr *address, uint16_t port) {
    memcpy(out, address->bytes, sizeof address->bytes);
    out[16] = (uint8_t)(port >> 8);
    out[17] = (uint8_t)port;
}

/* The lower end first, so that both directions of a conversation have one key. */
static void put_hash(struct head *head, const struct flow *flow) {
    uint8_t ends[2][END_BYTES], text[2 * END_BYTES + 1];
    put_end(ends[0], &flow->addr[SIDE_SRC], flow->has & HAS_SRC_PORT ? flow->src_port : 0);
    put_end(ends[1], &flow->addr[SIDE_DST], flow->has & HAS_DST_PORT ? flow->dst_port : 0);
    size_t lower = memcmp(ends[0], ends[1], END_BYTES) > 0;
    memcpy(text, ends[lower], END_BYTES);
    memcpy(text + END_BYTES, ends[!lower], END_BYTES);
    text[2 * END_BYTES] = flow->has & HAS_PROTOCOL ? flow->protocol : 0;
    uint64_t hash = htobe64(XXH3_64bits(text, sizeof text));
    memcpy(head->hash, &hash, sizeof head->hash);
    head->has_hash = 1;
}

static int kafka_encode(void *handle, const struct flow *flow, struct buf *out) {
    struct kafka_encoder *encoder = handle;
    struct span interface = flow_column(flow, FIELD_INTERFACE_ID);
    struct head head = {0};
    size_t start = out->len;
    interface.len = interface.len <= KAFKA_KEY_MAX ? interface.len : KAFKA_KEY_MAX;
    head.interface_bytes = (uint8_t)interface.len;
    if ((flow->has & HAS_SRC) && (flow->has & HAS_DST)) {
        put_hash(&head, flow);
    }
    buf_add(out, span_of((const char *)&head, sizeof head));
    buf_add(out, interface);
    size_t message = out->len;
    if (out->overflow || gelf_encoder.encode(encoder->gelf, flow, out) != 0) {
        out->len = start;
        out->overflow = true;
        return -1;
    }
    head.message_bytes = (uint32_t)(out->len - message);
    memcpy(out->data + start, &head, sizeof head);
    return 0;
}

static void kafka_encode_dossier(const void *conf, const struct dossier *dossier, struct buf *out) {
    gelf_encoder.encode_dossier(conf, dossier, out);
}

void kafka_frame_read(struct span bytes, enum kafka_key key, struct kafka_frame *frame) {
    static const char hex[] = "0123456789abcdef";
    struct head head;
    assert(bytes.len >= sizeof head);
    memcpy(&head, bytes.p, sizeof head);
    frame->bytes = sizeof head + head.interface_bytes + head.message_bytes;
    assert(bytes.len >= frame->bytes);
    frame->key = span_of(bytes.p + sizeof head, head.interface_bytes);
    frame->message = span_of(frame->key.p + head.interface_bytes, head.message_bytes);
    if (key == KAFKA_KEY_FLOW && head.has_hash) {
        for (size_t i = 0; i < sizeof head.hash; i++) {
            frame->digits[2 * i] = hex[head.hash[i] >> 4];
            frame->digits[2 * i + 1] = hex[head.hash[i] & 15];
        }
        frame->key = span_of(frame->digits, sizeof frame->digits);
    }
}

const struct encoder_type kafka_encoder = {
    .open = kafka_encoder_open,
    .encode = kafka_encode,
    .encode_dossier = kafka_encode_dossier,
    .close = kafka_encoder_close,
};
