/*
 * net_test.c - the program over real sockets: framing, order, half-close, listening, starting and
 * stopping. What hostile and slow clients can take is in pressure_test.c.
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
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PIPELINE      20000
#define TEXT_BYTES    ((size_t)4 << 20)
/* Not in TEST_TMPDIR: a socket's path must be short. */
#define PATH_TEMPLATE P_tmpdir "/net_test.XXXXXX"

/* A conversation with one answer to each way of cutting it. */
static const char talk[] = "set a 5 0 3\r\nabc\r\nget a\r\nget x a y\nadd a 0 0 1 noreply\r\nz\r\n"
                           "append a 0 0 2\r\nde\r\ngat 0 a\r\nset big 0 0 3000000\r\n";
static const char after[] = "\r\nincr a 1\r\ndelete a\r\ntouch a 1\r\nbogus\r\nversion\r\nmn2\r\n"
                            "set b 0 0 2\r\nxyz\r\nget b\r\n";
static const char answers[] = "STORED\r\nVALUE a 5 3\r\nabc\r\nEND\r\nVALUE a 5 3\r\nabc\r\nEND\r\n"
                              "STORED\r\nVALUE a 5 5\r\nabcde\r\nEND\r\n"
                              "SERVER_ERROR object too large for cache\r\n"
                              "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n"
                              "DELETED\r\nNOT_FOUND\r\nERROR\r\nVERSION 1.6.45\r\nERROR\r\n"
                              "CLIENT_ERROR bad data chunk\r\n";

static void nap_us(long us)
{
    const struct timespec time = {.tv_nsec = us * 1000};
    (void)nanosleep(&time, NULL);
}

static int set_up(void **state)
{
    struct live *live = calloc(1, sizeof(*live));

    assert(live != NULL);
    live_start(live, "-m 64 -t 2");
    *state = live;
    return 0;
}

static int tear_down(void **state)
{
    struct live *live = *state;

    assert_int_equal(live_stop(live, SIGTERM), 0);
    free(live);
    return 0;
}

/* ---- framing ---- */

static void test_pipeline(void **state)
{
    char *out = malloc(TEXT_BYTES), *in = malloc(TEXT_BYTES), *expected = malloc(TEXT_BYTES);
    size_t out_count = 0, expected_count = 0;
    const int fd = live_connect(*state);

    assert(out != NULL && in != NULL && expected != NULL);
    for (unsigned i = 0; i < PIPELINE; i++) {
        out_count += (size_t)sprintf(out + out_count, "set key%u %u 0 5\r\n%05u\r\nget key%u\r\n",
                                     i % 100, i, i, i % 100);
        expected_count +=
            (size_t)sprintf(expected + expected_count,
                            "STORED\r\nVALUE key%u %u 5\r\n%05u\r\nEND\r\n", i % 100, i, i);
    }
    live_exchange(fd, out, out_count, in, expected_count);
    assert_memory_equal(in, expected, expected_count);
    (void)close(fd);
    free(out);
    free(in);
    free(expected);
}

/* What a connection sends, what comes back at once, and whether the server closes then. */
struct said {
    const char *request;
    const char *answer;
    bool closed;
};

static const struct said sayings[] = {
    {"get small\r\n", "VALUE small 0 3\r\nabc\r\nEND\r\n", false},
    {"set other 0 0 2\r\nxy\r\n", "STORED\r\n", false},
    {"get small none\r\nget none\r\nget small\r\n",
     "VALUE small 0 3\r\nabc\r\nEND\r\nEND\r\nVALUE small 0 3\r\nabc\r\nEND\r\n", false},
    {"bogus\r\n", "ERROR\r\n", false},
    {"set other 0 0 2 noreply\r\nxy\r\n", "", false},
    {"version\r\nquit\r\n", "VERSION 1.6.45\r\n", true},
    {"quit\r\n", "", true},
    {"get / HTTP/1.0\r\nHost: HTTP/1.0\r\n", "END\r\n", true},
    {"get sm", "", false},
    {"set other 0 0 2\r\nxyz\r\n",
     "CLIENT_ERROR bad data chunk\r\nCLIENT_ERROR bad command line format\r\n", false},
};
#define SAYINGS     (sizeof(sayings) / sizeof(sayings[0]))
#define SAYINGS_ALL (SAYINGS + 2)
#define TOGETHER    60u
#define WIDE_BYTES  65505u  /* fits the worker's output, but not with answers in front */
#define WIDER_BYTES 300000u /* more than it in any case */

