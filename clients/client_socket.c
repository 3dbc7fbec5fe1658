#include "clients/client_socket.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Room asked of the kernel in one read: several small replies, or a good part of a large one. */
#define READ_BYTES ((size_t)64 << 10)

static int64_t now_ms(void)
{
    struct timespec now;
    int answer = clock_gettime(CLOCK_MONOTONIC, &now);
    assert(answer == 0);
    (void)answer;
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

struct client_deadline client_deadline_in(int timeout_ms)
{
    assert(timeout_ms > 0);
    return (struct client_deadline){now_ms() + timeout_ms};
}

bool client_socket_init(struct client_socket *sock)
{
    *sock = (struct client_socket){
        .descriptor = -1,
        .in = {.data = malloc(READ_BYTES), .capacity = READ_BYTES},
        .out = {.data = malloc(READ_BYTES), .capacity = READ_BYTES},
    };
    if (sock->in.data != NULL && sock->out.data != NULL)
        return true;
    client_socket_fini(sock);
    return false;
}

void client_socket_close(struct client_socket *sock)
{
    if (sock->descriptor >= 0)
        (void)close(sock->descriptor);
    sock->descriptor = -1;
    sock->in.begin = sock->in.end = 0;
    sock->out.begin = sock->out.end = 0;
}

void client_socket_fini(struct client_socket *sock)
{
    client_socket_close(sock);
    free(sock->in.data);
    free(sock->out.data);
}

/* Makes room for @bytes behind buffer->end: first by moving what is left to the front, which costs
 * little because it is done only when the end of the memory is reached. */
static enum client_status make_room(struct client_buffer *buffer, size_t bytes)
{
    size_t held = buffer->end - buffer->begin;
    if (buffer->capacity - buffer->end >= bytes)
        return CLIENT_OK;
    if (bytes > CLIENT_BUFFER_BYTES_MAX - held)
        return CLIENT_NO_MEMORY;
    if (held > 0 && buffer->begin > 0)
        memmove(buffer->data, buffer->data + buffer->begin, held);
    buffer->begin = 0;
    buffer->end = held;
    if (buffer->capacity - held >= bytes)
        return CLIENT_OK;

    size_t capacity = buffer->capacity;
    while (capacity < held + bytes)
        capacity *= 2;
    uint8_t *data = realloc(buffer->data, capacity);
    if (data == NULL)
        return CLIENT_NO_MEMORY;
    buffer->data = data;
    buffer->capacity = capacity;
    return CLIENT_OK;
}

/* What the failed call's errno means. */
static enum client_status status_of_errno(void)
{
    switch (errno) {
    case EPIPE:
    case ECONNRESET:
        return CLIENT_CLOSED;
    case ECONNREFUSED:
    case EHOSTUNREACH:
    case ENETUNREACH:
    case ENOENT:
        return CLIENT_UNREACHABLE;
    case ETIMEDOUT:
        return CLIENT_TIMEOUT;
    default:
        return CLIENT_SYSTEM;
    }
}

static enum client_status wait_for(int descriptor, short events, struct client_deadline deadline)
{
    for (;;) {
        int64_t left_ms = deadline.at_ms - now_ms();
        if (left_ms < 0)
            left_ms = 0;
        struct pollfd entry = {.fd = descriptor, .events = events};
        int ready = poll(&entry, 1, (int)left_ms);
        if (ready > 0)
            return CLIENT_OK;
        if (ready == 0)
            return CLIENT_TIMEOUT;
        if (errno != EINTR)
            return CLIENT_SYSTEM;
    }
}

static enum client_status connect_to(struct client_socket *sock, const struct sockaddr *address,
                                     socklen_t address_bytes, struct client_deadline deadline)
{
    int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return CLIENT_SYSTEM;
    enum client_status status = CLIENT_OK;
    if (connect(descriptor, address, address_bytes) < 0) {
        status = errno == EINPROGRESS ? wait_for(descriptor, POLLOUT, deadline) : status_of_errno();
        int error = 0;
        socklen_t error_bytes = sizeof(error);
        if (status == CLIENT_OK &&
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &error_bytes) < 0)
            status = CLIENT_SYSTEM;
        if (status == CLIENT_OK && error != 0) {
            errno = error;
            status = status_of_errno();
        }
    }
    if (status != CLIENT_OK) {
        int error = errno;
        (void)close(descriptor);
        errno = error;
        return status;
    }
    sock->descriptor = descriptor;
    return CLIENT_OK;
}

