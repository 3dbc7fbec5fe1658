/* Large entries stored in parts: what others see and do between two of them, and what becomes of
 * the pages. */
#include "server/cache/cache.h"
#include "tests/cache/check_cache.h"
#include "tests/warm/model.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW       1000u
#define MIB       ((size_t)1 << 20)
#define MEMORY    (8 * MIB)
#define KEY_BYTES 5u
#define VALUE_MAX (MIB - 64u - KEY_BYTES) /* as memcached counts, with flags */

struct bench {
    struct cache_config config;
    struct engine engine;
    struct cache_worker *other;
    uint8_t entry[2][MIB];
    uint8_t moved[MIB];
    uint8_t out[MIB];
    uint8_t expected[MIB];
};

static void open_bench(struct bench *bench)
{
    engine_open(&bench->engine, &bench->config);
    bench->other = cache_worker_new(bench->engine.cache);
    assert_non_null(bench->other);
}

static void close_bench(struct bench *bench)
{
    cache_worker_free(bench->other);
    engine_close(&bench->engine);
}

static struct bench *bench_new(bool evict)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    assert_non_null(bench);
    bench->config = (struct cache_config){
        .memory_bytes = MEMORY,
        .reserve_bytes = 4 * MEMORY,
        .item_bytes_max = MIB,
        .shards = 4,
        .evict = evict,
        .compress = true,
        .seed = 5,
        .now_s = NOW,
    };
    return bench;
}

static int set_up(void **state)
{
    struct bench *bench = bench_new(true);
    open_bench(bench);
    *state = bench;
    return 0;
}

static int tear_down(void **state)
{
    close_bench(*state);
    free(*state);
    return 0;
}

/* Half of it can be compressed; the other half cannot. */
static void make_value(unsigned number, size_t bytes, uint8_t *value)
{
    uint64_t random = number + 1;
    for (size_t i = 0; i < bytes; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        value[i] = i / 1000 % 2 == 0 ? (uint8_t)(random >> 56) : (uint8_t)number;
    }
}

/* A store of key @number, to be called until it is done. Its owner is the first byte of @entry. */
static struct cache_store make_store(uint8_t *entry, unsigned number, size_t value_bytes)
{
    char key[KEY_BYTES + 1];
    (void)snprintf(key, sizeof(key), "%05u", number % 100000);
    memcpy(entry, key, KEY_BYTES);
    make_value(number, value_bytes, entry + KEY_BYTES);
    return (struct cache_store){
        .entry = entry,
        .key_bytes = KEY_BYTES,
        .value_bytes = value_bytes,
        .mode = CACHE_SET,
        .flags = number,
        .expiry_s = CACHE_NEVER,
        .owner = entry,
    };
}

static enum cache_status go_on(struct bench *bench, const struct cache_store *store)
{
    return cache_store(bench->engine.worker, store, NOW, NULL);
}

static enum cache_status finish(struct bench *bench, const struct cache_store *store)
{
    enum cache_status status;
    do {
        status = go_on(bench, store);
    } while (status == CACHE_MORE);
    return status;
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct bench *bench = context;
    return bench->out + item->key_bytes;
}

static bool is_there(struct bench *bench, unsigned number, uint32_t now_s)
{
    char key[KEY_BYTES + 1];
    struct cache_item item = {.flags = 0};
    (void)snprintf(key, sizeof(key), "%05u", number % 100000);
    enum cache_status status =
        cache_get(bench->other, key, KEY_BYTES, NULL, now_s, place, bench, &item);
    if (status != CACHE_OK)
        return false;
    make_value(number, item.value_bytes, bench->expected);
    assert_int_equal(item.flags, number);
    assert_memory_equal(bench->out + KEY_BYTES, bench->expected, item.value_bytes);
    return true;
}

/* Pages that are taken, and no item, log or table of the engine has. */
static uint64_t pages_in_parts(struct bench *bench)
{
    struct cache_figures figures;
    cache_check(bench->engine.cache);
    cache_figures(bench->engine.cache, &figures);
    assert_true(figures.resident_bytes + figures.charged_bytes <= figures.memory_bytes);
    return figures.pages_used - figures.pages_buddied - figures.pages_unbuddied -
           figures.pages_large - figures.pages_index - figures.pages_expiry;
}

