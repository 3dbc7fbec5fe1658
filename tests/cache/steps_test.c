/*
 * steps_test.c - the work of each step that holds a shard's lock is bounded, counted in records and
 * pages, not in time: the table "What a step does" of server/cache/README.md, over a random run
 * with contents that bring each bound near (tiny records, large values, expiries, flushes, a limit
 * that moves).
 */
/* cmocka's header needs these before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

/* clang-format off */
#include <cmocka.h>
/* clang-format on */

#include "server/cache/cache.h"
#include "server/cache/cache_inside.h"
#include "server/cache/shard_inside.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB             ((size_t)1 << 20)
#define MEMORY_BYTES    (6 * MIB)
#define MEMORY_LOW      (4 * MIB)
#define SHARDS          2u
#define KEYS            150000u
#define VALUE_BYTES_MAX 20000u
#ifdef ZB_SLOW_CHECKS
#define OPERATIONS 200000u
#else
#define OPERATIONS 600000u
#endif

/* A page's records. */
#define PAGE_RECORDS      (2 * ZBUD_RECORDS_MAX)
/* shard_expire.c: work of a step, of a record that goes, of a merge; a log more may be begun. */
#define EXPIRE_CHECKED    (768u + ZBUD_RECORDS_MAX)
#define EXPIRE_GONE       (768u / 17 + ZBUD_RECORDS_MAX)
#define EXPIRE_MERGED     3u
/* A page more may be begun. */
#define CRAWL_CHECKED     (768u + PAGE_RECORDS)
#define CRAWL_GONE        (768u / 17 + PAGE_RECORDS)
#define INDEX_STEP_PAGES  INDEX_SEGMENT_PAGES_MAX
/* Reclaims of a store: the pages of its value, three more, and the spare ones for those that are
 * used up by rescues. */
#define STORE_RECLAIMS    (VALUE_BYTES_MAX / ZBUD_PAGE_BYTES + 1 + 3 + 8)
#define MAINTAIN_RECLAIMS (2 + GATHERED_ITEMS_MAX)

struct rig {
    struct cache *cache;
    struct cache_worker *worker;
    struct cache_keeper *keeper;
    uint64_t random;
    uint32_t now_s;
    uint8_t entry[VALUE_BYTES_MAX + 64];
};

/* What was done since another, of one shard or of all. */
struct work {
    uint64_t reclaimed;
    uint64_t merged;
    uint64_t squeezed;
    uint64_t checked;
    uint64_t settled;
    uint64_t gone; /* records evicted, rescued, expired or flushed */
    uint64_t index_pages;
};

static void add_work(struct work *work, struct shard *shard)
{
    const struct shard_counters *counters = &shard->counters;
    struct zbud_pool_figures pool;
    zbud_pool_figures(shard->pool, &pool);
    work->reclaimed += counters->reclaimed;
    work->merged += counters->merged;
    work->squeezed += pool.logs_squeezed;
    work->checked += counters->crawler_checked;
    work->settled += counters->settled;
    work->gone += counters->evicted + counters->rescued + counters->expired + counters->flushed;
    work->index_pages += index_pages(shard->index);
}

static struct work work_of(const struct rig *rig, struct shard *shard)
{
    struct work work = {0};
    for (unsigned i = 0; i < SHARDS; i++) {
        if (shard == NULL || shard == rig->cache->shards[i])
            add_work(&work, rig->cache->shards[i]);
    }
    return work;
}

static struct work since(const struct rig *rig, struct shard *shard, struct work before)
{
    struct work now = work_of(rig, shard);
    uint64_t index_pages = now.index_pages > before.index_pages
                               ? now.index_pages - before.index_pages
                               : before.index_pages - now.index_pages;
    return (struct work){
        .reclaimed = now.reclaimed - before.reclaimed,
        .merged = now.merged - before.merged,
        .squeezed = now.squeezed - before.squeezed,
        .checked = now.checked - before.checked,
        .settled = now.settled - before.settled,
        .gone = now.gone - before.gone,
        .index_pages = index_pages,
    };
}

static void raise(uint64_t *most, uint64_t value)
{
    *most = value > *most ? value : *most;
}

