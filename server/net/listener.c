#include "server/net/listener.h"

#include "server/admin/config.h"
#include "server/admin/log.h"
#include "server/clock.h"
#include "server/counters.h"
#include "server/limits.h"

#include <event2/event.h>

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define TOO_MANY  "ERROR Too many open connections\r\n"
#define NO_MEMORY "SERVER_ERROR out of memory\r\n"

/* One address listened on. */
struct socket {
    struct listener *listener;
    int fd;
    bool wildcard; /* the local address of a connection is not this one's */
    struct address address;
    enum config_tls tls;
    struct event *event; /* NULL: UDP, a worker watches it */
    bool udp;
};

struct listener {
    struct listener_setup setup;
    struct event *retry;
    uint64_t paused_us; /* when, while paused */
    bool paused;
    bool said_exhausted; /* no descriptors: said once, until one is had again */
    size_t sockets_count;
    struct socket sockets[LIMITS_SOCKETS_MAX];
};

/* ---- accepting ---- */

static uint64_t conns_now(const struct listener *listener)
{
    /* Closed ones first: what opens meanwhile is opened by this thread. */
    const uint64_t closed = counters_sum(listener->setup.counters_all, COUNTER_CONNS_CLOSED);
    return counters_sum(listener->setup.counters_all, COUNTER_CONNS_OPENED) - closed;
}

static bool is_full(const struct listener *listener)
{
    return conns_now(listener) >= listener->setup.config->conns_max;
}

static void pause_accepting(struct listener *listener)
{
    const struct timeval retry = {.tv_usec = LIMITS_ACCEPT_RETRY_MS * 1000};

    for (size_t i = 0; i < listener->sockets_count; i++) {
        if (!listener->sockets[i].udp) {
            (void)event_del(listener->sockets[i].event);
        }
    }
    (void)event_add(listener->retry, &retry);
    if (!listener->paused) {
        listener->paused = true;
        listener->paused_us = clock_elapsed_us(listener->setup.clock);
        counters_add(listener->setup.counters, COUNTER_ACCEPT_PAUSES, 1);
    }
}

static void on_retry(evutil_socket_t fd, short what, void *context)
{
    struct listener *listener = context;
    const uint64_t now_us = clock_elapsed_us(listener->setup.clock);

    (void)fd;
    (void)what;
    counters_add(listener->setup.counters, COUNTER_ACCEPT_PAUSED_US, now_us - listener->paused_us);
    listener->paused_us = now_us;
    if (!listener->setup.config->maxconns_fast && is_full(listener)) {
        pause_accepting(listener);
        return;
    }
    listener->paused = false;
    for (size_t i = 0; i < listener->sockets_count; i++) {
        if (!listener->sockets[i].udp && event_add(listener->sockets[i].event, NULL) != 0) {
            pause_accepting(listener);
            return;
        }
    }
}

static void reject(const struct socket *socket, int fd, const char *line)
{
    counters_add(socket->listener->setup.counters, COUNTER_CONNS_REJECTED, 1);
    if (socket->tls == CONFIG_TLS_NONE) {
        (void)send(fd, line, strlen(line), MSG_NOSIGNAL | MSG_DONTWAIT);
    }
    (void)close(fd);
}

static struct address local_address(const struct socket *socket, int fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t bytes = sizeof(storage);

    if (socket->wildcard && getsockname(fd, (struct sockaddr *)&storage, &bytes) == 0) {
        return address_from(&storage);
    }
    return socket->address;
}

static void admit(struct socket *socket, int fd, const struct sockaddr_storage *from)
{
    struct listener *listener = socket->listener;

    if (is_full(listener)) {
        reject(socket, fd, TOO_MANY);
        return;
    }
    const struct address peer = address_from(from);
    const struct address local = local_address(socket, fd);
    struct conn *conn = conn_new(listener->setup.budget, fd, &peer, &local, socket->tls);
    if (conn == NULL) {
        log_say(listener->setup.log, LOG_ALWAYS, "no memory for a new connection: closed");
        reject(socket, fd, NO_MEMORY);
        return;
    }
    counters_add(listener->setup.counters, COUNTER_CONNS_OPENED, 1);
    listener->setup.take(listener->setup.take_context, conn);
}

/* What a failed accept4() means: go on with the next, or stop for now. */
static bool goes_on(struct listener *listener, int error)
{
    switch (error) {
    case EAGAIN:
        return false;
    case EMFILE:
    case ENFILE:
    case ENOBUFS:
    case ENOMEM:
        if (!listener->said_exhausted) {
            log_say(listener->setup.log, LOG_ALWAYS, "cannot accept for now: %s", strerror(error));
            listener->said_exhausted = true;
        }
        pause_accepting(listener);
        return false;
    default:
        return true; /* of one connection that was gone before it was accepted */
    }
}

