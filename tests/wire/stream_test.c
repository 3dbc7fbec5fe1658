/*
 * stream_test.c - long streams, slow peers, many connections and full caches, at both servers.
 *
 *   stream_test <our server>
 *
 * What a transcript cannot say because it takes a loop: a million pipelined commands, readers that
 * do not read, senders that stop halfway, -c, -M, and a large value into a cache full of small
 * ones. Our server's memory is measured as well; memcached's is its own affair. With a sanitizer
 * built in: a tenth of the commands, half the cache to fill, and memcached is left out.
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

#include <arpa/inet.h>
#include <assert.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define MIB             ((size_t)1 << 20)
#define MEMORY_MIB      (INSTRUMENTED ? 32u : 64u) /* of a cache that is filled */
#define LINE_BYTES_MAX  512u
#define PIPELINED       (INSTRUMENTED ? 100000u : 1000000u)
#define SEND_BYTES      ((size_t)64 << 10)
#define LARGE_BYTES     1000000u
#define SHORT_WAIT_MS   300 /* for an answer that must not come */
#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))
#define CONNECTIONS_MAX 90u

struct server {
    const char *program;
    bool ours;
};

struct stage {
    struct server server;
    struct peer *peer;
    struct client *client;
    struct client *others[CONNECTIONS_MAX];
};

/* --- the stage --- */

static int set_up(void **state)
{
    const struct server *server = *state;
    struct stage *stage = calloc(1, sizeof(*stage));
    assert_non_null(stage);
    stage->server = *server;
    *state = stage;
    return 0;
}

static void start(struct stage *stage, const char *options)
{
    char error[PEER_ERROR_BYTES];
    stage->peer = peer_start(stage->server.program, options, PEER_TCP, error);
    if (stage->peer == NULL)
        fail_msg("%s", error);
    stage->client = client_new();
    assert_non_null(stage->client);
    assert_int_equal(peer_connect(stage->peer, stage->client), CLIENT_OK);
}

/* Memory at its most, of our server: the limit and 2 %. */
static void memory_was_kept(const struct stage *stage)
{
    size_t most = peer_resident_bytes_max(stage->peer);
    assert_true(most > 0);
    print_message("at most %zu KiB resident\n", most / 1024);
    if (!INSTRUMENTED && stage->server.ours && most > MEMORY_MIB * MIB / 100 * 102)
        fail_msg("%zu KiB resident with -m %u", most / 1024, MEMORY_MIB);
}

/* The server is stopped with whatever connections are still open. */
static int tear_down(void **state)
{
    struct stage *stage = *state;
    bool good = stage->peer != NULL && peer_stop(stage->peer);
    client_free(stage->client);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        client_free(stage->others[i]);
    if (stage->server.ours && !good)
        fprintf(stderr, "the server does not exit with 0 on SIGTERM\n");
    good = good || !stage->server.ours;
    free(stage);
    return good ? 0 : -1;
}

static struct client *other(struct stage *stage, size_t index)
{
    assert(index < CONNECTIONS_MAX);
    if (stage->others[index] == NULL)
        stage->others[index] = client_new();
    assert_non_null(stage->others[index]);
    if (!client_connected(stage->others[index]))
        assert_int_equal(peer_connect(stage->peer, stage->others[index]), CLIENT_OK);
    return stage->others[index];
}

static void send_text(struct client *client, const char *text)
{
    assert_int_equal(client_queue(client, text, strlen(text)), CLIENT_OK);
    assert_int_equal(client_flush(client), CLIENT_OK);
}

static void expect_line(struct client *client, const char *line)
{
    struct client_slice got;
    enum client_status status = client_receive_line(client, &got);
    if (status != CLIENT_OK)
        fail_msg("expected %s: %s", line, client_status_text(status));
    if (got.bytes != strlen(line) || memcmp(got.data, line, got.bytes) != 0)
        fail_msg("expected %s, got %.*s", line, (int)got.bytes, (const char *)got.data);
}

static uint64_t stat_of(struct client *client, const char *name)
{
    struct client_stat stat;
    uint64_t value = UINT64_MAX;
    enum client_status status = client_stats(client, "");
    assert_int_equal(status, CLIENT_OK);
    while ((status = client_read_stat(client, &stat)) == CLIENT_OK) {
        char digits[24] = "";
        if (stat.name.bytes != strlen(name) || memcmp(stat.name.data, name, stat.name.bytes) != 0 ||
            stat.value.bytes >= sizeof(digits))
            continue;
        memcpy(digits, stat.value.data, stat.value.bytes);
        value = strtoull(digits, NULL, 10);
    }
    assert_int_equal(status, CLIENT_END);
    assert_true(value != UINT64_MAX);
    return value;
}

