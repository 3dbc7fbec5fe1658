/* The cache's calls one by one: every mode, status and limit, with the clock in the test's hand. */
#include "server/cache/cache.h"
#include "tests/cache/check_cache.h"
#include "tests/instrumented.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW       1000u
#define MIB       (1u << 20)
#define ITEM_MAX  MIB
#define VALUE_MAX (ITEM_MAX - 60u) /* under a key of one byte, as memcached counts */

struct bench {
    struct engine engine;
    uint8_t *entry;
    uint8_t *out;
    size_t out_bytes;
};

static struct bench *bench_new(size_t memory_bytes, bool evict, bool compress)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct cache_config config = {
        .memory_bytes = memory_bytes,
        .reserve_bytes = 4 * memory_bytes,
        .item_bytes_max = ITEM_MAX,
        .shards = 4,
        .evict = evict,
        .compress = compress,
        .settle = compress,
        .seed = 42,
        .now_s = NOW,
    };
    engine_open(&bench->engine, &config);
    bench->out_bytes = 2 * MIB;
    bench->entry = malloc(bench->out_bytes);
    bench->out = malloc(bench->out_bytes);
    return bench;
}

static int set_up(void **state)
{
    *state = bench_new(8 * MIB, true, true);
    return 0;
}

static int set_up_no_evict(void **state)
{
    *state = bench_new(8 * MIB, false, true);
    return 0;
}

static int set_up_raw(void **state)
{
    *state = bench_new(8 * MIB, true, false);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    engine_close(&bench->engine);
    free(bench->entry);
    free(bench->out);
    free(bench);
    return 0;
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct bench *bench = context;
    if (item->key_bytes + item->value_bytes > bench->out_bytes)
        return NULL;
    return bench->out + item->key_bytes;
}

static enum cache_status store_full(struct bench *bench, enum cache_mode mode, const char *key,
                                    const void *value, size_t value_bytes, uint32_t flags,
                                    uint32_t expiry_s, uint64_t cas)
{
    size_t key_bytes = strlen(key);
    memcpy(bench->entry, key, key_bytes);
    memcpy(bench->entry + key_bytes, value, value_bytes);
    struct cache_store store = {
        .entry = bench->entry,
        .key_bytes = key_bytes,
        .value_bytes = value_bytes,
        .mode = mode,
        .flags = flags,
        .expiry_s = expiry_s,
        .cas = cas,
    };
    return cache_store(bench->engine.worker, &store, NOW, NULL);
}

static enum cache_status store(struct bench *bench, enum cache_mode mode, const char *key,
                               const char *value)
{
    return store_full(bench, mode, key, value, strlen(value), 0, CACHE_NEVER, 0);
}

static enum cache_status get_at(struct bench *bench, const char *key, uint32_t now_s,
                                struct cache_item *item)
{
    return cache_get(bench->engine.worker, key, strlen(key), NULL, now_s, place, bench, item);
}

static void expect(struct bench *bench, const char *key, const char *value)
{
    struct cache_item item;
    assert_int_equal(get_at(bench, key, NOW, &item), CACHE_OK);
    assert_int_equal(item.value_bytes, strlen(value));
    assert_memory_equal(bench->out + item.key_bytes, value, item.value_bytes);
}

static void expect_gone(struct bench *bench, const char *key, uint32_t now_s)
{
    struct cache_item item;
    assert_int_equal(get_at(bench, key, now_s, &item), CACHE_NOT_FOUND);
}

static void test_set_get_delete(void **state)
{
    struct bench *bench = *state;
    struct cache_item item;
    expect_gone(bench, "k", NOW);
    assert_int_equal(store_full(bench, CACHE_SET, "k", "value", 5, 77, NOW + 10, 0), CACHE_OK);
    assert_int_equal(get_at(bench, "k", NOW, &item), CACHE_OK);
    assert_int_equal(item.flags, 77);
    assert_int_equal(item.expiry_s, NOW + 10);
    assert_int_not_equal(item.cas, 0);
    expect(bench, "k", "value");
    assert_int_equal(store(bench, CACHE_SET, "k", ""), CACHE_OK);
    expect(bench, "k", "");
    assert_int_equal(cache_delete(bench->engine.worker, "k", 1, NOW), CACHE_OK);
    assert_int_equal(cache_delete(bench->engine.worker, "k", 1, NOW), CACHE_NOT_FOUND);
    expect_gone(bench, "k", NOW);
}