static void on_accept(evutil_socket_t fd, short what, void *context)
{
    struct socket *socket = context;
    struct listener *listener = socket->listener;

    (void)what;
    for (unsigned i = 0; i < LIMITS_ACCEPTS_PER_EVENT; i++) {
        if (!listener->setup.config->maxconns_fast && is_full(listener)) {
            pause_accepting(listener);
            return;
        }
        struct sockaddr_storage from = {0};
        socklen_t bytes = sizeof(from);
        const int accepted =
            accept4(fd, (struct sockaddr *)&from, &bytes, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (accepted >= 0) {
            listener->said_exhausted = false;
            admit(socket, accepted, &from);
        } else if (!goes_on(listener, errno)) {
            return;
        }
    }
}

/* ---- binding ---- */

static bool set_option(int fd, int level, int option, int value)
{
    return setsockopt(fd, level, option, &value, sizeof(value)) == 0;
}

/* What is set here is inherited by the connections accepted. */
static bool set_options(int fd, int family, int type)
{
    if (family == AF_UNIX) {
        return true;
    }
    if (family == AF_INET6 && !set_option(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1)) {
        return false;
    }
    /* Of UDP a second socket with that address would take the first one's datagrams. */
    return type == SOCK_DGRAM || (set_option(fd, SOL_SOCKET, SO_REUSEADDR, 1) &&
                                  set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) &&
                                  set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1));
}

/* Returns a socket that listens, or one of datagrams that is bound, or -1 with errno. */
static int open_socket(const struct sockaddr *address, socklen_t bytes, int type, uint32_t backlog)
{
    const int fd = socket(address->sa_family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0) {
        return -1;
    }
    if (set_options(fd, address->sa_family, type) && bind(fd, address, bytes) == 0 &&
        (type == SOCK_DGRAM || listen(fd, (int)backlog) == 0)) {
        return fd;
    }
    const int error = errno;
    (void)close(fd);
    errno = error;
    return -1;
}

static bool add_socket(struct listener *listener, int fd, bool wildcard, int type,
                       enum config_tls tls)
{
    struct sockaddr_storage storage = {0};
    socklen_t bytes = sizeof(storage);

    if (listener->sockets_count == LIMITS_SOCKETS_MAX) {
        log_say(listener->setup.log, LOG_ALWAYS, "more than %u addresses to listen on",
                LIMITS_SOCKETS_MAX);
        (void)close(fd);
        return false;
    }
    const int failed = getsockname(fd, (struct sockaddr *)&storage, &bytes);
    assert(!failed);
    struct socket *socket = &listener->sockets[listener->sockets_count];
    *socket = (struct socket){
        .listener = listener,
        .fd = fd,
        .wildcard = wildcard,
        .address = address_from(&storage),
        .tls = tls,
        .udp = type == SOCK_DGRAM,
    };
    socket->address.udp = socket->udp;
    if (!socket->udp) {
        socket->event =
            event_new(listener->setup.base, fd, EV_READ | EV_PERSIST, on_accept, socket);
    }
    listener->sockets_count++;

    char text[ADDRESS_TEXT_BYTES_MAX];
    address_text(&socket->address, listener->setup.config->unix_path, text);
    log_say(listener->setup.log, LOG_EVENTS, "listening on %s", text);
    return socket->udp || socket->event != NULL;
}

/* A machine without IPv6 (or IPv4) still has every interface of the other. */
static bool may_lack(int error)
{
    return error == EAFNOSUPPORT || error == EADDRNOTAVAIL;
}

