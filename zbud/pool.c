/*
 * pool.c - finding room for buddies, the order of use, reclaim, and the walk.
 */
#include "zbud/pool.h"

#include "zbud/pool_inside.h"

#include <stdlib.h>

/* ---- the order of use ----------------------------------------------------------------------- */

static void use_append_aged(struct zbud_pool *pool, struct page_header *page, uint32_t number,
                            uint64_t age)
{
    page->older = pool->newest;
    page->newer = ZBUD_PAGE_NONE;
    if (pool->newest != ZBUD_PAGE_NONE)
        pool_page(pool, pool->newest)->newer = number;
    else
        pool->oldest = number;
    pool->newest = number;
    page->age = age;
}

static void use_append(struct zbud_pool *pool, struct page_header *page, uint32_t number)
{
    use_append_aged(pool, page, number, zbud_arena_next_age(pool->arena));
}

static void use_remove(struct zbud_pool *pool, struct page_header *page, uint32_t number)
{
    if (page->older != ZBUD_PAGE_NONE)
        pool_page(pool, page->older)->newer = page->newer;
    else
        pool->oldest = page->newer;
    if (page->newer != ZBUD_PAGE_NONE)
        pool_page(pool, page->newer)->older = page->older;
    else
        pool->newest = page->older;
    if (pool->walk_next == number)
        pool->walk_next = page->newer;
}

static bool is_unvisited(const struct zbud_pool *pool, const struct page_header *page)
{
    return (page->marks & PAGE_MARK_WALKED) != pool->walk_mark;
}

/* The page leaves the order for good, not for its other end; a walk waits for it no longer. */
static void use_leave(struct zbud_pool *pool, struct page_header *page, uint32_t number)
{
    use_remove(pool, page, number);
    if (is_unvisited(pool, page))
        pool->walk_unvisited--;
}

void pool_use(struct zbud_pool *pool, struct page_header *page, uint32_t number)
{
    if (page->state == PAGE_RECLAIMED)
        return;
    if (pool->newest == number) {
        /* Nothing to move; a load spares the line that all pools write. */
        page->age = zbud_arena_age(pool->arena);
        return;
    }
    use_remove(pool, page, number);
    use_append(pool, page, number);
}

/* ---- the unbuddied lists -------------------------------------------------------------------- */

static void unlist(struct zbud_pool *pool, struct page_header *page)
{
    unsigned list = page->listed;

    if (list == 0)
        return;
    if (page->list_before != ZBUD_PAGE_NONE)
        pool_page(pool, page->list_before)->list_after = page->list_after;
    else
        pool->unbuddied[list] = page->list_after;
    if (page->list_after != ZBUD_PAGE_NONE)
        pool_page(pool, page->list_after)->list_before = page->list_before;
    if (pool->unbuddied[list] == ZBUD_PAGE_NONE)
        pool->unbuddied_mask &= ~(UINT64_C(1) << list);
    page->listed = 0;
}

static void enlist(struct zbud_pool *pool, struct page_header *page, uint32_t number, unsigned list)
{
    page->list_before = ZBUD_PAGE_NONE;
    page->list_after = pool->unbuddied[list];
    if (page->list_after != ZBUD_PAGE_NONE)
        pool_page(pool, page->list_after)->list_before = number;
    pool->unbuddied[list] = number;
    pool->unbuddied_mask |= UINT64_C(1) << list;
    page->listed = (uint8_t)list;
}

void pool_relist(struct zbud_pool *pool, struct page_header *page, uint32_t number)
{
    unsigned list = 0;

    if (page->state == PAGE_AT_REST && page_buddies(page) == 1)
        list = page_free_chunks(page);
    if (list == page->listed)
        return;
    unlist(pool, page);
    if (list != 0)
        enlist(pool, page, number, list);
}

/* ---- pages and buddies ---------------------------------------------------------------------- */

