/*
 * client_dial.h - a connected stream socket: found, dialled, and never blocking from then on.
 *
 *   host, port or path --> descriptor, connected, non-blocking, closed on exec; TCP: no delay
 *
 * What the client library and the load generator share. Whoever gets a descriptor owns it.
 *
 * Threads: as many as like; nothing is kept between calls.
 */
#ifndef CLIENTS_CLIENT_DIAL_H
#define CLIENTS_CLIENT_DIAL_H

#include "clients/client.h"

/* A moment of CLOCK_MONOTONIC. */
struct client_deadline {
    int64_t at_ms;
};

struct client_deadline client_deadline_in(int timeout_ms);

/**
 * client_dial_tcp() - try each address of @host until one accepts.
 * @descriptor: set where the answer is CLIENT_OK.
 *
 * Errors: CLIENT_UNREACHABLE (no such host, or none accepts), CLIENT_TIMEOUT, CLIENT_SYSTEM.
 */
enum client_status client_dial_tcp(const char *host, uint16_t port, struct client_deadline deadline,
                                   int *descriptor) __attribute__((warn_unused_result));
/** client_dial_unix() - the same over a unix socket; a path over 107 bytes is unreachable. */
enum client_status client_dial_unix(const char *path, struct client_deadline deadline,
                                    int *descriptor) __attribute__((warn_unused_result));

/** client_dial_wait() - poll for @events. Errors: CLIENT_TIMEOUT, CLIENT_SYSTEM. */
enum client_status client_dial_wait(int descriptor, short events, struct client_deadline deadline)
    __attribute__((warn_unused_result));
/** client_dial_status() - what the errno of a call on a socket that has failed means. */
enum client_status client_dial_status(void) __attribute__((warn_unused_result));

#endif
