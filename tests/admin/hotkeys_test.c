/*
 * hotkeys_test.c - the hottest keys: exact where there are few requests, within their own error
 * where there are many, and only those of now.
 */
/* cmocka.h stands on the four before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include "server/admin/hotkeys.h"
#include "server/cache/cache.h"

#include <assert.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NOW     1800000000u
#define MIB     ((size_t)1 << 20)
#define THREADS 2u

struct fixture {
    struct cache *cache;
    struct hotkeys *hotkeys;
    struct hotkeys_writer *writers[THREADS];
    struct hotkey list[HOTKEYS_LISTED_MAX];
    unsigned count;
};

static uint64_t charged(const struct fixture *fixture)
{
    struct cache_figures figures;

    cache_figures(fixture->cache, &figures);
    return figures.charged_bytes;
}

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    const struct cache_config config = {
        .memory_bytes = 16 * MIB,
        .reserve_bytes = 16 * MIB,
        .item_bytes_max = MIB,
        .shards = 1,
        .now_s = NOW,
    };

    assert_non_null(fixture);
    fixture->cache = cache_new(&config);
    assert_non_null(fixture->cache);
    const uint64_t before = charged(fixture);
    fixture->hotkeys = hotkeys_new(fixture->cache, THREADS, NOW);
    assert_non_null(fixture->hotkeys);
    assert_true(charged(fixture) > before + (size_t)THREADS * HOTKEYS_KEPT * HOTKEYS_KEY_BYTES_MAX);
    for (unsigned i = 0; i < THREADS; i++) {
        fixture->writers[i] = hotkeys_join(fixture->hotkeys);
    }
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    hotkeys_free(fixture->hotkeys);
    assert_int_equal(charged(fixture), 0);
    cache_free(fixture->cache);
    free(fixture);
    return 0;
}

static void ask(struct fixture *fixture, unsigned writer, const char *key, unsigned times,
                uint32_t now_s)
{
    for (unsigned i = 0; i < times; i++) {
        hotkeys_count(fixture->writers[writer], key, strlen(key), now_s);
    }
}

static void list(struct fixture *fixture, uint32_t now_s)
{
    fixture->count = hotkeys_list(fixture->hotkeys, now_s, fixture->list);
    for (unsigned i = 1; i < fixture->count; i++) {
        assert_true(fixture->list[i - 1].requests_per_s >= fixture->list[i].requests_per_s);
    }
}

/* NULL where it is not listed. */
static const struct hotkey *find(const struct fixture *fixture, const char *key)
{
    for (unsigned i = 0; i < fixture->count; i++) {
        if (fixture->list[i].key_bytes == strlen(key) &&
            memcmp(fixture->list[i].key, key, strlen(key)) == 0) {
            return &fixture->list[i];
        }
    }
    return NULL;
}

static void expect(const struct fixture *fixture, const char *key, double low, double high)
{
    const struct hotkey *hotkey = find(fixture, key);

    if (hotkey == NULL) {
        fail_msg("%s is not listed", key);
        return;
    }
    if (hotkey->requests_per_s < low || hotkey->requests_per_s > high) {
        fail_msg("%s: %.2f a second, not %.2f to %.2f", key, hotkey->requests_per_s, low, high);
    }
}

static void test_few_are_exact(void **state)
{
    struct fixture *fixture = *state;
    char longest[HOTKEYS_KEY_BYTES_MAX + 1];

    list(fixture, NOW);
    assert_int_equal(fixture->count, 0);
    memset(longest, 'k', HOTKEYS_KEY_BYTES_MAX);
    longest[HOTKEYS_KEY_BYTES_MAX] = '\0';
    ask(fixture, 0, "hot", 100, NOW);
    ask(fixture, 0, longest, 10, NOW);
    ask(fixture, 0, "seldom", HOTKEYS_SURE_SAMPLES - 1, NOW);
    list(fixture, NOW);
    assert_int_equal(fixture->count, 2);
    expect(fixture, "hot", 100, 100);
    expect(fixture, longest, 10, 10);
    assert_true(fixture->list[0].error_per_s == 0);
    list(fixture, NOW + 5); /* the same in five seconds */
    expect(fixture, "hot", 20, 20);
}

/* More keys than are kept, every request looked at: what is sure is no more than what was asked,
 * and no less with the error. */
