/* SPDX-License-Identifier: Apache-2.0 */
/* Typed settings: one table with every type, what it takes, what it refuses and in which words. */
#include "config/option.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/xalloc.h"
#include "config/option_value.h"
#include "unit.h"

struct tls {
    char *ca;
    bool verify;
};

struct conf {
    char *topic;
    struct string_list topics;
    int64_t workers;
    bool follow;
    int64_t memory;
    int64_t grace_ms;
    struct cidr network;
    struct cidr_list networks;
    struct hostport listen;
    struct hostport_list brokers;
    char *url;
    char *city;
    struct string_list paths;
    char *dead_letter;
    char *password;
    int schema;
    int64_t start;
    int64_t rate;
    struct string_map properties;
    const struct yaml_node *filter;
    struct tls tls;
    bool tls_given;
};

static const char *const schemas[] = {"graylog", "aws", "ecs", NULL};
static const char *const starts[] = {"earliest", "latest", NULL};

static const struct option tls_table[] = {{.name = "ca",
                                           .type = OPTION_READ_PATH,
                                           .offset = offsetof(struct tls, ca),
                                           .required = true,
                                           .sample = "ca.pem",
                                           .help = "The certificates to trust."},
                                          {.name = "verify",
                                           .type = OPTION_BOOLEAN,
                                           .offset = offsetof(struct tls, verify),
                                           .preset = "true",
                                           .help = "Whether the peer must show a certificate."},
                                          OPTION_END};

#define AT(member) .offset = offsetof(struct conf, member)

static const struct option table[] = {
    {.name = "topic", .type = OPTION_STRING, AT(topic), .preset = "flows"},
    {.name = "topics", .type = OPTION_STRING, .list = true, AT(topics), .preset = "[a, b]"},
    {.name = "workers",
     .type = OPTION_INTEGER,
     AT(workers),
     .preset = "2",
     .min = 1,
     .max = 64,
     .help = "Threads per input. More of them than cores only cost memory, and each has rings of "
             "its own for every output that is configured."},
    {.name = "follow", .type = OPTION_BOOLEAN, AT(follow), .preset = "false"},
    {.name = "memory",
     .type = OPTION_SIZE,
     AT(memory),
     .preset = "512MiB",
     .min = 16 << 20,
     .max = 1LL << 40},
    {.name = "grace",
     .type = OPTION_DURATION,
     AT(grace_ms),
     .preset = "10s",
     .min = 1000,
     .max = 3600000},
    {.name = "network", .type = OPTION_CIDR, AT(network)},
    {.name = "networks", .type = OPTION_CIDR, .list = true, AT(networks)},
    {.name = "listen", .type = OPTION_HOSTPORT, AT(listen)},
    {.name = "brokers",
     .type = OPTION_HOSTPORT,
     .list = true,
     .required = true,
     AT(brokers),
     .sample = "[kafka1:9092]",
     .help = "Where to start from."},
    {.name = "url", .type = OPTION_URL, AT(url)},
    {.name = "city", .type = OPTION_READ_PATH, AT(city), .sample = "GeoLite2-City.mmdb"},
    {.name = "paths", .type = OPTION_READ_PATH, .list = true, AT(paths)},
    {.name = "dead_letter", .type = OPTION_WRITE_PATH, AT(dead_letter)},
    {.name = "password", .type = OPTION_SECRET, AT(password)},
    {.name = "schema", .type = OPTION_CHOICE, AT(schema), .choices = schemas, .preset = "aws"},
    {.name = "start", .type = OPTION_TIME, AT(start), .choices = starts, .preset = "earliest"},
    {.name = "rate", .type = OPTION_RATE, AT(rate), .preset = "20000", .min = 1, .max = 1000000},
    {.name = "properties", .type = OPTION_STRINGS, AT(properties)},
    {.name = "filter", .type = OPTION_NODE, AT(filter)},
    {.name = "tls",
     .type = OPTION_GROUP,
     AT(tls),
     .group = tls_table,
     .given = offsetof(struct conf, tls_given),
     .help = "Encryption | off without it."},
    {.name = "hosts",
     .type = OPTION_STRING,
     .list = true,
     .later = "several hosts are not there yet"},
    OPTION_END};

