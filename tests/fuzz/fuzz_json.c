/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as JSON, with jansson as the judge of what is JSON and what it says. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "json_judge.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *verdict = json_judge(span_of((const char *)data, size));
    if (verdict) {
        fprintf(stderr, "%s\n", verdict);
        abort();
    }
    return 0;
}
