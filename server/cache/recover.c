/*
 * recover.c - a cache takes over what its memory file holds.
 *
 *   words of pages ──► pools' pages, by age ──► each shard: adopt, look at seals, fill the index
 *                 └──► pages of large values ──► claimed by their records, or given back
 *
 * Always the same, whether the process before was stopped or killed: the index is not believed but
 * made anew, which takes little longer than to read all of it. Shards are taken over side by side,
 * each by one thread.
 */
#include "server/cache/cache_inside.h"
#include "server/cache/shard.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#define THREADS_MAX      16u
#define STACK_BYTES      (512u << 10)
/* Of the index, for each item: a slot of 8, where segments are 80 % full. */
#define INDEX_ITEM_BYTES 10u
#define SPARE_PAGES      64u /* each shard's index begins with some */
#define SLICE_PAGES      4096u

/* A page of a pool. */
struct candidate {
    uint64_t age;
    uint32_t page;
    uint16_t shard; /* CACHE_SHARDS_MAX: none there is */
    uint16_t records;
};

struct recovery {
    struct cache *cache;
    uint32_t pages; /* that there may be something in */
    uint64_t *words;
    struct candidate *candidates; /* in the order of age */
    size_t count;
    size_t first; /* those before are too many for the limit */
    bool shard_known[CACHE_SHARDS_MAX];
    _Atomic uint64_t *claimed; /* a bit a page: it is a large value's that was taken over */
    _Atomic uint32_t next_slice;
    _Atomic unsigned next_shard;
    _Atomic uint64_t damaged_pages;
    uint64_t dropped_pages;
};

struct recoverer {
    struct recovery *recovery;
    struct shard_recovered recovered;
    pthread_t thread;
};

static int by_age(const void *one, const void *other)
{
    const struct candidate *a = one, *b = other;
    if (a->age != b->age)
        return a->age < b->age ? -1 : 1;
    return a->page < b->page ? -1 : a->page > b->page;
}

static void find_candidates(struct recovery *recovery)
{
    const struct cache *cache = recovery->cache;
    for (uint32_t page = 0; page < recovery->pages; page++) {
        struct zbud_page_says says;
        if (recovery->words[page] == 0 || seal_is_large(recovery->words[page]))
            continue;
        zbud_page_ask(cache->arena, page, &says);
        bool known = says.pool >= 1 && says.pool <= cache->config.shards;
        recovery->candidates[recovery->count++] = (struct candidate){
            .age = says.age,
            .page = page,
            .shard = (uint16_t)(known ? says.pool - 1 : CACHE_SHARDS_MAX),
            .records = (uint16_t)(says.records < 2 * ZBUD_RECORDS_MAX ? says.records
                                                                      : 2 * ZBUD_RECORDS_MAX),
        };
    }
    qsort(recovery->candidates, recovery->count, sizeof(recovery->candidates[0]), by_age);
}

/* A lower limit than before: the oldest go, as many as are too many with the index. */
static void fit_limit(struct recovery *recovery)
{
    struct zbud_arena_figures arena;
    uint64_t records = 0;
    zbud_arena_figures(recovery->cache->arena, &arena);
    for (size_t i = 0; i < recovery->count; i++)
        records += recovery->candidates[i].records;
    uint64_t taken = arena.charged_bytes + arena.table_bytes +
                     (arena.pages_used + SPARE_PAGES) * ZBUD_PAGE_BYTES +
                     records * INDEX_ITEM_BYTES;
    while (taken > arena.limit_bytes && recovery->first < recovery->count) {
        const struct candidate *oldest = &recovery->candidates[recovery->first++];
        taken -= ZBUD_PAGE_BYTES + oldest->records * INDEX_ITEM_BYTES;
        zbud_arena_give(recovery->cache->arena, oldest->page);
        recovery->dropped_pages++;
    }
    zbud_arena_trim(recovery->cache->arena, zbud_arena_excess(recovery->cache->arena));
}

static size_t records_of(const struct recovery *recovery, unsigned id)
{
    size_t records = 0;
    for (size_t i = recovery->first; i < recovery->count; i++)
        records += recovery->candidates[i].shard == id ? recovery->candidates[i].records : 0;
    return records;
}

static void recover_shard(struct recovery *recovery, unsigned id, struct shard_recovered *recovered)
{
    struct cache *cache = recovery->cache;
    uint32_t now_s = cache->config.now_s;
    if (recovery->shard_known[id])
        shard_recover_begin(cache->shards[id], records_of(recovery, id));
    for (size_t i = recovery->first; i < recovery->count; i++) {
        const struct candidate *candidate = &recovery->candidates[i];
        if (candidate->shard != id)
            continue;
        (void)cache_make_room(cache, 1, now_s); /* for index and expiry: charges may have grown */
        if (recovery->shard_known[id] &&
            shard_recover_page(cache->shards[id], candidate->page, i + 1, now_s, recovery->claimed,
                               recovery->pages, recovered))
            continue;
        zbud_arena_give(cache->arena, candidate->page);
        atomic_fetch_add_explicit(&recovery->damaged_pages, 1, memory_order_relaxed);
    }
    shard_recovered(cache->shards[id], now_s);
}

static void *recover_shards(void *context)
{
    struct recoverer *recoverer = context;
    struct recovery *recovery = recoverer->recovery;
    for (;;) {
        unsigned id = atomic_fetch_add_explicit(&recovery->next_shard, 1, memory_order_relaxed);
        if (id >= recovery->cache->config.shards)
            return NULL;
        recover_shard(recovery, id, &recoverer->recovered);
    }
}

