/* SPDX-License-Identifier: Apache-2.0 */
/*
 * After warm-up a worker allocates nothing in our own code, whatever the input and the output:
 * whole pipelines run here on a steady stream while malloc and its family are interposed. A call
 * counts when it comes from a worker's thread and from this program's own text, or from the C
 * library on its behalf; calls inside other libraries are theirs. In the Kafka and the Kinesis
 * pipeline only our own text counts, because librdkafka and libcurl use the C library in the same
 * threads. Threads of jobs, which list shards and renew keys, may allocate.
 *
 * The window that is counted lasts longer than a second, so that what workers do once a second is
 * in it, and addresses that were never seen keep coming.
 */
#include <arpa/inet.h>
#include <check.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <libdeflate.h>
#include <netinet/in.h>
#include <openssl/evp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/buf.h"
#include "base/clock.h"
#include "base/file.h"
#include "base/xalloc.h"
#include "cmd/demo_kafka.h"
#include "core/pipeline.h"
#include "core/settings.h"
#include "http_server.h"
#include "modules.h"
#include "unit.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)

/* Sanitizers bring a malloc of their own. */
enum { AUTOMAKE_SKIP = 77 };

int main(void) {
    fputs("NOT RUN: test_allocations counts calls of malloc, which a sanitizer replaces; "
          "run it from a plain build\n",
          stderr);
    return AUTOMAKE_SKIP;
}

#else

enum {
    FEED_LINES = 400, /* lines in a feeding */
    FEED_PAUSE_MS = 4,
    LINE_ROOM = 256,
    WARM_MS = 1600, /* counters are published once a second, for the first time at the start */
    WINDOW_MS = 1500,
    WINDOW_PROGRESS_MIN = 1 << 20, /* bytes that must come out in the window */
    CALLS_KEPT = 4,                /* of which the stack is said */
    FRAMES_MAX = 12,
    GZIP_LINES = 1000000,
    SLOW_BYTES_A_SECOND = 60 << 20, /* of a receiver, so that a finite file lasts */
    SHARDS = 4,
    REPLY_LINES = 100, /* as records, as many as events of an envelope, as many in an aggregate */
    REPLY_MAX = 1 << 20,
    TEST_TIMEOUT_S = 90,
};

/* ---- the count ---- */

extern char __executable_start, etext;
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);

static const char *libc_start, *libc_end; /* text of the C library */
static atomic_bool is_counting, is_libc_counted;
static atomic_ulong calls;
static __thread bool is_exempt; /* threads of the test itself */

/* Where the first calls came from. */
static struct {
    void *frames[FRAMES_MAX];
    int count;
} stacks[CALLS_KEPT];

static void count(const void *caller) {
    const char *at = caller;
    if (!atomic_load_explicit(&is_counting, memory_order_relaxed) || is_exempt) {
        return;
    }
    bool is_own = at >= &__executable_start && at < &etext;
    bool is_libc = at >= libc_start && at < libc_end;
    if (is_own || (is_libc && atomic_load(&is_libc_counted))) {
        unsigned long number = atomic_fetch_add(&calls, 1);
        if (number < CALLS_KEPT) {
            is_exempt = true;
            stacks[number].count = backtrace(stacks[number].frames, FRAMES_MAX);
            is_exempt = false;
        }
    }
}

void *malloc(size_t size) {
    count(__builtin_return_address(0));
    return __libc_malloc(size);
}

void *calloc(size_t number, size_t size) {
    count(__builtin_return_address(0));
    return __libc_calloc(number, size);
}

void *realloc(void *old, size_t size) {
    count(__builtin_return_address(0));
    return __libc_realloc(old, size);
}

void *reallocarray(void *old, size_t number, size_t size) {
    size_t bytes;
    count(__builtin_return_address(0));
    if (__builtin_mul_overflow(number, size, &bytes)) {
        errno = ENOMEM;
        return NULL;
    }
    return __libc_realloc(old, bytes);
}

void *memalign(size_t alignment, size_t size); /* of <malloc.h>, which differs */

void *memalign(size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
    count(__builtin_return_address(0));
    *memory = __libc_memalign(alignment, size);
    return *memory ? 0 : ENOMEM;
}

