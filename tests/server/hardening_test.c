/*
 * hardening_test.c - what the running server gives up: root, system calls, core files; and what it
 * says of who may reach it.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/server/live.h"
#include "tests/server/said.h"

#include <assert.h>
#include <dirent.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_BYTES 8192u
#define USER       "nobody"

/* A file of /proc, whole. */
static void read_proc(const char *path, char text[FILE_BYTES])
{
    FILE *file = fopen(path, "re");

    assert(file != NULL);
    const size_t count = fread(text, 1, FILE_BYTES - 1, file);
    text[count] = '\0';
    (void)fclose(file);
}

static void expect_line(const char *text, const char *line)
{
    if (strstr(text, line) == NULL) {
        fail_msg("\"%s\" is not in:\n%s", line, text);
    }
}

/* Of each of its threads; how many there are. */
static unsigned expect_of_threads(const struct live *live, const char *line)
{
    char path[300], text[FILE_BYTES];
    unsigned threads = 0;

    (void)snprintf(path, sizeof(path), "/proc/%d/task", live->pid);
    DIR *folder = opendir(path);
    assert(folder != NULL);
    for (const struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(path, sizeof(path), "/proc/%d/task/%.16s/status", live->pid,
                           entry->d_name);
            read_proc(path, text);
            expect_line(text, line);
            threads++;
        }
    }
    (void)closedir(folder);
    return threads;
}

/* It listens before it is in the sandbox. */
static void await_sandbox(const struct live *live)
{
    char path[64], text[FILE_BYTES];

    (void)snprintf(path, sizeof(path), "/proc/%d/status", live->pid);
    do {
        live_nap_ms(10);
        read_proc(path, text);
    } while (strstr(text, "Seccomp:\t2\n") == NULL);
}

/* All that a server does only when it is asked to, in the sandbox. What clients do is played in
 * tests/wire and tests/clients. */
static void test_sandbox(void **state)
{
    struct live live;
    char users[64] = "/tmp/zbcached_users_XXXXXX", options[200];
    const int file = mkstemp(users);

    (void)state;
    assert_true(file >= 0 && write(file, "me:secret\n", 10) == 10);
    (void)snprintf(options, sizeof(options), "-t 3 -A -Y %s -o drop_privileges", users);
    live_start(&live, options);
    await_sandbox(&live);
    const unsigned threads = expect_of_threads(&live, "Seccomp:\t2\n");
    assert_in_range(threads, 5, 6); /* a sanitizer may have one of its own */
    (void)expect_of_threads(&live, "NoNewPrivs:\t1\n");
    const int fd = live_connect(&live), watcher = live_connect(&live);
    live_ask(fd, "set a 0 0 9\r\nme secret\r\n", "STORED\r\n");
    live_ask(watcher, "set a 0 0 9\r\nme secret\r\n", "STORED\r\n");
    live_ask(watcher, "watch fetchers\r\n", "OK\r\n"); /* its first one starts a thread */
    assert_int_equal(expect_of_threads(&live, "Seccomp:\t2\n"), threads + 1);
    live_ask(fd, "get a\r\n", "END\r\n");
    char line[100];
    assert_true(live_read(watcher, line, sizeof(line)) > 0);
    live_ask(fd, "cache_memlimit 128\r\n", "OK\r\n");
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    static const char *const sections[] = {"", "settings", "items", "slabs", "conns", "zbud"};
    for (unsigned i = 0; i < sizeof(sections) / sizeof(sections[0]); i++) {
        free(live_stats_over(fd, sections[i]));
    }
    /* The old password holds until the file is read again: that it was, shows that it may. */
    assert_int_equal(pwrite(file, "me:sesame\n", 10, 0), 10);
    assert_int_equal(kill(live.pid, SIGHUP), 0);
    for (unsigned tries = 0;; tries++) {
        const int other = live_connect(&live);
        live_send(other, "set a 0 0 9\r\nme sesame\r\n");
        const ssize_t count = live_read(other, line, sizeof(line));
        (void)close(other);
        if (count > 0 && memcmp(line, "STORED", 6) == 0) {
            break;
        }
        assert_true(tries < LIVE_WAIT_S * 20);
        live_nap_ms(50);
    }
    live_send(fd, "shutdown graceful\r\n");
    assert_int_equal(live_end(&live), 0);
    (void)close(fd);
    (void)close(watcher);
    (void)close(file);
    (void)unlink(users);
}

static void test_pid_file_in_sandbox(void **state)
{
    struct live live;
    char folder[] = "/tmp/zbcached_pid_XXXXXX", path[64], options[100];

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/pid", folder);
    (void)snprintf(options, sizeof(options), "-P %s -o drop_privileges", path);
    live_start(&live, options);
    await_sandbox(&live);
    assert_int_equal(access(path, R_OK), 0);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    assert_int_not_equal(access(path, R_OK), 0);
    (void)rmdir(folder);
}

