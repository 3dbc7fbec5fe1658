/*
 * shard_inside.h - a shard's members and the steps its files share.
 *
 * shard.c has the calls of a request, shard_meta.c those that only meta commands make,
 * shard_evict.c reclaim and what to do about dead bytes, shard_expire.c the crawler, shard_fresh.c
 * what is to be compressed, shard_check.c figures and checks. Everything here is under the shard's
 * lock.
 */
#ifndef SERVER_CACHE_SHARD_INSIDE_H
#define SERVER_CACHE_SHARD_INSIDE_H

#include "server/cache/ages.h"
#include "server/cache/dictionary.h"
#include "server/cache/expiry.h"
#include "server/cache/index.h"
#include "server/cache/large.h"
#include "server/cache/record.h"
#include "server/cache/seal.h"
#include "server/cache/shard.h"
#include "server/cache/shard_kind.h"
#include "zbud/lock.h"
#include "zbud/log.h"

#include <assert.h>
#include <stdatomic.h>
#include <string.h>

#define SHARD_FRESH_MAX 2048u

struct shard_counters {
    uint64_t stored;
    uint64_t evicted;
    uint64_t evicted_unfetched;
    uint64_t rescued;
    uint64_t settled;
    uint64_t deferred;
    uint64_t expired;
    uint64_t expired_unfetched;
    uint64_t missed_expired; /* of these, and of flushed, met by a request */
    uint64_t missed_flushed;
    uint64_t flushed;
    uint64_t reclaimed; /* pages */
    uint64_t merged;    /* pages */
    uint64_t damaged;   /* records of a file that could not be read */
    uint64_t crawler_checked;
    uint64_t crawler_reclaimed;
    uint64_t pool_squeezed_start; /* the pool's own count at the last reset */
};

struct shard {
    struct zbud_lock lock;
    struct zbud_arena *arena;
    struct dictionaries *dictionaries;
    struct zbud_pool *pool;
    struct index *index;
    struct expiry_wheel *wheel;
    struct cache_observer observer;
    unsigned id;
    unsigned shard_bits;
    uint64_t seed;
    uint64_t sequence;
    uint64_t sequence_reserved; /* none above may be given before the file says so */
    struct seals seals;         /* all zero without a file */
    struct memory_file *file;   /* NULL: none */
    uint64_t flush_sequence;    /* items up to here are flushed */
    uint32_t flush_at_s;        /* a flush to come; 0 for none */
    unsigned sweeps_due;        /* rounds of the crawler until flushed items are surely gone */
    _Atomic uint64_t oldest;    /* written under the lock, read without */
    struct shard_dictionary dictionary_sums[DICTIONARIES_MAX]; /* by number, 0 for none */
    uint64_t large_pages;
    uint64_t expiring; /* live items with an expiry */
    /* What was stored up to old_sequence has had SETTLE_AGE_S to be overwritten. */
    uint64_t old_sequence;
    uint64_t mark_sequence; /* becomes the old one SETTLE_AGE_S after mark_s */
    uint32_t mark_s;
    struct ages ages; /* when what was stored */
    /* What the last full round of settling started from: nothing is due while both still hold. */
    uint64_t settled_sequence;
    unsigned settled_generation; /* of struct gathered */
    uint64_t round_sequence;
    unsigned round_generation;
    bool round_incomplete; /* something had to be left for the next */
    /* Logs of KIND_FRESH that wait to be compressed, the oldest first. */
    _Atomic unsigned fresh_count; /* written under the lock, read without */
    unsigned fresh_start;
    struct zbud_handle fresh[SHARD_FRESH_MAX];
    _Atomic size_t fresh_large_pages; /* of large records of that kind; likewise */
    /* The same of improving, which only a round does in which nothing else was ever due. */
    unsigned improved_generation;
    unsigned round_improve_generation;
    bool round_improves;
    struct shard_counters counters;
    struct histogram reclaim_ns;
};

/* A record, its slot and its bytes. Bytes and record.payload go stale with the next append. */
struct shard_found {
    uint64_t *slot;
    struct index_place place;
    struct record record;
    unsigned kind; /* of its log */
    const struct codec_dictionary *dictionary;
    uint8_t *bytes;
    size_t bytes_count;
};

/** shard_record() - decode the record at @place; false where its number is dead. */
bool shard_record(struct shard *shard, struct index_place place, struct shard_found *found)
    ZB_REQUIRES(shard->lock);
/** shard_log_base() - the sequence of a log's first record. */
uint64_t shard_log_base(const struct shard *shard, struct zbud_handle log);
/** shard_log_kind() - what all of a log's records have in common (shard_kind.h). */
unsigned shard_log_kind(const struct shard *shard, struct zbud_handle log);
void shard_log_set_kind(struct shard *shard, struct zbud_handle log, unsigned kind);
/** shard_slot_of() - a record's slot by way of its key, and its hash; NULL where it has none. */
uint64_t *shard_slot_of(struct shard *shard, const struct shard_found *found, uint64_t *hash)
    ZB_REQUIRES(shard->lock);