void pool_resize(struct zbud_pool *pool, struct page_header *page, enum page_end end,
                 unsigned chunks)
{
    pool->pages_by_buddies[page_buddies(page)]--;
    pool->chunks_used -= page->chunks[end];
    assert(chunks + page->chunks[page_other(end)] <= PAGE_CHUNKS_MAX); /* PAGE-1 */
    page->chunks[end] = (uint8_t)chunks;
    pool->chunks_used += chunks;
    pool->pages_by_buddies[page_buddies(page)]++;
}

static enum zbud_status take_page(struct zbud_pool *pool, struct place *place)
{
    uint32_t number;

    if (zbud_arena_take(pool->arena, &number) != ZBUD_OK)
        return ZBUD_NO_PAGE;
    place->number = number;
    place->page = pool_page(pool, number);
    place->end = PAGE_FIRST;
    page_start(place->page, pool->number);
    place->page->marks = pool->walk_mark; /* a walk under way need not come here */
    pool->pages_by_buddies[0]++;
    use_append(pool, place->page, number);
    return ZBUD_OK;
}

/* The page is in no list any more. */
static void give_page(struct zbud_pool *pool, struct page_header *page, uint32_t number)
{
    assert(page_buddies(page) == 0 && page->listed == 0);
    pool->pages_by_buddies[0]--;
    if (pool->walk_page == number)
        pool->walk_page = ZBUD_PAGE_NONE;
    page->pool = 0; /* a stale handle finds no owner */
    zbud_arena_give(pool->arena, number);
}

enum zbud_status pool_place(struct zbud_pool *pool, unsigned chunks, struct place *place)
{
    uint64_t fitting = pool->unbuddied_mask & ~UINT64_C(0) << chunks;

    assert(chunks >= 1 && chunks <= PAGE_CHUNKS_MAX);
    if (fitting == 0)
        return take_page(pool, place);
    place->number = pool->unbuddied[__builtin_ctzll(fitting)];
    place->page = pool_page(pool, place->number);
    place->end = place->page->chunks[PAGE_FIRST] == 0 ? PAGE_FIRST : PAGE_LAST;
    pool_use(pool, place->page, place->number);
    return ZBUD_OK;
}

static void forget_buddy(struct zbud_pool *pool, struct place place)
{
    struct page_header *page = place.page;
    struct page_buddy *buddy = &page->buddies[place.end];

    if (page_is_log(page, place.end)) {
        pool->records -= buddy->live;
        pool->live_bytes -= (uint64_t)buddy->used_bytes - buddy->dead_bytes;
        pool->dead_bytes -= buddy->dead_bytes;
    }
    POISON_FREE(page_buddy(page, place.end), (size_t)page->chunks[place.end] * ZBUD_CHUNK_BYTES);
    *buddy = (struct page_buddy){0};
    page->marks &= (uint8_t)~PAGE_MARK_LOG(place.end);
    pool_resize(pool, page, place.end, 0);
}

bool pool_free(struct zbud_pool *pool, struct place place)
{
    struct page_header *page = place.page;
    struct open_log *slot = pool_open_slot(pool, place);

    if (slot != NULL) {
        if (pool->granted.bits == slot->log.bits)
            pool->granted.bits = 0;
        slot->log.bits = 0;
        pool->open_count--;
        page->state = PAGE_AT_REST;
    }
    forget_buddy(pool, place);
    if (page->state == PAGE_OPEN)
        pool_measure_room(pool, page);
    if (page->state == PAGE_RECLAIMED)
        return false; /* zbud_reclaim() gives the page away itself */
    pool_relist(pool, page, place.number);
    if (page_buddies(page) == 0) {
        use_leave(pool, page, place.number);
        give_page(pool, page, place.number);
        return true;
    }
    pool_changed(pool, place.number);
    return false;
}

/* ---- the pool itself ------------------------------------------------------------------------ */

struct zbud_pool *zbud_pool_create(struct zbud_arena *arena)
{
    struct zbud_arena_figures figures;
    struct zbud_pool *pool = malloc(sizeof(*pool));

