/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The other side of TLS in tests: an authority and certificates made on the spot, files of them in
 * a folder of the test's own, and the context of a server that never waits.
 */
#pragma once

#include <check.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PEER_DAY_S = 86400, PEER_PATH_MAX = 128 };

/* A certificate and its key. */
struct peer_identity {
    X509 *certificate;
    EVP_PKEY *key;
};

static inline EVP_PKEY *peer_key(void) {
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    ck_assert_int_eq(EVP_PKEY_keygen_init(context), 1);
    ck_assert_int_eq(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1), 1);
    ck_assert_int_eq(EVP_PKEY_keygen(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

static inline void peer_extend(X509 *certificate, X509 *issuer, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ck_assert_ptr_nonnull(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/*
 * Common name `name`, good from `from_days` to `until_days` from now on, signed by `issuer` (NULL:
 * by itself, an authority), for `names` ("IP:127.0.0.1,DNS:localhost"; NULL: none).
 */
static inline struct peer_identity peer_make(const char *name, const char *names, int from_days,
                                             int until_days, const struct peer_identity *issuer) {
    static long serial = 1;
    struct peer_identity made = {.certificate = X509_new(), .key = peer_key()};
    const struct peer_identity *by = issuer ? issuer : &made;
    X509 *certificate = made.certificate;
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), serial++);
    X509_gmtime_adj(X509_getm_notBefore(certificate), (long)from_days * PEER_DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(certificate), (long)until_days * PEER_DAY_S + 3600);
    X509_set_pubkey(certificate, made.key);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, X509_get_subject_name(by->certificate));
    peer_extend(certificate, by->certificate, NID_basic_constraints,
                issuer ? "critical,CA:FALSE" : "critical,CA:TRUE");
    if (names) {
        peer_extend(certificate, by->certificate, NID_subject_alt_name, names);
    }
    ck_assert_int_gt(X509_sign(certificate, by->key, EVP_sha256()), 0);
    return made;
}

static inline void peer_free(struct peer_identity *identity) {
    X509_free(identity->certificate);
    EVP_PKEY_free(identity->key);
    *identity = (struct peer_identity){0};
}

static inline void peer_write_certificate(const char *path, const struct peer_identity *identity) {
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_X509(file, identity->certificate), 1);
    ck_assert_int_eq(fclose(file), 0);
}

/* Encrypted unless password is NULL. */
static inline void peer_write_key(const char *path, const struct peer_identity *identity,
                                  const char *password) {
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_PKCS8PrivateKey(file, identity->key,
                                               password ? EVP_aes_128_cbc() : NULL, password,
                                               password ? (int)strlen(password) : 0, NULL, NULL),
                     1);
    ck_assert_int_eq(fclose(file), 0);
}

/* For one version only, which is TLS1_2_VERSION or TLS1_3_VERSION. */
static inline SSL_CTX *peer_context(const struct peer_identity *identity, int version) {
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    ck_assert_ptr_nonnull(context);
    SSL_CTX_set_min_proto_version(context, version);
    SSL_CTX_set_max_proto_version(context, version);
    SSL_CTX_set_session_id_context(context, (const unsigned char *)"peer", 4);
    ck_assert_int_eq(SSL_CTX_use_certificate(context, identity->certificate), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(context, identity->key), 1);
    return context;
}

/* From now on only clients with a certificate signed by `authority` are let in. */
static inline void peer_demand_certificate(SSL_CTX *context,
                                           const struct peer_identity *authority) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context), authority->certificate);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
}
