#include "server/cache/index.h"

#include "server/cache/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define BUCKET_SLOTS         8u
#define BUCKET_BYTES         64u
#define PAGE_BUCKETS         (ZBUD_PAGE_BYTES / BUCKET_BYTES)
#define PAGE_SLOTS           (ZBUD_PAGE_BYTES / sizeof(uint64_t))
#define SEGMENT_SLOTS        (INDEX_SEGMENT_PAGES_MAX * PAGE_SLOTS)
/* Splits of a segment; each takes a bit of the tag's power to tell keys apart: after seven, 1 of
 * 180 look-ups meets a second candidate. Sized as in index_new(), seven are enough for items of 30
 * bytes; the others are for a limit raised later. */
#define SPLITS_MAX           12u
/* A segment to start with for each 16 MiB of memory. Under four pages a segment costs more than 11
 * bytes an item, and with four it has 1,900 items: the fewer segments, the sooner. */
#define SEGMENT_MEMORY_PAGES 4096u
#define ROOT_BITS_MAX        14u
/* An insert finds a place in one or two looks up to here; 7 of 8 pages full. */
#define LOAD_GROW_PCT        92u
/* Where there is no place in a segment that is less full than this, its keys were made to collide:
 * by chance it does not happen, and more pages would not part them. */
#define LOAD_CROWDED_PCT     25u
#define SPLIT_PAGES          9u /* of each half of a split: 16 pages at 92 % are 8.2 at 90 % */
/* Pages a segment is cut down to, so that it does not grow again at once: it takes a page and a
 * half of items more before it does. */
#define LOAD_SHRINK_PCT      85u
/* Two halves of a split with at most so many items are one again: 11 pages for 8.2 of a split. */
#define MERGE_ITEMS          4500u
#define LOAD_MERGE_PCT       80u
#define SPLITS_UNUSED        UINT8_MAX
#define SEGMENT_NONE         UINT32_MAX
#define HANDLE_BITS          ZBUD_HANDLE_BITS
#define NUMBER_BITS          7u
#define FREQUENCY_BITS       2u
#define NUMBER_SHIFT         HANDLE_BITS
#define FREQUENCY_SHIFT      (NUMBER_SHIFT + NUMBER_BITS)
#define TAG_SHIFT            (FREQUENCY_SHIFT + FREQUENCY_BITS)

static_assert(TAG_SHIFT + HASH_TAG_BITS == 64, "a slot is 64 bits");
static_assert(ZBUD_RECORDS_MAX <= 1u << NUMBER_BITS, "a record's number fits its bits");
static_assert(ROOT_BITS_MAX <= HASH_SEGMENT_BITS, "the hash has a bit for each root");
static_assert(ROOT_BITS_MAX <= 16 && SPLITS_MAX <= 16, "a segment's root and suffix fit");
static_assert(SPLITS_MAX + 12 <= HASH_TAG_BITS, "splits leave the tag bits for the buckets");

struct segment {
    uint32_t pages[INDEX_SEGMENT_PAGES_MAX]; /* unused: the first is the next unused one */
    uint32_t items;
    uint8_t pages_count;
    uint8_t splits; /* low bits of the tag that all its slots share */
    uint16_t root;
    uint16_t suffix; /* those bits */
};

struct index {
    struct zbud_arena *arena;
    /* Address space for the most there can be; memory comes as it is used. */
    struct segment *segments;
    uint32_t *directory;
    uint32_t segments_count; /* unused ones, which were merged into others, included */
    uint32_t segments_max;
    uint32_t unused_first;
    uint32_t shrink_next;
    unsigned root_bits; /* of the hash's segment bits */
    unsigned splits;    /* of the segment that was split most */
    size_t items;
    size_t pages;
    size_t lost;
};

/* What a segment's slots are copied to while it is rebuilt; on the stack, 64 KiB, of which a thread
 * has room for one: whoever has it calls nobody who has it too, nor is made part of one. */