/* Bytes that do not compress, another run for each @seed. */
static void fill_noise(uint8_t *data, size_t bytes, uint64_t seed)
{
    uint64_t word = seed * 0x9e3779b97f4a7c15u + 1;
    for (size_t i = 0; i < bytes; i += sizeof(word)) {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        memcpy(data + i, &word, bytes - i < sizeof(word) ? bytes - i : sizeof(word));
    }
}

static enum client_status set_noise(struct client *client, const char *key, size_t bytes,
                                    uint64_t seed)
{
    uint8_t *value = malloc(bytes);
    assert_non_null(value);
    fill_noise(value, bytes, seed);
    struct client_item item = {
        .key = key, .key_bytes = strlen(key), .value = value, .value_bytes = bytes};
    enum client_status status = client_store(client, CLIENT_SET, &item);
    free(value);
    return status;
}

/* What is stored there is exactly what set_noise() stored, or nothing. */
static bool noise_is_there(struct client *client, const char *key, size_t bytes, uint64_t seed)
{
    struct client_value value;
    enum client_status status = client_get(client, key, strlen(key), &value);
    if (status == CLIENT_NOT_FOUND)
        return false;
    assert_int_equal(status, CLIENT_OK);
    assert_int_equal(value.data.bytes, bytes);
    uint8_t *expected = malloc(bytes);
    assert_non_null(expected);
    fill_noise(expected, bytes, seed);
    assert_memory_equal(value.data.data, expected, bytes);
    free(expected);
    return true;
}

/* Values go in and out while all that is under way, and the memory is kept to. */
static void others_are_served(struct stage *stage)
{
    for (unsigned i = 0; i < 2000; i++) {
        char key[32];
        (void)snprintf(key, sizeof(key), "work%u", i);
        assert_int_equal(set_noise(stage->client, key, 500, i), CLIENT_OK);
        assert_true(noise_is_there(stage->client, key, 500, i));
    }
    memory_was_kept(stage);
}

/* --- a million commands in one stream --- */

/* Command @number and all that answers it. Groups of eight about one key, so that each answer is
 * known without a model. */
static void pipelined_command(unsigned number, char *command, char *answer)
{
    unsigned group = number / 8;
    switch (number % 8) {
    case 0:
        (void)snprintf(command, LINE_BYTES_MAX, "set key%u %u 0 12\r\nvalue %06u\r\n", group,
                       number, group);
        (void)snprintf(answer, LINE_BYTES_MAX, "STORED\r\n");
        break;
    case 1:
        (void)snprintf(command, LINE_BYTES_MAX, "get key%u\r\n", group);
        (void)snprintf(answer, LINE_BYTES_MAX, "VALUE key%u %u 12\r\nvalue %06u\r\nEND\r\n", group,
                       number - 1, group);
        break;
    case 2:
        (void)snprintf(command, LINE_BYTES_MAX, "append key%u 0 0 2\r\n++\r\n", group);
        (void)snprintf(answer, LINE_BYTES_MAX, "STORED\r\n");
        break;
    case 3:
        (void)snprintf(command, LINE_BYTES_MAX, "get none%u key%u\r\n", group, group);
        (void)snprintf(answer, LINE_BYTES_MAX, "VALUE key%u %u 14\r\nvalue %06u++\r\nEND\r\n",
                       group, number - 3, group);
        break;
    case 4:
        (void)snprintf(command, LINE_BYTES_MAX, "incr key%u 1\r\n", group);
        (void)snprintf(answer, LINE_BYTES_MAX,
                       "CLIENT_ERROR cannot increment or decrement non-numeric value\r\n");
        break;
    case 5:
        (void)snprintf(command, LINE_BYTES_MAX, "incr counter 1\r\n");
        (void)snprintf(answer, LINE_BYTES_MAX, "%u\r\n", group + 1);
        break;
    case 6:
        (void)snprintf(command, LINE_BYTES_MAX, "delete key%u\r\n", group);
        (void)snprintf(answer, LINE_BYTES_MAX, "DELETED\r\n");
        break;
    default:
        (void)snprintf(command, LINE_BYTES_MAX, "bogus %u\r\n", number);
        (void)snprintf(answer, LINE_BYTES_MAX, "ERROR\r\n");
        break;
    }
}

