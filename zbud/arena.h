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
 * lies in real memory: pages in use, free pages that still hold memory ("kept"), the arena's own
 * table, and whatever its user charges for memory of other kinds (buffers, threads, tables). A page
 * given back (MADV_DONTNEED) counts no longer.
 *
 * The table has 4 bytes a page: the link of a free list or of its owner's chain. It is counted in
 * whole pages, one for each 1024 pages below the mark, and never given back.
 *
 * Fresh memory comes 2 MiB at a time, as one huge page, where all of it fits below the limit; what
 * is not taken at once counts as kept. Nearer to the limit it comes page by page. So the kernel's
 * count of resident memory is never above the arena's. The first touch of a huge page takes .2 to
 * .4 ms, and over 4 on a virtual machine whose host has to find the memory: zbud_arena_prepare()
 * lets somebody do it who has the time.
 *
 * The pages may lie in a file on a memory file system (tmpfs, or a DAX mount) instead of memory of
 * the process's own, and outlive it there. Then each page has a *word* of the user's in the file
 * beside it, 0 while nobody has said otherwise: after the process's death, however it came, the
 * pages with a word are those that hold something (zbud_arena_recover()). The words make the table
 * 12 bytes a page. Blocks are asked for before they are touched, so a file system that is full is
 * a limit that is reached, and no signal.
 *
 * Words: a page is *resident* when it holds real memory: in use or kept. Pages below the *mark*
 * have been resident once. *Excess* is what all that is counted comes to above the limit; it is
 * there only after the limit was lowered.
 *
 * Invariants:
 *   ARENA-1  in use + kept + given back = mark; in use + kept = resident.
 *   ARENA-2  4096 * resident + table + charged <= limit after a take or a charge that made it more.
 *   ARENA-3  a page is in use by one owner, or on one of the two free lists, never both.
 *   ARENA-4  the kernel's resident bytes of the range <= 4096 * resident.
 *
 * Threads: every function may be called from any thread. A leaf lock is held for a few loads and
 * stores, never during a system call; the calls that change what a region's memory is made of
 * (fresh 2 MiB made ready, or their first page taken; the first page of such a region given back)
 * take a second lock before it and hold that during the system call or the touch.
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
    uint64_t pages_touched;  /* below the mark */
    uint64_t table_bytes;    /* the arena's own table, counted against the limit too */
    uint64_t starved_times;  /* that the file system began to refuse blocks, ever */
};

/**
 * zbud_arena_new() - reserve address space.
 * @reserve_bytes: the most the limit can ever be set to; address space only. Whole pages of it are
 *                 used, at least one, and fewer than a handle can name (pool.h).
 * @limit_bytes:   the limit to start with; at most @reserve_bytes.
 *
 * Returns NULL where the system gives no address space or the reserve holds no such number of
 * pages.
 */
struct zbud_arena *zbud_arena_new(size_t reserve_bytes, size_t limit_bytes);
/* A file for an arena's pages and their table: where each begins. The file is as long as the
 * reserve asks for, and its holes stay holes until they are needed. */
struct zbud_arena_file {
    int fd;            /* the caller's, open as long as the arena is there */
    uint64_t links_at; /* zbud_arena_links_bytes() long; whole pages, as all three */
    uint64_t words_at; /* zbud_arena_words_bytes() */
    uint64_t
        pages_at; /* a page each; huge ones if this is a multiple of 2 MiB and the mount allows */
};
size_t zbud_arena_links_bytes(size_t pages);
size_t zbud_arena_words_bytes(size_t pages);
/** zbud_arena_new_in() - the same, in a file, of which nothing is read: what it held is gone unless
 * zbud_arena_recover() is called. */
struct zbud_arena *zbud_arena_new_in(const struct zbud_arena_file *file, size_t reserve_bytes,
                                     size_t limit_bytes);
/**
 * zbud_arena_recover() - take over what another process left in the file.
 * @pages: set to how many pages there may be something in; those from there on are untouched.
 *
 * Pages with a word are in use, as they were, and the caller's: he gives back what he finds no use
 * for. All others are free: kept where each page of their 2 MiB has a block, which may be one huge
 * page, else their blocks are the file system's again. Chains are as the file says, which
 * may be anything: zbud_arena_next() gives a page below @pages or PAGE_NONE, no more is sure. All
 * this may come to more than the limit. Once, before anything is taken.
 *
 * Returns false where the file system has no room for the table: nothing is taken over.
 */
bool zbud_arena_recover(struct zbud_arena *arena, uint32_t *pages)
    __attribute__((warn_unused_result));
/** zbud_arena_words() - the pages' words, by number; NULL without a file. A page's is its owner's
 * to set, and 0 again as soon as it is given. */
uint64_t *zbud_arena_words(const struct zbud_arena *arena);
/** zbud_arena_free() - unmaps all of it; pools and chains in it are gone with it. */
void zbud_arena_free(struct zbud_arena *arena);

/**
 * zbud_arena_take() - one page; its content is undefined.
 * @page: set where the answer is ZBUD_OK; otherwise left as it was.
 *
 * A kept page is handed out before fresh memory is touched, the one given last first: it may still
 * be in the processor's cache. A kept page may be had above the limit too, as it makes nothing more
 * resident.
 *
 * Owns:   the caller owns the page until zbud_arena_give().
 * Errors: ZBUD_NO_PAGE - the limit is reached; nothing has changed.
 */
enum zbud_status zbud_arena_take(struct zbud_arena *arena, uint32_t *page)
    __attribute__((warn_unused_result));

