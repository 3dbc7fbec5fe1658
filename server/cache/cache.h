/*
 * cache.h - the compressed cache: what others include of the engine.
 *
 *   key --XXH3-64--> shard --> index --> slot {page, buddy, record} --> zbud log --> LZ4 --> value
 *
 * Items are kept as records, key and value compressed together as one LZ4 block, in the logs of
 * zbud pages. N shards, each with a lock, an index and a zbud pool, share one arena and its limit.
 *
 * Words: an *entry* is key and value in one piece, key first. Times are whole seconds of the
 * cache's clock, which the caller reads and passes as now_s; an item's expiry_s is a point on that
 * clock, CACHE_NEVER for none. An item is gone from the second expiry_s on.
 *
 * Threads: every call may be made from any thread, with a struct cache_worker of its own. Calls
 * that have no worker take the locks they need. No lock is held when a call returns.
 */
#ifndef SERVER_CACHE_CACHE_H
#define SERVER_CACHE_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CACHE_KEY_BYTES_MAX    250u
#define CACHE_ITEM_BYTES_MAX   (128u << 20)
#define CACHE_NEVER            UINT32_MAX
/* An entry of more than this may be stored in parts of this size. */
#define CACHE_PART_BYTES       (64u << 10)
#define CACHE_SHARDS_MAX       64u
/* What the index can name pages of: 512 GiB, but for 2 MiB. */
#define CACHE_MEMORY_BYTES_MAX (((size_t)1 << 39) - ((size_t)2 << 20))

struct cache;
struct cache_worker; /* one thread's scratch memory */
struct cache_keeper; /* that of the thread that looks after the cache */

enum cache_status {
    CACHE_OK = 0,
    CACHE_NOT_FOUND,
    CACHE_EXISTS,     /* cas: somebody stored since */
    CACHE_NOT_STORED, /* add, replace, append, prepend: condition does not hold, or too large */
    CACHE_TOO_LARGE,
    CACHE_NO_MEMORY,
    CACHE_NOT_NUMBER, /* incr, decr of a value that is none */
    CACHE_NO_ROOM,    /* get: the place function returned NULL */
    CACHE_MORE,       /* a store in parts is not done */
};

/* An item that was evicted. */
struct cache_evicted {
    const uint8_t *key;
    size_t key_bytes;
    size_t value_bytes;
    uint32_t expiry_s;
    uint32_t age_s; /* since it was stored: README.md says how coarse */
    bool fetched;   /* since it was written or last rescued */
};

/* Who is told of evictions. Called under a shard's lock, by whatever thread makes room: it may look
 * and copy, no more. evicted is called only where wants_evicted says so, as a key may have to be
 * decompressed for it. */
struct cache_observer {
    bool (*wants_evicted)(void *context);
    void (*evicted)(void *context, const struct cache_evicted *item, uint32_t now_s);
    void *context;
};

/* Who is told what people should know of a memory file. */
#define CACHE_TOLD_BYTES 320u
struct cache_teller {
    void (*tell)(void *context, const char *text); /* NULL: nobody */
    void *context;
};

struct cache_config {
    /* -m: everything the process holds; the caller charges what is not the cache's. */
    size_t memory_bytes;
    /* The most memory_bytes can be raised to later, at most CACHE_MEMORY_BYTES_MAX. Address space,
     * and nothing else. */
    size_t reserve_bytes;
    size_t item_bytes_max; /* -I: key, value and 59 bytes around them, as memcached counts them */
    unsigned shards;       /* a power of two, at most CACHE_SHARDS_MAX */
    bool evict;            /* false: -M */
    bool compress;
    bool defer;  /* leave the first compression to cache_compress() where there is room to wait */
    bool settle; /* compress again in the background what is some seconds old */
    struct cache_observer observer; /* zeroed: nobody */
    /* NULL, or a file for what is stored, to be found there again by the next cache_new(). Of a
     * file that is there already reserve_bytes, shards and seed are taken, not from here. */
    const char *memory_file;
    struct cache_teller teller;
    unsigned threads; /* that may take over what is in the file; 0 is 1 */
    uint64_t seed;    /* of the hash; from the system's randomness */
    uint32_t now_s;
};