/* A value of @bytes under that name, and the answer to a get of it. */
static char *store_long(int fd, const char *name, size_t bytes)
{
    char *text = malloc(bytes + 100);
    int head;

    assert(text != NULL);
    head = sprintf(text, "set %s 0 0 %zu\r\n", name, bytes);
    memset(text + head, 'w', bytes);
    memcpy(text + head + bytes, "\r\n", 3);
    live_ask(fd, text, "STORED\r\n");
    head = sprintf(text, "VALUE %s 0 %zu\r\n", name, bytes);
    memset(text + head, 'w', bytes);
    memcpy(text + head + bytes, "\r\nEND\r\n", 8);
    return text;
}

/* Says all of it at once, each on a connection of its own, while the server does not run. */
static void say_together(const struct live *live, const struct said *said, unsigned turn)
{
    const struct said *each[TOGETHER];
    int fds[TOGETHER];

    for (unsigned i = 0; i < TOGETHER; i++) {
        each[i] = &said[(7 * i / (1 + turn % 3) + turn) % SAYINGS_ALL];
        fds[i] = live_connect(live);
        live_ask(fds[i], "version\r\n", "VERSION 1.6.45\r\n");
    }
    assert_int_equal(kill(live->pid, SIGSTOP), 0);
    for (unsigned i = 0; i < TOGETHER; i++) {
        live_send(fds[i], each[i]->request);
    }
    assert_int_equal(kill(live->pid, SIGCONT), 0);
    for (unsigned i = 0; i < TOGETHER; i++) {
        const bool half = strcmp(each[i]->request, "get sm") == 0;

        live_expect(fds[i], each[i]->answer);
        if (each[i]->closed) {
            live_expect_end(fds[i]);
        } else {
            live_ask(fds[i], half ? "all\r\n" : "get small\r\n", sayings[0].answer);
        }
        (void)close(fds[i]);
    }
}

/* Connections that become readable while the worker sleeps have their turns side by side. */
static void test_side_by_side(void **state)
{
    struct live live = {0};
    struct said said[SAYINGS_ALL];

    (void)state;
    live_start(&live, "-m 64 -t 1");
    const int fd = live_connect(&live);
    live_ask(fd, "set small 0 0 3\r\nabc\r\n", "STORED\r\n");
    char *const wide = store_long(fd, "wide", WIDE_BYTES);
    char *const wider = store_long(fd, "wider", WIDER_BYTES);
    memcpy(said, sayings, sizeof(sayings));
    said[SAYINGS] = (struct said){"get wide\r\n", wide, false};
    said[SAYINGS + 1] = (struct said){"get wider\r\n", wider, false};

    for (unsigned turn = 0; turn < SAYINGS_ALL; turn++) {
        say_together(&live, said, turn);
    }
    live_ask(fd, "stats check\r\n", "STAT check ok\r\nEND\r\n");
    (void)close(fd);
    free(wide);
    free(wider);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
}

/* The whole conversation with a data block of 3 MB in it that is refused. */
static char *make_talk(size_t *count)
{
    const size_t block = 3000000;
    char *text = malloc(sizeof(talk) + block + sizeof(after));

    assert(text != NULL);
    memcpy(text, talk, sizeof(talk) - 1);
    memset(text + sizeof(talk) - 1, 'v', block);
    memcpy(text + sizeof(talk) - 1 + block, after, sizeof(after));
    *count = sizeof(talk) - 1 + block + sizeof(after) - 1;
    return text;
}

static void talk_cut_at(const struct live *live, const char *text, size_t count, size_t cut)
{
    const int fd = live_connect(live);

    live_send_bytes(fd, text, cut);
    nap_us(1000);
    live_send_bytes(fd, text + cut, count - cut);
    live_expect_bytes(fd, answers, sizeof(answers) - 1);
    (void)close(fd);
}

/* Wherever the bytes are cut, and in the middle of the refused block, the answers are the same. */
static void test_cut_at_every_byte(void **state)
{
    size_t count;
    char *text = make_talk(&count);

    for (size_t cut = 1; cut < sizeof(talk) + 3; cut++) {
        talk_cut_at(*state, text, count, cut);
    }
    talk_cut_at(*state, text, count, count / 2);
    for (size_t cut = count - sizeof(after) - 3; cut < count; cut++) {
        talk_cut_at(*state, text, count, cut);
    }
    free(text);
}

