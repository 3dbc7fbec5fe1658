#include "tests/server/live.h"

/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAM       "server/zbcached"
#define ARGUMENTS_MAX 48
#define STATS_BYTES   ((size_t)1 << 20)

unsigned live_files(unsigned wanted)
{
    struct rlimit files = {0};

    const int failed = getrlimit(RLIMIT_NOFILE, &files);
    assert(!failed);
    if (files.rlim_max < wanted) {
        const struct rlimit more = {.rlim_cur = wanted, .rlim_max = wanted};
        if (setrlimit(RLIMIT_NOFILE, &more) == 0) { /* as root */
            return wanted;
        }
    }
    files.rlim_cur = files.rlim_max < wanted ? files.rlim_max : wanted;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &files), 0);
    return (unsigned)files.rlim_cur;
}

void live_nap_ms(long ms)
{
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};
    (void)nanosleep(&time, NULL);
}

void live_fill(char *bytes, size_t count, uint32_t seed)
{
    uint64_t word = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

    for (size_t i = 0; i < count; i += sizeof(word)) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        memcpy(bytes + i, &word, count - i < sizeof(word) ? count - i : sizeof(word));
    }
}

/* ---- the program ---- */

/* In the child: never returns. */
static void become_server(const char *options, const char *ports_path)
{
    char root[] = "-u", user[] = "root", name[] = PROGRAM;
    char *argv[ARGUMENTS_MAX + 1] = {name};
    int argc = 1;
    char *rest = strdup(options);
    char *word;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (geteuid() == 0) {
        argv[argc++] = root;
        argv[argc++] = user;
    }
    while ((word = strsep(&rest, " ")) != NULL) {
        assert(argc < ARGUMENTS_MAX);
        if (word[0] != '\0') {
            argv[argc++] = word;
        }
    }
    if (ports_path != NULL) {
        (void)setenv("MEMCACHED_PORT_FILENAME", ports_path, 1);
    }
    (void)execv(PROGRAM, argv);
    perror(PROGRAM);
    _exit(127);
}

static int wait_for(pid_t pid)
{
    int status = 0;

    for (unsigned tries = 0; tries < LIVE_WAIT_S * 100; tries++) {
        const pid_t ended = waitpid(pid, &status, WNOHANG);
        assert(ended >= 0);
        if (ended == pid) {
            return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
        }
        live_nap_ms(10);
    }
    (void)kill(pid, SIGKILL);
    (void)waitpid(pid, &status, 0);
    fail_msg("the server did not end");
    return -1;
}