/** shard_append() - write a record into an open log of @kind; false where no page is free. */
bool shard_append(struct shard *shard, unsigned kind, struct record *record,
                  struct index_place *place) ZB_REQUIRES(shard->lock);
/** shard_append_put() - the same for a record that was prepared outside; flags and expiry are
 * those of @extras, or of @put where that is NULL, and @kind is not that of @put. */
bool shard_append_put(struct shard *shard, const struct shard_put *put, unsigned kind,
                      uint64_t sequence, const struct record *extras, struct index_place *place)
    ZB_REQUIRES(shard->lock);
/** shard_undo() - take back a record that was just appended and has no slot; its chain stays. */
void shard_undo(struct shard *shard, struct index_place place) ZB_REQUIRES(shard->lock);
/** shard_free_log() - a log without live records. */
void shard_free_log(struct shard *shard, struct zbud_handle log) ZB_REQUIRES(shard->lock);
/** shard_unique() - of a store: unique over the shards, and never 0. */
static inline uint64_t shard_unique(const struct shard *shard, uint64_t sequence)
{
    return sequence << shard->shard_bits | shard->id;
}

/** shard_cas() - an item's, as clients see it. */
static inline uint64_t shard_cas(const struct shard *shard, const struct record *record)
{
    return record->flags & RECORD_CAS ? record->cas : shard_unique(shard, record->sequence);
}

static inline void shard_item(const struct shard *shard, const struct record *record,
                              struct cache_item *item)
{
    item->key_bytes = record->key_bytes;
    item->value_bytes = record->value_bytes;
    item->flags = (uint32_t)record->flags;
    item->expiry_s = record->expiry_s;
    item->unique = shard_unique(shard, record->sequence);
    item->cas = record->flags & RECORD_CAS ? record->cas : item->unique;
}

/** shard_taken_bytes() - what a record takes, less its slot. */
static inline size_t shard_taken_bytes(const struct shard_found *found)
{
    bool large = found->record.tag & RECORD_TAG_LARGE;
    return found->bytes_count + ZBUD_RECORD_ENTRY_BYTES +
           (large ? large_pages(&found->record) * ZBUD_PAGE_BYTES : 0);
}

/** shard_bump() - one hit more. */
static inline void shard_bump(uint64_t *slot)
{
    unsigned frequency = index_slot_frequency(slot);
    if (frequency < INDEX_FREQUENCY_MAX)
        index_slot_set_frequency(slot, frequency + 1);
}

/** shard_find_any() - the key's record, alive or not. */
bool shard_find_any(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                    struct shard_found *found) ZB_REQUIRES(shard->lock);
/** shard_count_record() - what a record adds to the sums of SHARD-2, or takes from them. */
void shard_count_record(struct shard *shard, unsigned kind, const struct record *record,
                        size_t record_bytes, bool added);
/** shard_end_log() - before a log goes that has a word: right after, another shard may have its
 * page, and a log of that handle. */
void shard_end_log(struct shard *shard, struct zbud_handle log) ZB_REQUIRES(shard->lock);
/** shard_persist() - what the file has to know: sequences and flushes. Nothing without one. */
void shard_persist(struct shard *shard) ZB_REQUIRES(shard->lock);
/** shard_find() - the key's record; one that is expired or flushed is cleared away. */
bool shard_find(struct shard *shard, uint64_t hash, const void *key, size_t key_bytes,
                uint32_t now_s, struct shard_found *found) ZB_REQUIRES(shard->lock);
/** shard_read_entry() - a record's key and value to @out; false where its bytes are damaged. */
bool shard_read_entry(const struct shard *shard, const struct shard_found *found,
                      struct codec *codec, uint8_t *out) ZB_REQUIRES(shard->lock);
/** shard_drop_damaged() - a record with a slot that cannot be read: it was in a file, and its seal
 * was forged. Other slots stay where they are. */
void shard_drop_damaged(struct shard *shard, const struct shard_found *found)
    ZB_REQUIRES(shard->lock);
/**
 * shard_read_candidate() - whether a candidate is the key's: its entry is then at its place, key in
 * front. A compressed one is decompressed only once, key and value together.
 *
 * Errors: CACHE_NOT_FOUND - it is another's; CACHE_NO_ROOM.
 */
