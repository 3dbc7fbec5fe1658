/*
 * client_tls.h - TLS between the client's buffers and its socket; of clients/ the only user of
 * OpenSSL.
 *
 *   client_tls_how --context_new()--> context, kept for all connections
 *   descriptor, connected --connect()--> session --send(), receive()--> bytes
 *
 * Private to the client library. TLS 1.2 and later. The descriptor never blocks: each call polls it
 * until its deadline.
 *
 * Threads: one at a time a session, sending and receiving together.
 */
#ifndef CLIENTS_CLIENT_TLS_H
#define CLIENTS_CLIENT_TLS_H

#include "clients/client.h"
#include "clients/client_dial.h"

struct client_tls_context;
struct client_tls;

/**
 * client_tls_context_new() - read what @how names; NULL where it cannot be used.
 * @text: why, then.
 */
struct client_tls_context *client_tls_context_new(const struct client_tls_how *how,
                                                  char text[CLIENT_TEXT_BYTES_MAX]);
void client_tls_context_free(struct client_tls_context *context);

/**
 * client_tls_connect() - shake hands over a connected descriptor, which stays the caller's.
 * @name: what the certificate must be for, a host's name or address.
 * @text: why, where the answer is CLIENT_TLS_FAILED.
 * @tls:  set where the answer is CLIENT_OK; to be freed before its descriptor is closed.
 *
 * Errors: CLIENT_TLS_FAILED, CLIENT_TIMEOUT, CLIENT_CLOSED, CLIENT_SYSTEM, CLIENT_NO_MEMORY.
 */
enum client_status client_tls_connect(struct client_tls_context *context, int descriptor,
                                      const char *name, struct client_deadline deadline,
                                      char text[CLIENT_TEXT_BYTES_MAX], struct client_tls **tls)
    __attribute__((warn_unused_result));
/** client_tls_free() - says goodbye, without waiting for the answer. NULL is fine. */
void client_tls_free(struct client_tls *tls);

/** client_tls_send() - at least one byte. Errors: CLIENT_TIMEOUT, CLIENT_CLOSED, CLIENT_SYSTEM. */
enum client_status client_tls_send(struct client_tls *tls, const void *data, size_t bytes,
                                   struct client_deadline deadline, size_t *sent)
    __attribute__((warn_unused_result));
/** client_tls_receive() - at least one byte. Errors: as client_tls_send(). */
enum client_status client_tls_receive(struct client_tls *tls, void *data, size_t room,
                                      struct client_deadline deadline, size_t *got)
    __attribute__((warn_unused_result));
/** client_tls_shutdown() - the server sees the end of the stream. Errors: CLIENT_SYSTEM. */
enum client_status client_tls_shutdown(struct client_tls *tls) __attribute__((warn_unused_result));

#endif
