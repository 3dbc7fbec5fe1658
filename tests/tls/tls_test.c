/*
 * tls_test.c - the server over TLS: both versions, certificates of both sides, reading them again,
 * and clients that do not play along. The protocol itself over TLS is tests/wire's.
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
#include "tests/tls/certs.h"
#include "tests/tls/dial.h"

#include <assert.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define VERSION       "version\r\n", "VERSION 1.6.45\r\n"
#define VALUE_BYTES   1000000u
#define IDLE          250u
#define HALF_OPEN     300u
#define STORMERS      8u
#define HANDSHAKES    (INSTRUMENTED ? 10u : 50u) /* of each */
#define LINES_MAX     12u
#define MEMORY_BYTES  ((size_t)64 << 20)
#define OPTIONS_BYTES 512u

static char certs[CERTS_PATH_BYTES];

static int make_certs(void **state)
{
    (void)state;
    certs_make(certs);
    return 0;
}

static int remove_certs(void **state)
{
    (void)state;
    certs_remove(certs);
    return 0;
}

/* A server with TLS, the certificate of that name, and more options below -o. */
static void start(struct live *live, const char *name, const char *more)
{
    char options[2 * OPTIONS_BYTES];

    (void)snprintf(options, sizeof(options),
                   "-m 64 -t 2 -Z -o ssl_chain_cert=%s/%s.pem,ssl_key=%s/%s.key%s", certs, name,
                   certs, name, more);
    live_start(live, options);
}

static void stop(struct live *live)
{
    assert_int_equal(live_stop(live, SIGTERM), 0);
}

static struct dial *dial(const struct live *live, const struct dial_how *how)
{
    return dial_new(live_connect(live), how);
}

static const struct dial_how *any(void)
{
    static struct dial_how how;

    how = (struct dial_how){.folder = certs};
    return &how;
}

/* Of a number in "stats", asked over TLS. */
static unsigned long stat_of(const struct live *live, const char *name)
{
    struct dial *asking = dial(live, any());
    char text[16384], line[64];
    size_t at = 0;

    assert_non_null(asking);
    assert_true(dial_send(asking, "stats\r\n", 7));
    do {
        const ssize_t came = dial_read(asking, text + at, sizeof(text) - at - 1);
        assert_true(came > 0);
        at += (size_t)came;
        text[at] = '\0';
    } while (at < 5 || memcmp(text + at - 5, "END\r\n", 5) != 0);
    (void)snprintf(line, sizeof(line), "STAT %s ", name);
    const char *found = strstr(text, line);
    const unsigned long value = found != NULL ? strtoul(found + strlen(line), NULL, 10) : 0;
    dial_free(asking);
    assert_non_null(found);
    return value;
}

/* ---- talking ---- */

static void check_values(struct dial *asking)
{
    char *out = malloc(2 * VALUE_BYTES), *in = malloc(VALUE_BYTES);
    char head[64];

    assert(out != NULL && in != NULL);
    for (unsigned bytes = 1; bytes <= VALUE_BYTES; bytes *= 10) {
        const int length = sprintf(out, "set v 0 0 %u\r\n", bytes);
        live_fill(out + length, bytes, bytes);
        memcpy(out + length + bytes, "\r\nget v\r\n", 9);
        assert_true(dial_send(asking, out, (size_t)length + bytes + 9));
        (void)snprintf(head, sizeof(head), "STORED\r\nVALUE v 0 %u\r\n", bytes);
        assert_true(dial_expect(asking, head));
        for (size_t at = 0; at < bytes;) {
            const ssize_t came = dial_read(asking, in + at, bytes - at);
            assert_true(came > 0);
            at += (size_t)came;
        }
        assert_memory_equal(in, out + length, bytes);
        assert_true(dial_expect(asking, "\r\nEND\r\n"));
    }
    free(out);
    free(in);
}

