/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One setting's value: text in, C type out, and the words for what is allowed. Between the walk
 * over tables (option_parse.c), the printed documents (option_print.c) and the readers of single
 * texts (option_scan.c); nobody outside config/ needs it.
 */
#pragma once

#include "config/option.h"

/*
 * Reads one scalar into `slot`, which is of the C type of option->type (of one item, for a list)
 * and is zero before. Strings in it become the caller's. Opens the file of a secret, nothing else.
 * -1 with ERR_CONFIG: what was found, why it is wrong, what is allowed; a secret is never quoted.
 */
int option_value_parse(const struct option_context *context, const struct option *option,
                       const char *text, void *slot, struct err *err);

/* Frees what option_value_parse put into one slot. */
void option_value_free(enum option_type type, void *slot);

/* Appends what a setting takes: "a whole number from 1 to 64", "a list; each item: host:port". */
void option_value_describe(const struct option *option, struct buf *out);

/* Appends a text as messages show it: in quotes, cut when long, control characters as '?'. */
void option_value_quote(const char *text, struct buf *out);

/*
 * Readers of single texts. 0 with the value; -1 with a reason in why->text, which may be empty
 * where there is nothing to say but what is allowed, and is cut short; the value is then unchanged.
 */
int option_scan_integer(const char *text, int64_t *value, struct err *why);
int option_scan_boolean(const char *text, bool *value, struct err *why);
int option_scan_size(const char *text, int64_t *bytes, struct err *why);
int option_scan_duration(const char *text, int64_t *ms, struct err *why);
int option_scan_rate(const char *text, int64_t *per_second, struct err *why);
int option_scan_time(const char *text, int64_t *ms, struct err *why);
int option_scan_hostport(const char *text, struct hostport *out, struct err *why);
int option_scan_url(const char *text, struct err *why);
