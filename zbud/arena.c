/*
 * arena.c - pages from the system, counted against one limit.
 *
 * Where free pages are, in the order in which they are taken:
 *
 *   kept list      given by their owner, memory still there; last in, first out
 *   [bump, bump_end)  kept pages of the newest regions that nobody has had yet
 *   returned list  their memory was given back to the system
 *   [mark, pages_max) never used
 *
 * Huge pages: the range is marked MADV_NOHUGEPAGE, and a region of 2 MiB becomes MADV_HUGEPAGE only
 * when all of it is counted, as the first touch makes all of it resident. Before the first page of
 * such a region is given back, the region is marked MADV_NOHUGEPAGE for good, or khugepaged would
 * fill the hole again behind the arena's back.
 *
 * In a file, blocks are asked for before they are touched (a touch that finds none ends the
 * process) and given back by punching holes. Where the file system has none left, the arena is
 * *starved*: it hands out what it kept, and asks again when somebody prepares memory.
 */
#include "zbud/arena.h"

#include "zbud/lock.h"
#include "zbud/poison.h"
#include "zbud/pool.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24 /* linux/mman.h; glibc 2.36 has it, older ones do not */
#endif
#ifndef MADV_POPULATE_READ /* Linux 5.14; likewise */
#define MADV_POPULATE_READ  22
#define MADV_POPULATE_WRITE 23
#endif

#define REGION_BYTES     (2u << 20)
#define REGION_PAGES     (REGION_BYTES / ZBUD_PAGE_BYTES)
#define ENTRIES_A_PAGE   (ZBUD_PAGE_BYTES / sizeof(struct link))
/* Pages of tables for so many entries; in a file each page has a word of 8 bytes too. */
#define TABLE_PAGES      1u
#define TABLE_PAGES_FILE 3u

/* An entry of the table: the next page of a free list or chain, and whether the page is in use. */
#define LINK_IN_USE      0x80000000u
#define LINK_NONE        0x7fffffffu

/* Handles hold a page's number plus one, and which of two buddies. */
#define PAGES_MAX        ((1u << (ZBUD_HANDLE_BITS - 1)) - 1u)
static_assert(PAGES_MAX < LINK_NONE, "a page's number fits a link");
/* Of a page in use that has no next: a note of its owner, in the lowest bits. */
#define LINK_NOTED 0x40000000u
#define NOTE_MASK  0xffu
static_assert(PAGES_MAX < LINK_NOTED && LINK_NONE > (LINK_NOTED | NOTE_MASK),
              "a note is neither a page's number nor none");

struct link {
    _Atomic uint32_t bits;
};
static_assert(sizeof(struct link) == sizeof(uint32_t), "4 bytes a page");

struct zbud_arena {
    /* Set once by zbud_arena_new(). */
    uint8_t *base; /* REGION_BYTES aligned */
    /* One per page; lazily touched, so it costs 4 bytes per page below mark. A page in use has its
     * link written by its owner without the lock, a free one's is under lock. */
    struct link *links;
    size_t links_bytes;
    uint64_t *words; /* NULL: the memory is the arena's own */
    size_t words_bytes;
    struct zbud_arena_file file;
    unsigned table_pages; /* TABLE_PAGES or TABLE_PAGES_FILE */
    bool *region_huge;    /* one per region; under system_lock to write, either lock to read */
    uint32_t pages_max;
    struct zbud_lock *lock;        /* leaf: for a few loads and stores */
    struct zbud_lock *system_lock; /* taken before lock: for changing a region's kind */

    /* Under lock. */
    uint64_t limit_bytes;
    uint64_t charged_bytes;
    uint32_t mark;
    uint32_t bump;
    uint32_t bump_end;
    uint32_t kept_first;
    uint32_t returned_first;
    uint64_t kept_listed;
    uint64_t returned_listed;
    uint64_t pages_used;
    uint64_t pages_moving; /* on their way to the system or from it: on no list, counted as kept */
    uint64_t pages_returned;
    uint64_t starved_times;
    bool starved; /* the file system gave no block; until the next zbud_arena_prepare() */
    uint16_t pools;

    /* As the last change under the lock left them, for who looks without it. */
    _Atomic uint64_t available;
    _Atomic uint64_t limit_pages;

    struct zbud_lock lock_itself;
    struct zbud_lock system_lock_itself;
    alignas(64) _Atomic uint64_t age; /* written by every pool: a cache line of its own */
};

static uint32_t link_of(const struct zbud_arena *arena, uint32_t page)
{
    return atomic_load_explicit(&arena->links[page].bits, memory_order_relaxed);
}

static void set_link(struct zbud_arena *arena, uint32_t page, uint32_t link)
{
    atomic_store_explicit(&arena->links[page].bits, link, memory_order_relaxed);
}

static uint64_t table_bytes(const struct zbud_arena *arena, uint64_t mark)
{
    uint64_t steps = (mark + ENTRIES_A_PAGE - 1) / ENTRIES_A_PAGE;
    return steps * arena->table_pages * ZBUD_PAGE_BYTES;
}

static uint64_t pages_kept(const struct zbud_arena *arena) ZB_REQUIRES(arena->lock)
{
    return arena->kept_listed + (arena->bump_end - arena->bump) + arena->pages_moving;
}