static void raise_all(struct work *most, struct work work)
{
    raise(&most->reclaimed, work.reclaimed);
    raise(&most->merged, work.merged);
    raise(&most->squeezed, work.squeezed);
    raise(&most->checked, work.checked);
    raise(&most->settled, work.settled);
    raise(&most->gone, work.gone);
    raise(&most->index_pages, work.index_pages);
}

static uint32_t draw(struct rig *rig, uint32_t below)
{
    rig->random = rig->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((rig->random >> 33) % below);
}

/* Mostly tiny, sometimes large; the lower the key, the more often it is asked for. */
static size_t make_key(struct rig *rig)
{
    uint32_t below = 1 + draw(rig, KEYS);
    return (size_t)sprintf((char *)rig->entry, "key:%u", draw(rig, below));
}

static void store(struct rig *rig, struct work *most)
{
    struct cache_store put = {.entry = rig->entry, .mode = CACHE_SET, .expiry_s = CACHE_NEVER};
    put.key_bytes = make_key(rig);
    put.value_bytes = draw(rig, 10) > 0 ? draw(rig, 12) : draw(rig, draw(rig, VALUE_BYTES_MAX) + 1);
    uint64_t seed = draw(rig, UINT32_MAX);
    for (size_t i = 0; i < put.value_bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        rig->entry[put.key_bytes + i] = (uint8_t)(seed >> 58);
    }
    if (draw(rig, 3) == 0)
        put.expiry_s = rig->now_s + 1 + draw(rig, 200);
    struct work before = work_of(rig, NULL);
    (void)!cache_store(rig->worker, &put, rig->now_s, NULL);
    struct work work = since(rig, NULL, before);
    raise_all(most, work);
    assert_true(work.reclaimed <= STORE_RECLAIMS);
    assert_true(work.merged <= 1);
    assert_true(work.gone <= work.reclaimed * PAGE_RECORDS + work.merged * PAGE_RECORDS + 1);
    assert_true(work.index_pages <= INDEX_STEP_PAGES);
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct rig *rig = context;
    return rig->entry + item->key_bytes;
}

/* A get, a touch, or a delete. */
static void ask(struct rig *rig, struct work *most)
{
    char key[64];
    struct cache_item item;
    size_t key_bytes = make_key(rig);
    memcpy(key, rig->entry, key_bytes);
    struct work before = work_of(rig, NULL);
    uint32_t expiry_s = rig->now_s + draw(rig, 300);
    if (draw(rig, 10) > 0)
        (void)!cache_get(rig->worker, key, key_bytes, draw(rig, 10) > 0 ? NULL : &expiry_s,
                         rig->now_s, place, rig, &item);
    else
        (void)!cache_delete(rig->worker, key, key_bytes, rig->now_s);
    struct work work = since(rig, NULL, before);
    raise_all(most, work);
    assert_true(work.reclaimed <= STORE_RECLAIMS && work.merged <= 1);
    assert_true(work.gone <= (work.reclaimed + work.merged) * PAGE_RECORDS + 1);
    assert_true(work.index_pages <= INDEX_STEP_PAGES);
}

static void reclaim(struct rig *rig, struct shard *shard, struct work *most)
{
    struct work before = work_of(rig, shard);
    shard_reclaim(shard, rig->now_s);
    struct work work = since(rig, shard, before);
    raise_all(most, work);
    assert_true(work.reclaimed <= 1 && work.gone <= PAGE_RECORDS);
    assert_true(work.index_pages <= INDEX_STEP_PAGES);
}

static void expire(struct rig *rig, struct shard *shard, struct work *most)
{
    struct work before = work_of(rig, shard);
    (void)shard_expire(shard, rig->now_s);
    struct work work = since(rig, shard, before);
    raise_all(most, work);
    assert_true(work.checked <= EXPIRE_CHECKED);
    assert_true(work.merged <= EXPIRE_MERGED);
    assert_true(work.gone <= EXPIRE_GONE + work.merged * PAGE_RECORDS);
    assert_true(work.index_pages <= INDEX_STEP_PAGES);
}