/* The half that sends, in a thread of its own: it does not wait for answers. It returns NULL where
 * all was sent; only the main thread asserts. */
static void *send_pipeline(void *context)
{
    struct client *client = context;
    char command[LINE_BYTES_MAX];
    char answer[LINE_BYTES_MAX];
    size_t queued = 0;
    for (unsigned i = 0; i < PIPELINED; i++) {
        pipelined_command(i, command, answer);
        if (client_queue(client, command, strlen(command)) != CLIENT_OK)
            return client;
        queued += strlen(command);
        if (queued < SEND_BYTES && i + 1 < PIPELINED)
            continue;
        if (client_flush(client) != CLIENT_OK)
            return client;
        queued = 0;
    }
    return NULL;
}

static void receive_pipeline(struct client *client)
{
    char command[LINE_BYTES_MAX];
    char answer[LINE_BYTES_MAX];
    for (unsigned i = 0; i < PIPELINED; i++) {
        struct client_slice got;
        pipelined_command(i, command, answer);
        enum client_status status = client_receive_bytes(client, strlen(answer), &got);
        if (status != CLIENT_OK)
            fail_msg("command %u, %s: %s", i, command, client_status_text(status));
        if (memcmp(got.data, answer, got.bytes) != 0)
            fail_msg("command %u, %s: %.*s", i, command, (int)got.bytes, (const char *)got.data);
    }
}

static void million_pipelined(void **state)
{
    struct stage *stage = *state;
    pthread_t sender;
    void *not_sent;
    start(stage, "-m 64");
    send_text(stage->client, "set counter 0 0 1\r\n0\r\n");
    expect_line(stage->client, "STORED");
    size_t before = peer_resident_bytes(stage->peer);

    assert_int_equal(pthread_create(&sender, NULL, send_pipeline, stage->client), 0);
    receive_pipeline(stage->client);
    assert_int_equal(pthread_join(sender, &not_sent), 0);
    assert_null(not_sent);

    send_text(stage->client, "version\r\n");
    struct client_slice line;
    assert_int_equal(client_receive_line(stage->client, &line), CLIENT_OK);
    assert_memory_equal(line.data, "VERSION ", 8);
    assert_int_equal(stat_of(stage->client, "cmd_set"), PIPELINED / 8 * 2 + 1);
    if (!INSTRUMENTED && stage->server.ours)
        assert_true(peer_resident_bytes_max(stage->peer) < before + 32 * MIB);
    memory_was_kept(stage);
}

/* --- slow readers --- */

/* One value each in the server's buffers: well below the half of -m that connections may hold. */
#define SLOW_READERS 20u
#define SLOW_GETS    50u

static void check_large_values(struct client *client, unsigned count)
{
    uint8_t *expected = malloc(LARGE_BYTES);
    assert_non_null(expected);
    fill_noise(expected, LARGE_BYTES, 1);
    for (unsigned i = 0; i < count; i++) {
        struct client_value value;
        assert_int_equal(client_read_value(client, &value), CLIENT_OK);
        assert_int_equal(value.data.bytes, LARGE_BYTES);
        assert_memory_equal(value.data.data, expected, LARGE_BYTES);
        assert_int_equal(client_read_value(client, &value), CLIENT_END);
    }
    free(expected);
}

/* Readers that ask for 1 GB in all and read nothing of it, while others work. */
static void slow_readers(void **state)
{
    struct stage *stage = *state;
    start(stage, "-m 64");
    assert_int_equal(set_noise(stage->client, "large", LARGE_BYTES, 1), CLIENT_OK);
    for (unsigned i = 0; i < SLOW_READERS; i++) {
        for (unsigned j = 0; j < SLOW_GETS; j++)
            assert_int_equal(client_queue(other(stage, i), "get large\r\n", 11), CLIENT_OK);
        assert_int_equal(client_flush(other(stage, i)), CLIENT_OK);
    }
    others_are_served(stage);

    /* Some read on and get every byte, the others leave. */
    check_large_values(other(stage, 0), SLOW_GETS);
    check_large_values(other(stage, SLOW_READERS - 1), SLOW_GETS);
    for (unsigned i = 1; i + 1 < SLOW_READERS; i++)
        client_close(other(stage, i));
    assert_true(noise_is_there(stage->client, "large", LARGE_BYTES, 1));
    memory_was_kept(stage);
}

