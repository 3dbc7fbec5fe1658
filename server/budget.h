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
 * Invariants:
 *   BUDGET-1  held <= charged, prepaid <= charged.
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

/** budget_take() - false where the share is used up or the cache gives nothing: nothing is
 * counted. */
bool budget_take(struct budget *budget, size_t bytes) __attribute__((warn_unused_result));
void budget_give(struct budget *budget, size_t bytes);

/** budget_is_tight() - so much is held that what is not in use should be given back. */
bool budget_is_tight(struct budget *budget);

/** budget_set_memory() - -m has changed, and the share with it. */
void budget_set_memory(struct budget *budget, size_t memory_bytes);

struct budget_figures {
    size_t held_bytes;
    size_t charged_bytes;
    size_t share_bytes;
};
void budget_figures(struct budget *budget, struct budget_figures *figures);

#endif
