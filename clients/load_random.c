#include "clients/load_random.h"

#include <assert.h>
#include <math.h>

__extension__ typedef unsigned __int128 wide;

uint64_t load_mix64(uint64_t number)
{
    /* The finalizer of SplitMix64 (Steele, Lea, Flood 2014). */
    number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9;
    number = (number ^ (number >> 27)) * 0x94d049bb133111eb;
    return number ^ (number >> 31);
}

uint64_t load_random_next(struct load_random *random)
{
    random->state += 0x9e3779b97f4a7c15;
    return load_mix64(random->state);
}

uint64_t load_random_below(struct load_random *random, uint64_t limit)
{
    assert(limit > 0);
    return (uint64_t)(((wide)load_random_next(random) * limit) >> 64);
}

/* Above 0, at most 1, in steps of 2^-53. */
static double unit(struct load_random *random)
{
    return (double)((load_random_next(random) >> 11) + 1) * 0x1p-53;
}

double load_random_gap(struct load_random *random, double mean)
{
    return -log(unit(random)) * mean;
}

/* ---- Zipf: x^-skew, the area below it, and back ---- */

/* expm1(x) / x and log1p(x) / x, where x may be 0 or near it: skews of 1 and about. */
static double expm1_over(double x)
{
    return fabs(x) > 1e-8 ? expm1(x) / x : 1 + x / 2;
}

static double log1p_over(double x)
{
    return fabs(x) > 1e-8 ? log1p(x) / x : 1 - x / 2;
}

static double height(const struct load_zipf *zipf, double x)
{
    return exp(-zipf->skew * log(x));
}

/* From 1 to x. */
static double area(const struct load_zipf *zipf, double x)
{
    double log_x = log(x);

    return expm1_over((1 - zipf->skew) * log_x) * log_x;
}

static double area_to_x(const struct load_zipf *zipf, double reached)
{
    double t = reached * (1 - zipf->skew);

    /* Rounding may reach beyond what the whole infinite area is. */
    return exp(log1p_over(t < -1 ? -1 : t) * reached);
}

void load_zipf_init(struct load_zipf *zipf, uint64_t ranks_count, double skew)
{
    assert(ranks_count > 0 && skew > 0);
    zipf->ranks_count = ranks_count;
    zipf->skew = skew;
    zipf->first = area(zipf, 1.5) - 1;
    zipf->last = area(zipf, (double)ranks_count + .5);
    zipf->accept = 2 - area_to_x(zipf, area(zipf, 2.5) - height(zipf, 2));
}

uint64_t load_zipf_draw(const struct load_zipf *zipf, struct load_random *random)
{
    for (;;) {
        double point = zipf->last + unit(random) * (zipf->first - zipf->last);
        double x = area_to_x(zipf, point);
        double rank = floor(x + .5);

        rank = rank < 1 ? 1 : rank;
        rank = rank > (double)zipf->ranks_count ? (double)zipf->ranks_count : rank;
        if (rank - x <= zipf->accept || point >= area(zipf, rank + .5) - height(zipf, rank))
            return (uint64_t)rank;
    }
}
