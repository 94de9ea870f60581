/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The inputs that are built in. For modules.c, which lists them, and for tests; nobody else names a
 * module.
 */
#pragma once

#include "core/input.h"

extern const struct input_type input_kafka_type;
extern const struct input_type input_file_type;
extern const struct input_type input_kinesis_type;