static void test_byte_by_byte(void **state)
{
    const char text[] = "set k 1 0 10\r\n0123456789\r\nget k none\r\ngets\r\nset k 0 0 1 "
                        "noreply\r\nx\r\nget k\r\n";
    const int fd = live_connect(*state);

    for (size_t i = 0; i < sizeof(text) - 1; i++) {
        live_send_bytes(fd, text + i, 1);
        nap_us(200);
    }
    live_expect(fd, "STORED\r\nVALUE k 1 10\r\n0123456789\r\nEND\r\n"
                    "CLIENT_ERROR bad command line format\r\nVALUE k 0 1\r\nx\r\nEND\r\n");
    (void)close(fd);
}

/* 18,000 keys in one line, in pieces, with a request behind it. */
static void test_long_get_line(void **state)
{
    const unsigned keys = 18000;
    char *text = malloc(TEXT_BYTES), *expected = malloc(TEXT_BYTES);
    size_t count = (size_t)sprintf(text, "get"), expected_count = 0;
    const int fd = live_connect(*state);

    assert(text != NULL && expected != NULL);
    live_ask(fd, "set present 3 0 4\r\nhere\r\n", "STORED\r\n");
    for (unsigned i = 0; i < keys; i++) {
        if (i % 1000 == 999) {
            count += (size_t)sprintf(text + count, " present");
            expected_count +=
                (size_t)sprintf(expected + expected_count, "VALUE present 3 4\r\nhere\r\n");
        }
        count += (size_t)sprintf(text + count, " key-%06u", i);
    }
    count += (size_t)sprintf(text + count, "\r\nversion\r\n");
    (void)sprintf(expected + expected_count, "END\r\nVERSION 1.6.45\r\n");
    for (size_t at = 0; at < count; at += 7919) {
        live_send_bytes(fd, text + at, count - at < 7919 ? count - at : 7919);
        nap_us(500);
    }
    live_expect(fd, expected);
    /* Others had their turns in between. */
    assert_true(live_stat(*state, "", "conn_yields") > 0);
    (void)close(fd);
    free(text);
    free(expected);
}

/* All of it is in the worker's buffer when the turn ends: the rest of its keys moves to one of the
 * connection's, and so does the request behind it. */
static void test_many_keys_in_one_read(void **state)
{
    const unsigned keys = 10000;
    char *text = malloc(TEXT_BYTES), *expected = malloc(TEXT_BYTES);
    size_t count = (size_t)sprintf(text, "get"), expected_count = 0;
    const int fd = live_connect(*state);

    assert(text != NULL && expected != NULL);
    live_ask(fd, "set a 3 0 4\r\nhere\r\n", "STORED\r\n");
    for (unsigned i = 0; i < keys; i++) {
        count += (size_t)sprintf(text + count, i % 100 == 99 ? " a" : " %04u", i);
        if (i % 100 == 99) {
            expected_count += (size_t)sprintf(expected + expected_count, "VALUE a 3 4\r\nhere\r\n");
        }
    }
    count += (size_t)sprintf(text + count, "\r\nversion\r\n");
    (void)sprintf(expected + expected_count, "END\r\nVERSION 1.6.45\r\n");
    live_send_bytes(fd, text, count);
    live_expect(fd, expected);
    assert_true(live_stat(*state, "", "conn_yields") > 0);
    (void)close(fd);
    free(text);
    free(expected);
}

static void test_line_without_end_is_closed(void **state)
{
    char text[3000];
    const int fd = live_connect(*state);

    memset(text, 'x', sizeof(text));
    live_ask(fd, "version\r\n", "VERSION 1.6.45\r\n");
    live_send_bytes(fd, text, sizeof(text));
    live_expect_end(fd);
    (void)close(fd);
}

static void test_http_is_closed_without_an_answer(void **state)
{
    const int fd = live_connect(*state);

    live_send(fd, "POST / HTTP/1.1\r\n");
    live_expect_end(fd);
    (void)close(fd);
}

