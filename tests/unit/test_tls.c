/* SPDX-License-Identifier: Apache-2.0 */
#include "base/tls.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include "tls_peer.h"
#include "unit.h"

/*
 * A client and a server in one thread, by turns, over a TCP connection on loopback: each test takes
 * the steps that it is about.
 */

enum { STEPS_MAX = 200000, SMALL_BUFFER = 16 << 10 };

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static struct peer_identity authority, stranger, own;
static char folder[32], ca_path[PEER_PATH_MAX], cert_path[PEER_PATH_MAX], key_path[PEER_PATH_MAX];
static struct tls_settings settings;
static struct tls_client *client;
static struct tls_ticket ticket;
static SSL_CTX *context;
static struct err err;
static struct buf text;

static struct {
    int listen_fd, fd, server_fd;
    struct tls *tls;
    SSL *server;
    size_t received; /* by the server, as it was sent */
} pair;

static void setup(void) {
    signal(SIGPIPE, SIG_IGN); /* as main does */
    strcpy(folder, "/tmp/test_tls_XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(ca_path, sizeof(ca_path), "%s/ca.pem", folder);
    snprintf(cert_path, sizeof(cert_path), "%s/cert.pem", folder);
    snprintf(key_path, sizeof(key_path), "%s/key.pem", folder);
    authority = peer_make("authority", NULL, -1, 30, NULL);
    stranger = peer_make("stranger", NULL, -1, 30, NULL);
    own = peer_make("graylog", "IP:127.0.0.1,DNS:graylog.test", -1, 20, &authority);
    peer_write_certificate(ca_path, &authority);
    settings = (struct tls_settings){.ca = ca_path, .verify = true};
    context = peer_context(&own, TLS1_3_VERSION);
    pair.fd = pair.server_fd = pair.listen_fd = -1;
    buf_init(&text, 4096);
}

static void hang_up(void) {
    tls_close(pair.tls);
    SSL_free(pair.server);
    const int fds[] = {pair.fd, pair.server_fd, pair.listen_fd};
    for (size_t i = 0; i < 3; i++) {
        if (fds[i] >= 0) {
            close(fds[i]);
        }
    }
    pair.tls = NULL;
    pair.server = NULL;
    pair.fd = pair.server_fd = pair.listen_fd = -1;
    pair.received = 0;
}

static void teardown(void) {
    hang_up();
    tls_ticket_done(&ticket);
    tls_client_close(client);
    SSL_CTX_free(context);
    peer_free(&authority);
    peer_free(&stranger);
    peer_free(&own);
    buf_done(&text);
    unlink(ca_path);
    unlink(cert_path);
    unlink(key_path);
    rmdir(folder);
}

static void read_files(void) {
    ck_assert_msg(tls_client_open(&settings, &client, &err) == 0, "%s", err.text);
}

/* TCP connected, nothing said by TLS. `buffer_bytes` of the server's receive buffer, 0: as it is. */
static void connect_pair(const char *host, int buffer_bytes) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    pair.listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (buffer_bytes > 0) {
        setsockopt(pair.listen_fd, SOL_SOCKET, SO_RCVBUF, &buffer_bytes, sizeof(buffer_bytes));
    }
    ck_assert_int_eq(bind(pair.listen_fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(pair.listen_fd, 1), 0);
    ck_assert_int_eq(getsockname(pair.listen_fd, (struct sockaddr *)&address, &len), 0);
    pair.fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(pair.fd, (struct sockaddr *)&address, len), 0);
    fcntl(pair.fd, F_SETFL, O_NONBLOCK);
    pair.server_fd = accept4(pair.listen_fd, NULL, NULL, SOCK_NONBLOCK);
    ck_assert_int_ge(pair.server_fd, 0);
    pair.tls = tls_open(client, pair.fd, host, &ticket);
    pair.server = SSL_new(context);
    SSL_set_fd(pair.server, pair.server_fd);
}

