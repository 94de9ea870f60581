/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of the output `stdout` as its table fills them, for stdout.c and for what opens one
 * without a configuration file (commands, tests).
 */
#pragma once

#include "core/output.h"

struct stdout_conf {
    struct output_common common;
};