static struct conf conf;
static struct option_context context;
static struct yaml_node *tree;

static int parse(const char *text) {
    struct err err = {0};
    ck_assert_msg(yaml_parse(span_str(text), "t.yaml", &tree, &err) == 0, "%s", err.text);
    return option_parse(&context, table, tree, "in", &conf);
}

static void setup(void) {
    memset(&conf, 0, sizeof(conf));
    context = (struct option_context){
        .file = "t.yaml", .read_dir = "/etc/flowgelf", .write_dir = "/var/lib/flowgelf"};
    buf_init(&context.errors, 1 << 20);
    tree = NULL;
}

static void teardown(void) {
    option_free(table, &conf);
    ck_assert_ptr_null(conf.topic);
    ck_assert_uint_eq(conf.brokers.count, 0);
    yaml_unload(tree);
    buf_done(&context.errors);
}

/* Parses what must be fine; brokers are added. */
static void accept(const char *text) {
    char whole[2000];
    snprintf(whole, sizeof(whole), "brokers: [k:1]\n%s\n", text);
    int errors = parse(whole);
    ck_assert_msg(errors == 0, "%s", buf_cstr(&context.errors));
}

/* Parses `text` behind a first line that is fine, and expects exactly this one error. */
static void refuse(const char *text, const char *expected) {
    char whole[2000];
    setup();
    snprintf(whole, sizeof(whole), "brokers: [k:1]\n%s\n", text);
    int errors = parse(whole);
    ck_assert_msg(errors == 1, "%d errors for %s: %s", errors, text, buf_cstr(&context.errors));
    ck_assert_int_eq(context.error_count, 1);
    ck_assert_str_eq(buf_cstr(&context.errors), expected);
    teardown();
}

/* The same where only a part of the message is of interest. */
static void refuse_with(const char *text, const char *part) {
    char whole[2000];
    setup();
    snprintf(whole, sizeof(whole), "brokers: [k:1]\n%s\n", text);
    int errors = parse(whole);
    const char *shown = buf_cstr(&context.errors);
    ck_assert_msg(errors == 1, "%d errors for %s: %s", errors, text, shown);
    ck_assert_msg(strstr(shown, part) != NULL, "\"%s\" is not in \"%s\"", part, shown);
    ck_assert_msg(strstr(shown, "; allowed") != NULL, "\"%s\" says not what is allowed", shown);
    teardown();
}

START_TEST(defaults_are_filled_in) {
    setup();
    accept("");
    ck_assert_str_eq(conf.topic, "flows");
    ck_assert_uint_eq(conf.topics.count, 2);
    ck_assert_str_eq(conf.topics.items[1], "b");
    ck_assert_int_eq(conf.workers, 2);
    ck_assert(!conf.follow);
    ck_assert_int_eq(conf.memory, 512 << 20);
    ck_assert_int_eq(conf.grace_ms, 10000);
    ck_assert_int_eq(conf.network.addr.family, IPADDR_NONE);
    ck_assert_ptr_null(conf.listen.host);
    ck_assert_ptr_null(conf.city);
    ck_assert_int_eq(conf.schema, 1);
    ck_assert_int_eq(conf.start, -1);
    ck_assert_int_eq(conf.rate, 20000);
    ck_assert_uint_eq(conf.properties.count, 0);
    ck_assert_ptr_null(conf.filter);
    ck_assert(!conf.tls_given);
    ck_assert(conf.tls.verify);
    teardown();
}
END_TEST

