/*
 * metrics.h - the server's figures in the text format that Prometheus reads.
 *
 *   counters, cache_figures(), budget --> one table --> # HELP, # TYPE, name{labels} value
 *
 * A row of the table is a series; there are some hundred, always the same ones, whatever is stored
 * and whoever is connected. Names follow Prometheus' conventions: zbcached_ before, base units
 * (seconds, bytes) and _total behind, states of one thing as values of a label.
 *
 * Invariants:
 *   METRICS-1  every answer has the same series in the same order.
 *   METRICS-2  a name has one HELP and one TYPE, and all its series follow them.
 *   METRICS-3  a histogram's buckets do not fall, and its +Inf is its _count.
 *
 * Threads: any number; no lock but those of the figures' owners, held for copies.
 * Source: Prometheus' text exposition format 0.0.4.
 */
#ifndef SERVER_ADMIN_METRICS_H
#define SERVER_ADMIN_METRICS_H

#include "server/counters.h"

#include <stdint.h>

struct budget;
struct cache;
struct clock;
struct config;
struct hotkeys;
struct text;

/* All borrowed. */
struct metrics_sources {
    const struct config *config;
    const struct clock *clock;
    const struct counters_all *counters;
    struct cache *cache;
    struct budget *budget;
    struct hotkeys *hotkeys;
};

/* How long something took: how many less than 2^(8 + i) ns, of how many; and all together. */
struct metrics_times {
    uint64_t below[COUNTERS_TIMES - 1];
    uint64_t count;
    uint64_t sum_ns;
};

/** metrics_times() - of commands; @first as in counters_add_time(). */
void metrics_times(const struct counters_all *counters, enum counter first,
                   struct metrics_times *times);

/** metrics_write() - all of them, to the end of @text: some 12 KiB. */
void metrics_write(const struct metrics_sources *sources, struct text *text);

#endif
