/*
 * zbload_test.c - the load generator as people run it, against our server and against memcached.
 *
 *   zbload_test <our server> <zbload>
 *
 * Each case has a server started for it. memcached is found on PATH; where threads are watched it
 * is left out.
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
#include "tests/wire/peer.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_BYTES 16384u
#define STALL_MS     700

struct stage {
    const char *server;
    const char *zbload;
    struct peer *peer;
    struct client *client;
    uint16_t port;
    char output[OUTPUT_BYTES]; /* of zbload's, stderr too */
};

static uint64_t figure(struct stage *stage, const char *section, const char *name)
{
    enum client_status status = client_stats(stage->client, section);
    uint64_t number = UINT64_MAX;

    while (status == CLIENT_OK) {
        struct client_stat stat;
        char digits[32];

        status = client_read_stat(stage->client, &stat);
        if (status != CLIENT_OK || stat.name.bytes != strlen(name) ||
            memcmp(stat.name.data, name, stat.name.bytes) != 0)
            continue;
        (void)snprintf(digits, sizeof(digits), "%.*s", (int)stat.value.bytes,
                       (const char *)stat.value.data);
        number = strtoull(digits, NULL, 10);
    }
    assert_int_equal(status, CLIENT_END);
    assert_true(number != UINT64_MAX);
    return number;
}

static int set_up(void **state)
{
    struct stage *stage = *state;
    char error[PEER_ERROR_BYTES] = "";

    stage->peer = peer_start(stage->server, "-m 64", PEER_TCP, error);
    stage->client = client_new();
    if (stage->peer == NULL || stage->client == NULL ||
        peer_connect(stage->peer, stage->client) != CLIENT_OK)
        fail_msg("%s: %s", stage->server, error);
    stage->port = (uint16_t)figure(stage, "settings", "tcpport");
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;

    client_free(stage->client);
    peer_kill(stage->peer);
    return 0;
}

static FILE *start(const struct stage *stage, const char *options)
{
    char command[1024];
    FILE *pipe;

    (void)snprintf(command, sizeof(command), "exec %s --port %u --progress 0 --timeout 120 %s 2>&1",
                   stage->zbload, (unsigned)stage->port, options);
    pipe = popen(command, "r");
    assert_non_null(pipe);
    return pipe;
}

/* Its exit status. */
static int finish(struct stage *stage, FILE *pipe)
{
    size_t bytes = fread(stage->output, 1, sizeof(stage->output) - 1, pipe);
    int status = pclose(pipe);

    stage->output[bytes] = '\0';
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static int run(struct stage *stage, const char *options)
{
    return finish(stage, start(stage, options));
}

/* A number of the JSON object that stands behind @name. */
static double number(const struct stage *stage, const char *name)
{
    char quoted[64];
    const char *at;

    (void)snprintf(quoted, sizeof(quoted), "\"%s\":", name);
    at = strstr(stage->output, quoted);
    if (at == NULL)
        fail_msg("no %s in: %s", name, stage->output);
    return strtod(at + strlen(quoted), NULL);
}

static void expect(struct stage *stage, const char *options, int code)
{
    int got = run(stage, options);

    if (got != code)
        fail_msg("exit status %d, not %d, of %s: %s", got, code, options, stage->output);
}

static void check_clean(const struct stage *stage, double requests)
{
    assert_true(number(stage, "requests") == requests);
    assert_true(number(stage, "wrong") == 0);
    assert_true(number(stage, "refused") == 0);
}

/* ---- all is well ---- */

static void closed_loops(void **state)
{
    static const char *const options[] = {
        "-k 5000 -c 20",
        "-k 5000 -c 20 -z 1 -d 100 -v 0-2000",
        "-k 5000 -c 7 -T 3 -m get=1,set=1,multiget=1 -g 10",
        "-k 1 -c 1 -d 10000 -v 1-1",
        "-k 3 -c 50 -d 3 -m multiget=1 -g 50 -v 10 --spin",
    };
    const unsigned requests = INSTRUMENTED ? 5000 : 20000;
    char line[128];

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        (void)snprintf(line, sizeof(line), "-j -P --must-hit -n %u %s", requests, options[i]);
        expect(*state, line, 0);
        check_clean(*state, requests);
        assert_true(number(*state, "hits") > 0);
        assert_true(number(*state, "hits") == number(*state, "keys_asked"));
    }
    /* Fewer than threads: some have none to make. */
    expect(*state, "-j -P -k 10 -n 1 -c 2 -T 2 --must-hit", 0);
    check_clean(*state, 1);
}

