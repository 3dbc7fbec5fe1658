/* The walk over all items: each that stays is met exactly once, whatever happens meanwhile. */
#include "tests/cache/check_cache.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW      1000u
#define MIB      (1u << 20)
#define KEYS_MAX 400000u

/* Keys are numbers, so that how often each was met is an array. */
struct bench {
    struct engine engine;
    struct cache_walk walk;
    uint8_t met[KEYS_MAX];
    uint32_t values[KEYS_MAX]; /* what was stored last; 0: nothing */
};

static int set_up(void **state)
{
    *state = engine_new(sizeof(struct bench), 2, NOW);
    return 0;
}

static size_t key_of(unsigned number, char key[32])
{
    return (size_t)snprintf(key, 32, "key-%06u", number);
}

static void put(struct cache_worker *worker, unsigned number, uint32_t value, uint32_t expiry_s)
{
    char entry[64];
    const size_t key_bytes = key_of(number, entry);
    const size_t value_bytes = (size_t)snprintf(entry + key_bytes, 32, "%u", value);
    const struct cache_store store = {
        .entry = (const uint8_t *)entry,
        .key_bytes = key_bytes,
        .value_bytes = value_bytes,
        .mode = CACHE_SET,
        .flags = value,
        .expiry_s = expiry_s,
    };
    assert_int_equal(cache_store(worker, &store, NOW, NULL), CACHE_OK);
}

static void set(struct bench *bench, unsigned number, uint32_t value)
{
    put(bench->engine.worker, number, value, CACHE_NEVER);
    bench->values[number] = value;
}

static void drop(struct bench *bench, unsigned number)
{
    char key[32];
    const size_t key_bytes = key_of(number, key);
    const enum cache_status status = cache_delete(bench->engine.worker, key, key_bytes, NOW);
    assert_true(status == CACHE_OK || status == CACHE_NOT_FOUND);
    bench->values[number] = 0;
}

static unsigned number_of(const struct cache_walk_item *item)
{
    char key[32] = {0};
    unsigned number;
    assert_true(item->key_bytes < sizeof(key));
    memcpy(key, item->key, item->key_bytes);
    assert_int_equal(sscanf(key, "key-%u", &number), 1);
    assert_true(number < KEYS_MAX);
    return number;
}

static bool step(struct bench *bench, uint32_t now_s)
{
    if (!cache_walk(bench->engine.cache, &bench->walk, now_s)) {
        assert_int_equal(bench->walk.count, 0);
        return false;
    }
    assert_true(bench->walk.count <= CACHE_WALK_ITEMS_MAX);
    for (unsigned i = 0; i < bench->walk.count; i++)
        bench->met[number_of(&bench->walk.items[i])]++;
    return true;
}

static void test_nothing(void **state)
{
    struct bench *bench = *state;
    while (step(bench, NOW))
        assert_int_equal(bench->walk.count, 0);
    assert_false(cache_walk(bench->engine.cache, &bench->walk, NOW));
}

static void test_fields(void **state)
{
    struct bench *bench = *state;
    put(bench->engine.worker, 1, 123, NOW + 50);
    put(bench->engine.worker, 2, 0, CACHE_NEVER);
    bool met[3] = {false};
    while (cache_walk(bench->engine.cache, &bench->walk, NOW)) {
        for (unsigned i = 0; i < bench->walk.count; i++) {
            const struct cache_walk_item *item = &bench->walk.items[i];
            const unsigned number = number_of(item);
            met[number] = true;
            assert_int_equal(item->flags, number == 1 ? 123 : 0);
            assert_int_equal(item->value_bytes, number == 1 ? 3 : 1);
            assert_int_equal(item->expiry_s, number == 1 ? NOW + 50 : CACHE_NEVER);
            assert_int_not_equal(item->cas, 0);
            assert_false(item->fetched);
        }
    }
    assert_true(met[1] && met[2]);
}