/* Each byte a record of its own, and many requests in one. */
static void check_records(struct dial *asking)
{
    static const char TALK[] = "set a 5 0 3\r\nabc\r\nget a\r\n";
    static const char ANSWER[] = "STORED\r\nVALUE a 5 3\r\nabc\r\nEND\r\n";
    char *out = malloc(1000 * sizeof(TALK));
    size_t used = 0;

    assert(out != NULL);
    for (size_t i = 0; i < strlen(TALK); i++) {
        assert_true(dial_send(asking, TALK + i, 1));
    }
    assert_true(dial_expect(asking, ANSWER));
    for (unsigned i = 0; i < 1000; i++) {
        memcpy(out + used, TALK, strlen(TALK));
        used += strlen(TALK);
    }
    assert_true(dial_send(asking, out, used));
    for (unsigned i = 0; i < 1000; i++) {
        assert_true(dial_expect(asking, ANSWER));
    }
    free(out);
}

static void test_both_versions(void **state)
{
    struct live live;

    (void)state;
    start(&live, "server", "");
    for (int version = 2; version <= 3; version++) {
        const struct dial_how how = {.folder = certs, .version = version};
        struct dial *asking = dial(&live, &how);
        assert_non_null(asking);
        check_values(asking);
        check_records(asking);
        /* Answers still come after the client has said that it sends no more. */
        assert_true(dial_send(asking, "version\r\n", 9));
        dial_shut(asking);
        assert_true(dial_expect(asking, "VERSION 1.6.45\r\n"));
        char byte;
        assert_true(dial_read(asking, &byte, 1) <= 0);
        dial_free(asking);
    }
    assert_int_equal(stat_of(&live, "ssl_handshake_errors"), 0);
    assert_int_equal(stat_of(&live, "ssl_proto_errors"), 0);
    stop(&live);
}

static void test_version_limit(void **state)
{
    const struct dial_how two = {.folder = certs, .version = 2};
    const struct dial_how three = {.folder = certs, .version = 3};
    struct live live;

    (void)state;
    start(&live, "server", ",ssl_min_version=3");
    assert_null(dial(&live, &two));
    struct dial *asking = dial(&live, &three);
    assert_non_null(asking);
    assert_true(dial_ask(asking, VERSION));
    dial_free(asking);
    assert_int_equal(stat_of(&live, "ssl_handshake_errors"), 1);
    stop(&live);
}

static void test_renegotiation_is_off(void **state)
{
    const struct dial_how two = {.folder = certs, .version = 2};
    struct live live;

    (void)state;
    start(&live, "server", "");
    struct dial *asking = dial(&live, &two);
    assert_non_null(asking);
    assert_false(dial_renegotiate(asking));
    dial_free(asking);
    stop(&live);
}

static void test_tickets(void **state)
{
    struct live live;

    (void)state;
    for (int version = 2; version <= 3; version++) {
        for (unsigned kept = 0; kept < 2; kept++) {
            struct dial_how how = {.folder = certs, .version = version, .client = "client"};
            char more[OPTIONS_BYTES];
            (void)snprintf(more, sizeof(more), ",ssl_verify_mode=2,ssl_ca_cert=%s/authority.pem%s",
                           certs, kept > 0 ? ",ssl_session_cache" : "");
            start(&live, "server", more);
            struct dial *first = dial(&live, &how);
            assert_non_null(first);
            assert_true(dial_ask(first, VERSION)); /* a ticket of TLS 1.3 comes with it */
            how.session = dial_session(first);
            dial_free(first);
            assert_int_equal(how.session != NULL, kept);
            struct dial *second = dial(&live, &how);
            assert_non_null(second);
            assert_true(dial_ask(second, VERSION));
            assert_int_equal(dial_was_resumed(second), kept);
            dial_free(second);
            dial_session_free(how.session);
            stop(&live);
        }
    }
}

/* ---- certificates ---- */

/* Whether who shows this certificate is served. */
static bool is_served(const struct live *live, const char *client, int version)
{
    const struct dial_how how = {.folder = certs, .client = client, .version = version};
    struct dial *asking = dial(live, &how);
    char byte;
    const bool served =
        asking != NULL && dial_send(asking, "version\r\n", 9) && dial_read(asking, &byte, 1) == 1;

    dial_free(asking);
    return served;
}

