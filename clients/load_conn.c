#include "clients/load_conn.h"

#include "clients/load_reply.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define READ_BYTES ((size_t)64 << 10)
#define TEXT_SHOWN 100 /* bytes of what a server sent, in a message */

struct load_conn {
    const struct load_conn_owner *owner;
    int descriptor;
    struct event *readable, *writable;
    struct load_buffer in, out;
    size_t wanted; /* bytes in `in` below which looking at it is in vain */
    struct load_request *ring;
    uint64_t *keys; /* of ring[i]: from i * keys_per_request on */
    uint32_t oldest, pending;
    uint32_t unstamped; /* the newest ones, whose time is that of the next write */
    uint32_t unlagged;  /* the newest ones, not written yet, whose time was set */
    uint64_t quiet_since_ns;
    bool failed;
};

uint64_t load_now_ns(void)
{
    struct timespec now;
    int answer = clock_gettime(CLOCK_MONOTONIC, &now);

    assert(answer == 0);
    (void)answer;
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void conn_fail(struct load_conn *conn, const char *why)
{
    if (conn->failed)
        return;
    conn->failed = true;
    (void)event_del(conn->readable);
    (void)event_del(conn->writable);
    conn->owner->failed(conn->owner->context, why);
}

/* ---- what a reply means ---- */

static void keep_text(char text[LOAD_TEXT_BYTES], const char *what, struct load_slice bytes)
{
    size_t shown = bytes.bytes < TEXT_SHOWN ? bytes.bytes : TEXT_SHOWN;
    int used;

    if (text[0] != '\0')
        return;
    used = snprintf(text, LOAD_TEXT_BYTES, "%.160s: ", what);
    for (size_t i = 0; i < shown && (size_t)used < LOAD_TEXT_BYTES - 1; i++)
        text[used++] = (char)(bytes.data[i] >= ' ' && bytes.data[i] < 0x7f ? bytes.data[i] : '.');
    text[used] = '\0';
}

static void note_wrong(struct load_conn *conn, struct load_slice key, const char *what)
{
    conn->owner->tally->wrong++;
    keep_text(conn->owner->tally->wrong_text, what, key);
}

static void verify(struct load_conn *conn, uint64_t number, const struct load_reply *reply)
{
    struct load_value value;
    char what[128];
    size_t at;

    if (reply->flags != 0)
        note_wrong(conn, reply->key, "flags that were not stored, with key");
    load_items_value(conn->owner->items, number, &value);
    if (load_value_equals(&value, reply->value.data, reply->value.bytes, &at))
        return;
    (void)snprintf(what, sizeof(what), "value of %zu bytes, stored were %zu, differs from byte %zu",
                   reply->value.bytes, value.head_bytes + value.body_bytes, at);
    note_wrong(conn, reply->key, what);
}

/* Which of the request's keys a value is for. Servers answer in the order asked; behind a proxy it
 * may be another, so those before are looked at last. */
static bool find_key(const struct load_conn *conn, struct load_request *request,
                     struct load_slice key, uint64_t *number)
{
    uint8_t expected[LOAD_KEY_BYTES_MAX];

    for (uint32_t i = 0; i < request->keys_count; i++) {
        uint32_t at = request->next + i;

        at = at < request->keys_count ? at : at - request->keys_count;
        if (load_items_key(conn->owner->items, request->keys[at], expected) == key.bytes &&
            memcmp(expected, key.data, key.bytes) == 0) {
            *number = request->keys[at];
            request->next = at + 1 < request->keys_count ? at + 1 : 0;
            return true;
        }
    }
    return false;
}

static void take_value(struct load_conn *conn, struct load_request *request,
                       const struct load_reply *reply)
{
    uint64_t number;

    if (request->values_count == request->keys_count) {
        conn_fail(conn, "more values than keys asked for");
        return;
    }
    request->values_count++;
    conn->owner->tally->hits++;
    if (!find_key(conn, request, reply->key, &number))
        note_wrong(conn, reply->key, "value of a key not asked for");
    else if (conn->owner->plan->verify)
        verify(conn, number, reply);
}

static void end_request(struct load_conn *conn, const struct load_request *request, uint64_t now_ns)
{
    struct load_tally *tally = conn->owner->tally;
    uint64_t taken_ns = now_ns > request->since_ns ? now_ns - request->since_ns : 0;

    load_histogram_add(&tally->latency_ns[request->kind], taken_ns);
    tally->requests[request->kind]++;
    if (request->kind == LOAD_GET || request->kind == LOAD_MULTIGET) {
        tally->keys_asked += request->keys_count;
        tally->misses += request->keys_count - request->values_count;
    }
    conn->oldest = conn->oldest + 1 < conn->owner->depth ? conn->oldest + 1 : 0;
    conn->pending--;
}

static bool fits(enum load_kind kind, enum load_reply_kind reply)
{
    switch (reply) {
    case LOAD_REPLY_VALUE:
    case LOAD_REPLY_END:
        return kind == LOAD_GET || kind == LOAD_MULTIGET;
    case LOAD_REPLY_STORED:
    case LOAD_REPLY_NOT_STORED:
        return kind == LOAD_SET;
    case LOAD_REPLY_DELETED:
    case LOAD_REPLY_NOT_FOUND:
        return kind == LOAD_DELETE;
    case LOAD_REPLY_REFUSED:
        return true;
    }
    return false;
}

static void take_reply(struct load_conn *conn, const struct load_reply *reply, uint64_t now_ns)
{
    struct load_request *request = &conn->ring[conn->oldest];
    char why[LOAD_TEXT_BYTES] = "";

    if (conn->pending == 0 || !fits(request->kind, reply->kind)) {
        keep_text(why,
                  conn->pending == 0 ? "nothing was asked, and the server says"
                                     : "the server's answer to something else",
                  reply->line);
        conn_fail(conn, why);
        return;
    }
    if (reply->kind == LOAD_REPLY_VALUE) {
        take_value(conn, request, reply);
        return;
    }
    if (reply->kind == LOAD_REPLY_REFUSED || reply->kind == LOAD_REPLY_NOT_STORED) {
        conn->owner->tally->refused++;
        keep_text(conn->owner->tally->refused_text, "the server says", reply->line);
    }
    if (reply->kind == LOAD_REPLY_NOT_FOUND)
        conn->owner->tally->delete_misses++;
    end_request(conn, request, now_ns);
}

/* All that has come whole. */
static void take_replies(struct load_conn *conn, uint64_t now_ns)
{
    struct load_buffer *in = &conn->in;
    size_t value_bytes_max = load_items_value_bytes_max(conn->owner->items);

    while (!conn->failed && in->end - in->begin >= conn->wanted) {
        struct load_reply reply;
        size_t used;
        enum load_reply_status status = load_reply_parse(in->data + in->begin, in->end - in->begin,
                                                         value_bytes_max, &reply, &used);
        char why[LOAD_TEXT_BYTES] = "";

        if (status == LOAD_REPLY_MORE) {
            conn->wanted = used;
            return;
        }
        if (status == LOAD_REPLY_BAD) {
            keep_text(why, "no reply of the protocol's, or a value longer than any stored",
                      (struct load_slice){in->data + in->begin, in->end - in->begin});
            conn_fail(conn, why);
            return;
        }
        take_reply(conn, &reply, now_ns);
        load_buffer_take(in, used);
        conn->wanted = 1;
    }
}

/* ---- the socket ---- */

static void fail_by_errno(struct load_conn *conn, const char *what)
{
    char why[LOAD_TEXT_BYTES];

    (void)snprintf(why, sizeof(why), "%s: %s", what, strerror(errno));
    conn_fail(conn, why);
}

/* True where something has come. */
static bool receive(struct load_conn *conn)
{
    size_t held = conn->in.end - conn->in.begin;
    size_t asked = conn->wanted > held + READ_BYTES ? conn->wanted - held : READ_BYTES;
    uint8_t *room = load_buffer_room(&conn->in, asked);
    ssize_t got;

    if (room == NULL) {
        conn_fail(conn, "no memory");
        return false;
    }
    got = recv(conn->descriptor, room, conn->in.capacity - conn->in.end, 0);
    if (got > 0) {
        conn->in.end += (size_t)got;
        conn->owner->tally->bytes_received += (uint64_t)got;
        return true;
    }
    if (got == 0)
        conn_fail(conn, "the server has closed a connection");
    else if (errno != EAGAIN && errno != EINTR)
        fail_by_errno(conn, "receiving");
    return false;
}

static void on_readable(evutil_socket_t descriptor, short what, void *context)
{
    struct load_conn *conn = context;

    (void)descriptor;
    (void)what;
    if (!receive(conn))
        return;
    conn->quiet_since_ns = load_now_ns();
    take_replies(conn, conn->quiet_since_ns);
    if (!conn->failed)
        conn->owner->replies(conn->owner->context, conn);
}

static void send_some(struct load_conn *conn)
{
    struct load_buffer *out = &conn->out;

    while (out->begin < out->end) {
        ssize_t sent =
            send(conn->descriptor, out->data + out->begin, out->end - out->begin, MSG_NOSIGNAL);

        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0 && errno == EAGAIN) {
            (void)event_add(conn->writable, NULL);
            return;
        }
        if (sent < 0) {
            fail_by_errno(conn, "sending");
            return;
        }
        conn->owner->tally->bytes_sent += (uint64_t)sent;
        load_buffer_take(out, (size_t)sent);
    }
}