static void read_ports(struct live *live)
{
    char line[64];
    unsigned port;
    FILE *file = fopen(live->ports_path, "re");

    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        if (live->port == 0 && sscanf(line, "TCP INET%*[6:] %u", &port) == 1) {
            live->port = (uint16_t)port;
        } else if (sscanf(line, "HTTP: %u", &port) == 1) {
            live->http_port = (uint16_t)port;
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

void live_start(struct live *live, const char *options)
{
    const char *folder = getenv("TEST_TMPDIR");
    const char *unix_option = strstr(options, "-s ");
    char line[1024];

    *live = (struct live){.pid = 0};
    (void)snprintf(live->ports_path, sizeof(live->ports_path), "%s/ports.%ld.%ld",
                   folder != NULL ? folder : P_tmpdir, (long)getpid(), (long)random());
    (void)snprintf(line, sizeof(line), "-p -1 %s %s",
                   unix_option == NULL && strstr(options, "-l ") == NULL ? "-l 127.0.0.1" : "",
                   options);
    if (unix_option != NULL) {
        (void)sscanf(unix_option, "-s %107s", live->unix_path);
    }
    live->pid = fork();
    assert(live->pid >= 0);
    if (live->pid == 0) {
        become_server(line, live->ports_path);
    }
    for (unsigned tries = 0; tries < LIVE_WAIT_S * 100; tries++) {
        int status;
        if (waitpid(live->pid, &status, WNOHANG) == live->pid) {
            live->pid = 0;
            fail_msg("the server ended while starting, status %d", status);
        }
        if (access(live->ports_path, R_OK) == 0) {
            read_ports(live);
            return;
        }
        live_nap_ms(10);
    }
    fail_msg("the server does not listen");
}

int live_run(const char *options)
{
    const pid_t pid = fork();

    assert(pid >= 0);
    if (pid == 0) {
        become_server(options, NULL);
    }
    return wait_for(pid);
}

int live_stop(struct live *live, int number)
{
    const int failed = kill(live->pid, number);
    assert(!failed);
    return live_end(live);
}

int live_end(struct live *live)
{
    const pid_t pid = live->pid;

    live->pid = 0;
    (void)unlink(live->ports_path);
    return wait_for(pid);
}

/* ---- sockets ---- */

static int open_connection(const struct sockaddr *address, socklen_t bytes)
{
    const struct timeval limit = {.tv_sec = LIVE_WAIT_S};
    const int one = 1;
    const int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert(fd >= 0);
    if (connect(fd, address, bytes) != 0) {
        (void)close(fd);
        return -1;
    }
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
    if (address->sa_family != AF_UNIX) {
        (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return fd;
}

int live_connect_to(const char *host, uint16_t port)
{
    struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct sockaddr_in6 in6 = {.sin6_family = AF_INET6, .sin6_port = htons(port)};

    if (inet_pton(AF_INET, host, &in.sin_addr) == 1) {
        return open_connection((struct sockaddr *)&in, sizeof(in));
    }
    const int good = inet_pton(AF_INET6, host, &in6.sin6_addr);
    assert(good == 1);
    return open_connection((struct sockaddr *)&in6, sizeof(in6));
}

int live_connect(const struct live *live)
{
    int fd;

    if (live->unix_path[0] != '\0') {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        memcpy(address.sun_path, live->unix_path, sizeof(address.sun_path));
        fd = open_connection((struct sockaddr *)&address, sizeof(address));
    } else {
        fd = live_connect_to("127.0.0.1", live->port);
    }
    assert_true(fd >= 0);
    return fd;
}

void live_send_bytes(int fd, const void *bytes, size_t count)
{
    const char *at = bytes;

    while (count > 0) {
        const ssize_t sent = send(fd, at, count, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR) {
            continue;
        }
        if (sent <= 0) {
            fail_msg("cannot send: %s", strerror(errno));
        }
        at += sent;
        count -= (size_t)sent;
    }
}

void live_send(int fd, const char *text)
{
    live_send_bytes(fd, text, strlen(text));
}

/* A socket with a time limit ends a call with EINTR where the test was stopped for a while. */
ssize_t live_read(int fd, void *bytes, size_t room)
{
    ssize_t count;

    do {
        count = recv(fd, bytes, room, 0);
    } while (count < 0 && errno == EINTR);
    if (count < 0 && errno != ECONNRESET) {
        fail_msg("nothing came: %s", strerror(errno));
    }
    return count;
}

void live_expect_bytes(int fd, const void *bytes, size_t count)
{
    char *got = malloc(count + 1);
    size_t at = 0;
    bool same = true;

    assert(got != NULL);
    while (same && at < count) {
        const ssize_t came = live_read(fd, got + at, count - at);
        if (came <= 0) {
            break;
        }
        same = memcmp(got + at, (const char *)bytes + at, (size_t)came) == 0;
        at += (size_t)came;
    }
    got[at] = '\0';
    same = same && at == count;
    if (!same) {
        print_error("expected (%zu bytes):\n%.300s\ngot (%zu):\n%.300s\n", count,
                    (const char *)bytes, at, got);
    }
    free(got);
    assert_true(same);
}

void live_expect(int fd, const char *text)
{
    live_expect_bytes(fd, text, strlen(text));
}

void live_ask(int fd, const char *request, const char *answer)
{
    live_send(fd, request);
    live_expect(fd, answer);
}

void live_expect_end(int fd)
{
    char byte;

    assert_true(live_read(fd, &byte, 1) <= 0);
}

void live_exchange(int fd, const void *out, size_t out_count, void *in, size_t in_count)
{
    const char *from = out;
    char *to = in;

    while (in_count > 0) {
        struct pollfd wait = {.fd = fd, .events = POLLIN};
        if (out_count > 0) {
            wait.events |= POLLOUT;
        }
        assert_true(poll(&wait, 1, LIVE_WAIT_S * 1000) > 0);
        if (wait.revents & POLLOUT) {
            const ssize_t sent = send(fd, from, out_count, MSG_NOSIGNAL | MSG_DONTWAIT);
            assert_true(sent > 0 || errno == EAGAIN);
            from += sent > 0 ? sent : 0;
            out_count -= sent > 0 ? (size_t)sent : 0;
        }
        if (wait.revents & (POLLIN | POLLHUP | POLLERR)) {
            const ssize_t came = recv(fd, to, in_count, MSG_DONTWAIT);
            assert_true(came > 0);
            to += came;
            in_count -= (size_t)came;
        }
    }
    assert_int_equal(out_count, 0);
}

/* ---- asking the server ---- */

char *live_stats_over(int fd, const char *section)
{
    char *text = malloc(STATS_BYTES);
    char request[64];
    size_t at = 0;

    assert(text != NULL);
    (void)snprintf(request, sizeof(request), "stats %s\r\n", section);
    live_send(fd, request);
    do {
        const ssize_t came = live_read(fd, text + at, STATS_BYTES - at - 1);
        assert_true(came > 0);
        at += (size_t)came;
        text[at] = '\0';
    } while (at < 5 || memcmp(text + at - 5, "END\r\n", 5) != 0);
    return text;
}

uint64_t live_stat_over(int fd, const char *section, const char *name)
{
    char line[128];
    char *text = live_stats_over(fd, section);

    (void)snprintf(line, sizeof(line), "STAT %s ", name);
    const char *at = strstr(text, line);
    const uint64_t value = at != NULL ? strtoull(at + strlen(line), NULL, 10) : 0;
    const bool found = at != NULL;
    free(text);
    assert_true(found);
    return value;
}

char *live_stats(const struct live *live, const char *section)
{
    const int fd = live_connect(live);
    char *text = live_stats_over(fd, section);

    (void)close(fd);
    return text;
}

uint64_t live_stat(const struct live *live, const char *section, const char *name)
{
    const int fd = live_connect(live);
    const uint64_t value = live_stat_over(fd, section, name);

    (void)close(fd);
    return value;
}

void live_await_stat(const struct live *live, const char *section, const char *name, uint64_t least)
{
    for (unsigned tries = 0; tries < LIVE_WAIT_S * 20; tries++) {
        if (live_stat(live, section, name) >= least) {
            return;
        }
        live_nap_ms(50);
    }
    fail_msg("stats %s: %s stays below %lu", section, name, (unsigned long)least);
}

void live_await_at_most(const struct live *live, const char *section, const char *name,
                        uint64_t most)
{
    for (unsigned tries = 0; tries < LIVE_WAIT_S * 20; tries++) {
        if (live_stat(live, section, name) <= most) {
            return;
        }
        live_nap_ms(50);
    }
    fail_msg("stats %s: %s stays above %lu", section, name, (unsigned long)most);
}

size_t live_rss_bytes(const struct live *live)
{
    char path[64];
    unsigned long pages = 0;

    (void)snprintf(path, sizeof(path), "/proc/%ld/statm", (long)live->pid);
    FILE *file = fopen(path, "re");
    assert(file != NULL);
    const int found = fscanf(file, "%*u %lu", &pages);
    (void)fclose(file);
    assert_int_equal(found, 1);
    return pages * (size_t)sysconf(_SC_PAGESIZE);
}
