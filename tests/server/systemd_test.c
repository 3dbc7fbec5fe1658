/*
 * systemd_test.c - sockets that were opened by whoever starts the server, and telling it how far
 * the start has come: what systemd does, done by the test.
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

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define PROGRAM    "server/zbcached"
#define FIRST      3 /* where handed descriptors begin */
#define OUT_OF_WAY 100
#define FDS_MAX    3

/* What is handed to a server, and what it is told of it. */
struct hand {
    int fds[FDS_MAX];
    unsigned count;
    const char *said;   /* LISTEN_FDS; NULL: count */
    bool to_another;    /* LISTEN_PID is not the server's */
    const char *notify; /* NOTIFY_SOCKET or NULL */
};

static int bound_tcp(uint16_t *port, int type)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    const int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &bytes), 0);
    *port = ntohs(address.sin_port);
    return fd;
}

static int listening_tcp(uint16_t *port)
{
    const int fd = bound_tcp(port, SOCK_STREAM);

    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static int bound_unix(const char *path, int type)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const int fd = socket(AF_UNIX, type | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
    return fd;
}

/* In the child: never returns. */
static void become_server(const struct hand *hand)
{
    char number[24];

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (unsigned i = 0; i < hand->count; i++) {
        (void)dup3(hand->fds[i], OUT_OF_WAY + (int)i, O_CLOEXEC);
    }
    for (unsigned i = 0; i < hand->count; i++) {
        (void)dup2(OUT_OF_WAY + (int)i, FIRST + (int)i); /* inherited */
    }
    (void)snprintf(number, sizeof(number), "%u", hand->count);
    (void)setenv("LISTEN_FDS", hand->said != NULL ? hand->said : number, 1);
    (void)snprintf(number, sizeof(number), "%ld", (long)getpid() + (hand->to_another ? 1 : 0));
    (void)setenv("LISTEN_PID", number, 1);
    if (hand->notify != NULL) {
        (void)setenv("NOTIFY_SOCKET", hand->notify, 1);
    }
    (void)execl(PROGRAM, PROGRAM, "-m", "64", "-t", "1", "-p", "-1", "-l", "127.0.0.1",
                geteuid() == 0 ? "-u" : NULL, "root", (char *)NULL);
    _exit(127);
}

static pid_t start(const struct hand *hand)
{
    const pid_t pid = fork();

    assert(pid >= 0);
    if (pid == 0) {
        become_server(hand);
    }
    return pid;
}

static int end_of(pid_t pid)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void ask_version(int fd)
{
    assert_true(fd >= 0);
    live_ask(fd, "version\r\n", "VERSION 1.6.45\r\n");
    (void)close(fd);
}

/* A TCP and a unix socket at once. They queue connections before the server is there, and what it
 * is told of -p means nothing. */
static void test_sockets(void **state)
{
    char folder[] = P_tmpdir "/systemd.XXXXXX", path[64];
    struct live unix_live = {.pid = 0};
    struct hand hand = {.count = 2};
    uint16_t port = 0;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    (void)snprintf(unix_live.unix_path, sizeof(unix_live.unix_path), "%s", path);
    hand.fds[0] = listening_tcp(&port);
    hand.fds[1] = bound_unix(path, SOCK_STREAM);
    assert_int_equal(listen(hand.fds[1], 8), 0);
    const int early = live_connect_to("127.0.0.1", port);
    const pid_t pid = start(&hand);
    (void)close(hand.fds[0]);
    (void)close(hand.fds[1]);
    ask_version(early);
    ask_version(live_connect(&unix_live));
    const int fd = live_connect_to("127.0.0.1", port);
    char *conns = live_stats_over(fd, "conns");
    unsigned listeners = 0;
    for (const char *at = conns; (at = strstr(at, "conn_listening")) != NULL; at++) {
        listeners++;
    }
    free(conns);
    assert_int_equal(listeners, 2);
    (void)close(fd);
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(end_of(pid), 0);
    assert_int_equal(live_connect_to("127.0.0.1", port), -1);
    (void)unlink(path);
    (void)rmdir(folder);
}

/* What is not a stream socket that listens ends the start; what is for another process is left. */
static void test_sockets_that_are_none(void **state)
{
    uint16_t port = 0;
    int null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    const int unheard = bound_tcp(&port, SOCK_STREAM);
    const int datagrams = bound_tcp(&port, SOCK_DGRAM);
    const struct hand bad[] = {
        {.fds = {null_fd}, .count = 1},
        {.fds = {unheard}, .count = 1},
        {.fds = {datagrams}, .count = 1},
        {.fds = {null_fd}, .count = 1, .said = "65"},
        {.fds = {null_fd}, .count = 1, .said = "-1"},
        {.fds = {null_fd}, .count = 1, .said = "1x"},
        {.count = 0, .said = "60"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(end_of(start(&bad[i])), 71);
    }
    (void)close(null_fd);
    (void)close(unheard);
    (void)close(datagrams);
}

static void expect_state(int fd, const char *state)
{
    const struct timeval limit = {.tv_sec = LIVE_WAIT_S};
    char text[64] = "";

    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    assert_true(recv(fd, text, sizeof(text) - 1, 0) > 0);
    assert_string_equal(text, state);
}

static void check_notify(const char *name, int told)
{
    uint16_t port = 0;
    const struct hand hand = {
        .fds = {listening_tcp(&port)}, .count = 1, .notify = name, .to_another = true};
    const pid_t pid = start(&hand);

    (void)close(hand.fds[0]);
    expect_state(told, "READY=1");
    assert_int_equal(kill(pid, SIGTERM), 0);
    expect_state(told, "STOPPING=1");
    assert_int_equal(end_of(pid), 0);
    (void)close(told);
}

/* Over a socket that is a file, and one that has only a name; sockets for another process are not
 * taken. */
static void test_notify(void **state)
{
    char folder[] = P_tmpdir "/systemd.XXXXXX", path[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    char name[64];

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/notify", folder);
    check_notify(path, bound_unix(path, SOCK_DGRAM));
    (void)unlink(path);
    (void)rmdir(folder);

    (void)snprintf(name, sizeof(name), "@systemd_test.%ld", (long)getpid());
    memcpy(address.sun_path, name, strlen(name));
    address.sun_path[0] = '\0';
    const int told = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(told >= 0);
    assert_int_equal(bind(told, (struct sockaddr *)&address,
                          (socklen_t)(offsetof(struct sockaddr_un, sun_path) + strlen(name))),
                     0);
    check_notify(name, told);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sockets),
        cmocka_unit_test(test_sockets_that_are_none),
        cmocka_unit_test(test_notify),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
