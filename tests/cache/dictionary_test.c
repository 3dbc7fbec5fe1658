/* Dictionaries: trained from what is stored, named by logs, kept while named; and settling. */
#include "server/cache/cache.h"
#include "server/cache/current.h"
#include "tests/cache/check_cache.h"
#include "tests/instrumented.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIB         (1u << 20)
#define ITEMS_COUNT 8000u
#define NOISE_COUNT (ITEMS_COUNT / 4)
#define NOISE_KEY   11u
#define NOISE_BYTES 500u
/* Of what is done again and again, by one thread. */
#define ROUNDS      (THREADS_WATCHED ? 5u : 10u)

struct rig {
    struct engine engine;
    uint32_t now_s;
    uint8_t entry[MIB];
    uint8_t out[MIB];
};

static void open_rig(void **state, bool defer)
{
    struct cache_config config = {.memory_bytes = 48 * MIB,
                                  .reserve_bytes = 48 * MIB,
                                  .item_bytes_max = MIB,
                                  .shards = 4,
                                  .evict = true,
                                  .compress = true,
                                  .defer = defer,
                                  .settle = true,
                                  .seed = 11,
                                  .now_s = 1000};
    struct rig *rig = calloc(1, sizeof(*rig));
    engine_open(&rig->engine, &config);
    rig->now_s = 1000;
    *state = rig;
}

static int set_up(void **state)
{
    open_rig(state, false);
    return 0;
}

static int set_up_deferring(void **state)
{
    open_rig(state, true);
    return 0;
}

/* An item of a schema; another schema shares no words with it. Some fill more than a page, and
 * some more than a block. Returns the value's length. */
static size_t make_item(unsigned schema, unsigned number, uint8_t *out, size_t *key_bytes)
{
    static const char *const WORDS[2][6] = {
        {"customer", "shipping_address", "orders_total", "newsletter", "Rotterdam", "preferred"},
        {"temperature", "humidity_pct", "station_code", "calibrated", "Reykjavik", "barometer"},
    };
    uint64_t random = number * 2654435761u + schema + 1;
    size_t rounds = number % 500 == 0 ? 900 : number % 50 == 0 ? 300 : 2;
    *key_bytes = (size_t)sprintf((char *)out, "item:%u:%u", schema, number);
    size_t at = *key_bytes;
    for (size_t i = 0; i < rounds * 3; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        const char *word = WORDS[schema][random >> 33 & 3];
        const char *second = WORDS[schema][2 + (random >> 40 & 3)];
        at += (size_t)sprintf((char *)out + at, "{\"%s\":\"%u\",\"%s\":true}", word,
                              (unsigned)(random >> 50), second);
    }
    return at - *key_bytes;
}

static void store_all(struct rig *rig, unsigned schema)
{
    for (unsigned i = 0; i < ITEMS_COUNT; i++) {
        struct cache_store store = {
            .entry = rig->entry, .mode = CACHE_SET, .flags = i, .expiry_s = CACHE_NEVER};
        store.value_bytes = make_item(schema, i, rig->entry, &store.key_bytes);
        assert_int_equal(cache_store(rig->engine.worker, &store, rig->now_s, NULL), CACHE_OK);
    }
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct rig *rig = context;
    return rig->out + item->key_bytes;
}

static void expect_all(struct rig *rig, unsigned schema)
{
    for (unsigned i = 0; i < ITEMS_COUNT; i++) {
        struct cache_item item;
        size_t key_bytes;
        size_t bytes = make_item(schema, i, rig->entry, &key_bytes);
        assert_int_equal(cache_get(rig->engine.worker, rig->entry, key_bytes, NULL, rig->now_s,
                                   place, rig, &item),
                         CACHE_OK);
        assert_int_equal(item.value_bytes, bytes);
        assert_int_equal(item.flags, i);
        assert_memory_equal(rig->out, rig->entry, key_bytes + bytes);
    }
}

