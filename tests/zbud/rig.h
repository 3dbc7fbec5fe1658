/*
 * rig.h - a pool in an arena of its own, for the tests of buddies and of logs.
 *
 * Threads: one.
 */
#ifndef TESTS_ZBUD_RIG_H
#define TESTS_ZBUD_RIG_H

#include "zbud/pool.h"

#include <stdbool.h>
#include <stddef.h>

#define CHUNK ((size_t)ZBUD_CHUNK_BYTES)
#define PAGES 64u

struct rig {
    struct zbud_arena *arena;
    struct zbud_pool *pool;
    struct zbud_handle seen[2 * PAGES]; /* by evict or visit, in order */
    unsigned seen_count;
};

/** rig_set_up() and rig_tear_down() - cmocka's fixture. Whatever a test did, the invariants hold in
 * the end, and nothing of the arena is lost. */
int rig_set_up(void **state);
int rig_tear_down(void **state);

/** rig_remember() - @handle is one more that was seen. To be visited with, too: the owner is the
 * rig. */
void rig_remember(void *owner, struct zbud_handle handle);
struct zbud_pool_figures rig_figures(const struct rig *rig);

static inline bool same_page(struct zbud_handle one, struct zbud_handle other)
{
    return one.bits >> 1 == other.bits >> 1;
}

#endif
