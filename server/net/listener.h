/*
 * listener.h - the sockets that are listened on: TCP and UDP, of IPv4 and IPv6, or one unix one.
 *
 *   accept4() --> over -c? --no--> conn_new() --> take(), the next worker's
 *                    |
 *                    yes --> "ERROR Too many open connections", closed
 *                            (-o no_maxconns_fast: nothing is accepted until one closes)
 *
 * A listener that cannot accept (the limit is reached, no descriptors are left) stops watching its
 * sockets and looks again every LIMITS_ACCEPT_RETRY_MS: it neither spins nor needs to be told.
 *
 * Invariants:
 *   LISTENER-1  no more than -c connections are open at any time.
 *   LISTENER-2  every descriptor accepted is handed on, or closed at once.
 *
 * Threads: the thread whose event base it was given.
 */
#ifndef SERVER_NET_LISTENER_H
#define SERVER_NET_LISTENER_H

#include "server/net/conn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct budget;
struct clock;
struct config;
struct counters;
struct counters_all;
struct event_base;
struct listener;
struct log;

struct listener_setup {
    const struct config *config;
    const struct clock *clock;
    const struct counters_all *counters_all;
    struct counters *counters; /* the thread's own */
    struct budget *budget;
    struct log *log;
    struct event_base *base;
    void (*take)(void *context, struct conn *conn); /* owns the connection from then on */
    void *take_context;
};

/**
 * listener_new() - bind and listen where the configuration says.
 *
 * Errors: NULL - an address cannot be had; the log says which and why.
 */
struct listener *listener_new(const struct listener_setup *setup);
/** listener_udp() - the @n-th of the UDP sockets, which nobody watches yet; -1: there are fewer. */
int listener_udp(const struct listener *listener, size_t n);
/** listener_start() - accept from now on, in the event base's loop. */
bool listener_start(struct listener *listener) __attribute__((warn_unused_result));
/** listener_free() - closes the sockets. The file of a unix socket stays, as memcached's does. */
void listener_free(struct listener *listener);

/**
 * listener_write_ports() - "TCP INET: 11211", a line a socket, into a file, complete or not at all.
 * @http_port: a line "HTTP: 9150" behind them; 0: none.
 *
 * Errors: false - the file cannot be written; errno says why.
 */
bool listener_write_ports(const struct listener *listener, uint16_t http_port, const char *path)
    __attribute__((warn_unused_result));

/** listener_each() - the sockets, as conn_each() shows connections. Any thread, while it lives. */
bool listener_each(const struct listener *listener, conn_view_fn *visit, void *context);

#endif
