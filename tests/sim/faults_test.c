/* What the simulator has found, and what is refused at one point alone: each by itself. */
#include "tests/cache/check_cache.h"
#include "tests/sim/faults.h"

#include <stdio.h>
#include <string.h>

#define NOW_S        1000u
#define LARGE_BYTES  ((size_t)150 << 10)
#define CHARGE_BYTES ((size_t)16 << 10)

struct scene {
    struct engine engine;
    uint8_t entry[8 + LARGE_BYTES];
};

static void open_scene(struct scene *scene)
{
    const struct cache_config config = {
        .memory_bytes = (size_t)4 << 20,
        .reserve_bytes = (size_t)8 << 20,
        .item_bytes_max = (size_t)1 << 20,
        .shards = 2,
        .evict = true,
        .now_s = NOW_S,
    };
    faults_seed(1);
    engine_open(&scene->engine, &config);
}

static void close_scene(struct scene *scene)
{
    engine_close(&scene->engine);
}

static struct cache_figures figures_of(const struct scene *scene)
{
    struct cache_figures figures;
    cache_figures(scene->engine.cache, &figures);
    return figures;
}

static enum cache_status store(struct scene *scene, unsigned number, enum cache_mode mode,
                               size_t value_bytes)
{
    char key[9];
    snprintf(key, sizeof(key), "%08u", number);
    memcpy(scene->entry, key, 8);
    memset(scene->entry + 8, 'v', value_bytes);
    const struct cache_store store = {.entry = scene->entry,
                                      .key_bytes = 8,
                                      .value_bytes = value_bytes,
                                      .mode = mode,
                                      .expiry_s = CACHE_NEVER};
    return cache_store(scene->engine.worker, &store, NOW_S, NULL);
}

static void fill(struct scene *scene)
{
    for (unsigned i = 0; figures_of(scene).evicted == 0; i++)
        assert_int_equal(store(scene, i, CACHE_SET, 500), CACHE_OK);
}

/* Room was made, and the page is not there: so often, then the store gives up. */
static void test_no_page_for_a_large_value(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    faults_rate(FAULT_PAGE, 1);
    faults_arm();
    assert_int_equal(store(&scene, 1, CACHE_SET, LARGE_BYTES), CACHE_NO_MEMORY);
    assert_true(faults_disarm() > 0);
    assert_int_equal(figures_of(&scene).pages_large, 0);
    assert_int_equal(store(&scene, 1, CACHE_SET, LARGE_BYTES), CACHE_OK);
    close_scene(&scene);
}

/* A worker that cannot make its memory smaller keeps it, charged, and gives all back at its end. */
static void test_memory_that_does_not_shrink(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    assert_int_equal(store(&scene, 1, CACHE_SET, LARGE_BYTES), CACHE_OK);
    uint64_t charged_bytes = figures_of(&scene).charged_bytes;
    for (uint64_t nth = 1; figures_of(&scene).charged_bytes == charged_bytes; nth++) {
        /* A charge that fails for once evicts, perhaps this. */
        assert_int_equal(store(&scene, 1, CACHE_SET, LARGE_BYTES), CACHE_OK);
        faults_fail_at(nth);
        faults_arm();
        (void)store(&scene, 1, CACHE_APPEND, 10);
        assert_true(faults_disarm() > 0);
    }
    faults_fail_at(0);
    assert_true(figures_of(&scene).charged_bytes >= charged_bytes + LARGE_BYTES);
    cache_worker_free(scene.engine.worker);
    scene.engine.worker = cache_worker_new(scene.engine.cache);
    assert_non_null(scene.engine.worker);
    assert_int_equal(figures_of(&scene).charged_bytes, charged_bytes);
    close_scene(&scene);
}

/* Where the system takes no memory back (locked, before Linux 5.18), evicting wins nothing. */
static void test_a_refused_charge_evicts_little(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    fill(&scene);
    uint64_t items = figures_of(&scene).items;
    faults_rate(FAULT_ADVISE, 1);
    faults_arm();
    size_t charged = 0;
    for (unsigned i = 0; i < 40; i++)
        charged += cache_charge(scene.engine.cache, CHARGE_BYTES) == CACHE_OK;
    (void)faults_disarm();
    assert_true(charged < 10);
    assert_true(figures_of(&scene).items > items / 10 * 9);
    assert_int_equal(cache_charge(scene.engine.cache, CHARGE_BYTES), CACHE_OK);
    cache_uncharge(scene.engine.cache, (charged + 1) * CHARGE_BYTES);
    close_scene(&scene);
}

static void test_a_refused_limit_evicts_little(void **state)
{
    struct scene scene;
    (void)state;
    open_scene(&scene);
    fill(&scene);
    uint64_t items = figures_of(&scene).items;
    assert_int_equal(cache_set_memory(scene.engine.cache, (size_t)2 << 20), CACHE_OK);
    faults_rate(FAULT_ADVISE, 1);
    faults_arm();
    for (unsigned i = 0; i < 2000; i++)
        (void)cache_maintain(scene.engine.keeper, NOW_S);
    (void)faults_disarm();
    assert_true(figures_of(&scene).items > items / 10 * 9);
    while (cache_is_over(scene.engine.cache))
        (void)cache_maintain(scene.engine.keeper, NOW_S);
    assert_true(figures_of(&scene).items < items);
    close_scene(&scene);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_page_for_a_large_value),
        cmocka_unit_test(test_memory_that_does_not_shrink),
        cmocka_unit_test(test_a_refused_charge_evicts_little),
        cmocka_unit_test(test_a_refused_limit_evicts_little),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