    if (pool == NULL)
        return NULL;
    zbud_arena_figures(arena, &figures);
    *pool = (struct zbud_pool){.arena = arena,
                               .base = zbud_arena_page(arena, 0),
                               .pages_max = (uint32_t)figures.pages_max,
                               .number = zbud_arena_enroll(arena),
                               .oldest = ZBUD_PAGE_NONE,
                               .newest = ZBUD_PAGE_NONE,
                               .walk_next = ZBUD_PAGE_NONE,
                               .walk_page = ZBUD_PAGE_NONE};
    for (unsigned list = 0; list < ZBUD_PAGE_CHUNKS; list++)
        pool->unbuddied[list] = ZBUD_PAGE_NONE;
    return pool;
}

void zbud_pool_destroy(struct zbud_pool *pool)
{
    if (pool == NULL)
        return;
    for (uint32_t number = pool->oldest, newer; number != ZBUD_PAGE_NONE; number = newer) {
        struct page_header *page = pool_page(pool, number);
        newer = page->newer;
        page->pool = 0;
        zbud_arena_give(pool->arena, number);
    }
    free(pool);
}

void zbud_pool_leave(struct zbud_pool *pool)
{
    free(pool);
}

void pool_join(struct zbud_pool *pool, struct page_header *page, uint32_t number, uint64_t age)
{
    zbud_arena_reach_age(pool->arena, age);
    page->marks |= pool->walk_mark;
    pool->pages_by_buddies[page_buddies(page)]++;
    pool->chunks_used += page->chunks[PAGE_FIRST] + page->chunks[PAGE_LAST];
    for (unsigned end = PAGE_FIRST; end <= PAGE_LAST; end++) {
        const struct page_buddy *log = &page->buddies[end];
        pool->records += log->live;
        pool->live_bytes += (uint64_t)log->used_bytes - log->dead_bytes;
        pool->dead_bytes += log->dead_bytes;
    }
    use_append_aged(pool, page, number, age);
    pool_relist(pool, page, number);
    pool_changed(pool, number);
}

enum zbud_status zbud_alloc(struct zbud_pool *pool, size_t bytes, struct zbud_handle *handle)
{
    struct place place;

    if (bytes == 0)
        return ZBUD_BAD_SIZE;
    if (bytes > ZBUD_BUDDY_BYTES_MAX)
        return ZBUD_TOO_LARGE;
    if (pool_place(pool, page_chunks(bytes), &place) != ZBUD_OK)
        return ZBUD_NO_PAGE;
    pool_resize(pool, place.page, place.end, page_chunks(bytes));
    place.page->buddies[place.end].used_bytes = (uint16_t)bytes;
    POISON_LIVE(page_buddy(place.page, place.end), bytes);
    pool_relist(pool, place.page, place.number);
    pool_changed(pool, place.number);
    *handle = handle_pack(place.number, place.end);
    return ZBUD_OK;
}

void zbud_free(struct zbud_pool *pool, struct zbud_handle handle)
{
    (void)pool_free(pool, pool_find(pool, handle));
}

void *zbud_map(struct zbud_pool *pool, struct zbud_handle handle)
{
    struct place place = pool_find(pool, handle);
    return page_buddy(place.page, place.end);
}

void zbud_unmap(struct zbud_pool *pool, struct zbud_handle handle)
{
    (void)pool_find(pool, handle); /* all pages are mapped: only the handle can be wrong */
}

void zbud_touch(struct zbud_pool *pool, struct zbud_handle handle)
{
    struct place place = pool_find(pool, handle);
    pool_use(pool, place.page, place.number);
}

/* ---- reclaim -------------------------------------------------------------------------------- */

static void evict_buddy(struct zbud_pool *pool, uint32_t number, enum page_end end,
                        zbud_evict_fn *evict, void *owner)
{
    const struct page_header *page = pool_page(pool, number);

    if (page->chunks[end] == 0)
        return;
    evict(owner, handle_pack(number, end));
    assert(page->chunks[end] == 0); /* evict's duty */
}

enum zbud_status zbud_reclaim(struct zbud_pool *pool, zbud_evict_fn *evict, void *owner)
{
    uint32_t number = pool->oldest;
    struct page_header *page;

