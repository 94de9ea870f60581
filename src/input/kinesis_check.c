/* SPDX-License-Identifier: Apache-2.0 */
/* See kinesis_check.h. */
#include "input/kinesis_check.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/append.h"
#include "base/clock.h"
#include "base/json_write.h"
#include "base/xalloc.h"
#include "input/kinesis_keeper.h"
#include "input/kinesis_list.h"
#include "input/kinesis_reader.h"

enum { REPLY_MAX = 24 << 20, CALL_MS = 10000, BODY_MAX = 6 * KINESIS_ITERATOR_SIZE + 4096 };

/* What a command opens to ask AWS. */
struct view {
    const struct kinesis_conf *conf;
    struct aws_session *session;
    struct aws_target target, table_target;
    struct aws_client *client;
    struct kinesis_shards shards;
};

static int open_view(struct view *view, const struct kinesis_conf *conf, struct err *err) {
    *view = (struct view){.conf = conf};
    if (aws_session_open(&conf->aws, conf->arn_region, NULL, &view->session, err) != 0 ||
        aws_session_target(view->session, &aws_kinesis, conf->aws.endpoint, &view->target, err) !=
            0) {
        return -1;
    }
    view->client = aws_session_client(view->session, &view->target, REPLY_MAX);
    return 0;
}

static void close_view(struct view *view) {
    if (view->client) {
        aws_client_close(view->client);
    }
    aws_session_close(view->session);
    kinesis_shards_done(&view->shards);
}

/* One call on the stream; `more` (members of the body) may be empty. */
static int call(struct view *view, const char *operation, struct span more,
                const struct aws_reply **reply, struct err *err) {
    char memory[BODY_MAX];
    struct buf body;
    buf_over(&body, memory, sizeof(memory));
    buf_char(&body, '{');
    kinesis_conf_put_stream(view->conf, &body);
    buf_add(&body, more);
    buf_char(&body, '}');
    return aws_client_call(view->client, operation, buf_span(&body), CALL_MS, NULL, reply, err);
}

static int report_summary(struct view *view, struct buf *report, struct err *err) {
    const struct aws_reply *reply;
    struct kinesis_summary summary;
    if (call(view, "DescribeStreamSummary", SPAN(""), &reply, err) != 0) {
        buf_printf(report, "%s (only statistics need it)\n", err->text);
        return 0;
    }
    if (kinesis_summary_parse(reply->body, reply->len, &summary, err) != 0) {
        return -1;
    }
    buf_printf(report, "stream %s: %s, records are kept for %jd hours\n", view->conf->name,
               summary.status, (intmax_t)summary.retention_hours);
    return 0;
}

/* Reads one record of the last shard, as the input would. */
static int try_reading(struct view *view, struct buf *report, struct err *err) {
    char memory[BODY_MAX];
    struct buf body;
    const struct aws_reply *reply;
    struct kinesis_reader reader;
    struct kinesis_position oldest = {.kind = POSITION_TRIM_HORIZON};
    reader_init(&reader, &view->shards.items[view->shards.count - 1], &oldest, 0);
    buf_over(&body, memory, sizeof(memory));
    reader_put_position(&reader, &body);
    if (call(view, "GetShardIterator", buf_span(&body), &reply, err) != 0 ||
        kinesis_iterator_parse(reply->body, reply->len, reader.iterator, err) != 0) {
        return -1;
    }
    buf_clear(&body);
    buf_add(&body, SPAN("{\"ShardIterator\":\""));
    json_add(&body, span_str(reader.iterator));
    buf_add(&body, SPAN("\",\"Limit\":1"));
    if (view->conf->arn) {
        buf_char(&body, ',');
        kinesis_conf_put_stream(view->conf, &body);
    }
    buf_char(&body, '}');
    if (aws_client_call(view->client, "GetRecords", buf_span(&body), CALL_MS, NULL, &reply, err) !=
        0) {
        return -1;
    }
    buf_printf(report, "stream %s: records can be read\n", view->conf->name);
    return 0;
}

static int check_stream(struct view *view, struct buf *report, struct err *err) {
    if (report_summary(view, report, err) != 0 ||
        kinesis_list_shards(view->conf, view->client, NULL, &view->shards, err) != 0) {
        return -1;
    }
    size_t open = 0;
    for (size_t i = 0; i < view->shards.count; i++) {
        open += view->shards.items[i].is_open;
    }
    buf_printf(report, "stream %s: %zu shards, %zu of them open\n", view->conf->name,
               view->shards.count, open);
    return view->shards.count > 0 ? try_reading(view, report, err) : 0;
}

/* Reads one row; what writing needs shows only when it is done. */
static int try_table(struct aws_client *client, const char *table, struct buf *report,
                     struct err *err) {
    char memory[512];
    struct buf body;
    const struct aws_reply *reply;
    buf_over(&body, memory, sizeof(memory));
    buf_printf(&body, "{\"TableName\":\"%s\",\"Limit\":1}", table);
    if (aws_client_call(client, "Scan", buf_span(&body), CALL_MS, NULL, &reply, err) != 0) {
        return -1;
    }
    buf_printf(report, "table %s: it can be read\n", table);
    return 0;
}

