/*
 * prefixes.h - "stats detail": gets, hits, sets and deletes by the beginning of their keys.
 *
 *   "user:17"  --up to the delimiter-->  "user"  -->  get 12 hit 11 set 3 del 0
 *
 * Off unless asked for, and then a request pays one load. On, each key takes a lock and a look into
 * a table of fixed size, which is charged to the cache from the first time it is on. Prefixes that
 * come when the table is full are not counted, but that they came is.
 *
 * Invariants:
 *   PREFIXES-1  the table's memory is never more than 1/PREFIXES_MEMORY_PART of -m, but for a least
 *               size, and all of it is charged.
 *   PREFIXES-2  a look-up reads PREFIXES_PROBES slots at most, whatever keys somebody thinks up:
 *               who finds none is not counted.
 *
 * Threads: any; one lock inside, taken last.
 */
#ifndef SERVER_ADMIN_PREFIXES_H
#define SERVER_ADMIN_PREFIXES_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PREFIXES_MAX         8192u
#define PREFIXES_MIN         256u
#define PREFIXES_MEMORY_PART 64u
#define PREFIXES_PROBES      32u
#define PREFIXES_TEXT_BYTES  32u /* of room for the texts, a prefix: most are shorter */
#define PREFIX_BYTES_MAX     250u

struct cache;
struct prefixes_table;

struct prefixes {
    _Atomic bool on; /* read before prefixes_count() is called at all */
    struct prefixes_table *table;
};

enum prefix_event {
    PREFIX_GET,
    PREFIX_HIT, /* counts as a get too */
    PREFIX_SET,
    PREFIX_DELETE,
    PREFIX_EVENTS_COUNT
};

struct prefix_counts {
    size_t text_bytes;
    char text[PREFIX_BYTES_MAX];
    uint64_t counts[PREFIX_EVENTS_COUNT];
};

/** prefixes_new() - off, with a table for a cache of that size to come. NULL: no memory. */
struct prefixes *prefixes_new(struct cache *cache, size_t memory_bytes, char delimiter);
void prefixes_free(struct prefixes *prefixes);
/** prefixes_switch() - what was counted stays. False where there is no memory for the table. */
bool prefixes_switch(struct prefixes *prefixes, bool on) __attribute__((warn_unused_result));

static inline bool prefixes_on(const struct prefixes *prefixes)
{
    return atomic_load_explicit(&prefixes->on, memory_order_relaxed);
}

/** prefixes_count() - nothing where the key has no delimiter. */
void prefixes_count(struct prefixes *prefixes, const void *key, size_t key_bytes,
                    enum prefix_event event);
/** prefixes_clear() - as if none had been seen. */
void prefixes_clear(struct prefixes *prefixes);

/** prefixes_at() - number @number of those there are, from 0; false beyond the last. */
bool prefixes_at(struct prefixes *prefixes, size_t number, struct prefix_counts *counts);
/** prefixes_known() - how many there are; @uncounted: events of those that had no room. */
size_t prefixes_known(struct prefixes *prefixes, uint64_t *uncounted);

#endif
