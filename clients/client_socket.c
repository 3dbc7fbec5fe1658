#include "clients/client_socket.h"

#include "clients/client_tls.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room asked of the kernel in one read: several small replies, or a good part of a large one. */
#define READ_BYTES ((size_t)64 << 10)

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
    client_tls_free(sock->tls);
    sock->tls = NULL;
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

enum client_status client_socket_connect_tcp(struct client_socket *sock, const char *host,
                                             uint16_t port, struct client_deadline deadline)
{
    assert(sock->descriptor < 0);
    return client_dial_tcp(host, port, deadline, &sock->descriptor);
}

enum client_status client_socket_connect_unix(struct client_socket *sock, const char *path,
                                              struct client_deadline deadline)
{
    assert(sock->descriptor < 0);
    return client_dial_unix(path, deadline, &sock->descriptor);
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

/* One write of what the system takes. */
static enum client_status write_some(struct client_socket *sock, struct client_deadline deadline,
                                     const void *data, size_t bytes, size_t *taken)
{
    if (sock->tls != NULL)
        return client_tls_send(sock->tls, data, bytes, deadline, taken);
    for (;;) {
        ssize_t sent = send(sock->descriptor, data, bytes, MSG_NOSIGNAL);
        if (sent >= 0) {
            *taken = (size_t)sent;
            return CLIENT_OK;
        }
        enum client_status status = CLIENT_OK;
        if (errno == EAGAIN)
            status = client_dial_wait(sock->descriptor, POLLOUT, deadline);
        else if (errno != EINTR)
            status = client_dial_status();
        if (status != CLIENT_OK)
            return status;
    }
}

enum client_status client_socket_flush(struct client_socket *sock, struct client_deadline deadline)
{
    if (sock->descriptor < 0)
        return CLIENT_CLOSED;
    struct client_buffer *out = &sock->out;
    while (out->begin < out->end) {
        size_t taken;
        enum client_status status =
            write_some(sock, deadline, out->data + out->begin, out->end - out->begin, &taken);
        if (status != CLIENT_OK)
            return status;
        out->begin += taken;
    }
    out->begin = out->end = 0;
    return CLIENT_OK;
}

/* One read of whatever has come. */
static enum client_status read_more(struct client_socket *sock, struct client_deadline deadline)
{
    struct client_buffer *in = &sock->in;
    if (sock->tls != NULL) {
        size_t taken;
        enum client_status status = client_tls_receive(sock->tls, in->data + in->end,
                                                       in->capacity - in->end, deadline, &taken);
        if (status == CLIENT_OK)
            in->end += taken;
        return status;
    }
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
            status = client_dial_wait(sock->descriptor, POLLIN, deadline);
        else if (errno != EINTR)
            status = client_dial_status();
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
