/*
 * arena.h - the memory that zbud pages are cut from.
 *
 *   page 0     1        2        3               fresh
 *   +--------+--------+--------+--------+ - - - - - - - - - - - - - - - - - - +
 *   | in use | free   | in use | given  |  reserved address space, untouched   |
 *   |        | (kept) |        | back   |                                      |
 *   +--------+--------+--------+--------+ - - - - - - - - - - - - - - - - - - +
 *
 * One range of address space is reserved at start. A page is named by its number, so a handle stays
 * good wherever the range is mapped. The arena knows one limit in bytes, and counts against it what
 * lies in real memory: pages in use, free pages that still hold memory ("kept"), and whatever its
 * user charges for memory of other kinds (buffers, threads, tables). A page given back
 * (MADV_DONTNEED) counts no longer.
 *
 * Words: a page is *resident* when it holds real memory: in use or kept. *Excess* is what resident
 * pages and charges come to above the limit; it is there only after the limit was lowered.
 *
 * Invariants:
 *   ARENA-1  in use + kept = resident <= fresh mark.
 *   ARENA-2  a take or a charge never lifts (resident pages + charges) above the limit.
 *   ARENA-3  a page is in use by one owner, or on one of the two free lists, never both.
 *
 * Threads: every function may be called from any thread; one leaf lock inside, held for a few
 * loads and stores, never during a system call.
 */
#ifndef ZBUD_ARENA_H
#define ZBUD_ARENA_H

#include "zbud/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ZBUD_PAGE_BYTES 4096u
#define ZBUD_PAGE_NONE  UINT32_MAX

struct zbud_arena;

struct zbud_arena_figures {
    uint64_t limit_bytes;    /* what may be resident, charges included */
    uint64_t charged_bytes;  /* charged by the user for memory of other kinds */
    uint64_t pages_max;      /* pages of address space */
    uint64_t pages_used;     /* taken and not given */
    uint64_t pages_kept;     /* free, still holding memory */
    uint64_t pages_returned; /* given back to the system, ever */
    uint64_t table_bytes;    /* the arena's own table, counted against the limit too */
};

/**
 * zbud_arena_new() - reserve address space.
 * @reserve_bytes: the most the limit can ever be set to; address space only.
 * @limit_bytes:   the limit to start with; at most @reserve_bytes.
 *
 * Returns NULL where the system gives no address space.
 */
struct zbud_arena *zbud_arena_new(size_t reserve_bytes, size_t limit_bytes);
void zbud_arena_free(struct zbud_arena *arena);

/**
 * zbud_arena_take() - one page; its content is undefined.
 *
 * A kept page is handed out before fresh memory is touched.
 * Errors: ZBUD_NO_PAGE - the limit is reached; nothing has changed.
 */
enum zbud_status zbud_arena_take(struct zbud_arena *arena, uint32_t *page)
    __attribute__((warn_unused_result));

/** zbud_arena_give() - the page is free; it keeps its memory until zbud_arena_trim(). */
void zbud_arena_give(struct zbud_arena *arena, uint32_t page);

/**
 * zbud_arena_take_chain() - @count pages linked by zbud_arena_next(), the last one's is PAGE_NONE.
 *
 * For values larger than a page. All or nothing.
 * Errors: ZBUD_NO_PAGE - the limit does not allow that many; nothing has changed.
 */
enum zbud_status zbud_arena_take_chain(struct zbud_arena *arena, size_t count, uint32_t *first)
    __attribute__((warn_unused_result));
/** zbud_arena_give_chain() - frees a chain in as many steps as it has pages, none touching it. */
void zbud_arena_give_chain(struct zbud_arena *arena, uint32_t first);
/** zbud_arena_next() - the page after @page in its chain. Only the chain's owner may ask. */
uint32_t zbud_arena_next(const struct zbud_arena *arena, uint32_t page);
/** zbud_arena_link() - let @next follow @page, both taken by the caller; ZBUD_PAGE_NONE ends a chain. */
void zbud_arena_link(struct zbud_arena *arena, uint32_t page, uint32_t next);

/** zbud_arena_page() - the 4096 bytes of a page in use. */
void *zbud_arena_page(const struct zbud_arena *arena, uint32_t page);

/**
 * zbud_arena_charge() - count @bytes of memory of another kind against the limit.
 *
 * Kept pages are given back to the system to make room where that helps.
 * Errors: ZBUD_NO_PAGE - the limit is reached; nothing is charged. Reclaim pages, try again.
 */
enum zbud_status zbud_arena_charge(struct zbud_arena *arena, size_t bytes)
    __attribute__((warn_unused_result));
void zbud_arena_uncharge(struct zbud_arena *arena, size_t bytes);

/** zbud_arena_set_limit() - at most the reserve. Lowering it may leave an excess; see trim. */
void zbud_arena_set_limit(struct zbud_arena *arena, size_t limit_bytes);

/** zbud_arena_available() - pages that zbud_arena_take() could hand out one after another now. */
size_t zbud_arena_available(const struct zbud_arena *arena);
/** zbud_arena_excess() - pages to reclaim and trim until what is resident fits the limit. */
size_t zbud_arena_excess(const struct zbud_arena *arena);
/** zbud_arena_trim() - give at most @pages_max kept pages back to the system; how many were. */
size_t zbud_arena_trim(struct zbud_arena *arena, size_t pages_max);

void zbud_arena_figures(const struct zbud_arena *arena, struct zbud_arena_figures *figures);
/** zbud_arena_check() - ARENA-1 to ARENA-3 hold, or abort. O(pages), under the lock: for tests. */
void zbud_arena_check(const struct zbud_arena *arena);

/* What the pools of one arena share. */

/** zbud_arena_age() - how many page uses there have been in the arena's pools. */
uint64_t zbud_arena_age(const struct zbud_arena *arena);
/** zbud_arena_next_age() - counts one more page use and says which. */
uint64_t zbud_arena_next_age(struct zbud_arena *arena);
/** zbud_arena_enroll() - a number for a new pool, 1 to 65535, by which its pages name it. */
uint16_t zbud_arena_enroll(struct zbud_arena *arena);

#endif
