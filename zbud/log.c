/*
 * log.c - records in logs, and which logs are open.
 */
#include "zbud/log.h"

#include "zbud/pool_inside.h"

/* ---- open logs ------------------------------------------------------------------------------ */

struct open_log *pool_open_slot(struct zbud_pool *pool, struct place place)
{
    struct open_log *slot = &pool->open[place.page->open_slot];

    if (place.page->state != PAGE_OPEN)
        return NULL;
    assert(handle_page(slot->log) == place.number);
    return handle_end(slot->log) == place.end ? slot : NULL;
}

void pool_measure_room(struct zbud_pool *pool, struct page_header *page)
{
    struct open_log *slot = &pool->open[page->open_slot];
    slot->room_bytes = page_log_room(page, handle_end(slot->log));
}

bool pool_close_log(struct zbud_pool *pool, struct open_log *slot)
{
    struct place place = pool_find_log(pool, slot->log);

    assert(place.page->state == PAGE_OPEN);
    if (place.page->buddies[place.end].count == 0)
        return pool_free(pool, place);
    if (pool->granted.bits == slot->log.bits)
        pool->granted.bits = 0;
    slot->log.bits = 0;
    pool->open_count--;
    place.page->state = PAGE_AT_REST;
    pool_relist(pool, place.page, place.number);
    pool_changed(pool, place.number);
    return false;
}

/* The first of the ZBUD_LOGS_OPEN slots a kind may use. Kinds are small numbers whose bits mean
 * things: the multiplier (2^32 over the golden ratio) spreads them. */
static struct open_log *open_set(struct zbud_pool *pool, unsigned kind)
{
    uint32_t mixed = (uint32_t)kind * 0x9e3779b1u >> 16;
    return &pool->open[mixed % (ZBUD_LOGS_OPEN_MAX / ZBUD_LOGS_OPEN) * ZBUD_LOGS_OPEN];
}

/* The open log of that kind with the least room that still has @bytes; NULL where none has. */
static struct open_log *open_fitting(struct open_log *set, unsigned kind, size_t bytes)
{
    struct open_log *best = NULL;

    for (struct open_log *slot = set; slot < set + ZBUD_LOGS_OPEN; slot++) {
        if (slot->log.bits != 0 && slot->kind == kind && slot->room_bytes >= bytes &&
            (best == NULL || slot->room_bytes < best->room_bytes))
            best = slot;
    }
    return best;
}

/* The one of two slots, either of which may be NULL, whose log was appended to longer ago. */
static struct open_log *idler(struct open_log *one, struct open_log *other)
{
    if (one == NULL || other == NULL)
        return one == NULL ? other : one;
    return one->appended <= other->appended ? one : other;
}

static bool few_open(const struct zbud_pool *pool)
{
    uint64_t pages = pool->pages_by_buddies[1] + pool->pages_by_buddies[2];
    return pool->open_count < ZBUD_LOGS_OPEN ||
           (uint64_t)pool->open_count * ZBUD_LOGS_OPEN_PART < pages;
}

/* A free slot where the kind has none or few are open, or else the one of the kind whose log was
 * appended to longest ago; of all kinds, where the kind has none. Not the log with the least room:
 * where all records are of like size that would be the same again and again, and the others' room
 * wasted. */
static struct open_log *open_replaceable(const struct zbud_pool *pool, struct open_log *set,
                                         unsigned kind)
{
    struct open_log *vacant = NULL, *idlest = NULL, *idlest_of_kind = NULL;

    for (struct open_log *slot = set; slot < set + ZBUD_LOGS_OPEN; slot++) {
        if (slot->log.bits == 0) {
            vacant = vacant == NULL ? slot : vacant;
            continue;
        }
        idlest = idler(idlest, slot);
        if (slot->kind == kind)
            idlest_of_kind = idler(idlest_of_kind, slot);
    }
    if (vacant != NULL && (idlest_of_kind == NULL || few_open(pool)))
        return vacant;
    return idlest_of_kind != NULL ? idlest_of_kind : idlest;
}

/* A new log for @bytes takes the place of the slot's log. On failure nothing has changed. */
static enum zbud_status open_new(struct zbud_pool *pool, size_t bytes, struct open_log *slot)
{
    struct place place;

    if (pool_place(pool, page_log_chunks(bytes, 1), &place) != ZBUD_OK)
        return ZBUD_NO_PAGE;
    place.page->marks |= (uint8_t)PAGE_MARK_LOG(place.end);
    place.page->buddies[place.end] = (struct page_buddy){0};
    pool_resize(pool, place.page, place.end, page_log_chunks(0, 0));
    place.page->state = PAGE_OPEN;
    place.page->open_slot = (uint8_t)(slot - pool->open);
    pool_relist(pool, place.page, place.number);
    if (slot->log.bits != 0)
        (void)pool_close_log(pool, slot);
    slot->log = handle_pack(place.number, place.end);
    pool->open_count++;
    slot->appended = pool->appended;
    pool_measure_room(pool, place.page);
    pool_changed(pool, place.number);
    return ZBUD_OK;
}

