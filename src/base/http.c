/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See http.h. The set: libcurl names the sockets and the moment at which it wants to be called; an
 * epoll descriptor with the sockets and one timer in it makes a single descriptor of all that. The
 * deadlines of calls are kept here and not by libcurl, because time spent paused does not count.
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/http_call.h"
#include "base/log.h"
#include "base/xalloc.h"

enum { TURN_EVENTS = 64, TURN_ROUNDS = 8, STOP_LOOK_MS = 50 };

static pthread_once_t init_once = PTHREAD_ONCE_INIT;

static void init(void) {
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
        log_error("cannot initialise libcurl");
        abort();
    }
}

void http_arm(struct http *http) {
    if (http->turning) {
        return;
    }
    int64_t at = http->curl_ms < http->wake_ms ? http->curl_ms : http->wake_ms;
    at = http->deadline_ms < at ? http->deadline_ms : at;
    at = http->due ? 0 : at;
    if (at == http->armed_ms) {
        return;
    }
    http->armed_ms = at;
    /* All zero would switch the timer off; setting it takes back that it is readable. */
    struct itimerspec spec = {0};
    if (at != INT64_MAX) {
        spec.it_value.tv_sec = at > 0 ? at / 1000 : 0;
        spec.it_value.tv_nsec = at > 0 ? at % 1000 * 1000000 : 1;
    }
    timerfd_settime(http->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL);
}

static int on_timer(CURLM *multi, long wait_ms, void *context) {
    (void)multi;
    struct http *http = context;
    /* One more, because the clock's milliseconds are rounded down. */
    http->curl_ms = wait_ms < 0 ? INT64_MAX : clock_monotonic_ms() + wait_ms + (wait_ms > 0);
    http_arm(http);
    return 0;
}

static int on_socket(CURL *easy, curl_socket_t fd, int what, void *context, void *known) {
    (void)easy;
    struct http *http = context;
    if (what == CURL_POLL_REMOVE) {
        epoll_ctl(http->epoll_fd, EPOLL_CTL_DEL, fd, NULL);
        return 0;
    }
    struct epoll_event event = {.data.fd = fd};
    event.events = (what & CURL_POLL_IN ? EPOLLIN : 0) | (what & CURL_POLL_OUT ? EPOLLOUT : 0);
    /* What libcurl knows and what the kernel knows differ after a descriptor was closed. */
    int result = epoll_ctl(http->epoll_fd, known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, fd, &event);
    if (result != 0 && errno == ENOENT) {
        result = epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, fd, &event);
    } else if (result != 0 && errno == EEXIST) {
        result = epoll_ctl(http->epoll_fd, EPOLL_CTL_MOD, fd, &event);
    }
    if (result == 0 && !known) {
        curl_multi_assign(http->multi, fd, http);
    }
    /* A failure told to libcurl would end all calls for good; so only this one runs out of time. */
    return 0;
}

struct http *http_open(const struct http_conf *conf) {
    pthread_once(&init_once, init);
    struct http *http = xcalloc(1, sizeof(*http));
    http->conf = *conf;
    http->curl_ms = http->wake_ms = http->deadline_ms = http->armed_ms = INT64_MAX;
    http->multi = curl_multi_init();
    http->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    http->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = http->timer_fd};
    if (!http->multi || http->epoll_fd < 0 || http->timer_fd < 0 ||
        epoll_ctl(http->epoll_fd, EPOLL_CTL_ADD, http->timer_fd, &event) != 0) {
        log_error("no descriptors or no memory for HTTP calls; see LimitNOFILE");
        abort();
    }
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETFUNCTION, on_socket);
    curl_multi_setopt(http->multi, CURLMOPT_SOCKETDATA, http);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERFUNCTION, on_timer);
    curl_multi_setopt(http->multi, CURLMOPT_TIMERDATA, http);
    return http;
}

void http_close(struct http *http) {
    if (!http) {
        return;
    }
    assert(http->open_calls == 0);
    curl_multi_cleanup(http->multi);
    close(http->epoll_fd);
    close(http->timer_fd);
    free(http);
}

int http_fd(const struct http *http) {
    return http->epoll_fd;
}

void http_wake_at(struct http *http, int64_t monotonic_ms) {
    http->wake_ms = monotonic_ms;
    http_arm(http);
}

static void turn_sockets(struct http *http) {
    struct epoll_event events[TURN_EVENTS];
    int count = epoll_wait(http->epoll_fd, events, TURN_EVENTS, 0);
    for (int i = 0; i < count; i++) {
        int fd = events[i].data.fd, what = 0, running;
        if (fd == http->timer_fd) {
            continue;
        }
        what |= events[i].events & EPOLLIN ? CURL_CSELECT_IN : 0;
        what |= events[i].events & EPOLLOUT ? CURL_CSELECT_OUT : 0;
        what |= events[i].events & (EPOLLERR | EPOLLHUP) ? CURL_CSELECT_ERR : 0;
        curl_multi_socket_action(http->multi, fd, what, &running);
    }
}

static void turn_timer(struct http *http) {
    int running;
    if (http->curl_ms <= clock_monotonic_ms()) {
        http->curl_ms = INT64_MAX;
        curl_multi_socket_action(http->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    }
}

/* Takes what libcurl has ended. */
static void turn_ended(struct http *http) {
    CURLMsg *message;
    int left;
    while ((message = curl_multi_info_read(http->multi, &left))) {
        struct http_call *call;
        if (message->msg == CURLMSG_DONE &&
            curl_easy_getinfo(message->easy_handle, CURLINFO_PRIVATE, &call) == CURLE_OK) {
            http_call_end(call, message->data.result);
        }
    }
}

/* Ends calls whose time is over, and notes when the next one's will be. */
static void turn_deadlines(struct http *http) {
    int64_t now_ms = clock_monotonic_ms();
    if (now_ms >= http->wake_ms) {
        http->wake_ms = INT64_MAX;
    }
    http->deadline_ms = INT64_MAX;
    for (struct http_call *call = http->first, *next; call; call = next) {
        next = call->next;
        if (call->paused) {
            continue;
        }
        if (call->deadline_ms <= now_ms) {
            http_call_end_late(call);
        } else if (call->deadline_ms < http->deadline_ms) {
            http->deadline_ms = call->deadline_ms;
        }
    }
}

void http_turn(struct http *http) {
    http->turning = true;
    turn_sockets(http);
    /* What one step makes possible, the next round does; the rest is left to the next turn. */
    for (int round = 0; round < TURN_ROUNDS; round++) {
        http->due = false;
        turn_timer(http);
        turn_ended(http);
        turn_deadlines(http);
        http_body_resume(http);
        if (!http->due && http->curl_ms > clock_monotonic_ms()) {
            break;
        }
    }
    http->turning = false;
    http_arm(http);
}

/* Whether all calls are paused and only the caller, who waits for one of them, could make room. */
static bool is_stuck(const struct http *http) {
    const struct http_call *call = http->first;
    while (call && call->paused) {
        call = call->next;
    }
    return !call && !http->due;
}

enum http_state http_run(struct http *http, struct http_call *call, const atomic_bool *stopping) {
    struct pollfd poll_fd = {.fd = http->epoll_fd, .events = POLLIN};
    http_turn(http);
    while (call->state == HTTP_RUNNING) {
        if (stopping && atomic_load(stopping)) {
            http_call_fail(call, "stopped");
        } else if (is_stuck(http)) {
            http_call_fail(call, "no room for the reply: others were not given back");
        } else {
            poll(&poll_fd, 1, STOP_LOOK_MS);
            http_turn(http);
        }
    }
    return call->state;
}