static void test_modes(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(store(bench, CACHE_REPLACE, "k", "x"), CACHE_NOT_STORED);
    assert_int_equal(store(bench, CACHE_APPEND, "k", "x"), CACHE_NOT_STORED);
    assert_int_equal(store(bench, CACHE_PREPEND, "k", "x"), CACHE_NOT_STORED);
    assert_int_equal(store(bench, CACHE_ADD, "k", "b"), CACHE_OK);
    assert_int_equal(store(bench, CACHE_ADD, "k", "x"), CACHE_NOT_STORED);
    assert_int_equal(store(bench, CACHE_APPEND, "k", "c"), CACHE_OK);
    assert_int_equal(store(bench, CACHE_PREPEND, "k", "a"), CACHE_OK);
    expect(bench, "k", "abc");
    assert_int_equal(store(bench, CACHE_REPLACE, "k", "new"), CACHE_OK);
    expect(bench, "k", "new");
}

static void test_join_keeps_flags_and_expiry(void **state)
{
    struct bench *bench = *state;
    struct cache_item item;
    store_full(bench, CACHE_SET, "k", "b", 1, 5, NOW + 100, 0);
    assert_int_equal(store_full(bench, CACHE_APPEND, "k", "c", 1, 9, NOW + 1, 0), CACHE_OK);
    assert_int_equal(get_at(bench, "k", NOW, &item), CACHE_OK);
    assert_int_equal(item.flags, 5);
    assert_int_equal(item.expiry_s, NOW + 100);
}

static void test_cas(void **state)
{
    struct bench *bench = *state;
    struct cache_item item;
    assert_int_equal(store_full(bench, CACHE_CAS, "k", "x", 1, 0, CACHE_NEVER, 1), CACHE_NOT_FOUND);
    store(bench, CACHE_SET, "k", "1");
    assert_int_equal(get_at(bench, "k", NOW, &item), CACHE_OK);
    assert_int_equal(store_full(bench, CACHE_CAS, "k", "x", 1, 0, CACHE_NEVER, 0), CACHE_EXISTS);
    assert_int_equal(store_full(bench, CACHE_CAS, "k", "2", 1, 0, CACHE_NEVER, item.cas), CACHE_OK);
    assert_int_equal(store_full(bench, CACHE_CAS, "k", "3", 1, 0, CACHE_NEVER, item.cas),
                     CACHE_EXISTS);
    expect(bench, "k", "2");
}

static void test_cas_stays_over_touch(void **state)
{
    struct bench *bench = *state;
    struct cache_item before, after;
    store(bench, CACHE_SET, "k", "1");
    assert_int_equal(get_at(bench, "k", NOW, &before), CACHE_OK);
    assert_int_equal(cache_touch(bench->engine.worker, "k", 1, NOW + 9, NOW), CACHE_OK);
    assert_int_equal(get_at(bench, "k", NOW, &after), CACHE_OK);
    assert_int_equal(before.cas, after.cas);
    assert_int_equal(after.expiry_s, NOW + 9);
}

static void test_expiry(void **state)
{
    struct bench *bench = *state;
    struct cache_item item;
    uint32_t expiry_s = NOW + 50;
    store_full(bench, CACHE_SET, "k", "v", 1, 0, NOW + 5, 0);
    assert_int_equal(get_at(bench, "k", NOW + 4, &item), CACHE_OK);
    expect_gone(bench, "k", NOW + 5);
    store_full(bench, CACHE_SET, "k", "v", 1, 0, NOW + 5, 0);
    assert_int_equal(cache_touch(bench->engine.worker, "k", 1, NOW + 20, NOW), CACHE_OK);
    assert_int_equal(get_at(bench, "k", NOW + 6, &item), CACHE_OK);
    assert_int_equal(
        cache_get(bench->engine.worker, "k", 1, &expiry_s, NOW + 6, place, bench, &item), CACHE_OK);
    assert_int_equal(get_at(bench, "k", NOW + 49, &item), CACHE_OK);
    expect_gone(bench, "k", NOW + 50);
    assert_int_equal(cache_touch(bench->engine.worker, "k", 1, NOW, NOW), CACHE_NOT_FOUND);
    /* An expired item does not stop an add, nor does it allow a replace. */
    store_full(bench, CACHE_SET, "k", "v", 1, 0, NOW, 0);
    assert_int_equal(store(bench, CACHE_REPLACE, "k", "x"), CACHE_NOT_STORED);
    assert_int_equal(store(bench, CACHE_ADD, "k", "x"), CACHE_OK);
}

