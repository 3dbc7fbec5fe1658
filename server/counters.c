#include "server/counters.h"

#include <assert.h>
#include <stdlib.h>

struct counters_all {
    size_t sets_count;
    struct counters sets[];
};

struct counters_all *counters_new(size_t sets_count)
{
    const size_t bytes = sizeof(struct counters_all) + sets_count * sizeof(struct counters);
    struct counters_all *all = aligned_alloc(_Alignof(struct counters), bytes);

    if (all == NULL) {
        return NULL;
    }
    all->sets_count = sets_count;
    for (size_t set = 0; set < sets_count; set++) {
        for (size_t i = 0; i < COUNTERS_COUNT; i++) {
            atomic_init(&all->sets[set].values[i], 0);
        }
    }
    return all;
}

void counters_free(struct counters_all *all)
{
    free(all);
}

struct counters *counters_set(struct counters_all *all, size_t set)
{
    assert(set < all->sets_count);
    return &all->sets[set];
}

uint64_t counters_sum(const struct counters_all *all, enum counter counter)
{
    uint64_t sum = 0;

    for (size_t set = 0; set < all->sets_count; set++) {
        sum += atomic_load_explicit(&all->sets[set].values[counter], memory_order_relaxed);
    }
    return sum;
}
