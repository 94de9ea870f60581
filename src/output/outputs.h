/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The outputs that are built in, for src/modules.c and for tests; nobody else includes this.
 */
#pragma once

#include "core/output.h"

extern const struct output_type output_gelf_tcp_type;
extern const struct output_type output_gelf_udp_type;
extern const struct output_type output_gelf_http_type;
extern const struct output_type output_file_type;
extern const struct output_type output_stdout_type;
extern const struct output_type output_kafka_type;
