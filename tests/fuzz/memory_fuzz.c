/*
 * memory_fuzz.c - a memory file that somebody has written to: what it holds is taken over or not,
 * and whatever was, can be served, changed, evicted and taken over once more.
 *
 *   [0] bit 0: which file, bit 1: checksums and seals are forged to suit what is written
 *   writes, 4 bytes and what is to be written or, where bit 7 of [3] is set, XORed:
 *   [0] low 3 bits: region, the others: which 64 KiB of the pages   [1, 2] where   [3] how many
 *
 * Without forged seals no value is any other than the one that was stored, and nothing deleted is
 * back. With them anything may be served: who can write to the file has its secret.
 */
#include "server/cache/cache_inside.h"
#include "server/cache/hash.h"
#include "tests/warm/model.h"

#include <assert.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    NOW_S = 1000,
    SOON_S = NOW_S + 5,
    LATER_S = NOW_S + 60,
    KEYS = 96,
    KEY_BYTES_MAX = 16,
    VALUE_BYTES_MAX = 24000,
    OUT_BYTES = CACHE_KEY_BYTES_MAX + (1 << 18),
    WRITES_MAX = 64,
    WRITE_BYTES = 4,
    MAINTAIN_STEPS = 20,
    VARIANTS = 2,
    MEMORY_BYTES = 2 << 20,
    RESERVE_BYTES = 4 << 20,
    PAGES = RESERVE_BYTES / ZBUD_PAGE_BYTES,
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* ---- the layout, as in memory_file.c; check_layout() compares ---- */

#define CHECKSUM_SEED 0x7a62636163686564u

enum {
    HEADER_SUMMED_BYTES = 56,
    SHARDS_AT = 4096,
    SHARD_SUMMED_BYTES = 32,
    DICTIONARIES_AT = 12288,
    DICTIONARY_COUNT_AT = 36,
    DICTIONARY_BYTES_SUM_AT = 40,
    DICTIONARY_SUMMED_BYTES = 48,
    SLOT_BYTES = 64,
    CLASSES_AT = 16384,
    BYTES_AT = 65536,
    LINKS_AT = BYTES_AT + 64 * 65536,
    WORDS_AT = LINKS_AT + 4096,
    PAGES_AT = 6 << 20,
    FILE_BYTES = PAGES_AT + RESERVE_BYTES,
    SECRET_AT = 40,
};

static const struct {
    uint32_t at, bytes;
} regions[8] = {
    {0, SLOT_BYTES},     {SHARDS_AT, 8 * SLOT_BYTES}, {DICTIONARIES_AT, 4 * SLOT_BYTES},
    {CLASSES_AT, 65536}, {BYTES_AT, 2 * 65536},       {LINKS_AT, 4096},
    {WORDS_AT, 8192},    {PAGES_AT, RESERVE_BYTES},
};

/* ---- what was stored ---- */

struct base {
    uint8_t *bytes; /* FILE_BYTES */
    unsigned shards;
};

struct rig {
    char path[WARM_PATH_BYTES];
    struct cache_config config;
    struct cache *cache;
    struct cache_worker *worker;
    struct cache_keeper *keeper;
    uint32_t now_s;
    uint8_t *out;
};

static size_t make_key(unsigned key, uint8_t *out)
{
    return (size_t)sprintf((char *)out, "key:%u", key);
}

/* Words, noise, numbers and nothing; few are larger than a page. */
static size_t make_value(unsigned key, uint8_t *out)
{
    const size_t bytes = key % 40 == 7 ? VALUE_BYTES_MAX : key % 40 == 9 ? 9000 : key * 7 % 400;
    uint32_t random = key + 1;

    if (key % 8 == 3)
        return (size_t)sprintf((char *)out, "%u", key);
    for (size_t i = 0; i < bytes; i++) {
        random = random * 1664525 + 1013904223;
        out[i] = key % 5 == 0 || i % 16 == 0 ? (uint8_t)(random >> 24)
                                             : (uint8_t) "what values have in common "[i % 27];
    }
    return bytes;
}

static bool is_deleted(unsigned key)
{
    return key % 16 == 5;
}

static void store(struct rig *rig, unsigned key, enum cache_mode mode)
{
    uint8_t *entry = rig->out;
    const size_t key_bytes = make_key(key, entry);
    const struct cache_store put = {
        .entry = entry,
        .key_bytes = key_bytes,
        .value_bytes = make_value(key, entry + key_bytes),
        .mode = mode,
        .flags = key % 3 == 0 ? key : 0,
        .expiry_s = key % 4 == 1 ? LATER_S + key * 100 : CACHE_NEVER,
        .cas_given = key % 10 == 4,
        .cas_new = key,
    };
    (void)!cache_store(rig->worker, &put, rig->now_s, NULL);
}

