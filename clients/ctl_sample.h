/*
 * ctl_sample.h - some of a server's items at random, and sums over all of them by key prefix.
 *
 *   each item of a dump --ctl_sample_add()--> its prefix's sums, and maybe a place in the sample
 *   what it takes elsewhere --ctl_sample_pair()--> the same prefix's sums of pairs
 *                          --ctl_sample_estimate()--> what all of it would take, with its error
 *
 * Words: *there* is what an item takes at the server that was sampled, known of every item; *here*
 * what it takes elsewhere, known of the sample. A prefix's estimate is the ratio of its sums, here
 * to there, times all of it there (ratio estimator): sizes that differ much between items cost it
 * little, as long as the ratio does not. The error is that of the sample alone, for 95 of 100.
 *
 * Every item has the same chance (Vitter's algorithm R). A prefix is what stands before the first
 * ':'; beyond three quarters of CTL_PREFIXES_MAX of them items count as of one for all others.
 *
 * Threads: one.
 */
#ifndef CLIENTS_CTL_SAMPLE_H
#define CLIENTS_CTL_SAMPLE_H

#include "clients/ctl_keys.h"
#include "clients/load_random.h"

#define CTL_PREFIXES_MAX   1024u /* a power of two */
#define CTL_PREFIX_BYTES   40u   /* longer ones are cut off */
#define CTL_SAMPLE_MAX     2000000u
#define CTL_SAMPLE_OTHERS  "(others)"
#define CTL_SAMPLE_WITHOUT "(none)"

struct ctl_prefix {
    char name[CTL_PREFIX_BYTES]; /* "": a free place of the table */
    uint64_t items, there_bytes; /* of all items */
    uint64_t pairs;
    double here, there;                        /* sums over the pairs */
    double here_here, here_there, there_there; /* of products */
};

struct ctl_sample {
    struct ctl_known *items; /* sorted by key once ctl_sample_close() was called */
    size_t count, room;
    uint64_t seen, there_bytes; /* of all items */
    struct load_random random;
    unsigned prefixes_count;
    struct ctl_prefix prefixes[CTL_PREFIXES_MAX];
};

struct ctl_estimate {
    double bytes;
    double error; /* as a share of bytes */
};

/** ctl_sample_new() - for @room items; NULL: no memory. */
struct ctl_sample *ctl_sample_new(size_t room);
void ctl_sample_free(struct ctl_sample *sample);
void ctl_sample_add(struct ctl_sample *sample, const struct ctl_known *known);
/** ctl_sample_close() - all were added. */
void ctl_sample_close(struct ctl_sample *sample);
/** ctl_sample_pair() - an item of the sample and what it takes here; others are ignored. */
void ctl_sample_pair(struct ctl_sample *sample, const struct ctl_known *here);
/** ctl_sample_estimate() - of one prefix; where it has no pairs, by all prefixes' @ratio. */
struct ctl_estimate ctl_sample_estimate(const struct ctl_prefix *prefix, double ratio);
/** ctl_sample_total() - of all prefixes; @ratio: here to there, over all. */
struct ctl_estimate ctl_sample_total(const struct ctl_sample *sample, double *ratio);

#endif
