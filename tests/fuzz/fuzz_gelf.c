/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a flow: settings, a format and a line with whatever in its columns, hostile names
 * and texts in notes, dossiers and the envelope. jansson must read each message without a name that
 * stands twice, and everything that receivers demand must hold; the careful path must give the same
 * bytes as the quick one.
 *
 * The input: four bytes of settings, then parts divided by newlines: format, line, and texts.
 */
#include <assert.h>
#include <jansson.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/json_write.h"
#include "core/dossier.h"
#include "flow/line.h"
#include "output/gelf.h"

enum { TEXTS = 8, ROOM = 1 << 20 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_name(const char *name) {
    static const char *const own[] = {"version",   "host",  "short_message",
                                      "timestamp", "level", "full_message"};
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++) {
        if (strcmp(name, own[i]) == 0) {
            return;
        }
    }
    assert(name[0] == '_' && name[1] != '\0' && strcmp(name, "_id") != 0);
    for (const char *p = name + 1; *p; p++) {
        assert((*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9') ||
               *p == '_');
    }
}

static void check_text(const char *name, const json_t *value) {
    const char *text = json_string_value(value);
    bool is_message = strcmp(name, "short_message") == 0;
    assert(is_message || json_string_length(value) <= JSON_STRING_MAX);
    bool blank = true;
    for (const char *p = text; *p; p++) {
        blank &= (unsigned char)*p <= ' ';
    }
    assert(!blank);
}

static void check_value(const struct message_conf *conf, const char *name, json_t *value) {
    check_name(name);
    if (json_is_array(value)) {
        assert(conf->lists == LISTS_NATIVE && json_array_size(value) > 0);
        for (size_t i = 0; i < json_array_size(value); i++) {
            check_text(name, json_array_get(value, i));
        }
        return;
    }
    if (json_is_boolean(value)) {
        assert(conf->booleans == BOOLEANS_NATIVE);
        return;
    }
    assert(json_is_string(value) || json_is_number(value));
    if (json_is_string(value)) {
        check_text(name, value);
    }
}

static void check_message(const struct message_conf *conf, struct span message) {
    json_error_t error;
    json_t *json = json_loadb(message.p, message.len, JSON_REJECT_DUPLICATES, &error);
    assert(json);
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value) {
        check_value(conf, name, value);
    }
    assert(strcmp(json_string_value(json_object_get(json, "version")), "1.1") == 0);
    assert(json_is_string(json_object_get(json, "host")));
    assert(json_is_string(json_object_get(json, "short_message")));
    assert(json_is_real(json_object_get(json, "timestamp")));
    assert(json_is_integer(json_object_get(json, "level")));
    json_decref(json);
}

static void settings(struct message_conf *conf, const uint8_t *bits) {
    static char *const hosts[] = {NULL, (char *)"${interface_id}", (char *)"  ",
                                  (char *)"a\"${vpc_id}"};
    static char *const messages[] = {NULL, (char *)"${az_id}", (char *)"${action} ${protocol}",
                                     (char *)"x ${tcp_flags_names}"};
    struct option_context context = {.file = "fuzz"};
    conf->fields.set = bits[0] % 3;
    conf->timestamp = bits[0] >> 2 & 3;
    conf->booleans = bits[0] >> 4 & 1;
    conf->lists = bits[0] >> 5 & 1;
    conf->false_values = bits[0] >> 6 & 1;
    conf->full_message = bits[0] >> 7;
    conf->whois_names = bits[1] & 1;
    conf->host = hosts[bits[1] >> 1 & 3];
    conf->short_message = messages[bits[1] >> 3 & 3];
    message_init(conf, &context, NULL, "messages");
    assert(context.error_count == 0);
}

/* Notes of every kind, with the texts in turn. */
static void add_notes(struct flow *flow, const struct span *texts) {
    for (int id = 0; id < NOTE_COUNT; id++) {
        struct span text = texts[id % TEXTS];
        if (note_kinds[id].about != NOTE_ABOUT_FLOW) {
            continue;
        }
        switch (note_kinds[id].type) {
        case NOTE_NUMBER:
            flow_note_number(flow, (enum note_id)id, (int64_t)text.len);
            break;
        case NOTE_TRUTH:
        case NOTE_TRUE_ONLY:
            flow_note_truth(flow, (enum note_id)id, text.len & 1);
            break;
        case NOTE_TEXT:
        case NOTE_LIST:
        case NOTE_POINT:
            if (text.len > 0) {
                flow_note_text(flow, (enum note_id)id, text);
            }
            break;
        }
    }
}

