/*
 * client_socket.h - the client's stream socket: deadlines, and a buffer in each direction.
 *
 *   queue --> out: [.. queued ..] --flush--> descriptor --fill--> in: [.. unread ..] --> consume
 *
 * Private to the client library; others use client.h. The descriptor never blocks: each call polls
 * it until its deadline, so a slow peer costs at most the timeout. Where there is a TLS session,
 * bytes pass through it.
 *
 * Invariants:
 *   SOCKET-1  begin <= end <= capacity in both buffers, and their memory is there from the start.
 *   SOCKET-2  bytes handed out of `in` stay where they are until the next fill.
 *
 * Threads: one may queue and flush while another fills and consumes; only the descriptor is shared.
 * With a TLS session: one at a time.
 */
#ifndef CLIENTS_CLIENT_SOCKET_H
#define CLIENTS_CLIENT_SOCKET_H

#include "clients/client.h"
#include "clients/client_dial.h"

struct client_buffer {
    uint8_t *data;
    size_t begin;
    size_t end;
    size_t capacity;
};

struct client_tls;

struct client_socket {
    int descriptor;         /* -1: not connected */
    struct client_tls *tls; /* owned; NULL: plain */
    struct client_buffer in;
    struct client_buffer out;
};

/** client_socket_init() - not connected, buffers empty. False: no memory, and nothing to fini. */
bool client_socket_init(struct client_socket *sock) __attribute__((warn_unused_result));
/** client_socket_close() - closes, and forgets what is in both buffers. Fine when not connected. */
void client_socket_close(struct client_socket *sock);
/** client_socket_fini() - closes and gives the buffers' memory back. */
void client_socket_fini(struct client_socket *sock);

/**
 * client_socket_connect_tcp() - try each address of @host until one accepts.
 *
 * Errors: CLIENT_UNREACHABLE (no such host, or none accepts), CLIENT_TIMEOUT, CLIENT_SYSTEM.
 */
enum client_status client_socket_connect_tcp(struct client_socket *sock, const char *host,
                                             uint16_t port, struct client_deadline deadline)
    __attribute__((warn_unused_result));
enum client_status client_socket_connect_unix(struct client_socket *sock, const char *path,
                                              struct client_deadline deadline)
    __attribute__((warn_unused_result));

/** client_socket_queue() - copy bytes behind what is queued. Errors: CLIENT_NO_MEMORY. */
enum client_status client_socket_queue(struct client_socket *sock, const void *data, size_t bytes)
    __attribute__((warn_unused_result));
/**
 * client_socket_flush() - write what is queued.
 *
 * Errors: CLIENT_TIMEOUT (the rest stays queued), CLIENT_CLOSED, CLIENT_SYSTEM.
 */
enum client_status client_socket_flush(struct client_socket *sock, struct client_deadline deadline)
    __attribute__((warn_unused_result));

/**
 * client_socket_fill() - wait until @bytes unread bytes are there; more may come along.
 *
 * Errors: CLIENT_TIMEOUT, CLIENT_CLOSED (end of stream or reset), CLIENT_NO_MEMORY, CLIENT_SYSTEM;
 * what has come so far stays unread in the buffer.
 */
enum client_status client_socket_fill(struct client_socket *sock, size_t bytes,
                                      struct client_deadline deadline)
    __attribute__((warn_unused_result));

const uint8_t *client_socket_unread(const struct client_socket *sock);
size_t client_socket_unread_bytes(const struct client_socket *sock);
void client_socket_consume(struct client_socket *sock, size_t bytes);

#endif