START_TEST(every_type_is_read) {
    setup();
    accept("topic: 'x: y'\ntopics: one\nworkers: 64\nfollow: true\nmemory: 16MiB\ngrace: 5m\n"
           "network: 10.0.0.0/8\nnetworks: [2001:db8::/32, 192.0.2.1]\n"
           "listen: '[::1]:9620'\nurl: https://graylog.example:12201/gelf?a=b\n"
           "city: GeoLite2-City.mmdb\npaths: ['/a/*.gz', b, '-']\ndead_letter: dead.jsonl\n"
           "schema: ecs\nstart: 2026-01-31T06:00:00.250+01:00\nrate: unlimited\n"
           "properties: {ssl.ca.location: ca.pem, retries: 3}\nfilter: {a: [b]}\n"
           "tls: {ca: ca.pem, verify: false}");
    ck_assert_str_eq(conf.topic, "x: y");
    ck_assert_uint_eq(conf.topics.count, 1);
    ck_assert_str_eq(conf.topics.items[0], "one");
    ck_assert_int_eq(conf.workers, 64);
    ck_assert(conf.follow);
    ck_assert_int_eq(conf.memory, 16 << 20);
    ck_assert_int_eq(conf.grace_ms, 300000);
    ck_assert_int_eq(conf.network.bits, 8);
    ck_assert_uint_eq(conf.networks.count, 2);
    ck_assert_int_eq(conf.networks.items[0].addr.family, IPADDR_V6);
    ck_assert_int_eq(conf.networks.items[1].bits, 32);
    ck_assert_str_eq(conf.listen.host, "::1");
    ck_assert_int_eq(conf.listen.port, 9620);
    ck_assert_str_eq(conf.url, "https://graylog.example:12201/gelf?a=b");
    ck_assert_str_eq(conf.city, "/etc/flowgelf/GeoLite2-City.mmdb");
    ck_assert_str_eq(conf.paths.items[0], "/a/*.gz");
    ck_assert_str_eq(conf.paths.items[1], "/etc/flowgelf/b");
    ck_assert_str_eq(conf.paths.items[2], "-");
    ck_assert_str_eq(conf.dead_letter, "/var/lib/flowgelf/dead.jsonl");
    ck_assert_int_eq(conf.schema, 2);
    ck_assert_int_eq(conf.start, 1769835600250);
    ck_assert_int_eq(conf.rate, 0);
    ck_assert_uint_eq(conf.properties.count, 2);
    ck_assert_str_eq(conf.properties.keys[0], "ssl.ca.location");
    ck_assert_str_eq(conf.properties.values[1], "3");
    ck_assert_int_eq(conf.filter->kind, YAML_MAP);
    ck_assert(conf.tls_given);
    ck_assert_str_eq(conf.tls.ca, "/etc/flowgelf/ca.pem");
    ck_assert(!conf.tls.verify);
    teardown();
}
END_TEST

START_TEST(unknown_settings_name_the_nearest) {
    refuse("tls: {ca: x, verfiy: true}",
           "t.yaml:2:14: in.tls: unknown setting \"verfiy\"; did you mean \"verify\"?; "
           "allowed here: ca, verify\n");
    refuse("tls: {ca: x, nonsense: 1}",
           "t.yaml:2:14: in.tls: unknown setting \"nonsense\"; allowed here: ca, verify\n");
    refuse_with("brokrs: [a:1]", "unknown setting \"brokrs\"; did you mean \"brokers\"?");
    refuse_with("Dead-Letter: x", "did you mean \"dead_letter\"?");
}
END_TEST

START_TEST(values_are_refused_with_place_path_and_what_is_allowed) {
    refuse("workers: 0", "t.yaml:2:10: in.workers: found \"0\": too small; "
                         "allowed: a whole number from 1 to 64\n");
    refuse("workers: two",
           "t.yaml:2:10: in.workers: found \"two\"; allowed: a whole number from 1 to 64\n");
    refuse("workers: [1]",
           "t.yaml:2:10: in.workers: found a list; allowed: a whole number from 1 to 64\n");
    refuse_with("workers: 65", "too large");
    refuse_with("workers: 99999999999999999999", "found \"99999999999999999999\"");
    refuse_with("workers: 0x10", "found \"0x10\"");
    refuse_with("schema: Graylog", "did you mean \"graylog\"?; allowed: graylog, aws or ecs");
    refuse_with("properties: [a]", "in.properties: found a list");
    refuse_with("properties: {a: [b]}", "t.yaml:2:17: in.properties.a: found a list");
    refuse_with("properties: {a: }", "in.properties.a: found nothing");
    refuse_with("tls: true", "in.tls: found a single value; allowed: a map of settings");
    refuse_with("network: 10.0.0.1/8", "10.0.0.0/8");
    refuse_with("networks: {a: b}", "in.networks: found a map; allowed: a list; each item: an a");
    refuse_with("city: ''", "must not be empty");
}
END_TEST

