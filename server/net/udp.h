/*
 * udp.h - requests that come by UDP, each in one datagram, answered at once.
 *
 *   recvfrom() --> the worker's input --> protocol_parse(), command_execute() --> the worker's
 *   output --> one datagram or several --> sendmsg()
 *
 * A sender's address can be forged, so a datagram may make us do less than a connection can:
 *
 *   UDP-1  a reply has at most PROTOCOL_DATAGRAM_FACTOR times the request's bytes, frames and all;
 *          a longer one is replaced by a line that says so, or by nothing where that is too long
 *          too. We cannot be made to flood somebody.
 *   UDP-2  a datagram that does not begin with a command is not answered. No reply begins with one,
 *          so two servers cannot be made to talk to each other for ever.
 *   UDP-3  what the socket does not take is dropped: nothing is kept of a datagram.
 *
 * Threads: the worker's it was made for.
 */
#ifndef SERVER_NET_UDP_H
#define SERVER_NET_UDP_H

#include "server/net/conn.h"

struct udp;

/** udp_new() - serve a bound socket, which stays the caller's. NULL: no memory. */
struct udp *udp_new(struct conn_host *host, int fd);
void udp_free(struct udp *udp);

#endif