/* One that shuts down its side and then reads late still gets all of it. */
static void late_reader(void **state)
{
    struct stage *stage = *state;
    start(stage, "-m 64");
    assert_int_equal(set_noise(stage->client, "large", LARGE_BYTES, 1), CLIENT_OK);
    for (unsigned j = 0; j < SLOW_GETS; j++)
        send_text(other(stage, 0), "get large\r\n");
    assert_int_equal(client_shutdown_send(other(stage, 0)), CLIENT_OK);
    for (unsigned i = 0; i < SLOW_GETS; i++)
        assert_true(noise_is_there(stage->client, "large", LARGE_BYTES, 1));
    check_large_values(other(stage, 0), SLOW_GETS);
    struct client_slice rest;
    assert_int_equal(client_receive_some(other(stage, 0), &rest), CLIENT_CLOSED);
}

/* --- slow senders --- */

#define SLOW_SENDERS 40u
#define HALF_BYTES   (LARGE_BYTES / 2)

/* Senders of large values that stop halfway: 20 MB are under way, 40 MB are announced. */
static void slow_senders(void **state)
{
    struct stage *stage = *state;
    uint8_t *value = malloc(LARGE_BYTES);
    assert_non_null(value);
    start(stage, "-m 64");
    for (unsigned i = 0; i < SLOW_SENDERS; i++) {
        char line[LINE_BYTES_MAX];
        (void)snprintf(line, sizeof(line), "set slow%u 0 0 %u\r\n", i, LARGE_BYTES);
        fill_noise(value, LARGE_BYTES, i);
        assert_int_equal(client_queue(other(stage, i), line, strlen(line)), CLIENT_OK);
        assert_int_equal(client_queue(other(stage, i), value, HALF_BYTES), CLIENT_OK);
        assert_int_equal(client_flush(other(stage, i)), CLIENT_OK);
    }
    others_are_served(stage);

    /* Every other one goes on; it is stored, or there was no memory and it says so. */
    unsigned stored = 0;
    for (unsigned i = 0; i < SLOW_SENDERS; i += 2) {
        fill_noise(value, LARGE_BYTES, i);
        assert_int_equal(client_queue(other(stage, i), value + HALF_BYTES, HALF_BYTES), CLIENT_OK);
        assert_int_equal(client_queue(other(stage, i), "\r\n", 2), CLIENT_OK);
        assert_int_equal(client_flush(other(stage, i)), CLIENT_OK);
        enum client_status status = client_read_reply(other(stage, i));
        if (status == CLIENT_REFUSED)
            assert_memory_equal(client_text(other(stage, i)), "SERVER_ERROR out of memory", 26);
        else
            assert_int_equal(status, CLIENT_OK);
        char key[32];
        (void)snprintf(key, sizeof(key), "slow%u", i);
        bool there = noise_is_there(stage->client, key, LARGE_BYTES, i);
        assert_true(status == CLIENT_OK || !there);
        stored += there;
    }
    free(value);
    assert_true(stored >= SLOW_SENDERS / 4);

    /* The others leave, and nothing of theirs is there. */
    for (unsigned i = 1; i < SLOW_SENDERS; i += 2) {
        char key[32];
        (void)snprintf(key, sizeof(key), "slow%u", i);
        client_close(other(stage, i));
        assert_false(noise_is_there(stage->client, key, LARGE_BYTES, i));
    }
    memory_was_kept(stage);
}

/* --- the limit of connections --- */

/* memcached needs some 30 descriptors for itself. */
#define CONNECTION_LIMIT 60u

/* True where the server answers, false where it refuses with its one line and closes. */
static bool connection_is_served(struct client *client)
{
    struct client_slice line;
    enum client_status status = client_queue(client, "version\r\n", 9);
    assert_int_equal(status, CLIENT_OK);
    status = client_flush(client);
    assert_true(status == CLIENT_OK || status == CLIENT_CLOSED);
    status = client_receive_line(client, &line);
    /* A reset may come before the line is read: the server has closed with our request unread. */
    if (status == CLIENT_CLOSED)
        return false;
    assert_int_equal(status, CLIENT_OK);
    if (line.bytes > 8 && memcmp(line.data, "VERSION ", 8) == 0)
        return true;
    assert_int_equal(line.bytes, strlen("ERROR Too many open connections"));
    assert_memory_equal(line.data, "ERROR Too many open connections", line.bytes);
    assert_int_equal(client_receive_line(client, &line), CLIENT_CLOSED);
    return false;
}

