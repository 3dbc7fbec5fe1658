/*
 * Random operations against a naive model: what is returned was stored, and is the last that was.
 *
 * A miss is allowed only where eviction may have taken the item; without eviction (-M) never. The
 * seed is printed; ZBCACHED_TEST_SEED replays one, ZBCACHED_TEST_OPERATIONS sets the length.
 */
#include "server/cache/cache.h"
#include "tests/cache/check_cache.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define KEYS_COUNT  3000u
#define VALUE_MAX   150000u
#define ITEM_MAX    (256u << 10)
#define CHECK_EVERY 4000u
#ifdef ZB_SLOW_CHECKS
#define OPERATIONS 60000u
#else
#define OPERATIONS 400000u
#endif

/* What the model knows of one key: its value is made from its seed and its length. */
struct known {
    bool present;
    uint64_t seed;
    size_t bytes;
    uint32_t flags;
    uint32_t expiry_s;
    uint64_t cas;
    bool own_cas; /* a client chose it */
    bool stale;
    bool won;
};

struct model {
    struct cache *cache;
    struct cache_worker *worker;
    struct cache_keeper *keeper;
    bool evict;
    uint32_t now_s;
    uint32_t flush_at_s;
    uint64_t random;
    uint64_t misses, hits;
    struct known known[KEYS_COUNT];
    uint8_t entry[VALUE_MAX + 64];
    uint8_t out[2 * VALUE_MAX + 64];
    uint8_t value[2 * VALUE_MAX];
};

static uint32_t draw(struct model *model, uint32_t below)
{
    model->random = model->random * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)((model->random >> 33) % below);
}

/* Half of the values compress, half do not. */
static void make_value(uint8_t *out, uint64_t seed, size_t bytes)
{
    uint64_t state = seed;
    for (size_t i = 0; i < bytes; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        out[i] = seed & 1 ? (uint8_t)(state >> 56) : (uint8_t)('a' + (state >> 61) * (i % 3));
    }
}

static size_t draw_size(struct model *model)
{
    switch (draw(model, 16)) {
    case 0:
        return draw(model, VALUE_MAX);
    case 1:
        return 3800 + draw(model, 400);
    case 2:
    case 3:
        return draw(model, 9000);
    case 4:
        return 0;
    default:
        return draw(model, 600);
    }
}

/* Keys of 6 to 150 bytes. */
static size_t make_key(unsigned number, uint8_t *out)
{
    size_t bytes = (size_t)snprintf((char *)out, 16, "key:%u:", number);
    memset(out + bytes, 'k', number % 140);
    return bytes + number % 140;
}

static void pass_time(struct model *model)
{
    if (draw(model, 50) == 0)
        model->now_s += draw(model, 3);
    if (model->flush_at_s != 0 && model->now_s >= model->flush_at_s) {
        for (unsigned i = 0; i < KEYS_COUNT; i++)
            model->known[i].present = false;
        model->flush_at_s = 0;
    }
}

static struct known *pick(struct model *model, unsigned *number)
{
    /* Some keys are used far more than others. */
    *number = draw(model, draw(model, 4) == 0 ? KEYS_COUNT : KEYS_COUNT / 20);
    struct known *known = &model->known[*number];
    if (known->present && known->expiry_s <= model->now_s)
        known->present = false;
    return known;
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct model *model = context;
    return model->out + item->key_bytes;
}

/* After this the model agrees with the cache on whether the key is there. */
static void look(struct model *model, unsigned number)
{
    struct known *known = &model->known[number];
    uint8_t key[200];
    size_t key_bytes = make_key(number, key);
    struct cache_item item;
    enum cache_status status =
        cache_get(model->worker, key, key_bytes, NULL, model->now_s, place, model, &item);
    if (status == CACHE_NOT_FOUND) {
        assert_true(!known->present || model->evict);
        known->present = false;
        model->misses++;
        return;
    }
    assert_int_equal(status, CACHE_OK);
    assert_true(known->present);
    model->hits++;
    assert_int_equal(item.value_bytes, known->bytes);
    assert_int_equal(item.flags, known->flags);
    assert_int_equal(item.expiry_s, known->expiry_s);
    assert_int_equal(item.cas, known->cas);
    make_value(model->value, known->seed, known->bytes);
    assert_memory_equal(model->out + key_bytes, model->value, known->bytes);
}

