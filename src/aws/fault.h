/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What AWS says when a call failed: code, message and request id out of a reply's headers and body,
 * and the class of such an error. Pure; for call.c. Shapes: the JSON and Query protocols of AWS'
 * service models.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "aws/call.h"
#include "base/span.h"

enum { AWS_CODE_MAX = 96, AWS_MESSAGE_MAX = 304, AWS_REQUEST_ID_MAX = 80 };

struct aws_fault {
    char code[AWS_CODE_MAX];             /* without namespace; "": none was found */
    char message[AWS_MESSAGE_MAX];       /* the first line of it, cut, fit for a log */
    char request_id[AWS_REQUEST_ID_MAX]; /* "": unknown */
};

/* Headers of the reply; empty spans where there are none. */
struct aws_fault_headers {
    struct span error_type; /* x-amzn-errortype */
    struct span request_id;
};

/*
 * Reads an error reply, JSON or XML by its first character; anything else gives no code. The body
 * is not changed. Whatever looks like a token, a signature or a key is left out of the message: AWS
 * repeats whole requests in some.
 */
void aws_fault_read(struct span body, const struct aws_fault_headers *headers,
                    struct aws_fault *fault);

/* The class of a status and code (AWS_FINE for 2xx); a clock that is wrong shows as AWS_DENIED or
   AWS_REFUSED here. *passes: may be over by itself, though it is none of the classes to retry. */
enum aws_class aws_fault_class(int status, const char *code, bool *passes);

/* How far two clocks must be apart at least to be the reason of this error; INT64_MAX: never. */
int64_t aws_fault_clock_ms(const struct aws_fault *fault);