START_TEST(booleans_are_true_and_false) {
    refuse("follow: yes", "t.yaml:2:9: in.follow: found \"yes\": write true; "
                          "allowed: true or false\n");
    refuse_with("follow: off", "write false");
    refuse_with("follow: True", "write true");
    refuse_with("follow: 1", "write true");
    refuse_with("follow: maybe", "found \"maybe\"; allowed: true or false");
}
END_TEST

START_TEST(durations_need_a_unit) {
    refuse("grace: 10", "t.yaml:2:8: in.grace: found \"10\": the unit is missing; allowed: a "
                        "duration (a whole number with ms, s, m, h or d) from 1s to 1h\n");
    refuse_with("grace: 0", "too small");
    refuse_with("grace: 2h", "too large");
    refuse_with("grace: -5s", "it cannot be negative");
    refuse_with("grace: 1.5s", "take the next smaller unit");
    refuse_with("grace: 1m30s", "one number and one unit only");
    refuse_with("grace: 5 s", "no blank before the unit");
    refuse_with("grace: 5sec", "no such unit");
    refuse_with("grace: 9223372036854775807d", "too large");
    int64_t ms = -1;
    struct err err = {0};
    ck_assert_int_eq(option_scan_duration("0", &ms, &err), 0);
    ck_assert_int_eq(ms, 0);
    ck_assert_int_eq(option_scan_duration("100ms", &ms, &err), 0);
    ck_assert_int_eq(ms, 100);
    ck_assert_int_eq(option_scan_duration("12h", &ms, &err), 0);
    ck_assert_int_eq(ms, 43200000);
    ck_assert_int_eq(option_scan_duration("7d", &ms, &err), 0);
    ck_assert_int_eq(ms, 604800000);
    ck_assert_int_eq(option_scan_duration("", &ms, &err), -1);
    ck_assert_int_eq(ms, 604800000);
}
END_TEST

START_TEST(sizes_are_binary) {
    refuse("memory: 512MB", "t.yaml:2:9: in.memory: found \"512MB\": write 512MiB; allowed: a size "
                            "(a whole number of bytes, or with KiB, MiB or GiB) from 16MiB to "
                            "1024GiB\n");
    refuse_with("memory: 512kB", "write 512KiB");
    refuse_with("memory: 512K", "write 512KiB");
    refuse_with("memory: 512M", "write 512MiB");
    refuse_with("memory: 512mib", "write 512MiB");
    refuse_with("memory: 512 MiB", "write 512MiB");
    refuse_with("memory: 1.5GiB", "take the next smaller unit");
    refuse_with("memory: 1TiB", "found \"1TiB\"");
    refuse_with("memory: 16B", "bytes have no unit");
    refuse_with("memory: 1MiB", "too small");
    refuse_with("memory: 9999999999999GiB", "too large");
    int64_t bytes;
    struct err err = {0};
    ck_assert_int_eq(option_parse_size("512", &bytes, &err), 0);
    ck_assert_int_eq(bytes, 512);
    ck_assert_int_eq(option_parse_size("64KiB", &bytes, &err), 0);
    ck_assert_int_eq(bytes, 65536);
    ck_assert_int_eq(option_parse_size("8GiB", &bytes, &err), 0);
    ck_assert_int_eq(bytes, 8LL << 30);
}
END_TEST