static void large_values(void **state)
{
    expect(*state, "-j -P -k 20 -v 900000-1000000 -n 300 -c 4 -d 4 -m get=1,set=1 --random-values",
           0);
    check_clean(*state, 300);
}

static void deletes_and_misses(void **state)
{
    expect(*state, "-j -k 1000 -n 20000 -m get=1,set=1,delete=1 -e 1000-2000", 0);
    check_clean(*state, 20000);
    assert_true(number(*state, "misses") > 0);
    assert_true(number(*state, "delete_misses") > 0);
    assert_true(number(*state, "hits") + number(*state, "misses") == number(*state, "keys_asked"));
    expect(*state, "-j -k 1000 --prefix never: -m get=1 -n 100 --must-hit", 1);
    assert_true(number(*state, "misses") == 100);
}

static void open_loops(void **state)
{
    static const char *const options[] = {
        "-j -P -k 1000 -n 1000 -r 2000 -c 3 -d 2",
        "-j -P -k 1000 -n 1000 -r 2000 -c 3 -d 2 -T 2 --arrivals even",
        "-j -P -k 1000 -n 1000 -r 2000 -c 3 -d 2 --spin",
        "-j -P -k 1000 -n 1000 -r 1000000 -c 1 -d 1",
    };

    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
        expect(*state, options[i], 0);
        check_clean(*state, 1000);
        assert_true(number(*state, "unsent") == 0);
    }
}

/* ---- what must be seen ---- */

/* While the server stands still arrivals go on being due, so far more requests than one a
 * connection have waited. Only what must be at least so long is asserted. */
static void a_stall_is_seen(void **state)
{
    struct stage *stage = *state;
    const struct timespec stall = {0, STALL_MS * 1000000};
    pid_t pid = (pid_t)figure(stage, "", "pid");
    FILE *pipe = start(stage, "-j -k 1000 -r 1000 -t 3 -c 2 -m get=1 --arrivals even");

    while (figure(stage, "", "cmd_get") == 0)
        ;
    assert_int_equal(kill(pid, SIGSTOP), 0);
    (void)nanosleep(&stall, NULL);
    assert_int_equal(kill(pid, SIGCONT), 0);
    assert_int_equal(finish(stage, pipe), 0);
    assert_true(number(stage, "requests") + number(stage, "unsent") >= 2999);
    assert_true(number(stage, "max") >= (STALL_MS - 100) * 1000.0);
    /* 700 of 3000 arrivals were due meanwhile, 500 of them for more than 200 ms. */
    assert_true(number(stage, "p99") >= 200000);
}

static void wrong_bytes_are_found(void **state)
{
    struct stage *stage = *state;
    static const char KEY[] = "key:000000000000";
    struct client_value value;
    struct client_item item = {.key = KEY, .key_bytes = sizeof(KEY) - 1};
    uint8_t bytes[300];

    expect(stage, "-P -k 1 -t 0", 0);
    assert_int_equal(client_get(stage->client, item.key, item.key_bytes, &value), CLIENT_OK);
    assert_int_equal(value.data.bytes, sizeof(bytes));
    memcpy(bytes, value.data.data, sizeof(bytes));
    item.value = bytes;
    for (size_t i = 0; i < sizeof(bytes); i += 299) {
        char offset[32];

        bytes[i] ^= 1;
        item.value_bytes = sizeof(bytes);
        assert_int_equal(client_store(stage->client, CLIENT_SET, &item), CLIENT_OK);
        expect(stage, "-j -k 1 -n 10 -m get=1 -c 1", 1);
        assert_true(number(stage, "wrong") == 10);
        (void)snprintf(offset, sizeof(offset), "from byte %zu", i);
        assert_non_null(strstr(stage->output, offset));
        expect(stage, "-j -k 1 -n 10 -m get=1 -c 1 --no-verify", 0);
        bytes[i] ^= 1;
    }
    item.value_bytes = sizeof(bytes) - 1;
    assert_int_equal(client_store(stage->client, CLIENT_SET, &item), CLIENT_OK);
    expect(stage, "-j -k 1 -n 10 -m multiget=1 -g 3 -c 1", 1);
    assert_true(number(stage, "wrong") == 30);
    item.value_bytes = sizeof(bytes);
    item.flags = 5;
    assert_int_equal(client_store(stage->client, CLIENT_SET, &item), CLIENT_OK);
    expect(stage, "-j -k 1 -n 10 -m get=1 -c 1", 1);
    assert_true(number(stage, "wrong") == 10);
}