static uint64_t counted_bytes(const struct zbud_arena *arena) ZB_REQUIRES(arena->lock)
{
    uint64_t resident = arena->pages_used + pages_kept(arena);
    return resident * ZBUD_PAGE_BYTES + arena->charged_bytes + table_bytes(arena, arena->mark);
}

/* Would @pages more resident pages and a mark raised by @fresh stay within the limit? */
static bool fits(const struct zbud_arena *arena, uint64_t pages, uint64_t fresh)
    ZB_REQUIRES(arena->lock)
{
    uint64_t table = table_bytes(arena, arena->mark + fresh) - table_bytes(arena, arena->mark);
    return !arena->starved &&
           counted_bytes(arena) + pages * ZBUD_PAGE_BYTES + table <= arena->limit_bytes;
}

/* ---- making and freeing --------------------------------------------------------------------- */

static void *reserve(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return at == MAP_FAILED ? NULL : at;
}

/* A region must not share its huge page with other memory, so the range is cut to alignment. */
static uint8_t *reserve_aligned(size_t bytes)
{
    uint8_t *raw = reserve(bytes + REGION_BYTES);
    if (raw == NULL)
        return NULL;
    size_t before = (REGION_BYTES - (uintptr_t)raw % REGION_BYTES) % REGION_BYTES;
    if (before != 0)
        munmap(raw, before);
    munmap(raw + before + bytes, REGION_BYTES - before);
    return raw + before;
}

/* Pages above the mark that @pages of room pay for, their share of the table included. */
static uint64_t fresh_for(const struct zbud_arena *arena, uint64_t pages) ZB_REQUIRES(arena->lock)
{
    uint64_t steps = (arena->mark + ENTRIES_A_PAGE - 1) / ENTRIES_A_PAGE;
    uint64_t paid = steps * ENTRIES_A_PAGE - arena->mark;
    uint64_t rest, fresh;

    if (pages > paid) {
        /* Pages of the tables, and then the pages they have entries for, again and again. */
        rest = (pages - paid) % (ENTRIES_A_PAGE + arena->table_pages);
        fresh = paid + (pages - paid) / (ENTRIES_A_PAGE + arena->table_pages) * ENTRIES_A_PAGE;
        fresh += rest <= arena->table_pages ? 0 : rest - arena->table_pages;
    } else {
        fresh = pages;
    }
    return fresh < arena->pages_max - arena->mark ? fresh : arena->pages_max - arena->mark;
}

static uint64_t count_available(const struct zbud_arena *arena) ZB_REQUIRES(arena->lock)
{
    uint64_t counted = counted_bytes(arena);
    uint64_t room =
        counted < arena->limit_bytes ? (arena->limit_bytes - counted) / ZBUD_PAGE_BYTES : 0;
    uint64_t pages = pages_kept(arena) - arena->pages_moving;

    if (arena->starved)
        return pages;
    if (room <= arena->returned_listed)
        return pages + room;
    return pages + arena->returned_listed + fresh_for(arena, room - arena->returned_listed);
}

/* The end of every change. */
static void give_changed(struct zbud_arena *arena) ZB_RELEASES(arena->lock)
{
    atomic_store_explicit(&arena->available, count_available(arena), memory_order_relaxed);
    atomic_store_explicit(&arena->limit_pages, arena->limit_bytes / ZBUD_PAGE_BYTES,
                          memory_order_relaxed);
    lock_give(arena->lock);
}

/* The file's bytes in place of what was reserved at @at. */
static bool map_file(const struct zbud_arena *arena, void *at, size_t bytes, uint64_t offset)
{
    return mmap(at, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, arena->file.fd,
                (off_t)offset) != MAP_FAILED;
}

static bool map_all(struct zbud_arena *arena)
{
    arena->words_bytes = zbud_arena_words_bytes(arena->pages_max);
    arena->words = reserve(arena->words_bytes);
    return arena->words != NULL &&
           map_file(arena, arena->words, arena->words_bytes, arena->file.words_at) &&
           map_file(arena, arena->links, arena->links_bytes, arena->file.links_at) &&
           map_file(arena, arena->base, (size_t)arena->pages_max * ZBUD_PAGE_BYTES,
                    arena->file.pages_at);
}

size_t zbud_arena_links_bytes(size_t pages)
{
    return (pages + ENTRIES_A_PAGE - 1) / ENTRIES_A_PAGE * ZBUD_PAGE_BYTES;
}

size_t zbud_arena_words_bytes(size_t pages)
{
    return zbud_arena_links_bytes(pages) * (TABLE_PAGES_FILE - TABLE_PAGES);
}

static bool reserve_all(struct zbud_arena *arena)
{
    size_t regions = (arena->pages_max + REGION_PAGES - 1) / REGION_PAGES;

    arena->links_bytes = zbud_arena_links_bytes(arena->pages_max);
    arena->base = reserve_aligned((size_t)arena->pages_max * ZBUD_PAGE_BYTES);
    arena->links = reserve(arena->links_bytes);
    arena->region_huge = calloc(regions, sizeof(*arena->region_huge));
    if (arena->base == NULL || arena->links == NULL || arena->region_huge == NULL)
        return false;
    if (arena->file.fd >= 0 && !map_all(arena))
        return false;
    /* These fail only on a kernel without huge pages, where there is nothing to forbid. */
    (void)madvise(arena->base, (size_t)arena->pages_max * ZBUD_PAGE_BYTES, MADV_NOHUGEPAGE);
    (void)madvise(arena->links, arena->links_bytes, MADV_NOHUGEPAGE);
    return true;
}