static void test_touch_back_to_never(void **state)
{
    struct bench *bench = *state;
    struct cache_item item;
    store_full(bench, CACHE_SET, "k", "v", 1, 0, NOW + 5, 0);
    assert_int_equal(cache_touch(bench->engine.worker, "k", 1, CACHE_NEVER, NOW), CACHE_OK);
    assert_int_equal(get_at(bench, "k", NOW + 100, &item), CACHE_OK);
    assert_int_equal(item.expiry_s, CACHE_NEVER);
}

struct arith_case {
    const char *value;
    bool increment;
    uint64_t delta;
    enum cache_status status;
    uint64_t number;
    const char *stored;
};

static const struct arith_case ARITH[] = {
    {"1", true, 1, CACHE_OK, 2, "2"},
    {"9", true, 1, CACHE_OK, 10, "10"},
    {"100", false, 1, CACHE_OK, 99, "99 "},
    {"5", false, 9, CACHE_OK, 0, "0"},
    {"18446744073709551615", true, 1, CACHE_OK, 0, "0                   "},
    {"18446744073709551615", true, 0, CACHE_OK, UINT64_MAX, "18446744073709551615"},
    {" 7", true, 1, CACHE_OK, 8, "8 "},
    {"+7", true, 1, CACHE_OK, 8, "8 "},
    {"007", true, 1, CACHE_OK, 8, "8  "},
    {"12 ab", true, 1, CACHE_OK, 13, "13   "},
    {"7  ", true, 1, CACHE_OK, 8, "8  "},
    {"", true, 1, CACHE_NOT_NUMBER, 0, ""},
    {" ", true, 1, CACHE_NOT_NUMBER, 0, " "},
    {"-1", true, 1, CACHE_NOT_NUMBER, 0, "-1"},
    {"12ab", true, 1, CACHE_NOT_NUMBER, 0, "12ab"},
    {"18446744073709551616", true, 1, CACHE_NOT_NUMBER, 0, "18446744073709551616"},
    {"99999999999999999999999", true, 1, CACHE_NOT_NUMBER, 0, "99999999999999999999999"},
};

static void test_arith(void **state)
{
    struct bench *bench = *state;
    struct cache_number number;
    const struct cache_arith incr = {.increment = true, .delta = 1};
    assert_int_equal(cache_arith(bench->engine.worker, "no", 2, &incr, NOW, &number),
                     CACHE_NOT_FOUND);
    for (size_t i = 0; i < sizeof(ARITH) / sizeof(ARITH[0]); i++) {
        const struct arith_case *row = &ARITH[i];
        const struct cache_arith arith = {.increment = row->increment, .delta = row->delta};
        store_full(bench, CACHE_SET, "n", row->value, strlen(row->value), 3, NOW + 7, 0);
        assert_int_equal(cache_arith(bench->engine.worker, "n", 1, &arith, NOW, &number),
                         row->status);
        if (row->status == CACHE_OK)
            assert_int_equal(number.value, row->number);
        expect(bench, "n", row->stored);
        struct cache_item item;
        assert_int_equal(get_at(bench, "n", NOW, &item), CACHE_OK);
        assert_int_equal(item.flags, 3);
        assert_int_equal(item.expiry_s, NOW + 7);
    }
}

