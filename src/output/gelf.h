/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Flows as GELF 1.1 messages (docs.graylog.org, "GELF payload specification"), for all outputs that
 * send GELF or write JSON lines. Pure: no clock, no I/O, no memory once warm.
 *
 * What a message keeps to, so that every receiver takes it: version, host, short_message, timestamp
 * with three decimals; further keys of [A-Za-z0-9_] behind one underscore, each once, never "_id";
 * strings neither empty nor blank nor above JSON_STRING_MAX bytes; numbers are JSON numbers; no
 * null, and no boolean or array unless the settings ask for them.
 */
#pragma once

#include "core/output.h"

extern const struct encoder_type gelf_encoder;
