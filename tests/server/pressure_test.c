/*
 * pressure_test.c - clients that are slow, many, greedy or gone: what they hold stays within the
 * limits, the others are served meanwhile, and nothing that was promised is lost.
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

#include <assert.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MIB         ((size_t)1 << 20)
#define MEMORY_MB   64
#define VALUE_BYTES 500000
#define CONNS_MAX   1000

/* -m is a promise about the whole process; a sanitizer's own memory is not part of it. */
static void check_rss(const struct live *live)
{
    const size_t rss_bytes = live_rss_bytes(live);
    const size_t bound_bytes = MEMORY_MB * MIB + MEMORY_MB * MIB / 50;

    if (!INSTRUMENTED && rss_bytes > bound_bytes) {
        fail_msg("RSS %zu is above -m and 2 %% (%zu)", rss_bytes, bound_bytes);
    }
}

static void check_held(const struct live *live)
{
    char *text = live_stats(live, "zbud");
    uint64_t held = 0, limit = 0;
    const char *at = strstr(text, "STAT connections_held_bytes ");

    assert_non_null(at);
    assert_int_equal(sscanf(at, "STAT connections_held_bytes %lu", &held), 1);
    at = strstr(text, "STAT connections_limit_bytes ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "STAT connections_limit_bytes %lu", &limit), 1);
    free(text);
    assert_int_equal(limit, MEMORY_MB * MIB / 2);
    assert_true(held <= limit);
    check_rss(live);
}

/* A full cache: what connections need must come out of it. */
static void fill_cache(const struct live *live)
{
    char *text = malloc(200000);
    const int fd = live_connect(live);

    assert(text != NULL);
    for (unsigned i = 0; i < 900; i++) {
        const size_t line = (size_t)sprintf(text, "set fill%u 0 0 100000\r\n", i);
        live_fill(text + line, 100000, i);
        memcpy(text + line + 100000, "\r\n", 2);
        live_send_bytes(fd, text, line + 100002);
        live_expect(fd, "STORED\r\n");
    }
    (void)close(fd);
    free(text);
    assert_true(live_stat(live, "", "evictions") > 0);
}

/* ---- slow readers ---- */

struct block {
    char *value;
    char *reply; /* to "get slow" */
    size_t reply_bytes;
};

static struct block store_block(const struct live *live)
{
    struct block block = {.value = malloc(VALUE_BYTES), .reply = malloc(VALUE_BYTES + 100)};
    char line[64];
    const int fd = live_connect(live);

    assert(block.value != NULL && block.reply != NULL);
    live_fill(block.value, VALUE_BYTES, 99);
    (void)snprintf(line, sizeof(line), "set slow 4 0 %d\r\n", VALUE_BYTES);
    live_send(fd, line);
    live_send_bytes(fd, block.value, VALUE_BYTES);
    live_ask(fd, "\r\n", "STORED\r\n");
    (void)close(fd);
    block.reply_bytes = (size_t)sprintf(block.reply, "VALUE slow 4 %d\r\n", VALUE_BYTES);
    memcpy(block.reply + block.reply_bytes, block.value, VALUE_BYTES);
    block.reply_bytes += VALUE_BYTES;
    block.reply_bytes += (size_t)sprintf(block.reply + block.reply_bytes, "\r\nEND\r\n");
    return block;
}

static void free_block(struct block *block)
{
    free(block->value);
    free(block->reply);
}

static void ask_without_reading(int fd, unsigned gets)
{
    for (unsigned i = 0; i < gets; i++) {
        live_send(fd, "get slow\r\n");
    }
}

/* The cache is full, and so many clients ask for the block. */
static struct block begin_without_reading(const struct live *live, int *fds, unsigned clients,
                                          unsigned gets)
{
    fill_cache(live);
    const struct block block = store_block(live);

    for (unsigned i = 0; i < clients; i++) {
        fds[i] = live_connect(live);
        ask_without_reading(fds[i], gets);
    }
    return block;
}

static void watch_held(const struct live *live)
{
    for (unsigned i = 0; i < 20; i++) {
        check_held(live);
        live_nap_ms(20);
    }
}

/* 40 clients that ask for 10 MB each and do not read: 400 MB asked for in 64. */
static void test_slow_readers(void **state)
{
    const unsigned clients = INSTRUMENTED ? 12 : 40, gets = 20;
    struct live live;
    int fds[40];

    (void)state;
    live_start(&live, "-m 64 -t 2");
    struct block block = begin_without_reading(&live, fds, clients, gets);
    live_await_stat(&live, "zbud", "connections_held_bytes", clients * VALUE_BYTES / 10);
    watch_held(&live);
    const int other = live_connect(&live);
    live_ask(other, "set o 0 0 1\r\nx\r\nget o\r\n", "STORED\r\nVALUE o 0 1\r\nx\r\nEND\r\n");
    for (unsigned i = 0; i < clients; i++) {
        for (unsigned get = 0; get < gets; get++) {
            live_expect_bytes(fds[i], block.reply, block.reply_bytes);
        }
        live_ask(fds[i], "get none\r\n", "END\r\n");
        (void)close(fds[i]);
    }
    live_ask(other, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    check_held(&live);
    (void)close(other);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free_block(&block);
}

/* Reads the answer to one get: the whole block, or that there was no memory for it. 0, 1; -1 where
 * the connection was given up. */
static int read_block_or_refusal(int fd, const struct block *block)
{
    const char *const refusal = "SERVER_ERROR out of memory writing get response\r\n";
    char *got = malloc(block->reply_bytes);
    size_t at = 0;
    int result = -1;

    assert(got != NULL);
    while (result < 0) {
        const size_t wanted = at > 0 && got[0] == 'S' ? strlen(refusal) : block->reply_bytes;
        const ssize_t came = at == 0 ? live_read(fd, got, 1) : live_read(fd, got + at, wanted - at);
        if (came <= 0) {
            break;
        }
        at += (size_t)came;
        if (at == wanted && wanted == block->reply_bytes) {
            assert_memory_equal(got, block->reply, at);
            result = 1;
        } else if (at == strlen(refusal) && got[0] == 'S') {
            assert_memory_equal(got, refusal, at);
            result = 0;
        }
    }
    free(got);
    return result;
}

/* More of them than the share of connections allows: some are refused, nobody is harmed. */
static void test_too_many_slow_readers(void **state)
{
    const unsigned clients = 150, gets = 20;
    /* A gigabyte is asked for; a sanitizer has seen all there is to see in a part of it. */
    const unsigned step = INSTRUMENTED ? 15 : 1;
    struct live live;
    int fds[150];
    unsigned whole = 0, refused = 0, given_up = 0;

    (void)state;
    live_start(&live, "-m 64 -t 2");
    struct block block = begin_without_reading(&live, fds, clients, gets);
    live_await_stat(&live, "", "response_obj_oom", 1);
    watch_held(&live);
    for (unsigned i = 0; i < clients; i++) {
        for (unsigned get = 0; i % step == 0 && get < gets; get++) {
            const int result = read_block_or_refusal(fds[i], &block);
            whole += result == 1;
            refused += result == 0;
            if (result < 0) {
                given_up++;
                break;
            }
        }
        (void)close(fds[i]);
    }
    assert_true(refused > 0);
    assert_true(whole > clients / step);
    print_message("%u whole, %u refused, %u given up\n", whole, refused, given_up);
    check_held(&live);
    const int fd = live_connect(&live);
    live_send(fd, "get slow\r\n");
    live_expect_bytes(fd, block.reply, block.reply_bytes);
    (void)close(fd);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free_block(&block);
}

/* ---- slow senders ---- */

/* 25 clients that announce 1 MB each and send it a little at a time, in turn. */
static void test_slow_senders(void **state)
{
    const unsigned clients = 25;
    const size_t bytes = 1000000, step = 47003;
    struct live live;
    int fds[25];
    char line[64];
    char *values = malloc(clients * (bytes + 2));
    char *reply = malloc(bytes + 100);

    (void)state;
    assert(values != NULL && reply != NULL);
    live_start(&live, "-m 64 -t 2");
    fill_cache(&live);
    for (unsigned i = 0; i < clients; i++) {
        char *value = values + i * (bytes + 2);
        live_fill(value, bytes, i);
        memcpy(value + bytes, "\r\n", 2);
        fds[i] = live_connect(&live);
        (void)snprintf(line, sizeof(line), "set s%u 0 0 %zu\r\n", i, bytes);
        live_send(fds[i], line);
    }
    for (size_t at = 0; at < bytes + 2; at += step) {
        for (unsigned i = 0; i < clients; i++) {
            const size_t count = bytes + 2 - at < step ? bytes + 2 - at : step;
            live_send_bytes(fds[i], values + i * (bytes + 2) + at, count);
        }
        if (at == 0) {
            /* What was announced is not taken; what has come is, and at most twice of it. */
            live_nap_ms(200);
            const uint64_t held = live_stat(&live, "zbud", "connections_held_bytes");
            assert_true(held >= clients * step);
            assert_true(held <= clients * (2 * step + 4096));
        }
        check_held(&live);
    }
    for (unsigned i = 0; i < clients; i++) {
        live_expect(fds[i], "STORED\r\n");
    }
    for (unsigned i = 0; i < clients; i++) {
        (void)snprintf(line, sizeof(line), "get s%u\r\n", i);
        live_send(fds[i], line);
        size_t count = (size_t)sprintf(reply, "VALUE s%u 0 %zu\r\n", i, bytes);
        memcpy(reply + count, values + i * (bytes + 2), bytes + 2);
        count += bytes + 2;
        count += (size_t)sprintf(reply + count, "END\r\n");
        live_expect_bytes(fds[i], reply, count);
        (void)close(fds[i]);
    }
    check_held(&live);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free(values);
    free(reply);
}

/* Announced together far more than there is: those beyond the share are told so when they have sent
 * theirs, keep their connection, and what they wanted to replace is gone. */
static void test_too_many_slow_senders(void **state)
{
    const unsigned clients = 60;
    const size_t bytes = 1000000;
    const char *const refusal = "SERVER_ERROR out of memory storing object\r\n";
    struct live live;
    int fds[60];
    unsigned stored = 0, refused = 0;
    char line[64], reply[64];
    char *value = malloc(bytes);

    (void)state;
    assert(value != NULL);
    live_fill(value, bytes, 5);
    live_start(&live, "-m 64 -t 2");
    for (unsigned i = 0; i < clients; i++) {
        fds[i] = live_connect(&live);
        (void)snprintf(line, sizeof(line), "set s%u 0 0 3\r\nold\r\n", i);
        live_ask(fds[i], line, "STORED\r\n");
        (void)snprintf(line, sizeof(line), "set s%u 0 0 %zu\r\n", i, bytes);
        live_send(fds[i], line);
        live_send_bytes(fds[i], value, bytes);
    }
    live_await_stat(&live, "", "read_buf_oom", 1);
    check_held(&live);
    for (unsigned i = 0; i < clients; i++) {
        live_send(fds[i], "\r\n");
        const ssize_t count = live_read(fds[i], reply, sizeof(reply) - 1);
        assert_true(count > 0);
        reply[count] = '\0';
        (void)snprintf(line, sizeof(line), "get s%u\r\n", i);
        if (strcmp(reply, "STORED\r\n") == 0) {
            stored++;
        } else {
            assert_string_equal(reply, refusal);
            live_ask(fds[i], line, "END\r\n");
            refused++;
        }
    }
    assert_true(stored >= 10);
    assert_true(refused >= 1);
    assert_int_equal(live_stat(&live, "", "store_no_memory"), refused);
    for (unsigned i = 0; i < clients; i++) {
        live_ask(fds[i], "version\r\n", "VERSION 1.6.45\r\n");
        (void)close(fds[i]);
    }
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free(value);
}

/* ---- many, idle, gone ---- */

static void test_a_thousand_idle(void **state)
{
    struct live live;
    static const char *const ask = "get a\r\n";
    int *fds = malloc(CONNS_MAX * sizeof(*fds));

    (void)state;
    assert(fds != NULL);
    assert_true(live_files(CONNS_MAX + 100) == CONNS_MAX + 100);
    live_start(&live, "-m 64 -t 4 -c 1100");
    for (unsigned i = 0; i < CONNS_MAX; i++) {
        fds[i] = live_connect(&live);
        live_ask(fds[i], ask, "END\r\n");
        /* Half of them stop in the middle of a request once: what it took is given back. */
        live_send(fds[i], i % 2 == 0 ? "ge" : "version\r\n");
    }
    for (unsigned i = 0; i < CONNS_MAX; i++) {
        if (i % 2 == 0) {
            live_ask(fds[i], "t a\r\n", "END\r\n");
        } else {
            live_expect(fds[i], "VERSION 1.6.45\r\n");
        }
    }
    assert_int_equal(live_stat(&live, "", "curr_connections"), CONNS_MAX + 1);
    assert_true(live_stat(&live, "zbud", "connections_held_bytes") <= (CONNS_MAX + 1) * 1024);
    check_rss(&live);
    for (unsigned i = 0; i < CONNS_MAX; i++) {
        live_ask(fds[i], ask, "END\r\n");
        (void)close(fds[i]);
    }
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free(fds);
}

static void test_idle_timeout(void **state)
{
    struct live live;

    (void)state;
    live_start(&live, "-o idle_timeout=1");
    const int idle = live_connect(&live);
    const int half = live_connect(&live);
    live_ask(idle, "version\r\n", "VERSION 1.6.45\r\n");
    live_send(half, "set a 0 0 10\r\nabc");
    live_expect_end(idle);
    live_expect_end(half);
    assert_int_equal(live_stat(&live, "", "idle_kicks"), 2);
    (void)close(idle);
    (void)close(half);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

/* Clients that go with an abort, in the middle of everything. */
static void test_resets(void **state)
{
    const struct linger abort = {.l_onoff = 1, .l_linger = 0};
    struct live live;

    (void)state;
    live_start(&live, "-m 64 -t 2");
    struct block block = store_block(&live);
    for (unsigned i = 0; i < 200; i++) {
        const int fd = live_connect(&live);
        ask_without_reading(fd, i % 4 * 5);
        live_send(fd, "set half 0 0 100000\r\nabc");
        assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)), 0);
        (void)close(fd);
    }
    const int fd = live_connect(&live);
    live_send(fd, "get slow\r\n");
    live_expect_bytes(fd, block.reply, block.reply_bytes);
    live_await_at_most(&live, "", "curr_connections", 2);
    (void)close(fd);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free_block(&block);
}

