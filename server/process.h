/*
 * process.h - what the process is to the system: its limits, user, terminal, pid file, memory
 * locks.
 *
 * In the order in which a start does it: limits (needs root), user, daemon, locks, pid file. Every
 * call that fails has said why in the log.
 *
 * Threads: before there are any.
 */
#ifndef SERVER_PROCESS_H
#define SERVER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCESS_SOCKETS_FIRST 3 /* SD_LISTEN_FDS_START */
#define PROCESS_SOCKETS_MAX   64u

struct log;

/** process_allow_files() - room for @files descriptors, as far as the system lets us. */
bool process_allow_files(size_t files, struct log *log) __attribute__((warn_unused_result));
/** process_allow_core() - core files of any size. */
bool process_allow_core(struct log *log) __attribute__((warn_unused_result));
/**
 * process_become() - another user and its group, no further groups, no capabilities. Needs root.
 *
 * Checked afterwards: that there is no way back to root.
 */
bool process_become(const char *user, struct log *log) __attribute__((warn_unused_result));
/**
 * process_set_dumpable() - whether a crash may write what is cached to a core file, and others of
 * the same user may look into the process (ptrace, perf).
 *
 * After process_become(), which the kernel answers by making it undumpable.
 */
bool process_set_dumpable(bool dumpable, struct log *log) __attribute__((warn_unused_result));

/* What a daemon still has of its start; descriptors. */
struct process_daemon {
    int ready_fd;
    int null_fd;
};

/**
 * process_daemonize() - go on in the background, in a session of its own.
 * @daemon: set to what process_ready() wants.
 *
 * The caller's process stays until the daemon is ready, and exits 0 then, or 1 when it ends
 * before: a start that fails is seen by whoever started it, messages and all.
 */
bool process_daemonize(struct process_daemon *daemon, struct log *log)
    __attribute__((warn_unused_result));
/** process_ready() - the daemon serves: its parent may go, and the terminal is let go of. */
void process_ready(const struct process_daemon *daemon);

/** process_lock_memory() - nothing that is touched is ever swapped out. */
bool process_lock_memory(struct log *log) __attribute__((warn_unused_result));
/**
 * process_take_sockets() - those that systemd listens on for us, from PROCESS_SOCKETS_FIRST on.
 * @count: set; 0 where there are none, or they are another process's.
 *
 * Before process_daemonize(): they are meant for this process id. The environment that named them
 * is cleared, and no child inherits them.
 */
bool process_take_sockets(uint32_t *count, struct log *log) __attribute__((warn_unused_result));
/** process_notify() - tell systemd "READY=1" or the like, if it wants to know. */
void process_notify(const char *state, struct log *log);

/** process_write_pid() - the pid and a newline, into a file. */
bool process_write_pid(const char *path, struct log *log) __attribute__((warn_unused_result));

#endif