/* A step of each side; what the client's came to. */
static int step(void) {
    int result = tls_handshake(pair.tls, &err);
    ERR_clear_error();
    SSL_accept(pair.server);
    ERR_clear_error();
    return result;
}

static int shake_hands(const char *host) {
    connect_pair(host, 0);
    for (int i = 0; i < STEPS_MAX; i++) {
        int result = step();
        if (result < 0 || (result > 0 && SSL_is_init_finished(pair.server))) {
            return result;
        }
    }
    ck_abort_msg("the handshake does not come to its end");
    return 0;
}

/* The server reads what there is, up to `max` bytes. */
static void serve(size_t max) {
    static char bytes[TLS_RECORD_MAX];
    size_t wanted;
    int got = 1;
    while (max > 0 && got > 0) {
        wanted = max < sizeof(bytes) ? max : sizeof(bytes);
        got = SSL_read(pair.server, bytes, (int)wanted);
        for (int i = 0; i < got; i++) {
            ck_assert_int_eq((unsigned char)bytes[i], (unsigned char)(pair.received++ % 251));
        }
        max -= got > 0 ? (size_t)got : 0;
    }
    ERR_clear_error();
}

/* The client takes in what the server has sent, until it has a ticket of use; one of TLS 1.3 is used
   once. */
static void listen_to_server(void) {
    for (int i = 0; i < 100 && !(ticket.session && SSL_SESSION_is_resumable(ticket.session)); i++) {
        ck_assert_int_eq(tls_drain(pair.tls, &err), NET_OPEN);
        poll(&(struct pollfd){.fd = pair.fd, .events = POLLIN}, 1, 10);
    }
}

/* Acknowledgements may be delayed. */
static void await_acknowledged(void) {
    for (int i = 0; i < 10000 && net_unacknowledged(pair.fd) > 0; i++) {
        poll(NULL, 0, 1);
    }
    ck_assert_int_eq(net_unacknowledged(pair.fd), 0);
}

static struct span pattern(size_t offset, size_t len) {
    static char bytes[TLS_RECORD_MAX];
    for (size_t i = 0; i < len; i++) {
        bytes[i] = (char)((offset + i) % 251);
    }
    return span_of(bytes, len);
}

static void expect_refusal(const char *host, const char *words, const char *remedy) {
    ck_assert_int_eq(shake_hands(host), -1);
    ck_assert_int_eq(err.kind, ERR_RETRY);
    ck_assert_msg(strstr(err.text, words) && strstr(err.text, remedy), "%s", err.text);
    ck_assert_ptr_null(ticket.session);
}

static void serve_with(struct peer_identity identity, int version) {
    SSL_CTX_free(context);
    context = peer_context(&identity, version);
    peer_free(&identity);
}

START_TEST(a_handshake_goes_on_a_step_at_a_time) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    read_files();
    connect_pair("127.0.0.1", 0);
    ck_assert_int_eq(tls_handshake(pair.tls, &err), 0);
    ck_assert_int_eq(tls_wants(pair.tls), POLLIN);
    for (int i = 0; i < 10; i++) { /* the server is silent */
        ck_assert_int_eq(tls_handshake(pair.tls, &err), 0);
    }
    int result = 0;
    for (int i = 0; i < STEPS_MAX && result == 0; i++) {
        result = step();
    }
    ck_assert_int_eq(result, 1);
    ck_assert_str_eq(tls_version_name(pair.tls), _i == 0 ? "TLSv1.2" : "TLSv1.3");
    ck_assert(!tls_is_resumed(pair.tls));
    ck_assert_uint_eq(tls_written(pair.tls), 0);
    tls_describe(pair.tls, &text);
    ck_assert_ptr_nonnull(strstr(
        buf_cstr(&text), "certificate CN=graylog, issued by CN=authority, 20 days left (until "));
}
END_TEST

START_TEST(a_name_counts_as_an_address_does) {
    read_files();
    ck_assert_msg(shake_hands("graylog.test") == 1, "%s", err.text);
    ck_assert_str_eq(SSL_get_servername(pair.server, TLSEXT_NAMETYPE_host_name), "graylog.test");
    hang_up();
    ck_assert_int_eq(shake_hands("graylog.test."), 1);
    hang_up();
    ck_assert_int_eq(shake_hands("127.0.0.1"), 1);
}
END_TEST

