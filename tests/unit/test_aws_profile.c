/* SPDX-License-Identifier: Apache-2.0 */
#include "aws/profile.h"

#include <sys/stat.h>

#include "aws/ini.h"
#include "aws_server.h"
#include "base/file.h"
#include "unit.h"

static struct aws_profiles *parse(const char *config, const char *credentials) {
    struct aws_profiles *profiles = NULL;
    struct err err = {ERR_NONE, 0, ""};
    int result = aws_profiles_parse(span_str(config), "config", span_str(credentials),
                                    "credentials", &profiles, &err);
    ck_assert_msg(result == 0, "%s", err.text);
    return profiles;
}

START_TEST(profiles_of_both_files_are_one) {
    struct aws_profiles *profiles =
        parse("[default]\nregion = eu-west-1\n[profile prod]\nregion=us-east-1\nOUTPUT = json\n"
              "aws_access_key_id = FROMCONFIG\n[prod2]\nregion = no\n",
              "[prod]\naws_access_key_id = AKIAPROD\n[other]\naws_access_key_id=AKIAOTHER\n");
    ck_assert_str_eq(aws_profiles_get(profiles, "default", "region"), "eu-west-1");
    ck_assert_str_eq(aws_profiles_get(profiles, "prod", "region"), "us-east-1");
    ck_assert_str_eq(aws_profiles_get(profiles, "prod", "output"), "json");
    ck_assert_str_eq(aws_profiles_get(profiles, "prod", "aws_access_key_id"), "AKIAPROD");
    ck_assert_str_eq(aws_profiles_get_from(profiles, AWS_FILE_CONFIG, "prod", "aws_access_key_id"),
                     "FROMCONFIG");
    ck_assert(aws_profiles_has(profiles, "other"));
    ck_assert(!aws_profiles_has(profiles, "prod2")); /* of the config file: needs "profile" */
    ck_assert(!aws_profiles_has(profiles, "profile prod"));
    ck_assert_ptr_null(aws_profiles_get(profiles, "other", "region"));
    ck_assert(!aws_profiles_are_files(profiles));
    aws_profiles_free(profiles);
}
END_TEST

START_TEST(the_shape_of_lines) {
    struct aws_profiles *profiles = parse(
        "\xEF\xBB\xBF# a comment\r\n; another\r\n  [ profile   'my  prod' ]  # why\r\n"
        "  region = eu-west-1 # Ireland\r\n  key=a#b ;c\r\nempty =\r\ncolon: d=e\r\n"
        "s3 =\r\n  max = 10\r\n\taddressing = path\r\nlast = 1\r\n[profile default]\nregion = x\n"
        "[default]\nregion = y\nonly = z\n[profile again]\na = 1\n[profile again]\na = 2\nb = 3",
        "");
    ck_assert_str_eq(aws_profiles_get(profiles, "my  prod", "region"), "eu-west-1");
    ck_assert_str_eq(aws_profiles_get(profiles, "my  prod", "key"), "a#b");
    ck_assert_ptr_null(aws_profiles_get(profiles, "my  prod", "empty"));
    ck_assert_str_eq(aws_profiles_get(profiles, "my  prod", "colon"), "d=e");
    ck_assert_str_eq(aws_profiles_get(profiles, "my  prod", "s3.max"), "10");
    ck_assert_str_eq(aws_profiles_get(profiles, "my  prod", "s3.addressing"), "path");
    ck_assert_str_eq(aws_profiles_get(profiles, "my  prod", "last"), "1");
    ck_assert_str_eq(aws_profiles_get(profiles, "default", "region"), "x");
    ck_assert_ptr_null(aws_profiles_get(profiles, "default", "only"));
    ck_assert_str_eq(aws_profiles_get(profiles, "again", "a"), "2");
    ck_assert_str_eq(aws_profiles_get(profiles, "again", "b"), "3");
    aws_profiles_free(profiles);
}
END_TEST

