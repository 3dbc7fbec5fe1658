/*
 * watch_test.c - the program while it is watched: evictions, slow watchers, many, and those that
 * vanish. The lines themselves are pinned by tests/wire, the accounting by tests/admin/watch_test.
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

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHERS_MAX 20u
#define VALUE_BYTES  1000u
#define BATCH        500u
#define LINE_BYTES   4096u
#define MIB          (1024u * 1024u)

static uint64_t get_stat(const struct live *live, const char *name)
{
    return live_stat(live, "", name);
}

static uint64_t held_bytes(const struct live *live)
{
    return live_stat(live, "zbud", "connections_held_bytes");
}

static int open_watcher(const struct live *live, const char *kinds)
{
    char line[128];
    const int fd = live_connect(live);

    (void)snprintf(line, sizeof(line), "watch %s\r\n", kinds);
    live_ask(fd, line, "OK\r\n");
    return fd;
}

/* A line without its end. */
static void read_line(int fd, char line[LINE_BYTES])
{
    size_t count = 0;

    for (;;) {
        assert_true(count < LINE_BYTES);
        assert_int_equal(live_read(fd, line + count, 1), 1);
        if (line[count] == '\n') {
            line[count] = '\0';
            return;
        }
        count++;
    }
}

/* Lines until one with @end. */
static void read_until(int fd, const char *end)
{
    char line[LINE_BYTES];

    do {
        read_line(fd, line);
        assert_int_equal(strncmp(line, "ts=", 3), 0);
    } while (strstr(line, end) == NULL);
}

static void store(int fd, unsigned number)
{
    char text[VALUE_BYTES + 64];
    const size_t line =
        (size_t)snprintf(text, sizeof(text), "set key%u 0 0 %u\r\n", number, VALUE_BYTES);

    live_fill(text + line, VALUE_BYTES, number);
    memcpy(text + line + VALUE_BYTES, "\r\n", 2);
    live_send_bytes(fd, text, line + VALUE_BYTES + 2);
    live_expect(fd, "STORED\r\n");
}

/* What comes, a piece at a time, while others go on; the number behind "skipped=", or 0 where the
 * piece has none that is whole. */
static unsigned long long read_skipped(int fd)
{
    static const char word[] = "\nskipped=";
    char piece[65536 + 1];
    const ssize_t count = live_read(fd, piece, sizeof(piece) - 1);

    assert_true(count > 0);
    piece[count] = '\0';
    const char *at = strstr(piece, word);
    return at != NULL ? strtoull(at + strlen(word), NULL, 10) : 0;
}

/* Each eviction is said, with the item's key and size. */
static void test_evictions(void **state)
{
    struct live live;
    char line[LINE_BYTES];
    unsigned key = 0, size = 0, number = 0, age = 0;

    (void)state;
    live_start(&live, "-m 16 -t 2");
    const int watcher = open_watcher(&live, "evictions");
    const int client = live_connect(&live);
    while (live_stat_over(client, "", "evictions") == 0) {
        for (unsigned i = 0; i < 100; i++) {
            store(client, number++);
        }
    }
    read_line(watcher, line);
    const char *at = strstr(line, " type=eviction ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, " type=eviction key=key%u fetch=no ttl=-1 la=%u clsid=1 size=%u",
                            &key, &age, &size),
                     3);
    assert_true(age <= LIVE_WAIT_S);
    assert_true(key < number);
    assert_int_equal(size, VALUE_BYTES);
    /* Nothing is stored any more, so nothing is evicted between the two. */
    const uint64_t evictions = live_stat_over(client, "", "evictions");
    const uint64_t said = live_stat_over(client, "", "log_worker_written") +
                          live_stat_over(client, "", "log_worker_dropped");
    assert_int_equal(said, evictions);
    live_ask(client, "stats reset\r\n", "RESET\r\n");
    assert_int_equal(live_stat_over(client, "", "log_worker_written"), 0);
    assert_int_equal(live_stat_over(client, "", "log_watchers"), 1);
    (void)close(watcher);
    (void)close(client);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

