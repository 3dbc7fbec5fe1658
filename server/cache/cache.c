#include "server/cache/cache.h"

#include "server/cache/cache_inside.h"
#include "server/cache/codec.h"
#include "server/cache/hash.h"
#include "server/cache/prepare.h"
#include "server/cache/shard.h"
#include "zbud/arena.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define MAP_LOOKS         256u /* pages of a cell that are looked at, at most */
/* What memcached counts for an item beside key and value: 48 bytes of header, 8 of cas, the key's
 * end, \r\n, and 4 where there are client flags. */
#define ITEM_HEADER_BYTES 59u
#define ITEM_FLAGS_BYTES  4u
#define MEMORY_BYTES_MIN  (1u << 20)
/* Pages kept free beyond what a store needs: rescue writes while it reclaims, and other threads
 * take pages between the look and the store. */
#define SPARE_PAGES       8u
/* Without eviction, what items may not use: connections must still find room. */
#define NO_EVICT_PART     16u
#define NO_EVICT_PAGES    ((8u << 20) / ZBUD_PAGE_BYTES)
/* Memory that is touched before it is needed: 16 MiB, or this part of the limit. 60 MB a second are
 * what one thread stores at most, and the background comes by each 100 ms. */
#define READY_PAGES_MAX   4096u
#define READY_PART        64u
/* A store that finds no page though room was made has lost it to other threads: so often is it
 * tried again. */
#define STORE_TRIES       64u
#define SHORT_LIVED_S     10u
#define EDIT_KEEP_BYTES   (64u << 10)
#define NUMBER_BYTES_MAX  20u /* of 2^64 - 1 */

struct cache_worker {
    struct cache *cache;
    struct codec *codec;
    struct current_reader reader;
    /* An entry that is read, changed and stored again; grown for large ones and charged. */
    uint8_t *edit;
    size_t edit_bytes;
    struct prepare prepare;
    /* What is stored in parts, and who stores it; NULL: nobody. */
    struct prepare parts;
    const void *parts_owner;
};

static_assert(CACHE_PART_BYTES == CODEC_BLOCK_BYTES, "a part is a block");

static bool config_valid(const struct cache_config *config)
{
    unsigned shards = config->shards;
    static_assert(CACHE_MEMORY_BYTES_MAX / ZBUD_PAGE_BYTES < 1u << (ZBUD_HANDLE_BITS - 1),
                  "a handle can name each page, and none");
    return shards > 0 && shards <= CACHE_SHARDS_MAX && (shards & (shards - 1)) == 0 &&
           config->memory_bytes >= MEMORY_BYTES_MIN &&
           config->memory_bytes <= config->reserve_bytes &&
           config->reserve_bytes <= CACHE_MEMORY_BYTES_MAX &&
           config->item_bytes_max <= CACHE_ITEM_BYTES_MAX;
}

/* The arena, in a file if that is asked for; @found: with something in it. */
static bool make_arena(struct cache *cache, bool *found)
{
    struct cache_config *config = &cache->config;
    if (config->memory_file != NULL) {
        cache->file = memory_file_open(config, found);
        if (cache->file == NULL)
            return false;
        struct zbud_arena_file file = memory_file_arena(cache->file);
        cache->arena = zbud_arena_new_in(&file, config->reserve_bytes, config->memory_bytes);
    } else {
        cache->arena = zbud_arena_new(config->reserve_bytes, config->memory_bytes);
    }
    return cache->arena != NULL;
}

static bool make_shards(struct cache *cache)
{
    cache->dictionaries = dictionaries_new();
    cache->expiry_table = expiry_table_new(cache->arena);
    if (cache->dictionaries == NULL || cache->expiry_table == NULL)
        return false;
    for (unsigned i = 0; i < cache->config.shards; i++) {
        cache->shards[i] =
            shard_new(cache->arena, cache->dictionaries, cache->expiry_table, &cache->config, i);
        if (cache->shards[i] == NULL)
            return false;
    }
    return true;
}

static bool go_on_in_file(struct cache *cache, bool found)
{
    cache->seals.words = zbud_arena_words(cache->arena);
    cache->seals.secret = memory_file_secret(cache->file);
    dictionaries_keep(cache->dictionaries, cache->file);
    if (found)
        return cache_recover(cache);
    for (unsigned i = 0; i < cache->config.shards; i++)
        (void)shard_keep(cache->shards[i], cache->file, &cache->seals, false, cache->config.now_s);
    memory_file_begin(cache->file);
    return true;
}

