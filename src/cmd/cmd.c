/* SPDX-License-Identifier: Apache-2.0 */
/* See cmd.h. Commands speak to people on stderr without the log's time and level. */
#include "cmd/cmd.h"

#include <stdarg.h>
#include <stdio.h>

enum { ERRORS_MAX = 1 << 20 };

int cmd_flag(const struct command *command, int argc, char **argv, const struct args_flag *flags,
             const char **value, int *rest) {
    int letter = args_next(argc, argv, flags, value, rest);
    if (letter == ARGS_HELP) {
        fputs(command->help, stdout);
    } else if (letter == ARGS_WRONG) {
        cmd_usage(command, "see what it takes");
    }
    return letter;
}

int cmd_flag_exit(int letter) {
    return letter == ARGS_HELP ? EXIT_FINE : EXIT_USAGE;
}

int cmd_usage(const struct command *command, const char *format, ...) {
    va_list args;
    fprintf(stderr, "flowgelf %s: ", command->name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fprintf(stderr, " (flowgelf %s --help)\n", command->name);
    return EXIT_USAGE;
}

static int print_errors(int result, struct buf *errors) {
    if (result != 0) {
        fwrite(errors->data, 1, errors->len, stderr);
    }
    buf_done(errors);
    return result == 0 ? EXIT_FINE : EXIT_CONFIG;
}

int cmd_load(const char *path, struct settings **settings) {
    struct buf errors;
    buf_init(&errors, ERRORS_MAX);
    return print_errors(settings_load(path, &flowgelf_modules, settings, &errors), &errors);
}

int cmd_load_text(struct span text, const char *name, struct settings **settings) {
    struct buf errors;
    buf_init(&errors, ERRORS_MAX);
    int result = settings_load_text(text, name, &flowgelf_modules, settings, &errors);
    return print_errors(result, &errors);
}

void cmd_block_signals(sigset_t *signals) {
    sigemptyset(signals);
    sigaddset(signals, SIGTERM);
    sigaddset(signals, SIGINT);
    pthread_sigmask(SIG_BLOCK, signals, NULL);
}

int cmd_fail(const struct command *command, const struct err *err) {
    fprintf(stderr, "flowgelf %s: %s\n", command->name, err->text);
    return err->kind == ERR_CONFIG ? EXIT_CONFIG : EXIT_RUN;
}
