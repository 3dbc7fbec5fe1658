/*
 * udp_test.c - the server over UDP: what is answered, how long an answer may be, and what is not
 * answered at all.
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
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADER     8u
#define DATA       1392u
#define ROOM       65536u
#define FACTOR     3u
#define TOO_LARGE  "SERVER_ERROR reply too large\r\n"
#define NOISE_RUNS 20000u

struct fixture {
    struct live live;
    int fd; /* connected to the server's UDP port */
    uint16_t id;
};

static uint16_t udp_port(const struct live *live)
{
    char line[128];
    unsigned port = 0;
    FILE *file = fopen(live->ports_path, "re");

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "UDP INET: %u", &port);
    }
    (void)fclose(file);
    assert_int_not_equal(port, 0);
    return (uint16_t)port;
}

static int connect_udp(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct timeval limit = {.tv_sec = LIVE_WAIT_S};
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&address, sizeof(address)), 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
    return fd;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert(fixture != NULL);
    live_start(&fixture->live, "-m 64 -t 2 -U -1");
    fixture->fd = connect_udp(udp_port(&fixture->live));
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    (void)close(fixture->fd);
    assert_int_equal(live_stop(&fixture->live, SIGTERM), 0);
    free(fixture);
    return 0;
}

static void send_frame(struct fixture *fixture, const void *data, size_t count)
{
    uint8_t *bytes = malloc(HEADER + count);

    assert(bytes != NULL);
    memset(bytes, 0, HEADER);
    bytes[0] = (uint8_t)(++fixture->id >> 8);
    bytes[1] = (uint8_t)fixture->id;
    bytes[5] = 1;
    memcpy(bytes + HEADER, data, count);
    assert_int_equal(send(fixture->fd, bytes, HEADER + count, 0), HEADER + count);
    free(bytes);
}

/* Puts the datagrams of a reply together; each is checked. Returns its bytes. */
static size_t read_reply(const struct fixture *fixture, char *reply, size_t request_bytes)
{
    size_t sequence = 0, datagrams = 1, used = 0, whole = 0;

    while (sequence < datagrams) {
        uint8_t bytes[HEADER + DATA + 1];
        const ssize_t count = recv(fixture->fd, bytes, sizeof(bytes), 0);

        assert_true(count > (ssize_t)HEADER && count <= (ssize_t)(HEADER + DATA));
        assert_int_equal(bytes[0] << 8 | bytes[1], fixture->id);
        assert_int_equal(bytes[2] << 8 | bytes[3], sequence);
        datagrams = (size_t)(bytes[4] << 8 | bytes[5]);
        assert_int_equal(bytes[6] | bytes[7], 0);
        memcpy(reply + used, bytes + HEADER, (size_t)count - HEADER);
        used += (size_t)count - HEADER;
        whole += (size_t)count;
        sequence++;
    }
    assert_true(whole <= FACTOR * (HEADER + request_bytes));
    return used;
}

static void ask_bytes(struct fixture *fixture, const char *request, size_t count,
                      const char *answer, size_t answer_count)
{
    char reply[ROOM];

    send_frame(fixture, request, count);
    const size_t used = read_reply(fixture, reply, count);
    if (used != answer_count || memcmp(reply, answer, used) != 0) {
        fail_msg("expected %.100s\ngot %.*s", answer, (int)(used < 200 ? used : 200), reply);
    }
}

static void ask(struct fixture *fixture, const char *request, const char *answer)
{
    ask_bytes(fixture, request, strlen(request), answer, strlen(answer));
}

/* What is sent next is the next that is answered. */
static void expect_silence(struct fixture *fixture)
{
    ask(fixture, "version\r\n", "VERSION 1.6.45\r\n");
}

static void test_commands(void **state)
{
    struct fixture *fixture = *state;
    const int tcp = live_connect(&fixture->live);

    ask(fixture, "set a 5 0 3\r\nabc\r\n", "STORED\r\n");
    ask(fixture, "get a\r\n", "VALUE a 5 3\r\nabc\r\nEND\r\n");
    live_ask(tcp, "get a\r\n", "VALUE a 5 3\r\nabc\r\nEND\r\n");
    ask(fixture, "get b\r\n", "END\r\n");
    /* Several in one datagram; one that is not whole is none. */
    ask(fixture, "set n 0 0 1\r\n1\r\nincr n 4\r\nbogus\r\nget n\r\nget a\r\nget",
        "STORED\r\n5\r\nERROR\r\nVALUE n 0 1\r\n5\r\nEND\r\nVALUE a 5 3\r\nabc\r\nEND\r\n");
    ask(fixture, "watch\r\n", "ERROR\r\n");
    ask(fixture, "version\r\nquit\r\nversion\r\n", "VERSION 1.6.45\r\n");
    ask(fixture, "version\r\nset big 0 0 3000000\r\n",
        "VERSION 1.6.45\r\n"
        "SERVER_ERROR object too large for cache\r\n");
    char *conns = live_stats_over(tcp, "conns"), line[64];
    (void)snprintf(line, sizeof(line), ":addr udp:127.0.0.1:%u\r\n", udp_port(&fixture->live));
    assert_non_null(strstr(conns, line));
    free(conns);
    send_frame(fixture, "set q 0 0 1 noreply\r\nx\r\n", 24);
    send_frame(fixture, "quit\r\n", 6);
    send_frame(fixture, "set a 0 0 9\r\nabc", 16);
    expect_silence(fixture);
    live_ask(tcp, "get q a\r\n", "VALUE q 0 1\r\nx\r\nVALUE a 5 3\r\nabc\r\nEND\r\n");
    (void)close(tcp);
}