static bool open_rig(struct rig *rig)
{
    rig->config.now_s = rig->now_s;
    rig->cache = cache_new(&rig->config);
    if (rig->cache == NULL)
        return false;
    rig->worker = cache_worker_new(rig->cache);
    rig->keeper = cache_keeper_new(rig->cache);
    assert(rig->worker != NULL && rig->keeper != NULL);
    return true;
}

static void close_rig(struct rig *rig)
{
    cache_check(rig->cache);
    cache_keeper_free(rig->keeper);
    cache_worker_free(rig->worker);
    cache_free(rig->cache);
}

static void maintain(struct rig *rig)
{
    for (unsigned i = 0; i < MAINTAIN_STEPS; i++) {
        (void)cache_compress(rig->keeper, rig->now_s);
        (void)cache_maintain(rig->keeper, rig->now_s);
    }
}

/* A dictionary from the first: learning needs more than is stored here. */
static void teach(struct cache *cache)
{
    uint8_t sample[VALUE_BYTES_MAX];
    const size_t bytes = make_value(1, sample);
    const unsigned number =
        dictionaries_add(cache->dictionaries, codec_dictionary_new(sample, bytes), "*", NOW_S);
    uint8_t saved[CLASSES_SAVED_BYTES_MAX];
    struct classes *classes = classes_new(cache->dictionaries, &number, 1, NULL, 0);

    assert(number == 1 && classes != NULL);
    memory_file_put_classes(cache->file, saved, classes_save(classes, saved));
    current_publish(&cache->current, classes);
}

static void fill(struct rig *rig)
{
    for (unsigned key = 0; key < KEYS; key++) {
        if (key == KEYS / 3)
            teach(rig->cache);
        store(rig, key, CACHE_SET);
        if (key % 3 == 0)
            store(rig, key / 2, CACHE_SET);
        if (key % 20 == 0)
            (void)cache_compress(rig->keeper, rig->now_s);
    }
    for (unsigned key = 0; key < KEYS; key++) {
        const struct cache_change invalidate = {.invalidate = true};
        uint8_t name[KEY_BYTES_MAX];
        const size_t bytes = make_key(key, name);
        if (is_deleted(key))
            (void)!cache_delete(rig->worker, name, bytes, rig->now_s);
        else if (key % 50 == 12)
            (void)!cache_change(rig->worker, name, bytes, &invalidate, rig->now_s);
    }
}

/* ---- the file ---- */

static uint64_t word_at(const uint8_t *bytes)
{
    uint64_t word;
    memcpy(&word, bytes, sizeof(word));
    return word;
}

static void put_word(uint8_t *bytes, uint64_t word)
{
    memcpy(bytes, &word, sizeof(word));
}

static void forge_header(uint8_t *file)
{
    put_word(file + HEADER_SUMMED_BYTES, hash_key(file, HEADER_SUMMED_BYTES, CHECKSUM_SEED));
}

static void forge_shards(uint8_t *file, unsigned shards)
{
    for (unsigned i = 0; i < 2 * shards; i++) {
        uint8_t *slot = file + SHARDS_AT + (size_t)i * SLOT_BYTES;
        put_word(slot + SHARD_SUMMED_BYTES,
                 hash_key(slot, SHARD_SUMMED_BYTES, CHECKSUM_SEED + i / 2));
    }
}

static void forge_dictionary(uint8_t *file, unsigned number)
{
    uint8_t *entry = file + DICTIONARIES_AT + (size_t)number * SLOT_BYTES;
    const uint8_t *bytes = file + BYTES_AT + (size_t)number * CODEC_DICTIONARY_BYTES;
    uint32_t count;

    memcpy(&count, entry + DICTIONARY_COUNT_AT, sizeof(count));
    if (count == 0 || count > CODEC_DICTIONARY_BYTES)
        return;
    put_word(entry + DICTIONARY_BYTES_SUM_AT, hash_key(bytes, count, CHECKSUM_SEED));
    put_word(entry + DICTIONARY_SUMMED_BYTES,
             hash_key(entry, DICTIONARY_SUMMED_BYTES, CHECKSUM_SEED + number));
}

static void forge_classes(uint8_t *file)
{
    uint8_t *block = file + CLASSES_AT;
    const uint64_t count = word_at(block + 8);

    if (count <= MEMORY_FILE_CLASSES_BYTES_MAX)
        put_word(block, hash_key(block + 8, 8 + count, CHECKSUM_SEED));
}

