/*
 * Several threads on one cache: each owns some keys, whose values it always finds as it left them,
 * and all share counters and a list, of which no step may be lost. For tsan as much as for the
 * counts.
 */
#include "server/cache/cache.h"
#include "tests/cache/check_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define THREADS_COUNT 4u
#define OWN_KEYS      400u
#define ROUNDS        15000u
#define WON_KEYS      20000u
#define NOW           1000u
#define MIB           (1u << 20)

struct thread {
    struct cache *cache;
    unsigned id;
    unsigned failures; /* the main thread asserts: cmocka fails by longjmp */
    unsigned hits;
    unsigned appended;
    pthread_t thread;
    uint8_t out[MIB];
};

static atomic_bool maintain_stop;

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct thread *thread = context;
    return thread->out + item->key_bytes;
}

static size_t make_entry(uint8_t *entry, unsigned id, unsigned key, unsigned version,
                         size_t *key_bytes)
{
    *key_bytes = (size_t)sprintf((char *)entry, "own:%u:%u", id, key);
    size_t bytes = version % 700 + (version % 97 == 0 ? 9000 : 0);
    for (size_t i = 0; i < bytes; i++)
        entry[*key_bytes + i] = (uint8_t)((version * 31 + i * (version % 5)) >> 1);
    return bytes;
}

static enum cache_status store(struct cache_worker *worker, enum cache_mode mode, uint8_t *entry,
                               size_t key_bytes, size_t value_bytes)
{
    struct cache_store store = {.entry = entry,
                                .key_bytes = key_bytes,
                                .value_bytes = value_bytes,
                                .mode = mode,
                                .expiry_s = CACHE_NEVER};
    return cache_store(worker, &store, NOW, NULL);
}

static void own_round(struct thread *thread, struct cache_worker *worker, unsigned *versions,
                      unsigned round)
{
    uint8_t entry[16384];
    size_t key_bytes;
    unsigned key = round * 7 % OWN_KEYS;
    struct cache_item item;
    size_t bytes = make_entry(entry, thread->id, key, versions[key], &key_bytes);
    enum cache_status status = cache_get(worker, entry, key_bytes, NULL, NOW, place, thread, &item);
    if (status == CACHE_OK) {
        thread->hits++;
        thread->failures += versions[key] == 0 || item.value_bytes != bytes ||
                            memcmp(thread->out + key_bytes, entry + key_bytes, bytes) != 0;
    }
    versions[key] = round + 1;
    bytes = make_entry(entry, thread->id, key, versions[key], &key_bytes);
    thread->failures += store(worker, CACHE_SET, entry, key_bytes, bytes) != CACHE_OK;
}

static void *work(void *argument)
{
    struct thread *thread = argument;
    struct cache_worker *worker = cache_worker_new(thread->cache);
    unsigned versions[OWN_KEYS] = {0};
    const struct cache_arith incr = {.increment = true, .delta = 1};
    for (unsigned round = 0; round < ROUNDS; round++) {
        own_round(thread, worker, versions, round);
        struct cache_number number;
        thread->failures += cache_arith(worker, "counter", 7, &incr, NOW, &number) != CACHE_OK;
        if (round % 64 == 0) {
            uint8_t entry[] = "listx";
            thread->appended += store(worker, CACHE_APPEND, entry, 4, 1) == CACHE_OK;
        }
        if (round % 512 == 0) /* a connection's buffer comes and goes */
            thread->failures += cache_charge(thread->cache, 100000) != CACHE_OK;
        if (round % 512 == 256)
            cache_uncharge(thread->cache, 100000);
    }
    cache_worker_free(worker);
    return NULL;
}

static void *maintain(void *argument)
{
    struct cache *cache = argument;
    struct cache_keeper *keeper = cache_keeper_new(cache);
    struct cache_figures figures;
    while (!atomic_load(&maintain_stop)) {
        cache_maintain(keeper, NOW);
        (void)cache_compress(keeper, NOW);
        cache_figures(cache, &figures);
    }
    cache_keeper_free(keeper);
    return NULL;
}

