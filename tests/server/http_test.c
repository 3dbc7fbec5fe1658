/*
 * http_test.c - the HTTP port of the real program: what it answers, and to whom it does not.
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
#include <sys/socket.h>
#include <unistd.h>

#define ANSWER_BYTES ((size_t)256 << 10)
#define VISITS       40u

struct fixture {
    struct live live;
    char *answer; /* ANSWER_BYTES */
};

/* A sanitizer makes calls that no server makes. */
static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert(fixture != NULL);
    fixture->answer = malloc(ANSWER_BYTES);
    assert(fixture->answer != NULL);
    live_start(&fixture->live,
               INSTRUMENTED ? "-m 64 -t 2 --http -1" : "-m 64 -t 2 --http -1 -o drop_privileges");
    assert_int_not_equal(fixture->live.http_port, 0);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    if (fixture->live.pid != 0) {
        assert_int_equal(live_stop(&fixture->live, SIGTERM), 0);
    }
    free(fixture->answer);
    free(fixture);
    return 0;
}

/* ---- asking ---- */

static int visit(const struct fixture *fixture)
{
    const int fd = live_connect_to("127.0.0.1", fixture->live.http_port);

    assert_int_not_equal(fd, -1);
    return fd;
}

/* The whole answer, to its connection's end; its status. */
static int read_answer(struct fixture *fixture, int fd)
{
    size_t used = 0;
    ssize_t count;
    int status = 0;

    while ((count = live_read(fd, fixture->answer + used, ANSWER_BYTES - 1 - used)) > 0) {
        used += (size_t)count;
    }
    (void)close(fd);
    fixture->answer[used] = '\0';
    (void)sscanf(fixture->answer, "HTTP/1.%*d %d", &status);
    return status;
}

static int ask(struct fixture *fixture, const char *request)
{
    const int fd = visit(fixture);

    live_send(fd, request);
    return read_answer(fixture, fd);
}

static int get(struct fixture *fixture, const char *path)
{
    char request[256];

    (void)snprintf(request, sizeof(request), "GET %s HTTP/1.1\r\nHost: localhost:1\r\n\r\n", path);
    return ask(fixture, request);
}

static char *body(const struct fixture *fixture)
{
    char *end = strstr(fixture->answer, "\r\n\r\n");

    assert_non_null(end);
    return end + 4;
}

static void expect_header(const struct fixture *fixture, const char *header)
{
    const char *found = strstr(fixture->answer, header);

    if (found == NULL || found > body(fixture)) {
        fail_msg("no \"%s\" in %.400s", header, fixture->answer);
    }
}

/* ---- what is answered ---- */

static void test_health(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(get(fixture, "/healthz"), 200);
    assert_string_equal(body(fixture), "ok\n");
    expect_header(fixture, "\r\nX-Content-Type-Options: nosniff\r\n");
    expect_header(fixture, "\r\nContent-Security-Policy: default-src 'none'");
    expect_header(fixture, "\r\nCache-Control: no-store\r\n");
    expect_header(fixture, "\r\nConnection: close\r\n");
    assert_int_equal(get(fixture, "/healthz?x=1"), 200);
    assert_int_equal(get(fixture, "/nothing"), 404);
    assert_int_equal(get(fixture, "/healthz/"), 404);
}

/* One file under 100 KB, whose script and style the policy names, and nothing from elsewhere. */
static void test_page(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(get(fixture, "/"), 200);
    expect_header(fixture, "\r\nContent-Type: text/html; charset=utf-8\r\n");
    expect_header(fixture, "script-src 'sha256-");
    expect_header(fixture, "style-src 'sha256-");
    assert_in_range(strlen(body(fixture)), 5000, 100000);
    assert_non_null(strstr(body(fixture), "</html>"));
    assert_null(strstr(body(fixture), "src="));
    assert_null(strstr(body(fixture), "https:"));
    assert_int_equal(
        ask(fixture, "GET / HTTP/1.1\r\nHost: example.com\r\nConnection: keep-alive\r\n\r\n"), 421);
}

