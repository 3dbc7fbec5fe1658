#include "tests/bench/load.h"

#include "clients/load_buffer.h"
#include "tests/bench/floor.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SCRATCH_BYTES ((size_t)1 << 18)
#define STALL_MS      5000
#define FILL_DEPTH    50u
#define TAIL_BYTES    5u /* "END\r\n", and of "STORED\r\n" the last five */

/* One item's requests lie behind each other: "get KEY\r\n", then "set KEY 0 0 N\r\nVALUE\r\n". */
struct prepared {
    size_t start;
    uint32_t set_bytes;
    uint32_t value_reply_bytes; /* of "VALUE ...\r\n...\r\n", without END */
    uint16_t key_bytes;
};

struct connection {
    int fd;
    bool waits_for_room; /* asked epoll for EPOLLOUT */
    struct load_buffer out;
    size_t expected; /* bytes of the batch's reply still to come */
    uint8_t tail[TAIL_BYTES];
};

struct load {
    struct prepared *items;
    uint32_t items_count;
    struct load_buffer bytes;
    uint64_t random;
    uint8_t scratch[SCRATCH_BYTES];
    struct connection connections[LOAD_CONNECTIONS_MAX];
};

struct run {
    struct load *load;
    const struct load_plan *plan;
    int epoll;
    uint32_t fill_next; /* load_fill(): the item to store next */
    bool filling;
    uint64_t requests;
    char *error;
};

static bool fail(struct run *run, const char *what)
{
    snprintf(run->error, LOAD_ERROR_BYTES, "%s: %s", what, errno != 0 ? strerror(errno) : "-");
    return false;
}

