/* SPDX-License-Identifier: Apache-2.0 */
/* See credentials.h. The tree of sources belongs to whoever refreshes; what the others see (keys,
   description, last error) is a copy under a lock, swapped in when a fetch succeeded. */
#include "aws/credentials.h"

#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "aws/credentials_source.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/xalloc.h"

enum {
    LOOK_AGAIN_MS = 60 * 1000, /* the longest pause: clocks jump */
    FORCED_MS = 5000,          /* between fetches that refused keys ask for */
    DESCRIPTION_MAX = 4096,
    TIME_SIZE = 32,
};

struct aws_credentials {
    const struct aws_profiles *profiles;
    struct aws_credentials_conf conf;
    struct source *top;
    char *passed_over; /* why sources before this one were not chosen; NULL: nothing to say */
    int failures;      /* in a row */
    bool is_stale_said;
    int64_t forced_ms; /* monotonic: the last keys that came because others were refused; 0: none */

    pthread_mutex_t lock; /* of all below */
    bool has_keys, is_distrusted;
    struct aws_keys keys;
    char *description;
    struct err last;
};

static void describe_role(const struct source *source, struct buf *out) {
    buf_printf(out, "role %s", source->role);
    if (source->kind == SOURCE_WEB_IDENTITY) {
        buf_printf(out, " by web identity (%s)", source->token_file);
    } else if (source->profile) {
        buf_printf(out, " of profile %s", source->profile);
    }
}

static void describe_one(const struct source *source, struct buf *out) {
    switch (source->kind) {
    case SOURCE_ENVIRONMENT:
        buf_add(out, SPAN("environment (AWS_ACCESS_KEY_ID)"));
        break;
    case SOURCE_PROFILE:
        buf_printf(out, "profile %s (%s)", source->profile,
                   aws_profiles_file_name(source->profiles, source->file));
        break;
    case SOURCE_PROCESS:
        buf_printf(out, "credential_process of profile %s (%s)", source->profile, source->program);
        break;
    case SOURCE_CONTAINER:
        buf_printf(out, "container endpoint (%s)",
                   aws_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")
                       ? "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"
                       : "AWS_CONTAINER_CREDENTIALS_FULL_URI");
        break;
    case SOURCE_METADATA:
        buf_printf(out, "instance metadata%s%s", source->detail[0] ? ", " : "", source->detail);
        break;
    case SOURCE_WEB_IDENTITY:
    case SOURCE_ROLE:
        describe_role(source, out);
        break;
    }
}

/* From the source at the bottom to the one at the top. */
static void describe(const struct source *source, struct buf *out) {
    if (source->base) {
        describe(source->base, out);
        buf_add(out, SPAN(", then "));
    }
    describe_one(source, out);
}

static char *new_description(const struct source *source) {
    struct buf text;
    buf_init(&text, DESCRIPTION_MAX);
    describe(source, &text);
    char *copy = xstrdup_span(buf_span(&text));
    buf_done(&text);
    return copy;
}

/* The roles of our own configuration, on top of what the chain gives. */
static int add_roles(struct aws_credentials *credentials, struct err *err) {
    for (size_t i = 0; i < credentials->conf.role_count && credentials->top; i++) {
        credentials->top =
            source_new_role(credentials->top, &credentials->conf.roles[i], "assume_role", err);
    }
    return credentials->top ? 0 : -1;
}

int aws_credentials_open(const struct aws_credentials_conf *conf, const struct aws_profiles *files,
                         struct aws_credentials **out, struct err *err) {
    struct aws_credentials *credentials = xcalloc(1, sizeof(*credentials));
    credentials->profiles = files;
    credentials->conf = *conf;
    pthread_mutex_init(&credentials->lock, NULL);
    err_set(&credentials->last, ERR_RETRY, "not fetched yet");
    if (source_choose(files, &credentials->top, &credentials->passed_over, err) != 0 ||
        add_roles(credentials, err) != 0) {
        aws_credentials_close(credentials);
        return -1;
    }
    credentials->description = new_description(credentials->top);
    *out = credentials;
    return 0;
}

void aws_credentials_close(struct aws_credentials *credentials) {
    if (credentials) {
        source_free(credentials->top);
        free(credentials->passed_over);
        free(credentials->description);
        pthread_mutex_destroy(&credentials->lock);
        aws_keys_wipe(&credentials->keys);
        free(credentials);
    }
}

