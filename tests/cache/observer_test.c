/*
 * observer_test.c - each eviction is told with its key and size, and only where it is wanted; and
 * what stands for a key can be asked without leaving a trace.
 */
#include "tests/cache/check_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW         1000u
#define MEMORY      ((size_t)4 << 20)
#define ITEMS_COUNT 40000u
#define VALUE_BYTES 300u

struct world {
    struct engine engine;
    bool wanted;
    unsigned told;
    unsigned told_fetched;
    uint8_t evicted[ITEMS_COUNT]; /* how often each was told */
};

static bool wants(void *context)
{
    return ((struct world *)context)->wanted;
}

/* Item n expires n seconds from now, so key, size and expiry have to fit. */
static void on_evicted(void *context, const struct cache_evicted *item, uint32_t now_s)
{
    struct world *world = context;
    char key[CACHE_KEY_BYTES_MAX + 1];
    unsigned number = ITEMS_COUNT;

    memcpy(key, item->key, item->key_bytes);
    key[item->key_bytes] = '\0';
    assert_int_equal(sscanf(key, "an item called %u", &number), 1);
    assert_true(number < ITEMS_COUNT);
    assert_int_equal(item->value_bytes, VALUE_BYTES + number % 7);
    assert_int_equal(item->expiry_s, number % 2 ? CACHE_NEVER : NOW + 1000 + number);
    assert_true(now_s == NOW);
    assert_int_equal(item->age_s, 0);
    world->evicted[number]++;
    world->told++;
    world->told_fetched += item->fetched;
}

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof(*world));
    const struct cache_config config = {
        .memory_bytes = MEMORY,
        .reserve_bytes = MEMORY,
        .item_bytes_max = 1 << 20,
        .shards = 2,
        .evict = true,
        .compress = true,
        .observer = {wants, on_evicted, world},
        .seed = 3,
        .now_s = NOW,
    };

    engine_open(&world->engine, &config);
    *state = world;
    return 0;
}

static size_t name(unsigned number, char *out, size_t room)
{
    return (size_t)snprintf(out, room, "an item called %u", number);
}

static void store(struct world *world, unsigned number, uint32_t expiry_s)
{
    char entry[CACHE_KEY_BYTES_MAX + VALUE_BYTES + 7];
    const size_t key_bytes = name(number, entry, sizeof(entry));
    const size_t value_bytes = VALUE_BYTES + number % 7;
    uint32_t noise = number * 2654435761u + 1;

    for (size_t i = 0; i < value_bytes; i++) {
        noise = noise * 1664525u + 1013904223u;
        entry[key_bytes + i] = (char)('a' + (noise >> 20) % 26);
    }
    const struct cache_store put = {
        .entry = (const uint8_t *)entry,
        .key_bytes = key_bytes,
        .value_bytes = value_bytes,
        .expiry_s = expiry_s,
    };
    assert_int_equal(cache_store(world->engine.worker, &put, NOW, NULL), CACHE_OK);
}

static struct cache_figures get_figures(struct world *world)
{
    struct cache_figures figures;

    cache_figures(world->engine.cache, &figures);
    return figures;
}

static enum cache_standing inspect(struct world *world, unsigned number, uint32_t now_s,
                                   struct cache_item *item)
{
    char key[CACHE_KEY_BYTES_MAX];

    return cache_inspect(world->engine.worker, key, name(number, key, sizeof(key)), now_s, item);
}

static void test_evictions_are_told(void **state)
{
    struct world *world = *state;
    unsigned number = 0;

    while (get_figures(world).evicted < 1000) {
        store(world, number, number % 2 ? CACHE_NEVER : NOW + 1000 + number);
        number++;
    }
    assert_int_equal(world->told, 0); /* nobody wanted it */
    const struct cache_figures before = get_figures(world);
    world->wanted = true;
    while (number < ITEMS_COUNT) {
        store(world, number, number % 2 ? CACHE_NEVER : NOW + 1000 + number);
        number++;
    }
    const struct cache_figures after = get_figures(world);
    const uint64_t unfetched = after.evicted_unfetched - before.evicted_unfetched;
    assert_int_equal(world->told, after.evicted - before.evicted);
    assert_int_equal(world->told - world->told_fetched, unfetched);
    assert_true(world->told > 10000);
    for (unsigned i = 0; i < ITEMS_COUNT; i++) {
        struct cache_item item;
        assert_true(world->evicted[i] <= 1); /* stored once, gone once */
        assert_true(world->evicted[i] == 0 || inspect(world, i, NOW, &item) == CACHE_ABSENT);
    }
}

/* However often it is asked, nothing has changed. */
static void test_inspecting_leaves_no_trace(void **state)
{
    struct world *world = *state;
    struct cache_item item;

    store(world, 4, NOW + 10);
    store(world, 5, CACHE_NEVER);
    assert_int_equal(inspect(world, 6, NOW, &item), CACHE_ABSENT);
    assert_int_equal(inspect(world, 4, NOW, &item), CACHE_ALIVE);
    assert_int_equal(item.value_bytes, VALUE_BYTES + 4);
    assert_int_equal(item.expiry_s, NOW + 10);
    const struct cache_figures before = get_figures(world);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(inspect(world, 4, NOW + 10, &item), CACHE_EXPIRED);
    }
    cache_flush_all(world->engine.cache, NOW, NOW);
    for (unsigned i = 0; i < 5; i++) {
        assert_int_equal(inspect(world, 5, NOW, &item), CACHE_FLUSHED);
    }
    const struct cache_figures after = get_figures(world);
    assert_int_equal(after.items, before.items);
    assert_int_equal(after.expired + after.flushed, before.expired + before.flushed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_evictions_are_told, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_inspecting_leaves_no_trace, set_up, engine_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