static struct zbud_arena *arena_new(size_t reserve_bytes, size_t limit_bytes,
                                    struct zbud_arena_file file)
{
    size_t pages_max = reserve_bytes / ZBUD_PAGE_BYTES;
    struct zbud_arena *arena = NULL;

    assert(limit_bytes <= reserve_bytes);
    if (pages_max == 0 || pages_max > PAGES_MAX)
        return NULL;
    arena = aligned_alloc(alignof(struct zbud_arena), sizeof(*arena));
    if (arena == NULL)
        return NULL;
    *arena = (struct zbud_arena){.pages_max = (uint32_t)pages_max,
                                 .file = file,
                                 .table_pages = file.fd < 0 ? TABLE_PAGES : TABLE_PAGES_FILE,
                                 .limit_bytes = limit_bytes,
                                 .kept_first = LINK_NONE,
                                 .returned_first = LINK_NONE};
    arena->lock = &arena->lock_itself;
    arena->system_lock = &arena->system_lock_itself;
    lock_init(arena->lock);
    lock_init(arena->system_lock);
    if (!reserve_all(arena)) {
        zbud_arena_free(arena);
        return NULL;
    }
    lock_take(arena->lock);
    give_changed(arena);
    return arena;
}

struct zbud_arena *zbud_arena_new(size_t reserve_bytes, size_t limit_bytes)
{
    struct zbud_arena_file none = {.fd = -1};
    return arena_new(reserve_bytes, limit_bytes, none);
}

struct zbud_arena *zbud_arena_new_in(const struct zbud_arena_file *file, size_t reserve_bytes,
                                     size_t limit_bytes)
{
    assert(file->fd >= 0);
    assert(file->links_at % ZBUD_PAGE_BYTES == 0 && file->words_at % ZBUD_PAGE_BYTES == 0 &&
           file->pages_at % ZBUD_PAGE_BYTES == 0);
    return arena_new(reserve_bytes, limit_bytes, *file);
}

void zbud_arena_free(struct zbud_arena *arena)
{
    if (arena == NULL)
        return;
    if (arena->base != NULL) {
        /* A region poisoned for use may not have been begun: whole regions, the next one too. */
        size_t pages = (size_t)(arena->mark / REGION_PAGES + 1) * REGION_PAGES;
        POISON_LIVE(arena->base,
                    (pages < arena->pages_max ? pages : arena->pages_max) * ZBUD_PAGE_BYTES);
        munmap(arena->base, (size_t)arena->pages_max * ZBUD_PAGE_BYTES);
    }
    if (arena->links != NULL)
        munmap(arena->links, arena->links_bytes);
    if (arena->words != NULL)
        munmap(arena->words, arena->words_bytes);
    free(arena->region_huge);
    lock_fini(arena->system_lock);
    lock_fini(arena->lock);
    free(arena);
}

/* ---- taking --------------------------------------------------------------------------------- */

void *zbud_arena_page(const struct zbud_arena *arena, uint32_t page)
{
    assert(page < arena->pages_max);
    return arena->base + (size_t)page * ZBUD_PAGE_BYTES;
}

static uint32_t pop(struct zbud_arena *arena, uint32_t *first, uint64_t *listed)
    ZB_REQUIRES(arena->lock)
{
    uint32_t page = *first;
    assert(page < arena->mark && (link_of(arena, page) & LINK_IN_USE) == 0);
    *first = link_of(arena, page);
    (*listed)--;
    return page;
}

static void push(struct zbud_arena *arena, uint32_t page, uint32_t *first, uint64_t *listed)
    ZB_REQUIRES(arena->lock)
{
    set_link(arena, page, *first);
    *first = page;
    (*listed)++;
}

static bool allocate(const struct zbud_arena *arena, int mode, uint64_t offset, uint64_t bytes)
{
    int failed;

    do {
        failed = fallocate(arena->file.fd, mode, (off_t)offset, (off_t)bytes);
    } while (failed != 0 && errno == EINTR);
    return failed == 0;
}

/* Blocks for the entries of a region, before its first page is had. */
static bool back_tables(const struct zbud_arena *arena, uint32_t first, uint32_t pages)
{
    if (arena->words == NULL)
        return true;
    return allocate(arena, 0, arena->file.links_at + (uint64_t)first * sizeof(*arena->links),
                    (uint64_t)pages * sizeof(*arena->links)) &&
           allocate(arena, 0, arena->file.words_at + (uint64_t)first * sizeof(*arena->words),
                    (uint64_t)pages * sizeof(*arena->words));
}

/* Blocks for pages. Without a file there is nothing to be done. */
static bool back(const struct zbud_arena *arena, uint32_t first, uint32_t pages)
{
    return arena->words == NULL ||
           allocate(arena, 0, arena->file.pages_at + (uint64_t)first * ZBUD_PAGE_BYTES,
                    (uint64_t)pages * ZBUD_PAGE_BYTES);
}