static void run(size_t memory_bytes, bool may_evict)
{
    struct cache_config config = {.memory_bytes = memory_bytes,
                                  .reserve_bytes = memory_bytes,
                                  .item_bytes_max = MIB,
                                  .shards = 4,
                                  .evict = true,
                                  .compress = true,
                                  .defer = true,
                                  .settle = true,
                                  .seed = 7,
                                  .now_s = NOW};
    struct cache *cache = cache_new(&config);
    struct cache_worker *worker = cache_worker_new(cache);
    struct thread *threads = calloc(THREADS_COUNT, sizeof(*threads));
    pthread_t maintainer;
    uint8_t counter[] = "counter0", list[] = "list";
    assert_int_equal(store(worker, CACHE_SET, counter, 7, 1), CACHE_OK);
    assert_int_equal(store(worker, CACHE_SET, list, 4, 0), CACHE_OK);
    atomic_store(&maintain_stop, false);
    assert_int_equal(pthread_create(&maintainer, NULL, maintain, cache), 0);
    for (unsigned i = 0; i < THREADS_COUNT; i++) {
        threads[i].cache = cache;
        threads[i].id = i;
        assert_int_equal(pthread_create(&threads[i].thread, NULL, work, &threads[i]), 0);
    }
    unsigned hits = 0, appended = 0;
    for (unsigned i = 0; i < THREADS_COUNT; i++) {
        pthread_join(threads[i].thread, NULL);
        assert_int_equal(threads[i].failures, 0);
        hits += threads[i].hits;
        appended += threads[i].appended;
    }
    atomic_store(&maintain_stop, true);
    pthread_join(maintainer, NULL);
    assert_true(hits > ROUNDS / 4);
    struct cache_number number;
    const struct cache_arith look = {.increment = true};
    assert_int_equal(cache_arith(worker, "counter", 7, &look, NOW, &number), CACHE_OK);
    assert_int_equal(number.value, THREADS_COUNT * ROUNDS);
    struct cache_item item;
    enum cache_status status = cache_get(worker, "list", 4, NULL, NOW, place, &threads[0], &item);
    if (!may_evict) {
        assert_int_equal(status, CACHE_OK);
        assert_int_equal(item.value_bytes, appended);
        assert_int_equal(hits, THREADS_COUNT * (ROUNDS - OWN_KEYS));
    }
    cache_check(cache);
    free(threads);
    cache_worker_free(worker);
    cache_free(cache);
}

static void test_room_for_all(void **state)
{
    (void)state;
    run(64 * MIB, false);
}

/* The counter is hit all the time, so it is rescued again and again and must survive. */
static void test_evicting(void **state)
{
    (void)state;
    run(4 * MIB, true);
}

/* Every key is looked at by every thread; how often one was told that it has won. */
static void *look_at_all(void *argument)
{
    struct thread *thread = argument;
    struct cache_worker *worker = cache_worker_new(thread->cache);
    const struct cache_look look = {.create = true, .create_expiry_s = CACHE_NEVER};
    for (unsigned i = 0; i < WON_KEYS; i++) {
        char key[32];
        struct cache_view view;
        size_t key_bytes = (size_t)sprintf(key, "won:%u", (i + thread->id) % WON_KEYS);
        enum cache_status status =
            cache_look(worker, key, key_bytes, &look, NOW, place, thread, &view);
        thread->failures += status != CACHE_OK || view.won == view.given;
        thread->hits += status == CACHE_OK && view.won;
    }
    cache_worker_free(worker);
    return NULL;
}

static unsigned look_together(struct cache *cache)
{
    struct thread *threads = calloc(THREADS_COUNT, sizeof(*threads));
    unsigned won = 0;
    for (unsigned i = 0; i < THREADS_COUNT; i++) {
        threads[i].cache = cache;
        threads[i].id = i;
        assert_int_equal(pthread_create(&threads[i].thread, NULL, look_at_all, &threads[i]), 0);
    }
    for (unsigned i = 0; i < THREADS_COUNT; i++) {
        pthread_join(threads[i].thread, NULL);
        assert_int_equal(threads[i].failures, 0);
        won += threads[i].hits;
    }
    free(threads);
    return won;
}

/* Of all that look at an item that is missing, or stale, one wins. */
static void test_one_wins(void **state)
{
    (void)state;
    struct cache_config config = {.memory_bytes = 16 * MIB,
                                  .reserve_bytes = 16 * MIB,
                                  .item_bytes_max = MIB,
                                  .shards = 4,
                                  .seed = 7,
                                  .now_s = NOW};
    struct cache *cache = cache_new(&config);
    struct cache_worker *worker = cache_worker_new(cache);
    const struct cache_change stale = {.invalidate = true};
    assert_int_equal(look_together(cache), WON_KEYS);
    assert_int_equal(look_together(cache), 0);
    for (unsigned i = 0; i < WON_KEYS; i++) {
        char key[32];
        size_t key_bytes = (size_t)sprintf(key, "won:%u", i);
        assert_int_equal(cache_change(worker, key, key_bytes, &stale, NOW), CACHE_OK);
    }
    assert_int_equal(look_together(cache), WON_KEYS);
    assert_int_equal(look_together(cache), 0);
    cache_check(cache);
    cache_worker_free(worker);
    cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_room_for_all),
        cmocka_unit_test(test_evicting),
        cmocka_unit_test(test_one_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
