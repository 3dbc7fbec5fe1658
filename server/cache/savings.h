/*
 * savings.h - what compression saves, by how keys begin: estimated from a sample of what is stored.
 *
 *   stretches of the hash's space --walk--> samples --sort--> runs of keys that begin alike
 *                                           --part--> prefixes --> the list that everybody reads
 *
 * No prefix is configured. A key is parted into words by the delimiters of classes.h; those that
 * begin with the same words are a *run*. A run whose keys for the most part go on with one of a few
 * words, "app:" with "app:user:" and "app:session:", is parted into the runs of these; one whose
 * next words are as many as its keys ("user:17:", "user:18:") is not, and is a prefix. A run counts
 * for something from 1/SAVINGS_SHARE of what is stored on, items and bytes taken together.
 *
 * Sums of the sample are scaled so that all prefixes together are what the cache is known to hold.
 * While all items are no more than the sample may be, they are all counted.
 *
 * Threads: one thread refreshes; any number read, under a lock of its own that is taken last.
 */
#ifndef SERVER_CACHE_SAVINGS_H
#define SERVER_CACHE_SAVINGS_H

#include "server/cache/cache.h"
#include "zbud/lock.h"

#include <stdbool.h>
#include <stdint.h>

#define SAVINGS_AGAIN_S     10u
/* 8,192 items are 440 KiB for some ms; with less than 220 MiB of memory there are fewer. A prefix
 * of 1 % is known to +-22 % of its items then, one of 10 % to +-7. */
#define SAVINGS_SAMPLES_MAX 8192u
#define SAVINGS_MEMORY_PART 512u
#define SAVINGS_SHARE       128u

struct savings {
    struct zbud_lock lock; /* guards all below */
    unsigned count;
    struct cache_saving list[CACHE_SAVINGS_MAX];
};

void savings_init(struct savings *savings);
void savings_fini(struct savings *savings);

/**
 * savings_refresh() - make the list anew: some ms, in which no lock is held for longer than a step
 * of cache_walk() does.
 * @random: which items are looked at.
 *
 * Where there is no memory for it the list stays as it is.
 */
void savings_refresh(struct cache *cache, uint64_t random, uint32_t now_s);
/** savings_due() - since it was made at @made_s, by the thread that refreshes: an empty one each
 * second. */
bool savings_due(const struct cache *cache, uint32_t made_s, uint32_t now_s);

#endif
