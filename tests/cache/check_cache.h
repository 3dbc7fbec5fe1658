/*
 * check_cache.h - what the tests of the cache include first: cmocka with the headers it leaves to
 * its users, and a cache with all that goes with it.
 */
#ifndef TESTS_CACHE_CHECK_CACHE_H
#define TESTS_CACHE_CHECK_CACHE_H

/* cmocka.h names types of these without including them, so they stand before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/cache/cache.h"

#include <stdlib.h>

/* A cache, one worker and its keeper. What a test keeps of its own begins with it, as "engine". */
struct engine {
    struct cache *cache;
    struct cache_worker *worker;
    struct cache_keeper *keeper;
};

/** make_noise() - bytes that nothing makes smaller; others for each @random, which goes on. */
static inline void make_noise(uint64_t *random, uint8_t *out, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        *random = *random * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(*random >> 56);
    }
}

/** engine_open() - to be closed by engine_close(). */
static inline void engine_open(struct engine *engine, const struct cache_config *config)
{
    engine->cache = cache_new(config);
    assert_non_null(engine->cache);
    engine->worker = cache_worker_new(engine->cache);
    engine->keeper = cache_keeper_new(engine->cache);
    assert_true(engine->worker != NULL && engine->keeper != NULL);
}

/** engine_close() - whatever a test did, the invariants hold. */
static inline void engine_close(struct engine *engine)
{
    cache_check(engine->cache);
    cache_worker_free(engine->worker);
    cache_keeper_free(engine->keeper);
    cache_free(engine->cache);
}

/** engine_new() - a test's struct of @bytes, zeroed, with a cache of 64 MiB that evicts and
 * compresses; for engine_tear_down(). */
static inline void *engine_new(size_t bytes, unsigned shards, uint32_t now_s)
{
    const struct cache_config config = {
        .memory_bytes = (size_t)64 << 20,
        .reserve_bytes = (size_t)64 << 20,
        .item_bytes_max = 1 << 20,
        .shards = shards,
        .evict = true,
        .compress = true,
        .seed = 7,
        .now_s = now_s,
    };
    struct engine *engine = calloc(1, bytes);

    assert_non_null(engine);
    engine_open(engine, &config);
    return engine;
}

/** engine_tear_down() - of a test whose state was calloc()ed and begins with its engine. */
static inline int engine_tear_down(void **state)
{
    struct engine *engine = *state;

    engine_close(engine);
    free(engine);
    return 0;
}

#endif
