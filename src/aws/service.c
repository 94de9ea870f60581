/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The APIs that are called, as AWS' service models describe them: the one list of their names,
 * protocols and versions.
 */
#include "aws/call.h"

const struct aws_service aws_kinesis = {
    .id = "kinesis",
    .signing = "kinesis",
    .endpoint = "kinesis",
    .protocol = AWS_JSON_1_1,
    .version = "Kinesis_20131202",
};

const struct aws_service aws_dynamodb = {
    .id = "dynamodb",
    .signing = "dynamodb",
    .endpoint = "dynamodb",
    .protocol = AWS_JSON_1_0,
    .version = "DynamoDB_20120810",
};

const struct aws_service aws_sts = {
    .id = "sts",
    .signing = "sts",
    .endpoint = "sts",
    .protocol = AWS_QUERY,
    .version = "2011-06-15",
};

const struct aws_service aws_ec2 = {
    .id = "ec2",
    .signing = "ec2",
    .endpoint = "ec2",
    .protocol = AWS_QUERY,
    .version = "2016-11-15",
};

const struct aws_service aws_rds = {
    .id = "rds",
    .signing = "rds",
    .endpoint = "rds",
    .protocol = AWS_QUERY,
    .version = "2014-10-31",
};

const struct aws_service aws_elb = {
    .id = "elastic_load_balancing",
    .signing = "elasticloadbalancing",
    .endpoint = "elasticloadbalancing",
    .protocol = AWS_QUERY,
    .version = "2012-06-01",
};

const struct aws_service aws_elbv2 = {
    .id = "elastic_load_balancing_v2",
    .signing = "elasticloadbalancing",
    .endpoint = "elasticloadbalancing",
    .protocol = AWS_QUERY,
    .version = "2015-12-01",
};

const struct aws_service aws_organizations = {
    .id = "organizations",
    .signing = "organizations",
    .endpoint = "organizations",
    .protocol = AWS_JSON_1_1,
    .version = "AWSOrganizationsV20161128",
};
