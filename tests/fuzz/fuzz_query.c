/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes as a query, up to the first newline, over a message: the bytes behind it, or a message
 * of ours when there are none. A query that parses must also answer, and the same twice.
 */
#include <assert.h>
#include <stdint.h>

#include "flow/query.h"

static const char sample[] =
    "{\"version\":\"1.1\",\"host\":\"aws-flowlogs\",\"short_message\":\"eni-1 ACCEPT TCP "
    "10.0.0.1:80 -> 10.0.0.2:443\",\"timestamp\":1418530010.500,\"level\":6,\"_dst_port\":443,"
    "\"_action\":\"ACCEPT\",\"_src_addr\":\"2001:db8::1\",\"_src_addr_internal\":\"false\","
    "\"_flags\":[\"SYN\",\"ACK\"],\"_name\":\"M\\u00fcnchen\"}";

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct span json = span_of((const char *)data, size), text;
    struct query *query = NULL;
    struct err err = {.kind = ERR_NONE};
    static struct message_view view;
    if (!span_cut(&json, '\n', &text)) {
        text = json;
    }
    if (query_parse(text, &query, &err) != 0) {
        assert(err.kind == ERR_CONFIG && !query);
        return 0;
    }
    message_view_init(&view, 1 << 20);
    if (message_view_parse(&view, json.len > 0 ? json : SPAN(sample), &err) == 0) {
        bool answer = query_matches(query, &view);
        assert(query_matches(query, &view) == answer);
    }
    message_view_done(&view);
    query_free(query);
    return 0;
}
