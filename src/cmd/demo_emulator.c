/* SPDX-License-Identifier: Apache-2.0 */
/*
 * See demo_emulator.h. Node.js runs kinesis-local behind a script of ours, which gives it its ports,
 * has it listen on loopback only, and ends it when its standard input ends: that is a pipe from
 * here, so that it goes with this process however that ends.
 */
#include "cmd/demo_emulator.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/xalloc.h"

enum { SCRIPT_MAX = 4 << 10, LOG_MAX = 1 << 20, END_MS = 3000, LOOK_MS = 20, REASON_MAX = 200 };

#define PROGRAM "kinesis-local"
#define INSTALL "npm install --global " PROGRAM "@0.6.2"

extern char **environ;

struct demo_emulator {
    char *script, *log;
    int plain_fd, tls_fd; /* hold the ports until it listens there */
    uint16_t plain_port, tls_port;
    int input_fd; /* the end of its standard input that is ours */
    pid_t pid;    /* 0: not running */
};

/* With both ports in it. It looks for a file of its own in the working folder. */
static const char script_format[] =
    "const net = require(\"net\"), listen = net.Server.prototype.listen;\n"
    "Object.assign(process.env, {KINESIS_MOCK_PLAIN_PORT: \"%u\", KINESIS_MOCK_TLS_PORT: \"%u\",\n"
    "    LOG_LEVEL: \"ERROR\", CREATE_STREAM_DURATION: \"100ms\", SHOULD_PERSIST_DATA: \"false\"});\n"
    "delete process.env.INITIALIZE_STREAMS;\n"
    "net.Server.prototype.listen = function (first, ...rest) {\n"
    "    const port = Number(typeof first === \"object\" ? first.port : first);\n"
    "    return listen.call(this, {port, host: \"127.0.0.1\"},\n"
    "        rest.find((one) => typeof one === \"function\"));\n"
    "};\n"
    "process.chdir(require(\"path\").dirname(require(\"fs\").realpathSync(process.argv[1])));\n"
    "process.stdin.on(\"end\", () => process.exit(0)).resume();\n";

/* ---- what is needed ---- */

/* The path of a program on PATH, which the caller frees; NULL when there is none. */
static char *find_program(const char *name) {
    const char *path = getenv("PATH");
    struct span rest = span_str(path ? path : ""), folder;
    while (span_cut(&rest, ':', &folder)) {
        char *file = xasprintf("%.*s/%s", SPAN_ARG(folder), name);
        if (folder.len > 0 && access(file, X_OK) == 0) {
            return file;
        }
        free(file);
    }
    return NULL;
}

static int find_programs(char **node, char **program, struct err *err) {
    *node = find_program("node");
    *program = find_program(PROGRAM);
    if (!*node) {
        return err_set(err, ERR_STOP,
                       "--kinesis needs Node.js and npm, and `node` is not on PATH: install them "
                       "(packages nodejs and npm), then: " INSTALL);
    }
    if (!*program) {
        return err_set(err, ERR_STOP,
                       "--kinesis needs the emulator " PROGRAM ", which is not on PATH; install it "
                       "with: " INSTALL);
    }
    return 0;
}

/* A port of loopback, bound and not listening: nobody else gets it, and whoever sets SO_REUSEADDR,
   as Node.js does, may listen on it. */
static int hold_port(int *fd, uint16_t *port, struct err *err) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int on = 1;
    *fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (*fd < 0 || setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(*fd, (struct sockaddr *)&address, len) != 0 ||
        getsockname(*fd, (struct sockaddr *)&address, &len) != 0) {
        return err_sys(err, ERR_STOP, "a loopback port for " PROGRAM);
    }
    *port = ntohs(address.sin_port);
    return 0;
}

static int write_script(const struct demo_emulator *emulator, struct err *err) {
    char memory[SCRIPT_MAX];
    struct buf text;
    buf_over(&text, memory, sizeof(memory));
    buf_printf(&text, script_format, (unsigned)emulator->plain_port, (unsigned)emulator->tls_port);
    return file_write(emulator->script, buf_span(&text), 0600, err);
}

/* ---- the process ---- */

/* In a group of its own, because an INT from the terminal is for us: we end it. */
static void set_attributes(posix_spawnattr_t *attributes) {
    sigset_t none, usual;
    sigemptyset(&none);
    sigemptyset(&usual);
    sigaddset(&usual, SIGINT);
    sigaddset(&usual, SIGTERM);
    sigaddset(&usual, SIGPIPE);
    posix_spawnattr_setsigmask(attributes, &none);
    posix_spawnattr_setsigdefault(attributes, &usual);
    posix_spawnattr_setpgroup(attributes, 0);
    posix_spawnattr_setflags(attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
                                             POSIX_SPAWN_SETPGROUP);
}

