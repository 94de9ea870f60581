/* SPDX-License-Identifier: Apache-2.0 */
/* See demo_company.h. Two tables make the hour: hosts by role, kinds of traffic with weights. */
#include "cmd/demo_company.h"

#include <stdio.h>

enum { TCP = 6, UDP = 17, ICMP = 1, EPHEMERAL = 32768 };

struct host {
    const char *address, *interface;
};

/* The first of web, balancer, database and nat are those of the constructed flows. */
static const struct host web[] = {{"10.0.1.10", "eni-web"},
                                  {"10.0.1.11", "eni-0b52ed1c7a0c1f211"},
                                  {"10.0.1.12", "eni-0b52ed1c7a0c1f212"},
                                  {"10.0.1.13", "eni-0b52ed1c7a0c1f213"}};
static const struct host balancer[] = {{"10.0.0.20", "eni-elb"}};
static const struct host balancer6[] = {{"2001:db8:10:1::20", "eni-elb"}};
static const struct host database[] = {{"10.0.2.30", "eni-rds"},
                                       {"10.0.2.31", "eni-07d1e5a90bb3c4e31"}};
static const struct host cache[] = {{"10.0.2.60", "eni-0c4f1b7708d29aa60"}};
static const struct host nat[] = {{"10.0.0.40", "eni-nat"}};
static const struct host names[] = {{"10.0.4.53", "eni-0d0550b8a4e1c7053"}};
static const struct host bastion[] = {{"10.0.0.50", "eni-0a5e2f6c1d3b48050"}};
static const struct host app[] = {
    {"10.0.3.11", "eni-03aa7c59e2f1b0c11"}, {"10.0.3.12", "eni-03aa7c59e2f1b0c12"},
    {"10.0.3.13", "eni-03aa7c59e2f1b0c13"}, {"10.0.3.14", "eni-03aa7c59e2f1b0c14"},
    {"10.0.3.15", "eni-03aa7c59e2f1b0c15"}, {"10.0.3.16", "eni-03aa7c59e2f1b0c16"}};
/* Patterns: `#` becomes a number of 1 to 254. They have no interface of ours. */
static const struct host internet[] = {
    {"203.0.113.#", NULL}, {"192.0.2.#", NULL},    {"198.18.#.#", NULL}, {"198.19.#.#", NULL},
    {"198.18.4.#", NULL},  {"198.19.250.#", NULL}, {"198.18.77.#", NULL}};
static const struct host internet6[] = {{"2001:db8:f00:#::#", NULL}, {"2001:db8:beef:#::1", NULL}};
static const struct host scanner[] = {{"198.18.66.#", NULL}, {"192.0.2.66", NULL}};
static const struct host office[] = {{"203.0.113.200", NULL}, {"203.0.113.201", NULL}};

#define POOL(name) name, sizeof(name) / sizeof((name)[0])

/* One kind of conversation. The interface that records it is that of `to` unless it has none. */
struct traffic {
    unsigned weight;
    const struct host *from;
    size_t from_count;
    const struct host *to;
    size_t to_count;
    unsigned port; /* of `to`; 0: any below 10,000 */
    unsigned protocol;
    unsigned packets_max, packet_bytes;
    bool rejected; /* then without an answer */
};

static const struct traffic traffics[] = {
    {210, POOL(internet), POOL(balancer), 443, TCP, 60, 420, false},
    {50, POOL(internet6), POOL(balancer6), 443, TCP, 60, 420, false},
    {18, POOL(internet), POOL(balancer), 80, TCP, 8, 180, false},
    {220, POOL(balancer), POOL(web), 80, TCP, 40, 510, false},
    {130, POOL(web), POOL(database), 3306, TCP, 220, 340, false},
    {80, POOL(web), POOL(cache), 6379, TCP, 120, 150, false},
    {70, POOL(web), POOL(app), 8080, TCP, 50, 600, false},
    {40, POOL(app), POOL(database), 3306, TCP, 500, 780, false},
    {90, POOL(app), POOL(names), 53, UDP, 2, 74, false},
    {60, POOL(web), POOL(names), 53, UDP, 2, 74, false},
    {30, POOL(app), POOL(internet), 443, TCP, 90, 300, false},
    {24, POOL(nat), POOL(internet), 443, TCP, 90, 300, false},
    {8, POOL(names), POOL(internet), 53, UDP, 4, 90, false},
    {6, POOL(app), POOL(internet), 123, UDP, 1, 76, false},
    {5, POOL(bastion), POOL(web), 22, TCP, 400, 210, false},
    {4, POOL(bastion), POOL(app), 22, TCP, 400, 210, false},
    {5, POOL(office), POOL(bastion), 443, TCP, 300, 260, false},
    {6, POOL(bastion), POOL(app), 0, ICMP, 10, 84, false},
    {48, POOL(scanner), POOL(web), 0, TCP, 2, 44, true},
    {20, POOL(scanner), POOL(bastion), 22, TCP, 3, 44, true},
    {9, POOL(scanner), POOL(web), 3389, TCP, 2, 44, true},
    {7, POOL(scanner), POOL(database), 3306, TCP, 2, 44, true},
    {6, POOL(scanner), POOL(names), 53, UDP, 1, 60, true},
    {4, POOL(internet6), POOL(balancer6), 22, TCP, 1, 80, true},
};

enum { TRAFFICS = sizeof(traffics) / sizeof(traffics[0]) };

