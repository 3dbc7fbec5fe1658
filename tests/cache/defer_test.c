/* What single stores leave uncompressed, and cache_compress() then compresses. */
#include "server/cache/cache.h"
#include "server/cache/cache_inside.h"
#include "tests/cache/check_cache.h"

#include <stdio.h>
#include <string.h>

#define NOW          1000u
#define MEMORY       ((size_t)64 << 20)
#define SMALL_MEMORY ((size_t)16 << 20) /* a map of it has a cell for each page */
#define ITEMS        1000u
#define BYTES_MAX    (3u << 20)
#define WAITS_PART   14u  /* of the memory: a log for 16 free pages, and for 128 of any kind */
#define RECORD_BYTES 8u   /* beside key and value */
#define FULL_PART    100u /* where nearly nothing is free */
#define NOISE_BYTES  600u
#define MIDDLE_BYTES 2048u

struct bench {
    struct engine engine;
};

static void open_bench(void **state, size_t memory_bytes, bool compress)
{
    static struct bench bench;
    const struct cache_config config = {
        .memory_bytes = memory_bytes,
        .reserve_bytes = 4 * MEMORY,
        .item_bytes_max = MEMORY / 8,
        .shards = 4,
        .evict = true,
        .compress = compress,
        .defer = true,
        .settle = true,
        .seed = 3,
        .now_s = NOW,
    };
    engine_open(&bench.engine, &config);
    *state = &bench;
}

static int set_up(void **state)
{
    open_bench(state, MEMORY, true);
    return 0;
}

static int set_up_small(void **state)
{
    open_bench(state, SMALL_MEMORY, true);
    return 0;
}

static int set_up_uncompressed(void **state)
{
    open_bench(state, MEMORY, false);
    return 0;
}

static int tear_down(void **state)
{
    struct bench *bench = *state;
    engine_close(&bench->engine);
    return 0;
}

/* Compresses to a fifth or less; another one for each number and version. */
static size_t make_value(unsigned number, unsigned version, size_t bytes, uint8_t *value)
{
    char unit[32];
    size_t unit_bytes = (size_t)snprintf(unit, sizeof(unit), "<%u.%u>", number, version);
    for (size_t at = 0; at < bytes; at++)
        value[at] = (uint8_t)unit[at % unit_bytes];
    return bytes;
}

static size_t make_key(unsigned number, char key[16])
{
    return (size_t)snprintf(key, 16, "key:%u", number);
}

static uint64_t store(struct bench *bench, unsigned number, unsigned version, size_t value_bytes,
                      uint32_t expiry_s)
{
    static uint8_t entry[16 + BYTES_MAX];
    char key[16];
    struct cache_stored stored;
    size_t key_bytes = make_key(number, key);
    memcpy(entry, key, key_bytes);
    struct cache_store put = {
        .entry = entry,
        .key_bytes = key_bytes,
        .value_bytes = make_value(number, version, value_bytes, entry + key_bytes),
        .mode = CACHE_SET,
        .flags = number,
        .expiry_s = expiry_s,
    };
    assert_int_equal(cache_store(bench->engine.worker, &put, NOW, &stored), CACHE_OK);
    return stored.cas;
}

struct answer {
    uint8_t entry[16 + BYTES_MAX];
    struct cache_item item;
};

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct answer *answer = context;
    return answer->entry + item->key_bytes;
}

static void expect(struct bench *bench, unsigned number, unsigned version, size_t value_bytes,
                   struct answer *answer)
{
    static uint8_t value[BYTES_MAX];
    char key[16];
    size_t key_bytes = make_key(number, key);
    assert_int_equal(
        cache_get(bench->engine.worker, key, key_bytes, NULL, NOW, place, answer, &answer->item),
        CACHE_OK);
    assert_int_equal(answer->item.value_bytes, make_value(number, version, value_bytes, value));
    assert_memory_equal(answer->entry + key_bytes, value, value_bytes);
    assert_int_equal(answer->item.flags, number);
}

static struct cache_figures figures_of(struct bench *bench)
{
    struct cache_figures figures;
    cache_check(bench->engine.cache);
    cache_figures(bench->engine.cache, &figures);
    return figures;
}

static void compress_all(struct bench *bench)
{
    for (unsigned steps = 0; cache_compress(bench->engine.keeper, NOW) == CACHE_COMPRESS_MORE;
         steps++)
        assert_true(steps < ITEMS);
    assert_int_equal(cache_compress(bench->engine.keeper, NOW), CACHE_COMPRESS_NONE);
}

/* It is as if the store had compressed: value, flags, expiry and cas are the same, and no more
 * memory is taken than for an item that was. */
