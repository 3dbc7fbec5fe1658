/* The cache's background work: its limit, the crawlers, settling, and the dictionaries. */
#include "server/cache/learn.h"
#include "server/cache/prepare.h"
#include "server/cache/savings.h"
#include "server/cache/shard_kind.h"

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* A page of 120 tiny records takes 100 us to reclaim. */
#define LIMIT_PAGES            2u
/* Learning takes 1 to 6 MiB for a moment, which a full cache evicts items for. */
#define LEARN_MEMORY_BYTES_MIN (24u << 20)
#define LEARN_MEMORY_PART      128u /* of the limit, for samples */
#define LEARN_ITEMS_MIN        500u
#define LEARN_RAW_BYTES_MIN    (256u << 10)
/* Again when so many times as much was stored as at the last look, or so long after it; twice as
 * long whenever nothing better was found. */
#define LEARN_STORED_TIMES     4u
#define LEARN_AGAIN_S          60u
#define LEARN_AGAIN_S_MAX      3600u
/* Longer samples teach less: ratio 2.049 with 1 KiB of each, 2.075 with 4 KiB. */
#define SAMPLE_BYTES           4096u
/* Half as much brings the mix from 2.88 to 2.87 when settled, twice as much to 2.91 in twice the
 * time. */
#define SAMPLES_BYTES          (2u << 20)
/* While a cache fills, what comes in during a learning is stored at a loss: the first ones are to
 * be quick (.2 s a MiB), and more follow. */
#define SAMPLES_BYTES_MIN      (256u << 10)
#define SAMPLES_PART           16u
/* While there is no dictionary, so much is looked at before anything is trained, only the start of
 * each item: 1 ms and .4 MiB, where learning that there is nothing to learn took 100 and 6. Where
 * there is, contents may have changed: a look at so many times between two learnings by the clock,
 * if that part of what is there is new. */
#define LOOK_TIMES             6u
#define LOOK_BYTES             (128u << 10)
#define LOOK_SAMPLE_BYTES      512u
/* All dictionaries together, and the tables for compressing at the high level. */
#define DICTIONARIES_PART      64u
#define TABLES_PART            256u
#define TABLES_MIN             1u
/* Open logs of one kind more, young and settled. */
#define CLASS_PAGES            2u

/* A step of compressing: 32 logs of 8 items, 2 us each. */
#define COMPRESS_LOGS          32u
#define COMPRESS_PAGES         4u /* that the records of a log may need, if of many classes */
/* A log that would be smaller by less stays where it is. */
#define COMPRESS_GAIN_PCT      1u
/* A dictionary that is told to go is told again after so long: something had to be left. */
#define LEAVE_AGAIN_S          60u
/* Settling is not worth it below. */
#define GAIN_PCT               3u
#define GAIN_BYTES_MIN         (64u << 10)
#define GAIN_BYTES_MAX         (1u << 20)

/* What settling has lately made of a dictionary's records. */
struct gain {
    size_t before_bytes;
    size_t after_bytes;
};

struct cache_keeper {
    struct prepare prepare;
    unsigned tables;
    unsigned shard; /* where maintenance goes on */
    unsigned limit_shard;
    unsigned expire_shard;
    unsigned compress_shard;
    unsigned expired_shards; /* in a row, up to the last, with nothing left that has expired */
    uint64_t random;
    uint32_t surveyed_s; /* when savings were estimated */
    uint32_t asked_s;    /* whether a look is due */
    uint32_t looked_s;
    uint64_t looked_stored;
    uint64_t looked_raw_bytes; /* what was live then */
    uint32_t learned_s;
    uint32_t again_s; /* after learned_s */
    uint64_t learned_stored;
    size_t charged_bytes;   /* for classes and dictionaries */
    uint32_t leaving_s;     /* since when gathered.leaving is told to go, or told again */
    unsigned leaving_count; /* of dictionaries, then */
    struct gain gains[DICTIONARIES_MAX];
    struct shard_put puts[GATHERED_ITEMS_MAX];
    uint8_t blocks[ZBUD_PAGE_BYTES];
    struct gain improvements[DICTIONARIES_MAX]; /* what settling again has made of settled ones */
    struct gathered gathered;
};