/* Values around every size at which a buffer changes hands. */
static void test_values_of_many_sizes(void **state)
{
    static const size_t sizes[] = {0,      1,      511,    512,     513,     2047,  4096,   16384,
                                   32768,  65000,  65500,  65536,   65537,   70000, 131072, 200000,
                                   262144, 524288, 800000, 1000000, 1048000, 3,     65400};
    char *text = malloc(TEXT_BYTES), *expected = malloc(TEXT_BYTES);
    const int fd = live_connect(*state);

    assert(text != NULL && expected != NULL);
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        size_t count = (size_t)sprintf(text, "set v%zu 7 0 %zu\r\n", i, sizes[i]);
        size_t expected_count =
            (size_t)sprintf(expected, "STORED\r\nVALUE v%zu 7 %zu\r\n", i, sizes[i]);
        live_fill(text + count, sizes[i], (unsigned)i);
        memcpy(expected + expected_count, text + count, sizes[i]);
        count += sizes[i];
        expected_count += sizes[i];
        count += (size_t)sprintf(text + count, "\r\nget v%zu\r\nget none\r\n", i);
        expected_count += (size_t)sprintf(expected + expected_count, "\r\nEND\r\nEND\r\n");
        live_send_bytes(fd, text, count);
        live_expect_bytes(fd, expected, expected_count);
    }
    (void)close(fd);
    free(text);
    free(expected);
}

/* A client that is done sending still gets every answer. */
static void test_half_close(void **state)
{
    char *expected = malloc(TEXT_BYTES), *value = malloc(1000001);
    const int fd = live_connect(*state);
    size_t count = 0;

    assert(expected != NULL && value != NULL);
    memset(value, 'h', 1000000);
    value[1000000] = '\0';
    live_send(fd, "set h 0 0 1000000\r\n");
    live_send(fd, value);
    live_send(fd, "\r\nget h\r\nget h\r\nversion\r\n");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    count += (size_t)sprintf(expected, "STORED\r\n");
    for (unsigned i = 0; i < 2; i++) {
        count += (size_t)sprintf(expected + count, "VALUE h 0 1000000\r\n%s\r\nEND\r\n", value);
    }
    (void)sprintf(expected + count, "VERSION 1.6.45\r\n");
    live_expect(fd, expected);
    live_expect_end(fd);
    (void)close(fd);
    free(expected);
    free(value);
}

static void test_quit_answers_what_came_before(void **state)
{
    const int fd = live_connect(*state);

    live_send(fd, "set q 0 0 1\r\nx\r\nget q\r\nquit\r\n");
    live_expect(fd, "STORED\r\nVALUE q 0 1\r\nx\r\nEND\r\n");
    live_expect_end(fd);
    (void)close(fd);
}

/* ---- listening ---- */

static void test_ipv4_and_ipv6(void **state)
{
    struct live live;
    unsigned ports[2] = {0, 0};
    int fd;

    (void)state;
    live_start(&live, "-l 127.0.0.1,::1");
    FILE *file = fopen(live.ports_path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "TCP INET: %u\nTCP INET6: %u\n", &ports[0], &ports[1]), 2);
    (void)fclose(file);
    fd = live_connect_to("127.0.0.1", (uint16_t)ports[0]);
    assert_true(fd >= 0);
    live_ask(fd, "set v 0 0 1\r\n6\r\n", "STORED\r\n");
    (void)close(fd);
    fd = live_connect_to("::1", (uint16_t)ports[1]);
    assert_true(fd >= 0);
    live_ask(fd, "get v\r\n", "VALUE v 0 1\r\n6\r\nEND\r\n");
    live_send(fd, "stats conns\r\n");
    char text[2048] = "";
    size_t at = 0;
    while (strstr(text, "END\r\n") == NULL) {
        const ssize_t came = live_read(fd, text + at, sizeof(text) - at - 1);
        assert_true(came > 0);
        at += (size_t)came;
        text[at] = '\0';
    }
    char line[128];
    (void)snprintf(line, sizeof(line), ":listen_addr tcp6:[::1]:%u\r\n", ports[1]);
    assert_non_null(strstr(text, line));
    (void)snprintf(line, sizeof(line), ":addr tcp:127.0.0.1:%u\r\n", ports[0]);
    assert_non_null(strstr(text, line));
    assert_non_null(strstr(text, ":state conn_listening\r\n"));
    assert_non_null(strstr(text, ":state conn_parse_cmd\r\n"));
    (void)close(fd);
    assert_int_equal(live_stop(&live, SIGINT), 0);
}

