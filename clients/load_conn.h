/*
 * load_conn.h - one connection: requests on their way, and what is made of the replies.
 *
 *   load_conn_add() --> out --load_conn_write()--> server
 *        |                                           |
 *        '--> ring of requests, oldest first <-- in <+ each reply ends the oldest one
 *                                            |
 *                                            '--> tally; then replies() of the owner
 *
 * Invariants:
 *   CONN-1  replies answer the requests in the ring in their order; one that does not fit the
 *           oldest ends the connection, for its place in the stream is lost.
 *   CONN-2  nothing is read while no request is on the way, but for a server that takes leave.
 *
 * Threads: one connection, one thread.
 */
#ifndef CLIENTS_LOAD_CONN_H
#define CLIENTS_LOAD_CONN_H

#include "clients/load_request.h"
#include "clients/load_tally.h"

struct event_base;
struct load_conn;

/* What connections of a thread have in common; it outlives them. */
struct load_conn_owner {
    struct event_base *base;
    const struct load_plan *plan;
    const struct load_items *items;
    struct load_tally *tally;
    uint32_t depth; /* room in each ring */
    void *context;
    /* All replies that have come at once have been counted. */
    void (*replies)(void *context, struct load_conn *conn);
    /* The connection is lost, or out of step: why. It is not used any more. */
    void (*failed)(void *context, const char *why);
};

/** load_conn_new() - over a connected socket that does not block, which it owns from then on, also
 * where the answer is NULL: no memory. */
struct load_conn *load_conn_new(const struct load_conn_owner *owner, int descriptor);
void load_conn_free(struct load_conn *conn);

/** load_conn_pending() - requests not answered yet. */
uint32_t load_conn_pending(const struct load_conn *conn);
/** load_conn_unsent() - whether requests were added since the last load_conn_write(). */
bool load_conn_unsent(const struct load_conn *conn);
/** load_conn_unwritten_bytes() - of requests added. */
size_t load_conn_unwritten_bytes(const struct load_conn *conn);
/** load_conn_quiet_since_ns() - when it last wrote with nothing on the way, or read. */
uint64_t load_conn_quiet_since_ns(const struct load_conn *conn);
/**
 * load_conn_add() - one more request of the source; there is room in the ring.
 * @since_ns: when it was to be sent; 0: the time of the next write.
 *
 * False: no memory.
 */
bool load_conn_add(struct load_conn *conn, struct load_source *source, bool storing,
                   uint64_t since_ns) __attribute__((warn_unused_result));
/** load_conn_write() - write what was added, now or when the socket takes it. It may call
 * failed(), but never replies(). */
void load_conn_write(struct load_conn *conn);

/** load_now_ns() - of CLOCK_MONOTONIC. */
uint64_t load_now_ns(void);

#endif
