/*
 * page.h - one zbud page: at most two buddies, one at each end.
 *
 *   0        64                                                          4096
 *   +--------+------------------+-----------------------+----------------+
 *   | header | first buddy  --> |         slack         | <-- last buddy |
 *   +--------+------------------+-----------------------+----------------+
 *
 * Freeing either buddy leaves one run of free bytes, the largest the page can have. That is all the
 * fragmentation there is, and why a page can be reclaimed whole.
 *
 * A buddy is plain bytes (zbud_alloc) or a log of records (log.h). A log is measured from its own
 * end of the page, so that one piece of code serves both ends: at offset o from its end, a span of
 * n bytes lies
 *
 *   first buddy:  page + 64   + o        ..  page + 64   + o + n
 *   last buddy:   page + 4096 - o - n    ..  page + 4096 - o
 *
 * and a log is, in such offsets:
 *
 *   0          used_bytes        used_bytes + 2 * count     chunks * 64
 *   +----------+-----------------+-------------------------+
 *   | records  | directory       | less than a chunk, free |
 *   +----------+-----------------+-------------------------+
 *
 * Words: an *end* is 0 for the first buddy, 1 for the last.
 *
 * Invariants:
 *   PAGE-1  1 + chunks[0] + chunks[1] <= 64; 0 chunks is a free end.
 *   PAGE-2  Bytes that belong to no buddy, to a dead record, or to a buddy's last chunk behind its
 *           content are poisoned under AddressSanitizer.
 *   PAGE-3  plain: chunks = ceil(used_bytes / 64).
 *           log:   chunks = max(1, ceil((used_bytes + 2 * count) / 64)).
 *   PAGE-4  A page has at most one open log.
 *
 * Threads: none of its own; the caller holds the lock of the pool's owner.
 * Source: Linux mm/zbud.c struct zbud_header (Jennings 2013).
 */
#ifndef ZBUD_PAGE_H
#define ZBUD_PAGE_H

#include "zbud/arena.h"
#include "zbud/log.h"
#include "zbud/pool.h"

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

enum page_end {
    PAGE_FIRST = 0,
    PAGE_LAST = 1
};

enum page_state {
    PAGE_AT_REST = 0, /* its unbuddied list, or none, follows from its chunks */
    PAGE_OPEN,        /* holds an open log: in no unbuddied list */
    PAGE_RECLAIMED,   /* zbud_reclaim() is emptying it: in no list at all */
};

/* What the page knows of one buddy. A plain buddy has only used_bytes. */
struct page_buddy {
    uint64_t word; /* the user's */
    uint16_t used_bytes;
    uint16_t dead_bytes;
    uint16_t count; /* numbers given, dead ones included */
    uint16_t live;
};

/* Links are page numbers, not pointers, so that the arena may be mapped anywhere. */
struct page_header {
    uint64_t age;   /* zbud_arena_age() at its last use */
    uint32_t older; /* neighbours in the pool's order of use */
    uint32_t newer;
    uint32_t list_before; /* neighbours in its unbuddied list */
    uint32_t list_after;
    struct page_buddy buddies[2];
    uint8_t chunks[2];
    uint8_t marks;     /* PAGE_MARK_ */
    uint8_t state;     /* enum page_state */
    uint8_t listed;    /* the unbuddied list it is in; 0: in none */
    uint8_t open_slot; /* PAGE_OPEN: which of the pool's open logs */
    uint16_t pool;     /* number of the pool that owns the page; 0: none */
};

#define PAGE_MARK_LOG(end) (1u << (end)) /* the buddy at that end is a log */
#define PAGE_MARK_WALKED   4u            /* which of two values: see POOL-4 */

static_assert(sizeof(struct page_header) == ZBUD_CHUNK_BYTES, "the header is the first chunk");
static_assert(ZBUD_PAGE_CHUNKS * ZBUD_CHUNK_BYTES == ZBUD_PAGE_BYTES, "64 chunks are a page");

#define PAGE_CHUNKS_MAX  (ZBUD_PAGE_CHUNKS - 1u)
#define PAGE_ENTRY_BYTES ZBUD_RECORD_ENTRY_BYTES

static inline unsigned page_chunks(size_t bytes)
{
    return (unsigned)((bytes + ZBUD_CHUNK_BYTES - 1) / ZBUD_CHUNK_BYTES);
}

static inline enum page_end page_other(enum page_end end)
{
    return end == PAGE_FIRST ? PAGE_LAST : PAGE_FIRST;
}

