/*
 * client_inside.h - what the client library's files share: the connection, lines, words.
 *
 * Private to client.c and client_meta.c; others use client.h. All of it works on what is unread:
 * a line is awaited whole before it is cut, and awaiting moves bytes, so slices are made after it.
 *
 * Threads: as client.h says.
 */
#ifndef CLIENTS_CLIENT_INSIDE_H
#define CLIENTS_CLIENT_INSIDE_H

#include "clients/client_socket.h"
#include "clients/client_tls.h"

struct client {
    struct client_socket sock;
    struct client_tls_context *tls; /* of connections to come; NULL: plain */
    int timeout_ms;
    char text[CLIENT_TEXT_BYTES_MAX];
};

struct client_deadline client_deadline_of(const struct client *client);

/** client_await_line() - until a whole line is unread. @line_bytes: its length with the \n. */
enum client_status client_await_line(struct client *client, struct client_deadline deadline,
                                     size_t *line_bytes) __attribute__((warn_unused_result));
/** client_line_slice() - the first @line_bytes unread bytes without what ends them. */
struct client_slice client_line_slice(const struct client *client, size_t line_bytes);
/** client_line_status() - what a line means that is a reply of its own; keeps the text of others.
 */
enum client_status client_line_status(struct client *client, struct client_slice line)
    __attribute__((warn_unused_result));

/** client_next_word() - cuts the next word off @rest; false where none is left. */
bool client_next_word(struct client_slice *rest, struct client_slice *word);
/** client_slice_number() - an unsigned decimal with nothing around it, at most @max. */
bool client_slice_number(struct client_slice slice, uint64_t max, uint64_t *number);
bool client_slice_is(struct client_slice slice, const char *word);
/** client_key_is_good() - whether a command line can carry it as it is (CLIENT-1). */
bool client_key_is_good(const void *key, size_t key_bytes);

/** client_settle() - closes where @status means that the place in the stream is lost; hands it on.
 */
enum client_status client_settle(struct client *client, enum client_status status)
    __attribute__((warn_unused_result));

#endif
