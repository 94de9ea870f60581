/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The words for what can go wrong with TLS, with the setting or the deed that helps. Only for
 * base/tls.c.
 */
#pragma once

#include <openssl/ssl.h>

#include "base/buf.h"
#include "base/err.h"

enum { TLS_NAME_MAX = 256 };

/* Why the peer's certificate was refused, noted while it is at hand. code X509_V_OK: it was not. */
struct tls_refusal {
    int code;                   /* X509_V_ERR_... */
    int depth;                  /* 0: the peer's own; else an authority's */
    char subject[TLS_NAME_MAX]; /* of the certificate that was refused */
    char issuer[TLS_NAME_MAX];
    char names[TLS_NAME_MAX]; /* for which it is good, "graylog, 10.0.0.1" */
    char from[16], until[16]; /* dates, "2026-12-20" */
};

/* Notes the certificate that `store` complains of. */
void tls_refusal_note(struct tls_refusal *refusal, X509_STORE_CTX *store);

/* The refusal in words; `name` is the name asked for. */
void tls_refusal_say(const struct tls_refusal *refusal, const char *name, struct err *err);

/*
 * What OpenSSL's queue of errors holds, as ERR_RETRY: an alert of the peer, an answer that is no
 * TLS. `min_version` is the setting's text.
 */
int tls_error_say(const char *min_version, struct err *err);

/* The reason of the last error in the queue, for people; the queue is cleared. */
const char *tls_error_reason(void);

/* Whether the queue's last error is the peer's FIN without close_notify. */
bool tls_error_is_eof(void);

/* "CN=graylog, 29 days left (until 2026-12-20)", with the issuer where that is wanted. */
void tls_certificate_describe(X509 *certificate, bool with_issuer, struct buf *out);
