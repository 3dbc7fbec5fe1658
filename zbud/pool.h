/*
 * pool.h - a pool of zbud pages: best fit, least-recently-used order, whole-page reclaim.
 *
 *   0        64                                                          4096
 *   +--------+------------------+-----------------------+----------------+
 *   | header | first buddy  --> |         slack         | <-- last buddy |
 *   +--------+------------------+-----------------------+----------------+
 *
 * A page holds at most two allocations, its *buddies*, one at each end. Freeing either joins its
 * room with the slack: a page's free bytes are one run, always. A pool finds the page where a buddy
 * fits tightest, keeps its pages in the order of their last use, and gives the least recently used
 * one back whole, calling its owner once per buddy. One reclaim frees one page: the work is
 * bounded.
 *
 *   oldest                                              newest
 *   [page] <-> [page] <-> [page] <-> [page] <-> [page] <-> [page]     every page, by last use
 *      \                     \          /
 *       unbuddied[3]          unbuddied[17]                           those with one buddy, by
 *                                                                     their free chunks
 *
 * Words: a *chunk* is 64 bytes; a page has 64, the first is its header. A page is *unbuddied* with
 * one buddy, *buddied* with two. A page is *used* when a buddy of it is allocated, touched or
 * appended to. A buddy is plain bytes, or a log of records (log.h).
 *
 * Invariants (those of a page are in page.h):
 *   POOL-1  The order of use holds every page once, and age(older) <= age(newer).
 *   POOL-2  A page with one buddy, n >= 1 free chunks and no open log is in unbuddied[n]; any other
 *           page is in no list. Best fit is the first list from n upwards that is not empty.
 *   POOL-3  Each figure is the sum over the pages: pages = buddied + unbuddied,
 *           chunks_used * 64 + slack_bytes = pages * 63 * 64.
 *   POOL-4  A walk visits a page once a round: the pages not visited yet are all at its next page
 *           or newer. A page used meanwhile is newer, a page new to the pool counts as visited.
 *   POOL-5  The arena's note of a page says how many buddies it has, and their live chunks.
 *
 * Threads: none of its own; the caller holds the lock of whatever owns the pool. Several pools may
 * share an arena.
 * Source: Linux mm/zbud.c (Jennings 2013).
 */
#ifndef ZBUD_POOL_H
#define ZBUD_POOL_H

#include "zbud/arena.h"
#include "zbud/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZBUD_CHUNK_BYTES     64u
#define ZBUD_PAGE_CHUNKS     64u /* one of them is the page's header */
#define ZBUD_BUDDY_BYTES_MAX ((ZBUD_PAGE_CHUNKS - 1u) * ZBUD_CHUNK_BYTES)
#define ZBUD_HANDLE_BITS     28u /* page number and buddy: 512 GiB of pages */
/* Handles of an arena of that many pages are below this: who keeps something for each buddy can
 * have it in an array. Those of neighbouring pages are neighbours. */
#define ZBUD_HANDLES(pages)  (2 * ((size_t)(pages) + 1))
#define ZBUD_HANDLE_FIRST    2u /* page 0's first buddy; then its last, then page 1's */

struct zbud_pool;

/* Page number and which of its two buddies; never all zero bits for a live buddy. */
struct zbud_handle {
    uint32_t bits;
};

struct zbud_pool_figures {
    uint64_t pages;           /* pages in the pool */
    uint64_t pages_buddied;   /* with two buddies */
    uint64_t pages_unbuddied; /* with one */
    uint64_t chunks_used;     /* by buddies, headers not counted */
    uint64_t slack_bytes;     /* 63 chunks a page less chunks_used */
    uint64_t records;         /* live ones, in logs */
    uint64_t live_bytes;      /* of live records */
    uint64_t dead_bytes;      /* of dead records not yet squeezed out */
    uint64_t pages_reclaimed; /* ever */
    uint64_t logs_squeezed;   /* ever */
};

/** zbud_pool_create() - an empty pool that takes its pages from @arena; NULL: no memory. */
struct zbud_pool *zbud_pool_create(struct zbud_arena *arena);
/** zbud_pool_destroy() - gives all its pages to the arena, live buddies or not. NULL is fine. */
void zbud_pool_destroy(struct zbud_pool *pool);

/* What a pool in a file had when its process ended, however it did. */

/** zbud_pool_leave() - as destroy, but the pages stay as they are, for zbud_pool_adopt(). */
void zbud_pool_leave(struct zbud_pool *pool);
/* What a page of zbud_arena_recover() says of itself: anything may stand there. */
struct zbud_page_says {
    unsigned pool; /* which it was in, by the order in which the arena's pools were made, from 1 */
    unsigned records;
    uint64_t age; /* when it was last used */
};
void zbud_page_ask(const struct zbud_arena *arena, uint32_t page, struct zbud_page_says *says);
/**
 * zbud_pool_adopt() - a page of zbud_arena_recover() joins the pool as its most recently used.
 * @age:   as if last used then; not before the pool's newest.
 * @logs:  set to its logs, closed ones, with all that LOG-1 to LOG-4 ask for; what is not sound
 *         (and what is no log) is left out, and its room free.
 * @count: set to how many, 1 or 2.
 *
 * Its bytes may be anything. What is in the records is the caller's to judge.
 *
 * Returns false where the page says that it is not this pool's, or nothing in it is sound: nothing
 * has changed.
 */
