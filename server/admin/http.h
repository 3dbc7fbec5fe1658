/*
 * http.h - the server's figures over HTTP, on an address of their own (--http).
 *
 *   /          the dashboard (dashboard.html)          /api       what it shows (board.h)
 *   /healthz   "ok": the process serves                /metrics   for Prometheus (metrics.h)
 *
 * A thread with an event loop, so that nobody who watches keeps a request waiting. It only reads:
 * GET and HEAD, one request a connection. Whoever connects is believed nothing:
 *
 *   - at most LIMITS_HTTP_CONNS connections: one more, and the oldest is ended;
 *   - a connection has LIMITS_HTTP_REQUEST_S for everything, however busy it seems;
 *   - a head of LIMITS_HTTP_HEADERS_BYTES, no body;
 *   - a name in Host that is not this server's own may be another site's, made to resolve to this
 *     address so that a browser asks us in that site's name (DNS rebinding): it is refused.
 *
 * Invariants:
 *   HTTP-1  no answer is longer than LIMITS_HTTP_REPLY_BYTES, but what is constant.
 *   HTTP-2  every connection ends, at the latest when its time is over.
 *
 * Threads: http_new(), http_start(), http_free() from one; the thread is another.
 */
#ifndef SERVER_ADMIN_HTTP_H
#define SERVER_ADMIN_HTTP_H

#include "server/admin/metrics.h"

#include <stdbool.h>
#include <stdint.h>

struct http;
struct log;

/** http_new() - listens where config->http says; nobody is served yet. NULL: the log says why. */
struct http *http_new(const struct metrics_sources *sources, struct log *log);
/** http_start() - the thread runs. False where the system gives none. */
bool http_start(struct http *http) __attribute__((warn_unused_result));
/** http_free() - ends the thread and all connections. NULL is fine. */
void http_free(struct http *http);

/** http_port() - that is listened on. */
uint16_t http_port(const struct http *http);

#endif