static bool unback(const struct zbud_arena *arena, uint32_t first, uint32_t pages)
{
    return allocate(arena, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                    arena->file.pages_at + (uint64_t)first * ZBUD_PAGE_BYTES,
                    (uint64_t)pages * ZBUD_PAGE_BYTES);
}

static void starve(struct zbud_arena *arena) ZB_REQUIRES(arena->lock)
{
    arena->starved_times += !arena->starved;
    arena->starved = true;
}

/* A page that takes no system call to have, but for the blocks of a file where it is @bare;
 * ZBUD_PAGE_NONE where there is none. */
static uint32_t take_ready(struct zbud_arena *arena, bool *bare) ZB_REQUIRES(arena->lock)
{
    uint32_t page = ZBUD_PAGE_NONE;

    *bare = false;
    if (arena->kept_listed != 0) {
        page = pop(arena, &arena->kept_first, &arena->kept_listed);
    } else if (arena->bump < arena->bump_end) {
        page = arena->bump++;
    } else if (arena->returned_listed != 0 && fits(arena, 1, 0)) {
        page = pop(arena, &arena->returned_first, &arena->returned_listed);
        *bare = true;
    } else if (arena->mark % REGION_PAGES != 0 && arena->mark < arena->pages_max &&
               fits(arena, 1, 1)) {
        page = arena->mark++; /* goes on in a region of small pages */
        *bare = true;
    }
    if (page != ZBUD_PAGE_NONE) {
        arena->pages_used++;
        set_link(arena, page, LINK_NONE | LINK_IN_USE);
    }
    return page;
}

static uint32_t least_pages(uint32_t one, uint32_t other)
{
    return one < other ? one : other;
}

static bool fits_region(const struct zbud_arena *arena) ZB_REQUIRES(arena->lock)
{
    return arena->pages_max - arena->mark >= REGION_PAGES &&
           fits(arena, REGION_PAGES, REGION_PAGES);
}

/* Counts the region at the mark as kept: it may be resident as a whole from its first touch on. */
static void begin_huge_region(struct zbud_arena *arena) ZB_REQUIRES(arena->lock, arena->system_lock)
{
    assert(arena->bump == arena->bump_end);
    arena->region_huge[arena->mark / REGION_PAGES] = true;
    arena->bump = arena->mark;
    arena->bump_end = arena->mark + REGION_PAGES;
    arena->mark = arena->bump_end;
}

/* What a region's memory is made of, before it is counted. False: the file system has no blocks. */
static bool begin_memory(struct zbud_arena *arena, uint32_t first) ZB_REQUIRES(arena->system_lock)
{
    uint8_t *region = zbud_arena_page(arena, first);

    if (!back(arena, first, REGION_PAGES))
        return false;
    (void)madvise(region, REGION_BYTES, MADV_HUGEPAGE);
    /* Blocks are memory already: let them be in the process's count as well. */
    if (arena->words != NULL)
        (void)madvise(region, REGION_BYTES, MADV_POPULATE_WRITE);
    POISON_FREE(region, REGION_BYTES);
    return true;
}

static void end_memory(struct zbud_arena *arena, uint32_t first) ZB_REQUIRES(arena->system_lock)
{
    (void)madvise(zbud_arena_page(arena, first), REGION_BYTES, MADV_NOHUGEPAGE);
    if (arena->words != NULL)
        (void)unback(arena, first, REGION_PAGES);
}

/* The mark stands at a region's start: nobody but the holder of system_lock moves it from there. */
static uint32_t take_from_new_region(struct zbud_arena *arena, bool *bare)
    ZB_REQUIRES(arena->system_lock)
{
    uint32_t page = ZBUD_PAGE_NONE, first;
    bool fits_all, begun;

    lock_take(arena->lock);
    page = take_ready(arena, bare); /* somebody else may have begun a region meanwhile */
    first = arena->mark;
    fits_all = fits_region(arena);
    give_changed(arena);
    if (page != ZBUD_PAGE_NONE || first % REGION_PAGES != 0 || first >= arena->pages_max)
        return page;
    begun = back_tables(arena, first, least_pages(arena->pages_max - first, REGION_PAGES)) &&
            (!fits_all || begin_memory(arena, first));
    lock_take(arena->lock);
    if (!begun)
        starve(arena);
    if (begun && fits_all && fits_region(arena)) { /* the limit may have come closer meanwhile */
        begin_huge_region(arena);
    } else if (fits_all) {
        give_changed(arena);
        end_memory(arena, first);
        lock_take(arena->lock);
    }
    page = take_ready(arena, bare);
    if (page == ZBUD_PAGE_NONE && arena->mark % REGION_PAGES == 0 &&
        arena->mark < arena->pages_max && fits(arena, 1, 1)) {
        page = arena->mark++;
        *bare = true;
        set_link(arena, page, LINK_NONE | LINK_IN_USE);
        arena->pages_used++;
    }
    give_changed(arena);
    return page;
}

/* A page that was taken gets a block in the file, or goes back to the list of those given back. */
static bool clothe(struct zbud_arena *arena, uint32_t page)
{
    if (back(arena, page, 1))
        return true;
    lock_take(arena->lock);
    starve(arena);
    arena->pages_used--;
    push(arena, page, &arena->returned_first, &arena->returned_listed);
    give_changed(arena);
    return false;
}