static unsigned tables_for(const struct cache *cache)
{
    size_t tables = cache->config.memory_bytes / TABLES_PART / codec_table_bytes();
    if (tables > CLASSES_MAX)
        return CLASSES_MAX;
    return tables > TABLES_MIN ? (unsigned)tables : TABLES_MIN;
}

static size_t keeper_bytes(unsigned tables)
{
    return sizeof(struct cache_keeper) + codec_bytes(tables);
}

/* One of a memory file is there, too, and its bytes are memory. */
static size_t dictionary_bytes(const struct cache *cache)
{
    return codec_dictionary_bytes() + (cache->file != NULL ? CODEC_DICTIONARY_BYTES : 0);
}

/* What classes and dictionaries take. */
static size_t learned_bytes(const struct cache *cache)
{
    unsigned classes = current_classes(&cache->current) != NULL;
    classes += !current_settled(&cache->current);
    return classes * classes_bytes() +
           dictionaries_count(cache->dictionaries) * dictionary_bytes(cache);
}

struct cache_keeper *cache_keeper_new(struct cache *cache)
{
    unsigned tables = tables_for(cache);
    size_t learned = learned_bytes(cache); /* by a process before */
    if (cache_charge(cache, keeper_bytes(tables) + learned) != CACHE_OK)
        return NULL;
    struct cache_keeper *keeper = calloc(1, sizeof(*keeper));
    if (keeper == NULL) {
        cache_uncharge(cache, keeper_bytes(tables) + learned);
        return NULL;
    }
    keeper->charged_bytes = learned;
    keeper->tables = tables;
    keeper->prepare.cache = cache;
    keeper->prepare.codec = codec_new(tables);
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
    cache_uncharge(keeper->prepare.cache, keeper_bytes(keeper->tables));
    codec_free(keeper->prepare.codec);
    free(keeper);
}

/* Some pages above the limit, if there are any. The index shrinks with what it names, or in the end
 * it would be most of what is left: a shard's segments are 9 of 1,000 pages of small values and a
 * quarter of those of tiny ones, and each step looks at one of them. */
static bool keep_limit(struct cache_keeper *keeper, uint32_t now_s)
{
    struct cache *cache = keeper->prepare.cache;
    size_t excess = zbud_arena_excess(cache->arena);
    if (excess > LIMIT_PAGES)
        excess = LIMIT_PAGES;
    size_t trimmed = zbud_arena_trim(cache->arena, excess);
    if (!cache->config.evict)
        return trimmed > 0;
    /* What is free and cannot be given back would not be less by evicting. */
    struct zbud_arena_figures figures;
    zbud_arena_figures(cache->arena, &figures);
    if (trimmed < excess && figures.pages_kept > 0)
        return false;
    for (; trimmed < excess; trimmed++) {
        if (!cache_reclaim_oldest(cache, now_s))
            return false;
        zbud_arena_trim(cache->arena, 1);
    }
    if (excess > 0) {
        shard_shrink_index(cache->shards[keeper->limit_shard]);
        keeper->limit_shard = (keeper->limit_shard + 1) % cache->config.shards;
    }
    return excess > 0;
}

/* ---- settling ---- */

static size_t least(size_t one, size_t other)
{
    return one < other ? one : other;
}

/* What is no smaller at the high level stays as it is, if it needs no other dictionary. */
static bool stays(const struct gathered_item *item, const struct shard_put *put, size_t put_bytes)
{
    bool same = kind_dictionary(item->kind) == kind_dictionary(put->kind);
    bool needs_none = (item->tag & (RECORD_TAG_COMPRESSED | RECORD_TAG_LARGE)) == 0;
    return (same || needs_none) && item->tag == put->tag && item->stored_bytes <= put_bytes;
}

/* Returns whether enough is known, and then whether it is @worth it. */
static bool count(struct gain *gain, size_t before_bytes, size_t after_bytes, bool *worth)
{
    gain->before_bytes += before_bytes;
    gain->after_bytes += after_bytes;
    if (gain->before_bytes < GAIN_BYTES_MIN)
        return false;
    *worth = gain->after_bytes * 100 <= gain->before_bytes * (100 - GAIN_PCT);
    if (gain->before_bytes > GAIN_BYTES_MAX) {
        gain->before_bytes /= 2;
        gain->after_bytes /= 2;
    }
    return true;
}

