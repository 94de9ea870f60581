/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/profile.h"
#include "aws/url.h"
#include "aws_server.h"
#include "unit.h"

static struct aws_profiles *parse(const char *config) {
    struct aws_profiles *profiles = NULL;
    struct err err = {ERR_NONE, 0, ""};
    int result =
        aws_profiles_parse(span_str(config), "config", SPAN(""), "credentials", &profiles, &err);
    ck_assert_msg(result == 0, "%s", err.text);
    return profiles;
}

static void expect(const char *config, const struct aws_service *service, const char *endpoint,
                   const char *region, const char *url) {
    struct aws_profiles *profiles = parse(config);
    struct aws_endpoint_conf conf = {.endpoint = endpoint, .region = region};
    struct aws_target target;
    struct err err = {ERR_NONE, 0, ""};
    int result = aws_target_find(profiles, service, &conf, &target, &err);
    ck_assert_msg(result == 0, "%s", err.text);
    ck_assert_str_eq(target.url, url);
    ck_assert_ptr_eq(target.service, service);
    aws_profiles_free(profiles);
}

/* The URLs are those that AWS' own rule sets give. */
static const struct {
    const struct aws_service *service;
    const char *region;
    bool is_fips, is_dual;
    const char *url;
} known[] = {
    {&aws_kinesis, "eu-west-1", 0, 0, "https://kinesis.eu-west-1.amazonaws.com/"},
    {&aws_kinesis, "us-east-1", 1, 0, "https://kinesis-fips.us-east-1.amazonaws.com/"},
    {&aws_kinesis, "us-east-1", 0, 1, "https://kinesis.us-east-1.api.aws/"},
    {&aws_kinesis, "us-east-1", 1, 1, "https://kinesis-fips.us-east-1.api.aws/"},
    {&aws_kinesis, "cn-north-1", 0, 0, "https://kinesis.cn-north-1.amazonaws.com.cn/"},
    {&aws_dynamodb, "cn-north-1", 0, 1,
     "https://dynamodb.cn-north-1.api.amazonwebservices.com.cn/"},
    {&aws_kinesis, "us-gov-west-1", 0, 0, "https://kinesis.us-gov-west-1.amazonaws.com/"},
    {&aws_kinesis, "us-gov-west-1", 1, 0, "https://kinesis.us-gov-west-1.amazonaws.com/"},
    {&aws_ec2, "us-gov-east-1", 1, 0, "https://ec2.us-gov-east-1.amazonaws.com/"},
    {&aws_ec2, "us-gov-east-1", 1, 1, "https://ec2-fips.us-gov-east-1.api.aws/"},
    {&aws_sts, "eusc-de-east-1", 0, 0, "https://sts.eusc-de-east-1.amazonaws.eu/"},
    {&aws_sts, "eusc-de-east-1", 0, 1, "https://sts.eusc-de-east-1.api.amazonwebservices.eu/"},
    {&aws_rds, "us-iso-east-1", 0, 0, "https://rds.us-iso-east-1.c2s.ic.gov/"},
    {&aws_rds, "us-iso-east-1", 1, 1, "https://rds-fips.us-iso-east-1.api.aws.ic.gov/"},
    {&aws_elb, "us-isob-east-1", 0, 0,
     "https://elasticloadbalancing.us-isob-east-1.sc2s.sgov.gov/"},
    {&aws_elbv2, "eu-isoe-west-1", 1, 0,
     "https://elasticloadbalancing-fips.eu-isoe-west-1.cloud.adc-e.uk/"},
    {&aws_ec2, "us-isof-south-1", 0, 0, "https://ec2.us-isof-south-1.csp.hci.ic.gov/"},
    {&aws_ec2, "mx-central-1", 0, 0, "https://ec2.mx-central-1.amazonaws.com/"},
    {&aws_organizations, "eu-west-1", 0, 0, "https://organizations.us-east-1.amazonaws.com/"},
    {&aws_organizations, "cn-north-1", 0, 0,
     "https://organizations.cn-northwest-1.amazonaws.com.cn/"},
    {&aws_organizations, "us-gov-east-1", 1, 0,
     "https://organizations.us-gov-west-1.amazonaws.com/"},
    {&aws_sts, "aws-global", 0, 0, "https://sts.amazonaws.com/"},
    {&aws_sts, "aws-global", 1, 0, "https://sts-fips.us-east-1.amazonaws.com/"},
};

START_TEST(endpoints_are_those_of_aws) {
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        setenv("AWS_USE_FIPS_ENDPOINT", known[i].is_fips ? "true" : "false", 1);
        setenv("AWS_USE_DUALSTACK_ENDPOINT", known[i].is_dual ? "true" : "false", 1);
        expect("", known[i].service, NULL, known[i].region, known[i].url);
    }
}
END_TEST

