/*
 * access_test.c - who may talk to the server: users and passwords, read at the start and again on
 * SIGHUP.
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
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LOGIN(count, names) "set l 0 0 " count "\r\n" names "\r\n"
#define UNKNOWN             "CLIENT_ERROR unauthenticated\r\n"
#define FAILURE             "CLIENT_ERROR authentication failure\r\n"
#define VERSION             "VERSION 1.6.45\r\n"

struct fixture {
    struct live live;
    struct said said; /* shown when the test is over */
    char path[64];
};

static void write_users(const struct fixture *fixture, const char *text)
{
    FILE *file = fopen(fixture->path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    char options[128];

    assert(fixture != NULL);
    (void)snprintf(fixture->path, sizeof(fixture->path), P_tmpdir "/access_test.XXXXXX");
    const int fd = mkstemp(fixture->path);
    assert(fd >= 0);
    (void)close(fd);
    write_users(fixture, "joe:secret\n");
    (void)snprintf(options, sizeof(options), "-m 64 -t 2 -Y %s", fixture->path);
    said_begin(&fixture->said);
    live_start(&fixture->live, options);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    const int code = live_stop(&fixture->live, SIGTERM);
    char *text = said_end(&fixture->said);

    fputs(text, stderr);
    free(text);
    assert_int_equal(code, 0);
    (void)unlink(fixture->path);
    free(fixture);
    return 0;
}

static void await_said(const struct fixture *fixture, const char *words)
{
    bool found = false;

    for (unsigned tries = 0; !found && tries < LIVE_WAIT_S * 100; tries++) {
        char *text = said_text(&fixture->said);
        found = strstr(text, words) != NULL;
        free(text);
        live_nap_ms(10);
    }
    assert_true(found);
}

static bool may_log_in(const struct fixture *fixture, const char *login)
{
    char answer[64] = "";
    const int fd = live_connect(&fixture->live);

    live_send(fd, login);
    const ssize_t count = live_read(fd, answer, sizeof(answer) - 1);
    (void)close(fd);
    assert_true(count > 0);
    return strcmp(answer, "STORED\r\n") == 0;
}

/* In one piece with what comes before and behind it, and cut at each byte. */
static void test_pipeline(void **state)
{
    static const char TALK[] =
        "get a\r\n" LOGIN("3", "joe") LOGIN("10", "joe secret") "set a 0 0 1\r\nx\r\nget a\r\n";
    static const char ANSWERS[] =
        UNKNOWN "CLIENT_ERROR bad authentication token format\r\nSTORED\r\n"
                "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n";
    struct fixture *fixture = *state;

    for (size_t cut = 0; cut < strlen(TALK); cut++) {
        const int fd = live_connect(&fixture->live);
        live_send_bytes(fd, TALK, cut);
        live_nap_ms(cut % 8 == 0 ? 1 : 0);
        live_send(fd, TALK + cut);
        live_expect(fd, ANSWERS);
        (void)close(fd);
    }
}

/* What is too long to be a user and a password is dropped, and not taken for commands. */
static void test_long_tokens(void **state)
{
    struct fixture *fixture = *state;
    const size_t count = 100000;
    char *block = malloc(count + 3);
    const int fd = live_connect(&fixture->live);

    assert(block != NULL);
    memset(block, '\n', count);
    (void)strcpy(block + count, "\r\n");
    live_send(fd, "set l 0 0 100000\r\n");
    live_send(fd, block);
    live_expect(fd, "CLIENT_ERROR auth token too long\r\n");
    memset(block, 'x', count);
    block[8000] = ' ';
    live_send(fd, "set l 0 0 16384\r\n");
    live_send_bytes(fd, block, 16384);
    live_ask(fd, "\r\n", FAILURE);
    live_ask(fd, LOGIN("10", "joe secret") "version\r\n", "STORED\r\n" VERSION);
    (void)close(fd);
    const int other = live_connect(&fixture->live);
    live_send_bytes(other, block, 2049);
    live_expect_end(other);
    (void)close(other);
    free(block);
}

static void test_counters(void **state)
{
    struct fixture *fixture = *state;
    const int fd = live_connect(&fixture->live);

    live_ask(fd, "get a\r\n" LOGIN("8", "joe seca"), UNKNOWN FAILURE);
    live_ask(fd, LOGIN("10", "joe secret"), "STORED\r\n");
    assert_int_equal(live_stat_over(fd, "", "auth_cmds"), 2);
    assert_int_equal(live_stat_over(fd, "", "auth_errors"), 1);
    assert_int_equal(live_stat_over(fd, "", "cmd_set"), 0);
    assert_int_equal(live_stat_over(fd, "", "cmd_get"), 0);
    char *settings = live_stats_over(fd, "settings");
    char line[128];
    (void)snprintf(line, sizeof(line), "STAT auth_enabled_ascii %s\r\n", fixture->path);
    assert_non_null(strstr(settings, line));
    assert_non_null(strstr(settings, "STAT binding_protocol ascii\r\n"));
    free(settings);
    (void)close(fd);
}

/* A good file takes the old one's place, a bad one leaves it; who is in stays in. */
static void test_reload(void **state)
{
    struct fixture *fixture = *state;
    const int fd = live_connect(&fixture->live);

    live_ask(fd, LOGIN("10", "joe secret"), "STORED\r\n");
    write_users(fixture, "ann:other\n");
    assert_true(may_log_in(fixture, LOGIN("10", "joe secret")));
    assert_int_equal(kill(fixture->live.pid, SIGHUP), 0);
    while (!may_log_in(fixture, LOGIN("9", "ann other"))) {
        live_nap_ms(5);
    }
    assert_false(may_log_in(fixture, LOGIN("10", "joe secret")));
    live_ask(fd, "version\r\n", VERSION);

    write_users(fixture, "joe:secret\nbroken\n");
    assert_int_equal(kill(fixture->live.pid, SIGHUP), 0);
    await_said(fixture, "line 2");
    write_users(fixture, "joe:secret\nann:new\nbroken as well\n");
    assert_int_equal(kill(fixture->live.pid, SIGHUP), 0);
    await_said(fixture, "line 3");
    assert_true(may_log_in(fixture, LOGIN("9", "ann other")));
    assert_false(may_log_in(fixture, LOGIN("10", "joe secret")));
    (void)close(fd);
}

static void test_starts_that_fail(void **state)
{
    char options[128], path[] = P_tmpdir "/access_test.XXXXXX";
    const int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    (void)close(fd);
    (void)snprintf(options, sizeof(options), "-p -1 -Y %s", path);
    assert_int_equal(live_run(options), 71); /* there is nobody in it */
    assert_int_equal(live_run("-p -1 -Y /nonexistent/users"), 71);
    (void)unlink(path);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pipeline, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_tokens, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_counters, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_reload, set_up, tear_down),
        cmocka_unit_test(test_starts_that_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