/* What was passed over while it was tried is to be looked at again where it is worth it. */
static void count_improvement(struct cache_keeper *keeper, unsigned dictionary, size_t before_bytes,
                              size_t after_bytes)
{
    struct gathered *gathered = &keeper->gathered;
    bool worth;
    if (!count(&keeper->improvements[dictionary], before_bytes, after_bytes, &worth))
        return;
    if (worth && gathered->improve[dictionary] == IMPROVE_TRY)
        gathered->improve_generation++;
    gathered->improve[dictionary] = worth ? IMPROVE_ALL : IMPROVE_NONE;
}

static void count_gain(struct cache_keeper *keeper, const struct gathered_item *item,
                       size_t put_bytes)
{
    unsigned dictionary = kind_dictionary(item->kind);
    bool worth;
    if (item->kind & KIND_SETTLED)
        count_improvement(keeper, dictionary, item->stored_bytes, put_bytes);
    else if (count(&keeper->gains[dictionary], item->stored_bytes,
                   least(put_bytes, item->stored_bytes), &worth))
        keeper->gathered.gainless[dictionary] = !worth;
}

/* A full cache gives a few pages once; what is compressed gives back more than it takes. */
static bool has_room(const struct cache_keeper *keeper, size_t pages)
{
    struct cache *cache = keeper->prepare.cache;
    return cache_make_room(cache, pages, keeper->prepare.now_s) ||
           zbud_arena_available(cache->arena) >= pages;
}

static void settle_item(struct cache_keeper *keeper, struct shard *shard,
                        const struct gathered_item *item)
{
    const uint8_t *entry = keeper->gathered.bytes + item->entry_at;
    struct shard_put put = {
        .key = entry, .key_bytes = item->key_bytes, .value_bytes = item->value_bytes};
    if (!has_room(keeper, 2))
        return;
    if (!item->copied) {
        unsigned number = classes_number(keeper->gathered.classes, 0);
        (void)!shard_settle(shard, item, NULL, number | KIND_SETTLED);
        return;
    }
    if (!prepare_put(&keeper->prepare, CODEC_HIGH, entry, &put))
        return;
    put.kind |= KIND_SETTLED;
    size_t put_bytes = put.tag & RECORD_TAG_LARGE ? put.stream_bytes : put.payload_bytes;
    bool as_it_is = stays(item, &put, put_bytes);
    count_gain(keeper, item, put_bytes);
    if (!shard_settle(shard, item, as_it_is ? NULL : &put, put.kind) || as_it_is)
        prepare_drop(&keeper->prepare, &put);
}

static void settle(struct cache_keeper *keeper, struct shard *shard)
{
    for (unsigned i = 0; i < keeper->gathered.count; i++)
        settle_item(keeper, shard, &keeper->gathered.items[i]);
}

/* ---- compressing what was left ---- */

struct large_item {
    struct shard *shard;
    const struct gathered_item *item;
};

static size_t read_large(void *context, size_t number, uint8_t *out)
{
    const struct large_item *large = context;
    return shard_fresh_block(large->shard, large->item, number, out);
}

/* The room behind what was gathered takes its blocks, one by one. */
static void compress_large(struct cache_keeper *keeper, struct shard *shard,
                           const struct gathered_item *item)
{
    struct gathered *gathered = &keeper->gathered;
    struct large_item large = {.shard = shard, .item = item};
    struct shard_put put = {.key = gathered->bytes + item->entry_at,
                            .key_bytes = item->key_bytes,
                            .value_bytes = item->value_bytes};
    static_assert(ZBUD_PAGE_BYTES + CODEC_BLOCK_BYTES <= GATHERED_BYTES, "a log and a block fit");
    assert(gathered->bytes_used <= ZBUD_PAGE_BYTES);
    if (prepare_again(&keeper->prepare, read_large, &large, gathered->bytes + ZBUD_PAGE_BYTES,
                      item->stored_bytes, &put) &&
        !shard_fresh_put_large(shard, item, &put))
        prepare_drop(&keeper->prepare, &put);
}