static void test_client_certificates(void **state)
{
    /* No certificate, one of ours, one of a stranger's. */
    static const bool SERVED[4][3] = {
        {true, true, true}, {true, true, false}, {false, true, false}, {false, true, false}};
    struct live live;
    char more[OPTIONS_BYTES];

    (void)state;
    for (unsigned mode = 0; mode < 4; mode++) {
        (void)snprintf(more, sizeof(more), ",ssl_verify_mode=%u,ssl_ca_cert=%s/authority.pem", mode,
                       certs);
        start(&live, "server", more);
        for (int version = 2; version <= 3; version++) {
            assert_int_equal(is_served(&live, NULL, version), SERVED[mode][0]);
            assert_int_equal(is_served(&live, "client", version), SERVED[mode][1]);
            assert_int_equal(is_served(&live, "stranger", version), SERVED[mode][2]);
        }
        stop(&live);
    }
}

/* The ports of a server that listens in four ways. */
static void read_ports(const struct live *live, uint16_t ports[4])
{
    FILE *file = fopen(live->ports_path, "re");
    unsigned port = 0;

    assert_non_null(file);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(fscanf(file, "TCP INET: %u ", &port), 1);
        ports[i] = (uint16_t)port;
    }
    (void)fclose(file);
}

static void test_plain_and_tls_ports(void **state)
{
    char more[OPTIONS_BYTES];
    uint16_t ports[4];
    struct live live;

    (void)state;
    (void)snprintf(more, sizeof(more),
                   ",ssl_verify_mode=1,ssl_ca_cert=%s/authority.pem -l 127.0.0.1,notls:127.0.0.1,"
                   "btls:127.0.0.1,mtls:127.0.0.1",
                   certs);
    start(&live, "server", more);
    read_ports(&live, ports);
    const int plain = live_connect_to("127.0.0.1", ports[1]);
    live_ask(plain, VERSION);
    (void)close(plain);
    assert_true(is_served(&live, NULL, 0) && !is_served(&live, "stranger", 0));
    live.port = ports[2];
    assert_true(is_served(&live, NULL, 0) && is_served(&live, "stranger", 0));
    live.port = ports[3];
    assert_true(!is_served(&live, NULL, 0) && is_served(&live, "client", 0));
    assert_false(is_served(&live, "stranger", 0));
    live.port = ports[1];
    assert_false(is_served(&live, "client", 0)); /* nobody speaks TLS there */
    stop(&live);
}

static void copy_cert(const char *from, const char *to)
{
    char command[OPTIONS_BYTES];

    (void)snprintf(command, sizeof(command), "cp %s/%s.pem %s/%s.pem && cp %s/%s.key %s/%s.key",
                   certs, from, certs, to, certs, from, certs, to);
    assert_int_equal(system(command), 0);
}

static void expect_peer(const struct live *live, const char *expected)
{
    char name[64] = "";
    struct dial *asking = dial(live, any());

    assert_non_null(asking);
    dial_peer(asking, name, sizeof(name));
    dial_free(asking);
    assert_string_equal(name, expected);
}

static void await_peer(const struct live *live, const char *expected)
{
    char name[64] = "";

    for (unsigned tries = 0; tries < LIVE_WAIT_S * 100 && strcmp(name, expected) != 0; tries++) {
        struct dial *asking = dial(live, any());
        assert_non_null(asking);
        dial_peer(asking, name, sizeof(name));
        dial_free(asking);
        live_nap_ms(10);
    }
    assert_string_equal(name, expected);
}

/* By the command and by SIGHUP. Who is connected goes on; files that are bad change nothing. */
static void test_reload(void **state)
{
    char path[128], answer[256] = "";
    struct live live;

    (void)state;
    copy_cert("server", "changing");
    start(&live, "changing", "");
    struct dial *old = dial(&live, any());
    assert_non_null(old);
    expect_peer(&live, "server");

    copy_cert("other", "changing");
    expect_peer(&live, "server");
    assert_true(dial_ask(old, "refresh_certs\r\n", "OK\r\n"));
    expect_peer(&live, "other");
    assert_true(dial_ask(old, VERSION));

    (void)snprintf(path, sizeof(path), "%s/changing.pem", certs);
    assert_int_equal(truncate(path, 100), 0);
    assert_true(dial_send(old, "refresh_certs\r\n", 15));
    assert_true(dial_read(old, answer, sizeof(answer) - 1) > 0);
    assert_non_null(strstr(answer, "SERVER_ERROR cannot load the certificate chain "));
    expect_peer(&live, "other");
    assert_int_equal(kill(live.pid, SIGHUP), 0);
    assert_true(dial_ask(old, VERSION));
    expect_peer(&live, "other");

    copy_cert("server", "changing");
    assert_int_equal(kill(live.pid, SIGHUP), 0);
    await_peer(&live, "server");
    assert_true(dial_ask(old, VERSION));
    dial_free(old);
    stop(&live);
}

