/* SPDX-License-Identifier: Apache-2.0 */
/* See kinesis_list.h. */
#include "input/kinesis_list.h"

#include "base/json_write.h"
#include "input/kinesis_reply.h"

enum { BODY_MAX = 64 << 10, CALL_MS = 5000, PAGES_MAX = KINESIS_SHARDS_MAX / 100 };

static int list_page(const struct kinesis_conf *conf, struct aws_client *client,
                     const atomic_bool *stopping, struct kinesis_shards *shards, struct buf *token,
                     struct err *err) {
    char memory[BODY_MAX];
    struct buf body;
    const struct aws_reply *reply;
    buf_over(&body, memory, sizeof(memory));
    buf_char(&body, '{');
    if (token->len == 0) {
        kinesis_conf_put_stream(conf, &body);
    } else { /* instead of the stream, not beside it */
        buf_add(&body, SPAN("\"NextToken\":\""));
        json_add(&body, buf_span(token));
        buf_char(&body, '"');
    }
    buf_char(&body, '}');
    if (body.overflow) {
        return err_set(err, ERR_RETRY, "kinesis ListShards: a page's token is too long");
    }
    if (aws_client_call(client, "ListShards", buf_span(&body), CALL_MS, stopping, &reply, err) !=
        0) {
        return -1;
    }
    return kinesis_list_parse(reply->body, reply->len, shards, token, err);
}

int kinesis_list_shards(const struct kinesis_conf *conf, struct aws_client *client,
                        const atomic_bool *stopping, struct kinesis_shards *shards,
                        struct err *err) {
    struct buf token;
    int result, pages = 0;
    buf_init(&token, BODY_MAX / 8);
    do {
        result = list_page(conf, client, stopping, shards, &token, err);
    } while (result == 0 && token.len > 0 && ++pages < PAGES_MAX);
    if (result == 0 && token.len > 0) {
        result = err_set(err, ERR_RETRY, "kinesis ListShards: more than %d pages", PAGES_MAX);
    }
    buf_done(&token);
    kinesis_shards_finish(shards);
    return result;
}
