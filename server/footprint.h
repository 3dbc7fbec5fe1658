/*
 * footprint.h - what the process holds beside the cache and its connections, measured and charged.
 *
 *   RSS = arena + connections' buffers + what the cache charged + everything else (code, stacks,
 *                                                                  malloc's slack): the footprint
 *
 * -m is a promise about the whole process. So the rest of it is measured once everything is set
 * up, charged to the cache with a stated reserve for what is touched only later (limits.h), and
 * measured again every second, as code is paged in and malloc's heap frays. What connections hold
 * and have not touched must not hide any of it.
 *
 * Invariants:
 *   FOOTPRINT-1  what is charged never falls below what was charged at the start.
 *   FOOTPRINT-2  after footprint_adjust() charged >= measured, unless the cache has nothing to
 *   give.
 *
 * Threads: one at a time.
 */
#ifndef SERVER_FOOTPRINT_H
#define SERVER_FOOTPRINT_H

#include <stddef.h>

struct budget;
struct cache;
struct footprint;

/**
 * footprint_new() - measure the process and charge it.
 * @threads:     how many will be started.
 * @later_bytes: what some of them will allocate beside connections and cache, at most.
 *
 * Errors: NULL - it does not fit the limit, or there is no memory.
 */
struct footprint *footprint_new(struct cache *cache, struct budget *budget, size_t threads,
                                size_t later_bytes);
void footprint_free(struct footprint *footprint);

/** footprint_adjust() - measure again and charge what it has grown by, or part of what it shrank
 * by. */
void footprint_adjust(struct footprint *footprint);

/** footprint_bytes() - as measured last. */
size_t footprint_bytes(const struct footprint *footprint);

#endif