/**
 * zbud_arena_prepare() - touch 2 MiB of fresh memory before somebody needs a page of it.
 * @pages_ready: as many pages as should be free with memory there; more are not made ready.
 *
 * False: there are that many, or what is fresh does not all fit below the limit. Who takes a page
 * waits for it only where no other is free.
 */
bool zbud_arena_prepare(struct zbud_arena *arena, size_t pages_ready);

/** zbud_arena_give() - the page is free; it keeps its memory until a trim or a charge needs it. */
void zbud_arena_give(struct zbud_arena *arena, uint32_t page);

/* Notes: what a page's owner lets others know of it, who hold no lock. */

#define ZBUD_NOTE(buddies, live_chunks) ((buddies) << 6 | (live_chunks))
#define ZBUD_NOTE_BUDDIES(note)         ((note) >> 6)
#define ZBUD_NOTE_CHUNKS(note)          ((note)&63u)
/** zbud_arena_note() - @note: ZBUD_NOTE() of 1 or 2 and 0 to 63. Of a page in no chain; gone when
 * it is given, or linked. */
void zbud_arena_note(struct zbud_arena *arena, uint32_t page, unsigned note);
/** zbud_arena_noted() - 0: none. */
unsigned zbud_arena_noted(const struct zbud_arena *arena, uint32_t page);

/* What some pages are: free, those with one buddy and with two, and others in use. */
struct zbud_survey {
    unsigned pages_free, pages_one, pages_two, pages_other;
    unsigned live_chunks; /* of those with buddies */
};
/**
 * zbud_arena_survey() - look at every @step-th page from @first to before @end.
 *
 * No lock is taken: pages may change meanwhile, and what is told is not of one moment. @end is at
 * most pages_touched of the arena's figures.
 */
void zbud_arena_survey(const struct zbud_arena *arena, uint32_t first, uint32_t end, uint32_t step,
                       struct zbud_survey *survey);

/* Chains, for values larger than a page. A page that was just taken is a chain of one. */

/** zbud_arena_link() - @next, or PAGE_NONE, follows @page from now on; the caller owns both. */
void zbud_arena_link(struct zbud_arena *arena, uint32_t page, uint32_t next);
/** zbud_arena_next() - the page after @page in its chain, or PAGE_NONE. Only the chain's owner may
 * ask. */
uint32_t zbud_arena_next(const struct zbud_arena *arena, uint32_t page);
/** zbud_arena_give_chain() - frees a chain in as many steps as it has pages, none touching it. */
void zbud_arena_give_chain(struct zbud_arena *arena, uint32_t first);

/** zbud_arena_page() - the 4096 bytes of a page in use; good until it is given. */
void *zbud_arena_page(const struct zbud_arena *arena, uint32_t page);

/**
 * zbud_arena_charge() - count @bytes of memory of another kind against the limit.
 *
 * Kept pages are given back to the system to make room where all of them together are enough: about
 * 2 us a page, and 300 us once for each 2 MiB that were huge.
 *
 * Errors: ZBUD_NO_PAGE - the limit is reached; nothing is charged. Reclaim pages, try again.
 *         ZBUD_REFUSED - free pages would do, but the system does not take them back (locked memory
 *         before Linux 5.18); nothing is charged.
 */
enum zbud_status zbud_arena_charge(struct zbud_arena *arena, size_t bytes)
    __attribute__((warn_unused_result));
/** zbud_arena_uncharge() - @bytes of what was charged are no longer there. */
void zbud_arena_uncharge(struct zbud_arena *arena, size_t bytes);

/** zbud_arena_set_limit() - at most the reserve. Lowering it may leave an excess; see trim. */
void zbud_arena_set_limit(struct zbud_arena *arena, size_t limit_bytes);

/** zbud_arena_available() - pages that zbud_arena_take() could hand out one after another now; no
 * lock is taken. */
size_t zbud_arena_available(const struct zbud_arena *arena);
/** zbud_arena_limit_pages() - as many as the limit has room for; no lock is taken. */
size_t zbud_arena_limit_pages(const struct zbud_arena *arena);
/** zbud_arena_excess() - pages to reclaim and trim until what is resident fits the limit. */
size_t zbud_arena_excess(const struct zbud_arena *arena);
/**
 * zbud_arena_trim() - give at most @pages_max kept pages back to the system.
 *
 * Returns how many were: fewer where there are no more, or where the system refuses (locked
 * memory).
 */
size_t zbud_arena_trim(struct zbud_arena *arena, size_t pages_max);

/** zbud_arena_figures() - all as of one moment. */
void zbud_arena_figures(const struct zbud_arena *arena, struct zbud_arena_figures *figures);
/** zbud_arena_check() - ARENA-1 and ARENA-3 hold, or abort. O(pages) with the lock held. */
void zbud_arena_check(const struct zbud_arena *arena);

/* What the pools of one arena share: a clock of page uses, and numbers to tell them apart. */

/** zbud_arena_age() - how many page uses there have been in the arena's pools. */
uint64_t zbud_arena_age(const struct zbud_arena *arena);
/** zbud_arena_next_age() - counts one more page use and says which. */
uint64_t zbud_arena_next_age(struct zbud_arena *arena);
/** zbud_arena_reach_age() - there have been as many at least. */
void zbud_arena_reach_age(struct zbud_arena *arena, uint64_t age);
/** zbud_arena_enroll() - a number for a new pool, 1 to 65535, by which its pages name it. */
uint16_t zbud_arena_enroll(struct zbud_arena *arena);

#endif