/* Upkeep until rounds find nothing more to do; a few of them, for what is stored to grow old. */
static void maintain(struct rig *rig, uint32_t seconds)
{
    rig->now_s += seconds;
    for (unsigned rounds = 0; rounds < 6; rounds++, rig->now_s += 5) {
        for (unsigned steps = 0; cache_maintain(rig->engine.keeper, rig->now_s); steps++)
            assert_true(steps < 1000000);
    }
}

static void test_train_and_settle(void **state)
{
    struct rig *rig = *state;
    struct cache_figures before, trained, settled;
    maintain(rig, 1);
    cache_figures(rig->engine.cache, &before);
    assert_int_equal(before.dictionaries, 0); /* nothing to learn from */
    store_all(rig, 0);
    cache_figures(rig->engine.cache, &before);
    maintain(rig, 1);
    cache_figures(rig->engine.cache, &settled);
    assert_int_equal(settled.dictionaries, 1);
    assert_int_equal(settled.items, ITEMS_COUNT);
    assert_int_equal(settled.raw_bytes, before.raw_bytes);
    assert_true(settled.settled >= ITEMS_COUNT - 4 * 128); /* all but the open logs */
    assert_true(settled.stored_bytes * 10 < before.stored_bytes * 7);
    expect_all(rig, 0);
    /* What comes now is compressed with the dictionary at once. */
    cache_flush_all(rig->engine.cache, rig->now_s, rig->now_s);
    maintain(rig, 0);
    store_all(rig, 0);
    cache_figures(rig->engine.cache, &trained);
    assert_true(trained.stored_bytes * 10 < before.stored_bytes * 8);
    expect_all(rig, 0);
}

static void compress_all(struct rig *rig)
{
    while (cache_compress(rig->engine.keeper, rig->now_s) == CACHE_COMPRESS_MORE)
        ;
}

static uint64_t raw_bytes_of(struct rig *rig, unsigned number)
{
    struct cache_dictionary dictionaries[CACHE_DICTIONARIES_MAX];
    unsigned count = cache_dictionaries(rig->engine.cache, dictionaries);
    for (unsigned i = 0; i < count; i++) {
        if (dictionaries[i].number == number)
            return dictionaries[i].raw_bytes;
    }
    return 0;
}

/* Noise that was left to the keeper stays where it is, and is then of the class it would have been
 * stored in. */
static void test_kept_noise_has_a_class(void **state)
{
    struct rig *rig = *state;
    store_all(rig, 0);
    compress_all(rig);
    maintain(rig, 1);
    uint64_t before = raw_bytes_of(rig, 1), none_before = raw_bytes_of(rig, 0);
    assert_true(before > 0);
    uint64_t random = 1;
    for (unsigned i = 0; i < NOISE_COUNT; i++) {
        sprintf((char *)rig->entry, "item:0:%c%03u", 'a' + i / 1000, i % 1000);
        make_noise(&random, rig->entry + NOISE_KEY, NOISE_BYTES);
        struct cache_store store = {.entry = rig->entry,
                                    .key_bytes = NOISE_KEY,
                                    .value_bytes = NOISE_BYTES,
                                    .mode = CACHE_SET,
                                    .expiry_s = CACHE_NEVER};
        assert_int_equal(cache_store(rig->engine.worker, &store, rig->now_s, NULL), CACHE_OK);
    }
    uint64_t noise_bytes = NOISE_COUNT * (NOISE_KEY + NOISE_BYTES);
    assert_int_equal(raw_bytes_of(rig, 0) - none_before, noise_bytes);
    compress_all(rig);
    assert_int_equal(raw_bytes_of(rig, 0), none_before);
    assert_int_equal(raw_bytes_of(rig, 1) - before, noise_bytes);
    cache_check(rig->engine.cache);
    expect_all(rig, 0);
}