#define HAS_SLOTS __attribute__((noinline))
struct slots {
    size_t count;
    uint64_t slots[SEGMENT_SLOTS];
};

static uint32_t slot_tag(uint64_t slot)
{
    return (uint32_t)(slot >> TAG_SHIFT);
}

struct index_place index_slot_place(const uint64_t *slot)
{
    struct index_place place = {
        .log = {(uint32_t)(*slot & ((1ull << HANDLE_BITS) - 1))},
        .number = (unsigned)(*slot >> NUMBER_SHIFT) & ((1u << NUMBER_BITS) - 1),
    };
    return place;
}

static uint64_t place_bits(struct index_place place)
{
    assert(place.log.bits != 0 && place.log.bits >> HANDLE_BITS == 0);
    assert(place.number < ZBUD_RECORDS_MAX);
    return place.log.bits | (uint64_t)place.number << NUMBER_SHIFT;
}

void index_slot_set_place(uint64_t *slot, struct index_place place)
{
    *slot = (*slot & ~((1ull << FREQUENCY_SHIFT) - 1)) | place_bits(place);
}

unsigned index_slot_frequency(const uint64_t *slot)
{
    return (unsigned)(*slot >> FREQUENCY_SHIFT) & INDEX_FREQUENCY_MAX;
}

void index_slot_set_frequency(uint64_t *slot, unsigned frequency)
{
    assert(frequency <= INDEX_FREQUENCY_MAX);
    uint64_t mask = (uint64_t)INDEX_FREQUENCY_MAX << FREQUENCY_SHIFT;
    *slot = (*slot & ~mask) | (uint64_t)frequency << FREQUENCY_SHIFT;
}

/* Bucket number in a segment of that many buckets: the tag read as a fraction of 1. */
static uint32_t first_bucket(uint32_t tag, uint32_t buckets)
{
    return (uint32_t)((uint64_t)tag * buckets >> HASH_TAG_BITS);
}

static uint32_t second_bucket(uint32_t tag, uint32_t buckets)
{
    uint32_t mixed = (tag * 0x9E3779B1u) >> (32u - HASH_TAG_BITS); /* 2^32 / golden ratio */
    uint32_t bucket = first_bucket(mixed, buckets);
    return bucket != first_bucket(tag, buckets) ? bucket : (bucket + 1) % buckets;
}

static uint32_t other_bucket(uint32_t tag, uint32_t buckets, uint32_t bucket)
{
    uint32_t first = first_bucket(tag, buckets);
    return bucket == first ? second_bucket(tag, buckets) : first;
}

static uint64_t *bucket_at(const struct index *index, const struct segment *segment,
                           uint32_t bucket)
{
    uint8_t *page = zbud_arena_page(index->arena, segment->pages[bucket / PAGE_BUCKETS]);
    return (uint64_t *)(void *)(page + bucket % PAGE_BUCKETS * BUCKET_BYTES);
}

static uint32_t buckets_of(const struct segment *segment)
{
    return segment->pages_count * PAGE_BUCKETS;
}

static struct segment *segment_of(const struct index *index, uint64_t hash)
{
    uint32_t root = hash_segment(hash, index->root_bits);
    uint32_t suffix = hash_tag(hash) & ((1u << index->splits) - 1);
    return &index->segments[index->directory[(root << index->splits) | suffix]];
}

static uint64_t *empty_in(uint64_t *bucket)
{
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        if (bucket[i] == 0)
            return &bucket[i];
    }
    return NULL;
}

/* Makes an empty slot in @bucket by moving one of its slots to that one's other bucket, where
 * needed by moving one from there on first. NULL: not within @moves. */
