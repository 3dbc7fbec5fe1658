/*
 * client_test.c - the client library against a peer whose every byte the test writes.
 *
 * The peer's replies are put on the wire before the client asks for them, so one thread plays both
 * sides; only where more is sent than the kernel's buffers hold does a child process take one.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "clients/client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#define TIMEOUT_MS       10000 /* never reached unless something is wrong */
#define SHORT_TIMEOUT_MS 30    /* for the tests that are about reaching it */

#define COUNT_OF(array)  (sizeof(array) / sizeof((array)[0]))

struct stage {
    struct client *client;
    int listener;
    int peer; /* the server's side of the connection */
    uint16_t port;
};

static void stage_connect(struct stage *stage)
{
    if (stage->peer >= 0)
        assert_int_equal(close(stage->peer), 0);
    assert_int_equal(client_connect_tcp(stage->client, "127.0.0.1", stage->port, TIMEOUT_MS),
                     CLIENT_OK);
    stage->peer = accept(stage->listener, NULL, NULL);
    assert_true(stage->peer >= 0);
}

static int set_up(void **state)
{
    struct stage *stage = calloc(1, sizeof(*stage));
    assert_non_null(stage);
    stage->client = client_new();
    assert_non_null(stage->client);
    stage->listener = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    assert_int_equal(bind(stage->listener, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(listen(stage->listener, 8), 0);
    assert_int_equal(getsockname(stage->listener, (struct sockaddr *)&address, &bytes), 0);
    stage->port = ntohs(address.sin_port);
    stage->peer = -1;
    stage_connect(stage);
    *state = stage;
    return 0;
}

static int tear_down(void **state)
{
    struct stage *stage = *state;
    client_free(stage->client);
    if (stage->peer >= 0)
        assert_int_equal(close(stage->peer), 0);
    assert_int_equal(close(stage->listener), 0);
    free(stage);
    return 0;
}

/* Puts a reply on the wire. */
static void say(const struct stage *stage, const char *reply)
{
    size_t bytes = strlen(reply);
    assert_int_equal(send(stage->peer, reply, bytes, MSG_NOSIGNAL), bytes);
}

/* What the client has sent is exactly @request. */
static void heard(const struct stage *stage, const char *request)
{
    char got[4096];
    size_t bytes = strlen(request);
    assert_true(bytes < sizeof(got));
    assert_int_equal(recv(stage->peer, got, bytes, MSG_WAITALL), bytes);
    got[bytes] = '\0';
    assert_string_equal(got, request);
    assert_int_equal(recv(stage->peer, got, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void slice_equals(struct client_slice slice, const char *text)
{
    assert_int_equal(slice.bytes, strlen(text));
    assert_memory_equal(slice.data, text, slice.bytes);
}

static void stores_are_written(void **state)
{
    static const struct {
        enum client_mode mode;
        const char *request;
    } CASES[] = {
        {CLIENT_SET, "set k:1 4294967295 -1 3\r\na\r\n\r\n"},
        {CLIENT_ADD, "add k:1 4294967295 -1 3\r\na\r\n\r\n"},
        {CLIENT_REPLACE, "replace k:1 4294967295 -1 3\r\na\r\n\r\n"},
        {CLIENT_APPEND, "append k:1 4294967295 -1 3\r\na\r\n\r\n"},
        {CLIENT_PREPEND, "prepend k:1 4294967295 -1 3\r\na\r\n\r\n"},
        {CLIENT_CAS, "cas k:1 4294967295 -1 3 18446744073709551615\r\na\r\n\r\n"},
    };
    struct stage *stage = *state;
    struct client_item item = {
        .key = "k:1",
        .key_bytes = 3,
        .value = "a\r\n",
        .value_bytes = 3,
        .flags = UINT32_MAX,
        .exptime_s = -1,
        .cas = UINT64_MAX,
    };
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        say(stage, "STORED\r\n");
        assert_int_equal(client_store(stage->client, CASES[i].mode, &item), CLIENT_OK);
        heard(stage, CASES[i].request);
    }
}

static void requests_are_written(void **state)
{
    struct stage *stage = *state;
    struct client *client = stage->client;
    struct client_slice version;
    uint64_t number = 0;

    say(stage, "DELETED\r\nTOUCHED\r\n");
    assert_int_equal(client_delete(client, "k", 1), CLIENT_OK);
    heard(stage, "delete k\r\n");
    /* The second reply came with the first, and was not asked for yet. */
    assert_int_equal(client_touch(client, "k", 1, 30), CLIENT_UNEXPECTED);
    stage_connect(stage);

    say(stage, "TOUCHED\r\n");
    assert_int_equal(client_touch(client, "k", 1, 30), CLIENT_OK);
    heard(stage, "touch k 30\r\n");
    say(stage, "18446744073709551615\r\n");
    assert_int_equal(client_incr(client, "k", 1, 7, &number), CLIENT_OK);
    assert_true(number == UINT64_MAX);
    heard(stage, "incr k 7\r\n");
    say(stage, "0\r\n");
    assert_int_equal(client_decr(client, "k", 1, UINT64_MAX, &number), CLIENT_OK);
    assert_true(number == 0);
    heard(stage, "decr k 18446744073709551615\r\n");
    say(stage, "OK\r\n");
    assert_int_equal(client_flush_all(client, 0), CLIENT_OK);
    heard(stage, "flush_all 0\r\n");
    say(stage, "VERSION 1.2.3 x\r\n");
    assert_int_equal(client_version(client, &version), CLIENT_OK);
    slice_equals(version, "1.2.3 x");
    heard(stage, "version\r\n");
}

static void single_gets(void **state)
{
    struct stage *stage = *state;
    struct client *client = stage->client;
    struct client_value value;

    say(stage, "VALUE k 7 5\r\nhe\r\no\r\nEND\r\n");
    assert_int_equal(client_get(client, "k", 1, &value), CLIENT_OK);
    heard(stage, "get k\r\n");
    slice_equals(value.key, "k");
    slice_equals(value.data, "he\r\no");
    assert_int_equal(value.flags, 7);
    assert_true(value.cas == 0);

    say(stage, "VALUE k 4294967295 0 18446744073709551615\r\n\r\nEND\r\n");
    assert_int_equal(client_gets(client, "k", 1, &value), CLIENT_OK);
    heard(stage, "gets k\r\n");
    slice_equals(value.data, "");
    assert_true(value.flags == UINT32_MAX && value.cas == UINT64_MAX);

    say(stage, "END\r\n");
    assert_int_equal(client_gat(client, "k", 1, -1, &value), CLIENT_NOT_FOUND);
    heard(stage, "gat -1 k\r\n");
    assert_true(client_connected(client));
}

static void values_stay_until_the_next_call(void **state)
{
    struct stage *stage = *state;
    struct client *client = stage->client;
    struct client_slice keys[] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"bb", 2}};
    struct client_value value;

    say(stage, "VALUE a 1 3\r\nAAA\r\nVALUE bb 2 0\r\n\r\nEND\r\n");
    assert_int_equal(client_get_many(client, false, keys, COUNT_OF(keys)), CLIENT_OK);
    heard(stage, "get a bb\r\n");
    assert_int_equal(client_read_value(client, &value), CLIENT_OK);
    slice_equals(value.key, "a");
    slice_equals(value.data, "AAA");
    assert_int_equal(client_read_value(client, &value), CLIENT_OK);
    slice_equals(value.key, "bb");
    slice_equals(value.data, "");
    assert_int_equal(client_read_value(client, &value), CLIENT_END);

    say(stage, "END\r\n");
    assert_int_equal(client_get_many(client, true, keys, COUNT_OF(keys)), CLIENT_OK);
    heard(stage, "gets a bb\r\n");
    assert_int_equal(client_read_value(client, &value), CLIENT_END);
}

static void stats_are_listed(void **state)
{
    struct stage *stage = *state;
    struct client *client = stage->client;
    struct client_stat stat;

    say(stage, "STAT pid 17\r\nSTAT 26:addr tcp:1.2.3.4:5\r\nSTAT a b c\r\nSTAT empty\r\nEND\r\n");
    assert_int_equal(client_stats(client, ""), CLIENT_OK);
    heard(stage, "stats\r\n");
    assert_int_equal(client_read_stat(client, &stat), CLIENT_OK);
    slice_equals(stat.name, "pid");
    slice_equals(stat.value, "17");
    assert_int_equal(client_read_stat(client, &stat), CLIENT_OK);
    slice_equals(stat.name, "26:addr");
    assert_int_equal(client_read_stat(client, &stat), CLIENT_OK);
    slice_equals(stat.value, "b c");
    assert_int_equal(client_read_stat(client, &stat), CLIENT_OK);
    slice_equals(stat.value, "");
    assert_int_equal(client_read_stat(client, &stat), CLIENT_END);

    say(stage, "RESET\r\n");
    assert_int_equal(client_stats(client, "reset"), CLIENT_OK);
    heard(stage, "stats reset\r\n");
    assert_int_equal(client_read_stat(client, &stat), CLIENT_END);
    assert_int_equal(client_stats(client, "a\nflush_all"), CLIENT_BAD_KEY);
    assert_true(client_connected(client));
}

static void reply_lines_have_their_status(void **state)
{
    static const struct {
        const char *line;
        enum client_status status;
    } CASES[] = {
        {"STORED\r\n", CLIENT_OK},
        {"NOT_STORED\r\n", CLIENT_NOT_STORED},
        {"EXISTS\r\n", CLIENT_EXISTS},
        {"NOT_FOUND\r\n", CLIENT_NOT_FOUND},
        {"ERROR\r\n", CLIENT_REFUSED},
        {"ERROR Too many open connections\r\n", CLIENT_REFUSED},
        {"CLIENT_ERROR bad data chunk\r\n", CLIENT_REFUSED},
        {"SERVER_ERROR out of memory storing object\r\n", CLIENT_REFUSED},
        {"SERVER_ERROR: shutdown not enabled\r\n", CLIENT_REFUSED},
        {"STORED \r\n", CLIENT_UNEXPECTED},
        {"stored\r\n", CLIENT_UNEXPECTED},
        {"ERRORS\r\n", CLIENT_UNEXPECTED},
        {"END\r\n", CLIENT_UNEXPECTED},
        {"\r\n", CLIENT_UNEXPECTED},
        {"\n", CLIENT_UNEXPECTED},
    };
    struct stage *stage = *state;
    struct client_item item = {.key = "k", .key_bytes = 1, .value = "", .value_bytes = 0};
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        say(stage, CASES[i].line);
        assert_int_equal(client_store(stage->client, CLIENT_CAS, &item), CASES[i].status);
        bool refused = CASES[i].status == CLIENT_REFUSED;
        if (refused)
            assert_int_equal(
                strncmp(client_text(stage->client), CASES[i].line, strlen(CASES[i].line) - 2), 0);
        assert_int_equal(client_connected(stage->client), CASES[i].status != CLIENT_UNEXPECTED);
        stage_connect(stage);
    }
}

static void hostile_replies(void **state)
{
    static const char *const CASES[] = {
        "VALUE k 0 99999999999999999999\r\n",
        "VALUE k 0 18446744073709551615\r\n",
        "VALUE k 0 18446744073709551616\r\n",
        "VALUE k 0 1073741825\r\n",
        "VALUE k 0 -1\r\n",
        "VALUE k 4294967296 1\r\na\r\nEND\r\n",
        "VALUE k 0 1 18446744073709551616\r\na\r\nEND\r\n",
        "VALUE k 0 1 2 3\r\na\r\nEND\r\n",
        "VALUE k 0\r\n",
        "VALUE\r\n",
        "VALUES k 0 1\r\na\r\nEND\r\n",
        "VALUE k 0 1\r\nabEND\r\n\r\n",
        "VALUE k 0 1\r\na\r\nEND\n\r\n",
        "VALUE k 0 1\r\na\r\nVALUE k 0 1\r\n",
        "STORED\r\n",
        "STAT k v\r\n",
    };
    struct stage *stage = *state;
    struct client_value value;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        say(stage, CASES[i]);
        assert_int_equal(client_get(stage->client, "k", 1, &value), CLIENT_UNEXPECTED);
        assert_false(client_connected(stage->client));
        assert_int_equal(client_get(stage->client, "k", 1, &value), CLIENT_CLOSED);
        stage_connect(stage);
    }
}

