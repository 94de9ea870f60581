/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The four kinds of modules in one place, for code that must treat them alike: settings, check, the
 * reference. src/modules.c is the only list of what is built in; the core gets it as an argument.
 */
#pragma once

#include "core/decoder.h"
#include "core/enricher.h"
#include "core/input.h"
#include "core/output.h"

/* Each list ends with NULL. */
struct modules {
    const struct input_type *const *inputs;
    const struct decoder_type *decoder;
    const struct enricher_type *const *enrichers; /* in the order in which they run */
    const struct output_type *const *outputs;
};
