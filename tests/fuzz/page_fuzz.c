/*
 * page_fuzz.c - damaged pages: zbud_pool_check() stops the program at them, or what it lets pass
 * can be read, changed and emptied to the end without a step outside.
 *
 * That check is what stands between a page that was not kept by this process and everybody else:
 * readers of a log trust its directory. A check that fails is an assert, caught here.
 *
 *   [0] bytes of the script   script: records appended and killed, buddies, logs squeezed
 *   then damage, 3 bytes each: [0, 1] where in the pool's pages (12 bits in, 4 bits which), [2] XOR
 */
#include "zbud/page.h"
#include "zbud/poison.h"
#include "zbud/pool_inside.h"

#include <assert.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    PAGES_MAX = 16,
    HANDLES_MAX = 64,
    STEPS_MAX = 512,
    DAMAGE_BYTES = 3,
    SIZE_UNIT = 17
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- asserts, while the check is being asked ---- */

static jmp_buf refused;
static bool asking;

void __assert_fail(const char *assertion, const char *file, unsigned line, const char *function)
{
    if (asking)
        longjmp(refused, 1);
    (void)fprintf(stderr, "%s:%u: %s: Assertion `%s' failed.\n", file, line, function, assertion);
    abort();
}

/* ---- a pool ---- */

struct rig {
    struct zbud_arena *arena;
    struct zbud_pool *pool;
    unsigned pages;
    uint32_t page[PAGES_MAX];
};

/* What the pool has now: the pages of its order of use. */
static void find_pages(struct rig *rig)
{
    rig->pages = 0;
    for (uint32_t number = rig->pool->oldest; number != ZBUD_PAGE_NONE;
         number = pool_page(rig->pool, number)->newer) {
        assert(rig->pages < PAGES_MAX);
        rig->page[rig->pages++] = number;
    }
}

static void append(struct rig *rig, size_t bytes, unsigned tag)
{
    struct zbud_handle log;
    void *data;

    if (zbud_log_open(rig->pool, tag % 2, bytes, &log) != ZBUD_OK)
        return;
    zbud_log_set_word(rig->pool, log, tag + 1);
    (void)zbud_log_append(rig->pool, log, bytes, tag, &data);
    memset(data, (int)tag, bytes);
}

/* The buddy that a byte of the script names; false where its page has none at that end. */
static bool pick(struct rig *rig, uint8_t byte, struct zbud_handle *handle)
{
    find_pages(rig);
    if (rig->pages == 0)
        return false;
    const uint32_t number = rig->page[byte / 2 % rig->pages];
    const enum page_end end = byte % 2 ? PAGE_LAST : PAGE_FIRST;
    *handle = handle_pack(number, end);
    return pool_page(rig->pool, number)->chunks[end] != 0;
}

static void kill_one(struct rig *rig, struct zbud_handle log, unsigned wanted)
{
    const unsigned count = zbud_log_records(rig->pool, log);

    for (unsigned i = 0; i < count; i++) {
        const unsigned number = (wanted + i) % count;
        size_t bytes;
        unsigned tag;
        if (zbud_log_record(rig->pool, log, number, &bytes, &tag) != NULL) {
            (void)zbud_log_kill(rig->pool, log, number);
            return;
        }
    }
}

/* One step, of two bytes; all are allowed ones. */
static void step(struct rig *rig, const uint8_t *bytes)
{
    const unsigned what = bytes[0] % 8, rest = bytes[0] / 8;
    struct zbud_handle handle;

    if (what < 3) {
        append(rig, 1 + bytes[1] * (what == 0 ? 1u : SIZE_UNIT) * 15 / 16, rest % 8);
    } else if (what == 3) {
        (void)!zbud_alloc(rig->pool, 1 + bytes[1] * 15u, &handle);
    } else if (pick(rig, bytes[1], &handle)) {
        const bool is_log =
            page_is_log(pool_page(rig->pool, handle_page(handle)), handle_end(handle));
        if (!is_log)
            zbud_free(rig->pool, handle);
        else if (what == 4)
            (void)zbud_log_close(rig->pool, handle);
        else if (what == 5)
            zbud_log_squeeze(rig->pool, handle);
        else
            kill_one(rig, handle, rest);
    }
}

/* ---- damage ---- */

/* What the sanitizer is told of a log that a damaged header tells of: as page.h's PAGE-2 has it. */
static void poison_log(struct page_header *page, enum page_end end)
{
    const struct page_buddy *log = &page->buddies[end];
    const size_t room = (size_t)page->chunks[end] * ZBUD_CHUNK_BYTES;
    const size_t taken = log->used_bytes + (size_t)log->count * PAGE_ENTRY_BYTES;

    if (taken > room)
        return;
    for (unsigned number = 0; number < log->count; number++) {
        const struct page_entry entry = page_entry(page, end, number);
        const size_t bytes = page_record_bytes(page, end, number);
        if (entry.dead && bytes <= log->used_bytes && entry.offset + bytes <= log->used_bytes)
            POISON_FREE(page_span(page, end, entry.offset, bytes), bytes);
    }
    POISON_FREE(page_span(page, end, taken, room - taken), room - taken);
}

