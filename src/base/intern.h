/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Byte strings to numbers and back: each different string gets the next number from 0, and is kept
 * once. Filled while a table is built (it allocates), then only read, by any number of threads.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/span.h"

enum { INTERN_NONE = UINT32_MAX };

struct intern;

struct intern *intern_open(void);

/* NULL is fine. */
void intern_close(struct intern *intern);

/* The number of `key`, a new one if it was not there. `key` may hold any bytes, also none; all keys
   together at most 4 GiB (asserted). */
uint32_t intern_add(struct intern *intern, struct span key);

/* The number of `key`, INTERN_NONE when it is not there. */
uint32_t intern_find(const struct intern *intern, struct span key);

/* The string of a number that intern_add gave; valid until the next intern_add. */
struct span intern_get(const struct intern *intern, uint32_t id);

/* How many strings there are; their numbers are below. */
uint32_t intern_count(const struct intern *intern);
