/*
 * sim.h - a cache in a simulated world, and a model of what it must hold.
 *
 *   seed ──► draws ──► operation ──► cache.h, while faults.h may refuse anything
 *                           │            ├─► what it answers ──► must be what the model says
 *                           └► model ◄───┴─► whom it evicts (observer) ──► gone from the model
 *
 * The model remembers each key's value, byte by byte, and what else an item has. It is told of each
 * eviction, as an observer is, so it knows at any time exactly what is there: a miss of what nobody
 * was told of is a failure, and so is a hit of anything else.
 *
 * Threads: one. All that happens follows from the seed.
 */
#ifndef TESTS_SIM_SIM_H
#define TESTS_SIM_SIM_H

#include "server/cache/cache.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_KEYS_MAX  20000u
#define SIM_ITEM_MAX  (192u << 10)
#define SIM_VALUE_MAX (2 * SIM_ITEM_MAX)

enum state {
    GONE,   /* deleted, evicted, never there */
    STORED, /* there until its expiry */
    FLUSHED /* its record may be there still */
};

struct known {
    enum state state;
    uint8_t *value; /* its own, in the heap; NULL where there are no bytes */
    size_t value_bytes;
    uint32_t flags;
    uint32_t expiry_s;
    uint32_t stored_s;
    uint64_t cas;
    uint64_t cas_high; /* the largest that the cache has made for this key */
    bool own_cas;      /* a client chose it */
    bool stale;
    bool won;
    bool throughout; /* there since the walk began */
    bool met;        /* by the walk */
};

struct sim {
    uint64_t seed;
    uint64_t operations;
    uint64_t operation; /* the present one, from 1 */
    uint64_t random;
    struct cache_config config;
    struct cache *cache;
    struct cache_worker *workers[2];
    struct cache_worker *worker; /* one of them */
    struct cache_keeper *keeper;
    uint32_t now_s;
    uint32_t flush_at_s; /* 0: none is pending */
    size_t memory_bytes; /* the limit as it is now */
    size_t charged_bytes;
    uint64_t footprint_bytes; /* resident and charged, when last looked at */
    unsigned era;             /* what values look like */
    unsigned storm;           /* operations until failures are rare again */
    uint64_t failures;        /* of the last call */
    bool walking;
    struct cache_walk walk;

    unsigned keys;
    struct known known[SIM_KEYS_MAX];

    /* What figures must say. */
    uint64_t stored;  /* stores, creations, empty values */
    uint64_t fresh;   /* of these where there was none */
    uint64_t deleted; /* with an answer that it was there */
    uint64_t evicted; /* told */
    uint64_t evicted_shown;
    uint64_t gone_shown; /* expired, flushed, evicted before figures were last reset */
    uint64_t stored_shown;

    /* A store in parts that is under way. */
    struct cache_worker *parts_worker; /* NULL: none is */
    struct cache_store parts;
    unsigned parts_number; /* of its key */

    uint64_t hits, misses, out_of_memory, learned, in_parts;
    uint8_t entry[CACHE_KEY_BYTES_MAX + SIM_VALUE_MAX];
    uint8_t out[CACHE_KEY_BYTES_MAX + SIM_VALUE_MAX];
    uint8_t joined[SIM_VALUE_MAX];
    uint8_t parts_entry[CACHE_KEY_BYTES_MAX + SIM_VALUE_MAX];
};

/* Says what does not agree, the seed and how to replay it, and aborts. */
_Noreturn void sim_fail(const struct sim *sim, const char *file, int line, const char *what);
#define CHECK(sim, condition)                              \
    do {                                                   \
        if (!(condition))                                  \
            sim_fail(sim, __FILE__, __LINE__, #condition); \
    } while (0)

/* ---- model.c ---- */

/** sim_draw() - 0 to @below - 1. */
uint32_t sim_draw(struct sim *sim, uint32_t below);
static inline bool sim_chance(struct sim *sim, uint32_t one_in)
{
    return sim_draw(sim, one_in) == 0;
}
/** sim_key() - the bytes of key @number to @out, CACHE_KEY_BYTES_MAX of room; how many. */
size_t sim_key(unsigned number, uint8_t *out);
/** sim_key_number() - which key that is; a failure where it is none. */
unsigned sim_key_number(const struct sim *sim, const uint8_t *key, size_t key_bytes);
/** sim_value() - a value for that key to @out; how many bytes. */
size_t sim_value(struct sim *sim, unsigned number, uint8_t *out);
/** sim_large_value() - the same, of more than CACHE_PART_BYTES. */
size_t sim_large_value(struct sim *sim, unsigned number, uint8_t *out);
/** sim_number() - whether a value is one that can be counted on. */
bool sim_number(const struct known *known, uint64_t *number);

bool sim_alive(const struct sim *sim, const struct known *known);
/** sim_put() - the key has this value now; all but expiry and marks. */
void sim_put(struct sim *sim, struct known *known, const uint8_t *value, size_t bytes, uint64_t cas,
             bool own_cas);
/** sim_remove() - the key has none. */
void sim_remove(struct known *known);
/** sim_pass() - so many seconds go by; a flush may come due. */
void sim_pass(struct sim *sim, uint32_t seconds);
/** sim_flush() - all that is there is flushed. */
void sim_flush(struct sim *sim);
/** sim_evicted() - the observer. */
void sim_evicted(void *context, const struct cache_evicted *item, uint32_t now_s);
bool sim_wants_evicted(void *context);

/* ---- operations.c ---- */

/** sim_operate() - one operation of any kind, and all that can be said of its answer. */
void sim_operate(struct sim *sim);

/* ---- audit.c ---- */

/** sim_audit_key() - what stands for the key, without a trace. */
void sim_audit_key(struct sim *sim, unsigned number);
/** sim_audit_figures() - counters and figures add up; @footprint: and the limit holds. */
void sim_audit_figures(struct sim *sim);
/** sim_audit() - all of it: each key and its value, each figure, every invariant of the engine. */
void sim_audit(struct sim *sim);
void sim_walk_begin(struct sim *sim);
void sim_walk_on(struct sim *sim);

#endif
