/* Expiry: the wheel against a list that is looked through, and the cache that goes by the wheel. */
#include "server/cache/cache.h"
#include "server/cache/expiry.h"
#include "tests/cache/check_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW    1000u
#define MIB    (1u << 20)
#define SHARDS 4u
#ifdef ZB_SLOW_CHECKS
#define ITEMS_MANY 100000u
#define STEPS      20000u
#else
#define ITEMS_MANY 1000000u
#define STEPS      100000u
#endif

/* ---- the wheel ---- */

#define LOGS          300u
#define RESERVE_BYTES ((size_t)64 << 30)

struct wheel_model {
    struct zbud_arena *arena;
    struct expiry_table *table;
    struct expiry_wheel *wheel;
    uint64_t random;
    uint32_t now_s;
    struct zbud_handle logs[LOGS];
    bool claimed[LOGS];
    uint32_t earliest_s[LOGS]; /* CACHE_NEVER: none */
    uint64_t looks, expiries;
};

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((*random >> 33) % below);
}

/* Seconds to years, each magnitude as often as the other. */
static uint32_t draw_span(uint64_t *random)
{
    return draw(random, 2u << draw(random, 28));
}

static void visit(void *context, struct zbud_handle log)
{
    struct wheel_model *model = context;
    unsigned found = 0;
    for (unsigned i = 0; i < LOGS; i++)
        found += model->claimed[i] && model->logs[i].bits == log.bits;
    assert_int_equal(found, 1);
}

static void model_check(struct wheel_model *model)
{
    expiry_check(model->wheel, visit, model);
    for (unsigned i = 0; i < LOGS; i++) {
        if (model->claimed[i] && model->earliest_s[i] != CACHE_NEVER)
            assert_true(expiry_is_noted(model->wheel, model->logs[i], model->earliest_s[i]));
    }
}

static void model_note(struct wheel_model *model, unsigned i)
{
    uint32_t expiry_s = model->now_s + draw_span(&model->random);
    if (!model->claimed[i]) {
        assert_true(expiry_claim(model->wheel, model->logs[i]));
        model->claimed[i] = true;
        model->earliest_s[i] = CACHE_NEVER;
    }
    expiry_note(model->wheel, model->logs[i], expiry_s);
    if (expiry_s < model->earliest_s[i])
        model->earliest_s[i] = expiry_s;
}

static unsigned model_find(const struct wheel_model *model, struct zbud_handle log)
{
    unsigned i = 0;
    while (i < LOGS && model->logs[i].bits != log.bits)
        i++;
    assert_true(i < LOGS && model->claimed[i]);
    return i;
}

static void model_pass(struct wheel_model *model)
{
    struct zbud_handle log;
    model->now_s +=
        draw(&model->random, 8) == 0 ? draw_span(&model->random) / 4 : draw(&model->random, 3);
    while (expiry_take_due(model->wheel, model->now_s, &log)) {
        unsigned i = model_find(model, log);
        model->looks++;
        if (model->earliest_s[i] <= model->now_s) {
            model->expiries++;
            model->earliest_s[i] = CACHE_NEVER;
        } else if (model->earliest_s[i] != CACHE_NEVER) {
            expiry_note(model->wheel, log, model->earliest_s[i]);
        }
    }
    for (unsigned i = 0; i < LOGS; i++)
        assert_true(!model->claimed[i] || model->earliest_s[i] > model->now_s);
}

static void model_drop(struct wheel_model *model, unsigned i)
{
    if (model->claimed[i])
        expiry_drop(model->wheel, model->logs[i]);
    model->claimed[i] = false;
}

/* What is due is given, all of it, and never something that is not claimed. */
static void test_wheel_against_a_list(void **state)
{
    (void)state;
    struct wheel_model *model = calloc(1, sizeof(*model));
    model->arena = zbud_arena_new(RESERVE_BYTES, 8 * MIB);
    model->table = expiry_table_new(model->arena);
    model->now_s = NOW;
    model->wheel = expiry_wheel_new(model->table, NOW);
    model->random = 7;
    for (unsigned i = 0; i < LOGS; i++) {
        model->logs[i].bits = i < LOGS / 2 ? 2 + i : 2 + i * 50021;
        model->earliest_s[i] = CACHE_NEVER;
    }
    model->logs[LOGS - 1].bits = (uint32_t)ZBUD_HANDLES(RESERVE_BYTES / ZBUD_PAGE_BYTES) - 1;
    /* A clock of 32 bits holds 136 years. */
    for (unsigned step = 0; step < STEPS && model->now_s < UINT32_MAX / 2; step++) {
        unsigned i = draw(&model->random, LOGS);
        switch (draw(&model->random, 8)) {
        case 0:
            model_pass(model);
            break;
        case 1:
            model_drop(model, i);
            break;
        default:
            model_note(model, i);
            break;
        }
        if (step % 256 == 0)
            model_check(model);
    }
    assert_true(model->expiries > 1000);
    for (unsigned i = 0; i < LOGS; i++)
        model_drop(model, i);
    assert_int_equal(expiry_table_pages(model->table), 0);
    expiry_check(model->wheel, visit, model);
    expiry_wheel_free(model->wheel);
    expiry_table_free(model->table);
    zbud_arena_free(model->arena);
    free(model);
}

