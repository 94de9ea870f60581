/* SPDX-License-Identifier: Apache-2.0 */
/* base/file: ceilings, replacement in one step, locks between processes, marks. */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit.h"

static char dir[64];
static char path[128];
static struct err err;
static struct buf out;

static void set_up(void) {
    strcpy(dir, "/tmp/flowgelf-file-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(dir));
    snprintf(path, sizeof(path), "%s/content", dir);
    buf_init(&out, 1000000);
    err = (struct err){0};
}

static void tear_down(void) {
    char command[100];
    buf_done(&out);
    snprintf(command, sizeof(command), "rm -rf %s", dir);
    ck_assert_int_eq(system(command), 0);
}

static const char *in_dir(const char *name) {
    static char text[256];
    snprintf(text, sizeof(text), "%s/%s", dir, name);
    return text;
}

START_TEST(test_written_content_is_read_back) {
    ck_assert_int_eq(file_write(path, SPAN("one\0two\n"), 0640, &err), 0);
    ck_assert_int_eq(file_read(path, &out, &err), 0);
    ck_assert(span_eq(buf_span(&out), SPAN("one\0two\n")));
    struct stat st;
    ck_assert_int_eq(stat(path, &st), 0);
    ck_assert_int_eq(st.st_mode & 0777, 0640);
}
END_TEST

START_TEST(test_read_appends) {
    buf_add(&out, SPAN("before "));
    ck_assert_int_eq(file_write(path, SPAN("after"), 0644, &err), 0);
    ck_assert_int_eq(file_read(path, &out, &err), 0);
    ck_assert(span_eq(buf_span(&out), SPAN("before after")));
}
END_TEST

START_TEST(test_empty_file) {
    ck_assert_int_eq(file_write(path, SPAN(""), 0644, &err), 0);
    ck_assert_int_eq(file_read(path, &out, &err), 0);
    ck_assert_uint_eq(out.len, 0);
}
END_TEST

/* A ceiling of exactly the size fits, one byte less does not, and leaves no piece behind. */
START_TEST(test_ceiling) {
    char big[200000];
    memset(big, 'x', sizeof(big));
    ck_assert_int_eq(file_write(path, span_of(big, sizeof(big)), 0644, &err), 0);
    struct buf tight;
    buf_init(&tight, sizeof(big));
    ck_assert_int_eq(file_read(path, &tight, &err), 0);
    ck_assert_uint_eq(tight.len, sizeof(big));
    buf_done(&tight);
    buf_init(&tight, sizeof(big) - 1);
    ck_assert_int_eq(file_read(path, &tight, &err), -1);
    ck_assert_int_eq(err.kind, ERR_DATA);
    ck_assert_uint_eq(tight.len, 0);
    ck_assert_ptr_nonnull(strstr(err.text, path));
    buf_done(&tight);
}
END_TEST

/* Files of /proc say size 0 and have content all the same. */
START_TEST(test_size_unknown) {
    ck_assert_int_eq(file_read("/proc/self/status", &out, &err), 0);
    ck_assert_uint_gt(out.len, 100);
}
END_TEST

START_TEST(test_missing_and_directory_are_for_people) {
    ck_assert_int_eq(file_read(in_dir("nothing"), &out, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_int_eq(err.sys, ENOENT);
    ck_assert_int_eq(file_read(dir, &out, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_int_eq(err.sys, EISDIR);
}
END_TEST

START_TEST(test_write_replaces_and_leaves_nothing_beside) {
    ck_assert_int_eq(file_write(path, SPAN("a long old content"), 0644, &err), 0);
    struct file_mark old, now;
    ck_assert_int_eq(file_mark(path, &old, &err), 0);
    ck_assert_int_eq(file_write(path, SPAN("new"), 0644, &err), 0);
    ck_assert_int_eq(file_mark(path, &now, &err), 0);
    ck_assert(!file_mark_eq(&old, &now));
    ck_assert_int_eq(file_read(path, &out, &err), 0);
    ck_assert(span_eq(buf_span(&out), SPAN("new")));
    ck_assert_int_eq(access(in_dir("content.new"), F_OK), -1);
}
END_TEST

START_TEST(test_failed_write_keeps_the_old) {
    ck_assert_int_eq(file_write(path, SPAN("old"), 0644, &err), 0);
    /* The name that the new content needs first is taken by a directory. */
    ck_assert_int_eq(mkdir(in_dir("content.new"), 0755), 0);
    ck_assert_int_eq(file_write(path, SPAN("new"), 0644, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_int_eq(file_read(path, &out, &err), 0);
    ck_assert(span_eq(buf_span(&out), SPAN("old")));
    ck_assert_int_eq(file_write(in_dir("no/such"), SPAN("x"), 0644, &err), -1);
    ck_assert_int_eq(err.sys, ENOENT);
}
END_TEST

START_TEST(test_make_dirs) {
    struct stat st;
    ck_assert_int_eq(file_make_dirs(in_dir("a/b//c/"), 0755, &err), 0);
    ck_assert_int_eq(stat(in_dir("a/b/c"), &st), 0);
    ck_assert(S_ISDIR(st.st_mode));
    ck_assert_int_eq(file_make_dirs(in_dir("a/b/c"), 0755, &err), 0);
    ck_assert_int_eq(file_write(path, SPAN("x"), 0644, &err), 0);
    ck_assert_int_eq(file_make_dirs(in_dir("content/sub"), 0755, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
    ck_assert_int_eq(err.sys, ENOTDIR);
    ck_assert_int_eq(file_make_dirs("/", 0755, &err), 0);
}
END_TEST

/* The lock holds against another process, names its holder, and ends with it. */
START_TEST(test_lock) {
    char holder[32];
    int fd = file_lock(in_dir("lock"), &err);
    ck_assert_int_ge(fd, 0);
    snprintf(holder, sizeof(holder), "(%d)", (int)getpid());
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        bool refused = file_lock(in_dir("lock"), &err) == -1 && err.kind == ERR_STOP &&
                       strstr(err.text, holder);
        _exit(refused ? 0 : 1);
    }
    int status;
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    close(fd);
    child = fork();
    if (child == 0) {
        _exit(file_lock(in_dir("lock"), &err) >= 0 ? 0 : 1);
    }
    ck_assert_int_eq(waitpid(child, &status, 0), child);
    ck_assert_int_eq(status, 0);
    fd = file_lock(in_dir("lock"), &err);
    ck_assert_int_ge(fd, 0);
    close(fd);
}
END_TEST

START_TEST(test_mark_sees_every_change) {
    struct file_mark first, again;
    ck_assert_int_eq(file_write(path, SPAN("abc"), 0644, &err), 0);
    ck_assert_int_eq(file_mark(path, &first, &err), 0);
    ck_assert_int_eq(file_mark(path, &again, &err), 0);
    ck_assert(file_mark_eq(&first, &again));
    ck_assert_int_eq(first.size_bytes, 3);
    struct timespec times[2] = {{1700000000, 5}, {1700000000, 7}};
    ck_assert_int_eq(utimensat(AT_FDCWD, path, times, 0), 0);
    ck_assert_int_eq(file_mark(path, &again, &err), 0);
    ck_assert(!file_mark_eq(&first, &again));
    ck_assert_int_eq(again.mtime_ns, 1700000000000000007);
    ck_assert_int_eq(file_mark(in_dir("nothing"), &again, &err), -1);
    ck_assert_int_eq(err.kind, ERR_CONFIG);
}
END_TEST

int main(void) {
    Suite *suite = suite_create("file");
    TCase *tcase = tcase_create("file");
    tcase_add_checked_fixture(tcase, set_up, tear_down);
    tcase_add_test(tcase, test_written_content_is_read_back);
    tcase_add_test(tcase, test_read_appends);
    tcase_add_test(tcase, test_empty_file);
    tcase_add_test(tcase, test_ceiling);
    tcase_add_test(tcase, test_size_unknown);
    tcase_add_test(tcase, test_missing_and_directory_are_for_people);
    tcase_add_test(tcase, test_write_replaces_and_leaves_nothing_beside);
    tcase_add_test(tcase, test_failed_write_keeps_the_old);
    tcase_add_test(tcase, test_make_dirs);
    tcase_add_test(tcase, test_lock);
    tcase_add_test(tcase, test_mark_sees_every_change);
    suite_add_tcase(suite, tcase);
    return run_suite(suite);
}
