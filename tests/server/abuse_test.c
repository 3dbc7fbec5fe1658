/*
 * abuse_test.c - what nobody means well with: each time the other clients are served, RSS stays
 * within -m and 2 %, and the log says what happened in a few lines. tests/README.md has the list,
 * with what other tests prove of it.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "tests/instrumented.h"
#include "tests/server/live.h"
#include "tests/server/said.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MIB         ((size_t)1 << 20)
#define MEMORY_MB   64u
/* All that are slow together; sanitizers make them slower still. */
#define SLOW_MAX    (INSTRUMENTED ? 1000u : 20000u)
#define FLOOD_BYTES (INSTRUMENTED ? 16 * MIB : 1024 * MIB)
#define STORM_CONNS (INSTRUMENTED ? 500u : 2000u)
#define SPARE_FILES 600u /* the server's own, too */
#define LINES_MAX   12u
#define STOPPED_MS  2500

static void check_rss(const struct live *live)
{
    const size_t rss_bytes = live_rss_bytes(live);

    print_message("RSS %.1f MiB\n", (double)rss_bytes / MIB);
    if (!INSTRUMENTED && rss_bytes > MEMORY_MB * MIB / 100 * 102) {
        fail_msg("RSS %zu is above -m and 2 %%", rss_bytes);
    }
}

/* A cache that has no memory left: what connections need must come out of it. */
static void fill(const struct live *live)
{
    const size_t bytes = 100000;
    char *value = malloc(bytes + 2);
    char line[64];
    const int fd = live_connect(live);

    assert(value != NULL);
    live_fill(value, bytes, 5);
    memcpy(value + bytes, "\r\n", 2);
    for (unsigned i = 0; i < MEMORY_MB * 11; i++) {
        (void)snprintf(line, sizeof(line), "set fill%u 0 0 %zu noreply\r\n", i, bytes);
        live_send(fd, line);
        live_send_bytes(fd, value, bytes + 2);
    }
    live_ask(fd, "version\r\n", "VERSION 1.6.45\r\n");
    (void)close(fd);
    free(value);
}

/* What a client that behaves sees meanwhile. */
static void check_served(int fd)
{
    live_ask(fd, "set good 0 0 4\r\nwell\r\n", "STORED\r\n");
    live_ask(fd, "get good\r\n", "VALUE good 0 4\r\nwell\r\nEND\r\n");
}

static unsigned count_lines(const char *text)
{
    unsigned lines = 0;

    for (; *text != '\0'; text++) {
        lines += *text == '\n';
    }
    return lines;
}

static void end_well(struct live *live, int fd)
{
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    (void)close(fd);
    assert_int_equal(live_stop(live, SIGTERM), 0);
}

/* ---- many, and each of them slow ---- */