static void crawl(struct rig *rig, struct shard *shard, struct work *most)
{
    struct work before = work_of(rig, shard);
    (void)shard_crawl(shard, rig->now_s, NULL);
    struct work work = since(rig, shard, before);
    raise_all(most, work);
    assert_true(work.checked <= CRAWL_CHECKED && work.gone <= CRAWL_GONE);
    assert_true(work.index_pages <= INDEX_STEP_PAGES);
}

/* Several steps, each under a lock of its own: an item to settle may make room for itself. */
static void maintain(struct rig *rig, struct work *most)
{
    struct work before = work_of(rig, NULL);
    (void)cache_maintain(rig->keeper, rig->now_s);
    struct work work = since(rig, NULL, before);
    raise_all(most, work);
    assert_true(work.settled <= GATHERED_ITEMS_MAX);
    assert_true(work.reclaimed <= MAINTAIN_RECLAIMS);
    assert_true(work.checked <= EXPIRE_CHECKED + CRAWL_CHECKED);
}

static void change(struct rig *rig)
{
    switch (draw(rig, 12)) {
    case 0:
        cache_flush_all(rig->cache, rig->now_s, rig->now_s);
        break;
    case 1:
        assert_int_equal(cache_set_memory(rig->cache, MEMORY_LOW), CACHE_OK);
        break;
    case 2:
        assert_int_equal(cache_set_memory(rig->cache, MEMORY_BYTES), CACHE_OK);
        break;
    case 3:
        rig->now_s += 200;
        break;
    default:
        rig->now_s++;
    }
}

static void say(const char *step, const struct work *most)
{
    print_message("%-8s at most %4lu records gone or rescued, %4lu looked at, %3lu settled, "
                  "%2lu pages reclaimed, %lu merged, %lu squeezes, %2lu pages of the index\n",
                  step, (unsigned long)most->gone, (unsigned long)most->checked,
                  (unsigned long)most->settled, (unsigned long)most->reclaimed,
                  (unsigned long)most->merged, (unsigned long)most->squeezed,
                  (unsigned long)most->index_pages);
}

static void test_steps(void **state)
{
    const struct cache_config config = {.memory_bytes = MEMORY_BYTES,
                                        .reserve_bytes = MEMORY_BYTES,
                                        .item_bytes_max = MIB,
                                        .shards = SHARDS,
                                        .evict = true,
                                        .compress = true,
                                        .settle = true,
                                        .seed = 5,
                                        .now_s = 1000};
    struct rig *rig = calloc(1, sizeof(*rig));
    struct work stores = {0}, asks = {0}, reclaims = {0}, expires = {0}, crawls = {0}, all = {0};
    (void)state;
    rig->cache = cache_new(&config);
    assert_non_null(rig->cache);
    rig->worker = cache_worker_new(rig->cache);
    rig->keeper = cache_keeper_new(rig->cache);
    assert_true(rig->worker != NULL && rig->keeper != NULL);
    rig->random = 77;
    rig->now_s = 1000;
    for (unsigned i = 0; i < OPERATIONS; i++) {
        struct shard *shard = rig->cache->shards[draw(rig, SHARDS)];
        uint32_t kind = draw(rig, 4000);
        if (kind < 2400)
            store(rig, &stores);
        else if (kind < 3900)
            ask(rig, &asks);
        else if (kind < 3960)
            maintain(rig, &all);
        else if (kind < 3970)
            reclaim(rig, shard, &reclaims);
        else if (kind < 3980)
            expire(rig, shard, &expires);
        else if (kind < 3992)
            crawl(rig, shard, &crawls);
        else
            change(rig);
    }
    cache_check(rig->cache);
    say("store", &stores);
    say("get", &asks);
    say("reclaim", &reclaims);
    say("expire", &expires);
    say("crawl", &crawls);
    say("maintain", &all);
    /* The run came to what it is to bound. */
    assert_true(stores.reclaimed > 0 && stores.merged > 0 && stores.index_pages > 0);
    assert_true(reclaims.gone > ZBUD_RECORDS_MAX / 2 && expires.gone > 0 && crawls.gone > 0);
    assert_true(all.settled > 0);
    cache_keeper_free(rig->keeper);
    cache_worker_free(rig->worker);
    cache_free(rig->cache);
    free(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
