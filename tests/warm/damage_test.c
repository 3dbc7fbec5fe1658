/*
 * damage_test.c - a memory file with every kind of item, found again as it was; then damaged in
 * each part, and none of what was damaged is believed.
 */
#include "tests/cache/check_cache.h"
#include "tests/instrumented.h"
#include "tests/warm/model.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define NOW_S         1000u
#define LATER_S       1100u
#define KEYS          6000u
#define HEAD_BYTES    65536 /* header, shards, entries, classes */
#define LINKS_AT      (65536 + 64 * 65536)
#define PAGES_AT      (6 << 20) /* links and words of 128 MiB before them */
#define MEMORY_BYTES  ((size_t)64 << 20)
#define RESERVE_BYTES ((size_t)128 << 20)
#define TOLD_MAX      8u
/* What damage does is one thread's affair: the other sanitizer has to see all of it. */
#define FLIPS         (THREADS_WATCHED ? 12u : 90u)
#define STRETCHES     (THREADS_WATCHED ? 4u : 20u)

struct rig {
    struct cache_config config;
    char path[WARM_PATH_BYTES];
    char copy[WARM_PATH_BYTES];
    char told[TOLD_MAX][CACHE_TOLD_BYTES];
    unsigned told_count;
    struct engine engine;
    uint32_t now_s;
    uint64_t random;
    uint8_t out[WARM_KEY_BYTES_MAX + WARM_VALUE_BYTES_MAX + 100];
};

static void tell(void *context, const char *text)
{
    struct rig *rig = context;
    if (rig->told_count < TOLD_MAX)
        (void)snprintf(rig->told[rig->told_count++], CACHE_TOLD_BYTES, "%s", text);
}

static bool was_told(const struct rig *rig, const char *part)
{
    for (unsigned i = 0; i < rig->told_count; i++) {
        if (strstr(rig->told[i], part) != NULL)
            return true;
    }
    return false;
}

static int set_up(void **state)
{
    struct rig *rig = calloc(1, sizeof(*rig));
    assert_non_null(rig);
    warm_path(rig->path);
    warm_path(rig->copy);
    rig->random = 1;
    rig->now_s = NOW_S;
    rig->config = (struct cache_config){
        .memory_bytes = MEMORY_BYTES,
        .reserve_bytes = RESERVE_BYTES,
        .item_bytes_max = 1u << 20,
        .shards = 4,
        .evict = true,
        .compress = true,
        .settle = true,
        .seed = 7,
        .threads = 2,
        .memory_file = rig->path,
        .teller = {tell, rig},
    };
    *state = rig;
    return 0;
}

static int tear_down(void **state)
{
    struct rig *rig = *state;
    (void)unlink(rig->path);
    (void)unlink(rig->copy);
    free(rig);
    return 0;
}

static void begin(struct rig *rig)
{
    rig->told_count = 0;
    rig->config.now_s = rig->now_s;
    engine_open(&rig->engine, &rig->config);
}

static void end(struct rig *rig)
{
    engine_close(&rig->engine);
}

static void store(struct rig *rig, const char *key, const char *value, uint32_t flags,
                  uint32_t expiry_s)
{
    char entry[512];
    struct cache_store put = {.entry = (const uint8_t *)entry,
                              .key_bytes = strlen(key),
                              .value_bytes = strlen(value),
                              .flags = flags,
                              .expiry_s = expiry_s};
    (void)snprintf(entry, sizeof(entry), "%s%s", key, value);
    assert_int_equal(cache_store(rig->engine.worker, &put, rig->now_s, NULL), CACHE_OK);
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct rig *rig = context;
    return rig->out + item->key_bytes;
}

static bool find(struct rig *rig, const char *key, struct cache_item *item)
{
    enum cache_status status =
        cache_get(rig->engine.worker, key, strlen(key), NULL, rig->now_s, place, rig, item);
    if (status == CACHE_OK)
        rig->out[item->key_bytes + item->value_bytes] = '\0';
    return status == CACHE_OK;
}

static const char *value_of(struct rig *rig, const char *key)
{
    struct cache_item item = {.key_bytes = 0};
    return find(rig, key, &item) ? (const char *)rig->out + item.key_bytes : NULL;
}

