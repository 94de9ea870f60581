/* SPDX-License-Identifier: Apache-2.0 */
/* See kinesis_conf.h. */
#include "input/kinesis_conf.h"

#include <stdlib.h>
#include <string.h>

#include "base/xalloc.h"
#include "input/kinesis_keeper.h"

enum { STREAM_NAME_MAX = 128, TABLE_NAME_MAX = 255 };

static const char *const starts[] = {"latest", "trim_horizon", NULL};

#define CHECKPOINT(member) .offset = offsetof(struct kinesis_checkpoint, member)

static const struct option checkpoint_options[] = {
    {.name = "file",
     .type = OPTION_WRITE_PATH,
     CHECKPOINT(file),
     .sample = "kinesis-vpc-flow-logs.json",
     .help = "Positions in a file, by default in `state`, named after the stream. They are on this "
             "host alone: a second host with this configuration would read everything again."},
    {.name = "dynamodb",
     .type = OPTION_STRING,
     CHECKPOINT(dynamodb),
     .sample = "flowgelf-vpc-flow-logs",
     .help = "Positions in a lease table, by which hosts share a stream and take over from each "
             "other. The format is that of Amazon's client library (KCL), with whose workers it "
             "may be shared; made when it is not there."},
    {.name = "endpoint",
     .type = OPTION_URL,
     CHECKPOINT(endpoint),
     .sample = "https://dynamodb.eu-west-1.amazonaws.com",
     .help = "URL of DynamoDB to call instead of the region's own."},
    {.name = "owner",
     .type = OPTION_STRING,
     CHECKPOINT(owner),
     .sample = "log-host-1",
     .help = "Our name in the lease table, unlike that of any other process on it. Without it, the "
             "machine's name and a random number, new at each start."},
    {.name = "failover",
     .type = OPTION_DURATION,
     CHECKPOINT(failover_ms),
     .preset = "10s",
     .min = 1000,
     .max = 600000,
     .help = "A lease that was not renewed for so long is taken over by others. The same for all "
             "processes on a table."},
    {.name = "interval",
     .type = OPTION_DURATION,
     CHECKPOINT(interval_ms),
     .preset = "5s",
     .min = 100,
     .max = 600000,
     .help = "How often positions are stored at most."},
    OPTION_END,
};

#define AT(member) .offset = offsetof(struct kinesis_conf, member)

const struct option kinesis_options[] = {
    {.name = "stream",
     .type = OPTION_STRING,
     AT(stream),
     .sample = "vpc-flow-logs",
     .help = "Name of the stream; either this or `arn`."},
    {.name = "arn",
     .type = OPTION_STRING,
     AT(arn),
     .sample = "arn:aws:kinesis:eu-west-1:123456789012:stream/vpc-flow-logs",
     .help = "The stream's ARN, needed for one of another account that is shared with us."},
    AWS_SETTINGS_OPTIONS(struct kinesis_conf, aws),
    {.name = "start",
     .type = OPTION_TIME,
     AT(start),
     .preset = "latest",
     .choices = starts,
     .help = "Where to begin while no position is stored: latest (from now on), trim_horizon (all "
             "that the stream keeps), or a time such as 2026-01-31T00:00:00Z."},
    {.name = "checkpoint",
     .type = OPTION_GROUP,
     AT(checkpoint),
     .group = checkpoint_options,
     .help = "Where positions are kept."},
    {.name = "max_calls",
     .type = OPTION_INTEGER,
     AT(max_calls),
     .preset = "5",
     .min = 1,
     .max = 5,
     .help = "GetRecords calls a second and shard. AWS allows 5 to all readers of a shard "
             "together: fewer leave some to the others."},
    {.name = "poll_interval",
     .type = OPTION_DURATION,
     AT(poll_interval_ms),
     .preset = "1s",
     .min = 200,
     .max = 60000,
     .help = "Pause between calls for a shard that is read up to its tip. While behind there is "
             "none but for AWS' limits."},
    OPTION_END,
};

static bool is_name(struct span text, size_t max) {
    bool good = text.len > 0 && text.len <= max;
    for (size_t i = 0; i < text.len && good; i++) {
        char c = text.p[i];
        good = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '_' || c == '-' || c == '.';
    }
    return good;
}

static char *copy(struct span text) {
    return xasprintf("%.*s", SPAN_ARG(text));
}

