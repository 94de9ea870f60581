/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An HTTP/1.1 server on loopback for unit tests: a thread for each connection reads a request and
 * calls the test's own function, which answers by the helpers below or with any bytes it likes. It
 * keeps connections alive unless told to close them, and counts them. Whatever waits in it ends
 * when the server is closed.
 */
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { HTTP_SERVER_LINKS_MAX = 256, HTTP_SERVER_HEAD_MAX = 64 << 10, HTTP_SERVER_TICK_US = 2000 };

struct http_server;

struct http_server_request {
    struct http_server *server;
    int fd;
    int number;      /* on its connection, from 0 */
    char method[16]; /* "GET" */
    char path[2048]; /* as in the request line: "/a?b", to a proxy "http://host/a?b" */
    char *head;      /* request line and header lines, terminated */
    char *body;      /* terminated */
    size_t body_len;
    bool close; /* set by the answer: end the connection */
};

/* Called in the connection's thread, for several connections at once. */
typedef void http_server_answer(struct http_server_request *request, void *context);

struct http_server_link {
    struct http_server *server;
    int fd;
    pthread_t thread;
};

struct http_server {
    int listen_fd;
    uint16_t port;
    http_server_answer *answer;
    void *context;
    pthread_t thread;
    atomic_bool stopping;
    atomic_int connections, requests;
    struct http_server_link links[HTTP_SERVER_LINKS_MAX];
};

/* False when the peer is gone. */
static inline bool http_server_send(struct http_server_request *request, const void *bytes,
                                    size_t len) {
    const char *p = bytes;
    while (len > 0) {
        ssize_t sent = send(request->fd, p, len, MSG_NOSIGNAL);
        if (sent <= 0) {
            request->close = true;
            return false;
        }
        p += sent;
        len -= (size_t)sent;
    }
    return true;
}

static inline bool http_server_send_text(struct http_server_request *request, const char *text) {
    return http_server_send(request, text, strlen(text));
}

/* A whole reply; `headers`: further lines, each with its CR LF. */
static inline void http_server_reply(struct http_server_request *request, int status,
                                     const char *headers, const void *body, size_t len) {
    char head[128];
    snprintf(head, sizeof(head), "HTTP/1.1 %d Status\r\nContent-Length: %zu\r\n", status, len);
    if (http_server_send_text(request, head) && http_server_send_text(request, headers) &&
        http_server_send_text(request, "\r\n")) {
        http_server_send(request, body, len);
    }
}

/* The value of a header of the request into out; "" when it has none. */
static inline const char *http_server_header(const struct http_server_request *request,
                                             const char *name, char *out, size_t size) {
    size_t len = strlen(name);
    snprintf(out, size, "%s", "");
    for (const char *line = strstr(request->head, "\r\n"); line; line = strstr(line, "\r\n")) {
        line += 2;
        if (strncasecmp(line, name, len) == 0 && line[len] == ':') {
            const char *value = line + len + 1 + strspn(line + len + 1, " ");
            snprintf(out, size, "%.*s", (int)strcspn(value, "\r"), value);
        }
    }
    return out;
}

