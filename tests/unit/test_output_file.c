/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "output/file.h"
#include "output/outputs.h"
#include "output/stdout.h"
#include "parcels.h"
#include "unit.h"

static char folder[] = "/tmp/flowgelf-test-XXXXXX", path[64], other_path[64];
static struct file_conf conf;
static struct stdout_conf stdout_conf;
static struct shipment shipment, second;

static void setup(void) {
    ck_assert_ptr_nonnull(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/flows.jsonl", folder);
    snprintf(other_path, sizeof other_path, "%s/flows.1", folder);
    conf = (struct file_conf){.common.required = true, .path = path};
    stdout_conf.common.required = true;
}

static void teardown(void) {
    unlink(path);
    unlink(other_path);
    rmdir(folder);
}

static void start(struct shipment *one) {
    shipment_open(one, &output_file_type, &conf, NULL);
}

/* A turn at the clock's time and `later_ms`, without waiting. */
static void turn(struct shipment *one, int64_t later_ms) {
    one->skipped_ms += later_ms;
    shipment_turn(one, 0);
}

/* How many lines of `size_bytes` the descriptor holds; every byte must belong to one. */
static size_t count_lines_of(int fd, size_t size_bytes) {
    static char line[100000];
    size_t lines = 0;
    ssize_t got;
    while ((got = read(fd, line, size_bytes)) > 0) {
        ck_assert_int_eq(got, size_bytes);
        ck_assert_ptr_eq(memchr(line, '\n', size_bytes), line + size_bytes - 1);
        lines++;
    }
    return lines;
}

static size_t count_lines(const char *name, size_t size_bytes) {
    int fd = open(name, O_RDONLY);
    size_t lines = count_lines_of(fd, size_bytes);
    close(fd);
    return lines;
}

START_TEST(lines_are_delivered_when_synced) {
    start(&shipment);
    turn(&shipment, 10000);
    shipment.type->confirm(shipment.handle, 0);
    shipment_send(&shipment, 10, 100);
    turn(&shipment, 0);
    ck_assert_uint_eq(shipment_delivered(&shipment), 1); /* confirmed at once */
    shipment_send(&shipment, 10, 100);
    turn(&shipment, 1);
    ck_assert_uint_eq(count_lines(path, 100), 20);
    ck_assert_uint_eq(shipment_delivered(&shipment), 1);
    turn(&shipment, 1000); /* the settle interval */
    ck_assert_uint_eq(shipment_delivered(&shipment), 2);
    shipment_close(&shipment);
}
END_TEST

START_TEST(half_a_ring_does_not_wait_for_the_interval) {
    start(&shipment);
    shipment.type->confirm(shipment.handle, 0);
    shipment_send(&shipment, 1, 100);
    turn(&shipment, 10000);
    ck_assert_uint_eq(shipment_delivered(&shipment), 1);
    for (int i = 0; i < 17; i++) {
        shipment_send(&shipment, 2621, 100);
    }
    turn(&shipment, 1);
    ck_assert_uint_eq(shipment_delivered(&shipment), 18);
    shipment_close(&shipment);
}
END_TEST

START_TEST(a_renamed_file_is_opened_anew) {
    start(&shipment);
    shipment_send(&shipment, 5, 50);
    turn(&shipment, 10000);
    ck_assert_int_eq(rename(path, other_path), 0);
    shipment_send(&shipment, 7, 50);
    turn(&shipment, 2000);
    shipment.type->confirm(shipment.handle, 0);
    turn(&shipment, 0);
    ck_assert_uint_eq(shipment_delivered(&shipment), 2);
    ck_assert_uint_eq(count_lines(other_path, 50), 5);
    ck_assert_uint_eq(count_lines(path, 50), 7);
    shipment_close(&shipment);
}
END_TEST

START_TEST(two_handles_share_a_file) {
    start(&shipment);
    start(&second);
    for (int i = 0; i < 20; i++) {
        shipment_send(&shipment, 10, 100);
        shipment_send(&second, 10, 100);
        turn(&shipment, 0);
        turn(&second, 0);
    }
    ck_assert_uint_eq(count_lines(path, 100), 400);
    shipment_close(&shipment);
    shipment_close(&second);
}
END_TEST

START_TEST(a_full_disk_leaves_no_half_lines) {
    struct rlimit limit = {.rlim_cur = 155000, .rlim_max = RLIM_INFINITY};
    /* Far above what the test library itself writes into its files meanwhile. */
    signal(SIGXFSZ, SIG_IGN);
    start(&shipment);
    shipment_send(&shipment, 10, 10000);
    turn(&shipment, 10000);
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    shipment_send(&shipment, 10, 10000);
    turn(&shipment, 10000);
    ck_assert_int_eq(shipment.failures, 1);
    ck_assert_int_eq(shipment.err.kind, ERR_RETRY);
    ck_assert_ptr_nonnull(strstr(shipment.err.text, path));
    ck_assert_uint_eq(count_lines(path, 10000), 10);
    ck_assert_uint_eq(shipment_delivered(&shipment), 1);
    turn(&shipment, 10); /* it does not try all the time */
    ck_assert_int_eq(shipment.failures, 1);

    limit.rlim_cur = RLIM_INFINITY;
    ck_assert_int_eq(setrlimit(RLIMIT_FSIZE, &limit), 0);
    turn(&shipment, 10000);
    turn(&shipment, 10000);
    ck_assert_uint_eq(count_lines(path, 10000), 20);
    ck_assert_uint_eq(shipment_delivered(&shipment), 2);
    shipment_close(&shipment);
}
END_TEST

START_TEST(a_half_line_of_a_crash_is_ended) {
    int fd = open(path, O_WRONLY | O_CREAT, 0600);
    ck_assert_int_eq(write(fd, "{\"half", 6), 6);
    close(fd);
    start(&shipment);
    shipment_send(&shipment, 1, 50);
    turn(&shipment, 10000);
    struct stat status;
    ck_assert_int_eq(stat(path, &status), 0);
    ck_assert_int_eq(status.st_size, 7 + 50);
    shipment_close(&shipment);
}
END_TEST

START_TEST(a_folder_is_no_file) {
    struct err err;
    struct buf report;
    buf_init(&report, 1000);
    ck_assert_int_eq(output_file_type.check(&conf, false, &report, &err), 0);
    ck_assert_int_eq(access(path, F_OK), -1); /* a check changes nothing */
    conf.path = folder;
    start(&shipment);
    shipment_send(&shipment, 1, 50);
    turn(&shipment, 10000);
    ck_assert_int_eq(shipment.failures, 1);
    shipment_close(&shipment);
    snprintf(path, sizeof path, "%s/none/flows", folder);
    conf.path = path;
    ck_assert_int_eq(output_file_type.check(&conf, false, &report, &err), -1);
    buf_done(&report);
}
END_TEST

START_TEST(two_handles_do_not_mix_lines_in_a_pipe) {
    int pipe_fds[2], saved = dup(STDOUT_FILENO);
    enum { SIZE = 5000, EACH = 40 };
    static char bytes[2 * SIZE * EACH];
    size_t len = 0;
    ck_assert_int_eq(pipe(pipe_fds), 0);
    fcntl(pipe_fds[0], F_SETFL, O_NONBLOCK);
    dup2(pipe_fds[1], STDOUT_FILENO);
    shipment_open(&shipment, &output_stdout_type, &stdout_conf, NULL);
    shipment_open(&second, &output_stdout_type, &stdout_conf, NULL);
    shipment_send(&shipment, EACH, SIZE);
    shipment_send(&second, EACH, SIZE);
    while (shipment_delivered(&shipment) + shipment_delivered(&second) < 2) {
        turn(&shipment, 0);
        turn(&second, 0);
        ssize_t got = read(pipe_fds[0], bytes + len, 3000); /* a slow reader */
        len += got > 0 ? (size_t)got : 0;
    }
    ssize_t got;
    while ((got = read(pipe_fds[0], bytes + len, sizeof bytes - len)) > 0) {
        len += (size_t)got;
    }
    dup2(saved, STDOUT_FILENO);
    close(saved);
    ck_assert_uint_eq(len, 2 * SIZE * EACH);
    for (size_t i = 0; i < len; i += SIZE) {
        ck_assert_ptr_eq(memchr(bytes + i, '\n', SIZE), bytes + i + SIZE - 1);
    }
    shipment_close(&shipment);
    shipment_close(&second);
}
END_TEST

START_TEST(a_pipe_without_reader_is_the_end) {
    int pipe_fds[2], saved = dup(STDOUT_FILENO);
    signal(SIGPIPE, SIG_IGN);
    ck_assert_int_eq(pipe(pipe_fds), 0);
    dup2(pipe_fds[1], STDOUT_FILENO);
    close(pipe_fds[0]);
    shipment_open(&shipment, &output_stdout_type, &stdout_conf, NULL);
    shipment_send(&shipment, 1, 100);
    turn(&shipment, 0);
    dup2(saved, STDOUT_FILENO);
    close(saved);
    ck_assert_int_eq(shipment.err.kind, ERR_STOP);
    shipment_close(&shipment);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("output_file");
    TCase *file = tcase_create("file");
    tcase_add_checked_fixture(file, setup, teardown);
    tcase_add_test(file, lines_are_delivered_when_synced);
    tcase_add_test(file, half_a_ring_does_not_wait_for_the_interval);
    tcase_add_test(file, a_renamed_file_is_opened_anew);
    tcase_add_test(file, two_handles_share_a_file);
    tcase_add_test(file, a_full_disk_leaves_no_half_lines);
    tcase_add_test(file, a_half_line_of_a_crash_is_ended);
    tcase_add_test(file, a_folder_is_no_file);
    suite_add_tcase(suite, file);
    TCase *standard = tcase_create("stdout");
    tcase_add_checked_fixture(standard, setup, teardown);
    tcase_add_test(standard, two_handles_do_not_mix_lines_in_a_pipe);
    tcase_add_test(standard, a_pipe_without_reader_is_the_end);
    suite_add_tcase(suite, standard);
    return run_suite(suite);
}