START_TEST(a_wrong_name_is_refused) {
    read_files();
    expect_refusal("other.test", "is for 127.0.0.1, graylog.test and not for other.test",
                   "server_name");
    hang_up();
    expect_refusal("127.0.0.2", "not for 127.0.0.2", "server_name");
    hang_up();
    tls_client_close(client);
    char name[] = "graylog.test";
    settings.server_name = name;
    read_files();
    ck_assert_int_eq(shake_hands("other.test"), 1);
}
END_TEST

START_TEST(a_certificate_without_names_is_for_nobody) {
    serve_with(peer_make("127.0.0.1", NULL, -1, 20, &authority), TLS1_3_VERSION);
    read_files();
    expect_refusal("127.0.0.1", "for no name at all", "server_name");
}
END_TEST

START_TEST(times_are_held) {
    read_files();
    serve_with(peer_make("graylog", "IP:127.0.0.1", -9, -2, &authority), TLS1_3_VERSION);
    expect_refusal("127.0.0.1", "(CN=graylog) expired on 20", "renew it there");
    hang_up();
    serve_with(peer_make("graylog", "IP:127.0.0.1", 2, 9, &authority), TLS1_3_VERSION);
    expect_refusal("127.0.0.1", "is valid only from 20", "clock");
}
END_TEST

START_TEST(an_unknown_authority_is_refused) {
    read_files();
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &stranger), versions[_i]);
    expect_refusal("127.0.0.1", "not trusted here (CN=stranger)", "tls: {ca: FILE}");
    hang_up();
    serve_with(peer_make("alone", "IP:127.0.0.1", -1, 20, NULL), versions[_i]);
    expect_refusal("127.0.0.1", "(CN=alone)", "tls: {ca: FILE}");
    tls_client_close(client);
    settings.ca = NULL; /* whom the system trusts; not us */
    read_files();
    hang_up();
    expect_refusal("127.0.0.1", "(CN=alone)", "tls: {ca: FILE}");
}
END_TEST

START_TEST(the_receivers_own_certificate_may_be_the_authority) {
    peer_write_certificate(ca_path, &own);
    read_files();
    ck_assert_msg(shake_hands("127.0.0.1") == 1, "%s", err.text);
}
END_TEST

START_TEST(without_verification_everything_passes_and_it_is_said) {
    settings.verify = false;
    read_files();
    serve_with(peer_make("graylog", "DNS:elsewhere", -9, -2, &stranger), versions[_i]);
    ck_assert_msg(shake_hands("127.0.0.1") == 1, "%s", err.text);
    tls_describe(pair.tls, &text);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "expired 1 days ago"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "not verified, as tls.verify is false"));
}
END_TEST

START_TEST(an_old_version_is_refused) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), TLS1_2_VERSION);
    settings.min_version = TLS_AT_LEAST_1_3;
    read_files();
    expect_refusal("127.0.0.1", "no TLS 1.3 or newer", "min_version");
}
END_TEST

START_TEST(an_answer_that_is_no_tls_is_named) {
    read_files();
    connect_pair("127.0.0.1", 0);
    ck_assert_int_eq(tls_handshake(pair.tls, &err), 0);
    ck_assert_int_gt(send(pair.server_fd, "HTTP/1.1 400 Bad Request\r\n", 26, 0), 0);
    int result;
    while ((result = tls_handshake(pair.tls, &err)) == 0) {
    }
    ck_assert_int_eq(result, -1);
    ck_assert_msg(strstr(err.text, "the answer is no TLS"), "%s", err.text);
}
END_TEST

