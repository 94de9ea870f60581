/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/credentials.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "aws/credentials_source.h"
#include "aws_server.h"
#include "base/clock.h"
#include "unit.h"

#define FUTURE "2125-01-01T00:00:00Z"
#define KEYS_JSON(id, expiration)                                                       \
    "{\"Code\":\"Success\",\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"HIDDENX\"," \
    "\"Token\":\"TOKENX\",\"Expiration\":\"" expiration "\"}"
#define PROCESS_JSON(id) \
    "{\"Version\":1,\"AccessKeyId\":\"" id "\",\"SecretAccessKey\":\"HIDDENX\"}"

static char folder[64];

static void make_folder(void) {
    clear_environment();
    snprintf(folder, sizeof(folder), "/tmp/flowgelf-keys-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

/* Credentials of what the environment and the shared files say. */
struct fixture {
    struct aws_profiles *profiles;
    struct aws_credentials *credentials;
    struct aws_credentials_conf conf;
    struct err err;
    int64_t pause_ms;
};

static void use_files(const char *config, const char *credentials) {
    setenv("AWS_CONFIG_FILE", write_temp(folder, "config", config), 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", write_temp(folder, "credentials", credentials), 1);
}

static int try_open(struct fixture *fixture) {
    int result = aws_profiles_load(&fixture->profiles, &fixture->err);
    ck_assert_msg(result == 0, "%s", fixture->err.text);
    return aws_credentials_open(&fixture->conf, fixture->profiles, &fixture->credentials,
                                &fixture->err);
}

static void open_all(struct fixture *fixture) {
    int result = try_open(fixture);
    ck_assert_msg(result == 0, "%s", fixture->err.text);
}

static int refresh(struct fixture *fixture) {
    return aws_credentials_refresh(fixture->credentials, NULL, &fixture->pause_ms, &fixture->err);
}

static void refresh_well(struct fixture *fixture) {
    int result = refresh(fixture);
    ck_assert_msg(result == 0, "%s", fixture->err.text);
    ck_assert_int_ge(fixture->pause_ms, 0);
    ck_assert_int_le(fixture->pause_ms, 60000);
}

/* The refresh fails with this in its text, and with no secret. */
static void refresh_badly(struct fixture *fixture, const char *text) {
    ck_assert_int_eq(refresh(fixture), -1);
    ck_assert_msg(strstr(fixture->err.text, text) != NULL, "%s", fixture->err.text);
    ck_assert_msg(strstr(fixture->err.text, "HIDDEN") == NULL, "%s", fixture->err.text);
    ck_assert_int_gt(fixture->pause_ms, 0);
    ck_assert_int_le(fixture->pause_ms, 60000);
}

static void expect_keys(struct fixture *fixture, const char *id, const char *token) {
    struct aws_keys keys;
    struct err err = {ERR_NONE, 0, ""};
    int result = aws_credentials_get(fixture->credentials, &keys, &err);
    ck_assert_msg(result == 0, "%s", err.text);
    ck_assert_str_eq(keys.access_id, id);
    ck_assert_str_eq(keys.token, token);
    ck_assert_int_eq(strncmp(keys.secret, "HIDDEN", 6), 0);
    aws_keys_wipe(&keys);
}

static void expect_none(struct fixture *fixture, const char *text) {
    struct aws_keys keys;
    struct err err;
    ck_assert_int_eq(aws_credentials_get(fixture->credentials, &keys, &err), -1);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_msg(strstr(err.text, text) != NULL, "%s", err.text);
}

static void expect_described(struct fixture *fixture, const char *text) {
    struct buf out;
    buf_init(&out, 8192);
    aws_credentials_describe(fixture->credentials, &out);
    ck_assert_msg(strstr(buf_cstr(&out), text) != NULL, "%s", buf_cstr(&out));
    ck_assert_ptr_null(strstr(buf_cstr(&out), "HIDDEN"));
    buf_done(&out);
}

static void close_all(struct fixture *fixture) {
    aws_credentials_close(fixture->credentials);
    aws_profiles_free(fixture->profiles);
    memset(fixture, 0, sizeof(*fixture));
}

static void expect_refused(const char *config, const char *credentials, const char *text) {
    struct fixture fixture = {0};
    use_files(config, credentials);
    ck_assert_int_eq(try_open(&fixture), -1);
    ck_assert_int_eq(fixture.err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(fixture.err.text, text) != NULL, "%s", fixture.err.text);
    ck_assert_ptr_null(strstr(fixture.err.text, "HIDDEN"));
    aws_profiles_free(fixture.profiles);
}

START_TEST(the_environment_comes_first) {
    struct fixture fixture = {0};
    use_files("", "[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = HIDDENF\n");
    setenv("AWS_ACCESS_KEY_ID", "AKIAENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "HIDDENE", 1);
    open_all(&fixture);
    expect_none(&fixture, "not fetched yet");
    refresh_well(&fixture);
    expect_keys(&fixture, "AKIAENV", "");
    expect_described(&fixture, "environment (AWS_ACCESS_KEY_ID)");
    close_all(&fixture);
    setenv("AWS_SECURITY_TOKEN", "OLD", 1);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "AKIAENV", "OLD");
    close_all(&fixture);
    setenv("AWS_SESSION_TOKEN", "TOKENE", 1);
    setenv("AWS_CREDENTIAL_EXPIRATION", FUTURE, 1);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "AKIAENV", "TOKENE");
    close_all(&fixture);
}
END_TEST

START_TEST(an_incomplete_environment_is_refused) {
    setenv("AWS_ACCESS_KEY_ID", "AKIAENV", 1);
    expect_refused("", "", "AWS_SECRET_ACCESS_KEY is missing");
    setenv("AWS_SECRET_ACCESS_KEY", "HIDDEN\r\nX: y", 1);
    expect_refused("", "", "AWS_SECRET_ACCESS_KEY has control characters");
    setenv("AWS_SECRET_ACCESS_KEY", "HIDDENE", 1);
    setenv("AWS_CREDENTIAL_EXPIRATION", "soon", 1);
    expect_refused("", "", "AWS_CREDENTIAL_EXPIRATION");
}
END_TEST

START_TEST(sources_of_a_profile_come_in_order) {
    struct fixture fixture = {0};
    char config[1024];
    snprintf(config, sizeof(config),
             "[profile a]\naws_access_key_id = AKIACONFIG\naws_secret_access_key = HIDDENC\n"
             "credential_process = cat %s/answer\n"
             "[profile b]\naws_access_key_id = AKIAB\naws_secret_access_key = HIDDENB\n",
             folder);
    write_temp(folder, "answer", PROCESS_JSON("AKIAPROCESS"));
    use_files(config, "[a]\naws_access_key_id = AKIAFILE\naws_secret_access_key = HIDDENF\n"
                      "aws_session_token = TOKENF\n");
    setenv("AWS_PROFILE", "a", 1);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "AKIAFILE", "TOKENF");
    expect_described(&fixture, "profile a (/tmp/");
    expect_described(&fixture, "/credentials)");
    close_all(&fixture);
    use_files(config, "");
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "AKIAPROCESS", "");
    expect_described(&fixture, "credential_process of profile a (cat)");
    close_all(&fixture);
    setenv("AWS_PROFILE", "b", 1);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "AKIAB", "");
    expect_described(&fixture, "/config)");
    close_all(&fixture);
}
END_TEST

