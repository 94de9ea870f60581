/* SPDX-License-Identifier: Apache-2.0 */
/* The part of core/settings that reads which flows are sent, and to whom; see core/filter.h. */
#pragma once

#include "config/option.h"
#include "core/settings.h"

/* An output's `filter` and `required`, from its conf, into `use`; errors at their place in `node`
   (the output's map), with `path` before their names. */
void settings_load_output_filter(struct output_use *use, struct option_context *context,
                                 const struct yaml_node *node, const char *path);

/* `drop`, `keep` and `sample`, and what searches see, once all outputs are there. */
void settings_load_filters(struct settings *settings, struct option_context *context);

/* After another set of outputs was put in place: what searches see now. */
void settings_refit_filters(struct settings *settings);

void settings_free_filters(struct settings *settings);
