/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What messages cost: bytes per field, mean size, and gigabytes a day at the rate of the input (by
 * the messages' own times). For `flowgelf enrich --sizes`.
 */
#pragma once

#include <stdio.h>

#include "base/span.h"
#include "flow/query.h"

struct sizes;

struct sizes *sizes_new(void);

/* Counts one message: its whole text and the fields that were found in it. */
void sizes_add(struct sizes *sizes, struct span line, const struct message_view *view);

/* A table, the largest field first. */
void sizes_print(const struct sizes *sizes, FILE *out);

/* NULL is fine. */
void sizes_free(struct sizes *sizes);
