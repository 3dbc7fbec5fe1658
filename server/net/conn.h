/*
 * conn.h - one connection: its bytes in and out, and where it stands between them.
 *
 *                         worker (shared)                         connection (when unfinished)
 *   socket --recv()-->    input  [request][request][requ    -->   input  [requ
 *                            |  protocol_parse(), command_execute()
 *   socket <--send()--    output [reply][reply][reply]      -->   output    ly][reply]
 *
 * A connection that waits for its next request owns no buffer. What a read brings is executed
 * where it lies, in the worker's input, and the replies are composed in the worker's output and
 * written together. Only the bytes of a request that is not whole yet, and those of replies that
 * the socket does not take, are moved to buffers of the connection's own, counted in the budget.
 *
 * Words: a *turn* is what a connection does between two waits. It ends *starved* (needs bytes),
 * *blocked* (its replies are not taken), *yielded* (others wait), or *finished* (to be closed).
 *
 * Invariants:
 *   CONN-1  when the worker waits its input and output are empty; between turns too, but for those
 *           that are taken side by side (gather.h).
 *   CONN-2  with replies unwritten no further request is executed and nothing is read: a connection
 *           holds at most LIMITS_OUTPUT_BYTES or one larger reply, and one request or what one read
 *           brought.
 *   CONN-3  a request that is waited for takes memory for what has come of it, at most twice that.
 *   CONN-4  replies leave in the order of their requests; none is lost because the client has shut
 *           its sending side.
 *   CONN-5  watched for exactly one of reading and writing.
 *   CONN-6  where users have passwords nothing is executed for one that has not sent them.
 *
 * Threads: a connection belongs to the thread that accepted it until it is opened on a worker, then
 * to that worker's. The roster is read by others, under its lock.
 */
#ifndef SERVER_NET_CONN_H
#define SERVER_NET_CONN_H

#include "protocol/reply.h"
#include "server/net/address.h"
#include "server/net/buffer.h"
#include "server/net/tls.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

struct auth;
struct budget;
struct clock;
struct command;
struct conn;
struct counters;
struct event_base;
struct gather;
struct log;
struct protocol_parsed;
struct watch;
struct watch_writer;

/* A first-in first-out queue; a connection is in one at most. */
TAILQ_HEAD(conn_queue, conn);
LIST_HEAD(conn_roster, conn);

/* What the connections of one thread share; the worker's. */
struct conn_host {
    struct event_base *base;
    struct command *command;
    struct counters *counters;
    struct budget *budget;
    struct auth *auth; /* NULL: everybody may speak */
    const struct clock *clock;
    struct log *log;
    size_t value_bytes_max; /* larger ones are refused while they are read */
    unsigned requests_max;  /* -R */
    void (*on_shutdown)(bool graceful);
    struct watch *watch;
    struct watch_writer *writer; /* the thread's end */
    void (*wake)(void *context); /* end this thread's wait; from any thread */
    void *wake_context;

    struct tls_host tls; /* its tls is NULL without -Z */

    uint8_t *input;                /* LIMITS_INPUT_BYTES */
    uint8_t *output;               /* LIMITS_OUTPUT_BYTES */
    size_t output_held;            /* answers at its start that are to be written together */
    unsigned untimed;              /* requests until one is timed */
    struct protocol_parsed *ahead; /* COMMAND_EXPECT_MAX, for the turn that is taken */
    struct gather *gather;         /* turns that are taken together */
    struct buffer large_output;    /* for a reply that is larger; in the budget */
    bool large_output_used;        /* since the last conn_host_tidy() */
    struct buffer large_input;     /* what the last large request had; in the budget */
    bool large_input_used;
    struct protocol_reply reply; /* over output or large_output */

    struct conn_queue ready; /* yielded, to go on soon */
    pthread_mutex_t roster_lock;
    struct conn_roster roster;   /* every open connection; written by this thread under the lock */
    struct conn_roster watching; /* those of them that are watchers */
};

/**
 * conn_new() - a connection for an accepted descriptor.
 * @tls: enum config_tls; the session begins where the connection is opened.
 *
 * Owns: the descriptor from here on.
 * Errors: NULL - no memory; the descriptor stays the caller's.
 */
struct conn *conn_new(struct budget *budget, int fd, const struct address *peer,
                      const struct address *local, unsigned tls);
/** conn_discard() - close one that was never opened. */
void conn_discard(struct conn *conn, struct budget *budget);

/** conn_open() - start serving it on this thread; it closes itself when it is over. */
void conn_open(struct conn *conn, struct conn_host *host);

/** conn_go_on() - another turn of a connection taken from host->ready. */
void conn_go_on(struct conn *conn);

/** conn_send_watched() - watchers that wait for nothing but lines send those that have come. */
void conn_send_watched(struct conn_host *host);

/** conn_close_idle() - close those that moved no byte for more than @timeout_s, but watchers. */
void conn_close_idle(struct conn_host *host, uint32_t timeout_s, uint32_t now_s);
/** conn_close_unshaken() - close those whose TLS handshake has lasted too long. */
void conn_close_unshaken(struct conn_host *host, uint32_t now_s);
void conn_close_all(struct conn_host *host);

/** conn_host_tidy() - give back large buffers that were not used since the last call. */
void conn_host_tidy(struct conn_host *host);

/* One connection as others see it. */
struct conn_view {
    int fd;
    const char *state; /* memcached's name for it */
    uint32_t active_s; /* when it last moved a byte */
    struct address peer;
    struct address local;
};

typedef bool conn_view_fn(void *context, const struct conn_view *view);
/** conn_each() - visit them under the roster's lock, from any thread, until @visit says false. */
bool conn_each(struct conn_host *host, conn_view_fn *visit, void *context);

#endif