static uint64_t *make_empty(const struct index *index, const struct segment *segment,
                            uint32_t bucket, unsigned moves)
{
    uint64_t *slots = bucket_at(index, segment, bucket);
    uint32_t buckets = buckets_of(segment);
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        uint32_t other = other_bucket(slot_tag(slots[i]), buckets, bucket);
        uint64_t *empty = empty_in(bucket_at(index, segment, other));
        if (empty != NULL) {
            *empty = slots[i];
            slots[i] = 0;
            return &slots[i];
        }
    }
    if (moves <= 1)
        return NULL;
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        uint32_t other = other_bucket(slot_tag(slots[i]), buckets, bucket);
        if (other == bucket)
            continue;
        uint64_t *empty = make_empty(index, segment, other, moves - 1);
        if (empty != NULL) {
            *empty = slots[i];
            slots[i] = 0;
            return &slots[i];
        }
    }
    return NULL;
}

/* Puts a slot into its segment as it is; NULL where no place is within reach: nothing lost. */
static uint64_t *segment_put(const struct index *index, const struct segment *segment,
                             uint64_t slot)
{
    uint32_t buckets = buckets_of(segment);
    uint32_t first = first_bucket(slot_tag(slot), buckets);
    uint32_t second = second_bucket(slot_tag(slot), buckets);
    uint64_t *empty = empty_in(bucket_at(index, segment, first));
    if (empty == NULL)
        empty = empty_in(bucket_at(index, segment, second));
    if (empty == NULL)
        empty = make_empty(index, segment, first, 2);
    if (empty == NULL)
        empty = make_empty(index, segment, second, 2);
    if (empty != NULL)
        *empty = slot;
    return empty;
}

static void segment_gather_more(const struct index *index, const struct segment *segment,
                                struct slots *gathered)
{
    for (unsigned page = 0; page < segment->pages_count; page++) {
        uint64_t *slots = zbud_arena_page(index->arena, segment->pages[page]);
        for (size_t i = 0; i < PAGE_SLOTS; i++) {
            if (slots[i] != 0)
                gathered->slots[gathered->count++] = slots[i];
        }
    }
}

static void segment_gather(const struct index *index, const struct segment *segment,
                           struct slots *gathered)
{
    gathered->count = 0;
    segment_gather_more(index, segment, gathered);
}

/* The segment holds just these slots afterwards; what finds no place is lost and counted. */
static void segment_refill(struct index *index, struct segment *segment, const uint64_t *slots,
                           size_t count)
{
    for (unsigned page = 0; page < segment->pages_count; page++)
        memset(zbud_arena_page(index->arena, segment->pages[page]), 0, ZBUD_PAGE_BYTES);
    index->items -= segment->items;
    segment->items = 0;
    for (size_t i = 0; i < count; i++) {
        if (segment_put(index, segment, slots[i]) != NULL)
            segment->items++;
        else
            index->lost++;
    }
    index->items += segment->items;
}

static bool segment_add_page(struct index *index, struct segment *segment)
{
    if (zbud_arena_take(index->arena, &segment->pages[segment->pages_count]) != ZBUD_OK)
        return false;
    segment->pages_count++;
    index->pages++;
    return true;
}

static void segment_drop_pages(struct index *index, struct segment *segment, unsigned keep)
{
    while (segment->pages_count > keep) {
        segment->pages_count--;
        index->pages--;
        zbud_arena_give(index->arena, segment->pages[segment->pages_count]);
    }
}

/* Every root's entries are doubled; from the last root back, so that it is done in place. */
static void directory_double(struct index *index)
{
    size_t block = (size_t)1 << index->splits;
    for (size_t root = (size_t)1 << index->root_bits; root-- > 0;) {
        uint32_t *from = index->directory + root * block;
        uint32_t *to = index->directory + 2 * root * block;
        memmove(to + block, from, block * sizeof(*from));
        memmove(to, to + block, block * sizeof(*from));
    }
    index->splits++;
}