static void test_compressed_later(void **state)
{
    struct bench *bench = *state;
    uint64_t cas[ITEMS / 4];
    static struct answer answer;
    for (unsigned i = 0; i < ITEMS / 4; i++)
        cas[i] = store(bench, i, 0, 200, i % 2 ? NOW + 500 : CACHE_NEVER);
    struct cache_figures raw = figures_of(bench);
    assert_int_equal(raw.deferred, ITEMS / 4);
    assert_true(raw.stored_bytes > raw.raw_bytes);
    for (unsigned i = 0; i < ITEMS / 4; i++)
        expect(bench, i, 0, 200, &answer);
    compress_all(bench);
    struct cache_figures compressed = figures_of(bench);
    assert_int_equal(compressed.items, ITEMS / 4);
    assert_int_equal(compressed.raw_bytes, raw.raw_bytes);
    assert_int_equal(compressed.items_expiring, ITEMS / 8);
    assert_true(compressed.stored_bytes < raw.stored_bytes / 3);
    assert_int_equal(compressed.settled, 0);
    for (unsigned i = 0; i < ITEMS / 4; i++) {
        expect(bench, i, 0, 200, &answer);
        assert_int_equal(answer.item.cas, cas[i]);
        assert_int_equal(answer.item.expiry_s, i % 2 ? NOW + 500 : CACHE_NEVER);
    }
}

/* What was overwritten, deleted, touched or flushed meanwhile stays so. */
static void test_changed_meanwhile(void **state)
{
    struct bench *bench = *state;
    static struct answer answer;
    char key[16];
    for (unsigned i = 0; i < 100; i++)
        store(bench, i, 0, 300, CACHE_NEVER);
    for (unsigned i = 0; i < 100; i++) {
        size_t key_bytes = make_key(i, key);
        if (i % 4 == 0)
            store(bench, i, 1, 300, CACHE_NEVER);
        else if (i % 4 == 1)
            assert_int_equal(cache_delete(bench->engine.worker, key, key_bytes, NOW), CACHE_OK);
        else if (i % 4 == 2)
            assert_int_equal(cache_touch(bench->engine.worker, key, key_bytes, NOW + 40, NOW),
                             CACHE_OK);
    }
    compress_all(bench);
    assert_int_equal(figures_of(bench).items, 75);
    for (unsigned i = 0; i < 100; i++) {
        size_t key_bytes = make_key(i, key);
        if (i % 4 == 1) {
            assert_int_equal(cache_get(bench->engine.worker, key, key_bytes, NULL, NOW, place,
                                       &answer, &answer.item),
                             CACHE_NOT_FOUND);
            continue;
        }
        expect(bench, i, i % 4 == 0, 300, &answer);
        assert_int_equal(answer.item.expiry_s, i % 4 == 2 ? NOW + 40 : CACHE_NEVER);
    }
    store(bench, 1, 0, 300, CACHE_NEVER);
    cache_flush_all(bench->engine.cache, 0, NOW);
    compress_all(bench);
    assert_int_equal(
        cache_get(bench->engine.worker, "key:1", 5, NULL, NOW, place, &answer, &answer.item),
        CACHE_NOT_FOUND);
}

/* Nobody compresses: what waits stays below its bound, and the rest is compressed by the stores. */
static void test_bounded(void **state)
{
    struct bench *bench = *state;
    static struct answer answer;
    for (unsigned i = 0; i < 30 * ITEMS; i++)
        store(bench, i, 0, 200, CACHE_NEVER);
    struct cache_figures figures = figures_of(bench);
    assert_int_equal(figures.items, 30 * ITEMS);
    assert_true(figures.deferred > 0);
    assert_true(figures.deferred * 200 <= MEMORY / WAITS_PART);
    uint64_t waiting_bytes = figures.deferred * (figures.raw_bytes / figures.items);
    assert_true(figures.deferred < figures.items);
    assert_true(figures.stored_bytes < waiting_bytes + figures.deferred * RECORD_BYTES +
                                           (figures.raw_bytes - waiting_bytes) / 3);
    compress_all(bench);
    for (unsigned i = 0; i < 30 * ITEMS; i++)
        expect(bench, i, 0, 200, &answer);
    store(bench, 0, 1, 200, CACHE_NEVER);
    assert_int_equal(figures_of(bench).deferred, figures.deferred + 1);
}

/* What is free is lent to what waits; what is not, is not. */
static void test_bounded_when_full(void **state)
{
    struct bench *bench = *state;
    const size_t taken_bytes = MEMORY - MEMORY / 32;
    assert_int_equal(cache_charge(bench->engine.cache, taken_bytes), CACHE_OK);
    for (unsigned i = 0; i < 5 * ITEMS; i++)
        store(bench, i, 0, 200, CACHE_NEVER);
    assert_in_range(figures_of(bench).deferred, 1, MEMORY / FULL_PART / 200);
    cache_uncharge(bench->engine.cache, taken_bytes);
}

