/*
 * conn_state.h - what conn.c (its life) and turn.c (its work) both know of a connection.
 *
 *             protocol_parse()           a data block to drop?            answered
 *   CONN_PARSE -----------------> CONN_SWALLOW ---------> CONN_ANSWER ------------> CONN_PARSE
 *
 * A request stays in CONN_ANSWER while it is suspended for want of room in the reply. "watch" leads
 * to CONN_WATCH, for good: what the client sends from then on is dropped, and lines are sent.
 *
 * Threads: as conn.h; members marked "shared" are read by other threads.
 */
#ifndef SERVER_NET_CONN_STATE_H
#define SERVER_NET_CONN_STATE_H

#include "protocol/parse.h"
#include "server/net/address.h"
#include "server/net/buffer.h"
#include "server/net/conn.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

enum conn_step {
    CONN_PARSE,   /* a request may begin at input's start */
    CONN_SWALLOW, /* parsed.swallow bytes are to be dropped before parsed is answered */
    CONN_ANSWER,  /* parsed is to be answered, or to be answered on */
    CONN_WATCH,   /* watcher's lines are sent */
};

/* Shared with "stats conns". */
enum conn_doing {
    CONN_IS_NEW,
    CONN_IS_WAITING,
    CONN_IS_READING,
    CONN_IS_WORKING,
    CONN_IS_SWALLOWING,
    CONN_IS_WRITING,
    CONN_IS_WATCHING,
};

struct conn {
    struct conn_host *host;
    int fd;
    short watched;      /* EV_READ, EV_WRITE or, before it is opened, 0 */
    bool queued;        /* in host->ready */
    bool eof;           /* the client has shut its sending side */
    bool closing;       /* close once the output is written */
    bool is_error;      /* parsed is a line to be answered, not a request */
    bool authenticated; /* or need not be */
    bool refused;       /* there is no memory for parsed.request: answer just that */
    uint8_t tls_mode;   /* enum config_tls */
    uint8_t reason;     /* enum watch_reason: why it will be closed */
    enum conn_step step;
    uint32_t spent_ns; /* CONN_ANSWER: on parts of parsed.request; 0: it is yet to begin */

    struct tls_session *tls; /* NULL: plain */
    struct buffer input;     /* the unfinished request; behind it what came with it */
    struct buffer output;    /* what the socket did not take */
    size_t wanted;           /* CONN_PARSE: bytes the request has, where known; else 0 */
    size_t scanned;          /* CONN_PARSE: bytes of input known to hold no whole line */
    struct protocol_parsed parsed;

    _Atomic uint32_t active_s; /* shared */
    _Atomic uint8_t doing;     /* shared */
    struct address peer;
    struct address local;

    struct watcher *watcher; /* CONN_WATCH; else NULL */
    TAILQ_ENTRY(conn) queue;
    LIST_ENTRY(conn) roster;
    LIST_ENTRY(conn) watching; /* with a watcher */
    struct event event;
};

/** conn_watch() - wait for @what instead. False: the system does not let us. */
bool conn_watch(struct conn *conn, short what) __attribute__((warn_unused_result));
/** conn_watch_start() - "watch": it becomes a watcher of @kinds. Returns what to answer; where that
 * is not OK it goes on as before. */
const char *conn_watch_start(struct conn *conn, uint32_t kinds);
/** conn_close() - close it and let go of all it owns. */
void conn_close(struct conn *conn);

#endif
