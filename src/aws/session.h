/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One identity in one region: the settings by which a module says how it calls AWS (region,
 * endpoint, role, proxy, authorities), and what comes of them (profiles, credentials that are kept
 * fresh by a job, targets). Modules never share one, so that two accounts in one daemon stay apart.
 */
#pragma once

#include "aws/client.h"
#include "aws/credentials.h"
#include "aws/profile.h"
#include "config/option.h"
#include "core/jobs.h"

/* Stands in a module's conf; its rows are AWS_SETTINGS_OPTIONS. */
struct aws_settings {
    char *region, *endpoint, *proxy, *ca;
    const struct yaml_node *assume_role;
    struct aws_role *roles; /* from assume_role, by aws_settings_init */
    size_t role_count;
};

#define AWS_SETTINGS_OPTIONS(conf, member)                                                         \
    {.name = "region",                                                                             \
     .type = OPTION_STRING,                                                                        \
     .offset = offsetof(conf, member.region),                                                      \
     .sample = "eu-west-1",                                                                        \
     .help = "AWS region; without it that of the ARN, AWS_REGION, the profile or the machine."},   \
        {.name = "endpoint",                                                                       \
         .type = OPTION_URL,                                                                       \
         .offset = offsetof(conf, member.endpoint),                                                \
         .sample = "https://vpce-0a1b.kinesis.eu-west-1.vpce.amazonaws.com",                       \
         .help = "URL to call instead of the region's own, such as a VPC endpoint's. "             \
                 "AWS_ENDPOINT_URL and its kin count too."},                                       \
        {.name = "assume_role",                                                                    \
         .type = OPTION_NODE,                                                                      \
         .offset = offsetof(conf, member.assume_role),                                             \
         .sample = "{arn: \"arn:aws:iam::123456789012:role/flowgelf\", external_id: x}",           \
         .help = "Role to assume: `arn`, and if need be `external_id` and `session_name`; a list " \
                 "of them is assumed one with the keys of the other."},                            \
        {.name = "proxy",                                                                          \
         .type = OPTION_URL,                                                                       \
         .offset = offsetof(conf, member.proxy),                                                   \
         .sample = "http://proxy:3128",                                                            \
         .help = "HTTP proxy; without it, as https_proxy and no_proxy of the environment say."},   \
    {                                                                                              \
        .name = "ca", .type = OPTION_READ_PATH, .offset = offsetof(conf, member.ca),               \
        .sample = "ca.pem",                                                                        \
        .help = "Certificates to trust instead of the system's (also AWS_CA_BUNDLE)."              \
    }

/* Reads assume_role; adds errors to the context. For input_type.init and its like. */
void aws_settings_init(struct aws_settings *settings, struct option_context *context,
                       const char *path);
void aws_settings_done(struct aws_settings *settings);

struct aws_session;

/*
 * Loads profiles, finds the region (`region` is what the module knows otherwise, NULL: nothing) and
 * the credentials' sources. May ask instance metadata for the region (2 s). With `jobs`, a job
 * keeps the keys fresh; without, aws_session_refresh does.
 */
int aws_session_open(const struct aws_settings *settings, const char *region, struct jobs *jobs,
                     struct aws_session **session, struct err *err);

const char *aws_session_region(const struct aws_session *session);
struct aws_credentials *aws_session_credentials(struct aws_session *session);

/* Authorities and proxy, as for http_conf. */
const char *aws_session_proxy(const struct aws_session *session);
const char *aws_session_ca(const struct aws_session *session);

/* Where a service is, at `endpoint` if not NULL. Valid until close of the session. */
int aws_session_target(struct aws_session *session, const struct aws_service *service,
                       const char *endpoint, struct aws_target *target, struct err *err);

/* Keys were refused: renews them as soon as the job runs. From any thread. */
void aws_session_distrust(struct aws_session *session, const char *access_id);

/* Fetches the keys now; for commands without jobs. */
int aws_session_refresh(struct aws_session *session, struct err *err);

/* A client for a target, with this session's keys, proxy and authorities. */
struct aws_client *aws_session_client(struct aws_session *session, struct aws_target *target,
                                      size_t reply_max);

/* Two lines for `check --online`: the source of the credentials, and who AWS says that we are
   (sts:GetCallerIdentity, which needs no permission). AWS is not asked when the settings name an
   endpoint and the environment none for STS. -1: there are no credentials. */
int aws_session_report(struct aws_session *session, struct buf *report, struct err *err);

void aws_session_close(struct aws_session *session);