/* Each sends a command byte by byte, all of them in turns, and then they all get their answer. */
static void test_slowloris(void **state)
{
    static const char command[] = "mn\r\n";
    struct live live;
    char options[64];
    const unsigned count = live_files(SLOW_MAX + SPARE_FILES) - SPARE_FILES;
    int *fds = malloc(count * sizeof(*fds));

    (void)state;
    assert(fds != NULL);
    (void)snprintf(options, sizeof(options), "-m 64 -t 4 -c %u", count + 100);
    live_start(&live, options);
    fill(&live);
    const int good = live_connect(&live);
    for (unsigned i = 0; i < count; i++) {
        fds[i] = live_connect(&live);
    }
    for (size_t at = 0; at + 1 < sizeof(command); at++) {
        for (unsigned i = 0; i < count; i++) {
            live_send_bytes(fds[i], command + at, 1);
        }
        check_served(good);
        if (at == sizeof(command) / 2) {
            print_message("%u connections, %lu bytes held\n", count,
                          (unsigned long)live_stat_over(good, "zbud", "connections_held_bytes"));
            check_rss(&live);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        live_expect(fds[i], "MN\r\n");
        (void)close(fds[i]);
    }
    check_rss(&live);
    end_well(&live, good);
    free(fds);
}

/* ---- one that does not end ---- */

/* Sends so much of the same; returns what the server took before it closed. */
static size_t flood(int fd, size_t bytes)
{
    static char block[1 << 18];
    size_t sent = 0;

    memset(block, 'x', sizeof(block));
    while (sent < bytes) {
        const size_t step = bytes - sent < sizeof(block) ? bytes - sent : sizeof(block);
        const ssize_t count = send(fd, block, step, MSG_NOSIGNAL);
        if (count <= 0) {
            break;
        }
        sent += (size_t)count;
    }
    return sent;
}

/* A gigabyte without a newline: closed after some buffers' worth. A gigabyte as a value: swallowed
 * as it comes, refused, and the connection goes on. */
static void test_gigabyte(void **state)
{
    struct live live;
    char line[64];

    (void)state;
    live_start(&live, "-m 64 -t 2");
    const int good = live_connect(&live), endless = live_connect(&live),
              large = live_connect(&live);
    const size_t taken = flood(endless, FLOOD_BYTES);
    print_message("closed after %zu KiB were sent\n", taken >> 10);
    assert_true(taken < 16 * MIB);
    (void)snprintf(line, sizeof(line), "set large 0 0 %zu\r\n", (size_t)FLOOD_BYTES);
    live_send(large, line);
    assert_int_equal(flood(large, FLOOD_BYTES), FLOOD_BYTES);
    check_rss(&live);
    check_served(good);
    live_ask(large, "\r\nget large\r\n", "SERVER_ERROR object too large for cache\r\nEND\r\n");
    assert_true(live_stat_over(good, "zbud", "connections_held_bytes") < MIB);
    (void)close(endless);
    (void)close(large);
    end_well(&live, good);
}

/* ---- more than there may be ---- */

/* Beyond -c, again and again: each is told so and closed, at the cost of a line in no log. */
static void test_connect_storm(void **state)
{
    struct live live;
    struct said said;
    int fds[20];

    (void)state;
    said_begin(&said);
    live_start(&live, "-m 64 -t 2 -c 20 -v");
    for (unsigned i = 0; i < 20; i++) {
        fds[i] = live_connect(&live);
        check_served(fds[i]);
    }
    for (unsigned i = 0; i < STORM_CONNS; i++) {
        const int fd = live_connect(&live);
        if (i % 100 == 0) {
            live_expect(fd, "ERROR Too many open connections\r\n");
            live_expect_end(fd);
            check_served(fds[i / 100 % 20]);
        }
        (void)close(fd);
    }
    for (unsigned tries = 0; live_stat_over(fds[0], "", "rejected_connections") < STORM_CONNS;
         tries++) {
        assert_true(tries < LIVE_WAIT_S * 20);
        live_nap_ms(50);
    }
    for (unsigned i = 0; i < 20; i++) {
        check_served(fds[i]);
        if (i > 0) {
            (void)close(fds[i]);
        }
    }
    check_rss(&live);
    end_well(&live, fds[0]);
    char *text = said_end(&said);
    print_message("%u lines in the log\n", count_lines(text));
    assert_true(count_lines(text) <= LINES_MAX);
    free(text);
}

/* Descriptors run out again and again: the log says so a few times. That all are served in the
 * end is pressure_test's. */
static void test_descriptors_log(void **state)
{
    const struct rlimit few = {.rlim_cur = 40, .rlim_max = 40};
    struct live live;
    struct said said;
    int fds[60];

    (void)state;
    said_begin(&said);
    live_start(&live, "-m 64 -t 2");
    const int good = live_connect(&live);
    check_served(good);
    assert_int_equal(prlimit(live.pid, RLIMIT_NOFILE, &few, NULL), 0);
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < 60; i++) {
            fds[i] = live_connect(&live);
        }
        check_served(good);
        for (unsigned i = 0; i < 60; i++) {
            (void)close(fds[i]);
        }
    }
    assert_true(live_stat_over(good, "", "listen_disabled_num") >= 1);
    end_well(&live, good);
    char *text = said_end(&said);
    print_message("%u lines in the log\n", count_lines(text));
    assert_non_null(strstr(text, "cannot accept for now"));
    assert_true(count_lines(text) <= LINES_MAX);
    free(text);
}

/* ---- the system has no memory ---- */

/* No mapping can be had any more, so no large buffer: who wants one is told, who does not is
 * served, and when there is memory again all goes on. */
static void test_no_memory(void **state)
{
    struct live live;
    const rlim_t bytes = 1000000;
    const struct rlimit none = {.rlim_cur = 1 << 20, .rlim_max = RLIM_INFINITY};
    const struct rlimit all = {.rlim_cur = RLIM_INFINITY, .rlim_max = RLIM_INFINITY};

    (void)state;
    if (INSTRUMENTED) {
        skip(); /* a sanitizer's allocator ends the program instead */
    }
    char *value = malloc(bytes + 2);
    assert(value != NULL);
    live_fill(value, bytes, 4);
    memcpy(value + bytes, "\r\n", 2);
    live_start(&live, "-m 64 -t 2");
    const int good = live_connect(&live), fd = live_connect(&live);
    check_served(good);
    for (unsigned round = 0; round < 2; round++) {
        assert_int_equal(prlimit(live.pid, RLIMIT_AS, round == 0 ? &none : &all, NULL), 0);
        live_send(fd, "set large 0 0 1000000\r\n");
        live_send_bytes(fd, value, bytes + 2);
        live_expect(fd,
                    round == 0 ? "SERVER_ERROR out of memory storing object\r\n" : "STORED\r\n");
        check_served(good);
    }
    (void)close(fd);
    end_well(&live, good);
    free(value);
}