START_TEST(hosts_need_a_port) {
    refuse("listen: kafka1", "t.yaml:2:9: in.listen: found \"kafka1\": the port is missing; "
                             "allowed: host:port, or [IPv6 address]:port\n");
    refuse_with("listen: kafka1:0", "a port is a number from 1 to 65535");
    refuse_with("listen: kafka1:65536", "a port is a number from 1 to 65535");
    refuse_with("listen: ':9092'", "the host is missing");
    refuse_with("listen: '::1:9092'", "stands in brackets");
    refuse_with("listen: '[::1]'", "the port is missing");
    refuse_with("listen: '[10.0.0.1]:1'", "the brackets must hold an IPv6 address");
    refuse_with("listen: '[::1:1'", "the brackets must hold an IPv6 address");
    refuse_with("listen: http://a:1", "without a scheme");
    refuse_with("listen: 1.2.3.256:1", "no host name and no address");
    refuse_with("listen: a..b:1", "no host name and no address");
    refuse_with("listen: 'a b:1'", "no host name and no address");
    struct hostport host = {0};
    struct err err = {0};
    ck_assert_int_eq(option_parse_hostport("graylog-1.example.:65535", &host, &err), 0);
    ck_assert_str_eq(host.host, "graylog-1.example.");
    ck_assert_int_eq(host.port, 65535);
    free(host.host);
}
END_TEST

START_TEST(urls_are_http_and_hold_no_password) {
    refuse_with("url: graylog:12201", "http:// or https:// is missing");
    refuse_with("url: ftp://graylog", "http:// or https:// is missing");
    refuse_with("url: http://", "the host is missing");
    refuse_with("url: http://a:0/", "a port is a number");
    refuse_with("url: 'http://a/b c'", "no blanks");
    refuse("url: http://me:hunter2@graylog/",
           "t.yaml:2:6: in.url: no user and no password in a URL; there are settings for them; "
           "allowed: a URL (http:// or https:// with a host)\n");
}
END_TEST

START_TEST(times_are_rfc3339) {
    int64_t ms = -1;
    struct err err = {0};
    ck_assert_int_eq(option_parse_time("1970-01-01T00:00:00Z", &ms, &err), 0);
    ck_assert_int_eq(ms, 0);
    ck_assert_int_eq(option_parse_time("2024-02-29t23:59:59.9999z", &ms, &err), 0);
    ck_assert_int_eq(ms, 1709251199999);
    ck_assert_int_eq(option_parse_time("2026-01-01 00:00:00-02:30", &ms, &err), 0);
    ck_assert_int_eq(ms, 1767234600000);
    refuse_with("start: erliest", "did you mean \"earliest\"?; allowed: earliest, latest or a");
    refuse_with("start: 2026-01-31", "a day, a time and a zone");
    refuse_with("start: 2026-01-31T06:00:00", "a day, a time and a zone");
    refuse_with("start: 2025-02-29T06:00:00Z", "there is no such day or time");
    refuse_with("start: 2025-01-01T24:00:00Z", "there is no such day or time");
    refuse_with("start: 1969-12-31T23:59:59Z", "nothing before 1970");
    refuse_with("start: 2025-01-01T00:00:00Zx", "a day, a time and a zone");
}
END_TEST

START_TEST(rates_are_numbers_or_unlimited) {
    refuse_with("rate: 0", "for no limit write unlimited");
    refuse_with("rate: 20000/s", "it is per second");
    refuse_with("rate: 1000001", "too large");
    refuse_with("rate: fast", "a whole number (per second) or unlimited from 1 to 1000000");
}
END_TEST

START_TEST(secrets_come_from_files_and_are_never_shown) {
    char dir[] = "/tmp/flowgelf-secret-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(dir));
    char *path = xasprintf("%s/token", dir);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    fputs("s3cret\n\n", file);
    fclose(file);
    setup();
    context.read_dir = dir;
    accept("password: file:token");
    ck_assert_str_eq(conf.password, "s3cret\n");
    teardown();
    ck_assert_int_eq(truncate(path, 0), 0);
    char *text = xasprintf("password: file:%s", path);
    refuse_with(text, "is empty");
    unlink(path);
    refuse_with(text, "token cannot be opened: No such file or directory");
    rmdir(dir);
    free(text);
    free(path);
    refuse_with("password: file:/", "is not a regular file");
    refuse("password: hunter2",
           "t.yaml:2:11: in.password: a secret is not written into the configuration (what stands "
           "here is not shown): put it into a file that only the service may read and name that; "
           "allowed: file:/path of a file that holds the secret\n");
}
END_TEST