static void test_flush(void **state)
{
    struct bench *bench = *state;
    struct cache_item item;
    store(bench, CACHE_SET, "a", "1");
    cache_flush_all(bench->engine.cache, NOW, NOW);
    expect_gone(bench, "a", NOW);
    store(bench, CACHE_SET, "b", "2"); /* the same second, after the flush */
    expect(bench, "b", "2");
    cache_flush_all(bench->engine.cache, NOW + 10, NOW);
    store(bench, CACHE_SET, "c", "3");
    assert_int_equal(get_at(bench, "b", NOW + 9, &item), CACHE_OK);
    assert_int_equal(get_at(bench, "c", NOW + 9, &item), CACHE_OK);
    expect_gone(bench, "b", NOW + 10);
    expect_gone(bench, "c", NOW + 10);
    /* The last flush asked for counts. */
    store(bench, CACHE_SET, "d", "4");
    cache_flush_all(bench->engine.cache, NOW + 20, NOW);
    cache_flush_all(bench->engine.cache, NOW + 40, NOW);
    assert_int_equal(get_at(bench, "d", NOW + 30, &item), CACHE_OK);
    expect_gone(bench, "d", NOW + 40);
}

static void test_crawler_frees_expired_and_flushed(void **state)
{
    struct bench *bench = *state;
    struct cache_figures figures;
    char key[16];
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        uint32_t expiry_s = i % 2 ? NOW + 10 : CACHE_NEVER;
        store_full(bench, CACHE_SET, key, "some value", 10, 0, expiry_s, 0);
    }
    for (int i = 0; i < 10000 && cache_maintain(bench->engine.keeper, NOW + 10); i++) {
    }
    cache_figures(bench->engine.cache, &figures);
    assert_int_equal(figures.items, 1000);
    assert_int_equal(figures.expired, 1000);
    cache_flush_all(bench->engine.cache, NOW + 10, NOW + 10);
    for (int round = 0; round < 3; round++) {
        for (int i = 0; i < 10000 && cache_maintain(bench->engine.keeper, NOW + 10); i++) {
        }
    }
    cache_figures(bench->engine.cache, &figures);
    assert_int_equal(figures.items, 0);
    assert_int_equal(figures.flushed, 1000);
    assert_int_equal(figures.raw_bytes, 0);
    assert_int_equal(figures.stored_bytes, 0);
    assert_int_equal(figures.pages_buddied + figures.pages_unbuddied, 0);
    assert_int_equal(figures.pages_index + figures.pages_expiry, 0);
}

/* Bytes that LZ4 finds nothing in. */
static void noise(uint8_t *out, size_t bytes, uint64_t seed)
{
    for (size_t i = 0; i < bytes; i++) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        out[i] = (uint8_t)(seed >> 56);
    }
}

/* With a page a cell it says what the figures say: empty, filled, with large values, expired. */
static void expect_map(struct bench *bench)
{
    struct cache_figures figures;
    struct cache_map map;
    uint64_t one = 0, two = 0, other = 0, free_pages = 0;
    cache_figures(bench->engine.cache, &figures);
    cache_map(bench->engine.cache, &map);
    assert_int_equal(map.pages, figures.pages_max);
    assert_int_equal(map.cell_pages, 1);
    assert_int_equal(map.count, map.pages);
    for (unsigned i = 0; i < map.count; i++) {
        char cell = map.cells[i];
        one += cell >= 'a' && cell <= 'h';
        two += cell >= 'A' && cell <= 'H';
        other += cell == '#';
        free_pages += cell == '-' || cell == '.';
    }
    assert_int_equal(one, figures.pages_unbuddied);
    assert_int_equal(two, figures.pages_buddied);
    assert_int_equal(other, figures.pages_used - one - two);
    assert_int_equal(one + two + other + free_pages, map.count);
}

static void test_map(void **state)
{
    struct bench *bench = *state;
    char key[16];
    expect_map(bench);
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof(key), "k%d", i);
        store_full(bench, CACHE_SET, key, "some value", 10, 0, NOW + 10, 0);
        if (i % 400 == 0)
            expect_map(bench);
    }
    memset(bench->entry, 'x', 1);
    noise(bench->entry + 1, VALUE_MAX, 1);
    struct cache_store large = {.entry = bench->entry,
                                .key_bytes = 1,
                                .value_bytes = VALUE_MAX,
                                .mode = CACHE_SET,
                                .expiry_s = CACHE_NEVER};
    assert_int_equal(cache_store(bench->engine.worker, &large, NOW, NULL), CACHE_OK);
    expect_map(bench);
    for (int i = 0; i < 10000 && cache_maintain(bench->engine.keeper, NOW + 10); i++) {
    }
    expect_map(bench);
}

