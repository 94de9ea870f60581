/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Typed settings. Each module describes what it accepts in one table of `struct option`; the table
 * parses the YAML into the module's conf struct, checks ranges, fills defaults, and is also what
 * the commented sample configuration and the reference chapter are printed from.
 *
 * All errors of a file are collected, not only the first: parsing goes on behind an error, and the
 * conf struct is then only good for being freed.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/ipaddr.h"
#include "config/yaml.h"

/* The C type at `offset` stands behind each; a list of it is the struct named there. */
enum option_type {
    OPTION_STRING,     /* char *; struct string_list */
    OPTION_INTEGER,    /* int64_t, min to max */
    OPTION_BOOLEAN,    /* bool: true, false (nothing else) */
    OPTION_SIZE,       /* int64_t bytes: 512, 64KiB, 16MiB, 1GiB */
    OPTION_DURATION,   /* int64_t milliseconds: 100ms, 30s, 5m, 12h, 7d */
    OPTION_CIDR,       /* struct cidr; struct cidr_list */
    OPTION_HOSTPORT,   /* struct hostport: host:port, [v6]:port; struct hostport_list */
    OPTION_URL,        /* char *: http:// or https:// with a host, no user in it; string_list */
    OPTION_READ_PATH,  /* char *, absolute; relative to the configuration file; "-" stays as it
                          is (standard input); existence is not looked at; string_list */
    OPTION_WRITE_PATH, /* char *, absolute; relative to `state`; string_list */
    OPTION_SECRET,     /* char *: the content of file:/path, one trailing newline less */
    OPTION_CHOICE,     /* int: index into choices */
    OPTION_TIME,       /* int64_t ms since 1970, not before it (RFC 3339 text), or a choice:
                          -(index + 1) */
    OPTION_RATE,       /* int64_t per second, or `unlimited`: 0 */
    OPTION_STRINGS,    /* struct string_map: a map of scalars to scalars */
    OPTION_NODE,       /* const struct yaml_node *, NULL when not given: the module's check reads it
                          itself; it lives as long as the tree; no preset */
    OPTION_GROUP,      /* a struct in place at offset, with a table of its own in `group` */
};

struct string_list {
    char **items;
    size_t count;
};

struct cidr_list {
    struct cidr *items;
    size_t count;
};

struct hostport {
    char *host;
    uint16_t port;
};

struct hostport_list {
    struct hostport *items;
    size_t count;
};

struct string_map {
    char **keys;
    char **values;
    size_t count;
};

struct option {
    const char *name;
    enum option_type type;
    bool list;          /* a YAML list of the type (a single value counts as a list of one) */
    bool required;      /* must be given, and neither a list nor a text may be empty; inside a group
                        that is not required itself: only when the group is given */
    size_t offset;      /* in the conf struct */
    size_t given;       /* offset of a bool in the conf struct, set when the file names the setting
                        ("tls: {}" does); 0: nobody asks */
    const char *preset; /* default, as text in YAML; NULL: zero, NULL or empty */
    int64_t min, max;   /* INTEGER, SIZE, DURATION, RATE; max 0: no upper limit */
    const char *const *choices; /* NULL-terminated */
    const struct option *group; /* ends with name NULL */
    const char *sample;         /* value for the commented sample; NULL: the preset */
    const char *help;           /* one or two sentences, no final newline */
    const char *later;          /* not NULL: known but not there yet; an error that says this */
};

#define OPTION_END \
    { .name = NULL }

/* Where a parse happens and what went wrong so far. */
struct option_context {
    const char *file;      /* name of the configuration file, for messages */
    const char *read_dir;  /* directory of the configuration file, absolute */
    const char *write_dir; /* `state`, absolute */
    struct buf errors;     /* "<file>:<line>:<column>: <setting>: ...\n" each */
    int error_count;
};

/*
 * Fills `conf` (zeroed by the caller) from `node` (a map, or null for all defaults) by `table`.
 * `path` names the place in messages ("outputs[0].gelf_tcp"). Errors go to the context; returns
 * how many there were. Unknown keys are errors and name the nearest known one.
 */
int option_parse(struct option_context *context, const struct option *table,
                 const struct yaml_node *node, const char *path, void *conf);

/* Frees what option_parse put into `conf` (not conf itself). */
void option_free(const struct option *table, void *conf);

/* Adds an error at a node's place, for checks that a table cannot say: file:line:column: path:
   text. Without a node: file: path: text. */
void option_error(struct option_context *context, const struct yaml_node *node, const char *path,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* The known name nearest to `name` by edit distance, NULL when none is near. `names` ends with
   NULL. */
const char *option_nearest(const char *name, const char *const *names);

/* Single values, for checks of OPTION_NODE settings. 0, or -1 with ERR_CONFIG: what was found and
   what is allowed. */
int option_parse_size(const char *text, int64_t *bytes, struct err *err);
/* out->host is the caller's. */
int option_parse_hostport(const char *text, struct hostport *out, struct err *err);
int option_parse_time(const char *text, int64_t *ms, struct err *err);

/* The absolute form of a path that is read, or written, by the rules above; the caller frees it. */
char *option_read_path(const struct option_context *context, const char *path);
char *option_write_path(const struct option_context *context, const char *path);

/* Text as comment lines behind `indent` blanks, wrapped at 90 columns. */
void option_print_comment(struct span text, int indent, struct buf *out);

/*
 * Commented YAML for a table, each line behind `indent` blanks: for each setting its help as "# "
 * lines, then the setting itself, live when it is required, else commented out ("#name: value",
 * without a blank, so that taking the # away gives valid YAML). Settings to come are left out.
 */
void option_print_sample(const struct option *table, int indent, struct buf *out);

/* Reference text (Markdown table rows: setting, type and range, default, meaning). */
void option_print_reference(const struct option *table, const char *path, struct buf *out);