static void test_starts_that_fail(void **state)
{
    static const struct {
        const char *options; /* %s is the folder */
        int exit_code;
    } CASES[] = {
        {"-p -1 -Z", 64},
        {"-p -1 -Z -o ssl_key=%s/server.key", 64},
        {"-p -1 -Z -o ssl_chain_cert=%s/none.pem", 71},
        {"-p -1 -Z -o ssl_chain_cert=%s/make_certs.log", 71},
        {"-p -1 -Z -o ssl_chain_cert=%s/server.pem", 71}, /* the key is not in it */
        {"-p -1 -Z -o ssl_chain_cert=%s/server.pem,ssl_key=%s/other.key", 71},
        {"-p -1 -Z -o ssl_chain_cert=%s/server.pem,ssl_key=%s/locked.key", 71},
        {"-p -1 -Z -o ssl_chain_cert=%s/server.pem,ssl_key=%s/server.key,ssl_keyformat=2", 71},
        {"-p -1 -Z -o ssl_chain_cert=%s/server.pem,ssl_key=%s/server.key,ssl_ciphers=NOTHING", 71},
        {"-p -1 -Z -o ssl_chain_cert=%s/server.pem,ssl_key=%s/server.key,ssl_ca_cert=/none", 71},
        {"-p -1 -Z -o ssl_chain_cert=%s/server.pem,ssl_key=%s/server.key,ssl_verify_mode=1", 64},
        {"-p -1 -Z -l mtls:127.0.0.1 -o ssl_chain_cert=%s/server.pem,ssl_key=%s/server.key", 64},
        {"-p -1 -l btls:127.0.0.1", 64},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        char options[OPTIONS_BYTES] = "";
        const char *from = CASES[i].options;
        for (const char *at; (at = strstr(from, "%s")) != NULL; from = at + 2) {
            (void)strncat(options, from, (size_t)(at - from));
            (void)strcat(options, certs);
        }
        (void)strcat(options, from);
        assert_int_equal(live_run(options), CASES[i].exit_code);
    }
    struct live live;
    char options[OPTIONS_BYTES];
    (void)snprintf(options, sizeof(options),
                   "-Z -o ssl_chain_cert=%s/server.pem,ssl_key=%s/server.der,ssl_keyformat=2,"
                   "ssl_ciphers=ECDHE+AESGCM,ssl_kernel_tls",
                   certs, certs);
    live_start(&live, options);
    assert_true(is_served(&live, NULL, 2) && is_served(&live, NULL, 3));
    stop(&live);
}

/* ---- clients that do not play along ---- */

/* What is no TLS is closed, without an answer that a client could take for one. */
static void test_plain_text(void **state)
{
    static const char *const TEXTS[] = {"get a\r\n", "set a 0 0 1\r\nx\r\n", "\r\n\r\n\r\n\r\n",
                                        "GET / HTTP/1.1\r\n\r\n", "\x16\x03\x01\xff\xff\xff\xff"};
    struct live live;
    char bytes[512];

    (void)state;
    start(&live, "server", "");
    for (size_t i = 0; i < sizeof(TEXTS) / sizeof(TEXTS[0]); i++) {
        const int fd = live_connect(&live);
        live_send(fd, TEXTS[i]);
        (void)shutdown(fd, SHUT_WR);
        for (ssize_t count; (count = live_read(fd, bytes, sizeof(bytes))) > 0;) {
            assert_int_equal(bytes[0], 21); /* an alert */
        }
        (void)close(fd);
    }
    char noise[4096];
    for (uint32_t seed = 0; seed < 200; seed++) {
        const int fd = live_connect(&live);
        live_fill(noise, sizeof(noise), seed);
        noise[0] = seed % 2 == 0 ? 22 : noise[0];
        (void)send(fd, noise, seed % 2 == 0 ? sizeof(noise) : seed, MSG_NOSIGNAL);
        (void)close(fd);
    }
    struct dial *asking = dial(&live, any());
    assert_non_null(asking);
    assert_true(dial_ask(asking, VERSION));
    dial_free(asking);
    assert_true(stat_of(&live, "ssl_handshake_errors") > 100);
    stop(&live);
}

