/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See kpl.h. The protobuf is read by hand; as with every reader of it, fields may come in any
 * order, unknown ones are passed over and of a single field that is there twice the last one holds.
 * Only groups, which nothing has written for many years, are refused. Tables are not copied: the
 * marks, and a ceiling on steps, bound the way to an entry where somebody made it long.
 */
#define OPENSSL_SUPPRESS_DEPRECATED /* MD5 is deprecated as a protection; here it is a checksum */

#include "input/kpl.h"

#include <endian.h>
#include <openssl/md5.h>
#include <string.h>

enum { MAGIC_SIZE = 4 };

enum wire_type { WIRE_VARINT = 0, WIRE_64 = 1, WIRE_BYTES = 2, WIRE_32 = 5 };

/* Field numbers of AggregatedRecord, Record and Tag. */
enum { AGGREGATE_PARTITION_KEY = 1, AGGREGATE_HASH_KEY = 2, AGGREGATE_RECORD = 3 };
enum { RECORD_PARTITION_KEY = 1, RECORD_HASH_KEY = 2, RECORD_DATA = 3, RECORD_TAG = 4 };
enum { TAG_KEY = 1 };

struct field {
    uint64_t number;
    enum wire_type type;
    uint64_t value;    /* WIRE_VARINT */
    struct span bytes; /* WIRE_BYTES */
};

static bool read_varint(struct span message, size_t *at, uint64_t *value) {
    *value = 0;
    for (int shift = 0; shift < 64 && *at < message.len; shift += 7) {
        uint8_t byte = (uint8_t)message.p[(*at)++];
        if (shift == 63 && byte > 1) {
            return false;
        }
        *value |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80) {
            return true;
        }
    }
    return false;
}

/* The field at *at, which moves behind it; false when it is malformed or cut off. */
static bool read_field(struct span message, size_t *at, struct field *field) {
    uint64_t tag, size;
    if (!read_varint(message, at, &tag) || tag >> 3 == 0 || tag > UINT32_MAX) {
        return false;
    }
    *field = (struct field){.number = tag >> 3, .type = (enum wire_type)(tag & 7)};
    switch (field->type) {
    case WIRE_VARINT:
        return read_varint(message, at, &field->value);
    case WIRE_64:
    case WIRE_32:
        size = field->type == WIRE_64 ? 8 : 4;
        break;
    case WIRE_BYTES:
        if (!read_varint(message, at, &size)) {
            return false;
        }
        break;
    default:
        return false;
    }
    if (size > message.len - *at) {
        return false;
    }
    field->bytes = span_of(message.p + *at, (size_t)size);
    *at += (size_t)size;
    return true;
}

static bool is_field(const struct field *field, uint64_t number, enum wire_type type) {
    return field->number == number && field->type == type;
}

/* Tags mean nothing to us, but one without its key makes the message one that is none. */
static bool is_tag(struct span message) {
    struct field field;
    bool has_key = false;
    for (size_t at = 0; at < message.len;) {
        if (!read_field(message, &at, &field)) {
            return false;
        }
        has_key = has_key || is_field(&field, TAG_KEY, WIRE_BYTES);
    }
    return has_key;
}

struct user_record {
    struct span data;
    uint64_t partition_key, hash_key; /* indices */
    bool has_data, has_partition_key, has_hash_key;
};

static bool read_record(struct span message, struct user_record *record) {
    struct field field;
    *record = (struct user_record){0};
    for (size_t at = 0; at < message.len;) {
        if (!read_field(message, &at, &field)) {
            return false;
        }
        if (is_field(&field, RECORD_PARTITION_KEY, WIRE_VARINT)) {
            record->partition_key = field.value;
            record->has_partition_key = true;
        } else if (is_field(&field, RECORD_HASH_KEY, WIRE_VARINT)) {
            record->hash_key = field.value;
            record->has_hash_key = true;
        } else if (is_field(&field, RECORD_DATA, WIRE_BYTES)) {
            record->data = field.bytes;
            record->has_data = true;
        } else if (is_field(&field, RECORD_TAG, WIRE_BYTES) && !is_tag(field.bytes)) {
            return false;
        }
    }
    return record->has_data && record->has_partition_key;
}

/* When all marks are used, every second one goes and the others are twice as far apart. */
static void add_entry(struct kpl_table *table, size_t at) {
    if (table->count % table->step != 0) {
        table->count++;
        return;
    }
    uint64_t mark = table->count / table->step;
    if (mark == KPL_MARKS) {
        for (size_t i = 0; i < KPL_MARKS / 2; i++) {
            table->marks[i] = table->marks[2 * i];
        }
        table->step *= 2;
        mark /= 2;
    }
    table->marks[mark] = (uint32_t)at;
    table->count++;
}

/* The first pass: both tables, and that the fields are whole. */
static bool read_tables(struct kpl *kpl) {
    struct field field;
    uint64_t records = 0;
    for (size_t at = 0; at < kpl->message.len;) {
        size_t start = at;
        if (!read_field(kpl->message, &at, &field)) {
            return false;
        }
        if (is_field(&field, AGGREGATE_PARTITION_KEY, WIRE_BYTES)) {
            add_entry(&kpl->partition_keys, start);
        } else if (is_field(&field, AGGREGATE_HASH_KEY, WIRE_BYTES)) {
            add_entry(&kpl->hash_keys, start);
        } else if (is_field(&field, AGGREGATE_RECORD, WIRE_BYTES)) {
            records++;
        }
    }
    return records > 0;
}

