/* What is saved by key prefix: found from the keys, counted where they are few, and estimated
 * within the error that is told where they are many. */
#include "tests/cache/check_cache.h"

#include <stdio.h>
#include <string.h>

#define NOW 1000u
#define MIB ((size_t)1 << 20)

struct bench {
    struct engine engine;
    uint32_t now_s;
    struct cache_saving list[CACHE_SAVINGS_MAX];
    unsigned count;
};

static int set_up(void **state)
{
    struct bench *bench = engine_new(sizeof(*bench), 4, NOW);

    bench->now_s = NOW;
    *state = bench;
    return 0;
}

/* A value of so many bytes that compress well. */
static void put(struct bench *bench, const char *key, size_t value_bytes)
{
    static const char text[] = "the same words again and again, ";
    uint8_t entry[CACHE_KEY_BYTES_MAX + 2048];
    const size_t key_bytes = strlen(key);
    memcpy(entry, key, key_bytes);
    for (size_t i = 0; i < value_bytes; i++)
        entry[key_bytes + i] = (uint8_t)text[i % (sizeof(text) - 1)];
    const struct cache_store store = {
        .entry = entry,
        .key_bytes = key_bytes,
        .value_bytes = value_bytes,
        .mode = CACHE_SET,
        .expiry_s = CACHE_NEVER,
    };
    assert_int_equal(cache_store(bench->engine.worker, &store, bench->now_s, NULL), CACHE_OK);
}

/* Keys of @before, a number, @behind. */
static void put_many(struct bench *bench, const char *before, const char *behind, unsigned count,
                     size_t value_bytes)
{
    for (unsigned i = 0; i < count; i++) {
        char key[64];
        (void)snprintf(key, sizeof(key), "%s%u%s", before, i, behind);
        put(bench, key, value_bytes);
    }
}

/* The list as the keeper makes it when it is due again. */
static void survey(struct bench *bench)
{
    bench->now_s += 10;
    (void)cache_maintain(bench->engine.keeper, bench->now_s);
    bench->count = cache_savings(bench->engine.cache, bench->list);
    assert_true(bench->count <= CACHE_SAVINGS_MAX);
}

/* "" is all others. NULL where it is not listed. */
static const struct cache_saving *find(const struct bench *bench, const char *prefix)
{
    for (unsigned i = 0; i < bench->count; i++) {
        if (bench->list[i].prefix_bytes == strlen(prefix) &&
            memcmp(bench->list[i].prefix, prefix, strlen(prefix)) == 0)
            return &bench->list[i];
    }
    return NULL;
}

static struct cache_saving listed(const struct bench *bench, const char *prefix)
{
    const struct cache_saving *saving = find(bench, prefix);
    if (saving == NULL) {
        fail_msg("%s is not listed", prefix);
        return (struct cache_saving){0};
    }
    return *saving;
}

static void expect_items(const struct bench *bench, const char *prefix, uint64_t items)
{
    assert_int_equal(listed(bench, prefix).items, items);
}

static int64_t saved(const struct cache_saving *saving)
{
    return (int64_t)(saving->raw_bytes - saving->stored_bytes);
}

/* All together are the cache; the order is by what is saved. */
static void expect_sums(const struct bench *bench)
{
    struct cache_figures figures;
    uint64_t items = 0, raw_bytes = 0, stored_bytes = 0;
    cache_figures(bench->engine.cache, &figures);
    for (unsigned i = 0; i < bench->count; i++) {
        const struct cache_saving *saving = &bench->list[i];
        items += saving->items;
        raw_bytes += saving->raw_bytes;
        stored_bytes += saving->stored_bytes;
        if (i > 0 && saving->prefix_bytes > 0)
            assert_true(saved(saving - 1) >= saved(saving));
        assert_true(saving->prefix_bytes > 0 || i == bench->count - 1);
    }
    /* But for rounding. */
    assert_in_range(items, figures.items - CACHE_SAVINGS_MAX, figures.items + CACHE_SAVINGS_MAX);
    assert_in_range(raw_bytes, figures.raw_bytes - CACHE_SAVINGS_MAX,
                    figures.raw_bytes + CACHE_SAVINGS_MAX);
    assert_in_range(stored_bytes, figures.stored_bytes - CACHE_SAVINGS_MAX,
                    figures.stored_bytes + CACHE_SAVINGS_MAX);
}

static void test_empty(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(cache_savings(bench->engine.cache, bench->list), 0);
    survey(bench);
    assert_int_equal(bench->count, 0);
    put(bench, "a", 1);
    survey(bench);
    assert_int_equal(bench->count, 1);
    expect_items(bench, "", 1);
    assert_int_equal(cache_delete(bench->engine.worker, "a", 1, bench->now_s), CACHE_OK);
    survey(bench);
    assert_int_equal(bench->count, 0);
}