/* How old it is, as far as the background has marked time, and what it takes. */
static void test_age_and_bytes(void **state)
{
    struct bench *bench = *state;
    const size_t bytes = 300000;
    uint8_t *entry = malloc(bytes);
    const struct cache_store store = {.entry = entry,
                                      .key_bytes = key_of(2, (char *)entry),
                                      .value_bytes = bytes - 64,
                                      .expiry_s = CACHE_NEVER};
    assert_non_null(entry);
    for (size_t i = store.key_bytes; i < bytes; i++)
        entry[i] = (uint8_t)((i * 2654435761u) >> 13);
    set(bench, 1, 1);
    while (cache_maintain(bench->engine.keeper, NOW))
        continue;
    for (uint32_t now_s = NOW; now_s <= NOW + 100; now_s++)
        (void)cache_maintain(bench->engine.keeper, now_s);
    assert_int_equal(cache_store(bench->engine.worker, &store, NOW + 100, NULL), CACHE_OK);
    unsigned met = 0;
    while (cache_walk(bench->engine.cache, &bench->walk, NOW + 103)) {
        for (unsigned i = 0; i < bench->walk.count; i++, met++) {
            const struct cache_walk_item *item = &bench->walk.items[i];
            const bool old = number_of(item) == 1;
            assert_in_range(item->age_s, old ? 80 : 0, old ? 103 : 3);
            assert_in_range(item->stored_bytes, old ? 12 : 8192, old ? 30 : bytes + 8192);
        }
    }
    assert_int_equal(met, 2);
    free(entry);
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    return (uint8_t *)context + item->key_bytes;
}

static void test_fetched(void **state)
{
    struct bench *bench = *state;
    struct cache_item item;
    uint8_t room[64];
    char key[32];
    set(bench, 5, 1);
    set(bench, 6, 1);
    assert_int_equal(
        cache_get(bench->engine.worker, key, key_of(5, key), NULL, NOW, place, room, &item),
        CACHE_OK);
    unsigned met = 0;
    while (cache_walk(bench->engine.cache, &bench->walk, NOW)) {
        for (unsigned i = 0; i < bench->walk.count; i++, met++)
            assert_int_equal(bench->walk.items[i].fetched, number_of(&bench->walk.items[i]) == 5);
    }
    assert_int_equal(met, 2);
}

static void test_each_once(void **state)
{
    struct bench *bench = *state;
    const unsigned keys = 100000;
    unsigned most = 0;
    for (unsigned i = 0; i < keys; i++)
        set(bench, i, i + 1);
    while (step(bench, NOW))
        most = bench->walk.count > most ? bench->walk.count : most;
    for (unsigned i = 0; i < keys; i++)
        assert_int_equal(bench->met[i], 1);
    assert_true(most > 10); /* a step is no single item either */
}

static void test_gone(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < 100; i++)
        put(bench->engine.worker, i, 1, NOW + 1 + i);
    while (step(bench, NOW + 50))
        continue;
    for (unsigned i = 0; i < 100; i++)
        assert_int_equal(bench->met[i], i >= 50);
    cache_flush_all(bench->engine.cache, NOW, NOW);
    memset(&bench->walk, 0, sizeof(bench->walk));
    while (step(bench, NOW))
        assert_int_equal(bench->walk.count, 0);
}

/* Keys below this stay; of them every second is replaced again and again. */
#define STAYING 20000u

static void check_met(const struct bench *bench)
{
    for (unsigned i = 0; i < STAYING; i++)
        assert_int_equal(bench->met[i], 1);
    for (unsigned i = STAYING; i < KEYS_MAX; i++)
        assert_true(bench->met[i] <= 1);
}