/* A cell of many pages says what most of them are, and a limit that is raised widens the map. */
static void test_map_of_many(void **state)
{
    struct bench *bench = *state;
    struct cache_map map;
    assert_int_equal(cache_set_memory(bench->engine.cache, 32 * MIB), CACHE_OK);
    store(bench, CACHE_SET, "a", "1");
    cache_map(bench->engine.cache, &map);
    assert_int_equal(map.pages, 32 * MIB / 4096);
    assert_int_equal(map.cell_pages, 2);
    assert_int_equal(map.count, CACHE_MAP_CELLS_MAX);
    assert_int_equal(map.cells[map.count - 1], '.');
}

static void expect_noise(struct bench *bench, const char *key, size_t bytes, uint64_t seed)
{
    struct cache_item item;
    uint8_t *value = malloc(bytes + 1);
    noise(value, bytes, seed);
    assert_int_equal(get_at(bench, key, NOW, &item), CACHE_OK);
    assert_int_equal(item.value_bytes, bytes);
    assert_memory_equal(bench->out + item.key_bytes, value, bytes);
    free(value);
}

static void test_every_size(void **state)
{
    struct bench *bench = *state;
    uint8_t *value = malloc(VALUE_MAX);
    static const size_t SIZES[] = {0,     1,     13,    100,   1900,  2000,   2048,   3960,
                                   3999,  4000,  4001,  4005,  4030,  4096,   8000,   8192,
                                   65530, 65535, 65536, 65537, 70000, 131072, 500000, VALUE_MAX};
    for (size_t i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        noise(value, SIZES[i], i);
        assert_int_equal(store_full(bench, CACHE_SET, "k", value, SIZES[i], 0, CACHE_NEVER, 0),
                         CACHE_OK);
        expect_noise(bench, "k", SIZES[i], i);
        memset(value, 'x', SIZES[i]);
        assert_int_equal(store_full(bench, CACHE_SET, "z", value, SIZES[i], 0, CACHE_NEVER, 0),
                         CACHE_OK);
        struct cache_item item;
        assert_int_equal(get_at(bench, "z", NOW, &item), CACHE_OK);
        assert_int_equal(item.value_bytes, SIZES[i]);
        assert_memory_equal(bench->out + 1, value, SIZES[i]);
        cache_check(bench->engine.cache);
    }
    for (size_t bytes = 3900; bytes < 4100; bytes++) {
        noise(value, bytes, bytes);
        assert_int_equal(store_full(bench, CACHE_SET, "k", value, bytes, 1, NOW + 5, 0), CACHE_OK);
        expect_noise(bench, "k", bytes, bytes);
    }
    free(value);
}

static void test_too_large(void **state)
{
    struct bench *bench = *state;
    uint8_t *value = calloc(1, VALUE_MAX + 1);
    assert_int_equal(store_full(bench, CACHE_SET, "k", value, VALUE_MAX, 0, CACHE_NEVER, 0),
                     CACHE_OK);
    /* Client flags take 4 bytes; add and append keep the old item, set removes it. */
    assert_int_equal(store_full(bench, CACHE_REPLACE, "k", value, VALUE_MAX, 1, CACHE_NEVER, 0),
                     CACHE_TOO_LARGE);
    assert_int_equal(store(bench, CACHE_APPEND, "k", "x"), CACHE_NOT_STORED);
    struct cache_item item;
    assert_int_equal(get_at(bench, "k", NOW, &item), CACHE_OK);
    assert_int_equal(item.value_bytes, VALUE_MAX);
    assert_int_equal(store_full(bench, CACHE_SET, "k", value, VALUE_MAX + 1, 0, CACHE_NEVER, 0),
                     CACHE_TOO_LARGE);
    expect_gone(bench, "k", NOW);
    free(value);
}

