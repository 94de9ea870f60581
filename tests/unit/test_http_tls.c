/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTPS against a server with a certificate made here: whom a call trusts, and what it says of
 * whom it does not trust.
 */
#include "base/http.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit.h"

enum { WAIT_MS = 30000, DAY_S = 86400 };

static struct {
    SSL_CTX *context;
    int listen_fd;
    unsigned port;
    pthread_t thread;
    char own[64], other[64]; /* PEM files: its certificate; one that it does not have */
} server;

static EVP_PKEY *make_key(void) {
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_id(EVP_PKEY_EC, NULL);
    ck_assert_int_eq(EVP_PKEY_keygen_init(context), 1);
    ck_assert_int_eq(EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context, NID_X9_62_prime256v1), 1);
    ck_assert_int_eq(EVP_PKEY_keygen(context, &key), 1);
    EVP_PKEY_CTX_free(context);
    return key;
}

static void add_extension(X509 *certificate, int nid, const char *value) {
    X509V3_CTX context;
    X509V3_set_ctx(&context, certificate, certificate, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    ck_assert_ptr_nonnull(extension);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
}

/* Signed by itself, for 127.0.0.1 alone. */
static X509 *make_certificate(EVP_PKEY *key, const char *name) {
    X509 *certificate = X509_new();
    X509_set_version(certificate, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(certificate), 1);
    X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S);
    X509_gmtime_adj(X509_getm_notAfter(certificate), DAY_S);
    X509_set_pubkey(certificate, key);
    X509_NAME *subject = X509_get_subject_name(certificate);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)name, -1, -1, 0);
    X509_set_issuer_name(certificate, subject);
    add_extension(certificate, NID_basic_constraints, "critical,CA:TRUE");
    add_extension(certificate, NID_subject_alt_name, "IP:127.0.0.1");
    ck_assert_int_gt(X509_sign(certificate, key, EVP_sha256()), 0);
    return certificate;
}

static void write_pem(char *path, size_t size, X509 *certificate) {
    snprintf(path, size, "/tmp/test_http_tls_XXXXXX");
    FILE *file = fdopen(mkstemp(path), "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_eq(PEM_write_X509(file, certificate), 1);
    fclose(file);
}

/* One connection after the other, one request on each. */
static void *server_main(void *unused) {
    (void)unused;
    static const char reply[] = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"
                                "good";
    int fd;
    while ((fd = accept(server.listen_fd, NULL, NULL)) >= 0) {
        SSL *ssl = SSL_new(server.context);
        char request[4096];
        SSL_set_fd(ssl, fd);
        if (SSL_accept(ssl) == 1 && SSL_read(ssl, request, sizeof(request)) > 0) {
            SSL_write(ssl, reply, sizeof(reply) - 1);
            SSL_shutdown(ssl);
        }
        SSL_free(ssl);
        close(fd);
    }
    return NULL;
}

static void setup(void) {
    signal(SIGPIPE, SIG_IGN); /* as main does; clients hang up on us */
    EVP_PKEY *key = make_key(), *other_key = make_key();
    X509 *own = make_certificate(key, "own"), *other = make_certificate(other_key, "other");
    write_pem(server.own, sizeof(server.own), own);
    write_pem(server.other, sizeof(server.other), other);
    server.context = SSL_CTX_new(TLS_server_method());
    ck_assert_int_eq(SSL_CTX_use_certificate(server.context, own), 1);
    ck_assert_int_eq(SSL_CTX_use_PrivateKey(server.context, key), 1);
    X509_free(own);
    X509_free(other);
    EVP_PKEY_free(key);
    EVP_PKEY_free(other_key);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    server.listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(bind(server.listen_fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(server.listen_fd, 8), 0);
    ck_assert_int_eq(getsockname(server.listen_fd, (struct sockaddr *)&address, &len), 0);
    server.port = ntohs(address.sin_port);
    ck_assert_int_eq(pthread_create(&server.thread, NULL, server_main, NULL), 0);
}

static void teardown(void) {
    shutdown(server.listen_fd, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listen_fd);
    SSL_CTX_free(server.context);
    unlink(server.own);
    unlink(server.other);
}

/* A call to https://HOST:port/ that trusts ca_file; where text is NULL it must go well, else its
   error must have the text in it. */
static void expect(const char *host, const char *ca_file, const char *text) {
    struct http *http = http_open(&(struct http_conf){.proxy = "", .ca_file = ca_file});
    struct http_call *call = http_call_open(http, 1000);
    char url[128], place[64];
    snprintf(url, sizeof(url), "https://%s:%u/path?secret", host, server.port);
    snprintf(place, sizeof(place), "%s:%u: ", host, server.port);
    struct http_request request = {
        .method = "GET", .url = url, .connect_ms = WAIT_MS, .timeout_ms = WAIT_MS};
    http_call_start(call, &request);
    enum http_state state = http_run(http, call, NULL);
    const struct http_reply *reply = http_call_reply(call);
    if (text) {
        ck_assert_int_eq(state, HTTP_FAILED);
        ck_assert_int_eq(reply->err.kind, ERR_RETRY);
        ck_assert_msg(strncmp(reply->err.text, place, strlen(place)) == 0 &&
                          strstr(reply->err.text, text) && !strstr(reply->err.text, "secret"),
                      "%s", reply->err.text);
    } else {
        ck_assert_msg(state == HTTP_DONE, "%s", reply->err.text);
        ck_assert_str_eq(reply->body, "good");
    }
    http_call_close(call);
    http_close(http);
}

START_TEST(the_named_authority_is_trusted) {
    expect("127.0.0.1", server.own, NULL);
    expect("127.0.0.1", server.own, NULL);
}
END_TEST

START_TEST(others_are_not_trusted_and_the_remedy_is_said) {
    char text[128];
    snprintf(text, sizeof(text), "in ca_file %s", server.other);
    expect("127.0.0.1", server.other, text);
    expect("127.0.0.1", NULL, "name its PEM as ca_file");
    expect("127.0.0.1", "/nonexistent/ca.pem", "cannot read the authorities in ca_file /nonexist");
}
END_TEST

START_TEST(the_certificate_must_be_for_this_host) {
    expect("localhost", server.own, "localhost");
}
END_TEST

int main(void) {
    Suite *suite = suite_create("http_tls");
    TCase *tcase = tcase_create("http_tls");
    tcase_add_checked_fixture(tcase, setup, teardown);
    tcase_set_timeout(tcase, 120);
    tcase_add_test(tcase, the_named_authority_is_trusted);
    tcase_add_test(tcase, others_are_not_trusted_and_the_remedy_is_said);
    tcase_add_test(tcase, the_certificate_must_be_for_this_host);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
