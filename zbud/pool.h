/*
 * pool.h - a pool of zbud pages: best fit, least-recently-used order, whole-page reclaim.
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

struct zbud_pool *zbud_pool_create(struct zbud_arena *arena);
/** zbud_pool_destroy() - gives all its pages to the arena, live buddies or not. NULL is fine. */
void zbud_pool_destroy(struct zbud_pool *pool);

/** zbud_alloc() - as STYLE's template. The page becomes the most recently used. */
enum zbud_status zbud_alloc(struct zbud_pool *pool, size_t bytes, struct zbud_handle *handle)
    __attribute__((warn_unused_result));
void zbud_free(struct zbud_pool *pool, struct zbud_handle handle);
/** zbud_map() - the buddy's bytes; good until zbud_unmap(), zbud_free() or the page's reclaim. */
void *zbud_map(struct zbud_pool *pool, struct zbud_handle handle);
void zbud_unmap(struct zbud_pool *pool, struct zbud_handle handle);
/** zbud_touch() - the page becomes the most recently used. */
void zbud_touch(struct zbud_pool *pool, struct zbud_handle handle);

/**
 * zbud_reclaim() - empty the least recently used page and give it to the arena.
 * @evict: called once per buddy of the page (one to two times). It must let go of the buddy's
 *         content and free it (zbud_free(), or the last zbud_log_kill()). It may allocate from the
 *         pool (to rescue records): the page being reclaimed is out of all lists by then.
 *
 * Pages of open logs are taken last; their log is closed first.
 * Errors: ZBUD_NO_PAGE - the pool holds no page.
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
 * @visit: may kill records, squeeze, free or touch the buddy it was given, and append elsewhere.
 *
 * Returns true when the walk reached the end; the next one starts over.
 */
typedef void zbud_visit_fn(void *owner, struct zbud_handle buddy);
bool zbud_walk(struct zbud_pool *pool, size_t pages_max, zbud_visit_fn *visit, void *owner);

size_t zbud_pool_pages(const struct zbud_pool *pool);
void zbud_pool_figures(const struct zbud_pool *pool, struct zbud_pool_figures *figures);
/** zbud_pool_check() - every invariant of page.h, log.h and pool.h, or abort. O(pages). */
void zbud_pool_check(const struct zbud_pool *pool);

#endif