static double seconds_of(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* ---- what is sent ---- */

static bool prepare(struct load *load, const struct corpus_item *item, struct prepared *prepared)
{
    size_t most = 2 * item->key_bytes + item->value_bytes + 64;
    char head[64];
    int head_bytes;
    uint8_t *at = load_buffer_room(&load->bytes, most);

    if (at == NULL)
        return false;
    head_bytes = snprintf(head, sizeof(head), " 0 0 %zu\r\n", item->value_bytes);
    prepared->start = load->bytes.end;
    prepared->key_bytes = (uint16_t)item->key_bytes;
    at = mempcpy(at, "get ", 4);
    at = mempcpy(at, item->key, item->key_bytes);
    at = mempcpy(at, "\r\n", 2);
    at = mempcpy(at, "set ", 4);
    at = mempcpy(at, item->key, item->key_bytes);
    at = mempcpy(at, head, (size_t)head_bytes);
    at = mempcpy(at, item->value, item->value_bytes);
    at = mempcpy(at, "\r\n", 2);
    prepared->set_bytes =
        (uint32_t)(4 + item->key_bytes + (size_t)head_bytes + item->value_bytes + 2);
    prepared->value_reply_bytes =
        (uint32_t)snprintf(NULL, 0, "VALUE %.*s 0 %zu\r\n\r\n", (int)item->key_bytes,
                           (const char *)item->key, item->value_bytes) +
        (uint32_t)item->value_bytes;
    load->bytes.end = (size_t)(at - load->bytes.data);
    return true;
}

/* Keys that were drawn, by a hash of 64 bits, in a table at most half full; 0 is an empty place. */
struct seen {
    uint64_t *hashes;
    uint64_t mask;
};

static bool seen_init(struct seen *seen, uint32_t items_count)
{
    uint64_t places = 2;

    while (places < 2 * (uint64_t)items_count)
        places *= 2;
    seen->mask = places - 1;
    seen->hashes = calloc(places, sizeof(*seen->hashes));
    return seen->hashes != NULL;
}

/* False where the key was there before, or one of the same hash. */
static bool seen_add(struct seen *seen, const struct corpus_item *item)
{
    uint64_t hash = 0xcbf29ce484222325u; /* FNV-1a */

    for (size_t i = 0; i < item->key_bytes; i++)
        hash = (hash ^ item->key[i]) * 0x100000001b3u;
    hash = corpus_random(&hash) | 1;
    for (uint64_t at = hash >> 1;; at++) {
        uint64_t *place = &seen->hashes[at & seen->mask];

        if (*place == hash)
            return false;
        if (*place == 0) {
            *place = hash;
            return true;
        }
    }
}

/* Classes have some keys in common: an item's reply must be its own. */
static bool prepare_all(struct load *load, struct corpus *corpus, uint32_t items_count)
{
    struct seen seen = {0};
    struct corpus_item item;
    bool good = load->items != NULL && seen_init(&seen, items_count);

    while (good && load->items_count < items_count) {
        corpus_item(corpus, corpus_draw(corpus), &item);
        if (!seen_add(&seen, &item))
            continue;
        good = prepare(load, &item, &load->items[load->items_count]);
        load->items_count += good;
    }
    free(seen.hashes);
    return good;
}

struct load *load_new(struct corpus *corpus, uint32_t items_count)
{
    struct load *load = calloc(1, sizeof(*load));

    if (load == NULL)
        return NULL;
    load->items = calloc(items_count, sizeof(*load->items));
    load->random = items_count;
    if (prepare_all(load, corpus, items_count))
        return load;
    load_free(load);
    return NULL;
}

void load_free(struct load *load)
{
    if (load == NULL)
        return;
    for (unsigned i = 0; i < LOAD_CONNECTIONS_MAX; i++)
        load_buffer_fini(&load->connections[i].out);
    free(load->items);
    load_buffer_fini(&load->bytes);
    free(load);
}

size_t load_data_bytes(const struct load *load)
{
    return load->bytes.end;
}

static bool append(struct connection *connection, const void *bytes, size_t count)
{
    uint8_t *at = load_buffer_room(&connection->out, count);

    if (at == NULL)
        return false;
    memcpy(at, bytes, count);
    connection->out.end += count;
    return true;
}

static bool append_request(struct run *run, struct connection *connection,
                           const struct prepared *item, bool first)
{
    const uint8_t *get = run->load->bytes.data + item->start;
    size_t get_bytes = 4u + item->key_bytes + 2u;

    switch (run->plan->kind) {
    case LOAD_SET:
        connection->expected += strlen("STORED\r\n");
        return append(connection, get + get_bytes, item->set_bytes);
    case LOAD_GET:
        connection->expected += item->value_reply_bytes + strlen("END\r\n");
        return append(connection, get, get_bytes);
    case LOAD_MULTIGET:
        connection->expected += item->value_reply_bytes + (first ? strlen("END\r\n") : 0);
        /* "get" once, then " KEY" each; the line's end comes with the last. */
        return (!first || append(connection, "get", 3)) &&
               append(connection, get + 3, get_bytes - 5);
    }
    return false;
}

static bool write_out(struct run *run, struct connection *connection)
{
    struct epoll_event event = {.data.ptr = connection};
    struct load_buffer *out = &connection->out;

    while (out->begin < out->end) {
        ssize_t sent = send(connection->fd, out->data + out->begin, out->end - out->begin,
                            MSG_NOSIGNAL | MSG_DONTWAIT);

        if (sent < 0 && errno == EAGAIN)
            break;
        if (sent < 0)
            return fail(run, "send");
        load_buffer_take(out, (size_t)sent);
    }
    if (connection->waits_for_room == (out->begin < out->end))
        return true;
    connection->waits_for_room = !connection->waits_for_room;
    event.events = EPOLLIN | (connection->waits_for_room ? EPOLLOUT : 0u);
    return epoll_ctl(run->epoll, EPOLL_CTL_MOD, connection->fd, &event) == 0 ||
           fail(run, "epoll_ctl");
}

static bool send_batch(struct run *run, struct connection *connection)
{
    struct load *load = run->load;

    connection->out.begin = connection->out.end = 0;
    for (unsigned i = 0; i < run->plan->depth; i++) {
        uint32_t number = run->filling
                              ? run->fill_next++
                              : (uint32_t)(corpus_random(&load->random) % load->items_count);

        if (run->filling && number >= load->items_count)
            break;
        if (!append_request(run, connection, &load->items[number], i == 0))
            return fail(run, "no memory");
    }
    if (run->plan->kind == LOAD_MULTIGET && !append(connection, "\r\n", 2))
        return fail(run, "no memory");
    if (run->plan->floor)
        floor_header(connection->out.data, connection->out.end, connection->expected,
                     run->plan->kind == LOAD_SET);
    return write_out(run, connection);
}

/* ---- what comes back ---- */

static void keep_tail(struct connection *connection, const uint8_t *bytes, size_t count)
{
    size_t kept = count < TAIL_BYTES ? TAIL_BYTES - count : 0;

    memmove(connection->tail, connection->tail + TAIL_BYTES - kept, kept);
    memcpy(connection->tail + kept, bytes + count - (TAIL_BYTES - kept), TAIL_BYTES - kept);
}

/* Takes what has come. @done: the batch's reply is whole. */
static bool read_in(struct run *run, struct connection *connection, bool *done)
{
    ssize_t got = recv(connection->fd, run->load->scratch, SCRATCH_BYTES, MSG_DONTWAIT);
    const char *wanted = run->plan->kind == LOAD_SET ? "RED\r\n" : "END\r\n";

    *done = false;
    if (got < 0 && errno == EAGAIN)
        return true;
    if (got <= 0)
        return fail(run, "connection lost");
    errno = 0;
    if ((size_t)got > connection->expected)
        return fail(run, "more bytes than the reply has");
    keep_tail(connection, run->load->scratch, (size_t)got);
    connection->expected -= (size_t)got;
    if (connection->expected > 0)
        return true;
    *done = true;
    return memcmp(connection->tail, wanted, TAIL_BYTES) == 0 || fail(run, "not the reply wanted");
}

/* ---- the loop ---- */

static bool open_connection(struct run *run, uint16_t port, struct connection *connection)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
    int one = 1;

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    connection->expected = 0;
    connection->waits_for_room = false;
    connection->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connection->fd < 0 ||
        connect(connection->fd, (struct sockaddr *)&address, sizeof(address)) < 0)
        return fail(run, "connect");
    if (setsockopt(connection->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)) < 0 ||
        epoll_ctl(run->epoll, EPOLL_CTL_ADD, connection->fd, &event) < 0)
        return fail(run, "connect");
    return true;
}