struct cache *cache_new(const struct cache_config *config)
{
    if (!config_valid(config))
        return NULL;
    struct cache *cache = calloc(1, sizeof(*cache));
    if (cache == NULL)
        return NULL;
    cache->config = *config;
    cache->config.defer = config->defer && config->compress;
    atomic_init(&cache->now_s, config->now_s);
    current_init(&cache->current);
    savings_init(&cache->savings);
    bool found = false;
    if (!make_arena(cache, &found) || !make_shards(cache) ||
        (cache->file != NULL && !go_on_in_file(cache, found))) {
        cache_free(cache);
        return NULL;
    }
    return cache;
}

void cache_free(struct cache *cache)
{
    if (cache == NULL)
        return;
    for (unsigned i = 0; i < cache->config.shards; i++)
        shard_free(cache->shards[i]);
    savings_fini(&cache->savings);
    current_fini(&cache->current);
    expiry_table_free(cache->expiry_table);
    dictionaries_free(cache->dictionaries);
    zbud_arena_free(cache->arena);
    memory_file_close(cache->file);
    free(cache);
}

static size_t worker_bytes(void)
{
    return sizeof(struct cache_worker) + codec_bytes(0) + EDIT_KEEP_BYTES;
}

struct cache_worker *cache_worker_new(struct cache *cache)
{
    if (cache_charge(cache, worker_bytes()) != CACHE_OK)
        return NULL;
    struct cache_worker *worker = calloc(1, sizeof(*worker));
    if (worker == NULL) {
        cache_uncharge(cache, worker_bytes());
        return NULL;
    }
    worker->cache = cache;
    current_join(&cache->current, &worker->reader);
    worker->codec = codec_new(0);
    worker->prepare.cache = cache;
    worker->prepare.codec = worker->codec;
    worker->parts = worker->prepare;
    worker->edit = malloc(EDIT_KEEP_BYTES);
    worker->edit_bytes = EDIT_KEEP_BYTES;
    if (worker->codec == NULL || worker->edit == NULL) {
        cache_worker_free(worker);
        return NULL;
    }
    return worker;
}

void cache_worker_free(struct cache_worker *worker)
{
    if (worker == NULL)
        return;
    cache_store_forget(worker, worker->parts_owner);
    if (worker->edit_bytes > EDIT_KEEP_BYTES)
        cache_uncharge(worker->cache, worker->edit_bytes);
    cache_uncharge(worker->cache, worker_bytes());
    current_leave(&worker->cache->current, &worker->reader);
    codec_free(worker->codec);
    free(worker->edit);
    free(worker);
}

static struct shard *shard_of(const struct cache *cache, uint64_t hash)
{
    return cache->shards[hash_shard(hash, cache->config.shards)];
}

bool cache_reclaim_oldest(struct cache *cache, uint32_t now_s)
{
    for (unsigned tries = 0; tries <= cache->config.shards; tries++) {
        struct shard *oldest = cache->shards[0];
        for (unsigned i = 1; i < cache->config.shards; i++) {
            if (shard_oldest(cache->shards[i]) < shard_oldest(oldest))
                oldest = cache->shards[i];
        }
        if (shard_oldest(oldest) == UINT64_MAX)
            return false;
        if (shard_reclaim(oldest, now_s))
            return true;
    }
    return false;
}

static size_t pages_reserved(const struct cache *cache)
{
    if (cache->config.evict)
        return SPARE_PAGES;
    size_t pages = zbud_arena_limit_pages(cache->arena) / NO_EVICT_PART;
    return pages < NO_EVICT_PAGES ? pages : NO_EVICT_PAGES;
}

bool cache_make_room(struct cache *cache, size_t pages, uint32_t now_s)
{
    size_t wanted = pages + pages_reserved(cache);
    while (zbud_arena_available(cache->arena) < wanted) {
        if (!cache->config.evict)
            return false;
        if (!cache_reclaim_oldest(cache, now_s))
            return zbud_arena_available(cache->arena) >= pages;
    }
    return true;
}

bool cache_lacks_dictionary(const struct cache *cache)
{
    return cache->config.compress && current_classes(&cache->current) == NULL;
}

bool cache_prepare_memory(struct cache *cache)
{
    size_t part = zbud_arena_limit_pages(cache->arena) / READY_PART;
    return zbud_arena_prepare(cache->arena, part < READY_PAGES_MAX ? part : READY_PAGES_MAX);
}

static uint32_t cache_now(const struct cache *cache)
{
    return atomic_load_explicit(&cache->now_s, memory_order_relaxed);
}

