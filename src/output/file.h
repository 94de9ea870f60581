/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The settings of the output `file` as its table fills them, for file.c and for what opens one
 * without a configuration file (tests).
 */
#pragma once

#include "core/output.h"

struct file_conf {
    struct output_common common;
    char *path; /* absolute */
};