/* One connection that epoll speaks of. @active: how many have a batch on the way. */
static bool serve_event(struct run *run, const struct epoll_event *event, bool go_on,
                        unsigned *active)
{
    struct connection *connection = event->data.ptr;
    bool done = false;

    if ((event->events & EPOLLOUT) != 0 && !write_out(run, connection))
        return false;
    if ((event->events & (EPOLLIN | EPOLLHUP | EPOLLERR)) != 0 && !read_in(run, connection, &done))
        return false;
    if (!done)
        return true;
    run->requests += run->plan->depth;
    if (go_on && (!run->filling || run->fill_next < run->load->items_count))
        return send_batch(run, connection);
    (*active)--;
    return true;
}

static bool loop(struct run *run, double until)
{
    struct epoll_event events[LOAD_CONNECTIONS_MAX];
    unsigned active = 0;

    for (; active < run->plan->connections; active++) {
        if (!send_batch(run, &run->load->connections[active]))
            return false;
    }
    while (active > 0) {
        int count = epoll_wait(run->epoll, events, (int)LOAD_CONNECTIONS_MAX, STALL_MS);
        bool go_on = run->filling || seconds_of(CLOCK_MONOTONIC) < until;

        if (count == 0) {
            errno = 0;
            return fail(run, "no answer for five seconds (a miss, or the server hangs)");
        }
        for (int i = 0; i < count; i++) {
            if (!serve_event(run, &events[i], go_on, &active))
                return false;
        }
    }
    return true;
}

static bool run_all(struct run *run, uint16_t port, double seconds, struct load_result *result)
{
    struct connection *connections = run->load->connections;
    unsigned opened = 0;
    bool good = true;

    assert(run->plan->connections <= LOAD_CONNECTIONS_MAX && run->plan->depth > 0);
    run->epoll = epoll_create1(0);
    if (run->epoll < 0)
        return fail(run, "epoll_create1");
    for (; good && opened < run->plan->connections; opened++)
        good = open_connection(run, port, &connections[opened]);
    if (good) {
        double cpu = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
        double start = seconds_of(CLOCK_MONOTONIC);

        good = loop(run, start + seconds);
        result->seconds = seconds_of(CLOCK_MONOTONIC) - start;
        result->busy_percent = 100 * (seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu) / result->seconds;
        result->requests = run->requests;
    }
    for (unsigned i = 0; i < opened; i++)
        close(connections[i].fd);
    close(run->epoll);
    return good;
}

bool load_fill(struct load *load, uint16_t port, char error[LOAD_ERROR_BYTES])
{
    const struct load_plan plan = {"fill", LOAD_SET, 1, FILL_DEPTH, false};
    struct load_result result;
    struct run run = {.load = load, .plan = &plan, .filling = true, .error = error};

    return run_all(&run, port, 0, &result);
}

bool load_run(struct load *load, uint16_t port, const struct load_plan *plan, double seconds,
              struct load_result *result, char error[LOAD_ERROR_BYTES])
{
    struct run run = {.load = load, .plan = plan, .error = error};

    return run_all(&run, port, seconds, result);
}