/*
 * Whether the log may stay as it is: full, or one record would have a page's half for itself, and
 * with records of one kind that are hardly smaller.
 */
static bool may_stay(const struct gathered *gathered, const struct shard_put *puts)
{
    size_t raw_bytes = 0, blocks_bytes = 0;
    if (gathered->was_open)
        return false;
    for (unsigned i = 0; i < gathered->count; i++) {
        if (!gathered->items[i].copied || puts[i].kind != puts[0].kind)
            return false;
        raw_bytes += gathered->items[i].stored_bytes;
        blocks_bytes += puts[i].payload_bytes;
    }
    return blocks_bytes * 100 >= raw_bytes * (100 - COMPRESS_GAIN_PCT);
}

/* The items of one log, the blocks of those that are smaller side by side: no longer than raw. */
static void compress_gathered(struct cache_keeper *keeper, struct shard *shard)
{
    struct gathered *gathered = &keeper->gathered;
    size_t blocks_bytes = 0;
    if (gathered->count == 0 || !has_room(keeper, COMPRESS_PAGES))
        return;
    for (unsigned i = 0; i < gathered->count; i++) {
        const struct gathered_item *item = &gathered->items[i];
        const uint8_t *entry = gathered->bytes + item->entry_at;
        struct shard_put *put = &keeper->puts[i];
        if (!item->copied)
            continue;
        *put = (struct shard_put){
            .key = entry, .key_bytes = item->key_bytes, .value_bytes = item->value_bytes};
        bool small = prepare_put(&keeper->prepare, CODEC_FAST, entry, put);
        assert(small && !(put->tag & RECORD_TAG_LARGE));
        if (!(put->tag & RECORD_TAG_COMPRESSED))
            continue; /* it is the entry, which stays where it is */
        assert(put->payload_bytes <= sizeof(keeper->blocks) - blocks_bytes);
        memcpy(keeper->blocks + blocks_bytes, put->payload, put->payload_bytes);
        put->payload = keeper->blocks + blocks_bytes;
        blocks_bytes += put->payload_bytes;
    }
    if (may_stay(gathered, keeper->puts))
        shard_fresh_keep(shard, gathered, keeper->puts[0].kind);
    else
        shard_fresh_put(shard, gathered, keeper->puts);
    for (unsigned i = 0; i < gathered->count; i++) {
        if (!gathered->items[i].copied)
            compress_large(keeper, shard, &gathered->items[i]);
    }
}

enum cache_compress cache_compress(struct cache_keeper *keeper, uint32_t now_s)
{
    struct cache *cache = keeper->prepare.cache;
    struct gathered *gathered = &keeper->gathered;
    unsigned logs = 0, empty = 0; /* shards, one after the other */
    keeper->prepare.now_s = now_s;
    keeper->prepare.classes = current_classes(&cache->current);
    while (logs < COMPRESS_LOGS && empty < cache->config.shards) {
        struct shard *shard = cache->shards[keeper->compress_shard];
        keeper->compress_shard = (keeper->compress_shard + 1) % cache->config.shards;
        if (!shard_fresh_gather(shard, gathered)) {
            empty++;
            continue;
        }
        empty = 0;
        logs++;
        compress_gathered(keeper, shard);
    }
    if (logs == 0)
        return CACHE_COMPRESS_NONE;
    return logs < COMPRESS_LOGS ? CACHE_COMPRESS_ALL : CACHE_COMPRESS_MORE;
}

/* ---- learning ---- */

static uint64_t draw(struct cache_keeper *keeper)
{
    keeper->random = keeper->random * 6364136223846793005u + 1442695040888963407u;
    return keeper->random ^ keeper->random >> 29;
}

static size_t limit_bytes(const struct cache *cache)
{
    return zbud_arena_limit_pages(cache->arena) * ZBUD_PAGE_BYTES;
}

enum due {
    DUE_NOTHING,
    DUE_LOOK, /* whether there is anything to learn */
    DUE_LEARN
};