static enum cache_status expected(const struct known *known, enum cache_mode mode, uint64_t cas)
{
    switch (mode) {
    case CACHE_ADD:
        return known->present ? CACHE_NOT_STORED : CACHE_OK;
    case CACHE_REPLACE:
        return known->present ? CACHE_OK : CACHE_NOT_STORED;
    case CACHE_CAS:
        if (!known->present)
            return CACHE_NOT_FOUND;
        return known->cas == cas ? CACHE_OK : CACHE_EXISTS;
    case CACHE_CAS_OR_STALE:
        if (!known->present)
            return CACHE_NOT_FOUND;
        return cas != 0 && known->cas >= cas ? CACHE_OK : CACHE_EXISTS;
    case CACHE_SET:
    case CACHE_APPEND:
    case CACHE_PREPEND:
    default:
        return CACHE_OK;
    }
}

static void do_store(struct model *model, unsigned number)
{
    static const enum cache_mode MODES[] = {CACHE_SET,     CACHE_SET, CACHE_ADD,
                                            CACHE_REPLACE, CACHE_CAS, CACHE_CAS_OR_STALE};
    struct known *known = &model->known[number];
    look(model, number);
    uint64_t seed = ((uint64_t)draw(model, UINT32_MAX) << 1) | draw(model, 2);
    size_t key_bytes = make_key(number, model->entry);
    struct cache_store store = {
        .entry = model->entry,
        .key_bytes = key_bytes,
        .value_bytes = draw_size(model),
        .mode = MODES[draw(model, 6)],
        .flags = draw(model, 2) ? draw(model, 100000) : 0,
        .expiry_s = draw(model, 3) ? CACHE_NEVER : model->now_s + draw(model, 300),
        .cas = known->cas + draw(model, 3) - 1,
        .cas_given = draw(model, 8) == 0,
        .cas_new = draw(model, 1000),
    };
    make_value(model->entry + key_bytes, seed, store.value_bytes);
    struct cache_stored stored = {.cas = 0};
    enum cache_status status = cache_store(model->worker, &store, model->now_s, &stored);
    if (status == CACHE_NO_MEMORY) {
        assert_false(model->evict);
        known->present &= store.mode != CACHE_SET;
        return;
    }
    if (status != expected(known, store.mode, store.cas)) {
        /* Making room for the store may evict the very item it is about. */
        assert_true(model->evict && known->present);
        known->present = false;
        assert_int_equal(status, expected(known, store.mode, store.cas));
    }
    if (status == CACHE_OK) {
        bool lower = store.mode == CACHE_CAS_OR_STALE && store.cas != known->cas;
        assert_true(store.cas_given ? stored.cas == store.cas_new
                                    : known->own_cas || stored.cas > known->cas);
        assert_int_equal(stored.value_bytes, store.value_bytes);
        *known = (struct known){.present = true,
                                .seed = seed,
                                .bytes = store.value_bytes,
                                .flags = store.flags,
                                .expiry_s = lower ? known->expiry_s : store.expiry_s,
                                .cas = stored.cas,
                                .own_cas = store.cas_given,
                                .stale = lower,
                                .won = lower && known->won};
    }
}

