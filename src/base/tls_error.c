/* SPDX-License-Identifier: Apache-2.0 */
/* See tls_error.h. */
#include "base/tls_error.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Before OpenSSL 3.0 an end without close_notify is no entry in the queue. */
#ifdef SSL_R_UNEXPECTED_EOF_WHILE_READING
enum { EOF_REASON = SSL_R_UNEXPECTED_EOF_WHILE_READING };
#else
enum { EOF_REASON = -1 };
#endif

/* Both escape what could forge a line or cheat a reader's eyes. */
static void name_text(const X509_NAME *name, char *out) {
    BIO *bio = BIO_new(BIO_s_mem());
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253);
    int len = BIO_read(bio, out, TLS_NAME_MAX - 1);
    snprintf(out + (len > 0 ? len : 0), len > 0 ? 1 : TLS_NAME_MAX, "%s", len > 0 ? "" : "(none)");
    BIO_free(bio);
}

static void date_text(const ASN1_TIME *at, char *out, size_t size) {
    struct tm tm;
    if (ASN1_TIME_to_tm(at, &tm) != 1 || strftime(out, size, "%Y-%m-%d", &tm) == 0) {
        snprintf(out, size, "?");
    }
}

static bool is_printable(const char *text, int len) {
    for (int i = 0; i < len; i++) {
        if (text[i] <= ' ' || text[i] > '~') {
            return false;
        }
    }
    return len > 0;
}

/* One of the certificate's names as text into out[TLS_NAME_MAX]; false: of no use here. */
static bool general_name_text(const GENERAL_NAME *name, char *out) {
    int type;
    const ASN1_STRING *value = GENERAL_NAME_get0_value(name, &type);
    if (type != GEN_DNS && type != GEN_IPADD) {
        return false;
    }
    const char *bytes = (const char *)ASN1_STRING_get0_data(value);
    int len = ASN1_STRING_length(value);
    if (type == GEN_DNS) {
        snprintf(out, TLS_NAME_MAX, "%.*s", len, bytes);
        return is_printable(bytes, len);
    }
    return (len == 4 || len == 16) &&
           inet_ntop(len == 4 ? AF_INET : AF_INET6, bytes, out, TLS_NAME_MAX);
}

/* As many as fit; a certificate without any names none. */
static void names_text(X509 *certificate, char *out) {
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t len = 0;
    char one[TLS_NAME_MAX];
    out[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        if (!general_name_text(sk_GENERAL_NAME_value(names, i), one)) {
            continue;
        }
        if (len + strlen(one) + sizeof(", ...") > TLS_NAME_MAX) {
            snprintf(out + len, TLS_NAME_MAX - len, ", ...");
            break;
        }
        len += (size_t)snprintf(out + len, TLS_NAME_MAX - len, "%s%s", len > 0 ? ", " : "", one);
    }
    GENERAL_NAMES_free(names);
}

void tls_refusal_note(struct tls_refusal *refusal, X509_STORE_CTX *store) {
    X509 *certificate = X509_STORE_CTX_get_current_cert(store);
    *refusal = (struct tls_refusal){
        .code = X509_STORE_CTX_get_error(store),
        .depth = X509_STORE_CTX_get_error_depth(store),
    };
    if (certificate) {
        name_text(X509_get_subject_name(certificate), refusal->subject);
        name_text(X509_get_issuer_name(certificate), refusal->issuer);
        names_text(certificate, refusal->names);
        date_text(X509_get0_notBefore(certificate), refusal->from, sizeof(refusal->from));
        date_text(X509_get0_notAfter(certificate), refusal->until, sizeof(refusal->until));
    }
}

void tls_refusal_say(const struct tls_refusal *refusal, const char *name, struct err *err) {
    const char *whose = refusal->depth == 0 ? "the receiver's certificate"
                                            : "the authority's "
                                              "certificate";
    switch (refusal->code) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
        err_set(err, ERR_RETRY, "%s (%s) expired on %s: renew it there", whose, refusal->subject,
                refusal->until);
        break;
    case X509_V_ERR_CERT_NOT_YET_VALID:
        err_set(err, ERR_RETRY, "%s (%s) is valid only from %s on: is the clock here right?", whose,
                refusal->subject, refusal->from);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        err_set(err, ERR_RETRY,
                "the receiver's certificate (%s) is for %s and not for %s: connect by a name that "
                "stands in it, or give that name as tls: {server_name: ...}",
                refusal->subject, refusal->names[0] ? refusal->names : "no name at all", name);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        err_set(err, ERR_RETRY,
                "%s (%s) is signed by an authority that is not trusted here (%s): give its "
                "certificate as tls: {ca: FILE}",
                whose, refusal->subject, refusal->issuer);
        break;
    default:
        err_set(err, ERR_RETRY, "%s (%s) is refused: %s", whose, refusal->subject,
                X509_verify_cert_error_string(refusal->code));
        break;
    }
}

/* Alerts and other reasons for which there is a remedy; "%s" stands for min_version. */
static const struct {
    int reason;
    const char *text;
} known[] = {
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
     "the receiver asks for a certificate of ours: give it as tls: {cert: FILE, key: FILE}"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
     "the receiver found nothing to agree on: does it ask for a certificate of ours (tls: {cert: "
     "FILE, key: FILE}), or for other versions or ciphers?"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA,
     "the receiver does not trust the authority of our certificate (tls: {cert})"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
     "the receiver refuses our certificate, or that we have none (tls: {cert})"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
     "the receiver says that our certificate expired: renew it (tls: {cert})"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
     "the receiver says that our certificate is revoked: renew it (tls: {cert})"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN, "the receiver refuses our certificate (tls: {cert})"},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED,
     "the receiver does not let the owner of our certificate in (tls: {cert})"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
     "the receiver has no TLS %s or newer: update it, or lower tls: {min_version}"},
    {SSL_R_UNSUPPORTED_PROTOCOL,
     "the receiver has no TLS %s or newer: update it, or lower tls: {min_version}"},
    {SSL_R_WRONG_VERSION_NUMBER,
     "the answer is no TLS: switch TLS on at the receiver, use its TLS port, or leave out tls"},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME,
     "the receiver does not know the name that we ask for (tls: {server_name})"},
};

const char *tls_error_reason(void) {
    unsigned long code = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(code);
    ERR_clear_error();
    return reason ? reason : "no reason known";
}

bool tls_error_is_eof(void) {
    unsigned long code = ERR_peek_last_error();
    return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == EOF_REASON;
}

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral" /* of the table above */
int tls_error_say(const char *min_version, struct err *err) {
    unsigned long code = ERR_peek_last_error();
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == known[i].reason) {
            ERR_clear_error();
            return err_set(err, ERR_RETRY, known[i].text, min_version);
        }
    }
    return err_set(err, ERR_RETRY, "TLS failed: %s", tls_error_reason());
}
#pragma GCC diagnostic pop

void tls_certificate_describe(X509 *certificate, bool with_issuer, struct buf *out) {
    char name[TLS_NAME_MAX], until[16];
    int days = 0, seconds = 0;
    name_text(X509_get_subject_name(certificate), name);
    buf_printf(out, "certificate %s, ", name);
    if (with_issuer) {
        name_text(X509_get_issuer_name(certificate), name);
        buf_printf(out, "issued by %s, ", name);
    }
    date_text(X509_get0_notAfter(certificate), until, sizeof(until));
    ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(certificate));
    if (days < 0 || seconds < 0) {
        buf_printf(out, "expired %d days ago (on %s)", -days, until);
    } else {
        buf_printf(out, "%d days left (until %s)", days, until);
    }
}