/* One log and one expiry: to the second, after three looks too early at most. */
static void test_wheel_is_exact(void **state)
{
    (void)state;
    static const uint32_t STARTS[] = {0, 1, 63, 64, 4095, 4096, 262143, 262144, 1000000000};
    struct zbud_arena *arena = zbud_arena_new(MIB, MIB);
    struct expiry_table *table = expiry_table_new(arena);
    struct zbud_handle log = {5}, due;
    uint64_t random = 3;
    for (unsigned i = 0; i < 9000; i++) {
        uint32_t start_s = STARTS[i % 9];
        uint32_t expiry_s = start_s + draw(&random, 2u << draw(&random, 23));
        uint32_t now_s = start_s;
        unsigned looks = 0;
        struct expiry_wheel *wheel = expiry_wheel_new(table, start_s);
        assert_true(expiry_claim(wheel, log));
        expiry_note(wheel, log, expiry_s);
        for (;;) {
            if (!expiry_take_due(wheel, now_s, &due)) {
                assert_true(now_s < expiry_s);
                now_s = expiry_s - now_s > 70 ? now_s + (expiry_s - now_s) / 2 : now_s + 1;
                continue;
            }
            assert_int_equal(due.bits, log.bits);
            looks++;
            if (now_s >= expiry_s)
                break;
            expiry_note(wheel, log, expiry_s);
        }
        assert_int_equal(now_s, expiry_s);
        assert_true(looks >= 1 && looks <= 4);
        expiry_drop(wheel, log);
        expiry_wheel_free(wheel);
    }
    expiry_table_free(table);
    zbud_arena_free(arena);
}

static void test_table_needs_a_page(void **state)
{
    (void)state;
    struct zbud_arena *arena = zbud_arena_new(16 * MIB, MIB);
    struct expiry_table *table = expiry_table_new(arena);
    struct expiry_wheel *wheel = expiry_wheel_new(table, NOW);
    uint32_t pages[512];
    size_t count = 0;
    while (zbud_arena_take(arena, &pages[count]) == ZBUD_OK)
        count++;
    assert_false(expiry_claim(wheel, (struct zbud_handle){2}));
    assert_int_equal(expiry_table_pages(table), 0);
    zbud_arena_give(arena, pages[0]);
    assert_true(expiry_claim(wheel, (struct zbud_handle){2}));
    assert_true(expiry_claim(wheel, (struct zbud_handle){511}));
    assert_false(expiry_claim(wheel, (struct zbud_handle){512}));
    assert_int_equal(expiry_table_pages(table), 1);
    expiry_drop(wheel, (struct zbud_handle){2});
    expiry_drop(wheel, (struct zbud_handle){511});
    assert_int_equal(expiry_table_pages(table), 0);
    expiry_wheel_free(wheel);
    expiry_table_free(table);
    zbud_arena_free(arena);
}

static void test_classes(void **state)
{
    (void)state;
    static const uint32_t TTL_S[] = {20, 90, 420, 2100, 10800, 97200};
    assert_int_equal(expiry_class(CACHE_NEVER, NOW), 0);
    assert_int_equal(expiry_class(NOW - 1, NOW), 1);
    assert_int_equal(expiry_class(NOW, NOW), 1);
    for (unsigned i = 0; i < 6; i++) {
        assert_int_equal(expiry_class(NOW + TTL_S[i], NOW), i + 1);
        assert_int_equal(expiry_class(NOW + TTL_S[i] + 1, NOW), i + 2);
    }
    assert_int_equal(expiry_class(CACHE_NEVER - 1, NOW), EXPIRY_CLASSES - 1);
}