START_TEST(an_end_in_the_handshake_is_a_failure) {
    read_files();
    connect_pair("127.0.0.1", 0);
    ck_assert_int_eq(tls_handshake(pair.tls, &err), 0);
    shutdown(pair.server_fd, SHUT_WR);
    int result;
    while ((result = tls_handshake(pair.tls, &err)) == 0) {
    }
    ck_assert_int_eq(result, -1);
    ck_assert_msg(strstr(err.text, "does the receiver speak TLS"), "%s", err.text);
}
END_TEST

static void give_certificate(const struct peer_identity *issuer, const char *password) {
    struct peer_identity mine = peer_make("flowgelf", NULL, -1, 10, issuer);
    peer_write_certificate(cert_path, &mine);
    peer_write_key(key_path, &mine, password);
    peer_free(&mine);
    settings.cert = cert_path;
    settings.key = key_path;
}

/* The server does not let us in: in TLS 1.3 the client learns it only when it reads. */
static void expect_rejection(const char *words) {
    connect_pair("127.0.0.1", 0);
    int result = 0;
    for (int i = 0; i < STEPS_MAX && result == 0; i++) {
        result = step();
    }
    for (int i = 0; i < STEPS_MAX && result >= 0; i++) {
        SSL_accept(pair.server);
        ERR_clear_error();
        result = tls_drain(pair.tls, &err) == NET_LOST ? -1 : 0;
    }
    ck_assert_int_eq(err.sys, 0);
    ck_assert_msg(strstr(err.text, words), "%s", err.text);
}

START_TEST(a_client_certificate_is_shown_where_it_is_asked_for) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    peer_demand_certificate(context, &authority);
    give_certificate(&authority, NULL);
    read_files();
    ck_assert_msg(shake_hands("127.0.0.1") == 1, "%s", err.text);
    X509 *shown = SSL_get_peer_certificate(pair.server);
    ck_assert_ptr_nonnull(shown);
    X509_free(shown);
    tls_client_describe(client, &text);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&text), "certificate CN=flowgelf, 10 days left (until "));
}
END_TEST

START_TEST(who_has_none_learns_what_is_lacking) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    peer_demand_certificate(context, &authority);
    read_files();
    expect_rejection("tls: {cert: FILE, key: FILE}");
}
END_TEST

START_TEST(who_has_a_strangers_learns_that_too) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    peer_demand_certificate(context, &authority);
    give_certificate(&stranger, NULL);
    read_files();
    expect_rejection("does not trust the authority of our certificate");
}
END_TEST

START_TEST(a_key_may_have_a_password) {
    char right[] = "secret", wrong[] = "secrets";
    give_certificate(&authority, right);
    settings.key_password = right;
    read_files();
    tls_client_close(client);
    client = NULL;
    settings.key_password = wrong;
    ck_assert_int_eq(tls_client_open(&settings, &client, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, "or key_password is wrong"));
    settings.key_password = NULL; /* nobody is asked on a terminal */
    ck_assert_int_eq(tls_client_open(&settings, &client, &err), -1);
}
END_TEST

static void write_text(const char *path, const char *bytes) {
    FILE *file = fopen(path, "w");
    fputs(bytes, file);
    fclose(file);
}

