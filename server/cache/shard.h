/*
 * shard.h - one slice of the cache: a lock, an index, a zbud pool, and the rules between them.
 *
 *   hash --> index --> slot {log, number} --> zbud log --> record --> item
 *              ^                                  |
 *              '------- key of the record --------'   (eviction goes this way)
 *
 * A shard is single-threaded code behind one lock. Every call takes the lock, does a bounded piece of
 * work and gives it back; what takes long (compression, filling the pages of a large value) is done
 * before, without it.
 *
 * Invariants:
 *   SHARD-1  every live record of the pool has exactly one slot, every slot a live record (less the
 *            records whose slot index_lost() counts).
 *   SHARD-2  raw_bytes, stored_bytes, large pages and the count of expiring items are the sums over the
 *            live records.
 *   SHARD-3  sequences grow: a record stored later has a higher one; none is above the shard's.
 *   SHARD-4  an item is alive iff its expiry is in the future and its sequence above the flush's.
 *
 * Locks: the shard's lock is taken alone; inside it only the arena's leaf lock.
 */
#ifndef SERVER_CACHE_SHARD_H
#define SERVER_CACHE_SHARD_H

#include "server/cache/cache.h"
#include "server/cache/codec.h"
#include "server/cache/histogram.h"
#include "zbud/arena.h"

struct shard;

/* A record to be written, ready but for its sequence and its place. */
struct shard_put {
    const uint8_t *key;
    size_t key_bytes;
    size_t value_bytes;
    enum cache_mode mode;
    uint32_t flags;
    uint32_t expiry_s;
    uint64_t cas;     /* CACHE_CAS */
    bool keep_extras; /* flags and expiry stay those of the item that is replaced */
    unsigned tag;
    const uint8_t *payload; /* of a large record: the tail */
    size_t payload_bytes;
    uint32_t first_page; /* large; the shard owns the chain once the put is CACHE_OK */
    uint32_t stream_bytes;
};

/** shard_new() - shard @id of config->shards. NULL where there is no memory. */
struct shard *shard_new(struct zbud_arena *arena, const struct cache_config *config, unsigned id);
void shard_free(struct shard *shard);

/* As the cache.h calls of the same names. CACHE_NO_MEMORY: no page was free; evict and try again. */
enum cache_status shard_get(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                            const uint32_t *touch_expiry_s, uint32_t now_s, struct codec *codec,
                            cache_place_fn *place, void *context, struct cache_item *item)
    __attribute__((warn_unused_result));
enum cache_status shard_store(struct shard *shard, uint64_t hash, const struct shard_put *put,
                              uint32_t now_s, uint64_t *cas) __attribute__((warn_unused_result));
enum cache_status shard_delete(struct shard *shard, uint64_t hash, const void *key,
                               size_t key_bytes, uint32_t now_s);
enum cache_status shard_touch(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                              uint32_t expiry_s, uint32_t now_s)
    __attribute__((warn_unused_result));
void shard_flush(struct shard *shard, uint32_t at_s, uint32_t now_s);

/**
 * shard_reclaim() - empty the least recently used page: drop what was not hit, rescue what was.
 *
 * Returns false where the shard holds no page.
 */
bool shard_reclaim(struct shard *shard, uint32_t now_s);
/** shard_oldest() - zbud_pool_oldest() as it was at the last reclaim or first store; no lock. */
uint64_t shard_oldest(const struct shard *shard);

/**
 * shard_crawl() - look at a few pages for expired and flushed items and for dead bytes, and at a
 * segment of the index for pages it can do without.
 *
 * Returns true when nothing is left to look at, or the round has come to its end.
 */
bool shard_crawl(struct shard *shard, uint32_t now_s);

/** shard_figures() - add this shard's to @figures, and its reclaim times to @reclaim_ns. */
void shard_figures(struct shard *shard, struct cache_figures *figures,
                   struct histogram *reclaim_ns);
void shard_figures_reset(struct shard *shard);
/** shard_check() - SHARD-1 to SHARD-4, and the index's and the pool's, or abort. */
void shard_check(struct shard *shard);

#endif