START_TEST(a_profile_that_cannot_work_is_refused_with_its_name) {
    expect_refused("", "[default]\naws_access_key_id = A\n", "aws_secret_access_key is missing");
    expect_refused("[default]\nsso_session = s\nsso_account_id = 1\n", "", "credential_process");
    expect_refused("[default]\nlogin_session = s\n", "", "not supported");
    expect_refused("[default]\ncredential_process = 'x\n", "", "quote");
    expect_refused("[default]\nweb_identity_token_file = /x\n", "", "ARN");
    setenv("AWS_PROFILE", "nobody", 1);
    expect_refused("[default]\n", "", "AWS profile nobody (AWS_PROFILE) is in neither /tmp/");
}
END_TEST

#define ROLE "role_arn = arn:aws:iam::123456789012:role/r\n"

START_TEST(a_role_that_cannot_work_is_refused) {
    static const struct {
        const char *config, *text;
    } cases[] = {
        {"[default]\n" ROLE, "either source_profile or credential_source"},
        {"[default]\n" ROLE "source_profile = default\ncredential_source = Environment\n",
         "not both"},
        {"[default]\n" ROLE "source_profile = none\n", "source_profile none is in neither"},
        {"[default]\n" ROLE "source_profile = default\n", "names the profile itself"},
        {"[default]\n" ROLE "source_profile = b\n[profile b]\nregion = x\n", "AWS profile b: "},
        {"[default]\n" ROLE "source_profile = b\n[profile b]\n" ROLE "source_profile = c\n"
         "[profile c]\n" ROLE "source_profile = b\n",
         "AWS profile c: source_profile b leads in a circle"},
        {"[default]\n" ROLE "source_profile = b\n[profile b]\n" ROLE "source_profile = default\n",
         "leads in a circle"},
        {"[default]\n" ROLE "source_profile = b\nmfa_serial = arn:aws:iam::1:mfa/x\n",
         "cannot be given unattended"},
        {"[default]\n" ROLE "credential_source = Magic\n", "credential_source must be"},
        {"[default]\n" ROLE "credential_source = Environment\n", "AWS_ACCESS_KEY_ID is missing"},
        {"[default]\n" ROLE "credential_source = EcsContainer\n", "RELATIVE_URI"},
        {"[default]\n" ROLE "credential_source = Ec2InstanceMetadata\nduration_seconds = 60\n",
         "900 to 43200"},
        {"[default]\nrole_arn = r\ncredential_source = Ec2InstanceMetadata\n", "ARN"},
        {"[default]\n" ROLE "credential_source = Ec2InstanceMetadata\nrole_session_name = a b\n",
         "session name"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        expect_refused(cases[i].config, "", cases[i].text);
    }
}
END_TEST

START_TEST(a_long_way_of_profiles_is_refused) {
    char config[2048];
    size_t len = (size_t)snprintf(config, sizeof(config), "[default]\n" ROLE "source_profile=p1\n");
    for (int i = 1; i < 12; i++) {
        len += (size_t)snprintf(config + len, sizeof(config) - len,
                                "[profile p%d]\n" ROLE "source_profile=p%d\n", i, i + 1);
    }
    snprintf(config + len, sizeof(config) - len, "[profile p12]\naws_access_key_id=a\n");
    expect_refused(config, "", "more than 8");
}
END_TEST

/* STS: gives ASIA1, ASIA2 ...; refuses keys named AKIAOLD as expired. */
static int answer_sts(struct server *server, const char *request, char *body, size_t size) {
    const char *operation =
        strstr(request, "AssumeRoleWithWebIdentity") ? "AssumeRoleWithWebIdentity" : "AssumeRole";
    if (strstr(request, "Credential=AKIAOLD/")) {
        snprintf(body, size,
                 "<ErrorResponse><Error><Type>Sender</Type><Code>ExpiredToken</Code><Message>The "
                 "security token is expired</Message></Error><RequestId>1</RequestId>"
                 "</ErrorResponse>");
        return 403;
    }
    if (atomic_load(&server->state) < 0) {
        snprintf(body, size, "<x>HIDDENX</y>");
        return atomic_load(&server->state) == -1 ? 500 : 200;
    }
    int number = atomic_fetch_add(&server->state, 1) + 1;
    snprintf(body, size,
             "<%sResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><%sResult>"
             "<Credentials><AccessKeyId>ASIA%d</AccessKeyId><SecretAccessKey>HIDDENX"
             "</SecretAccessKey><SessionToken>T%d</SessionToken><Expiration>" FUTURE
             "</Expiration></Credentials></%sResult></%sResponse>",
             operation, operation, number, number, operation, operation);
    return 200;
}

START_TEST(roles_of_profiles_are_assumed_one_with_the_other) {
    struct fixture fixture = {.conf = {.region = "eu-west-1"}};
    struct server server;
    server_start(&server, answer_sts);
    server_name(&server, "AWS_ENDPOINT_URL_STS", "");
    use_files("[profile top]\nrole_arn = arn:aws:iam::1:role/top\nsource_profile = middle\n"
              "external_id = a+b/c\nrole_session_name = me@here\nduration_seconds = 1800\n"
              "[profile middle]\nrole_arn = arn:aws:iam::1:role/middle\nsource_profile = base\n",
              "[base]\naws_access_key_id = AKIABASE\naws_secret_access_key = HIDDENB\n");
    setenv("AWS_PROFILE", "top", 1);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "ASIA2", "T2");
    ck_assert_uint_eq(server_count(&server), 2);
    ck_assert(server_was_asked(&server, 0, "Credential=AKIABASE/"));
    ck_assert(server_was_asked(&server, 0, "/eu-west-1/sts/aws4_request"));
    ck_assert(server_was_asked(&server, 0, "Action=AssumeRole&"));
    ck_assert(server_was_asked(&server, 0, "&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fmiddle"));
    ck_assert(server_was_asked(&server, 0, "&RoleSessionName=flowgelf"));
    ck_assert(!server_was_asked(&server, 0, "DurationSeconds"));
    ck_assert(server_was_asked(&server, 1, "Credential=ASIA1/"));
    ck_assert(server_was_asked(&server, 1, "T1\r\n")); /* X-Amz-Security-Token */
    ck_assert(server_was_asked(&server, 1, "&ExternalId=a%2Bb%2Fc"));
    ck_assert(server_was_asked(&server, 1, "&RoleSessionName=me%40here"));
    ck_assert(server_was_asked(&server, 1, "&DurationSeconds=1800"));
    expect_described(&fixture, "profile base (/tmp/");
    expect_described(&fixture, ", then role arn:aws:iam::1:role/middle of profile middle, then "
                               "role arn:aws:iam::1:role/top of profile top");
    refresh_well(&fixture); /* not due */
    ck_assert_uint_eq(server_count(&server), 2);
    aws_credentials_distrust(fixture.credentials, "ASIA1"); /* not in use */
    refresh_well(&fixture);
    ck_assert_uint_eq(server_count(&server), 2);
    aws_credentials_distrust(fixture.credentials, "ASIA2");
    refresh_well(&fixture);
    ck_assert_uint_eq(server_count(&server), 3); /* the base's are still good */
    expect_keys(&fixture, "ASIA3", "T3");
    aws_credentials_distrust(fixture.credentials, "ASIA3");
    refresh_well(&fixture); /* but not so soon again */
    ck_assert_uint_eq(server_count(&server), 3);
    ck_assert_int_le(fixture.pause_ms, 5000);
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

START_TEST(roles_of_the_configuration_come_on_top) {
    static const struct aws_role roles[] = {
        {.arn = "arn:aws:iam::1:role/a"},
        {.arn = "arn:aws:iam::2:role/b", .external_id = "x", .session_name = "own"}};
    struct fixture fixture = {.conf = {.roles = roles, .role_count = 2, .region = "eu-west-1"}};
    struct server server;
    server_start(&server, answer_sts);
    server_name(&server, "AWS_ENDPOINT_URL", "");
    setenv("AWS_ACCESS_KEY_ID", "AKIAENV", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "HIDDENE", 1);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "ASIA2", "T2");
    ck_assert(server_was_asked(&server, 1, "role%2Fb"));
    ck_assert(server_was_asked(&server, 1, "&RoleSessionName=own"));
    ck_assert(server_was_asked(&server, 1, "&ExternalId=x"));
    expect_described(&fixture, "environment (AWS_ACCESS_KEY_ID), then role arn:aws:iam::1:role/a, "
                               "then role arn:aws:iam::2:role/b");
    close_all(&fixture);
    static const struct aws_role bad = {.arn = "arn:aws:s3:::x"};
    fixture.conf = (struct aws_credentials_conf){.roles = &bad, .role_count = 1};
    ck_assert_int_eq(try_open(&fixture), -1);
    ck_assert_ptr_nonnull(strstr(fixture.err.text, "assume_role"));
    aws_profiles_free(fixture.profiles);
    server_stop(&server);
}
END_TEST

