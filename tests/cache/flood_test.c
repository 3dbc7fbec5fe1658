/* Keys made to collide, as by somebody who knows the seed: what they cost is bounded, and others do
 * not pay for it. */
#include "server/cache/index.h"
#include "tests/cache/check_cache.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define NOW       1000u
#define MIB       (1u << 20)
#define FLOOD     10000u
#define OTHERS    20000u
#define FLOOD_MAX 16u /* slots in the two buckets of a hash */
#define ROUNDS    2000u

uint64_t __real_hash_key(const void *key, size_t key_bytes, uint64_t seed);
uint64_t __wrap_hash_key(const void *key, size_t key_bytes, uint64_t seed);

/* Of keys that begin with 'f' the same for all. */
uint64_t __wrap_hash_key(const void *key, size_t key_bytes, uint64_t seed)
{
    return __real_hash_key(key, *(const char *)key == 'f' ? 1 : key_bytes, seed);
}

/* How often a place in the index was looked for. */
static unsigned inserts;

uint64_t *__real_index_insert(struct index *index, uint64_t hash, struct index_place place);
uint64_t *__wrap_index_insert(struct index *index, uint64_t hash, struct index_place place);

uint64_t *__wrap_index_insert(struct index *index, uint64_t hash, struct index_place place)
{
    inserts++;
    return __real_index_insert(index, hash, place);
}

struct bench {
    struct engine engine;
    uint8_t out[512];
};

static int set_up(void **state)
{
    *state = engine_new(sizeof(struct bench), 2, NOW);
    return 0;
}

static enum cache_status put(struct bench *bench, const char *name, unsigned number)
{
    char entry[128];
    const size_t key_bytes = (size_t)snprintf(entry, sizeof(entry), "%s%u", name, number);
    const struct cache_store store = {
        .entry = (const uint8_t *)entry,
        .key_bytes = key_bytes,
        .value_bytes = 64,
        .mode = CACHE_SET,
        .expiry_s = CACHE_NEVER,
    };
    memset(entry + key_bytes, 'v', 64);
    return cache_store(bench->engine.worker, &store, NOW, NULL);
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct bench *bench = context;
    return bench->out + item->key_bytes;
}

static enum cache_status get(struct bench *bench, const char *name, unsigned number)
{
    char key[64];
    const size_t key_bytes = (size_t)snprintf(key, sizeof(key), "%s%u", name, number);
    struct cache_item item;
    return cache_get(bench->engine.worker, key, key_bytes, NULL, NOW, place, bench, &item);
}

/* mg with N: an empty item where there is none. */
static enum cache_status look(struct bench *bench, const char *name, unsigned number)
{
    char key[64];
    const size_t key_bytes = (size_t)snprintf(key, sizeof(key), "%s%u", name, number);
    const struct cache_look look = {.create = true, .create_expiry_s = CACHE_NEVER};
    struct cache_view view;
    return cache_look(bench->engine.worker, key, key_bytes, &look, NOW, place, bench, &view);
}

static uint64_t index_bytes(struct bench *bench)
{
    struct cache_figures figures;
    cache_figures(bench->engine.cache, &figures);
    return figures.pages_index * 4096;
}

static double now_ns(void)
{
    struct timespec now;
    const int failed = clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    assert_int_equal(failed, 0);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* Nanoseconds of one of many; what they answer is the caller's business. */
static double time_gets(struct bench *bench, const char *name, unsigned keys)
{
    const double began_ns = now_ns();
    for (unsigned i = 0; i < ROUNDS; i++)
        (void)get(bench, name, i % keys);
    return (now_ns() - began_ns) / ROUNDS;
}

static double time_looks(struct bench *bench, const char *name, unsigned first)
{
    const double began_ns = now_ns();
    for (unsigned i = 0; i < ROUNDS; i++)
        (void)look(bench, name, first + i);
    return (now_ns() - began_ns) / ROUNDS;
}

static double time_puts(struct bench *bench, const char *name, unsigned first)
{
    const double began_ns = now_ns();
    for (unsigned i = 0; i < ROUNDS; i++)
        (void)put(bench, name, first + i);
    return (now_ns() - began_ns) / ROUNDS;
}

/* As many as two buckets hold are kept, found and told apart; the others are refused, and neither
 * index nor eviction pays for them. */
static void test_flood(void **state)
{
    struct bench *bench = *state;
    struct cache_figures before, after;
    unsigned stored = 0, found = 0;

    for (unsigned i = 0; i < OTHERS; i++)
        assert_int_equal(put(bench, "other", i), CACHE_OK);
    const uint64_t bytes = index_bytes(bench);
    cache_figures(bench->engine.cache, &before);
    for (unsigned i = 0; i < FLOOD; i++) {
        const enum cache_status status = put(bench, "flood", i);
        stored += status == CACHE_OK;
        assert_true(status == CACHE_OK || status == CACHE_NO_MEMORY);
    }
    cache_figures(bench->engine.cache, &after);
    for (unsigned i = 0; i < FLOOD; i++)
        found += get(bench, "flood", i) == CACHE_OK;
    print_message("%u of %u kept, index %lu KiB before, %lu after\n", stored, FLOOD,
                  (unsigned long)bytes >> 10, (unsigned long)index_bytes(bench) >> 10);
    assert_int_equal(stored, found);
    assert_true(stored >= 1 && stored <= FLOOD_MAX);
    assert_true(index_bytes(bench) <= 4 * bytes);
    assert_int_equal(after.evicted, before.evicted);
    for (unsigned i = 0; i < OTHERS; i++)
        assert_int_equal(get(bench, "other", i), CACHE_OK);
    print_message("a get %.0f ns, of one of %u that collide %.0f, of one that is not there %.0f\n",
                  time_gets(bench, "other", OTHERS), stored, time_gets(bench, "flood", stored),
                  time_gets(bench, "flooded", ROUNDS));
    print_message("a set %.0f ns, one that is refused %.0f\n", time_puts(bench, "more", 0),
                  time_puts(bench, "flood", FLOOD));
}

/* Who is refused is refused at once, whatever asks for the item. */
static void test_refused_once(void **state)
{
    struct bench *bench = *state;
    struct cache_figures before, after;

    for (unsigned i = 0; i < OTHERS; i++)
        assert_int_equal(put(bench, "other", i), CACHE_OK);
    for (unsigned i = 0; i < FLOOD; i++)
        (void)put(bench, "flood", i);
    cache_figures(bench->engine.cache, &before);
    inserts = 0;
    for (unsigned i = 0; i < ROUNDS; i++) {
        assert_int_equal(put(bench, "flood", FLOOD + i), CACHE_NO_MEMORY);
        assert_int_equal(look(bench, "flood", FLOOD + i), CACHE_NO_MEMORY);
    }
    assert_int_equal(inserts, 2 * ROUNDS);
    cache_figures(bench->engine.cache, &after);
    assert_int_equal(after.items, before.items);
    assert_int_equal(after.evicted, before.evicted);
    print_message("mg N of one that is there %.0f ns, that is made %.0f, that is refused %.0f\n",
                  time_looks(bench, "other", 0), time_looks(bench, "made", 0),
                  time_looks(bench, "flood", FLOOD));
}

/* With nothing beside them a segment does not grow for them either. */
static void test_flood_alone(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < FLOOD; i++)
        (void)put(bench, "flood", i);
    assert_int_equal(index_bytes(bench), 4096);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_flood, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_refused_once, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_flood_alone, set_up, engine_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
