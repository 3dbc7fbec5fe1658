/*
 * check.c - the invariants of page.h, log.h and pool.h, asserted.
 */
#include "zbud/pool_inside.h"

/* Sums over the pool's pages, to be compared with its counters. */
struct sums {
    uint64_t pages_by_buddies[3];
    uint64_t chunks_used;
    uint64_t records;
    uint64_t live_bytes;
    uint64_t dead_bytes;
    uint64_t pages_listed;
    uint64_t pages_unvisited;
    unsigned open_logs;
};

/* ---- one buddy ------------------------------------------------------------------------------ */

#if ZBUD_POISONS
static void check_live(uint8_t *bytes_at, size_t bytes)
{
    assert(__asan_region_is_poisoned(bytes_at, bytes) == NULL);
}

/* Poison may stop short of live bytes that begin inside a granule of 8 (poison.h). */
static void check_free(const uint8_t *bytes_at, size_t bytes)
{
    for (const uint8_t *at = bytes_at; at < bytes_at + (bytes & ~(size_t)7); at++)
        assert(__asan_address_is_poisoned(at));
}
#else
static void check_live(uint8_t *bytes_at, size_t bytes)
{
    (void)bytes_at;
    (void)bytes;
}

static void check_free(const uint8_t *bytes_at, size_t bytes)
{
    (void)bytes_at;
    (void)bytes;
}
#endif

/* LOG-1 to LOG-3: the directory against the log's counts. */
static void check_directory(struct page_header *page, enum page_end end)
{
    const struct page_buddy *log = &page->buddies[end];
    size_t dead_bytes = 0;
    unsigned live = 0, offset_before = 0;

    for (unsigned number = 0; number < log->count; number++) {
        struct page_entry entry = page_entry(page, end, number);
        size_t bytes = page_record_bytes(page, end, number);

        assert(number != 0 || entry.offset == 0);
        assert(entry.offset >= offset_before && entry.offset <= log->used_bytes);
        offset_before = entry.offset;
        assert(entry.dead || bytes >= 1);
        if (entry.dead)
            dead_bytes += bytes;
        else
            check_live(page_span(page, end, entry.offset, bytes), bytes);
        live += !entry.dead;
    }
    assert(log->live == live && log->dead_bytes == dead_bytes);
    assert(log->count == 0 || page_record_bytes(page, end, log->count - 1u) >= 1);
}

static void check_log(struct page_header *page, enum page_end end)
{
    const struct page_buddy *log = &page->buddies[end];
    size_t directory_bytes = (size_t)log->count * PAGE_ENTRY_BYTES;
    size_t tail = (size_t)page->chunks[end] * ZBUD_CHUNK_BYTES - log->used_bytes - directory_bytes;

    assert(log->count <= ZBUD_RECORDS_MAX && log->live <= log->count);
    assert(log->live >= 1 || (page->state == PAGE_OPEN && log->count == 0));   /* LOG-4 */
    assert(page->chunks[end] == page_log_chunks(log->used_bytes, log->count)); /* PAGE-3 */
    check_live(page_span(page, end, log->used_bytes, directory_bytes), directory_bytes);
    check_free(page_span(page, end, log->used_bytes + directory_bytes, tail), tail);
    check_directory(page, end);
}

static void check_buddy(struct page_header *page, enum page_end end)
{
    const struct page_buddy *buddy = &page->buddies[end];

    if (page->chunks[end] == 0) {
        assert(!page_is_log(page, end) && buddy->used_bytes == 0 && buddy->count == 0);
        assert(buddy->word == 0 && buddy->dead_bytes == 0 && buddy->live == 0);
    } else if (page_is_log(page, end)) {
        check_log(page, end);
    } else {
        assert(page->chunks[end] == page_chunks(buddy->used_bytes)); /* PAGE-3 */
        assert(buddy->count == 0 && buddy->dead_bytes == 0);
        check_live(page_buddy(page, end), buddy->used_bytes);
    }
}

/* ---- one page ------------------------------------------------------------------------------- */

/* LOG-5 and PAGE-4: page and slot name each other, and the slot knows the room. */
static void check_open(const struct zbud_pool *pool, struct page_header *page, uint32_t number)
{
    assert(page->open_slot < OPEN_SLOTS);
    const struct open_log *slot = &pool->open[page->open_slot];
    enum page_end end = handle_end(slot->log);

    assert(slot->log.bits == handle_pack(number, end).bits);
    assert(page_is_log(page, end));
    assert(slot->room_bytes == page_log_room(page, end) && slot->room_bytes >= 1);
}