/* The slot for a log of one record. What an earlier call left there is empty, or it were closed. */
static enum zbud_status open_alone(struct zbud_pool *pool, size_t bytes)
{
    struct open_log *slot = &pool->open[OPEN_SLOT_ALONE];

    if (slot->log.bits != 0 && slot->room_bytes < bytes)
        (void)pool_close_log(pool, slot);
    if (slot->log.bits == 0)
        return open_new(pool, bytes, slot);
    zbud_log_set_word(pool, slot->log, 0);
    return ZBUD_OK;
}

enum zbud_status zbud_log_open(struct zbud_pool *pool, unsigned kind, size_t bytes_max,
                               struct zbud_handle *log)
{
    enum zbud_status status = ZBUD_OK;
    struct open_log *slot, *set = open_set(pool, kind);

    if (bytes_max == 0)
        return ZBUD_BAD_SIZE;
    if (bytes_max > ZBUD_RECORD_BYTES_MAX)
        return ZBUD_TOO_LARGE;
    if (page_log_chunks(bytes_max, 1) >= ZBUD_RECORD_ALONE_CHUNKS) {
        slot = &pool->open[OPEN_SLOT_ALONE];
        status = open_alone(pool, bytes_max);
    } else {
        slot = open_fitting(set, kind, bytes_max);
        if (slot == NULL) {
            slot = open_replaceable(pool, set, kind);
            status = open_new(pool, bytes_max, slot);
        }
    }
    if (status != ZBUD_OK)
        return status;
    slot->kind = kind;
    pool->granted = slot->log;
    pool->granted_bytes = bytes_max;
    *log = slot->log;
    return ZBUD_OK;
}

bool zbud_log_close(struct zbud_pool *pool, struct zbud_handle log)
{
    struct place place = pool_find_log(pool, log);
    struct open_log *slot = pool_open_slot(pool, place);
    bool empty;

    if (slot == NULL)
        return false;
    empty = place.page->buddies[place.end].count == 0;
    (void)pool_close_log(pool, slot);
    return empty; /* not whether its page is gone too: there may be another buddy */
}

uint64_t zbud_log_word(const struct zbud_pool *pool, struct zbud_handle log)
{
    struct place place = pool_find_log(pool, log);
    return place.page->buddies[place.end].word;
}

void zbud_log_set_word(struct zbud_pool *pool, struct zbud_handle log, uint64_t word)
{
    struct place place = pool_find_log(pool, log);
    place.page->buddies[place.end].word = word;
}

/* ---- records -------------------------------------------------------------------------------- */

/* The log grows by one record; its directory moves over by the record's length. */
static uint8_t *write_record(struct place place, size_t bytes, unsigned tag)
{
    struct page_buddy *log = &place.page->buddies[place.end];
    struct page_entry entry = {log->used_bytes, tag, false};
    size_t grown = bytes + (log->count + 1u) * PAGE_ENTRY_BYTES;

    POISON_LIVE(page_span(place.page, place.end, entry.offset, grown), grown);
    page_log_move_directory(place.page, place.end, entry.offset + bytes);
    log->count++;
    log->live++;
    page_entry_set(place.page, place.end, log->count - 1u, entry);
    return page_span(place.page, place.end, entry.offset, bytes);
}

unsigned zbud_log_append(struct zbud_pool *pool, struct zbud_handle log, size_t bytes, unsigned tag,
                         void **data)
{
    struct place place = pool_find_log(pool, log);
    struct open_log *slot = pool_open_slot(pool, place);
    const struct page_buddy *buddy = &place.page->buddies[place.end];
    unsigned number = buddy->count;

    assert(slot != NULL && pool->granted.bits == log.bits);
    assert(bytes >= 1 && bytes <= pool->granted_bytes && tag <= ZBUD_RECORD_TAG_MAX);
    pool->granted.bits = 0;
    pool_resize(pool, place.page, place.end,
                page_log_chunks(buddy->used_bytes + bytes, number + 1u));
    *data = write_record(place, bytes, tag);
    slot->appended = ++pool->appended;
    pool->records++;
    pool->live_bytes += bytes;
    pool_use(pool, place.page, place.number);
    pool_measure_room(pool, place.page);
    if (slot == &pool->open[OPEN_SLOT_ALONE] || slot->room_bytes == 0)
        (void)pool_close_log(pool, slot);
    pool_changed(pool, place.number);
    return number;
}