/* All entries that the segment's root and suffix name are the segment's. */
static void directory_point(struct index *index, const struct segment *segment, uint32_t number)
{
    uint32_t *entries = index->directory + ((size_t)segment->root << index->splits);
    for (size_t i = segment->suffix; i < (size_t)1 << index->splits;
         i += (size_t)1 << segment->splits)
        entries[i] = number;
}

/* Slots whose tag has that bit clear come to the front; returns how many they are. */
static size_t partition(struct slots *gathered, unsigned bit)
{
    size_t low = 0, high = gathered->count;
    while (low < high) {
        uint64_t slot = gathered->slots[low];
        if (slot_tag(slot) >> bit & 1) {
            gathered->slots[low] = gathered->slots[--high];
            gathered->slots[high] = slot;
        } else {
            low++;
        }
    }
    return low;
}

/* A segment that nothing names yet, or SEGMENT_NONE. */
static uint32_t take_segment(struct index *index)
{
    uint32_t number = index->unused_first;
    if (number != SEGMENT_NONE) {
        index->unused_first = index->segments[number].pages[0];
        return number;
    }
    return index->segments_count < index->segments_max ? index->segments_count++ : SEGMENT_NONE;
}

static void give_segment(struct index *index, uint32_t number)
{
    struct segment *segment = &index->segments[number];
    *segment = (struct segment){.splits = SPLITS_UNUSED, .pages = {index->unused_first}};
    index->unused_first = number;
}

static uint32_t number_of(const struct index *index, const struct segment *segment)
{
    return (uint32_t)(segment - index->segments);
}

static HAS_SLOTS bool segment_split(struct index *index, struct segment *segment)
{
    if (segment->splits == SPLITS_MAX)
        return false;
    uint32_t number = take_segment(index);
    if (number == SEGMENT_NONE)
        return false;
    struct segment *fresh = &index->segments[number];
    *fresh = (struct segment){.splits = (uint8_t)(segment->splits + 1),
                              .root = segment->root,
                              .suffix = (uint16_t)(segment->suffix | 1u << segment->splits)};
    while (fresh->pages_count < SPLIT_PAGES) {
        if (!segment_add_page(index, fresh)) {
            segment_drop_pages(index, fresh, 0);
            give_segment(index, number);
            return false;
        }
    }
    struct slots gathered;
    segment_gather(index, segment, &gathered);
    size_t low = partition(&gathered, segment->splits);
    if (segment->splits == index->splits)
        directory_double(index);
    segment->splits++;
    directory_point(index, fresh, number);
    segment_drop_pages(index, segment, SPLIT_PAGES);
    segment_refill(index, segment, gathered.slots, low);
    segment_refill(index, fresh, gathered.slots + low, gathered.count - low);
    return true;
}

static HAS_SLOTS bool segment_widen(struct index *index, struct segment *segment)
{
    struct slots gathered;
    segment_gather(index, segment, &gathered);
    if (!segment_add_page(index, segment))
        return false;
    segment_refill(index, segment, gathered.slots, gathered.count);
    return true;
}

static bool segment_grow(struct index *index, struct segment *segment)
{
    return segment->pages_count < INDEX_SEGMENT_PAGES_MAX ? segment_widen(index, segment)
                                                          : segment_split(index, segment);
}

static unsigned pages_for(size_t items, size_t load_pct)
{
    return (unsigned)((items * 100 / load_pct + PAGE_SLOTS - 1) / PAGE_SLOTS);
}

/* An empty segment has just these many pages, or as many as there are to be had. */
static void segment_size(struct index *index, struct segment *segment, unsigned pages)
{
    segment_drop_pages(index, segment, pages);
    while (segment->pages_count < pages && segment_add_page(index, segment)) {
    }
    segment_refill(index, segment, NULL, 0);
}