static void test_unix_socket(void **state)
{
    struct live live;
    char folder[] = PATH_TEMPLATE;
    char options[256], path[100], shown[128];
    struct stat status;

    (void)state;
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/socket", folder);
    (void)snprintf(shown, sizeof(shown), "addr unix:%s\r\n", path);
    (void)snprintf(options, sizeof(options), "-s %s -a 750", path);
    for (unsigned round = 0; round < 2; round++) { /* the second finds the first one's file */
        live_start(&live, options);
        assert_int_equal(stat(path, &status), 0);
        assert_true(S_ISSOCK(status.st_mode));
        assert_int_equal(status.st_mode & 0777, 0750);
        const int fd = live_connect(&live);
        live_ask(fd, "get a\r\nset a 0 0 1\r\nu\r\nget a\r\n",
                 "END\r\nSTORED\r\nVALUE a 0 1\r\nu\r\nEND\r\n");
        char *conns = live_stats(&live, "conns");
        assert_non_null(strstr(conns, shown));
        assert_non_null(strstr(conns, ":state conn_waiting\r\n"));
        free(conns);
        (void)close(fd);
        assert_int_equal(live_stop(&live, SIGTERM), 0);
    }
    (void)unlink(path);
    assert_int_equal(rmdir(folder), 0);
}

static void test_a_file_is_not_taken_for_a_socket(void **state)
{
    char options[256], path[] = PATH_TEMPLATE;

    (void)state;
    const int file = mkstemp(path);
    assert_true(file >= 0);
    (void)close(file);
    (void)snprintf(options, sizeof(options), "-s %s", path);
    assert_int_not_equal(live_run(options), 0);
    assert_int_equal(access(path, F_OK), 0);
    (void)unlink(path);
}

static void test_starts_that_fail(void **state)
{
    const struct live *live = *state;
    char options[128];

    (void)snprintf(options, sizeof(options), "-l 127.0.0.1 -p %u", live->port);
    assert_int_equal(live_run(options), 71);
    assert_int_equal(live_run("-l 192.0.2.77 -p -1"), 71);
    assert_int_equal(live_run("-l no.such.name.invalid -p -1"), 71);
    assert_int_equal(live_run("-p 0"), 71);
    assert_int_equal(live_run("-m 4 -I 1m -p -1 -l 127.0.0.1"), 71);
    assert_int_equal(live_run("-p -1 -l 127.0.0.1 -P /nonexistent/pid"), 71);
    assert_int_not_equal(live_run("-p -1 --no-such-option"), 0);
}

static void test_connection_limit(void **state)
{
    struct live live;
    int fds[3];

    (void)state;
    live_start(&live, "-c 3");
    for (unsigned i = 0; i < 3; i++) {
        fds[i] = live_connect(&live);
        live_ask(fds[i], "version\r\n", "VERSION 1.6.45\r\n");
    }
    for (unsigned i = 0; i < 20; i++) {
        const int fd = live_connect(&live);
        live_expect(fd, "ERROR Too many open connections\r\n");
        live_expect_end(fd);
        (void)close(fd);
    }
    live_ask(fds[1], "quit\r\n", "");
    live_expect_end(fds[1]);
    (void)close(fds[1]);
    fds[1] = live_connect(&live);
    live_ask(fds[1], "version\r\n", "VERSION 1.6.45\r\n");
    assert_int_equal(live_stat_over(fds[0], "", "rejected_connections"), 20);
    assert_int_equal(live_stat_over(fds[1], "", "curr_connections"), 3);
    assert_int_equal(live_stat_over(fds[2], "", "max_connections"), 3);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    for (unsigned i = 0; i < 3; i++) {
        (void)close(fds[i]);
    }
}

/* With no_maxconns_fast the fourth waits until one of three goes. */
static void test_connection_limit_that_waits(void **state)
{
    struct live live;
    int fds[4];

    (void)state;
    live_start(&live, "-c 3 -o no_maxconns_fast");
    for (unsigned i = 0; i < 4; i++) {
        fds[i] = live_connect(&live);
        live_send(fds[i], "version\r\n");
        if (i < 3) {
            live_expect(fds[i], "VERSION 1.6.45\r\n");
        }
    }
    nap_us(100000);
    char byte;
    assert_int_equal(recv(fds[3], &byte, 1, MSG_DONTWAIT), -1);
    (void)close(fds[0]);
    live_expect(fds[3], "VERSION 1.6.45\r\n");
    assert_true(live_stat_over(fds[1], "", "listen_disabled_num") >= 1);
    assert_true(live_stat_over(fds[2], "", "time_in_listen_disabled_us") > 0);
    assert_int_equal(live_stop(&live, SIGTERM), 0);
    for (unsigned i = 1; i < 4; i++) {
        (void)close(fds[i]);
    }
}

/* ---- starting and stopping ---- */

struct loader {
    const struct live *live;
    _Atomic unsigned done;
};

