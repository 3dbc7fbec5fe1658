/*
 * within.h - a whole server within the test, but for listener and threads: one worker, whose turns
 * come when the test says so, a cache, its upkeep, a clock that stands.
 *
 *   test --within_send()--> socket pair --> worker (connections, commands) --> cache
 *        <--within_read()--             <--           within_run()
 *
 * Where the test says no more, no thread does anything: so what was seen once is seen again. But
 * turns still end by the real clock where they last long.
 *
 * Threads: one.
 */
#ifndef TESTS_FUZZ_WITHIN_H
#define TESTS_FUZZ_WITHIN_H

#include "tests/server/rig.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WITHIN_LINKS_MAX 4u

struct auth;
struct cache_keeper;
struct tls;
struct worker;

struct within {
    struct rig *rig; /* its command is the worker's: nothing can be asked of the rig itself */
    struct worker *worker;
    struct cache_keeper *keeper;
    int fds[WITHIN_LINKS_MAX]; /* the test's ends; -1 where there is no link */
};

/**
 * within_new() - with options as of the command line; see rig_new().
 * @auth: NULL, or who may speak; borrowed.
 * @tls:  NULL, or the certificates; borrowed.
 */
struct within *within_new(const char *options, struct auth *auth, struct tls *tls);
void within_free(struct within *within);

/** within_dial() - a new connection as link @link, which must be none; @tls: enum config_tls. */
void within_dial(struct within *within, unsigned link, unsigned tls);
void within_hang_up(struct within *within, unsigned link);

/** within_send() - how many of the bytes the socket takes now; 0 too where the server has closed.
 */
size_t within_send(struct within *within, unsigned link, const void *bytes, size_t count);
/** within_read() - what has come; 0: nothing. @closed: set, to whether nothing more can. */
size_t within_read(struct within *within, unsigned link, void *bytes, size_t room, bool *closed);
/** within_run() - turns, until no byte moves without somebody who sends or reads. */
void within_run(struct within *within);
/** within_upkeep() - a step of what the background does: compressing, then the rest. */
void within_upkeep(struct within *within);
/** within_advance() - the clock's next seconds. */
void within_advance(struct within *within, uint32_t seconds);
uint32_t within_now_s(const struct within *within);

#endif