/* Whether there is enough to learn from, and enough that is new. */
static enum due learn_due(struct cache_keeper *keeper, uint32_t now_s)
{
    struct cache *cache = keeper->prepare.cache;
    bool has_classes = current_classes(&cache->current) != NULL;
    uint64_t stored = 0, items = 0, raw_bytes = 0;
    if (!cache->config.compress || !current_settled(&cache->current) ||
        limit_bytes(cache) < LEARN_MEMORY_BYTES_MIN)
        return DUE_NOTHING;
    /* Until there is a dictionary, whatever comes in is stored at a loss. */
    if (now_s == keeper->asked_s && has_classes)
        return DUE_NOTHING;
    keeper->asked_s = now_s;
    for (unsigned i = 0; i < cache->config.shards; i++) {
        uint64_t shard_items, shard_raw_bytes;
        stored += shard_stored(cache->shards[i], &shard_items, &shard_raw_bytes);
        items += shard_items;
        raw_bytes += shard_raw_bytes;
    }
    if (items < LEARN_ITEMS_MIN || raw_bytes < LEARN_RAW_BYTES_MIN ||
        stored == keeper->learned_stored)
        return DUE_NOTHING;
    bool learns = stored >= keeper->learned_stored * LEARN_STORED_TIMES ||
                  now_s - keeper->learned_s >= keeper->again_s;
    bool looks = has_classes && now_s - keeper->looked_s >= keeper->again_s / LOOK_TIMES &&
                 stored - keeper->looked_stored >= items / LOOK_TIMES;
    if (!learns && !looks)
        return DUE_NOTHING;
    keeper->looked_s = now_s;
    keeper->looked_stored = stored;
    keeper->looked_raw_bytes = raw_bytes;
    return learns && has_classes ? DUE_LEARN : DUE_LOOK;
}

static void draw_samples(struct cache_keeper *keeper, struct samples *samples, size_t bytes_max)
{
    struct cache *cache = keeper->prepare.cache;
    for (unsigned tries = 0; tries < 2 * SAMPLES_MAX; tries++) {
        struct shard *shard = cache->shards[draw(keeper) % cache->config.shards];
        uint8_t *room = samples_room(samples, bytes_max);
        size_t key_bytes;
        if (room == NULL)
            break;
        size_t bytes =
            shard_sample(shard, draw(keeper), &keeper->gathered, room, bytes_max, &key_bytes);
        if (bytes > 0)
            samples_add(samples, bytes, key_bytes);
    }
}

static unsigned classes_max_for(size_t limit)
{
    return (unsigned)least(limit / DICTIONARIES_PART / codec_dictionary_bytes(), CLASSES_MAX);
}

/* Of those that the current classes do not name; 0 for none. */
static unsigned oldest_former(const struct cache_keeper *keeper)
{
    unsigned oldest = 0;
    uint32_t oldest_s = UINT32_MAX;
    for (unsigned number = 1; number < DICTIONARIES_MAX; number++) {
        char label[DICTIONARY_LABEL_BYTES];
        uint32_t added_s;
        if (dictionaries_describe(keeper->prepare.cache->dictionaries, number, label, &added_s) &&
            !classes_name(keeper->gathered.classes, number) && added_s < oldest_s) {
            oldest = number;
            oldest_s = added_s;
        }
    }
    return oldest;
}

/* Former dictionaries may stay for as long as anything was compressed with them, until they are as
 * many as the current ones may be: then the oldest is to go. */
static void choose_leaving(struct cache_keeper *keeper)
{
    struct cache *cache = keeper->prepare.cache;
    struct gathered *gathered = &keeper->gathered;
    unsigned count = dictionaries_count(cache->dictionaries);
    if (count <= classes_count(gathered->classes) + classes_max_for(limit_bytes(cache))) {
        gathered->leaving = 0;
        return;
    }
    if (gathered->leaving != 0 && count == keeper->leaving_count &&
        keeper->prepare.now_s - keeper->leaving_s < LEAVE_AGAIN_S)
        return;
    gathered->leaving = oldest_former(keeper);
    gathered->generation++;
    keeper->leaving_count = count;
    keeper->leaving_s = keeper->prepare.now_s;
}