static int spawn(struct demo_emulator *emulator, char *node, char *program, int input_fd) {
    char memory[] = "--max-old-space-size=400", require[] = "--require";
    char *words[] = {node, memory, require, emulator->script, program, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attributes);
    set_attributes(&attributes);
    posix_spawn_file_actions_adddup2(&actions, input_fd, STDIN_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, emulator->log,
                                     O_WRONLY | O_CREAT | O_APPEND, 0600);
    posix_spawn_file_actions_adddup2(&actions, STDOUT_FILENO, STDERR_FILENO);
    int sys = posix_spawn(&emulator->pid, node, &actions, &attributes, words, environ);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    emulator->pid = sys == 0 ? emulator->pid : 0;
    return sys;
}

static int start(struct demo_emulator *emulator, char *node, char *program, struct err *err) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return err_sys(err, ERR_STOP, "a pipe to " PROGRAM);
    }
    emulator->input_fd = ends[1];
    errno = spawn(emulator, node, program, ends[0]);
    close(ends[0]);
    return emulator->pid > 0 ? 0 : err_sys(err, ERR_STOP, "running %s", node);
}

int demo_emulator_open(const char *folder, struct demo_emulator **out, struct err *err) {
    struct demo_emulator *emulator = xcalloc(1, sizeof(*emulator));
    char *node = NULL, *program = NULL;
    char *full = realpath(folder, NULL); /* another one is the emulator's working folder */
    emulator->script = xasprintf("%s/" PROGRAM ".js", full ? full : folder);
    emulator->log = xasprintf("%s/" PROGRAM ".log", full ? full : folder);
    free(full);
    emulator->plain_fd = emulator->tls_fd = emulator->input_fd = -1;
    int result = find_programs(&node, &program, err);
    if (result == 0 &&
        (hold_port(&emulator->plain_fd, &emulator->plain_port, err) != 0 ||
         hold_port(&emulator->tls_fd, &emulator->tls_port, err) != 0 ||
         write_script(emulator, err) != 0 || start(emulator, node, program, err) != 0)) {
        result = -1;
    }
    free(node);
    free(program);
    if (result != 0) {
        demo_emulator_close(emulator);
        return -1;
    }
    *out = emulator;
    return 0;
}

uint16_t demo_emulator_port(const struct demo_emulator *emulator) {
    return emulator->plain_port;
}

/* Whether it has ended by now; then its number is no longer its own. */
static bool has_ended(struct demo_emulator *emulator) {
    int status;
    if (emulator->pid > 0 && waitpid(emulator->pid, &status, WNOHANG) == emulator->pid) {
        emulator->pid = 0;
    }
    return emulator->pid == 0;
}

/* The line of a log that says what is wrong; "" when there is none. */
static struct span find_reason(struct span log) {
    struct span line, first = SPAN("");
    while (span_cut(&log, '\n', &line)) {
        line = span_trim(line);
        if (memmem(line.p, line.len, "rror", 4) || memmem(line.p, line.len, "xception", 8)) {
            return line;
        }
        first = first.len > 0 ? first : line;
    }
    return first;
}

int demo_emulator_check(struct demo_emulator *emulator, struct err *err) {
    struct buf log;
    if (!has_ended(emulator)) {
        return 0;
    }
    buf_init(&log, LOG_MAX);
    file_read(emulator->log, &log, NULL);
    struct span reason = find_reason(buf_span(&log));
    err_set(err, ERR_STOP, PROGRAM " has ended by itself%s%.*s", reason.len > 0 ? ": " : "",
            (int)(reason.len < REASON_MAX ? reason.len : REASON_MAX), reason.p);
    buf_done(&log);
    return -1;
}

static void end_process(struct demo_emulator *emulator) {
    int64_t until_ms = clock_monotonic_ms() + END_MS;
    if (has_ended(emulator)) {
        return;
    }
    kill(emulator->pid, SIGTERM);
    while (!has_ended(emulator) && clock_monotonic_ms() < until_ms) {
        poll(NULL, 0, LOOK_MS);
    }
    if (emulator->pid > 0) {
        kill(emulator->pid, SIGKILL);
        waitpid(emulator->pid, NULL, 0);
    }
}

static void close_fd(int fd) {
    if (fd >= 0) {
        close(fd);
    }
}

void demo_emulator_close(struct demo_emulator *emulator) {
    if (!emulator) {
        return;
    }
    end_process(emulator);
    close_fd(emulator->input_fd);
    close_fd(emulator->plain_fd);
    close_fd(emulator->tls_fd);
    free(emulator->script);
    free(emulator->log);
    free(emulator);
}
