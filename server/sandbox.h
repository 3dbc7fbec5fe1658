/*
 * sandbox.h - the system calls that a running server needs, and no others.
 *
 *   -o drop_privileges:  start (sockets, files, user, threads) --> sandbox_enter() --> serve
 *
 * Everything that a start does is behind it by then, so what is left is little: bytes to and from
 * sockets that are open, connections from those that listen, memory that is not code, time, its own
 * threads, and files to read (certificates, users, its own size). No file is written or made, no
 * connection is opened to anywhere, no program is run, no memory becomes code.
 *
 * A call that is not on the list ends the process at once (SIGSYS), as in memcached: whoever makes
 * one is not this program any more, and an error would only tell him to try another.
 *
 * Threads: sandbox_enter() holds for those there are and those to come.
 * Source: seccomp(2), SECCOMP_FILTER_FLAG_TSYNC; libseccomp.
 */
#ifndef SERVER_SANDBOX_H
#define SERVER_SANDBOX_H

#include <stdbool.h>

struct log;

/**
 * sandbox_enter() - there is no way back.
 * @pid_path: the one file that may be removed, told by its address; NULL: none.
 *
 * False where the kernel has no such filters, or memory is short: the log has said why, and nothing
 * has changed.
 */
bool sandbox_enter(const char *pid_path, struct log *log) __attribute__((warn_unused_result));

#endif