/* The range of the C library's text, from the line of /proc/self/maps that holds `getpid`. */
static void find_libc(void) {
    FILE *maps = fopen("/proc/self/maps", "r");
    char line[512];
    ck_assert_ptr_nonnull(maps);
    while (fgets(line, sizeof(line), maps)) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx", &start, &end) == 2 && (unsigned long)&getpid >= start &&
            (unsigned long)&getpid < end) {
            libc_start = (const char *)start;
            libc_end = (const char *)end;
        }
    }
    fclose(maps);
}

/* ---- the stream ---- */

static uint32_t line_number;

/* A line of the default format; private and public addresses, every twentieth never seen before. */
static size_t make_line(char *line) {
    uint32_t n = line_number++;
    uint32_t far = n % 20 == 0 ? n : n % 1000;
    return (size_t)snprintf(line, LINE_ROOM,
                            "2 123456789012 eni-0a1b2c3d4e5f6%04u 10.0.%u.%u 52.%u.%u.%u %u 443 6 "
                            "%u %u 1700000000 1700000060 %s OK\n",
                            n % 50, n % 4, 1 + n % 200, far >> 16 & 255, far >> 8 & 255, far & 255,
                            1024 + n % 60000, 1 + n % 90, 40 + n % 9000,
                            n % 9 == 0 ? "REJECT" : "ACCEPT");
}

static void make_lines(struct buf *out, int number) {
    buf_clear(out);
    for (int i = 0; i < number; i++) {
        char line[LINE_ROOM];
        buf_add(out, span_of(line, make_line(line)));
    }
}

static void make_envelope(struct buf *out, int events) {
    buf_clear(out);
    buf_printf(out, "{\"messageType\":\"DATA_MESSAGE\",\"owner\":\"123456789012\",\"logGroup\":"
                    "\"flows\",\"logStream\":\"eni-1-all\",\"subscriptionFilters\":[\"f\"],"
                    "\"logEvents\":[");
    for (int i = 0; i < events; i++) {
        char line[LINE_ROOM];
        size_t len = make_line(line) - 1;
        buf_printf(out, "%s{\"id\":\"%056u\",\"timestamp\":1700000000000,\"message\":\"%.*s\"}",
                   i == 0 ? "" : ",", line_number, (int)len, line);
    }
    buf_printf(out, "]}");
}

/* What `text` is as gzip; the caller frees. */
static struct span pack(struct span text) {
    struct libdeflate_compressor *compressor = libdeflate_alloc_compressor(1);
    size_t bound = libdeflate_gzip_compress_bound(compressor, text.len);
    char *packed = xmalloc(bound);
    size_t len = libdeflate_gzip_compress(compressor, text.p, text.len, packed, bound);
    libdeflate_free_compressor(compressor);
    return span_of(packed, len);
}

/* ---- receivers: a thread that takes what comes to a socket ---- */

static struct {
    int fd;
    uint16_t port;
    int64_t bytes_a_second; /* 0: as fast as it comes */
    pthread_t thread;
    atomic_bool stopping;
    atomic_long bytes;
} receiver;

static void take(int fd) {
    static char bytes[1 << 18];
    ssize_t got;
    while (!atomic_load(&receiver.stopping) && (got = recv(fd, bytes, sizeof(bytes), 0)) != 0) {
        if (got < 0 && errno != EAGAIN) {
            break;
        }
        if (got > 0) {
            atomic_fetch_add(&receiver.bytes, got);
            if (receiver.bytes_a_second > 0) {
                usleep((useconds_t)(got * 1000000 / receiver.bytes_a_second));
            }
        }
    }
}

static void set_timeout(int fd) {
    struct timeval soon = {.tv_usec = 100000};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &soon, sizeof(soon));
}

static void *receive_tcp(void *argument) {
    (void)argument;
    is_exempt = true;
    while (!atomic_load(&receiver.stopping)) {
        int fd = accept(receiver.fd, NULL, NULL);
        if (fd >= 0) {
            set_timeout(fd);
            take(fd);
            close(fd);
        }
    }
    return NULL;
}

static void *receive_udp(void *argument) {
    (void)argument;
    is_exempt = true;
    take(receiver.fd);
    return NULL;
}