enum cache_status cache_charge(struct cache *cache, size_t bytes)
{
    enum zbud_status status;
    while ((status = zbud_arena_charge(cache->arena, bytes)) != ZBUD_OK) {
        if (status == ZBUD_REFUSED || !cache->config.evict ||
            !cache_reclaim_oldest(cache, cache_now(cache)))
            return CACHE_NO_MEMORY;
    }
    return CACHE_OK;
}

void cache_uncharge(struct cache *cache, size_t bytes)
{
    zbud_arena_uncharge(cache->arena, bytes);
}

enum cache_standing cache_inspect(struct cache_worker *worker, const void *key, size_t key_bytes,
                                  uint32_t now_s, struct cache_item *item)
{
    uint64_t hash = hash_key(key, key_bytes, worker->cache->config.seed);
    return shard_inspect(shard_of(worker->cache, hash), hash, key, key_bytes, now_s, item);
}

enum cache_status cache_get(struct cache_worker *worker, const void *key, size_t key_bytes,
                            const uint32_t *touch_expiry_s, uint32_t now_s, cache_place_fn *place,
                            void *context, struct cache_item *item)
{
    struct cache *cache = worker->cache;
    uint64_t hash = hash_key(key, key_bytes, cache->config.seed);
    struct shard *shard = shard_of(cache, hash);
    enum cache_status status;
    unsigned tries = 0;
    do {
        if (touch_expiry_s != NULL)
            (void)cache_make_room(cache, 2, now_s); /* without room the shard says so itself */
        status = shard_get(shard, hash, key, key_bytes, touch_expiry_s, now_s, worker->codec, place,
                           context, item);
    } while (status == CACHE_NO_MEMORY && ++tries < STORE_TRIES);
    return status;
}

enum cache_status cache_look(struct cache_worker *worker, const void *key, size_t key_bytes,
                             const struct cache_look *look, uint32_t now_s, cache_place_fn *place,
                             void *context, struct cache_view *view)
{
    struct cache *cache = worker->cache;
    uint64_t hash = hash_key(key, key_bytes, cache->config.seed);
    struct shard *shard = shard_of(cache, hash);
    enum cache_status status;
    unsigned tries = 0;
    assert(key_bytes >= 1 && key_bytes <= CACHE_KEY_BYTES_MAX);
    /* Few looks write anything: room is made for those that found none. */
    while ((status = shard_look(shard, hash, key, key_bytes, look, now_s, worker->codec, place,
                                context, view)) == CACHE_NO_MEMORY &&
           ++tries < STORE_TRIES)
        (void)cache_make_room(cache, 3, now_s);
    return status == CACHE_NOT_STORED ? CACHE_NO_MEMORY : status;
}

void cache_expect(struct cache_worker *worker, const struct cache_key *keys, unsigned count)
{
    const struct cache *cache = worker->cache;
    uint64_t hashes[CACHE_EXPECT_MAX], together[CACHE_EXPECT_MAX];
    uint64_t shards = 0;
    static_assert(CACHE_SHARDS_MAX <= 64, "a bit for each");
    assert(count <= CACHE_EXPECT_MAX);
    for (unsigned i = 0; i < count; i++) {
        hashes[i] = hash_key(keys[i].key, keys[i].key_bytes, cache->config.seed);
        shards |= UINT64_C(1) << hash_shard(hashes[i], cache->config.shards);
    }
    for (; shards != 0; shards &= shards - 1) {
        unsigned shard = (unsigned)__builtin_ctzll(shards), of_shard = 0;
        for (unsigned i = 0; i < count; i++) {
            together[of_shard] = hashes[i];
            of_shard += hash_shard(hashes[i], cache->config.shards) == shard;
        }
        shard_expect(cache->shards[shard], together, of_shard);
    }
}

static bool too_large(const struct cache *cache, const struct cache_store *store)
{
    size_t bytes = store->key_bytes + store->value_bytes + ITEM_HEADER_BYTES +
                   (store->flags != 0 ? ITEM_FLAGS_BYTES : 0);
    return bytes > cache->config.item_bytes_max;
}

/* A prepared record into its shard; room is made without its lock, so it may be gone again. */
static enum cache_status put_with_room(struct cache *cache, uint64_t hash,
                                       const struct shard_put *put, uint32_t now_s, uint64_t *cas)
{
    struct shard *shard = shard_of(cache, hash);
    for (unsigned tries = 0; tries < STORE_TRIES; tries++) {
        /* A page for a new log, one for the index, and one for the expiry table. */
        if (!cache_make_room(cache, 3, now_s))
            return CACHE_NO_MEMORY;
        enum cache_status status = shard_store(shard, hash, put, now_s, cas);
        if (status == CACHE_NO_ROOM)
            break; /* not even with all the memory */
        if (status != CACHE_NO_MEMORY)
            return status;
    }
    return CACHE_NO_MEMORY;
}

