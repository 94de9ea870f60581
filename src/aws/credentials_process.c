/* SPDX-License-Identifier: Apache-2.0 */
/* credential_process: a program of the profile's owner prints keys. It is run without a shell, in a
   process group of its own so that all it started can be killed, and what it prints is a secret.
   Source: "Sourcing credentials with an external process" of the AWS CLI manual. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "aws/credentials_source.h"
#include "base/clock.h"
#include "base/xalloc.h"

enum { WORDS_MAX = 256, LOOK_MS = 20 };

extern char **environ;

/* Words under construction. */
struct words {
    char **all;
    size_t count;
    bool in_word;
    struct buf word;
};

static void end_word(struct words *words) {
    if (words->in_word) {
        words->all[words->count++] = xstrdup_span(buf_span(&words->word));
        buf_clear(&words->word);
        words->in_word = false;
    }
}

/* In double quotes a backslash stands before a quote or a backslash, and for itself elsewhere. */
static const char *copy_quoted(struct words *words, const char *p) {
    char quote = *p++;
    for (; *p && *p != quote; p++) {
        if (quote == '"' && *p == '\\' && (p[1] == '"' || p[1] == '\\')) {
            p++;
        }
        buf_char(&words->word, *p);
    }
    return *p ? p + 1 : NULL;
}

/* The next part of a command; returns what follows, NULL when a quote is not closed. */
static const char *take_part(struct words *words, const char *p) {
    if (*p == ' ' || *p == '\t') {
        end_word(words);
        return p + 1;
    }
    words->in_word = true;
    if (*p == '"' || *p == '\'') {
        return copy_quoted(words, p);
    }
    if (*p == '\\') {
        p++;
    }
    if (*p == '\0') {
        return NULL;
    }
    buf_char(&words->word, *p);
    return p + 1;
}

int process_split(const char *command, char ***out, struct err *err) {
    struct words words = {.all = xcalloc(WORDS_MAX + 1, sizeof(char *))};
    const char *p = command;
    buf_init(&words.word, strlen(command) + 1);
    while (p && *p && words.count < WORDS_MAX) {
        p = take_part(&words, p);
    }
    bool is_whole = p && *p == '\0' && words.count < WORDS_MAX;
    if (is_whole) {
        end_word(&words);
    }
    buf_done(&words.word);
    if (!is_whole || words.count == 0) {
        process_free_words(words.all);
        return err_set(err, ERR_CONFIG,
                       "credential_process is empty, has too many words or a quote that is not "
                       "closed");
    }
    *out = words.all;
    return 0;
}

void process_free_words(char **words) {
    for (size_t i = 0; words && words[i]; i++) {
        free(words[i]);
    }
    free(words);
}

/* A program starts with the signals that it expects, whatever we block or ignore. */
static void set_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGHUP);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGTERM);
    sigaddset(&usual, SIGCHLD);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &usual);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETPGROUP);
}