/* What a look says of an item that is known, and what becomes of it. */
static void check_view(struct model *model, struct known *known, const struct cache_look *look,
                       const struct cache_view *view, const uint8_t *key)
{
    uint32_t judged_s =
        look->touch && look->recache_touched ? look->touch_expiry_s : known->expiry_s;
    bool soon_gone = look->recache && judged_s != CACHE_NEVER && judged_s < look->recache_s;
    assert_false(view->created);
    assert_int_equal(view->stale, known->stale);
    assert_int_equal(view->given, known->won);
    assert_int_equal(view->won, !known->won && (known->stale || soon_gone));
    assert_int_equal(view->item.value_bytes, known->bytes);
    assert_int_equal(view->item.flags, known->flags);
    assert_int_equal(view->item.expiry_s, known->expiry_s);
    assert_int_equal(view->item.cas, known->cas);
    assert_true(view->stored_bytes > 0);
    assert_int_equal(view->read, look->read && !(look->skip_same && look->skip_cas == known->cas));
    if (view->read) {
        make_value(model->value, known->seed, known->bytes);
        assert_memory_equal(model->out, key, view->item.key_bytes);
        assert_memory_equal(model->out + view->item.key_bytes, model->value, known->bytes);
    }
    known->won |= view->won;
    if (look->touch)
        known->expiry_s = look->touch_expiry_s;
}

static void do_look(struct model *model, unsigned number)
{
    struct known *known = &model->known[number];
    uint8_t key[200];
    size_t key_bytes = make_key(number, key);
    struct cache_view view;
    struct cache_look ask = {
        .read = draw(model, 2),
        .skip_same = draw(model, 4) == 0,
        .skip_cas = known->cas + draw(model, 2),
        .unseen = draw(model, 2),
        .touch = draw(model, 4) == 0,
        .touch_expiry_s = model->now_s + 1 + draw(model, 300),
        .create = draw(model, 4) == 0,
        .create_expiry_s = draw(model, 2) ? CACHE_NEVER : model->now_s + 1 + draw(model, 300),
        .cas_given = draw(model, 4) == 0,
        .cas = draw(model, 1000),
        .recache = draw(model, 4) == 0,
        .recache_touched = draw(model, 2),
        .recache_s = model->now_s + draw(model, 200),
    };
    look(model, number);
    enum cache_status status =
        cache_look(model->worker, key, key_bytes, &ask, model->now_s, place, model, &view);
    if (status == CACHE_NO_MEMORY) {
        assert_false(model->evict);
        return;
    }
    /* Making room for what is noted of the item may evict it. */
    bool there = status == CACHE_OK && !view.created;
    assert_true(there == known->present || (known->present && model->evict));
    known->present = there;
    if (there) {
        check_view(model, known, &ask, &view, key);
    } else if (ask.create) {
        assert_int_equal(status, CACHE_OK);
        assert_true(view.won && !view.given && !view.stale && !view.fetched);
        assert_true(!ask.cas_given || view.item.cas == ask.cas);
        *known = (struct known){.present = true,
                                .expiry_s = ask.create_expiry_s,
                                .cas = view.item.cas,
                                .own_cas = ask.cas_given,
                                .won = true};
    } else {
        assert_int_equal(status, CACHE_NOT_FOUND);
    }
}

/* The first to look at an invalidated item wins, and sees its new cas, a larger one. */
static void see_anew(struct model *model, struct known *known, unsigned number, bool cas_given)
{
    const struct cache_look unseen = {.unseen = true};
    uint8_t key[200];
    size_t key_bytes = make_key(number, key);
    struct cache_view view;
    enum cache_status status =
        cache_look(model->worker, key, key_bytes, &unseen, model->now_s, NULL, NULL, &view);
    if (status == CACHE_NO_MEMORY || status == CACHE_NOT_FOUND) {
        assert_true(model->evict == (status == CACHE_NOT_FOUND));
        (void)!cache_delete(model->worker, key, key_bytes, model->now_s);
        known->present = false;
        return;
    }
    assert_int_equal(status, CACHE_OK);
    assert_true(view.stale && view.won && !view.given);
    if (cas_given)
        assert_int_equal(view.item.cas, known->cas);
    else
        assert_true(known->own_cas || view.item.cas > known->cas);
    known->cas = view.item.cas;
    known->own_cas = cas_given;
    known->won = true;
}

