/*
 * pool_inside.h - what pool.c, log.c and check.c share of a pool. Not for users of zbud.
 *
 *   oldest                                                     newest
 *   [page] <-> [page] <-> [open] <-> [page] <-> [page] <-> [open]      order of use: every page
 *
 *   unbuddied[1]            pages with one buddy and 1 free chunk
 *   unbuddied[2]  [page] <-> [page]             2 free chunks         unbuddied_mask: bit n is set
 *   ...                                                               where list n holds a page
 *   unbuddied[62] [page]                       62 free chunks
 *
 * Full pages need no list of their own (the kernel's "buddied"): nothing ever looks for one, and a
 * link less is two cache misses less. The order of use finds them for reclaim.
 *
 * The invariants are pool.h's and log.h's.
 */
#ifndef ZBUD_POOL_INSIDE_H
#define ZBUD_POOL_INSIDE_H

#include "zbud/log.h"
#include "zbud/page.h"
#include "zbud/poison.h"
#include "zbud/pool.h"

/* One slot more than logs for appending: a log that will hold one large record and then close. */
#define OPEN_SLOTS      (ZBUD_LOGS_OPEN_MAX + 1u)
#define OPEN_SLOT_ALONE ZBUD_LOGS_OPEN_MAX

struct open_log {
    struct zbud_handle log; /* bits 0: the slot is free */
    unsigned kind;
    size_t room_bytes; /* = page_log_room(), kept here so that a search touches no page */
    uint64_t appended; /* the pool's count at its last append */
};

struct zbud_pool {
    struct zbud_arena *arena;
    uint8_t *base; /* page 0 of the arena */
    uint32_t pages_max;
    uint16_t number;

    uint32_t oldest;
    uint32_t newest;
    uint64_t unbuddied_mask;
    uint32_t unbuddied[ZBUD_PAGE_CHUNKS];

    struct open_log open[OPEN_SLOTS];
    unsigned open_count;
    struct zbud_handle granted; /* by zbud_log_open(), for the next zbud_log_append() */
    size_t granted_bytes;
    uint64_t appended; /* records ever */

    bool walking;            /* inside zbud_walk(): it does not nest */
    bool reclaiming;         /* inside zbud_reclaim() */
    uint8_t walk_mark;       /* pages that carry it have been visited in this round */
    uint32_t walk_next;      /* the page the walk comes to next */
    uint32_t walk_page;      /* the page being visited, PAGE_NONE once it has left the pool */
    uint64_t walk_unvisited; /* pages still to be visited; 0: no round under way */

    uint64_t pages_by_buddies[3];
    uint64_t chunks_used;
    uint64_t records;
    uint64_t live_bytes;
    uint64_t dead_bytes;
    uint64_t pages_reclaimed;
    uint64_t logs_squeezed;
};

/* One buddy, found. */
struct place {
    struct page_header *page;
    uint32_t number; /* of the page */
    enum page_end end;
};

static inline struct page_header *pool_page(const struct zbud_pool *pool, uint32_t number)
{
    return (struct page_header *)(void *)(pool->base + (size_t)number * ZBUD_PAGE_BYTES);
}

/* Page number + 1, so that no live buddy's handle is 0; lowest bit: which end. */
static inline struct zbud_handle handle_pack(uint32_t number, enum page_end end)
{
    struct zbud_handle handle = {(number + 1) << 1 | (uint32_t)end};
    assert(handle.bits >> ZBUD_HANDLE_BITS == 0);
    return handle;
}

static inline uint32_t handle_page(struct zbud_handle handle)
{
    return (handle.bits >> 1) - 1;
}

static inline enum page_end handle_end(struct zbud_handle handle)
{
    return (handle.bits & 1u) != 0 ? PAGE_LAST : PAGE_FIRST;
}

/** pool_find() - the live buddy a handle names; a stale or foreign handle is a misuse. */
static inline struct place pool_find(const struct zbud_pool *pool, struct zbud_handle handle)
{
    struct place place = {NULL, handle_page(handle), handle_end(handle)};
    assert(place.number < pool->pages_max);
    place.page = pool_page(pool, place.number);
    assert(place.page->pool == pool->number && place.page->chunks[place.end] != 0);
    return place;
}

/** pool_find_log() - the same, and it is a log. */
static inline struct place pool_find_log(const struct zbud_pool *pool, struct zbud_handle handle)
{
    struct place place = pool_find(pool, handle);
    assert(page_is_log(place.page, place.end));
    return place;
}

/** pool_use() - the page becomes the most recently used. */
void pool_use(struct zbud_pool *pool, struct page_header *page, uint32_t number);
/**
 * pool_place() - a free end with room for @chunks where it fits tightest, else a new page.
 *
 * The end is empty still: size it with pool_resize(), then pool_relist() or open a log there.
 * Errors: ZBUD_NO_PAGE; nothing has changed.
 */
enum zbud_status pool_place(struct zbud_pool *pool, unsigned chunks, struct place *place)
    __attribute__((warn_unused_result));
/** pool_resize() - the buddy takes @chunks from now on; page lists are the caller's to correct. */
void pool_resize(struct zbud_pool *pool, struct page_header *page, enum page_end end,
                 unsigned chunks);
/** pool_relist() - into the unbuddied list, or none, that its chunks and state ask for. */
void pool_relist(struct zbud_pool *pool, struct page_header *page, uint32_t number);
/**
 * pool_free() - the buddy is gone, a log's records and open slot with it.
 *
 * Returns true where it was the page's only buddy, and the arena has the page.
 */
bool pool_free(struct zbud_pool *pool, struct place place);

/** pool_join() - a page at rest, its header and poison right but for links and age, joins as the
 * newest; its buddies are logs. */
void pool_join(struct zbud_pool *pool, struct page_header *page, uint32_t number, uint64_t age);

/** pool_open_slot() - the slot of the page's open log, where that is the buddy at @end. */
struct open_log *pool_open_slot(struct zbud_pool *pool, struct place place);
/** pool_close_log() - appended to no more; an empty log is freed: the answer is pool_free()'s. */
bool pool_close_log(struct zbud_pool *pool, struct open_log *slot);
/** pool_measure_room() - a page's open log may have more or less room than it had. */
void pool_measure_room(struct zbud_pool *pool, struct page_header *page);

/** pool_check_page() - PAGE-1 to PAGE-4 and LOG-1 to LOG-4 of one page of the pool, or abort. */
void pool_check_page(const struct zbud_pool *pool, uint32_t number);

/* What a page's buddies come to, as the arena's note of it says: how many, and live chunks. */
static inline unsigned pool_page_note(const struct page_header *page)
{
    const struct page_buddy *first = &page->buddies[PAGE_FIRST], *last = &page->buddies[PAGE_LAST];
    unsigned live_bytes = (unsigned)(first->used_bytes - first->dead_bytes) +
                          (unsigned)(last->used_bytes - last->dead_bytes);
    return ZBUD_NOTE(page_buddies(page), live_bytes / ZBUD_CHUNK_BYTES);
}

/* After each operation, of the page it touched, if the pool still has it: the note (POOL-5), and in
 * sanitizer builds the check. */
static inline void pool_changed(const struct zbud_pool *pool, uint32_t number)
{
    zbud_arena_note(pool->arena, number, pool_page_note(pool_page(pool, number)));
    if (ZB_SLOW_CHECKS)
        pool_check_page(pool, number);
}

#endif