enum zbud_status zbud_arena_take(struct zbud_arena *arena, uint32_t *page)
{
    uint32_t taken;
    bool at_region, bare;

    lock_take(arena->lock);
    taken = take_ready(arena, &bare);
    at_region =
        arena->mark % REGION_PAGES == 0 && arena->mark < arena->pages_max && fits(arena, 1, 1);
    give_changed(arena);
    if (taken == ZBUD_PAGE_NONE && at_region) {
        lock_take(arena->system_lock);
        taken = take_from_new_region(arena, &bare);
        lock_give(arena->system_lock);
    }
    if (taken == ZBUD_PAGE_NONE || (bare && !clothe(arena, taken)))
        return ZBUD_NO_PAGE;
    POISON_LIVE(zbud_arena_page(arena, taken), ZBUD_PAGE_BYTES);
    *page = taken;
    return ZBUD_OK;
}

/* ---- ahead of need -------------------------------------------------------------------------- */

static bool wants_region(const struct zbud_arena *arena, size_t pages_ready)
    ZB_REQUIRES(arena->lock)
{
    return arena->kept_listed + (arena->bump_end - arena->bump) < pages_ready &&
           arena->mark % REGION_PAGES == 0 && fits_region(arena);
}

/* Counts the region at the mark before it is touched; returns its first page. */
static uint32_t begin_moving_region(struct zbud_arena *arena, size_t pages_ready)
    ZB_REQUIRES(arena->system_lock)
{
    uint32_t page = ZBUD_PAGE_NONE, next;
    bool wanted;

    lock_take(arena->lock);
    wanted = wants_region(arena, pages_ready);
    next = arena->mark; /* stays, as it is a region's start */
    lock_give(arena->lock);
    if (!wanted || !back_tables(arena, next, REGION_PAGES))
        return ZBUD_PAGE_NONE;
    lock_take(arena->lock);
    if (wants_region(arena, pages_ready)) {
        page = arena->mark;
        arena->region_huge[page / REGION_PAGES] = true;
        arena->mark += REGION_PAGES;
        arena->pages_moving += REGION_PAGES;
    }
    give_changed(arena);
    return page;
}

/* A system without huge pages has each page touched. False: the file system has no blocks. */
static bool touch_region(struct zbud_arena *arena, uint32_t first) ZB_REQUIRES(arena->system_lock)
{
    volatile uint8_t *region = zbud_arena_page(arena, first);

    if (!begin_memory(arena, first))
        return false;
    POISON_LIVE(zbud_arena_page(arena, first), REGION_BYTES);
    for (size_t at = 0; at < REGION_BYTES; at += ZBUD_PAGE_BYTES)
        region[at] = 0;
    POISON_FREE(zbud_arena_page(arena, first), REGION_BYTES);
    return true;
}

static void finish_moving_region(struct zbud_arena *arena, uint32_t first, bool touched)
{
    lock_take(arena->lock);
    arena->pages_moving -= REGION_PAGES;
    if (!touched) {
        starve(arena);
        for (uint32_t page = first + REGION_PAGES; page > first; page--)
            push(arena, page - 1, &arena->returned_first, &arena->returned_listed);
    } else if (arena->bump == arena->bump_end) {
        arena->bump = first;
        arena->bump_end = first + REGION_PAGES;
    } else if (arena->bump_end == first) {
        arena->bump_end = first + REGION_PAGES;
    } else { /* pages before it went back to the system meanwhile */
        for (uint32_t page = first + REGION_PAGES; page > first; page--)
            push(arena, page - 1, &arena->kept_first, &arena->kept_listed);
    }
    give_changed(arena);
}

bool zbud_arena_prepare(struct zbud_arena *arena, size_t pages_ready)
{
    uint32_t first = ZBUD_PAGE_NONE;
    bool wanted, touched = false;

    lock_take(arena->lock);
    arena->starved = false;
    wanted = wants_region(arena, pages_ready);
    give_changed(arena);
    if (!wanted)
        return false;
    lock_take(arena->system_lock);
    first = begin_moving_region(arena, pages_ready);
    if (first != ZBUD_PAGE_NONE) {
        touched = touch_region(arena, first);
        finish_moving_region(arena, first, touched);
    }
    lock_give(arena->system_lock);
    return touched;
}

void zbud_arena_give(struct zbud_arena *arena, uint32_t page)
{
    POISON_FREE(zbud_arena_page(arena, page), ZBUD_PAGE_BYTES);
    lock_take(arena->lock);
    assert((link_of(arena, page) & LINK_IN_USE) != 0); /* ARENA-3: not given twice */
    if (arena->words != NULL)
        arena->words[page] = 0;
    push(arena, page, &arena->kept_first, &arena->kept_listed);
    arena->pages_used--;
    give_changed(arena);
}

/* ---- chains --------------------------------------------------------------------------------- */

void zbud_arena_give_chain(struct zbud_arena *arena, uint32_t first)
{
    for (uint32_t page = first, next; page != ZBUD_PAGE_NONE; page = next) {
        next = zbud_arena_next(arena, page);
        zbud_arena_give(arena, page);
    }
}

void zbud_arena_link(struct zbud_arena *arena, uint32_t page, uint32_t next)
{
    assert(page < arena->pages_max && (link_of(arena, page) & LINK_IN_USE) != 0);
    assert(next == ZBUD_PAGE_NONE || next < arena->pages_max);
    set_link(arena, page, LINK_IN_USE | (next == ZBUD_PAGE_NONE ? LINK_NONE : next));
}