static void test_board(void **state)
{
    struct fixture *fixture = *state;
    const int fd = live_connect(&fixture->live);

    live_ask(fd, "set a 0 0 1\r\nx\r\nget a b\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    (void)close(fd);
    assert_int_equal(get(fixture, "/api"), 200);
    expect_header(fixture, "\r\nContent-Type: application/json\r\n");
    const char *json = body(fixture);
    assert_int_equal(json[0], '{');
    assert_string_equal(json + strlen(json) - 4, "\"}}\n");
    static const char *const PARTS[] = {
        "\"keys\":true",       "\"limit\":67108864,",
        "\"items\":1,",        "\"raw\":2,",
        "\"hits\":1,",         "\"misses\":1,",
        "\"dictionaries\":[{", "\"cell_pages\":4,",
        "\"conns_max\":1024,", "\"times\":{\"power\":8,\"get\":{\"below\":[",
    };
    for (size_t i = 0; i < sizeof(PARTS) / sizeof(PARTS[0]); i++) {
        if (strstr(json, PARTS[i]) == NULL) {
            fail_msg("no %s in %s", PARTS[i], json);
        }
    }
}

static void ask_often(const struct live *live, const char *key)
{
    char request[128];
    const int fd = live_connect(live);

    (void)snprintf(request, sizeof(request), "get %s\r\n", key);
    for (unsigned i = 0; i < 2000; i++) {
        live_ask(fd, request, "END\r\n");
    }
    (void)close(fd);
}

static void test_hot_keys(void **state)
{
    struct fixture *fixture = *state;

    ask_often(&fixture->live, "a\"<b");
    assert_int_equal(get(fixture, "/api"), 200);
    assert_non_null(strstr(body(fixture), "\"hot\":[{\"key\":\"a\\u0022\\u003cb\",\"per_s\":"));
}

/* What clients may not list without a password is not shown without one. */
static void test_keys_are_hidden(void **state)
{
    struct fixture *fixture = *state;
    struct live first = fixture->live;

    live_start(&fixture->live, "-m 64 --http -1 -X");
    ask_often(&fixture->live, "secret:1");
    assert_int_equal(get(fixture, "/api"), 200);
    assert_non_null(strstr(body(fixture), "\"keys\":false"));
    assert_null(strstr(body(fixture), "secret"));
    assert_int_equal(live_stop(&fixture->live, SIGTERM), 0);
    fixture->live = first;
}

static void test_head(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(ask(fixture, "HEAD /metrics HTTP/1.1\r\nHost: [::1]\r\n\r\n"), 200);
    expect_header(fixture, "\r\nContent-Length: ");
    assert_string_equal(body(fixture), "");
}

/* One series' value, NULL labels as without. */
static double value_of(struct fixture *fixture, const char *series)
{
    const size_t bytes = strlen(series);

    assert_int_equal(get(fixture, "/metrics"), 200);
    for (const char *at = body(fixture); at != NULL; at = strchr(at, '\n')) {
        at += *at == '\n';
        if (strncmp(at, series, bytes) == 0 && at[bytes] == ' ') {
            return strtod(at + bytes, NULL);
        }
    }
    fail_msg("no series %s", series);
    return 0;
}

/* METRICS-2, and every value is a number. @names: the series, a line each; returns how many. */
static unsigned check_format(struct fixture *fixture, char *names, size_t names_bytes)
{
    char name[128] = "";
    char *rest = NULL;
    unsigned series = 0;

    names[0] = '\0';
    for (char *line = strtok_r(body(fixture), "\n", &rest); line != NULL;
         line = strtok_r(NULL, "\n", &rest)) {
        char of[128], kind[16], *end;
        if (sscanf(line, "# HELP %127s", of) == 1) {
            assert_null(strstr(names, of)); /* not in two places */
            (void)snprintf(name, sizeof(name), "%s", of);
        } else if (sscanf(line, "# TYPE %127s %15s", of, kind) == 2) {
            assert_string_equal(of, name);
            assert_int_equal(strcmp(kind, "counter") == 0,
                             strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0);
        } else {
            assert_int_equal(strncmp(line, name, strlen(name)), 0);
            char *blank = strrchr(line, ' ');
            assert_non_null(blank);
            assert_true(strtod(blank + 1, &end) >= 0 && *end == '\0');
            *blank = '\0';
            const size_t used = strlen(names);
            (void)snprintf(names + used, names_bytes - used, "%s\n", line);
            series++;
        }
    }
    return series;
}

static void test_format(void **state)
{
    struct fixture *fixture = *state;
    const size_t bytes = 64 << 10;
    char *before = malloc(bytes), *after = malloc(bytes);
    const int fd = live_connect(&fixture->live);

    assert_true(before != NULL && after != NULL);
    assert_int_equal(get(fixture, "/metrics"), 200);
    expect_header(fixture, "\r\nContent-Type: text/plain; version=0.0.4");
    assert_in_range(check_format(fixture, before, bytes), 60, 150);
    live_ask(fd, "set a 0 0 1\r\nx\r\nget a b\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    (void)close(fd);
    assert_int_equal(get(fixture, "/metrics"), 200);
    (void)check_format(fixture, after, bytes);
    assert_string_equal(before, after); /* METRICS-1 */
    free(before);
    free(after);
}

static void test_values(void **state)
{
    struct fixture *fixture = *state;
    const int fd = live_connect(&fixture->live);

    for (unsigned i = 0; i < 500; i++) {
        live_ask(fd, "set a 0 0 1\r\nx\r\nget a b\r\n", "STORED\r\nVALUE a 0 1\r\nx\r\nEND\r\n");
    }
#define COMMANDS(labels) value_of(fixture, "zbcached_commands_total{" labels "}")
    assert_true(COMMANDS("command=\"get\",result=\"hit\"") == 500);
    assert_true(COMMANDS("command=\"get\",result=\"miss\"") == 500);
    assert_true(COMMANDS("command=\"set\",result=\"done\"") == 500);
    assert_true(value_of(fixture, "zbcached_items") == 1);
    assert_true(value_of(fixture, "zbcached_raw_bytes") == 2);
    assert_true(value_of(fixture, "zbcached_connections") == 1);
    assert_true(value_of(fixture, "zbcached_memory_limit_bytes") == 64 << 20);
    assert_true(value_of(fixture, "zbcached_memory_bytes{of=\"cache\"}") > 0);
#define TIMES(part) value_of(fixture, "zbcached_command_duration_seconds_" part)
    /* Of 500 gets and as many sets one in 61. */
    const double timed = TIMES("count{command=\"get\"}");
    assert_in_range(timed, 4, 16);
    assert_true(TIMES("bucket{command=\"get\",le=\"+Inf\"}") == timed);
    assert_true(TIMES("sum{command=\"get\"}") > 0);
    assert_true(TIMES("count{command=\"set\"}") > 0);
    (void)close(fd);
}

/* METRICS-3, with reclaims: more than fits is stored. */
static void test_histograms(void **state)
{
    struct fixture *fixture = *state;
    const int fd = live_connect(&fixture->live);
    const size_t bytes = 100000;
    char line[64], *value = malloc(bytes + 3);
    char *rest = NULL;
    double last = 0;
    unsigned buckets = 0;

    assert(value != NULL);
    for (unsigned i = 0; i < 800; i++) {
        live_fill(value, bytes, i);
        memcpy(value + bytes, "\r\n", 3);
        (void)snprintf(line, sizeof(line), "set k%u 0 0 %zu\r\n", i, bytes);
        live_send(fd, line);
        live_send_bytes(fd, value, bytes + 2);
        live_expect(fd, "STORED\r\n");
    }
    assert_true(value_of(fixture, "zbcached_reclaim_duration_seconds_count") > 0);
    assert_true(value_of(fixture, "zbcached_items_evicted_total") > 0);
    for (char *at = strtok_r(body(fixture), "\n", &rest); at != NULL;
         at = strtok_r(NULL, "\n", &rest)) {
        const char *bound = strstr(at, "le=\"");
        if (bound == NULL) {
            last = 0;
            continue;
        }
        const double count = strtod(strchr(at, ' ') + 1, NULL);
        assert_true(count >= last);
        last = count;
        buckets++;
    }
    assert_int_equal(buckets, 3 * 18);
    free(value);
    (void)close(fd);
}

/* ---- what is refused ---- */

static void test_methods(void **state)
{
    struct fixture *fixture = *state;

    assert_int_equal(ask(fixture, "POST /metrics HTTP/1.1\r\nHost: ::\r\n\r\n"), 405);
    expect_header(fixture, "\r\nAllow: GET, HEAD\r\n");
    assert_int_equal(ask(fixture, "DELETE / HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
    assert_int_equal(ask(fixture, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"), 405);
    assert_in_range(ask(fixture, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"), 400, 501);
    assert_int_equal(ask(fixture, "POST / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx"), 413);
    assert_in_range(
        ask(fixture, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nfffffff\r\nx"), 400,
        499);
    assert_in_range(ask(fixture, "get a\r\n\r\n"), 400, 501);
    assert_in_range(ask(fixture, "GET /healthz\r\n\r\n"), 400, 501);
    assert_in_range(ask(fixture, "GET a b HTTP/1.1\r\n\r\n"), 400, 501);
}

/* A site of another name that resolves to this address. */
static void test_hosts(void **state)
{
    static const struct {
        const char *host;
        int status;
    } CASES[] = {
        {"localhost", 200},
        {"LOCALHOST:80", 200},
        {"127.0.0.1:9150", 200},
        {"10.1.2.3", 200},
        {"[::1]:80", 200},
        {"[fe80::1]", 200},
        {"example.com", 421},
        {"localhost.example", 421},
        {"127.0.0.1.example:1", 421},
        {"[::1", 421},
        {"[]", 421},
        {"[example.com]", 421},
    };
    struct fixture *fixture = *state;
    char request[256];

    for (size_t i = 0; i < sizeof(CASES) / sizeof(CASES[0]); i++) {
        (void)snprintf(request, sizeof(request), "GET /healthz HTTP/1.1\r\nHost: %s\r\n\r\n",
                       CASES[i].host);
        const int status = ask(fixture, request);
        if (status != CASES[i].status) {
            fail_msg("Host %s: %d", CASES[i].host, status);
        }
    }
    assert_int_equal(ask(fixture, "GET /healthz HTTP/1.0\r\n\r\n"), 200);
    assert_int_equal(
        ask(fixture, "GET http://example.com/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"), 421);
}

/* Where others than this host may come, they may have their own name for it. */
static void test_public(void **state)
{
    struct fixture *fixture = *state;
    struct live first = fixture->live;

    live_start(&fixture->live, "-m 64 --http 0.0.0.0:-1");
    assert_int_equal(ask(fixture, "GET /metrics HTTP/1.1\r\nHost: cache.example\r\n\r\n"), 200);
    assert_int_equal(live_stop(&fixture->live, SIGTERM), 0);
    fixture->live = first;
}

static void test_large_heads(void **state)
{
    struct fixture *fixture = *state;
    const size_t bytes = 1 << 20;
    char *head = malloc(bytes + 1);

    assert(head != NULL);
    memset(head, 'a', bytes);
    head[bytes] = '\0';
    memcpy(head, "GET /", 5);
    head[4000] = '\0';
    int fd = visit(fixture);
    live_send(fd, head);
    live_send(fd, " HTTP/1.1\r\n\r\n");
    assert_int_equal(read_answer(fixture, fd), 404);
    /* The server closes while more is on its way, so its answer may be lost. */
    head[4000] = 'a';
    for (unsigned i = 0; i < 2; i++) {
        fd = visit(fixture);
        live_send(fd, i == 0 ? "" : "GET /healthz HTTP/1.1\r\nX: ");
        size_t sent = 0;
        while (sent < bytes) {
            const ssize_t count = send(fd, head + sent, bytes - sent, MSG_NOSIGNAL);
            if (count <= 0) {
                break;
            }
            sent += (size_t)count;
        }
        const int status = read_answer(fixture, fd);
        assert_true(status == 0 || status == 400 || status == 413);
    }
    free(head);
}

/* More than there may be, none of which says all it has to: who asks is served all the same, the
 * oldest are ended, and in the end all are. */
static void test_slow(void **state)
{
    struct fixture *fixture = *state;
    int fds[VISITS];

    for (unsigned i = 0; i < VISITS; i++) {
        fds[i] = visit(fixture);
        live_send(fds[i], "GET /healthz HTTP/1.1\r\n");
    }
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(get(fixture, "/healthz"), 200);
    }
    for (unsigned i = 0; i < VISITS; i++) {
        char byte;
        assert_true(live_read(fds[i], &byte, 1) <= 0);
        (void)close(fds[i]);
    }
    assert_int_equal(get(fixture, "/healthz"), 200);
}

/* ---- the end ---- */

static void test_stop(void **state)
{
    struct fixture *fixture = *state;
    int fds[3];

    for (unsigned i = 0; i < 3; i++) {
        fds[i] = visit(fixture);
        live_send(fds[i], "GET /");
    }
    assert_int_equal(get(fixture, "/healthz"), 200);
    assert_int_equal(live_stop(&fixture->live, SIGTERM), 0);
    for (unsigned i = 0; i < 3; i++) {
        (void)close(fds[i]);
    }
}

static void test_bad_addresses(void **state)
{
    char options[64];
    struct fixture *fixture = *state;

    assert_int_equal(live_run("-p -1 --http 192.0.2.1:80"), 71);
    assert_int_equal(live_run("-p -1 --http no.such.name.invalid:80"), 71);
    (void)snprintf(options, sizeof(options), "-p -1 --http %u", fixture->live.http_port);
    assert_int_equal(live_run(options), 71);
}

int main(void)
{
#define WITH_SERVER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    static const struct CMUnitTest tests[] = {
        WITH_SERVER(test_health),
        WITH_SERVER(test_page),
        WITH_SERVER(test_board),
        WITH_SERVER(test_hot_keys),
        WITH_SERVER(test_keys_are_hidden),
        WITH_SERVER(test_head),
        WITH_SERVER(test_format),
        WITH_SERVER(test_values),
        WITH_SERVER(test_histograms),
        WITH_SERVER(test_methods),
        WITH_SERVER(test_hosts),
        WITH_SERVER(test_public),
        WITH_SERVER(test_large_heads),
        WITH_SERVER(test_slow),
        WITH_SERVER(test_stop),
        WITH_SERVER(test_bad_addresses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
