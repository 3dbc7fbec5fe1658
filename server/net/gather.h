/*
 * gather.h - the turns of connections that have become readable at the same time, side by side.
 *
 *   readable:  a  b  c                     input   [a's bytes][b's bytes][c's bytes]
 *     recv()   a, b, c                     output  [a's answer][b's answer][c's answer]
 *     parse    a, b, c
 *     look up  the keys of all three together
 *     execute  a, b, c
 *     send()   a, b, c
 *
 * One after the other, each request would find the core's caches filled by the kernel, and wait for
 * memory alone. Gathered are connections that wait for a new request; others take turns of their
 * own.
 *
 * Invariants:
 *   GATHER-1  a connection is gathered once at most, and served before the worker waits again.
 *   GATHER-2  what is gathered lies in the input one behind the other, what is held in the output.
 *   GATHER-3  no answer is held while a pipeline or a long request is executed.
 *
 * Threads: the worker's.
 */
#ifndef SERVER_NET_GATHER_H
#define SERVER_NET_GATHER_H

struct conn;
struct conn_host;
struct gather;

/** gather_new() - NULL: no memory. */
struct gather *gather_new(void);
void gather_free(struct gather *gather);

/** gather_read() - a connection is readable: gather it, or serve it. It may be gone afterwards. */
void gather_read(struct conn *conn);
/** gather_serve() - serve all that were gathered. They may be gone afterwards. */
void gather_serve(struct conn_host *host);
/** gather_waiting() - connections that were gathered and whose turn has not begun. */
unsigned gather_waiting(const struct gather *gather);

#endif