/* ---- the cache ---- */

struct bench {
    struct engine engine;
    uint64_t random;
};

static int set_up(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct cache_config config = {
        .memory_bytes = 64 * MIB,
        .reserve_bytes = 64 * MIB,
        .item_bytes_max = MIB,
        .shards = SHARDS,
        .evict = false,
        .compress = false,
        .seed = 42,
        .now_s = NOW,
    };
    engine_open(&bench->engine, &config);
    *state = bench;
    return 0;
}

static void store(struct bench *bench, unsigned number, size_t value_bytes, uint32_t expiry_s)
{
    uint8_t entry[512];
    size_t key_bytes = (size_t)snprintf((char *)entry, 16, "%u", number);
    assert_true(value_bytes <= sizeof(entry) - key_bytes);
    memset(entry + key_bytes, 'v', value_bytes);
    struct cache_store put = {
        .entry = entry,
        .key_bytes = key_bytes,
        .value_bytes = value_bytes,
        .mode = CACHE_SET,
        .expiry_s = expiry_s,
    };
    assert_int_equal(cache_store(bench->engine.worker, &put, NOW, NULL), CACHE_OK);
}

static enum cache_status touch(struct bench *bench, unsigned number, uint32_t expiry_s)
{
    char key[16];
    size_t key_bytes = (size_t)snprintf(key, sizeof(key), "%u", number);
    return cache_touch(bench->engine.worker, key, key_bytes, expiry_s, NOW);
}

static struct cache_figures figures_of(struct bench *bench)
{
    struct cache_figures figures;
    cache_figures(bench->engine.cache, &figures);
    assert_int_equal(figures.evicted, 0);
    assert_int_equal(figures.pages_used, figures.pages_buddied + figures.pages_unbuddied +
                                             figures.pages_large + figures.pages_index +
                                             figures.pages_expiry);
    return figures;
}

static void maintain(struct bench *bench, uint32_t now_s, unsigned calls)
{
    for (unsigned i = 0; i < calls; i++)
        (void)cache_maintain(bench->engine.keeper, now_s);
}

/* A few that expire among very many that do not: the work goes by the few. */
static void test_work_goes_by_what_expires(void **state)
{
    static const uint32_t TTLS_S[] = {1, 7, 30, 300, 301, 3600, 90000, 2000000};
    struct bench *bench = *state;
    for (unsigned i = 0; i < ITEMS_MANY; i++) {
        store(bench, i, 8, CACHE_NEVER);
        if (i % (ITEMS_MANY / 1000) == 0)
            store(bench, ITEMS_MANY + i, 8, NOW + TTLS_S[draw(&bench->random, 8)]);
    }
    struct cache_figures figures = figures_of(bench);
    assert_int_equal(figures.items, ITEMS_MANY + 1000);
    assert_int_equal(figures.items_expiring, 1000);
    uint64_t raw_bytes = figures.raw_bytes, checked = figures.crawler_checked;
    for (unsigned i = 0; i < 8; i++) {
        uint32_t expiry_s = NOW + TTLS_S[i];
        uint64_t items = figures.items, expired = figures.expired;
        maintain(bench, expiry_s - 1, 40);
        figures = figures_of(bench);
        assert_int_equal(figures.items, items);
        maintain(bench, expiry_s, 40);
        figures = figures_of(bench);
        assert_true(figures.expired > expired);
        assert_int_equal(figures.items, items - (figures.expired - expired));
        assert_true(figures.raw_bytes < raw_bytes);
        raw_bytes = figures.raw_bytes;
        if (i % 4 == 0)
            cache_check(bench->engine.cache);
    }
    assert_int_equal(figures.items, ITEMS_MANY);
    assert_int_equal(figures.items_expiring, 0);
    assert_int_equal(figures.expired, 1000);
    assert_int_equal(figures.pages_expiry, 0);
    /* Each log is looked at three times too early at most, and once for each of its expiries. */
    assert_true(figures.crawler_checked - checked < 1000 * 8);
}

