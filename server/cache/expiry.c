#include "server/cache/expiry.h"

#include "server/cache/cache.h"
#include "zbud/lock.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS       4u
#define LEVEL_BITS   6u
#define LEVEL_SLOTS  (1u << LEVEL_BITS)
#define BUCKETS      (LEVELS * LEVEL_SLOTS)
#define LINKS_A_PAGE (ZBUD_PAGE_BYTES / sizeof(uint64_t))
#define HANDLE_MASK  (((uint64_t)1 << ZBUD_HANDLE_BITS) - 1)
#define BUCKET_SHIFT (2 * ZBUD_HANDLE_BITS)

static_assert(BUCKETS == 1u << (64 - BUCKET_SHIFT), "two handles and a bucket are 64 bits");

/* The longest time to live of each class but the last: 20 s, 90 s, 7 and 35 minutes, 3 and 27
 * hours. Some five times each, between the values that applications ask for: 10 s; 30 s and a
 * minute; 2 and 5; 10, 15 and 30; 1 and 2 hours; half a day and a day; a week and a month. */
static const uint32_t CLASS_TTL_S[EXPIRY_CLASSES - 1] = {
    0, 20, 90, 420, 2100, 10800, 97200,
};

/* 512 links. Zero is a log that is not noted: a link names at least itself. */
struct links {
    uint32_t page;    /* ZBUD_PAGE_NONE while nothing is claimed; else stable for its claimants */
    uint32_t claimed; /* logs */
};

struct expiry_table {
    struct zbud_arena *arena;
    struct zbud_lock lock;
    size_t pages; /* under lock, as is what the links say of themselves */
    size_t links_count;
    struct links links[];
};

struct expiry_wheel {
    struct expiry_table *table;
    uint32_t clock_s; /* nothing that was due before is noted */
    uint64_t occupied[LEVELS];
    uint32_t first[BUCKETS]; /* a handle's bits; 0: the ring is empty */
};

struct link {
    uint32_t next;
    uint32_t previous;
    unsigned bucket;
};

static uint64_t link_pack(struct link link)
{
    return (uint64_t)link.bucket << BUCKET_SHIFT | (uint64_t)link.previous << ZBUD_HANDLE_BITS |
           link.next;
}

static struct link link_unpack(uint64_t bits)
{
    return (struct link){
        .next = (uint32_t)(bits & HANDLE_MASK),
        .previous = (uint32_t)(bits >> ZBUD_HANDLE_BITS & HANDLE_MASK),
        .bucket = (unsigned)(bits >> BUCKET_SHIFT),
    };
}

unsigned expiry_class(uint32_t expiry_s, uint32_t now_s)
{
    if (expiry_s == CACHE_NEVER)
        return 0;
    uint32_t ttl_s = expiry_s > now_s ? expiry_s - now_s : 0;
    unsigned number = 1;
    while (number < EXPIRY_CLASSES - 1 && ttl_s > CLASS_TTL_S[number])
        number++;
    return number;
}

/* ---- the table ------------------------------------------------------------------------------ */

struct expiry_table *expiry_table_new(struct zbud_arena *arena)
{
    struct zbud_arena_figures figures;
    zbud_arena_figures(arena, &figures);
    size_t count = (ZBUD_HANDLES(figures.pages_max) + LINKS_A_PAGE - 1) / LINKS_A_PAGE;
    struct expiry_table *table = calloc(1, sizeof(*table) + count * sizeof(table->links[0]));
    if (table == NULL)
        return NULL;
    table->arena = arena;
    table->links_count = count;
    lock_init(&table->lock);
    return table;
}

void expiry_table_free(struct expiry_table *table)
{
    if (table == NULL)
        return;
    lock_fini(&table->lock);
    free(table);
}

size_t expiry_table_pages(struct expiry_table *table)
{
    lock_take(&table->lock);
    size_t pages = table->pages;
    lock_give(&table->lock);
    return pages;
}

static struct links *links_of(struct expiry_table *table, struct zbud_handle log)
{
    assert(log.bits / LINKS_A_PAGE < table->links_count);
    return &table->links[log.bits / LINKS_A_PAGE];
}

static bool table_claim(struct expiry_table *table, struct zbud_handle log)
{
    struct links *links = links_of(table, log);
    lock_take(&table->lock);
    bool there = links->claimed > 0;
    if (!there && zbud_arena_take(table->arena, &links->page) == ZBUD_OK) {
        memset(zbud_arena_page(table->arena, links->page), 0, ZBUD_PAGE_BYTES);
        table->pages++;
        there = true;
    }
    links->claimed += there;
    lock_give(&table->lock);
    return there;
}

