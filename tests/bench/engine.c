#include "tests/bench/engine.h"

#include "tests/bench/bench.h"

#include <stdlib.h>
#include <string.h>

#define SEED        42u
#define PER_MILLE   1000u
#define VALUE_BYTES ((size_t)1 << 20)

struct engine {
    struct engine_plan plan;
    struct cache *cache;
    struct cache_worker *worker;
    struct cache_keeper *keeper;
    uint64_t requests; /* so far: the clock */
    uint64_t due;      /* thousandths of a step of upkeep */
    uint8_t entry[CACHE_KEY_BYTES_MAX + VALUE_BYTES];
    uint8_t value[CACHE_KEY_BYTES_MAX + VALUE_BYTES];
};

struct engine *engine_new(const struct engine_plan *plan)
{
    struct cache_config config = {
        .memory_bytes = plan->memory_bytes,
        .reserve_bytes = plan->memory_bytes,
        .item_bytes_max = VALUE_BYTES,
        .shards = plan->shards,
        .evict = true,
        .compress = true,
        .defer = true,
        .settle = true,
        .seed = SEED,
        .now_s = 1,
    };
    struct engine *engine = calloc(1, sizeof(*engine));

    if (engine == NULL || (engine->cache = cache_new(&config)) == NULL ||
        (engine->worker = cache_worker_new(engine->cache)) == NULL ||
        (engine->keeper = cache_keeper_new(engine->cache)) == NULL)
        bench_fail("engine", "no memory");
    engine->plan = *plan;
    return engine;
}

void engine_free(struct engine *engine)
{
    cache_keeper_free(engine->keeper);
    cache_worker_free(engine->worker);
    cache_free(engine->cache);
    free(engine);
}

static uint32_t now_s(const struct engine *engine)
{
    return 1 + (uint32_t)(engine->requests / engine->plan.requests_per_s);
}

/* One request has passed, and the upkeep's share of the time. */
static void pass(struct engine *engine)
{
    engine->requests++;
    engine->due += engine->plan.maintain_per_mille;
    for (; engine->due >= PER_MILLE; engine->due -= PER_MILLE) {
        (void)cache_maintain(engine->keeper, now_s(engine));
        (void)cache_compress(engine->keeper, now_s(engine));
    }
}

static void store(struct engine *engine, const struct stream_request *request)
{
    const struct corpus_item *item = &request->item;
    struct cache_store put = {
        .entry = engine->entry,
        .key_bytes = item->key_bytes,
        .value_bytes = item->value_bytes,
        .mode = CACHE_SET,
        .expiry_s = request->ttl_s > 0 ? now_s(engine) + request->ttl_s : CACHE_NEVER,
    };

    memcpy(engine->entry, item->key, item->key_bytes);
    memcpy(engine->entry + item->key_bytes, item->value, item->value_bytes);
    /* What does not fit is a miss later on, as it is over the wire. */
    (void)!cache_store(engine->worker, &put, now_s(engine), NULL);
}

static uint8_t *place(void *context, const struct cache_item *item)
{
    struct engine *engine = context;

    (void)item;
    return engine->value + CACHE_KEY_BYTES_MAX;
}

struct player_counts engine_play(struct engine *engine, struct stream *stream, uint64_t requests)
{
    struct player_counts counts = {0};

    for (uint64_t i = 0; i < requests; i++) {
        struct stream_request request;
        struct cache_item item;
        bool hit = false;

        stream_next(stream, &request);
        if (!request.write) {
            hit = cache_get(engine->worker, request.item.key, request.item.key_bytes, NULL,
                            now_s(engine), place, engine, &item) == CACHE_OK;
            counts.gets++;
            counts.misses += !hit;
        }
        if (!hit)
            store(engine, &request);
        pass(engine);
    }
    return counts;
}

void engine_fill(struct engine *engine, const struct stream *stream)
{
    for (uint32_t i = 0; i < stream_keys_count(stream); i++) {
        struct stream_request request;

        stream_each(stream, i, &request);
        store(engine, &request);
        pass(engine);
    }
}

void engine_figures(struct engine *engine, struct cache_figures *figures)
{
    cache_figures(engine->cache, figures);
}

void engine_figures_reset(struct engine *engine)
{
    cache_figures_reset(engine->cache);
}
