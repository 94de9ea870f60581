/* SPDX-License-Identifier: Apache-2.0 */
/* See tls.h. A client's files become an SSL_CTX, a connection an SSL over a BIO that counts. */
#include "base/tls.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/tls_error.h"
#include "base/xalloc.h"

enum { FILES = 3, FILE_MAX = 4 << 20, DRAIN_ROUNDS = 16 };

static const struct {
    int number;
    const char *text;
} versions[] = {
    [TLS_AT_LEAST_1_2] = {TLS1_2_VERSION, "1.2"},
    [TLS_AT_LEAST_1_3] = {TLS1_3_VERSION, "1.3"},
};

struct tls_client {
    const struct tls_settings *settings;
    SSL_CTX *context;
    struct file_mark marks[FILES]; /* when the files were last looked at */
    uint64_t version;              /* counts how often they were read */
};

struct tls {
    const struct tls_client *client;
    uint64_t version; /* of the client's files that it was made with */
    SSL *ssl;
    BIO *bio; /* the socket; belongs to ssl */
    int fd;
    uint64_t handshake_bytes; /* written before the first record of ours */
    struct tls_ticket *ticket;
    struct tls_refusal refusal;
    char name[TLS_NAME_MAX]; /* that the peer's certificate must be for */
    bool ended;              /* our close_notify is written */
    size_t kept_len;         /* 0: none */
    char kept[TLS_RECORD_MAX];
};

void tls_ticket_done(struct tls_ticket *ticket) {
    SSL_SESSION_free(ticket->session);
    *ticket = (struct tls_ticket){0};
}

static const char *file_of(const struct tls_settings *settings, size_t index) {
    const char *const files[FILES] = {settings->ca, settings->cert, settings->key};
    return files[index];
}

/* Reads one of the files as OpenSSL wants it; the caller frees it with file_bio_free. */
static BIO *file_bio(const char *setting, const char *path, struct buf *bytes, struct err *err) {
    buf_init(bytes, FILE_MAX);
    if (file_read(path, bytes, err) != 0) {
        buf_done(bytes);
        err_wrap(err, "tls.%s", setting);
        err->kind = ERR_CONFIG;
        return NULL;
    }
    return BIO_new_mem_buf(bytes->data ? bytes->data : "", (int)bytes->len);
}

/* A key's bytes do not stay in freed memory. */
static void file_bio_free(BIO *bio, struct buf *bytes) {
    BIO_free(bio);
    if (bytes->data) {
        OPENSSL_cleanse(bytes->data, bytes->len);
    }
    buf_done(bytes);
}

/* The end of a PEM file is told as a lack of a further beginning. */
static bool is_pem_end(void) {
    unsigned long code = ERR_peek_last_error();
    bool is_end = ERR_GET_LIB(code) == ERR_LIB_PEM && ERR_GET_REASON(code) == PEM_R_NO_START_LINE;
    if (is_end) {
        ERR_clear_error();
    }
    return is_end;
}

typedef int (*take_certificate)(SSL_CTX *context, X509 *certificate, int index);

static int take_authority(SSL_CTX *context, X509 *certificate, int index) {
    (void)index;
    return X509_STORE_add_cert(SSL_CTX_get_cert_store(context), certificate);
}

static int take_own(SSL_CTX *context, X509 *certificate, int index) {
    return index == 0 ? SSL_CTX_use_certificate(context, certificate)
                      : (int)SSL_CTX_add1_chain_cert(context, certificate);
}

static int load_certificates(SSL_CTX *context, const char *setting, const char *path,
                             take_certificate take, struct err *err) {
    struct buf bytes;
    BIO *bio = file_bio(setting, path, &bytes, err);
    if (!bio) {
        return -1;
    }
    X509 *certificate;
    int count = 0, taken = 1;
    while (taken == 1 && (certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL))) {
        taken = take(context, certificate, count++);
        X509_free(certificate);
    }
    bool is_whole = taken == 1 && is_pem_end();
    file_bio_free(bio, &bytes);
    if (!is_whole) {
        return err_set(err, ERR_CONFIG, "tls.%s: %s: certificate %d cannot be used: %s", setting,
                       path, count + (taken == 1), tls_error_reason());
    }
    return count > 0
               ? 0
               : err_set(err, ERR_CONFIG, "tls.%s: %s holds no certificate (PEM)", setting, path);
}

/* Also where there is none: OpenSSL would else ask on the terminal. */
static int tell_password(char *out, int size, int writing, void *password) {
    (void)writing;
    int len = password ? (int)strlen(password) : 0;
    if (len > size) {
        return -1;
    }
    memcpy(out, password ? password : "", (size_t)len);
    return len;
}

