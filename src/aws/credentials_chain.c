/* SPDX-License-Identifier: Apache-2.0 */
/* Which source of keys it is, in the order of AWS' SDKs: the environment, a role of the profile,
   web identity, the profile's keys and credential_process, the container's endpoint, the instance.
   The first that is configured is the one; if it fails, no other takes its place, for that could be
   another account. Asks nobody: environment and files only. */
#include <stdlib.h>

#include "aws/credentials_source.h"
#include "base/num.h"
#include "base/xalloc.h"

enum { DURATION_MIN = 900, DURATION_MAX = 43200, SESSION_MIN = 2, SESSION_MAX = 64 };

/* The profiles that led here, so that none leads back. */
struct visit {
    const char *profile;
    const struct visit *before;
    int depth;
};

struct source *source_new(enum source_kind kind, const struct aws_profiles *profiles) {
    struct source *source = xcalloc(1, sizeof(*source));
    source->kind = kind;
    source->profiles = profiles;
    return source;
}

void source_free(struct source *source) {
    while (source) {
        struct source *base = source->base;
        char *texts[] = {source->profile,     source->command, source->program,   source->role,
                         source->external_id, source->session, source->token_file};
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
            free(texts[i]);
        }
        free(source->sts);
        explicit_bzero(source, sizeof(*source));
        free(source);
        source = base;
    }
}

static char *copy(const char *text) {
    return text ? xstrdup(text) : NULL;
}

static struct source *new_of_profile(enum source_kind kind, const struct aws_profiles *profiles,
                                     const char *profile) {
    struct source *source = source_new(kind, profiles);
    source->profile = copy(profile);
    return source;
}

/* A person must change what this profile says. */
static int refuse(const char *profile, const char *what, struct err *err) {
    return err_set(err, ERR_CONFIG, "AWS profile %s: %s", profile, what);
}

static bool is_session_name(const char *text) {
    size_t len = strlen(text);
    return len >= SESSION_MIN && len <= SESSION_MAX &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+=,.@-") ==
               len;
}

static bool is_role_arn(const char *text) {
    return strncmp(text, "arn:", 4) == 0 && strstr(text, ":role/") &&
           source_is_header(span_str(text));
}

static int check_role(const struct source *source, const char *origin, struct err *err) {
    if (!source->role || !is_role_arn(source->role)) {
        return err_set(err, ERR_CONFIG,
                       "%s: the role's ARN is missing or none; expected arn:aws:iam::ACCOUNT:role/"
                       "NAME",
                       origin);
    }
    if (source->session && !is_session_name(source->session)) {
        return err_set(err, ERR_CONFIG,
                       "%s: a session name has 2 to 64 letters, digits or characters of _+=,.@-",
                       origin);
    }
    return 0;
}

struct source *source_new_role(struct source *base, const struct aws_role *role, const char *origin,
                               struct err *err) {
    struct source *source = source_new(SOURCE_ROLE, base->profiles);
    source->base = base;
    source->role = copy(role->arn);
    source->external_id = copy(role->external_id);
    source->session = copy(role->session_name);
    if (check_role(source, origin, err) != 0) {
        source_free(source);
        return NULL;
    }
    return source;
}

static bool has_environment_keys(void) {
    return aws_environment("AWS_ACCESS_KEY_ID") != NULL;
}

static bool has_container(void) {
    return aws_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI") ||
           aws_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
}

int source_fetch_environment(struct aws_keys *keys, struct err *err) {
    const char *token = aws_environment("AWS_SESSION_TOKEN");
    const char *expiration = aws_environment("AWS_CREDENTIAL_EXPIRATION");
    token = token ? token : aws_environment("AWS_SECURITY_TOKEN");
    keys->token[0] = '\0';
    keys->expires_ms = INT64_MAX;
    int result = keys_set_part(keys->access_id, sizeof(keys->access_id),
                               span_str(getenv("AWS_ACCESS_KEY_ID")), "AWS_ACCESS_KEY_ID", err);
    if (result == 0) {
        result =
            keys_set_part(keys->secret, sizeof(keys->secret),
                          span_str(getenv("AWS_SECRET_ACCESS_KEY")), "AWS_SECRET_ACCESS_KEY", err);
    }
    if (result == 0 && token) {
        result = keys_set_part(keys->token, sizeof(keys->token), span_str(token),
                               "AWS_SESSION_TOKEN", err);
    }
    if (result == 0 && expiration && !keys_parse_time(span_str(expiration), &keys->expires_ms)) {
        result = err_set(err, ERR_CONFIG, "AWS_CREDENTIAL_EXPIRATION is no time of ISO 8601");
    }
    if (result != 0 && err) {
        err->kind = ERR_CONFIG;
    }
    return result;
}