void index_expect(struct index *index, size_t items)
{
    uint32_t count = index->segments_count;
    assert(index->items == 0 && index->splits == 0);
    while (pages_for(items / count, LOAD_SHRINK_PCT) > INDEX_SEGMENT_PAGES_MAX) {
        for (uint32_t i = 0; i < count; i++) {
            if (!segment_split(index, &index->segments[i]))
                return;
        }
        count *= 2;
    }
    for (uint32_t i = 0; i < count; i++)
        segment_size(index, &index->segments[i], pages_for(items / count, LOAD_SHRINK_PCT));
}

static void *reserve(size_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return memory != MAP_FAILED ? memory : NULL;
}

static size_t directory_bytes(const struct index *index)
{
    return sizeof(uint32_t) << (index->root_bits + SPLITS_MAX);
}

struct index *index_new(struct zbud_arena *arena, size_t memory_bytes)
{
    struct index *index = calloc(1, sizeof(*index));
    if (index == NULL)
        return NULL;
    index->arena = arena;
    index->unused_first = SEGMENT_NONE;
    size_t roots = memory_bytes / ZBUD_PAGE_BYTES / SEGMENT_MEMORY_PAGES;
    while (index->root_bits < ROOT_BITS_MAX && 2u << index->root_bits <= roots)
        index->root_bits++;
    index->segments_count = 1u << index->root_bits;
    struct zbud_arena_figures figures;
    zbud_arena_figures(arena, &figures);
    /* A split takes at least this many pages more, so there can never be more segments. */
    index->segments_max = index->segments_count + (uint32_t)(figures.pages_max / SPLIT_PAGES);
    index->segments = reserve(index->segments_max * sizeof(struct segment));
    index->directory = reserve(directory_bytes(index));
    if (index->segments == NULL || index->directory == NULL) {
        index_free(index);
        return NULL;
    }
    for (uint32_t root = 0; root < index->segments_count; root++) {
        index->directory[root] = root;
        index->segments[root].root = (uint16_t)root;
    }
    return index;
}

void index_free(struct index *index)
{
    if (index == NULL)
        return;
    if (index->segments != NULL) {
        for (uint32_t i = 0; i < index->segments_count; i++)
            segment_drop_pages(index, &index->segments[i], 0);
        munmap(index->segments, index->segments_max * sizeof(struct segment));
    }
    if (index->directory != NULL)
        munmap(index->directory, directory_bytes(index));
    free(index);
}

static unsigned tag_is(uint64_t slot, uint32_t tag)
{
    return slot_tag(slot) == tag;
}

/* Bit i: slot i has the tag. Written out, as the compiler leaves a loop a loop, and one without a
 * branch for each slot, as which it will be nobody can predict. */
static unsigned tag_matches(const uint64_t *slots, uint32_t tag)
{
    static_assert(BUCKET_SLOTS == 8, "these are all");
    return tag_is(slots[0], tag) | tag_is(slots[1], tag) << 1 | tag_is(slots[2], tag) << 2 |
           tag_is(slots[3], tag) << 3 | tag_is(slots[4], tag) << 4 | tag_is(slots[5], tag) << 5 |
           tag_is(slots[6], tag) << 6 | tag_is(slots[7], tag) << 7;
}

static unsigned candidates_in(uint64_t *bucket, uint32_t tag, uint64_t **slots)
{
    unsigned found = 0;
    for (unsigned left = tag_matches(bucket, tag); left != 0; left &= left - 1) {
        uint64_t *slot = &bucket[__builtin_ctz(left)];
        if (*slot != 0)
            slots[found++] = slot;
    }
    return found;
}

/* A key's two buckets; false where its segment has none yet. */
static bool buckets_for(const struct index *index, uint64_t hash, uint64_t *buckets[2])
{
    const struct segment *segment = segment_of(index, hash);
    if (segment->pages_count == 0)
        return false;
    uint32_t tag = hash_tag(hash), count = buckets_of(segment);
    buckets[0] = bucket_at(index, segment, first_bucket(tag, count));
    buckets[1] = bucket_at(index, segment, second_bucket(tag, count));
    return true;
}