static void open_receiver(int type, int64_t bytes_a_second) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    receiver.fd = socket(AF_INET, type, 0);
    receiver.bytes_a_second = bytes_a_second;
    ck_assert_int_eq(bind(receiver.fd, (struct sockaddr *)&address, len), 0);
    ck_assert_int_eq(getsockname(receiver.fd, (struct sockaddr *)&address, &len), 0);
    receiver.port = ntohs(address.sin_port);
    set_timeout(receiver.fd);
    if (type == SOCK_STREAM) {
        ck_assert_int_eq(listen(receiver.fd, 4), 0);
    }
    ck_assert_int_eq(pthread_create(&receiver.thread, NULL,
                                    type == SOCK_STREAM ? receive_tcp : receive_udp, NULL),
                     0);
}

static void close_receiver(void) {
    atomic_store(&receiver.stopping, true);
    pthread_join(receiver.thread, NULL);
    close(receiver.fd);
}

static long received_bytes(void) {
    return atomic_load(&receiver.bytes);
}

/* ---- a pipeline under the count ---- */

static char folder[64];
static char path_in[128], path_out[128];
static int fd_in = -1;
static struct demo_kafka *kafka;

static void feed_file(void) {
    struct buf lines;
    buf_init(&lines, FEED_LINES * LINE_ROOM);
    make_lines(&lines, FEED_LINES);
    ck_assert_int_eq(write(fd_in, lines.data, lines.len), (ssize_t)lines.len);
    buf_done(&lines);
}

static void feed_kafka(void) {
    struct buf text;
    struct err err;
    buf_init(&text, FEED_LINES * 2 * LINE_ROOM);
    for (int i = 0; i < FEED_LINES / 2; i++) {
        char line[LINE_ROOM];
        size_t len = make_line(line) - 1;
        ck_assert_int_eq(demo_kafka_produce(kafka, span_of(line, len), &err), 0);
    }
    make_envelope(&text, FEED_LINES / 2);
    struct span packed = pack(buf_span(&text));
    ck_assert_int_eq(demo_kafka_produce(kafka, packed, &err), 0);
    free((char *)packed.p);
    buf_done(&text);
}

static void feed_nothing(void) {}

/* ---- a stream: each GetRecords call brings a reply full of new lines, and says there is more ---- */

static void add_record(struct buf *reply, uint32_t sequence, struct span data) {
    buf_printf(reply,
               "{\"SequenceNumber\":\"%u\",\"ApproximateArrivalTimestamp\":1.7e9,"
               "\"PartitionKey\":\"p\",\"Data\":\"",
               sequence);
    base64_encode(data, reply);
    buf_add(reply, SPAN("\"}"));
}

static void add_varint(struct buf *out, size_t value) {
    for (; value > 127; value >>= 7) {
        buf_char(out, (char)(value | 128));
    }
    buf_char(out, (char)value);
}

/* As the Kinesis Producer Library packs user records: a protobuf message between a magic number and
   its MD5. All have the same partition key. */
static void make_aggregate(struct buf *out, int lines) {
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned digest_len;
    buf_clear(out);
    buf_add(out, SPAN("\xF3\x89\x9A\xC2"
                      "\x0A\x01p"));
    for (int i = 0; i < lines; i++) {
        char line[LINE_ROOM];
        size_t len = make_line(line) - 1;
        buf_char(out, '\x1A'); /* a record: index of its key, then data */
        add_varint(out, 2 + 1 + (len > 127 ? 2 : 1) + len);
        buf_add(out, SPAN("\x08\x00\x1A"));
        add_varint(out, len);
        buf_add(out, span_of(line, len));
    }
    ck_assert_int_eq(EVP_Digest(out->data + 4, out->len - 4, digest, &digest_len, EVP_md5(), NULL),
                     1);
    buf_add(out, span_of((char *)digest, digest_len));
}

static void make_records(struct buf *reply, struct buf *text) {
    static uint32_t sequence = 1000000000; /* one width, as real ones have */
    buf_add(reply, SPAN("{\"Records\":["));
    for (int i = 0; i < REPLY_LINES; i++) {
        char line[LINE_ROOM];
        size_t len = make_line(line) - 1;
        add_record(reply, sequence++, span_of(line, len));
        buf_char(reply, ',');
    }
    make_envelope(text, REPLY_LINES);
    struct span packed = pack(buf_span(text));
    add_record(reply, sequence++, packed);
    free((char *)packed.p);
    buf_char(reply, ',');
    make_aggregate(text, REPLY_LINES);
    add_record(reply, sequence++, buf_span(text));
    buf_printf(reply, "],\"NextShardIterator\":\"%u\",\"MillisBehindLatest\":1000}", sequence);
}