/* Of what can be adopted; and of large values' pages. */
static void forge_seals(int fd, uint64_t secret, unsigned shards)
{
    const struct zbud_arena_file file = {
        .fd = fd, .links_at = LINKS_AT, .words_at = WORDS_AT, .pages_at = PAGES_AT};
    struct zbud_arena *arena = zbud_arena_new_in(&file, RESERVE_BYTES, RESERVE_BYTES);
    const struct seals seals = {zbud_arena_words(arena), secret};
    struct zbud_pool *pools[CACHE_SHARDS_MAX];
    uint32_t pages;

    assert(arena != NULL);
    const bool able = zbud_arena_recover(arena, &pages);
    assert(able);
    for (unsigned i = 0; i < shards; i++)
        pools[i] = zbud_pool_create(arena);
    for (uint32_t page = 0; page < pages; page++) {
        struct zbud_handle logs[2];
        struct zbud_page_says says;
        unsigned count = 0;
        if (seals.words[page] == 0)
            continue;
        if (seal_is_large(seals.words[page])) {
            seal_page(&seals, arena, page);
            continue;
        }
        zbud_page_ask(arena, page, &says);
        if (says.pool < 1 || says.pool > shards ||
            !zbud_pool_adopt(pools[says.pool - 1], page, page + 1, logs, &count))
            continue;
        for (unsigned i = 0; i < count; i++)
            seal_write(&seals, logs[i], seal_log(&seals, pools[says.pool - 1], logs[i]));
    }
    for (unsigned i = 0; i < shards; i++)
        zbud_pool_leave(pools[i]);
    zbud_arena_free(arena);
}

/* What is described here is what memory_file.c writes: nothing changes where all is forged. */
static void check_layout(const struct base *base)
{
    uint8_t *forged = malloc(FILE_BYTES);

    assert(forged != NULL);
    memcpy(forged, base->bytes, FILE_BYTES);
    forge_header(forged);
    forge_shards(forged, base->shards);
    forge_dictionary(forged, 1);
    forge_classes(forged);
    assert(memcmp(forged, base->bytes, FILE_BYTES) == 0);
    free(forged);
}

/* ---- before the first input: files as a server leaves them ---- */

static void tell(void *context, const char *text)
{
    (void)context;
    (void)text;
}

static void start(struct rig *rig, unsigned shards)
{
    *rig = (struct rig){.now_s = NOW_S, .out = malloc(OUT_BYTES)};
    assert(rig->out != NULL);
    warm_path(rig->path);
    rig->config = (struct cache_config){
        .memory_bytes = MEMORY_BYTES,
        .reserve_bytes = RESERVE_BYTES,
        .item_bytes_max = 1u << 20,
        .shards = shards,
        .evict = true,
        .compress = true,
        .defer = true,
        .settle = true,
        .seed = 7,
        .memory_file = rig->path,
        .teller = {.tell = tell},
    };
}

static void end(struct rig *rig)
{
    (void)unlink(rig->path);
    free(rig->out);
}

static const struct base *base_of(unsigned variant)
{
    static struct base bases[VARIANTS];
    struct base *base = &bases[variant];
    struct rig rig;

    if (base->bytes != NULL)
        return base;
    base->shards = variant == 0 ? 1 : 4;
    base->bytes = malloc(FILE_BYTES);
    start(&rig, base->shards);
    const bool opened = open_rig(&rig);
    assert(base->bytes != NULL && opened);
    fill(&rig);
    close_rig(&rig);
    const int fd = open(rig.path, O_RDONLY | O_CLOEXEC);
    const ssize_t count = pread(fd, base->bytes, FILE_BYTES, 0);
    assert(count == FILE_BYTES);
    (void)close(fd);
    end(&rig);
    check_layout(base);
    return base;
}

/* ---- an input's file ---- */

static void write_over(uint8_t *file, const uint8_t *data, size_t size)
{
    for (unsigned i = 0; i < WRITES_MAX && size > WRITE_BYTES; i++) {
        const unsigned region = data[0] % 8;
        const uint32_t place = data[1] | (uint32_t)data[2] << 8 | (uint32_t)(data[0] / 8) << 16;
        const size_t wanted = data[3] % 128 + 1u, left = size - WRITE_BYTES;
        const size_t count = wanted < left ? wanted : left;
        for (size_t j = 0; j < count; j++) {
            uint8_t *byte = file + regions[region].at + (place + j) % regions[region].bytes;
            *byte = (uint8_t)(data[WRITE_BYTES + j] ^ (data[3] & 0x80 ? *byte : 0));
        }
        data += WRITE_BYTES + count;
        size -= WRITE_BYTES + count;
    }
}

/* Holes where there is nothing, as tmpfs has them. */
static int put_file(const char *path, const uint8_t *file)
{
    static const uint8_t nothing[ZBUD_PAGE_BYTES];
    const int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    const int failed = ftruncate(fd, FILE_BYTES);

    assert(fd >= 0 && !failed);
    for (size_t at = 0; at < FILE_BYTES; at += ZBUD_PAGE_BYTES) {
        if (memcmp(file + at, nothing, ZBUD_PAGE_BYTES) == 0)
            continue;
        const ssize_t count = pwrite(fd, file + at, ZBUD_PAGE_BYTES, (off_t)at);
        assert(count == ZBUD_PAGE_BYTES);
    }
    return fd;
}

