/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See fault.h. Codes that are in no table are refusals that the caller knows by name. A message is
 * what somebody else's program wrote, so it is cut to one line of printable text, and long words of
 * base64 or hex are taken out of it.
 */
#include "aws/fault.h"

#include <stdlib.h>
#include <string.h>

#include "aws/xml.h"
#include "base/buf.h"
#include "base/json_read.h"
#include "base/xalloc.h"

enum {
    BODY_MAX = 64 << 10,         /* of an error reply; longer ones are not looked at */
    QUOTED_MAX = 300,            /* bytes of the message that are said */
    SECRET_MIN = 40,             /* length of a secret key; signatures and tokens are longer */
    CLOCK_SAID_MS = 2 * 60000,   /* the service speaks of time: 5 min is what it tolerates */
    CLOCK_UNSAID_MS = 4 * 60000, /* it only says that the signature is wrong */
};

/* ---- classes ---- */

struct rule {
    const char *code;
    enum aws_class class;
};

static const struct rule rules[] = {
    {"BandwidthLimitExceeded", AWS_THROTTLED},
    {"EC2ThrottledException", AWS_THROTTLED},
    {"KMSThrottlingException", AWS_THROTTLED},
    {"LimitExceededException", AWS_THROTTLED},
    {"PriorRequestNotComplete", AWS_THROTTLED},
    {"ProvisionedThroughputExceeded", AWS_THROTTLED},
    {"ProvisionedThroughputExceededException", AWS_THROTTLED},
    {"RequestLimitExceeded", AWS_THROTTLED},
    {"RequestThrottled", AWS_THROTTLED},
    {"RequestThrottledException", AWS_THROTTLED},
    {"SlowDown", AWS_THROTTLED},
    {"ThrottledException", AWS_THROTTLED},
    {"Throttling", AWS_THROTTLED},
    {"ThrottlingException", AWS_THROTTLED},
    {"TooManyRequestsException", AWS_THROTTLED},
    {"TransactionInProgressException", AWS_THROTTLED},

    {"IDPCommunicationError", AWS_TRANSIENT},
    {"InternalError", AWS_TRANSIENT},
    {"InternalFailure", AWS_TRANSIENT},
    {"InternalFailureException", AWS_TRANSIENT},
    {"InternalServerError", AWS_TRANSIENT},
    {"RequestTimeout", AWS_TRANSIENT},
    {"RequestTimeoutException", AWS_TRANSIENT},
    {"ServiceUnavailable", AWS_TRANSIENT},
    {"ServiceUnavailableException", AWS_TRANSIENT},

    {"AuthFailure", AWS_KEYS},
    {"ExpiredToken", AWS_KEYS},
    {"ExpiredTokenException", AWS_KEYS},
    {"IncompleteSignature", AWS_KEYS},
    {"IncompleteSignatureException", AWS_KEYS},
    {"InvalidAccessKeyId", AWS_KEYS},
    {"InvalidClientTokenId", AWS_KEYS},
    {"InvalidSecurity", AWS_KEYS},
    {"InvalidToken", AWS_KEYS},
    {"TokenRefreshRequired", AWS_KEYS},
    {"UnrecognizedClientException", AWS_KEYS},

    {"AccessDenied", AWS_DENIED},
    {"AccessDeniedException", AWS_DENIED},
    {"AuthorizationError", AWS_DENIED},
    {"InvalidSignatureException", AWS_DENIED},
    {"KMSAccessDeniedException", AWS_DENIED},
    {"MissingAuthenticationToken", AWS_DENIED},
    {"MissingAuthenticationTokenException", AWS_DENIED},
    {"NotAuthorized", AWS_DENIED},
    {"OptInRequired", AWS_DENIED},
    {"SignatureDoesNotMatch", AWS_DENIED},
    {"UnauthorizedAccess", AWS_DENIED},
    {"UnauthorizedOperation", AWS_DENIED},
};

static enum aws_class class_of_status(int status) {
    if (status >= 200 && status < 300) {
        return AWS_FINE;
    }
    if (status == 429) {
        return AWS_THROTTLED;
    }
    return status == 0 || status == 408 || status >= 500 ? AWS_TRANSIENT : AWS_REFUSED;
}