START_TEST(services_sections_are_looked_up) {
    struct aws_profiles *profiles =
        parse("[services local]\nkinesis =\n  endpoint_url = http://localhost:4567\n"
              "dynamodb =\n  endpoint_url=http://localhost:4568\n[profile x]\nservices = local\n",
              "");
    ck_assert_str_eq(aws_profiles_service(profiles, "local", "kinesis", "endpoint_url"),
                     "http://localhost:4567");
    ck_assert_str_eq(aws_profiles_service(profiles, "local", "dynamodb", "endpoint_url"),
                     "http://localhost:4568");
    ck_assert_ptr_null(aws_profiles_service(profiles, "local", "sts", "endpoint_url"));
    ck_assert_ptr_null(aws_profiles_service(profiles, "other", "kinesis", "endpoint_url"));
    aws_profiles_free(profiles);
}
END_TEST

START_TEST(errors_name_file_and_line_and_no_secret) {
    static const struct {
        struct span text;
        const char *place;
    } cases[] = {
        {SPAN("[default]\naws_secret_access_key SECRET\n"), "credentials:2: "},
        {SPAN("x = SECRET\n"), "credentials:1: "},
        {SPAN("\n\n[default\nx = SECRET"), "credentials:3: "},
        {SPAN("[default]SECRET\n"), "credentials:1: "},
        {SPAN("[]\n"), "credentials:1: "},
        {SPAN("[a]\nx = SECRET\0\n"), "credentials:2: "},
        {SPAN("[a]\nx = 1\n  y = SECRET\n"), "credentials:3: "},
        {SPAN("[a]\nx =\n  SECRET\n"), "credentials:3: "},
        {SPAN("[a]\n= SECRET\n"), "credentials:2: "},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct aws_profiles *profiles = NULL;
        struct err err;
        ck_assert_int_eq(
            aws_profiles_parse(SPAN(""), "config", cases[i].text, "credentials", &profiles, &err),
            -1);
        ck_assert_int_eq(err.kind, ERR_CONFIG);
        ck_assert_msg(strncmp(err.text, cases[i].place, strlen(cases[i].place)) == 0, "%s",
                      err.text);
        ck_assert_ptr_null(strstr(err.text, "SECRET"));
    }
}
END_TEST

START_TEST(long_names_are_refused) {
    enum { LONG = 4096 };
    static const char *const shapes[] = {"[%s]\n", "[a]\n%s = 1\n", "[a]\nx =\n  %s = 1\n"};
    char name[LONG + 1], text[LONG + 64];
    memset(name, 'n', LONG);
    name[LONG] = '\0';
    for (size_t i = 0; i < 3; i++) {
        struct aws_profiles *profiles = NULL;
        struct err err;
        snprintf(text, sizeof(text), shapes[i], name);
        ck_assert_int_eq(
            aws_profiles_parse(span_str(text), "config", SPAN(""), "c", &profiles, &err), -1);
        ck_assert_int_eq(err.kind, ERR_CONFIG);
    }
}
END_TEST

static char folder[64];

