/*
 * index.h - from a key's hash to where its record lies.
 *
 *   hash: segment bits --> directory --> segment --> pages of 64 buckets, a bucket is a cache line
 *
 *   bucket (64 bytes): 8 slots of 64 bits
 *     63           37 36       35 34         28 27                       0
 *   +----------------+-----------+-------------+--------------------------+
 *   | tag of the hash| frequency | record nr.  | handle: page and buddy   |
 *   +----------------+-----------+-------------+--------------------------+
 *
 * A slot can stand in two buckets of its segment, both found from its tag alone, and moves between
 * them when one is full (cuckoo hashing), so buckets fill to over 90 %. As the tag also says where
 * a slot stands, a segment grows by one page at a time, rehashing only its own slots without
 * looking at a single key; at INDEX_SEGMENT_PAGES_MAX pages it splits in two by the next low bit
 * of the tag (extendible hashing). Every step is bounded by the size of a segment, and the table
 * is never more than a page a segment larger than it must be: 9 to 10 bytes an item. Where there
 * are fewer items again, a segment loses pages, and the two halves of a split become one.
 *
 * Words: the *frequency* of an item counts its hits since it was written, less its rescues; it is
 * 3 at most.
 *
 * Invariants:
 *   INDEX-1  a slot stands in one of the two buckets its tag names, in the segment its hash names.
 *   INDEX-2  a segment's items = its slots that are not empty; the index's = the segments' sum.
 *   INDEX-3  a directory that was doubled D times has 2^(D-d) entries for a segment split d times:
 *            those of its root that end in the d bits its tags share.
 *
 * Threads: none of its own; the shard's lock.
 * Sources: Pagh and Rodler, Cuckoo hashing (2004); Fan et al., MemC3 (2013) for the second bucket
 * from the tag; Fagin et al., Extendible hashing (1979).
 */
#ifndef SERVER_CACHE_INDEX_H
#define SERVER_CACHE_INDEX_H

#include "zbud/log.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INDEX_FREQUENCY_MAX     3u
#define INDEX_SEGMENT_PAGES_MAX 16u
#define INDEX_CANDIDATES_MAX    16u /* slots in a key's two buckets */
#define INDEX_ITEM_BYTES_MAX    11u /* from some 1,900 items a segment on; see README.md */

struct index;

/* Where a record lies. */
struct index_place {
    struct zbud_handle log;
    unsigned number;
};

/**
 * index_new() - an empty index that takes its pages from @arena.
 * @memory_bytes: the shard's share of the memory limit; decides how many segments there are.
 *
 * Returns NULL where there is no memory.
 */
struct index *index_new(struct zbud_arena *arena, size_t memory_bytes);
void index_free(struct index *index);
/**
 * index_expect() - have the pages for so many items beforehand, instead of rebuilding a segment for
 * each page of them. Of an index that never held any; with fewer pages to be had it will grow.
 */
void index_expect(struct index *index, size_t items);

/**
 * index_candidates() - the slots whose tag is that of @hash.
 * @slots: set to their addresses; good until the next insert or shrink.
 *
 * Returns how many: nearly always none or the one that is looked for, but only the key decides.
 */
unsigned index_candidates(struct index *index, uint64_t hash,
                          uint64_t *slots[INDEX_CANDIDATES_MAX]);
/** index_fetch() - ask for what index_candidates() reads, without waiting for it: a hint only. */
void index_fetch(const struct index *index, uint64_t hash);
/** index_find() - the slot of this very record, or NULL. */
uint64_t *index_find(struct index *index, uint64_t hash, struct index_place place);

/**
 * index_insert() - one more slot, its frequency 0.
 *
 * Returns the slot's address, or NULL where the index had to grow and the arena gave no page, or
 * where growing would not help, as both buckets are full and the segment is three quarters empty
 * (keys that were made to collide): nothing has changed.
 */
uint64_t *index_insert(struct index *index, uint64_t hash, struct index_place place);
/** index_is_crowded() - after an insert that failed: it was for want of a place, not of memory. */
bool index_is_crowded(const struct index *index, uint64_t hash);
void index_remove(struct index *index, uint64_t hash, uint64_t *slot);

/** index_sample() - a slot near a place drawn at random; NULL where there is none near it. */
const uint64_t *index_sample(const struct index *index, uint64_t random);

#define INDEX_WALK_SLOTS_MAX 128u
/**
 * index_walk() - the slots of the next stretch of the hash's space, some INDEX_WALK_SLOTS_MAX / 2.
 * @cursor: 0 to begin with; moved past the stretch.
 * @slots:  set to their addresses; good until the next insert or shrink.
 * @count:  set to how many there are, 0 too.
 *
 * The cursor is a point on a line on which each hash has its place, whatever segments there are
 * and wherever in them its slot stands. So slots may come, go and be moved between two steps, and
 * segments grow, split and merge: a slot that stays is met exactly once. Nothing is kept of a walk
 * but the cursor. O(a segment's slots), which are only compared.
 *
 * Returns false, and no slots, at the line's end.
 */
bool index_walk(const struct index *index, uint64_t *cursor,
                const uint64_t *slots[INDEX_WALK_SLOTS_MAX], unsigned *count);
/** index_walk_from() - a cursor for one stretch, at a place drawn at random. */
uint64_t index_walk_from(const struct index *index, uint64_t random);

struct index_place index_slot_place(const uint64_t *slot);
void index_slot_set_place(uint64_t *slot, struct index_place place);
unsigned index_slot_frequency(const uint64_t *slot);
void index_slot_set_frequency(uint64_t *slot, unsigned frequency);

/**
 * index_shrink() - look at one more segment and give back pages it can do without: where it takes
 * more than INDEX_ITEM_BYTES_MAX an item, or it and the other half of its split fit one segment.
 *
 * Returns true when it has come round to the first segment again.
 */
bool index_shrink(struct index *index);

size_t index_items(const struct index *index);
size_t index_pages(const struct index *index);
/** index_lost() - slots that found no bucket while a segment was rebuilt, ever: with room to spare
 * in 16 buckets of two choices this has not been seen; their records go with their page. */
size_t index_lost(const struct index *index);

/** index_visit_fn - @slot of a check; the full hash is not known, its tag and segment bits are. */
typedef void index_visit_fn(void *context, const uint64_t *slot);
/** index_check() - INDEX-1 to INDEX-3, or abort; @visit is called for each slot. */
void index_check(const struct index *index, index_visit_fn *visit, void *context);

#endif