static void add(struct shard_recovered *sum, const struct shard_recovered *part)
{
    sum->items += part->items;
    sum->gone += part->gone;
    sum->replaced += part->replaced;
    sum->damaged_logs += part->damaged_logs;
    sum->damaged_records += part->damaged_records;
    sum->refused += part->refused;
}

/* The first touch of a page may take as long as all that follows (a virtual machine has a second
 * table of pages to fill), so it is done side by side. */
static void *touch_slices(void *context)
{
    const struct recoverer *recoverer = context;
    struct recovery *recovery = recoverer->recovery;
    for (;;) {
        uint32_t from =
            atomic_fetch_add_explicit(&recovery->next_slice, SLICE_PAGES, memory_order_relaxed);
        if (from >= recovery->pages)
            return NULL;
        for (uint32_t page = from; page < from + SLICE_PAGES && page < recovery->pages; page++) {
            if (recovery->words[page] != 0)
                (void)*(const volatile uint8_t *)zbud_arena_page(recovery->cache->arena, page);
        }
    }
}

/* This thread does its part; what a thread that cannot be had would do the others do. */
static void side_by_side(struct recovery *recovery, void *(*part)(void *))
{
    struct recoverer recoverers[THREADS_MAX] = {{.recovery = recovery}};
    unsigned wanted = recovery->cache->config.threads, started = 1;
    pthread_attr_t attributes;
    bool able = pthread_attr_init(&attributes) == 0;
    if (able)
        (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    for (; able && started < wanted && started < THREADS_MAX; started++) {
        recoverers[started].recovery = recovery;
        if (pthread_create(&recoverers[started].thread, &attributes, part, &recoverers[started]) !=
            0)
            break;
    }
    (void)part(&recoverers[0]);
    for (unsigned i = 0; i < started; i++) {
        if (i > 0)
            (void)pthread_join(recoverers[i].thread, NULL);
        add(&recovery->cache->recovered, &recoverers[i].recovered);
    }
    if (able)
        (void)pthread_attr_destroy(&attributes);
}

/* What no record names: its writer had not stored it yet, or its record is gone. */
static void give_unclaimed(struct recovery *recovery)
{
    for (uint32_t page = 0; page < recovery->pages; page++) {
        bool claimed = recovery->claimed[page / 64] >> page % 64 & 1;
        if (seal_is_large(recovery->words[page]) && !claimed)
            zbud_arena_give(recovery->cache->arena, page);
    }
    /* No pool's page, and no large value's. */
    for (size_t i = recovery->first; i < recovery->count; i++) {
        if (recovery->candidates[i].shard != CACHE_SHARDS_MAX)
            continue;
        zbud_arena_give(recovery->cache->arena, recovery->candidates[i].page);
        recovery->damaged_pages++;
    }
}

static void tell(const struct recovery *recovery, bool was_stopped, uint64_t took_ms)
{
    const struct shard_recovered *sums = &recovery->cache->recovered;
    memory_file_tell(&recovery->cache->config,
                     "%" PRIu64 " items are back in %" PRIu64 " ms, after %s; %" PRIu64
                     " had expired or been flushed, %" PRIu64 " had been replaced; not taken over: "
                     "%" PRIu64 " damaged pages, %" PRIu64 " logs, %" PRIu64 " records; %" PRIu64
                     " pages and %" PRIu64 " records for lack of room",
                     sums->items, took_ms, was_stopped ? "a clean stop" : "a crash", sums->gone,
                     sums->replaced, (uint64_t)recovery->damaged_pages, sums->damaged_logs,
                     sums->damaged_records, recovery->dropped_pages, sums->refused);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Before records, what they refer to. */
static void recover_learned(struct cache *cache)
{
    uint8_t bytes[MEMORY_FILE_CLASSES_BYTES_MAX];
    dictionaries_recover(cache->dictionaries);
    size_t count = memory_file_classes(cache->file, bytes);
    struct classes *classes = count > 0 ? classes_restore(cache->dictionaries, bytes, count) : NULL;
    if (classes != NULL)
        current_publish(&cache->current, classes);
}

bool cache_recover(struct cache *cache)
{
    struct recovery recovery = {.cache = cache, .words = cache->seals.words};
    uint64_t started_ms = now_ms();
    bool was_stopped = memory_file_was_stopped(cache->file);
    memory_file_begin(cache->file);
    if (!zbud_arena_recover(cache->arena, &recovery.pages)) {
        memory_file_tell(&cache->config, "no room in its file system for the table of pages");
        return false;
    }
    recovery.candidates = malloc(sizeof(struct candidate) * ((size_t)recovery.pages + 1));
    void *bits = calloc((size_t)recovery.pages / 64 + 1, sizeof(*recovery.claimed));
    recovery.claimed = bits;
    bool able = recovery.candidates != NULL && recovery.claimed != NULL;
    if (able) {
        for (unsigned i = 0; i < cache->config.shards; i++)
            recovery.shard_known[i] =
                shard_keep(cache->shards[i], cache->file, &cache->seals, true, cache->config.now_s);
        recover_learned(cache);
        side_by_side(&recovery, touch_slices);
        find_candidates(&recovery);
        fit_limit(&recovery);
        side_by_side(&recovery, recover_shards);
        give_unclaimed(&recovery);
        tell(&recovery, was_stopped, now_ms() - started_ms);
    } else {
        memory_file_tell(&cache->config, "no memory for taking over what it holds");
    }
    free(recovery.candidates);
    free(bits);
    return able;
}