    assert(!pool->reclaiming);
    if (number == ZBUD_PAGE_NONE)
        return ZBUD_NO_PAGE;
    pool->pages_reclaimed++;
    page = pool_page(pool, number);
    if (page->state == PAGE_OPEN && pool_close_log(pool, &pool->open[page->open_slot]))
        return ZBUD_OK; /* an empty log was all it held */
    unlist(pool, page);
    use_leave(pool, page, number);
    page->state = PAGE_RECLAIMED;
    pool->reclaiming = true;
    evict_buddy(pool, number, PAGE_FIRST, evict, owner);
    evict_buddy(pool, number, PAGE_LAST, evict, owner);
    pool->reclaiming = false;
    give_page(pool, page, number);
    return ZBUD_OK;
}

uint64_t zbud_pool_oldest(const struct zbud_pool *pool)
{
    uint32_t number = pool->oldest;
    return number == ZBUD_PAGE_NONE ? UINT64_MAX : pool_page(pool, number)->age;
}

/* ---- the walk ------------------------------------------------------------------------------- */

static void visit_buddy(struct zbud_pool *pool, uint32_t number, enum page_end end,
                        zbud_visit_fn *visit, void *owner)
{
    const struct page_header *page = pool_page(pool, number);

    if (pool->walk_page != number)
        return; /* the page left the pool during the visit of its other buddy */
    if (page->chunks[end] == 0)
        return;
    if (page_is_log(page, end) && page->buddies[end].count == 0)
        return; /* just opened */
    visit(owner, handle_pack(number, end));
}

/* Every page of the pool loses its mark at once, by changing what the mark looks like. */
static void begin_round(struct zbud_pool *pool)
{
    pool->walk_mark ^= PAGE_MARK_WALKED;
    pool->walk_unvisited = zbud_pool_pages(pool);
    pool->walk_next = pool->oldest;
}

bool zbud_walk(struct zbud_pool *pool, size_t pages_max, zbud_visit_fn *visit, void *owner)
{
    assert(!pool->walking && !pool->reclaiming);
    pool->walking = true;
    if (pool->walk_unvisited == 0)
        begin_round(pool);
    for (size_t i = 0; i < pages_max && pool->walk_unvisited != 0; i++) {
        uint32_t number = pool->walk_next; /* POOL-4: it is one */
        struct page_header *page = pool_page(pool, number);

        pool->walk_next = page->newer;
        if (!is_unvisited(pool, page))
            continue;
        page->marks ^= PAGE_MARK_WALKED;
        pool->walk_unvisited--;
        pool->walk_page = number;
        visit_buddy(pool, number, PAGE_FIRST, visit, owner);
        visit_buddy(pool, number, PAGE_LAST, visit, owner);
        pool->walk_page = ZBUD_PAGE_NONE;
    }
    pool->walking = false;
    return pool->walk_unvisited == 0;
}

/* ---- figures -------------------------------------------------------------------------------- */

size_t zbud_pool_pages(const struct zbud_pool *pool)
{
    return pool->pages_by_buddies[0] + pool->pages_by_buddies[1] + pool->pages_by_buddies[2];
}

void zbud_pool_figures(const struct zbud_pool *pool, struct zbud_pool_figures *figures)
{
    uint64_t pages = zbud_pool_pages(pool);

    *figures = (struct zbud_pool_figures){
        .pages = pages,
        .pages_buddied = pool->pages_by_buddies[2],
        .pages_unbuddied = pool->pages_by_buddies[1],
        .chunks_used = pool->chunks_used,
        .slack_bytes = (pages * PAGE_CHUNKS_MAX - pool->chunks_used) * ZBUD_CHUNK_BYTES,
        .records = pool->records,
        .live_bytes = pool->live_bytes,
        .dead_bytes = pool->dead_bytes,
        .pages_reclaimed = pool->pages_reclaimed,
        .logs_squeezed = pool->logs_squeezed,
    };
}