enum aws_class aws_fault_class(int status, const char *code, bool *passes) {
    enum aws_class class = class_of_status(status);
    *passes = strcmp(code, "ResourceInUseException") == 0;
    for (size_t i = 0; class != AWS_FINE && i < sizeof(rules) / sizeof(rules[0]); i++) {
        if (strcmp(code, rules[i].code) == 0) {
            return rules[i].class;
        }
    }
    return class;
}

int64_t aws_fault_clock_ms(const struct aws_fault *fault) {
    static const char *const of_time[] = {"RequestExpired", "RequestInTheFuture",
                                          "RequestTimeTooSkewed"};
    static const char *const of_signature[] = {"AuthFailure", "InvalidSignatureException",
                                               "SignatureDoesNotMatch"};
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(fault->code, of_time[i]) == 0) {
            return CLOCK_SAID_MS;
        }
    }
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(fault->code, of_signature[i]) == 0) {
            bool is_said = strstr(fault->message, "Signature expired") ||
                           strstr(fault->message, "not yet current");
            return is_said ? CLOCK_SAID_MS : CLOCK_UNSAID_MS;
        }
    }
    return INT64_MAX;
}

/* ---- texts ---- */

static bool is_control(char c) {
    return (unsigned char)c < ' ' || c == '\x7f';
}

static bool is_word(char c) {
    return c != ' ' && !is_control(c) && !strchr("\"'(),;<>[]`{}", c);
}

static bool is_base64(char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') ||
           strchr("+/=%", c);
}

static bool is_digits(struct span text) {
    for (size_t i = 0; i < text.len; i++) {
        if (text.p[i] < '0' || text.p[i] > '9') {
            return false;
        }
    }
    return true;
}

/* Tokens, signatures and keys are long runs of base64 or hex, or begin as a JSON web token does;
   sequence numbers are digits, and names in ARNs may be long. */
static bool is_secret(struct span word) {
    if (span_starts(word, SPAN("arn:"))) {
        return false;
    }
    if (span_starts(word, SPAN("eyJ"))) {
        return true;
    }
    for (size_t i = 0, start = 0; i <= word.len; i++) {
        if (i < word.len && is_base64(word.p[i])) {
            continue;
        }
        if (i - start >= SECRET_MIN && !is_digits(span_of(word.p + start, i - start))) {
            return true;
        }
        start = i + 1;
    }
    return false;
}

/* Its first line, before the service repeats our request in it. */
static struct span first_line(struct span message) {
    struct span line = span_trim(message);
    const char *end = line.p ? memchr(line.p, '\n', line.len) : NULL;
    line.len = end ? (size_t)(end - line.p) : line.len;
    end = line.p ? memmem(line.p, line.len, "The Canonical String", 20) : NULL;
    line.len = end ? (size_t)(end - line.p) : line.len;
    return span_trim(line);
}

/* Cuts at QUOTED_MAX, at the end of a character. */
static void finish_quote(struct buf *out, char text[AWS_MESSAGE_MAX], bool cut) {
    size_t len = out->len;
    while (cut && len > 0 && ((unsigned char)out->data[len - 1] & 0xC0) == 0x80) {
        len--;
    }
    if (cut && len > 0 && (unsigned char)out->data[len - 1] >= 0xC0) {
        len--;
    }
    strcpy(text + len, cut ? "..." : "");
}

static void quote(struct span message, char text[AWS_MESSAGE_MAX]) {
    struct span rest = first_line(message);
    struct buf out;
    buf_over(&out, text, QUOTED_MAX);
    while (rest.len > 0 && !out.overflow) {
        size_t len = 0;
        while (len < rest.len && is_word(rest.p[len])) {
            len++;
        }
        struct span word = span_of(rest.p, len);
        word = is_secret(word) ? SPAN("[...]") : word;
        for (size_t i = 0; i < word.len; i++) {
            buf_char(&out, word.p[i]);
        }
        if (len < rest.len) {
            buf_char(&out, is_control(rest.p[len]) ? ' ' : rest.p[len]);
            len++;
        }
        rest = span_skip(rest, len);
    }
    finish_quote(&out, text, out.overflow);
}

