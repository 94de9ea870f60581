/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a flow came from, as fields of its message: CloudWatch's envelope, the place in the stream,
 * and event_uid, which is the same at every resend. Called by the encoder for each message.
 */
#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/num.h"
#include "output/gelf_put.h"

enum {
    ORIGIN_FIXED = 256,        /* the keys that put_origin writes, a number and the uid */
    ORIGIN_TEXT_MAX = 2 << 20, /* far above what the fields come to, each cut as strings are */
    PARTS_MAX = 1 << 20,
};

/* What many flows have in common; in the order of a message. */
enum origin_owner { OF_ENVELOPE, OF_KAFKA, OF_KINESIS };

static const struct origin_field {
    enum note_id note;
    enum origin_owner owner; /* whose it is: of struct envelope, or of struct origin when that is of
                                this input */
    size_t offset;           /* of a struct span in there */
} origin_fields[] = {
    {NOTE_AWS_LOG_GROUP, OF_ENVELOPE, offsetof(struct envelope, log_group)},
    {NOTE_AWS_LOG_STREAM, OF_ENVELOPE, offsetof(struct envelope, log_stream)},
    {NOTE_AWS_OWNER, OF_ENVELOPE, offsetof(struct envelope, owner)},
    {NOTE_AWS_KINESIS_MESSAGE_TYPE, OF_ENVELOPE, offsetof(struct envelope, message_type)},
    {NOTE_AWS_SUBSCRIPTION_FILTERS, OF_ENVELOPE, offsetof(struct envelope, filters)},
    {NOTE_KAFKA_TOPIC, OF_KAFKA, offsetof(struct origin, stream)},
    {NOTE_KAFKA_PARTITION, OF_KAFKA, offsetof(struct origin, shard)},
    {NOTE_AWS_KINESIS_STREAM, OF_KINESIS, offsetof(struct origin, stream)},
    {NOTE_KINESIS_SHARD, OF_KINESIS, offsetof(struct origin, shard)},
};
enum { ORIGIN_FIELDS = sizeof(origin_fields) / sizeof(origin_fields[0]) };
_Static_assert((int)ORIGIN_FIELDS <= (int)ORIGIN_FIELDS_MAX, "a writer has a place for each");

static bool is_sent(const struct message_conf *message, enum note_id id) {
    return message->send_note[id][0];
}

void origin_writer_init(struct origin_writer *writer, const struct message_conf *message) {
    *writer = (struct origin_writer){.message = message};
    for (uint8_t i = 0; i < ORIGIN_FIELDS; i++) {
        if (is_sent(message, origin_fields[i].note)) {
            writer->fields[writer->field_count++] = i;
        }
    }
    buf_init(&writer->text, ORIGIN_TEXT_MAX);
    buf_init(&writer->parts, PARTS_MAX);
}

void origin_writer_done(struct origin_writer *writer) {
    buf_done(&writer->text);
    buf_done(&writer->parts);
}

static inline bool is_of_kafka(const struct flow *flow) {
    return span_eq(flow->record->origin.input, SPAN("kafka"));
}

static inline bool is_of_kinesis(const struct flow *flow) {
    return span_eq(flow->record->origin.input, SPAN("kinesis"));
}

/* Empty where the flow has no such thing. */
static inline struct span field_text(const struct origin_field *field, const struct flow *flow) {
    const void *owner = flow->envelope;
    if (field->owner != OF_ENVELOPE) {
        bool is_its = field->owner == OF_KAFKA ? is_of_kafka(flow) : is_of_kinesis(flow);
        owner = is_its ? &flow->record->origin : NULL;
    }
    return owner ? *(const struct span *)((const char *)owner + field->offset) : span_of(NULL, 0);
}

/* By the bytes: where they lie says nothing, as decoders use their memory again. */
static inline bool is_as_known(const struct origin_writer *writer, const struct flow *flow) {
    bool is_same = writer->is_known;
    for (size_t i = 0; i < writer->field_count && is_same; i++) {
        is_same = span_eq(field_text(&origin_fields[writer->fields[i]], flow), writer->known[i]);
    }
    return is_same;
}

/* What is too long to be kept is written anew for each flow. */
static void keep(struct origin_writer *writer, const struct flow *flow) {
    struct buf copies;
    buf_over(&copies, writer->copies, sizeof(writer->copies));
    for (size_t i = 0; i < writer->field_count; i++) {
        struct span text = field_text(&origin_fields[writer->fields[i]], flow);
        writer->known[i] = span_of(writer->copies + copies.len, text.len);
        buf_add(&copies, text);
    }
    writer->is_known = !copies.overflow;
}

