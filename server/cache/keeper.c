/* The cache's background work: its limit, the crawlers, settling, and the dictionaries. */
#include "server/cache/prepare.h"
#include "server/cache/shard_kind.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define LIMIT_PAGES            16u
/* Learning takes 1 to 3 MiB for a moment, which a full cache evicts items for. */
#define LEARN_MEMORY_BYTES_MIN (24u << 20)
#define LEARN_MEMORY_PART      128u /* of the limit, for samples */
#define LEARN_ITEMS_MIN        500u
#define LEARN_RAW_BYTES_MIN    (256u << 10)
/* Again when so many times as much was stored as at the last look, or so long after it; twice as
 * long whenever nothing better was found. */
#define LEARN_STORED_TIMES     4u
#define LEARN_AGAIN_S          60u
#define LEARN_AGAIN_S_MAX      3600u
/* A new dictionary has to be better by 3 %: all that is stored is compressed again for it. */
#define ADOPT_PCT              97u
/* Longer samples teach less: ratio 2.049 with 1 KiB of each, 2.075 with 4 KiB. */
#define SAMPLE_BYTES           4096u
#define SAMPLES_MAX            8192u
#define SAMPLES_BYTES          (1u << 20)
#define CHECK_PART             5u /* one in so many is not trained with, but judges */

struct learning {
    size_t samples_max; /* bytes of samples that are charged */
    size_t used;
    unsigned count;
    size_t bytes[SAMPLES_MAX];
    uint8_t samples[SAMPLES_BYTES];
};

struct cache_keeper {
    struct prepare prepare;
    unsigned shard; /* where maintenance goes on */
    uint64_t random;
    uint32_t looked_s;
    uint32_t learned_s;
    uint32_t again_s; /* after learned_s */
    uint64_t learned_stored;
    struct gathered gathered;
};

static size_t keeper_bytes(void)
{
    return sizeof(struct cache_keeper) + codec_bytes(CODEC_HIGH);
}

struct cache_keeper *cache_keeper_new(struct cache *cache)
{
    if (cache_charge(cache, keeper_bytes()) != CACHE_OK)
        return NULL;
    struct cache_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) {
        cache_uncharge(cache, keeper_bytes());
        return NULL;
    }
    keeper->prepare.cache = cache;
    keeper->prepare.codec = codec_new(CODEC_HIGH);
    keeper->gathered.codec = keeper->prepare.codec;
    keeper->random = cache->config.seed;
    keeper->again_s = LEARN_AGAIN_S;
    if (keeper->prepare.codec == NULL) {
        cache_keeper_free(keeper);
        return NULL;
    }
    return keeper;
}

void cache_keeper_free(struct cache_keeper *keeper)
{
    if (keeper == NULL)
        return;
    cache_uncharge(keeper->prepare.cache, keeper_bytes());
    codec_free(keeper->prepare.codec);
    free(keeper);
}

/* Some pages above the limit, if there are any. */
static bool keep_limit(struct cache *cache, uint32_t now_s)
{
    size_t excess = zbud_arena_excess(cache->arena);
    if (excess > LIMIT_PAGES)
        excess = LIMIT_PAGES;
    size_t trimmed = zbud_arena_trim(cache->arena, excess);
    if (!cache->config.evict)
        return trimmed > 0;
    for (; trimmed < excess; trimmed++) {
        if (!cache_reclaim_oldest(cache, now_s))
            return false;
        zbud_arena_trim(cache->arena, 1);
    }
    return excess > 0;
}

/* ---- settling ---- */

/* What is no smaller at the high level stays as it is, if it needs no other dictionary. */
static bool stays(const struct gathered_item *item, const struct shard_put *put)
{
    bool same = kind_dictionary(item->kind) == kind_dictionary(put->kind);
    bool needs_none = (item->tag & (RECORD_TAG_COMPRESSED | RECORD_TAG_LARGE)) == 0;
    size_t put_bytes = put->tag & RECORD_TAG_LARGE ? put->stream_bytes : put->payload_bytes;
    return (same || needs_none) && item->tag == put->tag && item->stored_bytes <= put_bytes;
}