static bool listen_internet(struct listener *listener, const struct config_address *address,
                            int type)
{
    const struct config *config = listener->setup.config;
    const int32_t usual = type == SOCK_DGRAM ? config->udp_port : config->port;
    const int32_t port = address->port == CONFIG_PORT_UNSET ? usual : address->port;
    const bool wildcard = address->host[0] == '\0';
    const struct addrinfo hints = {
        .ai_flags = AI_PASSIVE, .ai_family = AF_UNSPEC, .ai_socktype = type};
    struct addrinfo *found = NULL;
    char service[16];

    if (port == 0 || (type == SOCK_DGRAM && usual == 0)) {
        return true;
    }
    (void)snprintf(service, sizeof(service), "%d", port == CONFIG_PORT_ANY ? 0 : (int)port);
    const char *host = wildcard ? NULL : address->host;
    const int failed = getaddrinfo(host, service, &hints, &found);
    if (failed) {
        log_say(listener->setup.log, LOG_ALWAYS, "failed to listen on %s: %s", address->host,
                failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
        return false;
    }
    bool ok = true;
    for (const struct addrinfo *at = found; ok && at != NULL; at = at->ai_next) {
        const int fd = open_socket(at->ai_addr, at->ai_addrlen, type, config->backlog);
        if (fd >= 0) {
            ok = add_socket(listener, fd, wildcard, type, (enum config_tls)address->tls);
        } else if (!wildcard || !may_lack(errno)) {
            log_say(listener->setup.log, LOG_ALWAYS, "failed to listen on %s port %s: %s",
                    wildcard ? "every interface" : address->host, service, strerror(errno));
            ok = false;
        }
    }
    freeaddrinfo(found);
    return ok;
}

static bool listen_unix(struct listener *listener, const char *path)
{
    const struct config *config = listener->setup.config;
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct stat status;

    if (strlen(path) >= sizeof(address.sun_path)) {
        log_say(listener->setup.log, LOG_ALWAYS, "failed to listen on %s: path too long", path);
        return false;
    }
    memcpy(address.sun_path, path, strlen(path) + 1);
    /* Of a server that has ended; anything but a socket is somebody's file. */
    if (lstat(path, &status) == 0 && S_ISSOCK(status.st_mode)) {
        (void)unlink(path);
    }
    const mode_t old_mask = umask((mode_t)(~config->unix_mask & 0777));
    const int fd =
        open_socket((struct sockaddr *)&address, sizeof(address), SOCK_STREAM, config->backlog);
    const int error = errno;
    (void)umask(old_mask);
    if (fd < 0) {
        log_say(listener->setup.log, LOG_ALWAYS, "failed to listen on %s: %s", path,
                strerror(error));
        return false;
    }
    return add_socket(listener, fd, false, SOCK_STREAM, CONFIG_TLS_NONE);
}

/* TCP there, and UDP where it is asked for. */
static bool listen_at(struct listener *listener, const struct config_address *address)
{
    return listen_internet(listener, address, SOCK_STREAM) &&
           listen_internet(listener, address, SOCK_DGRAM);
}

static enum config_tls default_tls(const struct listener *listener)
{
    return listener->setup.config->tls_enabled ? CONFIG_TLS_DEFAULT : CONFIG_TLS_NONE;
}

static bool is_wildcard(const struct sockaddr_storage *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    memcpy(&in, address, sizeof(in));
    memcpy(&in6, address, sizeof(in6));
    return address->ss_family == AF_INET6
               ? IN6_IS_ADDR_UNSPECIFIED(&in6.sin6_addr)
               : address->ss_family == AF_INET && in.sin_addr.s_addr == 0;
}

/* A descriptor that whoever started the server had opened: is it what it should be? */
static bool take_socket(struct listener *listener, int fd)
{
    struct sockaddr_storage address = {0};
    socklen_t bytes = sizeof(address);
    int type = 0, listens = 0;
    socklen_t int_bytes = sizeof(int);

    if (getsockname(fd, (struct sockaddr *)&address, &bytes) != 0 ||
        getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &int_bytes) != 0 || type != SOCK_STREAM ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &int_bytes) != 0 || !listens ||
        (address.ss_family != AF_UNIX && address.ss_family != AF_INET &&
         address.ss_family != AF_INET6)) {
        log_say(listener->setup.log, LOG_ALWAYS,
                "descriptor %d, of LISTEN_FDS, is no stream socket that listens", fd);
        return false;
    }
    const int flags = fcntl(fd, F_GETFL);
    const bool tcp = address.ss_family != AF_UNIX;
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0 ||
        (tcp && (!set_option(fd, SOL_SOCKET, SO_KEEPALIVE, 1) ||
                 !set_option(fd, IPPROTO_TCP, TCP_NODELAY, 1)))) {
        log_say(listener->setup.log, LOG_ALWAYS, "descriptor %d, of LISTEN_FDS: %s", fd,
                strerror(errno));
        return false;
    }
    return add_socket(listener, fd, is_wildcard(&address), SOCK_STREAM,
                      tcp ? default_tls(listener) : CONFIG_TLS_NONE);
}

static bool take_sockets(struct listener *listener)
{
    const uint32_t count = listener->setup.config->sockets_given;
    bool ok = true;

    for (uint32_t i = 0; ok && i < count; i++) {
        ok = take_socket(listener, CONFIG_SOCKETS_FIRST + (int)i);
    }
    return ok;
}