static int load_key(SSL_CTX *context, const struct tls_settings *settings, struct err *err) {
    struct buf bytes;
    BIO *bio = file_bio("key", settings->key, &bytes, err);
    if (!bio) {
        return -1;
    }
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, tell_password, settings->key_password);
    file_bio_free(bio, &bytes);
    if (!key) {
        return err_set(err, ERR_CONFIG,
                       "tls.key: %s holds no private key (PEM), or key_password is wrong: %s",
                       settings->key, tls_error_reason());
    }
    bool fits =
        SSL_CTX_use_PrivateKey(context, key) == 1 && SSL_CTX_check_private_key(context) == 1;
    EVP_PKEY_free(key);
    return fits ? 0
                : err_set(err, ERR_CONFIG, "tls.key: %s does not belong to the certificate %s: %s",
                          settings->key, settings->cert, tls_error_reason());
}

static int load_files(SSL_CTX *context, const struct tls_settings *settings, struct err *err) {
    if (settings->ca) {
        if (load_certificates(context, "ca", settings->ca, take_authority, err) != 0) {
            return -1;
        }
    } else if (settings->verify && SSL_CTX_set_default_verify_paths(context) != 1) {
        return err_set(err, ERR_CONFIG, "tls: cannot read the system's authorities: %s",
                       tls_error_reason());
    }
    return !settings->cert ? 0
           : load_certificates(context, "cert", settings->cert, take_own, err) != 0
               ? -1
               : load_key(context, settings, err);
}

/* OpenSSL gives a ticket to whoever wants to keep it; it comes when it comes. */
static int take_ticket(SSL *ssl, SSL_SESSION *session) {
    const struct tls *tls = SSL_get_app_data(ssl);
    if (!tls->ticket || tls->version != tls->client->version) {
        return 0;
    }
    SSL_SESSION_free(tls->ticket->session);
    *tls->ticket = (struct tls_ticket){.session = session, .version = tls->version};
    return 1;
}

static int look_at_certificate(int ok, X509_STORE_CTX *store) {
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct tls *tls = SSL_get_app_data(ssl);
    if (!ok) {
        tls_refusal_note(&tls->refusal, store);
    }
    return ok;
}

/* PARTIAL_CHAIN: who names an intermediate authority, or the receiver's own certificate, as `ca`
   means that one. */
static SSL_CTX *load_context(const struct tls_settings *settings, struct err *err) {
    ERR_clear_error();
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    assert(context);
    SSL_CTX_set_min_proto_version(context, versions[settings->min_version].number);
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(context, take_ticket);
    X509_VERIFY_PARAM_set_flags(SSL_CTX_get0_param(context), X509_V_FLAG_PARTIAL_CHAIN);
    SSL_CTX_set_verify(context, settings->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       look_at_certificate);
    if (load_files(context, settings, err) != 0) {
        SSL_CTX_free(context);
        return NULL;
    }
    return context;
}

/* Notes the present marks; whether one differs from what was noted. */
static bool files_changed(struct tls_client *client) {
    bool changed = false;
    for (size_t i = 0; i < FILES; i++) {
        const char *path = file_of(client->settings, i);
        struct file_mark now = {0}; /* of a file that is not there just now */
        if (path) {
            file_mark(path, &now, NULL);
            changed |= !file_mark_eq(&now, &client->marks[i]);
            client->marks[i] = now;
        }
    }
    return changed;
}

int tls_client_open(const struct tls_settings *settings, struct tls_client **out, struct err *err) {
    struct tls_client *client = xcalloc(1, sizeof(*client));
    client->settings = settings;
    files_changed(client);
    client->context = load_context(settings, err);
    if (!client->context) {
        free(client);
        return -1;
    }
    client->version = 1;
    *out = client;
    return 0;
}

void tls_client_close(struct tls_client *client) {
    if (client) {
        SSL_CTX_free(client->context);
        free(client);
    }
}

int tls_client_refresh(struct tls_client *client, struct err *err) {
    if (!files_changed(client)) {
        return 0;
    }
    SSL_CTX *context = load_context(client->settings, err);
    if (!context) {
        return -1;
    }
    SSL_CTX_free(client->context); /* connections that use it keep it alive */
    client->context = context;
    client->version++;
    return 1;
}

void tls_client_describe(const struct tls_client *client, struct buf *out) {
    X509 *certificate = SSL_CTX_get0_certificate(client->context);
    if (certificate) {
        tls_certificate_describe(certificate, false, out);
    } else {
        buf_printf(out, "no certificate of our own");
    }
}

