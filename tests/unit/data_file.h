/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Real data for unit tests: files below tests/data of the source tree ($FLOWGELF_SRCDIR, else the
 * present folder), and those of a shared folder that may not be copied into the project:
 * $FLOWGELF_SHARED_DATA, else ../shared/data beside the source tree. A test that needs the latter
 * says so aloud when the folder is not there, and passes.
 */
#pragma once

#include <check.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/span.h"

static inline const char *data_source_folder(void) {
    const char *top = getenv("FLOWGELF_SRCDIR");
    return top ? top : ".";
}

static inline void data_shared_path(const char *name, char *path, size_t size) {
    const char *shared = getenv("FLOWGELF_SHARED_DATA");
    if (shared) {
        snprintf(path, size, "%s/%s", shared, name);
    } else {
        snprintf(path, size, "%s/../shared/data/%s", data_source_folder(), name);
    }
}

/* The bytes of a file on the heap, exactly as many as it has. */
static inline struct span data_read_path(const char *path) {
    FILE *file = fopen(path, "rb");
    ck_assert_msg(file != NULL, "cannot open %s", path);
    ck_assert_int_eq(fseek(file, 0, SEEK_END), 0);
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(size > 0 ? size : 1);
    ck_assert_uint_eq(fread(bytes, 1, size, file), size);
    fclose(file);
    return span_of(bytes, size);
}

/* A file of tests/data. */
static inline struct span data_read(const char *name) {
    char path[4096];
    snprintf(path, sizeof(path), "%s/tests/data/%s", data_source_folder(), name);
    return data_read_path(path);
}

/* A file of the shared folder; p is NULL, said aloud, when it is not there. */
static inline struct span data_read_shared(const char *name) {
    char path[4096];
    data_shared_path(name, path, sizeof(path));
    if (access(path, R_OK) != 0) {
        fprintf(stderr, "NOT RUN: %s is not there (see FLOWGELF_SHARED_DATA)\n", path);
        return span_of(NULL, 0);
    }
    return data_read_path(path);
}