START_TEST(what_is_required_must_be_there) {
    setup();
    ck_assert_int_eq(parse("workers: 1\n"), 1);
    ck_assert_str_eq(buf_cstr(&context.errors),
                     "t.yaml:1:1: in.brokers: is required and missing; allowed: a list; each item: "
                     "host:port, or [IPv6 address]:port\n");
    teardown();
    setup();
    ck_assert_int_eq(option_parse(&context, table, NULL, "", &conf), 1);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&context.errors), "t.yaml: brokers: is required"));
    teardown();
    setup();
    ck_assert_int_eq(parse("brokers: []\n"), 1);
    ck_assert_ptr_nonnull(strstr(buf_cstr(&context.errors), "in.brokers: the list is empty"));
    teardown();
    refuse("tls: {}", "t.yaml:2:6: in.tls.ca: is required and missing; allowed: a path, absolute "
                      "or relative to the configuration file\n");
    refuse("hosts: [a]", "t.yaml:2:1: in.hosts: several hosts are not there yet\n");
}
END_TEST

START_TEST(all_errors_come_at_once_in_the_order_of_the_file) {
    setup();
    ck_assert_int_eq(parse("workers: none\nbrokers: [a:1, b, ~, [c]]\nbrokrs: 1\n"
                           "tls:\n  verify: on\n  crt: x\n"),
                     8);
    const char *expected[] = {"t.yaml:1:10: in.workers: ",    "t.yaml:2:16: in.brokers[1]: ",
                              "t.yaml:2:19: in.brokers[2]: ", "t.yaml:2:22: in.brokers[3]: ",
                              "t.yaml:3:1: in: unknown",      "t.yaml:5:11: in.tls.verify: ",
                              "t.yaml:6:3: in.tls: unknown",  "t.yaml:5:3: in.tls.ca: is required"};
    struct span rest = buf_span(&context.errors), line;
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        ck_assert(span_cut(&rest, '\n', &line));
        ck_assert_msg(span_starts(line, span_str(expected[i])), "%.*s", SPAN_ARG(line));
    }
    teardown();
}
END_TEST

START_TEST(a_setting_that_stands_twice_is_read_once) {
    struct err err;
    setup();
    const char *text = "brokers: [a:1]\ntopic: x\ntopic: y\n";
    ck_assert_int_eq(yaml_parse(span_str(text), "t.yaml", &tree, &err), -1);
    ck_assert_int_eq(option_parse(&context, table, tree, "", &conf), 0);
    ck_assert_str_eq(conf.topic, "x");
    teardown();
}
END_TEST

START_TEST(the_nearest_name_is_near) {
    static const char *const names[] = {"brokers", "topics", "group", "start", NULL};
    ck_assert_str_eq(option_nearest("borkers", names), "brokers");
    ck_assert_str_eq(option_nearest("topic", names), "topics");
    ck_assert_str_eq(option_nearest("GROUP", names), "group");
    ck_assert_ptr_null(option_nearest("region", names));
    ck_assert_ptr_null(option_nearest("", names));
    char huge[5000];
    memset(huge, 'x', sizeof(huge) - 1);
    huge[sizeof(huge) - 1] = '\0';
    ck_assert_ptr_null(option_nearest(huge, names));
}
END_TEST

START_TEST(what_is_found_is_shown_cut_and_harmless) {
    char text[400];
    snprintf(text, sizeof(text), "workers: \"%0200d\"", 7);
    refuse_with(text, "00...\"");
    refuse_with("workers: \"a\\e[31m\\nb\"", "found \"a?[31m?b\"");
}
END_TEST

/* Takes the # away from what is a commented setting (and not "# " text). */
static void uncomment(struct span sample, struct buf *out) {
    struct span line;
    while (span_cut(&sample, '\n', &line)) {
        const char *hash = memchr(line.p, '#', line.len);
        if (hash && hash[1] != ' ') {
            buf_add(out, span_of(line.p, (size_t)(hash - line.p)));
            line = span_skip(line, (size_t)(hash - line.p) + 1);
        }
        buf_add(out, line);
        buf_char(out, '\n');
    }
}

