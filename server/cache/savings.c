#include "server/cache/savings.h"

#include "server/cache/cache_inside.h"
#include "server/cache/classes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define SAMPLES_MIN 512u
/* A step of a walk finds 32 to 64 items for the most part. */
#define STEP_ITEMS  64u
#define DEVIATIONS  1.96 /* within which 95 of 100 lie */
/* Of the weight of a run, what is in runs that are large enough to part it by. */
#define PARTED      0.75
/* Each run that counts, on each level, and what is left. */
#define ROWS_MAX    (CLASSES_WORDS_MAX * SAVINGS_SHARE + 1)

struct sample {
    uint8_t text[CACHE_PREFIX_BYTES_MAX]; /* the key's first words, whole ones only; then zeros */
    uint8_t text_bytes;
    uint32_t raw_bytes;
    uint32_t stored_bytes;
};

/* Sums over samples. */
struct sums {
    uint64_t items, raw_bytes, stored_bytes;
    double saved_squared; /* bytes, of each item */
};

struct row {
    struct sums sums;
    const struct sample *first;
    size_t prefix_bytes;
};

struct survey {
    struct cache *cache;
    size_t samples_max;
    size_t count;
    uint32_t now_s;
    struct cache_figures figures;
    struct sums all;
    unsigned rows_count;
    struct row rows[ROWS_MAX];
    struct row others;
    struct cache_walk walk;
    struct sample samples[];
};

void savings_init(struct savings *savings)
{
    lock_init(&savings->lock);
}

void savings_fini(struct savings *savings)
{
    lock_fini(&savings->lock);
}

/* ---- samples ---- */

static void add(struct sums *sums, const struct sample *sample)
{
    const double saved = (double)sample->raw_bytes - (double)sample->stored_bytes;
    sums->items++;
    sums->raw_bytes += sample->raw_bytes;
    sums->stored_bytes += sample->stored_bytes;
    sums->saved_squared += saved * saved;
}

static void add_sums(struct sums *sums, const struct sums *more)
{
    sums->items += more->items;
    sums->raw_bytes += more->raw_bytes;
    sums->stored_bytes += more->stored_bytes;
    sums->saved_squared += more->saved_squared;
}

static void take(struct survey *survey, const struct cache_walk_item *item)
{
    struct sample *sample = &survey->samples[survey->count++];
    size_t room = item->key_bytes < sizeof(sample->text) ? item->key_bytes : sizeof(sample->text);
    size_t bytes = 0;
    for (unsigned word = 0; word < CLASSES_WORDS_MAX; word++) {
        size_t end = classes_word_end(item->key, room, bytes);
        if (end == 0)
            break;
        bytes = end;
    }
    memset(sample->text, 0, sizeof(sample->text));
    memcpy(sample->text, item->key, bytes);
    sample->text_bytes = (uint8_t)bytes;
    sample->raw_bytes = (uint32_t)(item->key_bytes + item->value_bytes);
    sample->stored_bytes = (uint32_t)item->stored_bytes;
    add(&survey->all, sample);
}

/* A step of the walk; false where it is at the shard's end, or there are enough. */
static bool step(struct survey *survey, unsigned shard)
{
    struct cache_walk *walk = &survey->walk;
    walk->count = 0;
    walk->keys_bytes = 0;
    bool going = shard_walk(survey->cache->shards[shard], survey->now_s, walk);
    for (unsigned i = 0; i < walk->count && survey->count < survey->samples_max; i++)
        take(survey, &walk->items[i]);
    return going && survey->count < survey->samples_max;
}

static void take_all(struct survey *survey, unsigned shard)
{
    survey->walk.cursor = 0;
    while (step(survey, shard))
        continue;
}

/* Stretches at random, one in each of as many equal parts of the shard's line. */
static void take_some(struct survey *survey, unsigned shard, uint64_t random)
{
    const uint64_t parts = survey->samples_max / STEP_ITEMS / survey->cache->config.shards + 1;
    const uint64_t part = UINT64_MAX / parts;
    uint64_t met = 0; /* up to there */
    for (uint64_t i = 0; i < parts; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        survey->walk.cursor = shard_walk_from(survey->cache->shards[shard],
                                              i * part + (random ^ random >> 29) % part);
        if (survey->walk.cursor < met)
            continue;
        if (!step(survey, shard))
            break;
        met = survey->walk.cursor;
    }
}

