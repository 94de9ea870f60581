/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints what is made from the tables: `print-docs sample` the commented configuration
 * (conf/flowgelf.yaml), `print-docs settings` the reference of settings (docs/settings.md). Run by
 * `make docs`, and by a test that compares the result with what is checked in.
 */
#include <stdio.h>
#include <string.h>

#include "core/settings.h"
#include "modules.h"

int main(int argc, char **argv) {
    const char *what = argc == 2 ? argv[1] : "";
    struct buf out;
    buf_init(&out, 16 << 20);
    if (strcmp(what, "sample") == 0) {
        settings_print_sample(&flowgelf_modules, &out);
    } else if (strcmp(what, "settings") == 0) {
        settings_print_reference(&flowgelf_modules, &out);
    } else {
        fputs("usage: print-docs sample|settings\n", stderr);
        return 2;
    }
    fwrite(out.data, 1, out.len, stdout);
    buf_done(&out);
    return fflush(stdout) == 0 ? 0 : 1;
}