/* A lowered limit lowers the bound. */
static void test_bounded_by_the_limit(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(cache_set_memory(bench->engine.cache, MEMORY / 32), CACHE_OK);
    for (unsigned i = 0; i < ITEMS; i++)
        store(bench, i, 0, 200, CACHE_NEVER);
    assert_in_range(figures_of(bench).deferred, 1, MEMORY / 32 / WAITS_PART / 200);
}

static void test_who_compresses(void **state)
{
    struct bench *bench = *state;
    store(bench, 1, 0, 10, CACHE_NEVER); /* 15 with its key: too short for LZ4 */
    assert_int_equal(figures_of(bench).deferred, 0);
    store(bench, 2, 0, 11, CACHE_NEVER);
    assert_int_equal(figures_of(bench).deferred, 1);
    store(bench, 3, 0, 3900, CACHE_NEVER);
    assert_int_equal(figures_of(bench).deferred, 2);
    store(bench, 4, 0, 4100, CACHE_NEVER);
    assert_int_equal(figures_of(bench).deferred, 2); /* fits into no record */
    store(bench, 5, 0, 200, NOW + 5);
    assert_int_equal(figures_of(bench).deferred, 2); /* never compressed */
    compress_all(bench);
}

/* Large values are compressed block by block; beyond their share, or too long, by the store. */
static void test_large(void **state)
{
    static const size_t SIZES[] = {65536, 65600, 100000, 131065, 131072, 200000, 300000};
    struct bench *bench = *state;
    static struct answer answer;
    uint64_t cas[7];
    for (unsigned i = 0; i < 7; i++) {
        cas[i] = store(bench, i, 0, SIZES[i], CACHE_NEVER);
        assert_int_equal(figures_of(bench).deferred, i + 1);
        if (i == 2)
            compress_all(bench);
    }
    struct cache_figures raw = figures_of(bench);
    compress_all(bench);
    struct cache_figures compressed = figures_of(bench);
    assert_true(compressed.pages_large < raw.pages_large);
    assert_true(compressed.stored_bytes < compressed.raw_bytes / 10);
    for (unsigned i = 0; i < 7; i++) {
        expect(bench, i, 0, SIZES[i], &answer);
        assert_int_equal(answer.item.cas, cas[i]);
    }
    store(bench, 7, 0, 2100000, CACHE_NEVER);
    assert_int_equal(figures_of(bench).deferred, 7);
    for (unsigned i = 0; i < 100; i++)
        store(bench, i, 1, 200000, CACHE_NEVER);
    struct cache_figures many = figures_of(bench);
    assert_in_range(many.deferred - 7, 1, MEMORY / 32 / 200000);
    for (unsigned i = 0; i < 100; i++)
        store(bench, i, 2, 200000, CACHE_NEVER); /* those that waited are gone: others may */
    assert_true(figures_of(bench).deferred > many.deferred);
    compress_all(bench);
    for (unsigned i = 0; i < 100; i++)
        expect(bench, i, 2, 200000, &answer);
}

/* What compression does not make smaller stays as it is. */
static void test_large_noise(void **state)
{
    struct bench *bench = *state;
    static uint8_t entry[1 + 200000], out[1 + 200000];
    static struct answer answer;
    uint64_t random = 1;
    make_noise(&random, entry, sizeof(entry));
    entry[0] = 'k';
    memcpy(out, entry, sizeof(entry));
    const struct cache_store put = {.entry = entry,
                                    .key_bytes = 1,
                                    .value_bytes = 200000,
                                    .mode = CACHE_SET,
                                    .expiry_s = CACHE_NEVER};
    assert_int_equal(cache_store(bench->engine.worker, &put, NOW, NULL), CACHE_OK);
    struct cache_figures before = figures_of(bench);
    assert_int_equal(before.deferred, 1);
    compress_all(bench);
    struct cache_figures after = figures_of(bench);
    assert_int_equal(after.pages_large, before.pages_large);
    assert_int_equal(
        cache_get(bench->engine.worker, "k", 1, NULL, NOW, place, &answer, &answer.item), CACHE_OK);
    assert_memory_equal(answer.entry + 1, out + 1, 200000);
}

