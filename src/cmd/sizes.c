/* SPDX-License-Identifier: Apache-2.0 */
/* See sizes.h. */
#include "cmd/sizes.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/xalloc.h"

enum { FIELDS_MAX = 1024 };

/* A field of GELF: ,"_name":value with the quotes of a text. */
enum { FIELD_AROUND = sizeof(",\"_\":") - 1, TEXT_AROUND = sizeof("\"\"") - 1 };

struct field_size {
    char *name;
    uint64_t count, bytes;
};

struct sizes {
    size_t count;
    struct field_size fields[FIELDS_MAX];
    uint64_t messages, bytes;
    double first_s, last_s; /* of the messages' times; first_s 0: none yet */
};

struct sizes *sizes_new(void) {
    return xcalloc(1, sizeof(struct sizes));
}

static struct field_size *find_field(struct sizes *sizes, struct span name) {
    for (size_t i = 0; i < sizes->count; i++) {
        if (span_eq(span_str(sizes->fields[i].name), name)) {
            return &sizes->fields[i];
        }
    }
    if (sizes->count == FIELDS_MAX) {
        return NULL;
    }
    struct field_size *field = &sizes->fields[sizes->count++];
    field->name = xstrdup_span(name);
    return field;
}

static void add_time(struct sizes *sizes, struct span value) {
    char *text = xstrdup_span(value);
    double time_s = strtod(text, NULL);
    if (sizes->first_s == 0 || time_s < sizes->first_s) {
        sizes->first_s = time_s;
    }
    sizes->last_s = time_s > sizes->last_s ? time_s : sizes->last_s;
    free(text);
}

void sizes_add(struct sizes *sizes, struct span line, const struct message_view *view) {
    sizes->messages++;
    sizes->bytes += line.len;
    for (size_t i = 0; i < view->count; i++) {
        const struct view_field *from = &view->fields[i];
        struct field_size *field = find_field(sizes, from->name);
        if (field) {
            field->count++;
            field->bytes += from->name.len + from->value.len + FIELD_AROUND +
                            (from->type == VIEW_TEXT ? TEXT_AROUND : 0);
        }
        if (span_eq(from->name, SPAN("timestamp"))) {
            add_time(sizes, from->value);
        }
    }
}

static int by_bytes(const void *a, const void *b) {
    const struct field_size *left = a, *right = b;
    return left->bytes < right->bytes ? 1 : left->bytes > right->bytes ? -1 : 0;
}

void sizes_print(const struct sizes *sizes, FILE *out) {
    struct field_size sorted[FIELDS_MAX];
    double messages = sizes->messages ? (double)sizes->messages : 1;
    memcpy(sorted, sizes->fields, sizes->count * sizeof(*sorted));
    qsort(sorted, sizes->count, sizeof(*sorted), by_bytes);
    fprintf(out, "%-36s %12s %10s %8s\n", "field", "messages", "bytes/msg", "share");
    for (size_t i = 0; i < sizes->count; i++) {
        fprintf(out, "%-36s %12ju %10.1f %7.1f%%\n", sorted[i].name, (uintmax_t)sorted[i].count,
                (double)sorted[i].bytes / messages,
                100.0 * (double)sorted[i].bytes / (double)(sizes->bytes ? sizes->bytes : 1));
    }
    fprintf(out, "\n%ju messages, %ju bytes, mean %.1f bytes\n", (uintmax_t)sizes->messages,
            (uintmax_t)sizes->bytes, (double)sizes->bytes / messages);
    double span_s = sizes->last_s - sizes->first_s;
    if (span_s >= 1) {
        fprintf(out, "over %.0f s of the messages' time: %.1f messages/s, %.3f GB per day\n",
                span_s, messages / span_s, (double)sizes->bytes / span_s * 86400 / 1e9);
    } else {
        fputs("all messages bear about the same time: no rate can be told from them\n", out);
    }
}

void sizes_free(struct sizes *sizes) {
    if (sizes) {
        for (size_t i = 0; i < sizes->count; i++) {
            free(sizes->fields[i].name);
        }
        free(sizes);
    }
}