bool zbud_pool_adopt(struct zbud_pool *pool, uint32_t page, uint64_t age,
                     struct zbud_handle logs[2], unsigned *count)
    __attribute__((warn_unused_result));

/**
 * zbud_alloc() - reserve room for one buddy in the page where it fits tightest.
 * @pool:   the pool.
 * @bytes:  size wanted, 1 to ZBUD_BUDDY_BYTES_MAX.
 * @handle: set where the answer is ZBUD_OK; otherwise left as it was.
 *
 * Best fit keeps the largest gaps for the largest buddies. O(1), no malloc. The page becomes the
 * most recently used.
 *
 * Owns:    the pool owns the bytes; the handle is good until zbud_free() or the page's reclaim.
 * Errors:  ZBUD_BAD_SIZE - 0 bytes.
 *          ZBUD_TOO_LARGE - more than a page can hold.
 *          ZBUD_NO_PAGE - no page has that much room and the arena has none; nothing has changed.
 *          Reclaim, try again.
 * Source:  Linux mm/zbud.c zbud_alloc().
 */
enum zbud_status zbud_alloc(struct zbud_pool *pool, size_t bytes, struct zbud_handle *handle)
    __attribute__((warn_unused_result));
/**
 * zbud_free() - the buddy is gone, and with it all records where it is a log.
 *
 * Its room joins the slack; a page left without a buddy goes to the arena. The handle may be given
 * again by the next call. O(1).
 * Source: Linux mm/zbud.c zbud_free().
 */
void zbud_free(struct zbud_pool *pool, struct zbud_handle handle);
/** zbud_map() - the buddy's bytes; good until zbud_unmap(), zbud_free() or the page's reclaim. */
void *zbud_map(struct zbud_pool *pool, struct zbud_handle handle);
/** zbud_unmap() - the bytes will not be touched until the next zbud_map(). */
void zbud_unmap(struct zbud_pool *pool, struct zbud_handle handle);
/** zbud_touch() - the page becomes the most recently used. */
void zbud_touch(struct zbud_pool *pool, struct zbud_handle handle);

/**
 * zbud_reclaim() - empty the least recently used page and give it to the arena.
 * @evict: called once per buddy of the page, at most twice. It must let go of the buddy's content
 *         and free it (zbud_free(), or the last zbud_log_kill()). It may allocate from the pool (to
 *         rescue records): the page being reclaimed is out of all lists by then. It must not
 *         reclaim or walk. A log that was opened and never appended to is freed without a call.
 * @owner: passed to @evict.
 *
 * Where a log is open in the page it is closed before.
 *
 * Errors: ZBUD_NO_PAGE - the pool holds no page.
 * Source: Linux mm/zbud.c zbud_reclaim_page().
 */
typedef void zbud_evict_fn(void *owner, struct zbud_handle buddy);
enum zbud_status zbud_reclaim(struct zbud_pool *pool, zbud_evict_fn *evict, void *owner)
    __attribute__((warn_unused_result));

/**
 * zbud_pool_oldest() - when the page that would be reclaimed next was last used.
 *
 * Ages count page uses over the whole arena, so that pools of one arena compare; UINT64_MAX for
 * an empty pool.
 */
uint64_t zbud_pool_oldest(const struct zbud_pool *pool);

/**
 * zbud_walk() - visit the buddies of at most @pages_max pages, going on where the last walk
 * stopped, from the least recently used to the most.
 * @pages_max: pages to step over at most, those counted too that have been visited in this round.
 * @visit:     may kill records, squeeze, free or touch the buddy it was given, and allocate or
 *             append.
 * @owner:     passed to @visit.
 *
 * A round visits each page that was in the pool when it began, and still is, once: pages used
 * between two steps of it are neither left out nor visited again. Logs just opened are not visited.
 *
 * Returns true when the round is over; the next call begins another.
 */
typedef void zbud_visit_fn(void *owner, struct zbud_handle buddy);
bool zbud_walk(struct zbud_pool *pool, size_t pages_max, zbud_visit_fn *visit, void *owner);

/** zbud_pool_pages() - pages in the pool, one being reclaimed included. */
size_t zbud_pool_pages(const struct zbud_pool *pool);
/** zbud_pool_figures() - O(1): the pool counts as it goes. */
void zbud_pool_figures(const struct zbud_pool *pool, struct zbud_pool_figures *figures);
/**
 * zbud_pool_check() - every invariant of page.h, log.h and pool.h, or abort. O(records).
 *
 * For between operations, not from inside evict().
 */
void zbud_pool_check(const struct zbud_pool *pool);

#endif
