/*
 * said.h - what a server says on stderr, for a test to read.
 *
 *   said_begin(&said);  live_start(...);  ...  live_stop(...);  char *text = said_end(&said);
 *
 * Threads: one.
 */
#ifndef TESTS_SERVER_SAID_H
#define TESTS_SERVER_SAID_H

struct said {
    int file;
    int old_fd;
};

/** said_begin() - from now on stderr, and that of servers started, is a file. */
void said_begin(struct said *said);
/** said_text() - what came so far, to be freed. */
char *said_text(const struct said *said);
/** said_end() - stderr is as it was; returns what came, to be freed. */
char *said_end(struct said *said);

#endif
