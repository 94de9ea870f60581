/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside credentials*.c only: a source of keys, and the ways to fetch from each kind. Sources are
 * chosen once, from environment and files, by credentials_chain.c; the one at the top may stand on
 * others, which sign for it. All of a tree belongs to the thread that refreshes. Fetching may wait
 * and looks at *stopping (which may be NULL). No message holds anything that a source answered, for
 * it may be a secret.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "aws/credentials.h"

enum source_kind {
    SOURCE_ENVIRONMENT,
    SOURCE_PROFILE, /* keys of a profile */
    SOURCE_PROCESS,
    SOURCE_WEB_IDENTITY,
    SOURCE_CONTAINER,
    SOURCE_METADATA,
    SOURCE_ROLE, /* assumed with the keys of `base` */
};

enum { SOURCE_DETAIL_MAX = 128, SOURCE_ROLES_MAX = 8 };

/* Strings are its own. Those that a kind does not need are NULL. */
struct source {
    enum source_kind kind;
    struct source *base; /* owned */
    const struct aws_profiles *profiles;
    char *profile; /* for people, and where to look again */
    enum aws_profiles_file file;
    char *command; /* credential_process */
    char *program; /* its first word, for people: the others may be secrets */
    char *role, *external_id, *session, *token_file;
    int duration_seconds;           /* 0: as STS likes */
    struct aws_target *sts;         /* from the first use on, for it learns the server's clock */
    char detail[SOURCE_DETAIL_MAX]; /* what fetching showed, for people: the instance's role */

    bool has_keys;
    struct aws_keys keys;
    int64_t fetch_ms; /* wall clock: when to fetch again */
};

/* What fetching needs besides the source. */
struct source_work {
    const struct aws_profiles *profiles;
    const char *region, *proxy, *ca_file;
    const atomic_bool *stopping;
};

/* Chooses; *passed_over (a text for people, to be freed) is why the kinds before it were not. */
int source_choose(const struct aws_profiles *profiles, struct source **source, char **passed_over,
                  struct err *err);
struct source *source_new(enum source_kind kind, const struct aws_profiles *profiles);
void source_free(struct source *source);

/* A checked role on top of `base`, which becomes its own. On -1 `base` is freed. `origin` names
   where it stands, for messages. */
struct source *source_new_role(struct source *base, const struct aws_role *role, const char *origin,
                               struct err *err);

/*
 * Each fetches new keys; -1 leaves *keys undefined: ERR_RETRY what may pass, ERR_CONFIG what a
 * person must change. fetch_role: *base_is_bad when STS refuses the keys of the base as expired or
 * unknown.
 */
int source_fetch_process(struct source *source, const struct source_work *work,
                         struct aws_keys *keys, struct err *err);
int source_fetch_container(struct source *source, const struct source_work *work,
                           struct aws_keys *keys, struct err *err);
int source_fetch_metadata(struct source *source, const struct source_work *work,
                          struct aws_keys *keys, struct err *err);
int source_fetch_web_identity(struct source *source, const struct source_work *work,
                              struct aws_keys *keys, struct err *err);
int source_fetch_role(struct source *source, const struct source_work *work,
                      const struct aws_keys *base, struct aws_keys *keys, bool *base_is_bad,
                      struct err *err);
int source_fetch_environment(struct aws_keys *keys, struct err *err);
int source_fetch_profile(const struct aws_profiles *profiles, enum aws_profiles_file file,
                         const char *profile, struct aws_keys *keys, struct err *err);

/* Waits, looking at *stopping; false: stopped. */
bool source_pause(int64_t pause_ms, const atomic_bool *stopping);
bool source_is_stopping(const atomic_bool *stopping);

/* Whether a text may stand in a header: no control characters, CR and LF above all. */
bool source_is_header(struct span text);

/* Copies one part of a set of keys into a place of `size` bytes; `what` ("AccessKeyId") and the
   place it came from stand in the message. -1 with ERR_RETRY: empty, too long, or control
   characters. */
int keys_set_part(char *out, size_t size, struct span part, const char *what, struct err *err);

/* Which JSON a source answers with. */
enum keys_shape {
    KEYS_OF_PROCESS,  /* Version 1, SessionToken */
    KEYS_OF_ENDPOINT, /* Token; container and instance metadata */
};

/* Reads keys from JSON, which is written to. Without Expiration they never expire. ERR_RETRY. */
int keys_parse_json(char *text, size_t len, enum keys_shape shape, struct aws_keys *keys,
                    struct err *err);

/* "2026-08-22T03:00:29Z", also with a fraction or an offset (+01:00), in ms since 1970. */
bool keys_parse_time(struct span text, int64_t *ms);

/* Splits a command line as a shell would cut it into words: blanks, both quotes, backslash; nothing
   is expanded. *words: NULL behind the last, all to be freed by process_free_words. ERR_CONFIG. */
int process_split(const char *command, char ***words, struct err *err);
void process_free_words(char **words);

enum { PROCESS_OUTPUT_MAX = 64 << 10, PROCESS_TIMEOUT_MS = 30000 };

/* Runs a program without a shell (standard input and error are /dev/null) and takes its output; -1
   with ERR_RETRY or, when it cannot be started, ERR_CONFIG. It is killed, with what it started, and
   reaped when it takes too long, says too much, or *stopping is set. */
int process_run(char **words, int64_t timeout_ms, const atomic_bool *stopping, struct buf *output,
                struct err *err);

/*
 * When to fetch next, in ms from now; pure. After keys came that are valid until `expires_ms`
 * (INT64_MAX: for ever): 15 minutes before, or at three quarters of a shorter life; soon when a
 * source gave the same keys once more.
 */
int64_t source_pause_after_keys(int64_t now_ms, int64_t expires_ms, bool are_same);

/* After the `failures`th failure in a row; `expires_ms` of the keys in use, 0 without any. From
   half of the step to all of it, by `random`. */
int64_t source_pause_after_failure(int64_t now_ms, int64_t expires_ms, int failures,
                                   uint32_t random);
