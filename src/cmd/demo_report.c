/* SPDX-License-Identifier: Apache-2.0 */
/* See demo_report.h. */
#include "cmd/demo_report.h"

#include <assert.h>
#include <time.h>

#include "cmd/demo_receiver.h"

struct search {
    const char *name, *query, *meaning;
    bool needs_inventory;
};

/* Word for word those of the field reference. */
static const struct search searches[DEMO_SEARCHES] = {
    {"Q1",
     "dst_addr_entity_aws_type:EC2 AND src_addr_internal:false AND (dst_port:80 OR dst_port:443)",
     "servers reached from outside past the load balancer", true},
    {"Q2", "src_addr_entity_aws_type:RDS AND dst_addr_internal:false",
     "data that leaves a database for the outside", true},
    {"Q3", "dst_addr_threat_indicated:true", "traffic to addresses that a threat feed lists",
     false},
    {"Q4", "src_addr_entity_aws_type:ELB", "where load balancers send requests", true},
    {"Q5", "src_addr_entity:\"ec2:i-42e0d1ca\" AND dst_addr_entity_aws_type:ELB",
     "which load balancers one server answers to", true},
    {"A1",
     "action:ACCEPT AND src_addr_internal:false AND dst_addr_internal:true AND "
     "dst_port:(22 OR 3389)",
     "logins from outside", false},
    {"S", "inbound_public:true AND suspicious:true", "open ports that nobody allowed", true},
};

/* What is shown in full: one that came in an envelope, a threat, a login from outside. */
static const char *const picks[DEMO_PICKS] = {
    "_exists_:aws_log_group AND action:ACCEPT AND dst_port:22",
    "dst_addr_threat_indicated:true AND dst_port:6667",
    "action:ACCEPT AND src_addr_internal:false AND dst_addr:\"10.0.1.10\" AND dst_port:22",
};

static struct query *parse(const char *text) {
    struct query *query;
    struct err err;
    int result = query_parse(span_str(text), &query, &err);
    assert(result == 0);
    return query;
}

void demo_report_init(struct demo_report *report) {
    *report = (struct demo_report){0};
    message_view_init(&report->view, DEMO_MESSAGE_MAX);
    for (size_t i = 0; i < DEMO_SEARCHES; i++) {
        report->searches[i] = parse(searches[i].query);
    }
    for (size_t i = 0; i < DEMO_PICKS; i++) {
        report->picks[i] = parse(picks[i]);
        message_view_init(&report->picked[i], DEMO_MESSAGE_MAX);
    }
}

void demo_report_done(struct demo_report *report) {
    message_view_done(&report->view);
    for (size_t i = 0; i < DEMO_SEARCHES; i++) {
        query_free(report->searches[i]);
    }
    for (size_t i = 0; i < DEMO_PICKS; i++) {
        query_free(report->picks[i]);
        message_view_done(&report->picked[i]);
    }
}

static int64_t now_us(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void pick(struct demo_report *report, struct span message) {
    for (size_t i = 0; i < DEMO_PICKS; i++) {
        if (report->picked[i].count == 0 && query_matches(report->picks[i], &report->view)) {
            struct err err;
            message_view_parse(&report->picked[i], message, &err);
        }
    }
}

void demo_report_take(void *context, struct span message) {
    struct demo_report *report = context;
    struct err err;
    report->last_us = now_us();
    report->first_us = report->messages == 0 ? report->last_us : report->first_us;
    report->messages++;
    report->bytes += message.len;
    if (message_view_parse(&report->view, message, &err) != 0) {
        report->unreadable++;
        return;
    }
    for (size_t i = 0; i < DEMO_SEARCHES; i++) {
        report->hits[i] += query_matches(report->searches[i], &report->view);
    }
    pick(report, message);
}

double demo_report_seconds(const struct demo_report *report) {
    int64_t us = report->last_us - report->first_us;
    return (double)(us > 0 ? us : 1) / 1e6;
}

static struct span view_get(const struct message_view *view, const char *name) {
    for (size_t i = 0; i < view->count; i++) {
        if (span_eq(view->fields[i].name, span_str(name))) {
            return view->fields[i].value;
        }
    }
    return span_of(NULL, 0);
}

/* The short message as a headline, then each field on a line of its own. */
static void print_message(const struct message_view *view, FILE *out) {
    fprintf(out, "  %.*s\n", SPAN_ARG(view_get(view, "short_message")));
    for (size_t i = 0; i < view->count; i++) {
        const struct view_field *field = &view->fields[i];
        if (!span_eq(field->name, SPAN("short_message"))) {
            fprintf(out, "      %-34.*s %.*s\n", SPAN_ARG(field->name), SPAN_ARG(field->value));
        }
    }
    fputc('\n', out);
}

static void print_search(const struct demo_report *report, size_t i, bool has_inventory,
                         FILE *out) {
    if (searches[i].needs_inventory && !has_inventory) {
        fprintf(out, "  %-2s  %20s  %s\n", searches[i].name, "needs an inventory",
                searches[i].meaning);
    } else {
        fprintf(out, "  %-2s  %20ju  %s\n", searches[i].name, (uintmax_t)report->hits[i],
                searches[i].meaning);
    }
    fprintf(out, "  %24s  %s\n", "", searches[i].query);
}

void demo_report_print(const struct demo_report *report, uint64_t records, bool has_inventory,
                       FILE *out) {
    double seconds = demo_report_seconds(report);
    uint64_t mean = report->messages > 0 ? report->bytes / report->messages : 0;
    fputs("\nThree of the messages, as the receiver got them:\n\n", out);
    for (size_t i = 0; i < DEMO_PICKS; i++) {
        if (report->picked[i].count > 0) {
            print_message(&report->picked[i], out);
        }
    }
    fprintf(out, "%ju records in %s, %ju messages over TCP, %ju bytes a message on average\n",
            (uintmax_t)records, report->source, (uintmax_t)report->messages, (uintmax_t)mean);
    fprintf(out,
            "%.3f s from the first message to the last: %.0f records/s, as fast as %s\n"
            "hands them out (docs/benchmarks.md has what flowgelf itself does)\n\n",
            seconds, (double)records / seconds, report->peer);
    fprintf(out, "  %-2s  %20s  %s\n", "", "hits", "search");
    for (size_t i = 0; i < DEMO_SEARCHES; i++) {
        print_search(report, i, has_inventory, out);
    }
}

void demo_report_print_json(const struct demo_report *report, uint64_t records, bool has_inventory,
                            FILE *out) {
    fprintf(out, "{\"records\": %ju, \"messages\": %ju, \"seconds\": %.6f, \"searches\": {",
            (uintmax_t)records, (uintmax_t)report->messages, demo_report_seconds(report));
    for (size_t i = 0; i < DEMO_SEARCHES; i++) {
        fprintf(out, "%s\"%s\": ", i > 0 ? ", " : "", searches[i].name);
        if (searches[i].needs_inventory && !has_inventory) {
            fputs("null", out);
        } else {
            fprintf(out, "%ju", (uintmax_t)report->hits[i]);
        }
    }
    fputs("}}\n", out);
}

void demo_report_print_searches(FILE *out) {
    for (size_t i = 0; i < DEMO_SEARCHES; i++) {
        if (!searches[i].needs_inventory) {
            fprintf(out, "  %s\n      %s\n", searches[i].meaning, searches[i].query);
        }
    }
}