/* Letters, digits and what stands between them in codes and ids; the rest is cut off. */
static void copy_plain(struct span from, const char *also, char *to, size_t size) {
    size_t len = 0;
    while (len < from.len && len < size - 1) {
        char c = from.p[len];
        if (!(is_base64(c) && c != '%') && (c == '\0' || !strchr(also, c))) {
            break;
        }
        to[len++] = c;
    }
    to[len] = '\0';
}

/* "com.amazon.coral.service#AccessDeniedException", "AccessDeniedException:http://...". */
static void set_code(struct aws_fault *fault, struct span type) {
    const char *end = type.p ? memchr(type.p, ':', type.len) : NULL;
    type.len = end ? (size_t)(end - type.p) : type.len;
    const char *hash = type.p ? memrchr(type.p, '#', type.len) : NULL;
    type = hash ? span_skip(type, (size_t)(hash - type.p) + 1) : type;
    copy_plain(span_trim(type), "._-", fault->code, sizeof(fault->code));
}

static void set_request_id(struct aws_fault *fault, struct span id) {
    copy_plain(span_trim(id), "._-", fault->request_id, sizeof(fault->request_id));
}

/* ---- bodies ---- */

static void take_member(struct json_read *read, struct aws_fault *fault) {
    struct span key = json_key(read);
    if (span_eq(key, SPAN("__type")) || span_eq(key, SPAN("code"))) {
        set_code(fault, json_text(read));
    } else if (span_eq(key, SPAN("message")) || span_eq(key, SPAN("Message")) ||
               span_eq(key, SPAN("errorMessage"))) {
        quote(json_text(read), fault->message);
    }
}

/* A reader changes the text: it gets a copy, for callers may read more out of the body. */
static void read_json(struct span body, struct aws_fault *fault) {
    char *copy = xmalloc(body.len + 1);
    struct json_read read;
    memcpy(copy, body.p, body.len);
    json_read_init(&read, copy, body.len);
    enum json_token token = json_next(&read);
    while (token != TOKEN_ERROR && token != TOKEN_END) {
        token = json_next(&read);
        if (read.depth == 1 && token == TOKEN_STRING) {
            take_member(&read, fault);
        } else if (token == TOKEN_OBJECT_END) {
            break;
        } else if (token == TOKEN_OBJECT || token == TOKEN_ARRAY) {
            json_skip(&read, token);
        }
    }
    free(copy);
}

static const char *first_text(const char *a, const char *b) {
    return a[0] ? a : b;
}

static void read_xml(struct span body, struct aws_fault *fault) {
    struct xml *xml;
    if (xml_parse(body, &xml, NULL) < 0) {
        return;
    }
    const struct xml_element *root = xml_root(xml), *error = xml_child(root, "Errors/Error");
    error = error ? error : xml_child(root, "Error");
    error = error ? error : root;
    const char *code = xml_text(error, "Code");
    if (!code[0] && !xml_first(root) && strstr(xml_name(root), "Exception")) {
        code = xml_name(root);
    }
    set_code(fault, span_str(code));
    quote(span_str(xml_text(error, "Message")), fault->message);
    set_request_id(fault,
                   span_str(first_text(xml_text(root, "RequestId"), xml_text(root, "RequestID"))));
    xml_free(xml);
}

void aws_fault_read(struct span body, const struct aws_fault_headers *headers,
                    struct aws_fault *fault) {
    *fault = (struct aws_fault){.code = ""};
    struct span text = span_trim(body);
    if (text.len > 0 && text.len <= BODY_MAX) {
        if (text.p[0] == '{') {
            read_json(text, fault);
        } else if (text.p[0] == '<') {
            read_xml(text, fault);
        }
    }
    if (headers->error_type.len > 0 && !fault->code[0]) {
        set_code(fault, headers->error_type);
    }
    if (headers->request_id.len > 0) {
        set_request_id(fault, headers->request_id);
    }
}
