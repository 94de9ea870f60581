/* SPDX-License-Identifier: Apache-2.0 */
/* See tls_conf.h. */
#include "output/tls_conf.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/net.h"
#include "output/common.h"

enum { CHECK_TIMEOUT_MS = 5000, NAME_LEN_MAX = 253 };

static const char *const versions[] = {"1.2", "1.3", NULL}; /* as enum tls_version */

#define SETTING(member) .offset = offsetof(struct tls_conf, settings.member)

const struct option tls_conf_options[] = {
    {.name = "enabled",
     .type = OPTION_BOOLEAN,
     .offset = offsetof(struct tls_conf, enabled),
     .preset = "true",
     .help = "Whether TLS is spoken; `tls: {}` alone means that it is."},
    {.name = "ca",
     .type = OPTION_READ_PATH,
     SETTING(ca),
     .sample = "ca.pem",
     .help =
         "Certificates (PEM) of those who may sign the receiver's, or that itself; without it, "
         "those that the system trusts. This and the next two are read again when they change."},
    {.name = "cert",
     .type = OPTION_READ_PATH,
     SETTING(cert),
     .sample = "client.pem",
     .help = "Our own certificate (PEM) with those between it and its authority, where the "
             "receiver asks for one."},
    {.name = "key",
     .type = OPTION_READ_PATH,
     SETTING(key),
     .sample = "client.key",
     .help = "Its private key (PEM)."},
    {.name = "key_password",
     .type = OPTION_SECRET,
     SETTING(key_password),
     .sample = "file:/etc/flowgelf/key-password",
     .help = "Password of the private key."},
    {.name = "server_name",
     .type = OPTION_STRING,
     SETTING(server_name),
     .sample = "graylog.example.com",
     .help = "Name or address for which the receiver's certificate must be, where that is not the "
             "one in hosts."},
    {.name = "verify",
     .type = OPTION_BOOLEAN,
     SETTING(verify),
     .preset = "true",
     .help = "Whether the receiver's certificate is looked at; without that anybody on the way can "
             "read and change the messages."},
    {.name = "min_version",
     .type = OPTION_CHOICE,
     SETTING(min_version),
     .preset = "1.2",
     .choices = versions,
     .help = "The oldest version of TLS that is spoken."},
    OPTION_END,
};

void tls_conf_init(const struct tls_conf *conf, struct option_context *context,
                   const struct yaml_node *node, const char *path) {
    const struct tls_settings *settings = &conf->settings;
    const struct yaml_node *given = yaml_get(node, "tls");
    if (!settings->cert != !settings->key) {
        option_error(context, given, path, "tls: cert and key belong together");
    }
    if (settings->key_password && !settings->key) {
        option_error(context, given, path, "tls: key_password is for a key, which is not given");
    }
    size_t name_len = settings->server_name ? strlen(settings->server_name) : 1;
    if (name_len == 0 || name_len > NAME_LEN_MAX) {
        option_error(
            context, yaml_get(given, "server_name"), path,
            "tls: server_name must have 1 to 253 characters; leave it out to mean the host");
    }
}

static void wait_for(int fd, short events, int64_t until_ms) {
    int64_t left_ms = until_ms - clock_monotonic_ms();
    poll(&(struct pollfd){.fd = fd, .events = events}, 1, left_ms > 0 ? (int)left_ms : 0);
}

static int shake_hands(struct tls *tls, int fd, int64_t until_ms, struct err *err) {
    int result;
    while ((result = tls_handshake(tls, err)) == 0) {
        if (clock_monotonic_ms() >= until_ms) {
            return err_set(err, ERR_RETRY,
                           "the TLS handshake did not end within %d ms: does the receiver speak "
                           "TLS on this port?",
                           CHECK_TIMEOUT_MS);
        }
        wait_for(fd, tls_wants(tls), until_ms);
    }
    return result < 0 ? -1 : 0;
}

/* In TLS 1.3 a receiver that wants a certificate of ours says so after the handshake. One that does
   not answer our end is no matter here. */
static int await_answer(struct tls *tls, int fd, int64_t until_ms, struct err *err) {
    if (tls_end(tls, err) < 0 || shutdown(fd, SHUT_WR) < 0) {
        return 0;
    }
    enum net_drained drained;
    while ((drained = tls_drain(tls, err)) == NET_OPEN && clock_monotonic_ms() < until_ms) {
        wait_for(fd, POLLIN, until_ms);
    }
    return drained == NET_LOST && err->sys == 0 ? -1 : 0;
}

static int try_handshake(struct tls_client *client, const struct hostport *target, int fd,
                         struct buf *report, struct err *err) {
    int64_t until_ms = clock_monotonic_ms() + CHECK_TIMEOUT_MS;
    struct tls *tls = tls_open(client, fd, target->host, NULL);
    int result = shake_hands(tls, fd, until_ms, err);
    if (result == 0) {
        buf_printf(report, "tls to %s port %u: ", target->host, target->port);
        tls_describe(tls, report);
        buf_char(report, '\n');
        result = await_answer(tls, fd, until_ms, err);
    }
    tls_close(tls);
    return result;
}

static int connect_and_try(struct tls_client *client, const struct hostport *target,
                           const struct net_address *address, struct buf *report, struct err *err) {
    int fd = net_connect(address, err);
    if (fd < 0) {
        return -1;
    }
    wait_for(fd, POLLOUT, clock_monotonic_ms() + CHECK_TIMEOUT_MS);
    int result = net_connected(fd, err);
    if (result == 0) {
        result = err_set(err, ERR_RETRY, "no answer within %d ms", CHECK_TIMEOUT_MS);
    } else if (result > 0) {
        result = try_handshake(client, target, fd, report, err);
    }
    close(fd);
    char text[NET_TEXT_MAX];
    return result == 0 ? 0 : err_wrap(err, "%s", net_format(address, text));
}

static int check_online(struct tls_client *client, const struct hostport *target,
                        struct buf *report, struct err *err) {
    struct net_address address;
    char text[NET_TEXT_MAX];
    if (net_try(target->host, target->port, SOCK_STREAM, CHECK_TIMEOUT_MS, &address, err) != 0) {
        return -1;
    }
    buf_printf(report, "tcp to %s port %u: %s accepts connections\n", target->host, target->port,
               net_format(&address, text));
    return connect_and_try(client, target, &address, report, err);
}

int tls_conf_check(const struct tls_conf *conf, const struct hostport *target, bool online,
                   struct buf *report, struct err *err) {
    struct tls_client *client;
    if (tls_client_open(&conf->settings, &client, err) != 0) {
        return -1;
    }
    buf_printf(report, "tls: authorities %s, ",
               conf->settings.ca ? conf->settings.ca : "of the system");
    tls_client_describe(client, report);
    buf_char(report, '\n');
    int result;
    if (online) {
        result = check_online(client, target, report, err);
    } else {
        result = output_check_host(target, SOCK_STREAM, false, report, err);
    }
    tls_client_close(client);
    return result;
}
