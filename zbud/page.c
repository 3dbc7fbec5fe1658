/*
 * page.c - the bytes of one page: its header, its two ends, and the log inside a buddy.
 */
#include "zbud/page.h"

#include "zbud/poison.h"

unsigned page_log_chunks(size_t used_bytes, unsigned count)
{
    unsigned chunks = page_chunks(used_bytes + (size_t)count * PAGE_ENTRY_BYTES);
    return chunks == 0 ? 1 : chunks;
}

size_t page_log_room(const struct page_header *page, enum page_end end)
{
    const struct page_buddy *log = &page->buddies[end];
    size_t bytes = (size_t)(PAGE_CHUNKS_MAX - page->chunks[page_other(end)]) * ZBUD_CHUNK_BYTES;
    size_t taken = log->used_bytes + (log->count + 1u) * PAGE_ENTRY_BYTES;
    return log->count == ZBUD_RECORDS_MAX || bytes < taken ? 0 : bytes - taken;
}

void page_start(struct page_header *page, uint16_t pool_number)
{
    memset(page, 0, sizeof(*page));
    page->older = page->newer = ZBUD_PAGE_NONE;
    page->list_before = page->list_after = ZBUD_PAGE_NONE;
    page->pool = pool_number;
    POISON_FREE((uint8_t *)page + ZBUD_CHUNK_BYTES, ZBUD_BUDDY_BYTES_MAX);
}

void page_log_move_directory(struct page_header *page, enum page_end end, size_t used_bytes)
{
    struct page_buddy *log = &page->buddies[end];
    size_t bytes = (size_t)log->count * PAGE_ENTRY_BYTES;

    memmove(page_span(page, end, used_bytes, bytes), page_span(page, end, log->used_bytes, bytes),
            bytes);
    log->used_bytes = (uint16_t)used_bytes;
}

/* A dead record's neighbours are copied in one piece as long as they are alive in a row. */
static void slide_run(struct page_header *page, enum page_end end, size_t from, size_t to,
                      size_t bytes)
{
    if (bytes != 0 && from != to)
        memmove(page_span(page, end, to, bytes), page_span(page, end, from, bytes), bytes);
}

static void poison_log_tail(struct page_header *page, enum page_end end)
{
    const struct page_buddy *log = &page->buddies[end];
    size_t taken = log->used_bytes + (size_t)log->count * PAGE_ENTRY_BYTES;
    size_t tail = (size_t)page->chunks[end] * ZBUD_CHUNK_BYTES - taken;

    POISON_FREE(page_span(page, end, taken, tail), tail);
}

void page_log_squeeze(struct page_header *page, enum page_end end)
{
    struct page_buddy *log = &page->buddies[end];
    size_t run_from = 0, run_to = 0, run_bytes = 0;
    struct page_entry entry, next = {0};
    unsigned count = 0; /* up to the last live number */

    /* Dead bytes are written over: until the end of the slide the whole log may be touched. */
    POISON_LIVE(page_buddy(page, end), (size_t)page->chunks[end] * ZBUD_CHUNK_BYTES);
    if (log->count > 0)
        next = page_entry(page, end, 0);
    for (unsigned number = 0; number < log->count; number++) {
        size_t bytes, to;

        entry = next;
        if (number + 1u < log->count)
            next = page_entry(page, end, number + 1);
        else
            next.offset = log->used_bytes;
        bytes = next.offset - entry.offset;
        to = run_to + run_bytes;
        if (entry.dead) {
            slide_run(page, end, run_from, run_to, run_bytes);
            run_to += run_bytes;
            run_from = entry.offset + bytes;
            run_bytes = 0;
        } else {
            run_bytes += bytes;
            count = number + 1;
        }
        if (to != entry.offset) {
            entry.offset = (unsigned)to;
            page_entry_set(page, end, number, entry);
        }
    }
    slide_run(page, end, run_from, run_to, run_bytes);
    log->count = (uint16_t)count;
    log->dead_bytes = 0;
    page_log_move_directory(page, end, run_to + run_bytes);
    poison_log_tail(page, end);
}