static void table_release(struct expiry_table *table, struct zbud_handle log)
{
    struct links *links = links_of(table, log);
    lock_take(&table->lock);
    assert(links->claimed > 0);
    if (--links->claimed == 0) {
        zbud_arena_give(table->arena, links->page);
        table->pages--;
    }
    lock_give(&table->lock);
}

/* The log is claimed by the caller's shard, so its page of the table is there and stays. */
static uint64_t *link_at(const struct expiry_wheel *wheel, struct zbud_handle log)
{
    const struct links *links = links_of(wheel->table, log);
    uint64_t *page = zbud_arena_page(wheel->table->arena, links->page);
    return &page[log.bits % LINKS_A_PAGE];
}

/* ---- rings ---------------------------------------------------------------------------------- */

static void ring_join(struct expiry_wheel *wheel, struct zbud_handle log, unsigned bucket)
{
    uint32_t first = wheel->first[bucket];
    struct link link = {.next = log.bits, .previous = log.bits, .bucket = bucket};
    if (first == 0) {
        wheel->first[bucket] = log.bits;
        wheel->occupied[bucket >> LEVEL_BITS] |= (uint64_t)1 << bucket % LEVEL_SLOTS;
    } else {
        uint64_t *first_bits = link_at(wheel, (struct zbud_handle){first});
        struct link next = link_unpack(*first_bits);
        link.next = first;
        link.previous = next.previous;
        next.previous = log.bits;
        *first_bits = link_pack(next);
        uint64_t *last_bits = link_at(wheel, (struct zbud_handle){link.previous});
        struct link last = link_unpack(*last_bits);
        last.next = log.bits;
        *last_bits = link_pack(last);
    }
    *link_at(wheel, log) = link_pack(link);
}

static void ring_leave(struct expiry_wheel *wheel, struct zbud_handle log)
{
    uint64_t *bits = link_at(wheel, log);
    struct link link = link_unpack(*bits);
    uint32_t *first = &wheel->first[link.bucket];
    if (link.next == log.bits) {
        *first = 0;
        wheel->occupied[link.bucket >> LEVEL_BITS] &= ~((uint64_t)1 << link.bucket % LEVEL_SLOTS);
    } else {
        uint64_t *previous_bits = link_at(wheel, (struct zbud_handle){link.previous});
        struct link previous = link_unpack(*previous_bits);
        previous.next = link.next;
        *previous_bits = link_pack(previous);
        uint64_t *next_bits = link_at(wheel, (struct zbud_handle){link.next});
        struct link next = link_unpack(*next_bits);
        next.previous = link.previous;
        *next_bits = link_pack(next);
        if (*first == log.bits)
            *first = link.next;
    }
    *bits = 0;
}

/* ---- the wheel ------------------------------------------------------------------------------ */

struct expiry_wheel *expiry_wheel_new(struct expiry_table *table, uint32_t now_s)
{
    struct expiry_wheel *wheel = calloc(1, sizeof(*wheel));
    if (wheel == NULL)
        return NULL;
    wheel->table = table;
    wheel->clock_s = now_s;
    return wheel;
}

void expiry_wheel_free(struct expiry_wheel *wheel)
{
    free(wheel);
}

/* Steps of a level that lie wholly before the clock; a step that the clock stands inside of was
 * due when it began. */
static uint64_t steps_begun(const struct expiry_wheel *wheel, unsigned level)
{
    unsigned shift = level * LEVEL_BITS;
    return ((uint64_t)wheel->clock_s + ((uint64_t)1 << shift) - 1) >> shift;
}

/* The second from which on a bucket is due. */
static uint64_t bucket_begin_s(const struct expiry_wheel *wheel, unsigned bucket)
{
    unsigned level = bucket >> LEVEL_BITS;
    uint64_t next = steps_begun(wheel, level);
    return (next + (bucket - next) % LEVEL_SLOTS) << level * LEVEL_BITS;
}