static inline unsigned page_free_chunks(const struct page_header *page)
{
    return PAGE_CHUNKS_MAX - page->chunks[PAGE_FIRST] - page->chunks[PAGE_LAST];
}

static inline unsigned page_buddies(const struct page_header *page)
{
    return (page->chunks[PAGE_FIRST] != 0 ? 1u : 0u) + (page->chunks[PAGE_LAST] != 0 ? 1u : 0u);
}

static inline bool page_is_log(const struct page_header *page, enum page_end end)
{
    return (page->marks & PAGE_MARK_LOG(end)) != 0;
}

/** page_buddy() - the lowest byte of a buddy. */
static inline uint8_t *page_buddy(struct page_header *page, enum page_end end)
{
    uint8_t *bytes = (uint8_t *)page;
    if (end == PAGE_FIRST)
        return bytes + ZBUD_CHUNK_BYTES;
    return bytes + ZBUD_PAGE_BYTES - (size_t)page->chunks[PAGE_LAST] * ZBUD_CHUNK_BYTES;
}

/** page_span() - the lowest byte of @bytes bytes, @offset bytes away from the log's own end. */
static inline uint8_t *page_span(struct page_header *page, enum page_end end, size_t offset,
                                 size_t bytes)
{
    assert(offset + bytes <= ZBUD_BUDDY_BYTES_MAX);
    if (end == PAGE_FIRST)
        return (uint8_t *)page + ZBUD_CHUNK_BYTES + offset;
    return (uint8_t *)page + ZBUD_PAGE_BYTES - offset - bytes;
}

/* One entry of a log's directory. 15  13   12   11      0
 *                                 | tag | dead | offset | */
struct page_entry {
    unsigned offset; /* from the log's own end of the page */
    unsigned tag;
    bool dead;
};

static inline uint16_t page_entry_pack(struct page_entry entry)
{
    assert(entry.offset < ZBUD_PAGE_BYTES && entry.tag <= ZBUD_RECORD_TAG_MAX);
    return (uint16_t)(entry.offset | (entry.dead ? 1u << 12 : 0u) | entry.tag << 13);
}

static inline struct page_entry page_entry_unpack(uint16_t bits)
{
    struct page_entry entry = {bits & 0xfffu, bits >> 13, (bits >> 12 & 1u) != 0};
    return entry;
}

/** page_entry() - entry @number of a log's directory. It lies unaligned, hence the copy. */
static inline struct page_entry page_entry(struct page_header *page, enum page_end end,
                                           unsigned number)
{
    const struct page_buddy *log = &page->buddies[end];
    uint16_t bits;
    assert(number < log->count);
    memcpy(&bits, page_span(page, end, log->used_bytes + number * PAGE_ENTRY_BYTES, sizeof(bits)),
           sizeof(bits));
    return page_entry_unpack(bits);
}

static inline void page_entry_set(struct page_header *page, enum page_end end, unsigned number,
                                  struct page_entry entry)
{
    const struct page_buddy *log = &page->buddies[end];
    uint16_t bits = page_entry_pack(entry);
    assert(number < log->count);
    memcpy(page_span(page, end, log->used_bytes + number * PAGE_ENTRY_BYTES, sizeof(bits)), &bits,
           sizeof(bits));
}

/** page_record_bytes() - a record's length: the distance to its neighbour's offset. */
static inline size_t page_record_bytes(struct page_header *page, enum page_end end, unsigned number)
{
    const struct page_buddy *log = &page->buddies[end];
    unsigned after =
        number + 1u < log->count ? page_entry(page, end, number + 1).offset : log->used_bytes;
    return after - page_entry(page, end, number).offset;
}

/** page_log_chunks() - chunks that a log of that many bytes and numbers takes (PAGE-3). */
unsigned page_log_chunks(size_t used_bytes, unsigned count);
/** page_log_room() - the largest record the log could still take, 0 for none. */
size_t page_log_room(const struct page_header *page, enum page_end end);
/** page_start() - an empty page of that pool, in no list, its free bytes poisoned. */
void page_start(struct page_header *page, uint16_t pool_number);
/** page_log_move_directory() - the log's records now end at @used_bytes. */
void page_log_move_directory(struct page_header *page, enum page_end end, size_t used_bytes);
/** page_log_squeeze() - slide the live records together and drop trailing dead numbers. */
void page_log_squeeze(struct page_header *page, enum page_end end);

#endif
