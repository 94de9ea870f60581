/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes as a record, and once more with their first line as the head of their file. */
#include <stdint.h>
#include <stdlib.h>

#include "flow_judge.h"

static struct format *formats[2];
static struct decode_conf conf = {.formats = (const struct format *const *)formats,
                                  .format_count = 2,
                                  .send_nodata = true,
                                  .send_skipdata = true};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static void *decoder;
    if (!decoder) {
        format_parse(SPAN("default"), &formats[0], NULL);
        format_parse(SPAN("tgw-default"), &formats[1], NULL);
        decoder = payload_decoder.open(&conf);
    }
    struct record record = {.data = span_of((const char *)data, size)};
    size_t count = flow_judge_record(decoder, &record, 1 + size % 40);
    /* The same again, whatever the step. */
    if (flow_judge_record(decoder, &record, 1 + size % 3) != count) {
        abort();
    }
    struct span rest = record.data;
    if (span_cut(&rest, '\n', &record.head)) {
        record.data = rest;
        flow_judge_record(decoder, &record, 32);
    }
    return 0;
}