/* A cache that is full to the last page settles too, and then holds more. */
static void test_settle_when_full(void **state)
{
    struct rig *rig = *state;
    struct cache_figures figures;
    store_all(rig, 0);
    maintain(rig, 1);
    assert_int_equal(cache_set_memory(rig->engine.cache, 4 * MIB), CACHE_OK);
    for (unsigned rounds = 0; rounds < ROUNDS; rounds++) {
        store_all(rig, 1);
        store_all(rig, 0);
    }
    cache_figures(rig->engine.cache, &figures);
    assert_true(figures.evicted > 0);
    uint64_t settled = figures.settled, stored_bytes = figures.stored_bytes;
    uint64_t items = figures.items;
    maintain(rig, 1);
    maintain(rig, 1);
    cache_figures(rig->engine.cache, &figures);
    assert_true(figures.settled > settled + items / 2);
    /* Open logs of one kind more take a good part of so small a cache. */
    assert_true(figures.items > items / 2);
    assert_true(figures.stored_bytes < stored_bytes);
}

/* A new schema: a new dictionary, and the old one goes when nothing needs it. */
static void test_change_of_schema(void **state)
{
    struct rig *rig = *state;
    struct cache_figures figures;
    store_all(rig, 0);
    maintain(rig, 1);
    cache_figures(rig->engine.cache, &figures);
    assert_int_equal(figures.classes_learned, 1);
    cache_flush_all(rig->engine.cache, rig->now_s, rig->now_s);
    store_all(rig, 1);
    maintain(rig, 61);
    cache_figures(rig->engine.cache, &figures);
    assert_int_equal(figures.classes_learned, 2);
    expect_all(rig, 1);
    /* Stores close open logs and make the worker let go of the old one. */
    for (unsigned rounds = 0; rounds < 4 && figures.dictionaries > 1; rounds++) {
        store_all(rig, 1);
        maintain(rig, 1);
        cache_figures(rig->engine.cache, &figures);
    }
    assert_int_equal(figures.dictionaries, 1);
    expect_all(rig, 1);
}

/* A change is noticed long before a learning is due by the clock. */
static void test_change_is_noticed(void **state)
{
    struct rig *rig = *state;
    struct cache_figures figures;
    store_all(rig, 0);
    maintain(rig, 1);
    store_all(rig, 1);
    cache_maintain(rig->engine.keeper, rig->now_s);
    cache_figures(rig->engine.cache, &figures);
    assert_int_equal(figures.classes_learned, 2);
}

/* What serves well stays, however often it is looked at. */
static void test_no_needless_change(void **state)
{
    struct rig *rig = *state;
    struct cache_figures figures;
    for (unsigned i = 0; i < ROUNDS; i++) {
        store_all(rig, 0);
        maintain(rig, 61);
    }
    cache_figures(rig->engine.cache, &figures);
    assert_in_range(figures.classes_learned, 1, 3);
    expect_all(rig, 0);
}

/* What was settled with a worse dictionary is settled again once there is a better one, and then
 * stays. */
static void test_settle_again(void **state)
{
    struct rig *rig = *state;
    struct cache_figures first, worse, better, later;
    /* Until it is seldom looked whether contents have changed. */
    for (unsigned i = 0; i < 6; i++) {
        store_all(rig, 0);
        maintain(rig, 1000);
    }
    cache_figures(rig->engine.cache, &first);
    store_all(rig, 1);
    maintain(rig, 1);
    cache_figures(rig->engine.cache, &worse);
    assert_int_equal(worse.classes_learned, first.classes_learned);
    assert_true(worse.settled >= first.settled + ITEMS_COUNT - 4 * 128);
    maintain(rig, 1000);
    maintain(rig, 1);
    cache_figures(rig->engine.cache, &better);
    assert_int_equal(better.classes_learned, first.classes_learned + 1);
    assert_true(better.stored_bytes - first.stored_bytes <
                (worse.stored_bytes - first.stored_bytes) * 9 / 10);
    /* All that has the same dictionary, and an eighth of it to find out. */
    assert_in_range(better.settled - worse.settled, ITEMS_COUNT - 4 * 128,
                    2 * ITEMS_COUNT + 2 * ITEMS_COUNT / 8);
    maintain(rig, 20);
    cache_figures(rig->engine.cache, &later);
    assert_int_equal(later.settled, better.settled);
    expect_all(rig, 0);
    expect_all(rig, 1);
}

