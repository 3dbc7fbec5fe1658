/*
 * log.h - lines for the operator, on a descriptor, as many as a person can read.
 *
 *   log_say(format A) x 1000  -->  4 lines of A, then within LOG_WINDOW_MS nothing,
 *                                  then "(said 996 more times: last text of A)"
 *
 * Words: the *kind* of a message is its format string, so one place in the source is one kind,
 * whatever client, key or number it speaks of. A kind may say LOG_BURST lines a window; what comes
 * after is counted, and the count is said when the window is over (at the next message of any kind,
 * by log_tick(), or at the end). A hundred thousand clients that do the same wrong thing cost the
 * disk five lines. Levels from LOG_COMMANDS on were asked for to see everything, and are not held
 * back.
 *
 * A line is one write(2) of at most LOG_LINE_BYTES_MAX bytes. Bytes that are not printable ASCII
 * are written as \xNN: a key cannot forge a line or drive a terminal.
 *
 * Threads: all calls from any thread; a lock is held over the write, so lines do not mix.
 */
#ifndef SERVER_ADMIN_LOG_H
#define SERVER_ADMIN_LOG_H

#include <stdbool.h>
#include <stdint.h>

#define LOG_LINE_BYTES_MAX 1024u
#define LOG_BURST          4u
#define LOG_WINDOW_MS      10000u
#define LOG_KINDS_MAX      32u /* counted at a time; beyond, the one longest known is forgotten */

struct log;

/** The number of -v that a message needs. */
enum log_level {
    LOG_ALWAYS = 0,   /* errors and warnings */
    LOG_EVENTS = 1,   /* -v: what happens to the server */
    LOG_COMMANDS = 2, /* -vv: who comes and goes, and what clients ask */
};

/** log_clock_fn - milliseconds of a clock that does not go back. */
typedef uint64_t log_clock_fn(void *context);

/**
 * log_new() - a log that writes to @fd, which stays the caller's.
 * @verbosity: the highest level that is written.
 */
struct log *log_new(int fd, unsigned verbosity, log_clock_fn *clock_ms, void *clock_context);
/** log_free() - says the counts that are still held back. */
void log_free(struct log *log);

/** log_wants() - would a message of @level be written? For callers to whom making one is work. */
bool log_wants(const struct log *log, enum log_level level);
/** log_set_verbosity() - the command "verbosity". */
void log_set_verbosity(struct log *log, unsigned verbosity);

/**
 * log_say() - one message, without a newline at its end.
 * @format: a string literal; its address is the message's kind.
 *
 * errno is left as it was. What cannot be written is lost.
 */
void log_say(struct log *log, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** log_tick() - say the counts of windows that are over. For a timer of about a second. */
void log_tick(struct log *log);

#endif