/* Where the sample is full before its time, another shard is cut short each time. */
static bool gather(struct survey *survey, uint64_t random)
{
    const unsigned shards = survey->cache->config.shards;
    bool counts_all = survey->figures.items <= survey->samples_max;
    for (unsigned i = 0; i < shards; i++) {
        unsigned shard = (unsigned)(i + random % shards) % shards;
        if (counts_all)
            take_all(survey, shard);
        else
            take_some(survey, shard, random + i);
    }
    return counts_all;
}

static int by_text(const void *one, const void *other)
{
    const struct sample *a = one, *b = other;
    int order = memcmp(a->text, b->text, sizeof(a->text));
    return order != 0 ? order : a->text_bytes - b->text_bytes;
}

/* ---- prefixes ---- */

/* Of all items and all bytes, together 2. */
static double weight(const struct survey *survey, const struct sums *sums)
{
    return (double)sums->items / (double)survey->all.items +
           (double)sums->raw_bytes / (double)survey->all.raw_bytes;
}

static bool counts(const struct survey *survey, const struct sums *sums)
{
    return weight(survey, sums) * SAVINGS_SHARE >= 2;
}

static void add_row(struct survey *survey, const struct sums *sums, const struct sample *first,
                    size_t prefix_bytes)
{
    if (prefix_bytes == 0 || !counts(survey, sums)) {
        add_sums(&survey->others.sums, sums);
        return;
    }
    assert(survey->rows_count < ROWS_MAX);
    survey->rows[survey->rows_count++] = (struct row){*sums, first, prefix_bytes};
}

/* The samples from the first on that share its text up to its next word's end, if it has one:
 * that is set then, else to 0. */
static size_t run_of(const struct sample *samples, size_t count, size_t prefix_bytes,
                     size_t *run_bytes, struct sums *sums)
{
    size_t run = 0;
    *sums = (struct sums){0};
    *run_bytes = classes_word_end(samples->text, samples->text_bytes, prefix_bytes);
    do {
        add(sums, &samples[run++]);
    } while (run<count && * run_bytes> 0 && samples[run].text_bytes >= *run_bytes &&
             memcmp(samples[run].text, samples->text, *run_bytes) == 0);
    return run;
}

/* Parts samples that share their first @prefix_bytes, or makes one row of them. */
static void part(struct survey *survey, const struct sample *samples, size_t count,
                 size_t prefix_bytes, const struct sums *all)
{
    struct sums sums, rest = {0};
    size_t run, run_bytes;
    double parted = 0;
    for (size_t i = 0; i < count; i += run) {
        run = run_of(samples + i, count - i, prefix_bytes, &run_bytes, &sums);
        if (run_bytes > 0 && counts(survey, &sums))
            parted += weight(survey, &sums);
    }
    if (prefix_bytes > 0 && parted < PARTED * weight(survey, all)) {
        add_row(survey, all, samples, prefix_bytes);
        return;
    }
    for (size_t i = 0; i < count; i += run) {
        run = run_of(samples + i, count - i, prefix_bytes, &run_bytes, &sums);
        if (run_bytes > 0 && counts(survey, &sums))
            part(survey, samples + i, run, run_bytes, &sums);
        else
            add_sums(&rest, &sums);
    }
    add_row(survey, &rest, samples, prefix_bytes);
}

/* ---- the list ---- */

static uint64_t scaled(uint64_t part, uint64_t of, uint64_t to)
{
    return of > 0 ? (uint64_t)llround((double)part / (double)of * (double)to) : 0;
}

static uint64_t error_of(const struct survey *survey, const struct sums *sums)
{
    const double count = (double)survey->count, items = (double)survey->figures.items;
    const double mean = ((double)sums->raw_bytes - (double)sums->stored_bytes) / count;
    const double variance = sums->saved_squared / count - mean * mean;
    const double left = 1 - count / items; /* what was not looked at */
    return variance > 0 && left > 0
               ? (uint64_t)llround(DEVIATIONS * items * sqrt(variance / count * left))
               : 0;
}