static uint64_t pages_large(struct bench *bench)
{
    struct cache_figures figures;
    cache_figures(bench->engine.cache, &figures);
    return figures.pages_large;
}

/* A block a call; the entry lies elsewhere at each. */
static void test_every_size(void **state)
{
    struct bench *bench = *state;
    static const size_t SIZES[] = {CACHE_PART_BYTES - KEY_BYTES,
                                   CACHE_PART_BYTES - KEY_BYTES + 1,
                                   2 * CACHE_PART_BYTES - KEY_BYTES,
                                   2 * CACHE_PART_BYTES - KEY_BYTES + 1,
                                   300000,
                                   VALUE_MAX};
    for (unsigned i = 0; i < sizeof(SIZES) / sizeof(SIZES[0]); i++) {
        size_t entry_bytes = KEY_BYTES + SIZES[i];
        struct cache_store store = make_store(bench->entry[0], i, SIZES[i]);
        size_t parts = 1;
        while (go_on(bench, &store) == CACHE_MORE) {
            assert_false(is_there(bench, i, NOW));
            assert_true(pages_in_parts(bench) >= parts * CACHE_PART_BYTES / 4096 / 2);
            uint8_t *from = parts % 2 == 1 ? bench->entry[0] : bench->moved;
            uint8_t *to = parts % 2 == 1 ? bench->moved : bench->entry[0];
            memcpy(to, from, entry_bytes);
            memset(from, 0xee, entry_bytes);
            store.entry = to;
            parts++;
        }
        assert_int_equal(parts, (entry_bytes + CACHE_PART_BYTES - 1) / CACHE_PART_BYTES);
        assert_true(is_there(bench, i, NOW));
        assert_int_equal(pages_in_parts(bench), 0);
        uint64_t pages = pages_large(bench);
        store = make_store(bench->entry[0], i, SIZES[i]);
        store.owner = NULL;
        assert_int_equal(go_on(bench, &store), CACHE_OK); /* in one go it takes as many */
        assert_int_equal(pages_large(bench), pages);
    }
}

static void test_forgotten(void **state)
{
    struct bench *bench = *state;
    struct cache_store store = make_store(bench->entry[0], 1, VALUE_MAX);
    assert_int_equal(go_on(bench, &store), CACHE_MORE);
    assert_int_equal(go_on(bench, &store), CACHE_MORE);
    cache_store_forget(bench->engine.worker, bench);
    cache_store_forget(bench->other, store.owner);
    cache_store_forget(bench->engine.worker, NULL);
    assert_true(pages_in_parts(bench) > 0);
    cache_store_forget(bench->engine.worker, store.owner);
    cache_store_forget(bench->engine.worker, store.owner);
    assert_int_equal(pages_in_parts(bench), 0);
    assert_false(is_there(bench, 1, NOW));
    /* It begins anew, and goes with its worker. */
    assert_int_equal(finish(bench, &store), CACHE_OK);
    assert_true(is_there(bench, 1, NOW));
    store = make_store(bench->entry[0], 2, VALUE_MAX);
    assert_int_equal(cache_store(bench->other, &store, NOW, NULL), CACHE_MORE);
    assert_true(pages_in_parts(bench) > 0);
    cache_worker_free(bench->other);
    bench->other = cache_worker_new(bench->engine.cache);
    assert_int_equal(pages_in_parts(bench), 0);
}

/* Of two on one worker one waits; another worker's goes on beside it, and so does all that is
 * small. */