static void on_writable(evutil_socket_t descriptor, short what, void *context)
{
    (void)descriptor;
    (void)what;
    send_some(context);
}

void load_conn_write(struct load_conn *conn)
{
    uint64_t now_ns;
    uint32_t at = conn->oldest + conn->pending;

    if (conn->failed || conn->unstamped + conn->unlagged == 0)
        return;
    now_ns = load_now_ns();
    if (conn->unstamped + conn->unlagged == conn->pending)
        conn->quiet_since_ns = now_ns;
    for (uint32_t left = conn->unstamped + conn->unlagged; left > 0; left--) {
        struct load_request *request =
            &conn->ring[(at - left) % conn->owner->depth]; /* at most two rounds: no overflow */

        if (conn->unstamped > 0)
            request->since_ns = now_ns;
        else
            load_histogram_add(&conn->owner->tally->lag_ns,
                               now_ns > request->since_ns ? now_ns - request->since_ns : 0);
    }
    conn->unstamped = conn->unlagged = 0;
    if (event_pending(conn->writable, EV_WRITE, NULL) == 0)
        send_some(conn);
}

/* ---- from outside ---- */

struct load_conn *load_conn_new(const struct load_conn_owner *owner, int descriptor)
{
    struct load_conn *conn = calloc(1, sizeof(*conn));
    size_t keys_each = owner->plan->mix[LOAD_MULTIGET] > 0 ? owner->plan->multiget_keys : 1;