/* Each has all hash keys, so that the whole aggregate is its own. */
static void list_shards(struct buf *reply) {
    buf_add(reply, SPAN("{\"Shards\":["));
    for (int i = 0; i < SHARDS; i++) {
        buf_printf(reply,
                   "%s{\"ShardId\":\"shardId-%012d\",\"HashKeyRange\":{\"StartingHashKey\":"
                   "\"0\",\"EndingHashKey\":\"340282366920938463463374607431768211455\"},"
                   "\"SequenceNumberRange\":{\"StartingSequenceNumber\":\"1\"}}",
                   i > 0 ? "," : "", i);
    }
    buf_add(reply, SPAN("]}"));
}

static void answer_kinesis(struct http_server_request *request, void *context) {
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    char target[64];
    struct buf reply, text;
    (void)context;
    is_exempt = true; /* this thread from now on, which began before the count */
    http_server_header(request, "X-Amz-Target", target, sizeof(target));
    buf_init(&reply, REPLY_MAX);
    buf_init(&text, REPLY_MAX);
    if (strcmp(target, "Kinesis_20131202.GetRecords") == 0) {
        pthread_mutex_lock(&lock);
        make_records(&reply, &text);
        pthread_mutex_unlock(&lock);
    } else if (strcmp(target, "Kinesis_20131202.ListShards") == 0) {
        list_shards(&reply);
    } else if (strcmp(target, "Kinesis_20131202.GetShardIterator") == 0) {
        buf_add(&reply, SPAN("{\"ShardIterator\":\"1\"}"));
    } else {
        buf_add(&reply, SPAN("{\"StreamDescriptionSummary\":{\"StreamStatus\":\"ACTIVE\","
                             "\"RetentionPeriodHours\":24}}"));
    }
    ck_assert(!reply.overflow);
    http_server_reply(request, 200, "Content-Type: application/x-amz-json-1.1\r\n", reply.data,
                      reply.len);
    buf_done(&reply);
    buf_done(&text);
}

static long written_bytes(void) {
    struct stat status;
    return stat(path_out, &status) == 0 ? (long)status.st_size : 0;
}

/* Feeds the pipeline until `wait_ms` are over. */
static void keep_feeding(void (*feed)(void), int wait_ms) {
    int64_t end_ms = clock_monotonic_ms() + wait_ms;
    while (clock_monotonic_ms() < end_ms) {
        feed();
        usleep(FEED_PAUSE_MS * 1000);
    }
}

/* Addresses of this program are for addr2line. */
static void say_stacks(void) {
    for (unsigned long i = 0; i < CALLS_KEPT && i < atomic_load(&calls); i++) {
        fprintf(stderr, "an allocation came from:\n");
        backtrace_symbols_fd(stacks[i].frames, stacks[i].count, STDERR_FILENO);
    }
}

/* Warms up, counts for a while, and lets go. */
static void run_counted(const char *input, const char *output, void (*feed)(void),
                        long (*progress)(void), bool counts_libc) {
    struct settings *settings;
    struct pipeline *pipeline;
    struct buf errors, config;
    struct err err;
    buf_init(&errors, 64 << 10);
    buf_init(&config, 64 << 10);
    buf_printf(&config,
               "state: %s/state\nworkers: 1\nenrich: {community_id: {}}\n"
               "messages: {fields: {set: all}}\ninputs:\n  - %s\noutputs:\n  - %s\n",
               folder, input, output);
    ck_assert_msg(
        settings_load_text(buf_span(&config), "test", &flowgelf_modules, &settings, &errors) == 0,
        "%s", buf_cstr(&errors));
    struct pipeline_options options = {.keep_state = true};
    ck_assert_msg(pipeline_open(settings, &flowgelf_modules, &options, &pipeline, NULL, &err) == 0,
                  "%s", err.text);
    ck_assert_int_eq(pipeline_start(pipeline, &err), 0);
    keep_feeding(feed, WARM_MS);
    for (int i = 0; i < 100 && progress() == 0; i++) { /* a group that takes its time to form */
        keep_feeding(feed, 100);
    }
    keep_feeding(feed, WARM_MS);
    long before = progress();
    atomic_store(&is_libc_counted, counts_libc);
    atomic_store(&is_counting, true);
    keep_feeding(feed, WINDOW_MS);
    atomic_store(&is_counting, false);
    long moved = progress() - before;
    pipeline_stop(pipeline);
    pipeline_close(pipeline);
    settings_free(settings);
    buf_done(&errors);
    buf_done(&config);
    say_stacks();
    ck_assert_msg(moved > WINDOW_PROGRESS_MIN, "only %ld bytes came out while counting", moved);
    ck_assert_msg(atomic_load(&calls) == 0, "%lu allocations while counting", atomic_load(&calls));
}