unsigned index_candidates(struct index *index, uint64_t hash, uint64_t *slots[INDEX_CANDIDATES_MAX])
{
    uint64_t *buckets[2];
    if (!buckets_for(index, hash, buckets))
        return 0;
    unsigned found = candidates_in(buckets[0], hash_tag(hash), slots);
    return found + candidates_in(buckets[1], hash_tag(hash), slots + found);
}

void index_fetch(const struct index *index, uint64_t hash)
{
    uint64_t *buckets[2];
    if (!buckets_for(index, hash, buckets))
        return;
    __builtin_prefetch(buckets[0]);
    __builtin_prefetch(buckets[1]);
}

uint64_t *index_find(struct index *index, uint64_t hash, struct index_place place)
{
    uint64_t *slots[INDEX_CANDIDATES_MAX];
    unsigned count = index_candidates(index, hash, slots);
    uint64_t mask = (1ull << FREQUENCY_SHIFT) - 1;
    for (unsigned i = 0; i < count; i++) {
        if ((*slots[i] & mask) == place_bits(place))
            return slots[i];
    }
    return NULL;
}

static bool is_crowded(const struct segment *segment)
{
    return segment->items < segment->pages_count * PAGE_SLOTS * LOAD_CROWDED_PCT / 100;
}

bool index_is_crowded(const struct index *index, uint64_t hash)
{
    return is_crowded(segment_of(index, hash));
}

uint64_t *index_insert(struct index *index, uint64_t hash, struct index_place place)
{
    uint64_t slot = (uint64_t)hash_tag(hash) << TAG_SHIFT | place_bits(place);
    for (;;) {
        /* Looked up anew each time: a split may have made the hash's segment another. */
        struct segment *segment = segment_of(index, hash);
        size_t slots_max = segment->pages_count * PAGE_SLOTS * LOAD_GROW_PCT / 100;
        uint64_t *at = NULL;
        if (segment->items < slots_max)
            at = segment_put(index, segment, slot);
        if (at != NULL) {
            segment->items++;
            index->items++;
            return at;
        }
        if (is_crowded(segment) || !segment_grow(index, segment))
            return NULL;
    }
}

void index_remove(struct index *index, uint64_t hash, uint64_t *slot)
{
    assert(*slot != 0 && slot_tag(*slot) == hash_tag(hash));
    *slot = 0;
    segment_of(index, hash)->items--;
    index->items--;
}

const uint64_t *index_sample(const struct index *index, uint64_t random)
{
    const struct segment *segment =
        &index->segments[(random & UINT32_MAX) * index->segments_count >> 32];
    if (segment->pages_count == 0)
        return NULL;
    uint32_t bucket = (uint32_t)((random >> 32) * buckets_of(segment) >> 32);
    const uint64_t *slots = bucket_at(index, segment, bucket);
    for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
        if (slots[(i + random) % BUCKET_SLOTS] != 0)
            return &slots[(i + random) % BUCKET_SLOTS];
    }
    return NULL;
}

/* ---- the walk ----
 *
 * The line: root, then the tag's bits from the lowest up, as a segment's tags share their low bits.
 * A stretch of 2^width points from a multiple of that on is then all tags with certain low bits.
 */

static uint32_t tag_reversed(uint32_t bits)
{
    uint32_t reversed = 0;
    for (unsigned i = 0; i < HASH_TAG_BITS; i++)
        reversed |= (bits >> i & 1u) << (HASH_TAG_BITS - 1 - i);
    return reversed;
}

/* The longest stretch from @at on that is in the segment and not expected to hold too many. */
static unsigned walk_width(const struct segment *segment, uint32_t at)
{
    unsigned width = HASH_TAG_BITS - segment->splits;
    uint32_t items = segment->items;
    while (width > 0 && items > INDEX_WALK_SLOTS_MAX / 2) {
        items /= 2;
        width--;
    }
    unsigned zeros = at != 0 ? (unsigned)__builtin_ctz(at) : HASH_TAG_BITS;
    return width < zeros ? width : zeros;
}

