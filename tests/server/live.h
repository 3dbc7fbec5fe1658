/*
 * live.h - the real program, started for a test, and sockets to talk to it.
 *
 *   live_start(&live, "-m 64 -R 1");  int fd = live_connect(&live);
 *   live_send(fd, "get a\r\n");       live_expect(fd, "END\r\n");
 *
 * Every wait is bounded by LIVE_WAIT_S; what does not come by then fails the test. The program dies
 * with the test.
 *
 * Threads: one, but live_nap_ms() and live_fill() from any.
 */
#ifndef TESTS_SERVER_LIVE_H
#define TESTS_SERVER_LIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LIVE_WAIT_S 60

struct live {
    pid_t pid; /* 0: not running */
    uint16_t port;
    uint16_t http_port;  /* 0: none */
    char unix_path[108]; /* or empty */
    char ports_path[256];
};

/** live_start() - with these options, parted by single spaces, and any free port on 127.0.0.1
 * unless they have -s or -l. Returns when it listens. */
void live_start(struct live *live, const char *options);
/** live_run() - a program that is expected to end by itself, with just these options; its exit
 * code. */
int live_run(const char *options);
/** live_stop() - sends the signal and waits; the exit code, or minus the signal that ended it. */
int live_stop(struct live *live, int number);
/** live_end() - waits for it to end by itself. */
int live_end(struct live *live);

int live_connect(const struct live *live);
/** live_connect_to() - "127.0.0.1", "::1". -1 where nobody listens. */
int live_connect_to(const char *host, uint16_t port);

void live_send(int fd, const char *text);
void live_send_bytes(int fd, const void *bytes, size_t count);
/** live_expect() - the next bytes that come are these. */
void live_expect(int fd, const char *text);
void live_expect_bytes(int fd, const void *bytes, size_t count);
/** live_ask() - send and expect. */
void live_ask(int fd, const char *request, const char *answer);
/** live_expect_end() - the server has closed. */
void live_expect_end(int fd);
/** live_read() - what comes, at most @room; 0 at the end, -1 on a reset. */
ssize_t live_read(int fd, void *bytes, size_t room);
/** live_exchange() - sends all of @out and reads exactly @in_count bytes, both at the same time. */
void live_exchange(int fd, const void *out, size_t out_count, void *in, size_t in_count);

/** live_stats() - a section's text, over a connection of its own; to be freed. */
char *live_stats(const struct live *live, const char *section);
/** live_stats_over() - the same over a connection that has nothing else under way. */
char *live_stats_over(int fd, const char *section);
uint64_t live_stat_over(int fd, const char *section, const char *name);
uint64_t live_stat(const struct live *live, const char *section, const char *name);
/** live_await_stat() - until the number is at least @least. */
void live_await_stat(const struct live *live, const char *section, const char *name,
                     uint64_t least);
void live_await_at_most(const struct live *live, const char *section, const char *name,
                        uint64_t most);
size_t live_rss_bytes(const struct live *live);

/** live_files() - room for so many descriptors here and in what is started then; how many there is
 * room for. */
unsigned live_files(unsigned wanted);
void live_nap_ms(long ms);
/** live_fill() - noise that follows from the seed. */
void live_fill(char *bytes, size_t count, uint32_t seed);

#endif
