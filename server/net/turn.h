/*
 * turn.h - what a connection does between two waits: drain, execute what has come, read, execute,
 * write.
 *
 * turn_take() is all of it. gather.c does its parts for several connections side by side: begin and
 * receive for each, parse for each, run for each, finish for each.
 *
 * Threads: the connection's.
 */
#ifndef SERVER_NET_TURN_H
#define SERVER_NET_TURN_H

#include "server/net/conn_state.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum progress {
    PROGRESS_GO_ON,
    PROGRESS_ANSWERED,
    PROGRESS_STARVED,
    PROGRESS_BLOCKED,
    PROGRESS_YIELDED,
    PROGRESS_CROWDED, /* needs the part of the output that holds others' answers; run it again */
    PROGRESS_FINISHED,
    PROGRESS_BROKEN, /* the socket is dead: close, write nothing */
};

/* It stays where it is: from may point into it. */
struct turn {
    struct conn *conn;
    struct conn_host *host;
    struct buffer *from;  /* where the bytes are: the connection's input, or shared */
    struct buffer shared; /* what is this turn's of the host's input */
    uint32_t now_s;
    uint64_t looked_us; /* when others were looked for first; 0 before */
    unsigned quota;     /* requests until others are looked for */
    unsigned flushes;
    unsigned ahead_next; /* of host->ahead: requests parsed before it is their turn */
    unsigned ahead_count;
    const uint8_t *ahead_at; /* where the next of them lies: it must not move meanwhile */
    bool first;              /* no request was parsed yet */
};

/** turn_take() - a whole turn. The connection may be gone afterwards. */
void turn_take(struct conn *conn, bool readable);

void turn_begin(struct turn *turn, struct conn *conn, uint32_t now_s);
/** turn_receive() - one recv(). The bytes that came; 0 where none did now, or no more ever will
 * (conn->eof). */
size_t turn_receive(struct turn *turn, uint8_t *bytes, size_t room);
/** turn_parse() - the next request; PROGRESS_GO_ON: conn->step says what is next. */
enum progress turn_parse(struct turn *turn);
/** turn_first_key() - of a request; no bytes where it names none. */
struct protocol_slice turn_first_key(const struct protocol_request *request);
/** turn_run() - execute what has come until the turn ends or needs bytes. */
enum progress turn_run(struct turn *turn);
/** turn_finish() - keep what is unfinished, write host->reply, wait or close. */
void turn_finish(struct turn *turn, enum progress progress);
/** turn_reset_reply() - an empty reply behind the answers that are held. */
void turn_reset_reply(struct conn_host *host);

#endif