static void test_append_to_large(void **state)
{
    struct bench *bench = *state;
    uint8_t *value = malloc(300000);
    noise(value, 300000, 9);
    store_full(bench, CACHE_SET, "k", value, 200000, 0, CACHE_NEVER, 0);
    assert_int_equal(
        store_full(bench, CACHE_APPEND, "k", value + 200000, 100000, 0, CACHE_NEVER, 0), CACHE_OK);
    expect_noise(bench, "k", 300000, 9);
    struct cache_figures figures;
    cache_figures(bench->engine.cache, &figures);
    uint64_t charged_bytes = figures.charged_bytes;
    assert_int_equal(store(bench, CACHE_APPEND, "k", ""), CACHE_OK);
    cache_figures(bench->engine.cache, &figures);
    assert_int_equal(figures.charged_bytes, charged_bytes); /* the large scratch is given back */
    free(value);
}

/* Ten times the memory: everything read back is what was stored, and memory stays in its limit. */
static void test_eviction(void **state)
{
    struct bench *bench = *state;
    uint8_t value[600];
    char key[16];
    struct cache_figures figures;
    unsigned hits = 0;
    for (unsigned i = 0; i < 150000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        noise(value, sizeof(value), i);
        assert_int_equal(store_full(bench, CACHE_SET, key, value, sizeof(value), 0, CACHE_NEVER, 0),
                         CACHE_OK);
        if (i % 64 == 0) { /* a key that is asked for often stays */
            struct cache_item item;
            enum cache_status status = get_at(bench, "k0", NOW, &item);
            assert_int_equal(status, CACHE_OK);
        }
    }
    for (unsigned i = 0; i < 150000; i++) {
        struct cache_item item;
        snprintf(key, sizeof(key), "k%u", i);
        if (get_at(bench, key, NOW, &item) == CACHE_OK) {
            hits++;
            noise(value, sizeof(value), i);
            assert_memory_equal(bench->out + item.key_bytes, value, sizeof(value));
        }
    }
    cache_figures(bench->engine.cache, &figures);
    assert_int_equal(hits, figures.items);
    assert_int_equal(figures.items + figures.evicted, 150000);
    assert_true(hits > 8 * MIB / 600 * 3 / 4);
    assert_true(figures.resident_bytes + figures.charged_bytes <= 8 * MIB);
    assert_true(figures.pages_reclaimed > 0 && figures.rescued > 0);
    assert_int_equal(figures.pages_used, figures.pages_buddied + figures.pages_unbuddied +
                                             figures.pages_large + figures.pages_index +
                                             figures.pages_expiry);
}

static void test_large_into_full_of_small(void **state)
{
    struct bench *bench = *state;
    uint8_t small[200];
    uint8_t *large = malloc(MIB);
    char key[16];
    for (unsigned i = 0; i < 60000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        noise(small, sizeof(small), i);
        assert_int_equal(store_full(bench, CACHE_SET, key, small, sizeof(small), 0, CACHE_NEVER, 0),
                         CACHE_OK);
    }
    noise(large, VALUE_MAX, 1);
    assert_int_equal(store_full(bench, CACHE_SET, "L", large, VALUE_MAX, 0, CACHE_NEVER, 0),
                     CACHE_OK);
    expect_noise(bench, "L", VALUE_MAX, 1);
    free(large);
}