static int set_profile_part(char *out, size_t size, const struct aws_profiles *profiles,
                            enum aws_profiles_file file, const char *profile, const char *key,
                            struct err *err) {
    struct span value = span_str(aws_profiles_get_from(profiles, file, profile, key));
    if (keys_set_part(out, size, value, key, err) != 0) {
        err_wrap(err, "AWS profile %s (%s)", profile, aws_profiles_file_name(profiles, file));
        if (err) {
            err->kind = ERR_CONFIG;
        }
        return -1;
    }
    return 0;
}

int source_fetch_profile(const struct aws_profiles *profiles, enum aws_profiles_file file,
                         const char *profile, struct aws_keys *keys, struct err *err) {
    static const char *const token_keys[] = {"aws_session_token", "aws_security_token"};
    keys->token[0] = '\0';
    keys->expires_ms = INT64_MAX;
    if (set_profile_part(keys->access_id, sizeof(keys->access_id), profiles, file, profile,
                         "aws_access_key_id", err) != 0 ||
        set_profile_part(keys->secret, sizeof(keys->secret), profiles, file, profile,
                         "aws_secret_access_key", err) != 0) {
        return -1;
    }
    for (size_t i = 0; i < 2 && keys->token[0] == '\0'; i++) {
        if (aws_profiles_get_from(profiles, file, profile, token_keys[i]) &&
            set_profile_part(keys->token, sizeof(keys->token), profiles, file, profile,
                             token_keys[i], err) != 0) {
            return -1;
        }
    }
    return 0;
}

/* The keys that stand in a file; *source NULL: none there. */
static int choose_keys(const struct aws_profiles *profiles, enum aws_profiles_file file,
                       const char *profile, struct source **source, struct err *err) {
    struct aws_keys keys;
    *source = NULL;
    if (!aws_profiles_get_from(profiles, file, profile, "aws_access_key_id")) {
        return 0;
    }
    int result = source_fetch_profile(profiles, file, profile, &keys, err);
    aws_keys_wipe(&keys);
    if (result == 0) {
        *source = new_of_profile(SOURCE_PROFILE, profiles, profile);
        (*source)->file = file;
    }
    return result;
}

static int choose_process(const struct aws_profiles *profiles, const char *profile,
                          struct source **source, struct err *err) {
    const char *command = aws_profiles_get(profiles, profile, "credential_process");
    char **words;
    if (!command) {
        return 0;
    }
    if (process_split(command, &words, err) != 0) {
        return err_wrap(err, "AWS profile %s", profile);
    }
    *source = new_of_profile(SOURCE_PROCESS, profiles, profile);
    (*source)->command = copy(command);
    (*source)->program = copy(words[0]);
    process_free_words(words);
    return 0;
}

/* The keys of a profile without a role: of the credentials file, a process, the config file. */
static int choose_plain(const struct aws_profiles *profiles, const char *profile,
                        struct source **source, struct err *err) {
    int result = choose_keys(profiles, AWS_FILE_CREDENTIALS, profile, source, err);
    if (result == 0 && !*source) {
        result = choose_process(profiles, profile, source, err);
    }
    if (result == 0 && !*source) {
        result = choose_keys(profiles, AWS_FILE_CONFIG, profile, source, err);
    }
    return result;
}

static int choose_environment(const struct aws_profiles *profiles, struct source **source,
                              struct err *err) {
    struct aws_keys keys;
    int result = source_fetch_environment(&keys, err);
    aws_keys_wipe(&keys);
    *source = result == 0 ? source_new(SOURCE_ENVIRONMENT, profiles) : NULL;
    return result;
}

/* The keys that credential_source names. */
static int choose_credential_source(const struct aws_profiles *profiles, const char *profile,
                                    const char *name, struct source **source, struct err *err) {
    if (strcmp(name, "Environment") == 0) {
        return choose_environment(profiles, source, err) == 0
                   ? 0
                   : err_wrap(err, "AWS profile %s: credential_source", profile);
    }
    if (strcmp(name, "EcsContainer") == 0) {
        *source = source_new(SOURCE_CONTAINER, profiles);
        return has_container() ? 0
                               : refuse(profile,
                                        "credential_source is EcsContainer, but "
                                        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set",
                                        err);
    }
    if (strcmp(name, "Ec2InstanceMetadata") == 0) {
        *source = source_new(SOURCE_METADATA, profiles);
        return 0;
    }
    return refuse(
        profile, "credential_source must be Environment, EcsContainer or Ec2InstanceMetadata", err);
}

