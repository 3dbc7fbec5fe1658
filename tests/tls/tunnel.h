/*
 * tunnel.h - a process that gives programs without TLS a server with it: what comes to its port
 * goes on to the server's through TLS, and back.
 *
 * Ends of both directions are passed on one by one, as a half-close must come through.
 *
 * Threads: none of its own.
 */
#ifndef TESTS_TLS_TUNNEL_H
#define TESTS_TLS_TUNNEL_H

#include <stdint.h>
#include <sys/types.h>

/** tunnel_start() - to @port of 127.0.0.1. Sets where it listens itself; dies with the caller.
 * Returns its process id, to be killed and waited for. */
pid_t tunnel_start(uint16_t port, uint16_t *own_port);

#endif
