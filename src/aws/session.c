/* SPDX-License-Identifier: Apache-2.0 */
/* See session.h. */
#include "aws/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "aws/xml.h"
#include "base/log.h"
#include "base/xalloc.h"

enum { REPLY_MAX = 64 << 10, CHECK_MS = 10000, ROLES_MAX = 8 };

struct aws_session {
    struct aws_profiles *profiles;
    struct aws_credentials *credentials;
    char region[64];
    const char *proxy, *ca;
    bool has_endpoint; /* the module's own is in the settings */
    struct job *job;
    bool is_failing; /* the last refresh failed, and that was said */
};

#define ROLE(member) .offset = offsetof(struct aws_role, member)

static const struct option role_options[] = {
    {.name = "arn", .type = OPTION_STRING, .required = true, ROLE(arn), .help = "The role."},
    {.name = "external_id",
     .type = OPTION_STRING,
     ROLE(external_id),
     .help = "What the role's trust policy asks for."},
    {.name = "session_name",
     .type = OPTION_STRING,
     ROLE(session_name),
     .help = "Name in CloudTrail; `flowgelf` without it."},
    OPTION_END,
};

static void init_role(struct aws_settings *settings, struct option_context *context,
                      const struct yaml_node *node, const char *path) {
    struct aws_role *role = &settings->roles[settings->role_count++];
    if (option_parse(context, role_options, node, path, role) == 0 &&
        (strncmp(role->arn, "arn:", 4) != 0 || !strstr(role->arn, ":role/"))) {
        option_error(context, node, path,
                     "arn: \"%s\" is no role; one looks like "
                     "arn:aws:iam::123456789012:role/NAME",
                     role->arn);
    }
}

void aws_settings_init(struct aws_settings *settings, struct option_context *context,
                       const char *path) {
    const struct yaml_node *node = settings->assume_role;
    const char *region = settings->region;
    if (region && region[strspn(region, "abcdefghijklmnopqrstuvwxyz0123456789-")]) {
        option_error(context, NULL, path, "region: \"%s\" is none; one looks like eu-west-1",
                     region);
    }
    if (yaml_is_null(node)) {
        return;
    }
    bool is_list = node->kind == YAML_LIST;
    size_t count = is_list ? node->count : 1;
    if (count > ROLES_MAX) {
        option_error(context, node, path, "assume_role: at most %d roles in a chain", ROLES_MAX);
        return;
    }
    settings->roles = xcalloc(count, sizeof(*settings->roles));
    for (size_t i = 0; i < count; i++) {
        char *place =
            is_list ? xasprintf("%s.assume_role[%zu]", path, i) : xasprintf("%s.assume_role", path);
        init_role(settings, context, is_list ? node->items[i] : node, place);
        free(place);
    }
}

void aws_settings_done(struct aws_settings *settings) {
    for (size_t i = 0; i < settings->role_count; i++) {
        option_free(role_options, &settings->roles[i]);
    }
    free(settings->roles);
}

static int64_t refresh_job(void *context, const atomic_bool *stopping) {
    struct aws_session *session = context;
    struct err err;
    int64_t pause_ms;
    int result = aws_credentials_refresh(session->credentials, stopping, &pause_ms, &err);
    if (result != 0 && !session->is_failing && !*stopping) {
        log_warning("%s", err.text);
    }
    session->is_failing = result != 0;
    return pause_ms;
}

int aws_session_open(const struct aws_settings *settings, const char *region, struct jobs *jobs,
                     struct aws_session **out, struct err *err) {
    struct aws_session *session = xcalloc(1, sizeof(*session));
    session->proxy = settings->proxy;
    session->has_endpoint = settings->endpoint;
    if (aws_profiles_load(&session->profiles, err) != 0 ||
        aws_region_find(session->profiles, settings->region ? settings->region : region,
                        session->region, err) != 0) {
        aws_session_close(session);
        return -1;
    }
    session->ca = aws_ca_file(session->profiles, settings->ca);
    struct aws_credentials_conf conf = {
        .roles = settings->roles,
        .role_count = settings->role_count,
        .region = session->region,
        .proxy = session->proxy,
        .ca_file = session->ca,
    };
    if (aws_credentials_open(&conf, session->profiles, &session->credentials, err) != 0) {
        aws_session_close(session);
        return -1;
    }
    if (jobs) {
        session->job = jobs_add(jobs, refresh_job, session, 0);
    }
    *out = session;
    return 0;
}