static int check_table(struct view *view, struct buf *report, struct err *err) {
    char memory[512];
    struct buf body;
    const struct aws_reply *reply;
    const struct kinesis_checkpoint *checkpoint = &view->conf->checkpoint;
    if (aws_session_target(view->session, &aws_dynamodb, checkpoint->endpoint, &view->table_target,
                           err) != 0) {
        return -1;
    }
    struct aws_client *client = aws_session_client(view->session, &view->table_target, REPLY_MAX);
    buf_over(&body, memory, sizeof(memory));
    buf_printf(&body, "{\"TableName\":\"%s\"}", checkpoint->dynamodb);
    int result =
        aws_client_call(client, "DescribeTable", buf_span(&body), CALL_MS, NULL, &reply, err);
    if (result == 0) {
        result = try_table(client, checkpoint->dynamodb, report, err);
    } else if (strcmp(reply->code, "ResourceNotFoundException") == 0) {
        buf_printf(report, "table %s: it is not there; `flowgelf run` makes it\n",
                   checkpoint->dynamodb);
        result = 0;
    }
    aws_client_close(client);
    return result;
}

/* The file may be one that `run` makes, below a directory that it makes too. */
static int check_file(const struct kinesis_conf *conf, struct buf *report, struct err *err) {
    buf_printf(report,
               "stream %s: positions are in %s, on this host alone: a second host with this "
               "configuration would read everything again\n",
               conf->name, conf->file);
    return access(conf->file, F_OK) == 0 ? append_check(conf->file, err) : 0;
}

static int check_online(const struct kinesis_conf *conf, struct buf *report, struct err *err) {
    struct view view;
    int result = open_view(&view, conf, err);
    if (result == 0) {
        buf_printf(report, "stream %s: %s\n", conf->name, view.target.url);
        result = aws_session_report(view.session, report, err);
    }
    if (result == 0) {
        result = check_stream(&view, report, err);
    }
    if (result == 0 && conf->checkpoint.dynamodb) {
        result = check_table(&view, report, err);
    }
    close_view(&view);
    return result;
}

int kinesis_check(const void *conf_, bool online, struct buf *report, struct err *err) {
    const struct kinesis_conf *conf = conf_;
    if (conf->file && check_file(conf, report, err) != 0) {
        return -1;
    }
    if (conf->checkpoint.dynamodb) {
        buf_printf(report, "stream %s: positions are in table %s, shared by all hosts on it\n",
                   conf->name, conf->checkpoint.dynamodb);
    }
    return online ? check_online(conf, report, err) : 0;
}

/* ---- leases ---- */

static void print_claim(const struct kinesis_shard *shard, const struct kinesis_claim *claim,
                        int64_t age_ms, struct buf *out) {
    bool is_known = claim->position.kind != POSITION_NONE;
    buf_printf(out, "%-28s %-32s %s", shard->id, claim->owner[0] ? claim->owner : "-",
               is_known && claim->was_new ? "nothing is stored; begins at " : "");
    if (is_known) {
        kinesis_position_format(&claim->position, out);
    } else {
        buf_printf(out, "no position");
    }
    if (age_ms >= 0) {
        buf_printf(out, "  %jd s old", (intmax_t)age_ms / 1000);
    }
    buf_printf(out, "%s\n", shard->is_open ? "" : "  (closed)");
}

static int show(struct view *view, struct buf *out, struct err *err) {
    const struct kinesis_conf *conf = view->conf;
    const struct kinesis_store_type *type =
        conf->checkpoint.dynamodb ? &kinesis_lease_store : &kinesis_file_store;
    struct kinesis_store_conf store_conf = {
        .stream = conf->name,
        .region = aws_session_region(view->session),
        .path = conf->file,
        .table = conf->checkpoint.dynamodb,
        .owner = "flowgelf-leases",
        .failover_ms = conf->checkpoint.failover_ms,
        .start = kinesis_conf_start(conf, clock_wall_ms()),
        .credentials = aws_session_credentials(view->session),
        .proxy = aws_session_proxy(view->session),
        .ca_file = aws_session_ca(view->session),
        .target = conf->checkpoint.dynamodb ? &view->table_target : NULL,
    };
    void *store;
    size_t count = view->shards.count;
    if (type->open(&store_conf, &store, err) != 0) {
        return -1;
    }
    struct kinesis_claim *claims = xcalloc(count + 1, sizeof(*claims));
    int64_t *age_ms = xcalloc(count + 1, sizeof(*age_ms));
    int result = type->show(store, &view->shards, claims, age_ms, err);
    for (size_t i = 0; i < count && result == 0; i++) {
        print_claim(&view->shards.items[i], &claims[i], age_ms[i], out);
    }
    free(claims);
    free(age_ms);
    type->close(store);
    return result;
}

int kinesis_leases(const void *conf_, struct buf *out, struct err *err) {
    const struct kinesis_conf *conf = conf_;
    struct view view;
    int result = open_view(&view, conf, err);
    if (result == 0 && conf->checkpoint.dynamodb) {
        result = aws_session_target(view.session, &aws_dynamodb, conf->checkpoint.endpoint,
                                    &view.table_target, err);
    }
    if (result == 0) {
        result = aws_session_refresh(view.session, err);
    }
    if (result == 0) {
        result = kinesis_list_shards(conf, view.client, NULL, &view.shards, err);
    }
    if (result == 0) {
        buf_printf(out, "%s, positions in %s\n", conf->name,
                   conf->checkpoint.dynamodb ? conf->checkpoint.dynamodb : conf->file);
        result = show(&view, out, err);
    }
    close_view(&view);
    return result;
}