/* Many items, of all sizes, and dictionaries from them. */
static void fill(struct rig *rig)
{
    for (uint32_t key = 0; key < KEYS; key++) {
        char *entry = (char *)rig->out;
        size_t key_bytes = warm_key(key, entry);
        struct cache_store put = {.entry = rig->out,
                                  .key_bytes = key_bytes,
                                  .value_bytes = warm_value(key, 2, entry + key_bytes),
                                  .flags = warm_flags(2),
                                  .expiry_s = CACHE_NEVER};
        assert_int_equal(cache_store(rig->engine.worker, &put, rig->now_s, NULL), CACHE_OK);
    }
    for (unsigned i = 0; i < 2000; i++)
        (void)cache_maintain(rig->engine.keeper, rig->now_s + i / 50);
}

/* How many are as they were stored; each of the others is not there. */
static unsigned count_back(struct rig *rig)
{
    static char expected[WARM_VALUE_BYTES_MAX + 100];
    unsigned back = 0;
    for (uint32_t key = 0; key < KEYS; key++) {
        char text[WARM_KEY_BYTES_MAX];
        size_t key_bytes = warm_key(key, text), bytes = warm_value(key, 2, expected);
        struct cache_item item;
        if (!find(rig, text, &item))
            continue;
        back++;
        assert_int_equal(item.value_bytes, bytes);
        assert_int_equal(item.flags, warm_flags(2));
        assert_memory_equal(rig->out + key_bytes, expected, bytes);
    }
    return back;
}

/* ---- all kinds of items ---- */

static void test_each_kind_is_back(void **state)
{
    struct rig *rig = *state;
    struct cache_item item;
    struct cache_change invalidate = {.invalidate = true};
    struct cache_arith add = {.increment = true, .delta = 7};
    struct cache_number number;
    struct cache_look look = {.read = true};
    struct cache_view view;
    begin(rig);
    fill(rig);
    store(rig, "flags", "value", 0xfffffffeu, CACHE_NEVER);
    store(rig, "soon", "gone", 0, LATER_S);
    store(rig, "late", "stays", 5, LATER_S + 1);
    store(rig, "empty", "", 0, CACHE_NEVER);
    store(rig, "stale", "old", 0, CACHE_NEVER);
    store(rig, "number", "35", 0, CACHE_NEVER);
    store(rig, "deleted", "value", 0, CACHE_NEVER);
    store(rig, "replaced", "first", 0, CACHE_NEVER);
    store(rig, "replaced", "second", 0, CACHE_NEVER);
    assert_int_equal(cache_change(rig->engine.worker, "stale", 5, &invalidate, rig->now_s),
                     CACHE_OK);
    assert_int_equal(cache_arith(rig->engine.worker, "number", 6, &add, rig->now_s, &number),
                     CACHE_OK);
    assert_int_equal(cache_delete(rig->engine.worker, "deleted", 7, rig->now_s), CACHE_OK);
    assert_true(find(rig, "flags", &item));
    uint64_t cas = item.cas;
    struct cache_figures before, after;
    cache_figures(rig->engine.cache, &before);
    assert_true(before.dictionaries > 0 && before.pages_large > 0);
    end(rig);
    rig->now_s = LATER_S;
    begin(rig);
    assert_true(was_told(rig, "after a clean stop"));
    cache_figures(rig->engine.cache, &after);
    assert_int_equal(after.items, before.items - 1);
    assert_int_equal(after.recovered, after.items);
    assert_int_equal(after.recovered_damaged, 0);
    assert_int_equal(after.dictionaries, before.dictionaries);
    assert_false(cache_lacks_dictionary(rig->engine.cache));
    assert_true(find(rig, "flags", &item) && item.flags == 0xfffffffeu && item.cas == cas);
    assert_null(value_of(rig, "soon"));
    assert_true(find(rig, "late", &item) && item.flags == 5 && item.expiry_s == LATER_S + 1);
    assert_string_equal(value_of(rig, "empty"), "");
    assert_string_equal(value_of(rig, "number"), "42");
    assert_string_equal(value_of(rig, "replaced"), "second");
    assert_null(value_of(rig, "deleted"));
    assert_int_equal(
        cache_look(rig->engine.worker, "stale", 5, &look, rig->now_s, place, rig, &view), CACHE_OK);
    assert_true(view.stale && view.won);
    assert_int_equal(count_back(rig), KEYS);
    /* No cas is given again. */
    store(rig, "new", "value", 0, CACHE_NEVER);
    assert_true(find(rig, "new", &item) && item.cas > cas);
    end(rig);
}

