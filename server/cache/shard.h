/*
 * shard.h - one slice of the cache: a lock, an index, a zbud pool, and the rules between them.
 *
 *   hash --> index --> slot {log, number} --> zbud log --> record --> item
 *              ^                                  |
 *              '------- key of the record --------'   (eviction goes this way)
 *
 * A shard is single-threaded code behind one lock. Every call takes the lock, does a bounded piece
 * of work and gives it back; what takes long (compression, filling the pages of a large value) is
 * done before, without it.
 *
 * Invariants:
 *   SHARD-1  every live record of the pool has exactly one slot, every slot a live record (less the
 *            records whose slot index_lost() counts).
 *   SHARD-2  raw_bytes, stored_bytes, large pages and the count of expiring items are the sums
 \*            over the live records.
 *   SHARD-3  sequences grow: a record stored later has a higher one; none is above the shard's.
 *   SHARD-4  an item is alive iff its expiry is in the future and its sequence above the flush's.
 *
 *   FRESH-1  the queue of fresh logs names live logs of KIND_FRESH, each once.
 *
 * EXPIRY-1 and EXPIRY-2 (expiry.h) hold for its logs.
 *
 * Locks: the shard's lock is taken alone; inside it the expiry table's and the arena's leaf lock.
 */
#ifndef SERVER_CACHE_SHARD_H
#define SERVER_CACHE_SHARD_H

#include "server/cache/cache.h"
#include "server/cache/classes.h"
#include "server/cache/codec.h"
#include "server/cache/dictionary.h"
#include "server/cache/expiry.h"
#include "server/cache/histogram.h"
#include "server/cache/index.h"
#include "server/cache/record.h"
#include "server/cache/seal.h"
#include "zbud/arena.h"

struct shard;

/* A record to be written, ready but for its sequence and its place. */
struct shard_put {
    const uint8_t *key;
    size_t key_bytes;
    size_t value_bytes;
    enum cache_mode mode;
    uint64_t flags; /* with RECORD_CAS where a client chose the new item's cas */
    uint32_t expiry_s;
    uint64_t cas;     /* CACHE_CAS, CACHE_CAS_OR_STALE */
    uint64_t cas_new; /* with RECORD_CAS */
    /* An item that was read and changed: mode is CACHE_CAS, and @cas the unique that must stand;
     * flags and expiry stay those of the item that is replaced. */
    bool keep_extras;
    bool keep_marks; /* with keep_extras: stale stays stale, won stays won */
    bool touch;      /* with keep_extras: the expiry is expiry_s all the same */
    unsigned kind;   /* dictionary's number, KIND_SETTLED, KIND_FRESH; the shard adds the expiry */
    unsigned tag;
    const uint8_t *payload; /* of a large record: the tail */
    size_t payload_bytes;
    uint32_t first_page; /* large; the shard owns the chain once the put is CACHE_OK */
    uint32_t stream_bytes;
};

#define GATHERED_ITEMS_MAX ZBUD_RECORDS_MAX
#define GATHERED_BYTES     (128u << 10)

struct gathered_item {
    uint64_t hash;
    struct index_place place;
    uint64_t sequence;
    size_t key_bytes;
    size_t value_bytes;
    size_t entry_at;     /* in bytes */
    size_t stored_bytes; /* what payload or stream take now */
    unsigned kind;
    unsigned tag;
    bool copied; /* false: larger than a block, it can only be moved as it is */
};

/* What is to become of a dictionary's settled logs when nothing else is due: whether the classes of
 * today serve their items better is tried with one in SETTLE_TRY_PART of them. */
enum improve {
    IMPROVE_TRY,
    IMPROVE_ALL,
    IMPROVE_NONE
};

/* The items of one log, copied out to be compressed again without the lock. */
struct gathered {
    bool was_open; /* a fresh log, until it was gathered: it would have taken more */
    const struct classes *classes; /* that they are to be settled by */
    /* Settled logs of this dictionary are settled again, so that nothing names it; and those
     * without one, where there are classes now. 0: none. */
    unsigned leaving;
    unsigned generation; /* changes with what is due: everything is to be looked at again */
    /* By dictionary: whether settling has brought nothing for it lately. Of such logs only one in
     * GAINLESS_TRY_PART is tried, the others are taken for settled as they are. */
    bool gainless[DICTIONARIES_MAX];
    enum improve improve[DICTIONARIES_MAX];
    unsigned improve_generation; /* changes with what is to be improved */
    unsigned count;
    size_t bytes_used;
    struct gathered_item items[GATHERED_ITEMS_MAX];
    struct codec *codec;
    uint8_t bytes[GATHERED_BYTES];
};

