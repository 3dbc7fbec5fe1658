/*
 * peer.h - a server under test: a child process that listens on a port nobody else has.
 *
 * The port is one the system has just given away and taken back. Somebody else may take it in
 * between, so a peer counts as started when the process id in its `stats` is the child's; otherwise
 * another port is tried.
 *
 * The child is killed when the test program dies. Its stderr is the test's.
 *
 * Threads: none of its own; one peer, one thread.
 */
#ifndef TESTS_WIRE_PEER_H
#define TESTS_WIRE_PEER_H

#include "clients/client.h"

#define PEER_ERROR_BYTES 512u
/* Reached only where something is wrong, on the slowest build and the busiest machine. */
#define PEER_TIMEOUT_MS  30000

/* How a server is reached. */
enum peer_way {
    PEER_TCP,
    PEER_UNIX,    /* a socket in a folder of its own instead of 127.0.0.1 */
    PEER_LOGIN,   /* as PEER_TCP, with -Y; each connection sends user and password first */
    PEER_TLS,     /* as PEER_TCP, with -Z; connections go through a tunnel (tests/tls) */
    PEER_SANDBOX, /* as PEER_TCP, with -o drop_privileges */
};

/* For -Y; of PEER_LOGIN and of transcripts. */
#define PEER_USERS "tests/wire/users"

/* PEER_TLS: the environment's name of a folder of certificates (tests/tls/certs.h). */
#define PEER_CERTS "PEER_CERTS"

struct peer;

/**
 * peer_start() - run a server and wait until it answers.
 * @program: a path, or a name to be looked for on PATH.
 * @options: words with blanks between; where to listen, and -u as root, are added.
 * @error:   PEER_ERROR_BYTES, set where the answer is NULL.
 */
struct peer *peer_start(const char *program, const char *options, enum peer_way way, char *error)
    __attribute__((warn_unused_result));

/**
 * peer_stop() - SIGTERM, unless it has ended, and wait for the end.
 *
 * Returns true where the server exited with 0 in time; frees the peer in either case.
 */
bool peer_stop(struct peer *peer) __attribute__((warn_unused_result));
/** peer_await_end() - wait for an end that nobody asked for here; true where it comes in time and
 * with exit status 0. peer_stop() then answers the same. */
bool peer_await_end(struct peer *peer) __attribute__((warn_unused_result));
/** peer_kill() - SIGKILL, for a peer whose end does not matter; frees the peer. NULL is fine. */
void peer_kill(struct peer *peer);

enum client_status peer_connect(const struct peer *peer, struct client *client)
    __attribute__((warn_unused_result));
/** peer_running() - whether the child is still there. */
bool peer_running(const struct peer *peer);
/** peer_resident_bytes_max() - the most memory the child had in RAM so far (VmHWM); 0: unknown. */
size_t peer_resident_bytes_max(const struct peer *peer);
/** peer_resident_bytes() - what it has now (VmRSS). */
size_t peer_resident_bytes(const struct peer *peer);

#endif
