/*
 * transcript.h - a file that pins what a server answers, read into steps.
 *
 *   server: -m 64 -c 20                 options of the server, beside where it listens
 *   over: unix                          a unix socket instead of TCP
 *   whole: <reason>                     not to be played byte by byte
 *   plain: <reason>                     not to be played in another way (peer.h)
 *
 *   # a comment
 *   > set key 0 0 5                     send the line and \r\n, on connection A
 *   >| hello\r\n                        send exactly this
 *   < STORED                            expect the line and \r\n
 *     memcached 1.6.18 answers differently: <reason>
 *     < ERROR                           what memcached answers in place of the lines above, up to
 *                                       the last blank line or other step
 *   B> get key                          another connection; it is made where it is first used
 *   <| VALUE key 0 \d\r\n               expect exactly this; pattern.h has the notation
 *   closes                              expect the end of the stream and nothing before it
 *   shuts down                          no more is sent on this connection; answers may still come
 *   hangs up                            close it, with whatever is under way
 *   server ends                         by itself, with exit status 0
 *   sleep 1.2                           seconds
 *   differ cas1 cas2                    the two names stand for different numbers
 *
 * A connection that was closed is made anew where it is used next. At the end each open
 * connection is asked for its version: an answer that nobody expected is found so.
 *
 * Threads: plain data.
 */
#ifndef TESTS_WIRE_TRANSCRIPT_H
#define TESTS_WIRE_TRANSCRIPT_H

#include "tests/wire/pattern.h"

#define TRANSCRIPT_CONNECTIONS   26u /* A to Z */
#define TRANSCRIPT_SLEEP_MS_MAX  5000u
#define TRANSCRIPT_OPTIONS_BYTES 256u
#define TRANSCRIPT_ERROR_BYTES   512u

enum transcript_action {
    TRANSCRIPT_SEND,
    TRANSCRIPT_EXPECT,
    TRANSCRIPT_CLOSES,
    TRANSCRIPT_SHUTS_DOWN,
    TRANSCRIPT_HANGS_UP,
    TRANSCRIPT_SERVER_ENDS,
    TRANSCRIPT_SLEEP,
    TRANSCRIPT_DIFFER,
};

/* Who a step is played at. */
enum transcript_for {
    TRANSCRIPT_FOR_BOTH,
    TRANSCRIPT_FOR_OURS,
    TRANSCRIPT_FOR_MEMCACHED
};

struct transcript_step {
    enum transcript_action action;
    enum transcript_for whom;
    unsigned line;
    unsigned connection;    /* 0 is A */
    struct pattern pattern; /* SEND, EXPECT */
    unsigned sleep_ms;
    char names[2][PATTERN_NAME_BYTES_MAX]; /* DIFFER */
};

struct transcript {
    char options[TRANSCRIPT_OPTIONS_BYTES];
    bool over_unix;
    bool whole;
    bool plain;
    struct transcript_step *steps;
    size_t steps_count;
};

/**
 * transcript_parse() - read a transcript's text.
 * @error: TRANSCRIPT_ERROR_BYTES for "line 17: what is wrong", set where the answer is false.
 *
 * Owns: the caller frees @transcript, in either case.
 */
bool transcript_parse(const char *text, struct transcript *transcript, char *error)
    __attribute__((warn_unused_result));
/** transcript_load() - the same with a file. */
bool transcript_load(const char *path, struct transcript *transcript, char *error)
    __attribute__((warn_unused_result));
void transcript_free(struct transcript *transcript);

#endif