/* Ends the connection with a reset. */
static inline void http_server_reset(struct http_server_request *request) {
    struct linger linger = {.l_onoff = 1};
    setsockopt(request->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    request->close = true;
}

/* Waits until the flag is set (NULL: never) or the server is closed; false then. */
static inline bool http_server_wait(struct http_server_request *request, const atomic_bool *flag) {
    while (!atomic_load(&request->server->stopping)) {
        if (flag && atomic_load(flag)) {
            return true;
        }
        usleep(HTTP_SERVER_TICK_US);
    }
    return false;
}

/* Reads the head; false at the end of the connection. `*used` bytes of `head` are filled, `*split`
   is where the body begins. */
static inline bool http_server_read_head(int fd, char *head, size_t *used, size_t *split) {
    for (;;) {
        head[*used] = '\0';
        const char *end = strstr(head, "\r\n\r\n");
        if (end) {
            *split = (size_t)(end - head) + 4;
            return true;
        }
        ssize_t got = recv(fd, head + *used, HTTP_SERVER_HEAD_MAX - *used, 0);
        if (got <= 0) {
            return false;
        }
        *used += (size_t)got;
    }
}

/* Reads the rest of a body of which `have` bytes are at hand. No pipelining. */
static inline bool http_server_read_body(struct http_server_request *request, const char *have,
                                         size_t have_len) {
    char text[32];
    request->body_len =
        strtoul(http_server_header(request, "Content-Length", text, sizeof(text)), NULL, 10);
    request->body = calloc(1, request->body_len + 1);
    if (!request->body || have_len > request->body_len) {
        abort();
    }
    memcpy(request->body, have, have_len);
    while (have_len < request->body_len) {
        ssize_t got = recv(request->fd, request->body + have_len, request->body_len - have_len, 0);
        if (got <= 0) {
            return false;
        }
        have_len += (size_t)got;
    }
    return true;
}

static inline bool http_server_serve(struct http_server_request *request) {
    size_t used = 0, split = 0;
    bool go_on = http_server_read_head(request->fd, request->head, &used, &split);
    if (go_on) {
        char *rest = malloc(used - split + 1);
        memcpy(rest, request->head + split, used - split);
        request->head[split] = '\0';
        sscanf(request->head, "%15s %2047s", request->method, request->path);
        if (http_server_read_body(request, rest, used - split)) {
            atomic_fetch_add(&request->server->requests, 1);
            request->server->answer(request, request->server->context);
        } else {
            go_on = false;
        }
        free(rest);
        free(request->body);
        request->body = NULL;
    }
    request->number++;
    return go_on && !request->close;
}

static inline void *http_server_link_main(void *argument) {
    struct http_server_link *link = argument;
    struct http_server_request request = {.server = link->server, .fd = link->fd};
    request.head = malloc(HTTP_SERVER_HEAD_MAX + 1);
    while (http_server_serve(&request)) {
        /* the next one */
    }
    free(request.head);
    struct linger linger;
    socklen_t len = sizeof(linger);
    getsockopt(link->fd, SOL_SOCKET, SO_LINGER, &linger, &len);
    if (linger.l_onoff) {
        /* A reset comes from close, but the number is still used by http_server_close. */
        struct sockaddr unspecified = {.sa_family = AF_UNSPEC};
        connect(link->fd, &unspecified, sizeof(unspecified));
    }
    shutdown(link->fd, SHUT_RDWR);
    return NULL;
}

static inline void *http_server_main(void *argument) {
    struct http_server *server = argument;
    int fd;
    while ((fd = accept(server->listen_fd, NULL, NULL)) >= 0) {
        int index = atomic_load(&server->connections), on = 1;
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)); /* replies go out in pieces */
        if (index == HTTP_SERVER_LINKS_MAX) {
            abort();
        }
        struct http_server_link *link = &server->links[index];
        *link = (struct http_server_link){.server = server, .fd = fd};
        atomic_fetch_add(&server->connections, 1); /* before there can be a reply */
        if (pthread_create(&link->thread, NULL, http_server_link_main, link) != 0) {
            abort();
        }
    }
    return NULL;
}

static inline struct http_server *http_server_open(http_server_answer *answer, void *context) {
    struct http_server *server = calloc(1, sizeof(*server));
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    server->answer = answer;
    server->context = context;
    server->listen_fd = socket(AF_INET, SOCK_STREAM, 0);
    if (bind(server->listen_fd, (struct sockaddr *)&address, len) != 0 ||
        listen(server->listen_fd, HTTP_SERVER_LINKS_MAX) != 0 ||
        getsockname(server->listen_fd, (struct sockaddr *)&address, &len) != 0 ||
        pthread_create(&server->thread, NULL, http_server_main, server) != 0) {
        abort();
    }
    server->port = ntohs(address.sin_port);
    return server;
}

/* Ends all connections and threads. */
static inline void http_server_close(struct http_server *server) {
    atomic_store(&server->stopping, true);
    shutdown(server->listen_fd, SHUT_RDWR);
    pthread_join(server->thread, NULL);
    close(server->listen_fd);
    for (int i = 0; i < atomic_load(&server->connections); i++) {
        shutdown(server->links[i].fd, SHUT_RDWR);
        pthread_join(server->links[i].thread, NULL);
        close(server->links[i].fd);
    }
    free(server);
}