static void expect_broken(const char *words) {
    ck_assert_int_eq(tls_client_open(&settings, &client, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_msg(strstr(err.text, words) && strstr(err.text, folder), "%s", err.text);
}

START_TEST(broken_files_are_named) {
    unlink(ca_path);
    expect_broken("tls.ca: ");
    write_text(ca_path, "");
    expect_broken("holds no certificate (PEM)");
    write_text(ca_path, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    expect_broken("certificate 1 cannot be used");
    peer_write_certificate(ca_path, &authority);
    give_certificate(&authority, NULL);
    peer_write_key(key_path, &stranger, NULL);
    expect_broken("does not belong to the certificate");
    write_text(key_path, "nothing");
    expect_broken("tls.key: ");
}
END_TEST

START_TEST(changed_files_hold_for_new_connections) {
    read_files();
    ck_assert_int_eq(tls_client_refresh(client, &err), 0);
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &stranger), TLS1_3_VERSION);
    expect_refusal("127.0.0.1", "CN=stranger", "ca");
    hang_up();

    unlink(ca_path);
    ck_assert_int_eq(tls_client_refresh(client, &err), -1);
    ck_assert_ptr_nonnull(strstr(err.text, ca_path));
    ck_assert_int_eq(tls_client_refresh(client, &err), 0); /* said once */
    write_text(ca_path, "-----BEGIN CERTIFICATE-----\nbroken");
    ck_assert_int_eq(tls_client_refresh(client, &err), -1);
    expect_refusal("127.0.0.1", "CN=stranger", "ca"); /* what was read before stays */
    hang_up();

    peer_write_certificate(ca_path, &stranger);
    ck_assert_int_eq(tls_client_refresh(client, &err), 1);
    ck_assert_int_eq(tls_client_refresh(client, &err), 0);
    ck_assert_msg(shake_hands("127.0.0.1") == 1, "%s", err.text);
}
END_TEST

/* Ends a connection as gelf_tcp does after a good one; there is a ticket then. */
static void have_ticket(void) {
    ck_assert_msg(shake_hands("127.0.0.1") == 1, "%s", err.text);
    listen_to_server();
    ck_assert_ptr_nonnull(ticket.session);
    hang_up();
}

START_TEST(the_next_handshake_is_shorter) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    read_files();
    have_ticket(); /* and it was cut, not ended */
    for (int i = 0; i < 3; i++) {
        ck_assert_msg(shake_hands("127.0.0.1") == 1, "%s", err.text);
        ck_assert_msg(tls_is_resumed(pair.tls), "not the handshake number %d", i);
        ck_assert_int_eq(SSL_session_reused(pair.server), 1);
        ck_assert_int_eq(tls_write(pair.tls, pattern(0, 100), &err), 1);
        for (int k = 0; k < STEPS_MAX && pair.received < 100; k++) {
            serve(SIZE_MAX);
        }
        ck_assert_uint_eq(pair.received, 100);
        listen_to_server();
        hang_up();
    }
}
END_TEST

START_TEST(a_ticket_does_not_outlive_the_files_it_came_with) {
    read_files();
    have_ticket();
    peer_write_certificate(ca_path, &stranger);
    ck_assert_int_eq(tls_client_refresh(client, &err), 1);
    expect_refusal("127.0.0.1", "CN=authority", "ca");
}
END_TEST

START_TEST(a_ticket_of_a_server_that_forgot_it_does_no_harm) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    read_files();
    have_ticket();
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    ck_assert_msg(shake_hands("127.0.0.1") == 1, "%s", err.text);
    ck_assert(!tls_is_resumed(pair.tls));
}
END_TEST

START_TEST(records_are_written_as_far_as_the_kernel_takes_them) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    read_files();
    connect_pair("127.0.0.1", SMALL_BUFFER);
    int small = SMALL_BUFFER;
    setsockopt(pair.fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    while (step() == 0 || !SSL_is_init_finished(pair.server)) {
    }
    size_t handshake = BIO_number_read(SSL_get_rbio(pair.server));
    size_t sent = 0, kept = 0;
    while (sent < 4 << 20) {
        int result = tls_write(pair.tls, pattern(sent, TLS_RECORD_MAX), &err);
        ck_assert_int_ge(result, 0);
        sent += TLS_RECORD_MAX;
        uint64_t before = tls_written(pair.tls);
        ck_assert_uint_ge(before, sent - (result == 0 ? TLS_RECORD_MAX : 0));
        while (result == 0) {
            kept++;
            serve(5000);
            result = tls_push(pair.tls, &err);
            ck_assert_int_ge(result, 0);
            ck_assert_uint_ge(tls_written(pair.tls), before);
        }
    }
    for (int i = 0; i < STEPS_MAX && pair.received < sent; i++) {
        serve(SIZE_MAX);
    }
    ck_assert_uint_gt(kept, 100);
    ck_assert_uint_eq(pair.received, sent);
    ck_assert_uint_eq(BIO_number_read(SSL_get_rbio(pair.server)) - handshake,
                      tls_written(pair.tls));
    /* Full records: what stands around 16 KiB is some 20 bytes. */
    ck_assert_uint_lt(tls_written(pair.tls) - sent, sent / TLS_RECORD_MAX * 32);
    await_acknowledged();
}
END_TEST

