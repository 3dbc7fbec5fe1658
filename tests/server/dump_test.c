/* Dumps over sockets: others are served meanwhile, a slow reader waits, one that goes is forgotten;
 * and what else of administration only a whole server shows. */
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

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A dump of so many is several times what sockets hold. */
#define ITEMS   (INSTRUMENTED ? 150000u : 300000u)
#define VERSION "VERSION 1.6.45\r\n" /* asked for behind each dump */
#define LAST    "END\r\n" VERSION

/* Keys of 50 bytes, so that a dump is far more than sockets hold. */
static void fill(const struct live *live, unsigned items)
{
    const int fd = live_connect(live);
    const size_t bytes_max = (size_t)1000 * 128;
    char *batch = malloc(bytes_max);

    assert_non_null(batch);
    for (unsigned i = 0; i < items;) {
        size_t used = 0;
        for (unsigned end = i + 1000; i < end && i < items; i++) {
            used += (size_t)snprintf(batch + used, bytes_max - used,
                                     "set a-key-of-some-length-that-fills-the-dump-%08u 0 0 1 "
                                     "noreply\r\n1\r\n",
                                     i);
        }
        live_send_bytes(fd, batch, used);
        live_ask(fd, "version\r\n", VERSION);
    }
    free(batch);
    (void)close(fd);
}

/* Reads a dump and the version behind it; how many lines there are between OK and END. */
static unsigned read_dump(int fd)
{
    const size_t last_bytes = sizeof(LAST) - 1;
    char bytes[16384 + sizeof(LAST)];
    size_t kept = 0;
    unsigned lines = 0;

    for (;;) {
        const ssize_t count = live_read(fd, bytes + kept, sizeof(bytes) - kept);
        assert_true(count > 0);
        for (size_t i = kept; i < kept + (size_t)count; i++) {
            lines += bytes[i] == '\n';
        }
        kept += (size_t)count;
        if (kept >= last_bytes && memcmp(bytes + kept - last_bytes, LAST, last_bytes) == 0) {
            return lines - 2;
        }
        if (kept > last_bytes) {
            memmove(bytes, bytes + kept - last_bytes, last_bytes);
            kept = last_bytes;
        }
    }
}

/* One worker: while the dump's reader sleeps, and while it reads, the others are answered. */
static void test_others_are_served(void **state)
{
    struct live live;

    (void)state;
    live_start(&live, "-m 256 -t 1");
    fill(&live, ITEMS);
    const int dump = live_connect(&live);
    const int other = live_connect(&live);
    live_send(dump, "lru_crawler metadump all\r\nversion\r\n");
    live_expect(dump, "OK\r\n");
    for (unsigned i = 0; i < 1000; i++) {
        live_ask(other, "set x 0 0 1\r\n1\r\nget x\r\n", "STORED\r\nVALUE x 0 1\r\n1\r\nEND\r\n");
    }
    live_ask(other, "lru_crawler metadump all\r\n",
             "BUSY currently processing crawler request\r\n");
    assert_int_equal(live_stat_over(other, "", "lru_crawler_running"), 1);
    /* What waits for the reader is one output buffer, one step of the walk, and sockets' own. */
    assert_true(live_stat_over(other, "zbud", "connections_held_bytes") < 256 << 10);
    live_ask(other, "delete x\r\n", "DELETED\r\n");
    assert_in_range(read_dump(dump), ITEMS, ITEMS + 1); /* x may have been met */
    assert_int_equal(live_stat_over(other, "", "lru_crawler_running"), 0);
    live_ask(other, "lru_crawler crawl all\r\n", "OK\r\n");
    (void)close(dump);
    (void)close(other);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

static void test_a_reader_that_goes(void **state)
{
    struct live live;

    (void)state;
    live_start(&live, "-m 256 -t 2");
    fill(&live, ITEMS);
    const int other = live_connect(&live);
    for (unsigned i = 0; i < 20; i++) {
        const int dump = live_connect(&live);
        live_send(dump, i % 2 ? "lru_crawler metadump all\r\n" : "lru_crawler mgdump all\r\n");
        live_expect(dump, "OK\r\n");
        (void)close(dump);
        while (live_stat_over(other, "", "lru_crawler_running") > 0) {
            live_nap_ms(5);
        }
    }
    /* One is under way when the server ends. */
    const int dump = live_connect(&live);
    live_send(dump, "lru_crawler metadump all\r\n");
    live_expect(dump, "OK\r\n");
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    (void)close(dump);
    (void)close(other);
}

static void test_a_bad_block_counts_as_a_store(void **state)
{
    struct live live;

    (void)state;
    live_start(&live, "-m 64");
    const int fd = live_connect(&live);
    live_ask(fd, "set a 0 0 2\r\nab__version\r\n", "CLIENT_ERROR bad data chunk\r\n" VERSION);
    live_ask(fd, "set a 0 0 2\r\nab\r\n", "STORED\r\n");
    assert_int_equal(live_stat_over(fd, "", "cmd_set"), 2);
    (void)close(fd);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

static void test_the_clock_moves_everything(void **state)
{
    struct live live;

    (void)state;
    live_start(&live, "-m 64 -o debugtime");
    const int fd = live_connect(&live);
    const uint64_t time_s = live_stat_over(fd, "", "time");
    live_ask(fd, "set a 0 1000 1\r\n1\r\n", "STORED\r\n");
    live_ask(fd, "set b 0 5000 1\r\n1\r\n", "STORED\r\n");
    live_ask(fd, "debugtime 900\r\n", "OK\r\n");
    live_ask(fd, "get a\r\n", "VALUE a 0 1\r\n1\r\nEND\r\n");
    live_ask(fd, "debugtime 101\r\n", "OK\r\n");
    live_ask(fd, "get a\r\n", "END\r\n");
    live_ask(fd, "get b\r\n", "VALUE b 0 1\r\n1\r\nEND\r\n");
    assert_in_range(live_stat_over(fd, "", "time"), time_s + 1001, time_s + 1031);
    assert_in_range(live_stat_over(fd, "", "uptime"), 1001, 1031);
    live_ask(fd, "debugtime -5000\r\n", "OK\r\n"); /* back, also before the start */
    live_ask(fd, "set c 0 10 1\r\n1\r\n", "STORED\r\n");
    live_nap_ms(1200); /* the background meets it too */
    live_ask(fd, "get c\r\n", "VALUE c 0 1\r\n1\r\nEND\r\n");
    live_ask(fd, "debugtime 11000\r\n", "OK\r\n");
    live_ask(fd, "get a b c\r\n", "END\r\n");
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    (void)close(fd);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_others_are_served),
        cmocka_unit_test(test_a_reader_that_goes),
        cmocka_unit_test(test_a_bad_block_counts_as_a_store),
        cmocka_unit_test(test_the_clock_moves_everything),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
