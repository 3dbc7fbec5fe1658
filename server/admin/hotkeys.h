/*
 * hotkeys.h - which keys are asked for most now: "stats hotkeys".
 *
 *   request --1 of some--> its thread's table of HOTKEYS_KEPT keys --hotkeys_list()--> the hottest
 *
 * Each thread looks at one request of 1 to HOTKEYS_GAP_MAX with a key, drawn at random; how many it
 * passes over follows from how many there are, so a server with little to do knows all of them. A
 * table keeps the keys that come most (Space-Saving): a key that is not in it takes the place of
 * the one with the lowest count, and begins with that count, which is its *error*: so much of the
 * count may have been others'. What is left without the error is *sure*. A table is parted into
 * *sets* by the key's hash, each a summary of its own, so that a look at it is a look at
 * HOTKEYS_WAYS entries.
 *
 * All counts are halved every HOTKEYS_HALVE_S, and the time they stand for with them: a count over
 * that time is a rate in which what is newest weighs most.
 *
 * Invariants:
 *   HOTKEYS-1  what a key's samples stand for is at least count - error and at most count, rounding
 *              by halves aside.
 *   HOTKEYS-2  a key with more than 1/HOTKEYS_WAYS of what the samples of its set stand for is in
 *              the table.
 *
 * Memory: 68 KiB a thread, charged to the cache when it is made.
 *
 * Threads: hotkeys_count() by the thread that joined; the rest by any. A lock a thread, taken by it
 * for a sample only.
 * Source: Space-Saving (Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k
 * Elements in Data Streams, ICDT 2005).
 */
#ifndef SERVER_ADMIN_HOTKEYS_H
#define SERVER_ADMIN_HOTKEYS_H

#include <stddef.h>
#include <stdint.h>

#define HOTKEYS_LISTED_MAX    32u
#define HOTKEYS_KEY_BYTES_MAX 250u
/* Of Zipf 1.0 over a million keys the 30th has .23 % of the requests, which is what the keys that
 * are in none of 256 places come to in each. */
#define HOTKEYS_KEPT          256u
#define HOTKEYS_WAYS          16u
#define HOTKEYS_HALVE_S       10u
#define HOTKEYS_GAP_MAX       128u
/* Fewer samples a second than the first: look at twice as many requests; from so many as the second
 * on: at half as many. */
#define HOTKEYS_SAMPLES_MIN   256u
#define HOTKEYS_SAMPLES_MAX   1024u
/* A key is hot whose sure count stands for so many samples: fewer come by chance. */
#define HOTKEYS_SURE_SAMPLES  4u

struct cache;
struct hotkeys;
struct hotkeys_table;

/* One thread's end. */
struct hotkeys_writer {
    uint32_t pass; /* requests until the next one that is looked at */
    struct hotkeys_table *table;
};

struct hotkey {
    uint8_t key[HOTKEYS_KEY_BYTES_MAX];
    size_t key_bytes;
    double requests_per_s; /* sure, but for what is chance in samples */
    double error_per_s;    /* it may be so many more */
};

/** hotkeys_new() - for so many threads. NULL: no memory. */
struct hotkeys *hotkeys_new(struct cache *cache, size_t threads, uint32_t now_s);
void hotkeys_free(struct hotkeys *hotkeys);
/** hotkeys_join() - a thread's end, for good; for as many threads as there are. The hotkeys own
 * it. */
struct hotkeys_writer *hotkeys_join(struct hotkeys *hotkeys);

void hotkeys_sample(struct hotkeys_writer *writer, const void *key, size_t key_bytes,
                    uint32_t now_s);

/** hotkeys_count() - a request for that key. */
static inline void hotkeys_count(struct hotkeys_writer *writer, const void *key, size_t key_bytes,
                                 uint32_t now_s)
{
    if (writer->pass-- == 0) {
        hotkeys_sample(writer, key, key_bytes, now_s);
    }
}

/** hotkeys_list() - the hottest keys of all threads together, the hottest first; how many. At the
 * list's end one that is hot only as a sum of several threads' may be missing. */
unsigned hotkeys_list(struct hotkeys *hotkeys, uint32_t now_s,
                      struct hotkey list[HOTKEYS_LISTED_MAX]);

#endif
