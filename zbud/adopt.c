/*
 * adopt.c - pages that another process left in a file: judged, and made a pool's.
 *
 * Nothing in such a page is believed before it was compared with the rest: it may have been left in
 * the middle of a change, or damaged, or made by an enemy.
 */
#include "zbud/pool_inside.h"

/* LOG-2, LOG-3 and LOG-1's dead bytes, of a directory that lies within the page. */
static bool directory_sound(struct page_header *page, enum page_end end)
{
    const struct page_buddy *log = &page->buddies[end];
    size_t dead_bytes = 0;
    unsigned live = 0;

    if (page_entry(page, end, 0).offset != 0)
        return false;
    for (unsigned number = 0; number < log->count; number++) {
        struct page_entry entry = page_entry(page, end, number);
        unsigned after = log->used_bytes;
        bool last = number + 1u == log->count;

        if (!last)
            after = page_entry(page, end, number + 1u).offset;
        if (after < entry.offset || (after == entry.offset && (last || !entry.dead)))
            return false;
        dead_bytes += entry.dead ? after - entry.offset : 0;
        live += !entry.dead;
    }
    return live == log->live && dead_bytes == log->dead_bytes;
}

/* The chunks of both ends fit the page together. */
static bool log_sound(struct page_header *page, enum page_end end)
{
    const struct page_buddy *log = &page->buddies[end];

    return page->chunks[end] != 0 && page_is_log(page, end) && log->count >= 1 &&
           log->count <= ZBUD_RECORDS_MAX && log->live >= 1 && log->live <= log->count &&
           log->used_bytes >= 1 && log->used_bytes <= ZBUD_BUDDY_BYTES_MAX &&
           page->chunks[end] == page_log_chunks(log->used_bytes, log->count) &&
           directory_sound(page, end);
}

/* PAGE-2 for a page whose bytes were all untouched by poison. */
static void poison(struct page_header *page)
{
    POISON_FREE((uint8_t *)page + ZBUD_CHUNK_BYTES, ZBUD_BUDDY_BYTES_MAX);
    for (unsigned i = PAGE_FIRST; i <= PAGE_LAST; i++) {
        enum page_end end = (enum page_end)i;
        const struct page_buddy *log = &page->buddies[end];
        size_t directory_bytes = log->count * PAGE_ENTRY_BYTES;

        POISON_LIVE(page_span(page, end, log->used_bytes, directory_bytes), directory_bytes);
        for (unsigned number = 0; number < log->count; number++) {
            struct page_entry entry = page_entry(page, end, number);
            size_t bytes = page_record_bytes(page, end, number);

            if (!entry.dead)
                POISON_LIVE(page_span(page, end, entry.offset, bytes), bytes);
        }
    }
}

void zbud_page_ask(const struct zbud_arena *arena, uint32_t page, struct zbud_page_says *says)
{
    const struct page_header *header = zbud_arena_page(arena, page);

    says->pool = header->pool;
    says->records = header->buddies[PAGE_FIRST].live + header->buddies[PAGE_LAST].live;
    says->age = header->age;
}

bool zbud_pool_adopt(struct zbud_pool *pool, uint32_t number, uint64_t age,
                     struct zbud_handle logs[2], unsigned *count)
{
    struct page_header *page = pool_page(pool, number);
    bool sound[2] = {false, false};

    assert(number < pool->pages_max);
    if (page->pool != pool->number ||
        page->chunks[PAGE_FIRST] + page->chunks[PAGE_LAST] > (int)PAGE_CHUNKS_MAX)
        return false;
    sound[PAGE_FIRST] = log_sound(page, PAGE_FIRST);
    sound[PAGE_LAST] = log_sound(page, PAGE_LAST);
    *count = 0;
    if (!sound[PAGE_FIRST] && !sound[PAGE_LAST])
        return false;
    page->marks = 0;
    page->state = PAGE_AT_REST;
    page->listed = 0;
    page->open_slot = 0;
    for (unsigned end = PAGE_FIRST; end <= PAGE_LAST; end++) {
        if (sound[end]) {
            page->marks |= (uint8_t)PAGE_MARK_LOG(end);
            logs[(*count)++] = handle_pack(number, (enum page_end)end);
        } else {
            page->chunks[end] = 0;
            page->buddies[end] = (struct page_buddy){0};
        }
    }
    poison(page);
    pool_join(pool, page, number, age);
    return true;
}