static void set_up(void) {
    void *frame;
    is_exempt = true;
    backtrace(&frame, 1); /* the first call loads a library */
    find_libc();
    strcpy(folder, "/tmp/flowgelf-allocations-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path_in, sizeof(path_in), "%s/in.log", folder);
    snprintf(path_out, sizeof(path_out), "%s/out.jsonl", folder);
    fd_in = open(path_in, O_WRONLY | O_CREAT | O_APPEND, 0600);
    ck_assert_int_ge(fd_in, 0);
}

static void tear_down(void) {
    char *command = xasprintf("rm -rf '%s'", folder);
    close(fd_in);
    ck_assert_int_eq(system(command), 0);
    free(command);
}

static char *follow_input(void) {
    return xasprintf("file: {paths: ['%s'], follow: true}", path_in);
}

START_TEST(test_file_to_gelf_tcp) {
    open_receiver(SOCK_STREAM, 0);
    char *input = follow_input();
    char *output = xasprintf("gelf_tcp: {hosts: ['127.0.0.1:%u']}", receiver.port);
    run_counted(input, output, feed_file, received_bytes, true);
    close_receiver();
    free(input);
    free(output);
}
END_TEST

START_TEST(test_file_to_gelf_udp) {
    open_receiver(SOCK_DGRAM, 0);
    char *input = follow_input();
    char *output = xasprintf("gelf_udp: {hosts: ['127.0.0.1:%u'], rate: unlimited}", receiver.port);
    run_counted(input, output, feed_file, received_bytes, true);
    close_receiver();
    free(input);
    free(output);
}
END_TEST

/* Datagrams too small for a message: chunks, and gzip where it saves one. */
START_TEST(test_file_to_gelf_udp_in_chunks) {
    open_receiver(SOCK_DGRAM, 0);
    char *input = follow_input();
    char *output =
        xasprintf("gelf_udp: {hosts: ['127.0.0.1:%u'], rate: unlimited, mtu: 576}", receiver.port);
    run_counted(input, output, feed_file, received_bytes, true);
    close_receiver();
    free(input);
    free(output);
}
END_TEST

START_TEST(test_file_to_file) {
    char *input = follow_input();
    char *output = xasprintf("file: {path: '%s'}", path_out);
    run_counted(input, output, feed_file, written_bytes, true);
    free(input);
    free(output);
}
END_TEST

START_TEST(test_file_to_stdout) {
    char *input = follow_input();
    int saved = dup(STDOUT_FILENO);
    int fd = open(path_out, O_WRONLY | O_CREAT | O_APPEND, 0600);
    fflush(stdout);
    ck_assert_int_eq(dup2(fd, STDOUT_FILENO), STDOUT_FILENO);
    run_counted(input, "stdout: {}", feed_file, written_bytes, true);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    close(fd);
    free(input);
}
END_TEST

START_TEST(test_gzip_to_gelf_tcp) {
    struct buf text;
    buf_init(&text, (size_t)GZIP_LINES * LINE_ROOM);
    make_lines(&text, GZIP_LINES);
    struct span packed = pack(buf_span(&text));
    ck_assert_int_eq(write(fd_in, packed.p, packed.len), (ssize_t)packed.len);
    free((char *)packed.p);
    buf_done(&text);
    open_receiver(SOCK_STREAM, SLOW_BYTES_A_SECOND);
    char *input = xasprintf("file: {paths: ['%s']}", path_in);
    char *output = xasprintf("gelf_tcp: {hosts: ['127.0.0.1:%u']}", receiver.port);
    run_counted(input, output, feed_nothing, received_bytes, true);
    close_receiver();
    free(input);
    free(output);
}
END_TEST

START_TEST(test_kafka_to_gelf_tcp) {
    struct err err;
    ck_assert_msg(demo_kafka_open("flows", &kafka, &err) == 0, "%s", err.text);
    open_receiver(SOCK_STREAM, 0);
    char *input = xasprintf("kafka: {brokers: ['%s'], topics: [flows], start: earliest}",
                            demo_kafka_brokers(kafka));
    char *output = xasprintf("gelf_tcp: {hosts: ['127.0.0.1:%u']}", receiver.port);
    run_counted(input, output, feed_kafka, received_bytes, false);
    demo_kafka_close(kafka);
    close_receiver();
    free(input);
    free(output);
}
END_TEST

/* The only credentials that there are: of nobody. */
static void set_aws_environment(void) {
    setenv("AWS_ACCESS_KEY_ID", "123456789010", 1);
    setenv("AWS_SECRET_ACCESS_KEY", "secret", 1);
    setenv("AWS_CONFIG_FILE", "/dev/null", 1);
    setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null", 1);
    setenv("AWS_EC2_METADATA_DISABLED", "true", 1);
    setenv("no_proxy", "127.0.0.1", 1);
    unsetenv("AWS_SESSION_TOKEN");
    unsetenv("AWS_PROFILE");
}

START_TEST(test_kinesis_to_gelf_tcp) {
    set_aws_environment();
    struct http_server *server = http_server_open(answer_kinesis, NULL);
    open_receiver(SOCK_STREAM, 0);
    char *input = xasprintf("kinesis: {stream: flows, region: eu-west-1, start: trim_horizon, "
                            "endpoint: 'http://127.0.0.1:%u', checkpoint: {interval: 200ms}}",
                            server->port);
    /* A small peer_buffer, so that positions are stored in the window too. */
    char *output =
        xasprintf("gelf_tcp: {hosts: ['127.0.0.1:%u'], peer_buffer: 1MiB}", receiver.port);
    run_counted(input, output, feed_nothing, received_bytes, false);
    http_server_close(server);
    close_receiver();
    free(input);
    free(output);
}
END_TEST

static atomic_long posted_bytes;

static void answer_gelf(struct http_server_request *request, void *context) {
    (void)context;
    is_exempt = true; /* this thread from now on, which began before the count */
    atomic_fetch_add(&posted_bytes, (long)request->body_len);
    http_server_reply(request, 202, "", "", 0);
}

static long posted(void) {
    return atomic_load(&posted_bytes);
}

START_TEST(test_file_to_gelf_http) {
    static const char *const settings[] = {"", ", bulk: true, gzip: true"};
    struct http_server *server = http_server_open(answer_gelf, NULL);
    setenv("no_proxy", "127.0.0.1", 1);
    char *input = follow_input();
    char *output = xasprintf("gelf_http: {url: 'http://127.0.0.1:%u/gelf'%s}", server->port,
                             settings[_i]);
    run_counted(input, output, feed_file, posted, false);
    http_server_close(server);
    free(input);
    free(output);
}
END_TEST

/* The count itself: it must see what it is meant to see. */
START_TEST(test_count) {
    is_exempt = false;
    atomic_store(&is_libc_counted, true);
    atomic_store(&is_counting, true);
    char *volatile own = xmalloc(100);
    char *volatile by_libc = strdup("made by the C library");
    atomic_store(&is_counting, false);
    is_exempt = true;
    ck_assert_uint_eq(atomic_load(&calls), 2);
    free(own);
    free(by_libc);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("allocations");
    TCase *tests = tcase_create("pipelines");
    tcase_set_timeout(tests, TEST_TIMEOUT_S);
    tcase_add_checked_fixture(tests, set_up, tear_down);
    tcase_add_test(tests, test_count);
    tcase_add_test(tests, test_file_to_gelf_tcp);
    tcase_add_test(tests, test_file_to_gelf_udp);
    tcase_add_test(tests, test_file_to_gelf_udp_in_chunks);
    tcase_add_test(tests, test_file_to_file);
    tcase_add_test(tests, test_file_to_stdout);
    tcase_add_test(tests, test_gzip_to_gelf_tcp);
    tcase_add_test(tests, test_kafka_to_gelf_tcp);
    tcase_add_test(tests, test_kinesis_to_gelf_tcp);
    tcase_add_loop_test(tests, test_file_to_gelf_http, 0, 2);
    suite_add_tcase(suite, tests);
    return run_suite(suite);
}

#endif