/* Reads what comes to the server's socket without TLS, up to its end; how many bytes. */
static size_t read_raw(void) {
    static char bytes[65536];
    size_t total = 0;
    ssize_t got = -1;
    for (int i = 0; i < STEPS_MAX && got != 0; i++) {
        poll(&(struct pollfd){.fd = pair.server_fd, .events = POLLIN}, 1, 100);
        got = recv(pair.server_fd, bytes, sizeof(bytes), 0);
        total += got > 0 ? (size_t)got : 0;
    }
    ck_assert_int_eq(got, 0);
    return total;
}

START_TEST(written_counts_every_byte_up_to_the_half_close) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    read_files();
    ck_assert_int_eq(shake_hands("127.0.0.1"), 1);
    for (size_t i = 0; i < 10; i++) {
        ck_assert_int_eq(tls_write(pair.tls, pattern(0, 1 + 100 * i), &err), 1);
    }
    uint64_t before = tls_written(pair.tls);
    ck_assert_int_eq(tls_end(pair.tls, &err), 1);
    ck_assert_uint_gt(tls_written(pair.tls), before); /* the close_notify */
    ck_assert_int_ge(net_unacknowledged(pair.fd), (int64_t)(tls_written(pair.tls) - before));
    shutdown(pair.fd, SHUT_WR);
    ck_assert_uint_eq(read_raw(), tls_written(pair.tls));
    await_acknowledged();
    ck_assert_int_eq(tls_drain(pair.tls, &err), NET_OPEN);
    shutdown(pair.server_fd, SHUT_WR);
    enum net_drained drained;
    while ((drained = tls_drain(pair.tls, &err)) == NET_OPEN) {
    }
    ck_assert_int_eq(drained, NET_FIN); /* without close_notify, and that is fine */
}
END_TEST

START_TEST(behind_the_half_close_only_the_fin_counts) {
    serve_with(peer_make("graylog", "IP:127.0.0.1", -1, 20, &authority), versions[_i]);
    read_files();
    ck_assert_int_eq(shake_hands("127.0.0.1"), 1);
    ck_assert_int_eq(tls_end(pair.tls, &err), 1);
    shutdown(pair.fd, SHUT_WR);
    SSL_write(pair.server, "noise", 5);
    SSL_shutdown(pair.server);
    for (int i = 0; i < 20; i++) {
        ck_assert_int_eq(tls_drain(pair.tls, &err), NET_OPEN);
        poll(NULL, 0, 1);
    }
    shutdown(pair.server_fd, SHUT_WR);
    enum net_drained drained;
    while ((drained = tls_drain(pair.tls, &err)) == NET_OPEN) {
    }
    ck_assert_int_eq(drained, NET_FIN);
}
END_TEST

START_TEST(a_close_notify_before_ours_is_the_peers_end) {
    read_files();
    ck_assert_int_eq(shake_hands("127.0.0.1"), 1);
    SSL_shutdown(pair.server);
    enum net_drained drained;
    while ((drained = tls_drain(pair.tls, &err)) == NET_OPEN) {
    }
    ck_assert_int_eq(drained, NET_FIN);
}
END_TEST

