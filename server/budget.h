/*
 * budget.h - the memory of connections: counted, limited, and taken from the cache's.
 *
 *   |<------------------------- -m ------------------------->|
 *   | process | connections: held <= charged <= share | cache |
 *
 * Connections own memory only while a request or a reply is unfinished. All of it is counted here,
 * and what it comes to is charged to the cache, which gives pages up for it. All connections
 * together hold at most a share of -m (limits.h), however many there are and however slow their
 * clients; and large buffers leave a part of the share to small ones.
 *
 * A large block is a mapping, and gone when it is freed. Small ones lie on malloc's heap, which
 * keeps what is freed in its middle: so they stay charged at the most they came to, until the
 * process was measured again and what the heap keeps is charged as part of its footprint.
 *
 * Invariants:
 *   BUDGET-1  held <= mapped + the most the heap had since the last mark <= charged;
 *             prepaid <= charged.
 *   BUDGET-2  held <= share, unless the share was lowered since.
 *   BUDGET-3  what is charged to the cache for connections is exactly `charged`.
 *
 * Threads: any; one lock inside. Lock order: budget before the cache's locks.
 */
#ifndef SERVER_BUDGET_H
#define SERVER_BUDGET_H

#include <stdbool.h>
#include <stddef.h>

struct cache;
struct budget;

/** budget_new() - NULL where the cache cannot spare what is set aside from the start. */
struct budget *budget_new(struct cache *cache, size_t memory_bytes);
/** budget_free() - everything must have been given back. */
void budget_free(struct budget *budget);

/** budget_take() - a block of that size. False where the share is used up or the cache gives
 * nothing: nothing is counted. */
bool budget_take(struct budget *budget, size_t bytes) __attribute__((warn_unused_result));
/** budget_give() - stays charged until budget_tidy(): malloc may still have it. */
void budget_give(struct budget *budget, size_t bytes);
/** budget_grow() - a block that will be of @bytes; to be told before realloc(). As budget_take().
 */
bool budget_grow(struct budget *budget, size_t old_bytes, size_t bytes)
    __attribute__((warn_unused_result));
/** budget_shrink() - a block that is smaller since realloc(). */
void budget_shrink(struct budget *budget, size_t old_bytes, size_t bytes);
/** budget_mark() - the process is about to be measured. */
void budget_mark(struct budget *budget);
/**
 * budget_tidy() - give the cache back what was charged and has not been held since budget_mark(),
 * but for a little.
 *
 * What malloc's heap still has of it must be charged as something else before (footprint.h).
 */
void budget_tidy(struct budget *budget);

/** budget_is_tight() - so much is held that what is not in use should be given back. */
bool budget_is_tight(struct budget *budget);

/**
 * budget_set_memory() - another -m: the cache's limit, the share of connections, what is set aside.
 *
 * Connections that hold more than their new share keep it until they are done with it.
 * Errors: false - above what the cache reserved, or below what the process and the least of a cache
 *         take; nothing has changed.
 */
bool budget_set_memory(struct budget *budget, size_t memory_bytes)
    __attribute__((warn_unused_result));

struct budget_figures {
    size_t held_bytes;
    size_t heap_bytes; /* of those, on malloc's heap */
    size_t charged_bytes;
    size_t share_bytes;
};
void budget_figures(struct budget *budget, struct budget_figures *figures);

#endif
