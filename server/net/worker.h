/*
 * worker.h - one thread that serves connections: an event base, shared buffers, a mailbox.
 *
 *   listener --worker_hand()--> mailbox (lock, queue, eventfd) --> conn_open() --> its event base
 *
 * The loop: wait for events (not at all where a connection has yielded), let each ready connection
 * have a turn, then each that had yielded.
 *
 * Invariants:
 *   WORKER-1  a connection handed over is served or closed, even where the worker is being stopped.
 *   WORKER-2  the mailbox's lock is held for a few loads and stores, never over a socket call.
 *
 * Threads: a worker is one. worker_hand(), worker_each() from any; the rest from the one that made
 * it.
 */
#ifndef SERVER_NET_WORKER_H
#define SERVER_NET_WORKER_H

#include "server/net/conn.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct auth;
struct budget;
struct clock;
struct command;
struct counters;
struct log;
struct tls;
struct watch;
struct worker;

/* All borrowed but the command, which becomes the worker's. */
struct worker_setup {
    struct command *command;
    struct counters *counters;
    struct budget *budget;
    struct auth *auth; /* may be NULL */
    struct tls *tls;   /* may be NULL */
    const struct clock *clock;
    struct log *log;
    size_t value_bytes_max;
    unsigned requests_max;
    uint32_t idle_timeout_s;
    void (*on_shutdown)(bool graceful);
    struct watch *watch;
};

/** worker_new() - NULL where the system gives no memory or descriptors; the command is freed
 * too. */
struct worker *worker_new(const struct worker_setup *setup);
/** worker_serve_udp() - a bound socket, which stays the caller's until worker_free(). Before
 * worker_start(). False: no memory, or it has LIMITS_SOCKETS_MAX. */
bool worker_serve_udp(struct worker *worker, int fd) __attribute__((warn_unused_result));
/** worker_start() - its thread runs; false where the system gives none. */
bool worker_start(struct worker *worker) __attribute__((warn_unused_result));
/** worker_stop() - closes its connections and ends its thread; waits for both. */
void worker_stop(struct worker *worker);
/** worker_free() - of one that was never started, or was stopped. */
void worker_free(struct worker *worker);

/**
 * worker_step() - instead of worker_start(), for tests: what its thread would do now without
 * waiting, on the thread that made it. True: a connection has yielded, there is more to do.
 */
bool worker_step(struct worker *worker);
/** worker_close() - closes the connections of one that is not started. */
void worker_close(struct worker *worker);

/** worker_hand() - a new connection to serve; it is the worker's from here on. */
void worker_hand(struct worker *worker, struct conn *conn);
/** worker_each() - as conn_each(). */
bool worker_each(struct worker *worker, conn_view_fn *visit, void *context);

#endif