static bool listen_everywhere(struct listener *listener)
{
    const struct config *config = listener->setup.config;
    const struct config_address everywhere = {.port = CONFIG_PORT_UNSET,
                                              .tls = default_tls(listener)};
    bool ok = true;

    if (config->sockets_given > 0) {
        return take_sockets(listener);
    }
    if (config->unix_path != NULL) {
        return listen_unix(listener, config->unix_path);
    }
    if (config->addresses_count == 0) {
        ok = listen_at(listener, &everywhere);
    }
    for (uint32_t i = 0; ok && i < config->addresses_count; i++) {
        ok = listen_at(listener, &config->addresses[i]);
    }
    if (ok && listener->sockets_count == 0) {
        log_say(listener->setup.log, LOG_ALWAYS, "there is nothing to listen on");
        ok = false;
    }
    return ok;
}

/* Whoever reaches it is served. */
static bool asks_nobody(const struct listener *listener, const struct socket *socket)
{
    const struct config *config = listener->setup.config;
    const bool certified =
        socket->tls == CONFIG_TLS_MUTUAL ||
        (socket->tls == CONFIG_TLS_DEFAULT && config->tls_verify_mode >= CONFIG_TLS_VERIFY_ALL);

    return socket->udp || (config->auth_path == NULL && !certified);
}

/* Once, for the first such address. */
static void warn_of_public(const struct listener *listener)
{
    char text[ADDRESS_TEXT_BYTES_MAX];

    for (size_t i = 0; i < listener->sockets_count; i++) {
        const struct socket *socket = &listener->sockets[i];
        if (!address_is_local(&socket->address) && asks_nobody(listener, socket)) {
            address_text(&socket->address, NULL, text);
            log_say(listener->setup.log, LOG_ALWAYS,
                    "WARNING: whoever reaches %s may read and change everything: listen on "
                    "127.0.0.1 only (-l 127.0.0.1), or ask for passwords (-Y) or for clients' "
                    "certificates (-Z, ssl_verify_mode=2)",
                    text);
            return;
        }
    }
}

/* ---- its life ---- */

struct listener *listener_new(const struct listener_setup *setup)
{
    struct listener *listener = calloc(1, sizeof(*listener));

    if (listener == NULL) {
        return NULL;
    }
    listener->setup = *setup;
    listener->retry = event_new(setup->base, -1, 0, on_retry, listener);
    if (listener->retry == NULL || !listen_everywhere(listener)) {
        listener_free(listener);
        return NULL;
    }
    warn_of_public(listener);
    return listener;
}

int listener_udp(const struct listener *listener, size_t n)
{
    for (size_t i = 0; i < listener->sockets_count; i++) {
        if (listener->sockets[i].udp && n-- == 0) {
            return listener->sockets[i].fd;
        }
    }
    return -1;
}

bool listener_start(struct listener *listener)
{
    for (size_t i = 0; i < listener->sockets_count; i++) {
        if (!listener->sockets[i].udp && event_add(listener->sockets[i].event, NULL) != 0) {
            return false;
        }
    }
    return true;
}

void listener_free(struct listener *listener)
{
    if (listener == NULL) {
        return;
    }
    for (size_t i = 0; i < listener->sockets_count; i++) {
        if (listener->sockets[i].event != NULL) {
            event_free(listener->sockets[i].event);
        }
        (void)close(listener->sockets[i].fd);
    }
    if (listener->retry != NULL) {
        event_free(listener->retry);
    }
    free(listener);
}

bool listener_write_ports(const struct listener *listener, uint16_t http_port, const char *path)
{
    char temporary[4096];
    const int length = snprintf(temporary, sizeof(temporary), "%s.lck", path);

    if (length < 0 || (size_t)length >= sizeof(temporary)) {
        errno = ENAMETOOLONG;
        return false;
    }
    FILE *file = fopen(temporary, "we");
    if (file == NULL) {
        return false;
    }
    for (size_t i = 0; i < listener->sockets_count; i++) {
        const struct address *address = &listener->sockets[i].address;
        if (address->family != AF_UNIX) {
            (void)fprintf(file, "%s %s: %u\n", listener->sockets[i].udp ? "UDP" : "TCP",
                          address->family == AF_INET6 ? "INET6" : "INET", address->port);
        }
    }
    if (http_port != 0) {
        (void)fprintf(file, "HTTP: %u\n", http_port);
    }
    const bool written = ferror(file) == 0;
    return fclose(file) == 0 && written && rename(temporary, path) == 0;
}

bool listener_each(const struct listener *listener, conn_view_fn *visit, void *context)
{
    for (size_t i = 0; i < listener->sockets_count; i++) {
        const struct conn_view view = {
            .fd = listener->sockets[i].fd,
            .state = "conn_listening",
            .active_s = listener->setup.clock->started_s,
            .local = listener->sockets[i].address,
        };
        if (!visit(context, &view)) {
            return false;
        }
    }
    return true;
}