static void test_change_while_settling(void **state)
{
    struct rig *rig = *state;
    size_t key_bytes;
    store_all(rig, 0);
    cache_maintain(rig->engine.keeper, rig->now_s + 1);
    maintain(rig, 10);
    rig->now_s += 20;
    for (unsigned i = 0; i < ITEMS_COUNT; i++) {
        cache_maintain(rig->engine.keeper, rig->now_s);
        if (i % 3 == 0) {
            size_t bytes = make_item(0, i, rig->entry, &key_bytes);
            struct cache_store store = {.entry = rig->entry,
                                        .key_bytes = key_bytes,
                                        .value_bytes = bytes,
                                        .mode = CACHE_SET,
                                        .flags = i,
                                        .expiry_s = CACHE_NEVER};
            assert_int_equal(
                cache_touch(rig->engine.worker, rig->entry, key_bytes, CACHE_NEVER - 1, rig->now_s),
                CACHE_OK);
            if (i % 2 == 0)
                assert_int_equal(cache_store(rig->engine.worker, &store, rig->now_s, NULL),
                                 CACHE_OK);
        }
    }
    cache_check(rig->engine.cache);
    expect_all(rig, 0);
}

/* What nothing is gained for is tried now and then, and otherwise stays where it is. */
static void test_noise_is_left_alone(void **state)
{
    struct rig *rig = *state;
    struct cache_figures figures;
    uint64_t random = 1;
    for (unsigned i = 0; i < ITEMS_COUNT; i++) {
        struct cache_store store = {
            .entry = rig->entry, .mode = CACHE_SET, .expiry_s = CACHE_NEVER, .value_bytes = 400};
        store.key_bytes = (size_t)sprintf((char *)rig->entry, "noise:%u", i);
        make_noise(&random, rig->entry + store.key_bytes, 400);
        assert_int_equal(cache_store(rig->engine.worker, &store, rig->now_s, NULL), CACHE_OK);
    }
    maintain(rig, 1);
    maintain(rig, 1);
    cache_figures(rig->engine.cache, &figures);
    assert_int_equal(figures.items, ITEMS_COUNT);
    assert_in_range(figures.settled, 1, ITEMS_COUNT / 3);
    uint64_t settled = figures.settled;
    maintain(rig, 1);
    cache_figures(rig->engine.cache, &figures);
    assert_int_equal(figures.settled, settled);
}

static uint64_t stored_with(struct rig *rig, const char *key, uint32_t expiry_s)
{
    struct cache_figures before, after;
    struct cache_store store = {
        .entry = rig->entry, .mode = CACHE_SET, .expiry_s = expiry_s, .value_bytes = 1000};
    store.key_bytes = (size_t)sprintf((char *)rig->entry, "%s", key);
    memset(rig->entry + store.key_bytes, '7', 1000);
    cache_figures(rig->engine.cache, &before);
    assert_int_equal(cache_store(rig->engine.worker, &store, rig->now_s, NULL), CACHE_OK);
    cache_figures(rig->engine.cache, &after);
    return after.stored_bytes - before.stored_bytes;
}