static void test_flushes_hold(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    store(rig, "before", "value", 0, CACHE_NEVER);
    cache_flush_all(rig->engine.cache, 0, rig->now_s);
    store(rig, "after", "value", 0, CACHE_NEVER);
    cache_flush_all(rig->engine.cache, LATER_S, rig->now_s);
    end(rig);
    begin(rig);
    assert_null(value_of(rig, "before"));
    assert_non_null(value_of(rig, "after"));
    end(rig);
    rig->now_s = LATER_S; /* it came while nobody was there */
    begin(rig);
    assert_null(value_of(rig, "after"));
    store(rig, "new", "value", 0, CACHE_NEVER);
    end(rig);
    begin(rig);
    assert_non_null(value_of(rig, "new"));
    end(rig);
}

static void test_other_limits(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    fill(rig);
    end(rig);
    rig->config.memory_bytes = MEMORY_BYTES / 16;
    rig->config.shards = 8; /* as the file has them */
    begin(rig);
    unsigned back = count_back(rig);
    assert_true(back > KEYS / 20 && back < KEYS);
    struct cache_figures figures;
    cache_figures(rig->engine.cache, &figures);
    assert_true(figures.resident_bytes + figures.charged_bytes <= MEMORY_BYTES / 16);
    end(rig);
    rig->config.memory_bytes = RESERVE_BYTES;
    begin(rig);
    assert_true(count_back(rig) <= back);
    end(rig);
    rig->config.memory_bytes = 2 * RESERVE_BYTES;
    rig->config.reserve_bytes = 2 * RESERVE_BYTES;
    begin(rig);
    assert_true(was_told(rig, "was made for at most 128 MB"));
    assert_int_equal(count_back(rig), 0);
    end(rig);
}

/* ---- what is not taken ---- */

static void test_refused(void **state)
{
    struct rig *rig = *state;
    struct stat status;
    const char foreign[] = "somebody's only copy of something";
    int fd = open(rig->path, O_RDWR | O_CREAT, 0644);
    assert_int_equal(write(fd, foreign, sizeof(foreign)), sizeof(foreign));
    assert_null(cache_new(&rig->config));
    assert_true(was_told(rig, "is no memory file"));
    assert_int_equal(fstat(fd, &status), 0);
    assert_int_equal(status.st_size, sizeof(foreign));
    close(fd);
    assert_int_equal(unlink(rig->path), 0);

    begin(rig);
    assert_null(cache_new(&rig->config));
    assert_true(was_told(rig, "another process has it open"));
    assert_int_equal(stat(rig->path, &status), 0);
    assert_int_equal(status.st_mode & 07777, 0600);
    end(rig);

    assert_int_equal(symlink(rig->path, rig->copy), 0);
    rig->config.memory_file = rig->copy;
    assert_null(cache_new(&rig->config));
    assert_true(was_told(rig, "cannot be opened"));
    rig->config.memory_file = "/proc/self/mem";
    assert_null(cache_new(&rig->config));
    rig->config.memory_file = "/";
    assert_null(cache_new(&rig->config));
    rig->config.memory_file = rig->path;
}

/* ---- damage ---- */

static void copy_file(const char *from, const char *to)
{
    static char bytes[1 << 16];
    struct stat status;
    int in = open(from, O_RDONLY), out = open(to, O_RDWR | O_CREAT | O_TRUNC, 0600);
    assert_true(in >= 0 && out >= 0 && fstat(in, &status) == 0);
    assert_int_equal(ftruncate(out, status.st_size), 0);
    for (off_t hole = 0, at; (at = lseek(in, hole, SEEK_DATA)) >= 0;) {
        hole = lseek(in, at, SEEK_HOLE);
        while (at < hole) {
            size_t part = (size_t)(hole - at) < sizeof(bytes) ? (size_t)(hole - at) : sizeof(bytes);
            ssize_t count = pread(in, bytes, part, at);
            assert_true(count > 0);
            assert_int_equal(pwrite(out, bytes, (size_t)count, at), count);
            at += count;
        }
    }
    close(in);
    close(out);
}