/* What the searches must find, and what they must not: one line each in the field reference. */
static const struct company_flow constructed[] = {
    {"eni-web", "203.0.113.5", "10.0.1.10", 50000, 443, TCP, 12, 6120, false},
    {"eni-web", "10.0.0.20", "10.0.1.10", 34000, 80, TCP, 9, 1240, false},
    {"eni-web", "10.0.1.10", "10.0.0.20", 80, 34000, TCP, 11, 9720, false},
    {"eni-rds", "10.0.2.30", "203.0.113.9", 3306, 40000, TCP, 4200, 5961400, false},
    {"eni-rds", "10.0.2.30", "10.0.1.10", 3306, 41000, TCP, 70, 41200, false},
    {"eni-web", "10.0.1.10", "198.51.100.7", 45000, 6667, TCP, 14, 1020, false},
    {"eni-web", "198.51.100.7", "10.0.1.10", 6667, 45000, TCP, 12, 2210, false},
    {"eni-web", "203.0.113.5", "10.0.1.10", 50001, 22, TCP, 31, 4870, false},
    {"eni-web", "203.0.113.5", "10.0.1.10", 50000, 443, TCP, 1, 60, true},
    {"eni-nat", "203.0.113.66", "10.0.0.40", 40000, 23, TCP, 1, 40, false},
    {"eni-web", "54.10.0.40", "10.0.1.10", 40000, 443, TCP, 10, 2800, false},
    {"eni-nat", "203.0.113.66", "10.0.0.40", 40000, 22, TCP, 1, 40, false},
    {"eni-web", "10.0.1.10", "198.51.100.7", 443, 50000, TCP, 8, 5120, false},
};

enum {
    CONSTRUCTED = sizeof(constructed) / sizeof(constructed[0]),
    CONSTRUCTED_EVERY = COMPANY_LINES / (CONSTRUCTED + 1),
    NODATA_EVERY = COMPANY_LINES / COMPANY_NODATA,
};

void company_init(struct company *company) {
    *company = (struct company){.random = 20260101};
}

/* Vigna's splitmix64: the same numbers on every machine. A number below `below`. */
static unsigned any(struct company *company, unsigned below) {
    uint64_t z = company->random += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (unsigned)((z ^ (z >> 31)) % below);
}

/* Writes an address; a pattern's `#` are filled. */
static void put_address(struct company *company, const char *pattern, char out[48]) {
    size_t len = 0;
    for (const char *p = pattern; *p && len < 40; p++) {
        if (*p == '#') {
            len += (size_t)snprintf(out + len, 48 - len, "%u", 1 + any(company, 254));
        } else {
            out[len++] = *p;
        }
    }
    out[len] = '\0';
}

static const struct traffic *pick_traffic(struct company *company) {
    unsigned sum = 0;
    for (size_t i = 0; i < TRAFFICS; i++) {
        sum += traffics[i].weight;
    }
    unsigned left = any(company, sum);
    size_t i = 0;
    while (left >= traffics[i].weight) {
        left -= traffics[i++].weight;
    }
    return &traffics[i];
}

/* The answer: a few more bytes the other way, seen by the same interface. */
static void make_reply(struct company *company, const struct company_flow *flow) {
    struct company_flow *reply = &company->reply;
    *reply = *flow;
    memcpy(reply->src, flow->dst, sizeof(reply->src));
    memcpy(reply->dst, flow->src, sizeof(reply->dst));
    reply->src_port = flow->dst_port;
    reply->dst_port = flow->src_port;
    reply->bytes = flow->bytes * (1 + any(company, 5));
    company->has_reply = true;
}

static void make_flow(struct company *company, struct company_flow *flow) {
    const struct traffic *traffic = pick_traffic(company);
    const struct host *from = &traffic->from[any(company, (unsigned)traffic->from_count)];
    const struct host *to = &traffic->to[any(company, (unsigned)traffic->to_count)];
    *flow = (struct company_flow){
        .interface = to->interface ? to->interface : from->interface,
        .protocol = traffic->protocol,
        .packets = 1 + any(company, traffic->packets_max),
        .rejected = traffic->rejected,
    };
    put_address(company, from->address, flow->src);
    put_address(company, to->address, flow->dst);
    flow->bytes = flow->packets * (40 + any(company, 2 * traffic->packet_bytes - 40));
    if (flow->protocol != ICMP) {
        flow->src_port = EPHEMERAL + any(company, 28000);
        flow->dst_port = traffic->port ? traffic->port : 1 + any(company, 9999);
    }
    if (!flow->rejected) {
        make_reply(company, flow);
    }
}

static void next_flow(struct company *company, struct company_flow *flow) {
    bool is_due = company->number >= (company->constructed + 1) * CONSTRUCTED_EVERY;
    if (is_due && company->constructed < CONSTRUCTED) {
        *flow = constructed[company->constructed++];
    } else if (company->has_reply) {
        *flow = company->reply;
        company->has_reply = false;
    } else {
        make_flow(company, flow);
    }
}

bool company_next(struct company *company, struct buf *line, size_t *messages) {
    size_t number = company->number;
    if (number == COMPANY_LINES) {
        return false;
    }
    unsigned end = COMPANY_START + 60 + (unsigned)(number * 3540 / COMPANY_LINES);
    unsigned start = end - 1 - any(company, 59);
    *messages = number % NODATA_EVERY != 0;
    if (*messages == 0) {
        const char *interface = number == 0 ? "eni-web" : app[any(company, 6)].interface;
        buf_printf(line, "2 123456789010 %s - - - - - - - %u %u - NODATA", interface, start, end);
    } else {
        struct company_flow flow;
        next_flow(company, &flow);
        buf_printf(line, "2 123456789010 %s %s %s %u %u %u %ju %ju %u %u %s OK", flow.interface,
                   flow.src, flow.dst, flow.src_port, flow.dst_port, flow.protocol,
                   (uintmax_t)flow.packets, (uintmax_t)flow.bytes, start, end,
                   flow.rejected ? "REJECT" : "ACCEPT");
    }
    company->number++;
    return true;
}
