/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of a role, from the Security Token Service: AssumeRole, signed with other keys, and
   AssumeRoleWithWebIdentity, where a token of another issuer is the proof and nothing is signed.
   Source: STS' service model (2011-06-15). */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>

#include "aws/call.h"
#include "aws/credentials_source.h"
#include "aws/xml.h"
#include "base/file.h"
#include "base/xalloc.h"

enum {
    TRIES_MAX = 3,
    TRY_MS = 10000,
    PAUSE_MS = 500, /* before the second try; twice as long before the third */
    REPLY_MAX = 256 << 10,
    TOKEN_FILE_MAX = 64 << 10,
    FORM_MAX = 4 * TOKEN_FILE_MAX,
};

static const char default_session[] = "flowgelf";

/* One operation of STS with its further parameters, which may hold a token. */
struct question {
    const char *operation, *result; /* "AssumeRole", "AssumeRoleResult/Credentials" */
    struct buf form;
    const struct aws_keys *signer; /* NULL: not signed */
};

static void question_init(struct question *question, const char *operation, const char *result) {
    *question = (struct question){.operation = operation, .result = result};
    buf_init(&question->form, FORM_MAX);
    buf_reserve(&question->form, FORM_MAX); /* so that growing leaves no copies behind */
}

static void question_done(struct question *question) {
    explicit_bzero(question->form.data, question->form.cap);
    buf_done(&question->form);
}

/* What both operations take. */
static void add_role(struct question *question, const struct source *source) {
    char text[16];
    aws_form_add(&question->form, "RoleArn", span_str(source->role));
    aws_form_add(&question->form, "RoleSessionName",
                 span_str(source->session ? source->session : default_session));
    if (source->duration_seconds > 0) {
        snprintf(text, sizeof(text), "%d", source->duration_seconds);
        aws_form_add(&question->form, "DurationSeconds", span_str(text));
    }
}

static int read_credentials(const struct xml_element *credentials, struct aws_keys *keys,
                            struct err *err) {
    const char *expiration = xml_text(credentials, "Expiration");
    if (keys_set_part(keys->access_id, sizeof(keys->access_id),
                      span_str(xml_text(credentials, "AccessKeyId")), "AccessKeyId", err) != 0 ||
        keys_set_part(keys->secret, sizeof(keys->secret),
                      span_str(xml_text(credentials, "SecretAccessKey")), "SecretAccessKey",
                      err) != 0 ||
        keys_set_part(keys->token, sizeof(keys->token),
                      span_str(xml_text(credentials, "SessionToken")), "SessionToken", err) != 0) {
        return -1;
    }
    if (!keys_parse_time(span_str(expiration), &keys->expires_ms)) {
        return err_set(err, ERR_RETRY, "Expiration is no time of ISO 8601");
    }
    return 0;
}

/* The parser's message may show what stands in the text, so it is not passed on. */
static int take_reply(const struct question *question, const struct aws_reply *reply,
                      struct aws_keys *keys, struct err *err) {
    struct xml *xml;
    if (xml_parse(span_of(reply->body, reply->len), &xml, NULL) != 0) {
        return err_set(err, ERR_RETRY, "sts %s: the reply is no good XML", question->operation);
    }
    int result = read_credentials(xml_child(xml_root(xml), question->result), keys, err);
    xml_free(xml);
    explicit_bzero(reply->body, reply->len);
    return result == 0 ? 0 : err_wrap(err, "sts %s", question->operation);
}

/* Full jitter, so that a fleet does not come back in step. */
static bool pause_before(int try, const atomic_bool *stopping) {
    uint32_t random = 0;
    if (getrandom(&random, sizeof(random), GRND_NONBLOCK) < 0) {
        random = UINT32_MAX / 2;
    }
    int64_t most = (int64_t)PAUSE_MS << (try - 1);
    return source_pause(most * random / UINT32_MAX, stopping);
}

static bool is_worth_another(enum aws_class class) {
    return class == AWS_TRANSIENT || class == AWS_THROTTLED || class == AWS_SKEW;
}

