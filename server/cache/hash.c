#include "server/cache/hash.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

uint64_t hash_key(const void *key, size_t key_bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(key, key_bytes, seed);
}

uint64_t hash_bytes(const void *bytes, size_t count)
{
    return XXH3_64bits(bytes, count);
}
