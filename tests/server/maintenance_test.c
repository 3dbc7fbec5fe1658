/*
 * maintenance_test.c - the background thread leaves nothing out, however much there is to do.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/admin/log.h"
#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/clock.h"
#include "server/footprint.h"
#include "server/maintenance.h"

#include <semaphore.h>
#include <stdbool.h>
#include <unistd.h>

#define MEMORY_BYTES ((size_t)64 << 20)
#define ROUNDS       3u

/* The upkeep, of which there is always more. */
static sem_t compressed;

bool __wrap_cache_maintain(struct cache_keeper *keeper, uint32_t now_s);
enum cache_compress __wrap_cache_compress(struct cache_keeper *keeper, uint32_t now_s);

bool __wrap_cache_maintain(struct cache_keeper *keeper, uint32_t now_s)
{
    (void)keeper;
    (void)now_s;
    return true;
}

enum cache_compress __wrap_cache_compress(struct cache_keeper *keeper, uint32_t now_s)
{
    (void)keeper;
    (void)now_s;
    (void)sem_post(&compressed);
    return CACHE_COMPRESS_MORE;
}

static uint64_t still(void *context)
{
    (void)context;
    return 0;
}

/* With any share of a core, a whole one too: what stores left is compressed, and the thread ends
 * when it is told to. */
static void test_any_share(void **state)
{
    static const unsigned shares[] = {0, 1, 99, 100};
    const struct cache_config config = {
        .memory_bytes = MEMORY_BYTES,
        .reserve_bytes = MEMORY_BYTES,
        .item_bytes_max = 1 << 20,
        .shards = 1,
        .evict = true,
        .now_s = 1,
    };
    struct cache *cache = cache_new(&config);
    struct budget *budget = budget_new(cache, MEMORY_BYTES);
    struct footprint *footprint = footprint_new(cache, budget, 1, 0);
    struct log *log = log_new(STDERR_FILENO, 0, still, NULL);
    struct clock clock;

    (void)state;
    assert_true(cache != NULL && budget != NULL && footprint != NULL && log != NULL);
    clock_init(&clock);
    for (size_t i = 0; i < sizeof(shares) / sizeof(shares[0]); i++) {
        assert_int_equal(sem_init(&compressed, 0, 0), 0);
        struct maintenance *maintenance = maintenance_new(cache, footprint, &clock, log, shares[i]);
        assert_non_null(maintenance);
        for (unsigned round = 0; round < ROUNDS; round++) {
            assert_int_equal(sem_wait(&compressed), 0);
        }
        maintenance_free(maintenance);
        assert_int_equal(sem_destroy(&compressed), 0);
    }
    log_free(log);
    footprint_free(footprint);
    budget_free(budget);
    cache_free(cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_any_share),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