uint32_t zbud_arena_next(const struct zbud_arena *arena, uint32_t page)
{
    uint32_t link;

    assert(page < arena->pages_max);
    link = link_of(arena, page);
    assert((link & LINK_IN_USE) != 0);
    link &= ~LINK_IN_USE;
    return link == LINK_NONE ? ZBUD_PAGE_NONE : link;
}

/* ---- notes ---------------------------------------------------------------------------------- */

static unsigned note_in(uint32_t link)
{
    return (link & ~NOTE_MASK) == (LINK_IN_USE | LINK_NOTED) ? link & NOTE_MASK : 0;
}

void zbud_arena_note(struct zbud_arena *arena, uint32_t page, unsigned note)
{
    assert(page < arena->pages_max && note > 0 && note <= NOTE_MASK);
    set_link(arena, page, LINK_IN_USE | LINK_NOTED | note);
}

unsigned zbud_arena_noted(const struct zbud_arena *arena, uint32_t page)
{
    assert(page < arena->pages_max);
    return note_in(link_of(arena, page));
}

void zbud_arena_survey(const struct zbud_arena *arena, uint32_t first, uint32_t end, uint32_t step,
                       struct zbud_survey *survey)
{
    assert(end <= arena->pages_max && step > 0 && step <= UINT32_MAX - arena->pages_max);
    *survey = (struct zbud_survey){0};
    for (uint32_t page = first; page < end; page += step) {
        uint32_t link = link_of(arena, page);
        unsigned note = note_in(link);

        survey->pages_free += (link & LINK_IN_USE) == 0;
        survey->pages_other += (link & LINK_IN_USE) != 0 && note == 0;
        survey->pages_one += ZBUD_NOTE_BUDDIES(note) == 1;
        survey->pages_two += ZBUD_NOTE_BUDDIES(note) == 2;
        survey->live_chunks += ZBUD_NOTE_CHUNKS(note);
    }
}

/* ---- giving back to the system -------------------------------------------------------------- */

/*
 * From here on the page's region holds small pages only. False: the system refused.
 *
 * MADV_DONTNEED alone takes the page out of the process's count, but the rest of a huge page would
 * keep the whole of it allocated until the kernel runs short. MADV_COLD on a part of a huge page
 * splits it there and then; where that fails, memory comes back as late as it would have.
 */
static bool settle_region(struct zbud_arena *arena, uint32_t page)
{
    uint32_t region = page / REGION_PAGES;
    uint8_t *region_at = arena->base + (size_t)region * REGION_BYTES;
    bool done = true;

    lock_take(arena->system_lock);
    if (arena->region_huge[region]) {
        done = madvise(region_at, REGION_BYTES, MADV_NOHUGEPAGE) == 0;
        /* Out of mappings (vm.max_map_count): one mapping for the whole range always fits. */
        if (!done)
            done = madvise(arena->base, (size_t)arena->pages_max * ZBUD_PAGE_BYTES,
                           MADV_NOHUGEPAGE) == 0;
        (void)madvise(zbud_arena_page(arena, page), ZBUD_PAGE_BYTES, MADV_COLD);
        lock_take(arena->lock);
        arena->region_huge[region] = !done;
        give_changed(arena);
    }
    lock_give(arena->system_lock);
    return done;
}

/* The page on its way out is on no list, but counted until its memory is gone. */
static uint32_t begin_return(struct zbud_arena *arena, bool *in_huge_region)
{
    uint32_t page = ZBUD_PAGE_NONE;

    lock_take(arena->lock);
    if (arena->bump < arena->bump_end)
        page = --arena->bump_end;
    else if (arena->kept_listed != 0)
        page = pop(arena, &arena->kept_first, &arena->kept_listed);
    if (page != ZBUD_PAGE_NONE) {
        arena->pages_moving++;
        *in_huge_region = arena->region_huge[page / REGION_PAGES];
    }
    give_changed(arena);
    return page;
}

static void finish_return(struct zbud_arena *arena, uint32_t page, bool returned)
{
    lock_take(arena->lock);
    arena->pages_moving--;
    if (returned) {
        push(arena, page, &arena->returned_first, &arena->returned_listed);
        arena->pages_returned++;
    } else {
        push(arena, page, &arena->kept_first, &arena->kept_listed);
    }
    give_changed(arena);
}

/* Memory locked by mlockall() needs the newer call (Linux 5.18); it stays locked for its next
 * use. */
static bool return_memory(const struct zbud_arena *arena, uint32_t number)
{
    void *page = zbud_arena_page(arena, number);

    if (arena->words != NULL)
        return unback(arena, number, 1);
    return madvise(page, ZBUD_PAGE_BYTES, MADV_DONTNEED) == 0 ||
           madvise(page, ZBUD_PAGE_BYTES, MADV_DONTNEED_LOCKED) == 0;
}

/* @refused: whether a page was there, and could not be given back. */
static bool return_page(struct zbud_arena *arena, bool *refused)
{
    bool in_huge_region = false, returned;
    uint32_t page = begin_return(arena, &in_huge_region);

    *refused = false;
    if (page == ZBUD_PAGE_NONE)
        return false;
    returned = (!in_huge_region || settle_region(arena, page)) && return_memory(arena, page);
    finish_return(arena, page, returned);
    *refused = !returned;
    return returned;
}

