/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What `flowgelf check` and `flowgelf leases` say of a Kinesis input. Apart from the running input:
 * these commands open what they need for themselves, change nothing and may wait.
 */
#pragma once

#include "base/buf.h"
#include "base/err.h"

/* input_type.check and .leases. */
int kinesis_check(const void *conf, bool online, struct buf *report, struct err *err);
int kinesis_leases(const void *conf, struct buf *out, struct err *err);