/* Asks until there is an answer. *class: of the last reply. */
static int call_sts(struct aws_call *call, const struct question *question,
                    const atomic_bool *stopping, struct aws_keys *keys, enum aws_class *class,
                    struct err *err) {
    *class = AWS_REFUSED;
    for (int try = 0; try < TRIES_MAX; try++) {
        if (try > 0 && *class != AWS_SKEW && !pause_before(try, stopping)) {
            return err_set(err, ERR_RETRY, "stopped");
        }
        if (aws_call_start(call, question->signer, question->operation, buf_span(&question->form),
                           TRY_MS, err) != 0) {
            return -1;
        }
        const struct aws_reply *reply = aws_call_wait(call, stopping);
        *class = reply->class;
        if (reply->class == AWS_FINE) {
            return take_reply(question, reply, keys, err);
        }
        if (err) {
            *err = reply->err;
        }
        if (!is_worth_another(reply->class) || source_is_stopping(stopping)) {
            return -1;
        }
    }
    return -1;
}

static int find_sts(struct source *source, const struct source_work *work, struct err *err) {
    struct aws_endpoint_conf conf = {.region = work->region ? work->region : "aws-global"};
    if (source->sts) {
        return 0;
    }
    struct aws_target *target = xcalloc(1, sizeof(*target));
    if (aws_target_find(work->profiles, &aws_sts, &conf, target, err) != 0) {
        free(target);
        return -1;
    }
    source->sts = target;
    return 0;
}

static int ask_sts(struct source *source, const struct source_work *work,
                   const struct question *question, struct aws_keys *keys, enum aws_class *class,
                   struct err *err) {
    struct http_conf conf = {.proxy = work->proxy,
                             .ca_file = aws_ca_file(work->profiles, work->ca_file)};
    if (question->form.overflow) {
        return err_set(err, ERR_CONFIG, "sts %s: the parameters are too long", question->operation);
    }
    if (find_sts(source, work, err) != 0) {
        return -1;
    }
    struct http *http = http_open(&conf);
    struct aws_call *call = aws_call_open(http, source->sts, REPLY_MAX);
    int result = call_sts(call, question, work->stopping, keys, class, err);
    if (result == 0) {
        keys->expires_ms -= atomic_load(&source->sts->skew_ms); /* by our clock, right or not */
    }
    aws_call_close(call);
    http_close(http);
    return result;
}

int source_fetch_role(struct source *source, const struct source_work *work,
                      const struct aws_keys *base, struct aws_keys *keys, bool *base_is_bad,
                      struct err *err) {
    struct question question;
    enum aws_class class = AWS_REFUSED;
    question_init(&question, "AssumeRole", "AssumeRoleResult/Credentials");
    question.signer = base;
    add_role(&question, source);
    if (source->external_id) {
        aws_form_add(&question.form, "ExternalId", span_str(source->external_id));
    }
    int result = ask_sts(source, work, &question, keys, &class, err);
    *base_is_bad = result != 0 && class == AWS_KEYS;
    question_done(&question);
    return result == 0 ? 0 : err_wrap(err, "role %s", source->role);
}

/* The token's file is written anew by whoever issues it, so it is read each time. */
int source_fetch_web_identity(struct source *source, const struct source_work *work,
                              struct aws_keys *keys, struct err *err) {
    struct question question;
    struct buf token;
    enum aws_class class;
    buf_init(&token, TOKEN_FILE_MAX);
    buf_reserve(&token, TOKEN_FILE_MAX);
    question_init(&question, "AssumeRoleWithWebIdentity",
                  "AssumeRoleWithWebIdentityResult/Credentials");
    int result = file_read(source->token_file, &token, err);
    struct span text = span_trim(buf_span(&token));
    if (result == 0 && text.len == 0) {
        result = err_set(err, ERR_RETRY, "%s is empty", source->token_file);
    }
    if (result == 0) {
        add_role(&question, source);
        aws_form_add(&question.form, "WebIdentityToken", text);
        result = ask_sts(source, work, &question, keys, &class, err);
    }
    explicit_bzero(token.data, token.cap);
    buf_done(&token);
    question_done(&question);
    return result == 0 ? 0 : err_wrap(err, "role %s by web identity", source->role);
}
