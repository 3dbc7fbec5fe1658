#include "clients/load_histogram.h"

#include <assert.h>

#define WIDTH_ONE (1u << LOAD_HISTOGRAM_BITS) /* buckets of each width */

static unsigned bucket_of(uint64_t value)
{
    unsigned shift;

    if (value < WIDTH_ONE)
        return (unsigned)value;
    shift = 63u - (unsigned)__builtin_clzll(value) - LOAD_HISTOGRAM_BITS;
    return shift * WIDTH_ONE + (unsigned)(value >> shift);
}

static uint64_t largest_of(unsigned bucket)
{
    unsigned shift;

    if (bucket < WIDTH_ONE)
        return bucket;
    shift = bucket / WIDTH_ONE - 1;
    return ((uint64_t)(bucket - shift * WIDTH_ONE) << shift) + ((UINT64_C(1) << shift) - 1);
}

void load_histogram_add(struct load_histogram *histogram, uint64_t value)
{
    if (histogram->count == 0 || value < histogram->min)
        histogram->min = value;
    if (value > histogram->max)
        histogram->max = value;
    histogram->count++;
    histogram->sum += value;
    histogram->buckets[bucket_of(value)]++;
}

void load_histogram_merge(struct load_histogram *into, const struct load_histogram *from)
{
    if (from->count == 0)
        return;
    if (into->count == 0 || from->min < into->min)
        into->min = from->min;
    if (from->max > into->max)
        into->max = from->max;
    into->count += from->count;
    into->sum += from->sum;
    for (unsigned i = 0; i < LOAD_HISTOGRAM_BUCKETS_COUNT; i++)
        into->buckets[i] += from->buckets[i];
}

uint64_t load_histogram_quantile(const struct load_histogram *histogram, uint32_t ppm)
{
    uint64_t rank = (uint64_t)((double)histogram->count * ppm / 1e6);
    uint64_t seen = 0;

    assert(ppm >= 1 && ppm <= 1000000);
    /* Up to the next whole one, in integers: a double would round .99 * 100 either way. */
    if (histogram->count < UINT64_MAX / 1000000)
        rank = (histogram->count * ppm + 999999) / 1000000;
    for (unsigned i = 0; i < LOAD_HISTOGRAM_BUCKETS_COUNT && histogram->count > 0; i++) {
        seen += histogram->buckets[i];
        if (seen >= rank && histogram->buckets[i] > 0) {
            uint64_t largest = largest_of(i);

            return largest < histogram->max ? largest : histogram->max;
        }
    }
    return histogram->max;
}

uint64_t load_histogram_above(const struct load_histogram *histogram, uint64_t value)
{
    uint64_t count = 0;

    for (unsigned i = bucket_of(value) + 1; i < LOAD_HISTOGRAM_BUCKETS_COUNT; i++)
        count += histogram->buckets[i];
    return count;
}