static void settle_item(struct cache_keeper *keeper, struct shard *shard,
                        const struct gathered_item *item)
{
    struct cache *cache = keeper->prepare.cache;
    unsigned dictionary = keeper->gathered.dictionary;
    unsigned kind = dictionary | KIND_SETTLED;
    const uint8_t *entry = keeper->gathered.bytes + item->entry_at;
    struct shard_put put = {
        .key = entry, .key_bytes = item->key_bytes, .value_bytes = item->value_bytes};
    /* A full cache gives a few pages once; what settles gives back more than it takes. */
    if (!cache_make_room(cache, 2, keeper->prepare.now_s) && zbud_arena_available(cache->arena) < 2)
        return;
    if (!item->copied) {
        (void)!shard_settle(shard, item, NULL, kind);
        return;
    }
    if (!prepare_put(&keeper->prepare, CODEC_HIGH, dictionary, entry, &put))
        return;
    put.kind = kind;
    bool as_it_is = stays(item, &put);
    if (!shard_settle(shard, item, as_it_is ? NULL : &put, kind) || as_it_is)
        prepare_drop(&keeper->prepare, &put);
}

static void settle(struct cache_keeper *keeper, struct shard *shard)
{
    for (unsigned i = 0; i < keeper->gathered.count; i++)
        settle_item(keeper, shard, &keeper->gathered.items[i]);
}

/* ---- learning ---- */

static uint64_t draw(struct cache_keeper *keeper)
{
    keeper->random = keeper->random * 6364136223846793005u + 1442695040888963407u;
    return keeper->random ^ keeper->random >> 29;
}

static size_t limit_bytes(const struct cache *cache)
{
    struct zbud_arena_figures figures;
    zbud_arena_figures(cache->arena, &figures);
    return figures.limit_bytes;
}

/* Whether there is enough to learn from, and enough that is new. */
static bool learn_due(struct cache_keeper *keeper, uint32_t now_s)
{
    struct cache *cache = keeper->prepare.cache;
    uint64_t stored = 0, items = 0, raw_bytes = 0;
    if (now_s == keeper->looked_s || !cache->config.compress ||
        limit_bytes(cache) < LEARN_MEMORY_BYTES_MIN)
        return false;
    keeper->looked_s = now_s;
    for (unsigned i = 0; i < cache->config.shards; i++) {
        uint64_t shard_items, shard_raw_bytes;
        stored += shard_stored(cache->shards[i], &shard_items, &shard_raw_bytes);
        items += shard_items;
        raw_bytes += shard_raw_bytes;
    }
    if (items < LEARN_ITEMS_MIN || raw_bytes < LEARN_RAW_BYTES_MIN ||
        stored == keeper->learned_stored)
        return false;
    if (stored < keeper->learned_stored * LEARN_STORED_TIMES &&
        now_s - keeper->learned_s < keeper->again_s)
        return false;
    keeper->learned_stored = stored;
    keeper->learned_s = now_s;
    return true;
}

static void sample(struct cache_keeper *keeper, struct learning *learning)
{
    struct cache *cache = keeper->prepare.cache;
    learning->used = 0;
    learning->count = 0;
    for (unsigned tries = 0; tries < 2 * SAMPLES_MAX && learning->count < SAMPLES_MAX &&
                             learning->used + SAMPLE_BYTES <= learning->samples_max;
         tries++) {
        struct shard *shard = cache->shards[draw(keeper) % cache->config.shards];
        size_t bytes = shard_sample(shard, draw(keeper), keeper->prepare.codec,
                                    learning->samples + learning->used, SAMPLE_BYTES);
        if (bytes == 0)
            continue;
        learning->bytes[learning->count++] = bytes;
        learning->used += bytes;
    }
}