/* What it writes to standard error may be a secret, or forge a line of our log. */
static int spawn(char **words, int output_fd, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    set_attributes(&attributes);
    posix_spawn_file_actions_adddup2(&actions, output_fd, STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    int sys = posix_spawnp(pid, words[0], &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return sys;
}

/* A process that runs. */
struct run {
    const char *name;
    pid_t pid;
    int fd; /* of its output */
    int64_t until_ms;
    const atomic_bool *stopping;
    bool has_ended;
    int status;
};

/* Whether it has ended by now; then it is reaped. */
static bool has_ended(struct run *run) {
    if (!run->has_ended) {
        pid_t got = waitpid(run->pid, &run->status, WNOHANG);
        if (got < 0 && errno == ECHILD) {
            run->status = 0; /* reaped by the system: what it printed has to do */
        }
        run->has_ended = got == run->pid || (got < 0 && errno == ECHILD);
    }
    return run->has_ended;
}

static int check_time(const struct run *run, struct err *err) {
    if (source_is_stopping(run->stopping)) {
        return err_set(err, ERR_RETRY, "stopped");
    }
    if (clock_monotonic_ms() >= run->until_ms) {
        return err_set(err, ERR_RETRY, "%s took too long and was killed", run->name);
    }
    return 0;
}

/* Takes what is there. 1: more may come; 0: the end; -1. */
static int take_output(const struct run *run, struct buf *output, struct err *err) {
    char piece[4096];
    ssize_t got = read(run->fd, piece, sizeof(piece));
    if (got < 0) {
        return errno == EAGAIN || errno == EINTR
                   ? 1
                   : err_sys(err, ERR_RETRY, "cannot read from %s", run->name);
    }
    buf_add(output, span_of(piece, (size_t)got));
    explicit_bzero(piece, (size_t)got);
    if (output->overflow) {
        return err_set(err, ERR_RETRY, "%s printed more than %zu bytes and was killed", run->name,
                       output->max);
    }
    return got > 0;
}

/* Until the end of the output: where its other end is closed, or where the program ended and left
   nothing, though something that it started may still hold the pipe. */
static int read_output(struct run *run, struct buf *output, struct err *err) {
    int more = 1;
    while (more > 0) {
        struct pollfd poll_fd = {.fd = run->fd, .events = POLLIN};
        bool ended = has_ended(run); /* before the look: what it printed is in the pipe by then */
        if (poll(&poll_fd, 1, ended ? 0 : LOOK_MS) > 0) {
            more = take_output(run, output, err);
        } else if (ended) {
            more = 0;
        }
        if (more > 0 && check_time(run, err) != 0) {
            more = -1;
        }
    }
    return more;
}

static int await_end(struct run *run, struct err *err) {
    while (!has_ended(run)) {
        if (check_time(run, err) != 0) {
            return -1;
        }
        poll(NULL, 0, LOOK_MS);
    }
    if (WIFSIGNALED(run->status)) {
        return err_set(err, ERR_RETRY, "%s was killed by signal %d", run->name,
                       WTERMSIG(run->status));
    }
    if (WEXITSTATUS(run->status) != 0) {
        return err_set(err, ERR_RETRY, "%s exited with %d; run it by hand to see why", run->name,
                       WEXITSTATUS(run->status));
    }
    return 0;
}

/* Kills what is left of the group. Only while the leader is not reaped is its number surely its
   own. */
static void kill_group(struct run *run) {
    if (!run->has_ended) {
        kill(-run->pid, SIGKILL);
        kill(run->pid, SIGKILL);
        while (waitpid(run->pid, &run->status, 0) < 0 && errno == EINTR) {
        }
    }
}

int process_run(char **words, int64_t timeout_ms, const atomic_bool *stopping, struct buf *output,
                struct err *err) {
    int ends[2];
    struct run run = {
        .name = words[0], .until_ms = clock_monotonic_ms() + timeout_ms, .stopping = stopping};
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_sys(err, ERR_RETRY, "no pipe for %s", run.name);
    }
    fcntl(ends[0], F_SETFL, O_NONBLOCK);
    int sys = spawn(words, ends[1], &run.pid);
    close(ends[1]);
    if (sys != 0) {
        errno = sys;
        err_sys(err, ERR_CONFIG, "cannot run %s", run.name);
        close(ends[0]);
        return -1;
    }
    run.fd = ends[0];
    int result = read_output(&run, output, err);
    if (result == 0) {
        result = await_end(&run, err);
    }
    kill_group(&run);
    close(run.fd);
    return result;
}

int source_fetch_process(struct source *source, const struct source_work *work,
                         struct aws_keys *keys, struct err *err) {
    char **words;
    struct buf output;
    if (process_split(source->command, &words, err) != 0) {
        return -1;
    }
    buf_init(&output, PROCESS_OUTPUT_MAX);
    buf_reserve(&output, PROCESS_OUTPUT_MAX); /* so that growing leaves no copies behind */
    int result = process_run(words, PROCESS_TIMEOUT_MS, work->stopping, &output, err);
    if (result == 0) {
        result = keys_parse_json(output.data, output.len, KEYS_OF_PROCESS, keys, err);
        result = result == 0 ? 0 : err_wrap(err, "%s", words[0]);
    }
    explicit_bzero(output.data, output.cap);
    buf_done(&output);
    process_free_words(words);
    return result;
}