START_TEST(a_reset_in_a_record_is_a_broken_connection) {
    struct linger linger = {.l_onoff = 1};
    read_files();
    ck_assert_int_eq(shake_hands("127.0.0.1"), 1);
    listen_to_server();
    ck_assert_int_eq(tls_write(pair.tls, pattern(0, TLS_RECORD_MAX), &err), 1);
    serve(100);
    setsockopt(pair.server_fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    close(pair.server_fd);
    pair.server_fd = -1;
    int result = 1;
    for (int i = 0; i < STEPS_MAX && result > 0; i++) {
        result = tls_write(pair.tls, pattern(0, 1000), &err);
    }
    ck_assert_int_eq(result, -1);
    ck_assert(err.sys == ECONNRESET || err.sys == EPIPE);
    ck_assert_int_eq(err.kind, ERR_RETRY);
}
END_TEST

START_TEST(garbage_instead_of_records_is_refused) {
    char garbage[100];
    memset(garbage, 'g', sizeof(garbage));
    read_files();
    ck_assert_int_eq(shake_hands("127.0.0.1"), 1);
    ck_assert_int_gt(send(pair.server_fd, garbage, sizeof(garbage), 0), 0);
    enum net_drained drained;
    while ((drained = tls_drain(pair.tls, &err)) == NET_OPEN) {
    }
    ck_assert_int_eq(drained, NET_LOST);
    ck_assert_int_eq(err.sys, 0);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("tls");
    TCase *trust = tcase_create("trust");
    tcase_add_checked_fixture(trust, setup, teardown);
    tcase_set_timeout(trust, 60);
    tcase_add_loop_test(trust, a_handshake_goes_on_a_step_at_a_time, 0, 2);
    tcase_add_test(trust, a_name_counts_as_an_address_does);
    tcase_add_test(trust, a_wrong_name_is_refused);
    tcase_add_test(trust, a_certificate_without_names_is_for_nobody);
    tcase_add_test(trust, times_are_held);
    tcase_add_loop_test(trust, an_unknown_authority_is_refused, 0, 2);
    tcase_add_test(trust, the_receivers_own_certificate_may_be_the_authority);
    tcase_add_loop_test(trust, without_verification_everything_passes_and_it_is_said, 0, 2);
    tcase_add_test(trust, an_old_version_is_refused);
    tcase_add_test(trust, an_answer_that_is_no_tls_is_named);
    tcase_add_test(trust, an_end_in_the_handshake_is_a_failure);
    tcase_add_loop_test(trust, a_client_certificate_is_shown_where_it_is_asked_for, 0, 2);
    tcase_add_loop_test(trust, who_has_none_learns_what_is_lacking, 0, 2);
    tcase_add_loop_test(trust, who_has_a_strangers_learns_that_too, 0, 2);
    suite_add_tcase(suite, trust);
    TCase *files = tcase_create("files");
    tcase_add_checked_fixture(files, setup, teardown);
    tcase_set_timeout(files, 60);
    tcase_add_test(files, a_key_may_have_a_password);
    tcase_add_test(files, broken_files_are_named);
    tcase_add_test(files, changed_files_hold_for_new_connections);
    suite_add_tcase(suite, files);
    TCase *tickets = tcase_create("tickets");
    tcase_add_checked_fixture(tickets, setup, teardown);
    tcase_set_timeout(tickets, 60);
    tcase_add_loop_test(tickets, the_next_handshake_is_shorter, 0, 2);
    tcase_add_test(tickets, a_ticket_does_not_outlive_the_files_it_came_with);
    tcase_add_loop_test(tickets, a_ticket_of_a_server_that_forgot_it_does_no_harm, 0, 2);
    suite_add_tcase(suite, tickets);
    TCase *bytes = tcase_create("bytes");
    tcase_add_checked_fixture(bytes, setup, teardown);
    tcase_set_timeout(bytes, 60);
    tcase_add_loop_test(bytes, records_are_written_as_far_as_the_kernel_takes_them, 0, 2);
    tcase_add_loop_test(bytes, written_counts_every_byte_up_to_the_half_close, 0, 2);
    tcase_add_loop_test(bytes, behind_the_half_close_only_the_fin_counts, 0, 2);
    tcase_add_test(bytes, a_close_notify_before_ours_is_the_peers_end);
    tcase_add_test(bytes, a_reset_in_a_record_is_a_broken_connection);
    tcase_add_test(bytes, garbage_instead_of_records_is_refused);
    suite_add_tcase(suite, bytes);
    return run_suite(suite);
}
