/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See client.h. One call at a time over one set of connections. Each attempt gets at most half of
 * what is left of the deadline, so that a server that hangs is not waited for to the end.
 */
#include "aws/client.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "base/random.h"
#include "base/xalloc.h"

enum {
    PAUSE_TRANSIENT_MS = 50,
    PAUSE_THROTTLED_MS = 1000,
    PAUSE_MAX_MS = 20000,
    ATTEMPT_MIN_MS = 5000, /* unless the deadline is nearer */
    KEYS_WAIT_MS = 3000,   /* for new keys after the old ones were refused */
    LOOK_MS = 50,          /* between looks at *stopping and at the keys */
};

struct aws_client {
    struct aws_client_conf conf;
    struct http *http;
    struct aws_call *call;
    uint64_t random;
    struct aws_reply unsent; /* when nothing was sent */
    char no_body[1];
    struct aws_keys keys;
};

/* One operation under way. */
struct attempt {
    const atomic_bool *stopping;
    int64_t deadline_ms; /* monotonic */
    int failures[AWS_REFUSED + 1];
};

int64_t aws_client_pause_ms(enum aws_class class, int failures, uint32_t random) {
    int64_t step_ms = class == AWS_THROTTLED ? PAUSE_THROTTLED_MS : PAUSE_TRANSIENT_MS;
    for (int i = 1; i < failures && step_ms < PAUSE_MAX_MS; i++) {
        step_ms *= 2;
    }
    step_ms = step_ms < PAUSE_MAX_MS ? step_ms : PAUSE_MAX_MS;
    return (int64_t)(((uint64_t)random * (uint64_t)(step_ms + 1)) >> 32);
}

struct aws_client *aws_client_open(const struct aws_client_conf *conf) {
    struct aws_client *client = xcalloc(1, sizeof(*client));
    client->conf = *conf;
    client->http = http_open(&(struct http_conf){.proxy = conf->proxy, .ca_file = conf->ca_file});
    client->call = aws_call_open(client->http, conf->target, conf->reply_max);
    client->random = conf->seed ? conf->seed : (uint64_t)random_u32() << 32 | random_u32();
    return client;
}

void aws_client_close(struct aws_client *client) {
    if (!client) {
        return;
    }
    aws_call_close(client->call);
    http_close(client->http);
    aws_keys_wipe(&client->keys);
    free(client);
}

/* splitmix64: any seed will do. */
static uint32_t next_random(struct aws_client *client) {
    uint64_t mixed = client->random += 0x9E3779B97F4A7C15;
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9;
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB;
    return (uint32_t)(mixed >> 32);
}

static bool is_stopped(const struct attempt *attempt) {
    return attempt->stopping && atomic_load(attempt->stopping);
}

static int64_t left_ms(const struct attempt *attempt) {
    return attempt->deadline_ms - clock_monotonic_ms();
}

static void sleep_ms(int64_t ms) {
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000}, NULL);
}

/* False when there is no time for it, or nobody wants it any more. */
static bool pause_ms(const struct attempt *attempt, int64_t wait_ms) {
    if (wait_ms >= left_ms(attempt)) {
        return false;
    }
    int64_t until_ms = clock_monotonic_ms() + wait_ms, now_ms;
    while (!is_stopped(attempt) && (now_ms = clock_monotonic_ms()) < until_ms) {
        sleep_ms(until_ms - now_ms < LOOK_MS ? until_ms - now_ms : LOOK_MS);
    }
    return !is_stopped(attempt);
}

/* Whether there are keys in use by now that are not those. */
static bool has_others(struct aws_credentials *credentials, const char *refused) {
    struct aws_keys keys;
    if (aws_credentials_get(credentials, &keys, NULL) < 0) {
        return false;
    }
    bool is_other = strcmp(keys.access_id, refused) != 0;
    aws_keys_wipe(&keys);
    return is_other;
}

/* Says of the keys in use that they are refused, and waits for others. Whether to try again. */
static bool renew_keys(struct aws_client *client, const struct attempt *attempt) {
    struct aws_credentials *credentials = client->conf.credentials;
    if (!credentials) {
        return false;
    }
    aws_credentials_distrust(credentials, client->keys.access_id);
    for (int64_t waited_ms = 0; waited_ms < KEYS_WAIT_MS; waited_ms += LOOK_MS) {
        if (has_others(credentials, client->keys.access_id)) {
            return true;
        }
        if (!pause_ms(attempt, LOOK_MS)) {
            return false;
        }
    }
    return true;
}

/* Whether there is to be another attempt; waits as long as it takes. */
static bool is_again(struct aws_client *client, const struct aws_reply *reply,
                     struct attempt *attempt) {
    enum aws_class class = reply->class;
    if (is_stopped(attempt)) {
        return false;
    }
    if (reply == &client->unsent) { /* no keys yet, or what cannot be signed */
        return class == AWS_KEYS && pause_ms(attempt, LOOK_MS);
    }
    int failures = ++attempt->failures[class];
    switch (class) {
    case AWS_TRANSIENT:
    case AWS_THROTTLED:
        return pause_ms(attempt, aws_client_pause_ms(class, failures, next_random(client)));
    case AWS_KEYS:
        return failures == 1 && renew_keys(client, attempt);
    case AWS_SKEW:
        return failures == 1;
    case AWS_FINE:
    case AWS_DENIED:
    case AWS_REFUSED:
        break;
    }
    return false;
}

/* The reply to a call that never left the house. */
static const struct aws_reply *unsent(struct aws_client *client, enum aws_class class,
                                      const struct err *err) {
    client->unsent = (struct aws_reply){.class = class, .body = client->no_body, .err = *err};
    return &client->unsent;
}

/* One attempt. */
static const struct aws_reply *try_once(struct aws_client *client, const char *operation,
                                        struct span body, const struct attempt *attempt,
                                        struct err *err) {
    struct aws_credentials *credentials = client->conf.credentials;
    int64_t left = left_ms(attempt), timeout_ms = left / 2;
    timeout_ms = timeout_ms > ATTEMPT_MIN_MS ? timeout_ms : ATTEMPT_MIN_MS;
    timeout_ms = timeout_ms < left ? timeout_ms : left;
    timeout_ms = timeout_ms > 0 ? timeout_ms : 1;
    if (credentials && aws_credentials_get(credentials, &client->keys, err) < 0) {
        return unsent(client, AWS_KEYS, err);
    }
    int started = aws_call_start(client->call, credentials ? &client->keys : NULL, operation, body,
                                 timeout_ms, err);
    /* Kept until the reply: whom to distrust. */
    explicit_bzero(client->keys.secret, sizeof(client->keys.secret));
    explicit_bzero(client->keys.token, sizeof(client->keys.token));
    return started < 0 ? unsent(client, AWS_REFUSED, err)
                       : aws_call_wait(client->call, attempt->stopping);
}

int aws_client_call(struct aws_client *client, const char *operation, struct span body,
                    int64_t deadline_ms, const atomic_bool *stopping,
                    const struct aws_reply **reply, struct err *err) {
    struct attempt attempt = {.stopping = stopping};
    struct err own = {0};
    err = err ? err : &own;
    attempt.deadline_ms = clock_monotonic_ms() + deadline_ms;
    do {
        *reply = try_once(client, operation, body, &attempt, err);
        if ((*reply)->class == AWS_FINE) {
            return 0;
        }
    } while (is_again(client, *reply, &attempt));
    *err = (*reply)->err;
    return -1;
}