/* What is gone or changed before it would be settled is not worth compressing. */
static enum codec_level level_for(const struct cache_store *store, uint32_t now_s)
{
    bool dies_young = store->expiry_s > now_s && store->expiry_s - now_s <= SHORT_LIVED_S;
    return dies_young ? CODEC_RAW : CODEC_FAST;
}

static bool can_wait(const struct cache *cache, const struct shard *shard,
                     const struct cache_store *store)
{
    size_t entry_bytes = store->key_bytes + store->value_bytes;
    return cache->config.defer && prepare_can_wait(entry_bytes) &&
           shard_fresh_room(shard, entry_bytes);
}

/* All but what prepare_put() sets. */
static void fill_put(struct shard_put *put, const struct cache_store *store)
{
    put->key = store->entry;
    put->key_bytes = store->key_bytes;
    put->value_bytes = store->value_bytes;
    put->mode = store->mode;
    put->flags = store->flags | (store->cas_given ? RECORD_CAS : 0);
    put->expiry_s = store->expiry_s;
    put->cas = store->cas;
    put->cas_new = store->cas_new;
    put->keep_extras = store->mode == CACHE_CAS_OR_STALE;
}

/* One part of an entry; of one store at a time. Parts of several by turns would have others on this
 * thread wait for as many blocks. */
static enum cache_status prepare_next(struct cache_worker *worker, const struct cache_store *store,
                                      enum codec_level level, bool waits, struct shard_put *put)
{
    struct prepare *parts = &worker->parts;
    if (worker->parts_owner == NULL) {
        worker->parts_owner = store->owner;
        prepare_begin(parts, level, waits);
    } else if (worker->parts_owner != store->owner) {
        return CACHE_MORE;
    }
    parts->classes = worker->prepare.classes;
    parts->now_s = worker->prepare.now_s;
    enum cache_status status = prepare_part(parts, store->entry, put);
    if (status != CACHE_MORE)
        worker->parts_owner = NULL;
    return status;
}

static enum cache_status prepare_entry(struct cache_worker *worker, const struct cache_store *store,
                                       enum codec_level level, bool waits, struct shard_put *put)
{
    if (store->owner != NULL && store->key_bytes + store->value_bytes > CACHE_PART_BYTES)
        return prepare_next(worker, store, level, waits, put);
    bool done = waits ? prepare_fresh(&worker->prepare, store->entry, put)
                      : prepare_put(&worker->prepare, level, store->entry, put);
    return done ? CACHE_OK : CACHE_NO_MEMORY;
}

void cache_store_forget(struct cache_worker *worker, const void *owner)
{
    if (owner == NULL || owner != worker->parts_owner)
        return;
    large_drop(&worker->parts.large);
    worker->parts_owner = NULL;
}

static enum cache_status store_entry(struct cache_worker *worker, uint64_t hash,
                                     const struct cache_store *store, struct shard_put *put,
                                     enum codec_level level, uint32_t now_s, uint64_t *cas)
{
    struct cache *cache = worker->cache;
    if (too_large(cache, store)) {
        return CACHE_TOO_LARGE;
    }
    worker->prepare.classes = current_hold(&cache->current, &worker->reader);
    worker->prepare.now_s = now_s;
    bool waits = can_wait(cache, shard_of(cache, hash), store) && level == CODEC_FAST;
    enum cache_status status = prepare_entry(worker, store, level, waits, put);
    if (status == CACHE_OK) {
        status = put_with_room(cache, hash, put, now_s, cas);
        if (status != CACHE_OK)
            prepare_drop(&worker->prepare, put);
    }
    current_release(&worker->reader);
    if (status == CACHE_NO_MEMORY)
        atomic_fetch_add_explicit(&cache->no_memory, 1, memory_order_relaxed);
    return status;
}

/* The worker's memory for an entry of @bytes; NULL where the limit does not allow it. */
static uint8_t *edit_room(struct cache_worker *worker, size_t bytes)
{
    if (bytes <= worker->edit_bytes)
        return worker->edit;
    if (cache_charge(worker->cache, bytes) != CACHE_OK)
        return NULL;
    uint8_t *edit = malloc(bytes);
    if (edit == NULL) {
        cache_uncharge(worker->cache, bytes);
        return NULL;
    }
    if (worker->edit_bytes > EDIT_KEEP_BYTES)
        cache_uncharge(worker->cache, worker->edit_bytes);
    free(worker->edit);
    worker->edit = edit;
    worker->edit_bytes = bytes;
    return edit;
}

