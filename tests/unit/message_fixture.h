/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows and messages for tests of whatever reads or writes them: a line through the real parser,
 * with notes and dossiers as enrichment would leave them, and the encoder's bytes.
 */
#pragma once

#include <check.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "core/dossier.h"
#include "flow/line.h"
#include "output/gelf.h"

/* Settings as a configuration would give them; zeros are the standard form but for the set. */
static inline void fixture_conf(struct message_conf *conf, enum field_set set) {
    struct option_context context = {.file = "test"};
    buf_init(&context.errors, 1 << 16);
    conf->fields.set = set;
    message_init(conf, &context, NULL, "messages");
    ck_assert_msg(context.error_count == 0, "%s", buf_cstr(&context.errors));
    buf_done(&context.errors);
}

/* A flow, and all that its spans point to. */
struct fixture {
    struct flow flow;
    struct record record;
    struct format *format;
    struct dossier dossiers[SIDE_COUNT];
    struct span encoded[SIDE_COUNT];
    char bytes[SIDE_COUNT][4096];
};

/* Parses `line`, which stays the caller's, by a format string; read at 1600000000.123. */
static inline struct fixture *fixture_open(const char *format, const char *line) {
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    ck_assert_int_eq(format_parse(span_str(format), &fixture->format, NULL), 0);
    struct flow *flow = &fixture->flow;
    flow->line = span_str(line);
    flow->record = &fixture->record;
    flow->event_ms = -1;
    fixture->record.data = flow->line;
    fixture->record.arrival_ms = 1600000000123;
    ck_assert_int_eq(line_parse(fixture->format, flow->line, flow), 0);
    for (size_t side = 0; side < SIDE_COUNT; side++) {
        struct dossier *dossier = &fixture->dossiers[side];
        dossier->side = (enum flow_side)side;
        dossier->addr = flow->addr[side];
        dossier->addr_text_len =
            flow->has & (1u << side) ? ipaddr_format(&dossier->addr, dossier->addr_text) : 0;
    }
    return fixture;
}

static inline void fixture_close(struct fixture *fixture) {
    format_free(fixture->format);
    free(fixture);
}

/* Encodes the dossiers of src and dst (the others have none) and the flow; `out` gets one message,
   with a NUL behind its end. */
static inline void fixture_encode(struct fixture *fixture, const struct message_conf *conf,
                                  struct buf *out) {
    for (size_t side = SIDE_SRC; side <= SIDE_DST; side++) {
        if (fixture->flow.has & (1u << side)) {
            struct buf bytes;
            buf_over(&bytes, fixture->bytes[side], sizeof(fixture->bytes[side]));
            gelf_encoder.encode_dossier(conf, &fixture->dossiers[side], &bytes);
            fixture->encoded[side] = buf_span(&bytes);
            fixture->flow.side[side].encoded = &fixture->encoded[side];
        }
    }
    void *encoder = gelf_encoder.open(conf, 0, span_of("", 1));
    ck_assert_int_eq(gelf_encoder.encode(encoder, &fixture->flow, out), 0);
    gelf_encoder.close(encoder);
}