/* The next field that is a record, and what it says. False at the end, or when it is malformed
   (*at is then not at the end). */
static bool next_record(const struct kpl *kpl, size_t *at, struct user_record *record) {
    struct field field;
    while (*at < kpl->message.len) {
        size_t start = *at;
        read_field(kpl->message, at, &field);
        if (is_field(&field, AGGREGATE_RECORD, WIRE_BYTES)) {
            bool is_good = read_record(field.bytes, record);
            *at = is_good ? *at : start;
            return is_good;
        }
    }
    return false;
}

/* From where entry `index` is sought: the entry found last when that is nearer, else the mark before
   it. Returns how many entries are to be passed over. */
static uint64_t seek_from(const struct kpl_table *table, uint64_t index, size_t *at) {
    uint64_t left = index % table->step;
    *at = table->marks[index / table->step];
    if (index >= table->last && index - table->last < left) {
        left = index - table->last;
        *at = table->last_at;
    }
    return left;
}

/* As if the entry were looked up: adds the steps to it. False when the table has none such. */
static bool count_steps(struct kpl_table *table, uint64_t index, uint64_t *steps) {
    size_t at;
    if (index >= table->count) {
        return false;
    }
    *steps += seek_from(table, index, &at);
    table->last = index;
    return true;
}

static void rewind_table(struct kpl_table *table) {
    table->last = 0;
    table->last_at = table->count > 0 ? table->marks[0] : 0;
}

/* The second pass, because a table may stand behind the records. */
static bool are_records_good(struct kpl *kpl) {
    const uint64_t steps_max = (uint64_t)KPL_STEPS_MAX * kpl->message.len;
    struct user_record record;
    size_t at = 0;
    uint64_t steps = 0;
    rewind_table(&kpl->partition_keys);
    rewind_table(&kpl->hash_keys);
    while (next_record(kpl, &at, &record)) {
        if (!count_steps(&kpl->partition_keys, record.partition_key, &steps) ||
            (record.has_hash_key && !count_steps(&kpl->hash_keys, record.hash_key, &steps)) ||
            steps > steps_max) {
            return false;
        }
    }
    rewind_table(&kpl->partition_keys);
    rewind_table(&kpl->hash_keys);
    return at == kpl->message.len;
}

static bool has_frame(struct span data) {
    static const char magic[MAGIC_SIZE] = "\xF3\x89\x9A\xC2";
    return data.len > MAGIC_SIZE + MD5_DIGEST_LENGTH && data.len <= UINT32_MAX &&
           memcmp(data.p, magic, MAGIC_SIZE) == 0;
}

/* MD5() and not EVP: it takes no memory, and works where policy forbids MD5 as a protection. */
static bool is_checksum_good(struct span message) {
    unsigned char digest[MD5_DIGEST_LENGTH];
    MD5((const unsigned char *)message.p, message.len, digest);
    return memcmp(digest, message.p + message.len, sizeof(digest)) == 0;
}

bool kpl_open(struct kpl *kpl, struct span data) {
    if (!has_frame(data)) {
        return false;
    }
    kpl->message = span_of(data.p + MAGIC_SIZE, data.len - MAGIC_SIZE - MD5_DIGEST_LENGTH);
    kpl->at = 0;
    kpl->sub = 0;
    kpl->partition_keys.count = kpl->hash_keys.count = 0; /* marks behind the last are not read */
    kpl->partition_keys.step = kpl->hash_keys.step = 1;
    return is_checksum_good(kpl->message) && read_tables(kpl) && are_records_good(kpl);
}

/* An entry of the table of field `number`. Most have a mark, or follow the one found last. */
static struct span find_entry(struct span message, struct kpl_table *table, uint64_t number,
                              uint64_t index) {
    struct field field;
    size_t at, start;
    uint64_t left = seek_from(table, index, &at);
    do {
        start = at;
        read_field(message, &at, &field);
    } while (!is_field(&field, number, WIRE_BYTES) || left-- > 0);
    table->last = index;
    table->last_at = start;
    return field.bytes;
}

bool kpl_next(struct kpl *kpl, struct kpl_record *record) {
    struct user_record found;
    if (!next_record(kpl, &kpl->at, &found)) {
        return false;
    }
    *record = (struct kpl_record){.data = found.data, .sub = kpl->sub++};
    record->partition_key = find_entry(kpl->message, &kpl->partition_keys, AGGREGATE_PARTITION_KEY,
                                       found.partition_key);
    if (found.has_hash_key) {
        record->hash_key =
            find_entry(kpl->message, &kpl->hash_keys, AGGREGATE_HASH_KEY, found.hash_key);
    }
    return true;
}

static unsigned __int128 hash_of_key(struct span key) {
    unsigned char digest[MD5_DIGEST_LENGTH];
    uint64_t halves[2];
    MD5((const unsigned char *)key.p, key.len, digest);
    memcpy(halves, digest, sizeof(halves));
    return (unsigned __int128)be64toh(halves[0]) << 64 | be64toh(halves[1]);
}

bool kpl_is_in_range(const struct kpl_record *record, const struct kinesis_range *range) {
    unsigned __int128 hash;
    if (!record->hash_key.p) {
        hash = hash_of_key(record->partition_key);
    } else if (!kinesis_hash_parse(record->hash_key, &hash)) {
        return true;
    }
    return hash >= range->first && hash <= range->last;
}