/* The lowest level that reaches so far; what lies beyond the last is noted at the end of it. */
static unsigned bucket_of(const struct expiry_wheel *wheel, uint32_t expiry_s)
{
    unsigned level = 0;
    uint64_t at_s = expiry_s > wheel->clock_s ? expiry_s : wheel->clock_s;
    while (level < LEVELS - 1 &&
           (at_s >> level * LEVEL_BITS) >= steps_begun(wheel, level) + LEVEL_SLOTS)
        level++;
    uint64_t step = at_s >> level * LEVEL_BITS;
    uint64_t last = steps_begun(wheel, level) + LEVEL_SLOTS - 1;
    return level << LEVEL_BITS | (unsigned)(step < last ? step : last) % LEVEL_SLOTS;
}

bool expiry_claim(struct expiry_wheel *wheel, struct zbud_handle log)
{
    if (!table_claim(wheel->table, log))
        return false;
    assert(*link_at(wheel, log) == 0);
    return true;
}

void expiry_drop(struct expiry_wheel *wheel, struct zbud_handle log)
{
    if (*link_at(wheel, log) != 0)
        ring_leave(wheel, log);
    table_release(wheel->table, log);
}

/* Whether what is due with that link is due no later than @expiry_s. */
static bool in_time(const struct expiry_wheel *wheel, uint64_t link_bits, uint32_t expiry_s)
{
    uint32_t at_s = expiry_s > wheel->clock_s ? expiry_s : wheel->clock_s;
    return link_bits != 0 && bucket_begin_s(wheel, link_unpack(link_bits).bucket) <= at_s;
}

bool expiry_is_noted(const struct expiry_wheel *wheel, struct zbud_handle log, uint32_t expiry_s)
{
    return in_time(wheel, *link_at(wheel, log), expiry_s);
}

void expiry_note(struct expiry_wheel *wheel, struct zbud_handle log, uint32_t expiry_s)
{
    uint64_t link_bits = *link_at(wheel, log);
    if (in_time(wheel, link_bits, expiry_s))
        return;
    if (link_bits != 0)
        ring_leave(wheel, log);
    ring_join(wheel, log, bucket_of(wheel, expiry_s));
}

/* The bucket that is due next; BUCKETS where none is occupied. */
static unsigned next_bucket(const struct expiry_wheel *wheel, uint64_t *begin_s)
{
    unsigned bucket = BUCKETS;
    *begin_s = UINT64_MAX;
    for (unsigned level = 0; level < LEVELS; level++) {
        uint64_t occupied = wheel->occupied[level];
        if (occupied == 0)
            continue;
        uint64_t next = steps_begun(wheel, level);
        unsigned turn = next % LEVEL_SLOTS;
        uint64_t turned = turn == 0 ? occupied : occupied >> turn | occupied << (64 - turn);
        uint64_t step = next + (unsigned)__builtin_ctzll(turned);
        if (step << level * LEVEL_BITS < *begin_s) {
            *begin_s = step << level * LEVEL_BITS;
            bucket = level << LEVEL_BITS | step % LEVEL_SLOTS;
        }
    }
    return bucket;
}

bool expiry_take_due(struct expiry_wheel *wheel, uint32_t now_s, struct zbud_handle *log)
{
    uint64_t begin_s;
    unsigned bucket = next_bucket(wheel, &begin_s);
    if (begin_s > now_s) {
        if (now_s > wheel->clock_s)
            wheel->clock_s = now_s;
        return false;
    }
    /* All that is noted is due no sooner than this bucket: each still means the same second. */
    wheel->clock_s = (uint32_t)begin_s;
    log->bits = wheel->first[bucket];
    ring_leave(wheel, *log);
    return true;
}

/* ---- check ---------------------------------------------------------------------------------- */

static void check_ring(const struct expiry_wheel *wheel, unsigned bucket, expiry_visit_fn *visit,
                       void *context)
{
    struct zbud_handle log = {wheel->first[bucket]};
    do {
        struct link link = link_unpack(*link_at(wheel, log));
        struct zbud_handle next = {link.next};
        assert(link.bucket == bucket);
        assert(link_unpack(*link_at(wheel, next)).previous == log.bits);
        visit(context, log);
        log = next;
    } while (log.bits != wheel->first[bucket]);
}

void expiry_check(const struct expiry_wheel *wheel, expiry_visit_fn *visit, void *context)
{
    for (unsigned bucket = 0; bucket < BUCKETS; bucket++) {
        bool occupied = (wheel->occupied[bucket >> LEVEL_BITS] >> bucket % LEVEL_SLOTS & 1) != 0;
        assert(occupied == (wheel->first[bucket] != 0));
        if (!occupied)
            continue;
        assert(bucket_begin_s(wheel, bucket) >= wheel->clock_s);
        check_ring(wheel, bucket, visit, context);
    }
}