bool zbud_log_is_open(struct zbud_pool *pool, struct zbud_handle log)
{
    return pool_open_slot(pool, pool_find_log(pool, log)) != NULL;
}

void *zbud_log_record(const struct zbud_pool *pool, struct zbud_handle log, unsigned number,
                      size_t *bytes, unsigned *tag)
{
    struct place place = pool_find_log(pool, log);
    struct page_entry entry;

    if (number >= place.page->buddies[place.end].count)
        return NULL;
    entry = page_entry(place.page, place.end, number);
    if (entry.dead)
        return NULL;
    *bytes = page_record_bytes(place.page, place.end, number);
    *tag = entry.tag;
    return page_span(place.page, place.end, entry.offset, *bytes);
}

void zbud_log_fetch(const struct zbud_pool *pool, struct zbud_handle log)
{
    __builtin_prefetch(pool_page(pool, handle_page(log)));
}

void zbud_log_fetch_record(const struct zbud_pool *pool, struct zbud_handle log, unsigned number)
{
    struct place place = pool_find_log(pool, log);
    const struct page_buddy *buddy = &place.page->buddies[place.end];
    size_t offset = buddy->used_bytes + number * PAGE_ENTRY_BYTES;

    assert(number < buddy->count);
    __builtin_prefetch(page_span(place.page, place.end, offset, PAGE_ENTRY_BYTES));
}

unsigned zbud_log_records(const struct zbud_pool *pool, struct zbud_handle log)
{
    struct place place = pool_find_log(pool, log);
    return place.page->buddies[place.end].count;
}

unsigned zbud_log_live(const struct zbud_pool *pool, struct zbud_handle log)
{
    struct place place = pool_find_log(pool, log);
    return place.page->buddies[place.end].live;
}

bool zbud_log_kill(struct zbud_pool *pool, struct zbud_handle log, unsigned number)
{
    struct place place = pool_find_log(pool, log);
    struct page_buddy *buddy = &place.page->buddies[place.end];
    struct page_entry entry = page_entry(place.page, place.end, number);
    size_t bytes = page_record_bytes(place.page, place.end, number);

    assert(!entry.dead);
    if (buddy->live == 1) {
        (void)pool_free(pool, place);
        return true;
    }
    entry.dead = true;
    page_entry_set(place.page, place.end, number, entry);
    POISON_FREE(page_span(place.page, place.end, entry.offset, bytes), bytes);
    buddy->live--;
    buddy->dead_bytes = (uint16_t)(buddy->dead_bytes + bytes);
    pool->records--;
    pool->live_bytes -= bytes;
    pool->dead_bytes += bytes;
    pool_changed(pool, place.number);
    return false;
}

void zbud_log_bytes(const struct zbud_pool *pool, struct zbud_handle log, size_t *live_bytes,
                    size_t *dead_bytes)
{
    struct place place = pool_find_log(pool, log);
    const struct page_buddy *buddy = &place.page->buddies[place.end];

    *live_bytes = (size_t)buddy->used_bytes - buddy->dead_bytes;
    *dead_bytes = buddy->dead_bytes;
}

static bool is_alone(const struct page_header *page, enum page_end end)
{
    return page->chunks[end] >= ZBUD_RECORD_ALONE_CHUNKS && page->buddies[end].count == 1;
}

unsigned zbud_log_page(const struct zbud_pool *pool, struct zbud_handle log,
                       struct zbud_handle logs[2])
{
    struct place place = pool_find_log(pool, log);
    const struct page_header *page = place.page;

    if (page->state != PAGE_AT_REST)
        return 0;
    if (page_buddies(page) == 1) {
        logs[0] = log;
        return 1;
    }
    if (!page_is_log(page, page_other(place.end)) || is_alone(page, PAGE_FIRST) ||
        is_alone(page, PAGE_LAST))
        return 0;
    logs[0] = handle_pack(place.number, PAGE_FIRST);
    logs[1] = handle_pack(place.number, PAGE_LAST);
    return 2;
}

void zbud_log_squeeze(struct zbud_pool *pool, struct zbud_handle log)
{
    struct place place = pool_find_log(pool, log);
    struct page_buddy *buddy = &place.page->buddies[place.end];

    if (buddy->dead_bytes == 0)
        return; /* dead numbers without bytes can only lie below live ones (LOG-3) */
    pool->dead_bytes -= buddy->dead_bytes;
    pool->logs_squeezed++;
    page_log_squeeze(place.page, place.end);
    pool_resize(pool, place.page, place.end, page_log_chunks(buddy->used_bytes, buddy->count));
    if (place.page->state == PAGE_OPEN)
        pool_measure_room(pool, place.page);
    pool_relist(pool, place.page, place.number);
    pool_changed(pool, place.number);
}
