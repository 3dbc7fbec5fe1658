/*
 * dial.h - a connection that speaks TLS, for tests.
 *
 *   struct dial *dial = dial_new(fd, &(struct dial_how){.folder = certs});   shakes hands
 *   dial_ask(dial, "get a\r\n", "END\r\n");
 *
 * The server's certificate is verified against authority.pem of the folder.
 *
 * Threads: one a connection.
 */
#ifndef TESTS_TLS_DIAL_H
#define TESTS_TLS_DIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct dial;
struct dial_session;

struct dial_how {
    const char *folder;           /* of certs.h */
    const char *client;           /* the certificate to show; NULL: none */
    int version;                  /* 2: TLS 1.2 and nothing else, 3: TLS 1.3; 0: any */
    struct dial_session *session; /* to be resumed; NULL: none */
};

/** dial_new() - over a connected socket, which becomes the dial's. NULL: no handshake. A client
 * of TLS 1.3 sees only with its first read that its certificate is refused. */
struct dial *dial_new(int fd, const struct dial_how *how);
/** dial_free() - says goodbye and closes. */
void dial_free(struct dial *dial);

bool dial_send(struct dial *dial, const void *bytes, size_t count);
/** dial_read() - what comes; 0 or less at the end. */
ssize_t dial_read(struct dial *dial, void *bytes, size_t room);
/** dial_expect() - these bytes and no others are what comes next. */
bool dial_expect(struct dial *dial, const char *text);
bool dial_ask(struct dial *dial, const char *request, const char *answer);
/** dial_shut() - no more is sent; answers may still come. */
void dial_shut(struct dial *dial);
/** dial_renegotiate() - false where the server does not take part. */
bool dial_renegotiate(struct dial *dial);

/** dial_peer() - the common name in the server's certificate. */
void dial_peer(const struct dial *dial, char *name, size_t name_bytes);
bool dial_was_resumed(const struct dial *dial);
/** dial_pending() - bytes decrypted that were not read yet. */
size_t dial_pending(const struct dial *dial);
/** dial_session() - what can be resumed, to be freed; NULL: the server gave nothing. */
struct dial_session *dial_session(struct dial *dial);
void dial_session_free(struct dial_session *session);

#endif
