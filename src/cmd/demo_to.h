/* SPDX-License-Identifier: Apache-2.0 */
/* `flowgelf demo --to HOST:PORT`: the sample as live traffic for a receiver of one's own. */
#pragma once

#include <stdbool.h>

/*
 * Sends 200 flows a second for five minutes, or until INT or TERM, each ending at the time it is
 * sent, and shows how it goes. `target` is a checked "host:port". Returns an exit_code: EXIT_RUN
 * when not everything was delivered.
 */
int demo_to(const char *target, bool udp);
