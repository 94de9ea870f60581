/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as the shared configuration files, as the answer of a source of keys and as a
   credential_process: the first byte says which; a form feed parts the two files. What is taken
   must be what was looked for: values without line ends, keys that fit a header, endpoints that are
   URLs, and no error that is empty. */

#include <assert.h>
#include <stdlib.h>

#include "aws/credentials_source.h"
#include "aws/profile.h"
#include "aws/url.h"
#include "base/xalloc.h"

static void look_at_source(const struct aws_profiles *profiles) {
    struct source *source;
    char *passed_over;
    struct err err = {ERR_NONE, 0, ""};
    int depth = 0;
    if (source_choose(profiles, &source, &passed_over, &err) != 0) {
        assert(err.kind == ERR_CONFIG && err.text[0]);
        free(passed_over);
        return;
    }
    for (const struct source *s = source; s; s = s->base) {
        assert(s->kind != SOURCE_ROLE || (s->role && s->base));
        assert(s->kind != SOURCE_PROCESS || (s->command && s->program));
        depth++;
    }
    assert(depth >= 1 && depth <= SOURCE_ROLES_MAX + 1);
    source_free(source);
    free(passed_over);
}

static void look_at_endpoint(const struct aws_profiles *profiles) {
    struct aws_endpoint_conf conf = {
        .region = aws_profiles_get(profiles, aws_profiles_current(profiles), "region")};
    struct aws_target target;
    struct url url;
    struct err err = {ERR_NONE, 0, ""};
    if (aws_target_find(profiles, &aws_kinesis, &conf, &target, &err) != 0) {
        assert(err.kind == ERR_CONFIG && err.text[0]);
        return;
    }
    assert(url_parse(target.url, &url, &err) == 0);
    assert(target.url[strlen(target.url) - 1] == '/');
    assert(strlen(target.region) < sizeof(target.region));
}

static void look_at_files(struct span config, struct span credentials) {
    static const char *const keys[] = {"region", "aws_access_key_id", "role_arn", "s3.x"};
    struct aws_profiles *profiles = NULL;
    struct err err = {ERR_NONE, 0, ""};
    if (aws_profiles_parse(config, "config", credentials, "credentials", &profiles, &err) != 0) {
        assert(err.kind == ERR_CONFIG && strchr(err.text, ':'));
        return;
    }
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        const char *value = aws_profiles_get(profiles, "default", keys[i]);
        assert(!value || (*value && !strchr(value, '\n')));
    }
    look_at_source(profiles);
    look_at_endpoint(profiles);
    aws_profiles_free(profiles);
}

static void look_at_answer(struct span text, enum keys_shape shape) {
    struct aws_keys keys;
    struct err err = {ERR_NONE, 0, ""};
    char *copy = text.len > 0 ? xmalloc(text.len) : NULL;
    if (copy) {
        memcpy(copy, text.p, text.len);
    }
    if (keys_parse_json(copy, text.len, shape, &keys, &err) == 0) {
        assert(strlen(keys.access_id) > 0 && strlen(keys.access_id) < sizeof(keys.access_id));
        assert(strlen(keys.secret) > 0 && strlen(keys.secret) < sizeof(keys.secret));
        assert(strlen(keys.token) < sizeof(keys.token));
        assert(source_is_header(span_str(keys.token)));
        assert(source_is_header(span_str(keys.access_id)));
    } else {
        assert(err.text[0]);
    }
    free(copy);
}

static void look_at_command(struct span text) {
    char *command = xstrdup_span(text), **words = NULL;
    struct err err = {ERR_NONE, 0, ""};
    size_t bytes = 0;
    if (process_split(command, &words, &err) == 0) {
        assert(words[0]);
        for (size_t i = 0; words[i]; i++) {
            bytes += strlen(words[i]);
        }
        assert(bytes <= strlen(command));
        process_free_words(words);
    } else {
        assert(err.kind == ERR_CONFIG);
    }
    free(command);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) {
        return 0;
    }
    struct span text = span_of((const char *)data + 1, size - 1), config;
    switch (data[0] % 4) {
    case 0:
        if (span_cut(&text, '\f', &config)) { /* a form feed between the two */
            look_at_files(config, text);
        }
        break;
    case 1:
        look_at_answer(text, KEYS_OF_PROCESS);
        break;
    case 2:
        look_at_answer(text, KEYS_OF_ENDPOINT);
        break;
    default:
        look_at_command(text);
        break;
    }
    return 0;
}