static bool is_address(const char *name) {
    struct in6_addr scratch;
    return inet_pton(AF_INET, name, &scratch) == 1 || inet_pton(AF_INET6, name, &scratch) == 1;
}

/* Whom the certificate must be for, and, for a name, whom we ask for (RFC 6066 has no addresses). */
static void expect_name(struct tls *tls, const char *host) {
    const char *wanted = tls->client->settings->server_name;
    snprintf(tls->name, sizeof(tls->name), "%s", wanted ? wanted : host);
    size_t len = strlen(tls->name);
    if (len > 1 && tls->name[len - 1] == '.') {
        tls->name[len - 1] = '\0';
    }
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
    int done = is_address(tls->name) ? X509_VERIFY_PARAM_set1_ip_asc(param, tls->name)
                                     : SSL_set_tlsext_host_name(tls->ssl, tls->name) == 1 &&
                                           X509_VERIFY_PARAM_set1_host(param, tls->name, 0);
    assert(done == 1); /* else nothing would be checked */
}

/* A shortened handshake does not look at the certificate: so not with one that is over by now, and
   not when it may be another authority that is to be trusted. */
static void offer_ticket(struct tls *tls) {
    struct tls_ticket *ticket = tls->ticket;
    if (!ticket || !ticket->session) {
        return;
    }
    X509 *peer = SSL_SESSION_get0_peer(ticket->session);
    if (ticket->version != tls->version || !SSL_SESSION_is_resumable(ticket->session) || !peer ||
        X509_cmp_current_time(X509_get0_notAfter(peer)) <= 0) {
        tls_ticket_done(ticket);
    } else {
        SSL_set_session(tls->ssl, ticket->session);
    }
}

struct tls *tls_open(struct tls_client *client, int fd, const char *host,
                     struct tls_ticket *ticket) {
    struct tls *tls = xcalloc(1, sizeof(*tls));
    tls->client = client;
    tls->version = client->version;
    tls->fd = fd;
    tls->ticket = ticket;
    tls->ssl = SSL_new(client->context);
    tls->bio = BIO_new_socket(fd, BIO_NOCLOSE);
    assert(tls->ssl && tls->bio);
    SSL_set_bio(tls->ssl, tls->bio, tls->bio);
    SSL_set_app_data(tls->ssl, tls);
    expect_name(tls, host);
    offer_ticket(tls);
    return tls;
}