size_t zbud_arena_trim(struct zbud_arena *arena, size_t pages_max)
{
    size_t pages = 0;
    bool refused;
    while (pages < pages_max && return_page(arena, &refused))
        pages++;
    return pages;
}

/* ---- a file that was there before --------------------------------------------------------- */

uint64_t *zbud_arena_words(const struct zbud_arena *arena)
{
    return arena->words;
}

/* Those that lie in @first to @to: each of their pages has a block, which may be a huge one's. */
static void note_whole_regions(struct zbud_arena *arena, uint32_t first, uint32_t to)
{
    uint32_t region = (first + REGION_PAGES - 1) / REGION_PAGES;

    for (; (region + 1) * REGION_PAGES <= to; region++)
        arena->region_huge[region] = true;
}

/* Pages that hold no data lose their word; returns the end of the last that does. */
static uint32_t keep_words_of_data(struct zbud_arena *arena)
{
    const off_t start = (off_t)arena->file.pages_at;
    const off_t end = start + (off_t)arena->pages_max * (off_t)ZBUD_PAGE_BYTES;
    uint32_t last = 0;

    for (off_t hole = start;;) {
        const off_t data = lseek(arena->file.fd, hole, SEEK_DATA);
        if (data < 0 || data >= end)
            return last;
        uint32_t first = (uint32_t)((data - start) / ZBUD_PAGE_BYTES);
        hole = lseek(arena->file.fd, data, SEEK_HOLE);
        if (hole <= data)
            return last;
        hole = hole < end ? hole : end;
        /* What follows the last data so far are holes, and the entries of all this are there. */
        uint32_t to = (uint32_t)((hole - start + ZBUD_PAGE_BYTES - 1) / ZBUD_PAGE_BYTES);
        if (!back_tables(arena, last, to - last))
            return last;
        memset(&arena->words[last], 0, (size_t)(first - last) * sizeof(arena->words[0]));
        note_whole_regions(arena, first, to);
        last = to;
    }
}

/* Is it in use, or kept? To give one page of a whole region back would part a huge page. */
static bool is_resident(const struct zbud_arena *arena, uint32_t page)
{
    return arena->words[page] != 0 || arena->region_huge[page / REGION_PAGES];
}

/* From here on what is free, lists and counts follow from the words. */
static void list_recovered(struct zbud_arena *arena) ZB_REQUIRES(arena->lock)
{
    for (uint32_t page = arena->mark; page > 0; page--) {
        uint32_t next = link_of(arena, page - 1) & ~LINK_IN_USE;

        if (arena->words[page - 1] != 0) {
            set_link(arena, page - 1, LINK_IN_USE | (next < arena->mark ? next : LINK_NONE));
            arena->pages_used++;
        } else if (is_resident(arena, page - 1)) {
            POISON_FREE(zbud_arena_page(arena, page - 1), ZBUD_PAGE_BYTES);
            push(arena, page - 1, &arena->kept_first, &arena->kept_listed);
        } else {
            push(arena, page - 1, &arena->returned_first, &arena->returned_listed);
        }
    }
}

/* Run by run: what is not resident has no block, what is resident is mapped at once, which spares a
 * fault for each page. */
static void settle_runs(const struct zbud_arena *arena)
{
    uint32_t from = 0;

    for (uint32_t page = 1; page <= arena->mark; page++) {
        bool resident = is_resident(arena, from);

        if (page < arena->mark && is_resident(arena, page) == resident)
            continue;
        if (resident)
            (void)madvise(zbud_arena_page(arena, from), (size_t)(page - from) * ZBUD_PAGE_BYTES,
                          MADV_POPULATE_READ);
        else
            (void)unback(arena, from, page - from);
        from = page;
    }
    if (arena->mark < arena->pages_max)
        (void)unback(arena, arena->mark, arena->pages_max - arena->mark);
}

/* Run by run, as each may be a mapping of its own. */
static void allow_huge_pages(const struct zbud_arena *arena)
{
    uint32_t regions = arena->mark / REGION_PAGES, from = 0;

    for (uint32_t region = 1; region <= regions; region++) {
        if (region < regions && arena->region_huge[region] == arena->region_huge[from])
            continue;
        if (arena->region_huge[from])
            (void)madvise(zbud_arena_page(arena, from * REGION_PAGES),
                          (size_t)(region - from) * REGION_BYTES, MADV_HUGEPAGE);
        from = region;
    }
}

bool zbud_arena_recover(struct zbud_arena *arena, uint32_t *pages)
{
    uint32_t last = keep_words_of_data(arena);
    uint32_t mark = (last + REGION_PAGES - 1) / REGION_PAGES * REGION_PAGES;

    mark = least_pages(mark, arena->pages_max);
    if (mark > last && !back_tables(arena, last, mark - last))
        return false;
    memset(&arena->words[last], 0, (size_t)(mark - last) * sizeof(arena->words[0]));
    lock_take(arena->lock);
    assert(arena->mark == 0);
    arena->mark = mark;
    list_recovered(arena);
    give_changed(arena);
    allow_huge_pages(arena);
    settle_runs(arena);
    *pages = mark;
    return true;
}

