#include "server/cache/histogram.h"

static unsigned bucket_of(uint64_t value)
{
    if (value < 4)
        return (unsigned)value;
    unsigned power = 63u - (unsigned)__builtin_clzll(value);
    unsigned bucket = (power - 1) * 4 + (unsigned)(value >> (power - 2) & 3);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

static uint64_t bucket_end(unsigned bucket)
{
    if (bucket < 4)
        return bucket;
    unsigned power = bucket / 4 + 1;
    return ((uint64_t)(4 + bucket % 4 + 1) << (power - 2)) - 1;
}

void histogram_add(struct histogram *histogram, uint64_t value)
{
    histogram->counts[bucket_of(value)]++;
    histogram->total++;
    histogram->sum += value;
    if (value > histogram->max)
        histogram->max = value;
}

void histogram_merge(struct histogram *into, const struct histogram *from)
{
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        into->counts[i] += from->counts[i];
    into->total += from->total;
    into->sum += from->sum;
    if (from->max > into->max)
        into->max = from->max;
}

uint64_t histogram_percentile(const struct histogram *histogram, double pct)
{
    uint64_t wanted = (uint64_t)((double)histogram->total * pct / 100.0);
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen > wanted || (seen == histogram->total && seen > 0)) {
            uint64_t end = bucket_end(i);
            return end < histogram->max ? end : histogram->max;
        }
    }
    return 0;
}

uint64_t histogram_below(const struct histogram *histogram, unsigned power)
{
    uint64_t below = 0;
    for (unsigned i = 0; i < bucket_of(UINT64_C(1) << power); i++)
        below += histogram->counts[i];
    return below;
}
