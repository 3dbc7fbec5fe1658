/*
 * histogram.h - how long something took, kept as counts by magnitude.
 *
 * Four buckets to each power of two: a percentile is read from the bucket's upper end and is at
 * most 25 % above the truth.
 *
 * Threads: plain data; its owner's lock.
 */
#ifndef SERVER_CACHE_HISTOGRAM_H
#define SERVER_CACHE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_BUCKETS 160u /* up to 2^40 ns, 18 minutes; the last takes what is longer */

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t total;
    uint64_t sum;
    uint64_t max;
};

void histogram_add(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/** histogram_percentile() - @pct of 0 to 100; 0 where nothing was added. */
uint64_t histogram_percentile(const struct histogram *histogram, double pct);
/** histogram_below() - how many were less than 2^@power, exactly; @power is 2 to 40. */
uint64_t histogram_below(const struct histogram *histogram, unsigned power);

#endif