static void store_noise(struct bench *bench, unsigned from, unsigned to)
{
    uint8_t entry[16 + NOISE_BYTES];
    for (unsigned i = from; i < to; i++) {
        struct cache_store put = {
            .entry = entry, .mode = CACHE_SET, .flags = i, .expiry_s = CACHE_NEVER};
        put.key_bytes = make_key(i, (char *)entry);
        uint64_t random = i;
        put.value_bytes = NOISE_BYTES;
        make_noise(&random, entry + put.key_bytes, NOISE_BYTES);
        assert_int_equal(cache_store(bench->engine.worker, &put, NOW, NULL), CACHE_OK);
    }
}

static void expect_noise(struct bench *bench, unsigned from, unsigned to)
{
    static struct answer answer;
    uint8_t noise[NOISE_BYTES];
    char key[16];
    for (unsigned i = from; i < to; i++) {
        size_t key_bytes = make_key(i, key);
        assert_int_equal(cache_get(bench->engine.worker, key, key_bytes, NULL, NOW, place, &answer,
                                   &answer.item),
                         CACHE_OK);
        uint64_t random = i;
        make_noise(&random, noise, NOISE_BYTES);
        assert_int_equal(answer.item.value_bytes, NOISE_BYTES);
        assert_memory_equal(answer.entry + key_bytes, noise, NOISE_BYTES);
    }
}

/* Pages have bytes that are poisoned for asan, and memcpy() looks. */
__attribute__((no_sanitize("address", "undefined"))) static void copy_unchecked(uint8_t *out,
                                                                                const uint8_t *from,
                                                                                size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        out[i] = from[i];
}

/* The middle of each page of records as it is now; of any other nothing. How many there are. */
static unsigned middles(struct bench *bench, uint8_t (*out)[MIDDLE_BYTES])
{
    static struct cache_map map;
    unsigned pages = 0;
    cache_map(bench->engine.cache, &map);
    assert_int_equal(map.cell_pages, 1);
    for (unsigned i = 0; i < map.count; i++) {
        memset(out[i], 0, MIDDLE_BYTES);
        if (strchr(".-#", map.cells[i]) != NULL)
            continue;
        const uint8_t *page = zbud_arena_page(bench->engine.cache->arena, i);
        copy_unchecked(out[i], page + (ZBUD_PAGE_BYTES - MIDDLE_BYTES) / 2, MIDDLE_BYTES);
        pages++;
    }
    return pages;
}

/* Full logs of what does not get smaller stay where they are; those that were open do not, or each
 * of a few records would have half a page for itself. */
static void test_noise_stays(void **state)
{
    struct bench *bench = *state;
    static uint8_t before[CACHE_MAP_CELLS_MAX][MIDDLE_BYTES];
    static uint8_t after[CACHE_MAP_CELLS_MAX][MIDDLE_BYTES];
    static const uint8_t nothing[MIDDLE_BYTES];
    unsigned same = 0;
    store_noise(bench, 0, ITEMS);
    assert_int_equal(figures_of(bench).deferred, ITEMS);
    unsigned pages = middles(bench, before);
    assert_in_range(pages, ITEMS / 8, ITEMS / 4);
    compress_all(bench);
    assert_in_range(middles(bench, after), pages, pages + 8);
    for (unsigned i = 0; i < CACHE_MAP_CELLS_MAX; i++)
        same += memcmp(before[i], nothing, MIDDLE_BYTES) != 0 &&
                memcmp(before[i], after[i], MIDDLE_BYTES) == 0;
    assert_in_range(same, pages - pages / 8, pages); /* each shard had logs that were open */
    expect_noise(bench, 0, ITEMS);

    /* One at a time each is alone in its log. */
    struct cache_figures figures = figures_of(bench);
    for (unsigned i = ITEMS; i < 2 * ITEMS; i++) {
        store_noise(bench, i, i + 1);
        compress_all(bench);
    }
    assert_true(figures_of(bench).pages_used - figures.pages_used <= pages + pages / 8);
    expect_noise(bench, 0, 2 * ITEMS);
}

/* Where nothing is to be compressed, nothing waits for it. */
static void test_uncompressed(void **state)
{
    struct bench *bench = *state;
    static struct answer answer;
    store(bench, 0, 0, 200, CACHE_NEVER);
    store(bench, 1, 0, 200000, CACHE_NEVER);
    assert_int_equal(figures_of(bench).deferred, 0);
    assert_int_equal(cache_compress(bench->engine.keeper, NOW), CACHE_COMPRESS_NONE);
    expect(bench, 0, 0, 200, &answer);
    expect(bench, 1, 0, 200000, &answer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_compressed_later, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changed_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded_when_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_bounded_by_the_limit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_who_compresses, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_large_noise, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_noise_stays, set_up_small, tear_down),
        cmocka_unit_test_setup_teardown(test_uncompressed, set_up_uncompressed, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
