/*
 * load_random.h - numbers at random: even, by Zipf's law, and with the gaps of a Poisson process.
 *
 * Zipf: rank r of n is drawn with a probability of r^-s / (1^-s + ... + n^-s), for any s > 0 and
 * any n, in constant time and without a table. Source: Hörmann, Derflinger, "Rejection-inversion to
 * generate variates from monotone discrete distributions", 1996.
 *
 * The same seed gives the same numbers. Threads: one state, one thread; a zipf is only read.
 */
#ifndef CLIENTS_LOAD_RANDOM_H
#define CLIENTS_LOAD_RANDOM_H

#include <stdint.h>

struct load_random {
    uint64_t state;
};

struct load_zipf {
    uint64_t ranks_count;
    double skew;
    double first;  /* where the area of rank 1 begins */
    double last;   /* where the area of the last rank ends */
    double accept; /* as near as this to its rank a point needs no second look */
};

/** load_mix64() - a number made of another, one to one, without likeness to it. */
uint64_t load_mix64(uint64_t number);
/** load_random_next() - 64 bits. */
uint64_t load_random_next(struct load_random *random);
/** load_random_below() - 0 to @limit - 1, each as likely; @limit is not 0. */
uint64_t load_random_below(struct load_random *random, uint64_t limit);
/** load_random_gap() - an exponentially distributed time with that mean. */
double load_random_gap(struct load_random *random, double mean);

/** load_zipf_init() - @ranks_count at least 1, @skew above 0. */
void load_zipf_init(struct load_zipf *zipf, uint64_t ranks_count, double skew);
/** load_zipf_draw() - a rank, 1 to ranks_count. */
uint64_t load_zipf_draw(const struct load_zipf *zipf, struct load_random *random);

#endif
