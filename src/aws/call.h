/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One signed call of an AWS API: JSON 1.0/1.1 or Query/XML, over an http set, for those who never
 * wait. Makes the request, signs it, and says of the reply what it is and to which class an error
 * belongs. Retries are the caller's business (client.h for those who may wait). Wire formats and
 * error classes: AWS' service models.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "aws/keys.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/http.h"

enum aws_protocol { AWS_JSON_1_0, AWS_JSON_1_1, AWS_QUERY };

/* An API as AWS' service models describe it; constants of aws/service.c. */
struct aws_service {
    const char *id;       /* as in AWS_ENDPOINT_URL_<ID>: "kinesis", "elastic_load_balancing_v2" */
    const char *signing;  /* signing name: "kinesis", "elasticloadbalancing" */
    const char *endpoint; /* prefix of the host name: "kinesis", "rds" */
    enum aws_protocol protocol;
    const char *version; /* X-Amz-Target prefix "Kinesis_20131202", or Version "2016-11-15" */
};

extern const struct aws_service aws_kinesis, aws_dynamodb, aws_sts, aws_ec2, aws_rds, aws_elb,
    aws_elbv2, aws_organizations;

/* What is called. Made once, shared by threads; only the clock offset changes. */
struct aws_target {
    const struct aws_service *service;
    char region[64];
    char url[512];        /* "https://kinesis.eu-west-1.amazonaws.com/": ends with the path */
    atomic_llong skew_ms; /* the server's clock minus ours, learnt from replies */
    atomic_bool skew_is_said;
};

enum aws_class {
    AWS_FINE,      /* 2xx */
    AWS_TRANSIENT, /* no reply, 5xx, time-outs: again soon */
    AWS_THROTTLED, /* too much: again later */
    AWS_KEYS,      /* expired or unknown keys: renew them, then again */
    AWS_SKEW,      /* our clock was wrong; the offset is learnt by now: again at once */
    AWS_DENIED,    /* known, and not allowed */
    AWS_REFUSED,   /* anything else: `code` says what */
};

/* Valid until the call is started anew, released or closed. */
struct aws_reply {
    enum aws_class class;
    int status;     /* of HTTP; 0 without a reply */
    bool too_large; /* refused for being larger than reply_max */
    char *body;     /* may be written to; terminated */
    size_t len;
    char code[96];  /* "ExpiredIteratorException"; "" when fine or unknown */
    struct err err; /* not fine: "kinesis GetRecords: ExpiredIteratorException: ... (HTTP 400,
                        request 1234)", never with a secret; kind RETRY or CONFIG */
};

struct aws_call;

/* The target and the set outlive it; the target's URL is read here and does not change. */
struct aws_call *aws_call_open(struct http *http, struct aws_target *target, size_t reply_max);

/*
 * Starts `operation` ("GetRecords"; for Query services the Action). `body`: JSON, or the further
 * form parameters ("&Name=value", encoded by aws_form_add) for Query; borrowed until the call is
 * done. `keys` NULL: not signed. -1 only when it cannot be signed.
 */
int aws_call_start(struct aws_call *call, const struct aws_keys *keys, const char *operation,
                   struct span body, int64_t timeout_ms, struct err *err);

/* HTTP_DONE also when there was no reply: aws_call_reply then says AWS_TRANSIENT, or AWS_REFUSED for
   one larger than reply_max. */
enum http_state aws_call_state(const struct aws_call *call);
const struct aws_reply *aws_call_reply(struct aws_call *call);

/* As http_call_release. */
void aws_call_release(struct aws_call *call);
void aws_call_close(struct aws_call *call);

/* Waits for the end of a started call, as http_run does. */
const struct aws_reply *aws_call_wait(struct aws_call *call, const atomic_bool *stopping);

/* Adds "&name=value", percent-encoded, to a form. */
void aws_form_add(struct buf *form, const char *name, struct span value);
