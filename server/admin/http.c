#include "server/admin/http.h"

#include "server/admin/board.h"
#include "server/admin/config.h"
#include "server/admin/dashboard.h"
#include "server/admin/log.h"
#include "server/admin/text.h"
#include "server/clock.h"
#include "server/limits.h"
#include "server/thread.h"

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <event2/http.h>
#include <event2/keyvalq_struct.h>
#include <event2/listener.h>

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/queue.h>
#include <sys/socket.h>
#include <unistd.h>

/* A connection, from its acceptance to its end. */
struct visit {
    struct http *http;
    struct bufferevent *socket;
    uint64_t began_us;
    TAILQ_ENTRY(visit) visits;
};

TAILQ_HEAD(visit_queue, visit);

struct http {
    struct metrics_sources sources;
    struct log *log;
    struct event_base *base;
    struct evhttp *evhttp;
    char *reply; /* LIMITS_HTTP_REPLY_BYTES; of the request that is answered */
    unsigned listeners_count;
    struct evconnlistener *listeners[LIMITS_HTTP_SOCKETS_MAX]; /* evhttp's */
    uint16_t port;
    bool local; /* nobody beyond this host can connect */
    unsigned visits_count;
    struct visit_queue visits; /* the oldest first */
    struct event *tick;        /* while there are any */
    int wake_fd;
    struct event *wake;
    bool running;
    pthread_t thread;
};

/* ---- answers ---- */

#define NO_POLICY "default-src 'none'; frame-ancestors 'none'"

static void add_headers(struct evhttp_request *request, const char *type, const char *policy)
{
    static const char *const HEADERS[][2] = {
        {"Cache-Control", "no-store"},
        {"Cross-Origin-Resource-Policy", "same-origin"},
        {"Referrer-Policy", "no-referrer"},
        {"X-Content-Type-Options", "nosniff"},
        {"Connection", "close"},
    };
    struct evkeyvalq *headers = evhttp_request_get_output_headers(request);

    for (size_t i = 0; i < sizeof(HEADERS) / sizeof(HEADERS[0]); i++) {
        (void)evhttp_add_header(headers, HEADERS[i][0], HEADERS[i][1]);
    }
    (void)evhttp_add_header(headers, "Content-Type", type);
    (void)evhttp_add_header(headers, "Content-Security-Policy", policy);
}

/* The head of an answer of @count bytes. Returns where they go; NULL for a HEAD, as evhttp leaves
 * it to us that it has none. */