static void make_file(const struct rig *rig, const struct base *base, bool forged,
                      const uint8_t *data, size_t size)
{
    static uint8_t file[FILE_BYTES];

    memcpy(file, base->bytes, FILE_BYTES);
    write_over(file, data, size);
    if (forged) {
        forge_header(file);
        forge_shards(file, base->shards);
        for (unsigned number = 1; number < 4; number++)
            forge_dictionary(file, number);
        forge_classes(file);
    }
    const int fd = put_file(rig->path, file);
    if (forged)
        forge_seals(fd, word_at(file + SECRET_AT), base->shards);
    (void)close(fd);
}

/* ---- whatever was taken over is used ---- */

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct rig *rig = context;
    if (item->key_bytes + item->value_bytes > OUT_BYTES)
        return NULL;
    return rig->out + item->key_bytes;
}

/* Each key is what it was, or nothing. */
static void expect_unforged(struct rig *rig)
{
    static uint8_t expected[VALUE_BYTES_MAX];

    for (unsigned key = 0; key < KEYS; key++) {
        uint8_t name[KEY_BYTES_MAX];
        const size_t key_bytes = make_key(key, name), bytes = make_value(key, expected);
        struct cache_item item;
        if (cache_get(rig->worker, name, key_bytes, NULL, rig->now_s, place, rig, &item) !=
            CACHE_OK)
            continue;
        assert(!is_deleted(key) && item.value_bytes == bytes);
        assert(memcmp(rig->out + key_bytes, expected, bytes) == 0);
    }
}

/* Whoever is there, under whatever key. */
static void read_all(struct rig *rig)
{
    static struct cache_walk walk;

    memset(&walk, 0, sizeof(walk));
    while (cache_walk(rig->cache, &walk, rig->now_s)) {
        for (unsigned i = 0; i < walk.count; i++) {
            const struct cache_look look = {
                .read = i % 2 == 0, .touch = i % 3 == 0, .touch_expiry_s = LATER_S};
            const struct cache_walk_item *found = &walk.items[i];
            struct cache_view view;
            struct cache_item item;
            (void)cache_inspect(rig->worker, found->key, found->key_bytes, rig->now_s, &item);
            (void)!cache_look(rig->worker, found->key, found->key_bytes, &look, rig->now_s, place,
                              rig, &view);
            (void)!cache_get(rig->worker, found->key, found->key_bytes, NULL, rig->now_s, place,
                             rig, &item);
        }
    }
}

static void change_all(struct rig *rig)
{
    const struct cache_arith add = {.increment = true, .delta = 1};
    const uint32_t expiry_s = SOON_S;

    for (unsigned key = 0; key < KEYS; key++) {
        uint8_t name[KEY_BYTES_MAX];
        const size_t bytes = make_key(key, name);
        struct cache_number number;
        switch (key % 7) {
        case 0:
            store(rig, key, CACHE_APPEND);
            break;
        case 1:
            (void)!cache_delete(rig->worker, name, bytes, rig->now_s);
            break;
        case 2:
            store(rig, key, CACHE_SET);
            break;
        case 3:
            (void)!cache_arith(rig->worker, name, bytes, &add, rig->now_s, &number);
            break;
        case 4:
            (void)!cache_touch(rig->worker, name, bytes, expiry_s, rig->now_s);
            break;
        default:
            break;
        }
    }
}

/* Settled, expired, evicted. */
static void keep_on(struct rig *rig)
{
    maintain(rig);
    rig->now_s = SOON_S + 10;
    maintain(rig);
    cache_check(rig->cache);
    (void)!cache_set_memory(rig->cache, MEMORY_BYTES / 2);
    maintain(rig);
    for (unsigned key = 0; key < KEYS; key++)
        store(rig, key, CACHE_SET);
    maintain(rig);
}

/* What this process leaves, the next one believes to the last record. */
static void open_again(struct rig *rig)
{
    struct cache_figures before, after;

    cache_figures(rig->cache, &before);
    close_rig(rig);
    const bool opened = open_rig(rig);
    assert(opened);
    cache_figures(rig->cache, &after);
    assert(after.recovered_damaged == 0 && after.items <= before.items);
    close_rig(rig);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig;

    if (size < 1)
        return 0;
    const struct base *base = base_of(data[0] & 1);
    const bool forged = (data[0] & 2) != 0;
    start(&rig, base->shards);
    make_file(&rig, base, forged, data + 1, size - 1);
    if (open_rig(&rig)) {
        if (!forged)
            expect_unforged(&rig);
        read_all(&rig);
        change_all(&rig);
        keep_on(&rig);
        open_again(&rig);
    }
    end(&rig);
    return 0;
}
