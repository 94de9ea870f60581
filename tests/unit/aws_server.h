/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A small HTTP server on loopback for tests of what AWS' services and metadata endpoints answer: a
 * thread that gives each connection one answer, which a function of the test chooses, and keeps
 * what was asked. Also an environment without AWS, and temporary files.
 */
#pragma once

#include <arpa/inet.h>
#include <check.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { SERVER_REQUESTS_MAX = 64, SERVER_TEXT_MAX = 40000 };

struct server;

/* What to answer to a request ("GET /x HTTP/1.1\r\n..."): the status, 0 for silence; the body is
   printed into `body`. Called in the server's thread. */
typedef int server_answer(struct server *server, const char *request, char *body, size_t size);

struct server {
    int fd;
    uint16_t port;
    server_answer *answer;
    atomic_int state;   /* for the test and its function */
    atomic_int clock_s; /* how far the Date of its answers is ahead; 0: they have none */
    atomic_bool stopping;
    pthread_t thread;
    pthread_mutex_t lock; /* of what follows */
    size_t count;
    char *requests[SERVER_REQUESTS_MAX];
    int silent[SERVER_REQUESTS_MAX]; /* connections that get no answer */
    size_t silent_count;
};

/* A whole request: its head, and as much behind it as Content-Length says. */
static inline bool server_has_all(const char *text, size_t len) {
    const char *end = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "\r\nContent-Length:");
    size_t body = length && length < end ? (size_t)atoi(length + 17) : 0;
    return end && len >= (size_t)(end - text) + 4 + body;
}

static inline char *server_read(int fd) {
    char *text = calloc(1, SERVER_TEXT_MAX);
    size_t len = 0;
    while (!server_has_all(text, len) && len + 1 < SERVER_TEXT_MAX) {
        struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
        ssize_t got =
            poll(&poll_fd, 1, 10000) > 0 ? recv(fd, text + len, SERVER_TEXT_MAX - len - 1, 0) : 0;
        if (got <= 0) {
            break;
        }
        len += (size_t)got;
    }
    return text;
}

static inline void server_serve(struct server *server, int fd) {
    static _Thread_local char body[SERVER_TEXT_MAX], reply[SERVER_TEXT_MAX + 256];
    char *request = server_read(fd), date[64] = "";
    time_t now = time(NULL) + atomic_load(&server->clock_s);
    struct tm tm;
    body[0] = '\0';
    int status = server->answer(server, request, body, sizeof(body));
    pthread_mutex_lock(&server->lock);
    if (server->count < SERVER_REQUESTS_MAX) {
        server->requests[server->count++] = request;
    } else {
        free(request);
    }
    if (status == 0 && server->silent_count < SERVER_REQUESTS_MAX) {
        server->silent[server->silent_count++] = fd;
        fd = -1;
    }
    pthread_mutex_unlock(&server->lock);
    if (atomic_load(&server->clock_s) != 0) {
        strftime(date, sizeof(date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", gmtime_r(&now, &tm));
    }
    if (fd >= 0) {
        int len = snprintf(reply, sizeof(reply),
                           "HTTP/1.1 %d X\r\n%sContent-Length: %zu\r\nConnection: close\r\n\r\n"
                           "%s",
                           status, date, strlen(body), body);
        send(fd, reply, (size_t)len, MSG_NOSIGNAL);
        close(fd);
    }
}

static inline void *server_main(void *argument) {
    struct server *server = argument;
    while (!atomic_load(&server->stopping)) {
        struct pollfd poll_fd = {.fd = server->fd, .events = POLLIN};
        int fd = poll(&poll_fd, 1, 20) > 0 ? accept(server->fd, NULL, NULL) : -1;
        if (fd >= 0) {
            server_serve(server, fd);
        }
    }
    return NULL;
}

static inline void server_start(struct server *server, server_answer *answer) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    memset(server, 0, sizeof(*server));
    server->answer = answer;
    pthread_mutex_init(&server->lock, NULL);
    server->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ck_assert_int_eq(bind(server->fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(listen(server->fd, 16), 0);
    ck_assert_int_eq(getsockname(server->fd, (struct sockaddr *)&address, &len), 0);
    server->port = ntohs(address.sin_port);
    ck_assert_int_eq(pthread_create(&server->thread, NULL, server_main, server), 0);
}

static inline void server_stop(struct server *server) {
    atomic_store(&server->stopping, true);
    pthread_join(server->thread, NULL);
    close(server->fd);
    for (size_t i = 0; i < server->count; i++) {
        free(server->requests[i]);
    }
    for (size_t i = 0; i < server->silent_count; i++) {
        close(server->silent[i]);
    }
    pthread_mutex_destroy(&server->lock);
}

static inline size_t server_count(struct server *server) {
    pthread_mutex_lock(&server->lock);
    size_t count = server->count;
    pthread_mutex_unlock(&server->lock);
    return count;
}

/* Whether request `index` holds a text; stays valid, as requests are only added. */
static inline bool server_was_asked(struct server *server, size_t index, const char *text) {
    pthread_mutex_lock(&server->lock);
    bool found = index < server->count && strstr(server->requests[index], text);
    pthread_mutex_unlock(&server->lock);
    return found;
}

/* Sets a variable to the server's URL. */
static inline void server_name(const struct server *server, const char *variable,
                               const char *path) {
    char url[256];
    snprintf(url, sizeof(url), "http://127.0.0.1:%d%s", server->port, path);
    setenv(variable, url, 1);
}

extern char **environ;

/* Nothing of AWS and no proxies in the environment; the shared files are empty and the instance's
   metadata is off. For tests that run in a process of their own. */
static inline void clear_environment(void) {
    static const char *const others[] = {"http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy",
                                         "ALL_PROXY",  "no_proxy",    "NO_PROXY"};
    char name[256];
    for (size_t i = 0; environ[i];) {
        size_t len = strcspn(environ[i], "=");
        if (strncmp(environ[i], "AWS_", 4) == 0 && len < sizeof(name)) {
            memcpy(name, environ[i], len);
            name[len] = '\0';
            unsetenv(name);
            i = 0;
        } else {
            i++;
        }
    }
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        unsetenv(others[i]);
    }
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
}

/* A file in the folder of the test; the path stays valid until the fourth call after this one. */
static inline const char *write_temp(const char *folder, const char *name, const char *text) {
    static char paths[4][512];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof(paths[0]), "%s/%s", folder, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
    return path;
}
