/* SPDX-License-Identifier: Apache-2.0 */
/* See args.h. */
#include "cmd/args.h"

#include <assert.h>
#include <getopt.h>
#include <stddef.h>

enum { FLAGS_MAX = 16, LETTER_MAX = 255 };

int args_next(int argc, char **argv, const struct args_flag *flags, const char **value, int *rest) {
    struct option options[FLAGS_MAX + 2];
    char letters[2 * FLAGS_MAX + 3], *p = letters;
    size_t count = 0;
    *p++ = 'h';
    for (; flags[count].name; count++) {
        assert(count < FLAGS_MAX);
        options[count] = (struct option){
            .name = flags[count].name,
            .has_arg = flags[count].has_value ? required_argument : no_argument,
            .val = flags[count].letter,
        };
        if (flags[count].letter <= LETTER_MAX) {
            *p++ = (char)flags[count].letter;
            if (flags[count].has_value) {
                *p++ = ':';
            }
        }
    }
    *p = '\0';
    options[count] = (struct option){.name = "help", .val = 'h'};
    options[count + 1] = (struct option){0};
    int letter = getopt_long(argc, argv, letters, options, NULL);
    *value = optarg;
    *rest = optind;
    if (letter == 'h') {
        return ARGS_HELP;
    }
    return letter == '?' ? ARGS_WRONG : letter;
}