/** shard_new() - shard @id of config->shards. NULL where there is no memory. */
struct shard *shard_new(struct zbud_arena *arena, struct dictionaries *dictionaries,
                        struct expiry_table *expiry_table, const struct cache_config *config,
                        unsigned id);
void shard_free(struct shard *shard);

struct memory_file;
/**
 * shard_keep() - the shard's pages lie in @file from now on; before anything is stored.
 * @found: the file has this shard's records, for shard_recover_page().
 *
 * Returns false where what must be known of them is not to be had: they are not to be recovered.
 */
bool shard_keep(struct shard *shard, struct memory_file *file, const struct seals *seals,
                bool found, uint32_t now_s);
/* What became of what lay in a file. */
struct shard_recovered {
    uint64_t items;
    uint64_t gone;     /* expired or flushed */
    uint64_t replaced; /* found twice: the process ended while it moved or replaced them */
    uint64_t damaged_logs;
    uint64_t damaged_records;
    uint64_t refused; /* records without room */
};
/** shard_recover_begin() - some @records are to come; what they need of the index is made. */
void shard_recover_begin(struct shard *shard, size_t records);
/**
 * shard_recover_page() - take over a page of zbud_arena_recover() and its records.
 * @age:     as zbud_pool_adopt() wants it.
 * @claimed: a bit for each page of the arena: those of large values get theirs set.
 * @pages:   how many there are.
 *
 * Each log is taken as it is or not at all, by its seal. False: the page is still the caller's.
 */
bool shard_recover_page(struct shard *shard, uint32_t page, uint64_t age, uint32_t now_s,
                        _Atomic uint64_t *claimed, uint32_t pages,
                        struct shard_recovered *recovered) __attribute__((warn_unused_result));
/** shard_recovered() - all pages are; the shard goes on from there. */
void shard_recovered(struct shard *shard, uint32_t now_s);

/* As the cache.h calls of the same names. CACHE_NO_MEMORY: no page was free; evict, try again. */
enum cache_status shard_get(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                            const uint32_t *touch_expiry_s, uint32_t now_s, struct codec *codec,
                            cache_place_fn *place, void *context, struct cache_item *item)
    __attribute__((warn_unused_result));
/** shard_look() - CACHE_NOT_STORED: to be created, but its key collides with too many. */
enum cache_status shard_look(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                             const struct cache_look *look, uint32_t now_s, struct codec *codec,
                             cache_place_fn *place, void *context, struct cache_view *view)
    __attribute__((warn_unused_result));
/** shard_store() - CACHE_NO_ROOM: the key collides with as many as the index can tell apart. */
enum cache_status shard_store(struct shard *shard, uint64_t hash, const struct shard_put *put,
                              uint32_t now_s, uint64_t *cas) __attribute__((warn_unused_result));
enum cache_status shard_change(struct shard *shard, uint64_t hash, const void *key,
                               size_t key_bytes, const struct cache_change *change, uint32_t now_s)
    __attribute__((warn_unused_result));
enum cache_status shard_delete(struct shard *shard, uint64_t hash, const void *key,
                               size_t key_bytes, uint32_t now_s);
enum cache_status shard_touch(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                              uint32_t expiry_s, uint32_t now_s)
    __attribute__((warn_unused_result));
enum cache_standing shard_inspect(struct shard *shard, uint64_t hash, const void *key,
                                  size_t key_bytes, uint32_t now_s, struct cache_item *item);
/** shard_expect() - ask for the memory that look-ups of these keys will read; at most
 * CACHE_EXPECT_MAX. */
void shard_expect(struct shard *shard, const uint64_t *hashes, unsigned count);
void shard_flush(struct shard *shard, uint32_t at_s, uint32_t now_s);

/**
 * shard_reclaim() - empty the least recently used page: drop what was not hit, rescue what was.
 *
 * Returns false where the shard holds no page.
 */
bool shard_reclaim(struct shard *shard, uint32_t now_s);
/** shard_shrink_index() - look at one more segment of the index for pages it can do without. */
void shard_shrink_index(struct shard *shard);
/** shard_oldest() - zbud_pool_oldest() as it was at the last reclaim or first store; no lock. */
uint64_t shard_oldest(const struct shard *shard);