static void refusals_are_told(void **state)
{
    expect(*state, "-k 2 -n 4 -m set=1 -c 1 -v 2000000", 1);
    assert_non_null(strstr(((struct stage *)*state)->output, "too large"));
}

static void how_it_ends(void **state)
{
    struct stage *stage = *state;

    expect(stage, "--help", 0);
    assert_non_null(strstr(stage->output, "--corpus"));
    expect(stage, "--nonsense", 2);
    expect(stage, "-c 0", 2);
    expect(stage, "-v 5-4", 2);
    expect(stage, "-m get", 2);
    expect(stage, "-m get=0", 2);
    expect(stage, "-T 4 -c 3", 2);
    expect(stage, "extra", 2);
    expect(stage, "-C /nowhere.kv", 2);
    expect(stage, "-s /nowhere.sock -n 1", 3);
    assert_non_null(strstr(stage->output, "not reachable"));
    peer_kill(stage->peer);
    stage->peer = NULL;
    expect(stage, "-n 1", 3);
}

static void interrupted(void **state)
{
    struct stage *stage = *state;
    FILE *pipe = start(stage, "-j -t 1000 & echo $!; wait $!");
    char line[32];
    pid_t pid;

    assert_non_null(fgets(line, sizeof(line), pipe));
    pid = (pid_t)strtol(line, NULL, 10);
    assert_true(pid > 0);
    while (figure(stage, "", "cmd_get") == 0)
        ;
    assert_int_equal(kill(pid, SIGTERM), 0);
    assert_int_equal(finish(stage, pipe), 4);
    assert_true(number(stage, "requests") > 0);
    assert_true(number(stage, "wrong") == 0);
}

static void a_server_that_dies(void **state)
{
    struct stage *stage = *state;
    FILE *pipe = start(stage, "-j -t 1000");

    while (figure(stage, "", "cmd_get") == 0)
        ;
    peer_kill(stage->peer);
    stage->peer = NULL;
    assert_int_equal(finish(stage, pipe), 3);
    assert_true(number(stage, "requests") > 0);
}

#define STAGED(test, stage)                   \
    {                                         \
#test, test, set_up, tear_down, stage \
    }
/* memcached is the same one, whatever this program is built with. */
#if THREADS_WATCHED
#define BOTH(test) STAGED(test, &ours)
#else
#define BOTH(test) STAGED(test, &ours), STAGED(test, &theirs)
#endif

int main(int argc, char **argv)
{
    static struct stage ours, theirs;
    const struct CMUnitTest tests[] = {
        BOTH(closed_loops),         BOTH(large_values),    BOTH(deletes_and_misses),
        BOTH(open_loops),           BOTH(a_stall_is_seen), BOTH(wrong_bytes_are_found),
        BOTH(refusals_are_told),    BOTH(interrupted),     BOTH(a_server_that_dies),
        STAGED(how_it_ends, &ours),
    };

    if (argc != 3) {
        fprintf(stderr, "usage: zbload_test <our server> <zbload>\n");
        return EXIT_FAILURE;
    }
    ours = (struct stage){.server = argv[1], .zbload = argv[2]};
    theirs = (struct stage){.server = "memcached", .zbload = argv[2]};
    (void)theirs; /* where threads are watched */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
