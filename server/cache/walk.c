/* The walk over all items, a stretch of a shard's index at a time (index_walk()). */
#include "server/cache/ages.h"
#include "server/cache/cache_inside.h"
#include "server/cache/shard_inside.h"

#include <assert.h>
#include <string.h>

static_assert(CACHE_WALK_ITEMS_MAX == INDEX_WALK_SLOTS_MAX, "a stretch's slots are a step's items");

/* Asks for the memory that copying the items will read, for all of them at once. */
static void fetch(struct shard *shard, const uint64_t *const *slots, unsigned count)
    ZB_REQUIRES(shard->lock)
{
    for (unsigned i = 0; i < count; i++)
        zbud_log_fetch(shard->pool, index_slot_place(slots[i]).log);
    for (unsigned i = 0; i < count; i++) {
        const struct index_place place = index_slot_place(slots[i]);
        zbud_log_fetch_record(shard->pool, place.log, place.number);
    }
}

static void copy_item(struct shard *shard, const uint64_t *slot, uint32_t now_s,
                      struct cache_walk *walk) ZB_REQUIRES(shard->lock)
{
    struct shard_found found;
    uint8_t scratch[CACHE_KEY_BYTES_MAX];
    struct cache_item item;
    bool live = shard_record(shard, index_slot_place(slot), &found);
    assert(live);
    if (!live || !shard_alive(shard, &found.record, now_s))
        return;
    const uint8_t *key = record_key(&found.record, found.dictionary, scratch);
    assert(key != NULL);
    if (key == NULL)
        return;
    shard_item(shard, &found.record, &item);
    uint8_t *copy = walk->keys + walk->keys_bytes;
    memcpy(copy, key, item.key_bytes);
    walk->keys_bytes += item.key_bytes;
    walk->items[walk->count++] = (struct cache_walk_item){
        .key = copy,
        .key_bytes = item.key_bytes,
        .value_bytes = item.value_bytes,
        .cas = item.cas,
        .flags = item.flags,
        .expiry_s = item.expiry_s,
        .fetched = index_slot_frequency(slot) > 0,
        .age_s = ages_of(&shard->ages, found.record.sequence, now_s),
        .stored_bytes = shard_taken_bytes(&found),
    };
}

bool shard_walk(struct shard *shard, uint32_t now_s, struct cache_walk *walk)
{
    const uint64_t *slots[INDEX_WALK_SLOTS_MAX];
    unsigned count;
    lock_take(&shard->lock);
    shard_catch_up(shard, now_s);
    bool going = index_walk(shard->index, &walk->cursor, slots, &count);
    fetch(shard, slots, count);
    for (unsigned i = 0; i < count; i++)
        copy_item(shard, slots[i], now_s, walk);
    lock_give(&shard->lock);
    return going;
}

uint64_t shard_walk_from(struct shard *shard, uint64_t random)
{
    lock_take(&shard->lock);
    uint64_t cursor = index_walk_from(shard->index, random);
    lock_give(&shard->lock);
    return cursor;
}

bool cache_walk(struct cache *cache, struct cache_walk *walk, uint32_t now_s)
{
    walk->count = 0;
    walk->keys_bytes = 0;
    while (walk->shard < cache->config.shards) {
        if (shard_walk(cache->shards[walk->shard], now_s, walk))
            return true;
        walk->shard++;
        walk->cursor = 0;
    }
    return false;
}
