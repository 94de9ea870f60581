/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Allocation that cannot fail: when the system has no memory left, the process says so and aborts.
 * Used at start, in the refresher and on other cold paths; after warm-up a turn of a worker
 * allocates nothing. Memory is given back with free().
 */
#pragma once

#include <stddef.h>

#include "base/span.h"

/* malloc(size); never NULL. */
void *xmalloc(size_t size) __attribute__((malloc, returns_nonnull));

/* calloc(count, size), all zero; aborts on overflow of the product too. */
void *xcalloc(size_t count, size_t size) __attribute__((malloc, returns_nonnull));

/* Resizes an array to `count` members of `size` bytes; the old pointer is gone. */
void *xreallocarray(void *old, size_t count, size_t size) __attribute__((returns_nonnull));

/* A NUL-terminated copy of a string, or of a span (bytes up to the first NUL are what C sees). */
char *xstrdup(const char *text) __attribute__((malloc, returns_nonnull));
char *xstrdup_span(struct span text) __attribute__((malloc, returns_nonnull));

/* printf into a new string. */
char *xasprintf(const char *format, ...) __attribute__((format(printf, 1, 2), returns_nonnull));