static void make_folder(void) {
    clear_environment();
    snprintf(folder, sizeof(folder), "/tmp/flowgelf-profile-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
}

static void remove_folder(void) {
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", folder);
    ck_assert_int_eq(system(command), 0);
}

START_TEST(files_are_found) {
    struct aws_profiles *profiles;
    struct err err;
    char home_file[256];
    unsetenv("AWS_CONFIG_FILE");
    unsetenv("AWS_SHARED_CREDENTIALS_FILE");
    setenv("HOME", folder, 1);
    ck_assert_int_eq(aws_profiles_load(&profiles, &err), 0); /* none there */
    ck_assert_str_eq(aws_profiles_current(profiles), "default");
    ck_assert(!aws_profiles_has(profiles, "default"));
    aws_profiles_free(profiles);
    snprintf(home_file, sizeof(home_file), "%s/.aws", folder);
    ck_assert_int_eq(mkdir(home_file, 0700), 0);
    write_temp(folder, ".aws/config", "[default]\nregion = eu-north-1\n");
    write_temp(folder, ".aws/credentials", "[default]\naws_access_key_id = AKIA1\n");
    setenv("AWS_DEFAULT_PROFILE", "second", 1);
    ck_assert_int_eq(aws_profiles_load(&profiles, &err), 0);
    ck_assert_str_eq(aws_profiles_current(profiles), "second");
    ck_assert_str_eq(aws_profiles_get(profiles, "default", "region"), "eu-north-1");
    ck_assert_str_eq(aws_profiles_get(profiles, "default", "aws_access_key_id"), "AKIA1");
    ck_assert(aws_profiles_are_files(profiles));
    aws_profiles_free(profiles);
    setenv("AWS_PROFILE", "first", 1);
    write_temp(folder, "own", "[profile first]\nregion = r\n");
    setenv("AWS_CONFIG_FILE", "~/own", 1);
    ck_assert_int_eq(aws_profiles_load(&profiles, &err), 0);
    ck_assert_str_eq(aws_profiles_current(profiles), "first");
    ck_assert_str_eq(aws_profiles_get(profiles, "first", "region"), "r");
    aws_profiles_free(profiles);
}
END_TEST

START_TEST(files_too_large_or_unreadable_are_errors) {
    enum { SIZE = (1 << 20) + 100 };
    struct aws_profiles *profiles;
    struct err err;
    char *text = malloc(SIZE + 1);
    memset(text, '#', SIZE);
    text[SIZE] = '\0';
    setenv("AWS_SHARED_CREDENTIALS_FILE", write_temp(folder, "large", text), 1);
    free(text);
    ck_assert_int_eq(aws_profiles_load(&profiles, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, "large"));
    setenv("AWS_SHARED_CREDENTIALS_FILE", folder, 1); /* a directory */
    ck_assert_int_eq(aws_profiles_load(&profiles, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_ptr_nonnull(strstr(err.text, folder));
}
END_TEST

START_TEST(switches_are_true_or_false) {
    struct aws_profiles *profiles = parse("[default]\nuse_x = TRUE\nuse_y = yes\n", "");
    struct err err;
    bool is_on = true;
    ck_assert_int_eq(aws_profiles_switch(profiles, "AWS_TEST_X", "none", &is_on, &err), 0);
    ck_assert(!is_on);
    ck_assert_int_eq(aws_profiles_switch(profiles, "AWS_TEST_X", "use_x", &is_on, &err), 0);
    ck_assert(is_on);
    ck_assert_int_eq(aws_profiles_switch(profiles, "AWS_TEST_X", "use_y", &is_on, &err), -1);
    ck_assert_str_eq(err.text, "use_y of the AWS profile default must be true or false");
    setenv("AWS_TEST_X", "False", 1);
    ck_assert_int_eq(aws_profiles_switch(profiles, "AWS_TEST_X", "use_x", &is_on, &err), 0);
    ck_assert(!is_on);
    setenv("AWS_TEST_X", "1", 1);
    ck_assert_int_eq(aws_profiles_switch(profiles, "AWS_TEST_X", "use_x", &is_on, &err), -1);
    ck_assert_str_eq(err.text, "AWS_TEST_X must be true or false");
    aws_profiles_free(profiles);
}
END_TEST

START_TEST(authorities_come_from_setting_environment_profile) {
    struct aws_profiles *profiles = parse("[default]\nca_bundle = /p.pem\n", "");
    ck_assert_str_eq(aws_ca_file(profiles, NULL), "/p.pem");
    setenv("AWS_CA_BUNDLE", "/e.pem", 1);
    ck_assert_str_eq(aws_ca_file(profiles, NULL), "/e.pem");
    ck_assert_str_eq(aws_ca_file(profiles, "/s.pem"), "/s.pem");
    aws_profiles_free(profiles);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("aws_profile");
    TCase *texts = tcase_create("texts"), *files = tcase_create("files");
    tcase_add_checked_fixture(texts, clear_environment, NULL);
    tcase_add_test(texts, profiles_of_both_files_are_one);
    tcase_add_test(texts, the_shape_of_lines);
    tcase_add_test(texts, services_sections_are_looked_up);
    tcase_add_test(texts, errors_name_file_and_line_and_no_secret);
    tcase_add_test(texts, long_names_are_refused);
    tcase_add_test(texts, switches_are_true_or_false);
    tcase_add_test(texts, authorities_come_from_setting_environment_profile);
    suite_add_tcase(suite, texts);
    tcase_add_checked_fixture(files, make_folder, remove_folder);
    tcase_add_test(files, files_are_found);
    tcase_add_test(files, files_too_large_or_unreadable_are_errors);
    suite_add_tcase(suite, files);
    return run_suite(suite);
}