/* A record's head of a hello, and nothing behind. */
static const char HELLO_HEAD[] = {22, 3, 1, 2, 0, 1, 0, 1, (char)252, 3, 3};

/* Handshakes that are never finished are closed after a while, and nobody waits for them. */
static void test_half_open(void **state)
{
    int fds[HALF_OPEN];
    struct live live;

    (void)state;
    start(&live, "server", "");
    for (unsigned i = 0; i < HALF_OPEN; i++) {
        fds[i] = live_connect(&live);
        if (i % 2 == 0) {
            (void)send(fds[i], HELLO_HEAD, sizeof(HELLO_HEAD), MSG_NOSIGNAL);
        }
    }
    struct dial *asking = dial(&live, any());
    assert_non_null(asking);
    assert_true(dial_ask(asking, VERSION));
    if (!INSTRUMENTED) {
        assert_true(live_rss_bytes(&live) <= MEMORY_BYTES + MEMORY_BYTES / 50);
    }
    for (unsigned i = 0; i < HALF_OPEN; i++) {
        live_expect_end(fds[i]);
        (void)close(fds[i]);
    }
    assert_true(dial_ask(asking, VERSION));
    dial_free(asking);
    assert_true(stat_of(&live, "ssl_handshake_errors") >= HALF_OPEN);
    stop(&live);
}

/* Comes, shakes hands, goes; each third in the middle of it. Not for cmocka's asserts. */
static void *storm(void *context)
{
    const struct live *live = context;
    const struct dial_how how = {.folder = certs};

    for (unsigned i = 0; i < HANDSHAKES; i++) {
        const int fd = live_connect_to("127.0.0.1", live->port);
        assert(fd >= 0);
        if (i % 3 == 0) {
            (void)send(fd, HELLO_HEAD, sizeof(HELLO_HEAD), MSG_NOSIGNAL);
            (void)close(fd);
            continue;
        }
        struct dial *shaken = dial_new(fd, &how);
        assert(shaken != NULL);
        dial_free(shaken);
    }
    return NULL;
}

/* Handshakes as fast as they can be had, more than there are processors for: who is connected is
 * served, who comes gets in, nothing stays, and the log is not full of it. */
static void test_handshake_storm(void **state)
{
    pthread_t stormers[STORMERS];
    struct live live;
    struct said said;

    (void)state;
    said_begin(&said);
    start(&live, "server", "");
    struct dial *asking = dial(&live, any());
    assert_non_null(asking);
    const unsigned long held = stat_of(&live, "curr_connections");
    for (unsigned i = 0; i < STORMERS; i++) {
        assert_int_equal(pthread_create(&stormers[i], NULL, storm, &live), 0);
    }
    for (unsigned i = 0; i < 2 * HANDSHAKES; i++) {
        assert_true(dial_ask(asking, VERSION));
    }
    struct dial *late = dial(&live, any());
    assert_non_null(late);
    assert_true(dial_ask(late, VERSION));
    dial_free(late);
    for (unsigned i = 0; i < STORMERS; i++) {
        assert_int_equal(pthread_join(stormers[i], NULL), 0);
    }
    assert_true(dial_ask(asking, VERSION));
    print_message("RSS %.1f MiB\n", (double)live_rss_bytes(&live) / (1 << 20));
    assert_true(INSTRUMENTED || live_rss_bytes(&live) <= MEMORY_BYTES + MEMORY_BYTES / 50);
    for (unsigned tries = 0; stat_of(&live, "curr_connections") > held; tries++) {
        assert_true(tries < LIVE_WAIT_S * 10);
        live_nap_ms(100);
    }
    dial_free(asking);
    stop(&live);
    char *text = said_end(&said);
    unsigned lines = 0;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL; at++) {
        lines++;
    }
    print_message("%u lines in the log\n", lines);
    assert_true(lines <= LINES_MAX);
    free(text);
}

