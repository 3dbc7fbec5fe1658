/*
 * current.h - the classes that new records are compressed by, held by readers while they use them.
 *
 *   classes --current_publish()--> current ----> retired --current_tidy()--> freed
 *                                     |             |
 *                                     held by readers: current_hold() .. current_release()
 *
 * A reader says what it uses in a word of its own, so no counter that all share is written on the
 * path of a store; tidying frees what no reader names.
 *
 * Threads: one thread publishes and tidies; each reader belongs to one thread.
 * Source: hazard pointers (Michael 2004).
 */
#ifndef SERVER_CACHE_CURRENT_H
#define SERVER_CACHE_CURRENT_H

#include "server/cache/classes.h"
#include "zbud/lock.h"

#include <stdatomic.h>
#include <stdbool.h>

struct current_reader {
    struct classes *_Atomic held;
    struct current_reader *next; /* under the lock, as all links */
};

struct current {
    struct classes *_Atomic classes;
    struct classes *retired; /* the publisher's */
    struct zbud_lock lock;
    struct current_reader *readers;
};

void current_init(struct current *current);
/** current_fini() - frees the classes; no reader is left. */
void current_fini(struct current *current);

void current_join(struct current *current, struct current_reader *reader);
void current_leave(struct current *current, struct current_reader *reader);

/** current_hold() - the classes of the moment, good until current_release(); NULL: none yet. */
const struct classes *current_hold(struct current *current, struct current_reader *reader);
void current_release(struct current_reader *reader);

/** current_classes() - for the publisher, who needs no hold. */
const struct classes *current_classes(const struct current *current);
/** current_settled() - whether the former classes are freed, and new ones may be published. */
bool current_settled(const struct current *current);
/** current_publish() - @classes are current, and owned; only where current_settled(). */
void current_publish(struct current *current, struct classes *classes);
/** current_tidy() - free the former classes if no reader holds them. */
void current_tidy(struct current *current);

#endif