    assert(owner->depth > 0);
    if (conn == NULL) {
        (void)close(descriptor);
        return NULL;
    }
    conn->owner = owner;
    conn->descriptor = descriptor;
    conn->wanted = 1;
    conn->ring = calloc(owner->depth, sizeof(*conn->ring));
    conn->keys = calloc(owner->depth * keys_each, sizeof(*conn->keys));
    conn->readable = event_new(owner->base, descriptor, EV_READ | EV_PERSIST, on_readable, conn);
    conn->writable = event_new(owner->base, descriptor, EV_WRITE, on_writable, conn);
    if (conn->ring == NULL || conn->keys == NULL || conn->readable == NULL ||
        conn->writable == NULL || event_add(conn->readable, NULL) != 0) {
        load_conn_free(conn);
        return NULL;
    }
    for (uint32_t i = 0; i < owner->depth; i++)
        conn->ring[i].keys = conn->keys + i * keys_each;
    return conn;
}

void load_conn_free(struct load_conn *conn)
{
    if (conn == NULL)
        return;
    if (conn->readable != NULL)
        event_free(conn->readable);
    if (conn->writable != NULL)
        event_free(conn->writable);
    (void)close(conn->descriptor);
    load_buffer_fini(&conn->in);
    load_buffer_fini(&conn->out);
    free(conn->ring);
    free(conn->keys);
    free(conn);
}

uint32_t load_conn_pending(const struct load_conn *conn)
{
    return conn->pending;
}

bool load_conn_unsent(const struct load_conn *conn)
{
    return conn->unstamped + conn->unlagged > 0;
}

size_t load_conn_unwritten_bytes(const struct load_conn *conn)
{
    return conn->out.end - conn->out.begin;
}

uint64_t load_conn_quiet_since_ns(const struct load_conn *conn)
{
    return conn->quiet_since_ns;
}

bool load_conn_add(struct load_conn *conn, struct load_source *source, bool storing,
                   uint64_t since_ns)
{
    uint32_t at = (conn->oldest + conn->pending) % conn->owner->depth;

    assert(conn->pending < conn->owner->depth);
    /* In one turn either all requests have a time set, or none. */
    assert(since_ns == 0 ? conn->unlagged == 0 : conn->unstamped == 0);
    if (!load_source_make(source, storing, &conn->out, &conn->ring[at]))
        return false;
    conn->ring[at].since_ns = since_ns;
    conn->pending++;
    conn->unstamped += since_ns == 0;
    conn->unlagged += since_ns != 0;
    return true;
}