/* Over -c: refused with a line, at once, and served again when others have gone. */
static void too_many_connections(void **state)
{
    struct stage *stage = *state;
    struct client_slice line;
    start(stage, "-c 60");
    assert_true(connection_is_served(stage->client));
    unsigned served = 1;
    unsigned first_refused = CONNECTIONS_MAX;
    for (unsigned i = 0; i < CONNECTION_LIMIT + 10; i++) {
        if (connection_is_served(other(stage, i))) {
            assert_true(first_refused == CONNECTIONS_MAX);
            served++;
        } else if (first_refused == CONNECTIONS_MAX) {
            first_refused = i;
        }
    }
    /* Some descriptors are the server's own. */
    assert_true(served <= CONNECTION_LIMIT && served >= CONNECTION_LIMIT / 3);
    assert_int_equal(stat_of(stage->client, "max_connections"), CONNECTION_LIMIT);
    assert_true(stat_of(stage->client, "rejected_connections") >= CONNECTION_LIMIT + 11 - served);

    /* What is said to one too many, without anything asked. */
    client_close(other(stage, CONNECTIONS_MAX - 1));
    assert_int_equal(client_receive_line(other(stage, CONNECTIONS_MAX - 1), &line), CLIENT_OK);
    assert_int_equal(line.bytes, strlen("ERROR Too many open connections"));
    assert_int_equal(client_receive_line(other(stage, CONNECTIONS_MAX - 1), &line), CLIENT_CLOSED);

    for (unsigned i = 0; i < first_refused; i++)
        client_close(other(stage, i));
    /* The server learns of it in its own time. */
    bool again = false;
    for (unsigned tries = 0; tries < 1000 && !again; tries++) {
        client_close(other(stage, 0));
        again = connection_is_served(other(stage, 0));
    }
    assert_true(again);
}

/* Without maxconns_fast nobody is refused: one too many waits until another leaves. */
static void connections_that_wait(void **state)
{
    struct stage *stage = *state;
    struct client_slice line;
    start(stage, "-c 60 -o no_maxconns_fast");
    unsigned waiting = 0;
    for (unsigned i = 0; i < CONNECTION_LIMIT + 10 && waiting == 0; i++) {
        struct client *client = other(stage, i);
        send_text(client, "version\r\n");
        client_set_timeout(client, SHORT_WAIT_MS);
        if (client_receive_line(client, &line) == CLIENT_TIMEOUT)
            waiting = i;
        client_set_timeout(client, PEER_TIMEOUT_MS);
    }
    assert_true(waiting >= CONNECTION_LIMIT / 3 && waiting <= CONNECTION_LIMIT);
    assert_true(stat_of(stage->client, "listen_disabled_num") >= 1);
    assert_int_equal(stat_of(stage->client, "accepting_conns"), 0);
    client_close(other(stage, 1));
    assert_int_equal(client_receive_line(other(stage, waiting), &line), CLIENT_OK);
    assert_memory_equal(line.data, "VERSION ", 8);
}

/* --- full caches --- */

#define FILL_BYTES     5000u
#define FILL_ITEMS_MAX 40000u /* 200 MB: more than fits by far */

static void start_to_fill(struct stage *stage, const char *options)
{
    char line[LINE_BYTES_MAX];
    (void)snprintf(line, sizeof(line), "-m %u %s", MEMORY_MIB, options);
    start(stage, line);
}