struct cache_item {
    size_t key_bytes;
    size_t value_bytes;
    uint32_t flags;
    uint32_t expiry_s;
    uint64_t cas;    /* 0 only where a client asked for that */
    uint64_t unique; /* of this store alone, whatever cas a client chose; never 0 */
};

/** cache_new() - NULL where memory_bytes is too small to start with or the system gives none, or
 * the memory file cannot be had; the teller was told why then. */
struct cache *cache_new(const struct cache_config *config);
/** cache_free() - what is in a memory file stays there. */
void cache_free(struct cache *cache);
struct cache_worker *cache_worker_new(struct cache *cache);
void cache_worker_free(struct cache_worker *worker);
/** cache_keeper_new() - a cache has one keeper at a time. NULL where there is no memory. */
struct cache_keeper *cache_keeper_new(struct cache *cache);
void cache_keeper_free(struct cache_keeper *keeper);

/**
 * cache_place_fn - says where a found item goes.
 *
 * Called when an item's size is known and before it is decompressed, perhaps more than once a get:
 * it must only compute. Returns the address of the value's first byte: item->key_bytes writable
 * bytes before it are scratch for the key, item->value_bytes after it take the value. NULL: no
 * room.
 */
typedef uint8_t *cache_place_fn(void *context, const struct cache_item *item);

/**
 * cache_get() - find an item and decompress it to where @place says.
 * @touch_expiry_s: NULL, or the new expiry (gat).
 * @item:           set on CACHE_OK; on CACHE_NO_ROOM too.
 *
 * Errors: CACHE_NOT_FOUND; CACHE_NO_ROOM (nothing touched); CACHE_NO_MEMORY (only with touch).
 */
enum cache_status cache_get(struct cache_worker *worker, const void *key, size_t key_bytes,
                            const uint32_t *touch_expiry_s, uint32_t now_s, cache_place_fn *place,
                            void *context, struct cache_item *item)
    __attribute__((warn_unused_result));

/* What a look at an item may do beside. */
struct cache_look {
    bool read;            /* the value is wanted, where @place says */
    bool skip_same;       /* but not where the item's cas is skip_cas */
    bool unseen;          /* it does not count as a hit */
    bool touch;           /* the expiry becomes touch_expiry_s */
    bool create;          /* where there is no item, make an empty one */
    bool recache;         /* the first to look when it expires before recache_s wins: */
    bool recache_touched; /* by its new expiry, not the one before the touch */
    bool cas_given;       /* a created item's cas is this one */
    uint32_t touch_expiry_s;
    uint32_t create_expiry_s;
    uint32_t recache_s;
    uint64_t skip_cas;
    uint64_t cas;
};

/* An item as it was found; one just created as it is, without an expiry. */
struct cache_view {
    struct cache_item item; /* its expiry before the touch */
    bool created;
    bool read; /* the value was, and is where @place said; a created item has none to place */
    bool stale;
    bool given; /* somebody had won before */
    bool won;   /* this look has won: the item was created, is stale, or to be cached anew */
    /* Hit before, as far as is known: since the key came, and no more often than it was rescued
     * since. */
    bool fetched;
    uint32_t age_s;      /* since it was stored: README.md says how coarse */
    size_t stored_bytes; /* what it takes, less its slot */
};

/**
 * cache_look() - as cache_get(), and what meta commands can ask for: to see without a trace, to
 * create what is not there, to be told who is to make an item anew. That is decided under the
 * shard's lock, so one of any number of lookers wins.
 * @place: called with the view's item where look->read asks for the value; all of the view is set.
 *
 * Errors: CACHE_NOT_FOUND, CACHE_NO_ROOM (nothing touched), CACHE_NO_MEMORY (nothing touched).
 */