static struct cache_saving saving_of(const struct survey *survey, const struct row *row,
                                     bool counts_all)
{
    const struct sums *sums = &row->sums, *all = &survey->all;
    struct cache_saving saving = {
        .prefix_bytes = row->prefix_bytes,
        .items = scaled(sums->items, all->items, survey->figures.items),
        .raw_bytes = scaled(sums->raw_bytes, all->raw_bytes, survey->figures.raw_bytes),
        .stored_bytes = scaled(sums->stored_bytes, all->stored_bytes, survey->figures.stored_bytes),
        .error_bytes = counts_all ? 0 : error_of(survey, sums),
    };
    memcpy(saving.prefix, row->first->text, row->prefix_bytes);
    return saving;
}

static int by_saved(const void *one, const void *other)
{
    const struct row *a = one, *b = other;
    const int64_t saved_a = (int64_t)(a->sums.raw_bytes - a->sums.stored_bytes);
    const int64_t saved_b = (int64_t)(b->sums.raw_bytes - b->sums.stored_bytes);
    return (saved_a < saved_b) - (saved_a > saved_b);
}

static void publish(struct survey *survey, bool counts_all)
{
    struct savings *savings = &survey->cache->savings;
    unsigned shown = 0;
    qsort(survey->rows, survey->rows_count, sizeof(survey->rows[0]), by_saved);
    for (unsigned i = CACHE_SAVINGS_MAX - 1; i < survey->rows_count; i++)
        add_sums(&survey->others.sums, &survey->rows[i].sums);
    lock_take(&savings->lock);
    for (; shown < survey->rows_count && shown < CACHE_SAVINGS_MAX - 1; shown++)
        savings->list[shown] = saving_of(survey, &survey->rows[shown], counts_all);
    if (survey->others.sums.items > 0)
        savings->list[shown++] = saving_of(survey, &survey->others, counts_all);
    savings->count = shown;
    lock_give(&savings->lock);
}

static size_t samples_for(const struct cache *cache)
{
    size_t samples = zbud_arena_limit_pages(cache->arena) * ZBUD_PAGE_BYTES / SAVINGS_MEMORY_PART /
                     sizeof(struct sample);
    if (samples > SAVINGS_SAMPLES_MAX)
        return SAVINGS_SAMPLES_MAX;
    return samples > SAMPLES_MIN ? samples : SAMPLES_MIN;
}

void savings_refresh(struct cache *cache, uint64_t random, uint32_t now_s)
{
    const size_t samples_max = samples_for(cache);
    const size_t bytes = sizeof(struct survey) + samples_max * sizeof(struct sample);
    /* What sorts may copy to memory of its own. */
    const size_t charge = bytes + samples_max * sizeof(struct sample);
    if (cache_charge(cache, charge) != CACHE_OK)
        return;
    struct survey *survey = malloc(bytes);
    if (survey != NULL) {
        memset(survey, 0, sizeof(*survey));
        survey->cache = cache;
        survey->samples_max = samples_max;
        survey->now_s = now_s;
        cache_figures(cache, &survey->figures);
        survey->others.first = survey->samples;
        bool counts_all = gather(survey, random);
        if (survey->count > 0) {
            qsort(survey->samples, survey->count, sizeof(survey->samples[0]), by_text);
            part(survey, survey->samples, survey->count, 0, &survey->all);
        }
        publish(survey, counts_all);
        free(survey);
    }
    cache_uncharge(cache, charge);
}

bool savings_due(const struct cache *cache, uint32_t made_s, uint32_t now_s)
{
    return now_s - made_s >= SAVINGS_AGAIN_S || (cache->savings.count == 0 && now_s != made_s);
}

unsigned cache_savings(struct cache *cache, struct cache_saving list[CACHE_SAVINGS_MAX])
{
    struct savings *savings = &cache->savings;
    lock_take(&savings->lock);
    unsigned count = savings->count;
    memcpy(list, savings->list, count * sizeof(list[0]));
    lock_give(&savings->lock);
    return count;
}
