/* SPDX-License-Identifier: Apache-2.0 */
/* The only list of what is built in: inputs, the decoder, enrichers, outputs. */
#pragma once

#include "core/module.h"

extern const struct modules flowgelf_modules;