/* arn:PARTITION:kinesis:REGION:ACCOUNT:stream/NAME */
static bool parse_arn(struct kinesis_conf *conf) {
    struct span rest = span_str(conf->arn), part[5], prefix = SPAN("stream/");
    for (size_t i = 0; i < 5; i++) {
        if (!span_cut(&rest, ':', &part[i])) {
            return false;
        }
    }
    if (!span_eq(part[0], SPAN("arn")) || !span_eq(part[2], SPAN("kinesis")) ||
        !is_name(part[1], 32) || !is_name(part[3], 32) || !is_name(part[4], 32) ||
        !span_starts(rest, prefix) || !is_name(span_skip(rest, prefix.len), STREAM_NAME_MAX)) {
        return false;
    }
    conf->arn_region = copy(part[3]);
    conf->account = copy(part[4]);
    conf->name = copy(span_skip(rest, prefix.len));
    return true;
}

static void init_stream(struct kinesis_conf *conf, struct option_context *context,
                        const struct yaml_node *node, const char *path) {
    if (!conf->stream == !conf->arn) {
        option_error(context, node, path, "give the stream's name (`stream`) or its `arn`%s",
                     conf->arn ? ", not both" : "");
    } else if (conf->arn && !parse_arn(conf)) {
        option_error(context, yaml_get(node, "arn"), path,
                     "arn: \"%s\" is no stream; one looks like "
                     "arn:aws:kinesis:eu-west-1:123456789012:stream/NAME",
                     conf->arn);
    } else if (conf->arn && conf->aws.region && strcmp(conf->aws.region, conf->arn_region) != 0) {
        option_error(context, yaml_get(node, "region"), path,
                     "region: %s is not that of the ARN, %s; leave it out", conf->aws.region,
                     conf->arn_region);
    } else if (conf->stream && !is_name(span_str(conf->stream), STREAM_NAME_MAX)) {
        option_error(context, yaml_get(node, "stream"), path,
                     "stream: \"%s\" is no name of a stream (letters, digits, _ . -)",
                     conf->stream);
    } else if (conf->stream) {
        conf->name = xstrdup(conf->stream);
    }
}

static void init_checkpoint(struct kinesis_conf *conf, struct option_context *context,
                            const struct yaml_node *node, const char *path) {
    const struct kinesis_checkpoint *checkpoint = &conf->checkpoint;
    const char *region = conf->aws.region ? conf->aws.region : conf->arn_region;
    if (checkpoint->file && checkpoint->dynamodb) {
        option_error(context, node, path, "checkpoint: a file or a table, not both");
    }
    if (!checkpoint->dynamodb && (checkpoint->owner || checkpoint->endpoint)) {
        option_error(context, node, path,
                     "checkpoint: owner and endpoint belong to a table (`dynamodb`)");
    }
    if (checkpoint->dynamodb && !is_name(span_str(checkpoint->dynamodb), TABLE_NAME_MAX)) {
        option_error(context, node, path, "checkpoint.dynamodb: \"%s\" is no name of a table",
                     checkpoint->dynamodb);
    }
    if (checkpoint->file) {
        conf->file = xstrdup(checkpoint->file);
    } else if (!checkpoint->dynamodb && conf->name) {
        const char *account = conf->account;
        char *name =
            xasprintf("kinesis-%s%s%s%s%s.json", account ? account : "", account ? "-" : "",
                      region ? region : "", region ? "-" : "", conf->name);
        conf->file = option_write_path(context, name);
        free(name);
    }
}

void kinesis_conf_init(void *conf_, struct option_context *context, const struct yaml_node *node,
                       const char *path) {
    struct kinesis_conf *conf = conf_;
    const struct yaml_node *checkpoint = yaml_get(node, "checkpoint");
    init_stream(conf, context, node, path);
    aws_settings_init(&conf->aws, context, path);
    init_checkpoint(conf, context, checkpoint ? checkpoint : node, path);
    conf->shared = kinesis_shared_make();
}

void kinesis_conf_done(void *conf_) {
    struct kinesis_conf *conf = conf_;
    kinesis_shared_free(conf->shared);
    aws_settings_done(&conf->aws);
    free(conf->name);
    free(conf->arn_region);
    free(conf->account);
    free(conf->file);
}

/* Names and ARNs were checked: nothing in them needs escaping. */
void kinesis_conf_put_stream(const struct kinesis_conf *conf, struct buf *body) {
    buf_printf(body, "\"%s\":\"%s\"", conf->arn ? "StreamARN" : "StreamName",
               conf->arn ? conf->arn : conf->stream);
}

struct kinesis_position kinesis_conf_start(const struct kinesis_conf *conf, int64_t now_ms) {
    if (conf->start == KINESIS_START_TRIM_HORIZON) {
        return (struct kinesis_position){.kind = POSITION_TRIM_HORIZON};
    }
    bool is_latest = conf->start == KINESIS_START_LATEST;
    return (struct kinesis_position){.kind = POSITION_TIME,
                                     .time_ms = is_latest ? now_ms : conf->start};
}