/* What the samples come to with a dictionary, from @first on. */
static uint64_t judge(struct cache_keeper *keeper, const struct learning *learning, unsigned first,
                      size_t at, const struct codec_dictionary *dictionary)
{
    uint64_t sum = 0;
    for (unsigned i = first; i < learning->count; i++) {
        const uint8_t *block;
        size_t bytes = codec_compress(keeper->prepare.codec, CODEC_FAST, dictionary,
                                      learning->samples + at, learning->bytes[i], &block);
        sum += bytes > 0 ? bytes : learning->bytes[i];
        at += learning->bytes[i];
    }
    return sum;
}

/* Trains with most of the samples, judges by the others; the better dictionary is or stays
 * current. */
static bool learn_from(struct cache_keeper *keeper, const struct learning *learning)
{
    struct cache *cache = keeper->prepare.cache;
    unsigned trained = learning->count - learning->count / CHECK_PART;
    size_t trained_bytes = 0;
    for (unsigned i = 0; i < trained; i++)
        trained_bytes += learning->bytes[i];
    struct codec_dictionary *candidate =
        dictionary_train(learning->samples, learning->bytes, trained);
    if (candidate == NULL)
        return false;
    const struct codec_dictionary *current =
        dictionaries_get(cache->dictionaries, dictionaries_current(cache->dictionaries));
    uint64_t now_bytes = judge(keeper, learning, trained, trained_bytes, current);
    uint64_t then_bytes = judge(keeper, learning, trained, trained_bytes, candidate);
    if (then_bytes * 100 > now_bytes * ADOPT_PCT ||
        cache_charge(cache, codec_dictionary_bytes()) != CACHE_OK) {
        codec_dictionary_free(candidate);
        return false;
    }
    if (dictionaries_adopt(cache->dictionaries, candidate) == 0) {
        cache_uncharge(cache, codec_dictionary_bytes());
        codec_dictionary_free(candidate);
        return false;
    }
    atomic_fetch_add_explicit(&cache->trained, 1, memory_order_relaxed);
    return true;
}

static void learn(struct cache_keeper *keeper)
{
    struct cache *cache = keeper->prepare.cache;
    size_t samples_max = limit_bytes(cache) / LEARN_MEMORY_PART;
    if (samples_max > SAMPLES_BYTES)
        samples_max = SAMPLES_BYTES;
    /* Of the samples' room only what is charged is ever touched. */
    size_t bytes = offsetof(struct learning, samples) + samples_max + dictionary_train_bytes() +
                   codec_dictionary_bytes();
    bool better = false;
    if (cache_charge(cache, bytes) != CACHE_OK)
        return;
    struct learning *learning = malloc(sizeof(*learning));
    if (learning != NULL) {
        learning->samples_max = samples_max;
        sample(keeper, learning);
        better = learn_from(keeper, learning);
        free(learning);
    }
    cache_uncharge(cache, bytes);
    keeper->again_s = better ? LEARN_AGAIN_S : 2 * keeper->again_s;
    if (keeper->again_s > LEARN_AGAIN_S_MAX)
        keeper->again_s = LEARN_AGAIN_S_MAX;
}

/* ---- one step ---- */

bool cache_maintain(struct cache_keeper *keeper, uint32_t now_s)
{
    struct cache *cache = keeper->prepare.cache;
    struct shard *shard = cache->shards[keeper->shard];
    atomic_store_explicit(&cache->now_s, now_s, memory_order_relaxed);
    keeper->prepare.now_s = now_s;
    if (keep_limit(cache, now_s))
        return true;
    if (learn_due(keeper, now_s))
        learn(keeper);
    unsigned freed = dictionaries_tidy(cache->dictionaries);
    cache_uncharge(cache, freed * codec_dictionary_bytes());
    keeper->gathered.dictionary = dictionaries_current(cache->dictionaries);
    bool done = shard_crawl(shard, now_s, cache->config.compress ? &keeper->gathered : NULL);
    if (cache->config.compress)
        settle(keeper, shard);
    if (!done)
        return true;
    keeper->shard = (keeper->shard + 1) % cache->config.shards;
    return keeper->shard != 0;
}