START_TEST(signing_uses_the_region_of_the_endpoint) {
    static const struct {
        const struct aws_service *service;
        const char *region, *signing;
    } cases[] = {{&aws_kinesis, "eu-west-1", "eu-west-1"},
                 {&aws_sts, "aws-global", "us-east-1"},
                 {&aws_organizations, "eu-west-1", "us-east-1"},
                 {&aws_organizations, "cn-north-1", "cn-northwest-1"}};
    struct aws_profiles *profiles = parse("");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct aws_endpoint_conf conf = {.region = cases[i].region};
        struct aws_target target;
        struct err err;
        ck_assert_int_eq(aws_target_find(profiles, cases[i].service, &conf, &target, &err), 0);
        ck_assert_str_eq(target.region, cases[i].signing);
    }
    aws_profiles_free(profiles);
}
END_TEST

START_TEST(partitions_follow_the_region) {
    static const char *const cases[][2] = {
        {"eu-west-1", "aws"},
        {"us-east-1", "aws"},
        {"cn-north-1", "aws-cn"},
        {"us-gov-west-1", "aws-us-gov"},
        {"eusc-de-east-1", "aws-eusc"},
        {"us-iso-east-1", "aws-iso"},
        {"us-isob-east-1", "aws-iso-b"},
        {"eu-isoe-west-1", "aws-iso-e"},
        {"us-isof-south-1", "aws-iso-f"},
        {"us-government-1", "aws"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ck_assert_str_eq(aws_partition(cases[i][0]), cases[i][1]);
    }
}
END_TEST

START_TEST(given_urls_come_in_order) {
    const char *config = "[default]\nservices = s\nendpoint_url = http://profile:1\n"
                         "[services s]\nkinesis =\n  endpoint_url = http://services:1\n";
    expect(config, &aws_kinesis, NULL, "eu-west-1", "http://services:1/");
    expect(config, &aws_sts, NULL, "eu-west-1", "http://profile:1/");
    setenv("AWS_ENDPOINT_URL", "http://all:1/base", 1);
    expect(config, &aws_kinesis, NULL, "eu-west-1", "http://all:1/base/");
    setenv("AWS_ENDPOINT_URL_KINESIS", "http://[::1]:1", 1);
    setenv("AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2", "https://lb", 1);
    expect(config, &aws_kinesis, NULL, "eu-west-1", "http://[::1]:1/");
    expect(config, &aws_elbv2, NULL, "eu-west-1", "https://lb/");
    expect(config, &aws_elb, NULL, "eu-west-1", "http://all:1/base/");
    expect(config, &aws_kinesis, "http://setting:1", "eu-west-1", "http://setting:1/");
    setenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "true", 1);
    expect(config, &aws_kinesis, "http://setting:1", "eu-west-1", "http://setting:1/");
    expect(config, &aws_kinesis, NULL, "eu-west-1", "https://kinesis.eu-west-1.amazonaws.com/");
    unsetenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS");
    unsetenv("AWS_ENDPOINT_URL");
    unsetenv("AWS_ENDPOINT_URL_KINESIS");
    expect("[default]\nendpoint_url = http://p\nignore_configured_endpoint_urls = true\n"
           "use_fips_endpoint = true\n",
           &aws_kinesis, NULL, "eu-west-1", "https://kinesis-fips.eu-west-1.amazonaws.com/");
}
END_TEST

static void expect_refused(const char *endpoint, const char *region, const char *named) {
    struct aws_profiles *profiles = parse("");
    struct aws_endpoint_conf conf = {.endpoint = endpoint, .region = region};
    struct aws_target target;
    struct err err;
    ck_assert_int_eq(aws_target_find(profiles, &aws_kinesis, &conf, &target, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strncmp(err.text, named, strlen(named)) == 0, "%s", err.text);
    aws_profiles_free(profiles);
}

START_TEST(no_region_makes_a_url_of_its_own) {
    static const char *const bad[] = {
        "",
        "evil.example/",
        "x.evil.example",
        "eu_west_1",
        "eu-west-1/",
        "eu-west-1#",
        "a@b",
        "a:1",
        "-eu",
        "eu-",
        "EU-WEST-1",
        "a b",
        "a\r\nb",
        "\xC3\xA4",
        "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        expect_refused(NULL, bad[i], "region");
    }
    expect_refused(NULL, NULL, "region");
}
END_TEST

START_TEST(no_bad_url_is_taken) {
    static const char *const bad[] = {
        "localhost:4567", "ftp://x",          "http://",          "http://a b",     "http://u:p@h",
        "http://h?q=1",   "http://h#f",       "http://h:0",       "http://h:99999", "http://h:x",
        "http://[::1",    "http://[1.2.3.4]", "http://h\r\nX: y", "http://h\\@e",   "http://h\x7F"};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        expect_refused(bad[i], "eu-west-1", "endpoint: ");
    }
    char text[700];
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = '\0';
    memcpy(text, "http://", 7);
    expect_refused(text, "eu-west-1", "endpoint: ");
    setenv("AWS_ENDPOINT_URL_KINESIS", "nonsense", 1);
    expect_refused(NULL, "eu-west-1", "AWS_ENDPOINT_URL_KINESIS: ");
    unsetenv("AWS_ENDPOINT_URL_KINESIS");
    setenv("AWS_USE_FIPS_ENDPOINT", "perhaps", 1);
    expect_refused(NULL, "eu-west-1", "AWS_USE_FIPS_ENDPOINT");
}
END_TEST

