/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration file of any bytes: through the YAML reader and a table with every type of
 * setting. What parses is freed, what does not must have said why.
 */
#include <stdlib.h>

#include "config/option.h"

struct inner {
    char *path;
    int64_t time_ms;
};

struct conf {
    char *string, *url, *read_path, *write_path, *secret;
    struct string_list strings, read_paths;
    int64_t integer, size_bytes, duration_ms, rate, time_ms;
    bool boolean;
    struct cidr cidr;
    struct cidr_list cidrs;
    struct hostport host;
    struct hostport_list hosts;
    int choice;
    struct string_map map;
    const struct yaml_node *node;
    struct inner group;
    bool group_given;
};

static const char *const choices[] = {"first", "second", NULL};

static const struct option inner_table[] = {{.name = "p",
                                             .type = OPTION_READ_PATH,
                                             .offset = offsetof(struct inner, path),
                                             .required = true},
                                            {.name = "t",
                                             .type = OPTION_TIME,
                                             .offset = offsetof(struct inner, time_ms),
                                             .choices = choices},
                                            OPTION_END};

#define AT(member) .offset = offsetof(struct conf, member)

/* Short names: they are found sooner. */
static const struct option table[] = {
    {.name = "st", .type = OPTION_STRING, AT(string), .preset = "x"},
    {.name = "u", .type = OPTION_URL, AT(url)},
    {.name = "rp", .type = OPTION_READ_PATH, AT(read_path)},
    {.name = "wp", .type = OPTION_WRITE_PATH, AT(write_path)},
    {.name = "se", .type = OPTION_SECRET, AT(secret)},
    {.name = "sl", .type = OPTION_STRING, .list = true, .required = true, AT(strings)},
    {.name = "rl", .type = OPTION_READ_PATH, .list = true, AT(read_paths)},
    {.name = "i", .type = OPTION_INTEGER, AT(integer), .min = -5, .max = 100},
    {.name = "si", .type = OPTION_SIZE, AT(size_bytes), .min = 1024},
    {.name = "d", .type = OPTION_DURATION, AT(duration_ms), .preset = "5s"},
    {.name = "ra", .type = OPTION_RATE, AT(rate)},
    {.name = "t", .type = OPTION_TIME, AT(time_ms)},
    {.name = "b", .type = OPTION_BOOLEAN, AT(boolean)},
    {.name = "c", .type = OPTION_CIDR, AT(cidr)},
    {.name = "cl", .type = OPTION_CIDR, .list = true, AT(cidrs)},
    {.name = "h", .type = OPTION_HOSTPORT, AT(host)},
    {.name = "hl", .type = OPTION_HOSTPORT, .list = true, AT(hosts)},
    {.name = "ch", .type = OPTION_CHOICE, AT(choice), .choices = choices},
    {.name = "m", .type = OPTION_STRINGS, AT(map)},
    {.name = "n", .type = OPTION_NODE, AT(node)},
    {.name = "g",
     .type = OPTION_GROUP,
     AT(group),
     .group = inner_table,
     .given = offsetof(struct conf, group_given)},
    {.name = "l", .type = OPTION_STRING, .later = "not there yet"},
    OPTION_END};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct yaml_node *root;
    struct err err = {0};
    struct conf conf = {0};
    struct option_context context = {.file = "f", .read_dir = "/nowhere", .write_dir = "/nowhere"};
    buf_init(&context.errors, 1 << 16);
    int result = yaml_parse(span_of((const char *)data, size), "f", &root, &err);
    if (result < 0 && (err.kind != ERR_CONFIG || !strstr(err.text, "f:"))) {
        abort();
    }
    if (root) {
        int errors = option_parse(&context, table, root, "", &conf);
        if (errors != context.error_count || (errors > 0) != (context.errors.len > 0)) {
            abort();
        }
        option_free(table, &conf);
    }
    yaml_unload(root);
    buf_done(&context.errors);
    return 0;
}