/* A full cache, many idle connections, some that do not read what they asked for, and some that
 * stop in the middle of a record: the limit holds, and the rest is served. */
static void test_memory(void **state)
{
    struct dial *idle[IDLE];
    struct live live;
    char *value = malloc(VALUE_BYTES);
    char line[64];

    (void)state;
    assert(value != NULL);
    start(&live, "server", "");
    struct dial *filling = dial(&live, any());
    assert_non_null(filling);
    for (unsigned i = 0; i < 100; i++) {
        live_fill(value, VALUE_BYTES, i);
        const int length = sprintf(line, "set v%u 0 0 %u\r\n", i, VALUE_BYTES);
        assert_true(dial_send(filling, line, (size_t)length));
        assert_true(dial_send(filling, value, VALUE_BYTES));
        assert_true(dial_ask(filling, "\r\n", "STORED\r\n"));
    }
    for (unsigned i = 0; i < IDLE; i++) {
        idle[i] = dial(&live, any());
        assert_non_null(idle[i]);
        if (i % 10 == 0) {
            assert_true(dial_send(idle[i], "get v99\r\nget v98\r\nget v97\r\n", 27));
        }
    }
    for (unsigned i = 0; i < 100; i++) {
        assert_true(dial_ask(filling, VERSION));
        if (!INSTRUMENTED) {
            assert_true(live_rss_bytes(&live) <= MEMORY_BYTES + MEMORY_BYTES / 50);
        }
        live_nap_ms(10);
    }
    for (unsigned i = 0; i < IDLE; i++) {
        dial_free(idle[i]);
    }
    dial_free(filling);
    stop(&live);
    free(value);
}

/* ---- what others are told ---- */

/* Keys that clients may list with a certificate alone are not told by --http, which asks for
 * none. */
static void test_keys_are_hidden(void **state)
{
    static const struct {
        const char *more;
        const char *answer;
    } CASES[] = {
        {" --http -1", "\"keys\":true"},
        {",ssl_verify_mode=2 --http -1", "\"keys\":false"},
        {" --http -1 -l notls:127.0.0.1,mtls:127.0.0.1:-1", "\"keys\":false"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        struct live live;
        char more[OPTIONS_BYTES], answer[64 << 10];
        size_t used = 0;

        (void)snprintf(more, sizeof(more), ",ssl_ca_cert=%s/authority.pem%s", certs, CASES[i].more);
        start(&live, "server", more);
        const int fd = live_connect_to("127.0.0.1", live.http_port);
        live_send(fd, "GET /api HTTP/1.1\r\nHost: localhost\r\n\r\n");
        for (ssize_t came = 1; came > 0; used += (size_t)came) {
            came = live_read(fd, answer + used, sizeof(answer) - 1 - used);
            assert_true(came >= 0);
        }
        answer[used] = '\0';
        (void)close(fd);
        assert_non_null(strstr(answer, CASES[i].answer));
        stop(&live);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_versions),
        cmocka_unit_test(test_version_limit),
        cmocka_unit_test(test_renegotiation_is_off),
        cmocka_unit_test(test_tickets),
        cmocka_unit_test(test_client_certificates),
        cmocka_unit_test(test_plain_and_tls_ports),
        cmocka_unit_test(test_reload),
        cmocka_unit_test(test_starts_that_fail),
        cmocka_unit_test(test_plain_text),
        cmocka_unit_test(test_half_open),
        cmocka_unit_test(test_handshake_storm),
        cmocka_unit_test(test_memory),
        cmocka_unit_test(test_keys_are_hidden),
    };
    (void)signal(SIGPIPE, SIG_IGN);
    return cmocka_run_group_tests(tests, make_certs, remove_certs);
}
