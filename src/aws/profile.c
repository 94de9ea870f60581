/* SPDX-License-Identifier: Apache-2.0 */
/* See profile.h. What both files say is kept as one list of values, in their order: profiles have a
   few keys and are looked up at start, so nothing faster is needed. */
#include "aws/profile.h"

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "aws/ini.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/xalloc.h"

enum { PROFILE_FILE_MAX = 1 << 20, HOME_TEXT_MAX = 16384 };

/* A value, or the head of a section (no key). */
struct entry {
    char *section, *key, *value;
};

struct entries {
    struct entry *all;
    size_t count, room;
    char *name; /* of the file */
};

struct aws_profiles {
    struct entries files[AWS_FILE_COUNT];
    char *current;
    bool are_files;
};

const char *aws_environment(const char *variable) {
    const char *value = getenv(variable);
    return value && *value ? value : NULL;
}

static char *copy_or_null(struct span text) {
    return text.len > 0 ? xstrdup_span(text) : NULL;
}

static void take_line(void *context, const struct ini_line *line) {
    struct entries *entries = context;
    if (entries->count == entries->room) {
        entries->room = entries->room ? 2 * entries->room : 64;
        entries->all = xreallocarray(entries->all, entries->room, sizeof(*entries->all));
    }
    entries->all[entries->count++] = (struct entry){.section = xstrdup_span(line->section),
                                                    .key = copy_or_null(line->key),
                                                    .value = xstrdup_span(line->value)};
}

/* Values may be secrets. */
static void free_entries(struct entries *entries) {
    for (size_t i = 0; i < entries->count; i++) {
        struct entry *entry = &entries->all[i];
        explicit_bzero(entry->value, strlen(entry->value));
        free(entry->section);
        free(entry->key);
        free(entry->value);
    }
    free(entries->all);
    free(entries->name);
}

void aws_profiles_free(struct aws_profiles *profiles) {
    if (profiles) {
        for (size_t i = 0; i < AWS_FILE_COUNT; i++) {
            free_entries(&profiles->files[i]);
        }
        free(profiles->current);
        free(profiles);
    }
}

static const char *name_of_current(void) {
    const char *name = aws_environment("AWS_PROFILE");
    name = name ? name : aws_environment("AWS_DEFAULT_PROFILE");
    return name ? name : "default";
}

int aws_profiles_parse(struct span config, const char *config_name, struct span credentials,
                       const char *credentials_name, struct aws_profiles **out, struct err *err) {
    struct aws_profiles *profiles = xcalloc(1, sizeof(*profiles));
    struct entries *files = profiles->files;
    profiles->current = xstrdup(name_of_current());
    files[AWS_FILE_CONFIG].name = xstrdup(config_name);
    files[AWS_FILE_CREDENTIALS].name = xstrdup(credentials_name);
    if (ini_parse(config, config_name, take_line, &files[AWS_FILE_CONFIG], err) != 0 ||
        ini_parse(credentials, credentials_name, take_line, &files[AWS_FILE_CREDENTIALS], err) !=
            0) {
        aws_profiles_free(profiles);
        return -1;
    }
    *out = profiles;
    return 0;
}

/* The home directory: HOME, else what the system says of the user; NULL: none. */
static char *find_home(void) {
    const char *home = aws_environment("HOME");
    char text[HOME_TEXT_MAX];
    struct passwd entry, *found = NULL;
    if (!home && getpwuid_r(getuid(), &entry, text, sizeof(text), &found) == 0 && found) {
        home = found->pw_dir;
    }
    return home ? xstrdup(home) : NULL;
}

/* The path of a file: from the environment, with ~ for the home directory, else the usual one. */
static char *find_path(const char *variable, const char *usual, bool *is_named) {
    const char *named = aws_environment(variable);
    char *home = find_home(), *path;
    *is_named = named != NULL;
    if (named && (strncmp(named, "~/", 2) != 0 || !home)) {
        path = xstrdup(named);
    } else {
        path = home ? xasprintf("%s/%s", home, named ? named + 2 : usual) : NULL;
    }
    free(home);
    return path;
}

/* A file that is not there is an empty one; so is one of a home directory that is closed to us,
   which is how service managers hide homes from daemons. */
static bool is_missing(const char *path, bool is_named) {
    struct stat st;
    return stat(path, &st) != 0 &&
           (errno == ENOENT || errno == ENOTDIR || (errno == EACCES && !is_named));
}

/* Reads a file, if there is one, to the end of `text`. */
static int read_file(const char *path, bool is_named, struct buf *text, struct err *err) {
    if (!path || is_missing(path, is_named) || file_read(path, text, err) == 0) {
        return 0;
    }
    err->kind = ERR_CONFIG;
    return -1;
}