/* ---- time that stands still ---- */

/* Stopped for longer than -o idle_timeout allows: what was sent meanwhile is answered, nobody is
 * closed for it, and only what had to expire has. */
static void test_stopped(void **state)
{
    enum {
        CONNS = 200
    };
    struct live live;
    int fds[CONNS], status;

    (void)state;
    live_start(&live, "-m 64 -t 2 -o idle_timeout=1");
    for (unsigned i = 0; i < CONNS; i++) {
        fds[i] = live_connect(&live);
    }
    live_ask(fds[0], "set long 0 1000 1\r\nx\r\n", "STORED\r\n");
    live_ask(fds[0], "set short 0 2 1\r\nx\r\n", "STORED\r\n");
    assert_int_equal(kill(live.pid, SIGSTOP), 0);
    assert_int_equal(waitpid(live.pid, &status, WUNTRACED), live.pid);
    assert_true(WIFSTOPPED(status));
    for (unsigned i = 0; i < CONNS; i++) {
        live_send(fds[i], "get long short\r\n");
    }
    live_nap_ms(STOPPED_MS);
    assert_int_equal(kill(live.pid, SIGCONT), 0);
    for (unsigned i = 0; i < CONNS; i++) {
        live_expect(fds[i], "VALUE long 0 1\r\nx\r\nEND\r\n");
    }
    assert_int_equal(live_stat_over(fds[0], "", "idle_kicks"), 0);
    for (unsigned i = 1; i < CONNS; i++) {
        (void)close(fds[i]);
    }
    end_well(&live, fds[0]);
}

/* ---- peers that are gone ---- */

static void write_file(const char *path, const char *text)
{
    const int fd = open(path, O_WRONLY | O_CLOEXEC);
    const ssize_t count = fd < 0 ? -1 : write(fd, text, strlen(text));

    if (count < 0) {
        fail_msg("%s: %s", path, strerror(errno));
    }
    (void)close(fd);
}

/* A network and mounts of one's own, in which whoever one is one is root: clocks can be set, and
 * file systems made. Those of the tests that need it are the last: there is no way back. */
static void enter_own_world(void)
{
    static bool entered;
    char uids[64], gids[64];
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

    if (entered) {
        return;
    }
    entered = true;
    (void)snprintf(uids, sizeof(uids), "0 %u 1", geteuid());
    (void)snprintf(gids, sizeof(gids), "0 %u 1", getegid());
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | CLONE_NEWNS) != 0) {
        fail_msg("no namespaces: %s", strerror(errno));
    }
    write_file("/proc/self/setgroups", "deny");
    write_file("/proc/self/uid_map", uids);
    write_file("/proc/self/gid_map", gids);
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0);
    (void)close(fd);
    write_file("/proc/sys/net/ipv4/tcp_keepalive_time", "1");
    write_file("/proc/sys/net/ipv4/tcp_keepalive_intvl", "1");
    write_file("/proc/sys/net/ipv4/tcp_keepalive_probes", "1");
}

/* Peers that vanish without a word, as in a power cut: the system's keepalive finds them, and their
 * connections and memory come back. In the middle of a value, too. */
static void test_half_open(void **state)
{
    enum {
        CONNS = 300
    };
    const int on = 1;
    struct live live;
    int fds[CONNS];

    (void)state;
    enter_own_world();
    live_start(&live, "-m 64 -t 2");
    const int good = live_connect(&live);
    for (unsigned i = 0; i < CONNS; i++) {
        fds[i] = live_connect(&live);
        check_served(fds[i]);
        live_send(fds[i], i % 2 == 0 ? "set half 0 0 100000\r\nabc" : "ge");
    }
    assert_int_equal(live_stat_over(good, "", "curr_connections"), CONNS + 1);
    for (unsigned i = 0; i < CONNS; i++) {
        /* A socket that is under repair is closed without a packet. */
        assert_int_equal(setsockopt(fds[i], IPPROTO_TCP, TCP_REPAIR, &on, sizeof(on)), 0);
        (void)close(fds[i]);
    }
    check_served(good);
    for (unsigned tries = 0; live_stat_over(good, "", "curr_connections") > 1; tries++) {
        assert_true(tries < LIVE_WAIT_S * 10);
        live_nap_ms(100);
    }
    assert_true(live_stat_over(good, "zbud", "connections_held_bytes") <= 1024);
    end_well(&live, good);
}