static void test_one_at_a_time(void **state)
{
    struct bench *bench = *state;
    struct cache_store first = make_store(bench->entry[0], 1, VALUE_MAX);
    struct cache_store second = make_store(bench->entry[1], 2, 100000);
    assert_int_equal(go_on(bench, &first), CACHE_MORE);
    uint64_t pages = pages_in_parts(bench);
    assert_int_equal(go_on(bench, &second), CACHE_MORE);
    assert_int_equal(go_on(bench, &second), CACHE_MORE);
    assert_int_equal(pages_in_parts(bench), pages);
    assert_int_equal(cache_store(bench->other, &second, NOW, NULL), CACHE_MORE);
    assert_int_equal(cache_store(bench->other, &second, NOW, NULL), CACHE_OK);
    assert_true(is_there(bench, 2, NOW));
    struct cache_store small = make_store(bench->moved, 3, 20000); /* has pages of its own */
    assert_int_equal(go_on(bench, &small), CACHE_OK);
    small = make_store(bench->moved, 3, CACHE_PART_BYTES);
    small.mode = CACHE_APPEND; /* never in parts */
    assert_int_equal(go_on(bench, &small), CACHE_OK);
    second = make_store(bench->entry[1], 4, 100000);
    while (go_on(bench, &first) == CACHE_MORE)
        assert_int_equal(go_on(bench, &second), CACHE_MORE);
    assert_true(is_there(bench, 1, NOW));
    assert_int_equal(finish(bench, &second), CACHE_OK);
    assert_true(is_there(bench, 4, NOW));
    assert_int_equal(pages_in_parts(bench), 0);
}

/* What happens to the key in between: the store counts from its last part on. */
static void test_changed_meanwhile(void **state)
{
    struct bench *bench = *state;
    struct cache_store store = make_store(bench->entry[0], 1, VALUE_MAX);
    struct cache_store other = make_store(bench->moved, 1, 100);
    assert_int_equal(go_on(bench, &other), CACHE_OK);
    assert_int_equal(go_on(bench, &store), CACHE_MORE);
    assert_int_equal(cache_delete(bench->other, "00001", KEY_BYTES, NOW), CACHE_OK);
    assert_int_equal(go_on(bench, &store), CACHE_MORE);
    cache_flush_all(bench->engine.cache, NOW, NOW);
    assert_int_equal(finish(bench, &store), CACHE_OK);
    assert_true(is_there(bench, 1, NOW));

    store.mode = CACHE_ADD; /* it is there already: said when all was prepared */
    assert_int_equal(finish(bench, &store), CACHE_NOT_STORED);
    assert_int_equal(pages_in_parts(bench), 0);
    assert_int_equal(go_on(bench, &store), CACHE_MORE);
    assert_int_equal(cache_delete(bench->other, "00001", KEY_BYTES, NOW), CACHE_OK);
    assert_int_equal(finish(bench, &store), CACHE_OK);

    store.mode = CACHE_SET;
    store.expiry_s = NOW + 1; /* which has come before the last part */
    assert_int_equal(go_on(bench, &store), CACHE_MORE);
    enum cache_status status;
    do {
        status = cache_store(bench->engine.worker, &store, NOW + 1, NULL);
    } while (status == CACHE_MORE);
    assert_int_equal(status, CACHE_OK);
    assert_false(is_there(bench, 1, NOW + 1));
}

/* Others fill the memory between its parts, and the limit falls. */
static void test_evicting(void **state)
{
    struct bench *bench = *state;
    struct cache_store store = make_store(bench->entry[0], 1, VALUE_MAX);
    unsigned others = 2;
    assert_int_equal(cache_set_memory(bench->engine.cache, 2 * MEMORY), CACHE_OK);
    for (unsigned round = 0; round < 3; round++) {
        enum cache_status status;
        while ((status = go_on(bench, &store)) == CACHE_MORE) {
            for (unsigned i = 0; i < 10; i++) {
                struct cache_store other = make_store(bench->moved, others++, 100000);
                other.owner = NULL;
                assert_int_equal(cache_store(bench->other, &other, NOW, NULL), CACHE_OK);
            }
        }
        assert_int_equal(status, CACHE_OK);
        assert_true(is_there(bench, 1, NOW));
        assert_int_equal(go_on(bench, &store), CACHE_MORE);
        assert_int_equal(cache_set_memory(bench->engine.cache, MEMORY / (1 + round)), CACHE_OK);
        while (cache_is_over(bench->engine.cache))
            (void)cache_maintain(bench->engine.keeper, NOW);
        assert_true(pages_in_parts(bench) > 0);
    }
    assert_int_equal(finish(bench, &store), CACHE_OK);
    assert_true(is_there(bench, 1, NOW));
}