static void do_change(struct model *model, unsigned number)
{
    struct known *known = &model->known[number];
    uint8_t key[200];
    size_t key_bytes = make_key(number, key);
    struct cache_change change = {
        .compare = draw(model, 2),
        .cas = known->cas + (draw(model, 4) == 0),
        .empty = draw(model, 3) == 0,
        .invalidate = draw(model, 3) != 0,
        .touch = draw(model, 2),
        .expiry_s = model->now_s + 1 + draw(model, 300),
        .cas_given = draw(model, 4) == 0,
        .cas_new = draw(model, 1000),
    };
    look(model, number);
    enum cache_status status = cache_change(model->worker, key, key_bytes, &change, model->now_s);
    if (status == CACHE_NO_MEMORY) {
        assert_false(model->evict);
        return;
    }
    if (!known->present || (model->evict && status == CACHE_NOT_FOUND)) {
        assert_int_equal(status, CACHE_NOT_FOUND);
        known->present = false;
        return;
    }
    if (change.compare && change.cas != known->cas) {
        assert_int_equal(status, CACHE_EXISTS);
        return;
    }
    assert_int_equal(status, CACHE_OK);
    known->present = change.empty || change.invalidate;
    if (!known->present)
        return;
    if (change.empty) {
        known->bytes = 0;
        known->flags = 0;
        known->expiry_s = CACHE_NEVER;
        known->own_cas = true; /* the old one, which no longer grows with its shard's stores */
    }
    if (change.touch)
        known->expiry_s = change.expiry_s;
    known->stale = change.invalidate;
    known->won = false;
    known->own_cas |= change.cas_given;
    if (change.cas_given)
        known->cas = change.cas_new;
    if (change.invalidate)
        see_anew(model, known, number, change.cas_given);
}

static void do_delete(struct model *model, unsigned number)
{
    uint8_t key[200];
    size_t key_bytes = make_key(number, key);
    struct known *known = &model->known[number];
    look(model, number);
    enum cache_status status = cache_delete(model->worker, key, key_bytes, model->now_s);
    assert_int_equal(status, known->present ? CACHE_OK : CACHE_NOT_FOUND);
    known->present = false;
}

static void do_touch(struct model *model, unsigned number)
{
    uint8_t key[200];
    size_t key_bytes = make_key(number, key);
    struct known *known = &model->known[number];
    uint32_t expiry_s = draw(model, 3) ? CACHE_NEVER : model->now_s + draw(model, 300);
    look(model, number);
    enum cache_status status = cache_touch(model->worker, key, key_bytes, expiry_s, model->now_s);
    if (status == CACHE_NO_MEMORY) {
        assert_false(model->evict);
        return;
    }
    /* Making room for the touch may evict the very item. */
    assert_true(status == CACHE_OK ? known->present : !known->present || model->evict);
    known->present = status == CACHE_OK;
    known->expiry_s = expiry_s;
}

/* A value that can be made from a seed cannot be joined; so the joined item is replaced after. */
static void do_append(struct model *model, unsigned number)
{
    struct known *known = &model->known[number];
    look(model, number);
    size_t key_bytes = make_key(number, model->entry);
    memcpy(model->entry + key_bytes, "tail", 4);
    struct cache_store store = {.entry = model->entry,
                                .key_bytes = key_bytes,
                                .value_bytes = 4,
                                .mode = draw(model, 2) ? CACHE_APPEND : CACHE_PREPEND};
    enum cache_status status = cache_store(model->worker, &store, model->now_s, NULL);
    if (status == CACHE_OK) {
        assert_true(known->present);
        struct cache_item item;
        status = cache_get(model->worker, model->entry, key_bytes, NULL, model->now_s, place, model,
                           &item);
        assert_true(status == CACHE_OK || model->evict);
        if (status == CACHE_OK) {
            assert_int_equal(item.value_bytes, known->bytes + 4);
            assert_int_equal(item.flags, known->flags);
            size_t at = key_bytes + (store.mode == CACHE_APPEND ? 0 : 4);
            make_value(model->value, known->seed, known->bytes);
            assert_memory_equal(model->out + at, model->value, known->bytes);
        }
        (void)!cache_delete(model->worker, model->entry, key_bytes, model->now_s);
    } else if (status == CACHE_NOT_STORED) {
        assert_true(!known->present || model->evict);
    } else {
        assert_int_equal(status, CACHE_NO_MEMORY);
        assert_false(model->evict);
        return;
    }
    known->present = false;
}