static char *put_field(char *out, const struct message_conf *message, enum note_id id,
                       struct span text) {
    struct key key;
    uint64_t partition;
    key_make(&key, span_of(NULL, 0), note_kinds[id].name);
    if (note_kinds[id].type == NOTE_NUMBER) {
        bool is_number = num_parse_u64(text, INT32_MAX, &partition);
        return is_number ? put_text(put_key(out, &key), text) : out;
    }
    if (is_blank(text)) {
        return out;
    }
    out = put_key(out, &key);
    return note_kinds[id].type == NOTE_LIST ? put_list(out, message, text) : put_quoted(out, text);
}

static void write_text(struct origin_writer *writer, const struct flow *flow) {
    const struct message_conf *message = writer->message;
    size_t bound = 0;
    for (size_t i = 0; i < writer->field_count; i++) {
        struct span text = field_text(&origin_fields[writer->fields[i]], flow);
        bound += json_bound(text.len) + KEY_MAX + PUT_BLOCK;
    }
    buf_clear(&writer->text);
    bool fits = buf_reserve(&writer->text, bound + KEY_MAX + PUT_BLOCK);
    assert(fits);
    (void)fits;
    char *out = writer->text.data;
    if (is_sent(message, NOTE_AWS_SOURCE)) {
        out = put_text(out, SPAN(",\"_aws_source\":"));
        out = put_truth(out, message, true);
    }
    for (size_t i = 0; i < writer->field_count; i++) {
        const struct origin_field *field = &origin_fields[writer->fields[i]];
        out = put_field(out, message, field->note, field_text(field, flow));
    }
    writer->text.len = (size_t)(out - writer->text.data);
}

size_t origin_prepare(struct origin_writer *writer, const struct flow *flow) {
    if (!is_as_known(writer, flow)) {
        write_text(writer, flow);
        keep(writer, flow);
    }
    return writer->text.len + ORIGIN_FIXED;
}

/* Parts carry their length, so that no two lists of parts give the same bytes. */
static void uid_text(struct buf *parts, struct span text) {
    uint64_t len = text.len;
    buf_add(parts, span_of((const char *)&len, sizeof(len)));
    buf_add(parts, text);
}

static void uid_number(struct buf *parts, int64_t number) {
    buf_add(parts, span_of((const char *)&number, sizeof(number)));
}

/* A line that stands in the record itself has a byte position of its own, wherever an input cut
   the file into pieces; one that was unwrapped has the record's and its number there. */
static void uid_position(struct buf *parts, const struct flow *flow) {
    const struct record *record = flow->record;
    uintptr_t at = (uintptr_t)flow->line.p - (uintptr_t)record->data.p;
    bool is_inside = record->data.len > 0 && at < record->data.len;
    uid_number(parts, is_inside);
    uid_number(parts, record->origin.number + (is_inside ? (int64_t)at : 0));
    uid_number(parts, is_inside ? 0 : (int64_t)flow->line_number);
}

static void uid_parts(struct buf *parts, const struct flow *flow) {
    const struct origin *origin = &flow->record->origin;
    if (flow->envelope && flow->event_id.len > 0) {
        uid_text(parts, flow->envelope->log_group);
        uid_text(parts, flow->envelope->log_stream);
        uid_text(parts, flow->event_id);
        if (flow->event_line > 0) {
            uid_number(parts, flow->event_line); /* the first line has the event's own */
        }
        return;
    }
    uid_text(parts, origin->stream);
    if (span_eq(origin->input, SPAN("file"))) {
        uid_position(parts, flow);
        return;
    }
    uid_text(parts, origin->shard);
    uid_text(parts, origin->sequence);
    uid_number(parts, origin->number);
    uid_number(parts, origin->sub);
    uid_number(parts, flow->line_number);
}

static char *put_uid(char *out, const struct flow *flow, struct buf *scratch) {
    static const char hex[] = "0123456789abcdef";
    buf_clear(scratch);
    uid_parts(scratch, flow);
    XXH128_canonical_t digest;
    XXH128_canonicalFromHash(&digest, XXH3_128bits(scratch->data, scratch->len));
    out = put_text(out, SPAN(",\"_event_uid\":\""));
    for (size_t i = 0; i < sizeof(digest.digest); i++) {
        *out++ = hex[digest.digest[i] >> 4];
        *out++ = hex[digest.digest[i] & 15];
    }
    return put_char(out, '"');
}

char *put_origin(char *out, struct origin_writer *writer, const struct flow *flow) {
    const struct message_conf *message = writer->message;
    int64_t offset = flow->record->origin.number;
    out = put_text(out, buf_span(&writer->text));
    if (is_sent(message, NOTE_KAFKA_OFFSET) && offset >= 0 && is_of_kafka(flow)) {
        out = put_text(out, SPAN(",\"_kafka_offset\":"));
        out += num_format_u64((uint64_t)offset, out);
    }
    return message->event_uid ? put_uid(out, flow, &writer->parts) : out;
}