static void flip(const char *path, off_t at, uint8_t bits)
{
    uint8_t byte;
    int fd = open(path, O_RDWR);
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= bits;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

/* The damaged copy is opened, or refused; how many items it has. What it has is right. */
static unsigned open_damaged(struct rig *rig)
{
    unsigned back = 0;
    rig->told_count = 0;
    rig->config.memory_file = rig->copy;
    rig->config.now_s = rig->now_s;
    rig->engine.cache = cache_new(&rig->config);
    rig->config.memory_file = rig->path;
    if (rig->engine.cache == NULL)
        return 0;
    rig->engine.worker = cache_worker_new(rig->engine.cache);
    rig->engine.keeper = cache_keeper_new(rig->engine.cache);
    assert_true(rig->engine.worker != NULL && rig->engine.keeper != NULL);
    back = count_back(rig);
    end(rig);
    return back;
}

static void test_each_byte_of_the_header(void **state)
{
    struct rig *rig = *state;
    begin(rig);
    store(rig, "key", "value", 0, CACHE_NEVER);
    end(rig);
    for (off_t at = 0; at < 64; at++) {
        copy_file(rig->path, rig->copy);
        flip(rig->copy, at, (uint8_t)(1u << at % 8));
        assert_int_equal(open_damaged(rig), 0);
        assert_true(was_told(rig, at < 16   ? "is no memory file"
                                  : at < 20 ? "is of layout version"
                                            : "header is damaged"));
    }
}

/* One byte anywhere costs a log, a dictionary's records, or a shard's, and nothing is wrong. */
static void test_bytes_anywhere(void **state)
{
    struct rig *rig = *state;
    struct stat status;
    unsigned spared = 0;
    begin(rig);
    fill(rig);
    end(rig);
    assert_int_equal(stat(rig->path, &status), 0);
    int fd = open(rig->path, O_RDONLY);
    for (unsigned i = 0; i < FLIPS; i++) {
        off_t from = i % 3 == 0 ? 64 : i % 3 == 1 ? HEAD_BYTES : PAGES_AT, at;
        off_t to = i % 3 == 0 ? HEAD_BYTES : status.st_size;
        do {
            at = from + (off_t)(warm_random(&rig->random, UINT32_MAX) % (uint64_t)(to - from));
            at = lseek(fd, at, SEEK_DATA);
        } while (at < 0 || at >= to);
        at += i % 3 == 0 ? 0 : warm_random(&rig->random, 4096);
        copy_file(rig->path, rig->copy);
        flip(rig->copy, at, (uint8_t)(1u << warm_random(&rig->random, 8)));
        unsigned back = open_damaged(rig);
        spared += back == KEYS;
    }
    close(fd);
    assert_true(spared > 0 && spared < FLIPS);
}

/* Whole stretches of it, as a bad tool leaves them. */
static void test_stretches(void **state)
{
    struct rig *rig = *state;
    struct stat status;
    begin(rig);
    fill(rig);
    end(rig);
    assert_int_equal(stat(rig->path, &status), 0);
    for (unsigned i = 0; i < STRETCHES; i++) {
        uint8_t noise[20000];
        off_t at = 4096 + (off_t)(warm_random(&rig->random, UINT32_MAX) %
                                  (uint64_t)(i % 2 == 0 ? status.st_size : 2 * LINKS_AT));
        copy_file(rig->path, rig->copy);
        int fd = open(rig->copy, O_RDWR);
        for (unsigned j = 0; j < sizeof(noise); j++)
            noise[j] = (uint8_t)warm_random(&rig->random, i % 4 < 2 ? 256 : 2);
        assert_int_equal(pwrite(fd, noise, sizeof(noise), at), sizeof(noise));
        close(fd);
        (void)open_damaged(rig);
    }
    const off_t sizes[] = {0,
                           1,
                           15,
                           16,
                           4095,
                           4096,
                           HEAD_BYTES,
                           LINKS_AT,
                           LINKS_AT * 2,
                           status.st_size / 2,
                           status.st_size - 1,
                           status.st_size + 1,
                           status.st_size * 2};
    for (unsigned i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        copy_file(rig->path, rig->copy);
        assert_int_equal(truncate(rig->copy, sizes[i]), 0);
        unsigned back = open_damaged(rig);
        if (sizes[i] >= status.st_size)
            assert_int_equal(back, KEYS);
        else if (sizes[i] >= PAGES_AT)
            assert_true(was_told(rig, "was cut off: what is missing"));
        else
            assert_int_equal(back, 0);
    }
}

#define RIGGED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIGGED(test_each_kind_is_back),
        RIGGED(test_flushes_hold),
        RIGGED(test_other_limits),
        RIGGED(test_refused),
        RIGGED(test_each_byte_of_the_header),
        RIGGED(test_bytes_anywhere),
        RIGGED(test_stretches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