/* ---- a full disk ---- */

/* All blocks that are left but @left_bytes. */
static void fill_disk(const char *path, size_t left_bytes)
{
    static char bytes[1 << 16];
    const int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    off_t written = 0;
    ssize_t count;

    assert_true(fd >= 0);
    memset(bytes, 'x', sizeof(bytes));
    while ((count = write(fd, bytes, sizeof(bytes))) > 0) {
        written += count;
    }
    assert_int_equal(errno, ENOSPC);
    assert_int_equal(ftruncate(fd, written - (off_t)left_bytes), 0);
    (void)close(fd);
}

static void store_numbered(int fd, unsigned first, unsigned count)
{
    char line[64], value[1000];

    for (unsigned i = first; i < first + count; i++) {
        (void)snprintf(line, sizeof(line), "set key%u 0 0 %zu noreply\r\n", i, sizeof(value));
        live_fill(value, sizeof(value), i);
        live_send(fd, line);
        live_send_bytes(fd, value, sizeof(value));
        live_send(fd, "\r\n");
    }
}

/* How many are there; each as it was stored. */
static unsigned count_numbered(int fd, unsigned count)
{
    char line[64], value[1000];
    unsigned found = 0;

    for (unsigned i = 0; i < count; i++) {
        char byte;
        (void)snprintf(line, sizeof(line), "get key%u\r\n", i);
        live_send(fd, line);
        assert_int_equal(live_read(fd, &byte, 1), 1);
        if (byte == 'E') {
            live_expect(fd, "ND\r\n");
            continue;
        }
        (void)snprintf(line, sizeof(line), "ALUE key%u 0 %zu\r\n", i, sizeof(value));
        live_fill(value, sizeof(value), i);
        live_expect(fd, line);
        live_expect_bytes(fd, value, sizeof(value));
        live_expect(fd, "\r\nEND\r\n");
        found++;
    }
    return found;
}

/* Somebody else fills the file system of -e while the server stores: what is there is its limit
 * from then on. With room again it goes on, and the next start has all of it. */
static void test_full_disk(void **state)
{
    enum {
        FEW = 8000,
        MANY = 60000
    };
    char folder[] = P_tmpdir "/zbcached.XXXXXX", options[128], other[64], file[64];
    struct live live;
    struct said said;

    (void)state;
    enter_own_world();
    assert_non_null(mkdtemp(folder));
    assert_int_equal(mount("tmpfs", folder, "tmpfs", 0, "size=40m"), 0);
    (void)snprintf(file, sizeof(file), "%s/file", folder);
    (void)snprintf(other, sizeof(other), "%s/other", folder);
    said_begin(&said);
    (void)snprintf(options, sizeof(options), "-m 64 -l 127.0.0.1 -p 0 -e %s", file);
    assert_int_not_equal(live_run(options), 0);
    (void)snprintf(options, sizeof(options), "-m 32 -t 2 -e %s", file);
    live_start(&live, options);
    int fd = live_connect(&live);
    store_numbered(fd, 0, FEW);
    check_served(fd);
    assert_int_equal(count_numbered(fd, FEW), FEW);
    fill_disk(other, 4 * MIB);
    store_numbered(fd, FEW, MANY - FEW);
    check_served(fd);
    assert_true(live_stat_over(fd, "zbud", "file_starved") > 0);
    const unsigned kept = count_numbered(fd, MANY);
    print_message("%u items in what is left of the disk\n", kept);
    assert_true(kept >= FEW && kept < MANY);
    const uint64_t items = live_stat_over(fd, "", "curr_items");
    end_well(&live, fd);
    /* Still full: not with as much as was asked for before. Nothing is lost by that. */
    assert_int_not_equal(live_run(options), 0);
    assert_int_equal(unlink(other), 0);
    live_start(&live, options);
    fd = live_connect(&live);
    assert_int_equal(live_stat_over(fd, "", "curr_items"), items);
    assert_int_equal(count_numbered(fd, MANY), kept);
    store_numbered(fd, MANY, FEW);
    check_served(fd);
    end_well(&live, fd);
    char *text = said_end(&said);
    print_message("%s", text);
    assert_non_null(strstr(text, "its file system has room for 40 MB, -m asks for 64"));
    assert_true(count_lines(text) <= LINES_MAX);
    free(text);
    assert_int_equal(umount(folder), 0);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slowloris),     cmocka_unit_test(test_gigabyte),
        cmocka_unit_test(test_connect_storm), cmocka_unit_test(test_descriptors_log),
        cmocka_unit_test(test_no_memory),     cmocka_unit_test(test_stopped),
        cmocka_unit_test(test_half_open),     cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