const char *aws_session_region(const struct aws_session *session) {
    return session->region;
}

struct aws_credentials *aws_session_credentials(struct aws_session *session) {
    return session->credentials;
}

const char *aws_session_proxy(const struct aws_session *session) {
    return session->proxy;
}

const char *aws_session_ca(const struct aws_session *session) {
    return session->ca;
}

int aws_session_target(struct aws_session *session, const struct aws_service *service,
                       const char *endpoint, struct aws_target *target, struct err *err) {
    struct aws_endpoint_conf conf = {.endpoint = endpoint, .region = session->region};
    return aws_target_find(session->profiles, service, &conf, target, err);
}

void aws_session_distrust(struct aws_session *session, const char *access_id) {
    aws_credentials_distrust(session->credentials, access_id);
    if (session->job) {
        job_wake(session->job);
    }
}

int aws_session_refresh(struct aws_session *session, struct err *err) {
    int64_t pause_ms;
    return aws_credentials_refresh(session->credentials, NULL, &pause_ms, err);
}

struct aws_client *aws_session_client(struct aws_session *session, struct aws_target *target,
                                      size_t reply_max) {
    struct aws_client_conf conf = {
        .target = target,
        .credentials = session->credentials,
        .proxy = session->proxy,
        .ca_file = session->ca,
        .reply_max = reply_max,
    };
    return aws_client_open(&conf);
}

static int report_identity(const struct aws_reply *reply, struct buf *report, struct err *err) {
    struct xml *xml;
    if (xml_parse(span_of(reply->body, reply->len), &xml, err) != 0) {
        return err_wrap(err, "sts GetCallerIdentity");
    }
    const struct xml_element *result = xml_child(xml_root(xml), "GetCallerIdentityResult");
    buf_printf(report, "identity: %s, account %s\n", xml_text(result, "Arn"),
               xml_text(result, "Account"));
    xml_free(xml);
    return 0;
}

int aws_session_report(struct aws_session *session, struct buf *report, struct err *err) {
    struct aws_target sts;
    const struct aws_reply *reply;
    bool is_elsewhere = session->has_endpoint && !aws_environment("AWS_ENDPOINT_URL") &&
                        !aws_environment("AWS_ENDPOINT_URL_STS");
    if (aws_session_refresh(session, err) != 0) {
        return -1;
    }
    buf_printf(report, "credentials: ");
    aws_credentials_describe(session->credentials, report);
    buf_printf(report, "\n");
    if (is_elsewhere) { /* what is set may be an emulator, whose keys are nobody's */
        buf_printf(report, "identity: not asked, as `endpoint` is set and AWS_ENDPOINT_URL_STS is "
                           "not\n");
        return 0;
    }
    if (aws_session_target(session, &aws_sts, NULL, &sts, err) != 0) {
        return -1;
    }
    struct aws_client *client = aws_session_client(session, &sts, REPLY_MAX);
    if (aws_client_call(client, "GetCallerIdentity", SPAN(""), CHECK_MS, NULL, &reply, err) != 0 ||
        report_identity(reply, report, err) != 0) {
        buf_printf(report, "identity: not known (only this check asks for it): %s\n", err->text);
    }
    aws_client_close(client);
    return 0;
}

void aws_session_close(struct aws_session *session) {
    if (!session) {
        return;
    }
    job_remove(session->job);
    if (session->credentials) {
        aws_credentials_close(session->credentials);
    }
    aws_profiles_free(session->profiles);
    free(session);
}