static void test_prefixes_are_found(void **state)
{
    struct bench *bench = *state;
    put_many(bench, "app:user:", "", 200, 1000);
    put_many(bench, "app:session_", "", 100, 500);
    put_many(bench, "app:other", ":x", 20, 10);
    put_many(bench, "job:", ":state", 150, 100); /* a word that is never the same parts nothing */
    put_many(bench, "plain", "", 40, 100);
    put_many(bench, "v1/tenant/a/", "", 30, 100);
    put_many(bench, "v1/tenant/b/", "", 30, 100);
    put(bench, "lonely:1", 10);
    survey(bench);
    expect_sums(bench);
    expect_items(bench, "app:user:", 200);
    expect_items(bench, "app:session_", 100);
    expect_items(bench, "app:", 20);
    expect_items(bench, "job:", 150);
    expect_items(bench, "v1/tenant/a/", 30);
    expect_items(bench, "v1/tenant/b/", 30);
    expect_items(bench, "", 41);
    assert_int_equal(bench->count, 7);
    for (unsigned i = 0; i < bench->count; i++)
        assert_int_equal(bench->list[i].error_bytes, 0); /* all were counted */
    const struct cache_saving users = listed(bench, "app:user:");
    assert_ptr_equal(find(bench, "app:user:"), &bench->list[0]);
    assert_true(users.raw_bytes > 200 * 1000 && users.stored_bytes < users.raw_bytes / 4);
}

/* More prefixes than fit the list: what is saved least is of all others. */
static void test_list_is_full(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < 60; i++) {
        char prefix[32];
        (void)snprintf(prefix, sizeof(prefix), "prefix%u:", i);
        put_many(bench, prefix, "", 10, 200 + 10 * (size_t)i);
    }
    survey(bench);
    expect_sums(bench);
    assert_int_equal(bench->count, CACHE_SAVINGS_MAX);
    expect_items(bench, "prefix59:", 10);
    assert_null(find(bench, "prefix0:"));
    expect_items(bench, "", 10 * (60 - (CACHE_SAVINGS_MAX - 1)));
}

/* A sample of a few thousand of 60,000, and the truth. */
static void test_estimates(void **state)
{
    struct bench *bench = *state;
    static const struct {
        const char *prefix;
        unsigned count;
        size_t value_bytes;
    } kinds[] = {{"user:", 30000, 200}, {"page:", 3000, 1500}, {"flag:", 27000, 4}};
    unsigned off = 0;
    for (unsigned i = 0; i < 3; i++)
        put_many(bench, kinds[i].prefix, "", kinds[i].count, kinds[i].value_bytes);
    for (unsigned round = 0; round < 10; round++) {
        survey(bench);
        expect_sums(bench);
        for (unsigned i = 0; i < 3; i++) {
            const struct cache_saving saving = listed(bench, kinds[i].prefix);
            const double items = (double)saving.items / kinds[i].count;
            assert_true(items > 0.7 && items < 1.4);
            assert_true(saving.error_bytes > 0);
            const double share = (double)saving.stored_bytes / (double)saving.raw_bytes;
            const double truth = (double)saved(&saving) / items; /* of all of its items */
            const double error = (double)saved(&saving) - truth;
            off += (error < 0 ? -error : error) > (double)saving.error_bytes;
            assert_true(i == 2 || share < 0.5);
        }
    }
    assert_true(off <= 6); /* 1 or 2 of 30 are to be expected */
}

/* Not before it is due. */
static void test_every_ten_seconds(void **state)
{
    struct bench *bench = *state;
    survey(bench);
    put(bench, "a", 1);
    (void)cache_maintain(bench->engine.keeper, bench->now_s);
    assert_int_equal(cache_savings(bench->engine.cache, bench->list), 0);
    (void)cache_maintain(bench->engine.keeper, ++bench->now_s); /* an empty one sooner */
    assert_int_equal(cache_savings(bench->engine.cache, bench->list), 1);
    put(bench, "b", 1);
    (void)cache_maintain(bench->engine.keeper, bench->now_s + 9);
    (void)cache_savings(bench->engine.cache, bench->list);
    assert_int_equal(bench->list[0].items, 1);
    (void)cache_maintain(bench->engine.keeper, bench->now_s + 10);
    (void)cache_savings(bench->engine.cache, bench->list);
    assert_int_equal(bench->list[0].items, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_empty, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_prefixes_are_found, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_list_is_full, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_estimates, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_every_ten_seconds, set_up, engine_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