static void fill_dossier(struct dossier *dossier, const struct flow *flow, size_t side,
                         const struct span *texts) {
    *dossier = (struct dossier){.side = (enum flow_side)side, .addr = flow->addr[side]};
    dossier->addr_text_len = ipaddr_format(&dossier->addr, dossier->addr_text);
    for (int id = 0; id < NOTE_COUNT; id++) {
        struct span text = texts[(size_t)id % TEXTS];
        if (note_kinds[id].about != NOTE_ABOUT_ADDRESS) {
            continue;
        }
        dossier_text(dossier, (enum note_id)id, text);
        if (id == NOTE_THREAT_FEED) {
            dossier_truth(dossier, NOTE_THREAT_FEED, text, true);
            dossier_truth(dossier, NOTE_THREAT_FEED, texts[0], true);
        }
    }
}

/* One message into `memory`; on both paths when the flow is plain. */
static void encode(const struct message_conf *conf, struct flow *flow, char *memory) {
    struct buf out, again;
    void *encoder = gelf_encoder.open(conf, 0, SPAN("\n"));
    buf_over(&out, memory, ROOM);
    if (gelf_encoder.encode(encoder, flow, &out) == 0) {
        check_message(conf, buf_span(&out));
        char *exact = malloc(out.len);
        buf_over(&again, exact, out.len);
        flow->plain = false;
        assert(gelf_encoder.encode(encoder, flow, &again) == 0);
        assert(span_eq(buf_span(&out), buf_span(&again)));
        free(exact);
    }
    gelf_encoder.close(encoder);
}

static void encode_flow(const struct message_conf *conf, struct flow *flow,
                        const struct span *texts, unsigned has_dossier) {
    static struct dossier dossier;
    static char bytes[SIDE_COUNT][16 << 10], memory[ROOM];
    struct span encoded[SIDE_COUNT];
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        if (flow->has & (1u << side) && has_dossier & 1u << side) {
            struct buf out;
            fill_dossier(&dossier, flow, side, texts);
            buf_over(&out, bytes[side], sizeof(bytes[side]));
            gelf_encoder.encode_dossier(conf, &dossier, &out);
            encoded[side] = buf_span(&out);
            flow->side[side].encoded = &encoded[side];
        }
    }
    encode(conf, flow, memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4) {
        return 0;
    }
    struct message_conf conf = {0};
    settings(&conf, data);
    struct span rest = span_of((const char *)data + 4, size - 4);
    struct span names = SPAN(""), line = SPAN("");
    struct span texts[TEXTS] = {0};
    span_cut(&rest, '\n', &names);
    span_cut(&rest, '\n', &line);
    for (size_t i = 0; i < TEXTS && span_cut(&rest, '\n', &texts[i]); i++) {
    }
    struct format *format = NULL;
    if (format_parse(names, &format, NULL) != 0) {
        return 0;
    }
    struct envelope envelope = {.message_type = texts[0],
                                .owner = texts[1],
                                .log_group = texts[2],
                                .log_stream = texts[3],
                                .filters = texts[4]};
    struct record record = {.data = line,
                            .arrival_ms = 1600000000123,
                            .origin = {.input = data[2] & 1 ? SPAN("kafka") : SPAN("file"),
                                       .stream = texts[5],
                                       .shard = texts[6],
                                       .number = data[3]}};
    static struct flow flow;
    flow = (struct flow){.line = line,
                         .record = &record,
                         .event_ms = data[2] & 2 ? -1 : 1234567,
                         .envelope = data[2] & 4 ? &envelope : NULL,
                         .event_id = texts[7]};
    if (line_parse(format, line, &flow) == 0) {
        add_notes(&flow, texts);
        encode_flow(&conf, &flow, texts, data[3] >> 4);
    }
    format_free(format);
    return 0;
}
