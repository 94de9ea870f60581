/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The shared configuration files of AWS' tools (~/.aws/config, ~/.aws/credentials; AWS_CONFIG_FILE,
 * AWS_SHARED_CREDENTIALS_FILE), read once into memory, and what they and the environment say of
 * region and endpoint. Format: "Configuration and credential file settings" of the AWS CLI manual.
 * A missing file is an empty one.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "aws/call.h"
#include "base/err.h"

struct aws_profiles;

/* Reads the files that the environment (or the home directory) names. ERR_CONFIG with file:line. */
int aws_profiles_load(struct aws_profiles **profiles, struct err *err);

/* The same from two texts, for tests and fuzzing; names stand in messages. */
int aws_profiles_parse(struct span config, const char *config_name, struct span credentials,
                       const char *credentials_name, struct aws_profiles **profiles,
                       struct err *err);
void aws_profiles_free(struct aws_profiles *profiles);

/* The profile in use: AWS_PROFILE, AWS_DEFAULT_PROFILE, else "default". */
const char *aws_profiles_current(const struct aws_profiles *profiles);

bool aws_profiles_has(const struct aws_profiles *profiles, const char *profile);

/* A key of a profile, the credentials file before the config file; NULL: not there. Nested keys
   (services sections) as "kinesis.endpoint_url". */
const char *aws_profiles_get(const struct aws_profiles *profiles, const char *profile,
                             const char *key);

/* The same of one file alone, and that file's name as it stands in messages. */
enum aws_profiles_file { AWS_FILE_CREDENTIALS, AWS_FILE_CONFIG, AWS_FILE_COUNT };
const char *aws_profiles_get_from(const struct aws_profiles *profiles, enum aws_profiles_file file,
                                  const char *profile, const char *key);
const char *aws_profiles_file_name(const struct aws_profiles *profiles,
                                   enum aws_profiles_file file);

/* Whether these came from the files that the environment names, so that loading them again can show
   something new. */
bool aws_profiles_are_files(const struct aws_profiles *profiles);

/* A switch that an environment variable or, without it, a key of the profile in use sets: true or
   false, in any case. Not set: false. ERR_CONFIG: neither. */
int aws_profiles_switch(const struct aws_profiles *profiles, const char *variable, const char *key,
                        bool *is_on, struct err *err);

/* An environment variable, or NULL when it is not set or empty. */
const char *aws_environment(const char *variable);

/* The authorities to trust: `setting`, AWS_CA_BUNDLE, the profile's ca_bundle; NULL: the system's.
   As http_conf.ca_file. */
const char *aws_ca_file(const struct aws_profiles *profiles, const char *setting);

/* A key of a [services NAME] section. */
const char *aws_profiles_service(const struct aws_profiles *profiles, const char *services,
                                 const char *service, const char *key);

/*
 * The region: `setting`, AWS_REGION, AWS_DEFAULT_REGION, the profile's, instance metadata (waits up
 * to 2 s, only asked when nothing else says). ERR_CONFIG: none found, with the ways to give one.
 */
int aws_region_find(const struct aws_profiles *profiles, const char *setting, char out[64],
                    struct err *err);

/* What our own configuration says; FIPS and dual stack come from environment and profile. */
struct aws_endpoint_conf {
    const char *endpoint; /* the setting; NULL: as environment, profile and region say */
    const char *region;   /* "aws-global" for STS: its global endpoint */
};

/*
 * Fills `target`: the setting, AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL, the profile's services
 * section and endpoint_url (none of these with AWS_IGNORE_CONFIGURED_ENDPOINT_URLS), else the
 * region's in its partition, FIPS and dual-stack as environment and profile say. Services with one
 * region in each partition (Organizations) get that one. ERR_CONFIG.
 */
int aws_target_find(const struct aws_profiles *profiles, const struct aws_service *service,
                    const struct aws_endpoint_conf *conf, struct aws_target *target,
                    struct err *err);

/* The name of a region's partition ("aws", "aws-cn", "aws-us-gov" ...), as in ARNs. */
const char *aws_partition(const char *region);