START_TEST(loopback_is_told) {
    static const struct {
        const char *url;
        bool is_loopback;
    } cases[] = {
        {"http://localhost/x", true},
        {"http://127.0.0.1", true},
        {"http://127.9.9.9:1", true},
        {"http://[::1]:80/", true},
        {"http://localhost.evil", false},
        {"http://128.0.0.1", false},
        {"http://[::2]", false},
        {"http://127.1", false},
        {"http://[::ffff:127.0.0.1]", false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct url url;
        struct err err;
        ck_assert_int_eq(url_parse(cases[i].url, &url, &err), 0);
        ck_assert_msg(url_is_loopback(&url) == cases[i].is_loopback, "%s", cases[i].url);
    }
}
END_TEST

START_TEST(a_region_is_looked_for_in_order) {
    struct aws_profiles *profiles = parse("[default]\nregion = eu-north-1\n"), *none = parse("");
    struct err err;
    char region[64];
    ck_assert_int_eq(aws_region_find(profiles, NULL, region, &err), 0);
    ck_assert_str_eq(region, "eu-north-1");
    setenv("AWS_DEFAULT_REGION", "eu-west-2", 1);
    ck_assert_int_eq(aws_region_find(profiles, "", region, &err), 0);
    ck_assert_str_eq(region, "eu-west-2");
    setenv("AWS_REGION", "eu-west-3", 1);
    ck_assert_int_eq(aws_region_find(profiles, NULL, region, &err), 0);
    ck_assert_str_eq(region, "eu-west-3");
    ck_assert_int_eq(aws_region_find(profiles, "us-west-2", region, &err), 0);
    ck_assert_str_eq(region, "us-west-2");
    setenv("AWS_REGION", "x.evil", 1);
    ck_assert_int_eq(aws_region_find(profiles, NULL, region, &err), -1);
    ck_assert_int_eq(strncmp(err.text, "AWS_REGION is no AWS region", 27), 0);
    unsetenv("AWS_REGION");
    unsetenv("AWS_DEFAULT_REGION");
    ck_assert_int_eq(aws_region_find(none, NULL, region, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "AWS_REGION"));
    ck_assert_ptr_nonnull(strstr(err.text, "AWS_EC2_METADATA_DISABLED"));
    aws_profiles_free(none);
    aws_profiles_free(profiles);
}
END_TEST

static int answer_region(struct server *server, const char *request, char *body, size_t size) {
    if (strncmp(request, "PUT /latest/api/token", 21) == 0) {
        snprintf(body, size, "TOKEN");
        return 200;
    }
    bool is_hostile = atomic_load(&server->state) == 1;
    snprintf(body, size, "%s", is_hostile ? "evil.example/?" : "ap-south-2");
    return strstr(request, "GET /latest/meta-data/placement/region ") ? 200 : 404;
}

START_TEST(the_instance_knows_its_region) {
    struct aws_profiles *profiles = parse("");
    struct server server;
    struct err err;
    char region[64];
    server_start(&server, answer_region);
    server_name(&server, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "");
    unsetenv("AWS_EC2_METADATA_DISABLED");
    ck_assert_int_eq(aws_region_find(profiles, NULL, region, &err), 0);
    ck_assert_str_eq(region, "ap-south-2");
    ck_assert(server_was_asked(&server, 1, "x-aws-ec2-metadata-token: TOKEN\r\n"));
    atomic_store(&server.state, 1);
    ck_assert_int_eq(aws_region_find(profiles, NULL, region, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_null(strstr(err.text, "evil"));
    server_stop(&server);
    aws_profiles_free(profiles);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("aws_endpoint");
    TCase *all = tcase_create("all");
    tcase_add_checked_fixture(all, clear_environment, NULL);
    tcase_set_timeout(all, 30);
    tcase_add_test(all, endpoints_are_those_of_aws);
    tcase_add_test(all, signing_uses_the_region_of_the_endpoint);
    tcase_add_test(all, partitions_follow_the_region);
    tcase_add_test(all, given_urls_come_in_order);
    tcase_add_test(all, no_region_makes_a_url_of_its_own);
    tcase_add_test(all, no_bad_url_is_taken);
    tcase_add_test(all, loopback_is_told);
    tcase_add_test(all, a_region_is_looked_for_in_order);
    tcase_add_test(all, the_instance_knows_its_region);
    suite_add_tcase(suite, all);
    return run_suite(suite);
}