enum cache_status cache_look(struct cache_worker *worker, const void *key, size_t key_bytes,
                             const struct cache_look *look, uint32_t now_s, cache_place_fn *place,
                             void *context, struct cache_view *view)
    __attribute__((warn_unused_result));

/* What stands for a key, alive or not. */
enum cache_standing {
    CACHE_ABSENT,
    CACHE_ALIVE,
    CACHE_FLUSHED,
    CACHE_EXPIRED
};
/**
 * cache_inspect() - what a request for the key would meet; leaves no trace.
 * @item: set unless CACHE_ABSENT is returned.
 */
enum cache_standing cache_inspect(struct cache_worker *worker, const void *key, size_t key_bytes,
                                  uint32_t now_s, struct cache_item *item);

/* A key among those of a batch. */
struct cache_key {
    const void *key;
    size_t key_bytes;
};
#define CACHE_EXPECT_MAX 32u
/**
 * cache_expect() - say which keys will be asked for next, so that their memory is fetched for all
 * of them at once instead of for one after the other.
 * @count: at most CACHE_EXPECT_MAX.
 *
 * Changes nothing that is stored; none of them need be there, or be asked for.
 */
void cache_expect(struct cache_worker *worker, const struct cache_key *keys, unsigned count);

enum cache_mode {
    CACHE_SET,
    CACHE_ADD,
    CACHE_REPLACE,
    CACHE_APPEND,
    CACHE_PREPEND,
    CACHE_CAS,
    /* As CACHE_CAS; but where the cas that must stand is less than the one that does, it is stored
     * as a stale item: with the old one's expiry, and whoever has won has won. */
    CACHE_CAS_OR_STALE
};

struct cache_store {
    const uint8_t *entry; /* key and value in one piece */
    size_t key_bytes;
    size_t value_bytes;
    enum cache_mode mode;
    uint32_t flags;
    uint32_t expiry_s;
    uint64_t cas;   /* CACHE_CAS, CACHE_CAS_OR_STALE: the one that must stand; append, prepend: */
    bool compare;   /* whether it must */
    bool create;    /* append, prepend: where there is no item, it is stored as it is */
    bool cas_given; /* the new item's cas is this one */
    uint64_t cas_new;
    /* NULL: stored in one go. Else who stores, told by that address: an entry of more than
     * CACHE_PART_BYTES is stored in parts. */
    const void *owner;
};

struct cache_stored {
    uint64_t cas;
    size_t value_bytes; /* after an append all of it */
};

/**
 * cache_store() - set, add, replace, append, prepend, cas.
 * @stored: NULL, or set on CACHE_OK.
 *
 * Errors: CACHE_NOT_STORED, CACHE_EXISTS, CACHE_NOT_FOUND (cas), CACHE_TOO_LARGE and
 * CACHE_NO_MEMORY: nothing stored; a CACHE_SET that fails removes the old item, as memcached does,
 * the others keep it.
 *
 * In parts: CACHE_MORE until it is done, after each block compressed or copied (some 150 us; and
 * the eviction of its 16 pages at most). The same is called again then, with whatever came of the
 * entry's address and with the time of that moment; other calls may come between. Nobody can see
 * any of it before, but its pages are taken. Append and prepend are never stored so. A worker has
 * one such store at a time: of others' it does nothing and answers CACHE_MORE. So an owner goes on
 * with his, or forgets it, and does not wait for anything else meanwhile.
 */
enum cache_status cache_store(struct cache_worker *worker, const struct cache_store *store,
                              uint32_t now_s, struct cache_stored *stored)
    __attribute__((warn_unused_result));
/** cache_store_forget() - a store that answered CACHE_MORE does not go on: its pages are free. Any
 * other owner is fine. */
void cache_store_forget(struct cache_worker *worker, const void *owner);