void pool_check_page(const struct zbud_pool *pool, uint32_t number)
{
    struct page_header *page = pool_page(pool, number);
    unsigned list = 0;

    assert(number < pool->pages_max && page->pool == pool->number);
    assert(1u + page->chunks[PAGE_FIRST] + page->chunks[PAGE_LAST] <=
           ZBUD_PAGE_CHUNKS); /* PAGE-1 */
    check_buddy(page, PAGE_FIRST);
    check_buddy(page, PAGE_LAST);
    check_free(page_buddy(page, PAGE_FIRST) + page->chunks[PAGE_FIRST] * ZBUD_CHUNK_BYTES,
               page_free_chunks(page) * ZBUD_CHUNK_BYTES); /* PAGE-2 */
    if (page->state == PAGE_OPEN)
        check_open(pool, page, number);
    if (page->state == PAGE_AT_REST && page_buddies(page) == 1)
        list = page_free_chunks(page);
    assert(page->listed == list); /* POOL-2 */
    assert(page->state == PAGE_RECLAIMED ||
           zbud_arena_noted(pool->arena, number) == pool_page_note(page)); /* POOL-5 */
}

static void add_page(struct sums *sums, const struct page_header *page)
{
    sums->pages_by_buddies[page_buddies(page)]++;
    sums->chunks_used += page->chunks[PAGE_FIRST] + page->chunks[PAGE_LAST];
    sums->pages_listed += page->listed != 0;
    sums->open_logs += page->state == PAGE_OPEN;
    for (unsigned end = PAGE_FIRST; end <= PAGE_LAST; end++) {
        const struct page_buddy *buddy = &page->buddies[end];
        if (!page_is_log(page, (enum page_end)end))
            continue;
        sums->records += buddy->live;
        sums->live_bytes += (uint64_t)buddy->used_bytes - buddy->dead_bytes;
        sums->dead_bytes += buddy->dead_bytes;
    }
}

/* ---- the pool ------------------------------------------------------------------------------- */

/* POOL-1: the order of use holds every page once, and ages never fall. */
static void check_order(const struct zbud_pool *pool, struct sums *sums)
{
    uint32_t before = ZBUD_PAGE_NONE;
    uint64_t age = 0, pages = 0;
    bool ahead = false; /* of the walk */

    for (uint32_t number = pool->oldest; number != ZBUD_PAGE_NONE;) {
        const struct page_header *page = pool_page(pool, number);

        pool_check_page(pool, number);
        assert(page->state != PAGE_RECLAIMED && page_buddies(page) >= 1);
        assert(page->older == before && page->age >= age);
        pages++;
        assert(pages <= zbud_pool_pages(pool));
        add_page(sums, page);
        ahead = ahead || number == pool->walk_next;
        if ((page->marks & PAGE_MARK_WALKED) != pool->walk_mark) {
            assert(ahead); /* POOL-4 */
            sums->pages_unvisited++;
        }
        age = page->age;
        before = number;
        number = page->newer;
    }
    assert(pool->newest == before);
    assert(age <= zbud_arena_age(pool->arena));
}

/* POOL-2: the unbuddied lists hold what the pages say, and the mask what the lists hold. */
static void check_lists(const struct zbud_pool *pool, uint64_t pages_listed)
{
    uint64_t pages = 0;

    for (unsigned list = 0; list < ZBUD_PAGE_CHUNKS; list++) {
        uint32_t before = ZBUD_PAGE_NONE;

        assert((pool->unbuddied_mask >> list & 1u) == (pool->unbuddied[list] != ZBUD_PAGE_NONE));
        for (uint32_t number = pool->unbuddied[list]; number != ZBUD_PAGE_NONE;) {
            assert(number < pool->pages_max);
            const struct page_header *page = pool_page(pool, number);

            assert(page->pool == pool->number && page->listed == list && list != 0);
            assert(page->list_before == before);
            pages++;
            assert(pages <= pages_listed);
            before = number;
            number = page->list_after;
        }
    }
    assert(pages == pages_listed);
}

/* LOG-5: as many pages are open as slots are taken. */
static void check_slots(const struct zbud_pool *pool, unsigned open_logs)
{
    unsigned taken = 0;
    for (unsigned i = 0; i < OPEN_SLOTS; i++) {
        if (pool->open[i].log.bits == 0)
            continue;
        taken++;
        assert(pool_find_log(pool, pool->open[i].log).page->open_slot == i);
    }
    assert(taken == open_logs && taken == pool->open_count);
}

void zbud_pool_check(const struct zbud_pool *pool)
{
    struct sums sums = {{0}, 0, 0, 0, 0, 0, 0, 0};

    check_order(pool, &sums);
    check_lists(pool, sums.pages_listed);
    check_slots(pool, sums.open_logs);
    /* POOL-3: each counter is the sum over the pages. Inside evict() the page being reclaimed is in
     * no list and would be missing, so the check is for between operations. */
    for (unsigned buddies = 0; buddies < 3; buddies++)
        assert(sums.pages_by_buddies[buddies] == pool->pages_by_buddies[buddies]);
    assert(sums.pages_unvisited == pool->walk_unvisited);
    assert(sums.chunks_used == pool->chunks_used);
    assert(sums.records == pool->records);
    assert(sums.live_bytes == pool->live_bytes);
    assert(sums.dead_bytes == pool->dead_bytes);
}