/* ---- large values, stored in parts ---- */

#define LARGE_BYTES   1000000
#define LARGE_WRITERS 3u

static void send_large(int fd, unsigned number, char *text)
{
    const size_t line = (size_t)sprintf(text, "set large%u 0 0 %d\r\n", number, LARGE_BYTES);

    live_fill(text + line, LARGE_BYTES, number);
    memcpy(text + line + LARGE_BYTES, "\r\n", 2);
    live_send_bytes(fd, text, line + LARGE_BYTES + 2);
}

static void expect_large(int fd, unsigned number, char *text)
{
    char line[64];

    (void)snprintf(line, sizeof(line), "get large%u\r\n", number);
    live_send(fd, line);
    const size_t head = (size_t)sprintf(text, "VALUE large%u 0 %d\r\n", number, LARGE_BYTES);
    live_fill(text + head, LARGE_BYTES, number);
    memcpy(text + head + LARGE_BYTES, "\r\nEND\r\n", 7);
    live_expect_bytes(fd, text, head + LARGE_BYTES + 7);
}

/* All pages are somebody's, once the background rests: none was lost with a store that did not
 * end. */
static void check_pages(int fd)
{
    static const char *const names[] = {"buddied", "unbuddied", "large", "index",
                                        "expiry",  "free",      "total"};
    uint64_t figures[7];

    for (unsigned tries = 0; tries < LIVE_WAIT_S * 20; tries++) {
        char *text = live_stats_over(fd, "zbud");
        for (unsigned i = 0; i < 7; i++) {
            char name[32];
            (void)snprintf(name, sizeof(name), "STAT pages_%s ", names[i]);
            const char *at = strstr(text, name);
            assert_non_null(at);
            figures[i] = strtoull(at + strlen(name), NULL, 10);
        }
        free(text);
        if (figures[6] ==
            figures[0] + figures[1] + figures[2] + figures[3] + figures[4] + figures[5]) {
            return;
        }
        live_nap_ms(50);
    }
    fail_msg("%lu pages are in hand, and too few of them named", (unsigned long)figures[6]);
}