int aws_credentials_get(struct aws_credentials *credentials, struct aws_keys *keys,
                        struct err *err) {
    pthread_mutex_lock(&credentials->lock);
    bool has_keys = credentials->has_keys;
    if (has_keys) {
        *keys = credentials->keys;
    } else {
        err_set(err, ERR_RETRY, "no AWS credentials: %s", credentials->last.text);
    }
    pthread_mutex_unlock(&credentials->lock);
    return has_keys ? 0 : -1;
}

void aws_credentials_distrust(struct aws_credentials *credentials, const char *access_id) {
    pthread_mutex_lock(&credentials->lock);
    if (credentials->has_keys && strcmp(credentials->keys.access_id, access_id) == 0) {
        credentials->is_distrusted = true;
    }
    pthread_mutex_unlock(&credentials->lock);
}

void aws_credentials_describe(struct aws_credentials *credentials, struct buf *out) {
    pthread_mutex_lock(&credentials->lock);
    buf_add(out, span_str(credentials->description));
    pthread_mutex_unlock(&credentials->lock);
}

/* A rotated file shows its new keys. */
static int fetch_from_files(const struct source *source, struct aws_keys *keys, struct err *err) {
    struct aws_profiles *fresh = NULL;
    if (aws_profiles_are_files(source->profiles) && aws_profiles_load(&fresh, err) != 0) {
        return -1;
    }
    int result = source_fetch_profile(fresh ? fresh : source->profiles, source->file,
                                      source->profile, keys, err);
    aws_profiles_free(fresh);
    return result;
}

static int renew(struct source *source, const struct source_work *work, bool is_forced,
                 struct err *err);

/* With the keys of the base; once more with new ones if STS does not take those. */
static int fetch_role(struct source *source, const struct source_work *work, struct aws_keys *keys,
                      struct err *err) {
    bool base_is_bad, base_is_fresh = renew(source->base, work, false, err) == 0;
    if (!source->base->has_keys) {
        return -1;
    }
    int result = source_fetch_role(source, work, &source->base->keys, keys, &base_is_bad, err);
    if (result != 0 && base_is_bad && base_is_fresh && renew(source->base, work, true, err) == 0) {
        result = source_fetch_role(source, work, &source->base->keys, keys, &base_is_bad, err);
    }
    return result;
}

static int fetch(struct source *source, const struct source_work *work, struct aws_keys *keys,
                 struct err *err) {
    switch (source->kind) {
    case SOURCE_ENVIRONMENT:
        return source_fetch_environment(keys, err);
    case SOURCE_PROFILE:
        return fetch_from_files(source, keys, err);
    case SOURCE_PROCESS:
        return source_fetch_process(source, work, keys, err);
    case SOURCE_WEB_IDENTITY:
        return source_fetch_web_identity(source, work, keys, err);
    case SOURCE_CONTAINER:
        return source_fetch_container(source, work, keys, err);
    case SOURCE_METADATA:
        return source_fetch_metadata(source, work, keys, err);
    case SOURCE_ROLE:
        return fetch_role(source, work, keys, err);
    }
    return err_set(err, ERR_STOP, "an unknown source of AWS credentials");
}