/* The index grows, splits and takes back its splits under the walk. */
static void test_while_the_index_changes(void **state)
{
    struct bench *bench = *state;
    unsigned next = STAYING, gone = STAYING, round = 0;
    bool going = true;
    for (unsigned i = 0; i < STAYING; i++)
        set(bench, i, 1);
    while (going) {
        const bool grows = round / 100 % 2 == 0;
        going = step(bench, NOW);
        for (unsigned i = 0; grows && i < 700 && next < KEYS_MAX; i++)
            set(bench, next++, 1);
        for (unsigned i = 0; !grows && i < 900 && gone < next; i++)
            drop(bench, gone++);
        for (unsigned i = 0; i < 20; i++)
            set(bench, round * 20 % STAYING + i, round);
        for (unsigned i = 0; i < 4; i++)
            (void)cache_maintain(bench->engine.keeper, NOW);
        round++;
    }
    assert_true(next > 150000); /* splits, at 7,500 items a segment */
    struct cache_figures figures;
    cache_figures(bench->engine.cache, &figures);
    assert_int_equal(figures.evicted, 0);
    check_met(bench);
}

/* Two walks at once, each with steps of the other between its own, are two walks. */
static void test_two_walks(void **state)
{
    struct bench *bench = *state;
    struct cache_walk *other = calloc(1, sizeof(*other));
    unsigned met = 0;
    bool going = true, other_going = true;
    assert_non_null(other);
    for (unsigned i = 0; i < STAYING; i++)
        set(bench, i, 1);
    while (going || other_going) {
        going = going && step(bench, NOW);
        for (unsigned i = 0; i < 3 && other_going; i++) {
            other_going = cache_walk(bench->engine.cache, other, NOW);
            met += other->count;
        }
    }
    assert_int_equal(met, STAYING);
    check_met(bench);
    free(other);
}

/* ---- threads ---- */

struct churn {
    struct cache *cache;
    unsigned first;
    _Atomic bool *stopping;
};

static void *run_churn(void *context)
{
    const struct churn *churn = context;
    struct cache_worker *worker = cache_worker_new(churn->cache);
    char key[32];
    assert_non_null(worker);
    for (uint32_t i = 0; !atomic_load(churn->stopping); i++) {
        const unsigned number = churn->first + i % 50000;
        put(worker, i % STAYING, i + 1, CACHE_NEVER); /* replaced, never gone */
        if (i / 50000 % 2 == 0)
            put(worker, number, i + 1, CACHE_NEVER);
        else
            (void)!cache_delete(worker, key, key_of(number, key), NOW);
    }
    cache_worker_free(worker);
    return NULL;
}

static void *run_keeper(void *context)
{
    const struct churn *churn = context;
    struct cache_keeper *keeper = cache_keeper_new(churn->cache);
    assert_non_null(keeper);
    while (!atomic_load(churn->stopping))
        (void)cache_maintain(keeper, NOW);
    cache_keeper_free(keeper);
    return NULL;
}

static void test_threads(void **state)
{
    struct bench *bench = *state;
    _Atomic bool stopping = false;
    struct churn churns[] = {{bench->engine.cache, STAYING, &stopping},
                             {bench->engine.cache, STAYING + 60000, &stopping}};
    pthread_t threads[3];
    cache_keeper_free(bench->engine.keeper); /* one at a time */
    for (unsigned i = 0; i < STAYING; i++)
        set(bench, i, 1);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(
            pthread_create(&threads[i], NULL, i < 2 ? run_churn : run_keeper, &churns[i % 2]), 0);
    for (unsigned round = 0; round < 3; round++) {
        memset(&bench->walk, 0, sizeof(bench->walk));
        memset(bench->met, 0, sizeof(bench->met));
        while (step(bench, NOW))
            continue;
        check_met(bench);
    }
    atomic_store(&stopping, true);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    bench->engine.keeper = cache_keeper_new(bench->engine.cache);
    assert_non_null(bench->engine.keeper);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, engine_tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_nothing),
        TEST(test_fields),
        TEST(test_fetched),
        TEST(test_age_and_bytes),
        TEST(test_each_once),
        TEST(test_gone),
        TEST(test_while_the_index_changes),
        TEST(test_two_walks),
        TEST(test_threads),
    };
#undef TEST
    return cmocka_run_group_tests(tests, NULL, NULL);
}
