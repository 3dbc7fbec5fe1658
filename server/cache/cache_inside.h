/*
 * cache_inside.h - a cache's members, and the steps that cache.c and keeper.c share.
 *
 * Threads: config, arena and shards are set once; what changes is atomic or has a lock of its own.
 */
#ifndef SERVER_CACHE_CACHE_INSIDE_H
#define SERVER_CACHE_CACHE_INSIDE_H

#include "server/cache/cache.h"
#include "server/cache/current.h"
#include "server/cache/dictionary.h"
#include "server/cache/expiry.h"
#include "server/cache/memory_file.h"
#include "server/cache/savings.h"
#include "server/cache/seal.h"
#include "server/cache/shard.h"
#include "zbud/arena.h"

#include <stdatomic.h>

struct cache {
    struct cache_config config;
    struct zbud_arena *arena;
    struct memory_file *file; /* NULL: none */
    struct seals seals;
    struct dictionaries *dictionaries;
    struct current current; /* what new records are compressed by */
    struct expiry_table *expiry_table;
    struct shard *shards[CACHE_SHARDS_MAX];
    /* As the last maintenance saw it, for evictions nobody gave a time for. */
    _Atomic uint32_t now_s;
    _Atomic uint64_t no_memory;
    _Atomic uint64_t learned;
    struct savings savings;
    struct shard_recovered recovered; /* from the file, by cache_new() */
};

/** cache_make_room() - make @pages free beyond the reserve, evicting where that is allowed. */
bool cache_make_room(struct cache *cache, size_t pages, uint32_t now_s);
/** cache_reclaim_oldest() - a page of the shard whose oldest is the oldest; false where none has
 * any. */
bool cache_reclaim_oldest(struct cache *cache, uint32_t now_s);

/** cache_recover() - take over what the file holds; before anything else is done with the cache.
 * False where there is no memory for that. */
bool cache_recover(struct cache *cache);

#endif