/* The slots whose tags end in those bits; false where they are more than INDEX_WALK_SLOTS_MAX. */
static bool walk_gather(const struct index *index, const struct segment *segment, uint32_t bits,
                        unsigned bits_count, const uint64_t **slots, unsigned *count)
{
    const uint64_t mask = ((UINT64_C(1) << bits_count) - 1) << TAG_SHIFT;
    const uint64_t wanted = (uint64_t)bits << TAG_SHIFT & mask;
    *count = 0;
    for (unsigned page = 0; page < segment->pages_count; page++) {
        const uint64_t *of_page = zbud_arena_page(index->arena, segment->pages[page]);
        for (size_t i = 0; i < PAGE_SLOTS; i++) {
            if ((of_page[i] & mask) != wanted || of_page[i] == 0)
                continue;
            if (*count == INDEX_WALK_SLOTS_MAX)
                return false;
            slots[(*count)++] = &of_page[i];
        }
    }
    return true;
}

static const struct segment *walk_segment(const struct index *index, uint64_t cursor)
{
    const uint32_t at = (uint32_t)cursor & ((1u << HASH_TAG_BITS) - 1);
    const uint32_t suffix = tag_reversed(at) & ((1u << index->splits) - 1);
    return &index->segments[index->directory[(cursor >> HASH_TAG_BITS) << index->splits | suffix]];
}

uint64_t index_walk_from(const struct index *index, uint64_t random)
{
    const uint64_t cursor = random >> (64 - HASH_TAG_BITS - index->root_bits);
    const unsigned width = walk_width(walk_segment(index, cursor), 0);
    return cursor >> width << width;
}

bool index_walk(const struct index *index, uint64_t *cursor,
                const uint64_t *slots[INDEX_WALK_SLOTS_MAX], unsigned *count)
{
    static_assert(INDEX_WALK_SLOTS_MAX >= INDEX_CANDIDATES_MAX, "a tag's slots are one stretch");
    const uint64_t root = *cursor >> HASH_TAG_BITS;
    const uint32_t at = (uint32_t)*cursor & ((1u << HASH_TAG_BITS) - 1);
    *count = 0;
    if (root >> index->root_bits != 0)
        return false;
    const uint32_t bits = tag_reversed(at);
    const struct segment *segment = walk_segment(index, *cursor);
    unsigned width = walk_width(segment, at);
    while (segment->items > 0 &&
           !walk_gather(index, segment, bits, HASH_TAG_BITS - width, slots, count)) {
        assert(width > 0); /* a tag has at most INDEX_CANDIDATES_MAX slots */
        width--;
    }
    *cursor += UINT64_C(1) << width;
    return true;
}

/* Cuts the segment down to @keep pages, if all its slots find a place there. */
static HAS_SLOTS void segment_cut(struct index *index, struct segment *segment, unsigned keep)
{
    struct slots gathered;
    unsigned pages_count = segment->pages_count;
    size_t lost = index->lost;
    segment_gather(index, segment, &gathered);
    segment->pages_count = (uint8_t)keep;
    segment_refill(index, segment, gathered.slots, gathered.count);
    segment->pages_count = (uint8_t)pages_count;
    if (index->lost == lost) {
        segment_drop_pages(index, segment, keep);
        return;
    }
    index->lost = lost;
    segment_refill(index, segment, gathered.slots, gathered.count);
}

/* The other half of the split that a segment comes from, where it is whole; else NULL. */
static struct segment *sibling_of(const struct index *index, const struct segment *segment)
{
    if (segment->splits == 0)
        return NULL;
    size_t suffix = segment->suffix ^ 1u << (segment->splits - 1);
    size_t entry = (size_t)segment->root << index->splits | suffix;
    struct segment *sibling = &index->segments[index->directory[entry]];
    return sibling->splits == segment->splits ? sibling : NULL;
}