/* Values that die before they would settle, and counters, are not compressed at all. */
static void test_short_lived_stay_raw(void **state)
{
    struct rig *rig = *state;
    struct cache_number number;
    struct cache_figures before, after;
    assert_in_range(stored_with(rig, "long", CACHE_NEVER), 10, 100);
    assert_in_range(stored_with(rig, "hour", rig->now_s + 3600), 10, 100);
    assert_in_range(stored_with(rig, "short", rig->now_s + 5), 1000, 1100);
    /* A counter in a key that would compress, being long and of one letter. */
    struct cache_store store = {.entry = rig->entry,
                                .mode = CACHE_SET,
                                .expiry_s = CACHE_NEVER,
                                .key_bytes = 200,
                                .value_bytes = 1};
    memset(rig->entry, 'k', 200);
    rig->entry[200] = '1';
    cache_figures(rig->engine.cache, &before);
    assert_int_equal(cache_store(rig->engine.worker, &store, rig->now_s, NULL), CACHE_OK);
    cache_figures(rig->engine.cache, &after);
    assert_in_range(after.stored_bytes - before.stored_bytes, 10, 60);
    const struct cache_arith incr = {.increment = true, .delta = 1};
    assert_int_equal(cache_arith(rig->engine.worker, rig->entry, 200, &incr, rig->now_s, &number),
                     CACHE_OK);
    assert_int_equal(number.value, 2);
    cache_figures(rig->engine.cache, &after);
    assert_in_range(after.stored_bytes - before.stored_bytes, 200, 220);
}

static void test_table_of_dictionaries(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    char label[DICTIONARY_LABEL_BYTES];
    uint32_t added_s;
    uint8_t bytes[100] = {1};
    assert_null(dictionaries_get(dictionaries, 0));
    for (unsigned number = 1; number < DICTIONARIES_MAX; number++) {
        struct codec_dictionary *dictionary = codec_dictionary_new(bytes, sizeof(bytes));
        assert_int_equal(dictionaries_add(dictionaries, dictionary, "a:", number), number);
        assert_ptr_equal(dictionaries_get(dictionaries, number), dictionary);
        dictionaries_use(dictionaries, number);
    }
    struct codec_dictionary *one_more = codec_dictionary_new(bytes, sizeof(bytes));
    assert_int_equal(dictionaries_add(dictionaries, one_more, "", 0), 0);
    assert_int_equal(dictionaries_tidy(dictionaries), 0);
    dictionaries_use(dictionaries, 3);
    dictionaries_release(dictionaries, 3);
    dictionaries_release(dictionaries, 5);
    assert_int_equal(dictionaries_uses(dictionaries, 3), 1);
    assert_int_equal(dictionaries_tidy(dictionaries), 1);
    assert_false(dictionaries_describe(dictionaries, 5, label, &added_s));
    assert_int_equal(dictionaries_add(dictionaries, one_more,
                                      "a label that is longer than any that is kept", 77),
                     5);
    assert_true(dictionaries_describe(dictionaries, 5, label, &added_s));
    assert_string_equal(label, "a label that is longer than any");
    assert_int_equal(added_s, 77);
    assert_int_equal(dictionaries_count(dictionaries), DICTIONARIES_MAX - 1);
    dictionaries_free(dictionaries);
}

/* Readers keep what they hold; the next ones get what is current. */
static void test_current_classes(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    struct current current;
    struct current_reader one, other;
    uint8_t bytes[100] = {1};
    current_init(&current);
    current_join(&current, &one);
    current_join(&current, &other);
    assert_null(current_hold(&current, &one));
    current_release(&one);
    for (unsigned number = 1; number <= 3; number++) {
        assert_int_equal(dictionaries_add(dictionaries, codec_dictionary_new(bytes, 100), "", 0),
                         number);
        current_publish(&current, classes_new(dictionaries, &number, 1, NULL, 0));
        const struct classes *held = current_hold(&current, &one);
        assert_true(classes_name(held, number) && held == current_hold(&current, &other));
        current_release(&other);
        current_tidy(&current);
        assert_int_equal(current_settled(&current), true);
        current_release(&one);
    }
    const struct classes *held = current_hold(&current, &other);
    current_publish(&current, NULL);
    current_tidy(&current);
    assert_false(current_settled(&current));
    assert_int_equal(classes_number(held, 0), 3); /* still there */
    assert_int_equal(dictionaries_uses(dictionaries, 3), 1);
    current_release(&other);
    current_leave(&current, &other);
    current_tidy(&current);
    assert_true(current_settled(&current));
    assert_int_equal(dictionaries_tidy(dictionaries), 3);
    current_leave(&current, &one);
    current_fini(&current);
    dictionaries_free(dictionaries);
}