static const char *format_time(int64_t ms, char out[TIME_SIZE]) {
    time_t seconds = (time_t)(ms / 1000);
    struct tm tm;
    if (!gmtime_r(&seconds, &tm) || strftime(out, TIME_SIZE, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0) {
        memcpy(out, "?", 2);
    }
    return out;
}

/* Only the instance's service hands out expired keys on purpose: AWS then takes them longer. */
static int check_expiry(const struct source *source, const struct aws_keys *keys, int64_t now_ms,
                        struct err *err) {
    char time[TIME_SIZE];
    if (keys->expires_ms > now_ms || source->kind == SOURCE_METADATA) {
        return 0;
    }
    struct buf name;
    char text[512];
    buf_over(&name, text, sizeof(text));
    describe_one(source, &name);
    return err_set(err, ERR_RETRY,
                   "%s: these keys expired at %s; if they are new, this host's clock is wrong",
                   buf_cstr(&name), format_time(keys->expires_ms, time));
}

/* Fetches if it is time to; on failure the old keys, if there are any, stay as they are. */
static int renew(struct source *source, const struct source_work *work, bool is_forced,
                 struct err *err) {
    struct aws_keys keys;
    int64_t now_ms = clock_wall_ms();
    if (source->has_keys && !is_forced && now_ms < source->fetch_ms) {
        return 0;
    }
    int result = fetch(source, work, &keys, err);
    now_ms = clock_wall_ms();
    if (result == 0) {
        result = check_expiry(source, &keys, now_ms, err);
    }
    if (result == 0) {
        bool are_same = source->has_keys && strcmp(source->keys.token, keys.token) == 0 &&
                        strcmp(source->keys.access_id, keys.access_id) == 0;
        int64_t pause_ms = source_pause_after_keys(now_ms, keys.expires_ms, are_same);
        source->fetch_ms = pause_ms == INT64_MAX ? INT64_MAX : now_ms + pause_ms;
        source->keys = keys;
        source->has_keys = true;
    }
    aws_keys_wipe(&keys);
    return result;
}

static int64_t pause_until(int64_t now_ms, int64_t fetch_ms) {
    return fetch_ms <= now_ms                  ? 0
           : fetch_ms - now_ms > LOOK_AGAIN_MS ? LOOK_AGAIN_MS
                                               : fetch_ms - now_ms;
}

/* Says once that the keys in use are expired, and once that they are good again. */
static void say_state(struct aws_credentials *credentials, int64_t now_ms, const char *reason) {
    char time[TIME_SIZE];
    const struct source *top = credentials->top;
    bool is_stale = top->has_keys && top->keys.expires_ms <= now_ms;
    if (is_stale == credentials->is_stale_said) {
        return;
    }
    credentials->is_stale_said = is_stale;
    if (is_stale) {
        log_warning("AWS credentials (%s) expired at %s and stay in use: %s",
                    credentials->description, format_time(top->keys.expires_ms, time), reason);
    } else {
        log_warning("AWS credentials (%s) are renewed again", credentials->description);
    }
}

static void publish(struct aws_credentials *credentials) {
    char *description = new_description(credentials->top), *old;
    pthread_mutex_lock(&credentials->lock);
    credentials->keys = credentials->top->keys;
    credentials->has_keys = true;
    credentials->is_distrusted = false;
    old = credentials->description;
    credentials->description = description;
    pthread_mutex_unlock(&credentials->lock);
    free(old);
}

/* Keeps what the attempt said, for those who ask for keys while there are none. */
static int64_t note_failure(struct aws_credentials *credentials, const atomic_bool *stopping,
                            struct err *err) {
    const struct source *top = credentials->top;
    int64_t now_ms = clock_wall_ms();
    uint32_t random = 0;
    if (source_is_stopping(stopping)) {
        return FORCED_MS;
    }
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0) {
        random = UINT32_MAX;
    }
    if (credentials->passed_over) {
        struct err own = *err;
        err_set(err, own.kind, "%s (%s)", own.text, credentials->passed_over);
    }
    pthread_mutex_lock(&credentials->lock);
    credentials->last = *err;
    pthread_mutex_unlock(&credentials->lock);
    say_state(credentials, now_ms, err->text);
    credentials->failures++;
    return source_pause_after_failure(now_ms, top->has_keys ? top->keys.expires_ms : 0,
                                      credentials->failures, random);
}

/* Whether refused keys make a fetch necessary now; *wait_ms: until when it has to wait. */
static bool must_fetch(struct aws_credentials *credentials, int64_t *wait_ms) {
    pthread_mutex_lock(&credentials->lock);
    bool is_distrusted = credentials->is_distrusted;
    pthread_mutex_unlock(&credentials->lock);
    int64_t now_ms = clock_monotonic_ms(), since_ms = now_ms - credentials->forced_ms;
    *wait_ms = INT64_MAX;
    if (is_distrusted && credentials->forced_ms != 0 && since_ms < FORCED_MS) {
        *wait_ms = FORCED_MS - since_ms;
        return false;
    }
    return is_distrusted;
}

int aws_credentials_refresh(struct aws_credentials *credentials, const atomic_bool *stopping,
                            int64_t *pause_ms, struct err *err) {
    struct source *top = credentials->top;
    struct err unheard;
    struct source_work work = {.profiles = credentials->profiles,
                               .region = credentials->conf.region,
                               .proxy = credentials->conf.proxy,
                               .ca_file = credentials->conf.ca_file,
                               .stopping = stopping};
    int64_t wait_ms;
    bool is_forced = must_fetch(credentials, &wait_ms);
    bool is_due = is_forced || !top->has_keys || clock_wall_ms() >= top->fetch_ms;
    err = err ? err : &unheard;
    if (is_due && renew(top, &work, true, err) != 0) {
        *pause_ms = note_failure(credentials, stopping, err);
        return -1;
    }
    int64_t now_ms = clock_wall_ms();
    if (is_due) {
        publish(credentials);
        credentials->failures = 0;
        credentials->forced_ms = is_forced ? clock_monotonic_ms() : 0;
    }
    say_state(credentials, now_ms, "the source has no newer ones");
    *pause_ms = pause_until(now_ms, top->fetch_ms);
    if (wait_ms < *pause_ms) {
        *pause_ms = wait_ms;
    }
    return 0;
}