/* Takes back a split. The two segments' pages are enough, so it cannot fail for want of one. */
static HAS_SLOTS bool segment_merge(struct index *index, struct segment *low, struct segment *high)
{
    struct slots gathered;
    size_t items = low->items + high->items;
    unsigned pages = pages_for(items, LOAD_MERGE_PCT);
    if (items > MERGE_ITEMS || pages > (unsigned)low->pages_count + high->pages_count)
        return false;
    segment_gather(index, low, &gathered);
    segment_gather_more(index, high, &gathered);
    while (low->pages_count < pages)
        low->pages[low->pages_count++] = high->pages[--high->pages_count];
    segment_drop_pages(index, low, pages);
    segment_drop_pages(index, high, 0);
    index->items -= high->items;
    low->splits--;
    directory_point(index, low, number_of(index, low));
    give_segment(index, number_of(index, high));
    segment_refill(index, low, gathered.slots, gathered.count);
    return true;
}

bool index_shrink(struct index *index)
{
    struct segment *segment = &index->segments[index->shrink_next];
    index->shrink_next = (index->shrink_next + 1) % index->segments_count;
    if (segment->splits == SPLITS_UNUSED)
        return index->shrink_next == 0;
    struct segment *sibling = sibling_of(index, segment);
    if (sibling != NULL) {
        bool is_low = (segment->suffix >> (segment->splits - 1) & 1) == 0;
        if (segment_merge(index, is_low ? segment : sibling, is_low ? sibling : segment))
            return index->shrink_next == 0;
    }
    unsigned pages = pages_for(segment->items, LOAD_SHRINK_PCT);
    if (pages < segment->pages_count &&
        segment->pages_count * ZBUD_PAGE_BYTES > segment->items * INDEX_ITEM_BYTES_MAX)
        segment_cut(index, segment, pages);
    return index->shrink_next == 0;
}

size_t index_items(const struct index *index)
{
    return index->items;
}

size_t index_pages(const struct index *index)
{
    return index->pages;
}

size_t index_lost(const struct index *index)
{
    return index->lost;
}

/* INDEX-1 and the segment's share of INDEX-2. */
static void segment_check(const struct index *index, const struct segment *segment,
                          index_visit_fn *visit, void *context)
{
    uint32_t items = 0;
    for (uint32_t bucket = 0; bucket < buckets_of(segment); bucket++) {
        uint64_t *slots = bucket_at(index, segment, bucket);
        for (unsigned i = 0; i < BUCKET_SLOTS; i++) {
            if (slots[i] == 0)
                continue;
            uint32_t tag = slot_tag(slots[i]);
            assert(first_bucket(tag, buckets_of(segment)) == bucket ||
                   second_bucket(tag, buckets_of(segment)) == bucket);
            items++;
            visit(context, &slots[i]);
        }
    }
    assert(items == segment->items);
}

void index_check(const struct index *index, index_visit_fn *visit, void *context)
{
    size_t items = 0, pages = 0;
    for (uint32_t i = 0; i < index->segments_count; i++) {
        const struct segment *segment = &index->segments[i];
        if (segment->splits == SPLITS_UNUSED)
            continue;
        assert(segment->splits <= index->splits);
        segment_check(index, segment, visit, context);
        items += segment->items;
        pages += segment->pages_count;
        size_t entries = 0;
        for (size_t e = 0; e < (size_t)1 << index->splits; e++) {
            bool is_its = (e & ((1u << segment->splits) - 1)) == segment->suffix;
            assert((index->directory[((size_t)segment->root << index->splits) + e] == i) == is_its);
            entries += is_its;
        }
        assert(entries == (size_t)1 << (index->splits - segment->splits));
    }
    assert(items == index->items && pages == index->pages);
}