static void edit_done(struct cache_worker *worker)
{
    if (worker->edit_bytes <= EDIT_KEEP_BYTES)
        return;
    uint8_t *edit = realloc(worker->edit, EDIT_KEEP_BYTES);
    if (edit == NULL) /* kept and charged as it is, until the next time */
        return;
    cache_uncharge(worker->cache, worker->edit_bytes);
    worker->edit = edit;
    worker->edit_bytes = EDIT_KEEP_BYTES;
}

/* An item read into the worker's memory with room around its value. */
struct edit {
    struct cache_worker *worker;
    size_t before_bytes;
    size_t after_bytes;
    struct cache_item item;
    enum codec_level level;
    uint64_t cas;
};

static size_t edit_wanted(const struct edit *edit, const struct cache_item *item)
{
    return item->key_bytes + edit->before_bytes + item->value_bytes + edit->after_bytes;
}

static uint8_t *edit_place(void *context, const struct cache_item *item)
{
    struct edit *edit = context;
    if (edit_wanted(edit, item) > edit->worker->edit_bytes)
        return NULL;
    return edit->worker->edit + item->key_bytes + edit->before_bytes;
}

static enum cache_status edit_read(struct edit *edit, const void *key, size_t key_bytes,
                                   uint32_t now_s)
{
    struct cache_worker *worker = edit->worker;
    for (;;) {
        enum cache_status status =
            cache_get(worker, key, key_bytes, NULL, now_s, edit_place, edit, &edit->item);
        if (status != CACHE_NO_ROOM)
            return status;
        if (edit_room(worker, edit_wanted(edit, &edit->item)) == NULL)
            return CACHE_NO_MEMORY;
    }
}

/* Stores what stands in the worker's memory, if nobody stored in between. @put: what becomes of
 * marks, cas and expiry; the rest is set here. */
static enum cache_status edit_store(struct edit *edit, const void *key, size_t value_bytes,
                                    struct shard_put *put, uint32_t now_s)
{
    struct cache_worker *worker = edit->worker;
    memcpy(worker->edit, key, edit->item.key_bytes);
    struct cache_store store = {
        .entry = worker->edit,
        .key_bytes = edit->item.key_bytes,
        .value_bytes = value_bytes,
        .flags = edit->item.flags,
    };
    put->key = worker->edit;
    put->key_bytes = store.key_bytes;
    put->value_bytes = value_bytes;
    put->mode = CACHE_CAS;
    put->cas = edit->item.unique;
    put->keep_extras = true;
    uint64_t hash = hash_key(key, store.key_bytes, worker->cache->config.seed);
    return store_entry(worker, hash, &store, put, edit->level, now_s, &edit->cas);
}

/* append or prepend without an item: what is given is the item. CACHE_NOT_STORED: there is one. */
static enum cache_status join_nothing(struct cache_worker *worker, const struct cache_store *store,
                                      uint32_t now_s, struct cache_stored *stored)
{
    struct cache_store add = *store;
    if (!store->create)
        return CACHE_NOT_FOUND;
    add.mode = CACHE_ADD;
    add.owner = NULL;
    return cache_store(worker, &add, now_s, stored);
}

/* append and prepend: read, join, store, again from the start where another was faster. */
static enum cache_status join(struct cache_worker *worker, const struct cache_store *store,
                              uint32_t now_s, struct cache_stored *stored)
{
    bool append = store->mode == CACHE_APPEND;
    const uint8_t *key = store->entry, *joined = store->entry + store->key_bytes;
    struct edit edit = {
        .worker = worker,
        .before_bytes = append ? 0 : store->value_bytes,
        .after_bytes = append ? store->value_bytes : 0,
        .level = CODEC_FAST,
    };
    for (;;) {
        struct shard_put put = {.flags = store->cas_given ? RECORD_CAS : 0,
                                .cas_new = store->cas_new};
        enum cache_status status = edit_read(&edit, key, store->key_bytes, now_s);
        if (status == CACHE_NOT_FOUND) {
            status = join_nothing(worker, store, now_s, stored);
            if (status == CACHE_NOT_STORED) /* another was faster to create it */
                continue;
            return status == CACHE_NOT_FOUND ? CACHE_NOT_STORED : status;
        }
        if (status != CACHE_OK)
            return status;
        if (store->compare && edit.item.cas != store->cas)
            return CACHE_EXISTS;
        size_t at = store->key_bytes + (append ? edit.item.value_bytes : 0);
        memcpy(worker->edit + at, joined, store->value_bytes);
        stored->value_bytes = edit.item.value_bytes + store->value_bytes;
        status = edit_store(&edit, key, stored->value_bytes, &put, now_s);
        if (status == CACHE_TOO_LARGE)
            return CACHE_NOT_STORED;
        stored->cas = edit.cas;
        if (status != CACHE_EXISTS && status != CACHE_NOT_FOUND)
            return status;
    }
}