static void test_deletions(void **state)
{
    struct live live;
    char line[LINE_BYTES];

    (void)state;
    live_start(&live, "-m 64 -t 2");
    const int watcher = open_watcher(&live, "deletions");
    const int client = live_connect(&live);
    live_ask(client, "set gone 0 0 4\r\nabcd\r\ndelete none\r\ndelete gone\r\n",
             "STORED\r\nNOT_FOUND\r\nDELETED\r\n");
    read_line(watcher, line);
    assert_non_null(strstr(line, " type=deleted key=gone cmd=delete clsid=1 size=4"));
    live_ask(client, "ms gone 2\r\nab\r\nmd gone I\r\nmd gone x\r\nmd gone\r\n",
             "HD\r\nHD\r\nHD\r\nHD\r\n");
    read_line(watcher, line);
    assert_non_null(strstr(line, " type=deleted key=gone cmd=md clsid=1 size=0"));
    live_ask(client, "set noreply 0 0 1\r\nx\r\ndelete noreply noreply\r\nget noreply\r\n",
             "STORED\r\nEND\r\n");
    read_line(watcher, line);
    assert_non_null(strstr(line, " type=deleted key=noreply cmd=delete clsid=1 size=1"));
    (void)close(watcher);
    (void)close(client);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

/* Keys of bytes that take three each in a line. */
static void ask_batch(int fd)
{
    char out[BATCH * 256], in[BATCH * 5];
    char pad[200];
    size_t out_bytes = 0;

    memset(pad, '#', sizeof(pad));
    for (unsigned i = 0; i < BATCH; i++) {
        out_bytes += (size_t)snprintf(out + out_bytes, sizeof(out) - out_bytes, "get key%u%.*s\r\n",
                                      i, (int)sizeof(pad), pad);
    }
    live_exchange(fd, out, out_bytes, in, sizeof(in));
    for (unsigned i = 0; i < BATCH; i++) {
        assert_memory_equal(in + 5 * (size_t)i, "END\r\n", 5);
    }
}

/* Watchers that do not read: others are served, memory stays where it is, and when one reads again
 * it is told how much it has missed. */
static void test_slow_watchers(void **state)
{
    const unsigned count = 4;
    struct live live;
    int watchers[4];

    (void)state;
    live_start(&live, "-m 64 -t 2");
    const int client = live_connect(&live);
    for (unsigned i = 0; i < count; i++) {
        watchers[i] = open_watcher(&live, "fetchers");
    }
    const uint64_t held = live_stat_over(client, "zbud", "connections_held_bytes");
    do {
        ask_batch(client);
    } while (live_stat_over(client, "", "log_watcher_skipped") < 1000 * count);
    for (unsigned i = 0; i < 20; i++) {
        ask_batch(client);
        /* Beside its ring a watcher has what a turn left unsent; those turns come and go. */
        assert_true(live_stat_over(client, "zbud", "connections_held_bytes") <=
                    held + (uint64_t)count * 128 * 1024);
        assert_true(INSTRUMENTED || live_rss_bytes(&live) <= 64 * MIB + 64 * MIB / 50);
    }
    while (read_skipped(watchers[3]) == 0) {
        ask_batch(client);
    }
    assert_int_equal(get_stat(&live, "log_watchers"), count);
    live_ask(client, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    for (unsigned i = 0; i < count; i++) {
        (void)close(watchers[i]);
    }
    live_await_at_most(&live, "", "log_watchers", 0);
    (void)close(client);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

struct asker {
    const struct live *live;
    _Atomic bool stop;
};

static void *ask_on(void *context)
{
    struct asker *asker = context;
    const int fd = live_connect(asker->live);

    while (!atomic_load(&asker->stop)) {
        ask_batch(fd);
    }
    (void)close(fd);
    return NULL;
}

/* With a reset, in the middle of its lines, or as it should be. */
static void leave(int fd, unsigned how)
{
    const struct linger reset = {.l_onoff = 1};
    char bytes[100];

    if (how % 3 == 0) {
        (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
    } else if (how % 3 == 1) {
        assert_true(live_read(fd, bytes, sizeof(bytes)) > 0);
    } else {
        (void)shutdown(fd, SHUT_WR);
    }
    (void)close(fd);
}

/* All the watchers there can be, who come and go under load; in the end nothing of them is left. */
static void test_watchers_come_and_go(void **state)
{
    struct live live;
    struct asker asker = {.live = &live};
    pthread_t thread;
    int watchers[WATCHERS_MAX];

    (void)state;
    live_start(&live, "-m 64 -t 3");
    const int first = open_watcher(&live, "fetchers");
    (void)close(first);
    live_await_at_most(&live, "", "log_watchers", 0);
    const uint64_t held = held_bytes(&live);
    assert_int_equal(pthread_create(&thread, NULL, ask_on, &asker), 0);
    for (unsigned round = 0; round < 6; round++) {
        for (unsigned i = 0; i < WATCHERS_MAX; i++) {
            watchers[i] = open_watcher(&live, i % 2 == 0 ? "" : "fetchers connevents mutations");
        }
        const int one_more = live_connect(&live);
        live_ask(one_more, "watch\r\nversion\r\n",
                 "WATCHER_TOO_MANY log watcher limit reached\r\nVERSION 1.6.45\r\n");
        (void)close(one_more);
        for (unsigned i = 0; i < WATCHERS_MAX; i++) {
            leave(watchers[i], round + i);
        }
        live_await_at_most(&live, "", "log_watchers", 0);
    }
    atomic_store(&asker.stop, true);
    pthread_join(thread, NULL);
    live_await_at_most(&live, "", "curr_connections", 1);
    live_await_at_most(&live, "zbud", "connections_held_bytes", held);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

/* A watcher is a connection: -c counts it, "stats conns" shows it, and it is not idle. */
static void test_watchers_are_connections(void **state)
{
    struct live live;

    (void)state;
    live_start(&live, "-m 64 -t 1 -c 3 -o idle_timeout=1");
    const int watcher = open_watcher(&live, "connevents");
    const int idle = live_connect(&live);
    const int client = live_connect(&live);
    const int refused = live_connect(&live);
    live_expect(refused, "ERROR Too many open connections\r\n");
    live_expect_end(refused);
    char *conns = live_stats_over(client, "conns");
    assert_non_null(strstr(conns, ":state conn_watch\r\n"));
    free(conns);
    for (unsigned naps = 0; live_stat_over(client, "", "idle_kicks") == 0; naps++) {
        assert_true(naps < LIVE_WAIT_S * 20);
        live_nap_ms(50);
    }
    read_until(watcher, " transport=tcp reason=idle_timeout cfd=");
    assert_int_equal(live_stat_over(client, "", "idle_kicks"), 1);
    (void)close(idle);
    (void)close(refused);
    (void)close(client);
    (void)close(watcher);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

/* The server ends, with those that read and those that do not, while there is something to tell. */
static void test_stop_while_watched(void **state)
{
    const int numbers[] = {SIGTERM, SIGUSR1};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct live live;
        live_start(&live, "-m 64 -t 3 -o watcher_logbuf_size=1,worker_logbuf_size=1");
        const int slow = open_watcher(&live, "");
        const int other = open_watcher(&live, "mutations connevents deletions");
        const int client = live_connect(&live);
        for (unsigned batch = 0; batch < 20; batch++) {
            ask_batch(client);
        }
        assert_int_equal(live_stop(&live, numbers[i]), 0);
        (void)close(slow);
        (void)close(other);
        (void)close(client);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evictions),
        cmocka_unit_test(test_deletions),
        cmocka_unit_test(test_slow_watchers),
        cmocka_unit_test(test_watchers_come_and_go),
        cmocka_unit_test(test_watchers_are_connections),
        cmocka_unit_test(test_stop_while_watched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
