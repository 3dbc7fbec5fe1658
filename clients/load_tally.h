/*
 * load_tally.h - what a run has counted. All zero is an empty one.
 *
 * Threads: one tally, one thread; merged when the threads have ended.
 */
#ifndef CLIENTS_LOAD_TALLY_H
#define CLIENTS_LOAD_TALLY_H

#include "clients/load_histogram.h"
#include "clients/load_plan.h"

#define LOAD_TEXT_BYTES 320u

struct load_tally {
    struct load_histogram latency_ns[LOAD_KINDS_COUNT];
    struct load_histogram lag_ns;        /* open loop: from the intended time to the write */
    uint64_t requests[LOAD_KINDS_COUNT]; /* answered, whatever the answer */
    uint64_t keys_asked;                 /* of get and multiget */
    uint64_t hits;
    uint64_t misses;
    uint64_t delete_misses;
    uint64_t refused;
    uint64_t wrong;  /* values with a byte, length or flag that is not theirs */
    uint64_t unsent; /* open loop: arrivals whose turn had not come when the run was given up */
    uint64_t bytes_sent;
    uint64_t bytes_received;
    char refused_text[LOAD_TEXT_BYTES]; /* the first of each */
    char wrong_text[LOAD_TEXT_BYTES];
};

void load_tally_merge(struct load_tally *into, const struct load_tally *from);
uint64_t load_tally_requests(const struct load_tally *tally);

#endif