/**
 * shard_expire() - look at some of the logs in which something has expired by now_s.
 *
 * Returns true where there may be more of them.
 */
bool shard_expire(struct shard *shard, uint32_t now_s);
/**
 * shard_crawl() - look at a few pages for flushed items and dead bytes while there may be any, and
 * at a segment of the index for pages it can do without.
 * @gathered: emptied, and filled with the items of the first log that is due to be settled, if one
 \*            is met; NULL where nothing is to be settled.
 *
 * Returns true when nothing is left to look at, or the round has come to its end.
 */
bool shard_crawl(struct shard *shard, uint32_t now_s, struct gathered *gathered);

/**
 * shard_settle() - put a gathered item's new record in place of its old one.
 * @put:  as for shard_store(); of its extras and mode nothing is used. NULL: the record moves as
 *        it is.
 * @kind: of the log it goes to, but for the expiry's class, which stays.
 *
 * Returns false where the item is no longer what was gathered, or no page is free: nothing has
 * changed.
 */
bool shard_settle(struct shard *shard, const struct gathered_item *item,
                  const struct shard_put *put, unsigned kind) __attribute__((warn_unused_result));

/** shard_fresh_room() - whether an entry may be left for the keeper to compress; no lock. */
bool shard_fresh_room(const struct shard *shard, size_t entry_bytes);
/**
 * shard_fresh_gather() - take the log that has waited longest out of the queue, and its items.
 *
 * Returns false where the queue is empty. @gathered may be empty all the same.
 */
bool shard_fresh_gather(struct shard *shard, struct gathered *gathered);

/** shard_fresh_block() - copy a block (large.h) of a gathered item that is large; how many bytes, 0
 * where it is no longer what was gathered. */
size_t shard_fresh_block(struct shard *shard, const struct gathered_item *item, size_t number,
                         uint8_t *out);
/** shard_fresh_put_large() - as shard_settle(). */
bool shard_fresh_put_large(struct shard *shard, const struct gathered_item *item,
                           const struct shard_put *put) __attribute__((warn_unused_result));
/** shard_fresh_put() - put new records of the gathered items that are not large in place of their
 * old ones, as shard_settle() does; @puts is as long as @gathered. */
void shard_fresh_put(struct shard *shard, const struct gathered *gathered,
                     const struct shard_put *puts);
/**
 * shard_fresh_keep() - take the log that was gathered for one whose records have been compressed.
 * @kind: the dictionary's number; none of the log's records needs it.
 */
void shard_fresh_keep(struct shard *shard, const struct gathered *gathered, unsigned kind);

/**
 * shard_sample() - one item drawn at random, its first bytes to @out.
 * @gathered:  its bytes are scratch.
 * @key_bytes: set to its key's length.
 *
 * Returns how many bytes, at most @out_bytes; 0 where the draw met no item, or one larger than a
 * block.
 */
size_t shard_sample(struct shard *shard, uint64_t random, struct gathered *gathered, uint8_t *out,
                    size_t out_bytes, size_t *key_bytes);
/** shard_walk() - as cache_walk(), of this shard alone. */
bool shard_walk(struct shard *shard, uint32_t now_s, struct cache_walk *walk);
/** shard_walk_from() - a walk's cursor for a step at a place drawn at random. */
uint64_t shard_walk_from(struct shard *shard, uint64_t random);
/** shard_stored() - items ever stored; of them live, and their raw bytes. */
uint64_t shard_stored(struct shard *shard, uint64_t *items, uint64_t *raw_bytes);

/* What a shard's records with one dictionary come to. */
struct shard_dictionary {
    uint64_t items;
    uint64_t raw_bytes;
    uint64_t stored_bytes;
};
/** shard_dictionaries() - add this shard's to @sums, by number. */
void shard_dictionaries(struct shard *shard, struct shard_dictionary sums[DICTIONARIES_MAX]);

/** shard_figures() - add this shard's to @figures, and its reclaim times to @reclaim_ns. */
void shard_figures(struct shard *shard, struct cache_figures *figures,
                   struct histogram *reclaim_ns);
void shard_figures_reset(struct shard *shard);
/** shard_check() - SHARD-1 to SHARD-4, and the index's and the pool's, or abort. */
void shard_check(struct shard *shard);

#endif