/* Requests without end, until the server goes. */
static void *load(void *context)
{
    struct loader *loader = context;
    const char request[] = "set load 0 0 100\r\n0123456789012345678901234567890123456789"
                           "012345678901234567890123456789012345678901234567890123456789\r\n"
                           "get load\r\n";
    char reply[4096];
    const int fd = live_connect_to("127.0.0.1", loader->live->port);

    while (fd >= 0 && send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 &&
           recv(fd, reply, sizeof(reply), 0) > 0) {
        atomic_fetch_add(&loader->done, 1);
    }
    if (fd >= 0) {
        (void)close(fd);
    }
    return NULL;
}

static void stop_under_load(int number)
{
    struct live live;
    struct loader loader = {.live = &live};
    pthread_t threads[4];

    live_start(&live, "-m 64 -t 4");
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, load, &loader), 0);
    }
    while (atomic_load(&loader.done) < 2000) {
        nap_us(1000);
    }
    assert_int_equal(live_stop(&live, number), 0);
    for (unsigned i = 0; i < 4; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
}

static void test_stop_under_load(void **state)
{
    (void)state;
    stop_under_load(SIGTERM);
    stop_under_load(SIGINT);
    stop_under_load(SIGUSR1);
}

static void test_shutdown_command(void **state)
{
    static const char *const commands[] = {"shutdown\r\n", "shutdown graceful\r\n"};

    (void)state;
    for (unsigned i = 0; i < 2; i++) {
        struct live live;
        live_start(&live, "-A");
        const int fd = live_connect(&live);
        live_send(fd, commands[i]);
        live_expect_end(fd);
        assert_int_equal(live_end(&live), 0);
        (void)close(fd);
    }
}

static void test_hangup_and_pipe_do_not_end_it(void **state)
{
    const struct live *live = *state;
    const int fd = live_connect(live);

    assert_int_equal(kill(live->pid, SIGHUP), 0);
    assert_int_equal(kill(live->pid, SIGPIPE), 0);
    live_ask(fd, "version\r\n", "VERSION 1.6.45\r\n");
    (void)close(fd);
}

/* The parent exits when the daemon serves; the pid file names the daemon, and goes with it. */
static void test_daemon(void **state)
{
    char folder[] = PATH_TEMPLATE;
    char options[512], path[100];
    long pid = 0;
    unsigned tries = 0;
    struct live holder;

    (void)state;
    live_start(&holder, ""); /* holds a port that the failing start below asks for */
    assert_non_null(mkdtemp(folder));
    (void)snprintf(path, sizeof(path), "%s/pid", folder);
    (void)snprintf(options, sizeof(options), "-d -P %s -l 127.0.0.1 -p %u", path, holder.port);
    assert_int_not_equal(live_run(options), 0);
    assert_int_equal(live_stop(&holder, SIGTERM), 0);
    struct live daemon = {.pid = 0};
    (void)snprintf(daemon.unix_path, sizeof(daemon.unix_path), "%s/socket", folder);
    (void)snprintf(options, sizeof(options), "-d -P %s -s %s", path, daemon.unix_path);
    assert_int_equal(live_run(options), 0);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld", &pid), 1);
    (void)fclose(file);
    const int fd = live_connect(&daemon);
    live_ask(fd, "version\r\n", "VERSION 1.6.45\r\n");
    assert_int_equal(kill((pid_t)pid, SIGTERM), 0);
    live_expect_end(fd);
    while (access(path, F_OK) == 0 && tries++ < LIVE_WAIT_S * 100) {
        nap_us(10000);
    }
    assert_int_not_equal(access(path, F_OK), 0);
    (void)close(fd);
    (void)unlink(daemon.unix_path);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_pipeline, set_up, tear_down),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test_setup_teardown(test_cut_at_every_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_byte_by_byte, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_get_line, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_keys_in_one_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_line_without_end_is_closed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_http_is_closed_without_an_answer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_values_of_many_sizes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_half_close, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quit_answers_what_came_before, set_up, tear_down),
        cmocka_unit_test(test_ipv4_and_ipv6),
        cmocka_unit_test(test_unix_socket),
        cmocka_unit_test(test_a_file_is_not_taken_for_a_socket),
        cmocka_unit_test_setup_teardown(test_starts_that_fail, set_up, tear_down),
        cmocka_unit_test(test_connection_limit),
        cmocka_unit_test(test_connection_limit_that_waits),
        cmocka_unit_test(test_stop_under_load),
        cmocka_unit_test(test_shutdown_command),
        cmocka_unit_test_setup_teardown(test_hangup_and_pipe_do_not_end_it, set_up, tear_down),
        cmocka_unit_test(test_daemon),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