enum cache_status cache_delete(struct cache_worker *worker, const void *key, size_t key_bytes,
                               uint32_t now_s) __attribute__((warn_unused_result));

/* What may become of an item instead of its removal. */
struct cache_change {
    bool compare;    /* its cas must be @cas */
    bool empty;      /* an empty value takes its place, with flags 0, its cas, and no expiry */
    bool invalidate; /* it stays, stale and with a new cas; the next to look wins */
    bool touch;      /* with one of the two: it expires at expiry_s */
    bool cas_given;  /* with one of the two: its cas becomes cas_new */
    uint32_t expiry_s;
    uint64_t cas;
    uint64_t cas_new;
};

/**
 * cache_change() - delete an item, or what is left of it.
 *
 * Errors: CACHE_NOT_FOUND, CACHE_EXISTS (another cas stands), CACHE_NO_MEMORY.
 */
enum cache_status cache_change(struct cache_worker *worker, const void *key, size_t key_bytes,
                               const struct cache_change *change, uint32_t now_s)
    __attribute__((warn_unused_result));
enum cache_status cache_touch(struct cache_worker *worker, const void *key, size_t key_bytes,
                              uint32_t expiry_s, uint32_t now_s)
    __attribute__((warn_unused_result));

struct cache_arith {
    bool increment;
    bool compare;   /* the item's cas must be @cas */
    bool touch;     /* it expires at touch_expiry_s then */
    bool create;    /* where there is no item, @initial is stored as one */
    bool cas_given; /* the new item's cas is cas_new */
    uint32_t touch_expiry_s;
    uint32_t create_expiry_s;
    uint64_t delta;
    uint64_t initial;
    uint64_t cas;
    uint64_t cas_new;
};

struct cache_number {
    uint64_t value;
    uint64_t cas;
    uint32_t expiry_s; /* before the touch; of a created item CACHE_NEVER */
    bool created;
};

/**
 * cache_arith() - incr, decr.
 * @number: set on CACHE_OK.
 *
 * Wraps at 2^64 upwards, stops at 0 downwards; a shorter number is padded with spaces to the old
 * length, as memcached does.
 * Errors: CACHE_NOT_FOUND, CACHE_EXISTS (another cas stands), CACHE_NOT_NUMBER, CACHE_NO_MEMORY.
 */
enum cache_status cache_arith(struct cache_worker *worker, const void *key, size_t key_bytes,
                              const struct cache_arith *arith, uint32_t now_s,
                              struct cache_number *number) __attribute__((warn_unused_result));

/**
 * cache_flush_all() - everything stored before @at_s is gone from then on.
 * @at_s: at most now_s: at once, and an item stored after this call is not touched by it. Later:
 *        one flush may be pending, the last one asked for counts.
 */
void cache_flush_all(struct cache *cache, uint32_t at_s, uint32_t now_s);

/** cache_charge() - count @bytes of the caller's memory against the limit; evicts to make room. */
enum cache_status cache_charge(struct cache *cache, size_t bytes)
    __attribute__((warn_unused_result));
void cache_uncharge(struct cache *cache, size_t bytes);
/**
 * cache_set_memory() - a new limit, in force at once for all that is taken from now on.
 *
 * What is over it goes in the steps of cache_maintain(); without eviction only what is free does,
 * and nothing is stored until enough was deleted.
 * Errors: CACHE_TOO_LARGE - above reserve_bytes, or below the least a cache can have.
 */
enum cache_status cache_set_memory(struct cache *cache, size_t memory_bytes)
    __attribute__((warn_unused_result));
/** cache_is_over() - there is more than the limit allows, and cache_maintain() can change that. */
bool cache_is_over(const struct cache *cache);

/**
 * cache_maintain() - one bounded step of background work: expired and flushed records, squeezing,
 * pages over the limit, an index that is larger than needed; training dictionaries from what is
 * stored, and compressing again, at the high level, what has settled.
 *
 * Meant for a thread of its own that calls it again soon while it returns true, and after a pause
 * where it returns false (a whole round found nothing more to do).
 */