enum cache_status cache_store(struct cache_worker *worker, const struct cache_store *store,
                              uint32_t now_s, struct cache_stored *stored)
{
    struct cache_stored unwanted;
    assert(store->key_bytes >= 1 && store->key_bytes <= CACHE_KEY_BYTES_MAX);
    assert(store->value_bytes <= CACHE_ITEM_BYTES_MAX);
    if (store->mode == CACHE_APPEND || store->mode == CACHE_PREPEND) {
        enum cache_status status = join(worker, store, now_s, stored != NULL ? stored : &unwanted);
        edit_done(worker);
        return status;
    }
    struct shard_put put;
    fill_put(&put, store);
    uint64_t hash = hash_key(store->entry, store->key_bytes, worker->cache->config.seed);
    uint64_t *cas = NULL;
    if (stored != NULL) {
        stored->value_bytes = store->value_bytes;
        cas = &stored->cas;
    }
    enum cache_status status =
        store_entry(worker, hash, store, &put, level_for(store, now_s), now_s, cas);
    if (store->mode == CACHE_SET && (status == CACHE_TOO_LARGE || status == CACHE_NO_MEMORY))
        (void)shard_delete(shard_of(worker->cache, hash), hash, store->entry, store->key_bytes,
                           now_s);
    return status;
}

enum cache_status cache_delete(struct cache_worker *worker, const void *key, size_t key_bytes,
                               uint32_t now_s)
{
    uint64_t hash = hash_key(key, key_bytes, worker->cache->config.seed);
    return shard_delete(shard_of(worker->cache, hash), hash, key, key_bytes, now_s);
}

enum cache_status cache_change(struct cache_worker *worker, const void *key, size_t key_bytes,
                               const struct cache_change *change, uint32_t now_s)
{
    struct cache *cache = worker->cache;
    uint64_t hash = hash_key(key, key_bytes, cache->config.seed);
    enum cache_status status;
    unsigned tries = 0;
    while ((status = shard_change(shard_of(cache, hash), hash, key, key_bytes, change, now_s)) ==
               CACHE_NO_MEMORY &&
           ++tries < STORE_TRIES)
        (void)cache_make_room(cache, 3, now_s);
    return status;
}

enum cache_status cache_touch(struct cache_worker *worker, const void *key, size_t key_bytes,
                              uint32_t expiry_s, uint32_t now_s)
{
    struct cache *cache = worker->cache;
    uint64_t hash = hash_key(key, key_bytes, cache->config.seed);
    enum cache_status status;
    unsigned tries = 0;
    do {
        (void)cache_make_room(cache, 2, now_s); /* without room the shard says so itself */
        status = shard_touch(shard_of(cache, hash), hash, key, key_bytes, expiry_s, now_s);
    } while (status == CACHE_NO_MEMORY && ++tries < STORE_TRIES);
    return status;
}

static bool is_blank(uint8_t byte)
{
    return byte == ' ' || (byte >= '\t' && byte <= '\r');
}

/* As memcached reads a stored number: blanks, a plus, digits, and then the end or a blank. */
static bool number_parse(const uint8_t *text, size_t bytes, uint64_t *number)
{
    size_t at = 0;
    uint64_t sum = 0;
    while (at < bytes && is_blank(text[at]))
        at++;
    if (at < bytes && text[at] == '+')
        at++;
    size_t digits_at = at;
    for (; at < bytes && text[at] >= '0' && text[at] <= '9'; at++) {
        if (__builtin_mul_overflow(sum, 10u, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(text[at] - '0'), &sum))
            return false;
    }
    *number = sum;
    return at > digits_at && (at == bytes || is_blank(text[at]));
}

