/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The commands of flowgelf, one file each, and what they share: exit codes, flags, loading of
 * settings with all errors shown. main.c has the table.
 */
#pragma once

#include <signal.h>

#include "cmd/args.h"
#include "core/settings.h"
#include "modules.h"

enum exit_code {
    EXIT_FINE = 0,
    EXIT_RUN = 1,     /* failed at run time */
    EXIT_USAGE = 2,   /* wrong arguments */
    EXIT_CONFIG = 78, /* bad configuration (EX_CONFIG of sysexits.h) */
};

#define CMD_DEFAULT_CONFIG "/etc/flowgelf/flowgelf.yaml"

struct command {
    const char *name;
    const char *summary;               /* one line, for `flowgelf --help` */
    const char *help;                  /* all of it, for `flowgelf NAME --help` */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns an exit_code */
};

extern const struct command cmd_run, cmd_check, cmd_enrich, cmd_peek, cmd_lookup, cmd_leases,
    cmd_demo;

/* All of them, ends with NULL; in main.c. */
extern const struct command *const commands[];

/*
 * As args_next, for `command`: prints its help on --help and a hint on a wrong flag. Returns the
 * letter or ARGS_END; on ARGS_HELP and ARGS_WRONG the command returns cmd_flag_exit(letter).
 */
int cmd_flag(const struct command *command, int argc, char **argv, const struct args_flag *flags,
             const char **value, int *rest);
int cmd_flag_exit(int letter);

/* A usage error: prints it with a hint to --help; returns EXIT_USAGE. */
int cmd_usage(const struct command *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Loads settings and prints every error to stderr; 0 or EXIT_CONFIG. */
int cmd_load(const char *path, struct settings **settings);
int cmd_load_text(struct span text, const char *name, struct settings **settings);

/* Blocks TERM and INT, which *signals then holds, in this thread and in all that it starts: the
   command takes them by sigtimedwait. */
void cmd_block_signals(sigset_t *signals);

/* The exit code for an error: EXIT_CONFIG for ERR_CONFIG, else EXIT_RUN. Prints it to stderr. */
int cmd_fail(const struct command *command, const struct err *err);