/* Several large values come through one worker at once, which has room for few of them; another
 * client gets its answers meanwhile, and some go while theirs is being stored. */
static void test_large_stores(void **state)
{
    const struct linger abort = {.l_onoff = 1, .l_linger = 0};
    char *text = malloc(LARGE_BYTES + 100);
    struct live live;
    int fds[LARGE_WRITERS];

    (void)state;
    assert(text != NULL);
    live_start(&live, "-m 16 -t 1");
    const int small = live_connect(&live);
    for (unsigned round = 0; round < LARGE_WRITERS; round++) {
        for (unsigned i = 0; i < LARGE_WRITERS; i++) {
            fds[i] = live_connect(&live);
            send_large(fds[i], i, text);
        }
        live_ask(small, "set a 0 0 1\r\nx\r\nget a\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
        /* Whole as it is, or reset, in the middle of being stored or of waiting for another's. */
        const int gone = fds[round % LARGE_WRITERS];
        assert_int_equal(setsockopt(gone, SOL_SOCKET, SO_LINGER, &abort, sizeof(abort)), 0);
        (void)close(gone);
        for (unsigned i = 0; i < LARGE_WRITERS; i++) {
            if (fds[i] != gone) {
                live_expect(fds[i], "STORED\r\n");
                expect_large(fds[i], i, text);
                (void)close(fds[i]);
            }
        }
    }
    live_ask(small, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    check_pages(small);
    (void)close(small);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free(text);
}

/* Who does not read his answers holds up no store but his own. */
static void test_large_store_behind_unread_answers(void **state)
{
    char *text = malloc(LARGE_BYTES + 100);
    struct live live;

    (void)state;
    assert(text != NULL);
    live_start(&live, "-m 64 -t 1");
    struct block block = store_block(&live);
    const int unread = live_connect(&live), other = live_connect(&live);
    ask_without_reading(unread, 20);
    live_send(unread, "set large1 0 0 100000\r\n");
    live_fill(text, 100000, 1);
    live_send_bytes(unread, text, 100000);
    live_send(unread, "\r\n");
    send_large(other, 2, text);
    live_expect(other, "STORED\r\n");
    live_ask(other, "get large1\r\n", "END\r\n");
    for (unsigned i = 0; i < 20; i++) {
        live_expect_bytes(unread, block.reply, block.reply_bytes);
    }
    live_expect(unread, "STORED\r\n");
    (void)close(unread);
    (void)close(other);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free_block(&block);
    free(text);
}

/* No descriptors left: accepting pauses, whoever waits is served when there are some again. */
static void test_out_of_descriptors(void **state)
{
    struct live live;
    int fds[60];

    (void)state;
    live_start(&live, "-m 64 -t 2");
    const struct rlimit few = {.rlim_cur = 40, .rlim_max = 40};
    assert_int_equal(prlimit(live.pid, RLIMIT_NOFILE, &few, NULL), 0);
    for (unsigned i = 0; i < 60; i++) {
        fds[i] = live_connect(&live);
        live_send(fds[i], "version\r\n");
    }
    live_expect(fds[0], "VERSION 1.6.45\r\n");
    live_nap_ms(100);
    for (unsigned i = 1; i < 60; i++) {
        (void)close(fds[i - 1]);
        live_expect(fds[i], "VERSION 1.6.45\r\n");
    }
    (void)close(fds[59]);
    assert_true(live_stat(&live, "", "listen_disabled_num") >= 1);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

static uint32_t next_random(uint32_t *random)
{
    *random = *random * 1664525 + 1013904223;
    return *random >> 8;
}

/* A stream of pieces of commands, some of them damaged, sometimes with nothing but noise. */
static size_t make_garbage(char *out, size_t room, uint32_t *random)
{
    static const char *const pieces[] = {"get a b c\r\n",
                                         "gets a\r\n",
                                         "set a 0 0 5\r\nhello\r\n",
                                         "set a 0 0 5\r\nhelloo\r\n",
                                         "set b 1 100 70000\r\n",
                                         "add c 0 0 99999999\r\n",
                                         "append a 0 0 3 noreply\r\nxyz\r\n",
                                         "incr a 1\r\n",
                                         "cas a 0 0 1 1\r\nz\r\n",
                                         "delete a\r\n",
                                         "touch a -1\r\n",
                                         "gat 5 a b\r\n",
                                         "stats conns\r\n",
                                         "stats settings\r\n",
                                         "stats zbud\r\n",
                                         "verbosity 0\r\n",
                                         "\r\n",
                                         "\n",
                                         "flush_all 1\r\n",
                                         "set a 0 0 -1\r\n",
                                         "mg a v\r\n",
                                         "version\r\n",
                                         " get a\r\n",
                                         "\0\xff\x80",
                                         "cache_memlimit 64\r\n",
                                         "stats check\r\n",
                                         "prepend a 0 0 1\r\nq\r\n"};
    const size_t target = 1 + next_random(random) % (room - 200);
    size_t count = 0;

    while (count < target) {
        const uint32_t pick = next_random(random);
        const char *piece = pieces[pick % (sizeof(pieces) / sizeof(pieces[0]))];
        const size_t bytes = strlen(piece);
        memcpy(out + count, piece, bytes);
        if (pick % 17 == 0 && bytes > 0) {
            out[count + next_random(random) % bytes] = (char)next_random(random);
        }
        count += bytes;
        if (bytes == 0) {
            out[count++] = '\0';
        }
        if (pick % 29 == 0) {
            const size_t noise = next_random(random) % 90;
            live_fill(out + count, noise, pick);
            count += noise;
        }
    }
    return count;
}

/* Whatever is sent, cut anywhere, read or not: the server stays, and its cache in order. */
static void test_garbage(void **state)
{
    const uint32_t seed = 20261122;
    uint32_t random = seed;
    struct live live;
    char *out = malloc(200000), *in = malloc(200000);

    (void)state;
    assert(out != NULL && in != NULL);
    print_message("seed %u\n", seed);
    live_start(&live, "-m 64 -t 2 -R 3");
    for (unsigned i = 0; i < 400; i++) {
        const int fd = live_connect(&live);
        const size_t count = make_garbage(out, i % 10 == 0 ? 150000 : 3000, &random);
        size_t at = 0;
        while (at < count) {
            const size_t step = 1 + next_random(&random) % count;
            const size_t bytes = step < count - at ? step : count - at;
            if (send(fd, out + at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT) <= 0) {
                break; /* closed for a line without an end, or full: nobody reads */
            }
            at += bytes;
            if (next_random(&random) % 3 == 0) {
                (void)recv(fd, in, 200000, MSG_DONTWAIT);
            }
        }
        (void)close(fd);
    }
    const int fd = live_connect(&live);
    live_ask(fd, "flush_all\r\nset a 0 0 1\r\nx\r\nget a\r\n",
             "OK\r\nSTORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    (void)close(fd);
    check_held(&live);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free(out);
    free(in);
}

/* One client that never stops asking does not keep another from being answered, on the one
 * thread. */
static void test_turns_are_shared(void **state)
{
    const unsigned batch = 2000, keys = 40; /* many, so that a turn takes its time */
    const unsigned rounds = INSTRUMENTED ? 3 : 10;
    struct live live;
    char *out = malloc(batch * (keys + 1) * 5 + 1), *in = malloc(batch * 8);

    (void)state;
    assert(out != NULL && in != NULL);
    live_start(&live, "-m 64 -t 1 -R 5");
    const int greedy = live_connect(&live), greedy2 = live_connect(&live);
    const int modest = live_connect(&live);
    size_t count = 0;
    for (unsigned i = 0; i < batch; i++) {
        count += (size_t)sprintf(out + count, "get");
        for (unsigned key = 0; key < keys; key++) {
            count += (size_t)sprintf(out + count, " none");
        }
        count += (size_t)sprintf(out + count, "\r\n");
    }
    for (unsigned round = 0; round < rounds; round++) {
        /* Both wait when the server looks, however fast it is. */
        assert_int_equal(kill(live.pid, SIGSTOP), 0);
        assert_int_equal(send(greedy2, out, count / 4, MSG_NOSIGNAL), (ssize_t)count / 4);
        assert_int_equal(send(greedy, out, count / 4, MSG_NOSIGNAL), (ssize_t)count / 4);
        assert_int_equal(kill(live.pid, SIGCONT), 0);
        live_exchange(greedy, out + count / 4, count - count / 4, in, batch * 5);
        live_exchange(greedy2, NULL, 0, in, (size_t)batch / 4 * 5);
        live_ask(modest, "version\r\n", "VERSION 1.6.45\r\n");
    }
    assert_true(live_stat(&live, "", "conn_yields") > 0);
    (void)close(greedy);
    (void)close(greedy2);
    (void)close(modest);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    free(out);
    free(in);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_readers),
        cmocka_unit_test(test_too_many_slow_readers),
        cmocka_unit_test(test_slow_senders),
        cmocka_unit_test(test_too_many_slow_senders),
        cmocka_unit_test(test_a_thousand_idle),
        cmocka_unit_test(test_idle_timeout),
        cmocka_unit_test(test_resets),
        cmocka_unit_test(test_out_of_descriptors),
        cmocka_unit_test(test_garbage),
        cmocka_unit_test(test_turns_are_shared),
        cmocka_unit_test(test_large_stores),
        cmocka_unit_test(test_large_store_behind_unread_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
