/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder of flow-log records: finds out by looking what a record is (gzip or plain; CloudWatch
 * envelopes, objects with a message, objects keyed by field names, lines, header lines, in any
 * order one after the other) and takes the flows out of it. For modules.c; see core/decoder.h.
 */
#pragma once

#include "core/decoder.h"

extern const struct decoder_type payload_decoder;