START_TEST(the_sample_is_valid_as_it_is_and_uncommented) {
    struct buf sample, live;
    struct err err = {0};
    buf_init(&sample, 1 << 20);
    buf_init(&live, 1 << 20);
    option_print_sample(table, 2, &sample);
    setup();
    ck_assert_int_eq(yaml_parse(buf_span(&sample), "sample", &tree, &err), 0);
    ck_assert_msg(option_parse(&context, table, tree, "", &conf) == 0, "%s",
                  buf_cstr(&context.errors));
    ck_assert_uint_eq(tree->count, 1);
    ck_assert_str_eq(conf.brokers.items[0].host, "kafka1");
    teardown();

    uncomment(buf_span(&sample), &live);
    setup();
    ck_assert_msg(yaml_parse(buf_span(&live), "live", &tree, &err) == 0, "%s\n%s", err.text,
                  buf_cstr(&live));
    ck_assert_msg(option_parse(&context, table, tree, "", &conf) == 0, "%s",
                  buf_cstr(&context.errors));
    ck_assert_uint_eq(tree->count, sizeof(table) / sizeof(table[0]) - 2);
    ck_assert_str_eq(conf.tls.ca, "/etc/flowgelf/ca.pem");
    teardown();

    struct span rest = buf_span(&sample), line;
    while (span_cut(&rest, '\n', &line)) {
        ck_assert_uint_le(line.len, 90);
        ck_assert(span_starts(line, SPAN("  ")));
    }
    ck_assert_ptr_nonnull(strstr(buf_cstr(&sample), "\n  #grace: 10s\n"));
    ck_assert_ptr_nonnull(strstr(buf_cstr(&sample), "\n  #tls:\n    # The certificates to trust."));
    buf_done(&sample);
    buf_done(&live);
}
END_TEST

START_TEST(the_reference_has_a_row_for_each_setting) {
    struct buf out;
    buf_init(&out, 1 << 20);
    option_print_reference(table, "inputs[].kafka", &out);
    const char *text = buf_cstr(&out);
    ck_assert_ptr_nonnull(
        strstr(text, "| `inputs[].kafka.schema` | graylog, aws or ecs | `aws` |"));
    ck_assert_ptr_nonnull(strstr(text, "| `inputs[].kafka.tls.verify` | true or false | `true` |"));
    ck_assert_ptr_nonnull(strstr(text, "| required | Where to start from. |\n"));
    ck_assert_ptr_nonnull(strstr(text, "Encryption \\| off without it."));
    ck_assert_ptr_nonnull(strstr(text, "(several hosts are not there yet)"));
    buf_done(&out);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("option");
    TCase *tests = tcase_create("option");
    tcase_add_test(tests, defaults_are_filled_in);
    tcase_add_test(tests, every_type_is_read);
    tcase_add_test(tests, unknown_settings_name_the_nearest);
    tcase_add_test(tests, values_are_refused_with_place_path_and_what_is_allowed);
    tcase_add_test(tests, booleans_are_true_and_false);
    tcase_add_test(tests, durations_need_a_unit);
    tcase_add_test(tests, sizes_are_binary);
    tcase_add_test(tests, hosts_need_a_port);
    tcase_add_test(tests, urls_are_http_and_hold_no_password);
    tcase_add_test(tests, times_are_rfc3339);
    tcase_add_test(tests, rates_are_numbers_or_unlimited);
    tcase_add_test(tests, secrets_come_from_files_and_are_never_shown);
    tcase_add_test(tests, what_is_required_must_be_there);
    tcase_add_test(tests, all_errors_come_at_once_in_the_order_of_the_file);
    tcase_add_test(tests, a_setting_that_stands_twice_is_read_once);
    tcase_add_test(tests, the_nearest_name_is_near);
    tcase_add_test(tests, what_is_found_is_shown_cut_and_harmless);
    tcase_add_test(tests, the_sample_is_valid_as_it_is_and_uncommented);
    tcase_add_test(tests, the_reference_has_a_row_for_each_setting);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}
