/*
 * hash.h - the hash of a key, and which of its bits decide what.
 *
 *    63      58 57      51 50                         27 26                        0
 *   +----------+----------+-----------------------------+--------------------------+
 *   | shard    | unused   | segment of the index        | tag in the slot          |
 *   +----------+----------+-----------------------------+--------------------------+
 *
 * The parts do not overlap, so that items of one shard spread evenly over its segments, and those
 * of one segment over its buckets. The seed is secret and new in every process: nobody who does not
 * know it can make keys that collide.
 *
 * Threads: pure functions.
 * Source: XXH3 64 bits, xxHash 0.8.
 */
#ifndef SERVER_CACHE_HASH_H
#define SERVER_CACHE_HASH_H

#include <stddef.h>
#include <stdint.h>

#define HASH_TAG_BITS     27u
#define HASH_SEGMENT_BITS 24u
#define HASH_SHARD_BITS   6u

uint64_t hash_key(const void *key, size_t key_bytes, uint64_t seed);
/** hash_bytes() - without a seed, which is quicker where there are many: for checksums. */
uint64_t hash_bytes(const void *bytes, size_t count);

static inline unsigned hash_shard(uint64_t hash, unsigned shards)
{
    return (unsigned)(hash >> (64u - HASH_SHARD_BITS)) & (shards - 1u);
}

/** hash_segment() - the top @depth of the segment bits. */
static inline uint32_t hash_segment(uint64_t hash, unsigned depth)
{
    uint32_t bits = (uint32_t)(hash >> HASH_TAG_BITS) & ((1u << HASH_SEGMENT_BITS) - 1u);
    return bits >> (HASH_SEGMENT_BITS - depth);
}

static inline uint32_t hash_tag(uint64_t hash)
{
    return (uint32_t)hash & ((1u << HASH_TAG_BITS) - 1u);
}

#endif
