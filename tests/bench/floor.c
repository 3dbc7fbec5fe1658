#include "tests/bench/floor.h"

#include "tests/bench/bench.h"
#include "tests/bench/bench_server.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READ_BYTES   (64u << 10)
#define ANSWER_BYTES (1u << 20) /* sent at once; a longer answer is sent in several */
#define TAIL_BYTES   5u

struct floor {
    long pid;
    uint16_t port;
};

struct loop {
    struct event_base *base;
    bool text;
    size_t value_bytes; /* of text */
    uint8_t in[READ_BYTES];
    uint8_t out[ANSWER_BYTES];
};

struct connection {
    struct loop *loop;
    struct event *readable;
    struct event *writable;
    size_t header_used;
    uint8_t header[FLOOR_HEADER_BYTES];
    uint64_t to_read; /* of the request that has begun */
    uint64_t to_write;
    bool store;
};

void floor_header(uint8_t *request, uint64_t request_bytes, uint64_t answer_bytes, int store)
{
    uint64_t header[2] = {request_bytes, answer_bytes | (store ? FLOOR_STORE : 0)};
    memcpy(request, header, sizeof(header));
}

static void close_connection(struct connection *connection)
{
    (void)close(event_get_fd(connection->readable));
    event_free(connection->readable);
    event_free(connection->writable);
    free(connection);
}

/* False where it was closed. */
static bool answer(struct connection *connection)
{
    uint8_t *out = connection->loop->out;
    while (connection->to_write > 0) {
        size_t bytes =
            connection->to_write < ANSWER_BYTES ? (size_t)connection->to_write : ANSWER_BYTES;
        if (bytes == connection->to_write && bytes >= TAIL_BYTES)
            memcpy(out + bytes - TAIL_BYTES, connection->store ? "RED\r\n" : "END\r\n", TAIL_BYTES);
        ssize_t sent =
            send(event_get_fd(connection->readable), out, bytes, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0 && errno == EAGAIN) {
            event_add(connection->writable, NULL);
            return true;
        }
        if (sent <= 0) {
            close_connection(connection);
            return false;
        }
        connection->to_write -= (size_t)sent;
    }
    return true;
}

/* A request's header, which may come in pieces; then its bytes are only counted. */
static size_t take(struct connection *connection, const uint8_t *bytes, size_t count)
{
    if (connection->header_used < FLOOR_HEADER_BYTES) {
        size_t taken = FLOOR_HEADER_BYTES - connection->header_used;
        uint64_t header[2];
        taken = taken < count ? taken : count;
        memcpy(connection->header + connection->header_used, bytes, taken);
        connection->header_used += taken;
        if (connection->header_used == FLOOR_HEADER_BYTES) {
            memcpy(header, connection->header, sizeof(header));
            connection->to_read = header[0] - FLOOR_HEADER_BYTES;
            connection->to_write = header[1] & ~FLOOR_STORE;
            connection->store = header[1] & FLOOR_STORE;
        }
        return taken;
    }
    size_t taken = connection->to_read < count ? (size_t)connection->to_read : count;
    connection->to_read -= taken;
    return taken;
}

static size_t starts_with(const uint8_t *bytes, size_t count, const char *word)
{
    size_t length = strlen(word);
    return count >= length && memcmp(bytes, word, length) == 0 ? length : 0;
}

/* "get KEY": the value of every key. */
static size_t compose_value(struct loop *loop, const uint8_t *key, size_t count)
{
    const uint8_t *end = memchr(key, '\r', count);
    size_t key_bytes = end != NULL ? (size_t)(end - key) : 0;
    size_t used = (size_t)sprintf((char *)loop->out, "VALUE %.*s 0 %zu\r\n", (int)key_bytes,
                                  (const char *)key, loop->value_bytes);
    memset(loop->out + used, 'v', loop->value_bytes);
    used += loop->value_bytes;
    memcpy(loop->out + used, "\r\nEND\r\n", 7);
    return used + 7;
}