/* -M: refused when full, nothing is evicted, and there is room again after deletes. */
static void no_evictions(void **state)
{
    struct stage *stage = *state;
    char key[32];
    start_to_fill(stage, "-M");
    enum client_status status = CLIENT_OK;
    unsigned stored = 0;
    for (; stored < FILL_ITEMS_MAX && status == CLIENT_OK; stored++) {
        (void)snprintf(key, sizeof(key), "key%u", stored);
        status = set_noise(stage->client, key, FILL_BYTES, stored);
    }
    stored--;
    assert_int_equal(status, CLIENT_REFUSED);
    assert_string_equal(client_text(stage->client), "SERVER_ERROR out of memory storing object");
    /* At least half of -m is in use, at most all of it. */
    assert_true(stored * FILL_BYTES > MEMORY_MIB * MIB / 2);
    assert_true(stored * FILL_BYTES <= MEMORY_MIB * MIB);
    for (unsigned i = 0; i < stored; i++) {
        (void)snprintf(key, sizeof(key), "key%u", i);
        assert_true(noise_is_there(stage->client, key, FILL_BYTES, i));
    }
    assert_int_equal(stat_of(stage->client, "evictions"), 0);
    assert_int_equal(stat_of(stage->client, "curr_items"), stored);
    assert_true(stat_of(stage->client, "store_no_memory") >= 1);

    /* A set that fails takes the old value with it. */
    status = set_noise(stage->client, "key0", FILL_BYTES, 1);
    assert_true(status == CLIENT_OK || status == CLIENT_REFUSED);
    assert_int_equal(noise_is_there(stage->client, "key0", FILL_BYTES, 1), status == CLIENT_OK);

    for (unsigned i = 1; i < stored / 2; i++) {
        (void)snprintf(key, sizeof(key), "key%u", i);
        assert_int_equal(client_delete(stage->client, key, strlen(key)), CLIENT_OK);
    }
    for (unsigned i = 1; i < stored / 4; i++) {
        (void)snprintf(key, sizeof(key), "key%u", i);
        assert_int_equal(set_noise(stage->client, key, FILL_BYTES, i), CLIENT_OK);
    }
    memory_was_kept(stage);
}

#define SMALL_BYTES 400u
#define SMALL_ITEMS (MEMORY_MIB * 5000u) /* twice the cache, and keys */

/* The largest value of all goes into a cache that is full of small ones. */
static void large_into_small(void **state)
{
    struct stage *stage = *state;
    uint8_t value[SMALL_BYTES];
    char line[LINE_BYTES_MAX];
    const size_t largest = 1048516;
    start_to_fill(stage, "");
    for (unsigned i = 0; i < SMALL_ITEMS; i++) {
        int bytes = snprintf(line, sizeof(line), "set small%u 0 0 %u noreply\r\n", i, SMALL_BYTES);
        fill_noise(value, sizeof(value), i);
        assert_int_equal(client_queue(stage->client, line, (size_t)bytes), CLIENT_OK);
        assert_int_equal(client_queue(stage->client, value, sizeof(value)), CLIENT_OK);
        assert_int_equal(client_queue(stage->client, "\r\n", 2), CLIENT_OK);
        if (i % 256 == 255 || i + 1 == SMALL_ITEMS)
            assert_int_equal(client_flush(stage->client), CLIENT_OK);
    }
    assert_true(stat_of(stage->client, "evictions") > 0);
    assert_int_equal(set_noise(stage->client, "k", largest, 7), CLIENT_OK);
    assert_true(noise_is_there(stage->client, "k", largest, 7));

    /* What is still there of the small ones is what was stored. */
    unsigned there = 0;
    for (unsigned i = 0; i < SMALL_ITEMS; i += 97) {
        (void)snprintf(line, sizeof(line), "small%u", i);
        there += noise_is_there(stage->client, line, SMALL_BYTES, i);
    }
    if (!INSTRUMENTED)
        assert_true(there > SMALL_ITEMS / 97 / 10);
    memory_was_kept(stage);
}

/* --- stats conns --- */

struct listed {
    char name[32];
    char value[64];
};

/* One line, "27:state" "conn_read", without its descriptor. */
static bool next_listed(struct client *client, struct listed *listed)
{
    struct client_stat stat;
    enum client_status status = client_read_stat(client, &stat);
    if (status == CLIENT_END)
        return false;
    assert_int_equal(status, CLIENT_OK);
    char name[64];
    char *colon;
    assert_true(stat.name.bytes < sizeof(name) && stat.value.bytes < sizeof(listed->value));
    memcpy(name, stat.name.data, stat.name.bytes);
    name[stat.name.bytes] = '\0';
    (void)strtoul(name, &colon, 10);
    assert_true(colon != name && *colon == ':' && strlen(colon) < sizeof(listed->name));
    memcpy(listed->name, colon + 1, strlen(colon));
    memcpy(listed->value, stat.value.data, stat.value.bytes);
    listed->value[stat.value.bytes] = '\0';
    return true;
}

