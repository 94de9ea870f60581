/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Feeds a fuzz target the files of its corpus once each, so that every past finding is a test of
 * `make check`. Linked with one tests/fuzz/fuzz_<what>.c as tests/fuzz/replay_<what>; without
 * arguments it reads $FLOWGELF_SRCDIR/tests/fuzz/corpus/<what>, with arguments the files named.
 * It judges nothing: the target and the sanitizers do, by ending the program.
 */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(EXIT_FAILURE);
}

/* Exactly as many bytes on the heap as the file has, so that reading past them is seen. */
static void replay_file(const char *path) {
    FILE *file = fopen(path, "rb");
    struct stat st;
    if (!file || fstat(fileno(file), &st) != 0) {
        die(path);
    }
    size_t size = (size_t)st.st_size;
    uint8_t *data = malloc(size > 0 ? size : 1);
    if (!data || fread(data, 1, size, file) != size) {
        die(path);
    }
    fclose(file);
    printf("%s\n", path);
    fflush(stdout);
    LLVMFuzzerTestOneInput(data, size);
    free(data);
}

static int is_visible(const struct dirent *entry) {
    return entry->d_name[0] != '.';
}

static int replay_folder(const char *folder) {
    struct dirent **entries;
    int count = chdir(folder) == 0 ? scandir(".", &entries, is_visible, alphasort) : -1;
    if (count < 0) {
        die(folder);
    }
    for (int i = 0; i < count; i++) {
        replay_file(entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    return count;
}

static int replay_own_corpus(const char *program) {
    static const char mark[] = "replay_";
    const char *name = strrchr(program, '/');
    name = name ? name + 1 : program;
    if (strncmp(name, mark, strlen(mark)) != 0) {
        fprintf(stderr, "%s: the name must be replay_<corpus>\n", program);
        exit(EXIT_FAILURE);
    }
    const char *top = getenv("FLOWGELF_SRCDIR");
    char folder[4096];
    snprintf(folder, sizeof(folder), "%s/tests/fuzz/corpus/%s", top ? top : ".",
             name + strlen(mark));
    return replay_folder(folder);
}

int main(int argc, char **argv) {
    int count = argc - 1;
    for (int i = 1; i < argc; i++) {
        replay_file(argv[i]);
    }
    if (argc == 1) {
        count = replay_own_corpus(argv[0]);
    }
    printf("%d inputs replayed\n", count);
    return count > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
