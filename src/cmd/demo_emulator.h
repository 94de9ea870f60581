/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kinesis-local, an emulator of Kinesis Data Streams that npm has, as a child process on a loopback
 * port. It keeps everything in memory and never outlives this process. Nothing is downloaded here:
 * it must be on PATH. For the demo alone; cold path.
 */
#pragma once

#include <stdint.h>

#include "base/err.h"

struct demo_emulator;

/*
 * Starts it, with its log and a script of ours in `folder`, which outlives it. ERR_STOP when it or
 * Node.js is not on PATH: the text has the command that installs it. It answers some seconds later.
 */
int demo_emulator_open(const char *folder, struct demo_emulator **emulator, struct err *err);

uint16_t demo_emulator_port(const struct demo_emulator *emulator);

/* -1 with ERR_STOP when it has ended by itself; the text has the reason from its log. */
int demo_emulator_check(struct demo_emulator *emulator, struct err *err);

/* Ends the process, which takes 3 s at most. NULL is fine. */
void demo_emulator_close(struct demo_emulator *emulator);
