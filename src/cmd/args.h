/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command-line arguments of a command. A thin face for getopt_long(3), whose `struct option` must
 * not meet ours, so this header includes none of the project's.
 */
#pragma once

#include <stdbool.h>

struct args_flag {
    const char *name; /* "config" for --config */
    int letter;       /* 'c' for -c; a value above 255 for a flag without a letter */
    bool has_value;
};

enum { ARGS_END = -1, ARGS_HELP = -2, ARGS_WRONG = -3 };

/*
 * The letter of the next flag, with its value in *value; ARGS_END behind the last one (*rest is
 * then the index of the first other argument), ARGS_HELP for -h and --help, ARGS_WRONG for a flag
 * that `flags` (ends with name NULL) does not have, which is said on stderr. At most 16 flags.
 */
int args_next(int argc, char **argv, const struct args_flag *flags, const char **value, int *rest);