/* ---- the user ---- */

/* Who is not root cannot become another; then the server stays who it is, and that is tested. */
static void test_user(void **state)
{
    struct live live;
    char path[64], text[FILE_BYTES], line[100];
    const bool root = geteuid() == 0;
    const struct passwd *user = root ? getpwnam(USER) : getpwuid(geteuid());

    (void)state;
    assert_non_null(user);
    (void)snprintf(text, sizeof(text), "-u %s", user->pw_name);
    const unsigned uid = user->pw_uid, gid = user->pw_gid;
    live_start(&live, text);
    (void)snprintf(path, sizeof(path), "/proc/%d/status", live.pid);
    read_proc(path, text);
    (void)snprintf(line, sizeof(line), "Uid:\t%u\t%u\t%u\t%u\n", uid, uid, uid, uid);
    expect_line(text, line);
    (void)snprintf(line, sizeof(line), "Gid:\t%u\t%u\t%u\t%u\n", gid, gid, gid, gid);
    expect_line(text, line);
    if (root) {
        expect_line(text, "Groups:\t \n");
    }
    expect_line(text, "CapPrm:\t0000000000000000\n");
    expect_line(text, "CapEff:\t0000000000000000\n");
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

/* ---- core files ---- */

/* The files of an undumpable process in /proc are root's, of a dumpable one the user's. */
static void expect_dumpable(const char *options, bool dumpable)
{
    struct live live;
    char path[64], text[FILE_BYTES];
    struct stat status;
    const bool root = geteuid() == 0;
    const struct passwd *user = root ? getpwnam(USER) : getpwuid(geteuid());

    assert_non_null(user);
    const uid_t uid = user->pw_uid;
    (void)snprintf(text, sizeof(text), "-u %s %s", user->pw_name, options);
    live_start(&live, text);
    (void)snprintf(path, sizeof(path), "/proc/%d/statm", live.pid);
    assert_int_equal(stat(path, &status), 0);
    assert_int_equal(status.st_uid, dumpable ? uid : 0);
    (void)snprintf(path, sizeof(path), "/proc/%d/limits", live.pid);
    read_proc(path, text);
    const char *at = strstr(text, "Max core file size");
    assert_non_null(at);
    const bool none = strncmp(at + strlen("Max core file size"), "        0     ", 9) == 0;
    assert_int_equal(none, !dumpable);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

static void test_core_files(void **state)
{
    (void)state;
    expect_dumpable("", false);
    expect_dumpable("-r", true);
}

/* ---- who may reach it ---- */

static unsigned warnings_of(const char *options)
{
    struct live live;
    struct said said;

    said_begin(&said);
    live_start(&live, options);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    char *text = said_end(&said);
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, "WARNING: whoever reaches")) != NULL; at++) {
        count++;
    }
    free(text);
    return count;
}

static void test_public_address(void **state)
{
    char users[64] = "/tmp/zbcached_users_XXXXXX", options[200];
    const int file = mkstemp(users);

    (void)state;
    assert_true(file >= 0 && write(file, "me:secret\n", 10) == 10);
    assert_int_equal(warnings_of("-l 0.0.0.0 -p -1"), 1);
    assert_int_equal(warnings_of("-l 0.0.0.0,127.0.0.1 -p -1"), 1);
    assert_int_equal(warnings_of("-l 127.0.0.1,127.0.0.2 -p -1"), 0);
    (void)snprintf(options, sizeof(options), "-l 0.0.0.0 -p -1 -Y %s", users);
    assert_int_equal(warnings_of(options), 0);
    (void)close(file);
    (void)unlink(users);
}

/* A server that is somebody else writes there, too. In its sandbox no sanitizer can look for leaks
 * at the end, which takes a process beside it. */
static int open_folder(void **state)
{
    static char folder[] = "/tmp/zbcached_hardening_XXXXXX";

    (void)state;
    return mkdtemp(folder) == NULL || chmod(folder, 0777) != 0 ||
           setenv("TEST_TMPDIR", folder, 1) != 0 ||
           setenv("ASAN_OPTIONS", "detect_leaks=0", 1) != 0;
}

static int close_folder(void **state)
{
    (void)state;
    return rmdir(getenv("TEST_TMPDIR"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sandbox),        cmocka_unit_test(test_pid_file_in_sandbox),
        cmocka_unit_test(test_user),           cmocka_unit_test(test_core_files),
        cmocka_unit_test(test_public_address),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}
