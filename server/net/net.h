/*
 * net.h - the server's network side: the listener, the workers, and who they are to "stats conns".
 *
 *   main thread: listener --round robin--> worker 1 .. worker N
 *
 * Threads: the thread that made it, and whose event base it was given; net_emit_conns() from any.
 */
#ifndef SERVER_NET_NET_H
#define SERVER_NET_NET_H

#include <stdbool.h>
#include <stdint.h>

#define NET_ERROR_BYTES_MAX 479u

struct auth;
struct budget;
struct clock;
struct command_shared;
struct config;
struct counters_all;
struct event_base;
struct log;
struct net;

/* All borrowed for as long as the struct net lives. Set 0 of the counters is the listener's. */
struct net_setup {
    const struct config *config;
    const struct clock *clock;
    const struct command_shared *command;
    struct counters_all *counters;
    struct budget *budget;
    struct auth *auth; /* NULL: everybody may speak */
    struct log *log;
    struct event_base *base;
    void (*on_shutdown)(bool graceful); /* from a worker's thread */
};

/** net_new() - workers made, sockets bound, nothing running. NULL: the log says why. */
struct net *net_new(const struct net_setup *setup);
/** net_start() - from now on connections are served. */
bool net_start(struct net *net) __attribute__((warn_unused_result));
/** net_write_ports() - see listener_write_ports(). */
bool net_write_ports(const struct net *net, uint16_t http_port, const char *path)
    __attribute__((warn_unused_result));
/**
 * net_refresh_certs() - read certificates again; with -Z only. Any thread.
 * @error: NET_ERROR_BYTES_MAX + 1 bytes; a sentence where the answer is false: the old ones hold.
 */
bool net_refresh_certs(struct net *net, char *error) __attribute__((warn_unused_result));
/** net_free() - accepts no more, closes every connection, ends the threads. */
void net_free(struct net *net);

typedef bool net_emit_fn(void *context, const char *name, const char *value);
/** net_emit_conns() - the lines of "stats conns"; @net is a struct net. False as soon as @emit
 * is. */
bool net_emit_conns(void *net, uint32_t now_s, net_emit_fn *emit, void *context);

#endif