static unsigned port_of(const struct client *client, bool remote)
{
    struct sockaddr_in address;
    socklen_t bytes = sizeof(address);
    int descriptor = client_descriptor(client);
    int answer = remote ? getpeername(descriptor, (struct sockaddr *)&address, &bytes)
                        : getsockname(descriptor, (struct sockaddr *)&address, &bytes);
    assert_int_equal(answer, 0);
    return ntohs(address.sin_port);
}

/* The listener and each connection, with their addresses, states and seconds. */
static void connections_are_listed(void **state)
{
    static const char *const NAMES[] = {"addr", "listen_addr", "state", "secs_since_last_cmd"};
    struct stage *stage = *state;
    struct listed listed;
    char here[64];
    char there[64];
    unsigned listeners = 0;
    unsigned found = 0;
    unsigned place = 0; /* in NAMES */
    start(stage, "");
    assert_true(connection_is_served(other(stage, 0)));
    (void)snprintf(here, sizeof(here), "tcp:127.0.0.1:%u", port_of(other(stage, 0), false));
    (void)snprintf(there, sizeof(there), "tcp:127.0.0.1:%u", port_of(other(stage, 0), true));

    assert_int_equal(client_stats(stage->client, "conns"), CLIENT_OK);
    while (next_listed(stage->client, &listed)) {
        /* A listener has no listen_addr of its own. */
        bool listener = place == 1 && strcmp(listed.name, "state") == 0;
        listeners += listener;
        place += listener;
        assert_string_equal(listed.name, NAMES[place]);
        found += place == 0 && strcmp(listed.value, here) == 0;
        if (listener)
            assert_string_equal(listed.value, "conn_listening");
        else if (place == 1)
            assert_string_equal(listed.value, there);
        else if (place == 2)
            assert_memory_equal(listed.value, "conn_", 5);
        place = (place + 1) % COUNT_OF(NAMES);
    }
    assert_int_equal(place, 0);
    assert_int_equal(listeners, 1);
    assert_int_equal(found, 1);
}

/* --- connections that do nothing --- */

static void idle_connections(void **state)
{
    struct stage *stage = *state;
    struct client_slice line;
    start(stage, "-o idle_timeout=1");
    assert_true(connection_is_served(other(stage, 0)));
    assert_int_equal(client_receive_line(other(stage, 0), &line), CLIENT_CLOSED);
    client_close(stage->client);
    assert_int_equal(peer_connect(stage->peer, stage->client), CLIENT_OK);
    assert_true(stat_of(stage->client, "idle_kicks") >= 1);
}

static const struct {
    const char *name;
    CMUnitTestFunction test;
} TESTS[] = {
    {"million_pipelined", million_pipelined},
    {"slow_readers", slow_readers},
    {"late_reader", late_reader},
    {"slow_senders", slow_senders},
    {"too_many_connections", too_many_connections},
    {"connections_that_wait", connections_that_wait},
    {"no_evictions", no_evictions},
    {"large_into_small", large_into_small},
    {"connections_are_listed", connections_are_listed},
    {"idle_connections", idle_connections},
};

int main(int arguments_count, char **arguments)
{
    if (arguments_count != 2) {
        fprintf(stderr, "usage: %s <server>\n", arguments[0]);
        return 2;
    }
    struct server servers[] = {{arguments[1], true}, {"memcached", false}};
    static char names[2 * COUNT_OF(TESTS)][64];
    struct CMUnitTest tests[2 * COUNT_OF(TESTS)];
    /* memcached is the same one, whatever this program is built with. */
    const size_t servers_count = INSTRUMENTED ? 1 : COUNT_OF(servers);
    const size_t count = servers_count * COUNT_OF(TESTS);
    for (size_t i = 0; i < count; i++) {
        struct server *server = &servers[i % servers_count];
        const size_t test = i / servers_count;
        (void)snprintf(names[i], sizeof(names[i]), "%s/%s", TESTS[test].name,
                       server->ours ? "zbcached" : "memcached");
        tests[i] = (struct CMUnitTest){names[i], TESTS[test].test, set_up, tear_down, server};
    }
    return _cmocka_run_group_tests("stream", tests, count, NULL, NULL);
}