START_TEST(base_keys_that_are_refused_are_fetched_anew) {
    struct fixture fixture = {.conf = {.region = "eu-west-1"}};
    struct server server;
    char config[1024];
    server_start(&server, answer_sts);
    server_name(&server, "AWS_ENDPOINT_URL_STS", "");
    /* Gives AKIAOLD the first time, AKIANEW later. */
    write_temp(folder, "first", PROCESS_JSON("AKIAOLD"));
    write_temp(folder, "second", PROCESS_JSON("AKIANEW"));
    snprintf(config, sizeof(config),
             "[default]\n" ROLE "source_profile = p\n[profile p]\ncredential_process = sh -c "
             "\"cat %s/first; mv %s/second %s/first; true\"\n",
             folder, folder, folder);
    use_files(config, "");
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "ASIA1", "T1");
    ck_assert_uint_eq(server_count(&server), 2);
    ck_assert(server_was_asked(&server, 1, "Credential=AKIANEW/"));
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

START_TEST(what_sts_refuses_is_said) {
    struct fixture fixture = {.conf = {.region = "eu-west-1"}};
    struct server server;
    server_start(&server, answer_sts);
    server_name(&server, "AWS_ENDPOINT_URL_STS", "");
    use_files("[default]\n" ROLE "source_profile = default\n",
              "[default]\naws_access_key_id = AKIAOLD\naws_secret_access_key = HIDDENB\n");
    open_all(&fixture);
    refresh_badly(&fixture, "ExpiredToken");
    ck_assert_ptr_nonnull(strstr(fixture.err.text, "role arn:aws:iam::123456789012:role/r"));
    expect_none(&fixture, "ExpiredToken");
    write_temp(folder, "credentials",
               "[default]\naws_access_key_id = AKIANEXT\naws_secret_access_key = HIDDENB\n");
    atomic_store(&server.state, -2); /* HTTP 200 with nonsense; the file's new keys are in use */
    refresh_badly(&fixture, "no good XML");
    ck_assert(server_was_asked(&server, server_count(&server) - 1, "Credential=AKIANEXT/"));
    size_t before = server_count(&server);
    atomic_store(&server.state, -1);
    refresh_badly(&fixture, "HTTP 500");
    ck_assert_uint_eq(server_count(&server), before + 3);
    atomic_store(&server.state, 0);
    refresh_well(&fixture);
    expect_keys(&fixture, "ASIA1", "T1");
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

/* Two hours behind us: refuses the first request for its time, then gives keys for an hour. */
static int answer_late(struct server *server, const char *request, char *body, size_t size) {
    char when[64];
    time_t until = time(NULL) + atomic_load(&server->clock_s) + 3600;
    struct tm tm;
    (void)request;
    if (atomic_fetch_add(&server->state, 1) == 0) {
        snprintf(body, size,
                 "<ErrorResponse><Error><Code>SignatureDoesNotMatch</Code><Message>Signature not "
                 "yet current</Message></Error></ErrorResponse>");
        return 403;
    }
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&until, &tm));
    snprintf(body, size,
             "<AssumeRoleResponse><AssumeRoleResult><Credentials><AccessKeyId>ASIALATE"
             "</AccessKeyId><SecretAccessKey>HIDDENX</SecretAccessKey><SessionToken>T"
             "</SessionToken><Expiration>%s</Expiration></Credentials></AssumeRoleResult>"
             "</AssumeRoleResponse>",
             when);
    return 200;
}

