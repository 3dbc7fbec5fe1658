/*
 * tls.h - TLS between a connection and its socket; the only user of OpenSSL.
 *
 *   conn --tls_receive(), tls_send()--> session --records--> socket
 *                                          ^
 *   certificates, keys --tls_new(), tls_refresh()--> struct tls, one for all connections
 *
 * Calls behave as recv() and send() on a non-blocking socket do, so the connection's turn is the
 * same; the handshake happens in them, step by step, as bytes come. TLS 1.2 and 1.3; renegotiation
 * and compression are off. A session keeps the certificates it began with when they are read again.
 *
 * What a session takes is charged to the budget by state (figures: README.md). OpenSSL lets go of
 * a session's buffers whenever they are empty.
 *
 * Invariants:
 *   TLS-1  between turns the budget holds for a session what its state takes.
 *   TLS-2  a file that cannot be used leaves the certificates as they were.
 *   TLS-3  a session that waits for a client's handshake is closed after LIMITS_TLS_HANDSHAKE_S.
 *
 * Threads: a session belongs to its connection's thread; struct tls to all, with a lock inside that
 * is held over a pointer and a count.
 */
#ifndef SERVER_NET_TLS_H
#define SERVER_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define TLS_ERROR_BYTES_MAX 479u

struct budget;
struct config;
struct counters;
struct log;
struct tls;
struct tls_session;

/**
 * tls_new() - read certificates and keys as the configuration says.
 * @config: borrowed for as long as it lives.
 * @error:  TLS_ERROR_BYTES_MAX + 1 bytes; a sentence where the answer is NULL.
 */
struct tls *tls_new(const struct config *config, char *error);
/** tls_refresh() - read them again, for sessions from now on. False: @error says why. */
bool tls_refresh(struct tls *tls, char *error) __attribute__((warn_unused_result));
/** tls_free() - after the last session. */
void tls_free(struct tls *tls);

/* The thread's own and what all share; borrowed for as long as a session lives. */
struct tls_host {
    struct tls *tls;
    struct budget *budget;
    struct counters *counters;
    struct log *log;
};

/**
 * tls_accept() - a session over an accepted socket, which stays the caller's.
 * @mode: enum config_tls, any but CONFIG_TLS_NONE.
 *
 * Errors: NULL - no memory.
 */
struct tls_session *tls_accept(const struct tls_host *host, int fd, unsigned mode);
/** tls_close() - says so to the client where that can be done at once. NULL is fine. */
void tls_close(struct tls_session *session);

/** tls_receive() - as recv(): 0 at the end, -1 with EAGAIN or another errno. */
ssize_t tls_receive(struct tls_session *session, void *bytes, size_t room);
/** tls_send() - as send(). After a part was taken the rest must be offered next, unchanged. */
ssize_t tls_send(struct tls_session *session, const void *bytes, size_t count);

/** tls_is_open() - the handshake is done. */
bool tls_is_open(const struct tls_session *session);
/** tls_has_more() - the last tls_receive() may have left bytes that the socket knows nothing of. */
bool tls_has_more(const struct tls_session *session);
/** tls_wants_to_write() - the last tls_receive() can go on only when the socket takes bytes. */
bool tls_wants_to_write(const struct tls_session *session);

/** tls_settle() - charge what the session takes now. False: there is no memory for it. */
bool tls_settle(struct tls_session *session) __attribute__((warn_unused_result));

#endif