static void endless_line(void **state)
{
    struct stage *stage = *state;
    struct client_slice line;
    static char longest[CLIENT_LINE_BYTES_MAX + 1];
    memset(longest, 'x', sizeof(longest));
    longest[CLIENT_LINE_BYTES_MAX - 1] = '\n';
    longest[CLIENT_LINE_BYTES_MAX] = '\0';
    say(stage, longest);
    assert_int_equal(client_receive_line(stage->client, &line), CLIENT_OK);
    assert_int_equal(line.bytes, CLIENT_LINE_BYTES_MAX - 1);

    longest[CLIENT_LINE_BYTES_MAX - 1] = 'x';
    say(stage, longest);
    assert_int_equal(client_receive_line(stage->client, &line), CLIENT_UNEXPECTED);
}

static void numbers_out_of_range(void **state)
{
    static const char *const CASES[] = {"18446744073709551616\r\n", "-1\r\n", "1 \r\n", "\r\n",
                                        "STORED\r\n"};
    struct stage *stage = *state;
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        uint64_t number = 5;
        say(stage, CASES[i]);
        assert_int_equal(client_incr(stage->client, "k", 1, 1, &number), CLIENT_UNEXPECTED);
        assert_true(number == 5);
        stage_connect(stage);
    }
}

static void keys_that_could_end_the_line(void **state)
{
    static const struct {
        const char *key;
        size_t bytes;
    } CASES[] = {{"", 0}, {"a b", 3}, {"a\n", 2}, {"a\r", 2}, {"\0", 1}, {"a\x7f", 2}};
    struct stage *stage = *state;
    struct client_value value;
    char key[CLIENT_KEY_BYTES_MAX + 1];
    memset(key, 'k', sizeof(key));

    for (size_t i = 0; i < COUNT_OF(CASES); i++)
        assert_int_equal(client_get(stage->client, CASES[i].key, CASES[i].bytes, &value),
                         CLIENT_BAD_KEY);
    assert_int_equal(client_get(stage->client, key, sizeof(key), &value), CLIENT_BAD_KEY);
    struct client_slice keys[] = {{(const uint8_t *)"a", 1}, {(const uint8_t *)"b c", 3}};
    assert_int_equal(client_get_many(stage->client, false, keys, COUNT_OF(keys)), CLIENT_BAD_KEY);

    say(stage, "DELETED\r\n");
    assert_int_equal(client_delete(stage->client, "\x80\xff", 2), CLIENT_OK);
    heard(stage, "delete \x80\xff\r\n");
}

