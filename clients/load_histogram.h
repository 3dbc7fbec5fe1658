/*
 * load_histogram.h - counts of times, in buckets whose width grows with the time.
 *
 *   ns:      0 1 2 ... 127 | 128 129 ... 255 | 256-257 ... 510-511 | 512-515 ... | ...
 *   buckets: 128, one each   128 of width 1    128 of width 2        128 of width 4
 *
 * A value is told apart from others to 1 part in 128 of itself. A quantile is given as the largest
 * value of its bucket (or the largest value seen, where that is less), so it is never below the
 * true one and above it by less than 1/128, .8 %. Smallest, largest and count are exact.
 *
 * Threads: one histogram, one thread.
 */
#ifndef CLIENTS_LOAD_HISTOGRAM_H
#define CLIENTS_LOAD_HISTOGRAM_H

#include <stdint.h>

#define LOAD_HISTOGRAM_BITS          7u
#define LOAD_HISTOGRAM_BUCKETS_COUNT ((65u - LOAD_HISTOGRAM_BITS) << LOAD_HISTOGRAM_BITS)

/* All zero is an empty one. */
struct load_histogram {
    uint64_t count;
    uint64_t sum; /* modulo 2^64: 584 years of ns */
    uint64_t min; /* of an empty one: 0 */
    uint64_t max;
    uint64_t buckets[LOAD_HISTOGRAM_BUCKETS_COUNT];
};

void load_histogram_add(struct load_histogram *histogram, uint64_t value);
/** load_histogram_merge() - @from is added to @into. */
void load_histogram_merge(struct load_histogram *into, const struct load_histogram *from);
/** load_histogram_quantile() - at least @ppm millionths of the values are at most this; 0 where
 * there are none. @ppm: 1 to 1,000,000. */
uint64_t load_histogram_quantile(const struct load_histogram *histogram, uint32_t ppm);
/** load_histogram_above() - how many values are in buckets that lie wholly above @value: those at
 * most 1 part in 128 above it may be missing, none below it is counted. */
uint64_t load_histogram_above(const struct load_histogram *histogram, uint64_t value);

#endif