static inline enum cache_status shard_read_candidate(
    struct shard *shard, const struct shard_found *found, const void *key, struct codec *codec,
    cache_place_fn *place, void *context, struct cache_item *item) ZB_REQUIRES(shard->lock)
{
    const struct record *record = &found->record;
    bool key_stands = (record->tag & RECORD_TAG_LARGE) || !(record->tag & RECORD_TAG_COMPRESSED);
    if (key_stands && memcmp(record->payload, key, record->key_bytes) != 0)
        return CACHE_NOT_FOUND;
    shard_item(shard, record, item);
    uint8_t *value = place(context, item);
    if (value == NULL)
        return CACHE_NO_ROOM;
    uint8_t *entry = value - record->key_bytes;
    if (!shard_read_entry(shard, found, codec, entry)) {
        shard_drop_damaged(shard, found);
        return CACHE_NOT_FOUND;
    }
    return memcmp(entry, key, record->key_bytes) == 0 ? CACHE_OK : CACHE_NOT_FOUND;
}

/**
 * shard_revise() - write @changed, of the same entry, to a log of @kind; its slot follows, the old
 * one dies, and its log is squeezed if that is due.
 *
 * False where no page is free: nothing has changed.
 */
bool shard_revise(struct shard *shard, struct shard_found *found, unsigned kind,
                  const struct record *changed) ZB_REQUIRES(shard->lock);
/** shard_set_expiry() - false where that takes a page and none is free: nothing has changed. */
bool shard_set_expiry(struct shard *shard, struct shard_found *found, uint32_t expiry_s,
                      uint32_t now_s) ZB_REQUIRES(shard->lock);
/** shard_move() - the same with a record as it is, and nothing squeezed. */
bool shard_move(struct shard *shard, struct shard_found *found, unsigned kind)
    ZB_REQUIRES(shard->lock);
/** shard_kill() - a record that has no slot any more, or a new place; true where its log went. */
bool shard_kill(struct shard *shard, struct index_place place, const struct record *record)
    ZB_REQUIRES(shard->lock);
/** shard_remove() - slot and record; true where its log went. */
bool shard_remove(struct shard *shard, uint64_t hash, const struct shard_found *found)
    ZB_REQUIRES(shard->lock);
/** shard_remove_and_tidy() - by a request: as shard_remove(), and what is due where it was. */
void shard_remove_and_tidy(struct shard *shard, uint64_t hash, const struct shard_found *found,
                           uint32_t now_s) ZB_REQUIRES(shard->lock);
/** shard_squeeze_due() - squeeze a log in which enough bytes are dead. */
void shard_squeeze_due(struct shard *shard, struct zbud_handle log) ZB_REQUIRES(shard->lock);
/** shard_tidy() - after a record was killed: empty its page if that has become sparse (true), else
 * squeeze its log if that is due. The log may be gone then, and every place stale. */
bool shard_tidy(struct shard *shard, struct zbud_handle log, uint32_t now_s)
    ZB_REQUIRES(shard->lock);

/** shard_tidy_in_passing() - the same by a request: no page is emptied while there is room. */
void shard_tidy_in_passing(struct shard *shard, struct zbud_handle log, uint32_t now_s)
    ZB_REQUIRES(shard->lock);

/** shard_fresh_at() - the log that has waited longest is number 0; the queue goes round. */
static inline struct zbud_handle *shard_fresh_at(struct shard *shard, unsigned number)
    ZB_REQUIRES(shard->lock)
{
    return &shard->fresh[(shard->fresh_start + number) % SHARD_FRESH_MAX];
}
/** shard_fresh_add() - a log of KIND_FRESH was begun. */
void shard_fresh_add(struct shard *shard, struct zbud_handle log) ZB_REQUIRES(shard->lock);
/** shard_fresh_remove() - it goes, or is being compressed. */
void shard_fresh_remove(struct shard *shard, struct zbud_handle log) ZB_REQUIRES(shard->lock);
/** shard_find_gathered() - a gathered item's record; false where it is no longer what was gathered,
 * and its log perhaps gone. */
bool shard_find_gathered(struct shard *shard, const struct gathered_item *item,
                         struct shard_found *found) ZB_REQUIRES(shard->lock);
/** shard_replace() - shard_settle(), uncounted. */
bool shard_replace(struct shard *shard, const struct gathered_item *item,
                   const struct shard_put *put, unsigned kind) ZB_REQUIRES(shard->lock);

/** shard_alive() - SHARD-4. */
bool shard_alive(const struct shard *shard, const struct record *record, uint32_t now_s);
/** shard_count_gone() - count an item that is not alive as expired or flushed. */
void shard_count_gone(struct shard *shard, const struct shard_found *found, uint32_t now_s);
/** shard_count_missed() - the same, of one that a request has met. */
void shard_count_missed(struct shard *shard, const struct shard_found *found, uint32_t now_s);
/** shard_catch_up() - carry out a flush whose time has come. */
void shard_catch_up(struct shard *shard, uint32_t now_s) ZB_REQUIRES(shard->lock);
void shard_note_oldest(struct shard *shard) ZB_REQUIRES(shard->lock);

#endif