/* ---- the limit ------------------------------------------------------------------------------ */

/* Pages that must go until @bytes more fit; 0: they fit. */
static uint64_t pages_over(const struct zbud_arena *arena, uint64_t bytes) ZB_REQUIRES(arena->lock)
{
    uint64_t counted = counted_bytes(arena) + bytes;
    if (counted <= arena->limit_bytes)
        return 0;
    return (counted - arena->limit_bytes + ZBUD_PAGE_BYTES - 1) / ZBUD_PAGE_BYTES;
}

enum zbud_status zbud_arena_charge(struct zbud_arena *arena, size_t bytes)
{
    /* Each turn gives a page back, so another thread's takes can delay the end, not prevent it. */
    for (;;) {
        uint64_t over, kept;
        bool refused;

        lock_take(arena->lock);
        over = bytes > arena->limit_bytes ? UINT64_MAX : pages_over(arena, bytes);
        kept = pages_kept(arena) - arena->pages_moving;
        if (over == 0)
            arena->charged_bytes += bytes;
        give_changed(arena);
        if (over == 0)
            return ZBUD_OK;
        if (over > kept)
            return ZBUD_NO_PAGE;
        if (!return_page(arena, &refused) && refused)
            return ZBUD_REFUSED;
    }
}

void zbud_arena_uncharge(struct zbud_arena *arena, size_t bytes)
{
    lock_take(arena->lock);
    assert(bytes <= arena->charged_bytes);
    arena->charged_bytes -= bytes;
    give_changed(arena);
}

void zbud_arena_set_limit(struct zbud_arena *arena, size_t limit_bytes)
{
    assert(limit_bytes / ZBUD_PAGE_BYTES <= arena->pages_max);
    lock_take(arena->lock);
    arena->limit_bytes = limit_bytes;
    give_changed(arena);
}

size_t zbud_arena_available(const struct zbud_arena *arena)
{
    return atomic_load_explicit(&arena->available, memory_order_relaxed);
}

size_t zbud_arena_limit_pages(const struct zbud_arena *arena)
{
    return atomic_load_explicit(&arena->limit_pages, memory_order_relaxed);
}

size_t zbud_arena_excess(const struct zbud_arena *arena)
{
    size_t pages;
    lock_take(arena->lock);
    pages = pages_over(arena, 0);
    lock_give(arena->lock);
    return pages;
}

/* ---- figures, checks, what pools share ------------------------------------------------------- */

void zbud_arena_figures(const struct zbud_arena *arena, struct zbud_arena_figures *figures)
{
    lock_take(arena->lock);
    *figures = (struct zbud_arena_figures){
        .limit_bytes = arena->limit_bytes,
        .charged_bytes = arena->charged_bytes,
        .pages_max = arena->pages_max,
        .pages_used = arena->pages_used,
        .pages_kept = pages_kept(arena),
        .pages_returned = arena->pages_returned,
        .pages_touched = arena->mark,
        .table_bytes = table_bytes(arena, arena->mark),
        .starved_times = arena->starved_times,
    };
    lock_give(arena->lock);
}

static void check_list(const struct zbud_arena *arena, uint32_t first, uint64_t listed)
    ZB_REQUIRES(arena->lock)
{
    uint64_t count = 0;
    for (uint32_t page = first; page != LINK_NONE; page = link_of(arena, page)) {
        assert(page < arena->mark && (link_of(arena, page) & LINK_IN_USE) == 0);
        count++;
        assert(count <= listed);
    }
    assert(count == listed);
}

void zbud_arena_check(const struct zbud_arena *arena)
{
    uint64_t in_use = 0;

    lock_take(arena->lock);
    check_list(arena, arena->kept_first, arena->kept_listed);
    check_list(arena, arena->returned_first, arena->returned_listed);
    for (uint32_t page = 0; page < arena->mark; page++)
        in_use += (link_of(arena, page) & LINK_IN_USE) != 0;
    assert(in_use == arena->pages_used);
    assert(arena->bump <= arena->bump_end && arena->bump_end <= arena->mark);
    assert(arena->mark <= arena->pages_max);
    /* ARENA-1, ARENA-3: every page below the mark is in exactly one place. */
    assert(arena->pages_used + pages_kept(arena) + arena->returned_listed == arena->mark);
    lock_give(arena->lock);
}

uint64_t zbud_arena_age(const struct zbud_arena *arena)
{
    return atomic_load_explicit(&arena->age, memory_order_relaxed);
}

uint64_t zbud_arena_next_age(struct zbud_arena *arena)
{
    return atomic_fetch_add_explicit(&arena->age, 1, memory_order_relaxed) + 1;
}

void zbud_arena_reach_age(struct zbud_arena *arena, uint64_t age)
{
    uint64_t reached = zbud_arena_age(arena);

    while (reached < age && !atomic_compare_exchange_weak(&arena->age, &reached, age))
        continue;
}

uint16_t zbud_arena_enroll(struct zbud_arena *arena)
{
    uint16_t number;
    lock_take(arena->lock);
    arena->pools = arena->pools == UINT16_MAX ? 1 : (uint16_t)(arena->pools + 1);
    number = arena->pools;
    lock_give(arena->lock);
    return number;
}