static uint32_t feature_of(const char *entry, size_t key_bytes, unsigned at)
{
    uint32_t features[CLASSES_FEATURES_MAX];
    unsigned count = classes_features((const uint8_t *)entry, key_bytes, strlen(entry), features);
    assert_in_range(count, at + 1, CLASSES_FEATURES_MAX);
    return features[at];
}

/* Features are prefixes of the key, its second word, and how the value begins; the surest that is
 * known decides. */
static void test_choice_by_features(void **state)
{
    (void)state;
    struct dictionaries *dictionaries = dictionaries_new();
    const unsigned numbers[2] = {1, 2};
    struct classes_vote votes[40];
    uint8_t bytes[100] = {1};
    assert_int_equal(dictionaries_add(dictionaries, codec_dictionary_new(bytes, 100), "", 0), 1);
    assert_int_equal(dictionaries_add(dictionaries, codec_dictionary_new(bytes, 100), "", 0), 2);
    for (unsigned i = 0; i < 10; i++) {
        votes[i] = (struct classes_vote){feature_of("a:user:1", 8, 1), 1};      /* "a:user:" */
        votes[10 + i] = (struct classes_vote){feature_of("a:user:1", 8, 2), 1}; /* "user:" */
        votes[20 + i] = (struct classes_vote){feature_of("a:user:1", 8, 0), i % 2};
        votes[30 + i] = (struct classes_vote){feature_of("k{\"id\"", 1, 0), i == 0 ? 0 : 1};
    }
    struct classes *classes = classes_new(dictionaries, numbers, 2, votes, 40);
#define CHOICE(entry, key_bytes) \
    classes_choose(classes, (const uint8_t *)(entry), key_bytes, strlen(entry))
    assert_int_equal(CHOICE("a:user:77x", 9), 2);
    assert_int_equal(CHOICE("other:user:77x", 13), 2);
    assert_int_equal(CHOICE("x{\"id\":7}", 1), 2);
    assert_int_equal(CHOICE("x{\"no\":7}", 1), 1);
    assert_int_equal(CHOICE("a", 1), 1);
    assert_int_equal(CHOICE(":::::", 5), 1);
    assert_int_equal(classes_choose(NULL, (const uint8_t *)"a", 1, 1), 0);
    classes_free(classes);
    assert_int_equal(dictionaries_tidy(dictionaries), 2);
    dictionaries_free(dictionaries);
}

static void test_nothing_to_learn(void **state)
{
    (void)state;
    uint8_t samples[64] = {0};
    size_t bytes[2] = {32, 32};
    assert_null(dictionary_train(samples, bytes, 2));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_train_and_settle, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_settle_when_full, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_kept_noise_has_a_class, set_up_deferring,
                                        engine_tear_down),
        cmocka_unit_test_setup_teardown(test_change_of_schema, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_change_is_noticed, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_no_needless_change, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_settle_again, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_change_while_settling, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_noise_is_left_alone, set_up, engine_tear_down),
        cmocka_unit_test_setup_teardown(test_short_lived_stay_raw, set_up, engine_tear_down),
        cmocka_unit_test(test_table_of_dictionaries),
        cmocka_unit_test(test_current_classes),
        cmocka_unit_test(test_choice_by_features),
        cmocka_unit_test(test_nothing_to_learn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
