/* SPDX-License-Identifier: Apache-2.0 */
/* Regions, partitions and endpoints; see profile.h. The rules are those of AWS' partitions and
   endpoint rule sets for the services of call.h, which follow one pattern. */
#include <ctype.h>
#include <stdatomic.h>
#include <stdio.h>

#include "aws/metadata.h"
#include "aws/profile.h"
#include "aws/url.h"

enum { REGION_MAX = 63, SOURCE_MAX = 96 };

struct partition {
    const char *name;
    struct span prefix; /* of its regions */
    const char *suffix, *dual_stack_suffix;
    const char *home; /* the region of services that have one only */
};

/* The first that fits; the last one fits always. */
static const struct partition partitions[] = {
    {"aws-cn", SPAN("cn-"), "amazonaws.com.cn", "api.amazonwebservices.com.cn", "cn-northwest-1"},
    {"aws-us-gov", SPAN("us-gov-"), "amazonaws.com", "api.aws", "us-gov-west-1"},
    {"aws-iso", SPAN("us-iso-"), "c2s.ic.gov", "api.aws.ic.gov", "us-iso-east-1"},
    {"aws-iso-b", SPAN("us-isob-"), "sc2s.sgov.gov", "api.aws.scloud", "us-isob-east-1"},
    {"aws-iso-e", SPAN("eu-isoe-"), "cloud.adc-e.uk", "api.cloud-aws.adc-e.uk", "eu-isoe-west-1"},
    {"aws-iso-f", SPAN("us-isof-"), "csp.hci.ic.gov", "api.aws.hci.ic.gov", "us-isof-south-1"},
    {"aws-eusc", SPAN("eusc-"), "amazonaws.eu", "api.amazonwebservices.eu", "eusc-de-east-1"},
    {"aws", {NULL, 0}, "amazonaws.com", "api.aws", "us-east-1"},
};

static const struct partition *find_partition(const char *region) {
    const struct partition *partition = partitions;
    while (!span_starts(span_str(region), partition->prefix)) {
        partition++;
    }
    return partition;
}

const char *aws_partition(const char *region) {
    return find_partition(region)->name;
}

/* A region becomes a part of a host name, so it must look like one. */
static int check_region(struct span region, const char *source, struct err *err) {
    bool is_good = region.len > 0 && region.len <= REGION_MAX && region.p[0] != '-' &&
                   region.p[region.len - 1] != '-';
    for (size_t i = 0; i < region.len && is_good; i++) {
        char c = region.p[i];
        is_good = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
    }
    return is_good ? 0
                   : err_set(err, ERR_CONFIG,
                             "%s is no AWS region: expected small letters, digits and '-', as in "
                             "eu-west-1",
                             source);
}

static int take_region(const char *region, const char *source, char out[64], struct err *err) {
    if (check_region(span_str(region), source, err) != 0) {
        return -1;
    }
    memcpy(out, region, strlen(region) + 1);
    return 0;
}

/* What the configuration, the environment or the profile says; NULL: nothing. */
static const char *find_given(const struct aws_profiles *profiles, const char *setting,
                              const char **source) {
    static const char *const variables[] = {"AWS_REGION", "AWS_DEFAULT_REGION"};
    if (setting && *setting) {
        *source = "region";
        return setting;
    }
    for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++) {
        const char *value = aws_environment(variables[i]);
        if (value) {
            *source = variables[i];
            return value;
        }
    }
    *source = "the AWS profile's region";
    return aws_profiles_get(profiles, aws_profiles_current(profiles), "region");
}

/* The region of the instance that we run on. */
static int ask_metadata(const struct aws_profiles *profiles, char out[64], struct err *err) {
    struct metadata *metadata;
    char text[REGION_MAX + 2];
    struct buf reply;
    buf_over(&reply, text, sizeof(text));
    if (metadata_open(profiles, &metadata, err) != 0) {
        return -1;
    }
    int result = metadata_get(metadata, "placement/region", NULL, &reply, err);
    metadata_close(metadata);
    struct span region = span_trim(buf_span(&reply));
    if (result == 0) {
        result = check_region(region, "what the instance metadata service says", err);
    }
    if (result == 0) {
        memcpy(out, region.p, region.len);
        out[region.len] = '\0';
    }
    return result;
}

int aws_region_find(const struct aws_profiles *profiles, const char *setting, char out[64],
                    struct err *err) {
    struct err reason = {ERR_NONE, 0, ""};
    const char *source, *given = find_given(profiles, setting, &source);
    if (given) {
        return take_region(given, source, out, err);
    }
    if (ask_metadata(profiles, out, &reason) != 0) {
        return err_set(err, ERR_CONFIG,
                       "no AWS region: set `region`, AWS_REGION, or region in the profile %s (%s)",
                       aws_profiles_current(profiles), reason.text);
    }
    return 0;
}

