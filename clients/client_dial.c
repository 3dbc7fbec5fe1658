#include "clients/client_dial.h"

#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

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

enum client_status client_dial_status(void)
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

enum client_status client_dial_wait(int descriptor, short events, struct client_deadline deadline)
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

static enum client_status connect_to(const struct sockaddr *address, socklen_t address_bytes,
                                     struct client_deadline deadline, int *connected)
{
    int descriptor = socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor < 0)
        return CLIENT_SYSTEM;
    enum client_status status = CLIENT_OK;
    if (connect(descriptor, address, address_bytes) < 0) {
        status = errno == EINPROGRESS ? client_dial_wait(descriptor, POLLOUT, deadline)
                                      : client_dial_status();
        int error = 0;
        socklen_t error_bytes = sizeof(error);
        if (status == CLIENT_OK &&
            getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &error_bytes) < 0)
            status = CLIENT_SYSTEM;
        if (status == CLIENT_OK && error != 0) {
            errno = error;
            status = client_dial_status();
        }
    }
    if (status != CLIENT_OK) {
        int error = errno;
        (void)close(descriptor);
        errno = error;
        return status;
    }
    *connected = descriptor;
    return CLIENT_OK;
}

enum client_status client_dial_tcp(const char *host, uint16_t port, struct client_deadline deadline,
                                   int *descriptor)
{
    char service[8];
    (void)snprintf(service, sizeof(service), "%u", (unsigned)port);
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *list;
    if (getaddrinfo(host, service, &hints, &list) != 0)
        return CLIENT_UNREACHABLE;

    enum client_status status = CLIENT_UNREACHABLE;
    int connected = -1;
    for (const struct addrinfo *each = list; each != NULL && connected < 0; each = each->ai_next)
        status = connect_to(each->ai_addr, each->ai_addrlen, deadline, &connected);
    freeaddrinfo(list);
    if (status != CLIENT_OK)
        return status;
    /* Requests are small and already gathered by their queue: waiting for more would only delay. */
    int on = 1;
    if (setsockopt(connected, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0) {
        int error = errno;
        (void)close(connected);
        errno = error;
        return CLIENT_SYSTEM;
    }
    *descriptor = connected;
    return CLIENT_OK;
}

enum client_status client_dial_unix(const char *path, struct client_deadline deadline,
                                    int *descriptor)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t path_bytes = strlen(path);
    if (path_bytes >= sizeof(address.sun_path))
        return CLIENT_UNREACHABLE;
    memcpy(address.sun_path, path, path_bytes + 1);
    return connect_to((const struct sockaddr *)&address, sizeof(address), deadline, descriptor);
}
