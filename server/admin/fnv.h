/*
 * fnv.h - FNV-1a, 32 bits, for small tables: keys that collide cost time, which their users bound.
 *
 * Threads: pure functions.
 * Source: Fowler, Noll, Vo; the offset and the prime are the algorithm's.
 */
#ifndef SERVER_ADMIN_FNV_H
#define SERVER_ADMIN_FNV_H

#include <stddef.h>
#include <stdint.h>

static inline uint32_t fnv_hash(const void *bytes, size_t count)
{
    const uint8_t *at = bytes;
    uint32_t hash = 2166136261u;

    for (size_t i = 0; i < count; i++) {
        hash = (hash ^ at[i]) * 16777619u;
    }
    return hash;
}

#endif
