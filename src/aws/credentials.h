/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where AWS credentials come from: the default chain of AWS' SDKs (environment, profiles, web
 * identity, credential_process, container, instance metadata) and, on top, the roles that our own
 * configuration names, one assumed with the keys of the other. A source fetches in a job and may
 * wait there; everybody else takes a copy of the keys in use, which never waits. Expired keys stay
 * in use while their renewal fails: AWS itself sometimes extends them in an outage.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "aws/keys.h"
#include "aws/profile.h"
#include "base/buf.h"
#include "base/err.h"

/* A role to assume (STS AssumeRole). Strings are the caller's and outlive the credentials. */
struct aws_role {
    const char *arn;
    const char *external_id;  /* NULL: none */
    const char *session_name; /* NULL: "flowgelf" */
};

struct aws_credentials_conf {
    const struct aws_role *roles; /* assumed one after the other on top of the chain's keys */
    size_t role_count;
    const char *region; /* for STS; NULL: the global endpoint */
    const char *proxy;  /* as http_conf; not used for metadata services */
    const char *ca_file;
};

struct aws_credentials;

/* Reads the environment and the shared files, which outlive the credentials; touches no network.
   ERR_CONFIG: a profile that is not there or loops, keys or roles that are incomplete. */
int aws_credentials_open(const struct aws_credentials_conf *conf, const struct aws_profiles *files,
                         struct aws_credentials **credentials, struct err *err);

/* A copy of the keys in use; never waits. -1: there are none yet, with what the last attempt said
   (ERR_RETRY). From any thread. */
int aws_credentials_get(struct aws_credentials *credentials, struct aws_keys *keys,
                        struct err *err);

/*
 * Fetches or renews when due (15 min before expiry, 10 at the latest; at once after
 * aws_credentials_distrust or when there are none). May wait; one thread at a time. 0, or -1 with
 * what each source of the chain said. *pause_ms: when to call again.
 */
int aws_credentials_refresh(struct aws_credentials *credentials, const atomic_bool *stopping,
                            int64_t *pause_ms, struct err *err);

/* A call signed with the keys of this id was refused as expired or unknown: the next refresh
   fetches, unless other keys are in use by now, and at most every 5 s. From any thread; whoever
   runs the refresh as a job wakes it. */
void aws_credentials_distrust(struct aws_credentials *credentials, const char *access_id);

/* For people: "profile prod (/home/x/.aws/credentials), then role arn:aws:iam::1:role/flow". Never
   a secret. */
void aws_credentials_describe(struct aws_credentials *credentials, struct buf *out);

void aws_credentials_close(struct aws_credentials *credentials);