START_TEST(a_wrong_clock_does_not_make_keys_look_expired) {
    struct fixture fixture = {.conf = {.region = "eu-west-1"}};
    struct server server;
    struct aws_keys keys;
    server_start(&server, answer_late);
    atomic_store(&server.clock_s, -7200);
    server_name(&server, "AWS_ENDPOINT_URL_STS", "");
    use_files("[default]\n" ROLE "source_profile = default\n",
              "[default]\naws_access_key_id = AKIAB\naws_secret_access_key = HIDDENB\n");
    open_all(&fixture);
    refresh_well(&fixture);
    ck_assert_int_eq(aws_credentials_get(fixture.credentials, &keys, &fixture.err), 0);
    ck_assert_str_eq(keys.access_id, "ASIALATE");
    ck_assert_int_gt(keys.expires_ms, clock_wall_ms() + 1800000);
    ck_assert_int_lt(keys.expires_ms, clock_wall_ms() + 5400000);
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

START_TEST(web_identity_reads_its_token_each_time_and_signs_nothing) {
    struct fixture fixture = {.conf = {.region = "eu-west-1"}};
    struct server server;
    server_start(&server, answer_sts);
    server_name(&server, "AWS_ENDPOINT_URL_STS", "");
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", write_temp(folder, "token", "HIDDENJWT1\n"), 1);
    setenv("AWS_ROLE_ARN", "arn:aws:iam::1:role/pod", 1);
    setenv("AWS_ROLE_SESSION_NAME", "pod-1", 1);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "ASIA1", "T1");
    ck_assert(server_was_asked(&server, 0, "Action=AssumeRoleWithWebIdentity&"));
    ck_assert(server_was_asked(&server, 0, "&WebIdentityToken=HIDDENJWT1"));
    ck_assert(!server_was_asked(&server, 0, "HIDDENJWT1%"));
    ck_assert(server_was_asked(&server, 0, "&RoleSessionName=pod-1"));
    ck_assert(!server_was_asked(&server, 0, "Authorization:"));
    expect_described(&fixture, "role arn:aws:iam::1:role/pod by web identity (/tmp/");
    write_temp(folder, "token", "HIDDENJWT2");
    aws_credentials_distrust(fixture.credentials, "ASIA1");
    refresh_well(&fixture);
    ck_assert(server_was_asked(&server, 1, "&WebIdentityToken=HIDDENJWT2"));
    close_all(&fixture);
    write_temp(folder, "token", "");
    open_all(&fixture);
    refresh_badly(&fixture, "token is empty");
    close_all(&fixture);
    setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent/token", 1);
    open_all(&fixture);
    refresh_badly(&fixture, "/nonexistent/token");
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

START_TEST(web_identity_of_a_profile) {
    struct fixture fixture = {.conf = {.region = "eu-west-1"}};
    struct server server;
    char config[512];
    server_start(&server, answer_sts);
    server_name(&server, "AWS_ENDPOINT_URL_STS", "");
    snprintf(config, sizeof(config), "[default]\n" ROLE "web_identity_token_file = %s\n",
             write_temp(folder, "token", "HIDDENJWT"));
    use_files(config, "");
    open_all(&fixture);
    refresh_well(&fixture);
    ck_assert(server_was_asked(&server, 0, "Action=AssumeRoleWithWebIdentity&"));
    ck_assert(server_was_asked(&server, 0, "&RoleSessionName=flowgelf"));
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

START_TEST(commands_are_cut_into_words) {
    static const struct {
        const char *command, *words; /* joined by | */
    } cases[] = {
        {"a b  c\td", "a|b|c|d"},
        {"a 'b c' \"d e\"", "a|b c|d e"},
        {"a\\ b c", "a b|c"},
        {"a\"b\"'c'd", "abcd"},
        {"a '' b", "a||b"},
        {"\"a\\\"b\\\\c\\d\"", "a\"b\\c\\d"},
        {"'a\\'", "a\\"},
        {"a $HOME `x` *;|", "a|$HOME|`x`|*;|"},
        {"a 'b", NULL},
        {"a \"b\\\"", NULL},
        {"a \\", NULL},
        {"", NULL},
        {"   ", NULL},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char **words = NULL, joined[256] = "";
        struct err err;
        int result = process_split(cases[i].command, &words, &err);
        ck_assert_int_eq(result, cases[i].words ? 0 : -1);
        for (size_t k = 0; result == 0 && words[k]; k++) {
            strcat(joined, k > 0 ? "|" : "");
            strcat(joined, words[k]);
        }
        if (result == 0) {
            ck_assert_str_eq(joined, cases[i].words);
            process_free_words(words);
        } else {
            ck_assert_int_eq(err.kind, ERR_CONFIG);
        }
    }
}
END_TEST

static void expect_process(const char *command, const char *text) {
    struct fixture fixture = {0};
    char config[1024];
    snprintf(config, sizeof(config), "[default]\ncredential_process = %s\n", command);
    use_files(config, "");
    open_all(&fixture);
    if (text) {
        refresh_badly(&fixture, text);
    } else {
        refresh_well(&fixture);
        expect_keys(&fixture, "AKIAP", "");
    }
    close_all(&fixture);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1); /* nothing is left to be reaped */
    ck_assert_int_eq(errno, ECHILD);
}

START_TEST(a_process_is_run_and_its_garbage_not_shown) {
    char command[512];
    snprintf(command, sizeof(command), "cat %s", write_temp(folder, "good", PROCESS_JSON("AKIAP")));
    expect_process(command, NULL);
    snprintf(command, sizeof(command), "sh -c 'cat %s/good; sleep 20 & exit 0'", folder);
    expect_process(command, NULL); /* a grandchild holds the pipe */
    expect_process("echo HIDDENGARBAGE", "echo: the answer is no");
    expect_process("/nonexistent/program HIDDEN", "cannot run /nonexistent/program");
    expect_process("sh -c 'echo HIDDEN >&2; exit 3'", "sh exited with 3");
    expect_process("sh -c 'kill -9 $$'", "sh was killed by signal 9");
    expect_process("true", "no JSON object");
    expect_process("head -c 70000 /dev/zero", "printed more than 65536 bytes");
    expect_process("yes HIDDEN", "printed more than 65536 bytes");
    snprintf(command, sizeof(command), "cat %s",
             write_temp(folder, "v2", "{\"Version\":2,\"AccessKeyId\":\"HIDDEN\"}"));
    expect_process(command, "Version is not 1");
    snprintf(command, sizeof(command), "cat %s",
             write_temp(folder, "old",
                        "{\"Version\":1,\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"HIDDEN\","
                        "\"Expiration\":\"2001-01-01T00:00:00Z\"}"));
    expect_process(command, "expired at 2001-01-01T00:00:00Z");
}
END_TEST

static atomic_bool stop_now;

static void *stop_soon(void *argument) {
    poll(NULL, 0, 200);
    atomic_store(&stop_now, true);
    return argument;
}

START_TEST(a_process_that_hangs_is_killed_when_asked_to_stop_or_too_late) {
    char **words, text[64];
    struct buf output;
    struct err err;
    pthread_t thread;
    buf_over(&output, text, sizeof(text));
    ck_assert_int_eq(process_split("sh -c 'sleep 1000; echo HIDDEN'", &words, &err), 0);
    ck_assert_int_eq(process_run(words, 200, NULL, &output, &err), -1);
    ck_assert_str_eq(err.text, "sh took too long and was killed");
    ck_assert_int_eq(err.kind, ERR_RETRY);
    process_free_words(words); /* the next closes its output and stays */
    ck_assert_int_eq(process_split("sh -c 'exec >&-; sleep 1000'", &words, &err), 0);
    ck_assert_int_eq(process_run(words, 200, NULL, &output, &err), -1);
    ck_assert_str_eq(err.text, "sh took too long and was killed");
    pthread_create(&thread, NULL, stop_soon, NULL);
    ck_assert_int_eq(process_run(words, 600000, &stop_now, &output, &err), -1);
    ck_assert_str_eq(err.text, "stopped");
    pthread_join(thread, NULL);
    process_free_words(words);
    ck_assert_int_eq(waitpid(-1, NULL, WNOHANG), -1);
    ck_assert_uint_eq(output.len, 0);
}
END_TEST

/* What the server's state says: good keys, or one of the ways to fail. */
enum {
    CONTAINER_GOOD,
    CONTAINER_FAILS_ONCE,
    CONTAINER_GARBAGE,
    CONTAINER_NO_EXPIRATION,
    CONTAINER_EXPIRED,
    CONTAINER_REFUSES,
    CONTAINER_NO_HIDDEN,
};

static int answer_container(struct server *server, const char *request, char *body, size_t size) {
    (void)request;
    switch (atomic_load(&server->state)) {
    case CONTAINER_FAILS_ONCE:
        atomic_store(&server->state, CONTAINER_GOOD);
        return 503;
    case CONTAINER_GARBAGE:
        snprintf(body, size, "{\"AccessKeyId\":\"HIDDEN");
        return 200;
    case CONTAINER_NO_EXPIRATION:
        snprintf(
            body, size,
            "{\"AccessKeyId\":\"ASIAC\",\"SecretAccessKey\":\"HIDDENX\",\"Token\":\"TOKENX\"}");
        return 200;
    case CONTAINER_EXPIRED:
        snprintf(body, size, KEYS_JSON("ASIAC", "2001-01-01T00:00:00Z"));
        return 200;
    case CONTAINER_REFUSES:
        snprintf(body, size, "HIDDEN");
        return 400;
    case CONTAINER_NO_HIDDEN:
        snprintf(body, size, "{\"AccessKeyId\":\"ASIAC\",\"Expiration\":\"" FUTURE "\"}");
        return 200;
    default:
        snprintf(body, size, KEYS_JSON("ASIAC", FUTURE));
        return 200;
    }
}

START_TEST(the_container_endpoint) {
    struct fixture fixture = {0};
    struct server server;
    server_start(&server, answer_container);
    server_name(&server, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/path?x=1");
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* nobody is there, and nobody is asked */
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "HIDDENPLAIN", 1);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "ASIAC", "TOKENX");
    expect_described(&fixture, "container endpoint (AWS_CONTAINER_CREDENTIALS_FULL_URI)");
    ck_assert(server_was_asked(&server, 0, "GET /path?x=1 HTTP/1.1\r\n"));
    ck_assert(server_was_asked(&server, 0, "Authorization: HIDDENPLAIN\r\n"));
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", write_temp(folder, "auth", "HIDDENONE"), 1);
    aws_credentials_distrust(fixture.credentials, "ASIAC");
    refresh_well(&fixture);
    ck_assert(server_was_asked(&server, 1, "Authorization: HIDDENONE\r\n"));
    close_all(&fixture);
    write_temp(folder, "auth", "HIDDENTWO");
    atomic_store(&server.state, CONTAINER_FAILS_ONCE);
    open_all(&fixture);
    refresh_well(&fixture);
    ck_assert(server_was_asked(&server, 3, "Authorization: HIDDENTWO\r\n"));
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

START_TEST(bad_answers_of_the_container_endpoint) {
    static const struct {
        int state;
        const char *text;
    } cases[] = {{CONTAINER_GARBAGE, "no good JSON"},
                 {CONTAINER_EXPIRED, "expired at 2001-01-01T00:00:00Z"},
                 {CONTAINER_REFUSES, "HTTP 400"},
                 {CONTAINER_NO_HIDDEN, "SecretAccessKey is missing"}};
    struct server server;
    server_start(&server, answer_container);
    server_name(&server, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct fixture fixture = {0};
        atomic_store(&server.state, cases[i].state);
        open_all(&fixture);
        ck_assert_int_eq(refresh(&fixture), -1);
        ck_assert_msg(strstr(fixture.err.text, cases[i].text) != NULL, "%s", fixture.err.text);
        ck_assert_ptr_null(strstr(fixture.err.text, "HIDDEN"));
        expect_none(&fixture, cases[i].text);
        close_all(&fixture);
    }
    struct fixture fixture = {0};
    struct aws_keys keys;
    atomic_store(&server.state, CONTAINER_NO_EXPIRATION);
    open_all(&fixture);
    refresh_well(&fixture);
    ck_assert_int_eq(aws_credentials_get(fixture.credentials, &keys, &fixture.err), 0);
    ck_assert(keys.expires_ms == INT64_MAX);
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

START_TEST(the_container_endpoint_must_be_near_and_its_token_one_line) {
    static const char *const far[] = {"http://example.com/",
                                      "http://169.254.169.254/",
                                      "http://127.0.0.1@example.com/",
                                      "http://localhost.evil.com/",
                                      "http://192.168.0.1/",
                                      "http://[fd00:ec2::24]/",
                                      "http://0.0.0.0/",
                                      "ftp://127.0.0.1/",
                                      "nonsense",
                                      "http://127.0.0.1\\@evil/"};
    struct server server;
    struct fixture fixture = {0};
    for (size_t i = 0; i < sizeof(far) / sizeof(far[0]); i++) {
        setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", far[i], 1);
        open_all(&fixture);
        refresh_badly(&fixture, "AWS_CONTAINER_CREDENTIALS_FULL_URI: ");
        ck_assert_int_eq(fixture.err.kind, ERR_CONFIG);
        close_all(&fixture);
    }
    server_start(&server, answer_container);
    server_name(&server, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", "HIDDEN\r\nHost: evil", 1);
    open_all(&fixture);
    refresh_badly(&fixture, "AWS_CONTAINER_AUTHORIZATION_TOKEN: ");
    close_all(&fixture);
    setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", write_temp(folder, "auth", "HIDDEN\nX: y"), 1);
    open_all(&fixture);
    refresh_badly(&fixture, "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE: ");
    close_all(&fixture);
    ck_assert_uint_eq(server_count(&server), 0);
    setenv("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "@evil.example/x", 1);
    open_all(&fixture);
    refresh_badly(&fixture, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI must begin with /");
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

enum {
    IMDS_GOOD,
    IMDS_V1,         /* no tokens */
    IMDS_SILENT_PUT, /* as where the hop limit is 1 */
    IMDS_SILENT,
    IMDS_NO_ROLE,
    IMDS_BAD_ROLE,
    IMDS_BAD_TOKEN,
    IMDS_EXPIRED,
    IMDS_FAILS,
    IMDS_BAD_REQUEST,
};

static int answer_put(int state, char *body, size_t size) {
    snprintf(body, size, state == IMDS_BAD_TOKEN ? "A\r\nHost: evil" : "METATOKEN");
    switch (state) {
    case IMDS_V1:
        return 404;
    case IMDS_SILENT_PUT:
    case IMDS_SILENT:
        return 0;
    case IMDS_BAD_REQUEST:
        return 400;
    default:
        return 200;
    }
}

static int answer_imds(struct server *server, const char *request, char *body, size_t size) {
    int state = atomic_load(&server->state);
    if (strncmp(request, "PUT /latest/api/token HTTP/1.1\r\n", 32) == 0) {
        return answer_put(state, body, size);
    }
    if (state == IMDS_SILENT || state == IMDS_FAILS) {
        return state == IMDS_SILENT ? 0 : 500;
    }
    if (strstr(request, "GET /latest/meta-data/iam/security-credentials/ ")) {
        snprintf(body, size, state == IMDS_BAD_ROLE ? "../../user-data" : "my-role\nother");
        return state == IMDS_NO_ROLE ? 404 : 200;
    }
    snprintf(body, size, "%s",
             state == IMDS_EXPIRED ? KEYS_JSON("ASIAOLD", "2001-01-01T00:00:00Z")
                                   : KEYS_JSON("ASIAI", FUTURE));
    return strstr(request, "GET /latest/meta-data/iam/security-credentials/my-role ") ? 200 : 404;
}

static void start_imds(struct server *server, int state) {
    server_start(server, answer_imds);
    atomic_store(&server->state, state);
    server_name(server, "AWS_EC2_METADATA_SERVICE_ENDPOINT", "/");
    setenv("AWS_EC2_METADATA_DISABLED", "false", 1);
    setenv("http_proxy", "http://127.0.0.1:1", 1); /* never asked */
}

START_TEST(the_instance_gives_keys_for_a_token) {
    struct fixture fixture = {0};
    struct server server;
    start_imds(&server, IMDS_GOOD);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "ASIAI", "TOKENX");
    expect_described(&fixture, "instance metadata, role my-role");
    ck_assert_uint_eq(server_count(&server), 3);
    ck_assert(server_was_asked(&server, 0, "x-aws-ec2-metadata-token-ttl-seconds: 21600\r\n"));
    ck_assert(server_was_asked(&server, 1, "x-aws-ec2-metadata-token: METATOKEN\r\n"));
    ck_assert(server_was_asked(&server, 2, "x-aws-ec2-metadata-token: METATOKEN\r\n"));
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

static void expect_imds(int state, const char *text) {
    struct fixture fixture = {0};
    struct server server;
    start_imds(&server, state);
    open_all(&fixture);
    if (text) {
        refresh_badly(&fixture, text);
    } else {
        refresh_well(&fixture);
        expect_keys(&fixture, "ASIAI", "TOKENX");
        ck_assert(!server_was_asked(&server, 1, "x-aws-ec2-metadata-token"));
    }
    close_all(&fixture);
    server_stop(&server);
}

START_TEST(an_instance_without_tokens_or_keys) {
    expect_imds(IMDS_V1, NULL);
    expect_imds(IMDS_SILENT_PUT, NULL);
    expect_imds(IMDS_SILENT, "instance metadata");
    expect_imds(IMDS_NO_ROLE, "no role is attached");
    expect_imds(IMDS_BAD_ROLE, "no good role name");
    expect_imds(IMDS_BAD_TOKEN, "malformed session token");
    expect_imds(IMDS_FAILS, "HTTP 500");
    expect_imds(IMDS_BAD_REQUEST, "HTTP 400");
    setenv("AWS_EC2_METADATA_V1_DISABLED", "true", 1);
    expect_imds(IMDS_V1, "AWS_EC2_METADATA_V1_DISABLED");
    expect_imds(IMDS_SILENT_PUT, "hop limit");
}
END_TEST

START_TEST(without_any_source_each_is_named) {
    struct fixture fixture = {0};
    open_all(&fixture);
    refresh_badly(&fixture, "AWS_EC2_METADATA_DISABLED");
    expect_none(&fixture, "AWS_ACCESS_KEY_ID is not set");
    expect_none(&fixture, "AWS profile default has no keys");
    expect_none(&fixture, "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set");
    close_all(&fixture);
}
END_TEST

START_TEST(a_hanging_instance_is_left_when_asked_to_stop) {
    struct fixture fixture = {0};
    struct server server;
    atomic_bool stopping = true;
    start_imds(&server, IMDS_SILENT);
    open_all(&fixture);
    ck_assert_int_eq(
        aws_credentials_refresh(fixture.credentials, &stopping, &fixture.pause_ms, &fixture.err),
        -1);
    ck_assert_ptr_nonnull(strstr(fixture.err.text, "stopped"));
    expect_none(&fixture, "not fetched yet");
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

/* Standard error into a file; returns what it was. */
static int catch_log(void) {
    int old = dup(STDERR_FILENO);
    int fd = open(write_temp(folder, "log", ""), O_WRONLY | O_APPEND);
    ck_assert_int_ge(dup2(fd, STDERR_FILENO), 0);
    close(fd);
    return old;
}

static size_t count_in_log(const char *text) {
    static char log[65536];
    char path[256];
    snprintf(path, sizeof(path), "%s/log", folder);
    FILE *file = fopen(path, "r");
    log[fread(log, 1, sizeof(log) - 1, file)] = '\0';
    fclose(file);
    ck_assert_ptr_null(strstr(log, "HIDDEN"));
    ck_assert_ptr_null(strstr(log, "TOKENX"));
    size_t count = 0;
    for (const char *p = log; (p = strstr(p, text)); p++) {
        count++;
    }
    return count;
}

START_TEST(expired_keys_stay_in_use_and_that_is_said_once) {
    struct fixture fixture = {0};
    struct server server;
    int old = catch_log();
    start_imds(&server, IMDS_EXPIRED); /* as AWS does in an outage */
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "ASIAOLD", "TOKENX");
    atomic_store(&server.state, IMDS_FAILS);
    for (int i = 0; i < 3; i++) {
        aws_credentials_distrust(fixture.credentials, "ASIAOLD");
        refresh(&fixture);
        expect_keys(&fixture, "ASIAOLD", "TOKENX");
    }
    ck_assert_uint_eq(count_in_log("expired at 2001-01-01T00:00:00Z and stay in use"), 1);
    ck_assert_uint_eq(count_in_log("renewed again"), 0);
    close_all(&fixture);
    server_stop(&server);
    dup2(old, STDERR_FILENO);
}
END_TEST

/* A process whose keys expire in two seconds, then fails, then works. */
static void write_short_lived(const char *id, int seconds) {
    char text[512], when[64];
    time_t until = time(NULL) + seconds;
    strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%SZ", gmtime(&until));
    snprintf(text, sizeof(text),
             "{\"Version\":1,\"AccessKeyId\":\"%s\",\"SecretAccessKey\":\"HIDDENX\","
             "\"Expiration\":\"%s\"}",
             id, when);
    write_temp(folder, "answer", text);
}

START_TEST(a_failing_renewal_keeps_the_keys_until_it_works_again) {
    struct fixture fixture = {0};
    char config[512];
    int old = catch_log();
    snprintf(config, sizeof(config), "[default]\ncredential_process = cat %s/answer\n", folder);
    use_files(config, "");
    write_short_lived("AKIA1", 2);
    open_all(&fixture);
    refresh_well(&fixture);
    expect_keys(&fixture, "AKIA1", "");
    write_temp(folder, "answer", "HIDDENGARBAGE");
    aws_credentials_distrust(fixture.credentials, "AKIA1");
    refresh_badly(&fixture, "no JSON object"); /* distrusted keys are fetched before their time */
    expect_keys(&fixture, "AKIA1", "");
    ck_assert_uint_eq(count_in_log("stay in use"), 0);
    poll(NULL, 0, 2100); /* until they have expired */
    refresh_badly(&fixture, "no JSON object");
    refresh_badly(&fixture, "no JSON object");
    expect_keys(&fixture, "AKIA1", "");
    ck_assert_uint_eq(count_in_log("stay in use"), 1);
    write_short_lived("AKIA2", 3600);
    refresh_well(&fixture);
    expect_keys(&fixture, "AKIA2", "");
    ck_assert_uint_eq(count_in_log("renewed again"), 1);
    ck_assert_uint_eq(count_in_log("stay in use"), 1);
    close_all(&fixture);
    dup2(old, STDERR_FILENO);
}
END_TEST

static void *use_keys(void *argument) {
    struct aws_credentials *credentials = argument;
    struct buf out;
    buf_init(&out, 4096);
    for (int i = 0; i < 500; i++) {
        struct aws_keys keys;
        struct err err;
        if (aws_credentials_get(credentials, &keys, &err) == 0) {
            ck_assert_str_eq(keys.secret, "HIDDENX");
            aws_credentials_distrust(credentials, keys.access_id);
        }
        buf_clear(&out);
        aws_credentials_describe(credentials, &out);
    }
    buf_done(&out);
    return NULL;
}

START_TEST(keys_are_used_while_they_are_renewed) {
    struct fixture fixture = {0};
    struct server server;
    pthread_t threads[4];
    server_start(&server, answer_container);
    server_name(&server, "AWS_CONTAINER_CREDENTIALS_FULL_URI", "/");
    open_all(&fixture);
    for (int i = 0; i < 4; i++) {
        pthread_create(&threads[i], NULL, use_keys, fixture.credentials);
    }
    for (int i = 0; i < 20; i++) {
        refresh(&fixture);
    }
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
    }
    close_all(&fixture);
    server_stop(&server);
}
END_TEST

START_TEST(pauses_after_keys) {
    const int64_t minute = 60000, now = 1000000 * minute;
    ck_assert(source_pause_after_keys(now, INT64_MAX, false) == INT64_MAX);
    ck_assert(source_pause_after_keys(now, INT64_MAX, true) == INT64_MAX);
    ck_assert_int_eq(source_pause_after_keys(now, now + 360 * minute, false), 345 * minute);
    ck_assert_int_eq(source_pause_after_keys(now, now + 60 * minute, false), 45 * minute);
    ck_assert_int_eq(source_pause_after_keys(now, now + 16 * minute, false), 12 * minute);
    ck_assert_int_eq(source_pause_after_keys(now, now + 60 * minute, true), minute);
    ck_assert_int_eq(source_pause_after_keys(now, now + 10, false), 5000);
    ck_assert_int_eq(source_pause_after_keys(now, now, false), 5 * minute);
    ck_assert_int_eq(source_pause_after_keys(now, 0, true), 5 * minute);
}
END_TEST

START_TEST(pauses_after_failures) {
    const int64_t minute = 60000, now = 1000000 * minute;
    int64_t last = 0;
    for (int failures = 1; failures < 100; failures++) {
        int64_t least = source_pause_after_failure(now, now + 14 * minute, failures, 0);
        int64_t most = source_pause_after_failure(now, now + 14 * minute, failures, UINT32_MAX);
        ck_assert_int_eq(most, 2 * least);
        ck_assert_int_ge(most, last);
        last = most;
    }
    ck_assert_int_eq(last, minute);
    ck_assert_int_eq(source_pause_after_failure(now, now + minute, 100, UINT32_MAX), 30000);
    ck_assert_int_eq(source_pause_after_failure(now, 0, 100, UINT32_MAX), 30000);
    ck_assert_int_eq(source_pause_after_failure(now, INT64_MAX, 100, UINT32_MAX), minute);
    ck_assert_int_eq(source_pause_after_failure(now, 0, 1, UINT32_MAX), 1000);
    ck_assert_int_eq(source_pause_after_failure(now, 0, 1, 0), 500);
    ck_assert_int_eq(source_pause_after_failure(now, 0, 0, 0), 500);
}
END_TEST

START_TEST(times_are_read) {
    static const struct {
        const char *text;
        int64_t ms; /* -1: none */
    } cases[] = {
        {"1970-01-01T00:00:00Z", 0},
        {"2026-08-22T03:00:29Z", 1787367629000},
        {"2026-08-22T03:00:29.5Z", 1787367629500},
        {"2026-08-22T03:00:29.123456789Z", 1787367629123},
        {"2026-08-22T05:00:29+02:00", 1787367629000},
        {"2026-08-22T01:30:29-0130", 1787367629000},
        {" 2026-08-22 03:00:29Z\n", 1787367629000},
        {"2024-02-29T00:00:00Z", 1709164800000},
        {"2023-02-29T00:00:00Z", -1},
        {"2026-13-01T00:00:00Z", -1},
        {"2026-00-01T00:00:00Z", -1},
        {"2026-08-22T24:00:00Z", -1},
        {"2026-08-22T03:00:29", -1},
        {"2026-08-22T03:00:29.Z", -1},
        {"2026-08-22T03:00:29+99:00", -1},
        {"2026-08-22T03:00:29Zx", -1},
        {"2026-08-22", -1},
        {"1787367629", -1},
        {"", -1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = -1;
        bool is_good = keys_parse_time(span_str(cases[i].text), &ms);
        ck_assert_msg(is_good == (cases[i].ms >= 0), "%s", cases[i].text);
        ck_assert_int_eq(ms, cases[i].ms);
    }
}
END_TEST

START_TEST(json_is_judged) {
    static const struct {
        enum keys_shape shape;
        struct span text;
        const char *error; /* NULL: fine */
    } cases[] = {
        {KEYS_OF_ENDPOINT, SPAN(KEYS_JSON("A", FUTURE)), NULL},
        {KEYS_OF_ENDPOINT, SPAN("{\"Code\":\"Failed\",\"Message\":\"HIDDEN\"}"), "Code is Failed"},
        {KEYS_OF_ENDPOINT, SPAN("{\"Code\":\"a b\\n\"}"), "Code is not Success"},
        {KEYS_OF_ENDPOINT, SPAN("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":12}"),
         "SecretAccessKey is missing"},
        {KEYS_OF_ENDPOINT, SPAN("{\"AccessKeyId\":\"A\\u000a\",\"SecretAccessKey\":\"S\"}"),
         "AccessKeyId has control characters"},
        {KEYS_OF_ENDPOINT,
         SPAN("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Expiration\":\"x\"}"),
         "Expiration is no time"},
        {KEYS_OF_ENDPOINT,
         SPAN("{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"S\",\"Expiration\":null,"
              "\"More\":{\"AccessKeyId\":[\"B\"]}}"),
         NULL},
        {KEYS_OF_PROCESS, SPAN(PROCESS_JSON("A")), NULL},
        {KEYS_OF_PROCESS, SPAN(PROCESS_JSON("A") "\n"), NULL},
        {KEYS_OF_PROCESS, SPAN(PROCESS_JSON("A") "{}"), "something behind"},
        {KEYS_OF_PROCESS, SPAN(KEYS_JSON("A", FUTURE)), "Version is not 1"},
        {KEYS_OF_PROCESS, SPAN("[]"), "no JSON object"},
        {KEYS_OF_PROCESS, SPAN(""), "no JSON object"},
        {KEYS_OF_PROCESS, SPAN("{\"Version\":1,\0}"), "no good JSON"},
        {KEYS_OF_PROCESS, SPAN("{\"Version\":1"), "no good JSON"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct aws_keys keys;
        struct err err = {ERR_NONE, 0, ""};
        char *copy = malloc(cases[i].text.len + 1);
        memcpy(copy, cases[i].text.p, cases[i].text.len);
        int result = keys_parse_json(copy, cases[i].text.len, cases[i].shape, &keys, &err);
        free(copy);
        ck_assert_msg(result == (cases[i].error ? -1 : 0), "%zu: %s", i, err.text);
        ck_assert_msg(!cases[i].error || strstr(err.text, cases[i].error), "%zu: %s", i, err.text);
        ck_assert_ptr_null(strstr(err.text, "HIDDEN"));
    }
}
END_TEST

START_TEST(parts_have_a_longest_length) {
    char text[AWS_SECRET_MAX + 1], out[AWS_SECRET_MAX];
    struct err err;
    memset(text, 's', sizeof(text));
    ck_assert_int_eq(keys_set_part(out, sizeof(out), span_of(text, AWS_SECRET_MAX - 1), "X", &err),
                     0);
    ck_assert_uint_eq(strlen(out), AWS_SECRET_MAX - 1);
    ck_assert_int_eq(keys_set_part(out, sizeof(out), span_of(text, AWS_SECRET_MAX), "X", &err), -1);
    ck_assert_str_eq(err.text, "X is longer than 255 bytes");
}
END_TEST

static void add_sources(TCase *sources) {
    tcase_add_test(sources, the_environment_comes_first);
    tcase_add_test(sources, an_incomplete_environment_is_refused);
    tcase_add_test(sources, sources_of_a_profile_come_in_order);
    tcase_add_test(sources, a_profile_that_cannot_work_is_refused_with_its_name);
    tcase_add_test(sources, a_role_that_cannot_work_is_refused);
    tcase_add_test(sources, a_long_way_of_profiles_is_refused);
    tcase_add_test(sources, roles_of_profiles_are_assumed_one_with_the_other);
    tcase_add_test(sources, roles_of_the_configuration_come_on_top);
    tcase_add_test(sources, base_keys_that_are_refused_are_fetched_anew);
    tcase_add_test(sources, what_sts_refuses_is_said);
    tcase_add_test(sources, a_wrong_clock_does_not_make_keys_look_expired);
    tcase_add_test(sources, web_identity_reads_its_token_each_time_and_signs_nothing);
    tcase_add_test(sources, web_identity_of_a_profile);
    tcase_add_test(sources, a_process_is_run_and_its_garbage_not_shown);
    tcase_add_test(sources, a_process_that_hangs_is_killed_when_asked_to_stop_or_too_late);
    tcase_add_test(sources, the_container_endpoint);
    tcase_add_test(sources, bad_answers_of_the_container_endpoint);
    tcase_add_test(sources, the_container_endpoint_must_be_near_and_its_token_one_line);
    tcase_add_test(sources, the_instance_gives_keys_for_a_token);
    tcase_add_test(sources, an_instance_without_tokens_or_keys);
    tcase_add_test(sources, without_any_source_each_is_named);
    tcase_add_test(sources, a_hanging_instance_is_left_when_asked_to_stop);
    tcase_add_test(sources, expired_keys_stay_in_use_and_that_is_said_once);
    tcase_add_test(sources, a_failing_renewal_keeps_the_keys_until_it_works_again);
    tcase_add_test(sources, keys_are_used_while_they_are_renewed);
}

int main(void) {
    Suite *suite = suite_create("credentials");
    TCase *pure = tcase_create("pure"), *sources = tcase_create("sources");
    tcase_add_test(pure, commands_are_cut_into_words);
    tcase_add_test(pure, pauses_after_keys);
    tcase_add_test(pure, pauses_after_failures);
    tcase_add_test(pure, times_are_read);
    tcase_add_test(pure, json_is_judged);
    tcase_add_test(pure, parts_have_a_longest_length);
    suite_add_tcase(suite, pure);
    tcase_add_checked_fixture(sources, make_folder, remove_folder);
    tcase_set_timeout(sources, 120);
    add_sources(sources);
    suite_add_tcase(suite, sources);
    return run_suite(suite);
}
