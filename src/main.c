/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of commands, and nothing else: finds the command and runs it.
 */
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include <curl/curl.h>
#include <librdkafka/rdkafka.h>
#include <openssl/crypto.h>
#include <zlib.h>

#include "cmd/cmd.h"

const struct command *const commands[] = {
    &cmd_run, &cmd_check, &cmd_enrich, &cmd_peek, &cmd_lookup, &cmd_leases, &cmd_demo, NULL,
};

static void print_help(FILE *out) {
    fputs(
        "flowgelf reads AWS VPC Flow Logs from Kinesis, Kafka or files, says of every address what it\n"
        "is, and sends the flows as GELF to Graylog, Logstash or a file.\n\n"
        "Usage: flowgelf COMMAND [ARGUMENTS]\n\nCommands:\n",
        out);
    for (size_t i = 0; commands[i]; i++) {
        fprintf(out, "  %-8s %s\n", commands[i]->name, commands[i]->summary);
    }
    fputs("\n  flowgelf COMMAND --help says more. flowgelf --version prints the version.\n\n"
          "Exit codes: 0 fine, 1 run-time failure, 2 usage, 78 bad configuration.\n",
          out);
}

/* The libraries at run time are what matters in a bug report. */
static void print_version(void) {
    printf("flowgelf %s\n", FLOWGELF_VERSION);
    printf("librdkafka %s, %s, zlib %s, libcurl %s\n", rd_kafka_version_str(),
           OpenSSL_version(OPENSSL_VERSION), zlibVersion(),
           curl_version_info(CURLVERSION_NOW)->version);
}

static int unknown(const char *name) {
    const char *names[16];
    size_t count = 0;
    for (; commands[count]; count++) {
        names[count] = commands[count]->name;
    }
    names[count] = NULL;
    const char *nearest = option_nearest(name, names);
    fprintf(stderr, "flowgelf: there is no command \"%s\"", name);
    if (nearest) {
        fprintf(stderr, "; did you mean \"%s\"?", nearest);
    }
    fputs(" (flowgelf --help)\n", stderr);
    return EXIT_USAGE;
}

int main(int argc, char **argv) {
    /* A reader that goes away, or a file that may not grow, is an error of a write, not the end of
       the process. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    const char *name = argc > 1 ? argv[1] : "";
    if (strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0 || strcmp(name, "help") == 0) {
        print_help(stdout);
        return EXIT_FINE;
    }
    if (strcmp(name, "--version") == 0 || strcmp(name, "-V") == 0) {
        print_version();
        return EXIT_FINE;
    }
    if (argc < 2) {
        print_help(stderr);
        return EXIT_USAGE;
    }
    for (size_t i = 0; commands[i]; i++) {
        if (strcmp(commands[i]->name, name) == 0) {
            return commands[i]->run(argc - 1, argv + 1);
        }
    }
    return unknown(name);
}