static size_t number_print(uint64_t number, uint8_t *out)
{
    uint8_t digits[NUMBER_BYTES_MAX];
    size_t count = 0;
    do {
        digits[count++] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    for (size_t i = 0; i < count; i++)
        out[i] = digits[count - 1 - i];
    return count;
}

static uint64_t number_change(uint64_t number, bool increment, uint64_t delta)
{
    if (increment)
        return number + delta;
    return number > delta ? number - delta : 0;
}

/* A number where there was none. CACHE_NOT_STORED: there is one now. */
static enum cache_status arith_create(struct cache_worker *worker, const void *key,
                                      size_t key_bytes, const struct cache_arith *arith,
                                      uint32_t now_s, struct cache_number *number)
{
    uint8_t entry[CACHE_KEY_BYTES_MAX + NUMBER_BYTES_MAX];
    memcpy(entry, key, key_bytes);
    struct cache_store store = {
        .entry = entry,
        .key_bytes = key_bytes,
        .value_bytes = number_print(arith->initial, entry + key_bytes),
        .mode = CACHE_ADD,
        .expiry_s = arith->create_expiry_s,
        .cas_given = arith->cas_given,
        .cas_new = arith->cas_new,
    };
    struct cache_stored stored = {.cas = 0};
    enum cache_status status = cache_store(worker, &store, now_s, &stored);
    *number = (struct cache_number){
        .value = arith->initial, .cas = stored.cas, .expiry_s = CACHE_NEVER, .created = true};
    return status;
}

/* An item that was read: its number changed, and stored again. */
static enum cache_status arith_change(struct edit *edit, const void *key,
                                      const struct cache_arith *arith, uint32_t now_s,
                                      struct cache_number *number)
{
    uint8_t *text = edit->worker->edit + edit->item.key_bytes;
    struct shard_put put = {
        .flags = arith->cas_given ? RECORD_CAS : 0,
        .cas_new = arith->cas_new,
        .expiry_s = arith->touch_expiry_s,
        .keep_marks = true,
        .touch = arith->touch,
    };
    uint64_t value = 0;
    if (arith->compare && edit->item.cas != arith->cas)
        return CACHE_EXISTS;
    if (!number_parse(text, edit->item.value_bytes, &value))
        return CACHE_NOT_NUMBER;
    value = number_change(value, arith->increment, arith->delta);
    size_t bytes = number_print(value, text);
    if (bytes < edit->item.value_bytes) {
        memset(text + bytes, ' ', edit->item.value_bytes - bytes);
        bytes = edit->item.value_bytes;
    }
    enum cache_status status = edit_store(edit, key, bytes, &put, now_s);
    *number =
        (struct cache_number){.value = value, .cas = edit->cas, .expiry_s = edit->item.expiry_s};
    /* Another was faster: what was read is not what stands there. */
    return status == CACHE_EXISTS || status == CACHE_NOT_FOUND ? CACHE_NOT_STORED : status;
}

enum cache_status cache_arith(struct cache_worker *worker, const void *key, size_t key_bytes,
                              const struct cache_arith *arith, uint32_t now_s,
                              struct cache_number *number)
{
    /* Counters are counted on. */
    struct edit edit = {.worker = worker, .after_bytes = NUMBER_BYTES_MAX, .level = CODEC_RAW};
    enum cache_status status;
    do {
        status = edit_read(&edit, key, key_bytes, now_s);
        if (status == CACHE_OK)
            status = arith_change(&edit, key, arith, now_s, number);
        else if (status == CACHE_NOT_FOUND && arith->create)
            status = arith_create(worker, key, key_bytes, arith, now_s, number);
    } while (status == CACHE_NOT_STORED);
    edit_done(worker);
    return status;
}

void cache_flush_all(struct cache *cache, uint32_t at_s, uint32_t now_s)
{
    for (unsigned i = 0; i < cache->config.shards; i++)
        shard_flush(cache->shards[i], at_s, now_s);
}

enum cache_status cache_set_memory(struct cache *cache, size_t memory_bytes)
{
    if (memory_bytes > cache->config.reserve_bytes || memory_bytes < MEMORY_BYTES_MIN)
        return CACHE_TOO_LARGE;
    zbud_arena_set_limit(cache->arena, memory_bytes);
    return CACHE_OK;
}

bool cache_is_over(const struct cache *cache)
{
    return cache->config.evict && zbud_arena_excess(cache->arena) > 0;
}

static void arena_figures(const struct cache *cache, struct cache_figures *figures)
{
    struct zbud_arena_figures arena;
    zbud_arena_figures(cache->arena, &arena);
    figures->memory_bytes = arena.limit_bytes;
    figures->charged_bytes = arena.charged_bytes;
    figures->resident_bytes =
        (arena.pages_used + arena.pages_kept) * ZBUD_PAGE_BYTES + arena.table_bytes;
    figures->pages_max = arena.limit_bytes / ZBUD_PAGE_BYTES;
    figures->pages_used = arena.pages_used;
    figures->pages_free = arena.pages_kept;
    figures->starved = arena.starved_times;
}

void cache_figures(struct cache *cache, struct cache_figures *figures)
{
    struct histogram reclaim_ns = {.total = 0};
    *figures = (struct cache_figures){
        .no_memory = atomic_load_explicit(&cache->no_memory, memory_order_relaxed),
    };
    arena_figures(cache, figures);
    figures->recovered = cache->recovered.items;
    figures->recovered_damaged = cache->recovered.damaged_logs + cache->recovered.damaged_records;
    for (unsigned i = 0; i < cache->config.shards; i++)
        shard_figures(cache->shards[i], figures, &reclaim_ns);
    figures->pages_expiry = expiry_table_pages(cache->expiry_table);
    figures->dictionaries = dictionaries_count(cache->dictionaries);
    figures->dictionary_bytes = figures->dictionaries * codec_dictionary_bytes();
    figures->classes_learned = atomic_load_explicit(&cache->learned, memory_order_relaxed);
    figures->index_slots = figures->index_bytes / sizeof(uint64_t);
    figures->reclaim_ns_p50 = histogram_percentile(&reclaim_ns, 50);
    figures->reclaim_ns_p99 = histogram_percentile(&reclaim_ns, 99);
    figures->reclaim_ns_max = reclaim_ns.max;
    for (unsigned i = 0; i < CACHE_TIMES; i++)
        figures->reclaims_below[i] = histogram_below(&reclaim_ns, CACHE_TIMES_POWER + i);
    figures->reclaims = reclaim_ns.total;
    figures->reclaims_ns = reclaim_ns.sum;
}

static_assert(CACHE_DICTIONARIES_MAX == DICTIONARIES_MAX &&
                  CACHE_LABEL_BYTES == DICTIONARY_LABEL_BYTES,
              "what cache.h says of dictionaries is what there is");

unsigned cache_dictionaries(struct cache *cache,
                            struct cache_dictionary dictionaries[CACHE_DICTIONARIES_MAX])
{
    struct shard_dictionary sums[DICTIONARIES_MAX] = {{0}};
    struct current_reader reader;
    unsigned count = 0;
    for (unsigned i = 0; i < cache->config.shards; i++)
        shard_dictionaries(cache->shards[i], sums);
    current_join(&cache->current, &reader);
    const struct classes *classes = current_hold(&cache->current, &reader);
    for (unsigned number = 0; number < DICTIONARIES_MAX; number++) {
        struct cache_dictionary *dictionary = &dictionaries[count];
        *dictionary = (struct cache_dictionary){
            .number = number,
            .current = classes_name(classes, number),
            .items = sums[number].items,
            .raw_bytes = sums[number].raw_bytes,
            .stored_bytes = sums[number].stored_bytes,
        };
        bool alive = dictionaries_describe(cache->dictionaries, number, dictionary->label,
                                           &dictionary->trained_s);
        count += alive || number == 0;
    }
    current_release(&reader);
    current_leave(&cache->current, &reader);
    return count;
}

static char map_cell(const struct zbud_survey *survey)
{
    unsigned buddied = survey->pages_one + survey->pages_two;
    if (survey->pages_free >= buddied && survey->pages_free >= survey->pages_other)
        return '-';
    if (survey->pages_other > buddied)
        return '#';
    unsigned eighth = survey->live_chunks * 8 / (buddied * ZBUD_PAGE_CHUNKS);
    return (char)((survey->pages_one > survey->pages_two ? 'a' : 'A') + eighth);
}

void cache_map(const struct cache *cache, struct cache_map *map)
{
    struct zbud_arena_figures arena;
    struct zbud_survey survey;
    zbud_arena_figures(cache->arena, &arena);
    uint64_t touched = arena.pages_touched, pages = arena.limit_bytes / ZBUD_PAGE_BYTES;
    map->pages = pages > touched ? pages : touched;
    map->cell_pages = (uint32_t)((map->pages + CACHE_MAP_CELLS_MAX - 1) / CACHE_MAP_CELLS_MAX);
    map->count = 0;
    uint32_t step = (map->cell_pages + MAP_LOOKS - 1) / MAP_LOOKS;
    for (uint64_t first = 0; first < map->pages; first += map->cell_pages) {
        uint64_t end = first + map->cell_pages < touched ? first + map->cell_pages : touched;
        char cell = '.';
        if (first < touched) {
            zbud_arena_survey(cache->arena, (uint32_t)first, (uint32_t)end, step, &survey);
            cell = map_cell(&survey);
        }
        map->cells[map->count++] = cell;
    }
}

void cache_figures_reset(struct cache *cache)
{
    atomic_store_explicit(&cache->no_memory, 0, memory_order_relaxed);
    for (unsigned i = 0; i < cache->config.shards; i++)
        shard_figures_reset(cache->shards[i]);
}

void cache_check(struct cache *cache)
{
    for (unsigned i = 0; i < cache->config.shards; i++)
        shard_check(cache->shards[i]);
}