static void leftover_bytes(void **state)
{
    struct stage *stage = *state;
    say(stage, "DELETED\r\nX");
    assert_int_equal(client_delete(stage->client, "k", 1), CLIENT_OK);
    assert_int_equal(client_delete(stage->client, "k", 1), CLIENT_UNEXPECTED);
    assert_false(client_connected(stage->client));
}

static void pipeline(void **state)
{
    static const char REQUESTS[] = "set a 0 0 1\r\n1\r\nincr a 1\r\nget a\r\ndelete a\r\n";
    struct stage *stage = *state;
    struct client *client = stage->client;
    struct client_value value;
    uint64_t number;

    for (size_t i = 0; i < strlen(REQUESTS); i++)
        assert_int_equal(client_queue(client, REQUESTS + i, 1), CLIENT_OK);
    assert_int_equal(client_flush(client), CLIENT_OK);
    heard(stage, REQUESTS);
    say(stage, "STORED\r\n2\r\nVALUE a 0 1\r\n2\r\nEND\r\nDELETED\r\n");
    assert_int_equal(client_read_reply(client), CLIENT_OK);
    assert_int_equal(client_read_number(client, &number), CLIENT_OK);
    assert_int_equal(client_read_value(client, &value), CLIENT_OK);
    assert_int_equal(client_read_value(client, &value), CLIENT_END);
    assert_int_equal(client_read_reply(client), CLIENT_OK);
}