/* Notes where a URL comes from, for messages. */
static const char *note(const char *url, const char *text, char source[SOURCE_MAX]) {
    if (url) {
        snprintf(source, SOURCE_MAX, "%s", text);
    }
    return url;
}

/* AWS_ENDPOINT_URL_<SERVICE>, AWS_ENDPOINT_URL */
static const char *find_url_in_environment(const struct aws_service *service,
                                           char source[SOURCE_MAX]) {
    static const char general[] = "AWS_ENDPOINT_URL";
    char variable[SOURCE_MAX];
    snprintf(variable, sizeof(variable), "%s_%s", general, service->id);
    for (char *p = variable; *p; p++) {
        *p = (char)toupper((unsigned char)*p);
    }
    const char *url = note(aws_environment(variable), variable, source);
    return url ? url : note(aws_environment(general), general, source);
}

/* The profile's services section, and its own endpoint_url */
static const char *find_url_in_profile(const struct aws_profiles *profiles,
                                       const struct aws_service *service, char source[SOURCE_MAX]) {
    const char *profile = aws_profiles_current(profiles);
    const char *services = aws_profiles_get(profiles, profile, "services"), *url = NULL;
    if (services) {
        url = aws_profiles_service(profiles, services, service->id, "endpoint_url");
    }
    url = url ? url : aws_profiles_get(profiles, profile, "endpoint_url");
    return note(url, "endpoint_url of the AWS profile", source);
}

/* Sets *url to what somebody gave, or NULL. */
static int find_url(const struct aws_profiles *profiles, const struct aws_service *service,
                    const char *setting, const char **url, char source[SOURCE_MAX],
                    struct err *err) {
    bool is_ignored;
    *url = note(setting && *setting ? setting : NULL, "endpoint", source);
    if (*url) {
        return 0;
    }
    if (aws_profiles_switch(profiles, "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS",
                            "ignore_configured_endpoint_urls", &is_ignored, err) != 0) {
        return -1;
    }
    if (!is_ignored) {
        *url = find_url_in_environment(service, source);
        *url = *url ? *url : find_url_in_profile(profiles, service, source);
    }
    return 0;
}

static bool is_sts(const struct aws_service *service) {
    return strcmp(service->id, "sts") == 0;
}

/* Services with one region in each partition; STS has one that serves all of "aws". */
static void correct_region(const struct aws_service *service, char region[64], bool *is_global) {
    *is_global = is_sts(service) && strcmp(region, "aws-global") == 0;
    if (*is_global || strcmp(service->id, "organizations") == 0) {
        const char *home = find_partition(region)->home;
        memcpy(region, home, strlen(home) + 1);
    }
}

/* GovCloud's plain names are the FIPS ones; only those of dual stack carry the mark. */
static int make_url(const struct aws_profiles *profiles, const struct aws_service *service,
                    bool is_global, struct aws_target *target, struct err *err) {
    bool is_fips, is_dual;
    if (aws_profiles_switch(profiles, "AWS_USE_FIPS_ENDPOINT", "use_fips_endpoint", &is_fips,
                            err) != 0 ||
        aws_profiles_switch(profiles, "AWS_USE_DUALSTACK_ENDPOINT", "use_dualstack_endpoint",
                            &is_dual, err) != 0) {
        return -1;
    }
    const struct partition *partition = find_partition(target->region);
    if (is_global && !is_fips && !is_dual) {
        snprintf(target->url, sizeof(target->url), "https://%s.%s/", service->endpoint,
                 partition->suffix);
        return 0;
    }
    bool is_marked = is_fips && (is_dual || strcmp(partition->name, "aws-us-gov") != 0);
    snprintf(target->url, sizeof(target->url), "https://%s%s.%s.%s/", service->endpoint,
             is_marked ? "-fips" : "", target->region,
             is_dual ? partition->dual_stack_suffix : partition->suffix);
    return 0;
}

int aws_target_find(const struct aws_profiles *profiles, const struct aws_service *service,
                    const struct aws_endpoint_conf *conf, struct aws_target *target,
                    struct err *err) {
    const char *url;
    char source[SOURCE_MAX];
    bool is_global;
    target->service = service;
    atomic_init(&target->skew_ms, 0);
    atomic_init(&target->skew_is_said, false);
    if (take_region(conf->region, "region", target->region, err) != 0 ||
        find_url(profiles, service, conf->endpoint, &url, source, err) != 0) {
        return -1;
    }
    correct_region(service, target->region, &is_global);
    if (!url) {
        return make_url(profiles, service, is_global, target, err);
    }
    if (url_take(url, target->url, sizeof(target->url), err) != 0) {
        return err_wrap(err, "%s", source);
    }
    return 0;
}