static void test_no_eviction(void **state)
{
    struct bench *bench = *state;
    uint8_t value[1900];
    char key[16];
    unsigned stored = 0;
    enum cache_status status;
    do {
        snprintf(key, sizeof(key), "k%u", stored);
        noise(value, sizeof(value), stored);
        status = store_full(bench, CACHE_SET, key, value, sizeof(value), 0, CACHE_NEVER, 0);
        stored += status == CACHE_OK;
    } while (status == CACHE_OK);
    assert_int_equal(status, CACHE_NO_MEMORY);
    assert_true(stored > 3000);
    for (unsigned i = 0; i < stored; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        expect_noise(bench, key, sizeof(value), i);
    }
    /* A set that fails removes the old item, an add does not make one. */
    assert_int_equal(store_full(bench, CACHE_SET, "k1", value, sizeof(value), 0, CACHE_NEVER, 0),
                     CACHE_NO_MEMORY);
    expect_gone(bench, "k1", NOW);
    assert_int_equal(store_full(bench, CACHE_ADD, "new", value, sizeof(value), 0, CACHE_NEVER, 0),
                     CACHE_NO_MEMORY);
    uint8_t *large = calloc(1, VALUE_MAX);
    noise(large, VALUE_MAX, 3);
    assert_int_equal(store_full(bench, CACHE_ADD, "L", large, VALUE_MAX, 0, CACHE_NEVER, 0),
                     CACHE_NO_MEMORY);
    free(large);
    /* Connections still find room, and what is deleted makes room again. */
    assert_int_equal(cache_charge(bench->engine.cache, 64 << 10), CACHE_OK);
    cache_uncharge(bench->engine.cache, 64 << 10);
    for (unsigned i = 2; i < 400; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        assert_int_equal(cache_delete(bench->engine.worker, key, strlen(key), NOW), CACHE_OK);
    }
    assert_int_equal(store(bench, CACHE_SET, "k1", "again"), CACHE_OK);
    expect(bench, "k1", "again");
}

static void test_charge_evicts(void **state)
{
    struct bench *bench = *state;
    uint8_t value[3000];
    char key[16];
    for (unsigned i = 0; i < 4000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        noise(value, sizeof(value), i);
        assert_int_equal(store_full(bench, CACHE_SET, key, value, sizeof(value), 0, CACHE_NEVER, 0),
                         CACHE_OK);
    }
    struct cache_figures figures;
    assert_int_equal(cache_charge(bench->engine.cache, 4 * MIB), CACHE_OK);
    cache_figures(bench->engine.cache, &figures);
    assert_true(figures.resident_bytes + figures.charged_bytes <= 8 * MIB);
    assert_int_equal(cache_charge(bench->engine.cache, 16 * MIB), CACHE_NO_MEMORY);
    cache_uncharge(bench->engine.cache, 4 * MIB);
    assert_int_equal(store(bench, CACHE_SET, "k", "v"), CACHE_OK);
    expect(bench, "k", "v");
}

static void test_memory_limit_moves(void **state)
{
    struct bench *bench = *state;
    uint8_t value[900];
    char key[16];
    struct cache_figures figures;
    assert_int_equal(cache_set_memory(bench->engine.cache, 64 * MIB), CACHE_TOO_LARGE);
    assert_int_equal(cache_set_memory(bench->engine.cache, 32 * MIB), CACHE_OK);
    for (unsigned i = 0; i < 40000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        noise(value, sizeof(value), i);
        assert_int_equal(store_full(bench, CACHE_SET, key, value, sizeof(value), 0, CACHE_NEVER, 0),
                         CACHE_OK);
    }
    cache_figures(bench->engine.cache, &figures);
    assert_true(figures.items > 25000);
    assert_int_equal(cache_set_memory(bench->engine.cache, 4 * MIB), CACHE_OK);
    for (int i = 0; i < 100000 && cache_maintain(bench->engine.keeper, NOW); i++) {
    }
    cache_figures(bench->engine.cache, &figures);
    assert_true(figures.resident_bytes + figures.charged_bytes <= 4 * MIB);
    assert_true(figures.items > 1000);
    assert_int_equal(store(bench, CACHE_SET, "k", "v"), CACHE_OK);
}

/* Items that are overwritten leave holes in every page; the pages must not stay half empty. */
static void overwrite_at_random(struct bench *bench, size_t value_bytes, unsigned keys)
{
    char value[200], key[16];
    const unsigned rounds = INSTRUMENTED ? 5 : 12;
    uint64_t random = 1;
    memset(value, 'v', sizeof(value));
    value[value_bytes] = '\0';
    for (unsigned i = 0; i < rounds * keys; i++) {
        unsigned number = i < keys ? i : (unsigned)((random >> 33) % keys);
        random = random * 6364136223846793005u + 1442695040888963407u;
        snprintf(key, sizeof(key), "%u", number);
        assert_int_equal(store(bench, CACHE_SET, key, value), CACHE_OK);
    }
}