/* A child process that runs @play on the peer's side and ends. */
static pid_t start_child(const struct stage *stage, void (*play)(int peer))
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child > 0)
        return child;
    play(stage->peer);
    _exit(0);
}

static void end_child(pid_t child)
{
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

#define LARGE_BYTES ((size_t)8 << 20)

static void say_bytewise(int peer)
{
    static const char REPLY[] = "VALUE key 1 12 99\r\nEND\r\nEND\r\nxx\r\nEND\r\n";
    for (size_t i = 0; i < strlen(REPLY); i++) {
        if (send(peer, REPLY + i, 1, MSG_NOSIGNAL) != 1)
            _exit(1);
        (void)usleep(200);
    }
}

static void say_large(int peer)
{
    char *data = malloc(LARGE_BYTES);
    if (data == NULL)
        _exit(1);
    memset(data, 'L', LARGE_BYTES);
    dprintf(peer, "VALUE key 1 %zu\r\n", LARGE_BYTES);
    for (size_t sent = 0; sent < LARGE_BYTES;) {
        ssize_t more = send(peer, data + sent, LARGE_BYTES - sent, MSG_NOSIGNAL);
        if (more <= 0)
            _exit(1);
        sent += (size_t)more;
    }
    free(data);
    dprintf(peer, "\r\nEND\r\n");
}

static void hear_large(int peer)
{
    char data[65536];
    size_t heard_bytes = 0;
    for (;;) {
        ssize_t more = recv(peer, data, sizeof(data), 0);
        if (more < 0)
            _exit(1);
        if (more == 0)
            _exit(heard_bytes == LARGE_BYTES ? 0 : 1);
        heard_bytes += (size_t)more;
    }
}

static void replies_in_pieces(void **state)
{
    struct stage *stage = *state;
    struct client_value value;
    pid_t child = start_child(stage, say_bytewise);
    assert_int_equal(client_gets(stage->client, "key", 3, &value), CLIENT_OK);
    slice_equals(value.key, "key");
    slice_equals(value.data, "END\r\nEND\r\nxx");
    assert_true(value.cas == 99);
    end_child(child);

    child = start_child(stage, say_large);
    assert_int_equal(client_get(stage->client, "key", 3, &value), CLIENT_OK);
    slice_equals(value.key, "key");
    assert_int_equal(value.data.bytes, LARGE_BYTES);
    for (size_t i = 0; i < LARGE_BYTES; i++)
        assert_true(value.data.data[i] == 'L');
    end_child(child);
}

static void timeouts(void **state)
{
    struct stage *stage = *state;
    struct client *client = stage->client;
    struct client_slice line;
    struct client_value value;

    client_set_timeout(client, SHORT_TIMEOUT_MS);
    say(stage, "half a li");
    assert_int_equal(client_receive_line(client, &line), CLIENT_TIMEOUT);
    assert_true(client_connected(client));
    say(stage, "ne\r\n");
    assert_int_equal(client_receive_line(client, &line), CLIENT_OK);
    slice_equals(line, "half a line");

    say(stage, "VALUE k 0 10\r\nonly");
    assert_int_equal(client_get(client, "k", 1, &value), CLIENT_TIMEOUT);
    assert_false(client_connected(client));
}

static void sending_more_than_fits(void **state)
{
    struct stage *stage = *state;
    struct client *client = stage->client;
    uint8_t *data = calloc(1, LARGE_BYTES);
    assert_non_null(data);
    assert_int_equal(client_queue(client, data, LARGE_BYTES), CLIENT_OK);
    free(data);
    client_set_timeout(client, SHORT_TIMEOUT_MS);
    assert_int_equal(client_flush(client), CLIENT_TIMEOUT);
    assert_true(client_connected(client));

    pid_t child = start_child(stage, hear_large);
    client_set_timeout(client, TIMEOUT_MS);
    assert_int_equal(client_flush(client), CLIENT_OK);
    assert_int_equal(client_shutdown_send(client), CLIENT_OK);
    end_child(child);
}

static void bytes_as_they_come(void **state)
{
    struct stage *stage = *state;
    struct client *client = stage->client;
    struct client_slice slice;
    say(stage, "abcdef\n");
    assert_int_equal(client_receive_bytes(client, 2, &slice), CLIENT_OK);
    slice_equals(slice, "ab");
    assert_int_equal(client_receive_some(client, &slice), CLIENT_OK);
    slice_equals(slice, "cdef\n");
    client_consume(client, 1);
    assert_int_equal(client_receive_line(client, &slice), CLIENT_OK);
    slice_equals(slice, "def");
    assert_int_equal(client_receive_bytes(client, CLIENT_VALUE_BYTES_MAX + 1, &slice),
                     CLIENT_NO_MEMORY);
}

static void a_closed_connection(void **state)
{
    struct stage *stage = *state;
    struct client_slice slice;
    say(stage, "rest");
    assert_int_equal(close(stage->peer), 0);
    stage->peer = -1;
    assert_int_equal(client_receive_line(stage->client, &slice), CLIENT_CLOSED);
    assert_int_equal(client_receive_bytes(stage->client, 4, &slice), CLIENT_OK);
    slice_equals(slice, "rest");
    assert_int_equal(client_delete(stage->client, "k", 1), CLIENT_CLOSED);
    assert_int_equal(client_delete(stage->client, "k", 1), CLIENT_CLOSED);
    stage_connect(stage);
    say(stage, "DELETED\r\n");
    assert_int_equal(client_delete(stage->client, "k", 1), CLIENT_OK);
}

static void nobody_there(void **state)
{
    struct stage *stage = *state;
    int unused = socket(AF_INET, SOCK_STREAM, 0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t bytes = sizeof(address);
    assert_int_equal(bind(unused, (struct sockaddr *)&address, bytes), 0);
    assert_int_equal(getsockname(unused, (struct sockaddr *)&address, &bytes), 0);
    assert_int_equal(
        client_connect_tcp(stage->client, "127.0.0.1", ntohs(address.sin_port), TIMEOUT_MS),
        CLIENT_UNREACHABLE);
    assert_int_equal(close(unused), 0);
    assert_false(client_connected(stage->client));
    assert_int_equal(client_descriptor(stage->client), -1);
    assert_int_equal(client_connect_unix(stage->client, "/nonexistent/socket", TIMEOUT_MS),
                     CLIENT_UNREACHABLE);
    char path[200];
    memset(path, 'p', sizeof(path));
    path[sizeof(path) - 1] = '\0';
    assert_int_equal(client_connect_unix(stage->client, path, TIMEOUT_MS), CLIENT_UNREACHABLE);
    struct client_slice slice;
    assert_int_equal(client_receive_some(stage->client, &slice), CLIENT_CLOSED);
    assert_int_equal(client_queue(stage->client, "x", 1), CLIENT_OK);
    assert_int_equal(client_flush(stage->client), CLIENT_CLOSED);
    assert_int_equal(client_shutdown_send(stage->client), CLIENT_CLOSED);
}

static void unix_sockets(void **state)
{
    struct stage *stage = *state;
    char folder[] = P_tmpdir "/client_test.XXXXXX";
    assert_non_null(mkdtemp(folder));
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/socket", folder);
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(listen(listener, 1), 0);

    assert_int_equal(client_connect_unix(stage->client, address.sun_path, TIMEOUT_MS), CLIENT_OK);
    assert_int_equal(close(stage->peer), 0);
    stage->peer = accept(listener, NULL, NULL);
    say(stage, "NOT_FOUND\r\n");
    assert_int_equal(client_touch(stage->client, "k", 1, 0), CLIENT_NOT_FOUND);
    heard(stage, "touch k 0\r\n");
    assert_int_equal(close(listener), 0);
    assert_int_equal(unlink(address.sun_path), 0);
    assert_int_equal(rmdir(folder), 0);
}

/* ---- meta commands, logins ---- */

static void meta_requests_are_written(void **state)
{
    struct stage *stage = *state;
    struct client *client = stage->client;
    const struct client_slice value = {(const uint8_t *)"a\r\n", 3};
    static const uint8_t LONG[188] = {0};
    struct client_meta reply;
    assert_int_equal(client_queue_meta(client, "mg", "k", 1, NULL, "v t f"), CLIENT_OK);
    assert_int_equal(client_queue_meta(client, "ms", "k", 1, &value, "F1 ME"), CLIENT_OK);
    assert_int_equal(client_queue_meta(client, "md", "a b", 3, NULL, ""), CLIENT_OK);
    assert_int_equal(client_queue_meta(client, "mg", "\n", 1, NULL, "v"), CLIENT_OK);
    assert_int_equal(client_queue_meta(client, "mg", "\xff\x01\x02\x03\xfe", 5, NULL, "v"),
                     CLIENT_OK);
    assert_int_equal(client_queue_meta(client, "mg", "", 0, NULL, "v"), CLIENT_BAD_KEY);
    assert_int_equal(client_queue_meta(client, "mg", LONG, 187, NULL, "v"), CLIENT_BAD_KEY);
    assert_int_equal(client_flush(client), CLIENT_OK);
    heard(stage, "mg k v t f\r\nms k 3 F1 ME\r\na\r\n\r\nmd YSBi  b\r\nmg Cg== v b\r\n"
                 "mg /wECA/4= v b\r\n");
    say(stage, "VA 3 t-1 f4294967295\r\na\r\n\r\nHD\r\nNF\r\nEN\r\nNS c5\r\nEX\r\n");
    int64_t number;
    assert_int_equal(client_read_meta(client, &reply), CLIENT_OK);
    slice_equals(reply.data, "a\r\n");
    assert_true(client_meta_number(&reply, 't', &number) && number == -1);
    assert_true(client_meta_number(&reply, 'f', &number) && number == UINT32_MAX);
    assert_false(client_meta_number(&reply, 'c', &number));
    assert_int_equal(client_read_meta(client, &reply), CLIENT_OK);
    assert_int_equal(reply.data.bytes, 0);
    assert_int_equal(client_read_meta(client, &reply), CLIENT_NOT_FOUND);
    assert_int_equal(client_read_meta(client, &reply), CLIENT_NOT_FOUND);
    assert_int_equal(client_read_meta(client, &reply), CLIENT_NOT_STORED);
    assert_true(client_meta_number(&reply, 'c', &number) && number == 5);
    assert_int_equal(client_read_meta(client, &reply), CLIENT_EXISTS);
    say(stage, "ERROR\r\n");
    assert_int_equal(client_read_meta(client, &reply), CLIENT_REFUSED);
    assert_true(client_connected(client));
}

static void hostile_meta_replies(void **state)
{
    static const char *const CASES[] = {
        "VA\r\n",
        "VA x\r\n",
        "VA -1\r\n",
        "VA 1073741825 t1\r\n",
        "VA 18446744073709551615\r\n",
        "VA 1\r\nabcd\r\n",
        "STORED\r\n",
        "HDX\r\n",
        "\r\n",
    };
    struct stage *stage = *state;
    struct client_meta reply;
    /* Flags that are too long: without a value, and with one that does not come. */
    static const char *const HEADS[] = {"HD ", "VA 5 "};
    char line[CLIENT_FLAGS_BYTES_MAX + 8];
    for (size_t i = 0; i < COUNT_OF(CASES); i++) {
        say(stage, CASES[i]);
        assert_int_equal(client_read_meta(stage->client, &reply), CLIENT_UNEXPECTED);
        assert_false(client_connected(stage->client));
        stage_connect(stage);
    }
    for (size_t i = 0; i < COUNT_OF(HEADS); i++) {
        size_t head_bytes = strlen(HEADS[i]);
        memcpy(line, HEADS[i], head_bytes);
        memset(line + head_bytes, 'x', CLIENT_FLAGS_BYTES_MAX);
        memcpy(line + head_bytes + CLIENT_FLAGS_BYTES_MAX, "\r\n", 3);
        say(stage, line);
        assert_int_equal(client_read_meta(stage->client, &reply), CLIENT_UNEXPECTED);
        assert_false(client_connected(stage->client));
        stage_connect(stage);
    }
}

static void stores_in_a_pipeline(void **state)
{
    struct stage *stage = *state;
    struct client_item item = {.key = "k", .key_bytes = 1, .value = "v", .value_bytes = 1};
    for (int i = 0; i < 3; i++)
        assert_int_equal(client_queue_store(stage->client, CLIENT_ADD, &item), CLIENT_OK);
    assert_int_equal(client_flush(stage->client), CLIENT_OK);
    heard(stage, "add k 0 0 1\r\nv\r\nadd k 0 0 1\r\nv\r\nadd k 0 0 1\r\nv\r\n");
    say(stage, "STORED\r\nNOT_STORED\r\nSTORED\r\n");
    assert_int_equal(client_read_reply(stage->client), CLIENT_OK);
    assert_int_equal(client_read_reply(stage->client), CLIENT_NOT_STORED);
    assert_int_equal(client_read_reply(stage->client), CLIENT_OK);
}

static void logins(void **state)
{
    struct stage *stage = *state;
    char longest[CLIENT_LOGIN_BYTES_MAX];
    say(stage, "CLIENT_ERROR authentication failure\r\n");
    assert_int_equal(client_login(stage->client, "user", "pass"), CLIENT_REFUSED);
    /* A server that asks for none must not keep it. */
    heard(stage, "set login 0 -1 9\r\nuser pass\r\n");
    memset(longest, 'p', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    assert_int_equal(client_login(stage->client, "user", longest), CLIENT_NO_MEMORY);
    assert_true(client_connected(stage->client));
}

static void tls_that_cannot_be(void **state)
{
    struct stage *stage = *state;
    const struct client_tls_how nowhere = {.ca_file = "/nowhere.pem"};
    assert_int_equal(client_use_tls(stage->client, &nowhere), CLIENT_TLS_FAILED);
    assert_non_null(strstr(client_text(stage->client), "/nowhere.pem"));
    stage_connect(stage); /* plain */
}

static void every_status_has_a_text(void **state)
{
    (void)state;
    for (int status = CLIENT_OK; status <= CLIENT_SYSTEM; status++)
        assert_true(strlen(client_status_text((enum client_status)status)) > 1);
}

#define STAGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(stores_are_written),
        STAGED(requests_are_written),
        STAGED(single_gets),
        STAGED(values_stay_until_the_next_call),
        STAGED(stats_are_listed),
        STAGED(reply_lines_have_their_status),
        STAGED(hostile_replies),
        STAGED(endless_line),
        STAGED(numbers_out_of_range),
        STAGED(keys_that_could_end_the_line),
        STAGED(leftover_bytes),
        STAGED(pipeline),
        STAGED(replies_in_pieces),
        STAGED(timeouts),
        STAGED(sending_more_than_fits),
        STAGED(bytes_as_they_come),
        STAGED(a_closed_connection),
        STAGED(nobody_there),
        STAGED(unix_sockets),
        STAGED(meta_requests_are_written),
        STAGED(hostile_meta_replies),
        STAGED(stores_in_a_pipeline),
        STAGED(logins),
        STAGED(tls_that_cannot_be),
        cmocka_unit_test(every_status_has_a_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