/* Half of what is stored, every other item, is gone after a minute; and half of the pages is. */
static void test_pages_go_whole(void **state)
{
    static const uint32_t TTLS_S[] = {60, 60, 600, CACHE_NEVER - NOW};
    struct bench *bench = *state;
    for (unsigned i = 0; i < 60000; i++)
        store(bench, i, 100 + draw(&bench->random, 300), NOW + TTLS_S[i % 4]);
    struct cache_figures full = figures_of(bench);
    uint64_t full_pages = full.pages_buddied + full.pages_unbuddied;
    assert_int_equal(full.items_expiring, 45000);
    assert_true(full.pages_expiry > 0 && full.pages_expiry <= full_pages / 200 + 1);
    maintain(bench, NOW + 60, 2000);
    struct cache_figures half = figures_of(bench);
    uint64_t half_pages = half.pages_buddied + half.pages_unbuddied;
    assert_int_equal(half.items, 30000);
    assert_true(half_pages <= full_pages * 52 / 100);
    maintain(bench, NOW + 600, 2000);
    struct cache_figures quarter = figures_of(bench);
    assert_int_equal(quarter.items, 15000);
    assert_true(quarter.pages_buddied + quarter.pages_unbuddied <= full_pages * 27 / 100);
    assert_int_equal(quarter.pages_expiry, 0);
}

/* Expiries all over a class thin its pages out; what is left in two is joined in one. */
static void test_sparse_pages_are_joined(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < 40000; i++)
        store(bench, i, 100 + draw(&bench->random, 200), NOW + 2101 + draw(&bench->random, 8000));
    for (uint32_t now_s = NOW; now_s < NOW + 9000; now_s += 100) {
        maintain(bench, now_s, 400);
        struct cache_figures figures = figures_of(bench);
        uint64_t pages = figures.pages_buddied + figures.pages_unbuddied;
        assert_true(pages * 4096 <= figures.live_bytes * 22 / 10 + 64 * 4096);
    }
    struct cache_figures figures = figures_of(bench);
    assert_in_range(figures.items, 5000, 6500);
    assert_int_equal(figures.items + figures.expired, 40000);
}

/* A touch brings an expiry, takes it away, and moves it over classes and within one. */
static void test_touch(void **state)
{
    static const uint32_t AFTER_S[] = {CACHE_NEVER - NOW, 3, 500, 600, 100000};
    struct bench *bench = *state;
    for (unsigned i = 0; i < 5000; i++)
        store(bench, i, 50, NOW + AFTER_S[i % 5]);
    for (unsigned i = 0; i < 5000; i++)
        assert_int_equal(touch(bench, i, NOW + AFTER_S[i / 5 % 5]), CACHE_OK);
    cache_check(bench->engine.cache);
    static const unsigned LEFT[] = {5000, 4000, 3000, 2000, 1000};
    for (unsigned i = 1; i < 5; i++) {
        maintain(bench, NOW + AFTER_S[i] - 1, 200);
        assert_int_equal(figures_of(bench).items, LEFT[i - 1]);
        maintain(bench, NOW + AFTER_S[i], 200);
        assert_int_equal(figures_of(bench).items, LEFT[i]);
        cache_check(bench->engine.cache);
    }
    assert_int_equal(figures_of(bench).items_expiring, 0);
}

/* Sooner, but of the same class: nothing moves, and the log is due sooner all the same. */
static void test_touch_within_a_class(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < 1000; i++)
        store(bench, i, 50, NOW + 2000);
    for (unsigned i = 0; i < 1000; i += 20)
        assert_int_equal(touch(bench, i, NOW + 500), CACHE_OK);
    cache_check(bench->engine.cache);
    maintain(bench, NOW + 499, 50);
    assert_int_equal(figures_of(bench).items, 1000);
    maintain(bench, NOW + 500, 50);
    assert_int_equal(figures_of(bench).items, 950);
    maintain(bench, NOW + 2000, 50);
    assert_int_equal(figures_of(bench).items, 0);
}

/* A clock that jumps, as that of a machine that slept. */
static void test_clock_jumps(void **state)
{
    struct bench *bench = *state;
    for (unsigned i = 0; i < 20000; i++)
        store(bench, i, 50, NOW + 1 + draw(&bench->random, 3000000));
    maintain(bench, NOW + 3000000, 3000);
    struct cache_figures figures = figures_of(bench);
    assert_int_equal(figures.items, 0);
    assert_int_equal(figures.expired, 20000);
    assert_int_equal(figures.pages_expiry, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wheel_against_a_list),
        cmocka_unit_test(test_wheel_is_exact),
        cmocka_unit_test(test_table_needs_a_page),
        cmocka_unit_test(test_classes),
        cmocka_unit_test_setup_teardown(test_work_goes_by_what_expires, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_pages_go_whole, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_sparse_pages_are_joined, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_touch, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_touch_within_a_class, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_clock_jumps, set_up, engine_tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