static void poison(struct page_header *page)
{
    if (1u + page->chunks[PAGE_FIRST] + page->chunks[PAGE_LAST] > ZBUD_PAGE_CHUNKS)
        return;
    for (unsigned end = PAGE_FIRST; end <= PAGE_LAST; end++) {
        if (page_is_log(page, (enum page_end)end))
            poison_log(page, (enum page_end)end);
    }
    const size_t free_bytes = (size_t)page_free_chunks(page) * ZBUD_CHUNK_BYTES;
    POISON_FREE(page_buddy(page, PAGE_FIRST) + page->chunks[PAGE_FIRST] * ZBUD_CHUNK_BYTES,
                free_bytes);
}

static void damage(struct rig *rig, const uint8_t *bytes, size_t count)
{
    find_pages(rig);
    for (unsigned i = 0; i < rig->pages; i++)
        POISON_LIVE(pool_page(rig->pool, rig->page[i]), ZBUD_PAGE_BYTES);
    for (size_t at = 0; at + DAMAGE_BYTES <= count && rig->pages > 0; at += DAMAGE_BYTES) {
        const unsigned where = bytes[at] | (unsigned)bytes[at + 1] << 8;
        uint8_t *page = (uint8_t *)pool_page(rig->pool, rig->page[(where >> 12) % rig->pages]);
        page[where % ZBUD_PAGE_BYTES] ^= bytes[at + 2];
    }
    for (unsigned i = 0; i < rig->pages; i++)
        poison(pool_page(rig->pool, rig->page[i]));
}

static bool check_stops(const struct zbud_pool *pool)
{
    if (setjmp(refused) != 0) {
        asking = false;
        return true;
    }
    asking = true;
    zbud_pool_check(pool);
    asking = false;
    return false;
}

/* A damaged link may lead to any page: those that are nobody's are there to be looked at. */
static bool is_refused(struct rig *rig)
{
    uint32_t others[PAGES_MAX];
    unsigned count = 0;

    while (zbud_arena_take(rig->arena, &others[count]) == ZBUD_OK) {
        memset(zbud_arena_page(rig->arena, others[count]), 0, ZBUD_PAGE_BYTES);
        count++;
    }
    const bool stopped = check_stops(rig->pool);
    while (count > 0)
        zbud_arena_give(rig->arena, others[--count]);
    return stopped;
}

/* ---- what may be done with what has passed ---- */

static void touch(const uint8_t *data, size_t bytes)
{
    for (const volatile uint8_t *at = data; at < data + bytes; at++)
        (void)*at;
}

static void use_buddy(void *owner, struct zbud_handle buddy)
{
    struct rig *rig = owner;
    size_t live_bytes, dead_bytes, seen_bytes = 0;
    struct zbud_handle logs[2];

    if (!page_is_log(pool_page(rig->pool, handle_page(buddy)), handle_end(buddy)))
        return;
    zbud_log_bytes(rig->pool, buddy, &live_bytes, &dead_bytes);
    for (unsigned number = 0; number < zbud_log_records(rig->pool, buddy); number++) {
        size_t bytes;
        unsigned tag;
        const uint8_t *data = zbud_log_record(rig->pool, buddy, number, &bytes, &tag);
        if (data == NULL)
            continue;
        assert(bytes >= 1 && tag <= ZBUD_RECORD_TAG_MAX);
        touch(data, bytes);
        seen_bytes += bytes;
    }
    assert(seen_bytes == live_bytes);
    (void)zbud_log_page(rig->pool, buddy, logs);
    zbud_log_squeeze(rig->pool, buddy);
    kill_one(rig, buddy, 1);
}

static void forget(void *owner, struct zbud_handle handle)
{
    const struct rig *rig = owner;
    zbud_free(rig->pool, handle);
}

/* Everything is read and squeezed, a record of each log killed, some appended; then reclaimed. */
static void use_all(struct rig *rig)
{
    while (!zbud_walk(rig->pool, 1, use_buddy, rig))
        zbud_pool_check(rig->pool);
    for (unsigned i = 0; i < 4; i++)
        append(rig, 10 + i * 300, i);
    while (zbud_reclaim(rig->pool, forget, rig) == ZBUD_OK)
        zbud_pool_check(rig->pool);
    assert(zbud_pool_pages(rig->pool) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig = {.pages = 0};

    if (size == 0)
        return 0;
    const size_t rest = size - 1;
    const size_t script = data[0] * 2u < rest ? data[0] * 2u : rest - rest % 2;
    rig.arena = zbud_arena_new(PAGES_MAX * ZBUD_PAGE_BYTES, PAGES_MAX * ZBUD_PAGE_BYTES);
    assert(rig.arena != NULL);
    rig.pool = zbud_pool_create(rig.arena);
    assert(rig.pool != NULL);
    for (size_t at = 0; at < script; at += 2)
        step(&rig, data + 1 + at);
    zbud_pool_check(rig.pool);
    damage(&rig, data + 1 + script, rest - script);
    if (!is_refused(&rig))
        use_all(&rig);
    /* Its pages are the arena's, and go with it: a damaged one is not to be given back. */
    free(rig.pool);
    zbud_arena_free(rig.arena);
    return 0;
}