/* A freed number will be another dictionary's. */
static void forget_freed(struct cache_keeper *keeper)
{
    for (unsigned number = 1; number < DICTIONARIES_MAX; number++) {
        if (dictionaries_uses(keeper->prepare.cache->dictionaries, number) > 0)
            continue;
        keeper->gains[number] = (struct gain){0};
        keeper->gathered.gainless[number] = false;
        keeper->improvements[number] = (struct gain){0};
        keeper->gathered.improve[number] = IMPROVE_TRY;
    }
    keeper->gathered.leaving = 0;
}

/* What classes and dictionaries take now; dictionaries without use are freed first. */
static void tidy(struct cache_keeper *keeper)
{
    struct cache *cache = keeper->prepare.cache;
    current_tidy(&cache->current);
    if (dictionaries_tidy(cache->dictionaries) > 0) {
        codec_forget(keeper->prepare.codec);
        forget_freed(keeper);
    }
    size_t bytes = learned_bytes(cache);
    if (bytes < keeper->charged_bytes) {
        cache_uncharge(cache, keeper->charged_bytes - bytes);
        keeper->charged_bytes = bytes;
    }
}

/* With other classes each dictionary's records are tried anew. */
static void improve_again(struct cache_keeper *keeper)
{
    memset(keeper->improvements, 0, sizeof(keeper->improvements));
    for (unsigned number = 1; number < DICTIONARIES_MAX; number++)
        keeper->gathered.improve[number] = IMPROVE_TRY;
    keeper->gathered.improve_generation++;
}

/* For the next process to go on with; what was gathered is not needed at the moment. */
static void keep_classes(struct cache_keeper *keeper, const struct classes *classes)
{
    struct memory_file *file = keeper->prepare.cache->file;
    uint8_t *saved = keeper->gathered.bytes;
    static_assert(GATHERED_BYTES >= CLASSES_SAVED_BYTES_MAX, "room to save them in");
    if (file != NULL)
        memory_file_put_classes(file, saved, classes_save(classes, saved));
}

static bool learn_from(struct cache_keeper *keeper, struct samples *samples)
{
    struct cache *cache = keeper->prepare.cache;
    draw_samples(keeper, samples, SAMPLE_BYTES);
    if (samples->count == 0)
        return false;
    struct learn_task task = {
        .dictionaries = cache->dictionaries,
        .current = current_classes(&cache->current),
        .codec = keeper->prepare.codec,
        .samples = samples,
        .limit_bytes = limit_bytes(cache),
        .price_bytes =
            dictionary_bytes(cache) + CLASS_PAGES * cache->config.shards * ZBUD_PAGE_BYTES,
        .classes_max = classes_max_for(limit_bytes(cache)),
        .now_s = keeper->prepare.now_s,
    };
    struct classes *classes = learn(&task);
    if (classes == NULL)
        return false;
    current_publish(&cache->current, classes);
    keep_classes(keeper, classes);
    improve_again(keeper);
    atomic_fetch_add_explicit(&cache->learned, 1, memory_order_relaxed);
    return true;
}

static bool look_at(struct cache_keeper *keeper, struct samples *samples)
{
    draw_samples(keeper, samples, LOOK_SAMPLE_BYTES);
    const struct cache *cache = keeper->prepare.cache;
    return learn_is_promising(cache->dictionaries, current_classes(&cache->current), samples,
                              keeper->prepare.codec);
}

/* Does it with samples of up to that many bytes. All memory is charged before, and what learning
 * leaves stays so: tidy() is due. */
static bool with_samples(struct cache_keeper *keeper, size_t data_bytes, size_t more_bytes,
                         bool (*use)(struct cache_keeper *, struct samples *))
{
    size_t bytes = sizeof(struct samples) + data_bytes + more_bytes;
    bool found = false;
    if (cache_charge(keeper->prepare.cache, bytes) != CACHE_OK)
        return false;
    keeper->charged_bytes += bytes;
    struct samples *samples = malloc(sizeof(*samples) + data_bytes);
    if (samples != NULL) {
        samples_init(samples, data_bytes);
        found = use(keeper, samples);
        free(samples);
    }
    tidy(keeper);
    return found;
}