enum client_status client_socket_connect_tcp(struct client_socket *sock, const char *host,
                                             uint16_t port, struct client_deadline deadline)
{
    assert(sock->descriptor < 0);
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return CLIENT_UNREACHABLE;

    enum client_status status = CLIENT_UNREACHABLE;
    for (const struct addrinfo *each = list; each != NULL && sock->descriptor < 0;
         each = each->ai_next)
        status = connect_to(sock, each->ai_addr, each->ai_addrlen, deadline);
    freeaddrinfo(list);
    if (status != CLIENT_OK)
        return status;
    /* Requests are small and already gathered by the queue: waiting for more would only delay. */
    int on = 1;
    if (setsockopt(sock->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        client_socket_close(sock);
        return CLIENT_SYSTEM;
    }
    return CLIENT_OK;
}

enum client_status client_socket_connect_unix(struct client_socket *sock, const char *path,
                                              struct client_deadline deadline)
{
    assert(sock->descriptor < 0);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t path_bytes = strlen(path);
    if (path_bytes >= sizeof(address.sun_path))
        return CLIENT_UNREACHABLE;
    memcpy(address.sun_path, path, path_bytes + 1);
    return connect_to(sock, (const struct sockaddr *)&address, sizeof(address), deadline);
}

enum client_status client_socket_queue(struct client_socket *sock, const void *data, size_t bytes)
{
    if (bytes == 0)
        return CLIENT_OK;
    enum client_status status = make_room(&sock->out, bytes);
    if (status != CLIENT_OK)
        return status;
    memcpy(sock->out.data + sock->out.end, data, bytes);
    sock->out.end += bytes;
    return CLIENT_OK;
}

enum client_status client_socket_flush(struct client_socket *sock, struct client_deadline deadline)
{
    if (sock->descriptor < 0)
        return CLIENT_CLOSED;
    struct client_buffer *out = &sock->out;
    while (out->begin < out->end) {
        ssize_t sent =
            send(sock->descriptor, out->data + out->begin, out->end - out->begin, MSG_NOSIGNAL);
        if (sent >= 0) {
            out->begin += (size_t)sent;
            continue;
        }
        enum client_status status = CLIENT_OK;
        if (errno == EAGAIN)
            status = wait_for(sock->descriptor, POLLOUT, deadline);
        else if (errno != EINTR)
            status = status_of_errno();
        if (status != CLIENT_OK)
            return status;
    }
    out->begin = out->end = 0;
    return CLIENT_OK;
}

/* One read of whatever has come. */
static enum client_status read_more(struct client_socket *sock, struct client_deadline deadline)
{
    struct client_buffer *in = &sock->in;
    for (;;) {
        ssize_t got = recv(sock->descriptor, in->data + in->end, in->capacity - in->end, 0);
        if (got > 0) {
            in->end += (size_t)got;
            return CLIENT_OK;
        }
        if (got == 0)
            return CLIENT_CLOSED;
        enum client_status status = CLIENT_OK;
        if (errno == EAGAIN)
            status = wait_for(sock->descriptor, POLLIN, deadline);
        else if (errno != EINTR)
            status = status_of_errno();
        if (status != CLIENT_OK)
            return status;
    }
}

enum client_status client_socket_fill(struct client_socket *sock, size_t bytes,
                                      struct client_deadline deadline)
{
    if (client_socket_unread_bytes(sock) >= bytes)
        return CLIENT_OK;
    if (sock->descriptor < 0)
        return CLIENT_CLOSED;
    size_t missing = bytes - client_socket_unread_bytes(sock);
    enum client_status status = make_room(&sock->in, missing > READ_BYTES ? missing : READ_BYTES);
    while (status == CLIENT_OK && client_socket_unread_bytes(sock) < bytes)
        status = read_more(sock, deadline);
    return status;
}

const uint8_t *client_socket_unread(const struct client_socket *sock)
{
    return sock->in.data + sock->in.begin;
}

size_t client_socket_unread_bytes(const struct client_socket *sock)
{
    return sock->in.end - sock->in.begin;
}

void client_socket_consume(struct client_socket *sock, size_t bytes)
{
    assert(bytes <= client_socket_unread_bytes(sock));
    sock->in.begin += bytes;
}