static int choose_in_profile(const struct aws_profiles *profiles, const char *profile,
                             const struct visit *before, struct source **source, struct err *err);

/* A profile may name itself: then its own keys sign for its role. */
static int choose_own_keys(const struct aws_profiles *profiles, const char *profile,
                           struct source **source, struct err *err) {
    if (choose_plain(profiles, profile, source, err) != 0) {
        return -1;
    }
    return *source
               ? 0
               : refuse(profile, "source_profile names the profile itself, which has no keys", err);
}

static int choose_source_profile(const struct aws_profiles *profiles, const char *name,
                                 const struct visit *visit, struct source **source,
                                 struct err *err) {
    if (!aws_profiles_has(profiles, name)) {
        return err_set(err, ERR_CONFIG, "AWS profile %s: source_profile %s is in neither %s nor %s",
                       visit->profile, name, aws_profiles_file_name(profiles, AWS_FILE_CONFIG),
                       aws_profiles_file_name(profiles, AWS_FILE_CREDENTIALS));
    }
    if (strcmp(name, visit->profile) == 0) {
        return choose_own_keys(profiles, name, source, err);
    }
    for (const struct visit *v = visit; v; v = v->before) {
        if (strcmp(v->profile, name) == 0) {
            return err_set(err, ERR_CONFIG, "AWS profile %s: source_profile %s leads in a circle",
                           visit->profile, name);
        }
    }
    if (visit->depth >= SOURCE_ROLES_MAX) {
        return refuse(visit->profile, "more than 8 profiles lead to each other", err);
    }
    if (choose_in_profile(profiles, name, visit, source, err) != 0) {
        return -1;
    }
    return *source ? 0
                   : refuse(name, "it is a source_profile, but has no keys and no way to any", err);
}

static int parse_duration(const char *profile, const char *text, int *seconds, struct err *err) {
    uint64_t number = 0;
    *seconds = 0;
    if (!text) {
        return 0;
    }
    if (!num_parse_u64(span_str(text), DURATION_MAX, &number) || number < DURATION_MIN) {
        return refuse(profile, "duration_seconds must be from 900 to 43200", err);
    }
    *seconds = (int)number;
    return 0;
}

/* role_arn with source_profile or credential_source: who signs for the role. */
static int choose_base(const struct aws_profiles *profiles, const struct visit *visit,
                       struct source **base, struct err *err) {
    const char *profile = visit->profile;
    const char *from_profile = aws_profiles_get(profiles, profile, "source_profile");
    const char *from_source = aws_profiles_get(profiles, profile, "credential_source");
    if (!from_profile == !from_source) {
        return refuse(profile,
                      "role_arn needs either source_profile or credential_source, and not both",
                      err);
    }
    return from_profile ? choose_source_profile(profiles, from_profile, visit, base, err)
                        : choose_credential_source(profiles, profile, from_source, base, err);
}

static int choose_role(const struct aws_profiles *profiles, const struct visit *visit,
                       struct source **source, struct err *err) {
    const char *profile = visit->profile;
    struct source *base = NULL;
    int seconds;
    struct aws_role role = {
        .arn = aws_profiles_get(profiles, profile, "role_arn"),
        .external_id = aws_profiles_get(profiles, profile, "external_id"),
        .session_name = aws_profiles_get(profiles, profile, "role_session_name"),
    };
    if (aws_profiles_get(profiles, profile, "mfa_serial")) {
        return refuse(profile,
                      "mfa_serial asks for a one-time code, which cannot be given unattended; use "
                      "a role whose trust policy does not demand one",
                      err);
    }
    if (parse_duration(profile, aws_profiles_get(profiles, profile, "duration_seconds"), &seconds,
                       err) != 0) {
        return -1;
    }
    if (choose_base(profiles, visit, &base, err) != 0) {
        source_free(base);
        return -1;
    }
    char *origin = xasprintf("AWS profile %s", profile);
    *source = source_new_role(base, &role, origin, err);
    free(origin);
    if (!*source) {
        return -1;
    }
    (*source)->profile = copy(profile);
    (*source)->duration_seconds = seconds;
    return 0;
}

/* A value of the environment, but only for the profile in use itself, else of the profile. */
static const char *find_identity(const struct visit *visit, const struct aws_profiles *profiles,
                                 const char *variable, const char *key) {
    const char *value = visit->before ? NULL : aws_environment(variable);
    return value ? value : aws_profiles_get(profiles, visit->profile, key);
}

