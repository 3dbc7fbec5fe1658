/*
 * auth.h - who may speak: users and their passwords, from a file that can be read again.
 *
 *   file:  user:password\n          at most AUTH_USERS_MAX lines, each at most AUTH_LINE_BYTES_MAX
 *          user2:password2\n        bytes; the first ':' parts the two
 *
 * A user or password that is empty or holds a space could never be sent and is refused, as is a
 * line without ':' and a file without a line. Nothing is skipped in silence: no comments, no empty
 * lines.
 *
 * Invariants:
 *   AUTH-1  auth_check() does the same work whatever the names are, which of them are right, and
 *           how long those in the file are: its time says nothing about the file.
 *   AUTH-2  a reload takes the whole new file, or leaves everything as it was.
 *
 * Threads: any; a read-write lock inside, held over a comparison and never over a file.
 * Source: memcached 1.6.45 authfile.c (the format and the limits).
 */
#ifndef SERVER_ADMIN_AUTH_H
#define SERVER_ADMIN_AUTH_H

#include <stdbool.h>
#include <stddef.h>

#define AUTH_USERS_MAX       8u
#define AUTH_LINE_BYTES_MAX  255u
#define AUTH_ERROR_BYTES_MAX 511u

struct auth;

/**
 * auth_new() - read the file.
 * @path:  borrowed for as long as it lives.
 * @error: AUTH_ERROR_BYTES_MAX + 1 bytes; a sentence where the answer is NULL.
 */
struct auth *auth_new(const char *path, char *error);
void auth_free(struct auth *auth);

/** auth_reload() - read the file again. False: the old names hold, and @error says why. */
bool auth_reload(struct auth *auth, char *error) __attribute__((warn_unused_result));

/** auth_check() - whether these two stand in one line of the file. Any bytes, any length. */
bool auth_check(struct auth *auth, const void *user, size_t user_bytes, const void *password,
                size_t password_bytes) __attribute__((warn_unused_result));

#endif