/* Without eviction: the pages end in the middle. A set removes what there was, others do not. */
static void test_memory_ends(void **state)
{
    struct bench *bench = bench_new(false);
    (void)state;
    open_bench(bench);
    unsigned number = 2;
    struct cache_store store;
    do {
        store = make_store(bench->entry[0], number++, 200000);
    } while (finish(bench, &store) == CACHE_OK);
    assert_int_equal(pages_in_parts(bench), 0);
    assert_int_equal(cache_delete(bench->engine.worker, "00002", KEY_BYTES, NOW), CACHE_OK);
    store = make_store(bench->entry[0], 3, VALUE_MAX);
    store.mode = CACHE_REPLACE;
    assert_int_equal(go_on(bench, &store), CACHE_MORE);
    assert_int_equal(finish(bench, &store), CACHE_NO_MEMORY);
    assert_int_equal(pages_in_parts(bench), 0);
    assert_true(is_there(bench, 3, NOW));
    store.mode = CACHE_SET;
    assert_int_equal(go_on(bench, &store), CACHE_MORE);
    assert_true(is_there(bench, 3, NOW));
    assert_int_equal(finish(bench, &store), CACHE_NO_MEMORY);
    assert_int_equal(pages_in_parts(bench), 0);
    assert_false(is_there(bench, 3, NOW));
    close_bench(bench);
    free(bench);
}

/* What the keeper is to compress is copied in parts. */
static void test_deferred(void **state)
{
    struct bench *bench = bench_new(true);
    struct cache_figures figures;
    (void)state;
    bench->config.memory_bytes = 16 * MEMORY;
    bench->config.reserve_bytes = 16 * MEMORY;
    bench->config.defer = true;
    open_bench(bench);
    struct cache_store store = make_store(bench->entry[0], 1, 700000);
    assert_int_equal(go_on(bench, &store), CACHE_MORE);
    assert_int_equal(pages_in_parts(bench), CACHE_PART_BYTES / 4096 + 1);
    assert_int_equal(finish(bench, &store), CACHE_OK);
    cache_figures(bench->engine.cache, &figures);
    assert_int_equal(figures.deferred, 1);
    assert_true(is_there(bench, 1, NOW));
    while (cache_compress(bench->engine.keeper, NOW) == CACHE_COMPRESS_MORE) {
    }
    assert_true(pages_large(bench) < 700000 / 4096 * 2 / 3);
    assert_true(is_there(bench, 1, NOW));
    close_bench(bench);
    free(bench);
}

/* Killed between two parts: the next process has what was stored before, and all pages. */
static void test_killed(void **state)
{
    struct bench *bench = bench_new(true);
    char path[WARM_PATH_BYTES];
    int status = 0;
    (void)state;
    warm_path(path);
    bench->config.memory_file = path;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        open_bench(bench);
        struct cache_store store = make_store(bench->entry[0], 1, 200000);
        bool right = finish(bench, &store) == CACHE_OK;
        store = make_store(bench->entry[0], 2, VALUE_MAX);
        right = right && go_on(bench, &store) == CACHE_MORE && go_on(bench, &store) == CACHE_MORE;
        if (right)
            (void)raise(SIGKILL);
        _exit(1);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    open_bench(bench);
    assert_int_equal(pages_in_parts(bench), 0);
    assert_true(is_there(bench, 1, NOW));
    assert_false(is_there(bench, 2, NOW));
    close_bench(bench);
    (void)unlink(path);
    free(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_size, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_forgotten, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_at_a_time, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_changed_meanwhile, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_evicting, set_up, tear_down),
        cmocka_unit_test(test_memory_ends),
        cmocka_unit_test(test_deferred),
        cmocka_unit_test(test_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