int aws_profiles_load(struct aws_profiles **profiles, struct err *err) {
    struct buf config, credentials;
    struct err unheard;
    bool is_config_named, is_credentials_named;
    char *config_path = find_path("AWS_CONFIG_FILE", ".aws/config", &is_config_named);
    char *credentials_path =
        find_path("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials", &is_credentials_named);
    err = err ? err : &unheard;
    buf_init(&config, PROFILE_FILE_MAX);
    buf_init(&credentials, PROFILE_FILE_MAX);
    int result = read_file(config_path, is_config_named, &config, err);
    if (result == 0) {
        result = read_file(credentials_path, is_credentials_named, &credentials, err);
    }
    if (result == 0) {
        result = aws_profiles_parse(
            buf_span(&config), config_path ? config_path : "~/.aws/config", buf_span(&credentials),
            credentials_path ? credentials_path : "~/.aws/credentials", profiles, err);
    }
    if (result == 0) {
        (*profiles)->are_files = true;
    }
    if (config.cap > 0) {
        explicit_bzero(config.data, config.cap);
    }
    if (credentials.cap > 0) {
        explicit_bzero(credentials.data, credentials.cap);
    }
    buf_done(&config);
    buf_done(&credentials);
    free(config_path);
    free(credentials_path);
    return result;
}

bool aws_profiles_are_files(const struct aws_profiles *profiles) {
    return profiles->are_files;
}

const char *aws_profiles_current(const struct aws_profiles *profiles) {
    return profiles->current;
}

const char *aws_profiles_file_name(const struct aws_profiles *profiles,
                                   enum aws_profiles_file file) {
    return profiles->files[file].name;
}

/* Whether a section's name is `kind` and `name`, with one blank between; a kind of "": the name
   alone. */
static bool is_section(const char *section, const char *kind, const char *name) {
    size_t len = strlen(kind);
    if (len > 0 && (strncmp(section, kind, len) != 0 || section[len] != ' ')) {
        return false;
    }
    return strcmp(section + (len > 0 ? len + 1 : 0), name) == 0;
}

static bool has_section(const struct entries *entries, const char *kind, const char *name) {
    for (size_t i = 0; i < entries->count; i++) {
        if (is_section(entries->all[i].section, kind, name)) {
            return true;
        }
    }
    return false;
}

/* The last value of a key counts, also when its section is there several times. */
static const char *find_value(const struct entries *entries, const char *kind, const char *name,
                              const char *key) {
    for (size_t i = entries->count; i-- > 0;) {
        const struct entry *entry = &entries->all[i];
        if (entry->key && strcmp(entry->key, key) == 0 && is_section(entry->section, kind, name)) {
            return entry->value;
        }
    }
    return NULL;
}

/* What a profile's section begins with: the config file says [profile NAME], but for the default
   profile, which may do so and then leaves [default] without effect. */
static const char *kind_of_profile(const struct aws_profiles *profiles, enum aws_profiles_file file,
                                   const char *profile) {
    bool is_bare =
        file == AWS_FILE_CREDENTIALS || (strcmp(profile, "default") == 0 &&
                                         !has_section(&profiles->files[file], "profile", profile));
    return is_bare ? "" : "profile";
}

bool aws_profiles_has(const struct aws_profiles *profiles, const char *profile) {
    for (int file = 0; file < AWS_FILE_COUNT; file++) {
        if (has_section(&profiles->files[file], kind_of_profile(profiles, file, profile),
                        profile)) {
            return true;
        }
    }
    return false;
}

const char *aws_profiles_get_from(const struct aws_profiles *profiles, enum aws_profiles_file file,
                                  const char *profile, const char *key) {
    const char *value =
        find_value(&profiles->files[file], kind_of_profile(profiles, file, profile), profile, key);
    return value && *value ? value : NULL;
}

const char *aws_profiles_get(const struct aws_profiles *profiles, const char *profile,
                             const char *key) {
    const char *value = aws_profiles_get_from(profiles, AWS_FILE_CREDENTIALS, profile, key);
    return value ? value : aws_profiles_get_from(profiles, AWS_FILE_CONFIG, profile, key);
}

const char *aws_profiles_service(const struct aws_profiles *profiles, const char *services,
                                 const char *service, const char *key) {
    char path[INI_NAME_MAX];
    int len = snprintf(path, sizeof(path), "%s.%s", service, key);
    const char *value = NULL;
    if (len > 0 && (size_t)len < sizeof(path)) {
        value = find_value(&profiles->files[AWS_FILE_CONFIG], "services", services, path);
    }
    return value && *value ? value : NULL;
}

int aws_profiles_switch(const struct aws_profiles *profiles, const char *variable, const char *key,
                        bool *is_on, struct err *err) {
    const char *name = variable, *value = aws_environment(variable);
    if (!value && key) {
        name = key;
        value = aws_profiles_get(profiles, profiles->current, key);
    }
    *is_on = value && strcasecmp(value, "true") == 0;
    if (value && !*is_on && strcasecmp(value, "false") != 0) {
        return err_set(err, ERR_CONFIG, "%s%s%s must be true or false", name,
                       name == key ? " of the AWS profile " : "",
                       name == key ? profiles->current : "");
    }
    return 0;
}

const char *aws_ca_file(const struct aws_profiles *profiles, const char *setting) {
    const char *file = setting ? setting : aws_environment("AWS_CA_BUNDLE");
    return file ? file : aws_profiles_get(profiles, profiles->current, "ca_bundle");
}