static void answer_text(struct connection *connection, size_t count)
{
    struct loop *loop = connection->loop;
    size_t used;
    size_t word = starts_with(loop->in, count, "get ");
    if (word > 0)
        used = compose_value(loop, loop->in + word, count - word);
    else if (starts_with(loop->in, count, "set ") > 0)
        used = (size_t)sprintf((char *)loop->out, "STORED\r\n");
    else if (starts_with(loop->in, count, "version") > 0)
        used = (size_t)sprintf((char *)loop->out, "VERSION floor\r\n");
    else
        used = (size_t)sprintf((char *)loop->out, "END\r\n");
    /* One answer a connection is on its way: its socket has room for it. */
    if (send(event_get_fd(connection->readable), loop->out, used, MSG_NOSIGNAL | MSG_DONTWAIT) !=
        (ssize_t)used)
        close_connection(connection);
}

static void on_readable(evutil_socket_t fd, short what, void *context)
{
    struct connection *connection = context;
    ssize_t got = recv(fd, connection->loop->in, READ_BYTES, MSG_DONTWAIT);
    (void)what;
    if (got < 0 && errno == EAGAIN)
        return;
    if (got <= 0) {
        close_connection(connection);
        return;
    }
    if (connection->loop->text) {
        answer_text(connection, (size_t)got);
        return;
    }
    /* The load sends the next request when it has the answer: a read never holds two. */
    for (size_t at = 0; at < (size_t)got;)
        at += take(connection, connection->loop->in + at, (size_t)got - at);
    if (connection->header_used == FLOOR_HEADER_BYTES && connection->to_read == 0) {
        connection->header_used = 0;
        (void)answer(connection);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *context)
{
    (void)fd;
    (void)what;
    (void)answer(context);
}

static void on_accept(evutil_socket_t fd, short what, void *context)
{
    struct loop *loop = context;
    int one = 1;
    int accepted = accept4(fd, NULL, NULL, SOCK_NONBLOCK);
    (void)what;
    if (accepted < 0)
        return;
    struct connection *connection = calloc(1, sizeof(*connection));
    if (connection == NULL)
        abort();
    (void)setsockopt(accepted, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    connection->loop = loop;
    connection->readable =
        event_new(loop->base, accepted, EV_READ | EV_PERSIST, on_readable, connection);
    connection->writable = event_new(loop->base, accepted, EV_WRITE, on_writable, connection);
    event_add(connection->readable, NULL);
}

static _Noreturn void serve(struct loop *loop, int listening)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    loop->base = event_base_new();
    struct event *event = event_new(loop->base, listening, EV_READ | EV_PERSIST, on_accept, loop);
    event_add(event, NULL);
    (void)event_base_dispatch(loop->base);
    _exit(0);
}

static struct floor *start(struct loop *loop, int core)
{
    struct floor *floor = calloc(1, sizeof(*floor));
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t address_bytes = sizeof(address);
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (floor == NULL || loop == NULL || listening < 0 ||
        bind(listening, (struct sockaddr *)&address, sizeof(address)) != 0 ||
        listen(listening, 1024) != 0 ||
        getsockname(listening, (struct sockaddr *)&address, &address_bytes) != 0)
        bench_fail("floor", strerror(errno));
    floor->port = ntohs(address.sin_port);
    floor->pid = fork();
    if (floor->pid < 0)
        bench_fail("floor", strerror(errno));
    if (floor->pid == 0) {
        bench_bind(core);
        serve(loop, listening);
    }
    (void)close(listening);
    free(loop);
    return floor;
}

struct floor *floor_start(int core)
{
    return start(calloc(1, sizeof(struct loop)), core);
}

struct floor *floor_start_text(int core, size_t value_bytes)
{
    struct loop *loop = calloc(1, sizeof(*loop));
    assert(value_bytes <= FLOOR_VALUE_BYTES_MAX);
    if (loop != NULL) {
        loop->text = true;
        loop->value_bytes = value_bytes;
    }
    return start(loop, core);
}

void floor_stop(struct floor *floor)
{
    (void)kill((pid_t)floor->pid, SIGTERM);
    (void)waitpid((pid_t)floor->pid, NULL, 0);
    free(floor);
}

uint16_t floor_port(const struct floor *floor)
{
    return floor->port;
}

long floor_pid(const struct floor *floor)
{
    return floor->pid;
}