static void test_overwriting_leaves_no_holes(void **state)
{
    struct bench *bench = *state;
    struct cache_figures figures;
    overwrite_at_random(bench, 150, 33000); /* nearly all there is room for */
    cache_figures(bench->engine.cache, &figures);
    assert_int_equal(figures.items, 33000);
    assert_in_range(figures.pages_merged, 1, UINT64_MAX);
    /* Records, their directory, and a fifth for what is open or about to be squeezed or merged:
     * there is still a little room, so nothing has to be moved for the last holes. */
    size_t pages = figures.pages_buddied + figures.pages_unbuddied;
    assert_in_range(figures.live_bytes + 2 * figures.items, pages * 4032 * 8 / 10, SIZE_MAX);
    cache_check(bench->engine.cache);
}

/* Two logs of the smallest records have no number left long before their page is full: such pages
 * are as full as they can be, and are not emptied over and over. */
static void test_smallest_records_stay(void **state)
{
    struct bench *bench = *state;
    struct cache_figures figures;
    overwrite_at_random(bench, 1, 5000);
    cache_figures(bench->engine.cache, &figures);
    assert_int_equal(figures.items, 5000);
    /* A page is emptied when a fifth of its 256 records is gone. */
    assert_in_range(figures.pages_merged, 0, 11 * 5000 / (256 / 5));
    cache_check(bench->engine.cache);
}

/* A lowered limit takes from the index what it takes from the items. */
static void test_index_shrinks_with_the_limit(void **state)
{
    struct bench *bench = *state;
    char key[16];
    struct cache_figures before, after;
    for (unsigned i = 0; i < 400000; i++) {
        snprintf(key, sizeof(key), "k%u", i);
        assert_int_equal(store(bench, CACHE_SET, key, "1"), CACHE_OK);
    }
    cache_figures(bench->engine.cache, &before);
    assert_true(before.evicted > 0);
    assert_int_equal(cache_set_memory(bench->engine.cache, 4 * MIB), CACHE_OK);
    assert_true(cache_is_over(bench->engine.cache));
    while (cache_is_over(bench->engine.cache)) {
        assert_true(cache_maintain(bench->engine.keeper, NOW));
    }
    cache_figures(bench->engine.cache, &after);
    assert_true(after.resident_bytes + after.charged_bytes <= 4 * MIB);
    assert_true(after.index_bytes < 14 * after.items);
    assert_true(after.items > before.items / 3);
}

static void test_no_room(void **state)
{
    struct bench *bench = *state;
    struct cache_item item;
    store(bench, CACHE_SET, "key", "0123456789012345678901234567890123456789");
    bench->out_bytes = 10;
    assert_int_equal(get_at(bench, "key", NOW, &item), CACHE_NO_ROOM);
    assert_int_equal(item.value_bytes, 40);
    bench->out_bytes = 43;
    assert_int_equal(get_at(bench, "key", NOW, &item), CACHE_OK);
}

static void test_config(void **state)
{
    (void)state;
    struct cache_config config = {.memory_bytes = 8 * MIB,
                                  .reserve_bytes = 8 * MIB,
                                  .item_bytes_max = MIB,
                                  .shards = 3,
                                  .evict = true};
    assert_null(cache_new(&config));
    config.shards = 2;
    config.memory_bytes = 1000;
    assert_null(cache_new(&config));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_set_get_delete, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_modes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_join_keeps_flags_and_expiry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cas, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_cas_stays_over_touch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expiry, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_touch_back_to_never, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_arith, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_flush, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_crawler_frees_expired_and_flushed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_every_size, set_up_raw, tear_down),
        cmocka_unit_test_setup_teardown(test_too_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_append_to_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_eviction, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_map, set_up_raw, tear_down),
        cmocka_unit_test_setup_teardown(test_map_of_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_into_full_of_small, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_eviction, set_up_no_evict, tear_down),
        cmocka_unit_test_setup_teardown(test_charge_evicts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_memory_limit_moves, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_overwriting_leaves_no_holes, set_up_raw, tear_down),
        cmocka_unit_test_setup_teardown(test_smallest_records_stay, set_up_raw, tear_down),
        cmocka_unit_test_setup_teardown(test_index_shrinks_with_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_room, set_up, tear_down),
        cmocka_unit_test(test_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
