#include "tests/tls/tunnel.h"

#include <openssl/err.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <assert.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define STRETCH_BYTES 65536u

/* Bytes on their way in one direction. */
struct stretch {
    uint8_t bytes[STRETCH_BYTES];
    size_t start, end;
    bool last;   /* no more will come */
    bool passed; /* and that was passed on */
};

struct pair {
    SSL *ssl;
    int plain;
    struct stretch in;  /* to the server */
    struct stretch out; /* from it */
    bool broken;
};

static struct sockaddr_in loopback(uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static size_t room(const struct stretch *stretch)
{
    return stretch->last || stretch->start < stretch->end ? 0 : sizeof(stretch->bytes);
}

static void fill(struct stretch *stretch, size_t count)
{
    stretch->start = 0;
    stretch->end = count;
}

static size_t waiting(const struct stretch *stretch)
{
    return stretch->end - stretch->start;
}

/* What a call of OpenSSL that did nothing means; true: nothing yet. */
static bool wants(const struct pair *pair, int answer)
{
    const int error = SSL_get_error(pair->ssl, answer);

    ERR_clear_error();
    return error == SSL_ERROR_WANT_READ || error == SSL_ERROR_WANT_WRITE;
}

/* Each moves what can be moved now; true where it moved something. */
static bool move_from_plain(struct pair *pair)
{
    if (room(&pair->in) == 0) {
        return false;
    }
    const ssize_t count = recv(pair->plain, pair->in.bytes, sizeof(pair->in.bytes), MSG_DONTWAIT);
    if (count > 0) {
        fill(&pair->in, (size_t)count);
    }
    pair->in.last = count == 0;
    return count >= 0;
}

static bool move_to_server(struct pair *pair)
{
    struct stretch *in = &pair->in;

    if (waiting(in) > 0) {
        const int count = SSL_write(pair->ssl, in->bytes + in->start, (int)waiting(in));
        if (count > 0) {
            in->start += (size_t)count;
            return true;
        }
        pair->broken = !wants(pair, count);
    } else if (in->last && !in->passed) {
        in->passed = true;
        (void)SSL_shutdown(pair->ssl);
    }
    return false;
}

static bool move_from_server(struct pair *pair)
{
    if (room(&pair->out) == 0) {
        return false;
    }
    const int count = SSL_read(pair->ssl, pair->out.bytes, sizeof(pair->out.bytes));
    if (count > 0) {
        fill(&pair->out, (size_t)count);
        return true;
    }
    pair->out.last = !wants(pair, count);
    return pair->out.last;
}

static bool move_to_plain(struct pair *pair)
{
    struct stretch *out = &pair->out;

    if (waiting(out) == 0) {
        return false;
    }
    const ssize_t count =
        send(pair->plain, out->bytes + out->start, waiting(out), MSG_DONTWAIT | MSG_NOSIGNAL);
    out->start += count > 0 ? (size_t)count : 0;
    return count > 0;
}

static void pump(struct pair *pair)
{
    while (!pair->broken && !(pair->out.last && waiting(&pair->out) == 0)) {
        bool moved = move_from_plain(pair);
        moved = move_to_server(pair) || moved;
        moved = move_from_server(pair) || moved;
        moved = move_to_plain(pair) || moved;
        if (!moved) {
            struct pollfd wait[2] = {
                {.fd = SSL_get_fd(pair->ssl), .events = POLLIN},
                {.fd = pair->plain},
            };
            wait[0].events |= (short)(waiting(&pair->in) > 0 ? POLLOUT : 0);
            wait[1].events = (short)((room(&pair->in) > 0 ? POLLIN : 0) |
                                     (waiting(&pair->out) > 0 ? POLLOUT : 0));
            if (poll(wait, 2, -1) < 0 || (wait[1].revents & POLLERR) != 0) {
                return;
            }
        }
    }
}

/* One connection, in a process of its own: never returns. */
static void serve(int plain, uint16_t port)
{
    static struct pair pair;
    const struct sockaddr_in address = loopback(port);
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const int one = 1;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());

    (void)signal(SIGPIPE, SIG_IGN);
    (void)setsockopt(plain, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    if (context == NULL || connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        _exit(1);
    }
    (void)SSL_CTX_set_mode(context,
                           SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    pair.plain = plain;
    pair.ssl = SSL_new(context);
    if (pair.ssl == NULL || SSL_set_fd(pair.ssl, fd) != 1 || SSL_connect(pair.ssl) != 1) {
        _exit(1);
    }
    (void)fcntl(fd, F_SETFL, O_NONBLOCK);
    pump(&pair);
    _exit(0);
}

pid_t tunnel_start(uint16_t port, uint16_t *own_port)
{
    struct sockaddr_in address = loopback(0);
    socklen_t bytes = sizeof(address);
    const int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    const bool listens = listening >= 0 &&
                         bind(listening, (struct sockaddr *)&address, bytes) == 0 &&
                         getsockname(listening, (struct sockaddr *)&address, &bytes) == 0 &&
                         listen(listening, 64) == 0;

    assert(listens);
    *own_port = ntohs(address.sin_port);
    const pid_t pid = fork();
    assert(pid >= 0);
    if (pid != 0) {
        (void)close(listening);
        return pid;
    }
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGCHLD, SIG_IGN);
    for (;;) {
        const int plain = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
        if (plain < 0) {
            _exit(1);
        }
        if (fork() == 0) {
            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            serve(plain, port);
        }
        (void)close(plain);
    }
}