static int choose_web_identity(const struct aws_profiles *profiles, const struct visit *visit,
                               struct source **out, struct err *err) {
    const char *file =
        find_identity(visit, profiles, "AWS_WEB_IDENTITY_TOKEN_FILE", "web_identity_token_file");
    if (!file) {
        return 0;
    }
    struct source *source = source_new(SOURCE_WEB_IDENTITY, profiles);
    source->token_file = copy(file);
    source->role = copy(find_identity(visit, profiles, "AWS_ROLE_ARN", "role_arn"));
    source->session =
        copy(find_identity(visit, profiles, "AWS_ROLE_SESSION_NAME", "role_session_name"));
    if (check_role(source, "web identity (AWS_ROLE_ARN, AWS_ROLE_SESSION_NAME or the AWS profile)",
                   err) != 0) {
        source_free(source);
        return -1;
    }
    *out = source;
    return 0;
}

/* Ways to sign in that need a browser and the cache of another tool. */
static int refuse_sign_in(const struct aws_profiles *profiles, const char *profile,
                          struct err *err) {
    static const char *const keys[] = {"sso_session", "sso_start_url", "sso_account_id",
                                       "login_session"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        if (aws_profiles_get(profiles, profile, keys[i])) {
            return err_set(err, ERR_CONFIG,
                           "AWS profile %s: %s (signing in by a person) is not supported; use an "
                           "instance or container role, role_arn, or credential_process = aws "
                           "configure export-credentials --profile %s --format process in another "
                           "profile",
                           profile, keys[i], profile);
        }
    }
    return 0;
}

/* What one profile says. *source NULL: nothing. */
static int choose_in_profile(const struct aws_profiles *profiles, const char *profile,
                             const struct visit *before, struct source **source, struct err *err) {
    struct visit visit = {profile, before, before ? before->depth + 1 : 1};
    *source = NULL;
    if (aws_profiles_get(profiles, profile, "role_arn") &&
        !aws_profiles_get(profiles, profile, "web_identity_token_file")) {
        bool is_for_environment = !before && aws_environment("AWS_WEB_IDENTITY_TOKEN_FILE") &&
                                  !aws_profiles_get(profiles, profile, "source_profile") &&
                                  !aws_profiles_get(profiles, profile, "credential_source");
        if (!is_for_environment) {
            return choose_role(profiles, &visit, source, err);
        }
    }
    int result = choose_web_identity(profiles, &visit, source, err);
    if (result == 0 && !*source) {
        result = choose_plain(profiles, profile, source, err);
    }
    if (result == 0 && !*source) {
        result = refuse_sign_in(profiles, profile, err);
    }
    return result;
}

static char *say_passed_over(const struct aws_profiles *profiles, const char *profile,
                             bool is_container) {
    return xasprintf("AWS_ACCESS_KEY_ID is not set; AWS profile %s has no keys, role or "
                     "credential_process in %s or %s; AWS_WEB_IDENTITY_TOKEN_FILE is not set%s",
                     profile, aws_profiles_file_name(profiles, AWS_FILE_CONFIG),
                     aws_profiles_file_name(profiles, AWS_FILE_CREDENTIALS),
                     is_container ? "" : "; AWS_CONTAINER_CREDENTIALS_RELATIVE_URI is not set");
}

int source_choose(const struct aws_profiles *profiles, struct source **source, char **passed_over,
                  struct err *err) {
    const char *profile = aws_profiles_current(profiles);
    bool is_named = aws_environment("AWS_PROFILE") || aws_environment("AWS_DEFAULT_PROFILE");
    *passed_over = NULL;
    *source = NULL;
    if (is_named && !aws_profiles_has(profiles, profile)) {
        return err_set(err, ERR_CONFIG, "AWS profile %s (AWS_PROFILE) is in neither %s nor %s",
                       profile, aws_profiles_file_name(profiles, AWS_FILE_CONFIG),
                       aws_profiles_file_name(profiles, AWS_FILE_CREDENTIALS));
    }
    if (has_environment_keys()) {
        return choose_environment(profiles, source, err);
    }
    if (choose_in_profile(profiles, profile, NULL, source, err) != 0 || *source) {
        return *source ? 0 : -1;
    }
    bool is_container = has_container();
    *passed_over = say_passed_over(profiles, profile, is_container);
    *source = source_new(is_container ? SOURCE_CONTAINER : SOURCE_METADATA, profiles);
    return 0;
}
