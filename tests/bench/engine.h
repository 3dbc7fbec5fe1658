/*
 * engine.h - plays a stream of requests at the cache itself, without server, socket or threads.
 *
 *   stream --> cache_get(), cache_store()   a request a step
 *              cache_maintain()             so many steps for a thousand requests
 *
 * The cache's clock goes by the requests, so the result depends on the seed alone: what can be
 * tuned can be compared.
 *
 * Threads: one.
 */
#ifndef TESTS_BENCH_ENGINE_H
#define TESTS_BENCH_ENGINE_H

#include "server/cache/cache.h"
#include "tests/bench/player.h"
#include "tests/bench/stream.h"

#include <stddef.h>
#include <stdint.h>

struct engine_plan {
    size_t memory_bytes;
    unsigned shards;
    uint32_t requests_per_s;     /* of the cache's clock */
    uint32_t maintain_per_mille; /* steps of upkeep for 1000 requests */
};

struct engine;

/** engine_new() - ends the program where there is no memory. */
struct engine *engine_new(const struct engine_plan *plan);
void engine_free(struct engine *engine);

/** engine_play() - the next @requests of the stream. */
struct player_counts engine_play(struct engine *engine, struct stream *stream, uint64_t requests);
/** engine_fill() - every key of the stream, stored once. */
void engine_fill(struct engine *engine, const struct stream *stream);
void engine_figures(struct engine *engine, struct cache_figures *figures);
/** engine_figures_reset() - counters and times of reclaim from here on. */
void engine_figures_reset(struct engine *engine);

#endif