/* A longer reply needs a longer request, which blanks can make. */
static void test_long_replies(void **state)
{
    struct fixture *fixture = *state;
    const size_t sizes[] = {1, 20, 1000, 1392, 4000, 20000, 60000};
    char *request = malloc(ROOM), *expected = malloc(ROOM), *value = malloc(ROOM);
    const int tcp = live_connect(&fixture->live);

    assert(request != NULL && expected != NULL && value != NULL);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        const size_t bytes = sizes[i];
        int length = sprintf(request, "set v 0 0 %zu\r\n", bytes);
        live_fill(value, bytes, (uint32_t)i);
        live_send_bytes(tcp, request, (size_t)length);
        live_send_bytes(tcp, value, bytes);
        live_ask(tcp, "\r\n", "STORED\r\n");
        length = sprintf(expected, "VALUE v 0 %zu\r\n", bytes);
        memcpy(expected + length, value, bytes);
        memcpy(expected + (size_t)length + bytes, "\r\nEND\r\n", 7);
        const size_t reply_bytes = (size_t)length + bytes + 7;
        const size_t datagrams = (reply_bytes + DATA - 1) / DATA;
        /* Just long enough, and a byte less. */
        const size_t needed = (reply_bytes + HEADER * datagrams + FACTOR - 1) / FACTOR - HEADER;
        const size_t count = needed > 7 ? needed : 7;
        memset(request, ' ', count);
        memcpy(request, "get v", 5);
        memcpy(request + count - 2, "\r\n", 2);
        ask_bytes(fixture, request, count, expected, reply_bytes);
        if (count > 7) {
            memcpy(request + count - 3, "\r\n", 2);
            ask_bytes(fixture, request, count - 1, TOO_LARGE, strlen(TOO_LARGE));
        }
    }
    ask(fixture, "get v\r\n", TOO_LARGE);
    ask(fixture, "stats\r\n", TOO_LARGE);
    (void)close(tcp);
    free(request);
    free(expected);
    free(value);
}

/* Nothing that begins as a reply does is answered, nor what is not framed as a request: two servers
 * cannot be made to talk to each other. */
static void test_silence(void **state)
{
    static const char *const TEXTS[] = {
        "ERROR\r\n",
        "END\r\n",
        "VALUE a 5 3\r\nabc\r\nEND\r\n",
        "STORED\r\n",
        "5\r\n",
        "OK\r\n",
        "CLIENT_ERROR x\r\n",
        TOO_LARGE,
        "HD\r\n",
        "EN\r\n",
        "VA 1\r\nx\r\n",
        "MN\r\n",
        "\r\n",
        "\n",
        "x",
        "get\r\n",
        "set a\r\n",
        "GET / HTTP/1.0\r\n",
    };
    static const uint8_t FRAMES[][12] = {
        {0, 1, 0, 0, 0, 2, 0, 0, 'm', 'n', '\r', '\n'},
        {0, 1, 0, 0, 0, 0, 0, 0, 'm', 'n', '\r', '\n'},
        {0, 1, 0, 0, 1, 1, 0, 0, 'm', 'n', '\r', '\n'},
    };
    struct fixture *fixture = *state;

    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        send_frame(fixture, TEXTS[i], strlen(TEXTS[i]));
        expect_silence(fixture);
    }
    for (size_t i = 0; i < sizeof(FRAMES) / sizeof(FRAMES[0]); i++) {
        assert_int_equal(send(fixture->fd, FRAMES[i], sizeof(FRAMES[i]), 0), sizeof(FRAMES[i]));
        expect_silence(fixture);
    }
    for (size_t count = 0; count <= HEADER; count++) {
        assert_int_equal(send(fixture->fd, FRAMES[0], count, 0), count);
    }
    expect_silence(fixture);
}

static void test_noise(void **state)
{
    struct fixture *fixture = *state;
    uint8_t bytes[1500];

    for (uint32_t seed = 0; seed < NOISE_RUNS; seed++) {
        const size_t count = seed * 7919 % sizeof(bytes);
        live_fill((char *)bytes, count, seed);
        if (seed % 2 == 0 && count > HEADER + 6) {
            bytes[4] = 0;
            bytes[5] = 1;
            memcpy(bytes + HEADER, seed % 4 == 0 ? "get a " : "set a ", 6);
        }
        (void)send(fixture->fd, bytes, count, 0);
    }
    const int tcp = live_connect(&fixture->live);
    live_ask(tcp, "version\r\n", "VERSION 1.6.45\r\n");
    (void)close(tcp);
}

/* Off unless it is asked for, and not where it would go round a password or TLS. */
static void test_options(void **state)
{
    struct live live;
    char line[64];

    (void)state;
    live_start(&live, "-m 64");
    FILE *file = fopen(live.ports_path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        assert_null(strstr(line, "UDP"));
    }
    (void)fclose(file);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    assert_int_equal(live_run("-p -1 -U -1 -Y /etc/hostname"), 64);
    assert_int_equal(live_run("-p -1 -U -1 -Z -o ssl_chain_cert=/x"), 64);
    live_start(&live, "-m 64 -l 127.0.0.1,::1 -U -1 -p 0");
    const int fd = connect_udp(udp_port(&live));
    struct fixture fixture = {.fd = fd};
    ask(&fixture, "version\r\n", "VERSION 1.6.45\r\n");
    (void)close(fd);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_commands, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_replies, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_silence, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_noise, set_up, tear_down),
        cmocka_unit_test(test_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