static struct evbuffer *begin_answer(struct evhttp_request *request, const char *type,
                                     const char *policy, size_t count)
{
    char length[32];

    add_headers(request, type, policy);
    (void)snprintf(length, sizeof(length), "%zu", count);
    (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Content-Length", length);
    return evhttp_request_get_command(request) != EVHTTP_REQ_HEAD
               ? evhttp_request_get_output_buffer(request)
               : NULL;
}

/* Without memory for them fewer bytes are sent than were said, which the other side sees. */
static void send_bytes(struct evhttp_request *request, int code, const char *reason,
                       const char *type, const char *bytes, size_t count)
{
    struct evbuffer *body = begin_answer(request, type, NO_POLICY, count);

    if (body != NULL) {
        (void)evbuffer_add(body, bytes, count);
    }
    evhttp_send_reply(request, code, reason, NULL);
}

/* The page is not copied. */
static void answer_page(struct http *http, struct evhttp_request *request)
{
    struct evbuffer *body =
        begin_answer(request, "text/html; charset=utf-8", DASHBOARD_POLICY, DASHBOARD_PAGE_BYTES);

    (void)http;
    if (body != NULL) {
        (void)evbuffer_add_reference(body, DASHBOARD_PAGE, DASHBOARD_PAGE_BYTES, NULL, NULL);
    }
    evhttp_send_reply(request, HTTP_OK, "OK", NULL);
}

static void send_line(struct evhttp_request *request, int code, const char *reason,
                      const char *line)
{
    send_bytes(request, code, reason, "text/plain; charset=utf-8", line, strlen(line));
}

static void answer_health(struct http *http, struct evhttp_request *request)
{
    (void)http;
    send_line(request, HTTP_OK, "OK", "ok\n");
}

static void answer_metrics(struct http *http, struct evhttp_request *request)
{
    struct text text;

    text_start(&text, http->reply, LIMITS_HTTP_REPLY_BYTES);
    metrics_write(&http->sources, &text);
    assert(text.whole);
    send_bytes(request, HTTP_OK, "OK", "text/plain; version=0.0.4; charset=utf-8", text.bytes,
               text.used);
}

static void answer_board(struct http *http, struct evhttp_request *request)
{
    struct text text;

    text_start(&text, http->reply, LIMITS_HTTP_REPLY_BYTES);
    board_write(&http->sources, &text);
    assert(text.whole);
    send_bytes(request, HTTP_OK, "OK", "application/json", text.bytes, text.used);
}

/* ---- requests ---- */

static const struct {
    const char *path;
    void (*answer)(struct http *http, struct evhttp_request *request);
    bool keys; /* may show some: never to a site with another's name */
} PATHS[] = {
    {"/", answer_page, true},
    {"/api", answer_board, true},
    {"/healthz", answer_health, false},
    {"/metrics", answer_metrics, false},
};

/* A number cannot be made to resolve to us. A request without Host comes from no browser. */
static bool is_own_name(const struct http *http, const char *host)
{
    const size_t count = host != NULL ? strlen(host) : 0;
    char bare[INET6_ADDRSTRLEN];
    uint8_t ip[sizeof(struct in6_addr)];

    if (host == NULL || inet_pton(AF_INET, host, ip) == 1 || strcasecmp(host, "localhost") == 0 ||
        strcasecmp(host, http->sources.config->http.host) == 0) {
        return true;
    }
    if (count < 2 || count - 2 >= sizeof(bare) || host[0] != '[' || host[count - 1] != ']') {
        return false;
    }
    memcpy(bare, host + 1, count - 2);
    bare[count - 2] = '\0';
    return inet_pton(AF_INET6, bare, ip) == 1;
}

static void on_request(struct evhttp_request *request, void *context)
{
    struct http *http = context;
    const struct evhttp_uri *uri = evhttp_request_get_evhttp_uri(request);
    const char *path = uri != NULL ? evhttp_uri_get_path(uri) : NULL;
    const enum evhttp_cmd_type command = evhttp_request_get_command(request);
    size_t i = 0;

    while (i < sizeof(PATHS) / sizeof(PATHS[0]) &&
           (path == NULL || strcmp(path, PATHS[i].path) != 0)) {
        i++;
    }
    if (command != EVHTTP_REQ_GET && command != EVHTTP_REQ_HEAD) {
        (void)evhttp_add_header(evhttp_request_get_output_headers(request), "Allow", "GET, HEAD");
        send_line(request, HTTP_BADMETHOD, "Method Not Allowed", "GET and HEAD only\n");
    } else if (i == sizeof(PATHS) / sizeof(PATHS[0])) {
        send_line(request, HTTP_NOTFOUND, "Not Found", "there is no such page\n");
    } else if ((http->local || PATHS[i].keys) &&
               !is_own_name(http, evhttp_request_get_host(request))) {
        send_line(request, 421, "Misdirected Request",
                  "use the address in numbers, localhost, or the name that --http has\n");
    } else {
        PATHS[i].answer(http, request);
    }
}

/* ---- connections ---- */

static void accept_more(struct http *http, bool more)
{
    for (unsigned i = 0; i < http->listeners_count; i++) {
        if (more) {
            (void)evconnlistener_enable(http->listeners[i]);
        } else {
            (void)evconnlistener_disable(http->listeners[i]);
        }
    }
}

/* evhttp sees the end of the stream and lets go of it. */
static void end_visit(const struct visit *visit)
{
    (void)shutdown(bufferevent_getfd(visit->socket), SHUT_RDWR);
}

/* It frees a connection without a word to us, but takes its callbacks off before. */
static bool is_let_go(const struct visit *visit)
{
    bufferevent_event_cb on_event;

    bufferevent_getcb(visit->socket, NULL, NULL, &on_event, NULL);
    return on_event == NULL;
}

/* With the last reference the socket is closed. */
static void forget_visit(struct visit *visit)
{
    struct http *http = visit->http;

    TAILQ_REMOVE(&http->visits, visit, visits);
    http->visits_count--;
    (void)bufferevent_decref(visit->socket);
    free(visit);
}

/* The one way by which connections end, for what evhttp is done with, and what takes too long. */
static void on_tick(evutil_socket_t fd, short what, void *context)
{
    const struct timeval soon = {.tv_usec = LIMITS_HTTP_TICK_MS * 1000};
    struct http *http = context;
    const uint64_t now_us = clock_elapsed_us(http->sources.clock);
    struct visit *next;

    (void)fd;
    (void)what;
    for (struct visit *visit = TAILQ_FIRST(&http->visits); visit != NULL; visit = next) {
        next = TAILQ_NEXT(visit, visits);
        if (is_let_go(visit)) {
            forget_visit(visit);
        } else if (now_us - visit->began_us > LIMITS_HTTP_REQUEST_S * 1000000ull) {
            end_visit(visit);
        }
    }
    accept_more(http, http->visits_count < LIMITS_HTTP_CONNS);
    if (http->visits_count > 0) {
        (void)event_add(http->tick, &soon);
    }
}

/* For each accepted connection. evhttp owns a reference to what it is given, and we another. NULL:
 * evhttp makes its own, which is as good but for who counts it. */
static struct bufferevent *on_accepted(struct event_base *base, void *context)
{
    const struct timeval soon = {.tv_usec = LIMITS_HTTP_TICK_MS * 1000};
    struct http *http = context;
    struct visit *visit = calloc(1, sizeof(*visit));

    if (visit == NULL) {
        return NULL;
    }
    visit->http = http;
    visit->began_us = clock_elapsed_us(http->sources.clock);
    visit->socket = bufferevent_socket_new(base, -1, BEV_OPT_CLOSE_ON_FREE);
    if (visit->socket == NULL) {
        free(visit);
        return NULL;
    }
    bufferevent_incref(visit->socket);
    TAILQ_INSERT_TAIL(&http->visits, visit, visits);
    http->visits_count++;
    if (http->visits_count == LIMITS_HTTP_CONNS) {
        accept_more(http, false);
        end_visit(TAILQ_FIRST(&http->visits));
    }
    if (!event_pending(http->tick, EV_TIMEOUT, NULL)) {
        (void)event_add(http->tick, &soon);
    }
    return visit->socket;
}

/* ---- listening ---- */

static bool is_loopback(const struct sockaddr *address)
{
    struct sockaddr_in in;
    struct sockaddr_in6 in6;

    if (address->sa_family == AF_INET) {
        memcpy(&in, address, sizeof(in));
        return ntohl(in.sin_addr.s_addr) >> 24 == IN_LOOPBACKNET;
    }
    memcpy(&in6, address, sizeof(in6));
    return IN6_IS_ADDR_LOOPBACK(&in6.sin6_addr);
}

static void note_port(struct http *http, evutil_socket_t fd)
{
    struct sockaddr_storage storage = {0};
    socklen_t bytes = sizeof(storage);

    if (http->port == 0 && getsockname(fd, (struct sockaddr *)&storage, &bytes) == 0) {
        /* The port of both families lies at the same place. */
        http->port = ntohs(((struct sockaddr_in *)&storage)->sin_port);
    }
}

static bool listen_at(struct http *http, const struct addrinfo *at)
{
    const unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE |
                           (at->ai_family == AF_INET6 ? LEV_OPT_BIND_IPV6ONLY : 0);
    struct evconnlistener *listener = evconnlistener_new_bind(
        http->base, NULL, NULL, flags, LIMITS_HTTP_BACKLOG, at->ai_addr, (int)at->ai_addrlen);

    if (listener == NULL) {
        return false;
    }
    if (evhttp_bind_listener(http->evhttp, listener) == NULL) {
        evconnlistener_free(listener);
        return false;
    }
    http->listeners[http->listeners_count++] = listener;
    note_port(http, evconnlistener_get_fd(listener));
    http->local = http->local && is_loopback(at->ai_addr);
    return true;
}

static bool listen_all(struct http *http)
{
    const struct config_address *address = &http->sources.config->http;
    const bool wildcard = address->host[0] == '\0';
    const struct addrinfo hints = {.ai_flags = AI_PASSIVE | AI_NUMERICSERV,
                                   .ai_socktype = SOCK_STREAM};
    struct addrinfo *found;
    char port[16];
    int error = 0;

    (void)snprintf(port, sizeof(port), "%d", address->port == CONFIG_PORT_ANY ? 0 : address->port);
    const int failed = getaddrinfo(wildcard ? NULL : address->host, port, &hints, &found);
    if (failed) {
        log_say(http->log, LOG_ALWAYS, "--http: %s: %s", address->host,
                failed == EAI_SYSTEM ? strerror(errno) : gai_strerror(failed));
        return false;
    }
    http->local = true;
    for (const struct addrinfo *at = found;
         at != NULL && http->listeners_count < LIMITS_HTTP_SOCKETS_MAX; at = at->ai_next) {
        /* Any free port is one of one socket's. */
        if (http->listeners_count > 0 && address->port == CONFIG_PORT_ANY) {
            break;
        }
        error = listen_at(http, at) ? error : errno;
    }
    freeaddrinfo(found);
    if (http->listeners_count == 0) {
        log_say(http->log, LOG_ALWAYS, "--http: cannot listen on %s port %s: %s",
                wildcard ? "every interface" : address->host, port, strerror(error));
        return false;
    }
    if (!http->local) {
        log_say(http->log, LOG_ALWAYS,
                "WARNING: whoever reaches the port of --http may read the server's figures: it "
                "asks for no password");
    }
    return true;
}

/* ---- its life ---- */

static void on_wake(evutil_socket_t fd, short what, void *context)
{
    struct http *http = context;

    (void)fd;
    (void)what;
    (void)event_base_loopbreak(http->base);
}

static bool set_up(struct http *http)
{
    http->base = event_base_new();
    http->reply = malloc(LIMITS_HTTP_REPLY_BYTES);
    http->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (http->base == NULL || http->reply == NULL || http->wake_fd < 0) {
        return false;
    }
    memset(http->reply, 0, LIMITS_HTTP_REPLY_BYTES); /* measured with the process */
    http->evhttp = evhttp_new(http->base);
    http->wake = event_new(http->base, http->wake_fd, EV_READ, on_wake, http);
    http->tick = event_new(http->base, -1, 0, on_tick, http);
    if (http->evhttp == NULL || http->wake == NULL || http->tick == NULL ||
        event_add(http->wake, NULL) != 0) {
        return false;
    }
    evhttp_set_allowed_methods(http->evhttp, EVHTTP_REQ_GET | EVHTTP_REQ_HEAD | EVHTTP_REQ_POST |
                                                 EVHTTP_REQ_PUT | EVHTTP_REQ_DELETE |
                                                 EVHTTP_REQ_OPTIONS | EVHTTP_REQ_PATCH);
    evhttp_set_max_headers_size(http->evhttp, LIMITS_HTTP_HEADERS_BYTES);
    evhttp_set_max_body_size(http->evhttp, 0);
    evhttp_set_timeout(http->evhttp, LIMITS_HTTP_REQUEST_S);
    evhttp_set_bevcb(http->evhttp, on_accepted, http);
    evhttp_set_gencb(http->evhttp, on_request, http);
    return true;
}

struct http *http_new(const struct metrics_sources *sources, struct log *log)
{
    struct http *http = calloc(1, sizeof(*http));

    if (http == NULL) {
        return NULL;
    }
    http->sources = *sources;
    http->log = log;
    http->wake_fd = -1;
    TAILQ_INIT(&http->visits);
    if (!set_up(http)) {
        log_say(log, LOG_ALWAYS, "--http: %s", strerror(errno));
        http_free(http);
        return NULL;
    }
    if (!listen_all(http)) {
        http_free(http);
        return NULL;
    }
    return http;
}

static void *run(void *context)
{
    struct http *http = context;

    thread_set_name("zb-http");
    if (event_base_dispatch(http->base) < 0) {
        log_say(http->log, LOG_ALWAYS, "--http: event loop failed: %s", strerror(errno));
    }
    return NULL;
}

bool http_start(struct http *http)
{
    http->running = thread_start(&http->thread, run, http);
    return http->running;
}

void http_free(struct http *http)
{
    const uint64_t one = 1;

    if (http == NULL) {
        return;
    }
    if (http->running) {
        const ssize_t count = write(http->wake_fd, &one, sizeof(one));
        assert(count == sizeof(one));
        const int failed = pthread_join(http->thread, NULL);
        assert(!failed);
    }
    if (http->tick != NULL) {
        event_free(http->tick);
    }
    if (http->evhttp != NULL) {
        evhttp_free(http->evhttp); /* and the listeners */
    }
    while (!TAILQ_EMPTY(&http->visits)) {
        forget_visit(TAILQ_FIRST(&http->visits));
    }
    if (http->base != NULL) {
        /* What was freed is finished by the loop. */
        (void)event_base_loop(http->base, EVLOOP_NONBLOCK);
    }
    if (http->wake != NULL) {
        event_free(http->wake);
    }
    if (http->base != NULL) {
        event_base_free(http->base);
    }
    if (http->wake_fd >= 0) {
        (void)close(http->wake_fd);
    }
    free(http->reply);
    free(http);
}

uint16_t http_port(const struct http *http)
{
    return http->port;
}