bool cache_maintain(struct cache_keeper *keeper, uint32_t now_s);
/** cache_maintain_briefly() - the same without what may as well be done later: squeezing and
 * settling. */
bool cache_maintain_briefly(struct cache_keeper *keeper, uint32_t now_s);

/**
 * cache_compress() - one bounded step of compressing what stores have left uncompressed,
 * where config->defer is set.
 *
 * It is work that stores were spared, done in batches, where it takes less time; so it is apart
 * from cache_maintain(), whose share of the machine is bounded. What waits is bounded too: a log
 * for each 128 pages of the limit and each 16 that are free, 2,048 in a shard, and large items up
 * to 1/32 of the limit. Beyond, stores compress by themselves. So it may be called late, or never.
 *
 * Returns whether nothing waited, all that did is compressed, or there may be more.
 */
enum cache_compress {
    CACHE_COMPRESS_NONE,
    CACHE_COMPRESS_ALL,
    CACHE_COMPRESS_MORE
};
enum cache_compress cache_compress(struct cache_keeper *keeper, uint32_t now_s);

/** cache_lacks_dictionary() - items are stored at a loss until the first is learned. */
bool cache_lacks_dictionary(const struct cache *cache);
/**
 * cache_prepare_memory() - let the system find 2 MiB that will be needed next: .2 to 5 ms, which a
 * request would wait for otherwise.
 *
 * For the same thread, and as bounded. False: enough is ready, or the limit is near.
 */
bool cache_prepare_memory(struct cache *cache);

#define CACHE_WALK_ITEMS_MAX 128u
struct cache_walk_item {
    const uint8_t *key; /* in the struct cache_walk */
    size_t key_bytes;
    size_t value_bytes;
    uint64_t cas;
    uint32_t flags;
    uint32_t expiry_s;
    bool fetched;   /* hit before; forgotten when it was rescued as often as it was hit */
    uint32_t age_s; /* since it was stored: to the second for 10 s, then to a sixth, never more */
    size_t stored_bytes; /* what it takes, less its slot */
};

/* A walk over all items, and those of its last step. Its memory, 40 KiB, is the caller's; all zero
 * to begin with. Where it stops nothing need be done. */
struct cache_walk {
    unsigned shard;
    uint64_t cursor;
    unsigned count;
    struct cache_walk_item items[CACHE_WALK_ITEMS_MAX];
    size_t keys_bytes;
    uint8_t keys[CACHE_WALK_ITEMS_MAX * CACHE_KEY_BYTES_MAX];
};

/**
 * cache_walk() - the next items, copied out: a step of some 40 items and 12 us, under one shard's
 * lock. May find none.
 *
 * The cache may change between two steps in every way. A key that is there from the walk's
 * beginning to its end is met exactly once, with an item that it had meanwhile, however often it
 * is replaced and moved; any other once at most. Any number of walks may be under way, and none
 * counts as a hit or disturbs the background's work.
 *
 * Returns false, and no items, at the end.
 */
bool cache_walk(struct cache *cache, struct cache_walk *walk, uint32_t now_s)
    __attribute__((warn_unused_result));

