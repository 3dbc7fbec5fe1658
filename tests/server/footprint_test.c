/*
 * footprint_test.c - what the process takes beside cache and connections is charged, also while
 * connections hold memory that they have not touched.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/budget.h"
#include "server/cache/cache.h"
#include "server/footprint.h"
#include "server/limits.h"
#include "tests/instrumented.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define MIB          ((size_t)1 << 20)
#define MEMORY_BYTES (64 * MIB)
#define BLOCK_BYTES  4096u
#define BLOCKS_COUNT 2048u
#define MAPPED_BYTES (16 * MIB)
/* What else may change meanwhile: code paged in. */
#define ABOUT_BYTES  (1 * MIB)

struct fixture {
    struct cache *cache;
    struct budget *budget;
    struct footprint *footprint;
};

static int make(void **state)
{
    const struct cache_config config = {
        .memory_bytes = MEMORY_BYTES,
        .reserve_bytes = MEMORY_BYTES,
        .item_bytes_max = MIB,
        .shards = 1,
        .evict = true,
        .now_s = 1,
    };
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    (void)mallopt(M_MMAP_THRESHOLD, (int)LIMITS_MAPPED_BYTES_MIN); /* a sanitizer has none */
    fixture->cache = cache_new(&config);
    assert_non_null(fixture->cache);
    fixture->budget = budget_new(fixture->cache, MEMORY_BYTES);
    assert_non_null(fixture->budget);
    fixture->footprint = footprint_new(fixture->cache, fixture->budget, 1, 0);
    assert_non_null(fixture->footprint);
    *state = fixture;
    return 0;
}

static int unmake(void **state)
{
    struct fixture *fixture = *state;

    footprint_free(fixture->footprint);
    budget_free(fixture->budget);
    cache_free(fixture->cache);
    free(fixture);
    return 0;
}

static void *take(struct fixture *fixture, size_t bytes)
{
    assert_true(budget_take(fixture->budget, bytes));
    void *block = malloc(bytes);
    assert_non_null(block);
    return block;
}

static void give(struct fixture *fixture, void *block, size_t bytes)
{
    free(block);
    budget_give(fixture->budget, bytes);
}

/* Small blocks, of which the last alone stays: the heap has a hole of 8 MiB, which nobody holds and
 * which is resident. Beside it a mapped block that nobody has touched, twice as large. */
static void test_heap_behind_untouched(void **state)
{
    struct fixture *fixture = *state;
    void *blocks[BLOCKS_COUNT];
    const size_t before_bytes = footprint_bytes(fixture->footprint);

    for (unsigned i = 0; i < BLOCKS_COUNT; i++) {
        blocks[i] = take(fixture, BLOCK_BYTES);
        memset(blocks[i], 1, BLOCK_BYTES);
    }
    footprint_adjust(fixture->footprint);
    assert_true(INSTRUMENTED || footprint_bytes(fixture->footprint) < before_bytes + ABOUT_BYTES);
    for (unsigned i = 0; i + 1 < BLOCKS_COUNT; i++) {
        give(fixture, blocks[i], BLOCK_BYTES);
    }
    void *mapped = take(fixture, MAPPED_BYTES);
    footprint_adjust(fixture->footprint);
    assert_true(INSTRUMENTED || footprint_bytes(fixture->footprint) + ABOUT_BYTES >=
                                    before_bytes + (size_t)BLOCKS_COUNT * BLOCK_BYTES);
    give(fixture, mapped, MAPPED_BYTES);
    give(fixture, blocks[BLOCKS_COUNT - 1], BLOCK_BYTES);
}

/* What is held between the mark and the end of measuring stays charged. */
static void test_mark(void **state)
{
    struct fixture *fixture = *state;
    struct budget_figures figures;
    const size_t bytes = 40u << 10;
    void *blocks[100];

    budget_mark(fixture->budget);
    for (unsigned i = 0; i < 100; i++) {
        blocks[i] = take(fixture, bytes);
    }
    for (unsigned i = 0; i < 100; i++) {
        give(fixture, blocks[i], bytes);
    }
    budget_tidy(fixture->budget);
    budget_figures(fixture->budget, &figures);
    assert_int_equal(figures.held_bytes, 0);
    assert_true(figures.charged_bytes >= 100 * bytes);
    budget_mark(fixture->budget);
    budget_tidy(fixture->budget);
    budget_figures(fixture->budget, &figures);
    assert_int_equal(figures.charged_bytes, MEMORY_BYTES / LIMITS_CONNS_PREPAID_DIVISOR);
}

/* A mapping is charged with its header, in whole pages. */
static void test_mapping_in_pages(void **state)
{
    struct fixture *fixture = *state;
    struct budget_figures figures;

    assert_true(budget_take(fixture->budget, LIMITS_MAPPED_BYTES_MIN));
    budget_figures(fixture->budget, &figures);
    assert_int_equal(figures.held_bytes, LIMITS_MAPPED_BYTES_MIN + 4096);
    assert_int_equal(figures.heap_bytes, 0);
    budget_give(fixture->budget, LIMITS_MAPPED_BYTES_MIN);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_heap_behind_untouched, make, unmake),
        cmocka_unit_test_setup_teardown(test_mark, make, unmake),
        cmocka_unit_test_setup_teardown(test_mapping_in_pages, make, unmake),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