/* Without the two marks OpenSSL would spoil the ticket of a connection that was cut. */
void tls_close(struct tls *tls) {
    if (tls) {
        SSL_set_shutdown(tls->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
        SSL_free(tls->ssl);
        OPENSSL_cleanse(tls->kept, tls->kept_len);
        free(tls);
    }
}

static bool is_waiting(const struct tls *tls, int result) {
    int why = SSL_get_error(tls->ssl, result);
    return why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE;
}

/* An end without close_notify; before OpenSSL 3.0 it is a system call that failed with nothing. */
static bool is_eof(const struct tls *tls, int result, int sys) {
    int why = SSL_get_error(tls->ssl, result);
    return (why == SSL_ERROR_SSL && tls_error_is_eof()) ||
           (why == SSL_ERROR_SYSCALL && sys == 0 && ERR_peek_error() == 0);
}

/* Why an operation failed for good; err->sys is 0 where TLS is the reason. */
static int say_failure(const struct tls *tls, int result, int sys, struct err *err) {
    if (is_eof(tls, result, sys)) {
        ERR_clear_error();
        return err_set(err, ERR_RETRY, "the peer closed the connection");
    }
    if (SSL_get_error(tls->ssl, result) == SSL_ERROR_SYSCALL && sys != 0) {
        ERR_clear_error();
        errno = sys;
        return err_sys(err, ERR_RETRY, "connection lost");
    }
    return tls_error_say(versions[tls->client->settings->min_version].text, err);
}

/* What is wrong with the certificate says more than that something is. */
static int say_handshake_failure(struct tls *tls, int result, int sys, struct err *err) {
    bool is_refused = tls->refusal.code != X509_V_OK && tls->client->settings->verify &&
                      SSL_get_verify_result(tls->ssl) != X509_V_OK;
    if (tls->ticket) {
        tls_ticket_done(tls->ticket); /* perhaps it is what the peer cannot bear */
    }
    if (is_refused) {
        ERR_clear_error();
        tls_refusal_say(&tls->refusal, tls->name, err);
        return -1;
    }
    bool is_cut = is_eof(tls, result, sys) || SSL_get_error(tls->ssl, result) == SSL_ERROR_SYSCALL;
    say_failure(tls, result, sys, err);
    return err_wrap(err, "%s",
                    is_cut ? "TLS handshake (does the receiver speak TLS on this port?)"
                           : "TLS handshake");
}

int tls_handshake(struct tls *tls, struct err *err) {
    ERR_clear_error();
    errno = 0;
    int result = SSL_connect(tls->ssl);
    int sys = errno;
    if (result == 1) {
        tls->handshake_bytes = BIO_number_written(tls->bio);
        return 1;
    }
    return is_waiting(tls, result) ? 0 : say_handshake_failure(tls, result, sys, err);
}

short tls_wants(const struct tls *tls) {
    return SSL_want_write(tls->ssl) ? POLLOUT : POLLIN;
}

bool tls_is_resumed(const struct tls *tls) {
    return SSL_session_reused(tls->ssl) == 1;
}

const char *tls_version_name(const struct tls *tls) {
    return SSL_get_version(tls->ssl);
}

void tls_describe(const struct tls *tls, struct buf *out) {
    X509 *certificate = SSL_get_peer_certificate(tls->ssl);
    buf_printf(out, "%s, %s", SSL_get_version(tls->ssl), SSL_get_cipher_name(tls->ssl));
    if (certificate) {
        buf_printf(out, ", ");
        tls_certificate_describe(certificate, true, out);
        X509_free(certificate);
    }
    if (!tls->client->settings->verify) {
        struct err err;
        buf_printf(out, "; not verified, as tls.verify is false");
        if (tls->refusal.code != X509_V_OK) {
            tls_refusal_say(&tls->refusal, tls->name, &err);
            buf_printf(out, ": %s", err.text);
        }
    }
}

static int write_result(struct tls *tls, int result, int sys, struct err *err) {
    if (result > 0) {
        tls->kept_len = 0;
        return 1;
    }
    return is_waiting(tls, result) ? 0 : say_failure(tls, result, sys, err);
}

/* OpenSSL wants to see the same bytes again, wherever they lie by then. */
int tls_push(struct tls *tls, struct err *err) {
    assert(tls->kept_len > 0);
    ERR_clear_error();
    errno = 0;
    int result = SSL_write(tls->ssl, tls->kept, (int)tls->kept_len);
    return write_result(tls, result, errno, err);
}

int tls_write(struct tls *tls, struct span bytes, struct err *err) {
    assert(tls->kept_len == 0 && bytes.len > 0 && bytes.len <= TLS_RECORD_MAX);
    ERR_clear_error();
    errno = 0;
    int result = SSL_write(tls->ssl, bytes.p, (int)bytes.len);
    result = write_result(tls, result, errno, err);
    if (result == 0) {
        memcpy(tls->kept, bytes.p, bytes.len);
        tls->kept_len = bytes.len;
    }
    return result;
}

uint64_t tls_written(const struct tls *tls) {
    return BIO_number_written(tls->bio) - tls->handshake_bytes;
}

static enum net_drained take_close_notify(const struct tls *tls, struct err *err) {
    enum net_drained drained = tls->ended ? net_drain(tls->fd) : NET_FIN;
    if (drained == NET_LOST) {
        err_sys(err, ERR_RETRY, "connection lost");
    }
    return drained;
}

enum net_drained tls_drain(struct tls *tls, struct err *err) {
    char thrown_away[TLS_RECORD_MAX];
    for (int i = 0; i < DRAIN_ROUNDS; i++) {
        ERR_clear_error();
        errno = 0;
        int result = SSL_read(tls->ssl, thrown_away, sizeof(thrown_away));
        int sys = errno;
        if (result > 0) {
            continue;
        }
        if (is_waiting(tls, result)) {
            return NET_OPEN;
        }
        if (SSL_get_error(tls->ssl, result) == SSL_ERROR_ZERO_RETURN) {
            return take_close_notify(tls, err);
        }
        if (is_eof(tls, result, sys)) {
            ERR_clear_error();
            return NET_FIN;
        }
        say_failure(tls, result, sys, err);
        return NET_LOST;
    }
    return NET_OPEN;
}

int tls_end(struct tls *tls, struct err *err) {
    int on = 1;
    setsockopt(tls->fd, IPPROTO_TCP, TCP_CORK, &on, sizeof(on));
    ERR_clear_error();
    errno = 0;
    int result = SSL_shutdown(tls->ssl);
    int sys = errno;
    if (result >= 0) {
        tls->ended = true;
        return 1;
    }
    return is_waiting(tls, result) ? 0 : say_failure(tls, result, sys, err);
}