#define CACHE_TIMES       17u
#define CACHE_TIMES_POWER 8u
struct cache_figures {
    uint64_t memory_bytes, charged_bytes, resident_bytes;
    uint64_t pages_max, pages_used, pages_free, pages_buddied, pages_unbuddied, pages_large,
        pages_index, pages_expiry;
    uint64_t chunks_used, slack_bytes, live_bytes, dead_bytes;
    uint64_t items, items_total;      /* now, ever stored */
    uint64_t items_expiring;          /* of those now, with an expiry */
    uint64_t raw_bytes, stored_bytes; /* of live items: keys and values; what their records take */
    uint64_t index_bytes, index_slots;
    uint64_t pages_reclaimed, evicted, evicted_unfetched, rescued, expired, expired_unfetched,
        flushed;
    uint64_t missed_expired, missed_flushed; /* of expired, flushed: those that a request met */
    uint64_t settled;                        /* items compressed again in the background */
    uint64_t deferred; /* items stored uncompressed, for the background to compress */
    uint64_t dictionaries, classes_learned, dictionary_bytes;
    uint64_t recovered, recovered_damaged; /* items found in a memory file; logs and records not
                                              taken over, or found later not to be readable */
    uint64_t starved;                      /* times that the memory file's file system was full */
    uint64_t squeezed, pages_merged;
    uint64_t reclaim_ns_p50, reclaim_ns_p99, reclaim_ns_max;
    /* Of all reclaims, how many took less than 2^(CACHE_TIMES_POWER + i) ns; what they took. */
    uint64_t reclaims_below[CACHE_TIMES], reclaims, reclaims_ns;
    uint64_t crawler_checked, crawler_reclaimed;
    uint64_t no_memory; /* stores that were refused for want of it */
};
/** cache_figures() - summed over the shards, each read under its lock. */
void cache_figures(struct cache *cache, struct cache_figures *figures);
#define CACHE_DICTIONARIES_MAX 64u
#define CACHE_LABEL_BYTES      32u
struct cache_dictionary {
    unsigned number;               /* 0: what is compressed without one */
    char label[CACHE_LABEL_BYTES]; /* how the keys begin it was trained for; * for all */
    bool current;                  /* new items are compressed with it */
    uint32_t trained_s;
    uint64_t items, raw_bytes, stored_bytes;
};
/** cache_dictionaries() - those that are alive, to @dictionaries; how many. */
unsigned cache_dictionaries(struct cache *cache,
                            struct cache_dictionary dictionaries[CACHE_DICTIONARIES_MAX]);

#define CACHE_SAVINGS_MAX      32u
#define CACHE_PREFIX_BYTES_MAX 32u
/* What the items take whose keys begin alike. */
struct cache_saving {
    uint8_t prefix[CACHE_PREFIX_BYTES_MAX]; /* ends with a delimiter */
    size_t prefix_bytes;                    /* 0: all keys of no other in the list */
    uint64_t items, raw_bytes, stored_bytes;
    uint64_t error_bytes; /* of raw less stored bytes, for 95 of 100; 0: every item was counted */
};
/**
 * cache_savings() - by key prefix, what is saved most first, all others last; how many.
 *
 * The keeper has estimated them some seconds ago, from a sample; their sums are the cache's. A
 * prefix is found from the keys: one that most keys go on behind with the same few words is parted
 * by those, and what is left to it is what no longer one in the list has. savings.h.
 */
unsigned cache_savings(struct cache *cache, struct cache_saving list[CACHE_SAVINGS_MAX]);

#define CACHE_MAP_CELLS_MAX 4096u
struct cache_map {
    uint64_t pages;      /* of the whole map: those within the limit, or that were ever used */
    uint32_t cell_pages; /* of a cell; of the last one perhaps fewer */
    unsigned count;      /* of cells */
    /* What most pages of a cell are: '.' were never used, '-' free, '#' index or large values,
     * 'a' to 'h' with one buddy, 'A' to 'H' with two; the letter says which eighth of their chunks
     * is live. No NUL behind. */
    char cells[CACHE_MAP_CELLS_MAX];
};
/** cache_map() - a picture of the pages, in their order in memory. No lock is held that a request
 * waits for: it is not of one moment. At most a million pages are looked at, evenly. */
void cache_map(const struct cache *cache, struct cache_map *map);

/** cache_figures_reset() - sets the counters back to 0, not the gauges. */
void cache_figures_reset(struct cache *cache);

/**
 * cache_check() - every invariant of index, records, pools and counters, or abort. Stops each
 * shard in turn for as long as it takes: for tests and for an operator who asks.
 */
void cache_check(struct cache *cache);

#endif