/* A hint changes nothing, whatever it names: what comes after it tells. */
static void do_expect(struct model *model, unsigned number)
{
    uint8_t bytes[CACHE_EXPECT_MAX][200];
    struct cache_key keys[CACHE_EXPECT_MAX];
    unsigned count = draw(model, CACHE_EXPECT_MAX + 1);
    for (unsigned i = 0; i < count; i++)
        keys[i] = (struct cache_key){bytes[i], make_key(number + i / 2, bytes[i])};
    cache_expect(model->worker, keys, count);
}

static void step(struct model *model)
{
    unsigned number;
    pass_time(model);
    pick(model, &number);
    switch (draw(model, 20)) {
    case 0:
        do_delete(model, number);
        break;
    case 1:
        do_touch(model, number);
        break;
    case 2:
        do_append(model, number);
        break;
    case 3:
        cache_maintain(model->keeper, model->now_s);
        (void)cache_compress(model->keeper, model->now_s);
        break;
    case 4:
        do_expect(model, number);
        break;
    case 10:
        do_change(model, number);
        break;
    case 11:
    case 12:
        do_look(model, number);
        break;
    case 5:
    case 6:
    case 7:
    case 8:
    case 9:
        do_store(model, number);
        break;
    default:
        look(model, number);
        break;
    }
    if (draw(model, 15000) == 0) {
        uint32_t at_s = model->now_s + draw(model, 3);
        cache_flush_all(model->cache, at_s, model->now_s);
        model->flush_at_s = at_s;
        pass_time(model);
    }
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);
    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void run(size_t memory_bytes, bool evict, bool compress, uint64_t seed)
{
    struct cache_config config = {
        .memory_bytes = memory_bytes,
        .reserve_bytes = 2 * memory_bytes,
        .item_bytes_max = ITEM_MAX,
        .shards = 2,
        .evict = evict,
        .compress = compress,
        .defer = compress,
        .settle = compress,
        .seed = seed,
        .now_s = 1000,
    };
    struct model *model = calloc(1, sizeof(*model));
    uint64_t operations = from_environment("ZBCACHED_TEST_OPERATIONS", OPERATIONS);
    struct cache_figures figures;
    print_message("seed %llu, %llu operations\n", (unsigned long long)seed,
                  (unsigned long long)operations);
    open_cache(&config, &model->cache, &model->worker, &model->keeper);
    model->evict = evict;
    model->now_s = 1000;
    model->random = seed;
    for (uint64_t i = 1; i <= operations; i++) {
        step(model);
        if (i % CHECK_EVERY == 0) {
            cache_check(model->cache);
            cache_figures(model->cache, &figures);
            assert_true(figures.resident_bytes + figures.charged_bytes <= memory_bytes);
        }
    }
    assert_true(model->hits > operations / 20);
    cache_figures(model->cache, &figures);
    assert_true(!evict || figures.evicted > 0);
    close_cache(model->cache, model->worker, model->keeper);
    free(model);
}

static uint64_t test_seed(void)
{
    return from_environment("ZBCACHED_TEST_SEED", (uint64_t)time(NULL));
}

static void test_evicting(void **state)
{
    (void)state;
    run(3u << 20, true, true, test_seed());
}

static void test_evicting_raw(void **state)
{
    (void)state;
    run(3u << 20, true, false, test_seed() + 1);
}

static void test_without_eviction(void **state)
{
    (void)state;
    run(12u << 20, false, true, test_seed() + 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evicting),
        cmocka_unit_test(test_evicting_raw),
        cmocka_unit_test(test_without_eviction),
    };
    cmocka_set_test_filter(getenv("TESTBRIDGE_TEST_ONLY"));
    return cmocka_run_group_tests(tests, NULL, NULL);
}
