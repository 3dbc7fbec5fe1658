#include "server/budget.h"

#include "server/cache/cache.h"
#include "server/limits.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

/* glibc: two words and what aligns to 16; a page of the system. */
#define MAPPING_HEADER_BYTES 32u
#define MAPPING_PAGE_BYTES   4096u

struct budget {
    pthread_mutex_t lock;
    struct cache *cache;
    size_t mapped_bytes;    /* held in mappings of their own */
    size_t heap_bytes;      /* held on malloc's heap */
    size_t heap_bytes_max;  /* since what was marked when it was last tidied */
    size_t heap_marked_max; /* since it was marked */
    size_t charged_bytes;
    size_t prepaid_bytes;
    size_t share_bytes;
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t max_size(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t prepaid_for(size_t memory_bytes)
{
    return min_size(memory_bytes / LIMITS_CONNS_PREPAID_DIVISOR, LIMITS_CONNS_PREPAID_BYTES_MAX);
}

/* Where malloc puts it. */
static bool is_mapped(size_t bytes)
{
    return bytes >= LIMITS_MAPPED_BYTES_MIN;
}

/* What a mapping of its own comes to: malloc's header, and whole pages. */
static size_t mapping_bytes(size_t bytes)
{
    return (bytes + MAPPING_HEADER_BYTES + MAPPING_PAGE_BYTES - 1) / MAPPING_PAGE_BYTES *
           MAPPING_PAGE_BYTES;
}

/* What must be charged: a heap does not shrink when something in its middle is freed. */
static size_t resident_bytes(const struct budget *budget)
{
    return budget->mapped_bytes + budget->heap_bytes_max;
}

static void count(struct budget *budget, size_t old_bytes, size_t bytes)
{
    budget->mapped_bytes += is_mapped(bytes) ? mapping_bytes(bytes) : 0;
    budget->heap_bytes += is_mapped(bytes) ? 0 : bytes;
    /* A block that moves is there twice for a moment. */
    budget->heap_bytes_max = max_size(budget->heap_bytes_max, budget->heap_bytes);
    budget->heap_marked_max = max_size(budget->heap_marked_max, budget->heap_bytes);
    budget->mapped_bytes -= is_mapped(old_bytes) ? mapping_bytes(old_bytes) : 0;
    budget->heap_bytes -= is_mapped(old_bytes) ? 0 : old_bytes;
}

static size_t held_bytes(const struct budget *budget)
{
    return budget->mapped_bytes + budget->heap_bytes;
}

struct budget *budget_new(struct cache *cache, size_t memory_bytes)
{
    struct budget *budget = malloc(sizeof(*budget));

    if (budget == NULL) {
        return NULL;
    }
    const size_t prepaid_bytes = prepaid_for(memory_bytes);
    if (cache_charge(cache, prepaid_bytes) != CACHE_OK) {
        free(budget);
        return NULL;
    }
    *budget = (struct budget){
        .cache = cache,
        .charged_bytes = prepaid_bytes,
        .prepaid_bytes = prepaid_bytes,
        .share_bytes = memory_bytes / LIMITS_CONNS_SHARE_DIVISOR,
    };
    pthread_mutex_init(&budget->lock, NULL);
    return budget;
}

void budget_free(struct budget *budget)
{
    if (budget == NULL) {
        return;
    }
    assert(held_bytes(budget) == 0);
    cache_uncharge(budget->cache, budget->charged_bytes);
    pthread_mutex_destroy(&budget->lock);
    free(budget);
}

/* Lifts what is charged to at least @bytes. In steps where the cache has that much, else
 * exactly. */
static bool charge_up_to(struct budget *budget, size_t bytes)
{
    if (bytes <= budget->charged_bytes) {
        return true;
    }
    const size_t missing = bytes - budget->charged_bytes;
    const size_t step = missing + LIMITS_CONNS_CHARGE_STEP_BYTES;

    if (cache_charge(budget->cache, step) == CACHE_OK) {
        budget->charged_bytes += step;
        return true;
    }
    if (cache_charge(budget->cache, missing) == CACHE_OK) {
        budget->charged_bytes += missing;
        return true;
    }
    return false;
}

/* What may be held once @bytes more are taken. */
static size_t limit_for(const struct budget *budget, size_t bytes)
{
    const size_t small_bytes = budget->share_bytes / LIMITS_CONNS_SMALL_DIVISOR;
    return bytes <= LIMITS_CONNS_SMALL_BYTES ? budget->share_bytes
                                             : budget->share_bytes - small_bytes;
}

bool budget_grow(struct budget *budget, size_t old_bytes, size_t bytes)
{
    assert(bytes >= old_bytes);
    const size_t more_bytes = bytes - old_bytes;
    bool taken = false;

    pthread_mutex_lock(&budget->lock);
    assert(old_bytes <= held_bytes(budget));
    if (more_bytes <= budget->share_bytes &&
        held_bytes(budget) + more_bytes <= limit_for(budget, more_bytes)) {
        struct budget after = *budget;
        count(&after, old_bytes, bytes);
        taken = charge_up_to(budget, resident_bytes(&after));
    }
    if (taken) {
        count(budget, old_bytes, bytes);
    }
    pthread_mutex_unlock(&budget->lock);
    return taken;
}

void budget_shrink(struct budget *budget, size_t old_bytes, size_t bytes)
{
    assert(bytes <= old_bytes);
    pthread_mutex_lock(&budget->lock);
    assert(old_bytes <= held_bytes(budget));
    count(budget, old_bytes, bytes);
    pthread_mutex_unlock(&budget->lock);
}

bool budget_take(struct budget *budget, size_t bytes)
{
    return budget_grow(budget, 0, bytes);
}

void budget_give(struct budget *budget, size_t bytes)
{
    budget_shrink(budget, bytes, 0);
}

/* Two steps of slack stay, so that a buffer taken and given in turn does not go to the cache. */
static void uncharge_rest(struct budget *budget)
{
    size_t keep = resident_bytes(budget) + 2 * LIMITS_CONNS_CHARGE_STEP_BYTES;
    if (keep < budget->prepaid_bytes) {
        keep = budget->prepaid_bytes;
    }
    if (budget->charged_bytes > keep) {
        cache_uncharge(budget->cache, budget->charged_bytes - keep);
        budget->charged_bytes = keep;
    }
}

void budget_mark(struct budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    budget->heap_marked_max = budget->heap_bytes;
    pthread_mutex_unlock(&budget->lock);
}

void budget_tidy(struct budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    budget->heap_bytes_max = budget->heap_marked_max;
    uncharge_rest(budget);
    pthread_mutex_unlock(&budget->lock);
}

bool budget_is_tight(struct budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    const bool tight = held_bytes(budget) > budget->share_bytes / LIMITS_CONNS_TIGHT_DIVISOR;
    pthread_mutex_unlock(&budget->lock);
    return tight;
}

/* Whether a cache has room beside what is charged for good; what connections hold now comes
 * back. */
static bool leaves_room(const struct budget *budget, size_t memory_bytes)
{
    struct cache_figures cache;

    cache_figures(budget->cache, &cache);
    const size_t others_bytes = (size_t)cache.charged_bytes - budget->charged_bytes;
    const size_t items_bytes =
        max_size(memory_bytes / LIMITS_CACHE_DIVISOR_MIN, LIMITS_CACHE_BYTES_MIN);
    return others_bytes + prepaid_for(memory_bytes) + items_bytes <= memory_bytes;
}

bool budget_set_memory(struct budget *budget, size_t memory_bytes)
{
    const size_t prepaid_bytes = prepaid_for(memory_bytes);

    /* All under one lock: of two that change it at once, one has its way in both places. */
    pthread_mutex_lock(&budget->lock);
    const bool set = leaves_room(budget, memory_bytes) &&
                     cache_set_memory(budget->cache, memory_bytes) == CACHE_OK;
    if (set) {
        budget->share_bytes = memory_bytes / LIMITS_CONNS_SHARE_DIVISOR;
        if (prepaid_bytes <= budget->prepaid_bytes || charge_up_to(budget, prepaid_bytes)) {
            budget->prepaid_bytes = prepaid_bytes;
        }
        uncharge_rest(budget);
    }
    pthread_mutex_unlock(&budget->lock);
    return set;
}

void budget_figures(struct budget *budget, struct budget_figures *figures)
{
    pthread_mutex_lock(&budget->lock);
    *figures = (struct budget_figures){
        .held_bytes = held_bytes(budget),
        .heap_bytes = budget->heap_bytes,
        .charged_bytes = budget->charged_bytes,
        .share_bytes = budget->share_bytes,
    };
    pthread_mutex_unlock(&budget->lock);
}