static void test_within_their_error(void **state)
{
    struct fixture *fixture = *state;
    enum {
        KEYS = 600
    };
    unsigned asked[KEYS] = {0};
    uint64_t random = 1;

    for (unsigned i = 0; i < HOTKEYS_SAMPLES_MAX - 1; i++) {
        char key[16];
        random = random * 6364136223846793005u + 1442695040888963407u;
        const unsigned below = i % 2 == 0 ? 8 : KEYS;
        const unsigned number = (unsigned)((random >> 33) % below);
        (void)snprintf(key, sizeof(key), "key%u", number);
        ask(fixture, 0, key, 1, NOW);
        asked[number]++;
    }
    list(fixture, NOW);
    for (unsigned i = 0; i < fixture->count; i++) {
        const struct hotkey *hotkey = &fixture->list[i];
        char key[16] = {0};
        memcpy(key, hotkey->key, hotkey->key_bytes);
        const unsigned number = (unsigned)strtoul(key + 3, NULL, 10);
        assert_true(hotkey->requests_per_s <= asked[number]);
        assert_true(hotkey->requests_per_s + hotkey->error_per_s >= asked[number]);
    }
    for (unsigned number = 0; number < 8; number++) {
        char key[16];
        (void)snprintf(key, sizeof(key), "key%u", number);
        assert_non_null(find(fixture, key));
    }
}

/* 60,000 requests a second for half a minute, a half of them for 10 keys, the rest for a million:
 * the ten are found with their rates, and hardly any other. */
static void test_many(void **state)
{
    struct fixture *fixture = *state;
    uint64_t random = 7;
    char key[32];

    for (unsigned i = 0; i < 30 * 60000; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const unsigned drawn = (unsigned)(random >> 40);
        if (i % 2 == 0) {
            (void)snprintf(key, sizeof(key), "hot:%u", drawn % 10);
        } else {
            (void)snprintf(key, sizeof(key), "cold:%u", drawn % 1000000);
        }
        hotkeys_count(fixture->writers[0], key, strlen(key), NOW + i / 60000);
    }
    list(fixture, NOW + 30);
    for (unsigned i = 0; i < 10; i++) {
        (void)snprintf(key, sizeof(key), "hot:%u", i);
        expect(fixture, key, 2550, 3450); /* of 3,000: four times what chance does */
    }
    assert_true(fixture->count <= 12);
}

/* What was hot is forgotten, what is hot now is there, and a steady rate is shown as it is. */
static void test_only_now(void **state)
{
    struct fixture *fixture = *state;
    uint32_t now_s = NOW;

    for (; now_s < NOW + 60; now_s++) {
        ask(fixture, 0, "before", 100, now_s);
    }
    list(fixture, now_s);
    expect(fixture, "before", 99, 101);
    for (; now_s < NOW + 120; now_s++) {
        ask(fixture, 0, "after", 50, now_s);
    }
    list(fixture, now_s);
    expect(fixture, "after", 49, 51);
    expect(fixture, "before", 0, 2);
    list(fixture, now_s + 1000);
    assert_int_equal(fixture->count, 0);
}

static void test_clock_set_back(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, 0, "hot", 100, NOW + 1000);
    list(fixture, NOW);
    expect(fixture, "hot", 1, 100);
}

static void test_threads_together(void **state)
{
    struct fixture *fixture = *state;

    ask(fixture, 0, "one", 20, NOW);
    ask(fixture, 1, "other", 30, NOW);
    ask(fixture, 0, "both", 25, NOW);
    ask(fixture, 1, "both", 25, NOW);
    list(fixture, NOW);
    assert_int_equal(fixture->count, 3);
    expect(fixture, "both", 50, 50);
    expect(fixture, "other", 30, 30);
    expect(fixture, "one", 20, 20);
}

/* More hot keys than are listed: the hottest are. */
static void test_list_is_full(void **state)
{
    struct fixture *fixture = *state;
    char key[16];

    for (unsigned i = 0; i < 2 * HOTKEYS_LISTED_MAX; i++) {
        (void)snprintf(key, sizeof(key), "key%u", i);
        ask(fixture, 0, key, 5 + i % 10, NOW);
    }
    list(fixture, NOW);
    assert_int_equal(fixture->count, HOTKEYS_LISTED_MAX);
    assert_true(fixture->list[HOTKEYS_LISTED_MAX - 1].requests_per_s >= 9);
}

struct reading {
    struct fixture *fixture;
    _Atomic bool stop;
};

static void *read_on(void *context)
{
    struct reading *reading = context;
    struct hotkey hotkeys[HOTKEYS_LISTED_MAX];

    do {
        const unsigned count = hotkeys_list(reading->fixture->hotkeys, NOW, hotkeys);
        assert(count <= HOTKEYS_LISTED_MAX);
    } while (!atomic_load(&reading->stop));
    return NULL;
}

static void test_read_meanwhile(void **state)
{
    struct fixture *fixture = *state;
    struct reading reading = {.fixture = fixture};
    pthread_t thread;
    char key[16];

    assert_int_equal(pthread_create(&thread, NULL, read_on, &reading), 0);
    for (unsigned i = 0; i < 20000; i++) {
        (void)snprintf(key, sizeof(key), "key%u", i % 500);
        hotkeys_count(fixture->writers[i % THREADS], key, strlen(key), NOW + i / 1000);
    }
    atomic_store(&reading.stop, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_few_are_exact, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_within_their_error, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_now, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_clock_set_back, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_threads_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_list_is_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_read_meanwhile, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
