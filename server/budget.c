#include "server/budget.h"

#include "server/cache/cache.h"
#include "server/limits.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>

struct budget {
    pthread_mutex_t lock;
    struct cache *cache;
    size_t held_bytes;
    size_t charged_bytes;
    size_t prepaid_bytes;
    size_t share_bytes;
};

static size_t min_size(size_t a, size_t b)
{
    return a < b ? a : b;
}

struct budget *budget_new(struct cache *cache, size_t memory_bytes)
{
    struct budget *budget = malloc(sizeof(*budget));

    if (budget == NULL) {
        return NULL;
    }
    const size_t prepaid_bytes =
        min_size(memory_bytes / LIMITS_CONNS_PREPAID_DIVISOR, LIMITS_CONNS_PREPAID_BYTES_MAX);
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
    assert(budget->held_bytes == 0);
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

bool budget_take(struct budget *budget, size_t bytes)
{
    bool taken = false;

    pthread_mutex_lock(&budget->lock);
    const size_t held_bytes = budget->held_bytes + bytes;
    if (bytes <= budget->share_bytes && held_bytes <= limit_for(budget, bytes)) {
        taken = charge_up_to(budget, held_bytes);
    }
    if (taken) {
        budget->held_bytes = held_bytes;
    }
    pthread_mutex_unlock(&budget->lock);
    return taken;
}

void budget_give(struct budget *budget, size_t bytes)
{
    pthread_mutex_lock(&budget->lock);
    assert(bytes <= budget->held_bytes);
    budget->held_bytes -= bytes;

    /* Two steps of slack stay, so that a buffer taken and given in turn does not go to the
     * cache. */
    size_t keep = budget->held_bytes + 2 * LIMITS_CONNS_CHARGE_STEP_BYTES;
    if (keep < budget->prepaid_bytes) {
        keep = budget->prepaid_bytes;
    }
    if (budget->charged_bytes > keep) {
        cache_uncharge(budget->cache, budget->charged_bytes - keep);
        budget->charged_bytes = keep;
    }
    pthread_mutex_unlock(&budget->lock);
}

bool budget_is_tight(struct budget *budget)
{
    pthread_mutex_lock(&budget->lock);
    const bool tight = budget->held_bytes > budget->share_bytes / LIMITS_CONNS_TIGHT_DIVISOR;
    pthread_mutex_unlock(&budget->lock);
    return tight;
}

void budget_set_memory(struct budget *budget, size_t memory_bytes)
{
    pthread_mutex_lock(&budget->lock);
    budget->share_bytes = memory_bytes / LIMITS_CONNS_SHARE_DIVISOR;
    pthread_mutex_unlock(&budget->lock);
}

void budget_figures(struct budget *budget, struct budget_figures *figures)
{
    pthread_mutex_lock(&budget->lock);
    *figures = (struct budget_figures){
        .held_bytes = budget->held_bytes,
        .charged_bytes = budget->charged_bytes,
        .share_bytes = budget->share_bytes,
    };
    pthread_mutex_unlock(&budget->lock);
}
