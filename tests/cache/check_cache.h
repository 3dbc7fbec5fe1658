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

/** open_cache() - a cache with one worker and its keeper; to be closed by close_cache(). */
static inline void open_cache(const struct cache_config *config, struct cache **cache,
                              struct cache_worker **worker, struct cache_keeper **keeper)
{
    *cache = cache_new(config);
    assert_non_null(*cache);
    *worker = cache_worker_new(*cache);
    *keeper = cache_keeper_new(*cache);
    assert_true(*worker != NULL && *keeper != NULL);
}

/** close_cache() - whatever a test did, the invariants hold. */
static inline void close_cache(struct cache *cache, struct cache_worker *worker,
                               struct cache_keeper *keeper)
{
    cache_check(cache);
    cache_worker_free(worker);
    cache_keeper_free(keeper);
    cache_free(cache);
}

#endif