static void learn_now(struct cache_keeper *keeper)
{
    size_t limit = limit_bytes(keeper->prepare.cache);
    size_t data_bytes = keeper->looked_raw_bytes / SAMPLES_PART;
    data_bytes = data_bytes > SAMPLES_BYTES_MIN ? data_bytes : SAMPLES_BYTES_MIN;
    data_bytes = least(data_bytes, least(limit / LEARN_MEMORY_PART, SAMPLES_BYTES));
    bool better = with_samples(keeper, data_bytes, learn_bytes(data_bytes, classes_max_for(limit)),
                               learn_from);
    keeper->again_s = better ? LEARN_AGAIN_S : 2 * keeper->again_s;
    if (keeper->again_s > LEARN_AGAIN_S_MAX)
        keeper->again_s = LEARN_AGAIN_S_MAX;
}

static void learn_if_due(struct cache_keeper *keeper, uint32_t now_s)
{
    enum due due = learn_due(keeper, now_s);
    bool has_classes = current_classes(&keeper->prepare.cache->current) != NULL;
    bool learns =
        due == DUE_LEARN ||
        (due == DUE_LOOK && with_samples(keeper, LOOK_BYTES, learn_look_bytes(), look_at));
    /* With classes a look in vain is none of the learnings that are due by the clock. */
    if (learns || (due == DUE_LOOK && !has_classes)) {
        keeper->learned_stored = keeper->looked_stored;
        keeper->learned_s = now_s;
    }
    if (learns)
        learn_now(keeper);
}

/* ---- savings ---- */

/* It charges memory, for which a full cache evicts: not while there is too little anyway. */
static void survey_if_due(struct cache_keeper *keeper, uint32_t now_s)
{
    if (!savings_due(keeper->prepare.cache, keeper->surveyed_s, now_s) ||
        cache_is_over(keeper->prepare.cache))
        return;
    keeper->surveyed_s = now_s;
    savings_refresh(keeper->prepare.cache, draw(keeper), now_s);
}

/* ---- one step ---- */

/* Each shard in turn, so that none waits for another's crawl. False: all have been found done. */
static bool expire(struct cache_keeper *keeper, uint32_t now_s)
{
    struct cache *cache = keeper->prepare.cache;
    bool more = shard_expire(cache->shards[keeper->expire_shard], now_s);
    keeper->expire_shard = (keeper->expire_shard + 1) % cache->config.shards;
    keeper->expired_shards = more ? 0 : keeper->expired_shards + 1;
    return keeper->expired_shards < cache->config.shards;
}

/* What cannot wait. Returns true where that is all a step is to do, as a lowered limit has to be
 * kept; @expiring: whether more is known to have expired. */
static bool maintain_now(struct cache_keeper *keeper, uint32_t now_s, bool *expiring)
{
    struct cache *cache = keeper->prepare.cache;
    atomic_store_explicit(&cache->now_s, now_s, memory_order_relaxed);
    keeper->prepare.now_s = now_s;
    /* Before anything is evicted for the limit. */
    *expiring = expire(keeper, now_s);
    if (keep_limit(keeper, now_s))
        return true;
    learn_if_due(keeper, now_s);
    tidy(keeper);
    return false;
}

bool cache_maintain_briefly(struct cache_keeper *keeper, uint32_t now_s)
{
    bool expiring;
    return maintain_now(keeper, now_s, &expiring) || expiring;
}

bool cache_maintain(struct cache_keeper *keeper, uint32_t now_s)
{
    struct cache *cache = keeper->prepare.cache;
    struct shard *shard = cache->shards[keeper->shard];
    bool expiring;
    if (maintain_now(keeper, now_s, &expiring))
        return true;
    survey_if_due(keeper, now_s);
    keeper->prepare.classes = current_classes(&cache->current);
    if (keeper->gathered.classes == NULL && keeper->prepare.classes != NULL)
        keeper->gathered.generation++;
    keeper->gathered.classes = keeper->prepare.classes;
    choose_leaving(keeper);
    bool settles = cache->config.compress && cache->config.settle;
    bool done = shard_crawl(shard, now_s, settles ? &keeper->gathered : NULL);
    if (settles)
        settle(keeper, shard);
    if (!done)
        return true;
    keeper->shard = (keeper->shard + 1) % cache->config.shards;
    return keeper->shard != 0 || expiring;
}
